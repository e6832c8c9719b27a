/**
 * W2, security.md D-01 and D-03: what a holder deposits is what it says it is, and does nothing when it is opened.
 *
 * Five types, so a table of our own: their signatures have not changed in decades, and what matters beside them (scripts in a PDF, a second file in the
 * same bytes) no library of signatures looks at. It is a net, not a proof: whatever is served is also served inert.
 */
import type { Inflate } from '../../ports/inflate.ts';

/** What is wrong with the bytes; `undefined`: nothing that this looks for. */
type Check = (text: string, tools: { readonly inflate: Inflate; readonly bytes: Buffer }) => string | undefined;

const begins =
  (what: string, ...signatures: readonly string[]): Check =>
  (text) =>
    signatures.some((signature) => text.startsWith(signature)) ? undefined : `the content is not ${what}`;

// ---- a second file in the same bytes --------------------------------------------------------------------------------

/** The end of a ZIP's directory, which readers look for from the end of a file: at most 65 535 bytes of comment after its 22. */
const ZIP_END = 'PK\u0005\u0006';
const ZIP_TAIL = 65_535 + 22;

/** What a browser would take for a page, wherever it stands. */
const MARKUP = /<(?:!doctype\s|(?:html|script|iframe)[\s>/])/i;

const hasSecondFile: Check = (text) =>
  text.includes(ZIP_END, Math.max(0, text.length - ZIP_TAIL))
    ? 'the content is an archive as well'
    : MARKUP.test(text)
      ? 'the content holds markup that a browser would run'
      : undefined;

// ---- PDF ------------------------------------------------------------------------------------------------------------

/** A name of PDF, each character also as `#` and its code (ISO 32000-1 7.3.5). */
const nameOf = (name: string): string =>
  [...name]
    .map((char) => `(?:${char}|#${char.charCodeAt(0).toString(16)}|#${char.charCodeAt(0).toString(16).toUpperCase()})`)
    .join('');

const anyOf = (...names: readonly string[]): string => `/(?:${names.map(nameOf).join('|')})`;
const GAP = '[\\s\\0]{0,64}';
/** A dictionary, or a reference to one: with what stands before it, too long to occur by chance in compressed bytes. */
const DICTIONARY = `${GAP}(?:<<|[0-9]{1,10}[\\s\\0]{1,64}[0-9]{1,5}[\\s\\0]{1,64}R)`;

/** Actions and files that a reader would act upon. An `OpenAction` that is an array only says which page is shown. */
const ACTIVE = new RegExp(
  [
    `${anyOf('JavaScript', 'Launch', 'EmbeddedFile', 'EmbeddedFiles', 'RichMedia', 'SubmitForm', 'ImportData', 'GoToR', 'GoToE')}(?![A-Za-z0-9])`,
    `${anyOf('OpenAction', 'AA')}${DICTIONARY}`,
    `${anyOf('XFA')}(?:${GAP}\\[|${DICTIONARY})`,
  ].join('|'),
);
const ENCRYPTED = new RegExp(`${anyOf('Encrypt')}${DICTIONARY}`);

/** Objects that are compressed together: what stands in them is looked at too. */
const OBJECT_STREAM = new RegExp(anyOf('ObjStm'), 'g');
const OPENS_STREAM = /stream\r?\n/;
const FILTERED = new RegExp(anyOf('Filter', 'F'));
const FLATE = new RegExp(anyOf('FlateDecode'));
const OTHER_FILTER = new RegExp(
  anyOf('LZWDecode', 'ASCIIHexDecode', 'ASCII85Decode', 'RunLengthDecode', 'DecodeParms', 'Crypt'),
);
/** Bytes of a dictionary that are looked at before its stream. */
const HEAD = 4_096;
/** A writer puts a hundred objects or more into each. */
const MOST_STREAMS = 500;
/** Bytes of one, compressed. */
const LONGEST_STREAM = 1024 * 1024;
/** Bytes that all of them inflate to. */
const INFLATED = 16 * 1024 * 1024;

const ACTS = 'the PDF holds a script, an action or a file of its own';
const UNREADABLE = 'the PDF is packed in a way that cannot be checked';

const hasActiveContent: Check = (text, { inflate, bytes }) => {
  if (ENCRYPTED.test(text)) return 'the PDF is encrypted';
  if (ACTIVE.test(text)) return ACTS;
  let left = INFLATED;
  let streams = 0;
  for (const { index } of text.matchAll(OBJECT_STREAM)) {
    const head = text.slice(index, index + HEAD);
    const opened = OPENS_STREAM.exec(head);
    streams += 1;
    if (opened === null || streams > MOST_STREAMS) return UNREADABLE;
    const before = text.slice(Math.max(0, index - HEAD), index);
    const dictionary = `${before.slice(before.lastIndexOf(' obj') + 1)}${head.slice(0, opened.index)}`;
    const from = index + opened.index + opened[0].length;
    const length = text.slice(from, from + LONGEST_STREAM).indexOf('endstream');
    if (length === -1) return UNREADABLE;
    // What is not filtered was read above.
    if (!FILTERED.test(dictionary)) continue;
    if (!FLATE.test(dictionary) || OTHER_FILTER.test(dictionary)) return UNREADABLE;
    const plain = inflate(bytes.subarray(from, from + length), left);
    if (plain === undefined) return UNREADABLE;
    left = Math.max(1, left - plain.length);
    if (ACTIVE.test(Buffer.from(plain.buffer, plain.byteOffset, plain.length).toString('latin1'))) return ACTS;
  }
  return undefined;
};

const endsAsPdf: Check = (text) =>
  /%%EOF[\s\0]{0,64}$/.test(text.slice(-1_024)) ? undefined : 'the PDF does not end where its content ends';

// ---- images and text ------------------------------------------------------------------------------------------------

const PNG_END = '\0\0\0\0IEND\u00aeB\u0060\u0082';
const endsAsPng: Check = (text) => (text.endsWith(PNG_END) ? undefined : 'the PNG does not end where its content ends');

// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these stand in no text.
const NO_TEXT = /[\u0000-\u0008\u000b\u000e-\u001a\u001c-\u001f\u007f]/;
const OTHER_FORMAT = /^(?:\u00ef\u00bb\u00bf)?\s*(?:<[!?a-z]|%PDF|%!PS|GIF8|\{\\rtf)/i;

const isText: Check = (text) =>
  NO_TEXT.test(text) || OTHER_FORMAT.test(text) ? 'the content is not plain text' : undefined;

const CHECKS: ReadonlyMap<string, readonly Check[]> = new Map<string, readonly Check[]>([
  ['application/pdf', [begins('a PDF', '%PDF-1.', '%PDF-2.'), endsAsPdf, hasSecondFile, hasActiveContent]],
  ['image/jpeg', [begins('a JPEG', '\u00ff\u00d8\u00ff'), hasSecondFile]],
  ['image/png', [begins('a PNG', '\u0089PNG\r\n\u001a\n\0\0\0\rIHDR'), endsAsPng, hasSecondFile]],
  ['image/tiff', [begins('a TIFF', 'II*\0', 'MM\0*', 'II+\0', 'MM\0+'), hasSecondFile]],
  ['text/plain', [isText, hasSecondFile]],
]);

/** The media types that a holder deposits. */
export const DEPOSIT_CONTENT: readonly string[] = [...CHECKS.keys()];

/** What is wrong with content deposited as `contentType`, one of `DEPOSIT_CONTENT`, lower case and without parameters; `undefined`: nothing found. */
export function depositFault(contentType: string, bytes: Buffer, inflate: Inflate): string | undefined {
  const text = bytes.toString('latin1');
  for (const check of CHECKS.get(contentType) ?? []) {
    const fault = check(text, { inflate, bytes });
    if (fault !== undefined) return fault;
  }
  return undefined;
}

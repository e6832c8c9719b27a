/**
 * A Binary as JSON, streamed both ways: its content is never whole in memory. https://hl7.org/fhir/R4/binary.html
 *
 * Inbound, the text is split in two while it passes: the characters of the top-level string `data` are decoded on the fly; all the rest,
 * with `""` in the place of `data`, is the *shell*, small, and read by the one strict parser at the end. The
 * shell is valid JSON exactly when the whole text was (what was left out is a string of harmless characters), so nothing
 * of the parser's strictness is lost: duplicate keys, depth, forbidden keys, trailing text.
 */
import { isUtf8 } from 'node:buffer';
import { JSON_LIMITS, parseJson } from '../fhir/json-text.ts';
import type { Failure } from '../fhir/result.ts';
import type { Json, JsonObject } from '../fhir/types.ts';
import { refuseBody } from './body.ts';
import { parseMediaType } from './media-type.ts';

const MAX_SHELL_BYTES = 65_536;

const malformedBody = (text: string, at?: string): Error =>
  refuseBody({ code: 'malformed', faults: [at === undefined ? { text } : { text, at }] });
const unprocessableBody = (text: string, at: string): Error =>
  refuseBody({ code: 'unprocessable', faults: [{ text, at }] });
const tooLarge: Failure = {
  code: 'too-large',
  text: `a Binary has at most ${MAX_SHELL_BYTES} bytes beside its \`data\``,
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = [0x7b, 0x7d, 0x5b, 0x5d];
const LETTER_U = 0x75;
const EQUALS = 0x3d;

/** What a byte means inside the base64 text. */
const [INVALID, DIGIT, BLANK, PAD] = [0, 1, 2, 3];
const MEANING = new Uint8Array(256);
for (const digit of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
  MEANING[digit.charCodeAt(0)] = DIGIT;
for (const blank of ' \t\r\n') MEANING[blank.charCodeAt(0)] = BLANK;
MEANING[EQUALS] = PAD;

/** What may follow a backslash: `\/` is common, line breaks occur, `\u002B` is how some writers spell `+`. */
const ESCAPES: Readonly<Record<string, number>> = { '/': 0x2f, n: 0x0a, r: 0x0d, t: 0x09 };

const BAD_DATA = 'the content is not valid base64';
const AT_DATA = 'Binary.data';

/** Base64 digits in, bytes out; four digits at a time, the rest waits. */
type Base64Decoder = {
  readonly begin: (room: number) => void;
  readonly digit: (byte: number) => void;
  /** The bytes of all whole groups since `begin`. */
  readonly take: () => Buffer;
  /** Throws `BodyRefused` when digits are left over, or there were none. */
  readonly end: () => void;
};

const createBase64Decoder = (): Base64Decoder => {
  let waiting = Buffer.alloc(0);
  let length = 0;
  let pads = 0;
  let any = false;
  return {
    begin: (room) => {
      const fresh = Buffer.allocUnsafe(length + room);
      waiting.copy(fresh, 0, 0, length);
      waiting = fresh;
    },
    digit: (byte) => {
      const meaning = MEANING[byte];
      if (meaning === BLANK) return;
      if (meaning === PAD) pads += 1;
      else if (meaning === INVALID || pads > 0) throw malformedBody(BAD_DATA, AT_DATA);
      if (pads > 2) throw malformedBody(BAD_DATA, AT_DATA);
      waiting[length] = byte;
      length += 1;
      any = true;
    },
    take: () => {
      const whole = length - (length % 4);
      const bytes = Buffer.from(waiting.latin1Slice(0, whole), 'base64');
      // The group with the padding is the last one: `A===` and `AA==AAAA` were refused above, `=AAA` and `==` are here.
      if (bytes.length !== (whole / 4) * 3 - (whole === length ? pads : 0)) throw malformedBody(BAD_DATA, AT_DATA);
      waiting.copyWithin(0, whole, length);
      length -= whole;
      return bytes;
    },
    end: () => {
      if (length > 0) throw malformedBody(BAD_DATA, AT_DATA);
      if (!any) throw malformedBody('a text must not be empty', AT_DATA);
    },
  };
};

/** Where the splitter is. */
type Place = 'shell' | 'shell-string' | 'shell-escape' | 'data' | 'data-escape' | 'data-unicode';

type Splitter = {
  /** Takes a piece of the text; returns what it held of the content. Throws `BodyRefused` (400, 413). */
  readonly push: (chunk: Buffer) => Buffer;
  /** The JSON text without the content. Throws `BodyRefused` (400). */
  readonly shell: () => string;
};

const NOTHING = Buffer.alloc(0);

const createSplitter = (): Splitter => {
  const base64 = createBase64Decoder();
  const shell: Buffer[] = [];
  let shellBytes = 0;
  let place: Place = 'shell';
  let depth = 0;
  /** In the top-level object: whether a string here is a member's name, and the one read last. */
  let nameNext = false;
  let name = '';
  let unicode = '';

  const keep = (piece: Buffer): void => {
    if (piece.length === 0) return;
    shellBytes += piece.length;
    if (shellBytes > MAX_SHELL_BYTES) throw refuseBody(tooLarge);
    shell.push(Buffer.from(piece));
  };

  const inShell = (byte: number): void => {
    if (byte === QUOTE) {
      const isContent = depth === 1 && !nameNext && name === 'data';
      place = isContent ? 'data' : 'shell-string';
      if (depth === 1 && nameNext) name = '';
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      depth += 1;
      nameNext = depth === 1 && byte === OPEN_OBJECT;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth -= 1;
    else if (depth === 1 && byte === COMMA) nameNext = true;
    else if (depth === 1 && byte === COLON) nameNext = false;
  };

  const inShellString = (byte: number): void => {
    if (byte === QUOTE) place = 'shell';
    else if (byte === BACKSLASH) place = 'shell-escape';
    // Five characters are enough to know that a name is not `data`; an escaped name is caught by `elementsOf`.
    if (byte !== QUOTE && depth === 1 && nameNext && name.length < 5) name += String.fromCharCode(byte);
  };

  const afterBackslash = (byte: number): void => {
    if (byte === LETTER_U) {
      place = 'data-unicode';
      unicode = '';
      return;
    }
    const meant = ESCAPES[String.fromCharCode(byte)];
    if (meant === undefined) throw malformedBody(BAD_DATA, AT_DATA);
    base64.digit(meant);
    place = 'data';
  };

  const inUnicode = (byte: number): void => {
    unicode += String.fromCharCode(byte);
    if (unicode.length < 4) return;
    // INVARIANT: of the code points below U+0080 only, so that the table is asked about one byte.
    if (!/^00[0-7][0-9A-Fa-f]$/.test(unicode)) throw malformedBody(BAD_DATA, AT_DATA);
    base64.digit(Number.parseInt(unicode, 16));
    place = 'data';
  };

  const push = (chunk: Buffer): Buffer => {
    let shellStart = place.startsWith('data') ? -1 : 0;
    let begun = false;
    const begin = (left: number): void => {
      base64.begin(left);
      begun = true;
    };
    if (shellStart === -1) begin(chunk.length);
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (place === 'data') {
        if (byte === QUOTE) {
          place = 'shell';
          name = '';
          shellStart = at;
          base64.end.length;
          finished = true;
        } else if (byte === BACKSLASH) place = 'data-escape';
        else if (byte < 0x20) throw malformedBody('a text contains a control character', AT_DATA);
        else base64.digit(byte);
      } else if (place === 'shell') {
        inShell(byte);
        // INVARIANT: `inShell` has just moved `place`; the compiler still holds it for what it was.
        if ((place as Place) === 'data') {
          keep(chunk.subarray(shellStart, at + 1));
          shellStart = -1;
          if (!begun) begin(chunk.length - at);
        }
      } else if (place === 'shell-string') inShellString(byte);
      else if (place === 'shell-escape') place = 'shell-string';
      else if (place === 'data-escape') afterBackslash(byte);
      else inUnicode(byte);
    }
    if (shellStart !== -1) keep(chunk.subarray(shellStart));
    return begun ? base64.take() : NOTHING;
  };
};

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
const NOTHING = Buffer.alloc(0);

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

/** What a byte means inside the base64 text. */
const [INVALID, BLANK, PAD, DIGIT] = [0, 1, 2, 3];
const MEANING = new Uint8Array(256);
for (const digit of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
  MEANING[digit.charCodeAt(0)] = DIGIT;
for (const blank of ' \t\r\n') MEANING[blank.charCodeAt(0)] = BLANK;
MEANING['='.charCodeAt(0)] = PAD;

/** What may follow a backslash: `\/` is common, line breaks occur, `\u002B` is how some writers spell `+`. */
const ESCAPES: Readonly<Record<string, number>> = { '/': 0x2f, n: 0x0a, r: 0x0d, t: 0x09 };

const AT_DATA = 'Binary.data';
const badData = (): Error => malformedBody('the content is not valid base64', AT_DATA);

/** Base64 characters in, bytes out; four characters at a time, the rest waits for the next piece. */
type Base64Decoder = {
  /** Makes room for as many characters; called once for each piece. */
  readonly reserve: (characters: number) => void;
  readonly accept: (character: number) => void;
  /** Accepts the run of plain digits that begins at `from`; returns where it ends. */
  readonly acceptRun: (piece: Buffer, from: number) => number;
  /** The bytes of all groups complete by now. */
  readonly take: () => Buffer;
  /** Called at the end of the text. */
  readonly close: () => void;
};

const createBase64Decoder = (): Base64Decoder => {
  let waiting = Buffer.alloc(0);
  let length = 0;
  let total = 0;
  let pads = 0;
  return {
    reserve: (characters) => {
      const fresh = Buffer.allocUnsafe(length + characters);
      waiting.copy(fresh, 0, 0, length);
      waiting = fresh;
    },
    accept: (character) => {
      const meaning = MEANING[character] ?? INVALID;
      if (meaning === BLANK) return;
      if (meaning === PAD) pads += 1;
      // Nothing follows the padding, and there is never more than two of it.
      if (meaning === INVALID || (meaning === DIGIT && pads > 0) || pads > 2) throw badData();
      waiting[length] = character;
      length += 1;
      total += 1;
    },
    acceptRun: (piece, from) => {
      if (pads > 0) return from;
      let end = from;
      while (end < piece.length && MEANING[piece[end] ?? 0] === DIGIT) end += 1;
      piece.copy(waiting, length, from, end);
      length += end - from;
      total += end - from;
      return end;
    },
    take: () => {
      const whole = length - (length % 4);
      if (whole === 0) return NOTHING;
      const bytes = Buffer.from(waiting.toString('latin1', 0, whole), 'base64');
      waiting.copyWithin(0, whole, length);
      length -= whole;
      return bytes;
    },
    close: () => {
      if (total === 0) throw malformedBody('a text must not be empty', AT_DATA);
      if (total % 4 !== 0) throw badData();
    },
  };
};

type Place = 'shell' | 'string' | 'escape' | 'data' | 'data-escape' | 'data-unicode';

type Splitter = {
  /** Takes a piece of the text and returns what it held of the content. Throws `BodyRefused` (400, 413). */
  readonly push: (piece: Buffer) => Buffer;
  /** The text without the content, once all pieces are in. */
  readonly shell: () => Buffer;
};

const createSplitter = (): Splitter => {
  const content = createBase64Decoder();
  const shell = Buffer.allocUnsafe(MAX_SHELL_BYTES);
  let shellBytes = 0;
  let place: Place = 'shell';
  let depth = 0;
  /** In the outermost object: whether a string that begins here is a member's name, and the name read last. */
  let nameNext = false;
  let name = '';
  let unicode = '';

  const keep = (byte: number): void => {
    if (shellBytes === MAX_SHELL_BYTES) throw refuseBody(tooLarge);
    shell[shellBytes] = byte;
    shellBytes += 1;
  };

  const inShell = (byte: number): Place => {
    if (byte === QUOTE) {
      if (depth === 1 && !nameNext && name === 'data') return 'data';
      if (depth === 1 && nameNext) name = '';
      return 'string';
    }
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      depth += 1;
      nameNext = depth === 1 && byte === OPEN_OBJECT;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth -= 1;
    else if (depth === 1 && byte === COMMA) nameNext = true;
    else if (depth === 1 && byte === COLON) nameNext = false;
    return 'shell';
  };

  const inString = (byte: number): Place => {
    if (byte === QUOTE) return 'shell';
    // Five characters are enough to know that a name is not `data`; a name written with escapes is caught by `contentTypeOf`.
    if (depth === 1 && nameNext && name.length < 5) name += String.fromCharCode(byte);
    return byte === BACKSLASH ? 'escape' : 'string';
  };

  const inData = (byte: number): Place => {
    if (byte === BACKSLASH) return 'data-escape';
    if (byte < 0x20) throw malformedBody('a text contains a control character', AT_DATA);
    content.accept(byte);
    return 'data';
  };

  const afterBackslash = (byte: number): Place => {
    unicode = '';
    if (byte === LETTER_U) return 'data-unicode';
    const meant = ESCAPES[String.fromCharCode(byte)];
    if (meant === undefined) throw badData();
    content.accept(meant);
    return 'data';
  };

  const inUnicode = (byte: number): Place => {
    unicode += String.fromCharCode(byte);
    if (unicode.length < 4) return 'data-unicode';
    if (!/^00[0-7][0-9A-Fa-f]$/.test(unicode)) throw badData();
    content.accept(Number.parseInt(unicode, 16));
    return 'data';
  };

  return {
    push: (piece) => {
      content.reserve(piece.length);
      for (let at = 0; at < piece.length; at += 1) {
        // Nearly all of the text are digits: they are taken run by run.
        if (place === 'data') at = content.acceptRun(piece, at);
        const byte = piece[at];
        if (byte === undefined) break;
        if (place === 'data' && byte !== QUOTE) place = inData(byte);
        else if (place === 'data-escape') place = afterBackslash(byte);
        else if (place === 'data-unicode') place = inUnicode(byte);
        else {
          keep(byte);
          if (place === 'shell') place = inShell(byte);
          else if (place === 'string') place = inString(byte);
          else if (place === 'escape') place = 'string';
          else {
            content.close();
            name = '';
            place = 'shell';
          }
        }
      }
      return content.take();
    },
    shell: () => shell.subarray(0, shellBytes),
  };
};

/** The elements of R4's Binary. The server sets all of them but two; `implicitRules` changes the meaning of the rest. */
const ELEMENTS: ReadonlySet<string> = new Set([
  'resourceType',
  'id',
  'meta',
  'language',
  'securityContext',
  'contentType',
  'data',
]);

const objectOf = (value: Json): JsonObject | undefined =>
  // INVARIANT: Json that is neither a primitive nor an array is an object.
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;

/** Checks the shell and returns `Binary.contentType`. Throws `BodyRefused` (400, 422). */
const contentTypeOf = (shell: Buffer): string => {
  if (!isUtf8(shell)) throw malformedBody('the body is not valid UTF-8');
  const parsed = parseJson(shell.toString('utf8'), JSON_LIMITS);
  if (!parsed.ok) throw refuseBody(parsed.failure);
  const binary = objectOf(parsed.value);
  if (binary?.['resourceType'] !== 'Binary') throw malformedBody('the body is not a Binary');
  if ('data' in binary && binary['data'] !== '') throw malformedBody('`data` is not a plain text', AT_DATA);
  for (const element of Object.keys(binary)) {
    if (!ELEMENTS.has(element))
      throw unprocessableBody(`the element \`${element.slice(0, 64)}\` is not accepted`, 'Binary');
  }
  const contentType = binary['contentType'];
  if (
    typeof contentType !== 'string' ||
    contentType.trim() !== contentType ||
    parseMediaType(contentType) === undefined
  )
    throw unprocessableBody('a Binary has one `contentType`, a media type', 'Binary.contentType');
  return contentType;
};

export type UnwrappedBinary = {
  /** The decoded content; consumed once. Throws `BodyRefused` at the first fault, wherever in the JSON it is. */
  readonly source: AsyncIterable<Uint8Array>;
  /**
   * `Binary.contentType`. In JSON it may come after `data`, so it is known when `source` has ended; it rejects when `source` does not
   * come to its end. Nobody has to listen.
   */
  readonly contentType: Promise<string>;
};

/** Takes a Binary in JSON apart while it arrives. Memory: one piece, and at most 64 kB for the rest of the resource. */
export function unwrapBinary(pieces: AsyncIterable<Buffer>): UnwrappedBinary {
  const contentType = Promise.withResolvers<string>();
  contentType.promise.catch(() => {});
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      const splitter = createSplitter();
      for await (const piece of pieces) {
        const content = splitter.push(piece);
        if (content.length > 0) yield content;
      }
      contentType.resolve(contentTypeOf(splitter.shell()));
    } catch (error) {
      contentType.reject(error);
      throw error;
    } finally {
      // After a `return()` in the middle; a promise that is settled stays as it is.
      contentType.reject(new Error('the content was not read to its end'));
    }
  }
  return { source: source(), contentType: contentType.promise };
}

/**
 * The JSON text of a Binary whose content arrives in pieces: `binary` without `data`, then `data` as one base64 text. Without content
 * there is no `data`: JSON of FHIR knows no empty text.
 */
export async function* wrappedBinary(
  binary: JsonObject,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield Buffer.from(JSON.stringify({ ...binary, resourceType: 'Binary' }).slice(0, -1));
  // Three bytes are four characters: what is left over waits for the next piece.
  let rest = NOTHING;
  let begun = false;
  for await (const piece of pieces) {
    const joined =
      rest.length === 0 ? Buffer.from(piece.buffer, piece.byteOffset, piece.length) : Buffer.concat([rest, piece]);
    const whole = joined.length - (joined.length % 3);
    rest = Buffer.from(joined.subarray(whole));
    if (joined.length > 0 && !begun) {
      begun = true;
      yield Buffer.from(',"data":"');
    }
    if (whole > 0) yield Buffer.from(joined.toString('base64', 0, whole), 'latin1');
  }
  if (rest.length > 0) yield Buffer.from(rest.toString('base64'), 'latin1');
  yield Buffer.from(begun ? '"}' : '}');
}

/** The formats of R4's primitive types. https://hl7.org/fhir/R4/datatypes.html#primitive */
import type { Json } from '../../fhir/types.ts';

/** What is wrong with a value of a primitive type, `undefined` when nothing is. */
export type PrimitiveCheck = (value: Json) => string | undefined;

/** R4 says SHOULD NOT exceed 1 MB; a text of the size of a document is one in the wrong place. */
const MAX_TEXT = 1024 * 1024;
// biome-ignore lint/suspicious/noControlCharactersInRegex: R4 2.24.0.1 forbids exactly these in a string.
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;

const pattern =
  (type: string, format: RegExp): PrimitiveCheck =>
  (value) =>
    typeof value !== 'string'
      ? `a \`${type}\` is a JSON string`
      : format.test(value)
        ? undefined
        : `not a valid \`${type}\``;

const text =
  (type: string): PrimitiveCheck =>
  (value) => {
    if (typeof value !== 'string') return `a \`${type}\` is a JSON string`;
    if (value === '') return `a \`${type}\` is never empty`;
    if (value.length > MAX_TEXT) return `a \`${type}\` has at most ${MAX_TEXT} characters`;
    return CONTROL.test(value) ? `a \`${type}\` has no control characters` : undefined;
  };

const integer =
  (type: string, least: number): PrimitiveCheck =>
  (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return `a \`${type}\` is a whole JSON number`;
    return value < least || value > 2147483647 ? `a \`${type}\` is from ${least} to 2147483647` : undefined;
  };

const YEAR = '(\\d(\\d(\\d[1-9]|[1-9]0)|[1-9]00)|[1-9]000)';
const CLOCK = '([01]\\d|2[0-3]):[0-5]\\d:([0-5]\\d|60)(\\.\\d+)?';
const OFFSET = '(Z|[+-]((0\\d|1[0-3]):[0-5]\\d|14:00))';
const DAY = '(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])';

const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Whether the day that begins a text (`2026-02-30…`) is one of the calendar; texts without a day pass. */
const dayExists = (value: string): boolean => {
  if (value.length < 10) return true;
  const day = Number(value.slice(8, 10));
  if (day < 29) return true;
  const month = Number(value.slice(5, 7));
  if (day > (DAYS[month - 1] ?? 0)) return false;
  if (month !== 2 || day !== 29) return true;
  const year = Number(value.slice(0, 4));
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
};

const dated = (type: string, format: RegExp): PrimitiveCheck => {
  const formed = pattern(type, format);
  return (value) => {
    const problem = formed(value);
    if (problem !== undefined) return problem;
    return typeof value === 'string' && !dayExists(value) ? `a \`${type}\` names a day that does not exist` : undefined;
  };
};

const DATE_TIME = new RegExp(`^${YEAR}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\\d|3[01])(T${CLOCK}${OFFSET})?)?)?$`);
const NO_OFFSET = new RegExp(`^${YEAR}-${DAY}T${CLOCK}$`);
const formedDateTime = dated('dateTime', DATE_TIME);

/** T2: said apart, since it is the fault that senders most often make. */
const dateTime: PrimitiveCheck = (value) => {
  const problem = formedDateTime(value);
  if (problem === undefined || typeof value !== 'string' || !NO_OFFSET.test(value)) return problem;
  return 'a `dateTime` with a time has an offset from UTC';
};

/** One pass, no pattern: a document of megabytes must not be walked twice, nor with backtracking. */
const base64Binary: PrimitiveCheck = (value) => {
  if (typeof value !== 'string') return 'a `base64Binary` is a JSON string';
  let digits = 0;
  let padding = 0;
  for (let i = 0; i < value.length; i += 1) {
    const c = value.charCodeAt(i);
    if ((c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 47 && c <= 57) || c === 43) {
      if (padding > 0) return 'not valid base64';
      digits += 1;
    } else if (c === 61) padding += 1;
    else if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return 'not valid base64';
  }
  return digits > 0 && padding <= 2 && (digits + padding) % 4 === 0 ? undefined : 'not valid base64';
};

const uri = (type: string): PrimitiveCheck => pattern(type, /^\S+$/);

export const PRIMITIVES: ReadonlyMap<string, PrimitiveCheck> = new Map<string, PrimitiveCheck>([
  ['base64Binary', base64Binary],
  ['boolean', (value) => (typeof value === 'boolean' ? undefined : 'a `boolean` is true or false')],
  ['canonical', uri('canonical')],
  ['code', pattern('code', /^[^\s]+(\s[^\s]+)*$/)],
  ['date', dated('date', new RegExp(`^${YEAR}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\\d|3[01]))?)?$`))],
  ['dateTime', dateTime],
  ['decimal', (value) => (typeof value === 'number' ? undefined : 'a `decimal` is a JSON number')],
  ['id', pattern('id', /^[A-Za-z0-9\-.]{1,64}$/)],
  ['instant', dated('instant', new RegExp(`^${YEAR}-${DAY}T${CLOCK}${OFFSET}$`))],
  ['integer', integer('integer', -2147483648)],
  ['markdown', text('markdown')],
  ['oid', pattern('oid', /^urn:oid:[0-2](\.(0|[1-9]\d*))+$/)],
  ['positiveInt', integer('positiveInt', 1)],
  ['string', text('string')],
  ['time', pattern('time', new RegExp(`^${CLOCK}$`))],
  ['unsignedInt', integer('unsignedInt', 0)],
  ['uri', uri('uri')],
  ['url', uri('url')],
  ['uuid', pattern('uuid', /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)],
  ['xhtml', (value) => (typeof value === 'string' ? undefined : 'a `xhtml` is a JSON string')],
]);

import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Recent, recent } from './recent.ts';
import { packed, type TermHash, type TermHasher } from './term-hash.ts';

/** A term `param=Type/id` of a resource. */
export type Reference = readonly [param: string, target: string];

/** An index entry in the form its row keeps: packed hashes, and three JSON objects by parameter. */
export type Facets = {
  /** The terms that guards ask about. */
  readonly marks: Uint8Array;
  /** All the others. */
  readonly hashes: Uint8Array;
  /** `{"date":1712345678901}` */
  readonly keys: string;
  /** `{"date":[[lo,hi],…]}`; an endless bound is `9e999`, which SQLite and JavaScript both read as infinity. */
  readonly ranges: string;
  /** `{"name":["martin",…]}` */
  readonly strings: string;
  /** For the inverted index, which follows references by `link`. */
  readonly references: readonly Reference[];
};

/** Known from the row's own columns, so never stored a second time (and never believed from an entry). */
export const COLUMN_TERMS: ReadonlySet<string> = new Set(['_id', '_owner']);
export const COLUMN_RANGE = '_lastUpdated';

/** Whether a term of this parameter stands among the marks. `_has` does not: it tells which elements are there, and there are many. */
export const isMark = (param: string): boolean => param.startsWith('_') && param !== '_has';

/** A relative reference as it stands in a term (R4 references.html#literal). */
const REFERENCE = /^[A-Z][A-Za-z]{1,63}\/[A-Za-z0-9\-.]{1,64}$/;
export const isReference = (value: string): boolean => REFERENCE.test(value);

/** Splits `param=value` at the first `=`. */
export function splitTerm(text: string): readonly [param: string, value: string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** What a term is, whoever has it. */
type TermReading = {
  readonly hash: TermHash;
  readonly mark: boolean;
  /** Known from the row's own columns: not stored a second time. */
  readonly column: boolean;
  readonly reference: Reference | undefined;
};

/** Most terms repeat, so what they are is read once; by hasher, because each database has its own. */
const READINGS = 4_000;
const remembered = new WeakMap<TermHasher, Map<string, Recent<string, TermReading>>>();

function readings(type: string, hash: TermHasher): Recent<string, TermReading> {
  const types = remembered.get(hash) ?? new Map<string, Recent<string, TermReading>>();
  remembered.set(hash, types);
  const known = types.get(type) ?? recent<string, TermReading>(READINGS);
  types.set(type, known);
  return known;
}

function readTerm(
  type: string,
  text: string,
  { hash, into }: { readonly hash: TermHasher; readonly into: Recent<string, TermReading> },
): TermReading {
  const [param, value] = splitTerm(text);
  const owned = type !== '';
  const term: TermReading = {
    hash: hash(type, text),
    mark: isMark(param),
    column: owned && COLUMN_TERMS.has(param),
    reference: owned && isReference(value) ? [param, value] : undefined,
  };
  into.set(text, term);
  return term;
}

/** An entry as a resource of `type` keeps it (a space entry: the empty type). */
export function facetsOf(type: string, entry: IndexEntry, hash: TermHasher): Facets {
  const marks: TermHash[] = [];
  const hashes: TermHash[] = [];
  const references: Reference[] = [];
  const read = readings(type, hash);
  for (const text of new Set(entry.terms)) {
    const term = read.get(text) ?? readTerm(type, text, { hash, into: read });
    if (term.column) continue;
    (term.mark ? marks : hashes).push(term.hash);
    if (term.reference !== undefined) references.push(term.reference);
  }
  const ranges = type === '' ? entry.ranges : entry.ranges.filter((r) => r.param !== COLUMN_RANGE);
  return {
    references,
    marks: packed(marks),
    hashes: packed(hashes),
    keys: byParam(
      entry.sort.map((s) => [s.param, typeof s.key === 'number' ? numberJson(s.key) : JSON.stringify(s.key)]),
    ),
    ranges: listsByParam(ranges.map((r) => [r.param, `[${numberJson(r.lo)},${numberJson(r.hi)}]`])),
    strings: listsByParam(entry.strings.map((s) => [s.param, JSON.stringify(s.text)])),
  };
}

/** An entry as JSON; unlike `JSON.stringify` it keeps infinity. `JSON.parse` reads it back. */
export function entryJson(entry: IndexEntry): string {
  const ranges = entry.ranges.map(
    (r) => `{"param":${JSON.stringify(r.param)},"lo":${numberJson(r.lo)},"hi":${numberJson(r.hi)}}`,
  );
  const sort = entry.sort.map((s) => {
    const key = typeof s.key === 'number' ? numberJson(s.key) : JSON.stringify(s.key);
    return `{"param":${JSON.stringify(s.param)},"key":${key}}`;
  });
  return `{"terms":${JSON.stringify(entry.terms)},"strings":${JSON.stringify(entry.strings)},"ranges":[${ranges.join()}],"sort":[${sort.join()}]}`;
}

function numberJson(n: number): string {
  if (Number.isNaN(n)) throw new TypeError('an index entry holds a number that is not a number');
  if (n === Number.POSITIVE_INFINITY) return '9e999';
  if (n === Number.NEGATIVE_INFINITY) return '-9e999';
  // An exponent makes SQLite read a floating-point number: as an integer it could not come back into JavaScript.
  return Number.isInteger(n) && !Number.isSafeInteger(n) ? n.toExponential() : String(n);
}

function byParam(pairs: readonly (readonly [param: string, json: string])[]): string {
  // The first key of a parameter counts, should an entry ever hold two.
  const first = new Map<string, string>();
  for (const [param, json] of pairs) if (!first.has(param)) first.set(param, json);
  return `{${[...first].map(([param, json]) => `${JSON.stringify(param)}:${json}`).join()}}`;
}

function listsByParam(pairs: readonly (readonly [param: string, json: string])[]): string {
  if (pairs.length === 0) return '{}';
  const lists = new Map<string, string[]>();
  for (const [param, json] of pairs) {
    const list = lists.get(param);
    if (list === undefined) lists.set(param, [json]);
    else list.push(json);
  }
  return `{${[...lists].map(([param, list]) => `${JSON.stringify(param)}:[${list.join()}]`).join()}}`;
}

/** The JSON path of one parameter, for SQLite's `json_each` and `json_extract`. */
export function jsonPath(param: string): string {
  if (/["\\]/.test(param)) throw new TypeError('a parameter name holds a quote or a backslash');
  return `$."${param}"`;
}

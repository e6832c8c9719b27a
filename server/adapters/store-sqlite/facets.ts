import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Recent, recent } from './recent.ts';
import { NAME, packed, type TermHash, type TermHasher } from './term-hash.ts';

/** A term `param=Type/id` of a resource. */
export type Reference = readonly [param: string, target: string];

/** An index entry in the form its row keeps: packed hashes, two small JSON objects, and what is sealed. */
export type Facets = {
  /** The terms that guards ask about. */
  readonly marks: Uint8Array;
  /** All the others. */
  readonly hashes: Uint8Array;
  /** `{"<hash of the parameter>":1712345678901}`, of those that are not sealed. */
  readonly keys: string;
  /** `{"<hash>":[[lo,hi],…]}`, of those that are not sealed; an endless bound is `9e999`, which SQLite and JavaScript both read as infinity. */
  readonly ranges: string;
  /** Everything else, as JSON that `readHidden` reads; empty when there is nothing. */
  readonly hidden: string;
  /** Beginnings of strings are hashed into the index. */
  readonly strings: readonly { readonly param: string; readonly text: string }[];
  /** For the inverted index, which follows references by `link`. */
  readonly references: readonly Reference[];
};

/** Known from the row's own columns, so never stored a second time (and never believed from an entry). */
export const COLUMN_TERMS: ReadonlySet<string> = new Set(['_id', '_owner']);
export const COLUMN_RANGE = '_lastUpdated';

/** Whether a term of this parameter stands among the marks. `_has` does not: it tells which elements are there, and there are many. */
export const isMark = (param: string): boolean => param.startsWith('_') && param !== '_has';

/**
 * What a row keeps unsealed of ranges and sort keys, because it is asked across all persons and all the time: those that guards ask about, and
 * when an AuditEvent was recorded, which its row's own `updated` says already. Their parameters are hashed, for some name an actor.
 */
export const isOpen = (type: string, param: string): boolean =>
  type === '' || (param.startsWith('_') && param !== '_has') || (type === 'AuditEvent' && param === 'date');

/** A parameter's name in an unsealed object. */
export function blindName(param: string, hash: TermHasher): string {
  const { hi, lo } = hash(NAME, param);
  return hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0');
}

/** What was sealed of an entry, by parameter. */
export type Hidden = {
  readonly keys: Readonly<Record<string, string | number>>;
  readonly ranges: Readonly<Record<string, readonly (readonly [lo: number, hi: number])[]>>;
  readonly strings: Readonly<Record<string, readonly string[]>>;
};
export const NOTHING_HIDDEN: Hidden = { keys: {}, ranges: {}, strings: {} };

// INVARIANT: only ever written by `facetsOf`.
export const readHidden = (json: string): Hidden => (json === '' ? NOTHING_HIDDEN : (JSON.parse(json) as Hidden));

/** The value of one parameter; a parameter may be called like a method of every object. */
export const own = <T>(of: Readonly<Record<string, T>>, param: string): T | undefined =>
  Object.hasOwn(of, param) ? of[param] : undefined;

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
  const [openRanges, sealedRanges] = divided(type, ranges);
  const [openKeys, sealedKeys] = divided(type, entry.sort);
  const blind = (param: string): string => blindName(param, hash);
  // The entry of a space is sealed whole, elsewhere.
  const strings = type === '' ? [] : entry.strings;
  return {
    references,
    marks: packed(marks),
    hashes: packed(hashes),
    keys: byParam(openKeys.map((s) => [blind(s.param), keyJson(s.key)])),
    ranges: listsByParam(openRanges.map((r) => [blind(r.param), `[${numberJson(r.lo)},${numberJson(r.hi)}]`])),
    hidden: objectOf(
      sealedKeys.map((s) => [s.param, keyJson(s.key)]),
      sealedRanges.map((r) => [r.param, `[${numberJson(r.lo)},${numberJson(r.hi)}]`]),
      strings.map((s) => [s.param, JSON.stringify(s.text)]),
    ),
    strings,
  };
}

type Pairs = readonly (readonly [param: string, json: string])[];

const objectOf = (keys: Pairs, ranges: Pairs, strings: Pairs): string =>
  keys.length + ranges.length + strings.length === 0
    ? ''
    : `{"keys":${byParam(keys)},"ranges":${listsByParam(ranges)},"strings":${listsByParam(strings)}}`;

/** What `readHidden` read, as text again. */
export const hiddenJson = (hidden: Hidden): string =>
  objectOf(
    Object.entries(hidden.keys).map(([param, key]) => [param, keyJson(key)]),
    Object.entries(hidden.ranges).flatMap(([param, all]) =>
      all.map(([lo, hi]) => [param, `[${numberJson(lo)},${numberJson(hi)}]`] as const),
    ),
    Object.entries(hidden.strings).flatMap(([param, all]) => all.map((text) => [param, JSON.stringify(text)] as const)),
  );

/** Those that stay unsealed, and the others. */
function divided<T extends { readonly param: string }>(type: string, all: readonly T[]): readonly [T[], T[]] {
  const open: T[] = [];
  const sealed: T[] = [];
  for (const one of all) (isOpen(type, one.param) ? open : sealed).push(one);
  return [open, sealed];
}

const keyJson = (key: string | number): string => (typeof key === 'number' ? numberJson(key) : JSON.stringify(key));

/** An entry as JSON; unlike `JSON.stringify` it keeps infinity. `JSON.parse` reads it back. */
export function entryJson(entry: IndexEntry): string {
  const ranges = entry.ranges.map(
    (r) => `{"param":${JSON.stringify(r.param)},"lo":${numberJson(r.lo)},"hi":${numberJson(r.hi)}}`,
  );
  const sort = entry.sort.map((s) => `{"param":${JSON.stringify(s.param)},"key":${keyJson(s.key)}}`);
  return `{"terms":${JSON.stringify(entry.terms)},"strings":${JSON.stringify(entry.strings)},"ranges":[${ranges.join()}],"sort":[${sort.join()}]}`;
}

function numberJson(n: number): string {
  if (Number.isNaN(n)) throw new TypeError('an index entry holds a number that is not a number');
  if (n === Number.POSITIVE_INFINITY) return '9e999';
  if (n === Number.NEGATIVE_INFINITY) return '-9e999';
  // An exponent makes SQLite read a floating-point number: as an integer it could not come back into JavaScript.
  return Number.isInteger(n) && !Number.isSafeInteger(n) ? n.toExponential() : String(n);
}

function byParam(pairs: Pairs): string {
  // The first key of a parameter counts, should an entry ever hold two.
  const first = new Map<string, string>();
  for (const [param, json] of pairs) if (!first.has(param)) first.set(param, json);
  return `{${[...first].map(([param, json]) => `${JSON.stringify(param)}:${json}`).join()}}`;
}

function listsByParam(pairs: Pairs): string {
  if (pairs.length === 0) return '{}';
  const lists = new Map<string, string[]>();
  for (const [param, json] of pairs) {
    const list = lists.get(param);
    if (list === undefined) lists.set(param, [json]);
    else list.push(json);
  }
  return `{${[...lists].map(([param, list]) => `${JSON.stringify(param)}:[${list.join()}]`).join()}}`;
}

/** The JSON path of an unsealed parameter, for SQLite's `json_each` and `json_extract`. */
export const jsonPath = (param: string, hash: TermHasher): string => `$."${blindName(param, hash)}"`;

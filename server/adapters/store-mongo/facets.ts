/** Index entries in the form that documents keep. */
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { COLUMN_RANGE, COLUMN_TERMS, entryJson, isReference, splitTerm } from '../store-sqlite/facets.ts';
import { type Recent, recent } from '../store-sqlite/recent.ts';
import { ADDRESS, type TermHasher, termHasher } from '../store-sqlite/term-hash.ts';
import type { Facets } from './schema.ts';

/** The name of a term, or of an address, inside one database. */
export type Hashes = {
  /** A term `param=value` of a resource of `type`; a space entry has the empty type. */
  readonly term: (type: string, text: string) => bigint;
  /** `Type/id`: `self` of that resource and `t` of a reference to it. */
  readonly address: (ref: string) => bigint;
};

/** `secret` is the database's own key as hexadecimal text. */
export function hashesOf(secret: string): Hashes {
  const hash: TermHasher = termHasher(secret);
  const term = (type: string, text: string): bigint => {
    const { hi, lo } = hash(type, text);
    return BigInt.asIntN(64, (BigInt(hi) << 32n) | BigInt(lo));
  };
  return { term, address: (ref) => term(ADDRESS, ref) };
}

/** The parameter of a type, as `strings.p` and `ranges.p` have it. */
export const paramName = (type: string, param: string): string => `${type}.${param}`;

/** An entry as a resource of `type` keeps it (a space entry: the empty type). */
export function facetsOf(type: string, entry: IndexEntry, hashes: Hashes): Facets {
  const terms: bigint[] = [];
  const links: { readonly p: string; readonly t: bigint }[] = [];
  for (const text of new Set(entry.terms)) {
    const [param, value] = splitTerm(text);
    // Known from the document's own fields: not stored a second time, and never believed from an entry.
    if (type !== '' && COLUMN_TERMS.has(param)) continue;
    terms.push(hashes.term(type, text));
    if (type !== '' && isReference(value)) links.push({ p: param, t: hashes.address(value) });
  }
  const keys: Record<string, string | number> = {};
  // The first key of a parameter counts, should an entry ever hold two.
  for (const { param, key } of entry.sort) if (!Object.hasOwn(keys, fieldName(param))) keys[fieldName(param)] = key;
  return {
    terms,
    links,
    strings: entry.strings.map(({ param, text }) => ({ p: paramName(type, param), s: text })),
    ranges: entry.ranges
      .filter((r) => type === '' || r.param !== COLUMN_RANGE)
      .map(({ param, lo, hi }) => ({ p: paramName(type, param), lo: number(lo), hi: number(hi) })),
    keys,
  };
}

function number(n: number): number {
  if (Number.isNaN(n)) throw new TypeError('an index entry holds a number that is not a number');
  return n;
}

/** A parameter's name as the name of a field. */
export function fieldName(param: string): string {
  if (param === '' || /[.$\0]/.test(param)) throw new TypeError('a parameter name cannot be the name of a field');
  return param;
}

export { entryJson };

/** Parsed space entries by their text: a few kB each. */
const PARSED = 500;

/** Reads the text of a space entry, most of which were read before. */
export function entryReader(): (json: string) => IndexEntry {
  const known: Recent<string, IndexEntry> = recent(PARSED);
  return (json) => {
    const before = known.get(json);
    if (before !== undefined) return before;
    // INVARIANT: `space.entry` is only ever written by `entryJson` from an IndexEntry.
    const parsed = JSON.parse(json) as IndexEntry;
    known.set(json, parsed);
    return parsed;
  };
}

/** Index entries in the form that documents keep. */
import { type IndexEntry, termText } from '../../fhir/index-entry.ts';
import { beginningsOf } from '../store-sqlite/beginnings.ts';
import { blindName, COLUMN_RANGE, COLUMN_TERMS, entryJson, isReference, splitTerm } from '../store-sqlite/facets.ts';
import { ADDRESS, type TermHasher, termHasher } from '../store-sqlite/term-hash.ts';
import type { Facets } from './schema.ts';
import type { Texts } from './sealed.ts';

/** The name of a term, of an address or of a parameter inside one database. */
export type Hashes = {
  /** A term `param=value` of a resource of `type`; a space entry has the empty type. */
  readonly term: (type: string, text: string) => bigint;
  /** `Type/id`: `self` of that resource and `t` of a reference to it. */
  readonly address: (ref: string) => bigint;
  /** A parameter of a type, as `ranges.p` and `keys` have it. */
  readonly param: (type: string, param: string) => string;
};

/** `secret` is the key of the blind index as hexadecimal text. */
export function hashesOf(secret: string): Hashes {
  const hash: TermHasher = termHasher(secret);
  const term = (type: string, text: string): bigint => {
    const { hi, lo } = hash(type, text);
    return BigInt.asIntN(64, (BigInt(hi) << 32n) | BigInt(lo));
  };
  return {
    term,
    address: (ref) => term(ADDRESS, ref),
    param: (type, param) => blindName(`${type}.${param}`, hash),
  };
}

/** The parameter under which the beginnings of a parameter's strings stand among the terms: no search parameter has such a name. */
export const beginningParam = (param: string): string => `_begins:${param}`;

/** An entry as a resource of `type` keeps it (a space entry: the empty type); `texts` is to be sealed. */
export function facetsOf(
  type: string,
  entry: IndexEntry,
  hashes: Hashes,
): { readonly facets: Facets; readonly texts: Texts | undefined } {
  const terms = new Set<bigint>();
  const links: { readonly p: string; readonly t: bigint }[] = [];
  for (const text of new Set(entry.terms)) {
    const [param, value] = splitTerm(text);
    // Known from the document's own fields: not stored a second time, and never believed from an entry.
    if (type !== '' && COLUMN_TERMS.has(param)) continue;
    terms.add(hashes.term(type, text));
    if (type !== '' && isReference(value)) links.push({ p: param, t: hashes.address(value) });
  }
  for (const { param, text } of entry.strings)
    for (const beginning of beginningsOf(text))
      terms.add(hashes.term(type, termText(beginningParam(param), beginning)));
  const { keys, texts } = keysOf(type, entry, hashes);
  return {
    facets: {
      terms: [...terms],
      links,
      ranges: entry.ranges
        .filter((r) => type === '' || r.param !== COLUMN_RANGE)
        .map(({ param, lo, hi }) => ({ p: hashes.param(type, param), lo: number(lo), hi: number(hi) })),
      keys,
    },
    texts,
  };
}

/** Sort keys: numbers stay as they are, texts are sealed together with the strings. */
function keysOf(
  type: string,
  entry: IndexEntry,
  hashes: Hashes,
): { readonly keys: Facets['keys']; readonly texts: Texts | undefined } {
  const keys = new Map<string, number | ''>();
  const sealed = new Map<string, string>();
  for (const { param, key } of entry.sort) {
    const name = hashes.param(type, param);
    // The first key of a parameter counts, should an entry ever hold two.
    if (keys.has(name)) continue;
    keys.set(name, typeof key === 'number' ? number(key) : '');
    if (typeof key === 'string') sealed.set(param, key);
  }
  const strings = new Map<string, string[]>();
  for (const { param, text } of entry.strings) {
    const list = strings.get(param);
    if (list === undefined) strings.set(param, [text]);
    else list.push(text);
  }
  return {
    keys: Object.fromEntries(keys),
    texts:
      sealed.size + strings.size === 0
        ? undefined
        : { keys: Object.fromEntries(sealed), strings: Object.fromEntries(strings) },
  };
}

function number(n: number): number {
  if (Number.isNaN(n)) throw new TypeError('an index entry holds a number that is not a number');
  return n;
}

export { entryJson };

/**
 * The same predicate over a row that has been read already: what a guard asks about one resource is mostly the owner's space and
 * the resource's own terms, and both are at hand. `query/matches.ts` is the definition; the agreement test holds this file to it.
 */
import { EMPTY_ENTRY, type IndexEntry, termText } from '../../fhir/index-entry.ts';
import { unreachable } from '../../fhir/types.ts';
import { matches, NO_LINKS } from '../../query/matches.ts';
import type { Predicate } from '../../query/predicate.ts';
import { blindName, COLUMN_RANGE, COLUMN_TERMS, type Hidden, isMark, isOpen } from './facets.ts';
import { rangesOf, stringsOf } from './sealed.ts';
import { packedHas, type TermHash, type TermHasher, unpacked } from './term-hash.ts';

/** A row of `resource` as far as a predicate can ask without a step to another row. */
export type Judged = {
  readonly type: string;
  readonly id: string;
  readonly owner: string | undefined;
  readonly updated: number;
  readonly marks: Uint8Array;
  /** The other terms, and the rest of the row, asked for when a condition needs them: guards hardly do. */
  readonly hashes: () => Uint8Array;
  readonly rest: () => { readonly ranges: string; readonly hidden: () => Hidden };
  /** The space entry of the owner; asked for when a condition needs it. */
  readonly space: () => IndexEntry | undefined;
};

/** Whether `judge` can answer: no step to another resource anywhere. */
export function isLocal(p: Predicate): boolean {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.every(isLocal);
    case 'not':
      return isLocal(p.of);
    case 'via':
    case 'from':
      return false;
    default:
      return true;
  }
}

/** Whether a local predicate holds for a row. */
export function judge(p: Predicate, row: Judged, hash: TermHasher): boolean {
  switch (p.op) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'and':
      return p.of.every((q) => judge(q, row, hash));
    case 'or': {
      const wanted = markSet(p, row.type, hash);
      return wanted === undefined ? p.of.some((q) => judge(q, row, hash)) : hasAny(row.marks, wanted);
    }
    case 'not':
      return !judge(p.of, row, hash);
    case 'term':
      if (p.param === '_id') return row.id === p.value;
      if (p.param === '_owner') return row.owner === p.value;
      return packedHas(isMark(p.param) ? row.marks : row.hashes(), hash(row.type, termText(p.param, p.value)));
    case 'range':
      return matches(p, rangesIn(row, p.param, hash), NO_LINKS);
    case 'prefix':
    case 'contains':
      return matches(p, stringsOf(row.rest().hidden(), p.param), NO_LINKS);
    case 'owner': {
      const space = row.space();
      return space !== undefined && matches(p.of, space, NO_LINKS);
    }
    case 'via':
    case 'from':
      throw new Error('a predicate with a step to another resource was judged on one row');
    default:
      return unreachable(p);
  }
}

/** From so many alternatives on, the row's few marks are looked up among them, rather than each of them among the marks. */
const MANY = 8;

/** Hashes by their lower half. */
type MarkSet = ReadonlyMap<number, readonly TermHash[]>;

/** Remembered by the predicate itself: the readable types of a profession are one predicate for all its requests. */
const markSets = new WeakMap<Predicate, Map<string, MarkSet>>();

/** The alternatives of an `or` of many guard terms; `undefined` for any other. */
function markSet(p: Predicate & { readonly op: 'and' | 'or' }, type: string, hash: TermHasher): MarkSet | undefined {
  if (p.of.length < MANY) return undefined;
  const known = markSets.get(p)?.get(type);
  if (known !== undefined) return known;
  const set = new Map<number, TermHash[]>();
  for (const q of p.of) {
    if (q.op !== 'term' || !isMark(q.param) || COLUMN_TERMS.has(q.param)) return undefined;
    const h = hash(type, termText(q.param, q.value));
    const same = set.get(h.lo);
    if (same === undefined) set.set(h.lo, [h]);
    else same.push(h);
  }
  const byType = markSets.get(p) ?? new Map<string, MarkSet>();
  markSets.set(p, byType.set(type, set));
  return set;
}

const hasAny = (marks: Uint8Array, wanted: MarkSet): boolean =>
  unpacked(marks).some((mark) => wanted.get(mark.lo)?.some((h) => h.hi === mark.hi) === true);

function rangesIn(row: Judged, param: string, hash: TermHasher): IndexEntry {
  if (param === COLUMN_RANGE) {
    return { ...EMPTY_ENTRY, ranges: [{ param, lo: row.updated, hi: row.updated + 1 }] };
  }
  const rest = row.rest();
  if (!isOpen(row.type, param)) return rangesOf(rest.hidden().ranges, param, param);
  // INVARIANT: written by `facetsOf`.
  return rangesOf(JSON.parse(rest.ranges) as Hidden['ranges'], blindName(param, hash), param);
}

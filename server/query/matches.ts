import { type IndexEntry, termText } from '../fhir/index-entry.ts';
import { unreachable } from '../fhir/types.ts';
import type { Bound, Hop, Predicate } from './predicate.ts';

/** What a resource is linked to, as far as a predicate can ask. A resource that is deleted is marked so. */
export type Linked = { readonly entry: IndexEntry; readonly deleted: boolean; readonly links: Links };
export type Links = {
  /** The space entry of the owner, if somebody owns the resource. */
  readonly space: IndexEntry | undefined;
  /** Resources of `type` that this one names in a term `param=Type/id`. */
  readonly via: (param: string, type: string) => readonly Linked[];
  /** Resources of `type` that name this one in a term `param=Type/id`. */
  readonly from: (param: string, type: string) => readonly Linked[];
};

export const NO_LINKS: Links = { space: undefined, via: () => [], from: () => [] };

const holds = (bound: Bound | undefined, at: number): boolean => {
  if (bound === undefined) return true;
  const [cmp, limit] = bound;
  switch (cmp) {
    case '<':
      return at < limit;
    case '<=':
      return at <= limit;
    case '>':
      return at > limit;
    case '>=':
      return at >= limit;
    default:
      return unreachable(cmp);
  }
};

const reached = (found: readonly Linked[], hop: Hop): boolean =>
  found.some((r) => (hop.deleted || !r.deleted) && matches(hop.where, r.entry, r.links));

/** The meaning of a predicate. Stores translate it; the agreement test holds them to this definition. */
export function matches(p: Predicate, e: IndexEntry, links: Links): boolean {
  switch (p.op) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'and':
      return p.of.every((q) => matches(q, e, links));
    case 'or':
      return p.of.some((q) => matches(q, e, links));
    case 'not':
      return !matches(p.of, e, links);
    case 'term':
      return e.terms.includes(termText(p.param, p.value));
    case 'prefix':
      return e.strings.some((s) => s.param === p.param && s.text.startsWith(p.text));
    case 'contains':
      return e.strings.some((s) => s.param === p.param && s.text.includes(p.text));
    case 'range':
      return e.ranges.some((r) => r.param === p.param && holds(p.lo, r.lo) && holds(p.hi, r.hi));
    case 'owner':
      return links.space !== undefined && matches(p.of, links.space, NO_LINKS);
    case 'via':
      return reached(links.via(p.param, p.hop.type), p.hop);
    case 'from':
      return reached(links.from(p.param, p.hop.type), p.hop);
    default:
      return unreachable(p);
  }
}

/** Replaces every condition on the owner by its truth for one known space: what remains depends on the item alone. */
export function specialise(p: Predicate, space: IndexEntry | undefined): Predicate {
  switch (p.op) {
    case 'owner':
      return space !== undefined && matches(p.of, space, NO_LINKS) ? { op: 'all' } : { op: 'none' };
    case 'and': {
      const of: Predicate[] = [];
      let same = true;
      for (const q of p.of) {
        const s = specialise(q, space);
        if (s.op === 'none') return s;
        same &&= s === q;
        if (s.op !== 'all') of.push(s);
      }
      // What does not change stays the same object: stores remember things by it.
      if (same && of.length === p.of.length) return p;
      const [only] = of;
      return of.length === 0 ? { op: 'all' } : of.length === 1 && only ? only : { op: 'and', of };
    }
    case 'or': {
      const of: Predicate[] = [];
      let same = true;
      for (const q of p.of) {
        const s = specialise(q, space);
        if (s.op === 'all') return s;
        same &&= s === q;
        if (s.op !== 'none') of.push(s);
      }
      if (same && of.length === p.of.length) return p;
      const [only] = of;
      return of.length === 0 ? { op: 'none' } : of.length === 1 && only ? only : { op: 'or', of };
    }
    case 'not': {
      const s = specialise(p.of, space);
      if (s === p.of) return p;
      return s.op === 'all' ? { op: 'none' } : s.op === 'none' ? { op: 'all' } : { op: 'not', of: s };
    }
    default:
      return p;
  }
}

/**
 * The same predicate over a document that has been read already: a guard mostly asks about the owner's space and the resource's own
 * terms, and both are at hand. `query/matches.ts` is the definition; the agreement test holds this file to it.
 */
import { EMPTY_ENTRY, type IndexEntry, termText } from '../../fhir/index-entry.ts';
import { unreachable } from '../../fhir/types.ts';
import { matches, NO_LINKS } from '../../query/matches.ts';
import type { Predicate } from '../../query/predicate.ts';
import { COLUMN_RANGE } from '../store-sqlite/facets.ts';
import { type Hashes, paramName } from './facets.ts';
import type { CurrentDocument } from './schema.ts';

/** Whether a predicate without a step to another resource holds for a current document; conditions on its owner were decided before. */
export function judge(p: Predicate, doc: CurrentDocument, hashes: Hashes): boolean {
  switch (p.op) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'and':
      return p.of.every((q) => judge(q, doc, hashes));
    case 'or':
      return p.of.some((q) => judge(q, doc, hashes));
    case 'not':
      return !judge(p.of, doc, hashes);
    case 'term':
      if (p.param === '_id') return doc.id === p.value;
      if (p.param === '_owner') return doc.owner === p.value;
      return doc.terms.includes(hashes.term(doc.type, termText(p.param, p.value)));
    case 'range':
      return matches(p, rangesOf(doc, p.param), NO_LINKS);
    case 'prefix':
    case 'contains':
      return matches(p, stringsOf(doc, p.param), NO_LINKS);
    case 'owner':
    case 'via':
    case 'from':
      throw new Error('a predicate with a step to another document was judged on one document');
    default:
      return unreachable(p);
  }
}

function rangesOf(doc: CurrentDocument, param: string): IndexEntry {
  if (param === COLUMN_RANGE) return { ...EMPTY_ENTRY, ranges: [{ param, lo: doc.updated, hi: doc.updated + 1 }] };
  const name = paramName(doc.type, param);
  return { ...EMPTY_ENTRY, ranges: doc.ranges.filter((r) => r.p === name).map(({ lo, hi }) => ({ param, lo, hi })) };
}

function stringsOf(doc: CurrentDocument, param: string): IndexEntry {
  const name = paramName(doc.type, param);
  return { ...EMPTY_ENTRY, strings: doc.strings.filter((s) => s.p === name).map(({ s }) => ({ param, text: s })) };
}

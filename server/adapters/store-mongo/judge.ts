/**
 * The same predicate over a document that has been read already: a guard mostly asks about the owner's space and the resource's own
 * terms, and both are at hand. `query/matches.ts` is the definition; the agreement test holds this file to it.
 */
import { EMPTY_ENTRY, type IndexEntry, termText } from '../../fhir/index-entry.ts';
import { unreachable } from '../../fhir/types.ts';
import { matches, NO_LINKS } from '../../query/matches.ts';
import type { Predicate } from '../../query/predicate.ts';
import { COLUMN_RANGE } from '../store-sqlite/facets.ts';
import type { Hashes } from './facets.ts';
import type { CurrentDocument } from './schema.ts';
import { stringsOf, type Texts } from './sealed.ts';

/** What of a document is judged; a space has the empty type. */
export type Judged = Pick<CurrentDocument, 'type' | 'id' | 'owner' | 'updated' | 'terms' | 'ranges'>;

/** What judging needs beside the document; `texts` are its own, opened, where the predicate asks about text. */
export type Judging = { readonly hashes: Hashes; readonly texts: Texts };

/** Whether a predicate without a step to another resource holds for a current document; conditions on its owner were decided before. */
export function judge(p: Predicate, doc: Judged, { hashes, texts }: Judging): boolean {
  const at = { hashes, texts };
  switch (p.op) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'and':
      return p.of.every((q) => judge(q, doc, at));
    case 'or':
      return p.of.some((q) => judge(q, doc, at));
    case 'not':
      return !judge(p.of, doc, at);
    case 'term':
      if (doc.type !== '' && p.param === '_id') return doc.id === p.value;
      if (doc.type !== '' && p.param === '_owner') return doc.owner === p.value;
      return doc.terms.includes(hashes.term(doc.type, termText(p.param, p.value)));
    case 'range':
      return matches(p, rangesOf(doc, p.param, hashes), NO_LINKS);
    case 'prefix':
    case 'contains':
      return matches(p, stringsOf(texts, p.param), NO_LINKS);
    case 'owner':
    case 'via':
    case 'from':
      throw new Error('a predicate with a step to another document was judged on one document');
    default:
      return unreachable(p);
  }
}

function rangesOf(doc: Judged, param: string, hashes: Hashes): IndexEntry {
  if (doc.type !== '' && param === COLUMN_RANGE)
    return { ...EMPTY_ENTRY, ranges: [{ param, lo: doc.updated, hi: doc.updated + 1 }] };
  const name = hashes.param(doc.type, param);
  return { ...EMPTY_ENTRY, ranges: doc.ranges.filter((r) => r.p === name).map(({ lo, hi }) => ({ param, lo, hi })) };
}

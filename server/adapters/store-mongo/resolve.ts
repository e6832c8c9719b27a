/**
 * Conditions on sealed text, decided in this process. The database is asked for whatever else the question says, its guards included; what it finds
 * is opened and judged here; and the condition is put back as the list of the ids for which it holds. The question that is asked then is exact, so
 * that orders, counts and pages are the database's as always. `query/matches.ts` is the definition; the agreement test holds this file to it.
 */
import type { Document } from 'mongodb';
import { type Ref, refOf } from '../../fhir/types.ts';
import { SearchTooBroad } from '../../ports/store.ts';
import { matches, NO_LINKS } from '../../query/matches.ts';
import { ALL, and, NONE, not, or, type Predicate, term } from '../../query/predicate.ts';
import { beginningFor } from '../store-sqlite/beginnings.ts';
import { localFilter, resourceScope, SPACE, stagesOf } from './compile.ts';
import { beginningParam } from './facets.ts';
import type { CurrentDocument } from './schema.ts';
import { NO_TEXTS, stringsOf, type Texts, textsOf } from './sealed.ts';
import type { Sight } from './sight.ts';

type TextCondition = Predicate & { readonly op: 'prefix' | 'contains' };

/** So many documents are opened for one condition; a question that needs more is refused. */
const MOST_OPENED = 100_000;
/** So many at a time. */
const BATCH = 1_000;

/** Whether some condition of `p`, here or after a step, is about sealed text. */
export function asksText(p: Predicate): boolean {
  switch (p.op) {
    case 'prefix':
    case 'contains':
      return true;
    case 'and':
    case 'or':
      return p.of.some(asksText);
    case 'not':
    case 'owner':
      return asksText(p.of);
    case 'via':
    case 'from':
      return asksText(p.hop.where);
    default:
      return false;
  }
}

/** The same question without conditions on text, about documents of `type` that meet `start`. */
export async function resolved(sight: Sight, where: Predicate, type: string, start: Document): Promise<Predicate> {
  if (!asksText(where)) return where;
  const near = await withoutTextAfterSteps(sight, where, type);
  const conditions = ownConditions(near);
  if (conditions.length === 0) return near;
  const wide = widened(near, true);
  const holding = new Map<Predicate, Predicate[]>(conditions.map((c) => [c, []]));
  for await (const { id, texts } of opened(sight, { type, start, where: wide }))
    for (const [c, of] of holding) if (holds(c, texts)) of.push(term('_id', id));
  // Beyond what was looked at, a condition says nothing; the wide question keeps to it.
  return and(
    wide,
    replaced(near, (c) => or(...(holding.get(c) ?? []))),
  );
}

const holds = (p: Predicate, texts: Texts): boolean =>
  (p.op === 'prefix' || p.op === 'contains') && matches(p, stringsOf(texts, p.param), NO_LINKS);

/** The conditions on text that are about the document itself. */
function ownConditions(p: Predicate): readonly Predicate[] {
  switch (p.op) {
    case 'prefix':
    case 'contains':
      return [p];
    case 'and':
    case 'or':
      return p.of.flatMap(ownConditions);
    case 'not':
      return ownConditions(p.of);
    default:
      return [];
  }
}

/** The same predicate with something else in the place of each condition on the document's own text. */
function replaced(p: Predicate, by: (condition: TextCondition) => Predicate): Predicate {
  switch (p.op) {
    case 'prefix':
    case 'contains':
      return by(p);
    case 'and':
      return and(...p.of.map((q) => replaced(q, by)));
    case 'or':
      return or(...p.of.map((q) => replaced(q, by)));
    case 'not':
      return not(replaced(p.of, by));
    default:
      return p;
  }
}

/** What holds wherever `p` holds (`up`), or nowhere where it does not: the most that can be said without opening anything. */
export function widened(p: Predicate, up: boolean): Predicate {
  switch (p.op) {
    case 'prefix': {
      const beginning = beginningFor(p.text);
      if (!up) return NONE;
      return beginning === undefined ? ALL : term(beginningParam(p.param), beginning);
    }
    case 'contains':
      return up ? ALL : NONE;
    case 'and':
      return and(...p.of.map((q) => widened(q, up)));
    case 'or':
      return or(...p.of.map((q) => widened(q, up)));
    case 'not':
      return not(widened(p.of, !up));
    default:
      return p;
  }
}

/** Steps whose other end is asked about text become the list of what they reach. */
async function withoutTextAfterSteps(sight: Sight, p: Predicate, type: string): Promise<Predicate> {
  if (!asksText(p)) return p;
  switch (p.op) {
    case 'and':
    case 'or': {
      const of: Predicate[] = [];
      for (const q of p.of) of.push(await withoutTextAfterSteps(sight, q, type));
      return p.op === 'and' ? and(...of) : or(...of);
    }
    case 'not':
      return not(await withoutTextAfterSteps(sight, p.of, type));
    case 'owner':
      return or(...(await personsWith(sight, p.of)).map((person) => term('_owner', person)));
    case 'via':
    case 'from':
      return stepped(sight, p, type);
    default:
      return p;
  }
}

/** A step as the terms, or the ids, by which it is taken. */
async function stepped(
  sight: Sight,
  { op, param, hop }: Predicate & { readonly op: 'via' | 'from' },
  type: string,
): Promise<Predicate> {
  const start = hop.deleted ? {} : { deleted: false };
  const where = await resolved(sight, hop.where, hop.type, start);
  const { session } = sight.attempt;
  const reached = await sight.collections.current
    .aggregate<Pick<CurrentDocument, 'id' | 'owner' | 'links'>>(
      [
        { $match: { type: hop.type, ...start } },
        ...stagesOf(where, resourceScope(hop.type), sight.hashes),
        { $limit: MOST_OPENED + 1 },
        { $project: { id: 1, ...(op === 'via' ? {} : { owner: 1, links: 1 }) } },
      ],
      { session },
    )
    .toArray();
  if (reached.length > MOST_OPENED) throw new SearchTooBroad('a search opens too many documents');
  if (op === 'via') return or(...reached.map(({ id }) => term(param, refOf({ type: hop.type, id }))));
  if (param === '_owner') {
    const owned = reached.flatMap(({ owner }) => (owner?.startsWith(`${type}/`) ? [owner.slice(type.length + 1)] : []));
    return or(...[...new Set(owned)].map((id) => term('_id', id)));
  }
  const targets = new Set(reached.flatMap(({ links }) => links.filter((l) => l.p === param).map((l) => l.t)));
  if (targets.size === 0) return NONE;
  const named = await sight.collections.current
    .find({ self: { $in: [...targets] }, type }, { session, projection: { id: 1 } })
    .toArray();
  return or(...named.map(({ id }) => term('_id', id)));
}

/** The persons for whose space a condition with text in it holds. */
async function personsWith(sight: Sight, p: Predicate): Promise<readonly Ref[]> {
  const spaces = await sight.collections.space
    .find(
      { $and: [{ entry: { $ne: null } }, localFilter(withoutSteps(widened(p, true)), SPACE, sight.hashes)] },
      { session: sight.attempt.session, projection: { entry: 1 }, limit: MOST_OPENED + 1 },
    )
    .toArray();
  if (spaces.length > MOST_OPENED) throw new SearchTooBroad('a search opens too many documents');
  const sealed = spaces.flatMap(({ _id, entry }) => (entry === null ? [] : [{ owner: _id, sealed: entry }]));
  const keyOf = await sight.keys.keysFor(sealed);
  // INVARIANT: the id of a space is only ever written from a Ref.
  return sealed
    .filter((s) => matches(p, sight.readEntry(s.owner, s.sealed, keyOf), NO_LINKS))
    .map(({ owner }) => owner as Ref);
}

/** A space entry names nobody and is owned by nobody: steps from it lead nowhere. */
export function withoutSteps(p: Predicate): Predicate {
  switch (p.op) {
    case 'and':
      return and(...p.of.map(withoutSteps));
    case 'or':
      return or(...p.of.map(withoutSteps));
    case 'not':
      return not(withoutSteps(p.of));
    case 'owner':
    case 'via':
    case 'from':
      return NONE;
    default:
      return p;
  }
}

export type Opened = Pick<CurrentDocument, '_id' | 'id' | 'type' | 'no' | 'updated' | 'owner' | 'keys'> & {
  readonly texts: Texts;
};

/** The documents of a question without conditions on text, each with its own text opened. */
export async function* opened(
  sight: Sight,
  { type, start, where }: { readonly type: string; readonly start: Document; readonly where: Predicate },
): AsyncIterable<Opened> {
  const cursor = sight.collections.current.aggregate<Omit<Opened, 'texts'> & Pick<CurrentDocument, 'texts'>>(
    [
      { $match: { type, ...start } },
      ...stagesOf(where, resourceScope(type), sight.hashes),
      { $project: { id: 1, type: 1, no: 1, updated: 1, owner: 1, keys: 1, texts: 1 } },
    ],
    { session: sight.attempt.session, batchSize: BATCH },
  );
  let count = 0;
  for (let more = await cursor.hasNext(); more; more = await cursor.hasNext()) {
    const docs = cursor.readBufferedDocuments();
    count += docs.length;
    if (count > MOST_OPENED) throw new SearchTooBroad('a search opens too many documents');
    const sealed = docs.flatMap(({ owner, texts }) => (texts === null ? [] : [{ owner, sealed: texts }]));
    const keyOf = await sight.keys.keysFor(sealed);
    for (const doc of docs) yield { ...doc, texts: doc.texts === null ? NO_TEXTS : textsOf(doc, keyOf) };
  }
}

/** A guarded plan → one page. */
import type { Document } from 'mongodb';
import type { Match, Page } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import type { GuardedPlan, SortKey } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { localFilter, resourceScope, SPACE, simplified, spaceCondition, stagesOf, startsSomewhere } from './compile.ts';
import { versionOf } from './documents.ts';
import { fieldName } from './facets.ts';
import { type CurrentDocument, placeOf } from './schema.ts';
import { conjuncts, noteAcross, type Sight, spaceOf } from './sight.ts';

/** So many persons are named as a start of a search; more of them would cost more than they save. */
const PERSONS_NAMED = 1000;

/** One page of the current, not deleted resources that `plan` asks for and its guard lets through. */
export async function search(sight: Sight, plan: GuardedPlan): Promise<Page> {
  const person = pinnedOwner(plan.where);
  const where = simplified(person === undefined ? plan.where : specialise(plan.where, await spaceOf(sight, person)));
  const start = person === undefined ? await startOf(sight, where) : { owner: person, place: placeOf(person) };
  if (where.op === 'none' || start === undefined) {
    if (person === undefined) await noteAcross(sight, plan.type, plan.where, []);
    return { matches: [], more: false, ...(plan.total ? { total: 0 } : {}) };
  }
  const found = [
    { $match: { type: plan.type, deleted: false, ...start } },
    ...stagesOf(where, resourceScope(plan.type), sight.hashes),
  ];
  const { session } = sight.attempt;
  const docs = await sight.collections.current
    .aggregate<CurrentDocument>([...found, ...pageOf(plan)], { session })
    .toArray();
  const matches = docs
    .slice(0, plan.limit)
    .map((doc): Match => ({ ...versionOf(doc), position: [...plan.sort.map((key) => positionOf(key, doc)), doc.id] }));
  if (person === undefined)
    await noteAcross(
      sight,
      plan.type,
      plan.where,
      docs.slice(0, plan.limit).flatMap((doc) => doc.owner ?? []),
    );
  const more = docs.length > plan.limit;
  if (!plan.total) return { matches, more };
  if (plan.after === undefined && !more) return { matches, more, total: matches.length };
  const [counted] = await sight.collections.current
    .aggregate<{ readonly n: number }>([...found, { $count: 'n' }], { session })
    .toArray();
  return { matches, more, total: Number(counted?.n ?? 0) };
}

/** The one person whom a question names as the owner. */
function pinnedOwner(where: Predicate): string | undefined {
  const pin = conjuncts(where).find((p) => p.op === 'term' && p.param === '_owner');
  return pin?.op === 'term' ? pin.value : undefined;
}

/** Where a search that names nobody starts: at the spaces that can meet its conditions. `undefined`: there are none. */
async function startOf(sight: Sight, where: Predicate): Promise<Document | undefined> {
  const of = spaceCondition(where);
  if (of.op === 'all' || !startsSomewhere(of)) return {};
  const spaces = await sight.collections.space
    .find(
      { $and: [{ entry: { $ne: null } }, localFilter(of, SPACE, sight.hashes)] },
      { session: sight.attempt.session, projection: { _id: 1 }, limit: PERSONS_NAMED + 1 },
    )
    .toArray();
  if (spaces.length > PERSONS_NAMED) return {};
  if (spaces.length === 0) return undefined;
  return { owner: { $in: spaces.map((s) => s._id) } };
}

/** The stages of order, place and size. */
function pageOf(plan: GuardedPlan): readonly Document[] {
  const absent: Record<string, Document> = {};
  const order: Record<string, 1 | -1> = {};
  plan.sort.forEach((key, i) => {
    const field = fieldOf(key);
    // Resources without the key come last in both directions.
    if (field.startsWith('keys.')) {
      absent[`_absent${i}`] = { $cond: [{ $lte: [`$${field}`, null] }, 1, 0] };
      order[`_absent${i}`] = 1;
    }
    order[field] ??= key.descending ? -1 : 1;
  });
  order['id'] ??= 1;
  return [
    ...(plan.after === undefined ? [] : [{ $match: laterThan(plan.sort, plan.after) }]),
    ...(Object.keys(absent).length === 0 ? [] : [{ $set: absent }]),
    { $sort: order },
    { $limit: plan.limit + 1 },
    { $project: { terms: 0, links: 0, strings: 0, ranges: 0 } },
  ];
}

/** The field a resource is sorted by. */
function fieldOf(key: SortKey): string {
  if (key.param === '_id') return 'id';
  if (key.param === '_lastUpdated') return 'updated';
  return `keys.${fieldName(key.param)}`;
}

function positionOf(key: SortKey, doc: CurrentDocument): string | number | null {
  if (key.param === '_id') return doc.id;
  if (key.param === '_lastUpdated') return doc.updated;
  return doc.keys[key.param] ?? null;
}

/** Strictly after a position in that order: nothing is skipped or repeated, whatever was written since. */
function laterThan(sort: readonly SortKey[], after: readonly (string | number | null)[]): Document {
  if (after.length !== sort.length + 1) throw new RangeError('the position does not fit the order');
  const level = sort.map((key, i) => ({ [fieldOf(key)]: after[i] ?? null }));
  const ways = sort.map((key, i) => ({
    $and: [...level.slice(0, i), beyond(fieldOf(key), after[i] ?? null, key.descending)],
  }));
  return { $or: [...ways, { $and: [...level, { id: { $gt: after[sort.length] ?? null } }] }] };
}

/** Numbers come before text, and nothing at all comes last both ways; a comparison speaks of its own kind only. */
function beyond(field: string, at: string | number | null, descending: boolean): Document {
  if (at === null) return { _id: null };
  const otherKind = typeof at === 'number' ? !descending : descending;
  return {
    $or: [
      { [field]: { [descending ? '$lt' : '$gt']: at } },
      { [field]: null },
      ...(otherKind ? [{ [field]: { $type: typeof at === 'number' ? 'string' : 'number' } }] : []),
    ],
  };
}

/** A guarded plan → one page. */
import type { Document } from 'mongodb';
import type { Match, Page } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import type { GuardedPlan, SortKey } from '../../query/plan.ts';
import { NONE, type Predicate } from '../../query/predicate.ts';
import { own } from '../store-sqlite/facets.ts';
import { inOrder, type Position } from '../store-sqlite/order.ts';
import { localFilter, resourceScope, SPACE, simplified, spaceCondition, stagesOf, startsSomewhere } from './compile.ts';
import type { Hashes } from './facets.ts';
import { opened, resolved, widened, withoutSteps } from './resolve.ts';
import { type CurrentDocument, placeOf } from './schema.ts';
import { conjuncts, noteAcross, openedVersions, type Sight, spaceOf } from './sight.ts';
import { ofOwners, walked } from './walk.ts';

/** So many persons are named as a start of a search: as many as a practice has. Of more, the question would grow beyond what may be asked at once. */
const PERSONS_NAMED = 5000;

/** One page of the current, not deleted resources that `plan` asks for and its guard lets through. */
export async function search(sight: Sight, plan: GuardedPlan): Promise<Page> {
  const person = pinnedOwner(plan.where);
  const asked = simplified(person === undefined ? plan.where : specialise(plan.where, await spaceOf(sight, person)));
  const start: Start | undefined =
    person === undefined ? await startOf(sight, asked) : { owner: person, place: placeOf(person) };
  const where = start === undefined ? NONE : await settled(sight, asked, plan.type, start);
  if (where.op === 'none' || start === undefined) {
    if (person === undefined) await noteAcross(sight, plan.type, plan.where, []);
    return { matches: [], more: false, ...(plan.total ? { total: 0 } : {}) };
  }
  const found = [
    { $match: { type: plan.type, deleted: false, ...start } },
    ...stagesOf(where, resourceScope(plan.type), sight.hashes),
  ];
  const page =
    (await pageInOrder(sight, plan, found)) ??
    (await pageByText(sight, plan, { where, start: { deleted: false, ...start } }));
  const docs = page.docs.slice(0, plan.limit);
  // Whom the page is about is touched before anything of theirs is opened.
  if (person === undefined)
    await noteAcross(
      sight,
      plan.type,
      plan.where,
      docs.flatMap(({ doc }) => doc.owner ?? []),
    );
  const versions = await openedVersions(
    sight,
    docs.map(({ doc }) => doc),
  );
  const matches = versions.map((version, i): Match => ({ ...version, position: docs[i]?.position ?? [] }));
  const more = page.docs.length > plan.limit;
  if (!plan.total) return { matches, more };
  if (page.total !== undefined) return { matches, more, total: page.total };
  if (plan.after === undefined && !more) return { matches, more, total: matches.length };
  const [counted] = await sight.collections.current
    .aggregate<{ readonly n: number }>([...found, { $count: 'n' }], { session: sight.attempt.session })
    .toArray();
  return { matches, more, total: Number(counted?.n ?? 0) };
}

/** Where a search starts: at what one person owns, or some; or at everything. */
type Start = { readonly owner?: string | { readonly $in: readonly string[] }; readonly place?: number };

/** The question as the database can answer it: without conditions on text, and without steps where it starts at persons. */
async function settled(sight: Sight, where: Predicate, type: string, start: Start): Promise<Predicate> {
  const from = { deleted: false, ...start };
  if (start.owner === undefined) return resolved(sight, where, type, from);
  const asked = typeof start.owner === 'string' ? where : await ofOwners(sight, where, start.owner.$in);
  return resolved(sight, await walked(sight, asked, type, from), type, from);
}

/** A page as found, one document longer than asked for when there are more; `total` where all were counted. */
type FoundPage = {
  readonly docs: readonly { readonly doc: CurrentDocument; readonly position: Position }[];
  readonly total?: number;
};

/**
 * The page in the database's order, where it knows it: `undefined` when a text decides, which is sealed. A document without a text among its keys
 * compares with every other one as it should, for texts as such have their place, so a page without any is exact.
 */
async function pageInOrder(
  sight: Sight,
  plan: GuardedPlan,
  found: readonly Document[],
): Promise<FoundPage | undefined> {
  const names = plan.sort.map((key) => sight.hashes.param(plan.type, key.param));
  if (plan.sort.some((key, i) => isKept(key) && typeof plan.after?.[i] === 'string')) return undefined;
  const docs = await sight.collections.current
    .aggregate<CurrentDocument>([...found, ...pageOf(plan, sight.hashes)], { session: sight.attempt.session })
    .toArray();
  if (docs.some((doc) => plan.sort.some((key, i) => isKept(key) && doc.keys[names[i] ?? ''] === ''))) return undefined;
  return {
    docs: docs.map((doc) => ({
      doc,
      position: [...plan.sort.map((key, i) => builtIn(key, doc) ?? doc.keys[names[i] ?? ''] ?? null), doc.id],
    })),
  };
}

/** The page in an order of texts: every match is opened and put in order here, and the page's documents are fetched. */
async function pageByText(
  sight: Sight,
  plan: GuardedPlan,
  { where, start }: { readonly where: Predicate; readonly start: Document },
): Promise<FoundPage> {
  const names = plan.sort.map((key) => sight.hashes.param(plan.type, key.param));
  const all: { readonly _id: string; readonly position: Position }[] = [];
  for await (const doc of opened(sight, { type: plan.type, start, where })) {
    const keys = plan.sort.map(
      (key, i) => builtIn(key, doc) ?? own(doc.texts.keys, key.param) ?? doc.keys[names[i] ?? ''] ?? null,
    );
    all.push({ _id: doc._id, position: [...keys, doc.id] });
  }
  const { after } = plan;
  const later = after === undefined ? all : all.filter(({ position }) => inOrder(plan.sort, position, after) > 0);
  const page = later.sort((a, b) => inOrder(plan.sort, a.position, b.position)).slice(0, plan.limit + 1);
  const docs = await sight.collections.current
    .find({ _id: { $in: page.map(({ _id }) => _id) } }, { session: sight.attempt.session, projection: UNINDEXED })
    .toArray();
  const byId = new Map(docs.map((doc) => [doc._id, doc]));
  return {
    total: all.length,
    docs: page.flatMap(({ _id, position }) => {
      const doc = byId.get(_id);
      return doc === undefined ? [] : [{ doc, position }];
    }),
  };
}

/** The one person whom a question names as the owner. */
function pinnedOwner(where: Predicate): string | undefined {
  const pin = conjuncts(where).find((p) => p.op === 'term' && p.param === '_owner');
  return pin?.op === 'term' ? pin.value : undefined;
}

/** Where a search that names nobody starts: at the spaces that can meet its conditions. `undefined`: there are none. */
async function startOf(sight: Sight, where: Predicate): Promise<Start | undefined> {
  const of = withoutSteps(widened(spaceCondition(where), true));
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
function pageOf(plan: GuardedPlan, hashes: Hashes): readonly Document[] {
  const fieldOf = (key: SortKey): string => fieldName(plan.type, key, hashes);
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
    ...(plan.after === undefined ? [] : [{ $match: laterThan(plan.sort, plan.after, fieldOf) }]),
    ...(Object.keys(absent).length === 0 ? [] : [{ $set: absent }]),
    { $sort: order },
    { $limit: plan.limit + 1 },
    { $project: UNINDEXED },
  ];
}

/** A document without what was only there to find it. */
const UNINDEXED = { terms: 0, links: 0, ranges: 0 } as const;

/** Whether a resource is sorted by a key of its own, rather than by what every document has. */
const isKept = (key: SortKey): boolean => key.param !== '_id' && key.param !== '_lastUpdated';

/** The field a resource is sorted by. */
function fieldName(type: string, key: SortKey, hashes: Hashes): string {
  if (key.param === '_id') return 'id';
  if (key.param === '_lastUpdated') return 'updated';
  return `keys.${hashes.param(type, key.param)}`;
}

/** What every document has to sort by. */
function builtIn(key: SortKey, doc: Pick<CurrentDocument, 'id' | 'updated'>): string | number | undefined {
  if (key.param === '_id') return doc.id;
  return key.param === '_lastUpdated' ? doc.updated : undefined;
}

/** Strictly after a position in that order: nothing is skipped or repeated, whatever was written since. */
function laterThan(
  sort: readonly SortKey[],
  after: readonly (string | number | null)[],
  fieldOf: (key: SortKey) => string,
): Document {
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

/** What one attempt at a unit sees, and whom it touches by looking. decision 0007. */
import { type IndexEntry, termText } from '../../fhir/index-entry.ts';
import { type Key, refOf } from '../../fhir/types.ts';
import { specialise } from '../../query/matches.ts';
import type { Guard } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { isLocal, resourceScope, stagesOf } from './compile.ts';
import type { Hashes } from './facets.ts';
import { judge } from './judge.ts';
import { type Collections, type CurrentDocument, placeOf } from './schema.ts';
import type { Attempt } from './transaction.ts';

export type Core = {
  readonly collections: Collections;
  readonly hashes: Hashes;
  readonly readEntry: (json: string) => IndexEntry;
  /** Types that are only ever appended: nobody decides from what is not there yet. */
  readonly appended: ReadonlySet<string>;
};

/** What one attempt knows of the database: nobody else changes it, so each thing is asked for once. */
export type Sight = Core & {
  readonly attempt: Attempt;
  /** Current documents by `Type/id`. */
  readonly documents: Map<string, CurrentDocument | undefined>;
  /** Spaces by person: a person in here was touched. */
  readonly spaces: Map<string, { readonly entry: IndexEntry | undefined; readonly known: boolean }>;
  /** Questions across persons, by type: what a write of that type makes a claim of. */
  readonly asked: Map<string, Set<bigint>>;
  readonly written: Set<string>;
};

/** Nothing is known yet. */
export const newSight = (core: Core, attempt: Attempt): Sight => ({
  ...core,
  attempt,
  documents: new Map(),
  spaces: new Map(),
  asked: new Map(),
  written: new Set(),
});

/** The current document of `key`, tombstones included; its owner is touched. */
export async function currentOf(sight: Sight, key: Key): Promise<CurrentDocument | undefined> {
  const ref = refOf(key);
  if (sight.documents.has(ref)) return sight.documents.get(ref);
  const doc = (await sight.collections.current.findOne({ _id: ref }, { session: sight.attempt.session })) ?? undefined;
  sight.documents.set(ref, doc);
  if (doc !== undefined && doc.owner !== null) await spaceOf(sight, doc.owner);
  return doc;
}

/**
 * The space of a person. Asking for it touches the person: the document is written, so that this unit and any other that
 * touches the person cannot both commit from the same state (security.md 5.1).
 */
export async function spaceOf(sight: Sight, person: string): Promise<IndexEntry | undefined> {
  const known = sight.spaces.get(person);
  if (known !== undefined) return known.entry;
  sight.attempt.hold(person);
  const doc = await sight.collections.space.findOneAndUpdate(
    { _id: person, place: placeOf(person) },
    { $inc: { units: 1 } },
    { session: sight.attempt.session, returnDocument: 'after', projection: { entry: 1 } },
  );
  const entry = doc === null || doc.entry === null ? undefined : sight.readEntry(doc.entry);
  // A person who owns nothing and has no space is not made known by being asked for.
  sight.spaces.set(person, { entry, known: doc !== null });
  return entry;
}

/** Whether `p` holds for a current document, deleted or not. */
export async function holdsFor(sight: Sight, doc: CurrentDocument, p: Predicate): Promise<boolean> {
  const rest = specialise(p, doc.owner === null ? undefined : await spaceOf(sight, doc.owner));
  if (isLocal(rest)) return judge(rest, doc, sight.hashes);
  const found = await sight.collections.current
    .aggregate(
      [
        { $match: { _id: doc._id, place: doc.place } },
        ...stagesOf(rest, resourceScope(doc.type), sight.hashes),
        { $project: { _id: 1 } },
      ],
      { session: sight.attempt.session },
    )
    .toArray();
  return found.length > 0;
}

/** The current document, when the guard lets it through. */
export async function visible(sight: Sight, key: Key, guard: Guard): Promise<CurrentDocument | undefined> {
  if (guard.type !== key.type) return undefined;
  const doc = await currentOf(sight, key);
  return doc !== undefined && (await holdsFor(sight, doc, guard.residual)) ? doc : undefined;
}

/** Notes a question across persons, and touches everybody whom the answer is about. */
export async function noteAcross(
  sight: Sight,
  type: string,
  where: Predicate,
  owners: Iterable<string>,
): Promise<void> {
  const asked = sight.asked.get(type) ?? new Set<bigint>();
  for (const text of askedAcrossPersons(where)) asked.add(sight.hashes.term(type, text));
  sight.asked.set(type, asked);
  const fresh = [...new Set(owners)].filter((owner) => !sight.spaces.has(owner)).sort();
  if (fresh.length === 0) return;
  for (const owner of fresh) sight.attempt.touch(owner);
  await sight.collections.space.updateMany(
    { _id: { $in: fresh }, place: { $in: fresh.map(placeOf) } },
    { $inc: { units: 1 } },
    { session: sight.attempt.session },
  );
}

/**
 * The plain terms that a question across persons names: what a unit that goes on to write this type has decided from. A question without
 * any is one question.
 */
export function askedAcrossPersons(where: Predicate): readonly string[] {
  const named = conjuncts(where).flatMap((p) => (p.op === 'or' ? p.of : [p]));
  const terms = named.flatMap((p) =>
    p.op === 'term' && (!p.param.startsWith('_') || p.param === '_master') ? [termText(p.param, p.value)] : [],
  );
  return terms.length === 0 ? [''] : terms;
}

export const conjuncts = (p: Predicate): readonly Predicate[] => (p.op === 'and' ? p.of.flatMap(conjuncts) : [p]);

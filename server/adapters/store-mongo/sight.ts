/** What one attempt at a unit sees, and whom it touches by looking. decision 0007. */
import { type IndexEntry, termText } from '../../fhir/index-entry.ts';
import { type Key, refOf } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import type { Predicate } from '../../query/predicate.ts';
import type { KeyOf, KeyRing, OwnedPiece } from '../vault/key-ring.ts';
import { type DataKey, Unreadable, versionOfKey } from '../vault/seal.ts';
import type { Uploads } from './content.ts';
import type { Hashes } from './facets.ts';
import { type Neighbours, noNeighbours } from './neighbours.ts';
import { type Collections, type CurrentDocument, placeOf, type VersionFields } from './schema.ts';
import { bytesOf, type EntryReader, NO_TEXTS, type Texts, textsOf, versionOf } from './sealed.ts';
import type { Attempt } from './transaction.ts';

export type Core = {
  readonly collections: Collections;
  readonly hashes: Hashes;
  readonly keys: KeyRing;
  readonly readEntry: EntryReader;
  /** Keys of complete uploads that wait for a version to take them over: they lie in the memory of this server alone. */
  readonly uploads: Uploads;
  /** Types that are only ever appended: nobody decides from what is not there yet. */
  readonly appended: ReadonlySet<string>;
};

/** What one attempt knows of the database: nobody else changes it, so each thing is asked for once. */
export type Sight = Core & {
  readonly attempt: Attempt;
  /** Current documents by `Type/id`. */
  readonly documents: Map<string, CurrentDocument | undefined>;
  /** Spaces by person: a person in here was touched. */
  readonly spaces: Map<string, Touched>;
  /** Questions across persons, by type: what a write of that type makes a claim of. */
  readonly asked: Map<string, Set<bigint>>;
  readonly written: Set<string>;
  readonly neighbours: Neighbours;
};

/** A person as this attempt knows them. */
export type Touched = {
  readonly entry: IndexEntry | undefined;
  /** Whether there is a document of them. */
  readonly known: boolean;
  /** The number of their data key; null: nothing of theirs is sealed. */
  readonly key: number | null;
};

/** Nothing is known yet. */
export const newSight = (core: Core, attempt: Attempt): Sight => ({
  ...core,
  attempt,
  documents: new Map(),
  spaces: new Map(),
  asked: new Map(),
  written: new Set(),
  neighbours: noNeighbours(),
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
    { session: sight.attempt.session, returnDocument: 'after', projection: { entry: 1, key: 1 } },
  );
  // A person who owns nothing and has no space is not made known by being asked for.
  const touched = { entry: undefined, known: doc !== null, key: doc?.key ?? null };
  sight.spaces.set(person, touched);
  if (doc === null || doc.entry === null) return undefined;
  const sealed = bytesOf(doc.entry);
  const entry = sight.readEntry(person, sealed, await keysFor(sight, [{ owner: person, sealed }]));
  sight.spaces.set(person, { ...touched, entry });
  return entry;
}

/**
 * The keys that sealed these pieces, which are this store's own. Of a person who was touched, the key is the one that their document names: one
 * that was destroyed opens nothing, whatever this process still has in memory.
 */
export async function keysFor(sight: Sight, pieces: readonly OwnedPiece[]): Promise<KeyOf> {
  for (const { owner, sealed } of pieces) {
    const touched = owner === null ? undefined : sight.spaces.get(owner);
    if (touched !== undefined && touched.key !== versionOfKey(sealed))
      throw new Unreadable('the key of what is stored does not exist any more');
  }
  return sight.keys.keysFor(pieces);
}

/** The key that seals what belongs to `owner`, who is known (`writes.ts`). */
export async function sealingKey(sight: Sight, owner: string | null): Promise<DataKey> {
  if (owner === null) return sight.keys.nobody;
  const number = sight.spaces.get(owner)?.key ?? null;
  if (number === null) throw new Error('something was sealed for a person who has no key yet');
  return sight.keys.numbered(owner, number);
}

/** Versions as they leave the store. */
export async function openedVersions(sight: Sight, docs: readonly VersionFields[]): Promise<readonly Version[]> {
  const keyOf = await keysFor(
    sight,
    docs.map(({ owner, sealed }) => ({ owner, sealed: bytesOf(sealed) })),
  );
  return docs.map((doc) => versionOf(doc, keyOf));
}

/** One of them. */
export async function openedVersion(sight: Sight, doc: VersionFields): Promise<Version> {
  const keyOf = await keysFor(sight, [{ owner: doc.owner, sealed: bytesOf(doc.sealed) }]);
  return versionOf(doc, keyOf);
}

/** The sealed values of a current document. */
export async function openedTexts(sight: Sight, doc: CurrentDocument): Promise<Texts> {
  if (doc.texts === null) return NO_TEXTS;
  return textsOf(doc, await keysFor(sight, [{ owner: doc.owner, sealed: bytesOf(doc.texts) }]));
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

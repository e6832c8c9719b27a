/** Writing: a new version, what was recorded about one, a person's space entry, and the claims of a unit. */
import { BSON } from 'mongodb';
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import { type Filing, type Put, ResourceTooLarge } from '../../ports/store.ts';
import type { DataKey } from '../vault/seal.ts';
import { versionText } from '../vault/version.ts';
import { contentFor } from './content.ts';
import { fieldsOf } from './documents.ts';
import { entryJson, facetsOf } from './facets.ts';
import { isDuplicate } from './faults.ts';
import { forget } from './neighbours.ts';
import { type CurrentDocument, type Facets, placeOf, type VersionFields } from './schema.ts';
import { contexts, sealPiece, type Texts } from './sealed.ts';
import { currentOf, openedTexts, openedVersion, type Sight, sealingKey, spaceOf } from './sight.ts';

/** Makes a person known who is about to own something, with a key for it, which is durable before anything that it seals. */
async function known(sight: Sight, person: string): Promise<void> {
  const entry = await spaceOf(sight, person);
  const touched = sight.spaces.get(person);
  if (touched?.known === true && touched.key !== null) return;
  const { version: key } = await sight.keys.newest(person);
  const { session } = sight.attempt;
  const place = placeOf(person);
  if (touched?.known === true)
    await sight.collections.space.updateOne({ _id: person, place }, { $set: { key } }, { session });
  else
    await sight.collections.space.insertOne(
      { _id: person, place, units: 1, key, entry: null, terms: [], ranges: [] },
      { session },
    );
  sight.spaces.set(person, { entry, known: true, key });
}

/** How the application numbers the version that creates a resource. */
const FIRST = '1';

const isThere = ({ key, versionId }: Put): Error => new Error(`version ${versionId} of ${refOf(key)} is there already`);

/** Writes a version. Throws when the current version has this id already. */
export async function put(sight: Sight, next: Put): Promise<void> {
  const { current, history } = sight.collections;
  const { session } = sight.attempt;
  const ref = refOf(next.key);
  // Ids are made here: that a first version is new is left to its insertion to find out, which saves a journey for each.
  const isFirst = next.versionId === FIRST && !sight.documents.has(ref);
  const before = isFirst ? undefined : await currentOf(sight, next.key);
  if (before !== undefined && before.no === next.versionId) throw isThere(next);
  if (next.owner !== undefined) await known(sight, next.owner);
  // What belongs to nobody has turns of its own.
  else sight.attempt.hold(ref);
  sight.written.add(next.key.type);
  const owner = next.owner ?? null;
  const key = await sealingKey(sight, owner);
  const fields = fieldsOf(next, (before?.seq ?? 0) + 1, key);
  // A tombstone is asked about what the resource was: with nothing new to say, its entry stays, sealed anew for the version as it is now.
  const { facets, texts } =
    before !== undefined && next.deleted && next.entry.terms.length === 0
      ? { facets: facetsKept(before), texts: before.texts === null ? undefined : await openedTexts(sight, before) }
      : facetsOf(next.key.type, next.entry, sight.hashes);
  const doc: CurrentDocument = {
    _id: ref,
    self: sight.hashes.address(ref),
    ...fields,
    ...facets,
    texts: sealedTexts(key, fields, texts),
    content: before === undefined ? null : await contentFor(sight, before, owner),
  };
  if (isTooLarge(doc)) throw new ResourceTooLarge('the resource is too large for one document');
  if (before === undefined) {
    await current.insertOne(doc, { session }).catch((error: unknown) => {
      throw isFirst && isDuplicate(error) ? isThere(next) : error;
    });
  } else {
    const { type, id, no, seq, updated, deleted, place, sealed } = before;
    await history.insertOne(
      {
        _id: `${ref}#${seq}`,
        key: ref,
        until: next.lastUpdated,
        type,
        id,
        no,
        seq,
        updated,
        deleted,
        owner: before.owner,
        place,
        sealed,
      },
      { session },
    );
    await current.replaceOne({ _id: ref, place }, doc, { session });
  }
  sight.documents.set(ref, doc);
  forget(sight.neighbours);
}

/** MongoDB's own limit, less what a command adds around a document. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024 - 16 * 1024;
/** Below these nothing need be measured: an index entry is some hundred bytes. */
const SMALL_BODY = 3_000_000;
const SMALL_ENTRY = 10_000;

function isTooLarge(doc: CurrentDocument): boolean {
  const entries = doc.terms.length + doc.links.length + doc.ranges.length;
  if (doc.sealed.length + (doc.texts?.length ?? 0) < SMALL_BODY && entries < SMALL_ENTRY) return false;
  return BSON.calculateObjectSize(doc) > MAX_DOCUMENT_BYTES;
}

const facetsKept = ({ terms, links, ranges, keys }: CurrentDocument): Facets => ({ terms, links, ranges, keys });

const sealedTexts = (
  key: DataKey,
  { type, id, no, owner }: VersionFields,
  texts: Texts | undefined,
): CurrentDocument['texts'] =>
  texts === undefined
    ? null
    : sealPiece(key, owner, { context: contexts.texts({ type, id, no }), plain: JSON.stringify(texts) });

/** Changes what the server recorded about the current version, and its entry. Throws when there is no such resource. */
export async function refile(
  sight: Sight,
  key: Key,
  change: { readonly filing: Filing; readonly entry: IndexEntry },
): Promise<void> {
  const before = await currentOf(sight, key);
  if (before === undefined) throw new Error(`${refOf(key)} cannot be refiled: it does not exist`);
  sight.written.add(key.type);
  const { body } = await openedVersion(sight, before);
  const { facets, texts } = facetsOf(key.type, change.entry, sight.hashes);
  const sealing = await sealingKey(sight, before.owner);
  const plain = versionText({ filing: change.filing, body });
  const changed = {
    ...facets,
    sealed: sealPiece(sealing, before.owner, { context: contexts.version(before), plain }),
    texts: sealedTexts(sealing, before, texts),
  };
  if (isTooLarge({ ...before, ...changed })) throw new ResourceTooLarge('the resource is too large for one document');
  await sight.collections.current.updateOne(
    { _id: before._id, place: before.place },
    { $set: changed },
    { session: sight.attempt.session },
  );
  sight.documents.set(before._id, { ...before, ...changed });
  forget(sight.neighbours);
}

/** Replaces the space entry of a person. */
export async function putSpace(sight: Sight, person: Ref, entry: IndexEntry): Promise<void> {
  await known(sight, person);
  const { terms, ranges } = facetsOf('', entry, sight.hashes).facets;
  const sealing = await sealingKey(sight, person);
  const sealed = sealPiece(sealing, person, { context: contexts.space(), plain: entryJson(entry) });
  await sight.collections.space.updateOne(
    { _id: person, place: placeOf(person) },
    { $set: { entry: sealed, terms, ranges } },
    { session: sight.attempt.session },
  );
  sight.spaces.set(person, { entry, known: true, key: sealing.version });
  forget(sight.neighbours);
}

/** A unit that asked something across persons and then wrote that type has decided from the answer: it claims the question. */
export async function claim(sight: Sight): Promise<void> {
  const claims = new Set<bigint>();
  for (const type of sight.written) {
    if (!sight.appended.has(type)) for (const question of sight.asked.get(type) ?? []) claims.add(question);
  }
  for (const _id of [...claims].sort()) {
    await sight.collections.claim.updateOne(
      { _id },
      { $inc: { units: 1 } },
      { session: sight.attempt.session, upsert: true },
    );
  }
}

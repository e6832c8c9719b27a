/** Writing: a new version, what was recorded about one, a person's space entry, and the claims of a unit. */
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { Filing, Put } from '../../ports/store.ts';
import { fieldsOf, filingText } from './documents.ts';
import { entryJson, facetsOf } from './facets.ts';
import { type CurrentDocument, placeOf } from './schema.ts';
import { currentOf, type Sight, spaceOf } from './sight.ts';

/** Makes a person known who is about to own something. */
async function known(sight: Sight, person: string): Promise<void> {
  const entry = await spaceOf(sight, person);
  if (sight.spaces.get(person)?.known === true) return;
  await sight.collections.space.insertOne(
    { _id: person, place: placeOf(person), units: 1, entry: null, terms: [], strings: [], ranges: [] },
    { session: sight.attempt.session },
  );
  sight.spaces.set(person, { entry, known: true });
}

/** Writes a version. Throws when the current version has this id already. */
export async function put(sight: Sight, next: Put): Promise<void> {
  const { current, history } = sight.collections;
  const { session } = sight.attempt;
  const ref = refOf(next.key);
  const before = await currentOf(sight, next.key);
  if (before !== undefined && before.no === next.versionId)
    throw new Error(`version ${next.versionId} of ${ref} is there already`);
  if (next.owner !== undefined) await known(sight, next.owner);
  // What belongs to nobody has turns of its own.
  else sight.attempt.hold(ref);
  sight.written.add(next.key.type);
  const fields = fieldsOf(next, (before?.seq ?? 0) + 1);
  // A tombstone is asked about what the resource was: with nothing new to say, its entry stays.
  const facets =
    before !== undefined && next.deleted && next.entry.terms.length === 0
      ? facetsKept(before)
      : facetsOf(next.key.type, next.entry, sight.hashes);
  const doc: CurrentDocument = {
    _id: ref,
    self: sight.hashes.address(ref),
    ...fields,
    ...facets,
    content: before?.content ?? null,
  };
  if (before === undefined) {
    await current.insertOne(doc, { session });
  } else {
    const { type, id, no, seq, updated, deleted, owner, place, filing, body } = before;
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
        owner,
        place,
        filing,
        body,
      },
      { session },
    );
    await current.replaceOne({ _id: ref, place }, doc, { session });
  }
  sight.documents.set(ref, doc);
}

const facetsKept = ({ terms, links, strings, ranges, keys }: CurrentDocument) => ({
  terms,
  links,
  strings,
  ranges,
  keys,
});

/** Changes what the server recorded about the current version, and its entry. Throws when there is no such resource. */
export async function refile(
  sight: Sight,
  key: Key,
  change: { readonly filing: Filing; readonly entry: IndexEntry },
): Promise<void> {
  const before = await currentOf(sight, key);
  if (before === undefined) throw new Error(`${refOf(key)} cannot be refiled: it does not exist`);
  sight.written.add(key.type);
  const changed = { filing: filingText(change.filing), ...facetsOf(key.type, change.entry, sight.hashes) };
  await sight.collections.current.updateOne(
    { _id: before._id, place: before.place },
    { $set: changed },
    { session: sight.attempt.session },
  );
  sight.documents.set(before._id, { ...before, ...changed });
}

/** Replaces the space entry of a person. */
export async function putSpace(sight: Sight, person: Ref, entry: IndexEntry): Promise<void> {
  await known(sight, person);
  const { terms, strings, ranges } = facetsOf('', entry, sight.hashes);
  await sight.collections.space.updateOne(
    { _id: person, place: placeOf(person) },
    { $set: { entry: entryJson(entry), terms, strings, ranges } },
    { session: sight.attempt.session },
  );
  sight.spaces.set(person, { entry, known: true });
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

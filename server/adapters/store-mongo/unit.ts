/** The methods of one unit over one attempt at a transaction. */
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import { type Filing, type Put, StoreUnavailable, type StoreUnit } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import type { Guard } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { isLocal, resourceScope, stagesOf } from './compile.ts';
import { attach, chunkOf } from './content.ts';
import { fieldsOf, filingText, versionOf } from './documents.ts';
import { entryJson, facetsOf, type Hashes } from './facets.ts';
import { judge } from './judge.ts';
import { type Collections, type CurrentDocument, placeOf } from './schema.ts';
import { askedAcrossPersons, search } from './search.ts';
import type { Attempt } from './transaction.ts';
import { versionById, versionsOf } from './versions.ts';

export type Core = {
  readonly collections: Collections;
  readonly hashes: Hashes;
  readonly readEntry: (json: string) => IndexEntry;
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

/** A unit that is open until it is closed; `failure` is the first error its methods met, which undoes it whatever became of it. */
export type OpenUnit = {
  readonly unit: StoreUnit;
  /** Waits for what was begun, then refuses more. */
  close(): Promise<void>;
  failure(): { readonly error: unknown } | undefined;
  /** Writes what makes this unit conflict with others; before the commit. */
  settle(): Promise<void>;
};

export function openUnit(core: Core, attempt: Attempt): OpenUnit {
  const sight: Sight = {
    ...core,
    attempt,
    documents: new Map(),
    spaces: new Map(),
    asked: new Map(),
    written: new Set(),
  };
  let open = true;
  let failed: { readonly error: unknown } | undefined;
  let last: Promise<unknown> = Promise.resolve();

  /** One operation after another: a transaction has one conversation. */
  const next = <T>(work: () => Promise<T>): Promise<T> => {
    if (!open) return Promise.reject(new Error('the unit has ended'));
    const done = last.then(() => {
      if (failed !== undefined) throw failed.error;
      if (performance.now() >= attempt.until) throw new StoreUnavailable('the database is too slow');
      return work();
    });
    last = done.catch((error: unknown) => {
      failed ??= { error };
    });
    return done;
  };

  const unit: StoreUnit = {
    read: (key, guard) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : versionOf(doc);
      }),
    vread: (key, versionId, guard) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : versionById(sight, doc, versionId);
      }),
    history: (key, guard, page) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : versionsOf(sight, doc, page);
      }),
    search: (plan) => next(() => search(sight, plan)),
    test: (key, guard, where) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc !== undefined && (await holdsFor(sight, doc, where));
      }),
    testEach: (key, guard, where) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        const held: boolean[] = [];
        for (const p of where) held.push(doc !== undefined && (await holdsFor(sight, doc, p)));
        return held;
      }),
    space: (person) => next(() => spaceOf(sight, person)),
    put: (version) => next(() => put(sight, version)),
    refile: (key, filing, entry) => next(() => refile(sight, key, { filing, entry })),
    putSpace: (person, entry) => next(() => putSpace(sight, person, entry)),
    attachBytes: (key, upload) => next(() => attach(sight, key, upload)),
    chunk: (key, guard, index) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : chunkOf(sight, doc, index);
      }),
    bytes: (key) =>
      next(async () => {
        const doc = await currentOf(sight, key);
        if (doc === undefined || doc.deleted || doc.content === null) return undefined;
        return { size: doc.content.size, sha1: doc.content.sha1 };
      }),
  };
  return {
    unit,
    async close() {
      open = false;
      await last;
    },
    failure: () => failed,
    settle: () => claim(sight),
  };
}

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
async function visible(sight: Sight, key: Key, guard: Guard): Promise<CurrentDocument | undefined> {
  if (guard.type !== key.type) return undefined;
  const doc = await currentOf(sight, key);
  return doc !== undefined && (await holdsFor(sight, doc, guard.residual)) ? doc : undefined;
}

/** Writes a version. Throws when the current version has this id already. */
async function put(sight: Sight, next: Put): Promise<void> {
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
async function refile(
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
async function putSpace(sight: Sight, person: Ref, entry: IndexEntry): Promise<void> {
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
async function claim(sight: Sight): Promise<void> {
  const claims = new Set<bigint>();
  for (const type of sight.written) for (const question of sight.asked.get(type) ?? []) claims.add(question);
  for (const _id of [...claims].sort()) {
    await sight.collections.claim.updateOne(
      { _id },
      { $inc: { units: 1 } },
      { session: sight.attempt.session, upsert: true },
    );
  }
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

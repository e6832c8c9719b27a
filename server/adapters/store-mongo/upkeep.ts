/** What an operator does with the database: inspection, destruction, export, new wrappings of keys. Each step is small, so servers go on meanwhile. */
import { createHash } from 'node:crypto';
import { type ClientSession, type MongoClient, MongoError, MongoServerError } from 'mongodb';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { MasterKey } from '../../ports/master-key.ts';
import type { StoreUnit } from '../../ports/store.ts';
import type { ArchivedVersion, Fault, Upkeep } from '../../ports/upkeep.ts';
import type { KeyOf } from '../vault/key-ring.ts';
import { unwrapped } from '../vault/vault.ts';
import { describes } from '../vault/version.ts';
import { chunkId, contentWith, type OpenContent, openedChunk } from './content.ts';
import { facetsOf } from './facets.ts';
import type { MongoKeyShelf } from './key-shelf.ts';
import { type CurrentDocument, type HistoryDocument, placeOf, type SpaceDocument } from './schema.ts';
import { bytesOf, NO_TEXTS, textsOf, versionOf } from './sealed.ts';
import { type Core, currentOf, openedTexts, type Sight } from './sight.ts';

const BATCH = 100;
/** Not found: the place before the first resource. */
const START = { type: '', id: '' };

type Parts = {
  readonly client: MongoClient;
  readonly core: Core;
  readonly keys: MongoKeyShelf;
  readonly master: MasterKey;
  /** What a unit of this store sees. */
  readonly sightOf: (unit: StoreUnit) => Sight;
};

/** A resource with all its versions, the oldest first. */
type Life = { readonly doc: CurrentDocument; readonly earlier: readonly HistoryDocument[] };

export function upkeepOf({ client, core, keys, master, sightOf }: Parts): Upkeep {
  const { current, history, space, chunk } = core.collections;
  const inSession = (session: ClientSession | undefined) => (session === undefined ? {} : { session });

  const withHistory = async (docs: readonly CurrentDocument[], session?: ClientSession): Promise<readonly Life[]> => {
    const earlier = new Map<string, HistoryDocument[]>();
    const found = history.find(
      { key: { $in: docs.map(({ _id }) => _id) } },
      { ...inSession(session), sort: { key: 1, seq: 1 } },
    );
    for await (const doc of found) earlier.set(doc.key, [...(earlier.get(doc.key) ?? []), doc]);
    return docs.map((doc) => ({ doc, earlier: earlier.get(doc._id) ?? [] }));
  };

  /** Every resource, some at a time, by type and id. */
  async function* allLives(session?: ClientSession): AsyncIterable<readonly Life[]> {
    for (let after: Key = START; ; ) {
      const docs = await current
        .find(
          { $or: [{ type: after.type, id: { $gt: after.id } }, { type: { $gt: after.type } }] },
          { ...inSession(session), sort: { type: 1, id: 1 }, limit: BATCH },
        )
        .toArray();
      const last = docs.at(-1);
      if (last === undefined) return;
      yield await withHistory(docs, session);
      after = last;
    }
  }

  /** Chunks never change, so they are read whenever they are asked for. */
  async function* partsOf(content: OpenContent): AsyncIterable<Uint8Array> {
    for (let index = 0, done = 0; done < content.size; index += 1) {
      const found = await chunk.findOne({ _id: chunkId(content.upload, index) });
      const part = openedChunk(content, index, found?.data);
      done += part.length;
      yield part;
    }
  }

  /** The keys of these resources, whichever still exist. */
  const keysOfLives = (lives: readonly Life[]): Promise<KeyOf> =>
    core.keys.keysFor(
      lives.flatMap(({ doc, earlier }) =>
        [doc, ...earlier].map(({ owner, sealed }) => ({ owner, sealed: bytesOf(sealed) })),
      ),
    );

  function* archived({ doc, earlier }: Life, keyOf: KeyOf): Iterable<ArchivedVersion> {
    for (const one of [...earlier, doc]) {
      const brought = doc.content !== null && doc.content.no === one.no ? doc.content : undefined;
      const content = brought === undefined ? undefined : contentWith(keyOf, doc, brought);
      yield {
        version: versionOf(one, keyOf),
        current: one === doc,
        ...(content === undefined
          ? {}
          : { content: { size: content.size, sha1: content.sha1, parts: () => partsOf(content) } }),
      };
    }
  }

  async function* everything(session?: ClientSession): AsyncIterable<ArchivedVersion> {
    for await (const lives of allLives(session)) {
      const keyOf = await keysOfLives(lives);
      for (const life of lives) yield* archived(life, keyOf);
    }
  }

  /** Faults of one resource: every version opens and is what its document says it is, and so are bytes and sealed values. */
  async function* faultsOf(life: Life, keyOf: KeyOf, gone: ReadonlySet<string>): AsyncIterable<Fault> {
    const { doc, earlier } = life;
    for (const one of [...earlier, doc]) {
      const what = await fault(() => describes(versionOf(one, keyOf)));
      // Of an owner who was before, and whose key is gone: nobody is shown it any more.
      const isHidden = one !== doc && one.owner !== doc.owner && one.owner !== null && gone.has(one.owner);
      if (what !== undefined && !isHidden) yield { at: `${doc._id}/_history/${one.no}`, what };
    }
    const what = await fault(async () => {
      if (doc.texts !== null) textsOf(doc, keyOf);
      if (doc.self !== core.hashes.address(doc._id)) return 'it is found under another address';
      if (doc.place !== placeOf(doc.owner)) return 'it lies in the place of another owner';
      if (doc.content === null) return undefined;
      const content = contentWith(keyOf, doc, doc.content);
      const sha1 = createHash('sha1');
      for await (const part of partsOf(content)) sha1.update(part);
      return sha1.digest('base64') === content.sha1 ? undefined : 'its bytes are not those that were stored';
    });
    if (what !== undefined) yield { at: doc._id, what };
  }

  async function* keyFaults(): AsyncIterable<Fault> {
    for await (const { owner, ...key } of keys.all()) {
      const what = await fault(() => {
        unwrapped(master, owner, key);
        return undefined;
      });
      if (what !== undefined) yield { at: `the key of ${owner}`, what };
    }
  }

  /** Each person's document names the key that is theirs, and their space opens. */
  async function* personFaults(): AsyncIterable<Fault> {
    for await (const doc of space.find({ key: { $ne: null } })) {
      const { _id: person, key: number, entry } = doc;
      const what = await fault(async () => {
        await core.keys.numbered(person, number ?? 0);
        if (entry === null) return undefined;
        core.readEntry(person, entry, await core.keys.keysFor([{ owner: person, sealed: bytesOf(entry) }]));
        return undefined;
      });
      if (what !== undefined) yield { at: `the space of ${person}`, what };
    }
  }

  /** Removes everything a person owns; needs no key. What goes last leads to what went before, so that it can be ended after an interruption. */
  const erase = async (person: Ref): Promise<number> => {
    for (let erased = 0; ; ) {
      const docs = await current
        .find({ owner: person, place: placeOf(person) }, { projection: { content: 1 }, limit: BATCH })
        .toArray();
      if (docs.length === 0) return erased;
      for (const { content } of docs)
        if (content !== null)
          await chunk.deleteMany({ _id: { $gte: `${content.upload}/`, $lt: `${content.upload}0` } });
      const ids = docs.map(({ _id }) => _id);
      await history.deleteMany({ key: { $in: ids } });
      const { deletedCount } = await current.deleteMany({ _id: { $in: ids }, owner: person });
      erased += deletedCount;
    }
  };
  /**
   * Lets go of a person's key, and of their rights. Units at work on the person conflict with this and are done again; later ones see that what
   * was sealed is not to be opened any more.
   */
  const letGo = (person: Ref): Promise<unknown> => {
    const nothing: Pick<SpaceDocument, 'key' | 'entry' | 'terms' | 'ranges'> = {
      key: null,
      entry: null,
      terms: [],
      ranges: [],
    };
    core.keys.forget(person);
    return space.updateOne({ _id: person, place: placeOf(person) }, { $set: nothing, $inc: { units: 1 } });
  };

  return {
    async *inspect(progress) {
      yield* keyFaults();
      yield* personFaults();
      const gone = new Set(await keys.destroyed());
      const of = (await counts()).versions;
      let done = 0;
      for await (const lives of allLives()) {
        const keyOf = await keysOfLives(lives);
        for (const life of lives) {
          yield* faultsOf(life, keyOf, gone);
          done += 1 + life.earlier.length;
        }
        progress(done, of);
      }
      const orphans = await history
        .aggregate<{ readonly n: number }>([
          {
            $lookup: {
              from: 'current',
              localField: 'key',
              foreignField: '_id',
              as: 'of',
              pipeline: [{ $project: { _id: 1 } }],
            },
          },
          { $match: { of: [] } },
          { $count: 'n' },
        ])
        .toArray();
      if (orphans[0] !== undefined)
        yield { at: 'the database', what: `${orphans[0].n} versions belong to no resource` };
    },
    async differs(unit, key, entry) {
      const sight = sightOf(unit);
      const doc = await currentOf(sight, key);
      if (doc === undefined) return 'it is not there';
      const { facets, texts } = facetsOf(key.type, entry, sight.hashes);
      if (sorted(doc.terms) !== sorted(facets.terms)) return 'the terms of its index are not those of the resource';
      if (sorted(doc.links) !== sorted(facets.links))
        return 'the references of its index are not those of the resource';
      if (sorted(doc.ranges) !== sorted(facets.ranges)) return 'the ranges of its index are not those of the resource';
      if (sorted(Object.entries(doc.keys)) !== sorted(Object.entries(facets.keys)))
        return 'the sort keys of its index are not those of the resource';
      return sorted(textLines(await openedTexts(sight, doc))) === sorted(textLines(texts ?? NO_TEXTS))
        ? undefined
        : 'the sealed values of its index are not those of the resource';
    },
    isShredded: async (person) => (await keys.destroyed([person])).length > 0,
    async shred(person, at) {
      const destroyed = await keys.destroy(person, at);
      await letGo(person);
      return { keys: destroyed, resources: await erase(person) };
    },
    async eraseShredded() {
      let erased = 0;
      for (const owner of await keys.destroyed()) {
        // INVARIANT: only persons, whose names are references, are ever shredded.
        const person = owner as Ref;
        await letGo(person);
        erased += await erase(person);
      }
      return erased;
    },
    async *archive({ asOneState } = { asOneState: false }) {
      if (!asOneState) {
        yield* everything();
        return;
      }
      const session = client.startSession({ snapshot: true });
      try {
        yield* everything(session);
      } catch (error) {
        if (error instanceof MongoServerError && SNAPSHOT_GONE.has(Number(error.code)))
          throw new Error(WINDOW, { cause: error });
        throw error;
      } finally {
        await session.endSession();
      }
    },
    async *archiveOf(resources) {
      const docs = await current.find({ _id: { $in: resources.map(refOf) } }).toArray();
      const lives = new Map((await withHistory(docs)).map((life) => [life.doc._id, life]));
      const keyOf = await keysOfLives([...lives.values()]);
      for (const key of resources) {
        const life = lives.get(refOf(key));
        if (life !== undefined) yield* archived(life, keyOf);
      }
    },
    async held(resources) {
      // Versions are counted by the current one.
      const docs = await current.find({ _id: { $in: resources.map(refOf) } }, { projection: { seq: 1 } }).toArray();
      const seqs = new Map(docs.map(({ _id, seq }) => [_id, seq]));
      return resources.map((key) => seqs.get(refOf(key)) ?? 0);
    },
    counts: () => counts(),
    async *spaces() {
      // INVARIANT: the id of a space is only ever written from a Ref.
      for await (const { _id } of space.find({ entry: { $ne: null } }, { projection: { _id: 1 }, sort: { _id: 1 } }))
        yield _id as Ref;
    },
    async *rewrapKeys() {
      const by = master.current;
      await keys.useMaster(by);
      for (;;) {
        const { all, other } = await keys.count(by);
        yield { done: all - other, of: all };
        if (other === 0) return;
        await keys.rewrap(by, BATCH);
      }
    },
  };

  async function counts(): Promise<{ readonly versions: number; readonly resources: number }> {
    const [now, before] = [await current.countDocuments(), await history.countDocuments()];
    return { versions: now + before, resources: now };
  }
}

/** SnapshotTooOld, SnapshotUnavailable: the server keeps the past for a while only. */
const SNAPSHOT_GONE = new Set([239, 246]);
const WINDOW =
  'the copy took longer than the database keeps its past: raise minSnapshotHistoryWindowInSeconds for as long as it takes, and begin again';

/** What is wrong: a sentence, or nothing. Errors other than those of opening are no answer. */
async function fault(look: () => string | undefined | Promise<string | undefined>): Promise<string | undefined> {
  try {
    return (await look()) ?? undefined;
  } catch (error) {
    if (error instanceof MongoError) throw error;
    return error instanceof Error ? error.message : 'cannot be read';
  }
}

const textLines = ({ keys, strings }: typeof NO_TEXTS): readonly unknown[] => [
  ...Object.entries(keys),
  ...Object.entries(strings).flatMap(([param, all]) => all.map((text) => [param, [text]])),
];

/** A list as a set. */
const sorted = (list: readonly unknown[]): string =>
  list
    .map((one) =>
      JSON.stringify(one, (_name, value: unknown) =>
        typeof value === 'bigint' || typeof value === 'number' ? String(value) : value,
      ),
    )
    .sort()
    .join('\n');

/**
 * Wrapped data keys in a database of their own, so that a dump of the data holds none (decision 0008, 0011). Every statement stands for itself, outside
 * the units, acknowledged by a majority before what the key seals is written: an undone unit leaves a key too many, never one too few.
 */
import { randomUUID } from 'node:crypto';
import { type Collection, type Db, type Filter, MongoServerError } from 'mongodb';
import type { Instant } from '../../fhir/types.ts';
import type { MasterKey } from '../../ports/master-key.ts';
import type { SharedShelf } from '../vault/key-ring.ts';
import { rewrapped, type ShelvedKey } from '../vault/vault.ts';

const SCHEMA_VERSION = 1;

/** `_id` is the owner. A key that was destroyed leaves its number, so that the next one has another. */
type KeyDocument = {
  readonly _id: string;
  readonly version: number;
  /** The master key that wrapped it; null with `wrapped`: destroyed. */
  readonly by: string | null;
  readonly wrapped: Uint8Array | null;
  readonly destroyed: Instant | null;
};

/** `_id` is always `keys`. `id` names this shelf in the stores whose keys it holds; `master` wraps new keys. */
type ShelfDocument = { readonly _id: string; readonly schema: number; readonly id: string; readonly master: string };

export type MongoKeyShelf = SharedShelf & {
  readonly id: string;
  /** Destroys the key of an owner; answers how many there were. */
  destroy(owner: string, at: Instant): Promise<number>;
  /** Owners whose keys were destroyed, those of `owners` or all. */
  destroyed(owners?: readonly string[]): Promise<readonly string[]>;
  /** Sets the master key that new keys are wrapped with. */
  useMaster(by: string): Promise<void>;
  /** How many keys there are, and how many of them are wrapped by another master key than `by`. */
  count(by: string): Promise<{ readonly all: number; readonly other: number }>;
  /** Wraps at most `limit` keys anew that another master key than `by` wrapped. */
  rewrap(by: string, limit: number): Promise<void>;
  /** Every key. */
  all(): AsyncIterable<ShelvedKey & { readonly owner: string }>;
};

export type OpenShelf = {
  readonly db: Db;
  readonly master: MasterKey;
  /** The id that the data name; `undefined` where there are no data yet. */
  readonly expected: string | undefined;
};

/** Opens the shelf, or makes it where the data are new. Throws one sentence when it is not the one of the data: they cannot be read without it. */
export async function openKeyShelf({ db, master, expected }: OpenShelf): Promise<MongoKeyShelf> {
  const keys = db.collection<KeyDocument>('key');
  const shelves = db.collection<ShelfDocument>('shelf');
  if (expected === undefined) await prepare(db, master.current);
  const found = await shelves.findOne({ _id: 'keys' });
  if (found === null) throw new Error('the database of the keys is missing, and the store cannot be read without it');
  if (found.schema !== SCHEMA_VERSION)
    throw new Error(
      `the database of the keys has schema version ${found.schema}, this server writes version ${SCHEMA_VERSION}`,
    );
  if (expected !== undefined && expected !== found.id)
    throw new Error('the database of the keys is that of another store');
  return shelfOver({ keys, shelves, master, id: found.id });
}

async function prepare(db: Db, master: string): Promise<void> {
  const others = (await db.listCollections({}, { nameOnly: true }).toArray()).map((c) => c.name);
  if (others.some((name) => name !== 'key' && name !== 'shelf'))
    throw new Error('the database of the keys holds collections of another program');
  await db.collection('key').createIndex({ by: 1 }, { name: 'by' });
  // Two servers that start together agree on the first one's.
  await db
    .collection<ShelfDocument>('shelf')
    .updateOne(
      { _id: 'keys' },
      { $setOnInsert: { schema: SCHEMA_VERSION, id: randomUUID(), master } },
      { upsert: true },
    );
}

const DUPLICATE_KEY = 11_000;
const isDuplicate = (error: unknown): boolean => error instanceof MongoServerError && error.code === DUPLICATE_KEY;

const living: Filter<KeyDocument> = { wrapped: { $ne: null } };

function shelved({ version, by, wrapped }: KeyDocument): ShelvedKey | undefined {
  return by === null || wrapped === null ? undefined : { version, wrapped: { by, bytes: wrapped } };
}

type Shelf = {
  readonly keys: Collection<KeyDocument>;
  readonly shelves: Collection<ShelfDocument>;
  readonly master: MasterKey;
  readonly id: string;
};

function shelfOver({ keys, shelves, master, id }: Shelf): MongoKeyShelf {
  /** The id of the master key that wraps new keys. */
  const current = async (): Promise<string> => {
    const found = await shelves.findOne({ _id: 'keys' }, { projection: { master: 1 } });
    if (found === null) throw new Error('the database of the keys has lost its master');
    return found.master;
  };
  /** Wraps keys anew. One that was destroyed meanwhile stays so. */
  const move = async (by: string, docs: readonly KeyDocument[]): Promise<void> => {
    for (const doc of docs) {
      const key = shelved(doc);
      if (key === undefined) continue;
      const moved = rewrapped(master, doc._id, key, by);
      await keys.updateOne(
        { _id: doc._id, version: key.version, by: key.wrapped.by },
        { $set: { by: moved.by, wrapped: moved.bytes } },
      );
    }
  };

  /** Puts a new key where there is none; answers whether nobody else was first. */
  const add = async (owner: string, before: KeyDocument | null, key: ShelvedKey): Promise<boolean> => {
    const fields = { version: key.version, by: key.wrapped.by, wrapped: key.wrapped.bytes };
    if (before !== null) {
      const { modifiedCount } = await keys.updateOne(
        { _id: owner, version: before.version, wrapped: null },
        { $set: fields },
      );
      return modifiedCount === 1;
    }
    try {
      await keys.insertOne({ _id: owner, ...fields, destroyed: null });
      return true;
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      return false;
    }
  };

  return {
    id,
    async find(owners) {
      const found = new Map<string, ShelvedKey>();
      for await (const doc of keys.find({ _id: { $in: [...owners] }, ...living })) {
        const key = shelved(doc);
        if (key !== undefined) found.set(doc._id, key);
      }
      return found;
    },
    async findOrAdd(owner, make) {
      for (;;) {
        const before = await keys.findOne({ _id: owner });
        const there = before === null ? undefined : shelved(before);
        if (there !== undefined) return there;
        const by = await current();
        const version = (before?.version ?? 0) + 1;
        const key = { version, wrapped: make(version, by) };
        const isOurs = await add(owner, before, key);
        // A rotation that began meanwhile may have looked for keys before this one was there.
        const now = await current();
        if (now !== by) await move(now, await keys.find({ _id: owner, by }).toArray());
        else if (isOurs) return key;
      }
    },
    async destroy(owner, at) {
      const { modifiedCount } = await keys.updateOne(
        { _id: owner, ...living },
        { $set: { by: null, wrapped: null, destroyed: at } },
      );
      return modifiedCount;
    },
    async destroyed(owners) {
      const among: Filter<KeyDocument> = owners === undefined ? {} : { _id: { $in: [...owners] } };
      const found = await keys
        .find({ destroyed: { $ne: null }, ...among }, { projection: { _id: 1 }, sort: { _id: 1 } })
        .toArray();
      return found.map((doc) => doc._id);
    },
    async useMaster(by) {
      await shelves.updateOne({ _id: 'keys' }, { $set: { master: by } });
    },
    async count(by) {
      const [all, other] = [
        await keys.countDocuments(living),
        await keys.countDocuments({ $and: [living, { by: { $ne: by } }] }),
      ];
      return { all, other };
    },
    rewrap: async (by, limit) =>
      move(by, await keys.find({ $and: [living, { by: { $ne: by } }] }, { limit }).toArray()),
    async *all() {
      for await (const doc of keys.find(living)) {
        const key = shelved(doc);
        if (key !== undefined) yield { owner: doc._id, ...key };
      }
    },
  };
}

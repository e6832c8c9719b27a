/** Stores on a test's own databases, which are emptied rather than made anew: an index costs more than the documents of a test. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import {
  MONGO_STORE_DEFAULTS,
  type MongoStore,
  type MongoStoreOptions,
  openMongoStore,
} from '../../server/adapters/store-mongo/store.ts';
import { fileMasterKey } from '../../server/adapters/vault/file-master-key.ts';
import type { ReplicaSet } from './mongod.ts';

export type MongoShelf = {
  /** The URL of a database by this name, which nobody else uses. */
  readonly url: (name: string) => string;
  readonly open: (name: string, part?: Partial<MongoStoreOptions>) => Promise<MongoStore>;
  /** Drops every document of a database, but not its keys. */
  readonly empty: (name: string) => Promise<void>;
  /** Makes `to` hold what `from` holds, its keys included. */
  readonly copy: (from: string, to: string) => Promise<void>;
  /** The key file that all its stores are opened with. */
  readonly keyFile: string;
  readonly client: MongoClient;
  /** Drops the databases. */
  readonly dispose: () => Promise<void>;
};

/** As a server runs it, but for a busy machine: what is tested with these is what comes out, not how soon. */
const PATIENT = {
  ...MONGO_STORE_DEFAULTS,
  limits: { ...MONGO_STORE_DEFAULTS.limits, patienceMs: 50_000 },
  operationMs: 30_000,
};

export async function mongoShelf(set: Pick<ReplicaSet, 'url'>): Promise<MongoShelf> {
  const prefix = `carnet_${randomBytes(6).toString('hex')}_`;
  const used = new Set<string>();
  const database = (name: string): string => {
    used.add(name);
    return `${prefix}${name}`;
  };
  const url = (name: string): string => set.url(database(name));
  const client = new MongoClient(set.url('admin'), { useBigInt64: true, writeConcern: { w: 'majority' } });
  const collections = async (name: string) => client.db(database(name)).collections();
  const folder = await mkdtemp(join(tmpdir(), 'carnet-keys-'));
  const keyFile = join(folder, 'master.key');
  await writeFile(keyFile, randomBytes(48).toString('base64'), { mode: 0o600 });
  const open: MongoShelf['open'] = (name, part = {}) =>
    openMongoStore({ ...PATIENT, clock: { now: () => 0 }, master: fileMasterKey(keyFile), ...part, url: url(name) });
  /** What a store keeps: its data, and its keys beside them. */
  const databasesOf = (name: string) => [database(name), `${database(name)}_keys`].map((db) => client.db(db));
  return {
    url,
    keyFile,
    client,
    open,
    empty: async (name) => {
      for (const collection of await collections(name))
        if (collection.collectionName !== 'meta') await collection.deleteMany({});
    },
    copy: async (from, to) => {
      // Opened once, so that it has its indexes.
      if ((await collections(to)).length === 0) await (await open(to)).close();
      const targets = databasesOf(to);
      for (const [i, db] of databasesOf(from).entries()) {
        for (const collection of await db.collections()) {
          const target = targets[i]?.collection(collection.collectionName);
          await target?.deleteMany({});
          const documents = await collection.find({}).toArray();
          if (documents.length > 0) await target?.insertMany(documents);
        }
      }
    },
    dispose: async () => {
      for (const db of [...used].flatMap(databasesOf)) await db.dropDatabase();
      await client.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

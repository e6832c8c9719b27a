/**
 * Where a store lies, as a thief has it and as somebody who may write to it: its settings, every file that it leaves, and the ciphertexts in it, to be
 * read and to be put in other places. The same for both stores.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { MongoClient } from 'mongodb';
import { startReplicaSet } from './mongod.ts';

export type Disk = {
  /** What a server on this store is started with. */
  readonly env: Readonly<Record<string, string>>;
  /** Every file of the store, its journals and its logs. */
  readonly files: () => readonly string[];
  /** How the names of some files that must be there end. */
  readonly mustHave: readonly string[];
  /** Stops the database, where it is a process of its own, as an orderly stop does. */
  readonly stop: () => Promise<void>;
  /** The ciphertext of the current version of `Type/id`. */
  readonly body: (ref: string) => Promise<Uint8Array>;
  /** That of the version before. */
  readonly earlierBody: (ref: string) => Promise<Uint8Array>;
  readonly putBody: (ref: string, bytes: Uint8Array) => Promise<void>;
  /** The sealed rights of a person. */
  readonly rights: (person: string) => Promise<Uint8Array>;
  readonly putRights: (person: string, bytes: Uint8Array) => Promise<void>;
  /** A chunk of the one content that has three. */
  readonly chunk: (index: number) => Promise<Uint8Array>;
  readonly putChunk: (index: number, bytes: Uint8Array | undefined) => Promise<void>;
  /** Writes a text where the store writes, in clear. */
  readonly plant: (text: string) => Promise<void>;
  readonly dispose: () => Promise<void>;
};

export const filesIn = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);

const bytesOf = (value: unknown): Uint8Array => {
  if (!(value instanceof Uint8Array)) throw new Error('there is no such ciphertext');
  return value;
};
const idOf = (ref: string): string => ref.split('/')[1] ?? '';

/** The embedded store, in a folder of its own. */
export async function embeddedDisk(): Promise<Disk> {
  const folder = mkdtempSync(join(tmpdir(), 'carnet-disk-'));
  const path = join(folder, 'carnet.db');
  const using = <T>(work: (db: DatabaseSync) => T): T => {
    const db = new DatabaseSync(path, { timeout: 5_000 });
    try {
      return work(db);
    } finally {
      db.close();
    }
  };
  const read = async (query: string, ...values: readonly SQLInputValue[]): Promise<Uint8Array> =>
    bytesOf(Object.values(using((db) => db.prepare(query).get(...values)) ?? {})[0]);
  const write = async (statement: string, ...values: readonly SQLInputValue[]): Promise<void> => {
    if (using((db) => db.prepare(statement).run(...values)).changes !== 1) throw new Error(`nothing: ${statement}`);
  };
  const vid = 'SELECT vid FROM resource WHERE id = ?';
  const chunk = '(SELECT key / 1048576 FROM chunk WHERE key % 1048576 = 2) * 1048576';
  return {
    env: { CARNET_STORE: `sqlite:${path}` },
    files: () => filesIn(folder),
    mustHave: ['carnet.db', 'carnet.db-wal', 'carnet.db.keys', 'carnet.db.key'],
    stop: async () => undefined,
    body: (ref) => read(`SELECT sealed FROM version WHERE vid = (${vid})`, idOf(ref)),
    earlierBody: (ref) =>
      read(
        'SELECT e.sealed FROM resource r JOIN version v ON v.vid = r.vid JOIN version e ON e.vid = v.prev WHERE r.id = ?',
        idOf(ref),
      ),
    putBody: (ref, bytes) => write(`UPDATE version SET sealed = ? WHERE vid = (${vid})`, bytes, idOf(ref)),
    rights: (person) => read('SELECT entry FROM person WHERE ref = ?', person),
    putRights: (person, bytes) => write('UPDATE person SET entry = ? WHERE ref = ?', bytes, person),
    chunk: (index) => read(`SELECT data FROM chunk WHERE key = ${chunk} + ?`, index),
    putChunk: (index, bytes) =>
      bytes === undefined
        ? write(`DELETE FROM chunk WHERE key = ${chunk} + ?`, index)
        : write(`UPDATE chunk SET data = ? WHERE key = ${chunk} + ?`, bytes, index),
    plant: async (text) => using((db) => db.exec(`CREATE TABLE planted AS SELECT '${text}' AS text`)),
    dispose: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A mongod of its own, which compresses nothing, so that nothing can hide, and writes every operation to its log. */
export async function mongodbDisk(): Promise<Disk> {
  const folder = mkdtempSync(join(tmpdir(), 'carnet-disk-'));
  const plainly = [
    ['--wiredTigerCollectionBlockCompressor', 'none'],
    ['--wiredTigerJournalCompressor', 'none'],
    ['--wiredTigerIndexPrefixCompression', 'false'],
    ['--logpath', join(folder, 'mongod.log')],
    ['--slowms', '0'],
  ];
  const set = await startReplicaSet({ members: 1, args: plainly.flat() });
  const client = new MongoClient(set.url('carnet'));
  const options = await client.db('admin').command({ getCmdLineOpts: 1 });
  const dbPath = String(options['parsed'].storage.dbPath);
  const keyFile = join(folder, 'master.key');
  writeFileSync(keyFile, randomBytes(48).toString('base64'), { mode: 0o600 });
  const db = client.db('carnet');
  const documents = (name: string) => db.collection<{ _id: string; [field: string]: unknown }>(name);
  const read = async (name: string, _id: string, field: string): Promise<Uint8Array> =>
    bytesOf((await documents(name).findOne({ _id }, { promoteBuffers: true }))?.[field]);
  const write = async (name: string, _id: string, fields: Readonly<Record<string, unknown>>): Promise<void> => {
    const { matchedCount } = await documents(name).updateOne({ _id }, { $set: fields });
    if (matchedCount !== 1) throw new Error(`there is no ${_id}`);
  };
  const chunkId = async (index: number): Promise<string> => {
    const third = await documents('chunk').findOne({ _id: /\/2$/ }, { projection: { _id: 1 } });
    return `${third?._id.split('/')[0]}/${index}`;
  };
  return {
    env: { CARNET_STORE: set.url('carnet'), CARNET_MASTER_KEY_FILE: keyFile },
    files: () => [...filesIn(folder), ...filesIn(dbPath)],
    mustHave: ['mongod.log', '.wt', 'WiredTigerLog.0000000001', 'master.key'],
    async stop() {
      await client.close();
      await set.members[0]?.kill('SIGTERM');
    },
    body: (ref) => read('current', ref, 'sealed'),
    async earlierBody(ref) {
      const found = await documents('history').findOne({ key: ref }, { sort: { seq: -1 }, promoteBuffers: true });
      return bytesOf(found?.['sealed']);
    },
    putBody: (ref, sealed) => write('current', ref, { sealed }),
    rights: (person) => read('space', person, 'entry'),
    putRights: (person, entry) => write('space', person, { entry }),
    chunk: async (index) => read('chunk', await chunkId(index), 'data'),
    async putChunk(index, data) {
      const _id = await chunkId(index);
      if (data !== undefined) return write('chunk', _id, { data });
      await documents('chunk').deleteOne({ _id });
    },
    plant: async (text) => {
      await client
        .db('planted')
        .collection('planted')
        .insertOne({ text }, { writeConcern: { w: 'majority', journal: true } });
    },
    async dispose() {
      await client.close();
      await set.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

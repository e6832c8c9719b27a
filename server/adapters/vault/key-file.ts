/**
 * Wrapped data keys in an SQLite file of their own, `<store>.keys`: it is backed up apart from the data and sooner forgotten, so that a key that
 * is destroyed here stays destroyed in every old backup of the data (security.md 4.2).
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { WrappedKey } from '../../ports/master-key.ts';
import type { KeyShelf, ShelvedKey } from './vault.ts';

/** `PRAGMA application_id`: "CrnK". */
const APPLICATION_ID = 0x43726e4b;
const SCHEMA_VERSION = 1;
const SCHEMA = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- 'owner' is 'Type/id' of a person, or a name that begins with '#'; 'master' is the id of the master key that wrapped the key.
CREATE TABLE data_key (owner TEXT NOT NULL, version INTEGER NOT NULL, master TEXT NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (owner, version)) WITHOUT ROWID;
CREATE INDEX data_key_master ON data_key (master);
-- Owners whose keys up to 'version' were destroyed, and when: what comes later gets a new key, what was sealed before opens no more.
CREATE TABLE destroyed (owner TEXT PRIMARY KEY, version INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
`;
/** Another process holds the file for one small write at a time. */
const WAIT_MS = 5_000;

/** The place of the key file of a store. */
export const keyFilePath = (storePath: string): string => `${storePath}.keys`;

export type KeyFile = KeyShelf & {
  /** Names this file in the stores whose keys it holds. */
  readonly id: string;
  /** Makes new keys durable: called before anything that they sealed is. */
  flush(): void;
  /** Whether another connection wrote since this was last asked. */
  changed(): boolean;
  /** Destroys every key of an owner; on disk, and in no journal any more, when this returns. Answers how many there were. */
  destroy(owner: string, at: number): number;
  /** Owners whose keys were destroyed. */
  destroyed(): readonly string[];
  /** The master key that new keys are wrapped with. */
  master(): string;
  useMaster(by: string): void;
  /** How many keys there are, and how many of them are wrapped by another master key than `by`. */
  count(by: string): { readonly all: number; readonly other: number };
  /** Wraps at most `limit` keys anew that another master key than `by` wrapped, as `rewrap` says; answers how many. */
  rewrap(by: string, limit: number, rewrap: (owner: string, key: ShelvedKey) => WrappedKey): number;
  /** Every key, for `carnet check` and a copy. */
  all(): Iterable<ShelvedKey & { readonly owner: string }>;
  /** Writes a copy to a new file. */
  copyTo(path: string): void;
  close(): void;
};

/**
 * Opens the key file, or creates it when `create` says which master key wraps first. Throws one sentence when it is missing or cannot be
 * trusted: without it the data cannot be read, and a new one in its place would hide that.
 */
export function openKeyFile(path: string, create: { readonly master: string } | undefined): KeyFile {
  if (!existsSync(path) && create === undefined)
    throw new Error(`the key file \`${path}\` is missing, and the store cannot be read without it`);
  const db = new DatabaseSync(path, { timeout: WAIT_MS });
  try {
    chmodSync(path, 0o600);
    prepare(db, path, create);
    return shelf(db);
  } catch (error) {
    db.close();
    throw error;
  }
}

const value = (db: DatabaseSync, query: string): string => String(Object.values(db.prepare(query).get() ?? {})[0]);

function prepare(db: DatabaseSync, path: string, create: { readonly master: string } | undefined): void {
  const blank = value(db, 'PRAGMA schema_version') === '0';
  if (!blank && value(db, 'PRAGMA application_id') !== String(APPLICATION_ID))
    throw new Error(`the file \`${path}\` is no key file`);
  if (blank && create === undefined) throw new Error(`the key file \`${path}\` is empty`);
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF',
  );
  // A key that is deleted is overwritten.
  db.exec('PRAGMA secure_delete = ON');
  if (value(db, 'PRAGMA synchronous') !== '2' || value(db, 'PRAGMA secure_delete') !== '1')
    throw new Error(`the key file \`${path}\` does not take its settings`);
  exclusively(db, () => {
    if (value(db, 'PRAGMA schema_version') === '0' && create !== undefined) {
      db.exec(SCHEMA);
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`);
      const insert = db.prepare('INSERT INTO meta (key, value) VALUES (?, ?)');
      insert.run('id', randomUUID());
      insert.run('master', create.master);
    }
    const version = value(db, 'PRAGMA user_version');
    if (version !== String(SCHEMA_VERSION))
      throw new Error(`the key file has schema version ${version}, this server writes version ${SCHEMA_VERSION}`);
  });
}

function flush(db: DatabaseSync): void {
  if (!db.isTransaction) return;
  try {
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function exclusively<T>(db: DatabaseSync, work: () => T): T {
  flush(db);
  db.exec('BEGIN IMMEDIATE');
  try {
    const answer = work();
    db.exec('COMMIT');
    return answer;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

type KeyRow = {
  readonly owner: string;
  readonly version: number;
  readonly master: string;
  readonly wrapped: Uint8Array;
};

function shelf(db: DatabaseSync): KeyFile {
  const select = db.prepare(
    'SELECT owner, version, master, wrapped FROM data_key WHERE owner = ? ORDER BY version DESC',
  );
  const insert = db.prepare('INSERT INTO data_key (owner, version, master, wrapped) VALUES (?, ?, ?, ?)');
  const gone = db.prepare('SELECT version FROM destroyed WHERE owner = ?');
  const dataVersion = db.prepare('PRAGMA data_version');
  const meta = db.prepare('SELECT value FROM meta WHERE key = ?');
  const version = (): unknown => dataVersion.get()?.['data_version'];
  let seen = version();

  // INVARIANT: the columns that the statements above select.
  const shelved = (row: unknown): ShelvedKey => {
    const { version: number, master, wrapped } = row as KeyRow;
    return { version: number, wrapped: { by: master, bytes: wrapped } };
  };
  const text = (key: string): string => {
    const found = meta.get(key)?.['value'];
    if (typeof found !== 'string') throw new Error(`the key file has lost its ${key}`);
    return found;
  };

  return {
    id: text('id'),
    find: (owner) => select.all(owner).map(shelved),
    findOrAdd(owner, make) {
      const known = select.get(owner);
      if (known !== undefined) return shelved(known);
      // New keys share a sync, like the units that make them; `flush` ends it.
      if (!db.isTransaction) db.exec('BEGIN IMMEDIATE');
      const meanwhile = select.get(owner);
      if (meanwhile !== undefined) return shelved(meanwhile);
      const number = Number(gone.get(owner)?.['version'] ?? 0) + 1;
      const wrapped = make(number, text('master'));
      insert.run(owner, number, wrapped.by, wrapped.bytes);
      return { version: number, wrapped };
    },
    flush: () => flush(db),
    changed() {
      const now = version();
      const changed = now !== seen;
      seen = now;
      return changed;
    },
    destroy(owner, at) {
      const count = exclusively(db, () => {
        const [newest, ...others] = select.all(owner).map(shelved);
        if (newest === undefined) return 0;
        db.prepare(
          'INSERT INTO destroyed (owner, version, at) VALUES (?, ?, ?) ON CONFLICT (owner) DO UPDATE SET version = excluded.version, at = excluded.at',
        ).run(owner, newest.version, at);
        db.prepare('DELETE FROM data_key WHERE owner = ?').run(owner);
        return 1 + others.length;
      });
      const { busy } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() ?? {};
      if (busy !== 0)
        throw new Error('the key is destroyed, but the journal of the key file could not be emptied: run this again');
      return count;
    },
    destroyed: () =>
      db
        .prepare('SELECT owner FROM destroyed ORDER BY owner')
        .all()
        .map((row) => String(row['owner'])),
    master: () => text('master'),
    useMaster(by) {
      db.prepare("UPDATE meta SET value = ? WHERE key = 'master'").run(by);
    },
    count(by) {
      const row = db
        .prepare('SELECT count(*) AS n, count(*) FILTER (WHERE master <> ?) AS other FROM data_key')
        .get(by);
      return { all: Number(row?.['n']), other: Number(row?.['other']) };
    },
    rewrap(by, limit, rewrap) {
      return exclusively(db, () => {
        const rows = db
          .prepare('SELECT owner, version, master, wrapped FROM data_key WHERE master <> ? LIMIT ?')
          .all(by, limit);
        const update = db.prepare('UPDATE data_key SET master = ?, wrapped = ? WHERE owner = ? AND version = ?');
        for (const row of rows) {
          const key = shelved(row);
          const owner = String(row['owner']);
          const moved = rewrap(owner, key);
          update.run(moved.by, moved.bytes, owner, key.version);
        }
        return rows.length;
      });
    },
    *all() {
      for (const row of db.prepare('SELECT owner, version, master, wrapped FROM data_key').iterate())
        yield { owner: String(row['owner']), ...shelved(row) };
    },
    copyTo(path) {
      flush(db);
      db.prepare('VACUUM INTO ?').run(path);
    },
    close() {
      flush(db);
      db.close();
    },
  };
}

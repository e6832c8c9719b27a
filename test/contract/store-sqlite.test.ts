import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { masterKeyPath } from '../../server/adapters/master-key.ts';
import { openDatabase } from '../../server/adapters/store-sqlite/database.ts';
import {
  openSqliteStore,
  SQLITE_STORE_DEFAULTS,
  type SqliteStoreOptions,
} from '../../server/adapters/store-sqlite/store.ts';
import { fileMasterKey } from '../../server/adapters/vault/file-master-key.ts';
import { keyFilePath, openKeyFile } from '../../server/adapters/vault/key-file.ts';
import { vaultOver } from '../../server/adapters/vault/vault.ts';
import { EMPTY_ENTRY } from '../../server/fhir/index-entry.ts';
import type { Put, ResourceStore } from '../../server/ports/store.ts';
import { guarded } from '../../server/query/plan.ts';
import { term } from '../../server/query/predicate.ts';
import { systemGuard } from '../support/guards.ts';
import { describeResourceStore, type StoreUnderTest } from './resource-store.contract.ts';

const clock = { now: () => 1_700_000_000_000 };

const makeWith = (tuning: Partial<SqliteStoreOptions>) => async (): Promise<StoreUnderTest> => {
  const folder = mkdtempSync(join(tmpdir(), 'carnet-store-'));
  const open = (): ResourceStore =>
    openSqliteStore({ ...SQLITE_STORE_DEFAULTS, ...tuning, path: join(folder, 'carnet.db'), clock });
  let store = open();
  return {
    store,
    reopen: async () => {
      store = open();
      return store;
    },
    dispose: async () => {
      await store.close().catch(() => undefined);
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

describeResourceStore('sqlite', makeWith({}));
// Everything put off, every term soon common, groups of one: the same promises.
describeResourceStore(
  'sqlite, tuned to its edges',
  makeWith({
    deferred: ['AuditEvent', 'Observation', 'Patient', 'DocumentReference'],
    commonAfter: 1,
    group: { pieces: 1, milliseconds: 0, patienceMs: 1_000 },
  }),
);

describe('the sqlite file', () => {
  let folder: string;
  let path: string;
  const opened: ResourceStore[] = [];
  const open = (part: Partial<SqliteStoreOptions> = {}): ResourceStore => {
    const store = openSqliteStore({ ...SQLITE_STORE_DEFAULTS, path, clock, ...part });
    opened.push(store);
    return store;
  };
  const put = (id: string, terms: readonly string[] = []): Put => ({
    key: { type: 'Observation', id },
    versionId: '1',
    lastUpdated: 1,
    deleted: false,
    owner: undefined,
    body: '{}',
    entry: { ...EMPTY_ENTRY, terms },
    filing: {},
  });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'carnet-store-'));
    path = join(folder, 'deep', 'carnet.db');
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close().catch(() => undefined);
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([':memory:', '', 'file::memory:'])('must be a file, not `%s`', (memory) => {
    expect(() => open({ path: memory })).toThrow('plain file path');
  });

  test('keeps a write-ahead log, and its folder is made for it', async () => {
    await open().close();
    const db = new DatabaseSync(path);
    expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    db.close();
  });

  test('is synced in full at each commit, and closed to other accounts like the keys beside it', () => {
    const db = openDatabase(path, () => {
      const master = fileMasterKey(masterKeyPath(undefined, path));
      const keys = openKeyFile(keyFilePath(path), { master: master.current });
      const vault = vaultOver(keys, master);
      keys.flush();
      return { vault, keys: keys.id };
    });
    // SQLite's FULL.
    expect(db.raw.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    db.statement("INSERT INTO meta (key, value) VALUES ('test', '1')").run();
    const files = readdirSync(dirname(path));
    expect(files).toContain('carnet.db-wal');
    expect(files.filter((file) => (statSync(join(dirname(path), file)).mode & 0o077) !== 0)).toEqual([]);
    db.raw.close();
  });

  test('of a newer version is refused', async () => {
    await open().close();
    const db = new DatabaseSync(path);
    db.exec('PRAGMA user_version = 999');
    db.close();
    expect(() => open()).toThrow('schema version 999');
  });

  test('of another program is refused and left alone', () => {
    path = join(folder, 'other.db');
    const db = new DatabaseSync(path);
    db.exec('CREATE TABLE theirs (x)');
    db.close();
    expect(() => open()).toThrow('another program');
    const again = new DatabaseSync(path);
    expect(again.prepare('SELECT count(*) AS n FROM sqlite_schema').get()).toEqual({ n: 1 });
    again.close();
  });

  test('that is no database is refused and left alone', () => {
    path = join(folder, 'text.db');
    writeFileSync(path, 'not a database, but somebody wants it kept '.repeat(300));
    expect(() => open()).toThrow();
    expect(readFileSync(path, 'utf8')).toContain('somebody wants it kept');
  });

  test('does not spell out terms in its index', async () => {
    const store = open();
    await store.unit((u) => u.put(put('a', ['diagnosis=very-private-word'])));
    await store.close();
    expect(readFileSync(path).includes('very-private-word')).toBe(false);
  });

  test('serves two processes at once', async () => {
    const [one, two] = [open(), open()];
    await Promise.all(
      Array.from({ length: 40 }, (_, i) => (i % 2 ? one : two).unit((u) => u.put(put(`r${i}`, ['x=1'])))),
    );
    const everything = systemGuard('Observation');
    const plan = guarded({ type: 'Observation', where: term('x', '1'), sort: [], limit: 100, total: true }, everything);
    expect((await one.unit((u) => u.search(plan))).total).toBe(40);
    expect((await two.unit((u) => u.search(plan))).total).toBe(40);
  });

  test('held by another process for too long fails the work, which can be tried again', async () => {
    const store = open({ group: { pieces: 64, milliseconds: 5, patienceMs: 50 } });
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    await expect(store.unit((u) => u.put(put('a')))).rejects.toThrow('locked');
    other.exec('ROLLBACK');
    other.close();
    await store.unit((u) => u.put(put('a')));
    expect(await store.unit((u) => u.read({ type: 'Observation', id: 'a' }, systemGuard('Observation')))).toBeDefined();
  });

  test('a commit that fails rejects every unit of its group, and the next group is sound', async () => {
    const store = open();
    const db = new DatabaseSync(path);
    // A deferred constraint is checked at commit, as late as a commit can fail.
    db.exec(`CREATE TABLE never (id INTEGER PRIMARY KEY);
      CREATE TABLE late (x INTEGER REFERENCES never (id) DEFERRABLE INITIALLY DEFERRED);
      CREATE TRIGGER fail AFTER INSERT ON resource WHEN NEW.id = 'bad' BEGIN INSERT INTO late VALUES (1); END;`);
    db.close();
    const group = await Promise.allSettled([
      store.unit((u) => u.put(put('a'))),
      store.unit((u) => u.put(put('bad'))),
      store.unit((u) => u.read({ type: 'Observation', id: 'a' }, systemGuard('Observation'))),
    ]);
    expect(group.map((r) => r.status)).toEqual(['rejected', 'rejected', 'rejected']);
    await store.unit((u) => u.put(put('c')));
    const ids = await store.unit(async (u) => {
      const read = (id: string) => u.read({ type: 'Observation', id }, systemGuard('Observation'));
      return [await read('a'), await read('bad'), await read('c')].map((v) => v?.id);
    });
    expect(ids).toEqual([undefined, undefined, 'c']);
  });

  test('a unit that meets a broken table is undone whole', async () => {
    const store = open();
    const db = new DatabaseSync(path);
    db.exec(`CREATE TRIGGER fail AFTER INSERT ON term WHEN (SELECT count(*) FROM term) > 2
      BEGIN SELECT RAISE (ABORT, 'planted'); END;`);
    db.close();
    await expect(store.unit((u) => u.put(put('a', ['x=1', 'x=2', 'x=3', 'x=4'])))).rejects.toThrow('planted');
    expect(
      await store.unit((u) => u.read({ type: 'Observation', id: 'a' }, systemGuard('Observation'))),
    ).toBeUndefined();
    const check = new DatabaseSync(path);
    for (const table of ['resource', 'version', 'term', 'link', 'pending']) {
      expect(check.prepare(`SELECT count(*) AS n FROM ${table}`).get()).toEqual({ n: 0 });
    }
    check.close();
  });
});

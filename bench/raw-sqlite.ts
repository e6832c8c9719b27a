/** What SQLite alone does through `node:sqlite`, with the durability settings of the store: the ceiling of anything built on it. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export type RawSqlite = {
  readonly pointReads: number;
  /** Rows a second, sixteen of them sharing one sync. */
  readonly groupedInserts: number;
  /** Rows a second, each with a sync of its own. */
  readonly singleInserts: number;
};

const GROUP = 16;

/** Measures in `folder`, `seconds` for each figure; rows of `bytes`. Everything is a rate per second. */
export function measureRawSqlite(folder: string, seconds: number, bytes: number): RawSqlite {
  const path = join(folder, 'raw.db');
  const db = new DatabaseSync(path);
  db.exec('PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  db.exec('CREATE TABLE row (id INTEGER PRIMARY KEY, body TEXT NOT NULL)');
  const insert = db.prepare('INSERT INTO row (body) VALUES (?)');
  const select = db.prepare('SELECT body FROM row WHERE id = ?');
  const [begin, commit] = [db.prepare('BEGIN IMMEDIATE'), db.prepare('COMMIT')];
  const body = 'x'.repeat(bytes);
  const rate = (work: () => number): number => {
    const begun = performance.now();
    let done = 0;
    let spent = 0;
    while (spent < seconds) {
      done += work();
      spent = (performance.now() - begun) / 1000;
    }
    return done / spent;
  };
  const group = (size: number) => (): number => {
    begin.run();
    for (let n = 0; n < size; n += 1) insert.run(body);
    commit.run();
    return size;
  };
  const groupedInserts = rate(group(GROUP));
  const singleInserts = rate(group(1));
  const rows = Number(Object.values(db.prepare('SELECT count(*) FROM row').get() ?? {})[0]);
  let at = 0;
  const pointReads = rate(() => {
    for (let n = 0; n < 100; n += 1) {
      // A stride that visits every row in no order that a cache would like.
      at = (at + 7919) % rows;
      select.get(at + 1);
    }
    return 100;
  });
  db.close();
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
  return { pointReads, groupedInserts, singleInserts };
}

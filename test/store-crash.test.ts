/** `kill -9` while units are being written: whatever was acknowledged is there whole, nothing else is there in part, and no repair is needed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSqliteStore, SQLITE_STORE_DEFAULTS } from '../server/adapters/store-sqlite/store.ts';
import type { ResourceStore, StoreUnit } from '../server/ports/store.ts';
import { guarded } from '../server/query/plan.ts';
import { and, owner, type Predicate, prefix, range, term } from '../server/query/predicate.ts';
import { systemGuard } from './support/guards.ts';
import { AUDIT, BINARY, BYTES, DOCUMENT, PERSON, SPACE, WITH_BYTES } from './support/store-writer.ts';

const ROUNDS = 8;
const WRITER = fileURLToPath(new URL('./support/store-writer.ts', import.meta.url));

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'carnet-crash-'));
  path = join(folder, 'carnet.db');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Lets a writer run from number `first` and kills it some time after its first acknowledgement; answers what it acknowledged. */
async function killed(first: number, afterMs: number): Promise<readonly number[]> {
  const child = spawn(process.execPath, [WRITER, path, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  const started = new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the writer ended by itself')));
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
      resolve();
    });
  });
  await started;
  await new Promise((next) => setTimeout(next, afterMs));
  child.kill('SIGKILL');
  await once(child, 'close');
  // The last line may have been cut; a number is whole when its newline came.
  return out.split('\n').slice(0, -1).map(Number);
}

/** Every part of unit `n`, each true when it is there. */
async function parts(unit: StoreUnit, n: number): Promise<readonly boolean[]> {
  const found = async (type: string, where: Predicate): Promise<boolean> => {
    const plan = { type, where, sort: [{ param: 'date', descending: true }], limit: 5, total: true };
    const page = await unit.search(guarded(plan, systemGuard(type)));
    return page.total === 1 && page.matches[0]?.lastUpdated === n;
  };
  const document = await unit.read(DOCUMENT(n), systemGuard('DocumentReference'));
  const history = await unit.history(DOCUMENT(n), systemGuard('DocumentReference'), { limit: 5 });
  const space = await unit.space(PERSON(n));
  const all = [
    document?.versionId === '2' && document.body === `{"n":${n}}` && document.filing.filedAt === n,
    history?.versions.map((v) => `${v.versionId}:${v.body.length > 1_000}`).join() === '2:false,1:true',
    JSON.stringify(space) === JSON.stringify(SPACE(n)),
    (await unit.read(AUDIT(n), systemGuard('AuditEvent'))) !== undefined,
  ];
  for (const type of ['DocumentReference', 'AuditEvent']) {
    all.push(
      await found(type, term('unit', String(n))),
      await found(type, term('t19', String(n))),
      await found(type, term('subject', PERSON(n))),
      await found(type, term('_owner', PERSON(n))),
      await found(type, prefix('title', `unit ${n}.`)),
      await found(type, owner(term('_unit', String(n)))),
      await found(type, and(term('_owner', PERSON(n)), range('date', { lo: ['>=', n], hi: ['<=', n + 1] }))),
    );
  }
  if (n % WITH_BYTES === 0) {
    const size = await unit.bytes(BINARY(n));
    const chunks = [0, 1, 2].map((i) => unit.chunk(BINARY(n), systemGuard('Binary'), i));
    const [first, second, third] = await Promise.all(chunks);
    const bytes = Buffer.concat([first ?? Buffer.alloc(0), second ?? Buffer.alloc(0)]);
    all.push(size?.size === BYTES(n).length && third === undefined && Buffer.compare(bytes, BYTES(n)) === 0);
  }
  return all;
}

async function inspected(store: ResourceStore, numbers: readonly number[]) {
  const whole: number[] = [];
  const partial: number[] = [];
  await store.unit(async (unit) => {
    for (const n of numbers) {
      const there = await parts(unit, n);
      if (there.every(Boolean)) whole.push(n);
      else if (there.some(Boolean)) partial.push(n);
    }
  });
  return { whole: new Set(whole), partial };
}

test(`after ${ROUNDS} kills all that was acknowledged is whole`, { timeout: 60_000 }, async () => {
  let first = 1;
  let acknowledged = 0;
  for (let round = 0; round < ROUNDS; round++) {
    // Chance is wanted here: the kill may fall anywhere in a group, a sync or a checkpoint.
    const acked = await killed(first, Math.random() * 200);
    const last = Math.max(...acked);
    const store = openSqliteStore({ ...SQLITE_STORE_DEFAULTS, path, clock: { now: () => 0 } });
    // Up to six writers were ahead of the last acknowledgement.
    const numbers = Array.from({ length: last + 20 - first }, (_, i) => first + i);
    const { whole, partial } = await inspected(store, numbers);
    expect(partial).toEqual([]);
    expect(acked.filter((n) => !whole.has(n))).toEqual([]);
    expect([...whole].every((n) => n <= last + 12)).toBe(true);
    await store.close();
    acknowledged += acked.length;
    first = last + 100;
  }
  expect(acknowledged).toBeGreaterThan(ROUNDS * 5);

  const db = new DatabaseSync(path);
  expect(db.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
  expect(db.prepare('PRAGMA foreign_key_check').all()).toEqual([]);
  db.close();
});

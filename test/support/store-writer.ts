/** A process that writes until it is killed: `node store-writer.ts <file> <first number>`; each number it prints is durable. */
import { writeSync } from 'node:fs';
import { openSqliteStore, SQLITE_STORE_DEFAULTS } from '../../server/adapters/store-sqlite/store.ts';
import { EMPTY_ENTRY, type IndexEntry } from '../../server/fhir/index-entry.ts';
import type { Key, Ref } from '../../server/fhir/types.ts';
import type { Put, ResourceStore } from '../../server/ports/store.ts';

export const DOCUMENT = (n: number): Key => ({ type: 'DocumentReference', id: `d${n}` });
export const AUDIT = (n: number): Key => ({ type: 'AuditEvent', id: `a${n}` });
export const BINARY = (n: number): Key => ({ type: 'Binary', id: `b${n}` });
export const PERSON = (n: number): Ref => `Patient/p${n}`;
export const SPACE = (n: number): IndexEntry => ({ ...EMPTY_ENTRY, terms: [`_unit=${n}`] });
export const BYTES = (n: number): Uint8Array => new Uint8Array(300_000).fill(n % 256);
/** Every so many units bring bytes along. */
export const WITH_BYTES = 7;

const put = (key: Key, n: number, part: Partial<Put> = {}): Put => ({
  key,
  versionId: '1',
  lastUpdated: n,
  deleted: false,
  owner: PERSON(n),
  body: `{"n":${n},"pad":"${'x'.repeat(1_000)}"}`,
  entry: {
    terms: [`unit=${n}`, `subject=${PERSON(n)}`, ...Array.from({ length: 20 }, (_, i) => `t${i}=${n}`)],
    strings: [{ param: 'title', text: `unit ${n}.` }],
    ranges: [{ param: 'date', lo: n, hi: n + 1 }],
    sort: [{ param: 'date', key: n }],
  },
  filing: { filedAt: n },
  ...part,
});

/** One unit of work: a document in two versions, its audit record, a space, sometimes bytes. */
async function write(store: ResourceStore, n: number): Promise<void> {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield BYTES(n);
  }
  const upload = n % WITH_BYTES === 0 ? await store.stage(source(), 1_000_000) : undefined;
  await store.unit(async (unit) => {
    await unit.put(put(DOCUMENT(n), n));
    await unit.put(put(DOCUMENT(n), n, { versionId: '2', body: `{"n":${n}}` }));
    await unit.putSpace(PERSON(n), SPACE(n));
    await unit.put(put(AUDIT(n), n));
    if (upload === undefined) return;
    await unit.put(put(BINARY(n), n));
    await unit.attachBytes(BINARY(n), upload.id);
  });
  writeSync(1, `${n}\n`);
}

const [, script, path, first] = process.argv;
if (script?.endsWith('store-writer.ts') && path !== undefined) {
  const store = openSqliteStore({ ...SQLITE_STORE_DEFAULTS, path, clock: { now: () => 0 } });
  let next = Number(first);
  const writer = async (): Promise<void> => {
    for (;;) await write(store, next++);
  };
  await Promise.all(Array.from({ length: 6 }, writer));
}

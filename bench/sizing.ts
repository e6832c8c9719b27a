/**
 * `npm run bench:sizing`: how many bytes and how much of a server a person, a document, a reading cost on each store, and what that comes to for a country. A
 * small store is filled through the API, as it would be in life, step by step; what each step adds to the store is divided by what it did. `--quick`
 * takes a tenth. Where no mongod is found the embedded store is measured alone, and the page says so.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { MongoClient } from 'mongodb';
import { freePort } from '../test/support/free-port.ts';
import { fetchMongod, mongodIsThere, type ReplicaSet, startReplicaSet } from '../test/support/mongod.ts';
import { type Child, startChild } from './child.ts';
import { createUpdatable, type Flow, flowsOver } from './flows.ts';
import { askOnce, drive, wire } from './load.ts';
import { buildPeople, issuersFor } from './world.ts';

const SEED = 20260101;
const quick = process.argv.includes('--quick');
const PEOPLE = quick ? 20 : 200;
const DOCUMENTS = quick ? 100 : 1_000;
const READS = quick ? 400 : 4_000;
const UPDATES = quick ? 40 : 400;
/** Bytes of a small and of a larger content; the difference tells what a byte of content costs. */
const [SMALL, LARGE] = [1_000, 101_000];
const CONNECTIONS = 16;
const ORDINARY = 150_000;

/** The country, and what is assumed of it: each line is ours, and changes the tables below by a plain multiplication. */
const COUNTRY = {
  people: 69_000_000,
  documentsAYear: 6,
  contentBytes: ORDINARY,
  readingsAYear: 12,
  updatesOfADocument: 0.2,
  /** A day's busiest hour beside the mean hour of a year. */
  peak: 6,
  shardBytes: 4e12,
} as const;

type StoreName = 'sqlite' | 'mongodb';
/** Bytes of a store: what it holds, what its indexes take, and the wrapped keys, which lie apart. */
type Held = { readonly data: number; readonly indexes: number; readonly keys: number };
type Step = { readonly held: Held; readonly perSecond: number; readonly cpu: number };

const folder = mkdtempSync(join(tmpdir(), 'carnet-sizing-'));
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const whole = (n: number): string => Math.round(n).toLocaleString('en-US');
let set: ReplicaSet | undefined;
let child: Child | undefined;

/** The tables of the embedded store that searches walk over, and indexes: what could be made anew from the rest. */
const SEARCHED = /^(resource|term|common|link|str|pending)(_|$)|^sqlite_autoindex|_blob$/;

/** What a closed SQLite file holds, page by page. */
function heldBySqlite(own: string): Held {
  const pages = (path: string): Held => {
    if (!existsSync(path)) return { data: 0, indexes: 0, keys: 0 };
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      // INVARIANT: the columns that the statement names.
      const rows = db.prepare('SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name').all() as unknown as {
        readonly name: string;
        readonly bytes: number;
      }[];
      const sum = (wanted: boolean): number =>
        rows.reduce((all, { name, bytes }) => (SEARCHED.test(name) === wanted ? all + bytes : all), 0);
      return { data: sum(false), indexes: sum(true), keys: 0 };
    } finally {
      db.close();
    }
  };
  const main = pages(join(own, 'carnet.db'));
  const keys = pages(join(own, 'carnet.db.keys'));
  return { ...main, keys: keys.data + keys.indexes };
}

/** What one member of a MongoDB holds on disk, after a checkpoint. */
async function heldByMongodb(url: (database: string) => string): Promise<Held> {
  const client = new MongoClient(url('admin'));
  try {
    await client.db('admin').command({ fsync: 1 });
    const of = async (name: string): Promise<{ readonly data: number; readonly indexes: number }> => {
      const db = client.db(name);
      let [data, indexes] = [0, 0];
      for (const { name: collection } of await db.listCollections({}, { nameOnly: true }).toArray()) {
        const stats = await db
          .collection(collection)
          .aggregate([{ $collStats: { storageStats: {} } }])
          .next();
        const { storageSize, freeStorageSize = 0, totalIndexSize } = stats?.['storageStats'] ?? {};
        data += Number(storageSize) - Number(freeStorageSize);
        indexes += Number(totalIndexSize);
      }
      return { data, indexes };
    };
    const [main, keys] = [await of('sizing'), await of('sizing_keys')];
    return { ...main, keys: keys.data + keys.indexes };
  } finally {
    await client.close();
  }
}

async function measureStore(store: StoreName): Promise<ReadonlyMap<string, Step>> {
  const own = join(folder, store);
  mkdirSync(own);
  const port = await freePort();
  const issuers = issuersFor(`http://127.0.0.1:${port}/fhir`);
  const site = {
    folder: own,
    port,
    issuers: issuers.entries,
    ...(store === 'mongodb' && set !== undefined ? { store: set.url('sizing') } : {}),
  };
  child = await startChild('carnet', site);
  const steps = new Map<string, Step>();
  /** Notes what the store holds now. The rows of the register that are written later are written first: a search of it asks for them. */
  const note = async (step: string, done: { readonly perSecond: number; readonly cpu: number }): Promise<void> => {
    const operator = issuers.backends.operator({ now: Date.now() });
    await askOnce(port, wire({ method: 'GET', target: '/fhir/AuditEvent?_count=1', token: operator }));
    if (store === 'sqlite') {
      await child?.stop();
      steps.set(step, { held: heldBySqlite(own), ...done });
      child = await startChild('carnet', site);
    } else if (set !== undefined) steps.set(step, { held: await heldByMongodb(set.url), ...done });
    const { held } = steps.get(step) ?? { held: { data: 0, indexes: 0, keys: 0 } };
    say(
      `${store.padEnd(8)} ${step.padEnd(10)} ${whole(held.data / 1e3).padStart(9)} kB  indexes ${whole(held.indexes / 1e3).padStart(9)} kB  keys ${whole(held.keys / 1e3).padStart(6)} kB  ${whole(done.perSecond).padStart(5)}/s`,
    );
  };
  const none = { perSecond: 0, cpu: 0 };
  const run = async (flow: Flow, times: number, answered?: (text: string) => void) => {
    const before = (await child?.usage())?.cpu ?? 0;
    const done = await drive({
      port,
      connections: CONNECTIONS,
      seconds: 600,
      requests: times,
      next: flow.next,
      expect: flow.expect,
      ...(answered === undefined ? {} : { answered: (_n, text) => answered(text()) }),
    });
    if (done.failed > 0 || done.requests < times)
      throw new Error(`${store}, ${flow.name}: ${done.failed} failed, the first with ${done.fault ?? 'too slow'}`);
    return { perSecond: done.perSecond, cpu: (((await child?.usage())?.cpu ?? 0) - before) / times };
  };

  await note('empty', none);
  const world = await buildPeople(port, issuers, PEOPLE);
  await note('people', none);
  const ids: string[] = [];
  const remember = (text: string): void => {
    ids.push(/DocumentReference\/([A-Za-z0-9.-]+)\/_history/.exec(text)?.[1] ?? '');
  };
  const provided = (providing: number, seed: number): Flow =>
    flowsOver(world, { ids: [], updatable: [], providing }, seed).provide;
  await note('small', await run(provided(SMALL, SEED), DOCUMENTS, remember));
  await note('large', await run(provided(LARGE, SEED + 1), DOCUMENTS, remember));
  await note('read', await run(flowsOver(world, { ids, updatable: [] }, SEED + 2).read, READS));
  await note('find', await run(flowsOver(world, { ids, updatable: [] }, SEED + 3).find, READS));
  const updatable = await createUpdatable(port, flowsOver(world, { ids, updatable: [] }, SEED + 4), UPDATES);
  await note('created', none);
  await note('updated', await run(flowsOver(world, { ids, updatable }, SEED + 5).update, UPDATES));
  await child.stop();
  child = undefined;
  return steps;
}

/** What one of a thing costs: what its step added, divided. */
type Unit = Held & { readonly all: number };
type Units = Readonly<Record<'person' | 'document' | 'contentByte' | 'reading' | 'searching' | 'update', Unit>>;

function unitsOf(steps: ReadonlyMap<string, Step>): Units {
  const zero: Held = { data: 0, indexes: 0, keys: 0 };
  const added = (to: string, from: string, count: number): Unit => {
    const [a, b] = [steps.get(from)?.held ?? zero, steps.get(to)?.held ?? zero];
    const of = (kind: keyof Held): number => (b[kind] - a[kind]) / count;
    return { data: of('data'), indexes: of('indexes'), keys: of('keys'), all: of('data') + of('indexes') + of('keys') };
  };
  const scaled = (u: Unit, by: number, less: Unit, times: number): Unit => ({
    data: (u.data - less.data * times) * by,
    indexes: (u.indexes - less.indexes * times) * by,
    keys: (u.keys - less.keys * times) * by,
    all: (u.all - less.all * times) * by,
  });
  const [small, large] = [added('small', 'people', DOCUMENTS), added('large', 'small', DOCUMENTS)];
  const contentByte = scaled(large, 1 / (LARGE - SMALL), small, 1);
  return {
    person: added('people', 'empty', PEOPLE),
    document: scaled(small, 1, contentByte, SMALL),
    contentByte,
    reading: added('read', 'large', READS),
    searching: added('find', 'read', READS),
    update: added('updated', 'created', UPDATES),
  };
}

const TERA = 1e12;
const tera = (bytes: number): string => (bytes / TERA).toFixed(1);

/** Bytes of the country's store after so many years, in one copy. */
function countryBytes(units: Units, years: number): { readonly contents: number; readonly rest: number } {
  const documents = COUNTRY.documentsAYear * years;
  const contents = COUNTRY.people * documents * COUNTRY.contentBytes * units.contentByte.all;
  const each =
    units.person.all +
    documents * (units.document.all + COUNTRY.updatesOfADocument * units.update.all) +
    COUNTRY.readingsAYear * years * (units.reading.all + units.searching.all);
  return { contents, rest: COUNTRY.people * each };
}

const shardsFor = (bytes: number): number => Math.max(1, Math.ceil(bytes / COUNTRY.shardBytes));
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(row)].join('\n');

try {
  const loadBefore = loadavg()[0] ?? 0;
  await fetchMongod().catch(() => undefined);
  if (mongodIsThere()) set = await startReplicaSet({ members: 1, args: [], folder });
  const stores: readonly StoreName[] = set === undefined ? ['sqlite'] : ['sqlite', 'mongodb'];
  const measured = new Map<StoreName, ReadonlyMap<string, Step>>();
  for (const store of stores) measured.set(store, await measureStore(store));

  const units = new Map(stores.map((store) => [store, unitsOf(measured.get(store) ?? new Map())]));
  const NAMED: readonly (readonly [keyof Units, string])[] = [
    ['person', 'a person: identity, space, one permit, their records'],
    [
      'document',
      'a document without its content: SubmissionSet, DocumentReference, Binary, first versions, record, notice',
    ],
    ['contentByte', 'a byte of its content'],
    ['reading', 'the record of one reading'],
    ['searching', 'the record of one search that finds up to 20 documents'],
    ['update', 'one more version of a document, with its record'],
  ];
  const bytesTable = table(
    ['bytes of', ...stores.flatMap((s) => [`${s}: data`, 'indexes', 'keys', 'all'])],
    NAMED.map(([name, what]) => [
      what,
      ...stores.flatMap((s) => {
        const unit = units.get(s)?.[name];
        const shown = (n: number | undefined): string => (name === 'contentByte' ? (n ?? 0).toFixed(3) : whole(n ?? 0));
        return [shown(unit?.data), shown(unit?.indexes), shown(unit?.keys), shown(unit?.all)];
      }),
    ]),
  );
  const FLOWS = ['small', 'read', 'find', 'updated'] as const;
  const ratesTable = table(
    ['requests', ...stores.flatMap((s) => [`${s}: a second`, 'cpu µs'])],
    FLOWS.map((flow) => [
      { small: 'ITI-65 of 1 kB', read: 'read', find: 'ITI-67', updated: 'update' }[flow],
      ...stores.flatMap((s) => {
        const step = measured.get(s)?.get(flow);
        return [whole(step?.perSecond ?? 0), whole(step?.cpu ?? 0)];
      }),
    ]),
  );
  const at = stores.at(-1) ?? 'sqlite';
  // INVARIANT: made above for every store.
  const scaling = units.get(at) as Units;
  const YEARS = [1, 5, 10] as const;
  const yearsTable = table(
    [
      'years',
      'documents a person',
      'contents, TB',
      'everything else, TB',
      'one copy, TB',
      'three members, TB',
      'shards',
    ],
    YEARS.map((years) => {
      const { contents, rest } = countryBytes(scaling, years);
      const copy = contents + rest;
      return [
        String(years),
        String(COUNTRY.documentsAYear * years),
        tera(contents),
        tera(rest),
        tera(copy),
        tera(copy * 3),
        String(shardsFor(copy)),
      ];
    }),
  );
  const yearSeconds = 365.25 * 86_400;
  const perSecond = (aYear: number): number => (COUNTRY.people * aYear) / yearSeconds;
  const cpuOf = (flow: (typeof FLOWS)[number]): number => (measured.get(at)?.get(flow)?.cpu ?? 0) / 1e6;
  const LOADS: readonly (readonly [string, number, (typeof FLOWS)[number]])[] = [
    ['documents fed', perSecond(COUNTRY.documentsAYear), 'small'],
    ['updates', perSecond(COUNTRY.documentsAYear * COUNTRY.updatesOfADocument), 'updated'],
    ['readings', perSecond(COUNTRY.readingsAYear), 'read'],
    ['searches', perSecond(COUNTRY.readingsAYear), 'find'],
  ];
  const loadTable = table(
    ['acts', 'a second, mean', 'busiest hour', 'processors of the servers then'],
    [
      ...LOADS.map(([what, mean, flow]) => [
        what,
        whole(mean),
        whole(mean * COUNTRY.peak),
        (mean * COUNTRY.peak * cpuOf(flow)).toFixed(1),
      ]),
      [
        'all',
        whole(LOADS.reduce((sum, [, mean]) => sum + mean, 0)),
        whole(LOADS.reduce((sum, [, mean]) => sum + mean * COUNTRY.peak, 0)),
        LOADS.reduce((sum, [, mean, flow]) => sum + mean * COUNTRY.peak * cpuOf(flow), 0).toFixed(1),
      ],
    ],
  );
  const date = new Date().toISOString().slice(0, 10);
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.versions.node}. Load average ${loadBefore.toFixed(2)} before and ${(loadavg()[0] ?? 0).toFixed(2)} after. Client, server and mongod share the machine.`;
  const page = `# Sizing, ${date}${quick ? ', quick' : ''}

${machine}
Through the API, ${CONNECTIONS} connections: ${PEOPLE} people, ${whole(DOCUMENTS)} documents of ${whole(SMALL)} B and ${whole(DOCUMENTS)} of ${whole(LARGE)} B, ${whole(READS)} readings, ${whole(READS)} searches, ${UPDATES} updates.${set === undefined ? ' No mongod was found: the embedded store alone.' : ' MongoDB: one member; each further member holds as much.'}

## Measured

${bytesTable}

${ratesTable}

## A country, from the figures of ${at}

${whole(COUNTRY.people)} people, ${COUNTRY.documentsAYear} documents a year each, of ${whole(COUNTRY.contentBytes / 1000)} kB; ${COUNTRY.readingsAYear} readings and as many searches a year each; ${COUNTRY.updatesOfADocument} updates of a document; ${tera(COUNTRY.shardBytes)} TB on a member; the busiest hour ${COUNTRY.peak} times the mean one.

${yearsTable}

${loadTable}
`;
  const out = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(out, { recursive: true });
  const name = `${date}-sizing${quick ? '-quick' : ''}`;
  writeFileSync(join(out, `${name}.md`), page);
  const data = {
    date,
    quick,
    machine,
    country: COUNTRY,
    steps: Object.fromEntries([...measured].map(([store, steps]) => [store, Object.fromEntries(steps)])),
    units: Object.fromEntries(units),
  };
  writeFileSync(join(out, `${name}.json`), `${JSON.stringify(data, null, 1)}\n`);
  say(`\n${page}\nbench/results/${name}.md`);
} finally {
  await child?.stop().catch(() => undefined);
  await set?.stop();
  rmSync(folder, { recursive: true, force: true });
}

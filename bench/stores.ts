/**
 * `npm run bench:stores`: both stores side by side in one run, each as it ships and with a seal that does nothing. The servers stand on stores of the same
 * people and documents and take turns, so that whatever else the machine does falls on all of them. Beside them SQLite and MongoDB's driver alone, and
 * one pass of the cipher. Where no mongod is found the embedded store is measured alone, and the page says so.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { contextOf, keyFrom, newKey, open, seal } from '../server/adapters/vault/seal.ts';
import { freePort } from '../test/support/free-port.ts';
import { mongodIsThere, type ReplicaSet, startReplicaSet } from '../test/support/mongod.ts';
import { type Child, startChild } from './child.ts';
import { createContents, createUpdatable, type Flows, flowsOver } from './flows.ts';
import { drive } from './load.ts';
import { measureRawMongodb, type RawMongodb } from './raw-mongodb.ts';
import { measureRawSqlite } from './raw-sqlite.ts';
import { buildPeople, issuersFor } from './world.ts';

const SEED = 20260101;
const quick = process.argv.includes('--quick');
const PEOPLE = quick ? 20 : 100;
const EACH = 40;
const ROUNDS = quick ? 3 : 5;
const SECONDS = quick ? 0.7 : 2;
const CONNECTIONS = 16;
const FLOWS = [
  'read',
  'documents',
  'find',
  'create',
  'update',
  'provide',
  'retrieve',
] as const satisfies readonly (keyof Flows)[];
type FlowName = (typeof FLOWS)[number];

const STORES = ['sqlite', 'mongodb'] as const;
type StoreName = (typeof STORES)[number];

type Side = {
  readonly store: StoreName;
  readonly sealed: boolean;
  readonly child: Child;
  readonly flows: Flows;
};
type Turn = { readonly perSecond: number; readonly cpu: number; readonly p50: number; readonly p99: number };

const sides: Side[] = [];
const folder = mkdtempSync(join(tmpdir(), 'carnet-stores-'));
let set: ReplicaSet | undefined;
const loadBefore = loadavg()[0] ?? 0;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const whole = (n: number): string => Math.round(n).toLocaleString('en-US');
const nameOf = ({ store, sealed }: Pick<Side, 'store' | 'sealed'>): string => `${store}${sealed ? '' : ', unsealed'}`;

async function side(store: StoreName, sealed: boolean): Promise<Side> {
  const own = join(folder, `${store}${sealed ? '' : '-unsealed'}`);
  mkdirSync(own);
  const port = await freePort();
  const issuers = issuersFor(`http://127.0.0.1:${port}/fhir`);
  const url = store === 'mongodb' ? set?.url(sealed ? 'sealed' : 'unsealed') : undefined;
  const child = await startChild(sealed ? 'carnet' : 'carnet-unsealed', {
    folder: own,
    port,
    issuers: issuers.entries,
    ...(url === undefined ? {} : { store: url }),
  });
  const world = await buildPeople(port, issuers, PEOPLE);
  const order = { op: 'seed', people: world.people, structure: world.structure, each: EACH, seed: SEED } as const;
  // INVARIANT: what `seedDocuments` answers.
  const { ids } = (await child.order(order)) as { readonly ids: readonly string[] };
  const updatable = await createUpdatable(port, flowsOver(world, { ids, updatable: [] }, SEED), 60);
  const contents = await createContents(port, flowsOver(world, { ids, updatable: [] }, SEED + 1), 8);
  say(`${nameOf({ store, sealed })}: ${whole(ids.length)} documents`);
  return { store, sealed, child, flows: flowsOver(world, { ids, updatable, contents }, SEED + 2) };
}

async function turn({ child, flows, ...of }: Side, name: FlowName): Promise<Turn> {
  const flow = flows[name];
  const before = await child.usage();
  const done = await drive({
    port: child.port,
    connections: CONNECTIONS,
    seconds: SECONDS,
    requests: flow.most,
    next: flow.next,
    expect: flow.expect,
  });
  if (done.failed > 0) throw new Error(`${nameOf(of)}, ${name}: ${done.failed} failed, the first with ${done.fault}`);
  const cpu = ((await child.usage()).cpu - before.cpu) / Math.max(1, done.requests);
  return { perSecond: done.perSecond, cpu, p50: done.p50, p99: done.p99 };
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
const middle = (turns: readonly Turn[]): Turn => ({
  perSecond: median(turns.map((t) => t.perSecond)),
  cpu: median(turns.map((t) => t.cpu)),
  p50: median(turns.map((t) => t.p50)),
  p99: median(turns.map((t) => t.p99)),
});

/** Microseconds of one pass over `bytes`: sealed, and opened. Processor time: the machine may be doing other things. */
function passOf(bytes: number, times: number): readonly [sealed: number, opened: number] {
  const key = keyFrom(newKey(), 1);
  const body = Buffer.alloc(bytes, 'x');
  const context = contextOf('version', 'DocumentReference', '0'.repeat(36), '1');
  const pass = seal(key, context, body);
  const timed = (work: () => void): number => {
    for (let i = 0; i < times / 2; i += 1) work();
    const begun = process.cpuUsage().user;
    for (let i = 0; i < times; i += 1) work();
    return (process.cpuUsage().user - begun) / times;
  };
  return [timed(() => seal(key, context, body)), timed(() => open(key, context, pass))];
}

try {
  if (mongodIsThere()) set = await startReplicaSet({ members: 1, args: [], folder });
  for (const store of set === undefined ? (['sqlite'] as const) : STORES)
    for (const sealed of [true, false]) sides.push(await side(store, sealed));

  const measured = new Map<FlowName, readonly Turn[]>();
  for (const name of FLOWS) {
    const turns = sides.map((): Turn[] => []);
    for (const one of sides) await turn(one, name);
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [i, one] of sides.entries()) turns[i]?.push(await turn(one, name));
    measured.set(name, turns.map(middle));
    sides.forEach((one, i) => {
      const { perSecond, cpu } = middle(turns[i] ?? []);
      say(`${name.padEnd(10)} ${nameOf(one).padEnd(18)} ${whole(perSecond).padStart(6)}/s  cpu ${whole(cpu)} µs`);
    });
  }
  for (const { child } of sides) await child.stop();

  const sizes = ['sqlite', 'sqlite-unsealed'].map((name) => statSync(join(folder, name, 'carnet.db')).size);
  const rawSqlite = measureRawSqlite(folder, SECONDS, 2_500);
  const rawMongodb: RawMongodb | undefined =
    set === undefined
      ? undefined
      : await measureRawMongodb(set.url('raw'), { seconds: SECONDS, connections: CONNECTIONS, bytes: 2_500 });
  const passes = ([2_500, 262_144] as const).map(
    (bytes) => [bytes, ...passOf(bytes, bytes > 10_000 ? 500 : 20_000)] as const,
  );

  const at = (name: FlowName, store: StoreName, sealed: boolean): Turn | undefined =>
    measured.get(name)?.[sides.findIndex((s) => s.store === store && s.sealed === sealed)];
  const ratio = (a: number | undefined, b: number | undefined): string =>
    a === undefined || b === undefined ? '' : (a / b).toFixed(2);
  const ratios = FLOWS.map((name) => [
    name,
    ratio(at(name, 'sqlite', true)?.cpu, at(name, 'sqlite', false)?.cpu),
    ratio(at(name, 'mongodb', true)?.cpu, at(name, 'mongodb', false)?.cpu),
    ratio(at(name, 'mongodb', true)?.cpu, at(name, 'sqlite', true)?.cpu),
    ratio(at(name, 'mongodb', true)?.perSecond, at(name, 'sqlite', true)?.perSecond),
    ratio(at(name, 'mongodb', true)?.perSecond, rawMongodb?.transactions),
  ]);
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const lines = FLOWS.flatMap((name) =>
    sides.map((one, i) => {
      const t = measured.get(name)?.[i];
      return row([
        name,
        nameOf(one),
        whole(t?.perSecond ?? 0),
        whole(t?.cpu ?? 0),
        (t?.p50 ?? 0).toFixed(2),
        (t?.p99 ?? 0).toFixed(2),
      ]);
    }),
  );
  const date = new Date().toISOString().slice(0, 10);
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.versions.node}. Load average ${loadBefore.toFixed(2)} before and ${(loadavg()[0] ?? 0).toFixed(2)} after. Clients, servers and mongod share the machine.`;
  const page = `# Both stores, sealed and not, ${date}${quick ? ', quick' : ''}

${machine}
${whole(PEOPLE * EACH)} documents of ${PEOPLE} people in each store; ${CONNECTIONS} connections; the middle of ${ROUNDS} turns.${set === undefined ? ' No mongod was found: the embedded store alone.' : ' MongoDB: one member, on the same disk.'}

## Ratios

Processor time is that of the server's process; mongod's own is not in it.

${row(['flow', 'sealed / unsealed, SQLite (cpu)', 'sealed / unsealed, MongoDB (cpu)', 'MongoDB / SQLite (cpu)', 'MongoDB / SQLite (a second)', 'MongoDB / bare transactions of its driver (a second)'])}
${row(['---', '---:', '---:', '---:', '---:', '---:'])}
${ratios.map(row).join('\n')}
${row(['file', ratio(sizes[0], sizes[1]), '', '', '', ''])}

## Measured

${row(['flow', 'store', 'a second', 'cpu µs', 'p50 ms', 'p99 ms'])}
${row(['---', '---', '---:', '---:', '---:', '---:'])}
${lines.join('\n')}

SQLite alone: ${whole(rawSqlite.pointReads)} point reads, ${whole(rawSqlite.groupedInserts)} durable inserts 16 to a commit, ${whole(rawSqlite.singleInserts)} one by one, a second.
${rawMongodb === undefined ? '' : `The driver alone, ${CONNECTIONS} at once: ${whole(rawMongodb.pointReads)} point reads, ${whole(rawMongodb.transactions)} durable transactions of one count and one insert, a second.\n`}The cipher alone: ${passes.map(([bytes, sealed, opened]) => `${whole(bytes)} B sealed in ${sealed.toFixed(1)} µs, opened in ${opened.toFixed(1)} µs`).join('; ')}.
`;
  const out = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(out, { recursive: true });
  const name = `${date}-stores${quick ? '-quick' : ''}`;
  writeFileSync(join(out, `${name}.md`), page);
  const data = {
    date,
    quick,
    machine,
    sides: sides.map(nameOf),
    measured: Object.fromEntries(measured),
    rawSqlite,
    rawMongodb,
    passes,
    sizes,
  };
  writeFileSync(join(out, `${name}.json`), `${JSON.stringify(data, null, 1)}\n`);
  say(`bench/results/${name}.md`);
} finally {
  for (const { child } of sides) await child.stop().catch(() => undefined);
  await set?.stop();
  rmSync(folder, { recursive: true, force: true });
}

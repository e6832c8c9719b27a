/** `npm run bench`: one run, side by side on one machine. `docs/bench.md` says what is measured and how to read it. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from '../test/support/free-port.ts';
import { type Child, environment, type Site, startChild } from './child.ts';
import { createContents, createUpdatable, type Flow, type Flows, flowsOver } from './flows.ts';
import { drive, wire } from './load.ts';
import { measureRawSqlite } from './raw-sqlite.ts';
import { aimsOf, type Line, pageOf, type Results } from './report.ts';
import type { Variant } from './serve.ts';
import { buildPeople, issuersFor } from './world.ts';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, seed: { type: 'string', default: '20260101' } },
});
const quick = options.quick;
const seed = Number(options.seed);
if (!Number.isSafeInteger(seed)) {
  process.stderr.write(`bench: the seed \`${options.seed}\` is not an integer\n`);
  process.exit(1);
}

const PEOPLE = quick ? 100 : 1000;
const EACH = 40;
const SECONDS = quick ? 0.7 : 2.5;
const WARM_SECONDS = quick ? 0.5 : 1.5;
const CONTENTS = 16;
const UPDATABLE = quick ? 100 : 500;
const ALL_FLOWS: readonly (keyof Flows)[] = [
  'metadata',
  'read',
  'identifier',
  'documents',
  'find',
  'history',
  'create',
  'update',
  'transaction',
  'feed',
  'provide',
  'retrieve',
];
/** The flows that price consent and audit. */
const PRICED: readonly (keyof Flows)[] = ['read', 'identifier', 'documents', 'create', 'transaction'];

const lines: Line[] = [];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const begun = performance.now();
const loadBefore = loadavg()[0] ?? 0;

type Measuring = { readonly variant: Variant; readonly flow: Flow; readonly connections: number };

async function measure(child: Child, { variant, flow, connections }: Measuring): Promise<Line> {
  const before = await child.usage();
  const done = await drive({
    port: child.port,
    connections,
    seconds: SECONDS,
    requests: flow.most,
    next: flow.next,
    expect: flow.expect,
  });
  const after = await child.usage();
  const line: Line = {
    ...done,
    variant,
    flow: flow.name,
    connections,
    cpu: (after.cpu - before.cpu) / Math.max(1, done.requests),
    rss: after.rss,
    ...(flow.content === undefined ? {} : { megabytes: (done.perSecond * flow.content) / 1e6 }),
  };
  lines.push(line);
  say(
    `${variant.padEnd(18)} ${flow.name.padEnd(12)} ${String(connections).padStart(3)}  ${Math.round(line.perSecond).toString().padStart(7)}/s  p50 ${line.p50.toFixed(2)}  p99 ${line.p99.toFixed(2)}  cpu ${Math.round(line.cpu)} µs${line.megabytes === undefined ? '' : `  ${Math.round(line.megabytes)} MB/s`}${line.failed === 0 ? '' : `  FAILED ${line.failed}: ${line.fault}`}`,
  );
  return line;
}

const warm = (child: Child, flow: Flow): Promise<unknown> =>
  drive({
    port: child.port,
    connections: 16,
    seconds: WARM_SECONDS,
    requests: flow.most,
    next: flow.next,
    expect: flow.expect,
  });

const folder = mkdtempSync(join(tmpdir(), 'carnet-bench-'));
const file = join(folder, 'carnet.db');
const port = await freePort();
const issuers = issuersFor(`http://127.0.0.1:${port}/fhir`);
const site: Site = { folder, port, issuers: issuers.entries };
let child: Child | undefined;
try {
  say(`filling a store in ${folder}`);
  child = await startChild('carnet', site);
  const world = await buildPeople(port, issuers, PEOPLE);
  await child.stop();
  const empty = statSync(file).size;
  child = await startChild('carnet', site);
  // INVARIANT: what `seedDocuments` answers.
  const seeded = (await child.order({
    op: 'seed',
    people: world.people,
    structure: world.structure,
    each: EACH,
    seed,
  })) as { readonly ids: readonly string[]; readonly bodyBytes: number };
  await child.stop();
  const filled = statSync(file).size;
  say(`${PEOPLE} people, ${seeded.ids.length} documents after ${Math.round((performance.now() - begun) / 1000)} s`);

  child = undefined;
  const started = await timeStart();

  // Before the flows, and on the same disk.
  const raw = measureRawSqlite(folder, SECONDS, Math.round(seeded.bodyBytes));

  child = await startChild('carnet', site);
  const rssAfterStart = (await child.usage()).rss;
  const first = flowsOver(world, { ids: seeded.ids, updatable: [] }, seed);
  const audited = await drive({
    port,
    connections: 16,
    seconds: SECONDS,
    requests: 5000,
    next: first.read.next,
    expect: [200],
  });
  await child.stop();
  const diskPerAuditedRead = (statSync(file).size - filled) / audited.requests;

  child = await startChild('carnet', site);
  const updatable = await createUpdatable(port, first, UPDATABLE);
  const contents = await createContents(port, first, CONTENTS);
  const flows = flowsOver(world, { ids: seeded.ids, updatable, contents }, seed + 1);
  const bodies = new Map<string, number>();
  for (const name of ALL_FLOWS) {
    const flow = flows[name];
    await warm(child, flow);
    for (const connections of quick && name !== 'read' ? [16] : [1, 16, 64]) {
      const line = await measure(child, { variant: 'carnet', flow, connections });
      bodies.set(name, Math.round(line.bytes));
    }
  }
  const rssAfterLoad = (await child.usage()).rss;
  await child.stop();

  for (const variant of ['carnet-no-audit', 'carnet-no-consent', 'carnet-neither'] as const) {
    child = await startChild(variant, site);
    for (const name of quick ? (['read', 'documents', 'create'] as const) : PRICED) {
      await warm(child, flows[name]);
      await measure(child, { variant, flow: flows[name], connections: 16 });
    }
    await child.stop();
  }

  for (const variant of ['node-http', 'express'] as const) {
    child = await startChild(variant, undefined);
    for (const name of ['read', 'identifier', 'documents', 'metadata'] as const) {
      const bare: Flow = {
        ...flows[name],
        next: ((): Flow['next'] => {
          const sent = wire({ method: 'GET', target: `/payload/${bodies.get(name)}` });
          return () => sent;
        })(),
      };
      await warm(child, bare);
      for (const connections of quick || name !== 'read' ? [16] : [1, 16, 64]) {
        await measure(child, { variant, flow: bare, connections });
      }
    }
    await child.stop();
  }
  child = undefined;

  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    seed,
    quick,
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memory: totalmem(),
      node: process.versions.node,
      sqlite: process.versions['sqlite'] ?? 'unknown',
      express: versionOf('express'),
      commit: commit(),
      load: [loadBefore, loadavg()[0] ?? 0],
    },
    people: PEOPLE,
    documents: seeded.ids.length,
    bodyBytes: seeded.bodyBytes,
    diskPerDocument: (filled - empty) / seeded.ids.length,
    diskPerAuditedRead,
    startMs: started,
    rssAfterStart,
    rssAfterLoad,
    raw,
    lines,
  };
  const out = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(out, { recursive: true });
  const name = `${results.date}-${seed}${quick ? '-quick' : ''}`;
  writeFileSync(join(out, `${name}.json`), `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(join(out, `${name}.md`), pageOf(results));
  say('');
  for (const aim of aimsOf(results))
    say(`${aim.met ? 'met    ' : 'not met'}  ${aim.what}: ${aim.reached} (aim ${aim.aim})`);
  say(`\nbench/results/${name}.md, after ${Math.round((performance.now() - begun) / 1000)} s`);
} finally {
  await child?.stop().catch(() => undefined);
  rmSync(folder, { recursive: true, force: true });
}

/** Milliseconds from starting the server's own process on the filled store to its first answer; the middle one of three. */
async function timeStart(): Promise<number> {
  const env = await environment(site);
  const times: number[] = [];
  for (let n = 0; n < 3; n += 1) {
    const from = performance.now();
    const server = spawn(process.execPath, [fileURLToPath(new URL('../server/main.ts', import.meta.url))], {
      env,
      stdio: 'ignore',
    });
    const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
    for (;;) {
      if (performance.now() - from > 20_000) throw new Error('the server did not start');
      const answer = await fetch(`http://127.0.0.1:${port}/fhir/metadata`).catch(() => undefined);
      if (answer?.ok === true) break;
      await new Promise((next) => setTimeout(next, 10));
    }
    times.push(performance.now() - from);
    server.kill('SIGTERM');
    await ended;
  }
  return times.sort((a, b) => a - b)[1] ?? Number.NaN;
}

function versionOf(name: string): string {
  const path = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }).version;
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

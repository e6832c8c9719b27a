/**
 * `npm run bench:documents`: documents as IHE MHD asks for them. ITI-67 over a small and a tenfold store, ITI-65 and ITI-68 on the large one; beside
 * them, in the same run, bare servers that send or receive as many bytes, and SQLite alone. `--quick` takes a hundredth of the documents.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from '../test/support/free-port.ts';
import { type Child, startChild } from './child.ts';
import { createContents, type Flow, flowsOver, PROVIDED, RETRIEVED } from './flows.ts';
import { drive, type Measured, wire } from './load.ts';
import { measureRawSqlite } from './raw-sqlite.ts';
import type { Variant } from './serve.ts';
import { buildPeople, issuersFor, type World } from './world.ts';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, seed: { type: 'string', default: '20260101' } },
});
const { quick } = options;
const seed = Number(options.seed);

const EACH = 40;
const SMALL = quick ? 10 : 1_000;
const LARGE = SMALL * 10;
const SECONDS = quick ? 1 : 4;
const CONNECTIONS = [1, 16, 64] as const;
const CONTENTS = 16;

type Row = Measured & {
  readonly what: string;
  readonly connections: number;
  /** Microseconds of the process's time for one request. */
  readonly cpu: number;
  readonly megabytes: number;
};

const rows: Row[] = [];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const whole = (n: number): string => Math.round(n).toLocaleString('en-US');

async function measure(child: Child, what: string, flow: Flow, connections: number): Promise<Row> {
  const load = { port: child.port, connections, requests: flow.most, next: flow.next, expect: flow.expect };
  await drive({ ...load, seconds: 1 });
  const before = await child.usage();
  const done = await drive({ ...load, seconds: SECONDS });
  const after = await child.usage();
  if (done.failed > 0) throw new Error(`${what}: ${done.failed} failed, the first with ${done.fault}`);
  const row: Row = {
    ...done,
    what,
    connections,
    cpu: (after.cpu - before.cpu) / Math.max(1, done.requests),
    megabytes: (done.perSecond * (flow.content ?? done.bytes)) / 1e6,
  };
  rows.push(row);
  say(
    `${what.padEnd(44)} ${String(connections).padStart(3)}  ${whole(row.perSecond).padStart(7)}/s  p50 ${row.p50.toFixed(2)}  p99 ${row.p99.toFixed(2)}  ${row.megabytes.toFixed(1)} MB/s  cpu ${whole(row.cpu)} µs`,
  );
  return row;
}

const measureAll = async (child: Child, what: string, flow: Flow): Promise<void> => {
  for (const connections of CONNECTIONS) await measure(child, what, flow, connections);
};

const folder = mkdtempSync(join(tmpdir(), 'carnet-bench-documents-'));
const file = join(folder, 'carnet.db');
const port = await freePort();
const issuers = issuersFor(`http://127.0.0.1:${port}/fhir`);
const begun = performance.now();
const loadBefore = loadavg()[0] ?? 0;
let child: Child | undefined;

/** Gives the people from number `from` to `to` their documents. */
async function fill(of: Child, world: World, from: number, to: number): Promise<readonly string[]> {
  // INVARIANT: what `seedDocuments` answers.
  const { ids } = (await of.order({
    op: 'seed',
    people: world.people.slice(from, to),
    structure: world.structure,
    each: EACH,
    seed: seed + from,
    from,
  })) as { readonly ids: readonly string[] };
  say(`${whole(to * EACH)} documents of ${whole(to)} people after ${Math.round((performance.now() - begun) / 1000)} s`);
  return ids;
}

try {
  child = await startChild('carnet', { folder, port, issuers: issuers.entries });
  const world = await buildPeople(port, issuers, LARGE);
  const small: World = { ...world, people: world.people.slice(0, SMALL) };
  const ids = await fill(child, world, 0, SMALL);
  const find = (of: World): Flow => flowsOver(of, { ids, updatable: [] }, seed + 1).find;
  await measureAll(child, `ITI-67 over ${whole(SMALL * EACH)} documents`, find(small));
  await fill(child, world, SMALL, LARGE);
  await measureAll(child, `ITI-67 over ${whole(LARGE * EACH)} documents`, find(world));

  const empty = flowsOver(world, { ids, updatable: [] }, seed + 2);
  const contents = await createContents(port, empty, CONTENTS);
  const flows = flowsOver(world, { ids, updatable: [], contents }, seed + 3);
  await measureAll(child, 'ITI-65', flows.provide);
  await measureAll(child, 'ITI-68', flows.retrieve);
  const { rss } = await child.usage();
  await child.stop();
  const { size } = statSync(file);

  for (const variant of ['node-http', 'express'] as const satisfies readonly Variant[]) {
    child = await startChild(variant, undefined);
    const found = rows.find(({ what }) => what.startsWith('ITI-67'));
    const answering = (bytes: number): Flow => {
      const sent = wire({ method: 'GET', target: `/payload/${Math.round(bytes)}` });
      return { ...flows.find, next: () => sent };
    };
    await measureAll(child, `${variant}, the bytes of an ITI-67`, answering(found?.bytes ?? 0));
    await measureAll(child, `${variant}, the bytes of an ITI-68`, { ...answering(RETRIEVED), content: RETRIEVED });
    if (variant === 'express') {
      // INVARIANT: a request ends its head with an empty line; everything after it is the bundle.
      const bundle = flows.provide.next(0);
      const sent = wire({
        method: 'POST',
        target: '/sink',
        body: JSON.parse(bundle.subarray(bundle.indexOf('\r\n\r\n') + 4).toString()),
      });
      await measureAll(child, 'express, reads an ITI-65 as JSON', { ...flows.provide, next: () => sent });
    }
    await child.stop();
  }
  child = undefined;
  const raw = measureRawSqlite(folder, SECONDS, PROVIDED);

  const at = (what: string): number =>
    rows.find((r) => r.what.startsWith(what) && r.connections === 16)?.perSecond ?? 0;
  const ratios: readonly (readonly [string, number])[] = [
    [
      `ITI-67 over ${whole(LARGE * EACH)} documents, of the same over ${whole(SMALL * EACH)}`,
      at(`ITI-67 over ${whole(LARGE * EACH)} `) / at(`ITI-67 over ${whole(SMALL * EACH)} `),
    ],
    [
      `ITI-67 over ${whole(LARGE * EACH)} documents, of bare Express`,
      at(`ITI-67 over ${whole(LARGE * EACH)} `) / at('express, the bytes of an ITI-67'),
    ],
    ['ITI-65, of Express that reads the same JSON', at('ITI-65') / at('express, reads an ITI-65')],
    ['ITI-65, of durable inserts of as many bytes in SQLite, 16 to a commit', at('ITI-65') / raw.groupedInserts],
    ['ITI-68, of bare Express', at('ITI-68') / at('express, the bytes of an ITI-68')],
    ['ITI-68, of bare `node:http`', at('ITI-68') / at('node-http, the bytes of an ITI-68')],
  ];
  const date = new Date().toISOString().slice(0, 10);
  const name = `${date}-${seed}-documents${quick ? '-quick' : ''}`;
  const machine = `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; Node ${process.versions.node}. Load average ${loadBefore.toFixed(2)} before and ${(loadavg()[0] ?? 0).toFixed(2)} after. Client and server share the machine.`;
  const page = `# Documents, ${date}, seed ${seed}${quick ? ', quick' : ''}

${machine}

ITI-65: SubmissionSet, DocumentReference and Binary of ${whole(PROVIDED)} B in one Bundle. ITI-67: \`patient.identifier\`, status, class, date, 20 to a page. ITI-68: ${whole(RETRIEVED)} B. Everything on: token, consent, durable record, sealing.

## Ratios, 16 connections

| ratio | |
| --- | ---: |
${ratios.map(([what, ratio]) => `| ${what} | ${ratio.toFixed(3)} |`).join('\n')}

## Measured

| what | conn. | a second | MB/s | p50 ms | p95 ms | p99 ms | cpu µs | body B |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
${rows.map((r) => `| ${r.what} | ${r.connections} | ${whole(r.perSecond)} | ${r.megabytes.toFixed(1)} | ${r.p50.toFixed(2)} | ${r.p95.toFixed(2)} | ${r.p99.toFixed(2)} | ${whole(r.cpu)} | ${whole(r.bytes)} |`).join('\n')}

Durable inserts of ${whole(PROVIDED)} B in SQLite alone: ${whole(raw.groupedInserts)} a second 16 to a commit, ${whole(raw.singleInserts)} one by one. File ${whole(size / 1e6)} MB at the end; RSS of the server ${whole(rss / 1e6)} MB.
`;
  const out = fileURLToPath(new URL('results/', import.meta.url));
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, `${name}.md`), page);
  writeFileSync(
    join(out, `${name}.json`),
    `${JSON.stringify({ date, seed, quick, machine, ratios, raw, rows }, null, 1)}\n`,
  );
  say(`\n${ratios.map(([what, ratio]) => `${ratio.toFixed(3)}  ${what}`).join('\n')}\nbench/results/${name}.md`);
} finally {
  await child?.stop().catch(() => undefined);
  rmSync(folder, { recursive: true, force: true });
}

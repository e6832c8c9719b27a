/**
 * `node bench/at-rest.ts [flow…]`: what sealing costs. Two servers on two stores of the same people and documents, one as it ships and one whose seal does
 * nothing, take turns; processor time for one request, as a ratio. Then one pass of AES-256-GCM alone, for scale.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contextOf, keyFrom, newKey, open, seal } from '../server/adapters/vault/seal.ts';
import { freePort } from '../test/support/free-port.ts';
import { type Child, startChild } from './child.ts';
import { createUpdatable, type Flows, flowsOver } from './flows.ts';
import { drive } from './load.ts';
import { buildPeople, issuersFor } from './world.ts';

const SEED = 20260101;
const PEOPLE = 60;
const EACH = 40;
const ROUNDS = 5;
const SECONDS = 2;
const ALL = ['read', 'documents', 'create'] as const satisfies readonly (keyof Flows)[];
const FLOWS = ALL.filter((name) => process.argv.length < 3 || process.argv.includes(name));
const VARIANTS = ['carnet', 'carnet-unsealed'] as const;

type Side = { readonly child: Child; readonly port: number; readonly flows: Flows; readonly file: string };

const folders: string[] = [];
const sides: Side[] = [];
const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function side(variant: (typeof VARIANTS)[number]): Promise<Side> {
  const folder = mkdtempSync(join(tmpdir(), 'carnet-at-rest-'));
  folders.push(folder);
  const port = await freePort();
  const issuers = issuersFor(`http://127.0.0.1:${port}/fhir`);
  const child = await startChild(variant, { folder, port, issuers: issuers.entries });
  const world = await buildPeople(port, issuers, PEOPLE);
  const order = { op: 'seed', people: world.people, structure: world.structure, each: EACH, seed: SEED } as const;
  // INVARIANT: what `seedDocuments` answers.
  const { ids } = (await child.order(order)) as { readonly ids: readonly string[] };
  const updatable = await createUpdatable(port, flowsOver(world, { ids, updatable: [] }, SEED), 20);
  return { child, port, flows: flowsOver(world, { ids, updatable }, SEED + 1), file: join(folder, 'carnet.db') };
}

/** Microseconds of processor time for one request. */
async function cost({ child, port, flows }: Side, name: (typeof FLOWS)[number]): Promise<number> {
  const flow = flows[name];
  const load = { port, connections: 16, requests: flow.most, next: flow.next, expect: flow.expect };
  const before = await child.usage();
  const done = await drive({ ...load, seconds: SECONDS });
  return ((await child.usage()).cpu - before.cpu) / Math.max(1, done.requests);
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

try {
  for (const variant of VARIANTS) sides.push(await side(variant));
  for (const name of FLOWS) {
    const costs = VARIANTS.map((): number[] => []);
    for (const one of sides) await cost(one, name);
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [i, one] of sides.entries()) costs[i]?.push(await cost(one, name));
    const [sealed = 0, unsealed = 0] = costs.map(median);
    say(`${name.padEnd(10)} sealed / unsealed ${(sealed / unsealed).toFixed(3)}`);
  }
  const [sealed = 0, unsealed = 0] = sides.map(({ file }) => statSync(file).size);
  say(`${'file'.padEnd(10)} sealed / unsealed ${(sealed / unsealed).toFixed(3)}`);

  const key = keyFrom(newKey(), 1);
  const body = 'x'.repeat(2_000);
  const context = contextOf('version', 'DocumentReference', '0'.repeat(36), '1');
  const pass = seal(key, context, body);
  // Processor time: the machine may be doing other things.
  const timed = (work: () => void): number => {
    for (let i = 0; i < 20_000; i += 1) work();
    const begun = process.cpuUsage().user;
    for (let i = 0; i < 50_000; i += 1) work();
    return (process.cpuUsage().user - begun) / 50_000;
  };
  say(
    `one body of 2 kB: sealed in ${timed(() => seal(key, context, body)).toFixed(1)} µs, opened in ${timed(() => open(key, context, pass)).toFixed(1)} µs`,
  );
} finally {
  for (const { child } of sides) await child.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

/** `node bench/profile.ts [flow…]`: runs flows against a small store and lists where the server's time goes. Profiles stay in the system's temporary folder. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../test/support/free-port.ts';
import { startChild } from './child.ts';
import { createContents, createUpdatable, type Flows, flowsOver } from './flows.ts';
import { hotSpots } from './hot.ts';
import { drive } from './load.ts';
import { buildPeople, issuersFor } from './world.ts';

const SEED = 20260101;
const PEOPLE = 100;
const EACH = 40;
const SHOWN = 25;

const folder = mkdtempSync(join(tmpdir(), 'carnet-profile-'));
const port = await freePort();
const issuers = issuersFor(`http://127.0.0.1:${port}/fhir`);
const child = await startChild('carnet', { folder, port, issuers: issuers.entries });
try {
  const world = await buildPeople(port, issuers, PEOPLE);
  // INVARIANT: what `seedDocuments` answers.
  const { ids } = (await child.order({
    op: 'seed',
    people: world.people,
    structure: world.structure,
    each: EACH,
    seed: SEED,
  })) as { readonly ids: readonly string[] };
  const updatable = await createUpdatable(port, flowsOver(world, { ids, updatable: [] }, SEED), PEOPLE);
  const contents = await createContents(port, flowsOver(world, { ids, updatable: [] }, SEED + 2), 8);
  const flows = flowsOver(world, { ids, updatable, contents }, SEED + 1);
  const asked = process.argv.slice(2);
  for (const name of asked.length === 0 ? ['read', 'documents', 'create', 'transaction'] : asked) {
    if (!Object.hasOwn(flows, name)) throw new Error(`there is no flow \`${name}\``);
    // INVARIANT: looked up above.
    const flow = flows[name as keyof Flows];
    const load = { port, connections: 16, requests: flow.most, next: flow.next, expect: flow.expect };
    await drive({ ...load, seconds: 3 });
    await child.order({ op: 'profile' });
    await drive({ ...load, seconds: 5 });
    const file = join(tmpdir(), `carnet-${name}.cpuprofile`);
    await child.order({ op: 'profiled', file });
    process.stdout.write(`\n${name} (${file})\n   self   total\n`);
    for (const spot of [...hotSpots(file)].sort((a, b) => b.self - a.self).slice(0, SHOWN)) {
      const percent = (share: number): string => `${(share * 100).toFixed(1)} %`.padStart(7);
      process.stdout.write(`${percent(spot.self)} ${percent(spot.total)}  ${spot.where}\n`);
    }
  }
} finally {
  await child.stop();
  rmSync(folder, { recursive: true, force: true });
}

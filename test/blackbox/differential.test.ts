/**
 * Random worlds, built through the public API, asked about by every kind of caller at several instants; each answer must
 * be the oracle's. `ORACLE_WORLDS`, `ORACLE_CALLERS` and `ORACLE_INSTANTS` make it longer, `ORACLE_SEED` repeats one.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { baseInstant, callerIn, instants, tameWorld } from '../oracle/arbitraries.ts';
import type { World, WorldCaller } from '../oracle/world.ts';
import { serverExists, startServer, type TestServer } from '../support/server.ts';
import { buildWorld, createMint, type Mint } from '../support/world.ts';
import { type Built, compareAudit, compareReads, compareRefusals, type Mismatch, recordedEvents } from './compare.ts';

const count = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const worlds = count('ORACLE_WORLDS', 1);
const callersEach = count('ORACLE_CALLERS', 4);
const instantsEach = count('ORACLE_INSTANTS', 2);
// The same world at every run of the suite; a soak asks for others.
const firstSeed = count('ORACLE_SEED', 4242);

/** Everything that the builder writes is older. */
const written = '2026-10-09T00:00:00Z';

const running: TestServer[] = [];
afterAll(async () => {
  await Promise.all(running.map((server) => server.dispose()));
});

/** A few callers that concern the world, and one of each kind. */
function callersOf(world: World, seed: number): readonly WorldCaller[] {
  const exists = (one: WorldCaller): boolean =>
    one.kind !== 'representative' ||
    world.items.some((item) => item.type === 'RelatedPerson' && item.id === one.related);
  const drawn = fc.sample(callerIn(world), { seed, numRuns: callersEach * 2 }).filter(exists);
  const fixed: readonly WorldCaller[] = [
    { kind: 'patient', person: 'p1' },
    { kind: 'representative', related: 'related-p1-0', actsFor: 'p1' },
    { kind: 'insurer' },
    { kind: 'operator' },
    { kind: 'professional', person: 'dr1', profession: '10', structure: 's1', purpose: 'ETREAT' },
  ];
  const every = [...fixed, ...drawn.slice(0, callersEach)];
  return [...new Map(every.map((one) => [JSON.stringify(one), one])).values()];
}

const policyOf = (world: World): object => ({ ...world.policy, clockToleranceSeconds: 0 });

/** What a reader of a failed run needs: the seed, the few differences of each sort, and the items of the person concerned. */
function report(seed: number, world: World, mismatches: readonly Mismatch[]): string {
  const sorts = new Map<string, Mismatch[]>();
  for (const one of mismatches) {
    const sort = `${one.caller.kind} ${one.asked.replace(/[^ ]*\/.*$/, '')} ${one.item?.type ?? ''} ${JSON.stringify(one.expected)} ${String(JSON.stringify(one.answered)).slice(0, 40)}`;
    sorts.set(sort, [...(sorts.get(sort) ?? []), one]);
  }
  const lines = [`seed ${seed}: ${mismatches.length} differences of ${sorts.size} sorts`];
  for (const [sort, some] of [...sorts].slice(0, 25))
    lines.push(`${some.length} × ${sort}: e.g. ${JSON.stringify(some[0])}`);
  const first = mismatches[0];
  const about = first?.item !== undefined && 'person' in first.item ? first.item.person : undefined;
  lines.push(
    `policy ${JSON.stringify(world.policy)}`,
    ...world.items
      .filter(
        (item) =>
          (item.type === 'Consent' || item.type === 'CareTeam') && (about === undefined || item.person === about),
      )
      .map((item) => JSON.stringify(item)),
  );
  return lines.join('\n');
}

describe.skipIf(!serverExists())('the server and the oracle agree', () => {
  for (let index = 0; index < worlds; index += 1) {
    const seed = firstSeed + index;
    it(`on world ${seed}`, { timeout: 600_000 }, async () => {
      const world = fc.sample(tameWorld, { seed, numRuns: 1 })[0] as World;
      let mint: Mint | undefined;
      const server = await startServer({
        issuers: (base) => {
          const made = createMint(base);
          mint = made.mint;
          return made.entries;
        },
        policy: policyOf(world),
        clock: baseInstant,
      });
      running.push(server);
      if (mint === undefined) throw new Error('no issuers were made');
      const ids = await buildWorld(world, { base: server.base, mint, setClock: server.setClock }).catch((error) => {
        throw new Error(`world ${seed}: ${error}\n${server.stderr().slice(-2000)}`);
      });
      const built: Built = { base: server.base, mint, world, ids, compared: 0, toShow: 0, toHide: 0 };
      const mismatches: Mismatch[] = [];
      const later = fc.sample(fc.constantFrom(...instants.slice(1)), { seed, numRuns: instantsEach - 1 });
      for (const now of [baseInstant, ...later.sort((a, b) => a - b)]) {
        await server.setClock(now);
        const events = await recordedEvents(built, now, written);
        for (const caller of callersOf(world, seed)) {
          mismatches.push(...(await compareReads(built, { caller, now })));
          mismatches.push(...(await compareAudit(built, { caller, now }, events, written)));
          mismatches.push(...(await compareRefusals(built, { caller, now })));
        }
        expect(events.length).toBeGreaterThan(20);
      }
      console.info(`world ${seed}: ${built.compared} answers compared, ${mismatches.length} differ`);
      // a world in which everything is shown, or nothing, proves nothing
      expect(Math.min(built.toShow, built.toHide)).toBeGreaterThan(50);
      if (mismatches.length > 0) expect.fail(report(seed, world, mismatches));
      await server.dispose();
    });
  }
});

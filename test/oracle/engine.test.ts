/**
 * The engine against the oracle, decision by decision: random worlds written into a real store with the server's own marks, every item asked
 * about by callers whom it concerns and others, at instants on either side of what changes. `ENGINE_WORLDS` makes it longer, `ENGINE_SEED` asks
 * about other worlds (`random`: by chance, printed).
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAccess } from '../../server/access/access.ts';
import { accessOptions } from '../../server/app/caller-access.ts';
import { directoryMemory, resolveCaller } from '../../server/app/facts.ts';
import type { ResourceStore } from '../../server/ports/store.ts';
import { guarded } from '../../server/query/plan.ts';
import { ALL } from '../../server/query/predicate.ts';
import { depsFor, mintToken, openStore, storeFolder } from '../support/in-process.ts';
import { policyOf } from '../support/policy.ts';
import { twinWorld } from '../support/twin-run.ts';
import { record, sameIds } from '../support/twins.ts';
import { caller as anyCaller, baseInstant, concerned, instants } from './arbitraries.ts';
import { maySee } from './decide.ts';
import type { Instant, World, WorldCaller } from './world.ts';

const worlds = Number(process.env['ENGINE_WORLDS'] ?? 20);
const asked = process.env['ENGINE_SEED'] ?? '20261127';
const seed = asked === 'random' ? Math.floor(Math.random() * 0x7fffffff) : Number(asked);
const CALLERS = 14;

let folder: Awaited<ReturnType<typeof storeFolder>>;
beforeAll(async () => {
  folder = await storeFolder();
});
afterAll(() => folder.dispose());

type Question = { readonly world: World; readonly asking: readonly (readonly [WorldCaller, Instant])[] };

const question: fc.Arbitrary<Question> = fc
  .record({
    world: twinWorld,
    picks: fc.array(fc.tuple(fc.nat(), anyCaller, fc.constantFrom(baseInstant, ...instants)), {
      minLength: CALLERS,
      maxLength: CALLERS,
    }),
  })
  .map(({ world, picks }) => {
    const near = concerned(world);
    const known = sameIds(world);
    const isKnown = (one: WorldCaller): boolean =>
      one.kind !== 'representative' || known.has(`RelatedPerson/${one.related}`);
    return {
      world,
      asking: picks
        .map(([pick, other, now]) => [pick % 3 === 0 ? other : (near[pick % near.length] ?? other), now] as const)
        .filter(([one]) => isKnown(one)),
    };
  });

const cellOf = (one: WorldCaller, type: string): string =>
  `${one.kind === 'professional' ? one.purpose : one.kind} ${type}`;

/** Both answers of one cell: so often shown, so often hidden. */
type Cells = Map<string, { shown: number; hidden: number }>;

async function compare(store: ResourceStore, { world, asking }: Question, cells: Cells): Promise<readonly string[]> {
  const policy = policyOf(world.policy);
  const deps = depsFor({ store, policy, now: () => baseInstant, nextId: () => 'none' });
  await record(world, store, deps, 'directory');
  await record(world, store, deps, 'persons');
  const different: string[] = [];
  for (const [index, [one, now]] of asking.entries()) {
    const claims = await deps.verifier.verify(mintToken(one, sameIds(world), now), now);
    if (!claims.ok) throw new Error(`the token is refused: ${JSON.stringify(claims.failure)}`);
    await store.unit(async (unit) => {
      const resolved = await resolveCaller(unit, claims.value, directoryMemory());
      // Whom the register does not know any more is refused as a whole (401).
      if (!resolved.ok) return;
      const access = createAccess(accessOptions(deps, resolved.value, now));
      const found = new Map<string, ReadonlySet<string>>();
      for (const type of new Set(world.items.map((item) => item.type)).intersection(deps.declarations)) {
        // The register weighs every item that its events name: it is asked half of the time, and as a whole.
        if (type === 'AuditEvent' && index % 2 === 1) continue;
        const plan = { type, where: ALL, sort: [], limit: 500, total: true };
        const page = await unit.search(guarded(plan, access.guard(type, 's')));
        if (page.total !== page.matches.length) different.push(`${type}: a total of ${page.total}`);
        found.set(type, new Set(page.matches.map((match) => match.id)));
      }
      for (const item of world.items) {
        const ids = found.get(item.type);
        if (ids === undefined) continue;
        const expected = maySee(world, one, item, now);
        const searched = ids.has(item.id);
        const key = { type: item.type, id: item.id };
        const read = item.type === 'AuditEvent' ? searched : await unit.test(key, access.guard(item.type, 'r'), ALL);
        const cell = cells.get(cellOf(one, item.type)) ?? { shown: 0, hidden: 0 };
        cell[expected.permit ? 'shown' : 'hidden'] += 1;
        cells.set(cellOf(one, item.type), cell);
        if (read === expected.permit && searched === (expected.permit && item.deleted !== true)) continue;
        // C5: the search by traits finds whom a read does not; D9 decides how it may be asked.
        if (item.type === 'Patient' && one.kind === 'professional' && one.purpose === 'ETREAT' && !read) continue;
        different.push(
          `${JSON.stringify(one)} at ${new Date(now).toISOString()}, ${JSON.stringify(item)}: the oracle ${JSON.stringify(expected)}, a read ${read}, a search ${searched}`,
        );
      }
    });
  }
  return different;
}

describe('the engine decides like the oracle', () => {
  test(`every item of ${worlds} worlds, for ${CALLERS} callers each (seed ${seed})`, { timeout: 0 }, async () => {
    const cells: Cells = new Map();
    const began = performance.now();
    for (const [index, one] of fc.sample(question, { seed, numRuns: worlds }).entries()) {
      const path = join(folder.path, `engine-${index}.db`);
      const store = openStore(path);
      try {
        expect((await compare(store, one, cells)).slice(0, 3), `world ${index} of seed ${seed}`).toEqual([]);
      } finally {
        await store.close();
        for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
      }
    }
    const all = [...cells.values()];
    const decisions = all.reduce((sum, cell) => sum + cell.shown + cell.hidden, 0);
    const both = all.filter((cell) => cell.shown > 0 && cell.hidden > 0).length;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.info(
      `engine, seed ${seed}: ${decisions} decisions in ${seconds} s; ${cells.size} cells, ${both} with both answers`,
    );
    // Worlds in which everything is shown, or nothing, would prove nothing.
    expect(decisions).toBeGreaterThan(worlds * 500);
    expect(both).toBeGreaterThan(40);
  });
});

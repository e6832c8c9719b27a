/**
 * The engine and the oracle, decision by decision, without HTTP: random worlds in the real embedded store × random callers × every item × every
 * interaction, at instants around midnight, month ends and the change of the clocks. And which cells of the decision table were visited.
 * `ORACLE_DECISIONS`: how many at least; from 1 000 000 on the worlds of `grid.ts` come first, and every cell that the rules make possible must have been
 * visited by every interaction. `ORACLE_TABLE`: the file that the counts go to. `ORACLE_DECISIONS_SEED` repeats a run (`random`: by chance, printed).
 */
import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Answered,
  type Directory,
  directoryStore,
  type Engine,
  isServed,
  loadEngine,
  type Sight,
} from '../support/engine.ts';
import { type StoreShelf, storeShelf } from '../support/in-process.ts';
import { baseInstant, callerIn, denseCallers, denseWorld, instants } from './arbitraries.ts';
import { type Cell, cellsOf, INTERACTIONS, type Interaction, nameOf, possibleCells } from './cells.ts';
import { auditItems, maySee, searchAllowed } from './decide.ts';
import { personOf } from './facts.ts';
import { gridCallers, gridInstant, gridWorlds } from './grid.ts';
import type { Instant, Item, Verdict, World, WorldCaller } from './world.ts';

const decisions = Number(process.env['ORACLE_DECISIONS'] ?? 40_000);
const asked = process.env['ORACLE_DECISIONS_SEED'] ?? '20261025';
const seed = asked === 'random' ? Math.floor(Math.random() * 0x7fffffff) : Number(asked);
/** A line for so many decisions of a long run. */
const TOLD_EVERY = 50_000;
/** One look in so many goes through the store, by every interaction; the others ask what the guards mean. */
const storeEvery = Number(process.env['ORACLE_STORE_EVERY'] ?? 48);

/** From so many on a run is a soak. */
const SOAK = 1_000_000;

/** A world as a store can hold it: a departure from a shape is one that is written down, and the directory is whole. */
const stored = (world: World): World => ({
  ...world,
  items: [
    ...world.items.map((item): Item => {
      if (item.type !== 'Consent' || item.malformed !== true || item.actors.length > 0) return item;
      const { malformed: _m, ...rest } = item;
      return { ...rest, period: { start: 'soon' } };
    }),
    { type: 'HealthcareService', id: 'ward' },
    { type: 'Location', id: 'room' },
  ],
});

const storedWorld: fc.Arbitrary<World> = denseWorld.map(stored);

/** Callers of every kind: such as the world is full of, such as something in it concerns, and any other. */
function castOf(world: World, from: number): readonly WorldCaller[] {
  const kindOf = (one: WorldCaller): string => (one.kind === 'professional' ? one.purpose : one.kind);
  const drawn = fc.sample(callerIn(world), { seed: from, numRuns: 60 });
  const all = denseCallers(world);
  const representatives = all.filter(({ kind }) => kind === 'representative');
  const others = fc.shuffledSubarray(
    all.filter(({ kind }) => kind !== 'representative'),
    { minLength: 6, maxLength: 6 },
  );
  const oneOfEach = new Map(drawn.map((one) => [kindOf(one), one]));
  return [...representatives, ...(fc.sample(others, { seed: from, numRuns: 1 })[0] ?? []), ...oneOfEach.values()];
}

/** What an interaction is to answer about an item, by the oracle; `undefined`: that is asked elsewhere. */
function expected(
  caller: WorldCaller,
  item: Item,
  verdict: Verdict,
): Readonly<Record<Interaction, Answered | undefined>> {
  const status = !verdict.permit ? 'hidden' : item.deleted === true ? 'gone' : 'shown';
  const found = status === 'shown' ? 'shown' : 'hidden';
  return {
    read: status,
    history: status,
    // the first version is none that says that the item is deleted
    vread: verdict.permit ? 'shown' : 'hidden',
    // the traits of D9 open a search that nothing else follows
    search:
      item.type === 'Patient' && caller.kind === 'professional' && caller.purpose === 'ETREAT' ? undefined : found,
    content: item.type === 'Binary' && item.deleted !== true ? status : undefined,
  };
}

type Count = { permit: number; deny: number };

describe('the engine decides as the oracle does', () => {
  let shelf: StoreShelf;
  let directory: Directory;
  beforeAll(async () => {
    shelf = await storeShelf();
    directory = await directoryStore(shelf, fc.sample(storedWorld, { seed: 1, numRuns: 1 })[0] as World);
  });
  afterAll(() => shelf.dispose());

  const cells = new Map<string, Record<Interaction, Count>>();
  let compared = 0;
  let items = 0;
  const faults: string[] = [];

  const visit = (cell: Cell, interaction: Interaction, permit: boolean): void => {
    const name = nameOf(cell);
    const empty = (): Count => ({ permit: 0, deny: 0 });
    const counts = cells.get(name) ?? {
      read: empty(),
      vread: empty(),
      history: empty(),
      search: empty(),
      content: empty(),
    };
    counts[interaction][permit ? 'permit' : 'deny'] += 1;
    cells.set(name, counts);
  };

  const compare = (world: World, caller: WorldCaller, now: Instant, sight: Sight): void => {
    const differ = (what: string, item: Item | undefined, should: unknown, does: unknown): void => {
      const about = item === undefined ? undefined : personOf(world, item);
      const rights = world.items.filter((one) => one.type === 'Consent' && one.person === about);
      if (faults.length > 0) return void faults.push(`${what} ${item?.type}/${item?.id}`);
      faults.push(
        `${what}: ${JSON.stringify(caller)} at ${new Date(now).toISOString()} on ${JSON.stringify(item)}: ` +
          `the oracle says ${JSON.stringify(should)}, the engine ${JSON.stringify(does)}; rights ${JSON.stringify(rights)}`,
      );
    };
    for (const item of world.items.filter(isServed)) {
      items += 1;
      const verdict = maySee(world, caller, item, now);
      const by = expected(caller, item, verdict);
      const where = cellsOf(world, caller, item, { now, verdict });
      for (const interaction of INTERACTIONS) {
        const should = by[interaction];
        if (should === undefined) continue;
        const does = sight.answer(interaction, item);
        if (does === undefined) continue;
        compared += 1;
        if (does !== should) differ(interaction, item, should, does);
        for (const cell of where) visit(cell, interaction, should !== 'hidden');
      }
      if (item.type !== 'AuditEvent' || caller.kind === 'operator') continue;
      const entities = auditItems(world, caller, item, now);
      if (entities === undefined) continue;
      if (item.items.some((named) => sight.entity(named) === undefined)) continue;
      const shown = item.items.filter((named) => sight.entity(named) === true);
      if (JSON.stringify(shown) !== JSON.stringify(entities)) differ('entities', item, entities, shown);
    }
    for (const type of new Set(world.items.filter(isServed).map((item) => item.type))) {
      // what opens the search of Patient is asked by its parameters; a Binary has no search
      if (type === 'Patient' || type === 'Binary' || opensTraits(caller)) continue;
      const should = searchAllowed(caller, type, world.policy);
      if (sight.searchable(type) !== should) differ(`search of ${type}`, undefined, should, !should);
    }
  };

  it(`on ${decisions} decisions at least (seed ${seed})`, { timeout: 0 }, async () => {
    const began = performance.now();
    let worlds = 0;
    let looks = 0;
    let told = 0;
    const tell = (): void =>
      console.info(
        `oracle, seed ${seed}: ${compared} decisions on ${items} items of ${worlds} worlds in ${((performance.now() - began) / 1000).toFixed(1)} s, ${cells.size} cells`,
      );
    type Asking = { readonly caller: WorldCaller; readonly now: Instant; readonly whom: 'store' | 'definition' };
    const askAll = async (world: World, asking: readonly Asking[]): Promise<void> => {
      worlds += 1;
      const engine: Engine = await loadEngine(world, directory);
      try {
        for (const { caller, now, whom } of asking) {
          const sight = await engine.look(caller, now, whom);
          if (sight !== undefined) compare(world, caller, now, sight);
        }
      } finally {
        await engine.close();
      }
    };
    for (const world of decisions >= SOAK ? gridWorlds().map(stored) : []) {
      await askAll(
        world,
        gridCallers().map((caller): Asking => ({ caller, now: gridInstant, whom: 'store' })),
      );
      if (faults.length > 0) expect.fail(`a world by plan, ${faults.length} differ:\n${faults.slice(0, 5).join('\n')}`);
    }
    if (worlds > 0) tell();
    const planned = compared;
    for (let drawn = seed; compared - planned < decisions; drawn += 1) {
      const [world] = fc.sample(storedWorld, { seed: drawn, numRuns: 1 }) as [World];
      const cast = castOf(world, drawn);
      const when = fc.sample(fc.constantFrom(baseInstant, ...instants), { seed: drawn, numRuns: cast.length });
      await askAll(
        world,
        cast.map((caller, index): Asking => {
          looks += 1;
          return { caller, now: when[index] ?? baseInstant, whom: looks % storeEvery === 0 ? 'store' : 'definition' };
        }),
      );
      // a long run says from time to time how far it came
      if (decisions >= 10 * TOLD_EVERY && compared >= TOLD_EVERY * (told + 1)) {
        told += 1;
        tell();
      }
      if (faults.length > 0) expect.fail(`world ${drawn}, ${faults.length} differ:\n${faults.slice(0, 5).join('\n')}`);
    }
    tell();
    expect(faults).toEqual([]);
  });

  it('and what was asked covers what the rules make possible', async () => {
    const possible = possibleCells((type) => isServed({ type }));
    const table = process.env['ORACLE_TABLE'];
    if (table !== undefined) await writeFile(table, tableOf(possible, cells));
    const missing = possible.filter((cell) => !cells.has(nameOf(cell)));
    // the suite looks at the columns of a cell two by two, the soak at the whole of it
    const pairs = ({ who, what, label, ground }: Cell): readonly string[] => [
      `${who} on ${what}`,
      `${who} with ${label}`,
      `${who} by ${ground}`,
      `${what} with ${label}`,
    ];
    const seen = new Set(possible.filter((cell) => cells.has(nameOf(cell))).flatMap(pairs));
    const all = new Set(possible.flatMap(pairs));
    const poor = [...all].filter((pair) => !seen.has(pair));
    console.info(
      `oracle: ${possible.length - missing.length} of ${possible.length} possible cells visited, ${all.size - poor.length} of ${all.size} pairs`,
    );
    expect(poor.length, poor.join('; ')).toBeLessThan(all.size * 0.15);
    if (decisions < SOAK) return;
    expect(missing.map(nameOf)).toEqual([]);
    const unasked = possible.flatMap((cell) =>
      interactionsOf(cell)
        .filter((interaction) => {
          const count = cells.get(nameOf(cell))?.[interaction];
          return count === undefined || count.permit + count.deny === 0;
        })
        .map((interaction) => `${nameOf(cell)} by ${interaction}`),
    );
    expect(unasked).toEqual([]);
  });
});

const opensTraits = (caller: WorldCaller): boolean =>
  caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.patient === undefined;

/** By which interactions what a cell is about can be asked for: a Binary has no search, nothing else has content; traits search Patient (D9) in a way of its own. */
const interactionsOf = ({ who, what }: Cell): readonly Interaction[] =>
  INTERACTIONS.filter((interaction) => {
    if (interaction === 'content') return what === 'Binary';
    return interaction !== 'search' || (what !== 'Binary' && !(what === 'Patient' && who === 'ETREAT'));
  });

/** One line a cell: permits and denials by interaction. */
function tableOf(possible: readonly Cell[], cells: ReadonlyMap<string, Record<Interaction, Count>>): string {
  const known = new Set(possible.map(nameOf));
  const names = [...new Set([...possible.map(nameOf), ...cells.keys()])].sort();
  const line = (name: string): string => {
    const counts = cells.get(name);
    const shown = INTERACTIONS.map((interaction) => {
      const count = counts?.[interaction];
      return count === undefined || count.permit + count.deny === 0 ? '–' : `${count.permit}/${count.deny}`;
    });
    return [known.has(name) ? ' ' : '+', ...name.split(' | '), ...shown].join('\t');
  };
  return `${['', 'who', 'what', 'label', 'ground', ...INTERACTIONS].join('\t')}\n${names.map(line).join('\n')}\n`;
}

/** `matches` is what a predicate means; the store's search, its reads and its tests must say the same of every random world. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  openSqliteStore,
  SQLITE_STORE_DEFAULTS,
  type SqliteStoreOptions,
} from '../server/adapters/store-sqlite/store.ts';
import { EMPTY_ENTRY, type IndexEntry } from '../server/fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../server/fhir/types.ts';
import type { Put, ResourceStore, StoreUnit } from '../server/ports/store.ts';
import { type Linked, type Links, matches } from '../server/query/matches.ts';
import { guarded } from '../server/query/plan.ts';
import { ALL, and, type Bound, type Predicate, term } from '../server/query/predicate.ts';
import { bareHop, guardWith, systemGuard } from './support/guards.ts';
import { mongoShelf } from './support/mongo-store.ts';
import { mongodIsThere, testReplicaSet } from './support/mongod.ts';

const TYPES = ['Alpha', 'Beta', 'Gamma'] as const;
const IDS = ['x', 'y', 'z'] as const;
const OWNERS = ['Alpha/x', 'Alpha/y', 'Patient/p'] as const satisfies readonly Ref[];
const PARAMS = ['see', '_about'] as const;

const reference = fc.tuple(fc.constantFrom(...TYPES), fc.constantFrom(...IDS)).map(([type, id]) => `${type}/${id}`);
const word = fc.constantFrom('', 'a', 'b', 'ab', 'ba', 'aab', 'é', '%', 'a'.repeat(30), `${'a'.repeat(30)}b`);
const instant = fc.integer({ min: 0, max: 4 });
const end = fc.oneof(
  { weight: 6, arbitrary: instant },
  { weight: 1, arbitrary: fc.constantFrom(Infinity, -Infinity, 0.1) },
);

const simpleTerm = fc.tuple(fc.constantFrom('code', '_label'), fc.constantFrom('1', '2', '3'));
const referenceTerm = fc.tuple(fc.constantFrom(...PARAMS), reference);
const anyTerm = fc.oneof(simpleTerm, referenceTerm).map(([param, value]) => `${param}=${value}`);

const entry: fc.Arbitrary<IndexEntry> = fc.record({
  terms: fc.array(anyTerm, { maxLength: 5 }),
  strings: fc.array(fc.record({ param: fc.constantFrom('name', '_note'), text: word }), { maxLength: 2 }),
  ranges: fc.array(fc.record({ param: fc.constantFrom('date', '_span'), lo: end, hi: end }), { maxLength: 2 }),
  sort: fc.constant([]),
});

type Thing = {
  readonly key: Key;
  readonly owner: Ref | undefined;
  readonly deleted: boolean;
  readonly lastUpdated: number;
  readonly entry: IndexEntry;
  /** What it was before, for those that were changed. */
  readonly before: IndexEntry | undefined;
};
type World = {
  readonly things: readonly Thing[];
  readonly spaces: readonly { readonly person: Ref; readonly entry: IndexEntry }[];
};

const thing: fc.Arbitrary<Thing> = fc.record({
  key: fc.record({ type: fc.constantFrom(...TYPES), id: fc.constantFrom(...IDS) }),
  owner: fc.option(fc.constantFrom(...OWNERS), { nil: undefined }),
  deleted: fc.boolean(),
  lastUpdated: instant,
  entry,
  before: fc.option(entry, { nil: undefined }),
});

const world: fc.Arbitrary<World> = fc.record({
  things: fc.uniqueArray(thing, { selector: (t) => refOf(t.key), maxLength: 8 }),
  spaces: fc.array(fc.record({ person: fc.constantFrom<Ref>(...OWNERS), entry }), { maxLength: 3 }),
});

const bound: fc.Arbitrary<Bound | undefined> = fc.option(
  fc.tuple(fc.constantFrom<Bound[0]>('<', '<=', '>', '>='), fc.oneof(instant, fc.constant(0.1))),
  { nil: undefined },
);

const predicate: fc.Arbitrary<Predicate> = fc.letrec<{ p: Predicate }>((tie) => {
  const hop = fc
    .tuple(fc.constantFrom(...TYPES), tie('p'), fc.boolean())
    .map(([type, where, deleted]) => bareHop(type, where, deleted));
  return {
    p: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.oneof(simpleTerm, referenceTerm).map(([param, value]): Predicate => term(param, value)),
      fc.constantFrom<Predicate>(ALL, { op: 'none' }),
      fc.constantFrom(...IDS).map((id): Predicate => term('_id', id)),
      fc.constantFrom(...OWNERS).map((owner): Predicate => term('_owner', owner)),
      fc
        .tuple(fc.constantFrom('prefix' as const, 'contains' as const), fc.constantFrom('name', '_note'), word)
        .map(([op, param, text]): Predicate => ({ op, param, text })),
      fc
        .tuple(fc.constantFrom('date', '_span', '_lastUpdated'), bound, bound)
        .map(([param, lo, hi]): Predicate => ({ op: 'range', param, ...(lo && { lo }), ...(hi && { hi }) })),
      fc
        .tuple(fc.constantFrom('and' as const, 'or' as const), fc.array(tie('p'), { maxLength: 3 }))
        .map(([op, of]): Predicate => ({ op, of })),
      tie('p').map((of): Predicate => ({ op: 'not', of })),
      tie('p').map((of): Predicate => ({ op: 'owner', of })),
      fc
        .tuple(fc.constantFrom('via' as const, 'from' as const), fc.constantFrom(...PARAMS, '_owner'), hop)
        .map(([op, param, h]): Predicate => ({ op, param, hop: h })),
    ),
  };
}).p;

/** The entry as a query sees it: what the store knows of the resource itself stands in it like everything else. */
const seen = (t: Thing): IndexEntry => ({
  ...t.entry,
  terms: [...t.entry.terms, `_id=${t.key.id}`, ...(t.owner === undefined ? [] : [`_owner=${t.owner}`])],
  ranges: [...t.entry.ranges, { param: '_lastUpdated', lo: t.lastUpdated, hi: t.lastUpdated + 1 }],
});

/** The world as `matches` walks it. */
function linked(w: World): ReadonlyMap<string, Linked> {
  const all = new Map<string, Linked>();
  const spaces = new Map<string, IndexEntry>(w.spaces.map((s) => [s.person, s.entry]));
  const ofType = (type: string) => w.things.filter((t) => t.key.type === type);
  const at = (t: Thing): Linked => all.get(refOf(t.key))!;
  for (const t of w.things) {
    const names = (from: Thing, param: string, to: Thing) => seen(from).terms.includes(`${param}=${refOf(to.key)}`);
    const links: Links = {
      space: t.owner === undefined ? undefined : spaces.get(t.owner),
      via: (param, type) =>
        ofType(type)
          .filter((o) => names(t, param, o))
          .map(at),
      from: (param, type) =>
        ofType(type)
          .filter((o) => names(o, param, t))
          .map(at),
    };
    all.set(refOf(t.key), { entry: seen(t), deleted: t.deleted, links });
  }
  return all;
}

const putOf = (t: Thing, part: Partial<Put>): Put => ({
  key: t.key,
  versionId: '1',
  lastUpdated: t.lastUpdated,
  deleted: t.deleted,
  owner: t.owner,
  body: '',
  entry: t.entry,
  filing: {},
  ...part,
});

async function build(unit: StoreUnit, w: World): Promise<void> {
  for (const t of w.things) {
    if (t.before !== undefined) {
      await unit.put(putOf(t, { entry: t.before, owner: 'Alpha/z', deleted: false, lastUpdated: 9 }));
    }
    await unit.put(putOf(t, { versionId: '2', deleted: false }));
    if (t.deleted) await unit.put(putOf(t, { versionId: '3', body: '', entry: EMPTY_ENTRY }));
  }
  for (const s of w.spaces) await unit.putSpace(s.person, s.entry);
}

const UNDO = new Error('the world is undone');

/** Says where the store and the definition part, or nothing. */
async function disagreement(unit: StoreUnit, w: World, predicates: readonly Predicate[]): Promise<unknown> {
  const all = linked(w);
  for (const p of predicates) {
    for (const type of TYPES) {
      const things = w.things.filter((t) => t.key.type === type);
      const truth = (t: Thing, q: Predicate): boolean => {
        const l = all.get(refOf(t.key))!;
        return matches(q, l.entry, l.links);
      };
      for (const q of [p, and(term('_owner', 'Alpha/x'), p)]) {
        const expected = things
          .filter((t) => !t.deleted && truth(t, q))
          .map((t) => t.key.id)
          .sort();
        const question = { type, sort: [], limit: 100, total: true };
        for (const plan of [
          guarded({ ...question, where: q }, systemGuard(type)),
          guarded({ ...question, where: ALL }, guardWith(type, q)),
        ]) {
          const page = await unit.search(plan);
          const got = page.matches.map((m) => m.id);
          if (got.join() !== expected.join() || page.total !== expected.length)
            return { search: q, type, expected, got };
        }
      }
      for (const t of things) {
        const expected = truth(t, p);
        const read = (await unit.read(t.key, guardWith(type, p))) !== undefined;
        const tested = await unit.test(t.key, systemGuard(type), p);
        if (read !== expected || tested !== expected) return { judged: p, of: t.key, expected, read, tested };
      }
    }
  }
  return undefined;
}

type Opened = { readonly store: ResourceStore; readonly close: () => Promise<void> };

const sqlite = (tuning: Partial<SqliteStoreOptions>) => async (): Promise<Opened> => {
  const folder = mkdtempSync(join(tmpdir(), 'carnet-agreement-'));
  const path = join(folder, 'carnet.db');
  const store = openSqliteStore({ ...SQLITE_STORE_DEFAULTS, ...tuning, path, clock: { now: () => 0 } });
  const close = async (): Promise<void> => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { store, close };
};

const mongodb = async (): Promise<Opened> => {
  const set = await testReplicaSet();
  const shelf = await mongoShelf(set);
  const store = await shelf.open('agreement');
  const close = async (): Promise<void> => {
    await store.close();
    await shelf.dispose();
    await set.stop();
  };
  return { store, close };
};

/** Random worlds; on MongoDB, where each question is a journey, fewer of them than a long run asks for. */
const WORLDS = 200;
const MONGO_WORLDS = Number(process.env.CARNET_TEST_AGREEMENT ?? 20);

type Variant = readonly [name: string, worlds: number, open: () => Promise<Opened>];
const VARIANTS: readonly Variant[] = [
  ['embedded, as a server runs it', WORLDS, sqlite({})],
  ['embedded, everything put off, every term soon common', WORLDS, sqlite({ deferred: TYPES, commonAfter: 1 })],
  ...(mongodIsThere() ? [['on MongoDB', MONGO_WORLDS, mongodb] as const] : []),
];

describe.each(VARIANTS)('the store %s', (_, worlds, open) => {
  let opened: Opened;

  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened?.close());

  test('agrees with the definition', { timeout: 600_000 }, async () => {
    let asked = 0;
    await fc.assert(
      fc.asyncProperty(world, fc.array(predicate, { minLength: 1, maxLength: 12 }), async (w, predicates) => {
        let parted: unknown;
        // A unit that throws leaves nothing, so each world stands alone and costs no sync.
        const run = opened.store.unit(async (unit) => {
          await build(unit, w);
          parted = await disagreement(unit, w, predicates);
          asked += predicates.length;
          throw UNDO;
        });
        await expect(run).rejects.toBe(UNDO);
        expect(parted).toBeUndefined();
      }),
      { numRuns: worlds },
    );
    expect(asked).toBeGreaterThan(worlds * 4);
  });
});

import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EJSON } from 'bson';
import { MongoClient } from 'mongodb';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { masterKeyPath } from '../../server/adapters/master-key.ts';
import {
  MONGO_STORE_DEFAULTS,
  type MongoStore,
  type MongoStoreOptions,
  openMongoStore,
} from '../../server/adapters/store-mongo/store.ts';
import { fileMasterKey } from '../../server/adapters/vault/file-master-key.ts';
import { EMPTY_ENTRY, type IndexEntry } from '../../server/fhir/index-entry.ts';
import { type Put, type ResourceStore, ResourceTooLarge, type StoreUnit } from '../../server/ports/store.ts';
import { type Guard, guarded, type QueryPlan } from '../../server/query/plan.ts';
import { ALL, and, not, or, owner, type Predicate, term } from '../../server/query/predicate.ts';
import { bareHop, guardWith, systemGuard } from '../support/guards.ts';
import { type MongoShelf, mongoShelf } from '../support/mongo-store.ts';
import {
  findMongod,
  mongodIsThere,
  type ReplicaSet,
  startAlone,
  startReplicaSet,
  testReplicaSet,
} from '../support/mongod.ts';
import { describeResourceStore, type StoreUnderTest } from './resource-store.contract.ts';

const clock = { now: () => 1_700_000_000_000 };
const raise = (): never => {
  throw new Error('there are two stores');
};

describe.skipIf(!mongodIsThere())('on MongoDB', () => {
  let set: ReplicaSet;
  let shelf: MongoShelf;
  let used = false;

  beforeAll(async () => {
    set = await testReplicaSet();
    shelf = await mongoShelf(set);
  });
  afterAll(async () => {
    await shelf?.dispose();
    await set?.stop();
  });

  const make = async (): Promise<StoreUnderTest> => {
    if (used) await shelf.empty('contract');
    used = true;
    let store = await shelf.open('contract', { clock });
    return {
      store,
      reopen: async () => {
        store = await shelf.open('contract', { clock });
        return store;
      },
      dispose: () => store.close(),
    };
  };

  describeResourceStore('mongodb', make);
});

describe.skipIf(!mongodIsThere())('the mongodb database', () => {
  let set: ReplicaSet;
  let shelf: MongoShelf;
  const opened: MongoStore[] = [];
  const name = 'own';

  beforeAll(async () => {
    set = await testReplicaSet();
    shelf = await mongoShelf(set);
  });
  afterAll(async () => {
    await shelf?.dispose();
    await set?.stop();
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
    await database().dropDatabase();
    await keysDatabase().dropDatabase();
  });

  const open = async (part: Partial<MongoStoreOptions> = {}): Promise<MongoStore> => {
    const store = await shelf.open(name, { clock, ...part });
    opened.push(store);
    return store;
  };
  const database = () => shelf.client.db(new URL(shelf.url(name)).pathname.slice(1));
  const keysDatabase = () => shelf.client.db(`${database().databaseName}_keys`);

  const key = (id: string) => ({ type: 'Observation', id });
  const put = (id: string, part: Partial<Put> & { readonly terms?: readonly string[] } = {}): Put => {
    const { terms = [], ...rest } = part;
    return {
      key: key(id),
      versionId: '1',
      lastUpdated: 1,
      deleted: false,
      owner: undefined,
      body: '{}',
      entry: { ...EMPTY_ENTRY, terms },
      filing: {},
      ...rest,
    };
  };
  const everything = systemGuard('Observation');
  const plan = (where: Predicate) =>
    guarded({ type: 'Observation', where, sort: [], limit: 100, total: true }, everything);

  describe('at its start', () => {
    test.each([
      ['a newer', 999],
      ['an older', 1],
    ])('of %s schema is refused, and left as it is', async (_name, schema) => {
      await (await open()).close();
      const meta = database().collection<{ readonly _id: string; readonly schema?: number }>('meta');
      await meta.updateOne({ _id: 'store' }, { $set: { schema } });
      await expect(open()).rejects.toThrow(`the database has schema version ${schema}, this server writes version 2`);
      expect((await meta.findOne({ _id: 'store' }))?.schema).toBe(schema);
    });

    test('of another program is refused and left alone', async () => {
      await database().collection('theirs').insertOne({ x: 1 });
      await expect(open()).rejects.toThrow('another program');
      expect((await database().listCollections().toArray()).map((c) => c.name)).toEqual(['theirs']);
    });

    test('an index that is missing is made again, and one that differs stops it', async () => {
      await open();
      const current = database().collection('current');
      await current.dropIndex('terms');
      await open();
      expect(await current.indexExists('terms')).toBe(true);
      await current.dropIndex('terms');
      await current.createIndex({ terms: -1 }, { name: 'terms' });
      await expect(open()).rejects.toThrow('terms');
    });

    test('two servers that start together agree', async () => {
      const [one, two] = await Promise.all([open(), open()]);
      await one?.unit((u) => u.put(put('a', { terms: ['x=1'] })));
      expect((await two?.unit((u) => u.search(plan(term('x', '1')))))?.total).toBe(1);
    });
  });

  test('does not spell out terms, nor what a resource refers to', async () => {
    const store = await open();
    await store.unit((u) =>
      u.put(put('a', { terms: ['diagnosis=very-private-word', 'seen-by=Practitioner/private-too'] })),
    );
    const found = await database().collection('current').find({}).toArray();
    expect(found).toHaveLength(1);
    expect(EJSON.stringify(found)).not.toMatch(/private/);
  });

  describe('what a unit asks of it, the commit apart', () => {
    const TARGETS = ['Alpha', 'Beta', 'Gamma', 'Delta'] as const;
    /** Whoever may see every item that a resource names: a step for each type that an item may have, another one behind it. */
    const guard = guardWith(
      'Observation',
      and(
        ...TARGETS.map((type) =>
          not({
            op: 'via',
            param: 'entity',
            hop: bareHop(
              type,
              or(term('_label', 'hidden'), {
                op: 'via',
                param: 'part-of',
                hop: bareHop('Whole', term('_label', 'hidden'), false),
              }),
              false,
            ),
          }),
        ),
      ),
    );
    const fill = (store: MongoStore, from: number, to: number): Promise<void> =>
      store.unit(async (u) => {
        await u.put(put('w', { key: { type: 'Whole', id: `${from}` }, owner: 'Patient/p' }));
        for (let n = from; n < to; n += 1) {
          const type = TARGETS[n % TARGETS.length]!;
          const hidden = n % 10 === 0 ? ['_label=hidden'] : [];
          await u.put(
            put('t', { key: { type, id: `${n}` }, owner: 'Patient/p', terms: [`part-of=Whole/${from}`, ...hidden] }),
          );
          const sort = [{ param: 'date', key: n }];
          const entry = {
            ...EMPTY_ENTRY,
            terms: [`entity=${type}/${n}`],
            strings: [{ param: 'name', text: `name ${n}` }],
            sort,
          };
          await u.put(put(`o${n}`, { owner: 'Patient/p', entry }));
        }
      });
    const owned = term('_owner', 'Patient/p');
    const page = (part: Partial<QueryPlan>, by: Guard) => (u: StoreUnit) =>
      u.search(
        guarded(
          {
            type: 'Observation',
            where: owned,
            sort: [{ param: 'date', descending: true }],
            limit: 10,
            total: false,
            ...part,
          },
          by,
        ),
      );

    test.each<readonly [what: string, questions: number, work: (u: StoreUnit) => Promise<unknown>]>([
      ['a read', 2, (u) => u.read(key('o1'), everything)],
      ['a read of what is not there', 1, (u) => u.read(key('none'), everything)],
      ['a creation', 2, (u) => u.put(put(randomUUID(), { owner: 'Patient/p' }))],
      ['a search of one person', 2, page({}, everything)],
      ['with its total', 3, page({ total: true }, everything)],
      [
        'with a condition on text',
        3,
        page({ where: and(owned, { op: 'prefix', param: 'name', text: 'name' }) }, everything),
      ],
      ['a read whose guard takes steps', 4, (u) => u.read(key('o1'), guard)],
      ['a search whose guard takes steps', 5, page({}, guard)],
    ])('%s: %i, however much is there', async (_, questions, work) => {
      const store = await open();
      const asked = async (): Promise<number> => {
        await database().command({ profile: 2 });
        await store.unit(work);
        await database().command({ profile: 0 });
        const found = await database().collection('system.profile').find({ appName: 'carnet' }).toArray();
        await database().collection('system.profile').drop();
        return found.length;
      };
      await fill(store, 0, 40);
      expect(await asked()).toBe(questions);
      await fill(store, 40, 80);
      expect(await asked()).toBe(questions);
    });

    test('and what is found is what the guard lets through', async () => {
      const store = await open();
      await fill(store, 0, 40);
      const { total, matches } = await store.unit(page({ total: true }, guard));
      expect([total, matches.map(({ id }) => id)]).toEqual([
        36,
        ['o39', 'o38', 'o37', 'o36', 'o35', 'o34', 'o33', 'o32', 'o31', 'o29'],
      ]);
    });
  });

  describe('its keys', () => {
    const owned = (id: string, versionId = '1') => put(id, { owner: 'Patient/p', versionId, body: `{"id":"${id}"}` });
    const read = (store: ResourceStore, id: string) => store.unit((u) => u.read(key(id), everything));
    const keys = () => keysDatabase().collection<{ _id: string; version: number; by: string | null }>('key');

    test('lie in a database of their own, one for each person, made once whoever is first', async () => {
      const stores = await Promise.all([open(), open(), open()]);
      await Promise.all(stores.map((store, i) => store.unit((u) => u.put(owned(`r${i}`)))));
      expect((await keys().find({}).toArray()).map(({ _id, version }) => [_id, version]).sort()).toEqual([
        ['#index', 1],
        ['#nobody', 1],
        ['Patient/p', 1],
      ]);
      for (const store of stores)
        for (const i of [0, 1, 2]) expect((await read(store, `r${i}`))?.body).toBe(`{"id":"r${i}"}`);
      expect((await database().listCollections().toArray()).map((c) => c.name)).not.toContain('key');
    });

    test('of a unit that was undone is there, and serves the next one', async () => {
      const store = await open();
      const undone = store.unit(async (u) => {
        await u.put(owned('a'));
        throw new Error('undone');
      });
      await expect(undone).rejects.toThrow('undone');
      expect(await keys().countDocuments({ _id: 'Patient/p' })).toBe(1);
      await store.unit((u) => u.put(owned('a')));
      expect((await read(await open(), 'a'))?.body).toBe('{"id":"a"}');
    });

    test('that are destroyed by one server open nothing on another, at once, and the next one is another', async () => {
      const [one, two] = [await open(), await open()];
      await one.unit((u) => u.put(owned('a')));
      expect(await read(two, 'a')).toBeDefined();
      const kept = await database().collection('current').find({}).toArray();
      expect(await one.shred('Patient/p', 5)).toEqual({ keys: 1, resources: 1 });
      // Somebody puts back what was there.
      await database().collection('current').insertMany(kept);
      for (const store of [one, two]) await expect(read(store, 'a')).rejects.toThrow('does not exist any more');
      await two.unit((u) => u.put(owned('b')));
      expect((await read(one, 'b'))?.body).toBe('{"id":"b"}');
      await expect(read(two, 'a')).rejects.toThrow('does not exist any more');
      expect(await keys().findOne({ _id: 'Patient/p' })).toMatchObject({ version: 2, destroyed: 5 });
      expect(await one.isShredded('Patient/p')).toBe(true);
    });

    test('a unit that is at work on a person whose key is destroyed leaves nothing that cannot be opened', async () => {
      const [one, two] = [await open(), await open()];
      await one.unit((u) => u.put(owned('a')));
      let shredded: Promise<unknown> | undefined;
      await two.unit(async (u) => {
        await u.read(key('a'), everything);
        shredded ??= one.shred('Patient/p', 5);
        await u.put(owned('b'));
      });
      await shredded;
      const b = await read(one, 'b');
      // Before the destruction, and gone with it, or after it and under the new key.
      if (b !== undefined) expect(b.body).toBe('{"id":"b"}');
      for await (const fault of one.inspect(() => undefined)) expect(fault).toBeUndefined();
    });

    test('without them, or with those of another store, it is refused', async () => {
      await (await open()).close();
      await keysDatabase()
        .collection('shelf')
        .updateOne({}, { $set: { id: 'another' } });
      await expect(open()).rejects.toThrow('that of another store');
      await keysDatabase().dropDatabase();
      await expect(open()).rejects.toThrow('the database of the keys is missing');
      expect(await keysDatabase().listCollections().toArray()).toEqual([]);
    });

    test('cannot lie among the data', async () => {
      await expect(open({ keysUrl: shelf.url(name) })).rejects.toThrow('collections of another program');
    });

    test('can lie in a place that is named', async () => {
      const elsewhere = shelf.url('elsewhere');
      const store = await open({ keysUrl: elsewhere });
      await store.unit((u) => u.put(owned('a')));
      expect(await keysDatabase().listCollections().toArray()).toEqual([]);
      expect((await read(await open({ keysUrl: elsewhere }), 'a'))?.body).toBe('{"id":"a"}');
      await expect(open()).rejects.toThrow('the database of the keys is missing');
    });
  });

  test('a text that many resources have is found by any part of it, and ordered, in few journeys', async () => {
    const store = await open();
    const names = ['dupont', 'dupond', 'durand', 'martin', 'dupuis', 'éluard'];
    await store.unit(async (u) => {
      for (const [i, text] of names.entries())
        await u.put(
          put(`n${i}`, {
            owner: 'Patient/p',
            entry: { ...EMPTY_ENTRY, strings: [{ param: 'name', text }], sort: [{ param: 'name', key: text }] },
          }),
        );
    });
    const stored = EJSON.stringify(await database().collection('current').find({}).toArray());
    for (const text of names) expect(stored).not.toContain(text);
    const sort = [{ param: 'name', descending: false }];
    const page = (where: Predicate, after?: readonly (string | number | null)[]) =>
      store.unit((u) =>
        u.search(
          guarded({ type: 'Observation', where, sort, limit: 2, total: true, ...(after && { after }) }, everything),
        ),
      );
    const first = await page({ op: 'prefix', param: 'name', text: 'du' });
    expect(first).toMatchObject({ more: true, total: 4, matches: [{ id: 'n1' }, { id: 'n0' }] });
    const second = await page({ op: 'prefix', param: 'name', text: 'du' }, first.matches[1]?.position);
    expect(second).toMatchObject({ more: false, total: 4, matches: [{ id: 'n4' }, { id: 'n2' }] });
    expect(await page({ op: 'prefix', param: 'name', text: 'dupon' })).toMatchObject({ total: 2 });
    expect(await page({ op: 'contains', param: 'name', text: 'ar' })).toMatchObject({ total: 2 });
    expect(await page({ op: 'not', of: { op: 'contains', param: 'name', text: 'u' } })).toMatchObject({ total: 1 });
  });

  test('a resource that is too large for one document is refused as that, and leaves nothing', async () => {
    const store = await open();
    const writing = store.unit(async (u) => {
      await u.put(put('small'));
      await u.put(put('large', { body: 'x'.repeat(17_000_000) }));
    });
    await expect(writing).rejects.toBeInstanceOf(ResourceTooLarge);
    expect((await store.unit((u) => u.search(plan(ALL)))).total).toBe(0);
  });

  describe('two servers of one database', () => {
    test('a decision from what a unit read still holds when it writes, whoever else writes', async () => {
      const stores = [await open(), await open()];
      const bump = (store: ResourceStore) =>
        store.unit(async (u) => {
          const next = Number((await u.read(key('n'), everything))?.versionId ?? 0) + 1;
          await u.put(put('n', { versionId: String(next), owner: 'Patient/p' }));
        });
      await Promise.all(Array.from({ length: 40 }, (_, i) => bump(stores[i % 2] ?? raise())));
      expect((await stores[0]?.unit((u) => u.read(key('n'), everything)))?.versionId).toBe('40');
    });

    test('a disclosure that was under way when a revocation was acknowledged sees the revocation', async () => {
      const [reader, holder] = [await open(), await open()];
      const entry = (granted: boolean): IndexEntry => ({ ...EMPTY_ENTRY, terms: granted ? ['_team=dr'] : [] });
      await holder.unit(async (u) => {
        await u.putSpace('Patient/p', entry(true));
        await u.put(put('a', { owner: 'Patient/p' }));
      });
      const guard = guardWith('Observation', owner(term('_team', 'dr')));
      const seen: boolean[] = [];
      let revoked = false;
      const read = await reader.unit(async (u) => {
        // What the unit sees is fixed from here on.
        await u.read({ type: 'Practitioner', id: 'dr' }, systemGuard('Practitioner'));
        if (!revoked) await holder.unit((other) => other.putSpace('Patient/p', entry(false)));
        revoked = true;
        const found = await u.read(key('a'), guard);
        await u.put(put(`record-${seen.length}`, { owner: 'Patient/p' }));
        seen.push(found !== undefined);
        return found;
      });
      expect(read).toBeUndefined();
      // The attempt that could still have seen it never came to its end.
      expect(seen).toEqual([false]);
    });

    test('a disclosure by a search that names nobody conflicts with a revocation just the same', async () => {
      const [reader, holder] = [await open(), await open()];
      const entry = (granted: boolean): IndexEntry => ({ ...EMPTY_ENTRY, terms: granted ? ['_team=dr'] : [] });
      await holder.unit(async (u) => {
        await u.putSpace('Patient/p', entry(true));
        await u.put(put('a', { owner: 'Patient/p' }));
      });
      let revoked = false;
      const page = await reader.unit(async (u) => {
        await u.read({ type: 'Practitioner', id: 'dr' }, systemGuard('Practitioner'));
        if (!revoked) await holder.unit((other) => other.putSpace('Patient/p', entry(false)));
        revoked = true;
        return u.search(plan(owner(term('_team', 'dr'))));
      });
      expect(page).toEqual({ matches: [], more: false, total: 0 });
    });

    test('what a server left open that was killed keeps nobody from a person for long', {
      timeout: 40_000,
    }, async () => {
      const store = await open();
      await store.unit((u) => u.put(put('a', { owner: 'Patient/p' })));
      const killed = new MongoClient(shelf.url(name), { appName: 'carnet' });
      const session = killed.startSession();
      try {
        session.startTransaction();
        const spaces = killed.db().collection<{ readonly _id: string; readonly units: number }>('space');
        await spaces.updateOne({ _id: 'Patient/p' }, { $inc: { units: 1 } }, { session });
        const began = performance.now();
        expect(await store.unit((u) => u.read(key('a'), everything))).toBeDefined();
        const took = performance.now() - began;
        expect(took).toBeGreaterThan(1_000);
        // Sooner than a request gives up.
        expect(took).toBeLessThan(MONGO_STORE_DEFAULTS.limits.patienceMs);
      } finally {
        await session.endSession();
        await killed.close();
      }
    });

    test('what must be unique across persons is created once', async () => {
      const stores = [await open(), await open()];
      const create = (store: ResourceStore, i: number) =>
        store.unit(async (u) => {
          const there = await u.search(plan(term('identifier', 'urn:x|1')));
          if (there.matches.length > 0) return false;
          await u.put(put(`r${i}`, { owner: `Patient/p${i}`, terms: ['identifier=urn:x|1'] }));
          return true;
        });
      const made = await Promise.all(Array.from({ length: 16 }, (_, i) => create(stores[i % 2] ?? raise(), i)));
      expect(made.filter(Boolean)).toHaveLength(1);
      expect((await stores[0]?.unit((u) => u.search(plan(ALL))))?.total).toBe(1);
    });
  });
});

const fails = process.env.CARNET_TEST_MONGODB === undefined && findMongod() !== undefined;

/** A set of one's own, told to fail at exact steps (https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point). */
describe.skipIf(!fails)('when MongoDB fails', () => {
  let set: ReplicaSet;
  let shelf: MongoShelf;
  let store: ResourceStore;

  beforeAll(async () => {
    set = await startReplicaSet({ members: 1, args: ['--setParameter', 'enableTestCommands=1'] });
    shelf = await mongoShelf(set);
    store = await shelf.open('failing', {
      limits: { units: 2, waiting: 2, patienceMs: 1_500 },
      operationMs: 700,
    });
  });
  afterAll(async () => {
    await store?.close();
    await shelf?.dispose();
    await set?.stop();
  });

  const failing = (mode: { readonly times: number }, data: object) =>
    shelf.client.db('admin').command({ configureFailPoint: 'failCommand', mode, data: { ...data, appName: 'carnet' } });
  const put = (id: string, versionId: string): Put => ({
    key: { type: 'Observation', id },
    versionId,
    lastUpdated: 1,
    deleted: false,
    owner: 'Patient/p',
    body: '{}',
    entry: EMPTY_ENTRY,
    filing: {},
  });
  const everything = systemGuard('Observation');
  const bump = (id: string) =>
    store.unit(async (u) => {
      const next = String(Number((await u.read({ type: 'Observation', id }, everything))?.versionId ?? 0) + 1);
      await u.put(put(id, next));
      return next;
    });

  test('a unit that the database undid is done again as a whole', async () => {
    await failing(
      { times: 2 },
      { failCommands: ['insert'], errorCode: 251, errorLabels: ['TransientTransactionError'] },
    );
    expect(await bump('a')).toBe('1');
  });

  test('a commit whose fate is not known is asked for again, and the unit is not done twice', async () => {
    await bump('b');
    await failing({ times: 3 }, { failCommands: ['commitTransaction'], closeConnection: true });
    expect(await bump('b')).toBe('2');
    expect(await bump('b')).toBe('3');
  });

  test('a commit whose fate stays unknown is no success', async () => {
    await failing({ times: 1_000 }, { failCommands: ['commitTransaction'], closeConnection: true });
    await expect(bump('c')).rejects.toMatchObject({ code: 'unavailable' });
    await shelf.client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' });
    expect(['1', '2']).toContain(await bump('c'));
  });

  test('one that answers too late is unavailable in bounded time, and serves again afterwards', {
    timeout: 30_000,
  }, async () => {
    const [member] = set.members;
    await member?.kill('SIGSTOP');
    const began = performance.now();
    const asked = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => bump(`d${i}`)));
    const took = performance.now() - began;
    await member?.kill('SIGCONT');
    for (const one of asked) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
    expect(took).toBeLessThan(10_000);
    // Nothing that was begun keeps anybody from their person.
    await expect.poll(() => bump('d0').catch(() => 'no'), { timeout: 15_000 }).toMatch(/^\d$/);
  });
});

/** Each connection that was in use when a member died says so by itself, and the driver says of the first alone what that means for a transaction. */
test.skipIf(!fails)('a unit that was under way when its primary died is done again as a whole', async () => {
  const set = await startReplicaSet({ members: 1, args: ['--setParameter', 'enableTestCommands=1'] });
  const shelf = await mongoShelf(set);
  const store = await shelf.open('dying', { limits: { units: 16, waiting: 16, patienceMs: 40_000 } });
  try {
    const data = { failCommands: ['insert'], blockConnection: true, blockTimeMS: 1_000, appName: 'carnet' };
    await shelf.client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'alwaysOn', data });
    const writing = Promise.allSettled(
      Array.from({ length: 12 }, (_, i) =>
        store.unit((u) =>
          u.put({
            key: { type: 'Observation', id: `x${i}` },
            versionId: '1',
            lastUpdated: 1,
            deleted: false,
            owner: `Patient/p${i}`,
            body: '{}',
            entry: EMPTY_ENTRY,
            filing: {},
          }),
        ),
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    await set.members[0]?.kill('SIGKILL');
    await set.members[0]?.start();
    expect((await writing).filter(({ status }) => status === 'rejected')).toEqual([]);
    const everything = guarded(
      { type: 'Observation', where: ALL, sort: [], limit: 100, total: true },
      systemGuard('Observation'),
    );
    expect((await store.unit((u) => u.search(everything))).total).toBe(12);
  } finally {
    await store.close();
    await shelf.client.close();
    await set.stop();
  }
});

test.skipIf(!fails)('a mongod that stands alone is refused', async () => {
  const alone = await startAlone();
  const folder = mkdtempSync(join(tmpdir(), 'carnet-alone-'));
  const master = fileMasterKey(masterKeyPath(undefined, join(folder, 'store')));
  try {
    await expect(openMongoStore({ ...MONGO_STORE_DEFAULTS, clock, master, url: alone.url })).rejects.toThrow(
      'stands alone',
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await alone.stop();
  }
});

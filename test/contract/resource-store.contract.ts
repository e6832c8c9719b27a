import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EMPTY_ENTRY, type IndexEntry } from '../../server/fhir/index-entry.ts';
import type { Key, Ref } from '../../server/fhir/types.ts';
import {
  CHUNK_BYTES,
  type Match,
  type Put,
  type ResourceStore,
  type StoreUnit,
  UploadTooLarge,
} from '../../server/ports/store.ts';
import { type Guard, guarded, hop, type QueryPlan, type SortKey } from '../../server/query/plan.ts';
import {
  ALL,
  and,
  contains,
  NONE,
  not,
  or,
  owner,
  type Predicate,
  prefix,
  range,
  term,
} from '../../server/query/predicate.ts';
import { guardWith, systemGuard } from '../support/guards.ts';

/** One store, fresh and empty, and how to open it again after it was closed. */
export type StoreUnderTest = {
  readonly store: ResourceStore;
  readonly reopen: () => Promise<ResourceStore>;
  readonly dispose: () => Promise<void>;
};

const TYPE = 'Observation';
const everything = systemGuard(TYPE);
const nothing = guardWith(TYPE, NONE);

const entry = (part: Partial<IndexEntry>): IndexEntry => ({ ...EMPTY_ENTRY, ...part });

/** A version with defaults: version 1 of an Observation that nobody owns. */
const version = (id: string, part: Partial<Put> & { readonly terms?: readonly string[] } = {}): Put => {
  const { terms, ...rest } = part;
  const key = rest.key ?? { type: TYPE, id };
  return {
    key,
    versionId: '1',
    lastUpdated: 1_000,
    deleted: false,
    owner: undefined,
    body: JSON.stringify({ resourceType: key.type, id, v: rest.versionId ?? '1' }),
    entry: terms === undefined ? EMPTY_ENTRY : entry({ terms }),
    filing: {},
    ...rest,
  };
};

const keyOf = (id: string): Key => ({ type: TYPE, id });
const tombstone = (id: string, part: Partial<Put> = {}): Put =>
  version(id, { versionId: '2', lastUpdated: 2_000, deleted: true, body: '', ...part });

const planOf = (where: Predicate, part: Partial<QueryPlan> = {}): QueryPlan => ({
  type: TYPE,
  where,
  sort: [],
  limit: 100,
  total: false,
  ...part,
});
const ids = (matches: readonly Match[]): readonly string[] => matches.map((m) => m.id);
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
async function* streamOf(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part;
}
const sha1 = (...parts: readonly Uint8Array[]): string => {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest('base64');
};

/** What every `ResourceStore` promises. `make` opens an empty one. */
export function describeResourceStore(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`${name} as a resource store`, () => {
    let made: StoreUnderTest;
    let store: ResourceStore;

    beforeEach(async () => {
      made = await make();
      store = made.store;
    });
    afterEach(() => made.dispose());

    const puts = (...versions: readonly Put[]): Promise<void> =>
      store.unit(async (unit) => {
        for (const v of versions) await unit.put(v);
      });
    const read = (id: string, guard: Guard = everything) => store.unit((unit) => unit.read(keyOf(id), guard));
    const search = (where: Predicate, part: Partial<QueryPlan> = {}, guard: Guard = everything) =>
      store.unit((unit) => unit.search(guarded(planOf(where, part), guard)));
    const found = async (where: Predicate, guard: Guard = everything): Promise<readonly string[]> =>
      ids((await search(where, {}, guard)).matches);

    describe('a read', () => {
      test('gives back what was put', async () => {
        const put = version('a', {
          versionId: '7',
          lastUpdated: 1_712_345_678_901,
          owner: 'Patient/p',
          body: '{"é":"\u{1F600}\\n"}',
          filing: { filedAt: 5, by: 'Practitioner/x', side: 'feeder', exempt: true },
        });
        await puts(put);
        const { key, entry: _entry, ...rest } = put;
        expect(await read('a')).toEqual({ ...key, ...rest });
      });

      test('of nothing is undefined', async () => {
        expect(await read('a')).toBeUndefined();
      });

      test('what the guard hides and what is not there look alike', async () => {
        await puts(version('a', { terms: ['_label=masked'] }));
        expect(await read('a', guardWith(TYPE, not(term('_label', 'masked'))))).toBeUndefined();
        expect(await read('a', nothing)).toBeUndefined();
        expect(await read('a', guardWith(TYPE, term('_label', 'masked')))).toBeDefined();
      });

      test('a guard of another type opens nothing', async () => {
        await puts(version('a'));
        expect(await read('a', systemGuard('Patient'))).toBeUndefined();
      });

      test('ids differ by case', async () => {
        await puts(version('a'), version('A', { body: 'upper' }));
        expect((await read('A'))?.body).toBe('upper');
        expect((await read('a'))?.body).not.toBe('upper');
      });

      test('one id under two types is two resources', async () => {
        await puts(version('a'), version('a', { key: { type: 'Patient', id: 'a' }, body: 'patient' }));
        expect((await read('a'))?.body).not.toBe('patient');
        expect((await store.unit((u) => u.read({ type: 'Patient', id: 'a' }, systemGuard('Patient'))))?.body).toBe(
          'patient',
        );
      });

      test('the guard may ask about the space of the owner', async () => {
        const guard = guardWith(TYPE, owner(term('_team', 'Practitioner/x')));
        await puts(version('a', { owner: 'Patient/p' }), version('b', { owner: 'Patient/q' }), version('c'));
        await store.unit((u) => u.putSpace('Patient/p', entry({ terms: ['_team=Practitioner/x'] })));
        expect([await read('a', guard), await read('b', guard), await read('c', guard)].map((v) => v?.id)).toEqual([
          'a',
          undefined,
          undefined,
        ]);
      });

      test('the guard may ask about id, owner and time', async () => {
        await puts(version('a', { owner: 'Patient/p', lastUpdated: 1_000 }));
        const sees = async (p: Predicate) => (await read('a', guardWith(TYPE, p))) !== undefined;
        expect(await sees(term('_id', 'a'))).toBe(true);
        expect(await sees(term('_id', 'b'))).toBe(false);
        expect(await sees(term('_owner', 'Patient/p'))).toBe(true);
        expect(await sees(term('_owner', 'Patient/q'))).toBe(false);
        expect(await sees(range('_lastUpdated', { lo: ['>=', 1_000], hi: ['<=', 1_001] }))).toBe(true);
        expect(await sees(range('_lastUpdated', { lo: ['>', 1_000] }))).toBe(false);
        expect(await sees(range('_lastUpdated', { hi: ['<', 1_001] }))).toBe(false);
      });

      test('id, owner and time are facts, not claims of an entry', async () => {
        const claims = entry({
          terms: ['_owner=Patient/q', '_id=b'],
          ranges: [{ param: '_lastUpdated', lo: 9_000, hi: 9_001 }],
        });
        await puts(version('a', { owner: 'Patient/p', entry: claims }));
        expect(await read('a', guardWith(TYPE, term('_owner', 'Patient/q')))).toBeUndefined();
        expect(await found(or(term('_owner', 'Patient/q'), term('_id', 'b')))).toEqual([]);
        expect(await found(range('_lastUpdated', { lo: ['>=', 9_000] }))).toEqual([]);
      });

      test('the guard may follow a link, with what lies behind it guarded in turn', async () => {
        const doc = (id: string, terms: readonly string[]) =>
          version(id, { key: { type: 'DocumentReference', id }, terms });
        const docs = guardWith('DocumentReference', not(term('_label', 'masked')));
        const guard = guardWith(TYPE, { op: 'from', param: 'content', hop: hop(docs, ALL, { deleted: false }) });
        await puts(version('a'), version('b'), version('c'));
        await puts(
          doc('open', [`content=${TYPE}/a`]),
          doc('masked', [`content=${TYPE}/b`, '_label=masked']),
          doc('other', [`elsewhere=${TYPE}/c`]),
        );
        expect([await read('a', guard), await read('b', guard), await read('c', guard)].map((v) => v?.id)).toEqual([
          'a',
          undefined,
          undefined,
        ]);
      });
    });

    describe('versions', () => {
      const three = (): Promise<void> =>
        puts(
          version('a', { versionId: '1', lastUpdated: 1_000 }),
          version('a', { versionId: '2', lastUpdated: 2_000 }),
          version('a', { versionId: '3', lastUpdated: 3_000 }),
        );
      const history = (
        page: Parameters<StoreUnit['history']>[2] = { limit: 10 },
        guard: Guard = everything,
        id = 'a',
      ) => store.unit((u) => u.history(keyOf(id), guard, page));
      const numbers = async (page: Parameters<StoreUnit['history']>[2]) =>
        (await history(page))?.versions.map((v) => v.versionId);

      test('a read gives the newest', async () => {
        await three();
        expect((await read('a'))?.versionId).toBe('3');
      });

      test('each is read by its number', async () => {
        await three();
        const bodies = await store.unit(async (u) => [
          (await u.vread(keyOf('a'), '1', everything))?.body,
          (await u.vread(keyOf('a'), '3', everything))?.body,
          (await u.vread(keyOf('a'), '4', everything))?.body,
        ]);
        expect(bodies).toEqual([
          version('a', { versionId: '1' }).body,
          version('a', { versionId: '3' }).body,
          undefined,
        ]);
      });

      test('the current entry decides about an old version', async () => {
        await puts(version('a', { terms: [] }), version('a', { versionId: '2', terms: ['_label=masked'] }));
        const guard = guardWith(TYPE, not(term('_label', 'masked')));
        expect(await store.unit((u) => u.vread(keyOf('a'), '1', guard))).toBeUndefined();
        expect(await history({ limit: 10 }, guard)).toBeUndefined();
      });

      test('a version of another owner is not shown, nor counted', async () => {
        await puts(
          version('a', { owner: 'Patient/p', versionId: '1' }),
          version('a', { owner: 'Patient/q', versionId: '2' }),
          version('a', { owner: 'Patient/p', versionId: '3' }),
        );
        expect(await store.unit((u) => u.vread(keyOf('a'), '2', everything))).toBeUndefined();
        const all = await history();
        expect(all?.versions.map((v) => v.versionId)).toEqual(['3', '1']);
        expect(all?.total).toBe(2);
      });

      test('the history is newest first', async () => {
        await three();
        expect(await history()).toMatchObject({ more: false, total: 3 });
        expect(await numbers({ limit: 10 })).toEqual(['3', '2', '1']);
      });

      test('the history comes in pages', async () => {
        await three();
        expect(await history({ limit: 2 })).toMatchObject({ more: true, total: 3 });
        expect(await numbers({ limit: 2 })).toEqual(['3', '2']);
        expect(await numbers({ limit: 2, before: '2' })).toEqual(['1']);
        expect(await history({ limit: 2, before: '2' })).toMatchObject({ more: false, total: 3 });
        expect(await numbers({ limit: 2, before: 'none' })).toEqual([]);
      });

      test('the history of a time: since an instant, at an instant', async () => {
        await three();
        expect(await numbers({ limit: 10, since: 2_000 })).toEqual(['3', '2']);
        expect(await numbers({ limit: 10, at: 2_500 })).toEqual(['2']);
        expect(await numbers({ limit: 10, at: 3_000 })).toEqual(['3']);
        expect(await numbers({ limit: 10, at: 999 })).toEqual([]);
        expect(await history({ limit: 10, since: 2_000 })).toMatchObject({ total: 2 });
      });

      test('the history of nothing is undefined', async () => {
        expect(await history()).toBeUndefined();
      });

      test('putting the current version again throws, and leaves everything as it was', async () => {
        await puts(version('a'));
        await expect(puts(version('b'), version('a', { body: 'other' }))).rejects.toThrow('is there already');
        expect((await read('a'))?.body).not.toBe('other');
        expect(await read('b')).toBeUndefined();
      });

      test('refiling changes what was recorded and the entry, not the version', async () => {
        await puts(version('a', { terms: ['_label=open', 'code=1'], filing: { filedAt: 1 } }));
        await store.unit((u) =>
          u.refile(keyOf('a'), { filedAt: 1, shown: true }, entry({ terms: ['_label=masked', 'code=1'] })),
        );
        expect(await read('a')).toMatchObject({ versionId: '1', filing: { filedAt: 1, shown: true } });
        expect(await found(term('_label', 'open'))).toEqual([]);
        expect(await found(term('_label', 'masked'))).toEqual(['a']);
        expect(await found(term('code', '1'))).toEqual(['a']);
        expect(await history()).toMatchObject({ total: 1 });
      });

      test('refiling what is not there throws', async () => {
        await expect(store.unit((u) => u.refile(keyOf('a'), {}, EMPTY_ENTRY))).rejects.toThrow();
      });

      test('old versions keep what was recorded about them', async () => {
        await puts(version('a', { filing: { filedAt: 1 } }), version('a', { versionId: '2', filing: { filedAt: 2 } }));
        expect((await store.unit((u) => u.vread(keyOf('a'), '1', everything)))?.filing).toEqual({ filedAt: 1 });
      });
    });

    describe('a deleted resource', () => {
      beforeEach(() =>
        puts(
          version('a', { owner: 'Patient/p', terms: ['_label=open', 'code=1', 'see=Patient/p'] }),
          tombstone('a', { owner: 'Patient/p' }),
        ),
      );

      test('is read as a tombstone', async () => {
        expect(await read('a')).toMatchObject({ deleted: true, versionId: '2', body: '', owner: 'Patient/p' });
      });

      test('is judged by the entry it had', async () => {
        expect(await read('a', guardWith(TYPE, term('_label', 'open')))).toBeDefined();
        expect(await read('a', guardWith(TYPE, term('_label', 'masked')))).toBeUndefined();
      });

      test('is not found by a search', async () => {
        expect(await search(ALL, { total: true })).toEqual({ matches: [], more: false, total: 0 });
        expect(await found(term('_id', 'a'))).toEqual([]);
      });

      test('keeps its history', async () => {
        const all = await store.unit((u) => u.history(keyOf('a'), everything, { limit: 10 }));
        expect(all?.versions.map((v) => v.deleted)).toEqual([true, false]);
      });

      test('is tested as what it was', async () => {
        const tested = (where: Predicate) => store.unit((u) => u.test(keyOf('a'), everything, where));
        expect(await tested(term('code', '1'))).toBe(true);
        expect(await tested(term('code', '2'))).toBe(false);
      });

      test('is reached by a hop only when the hop says so', async () => {
        await puts(version('p', { key: { type: 'Patient', id: 'p' } }));
        const patients = (deleted: boolean) =>
          store.unit((u) =>
            u.search(
              guarded(
                planOf({ op: 'from', param: 'see', hop: hop(everything, ALL, { deleted }) }, { type: 'Patient' }),
                systemGuard('Patient'),
              ),
            ),
          );
        expect(ids((await patients(false)).matches)).toEqual([]);
        expect(ids((await patients(true)).matches)).toEqual(['p']);
      });

      test('comes back with a new version', async () => {
        await puts(version('a', { versionId: '3', terms: ['code=2'] }));
        expect(await found(term('code', '2'))).toEqual(['a']);
        expect(await found(term('code', '1'))).toEqual([]);
      });
    });

    describe('a search', () => {
      test('finds by an exact term', async () => {
        await puts(version('a', { terms: ['code=x|1', 'code=1'] }), version('b', { terms: ['code=x|12'] }));
        expect(await found(term('code', 'x|1'))).toEqual(['a']);
        expect(await found(term('code', '1'))).toEqual(['a']);
        expect(await found(term('code', 'X|1'))).toEqual([]);
        expect(await found(term('cod', 'e=1'))).toEqual([]);
      });

      test('a term of another type is another term', async () => {
        await puts(version('a', { key: { type: 'Patient', id: 'a' }, terms: ['code=1'] }));
        expect(await found(term('code', '1'))).toEqual([]);
      });

      test('finds by the beginning and by a part of a string', async () => {
        const strings = (...texts: readonly string[]) =>
          entry({ strings: texts.map((text) => ({ param: 'name', text })) });
        await puts(
          version('a', { entry: strings('le martin', 'jeanne') }),
          version('b', { entry: strings('martin%_"\\') }),
          version('c', { entry: strings('martin de la tres longue lignee des martin du pont') }),
        );
        expect(await found(prefix('name', 'martin'))).toEqual(['b', 'c']);
        expect(await found(contains('name', 'martin'))).toEqual(['a', 'b', 'c']);
        expect(await found(prefix('name', 'martin%'))).toEqual(['b']);
        expect(await found(contains('name', '"\\'))).toEqual(['b']);
        expect(await found(prefix('name', 'martin de la tres longue lignee des d'))).toEqual([]);
        expect(await found(prefix('name', 'martin de la tres longue lignee des m'))).toEqual(['c']);
        expect(await found(prefix('family', 'martin'))).toEqual([]);
        expect(await found(contains('name', ''))).toEqual(['a', 'b', 'c']);
        expect(await found(contains('family', ''))).toEqual([]);
      });

      test('finds strings beyond ASCII by characters, not by bytes', async () => {
        const strings = (text: string) => entry({ strings: [{ param: 'name', text }] });
        await puts(version('a', { entry: strings('\u{10ffff}x') }), version('b', { entry: strings('日本語') }));
        expect(await found(prefix('name', '\u{10ffff}'))).toEqual(['a']);
        expect(await found(prefix('name', '日本'))).toEqual(['b']);
        expect(await found(contains('name', '本語'))).toEqual(['b']);
      });

      test('a text of any length is an ordinary question', async () => {
        const long = `$${'long '.repeat(10_000)}`;
        await puts(
          version('a', { entry: entry({ strings: [{ param: 'name', text: `${long}text` }] }) }),
          version('b', { entry: entry({ strings: [{ param: 'name', text: `a ${long}` }] }) }),
        );
        expect(await found(prefix('name', long))).toEqual(['a']);
        expect(await found(contains('name', long))).toEqual(['a', 'b']);
        expect(await found(contains('name', `${long}x`))).toEqual([]);
      });

      test('ranges are half-open, and both bounds speak about the same range', async () => {
        const ranges = (...of: readonly (readonly [number, number])[]) =>
          entry({ ranges: of.map(([lo, hi]) => ({ param: 'date', lo, hi })) });
        await puts(
          version('a', { entry: ranges([10, 20]) }),
          version('b', { entry: ranges([0, 5], [30, 40]) }),
          version('c', { entry: ranges([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]) }),
        );
        expect(await found(range('date', { lo: ['>=', 10], hi: ['<=', 20] }))).toEqual(['a']);
        expect(await found(range('date', { lo: ['>', 10] }))).toEqual(['b']);
        expect(await found(range('date', { hi: ['<', 20] }))).toEqual(['b']);
        expect(await found(range('date', { lo: ['>=', 6], hi: ['<=', 29] }))).toEqual(['a']);
        expect(await found(range('date', { lo: ['<', 0] }))).toEqual(['c']);
        expect(await found(range('date', { hi: ['>', 1e300] }))).toEqual(['c']);
        expect(await found(range('date', {}))).toEqual(['a', 'b', 'c']);
        expect(await found(range('when', {}))).toEqual([]);
      });

      test('numbers are compared as they are', async () => {
        const values = [0.1 + 0.2, 0.3, 1 / 3, 1e21, -5e-324];
        await puts(
          ...values.map((lo, i) => version(`n${i}`, { entry: entry({ ranges: [{ param: 'value', lo, hi: lo }] }) })),
        );
        for (const [i, at] of values.entries()) {
          expect(await found(range('value', { lo: ['>=', at], hi: ['<=', at] }))).toEqual([`n${i}`]);
        }
      });

      test('combines conditions', async () => {
        await puts(
          version('a', { terms: ['x=1'] }),
          version('b', { terms: ['x=1', 'y=1'] }),
          version('c', { terms: ['y=1'] }),
        );
        expect(await found(and(term('x', '1'), term('y', '1')))).toEqual(['b']);
        expect(await found(or(term('x', '1'), term('y', '1')))).toEqual(['a', 'b', 'c']);
        expect(await found(and(term('x', '1'), not(term('y', '1'))))).toEqual(['a']);
        expect(await found(not(or(term('x', '1'), term('y', '1'))))).toEqual([]);
        expect(await found({ op: 'and', of: [] })).toEqual(['a', 'b', 'c']);
        expect(await found({ op: 'or', of: [] })).toEqual([]);
      });

      test('a thousand alternatives and a deep nest are ordinary questions', async () => {
        await puts(version('a', { terms: ['x=999'] }), version('b'));
        expect(await found(or(...Array.from({ length: 2_000 }, (_, i) => term('x', String(i)))))).toEqual(['a']);
        let deep: Predicate = term('x', '999');
        for (let i = 0; i < 40; i++) deep = { op: 'not', of: { op: 'and', of: [deep, ALL] } };
        expect(await found(deep)).toEqual(['a']);
      });

      test('keeps to the guard in matches, pages and totals', async () => {
        await puts(...['a', 'b', 'c', 'd'].map((id, i) => version(id, { terms: i % 2 ? ['_label=masked'] : [] })));
        const guard = guardWith(TYPE, not(term('_label', 'masked')));
        const page = await search(ALL, { limit: 1, total: true }, guard);
        expect(ids(page.matches)).toEqual(['a']);
        expect(page).toMatchObject({ more: true, total: 2 });
        const last = await search(ALL, { limit: 1, total: true, after: page.matches[0]!.position }, guard);
        expect(ids(last.matches)).toEqual(['c']);
        expect(last).toMatchObject({ more: false, total: 2 });
      });

      test('totals of a few candidates, found by one term, are of those that the guard lets through', async () => {
        await puts(
          ...[0, 1, 2, 3, 4].map((i) => version(`a${i}`, { terms: ['x=1', ...(i < 2 ? ['_label=masked'] : [])] })),
        );
        const guard = guardWith(TYPE, not(term('_label', 'masked')));
        const page = await search(term('x', '1'), { limit: 2, total: true }, guard);
        expect([ids(page.matches), page.more, page.total]).toEqual([['a2', 'a3'], true, 3]);
      });

      test('asks the owner about the space, for one person and across persons', async () => {
        await puts(
          version('a', { owner: 'Patient/p' }),
          version('b', { owner: 'Patient/q' }),
          version('c'),
          version('d', { owner: 'Patient/r' }),
        );
        await store.unit(async (u) => {
          await u.putSpace(
            'Patient/p',
            entry({ terms: ['_team=x'], ranges: [{ param: '_until', lo: 5, hi: Number.POSITIVE_INFINITY }] }),
          );
          await u.putSpace('Patient/q', entry({ terms: ['_team=y'] }));
        });
        expect(await found(owner(term('_team', 'x')))).toEqual(['a']);
        expect(await found(owner(or(term('_team', 'x'), term('_team', 'y'))))).toEqual(['a', 'b']);
        expect(await found(owner(range('_until', { lo: ['<=', 5], hi: ['>', 9] })))).toEqual(['a']);
        expect(await found(and(term('_owner', 'Patient/q'), owner(term('_team', 'x'))))).toEqual([]);
        expect(await found(and(term('_owner', 'Patient/p'), owner(term('_team', 'x'))))).toEqual(['a']);
        // Who has no space passes no condition on it, not even a negative one.
        expect(await found(owner(not(term('_team', 'x'))))).toEqual(['b']);
        expect(await found(not(owner(term('_team', 'x'))))).toEqual(['b', 'c', 'd']);
        // Several conditions, of which one says where a search may start and the others for whom it goes on.
        const either = owner(or(term('_team', 'x'), term('_team', 'y')));
        const lasts = owner(range('_until', { hi: ['>', 9] }));
        expect(await found(and(either, not(lasts)))).toEqual(['b']);
        expect(await found(and(either, or(lasts, term('_id', 'c'))))).toEqual(['a']);
        expect(await found(and(either, or(not(lasts), term('_id', 'a'))))).toEqual(['a', 'b']);
      });

      test('follows references to a resource and from it, guard included', async () => {
        const patient = (id: string, terms: readonly string[]) => version(id, { key: { type: 'Patient', id }, terms });
        await puts(
          patient('p', ['name=martin']),
          patient('q', ['name=martin', '_label=masked']),
          version('a', { terms: ['subject=Patient/p', 'code=1'] }),
          version('b', { terms: ['subject=Patient/q', 'code=1'] }),
          version('c', { terms: ['subject=Patient/none'] }),
          version('d', { terms: ['performer=Patient/p'] }),
        );
        const patients = guardWith('Patient', not(term('_label', 'masked')));
        const via = (where: Predicate, guard: Guard): Predicate => ({
          op: 'via',
          param: 'subject',
          hop: hop(guard, where, { deleted: false }),
        });
        expect(await found(via(term('name', 'martin'), patients))).toEqual(['a']);
        expect(await found(via(term('name', 'martin'), systemGuard('Patient')))).toEqual(['a', 'b']);
        expect(await found(via(ALL, systemGuard('Patient')))).toEqual(['a', 'b']);
        expect(await found(not(via(ALL, systemGuard('Patient'))))).toEqual(['c', 'd']);
        const observed = await store.unit((u) =>
          u.search(
            guarded(
              planOf(
                { op: 'from', param: 'subject', hop: hop(everything, term('code', '1'), { deleted: false }) },
                { type: 'Patient' },
              ),
              patients,
            ),
          ),
        );
        expect(ids(observed.matches)).toEqual(['p']);
      });

      test('follows the owner like a reference', async () => {
        await puts(
          version('p', { key: { type: 'Patient', id: 'p' }, terms: ['name=x'] }),
          version('a', { owner: 'Patient/p', terms: ['code=1'] }),
          version('b', { owner: 'Patient/q' }),
        );
        expect(
          await found({
            op: 'via',
            param: '_owner',
            hop: hop(systemGuard('Patient'), term('name', 'x'), { deleted: false }),
          }),
        ).toEqual(['a']);
        const owners = await store.unit((u) =>
          u.search(
            guarded(
              planOf(
                { op: 'from', param: '_owner', hop: hop(everything, term('code', '1'), { deleted: false }) },
                { type: 'Patient' },
              ),
              systemGuard('Patient'),
            ),
          ),
        );
        expect(ids(owners.matches)).toEqual(['p']);
      });

      test('sees what an update changed, in every kind of index', async () => {
        const of = (n: number): IndexEntry => ({
          terms: [`code=${n}`, `subject=Patient/p${n}`],
          strings: [{ param: 'name', text: `n${n}` }],
          ranges: [{ param: 'date', lo: n, hi: n + 1 }],
          sort: [],
        });
        await puts(version('a', { entry: of(1), owner: 'Patient/p1' }));
        await puts(version('a', { versionId: '2', entry: of(2), owner: 'Patient/p2' }));
        const of1 = [
          term('code', '1'),
          term('subject', 'Patient/p1'),
          prefix('name', 'n1'),
          range('date', { lo: ['<=', 1] }),
          term('_owner', 'Patient/p1'),
        ];
        const of2 = [
          term('code', '2'),
          term('subject', 'Patient/p2'),
          prefix('name', 'n2'),
          range('date', { lo: ['>=', 2] }),
          term('_owner', 'Patient/p2'),
        ];
        for (const where of of1) expect(await found(where)).toEqual([]);
        for (const where of of2) expect(await found(where)).toEqual(['a']);
      });

      test('of a type nobody stored is empty', async () => {
        const page = await store.unit((u) =>
          u.search(guarded(planOf(ALL, { type: 'Slot', total: true }), systemGuard('Slot'))),
        );
        expect(page).toEqual({ matches: [], more: false, total: 0 });
      });

      test('with a limit of none still tells whether there is something, and how much', async () => {
        await puts(version('a'), version('b'));
        expect(await search(ALL, { limit: 0, total: true })).toEqual({ matches: [], more: true, total: 2 });
        expect(await search(NONE, { limit: 0, total: true })).toEqual({ matches: [], more: false, total: 0 });
      });

      test('does not speak of a total nobody asked for', async () => {
        await puts(version('a'));
        expect(await search(ALL)).not.toHaveProperty('total');
      });

      test('an audit record is found as soon as it is written, in the same unit and after', async () => {
        const audit = (id: string): Put =>
          version(id, {
            key: { type: 'AuditEvent', id },
            owner: 'Patient/p',
            entry: entry({
              terms: ['action=R', 'entity=Observation/a'],
              strings: [{ param: 'name', text: 'ab' }],
              sort: [{ param: 'date', key: 1 }],
            }),
          });
        const audits = guardWith('AuditEvent', ALL);
        const seen = (u: StoreUnit, where: Predicate) =>
          u.search(guarded(planOf(where, { type: 'AuditEvent', sort: [{ param: 'date', descending: true }] }), audits));
        const questions = [
          term('action', 'R'),
          term('entity', 'Observation/a'),
          prefix('name', 'a'),
          term('_owner', 'Patient/p'),
          ALL,
        ];
        await store.unit(async (u) => {
          await u.put(audit('x'));
          for (const where of questions) expect(ids((await seen(u, where)).matches)).toEqual(['x']);
          await u.put(audit('y'));
        });
        await store.unit(async (u) => {
          for (const where of questions) expect(ids((await seen(u, where)).matches)).toEqual(['x', 'y']);
          await u.put(version('a'));
        });
        const hopped: Predicate = {
          op: 'from',
          param: 'entity',
          hop: hop(audits, term('action', 'R'), { deleted: false }),
        };
        expect(await found(hopped)).toEqual(['a']);
      });
    });

    describe('order and pages', () => {
      const dated = (id: string, key?: number | string): Put =>
        version(id, { entry: entry({ sort: key === undefined ? [] : [{ param: 'date', key }] }) });
      const date = (descending: boolean): readonly SortKey[] => [{ param: 'date', descending }];

      /** Every match, page by page. */
      const walk = async (
        part: Partial<QueryPlan>,
        between: (page: number) => Promise<void> = async () => {},
      ): Promise<readonly string[]> => {
        const all: string[] = [];
        let after: Match['position'] | undefined;
        for (let n = 0; n < 100; n++) {
          const page = await search(ALL, { ...part, ...(after === undefined ? {} : { after }) });
          all.push(...ids(page.matches));
          after = page.matches.at(-1)?.position;
          if (!page.more) return all;
          await between(n);
        }
        throw new Error('the pages do not end');
      };

      test('without keys the id decides', async () => {
        await puts(version('b'), version('a'), version('C'));
        expect(await found(ALL)).toEqual(['C', 'a', 'b']);
      });

      test('a key decides, ties go by id, and who has no key comes last both ways', async () => {
        await puts(dated('a', 2), dated('b'), dated('c', 1), dated('d', 2), dated('e'));
        expect(ids((await search(ALL, { sort: date(false) })).matches)).toEqual(['c', 'a', 'd', 'b', 'e']);
        expect(ids((await search(ALL, { sort: date(true) })).matches)).toEqual(['a', 'd', 'c', 'b', 'e']);
      });

      test('several keys decide one after another', async () => {
        const two = (id: string, x: number, y: number): Put =>
          version(id, {
            entry: entry({
              sort: [
                { param: 'x', key: x },
                { param: 'y', key: y },
              ],
            }),
          });
        await puts(two('a', 1, 1), two('b', 1, 2), two('c', 0, 1));
        const sort: readonly SortKey[] = [
          { param: 'x', descending: false },
          { param: 'y', descending: true },
        ];
        expect(ids((await search(ALL, { sort })).matches)).toEqual(['c', 'b', 'a']);
      });

      test('id and time are keys everybody has', async () => {
        await puts(
          version('a', { lastUpdated: 1 }),
          version('b', { lastUpdated: 3 }),
          version('c', { lastUpdated: 2 }),
        );
        expect(ids((await search(ALL, { sort: [{ param: '_lastUpdated', descending: true }] })).matches)).toEqual([
          'b',
          'c',
          'a',
        ]);
        expect(ids((await search(ALL, { sort: [{ param: '_id', descending: true }] })).matches)).toEqual([
          'c',
          'b',
          'a',
        ]);
      });

      test.each([1, 2, 3])('pages of %i, put together, are the whole, in both directions', async (limit) => {
        await puts(...['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((id, i) => (i % 3 === 0 ? dated(id) : dated(id, i % 2))));
        for (const descending of [false, true]) {
          const whole = ids((await search(ALL, { sort: date(descending) })).matches);
          expect(await walk({ sort: date(descending), limit })).toEqual(whole);
        }
      });

      test('writes between pages neither skip nor repeat what was there', async () => {
        await puts(...['b', 'd', 'f', 'h', 'j'].map((id, i) => dated(id, i)));
        const seen = await walk({ sort: date(false), limit: 2 }, async (n) => {
          // Before and behind the place reached, and a deletion behind it.
          await puts(dated(`a${n}`, -1), dated(`z${n}`, 100));
          if (n === 0) await puts(tombstone('b'));
        });
        expect(seen.filter((id) => ['b', 'd', 'f', 'h', 'j'].includes(id))).toEqual(['b', 'd', 'f', 'h', 'j']);
        expect(new Set(seen).size).toBe(seen.length);
      });

      test('text and number keys come back as they are in the position', async () => {
        await puts(dated('a', 'é\u{1F600}'), dated('b', 1.5), dated('c'));
        const page = await search(ALL, { sort: date(false) });
        expect(page.matches.map((m) => m.position)).toEqual([
          [1.5, 'b'],
          ['é\u{1F600}', 'a'],
          [null, 'c'],
        ]);
      });
    });

    describe('a test of one resource', () => {
      test('needs the guard and the condition', async () => {
        await puts(version('a', { terms: ['code=1', '_label=masked'] }));
        const tested = (guard: Guard, where: Predicate) => store.unit((u) => u.test(keyOf('a'), guard, where));
        expect(await tested(everything, term('code', '1'))).toBe(true);
        expect(await tested(everything, term('code', '2'))).toBe(false);
        expect(await tested(guardWith(TYPE, not(term('_label', 'masked'))), term('code', '1'))).toBe(false);
        expect(await tested(systemGuard('Patient'), term('code', '1'))).toBe(false);
        expect(await store.unit((u) => u.test(keyOf('b'), everything, ALL))).toBe(false);
      });
    });

    describe('a space entry', () => {
      const space = (person: Ref) => store.unit((u) => u.space(person));

      test('is given back whole, endless ranges included', async () => {
        const full: IndexEntry = {
          terms: ['_team=é', '_x=1'],
          strings: [{ param: 's', text: 't' }],
          ranges: [{ param: '_until', lo: Number.NEGATIVE_INFINITY, hi: Number.POSITIVE_INFINITY }],
          sort: [{ param: 'k', key: 'v' }],
        };
        await store.unit((u) => u.putSpace('Patient/p', full));
        expect(await space('Patient/p')).toEqual(full);
      });

      test('of somebody unknown, or known only as an owner, is undefined', async () => {
        await puts(version('a', { owner: 'Patient/p' }));
        expect(await space('Patient/p')).toBeUndefined();
        expect(await space('Patient/q')).toBeUndefined();
      });

      test('is replaced, not added to', async () => {
        await puts(version('a', { owner: 'Patient/p' }));
        await store.unit((u) => u.putSpace('Patient/p', entry({ terms: ['_team=x'] })));
        await store.unit((u) => u.putSpace('Patient/p', entry({ terms: ['_team=y'] })));
        expect(await space('Patient/p')).toEqual(entry({ terms: ['_team=y'] }));
        expect(await found(owner(term('_team', 'x')))).toEqual([]);
        expect(await read('a', guardWith(TYPE, owner(term('_team', 'y'))))).toBeDefined();
      });
    });

    describe('a unit', () => {
      test('sees its own writes before anybody else does', async () => {
        await store.unit(async (u) => {
          await u.put(version('a', { terms: ['x=1'] }));
          expect(await u.read(keyOf('a'), everything)).toBeDefined();
          expect(ids((await u.search(guarded(planOf(term('x', '1')), everything))).matches)).toEqual(['a']);
        });
      });

      test('decides from what it wrote itself, a step away and of the owner too', async () => {
        const doc = (versionId: string, terms: readonly string[], part: Partial<Put> = {}) =>
          version('d', { key: { type: 'DocumentReference', id: 'd' }, versionId, terms, ...part });
        const docs = guardWith('DocumentReference', not(term('_label', 'masked')));
        const content = guardWith(TYPE, { op: 'from', param: 'content', hop: hop(docs, ALL, { deleted: false }) });
        const about = { op: 'via', param: 'see', hop: hop(docs, ALL, { deleted: false }) } as const;
        const team = guardWith('DocumentReference', owner(term('_team', 'x')));
        const byTeam = { op: 'via', param: 'see', hop: hop(team, ALL, { deleted: false }) } as const;
        await puts(version('a', { owner: 'Patient/p', terms: ['see=DocumentReference/d'] }));
        await store.unit(async (u) => {
          const seen = async (): Promise<readonly boolean[]> => [
            (await u.read(keyOf('a'), content)) !== undefined,
            await u.test(keyOf('a'), everything, about),
            await u.test(keyOf('a'), everything, byTeam),
            (await u.search(guarded(planOf(term('_owner', 'Patient/p')), guardWith(TYPE, about)))).matches.length > 0,
          ];
          expect(await seen()).toEqual([false, false, false, false]);
          await u.put(doc('1', [`content=${TYPE}/a`], { owner: 'Patient/q' }));
          expect(await seen()).toEqual([true, true, false, true]);
          await u.putSpace('Patient/q', entry({ terms: ['_team=x'] }));
          expect(await seen()).toEqual([true, true, true, true]);
          await u.put(doc('2', [`content=${TYPE}/a`, '_label=masked'], { owner: 'Patient/q' }));
          expect(await seen()).toEqual([false, false, true, false]);
          await u.refile({ type: 'DocumentReference', id: 'd' }, {}, entry({ terms: [`content=${TYPE}/a`] }));
          expect(await seen()).toEqual([true, true, true, true]);
          await u.putSpace('Patient/q', EMPTY_ENTRY);
          expect(await seen()).toEqual([true, true, false, true]);
        });
      });

      test('answers with what its work answers', async () => {
        expect(await store.unit(async () => 42)).toBe(42);
      });

      test('that throws leaves nothing of itself, and its neighbours are unharmed', async () => {
        const results = await Promise.allSettled([
          puts(version('a')),
          store.unit(async (u) => {
            await u.put(version('b', { owner: 'Patient/new', terms: ['x=1', 'see=Patient/new'] }));
            await u.putSpace('Patient/new', EMPTY_ENTRY);
            throw new Error('no');
          }),
          puts(version('c', { owner: 'Patient/new' })),
        ]);
        expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
        expect(await found(ALL)).toEqual(['a', 'c']);
        expect(await found(term('x', '1'))).toEqual([]);
        expect(await store.unit((u) => u.space('Patient/new'))).toBeUndefined();
        expect((await read('c'))?.owner).toBe('Patient/new');
      });

      test('is undone by an error of the store even when its work swallows it', async () => {
        await puts(version('a'));
        await expect(
          store.unit(async (u) => {
            await u.put(version('b'));
            await u.put(version('a')).catch(() => undefined);
          }),
        ).rejects.toThrow();
        expect(await read('b')).toBeUndefined();
      });

      test('does nothing after its end', async () => {
        let kept: StoreUnit | undefined;
        await store.unit(async (u) => {
          kept = u;
        });
        await expect(kept!.put(version('a'))).rejects.toThrow();
        await expect(kept!.read(keyOf('a'), everything)).rejects.toThrow();
        expect(await read('a')).toBeUndefined();
      });

      test('is alone: a decision from what it read still holds when it writes', async () => {
        const bump = () =>
          store.unit(async (u) => {
            const now = await u.read(keyOf('n'), everything);
            const next = Number(now?.versionId ?? 0) + 1;
            await u.put(version('n', { versionId: String(next), body: String(next) }));
          });
        await Promise.all(Array.from({ length: 100 }, bump));
        expect(await read('n')).toMatchObject({ versionId: '100', body: '100' });
      });

      test('is durable when it resolves', async () => {
        await puts(
          version('a', { owner: 'Patient/p', terms: ['x=1'] }),
          version('z', { key: { type: 'AuditEvent', id: 'z' }, terms: ['x=1'] }),
        );
        await store.unit((u) => u.putSpace('Patient/p', entry({ terms: ['_t=1'] })));
        await store.close();
        store = await made.reopen();
        expect(await found(and(term('x', '1'), owner(term('_t', '1'))))).toEqual(['a']);
        const audits = await store.unit((u) =>
          u.search(guarded(planOf(term('x', '1'), { type: 'AuditEvent' }), systemGuard('AuditEvent'))),
        );
        expect(ids(audits.matches)).toEqual(['z']);
      });

      test('is refused once the store is closed', async () => {
        await store.close();
        await expect(store.unit(async () => 1)).rejects.toThrow();
        store = await made.reopen();
      });
    });

    describe('bytes', () => {
      const BINARY: Key = { type: 'Binary', id: 'b' };
      const binaries = systemGuard('Binary');
      const binary = (part: Partial<Put> = {}): Put => version('b', { key: BINARY, ...part });
      const content = (guard: Guard = binaries) =>
        store.unit(async (u) => {
          const parts: Uint8Array[] = [];
          for (let i = 0; ; i++) {
            const part = await u.chunk(BINARY, guard, i);
            if (part === undefined) return Buffer.concat(parts);
            // Whoever reads a range knows by this alone which chunks it is in.
            if (parts.some((earlier) => earlier.length !== CHUNK_BYTES))
              throw new Error('a short chunk is not the last');
            expect(part.length).toBeLessThanOrEqual(CHUNK_BYTES);
            parts.push(part);
          }
        });
      const large = new Uint8Array(700_001).map((_, i) => (i * 7) % 251);

      test('come back as they were sent, with size and SHA-1', async () => {
        const upload = await store.stage(streamOf(large.subarray(0, 10), large.subarray(10)), 1_000_000);
        expect(upload).toMatchObject({ size: large.length, sha1: sha1(large) });
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
        });
        expect(await store.unit((u) => u.bytes(BINARY))).toEqual({ size: large.length, sha1: sha1(large) });
        expect(Buffer.compare(await content(), large)).toBe(0);
      });

      test('none at all are bytes too', async () => {
        const upload = await store.stage(streamOf(), 0);
        expect(upload).toMatchObject({ size: 0, sha1: sha1() });
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
        });
        expect(await store.unit((u) => u.bytes(BINARY))).toMatchObject({ size: 0 });
        expect(await content()).toHaveLength(0);
      });

      test('each chunk is judged when it is asked for', async () => {
        const upload = await store.stage(streamOf(large), 1_000_000);
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
        });
        const guard = guardWith('Binary', not(term('_label', 'masked')));
        expect(await store.unit((u) => u.chunk(BINARY, guard, 0))).toBeDefined();
        await store.unit((u) => u.refile(BINARY, {}, entry({ terms: ['_label=masked'] })));
        expect(await store.unit((u) => u.chunk(BINARY, guard, 1))).toBeUndefined();
      });

      test('exactly as many as allowed are taken, one more is not', async () => {
        await expect(store.stage(streamOf(large), large.length - 1)).rejects.toBeInstanceOf(UploadTooLarge);
        expect(await store.stage(streamOf(large), large.length)).toMatchObject({ size: large.length });
      });

      test('a broken stream leaves nothing behind', async () => {
        async function* broken(): AsyncGenerator<Uint8Array> {
          yield large;
          throw new Error('cut');
        }
        await expect(store.stage(broken(), 1_000_000)).rejects.toThrow('cut');
        expect(await store.sweep(Number.MAX_SAFE_INTEGER)).toBe(0);
      });

      test('an upload is attached once', async () => {
        const upload = await store.stage(streamOf(bytesOf('x')), 10);
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
        });
        await puts(version('c', { key: { type: 'Binary', id: 'c' } }));
        await expect(store.unit((u) => u.attachBytes({ type: 'Binary', id: 'c' }, upload.id))).rejects.toThrow();
        await expect(store.unit((u) => u.attachBytes({ type: 'Binary', id: 'd' }, 'none'))).rejects.toThrow();
      });

      test('a unit that fails gives the upload back', async () => {
        const upload = await store.stage(streamOf(bytesOf('x')), 10);
        await store
          .unit(async (u) => {
            await u.put(binary());
            await u.attachBytes(BINARY, upload.id);
            throw new Error('no');
          })
          .catch(() => undefined);
        expect(await store.unit((u) => u.bytes(BINARY))).toBeUndefined();
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
        });
        expect((await content()).toString()).toBe('x');
      });

      test('a new version brings new bytes; without any it keeps the old', async () => {
        const first = await store.stage(streamOf(bytesOf('one')), 10);
        const second = await store.stage(streamOf(bytesOf('two')), 10);
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, first.id);
          await u.put(binary({ versionId: '2' }));
        });
        expect((await content()).toString()).toBe('one');
        await store.unit(async (u) => {
          await u.put(binary({ versionId: '3' }));
          await u.attachBytes(BINARY, second.id);
        });
        expect((await content()).toString()).toBe('two');
      });

      test('a deleted Binary has none', async () => {
        const upload = await store.stage(streamOf(bytesOf('x')), 10);
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
          await u.put(tombstone('b', { key: BINARY }));
        });
        expect(await store.unit((u) => u.bytes(BINARY))).toBeUndefined();
        expect(await content()).toHaveLength(0);
      });

      test('given back, they are dropped by the next sweep and by no other unit', async () => {
        const upload = await store.stage(streamOf(large), 1_000_000);
        const kept = await store.stage(streamOf(bytesOf('kept')), 10);
        const other = { type: 'Binary', id: 'other' };
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
          await u.put(version('other', { key: other }));
          await u.attachBytes(other, kept.id);
        });
        await store.unit(async (u) => {
          await u.detachBytes(BINARY);
          await u.detachBytes(BINARY);
          await u.detachBytes({ type: 'Binary', id: 'nothing' });
          await u.put(tombstone('b', { key: BINARY }));
        });
        expect(await store.unit((u) => u.bytes(BINARY))).toBeUndefined();
        await puts(version('c', { key: { type: 'Binary', id: 'c' } }));
        await expect(store.unit((u) => u.attachBytes({ type: 'Binary', id: 'c' }, upload.id))).rejects.toThrow();
        expect(await store.sweep(1)).toBe(1);
        expect(await store.sweep(Number.MAX_SAFE_INTEGER)).toBe(0);
        expect(await store.unit((u) => u.bytes(other))).toMatchObject({ size: 4 });
      });

      test('a unit that fails has given nothing back', async () => {
        const upload = await store.stage(streamOf(large), 1_000_000);
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, upload.id);
        });
        const failing = store.unit(async (u) => {
          await u.detachBytes(BINARY);
          throw new Error('no');
        });
        await expect(failing).rejects.toThrow('no');
        expect(await store.sweep(Number.MAX_SAFE_INTEGER)).toBe(0);
        expect(Buffer.compare(await content(), large)).toBe(0);
      });

      test('staged ones are swept by age, discarded by name, and attached ones are neither', async () => {
        const attached = await store.stage(streamOf(bytesOf('a')), 10);
        const discarded = await store.stage(streamOf(bytesOf('b')), 10);
        await store.stage(streamOf(large), 1_000_000);
        await store.unit(async (u) => {
          await u.put(binary());
          await u.attachBytes(BINARY, attached.id);
        });
        await store.discard(discarded.id);
        await store.discard(discarded.id);
        await store.discard(attached.id);
        expect(await store.sweep(0)).toBe(0);
        expect(await store.sweep(Number.MAX_SAFE_INTEGER)).toBe(1);
        expect(await store.sweep(Number.MAX_SAFE_INTEGER)).toBe(0);
        expect((await content()).toString()).toBe('a');
      });
    });
  });
}

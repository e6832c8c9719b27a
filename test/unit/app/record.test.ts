/**
 * rules.md O1: whatever a request discloses is recorded in the unit that found it, before anything of it leaves; a record that cannot be written
 * discloses nothing. The dispatcher in this process, a real store that is watched, and a holder who reads what is theirs.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Put, ResourceStore } from '../../../server/ports/store.ts';
import { baseInstant } from '../../oracle/arbitraries.ts';
import { maySee } from '../../oracle/decide.ts';
import type { Item, World, WorldCaller } from '../../oracle/world.ts';
import { type Asked, type Dispatching, dispatching } from '../../support/dispatching.ts';
import { twinWorld } from '../../support/twin-run.ts';

type Scene = { readonly world: World; readonly holder: WorldCaller; readonly shown: Item; readonly hidden: Item };

/** A world with a document that one person sees, and one of somebody else. */
function scene(): Scene {
  for (const world of fc.sample(twinWorld, { seed: 7, numRuns: 50 })) {
    const documents = world.items.filter((item) => item.type === 'DocumentReference' && item.deleted !== true);
    for (const shown of documents) {
      if (shown.type !== 'DocumentReference') continue;
      const holder = { kind: 'patient', person: shown.person } as const;
      const hidden = documents.find((item) => !maySee(world, holder, item, baseInstant).permit);
      if (hidden !== undefined && maySee(world, holder, shown, baseInstant).permit)
        return { world, holder, shown, hidden };
    }
  }
  throw new Error('no world of these has a document to show');
}

const { world, holder, shown, hidden } = scene();
const person = holder.kind === 'patient' ? `Patient/${holder.person}` : '';

/** What each unit wrote since the last look; `full`: no AuditEvent can be written. */
const watch: { units: Put[][]; full: boolean } = { units: [], full: false };

const watched = (store: ResourceStore): ResourceStore => ({
  ...store,
  unit: (work) => {
    const puts: Put[] = [];
    watch.units.push(puts);
    return store.unit((unit) =>
      work({
        ...unit,
        put: (next) => {
          if (watch.full && next.key.type === 'AuditEvent') return Promise.reject(new Error('the disk is full'));
          puts.push(next);
          return unit.put(next);
        },
      }),
    );
  },
});

let stage: Dispatching;
let token: string;
beforeAll(async () => {
  stage = await dispatching(world, watched);
  token = stage.token(holder);
});
afterAll(() => stage.dispose());
beforeEach(() => {
  watch.units = [];
  watch.full = false;
});

const document = `DocumentReference/${shown.id}`;
const posted = (type: 'batch' | 'transaction', url: string): Asked => ({
  method: 'POST',
  address: '',
  json: { resourceType: 'Bundle', type, entry: [{ request: { method: 'GET', url } }] },
});
const unchanged: Asked = { address: document, headers: { 'if-none-match': '*' } };
const nothingFound: Asked = { address: `List?patient=${person}&code=none` };
const attempt: Asked = { address: `DocumentReference/${hidden.id}` };

const REQUESTS: readonly (readonly [what: string, asked: Asked, status: number])[] = [
  ['a read', { address: document }, 200],
  ['a read of a part', { address: `${document}?_summary=true` }, 200],
  ['that nothing has changed', unchanged, 304],
  ['a version', { address: `${document}/_history/1` }, 200],
  ['the history', { address: `${document}/_history` }, 200],
  ['a search', { address: `DocumentReference?patient=${person}` }, 200],
  ['a count', { address: `DocumentReference?patient=${person}&_summary=count` }, 200],
  ['a search that finds nothing', nothingFound, 200],
  ['everything', { address: `${person}/$everything` }, 200],
  ['a label operation', { method: 'POST', address: `${document}/$unmask` }, 200],
  ['a batch', posted('batch', document), 200],
  ['a transaction', posted('transaction', document), 200],
  ['a refusal', attempt, 404],
];

describe('recorded in the same unit, before the answer is there', () => {
  test.each(REQUESTS)('%s', async (_what, asked, status) => {
    const { response } = await stage.ask(token, asked);
    expect(response.status).toBe(status);
    const events = watch.units.map((puts) => puts.filter((put) => put.key.type === 'AuditEvent').length);
    expect(events).toEqual([1]);
  });

  test.each(REQUESTS)('nothing is disclosed when it cannot be: %s', async (_what, asked) => {
    watch.full = true;
    await expect(stage.ask(token, asked)).rejects.toThrow('the disk is full');
  });
});

test('a refusal that came after something was written: that is undone, and the attempt is recorded all the same', async () => {
  await stage.ask(token, { method: 'POST', address: `${document}/$unmask` });
  watch.units = [];
  const entries = [
    { request: { method: 'POST', url: `${document}/$mask` } },
    { request: { method: 'GET', url: attempt.address } },
  ];
  const json = { resourceType: 'Bundle', type: 'transaction', entry: entries };
  const { response } = await stage.ask(token, { method: 'POST', address: '', json });
  expect(response.status).toBe(404);
  const [undone = [], recorded = []] = watch.units;
  expect(undone.map((put) => put.key.type)).toEqual(['DocumentReference']);
  expect(recorded.map((put) => [put.key.type, (JSON.parse(put.body) as { outcome: string }).outcome])).toEqual([
    ['AuditEvent', '4'],
  ]);
  const after = await stage.ask(token, { address: document });
  expect(String(after.response.body)).not.toContain('MASQUE_PS');
});

describe('about whom it is', () => {
  const aboutWhom = () => watch.units.flat().map((put) => put.owner);

  test('a search that finds nothing, and an unchanged version, are accesses to the person’s space', async () => {
    await stage.ask(token, nothingFound);
    await stage.ask(token, unchanged);
    expect(aboutWhom()).toEqual([person, person]);
  });

  test('an attempt is told to whom the item belongs, not to who made it', async () => {
    await stage.ask(token, attempt);
    expect(aboutWhom()).toEqual([hidden.type === 'DocumentReference' ? `Patient/${hidden.person}` : '']);
  });

  test('and the same token from two places is found under each', async () => {
    for (const from of ['192.0.2.7', '192.0.2.8']) await stage.ask(token, { ...unchanged, from });
    for (const address of ['192.0.2.7', '192.0.2.8']) {
      const { response } = await stage.ask(token, { address: `AuditEvent?address=${address}&_summary=count` });
      expect(JSON.parse(String(response.body))).toMatchObject({ total: 1 });
    }
  });
});

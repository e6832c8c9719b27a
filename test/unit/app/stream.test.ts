/** rules.md O3: the content of a Binary is sent chunk by chunk, and each one is decided when its turn comes. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHUNK_BYTES } from '../../../server/ports/store.ts';
import type { World, WorldCaller } from '../../oracle/world.ts';
import { type Dispatching, dispatching } from '../../support/dispatching.ts';
import { twinWorld } from '../../support/twin-run.ts';

const [world] = fc.sample(twinWorld, { seed: 1, numRuns: 1 }) as [World];
const doctor: WorldCaller = {
  kind: 'professional',
  person: 'dr1',
  profession: '10',
  structure: 's1',
  purpose: 'TREAT',
};
const content = Buffer.alloc(3 * CHUNK_BYTES + 100, 'content that is long enough. ');

let stage: Dispatching;
let staged = 0;
beforeAll(async () => {
  stage = await dispatching(world, (store) => ({
    ...store,
    stage: (source, most) => {
      staged += 1;
      return store.stage(source, most);
    },
  }));
});
afterAll(() => stage.dispose());

/** Sends content and begins to read it: the first chunk, and what gives the others. */
async function begun(): Promise<{ readonly id: string; readonly rest: AsyncIterator<Uint8Array> }> {
  const token = stage.token(doctor);
  const sent = await stage.ask(token, { method: 'POST', address: 'Binary', bytes: content });
  const id = /Binary\/([^/]+)\/_history/.exec(sent.response.headers['location'] ?? '')?.[1] ?? '';
  const { response } = await stage.ask(token, { address: `Binary/${id}` });
  if (typeof response.body !== 'object') throw new Error(`no stream: ${response.status}`);
  const rest = response.body[Symbol.asyncIterator]();
  const first = await rest.next();
  expect(Buffer.from(first.value as Uint8Array)).toEqual(content.subarray(0, CHUNK_BYTES));
  return { id, rest };
}

test('to its end, while it may be read', async () => {
  const { rest } = await begun();
  let size = CHUNK_BYTES;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) size += next.value.length;
  expect(size).toBe(content.length);
});

test('not beyond the life of the token', async () => {
  const { rest } = await begun();
  stage.setNow(stage.now() + 899_999);
  expect((await rest.next()).done).toBe(false);
  stage.setNow(stage.now() + 1);
  await expect(rest.next()).rejects.toThrow('no longer permitted');
});

test('not beyond the right to read it', async () => {
  const { id, rest } = await begun();
  // It belongs to somebody else from now on.
  const nobody = { terms: ['_unattached=1', '_by=Practitioner/dr2'], strings: [], ranges: [], sort: [] };
  await stage.store.unit((unit) => unit.refile({ type: 'Binary', id }, {}, nobody));
  await expect(rest.next()).rejects.toThrow('no longer permitted');
});

test('nothing of it is stored aside for who never uploads', async () => {
  const before = staged;
  const insurer: WorldCaller = { kind: 'insurer' };
  const sent = await stage.ask(stage.token(insurer), { method: 'POST', address: 'Binary', bytes: content });
  expect([sent.response.status, sent.response.body, staged]).toEqual([403, expect.stringContaining('"W1"'), before]);
});

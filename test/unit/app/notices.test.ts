/** rules.md O2: an access counts as told of once its notice is durable, and not before. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ResourceStore } from '../../../server/ports/store.ts';
import { baseInstant, concerned } from '../../oracle/arbitraries.ts';
import { maySee } from '../../oracle/decide.ts';
import type { Item, World, WorldCaller } from '../../oracle/world.ts';
import { type Dispatching, dispatching } from '../../support/dispatching.ts';
import { twinWorld } from '../../support/twin-run.ts';

/** A world in which a professional reads a document that its holder sees too. */
function scene(): { readonly world: World; readonly doctor: WorldCaller; readonly shown: Item } {
  for (const world of fc.sample(twinWorld, { seed: 11, numRuns: 50 })) {
    for (const doctor of concerned(world)) {
      if (doctor.kind !== 'professional' || doctor.purpose !== 'TREAT') continue;
      const shown = world.items.find(
        (item) =>
          item.type === 'DocumentReference' &&
          item.deleted !== true &&
          item.labels.length === 0 &&
          maySee(world, doctor, item, baseInstant).permit &&
          maySee(world, { kind: 'patient', person: item.person }, item, baseInstant).permit,
      );
      if (shown !== undefined) return { world, doctor, shown };
    }
  }
  throw new Error('no world of these has a document to read');
}

const { world, doctor, shown } = scene();
const watch = { failing: false, notices: 0 };

/** A store whose units fail at their very end while `failing`, and that counts the notices written. */
const watched = (store: ResourceStore): ResourceStore => ({
  ...store,
  unit: async (work) => {
    let written = 0;
    const value = await store.unit(async (unit) => {
      const done = await work({
        ...unit,
        put: (next) => {
          if (next.key.type === 'Communication') written += 1;
          return unit.put(next);
        },
      });
      if (watch.failing) throw new Error('the disk is full');
      return done;
    });
    watch.notices += written;
    return value;
  },
});

let stage: Dispatching;
beforeAll(async () => {
  stage = await dispatching(world, watched);
});
afterAll(() => stage.dispose());

test('an access whose unit failed is told of when it succeeds, and then once', async () => {
  const token = stage.token(doctor);
  const read = { address: `DocumentReference/${shown.id}` };
  watch.failing = true;
  await expect(stage.ask(token, read)).rejects.toThrow('the disk is full');
  watch.failing = false;
  expect((await stage.ask(token, read)).response.status).toBe(200);
  expect(watch.notices).toBe(1);
  expect((await stage.ask(token, read)).response.status).toBe(200);
  expect(watch.notices).toBe(1);
});

/** `carnet check`: everything opens, everything is what it says, the index is that of the resources. */

import { systemGuard } from '../access/decision.ts';
import type { Deps } from '../app/deps.ts';
import { rebuildSpace } from '../app/facts.ts';
import { entryNow } from '../app/upkeep.ts';
import type { Key } from '../fhir/types.ts';
import type { ResourceStore } from '../ports/store.ts';
import type { Fault, Upkeep } from '../ports/upkeep.ts';

type Checked = { readonly deps: Deps; readonly store: ResourceStore & Upkeep };

/** So many resources are compared in one unit: the server waits no longer than that. */
const AT_ONCE = 50;

/** Every fault there is. `progress` is told where it stands. */
export async function* check({ deps, store }: Checked, progress: (line: string) => void): AsyncIterable<Fault> {
  yield* store.inspect((done, of) => progress(`versions: ${done} of ${of}`));
  yield* spaceFaults({ deps, store });
  let compared = 0;
  let batch: Key[] = [];
  const { resources } = await store.counts();
  for await (const { version, current } of store.archive()) {
    if (!current || version.deleted) continue;
    batch.push({ type: version.type, id: version.id });
    if (batch.length < AT_ONCE) continue;
    yield* await entryFaults({ deps, store }, batch);
    compared += batch.length;
    progress(`index: ${compared} of ${resources}`);
    batch = [];
  }
  yield* await entryFaults({ deps, store }, batch);
}

const entryFaults = ({ deps, store }: Checked, keys: readonly Key[]): Promise<readonly Fault[]> =>
  store.unit(async (unit) => {
    const faults: Fault[] = [];
    for (const key of keys) {
      const at = `${key.type}/${key.id}`;
      try {
        const version = await unit.read(key, systemGuard(key.type, 'integrity'));
        if (version === undefined || version.deleted) continue;
        const what = await store.differs(unit, key, await entryNow(deps, unit, version));
        if (what !== undefined) faults.push({ at, what });
      } catch (error) {
        faults.push({ at, what: error instanceof Error ? error.message : 'cannot be read' });
      }
    }
    return faults;
  });

/** The space entry of each person is what their Consents, teams and delegations make. */
async function* spaceFaults({ store }: Checked): AsyncIterable<Fault> {
  for await (const person of store.spaces()) {
    const what = await store.unit(async (unit) => {
      try {
        const [stored, made] = [await unit.space(person), await rebuildSpace(unit, person)];
        const same = JSON.stringify(sorted(stored)) === JSON.stringify(sorted(made));
        return same ? undefined : 'its entry is not what the Consents of the person make';
      } catch (error) {
        return error instanceof Error ? error.message : 'cannot be read';
      }
    });
    if (what !== undefined) yield { at: `the space of ${person}`, what };
  }
}

/** An entry whatever the order in which it was made. */
const sorted = (entry: object | undefined): unknown =>
  Object.entries(entry ?? {}).map(([part, list]) => [
    part,
    Array.isArray(list) ? list.map((one: unknown) => JSON.stringify(one, endless)).sort() : list,
  ]);
const endless = (_name: string, value: unknown): unknown => (typeof value === 'number' ? String(value) : value);

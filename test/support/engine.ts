/**
 * The engine's own answers about a world, without HTTP: the world lies in the real embedded store, indexed and marked by the declarations. Each
 * question is asked under the guard that the interaction of that name asks under, of the store or, what is the same (`test/agreement.test.ts`)
 * and quicker, of the definition of what a guard means.
 */
import { type Access, createAccess } from '../../server/access/access.ts';
import { accessOptions } from '../../server/app/caller-access.ts';
import type { Deps } from '../../server/app/deps.ts';
import { resolveCaller } from '../../server/app/facts.ts';
import { DECLARATIONS } from '../../server/app/types/index.ts';
import { termText } from '../../server/fhir/index-entry.ts';
import type { Key, Ref } from '../../server/fhir/types.ts';
import type { Put, ResourceStore, StoreUnit } from '../../server/ports/store.ts';
import { type Linked, matches } from '../../server/query/matches.ts';
import { guarded } from '../../server/query/plan.ts';
import { ALL } from '../../server/query/predicate.ts';
import { baseInstant } from '../oracle/arbitraries.ts';
import type { Instant, Item, World, WorldCaller } from '../oracle/world.ts';
import { depsFor, mintToken, type StoreShelf } from './in-process.ts';
import { policyOf } from './policy.ts';
import { type Recording, record, refOfItem, sameIds } from './twins.ts';

/** What an interaction answers about one item; `gone` is a deleted item to whom it would be visible (410). */
export type Answered = 'shown' | 'gone' | 'hidden';

export type Interaction = 'read' | 'vread' | 'history' | 'search' | 'content';

/** What one caller learns of a world at one instant. */
export type Sight = {
  /** `undefined`: not asked. */
  readonly answer: (interaction: Interaction, item: Item) => Answered | undefined;
  /** D8: whether the reader finds an item in the events that name it. */
  readonly entity: (named: { readonly type: string; readonly id: string }) => boolean | undefined;
  /** Whether a search of the type is accepted at all. */
  readonly searchable: (type: string) => boolean;
};

/** A world that can be asked. */
export type Engine = {
  /** `whom`: the store, or the definition. `undefined`: the caller is not in the register or the directory, and is refused altogether. */
  readonly look: (caller: WorldCaller, now: Instant, whom: 'store' | 'definition') => Promise<Sight | undefined>;
  /** The ports of a server over this world. */
  readonly deps: (now: Instant) => Deps;
  readonly close: () => Promise<void>;
};

/** Whether the server declares the type of an item: others do not exist for it. */
export const isServed = (item: { readonly type: string }): boolean => DECLARATIONS.has(item.type);

/** The directory, which is the same in all worlds: a shelf with a store that holds it, and what was written to it. */
export type Directory = { readonly shelf: StoreShelf; readonly recording: Recording };

const DIRECTORY = 'directory';

export async function directoryStore(shelf: StoreShelf, world: World): Promise<Directory> {
  const store = await shelf.open(DIRECTORY);
  const recording = await record(world, store, portsFor(world, store, baseInstant), 'directory');
  await store.close();
  return { shelf, recording };
}

const portsFor = (world: World, store: ResourceStore, now: Instant, nextId: () => string = () => 'none'): Deps =>
  depsFor({ store, policy: policyOf(world.policy), now: () => now, nextId });

let worlds = 0;

/** Loads a world into a store of its own, beside the directory. */
export async function loadEngine(world: World, directory: Directory): Promise<Engine> {
  worlds += 1;
  const name = `world-${worlds}`;
  await directory.shelf.copy(DIRECTORY, name);
  const store = await directory.shelf.open(name);
  const recording = await record(world, store, portsFor(world, store, baseInstant), 'persons');
  const linked = linkedOf([...directory.recording.puts, ...recording.puts], recording.spaces);
  const ids = sameIds(world);
  const served = world.items.filter(isServed);
  let made = 0;
  return {
    look: async (caller, now, whom) => {
      // nobody has a token for a RelatedPerson whom the register does not know
      if (caller.kind === 'representative' && !ids.has(`RelatedPerson/${caller.related}`)) return undefined;
      const deps = portsFor(world, store, now);
      const claims = await deps.verifier.verify(mintToken(caller, ids, now), now);
      if (!claims.ok) throw new Error(`a token of the test is refused: ${JSON.stringify(claims.failure)}`);
      return store.unit(async (unit) => {
        const resolved = await resolveCaller(unit, claims.value, deps.directory);
        if (!resolved.ok) return undefined;
        const access = createAccess(accessOptions(deps, resolved.value, now));
        return whom === 'store' ? askStore(unit, access, served) : askDefinition(linked, access);
      });
    },
    deps: (now) =>
      portsFor(world, store, now, () => {
        made += 1;
        return `made-${made}`;
      }),
    close: async () => {
      await store.close();
      await directory.shelf.remove(name);
    },
  };
}

/** Asks the store about every item by every interaction. */
async function askStore(unit: StoreUnit, access: Access, items: readonly Item[]): Promise<Sight> {
  const answers = new Map<string, Answered>();
  const note = (interaction: Interaction, item: Item, answered: Answered): unknown =>
    answers.set(`${interaction} ${refOfItem(item)}`, answered);
  const entities = new Map<string, boolean>();
  for (const [index, item] of items.entries()) {
    // the guard of an event looks at every type that it may name: a few of them are asked for one by one, the search asks for all
    if (item.type === 'AuditEvent' && index % 8 !== 0) continue;
    const key: Key = { type: item.type, id: item.id };
    const guard = access.guard(item.type, 'r');
    const read = await unit.read(key, guard);
    note('read', item, read === undefined ? 'hidden' : read.deleted ? 'gone' : 'shown');
    // the first version of a Binary is about nobody, and is shown to nobody once it is somebody's
    const earliest = item.type === 'Binary' && item.document !== undefined ? '2' : '1';
    note('vread', item, (await unit.vread(key, earliest, guard)) === undefined ? 'hidden' : 'shown');
    const history = await unit.history(key, guard, { limit: 1 });
    note('history', item, history === undefined ? 'hidden' : history.versions[0]?.deleted === true ? 'gone' : 'shown');
    if (item.type === 'Binary')
      note('content', item, (await unit.chunk(key, guard, 0)) === undefined ? 'hidden' : 'shown');
    if (item.type !== 'AuditEvent') continue;
    for (const named of item.items)
      entities.set(
        `${named.type}/${named.id}`,
        isServed(named) && (await unit.test({ ...named }, access.sight(named.type), ALL)),
      );
  }
  for (const type of new Set(items.map((item) => item.type))) {
    const plan = { type, where: ALL, sort: [], limit: 1000, total: true };
    const page = await unit.search(guarded(plan, access.guard(type, 's')));
    const found = new Set(page.matches.map(({ id }) => id));
    if (page.total !== found.size) throw new Error(`${type}: ${page.total} counted, ${found.size} found`);
    for (const item of items) if (item.type === type) note('search', item, found.has(item.id) ? 'shown' : 'hidden');
  }
  return {
    answer: (interaction, item) => answers.get(`${interaction} ${refOfItem(item)}`),
    entity: (named) => entities.get(`${named.type}/${named.id}`),
    searchable: (type) => access.hasRow(type),
  };
}

/** Asks what the guards of a read and of a search mean; the other interactions have no guard of their own. */
function askDefinition(linked: ReadonlyMap<string, Linked>, access: Access): Sight {
  const lets = (guard: ReturnType<Access['guard']>, ref: string): Linked | undefined => {
    const one = linked.get(ref);
    return one !== undefined && matches(guard.residual, one.entry, one.links) ? one : undefined;
  };
  return {
    answer: (interaction, item) => {
      if (interaction !== 'read' && interaction !== 'search') return undefined;
      const found = lets(access.guard(item.type, interaction === 'read' ? 'r' : 's'), refOfItem(item));
      if (found === undefined) return 'hidden';
      return !found.deleted ? 'shown' : interaction === 'read' ? 'gone' : 'hidden';
    },
    entity: ({ type, id }) => isServed({ type }) && lets(access.sight(type), `${type}/${id}`) !== undefined,
    searchable: (type) => access.hasRow(type),
  };
}

/** The world as `matches` walks it: the last entry of everything, with what the store itself knows of it. */
function linkedOf(puts: readonly Put[], spaces: ReadonlyMap<Ref, Put['entry']>): ReadonlyMap<string, Linked> {
  const last = new Map<string, Put>(puts.map((put) => [`${put.key.type}/${put.key.id}`, put]));
  const all = new Map<string, Linked>();
  for (const [ref, { key, owner, deleted, entry }] of last) {
    const own = [termText('_id', key.id), ...(owner === undefined ? [] : [termText('_owner', owner)])];
    const links = new Map<string, readonly Linked[]>();
    const found = (param: string, type: string): readonly Linked[] => {
      const start = termText(param, `${type}/`);
      return entry.terms.flatMap((term) => {
        const other = term.startsWith(start) ? all.get(term.slice(start.length - type.length - 1)) : undefined;
        return other === undefined ? [] : [other];
      });
    };
    all.set(ref, {
      entry: { ...entry, terms: [...entry.terms, ...own] },
      deleted,
      links: {
        space: owner === undefined ? undefined : spaces.get(owner),
        via: (param, type) => {
          const name = `${param} ${type}`;
          const known = links.get(name) ?? found(param, type);
          links.set(name, known);
          return known;
        },
        from: () => {
          throw new Error('no guard looks at what names an item');
        },
      },
    });
  }
  return all;
}

/** `carnet migrate`: every version of every resource, with its bytes, from one store to another; again after an interruption, from where it was. */

import { systemGuard } from '../access/decision.ts';
import type { Deps } from '../app/deps.ts';
import { rebuildSpace } from '../app/facts.ts';
import { entryNow } from '../app/upkeep.ts';
import { EMPTY_ENTRY, type IndexEntry } from '../fhir/index-entry.ts';
import type { ResourceStore, StoreUnit, Version } from '../ports/store.ts';
import type { ArchivedVersion, Upkeep } from '../ports/upkeep.ts';

export type Migration = {
  /** The application over the source: it says how a resource is indexed. */
  readonly deps: Deps;
  readonly from: ResourceStore & Upkeep;
  readonly to: ResourceStore & Upkeep;
};

const AT_ONCE = 100;

type Item = ArchivedVersion & { readonly entry: IndexEntry };

/** Moves what is not there yet; answers how many versions were written and how many were there already. */
export async function migrate(
  { deps, from, to }: Migration,
  progress: (line: string) => void,
): Promise<{ readonly moved: number; readonly there: number }> {
  const { versions } = from.counts();
  // Versions go over in their order, a batch whole or not at all: what is there is the beginning.
  const there = to.counts().versions;
  let moved = 0;
  const flush = async (batch: readonly ArchivedVersion[]): Promise<void> => {
    if (batch.length === 0) return;
    await write(to, await indexed({ deps, from }, batch));
    moved += batch.length;
    progress(`versions: ${moved + there} of ${versions}`);
  };
  let batch: ArchivedVersion[] = [];
  let passed = 0;
  for (const item of from.archive()) {
    passed += 1;
    if (passed <= there) continue;
    batch.push(item);
    if (batch.length < AT_ONCE) continue;
    await flush(batch);
    batch = [];
  }
  await flush(batch);
  for (const person of from.spaces()) {
    const entry = await from.unit((unit) => rebuildSpace(unit, person));
    await to.unit((unit) => unit.putSpace(person, entry));
  }
  return { moved, there };
}

/** With the entry of each: only the version that counts is looked for; a deleted one is asked about what it was. */
const indexed = (
  { deps, from }: Pick<Migration, 'deps' | 'from'>,
  batch: readonly ArchivedVersion[],
): Promise<readonly Item[]> =>
  from.unit(async (unit) => {
    const items: Item[] = [];
    for (const item of batch) {
      const alive = item.current ? await lastAlive(unit, item.version) : undefined;
      items.push({ ...item, entry: alive === undefined ? EMPTY_ENTRY : await entryNow(deps, unit, alive) });
    }
    return items;
  });

async function lastAlive(unit: StoreUnit, version: Version): Promise<Version | undefined> {
  if (!version.deleted) return version;
  const guard = systemGuard(version.type, 'integrity');
  const page = await unit.history(version, guard, { limit: 1, before: version.versionId });
  return page?.versions.find((v) => !v.deleted);
}

async function write(to: ResourceStore, items: readonly Item[]): Promise<void> {
  const uploads = new Map<Item, string>();
  try {
    for (const item of items) {
      if (item.content === undefined) continue;
      const staged = await to.stage(streamOf(item.content.parts()), item.content.size);
      if (staged.sha1 !== item.content.sha1)
        throw new Error(`the bytes of ${item.version.type}/${item.version.id} are not sound`);
      uploads.set(item, staged.id);
    }
    await to.unit(async (unit) => {
      for (const item of items) {
        const { type, id, ...rest } = item.version;
        const { versionId, lastUpdated, deleted, owner, body, filing } = { ...rest, ...item.version };
        await unit.put({ key: { type, id }, versionId, lastUpdated, deleted, owner, body, filing, entry: item.entry });
        const upload = uploads.get(item);
        if (upload !== undefined) await unit.attachBytes({ type, id }, upload);
      }
    });
  } catch (error) {
    for (const upload of uploads.values()) await to.discard(upload).catch(() => undefined);
    throw error;
  }
}

async function* streamOf(parts: Iterable<Uint8Array>): AsyncIterable<Uint8Array> {
  yield* parts;
}

/** What differs between the two, one sentence each: every version's body, record and bytes, every space. Both are opened whole. */
export async function* differences(
  { from, to }: Omit<Migration, 'deps'>,
  progress: (line: string) => void,
): AsyncIterable<string> {
  const { versions } = from.counts();
  const others = to.archive()[Symbol.iterator]();
  let compared = 0;
  for (const item of from.archive()) {
    const { version } = item;
    const at = `${version.type}/${version.id}/_history/${version.versionId}`;
    const other = others.next();
    if (other.done === true) yield `${at} is missing`;
    else if (!sameVersion(item, other.value)) yield `${at} is another`;
    compared += 1;
    if (compared % AT_ONCE === 0) progress(`compared: ${compared} of ${versions}`);
  }
  if (others.next().done !== true) yield 'there are versions that the source has not';
  for (const person of from.spaces()) {
    const of = (store: ResourceStore): Promise<string> =>
      store.unit(async (unit) => entryText(await unit.space(person)));
    if ((await of(from)) !== (await of(to))) yield `the space of ${person} is another`;
  }
}

function sameVersion(one: ArchivedVersion, other: ArchivedVersion): boolean {
  if (plain(one.version) !== plain(other.version) || one.current !== other.current) return false;
  if (one.content === undefined || other.content === undefined) return one.content === other.content;
  if (one.content.sha1 !== other.content.sha1) return false;
  const mine = one.content.parts()[Symbol.iterator]();
  for (const part of other.content.parts()) {
    const next = mine.next();
    if (next.done === true || Buffer.compare(next.value, part) !== 0) return false;
  }
  return mine.next().done === true;
}

/** Members by name, so that their order says nothing. */
const plain = ({ type, id, versionId, lastUpdated, deleted, owner, body, filing }: Version): string =>
  JSON.stringify([type, id, versionId, lastUpdated, deleted, owner, body, Object.entries(filing).sort()]);

/** An entry as a set: ranges have no order, and endless bounds are no JSON. */
const entryText = (entry: IndexEntry | undefined): string =>
  entry === undefined
    ? ''
    : [...entry.terms, ...entry.ranges.map((r) => `${r.param} ${r.lo} ${r.hi}`)].sort().join('\n');

/** `carnet migrate`: every version of every resource, with its bytes, from one store to another; again after an interruption, from where it was. */

import { systemGuard } from '../access/decision.ts';
import type { Deps } from '../app/deps.ts';
import { rebuildSpace } from '../app/facts.ts';
import { entryNow } from '../app/upkeep.ts';
import { EMPTY_ENTRY, type IndexEntry } from '../fhir/index-entry.ts';
import { type Key, refOf } from '../fhir/types.ts';
import type { ResourceStore, StoreUnit, Version } from '../ports/store.ts';
import type { ArchivedVersion, Upkeep } from '../ports/upkeep.ts';

export type Migration = {
  /** The application over the source: it says how a resource is indexed. */
  readonly deps: Deps;
  readonly from: ResourceStore & Upkeep;
  readonly to: ResourceStore & Upkeep;
  /** Moves what there is as it stood at one instant. */
  readonly asOneState: boolean;
};

/** So many versions, or characters of bodies, are written in one unit. */
const AT_ONCE = 100;
const CHARACTERS_AT_ONCE = 4_000_000;
/** So many resources are looked for in the other store with one question. */
const ASKED_AT_ONCE = 200;
const CHARACTERS_ASKED_AT_ONCE = 16_000_000;

type Item = ArchivedVersion & { readonly entry: IndexEntry };
/** All versions of one resource, in the order in which they were written. */
type Life = { readonly key: Key; readonly versions: readonly ArchivedVersion[] };

/** Moves what is not there yet; answers how many versions were written and how many were there already. */
export async function migrate(
  { deps, from, to, asOneState }: Migration,
  progress: (line: string) => void,
): Promise<{ readonly moved: number; readonly there: number }> {
  const { versions: of } = await from.counts();
  const count = { moved: 0, there: 0 };
  for await (const lives of inGroups(livesOf(from.archive({ asOneState })))) {
    // The versions of a resource go over in their order: what is there is the beginning.
    const held = await to.held(lives.map(({ key }) => key));
    const missing = lives.flatMap(({ versions }, i) => versions.slice(held[i] ?? 0));
    for (const piece of pieces(missing)) {
      await write(to, await indexed({ deps, from }, piece));
      count.moved += piece.length;
      progress(`versions: ${count.moved + count.there} of ${of}`);
    }
    count.there += lives.reduce((n, { versions }, i) => n + Math.min(versions.length, held[i] ?? 0), 0);
  }
  // Made of what is there now, so that rights and their sources are of one instant.
  for await (const person of from.spaces())
    await to.unit(async (unit) => unit.putSpace(person, await rebuildSpace(unit, person)));
  return count;
}

/** The versions of an archive, resource by resource. */
async function* livesOf(archive: AsyncIterable<ArchivedVersion>): AsyncIterable<Life> {
  let life: ArchivedVersion[] = [];
  for await (const item of archive) {
    const [first] = life;
    if (first !== undefined && refOf(first.version) !== refOf(item.version)) {
      yield { key: keyOf(first.version), versions: life };
      life = [];
    }
    life.push(item);
  }
  const [first] = life;
  if (first !== undefined) yield { key: keyOf(first.version), versions: life };
}

const keyOf = ({ type, id }: Version): Key => ({ type, id });

/** Some resources at a time, fewer where they are large. */
async function* inGroups(lives: AsyncIterable<Life>): AsyncIterable<readonly Life[]> {
  let group: Life[] = [];
  let characters = 0;
  for await (const life of lives) {
    group.push(life);
    for (const { version } of life.versions) characters += version.body.length;
    if (group.length < ASKED_AT_ONCE && characters < CHARACTERS_ASKED_AT_ONCE) continue;
    yield group;
    group = [];
    characters = 0;
  }
  if (group.length > 0) yield group;
}

/** What fits into one unit, and the rest. */
function* pieces(items: readonly ArchivedVersion[]): Iterable<readonly ArchivedVersion[]> {
  let piece: ArchivedVersion[] = [];
  let characters = 0;
  for (const item of items) {
    if (piece.length > 0 && (piece.length >= AT_ONCE || characters + item.version.body.length > CHARACTERS_AT_ONCE)) {
      yield piece;
      piece = [];
      characters = 0;
    }
    piece.push(item);
    characters += item.version.body.length;
  }
  if (piece.length > 0) yield piece;
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
      const staged = await to.stage(item.content.parts(), item.content.size);
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

/** What differs between the two, one sentence each: every version's body, record and bytes, every space. Both are opened whole. */
export async function* differences(
  { from, to, asOneState }: Omit<Migration, 'deps'>,
  progress: (line: string) => void,
): AsyncIterable<string> {
  const { versions: of } = await from.counts();
  let compared = 0;
  for await (const lives of inGroups(livesOf(from.archive({ asOneState })))) {
    const others = new Map<string, Life>();
    for await (const life of livesOf(to.archiveOf(lives.map(({ key }) => key)))) others.set(refOf(life.key), life);
    for (const life of lives) {
      yield* lifeDifferences(life, others.get(refOf(life.key)));
      compared += life.versions.length;
    }
    progress(`compared: ${compared} of ${of}`);
  }
  if ((await to.counts()).versions > compared) yield 'there are versions that the source has not';
  for await (const person of from.spaces()) {
    const read = (store: ResourceStore): Promise<string> =>
      store.unit(async (unit) => entryText(await unit.space(person)));
    if ((await read(from)) !== (await read(to))) yield `the space of ${person} is another`;
  }
}

async function* lifeDifferences({ versions }: Life, other: Life | undefined): AsyncIterable<string> {
  for (const [i, item] of versions.entries()) {
    const at = `${refOf(item.version)}/_history/${item.version.versionId}`;
    const there = other?.versions[i];
    if (there === undefined) yield `${at} is missing`;
    else if (!(await sameVersion(item, there))) yield `${at} is another`;
  }
  if ((other?.versions.length ?? 0) > versions.length && versions[0] !== undefined)
    yield `${refOf(versions[0].version)} has more versions than in the source`;
}

async function sameVersion(one: ArchivedVersion, other: ArchivedVersion): Promise<boolean> {
  if (plain(one.version) !== plain(other.version) || one.current !== other.current) return false;
  if (one.content === undefined || other.content === undefined) return one.content === other.content;
  if (one.content.sha1 !== other.content.sha1) return false;
  const mine = one.content.parts()[Symbol.asyncIterator]();
  for await (const part of other.content.parts()) {
    const next = await mine.next();
    if (next.done === true || Buffer.compare(next.value, part) !== 0) return false;
  }
  return (await mine.next()).done === true;
}

/** Members by name, so that their order says nothing. */
const plain = ({ type, id, versionId, lastUpdated, deleted, owner, body, filing }: Version): string =>
  JSON.stringify([type, id, versionId, lastUpdated, deleted, owner, body, Object.entries(filing).sort()]);

/** An entry as a set: ranges have no order, and endless bounds are no JSON. */
const entryText = (entry: IndexEntry | undefined): string =>
  entry === undefined
    ? ''
    : [...entry.terms, ...entry.ranges.map((r) => `${r.param} ${r.lo} ${r.hi}`)].sort().join('\n');

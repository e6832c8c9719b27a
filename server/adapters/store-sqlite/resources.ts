/** Reading and writing the rows of resources: the current row, its versions, and the person's space entry. */
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { Filing, Put, Version } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import type { Guard } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { condition, resourceScope } from './compile.ts';
import type { Database, Row } from './database.ts';
import { entryJson, facetsOf, type Reference } from './facets.ts';
import type { Inverted } from './inverted.ts';
import { isLocal, judge } from './judge.ts';
import { raw, type SqlValue, sql } from './sql.ts';
import type { Words } from './words.ts';

/** What every part of the adapter works with: one connection, its words, its index. */
export type Core = {
  readonly db: Database;
  readonly words: Words;
  readonly index: Inverted;
  /** Types whose index rows are written later, in batches. */
  readonly deferred: ReadonlySet<string>;
  /** Told how many index entries were put off (or, negative, written after all). */
  readonly putOff: (count: number) => void;
};

/** A resource as its row has it. */
export type Current = {
  readonly rid: number;
  readonly vid: number;
  readonly key: Key;
  readonly deleted: boolean;
  readonly updated: number;
  readonly owner: number | undefined;
  readonly marks: Uint8Array;
  readonly version: Row;
};

/** The columns of a version, in the order `versionOf` reads them. */
export const VERSION_COLUMNS = raw('v.no, v.updated, v.deleted, v.owner, v.body, v.filing');
export const VERSION_WIDTH = 6;

const CURRENT = `SELECT r.rid, r.vid, r.type, r.id, r.deleted, r.updated, r.owner, r.marks,
  ${VERSION_COLUMNS.text} FROM resource r CROSS JOIN version v ON v.vid = r.vid WHERE r.self = ((? << 32) | ?)`;

const text = (value: SqlValue | undefined): string => {
  if (typeof value !== 'string') throw new Error('the store holds a row of another shape');
  return value;
};
const bytes = (value: SqlValue | undefined): Uint8Array => {
  if (!(value instanceof Uint8Array)) throw new Error('the store holds a row of another shape');
  return value;
};

/** The current row of `key`, tombstones included. */
export function currentOf(core: Core, key: Key): Current | undefined {
  const type = core.words.findName(key.type);
  if (type === undefined) return undefined;
  const { hi, lo } = core.words.address(refOf(key));
  const row = core.db.statement(CURRENT).get(hi, lo);
  // The hash leads here, the address decides.
  if (row === undefined || row[2] !== type || row[3] !== key.id) return undefined;
  return {
    rid: Number(row[0]),
    vid: Number(row[1]),
    key,
    deleted: row[4] === 1,
    updated: Number(row[5]),
    owner: typeof row[6] === 'number' ? row[6] : undefined,
    marks: bytes(row[7]),
    version: row.slice(8),
  };
}

const REST = 'SELECT hashes, json(ranges), json(strings) FROM resource WHERE rid = ?';

/** What `judge` seldom needs of a row. */
function restOf(
  core: Core,
  rid: number,
): { readonly hashes: Uint8Array; readonly ranges: string; readonly strings: string } {
  const [hashes, ranges, strings] = core.db.statement(REST).get(rid) ?? [];
  return { hashes: bytes(hashes), ranges: text(ranges), strings: text(strings) };
}

/** A version from its columns (`VERSION_COLUMNS`). */
export function versionOf(core: Core, key: Key, row: Row): Version {
  const owner = row[3];
  const filing = text(row[5]);
  return {
    type: key.type,
    id: key.id,
    versionId: text(row[0]),
    lastUpdated: Number(row[1]),
    deleted: row[2] === 1,
    owner: typeof owner === 'number' ? core.words.refOfPerson(owner) : undefined,
    body: text(row[4]),
    // INVARIANT: `filing` is only ever written from a Filing.
    filing: filing === '{}' ? {} : (JSON.parse(filing) as Filing),
  };
}

/** Whether `p` holds for a current row, deleted or not. */
export function holdsFor(core: Core, current: Current, p: Predicate): boolean {
  const space = (): IndexEntry | undefined =>
    current.owner === undefined ? undefined : core.words.space(current.owner);
  if (isLocal(p)) {
    const owner = current.owner === undefined ? undefined : core.words.refOfPerson(current.owner);
    const { type, id } = current.key;
    const rest = (): ReturnType<typeof restOf> => restOf(core, current.rid);
    return judge(p, { type, id, owner, updated: current.updated, marks: current.marks, rest, space }, core.words.hash);
  }
  const scope = resourceScope(current.key.type, 0);
  const rest = specialise(p, space());
  indexPending(core, linkedTypes(rest, current.key.type));
  return (
    core.db.get(
      sql`SELECT 1 FROM resource ${raw(scope.alias)} WHERE ${raw(scope.alias)}.rid = ${current.rid} AND ${condition(rest, scope, core.words)}`,
    ) !== undefined
  );
}

/** The current row, when the guard lets it through. */
export function visible(core: Core, key: Key, guard: Guard): Current | undefined {
  if (guard.type !== key.type) return undefined;
  const current = currentOf(core, key);
  return current !== undefined && holdsFor(core, current, guard.residual) ? current : undefined;
}

/** The types whose links a condition on rows of `type` walks; everything else it asks is answered by the rows themselves. */
export function linkedTypes(p: Predicate, type: string): readonly string[] {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.flatMap((q) => linkedTypes(q, type));
    case 'not':
      return linkedTypes(p.of, type);
    case 'via':
      return [type, ...linkedTypes(p.hop.where, p.hop.type)];
    case 'from':
      return [p.hop.type, ...linkedTypes(p.hop.where, p.hop.type)];
    default:
      return [];
  }
}

/** The types a predicate steps to: a search may start at any of them. */
export function reachedTypes(p: Predicate): readonly string[] {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.flatMap(reachedTypes);
    case 'not':
      return reachedTypes(p.of);
    case 'via':
    case 'from':
      return [p.hop.type, ...reachedTypes(p.hop.where)];
    default:
      return [];
  }
}

const INSERT_VERSION =
  'INSERT INTO version (prev, no, updated, deleted, owner, filing, body) VALUES (?, ?, ?, ?, ?, ?, ?)';
const INSERT_RESOURCE = `INSERT INTO resource (rid, self, type, owner, deleted, updated, vid, id, marks, keys, hashes, ranges, strings)
  VALUES (?, (? << 32) | ?, ?, ?, ?, ?, ?, ?, ?, jsonb(?), ?, jsonb(?), jsonb(?))`;
const UPDATE_RESOURCE = 'UPDATE resource SET owner = ?, deleted = ?, updated = ?, vid = ? WHERE rid = ?';
const UPDATE_FACETS =
  'UPDATE resource SET marks = ?, keys = jsonb(?), hashes = ?, ranges = jsonb(?), strings = jsonb(?) WHERE rid = ?';

/** Writes a version. Throws when the current version has this id already. */
export function put(core: Core, next: Put): void {
  const { db, words } = core;
  const current = currentOf(core, next.key);
  if (current !== undefined && current.version[0] === next.versionId) {
    throw new Error(`version ${next.versionId} of ${refOf(next.key)} is there already`);
  }
  const owner = next.owner === undefined ? null : words.person(next.owner);
  const vid = db
    .statement(INSERT_VERSION)
    .run(
      current?.vid ?? null,
      next.versionId,
      next.lastUpdated,
      next.deleted ? 1 : 0,
      owner,
      JSON.stringify(next.filing),
      next.body,
    );
  if (current === undefined) {
    insert(core, next, { vid, owner });
    return;
  }
  db.statement(UPDATE_RESOURCE).run(owner, next.deleted ? 1 : 0, next.lastUpdated, vid, current.rid);
  // A tombstone is asked about what the resource was: with nothing new to say, its entry stays.
  if (next.deleted && next.entry.terms.length === 0) return;
  replaceEntry(core, current, next.entry);
}

function insert(core: Core, next: Put, at: { readonly vid: number; readonly owner: number | null }): void {
  const { db, words, index } = core;
  const type = next.key.type;
  const typeName = words.name(type);
  const self = words.address(refOf(next.key));
  const facets = facetsOf(type, next.entry, words.hash);
  const { marks, hashes, keys, ranges, strings, references } = facets;
  // The number of a resource is the number of its first version: nothing need be asked for.
  const rid = at.vid;
  db.statement(INSERT_RESOURCE).run(
    rid,
    self.hi,
    self.lo,
    typeName,
    at.owner,
    next.deleted ? 1 : 0,
    next.lastUpdated,
    at.vid,
    next.key.id,
    marks,
    keys,
    hashes,
    ranges,
    strings,
  );
  if (core.deferred.has(type)) {
    db.statement('INSERT INTO pending (type, rid, links) VALUES (?, ?, ?)').run(
      typeName,
      rid,
      JSON.stringify(references),
    );
    core.putOff(1);
  } else {
    index.add(type, rid, facets);
  }
}

function replaceEntry(core: Core, current: Current, entry: IndexEntry): void {
  const { type } = current.key;
  indexPending(core, [type]);
  const facets = facetsOf(type, entry, core.words.hash);
  core.index.replace(type, current.rid, {
    before: { marks: current.marks, ...restOf(core, current.rid) },
    now: facets,
  });
  core.db
    .statement(UPDATE_FACETS)
    .run(facets.marks, facets.keys, facets.hashes, facets.ranges, facets.strings, current.rid);
}

/** Changes what the server recorded about the current version, and its entry. Throws when there is no such resource. */
export function refile(core: Core, key: Key, change: { readonly filing: Filing; readonly entry: IndexEntry }): void {
  const current = currentOf(core, key);
  if (current === undefined) throw new Error(`${refOf(key)} cannot be refiled: it does not exist`);
  core.db.statement('UPDATE version SET filing = ? WHERE vid = ?').run(JSON.stringify(change.filing), current.vid);
  replaceEntry(core, current, change.entry);
}

/** Replaces the space entry of a person. */
export function putSpace(core: Core, ref: Ref, entry: IndexEntry): void {
  const { db, words, index } = core;
  const person = words.person(ref);
  const [marks, hashes, strings] =
    db.statement('SELECT marks, hashes, json(strings) FROM person WHERE id = ?').get(person) ?? [];
  const facets = facetsOf('', entry, words.hash);
  index.replace('', person, {
    before: { marks: bytes(marks), hashes: bytes(hashes), strings: text(strings) },
    now: facets,
  });
  db.statement(
    'UPDATE person SET entry = ?, marks = ?, hashes = ?, ranges = jsonb(?), strings = jsonb(?) WHERE id = ?',
  ).run(entryJson(entry), facets.marks, facets.hashes, facets.ranges, facets.strings, person);
}

/**
 * Writes the index rows that were put off, for some types: called before anything is looked for in them, inside the same transaction,
 * so putting off is never seen.
 */
export function indexPending(core: Core, types: readonly string[]): void {
  for (const type of new Set(types)) {
    const name = core.words.findName(type);
    if (name === undefined) continue;
    while (indexBatch(core, type, name) > 0);
  }
}

/** So many resources are indexed at once: neighbours in the index then share pages, and nobody waits long for it. */
const BATCH = 128;

/** Indexes one batch of pending resources of a type; answers how many. */
export function indexBatch(core: Core, type: string, name: number): number {
  const rows = core.db
    .statement(
      'SELECT p.rid, p.links, r.marks, r.hashes, json(r.strings) FROM pending p CROSS JOIN resource r ON r.rid = p.rid WHERE p.type = ? ORDER BY p.rid LIMIT ?',
    )
    .all(name, BATCH);
  for (const [rid, links, marks, hashes, strings] of rows) {
    // INVARIANT: `pending.links` is only ever written from References.
    const references = JSON.parse(text(links)) as readonly Reference[];
    core.index.add(type, Number(rid), {
      marks: bytes(marks),
      hashes: bytes(hashes),
      strings: text(strings),
      references,
    });
  }
  const last = rows.at(-1)?.[0];
  if (last !== undefined) core.db.statement('DELETE FROM pending WHERE type = ? AND rid <= ?').run(name, last);
  core.putOff(-rows.length);
  return rows.length;
}

/** Writing the rows of resources: a new version, what was recorded about one, and the person's space entry. */
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { Filing, Put } from '../../ports/store.ts';
import { blobOf, type Core, textOf } from './core.ts';
import { entryJson, facetsOf } from './facets.ts';
import { indexPending } from './pending.ts';
import { type Current, currentOf, restOf } from './resources.ts';

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
    before: { marks: blobOf(marks), hashes: blobOf(hashes), strings: textOf(strings) },
    now: facets,
  });
  db.statement(
    'UPDATE person SET entry = ?, marks = ?, hashes = ?, ranges = jsonb(?), strings = jsonb(?) WHERE id = ?',
  ).run(entryJson(entry), facets.marks, facets.hashes, facets.ranges, facets.strings, person);
}

/** Writing the rows of resources: a new version, what was recorded about one, and the person's space entry. */
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { Filing, Put } from '../../ports/store.ts';
import { reown } from './content.ts';
import { blobOf, type Core } from './core.ts';
import { entryJson, facetsOf, type Hidden, hiddenJson } from './facets.ts';
import { indexPending } from './pending.ts';
import { type Current, currentOf, restOf, versionOf } from './resources.ts';
import { type SealedRow, sealHidden, sealVersion } from './sealed.ts';
import { SPACE } from './words.ts';

const INSERT_VERSION = 'INSERT INTO version (prev, no, updated, deleted, owner, sealed) VALUES (?, ?, ?, ?, ?, ?)';
const INSERT_RESOURCE = `INSERT INTO resource (rid, self, type, owner, deleted, updated, vid, id, marks, keys, hashes, ranges, sealed)
  VALUES (?, (? << 32) | ?, ?, ?, ?, ?, ?, ?, ?, jsonb(?), ?, jsonb(?), ?)`;
const UPDATE_RESOURCE = 'UPDATE resource SET owner = ?, deleted = ?, updated = ?, vid = ? WHERE rid = ?';
const UPDATE_FACETS =
  'UPDATE resource SET marks = ?, keys = jsonb(?), hashes = ?, ranges = jsonb(?), sealed = ? WHERE rid = ?';

/** Writes a version. Throws when the current version has this id already. */
export function put(core: Core, next: Put): void {
  const { db, words } = core;
  const current = currentOf(core, next.key);
  if (current !== undefined && current.version[0] === next.versionId) {
    throw new Error(`version ${next.versionId} of ${refOf(next.key)} is there already`);
  }
  const owner = next.owner === undefined ? null : words.person(next.owner);
  const at = { key: next.key, no: next.versionId, updated: next.lastUpdated, deleted: next.deleted, owner: next.owner };
  const vid = db
    .statement(INSERT_VERSION)
    .run(
      current?.vid ?? null,
      next.versionId,
      next.lastUpdated,
      next.deleted ? 1 : 0,
      owner,
      sealVersion(db.vault, at, next),
    );
  if (current === undefined) {
    insert(core, next, { vid, owner });
    return;
  }
  const before = hiddenOf(core, current);
  if ((current.owner ?? null) !== owner) reown(core, current, owner);
  db.statement(UPDATE_RESOURCE).run(owner, next.deleted ? 1 : 0, next.lastUpdated, vid, current.rid);
  const row = { key: next.key, rid: current.rid, vid, owner: next.owner };
  // A tombstone is asked about what the resource was: with nothing new to say, its entry stays, sealed anew for the row as it is now.
  if (next.deleted && next.entry.terms.length === 0) {
    db.statement('UPDATE resource SET sealed = ? WHERE rid = ?').run(
      sealHidden(db.vault, row, hiddenJson(before)),
      current.rid,
    );
    return;
  }
  replaceEntry(core, current, { entry: next.entry, before, row });
}

/** The sealed values of a current row. */
const hiddenOf = (core: Core, current: Current): Hidden => restOf(core, current.rid).hidden();

function insert(core: Core, next: Put, at: { readonly vid: number; readonly owner: number | null }): void {
  const { db, words, index } = core;
  const type = next.key.type;
  const typeName = words.name(type);
  const self = words.address(refOf(next.key));
  const facets = facetsOf(type, next.entry, words.hash);
  const { marks, hashes, keys, ranges, hidden } = facets;
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
    sealHidden(db.vault, { key: next.key, rid, vid: at.vid, owner: next.owner }, hidden),
  );
  const starts = index.startsOf(type, facets);
  if (core.deferred.has(type)) {
    db.statement('INSERT INTO pending (type, rid, starts) VALUES (?, ?, ?)').run(typeName, rid, JSON.stringify(starts));
    core.putOff(1);
  } else {
    index.add(type, rid, { marks, hashes, starts });
  }
}

/** A new entry for a row; `row` is what its sealed values are bound to from now on. */
function replaceEntry(
  core: Core,
  current: Current,
  { entry, before, row }: { readonly entry: IndexEntry; readonly before: Hidden; readonly row: SealedRow },
): void {
  const { type } = current.key;
  indexPending(core, [type]);
  const facets = facetsOf(type, entry, core.words.hash);
  const { marks, hashes } = facets;
  core.index.replace(type, current.rid, {
    before: {
      marks: current.marks,
      hashes: restOf(core, current.rid).hashes,
      strings: Object.entries(before.strings).flatMap(([param, texts]) => texts.map((text) => ({ param, text }))),
    },
    now: { marks, hashes, starts: core.index.startsOf(type, facets) },
  });
  core.db
    .statement(UPDATE_FACETS)
    .run(marks, facets.keys, hashes, facets.ranges, sealHidden(core.db.vault, row, facets.hidden), current.rid);
}

/** Changes what the server recorded about the current version, and its entry. Throws when there is no such resource. */
export function refile(core: Core, key: Key, change: { readonly filing: Filing; readonly entry: IndexEntry }): void {
  const current = currentOf(core, key);
  if (current === undefined) throw new Error(`${refOf(key)} cannot be refiled: it does not exist`);
  const { db } = core;
  const { body, versionId, lastUpdated, deleted, owner } = versionOf(core, key, current.version);
  const at = { key, no: versionId, updated: lastUpdated, deleted, owner };
  db.statement('UPDATE version SET sealed = ? WHERE vid = ?').run(
    sealVersion(db.vault, at, { filing: change.filing, body }),
    current.vid,
  );
  const row = { key, rid: current.rid, vid: current.vid, owner };
  replaceEntry(core, current, { entry: change.entry, before: hiddenOf(core, current), row });
}

/** Replaces the space entry of a person. */
export function putSpace(core: Core, ref: Ref, entry: IndexEntry): void {
  const { db, words, index } = core;
  const person = words.person(ref);
  const [marks, hashes] = db.statement('SELECT marks, hashes FROM person WHERE id = ?').get(person) ?? [];
  const facets = facetsOf('', entry, words.hash);
  index.replace('', person, {
    before: { marks: blobOf(marks), hashes: blobOf(hashes), strings: [] },
    now: { marks: facets.marks, hashes: facets.hashes, starts: index.startsOf('', facets) },
  });
  db.statement('UPDATE person SET entry = ?, marks = ?, hashes = ?, ranges = jsonb(?) WHERE id = ?').run(
    db.vault.seal(ref, SPACE, entryJson(entry)),
    facets.marks,
    facets.hashes,
    facets.ranges,
    person,
  );
}

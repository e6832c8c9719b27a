/** What an operator does with the file: copies, inspection, destruction, export. Each step is a unit like any other, so the server goes on meanwhile. */
import { createHash } from 'node:crypto';
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, renameSync } from 'node:fs';
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { MasterKey } from '../../ports/master-key.ts';
import type { ArchivedVersion, Fault, FileCopies, Upkeep } from '../../ports/upkeep.ts';
import type { KeyFile } from '../vault/key-file.ts';
import { rewrapped, unwrapped } from '../vault/vault.ts';
import { describes } from '../vault/version.ts';
import { type Content, contentAt, partsOf } from './content.ts';
import { blobOf, type Core, textOf } from './core.ts';
import type { Row } from './database.ts';
import { facetsOf, hiddenJson, readHidden } from './facets.ts';
import type { GroupCommit } from './group-commit.ts';
import { indexPending } from './pending.ts';
import { currentOf, restOf, VERSION_COLUMNS, VERSION_WIDTH, versionOf } from './resources.ts';
import { ROW_BITS } from './schema.ts';
import { headOf, unpacked } from './term-hash.ts';

const BATCH = 200;

type Parts = { readonly core: Core; readonly keys: KeyFile; readonly commits: GroupCommit; readonly master: MasterKey };

export function upkeepOf({ core, keys, commits, master }: Parts): Upkeep & FileCopies {
  const { db, words } = core;
  const versionsAfter = `SELECT ${VERSION_COLUMNS.text}, v.vid, r.type, r.id, r.vid = v.vid FROM version v
    JOIN resource r ON r.rid = (WITH RECURSIVE first (vid, prev) AS (
      SELECT v.vid, v.prev UNION ALL SELECT x.vid, x.prev FROM first f CROSS JOIN version x ON x.vid = f.prev)
      SELECT vid FROM first WHERE prev IS NULL)
    WHERE v.vid > ? ORDER BY v.vid LIMIT ${BATCH}`;
  const count = (query: string): number => Number(db.statement(query).get()?.[0]);

  const keyOfRow = (row: Row): Key => ({
    type: words.textOfName(Number(row[VERSION_WIDTH + 1])),
    id: textOf(row[VERSION_WIDTH + 2]),
  });
  const contentOfVersion = (vid: number, key: Key): Content | undefined => {
    const [blob, sealed, person] = db.statement('SELECT blob, sealed, owner FROM content WHERE vid = ?').get(vid) ?? [];
    const owner = typeof person === 'number' ? words.refOfPerson(person) : undefined;
    return typeof blob === 'number' ? contentAt(core, { key, vid, blob, owner }, blobOf(sealed)) : undefined;
  };

  /** Faults of one version: it opens, is what its row says it is, and so are its bytes. */
  function* faultsOf(row: Row): Iterable<Fault> {
    const key = keyOfRow(row);
    const version = versionOf(core, key, row);
    const at = `${refOf(key)}/_history/${version.versionId}`;
    try {
      const named = describes(version);
      if (named !== undefined) yield { at, what: named };
      const vid = Number(row[VERSION_WIDTH]);
      const content = contentOfVersion(vid, key);
      if (content !== undefined) {
        const sha1 = createHash('sha1');
        for (const part of partsOf(core, content)) sha1.update(part);
        if (sha1.digest('base64') !== content.sha1) yield { at, what: 'its bytes are not those that were stored' };
      }
      if (row[VERSION_WIDTH + 3] === 1) restOf(core, currentOf(core, key)?.rid ?? -1).hidden();
    } catch (error) {
      // Of an owner who was before, and whose key is gone: nobody is shown it any more.
      if (version.owner !== undefined && row[VERSION_WIDTH + 3] !== 1 && keys.destroyed().includes(version.owner))
        return;
      yield { at, what: sentence(error) };
    }
  }

  function* keyFaults(): Iterable<Fault> {
    for (const { owner, ...key } of keys.all()) {
      try {
        unwrapped(master, owner, key);
      } catch (error) {
        yield { at: `the key of ${owner}`, what: sentence(error) };
      }
    }
  }

  function* spaceFaults(): Iterable<Fault> {
    for (const [id, ref] of db.statement('SELECT id, ref FROM person WHERE entry IS NOT NULL').all()) {
      try {
        words.space(Number(id));
      } catch (error) {
        yield { at: `the space of ${ref}`, what: sentence(error) };
      }
    }
  }

  /** Removes everything a person owns; needs no key. Bounded work at a time. */
  const erase = async (ref: Ref): Promise<number> => {
    const person = words.findPerson(ref);
    if (person === undefined) return 0;
    await commits.run((piece) => {
      piece.write();
      eraseSpace(core, person);
    });
    for (let erased = 0; ; ) {
      const some = await commits.run((piece) => {
        const rows = db
          .statement(`SELECT rid, type, vid, marks, hashes FROM resource WHERE owner = ? LIMIT ${BATCH}`)
          .all(person);
        if (rows.length === 0) return 0;
        piece.write();
        eraseResources(core, rows);
        return rows.length;
      });
      if (some === 0) return erased;
      erased += some;
    }
  };

  return {
    copyData(path) {
      copy(path, (draft) => db.raw.prepare('VACUUM INTO ?').run(draft));
    },
    copyKeys(path) {
      copy(path, (draft) => keys.copyTo(draft));
    },
    async *inspect(progress) {
      for (const [line] of db.statement('PRAGMA integrity_check(20)').all())
        if (line !== 'ok') yield { at: 'the store file', what: String(line) };
      if (db.statement('PRAGMA foreign_key_check').get() !== undefined)
        yield { at: 'the store file', what: 'a row names another that is not there' };
      yield* keyFaults();
      yield* spaceFaults();
      const of = count('SELECT count(*) FROM version');
      let done = 0;
      for (let after = 0; ; ) {
        const { faults, last, rows } = await commits.run(() => {
          const found = db.statement(versionsAfter).all(after);
          return {
            faults: found.flatMap((row) => [...faultsOf(row)]),
            last: found.at(-1)?.[VERSION_WIDTH],
            rows: found.length,
          };
        });
        yield* faults;
        done += rows;
        progress(done, of);
        if (typeof last !== 'number') break;
        after = last;
      }
      if (done !== of) yield { at: 'the store file', what: `${of - done} versions belong to no resource` };
    },
    differs: async (_unit, key, entry) => difference(core, key, entry),
    isShredded: async (person) => keys.destroyed().includes(person),
    async shred(person, at) {
      const destroyed = keys.destroy(person, at);
      db.vault.forget();
      return { keys: destroyed, resources: await erase(person) };
    },
    async eraseShredded() {
      let erased = 0;
      // INVARIANT: only persons, whose names are references, are ever shredded.
      for (const person of keys.destroyed()) erased += await erase(person as Ref);
      return erased;
    },
    async *archive() {
      for (let after = 0; ; ) {
        const rows = db.statement(`SELECT rid, vid FROM resource WHERE rid > ? ORDER BY rid LIMIT ${BATCH}`).all(after);
        for (const [rid, vid] of rows) yield* chainOf(Number(rid), Number(vid));
        const last = rows.at(-1)?.[0];
        if (typeof last !== 'number') return;
        after = last;
      }
    },
    async *archiveOf(resources) {
      for (const key of resources) {
        const current = currentOf(core, key);
        if (current !== undefined) yield* chainOf(current.rid, current.vid);
      }
    },
    held: async (resources) =>
      resources.map((key) => {
        const current = currentOf(core, key);
        return current === undefined ? 0 : chainRows(current.rid, current.vid).length;
      }),
    counts: async () => ({
      versions: count('SELECT count(*) FROM version'),
      resources: count('SELECT count(*) FROM resource'),
    }),
    async *spaces() {
      // INVARIANT: `person.ref` is only ever written from a Ref.
      for (const [ref] of db.statement('SELECT ref FROM person WHERE entry IS NOT NULL ORDER BY id').all())
        yield textOf(ref) as Ref;
    },
    async *rewrapKeys() {
      const by = master.current;
      keys.useMaster(by);
      for (;;) {
        const { all, other } = keys.count(by);
        yield { done: all - other, of: all };
        if (other === 0) return;
        keys.rewrap(by, BATCH, (owner, key) => rewrapped(master, owner, key, by));
      }
    },
  };

  /** The versions of a resource, the oldest first. */
  function chainRows(rid: number, vid: number): readonly Row[] {
    return db
      .statement(`WITH RECURSIVE chain (vid, step) AS (
        SELECT ?, 0 UNION ALL SELECT v.prev, c.step + 1 FROM chain c CROSS JOIN version v ON v.vid = c.vid WHERE v.prev IS NOT NULL)
        SELECT ${VERSION_COLUMNS.text}, v.vid, r.type, r.id, r.vid = v.vid
        FROM chain c CROSS JOIN version v ON v.vid = c.vid CROSS JOIN resource r ON r.rid = ? ORDER BY c.step DESC`)
      .all(vid, rid);
  }

  function* chainOf(rid: number, vid: number): Iterable<ArchivedVersion> {
    for (const row of chainRows(rid, vid)) yield archived(row);
  }

  function archived(row: Row): ArchivedVersion {
    const key = keyOfRow(row);
    const version = versionOf(core, key, row);
    const content = contentOfVersion(Number(row[VERSION_WIDTH]), key);
    return {
      version,
      current: row[VERSION_WIDTH + 3] === 1,
      ...(content === undefined
        ? {}
        : {
            content: {
              size: content.size,
              sha1: content.sha1,
              parts: async function* () {
                yield* partsOf(core, content);
              },
            },
          }),
    };
  }
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : 'cannot be read');

/** Writes to a name of its own, syncs, then gives it the name asked for: there is never half a copy. */
function copy(path: string, write: (draft: string) => void): void {
  if (existsSync(path)) throw new Error(`\`${path}\` is there already and is not written over`);
  const draft = `${path}.partial`;
  if (existsSync(draft)) throw new Error(`\`${draft}\` was left by a copy that did not end; remove it first`);
  write(draft);
  chmodSync(draft, 0o600);
  const file = openSync(draft, 'r+');
  fsyncSync(file);
  closeSync(file);
  renameSync(draft, path);
}

/** Compares what a row holds, and the rows of the inverted index, with an entry. */
function difference(core: Core, key: Key, entry: IndexEntry): string | undefined {
  indexPending(core, [key.type]);
  const current = currentOf(core, key);
  if (current === undefined) return 'it is not there';
  const rest = restOf(core, current.rid);
  const facets = facetsOf(key.type, entry, core.words.hash);
  const sorted = (bytes: Uint8Array): string =>
    unpacked(bytes)
      .map((h) => `${h.hi}:${h.lo}`)
      .sort()
      .join();
  if (sorted(current.marks) !== sorted(facets.marks))
    return 'the marks that guards ask about are not those of the resource';
  if (sorted(rest.hashes) !== sorted(facets.hashes)) return 'the terms of its index are not those of the resource';
  if (canonical(rest.ranges) !== canonical(facets.ranges))
    return 'the open ranges of its index are not those of the resource';
  if (canonical(hiddenJson(rest.hidden())) !== canonical(hiddenJson(readHidden(facets.hidden))))
    return 'the sealed values of its index are not those of the resource';
  const starts = core.index.startsOf(key.type, facets);
  const linked = new Set(starts.links.map(([, , , term]) => term));
  const { db } = core;
  for (const head of new Set([...unpacked(facets.marks), ...unpacked(facets.hashes)].map(headOf))) {
    if (linked.has(head)) continue;
    const found =
      db.statement(`SELECT 1 FROM term WHERE key = ((? << ${ROW_BITS}) | ?)`).get(head, current.rid) ??
      db.statement('SELECT 1 FROM common WHERE head = ?').get(head);
    if (found === undefined) return 'a term of it is not in the index';
  }
  for (const [param, hi, lo] of starts.links)
    if (
      db
        .statement('SELECT 1 FROM link WHERE rid = ? AND param = ? AND target = ((? << 32) | ?)')
        .get(current.rid, param, hi, lo) === undefined
    )
      return 'a reference of it is not in the index';
  for (const [hi, lo] of starts.strings)
    if (
      db.statement('SELECT 1 FROM str WHERE head = ((? << 32) | ?) AND rid = ?').get(hi, lo, current.rid) === undefined
    )
      return 'a beginning of a string of it is not in the index';
  return undefined;
}

/** JSON of objects of lists, whatever the order they were written in. */
const canonical = (json: string): string => {
  const sorted = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map((v) => JSON.stringify(v, endless)).sort()
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([k, v]) => [k, sorted(v)]),
          )
        : value;
  return json === '' ? '{}' : JSON.stringify(sorted(JSON.parse(json)), endless);
};
const endless = (_key: string, value: unknown): unknown => (typeof value === 'number' ? String(value) : value);

function deleteTerms(core: Core, row: number, packedHashes: readonly Uint8Array[]): void {
  const remove = core.db.statement(`DELETE FROM term WHERE key = ((? << ${ROW_BITS}) | ?)`);
  for (const hash of packedHashes.flatMap(unpacked)) remove.run(headOf(hash), row);
}

function eraseSpace(core: Core, person: number): void {
  const { db } = core;
  const [marks, hashes] = db.statement('SELECT marks, hashes FROM person WHERE id = ?').get(person) ?? [];
  deleteTerms(core, person, [blobOf(marks), blobOf(hashes)]);
  db.statement("UPDATE person SET entry = NULL, marks = x'', hashes = x'', ranges = jsonb('{}') WHERE id = ?").run(
    person,
  );
}

/** Removes resources with their versions, bytes and index rows. `rows`: rid, type, vid, marks, hashes. */
function eraseResources(core: Core, rows: readonly Row[]): void {
  const { db } = core;
  const rids = JSON.stringify(rows.map(([rid]) => rid));
  const chain = `WITH RECURSIVE chain (vid, prev) AS (SELECT vid, prev FROM version WHERE vid = ?
    UNION ALL SELECT v.vid, v.prev FROM chain c CROSS JOIN version v ON v.vid = c.prev) SELECT vid FROM chain`;
  const blobs = db.statement('SELECT blob FROM content WHERE vid = ?');
  for (const [rid, type, vid, marks, hashes] of rows) {
    deleteTerms(core, Number(rid), [blobOf(marks), blobOf(hashes)]);
    db.statement('DELETE FROM link WHERE rid = ?').run(rid ?? null);
    db.statement('DELETE FROM pending WHERE type = ? AND rid = ?').run(type ?? null, rid ?? null);
    db.statement('DELETE FROM resource WHERE rid = ?').run(rid ?? null);
    for (const [version] of db.statement(chain).all(vid ?? null)) {
      const [blob] = blobs.get(version ?? null) ?? [];
      db.statement('DELETE FROM content WHERE vid = ?').run(version ?? null);
      if (typeof blob === 'number') {
        db.statement('DELETE FROM chunk WHERE key >= ? * 1048576 AND key < (? + 1) * 1048576').run(blob, blob);
        db.statement('DELETE FROM blob WHERE id = ?').run(blob);
      }
      db.statement('DELETE FROM version WHERE vid = ?').run(version ?? null);
    }
  }
  // Which beginnings they had is sealed, and the key is gone: found by walking the index once.
  db.statement('DELETE FROM str WHERE rid IN (SELECT value FROM json_each(?))').run(rids);
}

/** Bytes in chunks: staged by streams, taken over by versions, read chunk by chunk. */
import { randomUUID } from 'node:crypto';
import type { Instant, Key, Ref } from '../../fhir/types.ts';
import { CHUNK_BYTES, type Upload } from '../../ports/store.ts';
import type { Guard } from '../../query/plan.ts';
import {
  type ContentRecord,
  contentBytes,
  MOST_CHUNKS,
  newContentKey,
  openChunk,
  readContentBytes,
  sealContent,
} from '../vault/content.ts';
import { contextOf, Unreadable } from '../vault/seal.ts';
import { blobOf, type Core } from './core.ts';
import type { Database } from './database.ts';
import type { GroupCommit } from './group-commit.ts';
import { type Current, currentOf, visible } from './resources.ts';
import { sql } from './sql.ts';

/** So many chunks are dropped in one piece of work: 16 MiB. */
const DROPPED_AT_ONCE = 64;

export type Content = ContentRecord & { readonly blob: number };

/** What a version's content row seals, for whom and of what: the blob's own key, its size, its SHA-1. */
export type ContentAt = {
  readonly key: Key;
  readonly vid: number;
  readonly blob: number;
  readonly owner: Ref | undefined;
};
const contentContext = ({ key, vid, blob }: ContentAt): string => contextOf('content', key.type, key.id, vid, blob);

/** The bytes of a current row: those of the newest version that took any over. A tombstone has none. */
function contentOf(core: Core, current: Current): Content | undefined {
  const { db, words } = core;
  if (current.deleted) return undefined;
  const row = db.get(sql`WITH RECURSIVE chain (vid, step) AS (
      SELECT ${current.vid}, 0 UNION ALL SELECT v.prev, c.step + 1 FROM chain c CROSS JOIN version v ON v.vid = c.vid WHERE v.prev IS NOT NULL)
    SELECT t.blob, t.sealed, t.vid, t.owner FROM chain c CROSS JOIN content t ON t.vid = c.vid ORDER BY c.step LIMIT 1`);
  if (row === undefined) return undefined;
  const owner = typeof row[3] === 'number' ? words.refOfPerson(row[3]) : undefined;
  return contentAt(core, { key: current.key, vid: Number(row[2]), blob: Number(row[0]), owner }, blobOf(row[1]));
}

/** What a content row seals. */
export function contentAt({ db }: Core, at: ContentAt, sealed: Uint8Array): Content {
  return { blob: at.blob, ...readContentBytes(db.vault.open(at.owner, contentContext(at), sealed)) };
}

/** One chunk of a content. Throws when it is not there, or does not open. */
function partOf({ db }: Core, content: Content, index: number): Uint8Array {
  const [data] = db.statement('SELECT data FROM chunk WHERE key = ?').get(content.blob * MOST_CHUNKS + index) ?? [];
  if (!(data instanceof Uint8Array)) throw new Unreadable('a part of the content is missing');
  const last = (index + 1) * CHUNK_BYTES >= content.size;
  return openChunk(content.key, { blob: content.blob, index, last }, data);
}

/** All the bytes of a content, chunk by chunk. */
export function* partsOf(core: Core, content: Content): Iterable<Uint8Array> {
  for (let index = 0; index * CHUNK_BYTES < content.size; index += 1) yield partOf(core, content, index);
}

/** Hands a complete staged upload to the current version of `key`. Throws when either is not there. */
export function attach(core: Core, key: Key, upload: string): void {
  const { db, words, uploads } = core;
  const current = currentOf(core, key);
  if (current === undefined) throw new Error('bytes were attached to a resource that does not exist');
  const [blob] = db.statement('SELECT id FROM blob WHERE upload = ? AND size IS NOT NULL').get(upload) ?? [];
  const staged = uploads.get(upload);
  if (typeof blob !== 'number' || staged === undefined) throw new Error('the staged upload is not there');
  const owner = current.owner === undefined ? undefined : words.refOfPerson(current.owner);
  const at = { key: { type: key.type, id: key.id }, vid: current.vid, blob, owner };
  const plain = contentBytes(staged.bytes, staged.size, staged.sha1);
  db.statement('UPDATE blob SET upload = NULL WHERE id = ?').run(blob);
  db.statement('INSERT INTO content (vid, blob, owner, sealed) VALUES (?, ?, ?, ?)').run(
    current.vid,
    blob,
    current.owner ?? null,
    db.vault.seal(owner, contentContext(at), plain),
  );
}

/** Makes the bytes of a resource an upload again, of before any other: its key goes with the content's row, so that nobody can attach it. */
export function detach(core: Core, key: Key): void {
  const current = currentOf(core, key);
  if (current === undefined) return;
  for (const [vid, blob] of contentRows(core, current)) {
    core.db.statement('DELETE FROM content WHERE vid = ?').run(vid ?? null);
    core.db.statement('UPDATE blob SET upload = ?, started = 0 WHERE id = ?').run(randomUUID(), blob ?? null);
  }
}

/** What every version of a resource took over: `vid`, `blob`, `owner`, `sealed`. */
const contentRows = ({ db }: Core, current: Current) =>
  db.all(sql`WITH RECURSIVE chain (vid) AS (
      SELECT ${current.vid} UNION ALL SELECT v.prev FROM chain c CROSS JOIN version v ON v.vid = c.vid WHERE v.prev IS NOT NULL)
    SELECT t.vid, t.blob, t.owner, t.sealed FROM chain c CROSS JOIN content t ON t.vid = c.vid`);

/** One chunk, judged now. Throws when one that must be there is not, or does not open. */
export function chunkOf(
  core: Core,
  key: Key,
  asked: { readonly guard: Guard; readonly index: number },
): Uint8Array | undefined {
  const current = visible(core, key, asked.guard);
  const content = current === undefined ? undefined : contentOf(core, current);
  if (content === undefined || !(asked.index >= 0 && asked.index * CHUNK_BYTES < content.size)) return undefined;
  return partOf(core, content, asked.index);
}

/**
 * Seals the bytes of a resource for its new owner: a Binary is nobody's until a document names it, and from then on goes with the person's key.
 * The bytes stay as they are.
 */
export function reown(core: Core, current: Current, owner: number | null): void {
  const { db, words } = core;
  const refOf = (person: unknown): Ref | undefined =>
    typeof person === 'number' ? words.refOfPerson(person) : undefined;
  for (const [vid, blob, before, sealed] of contentRows(core, current)) {
    const at = { key: { type: current.key.type, id: current.key.id }, vid: Number(vid), blob: Number(blob) };
    const context = contentContext({ ...at, owner: undefined });
    const plain = db.vault.open(refOf(before), context, blobOf(sealed));
    db.statement('UPDATE content SET owner = ?, sealed = ? WHERE vid = ?').run(
      owner,
      db.vault.seal(refOf(owner), context, plain),
      at.vid,
    );
  }
}

/** Size and SHA-1 of the current content. */
export function sizeOf(core: Core, key: Key): { readonly size: number; readonly sha1: string } | undefined {
  const current = currentOf(core, key);
  const content = current === undefined ? undefined : contentOf(core, current);
  return content === undefined ? undefined : { size: content.size, sha1: content.sha1 };
}

/** An upload on its way: its key lies in memory alone until a person's key seals it. */
export type Staged = {
  readonly bytes: Buffer;
  readonly started: Instant;
  readonly size: number;
  readonly sha1: string;
};
export type Uploads = Map<string, Staged>;

export type Staging = {
  stage(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Upload>;
  discard(upload: string): Promise<void>;
  sweep(before: Instant): Promise<number>;
};

/** Uploads on their way in, written through the same queue as everything else, one chunk at a time. */
export function staging(
  { db, uploads }: { readonly db: Database; readonly uploads: Uploads },
  commits: GroupCommit,
  now: () => Instant,
): Staging {
  const insertBlob = db.statement('INSERT INTO blob (upload, started) VALUES (?, ?)');
  const insertChunk = db.statement('INSERT INTO chunk (key, data) VALUES (?, ?)');
  const finish = db.statement('UPDATE blob SET size = ? WHERE id = ? AND upload IS NOT NULL');
  const find = db.statement('SELECT id FROM blob WHERE upload = ?');
  const stale = db.statement('SELECT upload FROM blob WHERE upload IS NOT NULL AND started < ?');
  const lastChunk = db.statement('SELECT max(key) FROM chunk WHERE key >= ? AND key < ?');
  const deleteChunks = db.statement('DELETE FROM chunk WHERE key > ? AND key <= ?');
  const deleteBlob = db.statement('DELETE FROM blob WHERE id = ?');

  /** Drops an upload from its end, a bounded part at a time; answers whether it was there and staged. */
  const drop = async (upload: string): Promise<boolean> => {
    uploads.delete(upload);
    for (let found = false; ; found = true) {
      const done = await commits.run((piece) => {
        const [blob] = find.get(upload) ?? [];
        if (typeof blob !== 'number') return 'gone';
        piece.write();
        const first = blob * MOST_CHUNKS;
        const [last] = lastChunk.get(first, first + MOST_CHUNKS) ?? [];
        if (typeof last === 'number') deleteChunks.run(Math.max(first - 1, last - DROPPED_AT_ONCE), last);
        if (typeof last === 'number' && last - DROPPED_AT_ONCE >= first) return 'more';
        deleteBlob.run(blob);
        return 'dropped';
      });
      if (done !== 'more') return found || done === 'dropped';
    }
  };

  const receive = async (upload: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Upload> => {
    const blob = await commits.run((piece) => {
      piece.write();
      return insertBlob.run(upload, now());
    });
    const started = now();
    const { bytes, key } = newContentKey();
    const { size, sha1 } = await sealContent(source, {
      blob,
      key,
      maxBytes,
      keep: (index, data) =>
        commits.run((piece) => {
          piece.write();
          // Swept or discarded meanwhile: what comes now would belong to nobody.
          if (find.get(upload) === undefined) throw new Error('the staged upload is not there');
          insertChunk.run(blob * MOST_CHUNKS + index, data);
        }),
    });
    await commits.run((piece) => {
      piece.write();
      if (find.get(upload) === undefined) throw new Error('the staged upload is not there');
      finish.run(size, blob);
    });
    uploads.set(upload, { bytes, started, size, sha1 });
    return { id: upload, size, sha1 };
  };

  return {
    async stage(source, maxBytes) {
      const upload = randomUUID();
      try {
        return await receive(upload, source, maxBytes);
      } catch (error) {
        // Should this fail as well, the sweep finds what is left.
        await drop(upload).catch(() => false);
        throw error;
      }
    },
    async discard(upload) {
      await drop(upload);
    },
    async sweep(before) {
      const old = await commits.run(() => stale.all(before));
      // Those that were attached need their key no more.
      for (const [upload, { started }] of uploads) if (started < before) uploads.delete(upload);
      let dropped = 0;
      for (const [upload] of old) if (typeof upload === 'string' && (await drop(upload))) dropped += 1;
      return dropped;
    },
  };
}

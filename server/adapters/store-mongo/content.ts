/** Bytes in chunks: staged by streams, taken over by versions, read chunk by chunk. */
import { randomUUID } from 'node:crypto';
import { type Instant, type Key, refOf } from '../../fhir/types.ts';
import { CHUNK_BYTES, type Upload } from '../../ports/store.ts';
import {
  type ContentRecord,
  contentBytes,
  newContentKey,
  openChunk,
  readContentBytes,
  sealContent,
} from '../vault/content.ts';
import type { KeyOf } from '../vault/key-ring.ts';
import { Unreadable } from '../vault/seal.ts';
import { asUnavailable } from './faults.ts';
import type { Collections, Content, CurrentDocument } from './schema.ts';
import { bytesOf, contexts, openPiece, sealPiece } from './sealed.ts';
import { currentOf, keysFor, type Sight, sealingKey } from './sight.ts';

export const chunkId = (upload: string, index: number): string => `${upload}/${index}`;

/** A content with where it lies. */
export type OpenContent = ContentRecord & { readonly upload: string };

/** What is known of the content of a current document. A tombstone has none. */
export const contentOf = (sight: Sight, doc: CurrentDocument): Promise<OpenContent | undefined> =>
  doc.deleted || doc.content === null ? Promise.resolve(undefined) : openedContent(sight, doc, doc.content);

async function openedContent(sight: Sight, doc: CurrentDocument, content: Content): Promise<OpenContent> {
  const { owner } = doc;
  const sealed = bytesOf(content.sealed);
  return contentWith(await keysFor(sight, [{ owner, sealed }]), doc, content);
}

/** The same with keys that are at hand. */
export function contentWith(
  keyOf: KeyOf,
  doc: Pick<CurrentDocument, 'type' | 'id' | 'owner'>,
  { upload, sealed }: Content,
): OpenContent {
  const context = contexts.content(doc, upload);
  return { upload, ...readContentBytes(openPiece(keyOf, doc.owner, { context, sealed: bytesOf(sealed) })) };
}

/**
 * The content of a document for its next owner: a Binary is nobody's until a document names it, and from then on goes with the person's key. The bytes
 * stay as they are.
 */
export async function contentFor(sight: Sight, before: CurrentDocument, owner: string | null): Promise<Content | null> {
  const { content } = before;
  if (content === null || before.owner === owner) return content;
  const sealed = bytesOf(content.sealed);
  const context = contexts.content(before, content.upload);
  const plain = openPiece(await keysFor(sight, [{ owner: before.owner, sealed }]), before.owner, { context, sealed });
  return { ...content, sealed: sealPiece(await sealingKey(sight, owner), owner, { context, plain }) };
}

/** Hands a complete staged upload to the current version of `key`. Throws when either is not there. */
export async function attach(sight: Sight, key: Key, upload: string): Promise<void> {
  const { session } = sight.attempt;
  const doc = await currentOf(sight, key);
  if (doc === undefined) throw new Error('bytes were attached to a resource that does not exist');
  const taken = await sight.collections.upload.deleteOne({ _id: upload, complete: true, dropped: false }, { session });
  const staged = sight.uploads.get(upload);
  if (taken.deletedCount === 0 || staged === undefined) throw new Error('the staged upload is not there');
  const sealed = sealPiece(await sealingKey(sight, doc.owner), doc.owner, {
    context: contexts.content(key, upload),
    plain: contentBytes(staged.bytes, staged.size, staged.sha1),
  });
  const content = { upload, no: doc.no, sealed };
  await sight.collections.current.updateOne({ _id: refOf(key), place: doc.place }, { $set: { content } }, { session });
  sight.documents.set(refOf(key), { ...doc, content });
}

/** Makes the bytes of a resource an upload again, of before any other, and one that is being dropped: nobody can attach it. */
export async function detach(sight: Sight, key: Key): Promise<void> {
  const { session } = sight.attempt;
  const doc = await currentOf(sight, key);
  if (doc === undefined || doc.content === null) return;
  const { upload } = doc.content;
  await sight.collections.upload.insertOne({ _id: upload, started: 0, complete: true, dropped: true }, { session });
  await sight.collections.current.updateOne(
    { _id: doc._id, place: doc.place },
    { $set: { content: null } },
    { session },
  );
  sight.documents.set(doc._id, { ...doc, content: null });
}

/** One chunk of a resource that may be seen. Throws when one that must be there is not, or does not open. */
export async function chunkOf(sight: Sight, doc: CurrentDocument, index: number): Promise<Uint8Array | undefined> {
  const content = await contentOf(sight, doc);
  if (content === undefined || !(index >= 0 && index * CHUNK_BYTES < content.size)) return undefined;
  const found = await sight.collections.chunk.findOne(
    { _id: chunkId(content.upload, index) },
    { session: sight.attempt.session },
  );
  return openedChunk(content, index, found?.data);
}

/** A chunk as it was stored. */
export function openedChunk(content: OpenContent, index: number, data: unknown): Uint8Array {
  if (!(data instanceof Uint8Array)) throw new Unreadable('a part of the content is missing');
  const last = (index + 1) * CHUNK_BYTES >= content.size;
  return openChunk(content.key, { blob: content.upload, index, last }, data);
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

/** Uploads on their way in, one chunk at a time, each acknowledged by a majority. */
export function staging({ upload: uploads, chunk: chunks }: Collections, kept: Uploads, now: () => Instant): Staging {
  // `0` is the character after `/`.
  const dropChunks = (upload: string) => chunks.deleteMany({ _id: { $gte: `${upload}/`, $lt: `${upload}0` } });
  /**
   * Drops a staged upload; answers whether it was there. It is closed first, so that nobody takes it, and its record goes last, so that a sweep
   * finds what was left half done.
   */
  const drop = async (upload: string): Promise<boolean> => {
    kept.delete(upload);
    const { matchedCount } = await uploads.updateOne({ _id: upload }, { $set: { dropped: true } });
    if (matchedCount === 0) return false;
    await dropChunks(upload);
    await uploads.deleteOne({ _id: upload });
    return true;
  };

  const receive = async (upload: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Upload> => {
    const started = now();
    await uploads.insertOne({ _id: upload, started, complete: false, dropped: false });
    const { bytes, key } = newContentKey();
    const { size, sha1 } = await sealContent(source, {
      blob: upload,
      key,
      maxBytes,
      keep: async (index, data) => {
        await chunks.insertOne({ _id: chunkId(upload, index), data });
      },
    });
    const { matchedCount } = await uploads.updateOne({ _id: upload, dropped: false }, { $set: { complete: true } });
    // Swept or discarded meanwhile: what came belongs to nobody.
    if (matchedCount === 0) throw new Error('the staged upload is not there');
    kept.set(upload, { bytes, started, size, sha1 });
    return { id: upload, size, sha1 };
  };

  const available = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw asUnavailable(error);
    }
  };

  return {
    stage: (source, maxBytes) =>
      available(async () => {
        const upload = randomUUID();
        try {
          return await receive(upload, source, maxBytes);
        } catch (error) {
          // Should this fail as well, the sweep finds what is left.
          await drop(upload)
            // Swept meanwhile: what came after that has no record any more.
            .then(() => dropChunks(upload))
            .catch(() => undefined);
          throw error;
        }
      }),
    discard: (upload) =>
      available(async () => {
        await drop(upload);
      }),
    sweep: (before) =>
      available(async () => {
        // Those that were attached need their key no more.
        for (const [upload, { started }] of kept) if (started < before) kept.delete(upload);
        const stale = await uploads.find({ started: { $lt: before } }, { projection: { _id: 1 } }).toArray();
        let dropped = 0;
        for (const { _id } of stale) if (await drop(_id)) dropped += 1;
        return dropped;
      }),
  };
}

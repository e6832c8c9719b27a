/** Bytes in chunks: staged by streams, taken over by versions, read chunk by chunk. */
import { createHash, randomUUID } from 'node:crypto';
import { type Instant, type Key, refOf } from '../../fhir/types.ts';
import { CHUNK_BYTES, type Upload, UploadTooLarge } from '../../ports/store.ts';
import { chunkRead, chunkStored } from './documents.ts';
import { asUnavailable } from './faults.ts';
import type { Collections, CurrentDocument } from './schema.ts';
import { currentOf, type Sight } from './sight.ts';

/** More chunks than this are not counted on: 256 GiB in one content. */
const CHUNKS = 2 ** 20;

const chunkId = (upload: string, index: number): string => `${upload}/${index}`;

/** Hands a complete staged upload to the current version of `key`. Throws when either is not there. */
export async function attach(sight: Sight, key: Key, upload: string): Promise<void> {
  const { session } = sight.attempt;
  const doc = await currentOf(sight, key);
  if (doc === undefined) throw new Error('bytes were attached to a resource that does not exist');
  const staged = await sight.collections.upload.findOneAndDelete({ _id: upload, sha1: { $ne: null } }, { session });
  if (staged === null || staged.sha1 === null) throw new Error('the staged upload is not there');
  const content = { upload, size: staged.size, sha1: staged.sha1 };
  await sight.collections.current.updateOne({ _id: refOf(key), place: doc.place }, { $set: { content } }, { session });
  sight.documents.set(refOf(key), { ...doc, content });
}

/** Makes the bytes of a resource an upload again, of before any other, and one that is being dropped: nobody can attach it. */
export async function detach(sight: Sight, key: Key): Promise<void> {
  const { session } = sight.attempt;
  const doc = await currentOf(sight, key);
  if (doc === undefined || doc.content === null) return;
  const { upload, size } = doc.content;
  await sight.collections.upload.insertOne({ _id: upload, started: 0, size, sha1: null, dropped: true }, { session });
  await sight.collections.current.updateOne(
    { _id: doc._id, place: doc.place },
    { $set: { content: null } },
    { session },
  );
  sight.documents.set(doc._id, { ...doc, content: null });
}

/** One chunk of a resource that may be seen. A tombstone has none. */
export async function chunkOf(sight: Sight, doc: CurrentDocument, index: number): Promise<Uint8Array | undefined> {
  if (doc.deleted || doc.content === null || !(index >= 0 && index < CHUNKS)) return undefined;
  const found = await sight.collections.chunk.findOne(
    { _id: chunkId(doc.content.upload, index) },
    { session: sight.attempt.session },
  );
  return found === null ? undefined : chunkRead(found.data);
}

export type Staging = {
  stage(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Upload>;
  discard(upload: string): Promise<void>;
  sweep(before: Instant): Promise<number>;
};

/** Uploads on their way in, one chunk at a time, each acknowledged by a majority. */
export function staging({ upload: uploads, chunk: chunks }: Collections, now: () => Instant): Staging {
  // `0` is the character after `/`.
  const dropChunks = (upload: string) => chunks.deleteMany({ _id: { $gte: `${upload}/`, $lt: `${upload}0` } });
  /**
   * Drops a staged upload; answers whether it was there. It is closed first, so that nobody takes it, and its record goes last, so that a sweep
   * finds what was left half done.
   */
  const drop = async (upload: string): Promise<boolean> => {
    const { matchedCount } = await uploads.updateOne({ _id: upload }, { $set: { sha1: null, dropped: true } });
    if (matchedCount === 0) return false;
    await dropChunks(upload);
    await uploads.deleteOne({ _id: upload });
    return true;
  };

  const receive = async (upload: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Upload> => {
    await uploads.insertOne({ _id: upload, started: now(), size: 0, sha1: null, dropped: false });
    const sha1 = createHash('sha1');
    let size = 0;
    let index = 0;
    let filled = 0;
    let buffer = new Uint8Array(CHUNK_BYTES);
    const flush = async (): Promise<void> => {
      if (filled === 0) return;
      if (index >= CHUNKS) throw new UploadTooLarge('the content has too many chunks');
      await chunks.insertOne({ _id: chunkId(upload, index), data: chunkStored(buffer.subarray(0, filled)) });
      buffer = new Uint8Array(CHUNK_BYTES);
      filled = 0;
      index += 1;
    };
    for await (const part of source) {
      size += part.byteLength;
      if (size > maxBytes) throw new UploadTooLarge(`the content is larger than ${maxBytes} bytes`);
      sha1.update(part);
      for (let at = 0; at < part.byteLength; ) {
        const taken = Math.min(part.byteLength - at, CHUNK_BYTES - filled);
        buffer.set(part.subarray(at, at + taken), filled);
        filled += taken;
        at += taken;
        if (filled === CHUNK_BYTES) await flush();
      }
    }
    await flush();
    const digest = sha1.digest('base64');
    const { matchedCount } = await uploads.updateOne({ _id: upload, dropped: false }, { $set: { size, sha1: digest } });
    // Swept or discarded meanwhile: what came belongs to nobody.
    if (matchedCount === 0) throw new Error('the staged upload is not there');
    return { id: upload, size, sha1: digest };
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
        const stale = await uploads.find({ started: { $lt: before } }, { projection: { _id: 1 } }).toArray();
        let dropped = 0;
        for (const { _id } of stale) if (await drop(_id)) dropped += 1;
        return dropped;
      }),
  };
}

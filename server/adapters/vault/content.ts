/** Bytes of a Binary as they are sealed: in chunks, by a key of their own, which the owner's key seals with their size and SHA-1. */
import { createHash } from 'node:crypto';
import { CHUNK_BYTES, UploadTooLarge } from '../../ports/store.ts';
import { contextOf, type DataKey, KEY_BYTES, keyFrom, newKey, open, seal } from './seal.ts';

const CONTENT_KEY = 1;

/** The key of one content, and the bytes that are sealed for its owner once it has one. */
export type ContentKey = { readonly bytes: Buffer; readonly key: DataKey };
export const newContentKey = (): ContentKey => {
  const bytes = newKey();
  return { bytes, key: keyFrom(bytes, CONTENT_KEY) };
};

/** What is known of a content. */
export type ContentRecord = { readonly size: number; readonly sha1: string; readonly key: DataKey };

/** A record as it is sealed. */
export const contentBytes = (key: Uint8Array, size: number, sha1: string): Buffer =>
  Buffer.concat([key, Buffer.from(`${size} ${sha1}`)]);

/** What `contentBytes` made. */
export function readContentBytes(plain: Buffer): ContentRecord {
  const [size, sha1] = plain.subarray(KEY_BYTES).toString().split(' ');
  return { size: Number(size), sha1: sha1 ?? '', key: keyFrom(plain.subarray(0, KEY_BYTES), CONTENT_KEY) };
}

/** Where a chunk belongs: nothing can be cut off, repeated or exchanged, for the last one says that it is. */
export type ChunkPlace = { readonly blob: string | number; readonly index: number; readonly last: boolean };
const chunkContext = ({ blob, index, last }: ChunkPlace): string =>
  contextOf('chunk', blob, index, last ? 'last' : 'more');

export const sealChunk = (key: DataKey, at: ChunkPlace, bytes: Uint8Array): Uint8Array =>
  seal(key, chunkContext(at), bytes);
/** Throws an `Unreadable` when it was altered, or lies in another place than its own. */
export const openChunk = (key: DataKey, at: ChunkPlace, sealed: Uint8Array): Uint8Array =>
  open(key, chunkContext(at), sealed);

/** A content has fewer chunks than this: 256 GiB. */
export const MOST_CHUNKS = 2 ** 20;

/** One content on its way in: as what its chunks are sealed, how large it may be in bytes, and where each of them goes. */
export type Intake = {
  readonly blob: ChunkPlace['blob'];
  readonly key: DataKey;
  readonly maxBytes: number;
  /** Keeps a sealed chunk; the next is made once it is kept. */
  readonly keep: (index: number, sealed: Uint8Array) => Promise<void>;
};

/** Seals what `source` brings chunk by chunk, one in memory at a time. Throws an `UploadTooLarge` as soon as it is. */
export async function sealContent(
  source: AsyncIterable<Uint8Array>,
  { blob, key, maxBytes, keep }: Intake,
): Promise<{ readonly size: number; readonly sha1: string }> {
  const sha1 = createHash('sha1');
  let size = 0;
  let index = 0;
  let filled = 0;
  // Sealing copies, so that one buffer serves the whole content.
  const buffer = new Uint8Array(CHUNK_BYTES);
  const flush = async (last: boolean): Promise<void> => {
    if (filled === 0) return;
    if (index >= MOST_CHUNKS) throw new UploadTooLarge('the content has too many chunks');
    await keep(index, sealChunk(key, { blob, index, last }, buffer.subarray(0, filled)));
    filled = 0;
    index += 1;
  };
  for await (const part of source) {
    size += part.byteLength;
    if (size > maxBytes) throw new UploadTooLarge(`the content is larger than ${maxBytes} bytes`);
    sha1.update(part);
    for (let at = 0; at < part.byteLength; ) {
      // A full chunk waits for the byte after it: only the last one is sealed as the last.
      if (filled === CHUNK_BYTES) await flush(false);
      const taken = Math.min(part.byteLength - at, CHUNK_BYTES - filled);
      buffer.set(part.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
    }
  }
  await flush(true);
  return { size, sha1: sha1.digest('base64') };
}

/** Bytes of a Binary as they are sealed: in chunks, by a key of their own, which the owner's key seals with their size and SHA-1. */
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

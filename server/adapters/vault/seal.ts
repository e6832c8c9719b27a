/**
 * AES-256-GCM over one piece of data (NIST SP 800-38D). Sealed bytes: format (1), version of the key (4, big-endian), nonce (12), ciphertext,
 * tag (16). The nonce is random: 2^32 uses of one key are allowed, and a person's key stays far below. What a piece is and where it belongs is
 * associated data, so that it opens in its own place and in no other.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';

const FORMAT = 1;
const VERSION_AT = 1;
const NONCE_AT = 5;
const NONCE_BYTES = 12;
const DATA_AT = NONCE_AT + NONCE_BYTES;
const TAG_BYTES = 16;
export const KEY_BYTES = 32;

/** A key and its number among those its owner has had. */
export type DataKey = { readonly version: number; readonly key: KeyObject };

/** A piece that does not open: altered, moved, cut, or sealed with a key that is destroyed. Never says what it held. */
export class Unreadable extends Error {}

/** The associated data of a piece: its parts in order, none of which may hold the separator. */
export function contextOf(...parts: readonly (string | number)[]): string {
  for (const part of parts)
    if (typeof part === 'string' && part.includes('\0')) throw new TypeError('a name holds NUL');
  return parts.join('\0');
}

/** A context within another: `outer` is one name, so that the two cannot be taken for a third. */
export const within = (outer: string | number, context: string): string => `${contextOf(outer)}\0${context}`;

// One draw serves many nonces: a call into the generator costs as much as the cipher.
const POOL_BYTES = NONCE_BYTES * 256;
let pool = Buffer.alloc(0);
let taken = 0;
function nextNonce(): Buffer {
  if (taken >= pool.length) {
    pool = randomBytes(POOL_BYTES);
    taken = 0;
  }
  taken += NONCE_BYTES;
  return pool.subarray(taken - NONCE_BYTES, taken);
}

/** Seals text (as UTF-8) or bytes for `context`. */
export function seal({ version, key }: DataKey, context: string, plain: string | Uint8Array): Uint8Array {
  const nonce = nextNonce();
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(within(version, context)));
  const data = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
  cipher.final();
  const sealed = Buffer.allocUnsafe(DATA_AT + data.length + TAG_BYTES);
  sealed[0] = FORMAT;
  sealed.writeUInt32BE(version, VERSION_AT);
  nonce.copy(sealed, NONCE_AT);
  data.copy(sealed, DATA_AT);
  cipher.getAuthTag().copy(sealed, DATA_AT + data.length);
  return sealed;
}

/** The version of the key that sealed this. Throws an `Unreadable` for what nobody sealed. */
export function versionOfKey(sealed: Uint8Array): number {
  if (sealed.length < DATA_AT + TAG_BYTES || sealed[0] !== FORMAT)
    throw new Unreadable('what is stored was not sealed by this server');
  return new DataView(sealed.buffer, sealed.byteOffset).getUint32(VERSION_AT);
}

/** Opens what was sealed for the same context. Throws an `Unreadable` in every other case. */
export function open({ version, key }: DataKey, context: string, sealed: Uint8Array): Buffer {
  if (versionOfKey(sealed) !== version) throw new Unreadable('what is stored was sealed with another key');
  const end = sealed.length - TAG_BYTES;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(NONCE_AT, DATA_AT))
      .setAAD(Buffer.from(within(version, context)))
      .setAuthTag(sealed.subarray(end));
    const plain = decipher.update(sealed.subarray(DATA_AT, end));
    decipher.final();
    return plain;
  } catch {
    throw new Unreadable('what is stored was altered or moved');
  }
}

/** What tells one sealing from any other: its nonce. A memory of opened pieces goes by it. */
export const markOf = (sealed: Uint8Array): string =>
  Buffer.from(sealed.buffer, sealed.byteOffset + NONCE_AT, NONCE_BYTES).toString('latin1');

/** A new random key. */
export const newKey = (): Buffer => randomBytes(KEY_BYTES);

/** Bytes as a key. */
export function keyFrom(bytes: Uint8Array, version: number): DataKey {
  if (bytes.length !== KEY_BYTES) throw new Unreadable('a key has another length');
  return { version, key: createSecretKey(bytes) };
}

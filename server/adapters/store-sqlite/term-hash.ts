import { hash } from 'node:crypto';
import { type Recent, recent } from './recent.ts';

/**
 * The name of a term inside one database: 64 bits of SHA-256 over the key of the blind index and the text. Keyed, so that nobody can prepare two
 * terms that collide, and so that the index of a stolen file spells out no codes and names: the key lies wrapped in the key file (`vault.ts`).
 * Two halves as unsigned 32-bit numbers: a JavaScript number cannot hold all 64 bits.
 */
export type TermHash = { readonly hi: number; readonly lo: number };

/** The hash of a term `param=value` of a resource of `type`; a space entry has the empty type. */
export type TermHasher = (type: string, text: string) => TermHash;

/** The type under which addresses (`Type/id`) are hashed: no resource has it. */
export const ADDRESS = '\0';
/** The same for the beginnings of strings, and for names of parameters. */
export const HEAD = '\u0001';
export const NAME = '\u0002';

/** Most terms repeat (codes, statuses, the same professionals), so a bounded number of them is remembered for each type. */
const REMEMBERED = 5_000;

/** `key` is the key of the blind index as hexadecimal text. */
export function termHasher(key: string): TermHasher {
  const types = new Map<string, Recent<string, TermHash>>();
  const ofType = (type: string): Recent<string, TermHash> => {
    const made = recent<string, TermHash>(REMEMBERED);
    types.set(type, made);
    return made;
  };
  return (type, text) => {
    const known = types.get(type) ?? ofType(type);
    const seen = known.get(text);
    if (seen !== undefined) return seen;
    const digest = hash('sha256', `${key}${type}\0${text}`, 'binary');
    const made: TermHash = { hi: word(digest, 0), lo: word(digest, 4) };
    known.set(text, made);
    return made;
  };
}

/** Four bytes of a binary string as one unsigned number. */
const word = (bytes: string, at: number): number =>
  ((bytes.charCodeAt(at) << 24) |
    (bytes.charCodeAt(at + 1) << 16) |
    (bytes.charCodeAt(at + 2) << 8) |
    bytes.charCodeAt(at + 3)) >>>
  0;

/**
 * The part of a hash that the inverted index is ordered by: 35 bits, which leave 28 for the row number in one
 * 63-bit integer key (`schema.ts`). A row found by it is always checked against the full 64 bits.
 */
export const headOf = (h: TermHash): number => h.hi * 8 + (h.lo >>> 29);

/** The hash as it stands in a `hashes` column: 8 bytes, big-endian. */
export function bytesOf(h: TermHash): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, h.hi);
  view.setUint32(4, h.lo);
  return bytes;
}

/** Many hashes, one after another. */
export function packed(hashes: readonly TermHash[]): Uint8Array {
  const bytes = new Uint8Array(hashes.length * 8);
  const view = new DataView(bytes.buffer);
  hashes.forEach((h, i) => {
    view.setUint32(i * 8, h.hi);
    view.setUint32(i * 8 + 4, h.lo);
  });
  return bytes;
}

/** The hashes of a `hashes` column. */
export function unpacked(bytes: Uint8Array): readonly TermHash[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hashes: TermHash[] = [];
  for (let at = 0; at + 8 <= bytes.byteLength; at += 8) {
    hashes.push({ hi: view.getUint32(at), lo: view.getUint32(at + 4) });
  }
  return hashes;
}

/** Whether a `hashes` column holds `h`. */
export function packedHas(bytes: Uint8Array, h: TermHash): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.byteLength; at += 8) {
    if (view.getUint32(at) === h.hi && view.getUint32(at + 4) === h.lo) return true;
  }
  return false;
}

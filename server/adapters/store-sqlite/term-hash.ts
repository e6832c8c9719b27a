import { hash } from 'node:crypto';
import { recent } from './recent.ts';

/**
 * The name of a term inside one database: 64 bits of SHA-256 over the database's own random key and the text. Keyed, so that nobody
 * can prepare two terms that collide, and so that the index of a stolen file does not spell out codes and names by itself.
 * Two halves as unsigned 32-bit numbers: a JavaScript number cannot hold all 64 bits.
 */
export type TermHash = { readonly hi: number; readonly lo: number };

export type TermHasher = (text: string) => TermHash;

/** Most terms repeat (codes, statuses, the same professionals), so a bounded number of them is remembered. */
const REMEMBERED = 20_000;

/** `key` is the database's secret as hexadecimal text. */
export function termHasher(key: string): TermHasher {
  const known = recent<string, TermHash>(REMEMBERED);
  return (text) => {
    const seen = known.get(text);
    if (seen !== undefined) return seen;
    const digest = hash('sha256', `${key}${text}`, 'binary');
    const word = (at: number): number =>
      ((digest.charCodeAt(at) << 24) |
        (digest.charCodeAt(at + 1) << 16) |
        (digest.charCodeAt(at + 2) << 8) |
        digest.charCodeAt(at + 3)) >>>
      0;
    const made: TermHash = { hi: word(0), lo: word(4) };
    known.set(text, made);
    return made;
  };
}

/** What is hashed for the term `param=value` of a resource of `type`; a space entry has the empty type. */
export const termOf = (type: string, text: string): string => `${type}\0${text}`;
/** What is hashed for the address `Type/id`. No term has this form: a type has no leading zero byte. */
export const addressOf = (ref: string): string => `\0\0${ref}`;

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

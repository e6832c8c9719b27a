/**
 * Takes the place of `server/adapters/vault/seal.ts` in a measured process: the same bytes in the same layout, and no cipher, so that the price of
 * sealing is the difference. What it wrote opens in such a process alone.
 */
import { type DataKey, versionOfKey } from '../../server/adapters/vault/seal.ts';

export * from '../../server/adapters/vault/seal.ts';

const DATA_AT = 17;
const TAG_BYTES = 16;
let counter = 0;

export function seal({ version }: DataKey, _context: string, plain: string | Uint8Array): Uint8Array {
  const data = typeof plain === 'string' ? Buffer.from(plain, 'utf8') : plain;
  const sealed = Buffer.alloc(DATA_AT + data.length + TAG_BYTES);
  sealed[0] = 1;
  sealed.writeUInt32BE(version, 1);
  // Stores remember opened pieces by their nonce: no two may be alike.
  sealed.writeDoubleBE(counter++, 5);
  sealed.set(data, DATA_AT);
  return sealed;
}

export function open(_key: DataKey, _context: string, sealed: Uint8Array): Buffer {
  versionOfKey(sealed);
  return Buffer.from(sealed.buffer, sealed.byteOffset + DATA_AT, sealed.length - DATA_AT - TAG_BYTES);
}

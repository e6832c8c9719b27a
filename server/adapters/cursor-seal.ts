/** Page cursors sealed with AES-256-GCM under a key derived from the master key; the context is associated data. */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import type { CursorSeal } from '../ports/cursor-seal.ts';

const IV_BYTES = 12;
const TAG_BYTES = 16;
const LONGEST = 4096;

/** `bytes`: a key of 32 bytes. A sealed text is base64url of iv, tag and ciphertext. */
export function createCursorSeal(bytes: Uint8Array): CursorSeal {
  const key = createSecretKey(bytes);
  return {
    seal(text, context) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context));
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url');
    },
    open(sealed, context) {
      if (sealed.length > LONGEST || !/^[A-Za-z0-9_-]+$/.test(sealed)) return undefined;
      const all = Buffer.from(sealed, 'base64url');
      if (all.length < IV_BYTES + TAG_BYTES) return undefined;
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, all.subarray(0, IV_BYTES))
          .setAAD(Buffer.from(context))
          .setAuthTag(all.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
        return Buffer.concat([decipher.update(all.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
      } catch {
        // Altered, or sealed for somebody else: the caller is told no more than that it is not a cursor of this search.
        return undefined;
      }
    },
  };
}

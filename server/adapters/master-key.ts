/** The secret of an installation: a file that only its owner reads, from which every other key is derived. */
import { hkdfSync, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

const MIN_BYTES = 32;
const NEW_BYTES = 48;
const MAX_FILE_BYTES = 4096;
/** Anything for the group or for others. */
const SHARED = 0o077;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A key file as read: its bytes, or why it cannot be used (never its content). */
export type MasterKey =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly why: string };

/** Reads a key file: a regular file closed to group and others, holding at least 32 bytes in base64. */
export function readMasterKey(path: string): MasterKey {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { ok: false, why: 'does not exist' };
  if (!stat.isFile() || stat.size > MAX_FILE_BYTES) return { ok: false, why: 'is not a key file' };
  if ((stat.mode & SHARED) !== 0) return { ok: false, why: 'can be read by its group or by others' };
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch {
    return { ok: false, why: 'cannot be read' };
  }
  const bytes = BASE64.test(text) ? Buffer.from(text, 'base64') : undefined;
  if (bytes === undefined || bytes.length < MIN_BYTES)
    return { ok: false, why: `does not hold at least ${MIN_BYTES} bytes in base64` };
  return { ok: true, bytes };
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Writes a new key under a name of its own, then gives it `path` in one step: nobody ever reads half a key. */
function createKeyFile(path: string): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(file, `${randomBytes(NEW_BYTES).toString('base64')}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    // Unlike a rename, a link does not replace the key of a server that started at the same moment.
    linkSync(draft, path);
  } catch (error) {
    if (!existsSync(path)) throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  syncDirectory(folder);
}

/**
 * The master key: that of `keyFile` when there is one, otherwise that of `<store>.key`, created with mode 0600 on first start.
 * A store in memory gets a key in memory. Throws when a key file cannot be used.
 */
export function openMasterKey(keyFile: string | undefined, storePath: string): Uint8Array {
  if (keyFile === undefined && storePath === ':memory:') return randomBytes(NEW_BYTES);
  const path = keyFile ?? `${storePath}.key`;
  if (keyFile === undefined && !existsSync(path)) createKeyFile(path);
  const key = readMasterKey(path);
  if (!key.ok) throw new Error(`the master key file \`${path}\` ${key.why}`);
  return key.bytes;
}

/** A 32-byte key for one purpose (HKDF-SHA256, RFC 5869): knowing it tells nothing of the others. */
export const deriveKey = (masterKey: Uint8Array, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', masterKey, new Uint8Array(0), `carnet/${purpose}`, 32));

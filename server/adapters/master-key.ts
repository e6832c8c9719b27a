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
  renameSync,
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
export type MasterKeyFile =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly why: string };

/** All keys of a key file, the one in use first. */
export type MasterKeysFile =
  | { readonly ok: true; readonly keys: readonly Uint8Array[] }
  | { readonly ok: false; readonly why: string };

/** Reads a key file: a regular file closed to group and others, holding at least 32 bytes in base64; older keys may follow, one a line. */
export function readMasterKeys(path: string): MasterKeysFile {
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
  const keys = text.split(/\r?\n/).map((line) => (BASE64.test(line) ? Buffer.from(line, 'base64') : Buffer.alloc(0)));
  if (keys.some((bytes) => bytes.length < MIN_BYTES))
    return { ok: false, why: `does not hold at least ${MIN_BYTES} bytes in base64` };
  return { ok: true, keys };
}

/** The key in use of a key file. */
export function readMasterKey(path: string): MasterKeyFile {
  const file = readMasterKeys(path);
  if (!file.ok) return file;
  const [bytes] = file.keys;
  return bytes === undefined ? { ok: false, why: 'is empty' } : { ok: true, bytes };
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

const newSecret = (): string => `${randomBytes(NEW_BYTES).toString('base64')}\n`;

/** Writes text under a name of its own, on disk before this returns; the name is then given to it in one step. */
function writeDraft(path: string, text: string): string {
  const draft = `${path}.${randomBytes(8).toString('hex')}`;
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return draft;
}

/** Writes a new key: nobody ever reads half of one. */
function createKeyFile(path: string): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const draft = writeDraft(path, newSecret());
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

/** Puts a new key before those of a key file, in one step: the old ones are still accepted. */
export function addMasterKey(path: string): void {
  renameSync(writeDraft(path, `${newSecret()}${readFileSync(path, 'utf8').trim()}\n`), path);
  syncDirectory(dirname(path));
}

/** Leaves only the key in use in a key file. */
export function dropOlderMasterKeys(path: string): void {
  const [first] = readFileSync(path, 'utf8').trim().split(/\r?\n/);
  renameSync(writeDraft(path, `${first}\n`), path);
  syncDirectory(dirname(path));
}

/** The path of the key file: `keyFile`, or `<store>.key`, which is created with mode 0600 when it is not there. */
export function masterKeyPath(keyFile: string | undefined, storePath: string): string {
  const path = keyFile ?? `${storePath}.key`;
  if (keyFile === undefined && !existsSync(path)) createKeyFile(path);
  return path;
}

/**
 * The master key: that of `keyFile` when there is one, otherwise that of `<store>.key`, created with mode 0600 on first start.
 * A store in memory gets a key in memory. Throws when a key file cannot be used.
 */
export function openMasterKey(keyFile: string | undefined, storePath: string): Uint8Array {
  if (keyFile === undefined && storePath === ':memory:') return randomBytes(NEW_BYTES);
  const path = masterKeyPath(keyFile, storePath);
  const key = readMasterKey(path);
  if (!key.ok) throw new Error(`the master key file \`${path}\` ${key.why}`);
  return key.bytes;
}

/** A 32-byte key for one purpose (HKDF-SHA256, RFC 5869): knowing it tells nothing of the others. */
export const deriveKey = (masterKey: Uint8Array, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', masterKey, new Uint8Array(0), `carnet/${purpose}`, 32));

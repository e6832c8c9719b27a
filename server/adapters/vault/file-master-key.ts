/** The master key from the installation's key file. The first line of the file wraps; the others, left by a rotation, are still accepted. */

import { type MasterKey, UnknownMasterKey } from '../../ports/master-key.ts';
import { deriveKey, readMasterKeys } from '../master-key.ts';
import { type DataKey, keyFrom, open, seal, within } from './seal.ts';

const WRAPPING = 1;

/** The public name of a master key: derived from it, and telling nothing of it. */
const idOf = (secret: Uint8Array): string => Buffer.from(deriveKey(secret, 'vault/id').subarray(0, 8)).toString('hex');

/**
 * The master key in `path`. A key id that is not known makes the file be read once more: a rotation adds keys while the server runs.
 * Throws one sentence when the file cannot be used.
 */
export function fileMasterKey(path: string): MasterKey {
  let keys = new Map<string, DataKey>();
  const read = (): void => {
    const file = readMasterKeys(path);
    if (!file.ok) throw new Error(`the master key file \`${path}\` ${file.why}`);
    keys = new Map(file.keys.map((secret) => [idOf(secret), keyFrom(deriveKey(secret, 'vault/kek'), WRAPPING)]));
  };
  const named = (id: string): DataKey => {
    if (!keys.has(id)) read();
    const key = keys.get(id);
    if (key === undefined)
      throw new UnknownMasterKey('the master key file does not hold the key that these data were sealed under');
    return key;
  };
  read();
  return {
    get current() {
      const [first] = keys.keys();
      return first ?? '';
    },
    get accepted() {
      return [...keys.keys()];
    },
    wrap: (key, context, by) => ({ by, bytes: seal(named(by), within('wrap', context), key) }),
    unwrap: ({ by, bytes }, context) => open(named(by), within('wrap', context), bytes),
  };
}

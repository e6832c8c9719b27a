/**
 * Envelope encryption: one data key for each person, one for what belongs to nobody, wrapped by the master key. Stores seal and open through
 * this and nothing else. Data keys are kept unwrapped in memory, a bounded number of them; where they lie wrapped is the store's choice
 * (`KeyShelf`), away from the data, so that a backup of the data holds none. docs/encryption.md.
 */
import type { MasterKey, WrappedKey } from '../../ports/master-key.ts';
import { contextOf, type DataKey, keyFrom, newKey, open, seal, Unreadable, versionOfKey, within } from './seal.ts';

/** The owner of what belongs to nobody, and of the key of the blind index. No person has such a name. */
export const NOBODY = '#nobody';
export const INDEX = '#index';

/** A wrapped data key as it lies on the shelf. */
export type ShelvedKey = { readonly version: number; readonly wrapped: WrappedKey };

/** Where wrapped data keys lie. */
export interface KeyShelf {
  /** All versions of an owner's key that still exist, in any order. */
  find(owner: string): readonly ShelvedKey[];
  /**
   * The newest key of an owner; where there is none, the one that `make` answers. Of two that make one at the same moment both get the first.
   * `make` is told the version and the id of the master key to wrap with. A store sees to it that a new key is durable before what it sealed.
   */
  findOrAdd(owner: string, make: (version: number, by: string) => WrappedKey): ShelvedKey;
}

export interface Vault {
  /** Seals a piece of `owner` for `context`; the owner's first piece makes their key. */
  seal(owner: string | undefined, context: string, plain: string | Uint8Array): Uint8Array;
  /** Opens it. Throws an `Unreadable` when it was altered or moved, or when the owner's key is destroyed. */
  open(owner: string | undefined, context: string, sealed: Uint8Array): Buffer;
  /** The key of the blind index, as hexadecimal text: it never changes and is nobody's. */
  readonly indexKey: string;
  /** Forgets every data key: one may have been destroyed by another process. */
  forget(): void;
}

/** Unwrapped keys in memory: about 1 kB each. */
const REMEMBERED = 10_000;

/** What a wrapped data key is bound to. */
export const wrapContext = (owner: string, version: number): string => contextOf(owner, version);

/** A data key out of its wrapping. */
export const unwrapped = (master: MasterKey, owner: string, { version, wrapped }: ShelvedKey): DataKey =>
  keyFrom(master.unwrap(wrapped, wrapContext(owner, version)), version);

/** A vault over a shelf. Throws one sentence when the master key does not open it. */
export function vaultOver(shelf: KeyShelf, master: MasterKey): Vault {
  const newest = new Map<string, DataKey>();
  const older = new Map<string, DataKey>();

  const remember = (of: Map<string, DataKey>, name: string, key: DataKey): DataKey => {
    // The oldest goes first: a map keeps the order of insertion.
    if (of.size >= REMEMBERED) {
      const [first] = of.keys();
      if (first !== undefined) of.delete(first);
    }
    of.set(name, key);
    return key;
  };
  const current = (owner: string): DataKey => {
    const known = newest.get(owner);
    if (known !== undefined) return known;
    const shelved = shelf.findOrAdd(owner, (version, by) => master.wrap(newKey(), wrapContext(owner, version), by));
    return remember(newest, owner, unwrapped(master, owner, shelved));
  };
  const numbered = (owner: string, version: number): DataKey => {
    const recent = newest.get(owner);
    if (recent?.version === version) return recent;
    const name = contextOf(owner, version);
    const known = older.get(name);
    if (known !== undefined) return known;
    const all = shelf.find(owner);
    const shelved = all.find((k) => k.version === version);
    if (shelved === undefined) throw new Unreadable('the key of what is stored does not exist any more');
    const key = unwrapped(master, owner, shelved);
    return all.every((k) => k.version <= version) ? remember(newest, owner, key) : remember(older, name, key);
  };

  const indexKey = indexKeyOf(shelf, master);
  current(NOBODY);
  return {
    indexKey,
    seal(owner = NOBODY, context, plain) {
      return seal(current(owner), within(owner, context), plain);
    },
    open(owner = NOBODY, context, sealed) {
      return open(numbered(owner, versionOfKey(sealed)), within(owner, context), sealed);
    },
    forget() {
      newest.clear();
      older.clear();
    },
  };
}

function indexKeyOf(shelf: KeyShelf, master: MasterKey): string {
  const { version, wrapped } = shelf.findOrAdd(INDEX, (v, by) => master.wrap(newKey(), wrapContext(INDEX, v), by));
  return Buffer.from(master.unwrap(wrapped, wrapContext(INDEX, version))).toString('hex');
}

/** The same data key under another master key: how a rotation moves one. */
export const rewrapped = (master: MasterKey, owner: string, { version, wrapped }: ShelvedKey, by: string): WrappedKey =>
  master.wrap(master.unwrap(wrapped, wrapContext(owner, version)), wrapContext(owner, version), by);

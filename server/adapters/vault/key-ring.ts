/**
 * Data keys for a store that many servers share: the shelf is a journey away, so keys are fetched before a piece is opened or sealed, many in one
 * question. What this process keeps unwrapped is bounded in number and in time: a key that another server destroyed is not kept for ever, and
 * whether it may still be used is said by the document of the person, which every unit reads (decision 0011).
 */
import type { MasterKey, WrappedKey } from '../../ports/master-key.ts';
import { type DataKey, newKey, Unreadable, versionOfKey } from './seal.ts';
import { INDEX, NOBODY, type ShelvedKey, unwrapped, wrapContext } from './vault.ts';

/** Where the wrapped data keys of many servers lie. One key for each owner: the one that is in use. */
export interface SharedShelf {
  /** The keys that exist of these owners. */
  find(owners: readonly string[]): Promise<ReadonlyMap<string, ShelvedKey>>;
  /**
   * The key of an owner; where there is none, the one that `make` answers, durable when this resolves. Of two that make one at the same moment
   * both get the first. `make` is told the version and the id of the master key to wrap with.
   */
  findOrAdd(owner: string, make: (version: number, by: string) => WrappedKey): Promise<ShelvedKey>;
}

/** A sealed piece and whose it is; null: nobody's. */
export type OwnedPiece = { readonly owner: string | null; readonly sealed: Uint8Array };

/** The key that sealed a piece. */
export type KeyOf = (piece: OwnedPiece) => DataKey;

export type KeyRing = {
  /** The key of the blind index, as hexadecimal text. */
  readonly indexKey: string;
  /** The key of what belongs to nobody. */
  readonly nobody: DataKey;
  /** The keys that sealed these pieces. Throws an `Unreadable` when one does not exist any more. */
  keysFor(pieces: readonly OwnedPiece[]): Promise<KeyOf>;
  /** Key number `version` of an owner. Throws an `Unreadable` when it does not exist any more. */
  numbered(owner: string, version: number): Promise<DataKey>;
  /** The key that the next piece of an owner is sealed with; made when there is none. */
  newest(owner: string): Promise<DataKey>;
  /** Forgets all that is kept of an owner. */
  forget(owner: string): void;
  /** Forgets everything, for good. */
  close(): void;
};

export type RingLimits = {
  /** Unwrapped keys in memory: about 1 kB each. */
  readonly remembered: number;
  /** Milliseconds that a key is kept after it was fetched. */
  readonly keptMs: number;
};
export const RING_LIMITS: RingLimits = { remembered: 10_000, keptMs: 60_000 };

/** A ring over a shelf. Throws one sentence when the master key does not open it. */
export async function keyRing(
  shelf: SharedShelf,
  master: MasterKey,
  { remembered, keptMs }: RingLimits = RING_LIMITS,
): Promise<KeyRing> {
  /** By owner, the longest fetched first: a map keeps the order of insertion. */
  const kept = new Map<string, { readonly key: DataKey; readonly until: number }>();
  const found = async (owner: string): Promise<ShelvedKey> =>
    shelf.findOrAdd(owner, (version, by) => master.wrap(newKey(), wrapContext(owner, version), by));

  const dropOld = (): void => {
    for (const [owner, { until }] of kept) {
      if (until > performance.now()) return;
      kept.delete(owner);
    }
  };
  const sweeping = setInterval(dropOld, keptMs);
  sweeping.unref();
  const keep = (owner: string, shelved: ShelvedKey): DataKey => {
    const key = unwrapped(master, owner, shelved);
    const [oldest] = kept.keys();
    if (kept.size >= remembered && oldest !== undefined) kept.delete(oldest);
    kept.delete(owner);
    kept.set(owner, { key, until: performance.now() + keptMs });
    return key;
  };
  const known = (owner: string): DataKey | undefined => {
    const entry = kept.get(owner);
    return entry !== undefined && entry.until > performance.now() ? entry.key : undefined;
  };

  const index = await found(INDEX);
  const indexKey = Buffer.from(master.unwrap(index.wrapped, wrapContext(INDEX, index.version))).toString('hex');
  const nobody = unwrapped(master, NOBODY, await found(NOBODY));

  const keysFor = async (pieces: readonly OwnedPiece[]): Promise<KeyOf> => {
    const held = new Map<string, DataKey>();
    const missing = new Set<string>();
    for (const { owner, sealed } of pieces) {
      if (owner === null || held.has(owner)) continue;
      const key = known(owner);
      if (key !== undefined && key.version === versionOfKey(sealed)) held.set(owner, key);
      else missing.add(owner);
    }
    if (missing.size > 0)
      for (const [owner, shelved] of await shelf.find([...missing])) held.set(owner, keep(owner, shelved));
    return ({ owner, sealed }) => {
      const key = owner === null ? nobody : held.get(owner);
      if (key === undefined || key.version !== versionOfKey(sealed))
        throw new Unreadable('the key of what is stored does not exist any more');
      return key;
    };
  };

  return {
    indexKey,
    nobody,
    keysFor,
    async numbered(owner, version) {
      const recent = known(owner);
      if (recent?.version === version) return recent;
      const shelved = (await shelf.find([owner])).get(owner);
      if (shelved?.version !== version) throw new Unreadable('the key of what is stored does not exist any more');
      return keep(owner, shelved);
    },
    newest: async (owner) => keep(owner, await found(owner)),
    forget: (owner) => void kept.delete(owner),
    close() {
      clearInterval(sweeping);
      kept.clear();
    },
  };
}

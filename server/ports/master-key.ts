/**
 * The key above all others: it wraps the data keys of persons and nothing else. The default is a file (`adapters/vault/file-master-key.ts`);
 * a KMS or an HSM stands here by unwrapping, at start, a key-encryption key that answers from memory: a request waits for no network.
 */
export type WrappedKey = {
  /** Which master key wrapped it. */
  readonly by: string;
  readonly bytes: Uint8Array;
};

export interface MasterKey {
  /** The id of the key that wraps now. */
  readonly current: string;
  /** Every id that is still accepted, the current one first. */
  readonly accepted: readonly string[];
  /** Wraps a key under the master key `by`. `context` says whose key it is; the same is asked for again at unwrapping. */
  wrap(key: Uint8Array, context: string, by: string): WrappedKey;
  /** The key itself. Throws an `UnknownMasterKey` when the master key that wrapped it is not at hand, any other error when it was altered. */
  unwrap(wrapped: WrappedKey, context: string): Uint8Array;
}

/** Data cannot be opened: the master key that wrapped its key is not one of those given. */
export class UnknownMasterKey extends Error {}

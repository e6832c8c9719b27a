import type { IndexEntry } from '../fhir/index-entry.ts';
import type { Instant, Key, Ref } from '../fhir/types.ts';
import type { StoreUnit, Version } from './store.ts';

/** Something that is not as it must be, in one sentence without content. */
export type Fault = { readonly at: string; readonly what: string };

/** A stored version as it leaves for another store. */
export type ArchivedVersion = {
  readonly version: Version;
  /** Whether it is the one that counts now. */
  readonly current: boolean;
  /** Its own bytes, when it brought any: how many, their SHA-1, and the bytes part by part. */
  readonly content?: {
    readonly size: number;
    readonly sha1: string;
    readonly parts: () => AsyncIterable<Uint8Array>;
  };
};

/** What an operator does with a store, beside its requests: nothing of it is reached by a request. */
export interface Upkeep {
  /** Everything that can be told without knowing what resources mean: files, keys, every sealed piece, every chunk. */
  inspect(progress: (done: number, of: number) => void): AsyncIterable<Fault>;
  /** Whether what is indexed of the current version of `key` is this entry: a sentence when it is not. `unit` is one of this store, not ended. */
  differs(unit: StoreUnit, key: Key, entry: IndexEntry): Promise<string | undefined>;
  /** Whether keys of this person were destroyed. */
  isShredded(person: Ref): Promise<boolean>;
  /**
   * Destroys the keys of a person, then removes all that they owned; what was copied before cannot be opened any more. Says how many keys and
   * how many resources went. Doing it again finishes what was interrupted.
   */
  shred(person: Ref, at: Instant): Promise<{ readonly keys: number; readonly resources: number }>;
  /** Removes what persons whose keys were destroyed still have here: an older copy of the data was put back. Answers how many resources. */
  eraseShredded(): Promise<number>;
  /**
   * Every version of every resource: those of one resource together, in the order in which they were written. `asOneState`: as they stood when
   * this began, whatever is written meanwhile, where the store can tell.
   */
  archive(options?: { readonly asOneState: boolean }): AsyncIterable<ArchivedVersion>;
  /** The same of these resources, in this order. */
  archiveOf(keys: readonly Key[]): AsyncIterable<ArchivedVersion>;
  /** How many versions of each of these resources there are. */
  held(keys: readonly Key[]): Promise<readonly number[]>;
  /** How many versions and resources there are. */
  counts(): Promise<{ readonly versions: number; readonly resources: number }>;
  /** Every person who has a space. */
  spaces(): AsyncIterable<Ref>;
  /** Wraps the data keys anew under the master key that is in use now, some at a time; yields how many are done. */
  rewrapKeys(): AsyncIterable<{ readonly done: number; readonly of: number }>;
}

/** A store that is a file can be copied as one. */
export interface FileCopies {
  /** Writes a consistent copy of the data to a new file, while the store is in use. The wrapped keys are not in it. */
  copyData(path: string): void;
  /** Writes a copy of the wrapped data keys to a new file. */
  copyKeys(path: string): void;
}

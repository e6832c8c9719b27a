/** What one attempt read beside the documents that it is about, to decide from it. */
import type { CurrentDocument, SpaceDocument } from './schema.ts';

/** A current document without its body: what can be asked of it, and what it can be asked by. */
export type Standing = Omit<CurrentDocument, 'seq' | 'place' | 'sealed' | 'keys' | 'content'>;

export const STANDING = { seq: 0, place: 0, sealed: 0, keys: 0, content: 0 } as const;

/** A space as far as it was not touched: what of it the database compares. */
export type Beside = Pick<SpaceDocument, 'terms' | 'ranges' | 'entry'>;

/** What one attempt read beside the documents it is about. Forgotten with each write. */
export type Neighbours = {
  /** By `self`; undefined: there is none. */
  readonly bySelf: Map<bigint, Standing | undefined>;
  /** Those that name a document, by their type and its `self`. */
  readonly naming: Map<string, readonly Standing[]>;
  /** Those that a document owns, by their type and its reference. */
  readonly owned: Map<string, readonly Standing[]>;
  /** Spaces of persons whom this attempt did not touch; null: there is none. */
  readonly spaces: Map<string, Beside | null>;
};

export const noNeighbours = (): Neighbours => ({
  bySelf: new Map(),
  naming: new Map(),
  owned: new Map(),
  spaces: new Map(),
});

export function forget(neighbours: Neighbours): void {
  for (const known of Object.values(neighbours)) known.clear();
}

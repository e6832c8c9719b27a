/** The collections of a database, the documents in them, and the indexes that they need. */
import { createHash } from 'node:crypto';
import type { Collection, Db, IndexDescription } from 'mongodb';

/** Raised with every change that an older server could not read. */
export const SCHEMA_VERSION = 2;

/**
 * What of an index entry the database must compare: terms, references and beginnings of strings as keyed hashes, as the embedded store keeps them,
 * ranges and numbers as they are, under hashed names. Everything else of it is sealed.
 */
export type Facets = {
  readonly terms: readonly bigint[];
  /** References, one for each term `param=Type/id`: `t` is `self` of the resource named. */
  readonly links: readonly { readonly p: string; readonly t: bigint }[];
  /** `p` is the hashed name of the parameter. */
  readonly ranges: readonly { readonly p: string; readonly lo: number; readonly hi: number }[];
  /** Sort keys by the hashed name of the parameter; in the place of a text, which is sealed, stands `''`. */
  readonly keys: Readonly<Record<string, number | ''>>;
};

/** What a version is, current or not. */
export type VersionFields = {
  readonly type: string;
  readonly id: string;
  readonly no: string;
  /** Counts the versions of one resource from 1. */
  readonly seq: number;
  readonly updated: number;
  readonly deleted: boolean;
  readonly owner: string | null;
  /** Where the owner's documents lie: the first part of the shard key. */
  readonly place: number;
  /** Filing and body. */
  readonly sealed: Uint8Array;
};

/** The bytes of a Binary, in the chunks of one upload, which version `no` brought: their key, size and SHA-1, sealed for the owner. */
export type Content = { readonly upload: string; readonly no: string; readonly sealed: Uint8Array };

/** `_id` is `Type/id`. */
export type CurrentDocument = VersionFields &
  Facets & {
    readonly _id: string;
    readonly self: bigint;
    /** Strings and sort keys that are text, sealed; null when there are none. */
    readonly texts: Uint8Array | null;
    readonly content: Content | null;
  };

/** `_id` is `Type/id#seq`; `until` is when the next version replaced it. */
export type HistoryDocument = VersionFields & { readonly _id: string; readonly key: string; readonly until: number };

/**
 * A person: `_id` is the reference. `units` counts the units that touched them, which makes any two of those conflict (decision 0007).
 * `key` is the number of the data key that seals what is theirs: what another one sealed is not opened any more. `entry` is the sealed space
 * entry, null as long as the person has no space.
 */
export type SpaceDocument = Pick<Facets, 'terms' | 'ranges'> & {
  readonly _id: string;
  readonly place: number;
  readonly units: number;
  readonly key: number | null;
  readonly entry: Uint8Array | null;
};

/** A question across persons that a unit took a decision from: two such units conflict. `_id` is a keyed hash. */
export type ClaimDocument = { readonly _id: bigint; readonly units: number };

/** A staged upload. Its key, size and SHA-1 lie in the memory of the server that received it. */
export type UploadDocument = {
  readonly _id: string;
  readonly started: number;
  readonly complete: boolean;
  readonly dropped: boolean;
};

/** `_id` is `upload/index`. */
export type ChunkDocument = { readonly _id: string; readonly data: Uint8Array };

/** `_id` is always `store`; `keys` names the database of the keys that sealed the data. */
export type MetaDocument = { readonly _id: string; readonly schema: number; readonly keys: string };

export type Collections = {
  readonly current: Collection<CurrentDocument>;
  readonly history: Collection<HistoryDocument>;
  readonly space: Collection<SpaceDocument>;
  readonly claim: Collection<ClaimDocument>;
  readonly upload: Collection<UploadDocument>;
  readonly chunk: Collection<ChunkDocument>;
  readonly meta: Collection<MetaDocument>;
};

export const collectionsOf = (db: Db): Collections => ({
  current: db.collection<CurrentDocument>('current'),
  history: db.collection<HistoryDocument>('history'),
  space: db.collection<SpaceDocument>('space'),
  claim: db.collection<ClaimDocument>('claim'),
  upload: db.collection<UploadDocument>('upload'),
  chunk: db.collection<ChunkDocument>('chunk'),
  meta: db.collection<MetaDocument>('meta'),
});

export const INDEXES: Readonly<Record<keyof Collections, readonly IndexDescription[]>> = {
  current: [
    { name: 'self', key: { self: 1 } },
    // In the order of ids: otherwise the planner walks every resource of the type in that order, to spare sorting those of one person.
    { name: 'owned', key: { owner: 1, type: 1, id: 1 } },
    { name: 'walk', key: { type: 1, id: 1 } },
    { name: 'terms', key: { terms: 1 } },
    { name: 'links', key: { 'links.t': 1 } },
  ],
  history: [{ name: 'chain', key: { key: 1, seq: -1 } }],
  space: [{ name: 'terms', key: { terms: 1 } }],
  claim: [],
  upload: [{ name: 'started', key: { started: 1 } }],
  chunk: [],
  meta: [],
};

/** What belongs to nobody, the directory above all, lies together. */
export const NOBODYS_PLACE = -1;

/** The place of a person's documents in every collection: 31 bits that spread evenly, whatever the ids look like. */
export function placeOf(owner: string | undefined | null): number {
  if (owner === undefined || owner === null) return NOBODYS_PLACE;
  return createHash('sha256').update(owner).digest().readUInt32BE(0) >>> 1;
}

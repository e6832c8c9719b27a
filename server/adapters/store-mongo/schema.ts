/** The collections of a database, the documents in them, and the indexes that they need. */
import { createHash } from 'node:crypto';
import type { Collection, Db, Document, IndexDescription } from 'mongodb';

/** Raised with every change that an older server could not read. */
export const SCHEMA_VERSION = 1;

/** An index entry in the form that documents keep: terms and references as keyed hashes, as the embedded store keeps them. */
export type Facets = {
  readonly terms: readonly bigint[];
  /** References, one for each term `param=Type/id`: `t` is `self` of the resource named. */
  readonly links: readonly { readonly p: string; readonly t: bigint }[];
  /** `p` is `Type.param`, so that one index serves all types. */
  readonly strings: readonly { readonly p: string; readonly s: string }[];
  readonly ranges: readonly { readonly p: string; readonly lo: number; readonly hi: number }[];
  readonly keys: Readonly<Record<string, string | number>>;
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
  readonly filing: string;
  readonly body: string;
};

/** The bytes of a Binary, in the chunks of one upload. */
export type Content = { readonly upload: string; readonly size: number; readonly sha1: string };

/** `_id` is `Type/id`. */
export type CurrentDocument = VersionFields &
  Facets & { readonly _id: string; readonly self: bigint; readonly content: Content | null };

/** `_id` is `Type/id#seq`; `until` is when the next version replaced it. */
export type HistoryDocument = VersionFields & { readonly _id: string; readonly key: string; readonly until: number };

/**
 * A person: `_id` is the reference. `units` counts the units that touched them, which makes any two of those conflict (decision 0007).
 * `entry` is null as long as the person has no space.
 */
export type SpaceDocument = Omit<Facets, 'links' | 'keys'> & {
  readonly _id: string;
  readonly place: number;
  readonly units: number;
  readonly entry: string | null;
};

/** A question across persons that a unit took a decision from: two such units conflict. `_id` is a keyed hash. */
export type ClaimDocument = { readonly _id: bigint; readonly units: number };

/** A staged upload: without `sha1` it is not complete. */
export type UploadDocument = {
  readonly _id: string;
  readonly started: number;
  readonly size: number;
  readonly sha1: string | null;
};

/** `_id` is `upload/index`. */
export type ChunkDocument = { readonly _id: string; readonly data: Uint8Array };

/** `_id` is always `store`. */
export type MetaDocument = { readonly _id: string; readonly schema: number; readonly secret: string };

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
    { name: 'owner', key: { owner: 1, type: 1 } },
    { name: 'walk', key: { type: 1, id: 1 } },
    { name: 'terms', key: { terms: 1 } },
    { name: 'links', key: { 'links.t': 1 } },
    { name: 'strings', key: { 'strings.p': 1, 'strings.s': 1 } },
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

/** A document of `found` whatever the driver's types think of it. */
export const asDocument = (of: object): Document => of;

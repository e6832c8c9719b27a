import type { IndexEntry } from '../fhir/index-entry.ts';
import type { Instant, Key, Ref } from '../fhir/types.ts';
import type { Guard, GuardedPlan } from '../query/plan.ts';
import type { Predicate } from '../query/predicate.ts';

/** What the server itself recorded about a resource; never taken from its body. Opaque to a store. */
export type Filing = {
  /** When the item was first filed. Absent: unknown (L2 then never ends, and cannot be set). */
  readonly filedAt?: Instant;
  /** Who filed it: the caller's own reference. */
  readonly by?: Ref;
  /** Which side filed it. */
  readonly side?: 'holder' | 'professional' | 'feeder' | 'insurer' | 'operator' | 'server';
  /** The author for labels and replacement: the professional in person and the structure acted for. */
  readonly authorPerson?: Ref;
  readonly authorStructure?: Ref;
  /** W5: unmasked while a `document-default` deny stood. */
  readonly exempt?: boolean;
  /** W6: shown to representatives once; L3 cannot be set again. */
  readonly shown?: boolean;
  /** W7: which step of the announcement of an item hidden from the holder the server has taken. */
  readonly announced?: 'invited' | 'visible';
  /** O2: of a notice that the server wrote, what it waits for and which session it tells of. */
  readonly notice?: NoticeFiling;
  /** W8: a message of a secret connection, or an answer to one: representatives do not see it. */
  readonly secret?: true;
};

/** O2: who may see a notice, and when another one of the same session would say nothing new. */
export type NoticeFiling = {
  /** It is shown to whoever could read one of these items now; absent: to its recipient at once. */
  readonly about?: readonly Ref[];
  /** It tells of a secret session, or of what is hidden from representatives (W8, L3). */
  readonly secret?: boolean;
  readonly session?: {
    readonly key: string;
    /** The session ends then; exclusive. */
    readonly until: Instant;
    /** How far the notice reached when it was written: 0 nobody yet, 1 the holder, 2 representatives too. */
    readonly reach: 0 | 1 | 2;
  };
};

/** Bytes of each chunk of a content but the last: which chunk holds a byte is known without looking. */
export const CHUNK_BYTES = 262_144;

/** One state of a resource. `body` is the JSON text as served, `id` and `meta` included, so that a read copies and does not parse. */
export type Version = {
  readonly type: string;
  readonly id: string;
  readonly versionId: string;
  readonly lastUpdated: Instant;
  /** A tombstone: body is empty. */
  readonly deleted: boolean;
  readonly owner: Ref | undefined;
  readonly body: string;
  readonly filing: Filing;
};

export type Match = Version & {
  /** This match's place in the plan's order, for `QueryPlan.after`. */
  readonly position: readonly (string | number | null)[];
};

export type Page = {
  readonly matches: readonly Match[];
  /** Whether a further page exists (at least one more match). */
  readonly more: boolean;
  /** Count of all matches, when the plan asked for it. */
  readonly total?: number;
};

/** A new current version. The previous one, if any, goes to history. */
export type Put = {
  readonly key: Key;
  readonly versionId: string;
  readonly lastUpdated: Instant;
  readonly deleted: boolean;
  readonly owner: Ref | undefined;
  readonly body: string;
  readonly entry: IndexEntry;
  readonly filing: Filing;
};

/**
 * One atomic piece of work. Everything read inside it is one consistent state; everything written is durable, all
 * or nothing, when `ResourceStore.unit` resolves. Units of one store are serialised: a decision taken from what a unit reads
 * still holds when its writes commit.
 */
export interface StoreUnit {
  /**
   * The current version (a tombstone included), if it exists and the guard lets it through: for a tombstone, the guard is asked about
   * the entry it had before deletion. Not there and not visible look alike on purpose.
   */
  read(key: Key, guard: Guard): Promise<Version | undefined>;
  /** One version by its id, judged by the CURRENT entry and owner: a version of another owner is not shown. */
  vread(key: Key, versionId: string, guard: Guard): Promise<Version | undefined>;
  /** All versions, newest first, judged like `vread`; `undefined` when the resource is not visible. `before` is exclusive. */
  history(
    key: Key,
    guard: Guard,
    page: { readonly limit: number; readonly before?: string; readonly since?: Instant; readonly at?: Instant },
  ): Promise<{ readonly versions: readonly Version[]; readonly more: boolean; readonly total: number } | undefined>;
  /** Current, not deleted, in the plan's order then by id. Never returns, counts or pages over what the guard hides. */
  search(plan: GuardedPlan): Promise<Page>;
  /** Whether `where` holds for the current entry of `key` (deleted or not) and the guard lets it through. */
  test(key: Key, guard: Guard, where: Predicate): Promise<boolean>;
  /** `test` of several questions at once, in their order. */
  testEach(key: Key, guard: Guard, where: readonly Predicate[]): Promise<readonly boolean[]>;
  /** The space entry of a person, `undefined` when there is none. */
  space(person: Ref): Promise<IndexEntry | undefined>;

  /** Writes a version. A put of the current versionId again is a programming error and throws. */
  put(put: Put): Promise<void>;
  /** Changes what the server recorded about the current version, and its entry; no new version. */
  refile(key: Key, filing: Filing, entry: IndexEntry): Promise<void>;
  /** Replaces the space entry of a person. */
  putSpace(person: Ref, entry: IndexEntry): Promise<void>;

  /** Attaches bytes uploaded with `ResourceStore.stage` to a Binary version; the staged upload is consumed. */
  attachBytes(key: Key, upload: string): Promise<void>;
  /** Takes its bytes from a Binary for good: they are an old upload that nobody will attach, and the next sweep drops them. A no-op when it has none. */
  detachBytes(key: Key): Promise<void>;
  /** Chunk number `index` (from 0) of a Binary, `CHUNK_BYTES` long unless it is the last, judged by the guard at this moment; `undefined`: end, or not visible any more. */
  chunk(key: Key, guard: Guard, index: number): Promise<Uint8Array | undefined>;
  /** Size in bytes and SHA-1 (base64) of a Binary's content, `undefined` when it has none. */
  bytes(key: Key): Promise<{ readonly size: number; readonly sha1: string } | undefined>;
}

/** Bytes on their way in, kept outside memory until a unit attaches them. */
export type Upload = { readonly id: string; readonly size: number; readonly sha1: string };

export interface ResourceStore {
  /**
   * Runs `work` against one consistent state and resolves when what it wrote is durable (also when it wrote nothing: what it read was
   * then committed and durable). If `work` throws, nothing of it remains and the error is rethrown. Units of concurrent requests
   * share one sync. `work` awaits nothing but its unit, and may be run again from the start when the store could not commit what an earlier
   * run had read: only what the last run did counts. Rejects with a `StoreUnavailable` when the store cannot do it in time.
   */
  unit<T>(work: (unit: StoreUnit) => Promise<T>): Promise<T>;
  /** Stores a stream of bytes aside, at most `maxBytes`. Rejects with an `UploadTooLarge` when there are more. Leaves nothing behind when it rejects. */
  stage(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Upload>;
  /** Drops a staged upload that no unit will attach; a no-op when it is not there. */
  discard(upload: string): Promise<void>;
  /** Drops staged uploads older than `before`. */
  sweep(before: Instant): Promise<number>;
  close(): Promise<void>;
}

export class UploadTooLarge extends Error {}

/** A resource, with what is indexed of it, is more than the store keeps in one piece. Nothing of the unit remains. */
export class ResourceTooLarge extends Error {}

/** A search that asks for more at once, or would have to open more of what is sealed, than the store bears for one question. Nothing was answered. */
export class SearchTooBroad extends Error {}

/**
 * The store cannot do this now: not reachable, too slow, too busy. Nothing was disclosed; what was to be written is there wholly or not at
 * all. The edge answers 503 with Retry-After.
 */
export class StoreUnavailable extends Error {
  readonly code = 'unavailable';
}

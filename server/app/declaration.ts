/**
 * A type is one declaration: whom it is about, who sees it, what the server marks on it, who may write it and how.
 * A type without one does not exist for this server; adding one is a file in `app/types/` and a line in `app/types/index.ts`.
 */
import type { Rows, RuleId } from '../access/decision.ts';
import type { Result } from '../fhir/result.ts';
import type { Ref, Resource } from '../fhir/types.ts';
import type { Filing, Version } from '../ports/store.ts';
import type { Work, Writing } from './work.ts';

/** A guard term or range written by the server (names start with `_`). */
export type Marks = {
  readonly terms: readonly (readonly [param: string, value: string])[];
  readonly ranges: readonly { readonly param: string; readonly lo: number; readonly hi: number }[];
};

/** A resource that a write rule accepted, as it will be stored (without `id` and `meta` of the server). */
export type Accepted = {
  readonly resource: Resource;
  readonly owner: Ref | undefined;
  readonly filing: Filing;
  /** The row of section 5 that allows it, where that is not the one the type is ordinarily written by. */
  readonly rule?: RuleId;
};

/** How a change came about; a patch may do what a replacement by PUT may not (labels). */
export type Change = {
  readonly before: Version;
  readonly current: Resource;
  readonly how: 'put' | 'patch';
  /** Paths of a JSON Patch that go by position, for W10; absent for a PUT. */
  readonly byPosition: boolean;
};

/** Interactions that a type offers beyond read, vread, history and search. */
export type WriteRules = {
  readonly create?: (work: Work, resource: Resource, id: string) => Promise<Result<Accepted>>;
  readonly update?: (work: Work, change: Change, resource: Resource) => Promise<Result<Accepted>>;
  readonly remove?: (work: Work, before: Version, current: Resource) => Promise<Result<void>>;
};

export type TypeDeclaration = {
  readonly type: string;
  readonly about: 'person' | 'nobody' | 'either';
  /** The row of section 4 that the type falls under; where no grant is left, refusals name it. */
  readonly row: RuleId;
  readonly rows: Rows;
  readonly contentRows?: Rows;
  readonly writes: WriteRules;
  /** Changes and deletions have rules that refuse them to everybody, in words: they are not offered. */
  readonly writtenOnce?: true;
  /** What the guard needs to know of a resource, from the body and from what the server recorded. May look things up (directory). */
  readonly marks: (work: Writing, resource: Resource, filing: Filing) => Promise<Marks>;
  /** What of a resource searches may find, where that is not all of it. */
  readonly searchable?: (resource: Resource) => Resource;
  /** Whether a change of this type changes the space entry of its owner. */
  readonly feedsSpace: boolean;
  /** The search parameters whose values are judged by sight of the resource named (D8). */
  readonly bySight: readonly string[];
};

export const NO_MARKS: Marks = { terms: [], ranges: [] };

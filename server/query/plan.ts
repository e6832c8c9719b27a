import { and, type Hop, NONE, not, type Predicate } from './predicate.ts';

/** One key of an order. `_id` and `_lastUpdated` are always sortable. */
export type SortKey = { readonly param: string; readonly descending: boolean };

/** A search before permission: what the client asked for. */
export type QueryPlan = {
  readonly type: string;
  readonly where: Predicate;
  readonly sort: readonly SortKey[];
  readonly limit: number;
  /** Where the previous page ended: the sort keys of its last match, then its id. A bookmark, never a permission. */
  readonly after?: readonly (string | number | null)[];
  readonly total: boolean;
};

declare const sealed: unique symbol;

/** Permission to look at resources of one type, as data. Made by `guard()` in `access/decision.ts` and nowhere else. */
export type Guard = { readonly type: string; readonly residual: Predicate; readonly [sealed]: 'Guard' };

/** A search with its permission inside. Every store method that looks asks for a guard or for one of these. */
export type GuardedPlan = QueryPlan & { readonly [sealed]: 'GuardedPlan' };

/** Puts the permission into the question. A guard of another type opens nothing. */
export function guarded(plan: QueryPlan, guard: Guard): GuardedPlan {
  // INVARIANT: the only cast to GuardedPlan; the architecture test looks for a second one.
  return { ...plan, where: guard.type === plan.type ? and(guard.residual, plan.where) : NONE } as GuardedPlan;
}

/** A hop to resources of the guard's type: the guard goes into it, so no chain can look past it. */
export function hop(guard: Guard, where: Predicate, options: { readonly deleted: boolean }): Hop {
  // INVARIANT: the only cast to Hop.
  return { type: guard.type, where: and(guard.residual, where), deleted: options.deleted } as Hop;
}

/**
 * A hop to resources of the guard's type that the guard hides. Only for a negation: `not(via(…, unseen(guard)))` keeps what is
 * linked to nothing hidden (a List is as hidden as the most hidden of its documents). Deleted resources count as if they were not.
 */
export function unseen(guard: Guard): Hop {
  // INVARIANT: the second and last cast to Hop; asked positively it would reveal, so it appears under `not` only.
  return { type: guard.type, where: not(guard.residual), deleted: true } as Hop;
}

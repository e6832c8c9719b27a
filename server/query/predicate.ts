/**
 * A question about one resource. Search, consent, labels and SMART scopes all speak it, and nothing else is spoken to
 * a store. `docs/decisions/0001-one-predicate-language.md`.
 */
export type Predicate =
  | { readonly op: 'all' }
  | { readonly op: 'none' }
  | { readonly op: 'and' | 'or'; readonly of: readonly Predicate[] }
  | { readonly op: 'not'; readonly of: Predicate }
  /** Some term of the entry is exactly `param=value`. */
  | { readonly op: 'term'; readonly param: string; readonly value: string }
  /** Some string of the entry under `param` starts with / contains `text` (already folded). */
  | { readonly op: 'prefix' | 'contains'; readonly param: string; readonly text: string }
  /** Some range of the entry under `param` satisfies every bound given (the same range, not two of them). */
  | { readonly op: 'range'; readonly param: string; readonly lo?: Bound; readonly hi?: Bound }
  /** `of` holds for the space entry of the person who owns the resource; false when nobody owns it. */
  | { readonly op: 'owner'; readonly of: Predicate }
  /** The resource refers, by the term `param=Type/id`, to an existing resource for which the hop's predicate holds. */
  | { readonly op: 'via'; readonly param: string; readonly hop: Hop }
  /** An existing resource for which the hop's predicate holds refers to this one by the term `param=Type/id`. */
  | { readonly op: 'from'; readonly param: string; readonly hop: Hop };

/** A bound of a range: `[cmp, at]`. `lo` compares the stored lower end, `hi` the stored upper end (exclusive). */
export type Bound = readonly [cmp: '<' | '<=' | '>' | '>=', at: number];

/**
 * A step to another resource. `where` already contains the guard of `type`: a hop is made by `hop()` of `plan.ts` from a
 * guard and from nothing else, so a chain, a reverse chain or a label that follows a document cannot look where the caller may not.
 * `deleted` true: logically deleted resources count as if they were not deleted.
 */
export type Hop = {
  readonly type: string;
  readonly where: Predicate;
  readonly deleted: boolean;
  readonly [hopSeal]: 'Hop';
};
declare const hopSeal: unique symbol;

export const ALL: Predicate = { op: 'all' };
export const NONE: Predicate = { op: 'none' };

export const term = (param: string, value: string): Predicate => ({ op: 'term', param, value });
export const prefix = (param: string, text: string): Predicate => ({ op: 'prefix', param, text });
export const contains = (param: string, text: string): Predicate => ({ op: 'contains', param, text });
export const range = (param: string, bounds: { readonly lo?: Bound; readonly hi?: Bound }): Predicate => ({
  op: 'range',
  param,
  ...bounds,
});

/** Conjunction, simplified: `none` absorbs, `all` vanishes, nesting is flattened. The empty conjunction is `all`. */
export function and(...of: readonly Predicate[]): Predicate {
  const kept: Predicate[] = [];
  for (const p of of) {
    if (p.op === 'none') return NONE;
    if (p.op === 'all') continue;
    if (p.op === 'and') kept.push(...p.of);
    else kept.push(p);
  }
  if (kept.length === 0) return ALL;
  const [only] = kept;
  return kept.length === 1 && only ? only : { op: 'and', of: kept };
}

/** Disjunction, simplified. The empty disjunction is `none`: no ground, no access. */
export function or(...of: readonly Predicate[]): Predicate {
  const kept: Predicate[] = [];
  for (const p of of) {
    if (p.op === 'all') return ALL;
    if (p.op === 'none') continue;
    if (p.op === 'or') kept.push(...p.of);
    else kept.push(p);
  }
  if (kept.length === 0) return NONE;
  const [only] = kept;
  return kept.length === 1 && only ? only : { op: 'or', of: kept };
}

export function not(of: Predicate): Predicate {
  if (of.op === 'all') return NONE;
  if (of.op === 'none') return ALL;
  if (of.op === 'not') return of.of;
  return { op: 'not', of };
}

/** A condition on the owner's space entry. */
export function owner(of: Predicate): Predicate {
  return of.op === 'none' ? NONE : { op: 'owner', of };
}

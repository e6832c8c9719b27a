/** The order of a search, where it is decided in this process because keys are sealed. */
import type { SortKey } from '../../query/plan.ts';

/** A place in an order: the sort keys, then the id. */
export type Position = readonly (string | number | null)[];

/** Negative, zero, positive: `a` comes before `b`, is level with it, comes after it. */
export function inOrder(sort: readonly SortKey[], a: Position, b: Position): number {
  if (a.length !== sort.length + 1 || b.length !== sort.length + 1)
    throw new RangeError('the position does not fit the order');
  for (const [i, key] of sort.entries()) {
    const order = ordered(a[i] ?? null, b[i] ?? null, key.descending);
    if (order !== 0) return order;
  }
  return ordered(a[sort.length] ?? null, b[sort.length] ?? null, false);
}

/** Nothing comes last both ways; numbers come before text, text goes by its bytes. */
function ordered(a: string | number | null, b: string | number | null, descending: boolean): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  const sign = descending ? -1 : 1;
  if (typeof a === 'number' && typeof b === 'number') return sign * (a - b);
  if (typeof a === 'string' && typeof b === 'string') return sign * Buffer.compare(Buffer.from(a), Buffer.from(b));
  return sign * (typeof a === 'number' ? -1 : 1);
}

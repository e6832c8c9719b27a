/** Guards and hops for tests of a store, which has no decision to make them from. Nothing under `server/` may import this. */
import type { Guard } from '../../server/query/plan.ts';
import { ALL, type Hop, type Predicate } from '../../server/query/predicate.ts';

/** A guard that lets through what `residual` says. */
export const guardWith = (type: string, residual: Predicate): Guard =>
  // INVARIANT: a test states the decision it wants to have been taken.
  ({ type, residual }) as Guard;

/** A guard that lets everything of a type through. */
export const systemGuard = (type: string): Guard => guardWith(type, ALL);

/** A hop exactly as given, without a guard in it. */
export const bareHop = (type: string, where: Predicate, deleted: boolean): Hop =>
  // INVARIANT: as above.
  ({ type, where, deleted }) as Hop;

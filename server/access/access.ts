/**
 * What one caller may do at one instant: the decisions of a request, made on demand and remembered for that request alone.
 * rules.md sections 1 to 4.
 */
import type { Instant } from '../fhir/types.ts';
import { type Guard, hop } from '../query/plan.ts';
import { ALL, NONE, not, or, type Predicate, term } from '../query/predicate.ts';
import type { Caller } from './caller.ts';
import { type Asking, type Decision, decide, guardOf, limit, type Rows, stateApart, type Vote } from './decision.ts';
import type { Policy } from './policy.ts';

/** What the decision needs to know of a type. */
export type TypeAccess = {
  readonly type: string;
  readonly rows: Rows;
  /** The rows that Binary, List and Provenance follow, where they differ (D1 without D1a). */
  readonly contentRows?: Rows;
  /** About a person, about nobody (the directory), or either (a Binary before its document, an AuditEvent). */
  readonly about: 'person' | 'nobody' | 'either';
};

export type AccessTypes = ReadonlyMap<string, TypeAccess>;

export type ReadLetter = 'r' | 's';
export type ScopeLetter = ReadLetter | 'c' | 'u' | 'd';

export type AccessOptions = {
  readonly caller: Caller;
  readonly now: Instant;
  readonly policy: Policy;
  readonly types: AccessTypes;
  /** The limit of the token's scopes on a type for a letter: `none` when no scope covers it. */
  readonly scopeLimit: (letter: ScopeLetter, type: string) => Predicate;
};

export type Access = {
  readonly caller: Caller;
  readonly now: Instant;
  readonly policy: Policy;
  /** Whether some row gives the type to this kind of caller; where none does, a search is 403. */
  readonly hasRow: (type: string) => boolean;
  readonly decision: (type: string, letter: ReadLetter) => Decision;
  readonly guard: (type: string, letter: ReadLetter) => Guard;
  /** Sections 1 to 4 without the scopes: what a write or a reference resolves inside. */
  readonly visible: (type: string) => Guard;
  /** Sections 3 and 4 alone, the state of the space and the scopes apart (D8: entities of an AuditEvent). */
  readonly sight: (type: string) => Guard;
  readonly scopeLimit: (letter: ScopeLetter, type: string) => Predicate;
  /** For the write rules: the same parts that reading is decided by. */
  readonly asking: Asking;
};

/** AuditEvents name AuditEvents that name others: beyond this depth an item counts as hidden. */
const DEEPEST = 2;

/** rules.md C5: an `ETREAT` token without a person opens the search by traits of D9 and nothing else. */
export const isTraitsOnly = (caller: Caller): boolean =>
  caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.person === undefined;

export function createAccess(options: AccessOptions): Access {
  const { caller, now, policy, types, scopeLimit } = options;
  const decisions = new Map<string, Decision>();

  const askingAt = (depth: number, apart: boolean): Asking => ({
    caller,
    now,
    policy,
    depth,
    follow: (type, what) => guardOf(decideOn(type, depth, apart, what)),
  });

  /** The grants of a type, and the limits that rules.md puts on every one of them; scopes come on top. */
  function votesOn(type: string, depth: number, apart: boolean, what: 'read' | 'with-content'): readonly Vote[] {
    const declared = types.get(type);
    const rows = what === 'with-content' ? (declared?.contentRows ?? declared?.rows) : declared?.rows;
    const row = rows?.[caller.kind];
    if (declared === undefined || row === undefined) return [];
    const granted = row(askingAt(depth, apart));
    const votes = type === 'AuditEvent' ? [...granted, ...itemsInSight(depth)] : granted;
    const pinned =
      caller.person !== undefined && declared.about !== 'nobody' ? [limit('C6', term('_owner', caller.person))] : [];
    return [...(apart ? stateApart(votes) : votes), ...pinned];
  }

  function decideOn(type: string, depth: number, apart: boolean, what: 'read' | 'with-content'): Decision {
    const key = `${type} ${depth} ${apart} ${what}`;
    const known = decisions.get(key);
    if (known !== undefined) return known;
    const decision = decide(type, votesOn(type, depth, apart, what));
    decisions.set(key, decision);
    return decision;
  }

  /** D8: an AuditEvent is shown when it names no item, or at least one that this reader could read now. */
  function itemsInSight(depth: number): readonly Vote[] {
    if (caller.kind === 'operator') return [];
    const reachable = [...types.keys()]
      // The Patient whom an event is about is no item.
      .filter((type) => type !== 'Patient' && (type !== 'AuditEvent' || depth < DEEPEST))
      .flatMap((type): Predicate[] => {
        const guard = guardOf(decideOn(type, depth + 1, true, 'read'));
        return guard.residual.op === 'none'
          ? []
          : [{ op: 'via', param: 'entity', hop: hop(guard, ALL, { deleted: true }) }];
      });
    return [limit('D8', or(not(term('_items', '1')), ...reachable))];
  }

  const decision = (type: string, letter: ReadLetter): Decision => {
    const key = `${letter} ${type}`;
    const known = decisions.get(key);
    if (known !== undefined) return known;
    const votes = [...votesOn(type, 0, false, 'read'), limit('scope', scopeLimit(letter, type))];
    const traits = isTraitsOnly(caller) && !(type === 'Patient' && letter === 's') ? [limit('C5', NONE)] : [];
    const made = decide(type, [...votes, ...traits]);
    decisions.set(key, made);
    return made;
  };

  const asking = askingAt(0, false);
  return {
    caller,
    now,
    policy,
    hasRow: (type) => (types.get(type)?.rows[caller.kind]?.(asking) ?? []).length > 0,
    decision,
    guard: (type, letter) => guardOf(decision(type, letter)),
    visible: (type) => (isTraitsOnly(caller) ? guardOf(decide(type, [])) : guardOf(decideOn(type, 0, false, 'read'))),
    sight: (type) => guardOf(decideOn(type, 1, true, 'read')),
    scopeLimit,
    asking,
  };
}

/**
 * The decision (XACML deny-overrides): any grant, and every limit. A decision is a predicate, put into the query;
 * nothing is filtered afterwards. `docs/decisions/0001-one-predicate-language.md`.
 */
import type { Instant } from '../fhir/types.ts';
import type { Guard } from '../query/plan.ts';
import { ALL, and, or, type Predicate } from '../query/predicate.ts';
import type { Caller, CallerKind } from './caller.ts';
import type { Policy } from './policy.ts';

/** An id of `rules.md`: `A3`, `D5`, `L1`, … */
export type RuleId = string;

/** One condition of a vote, with the rule it states. */
export type Part = { readonly rule: RuleId; readonly where: Predicate };

/** What one rule says of the resources of a type. A grant adds those for which all its parts hold; a limit takes away all others. */
export type Vote =
  | { readonly kind: 'grant'; readonly rule: RuleId; readonly parts: readonly Part[] }
  | { readonly kind: 'limit'; readonly rule: RuleId; readonly where: Predicate };

/** What a rule may look at: who asks, when, under which policy. One instant serves the whole request (T4). */
export type Asking = {
  readonly caller: Caller;
  readonly now: Instant;
  readonly policy: Policy;
  /** The guard of another type, for what follows it (a Binary follows its document). */
  readonly follow: (type: string, what: 'read' | 'with-content') => Guard;
  /** How deep a chain of followed types already is; beyond the last one nothing is granted. */
  readonly depth: number;
};

/** The grants of one type for one kind of caller. An absent kind, or one without a grant, has no row: its searches are refused (403). */
export type Rows = Readonly<Partial<Record<CallerKind, (asking: Asking) => readonly Vote[]>>>;

export type Decision = {
  readonly type: string;
  readonly votes: readonly Vote[];
  readonly residual: Predicate;
};

export const grant = (rule: RuleId, ...parts: readonly Part[]): Vote => ({ kind: 'grant', rule, parts });
export const limit = (rule: RuleId, where: Predicate): Vote => ({ kind: 'limit', rule, where });
export const part = (rule: RuleId, where: Predicate): Part => ({ rule, where });

/** Combines votes. No grant: nothing. `or()` of nothing is `none`, so the empty case needs no `if`. */
export function decide(type: string, votes: readonly Vote[]): Decision {
  const grants = votes.flatMap((v) => (v.kind === 'grant' ? [and(...v.parts.map((p) => p.where))] : []));
  const limits = votes.flatMap((v) => (v.kind === 'limit' ? [v.where] : []));
  return { type, votes, residual: and(or(...grants), ...limits) };
}

/** The permission to look that a decision gives. */
export function guardOf(decision: Decision): Guard {
  // INVARIANT: one of two casts to Guard, both in this file.
  return { type: decision.type, residual: decision.residual } as Guard;
}

/** Why the server itself looks, where no caller's decision applies: the facts that decisions are made of, and its own bookkeeping. */
export type SystemReason = 'facts' | 'directory' | 'audit' | 'integrity' | 'jobs';

/** Permission of the server itself. The architecture test names the files that may ask for one; nothing read by it is disclosed. */
export function systemGuard(type: string, _reason: SystemReason): Guard {
  return { type, residual: ALL } as Guard;
}

/** Drops the state of the space (S1) from votes: an AuditEvent's entities are judged apart from it (D8). */
export const stateApart = (votes: readonly Vote[]): readonly Vote[] =>
  votes.map((v) => (v.kind === 'grant' ? { ...v, parts: v.parts.filter((p) => p.rule !== 'S1') } : v));

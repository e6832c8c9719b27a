/** Outcomes as values. A throw is a bug (or a broken disk); everything a caller can provoke is one of these. */

import type { JsonObject, Ref } from './types.ts';

/** One fault of a request, for one OperationOutcome.issue. `at` is a FHIRPath expression where there is one. */
export type Fault = { readonly text: string; readonly at?: string; readonly code?: string };

/** Why a feed was put aside; no finer than what its sender is told. */
export type QuarantineReason = 'identity-missing' | 'identity-not-qualified' | 'identity-not-equal' | 'subject-unknown';

/** What a feed that failed the identity gate (W1) leaves for the operator: identity and metadata, no clinical content. */
export type Quarantine = {
  readonly reason: QuarantineReason;
  /** The contained Patient of the feed, as sent. */
  readonly identity: JsonObject | undefined;
  readonly masterIdentifier: JsonObject | undefined;
  /** The person whom the feed named, where its sender sees them. */
  readonly person: Ref | undefined;
};

/** The closed list of refusals. `outcome.ts` gives each its status. */
export type Failure =
  /** 401: one body, whatever the reason; `why` goes to the log only. */
  | { readonly code: 'unauthenticated'; readonly why: string }
  /** 403 known without looking at data: the token has no scope. */
  | { readonly code: 'out-of-scope'; readonly needed: string }
  /** 403 by a rule of `rules.md`, for a caller who sees the item or where no data was looked at. */
  | { readonly code: 'forbidden'; readonly rule: string; readonly text: string }
  /** 404: hidden, never existed, deleted and hidden. Always the same bytes. */
  | { readonly code: 'not-found' }
  | { readonly code: 'gone' }
  | { readonly code: 'method-not-allowed'; readonly text: string; readonly allow: string }
  | { readonly code: 'not-acceptable'; readonly text: string }
  /** 409, by a rule or by a business identifier. */
  | { readonly code: 'conflict'; readonly text: string; readonly rule?: string }
  | { readonly code: 'precondition-failed'; readonly text: string }
  | { readonly code: 'too-large'; readonly text: string }
  | { readonly code: 'unsupported-media-type'; readonly text: string }
  /** 400: the request cannot be understood. */
  | { readonly code: 'malformed'; readonly faults: readonly Fault[] }
  /** 422: understood, and refused by a profile or a business rule. */
  | {
      readonly code: 'unprocessable';
      readonly faults: readonly Fault[];
      readonly rule?: string;
      readonly quarantine?: Quarantine;
    }
  | { readonly code: 'unavailable'; readonly text: string; readonly retryAfterSeconds: number };

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

export const ok = <T>(value: T): Result<T> => ({ ok: true, value });
export const fail = (failure: Failure): { readonly ok: false; readonly failure: Failure } => ({ ok: false, failure });

/** 400 with one fault. */
export const malformed = (text: string, at?: string): { readonly ok: false; readonly failure: Failure } =>
  fail({ code: 'malformed', faults: [at === undefined ? { text } : { text, at }] });

/** 422 with one fault. */
export const unprocessable = (
  text: string,
  at?: string,
  rule?: string,
): { readonly ok: false; readonly failure: Failure } =>
  fail({
    code: 'unprocessable',
    faults: [at === undefined ? { text } : { text, at }],
    ...(rule === undefined ? {} : { rule }),
  });

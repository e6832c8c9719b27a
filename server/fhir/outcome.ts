/**
 * Refusals on the wire: one table from `Failure` to status, headers and OperationOutcome.
 * https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/http.html#Status-Codes
 */
import { SYSTEM } from './canonical.ts';
import type { Failure, Fault } from './result.ts';
import type { JsonObject } from './types.ts';

export type OutcomeResource = {
  readonly resourceType: 'OperationOutcome';
  readonly issue: readonly JsonObject[];
};

/** An answer without a resource of its own. Header names are lower case. */
export type OutcomeAnswer = {
  readonly status: number;
  readonly outcome: OutcomeResource;
  readonly headers: Readonly<Record<string, string>>;
};

type Issue = {
  readonly severity: 'error' | 'warning' | 'information';
  readonly code: string;
  readonly text: string;
  readonly at?: string | undefined;
  readonly rule?: string | undefined;
};

const issue = ({ severity, code, text, at, rule }: Issue): JsonObject => ({
  severity,
  code,
  details: {
    ...(rule === undefined ? {} : { coding: [{ system: SYSTEM.rule, code: rule }] }),
    text,
  },
  ...(at === undefined ? {} : { expression: [at] }),
});

const outcomeOf = (issues: readonly JsonObject[]): OutcomeResource => ({
  resourceType: 'OperationOutcome',
  issue: issues,
});

const single = (code: string, text: string, rule?: string): OutcomeResource =>
  outcomeOf([issue({ severity: 'error', code, text, rule })]);

const faulty = (faults: readonly Fault[], code: string, rule?: string): OutcomeResource =>
  outcomeOf(
    faults.map((fault) => issue({ severity: 'error', code: fault.code ?? code, text: fault.text, at: fault.at, rule })),
  );

// The bodies that must never differ between two requests are made once.
const NOT_FOUND = single('not-found', 'not found');
const GONE = single('deleted', 'deleted');
const UNAUTHENTICATED = single('login', 'a valid access token is required');
const NO_HEADERS: Readonly<Record<string, string>> = {};

type Row<C extends Failure['code']> = {
  readonly status: number;
  readonly outcome: (failure: Extract<Failure, { readonly code: C }>) => OutcomeResource;
  readonly headers?: (failure: Extract<Failure, { readonly code: C }>) => Readonly<Record<string, string>>;
};

const TABLE: { readonly [C in Failure['code']]: Row<C> } = {
  unauthenticated: { status: 401, outcome: () => UNAUTHENTICATED, headers: () => ({ 'www-authenticate': 'Bearer' }) },
  'out-of-scope': {
    status: 403,
    outcome: (f) => single('forbidden', `the token has no scope that allows \`${f.needed}\``),
  },
  forbidden: { status: 403, outcome: (f) => single('forbidden', f.text, f.rule) },
  'not-found': { status: 404, outcome: () => NOT_FOUND },
  gone: { status: 410, outcome: () => GONE },
  'method-not-allowed': {
    status: 405,
    outcome: (f) => single('not-supported', f.text),
    headers: (f) => ({ allow: f.allow }),
  },
  'not-acceptable': { status: 406, outcome: (f) => single('not-supported', f.text) },
  conflict: { status: 409, outcome: (f) => single('conflict', f.text, f.rule) },
  'precondition-failed': { status: 412, outcome: (f) => single('conflict', f.text) },
  'too-large': { status: 413, outcome: (f) => single('too-long', f.text) },
  'unsupported-media-type': { status: 415, outcome: (f) => single('not-supported', f.text) },
  malformed: { status: 400, outcome: (f) => faulty(f.faults, 'invalid') },
  unprocessable: { status: 422, outcome: (f) => faulty(f.faults, 'processing', f.rule) },
  unavailable: {
    status: 503,
    outcome: (f) => single('transient', f.text),
    headers: (f) => ({ 'retry-after': String(Math.max(1, Math.ceil(f.retryAfterSeconds))) }),
  },
};

/** The answer to a failure. A 404, a 410 and a 401 are the same object whatever the request. */
export const answerOf = (failure: Failure): OutcomeAnswer => {
  // INVARIANT: the row is looked up by the failure's own code, so its functions take exactly this member of the union.
  const row = TABLE[failure.code] as Row<Failure['code']>;
  return { status: row.status, outcome: row.outcome(failure), headers: row.headers?.(failure) ?? NO_HEADERS };
};

/** The status of a failure alone. */
export const statusOf = (failure: Failure): number => TABLE[failure.code].status;

/** An error that no failure of the table stands for. */
export const outcomeError = (code: string, text: string): OutcomeResource => single(code, text);

/** An informational outcome for a success that was asked to answer with one (`Prefer: return=OperationOutcome`). */
export const outcomeOk = (text: string): OutcomeResource =>
  outcomeOf([issue({ severity: 'information', code: 'informational', text })]);

/** What a validation found, and that it found nothing wrong where there is no error. */
export const outcomeFound = (
  findings: readonly (Fault & { readonly severity: 'error' | 'warning' })[],
): OutcomeResource =>
  outcomeOf([
    ...findings.map(({ severity, code, text, at }) => issue({ severity, code: code ?? 'invalid', text, at })),
    ...(findings.some(({ severity }) => severity === 'error')
      ? []
      : [issue({ severity: 'information', code: 'informational', text: 'valid' })]),
  ]);

/** A warning for each thing that a lenient request had dropped. */
export const outcomeWarnings = (faults: readonly Fault[]): OutcomeResource =>
  outcomeOf(
    faults.map((fault) =>
      issue({ severity: 'warning', code: fault.code ?? 'not-supported', text: fault.text, at: fault.at }),
    ),
  );

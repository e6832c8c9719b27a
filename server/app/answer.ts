/** What an interaction answers, before it becomes an HTTP response or an entry of a Bundle. */
import type { AuditAction } from '../audit/event.ts';
import type { Result } from '../fhir/result.ts';
import type { Version } from '../ports/store.ts';
import type { FhirRequest } from './request.ts';
import type { Work } from './work.ts';

export type Answer = {
  readonly status: number;
  /** Serialised FHIR, or nothing. */
  readonly body?: string;
  /** Streams instead of `body`; opened after the audit of this answer is durable. */
  readonly stream?: () => AsyncIterable<Uint8Array>;
  readonly contentType?: string;
  readonly etag?: string;
  readonly lastModified?: number;
  readonly location?: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** What remains of a rehearsal once what it wrote is undone. */
export type Rehearsed = {
  /** The item that it was about, for the audit of a refusal. */
  readonly item?: { readonly type: string; readonly id: string };
  /** Answers, in the unit that records the answer. */
  readonly conclude: (work: Work) => Promise<Result<Answer>>;
};

/** One FHIR interaction, as the route table names it. */
export type Interaction = {
  /** FHIR RESTful interaction code, or `operation`. */
  readonly name: string;
  readonly action: AuditAction;
  readonly run: (work: Work, request: FhirRequest) => Promise<Result<Answer>>;
  /** Asked on its own, instead of `run`: writes through the ordinary rules in a unit that is undone, whatever it finds. */
  readonly rehearse?: (work: Work, request: FhirRequest) => Promise<Rehearsed>;
  /** The item that the request names, for the audit of a refusal. */
  readonly item?: { readonly type: string; readonly id: string };
  readonly type?: string;
};

export const etagOf = (version: Version): string => `W/"${version.versionId}"`;

/** The answer that carries one version. */
export const versionAnswer = (status: number, version: Version, body: string | undefined): Answer => ({
  status,
  etag: etagOf(version),
  lastModified: version.lastUpdated,
  ...(body === undefined ? {} : { body }),
});

export type Preference = {
  readonly returns: 'representation' | 'minimal' | 'OperationOutcome';
  readonly lenient: boolean;
};

/** `Prefer` (RFC 7240, R4 http.html#prefer); what is not understood is not applied. */
export function preferenceOf(request: FhirRequest): Preference {
  const prefer = request.headers['prefer'] ?? '';
  const returns = /(?:^|[;,\s])return=(minimal|representation|OperationOutcome)(?:$|[;,\s])/.exec(prefer)?.[1];
  return {
    returns: returns === 'minimal' || returns === 'OperationOutcome' ? returns : 'representation',
    lenient: /(?:^|[;,\s])handling=lenient(?:$|[;,\s])/.test(prefer),
  };
}

/** Whether `If-None-Match` names this version (RFC 9110 section 13.1.2, weak comparison): then there is nothing new to send. */
export function noneMatchNames(header: string | undefined, version: Version): boolean {
  if (header === undefined) return false;
  const names = header.split(',').map((name) => name.trim());
  return names.some((name) => name === '*' || /^(?:W\/)?"([^"]*)"$/.exec(name)?.[1] === version.versionId);
}

/** Whether `If-Match` names this version; absent, it asks nothing. */
export const ifMatchHolds = (header: string | undefined, version: Version): boolean =>
  header === undefined ||
  header.trim() === '*' ||
  /^(?:W\/)?"?([^"]*)"?$/.exec(header.trim())?.[1] === version.versionId;

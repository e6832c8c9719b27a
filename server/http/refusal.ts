/**
 * Answers that the edge gives by itself, each one OperationOutcome. What the application also knows is in `fhir/outcome.ts`;
 * here is what only HTTP knows (RFC 9110 section 15).
 */
import { answerOf } from '../fhir/outcome.ts';
import type { Failure } from '../fhir/result.ts';
import type { Reply } from './respond.ts';

export const FHIR_JSON = 'application/fhir+json; charset=utf-8';

type Issue = { readonly code: string; readonly text: string; readonly diagnostics?: string };

const outcomeText = ({ code, text, diagnostics }: Issue): string =>
  JSON.stringify({
    resourceType: 'OperationOutcome',
    issue: [{ severity: 'error', code, details: { text }, ...(diagnostics === undefined ? {} : { diagnostics }) }],
  });

const plain = (status: number, issue: Issue): Reply => ({
  status,
  headers: { 'content-type': FHIR_JSON },
  body: outcomeText(issue),
});

/** The reply to a refusal that the application could have given too. */
export function refused(failure: Failure): Reply {
  const { status, outcome, headers } = answerOf(failure);
  return { status, headers: { 'content-type': FHIR_JSON, ...headers }, body: JSON.stringify(outcome) };
}

export const BODY_TIMEOUT: Reply = plain(408, { code: 'timeout', text: 'the body did not arrive in time' });
export const URI_TOO_LONG: Reply = plain(414, { code: 'too-long', text: 'the address is too long' });
export const TOO_MANY_HEADERS: Reply = plain(431, { code: 'too-long', text: 'there are too many header fields' });
/** RFC 9110 section 12.5.3: says which content coding would have been taken. */
export const ENCODED_BODY: Reply = {
  ...plain(415, { code: 'not-supported', text: 'a compressed body is not accepted' }),
  headers: { 'content-type': FHIR_JSON, 'accept-encoding': 'identity' },
};

/** 500: the request id and nothing else; what happened is in the log under it (security.md L-03). */
export const internalError = (requestId: string): Reply =>
  plain(500, { code: 'exception', text: 'internal error', diagnostics: requestId });

const RAW_REASON: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
};

const RAW_TEXT: Readonly<Record<string, readonly [status: number, code: string, text: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'too-long', 'the header fields are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'timeout', 'the request did not arrive in time'],
};

/** The whole text of an answer to bytes that are not a request: there is no response object for them. */
export function rawRefusal(
  code: string | undefined,
  requestId: string,
): { readonly status: number; readonly text: string } {
  const [status, issue, text] = RAW_TEXT[code ?? ''] ?? [400, 'invalid', 'the bytes received are not an HTTP request'];
  const body = outcomeText({ code: issue, text });
  const lines = [
    `HTTP/1.1 ${status} ${RAW_REASON[status] ?? ''}`,
    `Content-Type: ${FHIR_JSON}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    'Connection: close',
    '',
    body,
  ];
  return { status, text: lines.join('\r\n') };
}

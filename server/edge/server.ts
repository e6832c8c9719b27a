/**
 * The HTTP edge, on express 5: what concerns the wire and nothing else. Every address that is sent out starts with the configured base;
 * `Host` and forwarded headers influence nothing (security.md I-18, I-18b, V-01, V-02).
 */
import { createServer, type Server } from 'node:http';
import express, { type Request, type Response } from 'express';
import type { Dispatched } from '../app/dispatch.ts';
import type { FhirRequest, FhirResponse } from '../app/request.ts';
import { answerOf } from '../fhir/outcome.ts';
import type { Failure } from '../fhir/result.ts';
import type { HttpLog } from '../ports/log.ts';
import { readRequest } from './request.ts';
import { sendStream } from './respond.ts';
import { WrappedBinaryFault } from './wrapped-binary.ts';

export type HttpOptions = {
  readonly baseUrl: string;
  readonly maxBodyBytes: number;
  /** More requests at once than this are told to come back (503). */
  readonly maxInFlight: number;
  /** Whether `X-Forwarded-For` of these peers names the client. */
  readonly trustProxy: readonly string[];
  readonly dispatch: (request: FhirRequest) => Promise<Dispatched>;
  /** Serialised once. */
  readonly capabilityStatement: string;
  readonly smartConfiguration: string;
  readonly log: HttpLog;
  readonly newRequestId: () => string;
  /** Milliseconds that never go back. */
  readonly monotonic: () => number;
};

const MAX_URL_BYTES = 8192;
const COMMON: readonly (readonly [string, string])[] = [
  ['X-Content-Type-Options', 'nosniff'],
  ['Vary', 'Authorization, Accept, Prefer'],
  ['Access-Control-Allow-Origin', '*'],
  ['Access-Control-Expose-Headers', 'ETag, Location, Content-Location, Last-Modified, X-Request-Id, WWW-Authenticate'],
];
const PREFLIGHT: readonly (readonly [string, string])[] = [
  ['Access-Control-Allow-Methods', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'],
  [
    'Access-Control-Allow-Headers',
    'Authorization, Content-Type, Accept, Prefer, If-Match, If-None-Match, If-None-Exist, X-Request-Id',
  ],
  ['Access-Control-Max-Age', '600'],
];

export function createHttpServer(options: HttpOptions): Server {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.set('trust proxy', options.trustProxy.length === 0 ? false : [...options.trustProxy]);
  const basePath = new URL(options.baseUrl).pathname.replace(/\/$/, '');
  let inFlight = 0;

  const documentAt = (path: string, text: string, contentType: string): void => {
    const bytes = Buffer.from(text);
    app.get(path, (_request, response) => {
      for (const [name, value] of COMMON) response.setHeader(name, value);
      response.setHeader('Cache-Control', 'public, max-age=300');
      response.setHeader('Content-Type', contentType);
      response.setHeader('Content-Length', bytes.length);
      response.end(bytes);
    });
  };
  documentAt(`${basePath}/metadata`, options.capabilityStatement, 'application/fhir+json; charset=utf-8');
  for (const root of new Set([basePath, ''])) {
    documentAt(`${root}/.well-known/smart-configuration`, options.smartConfiguration, 'application/json');
  }

  const answer = async (request: Request, response: Response): Promise<void> => {
    const started = options.monotonic();
    const requestId = options.newRequestId();
    for (const [name, value] of COMMON) response.setHeader(name, value);
    response.setHeader('X-Request-Id', requestId);
    response.setHeader('Cache-Control', 'no-store');
    const inBase = request.path === basePath || request.path.startsWith(`${basePath}/`);
    if (request.method === 'OPTIONS' && inBase) {
      for (const [name, value] of PREFLIGHT) response.setHeader(name, value);
      response.status(204).end();
      return;
    }
    let done: Dispatched;
    if (!inBase) done = refused({ code: 'not-found' });
    else if (inFlight >= options.maxInFlight)
      done = refused({ code: 'unavailable', text: 'too many requests at once', retryAfterSeconds: 1 });
    else {
      inFlight += 1;
      try {
        done = await dispatched(request, requestId);
      } finally {
        inFlight -= 1;
      }
    }
    await send(request, response, done.response);
    const clientRequestId = request.get('x-request-id');
    options.log.write({
      level: 'info',
      event: 'request',
      requestId,
      method: request.method,
      route: templateOf(request.path.slice(basePath.length)),
      status: done.response.status,
      duration: Math.round((options.monotonic() - started) * 100) / 100,
      ...(clientRequestId === undefined ? {} : { clientRequestId: clientRequestId.slice(0, 128) }),
      ...(done.callerKind === undefined ? {} : { callerKind: done.callerKind }),
      ...(done.clientId === undefined ? {} : { clientId: done.clientId }),
      ...(done.why === undefined ? {} : { why: done.why }),
    });
  };

  async function dispatched(request: Request, requestId: string): Promise<Dispatched> {
    try {
      const read = await readRequest(request, {
        basePath,
        limits: { maxBodyBytes: options.maxBodyBytes, maxUrlBytes: MAX_URL_BYTES },
        requestId,
        address: request.ip ?? '',
      });
      return read.ok ? await options.dispatch(read.value) : refused(read.failure);
    } catch (error) {
      if (error instanceof WrappedBinaryFault) return refused({ code: 'malformed', faults: [{ text: error.message }] });
      if (isUnavailable(error))
        return refused({ code: 'unavailable', text: 'the store does not answer', retryAfterSeconds: 2 });
      options.log.write({
        level: 'error',
        event: 'fault',
        requestId,
        detail: error instanceof Error ? (error.stack ?? error.message) : 'unknown',
      });
      return fault();
    }
  }

  app.use(answer);
  const server = createServer({ maxHeaderSize: 32_768, keepAliveTimeout: 65_000 }, app);
  server.headersTimeout = 10_000;
  server.requestTimeout = 600_000;
  // A connection on which nothing moves for so long is cut; a slow upload that moves is not.
  server.timeout = 30_000;
  server.maxHeadersCount = 100;
  return server;
}

const isUnavailable = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error as { readonly code: unknown }).code === 'unavailable';

const FHIR_JSON = 'application/fhir+json; charset=utf-8';

function refused(failure: Failure): Dispatched {
  const { status, outcome, headers } = answerOf(failure);
  return { response: { status, headers: { 'content-type': FHIR_JSON, ...headers }, body: JSON.stringify(outcome) } };
}

/** A bug or a broken disk: the caller is told the request id (a header) and nothing else. */
const fault = (): Dispatched => ({
  response: {
    status: 500,
    headers: { 'content-type': FHIR_JSON },
    body: JSON.stringify({
      resourceType: 'OperationOutcome',
      issue: [{ severity: 'fatal', code: 'exception', details: { text: 'the server failed; quote X-Request-Id' } }],
    }),
  },
});

/** `Patient/p1/_history/3` → `Patient/[id]/_history/[id]`: what a log may keep. */
const templateOf = (path: string): string =>
  path
    .split('/')
    .map((s) => (s === '' || /^(_[a-z]+|\$[a-z-]+|[A-Z][A-Za-z]{2,40})$/.test(s) ? s : '[id]'))
    .join('/')
    .slice(0, 120);

async function send(request: Request, response: Response, answer: FhirResponse): Promise<void> {
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
  const raw = answer.headers['content-type'];
  if (raw !== undefined && !raw.startsWith('application/fhir+json')) {
    response.setHeader('Content-Disposition', 'attachment');
    response.setHeader('Content-Security-Policy', "default-src 'none'; sandbox");
  }
  // What was not read of a refused body is not read any more.
  if (!request.complete && answer.status >= 400) response.setHeader('Connection', 'close');
  if (answer.body === undefined) {
    response.end();
    return;
  }
  if (typeof answer.body === 'string') {
    const text = /[?&]_pretty=true(&|$)/.test(request.url) ? pretty(answer.body) : answer.body;
    const bytes = Buffer.from(text);
    response.setHeader('Content-Length', bytes.length);
    response.end(request.method === 'HEAD' ? undefined : bytes);
    return;
  }
  await sendStream(response, answer.body);
}

const pretty = (text: string): string => JSON.stringify(JSON.parse(text), null, 2);

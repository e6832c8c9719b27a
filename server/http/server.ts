/**
 * The HTTP edge: Express 5, one layer, no further middleware. Everything a client can send is turned into a `FhirRequest` or
 * refused here; everything the application answers goes out through `respond.ts`. Links are made of the configured base only.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import express from 'express';
import type { Dispatched } from '../app/dispatch.ts';
import type { FhirRequest } from '../app/request.ts';
import type { Definitions } from '../fhir/definitions.ts';
import type { Clock, IdSource } from '../ports/system.ts';
import { decodePath, decodeQuery, type KnownNames, localTarget, splitTarget, templateOf } from './address.ts';
import { BodyRefused, ClientGone } from './body.ts';
import { createClientAddress } from './client-address.ts';
import { clientRequestIdOf, type ExchangeLog, faultOf } from './exchange-log.ts';
import { acceptedForm, type Form, isXml } from './media-type.ts';
import { pretty } from './pretty.ts';
import { FHIR_JSON, internalError, rawRefusal, refused, TOO_MANY_HEADERS, URI_TOO_LONG } from './refusal.ts';
import {
  ALLOW,
  bearerOf,
  hasBody,
  headersOf,
  largestBody,
  methodOf,
  negotiated,
  type RequestLimits,
  readBody,
  readsContent,
  withPlainFormat,
} from './request.ts';
import { AnswerCut, type Reply, send } from './respond.ts';
import { type AuthorizationServer, smartConfiguration } from './smart-configuration.ts';
import { xmlOfJsonText } from './xml-body.ts';

export type HttpLimits = RequestLimits & {
  /** Exchanges at work at one time; one more is a 503. */
  readonly maxInFlight: number;
  /** Contents of Binaries on their way out at one time, whoever asks and whether they are there or not; one more is a 503. */
  readonly maxDownloads: number;
  /** Characters of a request target. */
  readonly maxTargetLength: number;
  readonly maxHeaderFields: number;
  readonly maxHeaderBytes: number;
  /** Milliseconds until all header fields have arrived. */
  readonly headersMs: number;
  /** Milliseconds until a whole request has arrived: with the size limits, the minimum rate of a sender. */
  readonly requestMs: number;
  /** Milliseconds without a byte in either direction, while an exchange is at work. */
  readonly socketIdleMs: number;
  /** Milliseconds that a client may go on sending a body which was refused. */
  readonly lingerMs: number;
};

/** security.md V-02; the rest ours. A server is given all of them in writing. */
export const HTTP_LIMITS: HttpLimits = {
  maxBodyBytes: 8_000_000,
  maxBinaryBytes: 5_000_000,
  bodyIdleMs: 30_000,
  maxInFlight: 512,
  maxDownloads: 64,
  maxTargetLength: 8_192,
  maxHeaderFields: 100,
  maxHeaderBytes: 32_768,
  headersMs: 10_000,
  requestMs: 300_000,
  socketIdleMs: 60_000,
  lingerMs: 5_000,
};

export type HttpOptions = {
  /** `CARNET_BASE_URL`; its path is where everything is served. */
  readonly baseUrl: string;
  readonly limits: HttpLimits;
  /** Addresses and networks whose `X-Forwarded-For` counts. */
  readonly trustProxy: readonly string[];
  /** What this server holds; the only types and operations that a log line names. */
  readonly resourceTypes: readonly string[];
  readonly operations: readonly string[];
  readonly authorizationServer: AuthorizationServer;
  readonly dispatch: (request: FhirRequest) => Promise<Dispatched>;
  /** The answer to a token that is refused whatever it is for; `undefined` for one that is worth reading a body for. */
  readonly refuse: (bearer: string) => Promise<Dispatched | undefined>;
  /** The CapabilityStatement, serialised once, and its entity tag, quotes included. */
  readonly metadata: () => { readonly json: string; readonly etag: string };
  /** What XML is read and written by. */
  readonly definitions: Definitions;
  readonly log: ExchangeLog;
  readonly ids: IdSource;
  readonly clock: Clock;
};

/** What becomes known about an exchange while it runs, for its log line. */
type Exchange = {
  readonly requestId: string;
  route: string;
  /** The form of the answer, once it is negotiated. */
  form: Form | undefined;
  isPretty: boolean;
  /** Whether it counts among the downloads. */
  isDownload: boolean;
  about: Omit<Dispatched, 'response'> | undefined;
};

const DISCOVERY = '.well-known/smart-configuration';
const METADATA_MODES: ReadonlySet<string> = new Set(['full', 'normative', 'terminology']);

const NOT_FOUND = refused({ code: 'not-found' });
const BUSY = refused({ code: 'unavailable', text: 'the server is busy', retryAfterSeconds: 1 });
const UNAVAILABLE = refused({ code: 'unavailable', text: 'the store is not available', retryAfterSeconds: 5 });

const notAllowed = (allow: string): Reply =>
  refused({ code: 'method-not-allowed', text: 'this method is not for this address', allow });

const ANY_METHOD = notAllowed(ALLOW);
/** RFC 9112 section 3.2. Node's own answer would lack what every answer has. */
const NO_HOST = refused({ code: 'malformed', faults: [{ text: 'the field `Host` is missing' }] });
const READ_ONLY = notAllowed('GET, HEAD, OPTIONS');

/** Any OPTIONS, preflight or not: the same for every address, so it tells nothing about one. */
const OPTIONS: Reply = {
  status: 204,
  headers: {
    allow: ALLOW,
    'access-control-allow-methods': ALLOW,
    'access-control-allow-headers':
      'Authorization, Content-Type, Accept, Prefer, If-Match, If-None-Match, If-Modified-Since, If-None-Exist, If-Range, Range, X-Request-Id',
    'access-control-max-age': '86400',
  },
  body: undefined,
};

/** What is known of bytes that are not a request. */
const NOT_READ = {
  event: 'exchange',
  method: '',
  route: '-',
  durationMs: 0,
  clientRequestId: undefined,
  callerKind: undefined,
  clientId: undefined,
  why: undefined,
} as const;

/** RFC 9110 section 13.1.2, weak comparison. */
const isNoneMatch = (header: string | undefined, etag: string): boolean => {
  if (header === undefined) return false;
  const strong = etag.replace(/^W\//, '');
  return header.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === strong);
};

/** The reply in the form that was negotiated; a generic type for a generic wish (R4 http.html#mime-type). */
const formed = (reply: Reply, form: Form, isPretty: boolean, definitions: Definitions): Reply => {
  if (typeof reply.body !== 'string' || (form === 'application/fhir+json' && !isPretty)) return reply;
  if (reply.headers['content-type']?.startsWith('application/fhir+json') !== true) return reply;
  const { 'content-length': _length, ...headers } = reply.headers;
  return {
    ...reply,
    headers: { ...headers, 'content-type': `${form}; charset=utf-8` },
    body: isXml(form) ? xmlOfJsonText(reply.body, definitions, isPretty) : isPretty ? pretty(reply.body) : reply.body,
  };
};

/** The reply that an error carries, itself or as a cause; `undefined` for a bug. */
const replyOf = (thrown: unknown): Reply | undefined => {
  for (let at = thrown; at instanceof Error; at = at.cause) {
    if (at instanceof BodyRefused) return at.reply;
    if ('code' in at && at.code === 'unavailable') return UNAVAILABLE;
  }
  return undefined;
};

/** Builds the replies of one server; the returned function never sends. `open` counts the downloads. */
function createReplies(
  options: HttpOptions,
  open: { downloads: number },
): (request: IncomingMessage, exchange: Exchange) => Promise<Reply> {
  const base = new URL(options.baseUrl).pathname.replace(/\/+$/, '');
  const names: KnownNames = { types: new Set(options.resourceTypes), operations: new Set(options.operations) };
  const addressOf = createClientAddress(options.trustProxy);
  const { limits } = options;

  const discovery: Reply = {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(smartConfiguration(options.resourceTypes, options.authorizationServer)),
    shared: true,
  };

  const metadata = (request: IncomingMessage, mode: string | undefined): Reply => {
    if (mode !== undefined && !METADATA_MODES.has(mode))
      return refused({ code: 'malformed', faults: [{ text: `\`mode\` has no value \`${mode.slice(0, 64)}\`` }] });
    const { json, etag } = options.metadata();
    return isNoneMatch(request.headers['if-none-match'], etag)
      ? { status: 304, headers: { etag }, body: undefined, shared: true }
      : { status: 200, headers: { 'content-type': FHIR_JSON, etag }, body: json, shared: true };
  };

  const isRead = (method: string | undefined): boolean => method === 'GET' || method === 'HEAD';

  return async (request, exchange) => {
    // Asked while the connection stands: of one that is gone nobody knows.
    const address = addressOf(request);
    if (request.rawHeaders.length > 2 * limits.maxHeaderFields) return TOO_MANY_HEADERS;
    if (request.headers.host === undefined && request.httpVersion !== '1.0') return NO_HOST;
    const target = request.url ?? '/';
    if (target.length > limits.maxTargetLength) return URI_TOO_LONG;
    if (request.method === 'OPTIONS') return OPTIONS;
    const { path: fullPath, query: queryText } = splitTarget(target);
    const local = fullPath.startsWith(`${base}/`) ? fullPath.slice(base.length + 1) : undefined;
    if (local === DISCOVERY || fullPath === `/${DISCOVERY}`) {
      exchange.route = DISCOVERY;
      return isRead(request.method) ? discovery : READ_ONLY;
    }
    if (local === undefined && fullPath !== base) return NOT_FOUND;
    const decodedPath = decodePath(local ?? '');
    if (!decodedPath.ok) return refused(decodedPath.failure);
    const path = decodedPath.value;
    const decodedQuery = decodeQuery(queryText, 'query');
    if (!decodedQuery.ok) return refused(decodedQuery.failure);
    const query = decodedQuery.value;
    // Known as early as it can be, so that refusals have it too.
    const form = negotiated({ method: request.method ?? '', path, query, accept: request.headers.accept });
    if (form.ok) exchange.form = form.value;
    exchange.isPretty = query.length > 0 && query.some(([name, value]) => name === '_pretty' && value === 'true');
    const method = methodOf(request.method);
    if (method === undefined) return ANY_METHOD;

    const isMetadata = path.length === 1 && path[0] === 'metadata';
    const template = isMetadata ? 'metadata' : templateOf(path, names);
    if (template === undefined) return NOT_FOUND;
    exchange.route = template;

    if (!form.ok) return refused(form.failure);
    if (isMetadata) {
      if (!isRead(method)) return READ_ONLY;
      return metadata(request, query.find(([name]) => name === 'mode')?.[1]);
    }

    const bearer = bearerOf(request.headers.authorization);
    if (bearer !== undefined && method === 'GET' && readsContent(method, path)) {
      if (open.downloads >= limits.maxDownloads) return BUSY;
      open.downloads += 1;
      exchange.isDownload = true;
    }
    // Without a token that passes the answer is 401 whatever the body says: none of it is read.
    const refusal = bearer !== undefined && hasBody(request) ? await options.refuse(bearer) : undefined;
    if (refusal !== undefined) {
      exchange.about = refusal;
      return refusal.response;
    }
    const read = bearer === undefined ? undefined : await readBody(request, { method, path }, options);
    const dispatched = await options.dispatch({
      method,
      path,
      query: withPlainFormat(read === undefined || read.form.length === 0 ? query : [...query, ...read.form]),
      headers: headersOf(request),
      body: read?.body ?? { kind: 'none' },
      requestId: exchange.requestId,
      bearer,
      address,
    });
    exchange.about = dispatched;
    return dispatched.response;
  };
}

/** Runs exchanges to their end, whatever happens in them; the returned function never throws. */
function createExchanges(
  options: HttpOptions,
  isClosing: () => boolean,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const open = { downloads: 0 };
  const replyTo = createReplies(options, open);
  const { log, clock, ids, limits } = options;
  let inFlight = 0;

  const fault = (requestId: string, thrown: unknown): void =>
    log.write({ event: 'fault', time: clock.now(), requestId, ...faultOf(thrown) });

  const guarded = async (request: IncomingMessage, exchange: Exchange): Promise<Reply | undefined> => {
    try {
      return await replyTo(request, exchange);
    } catch (error) {
      return error instanceof ClientGone ? undefined : thrownReply(exchange, error);
    }
  };

  const thrownReply = (exchange: Exchange, error: unknown): Reply => {
    const known = replyOf(error);
    if (known !== undefined && known !== UNAVAILABLE) return known;
    fault(exchange.requestId, error);
    return known ?? internalError(exchange.requestId);
  };

  /** In the form that the client asked for; a refusal from before it was negotiated goes by `Accept` alone. */
  const inForm = (reply: Reply, request: IncomingMessage, exchange: Exchange): Reply => {
    const form = exchange.form ?? acceptedForm(request.headers.accept) ?? 'application/fhir+json';
    try {
      return formed(reply, form, exchange.isPretty, options.definitions);
    } catch (error) {
      return formed(thrownReply(exchange, error), form, exchange.isPretty, options.definitions);
    }
  };

  /** Returns the status that was sent; 499, as proxies write it, when the client did not wait. */
  const finish = async (request: IncomingMessage, response: ServerResponse, exchange: Exchange): Promise<number> => {
    const plain = inFlight > limits.maxInFlight ? BUSY : await guarded(request, exchange);
    if (plain === undefined) {
      response.destroy();
      return 499;
    }
    const reply = inForm(plain, request, exchange);
    const sending = {
      requestId: exchange.requestId,
      headOnly: request.method === 'HEAD',
      last: isClosing(),
    };
    try {
      const sent = send(response, reply, sending);
      return (typeof sent === 'string' ? sent : await sent) === 'sent' ? reply.status : 499;
    } catch (error) {
      if (error instanceof AnswerCut || response.headersSent) {
        fault(exchange.requestId, error);
        response.destroy();
        return 499;
      }
      const instead = inForm(thrownReply(exchange, error), request, exchange);
      await send(response, instead, sending);
      return instead.status;
    }
  };

  return async (request, response) => {
    const started = performance.now();
    const exchange: Exchange = {
      requestId: ids.next(),
      route: '-',
      form: undefined,
      isPretty: false,
      isDownload: false,
      about: undefined,
    };
    let status = 500;
    inFlight += 1;
    try {
      status = await finish(request, response, exchange);
    } catch (error) {
      fault(exchange.requestId, error);
      response.destroy();
    } finally {
      inFlight -= 1;
      if (exchange.isDownload) open.downloads -= 1;
      const { about } = exchange;
      log.write({
        event: 'exchange',
        time: clock.now(),
        requestId: exchange.requestId,
        clientRequestId: clientRequestIdOf(request.headers['x-request-id']),
        method: request.method ?? '',
        route: exchange.route,
        status,
        durationMs: Math.round((performance.now() - started) * 1000) / 1000,
        callerKind: about?.callerKind,
        clientId: about?.clientId,
        why: about?.why,
      });
    }
    // The rest of a refused body is read and dropped, so that the client sees the answer; not for ever.
    if (!request.complete) {
      setTimeout(() => {
        if (!request.complete) request.destroy();
      }, limits.lingerMs).unref();
    }
  };
}

/** The HTTP server, not yet listening. Throws when `trustProxy` or `baseUrl` cannot be understood. */
export function createHttpServer(options: HttpOptions): Server {
  const { limits } = options;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.set('env', 'production');

  const answering = new WeakSet<Duplex>();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    answering.add(request.socket);
    request.url = localTarget(request.url ?? '/');
    app(request, response);
  };

  const server = createServer(
    {
      // Two `Authorization` or `Content-Type` fields become one that is not valid, where the first would have been taken silently.
      joinDuplicateHeaders: true,
      requireHostHeader: false,
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headersMs),
    },
    listener,
  );
  // Fields beyond Node's own limit would be dropped silently; they are counted and refused instead.
  server.maxHeadersCount = 0;
  server.timeout = limits.socketIdleMs;
  // Node closes a kept connection after five seconds of silence, often just as a client takes it up again; it may be kept as long as any other.
  server.keepAliveTimeout = limits.socketIdleMs;
  // `Expect: 100-continue`: no go-ahead for a body that will not be read, so that the refusal comes before it.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    const declared = Number(request.headers['content-length'] ?? 0);
    if (declared <= largestBody(limits) && request.headers.authorization !== undefined) response.writeContinue();
    listener(request, response);
  });
  // Other expectations are none of ours (RFC 9110 section 10.1.1): Node would answer them without what every answer has.
  server.on('checkExpectation', listener);
  server.on('clientError', (error: Error & { readonly code?: string }, socket: Duplex) => {
    // On a connection that has had an exchange, a raw answer could be taken for that of the request before.
    if (error.code === 'ECONNRESET' || !socket.writable || answering.has(socket)) socket.destroy();
    else {
      const requestId = options.ids.next();
      const { status, text } = rawRefusal(error.code, requestId);
      socket.end(text, () => socket.destroy());
      options.log.write({ ...NOT_READ, time: options.clock.now(), requestId, status });
    }
  });

  const exchange = createExchanges(options, () => !server.listening);
  app.use((request, response) => {
    void exchange(request, response);
  });
  return server;
}

/** Stops accepting, lets exchanges finish for `graceMs` milliseconds, then cuts what is left. Resolves when all is closed. */
export function closeGracefully(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

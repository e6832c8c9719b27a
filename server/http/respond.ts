/** From a reply to bytes on the wire: headers that every answer has, text as it is, streams with back-pressure. */
import type { ServerResponse } from 'node:http';

export type Reply = {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Text is serialised already; bytes are streamed, and stop when the iterator ends or throws. */
  readonly body: string | Buffer | AsyncIterable<Uint8Array> | undefined;
  /** Capability and discovery only: the same for everybody, so caches may keep it. */
  readonly shared?: true;
};

export type Sending = {
  readonly requestId: string;
  /** HEAD: everything but the body. */
  readonly headOnly: boolean;
  /** The server is shutting down: no further request on this connection. */
  readonly last: boolean;
};

/** How an answer ended; `gone` when the client did not wait for it. */
export type Sent = 'sent' | 'gone';

/** Thrown when an answer broke off in the middle and the connection was cut; `cause` is what the stream threw. */
export class AnswerCut extends Error {}

// Bearer tokens only, no cookies: any origin may ask, none is given credentials. R4 http.html#cors lists what is exposed.
const EVERYWHERE: readonly string[] = [
  'X-Content-Type-Options',
  'nosniff',
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Expose-Headers',
  'Accept-Ranges, Content-Range, ETag, Location, Content-Location, Last-Modified, X-Request-Id',
];
/** security.md I-18: nothing about a person stays in a cache, and no cache answers one caller with another's answer. */
const PRIVATE: readonly string[] = [
  'Cache-Control',
  'no-store',
  'Vary',
  'Authorization, Accept, Prefer',
  ...EVERYWHERE,
];
const SHARED: readonly string[] = ['Cache-Control', 'public, max-age=300', 'Vary', 'Accept', ...EVERYWHERE];
/** Whatever a Binary holds, a browser neither runs nor shows it in this origin (R4 security.html#binary). */
const CONTENT: readonly string[] = [
  'Content-Security-Policy',
  "default-src 'none'; sandbox",
  'Content-Disposition',
  'attachment',
  'Cross-Origin-Resource-Policy',
  'same-origin',
];

/** What the edge alone decides; a reply cannot change it. */
const OWN: ReadonlySet<string> = new Set([
  'cache-control',
  'vary',
  'x-content-type-options',
  'access-control-allow-origin',
  'access-control-expose-headers',
  'content-security-policy',
  'content-disposition',
  'cross-origin-resource-policy',
  'x-request-id',
  'connection',
  'transfer-encoding',
]);

const headersOf = (reply: Reply, sending: Sending, streamed: boolean): string[] => {
  const headers = [...(reply.shared === true ? SHARED : PRIVATE), 'X-Request-Id', sending.requestId];
  if (streamed) headers.push(...CONTENT);
  if (sending.last) headers.push('Connection', 'close');
  for (const name in reply.headers) {
    const value = reply.headers[name];
    if (value !== undefined && !OWN.has(name)) headers.push(name, value);
  }
  return headers;
};

/** RFC 9110 6.4.1: these have no content, and no length of it. */
const isBodiless = (status: number): boolean => status === 204 || status === 304;

/**
 * Sends a reply. When the first piece of a stream cannot be had, throws what the stream threw, and nothing was sent;
 * `AnswerCut` after that.
 */
export function send(response: ServerResponse, reply: Reply, sending: Sending): Sent | Promise<Sent> {
  const { body } = reply;
  if (response.destroyed) {
    return isStream(body) ? abandon(body).then(() => 'gone') : 'gone';
  }
  if (isStream(body)) return sendStream(response, { ...reply, body }, sending);
  // HEAD has the headers of GET, and a stream that is not opened for it was to be content.
  const isContent = sending.headOnly && body === undefined && reply.headers['content-type'] !== undefined;
  const headers = headersOf(reply, sending, isContent);
  // The length of what HEAD leaves out is said only where it is known.
  if (!isBodiless(reply.status) && !(sending.headOnly && body === undefined)) {
    const length = body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    if (reply.headers['content-length'] === undefined) headers.push('Content-Length', String(length));
  }
  response.writeHead(reply.status, headers);
  if (body === undefined || sending.headOnly || isBodiless(reply.status)) response.end();
  else response.end(body);
  return 'sent';
}

const isStream = (body: Reply['body']): body is AsyncIterable<Uint8Array> =>
  typeof body === 'object' && !Buffer.isBuffer(body);

/** Lets a stream that will not be read free what it holds. */
const abandon = async (body: AsyncIterable<Uint8Array>): Promise<void> => {
  await body[Symbol.asyncIterator]().return?.();
};

type Streaming = Reply & { readonly body: AsyncIterable<Uint8Array> };

async function sendStream(response: ServerResponse, reply: Streaming, sending: Sending): Promise<Sent> {
  const headers = headersOf(reply, sending, true);
  if (sending.headOnly) {
    await abandon(reply.body);
    response.writeHead(reply.status, headers);
    response.end();
    return 'sent';
  }
  const iterator = reply.body[Symbol.asyncIterator]();
  let open = true;
  const stop = (): void => {
    if (!open) return;
    open = false;
    iterator.return?.().catch(() => {});
  };
  response.on('close', stop);
  try {
    // The first piece before the first byte: what fails now can still be answered properly.
    let next = await iterator.next();
    if (!open) return 'gone';
    response.writeHead(reply.status, headers);
    let sent = 0;
    for (; next.done !== true; next = await nextPiece(response, iterator)) {
      sent += next.value.length;
      if (!response.write(next.value)) await drained(response);
      if (!open) return 'gone';
    }
    if (!open) return 'gone';
    open = false;
    // Fewer bytes than announced must not pass for an answer that is merely slow.
    const declared = reply.headers['content-length'];
    if (declared !== undefined && Number(declared) !== sent) cut(response, new Error('not the announced length'));
    response.end();
    return 'sent';
  } finally {
    stop();
    response.off('close', stop);
  }
}

const nextPiece = async (
  response: ServerResponse,
  iterator: AsyncIterator<Uint8Array>,
): Promise<IteratorResult<Uint8Array>> => {
  try {
    return await iterator.next();
  } catch (error) {
    return cut(response, error);
  }
};

/** Breaks the connection: without the last chunk of the body, no client takes a part for the whole. */
const cut = (response: ServerResponse, cause: unknown): never => {
  response.destroy();
  throw new AnswerCut('the answer was cut', { cause });
};

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    if (response.destroyed) return resolve();
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });

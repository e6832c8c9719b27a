/** Bytes of a request on their way in: counted, timed, never more in memory than asked for. */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Failure } from '../fhir/result.ts';
import { BODY_TIMEOUT, refused } from './refusal.ts';
import type { Reply } from './respond.ts';

/** Thrown out of a body that cannot be read to its end; carries the answer. */
export class BodyRefused extends Error {
  readonly reply: Reply;
  constructor(reply: Reply) {
    super('body refused');
    this.reply = reply;
  }
}

export const refuseBody = (failure: Failure): BodyRefused => new BodyRefused(refused(failure));

/** Thrown when the client went away in the middle of its own request: there is nobody to answer. */
export class ClientGone extends Error {}

export type BodyLimits = {
  /** Size in bytes. */
  readonly maxBytes: number;
  /** Longest pause between two pieces of the body, in milliseconds (security.md V-02). */
  readonly idleMs: number;
};

const tooLarge = (limits: BodyLimits): BodyRefused =>
  refuseBody({ code: 'too-large', text: `the body has more than ${limits.maxBytes} bytes` });

/** Throws `BodyRefused` (413) when the declared length alone is too much: not a byte is read then. */
export function checkDeclaredLength(request: IncomingMessage, limits: BodyLimits): void {
  const declared = request.headers['content-length'];
  if (declared !== undefined && Number(declared) > limits.maxBytes) throw tooLarge(limits);
}

const BODY_EVENTS = ['readable', 'end', 'error', 'close'] as const;

/** Settles when there is something to read, or the body has ended or broken; rejects after `idleMs` of silence. */
const nextEvent = (request: IncomingMessage, idleMs: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      for (const event of BODY_EVENTS) request.off(event, arrived);
    };
    const arrived = (): void => {
      stop();
      resolve();
    };
    const timer = setTimeout(() => {
      stop();
      reject(new BodyRefused(BODY_TIMEOUT));
    }, idleMs);
    for (const event of BODY_EVENTS) request.on(event, arrived);
  });

/**
 * The body piece by piece, as fast as it is consumed. Throws `BodyRefused` (413, 408) or `ClientGone`. Stopping early leaves the
 * connection open, so that an answer can still be sent.
 */
export async function* bodyChunks(request: IncomingMessage, limits: BodyLimits): AsyncGenerator<Buffer> {
  let size = 0;
  // The error itself is seen as a body that is destroyed before its end.
  const ignore = (): void => {};
  request.on('error', ignore);
  for (;;) {
    const chunk: Buffer | null = request.read();
    if (chunk !== null) {
      size += chunk.length;
      if (size > limits.maxBytes) throw tooLarge(limits);
      yield chunk;
    } else if (request.readableEnded) return;
    else if (request.destroyed) throw new ClientGone('the client went away');
    else await nextEvent(request, limits.idleMs);
  }
}

/** The whole body as text; throws as `bodyChunks` does, and `BodyRefused` (400) when it is not UTF-8 (security.md P-05). */
export async function bodyText(request: IncomingMessage, limits: BodyLimits): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of bodyChunks(request, limits)) chunks.push(chunk);
  const [first] = chunks;
  const whole = first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks);
  if (!isUtf8(whole)) throw refuseBody({ code: 'malformed', faults: [{ text: 'the body is not valid UTF-8' }] });
  return whole.toString('utf8');
}

/**
 * A small HTTP/1.1 load generator: keep-alive sockets, one request under way on each, requests made beforehand. It spends a few microseconds on a
 * request, where a general client spends more than some of the servers measured here, and the two share the machine.
 */
import { connect, type Socket } from 'node:net';

/** A request as the bytes that go over the wire. */
export type Wire = Buffer;

export type Wanted = {
  readonly method: string;
  /** Path and query below the origin. */
  readonly target: string;
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

/** The bytes of one request. */
export function wire({ method, target, token, body, headers }: Wanted): Wire {
  const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: 127.0.0.1',
    ...(headers?.['accept'] === undefined ? ['Accept: application/fhir+json'] : []),
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ...(content === undefined ? [] : ['Content-Type: application/fhir+json', `Content-Length: ${content.length}`]),
    ...Object.entries(headers ?? {}).map(([name, value]) => `${name}: ${value}`),
  ];
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
  return content === undefined ? head : Buffer.concat([head, content]);
}

export type Load = {
  readonly port: number;
  readonly connections: number;
  /** Stops when either is reached; what is under way is still awaited. */
  readonly seconds: number;
  readonly requests: number;
  /** The bytes of request number `n`, and the statuses that count as success. */
  readonly next: (n: number) => Wire;
  readonly expect: readonly number[];
  /** Told of each answer that succeeded. */
  readonly answered?: (n: number, text: () => string) => void;
};

export type Measured = {
  readonly requests: number;
  readonly failed: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Bytes of the bodies answered, on average. */
  readonly bytes: number;
  /** The first answer that did not succeed, for the report. */
  readonly fault?: string;
};

type Answered = { readonly status: number; readonly bytes: number; readonly text: () => string };

/** Sends requests over `connections` sockets, each waiting for its answer before the next. */
export async function drive(load: Load): Promise<Measured> {
  const latencies: number[] = [];
  let started = 0;
  let failed = 0;
  let bytes = 0;
  let fault: string | undefined;
  const begun = performance.now();
  const until = begun + load.seconds * 1000;
  const more = (): boolean => started < load.requests && performance.now() < until;

  await Promise.all(
    Array.from({ length: load.connections }, async () => {
      const line = await open(load.port);
      try {
        while (more()) {
          const n = started;
          started += 1;
          const sent = performance.now();
          const answer = await line.ask(load.next(n));
          latencies.push(performance.now() - sent);
          bytes += answer.bytes;
          if (load.expect.includes(answer.status)) {
            load.answered?.(n, answer.text);
            continue;
          }
          failed += 1;
          fault ??= `${answer.status} ${answer.text().slice(0, 400)}`;
        }
      } finally {
        line.close();
      }
    }),
  );

  const seconds = (performance.now() - begun) / 1000;
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return {
    requests: latencies.length,
    failed,
    seconds,
    perSecond: latencies.length / seconds,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    bytes: latencies.length === 0 ? 0 : bytes / latencies.length,
    ...(fault === undefined ? {} : { fault }),
  };
}

/** One request on a socket of its own, answered with the body as text. */
export async function askOnce(
  port: number,
  request: Wire,
): Promise<{ readonly status: number; readonly text: string }> {
  const line = await open(port);
  try {
    const answer = await line.ask(request);
    return { status: answer.status, text: answer.text() };
  } finally {
    line.close();
  }
}

type Line = { readonly ask: (request: Wire) => Promise<Answered>; readonly close: () => void };

async function open(port: number): Promise<Line> {
  const socket = await connected(port);
  socket.setNoDelay(true);
  let waiting: { readonly resolve: (a: Answered) => void; readonly reject: (e: Error) => void } | undefined;
  let chunks: Buffer[] = [];
  let held = 0;
  /** Bytes of the whole answer once its head is known, the status, and where the body begins. */
  let whole: number | undefined;
  let status = 0;
  let bodyAt = 0;

  const fail = (error: Error): void => {
    const one = waiting;
    waiting = undefined;
    one?.reject(error);
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the server closed the connection')));
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    held += chunk.length;
    if (whole === undefined) {
      const joined = chunks.length === 1 ? chunk : Buffer.concat(chunks);
      chunks = [joined];
      const end = joined.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = joined.toString('latin1', 0, end);
      status = Number(head.slice(9, 12));
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
      if (length === undefined && status !== 204 && status !== 304) {
        fail(new Error('the answer has no Content-Length'));
        return;
      }
      bodyAt = end + 4;
      whole = bodyAt + Number(length ?? 0);
    }
    if (held < whole) return;
    const parts = chunks;
    const [from, to] = [bodyAt, whole];
    const one = waiting;
    chunks = [];
    held = 0;
    whole = undefined;
    waiting = undefined;
    one?.resolve({ status, bytes: to - from, text: () => Buffer.concat(parts).toString('utf8', from, to) });
  });

  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        socket.write(request);
      }),
    close: () => socket.destroy(),
  };
}

const connected = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
  });

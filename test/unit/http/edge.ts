/** The real HTTP edge on a free port, with a small application behind it. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { onTestFinished } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import type { Dispatched } from '../../../server/app/dispatch.ts';
import type { FhirRequest } from '../../../server/app/request.ts';
import type { ExchangeLine, FaultLine } from '../../../server/http/exchange-log.ts';
import { createHttpServer, HTTP_LIMITS, type HttpOptions } from '../../../server/http/server.ts';

export const BASE = 'https://carnet.test/fhir';
export const FHIR = 'application/fhir+json';
export const TOKEN = 'Bearer a.b.c';

const definitions = shippedDefinitions();

export type Edge = {
  readonly server: Server;
  readonly port: number;
  readonly lines: readonly (ExchangeLine | FaultLine)[];
  /** The requests that reached the application. */
  readonly seen: readonly FhirRequest[];
};

export type EdgeOptions = Partial<Omit<HttpOptions, 'limits' | 'dispatch'>> & {
  readonly limits?: Partial<HttpOptions['limits']>;
  readonly answer?: (request: FhirRequest) => Promise<Dispatched['response']>;
  readonly about?: Omit<Dispatched, 'response'>;
};

export const json = (value: unknown, status = 200): Dispatched['response'] => ({
  status,
  headers: { 'content-type': `${FHIR}; charset=utf-8` },
  body: typeof value === 'string' ? value : JSON.stringify(value),
});

/** Starts an edge; it is closed when the test ends. */
export async function startEdge(options: EdgeOptions = {}): Promise<Edge> {
  const { limits, answer, about, ...rest } = options;
  const lines: (ExchangeLine | FaultLine)[] = [];
  const seen: FhirRequest[] = [];
  let count = 0;
  const server = createHttpServer({
    baseUrl: BASE,
    limits: { ...HTTP_LIMITS, ...limits },
    trustProxy: [],
    resourceTypes: ['Patient', 'Binary', 'DocumentReference'],
    operations: ['$mask'],
    authorizationServer: {},
    dispatch: async (request) => {
      seen.push(request);
      const response = await (answer ?? (async () => json({ resourceType: 'Patient' })))(request);
      return { response, ...about };
    },
    refuse: async () => undefined,
    metadata: () => ({ json: '{"resourceType":"CapabilityStatement"}', etag: 'W/"m1"' }),
    definitions,
    log: { write: (line) => void lines.push(line) },
    ids: {
      next: () => {
        count += 1;
        return `exchange-${count}`;
      },
    },
    clock: { now: () => Date.parse('2026-03-15T12:00:00Z') },
    ...rest,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port, lines, seen };
}

/** Sends bytes as they are and returns everything that comes back until the connection ends. */
export async function raw(edge: Edge, text: string | Buffer): Promise<string> {
  const socket = connect(edge.port, '127.0.0.1');
  socket.on('error', () => {});
  let received = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    received += chunk;
  });
  socket.write(text);
  await once(socket, 'close');
  return received;
}

/** What an OperationOutcome says. */
export const said = (body: any): string => `${body?.issue?.[0]?.code}: ${body?.issue?.[0]?.details?.text}`;

export async function* pieces(...all: readonly (string | Uint8Array)[]): AsyncGenerator<Buffer> {
  for (const piece of all) yield Buffer.from(piece as string);
}

export const until = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 400 && !holds(); i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
};

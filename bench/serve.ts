/**
 * One measured process. `carnet` is the server as it ships; the other variants replace single modules of it while they load, here and nowhere else.
 * Orders come over the process channel, so that measuring costs the server nothing while requests run.
 */

import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { Session } from 'node:inspector/promises';
import { registerHooks } from 'node:module';
import express from 'express';
import type { Running } from '../server/main.ts';

export type Variant =
  | 'node-http'
  | 'express'
  | 'carnet'
  | 'carnet-no-audit'
  | 'carnet-no-consent'
  | 'carnet-neither'
  | 'carnet-unsealed';

export type Usage = {
  /** Microseconds of processor time so far, user and system. */
  readonly cpu: number;
  readonly rss: number;
};

export type Order =
  | { readonly op: 'usage' }
  | {
      readonly op: 'seed';
      readonly people: readonly string[];
      readonly structure: string;
      readonly each: number;
      readonly seed: number;
      readonly from?: number;
    }
  | { readonly op: 'profile' }
  | { readonly op: 'profiled'; readonly file: string }
  | { readonly op: 'stop' };

type Message = { readonly id: number; readonly order: Order };

const variant = (process.env['BENCH_VARIANT'] ?? 'carnet') as Variant;
const port = Number(process.env['BENCH_PORT']);

/** Which module of the server a variant loads instead of the one named. */
const REPLACED: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  'carnet-unsealed': [['/server/adapters/vault/seal.ts', 'variants/seal-nothing.ts']],
  'carnet-no-audit': [['/server/app/record.ts', 'variants/record-nothing.ts']],
  'carnet-no-consent': [['/server/access/access.ts', 'variants/access-open.ts']],
  'carnet-neither': [
    ['/server/app/record.ts', 'variants/record-nothing.ts'],
    ['/server/access/access.ts', 'variants/access-open.ts'],
  ],
};

const replaced = REPLACED[variant] ?? [];
if (replaced.length > 0) {
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      const other = replaced.find(([from]) => found.url.endsWith(from));
      if (other === undefined || context.parentURL?.includes('/bench/variants/') === true) return found;
      return { ...found, url: new URL(other[1], import.meta.url).href };
    },
  });
}

let running: Running | undefined;
let bare: Server | undefined;
if (variant === 'node-http' || variant === 'express') {
  bare = createBare(variant);
  await new Promise<void>((resolve) => bare?.listen(port, '127.0.0.1', resolve));
} else {
  const [{ start }, { loadConfig }] = await Promise.all([import('../server/main.ts'), import('../server/config.ts')]);
  running = await start(loadConfig());
}

/** Sends `size` bytes for `/payload/<size>`: made once, as a server would that has nothing to do. */
function createBare(kind: 'node-http' | 'express'): Server {
  const payloads = new Map<string, Buffer>();
  const payload = (size: string): Buffer => {
    const known = payloads.get(size);
    if (known !== undefined) return known;
    const made = Buffer.from(
      JSON.stringify({ resourceType: 'Basic', text: 'x'.repeat(Math.max(0, Number(size) - 37)) }),
    );
    payloads.set(size, made);
    return made;
  };
  if (kind === 'node-http') {
    return createServer((request, response) => {
      const body = payload(request.url?.split('/')[2] ?? '0');
      response.writeHead(200, {
        'Content-Type': 'application/fhir+json; charset=utf-8',
        'Content-Length': body.length,
      });
      response.end(body);
    });
  }
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.get('/payload/:size', (request, response) => {
    response.type('application/fhir+json').send(payload(request.params.size));
  });
  // What is sent to it is read as JSON and let go.
  app.post('/sink', express.json({ limit: '64mb', type: () => true }), (_request, response) => {
    response.type('application/fhir+json').send(payload('200'));
  });
  return createServer(app);
}

let session: Session | undefined;

async function obey(order: Order): Promise<unknown> {
  switch (order.op) {
    case 'usage': {
      const { user, system } = process.cpuUsage();
      return { cpu: user + system, rss: process.memoryUsage.rss() } satisfies Usage;
    }
    case 'seed': {
      if (running === undefined) throw new Error('only the server itself can be filled');
      const { seedDocuments } = await import('./seed.ts');
      return seedDocuments(running.deps, order);
    }
    case 'profile':
      session = new Session();
      session.connect();
      await session.post('Profiler.enable');
      await session.post('Profiler.setSamplingInterval', { interval: 200 });
      await session.post('Profiler.start');
      return undefined;
    case 'profiled': {
      const stopped = await session?.post('Profiler.stop');
      session?.disconnect();
      writeFileSync(order.file, JSON.stringify(stopped?.profile));
      return undefined;
    }
    case 'stop':
      await running?.stop();
      bare?.closeAllConnections();
      bare?.close();
      return undefined;
  }
}

process.on('message', (message: Message) => {
  void obey(message.order).then(
    (value) => {
      process.send?.({ id: message.id, value: value ?? null });
      if (message.order.op === 'stop') process.disconnect();
    },
    (error: unknown) => process.send?.({ id: message.id, error: error instanceof Error ? error.stack : String(error) }),
  );
});
process.send?.({ ready: true });

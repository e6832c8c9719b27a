/**
 * Servers inside the test's own process, composed as `server/main.ts` composes one, with ids, cursors and a clock that the test decides. Requests
 * go through a real socket; only the store behind it changes from one world to the next.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { Agent, request as httpRequest, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shippedDocumentClasses } from '../../server/adapters/document-classes.ts';
import { inflate } from '../../server/adapters/inflate.ts';
import { openSqliteStore, SQLITE_STORE_DEFAULTS } from '../../server/adapters/store-sqlite/store.ts';
import { readIssuers } from '../../server/adapters/token-jwt/issuer.ts';
import { createTokenVerifier } from '../../server/adapters/token-jwt/verify.ts';
import { shippedDefinitions } from '../../server/adapters/validator/definitions.ts';
import { shippedConformance } from '../../server/adapters/validator/profile/own.ts';
import { profileValidator } from '../../server/adapters/validator/profile/profiles.ts';
import { r4Validator } from '../../server/adapters/validator/validator.ts';
import type { Deps } from '../../server/app/deps.ts';
import { createDispatch } from '../../server/app/dispatch.ts';
import { directoryMemory } from '../../server/app/facts.ts';
import { OPERATION_NAMES } from '../../server/app/route.ts';
import { ACCESS_TYPES, DECLARATIONS } from '../../server/app/types/index.ts';
import { registryFor, type SearchDefinitions } from '../../server/fhir/search-parameter.ts';
import { summariesOf } from '../../server/fhir/summary.ts';
import type { Json } from '../../server/fhir/types.ts';
import { createHttpServer, HTTP_LIMITS } from '../../server/http/server.ts';
import type { CursorSeal } from '../../server/ports/cursor-seal.ts';
import type { ResourceStore } from '../../server/ports/store.ts';
import type { Instant } from '../oracle/world.ts';
import { mongoShelf } from './mongo-store.ts';
import { mongodbUrl, ON_MONGODB } from './store-setting.ts';
import { createMint, type Mint } from './world.ts';

/** The base of every server of this process: links and bodies are then the same in all of them. */
export const BASE = 'http://127.0.0.1:8103/fhir';

export const definitions = shippedDefinitions();
const searchDefinitions = JSON.parse(
  readFileSync(new URL('../../fhir-profiles/definitions/search-parameters.json', import.meta.url), 'utf8'),
) as SearchDefinitions;
/** The search parameters of every declared type. */
export const registry = registryFor({ definitions: searchDefinitions, types: [...DECLARATIONS.keys()], omit: [] });
const validator = r4Validator(definitions);
const profiles = profileValidator({ definitions, own: shippedConformance(), packages: [] });
const summaries = summariesOf(definitions);
const { entries, mint } = createMint(BASE);
const issuers = readIssuers(entries as unknown as Json, BASE);
if (!issuers.ok) throw new Error(issuers.why);
const verifier = createTokenVerifier({
  issuers: issuers.value,
  baseUrl: BASE,
  clockToleranceSeconds: 0,
  fetchKeySet: () => Promise.reject(new Error('no key set is fetched here')),
  monotonic: () => performance.now(),
});

/** Tokens that the servers of this process accept. */
export const mintToken: Mint = mint;

/**
 * Seals nothing: what a cursor holds can be read and compared, ids included. It still opens only in the context that it was made for, as the real one does.
 */
const readableCursors: CursorSeal = {
  seal: (text, context) => `${digest(context)}.${text.replace(/[^A-Za-z0-9-]/g, (char) => `_${char.charCodeAt(0)}_`)}`,
  open: (sealed, context) => {
    const dot = sealed.indexOf('.');
    if (sealed.slice(0, dot) !== digest(context)) return undefined;
    return sealed.slice(dot + 1).replace(/_(\d+)_/g, (_all, code: string) => String.fromCharCode(Number(code)));
  },
};

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** What one world is served with. */
export type Serving = {
  readonly store: ResourceStore;
  readonly policy: Deps['policy'];
  readonly now: () => Instant;
  readonly nextId: () => string;
  /** The id of the exchange that begins. */
  readonly requestId: () => string;
};

/** The ports of a server over a store, for requests and for the test's own bookkeeping. */
export const depsFor = ({ store, policy, now, nextId }: Omit<Serving, 'requestId'>): Deps => ({
  store,
  verifier,
  validator,
  profiles,
  clock: { now },
  ids: { next: nextId },
  cursors: readableCursors,
  inflate,
  registry,
  declarations: DECLARATIONS,
  accessTypes: ACCESS_TYPES,
  directory: directoryMemory(),
  auditEntries: new Map(),
  toldSessions: new Map(),
  documentClasses: shippedDocumentClasses(),
  policy,
  summaries,
  definitions,
  baseUrl: BASE,
  serverAddress: new URL(BASE).host,
  limits: { maxBinaryBytes: 1_000_000, maxBundleEntries: 100 },
});

/** One request as it goes to the wire; `path` is below the base, `url` whole (a link that was answered). */
export type WireRequest = {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
};

/** Everything that came back. Header names are lower case, in the order of the wire. */
export type WireAnswer = {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
};

/** A listening server whose world can be changed. */
export type InProcess = {
  /** Serves this from now on. */
  readonly serve: (serving: Serving) => void;
  readonly send: (request: WireRequest) => Promise<WireAnswer>;
  /** Everything logged so far, as one text. */
  readonly log: () => string;
  readonly close: () => Promise<void>;
};

/** Starts an HTTP server on a free port; nothing is behind it until `serve`. */
export async function listen(): Promise<InProcess> {
  let serving: Serving | undefined;
  let dispatch: ReturnType<typeof createDispatch> | undefined;
  const lines: string[] = [];
  const server: Server = createHttpServer({
    baseUrl: BASE,
    limits: HTTP_LIMITS,
    trustProxy: [],
    resourceTypes: [...DECLARATIONS.keys()],
    operations: OPERATION_NAMES,
    authorizationServer: { issuer: 'https://persons.test.example' },
    dispatch: (request) => {
      if (dispatch === undefined) throw new Error('nothing is served');
      return dispatch(request);
    },
    refuse: async () => undefined,
    metadata: () => ({ json: '{}', etag: '""' }),
    definitions,
    log: { write: (line) => void lines.push(JSON.stringify(line)) },
    ids: { next: () => serving?.requestId() ?? '' },
    clock: { now: () => serving?.now() ?? 0 },
  });
  // one of the two twins waits while the other works
  server.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  return {
    serve: (next) => {
      serving = next;
      dispatch = createDispatch(depsFor(next));
    },
    send: (request) =>
      new Promise((resolve, reject) => {
        const sent = httpRequest(
          {
            agent,
            host: '127.0.0.1',
            port,
            method: request.method,
            path: `${new URL(BASE).pathname}/${request.path}`,
            headers: {
              ...request.headers,
              ...(request.body === undefined ? {} : { 'content-length': Buffer.byteLength(request.body) }),
            },
          },
          (answer) => {
            const chunks: Buffer[] = [];
            answer.on('data', (chunk: Buffer) => chunks.push(chunk));
            answer.on('error', reject);
            answer.on('end', () => {
              const headers: (readonly [string, string])[] = [];
              for (let at = 0; at < answer.rawHeaders.length; at += 2)
                headers.push([String(answer.rawHeaders[at]).toLowerCase(), String(answer.rawHeaders[at + 1])]);
              resolve({ status: answer.statusCode ?? 0, headers, body: Buffer.concat(chunks).toString('utf8') });
            });
          },
        );
        sent.on('error', (error) =>
          reject(new Error(`${request.method} ${request.path}: ${error.message}`, { cause: error })),
        );
        sent.end(request.body);
      }),
    log: () => lines.join('\n'),
    close: async () => {
      agent.destroy();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Where stores of this process lie, by name. */
export type StoreShelf = {
  readonly open: (name: string) => Promise<ResourceStore>;
  /** Makes `to` a copy of `from`; neither is open. */
  readonly copy: (from: string, to: string) => Promise<void>;
  readonly remove: (name: string) => Promise<void>;
  readonly dispose: () => Promise<void>;
};

/** Stores as the tests are told to use (`store-setting.ts`). */
export const storeShelf = (): Promise<StoreShelf> => (ON_MONGODB ? databases() : files());

/** Files in memory where the system has one: what is tested here is not durability. */
async function files(): Promise<StoreShelf> {
  const folder = await mkdtemp(join('/dev/shm/', 'carnet-')).catch(() => mkdtemp(join(tmpdir(), 'carnet-')));
  const path = (name: string): string => join(folder, `${name}.db`);
  return {
    open: async (name) => openSqliteStore({ ...SQLITE_STORE_DEFAULTS, path: path(name), clock: { now: () => 0 } }),
    copy: async (from, to) => {
      for (const suffix of ['', '.key', '.keys']) await copyFile(`${path(from)}${suffix}`, `${path(to)}${suffix}`);
    },
    remove: async (name) => {
      for (const suffix of ['', '-wal', '-shm', '.key', '.keys', '.keys-wal', '.keys-shm'])
        await rm(`${path(name)}${suffix}`, { force: true });
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

async function databases(): Promise<StoreShelf> {
  const { open, copy, empty, dispose } = await mongoShelf({ url: mongodbUrl });
  return { open, copy, remove: empty, dispose };
}

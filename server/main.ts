/** The composition root: configuration → adapters → application → HTTP. The only file that knows everything. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { pathToFileURL } from 'node:url';
import { createCursorSeal } from './adapters/cursor-seal.ts';
import { shippedDocumentClasses } from './adapters/document-classes.ts';
import { inflate } from './adapters/inflate.ts';
import { createJsonLog, type JsonLog, silentLog, toStderr } from './adapters/log.ts';
import { deriveKey, masterKeyPath, openMasterKey } from './adapters/master-key.ts';
import { unsafeSettings } from './adapters/self-check.ts';
import { MONGO_STORE_DEFAULTS, openMongoStore } from './adapters/store-mongo/store.ts';
import { openSqliteStore, SQLITE_STORE_DEFAULTS } from './adapters/store-sqlite/store.ts';
import { fileClock, randomIds, systemClock } from './adapters/system.ts';
import { fetchKeySet } from './adapters/token-jwt/jwks-source.ts';
import { createTokenVerifier } from './adapters/token-jwt/verify.ts';
import { shippedDefinitions } from './adapters/validator/definitions.ts';
import { shippedConformance } from './adapters/validator/profile/own.ts';
import { type FhirPackage, readPackages } from './adapters/validator/profile/packages.ts';
import { profileValidator } from './adapters/validator/profile/profiles.ts';
import { r4Validator } from './adapters/validator/validator.ts';
import { fileMasterKey } from './adapters/vault/file-master-key.ts';
import { capabilityStatement } from './app/capability.ts';
import type { Deps } from './app/deps.ts';
import { createDispatch, createRefusal } from './app/dispatch.ts';
import { directoryMemory } from './app/facts.ts';
import { announce } from './app/notices/announcement.ts';
import { OPERATION_NAMES } from './app/route.ts';
import { ACCESS_TYPES, DECLARATIONS } from './app/types/index.ts';
import { sweepUnattached } from './app/unattached.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { registryFor, type SearchDefinitions } from './fhir/search-parameter.ts';
import { summariesOf } from './fhir/summary.ts';
import { closeGracefully, createHttpServer, HTTP_LIMITS } from './http/server.ts';
import type { ResourceStore } from './ports/store.ts';
import type { FileCopies, Upkeep } from './ports/upkeep.ts';
import { RELEASE } from './release.ts';

const OLDEST_NODE = 24;
const MAX_BUNDLE_ENTRIES = 1000;
/** How often uploads that nobody took are dropped. */
const SWEEP_EVERY_MS = 10 * 60_000;
/** How often the clock looks for what is due: announcements (W7), Binaries that no document named. */
const CLOCK_EVERY_MS = 2_000;
const WHOLE_EVERY_ROUNDS = 300;
/** How long requests under way may take to finish at a stop. */
const GRACE_MS = 10_000;

export type Running = {
  readonly server: Server;
  readonly deps: Deps;
  /** Sentences to show at start: what the store found that could be better. */
  readonly warnings: readonly string[];
  /** Stops accepting, lets what is under way finish, closes the store. */
  readonly stop: () => Promise<void>;
};

type OpenStore = {
  readonly store: ResourceStore;
  /** What an operator does with it. */
  readonly upkeep: Upkeep;
  /** Where it is a file. */
  readonly copies?: FileCopies;
  /** Sentences to show at start. */
  readonly warnings: readonly string[];
};

/** The store that the configuration names, and what its operator should know about it. */
async function openStore(config: Config, create: boolean): Promise<OpenStore> {
  if (config.store.kind === 'sqlite') {
    const store = openSqliteStore({
      ...SQLITE_STORE_DEFAULTS,
      path: config.store.path,
      keysPath: config.store.keysPath,
      clock: systemClock,
      master: fileMasterKey(masterKeyPath(config.masterKeyFile, config.store.path)),
    });
    return { store, upkeep: store, copies: store, warnings: [] };
  }
  const store = await openMongoStore({
    ...MONGO_STORE_DEFAULTS,
    url: config.store.url,
    keysUrl: config.store.keysUrl,
    create,
    master: fileMasterKey(masterKeyPath(config.masterKeyFile, '')),
    clock: systemClock,
  });
  return { store, upkeep: store, warnings: store.warnings };
}

export type Composed = OpenStore & {
  readonly deps: Deps;
  /** The packages of profiles that the host gave. */
  readonly packages: Awaited<ReturnType<typeof loadPackages>>;
  readonly ofPackages: (type: string) => readonly string[];
  /** Compiles the validators of every type before they are asked for. */
  readonly warm: () => Promise<void>;
};

/**
 * The application of a configuration, its store open; `create` says whether a database without one gets one. Throws one sentence when something
 * must not be used.
 */
export async function compose(config: Config, { create } = { create: true }): Promise<Composed> {
  // INVARIANT: a file of ours, made by `fhir-profiles/build-definitions.ts`.
  const searchDefinitions = JSON.parse(
    readFileSync(new URL('../fhir-profiles/definitions/search-parameters.json', import.meta.url), 'utf8'),
  ) as SearchDefinitions;
  const registry = registryFor({ definitions: searchDefinitions, types: [...DECLARATIONS.keys()], omit: [] });
  const [unsafe] = unsafeSettings({
    registry,
    declared: [...DECLARATIONS.keys()],
    withAccess: [...ACCESS_TYPES.values()].filter((t) => Object.keys(t.rows).length > 0).map((t) => t.type),
  });
  if (unsafe !== undefined) throw new ConfigError(unsafe);

  const clock = config.clock.kind === 'file' ? fileClock(config.clock.path) : systemClock;
  const masterKey = openMasterKey(config.masterKeyFile, config.store.kind === 'sqlite' ? config.store.path : '');
  const definitions = shippedDefinitions();
  const validator = r4Validator(definitions);
  const opened = await openStore(config, create);
  const { store } = opened;
  const packages = await loadPackages(config.packages);
  const profiles = profileValidator({
    definitions,
    own: shippedConformance(),
    packages: packages.flatMap(({ resources }) => resources),
  });
  const deps: Deps = {
    store,
    verifier: createTokenVerifier({
      issuers: config.issuers,
      baseUrl: config.baseUrl,
      clockToleranceSeconds: config.policy.clockToleranceSeconds,
      fetchKeySet,
      monotonic: () => performance.now(),
    }),
    validator,
    profiles,
    clock,
    ids: randomIds,
    cursors: createCursorSeal(deriveKey(masterKey, 'cursor')),
    inflate,
    registry,
    declarations: DECLARATIONS,
    accessTypes: ACCESS_TYPES,
    policy: config.policy,
    directory: directoryMemory(),
    auditEntries: new Map(),
    toldSessions: new Map(),
    documentClasses: shippedDocumentClasses(),
    summaries: summariesOf(definitions),
    definitions,
    baseUrl: config.baseUrl,
    serverAddress: new URL(config.baseUrl).host,
    limits: { maxBinaryBytes: config.maxBinaryBytes, maxBundleEntries: MAX_BUNDLE_ENTRIES },
  };
  return {
    ...opened,
    deps,
    packages,
    ofPackages: profiles.ofPackages,
    warm: () => validator.warm([...DECLARATIONS.keys()]),
  };
}

/** Starts a server for a configuration; resolves when it accepts requests. Throws one sentence when it must not start. */
export async function start(config: Config): Promise<Running> {
  const { deps, store, packages, ofPackages, warnings, warm } = await compose(config);
  const { registry } = deps;
  const capabilities = JSON.stringify(
    capabilityStatement({
      declarations: DECLARATIONS,
      registry,
      baseUrl: config.baseUrl,
      ...RELEASE,
      packages,
      packageProfiles: ofPackages,
    }),
  );
  const etag = `W/"${createHash('sha256').update(capabilities).digest('base64url').slice(0, 22)}"`;
  const [issuer] = config.issuers;
  const log = config.log === 'off' ? silentLog : createJsonLog(toStderr);
  const server = createHttpServer({
    baseUrl: config.baseUrl,
    limits: { ...HTTP_LIMITS, maxBodyBytes: config.maxBodyBytes, maxBinaryBytes: config.maxBinaryBytes },
    trustProxy: config.trustProxy,
    resourceTypes: [...DECLARATIONS.keys()],
    operations: OPERATION_NAMES,
    authorizationServer: config.issuers.length === 1 && issuer !== undefined ? { issuer: issuer.issuer } : {},
    dispatch: createDispatch(deps),
    refuse: createRefusal(deps),
    metadata: () => ({ json: capabilities, etag }),
    definitions: deps.definitions,
    log,
    ids: randomIds,
    clock: systemClock,
  });
  // An upload lives as long as its request: what is older was left by a process that ended. Younger ones may be another server's.
  await store.sweep(Date.now() - HTTP_LIMITS.requestMs);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.port, config.host, resolve);
  });
  const sweeping = setInterval(() => {
    // What a store that cannot be reached keeps, the next sweep drops.
    void store.sweep(Date.now() - HTTP_LIMITS.requestMs).catch(() => undefined);
  }, SWEEP_EVERY_MS);
  sweeping.unref();
  const clockwork = startClock(deps, log);
  void warm();
  return {
    server,
    deps,
    warnings,
    stop: async () => {
      clearInterval(sweeping);
      await closeGracefully(server, GRACE_MS);
      await clockwork.stop();
      await store.close();
      log.flush();
    },
  };
}

/** The host's packages; one that cannot be read stops the start. */
async function loadPackages(folder: string | undefined): Promise<readonly FhirPackage[]> {
  if (folder === undefined) return [];
  try {
    return await readPackages(folder);
  } catch (error) {
    throw new ConfigError(`CARNET_PACKAGES: ${error instanceof Error ? error.message : 'cannot be read'}`);
  }
}

/** Runs what the server does by itself until stopped, one round at a time. What fails in a round is logged and taken up by the next one. */
function startClock(deps: Deps, log: JsonLog): { readonly stop: () => Promise<void> } {
  let caughtUpAt: number | undefined;
  let rounds = 0;
  let round: Promise<void> = Promise.resolve();
  const logged = async (act: () => Promise<unknown>): Promise<void> => {
    try {
      await act();
    } catch (error) {
      log.write({ time: Date.now(), event: 'clock-failed', error: error instanceof Error ? error.message : '' });
    }
  };
  const run = async (): Promise<void> => {
    const began = deps.clock.now();
    // What was hidden late had its day before: once in a while everything pending is looked at.
    const whole = rounds % WHOLE_EVERY_ROUNDS === 0;
    await logged(async () => {
      await announce(deps, whole ? undefined : caughtUpAt);
      caughtUpAt = began;
      rounds += 1;
    });
    await logged(() => sweepUnattached(deps));
  };
  let isRunning = false;
  const tick = (): void => {
    if (isRunning) return;
    isRunning = true;
    round = run().finally(() => {
      isRunning = false;
    });
  };
  const timer = setInterval(tick, CLOCK_EVERY_MS);
  timer.unref();
  tick();
  return {
    stop: async () => {
      clearInterval(timer);
      await round;
    },
  };
}

/** Whether this file was started, rather than imported. */
const isMain = process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href;

if (isMain) {
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
    process.stderr.write(`carnet needs Node ${OLDEST_NODE}; \`npm start\` uses the one that \`npm ci\` brought\n`);
    process.exit(1);
  }
  try {
    const config = loadConfig();
    for (const warning of config.warnings) process.stderr.write(`carnet: warning: ${warning}\n`);
    const running = await start(config);
    for (const warning of running.warnings) process.stderr.write(`carnet: warning: ${warning}\n`);
    process.stderr.write(`carnet: listening at ${config.baseUrl}\n`);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => void running.stop().then(() => process.exit(0)));
    }
  } catch (error) {
    process.stderr.write(`carnet: ${error instanceof Error ? error.message : 'cannot start'}\n`);
    process.exit(1);
  }
}

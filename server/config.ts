/**
 * Configuration: environment → one frozen `Config`, checked whole at start. The only reader of `process.env`.
 * What is not understood stops the start: a misspelt security setting is one that is not there.
 */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { Habilitation, Policy } from './access/policy.ts';
import { readMasterKey } from './adapters/master-key.ts';
import { parseInstant } from './adapters/system.ts';
import { readIssuers, type TrustedIssuer } from './adapters/token-jwt/issuer.ts';
import { isLoopbackHost } from './adapters/token-jwt/jwks-source.ts';
import { parseStrictJson } from './adapters/token-jwt/strict-json.ts';
import type { Json } from './fhir/types.ts';

export type Config = {
  readonly host: string;
  readonly port: number;
  /** No trailing slash; the only source of the links that the server emits (security.md I-18b). */
  readonly baseUrl: string;
  /** `path` is a file; a `url` is `mongodb://…` or `mongodb+srv://…`, which may hold a password; `keysUrl`: where the wrapped data keys lie, when elsewhere. */
  readonly store:
    | { readonly kind: 'sqlite'; readonly path: string; readonly keysPath?: string }
    | { readonly kind: 'mongodb'; readonly url: string; readonly keysUrl?: string | undefined };
  readonly issuers: readonly TrustedIssuer[];
  readonly policy: Policy;
  readonly clock: { readonly kind: 'system' } | { readonly kind: 'file'; readonly path: string };
  readonly masterKeyFile: string | undefined;
  /** Bytes of a body of JSON. */
  readonly maxBodyBytes: number;
  /** Bytes of the content of a Binary. */
  readonly maxBinaryBytes: number;
  /** Addresses and networks of the proxies whose forwarded headers count; none by default. */
  readonly trustProxy: readonly string[];
  /** Folder of FHIR packages (`.tgz`) that resources are validated against. */
  readonly packages: string | undefined;
  readonly log: 'json' | 'off';
  /** Sentences to show at start: settings that are allowed and not for a real installation. */
  readonly warnings: readonly string[];
};

/** Why the server does not start: one sentence that names the setting. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

type Environment = Readonly<Record<string, string | undefined>>;

const PORT = 'CARNET_PORT';
const HOST = 'CARNET_HOST';
const BASE_URL = 'CARNET_BASE_URL';
const STORE = 'CARNET_STORE';
const KEYS_STORE = 'CARNET_KEYS_STORE';
const ISSUERS = 'CARNET_ISSUERS';
const POLICY = 'CARNET_POLICY';
const CLOCK_FILE = 'CARNET_CLOCK_FILE';
const TEST = 'CARNET_TEST';
const MASTER_KEY_FILE = 'CARNET_MASTER_KEY_FILE';
const MAX_BODY_BYTES = 'CARNET_MAX_BODY_BYTES';
const MAX_BINARY_BYTES = 'CARNET_MAX_BINARY_BYTES';
const TRUST_PROXY = 'CARNET_TRUST_PROXY';
const LOG = 'CARNET_LOG';
const PACKAGES = 'CARNET_PACKAGES';

/** A file, or the URL of a replica set or a cluster. */
const MONGODB = 'mongodb(\\+srv)?://[^\\s/?#]+(/[^\\s#]*)?';
const STORES = `^(sqlite:[^?\\0]+|${MONGODB})$`;

/** Every variable, with its default where one exists. The schema is what a value must look like before it is read further. */
const VARIABLES = {
  [PORT]: { type: 'string', pattern: '^[1-9]\\d{0,4}$', default: '8103' },
  [HOST]: { type: 'string', pattern: '^[A-Za-z0-9.:-]{1,253}$', default: '127.0.0.1' },
  [BASE_URL]: { type: 'string', maxLength: 512, pattern: '^https?://[^\\s?#@]+[^\\s?#@/]$' },
  [STORE]: { type: 'string', pattern: STORES, default: 'sqlite:./data/carnet.db' },
  [KEYS_STORE]: { type: 'string', pattern: `^${MONGODB}$` },
  [ISSUERS]: { type: 'string', minLength: 1 },
  [POLICY]: { type: 'string', minLength: 1 },
  [CLOCK_FILE]: { type: 'string', minLength: 1 },
  [TEST]: { type: 'string', enum: ['0', '1'], default: '0' },
  [MASTER_KEY_FILE]: { type: 'string', minLength: 1 },
  [MAX_BODY_BYTES]: { type: 'string', pattern: '^[1-9]\\d{3,9}$', default: String(10 * 1024 * 1024) },
  [MAX_BINARY_BYTES]: { type: 'string', pattern: '^[1-9]\\d{3,11}$', default: String(256 * 1024 * 1024) },
  [TRUST_PROXY]: { type: 'string', pattern: '^[^\\s,]+(,[^\\s,]+)*$' },
  [LOG]: { type: 'string', enum: ['json', 'off'], default: 'json' },
  [PACKAGES]: { type: 'string', minLength: 1 },
} as const;

type Variable = keyof typeof VARIABLES;

/** What a value must be, in words, for the sentence of a fault. */
const EXPECTED: Readonly<Record<Variable, string>> = {
  [PORT]: 'a port between 1 and 65535',
  [HOST]: 'a host name or an address',
  [BASE_URL]: 'an http(s) url without a trailing slash, a query, a fragment or a user',
  [STORE]: 'a store that this server has: `sqlite:<file>` or `mongodb://<hosts>/<database>`',
  [KEYS_STORE]: 'a database for the keys of a store that is a mongodb: `mongodb://<hosts>/<database>`',
  [ISSUERS]: 'the path of a json file',
  [POLICY]: 'the path of a json file',
  [CLOCK_FILE]: 'the path of a file that holds one iso instant with an offset',
  [TEST]: '`0` or `1`',
  [MASTER_KEY_FILE]: 'the path of a key file',
  [MAX_BODY_BYTES]: 'a number of bytes from 1000 to 9999999999',
  [MAX_BINARY_BYTES]: 'a number of bytes from 1000 to 999999999999',
  [TRUST_PROXY]: 'a list of addresses or networks (`10.0.0.0/8`), separated by commas',
  [LOG]: '`json` or `off`',
  [PACKAGES]: 'the path of a folder of fhir packages',
};

const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_DEPTH = 16;

const AJV = new Ajv({ strict: true, useDefaults: true, strictTypes: false });

const isSettings = AJV.compile<Partial<Record<Variable, string>>>({
  type: 'object',
  additionalProperties: false,
  properties: VARIABLES,
});

/** security.md T-13: a token more than a minute ahead is refused whatever the settings. */
const MAX_CLOCK_TOLERANCE_SECONDS = 60;
/** A1: occupational physicians, who are physicians in TRE_G15 and whose specialty is SM25. */
const OCCUPATIONAL_PHYSICIAN = '10/SM25';

const CODE = { type: 'string', pattern: '^[^\\s]{1,64}$' } as const;

const isPolicy: ValidateFunction<Partial<Policy> & { readonly about?: Json }> = AJV.compile({
  type: 'object',
  additionalProperties: false,
  properties: {
    // Where the choices come from; for readers, not for the server.
    about: { type: 'object' },
    emergencyOverridesBlock: { type: 'boolean' },
    payerDataToProfessionals: { type: 'boolean' },
    emergencyMaskedUnlessDenied: { type: 'boolean' },
    // O2: a token lives an hour at most; a session of a day would tell of a morning's and an evening's visit as one.
    accessSessionMinutes: { type: 'integer', minimum: 1, maximum: 720 },
    depositMaxBytes: { type: 'integer', minimum: 1, maximum: 1_000_000_000 },
    clockToleranceSeconds: { type: 'integer', minimum: 0, maximum: MAX_CLOCK_TOLERANCE_SECONDS },
    matrix: {
      type: 'object',
      propertyNames: CODE,
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        required: ['consult', 'read'],
        properties: { consult: { type: 'boolean' }, read: { type: 'array', uniqueItems: true, items: CODE } },
      },
    },
  },
});

const DEFAULT_POLICY = new URL('../fhir-profiles/policy/default-policy.json', import.meta.url);

/** Settings of the tests and of the demonstration, which a server started by them inherits: none of its business. */
const ELSEWHERE = /^CARNET_(TEST_|DEMO_|TWIN_|GOLDEN)/;

/** Edit distance (Levenshtein), to say which setting was probably meant. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...a].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...b].entries()) {
      const changed = (row[column] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

function nearest(name: string): string {
  const [closest] = Object.keys(VARIABLES).sort((a, b) => distance(name, a) - distance(name, b) || (a < b ? -1 : 1));
  return closest ?? '';
}

const describe = (error: ErrorObject | undefined): string => {
  const property: unknown = error?.params['additionalProperty'] ?? error?.params['propertyName'];
  const detail = typeof property === 'string' ? `: \`${property}\`` : '';
  return `\`${error?.instancePath || '/'}\` ${error?.message ?? 'is not understood'}${detail}`;
};

function readSettings(env: Environment): Partial<Record<Variable, string>> {
  const given = Object.entries(env).filter(
    ([name, value]) => name.startsWith('CARNET_') && value !== undefined && !ELSEWHERE.test(name),
  );
  const unknown = given.find(([name]) => !Object.hasOwn(VARIABLES, name));
  if (unknown !== undefined)
    throw new ConfigError(`${unknown[0]} is not a setting of this server; the nearest one is ${nearest(unknown[0])}`);
  const settings: unknown = Object.fromEntries(given);
  if (isSettings(settings)) return settings;
  const name = isSettings.errors?.[0]?.instancePath.slice(1) ?? '';
  // INVARIANT: additional properties were refused above, so that the fault is in one of the variables.
  const variable = name as Variable;
  // The URL of a database may hold a password, which no message shows.
  const said = variable === STORE || variable === KEYS_STORE ? 'holds a value' : `is \`${env[variable]}\``;
  throw new ConfigError(`${variable} ${said}, which is not ${EXPECTED[variable]}`);
}

function readJsonFile(variable: string, path: string | URL): Json {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.size > MAX_FILE_BYTES)
    throw new ConfigError(`${variable} names \`${path}\`, which is not a file that can be read`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new ConfigError(`${variable} names \`${path}\`, which is not a file that can be read`);
  }
  const json = parseStrictJson(text, MAX_DEPTH);
  if (!json.ok) throw new ConfigError(`${variable} names \`${path}\`: ${json.why}`);
  return json.value;
}

/** A row for each profession, without a prototype: `constructor` is no profession. */
function readMatrix(rows: Readonly<Record<string, Habilitation>>): Policy['matrix'] {
  const matrix: Record<string, Habilitation> = Object.create(null);
  for (const [profession, row] of Object.entries(rows)) matrix[profession] = row;
  return matrix;
}

function readPolicyFile(variable: string, path: string | URL): Partial<Policy> {
  const value: unknown = readJsonFile(variable, path);
  if (!isPolicy(value)) throw new ConfigError(`${variable}: ${describe(isPolicy.errors?.[0])}`);
  if (value.matrix?.[OCCUPATIONAL_PHYSICIAN]?.consult === true)
    throw new ConfigError(`${variable}: occupational physicians (\`${OCCUPATIONAL_PHYSICIAN}\`) never consult (A1)`);
  const { about: _, matrix, ...choices } = value;
  return { ...choices, ...(matrix === undefined ? {} : { matrix: readMatrix(matrix) }) };
}

/** Every line of the policy; the shipped file states and documents each. */
export const CHOICES = [
  'emergencyOverridesBlock',
  'payerDataToProfessionals',
  'emergencyMaskedUnlessDenied',
  'accessSessionMinutes',
  'depositMaxBytes',
  'clockToleranceSeconds',
  'matrix',
] as const satisfies readonly (keyof Policy)[];

/** The policy shipped with the server, with what `path` states in place of it; a `matrix` replaces the shipped one whole. */
export function readPolicy(path: string | undefined): Policy {
  const shipped = readPolicyFile('the shipped policy', DEFAULT_POLICY);
  const stated = path === undefined ? {} : readPolicyFile(POLICY, path);
  const merged = { ...shipped, ...stated };
  const missing = CHOICES.filter((choice) => merged[choice] === undefined);
  if (missing.length > 0) throw new ConfigError(`the shipped policy does not state ${missing.join(', ')}`);
  // INVARIANT: every choice is there, each of the type that the schema above asks for.
  return merged as Policy;
}

function readBaseUrl(settings: Partial<Record<Variable, string>>): string {
  const text = settings[BASE_URL] ?? `http://127.0.0.1:${settings[PORT]}/fhir`;
  const href = URL.canParse(text) ? new URL(text).href : undefined;
  // What a client compares is what we emit: one spelling, the canonical one.
  if (href !== text && href !== `${text}/`)
    throw new ConfigError(`${BASE_URL} is \`${text}\`, which is not ${EXPECTED[BASE_URL]}`);
  return text;
}

function readClock(settings: Partial<Record<Variable, string>>): Config['clock'] {
  const path = settings[CLOCK_FILE];
  if (path === undefined) return { kind: 'system' };
  if (settings[TEST] !== '1') throw new ConfigError(`${CLOCK_FILE} is accepted with ${TEST}=1 only`);
  if (!isLoopbackHost(settings[HOST] ?? ''))
    throw new ConfigError(`${CLOCK_FILE} is accepted on a loopback ${HOST} only`);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || parseInstant(readFileSync(path, 'utf8').trim()) === undefined)
    throw new ConfigError(`${CLOCK_FILE} names \`${path}\`, which is not ${EXPECTED[CLOCK_FILE]}`);
  return { kind: 'file', path };
}

function readTrustProxy(text: string | undefined): readonly string[] {
  const proxies = text?.split(',') ?? [];
  const bad = proxies.find((proxy) => {
    const [address, prefix, ...rest] = proxy.split('/');
    const family = isIP(address ?? '');
    const bits = prefix === undefined ? 1 : /^[1-9]\d{0,2}$/.test(prefix) ? Number(prefix) : 0;
    return family === 0 || bits < 1 || bits > (family === 4 ? 32 : 128) || rest.length > 0;
  });
  if (bad !== undefined) throw new ConfigError(`${TRUST_PROXY} holds \`${bad}\`, which is not an address or a network`);
  return proxies;
}

/** A document of MongoDB has at most 16 MiB, in which a body and what is indexed of it must find room. */
const MAX_MONGODB_BODY_BYTES = 12 * 1024 * 1024;

function readStore(settings: Partial<Record<Variable, string>>): Config['store'] {
  const text = settings[STORE] ?? '';
  if (text.startsWith('sqlite:') && settings[KEYS_STORE] !== undefined)
    throw new ConfigError(`${KEYS_STORE} is for a ${STORE} that is a mongodb`);
  if (text.startsWith('sqlite:')) return { kind: 'sqlite', path: text.slice('sqlite:'.length) };
  // Every server of a store must open what another one sealed.
  if (settings[MASTER_KEY_FILE] === undefined)
    throw new ConfigError(`${MASTER_KEY_FILE} must be set when ${STORE} is a mongodb`);
  if (Number(settings[MAX_BODY_BYTES]) > MAX_MONGODB_BODY_BYTES)
    throw new ConfigError(`${MAX_BODY_BYTES} is at most ${MAX_MONGODB_BODY_BYTES} when ${STORE} is a mongodb`);
  return { kind: 'mongodb', url: text, keysUrl: settings[KEYS_STORE] };
}

function readMasterKeyFile(path: string | undefined): string | undefined {
  const key = path === undefined ? undefined : readMasterKey(path);
  if (key?.ok === false) throw new ConfigError(`${MASTER_KEY_FILE} names \`${path}\`, which ${key.why}`);
  return path;
}

function readIssuersFile(path: string | undefined, audience: string): readonly TrustedIssuer[] {
  if (path === undefined) return [];
  const issuers = readIssuers(readJsonFile(ISSUERS, path), audience);
  if (!issuers.ok) throw new ConfigError(`${ISSUERS}: ${issuers.why}`);
  return issuers.value;
}

function readPackagesFolder(path: string | undefined): string | undefined {
  if (path !== undefined && statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new ConfigError(`${PACKAGES} names \`${path}\`, which is not a folder that can be read`);
  return path;
}

function warningsOf(config: Omit<Config, 'warnings'>): readonly string[] {
  const { protocol, hostname } = new URL(config.baseUrl);
  const isHere = isLoopbackHost(hostname.replace(/^\[(.*)\]$/, '$1'));
  const isExposed = protocol === 'http:' && !isHere;
  const { store, masterKeyFile } = config;
  const isBeside =
    store.kind === 'sqlite' && resolve(dirname(masterKeyFile ?? `${store.path}.key`)) === resolve(dirname(store.path));
  return [
    ...(config.clock.kind === 'file' ? [`${CLOCK_FILE} is set: this server does not tell the real time`] : []),
    ...(config.issuers.length === 0 ? [`${ISSUERS} is not set: every token is refused`] : []),
    ...(isExposed
      ? [`${BASE_URL} is plain http on another host than this machine: tokens and records travel in clear`]
      : []),
    ...(isBeside && !isHere
      ? [
          `the master key lies in the folder of the store, and whoever takes one has both: ${MASTER_KEY_FILE} names another place`,
        ]
      : []),
  ];
}

/** Freezes plain objects and arrays all the way down; keys, sets and maps are read-only by type. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !Array.isArray(value)) return value;
  for (const member of Object.values(value)) freeze(member);
  return Object.freeze(value);
}

/** Reads every setting out of an environment, or throws a `ConfigError` that names the first bad one. */
export function readConfig(env: Environment): Config {
  const settings = readSettings(env);
  const port = Number(settings[PORT]);
  if (port > 65_535) throw new ConfigError(`${PORT} is \`${settings[PORT]}\`, which is not ${EXPECTED[PORT]}`);
  const baseUrl = readBaseUrl(settings);
  const config: Omit<Config, 'warnings'> = {
    host: settings[HOST] ?? '',
    port,
    baseUrl,
    store: readStore(settings),
    issuers: readIssuersFile(settings[ISSUERS], baseUrl),
    policy: readPolicy(settings[POLICY]),
    clock: readClock(settings),
    masterKeyFile: readMasterKeyFile(settings[MASTER_KEY_FILE]),
    maxBodyBytes: Number(settings[MAX_BODY_BYTES]),
    maxBinaryBytes: Number(settings[MAX_BINARY_BYTES]),
    trustProxy: readTrustProxy(settings[TRUST_PROXY]),
    packages: readPackagesFolder(settings[PACKAGES]),
    log: settings[LOG] === 'off' ? 'off' : 'json',
  };
  return freeze({ ...config, warnings: warningsOf(config) });
}

/** The configuration of this process. */
export const loadConfig = (): Config => readConfig(process.env);

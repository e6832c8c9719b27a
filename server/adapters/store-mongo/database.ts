/** Opening a database: what it must be, what it must hold, and what it is told to promise. */
import { type Db, type Document, MongoClient, MongoServerError } from 'mongodb';
import type { MasterKey } from '../../ports/master-key.ts';
import { asUnavailable } from './faults.ts';
import { type MongoKeyShelf, openKeyShelf } from './key-shelf.ts';
import { type Collections, collectionsOf, INDEXES, SCHEMA_VERSION } from './schema.ts';

/** The oldest server that has what is used here (indexes, `$lookup` with a pipeline, and fixes to transactions). */
const OLDEST_SERVER = [6, 0] as const;
/** `$lookup` from a sharded collection inside a transaction (https://www.mongodb.com/docs/manual/reference/operator/aggregation/lookup/). */
const OLDEST_SHARDED = [8, 0] as const;

const DEFAULT_DATABASE = 'carnet';

/** By which the database knows our connections. */
export const APP_NAME = 'carnet';

/** How often each member is asked how it is, beside what it says by itself. */
const HEARTBEAT_MS = 2_000;

export type Opened = {
  readonly client: MongoClient;
  readonly collections: Collections;
  readonly keys: MongoKeyShelf;
  /** Sentences for the operator: what is allowed and could be better. */
  readonly warnings: readonly string[];
  readonly close: () => Promise<void>;
};

export type OpenOptions = {
  readonly url: string;
  /** The database of the keys, when it is not the one beside the data's. */
  readonly keysUrl: string | undefined;
  readonly master: MasterKey;
  /** Whether a store is made in a database that is empty. */
  readonly create: boolean;
  /** Milliseconds that each wait of one operation may take. */
  readonly operationMs: number;
  readonly connections: number;
};

/** Connects, checks, sets up. Throws one sentence when the database cannot be trusted with data. */
export async function openDatabase(options: OpenOptions): Promise<Opened> {
  const client = clientOf(options.url, options);
  const keysClient =
    options.keysUrl === undefined ? client : clientOf(options.keysUrl, { ...options, connections: KEY_CONNECTIONS });
  const close = async (): Promise<void> => {
    await client.close();
    if (keysClient !== client) await keysClient.close();
  };
  try {
    const db = client.db(databaseName(options.url));
    const warnings = await checkServer(db);
    const collections = collectionsOf(db);
    const keysName =
      options.keysUrl === undefined ? `${databaseName(options.url)}_keys` : databaseName(options.keysUrl);
    const keysDb = keysClient.db(keysName);
    if (keysClient !== client) await checkServer(keysDb);
    if (!options.create && (await collections.meta.findOne({ _id: 'store' })) === null)
      throw new Error('there is no store in the database');
    const keys = await prepare(db, collections, (expected) =>
      openKeyShelf({ db: keysDb, master: options.master, expected }),
    );
    return { client, collections, keys, warnings, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw asUnavailable(error);
  }
}

/** Connections to the database of the keys, where it has its own: keys are fetched seldom. */
const KEY_CONNECTIONS = 4;

const clientOf = (url: string, options: Pick<OpenOptions, 'operationMs' | 'connections'>): MongoClient =>
  new MongoClient(url, {
    appName: APP_NAME,
    maxPoolSize: options.connections,
    // No wait without an end: for a server, a connection from the pool, a new connection, an answer.
    serverSelectionTimeoutMS: options.operationMs,
    waitQueueTimeoutMS: options.operationMs,
    connectTimeoutMS: options.operationMs,
    socketTimeoutMS: options.operationMs,
    heartbeatFrequencyMS: HEARTBEAT_MS,
    // Of everything outside a transaction; a transaction states its own.
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true },
    readPreference: 'primary',
    retryReads: true,
    retryWrites: true,
    // Hashes have 64 bits, which a number cannot hold.
    useBigInt64: true,
    promoteBuffers: true,
    // A value that is not there and one that is null are two things.
    ignoreUndefined: false,
  });

/** The database that the URL names. */
function databaseName(url: string): string {
  const name = /^mongodb(?:\+srv)?:\/\/[^/?]+\/([^?]*)/.exec(url)?.[1] ?? '';
  return name === '' ? DEFAULT_DATABASE : decodeURIComponent(name);
}

const isOlder = (found: readonly number[], least: readonly [number, number]): boolean =>
  (found[0] ?? 0) < least[0] || ((found[0] ?? 0) === least[0] && (found[1] ?? 0) < least[1]);

/** Refuses a server that cannot keep the promises of a store; answers warnings. */
async function checkServer(db: Db): Promise<readonly string[]> {
  const [build, hello] = [await db.command({ buildInfo: 1 }), await db.command({ hello: 1 })];
  const version: readonly number[] = Array.isArray(build['versionArray']) ? build['versionArray'].map(Number) : [];
  if (isOlder(version, OLDEST_SERVER))
    throw new Error(`mongodb ${build['version']} is older than ${OLDEST_SERVER.join('.')}, which a store needs`);
  const sharded = hello['msg'] === 'isdbgrid';
  if (!sharded && typeof hello['setName'] !== 'string')
    throw new Error('the mongodb server stands alone: a store needs a replica set, which one member can be');
  if (sharded && isOlder(version, OLDEST_SHARDED))
    throw new Error(
      `mongodb ${build['version']} is older than ${OLDEST_SHARDED.join('.')}, which a sharded store needs`,
    );
  return scriptingWarnings(db);
}

/** Server-side JavaScript is not used; where the server says that it is allowed, the operator is told to switch it off. */
async function scriptingWarnings(db: Db): Promise<readonly string[]> {
  let parsed: Document;
  try {
    const options = await db.admin().command({ getCmdLineOpts: 1 });
    parsed = options['parsed'] ?? {};
  } catch (error) {
    // Only an administrator may ask, and a server of this store is none.
    if (error instanceof MongoServerError) return [];
    throw error;
  }
  return parsed['security']?.['javascriptEnabled'] === false
    ? []
    : [
        'the mongodb server runs server-side javascript, which this store does not need: set security.javascriptEnabled to false',
      ];
}

const NAMESPACE_EXISTS = 48;

type Shelve = (expected: string | undefined) => Promise<MongoKeyShelf>;

/** Makes collections and indexes that are missing, checks those that are there, and opens the keys of the data. */
async function prepare(db: Db, collections: Collections, shelve: Shelve): Promise<MongoKeyShelf> {
  const meta = await collections.meta.findOne({ _id: 'store' });
  if (meta !== null) checkSchema(meta.schema);
  else if ((await db.listCollections({}, { nameOnly: true }).toArray()).some((c) => !(c.name in INDEXES)))
    throw new Error('the database holds collections of another program');
  for (const name of Object.keys(INDEXES)) {
    // Made here: a transaction should not have to.
    await db.createCollection(name).catch((error: unknown) => {
      if (!(error instanceof MongoServerError && error.code === NAMESPACE_EXISTS)) throw error;
    });
  }
  // Creating an index that is there already is nothing; one of the same name that differs is an error, which stops the start.
  for (const [name, indexes] of Object.entries(INDEXES)) {
    if (indexes.length > 0) await db.collection(name).createIndexes([...indexes]);
  }
  const keys = await shelve(meta?.keys);
  // Written last: a start that was cut off begins again. Two servers that start together agree on the first one's keys.
  await collections.meta.updateOne(
    { _id: 'store' },
    { $setOnInsert: { schema: SCHEMA_VERSION, keys: keys.id } },
    { upsert: true },
  );
  return keys;
}

function checkSchema(found: number): void {
  if (found !== SCHEMA_VERSION)
    throw new Error(`the database has schema version ${found}, this server writes version ${SCHEMA_VERSION}`);
}

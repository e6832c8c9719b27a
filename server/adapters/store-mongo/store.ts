/** The store for many servers: one MongoDB replica set, or a sharded cluster. docs: `architecture.md` 2.6, decision 0007. */
import type { MasterKey } from '../../ports/master-key.ts';
import type { ResourceStore } from '../../ports/store.ts';
import type { Clock } from '../../ports/system.ts';
import { keyRing } from '../vault/key-ring.ts';
import { staging, type Uploads } from './content.ts';
import { openDatabase } from './database.ts';
import { hashesOf } from './facets.ts';
import { entryReader } from './sealed.ts';
import type { Core } from './sight.ts';
import { transactions, type UnitLimits } from './transaction.ts';
import { openUnit } from './unit.ts';

export type MongoStoreOptions = {
  /** `mongodb://…` or `mongodb+srv://…`, with the name of the database. */
  readonly url: string;
  /** The URL of the database of the wrapped data keys; left out: the one beside the data's, whose name ends in `_keys`. */
  readonly keysUrl?: string | undefined;
  /** What wraps the data keys. */
  readonly master: MasterKey;
  readonly clock: Clock;
  /** Types that are only ever appended. */
  readonly appended: readonly string[];
  readonly limits: UnitLimits;
  /** Milliseconds that each wait of one operation of the driver may take: for a server, for a connection, for an answer. */
  readonly operationMs: number;
};

/** What suits a server; a test may want other numbers. */
export const MONGO_STORE_DEFAULTS: Omit<MongoStoreOptions, 'url' | 'clock' | 'master'> = {
  appended: ['AuditEvent'],
  limits: { units: 48, waiting: 512, patienceMs: 10_000 },
  operationMs: 5_000,
};

/** Connections beside those of units: for bytes on their way in. */
const CONNECTIONS_BESIDE = 16;

export type MongoStore = ResourceStore & { readonly warnings: readonly string[] };

/** Opens the store. Throws one sentence when the database cannot be trusted with data. */
export async function openMongoStore(options: MongoStoreOptions): Promise<MongoStore> {
  const opened = await openDatabase({
    url: options.url,
    keysUrl: options.keysUrl,
    master: options.master,
    operationMs: options.operationMs,
    connections: options.limits.units + CONNECTIONS_BESIDE,
  });
  const { client, collections, warnings } = opened;
  const keys = await keyRing(opened.keys, options.master).catch(async (error: unknown) => {
    await opened.close();
    throw error;
  });
  const kept: Uploads = new Map();
  const core: Core = {
    collections,
    keys,
    hashes: hashesOf(keys.indexKey),
    readEntry: entryReader(),
    uploads: kept,
    appended: new Set(options.appended),
  };
  const units = transactions(client, options.limits);
  const uploads = staging(collections, kept, () => options.clock.now());
  return {
    warnings,
    unit: (work) =>
      units.run(async (attempt) => {
        const opened = openUnit(core, attempt);
        try {
          const value = await work(opened.unit);
          await opened.close();
          const failed = opened.failure();
          if (failed !== undefined) throw failed.error;
          await opened.settle();
          return value;
        } catch (error) {
          await opened.close();
          // What the work made of an error of the store matters less than the error: it may be one to try again after.
          throw opened.failure()?.error ?? error;
        }
      }),
    stage: uploads.stage,
    discard: uploads.discard,
    sweep: uploads.sweep,
    async close() {
      await units.close();
      keys.close();
      await opened.close();
    },
  };
}

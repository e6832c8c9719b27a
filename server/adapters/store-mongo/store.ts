/** The store for many servers: one MongoDB replica set, or a sharded cluster. docs: `architecture.md` 2.6, decision 0007. */
import type { ResourceStore } from '../../ports/store.ts';
import type { Clock } from '../../ports/system.ts';
import { staging } from './content.ts';
import { openDatabase } from './database.ts';
import { entryReader, hashesOf } from './facets.ts';
import type { Core } from './sight.ts';
import { transactions, type UnitLimits } from './transaction.ts';
import { openUnit } from './unit.ts';

export type MongoStoreOptions = {
  /** `mongodb://…` or `mongodb+srv://…`, with the name of the database. */
  readonly url: string;
  readonly clock: Clock;
  /** Types that are only ever appended. */
  readonly appended: readonly string[];
  readonly limits: UnitLimits;
  /** Milliseconds that each wait of one operation of the driver may take: for a server, for a connection, for an answer. */
  readonly operationMs: number;
};

/** What suits a server; a test may want other numbers. */
export const MONGO_STORE_DEFAULTS: Omit<MongoStoreOptions, 'url' | 'clock'> = {
  appended: ['AuditEvent'],
  limits: { units: 48, waiting: 512, patienceMs: 10_000 },
  operationMs: 5_000,
};

/** Connections beside those of units: for bytes on their way in. */
const CONNECTIONS_BESIDE = 16;

export type MongoStore = ResourceStore & { readonly warnings: readonly string[] };

/** Opens the store. Throws one sentence when the database cannot be trusted with data. */
export async function openMongoStore(options: MongoStoreOptions): Promise<MongoStore> {
  const { client, collections, secret, warnings } = await openDatabase({
    url: options.url,
    operationMs: options.operationMs,
    connections: options.limits.units + CONNECTIONS_BESIDE,
  });
  const core: Core = {
    collections,
    hashes: hashesOf(secret),
    readEntry: entryReader(),
    appended: new Set(options.appended),
  };
  const units = transactions(client, options.limits);
  const uploads = staging(collections, () => options.clock.now());
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
      await client.close();
    },
  };
}

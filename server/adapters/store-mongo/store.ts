/** The store for many servers: one MongoDB replica set, or a sharded cluster. docs: `architecture.md` 2.6, decision 0007. */
import type { MasterKey } from '../../ports/master-key.ts';
import type { ResourceStore, StoreUnit } from '../../ports/store.ts';
import type { Clock } from '../../ports/system.ts';
import type { Upkeep } from '../../ports/upkeep.ts';
import { keyRing } from '../vault/key-ring.ts';
import { staging, type Uploads } from './content.ts';
import { openDatabase } from './database.ts';
import { hashesOf } from './facets.ts';
import { entryReader } from './sealed.ts';
import type { Core, Sight } from './sight.ts';
import { transactions, type UnitLimits } from './transaction.ts';
import { openUnit } from './unit.ts';
import { upkeepOf } from './upkeep.ts';

export type MongoStoreOptions = {
  /** `mongodb://…` or `mongodb+srv://…`, with the name of the database. */
  readonly url: string;
  /** The URL of the database of the wrapped data keys; left out: the one beside the data's, whose name ends in `_keys`. */
  readonly keysUrl?: string | undefined;
  /** What wraps the data keys. */
  readonly master: MasterKey;
  /** Whether a store is made in a database that is empty. */
  readonly create: boolean;
  readonly clock: Clock;
  /** Types that are only ever appended. */
  readonly appended: readonly string[];
  readonly limits: UnitLimits;
  /** Milliseconds that each wait of one operation of the driver may take: for a server, for a connection, for an answer. */
  readonly operationMs: number;
};

/** What suits a server; a test may want other numbers. */
export const MONGO_STORE_DEFAULTS: Omit<MongoStoreOptions, 'url' | 'clock' | 'master'> = {
  create: true,
  appended: ['AuditEvent'],
  limits: { units: 48, waiting: 512, patienceMs: 10_000 },
  operationMs: 5_000,
};

/** Connections beside those of units: for bytes on their way in. */
const CONNECTIONS_BESIDE = 16;

export type MongoStore = ResourceStore & Upkeep & { readonly warnings: readonly string[] };

/** Opens the store. Throws one sentence when the database cannot be trusted with data. */
export async function openMongoStore(options: MongoStoreOptions): Promise<MongoStore> {
  const opened = await openDatabase({
    url: options.url,
    keysUrl: options.keysUrl,
    master: options.master,
    create: options.create,
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
  const sights = new WeakMap<StoreUnit, Sight>();
  const sightOf = (unit: StoreUnit): Sight => {
    const sight = sights.get(unit);
    if (sight === undefined) throw new Error('the unit is not one of this store');
    return sight;
  };
  return {
    ...upkeepOf({ client, core, keys: opened.keys, master: options.master, sightOf }),
    warnings,
    unit: (work) =>
      units.run(async (attempt) => {
        const begun = openUnit(core, attempt);
        sights.set(begun.unit, begun.sight);
        try {
          const value = await work(begun.unit);
          await begun.close();
          const failed = begun.failure();
          if (failed !== undefined) throw failed.error;
          await begun.settle();
          return value;
        } catch (error) {
          await begun.close();
          // What the work made of an error of the store matters less than the error: it may be one to try again after.
          throw begun.failure()?.error ?? error;
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

/** The embedded store: one SQLite file through `node:sqlite`. docs: `architecture.md` 2.6. */

import type { MasterKey } from '../../ports/master-key.ts';
import type { ResourceStore } from '../../ports/store.ts';
import type { Clock } from '../../ports/system.ts';
import type { FileCopies, Upkeep } from '../../ports/upkeep.ts';
import { masterKeyPath } from '../master-key.ts';
import { fileMasterKey } from '../vault/file-master-key.ts';
import { type KeyFile, keyFilePath, openKeyFile } from '../vault/key-file.ts';
import { vaultOver } from '../vault/vault.ts';
import { staging, type Uploads } from './content.ts';
import type { Core } from './core.ts';
import { type Database, openDatabase } from './database.ts';
import { type GroupLimits, groupCommit } from './group-commit.ts';
import { inverted } from './inverted.ts';
import { indexBatch } from './pending.ts';
import { defineFunctions, hiddenValues } from './sealed.ts';
import { openUnit } from './unit.ts';
import { upkeepOf } from './upkeep.ts';
import { wordsOf } from './words.ts';

export type SqliteStoreOptions = {
  /** The database file; its folder is made when it is missing. */
  readonly path: string;
  readonly clock: Clock;
  /** The file of the wrapped data keys; `<path>.keys` when left out. */
  readonly keysPath?: string | undefined;
  /** What wraps the data keys; the key file `<path>.key`, created with the store, when left out. */
  readonly master?: MasterKey;
  /** Types that are written far more often than they are searched: their index rows are written later, in batches. */
  readonly deferred: readonly string[];
  /** A term is not indexed any more once this process has written it so often and one in eight resources of its type has it. */
  readonly commonAfter: number;
  readonly group: GroupLimits;
};

/** What suits a server; a test may want other numbers. */
export const SQLITE_STORE_DEFAULTS: Omit<SqliteStoreOptions, 'path' | 'clock'> = {
  deferred: ['AuditEvent'],
  commonAfter: 1000,
  group: { pieces: 64, milliseconds: 10, patienceMs: 10_000 },
};

/** What was put off is indexed when nothing has been asked for so long. */
const IDLE_MS = 20;
/** At most about so many resources wait to be indexed, so that the search that needs them does not wait long. */
const PENDING_MAX = 256;

type WithKeys = { readonly db: Database; readonly keys: KeyFile; readonly master: MasterKey };

/** The database with its vault. */
function openWithKeys({ path, keysPath = keyFilePath(path), master: given }: SqliteStoreOptions): WithKeys {
  let opened: Omit<WithKeys, 'db'> | undefined;
  try {
    const db = openDatabase(path, (fresh) => {
      const master = given ?? fileMasterKey(fresh ? masterKeyPath(undefined, path) : `${path}.key`);
      const keys = openKeyFile(keysPath, fresh ? { master: master.current } : undefined);
      opened = { keys, master };
      const vault = vaultOver(keys, master);
      keys.flush();
      return { vault, keys: keys.id };
    });
    if (opened === undefined) throw new Error('a store was opened without its keys');
    return { db, ...opened };
  } catch (error) {
    opened?.keys.close();
    throw error;
  }
}

/** Opens the store. Throws one sentence when the file or the settings cannot be trusted. */
export function openSqliteStore(options: SqliteStoreOptions): ResourceStore & Upkeep & FileCopies {
  const { db, keys, master } = openWithKeys(options);
  const words = wordsOf(db);
  const hidden = hiddenValues(db.vault);
  defineFunctions(db, words, hidden);
  const kept: Uploads = new Map();
  const index = inverted(db, words, options.commonAfter);
  let timer: NodeJS.Timeout | undefined;
  let indexing = false;
  // An estimate (a unit that is undone is counted all the same); an earlier run may have left some.
  let pending = Number(db.statement('SELECT count(*) FROM pending').get()?.[0]);
  const core: Core = {
    db,
    words,
    index,
    hidden,
    uploads: kept,
    deferred: new Set(options.deferred),
    putOff(count) {
      pending = Math.max(0, pending + count);
    },
  };

  const commits = groupCommit(db.raw, options.group, {
    // The keys of new persons are on disk before anything that they sealed.
    committing() {
      try {
        keys.flush();
      } catch (error) {
        db.vault.forget();
        throw error;
      }
    },
    undone() {
      words.forget();
      index.forget();
      try {
        keys.flush();
      } catch {
        db.vault.forget();
      }
    },
    idle() {
      if (pending === 0) return;
      timer = setTimeout(indexSome, IDLE_MS);
      timer.unref();
    },
  });
  const uploads = staging(core, commits, () => options.clock.now());

  /** Indexes one batch of what was put off, as a piece of work like any other. */
  const indexSome = (): void => {
    if (indexing) return;
    indexing = true;
    commits
      .run((piece) => {
        const [type, name] =
          db.statement('SELECT n.id, n.text FROM pending p CROSS JOIN name n ON n.id = p.type LIMIT 1').get() ?? [];
        if (typeof type !== 'number' || typeof name !== 'string') {
          pending = 0;
          return;
        }
        piece.write();
        indexBatch(core, name, type);
      })
      // Nobody waits for this: what failed is still put off, and the next search that needs it indexes it.
      .catch(() => {
        pending = 0;
      })
      .finally(() => {
        indexing = false;
      });
  };

  return {
    ...upkeepOf({ core, keys, commits, master }),
    unit: (work) => {
      clearTimeout(timer);
      if (pending > PENDING_MAX) indexSome();
      return commits.run(async (piece) => {
        // Another process may have destroyed a key.
        if (keys.changed()) db.vault.forget();
        const opened = openUnit(core, piece);
        try {
          const value = await work(opened.unit);
          const failed = opened.failure();
          if (failed !== undefined) throw failed.error;
          return value;
        } finally {
          opened.close();
        }
      });
    },
    stage: uploads.stage,
    discard: uploads.discard,
    sweep: uploads.sweep,
    async close() {
      clearTimeout(timer);
      await commits.close();
      clearTimeout(timer);
      db.raw.close();
      keys.close();
    },
  };
}

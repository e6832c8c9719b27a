/** The embedded store: one SQLite file through `node:sqlite`. docs: `architecture.md` 2.6. */
import type { ResourceStore } from '../../ports/store.ts';
import type { Clock } from '../../ports/system.ts';
import { staging } from './content.ts';
import type { Core } from './core.ts';
import { openDatabase } from './database.ts';
import { type GroupLimits, groupCommit } from './group-commit.ts';
import { inverted } from './inverted.ts';
import { indexBatch } from './pending.ts';
import { openUnit } from './unit.ts';
import { wordsOf } from './words.ts';

export type SqliteStoreOptions = {
  /** The database file; its folder is made when it is missing. */
  readonly path: string;
  readonly clock: Clock;
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

/** Opens the store. Throws one sentence when the file or the settings cannot be trusted. */
export function openSqliteStore(options: SqliteStoreOptions): ResourceStore {
  const db = openDatabase(options.path);
  const words = wordsOf(db);
  const index = inverted(db, words, options.commonAfter);
  let timer: NodeJS.Timeout | undefined;
  let indexing = false;
  // An estimate (a unit that is undone is counted all the same); an earlier run may have left some.
  let pending = Number(db.statement('SELECT count(*) FROM pending').get()?.[0]);
  const core: Core = {
    db,
    words,
    index,
    deferred: new Set(options.deferred),
    putOff(count) {
      pending = Math.max(0, pending + count);
    },
  };

  const commits = groupCommit(db.raw, options.group, {
    undone() {
      words.forget();
      index.forget();
    },
    idle() {
      if (pending === 0) return;
      timer = setTimeout(indexSome, IDLE_MS);
      timer.unref();
    },
  });
  const uploads = staging(db, commits, () => options.clock.now());

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
    unit: (work) => {
      clearTimeout(timer);
      if (pending > PENDING_MAX) indexSome();
      return commits.run(async (piece) => {
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
    },
  };
}

import type { DatabaseSync } from 'node:sqlite';

/** One piece of work inside the open transaction. */
export type Piece = {
  /** Called before the first write: from here on the piece can be undone alone. */
  readonly write: () => void;
};

export type GroupCommit = {
  /** Runs `work` inside the group's transaction; resolves when that transaction is on disk, rejects when `work` threw or the commit failed. */
  run<T>(work: (piece: Piece) => T | Promise<T>): Promise<T>;
  readonly busy: boolean;
  /** Waits for everything accepted, then refuses more. */
  close(): Promise<void>;
};

export type GroupLimits = {
  /** So many pieces share one sync at most. */
  readonly pieces: number;
  /** A group is not extended after so many milliseconds. */
  readonly milliseconds: number;
  /** How long to wait for another process that holds the file, before the waiting work fails. */
  readonly patienceMs: number;
};

type Job = {
  readonly work: (piece: Piece) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
};

/** SQLite's primary result code of an error (https://www.sqlite.org/rescode.html), if it is one. */
const resultCode = (error: unknown): number | undefined =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;

const SQLITE_BUSY = 5;
/** After these nobody knows what the disk holds: the store stops accepting (security.md 5.1, 5.4). */
const FATAL = new Set([10 /* IOERR */, 11 /* CORRUPT */, 26 /* NOTADB */]);

/**
 * `on.committing` is called before each commit, and may refuse it by throwing.
 *
 * Work is done one piece after another inside one transaction, and every piece waits for the one sync that makes the group durable.
 * While the disk syncs, requests arrive; they are the next group.
 */
export function groupCommit(
  db: DatabaseSync,
  limits: GroupLimits,
  on: { readonly committing: () => void; readonly undone: () => void; readonly idle: () => void },
): GroupCommit {
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  const rollback = db.prepare('ROLLBACK');
  const savepoint = db.prepare('SAVEPOINT piece');
  const release = db.prepare('RELEASE piece');
  const undo = db.prepare('ROLLBACK TO piece');

  let queue: Job[] = [];
  let running = false;
  let closed = false;
  let broken: unknown;
  let drained: (() => void)[] = [];

  const start = (): void => {
    if (running) return;
    running = true;
    // After the poll phase: whatever arrived together is committed together.
    setImmediate(() => void pump());
  };

  const pump = async (): Promise<void> => {
    while (queue.length > 0) {
      await group();
      if (queue.length > 0) await new Promise((next) => setImmediate(next));
    }
    running = false;
    const waiting = drained;
    drained = [];
    for (const done of waiting) done();
    if (!closed) on.idle();
  };

  const refuseAll = (error: unknown): void => {
    const jobs = queue;
    queue = [];
    for (const job of jobs) job.reject(error);
  };

  const group = async (): Promise<void> => {
    if (broken !== undefined) return refuseAll(broken);
    try {
      await begun();
    } catch (error) {
      noteFatal(error);
      return refuseAll(error);
    }
    const done: { readonly job: Job; readonly value: unknown }[] = [];
    const until = performance.now() + limits.milliseconds;
    try {
      let taken = 0;
      while (taken < limits.pieces && (taken === 0 || performance.now() < until)) {
        const job = queue.shift();
        if (job === undefined) break;
        taken += 1;
        const outcome = await attempt(job);
        if (outcome.ok) done.push({ job, value: outcome.value });
        else job.reject(outcome.error);
        // A full disk or a broken one ends the whole transaction inside SQLite, and with it what the pieces before had written.
        if (!db.isTransaction) throw outcome.ok ? new Error('the transaction ended before its time') : outcome.error;
      }
      on.committing();
      commit.run();
    } catch (error) {
      if (db.isTransaction) rollback.run();
      on.undone();
      noteFatal(error);
      for (const { job } of done) job.reject(error);
      return;
    }
    for (const { job, value } of done) job.resolve(value);
  };

  const noteFatal = (error: unknown): void => {
    const code = resultCode(error);
    if (code !== undefined && FATAL.has(code)) broken = error;
  };

  const attempt = async (
    job: Job,
  ): Promise<{ readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown }> => {
    let written = false;
    const piece: Piece = {
      write() {
        if (written) return;
        savepoint.run();
        written = true;
      },
    };
    try {
      const value = await job.work(piece);
      if (written) release.run();
      return { ok: true, value };
    } catch (error) {
      noteFatal(error);
      if (written && db.isTransaction) {
        undo.run();
        release.run();
        on.undone();
      }
      return { ok: false, error };
    }
  };

  /** Takes the write lock. SQLite waits a little itself; the rest of the patience is spent without blocking anybody. */
  const begun = async (): Promise<void> => {
    const until = performance.now() + limits.patienceMs;
    for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
      try {
        begin.run();
        return;
      } catch (error) {
        if (resultCode(error) !== SQLITE_BUSY || performance.now() > until) throw error;
      }
      await new Promise((next) => setTimeout(next, wait));
    }
  };

  return {
    run<T>(work: (piece: Piece) => T | Promise<T>): Promise<T> {
      if (closed) return Promise.reject(new Error('the store is closed'));
      return new Promise<T>((resolve, reject) => {
        // INVARIANT: `resolve` is called with what `work` of this very job returned.
        queue.push({ work, resolve: (value) => resolve(value as T), reject });
        start();
      });
    },
    get busy() {
      return running;
    },
    async close() {
      closed = true;
      if (running) await new Promise<void>((done) => drained.push(done));
    },
  };
}

/**
 * One unit as one transaction: tried again as a whole when the database says that nothing of it is there, committed again when it does
 * not say, given up at its deadline. decision 0007.
 */
import { type ClientSession, type MongoClient, ReadPreference, type TransactionOptions } from 'mongodb';
import { StoreUnavailable } from '../../ports/store.ts';
import { type Admission, admission } from './admission.ts';
import { asUnavailable, isCommitUnknown, isLost, isTransient, isUnheard } from './faults.ts';
import { orphanage } from './orphans.ts';
import { createTurns, type Turns } from './turns.ts';

export type UnitLimits = {
  /** Units at work at one time; each holds one connection. */
  readonly units: number;
  /** Units that wait for a place. */
  readonly waiting: number;
  /** Milliseconds until a unit that could not be done is given up. */
  readonly patienceMs: number;
};

/** One attempt at a unit. */
export type Attempt = {
  readonly session: ClientSession;
  /** When the unit is given up, by `performance.now()`. */
  readonly until: number;
  /** Takes this process's turn at a person, or at a resource of nobody's; throws when another unit has it, which starts this one again then. */
  readonly hold: (name: string) => void;
  /** Notes a person whom this attempt touches without a turn: should it conflict, the next attempt takes one. */
  readonly touch: (person: string) => void;
};

export type Transactions = {
  run<T>(body: (attempt: Attempt) => Promise<T>): Promise<T>;
  /** Waits for what is under way, then refuses more. */
  close(): Promise<void>;
};

/** Stated on the transaction itself, so that no URL and no default of a cluster can weaken it (security.md 5.1). */
export const TRANSACTION: TransactionOptions = {
  readConcern: { level: 'snapshot' },
  writeConcern: { w: 'majority', journal: true },
  readPreference: ReadPreference.primary,
};

/** Another unit of this process has its turn at a person. */
class TurnTaken extends Error {
  readonly person: string;
  constructor(person: string) {
    super('another unit has its turn');
    this.person = person;
  }
}

/** An attempt was undone before it began to commit, by what it names as its cause: nothing of it is there. */
class Undone extends Error {}

/** First wait between two attempts; it doubles each time, up to the longest, and half of it is left to chance. */
const PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 250;

/** How often, and how long apart, the server is asked to undo what it may not have heard the end of. */
const ABANDON_TRIES = 30;
const ABANDON_PAUSE_MS = 500;

/** A unit that is kept from its work for so long looks for who keeps it. */
const KEPT_MS = 1_000;

const now = (): number => performance.now();

export function transactions(client: MongoClient, limits: UnitLimits): Transactions {
  const turns: Turns = createTurns();
  const orphans = orphanage(client);
  const places: Admission = admission(limits.units, limits.waiting);
  let closed = false;
  let running = 0;
  let drained: (() => void)[] = [];

  /** Takes turns in the order of names; frees them all when one is not had in time. */
  const take = async (persons: readonly string[], until: number): Promise<void> => {
    const had: string[] = [];
    for (const person of persons) {
      if (!(await turns.take(person, Math.max(1, until - now())))) {
        for (const p of had) turns.free(p);
        throw new StoreUnavailable('too many requests about one person are at work');
      }
      had.push(person);
    }
  };

  /**
   * A transaction that could neither be committed nor undone would keep others from its persons until the server's own limit
   * (transactionLifetimeLimitSeconds). Ending its session undoes it, or does nothing when it was committed after all; asked until it is
   * heard, for a server that was stopped may go on with what it was doing; once more when the store closes, which waits for that.
   */
  const abandon = async (session: ClientSession): Promise<void> => {
    for (let tries = 0; tries < ABANDON_TRIES; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, ABANDON_PAUSE_MS).unref());
      const last = closed;
      try {
        await client.db('admin').command({ killSessions: [session.id] });
        return;
      } catch {
        // Not heard yet.
      }
      if (last) return;
    }
  };
  const abandoning = new Set<Promise<void>>();

  const tryOnce = async <T>(
    body: (attempt: Attempt) => Promise<T>,
    { held, touched, until }: { readonly held: Set<string>; readonly touched: Set<string>; readonly until: number },
  ): Promise<T> => {
    const session = client.startSession({ causalConsistency: false });
    let commits = false;
    try {
      session.startTransaction(TRANSACTION);
      const value = await body({
        session,
        until,
        touch: (name) => void touched.add(name),
        hold(name) {
          touched.add(name);
          if (held.has(name)) return;
          if (!turns.tryTake(name)) throw new TurnTaken(name);
          held.add(name);
        },
      });
      commits = true;
      await commit(session, until);
      return value;
    } catch (error) {
      // What failed is said by the error that is on its way.
      if (session.inTransaction()) await session.abortTransaction().catch(() => undefined);
      if (isUnheard(error)) {
        const abandoned = abandon(session).finally(() => abandoning.delete(abandoned));
        abandoning.add(abandoned);
      }
      throw !commits && isLost(error) ? new Undone('the connection broke', { cause: error }) : error;
    } finally {
      await session.endSession().catch(() => undefined);
    }
  };

  const attempts = async <T>(body: (attempt: Attempt) => Promise<T>): Promise<T> => {
    const began = now();
    const until = began + limits.patienceMs;
    /** Persons whom an earlier attempt touched: this one waits for its turn at each before it looks at anything. */
    const touched = new Set<string>();
    for (let pause = PAUSE_MS; ; ) {
      const persons = [...touched].sort();
      await take(persons, until);
      const held = new Set(persons);
      try {
        if (!(await places.enter(Math.max(1, until - now()))))
          throw new StoreUnavailable('too many requests are at work');
        try {
          return await tryOnce(body, { held, touched, until });
        } finally {
          places.leave();
        }
      } catch (error) {
        if (now() >= until || !(error instanceof TurnTaken || error instanceof Undone || isTransient(error)))
          throw asUnavailable(unwrapped(error));
        if (error instanceof TurnTaken) continue;
        if (now() - began > KEPT_MS) void orphans.end();
      } finally {
        for (const person of held) turns.free(person);
      }
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  };

  return {
    async run(body) {
      if (closed) throw new Error('the store is closed');
      running += 1;
      try {
        return await attempts(body);
      } finally {
        running -= 1;
        if (running === 0) for (const done of drained.splice(0)) done();
      }
    },
    async close() {
      closed = true;
      if (running > 0) await new Promise<void>((done) => drained.push(done));
      drained = [];
      await Promise.all(abandoning);
    },
  };
}

/** A turn that was never had is a queue that was too long. */
function unwrapped(error: unknown): unknown {
  if (error instanceof TurnTaken) return new StoreUnavailable('too many requests about one person are at work');
  return error instanceof Undone ? error.cause : error;
}

/** Commits; asks again as long as the answer is not known, because only the database can say what became of it. What may have been done is never done again. */
async function commit(session: ClientSession, until: number): Promise<void> {
  for (let pause = PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      await session.commitTransaction();
      return;
    } catch (error) {
      if (!(isCommitUnknown(error) || isLost(error)) || now() >= until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * Transactions that nobody goes on with: a server that was killed leaves them open, and they keep others from the persons they touched until the
 * database's own limit, a minute (transactionLifetimeLimitSeconds). Whoever is kept waiting ends them. A unit that was only slow loses nothing: it
 * finds its transaction gone and begins again.
 */
import { type Binary, type Document, type MongoClient, MongoError } from 'mongodb';
import { APP_NAME } from './database.ts';

/** So long without an operation, in all, and a transaction is taken for one that nobody goes on with. */
const IDLE_MS = 3_000;
/** How often is looked, at most. */
const EVERY_MS = 1_000;

type Idle = { readonly lsid: { readonly id: Binary } };

/** Ends the transactions of this user that nobody goes on with. Called as often as one likes; never rejects. */
export function orphanage(client: MongoClient): { readonly end: () => Promise<void> } {
  let looked = Number.NEGATIVE_INFINITY;
  return {
    async end() {
      if (performance.now() - looked < EVERY_MS) return;
      looked = performance.now();
      const admin = client.db('admin');
      try {
        // One's own operations anybody may ask about, and one's own sessions anybody may end.
        const pipeline: Document[] = [
          { $currentOp: { allUsers: false, idleSessions: true } },
          {
            $match: {
              type: 'idleSession',
              appName: APP_NAME,
              'transaction.timeInactiveMicros': { $gte: IDLE_MS * 1_000 },
            },
          },
          { $project: { lsid: 1 } },
        ];
        const idle = await admin
          .aggregate<Idle>(pipeline, { readConcern: { level: 'local' }, promoteBuffers: false })
          .toArray();
        if (idle.length > 0) await admin.command({ killSessions: idle.map(({ lsid }) => ({ id: lsid.id })) });
      } catch (error) {
        // Not reachable, or not allowed: the database's own limit ends them.
        if (!(error instanceof MongoError)) throw error;
      }
    },
  };
}

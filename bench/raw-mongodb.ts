/** What MongoDB alone does through its driver, with the concerns of the store: the ceiling of anything built on it. */
import { MongoClient } from 'mongodb';

export type RawMongodb = {
  /** One document by its id, from the primary. */
  readonly pointReads: number;
  /** A transaction that counts on one document and inserts another, majority and journaled: the least that a recorded disclosure can cost. */
  readonly transactions: number;
};

const DOCUMENTS = 1_000;

/** Measures in the database that `url` names, `seconds` for each figure, `connections` requests under way at once, documents of `bytes`; rates per second. */
export async function measureRawMongodb(
  url: string,
  { seconds, connections, bytes }: { readonly seconds: number; readonly connections: number; readonly bytes: number },
): Promise<RawMongodb> {
  const client = new MongoClient(url, { maxPoolSize: connections });
  try {
    const db = client.db();
    const [guards, rows] = [
      db.collection<{ _id: number; units: number }>('guard'),
      db.collection<{ _id: number; body: string }>('row'),
    ];
    const body = 'x'.repeat(bytes);
    const ids = Array.from({ length: DOCUMENTS }, (_, n) => n);
    await rows.insertMany(ids.map((_id) => ({ _id, body })));
    await guards.insertMany(ids.map((_id) => ({ _id, units: 0 })));
    let made = DOCUMENTS;
    const rate = async (work: (n: number) => Promise<unknown>): Promise<number> => {
      const begun = performance.now();
      let done = 0;
      await Promise.all(
        ids.slice(0, connections).map(async () => {
          while (performance.now() - begun < seconds * 1000) {
            done += 1;
            await work(done);
          }
        }),
      );
      return (done * 1000) / (performance.now() - begun);
    };
    const concerns = {
      readConcern: { level: 'snapshot' },
      writeConcern: { w: 'majority', j: true },
      readPreference: 'primary',
    } as const;
    return {
      pointReads: await rate((n) => rows.findOne({ _id: (n * 7919) % DOCUMENTS })),
      transactions: await rate((n) =>
        client.withSession((session) =>
          session.withTransaction(async () => {
            await guards.updateOne({ _id: (n * 7919) % DOCUMENTS }, { $inc: { units: 1 } }, { session });
            await rows.insertOne({ _id: made++, body }, { session });
          }, concerns),
        ),
      ),
    };
  } finally {
    await client
      .db()
      .dropDatabase()
      .catch(() => false);
    await client.close();
  }
}

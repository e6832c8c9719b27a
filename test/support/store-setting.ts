/**
 * Which store servers under test have: the embedded one, or with `CARNET_TEST_STORE=mongodb` a database of their own in the replica set that
 * `CARNET_TEST_MONGODB` names (`npm run test:mongo` starts one and sets both).
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { withDatabase } from './mongod.ts';

/** Whether servers under test have a MongoDB. */
export const ON_MONGODB = process.env.CARNET_TEST_STORE === 'mongodb';

export const mongodbUrl = (database: string): string => {
  const url = process.env.CARNET_TEST_MONGODB;
  if (url === undefined) throw new Error('CARNET_TEST_STORE=mongodb needs CARNET_TEST_MONGODB');
  return withDatabase(url, database);
};

/** The settings of a store of one's own, whose files are in `folder`. */
export async function storeFor(
  folder: string,
): Promise<{ readonly env: Readonly<Record<string, string>>; readonly dispose: () => Promise<void> }> {
  if (!ON_MONGODB) {
    return { env: { CARNET_STORE: `sqlite:${join(folder, 'carnet.db')}` }, dispose: async () => undefined };
  }
  const name = `carnet_${randomBytes(8).toString('hex')}`;
  const keyFile = join(folder, 'master.key');
  await writeFile(keyFile, randomBytes(48).toString('base64'), { mode: 0o600 });
  return {
    env: { CARNET_STORE: mongodbUrl(name), CARNET_MASTER_KEY_FILE: keyFile },
    dispose: async () => {
      const client = new MongoClient(mongodbUrl(name));
      for (const database of [name, `${name}_keys`]) await client.db(database).dropDatabase();
      await client.close();
    },
  };
}

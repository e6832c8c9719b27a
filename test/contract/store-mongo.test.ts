import { afterAll, beforeAll, describe } from 'vitest';
import { type MongoShelf, mongoShelf } from '../support/mongo-store.ts';
import { mongodIsThere, type ReplicaSet, testReplicaSet } from '../support/mongod.ts';
import { describeResourceStore, type StoreUnderTest } from './resource-store.contract.ts';

const clock = { now: () => 1_700_000_000_000 };

describe.skipIf(!mongodIsThere())('on MongoDB', () => {
  let set: ReplicaSet;
  let shelf: MongoShelf;
  let used = false;

  beforeAll(async () => {
    set = await testReplicaSet();
    shelf = await mongoShelf(set);
  });
  afterAll(async () => {
    await shelf?.dispose();
    await set?.stop();
  });

  const make = async (): Promise<StoreUnderTest> => {
    if (used) await shelf.empty('contract');
    used = true;
    let store = await shelf.open('contract', { clock });
    return {
      store,
      reopen: async () => {
        store = await shelf.open('contract', { clock });
        return store;
      },
      dispose: () => store.close(),
    };
  };

  describeResourceStore('mongodb', make);
});

/**
 * Makes members of MongoDB one replica set with its two users, once: the `initiate` step of compose.yaml. It runs where the first member is on loopback,
 * since a MongoDB that has a key file and no user yet takes the first commands from there alone. What is there already is kept.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { MongoClient, MongoServerError } from 'mongodb';

const SET = 'carnet';
const PATIENCE_MS = 120_000;

const { values } = parseArgs({
  options: {
    /** `host:port` of each member, as the others and the servers reach it; separated by commas, the first one is this loopback's. */
    members: { type: 'string' },
    /** Where the first member is on this loopback. */
    at: { type: 'string', default: '127.0.0.1:27017' },
    'root-password-file': { type: 'string' },
    'carnet-password-file': { type: 'string' },
  },
});

const secret = (name: 'root-password-file' | 'carnet-password-file'): string => {
  const path = values[name];
  if (path === undefined) throw new Error(`--${name} is needed`);
  return readFileSync(path, 'utf8').trim();
};

/** Tries until it does not fail, for as long as members may take to start and elect. */
async function patiently<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
  const until = Date.now() + PATIENCE_MS;
  let last = '';
  while (Date.now() < until) {
    try {
      const done = await attempt();
      if (done !== undefined) return done;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s ${last}`);
}

/** MongoDB's code for a name or a password that is not right. */
const AUTHENTICATION_FAILED = 18;

async function isRoot(url: string): Promise<boolean> {
  const client = new MongoClient(url);
  try {
    await client.db('admin').command({ connectionStatus: 1 });
    return true;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === AUTHENTICATION_FAILED) return false;
    throw error;
  } finally {
    await client.close();
  }
}

const hosts = (values.members ?? '').split(',').filter((host) => host !== '');
if (hosts.length === 0) throw new Error('--members is needed');
const [root, carnet] = [secret('root-password-file'), secret('carnet-password-file')];
const asRoot = `mongodb://root:${encodeURIComponent(root)}@${hosts.join(',')}/admin?replicaSet=${SET}&serverSelectionTimeoutMS=5000`;

const here = new MongoClient(`mongodb://${values.at}/?directConnection=true&serverSelectionTimeoutMS=5000`);
const hello = () => here.db('admin').command({ hello: 1 });
if ((await patiently('the first member', hello))['setName'] === undefined) {
  // The first member is preferred, so that the first user can be made where this runs.
  const members = hosts.map((host, _id) => ({ _id, host, priority: _id === 0 ? 2 : 1 }));
  await patiently('the replica set', () => here.db('admin').command({ replSetInitiate: { _id: SET, members } }));
  await patiently('a primary', async () => ((await hello())['isWritablePrimary'] === true ? true : undefined));
}
if (!(await patiently('the members', () => isRoot(asRoot)))) {
  await here.db('admin').command({ createUser: 'root', pwd: root, roles: ['root'] });
}
await here.close();

const client = new MongoClient(asRoot);
const admin = client.db('admin');
const roles = [SET, `${SET}_keys`].map((db) => ({ role: 'readWrite', db }));
const { users } = await admin.command({ usersInfo: 'carnet' });
const user = users.length === 0 ? { createUser: 'carnet' } : { updateUser: 'carnet' };
await admin.command({ ...user, pwd: carnet, roles, writeConcern: { w: 'majority' } });
await client.close();
process.stdout.write(`replica set ${SET} of ${hosts.length} members\n`);

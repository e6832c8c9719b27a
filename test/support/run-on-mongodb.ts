/** Runs the tests that a store decides, unchanged, with a MongoDB behind every server: fetches a mongod where there is none, and stops it in the end. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fetchMongod, findMongod, testReplicaSet } from './mongod.ts';

/** What runs when no files are named. */
const FILES = [
  'test/contract/store-mongo',
  'test/agreement',
  'test/oracle/differential',
  'test/golden/http',
  'test/model',
  // The twin world and the leak matrix (`hidden-is-absent`) among them.
  'test/blackbox',
  'test/slow',
];

const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));

if (process.env.CARNET_TEST_MONGODB === undefined && findMongod() === undefined) await fetchMongod();
const set = await testReplicaSet();
const asked = process.argv.slice(2);
try {
  // Each question is a journey to another process: what a test may take is longer.
  const patience = ['--testTimeout=600000', '--hookTimeout=300000'];
  const child = spawn(process.execPath, [vitest, 'run', ...patience, ...(asked.length === 0 ? FILES : asked)], {
    stdio: 'inherit',
    env: {
      CARNET_TEST_AGREEMENT: '200',
      REPLICA_FAULTS: '4',
      ...process.env,
      CARNET_TEST_MONGODB: set.url('admin'),
      CARNET_TEST_STORE: 'mongodb',
    },
  });
  // An interrupt reaches both; the child's end is what is waited for, so that the database is stopped whatever happens.
  process.on('SIGINT', () => undefined);
  process.exitCode = await new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
} finally {
  await set.stop();
}

/**
 * `npm run soak`: the proofs of `docs/proofs.md`, one after the other, at the sizes that they are meant for and on seeds of chance, which each
 * prints. Every size and seed can be set in the environment; the table of cells goes to `soak/oracle-cells.tsv`. Ends with the first exit code that is not 0.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const chance = (): string => String(Math.floor(Math.random() * 0x7fffffff));

/** Each proof with its tests and its sizes; what the environment says comes first. */
const PROOFS: readonly {
  readonly name: string;
  readonly tests: readonly string[];
  readonly sizes: Readonly<Record<string, string>>;
}[] = [
  {
    name: 'engine and oracle',
    tests: ['test/oracle'],
    sizes: {
      ORACLE_DECISIONS: '1000000',
      ORACLE_DECISIONS_SEED: 'random',
      ORACLE_STORE_EVERY: '8',
      ORACLE_TABLE: 'soak/oracle-cells.tsv',
    },
  },
  { name: 'model', tests: ['test/model'], sizes: { MODEL_RUNS: '2000', MODEL_SEED: 'random' } },
  {
    name: 'twin worlds, server and oracle, explanations',
    tests: ['test/blackbox'],
    sizes: {
      CARNET_TWIN_PAIRS: '100000',
      CARNET_TWIN_SEED: 'random',
      ORACLE_WORLDS: '20',
      ORACLE_SEED: chance(),
      EXPLAIN_WORLDS: '20',
    },
  },
  {
    name: 'crashes and revocations',
    tests: ['test/slow'],
    sizes: { RECONCILE_KILLS: '40', RECONCILE_SYNCS: '120', RECONCILE_REPORT: '1', REVOCATION_SECONDS: '120' },
  },
];

mkdirSync(new URL('../../soak/', import.meta.url), { recursive: true });
let code = 0;
for (const { name, tests, sizes } of PROOFS) {
  const set = Object.fromEntries(Object.entries(sizes).map(([key, size]) => [key, process.env[key] ?? size]));
  console.info(`${name}: ${JSON.stringify(set)}`);
  const ran = spawnSync('npx', ['vitest', 'run', ...tests], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...set },
  });
  code ||= ran.status ?? 1;
}
process.exitCode = code;

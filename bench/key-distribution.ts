/**
 * `npm run bench:keys`: how evenly ten million persons fall on shards, by the store's own `placeOf` and equal ranges of it. Twice: with the ids that the
 * server gives, and with ids that are synthetic INS, all alike but for a few digits, as a register of another system could bring them. By persons,
 * and by documents where a few have many. `--people N` takes another number.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { placeOf } from '../server/adapters/store-mongo/schema.ts';
import { numbers } from './world.ts';

const { values: options } = parseArgs({
  options: { people: { type: 'string', default: '10000000' }, seed: { type: 'string', default: '20260101' } },
});
const people = Number(options.people);
const SHARDS = [2, 8, 16, 32, 64] as const;
const PLACES = 2 ** 31;

/** Sex, year, month, department, municipality, order, and the key of 97: fifteen digits, all of one department. */
function insOf(n: number): string {
  const first = `${1 + (n % 2)}${String(20 + (Math.floor(n / 2) % 80)).padStart(2, '0')}${String(1 + (Math.floor(n / 160) % 12)).padStart(2, '0')}99${String(Math.floor(n / 1920) % 1_000_000).padStart(6, '0')}`;
  return `${first}${String(97 - (Number(first) % 97)).padStart(2, '0')}`;
}

/** The shape of a UUID v4, which is what the server gives. */
function uuids(): () => string {
  let pool = Buffer.alloc(0);
  let at = 0;
  return () => {
    if (at === pool.length) [pool, at] = [randomBytes(16 * 4096), 0];
    const hex = pool.toString('hex', at, at + 16);
    at += 16;
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  };
}

/** Documents of a person: most have a few, one in a hundred has more than three hundred (Pareto, at most 3 000). */
const documentsOf = (random: () => number): number => Math.min(3_000, Math.floor(8 / (1 - random()) ** 0.8));

type Fullest = { readonly shards: number; readonly byPeople: number; readonly byDocuments: number };

function distribution(idOf: (n: number) => string): readonly Fullest[] {
  const random = numbers(Number(options.seed));
  // The finest division holds all coarser ones.
  const finest = Math.max(...SHARDS);
  const [persons, documents] = [new Float64Array(finest), new Float64Array(finest)];
  for (let n = 0; n < people; n += 1) {
    const at = Math.floor((placeOf(`Patient/${idOf(n)}`) / PLACES) * finest);
    persons[at] = (persons[at] ?? 0) + 1;
    documents[at] = (documents[at] ?? 0) + documentsOf(random);
  }
  const fullest = (counts: Float64Array, shards: number): number => {
    const sums = Array.from({ length: shards }, (_, i) =>
      counts.subarray((i * finest) / shards, ((i + 1) * finest) / shards).reduce((a, b) => a + b, 0),
    );
    return Math.max(...sums) / (sums.reduce((a, b) => a + b, 0) / shards);
  };
  return SHARDS.map((shards) => ({
    shards,
    byPeople: fullest(persons, shards),
    byDocuments: fullest(documents, shards),
  }));
}

const begun = performance.now();
const found = { uuid: distribution(uuids()), ins: distribution(insOf) };
const percent = (ratio: number): string => `+${((ratio - 1) * 100).toFixed(3)} %`;
const rows = found.uuid.map(({ shards, byPeople, byDocuments }, i) => {
  const ins = found.ins[i];
  return `| ${[String(shards), percent(byPeople), percent(byDocuments), percent(ins?.byPeople ?? 1), percent(ins?.byDocuments ?? 1)].join(' | ')} |`;
});
const date = new Date().toISOString().slice(0, 10);
const page = `# Persons on shards, ${date}

${people.toLocaleString('en-US')} persons; the fullest shard beside the mean one.

| shards | ids of the server: persons | documents | ids that are INS: persons | documents |
| ---: | ---: | ---: | ---: | ---: |
${rows.join('\n')}
`;
const out = fileURLToPath(new URL('results/', import.meta.url));
mkdirSync(out, { recursive: true });
writeFileSync(`${out}${date}-keys.md`, page);
writeFileSync(`${out}${date}-keys.json`, `${JSON.stringify({ date, people, found }, null, 1)}\n`);
process.stdout.write(`${page}\n${((performance.now() - begun) / 1000).toFixed(0)} s; bench/results/${date}-keys.md\n`);

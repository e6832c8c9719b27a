/**
 * Writes our conformance resources to `conformance/`, one file each, out of `source/` and of what the server says of itself:
 * `npm run profiles`. A test holds the files equal to what this makes. Profiles are kept as differentials, which is all that there is to read of
 * them; the snapshot is derived where one is needed.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { capabilityOf } from './source/capability.ts';
import { consents } from './source/consents.ts';
import { documents } from './source/documents.ts';
import type { Conformance } from './source/draft.ts';
import { exchange } from './source/exchange.ts';
import { health } from './source/health.ts';
import { identity } from './source/identity.ts';
import { operations } from './source/operations.ts';

const FOLDER = new URL('conformance/', import.meta.url);
const PARAMETERS = new URL('search-parameters/', import.meta.url);

/** The search parameters of ours, which are authored as they are published. */
const searchParameters = (): readonly Conformance[] =>
  readdirSync(PARAMETERS)
    .toSorted()
    // INVARIANT: files of ours.
    .map((file) => JSON.parse(readFileSync(new URL(file, PARAMETERS), 'utf8')) as Conformance);

/** Every resource, by the name of its file. */
export const conformance = (): ReadonlyMap<string, string> =>
  new Map(
    [
      ...consents,
      ...identity,
      ...documents,
      ...health,
      ...exchange,
      ...operations,
      ...searchParameters(),
      capabilityOf(),
    ].map((resource: Conformance) => [
      `${resource.resourceType}-${resource.id}.json`,
      `${JSON.stringify(resource, undefined, 2)}\n`,
    ]),
  );

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  mkdirSync(FOLDER, { recursive: true });
  for (const old of readdirSync(FOLDER)) rmSync(new URL(old, FOLDER));
  for (const [name, text] of conformance()) writeFileSync(new URL(name, FOLDER), text);
}

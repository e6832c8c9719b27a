/** The samples of the types that this server holds, and the packages beside them; nothing of them is in the project. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DECLARATIONS } from '../../server/app/types/index.ts';
import { missingSamples, type Sample, samplesIn } from './samples.ts';

const DATA = new URL('../../../shared/data/', import.meta.url);

/** The folder of packages, as a path. */
export const packagesFolder = fileURLToPath(new URL('profiles', DATA));

const FRENCH = 'fr-examples';
const folders = (): readonly string[] =>
  missingSamples(FRENCH) !== undefined
    ? []
    : readdirSync(new URL(FRENCH, DATA), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => `${FRENCH}/${entry.name}`);

/** Samples of our types, and Bundles of them. */
export const samplesOfOurTypes = (): readonly Sample[] =>
  [...folders(), 'ihe-mhd', 'r4-examples']
    .flatMap((folder) => samplesIn(folder))
    .filter(({ resource }) => resource.resourceType === 'Bundle' || DECLARATIONS.has(resource.resourceType));

/** The real samples beside the project, where they are there; tests that need them are skipped, saying so, where they are not. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Resource } from '../../server/fhir/types.ts';

const ROOT = new URL('../../../shared/data/', import.meta.url);

/** Why a test that needs a sample folder is skipped; `undefined` when the folder is there. */
export const missingSamples = (folder: string): string | undefined =>
  existsSync(new URL(folder, ROOT)) ? undefined : `the sample folder \`${folder}\` is not beside the project`;

export const sampleText = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

export type Sample = { readonly name: string; readonly text: string; readonly resource: Resource };

/** Every resource of a folder, as `folder/file.json`. */
export const samplesIn = (folder: string): readonly Sample[] =>
  missingSamples(folder) !== undefined
    ? []
    : readdirSync(new URL(`${folder}/`, ROOT))
        .filter((file) => file.endsWith('.json') && !file.startsWith('_'))
        .map((file) => {
          const text = sampleText(`${folder}/${file}`);
          return { name: `${folder}/${file}`, text, resource: JSON.parse(text) as Resource };
        });

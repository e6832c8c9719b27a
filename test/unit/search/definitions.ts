import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { registryFor, type SearchDefinitions, type SearchRegistry } from '../../../server/fhir/search-parameter.ts';
import type { Resource } from '../../../server/fhir/types.ts';

const ROOT = join(import.meta.dirname, '../../..');

export const definitions = JSON.parse(
  readFileSync(join(ROOT, 'fhir-profiles/definitions/search-parameters.json'), 'utf8'),
) as SearchDefinitions;

/** Every resource type of R4. */
export const registry: SearchRegistry = registryFor({ definitions, types: definitions.resources, omit: [] });

const SAMPLES = join(ROOT, '../shared/data');

/** The sample resources of a folder beside the project, sub-folders included; `undefined` when it is not there. */
export function samples(folder: string): readonly Resource[] | undefined {
  const at = join(SAMPLES, folder);
  if (!existsSync(at)) return undefined;
  const files = readdirSync(at, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.json'));
  const resources: Resource[] = [];
  for (const file of files) {
    if (!statSync(join(at, file)).isFile()) continue;
    const read: unknown = JSON.parse(readFileSync(join(at, file), 'utf8'));
    if (typeof read === 'object' && read !== null && 'resourceType' in read) resources.push(read as Resource);
  }
  return resources;
}

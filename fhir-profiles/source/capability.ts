/** The CapabilityStatement of a server with the default settings and no package, as `GET /metadata` answers it. */
import { readFileSync } from 'node:fs';
import { capabilityStatement } from '../../server/app/capability.ts';
import { DECLARATIONS } from '../../server/app/types/index.ts';
import { readConfig } from '../../server/config.ts';
import { registryFor, type SearchDefinitions } from '../../server/fhir/search-parameter.ts';
import { RELEASE } from '../../server/release.ts';
import type { Conformance } from './draft.ts';

export const capabilityOf = (): Conformance => {
  // INVARIANT: a file of ours, made by `build-definitions.ts`.
  const definitions = JSON.parse(
    readFileSync(new URL('../definitions/search-parameters.json', import.meta.url), 'utf8'),
  ) as SearchDefinitions;
  const statement = capabilityStatement({
    declarations: DECLARATIONS,
    registry: registryFor({ definitions, types: [...DECLARATIONS.keys()], omit: [] }),
    baseUrl: readConfig({}).baseUrl,
    ...RELEASE,
    packages: [],
    packageProfiles: () => [],
  });
  // INVARIANT: a CapabilityStatement, plain JSON.
  return { ...(statement as Conformance), id: 'carnet' };
};

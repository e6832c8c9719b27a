/** `meta.profile`: what whoever wrote a resource says it conforms to. https://hl7.org/fhir/R4/resource.html#Meta */
import { asArray, asObject, asText } from './json.ts';
import type { JsonObject } from './types.ts';

/** The canonicals that a resource claims, each once. */
export const claimsOf = (resource: JsonObject): readonly string[] => [
  ...new Set(
    asArray(asObject(resource['meta'])?.['profile'])
      .map(asText)
      .filter((claim) => claim !== undefined),
  ),
];

import { readFileSync } from 'node:fs';
import type { Definitions, Invariant, StructureDefinition, ValueSet } from '../../fhir/definitions.ts';
import type { JsonObject } from '../../fhir/types.ts';

/** The definitions and, by type, the R4 JSON schema. */
export interface R4Definitions extends Definitions {
  schema(name: string): JsonObject | undefined;
}

const lazily = <T>(folder: URL, name: string): ((key: string) => T | undefined) => {
  let rows: ReadonlyMap<string, T> | undefined;
  return (key) => {
    // INVARIANT: the file is one of ours, written by `fhir-profiles/build-validation-definitions.ts`.
    rows ??= new Map(Object.entries(JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Record<string, T>));
    return rows.get(key);
  };
};

/**
 * Definitions out of a folder (`fhir-profiles/definitions/`, with a slash at its end). Each file is read when it is first asked for: opening costs
 * nothing. Throws where a file is missing or is not JSON.
 */
export const openDefinitions = (folder: URL): R4Definitions => ({
  structure: lazily<StructureDefinition>(folder, 'structures.json'),
  invariant: lazily<Invariant>(folder, 'rules.json'),
  valueSet: lazily<ValueSet>(folder, 'value-sets.json'),
  schema: lazily<JsonObject>(folder, 'schema.json'),
});

/** The definitions that come with the server. */
export const shippedDefinitions = (): R4Definitions =>
  openDefinitions(new URL('../../../fhir-profiles/definitions/', import.meta.url));

/** The conformance resources that come with the server, in `fhir-profiles/conformance`. */
import { readdirSync, readFileSync } from 'node:fs';
import type { JsonObject } from '../../../fhir/types.ts';

const FOLDER = new URL('../../../../fhir-profiles/conformance/', import.meta.url);

/** Profiles, extensions, value sets and code systems of ours. */
export const shippedConformance = (): readonly JsonObject[] =>
  readdirSync(FOLDER)
    .filter((name) => /^(StructureDefinition|ValueSet|CodeSystem)-.*\.json$/.test(name))
    // INVARIANT: files of ours, written by `fhir-profiles/build-conformance.ts`.
    .map((name) => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as JsonObject);

/** https://hl7.org/fhir/R4/parameters.html: what the operations of explanation answer with, and what they take. */
import type { Bilingual } from '../../access/sentences.ts';
import { asArray, asObject, asText } from '../../fhir/json.ts';
import { malformed, ok, type Result } from '../../fhir/result.ts';
import type { Instant, Json, JsonObject } from '../../fhir/types.ts';
import type { FhirRequest } from '../request.ts';

/** One parameter, or one part of one. */
export type Parameter = JsonObject & { readonly name: string };

export const code = (name: string, value: string): Parameter => ({ name, valueCode: value });
export const codes = (name: string, values: readonly string[]): readonly Parameter[] =>
  values.map((value) => code(name, value));
export const text = (name: string, value: string): Parameter => ({ name, valueString: value });
export const url = (name: string, value: string): Parameter => ({ name, valueUrl: value });
export const flag = (name: string, value: boolean): Parameter => ({ name, valueBoolean: value });
export const count = (name: string, value: number): Parameter => ({ name, valueInteger: value });
export const instant = (name: string, value: Instant): Parameter => ({
  name,
  valueInstant: new Date(value).toISOString(),
});
/** A reference with its display, or a display alone. */
export const reference = (name: string, value: string | undefined, display?: string): Parameter => ({
  name,
  valueReference: {
    ...(value === undefined ? {} : { reference: value }),
    ...(display === undefined ? {} : { display }),
  },
});
export const group = (name: string, part: readonly Parameter[]): Parameter => ({ name, part });
export const sentence = (name: string, { fr, en }: Bilingual): Parameter =>
  group(name, [text('fr', fr), text('en', en)]);

/** A Parameters resource, serialised. */
export const parametersText = (parameter: readonly Parameter[]): string =>
  JSON.stringify({ resourceType: 'Parameters', parameter });

/** What a Parameters resource has (R4: no text, nothing contained). */
const PARTS_OF_PARAMETERS: readonly string[] = ['resourceType', 'id', 'meta', 'implicitRules', 'language', 'parameter'];

/** The parameters that a body states, by name; none without a body. A name that is not `known`, or stands twice, is refused (400). */
export function readParameters(
  request: FhirRequest,
  known: readonly string[],
): Result<ReadonlyMap<string, JsonObject>> {
  if (request.body.kind === 'none') return ok(new Map());
  const body: Json | undefined = request.body.kind === 'json' ? request.body.value : undefined;
  const resource = asObject(body);
  if (resource?.['resourceType'] !== 'Parameters') return malformed('the body is a Parameters resource');
  const stray = Object.keys(resource).find((name) => !PARTS_OF_PARAMETERS.includes(name));
  if (stray !== undefined) return malformed(`a Parameters resource has no \`${stray}\``);
  if (resource['parameter'] !== undefined && !Array.isArray(resource['parameter']))
    return malformed('`parameter` is a list');
  const found = new Map<string, JsonObject>();
  for (const parameter of asArray(resource['parameter']).map(asObject)) {
    const name = asText(parameter?.['name']) ?? '';
    if (parameter === undefined || !known.includes(name))
      return malformed(`the parameter \`${name}\` is not known here`);
    if (found.has(name)) return malformed(`the parameter \`${name}\` stands once`);
    found.set(name, parameter);
  }
  return ok(found);
}

/** Query parameters that shape any answer. */
const SHAPING: readonly string[] = ['_format', '_pretty'];

/** The query of an operation, by name; a name that is not `known`, or stands twice, is refused (400). */
export function readQuery(request: FhirRequest, known: readonly string[]): Result<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const [name, value] of request.query) {
    if (SHAPING.includes(name)) continue;
    if (!known.includes(name)) return malformed(`the parameter \`${name}\` cannot be read here`, name);
    if (found.has(name)) return malformed(`the parameter \`${name}\` stands once`, name);
    found.set(name, value);
  }
  return ok(found);
}

/**
 * What an operation of one GET or POST is asked: in the address, or in a Parameters, by name; nothing twice. `stated`: the names, each with the elements
 * that hold it in a Parameters; the address may have a `_cursor` too.
 */
export function readGiven(
  request: FhirRequest,
  stated: Readonly<Record<string, readonly string[]>>,
): Result<ReadonlyMap<string, string>> {
  const parameters = readParameters(request, Object.keys(stated));
  if (!parameters.ok) return parameters;
  const query = readQuery(request, [...Object.keys(stated), '_cursor']);
  if (!query.ok) return query;
  const given = new Map(query.value);
  for (const [name, parameter] of parameters.value) {
    if (given.has(name)) return malformed(`the parameter \`${name}\` stands once`, name);
    const elements = stated[name] ?? [];
    const value = elements.map((element) => parameter[element]).find((v) => v !== undefined);
    if (value === undefined || value === null || typeof value === 'object')
      return malformed(`\`${name}\` has a \`${elements[0]}\``, name);
    given.set(name, String(value));
  }
  return ok(given);
}

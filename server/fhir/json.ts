/** Reading parsed JSON without trusting it: every function answers `undefined` or empty for what is not there. */
import type { Json, JsonObject } from './types.ts';

export const asObject = (value: Json | undefined): JsonObject | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
export const asArray = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);
export const asText = (value: Json | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

export type Coding = { readonly system: string | undefined; readonly code: string | undefined };

export const asCoding = (value: Json | undefined): Coding => {
  const o = asObject(value);
  return { system: asText(o?.['system']), code: asText(o?.['code']) };
};

/** The codings of a CodeableConcept. */
export const codingsOf = (concept: Json | undefined): readonly Coding[] =>
  asArray(asObject(concept)?.['coding']).map(asCoding);

/** The codings of a list of CodeableConcepts. */
export const allCodings = (concepts: Json | undefined): readonly Coding[] => asArray(concepts).flatMap(codingsOf);

/** `Reference.reference`, as written. */
export const referenceOf = (value: Json | undefined): string | undefined => asText(asObject(value)?.['reference']);

/** The first extension with this url. */
export const extensionOf = (element: JsonObject | undefined, url: string): JsonObject | undefined =>
  asArray(element?.['extension'])
    .map(asObject)
    .find((e) => e?.['url'] === url);

/** Structural equality of JSON values; key order is irrelevant. */
export function sameJson(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => sameJson(item, b[i]));
  }
  const left = asObject(a);
  const right = asObject(b);
  if (left === undefined || right === undefined) return false;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((k) => Object.hasOwn(right, k) && sameJson(left[k], right[k]))
  );
}

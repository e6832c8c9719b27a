/** How a value is compared with what a definition states. https://hl7.org/fhir/R4/elementdefinition.html#definition */
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import type { Json } from '../../../fhir/types.ts';
import type { Contains } from './terminology.ts';

/** `pattern[x]`: everything that the pattern says, and whatever else. A list has an item for each item of the pattern. */
export const matchesPattern = (value: Json | undefined, pattern: Json): boolean => {
  if (Array.isArray(pattern)) {
    const items = asArray(value);
    return pattern.every((part) => items.some((item) => matchesPattern(item, part)));
  }
  const members = asObject(pattern);
  if (members === undefined) return value === pattern;
  const node = asObject(value);
  return node !== undefined && Object.entries(members).every(([name, part]) => matchesPattern(node[name], part));
};

/** Whether a code, a Coding, a CodeableConcept or a Quantity has a code of the set; `undefined` where nobody can tell. */
export const codesWithin = (value: Json, contains: Contains): boolean | undefined => {
  if (typeof value === 'string') return contains(value, undefined);
  const node = asObject(value);
  if (node === undefined) return false;
  if (asObject(node)?.coding !== undefined) {
    const said = asArray(node.coding).map((coding) => codesWithin(coding, contains));
    return said.includes(true) ? true : said.includes(undefined) ? undefined : false;
  }
  const code = asText(node.code);
  return code === undefined ? false : contains(code, asText(node.system) ?? '');
};

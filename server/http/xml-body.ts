/** FHIR XML on the wire: bodies read a piece at a time, answers made of the JSON that the application gave. */
import type { Definitions } from '../fhir/definitions.ts';
import { parseJson } from '../fhir/json-text.ts';
import type { JsonObject } from '../fhir/types.ts';
import { stepsOfXml } from '../fhir/xml/guard.ts';
import { resourceOfElement } from '../fhir/xml/read.ts';
import { xmlOf } from '../fhir/xml/write.ts';
import { refuseBody } from './body.ts';

const otherWork = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The resource that an XML body holds. Other requests are served between two pieces of it. Throws `BodyRefused` (400, 413). */
export async function resourceOfXmlBody(text: string, definitions: Definitions): Promise<JsonObject> {
  const step = stepsOfXml(text);
  let root = step();
  while (root === undefined) {
    await otherWork();
    root = step();
  }
  const resource = root.ok ? resourceOfElement(root.value, text, definitions) : root;
  if (!resource.ok) throw refuseBody(resource.failure);
  return resource.value;
}

/** What we serialise ourselves is nested deeper than what we accept: a Bundle wraps its resources. */
const OWN_LIMITS = { depth: 128 };

/** The XML of a resource that the application serialised as JSON. */
export function xmlOfJsonText(text: string, definitions: Definitions, isPretty: boolean): string {
  const resource = parseJson(text, OWN_LIMITS);
  if (!resource.ok) throw new Error('an answer is not the JSON of a resource');
  // INVARIANT: every body of type FHIR JSON is a resource.
  return xmlOf(resource.value as JsonObject, definitions, isPretty);
}

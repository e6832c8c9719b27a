/**
 * FHIR XML out of parsed JSON. https://hl7.org/fhir/R4/xml.html
 *
 * Elements stand in the order of the definitions, whatever the order in JSON; numbers are written as `parseJson` remembers them (`1.00`).
 */
import {
  type Definitions,
  isPrimitive,
  isXmlAttribute,
  type Member,
  membersOf,
  type StructureDefinition,
} from '../definitions.ts';
import { asArray, asObject, asText } from '../json.ts';
import { writtenNumber } from '../json-text.ts';
import type { Json, JsonObject } from '../types.ts';
import { escapedAttribute } from './escape.ts';
import { FHIR_NAMESPACE } from './guard.ts';
import { xhtmlElement } from './xhtml.ts';

export const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>';

type Writing = {
  readonly definitions: Definitions;
  readonly pretty: boolean;
  readonly parts: string[];
};

/** A member's value, and the object or array that holds it: what knows how a number was written. */
type Held = { readonly value: Json | undefined; readonly holder: object; readonly key: string };

/** A name in XML, and how deep it stands. */
type Place = { readonly name: string; readonly depth: number };

const line = ({ pretty, parts }: Writing, depth: number): void => {
  if (pretty) parts.push('\n', '  '.repeat(depth));
};

const structureOf = ({ definitions }: Writing, type: string): StructureDefinition => {
  const structure = definitions.structure(type);
  // INVARIANT: what is written was validated, or made by the server, and names types of R4 only.
  if (structure === undefined) throw new Error('XML of a type that R4 does not define');
  return structure;
};

const primitiveText = ({ value, holder, key }: Held): string | undefined => {
  if (value === null || value === undefined) return undefined;
  return typeof value === 'number' ? (writtenNumber(holder, key) ?? String(value)) : String(value);
};

const attribute = (name: string, value: string | undefined): string =>
  value === undefined ? '' : ` ${name}="${escapedAttribute(value)}"`;

/** One primitive: its value, and what its `_name` says beside it. */
function writePrimitive(w: Writing, { name, depth }: Place, held: Held, beside: JsonObject | undefined): void {
  const value = primitiveText(held);
  const extensions = asArray(beside?.['extension']);
  if (value === undefined && beside === undefined) return;
  line(w, depth);
  w.parts.push(`<${name}${attribute('id', asText(beside?.['id']))}${attribute('value', value)}`);
  if (extensions.length === 0) {
    w.parts.push('/>');
    return;
  }
  w.parts.push('>');
  for (const one of extensions) writeObject(w, { name: 'extension', depth: depth + 1 }, one, 'Extension');
  line(w, depth);
  w.parts.push(`</${name}>`);
}

/** A resource in the element that holds it. */
function writeHeldResource(w: Writing, { name, depth }: Place, value: Json): void {
  line(w, depth);
  w.parts.push(`<${name}>`);
  writeResource(w, depth + 1, value);
  line(w, depth);
  w.parts.push(`</${name}>`);
}

function writeValue(w: Writing, place: Place, held: Held, member: Member): void {
  const { value } = held;
  if (value === null || value === undefined) return;
  if (member.type === 'xhtml') {
    line(w, place.depth);
    w.parts.push(xhtmlElement(String(value)));
  } else if (structureOf(w, member.type).kind === 'resource') writeHeldResource(w, place, value);
  else writeObject(w, place, value, member.type);
}

function writeMember(w: Writing, place: Place, node: JsonObject, member: Member): void {
  const value = node[place.name];
  const primitive = isPrimitive(member.type) && member.type !== 'xhtml';
  const beside = primitive ? node[`_${place.name}`] : undefined;
  if (value === undefined && beside === undefined) return;
  if (!Array.isArray(value) && !Array.isArray(beside)) {
    const held = { value, holder: node, key: place.name };
    if (primitive) writePrimitive(w, place, held, asObject(beside));
    else writeValue(w, place, held, member);
    return;
  }
  const values = asArray(value);
  const besides = asArray(beside);
  for (let i = 0; i < Math.max(values.length, besides.length); i += 1) {
    const held = { value: values[i], holder: values, key: String(i) };
    if (primitive) writePrimitive(w, place, held, asObject(besides[i]));
    else writeValue(w, place, held, member);
  }
}

/** What JSON has and R4 does not would be lost in silence. */
const checkKnown = (node: JsonObject, members: ReadonlyMap<string, Member>): void => {
  for (const key in node) {
    if (key !== 'resourceType' && !members.has(key) && !(key.startsWith('_') && members.has(key.slice(1))))
      throw new Error('XML of an element that R4 does not define');
  }
};

/** The children of an element, in the order of the definitions. */
function writeChildren(w: Writing, depth: number, node: JsonObject, type: string): void {
  const structure = structureOf(w, type);
  const members = membersOf(structure);
  checkKnown(node, members);
  for (const [name, member] of members) {
    if (!isXmlAttribute(type, structure, member.name)) writeMember(w, { name, depth }, node, member);
  }
}

function writeObject(w: Writing, { name, depth }: Place, value: Json, type: string): void {
  const node = asObject(value) ?? {};
  line(w, depth);
  const url = type === 'Extension' ? attribute('url', asText(node['url'])) : '';
  w.parts.push(`<${name}${attribute('id', asText(node['id']))}${url}`);
  const open = w.parts.push('>');
  writeChildren(w, depth + 1, node, type);
  if (w.parts.length === open) {
    w.parts[open - 1] = '/>';
    return;
  }
  line(w, depth);
  w.parts.push(`</${name}>`);
}

function writeResource(w: Writing, depth: number, value: Json): void {
  const resource = asObject(value) ?? {};
  const type = asText(resource['resourceType']) ?? '';
  line(w, depth);
  w.parts.push(depth === 0 ? `<${type} xmlns="${FHIR_NAMESPACE}">` : `<${type}>`);
  writeChildren(w, depth + 1, resource, type);
  line(w, depth);
  w.parts.push(`</${type}>`);
}

/** The XML document of a resource; `pretty` puts each element on a line of its own. Throws on what R4 does not define: that is a bug. */
export function xmlOf(resource: JsonObject, definitions: Definitions, pretty = false): string {
  const writing: Writing = { definitions, pretty, parts: [XML_DECLARATION] };
  writeResource(writing, 0, resource);
  return writing.parts.join('');
}

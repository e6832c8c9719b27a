/**
 * FHIR XML into the JSON that the rest of the server reads, by R4's own definitions. https://hl7.org/fhir/R4/xml.html
 *
 * What XML alone can get wrong is refused here, at its place: namespaces, order, elements that R4 does not have, attributes, stray text. What the
 * values mean is judged by the validator, as for JSON.
 */
import {
  type Definitions,
  isPrimitive,
  isXmlAttribute,
  type Member,
  membersOf,
  type StructureDefinition,
} from '../definitions.ts';
import { keepWritten, writeNumber } from '../json-text.ts';
import { fail, ok, type Result } from '../result.ts';
import type { Json, JsonObject } from '../types.ts';
import { FHIR_NAMESPACE, readXml, XHTML_NAMESPACE, type XmlElement } from './guard.ts';
import { xhtmlText } from './xhtml.ts';

type Reading = { readonly definitions: Definitions; readonly source: string };

/** Where the reader stands, as a FHIRPath expression. */
type At = string;

const refused = (text: string, element: XmlElement, at: At): ReturnType<typeof fail> =>
  fail({ code: 'malformed', faults: [{ code: 'structure', text: `${text} (line ${element.line})`, at }] });

/** A name as it may be repeated in a message. */
const shown = (name: string): string => `\`${name.slice(0, 64)}\``;

const SCHEMA_INSTANCE = 'http://www.w3.org/2001/XMLSchema-instance';

/** The attributes of an element, by name; those that it may not have are refused. A hint where a schema lies is passed over. */
function attributesOf(element: XmlElement, allowed: readonly string[], at: At): Result<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { name, namespace, value } of element.attributes) {
    if (namespace === SCHEMA_INSTANCE && name === 'schemaLocation') continue;
    if (namespace !== '' || !allowed.includes(name))
      return refused(`the attribute ${shown(name)} is not accepted on ${shown(element.name)}`, element, at);
    found.set(name, value);
  }
  return ok(found);
}

/** The elements within an element; FHIR has no mixed content. */
function elementsOf(element: XmlElement, at: At): Result<readonly XmlElement[]> {
  const found: XmlElement[] = [];
  for (const child of element.children) {
    if (typeof child !== 'string') found.push(child);
    else if (/[^ \t\r\n]/.test(child)) return refused('text stands between elements', element, at);
  }
  return ok(found);
}

// ---- primitives -----------------------------------------------------------------------------------------------------

const INTEGER = /^[-+]?(0|[1-9][0-9]*)$/;
const DECIMAL = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/;
const NUMBERS: Readonly<Record<string, RegExp>> = {
  decimal: DECIMAL,
  integer: INTEGER,
  positiveInt: INTEGER,
  unsignedInt: INTEGER,
};

/** The JSON value of a primitive's text; `undefined` where the text is none of its type. */
function jsonValue(type: string, text: string): Json | undefined {
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined;
  const number = NUMBERS[type];
  if (number === undefined) return text;
  const value = Number(text);
  return number.test(text) && Number.isFinite(value) ? value : undefined;
}

/** One primitive: its value, and the id and extensions that JSON keeps in `_name`. `text` is how a number was written. */
type Primitive = {
  readonly value: Json | undefined;
  readonly text: string | undefined;
  readonly beside: JsonObject | undefined;
};

function readPrimitive(r: Reading, element: XmlElement, type: string, at: At): Result<Primitive> {
  const attributes = attributesOf(element, ['id', 'value'], at);
  if (!attributes.ok) return attributes;
  const elements = elementsOf(element, at);
  if (!elements.ok) return elements;
  const extension: JsonObject[] = [];
  for (const child of elements.value) {
    if (child.name !== 'extension' || child.namespace !== FHIR_NAMESPACE)
      return refused(`${shown(child.name)} is no element of \`${type}\``, child, at);
    const read = readObject(r, child, 'Extension', `${at}.extension[${extension.length}]`);
    if (!read.ok) return read;
    extension.push(read.value);
  }
  const text = attributes.value.get('value');
  const id = attributes.value.get('id');
  if (text === undefined && id === undefined && extension.length === 0)
    return refused('an element has a value or children', element, at);
  const value = text === undefined ? undefined : jsonValue(type, text);
  if (text !== undefined && value === undefined) return refused(`not a valid \`${type}\``, element, at);
  const beside: { id?: string; extension?: readonly JsonObject[] } = {};
  if (id !== undefined) beside.id = id;
  if (extension.length > 0) beside.extension = listOf(extension);
  if (beside.extension !== undefined) keepWritten(beside, beside.extension);
  return ok({ value, text, beside: id === undefined && extension.length === 0 ? undefined : beside });
}

const listOf = (items: readonly Json[]): readonly Json[] & readonly JsonObject[] => {
  const list = [...items];
  keepWritten(list, ...list);
  // INVARIANT: called with objects where it is read as a list of objects.
  return list as readonly JsonObject[];
};

/** Keeps how a number was written where JavaScript would write it in another way. */
const keepNumber = (holder: object, key: string, { value, text }: Primitive): void => {
  if (typeof value === 'number' && text !== undefined && String(value) !== text && DECIMAL.test(text))
    writeNumber(holder, key, text);
};

/** Puts the occurrences of one primitive element into the object: `name`, and `_name` where one has more than a value. */
function putPrimitives(node: Record<string, Json>, name: string, list: boolean, found: readonly Primitive[]): void {
  const [first] = found;
  if (!list && first !== undefined) {
    if (first.value !== undefined) node[name] = first.value;
    keepNumber(node, name, first);
    if (first.beside !== undefined) node[`_${name}`] = first.beside;
    return;
  }
  if (found.some((one) => one.value !== undefined)) {
    const values = found.map((one) => one.value ?? null);
    for (const [i, one] of found.entries()) keepNumber(values, String(i), one);
    node[name] = values;
  }
  if (found.some((one) => one.beside !== undefined)) node[`_${name}`] = listOf(found.map((one) => one.beside ?? null));
}

// ---- objects --------------------------------------------------------------------------------------------------------

/** The one resource that an element like `contained` holds. */
function readHeldResource(r: Reading, element: XmlElement, at: At): Result<JsonObject> {
  const attributes = attributesOf(element, [], at);
  if (!attributes.ok) return attributes;
  const elements = elementsOf(element, at);
  if (!elements.ok) return elements;
  const [resource, ...more] = elements.value;
  return resource === undefined || more.length > 0
    ? refused(`${shown(element.name)} holds one resource`, element, at)
    : readResource(r, resource, at);
}

const readValue = (r: Reading, element: XmlElement, type: string, at: At): Result<Json> =>
  type === 'xhtml'
    ? xhtmlText(element, r.source, at)
    : r.definitions.structure(type)?.kind === 'resource'
      ? readHeldResource(r, element, at)
      : readObject(r, element, type, at);

type Slot = { readonly name: string; readonly member: Member; readonly place: number };

const slots = new WeakMap<StructureDefinition, ReadonlyMap<string, Slot>>();

/** The elements that a structure has in XML, by name, with their place in the order; a choice is one place. */
function slotsOf(type: string, structure: StructureDefinition): ReadonlyMap<string, Slot> {
  const known = slots.get(structure);
  if (known !== undefined) return known;
  const order = Object.keys(structure.elements);
  const made = new Map<string, Slot>();
  for (const [name, member] of membersOf(structure)) {
    if (!isXmlAttribute(type, structure, member.name))
      made.set(name, { name, member, place: order.indexOf(member.name) });
  }
  slots.set(structure, made);
  return made;
}

/** A run of elements of one name. */
type Run = { readonly slot: Slot; readonly elements: XmlElement[] };

/** The children in runs of one name, in the order that R4 gives them. */
function runsOf(element: XmlElement, type: string, structure: StructureDefinition, at: At): Result<readonly Run[]> {
  const elements = elementsOf(element, at);
  if (!elements.ok) return elements;
  const allowed = slotsOf(type, structure);
  const runs: Run[] = [];
  for (const child of elements.value) {
    const slot = allowed.get(child.name);
    if (slot === undefined) return refused(`${shown(child.name)} is no element of \`${type}\``, child, at);
    const here = `${at}.${slot.name}`;
    const namespace = slot.member.type === 'xhtml' ? XHTML_NAMESPACE : FHIR_NAMESPACE;
    if (child.namespace !== namespace)
      return refused(`${shown(child.name)} is in the namespace \`${namespace}\``, child, here);
    const last = runs.at(-1);
    if (last?.slot === slot) {
      if (slot.member.element.list !== true) return refused(`${shown(child.name)} does not repeat`, child, here);
      last.elements.push(child);
    } else if (last !== undefined && last.slot.place >= slot.place) {
      const text =
        last.slot.place === slot.place
          ? `there is only one \`${slot.member.name}[x]\``
          : `${shown(child.name)} comes before ${shown(last.slot.name)}`;
      return refused(text, child, here);
    } else runs.push({ slot, elements: [child] });
  }
  return ok(runs);
}

/** Reads the children into `node`. */
function readChildren(
  r: Reading,
  element: XmlElement,
  into: { readonly node: Record<string, Json>; readonly type: string; readonly structure: StructureDefinition },
  at: At,
): Result<JsonObject> {
  const { node, type, structure } = into;
  const runs = runsOf(element, type, structure, at);
  if (!runs.ok) return runs;
  for (const { slot, elements } of runs.value) {
    const { name, member } = slot;
    const list = member.element.list === true;
    const place = (i: number): At => (list ? `${at}.${name}[${i}]` : `${at}.${name}`);
    if (isPrimitive(member.type) && member.type !== 'xhtml') {
      const found: Primitive[] = [];
      for (const [i, one] of elements.entries()) {
        const read = readPrimitive(r, one, member.type, place(i));
        if (!read.ok) return read;
        found.push(read.value);
      }
      putPrimitives(node, name, list, found);
      continue;
    }
    const found: Json[] = [];
    for (const [i, one] of elements.entries()) {
      const read = readValue(r, one, member.type, place(i));
      if (!read.ok) return read;
      found.push(read.value);
    }
    const [first] = found;
    if (list) node[name] = listOf(found);
    else if (first !== undefined) node[name] = first;
  }
  keepWritten(node, ...Object.values(node));
  return ok(node);
}

function readObject(r: Reading, element: XmlElement, type: string, at: At): Result<JsonObject> {
  const structure = r.definitions.structure(type);
  // INVARIANT: every type that an element names has a definition; a test of the definitions asks for all of them.
  if (structure === undefined) throw new Error('an element of a type that R4 does not define');
  const attributes = attributesOf(element, type === 'Extension' ? ['id', 'url'] : ['id'], at);
  if (!attributes.ok) return attributes;
  const node: Record<string, Json> = Object.fromEntries(attributes.value);
  const read = readChildren(r, element, { node, type, structure }, at);
  return read.ok && Object.keys(node).length === 0 ? refused('an element has a value or children', element, at) : read;
}

function readResource(r: Reading, element: XmlElement, at: At | undefined): Result<JsonObject> {
  const type = element.name;
  const here = at ?? (type.slice(0, 64) as At);
  if (element.namespace !== FHIR_NAMESPACE)
    return refused(`a resource is in the namespace \`${FHIR_NAMESPACE}\``, element, here);
  const structure = r.definitions.structure(type);
  if (structure?.kind !== 'resource' || structure.abstract === true)
    return refused(`${shown(type)} is no resource of R4`, element, here);
  const attributes = attributesOf(element, [], here);
  if (!attributes.ok) return attributes;
  return readChildren(r, element, { node: { resourceType: type }, type, structure }, here);
}

/**
 * The resource of an XML document, as `parseJson` would have given it: decimals keep the way they are written. Fails with 400 (413 for too many
 * elements), naming the place; comments are dropped.
 */
export function resourceOfXml(text: string, definitions: Definitions): Result<JsonObject> {
  const root = readXml(text);
  return root.ok ? resourceOfElement(root.value, text, definitions) : root;
}

/** The resource of a document's root element; `source` is the text that it was read from. */
export const resourceOfElement = (root: XmlElement, source: string, definitions: Definitions): Result<JsonObject> =>
  readResource({ definitions, source }, root, undefined);

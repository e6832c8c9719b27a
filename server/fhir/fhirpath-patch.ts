/**
 * FHIRPath Patch: a Parameters resource of operations. https://hl7.org/fhir/R4/fhirpatch.html
 *
 * The resource is never changed; each operation gives a copy. The caller validates the result.
 */
import { choiceName, type Definitions, type ElementDefinition, elementOf, isPrimitive } from './definitions.ts';
import { type Place, placesOf, readElementPath, type Step } from './element-path.ts';
import { asArray, asObject, asText } from './json.ts';
import { depthOf, JSON_LIMITS, keepWritten, writeNumber, writtenNumber } from './json-text.ts';
import { malformed, ok, type Result, unprocessable } from './result.ts';
import type { Json, JsonObject, Resource } from './types.ts';

const MOST_OPERATIONS = 1000;

/** A value for one element: the JSON, what extends it when it is a primitive, and its type where the Parameters say it. */
type ElementValue = {
  readonly json: Json | undefined;
  readonly shadow: Json | undefined;
  /** The JSON name's end: `CodeableConcept` of `valueCodeableConcept`; `undefined` for a list of parts or a resource. */
  readonly suffix: string | undefined;
  readonly written: string | undefined;
};

type Part = JsonObject;

type Operation = {
  readonly at: number;
  readonly type: string;
  readonly path: string;
  readonly steps: readonly Step[];
  readonly parts: ReadonlyMap<string, Part>;
};

type Scope = { readonly resource: Resource; readonly definitions: Definitions };

const refuse = (operation: Operation, text: string): ReturnType<typeof unprocessable> =>
  unprocessable(
    `operation ${operation.at} (\`${operation.type.slice(0, 16)}\` \`${operation.path.slice(0, 128)}\`): ${text}`,
  );

// ---- reading --------------------------------------------------------------------------------------------------------

const NEEDS: Readonly<Record<string, readonly string[]>> = {
  add: ['name', 'value'],
  insert: ['index', 'value'],
  delete: [],
  replace: ['value'],
  move: ['source', 'destination'],
};

/** The text or number of a part, whatever its `value[x]`. */
const scalar = (part: Part | undefined): Json | undefined => {
  const key = Object.keys(part ?? {}).find((name) => name.startsWith('value'));
  return key === undefined ? undefined : part?.[key];
};

const readOperation = (parameter: Json, at: number): Result<Operation> => {
  const operation = asObject(parameter);
  if (operation?.name !== 'operation') return malformed(`parameter ${at} is no \`operation\``);
  const parts = new Map<string, Part>();
  for (const item of asArray(operation.part)) {
    const part = asObject(item);
    const name = asText(part?.name);
    if (part === undefined || name === undefined) return malformed(`operation ${at} has a part without a name`);
    if (parts.has(name)) return malformed(`operation ${at} has two parts \`${name.slice(0, 64)}\``);
    parts.set(name, part);
  }
  const type = scalar(parts.get('type'));
  const path = scalar(parts.get('path'));
  if (typeof type !== 'string' || typeof path !== 'string')
    return malformed(`operation ${at} has no \`type\` or no \`path\``);
  const read: Operation = { at, type, path, steps: readElementPath(path) ?? [], parts };
  const needs = Object.hasOwn(NEEDS, type) ? NEEDS[type] : undefined;
  if (needs === undefined) return refuse(read, 'no such operation');
  const missing = needs.find((name) => !parts.has(name));
  if (missing !== undefined) return malformed(`operation ${at} has no \`${missing}\``);
  return read.steps.length === 0 ? refuse(read, 'not a path that a patch may take') : ok(read);
};

/** The value that a part carries, for an element; parts of a part are the members of an element whose type has no name. */
const carried = (part: Part, element: ElementDefinition, definitions: Definitions): ElementValue | undefined => {
  if (part.resource !== undefined)
    return { json: part.resource, shadow: undefined, suffix: undefined, written: undefined };
  if (part.part !== undefined) {
    const [type] = element.types;
    const json =
      type === undefined || element.choice === true ? undefined : objectOf(asArray(part.part), type, definitions);
    return json === undefined ? undefined : { json, shadow: undefined, suffix: undefined, written: undefined };
  }
  const key = Object.keys(part)
    .find((name) => name.startsWith('value') || name.startsWith('_value'))
    ?.replace(/^_/, '');
  if (key === undefined) return undefined;
  return {
    json: part[key],
    shadow: part[`_${key}`],
    suffix: key.slice('value'.length),
    written: writtenNumber(part, key),
  };
};

const objectOf = (parts: readonly Json[], type: string, definitions: Definitions): JsonObject | undefined => {
  let object: JsonObject = {};
  for (const item of parts) {
    const part = asObject(item);
    const name = asText(part?.name);
    const element = name === undefined ? undefined : elementOf(definitions.structure(type), name);
    if (part === undefined || name === undefined || element === undefined) return undefined;
    const value = carried(part, element, definitions);
    const key = value === undefined ? undefined : keyOf(name, element, value);
    if (value === undefined || key === undefined || (element.list !== true && object[key] !== undefined))
      return undefined;
    object =
      element.list === true
        ? spliced(object, { key, at: lengthOf(object, key), drop: 0, value })
        : withMember(object, key, value);
  }
  return object;
};

/** The name in JSON that an element takes for a value; `undefined` when a choice has no such type. */
const keyOf = (name: string, element: ElementDefinition, value: ElementValue): string | undefined => {
  if (element.choice !== true) return name;
  const type = element.types.find((one) => value.suffix !== undefined && choiceName('', one) === value.suffix);
  return type === undefined ? undefined : choiceName(name, type);
};

// ---- changing -------------------------------------------------------------------------------------------------------

const without = (object: JsonObject, key: string): JsonObject => {
  const { [key]: _value, [`_${key}`]: _shadow, ...rest } = object;
  return rest;
};

const withMember = (object: JsonObject, key: string, value: ElementValue): JsonObject => {
  const { [`_${key}`]: _, ...rest } = object;
  const { [key]: _old, ...bare } = rest;
  const copy: Record<string, Json> = value.json === undefined ? { ...bare } : { ...rest, [key]: value.json };
  if (value.shadow !== undefined) copy[`_${key}`] = value.shadow;
  if (value.json !== undefined) keepWritten(copy, value.json);
  if (value.written !== undefined) writeNumber(copy, key, value.written);
  return copy;
};

const itemsOf = (value: Json | undefined): readonly Json[] => asArray(value);

const lengthOf = (object: JsonObject, key: string): number =>
  Math.max(itemsOf(object[key]).length, itemsOf(object[`_${key}`]).length);

type Splice = {
  readonly key: string;
  readonly at: number;
  readonly drop: number;
  readonly value: ElementValue | undefined;
};

/** Takes items out of a repeating element and puts one in, in both halves of a primitive; an array without content is left out. */
const spliced = (object: JsonObject, { key, at, drop, value }: Splice): JsonObject => {
  const length = lengthOf(object, key);
  const half = (name: string, item: Json | undefined): readonly Json[] => {
    const items = Array.from({ length }, (_, i) => itemsOf(object[name])[i] ?? null);
    return value === undefined ? items.toSpliced(at, drop) : items.toSpliced(at, drop, item ?? null);
  };
  const copy: Record<string, Json> = { ...object };
  for (const [name, item] of [
    [key, value?.json],
    [`_${key}`, value?.shadow],
  ] as const) {
    const items = half(name, item);
    if (items.every((one) => one === null)) delete copy[name];
    else copy[name] = items;
    keepWritten(copy, ...items);
  }
  return copy;
};

/** The resource with the object at `path` exchanged. */
const changedAt = (
  node: Json,
  path: readonly (string | number)[],
  change: (object: JsonObject) => JsonObject,
): Json => {
  const [step, ...rest] = path;
  if (step === undefined) return change(asObject(node) ?? {});
  if (typeof step === 'number') {
    const items = itemsOf(node);
    const copy = items.with(step, changedAt(items[step] ?? null, rest, change));
    keepWritten(copy, ...copy);
    return copy;
  }
  const object = asObject(node) ?? {};
  const inner = changedAt(object[step] ?? null, rest, change);
  const copy = { ...object, [step]: inner };
  keepWritten(copy, inner);
  return copy;
};

const change = (
  scope: Scope,
  path: readonly (string | number)[],
  how: (object: JsonObject) => JsonObject,
): Result<Resource> => {
  // INVARIANT: a change at any path of an object gives an object, and none of them takes `resourceType`, which is no element.
  return ok(changedAt(scope.resource, path, how) as Resource);
};

// ---- operations -----------------------------------------------------------------------------------------------------

const find = (scope: Scope, operation: Operation, steps: readonly Step[]): Result<readonly Place[]> => {
  const places = placesOf(scope.resource, steps, scope.definitions);
  return places === undefined ? refuse(operation, 'the path names an element that does not exist') : ok(places);
};

/** The one place of a path. */
const findOne = (scope: Scope, operation: Operation, steps: readonly Step[]): Result<Place> => {
  const places = find(scope, operation, steps);
  if (!places.ok) return places;
  const [only] = places.value;
  if (only === undefined) return refuse(operation, 'there is nothing at this path');
  return places.value.length > 1 ? refuse(operation, 'the path finds more than one element') : ok(only);
};

const pathTo = (place: Place): readonly (string | number)[] =>
  place.key === '' ? [] : [...place.parent, place.key, ...(place.index === undefined ? [] : [place.index])];

/** Reads the value of an operation for an element. */
const operand = (
  scope: Scope,
  operation: Operation,
  to: { readonly name: string; readonly element: ElementDefinition },
): Result<{ readonly key: string; readonly value: ElementValue }> => {
  const part = operation.parts.get('value');
  const value = part === undefined ? undefined : carried(part, to.element, scope.definitions);
  const key = value === undefined ? undefined : keyOf(to.name, to.element, value);
  if (value === undefined || key === undefined) return refuse(operation, 'the value is none of this element');
  return ok({ key, value });
};

const wholeNumber = (operation: Operation, name: string): number | undefined => {
  const value = scalar(operation.parts.get(name));
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;
};

const add = (scope: Scope, operation: Operation): Result<Resource> => {
  const found = findOne(scope, operation, operation.steps);
  if (!found.ok) return found;
  const place = found.value;
  const name = asText(scalar(operation.parts.get('name'))) ?? '';
  // A primitive's own id and extensions stand beside it, in `_x`.
  const primitive = isPrimitive(place.type);
  const structure = scope.definitions.structure(primitive ? 'Element' : place.type);
  const element = elementOf(structure, name);
  if (element === undefined || (primitive && place.index !== undefined))
    return refuse(operation, `there is no element \`${name.slice(0, 64)}\` here`);
  const value = operand(scope, operation, { name, element });
  if (!value.ok) return value;
  const into = (object: JsonObject): JsonObject =>
    element.list === true
      ? spliced(object, {
          key: value.value.key,
          at: lengthOf(object, value.value.key),
          drop: 0,
          value: value.value.value,
        })
      : withMember(object, value.value.key, value.value.value);
  const here = primitive
    ? (asObject(placeParent(scope, place)?.[`_${place.key}`]) ?? {})
    : (asObject(place.value) ?? {});
  const taken = element.types.some((type) => {
    const key = element.choice === true ? choiceName(name, type) : name;
    return here[key] !== undefined || here[`_${key}`] !== undefined;
  });
  if (taken && element.list !== true) return refuse(operation, `\`${name}\` is there already`);
  if (!primitive) return change(scope, pathTo(place), into);
  return change(scope, place.parent, (object) => ({ ...object, [`_${place.key}`]: into(here) }));
};

const placeParent = (scope: Scope, place: Place): JsonObject | undefined => {
  let node: Json | undefined = scope.resource;
  for (const step of place.parent) node = typeof step === 'number' ? itemsOf(node)[step] : asObject(node)?.[step];
  return asObject(node);
};

/** What `insert` and `move` work on: a repeating element of one object. */
type Collection = { readonly place: Place; readonly name: string; readonly element: ElementDefinition };

const collection = (scope: Scope, operation: Operation): Result<Collection> => {
  const last = operation.steps.at(-1);
  if (last?.op !== 'member' || operation.steps.length < 2)
    return refuse(operation, 'the path is not that of a repeating element');
  const found = findOne(scope, operation, operation.steps.slice(0, -1));
  if (!found.ok) return found;
  const element = elementOf(scope.definitions.structure(found.value.type), last.name);
  if (element?.list !== true) return refuse(operation, 'the path is not that of a repeating element');
  return ok({ place: found.value, name: last.name, element });
};

const insert = (scope: Scope, operation: Operation): Result<Resource> => {
  const found = collection(scope, operation);
  if (!found.ok) return found;
  const { place, name, element } = found.value;
  const at = wholeNumber(operation, 'index');
  if (at === undefined || at > lengthOf(asObject(place.value) ?? {}, name))
    return refuse(operation, 'the index is outside the list');
  const value = operand(scope, operation, { name, element });
  if (!value.ok) return value;
  return change(scope, pathTo(place), (object) =>
    spliced(object, { key: value.value.key, at, drop: 0, value: value.value.value }),
  );
};

const move = (scope: Scope, operation: Operation): Result<Resource> => {
  const found = collection(scope, operation);
  if (!found.ok) return found;
  const { place, name } = found.value;
  const object = asObject(place.value) ?? {};
  const from = wholeNumber(operation, 'source');
  const to = wholeNumber(operation, 'destination');
  const length = lengthOf(object, name);
  if (from === undefined || to === undefined || from >= length || to >= length)
    return refuse(operation, 'the index is outside the list');
  const value: ElementValue = {
    json: itemsOf(object[name])[from] ?? undefined,
    shadow: itemsOf(object[`_${name}`])[from] ?? undefined,
    suffix: undefined,
    written: undefined,
  };
  return change(scope, pathTo(place), (owner) =>
    spliced(spliced(owner, { key: name, at: from, drop: 1, value: undefined }), { key: name, at: to, drop: 0, value }),
  );
};

const remove = (scope: Scope, operation: Operation): Result<Resource> => {
  const places = find(scope, operation, operation.steps);
  if (!places.ok) return places;
  const [place] = places.value;
  if (place === undefined) return ok(scope.resource);
  if (places.value.length > 1) return refuse(operation, 'the path finds more than one element');
  if (place.key === '') return refuse(operation, 'a patch does not delete the resource');
  const { index, key } = place;
  return change(scope, place.parent, (object) =>
    index === undefined ? without(object, key) : spliced(object, { key, at: index, drop: 1, value: undefined }),
  );
};

const replace = (scope: Scope, operation: Operation): Result<Resource> => {
  const found = findOne(scope, operation, operation.steps);
  if (!found.ok) return found;
  const { element, index, key, parent, type } = found.value;
  if (element === undefined) return refuse(operation, 'a patch does not replace the resource');
  const name = element.choice === true ? key.slice(0, key.length - type.length) : key;
  const value = operand(scope, operation, { name, element });
  if (!value.ok) return value;
  return change(scope, parent, (object) =>
    index === undefined
      ? withMember(value.value.key === key ? object : without(object, key), value.value.key, value.value.value)
      : spliced(object, { key, at: index, drop: 1, value: value.value.value }),
  );
};

const OPERATIONS: Readonly<Record<string, (scope: Scope, operation: Operation) => Result<Resource>>> = {
  add,
  insert,
  delete: remove,
  replace,
  move,
};

/**
 * Applies a FHIRPath Patch to a resource. The result is a new resource, or all of nothing: 400 when `patch` is no Parameters of operations, 422
 * naming the operation and its path when one does not fit. Neither argument is changed.
 */
export const applyFhirPathPatch = (resource: Resource, patch: Json, definitions: Definitions): Result<Resource> => {
  const parameters = asObject(patch);
  if (parameters?.resourceType !== 'Parameters') return malformed('a FHIRPath Patch is a `Parameters` resource');
  const items = asArray(parameters.parameter);
  if (items.length > MOST_OPERATIONS) return malformed(`a FHIRPath Patch has at most ${MOST_OPERATIONS} operations`);
  let current = resource;
  for (const [at, item] of items.entries()) {
    const operation = readOperation(item, at);
    if (!operation.ok) return operation;
    const next = OPERATIONS[operation.value.type]?.({ resource: current, definitions }, operation.value);
    if (next === undefined) return refuse(operation.value, 'no such operation');
    if (!next.ok) return next;
    if (depthOf(next.value) > JSON_LIMITS.depth)
      return refuse(operation.value, `nests deeper than ${JSON_LIMITS.depth} levels`);
    current = next.value;
  }
  return ok(current);
};

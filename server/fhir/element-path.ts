/**
 * FHIRPath expressions that name places in a resource rather than values: member steps, `[n]`, `first()`, `last()`, `ofType(T)`,
 * `extension('url')` and `where(…)` with comparisons and `exists()` joined by `and`. Everything else is refused, so that what a patch touches can
 * be read off its path. https://hl7.org/fhir/R4/fhirpatch.html#concept
 */
import { choiceName, type Definitions, type ElementDefinition, elementOf, isPrimitive } from './definitions.ts';
import { asObject } from './json.ts';
import type { Json, JsonObject } from './types.ts';

type Literal = string | number | boolean;
type Condition = {
  readonly path: readonly Step[];
  readonly test:
    | { readonly op: 'exists' }
    | { readonly op: 'empty' }
    | { readonly op: '=' | '!='; readonly literal: Literal };
};
export type Step =
  | { readonly op: 'member'; readonly name: string }
  | { readonly op: 'index'; readonly at: number }
  | { readonly op: 'first' }
  | { readonly op: 'last' }
  | { readonly op: 'type'; readonly name: string }
  | { readonly op: 'where'; readonly all: readonly Condition[] };

/** One element: a member of the object at `parent` (keys and indexes from the resource), an item of it where it repeats. */
export type Place = {
  readonly parent: readonly (string | number)[];
  /** The member's name in JSON; empty for the resource itself. */
  readonly key: string;
  readonly index: number | undefined;
  /** FHIR type or path of the backbone element. */
  readonly type: string;
  readonly element: ElementDefinition | undefined;
  readonly value: Json | undefined;
};

// ---- reading --------------------------------------------------------------------------------------------------------

const TOKEN = /\s*(?:([A-Za-z_][A-Za-z0-9_]*)|'((?:[^'\\]|\\.)*)'|(\d+(?:\.\d+)?)|(!=|[.()[\]=]))/y;
const MOST_TOKENS = 200;

type Token = { readonly kind: 'name' | 'text' | 'number' | 'sign'; readonly text: string };

const tokensOf = (expression: string): readonly Token[] | undefined => {
  const found: Token[] = [];
  const text = expression.trim();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text);
    if (match === null || found.length > MOST_TOKENS) return undefined;
    const [, name, quoted, number, sign = ''] = match;
    if (name !== undefined) found.push({ kind: 'name', text: name });
    else if (quoted !== undefined) found.push({ kind: 'text', text: quoted.replace(/\\(.)/g, '$1') });
    else if (number !== undefined) found.push({ kind: 'number', text: number });
    else found.push({ kind: 'sign', text: sign });
  }
  return found;
};

/** The steps of an expression, `undefined` when it is not one of those that this file reads. */
export const readElementPath = (expression: string): readonly Step[] | undefined => {
  const all = tokensOf(expression);
  if (all === undefined || all.length === 0) return undefined;
  let at = 0;
  const take = (kind: Token['kind'], text?: string): string | undefined => {
    const token = all[at];
    if (token?.kind !== kind || (text !== undefined && token.text !== text)) return undefined;
    at += 1;
    return token.text;
  };
  const sign = (text: string): boolean => take('sign', text) !== undefined;

  const literal = (): Literal | undefined => {
    const quoted = take('text');
    if (quoted !== undefined) return quoted;
    const number = take('number');
    if (number !== undefined) return Number(number);
    if (take('name', 'true') !== undefined) return true;
    return take('name', 'false') === undefined ? undefined : false;
  };

  const condition = (): Condition | undefined => {
    const path = steps(true);
    if (path === undefined) return undefined;
    const [last] = path.slice(-1);
    // `exists()` and `empty()` have been read as the last member step.
    if (last?.op === 'member' && (last.name === 'exists()' || last.name === 'empty()'))
      return { path: path.slice(0, -1), test: { op: last.name === 'exists()' ? 'exists' : 'empty' } };
    const op = sign('=') ? '=' : sign('!=') ? '!=' : undefined;
    const value = op === undefined ? undefined : literal();
    return op === undefined || value === undefined ? undefined : { path, test: { op, literal: value } };
  };

  const conditions = (): readonly Condition[] | undefined => {
    const found: Condition[] = [];
    do {
      const one = condition();
      if (one === undefined) return undefined;
      found.push(one);
    } while (take('name', 'and') !== undefined);
    return found;
  };

  const call = (name: string, inside: boolean): Step | undefined => {
    switch (name) {
      case 'first':
      case 'last':
        return { op: name };
      case 'exists':
      case 'empty':
        return inside ? { op: 'member', name: `${name}()` } : undefined;
      case 'ofType': {
        const type = take('name');
        return type === undefined ? undefined : { op: 'type', name: type };
      }
      case 'where': {
        const all = inside ? undefined : conditions();
        return all === undefined ? undefined : { op: 'where', all };
      }
      default:
        return undefined;
    }
  };

  const steps = (inside: boolean): readonly Step[] | undefined => {
    const found: Step[] = [];
    do {
      const name = take('name');
      if (name === undefined) return undefined;
      if (name === 'extension' && sign('(')) {
        const url = take('text');
        if (url === undefined || !sign(')')) return undefined;
        const is: Condition = { path: [{ op: 'member', name: 'url' }], test: { op: '=', literal: url } };
        found.push({ op: 'member', name }, { op: 'where', all: [is] });
      } else if (sign('(')) {
        const step = call(name, inside);
        if (step === undefined || !sign(')')) return undefined;
        found.push(step);
      } else found.push({ op: 'member', name });
      while (sign('[')) {
        const index = take('number');
        if (index === undefined || !/^\d{1,9}$/.test(index) || !sign(']')) return undefined;
        found.push({ op: 'index', at: Number(index) });
      }
    } while (sign('.'));
    return found;
  };

  const path = steps(false);
  return at === all.length ? path : undefined;
};

// ---- walking --------------------------------------------------------------------------------------------------------

/** Where a step leads from one place. `undefined`: its type has no such element. */
const membersAt = (place: Place, name: string, definitions: Definitions): readonly Place[] | undefined => {
  const element = elementOf(definitions.structure(place.type), name);
  if (element === undefined) return undefined;
  const parent =
    place.key === '' ? [] : [...place.parent, place.key, ...(place.index === undefined ? [] : [place.index])];
  const object = asObject(place.value);
  if (object === undefined) return [];
  return element.types.flatMap((type): readonly Place[] => {
    const key = element.choice === true ? choiceName(name, type) : name;
    const value = object[key];
    const shadow = isPrimitive(type) ? object[`_${key}`] : undefined;
    if (value === undefined && shadow === undefined) return [];
    const common = { parent, key, type: type === 'Resource' ? resourceTypeOf(value) : type, element };
    if (element.list !== true) return [{ ...common, index: undefined, value }];
    const length = Math.max(Array.isArray(value) ? value.length : 0, Array.isArray(shadow) ? shadow.length : 0);
    return Array.from({ length }, (_, index) => {
      const item = Array.isArray(value) ? value[index] : undefined;
      return { ...common, index, value: item, type: type === 'Resource' ? resourceTypeOf(item) : type };
    });
  });
};

const resourceTypeOf = (value: Json | undefined): string => {
  const type = asObject(value)?.resourceType;
  return typeof type === 'string' ? type : 'Resource';
};

const meets = (place: Place, condition: Condition, definitions: Definitions): boolean => {
  const found = walk([place], condition.path, definitions) ?? [];
  const { test } = condition;
  if (test.op === 'exists') return found.length > 0;
  if (test.op === 'empty') return found.length === 0;
  const [only] = found;
  const { op, literal } = test;
  return found.length === 1 && only !== undefined && (only.value === literal) === (op === '=');
};

const walk = (
  from: readonly Place[],
  steps: readonly Step[],
  definitions: Definitions,
): readonly Place[] | undefined => {
  let places = from;
  for (const step of steps) {
    switch (step.op) {
      case 'member': {
        const next = places.map((place) => membersAt(place, step.name, definitions));
        // With nothing to start from there is nothing to find; a name that no start has is an error.
        if (places.length > 0 && next.every((found) => found === undefined)) return undefined;
        places = next.flatMap((found) => found ?? []);
        break;
      }
      case 'index':
        places = places.slice(step.at, step.at + 1);
        break;
      case 'first':
        places = places.slice(0, 1);
        break;
      case 'last':
        places = places.slice(-1);
        break;
      case 'type':
        places = places.filter((place) => place.type === step.name);
        break;
      case 'where':
        places = places.filter((place) => step.all.every((condition) => meets(place, condition, definitions)));
        break;
      default:
        step satisfies never;
    }
  }
  return places;
};

/**
 * The places that steps lead to in a resource, in document order; a leading type name is the resource itself. `undefined` when a step names
 * an element that the type does not have.
 */
export const placesOf = (
  resource: JsonObject,
  steps: readonly Step[],
  definitions: Definitions,
): readonly Place[] | undefined => {
  const type = resourceTypeOf(resource);
  const root: Place = { parent: [], key: '', index: undefined, type, element: undefined, value: resource };
  const [first] = steps;
  const rooted = first?.op === 'member' && /^[A-Z]/.test(first.name);
  if (rooted && first.name !== type) return undefined;
  return walk([root], rooted ? steps.slice(1) : steps, definitions);
};

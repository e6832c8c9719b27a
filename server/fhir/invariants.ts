/**
 * R4's invariants. Those that most resources meet are closures, held equal to `@medplum/core`'s evaluation by a test; all others
 * are evaluated by `@medplum/core` from the FHIRPath of the definition. https://hl7.org/fhir/R4/conformance-rules.html#constraints
 */
import { evalFhirPathTyped, type FhirPathAtom, parseFhirPath, toTypedValue } from '@medplum/core';
import type { Invariant } from './definitions.ts';
import { asArray, asObject, asText, sameJson } from './json.ts';
import type { Json, JsonObject } from './types.ts';

/** What `%resource` and `%rootResource` name: the nearest resource, and the one that contains it (else the same). */
export type InvariantContext = { readonly resource: JsonObject; readonly root: JsonObject };

/** Whether a node meets an invariant. The node's shape has been found right before. */
export type Holds = (node: JsonObject, context: InvariantContext) => boolean;

/** Keys that are checked elsewhere or not at all, and why. */
export const NOT_EVALUATED: Readonly<Record<string, string>> = {
  'per-1': 'compares the written texts; the interval that a Period covers is checked instead (rules.md T3)',
  'txt-1': 'htmlChecks() cannot be said in FHIRPath; the narrative check reads the XHTML',
  'txt-2': 'htmlChecks() cannot be said in FHIRPath; the narrative check reads the XHTML',
};

const UCUM = 'http://unitsofmeasure.org';

/** An element exists with a value or with extensions only. Both names are given so that no text is built on the way. */
const has = (node: JsonObject, name: string, shadow: string): boolean =>
  node[name] !== undefined || node[shadow] !== undefined;

const hasChoice = (node: JsonObject, name: string): boolean => {
  for (const key in node)
    if (key.startsWith(name) || (key.charCodeAt(0) === 95 && key.startsWith(name, 1))) return true;
  return false;
};

const isOneOf = (value: Json | undefined, texts: readonly string[]): boolean =>
  typeof value === 'string' && texts.includes(value);

const objects = (value: Json | undefined): readonly JsonObject[] =>
  asArray(value)
    .map(asObject)
    .filter((item) => item !== undefined);

const contained = (resource: JsonObject): readonly JsonObject[] =>
  resource.contained === undefined ? [] : objects(resource.contained);

/** Every text below a node that is, or may be, a reference within the resource: `#…`, but for texts that only people read. */
const localReferences = (node: Json, found: Set<string>): Set<string> => {
  for (const item of asArray(node)) {
    if (isLocal(item)) found.add(item);
    else localReferences(item, found);
  }
  for (const [key, value] of Object.entries(asObject(node) ?? {})) {
    if (!isLocal(value)) localReferences(value, found);
    else if (key !== 'display' && key !== 'text' && key !== 'div') found.add(value);
  }
  return found;
};

const isLocal = (value: Json): value is string => typeof value === 'string' && value.charCodeAt(0) === 35;

const everyContainedIsNamed: Holds = (node) => {
  const inside = contained(node);
  if (inside.length === 0) return true;
  const named = localReferences(node, new Set());
  return inside.every((item) => named.has(`#${asText(item.id) ?? ''}`) || localReferences(item, new Set()).has('#'));
};

/**
 * ref-1. `#` alone names the container (dom-3 counts on it), which the published expression forgets; accepted inside a contained resource.
 */
const referenceResolves: Holds = (node, { resource, root }) => {
  const { reference } = node;
  if (typeof reference !== 'string' || reference.charCodeAt(0) !== 35) return true;
  if (reference === '#') return resource !== root;
  const id = reference.slice(1);
  return contained(root).some((item) => item.id === id);
};

const quantityHolds =
  (codeNeeded: boolean, more: (node: JsonObject) => boolean): Holds =>
  (node) =>
    (!codeNeeded || has(node, 'code', '_code') || !has(node, 'value', '_value')) &&
    (node.system === undefined ? node._system === undefined : node.system === UCUM) &&
    more(node);

const number = (value: Json | undefined): number | undefined => (typeof value === 'number' ? value : undefined);

const notNegative =
  (name: string, shadow: string): Holds =>
  (node) =>
    !has(node, name, shadow) || (number(node[name]) ?? -1) >= 0;

/** tst-5, tst-6. Without definitions `@medplum/core` counts `responseCode` as the choice `response[x]` too. */
const oneAssertion: Holds = (n) =>
  n.extension !== undefined ||
  [
    'contentType',
    'expression',
    'headerField',
    'minimumId',
    'navigationLinks',
    'path',
    'requestMethod',
    'resource',
    'response',
    'responseCode',
    'validateProfileId',
  ].filter((name) => has(n, name, `_${name}`)).length <= 1;

/** The closures, by key. */
export const CLOSURES: Readonly<Record<string, Holds>> = {
  'ext-1': (n) => (n.extension !== undefined) !== hasChoice(n, 'value'),
  'att-1': (n) => !has(n, 'data', '_data') || has(n, 'contentType', '_contentType'),
  'cpt-2': (n) => !has(n, 'value', '_value') || has(n, 'system', '_system'),
  'qty-3': (n) => !has(n, 'code', '_code') || has(n, 'system', '_system'),
  'age-1': quantityHolds(true, (n) => number(n.value) === undefined || (number(n.value) ?? 0) > 0),
  'dis-1': quantityHolds(true, () => true),
  'drt-1': (n) => !has(n, 'code', '_code') || (n.system === UCUM && has(n, 'value', '_value')),
  'exp-1': (n) => has(n, 'expression', '_expression') || has(n, 'reference', '_reference'),
  'rat-1': (n) =>
    (n.numerator === undefined) === (n.denominator === undefined) &&
    (n.numerator !== undefined || n.extension !== undefined),
  'ref-1': referenceResolves,
  'tim-1': (n) => !has(n, 'duration', '_duration') || has(n, 'durationUnit', '_durationUnit'),
  'tim-2': (n) => !has(n, 'period', '_period') || has(n, 'periodUnit', '_periodUnit'),
  'tim-4': notNegative('duration', '_duration'),
  'tim-5': notNegative('period', '_period'),
  'tim-6': (n) => !has(n, 'periodMax', '_periodMax') || has(n, 'period', '_period'),
  'tim-7': (n) => !has(n, 'durationMax', '_durationMax') || has(n, 'duration', '_duration'),
  'tim-8': (n) => !has(n, 'countMax', '_countMax') || has(n, 'count', '_count'),
  'tim-10': (n) => !has(n, 'timeOfDay', '_timeOfDay') || !has(n, 'when', '_when'),

  'dom-2': (n) => contained(n).every((item) => item.contained === undefined),
  'dom-3': everyContainedIsNamed,
  'dom-4': (n) =>
    contained(n).every((item) => {
      const meta = asObject(item.meta);
      return meta === undefined || !(has(meta, 'versionId', '_versionId') || has(meta, 'lastUpdated', '_lastUpdated'));
    }),
  'dom-5': (n) => contained(n).every((item) => asObject(item.meta)?.security === undefined),

  'app-1': (n) => n.type !== undefined || n.actor !== undefined,
  'app-2': (n) => has(n, 'start', '_start') === has(n, 'end', '_end'),
  'app-3': (n) =>
    (has(n, 'start', '_start') && has(n, 'end', '_end')) || isOneOf(n.status, ['proposed', 'cancelled', 'waitlist']),
  'app-4': (n) => n.cancelationReason === undefined || isOneOf(n.status, ['noshow', 'cancelled']),
  'apr-1': (n) => n.participantType !== undefined || n.actor !== undefined,
  'sev-1': (n) => !has(n, 'name', '_name') || !has(n, 'query', '_query'),
  'ctm-1': (n) => {
    if (n.onBehalfOf === undefined) return true;
    const type = /(?:^|\/)([A-Z][A-Za-z]+)\/[^/]+$/.exec(asText(asObject(n.member)?.reference) ?? '')?.[1];
    return type === undefined || type === 'Practitioner';
  },
  'lst-1': (n) => n.emptyReason === undefined || n.entry === undefined,
  'lst-2': (n) => n.mode === 'changes' || objects(n.entry).every((entry) => !has(entry, 'deleted', '_deleted')),
  'lst-3': (n) => n.mode === 'working' || objects(n.entry).every((entry) => !has(entry, 'date', '_date')),
  'org-1': (n) => n.identifier !== undefined || has(n, 'name', '_name'),
  'org-2': (n) => n.use !== 'home',
  'org-3': (n) => n.use !== 'home',
  'pat-1': (n) =>
    n.name !== undefined || n.telecom !== undefined || n.address !== undefined || n.organization !== undefined,
  'ppc-1': (n) => n.policy !== undefined || n.policyRule !== undefined,
  // ppc-2 to ppc-5 ask for a patient where the scope's system is `something`, which no system is: R4 published the placeholder.
  'ppc-2': () => true,
  'ppc-3': () => true,
  'ppc-4': () => true,
  'ppc-5': () => true,

  'bdl-1': (n) => !has(n, 'total', '_total') || isOneOf(n.type, ['searchset', 'history']),
  'bdl-2': (n) => n.type === 'searchset' || objects(n.entry).every((entry) => entry.search === undefined),
  'bdl-3': (n) => {
    const expected = isOneOf(n.type, ['batch', 'transaction', 'history']);
    return objects(n.entry).every((entry) => (entry.request !== undefined) === expected);
  },
  'bdl-4': (n) => {
    const expected = isOneOf(n.type, ['batch-response', 'transaction-response', 'history']);
    return objects(n.entry).every((entry) => (entry.response !== undefined) === expected);
  },
  'bdl-5': (n) => n.resource !== undefined || n.request !== undefined || n.response !== undefined,
  'bdl-8': (n) => !has(n, 'fullUrl', '_fullUrl') || !(asText(n.fullUrl) ?? '').includes('/_history/'),
  'tst-5': oneAssertion,
  'tst-6': oneAssertion,
  'inv-1': (n) => {
    const value = hasChoice(n, 'value');
    const resource = n.resource !== undefined;
    return n.part === undefined ? value !== resource : !value && !resource;
  },
};

/** Two single elements compared whole (BALP). `@medplum/core` counts where each was found as a part of it, so that they never are equal. */
const EQUAL_ELEMENTS = /^\$this\.(\w+) = %resource\.([\w.]+)$/;

/**
 * Whether a FHIRPath expression is true of a node, evaluated by `@medplum/core`; throws where that cannot evaluate it. The type that an evaluation
 * starts from is the structure's name; a path below it is enough for FHIRPath without definitions.
 */
export const fhirPathHolds = (expression: string): ((node: Json, context: InvariantContext) => boolean) => {
  const sameElement = EQUAL_ELEMENTS.exec(expression);
  if (sameElement !== null) {
    const [, own = '', path = ''] = sameElement;
    return (node, { resource }) => {
      const other = path.split('.').reduce<Json | undefined>((at, step) => asObject(at)?.[step], resource);
      const value = asObject(node)?.[own];
      return value !== undefined && other !== undefined && sameJson(value, other);
    };
  }
  let parsed: FhirPathAtom | undefined;
  return (node, { resource, root }) => {
    parsed ??= parseFhirPath(expression);
    const found = evalFhirPathTyped(parsed, [toTypedValue(node)], {
      '%context': toTypedValue(node),
      '%resource': toTypedValue(resource),
      '%rootResource': toTypedValue(root),
      '%ucum': toTypedValue(UCUM),
    });
    return found.length === 1 && found[0]?.value === true;
  };
};

/** Evaluates the published FHIRPath of an invariant with `@medplum/core`. Throws where that cannot evaluate it. */
export const published = (invariant: Invariant): Holds => fhirPathHolds(invariant.expression);

/** How an invariant is decided, `undefined` where `NOT_EVALUATED` says why it is not. */
export const invariantOf = (key: string, invariant: Invariant): Holds | undefined =>
  key in NOT_EVALUATED ? undefined : (CLOSURES[key] ?? published(invariant));

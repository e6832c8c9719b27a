/** `_summary` and `_elements`: parts of a resource. https://hl7.org/fhir/R4/search.html#summary, #elements */
import { SYSTEM } from './canonical.ts';
import { type Definitions, membersOf } from './definitions.ts';
import { asArray, asObject } from './json.ts';
import { type Fault, malformed, ok, type Result } from './result.ts';
import type { Json, JsonObject, Resource } from './types.ts';

/** What of a resource is asked for. `count` is no projection: a search answers it without resources. */
export type Projection =
  | { readonly kind: 'whole' }
  | { readonly kind: 'summary' }
  | { readonly kind: 'text' }
  | { readonly kind: 'data' }
  | { readonly kind: 'elements'; readonly names: readonly string[] };

export type SummaryMode = Projection | { readonly kind: 'count' };

const MODES: Readonly<Record<string, SummaryMode>> = {
  true: { kind: 'summary' },
  text: { kind: 'text' },
  data: { kind: 'data' },
  count: { kind: 'count' },
  false: { kind: 'whole' },
};

/** Reads `_summary`; 400 on any other text. */
export const readSummary = (text: string): Result<SummaryMode> => {
  const mode = Object.hasOwn(MODES, text) ? MODES[text] : undefined;
  return mode === undefined ? malformed('`_summary` is one of `true`, `text`, `data`, `count`, `false`') : ok(mode);
};

const NAME = /^(?:[A-Z][A-Za-z]*\.)?([a-z][A-Za-z0-9]*)$/;

/** More names than the root elements of any page's types. */
const MAX_ELEMENTS = 500;

/** The names in `_elements` (`identifier,active`, also `Patient.active`); `undefined` when one is no name of a root element, or there are too many. */
export const elementsOf = (text: string): readonly string[] | undefined => {
  const names = text.split(',', MAX_ELEMENTS + 1).map((item) => NAME.exec(item.trim())?.[1]);
  return names.length <= MAX_ELEMENTS && names.every((name) => name !== undefined) ? names : undefined;
};

/** Reads `_elements`; 400 on anything but names of root elements. */
export const readElements = (text: string): Result<Projection> => {
  const names = elementsOf(text);
  return names === undefined ? malformed('`_elements` is a list of root elements') : ok({ kind: 'elements', names });
};

const SUBSETTED = { system: SYSTEM.observationValue, code: 'SUBSETTED' } as const;

const isSubsetted = (tag: Json): boolean => {
  const coding = asObject(tag);
  return coding?.system === SUBSETTED.system && coding.code === SUBSETTED.code;
};

const tagged = (resource: JsonObject): JsonObject => {
  const meta = asObject(resource.meta) ?? {};
  const tags = asArray(meta.tag);
  if (tags.some(isSubsetted)) return resource;
  return { ...resource, meta: { ...meta, tag: [...tags, SUBSETTED] } };
};

/** Always there, whatever is asked for: without its modifiers a part would say something else. */
const KEPT: ReadonlySet<string> = new Set(['resourceType', 'id', 'meta', 'implicitRules', 'modifierExtension']);

type Keep = (name: string, summary: boolean, mandatory: boolean) => boolean;

const KEEP: { readonly [K in Exclude<Projection['kind'], 'whole' | 'elements'>]: Keep } = {
  summary: (_name, summary, mandatory) => summary || mandatory,
  text: (name, _summary, mandatory) => name === 'text' || mandatory,
  data: (name) => name !== 'text',
};

/** The members of one object that are kept; with `deep`, members of backbone elements are chosen by the same rule. */
const project = (
  node: JsonObject,
  structureName: string,
  how: { readonly keep: Keep; readonly deep: boolean; readonly definitions: Definitions },
): JsonObject => {
  const structure = how.definitions.structure(structureName);
  if (structure === undefined) return node;
  const members = membersOf(structure);
  const chosen: Record<string, Json> = {};
  for (const key of Object.keys(node)) {
    const value = node[key];
    if (value === undefined) continue;
    const member = members.get(key.startsWith('_') ? key.slice(1) : key);
    const element = member?.element;
    const name =
      element?.choice === true && member !== undefined
        ? key.replace(/^_/, '').slice(0, -member.type.length)
        : key.replace(/^_/, '');
    if (!KEPT.has(key) && !(element !== undefined && how.keep(name, element.summary === true, (element.min ?? 0) > 0)))
      continue;
    const inner = member?.type ?? '';
    const backbone = how.deep && inner.includes('.');
    chosen[key] = backbone ? each(value, (item) => project(item, inner, how)) : value;
  }
  return chosen;
};

const each = (value: Json, change: (item: JsonObject) => JsonObject): Json => {
  if (Array.isArray(value)) return value.map((item: Json) => each(item, change));
  const object = asObject(value);
  return object === undefined ? value : change(object);
};

export interface Summaries {
  /**
   * The part of a resource that a projection asks for, tagged SUBSETTED; mandatory elements are always in it. A whole resource comes
   * back as it is. A name that the type does not have is not missed: `_elements` may mean the included types.
   */
  project(resource: Resource, projection: Projection): Resource;
  /** The fault of a resource that says it is only a part of itself: storing it would drop the rest. `undefined`: none. */
  refusal(resource: Resource): Fault | undefined;
}

export const summariesOf = (definitions: Definitions): Summaries => ({
  project: (resource, projection) => {
    if (projection.kind === 'whole') return resource;
    const keep: Keep =
      projection.kind === 'elements'
        ? (name, _summary, mandatory) => mandatory || projection.names.includes(name)
        : KEEP[projection.kind];
    const part = project(resource, resource.resourceType, { keep, deep: projection.kind === 'summary', definitions });
    // INVARIANT: `resourceType` is always kept.
    return tagged(part) as Resource;
  },
  refusal: (resource) =>
    asArray(asObject(resource.meta)?.tag).some(isSubsetted)
      ? {
          text: 'a resource tagged `SUBSETTED` is a part and cannot be stored',
          at: `${resource.resourceType}.meta.tag`,
          code: 'business-rule',
        }
      : undefined,
});

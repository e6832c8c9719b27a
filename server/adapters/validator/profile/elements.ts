/**
 * The elements of a profile as a tree: children by name, slices under the element that they slice. It comes from the snapshot, or, where a definition
 * has none, from its differential laid over the tree of its base; R4 itself, which a resource is held to already, is the empty tree.
 * https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/elementdefinition.html
 */
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import type { Json, JsonObject } from '../../../fhir/types.ts';
import type { Canonicals } from './canonicals.ts';

/** One element: what its definition says, and what is below it. */
export type ElementTree = {
  /** Without `[x]` and without the name of the slice. */
  readonly name: string;
  readonly choice: boolean;
  readonly sliceName: string | undefined;
  readonly definition: JsonObject;
  readonly children: ReadonlyMap<string, ElementTree>;
  readonly slices: ReadonlyMap<string, ElementTree>;
};

type Growing = {
  name: string;
  choice: boolean;
  sliceName: string | undefined;
  definition: JsonObject;
  children: Map<string, Growing>;
  slices: Map<string, Growing>;
};

const grow = (name: string, sliceName?: string): Growing => ({
  name: name.replace(/\[x\]$/, ''),
  choice: name.endsWith('[x]'),
  sliceName,
  definition: {},
  children: new Map(),
  slices: new Map(),
});

/** `a.b:c.d[x]`, step by step. */
const stepsOf = (id: string): readonly { readonly name: string; readonly slice: string | undefined }[] =>
  id.split('.').map((step) => {
    const colon = step.indexOf(':');
    return colon < 0 ? { name: step, slice: undefined } : { name: step.slice(0, colon), slice: step.slice(colon + 1) };
  });

/** Puts elements into a tree; what an element does not say stays as it was. */
const lay = (root: Growing, elements: readonly (JsonObject | undefined)[]): Growing => {
  for (const element of elements) {
    if (element === undefined) continue;
    const [, ...steps] = stepsOf(asText(element.id) ?? asText(element.path) ?? '');
    let at = root;
    for (const { name, slice } of steps) {
      const key = name.replace(/\[x\]$/, '');
      let child = at.children.get(key);
      if (child === undefined) {
        child = grow(name);
        at.children.set(key, child);
      }
      at = child;
      if (slice === undefined) continue;
      let sliced = at.slices.get(slice);
      if (sliced === undefined) {
        sliced = grow(name, slice);
        at.slices.set(slice, sliced);
      }
      at = sliced;
    }
    const constraint = [...asArray(at.definition.constraint), ...asArray(element.constraint)];
    at.definition = { ...at.definition, ...element, ...(constraint.length === 0 ? {} : { constraint }) };
  }
  return root;
};

const elementsIn = (definition: JsonObject, view: 'snapshot' | 'differential'): readonly (JsonObject | undefined)[] =>
  asArray(asObject(definition[view])?.element).map(asObject);

/** Profiles on profiles, at most. */
const DEEPEST = 16;

/** The tree of a profile, or `undefined` where its base is not loaded and it has no snapshot. */
export const treeOf = (definition: JsonObject, canonicals: Canonicals, depth = 0): ElementTree | undefined => {
  const snapshot = elementsIn(definition, 'snapshot');
  if (snapshot.length > 0) return lay(grow(asText(definition.type) ?? ''), snapshot);
  const root = baseOf(definition, canonicals, depth);
  // INVARIANT: made by `lay` a moment ago, for this call alone.
  return root === undefined ? undefined : lay(root as Growing, elementsIn(definition, 'differential'));
};

function baseOf(definition: JsonObject, canonicals: Canonicals, depth: number): ElementTree | undefined {
  const base = asText(definition.baseDefinition) ?? '';
  if (/^http:\/\/hl7\.org\/fhir\/StructureDefinition\/[A-Z][A-Za-z]+$/.test(base) || depth > DEEPEST)
    return depth > DEEPEST ? undefined : grow(asText(definition.type) ?? '');
  const parent = canonicals.nearest('StructureDefinition', base);
  return parent === undefined ? undefined : treeOf(parent, canonicals, depth + 1);
}

/** `fixedCode`, `patternCoding`: the member that begins so. */
const valueNamed = (definition: JsonObject, prefix: 'fixed' | 'pattern'): Json | undefined => {
  for (const member in definition)
    if (member.startsWith(prefix) && /^[A-Z]/.test(member.slice(prefix.length))) return definition[member];
  return undefined;
};

export const fixedOf = (definition: JsonObject): Json | undefined => valueNamed(definition, 'fixed');
export const patternOf = (definition: JsonObject): Json | undefined => valueNamed(definition, 'pattern');

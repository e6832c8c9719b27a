/** A profile compiled to what it asks beyond R4: each node a set of checks, nothing where there is nothing to check. */
import type { Definitions } from '../../../fhir/definitions.ts';
import { fhirPathHolds } from '../../../fhir/invariants.ts';
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import type { Json, JsonObject } from '../../../fhir/types.ts';
import { type Canonicals, withoutVersion } from './canonicals.ts';
import { type ElementTree, fixedOf, patternOf, treeOf } from './elements.ts';
import { type Discriminator, discriminatorsOf } from './slicing.ts';
import type { Contains, Terminology } from './terminology.ts';

export type Rule = {
  readonly key: string;
  readonly human: string;
  readonly severity: 'error' | 'warning';
  readonly holds: (node: Json, context: { readonly resource: JsonObject; readonly root: JsonObject }) => boolean;
};

/** What a Reference may lead to: a type, and a profile of it where one is asked for. `undefined` type: the profile is not loaded. */
export type Target = { readonly type: string | undefined; readonly profile: string | undefined };

export type AllowedType = {
  /** Profiles of the value, one of which it conforms to. */
  readonly profiles: readonly string[];
  readonly targets: readonly Target[];
};

export type Binding = {
  readonly strength: 'required' | 'extensible';
  readonly url: string;
  readonly contains: Contains;
};

/** The checks of one element. */
export type Check = {
  readonly name: string;
  readonly choice: boolean;
  readonly min: number;
  readonly max: number;
  readonly fixed: Json | undefined;
  readonly pattern: Json | undefined;
  readonly binding: Binding | undefined;
  /** By type code; `undefined`: as R4 has it. */
  readonly types: ReadonlyMap<string, AllowedType> | undefined;
  readonly rules: readonly Rule[];
  readonly children: readonly Check[];
  readonly slices: readonly SliceCheck[];
  /** No value may stand outside of the slices. */
  readonly closed: boolean;
};

export type SliceCheck = Check & { readonly sliceName: string; readonly discriminators: readonly Discriminator[] };

export type CompiledProfile = { readonly url: string; readonly type: string; readonly root: Check };

export type Sources = {
  readonly canonicals: Canonicals;
  readonly terminology: Terminology;
  readonly definitions: Definitions;
};

const R4 = 'http://hl7.org/fhir/StructureDefinition/';

/** The R4 type that a canonical names, or `undefined` for a profile. */
export const r4TypeOf = (canonical: string, definitions: Definitions): string | undefined => {
  const url = withoutVersion(canonical);
  const name = url.startsWith(R4) ? url.slice(R4.length) : '';
  return /^[A-Z][A-Za-z]+$/.test(name) && definitions.structure(name) !== undefined ? name : undefined;
};

const numberOf = (max: Json | undefined): number => {
  const text = asText(max);
  return text === undefined || text === '*' ? Number.POSITIVE_INFINITY : Number(text);
};

/** Compiles profiles, each at its first use. */
export const compiler = (sources: Sources): ((canonical: string) => CompiledProfile | undefined) => {
  const { canonicals, terminology, definitions } = sources;
  const compiled = new Map<JsonObject, CompiledProfile | undefined>();

  /** R4's own invariants were asked already. */
  const isOfR4 = (constraint: JsonObject): boolean => {
    const key = asText(constraint.key) ?? '';
    const source = asText(constraint.source);
    if (source?.startsWith(R4) === true) return true;
    return (key === 'ele-1' || definitions.invariant(key) !== undefined) && source?.includes('/') !== true;
  };

  const rulesOf = (definition: JsonObject): readonly Rule[] =>
    asArray(definition.constraint)
      .map(asObject)
      .filter((constraint) => constraint !== undefined)
      .filter((constraint) => typeof constraint.expression === 'string' && !isOfR4(constraint))
      .map((constraint) => ({
        key: asText(constraint.key) ?? '',
        human: asText(constraint.human) ?? '',
        severity: constraint.severity === 'error' ? 'error' : 'warning',
        holds: fhirPathHolds(asText(constraint.expression) ?? ''),
      }));

  const targetOf = (canonical: string): Target => {
    const plain = r4TypeOf(canonical, definitions);
    if (plain !== undefined) return { type: plain === 'Resource' ? undefined : plain, profile: undefined };
    const definition = canonicals.nearest('StructureDefinition', canonical);
    return { type: asText(definition?.type), profile: definition === undefined ? undefined : canonical };
  };

  const texts = (list: Json | undefined): readonly string[] =>
    asArray(list)
      .map(asText)
      .filter((text) => text !== undefined);

  const typesOf = (tree: ElementTree): ReadonlyMap<string, AllowedType> | undefined => {
    const types = asArray(tree.definition.type).map(asObject);
    if (types.length === 0) return undefined;
    const allowed = new Map<string, AllowedType>();
    for (const type of types) {
      const code = asText(type?.code) ?? '';
      const profiles = texts(type?.profile).filter((url) => r4TypeOf(url, definitions) === undefined);
      const targets = texts(type?.targetProfile).map(targetOf);
      const before = allowed.get(code);
      allowed.set(code, {
        profiles: [...(before?.profiles ?? []), ...profiles],
        targets: [...(before?.targets ?? []), ...(targets.some((t) => t.type === undefined) ? [] : targets)],
      });
    }
    const says =
      tree.choice ||
      tree.name === 'resource' ||
      tree.name === 'contained' ||
      [...allowed.values()].some(({ profiles, targets }) => profiles.length > 0 || targets.length > 0);
    return says ? allowed : undefined;
  };

  const bindingOf = (definition: JsonObject): Binding | undefined => {
    const binding = asObject(definition.binding);
    const url = asText(binding?.valueSet);
    const strength = asText(binding?.strength);
    if (url === undefined || (strength !== 'required' && strength !== 'extensible')) return undefined;
    const contains = terminology.valueSet(url);
    return contains === undefined ? undefined : { strength, url: withoutVersion(url), contains };
  };

  const isIdle = (check: Check): boolean =>
    check.min === 0 &&
    check.max === Number.POSITIVE_INFINITY &&
    check.fixed === undefined &&
    check.pattern === undefined &&
    check.binding === undefined &&
    check.types === undefined &&
    check.rules.length === 0 &&
    check.children.length === 0 &&
    check.slices.length === 0 &&
    !check.closed;

  const compileTree = (tree: ElementTree): Check => {
    const { definition } = tree;
    const base = asObject(definition.base);
    const min = typeof definition.min === 'number' ? definition.min : 0;
    const max = numberOf(definition.max);
    const isSlice = tree.sliceName !== undefined;
    const slicing = asObject(definition.slicing);
    const slices = [...tree.slices.values()].map((slice) => ({
      ...compileTree(slice),
      sliceName: slice.sliceName ?? '',
      discriminators: discriminatorsOf({ slice, sliced: tree, sources }),
    }));
    return {
      name: tree.name,
      choice: tree.choice,
      min: !isSlice && base?.min === min ? 0 : min,
      max: !isSlice && base !== undefined && base.max === definition.max ? Number.POSITIVE_INFINITY : max,
      fixed: fixedOf(definition),
      pattern: patternOf(definition),
      binding: bindingOf(definition),
      types: typesOf(tree),
      rules: rulesOf(definition),
      children: [...tree.children.values()].map(compileTree).filter((child) => !isIdle(child)),
      slices,
      closed: slicing?.rules === 'closed' && slices.length > 0,
    };
  };

  return (canonical) => {
    const definition = canonicals.nearest('StructureDefinition', canonical);
    if (definition === undefined) return undefined;
    if (compiled.has(definition)) return compiled.get(definition);
    const tree = treeOf(definition, canonicals);
    const profile =
      tree === undefined
        ? undefined
        : { url: asText(definition.url) ?? '', type: asText(definition.type) ?? '', root: compileTree(tree) };
    compiled.set(definition, profile);
    return profile;
  };
};

/** Whether a code is in a value set, as far as what is loaded can tell. https://hl7.org/fhir/R4/valueset.html */
import type { Definitions } from '../../../fhir/definitions.ts';
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import type { Json, JsonObject } from '../../../fhir/types.ts';
import { type Canonicals, withoutVersion } from './canonicals.ts';

/** `undefined`: what is loaded does not tell. A `code` without a system is looked for in all of them. */
export type Contains = (code: string, system: string | undefined) => boolean | undefined;

export interface Terminology {
  /** Membership of a value set; `undefined` where it is not loaded. */
  valueSet(canonical: string): Contains | undefined;
}

/** What a part of a value set says of a code: `true`, `false`, or that nobody can tell. */
const everyConcept = (concepts: Json | undefined, found: Set<string>): Set<string> => {
  for (const concept of asArray(concepts).map(asObject)) {
    const code = asText(concept?.code);
    if (code !== undefined) found.add(code);
    everyConcept(concept?.concept, found);
  }
  return found;
};

/** The concepts below one of them; `undefined` when the system does not have it. */
const below = (concepts: Json | undefined, root: string): JsonObject | undefined => {
  for (const concept of asArray(concepts).map(asObject)) {
    if (concept === undefined) continue;
    if (concept.code === root) return concept;
    const found = below(concept.concept, root);
    if (found !== undefined) return found;
  }
  return undefined;
};

const UNKNOWN: Contains = () => undefined;
/** Value sets that include each other stop here. */
const DEEPEST = 16;

export const terminologyOf = (canonicals: Canonicals, definitions: Definitions): Terminology => {
  const known = new Map<string, Contains | undefined>();

  const ofSystem = (system: string, filters: readonly (JsonObject | undefined)[]): Contains => {
    const inSystem = (contains: (code: string) => boolean | undefined): Contains => {
      return (code, from) => (from === undefined || from === system ? contains(code) : false);
    };
    const definition = canonicals.nearest('CodeSystem', system);
    if (definition === undefined || definition.content !== 'complete') return inSystem(() => undefined);
    if (filters.length === 0) {
      const codes = everyConcept(definition.concept, new Set());
      return inSystem((code) => codes.has(code));
    }
    const [filter] = filters;
    const hierarchical = filter?.op === 'is-a' || filter?.op === 'descendent-of';
    if (filters.length > 1 || filter?.property !== 'concept' || !hierarchical) return inSystem(() => undefined);
    const root = below(definition.concept, asText(filter.value) ?? '');
    const codes = everyConcept(root?.concept, new Set());
    if (filter.op === 'is-a' && root !== undefined) codes.add(asText(filter.value) ?? '');
    return inSystem((code) => codes.has(code));
  };

  const ofInclude = (include: JsonObject, depth: number): Contains => {
    const system = asText(include.system);
    const parts: Contains[] = asArray(include.valueSet).map((url) => of(asText(url) ?? '', depth + 1) ?? UNKNOWN);
    if (system !== undefined) {
      const listed = asArray(include.concept).map((concept) => asText(asObject(concept)?.code) ?? '');
      const codes = new Set(listed);
      parts.push(
        codes.size > 0
          ? (code, from) => (from === undefined || from === system) && codes.has(code)
          : ofSystem(system, asArray(include.filter).map(asObject)),
      );
    }
    // A code is included when every part has it.
    return (code, from) => {
      const said = parts.map((part) => part(code, from));
      if (said.includes(false)) return false;
      return said.includes(undefined) ? undefined : parts.length > 0;
    };
  };

  const ofResource = (set: JsonObject, depth: number): Contains => {
    const compose = asObject(set.compose);
    const each = (list: Json | undefined): readonly Contains[] =>
      asArray(list)
        .map(asObject)
        .filter((include) => include !== undefined)
        .map((include) => ofInclude(include, depth));
    const included = each(compose?.include);
    const excluded = each(compose?.exclude);
    return (code, from) => {
      const without = excluded.map((part) => part(code, from));
      if (without.includes(true)) return false;
      const within = included.map((part) => part(code, from));
      if (within.includes(true)) return without.includes(undefined) ? undefined : true;
      return within.includes(undefined) ? undefined : false;
    };
  };

  const ofR4 = (url: string): Contains | undefined => {
    const set = definitions.valueSet(url);
    if (set === undefined) return undefined;
    const codes = new Map(Object.entries(set).map(([system, list]) => [system, new Set(list)]));
    return (code, from) =>
      from === undefined ? [...codes.values()].some((list) => list.has(code)) : codes.get(from)?.has(code) === true;
  };

  const of = (canonical: string, depth: number): Contains | undefined => {
    if (known.has(canonical)) return known.get(canonical);
    if (depth > DEEPEST) return undefined;
    const set = canonicals.nearest('ValueSet', canonical);
    const made = set === undefined ? ofR4(withoutVersion(canonical)) : ofResource(set, depth);
    known.set(canonical, made);
    return made;
  };

  return { valueSet: (canonical) => of(canonical, 0) };
};

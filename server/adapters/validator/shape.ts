/** Structures compiled for the walk: what each member of an object may be, by its name in JSON. */
import { choiceName, type Definitions, isPrimitive, type StructureDefinition } from '../../fhir/definitions.ts';
import { type Holds, invariantOf } from '../../fhir/invariants.ts';
import { PRIMITIVES, type PrimitiveCheck } from './primitive.ts';

export type Rule = { readonly key: string; readonly human: string; readonly holds: Holds };

/** One member's name in JSON. */
export type Slot = {
  /** The step in a FHIRPath expression: `birthDate`, `value.ofType(Period)`. */
  readonly step: string;
  readonly list: boolean;
  /** `shadow` is the `_name` that carries id and extensions of a primitive. */
  readonly kind: 'primitive' | 'shadow' | 'complex' | 'resource' | 'type';
  readonly type: string;
  /** The name in JSON of the other half of a primitive: `_x` of `x`, `x` of `_x`. */
  readonly pair: string;
  readonly check: PrimitiveCheck | undefined;
  /** Codes of a required binding on a primitive. */
  readonly codes: ReadonlySet<string> | undefined;
  /** Codes of a required binding on a Coding, CodeableConcept or Quantity, by system. */
  readonly codings: ReadonlyMap<string, ReadonlySet<string>> | undefined;
  readonly targets: ReadonlySet<string> | undefined;
  /** Number of the choice that this is a member of, -1 for none. */
  readonly choice: number;
  readonly rules: readonly Rule[];
};

export type Required = { readonly step: string; readonly names: readonly string[] };

export type Shape = {
  readonly name: string;
  readonly isResource: boolean;
  readonly slots: ReadonlyMap<string, Slot>;
  readonly required: readonly Required[];
  /** Names of the choices, `value` for `value[x]`. */
  readonly choices: readonly string[];
  readonly rules: readonly Rule[];
};

const NO_RULES: readonly Rule[] = [];

/** Shapes by structure name, each compiled when it is first met. `undefined`: no such structure, or an abstract one. */
export const shapes = (definitions: Definitions): ((name: string) => Shape | undefined) => {
  const compiled = new Map<string, Shape>();
  const valueSets = new Map<string, ReadonlyMap<string, ReadonlySet<string>> | undefined>();
  const rules = new Map<string, Rule | undefined>();

  const rule = (key: string): Rule | undefined => {
    if (!rules.has(key)) {
      const invariant = definitions.invariant(key);
      const holds = invariant === undefined ? undefined : invariantOf(key, invariant);
      const made = invariant === undefined || holds === undefined ? undefined : { key, human: invariant.human, holds };
      rules.set(key, made);
    }
    return rules.get(key);
  };
  const rulesOf = (keys: readonly string[]): readonly Rule[] =>
    keys.length === 0 ? NO_RULES : keys.map(rule).filter((one) => one !== undefined);

  const codesOf = (url: string | undefined): ReadonlyMap<string, ReadonlySet<string>> | undefined => {
    if (url === undefined) return undefined;
    if (!valueSets.has(url)) {
      const set = definitions.valueSet(url);
      valueSets.set(
        url,
        set === undefined ? undefined : new Map(Object.entries(set).map(([system, codes]) => [system, new Set(codes)])),
      );
    }
    return valueSets.get(url);
  };

  const compile = (name: string, structure: StructureDefinition): Shape => {
    const slots = new Map<string, Slot>();
    const required: Required[] = [];
    const choices: string[] = [];
    const isResource = structure.kind === 'resource';
    const plain = {
      list: false,
      pair: '',
      check: undefined,
      codes: undefined,
      codings: undefined,
      targets: undefined,
      choice: -1,
      rules: NO_RULES,
    };
    if (isResource) slots.set('resourceType', { ...plain, step: 'resourceType', kind: 'type', type: name });

    for (const [element, definition] of Object.entries(structure.elements)) {
      const names: string[] = [];
      const choice = definition.choice === true ? choices.push(element) - 1 : -1;
      const bound = codesOf(definition.binding);
      for (const type of definition.types) {
        const json = definition.choice === true ? choiceName(element, type) : element;
        const step = definition.choice === true ? `${element}.ofType(${type})` : element;
        const primitive = isPrimitive(type);
        const common = { ...plain, step, list: definition.list === true, type, choice };
        names.push(json);
        slots.set(json, {
          ...common,
          kind: primitive ? 'primitive' : type === 'Resource' ? 'resource' : 'complex',
          pair: primitive ? `_${json}` : '',
          check: PRIMITIVES.get(type),
          codes: primitive && bound !== undefined ? new Set([...bound.values()].flatMap((set) => [...set])) : undefined,
          codings: primitive ? undefined : bound,
          targets: definition.targets === undefined || type !== 'Reference' ? undefined : new Set(definition.targets),
          rules: rulesOf(definition.rules ?? []),
        });
        // The id of a resource or an element and the XHTML of a narrative take no extension.
        if (!primitive || element === 'id' || type === 'xhtml') continue;
        names.push(`_${json}`);
        slots.set(`_${json}`, { ...common, kind: 'shadow', pair: json });
      }
      if ((definition.min ?? 0) > 0) required.push({ step: element, names });
    }
    return { name, isResource, slots, required, choices, rules: rulesOf(structure.rules) };
  };

  return (name) => {
    const known = compiled.get(name);
    if (known !== undefined) return known;
    const structure = definitions.structure(name);
    // `Element` is abstract, and is what a primitive's `_x` holds.
    if (structure === undefined || (structure.abstract === true && name !== 'Element')) return undefined;
    const made = compile(name, structure);
    compiled.set(name, made);
    return made;
  };
};

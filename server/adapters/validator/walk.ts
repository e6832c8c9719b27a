/**
 * One walk over a resource that names every fault of its structure. It knows what the JSON schema knows, so as to say where and why the
 * schema refuses, and what a schema cannot say: cardinalities of primitives, choices, required bindings, calendar days, periods,
 * invariants. https://hl7.org/fhir/R4/json.html
 */
import { periodInterval } from '../../fhir/interval.ts';
import type { InvariantContext } from '../../fhir/invariants.ts';
import { asArray, asCoding, asObject } from '../../fhir/json.ts';
import type { Fault } from '../../fhir/result.ts';
import { type Json, type JsonObject, unreachable } from '../../fhir/types.ts';
import { narrativeFault } from './narrative.ts';
import type { Rule, Shape, Slot } from './shape.ts';

/** A walk in progress. */
export type Walk = {
  readonly shape: (name: string) => Shape | undefined;
  /** Faults after which the walk stops. */
  readonly most: number;
  /** Nesting of objects beyond which a resource is refused. */
  readonly depth: number;
  readonly faults: Fault[];
};

/** Where the walk stands. */
type Here = { readonly path: string; readonly depth: number; readonly context: InvariantContext };

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What the sender wrote is repeated up to this length. */
const shown = (text: string): string => `\`${text.slice(0, 64)}\``;

const report = (walk: Walk, fault: Fault): void => {
  if (walk.faults.length < walk.most) walk.faults.push(fault);
};

// ---- what is stated about a node as a whole -------------------------------------------------------------------------

const checkRules = (
  walk: Walk,
  rules: readonly Rule[],
  at: { readonly node: JsonObject; readonly here: Here },
): void => {
  for (const rule of rules) {
    let holds = false;
    try {
      holds = rule.holds(at.node, at.here.context);
    } catch {
      // An invariant that cannot be evaluated counts as not met: the other way round it would let anything through.
    }
    if (!holds) report(walk, { code: 'invariant', at: at.here.path, text: `${rule.key}: ${rule.human}` });
  }
};

const checkBinding = (walk: Walk, slot: Slot, at: { readonly node: JsonObject; readonly path: string }): void => {
  const { codings: allowed } = slot;
  if (allowed === undefined || (slot.type !== 'CodeableConcept' && slot.type !== 'Coding')) return;
  const codings = slot.type === 'Coding' ? [at.node] : asArray(at.node.coding).map(asObject);
  // An extension alone may say why there is no code.
  if (codings.length === 0 && at.node.extension !== undefined) return;
  const bound = codings.some((coding) => {
    const { system, code } = asCoding(coding);
    return system !== undefined && code !== undefined && allowed.get(system)?.has(code) === true;
  });
  if (!bound)
    report(walk, { code: 'code-invalid', at: at.path, text: 'no coding is from the value set that R4 requires here' });
};

const TYPE_OF_REFERENCE = /^([A-Z][A-Za-z]+)[/?]/;

const checkTarget = (walk: Walk, slot: Slot, at: { readonly node: JsonObject; readonly path: string }): void => {
  const { reference } = at.node;
  if (slot.targets === undefined || typeof reference !== 'string') return;
  const type = TYPE_OF_REFERENCE.exec(reference)?.[1];
  if (type !== undefined && !slot.targets.has(type))
    report(walk, { code: 'value', at: `${at.path}.reference`, text: `a ${shown(type)} cannot be referred to here` });
};

// ---- values by the kind of their slot -------------------------------------------------------------------------------

const checkPrimitive = (walk: Walk, slot: Slot, at: { readonly value: Json; readonly path: string }): void => {
  const { value, path } = at;
  const problem = slot.check?.(value);
  if (problem !== undefined) {
    report(walk, { code: typeof value === 'string' ? 'value' : 'structure', at: path, text: problem });
    return;
  }
  if (typeof value !== 'string') return;
  if (slot.codes !== undefined && !slot.codes.has(value))
    report(walk, {
      code: 'code-invalid',
      at: path,
      text: `${shown(value)} is not one of the codes that R4 requires here`,
    });
  if (slot.type !== 'xhtml') return;
  const fault = narrativeFault(value);
  if (fault !== undefined) report(walk, { code: 'invariant', at: path, text: fault });
};

const walkNode = (walk: Walk, slot: Slot, at: { readonly value: Json; readonly here: Here }): void => {
  const { value, here } = at;
  if (!isObject(value)) {
    report(walk, { code: 'structure', at: here.path, text: `a \`${slot.type}\` is a JSON object` });
    return;
  }
  const shape = walk.shape(slot.type);
  // INVARIANT: every type that a structure names has a definition; a test asks for all of them.
  if (shape === undefined) {
    report(walk, { code: 'structure', at: here.path, text: `\`${slot.type}\` has no definition` });
    return;
  }
  const before = walk.faults.length;
  walkObject(walk, shape, { node: value, here });
  if (slot.targets !== undefined) checkTarget(walk, slot, { node: value, path: here.path });
  if (slot.codings !== undefined) checkBinding(walk, slot, { node: value, path: here.path });
  if (slot.rules.length > 0 && walk.faults.length === before) checkRules(walk, slot.rules, { node: value, here });
};

/** A resource, at the top or inside another. */
export const walkResource = (
  walk: Walk,
  value: Json,
  at: { readonly path: string; readonly depth: number; readonly root: JsonObject | undefined },
): void => {
  const type = isObject(value) ? value.resourceType : undefined;
  const shape = typeof type === 'string' ? walk.shape(type) : undefined;
  if (!isObject(value) || shape?.isResource !== true) {
    report(walk, { code: 'structure', at: at.path, text: 'no resource of a type that R4 defines' });
    return;
  }
  const context = { resource: value, root: at.root ?? value };
  walkObject(walk, shape, { node: value, here: { path: at.path, depth: at.depth, context } });
};

/** The `_x` of a primitive: id and extensions; without a value beside it, an extension is needed (ele-1). */
const walkShadow = (
  walk: Walk,
  at: { readonly value: Json; readonly beside: Json | undefined; readonly here: Here },
): void => {
  const { value, beside, here } = at;
  const shape = walk.shape('Element');
  if (!isObject(value) || shape === undefined) {
    report(walk, { code: 'structure', at: here.path, text: 'what extends a primitive is a JSON object' });
    return;
  }
  const before = walk.faults.length;
  walkObject(walk, shape, { node: value, here });
  if (walk.faults.length === before && (beside === undefined || beside === null) && value.extension === undefined)
    report(walk, { code: 'invariant', at: here.path, text: 'ele-1: an element has a value or an extension' });
};

const walkValue = (
  walk: Walk,
  slot: Slot,
  at: { readonly value: Json; readonly beside: Json | undefined; readonly path: string; readonly from: Here },
): void => {
  const { value, path, from } = at;
  switch (slot.kind) {
    case 'primitive': {
      checkPrimitive(walk, slot, { value, path });
      return;
    }
    case 'complex': {
      walkNode(walk, slot, { value, here: { path, depth: from.depth + 1, context: from.context } });
      return;
    }
    case 'shadow': {
      walkShadow(walk, {
        value,
        beside: at.beside,
        here: { path, depth: from.depth + 1, context: from.context },
      });
      return;
    }
    case 'resource': {
      walkResource(walk, value, {
        path,
        depth: from.depth + 1,
        // What is contained shares its container's references; an entry of a Bundle or a parameter is a root of its own.
        root: slot.step === 'contained' ? from.context.root : undefined,
      });
      return;
    }
    case 'type':
      if (value !== slot.type)
        report(walk, { code: 'structure', at: path, text: `the \`resourceType\` is \`${slot.type}\`` });
      return;
    default:
      unreachable(slot.kind);
  }
};

/**
 * An array. `null` stands only in arrays of primitives, where the paired `_x` has something (R4 2.6.2.1).
 */
const walkList = (
  walk: Walk,
  slot: Slot,
  at: { readonly list: readonly Json[]; readonly node: JsonObject; readonly from: Here },
): void => {
  const { list, from } = at;
  const path = `${from.path}.${slot.step}`;
  if (list.length === 0) {
    report(walk, { code: 'structure', at: path, text: 'an array is never empty' });
    return;
  }
  const paired = slot.pair === '' ? [] : asArray(at.node[slot.pair]);
  for (let i = 0; i < list.length && walk.faults.length < walk.most; i += 1) {
    const value = list[i] ?? null;
    const beside = paired[i];
    if (value === null && slot.pair !== '') {
      if (beside === undefined || beside === null)
        report(walk, { code: 'structure', at: `${path}[${i}]`, text: 'neither a value nor an extension stands here' });
    } else walkValue(walk, slot, { value, beside, path: `${path}[${i}]`, from });
  }
};

// ---- objects --------------------------------------------------------------------------------------------------------

const walkObject = (walk: Walk, shape: Shape, at: { readonly node: JsonObject; readonly here: Here }): void => {
  const { node, here } = at;
  if (here.depth > walk.depth) {
    report(walk, { code: 'structure', at: here.path, text: `nested deeper than ${walk.depth} levels` });
    return;
  }
  const before = walk.faults.length;
  let content = false;
  let chosen: (string | undefined)[] | undefined;
  for (const key in node) {
    if (walk.faults.length >= walk.most) return;
    const slot = shape.slots.get(key);
    if (slot === undefined) {
      report(walk, {
        code: 'structure',
        at: `${here.path}.${key.slice(0, 64)}`,
        text: `${shown(key)} is no element of \`${shape.name}\``,
      });
      continue;
    }
    content ||= key !== 'id';
    if (slot.choice >= 0) {
      chosen ??= [];
      const type = chosen[slot.choice] ?? slot.type;
      chosen[slot.choice] = type;
      if (type !== slot.type) {
        const choice = shape.choices[slot.choice];
        report(walk, { code: 'structure', at: `${here.path}.${choice}`, text: `there is only one \`${choice}[x]\`` });
      }
    }
    const value = node[key] ?? null;
    if (!slot.list) {
      if (value === null || Array.isArray(value))
        report(walk, {
          code: 'structure',
          at: `${here.path}.${slot.step}`,
          text: value === null ? 'a member is never null' : 'not an array: it does not repeat',
        });
      else
        walkValue(walk, slot, {
          value,
          beside: slot.pair === '' ? undefined : node[slot.pair],
          path: `${here.path}.${slot.step}`,
          from: here,
        });
    } else if (Array.isArray(value)) walkList(walk, slot, { list: value, node, from: here });
    else report(walk, { code: 'structure', at: `${here.path}.${slot.step}`, text: 'an array: it may repeat' });
  }
  if (!content) report(walk, { code: 'invariant', at: here.path, text: 'ele-1: an element has a value or children' });
  for (const { step, names } of shape.required) {
    if (!names.some((name) => node[name] !== undefined))
      report(walk, { code: 'required', at: `${here.path}.${step}`, text: `\`${step}\` is required` });
  }
  // Invariants read the node on the assumption that its shape is right.
  if (walk.faults.length !== before) return;
  if (shape.name === 'Period' && periodInterval(node).inverted)
    report(walk, { code: 'invariant', at: here.path, text: 'a period does not end before it starts' });
  if (shape.rules.length > 0) checkRules(walk, shape.rules, at);
};

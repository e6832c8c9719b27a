/**
 * The search parameters of the server's resource types, compiled from HL7's definitions (R4 4.0.1).
 * https://hl7.org/fhir/R4/searchparameter-registry.html. The definitions come in as data; nothing is tied to a resource type.
 */

import { termText } from './index-entry.ts';
import { compilePath, type ElementTable, type ElementType, isResourceType, type Visit, type Walk } from './path.ts';
import {
  compositePart,
  indexerOf,
  isCaseless,
  isIgnored,
  naturalType,
  newSink,
  type SearchParamType,
  type Sink,
} from './search-value.ts';

/** One SearchParameter resource, trimmed. */
export type SearchParameterDefinition = {
  readonly code: string;
  readonly type: SearchParamType | 'special';
  readonly base: readonly string[];
  readonly expression?: string;
  /** `Resource` stands for every resource type. */
  readonly target?: readonly string[];
  readonly component?: readonly { readonly definition: string; readonly expression: string }[];
  readonly url: string;
  /** One text, or one for each base. */
  readonly documentation: string | Readonly<Record<string, string>>;
  /** Anything but `normal` use: phonetic, nearby. */
  readonly usage?: string;
};

/** `fhir-profiles/definitions/search-parameters.json`. */
export type SearchDefinitions = {
  readonly version: string;
  /** Every concrete resource type of R4. */
  readonly resources: readonly string[];
  readonly elements: ElementTable;
  readonly parameters: readonly SearchParameterDefinition[];
};

/** A part of a composite parameter. */
export type SearchComponent = {
  readonly type: SearchParamType;
  readonly caseless: boolean;
  readonly targets: readonly string[];
};

/** One search parameter of one resource type. */
export type SearchParameter = {
  readonly code: string;
  readonly type: SearchParamType;
  readonly resourceType: string;
  readonly url: string;
  readonly documentation: string;
  /** Resource types that a reference may name; empty for other types. */
  readonly targets: readonly string[];
  /** FHIR types that its expression yields. */
  readonly leaves: readonly string[];
  /** Token values compare without case: all of them are codes, booleans or contacts. */
  readonly caseless: boolean;
  readonly sortable: boolean;
  /** Of a composite, in order; empty for other types. */
  readonly components: readonly SearchComponent[];
  /** `_id` and `_lastUpdated`: what the store knows by itself and no entry carries. */
  readonly recorded: boolean;
  /** Adds what a resource says under this parameter; sets `met` when there is any value. */
  readonly index: Walk<Sink>;
};

/** A parameter that R4 defines and this server does not offer, and why. */
export type UnsupportedParameter = { readonly resourceType: string; readonly code: string; readonly reason: string };

export type SearchRegistry = {
  /** The server's resource types. */
  readonly types: readonly string[];
  /** Every resource type of R4: what a reference may name. */
  readonly resources: ReadonlySet<string>;
  readonly parameters: ReadonlyMap<string, ReadonlyMap<string, SearchParameter>>;
  readonly unsupported: readonly UnsupportedParameter[];
  /** Expressions that did not compile; a server with any refuses to start. */
  readonly errors: readonly string[];
};

export type RegistryOptions = {
  readonly definitions: SearchDefinitions;
  readonly types: readonly string[];
  /** Parameters that the server chooses not to offer, as `Type.code`; they are then unknown to searches. */
  readonly omit: readonly string[];
};

/** What the store records and answers by itself. */
const RECORDED = new Set(['_id', '_lastUpdated']);
const RANGED = new Set<SearchParamType>(['date', 'number', 'quantity']);

type Outcome =
  | { readonly kind: 'parameter'; readonly parameter: SearchParameter }
  | { readonly kind: 'unsupported'; readonly reason: string }
  | { readonly kind: 'error'; readonly text: string };

/** Compiles the parameters of `types`. Never throws: what cannot be compiled is in `errors`. */
export function registryFor(options: RegistryOptions): SearchRegistry {
  const { definitions, types } = options;
  const omitted = new Set(options.omit);
  const byUrl = new Map(definitions.parameters.map((d) => [d.url, d]));
  const parameters = new Map<string, Map<string, SearchParameter>>();
  const unsupported: UnsupportedParameter[] = [];
  const errors: string[] = [];
  for (const type of types) {
    const own = new Map<string, SearchParameter>();
    parameters.set(type, own);
    if (!isResourceType(type, definitions.elements)) errors.push(`\`${type}\` is not a resource type`);
  }
  for (const definition of definitions.parameters) {
    for (const type of types) {
      if (!appliesTo(definition, type, definitions.elements) || omitted.has(`${type}.${definition.code}`)) continue;
      const outcome = compileParameter(definition, type, { definitions, byUrl });
      const { code } = definition;
      if (outcome.kind === 'parameter') parameters.get(type)?.set(code, outcome.parameter);
      else if (outcome.kind === 'unsupported') unsupported.push({ resourceType: type, code, reason: outcome.reason });
      else errors.push(`${type}.${code}: ${outcome.text}`);
    }
  }
  return { types, resources: new Set(definitions.resources), parameters, unsupported, errors };
}

function appliesTo(definition: SearchParameterDefinition, type: string, elements: ElementTable): boolean {
  if (definition.base.includes(type)) return true;
  if (!definition.base.includes('Resource') && !definition.base.includes('DomainResource')) return false;
  if (definition.base.includes('Resource')) return true;
  return elements[type]?.['^'] === 'DomainResource';
}

type Sources = {
  readonly definitions: SearchDefinitions;
  readonly byUrl: ReadonlyMap<string, SearchParameterDefinition>;
};

function compileParameter(definition: SearchParameterDefinition, type: string, sources: Sources): Outcome {
  const { expression, code } = definition;
  if (definition.type === 'special') return { kind: 'unsupported', reason: 'special parameters are not supported' };
  if (definition.usage !== undefined) {
    return { kind: 'unsupported', reason: `${definition.usage} matching is not supported` };
  }
  if (expression === undefined) return { kind: 'unsupported', reason: 'it has no expression' };
  const common = {
    code,
    type: definition.type,
    resourceType: type,
    url: definition.url,
    documentation: documentationFor(definition.documentation, type),
    recorded: RECORDED.has(code),
  };
  if (definition.type === 'composite') return compileComposite(definition, common, sources);
  const from = { name: type };
  const walk = valueWalk({ expression, from, code, type: definition.type, elements: sources.definitions.elements });
  if (!walk.ok) return { kind: 'error', text: walk.text };
  return {
    kind: 'parameter',
    parameter: {
      ...common,
      targets: targetsOf(definition, sources.definitions.resources),
      leaves: walk.leaves,
      caseless: definition.type === 'token' && isCaseless(walk.leaves),
      sortable: true,
      components: [],
      index: walk.walk,
    },
  };
}

const documentationFor = (text: SearchParameterDefinition['documentation'], type: string): string =>
  typeof text === 'string' ? text : Object.hasOwn(text, type) ? (text[type] ?? '') : '';

function targetsOf(definition: SearchParameterDefinition, resources: readonly string[]): readonly string[] {
  if (definition.type !== 'reference') return [];
  const { target } = definition;
  return target === undefined || target.includes('Resource') ? resources : target;
}

type ValuePath = {
  readonly expression: string;
  readonly from: ElementType;
  /** The parameter name that values are kept under. */
  readonly code: string;
  readonly type: SearchParamType;
  readonly elements: ElementTable;
};
type ValueWalk =
  | { readonly ok: true; readonly walk: Walk<Sink>; readonly leaves: readonly string[] }
  | { readonly ok: false; readonly text: string };

function valueWalk(path: ValuePath): ValueWalk {
  const leaves = new Set<string>();
  const misfits: string[] = [];
  const compiled = compilePath<Sink>({
    expression: path.expression,
    from: path.from,
    elements: path.elements,
    leaf: (leaf) => {
      if (isIgnored(path.type, leaf.name)) return undefined;
      leaves.add(leaf.name);
      const indexer = indexerOf(path.type, leaf.name);
      if (indexer === undefined) {
        misfits.push(leaf.name);
        return undefined;
      }
      const visit = indexer(path.code, leaf);
      return (value, resource, sink) => {
        sink.met = true;
        visit(value, resource, sink);
      };
    },
  });
  if (!compiled.ok) return compiled;
  if (leaves.size === 0) return { ok: false, text: 'the expression yields nothing' };
  if (misfits.length > 0) return { ok: false, text: `\`${misfits.join('`, `')}\` cannot be searched as ${path.type}` };
  return { ok: true, walk: compiled.value, leaves: [...leaves] };
}

// ---- composites ---------------------------------------------------------------------------------------------------

/** Name under which a part of a composite is gathered before it is joined. */
const PART = '$';

type CompositePart = SearchComponent & { readonly walk: Walk<Sink> };
type Common = Pick<SearchParameter, 'code' | 'type' | 'resourceType' | 'url' | 'documentation' | 'recorded'>;

function compileComposite(definition: SearchParameterDefinition, common: Common, sources: Sources): Outcome {
  const { elements, resources } = sources.definitions;
  const { code } = definition;
  // The parts are read in each element that the expression yields, so they are compiled once for each type it yields.
  const leaves: string[] = [];
  let shape: readonly SearchComponent[] = [];
  let reason: string | undefined;
  let fault: string | undefined;
  const compiled = compilePath<Sink>({
    expression: definition.expression ?? '',
    from: { name: common.resourceType },
    elements,
    leaf: (leaf): Visit<Sink> | undefined => {
      leaves.push(leaf.name);
      const parts: CompositePart[] = [];
      for (const component of definition.component ?? []) {
        if (component.expression.includes('%')) {
          reason = 'its parts are not in one element';
          return undefined;
        }
        const declared = sources.byUrl.get(component.definition);
        const part = compilePart(component.expression, leaf, { declared, elements, resources });
        if (typeof part === 'string') {
          fault = part;
          return undefined;
        }
        parts.push(part);
      }
      if (parts.slice(0, -1).some((p) => RANGED.has(p.type) || p.type === 'string')) {
        reason = 'only its last part may be a range or a string';
        return undefined;
      }
      shape = parts;
      return compositeVisit(code, parts);
    },
  });
  if (!compiled.ok) return { kind: 'error', text: compiled.text };
  if (fault !== undefined) return { kind: 'error', text: fault };
  if (reason !== undefined) return { kind: 'unsupported', reason };
  if (shape.length < 2) return { kind: 'error', text: 'a composite has at least two parts' };
  const components = shape.map(({ type, caseless, targets }) => ({ type, caseless, targets }));
  const rest = { targets: [], leaves, caseless: false, sortable: false, components, index: compiled.value };
  return { kind: 'parameter', parameter: { ...common, ...rest } };
}

function compilePart(
  expression: string,
  from: ElementType,
  sources: {
    readonly declared: SearchParameterDefinition | undefined;
    readonly elements: ElementTable;
    readonly resources: readonly string[];
  },
): CompositePart | string {
  const { declared, elements, resources } = sources;
  const found: string[] = [];
  const probe = compilePath<Sink>({
    expression,
    from,
    elements,
    leaf: (leaf) => {
      found.push(leaf.name);
      return undefined;
    },
  });
  if (!probe.ok) return probe.text;
  const [first] = found;
  if (first === undefined) return `\`${expression}\` yields nothing`;
  const fits = (type: SearchParamType): boolean =>
    found.some((leaf) => indexerOf(type, leaf) !== undefined) &&
    found.every((leaf) => indexerOf(type, leaf) !== undefined || isIgnored(type, leaf));
  const said = declared?.type;
  const type = said !== undefined && said !== 'special' && fits(said) ? said : naturalType(first);
  if (type === undefined) return `\`${first}\` cannot be searched`;
  const walk = valueWalk({ expression, from, code: PART, type, elements });
  if (!walk.ok) return walk.text;
  const targets = type !== 'reference' ? [] : declared?.type === type ? targetsOf(declared, resources) : resources;
  return { type, caseless: type === 'token' && isCaseless(walk.leaves), targets, walk: walk.walk };
}

/** Joins the values of one element: terms `a$b`, ranges and strings of the last part under `code$a`. */
function compositeVisit(code: string, parts: readonly CompositePart[]): Visit<Sink> {
  return (value, resource, sink) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    // INVARIANT: not null and not an array, so an object; Array.isArray does not narrow a readonly array.
    const element = value as Parameters<Walk<Sink>>[0];
    const gathered = parts.map((part) => {
      const own = newSink(sink.baseUrl);
      part.walk(element, resource, own);
      return own;
    });
    const last = gathered.at(-1);
    if (last === undefined || !gathered.every((g) => g.met)) return;
    sink.met = true;
    let heads: readonly string[] = [''];
    for (const part of gathered.slice(0, -1)) {
      const values = discrete(part);
      heads = heads.flatMap((head) => values.map((v) => (head === '' ? v : `${head}$${v}`)));
    }
    for (const head of heads) {
      for (const tail of discrete(last)) sink.terms.add(termText(code, `${head}$${tail}`));
      for (const r of last.ranges) {
        sink.ranges.push({ param: `${code}$${head}${r.param.slice(PART.length)}`, lo: r.lo, hi: r.hi });
      }
      for (const s of last.strings) {
        if (s.param === PART) sink.strings.push({ param: `${code}$${head}`, text: s.text });
      }
    }
  };
}

/** The plain terms of a part, without those of its modifiers. */
const discrete = (sink: Sink): readonly string[] => {
  const start = `${PART}=`;
  return [...sink.terms].filter((t) => t.startsWith(start)).map((t) => compositePart(t.slice(start.length)));
};

// ---- looking up ---------------------------------------------------------------------------------------------------

/** The parameter `code` of a type, `undefined` when it is unknown or not offered. */
export const parameterOf = (registry: SearchRegistry, type: string, code: string): SearchParameter | undefined =>
  registry.parameters.get(type)?.get(code);

/** All parameters of a type, by code. */
export const parametersOf = (registry: SearchRegistry, type: string): readonly SearchParameter[] =>
  [...(registry.parameters.get(type)?.values() ?? [])].sort((a, b) => (a.code < b.code ? -1 : 1));

/** One entry of `CapabilityStatement.rest.resource.searchParam`. */
export type DeclaredParameter = {
  readonly name: string;
  readonly type: SearchParamType;
  readonly definition: string;
  readonly documentation?: string;
};

/** The search parameters of a type as the CapabilityStatement declares them, by name. */
export const declaredParameters = (registry: SearchRegistry, type: string): readonly DeclaredParameter[] =>
  parametersOf(registry, type).map((p) => ({
    name: p.code,
    type: p.type,
    definition: p.url,
    ...(p.documentation === '' ? {} : { documentation: p.documentation }),
  }));

/** Reference parameters of `type` that may name a resource of one of `types`: what `_include` can follow, as `Type:param`. */
export const includesOf = (registry: SearchRegistry, type: string, types: readonly string[]): readonly string[] =>
  parametersOf(registry, type)
    .filter((p) => p.type === 'reference' && p.targets.some((t) => types.includes(t)))
    .map((p) => `${type}:${p.code}`);

/** Reference parameters of `types` that may name a resource of `type`: what `_revinclude` can follow, as `Type:param`. */
export const revincludesOf = (registry: SearchRegistry, type: string, types: readonly string[]): readonly string[] =>
  types.flatMap((source) =>
    parametersOf(registry, source)
      .filter((p) => p.type === 'reference' && p.targets.includes(type))
      .map((p) => `${source}:${p.code}`),
  );

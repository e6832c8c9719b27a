/**
 * URL parameters → `SearchQuery`. What is not understood is an error that names it; with `Prefer: handling=lenient` it is left
 * out and listed (rules.md section 7). https://hl7.org/fhir/R4/search.html
 */
import { readDate, readNumber } from '../fhir/interval.ts';
import { readReference } from '../fhir/literal-reference.ts';
import { type Fault, fail, ok, type Result } from '../fhir/result.ts';
import {
  parameterOf,
  type SearchComponent,
  type SearchParameter,
  type SearchRegistry,
} from '../fhir/search-parameter.ts';
import type { SearchParamType } from '../fhir/search-value.ts';
import { elementsOf } from '../fhir/summary.ts';
import { fold } from '../fhir/text.ts';
import type { Ref } from '../fhir/types.ts';
import type { SortKey } from './plan.ts';
import {
  DEFAULT_COUNT,
  type Filter,
  type Include,
  MAX_COUNT,
  type Modifier,
  type NumberValue,
  PREFIXES,
  type Prefix,
  type SearchQuery,
  type SearchValue,
  type Summary,
  type TotalMode,
} from './search-query.ts';

export type ParseOptions = {
  readonly registry: SearchRegistry;
  /** The type that is searched. */
  readonly type: string;
  readonly baseUrl: string;
  /** `Prefer: handling=lenient`. */
  readonly lenient: boolean;
  /** References that count only as far as the caller sees what they name (rules.md D8): an order by them would show more. */
  readonly bySight: (type: string, param: string) => boolean;
};

/** Decoded parameters in order, those of a form body after those of the URL. */
export type Parameters = readonly (readonly [name: string, value: string])[];

const MAX_HOPS = 3;
/** Resource types that one untyped chain may spread over. */
const MAX_BRANCHES = 64;
/** Steps to other resources that a whole search may take: each is asked with the permission for the type at its end. */
const MAX_STEPS = 100;
/** What a step to a type counts whose permission looks at what its resources name (D8): it steps to every type itself. */
const WIDE_STEP = 20;
/** Keys of an order: a page link carries a value of each. */
const MAX_KEYS = 10;
/** `_include` and `_revinclude` of one search. */
const MAX_INCLUDES = 20;
/** Characters of a name, which faults repeat, and of a value: room for all the values that count. */
const LONGEST_NAME = 500;
const LONGEST_VALUE = 500_000;
/** Conditions of a search that no index answers, so that each of them may be asked of every resource: ranges, `:contains`, single letters. */
const MAX_WALKED = 100;
/** Conditions that a whole search may come to: values, times the types they may stand for. */
const MAX_CONDITIONS = 2000;

/** What reading a part gives: a value; a fault of the request; or something that the server does not know or do. */
type Read<T> =
  | { readonly is: 'read'; readonly value: T }
  | { readonly is: 'wrong'; readonly text: string }
  | { readonly is: 'unknown'; readonly text: string };

const read = <T>(value: T): Read<T> => ({ is: 'read', value });
const wrong = (text: string): { readonly is: 'wrong'; readonly text: string } => ({ is: 'wrong', text });
const unknown = (text: string): { readonly is: 'unknown'; readonly text: string } => ({ is: 'unknown', text });

// ---- escapes ------------------------------------------------------------------------------------------------------

/** Splits at each `separator` that no backslash precedes; escapes stay in the pieces. */
function split(text: string, separator: ',' | '|' | '$'): readonly string[] {
  const pieces: string[] = [];
  let from = 0;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] === '\\') i += 1;
    else if (text[i] === separator) {
      pieces.push(text.slice(from, i));
      from = i + 1;
    }
  }
  pieces.push(text.slice(from));
  return pieces;
}

/** `\,` `\|` `\$` `\\` are the characters themselves; a backslash before anything else is a backslash. */
const unescaped = (text: string): string => text.replace(/\\([\\,|$])/g, '$1');

// ---- values -------------------------------------------------------------------------------------------------------

type ValueContext = { readonly param: string; readonly options: ParseOptions };
/** What a value is read for: a parameter, or a part of a composite. */
type Shape = SearchComponent;

const PREFIX = new RegExp(`^(${PREFIXES.join('|')})?(.*)$`, 's');

function prefixed(raw: string): { readonly prefix: Prefix; readonly text: string } {
  const m = PREFIX.exec(raw);
  // INVARIANT: the expression's first group matches the members of PREFIXES only.
  return { prefix: (m?.[1] as Prefix | undefined) ?? 'eq', text: m?.[2] ?? '' };
}

const cannotRead = (
  raw: string,
  what: string,
  context: ValueContext,
): { readonly is: 'wrong'; readonly text: string } =>
  wrong(`\`${raw}\` cannot be read as a ${what} in \`${context.param}\``);

function readToken(raw: string, shape: Shape, context: ValueContext): Read<SearchValue> {
  const pieces = split(raw, '|');
  const code = (text: string): string => {
    const plain = unescaped(text);
    return shape.caseless ? plain.toLowerCase() : plain;
  };
  const [first] = pieces;
  if (pieces.length === 1 || first === undefined) return read({ kind: 'token', system: undefined, code: code(raw) });
  const system = unescaped(first);
  // A bar in the code itself should be escaped; without a third part there is only one way to read it.
  const rest = code(pieces.slice(1).join('|'));
  if (system === '' && rest === '') return cannotRead(raw, 'token', context);
  return read({ kind: 'token', system, code: rest === '' ? undefined : rest });
}

function readOfType(raw: string, context: ValueContext): Read<SearchValue> {
  const [system, code, value, more] = split(raw, '|').map(unescaped);
  if (system === undefined || code === undefined || value === undefined || more !== undefined) {
    return wrong(`\`${context.param}\` needs \`system|code|value\``);
  }
  if (code === '' || value === '') return wrong(`\`${context.param}\` needs a code and a value`);
  return read({ kind: 'of-type', system, code, value });
}

function readString(raw: string, context: ValueContext): Read<SearchValue> {
  const text = unescaped(raw);
  return fold(text) === '' ? wrong(`\`${context.param}\` needs a letter or a digit`) : read({ kind: 'string', text });
}

/** A `+` of an offset that was not percent-encoded arrives as a space; nothing else in a date is one. */
const plusRestored = (text: string): string => text.replace(/ (\d{2}:\d{2})$/, '+$1');

function readDateValue(raw: string, context: ValueContext): Read<SearchValue> {
  const { prefix, text } = prefixed(raw);
  const written = plusRestored(text);
  const interval = readDate(written);
  if (interval === undefined) return cannotRead(raw, 'date', context);
  return read({ kind: 'date', prefix, lo: interval.lo, hi: interval.hi, text: written });
}

function readNumberValue(
  raw: string,
): { readonly prefix: Prefix; readonly text: string; readonly number: NumberValue } | undefined {
  const { prefix, text } = prefixed(raw);
  const number = readNumber(text);
  return number === undefined ? undefined : { prefix, text, number };
}

function readQuantity(raw: string, context: ValueContext): Read<SearchValue> {
  const [amount, system, code, more] = split(raw, '|').map(unescaped);
  const number = readNumberValue(amount ?? '');
  if (number === undefined || more !== undefined) return cannotRead(raw, 'quantity', context);
  if (system === undefined) return read({ kind: 'quantity', ...number, system: undefined, code: undefined });
  if (code === undefined || code === '') {
    return wrong(`\`${context.param}\` needs \`number\`, \`number|system|code\` or \`number||code\``);
  }
  return read({ kind: 'quantity', ...number, system: system === '' ? undefined : system, code });
}

const ID = /^[A-Za-z0-9\-.]{1,64}$/;
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:./i;

function readReferenceValue(raw: string, shape: Shape, context: ValueContext): Read<SearchValue> {
  const text = unescaped(raw);
  const { baseUrl } = context.options;
  const literal = readReference(text, baseUrl);
  if (literal.kind === 'local') return read({ kind: 'local', refs: [literal.ref], version: literal.version });
  if (ID.test(text)) {
    return read({ kind: 'local', refs: shape.targets.map((t): Ref => `${t}/${text}`), version: undefined });
  }
  return ABSOLUTE.test(text) ? read({ kind: 'foreign', text }) : cannotRead(raw, 'reference', context);
}

function readComposite(raw: string, components: readonly SearchComponent[], context: ValueContext): Read<SearchValue> {
  const pieces = split(raw, '$');
  if (pieces.length !== components.length) {
    return wrong(`\`${context.param}\` needs ${components.length} parts joined by \`$\``);
  }
  const parts: SearchValue[] = [];
  for (const [i, component] of components.entries()) {
    const piece = pieces[i] ?? '';
    if (piece === '') return wrong(`\`${context.param}\` has an empty part`);
    const part = readPlain(piece, component, context);
    if (part.is !== 'read') return part;
    parts.push(part.value);
  }
  return read({ kind: 'composite', parts });
}

function readPlain(raw: string, shape: Shape, context: ValueContext): Read<SearchValue> {
  switch (shape.type) {
    case 'token':
      return readToken(raw, shape, context);
    case 'string':
      return readString(raw, context);
    case 'uri':
      return read({ kind: 'uri', uri: unescaped(raw) });
    case 'date':
      return readDateValue(raw, context);
    case 'number': {
      const number = readNumberValue(raw);
      return number === undefined ? cannotRead(raw, 'number', context) : read({ kind: 'number', ...number });
    }
    case 'quantity':
      return readQuantity(raw, context);
    case 'reference':
      return readReferenceValue(raw, shape, context);
    case 'composite':
      return wrong(`\`${context.param}\` cannot be a part of a composite`);
    default: {
      const never: never = shape.type;
      return never;
    }
  }
}

// ---- modifiers ----------------------------------------------------------------------------------------------------

const MODIFIERS: Readonly<Record<SearchParamType, readonly Modifier[]>> = {
  string: ['exact', 'contains', 'missing'],
  token: ['not', 'text', 'of-type', 'missing'],
  reference: ['identifier', 'missing'],
  uri: ['above', 'below', 'missing'],
  date: ['missing'],
  number: ['missing'],
  quantity: ['missing'],
  composite: ['missing'],
};

const WITH_TEXT = ['Coding', 'CodeableConcept', 'Identifier'];

function offers(parameter: SearchParameter, modifier: Modifier): boolean {
  if (!MODIFIERS[parameter.type].includes(modifier)) return false;
  if (modifier === 'text') return parameter.leaves.some((leaf) => WITH_TEXT.includes(leaf));
  if (modifier === 'of-type') return parameter.leaves.includes('Identifier');
  if (modifier === 'identifier') return parameter.leaves.includes('Reference');
  return true;
}

type Modified = { readonly modifier: Modifier | undefined; readonly targets: readonly string[] };

/** The modifier of a parameter: one of the list, or the type that a reference is to name. */
function readModifier(parameter: SearchParameter, text: string | undefined): Read<Modified> {
  if (text === undefined) return read({ modifier: undefined, targets: parameter.targets });
  const known = MODIFIERS[parameter.type].find((m) => m === text);
  if (known !== undefined && offers(parameter, known)) return read({ modifier: known, targets: parameter.targets });
  if (parameter.type === 'reference' && parameter.targets.includes(text)) {
    return read({ modifier: undefined, targets: [text] });
  }
  return unknown(`the modifier \`:${text}\` is not supported for \`${parameter.code}\``);
}

function readValue(
  raw: string,
  modified: Modified,
  at: { parameter: SearchParameter; context: ValueContext },
): Read<SearchValue> {
  const { parameter, context } = at;
  const shape: Shape = { type: parameter.type, caseless: parameter.caseless, targets: modified.targets };
  switch (modified.modifier) {
    case 'missing':
      return raw === 'true' || raw === 'false'
        ? read({ kind: 'missing', missing: raw === 'true' })
        : wrong(`\`${context.param}\` is \`true\` or \`false\``);
    case 'of-type':
      return readOfType(raw, context);
    case 'identifier':
      return readToken(raw, { type: 'token', caseless: false, targets: [] }, context);
    case 'exact':
      return read({ kind: 'string', text: unescaped(raw) });
    case 'text':
    case 'contains':
      return readString(raw, context);
    case 'above':
    case 'below':
    case 'not':
    case undefined:
      return parameter.type === 'composite'
        ? readComposite(raw, parameter.components, context)
        : typed(readPlain(raw, shape, context), modified, parameter);
    default: {
      const never: never = modified.modifier;
      return never;
    }
  }
}

/** `subject:Patient=Group/1` contradicts itself. */
function typed(value: Read<SearchValue>, modified: Modified, parameter: SearchParameter): Read<SearchValue> {
  if (value.is !== 'read' || value.value.kind !== 'local' || modified.targets.length !== 1) return value;
  const [type] = modified.targets;
  if (parameter.targets.length === 1 || value.value.refs.every((ref) => ref.startsWith(`${type}/`))) return value;
  return wrong(`\`${parameter.code}:${type}\` cannot name a resource of another type`);
}

// ---- filters ------------------------------------------------------------------------------------------------------

type FilterContext = { readonly options: ParseOptions; readonly hops: number; readonly written: string };

const unknownParameter = (name: string, type: string): { readonly is: 'unknown'; readonly text: string } =>
  unknown(`\`${name}\` is not a search parameter of ${type}`);

function readFilter(type: string, name: string, value: string, context: FilterContext): Read<Filter> {
  if (name.startsWith('_has:')) return readHas(type, name, value, context);
  const dot = name.indexOf('.');
  if (dot !== -1) return readChain(type, [name.slice(0, dot), name.slice(dot + 1)], value, context);
  return readMatch(type, name, value, context);
}

function readMatch(type: string, name: string, value: string, context: FilterContext): Read<Filter> {
  const [code = '', modifierText, more] = name.split(':');
  const { registry } = context.options;
  const parameter = parameterOf(registry, type, code);
  if (parameter === undefined || more !== undefined) {
    const known = registry.unsupported.find((u) => u.resourceType === type && u.code === code);
    return known === undefined || more !== undefined
      ? unknownParameter(context.written, type)
      : unknown(`\`${context.written}\` is not supported: ${known.reason}`);
  }
  if (parameter.type === 'composite' && context.options.bySight(type, code)) {
    return unknown(`\`${context.written}\` is not supported: it compares references that not every reader may follow`);
  }
  const modified = readModifier(parameter, modifierText);
  if (modified.is !== 'read') return modified;
  const values: SearchValue[] = [];
  const pieces = split(value, ',');
  if (pieces.length > MAX_CONDITIONS) return wrong(`\`${context.written}\` has too many values`);
  for (const raw of pieces) {
    if (raw === '') return wrong(`\`${context.written}\` has an empty value`);
    const one = readValue(raw, modified.value, {
      parameter,
      context: { param: context.written, options: context.options },
    });
    if (one.is !== 'read') return one;
    values.push(one.value);
  }
  return read({ kind: 'match', type, param: code, modifier: modified.value.modifier, values });
}

const tooDeep = (context: FilterContext): { readonly is: 'wrong'; readonly text: string } =>
  wrong(`\`${context.written}\` follows more than ${MAX_HOPS} references`);

function readChain(
  type: string,
  [head, rest]: readonly [head: string, rest: string],
  value: string,
  context: FilterContext,
): Read<Filter> {
  const { registry } = context.options;
  const [code = '', wantedType, more] = head.split(':');
  const parameter = parameterOf(registry, type, code);
  if (parameter === undefined || parameter.type !== 'reference' || more !== undefined) {
    return unknownParameter(context.written, type);
  }
  if (context.hops >= MAX_HOPS) return tooDeep(context);
  const possible = parameter.targets.filter((t) => registry.types.includes(t));
  if (wantedType !== undefined && !possible.includes(wantedType)) {
    return unknown(`the modifier \`:${wantedType}\` is not supported for \`${code}\``);
  }
  const targets: { readonly type: string; readonly filter: Filter }[] = [];
  let fault: Read<Filter> = unknownParameter(context.written, type);
  for (const target of wantedType === undefined ? possible : [wantedType]) {
    const inner = readFilter(target, rest, value, { ...context, hops: context.hops + 1 });
    if (inner.is === 'read') targets.push({ type: target, filter: inner.value });
    // A value that one type cannot read says more than a parameter that another type does not have.
    else if (fault.is !== 'wrong') fault = inner;
  }
  if (targets.length === 0)
    return wantedType === undefined && fault.is === 'unknown' ? unknownParameter(context.written, type) : fault;
  const contained = readContained(type, `${code}.${rest}`, value, context);
  return read({ kind: 'chain', type, param: code, targets, ...(contained === undefined ? {} : { contained }) });
}

/** `author.family` also of an author who is contained: a parameter of the resource itself has that name. */
function readContained(type: string, name: string, value: string, context: FilterContext): Filter | undefined {
  const [code = ''] = name.split(':');
  if (parameterOf(context.options.registry, type, code) === undefined) return undefined;
  const own = readMatch(type, name, value, context);
  return own.is === 'read' ? own.value : undefined;
}

function readHas(type: string, name: string, value: string, context: FilterContext): Read<Filter> {
  const { registry } = context.options;
  const m = /^_has:([A-Za-z]+):([A-Za-z0-9_-]+):(.+)$/.exec(name);
  const [source, code, rest] = [m?.[1], m?.[2], m?.[3]];
  if (source === undefined || code === undefined || rest === undefined) return unknownParameter(context.written, type);
  const parameter = registry.types.includes(source) ? parameterOf(registry, source, code) : undefined;
  if (parameter === undefined || parameter.type !== 'reference' || !parameter.targets.includes(type)) {
    return unknownParameter(context.written, type);
  }
  if (context.hops >= MAX_HOPS) return tooDeep(context);
  const inner = readFilter(source, rest, value, { ...context, hops: context.hops + 1 });
  return inner.is === 'read' ? read({ kind: 'has', type, source, param: code, filter: inner.value }) : inner;
}

/** How much a filter comes to, once its untyped chains and references are spread over their types. */
type Extent = {
  readonly branches: number;
  readonly steps: number;
  readonly conditions: number;
  readonly walked: number;
};

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

/** Whether a store finds what a value asks by looking at resources one after the other. */
const isWalked = (value: SearchValue, modifier: Modifier | undefined): boolean => {
  switch (value.kind) {
    case 'date':
    case 'number':
    case 'quantity':
    case 'missing':
      return true;
    case 'string':
      return modifier === 'contains' || fold(value.text).length < 2;
    case 'composite':
      return value.parts.some((part) => isWalked(part, undefined));
    default:
      return modifier === 'not';
  }
};

function extent(filter: Filter, stepTo: (type: string) => number): Extent {
  switch (filter.kind) {
    case 'match':
      return {
        branches: 1,
        steps: 0,
        conditions: sum(filter.values.map((v) => (v.kind === 'local' ? v.refs.length : 1))),
        walked: filter.values.filter((v) => isWalked(v, filter.modifier)).length,
      };
    case 'chain': {
      const inner = [
        ...filter.targets.map((t) => t.filter),
        ...(filter.contained === undefined ? [] : [filter.contained]),
      ].map((f) => extent(f, stepTo));
      return {
        branches: sum(inner.map((e) => e.branches)),
        steps: sum([...inner.map((e) => e.steps), ...filter.targets.map((t) => stepTo(t.type))]),
        conditions: sum(inner.map((e) => e.conditions)),
        walked: sum(inner.map((e) => e.walked)),
      };
    }
    case 'has': {
      const inner = extent(filter.filter, stepTo);
      return { ...inner, steps: inner.steps + stepTo(filter.source) };
    }
    default: {
      const never: never = filter;
      return never;
    }
  }
}

// ---- controls -----------------------------------------------------------------------------------------------------

const SUMMARIES: readonly Summary[] = ['true', 'text', 'data', 'count', 'false'];
const TOTALS: readonly TotalMode[] = ['none', 'estimate', 'accurate'];

const oneOf = <T extends string>(name: string, value: string, allowed: readonly T[]): Read<T> => {
  const found = allowed.find((a) => a === value);
  return found === undefined ? wrong(`\`${name}\` is one of \`${allowed.join('`, `')}\``) : read(found);
};

function readSort(value: string, options: ParseOptions): Read<readonly SortKey[]> {
  const keys: SortKey[] = [];
  for (const piece of value.split(',')) {
    const descending = piece.startsWith('-');
    const param = descending ? piece.slice(1) : piece;
    if (param === '') return wrong('`_sort` has an empty key');
    const parameter = parameterOf(options.registry, options.type, param);
    if (parameter?.sortable !== true || options.bySight(options.type, param)) {
      return unknown(`\`_sort\` by \`${param}\` is not supported for ${options.type}`);
    }
    if (!keys.some((k) => k.param === param)) keys.push({ param, descending });
  }
  if (keys.length > MAX_KEYS) return wrong(`\`_sort\` has more than ${MAX_KEYS} keys`);
  return read(keys);
}

function readCount(value: string): Read<number> {
  return /^\d{1,9}$/.test(value) ? read(Number(value)) : wrong('`_count` is not a whole number of zero or more');
}

function readElements(value: string): Read<readonly string[]> {
  const elements = elementsOf(value);
  return elements === undefined ? wrong('`_elements` is a list of root elements') : read(elements);
}

type IncludeKind = { readonly name: '_include' | '_revinclude'; readonly iterate: boolean };

function readInclude(value: string, kind: IncludeKind, options: ParseOptions): Read<Include> {
  const { registry, type } = options;
  const { name, iterate } = kind;
  if (value.split(':').includes('*')) return wrong(`\`${name}\` with \`*\` is not supported`);
  const [source = '', param = '', target, more] = value.split(':');
  const parameter = registry.types.includes(source) ? parameterOf(registry, source, param) : undefined;
  if (parameter?.type !== 'reference' || more !== undefined) return unknown(`\`${name}=${value}\` is not supported`);
  if (target !== undefined && !(parameter.targets.includes(target) && registry.types.includes(target))) {
    return unknown(`\`${name}=${value}\` is not supported`);
  }
  // Without `:iterate` it starts from, or leads to, the matches, which are all of the searched type.
  const touches = name === '_include' ? source === type : parameter.targets.includes(type) && (target ?? type) === type;
  if (!touches && !iterate) return unknown(`\`${name}=${value}\` has nothing to do with ${type}`);
  return read({ source, param, target, iterate });
}

const sameInclude = (a: Include, b: Include): boolean =>
  a.source === b.source && a.param === b.param && a.target === b.target && a.iterate === b.iterate;

const INCLUDES: Readonly<Record<string, IncludeKind>> = {
  _include: { name: '_include', iterate: false },
  '_include:iterate': { name: '_include', iterate: true },
  _revinclude: { name: '_revinclude', iterate: false },
  '_revinclude:iterate': { name: '_revinclude', iterate: true },
};

/** What decides the form of an answer and not its content; the HTTP layer has read it already. */
const IGNORED = new Set(['_format', '_pretty']);

type Draft = {
  readonly filters: Filter[];
  readonly includes: Include[];
  readonly revincludes: Include[];
  sort: readonly SortKey[];
  count: number;
  total: TotalMode | undefined;
  summary: Summary | undefined;
  elements: readonly string[];
  cursor: string | undefined;
};

/** Applies a control that may stand once; `undefined` when `name` is not one. Gives the value that counts. */
type Control = (draft: Draft, value: string, options: ParseOptions) => Read<string>;

const set = <T>(value: Read<T>, apply: (value: T) => string): Read<string> =>
  value.is === 'read' ? read(apply(value.value)) : value;

const CONTROLS: ReadonlyMap<string, Control> = new Map<string, Control>([
  [
    '_sort',
    (draft, value, options) =>
      set(readSort(value, options), (keys) => {
        draft.sort = keys;
        return value;
      }),
  ],
  [
    '_count',
    (draft, value) =>
      set(readCount(value), (count) => {
        draft.count = Math.min(count, MAX_COUNT);
        return String(draft.count);
      }),
  ],
  [
    '_total',
    (draft, value) =>
      set(oneOf('_total', value, TOTALS), (total) => {
        draft.total = total;
        return value;
      }),
  ],
  [
    '_summary',
    (draft, value) =>
      set(oneOf('_summary', value, SUMMARIES), (summary) => {
        draft.summary = summary;
        return value;
      }),
  ],
  [
    '_elements',
    (draft, value) =>
      set(readElements(value), (elements) => {
        draft.elements = elements;
        return value;
      }),
  ],
  [
    '_cursor',
    (draft, value) => {
      draft.cursor = value;
      return read(value);
    },
  ],
]);

// ---- the query ----------------------------------------------------------------------------------------------------

/** One parameter into the draft; gives the value that counts. */
function apply(draft: Draft, name: string, value: string, options: ParseOptions): Read<string> {
  const control = CONTROLS.get(name);
  if (control !== undefined) return control(draft, value, options);
  const include = Object.hasOwn(INCLUDES, name) ? INCLUDES[name] : undefined;
  if (include !== undefined) {
    const list = include.name === '_include' ? draft.includes : draft.revincludes;
    return set(readInclude(value, include, options), (one) => {
      if (!list.some((known) => sameInclude(known, one))) list.push(one);
      return value;
    });
  }
  const filter = readFilter(options.type, name, value, { options, hops: 0, written: name });
  if (filter.is === 'read' && extent(filter.value, stepsTo(options)).branches > MAX_BRANCHES) {
    return wrong(`\`${name}\` may lead to too many types; name the type, as in \`subject:Patient.name\``);
  }
  return set(filter, (one) => {
    draft.filters.push(one);
    return value;
  });
}

const stepsTo =
  ({ registry, bySight }: ParseOptions) =>
  (type: string): number =>
    [...(registry.parameters.get(type)?.keys() ?? [])].some((code) => bySight(type, code)) ? WIDE_STEP : 1;

const excess = ({ conditions, steps, walked }: Omit<Extent, 'branches'>): string | undefined => {
  if (conditions > MAX_CONDITIONS) return 'the search has too many values';
  if (steps > MAX_STEPS) return `the search follows more than ${MAX_STEPS} references`;
  return walked > MAX_WALKED
    ? `the search has more than ${MAX_WALKED} dates, numbers, \`:contains\`, \`:not\` or \`:missing\``
    : undefined;
};

/**
 * Reads the parameters of a search. 400 (`malformed`) with one fault for each parameter that is unknown, not supported or wrong; in
 * lenient mode the unknown and the unsupported are in `dropped` instead.
 */
export function parseSearch(parameters: Parameters, options: ParseOptions): Result<SearchQuery> {
  const draft: Draft = {
    filters: [],
    includes: [],
    revincludes: [],
    sort: [],
    count: DEFAULT_COUNT,
    total: undefined,
    summary: undefined,
    elements: [],
    cursor: undefined,
  };
  const used: (readonly [string, string])[] = [];
  const dropped: string[] = [];
  const faults: Fault[] = [];
  const seen = new Set<string>();
  const size = { conditions: 0, steps: 0, walked: 0 };
  for (const [name, value] of parameters) {
    if (IGNORED.has(name)) {
      used.push([name, value]);
      continue;
    }
    if (name.length > LONGEST_NAME || value.length > LONGEST_VALUE) {
      faults.push({ text: `a parameter is too long: \`${name.slice(0, 50)}\`` });
      continue;
    }
    if (CONTROLS.has(name) && seen.has(name)) {
      faults.push({ text: `\`${name}\` may be given once` });
      continue;
    }
    seen.add(name);
    const before = draft.filters.length;
    const outcome = value === '' ? emptyValue(name, options) : apply(draft, name, value, options);
    for (const { conditions, steps, walked } of draft.filters.slice(before).map((f) => extent(f, stepsTo(options)))) {
      size.conditions += conditions;
      size.steps += steps;
      size.walked += walked;
    }
    const tooMuch = excess(size);
    // Nothing that comes after is read: it could be as much again.
    if (tooMuch !== undefined) return fail({ code: 'malformed', faults: [...faults, { text: tooMuch }] });
    if (outcome.is === 'read') {
      if (name !== '_cursor') used.push([name, outcome.value]);
    } else if (outcome.is === 'unknown' && options.lenient) dropped.push(name);
    else faults.push({ text: outcome.text });
  }
  if (draft.includes.length + draft.revincludes.length > MAX_INCLUDES)
    faults.push({ text: `the search has more than ${MAX_INCLUDES} of \`_include\` and \`_revinclude\`` });
  if (faults.length > 0) return fail({ code: 'malformed', faults });
  const { count, summary } = draft;
  return ok({
    type: options.type,
    ...draft,
    count: count === 0 ? DEFAULT_COUNT : count,
    summary: count === 0 ? 'count' : summary,
    used,
    dropped,
  });
}

/** An empty value is wrong where the parameter is known; where it is not, that comes first. */
function emptyValue(name: string, options: ParseOptions): Read<string> {
  const empty = wrong(`\`${name}\` has an empty value`);
  if (CONTROLS.has(name) || Object.hasOwn(INCLUDES, name)) return empty;
  const filter = readFilter(options.type, name, 'x', { options, hops: 0, written: name });
  return filter.is === 'unknown' ? filter : empty;
}

/**
 * What one value of a resource becomes in an index entry, by the type of the search parameter and the FHIR type of the value.
 * https://hl7.org/fhir/R4/search.html#ptypes. `query/lower.ts` asks in the same spelling; nothing else knows it.
 */
import { termText } from './index-entry.ts';
import {
  dateInterval,
  type Interval,
  MAX_NUMBER,
  MIN_NUMBER,
  nextUp,
  pointInterval,
  searchedPeriod,
  timingIntervals,
} from './interval.ts';
import { readReference } from './literal-reference.ts';
import type { ElementType, Visit } from './path.ts';
import { fold } from './text.ts';
import type { Json, JsonObject } from './types.ts';

export type SearchParamType = 'number' | 'date' | 'string' | 'token' | 'reference' | 'composite' | 'quantity' | 'uri';

/** Where index values are gathered while a resource is walked. */
export type Sink = {
  readonly baseUrl: string;
  readonly terms: Set<string>;
  readonly strings: { readonly param: string; readonly text: string }[];
  readonly ranges: { readonly param: string; readonly lo: number; readonly hi: number }[];
  /** The smallest key of each sortable parameter. */
  readonly sort: Map<string, string | number>;
  /** Whether the parameter that is being walked has met a value. */
  met: boolean;
};

export const newSink = (baseUrl: string): Sink => ({
  baseUrl,
  terms: new Set(),
  strings: [],
  ranges: [],
  sort: new Map(),
  met: false,
});

// ---- spelling -----------------------------------------------------------------------------------------------------

const SEPARATOR = /[\\|]/g;
/** A part of a term that is joined by `|`: a value that contains one cannot pass for a system and a value. */
const part = (text: string): string =>
  text.includes('|') || text.includes('\\') ? text.replace(SEPARATOR, '\\$&') : text;

/** The value of a term `system|code`; `''` for a side: `system|` any code of the system, `|code` no system. */
export const systemAndCode = (system: string, code: string): string => `${part(system)}|${part(code)}`;
/** The value of a term for a code of any system. */
export const codeAlone = (code: string): string => part(code);
/** The value of a term of `:of-type`. */
export const typeAndValue = (system: string, code: string, value: string): string =>
  `${part(system)}|${part(code)}|${part(value)}`;
/** One discrete part of a composite. */
export const compositePart = (value: string): string => (value.includes('$') ? value.replaceAll('$', '\\$') : value);
/** The parameter under which the ranges of a quantity are kept; `system` undefined: the code or unit, whatever the system. */
export const quantityParam = (param: string, system: string | undefined, code: string): string =>
  `${param}|${system === undefined ? '' : part(system)}|${part(code)}`;

// ---- values -------------------------------------------------------------------------------------------------------

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text = (value: Json | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
const list = (value: Json | undefined): readonly Json[] => {
  if (value === undefined || value === null) return [];
  // INVARIANT: Array.isArray does not narrow a readonly array; every element of it is Json.
  return Array.isArray(value) ? (value as readonly Json[]) : [value];
};

/** So much of a text orders it: a page link carries the keys of the last match. */
const SORTED_CHARACTERS = 100;

function sortBy(sink: Sink, param: string, value: string | number): void {
  const key = typeof value === 'number' ? value : value.slice(0, SORTED_CHARACTERS).toWellFormed();
  const known = sink.sort.get(param);
  if (known === undefined || key < known) sink.sort.set(param, key);
}

type Indexer = (param: string, type: ElementType) => Visit<Sink>;

// Tokens.

function addToken(sink: Sink, param: string, system: string | undefined, code: string | undefined): void {
  if (code !== undefined) {
    sink.terms.add(termText(param, codeAlone(code)));
    sink.terms.add(termText(param, systemAndCode(system ?? '', code)));
    sortBy(sink, param, code);
  }
  if (system !== undefined) sink.terms.add(termText(param, systemAndCode(system, '')));
}

function addText(sink: Sink, param: string, value: Json | undefined): void {
  const found = text(value);
  if (found !== undefined) sink.strings.push({ param: `${param}:text`, text: fold(found) });
}

function addCoding(sink: Sink, param: string, coding: Json): void {
  if (!isObject(coding)) return;
  addToken(sink, param, text(coding['system']), text(coding['code']));
  addText(sink, param, coding['display']);
}

function addIdentifier(sink: Sink, param: string, identifier: Json | undefined): void {
  if (!isObject(identifier)) return;
  const value = text(identifier['value']);
  addToken(sink, param, text(identifier['system']), value);
  const type = identifier['type'];
  if (!isObject(type)) return;
  addText(sink, param, type['text']);
  if (value === undefined) return;
  for (const coding of list(type['coding'])) {
    const code = isObject(coding) ? text(coding['code']) : undefined;
    if (!isObject(coding) || code === undefined) continue;
    sink.terms.add(termText(`${param}:of-type`, typeAndValue(text(coding['system']) ?? '', code, value)));
  }
}

/** Codes, booleans and contacts compare without case: the term is kept as written and in lower case. */
function addCaseless(sink: Sink, param: string, system: string | undefined, code: string): void {
  addToken(sink, param, undefined, code);
  if (system !== undefined) addToken(sink, param, system, code);
  const lower = code.toLowerCase();
  if (lower === code) return;
  addToken(sink, param, undefined, lower);
  if (system !== undefined) addToken(sink, param, system, lower);
}

const coding: Indexer = (param) => (value, _resource, sink) => addCoding(sink, param, value);
const codeableConcept: Indexer = (param) => (value, _resource, sink) => {
  if (!isObject(value)) return;
  for (const one of list(value['coding'])) addCoding(sink, param, one);
  addText(sink, param, value['text']);
};
const identifier: Indexer = (param) => (value, _resource, sink) => addIdentifier(sink, param, value);
const contactPoint: Indexer = (param) => (value, _resource, sink) => {
  const contact = isObject(value) ? text(value['value']) : undefined;
  if (contact !== undefined) addCaseless(sink, param, undefined, contact);
};
const caseless: Indexer = (param, type) => (value, _resource, sink) => {
  if (typeof value === 'string' || typeof value === 'boolean') addCaseless(sink, param, type.system, String(value));
};
const exact: Indexer = (param) => (value, _resource, sink) => {
  if (typeof value === 'string' || typeof value === 'number') addToken(sink, param, undefined, String(value));
};

// Strings.

function addString(sink: Sink, param: string, value: Json | undefined): void {
  const found = text(value);
  if (found === undefined) return;
  const folded = fold(found);
  sink.terms.add(termText(`${param}:exact`, found));
  sink.strings.push({ param, text: folded });
  sortBy(sink, param, folded);
}

const plain: Indexer = (param) => (value, _resource, sink) => addString(sink, param, value);
const parts =
  (...names: readonly string[]): Indexer =>
  (param) =>
  (value, _resource, sink) => {
    if (!isObject(value)) return;
    for (const name of names) for (const one of list(value[name])) addString(sink, param, one);
  };
const humanName = parts('family', 'given', 'prefix', 'suffix', 'text');
const address = parts('text', 'line', 'city', 'district', 'state', 'postalCode', 'country');

// References.

function addReference(sink: Sink, param: string, literal: string): void {
  const read = readReference(literal, sink.baseUrl);
  if (read.kind === 'contained') return;
  const value = read.kind === 'local' ? read.ref : read.text;
  sink.terms.add(termText(param, value));
  sortBy(sink, param, value);
  if (read.kind === 'local' && read.version !== undefined) {
    sink.terms.add(termText(`${param}:version`, `${read.ref}/_history/${read.version}`));
  }
}

const reference: Indexer = (param) => (value, _resource, sink) => {
  if (!isObject(value)) return;
  const literal = text(value['reference']);
  if (literal !== undefined) addReference(sink, param, literal);
  addIdentifier(sink, `${param}:identifier`, value['identifier']);
};
const embedded: Indexer = (param) => (value, _resource, sink) => {
  if (!isObject(value)) return;
  const type = text(value['resourceType']);
  const id = text(value['id']);
  if (type !== undefined && id !== undefined) addReference(sink, param, `${type}/${id}`);
};

// URIs and canonicals: `url|version` is found with and without its version.

const uri: Indexer = (param) => (value, _resource, sink) => {
  const found = text(value);
  if (found === undefined) return;
  sink.terms.add(termText(param, found));
  sink.strings.push({ param, text: found });
  sortBy(sink, param, found);
};
const canonical: Indexer = (param) => (value, _resource, sink) => {
  const found = text(value);
  if (found === undefined) return;
  const bar = found.indexOf('|');
  const url = bar === -1 ? found : found.slice(0, bar);
  sink.terms.add(termText(param, url));
  if (bar !== -1) sink.terms.add(termText(param, found));
  sink.strings.push({ param, text: url });
  sortBy(sink, param, url);
};

// Dates.

function addRange(sink: Sink, param: string, interval: Interval): void {
  sink.ranges.push({ param, lo: interval.lo, hi: interval.hi });
  sortBy(sink, param, interval.lo);
}

const date: Indexer = (param) => (value, _resource, sink) => {
  const interval = typeof value === 'string' ? dateInterval(value) : undefined;
  if (interval !== undefined) addRange(sink, param, interval);
};
const period: Indexer = (param) => (value, _resource, sink) => {
  if (isObject(value)) for (const interval of searchedPeriod(value)) addRange(sink, param, interval);
};
const timing: Indexer = (param) => (value, _resource, sink) => {
  if (isObject(value)) for (const interval of timingIntervals(value)) addRange(sink, param, interval);
};

// Numbers and quantities.

const number: Indexer = (param) => (value, _resource, sink) => {
  if (typeof value === 'number') addRange(sink, param, pointInterval(value));
};

const COMPARATOR: Readonly<Record<string, (value: number) => Interval>> = {
  '<': (v) => ({ lo: MIN_NUMBER, hi: v }),
  '<=': (v) => ({ lo: MIN_NUMBER, hi: nextUp(v) }),
  '>=': (v) => ({ lo: v, hi: MAX_NUMBER }),
  '>': (v) => ({ lo: nextUp(v), hi: MAX_NUMBER }),
};

/** Where the unit of a quantity is known by its code and by its printed form, it is found by both. */
function addQuantity(sink: Sink, param: string, interval: Interval, unit: JsonObject): void {
  addRange(sink, param, interval);
  const system = text(unit['system']);
  const code = text(unit['code']);
  const printed = text(unit['unit']);
  const add = (qualified: string): void => {
    sink.ranges.push({ param: qualified, lo: interval.lo, hi: interval.hi });
  };
  if (system !== undefined && code !== undefined) add(quantityParam(param, system, code));
  if (code !== undefined) add(quantityParam(param, undefined, code));
  if (printed !== undefined && printed !== code) add(quantityParam(param, undefined, printed));
}

const quantity: Indexer = (param) => (value, _resource, sink) => {
  const amount = isObject(value) ? value['value'] : undefined;
  if (!isObject(value) || typeof amount !== 'number') return;
  const compare = COMPARATOR[text(value['comparator']) ?? ''];
  addQuantity(sink, param, compare === undefined ? pointInterval(amount) : compare(amount), value);
};

/** ISO 4217 is the system of every Money. https://hl7.org/fhir/R4/search.html#quantity */
const money: Indexer = (param) => (value, _resource, sink) => {
  const amount = isObject(value) ? value['value'] : undefined;
  if (!isObject(value) || typeof amount !== 'number') return;
  const currency = text(value['currency']);
  const unit: JsonObject = currency === undefined ? {} : { system: 'urn:iso:std:iso:4217', code: currency };
  addQuantity(sink, param, pointInterval(amount), unit);
};

const rangeOf =
  (withUnit: boolean): Indexer =>
  (param) =>
  (value, _resource, sink) => {
    if (!isObject(value)) return;
    const { low, high } = value;
    const from = isObject(low) && typeof low['value'] === 'number' ? low['value'] : undefined;
    const to = isObject(high) && typeof high['value'] === 'number' ? high['value'] : undefined;
    if (from === undefined && to === undefined) return;
    const interval = { lo: from ?? MIN_NUMBER, hi: to === undefined ? MAX_NUMBER : nextUp(to) };
    if (interval.lo >= interval.hi) return;
    if (withUnit) addQuantity(sink, param, interval, isObject(low) ? low : isObject(high) ? high : {});
    else addRange(sink, param, interval);
  };

// ---- the table ----------------------------------------------------------------------------------------------------

const QUANTITIES: Readonly<Record<string, Indexer>> = {
  Quantity: quantity,
  SimpleQuantity: quantity,
  MoneyQuantity: quantity,
  Age: quantity,
  Count: quantity,
  Distance: quantity,
  Duration: quantity,
  Money: money,
  Range: rangeOf(true),
};

const INDEXERS: Readonly<Record<SearchParamType, Readonly<Record<string, Indexer>>>> = {
  token: {
    Coding: coding,
    CodeableConcept: codeableConcept,
    Identifier: identifier,
    ContactPoint: contactPoint,
    code: caseless,
    boolean: caseless,
    string: exact,
    id: exact,
    uri: exact,
    url: exact,
    oid: exact,
    uuid: exact,
    canonical: exact,
    markdown: exact,
    integer: exact,
    positiveInt: exact,
    unsignedInt: exact,
    date: exact,
    dateTime: exact,
  },
  string: { string: plain, markdown: plain, code: plain, id: plain, HumanName: humanName, Address: address },
  reference: { Reference: reference, canonical, uri: canonical, url: canonical, Resource: embedded },
  uri: { uri, url: uri, oid: uri, uuid: uri, string: uri, canonical },
  date: { date, dateTime: date, instant: date, Period: period, Timing: timing },
  number: { integer: number, positiveInt: number, unsignedInt: number, decimal: number, Range: rangeOf(false) },
  quantity: QUANTITIES,
  composite: {},
};

/**
 * Choices of an element that a parameter names as a whole (`Procedure.performed`, `Consent.source`), and that R4 gives no meaning
 * in its type of search: they count as missing.
 */
const IGNORED: Readonly<Partial<Record<SearchParamType, readonly string[]>>> = {
  date: ['string', 'Age', 'Range'],
  quantity: ['SampledData'],
  reference: ['Attachment'],
  token: ['Quantity', 'Range', 'Reference'],
};
export const isIgnored = (type: SearchParamType, leaf: string): boolean => IGNORED[type]?.includes(leaf) === true;

/** How values of a FHIR type are indexed for a parameter type; `undefined` when the two do not go together. */
export const indexerOf = (type: SearchParamType, leaf: string): Indexer | undefined => INDEXERS[type][leaf];

const NATURAL_TYPES: readonly SearchParamType[] = ['reference', 'quantity', 'token', 'date', 'string'];

/** The parameter type that fits a FHIR type best. R4 names the wrong one for the parts of `DocumentReference.relationship`. */
export const naturalType = (leaf: string): SearchParamType | undefined =>
  leaf === 'string' ? 'string' : NATURAL_TYPES.find((type) => INDEXERS[type][leaf] !== undefined);

const CASELESS_LEAVES = new Set(['code', 'boolean', 'ContactPoint']);
/** Whether every value of a token parameter is of a type that compares without case. */
export const isCaseless = (leaves: readonly string[]): boolean =>
  leaves.length > 0 && leaves.every((leaf) => CASELESS_LEAVES.has(leaf));

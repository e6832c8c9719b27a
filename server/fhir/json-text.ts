/**
 * JSON text in and out, guarded: one pass over the text, `JSON.parse`, one walk over the result.
 *
 * `JSON.parse` alone keeps the last of two equal keys, accepts any depth, turns `1.00` into `1` and `1e999` into Infinity.
 * R4 2.6.2 forbids duplicate keys and asks for the precision of decimals to be kept.
 */
import { asObject, asText } from './json.ts';
import { type Failure, fail, malformed, ok, type Result } from './result.ts';
import type { Json, JsonObject } from './types.ts';

export type JsonLimits = {
  /** The deepest nesting of objects and arrays that is accepted; the outermost is 1. */
  readonly depth: number;
};

export const JSON_LIMITS: JsonLimits = { depth: 64 };

/** Keys that JavaScript gives a meaning to; no FHIR element has such a name. */
export const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

const QUOTE = 34;
const COLON = 58;
const BACKSLASH = 92;

type Refused = { readonly ok: false; readonly failure: Failure };

/** `line 3 column 7` of an offset, both from 1. */
const place = (text: string, offset: number): string => {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) {
    line += 1;
    start = at + 1;
  }
  return `line ${line} column ${offset - start + 1}`;
};

/** The offset of the quote that ends the string which begins after `from`; the length of the text when none does. */
const endOfString = (text: string, from: number): number => {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = at - 1;
    while (text.charCodeAt(slashes) === BACKSLASH) slashes -= 1;
    if ((at - slashes) % 2 === 1) return at;
  }
  return text.length;
};

/** What a number's text ends at. */
const NUMBER = /[-+.0-9eE]+/y;

type Scan = { readonly members: number; readonly loose: boolean };

/** Counts the members of all objects and sees whether a number is written as JavaScript would not write it. */
const scan = (text: string, limits: JsonLimits): Scan | Refused => {
  let depth = 0;
  let members = 0;
  let loose = false;
  const { length } = text;
  for (let at = 0; at < length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at + 1);
    else if (code === COLON) members += 1;
    else if (code === 123 || code === 91) {
      depth += 1;
      if (depth > limits.depth)
        return malformed(`the JSON is nested deeper than ${limits.depth} levels at ${place(text, at)}`);
    } else if (code === 125 || code === 93) depth -= 1;
    else if ((code >= 48 && code <= 57) || code === 45) {
      NUMBER.lastIndex = at;
      const [number = ''] = NUMBER.exec(text) ?? [];
      const value = Number(number);
      if (value === Infinity || value === -Infinity) return malformed(`a number is too large at ${place(text, at)}`);
      if (!loose && String(value) !== number) loose = true;
      at += Math.max(0, number.length - 1);
    }
  }
  return { members, loose };
};

/** A key as it may be repeated in a message. */
const shown = (key: string): string => key.slice(0, 64);

/** `Patient.name[0].family`: from the resource's type where the text is a resource. */
const pathText = (root: Json, path: readonly (string | number)[]): string => {
  const type = asText(asObject(root)?.resourceType);
  const steps = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${shown(step)}`)).join('');
  return type === undefined ? steps.replace(/^\./, '') : `${shown(type)}${steps}`;
};

type Found = {
  members: number;
  fault: { readonly text: string; readonly path: readonly (string | number)[] } | undefined;
};

/** Counts own members; stops at a forbidden key and, where the text has `\u` escapes, at a broken string. */
const walk = (value: Json, found: Found, escapes: boolean): void => {
  if (typeof value === 'string') {
    if (escapes) checkString(value, found);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) {
      const item: Json = value[i];
      if (typeof item !== 'object' && !escapes) continue;
      walk(item, found, escapes);
      if (found.fault !== undefined) {
        prefix(found, i);
        return;
      }
    }
    return;
  }
  // INVARIANT: neither null nor an array, and made by JSON.parse: its own enumerable keys are its members.
  const members = value as JsonObject;
  for (const key in members) {
    found.members += 1;
    if (FORBIDDEN_KEYS.has(key)) {
      found.fault = { text: `the key \`${key}\` is not accepted`, path: [] };
      return;
    }
    if (escapes) checkString(key, found);
    const item = members[key];
    if (found.fault === undefined && (typeof item === 'object' || escapes)) walk(item ?? null, found, escapes);
    if (found.fault !== undefined) {
      prefix(found, key);
      return;
    }
  }
};

const prefix = (found: Found, step: string | number): void => {
  if (found.fault !== undefined) found.fault = { text: found.fault.text, path: [step, ...found.fault.path] };
};

const checkString = (text: string, found: Found): void => {
  if (text.includes('\0')) found.fault = { text: 'a text contains the character NUL', path: [] };
  else if (!text.isWellFormed()) found.fault = { text: 'a text contains half of a surrogate pair', path: [] };
};

/** Where the first key stands that its object already has. Only called when there is one, on text that is valid JSON. */
const duplicateAt = (text: string): { readonly key: string; readonly offset: number } | undefined => {
  const open: (Set<string> | undefined)[] = [];
  let last = '';
  let lastAt = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      lastAt = at;
      at = endOfString(text, at + 1);
      last = text.slice(lastAt, at + 1);
    } else if (code === 123) open.push(new Set());
    else if (code === 91) open.push(undefined);
    else if (code === 125 || code === 93) open.pop();
    else if (code === COLON) {
      // INVARIANT: in valid JSON a colon outside strings follows a member's name.
      const key = JSON.parse(last) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return { key, offset: lastAt };
      keys?.add(key);
    }
  }
  return undefined;
};

const syntaxFault = (text: string, error: unknown): Refused => {
  // V8 quotes a piece of the text in its message; only the position is kept.
  const position = /position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
  if (position === undefined) return malformed('the body is not valid JSON');
  return malformed(`the body is not valid JSON at ${place(text, Number(position))}`);
};

/**
 * Parses JSON text. Refuses (400, naming line and column or the path) invalid JSON, two equal keys in one object, the keys
 * `__proto__`, `constructor`, `prototype`, nesting deeper than the limit, numbers beyond a double, NUL and unpaired surrogates.
 * A byte order mark is dropped. Numbers whose text a double does not give back (`1.00`, `1e3`) are remembered for `stringify`.
 */
export const parseJson = (text: string, limits: JsonLimits): Result<Json> => {
  const source = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  const scanned = scan(source, limits);
  if ('failure' in scanned) return scanned;
  let value: Json;
  try {
    // INVARIANT: what JSON.parse returns is Json by definition.
    value = (scanned.loose ? parseKeeping(source) : JSON.parse(source)) as Json;
  } catch (error) {
    return syntaxFault(source, error);
  }
  if (!source.isWellFormed()) return malformed('a text contains half of a surrogate pair');
  const found: Found = { members: 0, fault: undefined };
  walk(value, found, source.includes('\\u'));
  if (found.fault !== undefined) {
    const at = pathText(value, found.fault.path);
    return fail({
      code: 'malformed',
      faults: [at === '' ? { text: found.fault.text } : { text: found.fault.text, at }],
    });
  }
  if (found.members !== scanned.members) {
    const duplicate = duplicateAt(source);
    if (duplicate !== undefined)
      return malformed(
        `the key \`${shown(duplicate.key)}\` stands twice in one object at ${place(source, duplicate.offset)}`,
      );
  }
  return ok(value);
};

/** How deep a value is nested: 0 for a text or a number, 1 for `{}`. */
export const depthOf = (value: Json): number =>
  typeof value !== 'object' || value === null
    ? 0
    : 1 + Object.values(value).reduce<number>((most, item) => Math.max(most, depthOf(item)), 0);

// ---- numbers as they were written -----------------------------------------------------------------------------------

/**
 * On an object with such a number somewhere below: the texts of its own ones by key. A symbol, so that no walk over keys, no
 * comparison of members and no `JSON.stringify` sees it; enumerable, so that `{ ...object }` carries it along.
 */
const WRITTEN = Symbol('numbers as written');
type Written = { readonly [key: string]: string };

/** An object that may carry a mark. INVARIANT: nobody else can write under this symbol, so what stands there is a `Written`. */
type Marked = { [WRITTEN]?: Written };
const writtenOf = (value: object): Written | undefined => (value as Marked)[WRITTEN];

const parseKeeping = (text: string): unknown =>
  JSON.parse(text, function (this: unknown, key: string, value: unknown, context?: { readonly source?: string }) {
    // INVARIANT: a reviver is called on the object or array that holds `key`.
    const holder = this as Marked;
    const source = context?.source;
    if (typeof value === 'number') {
      if (source !== undefined && String(value) !== source) holder[WRITTEN] = { ...holder[WRITTEN], [key]: source };
    } else if (typeof value === 'object' && value !== null && writtenOf(value) !== undefined) holder[WRITTEN] ??= {};
    return value;
  } as (this: unknown, key: string, value: unknown) => unknown);

/** The text of the number at `key` where it is not the one that JavaScript writes. */
export const writtenNumber = (holder: object, key: string): string | undefined => writtenOf(holder)?.[key];

/**
 * For code that makes changed copies of parsed values: marks `copy` when something that now stands in it is marked, so that `stringify` looks inside.
 * `{ ...object }` keeps the marks by itself, `[...array]` does not.
 */
export const keepWritten = (copy: object, ...within: readonly Json[]): void => {
  if (!within.some((value) => typeof value === 'object' && value !== null && writtenOf(value) !== undefined)) return;
  const marked: Marked = copy;
  marked[WRITTEN] ??= {};
};

/** Remembers how the number at `key` of a copy is written. */
export const writeNumber = (copy: object, key: string, text: string): void => {
  const marked: Marked = copy;
  marked[WRITTEN] = { ...marked[WRITTEN], [key]: text };
};

/** The JSON text of a value; numbers that `parseJson` remembered and nobody has changed since are written as they came. */
export const stringify = (value: Json): string => {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const written = writtenOf(value);
  if (written === undefined) return JSON.stringify(value);
  const member = (key: string, item: Json): string => {
    const text = typeof item === 'number' ? written[key] : undefined;
    if (text !== undefined && Number(text) === item) return text;
    // A copied array has lost its mark, its items have not.
    if (Array.isArray(item) && writtenOf(item) === undefined)
      return `[${item.map((one: Json) => stringify(one)).join(',')}]`;
    return stringify(item);
  };
  if (Array.isArray(value)) return `[${value.map((item: Json, i) => member(String(i), item)).join(',')}]`;
  // INVARIANT: neither a primitive nor an array.
  const members = Object.entries(value as JsonObject).filter(([, item]) => item !== undefined);
  return `{${members.map(([key, item]) => `${JSON.stringify(key)}:${member(key, item)}`).join(',')}}`;
};

/**
 * JSON Patch: https://www.rfc-editor.org/rfc/rfc6902, pointers: https://www.rfc-editor.org/rfc/rfc6901
 *
 * The document is never changed: each operation gives a copy that shares what it did not touch. What comes out is JSON again and nothing
 * more; the caller validates it.
 */
import { asObject, sameJson } from './json.ts';
import { depthOf, FORBIDDEN_KEYS, JSON_LIMITS, keepWritten, writeNumber, writtenNumber } from './json-text.ts';
import { malformed, ok, type Result, unprocessable } from './result.ts';
import type { Json, JsonObject } from './types.ts';

const MOST_OPERATIONS = 1000;
/** Values that all copies of a patch together may add: `copy` of a document into itself doubles it each time. */
const MOST_COPIED = 100_000;

/** One operation as it is sent. */
export type JsonPatchOperation = {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: Json;
};

type Operation = {
  readonly op: string;
  readonly path: string;
  readonly from: string | undefined;
  readonly value: Json | undefined;
  /** How a bare number was written. */
  readonly written: string | undefined;
  /** Number in the patch, for the messages. */
  readonly at: number;
};

type Pointer = readonly string[];

const NEEDS: Readonly<Record<string, readonly ('value' | 'from')[]>> = {
  add: ['value'],
  remove: [],
  replace: ['value'],
  move: ['from'],
  copy: ['from'],
  test: ['value'],
};

const refuse = (operation: Operation, text: string): ReturnType<typeof unprocessable> =>
  unprocessable(
    `operation ${operation.at} (\`${operation.op.slice(0, 16)}\` \`${operation.path.slice(0, 128)}\`): ${text}`,
  );

const readOperation = (value: Json, at: number): Result<Operation> => {
  const item = asObject(value);
  const op = item?.op;
  const path = item?.path;
  if (item === undefined || typeof op !== 'string' || typeof path !== 'string')
    return malformed(`operation ${at} is no object with a text \`op\` and a text \`path\``);
  const from = item.from;
  const operation: Operation = {
    op,
    path,
    at,
    from: typeof from === 'string' ? from : undefined,
    value: item.value,
    written: writtenNumber(item, 'value'),
  };
  const needs = Object.hasOwn(NEEDS, op) ? NEEDS[op] : undefined;
  if (needs === undefined) return refuse(operation, 'no such operation');
  const missing = needs.find((name) => operation[name] === undefined);
  return missing === undefined ? ok(operation) : malformed(`operation ${at} has no \`${missing}\``);
};

const readPointer = (operation: Operation, text: string): Result<Pointer> => {
  if (text === '') return ok([]);
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return refuse(operation, 'not a JSON pointer');
  const tokens = text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (tokens.length > JSON_LIMITS.depth) return refuse(operation, 'deeper than any resource');
  const forbidden = tokens.find((token) => FORBIDDEN_KEYS.has(token));
  return forbidden === undefined ? ok(tokens) : refuse(operation, `the key \`${forbidden}\` is not accepted`);
};

const INDEX = /^(?:0|[1-9]\d{0,8})$/;

/** The member or item that a token names, `undefined` when there is none. */
const child = (container: Json, token: string): Json | undefined => {
  if (Array.isArray(container)) return INDEX.test(token) ? container[Number(token)] : undefined;
  const object = asObject(container);
  return object !== undefined && Object.hasOwn(object, token) ? object[token] : undefined;
};

const valueAt = (document: Json, pointer: Pointer): Json | undefined => {
  let value: Json | undefined = document;
  for (const token of pointer) value = value === undefined ? undefined : child(value, token);
  return value;
};

/** What to do with the container of the place that a pointer names; `undefined` when it cannot be done there. */
type Edit = (container: Json, token: string) => Json | undefined;

/** The document with an edit done at a pointer (not the empty one), `undefined` when the place is not there. */
const edited = (document: Json, pointer: Pointer, edit: Edit): Json | undefined => {
  const [token, ...rest] = pointer;
  if (token === undefined) return undefined;
  if (rest.length === 0) return edit(document, token);
  const inner = child(document, token);
  const changed = inner === undefined ? undefined : edited(inner, rest, edit);
  return changed === undefined ? undefined : withChild(document, token, changed);
};

/** A copy with an existing child exchanged. INVARIANT: what has a child and is no array is an object. */
const withChild = (container: Json, token: string, value: Json): Json => {
  const copy = Array.isArray(container)
    ? container.with(Number(token), value)
    : { ...(container as JsonObject), [token]: value };
  keepWritten(copy, container, value);
  return copy;
};

const inserted =
  (value: Json, written: string | undefined): Edit =>
  (container, token) => {
    if (Array.isArray(container)) {
      const at = token === '-' ? container.length : INDEX.test(token) ? Number(token) : -1;
      if (at < 0 || at > container.length) return undefined;
      const copy = container.toSpliced(at, 0, value);
      keepWritten(copy, container, value);
      return copy;
    }
    const object = asObject(container);
    if (object === undefined) return undefined;
    const copy = { ...object, [token]: value };
    keepWritten(copy, value);
    if (written !== undefined) writeNumber(copy, token, written);
    return copy;
  };

const replaced =
  (value: Json, written: string | undefined): Edit =>
  (container, token) => {
    if (child(container, token) === undefined) return undefined;
    const copy = withChild(container, token, value);
    if (written !== undefined && typeof copy === 'object' && copy !== null) writeNumber(copy, token, written);
    return copy;
  };

const removed: Edit = (container, token) => {
  if (child(container, token) === undefined) return undefined;
  if (Array.isArray(container)) {
    const copy = container.toSpliced(Number(token), 1);
    keepWritten(copy, container);
    return copy;
  }
  // INVARIANT: what has a child and is no array is an object.
  const { [token]: _, ...rest } = container as JsonObject;
  return rest;
};

/** Counts values, at most to `most`. */
const size = (value: Json, most: number): number => {
  let count = 1;
  if (typeof value !== 'object' || value === null) return count;
  for (const item of Object.values(value)) {
    if (count >= most) return count;
    count += size(item, most - count);
  }
  return count;
};

type State = { readonly document: Json; readonly copied: number };

const put = (
  state: State,
  operation: Operation,
  at: { readonly pointer: Pointer; readonly value: Json },
): Result<State> => {
  const { pointer, value } = at;
  if (pointer.length + depthOf(value) > JSON_LIMITS.depth)
    return refuse(operation, `nests deeper than ${JSON_LIMITS.depth} levels`);
  if (pointer.length === 0) return ok({ ...state, document: value });
  const edit = operation.op === 'replace' ? replaced(value, operation.written) : inserted(value, operation.written);
  const document = edited(state.document, pointer, edit);
  return document === undefined ? refuse(operation, 'there is no such place') : ok({ ...state, document });
};

const apply = (state: State, operation: Operation): Result<State> => {
  const path = readPointer(operation, operation.path);
  if (!path.ok) return path;
  const pointer = path.value;
  const { op, value = null } = operation;
  if (op === 'test') {
    const found = valueAt(state.document, pointer);
    if (found === undefined) return refuse(operation, 'there is no such place');
    return sameJson(found, value) ? ok(state) : refuse(operation, 'the test failed');
  }
  if (op === 'remove') {
    const document = edited(state.document, pointer, removed);
    return document === undefined ? refuse(operation, 'there is no such place') : ok({ ...state, document });
  }
  if (op === 'replace' && valueAt(state.document, pointer) === undefined)
    return refuse(operation, 'there is no such place');
  if (op === 'add' || op === 'replace') return put(state, operation, { pointer, value });

  const source = readPointer(operation, operation.from ?? '');
  if (!source.ok) return source;
  const from = source.value;
  const moved = valueAt(state.document, from);
  if (moved === undefined) return refuse(operation, 'there is nothing at `from`');
  if (op === 'move') {
    if (from.length === pointer.length && from.every((token, i) => token === pointer[i])) return ok(state);
    if (from.every((token, i) => token === pointer[i])) return refuse(operation, 'a value cannot move into itself');
    const without = edited(state.document, from, removed);
    return put({ ...state, document: without ?? null }, operation, { pointer, value: moved });
  }
  const copied = state.copied + size(moved, MOST_COPIED + 1);
  if (copied > MOST_COPIED) return refuse(operation, 'the patch copies too much');
  return put({ ...state, copied }, operation, { pointer, value: moved });
};

/**
 * Applies a JSON Patch document. The result is a new value, or all of nothing: 400 when `patch` is no JSON Patch, 422 naming the operation
 * when one does not fit the document, a `test` that fails included. Neither argument is changed.
 */
export const applyJsonPatch = (document: Json, patch: Json): Result<Json> => {
  if (!Array.isArray(patch)) return malformed('a JSON Patch is an array of operations');
  if (patch.length > MOST_OPERATIONS) return malformed(`a JSON Patch has at most ${MOST_OPERATIONS} operations`);
  const operations: Operation[] = [];
  for (const [at, item] of patch.entries()) {
    const read = readOperation(item, at);
    if (!read.ok) return read;
    operations.push(read.value);
  }
  let state: State = { document, copied: 0 };
  for (const operation of operations) {
    const next = apply(state, operation);
    if (!next.ok) return next;
    state = next.value;
  }
  return ok(state.document);
};

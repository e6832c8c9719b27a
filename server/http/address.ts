/** From a request target to a path below the base and a query. https://hl7.org/fhir/R4/http.html#styleguide */
import { malformed, ok, type Result } from '../fhir/result.ts';

export type QueryPairs = readonly (readonly [name: string, value: string])[];

const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/i;

/**
 * A request target from its path on. The authority of an absolute-form target (RFC 9112 3.2.2) is dropped unread: no
 * address that the client chose ever becomes part of an answer (security.md I-18b).
 */
export function localTarget(target: string): string {
  if (target.charCodeAt(0) === 47) return target;
  const local = target.replace(ABSOLUTE_FORM, '');
  return local.startsWith('/') ? local : `/${local}`;
}

/** Path and query of a local target, still encoded. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const mark = target.indexOf('?');
  return mark === -1 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** Decoded segments of an encoded path below the base, without its leading slash; one trailing slash is dropped. */
export function decodePath(path: string): Result<readonly string[]> {
  if (path === '') return ok([]);
  const segments = (path.endsWith('/') ? path.slice(0, -1) : path).split('/');
  if (!path.includes('%')) return ok(segments);
  try {
    return ok(segments.map(decodeURIComponent));
  } catch {
    return malformed('the path is not valid percent-encoded UTF-8');
  }
}

const MAX_PARAMETERS = 1000;

const decoded = (text: string): string => {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  return spaced.includes('%') ? decodeURIComponent(spaced) : spaced;
};

/** Pairs of a query string or a form, in order; repeated names stay repeated, and a name is only ever text (security.md S-01). */
export function decodeQuery(text: string, where: 'query' | 'form'): Result<QueryPairs> {
  if (text === '') return ok([]);
  const parts = text.split('&', MAX_PARAMETERS + 1);
  if (parts.length > MAX_PARAMETERS) return malformed(`the ${where} has more than ${MAX_PARAMETERS} parameters`);
  const pairs: (readonly [string, string])[] = [];
  try {
    for (const part of parts) {
      if (part === '') continue;
      const equals = part.indexOf('=');
      const pair =
        equals === -1
          ? ([decoded(part), ''] as const)
          : ([decoded(part.slice(0, equals)), decoded(part.slice(equals + 1))] as const);
      if (pair[0].includes('\0') || pair[1].includes('\0')) return malformed(`the ${where} contains the character NUL`);
      pairs.push(pair);
    }
  } catch {
    return malformed(`the ${where} is not valid percent-encoded UTF-8`);
  }
  return ok(pairs);
}

const TYPE = /^[A-Z][A-Za-z]{0,63}$/;
const ID = /^(?!\.{1,2}$)[A-Za-z0-9.-]{1,64}$/;
const OPERATION = /^\$[A-Za-z0-9-]{1,64}$/;

/** The names that may stand in a log; every other type or operation is logged as a placeholder (security.md L-03). */
export type KnownNames = { readonly types: ReadonlySet<string>; readonly operations: ReadonlySet<string> };

type Shape = (segment: string, names: KnownNames) => string | undefined;

const literal =
  (text: string): Shape =>
  (segment) =>
    segment === text ? text : undefined;
const typeName: Shape = (segment, names) => {
  if (names.types.has(segment)) return segment;
  return TYPE.test(segment) ? '[type]' : undefined;
};
const idName: Shape = (segment) => (ID.test(segment) ? '[id]' : undefined);
const versionName: Shape = (segment) => (ID.test(segment) ? '[vid]' : undefined);
const operationName: Shape = (segment, names) => {
  if (names.operations.has(segment)) return segment;
  return OPERATION.test(segment) ? '$[operation]' : undefined;
};
const SEARCH = literal('_search');
const HISTORY = literal('_history');

/** Every address of R4's RESTful interface, by number of segments. */
const ADDRESSES: readonly (readonly (readonly Shape[])[])[] = [
  [[]],
  [[typeName], [operationName], [SEARCH], [HISTORY]],
  [
    [typeName, idName],
    [typeName, operationName],
    [typeName, SEARCH],
    [typeName, HISTORY],
  ],
  [
    [typeName, idName, HISTORY],
    [typeName, idName, operationName],
    [typeName, idName, typeName],
    [typeName, idName, literal('*')],
  ],
  [
    [typeName, idName, HISTORY, versionName],
    [typeName, idName, typeName, SEARCH],
  ],
];

/**
 * The template of a path (`Patient/[id]/_history`), for the log: no id and no text of the client's choice is in it. `undefined` (404)
 * when no address of R4 has this form; then nothing behind the edge needs to see the path.
 */
export function templateOf(path: readonly string[], names: KnownNames): string | undefined {
  for (const shapes of ADDRESSES[path.length] ?? []) {
    let template = '';
    let fits = true;
    for (let at = 0; at < shapes.length; at += 1) {
      const named = shapes[at]?.(path[at] ?? '', names);
      if (named === undefined) {
        fits = false;
        break;
      }
      template = at === 0 ? named : `${template}/${named}`;
    }
    if (fits) return template;
  }
  return undefined;
}

/**
 * SMART scopes (SMART App Launch 2.2, "Scopes for requesting FHIR resources"), v1 and v2, as data.
 * A scope that is not understood in full grants nothing: a constraint dropped would widen it (security.md T-09).
 */
import { unreachable } from '../fhir/types.ts';
import type { Claims, Scope } from './caller.ts';

/** c create, r read, u update, d delete, s search. */
export type ScopeLetter = 'c' | 'r' | 'u' | 'd' | 's';

const SHAPE = /^(patient|user|system)\/(\*|[A-Z][A-Za-z]{1,63})\.(\*|[a-z]+)(\?.+)?$/;
/** The letters in this order, each once at most; otherwise the scope is invalid. */
const LETTERS = /^(?=.)c?r?u?d?s?$/;

/** SMART v1 words, in v2 letters. */
const V1_LETTERS: ReadonlyMap<string, string> = new Map([
  ['read', 'rs'],
  ['write', 'cud'],
  ['*', 'cruds'],
]);

/** The parameters of every type that say something about the resource; the others of this spelling shape the answer. */
const COMMON_PARAMETERS: ReadonlySet<string> = new Set(['_id', '_lastUpdated', '_tag', '_profile', '_security']);
/** No `:` (modifier, `_has`) and no `.` (chain): SMART calls them experimental. */
const PARAMETER = /^[a-z][A-Za-z0-9-]{0,63}$/;

function decoded(text: string): string | undefined {
  // `+` is a space to some readers of a URL and a plus to others; `%20` and `%2B` are not.
  if (text.includes('+')) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function parsePair(pair: string, type: string): readonly [param: string, value: string] | undefined {
  const at = pair.indexOf('=');
  const param = decoded(pair.slice(0, Math.max(at, 0)));
  const value = decoded(pair.slice(at + 1));
  if (at < 1 || param === undefined || value === undefined || value === '') return undefined;
  if (COMMON_PARAMETERS.has(param)) return [param, value];
  // A parameter of one type means nothing, or something else, on the others that `*` names.
  return PARAMETER.test(param) && type !== '*' ? [param, value] : undefined;
}

function parseConstraint(text: string | undefined, type: string): Scope['constraint'] | undefined {
  if (text === undefined) return [];
  const pairs = text
    .slice(1)
    .split('&')
    .map((pair) => parsePair(pair, type));
  return pairs.every((pair) => pair !== undefined) ? pairs : undefined;
}

/** One scope, or `undefined` when it is not a FHIR resource scope that this server understands in full. */
function parseScope(text: string): Scope | undefined {
  const [, context, type, access, query] = SHAPE.exec(text) ?? [];
  if ((context !== 'patient' && context !== 'user' && context !== 'system') || !type || !access) return undefined;
  const v1 = V1_LETTERS.get(access);
  if (v1 !== undefined && query !== undefined) return undefined;
  const letters = v1 ?? (LETTERS.test(access) ? access : undefined);
  const constraint = parseConstraint(query, type);
  if (letters === undefined || constraint === undefined) return undefined;
  const has = (letter: ScopeLetter): boolean => letters.includes(letter);
  return { context, type, c: has('c'), r: has('r'), u: has('u'), d: has('d'), s: has('s'), constraint, text };
}

/** The scopes of a `scope` claim (RFC 6749 section 3.3) that were understood, each once, in the order written. */
export function parseScopes(claim: string): readonly Scope[] {
  return [...new Set(claim.split(' '))].map(parseScope).filter((scope) => scope !== undefined);
}

/**
 * The contexts that a caller's token may use: `patient/` for those who have one person to be limited to, `user/` for
 * persons, `system/` for backends. A scope of another context is held in vain.
 */
function contextsOf(claims: Claims): readonly Scope['context'][] {
  switch (claims.kind) {
    case 'patient':
    case 'representative':
      return ['patient', 'user'];
    case 'professional':
      return claims.patient === undefined ? ['user'] : ['patient', 'user'];
    case 'feeder':
    case 'insurer':
      return ['system'];
    case 'operator':
      return claims.fhirUser === undefined ? ['system'] : ['user'];
    default:
      return unreachable(claims);
  }
}

/** The held scopes that cover one letter on one type: their union is what the token allows, none of them is nothing. */
export function scopesFor(claims: Claims, letter: ScopeLetter, type: string): readonly Scope[] {
  const contexts = contextsOf(claims);
  return claims.scopes.filter(
    (scope) => scope[letter] && (scope.type === '*' || scope.type === type) && contexts.includes(scope.context),
  );
}

/** What a caller may do: the decisions of `access/`, with the token's scopes translated into limits by the search parameters they name. */
import type { AccessOptions, ScopeLetter } from '../access/access.ts';
import type { Caller, Scope } from '../access/caller.ts';
import { scopesFor } from '../access/scopes.ts';
import type { Instant } from '../fhir/types.ts';
import { lowerAll } from '../query/lower.ts';
import { parseSearch } from '../query/parse.ts';
import type { Guard } from '../query/plan.ts';
import { ALL, NONE, or, type Predicate } from '../query/predicate.ts';
import type { Filter } from '../query/search-query.ts';
import type { Deps } from './deps.ts';

/** A scope's constraint as a predicate on the type itself. What cannot be read, or would look at another resource, grants nothing. */
function constraintOf(deps: Deps, scope: Scope, type: string, now: Instant): Predicate {
  if (scope.constraint.length === 0) return ALL;
  const parsed = parseSearch(scope.constraint, {
    registry: deps.registry,
    type,
    baseUrl: deps.baseUrl,
    lenient: false,
    bySight: () => false,
  });
  if (!parsed.ok || parsed.value.filters.length === 0) return NONE;
  const bySight = deps.declarations.get(type)?.bySight ?? [];
  const isPlain = (f: Filter): boolean => f.kind === 'match' && f.modifier === undefined && !bySight.includes(f.param);
  if (!parsed.value.filters.every(isPlain)) return NONE;
  const nowhere = (): Guard => {
    throw new Error('a scope constraint follows no reference');
  };
  return lowerAll(parsed.value.filters, { guardOf: nowhere, types: deps.registry.types, bySight: () => false, now });
}

export function accessOptions(deps: Deps, caller: Caller, now: Instant): AccessOptions {
  const scopeLimit = (letter: ScopeLetter, type: string): Predicate => {
    const held = scopesFor(caller.claims, letter, type);
    return held.some((s) => s.constraint.length === 0) ? ALL : or(...held.map((s) => constraintOf(deps, s, type, now)));
  };
  return { caller, now, policy: deps.policy, types: deps.accessTypes, scopeLimit };
}

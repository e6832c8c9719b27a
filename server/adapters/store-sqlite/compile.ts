/** Predicate → SQL condition on one row. `query/matches.ts` is the definition; the agreement test holds this file to it. */
import { termText } from '../../fhir/index-entry.ts';
import { unreachable } from '../../fhir/types.ts';
import type { Bound, Hop, Predicate } from '../../query/predicate.ts';
import { COLUMN_RANGE, isMark, isOpen, jsonPath, splitTerm } from './facets.ts';
import { sealedColumns } from './sealed.ts';
import { FALSE, joined, raw, type Sql, sql, TRUE } from './sql.ts';
import { bytesOf } from './term-hash.ts';
import { paramName, type Words } from './words.ts';

/** The row a condition speaks about: `alias` is a row of `resource`, or of `person` when it stands for a space entry. */
type Row = { readonly alias: string; readonly depth: number };
export type ResourceScope = Row & { readonly kind: 'resource'; readonly type: string };
export type SpaceScope = Row & { readonly kind: 'space' };
export type Scope = ResourceScope | SpaceScope;

export const resourceScope = (type: string, depth: number): ResourceScope => ({
  kind: 'resource',
  type,
  alias: `r${depth}`,
  depth,
});
export const spaceScope = (depth: number): SpaceScope => ({ kind: 'space', alias: `p${depth}`, depth });

/** The type that is hashed with a term: a space entry has none. */
export const termType = (scope: Scope): string => (scope.kind === 'resource' ? scope.type : '');

/** A condition that is 1 or 0 and never NULL, so that `NOT` means what it says. */
export function condition(p: Predicate, scope: Scope, words: Words): Sql {
  switch (p.op) {
    case 'all':
      return TRUE;
    case 'none':
      return FALSE;
    case 'and':
      return joined(
        p.of.map((q) => condition(q, scope, words)),
        'AND',
      );
    case 'or':
      return joined(
        gathered(p.of).map((q) => (Array.isArray(q) ? viaCondition(q, scope, words) : condition(q, scope, words))),
        'OR',
      );
    case 'not':
      return sql`(NOT ${condition(p.of, scope, words)})`;
    case 'term':
      return termCondition(p.param, p.value, { scope, words });
    case 'prefix':
    case 'contains':
      return stringCondition(p, scope);
    case 'range':
      return rangeCondition(p, scope, words);
    case 'owner':
      return ownerCondition(p.of, scope, words);
    case 'via':
      return viaCondition([p], scope, words);
    case 'from':
      return fromCondition(p, scope, words);
    default:
      return unreachable(p);
  }
}

function termCondition(param: string, value: string, at: { readonly scope: Scope; readonly words: Words }): Sql {
  const { scope, words } = at;
  const row = raw(scope.alias);
  // `+` keeps SQLite from starting at this column: where a query starts is decided in `drive.ts`.
  if (scope.kind === 'resource' && param === '_id') return sql`(+${row}.id = ${value})`;
  if (scope.kind === 'resource' && param === '_owner') {
    const person = words.findPerson(value);
    return person === undefined ? FALSE : sql`(+${row}.owner IS ${person})`;
  }
  // The hash may be found across the border of two others with the odds of any 64 random bits, which is the odds a hash has anyway.
  const column = raw(isMark(splitTerm(termText(param, value))[0]) ? 'marks' : 'hashes');
  return sql`(instr(${row}.${column}, ${bytesOf(words.hash(termType(scope), termText(param, value)))}) > 0)`;
}

/** Strings are sealed, of a resource and of a space alike. */
const stringCondition = ({ op, param, text }: Predicate & { readonly op: 'prefix' | 'contains' }, scope: Scope): Sql =>
  scope.kind === 'space'
    ? sql`space_string(${op}, ${param}, ${text}, ${raw(scope.alias)}.id)`
    : sql`sealed_string(${scope.type}, ${op}, ${param}, ${text}, ${raw(sealedColumns(scope.alias))})`;

function rangeCondition(p: Predicate & { readonly op: 'range' }, scope: Scope, words: Words): Sql {
  const row = raw(scope.alias);
  if (scope.kind === 'resource' && p.param === COLUMN_RANGE) {
    // One millisecond, half-open.
    return joined([compared(sql`+${row}.updated`, p.lo), compared(sql`(${row}.updated + 1)`, p.hi)], 'AND');
  }
  if (!isOpen(termType(scope), p.param)) {
    const [lo, hi] = [p.lo ?? [null, null], p.hi ?? [null, null]];
    return sql`sealed_range(${termType(scope)}, ${p.param}, ${lo[0]}, ${lo[1]}, ${hi[0]}, ${hi[1]}, ${raw(sealedColumns(scope.alias))})`;
  }
  const bounds = joined([compared(raw('(s.value ->> 0)'), p.lo), compared(raw('(s.value ->> 1)'), p.hi)], 'AND');
  return sql`EXISTS (SELECT 1 FROM json_each(${row}.ranges, ${jsonPath(p.param, words.hash)}) s WHERE ${bounds})`;
}

const COMPARISON: Readonly<Record<Bound[0], Sql>> = { '<': raw('<'), '<=': raw('<='), '>': raw('>'), '>=': raw('>=') };

const compared = (value: Sql, bound: Bound | undefined): Sql =>
  bound === undefined ? TRUE : sql`${value} ${COMPARISON[bound[0]]} ${bound[1]}`;

function ownerCondition(of: Predicate, scope: Scope, words: Words): Sql {
  // A space entry is owned by nobody.
  if (scope.kind === 'space') return FALSE;
  const person = spaceScope(scope.depth + 1);
  const p = raw(person.alias);
  return sql`EXISTS (SELECT 1 FROM person ${p} WHERE ${p}.id = ${raw(scope.alias)}.owner AND ${p}.entry IS NOT NULL AND ${condition(of, person, words)})`;
}

type Via = Predicate & { readonly op: 'via' };

/**
 * Alternatives that step along the same parameter, taken together: each resource named is looked up once, however many types it
 * may be of. An AuditEvent asks this of every type there is (D8).
 */
function gathered(alternatives: readonly Predicate[]): readonly (Predicate | [Via, ...Via[]])[] {
  const steps = new Map<string, [Via, ...Via[]]>();
  const apart: Predicate[] = [];
  for (const q of alternatives) {
    if (q.op !== 'via') {
      apart.push(q);
      continue;
    }
    const same = steps.get(q.param);
    if (same === undefined) steps.set(q.param, [q]);
    else same.push(q);
  }
  return [...apart, ...steps.values()];
}

/** A step along one parameter, to a resource that satisfies one of the hops. */
function viaCondition([p, ...others]: readonly [Via, ...Via[]], scope: Scope, words: Words): Sql {
  if (scope.kind === 'space') return FALSE;
  const target = (type: string) => resourceScope(type, scope.depth + 1);
  const [row, t] = [raw(scope.alias), raw(target(p.hop.type).alias)];
  const there = joined(
    [p, ...others].map(({ hop }) => reached(hop, target(hop.type), words)),
    'OR',
  );
  if (p.param === '_owner') {
    return sql`EXISTS (SELECT 1 FROM person o CROSS JOIN resource ${t} WHERE o.id = ${row}.owner AND ${t}.self = o.self AND ${there})`;
  }
  const param = words.findName(paramName(scope.type, p.param));
  if (param === undefined) return FALSE;
  return sql`EXISTS (SELECT 1 FROM link l CROSS JOIN resource ${t} WHERE l.rid = ${row}.rid AND l.param = ${param} AND ${t}.self = l.target AND ${there})`;
}

function fromCondition(p: Predicate & { readonly op: 'from' }, scope: Scope, words: Words): Sql {
  if (scope.kind === 'space') return FALSE;
  const source = resourceScope(p.hop.type, scope.depth + 1);
  const [row, s] = [raw(scope.alias), raw(source.alias)];
  const there = reached(p.hop, source, words);
  if (p.param === '_owner') {
    const type = words.findName(p.hop.type);
    if (type === undefined) return FALSE;
    return sql`EXISTS (SELECT 1 FROM person o CROSS JOIN resource ${s} WHERE o.self = ${row}.self AND ${s}.type = ${type} AND ${s}.owner = o.id AND ${there})`;
  }
  const param = words.findName(paramName(p.hop.type, p.param));
  if (param === undefined) return FALSE;
  return sql`EXISTS (SELECT 1 FROM link l INDEXED BY link_target CROSS JOIN resource ${s} WHERE l.target = ${row}.self AND l.param = ${param} AND ${s}.rid = l.rid AND ${there})`;
}

/** What a hop asks of the resource at its end: the type, its existence, and the hop's predicate with the guard inside. */
export function reached(hop: Hop, end: Scope, words: Words): Sql {
  const type = words.findName(hop.type);
  if (type === undefined) return FALSE;
  const row = raw(end.alias);
  return joined(
    [sql`+${row}.type = ${type}`, ...(hop.deleted ? [] : [sql`${row}.deleted = 0`]), condition(hop.where, end, words)],
    'AND',
  );
}

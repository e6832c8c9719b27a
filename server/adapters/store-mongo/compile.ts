/**
 * Predicate → stages of an aggregation. What a document says itself becomes a filter; a step to another document becomes a `$lookup`
 * whose result the filter asks about. Conditions on sealed text were decided before (`resolve.ts`). `query/matches.ts` is the definition; the agreement test holds this file to it.
 */
import type { Document } from 'mongodb';
import { termText } from '../../fhir/index-entry.ts';
import { unreachable } from '../../fhir/types.ts';
import { ALL, and, type Bound, not, or, type Predicate } from '../../query/predicate.ts';
import { COLUMN_RANGE } from '../store-sqlite/facets.ts';
import type { Hashes } from './facets.ts';

/** The document a condition speaks about: one of `current`, of this type, or one of `space`. */
export type Scope = { readonly kind: 'resource'; readonly type: string } | { readonly kind: 'space' };
export const SPACE: Scope = { kind: 'space' };
export const resourceScope = (type: string): Scope => ({ kind: 'resource', type });

const typeOf = (scope: Scope): string => (scope.kind === 'resource' ? scope.type : '');

const TRUE: Document = {};
/** No document is without an id. */
const FALSE: Document = { _id: null };

/** The steps to other documents that a filter asks about, in the order they must be taken. */
type Steps = { readonly stages: Document[]; readonly known: Map<Predicate, Document>; space: boolean };

/** Stages that leave the documents of `scope` for which `p` holds. */
export function stagesOf(p: Predicate, scope: Scope, hashes: Hashes): readonly Document[] {
  const where = simplified(p);
  const first = filterOf(necessary(where), scope, { hashes, steps: undefined });
  if (isLocal(where)) return first === TRUE ? [] : [{ $match: first }];
  const steps: Steps = { stages: [], known: new Map(), space: false };
  const whole = filterOf(where, scope, { hashes, steps });
  return [...(first === TRUE ? [] : [{ $match: first }]), ...steps.stages, { $match: whole }];
}

/** A filter for a predicate without steps. */
export const localFilter = (p: Predicate, scope: Scope, hashes: Hashes): Document =>
  filterOf(simplified(p), scope, { hashes, steps: undefined });

/** Whether a predicate makes no step to another document. */
export function isLocal(p: Predicate): boolean {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.every(isLocal);
    case 'not':
      return isLocal(p.of);
    case 'owner':
    case 'via':
    case 'from':
      return false;
    default:
      return true;
  }
}

/** The same question without needless nesting: a filter may be nested a hundred deep and no more. */
export function simplified(p: Predicate): Predicate {
  switch (p.op) {
    case 'and':
      return and(...p.of.map(simplified));
    case 'or':
      return or(...p.of.map(simplified));
    case 'not':
      return not(simplified(p.of));
    default:
      return p;
  }
}

/** What must hold of the document itself where `p` holds. */
export function necessary(p: Predicate): Predicate {
  switch (p.op) {
    case 'and':
      return and(...p.of.map(necessary));
    case 'or':
      return or(...p.of.map(necessary));
    case 'not':
      return isLocal(p.of) ? p : ALL;
    case 'owner':
    case 'via':
    case 'from':
      return ALL;
    default:
      return p;
  }
}

type At = { readonly hashes: Hashes; readonly steps: Steps | undefined };

function filterOf(p: Predicate, scope: Scope, at: At): Document {
  switch (p.op) {
    case 'all':
      return TRUE;
    case 'none':
      return FALSE;
    case 'and':
      return p.of.length === 0 ? TRUE : { $and: p.of.map((q) => filterOf(q, scope, at)) };
    case 'or':
      return anyOf(p.of, scope, at);
    case 'not':
      return { $nor: [filterOf(p.of, scope, at)] };
    case 'term':
      return termFilter(p.param, p.value, { scope, hashes: at.hashes });
    case 'prefix':
    case 'contains':
      throw new Error('the database was asked about sealed text');
    case 'range':
      return rangeFilter(p, { scope, hashes: at.hashes });
    case 'owner':
    case 'via':
    case 'from':
      return stepFilter(p, scope, at);
    default:
      return unreachable(p);
  }
}

/** Alternatives; those that are hashed terms, ids or owners become one list, which one walk along the index answers. */
function anyOf(of: readonly Predicate[], scope: Scope, at: At): Document {
  const listed = new Map<string, unknown[]>();
  const others: Document[] = [];
  for (const q of of) {
    const filter = filterOf(q, scope, at);
    const [field] = Object.entries(filter);
    if (q.op !== 'term' || field === undefined) others.push(filter);
    else listed.get(field[0])?.push(field[1]) ?? listed.set(field[0], [field[1]]);
  }
  for (const [name, values] of listed) others.push({ [name]: { $in: values } });
  const [only] = others;
  if (only === undefined) return FALSE;
  return others.length === 1 ? only : { $or: others };
}

function termFilter(param: string, value: string, at: { readonly scope: Scope; readonly hashes: Hashes }): Document {
  if (at.scope.kind === 'resource' && param === '_id') return { id: value };
  if (at.scope.kind === 'resource' && param === '_owner') return { owner: value };
  return { terms: at.hashes.term(typeOf(at.scope), termText(param, value)) };
}

const COMPARISON: Readonly<Record<Bound[0], string>> = { '<': '$lt', '<=': '$lte', '>': '$gt', '>=': '$gte' };

const compared = (field: string, bound: Bound | undefined, shift: number): Document =>
  bound === undefined ? {} : { [field]: { [COMPARISON[bound[0]]]: bound[1] - shift } };

function rangeFilter(
  p: Predicate & { readonly op: 'range' },
  { scope, hashes }: { readonly scope: Scope; readonly hashes: Hashes },
): Document {
  if (scope.kind === 'resource' && p.param === COLUMN_RANGE) {
    // One millisecond, half-open.
    return { $and: [compared('updated', p.lo, 0), compared('updated', p.hi, 1)] };
  }
  const named = { p: hashes.param(typeOf(scope), p.param) };
  return { ranges: { $elemMatch: { ...named, ...compared('lo', p.lo, 0), ...compared('hi', p.hi, 0) } } };
}

type Step = Predicate & { readonly op: 'owner' | 'via' | 'from' };

function stepFilter(p: Step, scope: Scope, at: At): Document {
  const { steps } = at;
  if (steps === undefined) throw new Error('a step to another document was asked of one document');
  // A space entry is owned by nobody, and names nobody.
  if (scope.kind === 'space') return FALSE;
  if (p.op === 'owner') return ownerFilter(p.of, at.hashes, steps);
  const known = steps.known.get(p);
  if (known !== undefined) return known;
  const field = `_step${steps.known.size}`;
  steps.stages.push({ $lookup: { from: 'current', as: field, ...join(p, at.hashes) } });
  const filter = { [`${field}.0`]: { $exists: true } };
  steps.known.set(p, filter);
  return filter;
}

/** The owner's space is fetched once, whatever is asked of it. */
function ownerFilter(of: Predicate, hashes: Hashes, steps: Steps): Document {
  if (!steps.space) {
    steps.space = true;
    steps.stages.push({
      $lookup: {
        from: 'space',
        localField: 'owner',
        foreignField: '_id',
        as: '_space',
        pipeline: [{ $match: { entry: { $ne: null } } }, { $project: { terms: 1, ranges: 1 } }],
      },
    });
  }
  if (of.op === 'all') return { '_space.0': { $exists: true } };
  return { _space: { $elemMatch: filterOf(of, SPACE, { hashes, steps }) } };
}

/** From a row along one reference to the resources for which the hop's predicate holds; one is enough. */
function join(p: Step & { readonly op: 'via' | 'from' }, hashes: Hashes): Document {
  const { hop } = p;
  const there = (named: Document): readonly Document[] => [
    { $match: { type: hop.type, ...(hop.deleted ? {} : { deleted: false }), ...named } },
    ...stagesOf(hop.where, resourceScope(hop.type), hashes),
    { $limit: 1 },
    { $project: { _id: 1 } },
  ];
  if (p.param === '_owner') {
    return p.op === 'via'
      ? { localField: 'owner', foreignField: '_id', pipeline: there({}) }
      : { localField: '_id', foreignField: 'owner', pipeline: there({}) };
  }
  const named = (target: string, links: string): Document => ({
    $expr: { $in: [{ p: { $literal: p.param }, t: target }, links] },
  });
  return p.op === 'via'
    ? {
        localField: 'links.t',
        foreignField: 'self',
        let: { links: '$links' },
        pipeline: there(named('$self', '$$links')),
      }
    : {
        localField: 'self',
        foreignField: 'links.t',
        let: { self: '$self' },
        pipeline: there(named('$$self', '$links')),
      };
}

/**
 * What must hold of the owner's space where `p` holds; `all` when nothing must. Searches that name nobody start from the spaces for which
 * this holds.
 */
export function spaceCondition(p: Predicate): Predicate {
  switch (p.op) {
    case 'and':
      return and(...p.of.map(spaceCondition));
    case 'or':
      return or(...p.of.map(spaceCondition));
    case 'owner':
      return simplified(p.of);
    case 'none':
      return p;
    default:
      return ALL;
  }
}

/** Whether an index can answer `p` on a space: some term of a list must be there. */
export function startsSomewhere(p: Predicate): boolean {
  switch (p.op) {
    case 'term':
    case 'none':
      return true;
    case 'and':
      return p.of.some(startsSomewhere);
    case 'or':
      return p.of.every(startsSomewhere);
    default:
      return false;
  }
}

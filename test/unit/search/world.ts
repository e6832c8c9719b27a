import type { IndexEntry } from '../../../server/fhir/index-entry.ts';
import { indexResource } from '../../../server/fhir/index-resource.ts';
import type { Failure } from '../../../server/fhir/result.ts';
import { registryFor, type SearchRegistry } from '../../../server/fhir/search-parameter.ts';
import type { Resource } from '../../../server/fhir/types.ts';
import { type Lowering, lowerAll } from '../../../server/query/lower.ts';
import { type Linked, type Links, matches } from '../../../server/query/matches.ts';
import { type Parameters, parseSearch } from '../../../server/query/parse.ts';
import type { Guard } from '../../../server/query/plan.ts';
import { not, or, term } from '../../../server/query/predicate.ts';
import type { SearchQuery } from '../../../server/query/search-query.ts';
import { definitions } from './definitions.ts';

export const BASE = 'https://carnet.example/fhir';
export const NOW = Date.parse('2026-06-15T12:00:00Z');

export const TYPES = [
  'Patient',
  'RelatedPerson',
  'Practitioner',
  'PractitionerRole',
  'Organization',
  'HealthcareService',
  'Location',
  'CareTeam',
  'DocumentReference',
  'Binary',
  'List',
  'Consent',
  'AuditEvent',
  'Communication',
  'Appointment',
  'Provenance',
  'Observation',
  'RiskAssessment',
  'ValueSet',
  'Library',
];
export const registry: SearchRegistry = registryFor({ definitions, types: TYPES, omit: [] });

export type World = {
  readonly resources: readonly Resource[];
  /** `Type/id` of what is hidden from the reader. */
  readonly hidden?: readonly string[];
  readonly deleted?: readonly string[];
  readonly bySight?: readonly string[];
};

/** The entry of a resource with what a store adds. */
export function entryOf(resource: Resource): IndexEntry {
  const entry = indexResource(registry, resource, { baseUrl: BASE });
  const lastUpdated = (resource.meta as { lastUpdated?: string } | undefined)?.lastUpdated;
  const at =
    lastUpdated === undefined
      ? []
      : [{ param: '_lastUpdated', lo: Date.parse(lastUpdated), hi: Date.parse(lastUpdated) + 1 }];
  return {
    ...entry,
    terms: [...entry.terms, `_id=${resource.id}`],
    ranges: [...entry.ranges, ...at],
  };
}

/** A guard that hides resources by id, as a decision would. */
export const guardOf =
  (world: World) =>
  (type: string): Guard => {
    const hidden = (world.hidden ?? []).filter((ref) => ref.startsWith(`${type}/`));
    const residual = not(or(...hidden.map((ref) => term('_id', ref.slice(type.length + 1)))));
    return { type, residual } as unknown as Guard;
  };

export const sightOf =
  (world: World) =>
  (type: string, param: string): boolean =>
    (world.bySight ?? []).includes(`${type}.${param}`);

export const loweringOf = (world: World): Lowering => ({
  guardOf: guardOf(world),
  types: TYPES,
  bySight: sightOf(world),
  now: NOW,
});

/** `a=1&b=2`, decoded by the usual rules of a URL. */
export const parametersOf = (query: string): Parameters => [...new URLSearchParams(query)];

export const parse = (type: string, query: string, options: { lenient?: boolean; world?: World } = {}) =>
  parseSearch(parametersOf(query), {
    registry,
    type,
    baseUrl: BASE,
    lenient: options.lenient === true,
    bySight: sightOf(options.world ?? { resources: [] }),
  });

export function parsed(type: string, query: string): SearchQuery {
  const result = parse(type, query);
  if (!result.ok) throw new Error(`${query}: ${JSON.stringify(result.failure)}`);
  return result.value;
}

/** The texts of the faults of a refused search. */
export function faults(
  type: string,
  query: string,
  options: { lenient?: boolean; world?: World } = {},
): readonly string[] {
  const result = parse(type, query, options);
  if (result.ok) return [];
  const failure: Failure = result.failure;
  return failure.code === 'malformed' ? failure.faults.map((f) => f.text) : [failure.code];
}

/** The ids that a search finds, by the meaning of predicates. */
export function find(world: World, type: string, query: string): readonly string[] {
  const where = lowerAll(parsed(type, query).filters, loweringOf(world));
  const all = new Map<string, { resource: Resource; linked: Linked }>();
  for (const resource of world.resources) {
    const key = `${resource.resourceType}/${resource.id}`;
    const entry = entryOf(resource);
    const links: Links = {
      space: undefined,
      via: (param, to) =>
        entry.terms
          .filter((t) => t.startsWith(`${param}=${to}/`))
          .map((t) => all.get(t.slice(param.length + 1))?.linked)
          .filter((l) => l !== undefined),
      from: (param, source) =>
        [...all.values()]
          .filter((o) => o.resource.resourceType === source && o.linked.entry.terms.includes(`${param}=${key}`))
          .map((o) => o.linked),
    };
    all.set(key, { resource, linked: { entry, deleted: (world.deleted ?? []).includes(key), links } });
  }
  return [...all.values()]
    .filter(
      ({ resource, linked }) =>
        resource.resourceType === type && !linked.deleted && matches(where, linked.entry, linked.links),
    )
    .map(({ resource }) => resource.id ?? '');
}

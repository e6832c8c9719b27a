/** https://hl7.org/fhir/R4/search.html: search by type, in a compartment, and the matching of conditional interactions. */
import { type Access, isTraitsOnly } from '../../access/access.ts';
import { PROFILE_TYPES } from '../../access/rules/profile.ts';
import { INS_SYSTEMS } from '../../fhir/canonical.ts';
import { outcomeWarnings } from '../../fhir/outcome.ts';
import { fail, malformed, ok, type Result } from '../../fhir/result.ts';
import { newSink, systemAndCode } from '../../fhir/search-value.ts';
import type { Ref } from '../../fhir/types.ts';
import type { Page, Version } from '../../ports/store.ts';
import { type Lowering, lowerAll } from '../../query/lower.ts';
import { parseSearch } from '../../query/parse.ts';
import { type Guard, guarded, hop } from '../../query/plan.ts';
import { ALL, and, or, type Predicate, term } from '../../query/predicate.ts';
import { type Filter, type Include, MAX_COUNT, type SearchQuery } from '../../query/search-query.ts';
import { type Answer, preferenceOf } from '../answer.ts';
import type { Deps } from '../deps.ts';
import type { FhirRequest } from '../request.ts';
import { everyMatch, itemHolds, keyOf, parsed, type Work } from '../work.ts';
import { bundleText } from './bundle-text.ts';
import { projectionFor } from './projection.ts';
import { bodyFor, inScope } from './read.ts';

type Parameters = readonly (readonly [name: string, value: string])[];

const bySight =
  (deps: Deps) =>
  (type: string, param: string): boolean =>
    deps.declarations.get(type)?.bySight.includes(param) === true;

const lowering = (work: Work, guardOf: (type: string) => Guard): Lowering => ({
  guardOf,
  types: [...work.deps.declarations.keys()],
  bySight: bySight(work.deps),
  now: work.now,
});

/** Chains, reverse chains and includes look with the search permission of each type they reach. */
const searchGuard =
  (access: Access) =>
  (type: string): Guard =>
    access.guard(type, 's');

export function parseFor(work: Work, type: string, parameters: Parameters, lenient: boolean): Result<SearchQuery> {
  return parseSearch(parameters, {
    registry: work.deps.registry,
    type,
    baseUrl: work.deps.baseUrl,
    lenient,
    bySight: bySight(work.deps),
  });
}

/** Every filter, those that stand behind a step included. */
const everyFilter = (filters: readonly Filter[]): readonly Filter[] =>
  filters.flatMap((f) => {
    if (f.kind === 'match') return [f];
    if (f.kind === 'has') return [f, ...everyFilter([f.filter])];
    return [
      f,
      ...everyFilter([...f.targets.map((t) => t.filter), ...(f.contained === undefined ? [] : [f.contained])]),
    ];
  });

/** Persons whom a search names in its parameters, behind whatever step: an empty answer about them is still an access (O1). */
const namedPersons = (filters: readonly Filter[]): readonly Ref[] =>
  everyFilter(filters).flatMap((f) =>
    f.kind === 'match'
      ? f.values.flatMap((v): readonly Ref[] => {
          if (v.kind === 'local') return v.refs.filter((r) => r.startsWith('Patient/'));
          const id = f.type === 'Patient' && f.param === '_id' && v.kind === 'token' ? (v.code ?? '') : '';
          return /^[A-Za-z0-9.-]{1,64}$/.test(id) ? [`Patient/${id}`] : [];
        })
      : [],
  );

/** Each person whom a search names has a record of it. */
const MAX_PERSONS = 200;

/** `identifier=system|value` of a Patient with one of the INS systems: what names a person as exactly as an id. */
const insOf = (filter: Filter): readonly Predicate[] =>
  filter.kind === 'match' && filter.type === 'Patient' && filter.param === 'identifier' && filter.modifier === undefined
    ? filter.values.flatMap((v) =>
        v.kind === 'token' && v.code !== undefined && INS_SYSTEMS.includes(v.system ?? '')
          ? [term('identifier', systemAndCode(v.system ?? '', v.code))]
          : [],
      )
    : [];

/** `patient.identifier=system|value`, as MHD asks: the INS that names the person whom a search is about. */
const insNamed = (filter: Filter): readonly Predicate[] =>
  filter.kind === 'chain' && PERSON_PARAMETERS.includes(filter.param)
    ? filter.targets.flatMap((target) => insOf(target.filter))
    : [];

/** Parameters that name whom a resource is about. */
const PERSON_PARAMETERS: readonly string[] = ['patient', 'subject'];

type PersonsAsked = {
  readonly references: ReadonlySet<Ref>;
  /** Persons of the register. An INS is of one person (W13), so it is the name of one. */
  readonly byIns: readonly Ref[];
  /** How many INS were asked for, of somebody or not. */
  readonly ins: number;
};

/** Whom the filters name, by whatever name. */
async function personsAsked(work: Work, filters: readonly Filter[]): Promise<Result<PersonsAsked>> {
  const references = new Set(namedPersons(filters));
  const terms = everyFilter(filters).flatMap(insOf);
  if (references.size + terms.length > MAX_PERSONS) return malformed('the search names too many persons');
  const byIns: Ref[] = [];
  for (const where of terms) {
    for (const person of await everyMatch(work, 'Patient', [where])) byIns.push(`Patient/${person.id}`);
  }
  return ok({ references, byIns, ins: terms.length });
}

/**
 * D9, of a search of any type: a step back to Patient (`Practitioner?_has:Patient:general-practitioner:family=…`, or `_revinclude`) lists persons by
 * what is said of them. Only the person's own side, who sees one, asks so.
 */
function listsNobody({ caller }: Work, { filters, revincludes }: SearchQuery): Result<void> {
  const listing =
    everyFilter(filters).some((f) => f.kind === 'has' && f.source === 'Patient') ||
    revincludes.some((r) => r.source === 'Patient');
  if (!listing || caller.kind === 'patient' || caller.kind === 'representative') return ok(undefined);
  return fail({ code: 'forbidden', rule: 'D9', text: 'persons are not listed by what names them' });
}

/**
 * D9: who may search Patient, and how; decided before data is looked at. The holder's side asks anything (S1 and C7 empty it); the others by
 * `_id` or by exact INS; an `ETREAT` token by traits.
 */
function patientSearchAllowed(work: Work, query: SearchQuery): Result<void> {
  const { caller } = work;
  if (caller.kind === 'patient' || caller.kind === 'representative') return ok(undefined);
  const exact = query.filters.some(
    (f) =>
      f.kind === 'match' &&
      f.modifier === undefined &&
      ((f.param === '_id' && f.values.length > 0) ||
        (f.param === 'identifier' &&
          f.values.every(
            (v) =>
              v.kind === 'token' &&
              v.system !== undefined &&
              INS_SYSTEMS.includes(v.system) &&
              v.code !== undefined &&
              v.code !== '',
          ))),
  );
  if (exact && !isTraitsOnly(caller)) return ok(undefined);
  if (caller.kind === 'professional' && caller.purpose === 'ETREAT' && byTraits(query.filters)) return ok(undefined);
  return fail({
    code: 'forbidden',
    rule: 'D9',
    text: 'a person is searched by `_id` or by exact INS (`identifier=system|value`)',
  });
}

/** At least the family name and the birth date, each as one value and not as a pattern or a list of guesses. */
function byTraits(filters: readonly Filter[]): boolean {
  const plain = (param: string) =>
    filters.some(
      (f) =>
        f.kind === 'match' &&
        f.param === param &&
        (f.modifier === undefined || f.modifier === 'exact') &&
        f.values.length === 1 &&
        f.values.every((v) => v.kind !== 'date' || (v.prefix === 'eq' && v.hi - v.lo <= 25 * 3_600_000)),
    );
  return plain('family') && plain('birthdate');
}

/** A search that shows nothing of persons still says about whom it asked. */
export async function search(
  work: Work,
  request: FhirRequest,
  target: { readonly type: string; readonly person?: Ref },
): Promise<Result<Answer>> {
  const { type, person } = target;
  const scope = inScope(work, 's', type);
  if (!scope.ok) return scope;
  if (isTraitsOnly(work.caller) && type !== 'Patient') {
    return fail({ code: 'forbidden', rule: 'C5', text: 'this token opens the search by traits and nothing else' });
  }
  if (!work.access.hasRow(type)) {
    return fail({
      code: 'forbidden',
      rule: work.deps.declarations.get(type)?.row ?? 'D1',
      text: `this kind of caller does not search ${type}`,
    });
  }
  work.asked.add(type);
  const parsed = parseFor(work, type, request.query, preferenceOf(request).lenient);
  if (!parsed.ok) return parsed;
  const query = parsed.value;
  const listing = listsNobody(work, query);
  if (!listing.ok) return listing;
  if (type === 'Patient' && person === undefined) {
    const allowed = patientSearchAllowed(work, query);
    if (!allowed.ok) return allowed;
  }
  if (person !== undefined) {
    const found = await work.unit.read(keyOf(person), work.access.visible('Patient'));
    if (found === undefined || found.deleted) return fail({ code: 'not-found' });
  }
  const asked = await personsAsked(work, query.filters);
  if (!asked.ok) return asked;
  const { references, byIns } = asked.value;
  for (const named of [...(person === undefined ? [] : [person]), ...references, ...byIns]) {
    // Only a person of the register: an event about nobody who exists has no one to be shown to.
    if (await itemHolds(work, keyOf(named), ALL)) work.persons.add(named);
  }
  if (work.caller.person !== undefined && (await itemHolds(work, keyOf(work.caller.person), ALL))) {
    work.persons.add(work.caller.person);
  }
  // Told to the store, an only person named by INS spares it everybody else's; it narrows nothing that the chain does not.
  const [only, ...others] = byIns;
  const about = person ?? (others.length === 0 && asked.value.ins === 1 && namesOneIns(query) ? only : undefined);
  return answerSearch(work, request, { type, query, within: about === undefined ? ALL : term('_owner', about) });
}

type Asked = { readonly type: string; readonly query: SearchQuery; readonly within: Predicate };

async function answerSearch(work: Work, request: FhirRequest, { type, query, within }: Asked): Promise<Result<Answer>> {
  const context = cursorContext(work, request, query);
  const after = openCursor(work, query, context);
  if (!after.ok) return after;
  const about = and(within, ownerOfNamed(query));
  const where = and(about, lowerAll(query.filters, lowering(work, searchGuard(work.access))));
  const counting = query.summary === 'count';
  const ofOnePerson = about.op !== 'all' || work.caller.person !== undefined;
  // What is counted of persons whom the search does not name is told to them as what is shown is (O1).
  const told = counting && !ofOnePerson && work.deps.declarations.get(type)?.about === 'person';
  // Who reads no medical content learns nothing of anybody from a count of more than a page.
  const isStatistic = ({ more }: Page): boolean =>
    counting && more && (work.caller.kind === 'operator' || work.caller.kind === 'insurer');
  const page = await work.unit.search(
    guarded(
      {
        type,
        where,
        sort: query.sort,
        limit: told ? MAX_COUNT : counting ? 0 : query.count,
        ...(after.value === undefined ? {} : { after: after.value }),
        total: counting || query.total === 'accurate' || query.total === 'estimate',
      },
      work.access.guard(type, 's'),
    ),
  );
  const project = projectionFor(work.deps.summaries, type, query);
  const entries: string[] = [];
  for (const match of page.matches) {
    if (!isStatistic(page)) work.traces.push({ owner: match.owner, item: `${type}/${match.id}` });
    if (!counting) entries.push(entryText(work, match, project(await bodyFor(work, match)), 'match'));
  }
  const matched = new Set(page.matches.map((m) => `${type}/${m.id}`));
  for (const included of counting ? [] : await includes(work, query, page.matches, matched)) {
    work.traces.push({ owner: included.owner, item: `${included.type}/${included.id}` });
    const shape = projectionFor(work.deps.summaries, included.type, query);
    entries.push(entryText(work, included, shape(await bodyFor(work, included)), 'include'));
  }
  if (query.dropped.length > 0) {
    const faults = query.dropped.map((name) => ({
      text: `the parameter \`${name}\` was ignored`,
      code: 'not-supported',
    }));
    entries.push(`{"resource":${JSON.stringify(outcomeWarnings(faults))},"search":{"mode":"outcome"}}`);
  }
  const path = `${work.deps.baseUrl}/${request.path.filter((s) => s !== '_search').join('/')}`;
  const last = page.matches.at(-1);
  const next =
    page.more && last !== undefined && !counting
      ? link(path, [
          ...query.used,
          ['_cursor', work.deps.cursors.seal(JSON.stringify([work.now, last.position]), context)],
        ])
      : undefined;
  const whole = query.cursor === undefined && !page.more && !counting ? page.matches.length : undefined;
  const total = query.total === 'none' ? undefined : (page.total ?? whole);
  return ok({
    status: 200,
    body: bundleText({ type: 'searchset', total, self: link(path, query.used), next, entries }),
  });
}

const link = (path: string, parameters: Parameters): string =>
  parameters.length === 0
    ? path
    : `${path}?${parameters.map(([n, v]) => `${encodeURIComponent(n)}=${encodeURIComponent(v)}`).join('&')}`;

const entryText = (work: Work, version: Version, body: string, mode: 'match' | 'include'): string =>
  `{"fullUrl":${JSON.stringify(`${work.deps.baseUrl}/${version.type}/${version.id}`)},"resource":${body},"search":{"mode":"${mode}"}}`;

/** A `patient=Patient/x` says who owns what is found: told to the store, it need not weigh anybody else's rights. */
function ownerOfNamed(query: SearchQuery): Predicate {
  for (const filter of query.filters) {
    if (filter.kind !== 'match' || filter.param !== 'patient' || filter.modifier !== undefined) continue;
    const [value] = filter.values;
    const owned = OWNER_BY_PATIENT.includes(query.type);
    if (owned && filter.values.length === 1 && value?.kind === 'local' && value.refs.length === 1) {
      return term('_owner', value.refs[0] ?? '');
    }
  }
  return ALL;
}

/** Whether a search of a type whose owner its `patient` names has exactly one INS in it, as its only value. */
const namesOneIns = (query: SearchQuery): boolean =>
  OWNER_BY_PATIENT.includes(query.type) &&
  query.filters.flatMap(insNamed).length === 1 &&
  query.filters.some((f) => insNamed(f).length === 1 && f.kind === 'chain' && onlyValue(f));

const onlyValue = (chain: Extract<Filter, { readonly kind: 'chain' }>): boolean =>
  chain.targets.length === 1 && chain.targets.every((t) => t.filter.kind === 'match' && t.filter.values.length === 1);

/** Types whose owner is exactly whom their `patient` parameter names. */
const OWNER_BY_PATIENT: readonly string[] = [
  'DocumentReference',
  'List',
  'Consent',
  'CareTeam',
  'RelatedPerson',
  'Communication',
  'Appointment',
  'Task',
  'Immunization',
  'ExplanationOfBenefit',
  'Coverage',
  ...PROFILE_TYPES,
];

/** A cursor is a bookmark of this caller for this question; it permits nothing, every page is decided anew (O3). */
const cursorContext = (work: Work, request: FhirRequest, query: SearchQuery): string =>
  JSON.stringify([
    work.caller.self ?? work.caller.kind,
    work.caller.structure ?? '',
    work.caller.person ?? '',
    work.caller.claims.clientId,
    request.path.filter((s) => s !== '_search'),
    query.used,
  ]);

/** A bookmark is good for a quarter of an hour. */
const CURSOR_LIFE = 15 * 60_000;

function openCursor(
  work: Work,
  query: SearchQuery,
  context: string,
): Result<readonly (string | number | null)[] | undefined> {
  if (query.cursor === undefined) return ok(undefined);
  const opened = work.deps.cursors.open(query.cursor, context);
  const refused = malformed('the cursor is not one of this search, or is too old', '_cursor');
  if (opened === undefined) return refused;
  // INVARIANT: what the seal opens was written by `answerSearch`.
  const [at, position] = JSON.parse(opened) as [number, (string | number | null)[]];
  return work.now - at <= CURSOR_LIFE ? ok(position) : refused;
}

const MAX_INCLUDED = 1000;
const MAX_ROUNDS = 4;

/** `_include` and `_revinclude`, each a further guarded plan; `:iterate` goes on from what was included, a bounded number of times. */
async function includes(
  work: Work,
  query: SearchQuery,
  matches: readonly Version[],
  seen: Set<string>,
): Promise<readonly Version[]> {
  const found: Version[] = [];
  let frontier: readonly Version[] = matches;
  for (let round = 0; round < MAX_ROUNDS && frontier.length > 0; round += 1) {
    const fresh: Version[] = [];
    const keep = (version: Version): void => {
      const ref = `${version.type}/${version.id}`;
      if (seen.has(ref) || seen.size >= MAX_INCLUDED) return;
      seen.add(ref);
      fresh.push(version);
    };
    for (const include of query.includes) {
      if (round > 0 && !include.iterate) continue;
      for (const version of await included(work, include, frontier)) keep(version);
    }
    for (const include of query.revincludes) {
      if (round > 0 && !include.iterate) continue;
      for (const version of await revincluded(work, include, frontier)) keep(version);
    }
    found.push(...fresh);
    frontier = fresh;
  }
  return found;
}

/** The resources that a page's resources name in a parameter: read from the resources as the index reads them, looked up as the caller sees each type. */
async function included(work: Work, include: Include, from: readonly Version[]): Promise<readonly Version[]> {
  const sources = from.filter((v) => v.type === include.source);
  const parameter = work.deps.registry.parameters.get(include.source)?.get(include.param);
  if (sources.length === 0 || parameter === undefined) return [];
  const named = new Map<string, Set<string>>();
  for (const source of sources) {
    const sink = newSink(work.deps.baseUrl);
    const resource = parsed(source);
    parameter.index(resource, resource, sink);
    for (const term of sink.terms) {
      const { type, id } = keyOf(term.slice(include.param.length + 1));
      if (!parameter.targets.includes(type) || (include.target !== undefined && include.target !== type)) continue;
      named.set(type, (named.get(type) ?? new Set()).add(id));
    }
  }
  const found: Version[] = [];
  for (const target of work.deps.declarations.keys()) {
    for (const ids of inPieces([...(named.get(target) ?? [])])) {
      const where = or(...ids.map((id) => term('_id', id)));
      const plan = { type: target, where, sort: [], limit: MAX_INCLUDED, total: false };
      found.push(...(await work.unit.search(guarded(plan, work.access.guard(target, 's')))).matches);
      if (found.length >= MAX_INCLUDED) return found;
    }
  }
  return found;
}

/** So many alternatives are one question: a store starts at each of them, rather than walk over the type. */
const PIECE = 200;

const inPieces = <T>(all: readonly T[]): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(all.length / PIECE) }, (_, i) => all.slice(i * PIECE, (i + 1) * PIECE));

/** The resources that name a page's resources in a parameter. */
async function revincluded(work: Work, include: Include, from: readonly Version[]): Promise<readonly Version[]> {
  const named = from.filter((v) => include.target === undefined || v.type === include.target);
  if (named.length === 0 || !work.deps.declarations.has(include.source)) return [];
  const found: Version[] = [];
  for (const piece of inPieces(named)) {
    const where = bySight(work.deps)(include.source, include.param)
      ? or(...[...new Set(piece.map((v) => v.type))].map((type) => namesOneOf(work, include.param, type, piece)))
      : or(...piece.map((v) => term(include.param, `${v.type}/${v.id}`)));
    const plan = { type: include.source, where, sort: [], limit: MAX_INCLUDED, total: false };
    found.push(...(await work.unit.search(guarded(plan, work.access.guard(include.source, 's')))).matches);
    if (found.length >= MAX_INCLUDED) break;
  }
  return found;
}

/** By sight of what is named (D8): one step for each type, whatever the number of resources. */
const namesOneOf = (work: Work, param: string, type: string, named: readonly Version[]): Predicate => ({
  op: 'via',
  param,
  hop: hop(work.access.guard(type, 's'), or(...named.filter((v) => v.type === type).map((v) => term('_id', v.id))), {
    deleted: false,
  }),
});

/**
 * The matches of a conditional interaction: at most two, inside what the caller can see, and only with a scope that lets them search.
 */
export async function conditionalMatches(
  work: Work,
  type: string,
  parameters: Parameters,
): Promise<Result<readonly Version[]>> {
  const scope = inScope(work, 's', type);
  if (!scope.ok) return scope;
  const parsed = parseFor(work, type, parameters, false);
  if (!parsed.ok) return parsed;
  if (parsed.value.filters.length === 0) return malformed('a condition needs at least one search parameter');
  const listing = listsNobody(work, parsed.value);
  if (!listing.ok) return listing;
  if (type === 'Patient') {
    const allowed = patientSearchAllowed(work, parsed.value);
    if (!allowed.ok) return allowed;
  }
  const asked = await personsAsked(work, parsed.value.filters);
  if (!asked.ok) return asked;
  for (const person of [...asked.value.references, ...asked.value.byIns]) work.probed.push({ person });
  const page = await work.unit.search(
    guarded(
      {
        type,
        // What a condition steps to is looked at with the scopes of a search, as it would be in one.
        where: and(
          lowerAll(parsed.value.filters, lowering(work, searchGuard(work.access))),
          work.access.scopeLimit('s', type),
        ),
        sort: [],
        limit: 2,
        total: false,
      },
      work.access.visible(type),
    ),
  );
  for (const { owner, id } of page.matches) work.probed.push({ person: owner, item: `${type}/${id}` });
  return ok(page.matches);
}

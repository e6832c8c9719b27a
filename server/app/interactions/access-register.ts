/**
 * `Patient/[id]/$access-register` (docs/explanations.md): the rights of a space in force and past, and who came in, visit by visit. Everything
 * in it is read with the permissions of D7, D8 and D11, so each reader has the register that is theirs. rules.md O4; R1111-43.
 */
import { type Bilingual, ORIGIN_LABELS, type Origin, PURPOSE_LABELS, RIGHT_LABELS } from '../../access/sentences.ts';
import { careTeamMembers, careTeamStructure, denied, readConsent } from '../../access/space.ts';
import { type AuditReading, readEvent } from '../../audit/read-event.ts';
import { EXTENSION } from '../../fhir/canonical.ts';
import { FOREVER, NEVER_BEFORE, readDate } from '../../fhir/interval.ts';
import { asObject, extensionOf } from '../../fhir/json.ts';
import { fail, malformed, ok, type Result } from '../../fhir/result.ts';
import { codeAlone } from '../../fhir/search-value.ts';
import type { Instant, Json, JsonObject, Key, Ref } from '../../fhir/types.ts';
import type { Match, Version } from '../../ports/store.ts';
import { guarded } from '../../query/plan.ts';
import { and, owner, type Predicate, range, term } from '../../query/predicate.ts';
import type { Answer } from '../answer.ts';
import type { FhirRequest } from '../request.ts';
import { forbidden } from '../types/filing.ts';
import { holds, parsed, type Work } from '../work.ts';
import { everySeen, nameOf } from './known-actors.ts';
import {
  code,
  codes,
  count,
  flag,
  group,
  instant,
  type Parameter,
  parametersText,
  readGiven,
  reference,
  sentence,
  url,
} from './parameters.ts';
import { bodyFor, inScope } from './read.ts';

/** Accesses on a page, by default and at most. */
const ACCESSES = 100;
const MOST_ACCESSES = 500;
/** Rights are few; a person with more of them has the newest. */
const MOST_RIGHTS = 1000;
const MOST_VERSIONS = 200;
/** A visit ends when nothing was asked for so long: 30 minutes, in milliseconds. */
const VISIT_GAP = 30 * 60_000;

type Period = { readonly from: Instant; readonly to: Instant };

/** Somebody as the register names them. */
type Named = { readonly reference: Ref; readonly name?: string };

/** Who accessed: without a resource of their own (the host, the server itself) only named, as the event names them. */
type Accessor = Named | { readonly reference?: undefined; readonly name: string };

/** One right: one entry, or one membership of a team, from when it counted until it did not. */
type Right = {
  readonly kind: string;
  readonly label: Bilingual;
  readonly effect: 'permit' | 'deny';
  readonly actor?: Named;
  readonly structure?: Named;
  readonly origin: Origin;
  readonly originLabel: Bilingual;
  /** Absent: always, or without end. */
  readonly since?: string;
  readonly until?: string;
  readonly inForce: boolean;
  /** The Consent or CareTeam that says so. */
  readonly source: Ref;
  /** Accesses of the actor while the right stood, within the period asked for; absent for rights that name nobody. */
  readonly accesses?: number;
  readonly firstAccess?: string;
  readonly lastAccess?: string;
};

/** Accesses of one actor in one place for one purpose, none more than half an hour after the other. */
type Visit = {
  readonly actor?: Accessor;
  readonly structure?: Named;
  readonly purpose?: string;
  readonly purposeLabel?: Bilingual;
  readonly emergency: boolean;
  readonly secret: boolean;
  readonly start: string;
  readonly end: string;
  readonly accesses: number;
  readonly refused: number;
  readonly items: readonly Ref[];
  readonly events: readonly Ref[];
};

/** The register as a page shows it: nothing is left to be looked up. */
export type RegisterPage = {
  readonly person: Named;
  readonly asOf: string;
  readonly from?: string;
  readonly to?: string;
  readonly rights: readonly Right[];
  readonly visits: readonly Visit[];
  /** Types that were not looked at, because no scope of the token covers them. */
  readonly leftOut: readonly string[];
  /** The address of earlier accesses. */
  readonly next?: string;
};

type Asked = Period & {
  readonly view: 'fhir' | 'page';
  readonly count: number;
  readonly cursor: string | undefined;
  /** What was asked for, as a later page asks again. */
  readonly given: readonly (readonly [name: string, value: string])[];
};

/** What a Parameters may state, with the elements that hold it. */
const STATED: Readonly<Record<string, readonly string[]>> = {
  start: ['valueDate', 'valueDateTime', 'valueInstant'],
  end: ['valueDate', 'valueDateTime', 'valueInstant'],
  view: ['valueCode'],
  _count: ['valueInteger', 'valuePositiveInt'],
};

function readAsked(request: FhirRequest): Result<Asked> {
  const query = readGiven(request, STATED);
  if (!query.ok) return query;
  const bound = (name: 'start' | 'end'): Result<Instant | undefined> => {
    const value = query.value.get(name);
    const read = value === undefined ? undefined : readDate(value);
    if (value === undefined) return ok(undefined);
    return read === undefined || read.floating
      ? malformed(`\`${name}\` is a date, or an instant with its offset`, name)
      : ok(name === 'start' ? read.lo : read.hi);
  };
  const from = bound('start');
  if (!from.ok) return from;
  const to = bound('end');
  if (!to.ok) return to;
  const view = query.value.get('view') ?? 'fhir';
  if (view !== 'fhir' && view !== 'page') return malformed('`view` is `fhir` or `page`', 'view');
  const asked = query.value.get('_count');
  if (asked !== undefined && !/^[1-9][0-9]{0,5}$/.test(asked)) return malformed('`_count` is a number', '_count');
  const period = { from: from.value ?? NEVER_BEFORE, to: to.value ?? FOREVER };
  if (period.from >= period.to) return malformed('the period ends before it starts', 'end');
  return ok({
    ...period,
    view,
    count: Math.min(Number(asked ?? ACCESSES), MOST_ACCESSES),
    cursor: query.value.get('_cursor'),
    given: [...query.value].filter(([name]) => name !== '_cursor'),
  });
}

const iso = (at: Instant): string => new Date(at).toISOString();

async function named(work: Work, ref: Ref): Promise<Named> {
  const name = await nameOf(work, ref);
  return { reference: ref, ...(name === undefined ? {} : { name }) };
}

// ---- rights -------------------------------------------------------------------------------------------------------

/** What one version of an entry or a team says, while it was the current one. */
type Stated = {
  readonly key: string;
  readonly effect: 'permit' | 'deny';
  readonly kind: string;
  readonly actor: Ref | undefined;
  readonly structure: Ref | undefined;
  readonly lo: Instant;
  readonly hi: Instant;
  /** It says that a professional declared it. */
  readonly declared: boolean;
};

const actorRef = (text: string | undefined): Ref | undefined =>
  text !== undefined && /^[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(text) ? (text as Ref) : undefined;

function statedByConsent(consent: JsonObject): readonly Stated[] {
  const { kind, active, effect, actors, lo, hi } = readConsent(consent);
  if (kind === undefined || !active || (effect !== 'permit' && effect !== 'deny') || kind === 'space-existence')
    return [];
  const declared = extensionOf(consent, EXTENSION.declared)?.['valueBoolean'] === true;
  const key = `${kind} ${effect} ${declared}`;
  return [{ key, effect, kind, actor: actorRef(actors[0]), structure: undefined, lo, hi, declared }];
}

function statedByTeam(team: JsonObject): readonly Stated[] {
  const structure = actorRef(careTeamStructure(team));
  return careTeamMembers(team).map(({ member, lo, hi }) => ({
    key: member,
    effect: 'permit',
    kind: 'care-team',
    actor: member,
    structure,
    lo,
    hi,
    declared: false,
  }));
}

/** A right as it ran: the time in which versions that follow one another said it, as far as the period that each gave reaches. */
type Run = Stated & { readonly since: Instant; readonly until: Instant };

/**
 * The runs of what the versions of one resource (newest first) say. A version counts from when it was written until the next one was, within
 * the period that it states; a run goes on while one counts where the one before it stopped.
 */
function runsOf(versions: readonly Version[], stated: (resource: JsonObject) => readonly Stated[]): readonly Run[] {
  const runs: Run[] = [];
  const latest = new Map<string, Run>();
  const oldestFirst = [...versions].reverse();
  for (const [index, version] of oldestFirst.entries()) {
    const replaced = oldestFirst[index + 1]?.lastUpdated ?? FOREVER;
    for (const says of version.deleted ? [] : stated(parsed(version))) {
      const since = Math.max(version.lastUpdated, says.lo);
      const until = Math.min(replaced, says.hi);
      if (since >= until) continue;
      const earlier = latest.get(says.key);
      const goesOn = earlier !== undefined && earlier.until === since;
      const run = { ...says, since: goesOn ? earlier.since : since, until };
      if (goesOn) runs[runs.indexOf(earlier)] = run;
      else runs.push(run);
      latest.set(says.key, run);
    }
  }
  return runs;
}

/** Which side wrote an entry tells its origin; one that a professional writes says that it is declared (W9), also over one of the person's side. */
const ORIGINS: Readonly<Record<string, Origin>> = {
  professional: 'declared',
  holder: 'given',
  insurer: 'insurer',
  operator: 'operator',
};

type Listing = { readonly work: Work; readonly person: Ref; readonly period: Period };

async function rightsOf(listing: Listing, type: 'Consent' | 'CareTeam'): Promise<readonly Right[]> {
  const { work, person, period } = listing;
  const teamsShut = await holds(work, person, owner(denied('care-team-default', [], work.now)));
  const rights: Right[] = [];
  const guard = work.access.guard(type, 'r');
  for (const current of await everySeen(work, type, { where: term('_owner', person), most: MOST_RIGHTS })) {
    const key: Key = { type, id: current.id };
    const history = await work.unit.history(key, guard, { limit: MOST_VERSIONS });
    const runs = runsOf(history?.versions ?? [], type === 'Consent' ? statedByConsent : statedByTeam);
    const within = runs.filter((run) => run.since < period.to && run.until > period.from);
    if (within.length > 0) work.traces.push({ owner: current.owner, item: `${type}/${current.id}` });
    for (const run of within) {
      const origin =
        type === 'CareTeam' ? 'team' : run.declared ? 'declared' : (ORIGINS[current.filing.side ?? ''] ?? 'operator');
      const stands = run.since <= work.now && work.now < run.until && !(type === 'CareTeam' && teamsShut);
      rights.push(await rightOf(listing, { run, origin, stands, source: `${type}/${current.id}` }));
    }
  }
  return rights;
}

type Entry = { readonly run: Run; readonly origin: Origin; readonly stands: boolean; readonly source: Ref };

async function rightOf(listing: Listing, { run, origin, stands, source }: Entry): Promise<Right> {
  const { work } = listing;
  return {
    kind: run.kind,
    label: RIGHT_LABELS[run.kind] ?? { fr: run.kind, en: run.kind },
    effect: run.effect,
    ...(run.actor === undefined ? {} : { actor: await named(work, run.actor) }),
    ...(run.structure === undefined ? {} : { structure: await named(work, run.structure) }),
    origin,
    originLabel: ORIGIN_LABELS[origin],
    ...(run.since <= NEVER_BEFORE ? {} : { since: iso(run.since) }),
    ...(run.until >= FOREVER ? {} : { until: iso(run.until) }),
    inForce: stands,
    source,
    ...(run.actor === undefined ? {} : await accessesOf(listing, run, run.actor)),
  };
}

/** `[from, to)` on when an event was recorded. */
const recordedIn = ({ from, to }: Period): Predicate => range('_lastUpdated', { lo: ['>=', from], hi: ['<=', to] });

/** How often an actor came in while a right stood, as far as the reader sees these accesses. */
async function accessesOf(
  { work, person, period }: Listing,
  run: Run,
  actor: Ref,
): Promise<Pick<Right, 'accesses' | 'firstAccess' | 'lastAccess'>> {
  const within = { from: Math.max(run.since, period.from), to: Math.min(run.until, period.to) };
  const where = and(term('_owner', person), term('agent', actor), term('outcome', codeAlone('0')), recordedIn(within));
  const one = async (descending: boolean) =>
    work.unit.search(
      guarded(
        { type: 'AuditEvent', where, sort: [{ param: '_lastUpdated', descending }], limit: 1, total: true },
        work.access.guard('AuditEvent', 'r'),
      ),
    );
  const first = await one(false);
  const [earliest] = first.matches;
  if (earliest === undefined) return { accesses: 0 };
  const [latest] = (await one(true)).matches;
  return {
    accesses: first.total ?? 0,
    firstAccess: iso(earliest.lastUpdated),
    lastAccess: iso((latest ?? earliest).lastUpdated),
  };
}

// ---- visits -------------------------------------------------------------------------------------------------------

type Access = { readonly event: Ref; readonly reading: AuditReading };

/** Groups accesses (newest first) into visits: the same actor, structure and purpose, with gaps under half an hour. */
export function visitsOf(accesses: readonly Access[]): readonly (readonly Access[])[] {
  const visits: Access[][] = [];
  const open = new Map<string, Access[]>();
  for (const access of accesses) {
    const { actor, actorName, structure, purpose, recorded, secret } = access.reading;
    const key = JSON.stringify([actor ?? actorName ?? '', structure ?? '', purpose ?? '', secret]);
    const visit = open.get(key);
    const earlier = visit?.at(-1);
    if (visit !== undefined && earlier !== undefined && earlier.reading.recorded - recorded < VISIT_GAP) {
      visit.push(access);
      continue;
    }
    const begun = [access];
    open.set(key, begun);
    visits.push(begun);
  }
  return visits;
}

async function visitOf(work: Work, accesses: readonly Access[]): Promise<Visit> {
  const readings = accesses.map((access) => access.reading);
  const [last] = readings;
  const first = readings.at(-1);
  if (last === undefined || first === undefined) throw new Error('a visit has an access');
  const { actor, actorName, structure, purpose } = last;
  const label = purpose === undefined ? undefined : PURPOSE_LABELS[purpose];
  const name = actor === undefined ? actorName : ((await nameOf(work, actor)) ?? actorName);
  return {
    ...(actor === undefined
      ? name === undefined
        ? {}
        : { actor: { name } }
      : { actor: { reference: actor, ...(name === undefined ? {} : { name }) } }),
    ...(structure === undefined ? {} : { structure: await named(work, structure) }),
    ...(purpose === undefined ? {} : { purpose }),
    ...(label === undefined ? {} : { purposeLabel: label }),
    emergency: purpose === 'BTG' || purpose === 'ETREAT',
    secret: last.secret,
    start: iso(first.recorded),
    end: iso(last.recorded),
    accesses: readings.filter((reading) => !reading.refused).length,
    refused: readings.filter((reading) => reading.refused).length,
    items: [...new Set(readings.flatMap((reading) => reading.items))]
      .filter((item) => !item.startsWith('AuditEvent/'))
      .sort(),
    events: accesses.map((access) => access.event),
  };
}

// ---- the page -----------------------------------------------------------------------------------------------------

/** Where a page starts: after a position in the order newest first, among what was recorded when the first page was made. */
type Bookmark = { readonly made: Instant; readonly after: readonly (string | number | null)[] };

const CURSOR_LIFE = 15 * 60_000;

function openBookmark(work: Work, cursor: string | undefined, context: string): Result<Bookmark | undefined> {
  if (cursor === undefined) return ok(undefined);
  const opened = work.deps.cursors.open(cursor, context);
  const refused = malformed('the cursor is not one of this request, or is too old', '_cursor');
  if (opened === undefined) return refused;
  // INVARIANT: what the seal opens was written by `nextLink`.
  const bookmark = JSON.parse(opened) as Bookmark;
  return work.now - bookmark.made <= CURSOR_LIFE ? ok(bookmark) : refused;
}

function nextLink(work: Work, { key, context, last, given }: Next): string {
  const sealed = work.deps.cursors.seal(JSON.stringify({ made: work.now, after: last.position }), context);
  const query = [...given, ['_cursor', sealed] as const].map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `${work.deps.baseUrl}/Patient/${key.id}/$access-register?${query.join('&')}`;
}

type Next = Pick<Asked, 'given'> & { readonly key: Key; readonly context: string; readonly last: Match };

export async function accessRegister(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  for (const type of ['Patient', 'Consent', 'AuditEvent']) {
    const scope = inScope(work, 'r', type);
    if (!scope.ok) return scope;
  }
  if (!work.access.hasRow('AuditEvent') || !work.access.hasRow('Consent')) {
    return forbidden('D8', 'this caller reads no register of accesses');
  }
  const asked = readAsked(request);
  if (!asked.ok) return asked;
  const patient = await work.unit.read(key, work.access.guard('Patient', 'r'));
  if (patient === undefined) return fail({ code: 'not-found' });
  const person: Ref = `Patient/${key.id}`;
  work.persons.add(person);
  if (patient.deleted) return fail({ code: 'gone' });
  const { from, to, count: limit, cursor, view, given } = asked.value;
  const context = JSON.stringify([work.caller.self ?? '', work.caller.claims.clientId, key.id, from, to, limit, view]);
  const bookmark = openBookmark(work, cursor, context);
  if (!bookmark.ok) return bookmark;
  const page = await work.unit.search(
    guarded(
      {
        type: 'AuditEvent',
        where: and(term('_owner', person), recordedIn({ from, to })),
        sort: [{ param: '_lastUpdated', descending: true }],
        limit,
        total: false,
        ...(bookmark.value === undefined ? {} : { after: bookmark.value.after }),
      },
      work.access.guard('AuditEvent', 'r'),
    ),
  );
  // Recorded as one act: a register that named each of its lines would make the next one longer by as many.
  const accesses: Access[] = [];
  for (const match of page.matches) {
    const event = asObject(JSON.parse(await bodyFor(work, match)) as Json) ?? {};
    accesses.push({ event: `AuditEvent/${match.id}`, reading: readEvent(event) });
  }
  const visits: Visit[] = [];
  for (const visit of visitsOf(accesses)) visits.push(await visitOf(work, visit));
  const teams = work.access.scopeLimit('r', 'CareTeam').op !== 'none';
  const listing: Listing = { work, person, period: { from, to } };
  // The rights stand on the first page; the pages after it go on with the accesses.
  const rights =
    bookmark.value === undefined
      ? [...(await rightsOf(listing, 'Consent')), ...(teams ? await rightsOf(listing, 'CareTeam') : [])]
      : [];
  const last = page.more ? page.matches.at(-1) : undefined;
  const register: RegisterPage = {
    person: await named(work, person),
    asOf: iso(work.now),
    ...(from <= NEVER_BEFORE ? {} : { from: iso(from) }),
    ...(to >= FOREVER ? {} : { to: iso(to) }),
    rights: inOrder(rights),
    visits,
    leftOut: teams ? [] : ['CareTeam'],
    ...(last === undefined ? {} : { next: nextLink(work, { key, context, last, given }) }),
  };
  return ok(
    view === 'page'
      ? { status: 200, body: JSON.stringify(register), contentType: 'application/json; charset=utf-8' }
      : { status: 200, body: parametersText(registerParameters(register)) },
  );
}

/** In force first, then the most recent; the source decides ties. */
const inOrder = (rights: readonly Right[]): readonly Right[] => {
  const order = (right: Right): string =>
    [right.inForce ? '0' : '1', descending(right.since ?? ''), right.source, right.actor?.reference ?? ''].join(' ');
  return [...rights].sort((a, b) => (order(a) < order(b) ? -1 : 1));
};

/** Turns an ISO instant into a text whose order is the reverse. */
const descending = (text: string): string => text.replace(/[0-9]/g, (digit) => String(9 - Number(digit)));

// ---- as FHIR ------------------------------------------------------------------------------------------------------

const namedParameter = (name: string, value: Accessor | undefined): readonly Parameter[] =>
  value === undefined ? [] : [reference(name, value.reference, value.name)];
const instantParameter = (name: string, value: string | undefined): readonly Parameter[] =>
  value === undefined ? [] : [instant(name, Date.parse(value))];

const registerParameters = (register: RegisterPage): readonly Parameter[] => [
  reference('person', register.person.reference, register.person.name),
  instant('asOf', Date.parse(register.asOf)),
  ...instantParameter('from', register.from),
  ...instantParameter('to', register.to),
  ...register.rights.map((right) =>
    group('right', [
      code('kind', right.kind),
      sentence('label', right.label),
      code('effect', right.effect),
      ...namedParameter('actor', right.actor),
      ...namedParameter('structure', right.structure),
      code('origin', right.origin),
      sentence('originLabel', right.originLabel),
      ...instantParameter('since', right.since),
      ...instantParameter('until', right.until),
      flag('inForce', right.inForce),
      reference('source', right.source),
      ...(right.accesses === undefined ? [] : [count('accesses', right.accesses)]),
      ...instantParameter('firstAccess', right.firstAccess),
      ...instantParameter('lastAccess', right.lastAccess),
    ]),
  ),
  ...register.visits.map((visit) =>
    group('visit', [
      ...namedParameter('actor', visit.actor),
      ...namedParameter('structure', visit.structure),
      ...(visit.purpose === undefined ? [] : [code('purpose', visit.purpose)]),
      ...(visit.purposeLabel === undefined ? [] : [sentence('purposeLabel', visit.purposeLabel)]),
      flag('emergency', visit.emergency),
      flag('secret', visit.secret),
      ...instantParameter('start', visit.start),
      ...instantParameter('end', visit.end),
      count('accesses', visit.accesses),
      count('refused', visit.refused),
      ...visit.items.map((item) => reference('item', item)),
      ...visit.events.map((event) => reference('event', event)),
    ]),
  ),
  ...codes('leftOut', register.leftOut),
  ...(register.next === undefined ? [] : [url('next', register.next)]),
];

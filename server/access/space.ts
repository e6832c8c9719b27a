/**
 * The space entry of a person: their consents, care teams and state, compiled into the same flat form as any resource's index entry.
 * A rule asks about it with `owner(…)`. It is rebuilt in the transaction that changes one of its sources, so a decision never reads a stale one.
 * `docs/decisions/0002-consent-is-compiled-into-the-space-entry.md`; rules.md section 3, A0; contract.md "Consents".
 */

import { EXTENSION, SYSTEM } from '../fhir/canonical.ts';
import { type IndexEntry, termText } from '../fhir/index-entry.ts';
import { FOREVER, NEVER_BEFORE, periodInterval } from '../fhir/interval.ts';
import { asArray, asObject, asText, codingsOf, extensionOf } from '../fhir/json.ts';
import type { Instant, JsonObject, Ref } from '../fhir/types.ts';
import { and, or, owner, type Predicate, range, term } from '../query/predicate.ts';

export const SPACE_STATES = [
  'invited',
  'opposed',
  'open',
  'active',
  'suspended',
  'closed',
  'legacy-dmp',
  'deceased',
] as const;
export type SpaceState = (typeof SPACE_STATES)[number];

/** The kinds of contract.md, with what each may name. */
export const CONSENT_KINDS = {
  'space-existence': { types: ['permit', 'deny'], actors: [] },
  'professional-access': { types: ['permit', 'deny'], actors: ['Practitioner'] },
  'organization-access': { types: ['permit', 'deny'], actors: ['Organization'] },
  'attending-physician': { types: ['permit'], actors: ['Practitioner'] },
  'care-team-default': { types: ['permit', 'deny'], actors: [] },
  'emergency-btg': { types: ['permit', 'deny'], actors: [] },
  'emergency-etreat': { types: ['permit', 'deny'], actors: [] },
  'emergency-masked': { types: ['permit', 'deny'], actors: [] },
  'feed-opposition': { types: ['deny'], actors: ['Practitioner', 'Organization'] },
  'document-default': { types: ['permit', 'deny'], actors: [] },
  'profile-sharing': { types: ['permit', 'deny'], actors: [] },
  delegation: { types: ['permit'], actors: ['RelatedPerson'] },
  'app-authorization': { types: ['permit'], actors: ['Device'] },
} as const satisfies Record<string, { readonly types: readonly string[]; readonly actors: readonly string[] }>;
export type ConsentKind = keyof typeof CONSENT_KINDS;

export const isConsentKind = (text: string | undefined): text is ConsentKind =>
  text !== undefined && Object.hasOwn(CONSENT_KINDS, text);

/** What a Consent says, read leniently: what cannot be read is absent. */
export type ConsentReading = {
  readonly kind: ConsentKind | undefined;
  readonly active: boolean;
  readonly effect: string | undefined;
  readonly actors: readonly string[];
  readonly state: string | undefined;
  readonly delegationKind: string | undefined;
  readonly rights: readonly string[];
  /** `[lo, hi)` of what could be read of the period, and whether all of it could. */
  readonly lo: Instant;
  readonly hi: Instant;
  readonly readable: boolean;
};

export const consentKindOf = (consent: JsonObject): ConsentKind | undefined => {
  const kinds = asArray(consent['category'])
    .flatMap(codingsOf)
    .filter((c) => c.system === SYSTEM.consentKind)
    .map((c) => c.code);
  const [kind] = kinds;
  return kinds.length === 1 && isConsentKind(kind) ? kind : undefined;
};

export function readConsent(consent: JsonObject): ConsentReading {
  const provision = asObject(consent['provision']);
  const period = periodInterval(provision?.['period']);
  const actors = asArray(provision?.['actor'])
    .map((a) => asText(asObject(asObject(a)?.['reference'])?.['reference']))
    .filter((r) => r !== undefined);
  return {
    kind: consentKindOf(consent),
    active: consent['status'] === 'active',
    effect: asText(provision?.['type']),
    actors,
    state: asText(extensionOf(consent, EXTENSION.spaceState)?.['valueCode']),
    delegationKind: asText(extensionOf(consent, EXTENSION.delegationKind)?.['valueCode']),
    rights: asArray(consent['extension'])
      .map(asObject)
      .filter((e) => e?.['url'] === EXTENSION.delegatedRight)
      .map((e) => asText(e?.['valueCode']))
      .filter((r) => r !== undefined),
    lo: period.lo,
    hi: period.hi,
    readable: period.readable && period.lo < period.hi,
  };
}

/** The states of a space that a permit states; a deny states the others. */
export const PERMITTED_STATES: readonly string[] = ['open', 'active', 'legacy-dmp', 'suspended'] satisfies SpaceState[];

/** Whether an entry is of the one shape of its kind: what it says, and whom it names, exactly one or none (rules.md A0). */
export const wellFormed = (c: ConsentReading): boolean => {
  if (c.kind === undefined || !c.readable) return false;
  const shape = CONSENT_KINDS[c.kind];
  if (!(shape.types as readonly string[]).includes(c.effect ?? '')) return false;
  if (c.kind === 'space-existence') {
    const known = (SPACE_STATES as readonly (string | undefined)[]).includes(c.state);
    if (!known || (c.effect === 'permit') !== PERMITTED_STATES.includes(c.state ?? '')) return false;
  }
  // A7: a block starts when written and carries no period.
  const blocks = c.effect === 'deny' && (c.kind === 'professional-access' || c.kind === 'organization-access');
  if (blocks && (c.lo !== NEVER_BEFORE || c.hi !== FOREVER)) return false;
  if (shape.actors.length === 0) return c.actors.length === 0;
  const [only] = c.actors;
  return c.actors.length === 1 && shape.actors.some((type) => only?.startsWith(`${type}/`));
};

/** The name of a fact in a space entry: `professional-access:deny:Practitioner/p`. `*` = every actor. */
export const fact = (kind: string, effect: string, actor: string): string => `${kind}:${effect}:${actor}`;

/** What a person's space is made of. Bodies as stored; deleted resources are not among them. */
export type SpaceSources = {
  readonly consents: readonly JsonObject[];
  readonly careTeams: readonly JsonObject[];
  readonly relatedPersons: readonly JsonObject[];
};

type Fact = { readonly param: string; readonly lo: number; readonly hi: number };

/** A block counts for whom it names, under the kind that such an actor is asked for (A0, A2). */
const kindOfDeny = (kind: string, actor: string): string =>
  kind === 'organization-access' && actor.startsWith('Practitioner/')
    ? 'professional-access'
    : kind === 'professional-access' && actor.startsWith('Organization/')
      ? 'organization-access'
      : kind;

function consentFacts(consent: JsonObject, inForce: ReadonlyMap<string, Fact>): readonly Fact[] {
  const c = readConsent(consent);
  if (!c.active) return [];
  if (!wellFormed(c)) {
    // A0: of a shape or date that cannot be read, a deny counts for every actor it names (all, if none) and nothing else counts.
    if (c.effect !== 'deny' || c.kind === undefined) return [];
    if (c.lo >= c.hi) return [];
    const actors = c.actors.length === 0 ? ['*'] : c.actors;
    return actors.map((a) => ({ param: fact(kindOfDeny(c.kind ?? '', a), 'deny', a), lo: c.lo, hi: c.hi }));
  }
  const actor = c.actors[0] ?? '';
  const span = { lo: c.lo, hi: c.hi };
  switch (c.kind) {
    case 'space-existence':
      return c.state === undefined ? [] : [{ param: `state:${c.state}`, ...span }];
    case 'delegation': {
      // C7: the RelatedPerson and the Consent both name the person and are in force; the narrower period counts.
      const person = inForce.get(actor);
      if (person === undefined) return [];
      const both = { lo: Math.max(span.lo, person.lo), hi: Math.min(span.hi, person.hi) };
      if (both.lo >= both.hi || (c.delegationKind !== 'legal' && c.delegationKind !== 'caregiver')) return [];
      const messages = c.delegationKind === 'legal' || c.rights.includes('message');
      return [
        { param: fact('delegation', c.delegationKind, actor), ...both },
        ...(messages ? [{ param: fact('delegation', 'message', actor), ...both }] : []),
      ];
    }
    default:
      return [{ param: fact(c.kind ?? '', c.effect ?? '', actor), ...span }];
  }
}

/** Members of a care team with the period in which each is one; none when the team is not active. */
export function careTeamMembers(
  team: JsonObject,
): readonly { readonly member: Ref; readonly lo: number; readonly hi: number }[] {
  if (team['status'] !== 'active') return [];
  const period = periodInterval(team['period']);
  if (!period.readable) return [];
  return asArray(team['participant']).flatMap((p) => {
    const participant = asObject(p);
    const member = asText(asObject(participant?.['member'])?.['reference']);
    const own = periodInterval(participant?.['period']);
    const lo = Math.max(period.lo, own.lo);
    const hi = Math.min(period.hi, own.hi);
    if (!member?.startsWith('Practitioner/') || !own.readable || lo >= hi) return [];
    return [{ member: member as Ref, lo, hi }];
  });
}

/** The one structure a care team belongs to. */
export const careTeamStructure = (team: JsonObject): string | undefined =>
  asText(asObject(asArray(team['managingOrganization'])[0])?.['reference']);

/** Compiles a person's facts. The order of the sources is irrelevant. */
export function spaceEntry(sources: SpaceSources): IndexEntry {
  const related = new Map<string, Fact>();
  for (const person of sources.relatedPersons) {
    const period = periodInterval(person['period']);
    if (person['active'] === false || !period.readable || period.lo >= period.hi) continue;
    related.set(`RelatedPerson/${asText(person['id']) ?? ''}`, { param: '', lo: period.lo, hi: period.hi });
  }
  const facts = [
    ...sources.consents.flatMap((c) => consentFacts(c, related)),
    ...sources.careTeams.flatMap((team) => {
      const structure = careTeamStructure(team);
      if (structure === undefined) return [];
      return careTeamMembers(team).map((m) => ({ param: fact('team', structure, m.member), lo: m.lo, hi: m.hi }));
    }),
  ];
  const standing = facts.flatMap((f) => facts.filter((deny) => overrules(deny.param, f.param)).reduce(without, [f]));
  // Each fact is a term too: a search that names nobody starts from those whose space knows its caller.
  const terms = new Set(standing.map((f) => termText('fact', f.param)));
  return { terms: ['space=1', ...terms], strings: [], ranges: standing, sort: [] };
}

/**
 * A0, for the kinds that are asked for their permits alone: a misshapen deny closes the space, or takes the permit from whom it names (from
 * all, if it names none). The other kinds are asked for their denies by name (`denied`).
 */
function overrules(deny: string, param: string): boolean {
  if (deny.startsWith('space-existence:deny:')) return param.startsWith('state:');
  const [kind = '', effect, actor = ''] = deny.split(':');
  if (effect !== 'deny' || (kind !== 'delegation' && kind !== 'attending-physician')) return false;
  const permits = param.startsWith(`${kind}:`) && !param.startsWith(`${kind}:deny:`);
  return permits && (actor === '*' || param.endsWith(`:${actor}`));
}

/** What is left of facts outside the time of a deny. */
const without = (facts: readonly Fact[], deny: Fact): readonly Fact[] =>
  facts
    .flatMap((f) => [
      { ...f, hi: Math.min(f.hi, deny.lo) },
      { ...f, lo: Math.max(f.lo, deny.hi) },
    ])
    .filter((f) => f.lo < f.hi);

/** The fact stands at `now`. */
export const standing = (param: string, now: Instant): Predicate =>
  and(term('fact', param), range(param, { lo: ['<=', now], hi: ['>', now] }));

/** The owner's space is in one of `states` at `now` (rules.md section 2). */
export const stateIn = (states: readonly SpaceState[], now: Instant): Predicate =>
  owner(or(...states.map((s) => standing(`state:${s}`, now))));

/**
 * A deny of `kind` against one of `actors` stands. `*` is a deny that names nobody although its kind does (A0); of a kind that names nobody,
 * a misshapen deny that names an actor counts for that actor, so the caller's own names are asked for there too.
 */
export const denied = (kind: ConsentKind, actors: readonly (string | undefined)[], now: Instant): Predicate =>
  or(
    ...['*', ...(CONSENT_KINDS[kind].actors.length === 0 ? [''] : []), ...actors]
      .filter((a) => a !== undefined)
      .map((a) => standing(fact(kind, 'deny', a), now)),
  );

/** A permit of `kind` for `actor` stands. */
export const permitted = (kind: ConsentKind, actor: string | undefined, now: Instant): Predicate =>
  actor === undefined ? or() : standing(fact(kind, 'permit', actor), now);

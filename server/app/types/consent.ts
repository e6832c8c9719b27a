/** D7, W9, W15, A0, A7: the rights of a space. One kind, one actor, no nesting; contract.md "Consents". */
import { type RuleId, systemGuard } from '../../access/decision.ts';
import { MASKED_BY_DEFAULT } from '../../access/rules/labels.ts';
import { consentRows } from '../../access/rules/space.ts';
import {
  CONSENT_KINDS,
  type ConsentKind,
  type ConsentReading,
  consentKindOf,
  denied,
  PERMITTED_STATES,
  readConsent,
  SPACE_STATES,
  wellFormed,
} from '../../access/space.ts';
import { EXTENSION, policyUri, SYSTEM } from '../../fhir/canonical.ts';
import {
  allCodings,
  asArray,
  asCoding,
  asObject,
  asText,
  codingsOf,
  extensionOf,
  referenceOf,
  sameJson,
} from '../../fhir/json.ts';
import { readReference } from '../../fhir/literal-reference.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import { systemAndCode } from '../../fhir/search-value.ts';
import type { JsonObject, Ref, Resource } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { and, not, owner, term } from '../../query/predicate.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import { allOf, everyMatch, filedBy, holds, keyOf, parsed, refile, save, seen, type Work } from '../work.ts';
import { aboutPerson, conflict, filingMarks, forbidden, patientRef, unresolved } from './filing.ts';
import { labelsOf, refuseLabels } from './labels.ts';
import { isMinor } from './related-person.ts';
import { decidesFor, inTreat, isAttending, mayConsultHere, notBlockedHere, stateAllows } from './writing.ts';

/** What a Consent of ours may contain besides what `check` reads: nothing else is listed by contract.md (422). */
const ELEMENTS = new Set([
  'resourceType',
  'id',
  'meta',
  'implicitRules',
  'language',
  'text',
  'extension',
  'identifier',
  'status',
  'scope',
  'category',
  'patient',
  'dateTime',
  '_dateTime',
  'performer',
  'organization',
  'sourceAttachment',
  'sourceReference',
  'policy',
  'provision',
]);
const PROVISION_ELEMENTS = new Set(['id', 'extension', 'type', 'period', 'actor', 'purpose']);

/** Purposes that a provision may state, where they only repeat what the kind means. */
const PURPOSES: Readonly<Record<string, string>> = { 'emergency-btg': 'BTG', 'emergency-etreat': 'ETREAT' };

/** Kinds that the holder's side writes and ends (W9). */
const HOLDERS_KINDS: readonly ConsentKind[] = [
  'professional-access',
  'organization-access',
  'emergency-btg',
  'emergency-etreat',
  'emergency-masked',
  'care-team-default',
  'feed-opposition',
  'document-default',
  'profile-sharing',
  'delegation',
];

/** The extensions that contract.md lists, by kind; any other is refused. */
const EXTENSIONS: Readonly<Partial<Record<ConsentKind, readonly string[]>>> = {
  'space-existence': [EXTENSION.spaceState],
  'professional-access': [EXTENSION.declared, EXTENSION.atHoldersRequest],
  'organization-access': [EXTENSION.declared],
  delegation: [EXTENSION.delegationKind, EXTENSION.delegatedRight],
};

const BLOCKING: readonly ConsentKind[] = ['professional-access', 'organization-access'];

type Checked = {
  readonly resource: Resource;
  readonly reading: ConsentReading;
  readonly kind: ConsentKind;
  readonly person: Ref;
};

const bad = (text: string, at: string, rule: string) => unprocessable(text, at, rule);

/** A0: the shape, before anything is looked up. */
function checkShape(consent: Resource): Result<{ readonly kind: ConsentKind; readonly reading: ConsentReading }> {
  const kind = consentKindOf(consent);
  if (kind === undefined)
    return bad('one category of `consent-kind` is needed, and one only', 'Consent.category', 'A0');
  const shape = CONSENT_KINDS[kind];
  const foreign = Object.keys(consent).find((name) => !ELEMENTS.has(name));
  if (foreign !== undefined) return bad(`\`${foreign}\` has no meaning here`, `Consent.${foreign}`, 'A0');
  if (!allCodings(consent['category']).some((c) => c.system === SYSTEM.loinc && c.code === '59284-0')) {
    return bad('the category LOINC 59284-0 is needed', 'Consent.category', 'A0');
  }
  if (!codingsOf(consent['scope']).some((c) => c.system === SYSTEM.consentScope && c.code === 'patient-privacy')) {
    return bad('the scope is `patient-privacy`', 'Consent.scope', 'A0');
  }
  if (consent['status'] !== 'active' && consent['status'] !== 'inactive') {
    return bad('the status is `active` or `inactive`', 'Consent.status', 'A0');
  }
  const policies = asArray(consent['policy']).map((p) => asText(asObject(p)?.['uri']));
  if (policies.length !== 1 || policies[0] !== policyUri(kind)) {
    return bad(`the policy is \`${policyUri(kind)}\``, 'Consent.policy', 'A0');
  }
  const provision = asObject(consent['provision']);
  const extra = Object.keys(provision ?? {}).find((name) => !PROVISION_ELEMENTS.has(name));
  if (provision === undefined) return bad('a provision is needed', 'Consent.provision', 'A0');
  if (extra !== undefined) return bad('an exception is an entry of its own', `Consent.provision.${extra}`, 'A0');
  const reading = readConsent(consent);
  if (!(shape.types as readonly string[]).includes(reading.effect ?? '')) {
    return bad(`\`${kind}\` is ${shape.types.join(' or ')}`, 'Consent.provision.type', 'A0');
  }
  if (!reading.readable)
    return bad('the period cannot be read, or ends before it starts', 'Consent.provision.period', 'T3');
  const blocks = BLOCKING.includes(kind) && reading.effect === 'deny';
  if (blocks && provision['period'] !== undefined) {
    return bad('a block starts when written and carries no period', 'Consent.provision.period', 'A7');
  }
  const purposes = asArray(provision['purpose']).map(asCoding);
  const purpose = PURPOSES[kind] ?? 'TREAT';
  if (blocks ? purposes.length > 0 : purposes.some((p) => p.code !== purpose || p.system !== SYSTEM.actReason)) {
    return bad('this purpose has no meaning here', 'Consent.provision.purpose', 'A0');
  }
  return checkExtensions(consent, kind, reading);
}

function checkExtensions(
  consent: Resource,
  kind: ConsentKind,
  reading: ConsentReading,
): Result<{ readonly kind: ConsentKind; readonly reading: ConsentReading }> {
  const at = 'Consent.extension';
  const listed = EXTENSIONS[kind] ?? [];
  const foreign = asArray(consent['extension']).some((e) => !listed.includes(asText(asObject(e)?.['url']) ?? ''));
  if (foreign) return bad('an extension of this kind only has a meaning here', at, 'A0');
  if (kind === 'space-existence') {
    const state = reading.state;
    if (state === undefined || !(SPACE_STATES as readonly string[]).includes(state)) {
      return bad('the extension `space-state` states one of the eight states', at, 'S1');
    }
    if ((reading.effect === 'permit') !== PERMITTED_STATES.includes(state)) {
      return bad(`the state \`${state}\` and the provision disagree`, 'Consent.provision.type', 'S1');
    }
    if (state === 'legacy-dmp' && asObject(asObject(consent['provision'])?.['period'])?.['end'] === undefined) {
      return bad('an old DMP has an end date', 'Consent.provision.period.end', 'S1');
    }
  }
  if (kind === 'delegation') {
    if (reading.delegationKind !== 'legal' && reading.delegationKind !== 'caregiver') {
      return bad('the extension `delegation-kind` is `legal` or `caregiver`', at, 'C7');
    }
    if (reading.rights.some((r) => r !== 'message'))
      return bad('the only right delegated apart is `message`', at, 'C7');
  }
  return ok({ kind, reading });
}

/** The one actor of the kind, literal or by identifier, resolved to the directory (or to a RelatedPerson of the same person). */
async function resolveActor(work: Work, consent: Resource, kind: ConsentKind, person: Ref): Promise<Result<Resource>> {
  const allowed: readonly string[] = CONSENT_KINDS[kind].actors;
  const provision = asObject(consent['provision']) ?? {};
  const actors = asArray(provision['actor']).map(asObject);
  const at = 'Consent.provision.actor';
  if (allowed.length === 0) return actors.length === 0 ? ok(consent) : bad('this kind names no actor', at, 'A0');
  const [actor] = actors;
  if (actors.length !== 1 || actor === undefined) return bad('this kind names one actor', at, 'A0');
  const reference = asObject(actor['reference']);
  const literal = referenceOf(actor['reference']);
  const resolved = literal === undefined ? await byIdentifier(work, allowed, reference) : unversioned(work, literal);
  if (resolved === undefined || !allowed.includes(resolved.split('/')[0] ?? '')) {
    return bad(`the actor is ${allowed.join(' or ')}`, `${at}.reference`, 'A0');
  }
  const key = keyOf(resolved);
  // A RelatedPerson resolves inside what the caller sees. The insurer sees none and writes legal representations all the same (W15): to it,
  // one that carries a label is not there.
  const blind = work.caller.kind === 'insurer' && key.type === 'RelatedPerson';
  const found =
    key.type !== 'RelatedPerson' || blind
      ? await work.unit.read(key, systemGuard(key.type, 'integrity'))
      : await seen(work, key);
  const known = found !== undefined && !found.deleted && (key.type !== 'RelatedPerson' || found.owner === person);
  if (!known) return unresolved(resolved, `${at}.reference`);
  if (key.type === 'RelatedPerson' && labelsOf(parsed(found)).size > 0) {
    if (blind) return unresolved(resolved, `${at}.reference`);
    return bad('a RelatedPerson that carries a label cannot be delegated to', `${at}.reference`, 'C7');
  }
  return ok({
    ...consent,
    provision: { ...provision, actor: [{ ...actor, reference: { ...reference, reference: resolved } }] },
  });
}

/** The entry that a literal reference names, whatever the version of it: a right that named a version would be nobody's. */
function unversioned(work: Work, literal: string): string | undefined {
  const read = readReference(literal, work.deps.baseUrl);
  return read.kind === 'local' ? read.ref : undefined;
}

async function byIdentifier(
  work: Work,
  types: readonly string[],
  reference: JsonObject | undefined,
): Promise<string | undefined> {
  const identifier = asObject(reference?.['identifier']);
  const system = asText(identifier?.['system']);
  const value = asText(identifier?.['value']);
  if (system === undefined || value === undefined) return undefined;
  for (const type of types.filter((t) => t !== 'RelatedPerson')) {
    const found = await everyMatch(work, type, [term('identifier', systemAndCode(system, value))]);
    if (found.length === 1 && found[0]) return `${type}/${found[0].id}`;
  }
  return undefined;
}

/** Who said so: a person who is named must be the caller, or the holder (contract.md: checked for persons only); whoever was named before stays. */
function checkPerformer(work: Work, consent: Resource, person: Ref, before?: Resource): Result<void> {
  const persons = (entry: Resource | undefined) =>
    asArray(entry?.['performer'])
      .map(referenceOf)
      .filter((r) => r !== undefined)
      .filter((r) => /^(Patient|RelatedPerson|Practitioner)\//.test(r));
  const already = persons(before);
  return persons(consent).every((r) => r === work.caller.self || r === person || already.includes(r))
    ? ok(undefined)
    : unprocessable('a person who performs is the caller or the holder', 'Consent.performer', 'W9');
}

async function check(work: Work, consent: Resource, person: Ref): Promise<Result<Checked>> {
  const labelled = refuseLabels(consent);
  if (!labelled.ok) return labelled;
  const shape = checkShape(consent);
  if (!shape.ok) return shape;
  const resolved = await resolveActor(work, consent, shape.value.kind, person);
  if (!resolved.ok) return resolved;
  return ok({ resource: resolved.value, reading: readConsent(resolved.value), kind: shape.value.kind, person });
}

const isTrue = (consent: Resource, url: string): boolean => extensionOf(consent, url)?.['valueBoolean'] === true;

/** Ending keeps everything but the status. */
const onlyEnds = (before: Resource, after: Resource): boolean => {
  const { status: _s, meta: _m, text: _t, ...was } = before;
  const { status: _u, meta: _n, text: _v, ...is } = after;
  return before['status'] === 'active' && after['status'] === 'inactive' && sameJson(was, is);
};

/** W9 and W15: who may write what. `before` is the entry as it stood, for a change. */
async function mayWrite(work: Work, checked: Checked, before: Resource | undefined): Promise<Result<void>> {
  const { caller } = work;
  const treat = inTreat(work);
  if (!treat.ok) return treat;
  switch (caller.kind) {
    case 'patient':
    case 'representative':
      return holderMayWrite(work, checked, before);
    case 'professional':
      return professionalMayWrite(work, checked, before);
    case 'insurer':
      return insurerMayWrite(work, checked);
    case 'operator':
      if (checked.kind !== 'space-existence') return forbidden('W15', 'the operator writes `space-existence` only');
      return caller.claims.reason === undefined ? forbidden('W15', 'a repair states its reason') : ok(undefined);
    default:
      return forbidden('W9', 'this caller writes no consent');
  }
}

async function holderMayWrite(
  work: Work,
  { kind, person, reading, resource }: Checked,
  before: Resource | undefined,
): Promise<Result<void>> {
  if (!(await decidesFor(work, person))) return forbidden('W12', 'a caregiver does not manage accesses');
  const state = await stateAllows(work, person, 'holder');
  if (!state.ok) return state;
  if (kind === 'space-existence') {
    return before !== undefined && reading.state === 'closed' && resource['status'] === 'active'
      ? ok(undefined)
      : forbidden('W15', 'the holder closes the space, and changes its state in no other way');
  }
  if (kind === 'attending-physician') {
    return before !== undefined && onlyEnds(before, resource)
      ? ok(undefined)
      : forbidden('W15', 'the insurer declares the attending physician; the holder ends it');
  }
  if (!HOLDERS_KINDS.includes(kind)) return forbidden('W9', 'this kind is not written by the holder');
  if (kind === 'delegation' && reading.delegationKind !== 'caregiver') {
    return forbidden('W15', 'a legal representation is written by the insurer');
  }
  return ok(undefined);
}

async function professionalMayWrite(work: Work, checked: Checked, before: Resource | undefined): Promise<Result<void>> {
  const { kind, person, reading, resource } = checked;
  const { caller } = work;
  const state = await stateAllows(work, person, 'professional');
  if (!state.ok) return state;
  if (!(await notBlockedHere(work, person))) return forbidden('A2', 'blocked');
  const ends = before !== undefined && onlyEnds(before, resource);
  const [actor] = reading.actors;
  if (kind === 'attending-physician') {
    return ends && actor === caller.self && (await isAttending(work, person))
      ? ok(undefined)
      : forbidden('W15', 'an attending physician may end their own status');
  }
  if (kind !== 'professional-access' && kind !== 'organization-access')
    return forbidden('W9', 'this kind is not written by a professional');
  if (!(await mayConsultHere(work))) return forbidden('A1', 'this profession does not consult');
  const themselves = kind === 'professional-access' ? actor === caller.self : actor === caller.structure;
  if (ends || resource['status'] !== 'active') {
    return ends && themselves && reading.effect === 'permit' && reading.lo <= work.now && work.now < reading.hi
      ? ok(undefined)
      : forbidden('W9', 'a professional ends permits in force that name themselves or their structure');
  }
  if (reading.effect === 'deny') {
    if (kind !== 'professional-access' || themselves || !(await isAttending(work, person))) {
      return forbidden('W9', 'the attending physician blocks another professional');
    }
    return isTrue(resource, EXTENSION.atHoldersRequest)
      ? ok(undefined)
      : forbidden('W9', 'a block for the holder states `at-holders-request`');
  }
  if (!themselves) return forbidden('W9', 'a professional declares an authorisation for themselves or their structure');
  return isTrue(resource, EXTENSION.declared)
    ? ok(undefined)
    : unprocessable('a professional states that the person agreed: `declared`', 'Consent.extension', 'W9');
}

async function insurerMayWrite(work: Work, { kind, person, reading }: Checked): Promise<Result<void>> {
  if (kind === 'space-existence') return ok(undefined);
  const state = await stateAllows(work, person, 'insurer');
  if (!state.ok) return state;
  switch (kind) {
    case 'attending-physician':
      return ok(undefined);
    case 'care-team-default': {
      // "The first": no entry of this kind was ever written for the person, whatever became of it.
      const earlier = await allOf(work, 'Consent', person, term('_kind', 'care-team-default'));
      return earlier.length === 0
        ? ok(undefined)
        : forbidden('W15', 'the insurer writes the first `care-team-default` only');
    }
    case 'delegation': {
      if (reading.delegationKind !== 'legal') return forbidden('W15', 'the insurer writes legal representations only');
      return (await isMinor(work, person)) || (await underGuardianship(work, reading.actors[0] ?? ''))
        ? ok(undefined)
        : forbidden('W15', 'the person is neither under 18 nor under guardianship');
    }
    default:
      return forbidden('W15', 'this kind is not written by the insurer');
  }
}

/** Guardianship is what the RelatedPerson's relationship states: a guardian of v3-RoleCode. */
const GUARDIANS = ['GUARD', 'GUADLTM', 'HPOWATT', 'SPOWATT'];

async function underGuardianship(work: Work, relatedPerson: string): Promise<boolean> {
  const found = await work.unit.read(keyOf(relatedPerson), systemGuard('RelatedPerson', 'facts'));
  if (found === undefined || found.deleted) return false;
  return allCodings(parsed(found)['relationship']).some(
    (c) => c.system === SYSTEM.roleCode && GUARDIANS.includes(c.code ?? ''),
  );
}

/** Which row allows an entry: W15 for the insurer, the operator, and the kinds that row is about; W9 for all others. */
const rowFor = (work: Work, { kind, reading }: Checked): 'W9' | 'W15' =>
  work.caller.kind === 'insurer' ||
  work.caller.kind === 'operator' ||
  kind === 'space-existence' ||
  kind === 'attending-physician' ||
  (kind === 'delegation' && reading.delegationKind === 'legal')
    ? 'W15'
    : 'W9';

/** What an accepted entry brings about in the same transaction: earlier entries end, a block ends permits and memberships (A7), exemptions end (W5). */
async function consequences(
  work: Work,
  checked: Checked,
  id: string,
  before: Resource | undefined,
): Promise<Result<void>> {
  const { kind, person, reading } = checked;
  const [actor] = reading.actors;
  const wasActive = before?.['status'] === 'active';
  if (reading.active) {
    if (kind === 'space-existence' && !wasActive) {
      const others = await activeEntries(work, person, kind, undefined);
      if (others.some((c) => c.id !== id)) return conflict('the person has a space already', 'W15');
    }
    const authorises = reading.effect === 'permit' && (kind === 'attending-physician' || BLOCKING.includes(kind));
    if (authorises && (await blockStands(work, person, actor ?? ''))) return conflict('a block stands', 'A7');
    for (const earlier of await activeEntries(work, person, kind, actor)) {
      const sameDelegation =
        kind !== 'delegation' || readConsent(parsed(earlier)).delegationKind === reading.delegationKind;
      if (earlier.id !== id && sameDelegation) await endConsent(work, earlier, rowFor(work, checked));
    }
    if (reading.effect === 'deny' && BLOCKING.includes(kind) && actor !== undefined)
      await endAccessOf(work, person, actor, id);
  }
  if (kind === 'document-default') await endExemptions(work, person, checked, before);
  return ok(undefined);
}

const blockStands = (work: Work, person: Ref, actor: string): Promise<boolean> =>
  holds(
    work,
    person,
    owner(denied(actor.startsWith('Organization/') ? 'organization-access' : 'professional-access', [actor], work.now)),
  );

const activeEntries = (work: Work, person: Ref, kind: ConsentKind, actor: string | undefined) =>
  allOf(
    work,
    'Consent',
    person,
    and(term('_kind', kind), term('_active', '1'), ...(actor === undefined ? [] : [term('_actor', actor)])),
  );

const endConsent = (work: Work, consent: Version, rule: RuleId): Promise<Version> =>
  save(work, {
    key: { type: 'Consent', id: consent.id },
    before: consent,
    resource: { ...parsed(consent), status: 'inactive' },
    owner: consent.owner,
    filing: consent.filing,
    rule,
  });

/** A7: every permit that names the blocked actor, and their membership of the person's care teams (a structure: its teams). */
async function endAccessOf(work: Work, person: Ref, actor: string, blockId: string): Promise<void> {
  for (const consent of await allOf(
    work,
    'Consent',
    person,
    and(term('_actor', actor), term('_active', '1'), not(term('_id', blockId))),
  )) {
    if (readConsent(parsed(consent)).effect === 'permit') await endConsent(work, consent, 'A7');
  }
  for (const team of await allOf(work, 'CareTeam', person, term('_active', '1'))) {
    const resource = parsed(team);
    const mine = referenceOf(asArray(resource['managingOrganization'])[0]) === actor;
    const others = asArray(resource['participant']).filter((p) => referenceOf(asObject(p)?.['member']) !== actor);
    if (!mine && others.length === asArray(resource['participant']).length) continue;
    const { participant: _p, ...rest } = resource;
    await save(work, {
      key: { type: 'CareTeam', id: team.id },
      before: team,
      resource: mine
        ? { ...resource, status: 'inactive' }
        : ({ ...rest, ...(others.length === 0 ? {} : { participant: others }) } as Resource),
      owner: person,
      filing: team.filing,
      rule: 'A7',
    });
  }
}

/** W5: an exemption from "mask everything" ends with that deny. A change that leaves the same deny standing keeps it. */
async function endExemptions(
  work: Work,
  person: Ref,
  { reading }: Checked,
  before: Resource | undefined,
): Promise<void> {
  const was = before === undefined ? undefined : readConsent(before);
  const standsOn = (c: ConsentReading | undefined): boolean =>
    c?.active === true && c.effect === 'deny' && c.lo <= work.now && work.now < c.hi;
  if (standsOn(was) && standsOn(reading)) return;
  for (const type of MASKED_BY_DEFAULT) {
    for (const item of await allOf(work, type, person, term('_exempt', '1'))) {
      const { exempt: _e, ...filing } = item.filing;
      await refile(work, item, filing);
    }
  }
}

/** W10: whom and what an entry is about never changes. */
function sameSubject(before: Resource, after: Resource): boolean {
  const actor = (c: Resource) => readConsent(c).actors;
  return (
    patientRef(before['patient']) === patientRef(after['patient']) &&
    consentKindOf(before) === consentKindOf(after) &&
    sameJson(actor(before), actor(after)) &&
    readConsent(before).delegationKind === readConsent(after).delegationKind &&
    sameJson(before['identifier'], after['identifier'])
  );
}

async function create(work: Work, consent: Resource, id: string): Promise<Result<Accepted>> {
  if (work.caller.kind === 'feeder') return forbidden('W9', 'this caller writes no consent');
  const person =
    work.caller.kind === 'operator'
      ? await registered(work, consent)
      : await aboutPerson(work, consent['patient'], 'Consent.patient');
  if (!person.ok) return person;
  const checked = await check(work, consent, person.value);
  if (!checked.ok) return checked;
  const allowed = await mayWrite(work, checked.value, undefined);
  if (!allowed.ok) return allowed;
  const performer = checkPerformer(work, consent, person.value);
  if (!performer.ok) return performer;
  const done = await consequences(work, checked.value, id, undefined);
  if (!done.ok) return done;
  return ok({
    resource: checked.value.resource,
    owner: person.value,
    filing: filedBy(work),
    rule: rowFor(work, checked.value),
  });
}

/** The operator repairs the state of a space without seeing the person (D9 has no row for it). */
async function registered(work: Work, consent: Resource): Promise<Result<Ref>> {
  const person = patientRef(consent['patient']);
  const found =
    person === undefined ? undefined : await work.unit.read(keyOf(person), systemGuard('Patient', 'integrity'));
  const another = work.caller.person !== undefined && work.caller.person !== person;
  return person === undefined || found === undefined || found.deleted || another
    ? unresolved(person ?? '', 'Consent.patient')
    : ok(person);
}

async function update(work: Work, change: Change, consent: Resource): Promise<Result<Accepted>> {
  const person = change.before.owner ?? ('Patient/' as Ref);
  const checked = await check(work, consent, person);
  if (!checked.ok) return checked;
  if (!sameSubject(change.current, checked.value.resource)) {
    return unprocessable('whom and what an entry is about never changes', 'Consent', 'W10');
  }
  const allowed = await mayWrite(work, checked.value, change.current);
  if (!allowed.ok) return allowed;
  const performer = checkPerformer(work, consent, person, change.current);
  if (!performer.ok) return performer;
  const done = await consequences(work, checked.value, change.before.id, change.current);
  if (!done.ok) return done;
  return ok({
    resource: checked.value.resource,
    owner: person,
    filing: change.before.filing,
    rule: rowFor(work, checked.value),
  });
}

export const consent: TypeDeclaration = {
  type: 'Consent',
  row: 'D7',
  about: 'person',
  rows: consentRows,
  writes: { create, update },
  marks: async (_work, resource, filing) => {
    const reading = readConsent(resource);
    return {
      terms: [
        ...filingMarks(filing),
        ...(reading.kind === undefined ? [] : [['_kind', reading.kind] as const]),
        ...reading.actors.map((a) => ['_actor', a] as const),
        ...(reading.active ? [['_active', '1'] as const] : []),
      ],
      // In force is what counts: an entry of another shape never is (A0).
      ranges: reading.active && wellFormed(reading) ? [{ param: '_force', lo: reading.lo, hi: reading.hi }] : [],
    };
  },
  feedsSpace: true,
  bySight: [],
};

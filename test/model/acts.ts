/** The writes of the model: what is tried, how it goes to the wire, what it is to be answered, and what it does when it is accepted. */

import { maySee, readStatus } from '../oracle/decide.ts';
import { all, find } from '../oracle/facts.ts';
import type {
  ActorRef,
  ConsentItem,
  ConsentKind,
  Instant,
  Label,
  Period,
  SpaceState,
  World,
  WorldCaller,
} from '../oracle/world.ts';
import { type Act, mayWrite, type Refusal } from '../oracle/write.ts';
import {
  appointmentBody,
  binaryBody,
  type ConsentParts,
  careTeamBody,
  communicationBody,
  consentBody,
  documentBody,
  immunizationBody,
  payerBody,
  profileBody,
  provenanceBody,
  type Resource,
  transactionBody,
} from '../support/fhir-bodies.ts';
import type { choicesOf } from '../support/twin-requests.ts';
import { traitsOf } from '../support/world.ts';
import { clinicians, people, relatives } from './cast.ts';
import { after, type Doing, inState, type PayerType, type ProfileType, partyOf } from './effects.ts';

type Choices = ReturnType<typeof choicesOf>;

/** A request without its token. */
export type Sent = {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

/** One write, ready to be tried by anybody. */
export type Attempt = {
  /** In words, for whoever reads of a failure. */
  readonly said: string;
  readonly predict: (caller: WorldCaller) => 'ok' | Refusal;
  /** Where several faults stand side by side, `rules.md` does not say which is told: the statuses of the others. */
  readonly others?: (caller: WorldCaller) => readonly number[];
  readonly send: (caller: WorldCaller) => Sent;
  readonly effect: (doing: Doing) => World;
};

const HOUR = 3_600_000;
const day = (now: Instant, days: number): string => new Date(now + days * 24 * HOUR).toISOString().slice(0, 10);
const PATCH = { 'content-type': 'application/json-patch+json' } as const;
const refused = (status: Refusal['status'], rule: string): Refusal => ({ status, rule });

const LABELS: readonly (readonly Label[])[] = [
  [],
  [],
  ['MASQUE_PS'],
  ['INVISIBLE_PATIENT'],
  ['INVISIBLE_REPRESENTANTS_LEGAUX'],
];

let serial = 0;
/** A UUID that no other part of the run has. */
function fresh(): string {
  serial += 1;
  return `00000000-0000-4000-8000-${String(serial).padStart(12, '0')}`;
}

/** An attempt out of numbers; every kind of write of the issue, on whatever the world holds by then. */
export function attemptOf(choices: Choices, world: World, now: Instant): Attempt {
  const kinds = [
    feed,
    feed,
    feed,
    replace,
    deposit,
    removal,
    labels,
    labels,
    labels,
    labels,
    consent,
    consent,
    consent,
    consent,
    ending,
    ending,
    state,
    message,
    team,
    membership,
    appointment,
    vaccination,
    vaccination,
    profile,
    payment,
  ] as const;
  return choices.of(kinds)(choices, world, now);
}

type Maker = (choices: Choices, world: World, now: Instant) => Attempt;

const byHolder = (caller: WorldCaller): boolean => caller.kind === 'patient' || caller.kind === 'representative';

/** A token alone may shut an act, before anything is looked at (C5, A6). */
function byToken(caller: WorldCaller): Refusal | undefined {
  if (caller.kind !== 'professional' || caller.purpose === 'TREAT') return undefined;
  return refused(403, caller.purpose === 'ETREAT' && caller.patient === undefined ? 'C5' : 'A6');
}

/** The two faults that a new item about a person can have before anything else: a writer of the wrong kind or mode, a person whom they do not see. */
const firstFaults =
  (world: World, now: Instant, person: string, kinds: readonly WorldCaller['kind'][]) =>
  (caller: WorldCaller): readonly number[] => {
    const patient = find(world, 'Patient', person);
    const sees = patient !== undefined && maySee(world, caller, patient, now).permit;
    return [...(sees ? [] : [422]), ...(kinds.includes(caller.kind) && byToken(caller) === undefined ? [] : [403])];
  };

// ---- documents ------------------------------------------------------------------------------------------------------

function filing(
  world: World,
  now: Instant,
  parts: {
    readonly person: string;
    readonly docType: string;
    readonly labels: readonly Label[];
    readonly identity: 'equal' | 'different';
    readonly content: string;
    readonly replaces?: string;
    readonly withProvenance: boolean;
  },
): Attempt {
  const { person, docType, labels: set, identity, content, replaces, withProvenance } = parts;
  const about = replaces === undefined ? {} : { replaces };
  const actOf = (caller: WorldCaller): Act =>
    byHolder(caller)
      ? { act: 'deposit', person, docType, contentType: 'text/plain', bytes: content.length }
      : { act: 'feed', person, type: 'DocumentReference', labels: set, confidentiality: 'N', identity, ...about };
  return {
    said: `file ${docType} of ${person} ${set.join('+')}${identity === 'equal' ? '' : ' with another identity'}${replaces === undefined ? '' : ` in place of ${replaces}`}, ${content.length} bytes`,
    predict: (caller) => mayWrite(world, caller, actOf(caller), now),
    others: firstFaults(world, now, person, ['patient', 'representative', 'professional', 'feeder']),
    send: (caller) => {
      const urn = (): string => `urn:uuid:${fresh()}`;
      const [binary, document] = [urn(), urn()];
      const author =
        caller.kind === 'professional'
          ? `Practitioner/${caller.person}`
          : caller.kind === 'feeder'
            ? `Organization/${caller.structure}`
            : `Patient/${person}`;
      const traits = identity === 'equal' ? traitsOf(person) : { ...traitsOf(person), family: 'AUTRE' };
      const body = documentBody({
        uniqueId: urn(),
        typeCode: docType,
        subject: `Patient/${person}`,
        traits,
        author,
        labels: byHolder(caller) ? [] : set,
        date: new Date(now).toISOString(),
        binary,
        title: `title ${document}`,
        ...(replaces === undefined || byHolder(caller) ? {} : { replaces: `DocumentReference/${replaces}` }),
      });
      const provenance = provenanceBody(document, author, new Date(now).toISOString());
      return {
        method: 'POST',
        path: '',
        body: transactionBody([
          { fullUrl: binary, resource: binaryBody(content) },
          { fullUrl: document, resource: body },
          ...(withProvenance ? [{ fullUrl: urn(), resource: provenance }] : []),
        ]),
      };
    },
    effect: (doing) => after(world, actOf(doing.caller), doing, { docType, withProvenance }),
  };
}

const feed: Maker = (choices, world, now) =>
  filing(world, now, {
    person: choices.of(people),
    docType: choices.of(['11488-4', '34112-3', '42348-3', 'ATTEST-RESID']),
    labels: choices.of(LABELS),
    identity: choices.once(8) ? 'different' : 'equal',
    content: 'some content',
    withProvenance: choices.once(3),
  });

const deposit: Maker = (choices, world, now) =>
  filing(world, now, {
    person: choices.of(people),
    docType: choices.of(['DOCPAT01', '11369-6', '11488-4']),
    labels: [],
    identity: 'equal',
    content: 'x'.repeat(choices.of([12, 1000, 1001])),
    withProvenance: false,
  });

const replace: Maker = (choices, world, now) => {
  const documents = world.items.filter((item) => item.type === 'DocumentReference');
  if (documents.length === 0) return feed(choices, world, now);
  const former = choices.of(documents);
  return filing(world, now, {
    person: former.person,
    docType: '11488-4',
    labels: choices.of(LABELS),
    identity: 'equal',
    content: 'another content',
    replaces: former.id,
    withProvenance: false,
  });
};

const labelled = (world: World) =>
  world.items.filter(
    (item) => item.type === 'DocumentReference' || item.type === 'Immunization' || item.type === 'RelatedPerson',
  );

const removal: Maker = (choices, world, now) => {
  // the mother stays: without her RelatedPerson nobody has her token
  const items = labelled(world).filter((item) => item.id !== 'mother-p1');
  const { type, id } = choices.of(items);
  const act = { act: 'delete', type, id } as const;
  return {
    said: `delete ${type}/${id}`,
    predict: (caller) => mayWrite(world, caller, act, now),
    send: () => ({ method: 'DELETE', path: `${type}/${id}` }),
    effect: (doing) => after(world, act, doing),
  };
};

const labels: Maker = (choices, world, now) => {
  const { type, id } = choices.of(labelled(world));
  const name = choices.of(['mask', 'unmask', 'hide', 'release'] as const);
  const side = choices.of(['patient', 'representatives'] as const);
  const stated = choices.once(2);
  const act: Act =
    name === 'mask'
      ? { act: name, type, id, atHoldersRequest: stated }
      : name === 'unmask'
        ? { act: name, type, id }
        : { act: name, type, id, side };
  const parameter =
    name === 'mask'
      ? [{ name: 'atHoldersRequest', valueBoolean: stated }]
      : name === 'unmask'
        ? []
        : [{ name: name === 'hide' ? 'from' : 'to', valueCode: side }];
  return {
    said: `${name} ${type}/${id}${name === 'mask' ? (stated ? ' as asked' : '') : ` ${side}`}`,
    predict: (caller) => mayWrite(world, caller, act, now),
    send: () => ({
      method: 'POST',
      path: `${type}/${id}/$${name}`,
      body: { resourceType: 'Parameters', ...(parameter.length === 0 ? {} : { parameter }) },
    }),
    effect: (doing) => after(world, act, doing),
  };
};

// ---- rights ---------------------------------------------------------------------------------------------------------

const bodyOf = (entry: Omit<ConsentItem, 'writtenBy' | 'type'>, caller: WorldCaller, now: Instant): ConsentParts => ({
  kind: entry.kind,
  patient: `Patient/${entry.person}`,
  performer: caller.kind === 'insurer' ? 'Organization/caisse' : `Patient/${entry.person}`,
  provision: entry.provision,
  dateTime: new Date(now).toISOString(),
  status: entry.status,
  ...(entry.actors[0] === undefined ? {} : { actor: `${entry.actors[0].type}/${entry.actors[0].id}` }),
  ...(entry.period === undefined ? {} : { period: entry.period }),
  ...(entry.state === undefined ? {} : { state: entry.state }),
  ...(entry.delegationKind === undefined ? {} : { delegationKind: entry.delegationKind }),
  ...(entry.delegatedRights === undefined ? {} : { delegatedRights: entry.delegatedRights }),
});

const consent: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const kind = choices.of<ConsentKind>([
    'professional-access',
    'professional-access',
    'professional-access',
    'organization-access',
    'attending-physician',
    'attending-physician',
    'delegation',
    'delegation',
    'document-default',
    'document-default',
    'emergency-btg',
    'emergency-etreat',
    'emergency-masked',
    'care-team-default',
    'feed-opposition',
    'profile-sharing',
  ]);
  const deny = kind === 'feed-opposition' || (!['attending-physician', 'delegation'].includes(kind) && choices.once(2));
  const structure: ActorRef = { type: 'Organization', id: choices.of(['s1', 's2']) };
  const clinician: ActorRef = { type: 'Practitioner', id: choices.of(clinicians) };
  const relative: ActorRef = {
    type: 'RelatedPerson',
    id: choices.of(Object.keys(relatives).filter((id) => relatives[id as keyof typeof relatives] === person)),
  };
  const actor: Readonly<Partial<Record<ConsentKind, ActorRef>>> = {
    'professional-access': clinician,
    'attending-physician': clinician,
    'organization-access': structure,
    'feed-opposition': choices.once(2) ? structure : clinician,
    delegation: relative,
  };
  const period = choices.of<Period>([{}, {}, {}, { end: day(now, 0) }, { end: day(now, 20) }, { start: day(now, 1) }]);
  const block = deny && (kind === 'professional-access' || kind === 'organization-access');
  const delegationKind = choices.once(2) ? 'caregiver' : 'legal';
  const named = actor[kind];
  const entry: Omit<ConsentItem, 'writtenBy' | 'type'> = {
    id: '',
    person,
    kind,
    provision: deny ? 'deny' : 'permit',
    actors: named === undefined ? [] : [named],
    status: 'active',
    ...(block || Object.keys(period).length === 0 ? {} : { period }),
    ...(kind === 'delegation' ? { delegationKind, delegatedRights: choices.once(2) ? ['message'] : [] } : {}),
  };
  const stated = choices.once(2);
  const act = {
    act: 'consent',
    entry,
    declared: stated,
    atHoldersRequest: stated,
    reason: true,
    ward: person === 'p1',
  } as const;
  // what an entry may state beside what it says: the declaration belongs to permits, the holder's request to blocks of professionals
  const declared = stated && !deny && (kind === 'professional-access' || kind === 'organization-access');
  const requested = stated && deny && kind === 'professional-access';
  return {
    said: `${deny ? 'deny' : 'permit'} ${kind} ${named?.id ?? ''} of ${person} ${JSON.stringify(period)}${kind === 'delegation' ? ` ${delegationKind}` : ''}${stated ? ', stated' : ''}`,
    predict: (caller) => consentPredicted(world, caller, { now, act, named }),
    others: firstFaults(world, now, person, ['patient', 'representative', 'professional', 'insurer']),
    send: (caller) => ({
      method: 'POST',
      path: 'Consent',
      body: consentBody({ ...bodyOf(entry, caller, now), declared, atHoldersRequest: requested }),
    }),
    effect: (doing) => after(world, act, doing),
  };
};

/** The order in which an entry is checked: the token, whom it is about, what it names, who writes it. */
function consentPredicted(
  world: World,
  caller: WorldCaller,
  {
    now,
    act,
    named,
  }: { readonly now: Instant; readonly act: Extract<Act, { act: 'consent' }>; readonly named: ActorRef | undefined },
): 'ok' | Refusal {
  const predicted = mayWrite(world, caller, act, now);
  if (predicted !== 'ok' && (predicted.status === 422 || caller.kind === 'feeder')) return predicted;
  if (named?.type !== 'RelatedPerson')
    return predicted !== 'ok' && predicted.status === 403 ? (byToken(caller) ?? predicted) : predicted;
  const relative = find(world, 'RelatedPerson', named.id);
  // contract.md: a RelatedPerson whom the writer does not see, or who carries a label, is not delegated to
  const seen = relative !== undefined && (caller.kind === 'insurer' || maySee(world, caller, relative, now).permit);
  return !seen || relative.deleted === true || relative.labels.length > 0 ? refused(422, 'C7') : predicted;
}

const ending: Maker = (choices, world, now) => {
  const entries = all(world, 'Consent').filter((one) => one.status === 'active' && one.kind !== 'space-existence');
  if (entries.length === 0) return consent(choices, world, now);
  const { id, kind } = choices.of(entries);
  const act = { act: 'end-consent', id, reason: true } as const;
  return {
    said: `end ${kind} ${id}`,
    predict: (caller) => mayWrite(world, caller, act, now),
    send: () => ({
      method: 'PATCH',
      path: `Consent/${id}`,
      body: [{ op: 'replace', path: '/status', value: 'inactive' }],
      headers: PATCH,
    }),
    effect: (doing) => after(world, act, doing),
  };
};

const PERMITTED: readonly SpaceState[] = ['open', 'active', 'legacy-dmp', 'suspended'];

const state: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const to = choices.of<SpaceState>([
    'active',
    'active',
    'active',
    'open',
    'suspended',
    'closed',
    'legacy-dmp',
    'opposed',
  ]);
  const id = `space-${person}`;
  const before = find(world, 'Consent', id);
  const change = {
    state: to,
    provision: PERMITTED.includes(to) ? 'permit' : 'deny',
    ...(to === 'legacy-dmp' ? { period: { end: day(now, 10) } } : {}),
  } as const;
  const entry = { id, person, kind: 'space-existence', actors: [], status: 'active', ...change } as const;
  const act = { act: 'consent', entry, reason: true } as const;
  return {
    said: `put the space of ${person} into ${to}`,
    predict: (caller) => {
      const status = before === undefined ? 404 : readStatus(world, caller, before, now);
      if (status !== 200) return refused(status, 'section 5');
      const predicted = mayWrite(world, caller, act, now);
      return predicted === 'ok' ? 'ok' : (byToken(caller) ?? predicted);
    },
    send: (caller) => ({
      method: 'PUT',
      path: `Consent/${id}`,
      body: consentBody({ ...bodyOf(entry, caller, now), id }),
    }),
    effect: () => inState(world, person, change),
  };
};

// ---- messages, teams, appointments ----------------------------------------------------------------------------------

const message: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const earlier = all(world, 'Communication').filter((one) => one.person === person);
  const answers = earlier.length > 0 && choices.once(2) ? choices.of(earlier) : undefined;
  const recipients: readonly ActorRef[] = [
    { type: 'Patient', id: person },
    { type: 'Practitioner', id: choices.of(clinicians) },
    { type: 'Organization', id: choices.of(['s1', 's3']) },
    ...(answers === undefined ? [] : [answers.sender, answers.recipient]),
  ];
  const recipient = choices.of(recipients);
  const act = {
    act: 'message',
    person,
    recipient,
    ...(answers === undefined ? {} : { inResponseTo: answers.id }),
  } as const;
  return {
    said: `write to ${recipient.id} about ${person}${answers === undefined ? '' : ` in answer to ${answers.id}`}`,
    predict: (caller) => {
      const predicted = mayWrite(world, caller, act, now);
      return predicted === 'ok' ? 'ok' : (byToken(caller) ?? predicted);
    },
    others: firstFaults(world, now, person, ['patient', 'representative', 'professional']),
    send: (caller) => {
      const sender = partyOf(caller, person);
      return {
        method: 'POST',
        path: 'Communication',
        body: communicationBody({
          subject: `Patient/${person}`,
          sender: `${sender.type}/${sender.id}`,
          recipient: `${recipient.type}/${recipient.id}`,
          text: 'a message',
          ...(answers === undefined ? {} : { inResponseTo: `Communication/${answers.id}` }),
        }),
      };
    },
    effect: (doing) => after(world, act, doing),
  };
};

type Team = {
  readonly id?: string;
  readonly person: string;
  readonly structure: string;
  readonly members: readonly string[];
  readonly status: 'active' | 'inactive';
};
const teamOf = ({ id, person, structure, members, status }: Team): Resource =>
  careTeamBody({
    ...(id === undefined ? {} : { id }),
    subject: `Patient/${person}`,
    organization: `Organization/${structure}`,
    members: members.map((one) => `Practitioner/${one}`),
    status,
  });

const team: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const structure = choices.of(['s1', 's2']);
  const members = [...new Set([choices.of(clinicians), choices.of(clinicians)])];
  const act = { act: 'team', person, structure, members } as const;
  return {
    said: `a team of ${members.join(' and ')} of ${structure} for ${person}`,
    predict: (caller) => {
      const predicted = mayWrite(world, caller, act, now);
      return predicted === 'ok' ? 'ok' : (byToken(caller) ?? predicted);
    },
    others: firstFaults(world, now, person, ['feeder', 'insurer']),
    send: () => ({ method: 'POST', path: 'CareTeam', body: teamOf({ ...act, status: 'active' }) }),
    effect: (doing) => after(world, act, doing),
  };
};

const membership: Maker = (choices, world, now) => {
  const teams = all(world, 'CareTeam').filter((one) => one.status === 'active');
  if (teams.length === 0) return team(choices, world, now);
  const one = choices.of(teams);
  const name = choices.of(['end-team', 'add-member', 'remove-member'] as const);
  const strangers = clinicians.filter((each) => !one.members.includes(each));
  const among = name === 'add-member' ? strangers : one.members;
  const member = among.length === 0 ? undefined : choices.of(among);
  if (name !== 'end-team' && member === undefined) return team(choices, world, now);
  const act: Act = name === 'end-team' ? { act: name, id: one.id } : { act: name, id: one.id, member: member ?? '' };
  const rest = one.members.filter((each) => each !== member);
  const members = name === 'end-team' ? one.members : name === 'add-member' ? [...one.members, member ?? ''] : rest;
  return {
    said: `${name} ${member ?? ''} of ${one.id}`,
    predict: (caller) => mayWrite(world, caller, act, now),
    send: () => ({
      method: 'PUT',
      path: `CareTeam/${one.id}`,
      body: teamOf({ ...one, members, status: name === 'end-team' ? 'inactive' : 'active' }),
    }),
    effect: (doing) => after(world, act, doing),
  };
};

const appointment: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const practitioners = [choices.of(clinicians)];
  const structures = choices.once(2) ? [choices.of(['s1', 's2'])] : [];
  const act = { act: 'appoint', person, practitioners, structures } as const;
  return {
    said: `an appointment of ${person} with ${[...practitioners, ...structures].join(' and ')}`,
    predict: (caller) => {
      const predicted = mayWrite(world, caller, act, now);
      return predicted === 'ok' ? 'ok' : (byToken(caller) ?? predicted);
    },
    others: firstFaults(world, now, person, ['patient', 'representative', 'professional', 'feeder']),
    send: () => ({
      method: 'POST',
      path: 'Appointment',
      body: appointmentBody({
        patient: `Patient/${person}`,
        participants: [
          ...practitioners.map((id) => `Practitioner/${id}`),
          ...structures.map((id) => `PractitionerRole/role-${id}`),
        ],
        labels: [],
      }),
    }),
    effect: (doing) => after(world, act, doing),
  };
};

/** W22: by whoever feeds, and by the holder's side, who label nothing. */
const vaccination: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const drawn = choices.of(LABELS);
  const actOf = (caller: WorldCaller): Act => ({
    ...{ act: 'feed', person, type: 'Immunization', confidentiality: 'N', identity: 'equal' },
    labels: byHolder(caller) ? [] : drawn,
  });
  return {
    said: `vaccinate ${person} ${drawn.join('+')}`,
    predict: (caller) => mayWrite(world, caller, actOf(caller), now),
    others: firstFaults(world, now, person, ['patient', 'representative', 'professional', 'feeder']),
    send: (caller) => ({
      method: 'POST',
      path: 'Immunization',
      body: immunizationBody({ patient: `Patient/${person}`, labels: byHolder(caller) ? [] : drawn, lot: fresh() }),
    }),
    effect: (doing) => after(world, actOf(doing.caller), doing),
  };
};

const profile: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const type = choices.of<ProfileType>(['Condition', 'AllergyIntolerance', 'Observation']);
  const act = { act: 'profile', person } as const;
  return {
    said: `note a ${type} of ${person}`,
    predict: (caller) => {
      const predicted = mayWrite(world, caller, act, now);
      // W8: nothing of the profile can be kept from representatives
      return predicted === 'ok' && caller.kind === 'patient' && caller.secret === true ? refused(403, 'W8') : predicted;
    },
    others: firstFaults(world, now, person, ['patient', 'representative']),
    send: () => ({ method: 'POST', path: type, body: profileBody(type, `Patient/${person}`, fresh()) }),
    effect: (doing) => after(world, act, doing, { type }),
  };
};

const payment: Maker = (choices, world, now) => {
  const person = choices.of(people);
  const type = choices.of<PayerType>(['Coverage', 'ExplanationOfBenefit']);
  const act = { act: 'payer', person } as const;
  return {
    said: `note a ${type} of ${person}`,
    predict: (caller) => mayWrite(world, caller, act, now),
    others: firstFaults(world, now, person, ['insurer']),
    send: () => ({
      method: 'POST',
      path: type,
      body: payerBody(type, {
        ...{ patient: `Patient/${person}`, insurer: 'Organization/caisse', labels: [], text: fresh() },
      }),
    }),
    effect: (doing) => after(world, act, doing, { type }),
  };
};

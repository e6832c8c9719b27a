/**
 * Worlds laid out by plan, for the soak: every ground × every switch of the person × every label × every authorship, one beside the other, so
 * that no cell of the decision table depends on chance. Everything else about the rules is left to the random worlds.
 */
import { baseInstant, directory, matrix, people } from './arbitraries.ts';
import type {
  ActorRef,
  ConsentItem,
  ConsentKind,
  FiledBy,
  Instant,
  Item,
  Label,
  SpaceState,
  World,
  WorldCaller,
} from './world.ts';

/** Who asks in these worlds, and acts for whom; `works` has a profession that feeds and does not consult (A1). */
const WHO = { person: 'dr1', profession: '10', structure: 's1' } as const;
const WORKS = { person: 'works', profession: '32', structure: 's1' } as const;

/** What lets `WHO` in, or keeps them out. */
const GROUNDS = [
  'attending-physician',
  'professional-access',
  'organization-access',
  'team',
  'nothing',
  'blocked',
] as const;
type Ground = (typeof GROUNDS)[number];

/** What the person says of emergencies: nothing, that masked documents are shown, that nothing is opened. */
const EMERGENCIES = ['silent', 'masked too', 'opposed'] as const;
type Emergency = (typeof EMERGENCIES)[number];

type Plan = {
  readonly ground: Ground;
  readonly emergency: Emergency;
  readonly masksAll: boolean;
  readonly state: SpaceState;
};

const LABELS: readonly (readonly Label[])[] = [
  [],
  ['MASQUE_PS'],
  ['INVISIBLE_PATIENT'],
  ['INVISIBLE_REPRESENTANTS_LEGAUX'],
];
const FILERS: Readonly<Record<'who' | 'works' | 'structure' | 'other', FiledBy>> = {
  who: { side: 'professional', person: WHO.person, structure: WHO.structure },
  works: { side: 'professional', person: WORKS.person, structure: WORKS.structure },
  structure: { side: 'feeder', structure: WHO.structure },
  other: { side: 'professional', person: 'dr2', structure: 's2' },
};
/** Read by the profession of `WHO`, outside its row, directives. */
const DOCUMENTS = { read: '11488-4', outside: 'ATTEST-RESID', directive: '42348-3' } as const;
const PROFILE = [
  'Condition',
  'AllergyIntolerance',
  'Procedure',
  'FamilyMemberHistory',
  'MedicationStatement',
  'Observation',
  'QuestionnaireResponse',
] as const;
/** Within the month before `baseInstant`: what is hidden from the person still is. */
const FILED_AT = '2026-10-01T09:00:00.000+02:00';

const practitioner = (id: string): ActorRef => ({ type: 'Practitioner', id });
const organization = (id: string): ActorRef => ({ type: 'Organization', id });

/** The rights of one person, as their plan has them. */
function rights(id: string, plan: Plan): readonly Item[] {
  const entry = (name: string, kind: ConsentKind, provision: 'permit' | 'deny', actor?: ActorRef): ConsentItem => ({
    ...{ type: 'Consent', id: `${name}-${id}`, person: id, kind, provision, status: 'active' },
    actors: actor === undefined ? [] : [actor],
    writtenBy: { side: kind === 'attending-physician' ? 'insurer' : 'holder' },
  });
  const team = (name: string, structure: string, members: readonly string[]): Item => ({
    ...{ type: 'CareTeam', id: `${name}-${id}`, person: id, structure, members, status: 'active' },
    writtenBy: { side: 'feeder', structure },
  });
  const items: Item[] = [
    {
      ...entry('space', 'space-existence', ['suspended', 'active', 'open'].includes(plan.state) ? 'permit' : 'deny'),
      ...{ state: plan.state, writtenBy: { side: 'insurer' } },
    },
    // somebody else's entry and team, so that what names the caller stands beside what does not
    entry('other', 'professional-access', 'permit', practitioner('nurse')),
    team('other-team', 's2', ['dr2']),
    entry('insured', 'profile-sharing', id === 'p1' ? 'deny' : 'permit'),
  ];
  switch (plan.ground) {
    case 'attending-physician':
    case 'professional-access':
      items.push(entry('ground', plan.ground, 'permit', practitioner(WHO.person)));
      break;
    case 'organization-access':
      items.push(entry('ground', plan.ground, 'permit', organization(WHO.structure)));
      break;
    case 'blocked':
      items.push(entry('ground', 'professional-access', 'deny', practitioner(WHO.person)));
      break;
    case 'team':
      items.push(team('team', WHO.structure, [WHO.person]));
      break;
    case 'nothing':
      break;
  }
  // what names the caller without opening anything, where nothing else does
  if (plan.ground !== 'blocked' && plan.ground !== 'professional-access')
    items.push({ ...entry('past', 'professional-access', 'permit', practitioner(WHO.person)), status: 'inactive' });
  if (plan.ground !== 'team' && plan.ground !== 'blocked')
    // a member of a structure for which they do not act here
    items.push(team('elsewhere', 's3', [WHO.person]));
  if (plan.emergency === 'masked too') items.push(entry('masked', 'emergency-masked', 'permit'));
  if (plan.emergency === 'opposed')
    items.push(entry('btg', 'emergency-btg', 'deny'), entry('etreat', 'emergency-etreat', 'deny'));
  if (plan.masksAll) items.push(entry('all', 'document-default', 'deny'));
  for (const kind of DELEGATES)
    items.push(
      { type: 'RelatedPerson', id: `${kind}-${id}`, person: id, labels: [], filedBy: { side: 'holder' } },
      {
        ...entry(`delegation-${kind}`, 'delegation', 'permit', { type: 'RelatedPerson', id: `${kind}-${id}` }),
        delegationKind: kind === 'legal' ? 'legal' : 'caregiver',
        delegatedRights: kind === 'messenger' ? ['message'] : [],
        ...(kind === 'past' ? { period: { end: '2026-10-09' } } : {}),
      },
    );
  return items;
}

const DELEGATES = ['legal', 'caregiver', 'messenger', 'past'] as const;

/** Everything that a person's space can hold, once for each label and each authorship. */
function content(id: string): readonly Item[] {
  const about = { person: id } as const;
  const items: Item[] = [];
  const acts: { readonly type: string; readonly id: string }[] = [];
  for (const [index, labels] of LABELS.entries()) {
    for (const [by, filedBy] of Object.entries(FILERS)) {
      for (const [kind, docType] of Object.entries(DOCUMENTS)) {
        const doc = `${kind}-${by}-${index}-${id}`;
        items.push(
          { type: 'DocumentReference', id: doc, ...about, docType, labels, filedBy, filedAt: FILED_AT },
          { type: 'Binary', id: `bytes-${doc}`, document: doc, filedBy },
          { type: 'Provenance', id: `provenance-${doc}`, ...about, documents: [doc], filedBy },
        );
        acts.push({ type: 'DocumentReference', id: doc });
      }
      items.push(
        { type: 'Immunization', id: `shot-${by}-${index}-${id}`, ...about, labels, filedBy, filedAt: FILED_AT },
        // created, taken part in, neither; a feeder of the structure counts for a feeder alone
        {
          ...{ type: 'Appointment', id: `visit-${by}-${index}-${id}`, ...about, labels, filedBy, filedAt: FILED_AT },
          ...{ practitioners: ['dr2'], structures: [] },
        },
      );
    }
    items.push({
      ...{ type: 'Appointment', id: `joined-${index}-${id}`, ...about, labels, filedBy: FILERS.other },
      ...{ filedAt: FILED_AT, practitioners: [WHO.person], structures: [] },
    });
    for (const type of ['Coverage', 'ExplanationOfBenefit'] as const)
      items.push({
        type,
        id: `paid-${index}-${id}`,
        ...about,
        labels,
        filedBy: { side: 'insurer' },
        filedAt: FILED_AT,
      });
    if (!labels.includes('INVISIBLE_PATIENT'))
      items.push({ type: 'RelatedPerson', id: `near-${index}-${id}`, ...about, labels, filedBy: { side: 'holder' } });
  }
  for (const type of PROFILE) items.push({ type, id: `own-${id}`, ...about });
  items.push({ type: 'List', id: `list-${id}`, ...about, documents: [`read-who-0-${id}`], filedBy: FILERS.who });
  const mine = practitioner(WHO.person);
  const theirs = practitioner('dr2');
  const holder: ActorRef = { type: 'Patient', id };
  for (const [name, sender] of Object.entries({ mine, theirs }))
    items.push({ type: 'Communication', id: `letter-${name}-${id}`, ...about, sender, recipient: holder });
  items.push({
    ...{ type: 'Communication', id: `spoken-for-${id}`, ...about },
    ...{ sender: { type: 'RelatedPerson', id: `legal-${id}` }, recipient: theirs },
  });
  items.push({ type: 'Task', id: `mine-${id}`, ...about, depositedBy: WHO.structure });
  items.push({ type: 'Task', id: `theirs-${id}`, ...about, depositedBy: 's2' });
  for (const [index, named] of acts.entries())
    items.push({
      ...{ type: 'AuditEvent', id: `event-${index}-${id}`, ...about, secret: index % 7 === 6, items: [named] },
      agent: index % 3 === 0 ? mine : theirs,
    });
  return items;
}

/** Three persons a world, each with the next plan. */
export function gridWorlds(): readonly World[] {
  const plans: Plan[] = GROUNDS.flatMap((ground) =>
    EMERGENCIES.flatMap((emergency) =>
      [false, true].map((masksAll): Plan => ({ ground, emergency, masksAll, state: 'active' })),
    ),
  );
  const shut = { ground: 'professional-access', emergency: 'silent', masksAll: false } as const;
  for (const state of ['closed', 'suspended', 'opposed'] as const) plans.push({ ...shut, state });
  const worlds: World[] = [];
  for (let at = 0; at < plans.length; at += people.length)
    worlds.push({
      policy: {
        emergencyOverridesBlock: false,
        payerDataToProfessionals: worlds.length % 2 === 0,
        depositMaxBytes: 5_000_000,
        matrix,
      },
      items: [
        ...directory,
        ...people.flatMap((id, index): readonly Item[] => [
          { type: 'Patient', id },
          ...rights(id, plans[at + index] as Plan),
          ...content(id),
        ]),
      ],
    });
  return worlds;
}

/** Who asks in each of them. */
export function gridCallers(): readonly WorldCaller[] {
  const anybody: readonly WorldCaller[] = [
    { kind: 'professional', ...WHO, purpose: 'TREAT' },
    { kind: 'professional', ...WORKS, purpose: 'TREAT' },
    { kind: 'professional', ...WHO, purpose: 'ETREAT' },
    { kind: 'feeder', structure: WHO.structure },
    { kind: 'feeder', structure: WHO.structure, patient: 'p1' },
    { kind: 'insurer' },
    { kind: 'insurer', patient: 'p1' },
    { kind: 'operator' },
    { kind: 'operator', patient: 'p1' },
    { kind: 'professional', ...WHO, purpose: 'TREAT', patient: 'p1' },
  ];
  return [
    ...anybody,
    ...people.flatMap((id): readonly WorldCaller[] => [
      ...[WHO, WORKS].flatMap((one): readonly WorldCaller[] => [
        { kind: 'professional', ...one, purpose: 'BTG', patient: id },
        { kind: 'professional', ...one, purpose: 'ETREAT', patient: id },
      ]),
      { kind: 'patient', person: id },
      ...DELEGATES.map((kind): WorldCaller => ({ kind: 'representative', related: `${kind}-${id}`, actsFor: id })),
    ]),
  ];
}

/** When all of them ask. */
export const gridInstant: Instant = baseInstant;

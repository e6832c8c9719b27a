/** Whom the model knows: a child with a mother and a caregiver, an adult with a caregiver, professionals and structures, and everybody's tokens. */
import { baseInstant, matrix, professionals, structures } from '../oracle/arbitraries.ts';
import type { ConsentItem, FiledBy, Item, Label, World, WorldCaller } from '../oracle/world.ts';

export const people = ['p1', 'p2'] as const;
export const clinicians = ['dr1', 'dr2', 'nurse', 'works'] as const;
export const relatives = { 'mother-p1': 'p1', 'neighbour-p1': 'p1', 'son-p2': 'p2' } as const;

const entry = (id: string, person: string, more: Partial<ConsentItem>): ConsentItem => ({
  type: 'Consent',
  id,
  person,
  kind: 'space-existence',
  provision: 'permit',
  actors: [],
  status: 'active',
  writtenBy: { side: 'insurer' },
  ...more,
});

const byHolder = { kind: 'professional-access', writtenBy: { side: 'holder' } } as const;

/** A document with its Binary and Provenance. */
const document = (id: string, person: string, filedBy: FiledBy, labels: readonly Label[]): readonly Item[] => [
  {
    ...{ type: 'DocumentReference', id, person, docType: '11488-4', labels, filedBy },
    filedAt: '2026-10-01T09:00:00.000+02:00',
  },
  { type: 'Binary', id: `bytes-${id}`, document: id, filedBy },
  { type: 'Provenance', id: `provenance-${id}`, person, documents: [id], filedBy },
];

/** The world that every run starts from, at `startsAt`. */
export const startingWorld: World = {
  policy: { emergencyOverridesBlock: false, payerDataToProfessionals: false, depositMaxBytes: 1000, matrix },
  items: [
    ...structures.map((id): Item => ({ type: 'Organization', id, pharmacy: id === 's3' })),
    { type: 'Organization', id: 'caisse' },
    ...clinicians.map((id): Item => ({ type: 'Practitioner', id })),
    ...structures.map((id): Item => ({ type: 'PractitionerRole', id: `role-${id}` })),
    ...people.flatMap((id): readonly Item[] => [
      { type: 'Patient', id },
      entry(`space-${id}`, id, { state: 'active' }),
    ]),
    ...Object.entries(relatives).map(
      ([id, person]): Item => ({ type: 'RelatedPerson', id, person, labels: [], filedBy: { side: 'holder' } }),
    ),
    entry('mothers', 'p1', {
      kind: 'delegation',
      actors: [{ type: 'RelatedPerson', id: 'mother-p1' }],
      delegationKind: 'legal',
      delegatedRights: [],
    }),
    entry('attending-p1', 'p1', { kind: 'attending-physician', actors: [{ type: 'Practitioner', id: 'dr1' }] }),
    entry('nurse-p1', 'p1', { ...byHolder, actors: [{ type: 'Practitioner', id: 'nurse' }] }),
    entry('dr2-p2', 'p2', { ...byHolder, actors: [{ type: 'Practitioner', id: 'dr2' }] }),
    entry('s1-p2', 'p2', { ...byHolder, kind: 'organization-access', actors: [{ type: 'Organization', id: 's1' }] }),
    ...document('report-p1', 'p1', { side: 'professional', person: 'dr1', structure: 's1' }, []),
    ...document('masked-p1', 'p1', { side: 'feeder', structure: 's2' }, ['MASQUE_PS']),
    ...document('announced-p2', 'p2', { side: 'professional', person: 'dr2', structure: 's2' }, ['INVISIBLE_PATIENT']),
    ...document('secret-p2', 'p2', { side: 'feeder', structure: 's1' }, ['INVISIBLE_REPRESENTANTS_LEGAUX']),
    {
      ...{ type: 'Immunization', id: 'shot-p1', person: 'p1', labels: [], filedAt: '2026-10-01T09:00:00.000+02:00' },
      filedBy: { side: 'professional', person: 'dr2', structure: 's2' },
    },
    {
      ...{ type: 'Immunization', id: 'shot-p2', person: 'p2', filedAt: '2026-10-01T09:00:00.000+02:00' },
      ...{ labels: ['MASQUE_PS'], filedBy: { side: 'feeder', structure: 's1' } },
    },
    { type: 'Condition', id: 'condition-p2', person: 'p2' },
    {
      ...{ type: 'Coverage', id: 'coverage-p1', person: 'p1', labels: [], filedBy: { side: 'insurer' } },
      filedAt: '2026-10-01T09:00:00.000+02:00',
    },
    {
      ...{ type: 'Communication', id: 'letter-p1', person: 'p1' },
      sender: { type: 'Practitioner', id: 'nurse' },
      recipient: { type: 'Patient', id: 'p1' },
    },
  ],
};
export const startsAt = baseInstant;

const professional = (
  person: (typeof clinicians)[number],
  structure: string,
  more: Partial<Extract<WorldCaller, { kind: 'professional' }>> = {},
): WorldCaller => ({
  kind: 'professional',
  person,
  profession: professionals[person],
  structure,
  purpose: 'TREAT',
  ...more,
});

/** Every caller of the model. */
export const callers: readonly WorldCaller[] = [
  ...people.flatMap((person): readonly WorldCaller[] => [
    { kind: 'patient', person },
    { kind: 'patient', person, secret: true },
  ]),
  ...Object.entries(relatives).map(([related, actsFor]): WorldCaller => ({ kind: 'representative', related, actsFor })),
  professional('dr1', 's1'),
  professional('dr1', 's2'),
  professional('dr1', 's1', { secret: true }),
  professional('dr1', 's1', { patient: 'p2' }),
  professional('dr1', 's1', { purpose: 'BTG', patient: 'p1' }),
  professional('dr2', 's2'),
  professional('dr2', 's1', { purpose: 'ETREAT', patient: 'p1' }),
  professional('dr2', 's1', { purpose: 'ETREAT' }),
  professional('nurse', 's1'),
  professional('nurse', 's3', { purpose: 'BTG', patient: 'p2' }),
  professional('works', 's2'),
  { kind: 'feeder', structure: 's1' },
  { kind: 'feeder', structure: 's2' },
  { kind: 'feeder', structure: 's1', patient: 'p1' },
  { kind: 'insurer' },
  { kind: 'operator' },
];

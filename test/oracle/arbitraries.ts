/**
 * Random worlds for fast-check, biased so that each cell of (caller kind × type × label × ground × mode × state) turns
 * up often. `tame` worlds can be built through the public API alone (one active entry a key, A7 applied, only types and
 * writers that the API offers); `wild` ones add what an API would refuse, or does not serve yet.
 */
import fc from 'fast-check';
import type {
  ActorRef,
  CareTeamItem,
  ConsentItem,
  ConsentKind,
  FiledBy,
  Item,
  Label,
  Period,
  SpaceState,
  World,
  WorldCaller,
  WorldPolicy,
} from './world.ts';

/** The instant at which tame worlds are first asked; everything in them was written before. */
export const baseInstant = Date.parse('2026-10-10T12:00:00.000+02:00');

/** Instants worth asking at: bounds of the periods and months below, and one second either side. */
export const instants: readonly number[] = [
  '2026-10-10T12:00:00.000+02:00',
  '2026-10-10T12:00:01.000+02:00',
  '2026-10-10T23:59:59.999+02:00',
  '2026-10-11T00:00:00.000+02:00',
  '2026-10-25T02:29:59.999+01:00',
  '2026-10-25T02:30:00.000+01:00',
  '2026-10-25T23:59:59.999+01:00',
  '2026-10-26T00:00:00.000+01:00',
  '2026-10-31T23:59:59.999+01:00',
  '2026-11-01T00:00:00.000+01:00',
  '2026-12-31T23:59:59.999+01:00',
  '2027-01-01T00:00:00.000+01:00',
].map((text) => Date.parse(text));

/** Cast: `p1` is a child, so that legal delegations can be written for them. */
export const people = ['p1', 'p2', 'p3'] as const;
export const structures = ['s1', 's2', 's3'] as const;
/** Professionals with the TRE_G15 code of their profession. */
export const professionals = { dr1: '10', dr2: '10', nurse: '60', works: '32', none: '98' } as const;
const names = Object.keys(professionals) as readonly (keyof typeof professionals)[];
/** Document types: read by all, by physicians, by none, directives. */
export const docTypes = ['11488-4', '34112-3', 'ATTEST-RESID', '42348-3'] as const;

/** The matrix of the tame worlds (TRE_G15 codes). */
export const matrix: WorldPolicy['matrix'] = {
  '10': { consult: true, read: ['11488-4', '34112-3'] },
  '60': { consult: true, read: ['11488-4'] },
  '32': { consult: false, read: ['11488-4', '34112-3'] },
};

const periods: readonly (Period | undefined)[] = [
  undefined,
  undefined,
  undefined,
  { end: '2026-10-10' },
  { end: '2026-10-09' },
  { start: '2026-10-11' },
  { start: '2026-10', end: '2026-10' },
  { end: '2026' },
  { start: '2026-10-10T12:00:01+02:00' },
  { end: '2026-10-10T12:00:00+02:00' },
  { end: '2026-10-25' },
];
const wildPeriods: readonly Period[] = [
  { start: '2026-11', end: '2026-09' },
  { start: 'soon' },
  { start: 'soon', end: '2026-10-09' },
  { end: '2026-10-10T12:00:00' },
];
const labelSets: readonly (readonly Label[])[] = [
  [],
  [],
  ['MASQUE_PS'],
  ['INVISIBLE_PATIENT'],
  ['INVISIBLE_REPRESENTANTS_LEGAUX'],
  ['MASQUE_PS', 'INVISIBLE_REPRESENTANTS_LEGAUX'],
  ['INVISIBLE_PATIENT', 'INVISIBLE_REPRESENTANTS_LEGAUX'],
];
const filings: readonly string[] = [
  '2026-08-31T10:00:00.000+02:00',
  '2026-09-10T11:59:59.000+02:00',
  '2026-09-10T12:00:00.500+02:00',
  '2026-09-25T02:30:00.000+02:00',
  '2026-10-01T09:00:00.000+02:00',
];

const pick = <T>(values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const person = (id: string): ActorRef => ({ type: 'Patient', id });
const practitioner = (id: string): ActorRef => ({ type: 'Practitioner', id });
const organization = (id: string): ActorRef => ({ type: 'Organization', id });

const filer: fc.Arbitrary<FiledBy> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      side: fc.constant('professional' as const),
      person: pick(names),
      structure: pick(structures),
    }),
  },
  { weight: 1, arbitrary: fc.record({ side: fc.constant('feeder' as const), structure: pick(structures) }) },
);

const consentSpec = fc
  .record({
    kind: pick<ConsentKind>([
      'professional-access',
      'professional-access',
      'professional-access',
      'organization-access',
      'attending-physician',
      'attending-physician',
      'care-team-default',
      'emergency-btg',
      'emergency-etreat',
      'emergency-masked',
      'emergency-masked',
      'feed-opposition',
      'document-default',
      'profile-sharing',
      'profile-sharing',
    ]),
    permit: fc.boolean(),
    by: pick(names),
    at: pick(structures),
    period: pick(periods),
    ended: fc.constantFrom(false, false, false, true),
  })
  .map(({ kind, permit, by, at, period, ended }) => {
    const provision =
      kind === 'attending-physician' ? 'permit' : kind === 'feed-opposition' ? 'deny' : permit ? 'permit' : 'deny';
    const named = kind === 'professional-access' || kind === 'attending-physician' || kind === 'feed-opposition';
    const actors = named ? [practitioner(by)] : kind === 'organization-access' ? [organization(at)] : [];
    const blocks = provision === 'deny' && (named || kind === 'organization-access');
    return { kind, provision, actors, ended, period: blocks ? undefined : period } as const;
  });

const documentSpec = fc.record({
  docType: pick(docTypes),
  labels: pick(labelSets),
  filedBy: filer,
  filedAt: pick(filings),
  deleted: fc.constantFrom(false, false, false, false, true),
  unmask: fc.boolean(),
  replaced: fc.constantFrom(false, false, false, true),
  listed: fc.boolean(),
  secret: fc.constantFrom(false, false, false, true),
});

const relatedSpec = fc.record({
  labels: pick<readonly Label[]>([[], [], ['MASQUE_PS'], ['INVISIBLE_REPRESENTANTS_LEGAUX']]),
  delegations: fc.uniqueArray(
    fc.record({
      legal: fc.boolean(),
      messages: fc.boolean(),
      period: pick(periods),
      ended: fc.constantFrom(false, false, false, true),
    }),
    { maxLength: 2, selector: (one) => one.legal },
  ),
});

const teamSpec = fc.record({
  structure: pick(structures),
  members: fc.uniqueArray(pick(names), { minLength: 1, maxLength: 3 }),
  ended: fc.constantFrom(false, false, true),
  period: pick(periods),
  insurer: fc.constantFrom(false, false, true),
});

const appointmentSpec = fc.record({
  by: pick(['holder', 'professional', 'feeder'] as const),
  who: pick(names),
  at: pick(structures),
  throughStructure: fc.boolean(),
  also: pick(names),
  labels: pick(labelSets),
  filedAt: pick(filings),
});

const vaccineSpec = fc.record({
  labels: pick(labelSets),
  filedBy: fc.oneof(filer, filer, fc.constant<FiledBy>({ side: 'holder' })),
  filedAt: pick(filings),
  deleted: fc.constantFrom(false, false, false, true),
  unmask: fc.boolean(),
});

const profileTypes = [
  'Condition',
  'AllergyIntolerance',
  'Procedure',
  'FamilyMemberHistory',
  'MedicationStatement',
  'Observation',
  'QuestionnaireResponse',
] as const;
const profileSpec = fc.record({ type: pick(profileTypes), deleted: fc.constantFrom(false, false, false, true) });

const payerSpec = fc.record({
  type: pick(['ExplanationOfBenefit', 'Coverage'] as const),
  labels: pick(labelSets),
  filedAt: pick(filings),
});

const letterSpec = fc.record({ who: pick(names), answered: fc.boolean() });

const personSpec = fc.record({
  state: fc.oneof(
    { weight: 6, arbitrary: fc.constant<SpaceState>('active') },
    { weight: 2, arbitrary: fc.constant<SpaceState>('open') },
    { weight: 2, arbitrary: fc.constant<SpaceState>('legacy-dmp') },
    { weight: 2, arbitrary: pick<SpaceState>(['suspended', 'closed', 'invited', 'opposed', 'deceased']) },
  ),
  legacyEnd: pick(['2026-10-09', '2026-10-10', '2026-10-25', '2026-12']),
  consents: fc.array(consentSpec, { minLength: 1, maxLength: 8 }),
  relateds: fc.array(relatedSpec, { minLength: 1, maxLength: 2 }),
  documents: fc.array(documentSpec, { minLength: 2, maxLength: 5 }),
  teams: fc.array(teamSpec, { maxLength: 2 }),
  letters: fc.array(letterSpec, { maxLength: 2 }),
  appointments: fc.array(appointmentSpec, { maxLength: 2 }),
  vaccines: fc.array(vaccineSpec, { maxLength: 2 }),
  profile: fc.array(profileSpec, { maxLength: 3 }),
  payments: fc.array(payerSpec, { maxLength: 2 }),
});

type PersonSpec = typeof personSpec extends fc.Arbitrary<infer S> ? S : never;

const opens: readonly SpaceState[] = ['open', 'active', 'legacy-dmp', 'suspended'];

/** Items of one person; entries come in the order in which they are written. */
function personItems(id: string, spec: PersonSpec): readonly Item[] {
  const items: Item[] = [{ type: 'Patient', id }];
  const space: ConsentItem = {
    type: 'Consent',
    id: `space-${id}`,
    person: id,
    kind: 'space-existence',
    provision: opens.includes(spec.state) ? 'permit' : 'deny',
    actors: [],
    status: 'active',
    state: spec.state,
    writtenBy: { side: 'insurer' },
    ...(spec.state === 'legacy-dmp' ? { period: { end: spec.legacyEnd } } : {}),
  };
  items.push(space);
  const consents: ConsentItem[] = spec.consents.map((one, index) => ({
    type: 'Consent',
    id: `consent-${id}-${index}`,
    person: id,
    kind: one.kind,
    provision: one.provision,
    actors: one.actors,
    status: one.ended ? 'inactive' : 'active',
    writtenBy: one.kind === 'attending-physician' ? { side: 'insurer' } : { side: 'holder' },
    ...(one.period === undefined ? {} : { period: one.period }),
  }));
  spec.relateds.forEach((one, index) => {
    const related = `related-${id}-${index}`;
    const delegations = one.delegations.filter((each) => !each.legal || id === 'p1');
    items.push({
      type: 'RelatedPerson',
      id: related,
      person: id,
      labels: delegations.length > 0 ? [] : one.labels,
      filedBy: { side: 'holder' },
    });
    delegations.forEach((each, at) => {
      consents.push({
        type: 'Consent',
        id: `delegation-${id}-${index}-${at}`,
        person: id,
        kind: 'delegation',
        provision: 'permit',
        actors: [{ type: 'RelatedPerson', id: related }],
        status: each.ended ? 'inactive' : 'active',
        delegationKind: each.legal ? 'legal' : 'caregiver',
        delegatedRights: each.messages ? ['message'] : [],
        writtenBy: { side: each.legal ? 'insurer' : 'holder' },
        ...(each.period === undefined ? {} : { period: each.period }),
      });
    });
  });
  const teams: CareTeamItem[] = spec.teams.map((one, index) => ({
    type: 'CareTeam',
    id: `team-${id}-${index}`,
    person: id,
    structure: one.structure,
    members: one.members,
    status: one.ended ? 'inactive' : 'active',
    writtenBy: one.insurer ? { side: 'insurer' } : { side: 'feeder', structure: one.structure },
    ...(one.period === undefined ? {} : { period: one.period }),
  }));
  const settled = settle(consents, teams);
  items.push(...settled.consents, ...settled.teams, ...documentItems(id, spec, settled.consents));
  spec.letters.forEach((one, index) => {
    const first = `letter-${id}-${index}`;
    items.push({ type: 'Communication', id: first, person: id, sender: practitioner(one.who), recipient: person(id) });
    if (one.answered)
      items.push({
        type: 'Communication',
        id: `${first}-answer`,
        person: id,
        sender: person(id),
        recipient: practitioner(one.who),
        inResponseTo: first,
      });
  });
  spec.appointments.forEach((one, index) => {
    const { by, who, at } = one;
    const through = by === 'feeder' || (by === 'professional' && one.throughStructure);
    const filedBy: FiledBy =
      by === 'holder'
        ? { side: 'holder' }
        : by === 'feeder'
          ? { side: 'feeder', structure: at }
          : { side: 'professional', person: who, structure: at };
    items.push({
      type: 'Appointment',
      id: `appointment-${id}-${index}`,
      person: id,
      labels: by === 'holder' ? [] : one.labels,
      filedBy,
      filedAt: one.filedAt,
      practitioners: through ? [one.also] : [...new Set([who, one.also])],
      structures: through ? [at] : [],
    });
  });
  items.push(...vaccineItems(id, spec, settled.consents));
  spec.profile.forEach(({ type, deleted }, index) => {
    items.push({ type, id: `own-${id}-${index}`, person: id, ...(deleted ? { deleted } : {}) });
  });
  spec.payments.forEach((one, index) => {
    items.push({ ...one, id: `paid-${id}-${index}`, person: id, filedBy: { side: 'insurer' } });
  });
  return items;
}

/** The `document-default` deny that stands without a period: what the holder unmasks while it does is exempt (W5). */
const maskingOf = (consents: readonly ConsentItem[]): ConsentItem | undefined =>
  consents.find(
    (one) =>
      one.kind === 'document-default' &&
      one.provision === 'deny' &&
      one.status === 'active' &&
      one.period === undefined,
  );

function vaccineItems(id: string, spec: PersonSpec, consents: readonly ConsentItem[]): readonly Item[] {
  const masking = maskingOf(consents);
  return spec.vaccines.map((one, index): Item => {
    // W6: the holder hides nothing from themself
    const labels =
      one.filedBy.side === 'holder' ? one.labels.filter((label) => label !== 'INVISIBLE_PATIENT') : one.labels;
    const unmask = masking !== undefined && one.unmask && !one.deleted && !labels.includes('INVISIBLE_PATIENT');
    return {
      type: 'Immunization',
      id: `vaccine-${id}-${index}`,
      person: id,
      labels: unmask ? labels.filter((label) => label !== 'MASQUE_PS') : labels,
      filedBy: one.filedBy,
      filedAt: one.filedAt,
      ...(one.deleted ? { deleted: true } : {}),
      ...(unmask ? { unmaskedUnder: masking.id } : {}),
    };
  });
}

/** contract.md "Consents", one active entry a key (the last one), and A7: a block ends permits and memberships. */
function settle(
  consents: readonly ConsentItem[],
  teams: readonly CareTeamItem[],
): { readonly consents: readonly ConsentItem[]; readonly teams: readonly CareTeamItem[] } {
  const key = (one: ConsentItem): string =>
    [one.kind, one.delegationKind, ...one.actors.map((actor) => `${actor.type}/${actor.id}`)].join(' ');
  const active = consents.filter(
    (one, index) =>
      one.status === 'active' &&
      !consents.some((later, at) => at > index && later.status === 'active' && key(later) === key(one)),
  );
  const blocked = new Set(
    active
      .filter((one) => one.provision === 'deny' && ['professional-access', 'organization-access'].includes(one.kind))
      .flatMap((one) => one.actors.map((actor) => `${actor.type}/${actor.id}`)),
  );
  const isBlocked = (actor: ActorRef): boolean => blocked.has(`${actor.type}/${actor.id}`);
  return {
    consents: consents.map((one): ConsentItem => {
      if (one.status === 'inactive') return { ...one, endedBy: 'update' };
      if (!active.includes(one)) return { ...one, status: 'inactive', endedBy: 'successor' };
      if (one.provision === 'permit' && one.actors.some(isBlocked))
        return { ...one, status: 'inactive', endedBy: 'block' };
      return one;
    }),
    teams: teams.map((one): CareTeamItem => {
      const structureBlocked = isBlocked(organization(one.structure));
      return {
        ...one,
        formerMembers: one.members,
        members: one.members.filter((member) => !isBlocked(practitioner(member))),
        ...(structureBlocked && one.status === 'active' ? { status: 'inactive', endedByBlock: true } : {}),
      };
    }),
  };
}

/** Documents with their Binary and Provenance, a List over those listed of one author, replacements. */
function documentItems(id: string, spec: PersonSpec, consents: readonly ConsentItem[]): readonly Item[] {
  const masking = maskingOf(consents);
  const items: Item[] = [];
  const listed: string[] = [];
  const author = spec.documents[0]?.filedBy;
  spec.documents.forEach((one, index) => {
    const doc = `doc-${id}-${index}`;
    const hidden = one.labels.includes('INVISIBLE_PATIENT');
    const secret = one.secret && one.filedBy.side === 'professional';
    // W8: what is filed in a secret session gets L3
    const labels: readonly Label[] = secret
      ? [...new Set<Label>([...one.labels, 'INVISIBLE_REPRESENTANTS_LEGAUX'])]
      : one.labels;
    // what the holder does not see when the unmasking is done, they cannot unmask; own MASQUE_PS goes with it
    const unmask = masking !== undefined && one.unmask && !one.deleted && !one.replaced && !hidden;
    const common = { person: id, filedBy: one.filedBy, ...(one.deleted ? { deleted: true } : {}) } as const;
    items.push({
      type: 'DocumentReference',
      id: doc,
      docType: one.docType,
      labels: unmask ? labels.filter((label) => label !== 'MASQUE_PS') : labels,
      ...(secret ? { secretSession: true } : {}),
      filedAt: one.filedAt,
      ...common,
      ...(unmask ? { unmaskedUnder: masking.id } : {}),
      ...(one.replaced ? { superseded: true } : {}),
    });
    items.push({
      type: 'Binary',
      id: `bytes-${doc}`,
      document: doc,
      filedBy: one.filedBy,
      ...(one.deleted ? { deleted: true } : {}),
    });
    items.push({ type: 'Provenance', id: `provenance-${doc}`, documents: [doc], ...common });
    if (one.replaced && !one.deleted) {
      items.push({
        type: 'DocumentReference',
        id: `${doc}-next`,
        person: id,
        filedBy: one.filedBy,
        docType: one.docType,
        labels,
        filedAt: replacedAt,
        replaces: doc,
      });
      items.push({ type: 'Binary', id: `bytes-${doc}-next`, document: `${doc}-next`, filedBy: one.filedBy });
    }
    if (one.listed && !one.deleted && JSON.stringify(one.filedBy) === JSON.stringify(author)) listed.push(doc);
  });
  if (author !== undefined && listed.length > 0)
    items.push({ type: 'List', id: `list-${id}`, person: id, documents: listed, filedBy: author });
  return items;
}

/** When the Binary that nothing refers to was sent: it may be swept an hour later. */
export const looseAt = baseInstant - 1_800_000;

/** When the replacements of tame worlds are filed. */
export const replacedAt = '2026-10-02T09:00:00.000+02:00';

/** The directory of every world. */
export const directory: readonly Item[] = [
  ...structures.map((id): Item => ({ type: 'Organization', id, pharmacy: id === 's3' })),
  { type: 'Organization', id: 'caisse' },
  ...names.map((id): Item => ({ type: 'Practitioner', id })),
  ...structures.map((id): Item => ({ type: 'PractitionerRole', id: `role-${id}` })),
];

const policyArbitrary: fc.Arbitrary<WorldPolicy> = fc.record({
  emergencyOverridesBlock: fc.constantFrom(false, false, true),
  payerDataToProfessionals: fc.boolean(),
  depositMaxBytes: fc.constant(5_000_000),
  matrix: fc.constant(matrix),
});

/** A world that the public API can build. */
export const tameWorld: fc.Arbitrary<World> = fc
  .record({ policy: policyArbitrary, specs: fc.tuple(personSpec, personSpec, personSpec), loose: filer })
  .map(({ policy, specs, loose }) => ({
    policy,
    items: [
      { type: 'Binary', id: 'loose', filedBy: loose },
      ...directory,
      ...people.flatMap((id, index) => personItems(id, specs[index] as PersonSpec)),
    ],
  }));

const wildSpec = fc.record({
  malformed: fc.array(
    fc.record({
      kind: pick<ConsentKind>([
        'professional-access',
        'organization-access',
        'attending-physician',
        'emergency-btg',
        'document-default',
        'profile-sharing',
        'delegation',
        'space-existence',
      ]),
      provision: pick(['permit', 'deny'] as const),
      actors: fc.subarray([
        practitioner('dr1'),
        practitioner('nurse'),
        organization('s1'),
        { type: 'RelatedPerson', id: 'related-p1-0' } as const,
      ]),
      period: pick([undefined, ...wildPeriods, ...periods]),
      malformed: fc.boolean(),
      person: pick(people),
    }),
    { maxLength: 3 },
  ),
  labelled: fc.array(
    fc.record({
      type: pick(['Immunization', 'Coverage', 'ExplanationOfBenefit'] as const),
      labels: pick(labelSets),
      filedBy: filer,
      filedAt: pick(filings),
      dated: fc.boolean(),
      person: pick(people),
    }),
    { maxLength: 4 },
  ),
  profile: fc.array(
    fc.record({
      type: pick([
        'Condition',
        'AllergyIntolerance',
        'Procedure',
        'FamilyMemberHistory',
        'MedicationStatement',
        'Observation',
        'QuestionnaireResponse',
      ] as const),
      person: pick(people),
    }),
    { minLength: 2, maxLength: 6 },
  ),
  events: fc.array(
    fc.record({
      person: pick([...people, undefined]),
      agent: fc.oneof(pick(names).map(practitioner), pick(people).map(person)),
      documents: fc.subarray(['doc-p1-0', 'doc-p1-1', 'doc-p2-0', 'gone']),
      secret: fc.boolean(),
    }),
    { maxLength: 4 },
  ),
  tasks: fc.array(fc.record({ person: pick([...people, undefined]), depositedBy: pick(structures) }), { maxLength: 2 }),
  deposits: fc.array(
    fc.record({
      docType: pick(docTypes),
      labels: pick(labelSets),
      person: pick(people),
      side: pick(['holder', 'representative'] as const),
    }),
    { maxLength: 2 },
  ),
});

/** A world with malformed entries, unknown dates, types not served, and everything else an oracle should withstand. */
export const wildWorld: fc.Arbitrary<World> = fc.tuple(tameWorld, wildSpec).map(([tame, spec]) => {
  const items: Item[] = [...tame.items];
  spec.malformed.forEach(({ period, ...one }, index) => {
    items.push({
      type: 'Consent',
      id: `odd-${index}`,
      status: 'active',
      writtenBy: { side: 'holder' },
      ...one,
      ...(period === undefined ? {} : { period }),
    });
  });
  spec.labelled.forEach(({ filedAt, dated, ...one }, index) => {
    items.push({ id: `labelled-${index}`, ...one, ...(dated ? { filedAt } : {}) });
  });
  spec.profile.forEach((one, index) => {
    items.push({ id: `profile-${index}`, ...one });
  });
  spec.events.forEach((one, index) => {
    items.push({
      type: 'AuditEvent',
      id: `event-${index}`,
      agent: one.agent,
      items: one.documents.map((id) => ({ type: 'DocumentReference', id })),
      secret: one.secret,
      ...(one.person === undefined ? {} : { person: one.person }),
    });
  });
  spec.tasks.forEach((one, index) => {
    items.push({
      type: 'Task',
      id: `task-${index}`,
      depositedBy: one.depositedBy,
      ...(one.person === undefined ? {} : { person: one.person }),
    });
  });
  spec.deposits.forEach((one, index) => {
    items.push({
      type: 'DocumentReference',
      id: `deposit-${index}`,
      person: one.person,
      docType: one.docType,
      labels: one.labels,
      filedBy:
        one.side === 'holder' ? { side: 'holder' } : { side: 'representative', related: `related-${one.person}-0` },
      filedAt: '2026-10-01T09:00:00Z',
    });
  });
  return { policy: tame.policy, items: exemptFromOne(items) };
});

/**
 * W5: an item is exempt from the one "mask everything" that stood. The API lets one stand at a time, and the server records no more than that an item is
 * exempt; so where a misshapen world has two for one person, nothing of theirs is.
 */
function exemptFromOne(items: readonly Item[]): readonly Item[] {
  const denies = new Map<string, number>();
  for (const item of items)
    if (
      item.type === 'Consent' &&
      item.kind === 'document-default' &&
      item.provision === 'deny' &&
      item.status === 'active'
    )
      denies.set(item.person, (denies.get(item.person) ?? 0) + 1);
  return items.map((item): Item => {
    if (!('unmaskedUnder' in item) || (denies.get(item.person) ?? 0) < 2) return item;
    const { unmaskedUnder: _u, ...rest } = item;
    return rest;
  });
}

const denseSpec = fc.record({
  who: pick(['dr1', 'dr2', 'nurse', 'works'] as const),
  at: pick(structures),
  grounds: fc.subarray(['attending-physician', 'professional-access', 'organization-access', 'team'] as const, {
    maxLength: 2,
  }),
  standing: fc.subarray(
    ['document-default', 'emergency-masked', 'emergency-btg', 'emergency-etreat', 'profile-sharing'] as const,
    { maxLength: 3 },
  ),
  documents: fc.array(
    fc.record({
      docType: pick(docTypes),
      labels: pick(labelSets),
      by: pick(['who', 'at', 'other', 'holder'] as const),
      filedAt: pick(filings),
    }),
    { minLength: 3, maxLength: 6 },
  ),
  appointments: fc.array(
    fc.record({
      labels: pick(labelSets),
      by: pick(['who', 'at', 'holder'] as const),
      takesPart: fc.boolean(),
      filedAt: pick(filings),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  delegation: pick(['legal', 'legal', 'caregiver', 'messenger'] as const),
});

/**
 * A wild world in which one professional of one structure has to do with each person in every way at once: grounds, authorship, messages,
 * appointments, acts. Combinations that chance alone would seldom bring about are in every other world.
 */
export const denseWorld: fc.Arbitrary<World> = fc
  .tuple(wildWorld, fc.tuple(denseSpec, denseSpec, denseSpec))
  .map(([wild, specs]) => ({
    policy: wild.policy,
    items: exemptFromOne([...wild.items, ...people.flatMap((id, index) => denseItems(id, specs[index] as DenseSpec))]),
  }));

/** The callers of whom a dense world is full: the professional in each mode, their structure, a representative, for each person. */
export function denseCallers(world: World): readonly WorldCaller[] {
  return people.flatMap((id): readonly WorldCaller[] => {
    const first = world.items.find((item) => item.type === 'DocumentReference' && item.id === `dense-doc-${id}-0`);
    if (first?.type !== 'DocumentReference') return [];
    const { structure = 's1' } = first.filedBy;
    const who = first.filedBy.person as keyof typeof professionals;
    const one = { kind: 'professional', person: who, profession: professionals[who], structure } as const;
    return [
      { kind: 'representative', related: `related-${id}-dense`, actsFor: id },
      { kind: 'feeder', structure },
      { ...one, purpose: 'TREAT' },
      { ...one, purpose: 'BTG', patient: id },
      { ...one, purpose: 'ETREAT', patient: id },
      { ...one, structure: structures.find((other) => other !== structure) ?? structure, purpose: 'TREAT' },
      { ...one, person: 'dr1', profession: professionals.dr1, purpose: 'TREAT' },
      { ...one, person: 'dr1', profession: professionals.dr1, purpose: 'BTG', patient: id },
      { ...one, person: 'dr1', profession: professionals.dr1, purpose: 'ETREAT', patient: id },
    ];
  });
}

type DenseSpec = typeof denseSpec extends fc.Arbitrary<infer S> ? S : never;

function denseItems(id: string, spec: DenseSpec): readonly Item[] {
  const { who, at } = spec;
  const about = { person: id } as const;
  const entry = (kind: ConsentKind, provision: 'permit' | 'deny', more: Partial<ConsentItem> = {}): ConsentItem => ({
    ...{ type: 'Consent', id: `dense-${kind}-${id}`, ...about, kind, provision, actors: [], status: 'active' },
    writtenBy: { side: kind === 'attending-physician' ? 'insurer' : 'holder' },
    ...more,
  });
  const related: Item = {
    type: 'RelatedPerson',
    id: `related-${id}-dense`,
    ...about,
    labels: [],
    filedBy: { side: 'holder' },
  };
  const items: Item[] = [related];
  items.push(
    entry('delegation', 'permit', {
      actors: [{ type: 'RelatedPerson', id: related.id }],
      delegationKind: spec.delegation === 'legal' ? 'legal' : 'caregiver',
      delegatedRights: spec.delegation === 'messenger' ? ['message'] : [],
    }),
  );
  for (const ground of spec.grounds)
    if (ground === 'team')
      items.push({
        ...{ type: 'CareTeam', id: `dense-team-${id}`, ...about, structure: at, members: [who], status: 'active' },
        writtenBy: { side: 'feeder', structure: at },
      });
    else
      items.push(
        entry(ground, 'permit', { actors: [ground === 'organization-access' ? organization(at) : practitioner(who)] }),
      );
  for (const kind of spec.standing)
    items.push(entry(kind, kind === 'emergency-masked' || kind === 'profile-sharing' ? 'permit' : 'deny'));
  const filers: Readonly<Record<'who' | 'at' | 'other' | 'holder', FiledBy>> = {
    who: { side: 'professional', person: who, structure: at },
    at: { side: 'feeder', structure: at },
    other: { side: 'professional', person: 'none', structure: structures.find((one) => one !== at) ?? at },
    holder: { side: 'holder' },
  };
  spec.documents.forEach(({ by: drawn, ...one }, index) => {
    const by = index === 0 ? 'who' : drawn;
    const doc = `dense-doc-${id}-${index}`;
    const filedBy = filers[by];
    items.push({ type: 'DocumentReference', id: doc, ...about, filedBy, ...one });
    items.push({ type: 'Binary', id: `bytes-${doc}`, document: doc, filedBy });
    items.push({ type: 'Provenance', id: `provenance-${doc}`, ...about, documents: [doc], filedBy });
    items.push({
      type: 'Immunization',
      id: `dense-shot-${id}-${index}`,
      ...about,
      filedBy,
      labels: one.labels,
      filedAt: one.filedAt,
    });
    const payer = index % 2 === 0 ? 'Coverage' : 'ExplanationOfBenefit';
    items.push({
      type: payer,
      id: `dense-payer-${id}-${index}`,
      ...about,
      filedBy: { side: 'insurer' },
      labels: one.labels,
      filedAt: one.filedAt,
    });
    items.push({
      ...{ type: 'AuditEvent', id: `dense-event-${id}-${index}`, ...about, secret: index % 3 === 0 },
      agent: index % 2 === 0 ? practitioner(who) : practitioner('none'),
      items: index === 0 ? [] : [{ type: 'DocumentReference', id: doc }],
    });
  });
  spec.appointments.forEach(({ by, takesPart, ...one }, index) => {
    items.push({
      ...{ type: 'Appointment', id: `dense-appointment-${id}-${index}`, ...about, filedBy: filers[by], ...one },
      practitioners: [takesPart ? who : 'none'],
      structures: [],
    });
  });
  // of one document, and of all: those of the first author, those of others, labelled or not
  const every = spec.documents.map((_, index) => `dense-doc-${id}-${index}`);
  for (const [name, documents] of Object.entries({ one: every.slice(0, 1), all: every }))
    items.push({ type: 'List', id: `dense-list-${name}-${id}`, ...about, documents, filedBy: filers.who });
  const sender = { type: 'RelatedPerson', id: related.id } as const;
  items.push({
    type: 'Communication',
    id: `dense-letter-${id}-0`,
    ...about,
    sender: practitioner(who),
    recipient: person(id),
  });
  items.push({ type: 'Communication', id: `dense-letter-${id}-1`, ...about, sender, recipient: practitioner('none') });
  return items;
}

/** A caller of the cast, any kind, mode and limit; representatives may act for the wrong person. */
export const caller: fc.Arbitrary<WorldCaller> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('patient' as const), person: pick(people) }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ person: pick(people), at: fc.nat({ max: 1 }), claim: fc.boolean() })
      .map(({ person: id, at, claim }) => ({
        kind: 'representative' as const,
        related: `related-${id}-${at}`,
        actsFor: id,
        ...(claim ? { patient: id } : {}),
      })),
  },
  {
    weight: 6,
    arbitrary: fc
      .record({
        person: pick(names),
        structure: pick(structures),
        purpose: pick(['TREAT', 'TREAT', 'BTG', 'ETREAT'] as const),
        patient: pick([undefined, ...people]),
      })
      .map(({ patient, ...one }) => ({
        kind: 'professional' as const,
        profession: professionals[one.person],
        ...one,
        ...(one.purpose === 'BTG' ? { patient: patient ?? 'p1' } : patient === undefined ? {} : { patient }),
      })),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('feeder' as const), structure: pick(structures) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('feeder' as const), structure: pick(structures), patient: pick(people) }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'insurer' as const }, { kind: 'insurer' as const, patient: 'p2' }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom({ kind: 'operator' as const }, { kind: 'operator' as const, patient: 'p1' }),
  },
);

/** Callers whom something in that world concerns: named by an entry, member of a team, author of a document. */
export function concerned(world: World): readonly WorldCaller[] {
  const callers: WorldCaller[] = [];
  const add = (who: keyof typeof professionals, structure: string, about: string): void => {
    const one = { kind: 'professional', person: who, profession: professionals[who], structure } as const;
    callers.push({ ...one, purpose: 'TREAT' }, { ...one, purpose: 'TREAT', patient: about });
    callers.push({ ...one, purpose: 'BTG', patient: about }, { ...one, purpose: 'ETREAT', patient: about });
  };
  const isName = (id: string): id is keyof typeof professionals => id in professionals;
  for (const item of world.items) {
    if (item.type === 'Consent' && item.status === 'active')
      for (const actor of item.actors) {
        if (actor.type === 'Practitioner' && isName(actor.id)) add(actor.id, 's1', item.person);
        if (actor.type === 'Organization') add('dr1', actor.id, item.person);
        // few entries are delegations, so those count four times
        if (actor.type === 'RelatedPerson')
          for (let time = 0; time < 4; time += 1)
            callers.push({ kind: 'representative', related: actor.id, actsFor: item.person });
      }
    if (item.type === 'CareTeam') for (const id of item.members) if (isName(id)) add(id, item.structure, item.person);
    if (item.type === 'DocumentReference' && item.filedBy.person !== undefined && isName(item.filedBy.person))
      add(item.filedBy.person, item.filedBy.structure ?? 's1', item.person);
    if (item.type === 'Immunization' && item.filedBy.person !== undefined && isName(item.filedBy.person))
      add(item.filedBy.person, item.filedBy.structure ?? 's1', item.person);
    if (item.type === 'DocumentReference' && item.filedBy.side === 'feeder')
      callers.push({ kind: 'feeder', structure: item.filedBy.structure ?? 's1' });
  }
  return callers;
}

/** A caller for a world: one whom something in it concerns, more often than not. */
export const callerIn = (world: World): fc.Arbitrary<WorldCaller> =>
  fc.oneof({ weight: 1, arbitrary: caller }, { weight: 2, arbitrary: fc.constantFrom(...concerned(world)) });

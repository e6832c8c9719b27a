/** Our conformance resources: what is in the folder is what the sources make, every canonical leads somewhere, and each profile tells right from wrong. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { conformance } from '../../../fhir-profiles/build-conformance.ts';
import { CONSENT_KINDS } from '../../../server/access/space.ts';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { shippedConformance } from '../../../server/adapters/validator/profile/own.ts';
import { profileValidator } from '../../../server/adapters/validator/profile/profiles.ts';
import { r4Validator } from '../../../server/adapters/validator/validator.ts';
import { profileOf, profilesOfType } from '../../../server/app/profiles.ts';
import { OPERATION_NAMES } from '../../../server/app/route.ts';
import { DECLARATIONS } from '../../../server/app/types/index.ts';
import { auditEvent, clockEvent } from '../../../server/audit/event.ts';
import { EX, EXTENSION, SYSTEM } from '../../../server/fhir/canonical.ts';
import type { Resource } from '../../../server/fhir/types.ts';
import {
  appointmentBody,
  careTeamBody,
  communicationBody,
  consentBody,
  documentBody,
  immunizationBody,
  listBody,
  organizationBody,
  patientBody,
  payerBody,
  practitionerBody,
  practitionerRoleBody,
  profileBody,
  profileTypes,
  provenanceBody,
  relatedPersonBody,
} from '../../support/fhir-bodies.ts';

const folder = new URL('../../../fhir-profiles/conformance/', import.meta.url);
const files = readdirSync(folder);
const textOf = (file: string): string => readFileSync(new URL(file, folder), 'utf8');
const resources = new Map(files.map((file) => [file, JSON.parse(textOf(file)) as any]));
const urls = new Set([...resources.values()].map((resource) => resource.url));

const definitions = shippedDefinitions();
const r4 = r4Validator(definitions);
const profiles = profileValidator({ definitions, own: shippedConformance(), packages: [] });

test('the folder holds what the sources make: `npm run profiles` writes it', () => {
  const made = conformance();
  expect(files.toSorted()).toEqual([...made.keys()].toSorted());
  for (const [name, text] of made) expect(textOf(name), name).toBe(text);
});

test('each is valid R4', () => {
  for (const [file, resource] of resources) expect(r4.validate(resource), file).toEqual([]);
});

const canonicalsIn = (value: unknown, found: string[] = []): string[] => {
  if (typeof value === 'string' && value.startsWith(`${EX}/`)) found.push(value);
  else if (typeof value === 'object' && value !== null)
    for (const one of Object.values(value)) canonicalsIn(one, found);
  return found;
};

/** What a canonical of ours may name without being a conformance resource. */
const NAMES_ALONE = `${EX}/Policy/`;

test('every canonical leads to a resource, ours or of R4', () => {
  const dead: string[] = [];
  const base = 'http://hl7.org/fhir/StructureDefinition/';
  for (const [file, resource] of resources) {
    for (const url of canonicalsIn(resource))
      if (!urls.has(url) && !url.startsWith(NAMES_ALONE)) dead.push(`${file}: ${url}`);
    for (const element of resource.differential?.element ?? [])
      for (const type of element.type ?? [])
        for (const url of [...(type.profile ?? []), ...(type.targetProfile ?? [])])
          if (url.startsWith(base) && definitions.structure(url.slice(base.length)) === undefined)
            dead.push(`${file}: ${url}`);
  }
  expect(dead).toEqual([]);
});

test('every extension of ours and every vocabulary that resources carry has its definition', () => {
  const extensions = Object.values(EXTENSION).filter((url) => url.startsWith(`${EX}/`));
  const systems = Object.values(SYSTEM).filter((url) => url.startsWith(`${EX}/`));
  expect([...extensions, ...systems].filter((url) => !urls.has(url))).toEqual([]);
});

test('every canonical of ours that the stories exchange has its definition', () => {
  const examples = new URL('../../../examples/', import.meta.url);
  const told = readdirSync(examples)
    .filter((file) => file.endsWith('.golden'))
    .map((file) => readFileSync(new URL(file, examples), 'utf8'))
    .join('\n');
  const named = new Set(told.match(/https:\/\/carnet\.example\/fhir\/[A-Z][A-Za-z]+\/[a-z][a-z0-9-]*/g));
  expect(named.size).toBeGreaterThan(10);
  expect([...named].filter((url) => !urls.has(url) && !url.startsWith(NAMES_ALONE))).toEqual([]);
});

test('the CapabilityStatement offers no write that nobody is granted', () => {
  const statement = resources.get('CapabilityStatement-carnet.json');
  for (const type of ['Coverage', 'ExplanationOfBenefit']) {
    const declared = statement.rest[0].resource.find((r: any) => r.type === type);
    expect(declared.interaction.map((i: any) => i.code)).toEqual([
      'read',
      'vread',
      'history-instance',
      'search-type',
      'create',
    ]);
    expect(declared).toMatchObject({ conditionalUpdate: false, conditionalDelete: 'not-supported' });
  }
});

test('the CapabilityStatement names every operation of the server, by our definition or by that of another guide', () => {
  const statement = resources.get('CapabilityStatement-carnet.json');
  const operations = statement.rest[0].resource.flatMap((r: any) => r.operation ?? []) as readonly {
    readonly name: string;
    readonly definition: string;
  }[];
  const names = new Set(operations.map(({ name }) => `$${name}`));
  expect([...names].toSorted()).toEqual(OPERATION_NAMES.toSorted());
  const ours = operations.map(({ definition }) => definition).filter((url) => url.startsWith(`${EX}/`));
  expect(ours.filter((url) => !urls.has(url))).toEqual([]);
  const theirs = new Set(operations.map(({ definition }) => definition).filter((url) => !url.startsWith(`${EX}/`)));
  expect([...theirs]).toEqual(['https://profiles.ihe.net/ITI/MHD/OperationDefinition/generate-metadata']);
});

test('every profile of every type is known and says which canonical it follows, where there is one', () => {
  const all = [...DECLARATIONS.keys()].flatMap(profilesOfType);
  expect(all.filter((url) => !profiles.knows(url))).toEqual([]);
  const written = [...resources.values()]
    .filter((r) => r.resourceType === 'StructureDefinition' && r.kind === 'resource' && !r.abstract)
    .map((r) => r.url);
  expect(written.toSorted()).toEqual(all.toSorted());
  const without = [...resources.values()]
    .filter((r) => r.resourceType === 'StructureDefinition' && r.kind === 'resource' && r.mapping === undefined)
    .map((r) => r.id);
  expect(without).toEqual([
    'carnet-coverage',
    'carnet-explanation-of-benefit',
    'carnet-family-member-history',
    'carnet-message',
    'carnet-provenance',
    'carnet-quarantine',
    'carnet-questionnaire-response',
  ]);
});

// ---- right and wrong ------------------------------------------------------------------------------------------------

const traits = {
  ins: '299036014100113',
  family: 'ESSAI',
  given: 'CAMILLE',
  gender: 'female',
  birthDate: '1999-03-12',
} as const;
const patient = 'Patient/p';
const dateTime = '2026-03-02T09:00:00+01:00';

const ACTOR: Readonly<Record<string, string>> = {
  'professional-access': 'Practitioner/d',
  'organization-access': 'Organization/o',
  'attending-physician': 'Practitioner/d',
  'feed-opposition': 'Organization/o',
  delegation: 'RelatedPerson/r',
  'app-authorization': 'Device/a',
};

const consent = (kind: string, more: object = {}): Resource =>
  consentBody({
    kind,
    patient,
    performer: patient,
    dateTime,
    provision: (CONSENT_KINDS as any)[kind].types[0],
    ...(ACTOR[kind] === undefined ? {} : { actor: ACTOR[kind] }),
    ...(kind === 'space-existence' ? { state: 'active' } : {}),
    ...(kind === 'delegation' ? { delegationKind: 'caregiver', delegatedRights: ['message'] } : {}),
    ...more,
  }) as Resource;

const document = documentBody({
  uniqueId: 'urn:uuid:2f0c2d5e-8a0d-4a51-9c0a-6c6a4a4b1f10',
  typeCode: '11488-4',
  subject: patient,
  traits,
  author: 'Practitioner/d',
  labels: ['MASQUE_PS'],
  date: dateTime,
  binary: 'Binary/b',
  title: 'Lettre de sortie',
}) as Resource;

const record = auditEvent(
  {
    person: patient,
    items: [patient, 'DocumentReference/d'],
    action: 'read',
    interaction: 'read',
    rules: ['A3'],
    refused: false,
  },
  {
    caller: {
      kind: 'professional',
      self: 'Practitioner/d',
      structure: 'Organization/o',
      profession: '10',
      purpose: 'BTG',
      claims: {
        kind: 'professional',
        issuer: 'https://login.example',
        subject: 's',
        clientId: 'c',
        tokenId: 't',
        reason: 'found unconscious in the street',
        secret: false,
      },
    } as any,
    now: 0,
    requestId: 'r',
    clientAddress: '127.0.0.1',
    serverAddress: '127.0.0.1',
  },
);

const quarantined = (reason: string): Resource =>
  ({
    resourceType: 'Task',
    contained: [{ ...patientBody(traits), id: 'identity' }],
    status: 'requested',
    intent: 'order',
    code: { coding: [{ system: SYSTEM.taskCode, code: 'feed-quarantine' }] },
    requester: { reference: 'Organization/o' },
    reasonCode: { coding: [{ system: SYSTEM.quarantineReason, code: reason }] },
    input: [
      {
        type: { coding: [{ system: SYSTEM.taskInput, code: 'identity' }] },
        valueReference: { reference: '#identity' },
      },
      {
        type: { coding: [{ system: SYSTEM.taskInput, code: 'document' }] },
        valueIdentifier: { system: 'urn:ietf:rfc:3986', value: 'urn:oid:1.2.250.1.999.1' },
      },
    ],
  }) as Resource;

const RIGHT: Readonly<Record<string, Resource>> = {
  ...Object.fromEntries(Object.keys(CONSENT_KINDS).map((kind) => [`consent ${kind}`, consent(kind)])),
  patient: patientBody(traits) as Resource,
  practitioner: practitionerBody('899700000011', 'ALICE') as Resource,
  role: practitionerRoleBody('Organization/o') as Resource,
  organization: organizationBody('1100000017', 'Hôpital TEST', false) as Resource,
  related: relatedPersonBody(patient, 'NOE', ['INVISIBLE_PATIENT']) as Resource,
  team: careTeamBody({
    subject: patient,
    organization: 'Organization/o',
    members: ['Practitioner/d'],
    status: 'active',
  }) as Resource,
  document,
  list: listBody(patient, ['DocumentReference/d']) as Resource,
  provenance: provenanceBody('DocumentReference/d', 'Practitioner/d', dateTime) as Resource,
  message: communicationBody({
    subject: patient,
    sender: 'Practitioner/d',
    recipient: patient,
    text: 'Bonjour',
  }) as Resource,
  appointment: appointmentBody({ patient, participants: ['Practitioner/d'], labels: ['MASQUE_PS'] }) as Resource,
  record,
  'record of the clock': clockEvent(
    {
      person: patient,
      items: ['DocumentReference/d'],
      action: 'update',
      interaction: 'update',
      rules: [],
      refused: false,
    },
    { now: 0, serverAddress: '127.0.0.1' },
  ),
  vaccination: immunizationBody({ patient, labels: ['INVISIBLE_PATIENT'], lot: 'A1' }) as Resource,
  ...Object.fromEntries(profileTypes.map((type) => [type, profileBody(type, patient, 'x') as Resource])),
  ...Object.fromEntries(
    (['Coverage', 'ExplanationOfBenefit'] as const).map((type) => [
      type,
      payerBody(type, { patient, insurer: 'Organization/o', labels: ['MASQUE_PS'], text: 'x' }) as Resource,
    ]),
  ),
  task: quarantined('identity-not-equal'),
};

const found = (resource: Resource): readonly string[] =>
  profiles
    .check(resource, [profileOf(resource) ?? 'no profile'])
    .map(({ severity, at, text }) => `${severity} ${at}: ${text}`);

describe('what conforms', () => {
  it.each(Object.entries(RIGHT))('%s', (_name, resource) => {
    expect(r4.validate(resource)).toEqual([]);
    expect(profileOf(resource)).toMatch(/^https:\/\/carnet\.example\/fhir\/StructureDefinition\/carnet-/);
    expect(found(resource)).toEqual([]);
  });
});

const without = (resource: Resource, name: string): Resource => {
  const { [name]: _gone, ...rest } = resource;
  return rest as Resource;
};
const provision = (kind: string, more: object): Resource => {
  const one = consent(kind) as any;
  return { ...one, provision: { ...one.provision, ...more } };
};
const coding = (system: string, code: string) => ({ coding: [{ system, code }] });

/** A resource that R4 accepts, and the one thing that its profile says of it. */
const WRONG: readonly (readonly [name: string, resource: Resource, said: RegExp])[] = [
  ['another status', consent('delegation', { status: 'draft' as any }), /Consent\.status: no code of .*consent-status/],
  [
    'no LOINC category',
    { ...consent('delegation'), category: [coding(SYSTEM.consentKind, 'delegation')] },
    /Consent\.category: at least 1 of the slice `attestation`/,
  ],
  [
    'another policy',
    { ...consent('delegation'), policy: [{ uri: `${EX}/Policy/document-default` }] },
    /policy\[0\]\.uri: is .*Policy\/delegation/,
  ],
  ['no provision', without(consent('document-default'), 'provision'), /Consent\.provision: at least 1/],
  [
    'a permit where only a deny means something',
    provision('feed-opposition', { type: 'permit' }),
    /provision\.type: is .*deny/,
  ],
  [
    'an actor where there is none',
    provision('document-default', {
      actor: [{ role: coding('urn:x', 'y'), reference: { reference: 'Practitioner/d' } }],
    }),
    /provision\.actor: at most 0/,
  ],
  [
    'an actor of another type',
    provision('professional-access', {
      actor: [{ role: coding('urn:x', 'y'), reference: { reference: 'Organization/o' } }],
    }),
    /actor\[0\]\.reference\.reference: refers to none of .*Practitioner/,
  ],
  [
    'two actors',
    provision('attending-physician', {
      actor: [1, 2].map((n) => ({ role: coding('urn:x', 'y'), reference: { reference: `Practitioner/${n}` } })),
    }),
    /provision\.actor: at most 1/,
  ],
  [
    'a nested provision',
    provision('document-default', { provision: [{ type: 'permit' }] }),
    /provision\.provision: at most 0/,
  ],
  [
    'a block with a period',
    consent('professional-access', { provision: 'deny', period: { end: '2030' } }),
    /carnet-block-1/,
  ],
  [
    'a purpose that is another kind’s',
    provision('emergency-btg', { purpose: [{ system: SYSTEM.actReason, code: 'ETREAT' }] }),
    /purpose\[0\]: contains .*BTG/,
  ],
  [
    'a state that nobody knows',
    consent('space-existence', { state: 'asleep' }),
    /extension\[0\]\.value: no code of .*space-state/,
  ],
  ['a state and a provision that disagree', consent('space-existence', { state: 'closed' }), /carnet-state-1/],
  ['an old DMP without an end', consent('space-existence', { state: 'legacy-dmp' }), /carnet-state-2/],
  [
    'no state',
    without(consent('space-existence'), 'extension'),
    /Consent\.extension: at least 1 of the slice `spaceState`/,
  ],
  [
    'a delegation of no kind',
    consent('delegation', { delegationKind: undefined }),
    /at least 1 of the slice `delegationKind`/,
  ],
  [
    'an extension of another type',
    { ...consent('professional-access'), extension: [{ url: EXTENSION.declared, valueString: 'yes' }] },
    /extension\[0\]\.value: `string` is not a type/,
  ],
  [
    'a Consent of no kind',
    { ...consent('delegation'), category: [coding(SYSTEM.loinc, '59284-0')] },
    /Consent\.category: at least 1 of the slice `kind`/,
  ],
  ['an INS that is none', patientBody({ ...traits, ins: '12' }) as Resource, /carnet-ins-1/],
  [
    'two official INS',
    {
      ...(patientBody(traits) as any),
      identifier: [
        ...(patientBody(traits) as any).identifier,
        { use: 'official', system: SYSTEM.insNir, value: '299036014100113' },
      ],
    },
    /carnet-ins-2/,
  ],
  ['a person without a name', without(patientBody(traits) as Resource, 'name'), /Patient\.name: at least 1/],
  [
    'a professional without an identifier',
    without(practitionerBody('1', 'A') as Resource, 'identifier'),
    /Practitioner\.identifier: at least 1/,
  ],
  ['a role of nobody', { resourceType: 'PractitionerRole', active: true }, /carnet-role-1/],
  [
    'an identifier without its system',
    { ...(organizationBody('1', 'A', false) as any), identifier: [{ value: '1' }] },
    /identifier\[0\]\.system: at least 1/,
  ],
  [
    'a label that nobody knows',
    {
      ...(relatedPersonBody(patient, 'N', []) as any),
      meta: { security: [{ system: SYSTEM.visibility, code: 'MASQUE_PT' }] },
    },
    /meta\.security\[0\]: no code of .*visibility-label/,
  ],
  [
    'a team of two structures',
    { ...(RIGHT['team'] as any), managingOrganization: ['a', 'b'].map((id) => ({ reference: `Organization/${id}` })) },
    /managingOrganization: at most 1/,
  ],
  ['a team without its person', without(RIGHT['team'] as Resource, 'subject'), /CareTeam\.subject: at least 1/],
  [
    'bytes in the document',
    { ...document, content: [{ attachment: { contentType: 'text/plain', data: 'YQ==' } }] },
    /attachment\.data: at most 0/,
  ],
  ['a label of another system', { ...document, securityLabel: [coding('urn:x', 'N')] }, /carnet-label-1/],
  [
    'restricted',
    { ...document, securityLabel: [coding(SYSTEM.confidentiality, 'R')] },
    /coding\[0\]: no code of .*confidentiality/,
  ],
  [
    'a folder of something else',
    { ...(RIGHT['list'] as any), entry: [{ item: { reference: 'Patient/p' } }] },
    /item\.reference: refers to none of/,
  ],
  [
    'a provenance of something else',
    provenanceBody('Patient/p', 'Practitioner/d', dateTime) as Resource,
    /carnet-provenance-1/,
  ],
  [
    'two recipients',
    { ...(RIGHT['message'] as any), recipient: [{ reference: patient }, { reference: 'Practitioner/e' }] },
    /recipient: at most 1/,
  ],
  [
    'a notice of nothing',
    { ...(RIGHT['message'] as any), category: [coding(SYSTEM.communicationCategory, 'notification')] },
    /at least 1 of the slice `event`/,
  ],
  [
    'an appointment of two',
    appointmentBody({ patient, participants: ['Patient/q'], labels: [] }) as Resource,
    /carnet-appointment-1/,
  ],
  [
    'a vaccination of a label that nobody applies',
    immunizationBody({ patient, labels: ['AUTRE'], lot: 'A1' }) as Resource,
    /no code of .*visibility-label/,
  ],
  [
    'a label in the medical profile',
    {
      ...profileBody('Condition', patient, 'x'),
      meta: { security: [{ system: SYSTEM.visibility, code: 'MASQUE_PS' }] },
    } as Resource,
    /carnet-kept-1/,
  ],
  ['a measure of nobody', without(RIGHT['Observation'] as Resource, 'subject'), /Observation\.subject: at least 1/],
  [
    'a measure of a group',
    { ...(RIGHT['Observation'] as any), subject: { reference: 'Group/g' } },
    /refers to none of .*Patient/,
  ],
  [
    'a reimbursement of a label that nobody applies',
    payerBody('ExplanationOfBenefit', { patient, insurer: 'Organization/o', labels: ['AUTRE'], text: 'x' }) as Resource,
    /no code of .*visibility-label/,
  ],
  ['a quarantine for another reason', quarantined('bad-weather'), /no code of .*quarantine-reason/],
  ['a record of no request', { ...record, entity: (record as any).entity.slice(0, -1) }, /carnet-audit-3/],
  [
    'a record that names a version',
    { ...record, entity: [...(record as any).entity, { what: { reference: 'Patient/p/_history/1' } }] },
    /carnet-audit-2/,
  ],
];

describe('what does not', () => {
  it.each(WRONG)('%s', (_name, resource, said) => {
    expect(r4.validate(resource)).toEqual([]);
    const errors = found(resource).filter((one) => one.startsWith('error'));
    expect(
      errors.filter((one) => said.test(one)),
      errors.join('\n'),
    ).toHaveLength(1);
  });

  it('is wrong for the type before anything else', () => {
    expect(profiles.check(RIGHT['patient'] as Resource, [`${EX}/StructureDefinition/carnet-document`])).toEqual([
      {
        severity: 'error',
        code: 'value',
        at: 'Patient',
        text: '`https://carnet.example/fhir/StructureDefinition/carnet-document` is a profile of `DocumentReference`',
      },
    ]);
  });
});

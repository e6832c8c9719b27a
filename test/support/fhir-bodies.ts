/** Valid R4 bodies of synthetic people and everything of theirs, as `contract.md` wants them on the wire. */
import { shippedDocumentClasses } from '../../server/adapters/document-classes.ts';

const classes = shippedDocumentClasses();

/** The constant base of our canonicals. */
export const EX = 'https://carnet.example/fhir';
export const insSystem = 'urn:oid:1.2.250.1.213.1.4.10';
export const idnpsSystem = 'urn:oid:1.2.250.1.71.4.2.1';
export const structureSystem = 'urn:oid:1.2.250.1.71.4.2.2';
const treA07 = 'https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument';
const v3 = 'http://terminology.hl7.org/CodeSystem';

/** A JSON resource on its way out or in. */
export type Resource = { readonly resourceType: string; readonly [element: string]: unknown };

/** The traits of a synthetic person. */
export type Traits = {
  readonly ins: string;
  readonly family: string;
  readonly given: string;
  readonly gender: 'male' | 'female';
  readonly birthDate: string;
};

const commune = '60141';

/** A Patient with a qualified INS identity (FR Core); also what a feed contains. */
export const patientBody = (traits: Traits, more: Readonly<Record<string, unknown>> = {}): Resource => ({
  resourceType: 'Patient',
  ...more,
  extension: [
    {
      url: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-identity-reliability',
      extension: [
        {
          url: 'identityStatus',
          valueCoding: { system: 'https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445', code: 'VALI' },
        },
      ],
    },
    {
      url: 'http://hl7.org/fhir/StructureDefinition/patient-birthPlace',
      valueAddress: {
        city: 'Chantilly',
        extension: [
          {
            url: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code',
            valueCoding: {
              system: 'https://mos.esante.gouv.fr/NOS/TRE_R13-Commune/FHIR/TRE-R13-Commune',
              code: commune,
            },
          },
        ],
      },
    },
  ],
  identifier: [
    {
      use: 'official',
      type: {
        coding: [{ system: 'https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203', code: 'INS-NIR-TEST' }],
      },
      system: insSystem,
      value: traits.ins,
    },
  ],
  name: [{ use: 'official', family: traits.family, given: [traits.given] }],
  gender: traits.gender,
  birthDate: traits.birthDate,
});

/** A structure of the directory; a pharmacy is TRE_R02 `SA33`. */
export const organizationBody = (value: string, name: string, pharmacy: boolean): Resource => ({
  resourceType: 'Organization',
  active: true,
  identifier: [{ system: structureSystem, value }],
  name,
  type: [
    {
      coding: [
        {
          system: 'https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite',
          code: pharmacy ? 'SA33' : 'SA01',
        },
      ],
    },
  ],
});

/** A professional of the directory. */
export const practitionerBody = (value: string, given: string): Resource => ({
  resourceType: 'Practitioner',
  active: true,
  identifier: [{ system: idnpsSystem, value }],
  name: [{ family: 'ESSAI', given: [given] }],
});

/** A role of a structure; without a practitioner, it stands for the structure. */
export const practitionerRoleBody = (organization: string, practitioner?: string): Resource => ({
  resourceType: 'PractitionerRole',
  active: true,
  organization: { reference: organization },
  ...(practitioner === undefined ? {} : { practitioner: { reference: practitioner } }),
});

/** What a Consent of any kind is made of. */
export type ConsentParts = {
  readonly kind: string;
  readonly patient: string;
  readonly performer: string;
  readonly provision: 'permit' | 'deny';
  readonly dateTime: string;
  readonly actor?: string;
  readonly period?: { readonly start?: string; readonly end?: string };
  readonly status?: 'active' | 'inactive';
  readonly state?: string;
  readonly delegationKind?: string;
  readonly delegatedRights?: readonly string[];
  readonly declared?: boolean;
  readonly atHoldersRequest?: boolean;
  readonly id?: string;
};

/** A Consent as contract.md "Consents" and "The space and its state" shape it. */
export function consentBody(parts: ConsentParts): Resource {
  const extension = [
    ...(parts.state === undefined ? [] : [{ url: `${EX}/StructureDefinition/space-state`, valueCode: parts.state }]),
    ...(parts.delegationKind === undefined
      ? []
      : [{ url: `${EX}/StructureDefinition/delegation-kind`, valueCode: parts.delegationKind }]),
    ...(parts.delegatedRights ?? []).map((right) => ({
      url: `${EX}/StructureDefinition/delegated-right`,
      valueCode: right,
    })),
    ...(parts.declared === true ? [{ url: `${EX}/StructureDefinition/declared`, valueBoolean: true }] : []),
    ...(parts.atHoldersRequest === true
      ? [{ url: `${EX}/StructureDefinition/at-holders-request`, valueBoolean: true }]
      : []),
  ];
  const role =
    parts.kind === 'delegation'
      ? { system: `${v3}/v3-RoleCode`, code: parts.delegationKind === 'legal' ? 'GUARD' : 'DELEGATEE' }
      : { system: `${v3}/v3-ParticipationType`, code: 'IRCP' };
  const treat = parts.provision === 'permit' && ['professional-access', 'organization-access'].includes(parts.kind);
  return {
    resourceType: 'Consent',
    ...(parts.id === undefined ? {} : { id: parts.id }),
    ...(extension.length === 0 ? {} : { extension }),
    status: parts.status ?? 'active',
    scope: { coding: [{ system: `${v3}/consentscope`, code: 'patient-privacy' }] },
    category: [
      { coding: [{ system: 'http://loinc.org', code: '59284-0' }] },
      { coding: [{ system: `${EX}/CodeSystem/consent-kind`, code: parts.kind }] },
    ],
    patient: { reference: parts.patient },
    dateTime: parts.dateTime,
    performer: [{ reference: parts.performer }],
    policy: [{ uri: `${EX}/Policy/${parts.kind}` }],
    provision: {
      type: parts.provision,
      ...(parts.period === undefined ? {} : { period: parts.period }),
      ...(parts.actor === undefined
        ? {}
        : { actor: [{ role: { coding: [role] }, reference: { reference: parts.actor } }] }),
      ...(treat ? { purpose: [{ system: `${v3}/v3-ActReason`, code: 'TREAT' }] } : {}),
    },
  };
}

const labelCodings = (labels: readonly string[]): readonly unknown[] =>
  labels.map((code) => ({ system: treA07, code }));

const metaLabels = (labels: readonly string[]): Readonly<Record<string, unknown>> =>
  labels.length === 0 ? {} : { meta: { security: labelCodings(labels) } };

/** What a fed document is made of; references are literal, or `urn:uuid:` within a transaction. */
export type DocumentParts = {
  readonly uniqueId: string;
  readonly typeCode: string;
  readonly subject: string;
  readonly traits: Traits;
  readonly author: string;
  readonly labels: readonly string[];
  readonly date: string;
  readonly binary: string;
  readonly title: string;
  readonly replaces?: string;
  readonly confidentiality?: string;
};

/** A DocumentReference with the identity of the feed (contract.md "Documents"). */
export const documentBody = (parts: DocumentParts): Resource => ({
  resourceType: 'DocumentReference',
  contained: [patientBody(parts.traits, { id: 'patient' })],
  masterIdentifier: { system: 'urn:ietf:rfc:3986', value: parts.uniqueId },
  status: 'current',
  type: {
    coding: [
      {
        system: /^\d+-\d$/.test(parts.typeCode)
          ? 'http://loinc.org'
          : 'https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire',
        code: parts.typeCode,
      },
    ],
  },
  category: [
    {
      coding: [
        {
          system: 'https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument',
          code: classes.get(parts.typeCode) ?? '10',
        },
      ],
    },
  ],
  subject: { reference: parts.subject },
  date: parts.date,
  author: [{ reference: parts.author }],
  ...(parts.replaces === undefined ? {} : { relatesTo: [{ code: 'replaces', target: { reference: parts.replaces } }] }),
  securityLabel: [
    { coding: [{ system: `${v3}/v3-Confidentiality`, code: parts.confidentiality ?? 'N' }] },
    ...parts.labels.map((code) => ({ coding: [{ system: treA07, code }] })),
  ],
  content: [{ attachment: { contentType: 'text/plain', language: 'fr-FR', url: parts.binary, title: parts.title } }],
  context: { period: { start: parts.date }, sourcePatientInfo: { reference: '#patient' } },
});

/** The bytes of a document, wrapped. */
export const binaryBody = (text: string): Resource => ({
  resourceType: 'Binary',
  contentType: 'text/plain',
  data: Buffer.from(text, 'utf8').toString('base64'),
});

/** A Provenance of one document. */
export const provenanceBody = (target: string, agent: string, recorded: string): Resource => ({
  resourceType: 'Provenance',
  target: [{ reference: target }],
  recorded,
  agent: [{ who: { reference: agent } }],
});

/** A folder of documents (MHD). */
export const listBody = (subject: string, documents: readonly string[]): Resource => ({
  resourceType: 'List',
  status: 'current',
  mode: 'working',
  code: { coding: [{ system: 'https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes', code: 'folder' }] },
  subject: { reference: subject },
  entry: documents.map((reference) => ({ item: { reference } })),
});

/** One entry of a transaction that creates. */
export type CreateEntry = { readonly fullUrl: string; readonly resource: Resource };

/** A transaction of creates. */
export const transactionBody = (entries: readonly CreateEntry[]): Resource => ({
  resourceType: 'Bundle',
  type: 'transaction',
  entry: entries.map(({ fullUrl, resource }) => ({
    fullUrl,
    resource,
    request: { method: 'POST', url: resource.resourceType },
  })),
});

/** A RelatedPerson of a person. */
export const relatedPersonBody = (patient: string, given: string, labels: readonly string[]): Resource => ({
  resourceType: 'RelatedPerson',
  ...metaLabels(labels),
  active: true,
  patient: { reference: patient },
  relationship: [{ coding: [{ system: `${v3}/v2-0131`, code: 'C' }] }],
  name: [{ family: 'TEST', given: [given] }],
});

/** A care team of one structure. */
export const careTeamBody = (parts: {
  readonly subject: string;
  readonly organization: string;
  readonly members: readonly string[];
  readonly status: 'active' | 'inactive';
  readonly period?: { readonly start?: string; readonly end?: string };
  readonly id?: string;
}): Resource => ({
  resourceType: 'CareTeam',
  ...(parts.id === undefined ? {} : { id: parts.id }),
  status: parts.status,
  subject: { reference: parts.subject },
  ...(parts.period === undefined ? {} : { period: parts.period }),
  ...(parts.members.length === 0 ? {} : { participant: parts.members.map((reference) => ({ member: { reference } })) }),
  managingOrganization: [{ reference: parts.organization }],
});

/** A message. */
export const communicationBody = (parts: {
  readonly subject: string;
  readonly sender: string;
  readonly recipient: string;
  readonly text: string;
  readonly inResponseTo?: string;
}): Resource => ({
  resourceType: 'Communication',
  status: 'completed',
  subject: { reference: parts.subject },
  sender: { reference: parts.sender },
  recipient: [{ reference: parts.recipient }],
  payload: [{ contentString: parts.text }],
  ...(parts.inResponseTo === undefined ? {} : { inResponseTo: [{ reference: parts.inResponseTo }] }),
});

/** An appointment of a person with the given other participants. */
export const appointmentBody = (parts: {
  readonly patient: string;
  readonly participants: readonly string[];
  readonly labels: readonly string[];
}): Resource => ({
  resourceType: 'Appointment',
  ...metaLabels(parts.labels),
  status: 'booked',
  start: '2026-12-01T09:00:00+01:00',
  end: '2026-12-01T09:30:00+01:00',
  participant: [parts.patient, ...parts.participants].map((reference) => ({
    actor: { reference },
    status: 'accepted',
  })),
});

const coded = (system: string, code: string): object => ({ coding: [{ system, code }] });

/** A vaccination. */
export const immunizationBody = (parts: {
  readonly patient: string;
  readonly labels: readonly string[];
  readonly lot: string;
  readonly more?: Readonly<Record<string, unknown>>;
}): Resource => ({
  resourceType: 'Immunization',
  ...metaLabels(parts.labels),
  status: 'completed',
  vaccineCode: coded('http://hl7.org/fhir/sid/cvx', '207'),
  patient: { reference: parts.patient },
  occurrenceDateTime: '2026-05-04',
  lotNumber: parts.lot,
  ...parts.more,
});

/** The types of the medical profile, each with what it needs beside its person. */
const PROFILE: Readonly<Record<string, (person: object, text: string) => object>> = {
  Condition: (subject, text) => ({ subject, code: { text } }),
  AllergyIntolerance: (patient, text) => ({ patient, code: { text } }),
  Procedure: (subject, text) => ({ status: 'completed', subject, code: { text } }),
  FamilyMemberHistory: (patient, text) => ({ status: 'completed', patient, relationship: { text } }),
  MedicationStatement: (subject, text) => ({ status: 'active', subject, medicationCodeableConcept: { text } }),
  Observation: (subject, text) => ({ status: 'final', subject, code: { text } }),
  QuestionnaireResponse: (subject, text) => ({ status: 'completed', subject, item: [{ linkId: '1', text }] }),
};
export const profileTypes = Object.keys(PROFILE);

/** An item of the medical profile. */
export const profileBody = (type: string, patient: string, text: string): Resource => ({
  resourceType: type,
  ...PROFILE[type]?.({ reference: patient }, text),
});

/** A reimbursement, or who pays. */
export const payerBody = (
  type: 'ExplanationOfBenefit' | 'Coverage',
  parts: {
    readonly patient: string;
    readonly insurer: string;
    readonly labels: readonly string[];
    readonly text: string;
  },
): Resource => {
  const about = { reference: parts.patient };
  const payer = { reference: parts.insurer };
  const type_ = coded(`${v3}/claim-type`, 'professional');
  return {
    resourceType: type,
    ...metaLabels(parts.labels),
    status: 'active',
    ...(type === 'Coverage'
      ? { beneficiary: about, payor: [payer], policyHolder: { display: parts.text } }
      : {
          type: type_,
          use: 'claim',
          patient: about,
          created: '2026-05-04',
          insurer: payer,
          provider: payer,
          outcome: 'complete',
          disposition: parts.text,
          insurance: [{ focal: true, coverage: { display: 'régime général' } }],
        }),
  };
};

/** The labels of TRE_A07 on a resource as it came back, wherever its type carries them. */
export function labelsOf(resource: Resource): readonly string[] {
  const concepts = (resource.securityLabel ?? []) as readonly { readonly coding?: readonly Coding[] }[];
  const security = ((resource.meta as { readonly security?: readonly Coding[] } | undefined)?.security ??
    []) as readonly Coding[];
  return [...concepts.flatMap((concept) => concept.coding ?? []), ...security]
    .filter((coding) => coding.system === treA07)
    .map((coding) => coding.code ?? '');
}

type Coding = { readonly system?: string; readonly code?: string };

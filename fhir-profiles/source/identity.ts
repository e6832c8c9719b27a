/** Persons, professionals and structures, with the national identifiers by which they are found. */
import { SYSTEM } from '../../server/fhir/canonical.ts';
import {
  type Conformance,
  el,
  type Follows,
  naming,
  ONE,
  profile,
  type Row,
  required,
  rule,
  SOME,
  slicedBy,
  to,
  valueSet,
  valueSetUrl,
} from './draft.ts';

const frCore = (name: string, how: string): Follows => ({
  uri: `https://hl7.fr/ig/fhir/core/StructureDefinition/${name}`,
  name,
  how,
});

/** A slice of `identifier` by its system. */
const identifierSlice = (type: string, slice: string, system: string, how: Row): readonly Row[] => [
  el(`${type}.identifier:${slice}`, how),
  el(`${type}.identifier:${slice}.system`, { ...SOME, fixedUri: system }),
  el(`${type}.identifier:${slice}.value`, SOME),
];

const insList = [SYSTEM.insNir, SYSTEM.insNia, SYSTEM.insTest, SYSTEM.insDemo].map((s) => `'${s}'`).join(' | ');

const patient = profile({
  id: 'carnet-patient',
  type: 'Patient',
  title: 'Person with an INS',
  description:
    'The person whom a space belongs to, registered by the insurer with a qualified INS. The INS is an identifier with its system (NIR, NIA, or the registers for tests and demonstrations); its value is 13 characters, or 15 with the key. A wrong key is no fault: the official test persons have some.',
  follows: [
    frCore(
      'fr-core-patient-ins',
      'Identifier systems and types, birth name, first birth name, gender, birth date. The identity reliability extension is accepted and not asked for: the insurer registers qualified identities only.',
    ),
  ],
  rules: [
    rule(
      'carnet-ins-1',
      'An INS has 13 characters, or 15 with its key.',
      `identifier.where(system in (${insList})).all(value.matches('^[0-9]{5}[0-9AB]{8}([0-9]{2})?$'))`,
    ),
    rule(
      'carnet-ins-2',
      'One INS at most is the official one.',
      `identifier.where(system in (${insList}) and use = 'official').count() <= 1`,
    ),
  ],
  elements: [
    el('Patient.identifier', { ...slicedBy('value', 'system'), min: 1 }),
    ...identifierSlice('Patient', 'nir', SYSTEM.insNir, {}),
    ...identifierSlice('Patient', 'nia', SYSTEM.insNia, {}),
    ...identifierSlice('Patient', 'test', SYSTEM.insTest, {}),
    ...identifierSlice('Patient', 'demo', SYSTEM.insDemo, {}),
    el('Patient.name', SOME),
    el('Patient.gender', SOME),
    el('Patient.birthDate', SOME),
  ],
});

const practitioner = profile({
  id: 'carnet-practitioner',
  type: 'Practitioner',
  title: 'Professional of the directory',
  description:
    'A professional whom tokens name by a national identifier: the IDNPS (opaque, its first digit tells the register) or the RPPS number.',
  follows: [frCore('fr-core-practitioner', 'Identifier systems.')],
  elements: [
    el('Practitioner.identifier', { ...slicedBy('value', 'system'), min: 1 }),
    ...identifierSlice('Practitioner', 'idnps', SYSTEM.practitionerNationalId, { max: '1' }),
    ...identifierSlice('Practitioner', 'rpps', SYSTEM.rpps, { max: '1' }),
  ],
});

const practitionerRole = profile({
  id: 'carnet-practitioner-role',
  type: 'PractitionerRole',
  title: 'Role in a structure',
  description:
    'A professional in a structure, or the structure alone: an appointment is made with one of them. It names at least one of the two.',
  follows: [frCore('fr-core-practitioner-role', 'Practitioner and organization are those of FR Core.')],
  rules: [
    rule('carnet-role-1', 'A role is somebody’s, or of a structure.', 'practitioner.exists() or organization.exists()'),
  ],
  elements: [],
});

const organization = profile({
  id: 'carnet-organization',
  type: 'Organization',
  title: 'Structure of the directory',
  description:
    'An establishment, a practice, a pharmacy (type TRE_R02 `SA33`) or an insurer, found by its national identifier or its FINESS number.',
  follows: [frCore('fr-core-organization', 'Every identifier has its system and value.')],
  elements: [
    el('Organization.identifier', { ...slicedBy('value', 'system'), min: 1 }),
    el('Organization.identifier.system', SOME),
    el('Organization.identifier.value', SOME),
    ...identifierSlice('Organization', 'idnst', SYSTEM.structureNationalId, { max: '1' }),
    ...identifierSlice('Organization', 'finess', SYSTEM.finess, {}),
  ],
});

/** Labels in `meta.security`, on the types that carry some there. */
export const labelElements = (type: string): readonly Row[] => [
  el(`${type}.meta.security`, slicedBy('value', 'system')),
  el(`${type}.meta.security:visibility`, required(valueSetUrl('visibility-label'))),
  el(`${type}.meta.security:visibility.system`, { ...SOME, fixedUri: SYSTEM.visibility }),
  el(`${type}.meta.security:visibility.code`, SOME),
];

const relatedPerson = profile({
  id: 'carnet-related-person',
  type: 'RelatedPerson',
  title: 'Relative, trusted person or representative',
  description:
    'Somebody close to the person: a trusted person, an emergency contact, a caregiver, a legal representative. Visibility labels of TRE_A07 travel in `meta.security`; a delegation names it without any.',
  follows: [
    frCore(
      'fr-core-related-person',
      'Patient and relationship. FR Core asks for one identifier; here it may have none.',
    ),
  ],
  elements: [...labelElements('RelatedPerson'), el('RelatedPerson.patient', to('Patient'))],
});

const careTeam = profile({
  id: 'carnet-care-team',
  type: 'CareTeam',
  title: 'Care team of a structure',
  description:
    'The professionals of one structure who take care of the person during a stay. Membership is a ground for consulting, so a team names its one structure, and members are removed one by one. Ended is `inactive`.',
  follows: [
    {
      uri: 'https://interop.esante.gouv.fr/ig/fhir/cds/StructureDefinition/cds-fr-care-team',
      name: 'ANS Cercle de soins',
      how: 'A team about one person with its members; here it belongs to one structure.',
    },
  ],
  elements: [
    el('CareTeam.status', SOME),
    el('CareTeam.subject', { ...SOME, ...to('Patient') }),
    el('CareTeam.participant.member', to('Practitioner')),
    el('CareTeam.managingOrganization', ONE),
  ],
});

const ANS = 'Agence du numérique en santé';
const named = [
  {
    id: 'ins-nir',
    title: 'INS from the NIR',
    description: 'National health identity from the registration number, 13 characters or 15 with the key.',
    value: SYSTEM.insNir,
  },
  {
    id: 'ins-nia',
    title: 'INS from the NIA',
    description: 'National health identity from a waiting number.',
    value: SYSTEM.insNia,
  },
  {
    id: 'ins-test',
    title: 'INS for tests',
    description: 'The register of identities for tests; the only one used in examples.',
    value: SYSTEM.insTest,
  },
  {
    id: 'ins-demo',
    title: 'INS for demonstrations',
    description: 'The register of identities for demonstrations.',
    value: SYSTEM.insDemo,
  },
  {
    id: 'practitioner-national-id',
    title: 'National identifier of professionals (IDNPS)',
    description: 'Opaque; its first digit tells the register that it comes from.',
    value: SYSTEM.practitionerNationalId,
  },
  {
    id: 'structure-national-id',
    title: 'National identifier of structures',
    description: 'Opaque; its first digit tells the register that it comes from.',
    value: SYSTEM.structureNationalId,
  },
  { id: 'rpps', title: 'RPPS number', description: 'Shared directory of health professionals.', value: SYSTEM.rpps },
  { id: 'finess', title: 'FINESS number', description: 'National file of establishments.', value: SYSTEM.finess },
].map(({ value, ...rest }) =>
  naming({
    ...rest,
    kind: 'identifier',
    responsible: ANS,
    uniqueId: value.startsWith('urn:oid:')
      ? [
          { type: 'uri', value },
          { type: 'oid', value: value.slice('urn:oid:'.length) },
        ]
      : [{ type: 'uri', value }],
  }),
);

const labels = valueSet(
  'visibility-label',
  'Visibility labels',
  'The labels of TRE_A07 that the access rules know. Another one is refused, so that nothing carries a label that nobody applies.',
  [{ system: SYSTEM.visibility, codes: ['MASQUE_PS', 'INVISIBLE_PATIENT', 'INVISIBLE_REPRESENTANTS_LEGAUX'] }],
);

export const identity: readonly Conformance[] = [
  labels,
  patient,
  practitioner,
  practitionerRole,
  organization,
  relatedPerson,
  careTeam,
  ...named,
];

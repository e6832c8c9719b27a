/** The rights of a space: one abstract profile, one for each kind of contract, and the extensions that they carry. */
import { RIGHT_LABELS } from '../../server/access/sentences.ts';
import { CONSENT_KINDS, type ConsentKind, SPACE_STATES } from '../../server/access/space.ts';
import { policyUri, SYSTEM } from '../../server/fhir/canonical.ts';
import {
  AT_MOST_ONE,
  type Conformance,
  coded,
  el,
  extension,
  extensionSlice,
  type Follows,
  NONE,
  ONE,
  profile,
  profileUrl,
  type Row,
  required,
  rule,
  SOME,
  slicedBy,
  to,
  valueSet,
  valueSetUrl,
  vocabulary,
} from './draft.ts';

const STATES: Readonly<Record<(typeof SPACE_STATES)[number], readonly [en: string, fr: string]>> = {
  invited: ['Invited, nothing answered yet', 'Invité, sans réponse'],
  opposed: ['Opposed to the creation', 'Opposé à la création'],
  open: ['Created, not yet activated by the person', 'Créé, pas encore activé par la personne'],
  active: ['Activated by the person', 'Activé par la personne'],
  suspended: ['Suspended', 'Suspendu'],
  closed: ['Closed and sealed', 'Clos et scellé'],
  'legacy-dmp': ['Earlier DMP, for a limited time', 'DMP antérieur, pour un temps limité'],
  deceased: ['The person has died', 'Personne décédée'],
};

const words = [
  ...vocabulary(
    'consent-kind',
    'Kinds of consent',
    'What a Consent of a health space is about. Each kind has a profile of its own and names one actor, or none.',
    Object.keys(CONSENT_KINDS).map((code) => ({
      code,
      en: RIGHT_LABELS[code]?.en ?? code,
      fr: RIGHT_LABELS[code]?.fr ?? code,
    })),
  ),
  ...vocabulary(
    'space-state',
    'States of a space',
    'The state of the space of a person: whom it answers, and who may write in it.',
    SPACE_STATES.map((code) => ({ code, en: STATES[code][0], fr: STATES[code][1] })),
  ),
  ...vocabulary('delegation-kind', 'Kinds of delegation', 'For whom a RelatedPerson acts, and on what ground.', [
    { code: 'legal', en: 'Legal representative', fr: 'Représentant légal' },
    { code: 'caregiver', en: 'Caregiver named by the holder', fr: 'Aidant désigné par le titulaire' },
  ]),
  ...vocabulary('delegated-right', 'Rights delegated apart', 'Rights that a delegation to a caregiver may include.', [
    { code: 'message', en: 'Read and send messages', fr: 'Lire et envoyer des messages' },
  ]),
  valueSet(
    'consent-status',
    'Statuses of a consent here',
    'An entry is in force or ended; it is never a draft, and it is never deleted.',
    [{ system: 'http://hl7.org/fhir/consent-state-codes', codes: ['active', 'inactive'] }],
  ),
];

const extensions = [
  extension({
    id: 'space-state',
    title: 'State of the space',
    description: 'The state of the space that a Consent of kind `space-existence` declares.',
    context: ['Consent'],
    valueType: 'code',
    value: required(valueSetUrl('space-state')),
  }),
  extension({
    id: 'declared',
    title: 'Declared by a professional',
    description: 'True where a professional declared the authorisation on behalf of the person, who was present.',
    context: ['Consent'],
    valueType: 'boolean',
  }),
  extension({
    id: 'at-holders-request',
    title: "At the holder's request",
    description: 'True where the attending physician blocked another professional because the holder asked for it.',
    context: ['Consent'],
    valueType: 'boolean',
  }),
  extension({
    id: 'delegation-kind',
    title: 'Kind of delegation',
    description: 'Whether the RelatedPerson is a legal representative or a caregiver.',
    context: ['Consent'],
    valueType: 'code',
    value: required(valueSetUrl('delegation-kind')),
  }),
  extension({
    id: 'delegated-right',
    title: 'Right delegated apart',
    description: 'A right that a caregiver does not have unless it is stated.',
    context: ['Consent'],
    valueType: 'code',
    value: required(valueSetUrl('delegated-right')),
  }),
];

const PCF: Follows = {
  uri: 'https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentBasic',
  name: 'IHE PCF Basic Consent',
  how: 'The shape: patient-privacy, LOINC 59284-0, one policy by its uri, actor and purpose on the root provision. Ours has a single provision, and one kind.',
};
const FR_CORE_CONSENT: Follows = {
  uri: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-consent',
  name: 'FR Core Consent',
  how: 'Patient and performers are those of FR Core.',
};

const root = profile({
  id: 'carnet-consent',
  type: 'Consent',
  title: 'Consent of a health space',
  description:
    'What every right of a health space has in common: one kind, one actor at most, one provision. An exception is an entry of its own, so that each right can be searched, ended and explained by itself. A Consent conforms to the profile of its kind.',
  follows: [PCF, FR_CORE_CONSENT],
  abstract: true,
  elements: [
    el('Consent.status', required(valueSetUrl('consent-status'))),
    el('Consent.scope', { patternCodeableConcept: coded(SYSTEM.consentScope, 'patient-privacy') }),
    el('Consent.category', { ...slicedBy('pattern', '$this'), min: 2 }),
    el('Consent.category:attestation', { ...SOME, patternCodeableConcept: coded(SYSTEM.loinc, '59284-0') }),
    el('Consent.category:kind', { ...ONE, ...required(valueSetUrl('consent-kind')) }),
    el('Consent.patient', { ...SOME, ...to('Patient') }),
    el('Consent.policy', ONE),
    el('Consent.policy.uri', SOME),
    el('Consent.policyRule', NONE),
    el('Consent.verification', NONE),
    el('Consent.provision', SOME),
    el('Consent.provision.type', SOME),
    el('Consent.provision.actor', AT_MOST_ONE),
    el('Consent.provision.actor.reference', SOME),
    el('Consent.provision.action', NONE),
    el('Consent.provision.securityLabel', NONE),
    el('Consent.provision.class', NONE),
    el('Consent.provision.code', NONE),
    el('Consent.provision.dataPeriod', NONE),
    el('Consent.provision.data', NONE),
    el('Consent.provision.provision', NONE),
  ],
});

type Kind = {
  readonly title: string;
  readonly description: string;
  /** The purpose that a provision may repeat; TREAT unless told. */
  readonly purpose?: string;
  readonly follows?: readonly Follows[];
  readonly extensions?: readonly (readonly [id: string, how: Row])[];
  readonly rules?: readonly Row[];
};

const BLOCK = rule(
  'carnet-block-1',
  'A block starts when it is written and ends when it is lifted: it has neither a period nor a purpose.',
  "provision.type = 'deny' implies (provision.period.empty() and provision.purpose.empty())",
);

const KINDS: Readonly<Record<ConsentKind, Kind>> = {
  'space-existence': {
    title: 'Existence of the space',
    description:
      'The state of the space of a person, written by the insurer: one for each person. The provision permits in `open`, `active`, `legacy-dmp` and `suspended` and denies in every other state; an old DMP has an end date.',
    extensions: [['space-state', ONE]],
    rules: [
      rule(
        'carnet-state-1',
        'The provision permits in `open`, `active`, `legacy-dmp` and `suspended`, and denies in every other state.',
        `(provision.type = 'permit') = (extension.where(url = '${profileUrl('space-state')}').value in ('open' | 'active' | 'legacy-dmp' | 'suspended'))`,
      ),
      rule(
        'carnet-state-2',
        'An old DMP has an end date.',
        `extension.where(url = '${profileUrl('space-state')}' and value = 'legacy-dmp').exists() implies provision.period.end.exists()`,
      ),
    ],
  },
  'professional-access': {
    title: 'Access of a professional',
    description:
      'A professional is authorised to consult the space, or blocked. A professional may declare an authorisation that the person gave; the attending physician may block another at the holder’s request.',
    extensions: [
      ['declared', AT_MOST_ONE],
      ['at-holders-request', AT_MOST_ONE],
    ],
    rules: [BLOCK],
  },
  'organization-access': {
    title: 'Access of a structure',
    description: 'The professionals of a structure are authorised to consult the space, or blocked.',
    extensions: [['declared', AT_MOST_ONE]],
    rules: [BLOCK],
  },
  'attending-physician': {
    title: 'Attending physician',
    description:
      'The *médecin traitant* that the insurer declares: authorised whatever the structure they act for, and entitled to what is masked from others.',
  },
  'care-team-default': {
    title: 'Access of care teams',
    description: 'Whether members of a care team of the person are authorised by their membership.',
  },
  'emergency-btg': {
    title: 'Emergency access',
    description: 'Whether any professional may break the glass in an emergency; absent, they may.',
    purpose: 'BTG',
  },
  'emergency-etreat': {
    title: 'Access of the emergency call centre',
    description: 'Whether the physicians of centre 15 may consult; absent, they may.',
    purpose: 'ETREAT',
  },
  'emergency-masked': {
    title: 'Masked documents in an emergency',
    description: 'Whether masked documents are shown in an emergency; absent, they are not.',
  },
  'feed-opposition': {
    title: 'Opposition to feeding',
    description: 'A professional or a structure may not add documents to the space.',
  },
  'document-default': {
    title: 'Mask everything',
    description:
      'A deny masks every document from professionals unless it was unmasked; a permit says that nothing is masked by default.',
  },
  'profile-sharing': {
    title: 'Sharing of the medical profile',
    description: 'Whether authorised professionals see the medical profile that the person keeps.',
  },
  delegation: {
    title: 'Delegation',
    description:
      'A RelatedPerson of the same patient acts for the holder, as a legal representative (written by the insurer) or as a caregiver (written by the holder).',
    extensions: [
      ['delegation-kind', ONE],
      ['delegated-right', {}],
    ],
  },
  'app-authorization': {
    title: 'Authorised application',
    description: 'An application of the catalogue that the person authorised. The authorization server writes it.',
  },
};

const provisionType = (types: readonly string[]): Row =>
  types.length === 1 ? { fixedCode: types[0] ?? '' } : { short: types.join(' | ') };

const ofKind = (kind: ConsentKind): Conformance => {
  const { types, actors } = CONSENT_KINDS[kind];
  const { title, description, extensions: carried = [], rules, purpose, follows = [PCF] } = KINDS[kind];
  return profile({
    id: `carnet-consent-${kind}`,
    type: 'Consent',
    on: 'carnet-consent',
    title: `Consent: ${title}`,
    description,
    follows,
    ...(rules === undefined ? {} : { rules }),
    elements: [
      ...(carried.length === 0 ? [] : [el('Consent.extension', slicedBy('value', 'url'))]),
      ...carried.map(([id, how]) => extensionSlice('Consent', id, how)),
      el('Consent.category:kind', { patternCodeableConcept: coded(SYSTEM.consentKind, kind) }),
      el('Consent.policy.uri', { fixedUri: policyUri(kind) }),
      el('Consent.provision.type', provisionType(types)),
      ...(actors.length === 0
        ? [el('Consent.provision.actor', NONE)]
        : [el('Consent.provision.actor', ONE), el('Consent.provision.actor.reference', to(...actors))]),
      el('Consent.provision.purpose', { patternCoding: { system: SYSTEM.actReason, code: purpose ?? 'TREAT' } }),
    ],
  });
};

export const consents: readonly Conformance[] = [
  ...words,
  ...extensions,
  root,
  // INVARIANT: the keys of a closed record.
  ...(Object.keys(CONSENT_KINDS) as ConsentKind[]).map(ofKind),
];

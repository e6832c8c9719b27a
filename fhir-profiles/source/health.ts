/** Vaccinations, the medical profile that the person keeps, what the insurer paid, and the tasks that a feed in quarantine leaves. */
import { PROFILE_TYPES } from '../../server/access/rules/profile.ts';
import { profileName } from '../../server/app/profiles.ts';
import { FEED_QUARANTINE } from '../../server/app/types/task.ts';
import { SYSTEM } from '../../server/fhir/canonical.ts';
import type { QuarantineReason } from '../../server/fhir/result.ts';
import {
  AT_MOST_ONE,
  type Conformance,
  coded,
  el,
  type Follows,
  ONE,
  profile,
  required,
  rule,
  SOME,
  slicedBy,
  to,
  valueSetUrl,
  vocabulary,
} from './draft.ts';
import { labelElements } from './identity.ts';

const ips = (name: string, how: string): readonly Follows[] => [
  { uri: `http://hl7.org/fhir/uv/ips/StructureDefinition/${name}-uv-ips`, name: `IPS ${name}`, how },
];
const ASKS_LESS = 'Same elements. The vocabularies that it prefers are accepted and not asked for.';

// ---- vaccinations ---------------------------------------------------------------------------------------------------

const immunization = profile({
  id: 'carnet-immunization',
  type: 'Immunization',
  title: 'Vaccination',
  description:
    'A vaccination, fed by a professional or a structure or written by the person. It has no place for the identity in the feed: an INS beside the reference, or a contained Patient, must be the person’s. Visibility labels of TRE_A07 travel in `meta.security`.',
  follows: ips('Immunization', ASKS_LESS),
  elements: [...labelElements('Immunization'), el('Immunization.patient', to('Patient'))],
});

// ---- the medical profile --------------------------------------------------------------------------------------------

type Kept = { readonly title: string; readonly person: 'subject' | 'patient'; readonly follows?: readonly Follows[] };

const KEPT: Readonly<Record<(typeof PROFILE_TYPES)[number], Kept>> = {
  Condition: { title: 'condition', person: 'subject', follows: ips('Condition', ASKS_LESS) },
  AllergyIntolerance: { title: 'allergy', person: 'patient', follows: ips('AllergyIntolerance', ASKS_LESS) },
  Procedure: { title: 'procedure', person: 'subject', follows: ips('Procedure', ASKS_LESS) },
  FamilyMemberHistory: { title: 'family history', person: 'patient' },
  MedicationStatement: { title: 'medication', person: 'subject', follows: ips('MedicationStatement', ASKS_LESS) },
  Observation: {
    title: 'measure',
    person: 'subject',
    follows: [
      {
        uri: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-observation-body-weight',
        name: 'FR Core vital signs',
        how: 'A measure that conforms to the profile of its kind (weight, height, blood pressure…) conforms to this one.',
      },
    ],
  },
  QuestionnaireResponse: { title: 'answered questionnaire', person: 'subject' },
};

const medicalProfile = PROFILE_TYPES.map((type) => {
  const { title, person, follows } = KEPT[type];
  return profile({
    id: `carnet-${profileName(type)}`,
    type,
    title: `Medical profile: ${title}`,
    description:
      'An item of the medical profile, which the person and their representatives keep. It is shared as a whole or not at all, so it carries no label.',
    ...(follows === undefined ? {} : { follows }),
    rules: [
      rule(
        'carnet-kept-1',
        'An item of the medical profile carries no visibility label.',
        `meta.security.where(system = '${SYSTEM.visibility}' or system = '${SYSTEM.confidentiality}').empty()`,
      ),
    ],
    elements: [el(`${type}.${person}`, { ...SOME, ...to('Patient') })],
  });
});

// ---- what the insurer paid ------------------------------------------------------------------------------------------

const reimbursement = profile({
  id: 'carnet-explanation-of-benefit',
  type: 'ExplanationOfBenefit',
  title: 'Reimbursement',
  description:
    'What the insurer paid. Written once by the insurer, who reads none of it back; nobody changes or deletes it. Visibility labels of TRE_A07 travel in `meta.security`.',
  elements: [...labelElements('ExplanationOfBenefit'), el('ExplanationOfBenefit.patient', to('Patient'))],
});

const coverage = profile({
  id: 'carnet-coverage',
  type: 'Coverage',
  title: 'Cover',
  description:
    'Who pays for the person. Written once by the insurer, who reads none of it back; nobody changes or deletes it. Visibility labels of TRE_A07 travel in `meta.security`.',
  elements: [...labelElements('Coverage'), el('Coverage.beneficiary', to('Patient'))],
});

// ---- feeds in quarantine --------------------------------------------------------------------------------------------

const REASONS: Readonly<Record<QuarantineReason, readonly [en: string, fr: string]>> = {
  'identity-missing': ['The feed carries no identity', 'L’alimentation ne porte aucune identité'],
  'identity-not-qualified': [
    'The identity in the feed is not qualified',
    'L’identité de l’alimentation n’est pas qualifiée',
  ],
  'identity-not-equal': [
    'The identity in the feed is not that of the person',
    'L’identité de l’alimentation n’est pas celle de la personne',
  ],
  'subject-unknown': [
    'The person whom the feed names cannot be resolved',
    'La personne que nomme l’alimentation est introuvable',
  ],
};

const words = [
  ...vocabulary('task-code', 'Kinds of task', 'What a Task of the server is about.', [
    { code: FEED_QUARANTINE, en: 'A feed in quarantine', fr: 'Alimentation mise en quarantaine' },
  ]),
  ...vocabulary('task-input', 'Inputs of a task', 'What a Task of the server holds of what it is about.', [
    { code: 'identity', en: 'The identity that was sent', fr: 'L’identité envoyée' },
    { code: 'document', en: 'The identifier of the document', fr: 'L’identifiant du document' },
  ]),
  ...vocabulary(
    'quarantine-reason',
    'Reasons of a quarantine',
    'Why a feed was not attached to a space (W1). A reason is no finer than what the sender was told.',
    // INVARIANT: the entries of a closed record.
    Object.entries(REASONS).map(([code, [en, fr]]) => ({ code, en, fr })),
  ),
];

const task = profile({
  id: 'carnet-quarantine',
  type: 'Task',
  title: 'Feed in quarantine',
  description:
    'What a feed leaves to the host when its identity cannot be taken for the person’s: the identity that was sent and what names the deposit, and nothing of the document. The server writes it; the operator says how far it is; the software of the sending structure reads it.',
  elements: [
    el('Task.code', { ...SOME, patternCodeableConcept: coded(SYSTEM.taskCode, FEED_QUARANTINE) }),
    el('Task.for', to('Patient')),
    el('Task.requester', to('Organization')),
    el('Task.reasonCode', required(valueSetUrl('quarantine-reason'))),
    el('Task.input', slicedBy('pattern', 'type')),
    el('Task.input:identity', AT_MOST_ONE),
    el('Task.input:identity.type', { patternCodeableConcept: coded(SYSTEM.taskInput, 'identity') }),
    el('Task.input:identity.value[x]', { ...ONE, ...to('Patient') }),
    el('Task.input:document', AT_MOST_ONE),
    el('Task.input:document.type', { patternCodeableConcept: coded(SYSTEM.taskInput, 'document') }),
    el('Task.input:document.value[x]', { ...ONE, type: [{ code: 'Identifier' }] }),
  ],
});

export const health: readonly Conformance[] = [
  immunization,
  ...medicalProfile,
  reimbursement,
  coverage,
  ...words,
  task,
];

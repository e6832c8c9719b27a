/** rules.md section 4, D3 and D4: the medical profile that a person keeps of themself, and what the insurer paid. */
import { and, not, owner } from '../../query/predicate.ts';
import { type Asking, grant, type Part, part, type Rows, type Vote } from '../decision.ts';
import { denied, permitted } from '../space.ts';
import { holderItems, representativeItems } from './documents.ts';
import { delegated, gate, namesOf, ownSpace, s1, treatOnly } from './gate.ts';
import { payerLabels } from './labels.ts';

/** D3: the types of the medical profile. */
export const PROFILE_TYPES = [
  'Condition',
  'AllergyIntolerance',
  'Procedure',
  'FamilyMemberHistory',
  'MedicationStatement',
  'Observation',
  'QuestionnaireResponse',
] as const;

/** D3: the person shares their medical profile. */
const shared = ({ caller, now }: Asking): Part =>
  part(
    'D3',
    and(owner(permitted('profile-sharing', '', now)), owner(not(denied('profile-sharing', namesOf(caller), now)))),
  );

const own = (asking: Asking): readonly Part[] => [part('D3', ownSpace(asking)), s1(asking, 'holder')];

/** D3: to professionals behind the gate, in every mode (A6), where the person shares it; no labels. */
export const profileRows: Rows = {
  patient: (asking) => [grant('D3', ...own(asking))],
  representative: (asking) => [grant('D3', ...own(asking), delegated(asking, ['legal', 'caregiver']))],
  professional: (asking) => [grant('D3', ...gate(asking), shared(asking))],
};

/** D4, the host's line `payerDataToProfessionals`: gate and labels; emergencies open it never (A6). */
const payerToProfessional = (asking: Asking): readonly Vote[] =>
  asking.policy.payerDataToProfessionals ? [grant('D4', treatOnly(asking), ...gate(asking), payerLabels(asking))] : [];

/** D4: reimbursements and cover. The insurer, who writes them, reads none back. */
export const payerRows: Rows = {
  patient: holderItems('D4'),
  representative: representativeItems('D4'),
  professional: payerToProfessional,
};

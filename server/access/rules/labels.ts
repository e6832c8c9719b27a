/** rules.md section 4, label gate L0 to L3: who an item's labels hide it from. */
import { ALL, and, not, or, owner, type Predicate, range, term } from '../../query/predicate.ts';
import { type Asking, type Part, part } from '../decision.ts';
import { denied, permitted } from '../space.ts';
import { attending, authored, authoredInPerson, namesOf } from './gate.ts';

export const MASKED = 'MASQUE_PS';
export const HIDDEN_FROM_PATIENT = 'INVISIBLE_PATIENT';
export const HIDDEN_FROM_REPRESENTATIVES = 'INVISIBLE_REPRESENTANTS_LEGAUX';
/** The labels of TRE_A07 that rules.md knows; a feed with another one is refused, so that no item has a label that nobody applies. */
export const VISIBILITY_LABELS = [MASKED, HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES] as const;
export type VisibilityLabel = (typeof VISIBILITY_LABELS)[number];

/** L1 as it counts: the label, or the holder's "mask everything" on D1 and D2 items that were not exempted (W5). */
const masked = (asking: Asking, byDefaultToo: boolean): Predicate =>
  or(
    term('_label', MASKED),
    byDefaultToo
      ? and(owner(denied('document-default', namesOf(asking.caller), asking.now)), not(term('_exempt', '1')))
      : or(),
  );

/** L1 for a professional on D1 and D2 items: author, attending physician, or not masked; in emergencies `emergency-masked` decides. */
export function professionalLabels(asking: Asking): Part {
  const { caller, now, policy } = asking;
  const opened =
    caller.purpose === 'TREAT'
      ? or()
      : and(
          policy.emergencyMaskedUnlessDenied ? ALL : owner(permitted('emergency-masked', '', now)),
          owner(not(denied('emergency-masked', namesOf(caller), now))),
        );
  return part('L1', or(authored(asking), attending(asking), not(masked(asking, true)), opened));
}

/** L1 for a professional on an Appointment (D6): its "author" is the professional who created it, in person. */
export const appointmentLabels = (asking: Asking): Part =>
  part('L1', or(authoredInPerson(asking), attending(asking), not(masked(asking, false))));

/** L1 for a professional on payer data (D4): "mask everything" is about D1 and D2, and no emergency opens D4 (A6). */
export const payerLabels = (asking: Asking): Part =>
  part('L1', or(authored(asking), attending(asking), not(masked(asking, false))));

/** The types on which "mask everything" counts: D1 and D2 (rules.md section 4). */
export const MASKED_BY_DEFAULT: ReadonlySet<string> = new Set(['DocumentReference', 'Immunization', 'RelatedPerson']);

/** L2 while it counts: the index holds `[filing, one calendar month later)`, or an unbounded range where the filing is not known. */
const hiddenFromPatient = ({ now }: Asking): Predicate => range('_hidden', { hi: ['>', now] });

export const holderLabels = (asking: Asking): Part => part('L2', not(hiddenFromPatient(asking)));

export const representativeLabels = (asking: Asking): readonly Part[] => [
  part('L2', not(hiddenFromPatient(asking))),
  part('L3', not(term('_label', HIDDEN_FROM_REPRESENTATIVES))),
];

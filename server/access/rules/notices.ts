/** O2: who sees a notice that the server wrote into a space. D5 says who its reader is; this, what it waits for. */
import { hop } from '../../query/plan.ts';
import { ALL, not, or, type Predicate, term } from '../../query/predicate.ts';
import { type Asking, type Part, part } from '../decision.ts';

/** The types whose items a notice may wait for: those that labels hide from the holder's side (D1, D2, D6), and what follows them. */
export const CARE_TYPES: readonly string[] = [
  'DocumentReference',
  'Binary',
  'List',
  'Provenance',
  'Immunization',
  'RelatedPerson',
  'Appointment',
];

/** One of the items that the notice is about is in this reader's sight; deleted ones count as if they were not. */
const itemInSight = (asking: Asking): readonly Predicate[] =>
  CARE_TYPES.flatMap((type): Predicate[] => {
    const guard = asking.follow(type, 'read');
    return guard.residual.op === 'none'
      ? []
      : [{ op: 'via', param: '_about', hop: hop(guard, ALL, { deleted: true }) }];
  });

/** A notice about items is shown once one of them is; any other Communication at once. */
export const noticeInSight = (asking: Asking): Part => part('O2', or(not(term('_waits', '1')), ...itemInSight(asking)));

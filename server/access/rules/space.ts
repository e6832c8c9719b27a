/** rules.md section 4, D5 to D12: what is about the space rather than its documents. */
import { ALL, and, NONE, not, or, owner, type Predicate, range, term } from '../../query/predicate.ts';
import { type Asking, grant, type Part, part, type Rows } from '../decision.ts';
import { fact, standing } from '../space.ts';
import { a2, attendingPermit, delegated, gate, lightGate, ownSpace, s1, treatOnly } from './gate.ts';
import { appointmentLabels, holderLabels, representativeLabels } from './labels.ts';
import { noticeInSight } from './notices.ts';

const self = (param: string, { caller }: Asking): Predicate =>
  caller.self === undefined ? NONE : term(param, caller.self);
const structure = (param: string, { caller }: Asking): Predicate =>
  caller.structure === undefined ? NONE : term(param, caller.structure);
const anyDelegation = (asking: Asking): Part => delegated(asking, ['legal', 'caregiver']);
const own = (rule: string, asking: Asking): Part => part(rule, ownSpace(asking));

/** The attending physician of rules.md as parts: `TREAT`, the gate, the permit. */
const attendingParts = (asking: Asking): readonly Part[] => [
  treatOnly(asking),
  ...gate(asking),
  part('A3', attendingPermit(asking)),
];

/** D5: messages. */
export const communicationRows: Rows = {
  patient: (asking) => [
    grant('D5', own('D5', asking), s1(asking, 'holder'), part('D5', self('_party', asking)), noticeInSight(asking)),
  ],
  representative: (asking) => [
    grant(
      'D5',
      own('D5', asking),
      s1(asking, 'holder'),
      delegated(asking, ['message']),
      part(
        'D5',
        or(self('_party', asking), asking.caller.person === undefined ? NONE : term('_party', asking.caller.person)),
      ),
      notSecret(),
      noticeInSight(asking),
    ),
  ],
  professional: (asking) => [
    grant('D5', treatOnly(asking), s1(asking, 'professionalMessages'), a2(asking), part('D5', self('_party', asking))),
  ],
};

/** D6: appointments. A feeder sees what a feeder of its structure created. */
export const appointmentRows: Rows = {
  patient: (asking) => [grant('D6', own('D6', asking), s1(asking, 'holder'), holderLabels(asking))],
  representative: (asking) => [
    grant('D6', own('D6', asking), s1(asking, 'holder'), anyDelegation(asking), ...representativeLabels(asking)),
  ],
  professional: (asking) => [
    grant(
      'D6',
      treatOnly(asking),
      ...lightGate(asking),
      part('D6', or(self('_participant', asking), structure('_participant', asking))),
      appointmentLabels(asking),
    ),
  ],
  feeder: (asking) => [
    grant('D6', ...lightGate(asking), part('D6', and(term('_side', 'feeder'), structure('_author', asking)))),
  ],
};

const RIGHTS_SEEN = ['professional-access', 'organization-access', 'attending-physician'] as const;

/** D7: the register of rights. */
export const consentRows: Rows = {
  patient: (asking) => [grant('D7', own('D7', asking), s1(asking, 'holderStill'))],
  representative: (asking) => [grant('D7', own('D7', asking), s1(asking, 'holderStill'), anyDelegation(asking))],
  professional: (asking) => {
    const inForce = part(
      'D7',
      and(
        or(...RIGHTS_SEEN.map((kind) => term('_kind', kind))),
        range('_force', { lo: ['<=', asking.now], hi: ['>', asking.now] }),
      ),
    );
    return [
      grant('D7', treatOnly(asking), inForce, ...gate(asking)),
      grant(
        'D7',
        treatOnly(asking),
        inForce,
        part('D7', or(self('_actor', asking), structure('_actor', asking))),
        ...lightGate(asking),
      ),
    ];
  },
  insurer: (asking) => [
    grant('D7', part('D7', term('_kind', 'space-existence'))),
    grant('D7', part('D7', or(term('_kind', 'attending-physician'), wroteIt(asking))), s1(asking, 'insurer')),
  ],
  operator: () => [grant('D7', part('D7', term('_kind', 'space-existence')))],
};

/** "What it wrote": filed by this very backend. */
const wroteIt = ({ caller }: Asking): Predicate => term('_by', callerName(caller));

/** The name under which the server records who filed something: the caller's own resource, or the backend where it has none. */
export const callerName = (caller: Asking['caller']): string => caller.self ?? `${caller.kind}:${caller.claims.issuer}`;

const notSecret = (): Part => part('W8', not(term('_secret', '1')));

/** D8: the register of accesses. The predicate on the items named is added by `auditItems`. */
export const auditEventRows: Rows = {
  patient: (asking) => [grant('D8', own('D8', asking), s1(asking, 'holderStill'))],
  representative: (asking) => [
    grant('D8', own('D8', asking), s1(asking, 'holderStill'), anyDelegation(asking), notSecret()),
  ],
  professional: (asking) => [
    grant('D8', ...attendingParts(asking)),
    grant('D8', treatOnly(asking), ...lightGate(asking), part('D8', self('agent', asking))),
  ],
  operator: () => [grant('D8', part('D8', ALL))],
};

/** D9: identity. */
export const patientRows: Rows = {
  patient: (asking) => [grant('D9', own('D9', asking), s1(asking, 'holderStill'))],
  representative: (asking) => [grant('D9', own('D9', asking), s1(asking, 'holderStill'), anyDelegation(asking))],
  professional: (asking) => [grant('D9', s1(asking, 'professional'))],
  feeder: (asking) => [grant('D9', s1(asking, 'professional'))],
  insurer: () => [grant('D9', part('D9', ALL))],
};

const everybody = () => [grant('D10', part('D10', ALL))];

/** D10: the directory is open to every caller. */
export const directoryRows: Rows = {
  patient: everybody,
  representative: everybody,
  professional: everybody,
  feeder: everybody,
  insurer: everybody,
  operator: everybody,
};

/** D11: care teams. */
export const careTeamRows: Rows = {
  patient: (asking) => [grant('D11', own('D11', asking), s1(asking, 'holder'))],
  representative: (asking) => [grant('D11', own('D11', asking), s1(asking, 'holder'), anyDelegation(asking))],
  professional: (asking) => [
    grant(
      'D11',
      treatOnly(asking),
      ...lightGate(asking),
      part(
        'D11',
        asking.caller.self === undefined
          ? NONE
          : range(`_member:${asking.caller.self}`, { lo: ['<=', asking.now], hi: ['>', asking.now] }),
      ),
    ),
    grant('D11', ...attendingParts(asking)),
  ],
  feeder: (asking) => [grant('D11', ...lightGate(asking), part('D11', structure('_structure', asking)))],
  insurer: (asking) => [grant('D11', s1(asking, 'insurer'), part('D11', wroteIt(asking)))],
};

/** D12: tasks. The operator has them all; software of a structure, those of its own deposits, about nobody or in the state of the space. */
export const taskRows: Rows = {
  feeder: (asking) => {
    const own = structure('_author', asking);
    return [
      grant('D12', part('D12', own), s1(asking, 'professional')),
      grant('D12', part('D12', and(own, term('_nobody', '1')))),
    ];
  },
  operator: () => [grant('D12', part('D12', ALL))],
};

/** Whether the caller legally represents the owner (W9: manages accesses like the holder). */
export const legallyRepresents = ({ caller, now }: Asking): Predicate =>
  caller.kind === 'representative' && caller.self !== undefined
    ? owner(standing(fact('delegation', 'legal', caller.self), now))
    : NONE;

/** rules.md sections 2 and 3: the state of the space (S1), and the gate (A1 to A6). Each rule is one function from the asking to a part. */
import { ALL, and, NONE, not, or, owner, type Predicate, term } from '../../query/predicate.ts';
import { type Asking, type Part, part } from '../decision.ts';
import type { Policy } from '../policy.ts';
import { denied, fact, permitted, type SpaceState, standing, stateIn } from '../space.ts';

/** S1, by side: in which states a space answers. */
const ANSWERS = {
  holder: ['active'],
  holderStill: ['active', 'suspended'],
  professional: ['open', 'active', 'legacy-dmp'],
  professionalMessages: ['open', 'active'],
  insurer: ['open', 'active'],
} as const satisfies Record<string, readonly SpaceState[]>;

export const s1 = (asking: Asking, side: keyof typeof ANSWERS): Part => part('S1', stateIn(ANSWERS[side], asking.now));

/** A1: the profession is in the matrix and may consult. */
export const mayConsult = (policy: Policy, profession: string | undefined): boolean =>
  profession !== undefined && Object.hasOwn(policy.matrix, profession) && policy.matrix[profession]?.consult === true;

export const a1 = ({ caller, policy }: Asking): Part => part('A1', mayConsult(policy, caller.profession) ? ALL : NONE);

/** A2: not blocked, in person or through the structure acted for; holds in emergencies too unless the policy says otherwise. */
export function a2({ caller, policy, now }: Asking): Part {
  const emergency = caller.purpose === 'BTG' || caller.purpose === 'ETREAT';
  if (emergency && policy.emergencyOverridesBlock) return part('A2', ALL);
  return part('A2', notBlocked(caller.kind === 'professional' ? caller.self : undefined, caller.structure, now));
}

/** No block stands against this professional, nor against this structure. */
export const notBlocked = (professional: string | undefined, structure: string | undefined, now: number): Predicate =>
  and(
    owner(not(denied('professional-access', [professional], now))),
    owner(not(denied('organization-access', [structure], now))),
  );

/** What an entry could name to reach this caller: in person, and the structure acted for. */
export const namesOf = ({ self, structure }: Asking['caller']): readonly (string | undefined)[] => [self, structure];

/**
 * The ground `attending-physician`: whatever the structure acted for, unless a misshapen deny of the kind names that one (A0; one that names the
 * professional, or nobody, has already taken the permit away, `spaceEntry`).
 */
export const attendingPermit = ({ caller, now }: Asking): Predicate => {
  const permit = owner(permitted('attending-physician', caller.self, now));
  const { structure } = caller;
  return structure === undefined
    ? permit
    : and(permit, owner(not(standing(fact('attending-physician', 'deny', structure), now))));
};

/** A3: in `TREAT`, one ground. */
export function a3(asking: Asking): Part {
  const { caller, now } = asking;
  const team =
    caller.structure === undefined || caller.self === undefined
      ? NONE
      : and(
          owner(standing(fact('team', caller.structure, caller.self), now)),
          owner(not(denied('care-team-default', namesOf(caller), now))),
        );
  return part(
    'A3',
    or(
      attendingPermit(asking),
      owner(permitted('professional-access', caller.self, now)),
      owner(permitted('organization-access', caller.structure, now)),
      team,
    ),
  );
}

/** A4: break-glass, unless opposed. */
export const a4 = ({ caller, now }: Asking): Part =>
  part('A4', owner(not(denied('emergency-btg', namesOf(caller), now))));

/** A5: centre 15, unless opposed. */
export const a5 = ({ caller, now }: Asking): Part =>
  part('A5', owner(not(denied('emergency-etreat', namesOf(caller), now))));

/** The gate: S1, A1, A2 and the ground of the mode. */
export function gate(asking: Asking): readonly Part[] {
  const ground = { TREAT: a3, BTG: a4, ETREAT: a5 } as const;
  const purpose = asking.caller.purpose;
  if (purpose === undefined) return [part('C2', NONE)];
  return [s1(asking, 'professional'), a1(asking), a2(asking), ground[purpose](asking)];
}

/** The light gate: S1 and A2 only. */
export const lightGate = (asking: Asking): readonly Part[] => [s1(asking, 'professional'), a2(asking)];

/** Only in `TREAT` (A6: the emergency modes open D1, D1a, D2, D3, D9 and D10 only). */
export const treatOnly = ({ caller }: Asking): Part => part('A6', caller.purpose === 'TREAT' ? ALL : NONE);

/** "Attending physician" of rules.md: mode `TREAT`, gate passed, with the permit in force. */
export const attending = (asking: Asking): Predicate =>
  asking.caller.purpose === 'TREAT' ? and(...gate(asking).map((p) => p.where), attendingPermit(asking)) : NONE;

/** C7: a delegation of one of `kinds` to the caller stands for the owner. */
export const delegated = ({ caller, now }: Asking, kinds: readonly ('legal' | 'caregiver' | 'message')[]): Part =>
  part(
    'C7',
    caller.self === undefined
      ? NONE
      : owner(or(...kinds.map((k) => standing(fact('delegation', k, caller.self ?? ''), now)))),
  );

/** Authorship as the server recorded it: the professional in person, or anyone acting for the author structure. */
export const authored = ({ caller }: Asking): Predicate =>
  or(
    caller.kind === 'professional' && caller.self !== undefined ? term('_author', caller.self) : NONE,
    caller.structure === undefined ? NONE : term('_author', caller.structure),
  );

export const authoredInPerson = ({ caller }: Asking): Predicate =>
  caller.kind === 'professional' && caller.self !== undefined ? term('_author', caller.self) : NONE;

/** The resource is about the person of the caller (holder or representative). */
export const ownSpace = ({ caller }: Asking): Predicate =>
  caller.person === undefined ? NONE : term('_owner', caller.person);

/** Conditions of section 5 that several rows share, each asked of the person's space. The parts are those that reading is decided by. */
import { a1, a2, attending, gate, s1 } from '../../access/rules/gate.ts';
import { fact, standing } from '../../access/space.ts';
import { fail, ok, type Result } from '../../fhir/result.ts';
import type { Ref } from '../../fhir/types.ts';
import { and, NONE, owner } from '../../query/predicate.ts';
import { holds, type Work } from '../work.ts';
import { forbidden } from './filing.ts';

/** The holder, or a legal representative (W9): `true` where the caller decides for the person. */
export async function decidesFor(work: Work, person: Ref): Promise<boolean> {
  const { caller, now } = work;
  if (caller.person !== person) return false;
  if (caller.kind === 'patient') return true;
  if (caller.kind !== 'representative' || caller.self === undefined) return false;
  return holds(work, person, owner(standing(fact('delegation', 'legal', caller.self), now)));
}

/** A delegation of the given kinds stands for a representative; a holder needs none. */
export async function standsFor(
  work: Work,
  person: Ref,
  kinds: readonly ('legal' | 'caregiver' | 'message')[],
): Promise<boolean> {
  const { caller, now } = work;
  if (caller.person !== person) return false;
  if (caller.kind === 'patient') return true;
  if (caller.kind !== 'representative' || caller.self === undefined) return false;
  for (const kind of kinds) {
    if (await holds(work, person, owner(standing(fact('delegation', kind, caller.self), now)))) return true;
  }
  return false;
}

/** S1 for writing: the holder's side in `active`, professionals and feeders in `open`, `active`, `legacy-dmp`, the insurer where its rows say. */
export async function stateAllows(
  work: Work,
  person: Ref,
  side: 'holder' | 'professional' | 'professionalMessages' | 'insurer',
): Promise<Result<void>> {
  return (await holds(work, person, s1(work.access.asking, side).where))
    ? ok(undefined)
    : forbidden('S1', 'the state of the space does not allow this');
}

/** A2 for writing. */
export const notBlockedHere = (work: Work, person: Ref): Promise<boolean> =>
  holds(work, person, a2(work.access.asking).where);

/** The gate of section 3, in `TREAT`. */
export const passesGateInTreat = async (work: Work, person: Ref): Promise<boolean> =>
  work.caller.kind === 'professional' &&
  work.caller.purpose === 'TREAT' &&
  holds(work, person, and(...gate(work.access.asking).map((p) => p.where)));

export const isAttending = async (work: Work, person: Ref): Promise<boolean> =>
  work.caller.kind === 'professional' && holds(work, person, attending(work.access.asking));

export const mayConsultHere = async (work: Work): Promise<boolean> => a1(work.access.asking).where !== NONE;

/** "Unless a row says otherwise a professional writes in `TREAT`" (section 5, A6). */
export const inTreat = (work: Work): Result<void> =>
  work.caller.kind === 'professional' && work.caller.purpose !== 'TREAT'
    ? fail({
        code: 'forbidden',
        rule: 'A6',
        text: 'an emergency token writes nothing but a feed and the correction of own deposits',
      })
    : ok(undefined);

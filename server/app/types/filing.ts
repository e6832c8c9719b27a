/** Marks and checks that several types share: who filed, whom a resource is about, what a caller may name. */

import { referenceOf } from '../../fhir/json.ts';
import { fail, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Json, Ref } from '../../fhir/types.ts';
import type { Filing } from '../../ports/store.ts';
import type { Marks } from '../declaration.ts';
import { filedBy, seesPerson, type Work } from '../work.ts';

/** `_by`, `_side` and `_author` as the server recorded them. */
export const filingMarks = (filing: Filing): Marks['terms'] => [
  ...(filing.by === undefined ? [] : [['_by', filing.by] as const]),
  ...(filing.side === undefined ? [] : [['_side', filing.side] as const]),
  ...(filing.authorPerson === undefined ? [] : [['_author', filing.authorPerson] as const]),
  ...(filing.authorStructure === undefined ? [] : [['_author', filing.authorStructure] as const]),
];

export const merge = (...marks: readonly Marks[]): Marks => ({
  terms: marks.flatMap((m) => m.terms),
  ranges: marks.flatMap((m) => m.ranges),
});

/** The literal `Patient/x` of a reference element; one to a version of it names no space. */
export const patientRef = (value: Json | undefined): Ref | undefined => {
  const ref = referenceOf(value);
  return ref !== undefined && /^Patient\/[A-Za-z0-9.-]{1,64}$/.test(ref) ? (ref as Ref) : undefined;
};

/** A 403 that a rule decides (contract.md "Answers"). */
export const forbidden = (rule: string, text: string) => fail({ code: 'forbidden', rule, text });
export const conflict = (text: string, rule?: string) =>
  fail({ code: 'conflict', text, ...(rule === undefined ? {} : { rule }) });
export const notFound = () => fail({ code: 'not-found' });

/**
 * The person whom a new item is about. One whom the caller does not see is answered like one who does not exist: the
 * reference does not resolve (422); a caller limited to another person (C6) is told no more.
 */
export async function aboutPerson(work: Work, value: Json | undefined, at: string): Promise<Result<Ref>> {
  const person = patientRef(value);
  if (person === undefined) return unprocessable('a reference to the Patient whom this is about is needed', at);
  if (work.caller.person !== undefined && work.caller.person !== person) {
    return unprocessable(`the reference \`${person}\` cannot be resolved`, at, 'C6');
  }
  return (await seesPerson(work, person)) ? ok(person) : unresolved(person, at);
}

/** A reference that does not resolve inside what the caller can see. */
export const unresolved = (ref: string, at: string) => unprocessable(`the reference \`${ref}\` cannot be resolved`, at);

/** rules.md section 5, first paragraph: the side of the caller, in words of the state table. */
export const isHolderSide = (work: Work): boolean =>
  work.caller.kind === 'patient' || work.caller.kind === 'representative';

/** The author as the server records it: from the token, never from the body. */
export const authorOf = (work: Work): Filing => ({
  ...filedBy(work),
  ...(work.caller.kind === 'professional' && work.caller.self !== undefined ? { authorPerson: work.caller.self } : {}),
  ...((work.caller.kind === 'professional' || work.caller.kind === 'feeder') && work.caller.structure !== undefined
    ? { authorStructure: work.caller.structure }
    : {}),
});

/** The caller is the author of an item so filed (section 4: the professional in person, or acting for the author structure). */
export function isAuthor(work: Work, filing: Filing): boolean {
  const { caller } = work;
  if (caller.kind !== 'professional' && caller.kind !== 'feeder') return false;
  return (
    (caller.kind === 'professional' && filing.authorPerson !== undefined && filing.authorPerson === caller.self) ||
    (filing.authorStructure !== undefined && filing.authorStructure === caller.structure)
  );
}

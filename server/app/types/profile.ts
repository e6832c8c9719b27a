/** D3, W20: the medical profile, which the holder and their representatives keep. It carries no label: it is shared as a whole, or not. */
import { PROFILE_TYPES, profileRows } from '../../access/rules/profile.ts';
import { sameJson } from '../../fhir/json.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Ref, Resource } from '../../fhir/types.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import { filedBy, type Work } from '../work.ts';
import { aboutPerson, filingMarks, forbidden, isHolderSide, patientRef } from './filing.ts';
import { refuseLabels } from './labels.ts';
import { inTreat, standsFor, stateAllows } from './writing.ts';

type Elements = {
  /** Whom it is about. */
  readonly person: 'subject' | 'patient';
  /** Who says so: fixed once written (W10). */
  readonly author: readonly string[];
};

const ELEMENTS: Readonly<Record<(typeof PROFILE_TYPES)[number], Elements>> = {
  Condition: { person: 'subject', author: ['recorder', 'asserter'] },
  AllergyIntolerance: { person: 'patient', author: ['recorder', 'asserter'] },
  Procedure: { person: 'subject', author: ['recorder', 'asserter'] },
  FamilyMemberHistory: { person: 'patient', author: [] },
  MedicationStatement: { person: 'subject', author: ['informationSource'] },
  Observation: { person: 'subject', author: ['performer'] },
  QuestionnaireResponse: { person: 'subject', author: ['author', 'source'] },
};

/** Section 5, whoever the item belongs to: the person's own side. */
function ofHolderSide(work: Work): Result<void> {
  if (isHolderSide(work)) return ok(undefined);
  const treat = inTreat(work);
  return treat.ok ? forbidden('W20', 'the holder and their representatives keep the medical profile') : treat;
}

/** W20: both kinds of representative write; the space is active. */
async function mayWrite(work: Work, person: Ref): Promise<Result<void>> {
  const side = ofHolderSide(work);
  if (!side.ok) return side;
  if (!(await standsFor(work, person, ['legal', 'caregiver']))) return forbidden('C7', 'no delegation stands');
  return stateAllows(work, person, 'holder');
}

/** W8: what is written in a secret connection is kept from representatives, and nothing of the profile can be. */
const notSecret = (work: Work): Result<void> =>
  work.caller.claims.secret
    ? forbidden('W8', 'the medical profile is not kept in a secret connection: representatives would see it')
    : ok(undefined);

const declare = (type: (typeof PROFILE_TYPES)[number]): TypeDeclaration => {
  const { person: element, author } = ELEMENTS[type];
  const fixed = [element, 'identifier', ...author];

  const create = async (work: Work, resource: Resource): Promise<Result<Accepted>> => {
    const side = ofHolderSide(work);
    if (!side.ok) return side;
    const person = await aboutPerson(work, resource[element], `${type}.${element}`);
    if (!person.ok) return person;
    const allowed = await mayWrite(work, person.value);
    if (!allowed.ok) return allowed;
    const told = notSecret(work);
    if (!told.ok) return told;
    const labelled = refuseLabels(resource);
    if (!labelled.ok) return labelled;
    return ok({ resource, owner: person.value, filing: filedBy(work) });
  };

  const update = async (work: Work, change: Change, resource: Resource): Promise<Result<Accepted>> => {
    const owner = change.before.owner ?? ('Patient/' as Ref);
    const allowed = await mayWrite(work, owner);
    if (!allowed.ok) return allowed;
    const told = notSecret(work);
    if (!told.ok) return told;
    const labelled = refuseLabels(resource);
    if (!labelled.ok) return labelled;
    const changed = fixed.find((name) => !sameJson(change.current[name], resource[name]));
    if (changed !== undefined || patientRef(resource[element]) !== owner) {
      return unprocessable(`\`${changed ?? element}\` cannot be changed`, `${type}.${changed ?? element}`, 'W10');
    }
    return ok({ resource, owner, filing: change.before.filing });
  };

  return {
    type,
    row: 'D3',
    about: 'person',
    rows: profileRows,
    writes: { create, update, remove: (work, before) => mayWrite(work, before.owner ?? ('Patient/' as Ref)) },
    marks: async (_work, _resource, filing) => ({ terms: filingMarks(filing), ranges: [] }),
    feedsSpace: false,
    bySight: [],
  };
};

export const profile: readonly TypeDeclaration[] = PROFILE_TYPES.map(declare);

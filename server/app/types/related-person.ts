/** D2, W21: trusted persons, emergency contacts, representatives. Labels as on documents, set at creation or by the operations. */

import { systemGuard } from '../../access/decision.ts';
import { relatedPersonRows } from '../../access/rules/documents.ts';
import { HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES } from '../../access/rules/labels.ts';
import { ageInYears } from '../../fhir/interval.ts';
import { asText, sameJson } from '../../fhir/json.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Ref, Resource } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { and, term } from '../../query/predicate.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import { allOf, filedBy, keyOf, parsed, save, type Work } from '../work.ts';
import { aboutPerson, filingMarks, forbidden, merge, patientRef } from './filing.ts';
import { checkLabels, labelMarks, labelsOf, sameLabels, withLabels } from './labels.ts';
import { decidesFor, stateAllows } from './writing.ts';

/** W15, W21: the insurer acts for a person under 18. */
export async function isMinor(work: Work, person: Ref): Promise<boolean> {
  const found = await work.unit.read(keyOf(person), systemGuard('Patient', 'facts'));
  const born = found === undefined || found.deleted ? undefined : asText(parsed(found)['birthDate']);
  return born !== undefined && ageInYears(born, work.now) < 18;
}

async function mayWrite(work: Work, person: Ref): Promise<Result<void>> {
  if (work.caller.kind === 'insurer') {
    const state = await stateAllows(work, person, 'insurer');
    if (!state.ok) return state;
    return (await isMinor(work, person))
      ? ok(undefined)
      : forbidden('W21', 'the insurer writes the family link of a minor only');
  }
  if (!(await decidesFor(work, person))) return forbidden('W21', 'the holder or a legal representative writes this');
  return stateAllows(work, person, 'holder');
}

/** The delegations that name this RelatedPerson and are not ended, whatever their period and whether the RelatedPerson is in service. */
const delegationsTo = (work: Work, person: Ref, id: string): Promise<readonly Version[]> =>
  allOf(
    work,
    'Consent',
    person,
    and(term('_kind', 'delegation'), term('_actor', `RelatedPerson/${id}`), term('_active', '1')),
  );

/** Whether a delegation names this RelatedPerson: labels are refused on it then (contract.md "Consents"). */
export const delegationNames = async (work: Work, person: Ref, id: string): Promise<boolean> =>
  (await delegationsTo(work, person, id)).length > 0;

async function update(work: Work, change: Change, resource: Resource): Promise<Result<Accepted>> {
  const person = change.before.owner ?? ('Patient/' as Ref);
  const allowed = await mayWrite(work, person);
  if (!allowed.ok) return allowed;
  if (patientRef(resource['patient']) !== person) {
    return unprocessable('the person whom this is about cannot change', 'RelatedPerson.patient', 'W10');
  }
  if (!sameJson(change.current['identifier'], resource['identifier'])) {
    return unprocessable('identifiers cannot be changed', 'RelatedPerson.identifier', 'W10');
  }
  if (!sameLabels(labelsOf(change.current), labelsOf(resource))) {
    return unprocessable('labels change by the operations only', 'RelatedPerson.meta.security', 'W10');
  }
  return ok({ resource, owner: person, filing: change.before.filing });
}

/** contract.md: deleting a RelatedPerson ends its delegations. */
async function endDelegations(work: Work, person: Ref, id: string): Promise<void> {
  for (const consent of await delegationsTo(work, person, id)) {
    await save(work, {
      key: { type: 'Consent', id: consent.id },
      before: consent,
      resource: { ...parsed(consent), status: 'inactive' },
      rule: 'W21',
      owner: person,
      filing: consent.filing,
    });
  }
}

export const relatedPerson: TypeDeclaration = {
  type: 'RelatedPerson',
  row: 'D2',
  about: 'person',
  rows: relatedPersonRows,
  writes: {
    create: async (work, resource) => {
      const person = await aboutPerson(work, resource['patient'], 'RelatedPerson.patient');
      if (!person.ok) return person;
      const allowed = await mayWrite(work, person.value);
      if (!allowed.ok) return allowed;
      const labels = checkLabels(resource);
      if (!labels.ok) return labels;
      const set = new Set(labelsOf(resource));
      if (set.has(HIDDEN_FROM_PATIENT)) {
        return unprocessable('a professional alone hides an item from the holder', 'RelatedPerson.meta.security', 'W6');
      }
      if (set.size > 0 && work.caller.kind === 'insurer') {
        return unprocessable("the insurer sets no label: they are the holder's", 'RelatedPerson.meta.security', 'W4');
      }
      if (set.has(HIDDEN_FROM_REPRESENTATIVES) && work.caller.kind === 'representative') {
        return unprocessable(
          'a representative hides nothing from representatives',
          'RelatedPerson.meta.security',
          'W6',
        );
      }
      if (work.caller.claims.secret) set.add(HIDDEN_FROM_REPRESENTATIVES);
      return ok({ resource: withLabels(resource, set), owner: person.value, filing: filedBy(work) });
    },
    update,
    remove: async (work, before) => {
      const person = before.owner ?? ('Patient/' as Ref);
      const allowed = await mayWrite(work, person);
      if (!allowed.ok) return allowed;
      await endDelegations(work, person, before.id);
      return ok(undefined);
    },
  },
  marks: async (_work, resource, filing) =>
    merge({ terms: filingMarks(filing), ranges: [] }, labelMarks(resource, filing)),
  feedsSpace: true,
  bySight: [],
};

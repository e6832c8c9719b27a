/** D2, D1a, W3, W22: vaccinations. Fed like a document, or written by the person's side; labels in `meta.security`, changed by the operations. */
import { immunizationRows } from '../../access/rules/documents.ts';
import { HIDDEN_FROM_REPRESENTATIVES } from '../../access/rules/labels.ts';
import { sameJson } from '../../fhir/json.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Ref, Resource } from '../../fhir/types.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import type { Work } from '../work.ts';
import { mayCorrect, mayDeposit, mayFeed } from './document.ts';
import { aboutPerson, authorOf, filingMarks, forbidden, isHolderSide, merge, patientRef } from './filing.ts';
import { sameIdentityAs } from './identity.ts';
import { labelsAtFiling } from './label-rights.ts';
import { labelMarks, labelsOf, sameLabels, withLabels } from './labels.ts';

async function create(work: Work, resource: Resource): Promise<Result<Accepted>> {
  const { caller } = work;
  if (caller.kind === 'insurer' || caller.kind === 'operator')
    return forbidden('W22', 'this caller never feeds a space');
  const person = await aboutPerson(work, resource['patient'], 'Immunization.patient');
  if (!person.ok) return person;
  const byHolder = isHolderSide(work);
  const allowed = byHolder ? await mayDeposit(work, person.value) : await mayFeed(work, person.value);
  if (!allowed.ok) return allowed;
  const labels = labelsAtFiling(work, resource);
  if (!labels.ok) return labels;
  if (!byHolder) {
    const identity = await sameIdentityAs(work, resource, person.value);
    if (!identity.ok) return identity;
  }
  return ok({
    resource: withLabels(resource, labels.value),
    owner: person.value,
    filing: authorOf(work),
    rule: 'W22',
  });
}

/** W3: to replace is to feed again, so that an opposition to feeding stops it; labels stay, and a secret connection adds its own (W8). */
async function update(work: Work, change: Change, resource: Resource): Promise<Result<Accepted>> {
  const person = change.before.owner ?? ('Patient/' as Ref);
  const allowed = await mayCorrect(work, change.before);
  if (!allowed.ok) return allowed;
  if (!isHolderSide(work)) {
    const fed = await mayFeed(work, person);
    if (!fed.ok) return fed;
    const identity = await sameIdentityAs(work, resource, person);
    if (!identity.ok) return identity;
  }
  if (patientRef(resource['patient']) !== person) {
    return unprocessable('the person whom this is about cannot change', 'Immunization.patient', 'W10');
  }
  if (!sameJson(change.current['identifier'], resource['identifier'])) {
    return unprocessable('identifiers cannot be changed', 'Immunization.identifier', 'W10');
  }
  const labels = labelsOf(change.current);
  if (!sameLabels(labels, labelsOf(resource))) {
    return unprocessable('labels change by the operations only', 'Immunization.meta.security', 'W10');
  }
  const kept = work.caller.claims.secret ? new Set([...labels, HIDDEN_FROM_REPRESENTATIVES] as const) : labels;
  return ok({ resource: withLabels(resource, kept), owner: person, filing: change.before.filing });
}

export const immunization: TypeDeclaration = {
  type: 'Immunization',
  row: 'D2',
  about: 'person',
  rows: immunizationRows,
  writes: { create, update, remove: (work, before) => mayCorrect(work, before) },
  marks: async (_work, resource, filing) =>
    merge({ terms: filingMarks(filing), ranges: [] }, labelMarks(resource, filing)),
  feedsSpace: false,
  bySight: [],
};

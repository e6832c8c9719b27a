/** D4, W18: what the insurer paid, and for whom it pays. Written by the insurer, who reads none of it back; nobody changes or deletes it. */
import { payerRows } from '../../access/rules/profile.ts';
import { ok } from '../../fhir/result.ts';
import type { TypeDeclaration } from '../declaration.ts';
import { filedBy } from '../work.ts';
import { aboutPerson, filingMarks, forbidden, merge } from './filing.ts';
import { checkLabels, labelMarks } from './labels.ts';
import { inTreat, stateAllows } from './writing.ts';

/** What was written stands: the insurer does not see it any more, and to the others it is not theirs to change. */
const never = async () => forbidden('W18', 'reimbursements and cover are written by the insurer, once');

const declare = (type: string, element: string): TypeDeclaration => ({
  type,
  row: 'D4',
  about: 'person',
  rows: payerRows,
  writes: {
    create: async (work, resource) => {
      if (work.caller.kind !== 'insurer') {
        const treat = inTreat(work);
        return treat.ok ? forbidden('W18', 'the insurer writes reimbursements and cover') : treat;
      }
      const person = await aboutPerson(work, resource[element], `${type}.${element}`);
      if (!person.ok) return person;
      const state = await stateAllows(work, person.value, 'insurer');
      if (!state.ok) return state;
      const labels = checkLabels(resource);
      if (!labels.ok) return labels;
      return ok({ resource, owner: person.value, filing: filedBy(work) });
    },
    update: never,
    remove: never,
  },
  writtenOnce: true,
  marks: async (_work, resource, filing) =>
    merge({ terms: filingMarks(filing), ranges: [] }, labelMarks(resource, filing)),
  feedsSpace: false,
  bySight: [],
});

export const payer: readonly TypeDeclaration[] = [
  declare('ExplanationOfBenefit', 'patient'),
  declare('Coverage', 'beneficiary'),
];

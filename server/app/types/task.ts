/** D12: Tasks. The server files them (a feed put aside, W1); nobody writes one through the API. */
import { taskRows } from '../../access/rules/space.ts';
import type { TypeDeclaration } from '../declaration.ts';
import { filingMarks } from './filing.ts';
import { quarantineMark } from './quarantine.ts';

export const task: TypeDeclaration = {
  type: 'Task',
  about: 'either',
  row: 'D12',
  rows: taskRows,
  writes: {},
  marks: async (_work, resource, filing) => ({
    terms: [
      ...filingMarks(filing),
      ...quarantineMark(resource),
      ...(resource['for'] === undefined ? [['_nobody', '1'] as const] : []),
    ],
    ranges: [],
  }),
  feedsSpace: false,
  bySight: [],
};

/** D8, W19: the register of accesses. Written by the server itself; never changed, never deleted. */
import { auditEventRows } from '../../access/rules/space.ts';
import { auditMarks, searchable } from '../../audit/event.ts';
import type { TypeDeclaration } from '../declaration.ts';

export const auditEvent: TypeDeclaration = {
  type: 'AuditEvent',
  row: 'D8',
  about: 'either',
  rows: auditEventRows,
  writes: {},
  marks: async (_work, resource) => auditMarks(resource),
  searchable,
  feedsSpace: false,
  bySight: ['entity'],
};

/** O1: an act of the server's own clock stands in the register like any other, written in the unit that did it. */
import { type AuditDraft, clockEvent } from '../audit/event.ts';
import { save, type Writing } from './work.ts';

export async function recordClockAct(
  writing: Writing,
  act: Pick<AuditDraft, 'person' | 'items' | 'rules'> & { readonly action: 'update' | 'delete' },
): Promise<void> {
  const { deps, now } = writing;
  const resource = clockEvent(
    { ...act, interaction: act.action, refused: false },
    { now, serverAddress: deps.serverAddress },
  );
  await save(
    { ...writing, traces: [] },
    {
      key: { type: 'AuditEvent', id: deps.ids.next() },
      before: undefined,
      resource,
      owner: act.person,
      filing: { filedAt: now, side: 'server' },
    },
  );
}

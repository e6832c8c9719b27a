/** What an AuditEvent claims of itself: ours always, BALP's where it holds, and nothing of an item that its reader does not see (D8). */
import { describe, expect, it } from 'vitest';
import type { Caller } from '../../../server/access/caller.ts';
import { type AuditDraft, auditEvent, clockEvent, itemsOf, redacted, searchable } from '../../../server/audit/event.ts';
import { EX } from '../../../server/fhir/canonical.ts';
import type { Ref } from '../../../server/fhir/types.ts';

const caller: Caller = {
  claims: {
    kind: 'operator',
    issuer: 'https://issuer.example',
    clientId: 'client',
    subject: 'operator',
    tokenId: 'token',
    issuedAt: 0,
    expiresAt: 1,
    scopes: [],
    secret: true,
  },
  kind: 'operator',
};
const context = { caller, now: 0, requestId: 'r', clientAddress: '127.0.0.1', serverAddress: '127.0.0.1' };
const person: Ref = 'Patient/p';
const items: readonly Ref[] = ['Consent/a', 'Consent/b'];
const [first] = items;
const draft = (more: Partial<AuditDraft>): AuditDraft => ({
  person,
  items: items.slice(0, 1),
  action: 'update',
  interaction: 'update',
  rules: [],
  refused: false,
  ...more,
});
const of = (more: Partial<AuditDraft>) => auditEvent(draft(more), context);

const OURS = `${EX}/StructureDefinition/carnet-audit-event`;
const balp = (name: string) => `https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.${name}`;

const search = { action: 'search', interaction: 'search-type', query: 'Consent?patient' } as const;
const CLAIMS: readonly (readonly [what: string, draft: Partial<AuditDraft>, pattern: string | undefined])[] = [
  ['an update', {}, 'PatientUpdate'],
  ['a patch', { interaction: 'patch' }, 'PatientUpdate'],
  ['a creation', { action: 'create', interaction: 'create' }, 'PatientCreate'],
  ['a deletion', { action: 'delete', interaction: 'delete' }, 'PatientDelete'],
  ['a read', { action: 'read', interaction: 'read' }, 'PatientRead'],
  ['a read of the directory', { action: 'read', interaction: 'vread', person: undefined }, 'Read'],
  ['a search that finds two', { ...search, items }, 'PatientQuery'],
  ['a search that finds nothing', { ...search, items: [] }, 'PatientQuery'],
  ['a search of the directory', { ...search, person: undefined }, 'Query'],
  ['a refusal', { refused: true }, undefined],
  ['an act on two items', { items }, undefined],
  ['an act on the person alone', { items: [person] }, undefined],
  ['a transaction', { interaction: 'transaction' }, undefined],
  ['an operation', { action: 'read', interaction: 'operation' }, undefined],
  ['a history', { action: 'read', interaction: 'history-instance' }, undefined],
];

describe('the profiles of an AuditEvent', () => {
  it.each(CLAIMS)('%s', (_what, parts, pattern) => {
    expect(of(parts).meta?.['profile']).toEqual(pattern === undefined ? [OURS] : [balp(pattern), OURS]);
  });

  it('are ours alone for what the server does by its own clock', () => {
    expect(clockEvent(draft({}), { now: 0, serverAddress: '127.0.0.1' }).meta?.['profile']).toEqual([OURS]);
  });

  it('say of what is left out what an event without it says', () => {
    expect(redacted(of({ items }), (item) => item === first)).toEqual(of({}));
    expect(redacted(of({ ...search, items }), (item) => item === first)).toEqual(of(search));
  });

  it('are not searched by', () => {
    expect(searchable(of({})).meta).toEqual({ profile: [OURS] });
    expect(searchable(of({ items })).meta).toEqual({ profile: [OURS] });
  });
});

describe('the items of an AuditEvent', () => {
  it.each([['search'], ['read']] as const)('are told from the person, in a %s', (action) => {
    expect(itemsOf(of({ action, items, query: 'Consent' }))).toEqual(items);
  });
});

/** Small worlds for the oracle's own tables: one person `p`, two structures, a few professionals. */
import type {
  ActorRef,
  AuditEventItem,
  CareTeamItem,
  CommunicationItem,
  ConsentItem,
  ConsentKind,
  DocumentItem,
  FiledBy,
  Item,
  SpaceState,
  World,
  WorldCaller,
  WorldPolicy,
} from './world.ts';

/** A physician reads everything of the samples but `ATTEST-RESID`, a nurse only consultation reports, `MDT` never consults. */
export const policy: WorldPolicy = {
  emergencyOverridesBlock: false,
  payerDataToProfessionals: false,
  depositMaxBytes: 5_000_000,
  matrix: {
    '10': { consult: true, read: ['11488-4', '34112-3'] },
    '60': { consult: true, read: ['11488-4'] },
    MDT: { consult: false, read: ['11488-4'] },
  },
};

export const noon = Date.parse('2026-03-15T12:00:00+01:00');

let serial = 0;
const fresh = (prefix: string): string => {
  serial += 1;
  return `${prefix}${serial}`;
};

export const practitioner = (id: string): ActorRef => ({ type: 'Practitioner', id });
export const organization = (id: string): ActorRef => ({ type: 'Organization', id });
export const related = (id: string): ActorRef => ({ type: 'RelatedPerson', id });

/** An entry of a kind; an actor makes it name that one. */
export const consent = (
  kind: ConsentKind,
  provision: 'permit' | 'deny',
  more: Partial<ConsentItem> & { readonly actor?: ActorRef } = {},
): ConsentItem => {
  const { actor, ...rest } = more;
  return {
    type: 'Consent',
    id: fresh('c'),
    person: 'p',
    kind,
    provision,
    actors: actor === undefined ? [] : [actor],
    status: 'active',
    writtenBy: { side: 'holder' },
    ...rest,
  };
};

/** The entry that gives a space its state. */
export const space = (state: SpaceState, more: Partial<ConsentItem> = {}): ConsentItem =>
  consent('space-existence', ['open', 'active', 'legacy-dmp', 'suspended'].includes(state) ? 'permit' : 'deny', {
    id: 'space',
    state,
    writtenBy: { side: 'insurer' },
    ...more,
  });

export const byDoctor: FiledBy = { side: 'professional', person: 'author', structure: 's2' };
export const byHolder: FiledBy = { side: 'holder' };
export const byFeeder: FiledBy = { side: 'feeder', structure: 's2' };

export const doc = (more: Partial<DocumentItem> = {}): DocumentItem => ({
  type: 'DocumentReference',
  id: 'd',
  person: 'p',
  docType: '11488-4',
  labels: [],
  filedBy: byDoctor,
  filedAt: '2026-03-10T10:00:00.000Z',
  ...more,
});

export const team = (more: Partial<CareTeamItem> = {}): CareTeamItem => ({
  type: 'CareTeam',
  id: 't',
  person: 'p',
  structure: 's1',
  members: ['dr'],
  status: 'active',
  writtenBy: { side: 'feeder', structure: 's1' },
  ...more,
});

export const event = (more: Partial<AuditEventItem> = {}): AuditEventItem => ({
  type: 'AuditEvent',
  id: 'e',
  person: 'p',
  agent: { type: 'Practitioner', id: 'author' },
  items: [],
  secret: false,
  ...more,
});

export const letter = (more: Partial<CommunicationItem> = {}): CommunicationItem => ({
  type: 'Communication',
  id: 'm',
  person: 'p',
  sender: practitioner('dr'),
  recipient: { type: 'Patient', id: 'p' },
  ...more,
});

/** The world of person `p` in a state, with a representative `r` and the given items. */
export const world = (
  items: readonly Item[],
  more: { readonly state?: SpaceState; readonly policy?: WorldPolicy } = {},
): World => ({
  policy: more.policy ?? policy,
  items: [
    { type: 'Patient', id: 'p' },
    { type: 'Patient', id: 'q' },
    { type: 'Organization', id: 's1' },
    { type: 'Practitioner', id: 'dr' },
    { type: 'RelatedPerson', id: 'r', person: 'p', labels: [], filedBy: byHolder },
    ...(items.some((item) => item.type === 'Consent' && item.kind === 'space-existence')
      ? []
      : [space(more.state ?? 'active')]),
    ...items,
  ],
});

export const holder: WorldCaller = { kind: 'patient', person: 'p' };
export const mother: WorldCaller = { kind: 'representative', related: 'r', actsFor: 'p' };
export const dr: Extract<WorldCaller, { kind: 'professional' }> = {
  kind: 'professional',
  person: 'dr',
  profession: '10',
  structure: 's1',
  purpose: 'TREAT',
};
export const author = { ...dr, person: 'author', structure: 's2' } as const;
export const colleague = { ...dr, person: 'colleague', structure: 's2' } as const;
export const nurse = { ...dr, person: 'nurse', profession: '60' } as const;
export const btg = { ...dr, purpose: 'BTG', patient: 'p' } as const;
export const etreat = { ...dr, purpose: 'ETREAT', patient: 'p' } as const;
export const feeder: WorldCaller = { kind: 'feeder', structure: 's2' };
export const insurer: WorldCaller = { kind: 'insurer' };
export const operator: WorldCaller = { kind: 'operator' };

export const permit = (id = 'dr', more: Partial<ConsentItem> = {}): ConsentItem =>
  consent('professional-access', 'permit', { actor: practitioner(id), ...more });
export const block = (id = 'dr'): ConsentItem => consent('professional-access', 'deny', { actor: practitioner(id) });
export const attending = (id = 'dr'): ConsentItem =>
  consent('attending-physician', 'permit', { actor: practitioner(id) });
export const legal = (more: Partial<ConsentItem> = {}): ConsentItem =>
  consent('delegation', 'permit', { actor: related('r'), delegationKind: 'legal', ...more });
export const caregiver = (rights: readonly string[] = []): ConsentItem =>
  consent('delegation', 'permit', { actor: related('r'), delegationKind: 'caregiver', delegatedRights: rights });

/** How votes become one decision: nothing is open because a rule said nothing, or because it failed. rules.md, "What no rule grants is denied". */
import { describe, expect, test } from 'vitest';
import { type Access, createAccess, type TypeAccess } from '../../../server/access/access.ts';
import type { Caller } from '../../../server/access/caller.ts';
import { grant, part } from '../../../server/access/decision.ts';
import { type Supposed, supposedCaller } from '../../../server/access/explain.ts';
import type { Policy } from '../../../server/access/policy.ts';
import { ACCESS_TYPES } from '../../../server/app/types/index.ts';
import { EMPTY_ENTRY, type IndexEntry } from '../../../server/fhir/index-entry.ts';
import type { Ref } from '../../../server/fhir/types.ts';
import { type Linked, type Links, matches, NO_LINKS } from '../../../server/query/matches.ts';
import { ALL, NONE, type Predicate, term } from '../../../server/query/predicate.ts';

const NOW = Date.parse('2026-10-10T10:00:00Z');

const policy: Policy = {
  emergencyOverridesBlock: false,
  payerDataToProfessionals: false,
  emergencyMaskedUnlessDenied: false,
  accessSessionMinutes: 60,
  depositMaxBytes: 5_000_000,
  clockToleranceSeconds: 0,
  matrix: {},
};

const open = () => [grant('D1', part('D1', ALL))];
const failing = (): never => {
  throw new Error('a rule that cannot be evaluated');
};

const accessOf = (types: readonly TypeAccess[], scopeLimit: () => Predicate = () => ALL): Access =>
  createAccess({
    caller: supposedCaller({ kind: 'patient' }, 'Patient/p', NOW),
    now: NOW,
    policy,
    types: new Map(types.map((type) => [type.type, type])),
    scopeLimit,
  });

const about = 'person' as const;

describe('a decision', () => {
  test('of a type without a row, or whose row grants nothing, is nothing', () => {
    const access = accessOf([
      { type: 'List', rows: {}, about },
      { type: 'Consent', rows: { patient: () => [] }, about },
    ]);
    expect(['List', 'Consent', 'Basic'].map(access.hasRow)).toEqual([false, false, false]);
    for (const type of ['List', 'Consent', 'Basic']) expect(access.guard(type, 'r').residual).toEqual(NONE);
  });

  test('keeps to its limits, however much is granted: the scope, and the one person of the token', () => {
    const narrow = accessOf([{ type: 'List', rows: { patient: open }, about }], () => term('code', 'x'));
    expect(narrow.guard('List', 's').residual).toEqual({
      op: 'and',
      of: [term('_owner', 'Patient/p'), term('code', 'x')],
    });
    expect(
      accessOf([{ type: 'List', rows: { patient: open }, about }], () => NONE).guard('List', 's').residual,
    ).toEqual(NONE);
  });

  test('is not made without a rule that throws: not of its type, nor of the register that names items of it', () => {
    const access = accessOf([
      { type: 'List', rows: { patient: failing }, about },
      { type: 'AuditEvent', rows: { patient: open }, about: 'either' },
    ]);
    expect(() => access.guard('List', 'r')).toThrow('cannot be evaluated');
    expect(() => access.guard('AuditEvent', 's')).toThrow('cannot be evaluated');
    expect(() => access.visible('AuditEvent')).toThrow('cannot be evaluated');
  });
});

const DR = 'Practitioner/dr';
const HOSPITAL = 'Organization/s';
const RELATED = 'RelatedPerson/r';
const P = 'Patient/p';

/** A space in which these facts stand now. */
const spaceOf = (facts: readonly string[]): IndexEntry => ({
  ...EMPTY_ENTRY,
  terms: facts.map((fact) => `fact=${fact}`),
  ranges: facts.map((param) => ({ param, lo: NOW - 1, hi: NOW + 1 })),
});

const professional = (more: Partial<Extract<Supposed, { readonly kind: 'professional' }>> = {}): Supposed => ({
  kind: 'professional',
  self: DR,
  structure: HOSPITAL,
  profession: '10',
  purpose: 'TREAT',
  ...more,
});

type Scene = {
  readonly who: Caller;
  readonly type: string;
  readonly facts: readonly string[];
  readonly terms?: readonly string[];
  readonly ranges?: IndexEntry['ranges'];
};

/** Whether somebody sees an item with these marks in a space with these facts. */
function sees({ who, type, facts, terms = [], ranges = [] }: Scene): boolean {
  const matrix = { '10': { consult: true, read: ['x'] }, '32': { consult: false, read: ['x'] } };
  const access = createAccess({
    caller: who,
    now: NOW,
    policy: { ...policy, matrix },
    types: ACCESS_TYPES,
    scopeLimit: () => ALL,
  });
  const item = { ...EMPTY_ENTRY, terms: [`_owner=${P}`, ...terms], ranges };
  return matches(access.guard(type, 'r').residual, item, { ...NO_LINKS, space: spaceOf(facts) });
}

const as = (supposed: Supposed): Caller => supposedCaller(supposed, P, NOW);
/** A token for treatment that is limited to one person. */
const limitedTo = (person: Ref): Caller => ({ ...as(professional()), person });
/** Centre 15 that has not found its person yet. */
const { person: _none, ...centre15 } = as(professional({ purpose: 'ETREAT' }));

const ACTIVE = 'state:active';
const PERMIT = `professional-access:permit:${DR}`;
const ATTENDING = `attending-physician:permit:${DR}`;
const member = (hi: number) => [{ param: `_member:${DR}`, lo: NOW - 10, hi }];

describe('rules.md section 4, where two rows are near each other', () => {
  test.each<readonly [what: string, scene: Scene, expected: boolean]>([
    [
      'D5: a message to the professional',
      { who: as(professional()), type: 'Communication', facts: [ACTIVE], terms: [`_party=${DR}`] },
      true,
    ],
    [
      'D5: and not one to the structure',
      { who: as(professional()), type: 'Communication', facts: [ACTIVE], terms: [`_party=${HOSPITAL}`] },
      false,
    ],
    [
      'D5: a caregiver who was given the messages',
      {
        who: as({ kind: 'representative', self: RELATED }),
        type: 'Communication',
        facts: [ACTIVE, `delegation:caregiver:${RELATED}`, `delegation:message:${RELATED}`],
        terms: [`_party=${P}`],
      },
      true,
    ],
    [
      'D5: and not one who was not',
      {
        who: as({ kind: 'representative', self: RELATED }),
        type: 'Communication',
        facts: [ACTIVE, `delegation:caregiver:${RELATED}`],
        terms: [`_party=${P}`],
      },
      false,
    ],
    [
      'D8: an act of the professional',
      { who: as(professional()), type: 'AuditEvent', facts: [ACTIVE], terms: [`agent=${DR}`] },
      true,
    ],
    [
      'D8: and not one of the structure',
      { who: as(professional()), type: 'AuditEvent', facts: [ACTIVE], terms: [`agent=${HOSPITAL}`] },
      false,
    ],
    [
      'D8: the attending physician reads the register',
      { who: as(professional()), type: 'AuditEvent', facts: [ACTIVE, ATTENDING] },
      true,
    ],
    [
      'D8: and not without the gate (A1)',
      { who: as(professional({ profession: '32' })), type: 'AuditEvent', facts: [ACTIVE, ATTENDING] },
      false,
    ],
    [
      'A0: and not where a misshapen deny of the kind names the structure acted for',
      {
        who: as(professional()),
        type: 'AuditEvent',
        facts: [ACTIVE, ATTENDING, `attending-physician:deny:${HOSPITAL}`],
      },
      false,
    ],
    [
      'W8: the holder reads a secret session',
      { who: as({ kind: 'patient' }), type: 'AuditEvent', facts: [ACTIVE], terms: ['_secret=1'] },
      true,
    ],
    [
      'W8: and a representative does not',
      {
        who: as({ kind: 'representative', self: RELATED }),
        type: 'AuditEvent',
        facts: [ACTIVE, `delegation:legal:${RELATED}`],
        terms: ['_secret=1'],
      },
      false,
    ],
    [
      'S1: a suspended space shows nothing to professionals',
      { who: as(professional()), type: 'DocumentReference', facts: ['state:suspended', PERMIT], terms: ['_doctype=x'] },
      false,
    ],
    ['D9: the identity behind an active space', { who: as(professional()), type: 'Patient', facts: [ACTIVE] }, true],
    [
      'D9: and not behind a closed one',
      { who: as(professional()), type: 'Patient', facts: ['state:closed', PERMIT] },
      false,
    ],
    [
      'D11: the attending physician reads the teams',
      { who: as(professional()), type: 'CareTeam', facts: [ACTIVE, ATTENDING] },
      true,
    ],
    [
      'D11: and not without the gate (A1)',
      { who: as(professional({ profession: '32' })), type: 'CareTeam', facts: [ACTIVE, ATTENDING] },
      false,
    ],
    [
      'D11: a member reads their team',
      { who: as(professional()), type: 'CareTeam', facts: [ACTIVE], ranges: member(NOW + 1) },
      true,
    ],
    [
      'D11: and not after their stay',
      { who: as(professional()), type: 'CareTeam', facts: [ACTIVE], ranges: member(NOW) },
      false,
    ],
    [
      'D11: a feeder reads the teams of its structure',
      {
        who: as({ kind: 'feeder', structure: HOSPITAL }),
        type: 'CareTeam',
        facts: [ACTIVE],
        terms: [`_structure=${HOSPITAL}`],
      },
      true,
    ],
    [
      'D11: and not those of another',
      {
        who: as({ kind: 'feeder', structure: HOSPITAL }),
        type: 'CareTeam',
        facts: [ACTIVE],
        terms: ['_structure=Organization/t'],
      },
      false,
    ],
    [
      'C6: a token for one person opens what is theirs',
      { who: limitedTo(P), type: 'DocumentReference', facts: [ACTIVE, PERMIT], terms: ['_doctype=x'] },
      true,
    ],
    [
      'C6: and nothing of another',
      { who: limitedTo('Patient/q'), type: 'DocumentReference', facts: [ACTIVE, PERMIT], terms: ['_doctype=x'] },
      false,
    ],
    [
      'C5: centre 15 for a person',
      {
        who: as(professional({ purpose: 'ETREAT' })),
        type: 'DocumentReference',
        facts: [ACTIVE],
        terms: ['_doctype=x'],
      },
      true,
    ],
    [
      'C5: and nothing without one',
      { who: centre15, type: 'DocumentReference', facts: [ACTIVE], terms: ['_doctype=x'] },
      false,
    ],
    [
      'A5: centre 15, opposed',
      {
        who: as(professional({ purpose: 'ETREAT' })),
        type: 'DocumentReference',
        facts: [ACTIVE, 'emergency-etreat:deny:'],
        terms: ['_doctype=x'],
      },
      false,
    ],
    [
      'A5: that break-glass is opposed is something else',
      {
        who: as(professional({ purpose: 'ETREAT' })),
        type: 'DocumentReference',
        facts: [ACTIVE, 'emergency-btg:deny:'],
        terms: ['_doctype=x'],
      },
      true,
    ],
    [
      'A6: an appointment for treatment',
      { who: as(professional()), type: 'Appointment', facts: [ACTIVE], terms: [`_participant=${DR}`] },
      true,
    ],
    [
      'A6: and not when the glass is broken',
      {
        who: as(professional({ purpose: 'BTG' })),
        type: 'Appointment',
        facts: [ACTIVE],
        terms: [`_participant=${DR}`],
      },
      false,
    ],
  ])('%s', (_what, scene, expected) => {
    expect(sees(scene)).toBe(expected);
  });
});

test('D8: an event that names another event is shown as far as that one is', () => {
  const space = spaceOf([ACTIVE]);
  const linked = (terms: readonly string[], ranges: IndexEntry['ranges'], via: Links['via']): Linked => ({
    entry: { ...EMPTY_ENTRY, terms: [`_owner=${P}`, ...terms], ranges },
    deleted: false,
    links: { ...NO_LINKS, space, via },
  });
  const shown = (until: number): boolean => {
    const document = linked([], [{ param: '_hidden', lo: NOW - 1, hi: until }], () => []);
    const reading = linked(['_items=1'], [], (_param, type) => (type === 'DocumentReference' ? [document] : []));
    const register = linked(['_items=1'], [], (_param, type) => (type === 'AuditEvent' ? [reading] : []));
    const { guard } = createAccess({
      caller: as({ kind: 'patient' }),
      now: NOW,
      policy,
      types: ACCESS_TYPES,
      scopeLimit: () => ALL,
    });
    return matches(guard('AuditEvent', 'r').residual, register.entry, register.links);
  };
  expect(shown(NOW + 1)).toBe(false);
  expect(shown(NOW)).toBe(true);
});

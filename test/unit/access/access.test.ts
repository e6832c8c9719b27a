/** How votes become one decision: nothing is open because a rule said nothing, or because it failed. rules.md, "What no rule grants is denied". */
import { describe, expect, test } from 'vitest';
import { type Access, createAccess, type TypeAccess } from '../../../server/access/access.ts';
import { grant, part } from '../../../server/access/decision.ts';
import { supposedCaller } from '../../../server/access/explain.ts';
import type { Policy } from '../../../server/access/policy.ts';
import { ACCESS_TYPES } from '../../../server/app/types/index.ts';
import { EMPTY_ENTRY, type IndexEntry } from '../../../server/fhir/index-entry.ts';
import { matches, NO_LINKS } from '../../../server/query/matches.ts';
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

describe('the attending physician', () => {
  const attending = (profession: string): Access =>
    createAccess({
      caller: supposedCaller(
        { kind: 'professional', self: 'Practitioner/dr', structure: 'Organization/s', profession, purpose: 'TREAT' },
        'Patient/p',
        NOW,
      ),
      now: NOW,
      policy: { ...policy, matrix: { '10': { consult: true, read: [] }, '32': { consult: false, read: [] } } },
      types: ACCESS_TYPES,
      scopeLimit: () => ALL,
    });
  const facts = ['state:active', 'attending-physician:permit:Practitioner/dr'];
  const space: IndexEntry = {
    ...EMPTY_ENTRY,
    terms: facts.map((fact) => `fact=${fact}`),
    ranges: facts.map((param) => ({ param, lo: NOW - 1, hi: NOW + 1 })),
  };
  const sees = (profession: string, type: string): boolean =>
    matches(attending(profession).visible(type).residual, EMPTY_ENTRY, { ...NO_LINKS, space });

  test('reads the teams and the register of the person; one whose profession does not consult (A1) reads neither', () => {
    for (const type of ['CareTeam', 'AuditEvent']) {
      expect(sees('10', type), type).toBe(true);
      expect(sees('32', type), type).toBe(false);
    }
  });
});

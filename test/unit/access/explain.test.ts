/** Explanations against the decisions that they explain: the votes told one by one must say what the compiled predicate says. */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Access, createAccess } from '../../../server/access/access.ts';
import type { RuleId } from '../../../server/access/decision.ts';
import {
  type Holds,
  judge,
  leadingReasons,
  PURPOSES,
  reasonsOf,
  type Supposed,
  supposedCaller,
  tellingReasons,
  treatGrounds,
} from '../../../server/access/explain.ts';
import type { Policy } from '../../../server/access/policy.ts';
import { a3 } from '../../../server/access/rules/gate.ts';
import { SPOKEN_RULES, sentenceOf, textOf } from '../../../server/access/sentences.ts';
import { SPACE_STATES } from '../../../server/access/space.ts';
import { ACCESS_TYPES } from '../../../server/app/types/index.ts';
import type { IndexEntry } from '../../../server/fhir/index-entry.ts';
import type { Ref } from '../../../server/fhir/types.ts';
import { matches, NO_LINKS } from '../../../server/query/matches.ts';
import { ALL, or } from '../../../server/query/predicate.ts';

const NOW = Date.parse('2026-10-10T10:00:00Z');
const PERSON: Ref = 'Patient/p';

const policy: Policy = {
  emergencyOverridesBlock: false,
  payerDataToProfessionals: false,
  emergencyMaskedUnlessDenied: false,
  accessSessionMinutes: 60,
  depositMaxBytes: 5_000_000,
  clockToleranceSeconds: 0,
  matrix: {
    '10': { consult: true, read: ['11488-4', '34112-3'] },
    '60': { consult: true, read: ['11488-4'] },
    '32': { consult: false, read: ['11488-4'] },
  },
};

const doctors = ['Practitioner/a', 'Practitioner/b'] as const;
const structures = ['Organization/s', 'Organization/t'] as const;

const supposed: fc.Arbitrary<Supposed> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('professional' as const),
      self: fc.constantFrom<Ref | undefined>(...doctors, undefined),
      structure: fc.constantFrom<Ref | undefined>(...structures, undefined),
      profession: fc.constantFrom('10', '60', '32', '99'),
      purpose: fc.constantFrom(...PURPOSES),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('feeder' as const), structure: fc.constantFrom(...structures) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('representative' as const),
      self: fc.constantFrom<Ref>('RelatedPerson/r', 'RelatedPerson/q'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'patient' } as const) },
);

/** Facts about the space that decisions ask for, each standing now or not. */
const factNames: readonly string[] = [
  ...doctors.flatMap((d) => [
    `professional-access:permit:${d}`,
    `professional-access:deny:${d}`,
    `attending-physician:permit:${d}`,
    ...structures.map((s) => `team:${s}:${d}`),
  ]),
  ...structures.flatMap((s) => [`organization-access:permit:${s}`, `organization-access:deny:${s}`]),
  'professional-access:deny:*',
  'care-team-default:deny:',
  'emergency-btg:deny:',
  'emergency-etreat:deny:',
  'emergency-masked:permit:',
  'emergency-masked:deny:',
  'document-default:deny:',
  'profile-sharing:permit:',
  'delegation:legal:RelatedPerson/r',
  'delegation:caregiver:RelatedPerson/q',
];

const space: fc.Arbitrary<IndexEntry> = fc
  .record({
    state: fc.oneof(
      { weight: 4, arbitrary: fc.constant('active' as const) },
      { weight: 1, arbitrary: fc.constantFrom(...SPACE_STATES) },
    ),
    facts: fc.subarray([...factNames], { maxLength: 8 }),
    past: fc.subarray([...factNames], { maxLength: 2 }),
  })
  .map(({ state, facts, past }) => {
    const standing = [`state:${state}`, ...facts];
    return {
      terms: ['space=1', ...[...standing, ...past].map((f) => `fact=${f}`)],
      strings: [],
      ranges: [
        ...standing.map((param) => ({ param, lo: NOW - 1000, hi: NOW + 1000 })),
        ...past.map((param) => ({ param, lo: NOW - 2000, hi: NOW })),
      ],
      sort: [],
    };
  });

const item: fc.Arbitrary<IndexEntry> = fc
  .record({
    type: fc.constantFrom('11488-4', '34112-3', 'ATTEST-RESID', '42348-3'),
    labels: fc.subarray(['MASQUE_PS', 'INVISIBLE_REPRESENTANTS_LEGAUX']),
    hidden: fc.boolean(),
    exempt: fc.boolean(),
    author: fc.subarray([...doctors, ...structures], { maxLength: 2 }),
    participants: fc.subarray([...doctors, ...structures], { maxLength: 2 }),
    side: fc.constantFrom('feeder', 'professional', 'holder'),
  })
  .map(({ type, labels, hidden, exempt, author, participants, side }) => ({
    terms: [
      `_owner=${PERSON}`,
      '_id=i',
      `_doctype=${type}`,
      `_side=${side}`,
      ...labels.map((l) => `_label=${l}`),
      ...(exempt ? ['_exempt=1'] : []),
      ...author.map((a) => `_author=${a}`),
      ...participants.flatMap((p) => [`_participant=${p}`, `_party=${p}`, `_actor=${p}`, `agent=${p}`]),
    ],
    strings: [],
    ranges: hidden ? [{ param: '_hidden', lo: NOW - 1000, hi: NOW + 1000 }] : [],
    sort: [],
  }));

const accessOf = (one: Supposed): Access =>
  createAccess({
    caller: supposedCaller(one, PERSON, NOW),
    now: NOW,
    policy,
    types: ACCESS_TYPES,
    scopeLimit: () => ALL,
  });

/** Types whose rows follow no other resource: their decision is about the item and the space alone. */
const TYPES = [...ACCESS_TYPES.keys()].filter((type) => !['Binary', 'List', 'Provenance', 'AuditEvent'].includes(type));

describe('an explanation is the decision, told', () => {
  test('of every type, for every caller: the same answer, with reasons that have a sentence', async () => {
    const seen = { permit: 0, deny: 0 };
    await fc.assert(
      fc.asyncProperty(supposed, space, item, fc.constantFrom(...TYPES), async (one, known, entry, type) => {
        const access = accessOf(one);
        const holds: Holds = async (where) => matches(where, entry, { ...NO_LINKS, space: known });
        const decided = matches(access.visible(type).residual, entry, { ...NO_LINKS, space: known });
        const reasons = reasonsOf(await judge(access.decision(type, 'r').votes, holds));
        expect(reasons.effect).toBe(decided ? 'permit' : 'deny');
        seen[reasons.effect] += 1;
        if (access.hasRow(type)) expect(reasons.rules.length).toBeGreaterThan(0);
        const told = await tellingReasons(reasons, { asking: access.asking, type, holds });
        for (const key of told) expect(sentenceOf(key, reasons.effect, 'holder'), key).toBeDefined();
        // Of a permit, the rules are those of one grant that holds whole; of a denial, each is that of a condition that fails.
        const votes = access.decision(type, 'r').votes;
        const whole: string[] = [];
        const failing = new Set<RuleId>();
        for (const vote of votes) {
          const parts = vote.kind === 'grant' ? vote.parts : [{ rule: vote.rule, where: vote.where }];
          const truths = await Promise.all(parts.map((p) => holds(p.where)));
          if (vote.kind === 'grant' && truths.every((t) => t))
            whole.push(JSON.stringify([...new Set([vote.rule, ...parts.map((p) => p.rule)])].sort()));
          parts.forEach((p, at) => {
            if (!truths[at]) failing.add(p.rule);
          });
        }
        if (decided) expect(whole).toContain(JSON.stringify([...reasons.rules].sort()));
        else expect(reasons.rules.filter((rule) => !failing.has(rule))).toEqual([]);
      }),
      { numRuns: 4000 },
    );
    expect(seen.permit).toBeGreaterThan(300);
    expect(seen.deny).toBeGreaterThan(300);
  });

  test('the grounds of A3 are the condition of A3', () => {
    fc.assert(
      fc.property(supposed, (one) => {
        const { asking } = accessOf(one);
        expect(or(...treatGrounds(asking).map((ground) => ground.where))).toEqual(a3(asking).where);
      }),
    );
  });

  test.each<[string, readonly RuleId[], readonly RuleId[]]>([
    ['a block makes the lack of an authorisation superfluous', ['A2', 'A3', 'L1'], ['A2', 'L1']],
    ['a profession that never consults needs no more', ['D1', 'A1', 'A3'], ['A1']],
    ['a closed space needs no more', ['S1', 'A2'], ['S1']],
    ['the gate comes before the item', ['L1', 'D1', 'A3'], ['A3', 'L1', 'D1']],
  ])('%s', (_name, rules, told) => {
    expect(leadingReasons({ effect: 'deny', rules })).toEqual(told);
  });

  test('a block is told as a block', async () => {
    const access = accessOf({
      kind: 'professional',
      self: 'Practitioner/a',
      structure: 'Organization/s',
      profession: '10',
      purpose: 'TREAT',
    });
    const facts = ['state:active', 'professional-access:deny:Practitioner/a'];
    const known: IndexEntry = {
      terms: ['space=1', ...facts.map((f) => `fact=${f}`)],
      strings: [],
      ranges: facts.map((param) => ({ param, lo: NOW - 1, hi: NOW + 1 })),
      sort: [],
    };
    const entry = { terms: ['_doctype=11488-4', `_owner=${PERSON}`], strings: [], ranges: [], sort: [] };
    const holds: Holds = async (where) => matches(where, entry, { ...NO_LINKS, space: known });
    const reasons = reasonsOf(await judge(access.decision('DocumentReference', 'r').votes, holds));
    expect(reasons).toEqual({ effect: 'deny', rules: ['A2', 'A3'] });
    const told = await tellingReasons(reasons, { asking: access.asking, type: 'DocumentReference', holds });
    expect(textOf(told, 'deny', 'holder')).toEqual({
      fr: 'Vous avez bloqué ce professionnel.',
      en: 'You blocked this professional.',
    });
    expect(textOf(told, 'deny', 'other').en).toBe('The person blocked this professional.');
  });
});

describe('sentences', () => {
  const root = new URL('../../../server/', import.meta.url);
  const sources = (folder: string): readonly string[] =>
    readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('sentences.ts'))
      .map((name) => readFileSync(new URL(`${folder}/${name}`, root), 'utf8'));
  const written = new Set(
    [...sources('access'), ...sources('app')].flatMap((text) =>
      [...text.matchAll(/'([ACDLOSTW]\d{1,2}a?)'/g)].map((match) => match[1] ?? ''),
    ),
  );

  test('every rule id that the rules and the write rules name has one for each answer', () => {
    expect(written.size).toBeGreaterThan(40);
    expect([...written].filter((rule) => !SPOKEN_RULES.has(rule))).toEqual([]);
  });

  test('every rule id that a decision can carry has one', () => {
    const carried = new Set(
      fc
        .sample(supposed, 200)
        .flatMap((one) => [...ACCESS_TYPES.keys()].flatMap((type) => accessOf(one).decision(type, 'r').votes))
        .flatMap((vote) => [vote.rule, ...(vote.kind === 'grant' ? vote.parts.map((part) => part.rule) : [])]),
    );
    carried.delete('scope');
    expect(carried.size).toBeGreaterThan(15);
    expect([...carried].filter((rule) => !SPOKEN_RULES.has(rule))).toEqual([]);
  });

  test('they are short, end as sentences do, and name no rule', () => {
    for (const rule of SPOKEN_RULES) {
      for (const effect of ['permit', 'deny'] as const) {
        for (const voice of ['holder', 'other'] as const) {
          for (const text of Object.values(sentenceOf(rule, effect, voice) ?? {})) {
            expect(text.length).toBeLessThan(90);
            expect(text).toMatch(/^\p{Lu}.*\.$/u);
            expect(text).not.toMatch(/\b[ACDLSTW]\d/);
          }
        }
      }
    }
  });

  test('what has no rule is still told', () => {
    expect(textOf([], 'deny', 'holder')).toEqual({ fr: 'L’accès a été refusé.', en: 'The access was refused.' });
  });
});

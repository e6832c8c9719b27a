/**
 * Golden decisions: who asks + what the space says + one item → effect, the rules that opened or closed it, the printed residual. The effect and
 * the rules are written by hand from rules.md; the residual is frozen in `decisions.golden.json` (`CARNET_GOLDEN=write` rewrites it, the
 * diff is for a person to read).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createAccess } from '../../server/access/access.ts';
import type { Caller, Claims } from '../../server/access/caller.ts';
import type { Policy } from '../../server/access/policy.ts';
import { spaceEntry } from '../../server/access/space.ts';
import { ACCESS_TYPES } from '../../server/app/types/index.ts';
import type { IndexEntry } from '../../server/fhir/index-entry.ts';
import type { JsonObject } from '../../server/fhir/types.ts';
import { matches, NO_LINKS, specialise } from '../../server/query/matches.ts';
import { ALL } from '../../server/query/predicate.ts';
import { print } from '../../server/query/print.ts';
import { consentBody } from '../support/fhir-bodies.ts';

const NOW = Date.parse('2026-03-10T12:00:00Z');
const POLICY: Policy = {
  emergencyOverridesBlock: false,
  payerDataToProfessionals: false,
  emergencyMaskedUnlessDenied: false,
  accessSessionMinutes: 60,
  depositMaxBytes: 5_000_000,
  clockToleranceSeconds: 0,
  matrix: { '10': { consult: true, read: ['11488-4'] }, '99': { consult: false, read: ['11488-4'] } },
};

type Asked = Partial<Pick<Caller, 'kind' | 'self' | 'structure' | 'person' | 'purpose' | 'profession'>>;

const callerOf = (asked: Asked): Caller => {
  const kind = asked.kind ?? 'professional';
  const claims = {
    kind,
    issuer: 'https://issuer.example',
    clientId: 'c',
    subject: 's',
    tokenId: 't',
    issuedAt: NOW,
    expiresAt: NOW + 1000,
    scopes: [],
    secret: false,
  } as unknown as Claims;
  const professional = {
    self: 'Practitioner/p',
    structure: 'Organization/o',
    purpose: 'TREAT',
    profession: '10',
  } as const;
  return { claims, kind, ...(kind === 'professional' ? professional : {}), ...asked } as Caller;
};

const consent = (kind: string, provision: 'permit' | 'deny', more: object = {}): JsonObject =>
  consentBody({
    kind,
    patient: 'Patient/x',
    performer: 'Patient/x',
    provision,
    dateTime: '2026-01-01T00:00:00Z',
    ...more,
  }) as JsonObject;
const active = consent('space-existence', 'permit', { state: 'active' });
const authorised = consent('professional-access', 'permit', { actor: 'Practitioner/p' });
const attending = consent('attending-physician', 'permit', { actor: 'Practitioner/p' });

/** A document of the readable type, filed by somebody else. */
const entry = (terms: readonly string[], hiddenUntil?: number): IndexEntry => ({
  terms: ['_owner=Patient/x', '_doctype=11488-4', '_author=Practitioner/other', '_author=Organization/other', ...terms],
  strings: [],
  ranges: hiddenUntil === undefined ? [] : [{ param: '_hidden', lo: -8.64e15, hi: hiddenUntil }],
  sort: [],
});

type Case = {
  readonly name: string;
  readonly caller?: Asked;
  readonly consents: readonly JsonObject[];
  readonly careTeams?: readonly JsonObject[];
  readonly item?: IndexEntry;
  readonly policy?: Partial<Policy>;
  readonly permit: boolean;
  /** A permit: a rule that opened it. A deny: every rule that closed the grant named first. */
  readonly rules: readonly string[];
};

const team: JsonObject = {
  resourceType: 'CareTeam',
  status: 'active',
  managingOrganization: [{ reference: 'Organization/o' }],
  participant: [{ member: { reference: 'Practitioner/p' } }],
};

const CASES: readonly Case[] = [
  { name: 'no ground, no access', consents: [active], permit: false, rules: ['A3'] },
  { name: 'an authorised professional reads', consents: [active, authorised], permit: true, rules: ['D1'] },
  {
    name: 'an authorised structure is a ground',
    consents: [active, consent('organization-access', 'permit', { actor: 'Organization/o' })],
    permit: true,
    rules: ['D1'],
  },
  { name: 'a member of the care team reads', consents: [active], careTeams: [team], permit: true, rules: ['D1'] },
  {
    name: 'the care team is closed by default',
    consents: [active, consent('care-team-default', 'deny')],
    careTeams: [team],
    permit: false,
    rules: ['A3'],
  },
  {
    name: 'a block beats an authorisation',
    consents: [active, authorised, consent('professional-access', 'deny', { actor: 'Practitioner/p' })],
    permit: false,
    rules: ['A2'],
  },
  {
    name: 'a block of the structure holds too',
    consents: [active, authorised, consent('organization-access', 'deny', { actor: 'Organization/o' })],
    permit: false,
    rules: ['A2'],
  },
  {
    name: 'a block beats authorship',
    consents: [active, consent('professional-access', 'deny', { actor: 'Practitioner/p' })],
    item: entry(['_author=Practitioner/p']),
    permit: false,
    rules: ['A2', 'A3'],
  },
  {
    name: 'a profession that does not consult',
    caller: { profession: '99' },
    consents: [active, authorised],
    permit: false,
    rules: ['A1'],
  },
  {
    name: 'a profession out of the matrix',
    caller: { profession: '77' },
    consents: [active, authorised],
    permit: false,
    rules: ['A1', 'D1'],
  },
  {
    name: 'a type out of the matrix',
    consents: [active, authorised],
    item: { ...entry([]), terms: ['_owner=Patient/x', '_doctype=other'] },
    permit: false,
    rules: ['D1'],
  },
  {
    name: 'authorship in person lifts the matrix',
    consents: [active, authorised],
    item: { ...entry([]), terms: ['_owner=Patient/x', '_doctype=other', '_author=Practitioner/p'] },
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'an author without ground sees their own document (D1a)',
    consents: [active],
    item: entry(['_author=Practitioner/p', '_label=MASQUE_PS']),
    permit: true,
    rules: ['D1a'],
  },
  {
    name: 'a masked document',
    consents: [active, authorised],
    item: entry(['_label=MASQUE_PS']),
    permit: false,
    rules: ['L1'],
  },
  {
    name: 'the attending physician sees what is masked',
    consents: [active, attending],
    item: entry(['_label=MASQUE_PS']),
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'mask everything',
    consents: [active, authorised, consent('document-default', 'deny')],
    permit: false,
    rules: ['L1'],
  },
  {
    name: 'mask everything, exempted',
    consents: [active, authorised, consent('document-default', 'deny')],
    item: entry(['_exempt=1']),
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'break-glass needs no ground',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    consents: [active],
    permit: true,
    rules: ['A4'],
  },
  {
    name: 'break-glass, opposed',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    consents: [active, consent('emergency-btg', 'deny')],
    permit: false,
    rules: ['A4'],
  },
  {
    name: 'break-glass does not unmask',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    consents: [active],
    item: entry(['_label=MASQUE_PS']),
    permit: false,
    rules: ['L1'],
  },
  {
    name: 'break-glass unmasks where the person said so',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    consents: [active, consent('emergency-masked', 'permit')],
    item: entry(['_label=MASQUE_PS']),
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'or where the host opens them unless the person refused',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    policy: { emergencyMaskedUnlessDenied: true },
    consents: [active],
    item: entry(['_label=MASQUE_PS']),
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'who refused',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    policy: { emergencyMaskedUnlessDenied: true },
    consents: [active, consent('emergency-masked', 'deny')],
    item: entry(['_label=MASQUE_PS']),
    permit: false,
    rules: ['L1'],
  },
  {
    name: 'a block holds when the glass is broken',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    consents: [active, consent('professional-access', 'deny', { actor: 'Practitioner/p' })],
    permit: false,
    rules: ['A2'],
  },
  {
    name: 'unless the host chose otherwise',
    caller: { purpose: 'BTG', person: 'Patient/x' },
    policy: { emergencyOverridesBlock: true },
    consents: [active, consent('professional-access', 'deny', { actor: 'Practitioner/p' })],
    permit: true,
    rules: ['A4'],
  },
  {
    name: 'the glass is broken for one person',
    caller: { purpose: 'BTG', person: 'Patient/y' },
    consents: [active],
    permit: false,
    rules: ['C6'],
  },
  {
    name: 'the holder reads',
    caller: { kind: 'patient', self: 'Patient/x', person: 'Patient/x' },
    consents: [active],
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'the holder waits for the announcement',
    caller: { kind: 'patient', self: 'Patient/x', person: 'Patient/x' },
    consents: [active],
    item: entry(['_label=INVISIBLE_PATIENT'], NOW + 1),
    permit: false,
    rules: ['L2'],
  },
  {
    name: 'and then sees it',
    caller: { kind: 'patient', self: 'Patient/x', person: 'Patient/x' },
    consents: [active],
    item: entry(['_label=INVISIBLE_PATIENT'], NOW),
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'the holder of a space never enrolled',
    caller: { kind: 'patient', self: 'Patient/x', person: 'Patient/x' },
    consents: [consent('space-existence', 'permit', { state: 'open' })],
    permit: false,
    rules: ['S1'],
  },
  {
    name: 'a representative without delegation',
    caller: { kind: 'representative', self: 'RelatedPerson/r', person: 'Patient/x' },
    consents: [active],
    permit: false,
    rules: ['C7'],
  },
  {
    name: 'an expired authorisation is no authorisation',
    consents: [
      active,
      consent('professional-access', 'permit', { actor: 'Practitioner/p', period: { end: '2026-03-09' } }),
    ],
    permit: false,
    rules: ['A3'],
  },
  {
    name: 'the last day is included, in Paris',
    consents: [
      active,
      consent('professional-access', 'permit', { actor: 'Practitioner/p', period: { end: '2026-03-10' } }),
    ],
    permit: true,
    rules: ['D1'],
  },
  {
    name: 'a feeder never consults',
    caller: { kind: 'feeder', self: 'Organization/o', structure: 'Organization/o' },
    consents: [active],
    permit: false,
    rules: ['D1a'],
  },
  {
    name: 'a feeder locates what it fed',
    caller: { kind: 'feeder', self: 'Organization/o', structure: 'Organization/o' },
    consents: [active],
    item: entry(['_author=Organization/o', '_label=MASQUE_PS']),
    permit: true,
    rules: ['D1a'],
  },
  {
    name: 'a sealed space answers nobody',
    consents: [consent('space-existence', 'deny', { state: 'closed' }), authorised],
    permit: false,
    rules: ['S1'],
  },
];

const GOLDEN = new URL('./decisions.golden.json', import.meta.url);
const writing = process.env['CARNET_GOLDEN'] === 'write';
const golden: Record<string, string> = writing ? {} : JSON.parse(readFileSync(GOLDEN, 'utf8'));

describe('the decision on one DocumentReference', () => {
  test.each(CASES)('$name', (given) => {
    const space = spaceEntry({ consents: given.consents, careTeams: given.careTeams ?? [], relatedPersons: [] });
    const access = createAccess({
      caller: callerOf(given.caller ?? {}),
      now: NOW,
      policy: { ...POLICY, ...given.policy },
      types: ACCESS_TYPES,
      scopeLimit: () => ALL,
    });
    const decision = access.decision('DocumentReference', 'r');
    const item = given.item ?? entry([]);
    const links = { ...NO_LINKS, space };
    expect(matches(decision.residual, item, links)).toBe(given.permit);
    const states = decision.votes.map((vote) => ({
      rule: vote.rule,
      open: vote.kind === 'grant' && vote.parts.every((p) => matches(p.where, item, links)),
      closing:
        vote.kind === 'grant'
          ? vote.parts.filter((p) => !matches(p.where, item, links)).map((p) => p.rule)
          : matches(vote.where, item, links)
            ? []
            : [vote.rule],
      named: vote.kind === 'grant' ? [vote.rule, ...vote.parts.map((p) => p.rule)] : [],
    }));
    const opened = states.filter((s) => s.open).flatMap((s) => s.named);
    const closing = states.find(
      (s) => s.closing.length > 0 && given.rules.every((r) => s.closing.includes(r)),
    )?.closing;
    if (given.permit) expect(opened).toEqual(expect.arrayContaining([...given.rules]));
    else expect(closing).toEqual([...given.rules]);
    const residual = print(specialise(decision.residual, space));
    if (writing) golden[given.name] = residual;
    else expect(residual).toBe(golden[given.name]);
  });

  test.runIf(writing)('rewrites the golden', () => writeFileSync(GOLDEN, `${JSON.stringify(golden, null, 2)}\n`));
});

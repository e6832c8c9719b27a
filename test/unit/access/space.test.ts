/** A person's rights, compiled: what counts from when to when, and what becomes of what cannot be read. rules.md section 3, A0, C7, T1. */
import { describe, expect, test } from 'vitest';
import { denied, permitted, type SpaceSources, spaceEntry, standing } from '../../../server/access/space.ts';
import type { JsonObject } from '../../../server/fhir/types.ts';
import { matches, NO_LINKS } from '../../../server/query/matches.ts';
import type { Predicate } from '../../../server/query/predicate.ts';
import { careTeamBody, consentBody, relatedPersonBody } from '../../support/fhir-bodies.ts';

const P = 'Patient/p';
const DR = 'Practitioner/dr';
const HOSPITAL = 'Organization/s';
const RELATED = 'RelatedPerson/r';
const NOON = Date.parse('2026-03-15T11:00:00Z');

const consent = (kind: string, provision: 'permit' | 'deny', more: object = {}): JsonObject =>
  consentBody({
    kind,
    patient: P,
    performer: P,
    provision,
    dateTime: '2026-01-01T00:00:00Z',
    ...more,
  }) as JsonObject;

const holds = (where: Predicate, sources: Partial<SpaceSources>): boolean =>
  matches(where, spaceEntry({ consents: [], careTeams: [], relatedPersons: [], ...sources }), NO_LINKS);

describe('a right', () => {
  const until = (end: string): JsonObject => consent('professional-access', 'permit', { actor: DR, period: { end } });
  const at = (text: string): number => Date.parse(text);

  test.each([
    ['through the last day of its period, by the Paris calendar', '2026-03-15', '2026-03-15T22:59:59.999Z', true],
    ['and from midnight on no more', '2026-03-15', '2026-03-15T23:00:00Z', false],
    ['through its last second', '2026-03-15T12:00:00+01:00', '2026-03-15T11:00:00.999Z', true],
    ['and not the instant after', '2026-03-15T12:00:00+01:00', '2026-03-15T11:00:01Z', false],
  ])('counts %s', (_name, end, now, expected) => {
    expect(holds(permitted('professional-access', DR, at(now)), { consents: [until(end)] })).toBe(expected);
  });

  test('a block that is over no longer blocks from that instant on', () => {
    const over = consent('professional-access', 'deny', { actor: DR, period: { end: '2026-03-14' } });
    expect(holds(denied('professional-access', [DR], at('2026-03-14T23:00:00Z')), { consents: [over] })).toBe(false);
    expect(holds(denied('professional-access', [DR], at('2026-03-14T22:59:59Z')), { consents: [over] })).toBe(true);
  });
});

describe('A0: of what cannot be read', () => {
  const badDate = { period: { end: '2027-02-30' } };

  test('a permit does not count', () => {
    const unread = consent('professional-access', 'permit', { actor: DR, ...badDate });
    expect(holds(permitted('professional-access', DR, NOON), { consents: [unread] })).toBe(false);
  });

  test('a deny counts for the actor it names, and for nobody else', () => {
    const unread = consent('professional-access', 'deny', { actor: DR, ...badDate });
    expect(holds(denied('professional-access', [DR], NOON), { consents: [unread] })).toBe(true);
    expect(holds(denied('professional-access', ['Practitioner/x'], NOON), { consents: [unread] })).toBe(false);
  });

  test('a deny that names nobody counts for everybody', () => {
    const nobody = consent('organization-access', 'deny');
    expect(holds(denied('organization-access', [HOSPITAL], NOON), { consents: [nobody] })).toBe(true);
  });

  test('a bound that can be read still limits a deny', () => {
    const later = consent('professional-access', 'deny', { actor: DR, period: { start: '2026-04-01', end: 'soon' } });
    expect(holds(denied('professional-access', [DR], NOON), { consents: [later] })).toBe(false);
    expect(holds(denied('professional-access', [DR], NOON + 30 * 86_400_000), { consents: [later] })).toBe(true);
  });
});

describe('C7: a delegation', () => {
  const delegation = consent('delegation', 'permit', { actor: RELATED, delegationKind: 'caregiver' });
  const person = (more: object): JsonObject => ({ ...relatedPersonBody(P, 'r', []), id: 'r', ...more }) as JsonObject;
  const stands = standing(`delegation:caregiver:${RELATED}`, NOON);

  test.each([
    ['while both stand', {}, true],
    ['within the period of the RelatedPerson', { period: { end: '2026-03-15' } }, true],
    ['not beyond it', { period: { end: '2026-03-14' } }, false],
    ['not before it', { period: { start: '2026-03-16' } }, false],
    ['not of one who is out of service', { active: false }, false],
  ])('counts: %s', (_name, more, expected) => {
    expect(holds(stands, { consents: [delegation], relatedPersons: [person(more)] })).toBe(expected);
  });

  test('and not without the RelatedPerson', () => expect(holds(stands, { consents: [delegation] })).toBe(false));
});

describe('a membership', () => {
  const team = (more: object): JsonObject => ({
    ...(careTeamBody({ subject: P, organization: HOSPITAL, members: [DR], status: 'active' }) as JsonObject),
    ...more,
  });
  const member = standing(`team:${HOSPITAL}:${DR}`, NOON);

  test.each([
    ['while the team is active', {}, true],
    ['not in a team that has ended', { status: 'inactive' }, false],
    ['not beyond the period of the team', { period: { end: '2026-03-14' } }, false],
    ['not before it', { period: { start: '2026-03-16' } }, false],
  ])('counts: %s', (_name, more, expected) => {
    expect(holds(member, { careTeams: [team(more)] })).toBe(expected);
  });
});

/** rules.md A0, A7, W9, W12, W15 and contract.md "Consents", "The space and its state", act by act against a running server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { careTeamBody, EX, type Resource, relatedPersonBody } from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import {
  type Ask,
  DAY,
  del,
  entriesOf,
  fhirPatch,
  get,
  HOUR,
  type Person,
  patch,
  post,
  put,
  type Row,
  START,
  type Stage,
  startStage,
} from './stage.ts';

const MINOR = '2015-03-12';

describe.skipIf(!serverExists())('writing rights', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await startStage();
  });
  afterAll(async () => {
    await s.dispose();
  });

  const active = async (token: string, p: Person, kind: string): Promise<readonly string[]> =>
    entriesOf(await s.done(token, get(`Consent?patient=${p.id}&category=${kind}&status=active&_count=100`))).map(
      (entry) => `Consent/${entry.resource?.id}`,
    );
  const status = async (token: string, ref: string): Promise<unknown> => (await s.body(token, ref)).status;

  it('A0: what the table of kinds does not list is refused', async () => {
    const p = await s.person();
    const other = await s.person();
    const h = s.holder(p);
    const dr1 = s.known('dr1');
    const s1 = s.known('s1');
    const foreign = await s.made(s.holder(other), post(relatedPersonBody(other.ref, 'FOREIGN', [])));
    const labelled = await s.made(h, post(relatedPersonBody(p.ref, 'LABELLED', ['MASQUE_PS'])));
    const own = await s.made(h, post(relatedPersonBody(p.ref, 'OWN', [])));
    const base = s.consent(p, 'professional-access', 'permit', { actor: dr1 });
    const provision = base.provision as { readonly [element: string]: unknown };
    const withProvision = (more: object): Resource => ({ ...base, provision: { ...provision, ...more } });
    const extended = (name: string, value: object): Resource => ({
      ...base,
      extension: [{ url: `${EX}/StructureDefinition/${name}`, ...value }],
    });
    const actor = provision.actor as readonly object[];
    await s.table(
      [p],
      [
        ['an unknown kind', h, post(s.consent(p, 'favourite-colour', 'permit')), 422, 'A0'],
        [
          'two kinds at once',
          h,
          post({
            ...base,
            category: [
              ...(base.category as object[]),
              { coding: [{ system: `${EX}/CodeSystem/consent-kind`, code: 'emergency-btg' }] },
            ],
          }),
          422,
          'A0',
        ],
        ['no LOINC category', h, post({ ...base, category: [(base.category as object[])[1]] }), 422, 'A0'],
        [
          'another scope',
          h,
          post({
            ...base,
            scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'research' }] },
          }),
          422,
          'A0',
        ],
        ['status draft', h, post({ ...base, status: 'draft' }), 422, 'A0'],
        ['status entered-in-error', h, post({ ...base, status: 'entered-in-error' }), 422, 'A0'],
        [
          'the policy of another kind',
          h,
          post({ ...base, policy: [{ uri: `${EX}/Policy/emergency-btg` }] }),
          422,
          'A0',
        ],
        ['no provision', h, post({ ...base, provision: undefined }), 422, 'A0'],
        ['a nested provision', h, post(withProvision({ provision: [{ type: 'deny' }] })), 422, 'A0'],
        [
          'data in the provision',
          h,
          post(withProvision({ data: [{ meaning: 'instance', reference: { reference: p.ref } }] })),
          422,
          'A0',
        ],
        ['a security label in the provision', h, post(withProvision({ securityLabel: [{ code: 'R' }] })), 422, 'A0'],
        ['a class in the provision', h, post(withProvision({ class: [{ code: 'Observation' }] })), 422, 'A0'],
        ['two actors', h, post(withProvision({ actor: [...actor, ...actor] })), 422, 'A0'],
        ['no actor', h, post(withProvision({ actor: undefined })), 422, 'A0'],
        [
          'an organisation as the professional',
          h,
          post(s.consent(p, 'professional-access', 'permit', { actor: s1 })),
          422,
          'A0',
        ],
        [
          'a professional as the organisation',
          h,
          post(s.consent(p, 'organization-access', 'deny', { actor: dr1 })),
          422,
          'A0',
        ],
        [
          'an actor on a kind about the person',
          h,
          post(s.consent(p, 'emergency-btg', 'deny', { actor: dr1 })),
          422,
          'A0',
        ],
        ['an actor on mask everything', h, post(s.consent(p, 'document-default', 'deny', { actor: dr1 })), 422, 'A0'],
        [
          'a care team as the actor',
          h,
          post(s.consent(p, 'professional-access', 'permit', { actor: 'CareTeam/x' })),
          422,
          'A0',
        ],
        [
          'an unknown professional',
          h,
          post(s.consent(p, 'professional-access', 'permit', { actor: 'Practitioner/nobody' })),
          422,
        ],
        [
          'an unknown structure',
          h,
          post(s.consent(p, 'feed-opposition', 'deny', { actor: 'Organization/nobody' })),
          422,
        ],
        ['feed-opposition as a permit', h, post(s.consent(p, 'feed-opposition', 'permit', { actor: dr1 })), 422, 'A0'],
        ['feed-opposition of nobody', h, post(s.consent(p, 'feed-opposition', 'deny')), 422, 'A0'],
        [
          'delegation as a deny',
          h,
          post(s.consent(p, 'delegation', 'deny', { actor: own, delegationKind: 'caregiver' })),
          422,
          'A0',
        ],
        ['delegation without its kind', h, post(s.consent(p, 'delegation', 'permit', { actor: own })), 422, 'C7'],
        [
          'delegation of an unknown kind',
          h,
          post(s.consent(p, 'delegation', 'permit', { actor: own, delegationKind: 'friend' })),
          422,
          'C7',
        ],
        [
          'a delegated right that is none',
          h,
          post(
            s.consent(p, 'delegation', 'permit', {
              actor: own,
              delegationKind: 'caregiver',
              delegatedRights: ['manage-access'],
            }),
          ),
          422,
          'C7',
        ],
        [
          'delegation to a RelatedPerson of somebody else',
          h,
          post(s.consent(p, 'delegation', 'permit', { actor: foreign, delegationKind: 'caregiver' })),
          422,
        ],
        [
          'delegation to a professional',
          h,
          post(s.consent(p, 'delegation', 'permit', { actor: dr1, delegationKind: 'caregiver' })),
          422,
          'A0',
        ],
        [
          'delegation to a labelled RelatedPerson',
          h,
          post(s.consent(p, 'delegation', 'permit', { actor: labelled, delegationKind: 'caregiver' })),
          422,
          'C7',
        ],
        [
          'a period on a block',
          h,
          post(s.consent(p, 'professional-access', 'deny', { actor: dr1, period: { end: '2027-01-01' } })),
          422,
          'A7',
        ],
        [
          'a period on a block of a structure',
          h,
          post(s.consent(p, 'organization-access', 'deny', { actor: s1, period: { start: '2026-01-01' } })),
          422,
          'A7',
        ],
        [
          'T3: a period that ends before it starts',
          h,
          post(
            s.consent(p, 'professional-access', 'permit', {
              actor: dr1,
              period: { start: '2027-01-02', end: '2027-01-01' },
            }),
          ),
          422,
        ],
        [
          'T2: a dateTime without offset in the period',
          h,
          post(s.consent(p, 'professional-access', 'permit', { actor: dr1, period: { start: '2026-06-01T00:00:00' } })),
          422,
        ],
        ['T2: a dateTime without offset', h, post({ ...base, dateTime: '2026-06-01T00:00:00' }), 422],
        [
          'a purpose that the kind has not',
          h,
          post(
            withProvision({
              purpose: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ActReason', code: 'HRESCH' }],
            }),
          ),
          422,
          'A0',
        ],
        [
          'a label on a Consent',
          h,
          post({
            ...base,
            meta: {
              security: [
                {
                  system:
                    'https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument',
                  code: 'MASQUE_PS',
                },
              ],
            },
          }),
          422,
          'L0',
        ],
        [
          'a modifier extension',
          h,
          post({ ...base, modifierExtension: [{ url: 'http://example.org/x', valueBoolean: true }] }),
          422,
          'A0',
        ],
        ['a verification', h, post({ ...base, verification: [{ verified: true }] }), 422, 'A0'],
        ['the extension of another kind', h, post(extended('space-state', { valueCode: 'active' })), 422, 'A0'],
        ['the extension of a delegation', h, post(extended('delegation-kind', { valueCode: 'legal' })), 422, 'A0'],
        ['somebody else as the performer', h, post({ ...base, performer: [{ reference: s.known('dr2') }] }), 422, 'W9'],
        ['another patient as the performer', h, post({ ...base, performer: [{ reference: other.ref }] }), 422, 'W9'],
        [
          'about a person whom the caller does not see',
          h,
          post(s.consent(other, 'emergency-btg', 'deny', { performer: other.ref })),
          422,
        ],
        ['about nobody who exists', h, post({ ...base, patient: { reference: 'Patient/nobody' } }), 422],
        [
          'a state that is none',
          s.insurer(),
          post(s.stateConsent(p.ref, 'sleeping', { provision: 'deny' })),
          422,
          'S1',
        ],
        [
          'a state and a provision that disagree',
          s.insurer(),
          put(s.stateConsent(p.ref, 'closed', { id: p.space, provision: 'permit' })),
          422,
          'S1',
        ],
        [
          'an old DMP without an end',
          s.insurer(),
          put(s.stateConsent(p.ref, 'legacy-dmp', { id: p.space, period: {} })),
          422,
        ],
        [
          'an old DMP without a period',
          s.insurer(),
          put({ ...s.stateConsent(p.ref, 'legacy-dmp', { id: p.space }), provision: { type: 'permit' } }),
          422,
          'S1',
        ],
      ],
    );
    expect(await s.body(h, p.ref)).toMatchObject({ resourceType: 'Patient' });
  });

  it('A0: what the table lists is accepted', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const own = await s.made(h, post(relatedPersonBody(p.ref, 'OWN', [])));
    const kinds: readonly (readonly [string, 'permit' | 'deny', object])[] = [
      ['professional-access', 'permit', { actor: s.known('dr1'), period: { start: '2026-06-01', end: '2027-05-31' } }],
      ['professional-access', 'deny', { actor: s.known('dr2') }],
      ['organization-access', 'permit', { actor: s.known('s1') }],
      ['organization-access', 'deny', { actor: s.known('s2') }],
      ['care-team-default', 'deny', {}],
      ['care-team-default', 'permit', {}],
      ['emergency-btg', 'deny', {}],
      ['emergency-btg', 'permit', {}],
      ['emergency-etreat', 'deny', { period: { start: '2026-06' } }],
      ['emergency-etreat', 'permit', {}],
      ['emergency-masked', 'permit', {}],
      ['emergency-masked', 'deny', {}],
      ['feed-opposition', 'deny', { actor: s.known('works') }],
      ['feed-opposition', 'deny', { actor: s.known('s3'), period: { end: '2026' } }],
      ['document-default', 'deny', {}],
      ['document-default', 'permit', {}],
      ['profile-sharing', 'permit', {}],
      ['profile-sharing', 'deny', {}],
      ['delegation', 'permit', { actor: own, delegationKind: 'caregiver', delegatedRights: ['message'] }],
    ];
    await s.table(
      [p],
      kinds.map(
        ([kind, provision, more]): Row => [`${kind} ${provision}`, h, post(s.consent(p, kind, provision, more)), 201],
      ),
    );
    const byIdentifier = s.consent(p, 'professional-access', 'permit', { actor: 'x' });
    const identifier = { system: 'urn:oid:1.2.250.1.71.4.2.1', value: '899700000003' };
    const provision = byIdentifier.provision as { readonly actor: readonly { readonly role: object }[] };
    const stored = await s.done(
      h,
      post({
        ...byIdentifier,
        provision: { ...provision, actor: [{ ...provision.actor[0], reference: { identifier } }] },
      }),
    );
    expect(JSON.stringify(stored.json?.provision)).toContain(s.known('dr3'));
  });

  it('W9, W12: who writes which right', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver', ['message']);
    const guardian = s.representative(legal.related, p);
    const caregiver = s.representative(care.related, p);
    const dr1 = s.professional('dr1');
    const own = await s.made(h, post(relatedPersonBody(p.ref, 'THIRD', [])));
    const by = (ref: string) => ({ performer: ref });
    const c = (kind: string, provision: 'permit' | 'deny', more: object = {}): ReturnType<typeof post> =>
      post(s.consent(p, kind, provision, more));
    const declared = { declared: true };
    const self = { actor: s.known('dr1') };
    const structure = { actor: s.known('s1') };
    await s.table(
      [p],
      [
        [
          'a legal representative authorises',
          guardian,
          c('professional-access', 'permit', { actor: s.known('dr3'), ...by(legal.related) }),
          201,
        ],
        [
          'a legal representative blocks',
          guardian,
          c('professional-access', 'deny', { actor: s.known('dr3'), ...by(legal.related) }),
          201,
        ],
        ['a legal representative opposes break-glass', guardian, c('emergency-btg', 'deny', by(legal.related)), 201],
        [
          'a legal representative delegates to a caregiver',
          guardian,
          c('delegation', 'permit', { actor: own, delegationKind: 'caregiver', ...by(legal.related) }),
          201,
        ],
        [
          'a legal representative makes a legal one',
          guardian,
          c('delegation', 'permit', { actor: own, delegationKind: 'legal', ...by(legal.related) }),
          403,
          'W15',
        ],
        [
          'the holder makes a legal representative',
          h,
          c('delegation', 'permit', { actor: own, delegationKind: 'legal' }),
          403,
          'W15',
        ],
        [
          'W12: a caregiver authorises',
          caregiver,
          c('professional-access', 'permit', { actor: s.known('dr2'), ...by(care.related) }),
          403,
          'W12',
        ],
        [
          'W12: a caregiver blocks',
          caregiver,
          c('professional-access', 'deny', { actor: s.known('dr2'), ...by(care.related) }),
          403,
          'W12',
        ],
        ['W12: a caregiver opposes', caregiver, c('emergency-btg', 'permit', by(care.related)), 403, 'W12'],
        [
          'W12: a caregiver shares further',
          caregiver,
          c('delegation', 'permit', { actor: own, delegationKind: 'caregiver', ...by(care.related) }),
          403,
          'W12',
        ],
        ['W12: a caregiver masks everything', caregiver, c('document-default', 'deny', by(care.related)), 403, 'W12'],
        [
          'W12: a caregiver closes the space',
          caregiver,
          put(s.stateConsent(p.ref, 'closed', { id: p.space, performer: p.ref })),
          403,
          'W12',
        ],
        ['W12: a caregiver ends an entry', caregiver, s.end(legal.delegation), 403, 'W12'],
        [
          'the holder declares an attending physician',
          h,
          c('attending-physician', 'permit', { actor: s.known('dr1') }),
          403,
          'W15',
        ],
        [
          'the holder writes a second space',
          h,
          post(s.stateConsent(p.ref, 'active', { performer: p.ref })),
          403,
          'W15',
        ],
        ['the holder authorises an app', h, c('app-authorization', 'permit', { actor: 'Device/app' }), 422],
        [
          'a professional for themselves, not declared',
          dr1,
          c('professional-access', 'permit', { ...self, ...by(s.known('dr1')) }),
          422,
          'W9',
        ],
        [
          'a professional for their structure, not declared',
          dr1,
          c('organization-access', 'permit', { ...structure, ...by(s.known('dr1')) }),
          422,
          'W9',
        ],
        [
          'a professional for another, declared',
          dr1,
          c('professional-access', 'permit', { actor: s.known('dr2'), ...declared, ...by(s.known('dr1')) }),
          403,
          'W9',
        ],
        [
          'a professional for another structure, declared',
          dr1,
          c('organization-access', 'permit', { actor: s.known('s2'), ...declared, ...by(s.known('dr1')) }),
          403,
          'W9',
        ],
        [
          'a profession that does not consult, declared',
          s.professional('works'),
          c('professional-access', 'permit', { actor: s.known('works'), ...declared, ...by(s.known('works')) }),
          403,
          'A1',
        ],
        [
          'A6: in break-glass, declared',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          c('professional-access', 'permit', { ...self, ...declared, ...by(s.known('dr1')) }),
          403,
          'A6',
        ],
        [
          'A6: centre 15, declared',
          s.professional('dr1', { purpose: 'ETREAT', patient: p }),
          c('professional-access', 'permit', { ...self, ...declared, ...by(s.known('dr1')) }),
          403,
          'A6',
        ],
        [
          'C5: centre 15 without a person',
          s.professional('dr1', { purpose: 'ETREAT' }),
          c('professional-access', 'permit', { ...self, ...declared, ...by(s.known('dr1')) }),
          403,
          'C5',
        ],
        [
          'a professional declares an authorisation',
          dr1,
          c('professional-access', 'permit', { ...self, ...declared, ...by(s.known('dr1')) }),
          201,
        ],
        [
          'a nurse declares one for the structure',
          s.professional('nurse', { structure: 's2' }),
          c('organization-access', 'permit', { actor: s.known('s2'), ...declared, ...by(s.known('nurse')) }),
          201,
        ],
        [
          'the professional, in the name of the person',
          s.professional('dr2'),
          c('professional-access', 'permit', { actor: s.known('dr2'), ...declared }),
          201,
        ],
        [
          'a professional blocks another, not attending',
          dr1,
          c('professional-access', 'deny', { actor: s.known('dr2'), atHoldersRequest: true, ...by(s.known('dr1')) }),
          403,
          'W9',
        ],
        ['a professional opposes break-glass', dr1, c('emergency-btg', 'deny', by(s.known('dr1'))), 403, 'W9'],
        [
          'a professional opposes feeding',
          dr1,
          c('feed-opposition', 'deny', { actor: s.known('dr2'), ...by(s.known('dr1')) }),
          403,
          'W9',
        ],
        [
          'a professional delegates',
          dr1,
          c('delegation', 'permit', { actor: own, delegationKind: 'caregiver', ...by(s.known('dr1')) }),
          403,
          'W9',
        ],
        ['a professional masks everything', dr1, c('document-default', 'deny', by(s.known('dr1'))), 403, 'W9'],
        [
          'a professional changes the state',
          dr1,
          post(s.stateConsent(p.ref, 'closed', { performer: s.known('dr1') })),
          403,
          'W9',
        ],
        [
          'a feeder authorises',
          s.feeder('s1'),
          c('organization-access', 'permit', { ...structure, ...declared, ...by(s.known('s1')) }),
          403,
          'W9',
        ],
        ['the insurer authorises', s.insurer(), c('professional-access', 'permit', self), 403, 'W15'],
        ['the insurer opposes', s.insurer(), c('emergency-btg', 'deny'), 403, 'W15'],
        [
          'the insurer delegates to a caregiver',
          s.insurer(),
          c('delegation', 'permit', { actor: own, delegationKind: 'caregiver' }),
          403,
          'W15',
        ],
        [
          'the operator authorises, as a repair',
          s.operator('repair of a test'),
          c('professional-access', 'permit', self),
          403,
          'W15',
        ],
      ],
    );
  });

  it('W9: who ends which right', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const mine = await s.grant(p, 'dr1');
    const theirs = await s.grant(p, 'dr2');
    const house = await s.made(h, post(s.consent(p, 'organization-access', 'permit', { actor: s.known('s1') })));
    const btg = await s.made(h, post(s.consent(p, 'emergency-btg', 'deny')));
    const past = await s.made(
      h,
      post(s.consent(p, 'professional-access', 'permit', { actor: s.known('nurse'), period: { end: '2026-05-31' } })),
    );
    const works = await s.grant(p, 'works');
    const dr1 = s.professional('dr1');
    await s.table(
      [p],
      [
        ['a professional ends that of another, in sight', dr1, s.end(theirs), 403, 'W9'],
        ['a professional ends an opposition, out of sight', dr1, s.end(btg), 404],
        ['a professional ends an entry past its period', s.professional('nurse'), s.end(past), 404],
        ['A6: in break-glass, out of sight', s.professional('dr1', { purpose: 'BTG', patient: p }), s.end(mine), 404],
        ['the insurer, out of sight', s.insurer(), s.end(mine), 404],
        ['the operator, out of sight', s.operator('repair of a test'), s.end(mine), 404],
        ['a feeder, out of sight', s.feeder('s1'), s.end(house), 404],
        ['another person', s.holder(await s.person()), s.end(mine), 404],
        ['W9: a profession that does not consult ends its own', s.professional('works'), s.end(works), 403, 'A1'],
        ['a professional ends their own', dr1, s.end(mine), 200],
        ['a professional ends that of their structure', dr1, s.end(house), 200],
        ['it is out of sight now', dr1, s.end(mine), 404],
        ['the holder ends an opposition', h, s.end(btg), 200],
        ['the holder ends an entry past its period', h, s.end(past), 200],
        ['the holder ends what is ended: without effect, accepted', h, s.end(past), 200],
        ['ending by a PUT', h, put({ ...(await s.body(h, theirs)), status: 'inactive' }), 200],
        ['contract: a Consent is never deleted', h, del(theirs), 405],
        ['contract: not by the insurer either', s.insurer(), del(`Consent/${p.space}`), 405],
      ],
    );
    expect(await s.versionsOf(h, past)).toBe(2);
    expect(await status(h, theirs)).toBe('inactive');
  });

  it('A7: blocking ends what it names, in the same transaction, and nothing comes back', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const dr1 = { actor: s.known('dr1') };
    const permit = await s.grant(p, 'dr1');
    const attending = await s.grant(p, 'dr1', 'attending-physician');
    const house = await s.made(h, post(s.consent(p, 'organization-access', 'permit', { actor: s.known('s1') })));
    const other = await s.grant(p, 'dr2');
    const team = await s.made(
      s.feeder('s1'),
      post(
        careTeamBody({
          subject: p.ref,
          organization: s.known('s1'),
          members: [s.known('dr1'), s.known('nurse')],
          status: 'active',
        }),
      ),
    );
    const alone = await s.made(
      s.feeder('s2'),
      post(careTeamBody({ subject: p.ref, organization: s.known('s2'), members: [s.known('dr1')], status: 'active' })),
    );
    const past = await s.made(h, post(s.consent(p, 'feed-opposition', 'deny', dr1)));
    const block = await s.made(h, post(s.consent(p, 'professional-access', 'deny', dr1)));
    expect([await status(h, permit), await status(h, attending)]).toEqual(['inactive', 'inactive']);
    expect([await status(h, house), await status(h, other), await status(h, past)]).toEqual([
      'active',
      'active',
      'active',
    ]);
    const stored = await s.body(h, team);
    expect([stored.status, JSON.stringify(stored.participant)]).toEqual([
      'active',
      JSON.stringify([{ member: { reference: s.known('nurse') } }]),
    ]);
    const left = await s.body(h, alone);
    expect([left.status, left.participant]).toEqual(['active', undefined]);
    expect(await s.versionsOf(h, permit)).toBe(2);

    const declared = s.consent(p, 'professional-access', 'permit', {
      ...dr1,
      declared: true,
      performer: s.known('dr1'),
    });
    const adding = { op: 'add', path: '/participant/-', value: { member: { reference: s.known('dr1') } } };
    await s.table(
      [p],
      [
        ['the holder authorises the blocked', h, post(s.consent(p, 'professional-access', 'permit', dr1)), 409, 'A7'],
        [
          'the holder turns the block into a permit',
          h,
          put({ ...s.consent(p, 'professional-access', 'permit', dr1), id: block.replace('Consent/', '') }),
          409,
          'A7',
        ],
        [
          'the holder takes up the old permit again',
          h,
          patch(permit, [{ op: 'replace', path: '/status', value: 'active' }]),
          409,
          'A7',
        ],
        [
          'the insurer declares them attending',
          s.insurer(),
          post(s.consent(p, 'attending-physician', 'permit', { ...dr1, performer: s.known('fund') })),
          409,
          'A7',
        ],
        [
          'the insurer takes up the old declaration again',
          s.insurer(),
          patch(attending, [{ op: 'replace', path: '/status', value: 'active' }]),
          409,
          'A7',
        ],
        ['the blocked declare it themselves', s.professional('dr1'), post(declared), 403, 'A2'],
        ['the blocked are made members again', s.feeder('s1'), patch(team, [adding]), 409, 'A7'],
        [
          'a team is made of the blocked',
          s.feeder('s1'),
          post(
            careTeamBody({ subject: p.ref, organization: s.known('s1'), members: [s.known('dr1')], status: 'active' }),
          ),
          409,
          'A7',
        ],
        [
          'another is authorised',
          h,
          post(s.consent(p, 'professional-access', 'permit', { actor: s.known('dr3') })),
          201,
        ],
        ['the block is ended', h, s.end(block), 200],
        ['unblocking restores nothing', s.professional('dr1', { structure: 's3' }), get(permit), 404],
        ['a new authorisation is accepted', h, post(s.consent(p, 'professional-access', 'permit', dr1)), 201],
      ],
    );
    expect([await status(h, permit), await status(h, attending)]).toEqual(['inactive', 'inactive']);
  });

  it('A2, contract: a block that names a version of its actor is a block of the actor', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const dr1 = s.known('dr1');
    await s.grant(p, 'dr1');
    const { document } = await s.fed(s.professional('dr1'), s.feed(p));
    const deny = (actor: string): Ask => post(s.consent(p, 'professional-access', 'deny', { actor }));
    await s.table(
      [p],
      [
        ['no reference to anybody', h, deny(`${dr1}/x`), 422, 'A0'],
        ['a version', h, deny(`${dr1}/_history/1`), 201],
        ['the blocked reads no more', s.professional('dr1'), get(document), 404],
        ['a space of a version of a person', s.insurer(), post(s.stateConsent(`${p.ref}/_history/1`, 'open')), 422],
      ],
    );
    const [block = ''] = await active(h, p, 'professional-access');
    expect(JSON.stringify((await s.body(h, block)).provision)).toContain(`{"reference":"${dr1}"}`);
  });

  it('A7: blocking a structure ends its permit and its teams', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const s1 = { actor: s.known('s1') };
    const permit = await s.made(h, post(s.consent(p, 'organization-access', 'permit', s1)));
    const personal = await s.grant(p, 'dr1');
    const teamBody = careTeamBody({
      subject: p.ref,
      organization: s.known('s1'),
      members: [s.known('dr2')],
      status: 'active',
    });
    const team = await s.made(s.feeder('s1'), post(teamBody));
    const other = await s.made(
      s.feeder('s2'),
      post(careTeamBody({ subject: p.ref, organization: s.known('s2'), members: [s.known('dr2')], status: 'active' })),
    );
    const insurers = await s.made(s.insurer(), post(teamBody));
    await s.done(h, post(s.consent(p, 'organization-access', 'deny', s1)));
    expect(await Promise.all([permit, team, insurers].map((ref) => status(h, ref)))).toEqual([
      'inactive',
      'inactive',
      'inactive',
    ]);
    expect(await Promise.all([personal, other].map((ref) => status(h, ref)))).toEqual(['active', 'active']);
    await s.table(
      [p],
      [
        ['the structure is authorised', h, post(s.consent(p, 'organization-access', 'permit', s1)), 409, 'A7'],
        ['the insurer makes a team of it', s.insurer(), post(teamBody), 409, 'A7'],
        [
          'the insurer takes up the team again',
          s.insurer(),
          patch(insurers, [{ op: 'replace', path: '/status', value: 'active' }]),
          409,
          'A7',
        ],
        [
          'the insurer adds a member to its team',
          s.insurer(),
          patch(insurers, [{ op: 'add', path: '/participant/-', value: { member: { reference: s.known('dr3') } } }]),
          409,
          'A7',
        ],
        ['the structure makes a team itself: blocked', s.feeder('s1'), post(teamBody), 409, 'A7'],
        [
          'its professional declares an authorisation',
          s.professional('dr1'),
          post(
            s.consent(p, 'professional-access', 'permit', {
              actor: s.known('dr1'),
              declared: true,
              performer: s.known('dr1'),
            }),
          ),
          403,
          'A2',
        ],
        [
          'the same professional, from elsewhere',
          s.professional('dr1', { structure: 's2' }),
          post(
            s.consent(p, 'professional-access', 'permit', {
              actor: s.known('dr1'),
              declared: true,
              performer: s.known('dr1'),
            }),
          ),
          201,
        ],
      ],
    );
  });

  it('W9, W15: the attending physician', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const attending = await s.grant(p, 'dr1', 'attending-physician');
    const dr1 = s.professional('dr1');
    const by = { performer: s.known('dr1') };
    const block = (more: object) =>
      post(s.consent(p, 'professional-access', 'deny', { actor: s.known('dr2'), ...by, ...more }));
    const legal = await s.delegate(p, 'legal');
    await s.table(
      [p],
      [
        ['a block not at the holder’s request', dr1, block({}), 403, 'W9'],
        ['a block of themselves', dr1, block({ actor: s.known('dr1'), atHoldersRequest: true }), 403, 'W9'],
        [
          'a block of a structure',
          dr1,
          post(s.consent(p, 'organization-access', 'deny', { actor: s.known('s2'), ...by })),
          403,
          'W9',
        ],
        [
          'A6: a block in break-glass',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          block({ atHoldersRequest: true }),
          403,
          'A6',
        ],
        ['a block of another at the holder’s request', dr1, block({ atHoldersRequest: true }), 201],
        ['another professional ends the status', s.professional('dr3'), s.end(attending), 404],
        ['a representative ends the status of another', s.representative(legal.related, p), s.end(attending), 200],
      ],
    );
    const again = await s.grant(p, 'dr1', 'attending-physician');
    const [blocked] = await active(h, p, 'professional-access');
    await s.table(
      [p],
      [
        ['the attending physician unblocks', dr1, s.end(blocked ?? ''), 403, 'W9'],
        [
          'the attending physician extends their status',
          dr1,
          patch(again, [{ op: 'add', path: '/provision/period', value: { end: '2030' } }]),
          403,
          'W15',
        ],
        ['the attending physician ends their status', dr1, s.end(again), 200],
      ],
    );
    const third = await s.grant(p, 'dr1', 'attending-physician');
    await s.table(
      [p],
      [
        [
          'the holder changes what the insurer declared',
          h,
          patch(third, [{ op: 'add', path: '/provision/period', value: { end: '2030' } }]),
          403,
          'W15',
        ],
        ['the holder ends it', h, s.end(third), 200],
        [
          'the holder takes it up again',
          h,
          patch(third, [{ op: 'replace', path: '/status', value: 'active' }]),
          403,
          'W15',
        ],
        [
          'the insurer takes it up again',
          s.insurer(),
          patch(third, [{ op: 'replace', path: '/status', value: 'active' }]),
          200,
        ],
      ],
    );
  });

  it('W9: the attending physician does not end a block, whatever else they change in it', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.grant(p, 'dr1', 'attending-physician');
    const block = await s.made(h, post(s.consent(p, 'professional-access', 'deny', { actor: s.known('dr2') })));
    const more = { actor: s.known('dr2'), performer: s.known('dr1'), atHoldersRequest: true };
    const ended = { ...s.consent(p, 'professional-access', 'deny', more), id: block.replace('Consent/', '') };
    await s.table(
      [p],
      [
        ['ends it', s.professional('dr1'), s.end(block), 403, 'W9'],
        ['and says when and why', s.professional('dr1'), put({ ...ended, status: 'inactive' }), 403, 'W9'],
      ],
    );
    expect(await status(h, block)).toBe('active');
  });

  it('contract: one active entry for each person, kind and actor', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const counts = async (kind: string) => (await active(h, p, kind)).length;
    const first = await s.made(
      h,
      post(s.consent(p, 'professional-access', 'permit', { actor: s.known('dr1'), period: { end: '2026-01-01' } })),
    );
    const second = await s.made(h, post(s.consent(p, 'professional-access', 'permit', { actor: s.known('dr1') })));
    expect([await status(h, first), await status(h, second)]).toEqual(['inactive', 'active']);
    expect(await s.versionsOf(h, first)).toBe(2);
    await s.grant(p, 'dr2');
    expect(await counts('professional-access')).toBe(2);
    await s.done(h, patch(first, [{ op: 'replace', path: '/status', value: 'active' }]));
    expect([await status(h, first), await status(h, second)]).toEqual(['active', 'inactive']);
    const deny = await s.made(h, post(s.consent(p, 'document-default', 'deny')));
    await s.done(h, post(s.consent(p, 'document-default', 'permit')));
    expect([await status(h, deny), await counts('document-default')]).toEqual(['inactive', 1]);
    await s.made(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('dr1') })));
    await s.made(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('s1') })));
    await s.made(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('s1') })));
    expect(await counts('feed-opposition')).toBe(2);
    const child = await s.person('active', MINOR);
    const related = (await s.delegate(child, 'legal')).related;
    await s.done(
      s.holder(child),
      post(s.consent(child, 'delegation', 'permit', { actor: related, delegationKind: 'caregiver' })),
    );
    expect((await active(s.holder(child), child, 'delegation')).length).toBe(2);
    await s.done(
      s.holder(child),
      post(
        s.consent(child, 'delegation', 'permit', {
          actor: related,
          delegationKind: 'caregiver',
          delegatedRights: ['message'],
        }),
      ),
    );
    expect((await active(s.holder(child), child, 'delegation')).length).toBe(2);
  });

  it('W10: whom and what an entry is about never changes', async () => {
    const p = await s.person();
    const other = await s.person();
    const h = s.holder(p);
    const ref = await s.grant(p, 'dr1');
    const body = await s.body(h, ref);
    const kind = s.consent(p, 'emergency-btg', 'permit');
    const care = await s.delegate(p, 'caregiver');
    await s.table(
      [p, other],
      [
        ['another person', h, put({ ...body, patient: { reference: other.ref }, performer: [] }), 422],
        [
          'another actor',
          h,
          put({ ...s.consent(p, 'professional-access', 'permit', { actor: s.known('dr2') }), id: body.id }),
          422,
          'W10',
        ],
        ['another kind', h, put({ ...kind, id: body.id }), 422, 'W10'],
        [
          'another kind of delegation',
          h,
          patch(care.delegation, [{ op: 'replace', path: '/extension/0/valueCode', value: 'legal' }]),
          422,
          'W10',
        ],
        [
          'another actor by a patch',
          h,
          patch(ref, [{ op: 'replace', path: '/provision/actor/0/reference/reference', value: s.known('dr2') }]),
          422,
          'W10',
        ],
        [
          'another person by a FHIRPath Patch',
          h,
          fhirPatch(ref, [{ type: 'replace', path: 'Consent.patient.reference', value: { valueString: other.ref } }]),
          422,
          'W10',
        ],
        [
          'another period',
          h,
          patch(ref, [{ op: 'add', path: '/provision/period', value: { end: '2027-01-01' } }]),
          200,
        ],
        [
          'the same again',
          h,
          patch(ref, [{ op: 'add', path: '/provision/period', value: { end: '2027-01-01' } }]),
          200,
        ],
      ],
    );
    expect(await s.versionsOf(h, ref)).toBe(2);
  });

  it('contract: whoever said so is the caller or the holder, when an entry is changed too', async () => {
    const p = await s.person();
    const ref = await s.made(
      s.holder(p),
      post(s.consent(p, 'professional-access', 'permit', { actor: s.known('dr1') })),
    );
    const entry = (performer: string, declared = false): Ask =>
      put(
        s.consent(p, 'professional-access', 'permit', {
          actor: s.known('dr1'),
          performer,
          declared,
          id: ref.replace('Consent/', ''),
        }),
      );
    const another = [{ op: 'replace', path: '/performer/0/reference', value: s.known('dr3') }];
    await s.table(
      [p],
      [
        ['another professional, by update', s.holder(p), entry(s.known('dr3')), 422, 'W9'],
        ['another professional, by patch', s.holder(p), patch(ref, another), 422, 'W9'],
        ['themselves, over the holder', s.professional('dr1'), entry(s.known('dr1'), true), 200],
        ['another, by a professional', s.professional('dr1'), entry(s.known('dr2'), true), 422, 'W9'],
        ['ended by the holder: the professional stays', s.holder(p), s.end(ref), 200],
      ],
    );
  });

  it('W15: the state of the space', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const i = s.insurer();
    const to = (state: string, more: object = {}) =>
      put(s.stateConsent(p.ref, state, { id: p.space, performer: p.ref, ...more }));
    const legal = await s.delegate(p, 'legal');
    const none = await s.person('none');
    await s.table(
      [p],
      [
        ['a second one by the insurer', i, post(s.stateConsent(p.ref, 'active')), 409, 'W15'],
        [
          'a second one by the operator',
          s.operator('repair of a test'),
          post(s.stateConsent(p.ref, 'active')),
          409,
          'W15',
        ],
        ['the holder suspends', h, to('suspended'), 403, 'W15'],
        ['the holder goes back to open', h, to('open'), 403, 'W15'],
        ['the holder ends the entry instead', h, s.end(`Consent/${p.space}`), 403, 'W15'],
        ['the operator without a reason', s.operator(), to('suspended'), 403, 'W15'],
        ['the operator with a reason', s.operator('repair of a test'), to('suspended'), 200],
        ['in a suspended space the holder writes nothing', h, post(s.consent(p, 'emergency-btg', 'deny')), 403, 'S1'],
        ['nor closes it', h, to('closed'), 403, 'S1'],
        ['the insurer, in every state', i, to('active'), 200],
        [
          'the extension and the provision by one patch',
          i,
          patch(`Consent/${p.space}`, [
            { op: 'replace', path: '/extension/0/valueCode', value: 'closed' },
            { op: 'replace', path: '/provision/type', value: 'deny' },
          ]),
          200,
        ],
        [
          'the extension alone',
          i,
          patch(`Consent/${p.space}`, [{ op: 'replace', path: '/extension/0/valueCode', value: 'active' }]),
          422,
          'S1',
        ],
        ['the insurer reopens', i, to('active'), 200],
        [
          'a legal representative closes',
          s.representative(legal.related, p),
          to('closed', { performer: legal.related }),
          200,
        ],
        ['S3: closed, everything is gone for the holder', h, get(p.ref), 404],
        ['and for their representative', s.representative(legal.related, p), get(p.ref), 404],
        ['and for a professional', s.professional('dr1'), get(p.ref), 404],
        ['the holder reopens', h, to('active'), 404],
        ['nothing is written into it', s.feeder('s1'), s.feed(p), 422],
        ['the insurer reopens it', i, to('active'), 200],
        ['the holder closes', h, to('closed'), 200],
        ['the insurer ends the entry', i, s.end(`Consent/${p.space}`), 200],
        ['then another one can be written', i, post(s.stateConsent(p.ref, 'active')), 201],
        [
          'and the old one not taken up again',
          i,
          patch(`Consent/${p.space}`, [{ op: 'replace', path: '/status', value: 'active' }]),
          409,
          'W15',
        ],
        ['a space for nobody', i, post(s.stateConsent('Patient/nobody', 'active')), 422],
        [
          'a space for nobody, by the operator',
          s.operator('repair of a test'),
          post(s.stateConsent('Patient/nobody', 'active')),
          422,
        ],
        ['C6: an insurer limited to another person', s.insurer(none), to('suspended'), 404],
        [
          'C6: an operator limited to another person',
          s.operator('repair of a test', p),
          post(s.stateConsent(none.ref, 'active')),
          422,
        ],
        [
          'C6: an insurer limited to another person, a new space',
          s.insurer(p),
          post(s.stateConsent(none.ref, 'active')),
          422,
        ],
        [
          'the operator writes the space of a person without one',
          s.operator('repair of a test'),
          post(s.stateConsent(none.ref, 'active')),
          201,
        ],
      ],
    );
  });

  it('S1: in which states who writes', async () => {
    const bySide = (p: Person): readonly (readonly [side: string, row: Row])[] => [
      ['holder', ['', s.holder(p), post(s.consent(p, 'emergency-btg', 'deny')), 0]],
      [
        'professional',
        [
          '',
          s.professional('dr1'),
          post(
            s.consent(p, 'professional-access', 'permit', {
              actor: s.known('dr1'),
              declared: true,
              performer: s.known('dr1'),
            }),
          ),
          0,
        ],
      ],
      ['feeder', ['', s.feeder('s1'), s.feed(p), 0]],
      [
        'insurer',
        [
          '',
          s.insurer(),
          post(s.consent(p, 'attending-physician', 'permit', { actor: s.known('dr1'), performer: s.known('fund') })),
          0,
        ],
      ],
    ];
    const answers: Readonly<Record<string, Readonly<Record<string, readonly [number, string?]>>>> = {
      active: { holder: [201], professional: [201], feeder: [200], insurer: [201] },
      open: { holder: [422], professional: [201], feeder: [200], insurer: [201] },
      'legacy-dmp': { holder: [422], professional: [201], feeder: [200], insurer: [403, 'S1'] },
      suspended: { holder: [403, 'S1'], professional: [422], feeder: [422], insurer: [403, 'S1'] },
      invited: { holder: [422], professional: [422], feeder: [422], insurer: [403, 'S1'] },
      opposed: { holder: [422], professional: [422], feeder: [422], insurer: [403, 'S1'] },
      closed: { holder: [422], professional: [422], feeder: [422], insurer: [403, 'S1'] },
      deceased: { holder: [422], professional: [422], feeder: [422], insurer: [403, 'S1'] },
      none: { holder: [422], professional: [422], feeder: [422], insurer: [403, 'S1'] },
    };
    for (const [state, expected] of Object.entries(answers)) {
      const p = await s.person(state);
      const rows = bySide(p).map(([side, [, token, ask]]): Row => {
        const [code, rule] = expected[side] ?? [0];
        return rule === undefined
          ? [`${state}: ${side}`, token, ask, code]
          : [`${state}: ${side}`, token, ask, code, rule];
      });
      await s.table([p], rows);
    }
  });

  it('S1: an old DMP ends with the day of its period', async () => {
    const p = await s.person('legacy-dmp');
    await s.toState(p, 'active');
    await s.done(s.insurer(), put(s.stateConsent(p.ref, 'legacy-dmp', { id: p.space, period: { end: '2026-06-02' } })));
    await s.setClock(Date.parse('2026-06-02T21:59:59Z'));
    await s.done(s.feeder('s1'), s.feed(p));
    await s.setClock(Date.parse('2026-06-02T22:00:00Z'));
    await s.table([p], [['the day after', s.feeder('s1'), s.feed(p), 422]]);
    await s.setClock(START + 2 * DAY);
  });

  it('W15: what the insurer writes once, and for whom', async () => {
    const p = await s.person();
    const child = await s.person('active', MINOR);
    const i = s.insurer();
    const fund = { performer: s.known('fund') };
    const c = (of: Person, kind: string, provision: 'permit' | 'deny', more: object = {}) =>
      post(s.consent(of, kind, provision, { ...fund, ...more }));
    const plain = await s.made(s.holder(p), post(relatedPersonBody(p.ref, 'PLAIN', [])));
    const parent = await s.made(i, post(relatedPersonBody(child.ref, 'PARENT', [])));
    const guardian = await s.made(
      s.holder(p),
      post({
        ...relatedPersonBody(p.ref, 'GUARDIAN', []),
        relationship: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-RoleCode', code: 'GUARD' }] }],
      }),
    );
    const first = await s.made(i, c(p, 'care-team-default', 'permit'));
    const legal = await s.made(i, c(child, 'delegation', 'permit', { actor: parent, delegationKind: 'legal' }));
    await s.table(
      [p, child],
      [
        ['a second care-team-default', i, c(p, 'care-team-default', 'deny'), 403, 'W15'],
        ['the holder writes the next one', s.holder(p), post(s.consent(p, 'care-team-default', 'deny')), 201],
        ['a care-team-default after the holder’s', i, c(p, 'care-team-default', 'permit'), 403, 'W15'],
        [
          'the legal representative of an adult',
          i,
          c(p, 'delegation', 'permit', { actor: plain, delegationKind: 'legal' }),
          403,
          'W15',
        ],
        [
          'the guardian of an adult',
          i,
          c(p, 'delegation', 'permit', { actor: guardian, delegationKind: 'legal' }),
          201,
        ],
        [
          'a caregiver of a minor',
          i,
          c(child, 'delegation', 'permit', { actor: parent, delegationKind: 'caregiver' }),
          403,
          'W15',
        ],
        [
          'the parent writes as the child would',
          s.representative(parent, child),
          post(s.consent(child, 'emergency-btg', 'deny', { performer: parent })),
          201,
        ],
        ['the insurer sees and ends what it wrote', i, s.end(legal), 200],
        ['then the parent sees nothing', s.representative(parent, child), get(child.ref), 404],
        [
          'and writes nothing',
          s.representative(parent, child),
          post(s.consent(child, 'emergency-btg', 'permit', { performer: parent })),
          422,
        ],
      ],
    );
    expect(await status(s.holder(p), first)).toBe('inactive');
    const grown = await s.person('active', '2008-06-04');
    const link = await s.made(i, post(relatedPersonBody(grown.ref, 'PARENT', [])));
    await s.table(
      [grown],
      [['the day before 18', i, c(grown, 'delegation', 'permit', { actor: link, delegationKind: 'legal' }), 201]],
    );
    await s.setClock(START + 3 * DAY);
    await s.table(
      [grown],
      [
        [
          'the day of 18',
          s.insurer(),
          c(grown, 'delegation', 'permit', { actor: link, delegationKind: 'legal' }),
          403,
          'W15',
        ],
      ],
    );
  });

  it('C6: a token limited to one person writes nothing about another', async () => {
    const [p, q] = [await s.person(), await s.person()];
    const entry = (of: Person) =>
      post(
        s.consent(of, 'professional-access', 'permit', {
          actor: s.known('dr1'),
          declared: true,
          performer: s.known('dr1'),
        }),
      );
    await s.table(
      [p, q],
      [
        ['another person', s.professional('dr1', { patient: p }), entry(q), 422],
        ['the person of the token', s.professional('dr1', { patient: p }), entry(p), 201],
        ['a feeder, another person', s.feeder('s1', p), s.feed(q), 422],
        ['a feeder, the person of the token', s.feeder('s1', p), s.feed(p), 200],
        [
          'a holder, another person',
          s.holder(p),
          post(s.consent(q, 'emergency-btg', 'deny', { performer: p.ref })),
          422,
        ],
      ],
    );
  });

  it('contract: deleting a RelatedPerson ends its delegations', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const care = await s.delegate(p, 'caregiver');
    const other = await s.delegate(p, 'caregiver');
    await s.done(s.representative(care.related, p), get(p.ref));
    await s.done(h, del(care.related));
    expect(await status(h, care.delegation)).toBe('inactive');
    expect(await status(h, other.delegation)).toBe('active');
    await s.table(
      [p],
      [
        ['the token of a RelatedPerson who is no more', s.representative(care.related, p), get(p.ref), 401],
        [
          'the entry taken up again',
          h,
          patch(care.delegation, [{ op: 'replace', path: '/status', value: 'active' }]),
          422,
        ],
        ['the other goes on', s.representative(other.related, p), get(p.ref), 200],
      ],
    );
  });

  it('W12, T1: a delegation past its period writes nothing', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const { related } = await s.delegate(p, 'caregiver');
    await s.done(
      h,
      post(
        s.consent(p, 'delegation', 'permit', {
          actor: related,
          delegationKind: 'caregiver',
          period: { end: new Date(s.now()).toISOString() },
        }),
      ),
    );
    await s.table([p], [['within', s.representative(related, p), s.deposit(p), 200]]);
    await s.setClock(s.now() + HOUR);
    await s.table([p], [['after', s.representative(related, p), s.deposit(p), 422]]);
  });
});

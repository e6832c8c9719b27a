/** rules.md D1a, D2, D3, D4 and W3 to W8, W18, W20, W22: vaccinations, the medical profile and what the insurer paid, act by act against a running server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  immunizationBody,
  labelsOf,
  patientBody,
  payerBody,
  profileBody,
  type Resource,
} from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import {
  type Ask,
  DAY,
  del,
  entriesOf,
  get,
  hide,
  mask,
  type Person,
  patch,
  post,
  put,
  type Row,
  release,
  type Stage,
  startStage,
  unmask,
} from './stage.ts';

const MASKED = 'MASQUE_PS';
const HIDDEN = 'INVISIBLE_PATIENT';
const CLOSED = 'INVISIBLE_REPRESENTANTS_LEGAUX';

describe.skipIf(!serverExists())('writing vaccinations, the medical profile and payments', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await startStage();
  });
  afterAll(() => s.dispose());

  const vaccine = (of: Person, labels: readonly string[] = [], more: Readonly<Record<string, unknown>> = {}): Ask =>
    post(immunizationBody({ patient: of.ref, labels, lot: 'A1', more }));
  const paid = (of: Person, labels: readonly string[] = [], type: 'Coverage' | 'ExplanationOfBenefit' = 'Coverage') =>
    post(payerBody(type, { patient: of.ref, insurer: s.known('fund'), labels, text: 'x' }));
  const changed = async (token: string, ref: string, more: object): Promise<Ask> =>
    put({ ...(await s.body(token, ref)), ...more } as Resource);

  it('W22: who feeds a vaccination', async () => {
    const p = await s.person();
    const blind = await s.person('active');
    const h = s.holder(p);
    const care = await s.delegate(p, 'caregiver');
    const stranger = await s.delegate(blind, 'caregiver');
    await s.done(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('dr3') })));
    await s.done(h, post(s.consent(p, 'professional-access', 'deny', { actor: s.known('dr2') })));
    const unqualified = await s.made(
      s.insurer(),
      post({ ...patientBody(s.newTraits('1980-01-01')), extension: undefined } as Resource),
    );
    await s.made(s.insurer(), post(s.stateConsent(unqualified, 'active')));
    const identity = (traits: Person['traits']): Readonly<Record<string, unknown>> => ({
      contained: [patientBody(traits, { id: 'who' })],
      extension: [{ url: 'https://example.org/declared', valueReference: { reference: '#who' } }],
    });
    const beside = (value: string): Readonly<Record<string, unknown>> => ({
      patient: { reference: p.ref, identifier: { system: 'urn:oid:1.2.250.1.213.1.4.10', value } },
    });
    const open = await s.person('open');
    const suspended = await s.person('suspended');
    await s.table(
      [p],
      [
        ['a professional without any authorisation', s.professional('dr1'), vaccine(p), 201],
        ['a profession that does not consult', s.professional('works'), vaccine(p), 201],
        ['a blocked professional', s.professional('dr2'), vaccine(p), 201],
        ['software of a structure', s.feeder('s1'), vaccine(p), 201],
        ['in break-glass', s.professional('dr1', { purpose: 'BTG', patient: p }), vaccine(p), 201],
        ['the holder', h, vaccine(p), 201],
        ['a caregiver', s.representative(care.related, p), vaccine(p), 201],
        ['where the space is open', s.professional('dr1'), vaccine(open), 201],
        ['the holder of an open space', s.holder(open), vaccine(open), 422],
        ['where the space is suspended', s.professional('dr1'), vaccine(suspended), 422],
        ['who is opposed', s.professional('dr3'), vaccine(p), 403, 'W1'],
        ['the insurer', s.insurer(), vaccine(p), 403, 'W22'],
        ['the operator', s.operator('repair'), vaccine(p), 403, 'W22'],
        ['a representative of somebody else', s.representative(stranger.related, p), vaccine(p), 422],
        ['about somebody else', h, vaccine(blind), 422],
        ['with the identity, contained', s.feeder('s1'), vaccine(p, [], identity(p.traits)), 201],
        ['with somebody else’s', s.feeder('s1'), vaccine(p, [], identity(blind.traits)), 422, 'W1'],
        ['with the INS beside', s.feeder('s1'), vaccine(p, [], beside(p.traits.ins)), 201],
        ['with another INS beside', s.feeder('s1'), vaccine(p, [], beside(blind.traits.ins)), 422, 'W1'],
        [
          'of a person whose identity is not qualified',
          s.feeder('s1'),
          post(immunizationBody({ patient: unqualified, labels: [], lot: 'A1' })),
          422,
          'W1',
        ],
      ],
    );
  });

  it('W1, W6, W8: labels of a vaccination at filing', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const legal = await s.delegate(p, 'legal');
    const dr1 = s.professional('dr1');
    const confidential = {
      meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'R' }] },
    };
    await s.table(
      [p],
      [
        ['masked', dr1, vaccine(p, [MASKED]), 201],
        ['hidden from the holder', dr1, vaccine(p, [HIDDEN]), 201],
        ['masked and hidden', dr1, vaccine(p, [MASKED, HIDDEN]), 422, 'L1'],
        ['the holder hides from themself', h, vaccine(p, [HIDDEN]), 422, 'W6'],
        ['the holder hides from representatives', h, vaccine(p, [CLOSED]), 201],
        ['a representative does', s.representative(legal.related, p), vaccine(p, [CLOSED]), 422, 'W6'],
        ['another confidentiality', dr1, vaccine(p, [], confidential), 422, 'L4'],
        ['a label that nobody applies', dr1, vaccine(p, ['MASQUE_PSOCIAL']), 422, 'L0'],
      ],
    );
    const secret = await s.made(s.professional('dr1', { secret: true }), vaccine(p, [MASKED]));
    expect([...labelsOf(await s.body(h, secret))].sort()).toEqual([CLOSED, MASKED].sort());
  });

  it('D1a, D2: who sees a vaccination; W4 to W7: its labels', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const care = s.representative((await s.delegate(p, 'caregiver')).related, p);
    await s.grant(p, 'dr1', 'attending-physician');
    await s.grant(p, 'nurse');
    const author = s.professional('dr2');
    const dr1 = s.professional('dr1', { structure: 's3' });
    const nurse = s.professional('nurse', { structure: 's2' });
    const ref = await s.made(author, vaccine(p));
    const seen = async (): Promise<string> => {
      const callers = {
        h,
        care,
        author,
        dr1,
        nurse,
        s1: s.feeder('s1'),
        s2: s.feeder('s2'),
        stranger: s.professional('dr3', { structure: 's3' }),
      };
      const found: string[] = [];
      for (const [name, token] of Object.entries(callers))
        if ((await s.ask(token, get(ref))).status === 200) found.push(name);
      return found.join(' ');
    };
    expect(await seen()).toBe('h care author dr1 nurse s1');
    await s.table(
      [p],
      [
        ['the caregiver masks', care, mask(ref), 403, 'W12'],
        ['a professional without the holder’s request', nurse, mask(ref), 403, 'W4'],
        ['at the holder’s request', nurse, mask(ref, true), 200],
        ['who masked it does not see it any more', nurse, get(ref), 404],
        ['the author, by the light gate', author, get(ref), 200],
        ['software of another structure', s.feeder('s2'), unmask(ref), 404],
      ],
    );
    expect(await seen()).toBe('h care author dr1 s1');
    await s.table(
      [p],
      [
        ['hidden from the holder while masked', author, hide(ref, 'patient'), 422, 'L1'],
        ['the author unmasks', author, unmask(ref), 200],
        ['the attending physician hides it from the holder', dr1, hide(ref, 'patient'), 403, 'W6'],
        ['the author does', author, hide(ref, 'patient'), 200],
        ['the holder', h, get(ref), 404],
        ['the holder shows it', h, release(ref, 'patient'), 404],
        ['a professional who consults shows it', nurse, release(ref, 'patient'), 200],
        ['the holder hides another’s from representatives', h, hide(ref, 'representatives'), 403, 'W6'],
        ['the author does', author, hide(ref, 'representatives'), 200],
        ['the attending physician shows it', dr1, release(ref, 'representatives'), 200],
        ['once shown', author, hide(ref, 'representatives'), 403, 'W6'],
      ],
    );
    expect(await seen()).toBe('h care author dr1 nurse s1');
    const deny = await s.made(h, post(s.consent(p, 'document-default', 'deny')));
    expect(await seen()).toBe('h care author dr1 s1');
    await s.done(h, unmask(ref));
    expect(await seen()).toBe('h care author dr1 nurse s1');
    // the exemption ends with that deny: another one masks it again
    await s.done(h, s.end(deny));
    expect(await seen()).toBe('h care author dr1 nurse s1');
    await s.done(h, post(s.consent(p, 'document-default', 'deny')));
    expect(await seen()).toBe('h care author dr1 s1');
    await s.done(h, unmask(ref));
    const late = await s.made(author, vaccine(p, [HIDDEN]));
    const before = s.now();
    await s.setClock(before + 32 * DAY);
    expect((await s.ask(s.holder(p), get(late))).status).toBe(200);
    await s.setClock(before);
  });

  it('W3, W10: replacing and deleting a vaccination', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const care = await s.delegate(p, 'caregiver');
    const caring = s.representative(care.related, p);
    await s.grant(p, 'dr1', 'attending-physician');
    await s.grant(p, 'dr3');
    const dr1 = s.professional('dr1', { structure: 's3' });
    const dr2 = s.professional('dr2');
    const fed = await s.made(dr2, vaccine(p, [CLOSED]));
    const own = await s.made(h, vaccine(p));
    const theirs = await s.made(caring, vaccine(p));
    const lot = { lotNumber: 'B2' };
    const rows: Row[] = [
      ['somebody who may consult', s.professional('dr3', { structure: 's3' }), await changed(dr2, fed, lot), 403, 'W3'],
      ['the holder, of what was fed', h, await changed(dr2, fed, lot), 403, 'W3'],
      ['the author', dr2, await changed(dr2, fed, lot), 200],
      [
        'their structure’s software',
        s.feeder('s1'),
        patch(fed, [{ op: 'replace', path: '/lotNumber', value: 'C3' }]),
        200,
      ],
      ['another person', dr2, await changed(dr2, fed, { patient: { reference: (await s.person()).ref } }), 422, 'W10'],
      ['another identifier', dr2, await changed(dr2, fed, { identifier: [{ value: '1' }] }), 422, 'W10'],
      [
        'other labels',
        dr2,
        await changed(dr2, fed, { meta: { security: [{ system: LABELS, code: MASKED }] } }),
        422,
        'W10',
      ],
      ['the holder, of their own', h, await changed(h, own, lot), 200],
      ['the caregiver, of the holder’s', caring, await changed(h, own, lot), 403, 'W3'],
      ['the attending physician, of the holder’s', dr1, await changed(h, own, { lotNumber: 'D4' }), 200],
      ['the caregiver, of their own', caring, del(theirs), 204],
      ['and again', caring, del(theirs), 410],
      ['by who does not see it', s.feeder('s2'), del(fed), 404],
    ];
    await s.table([p], rows);
    await s.done(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('dr2') })));
    await s.table(
      [p],
      [
        ['an opposition stops a replacement', dr2, await changed(dr2, fed, { lotNumber: 'E5' }), 403, 'W1'],
        ['and not a deletion', dr2, del(fed), 204],
      ],
    );
  });

  // Those whose person, author or shape differ; all seven are in the random worlds.
  it.each(['Condition', 'AllergyIntolerance', 'QuestionnaireResponse'])('W20, D3: %s', async (type) => {
    const p = await s.person();
    const h = s.holder(p);
    const caring = s.representative((await s.delegate(p, 'caregiver')).related, p);
    const legal = s.representative((await s.delegate(p, 'legal')).related, p);
    const other = await s.person();
    const mine = post(profileBody(type, p.ref, 'x'));
    const labelled = post({ ...profileBody(type, p.ref, 'x'), meta: { security: [{ system: LABELS, code: MASKED }] } });
    await s.grant(p, 'dr1', 'attending-physician');
    const dr1 = s.professional('dr1');
    const urgent = s.professional('dr2', { purpose: 'BTG', patient: p });
    const ref = await s.made(h, mine);
    const language = (value: string): Ask => patch(ref, [{ op: 'add', path: '/language', value }]);
    await s.table(
      [p],
      [
        ['a caregiver', caring, mine, 201],
        ['a legal representative', legal, mine, 201],
        ['about somebody else', h, post(profileBody(type, other.ref, 'x')), 422],
        ['with a label', h, labelled, 422, 'L0'],
        ['in a secret connection', s.holder(p, { secret: true }), mine, 403, 'W8'],
        ['the attending physician', dr1, mine, 403, 'W20'],
        ['in break-glass', urgent, mine, 403, 'A6'],
        ['a structure', s.feeder('s1'), mine, 403, 'W20'],
        ['the insurer', s.insurer(), mine, 403, 'W20'],
        ['the attending physician reads what is not shared', dr1, get(ref), 404],
        ['break-glass neither', urgent, get(ref), 404],
        ['a structure searches', s.feeder('s1'), get(type), 403, 'D3'],
        ['a caregiver changes the holder’s', caring, language('fr'), 200],
        ['another person', h, await changed(h, ref, profileBody(type, other.ref, 'x')), 422, 'W10'],
      ],
    );
    await s.done(h, post(s.consent(p, 'profile-sharing', 'permit')));
    await s.table(
      [p],
      [
        ['shared: the attending physician', dr1, get(ref), 200],
        ['break-glass', urgent, get(ref), 200],
        ['without an authorisation', s.professional('dr3'), get(ref), 404],
        ['the attending physician changes it', dr1, language('en'), 403, 'W20'],
        ['and deletes it', dr1, del(ref), 403, 'W20'],
        ['who does not see it', s.professional('dr3'), del(ref), 404],
        ['the caregiver deletes it', caring, del(ref), 204],
        ['gone, to who saw it', dr1, get(ref), 410],
      ],
    );
    await s.done(h, post(s.consent(p, 'profile-sharing', 'deny')));
    expect(entriesOf(await s.ask(dr1, get(`${type}?patient=${p.id}`)))).toEqual([]);
    expect(entriesOf(await s.ask(h, get(`${type}?patient=${p.id}`)))).toHaveLength(2);
  });

  it.each(['Coverage', 'ExplanationOfBenefit'] as const)('W18, D4: %s', async (type) => {
    const p = await s.person();
    const [open, suspended] = [await s.person('open'), await s.person('suspended')];
    const h = s.holder(p);
    const caring = s.representative((await s.delegate(p, 'caregiver')).related, p);
    await s.grant(p, 'dr1', 'attending-physician');
    const dr1 = s.professional('dr1');
    const [plain, closed] = [
      await s.made(s.insurer(), paid(p, [], type)),
      await s.made(s.insurer(), paid(p, [CLOSED], type)),
    ];
    await s.table(
      [p],
      [
        ['the insurer, where the space is open', s.insurer(), paid(open, [], type), 201],
        ['where it is suspended', s.insurer(), paid(suspended, [], type), 403, 'S1'],
        ['with two labels that exclude each other', s.insurer(), paid(p, [MASKED, HIDDEN], type), 422, 'L1'],
        ['about somebody outside the token', s.insurer(p), paid(open, [], type), 422],
        ['the holder', h, paid(p, [], type), 403, 'W18'],
        ['a structure', s.feeder('s1'), paid(p, [], type), 403, 'W18'],
        ['a professional', dr1, paid(p, [], type), 403, 'W18'],
        ['the operator', s.operator('repair'), paid(p, [], type), 403, 'W18'],
        ['the insurer reads nothing back', s.insurer(), get(plain), 404],
        ['nor searches', s.insurer(), get(type), 403, 'D4'],
        ['nor deletes', s.insurer(), del(plain), 404],
        ['the holder reads it', h, get(plain), 200],
        ['a caregiver', caring, get(plain), 200],
        ['what is hidden from representatives, the holder', h, get(closed), 200],
        ['the caregiver', caring, get(closed), 404],
        ['the attending physician, as the host says', dr1, get(plain), 404],
        ['and searches', dr1, get(type), 403, 'D4'],
        ['the holder deletes it', h, del(plain), 403, 'W18'],
        ['changes it', h, await changed(h, plain, { language: 'fr' }), 403, 'W18'],
        ['and masks it: no operation', h, mask(plain), 404],
      ],
    );
  });
});

const LABELS = 'https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument';

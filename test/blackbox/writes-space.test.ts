/** rules.md W11, W13, W14, W16, W17, W19, W21 and contract.md "Teams, appointments, messages", act by act against a running server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  appointmentBody,
  careTeamBody,
  communicationBody,
  EX,
  labelsOf,
  organizationBody,
  patientBody,
  practitionerBody,
  practitionerRoleBody,
  type Resource,
  relatedPersonBody,
} from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import {
  type Ask,
  del,
  entriesOf,
  get,
  type Person,
  patch,
  post,
  put,
  type Row,
  type Stage,
  startStage,
} from './stage.ts';

const MASKED = 'MASQUE_PS';
const HIDDEN = 'INVISIBLE_PATIENT';
const CLOSED = 'INVISIBLE_REPRESENTANTS_LEGAUX';
const TRE_A07 = 'https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument';
const security = (code: string): object => ({ meta: { security: [{ system: TRE_A07, code }] } });

describe.skipIf(!serverExists())('writing messages, teams, appointments, identities and the directory', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await startStage();
  });
  afterAll(async () => {
    await s.dispose();
  });

  it('W11: messages', async () => {
    const p = await s.person();
    const other = await s.person();
    const h = s.holder(p);
    const care = await s.delegate(p, 'caregiver', ['message']);
    const mute = await s.delegate(p, 'caregiver');
    const legal = await s.delegate(p, 'legal');
    await s.grant(p, 'dr2');
    await s.grant(p, 'dr3', 'attending-physician');
    await s.done(h, post(s.consent(p, 'professional-access', 'deny', { actor: s.known('works') })));
    await s.done(h, post(s.consent(p, 'organization-access', 'deny', { actor: s.known('s3') })));
    const dr1 = s.professional('dr1');
    const [d1, d2, d3] = ['dr1', 'dr2', 'dr3'].map((name) => s.known(name)) as [string, string, string];
    const message = (sender: string, recipient: string, inResponseTo?: string, more: object = {}): Ask =>
      post({
        ...communicationBody({
          subject: p.ref,
          sender,
          recipient,
          text: 'x',
          ...(inResponseTo === undefined ? {} : { inResponseTo }),
        }),
        ...more,
      });
    const first = await s.made(dr1, message(d1, p.ref));
    const foreign = await s.made(
      dr1,
      post(communicationBody({ subject: other.ref, sender: d1, recipient: other.ref, text: 'x' })),
    );
    const closes = { extension: [{ url: `${EX}/StructureDefinition/thread-closed`, valueBoolean: true }] };
    await s.table(
      [p],
      [
        ['a professional without any authorisation to the holder', dr1, message(d1, p.ref), 201],
        ['a profession that does not consult', s.professional('nurse'), message(s.known('nurse'), p.ref), 201],
        ['a blocked professional', s.professional('works'), message(s.known('works'), p.ref), 403, 'A2'],
        ['for a blocked structure', s.professional('dr1', { structure: 's3' }), message(d1, p.ref), 403, 'A2'],
        ['A6: in break-glass', s.professional('dr1', { purpose: 'BTG', patient: p }), message(d1, p.ref), 403, 'A6'],
        ['to another professional', dr1, message(d1, d2), 403, 'W11'],
        ['to a representative, a new thread', dr1, message(d1, legal.related), 403, 'W11'],
        ['in the name of somebody else', dr1, message(d2, p.ref), 422, 'W11'],
        [
          'in the guise of a notice',
          dr1,
          message(d1, p.ref, undefined, {
            category: [
              {
                coding: [
                  { system: 'http://terminology.hl7.org/CodeSystem/communication-category', code: 'notification' },
                ],
              },
            ],
          }),
          422,
          'O2',
        ],
        [
          'of a kind that notices have',
          h,
          message(p.ref, d2, undefined, {
            category: [{ coding: [{ system: `${EX}/CodeSystem/notice`, code: 'ACCES_BRIS_GLACE' }] }],
          }),
          422,
          'O2',
        ],
        [
          'two recipients',
          dr1,
          message(d1, p.ref, undefined, { recipient: [{ reference: p.ref }, { reference: d2 }] }),
          422,
          'W11',
        ],
        ['no recipient', dr1, message(d1, p.ref, undefined, { recipient: undefined }), 422, 'W11'],
        ['no sender', dr1, message(d1, p.ref, undefined, { sender: undefined }), 422, 'W11'],
        ['a label', dr1, message(d1, p.ref, undefined, security(MASKED)), 422, 'L0'],
        [
          'about a person whom nobody knows',
          dr1,
          message(d1, p.ref, undefined, { subject: { reference: 'Patient/nobody' } }),
          422,
        ],
        ['a feeder', s.feeder('s1'), message(s.known('s1'), p.ref), 403, 'W11'],
        ['the insurer', s.insurer(), message(s.known('fund'), p.ref), 403, 'W11'],
        ['the operator', s.operator('repair of a test'), message(s.known('fund'), p.ref), 403, 'W11'],
        ['the holder answers', h, message(p.ref, d1, first), 201],
        [
          'a representative with messages answers',
          s.representative(care.related, p),
          message(care.related, d1, first),
          201,
        ],
        ['a legal representative answers', s.representative(legal.related, p), message(legal.related, d1, first), 201],
        ['W12: a caregiver without messages', s.representative(mute.related, p), message(mute.related, d1), 403, 'W12'],
        [
          'W12: nor in a thread, which they do not see',
          s.representative(mute.related, p),
          message(mute.related, d1, first),
          422,
        ],
        ['the professional answers the representative', dr1, message(d1, legal.related, first), 201],
        ['a thread takes no new addressee', h, message(p.ref, d2, first), 403, 'W11'],
        ['nor from the professional', dr1, message(d1, mute.related, first), 403, 'W11'],
        ['a professional in the thread of another', s.professional('dr2'), message(d2, p.ref, first), 422],
        ['an answer to what never existed', dr1, message(d1, p.ref, 'Communication/never-existed'), 422],
        ['an answer to a message about somebody else', dr1, message(d1, p.ref, foreign), 422],
        [
          'an answer to two messages',
          dr1,
          message(d1, p.ref, undefined, { inResponseTo: [{ reference: first }, { reference: foreign }] }),
          422,
          'W11',
        ],
        ['the holder to one who is not authorised', h, message(p.ref, d1), 403, 'W11'],
        ['the holder to one who is', h, message(p.ref, d2), 201],
        ['the holder to the attending physician', h, message(p.ref, d3), 201],
        [
          'the representative to the attending physician',
          s.representative(care.related, p),
          message(care.related, d3),
          201,
        ],
        ['the holder to a pharmacy', h, message(p.ref, s.known('pharmacy')), 201],
        ['the holder to another structure', h, message(p.ref, s.known('s1')), 403, 'W11'],
        ['the holder to the blocked', h, message(p.ref, s.known('works')), 403, 'W11'],
        ['the holder to a blocked structure', h, message(p.ref, s.known('s3')), 403, 'W11'],
        ['the holder to another holder', h, message(p.ref, other.ref), 403, 'W11'],
        ['the holder to nobody', h, message(p.ref, 'Practitioner/nobody'), 422],
        [
          'the holder in the space of another',
          h,
          message(p.ref, d2, undefined, { subject: { reference: other.ref } }),
          422,
        ],
        [
          'a message is not replaced',
          dr1,
          put({
            ...communicationBody({ subject: p.ref, sender: d1, recipient: p.ref, text: 'y' }),
            id: first.replace('Communication/', ''),
          }),
          405,
        ],
        [
          'a message is not patched',
          dr1,
          patch(first, [{ op: 'replace', path: '/payload/0/contentString', value: 'y' }]),
          405,
        ],
        ['a message is not deleted', h, del(first), 405],
        ['FIN: the professional closes the thread', dr1, message(d1, p.ref, first, closes), 201],
        ['nobody writes in a closed thread: the holder', h, message(p.ref, d1, first), 403, 'W11'],
        ['nor the professional', dr1, message(d1, p.ref, first), 403, 'W11'],
        ['nor a representative', s.representative(legal.related, p), message(legal.related, d1, first), 403, 'W11'],
        ['a new thread is another', dr1, message(d1, p.ref), 201],
      ],
    );
    const second = await s.made(dr1, message(d1, p.ref));
    await s.done(h, post(s.consent(p, 'professional-access', 'deny', { actor: d1 })));
    const old = await s.person('legacy-dmp');
    await s.table(
      [p],
      [
        ['the holder answers one whom they blocked', h, message(p.ref, d1, second), 403, 'W11'],
        ['the blocked answers', dr1, message(d1, p.ref, second), 422],
        [
          'messages into an old DMP',
          dr1,
          post(communicationBody({ subject: old.ref, sender: d1, recipient: old.ref, text: 'x' })),
          403,
          'S1',
        ],
        ['messages into an open space', dr1, message(d1, (await s.person('open')).ref), 403, 'A2'],
      ],
    );
    const open = await s.person('open');
    await s.done(dr1, post(communicationBody({ subject: open.ref, sender: d1, recipient: open.ref, text: 'x' })));
  });

  it('W8: representatives see neither a message of a secret connection nor what answers it', async () => {
    const p = await s.person();
    const legal = await s.delegate(p, 'legal');
    await s.grant(p, 'dr1');
    const d1 = s.known('dr1');
    const r = (): string => s.representative(legal.related, p);
    const message = (sender: string, recipient: string, inResponseTo?: string): Ask =>
      post(
        communicationBody({
          subject: p.ref,
          sender,
          recipient,
          text: 'x',
          ...(inResponseTo === undefined ? {} : { inResponseTo }),
        }),
      );
    const open = await s.made(s.holder(p), message(p.ref, d1));
    const asked = await s.made(s.holder(p, { secret: true }), message(p.ref, d1));
    const answer = await s.made(s.professional('dr1'), message(d1, p.ref, asked));
    const thanks = await s.made(s.holder(p), message(p.ref, d1, answer));
    const told = await s.made(s.professional('dr1', { secret: true }), message(d1, p.ref));
    const hidden = [asked, answer, thanks, told];
    await s.table(
      [p],
      [
        ['what was written openly', r(), get(open), 200],
        ...hidden.map((ref): Row => ['a representative', r(), get(ref), 404]),
        ...hidden.map((ref): Row => ['the holder', s.holder(p), get(ref), 200]),
        ...hidden.map((ref): Row => ['the professional', s.professional('dr1'), get(ref), 200]),
        ['a representative answers', r(), message(legal.related, d1, answer), 422],
      ],
    );
    const seen = entriesOf(await s.done(r(), get(`Communication?subject=${p.ref}&category:not=notification`)));
    expect(seen.map((entry) => `Communication/${entry.resource?.id}`)).toEqual([open]);
  });

  it('W11, W16, W17: a version of somebody takes part in nothing', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.done(h, post(s.consent(p, 'organization-access', 'deny', { actor: s.known('pharmacy') })));
    const version = (ref: string): string => `${ref}/_history/1`;
    const message = (recipient: string): Ask =>
      post(communicationBody({ subject: p.ref, sender: p.ref, recipient, text: 'x' }));
    const team = (member: string): Ask =>
      post(careTeamBody({ subject: p.ref, organization: s.known('s1'), members: [member], status: 'active' }));
    await s.table(
      [p],
      [
        ['a message to a blocked pharmacy', h, message(s.known('pharmacy')), 403, 'W11'],
        ['to a version of it', h, message(version(s.known('pharmacy'))), 422],
        ['a team', s.feeder('s1'), team(version(s.known('dr1'))), 422],
        [
          'an appointment',
          h,
          post(appointmentBody({ patient: p.ref, participants: [version(s.known('dr1'))], labels: [] })),
          422,
        ],
      ],
    );
  });

  it('W13: the identity', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver');
    const body = await s.body(s.insurer(), p.ref);
    const changed = (more: object): Ask => put({ ...body, ...more });
    const telecom = [{ system: 'phone', value: '+33100000001' }];
    const [ins] = body.identifier as readonly object[];
    const local = { system: 'https://s1.test.example/patients', value: '1' };
    const register = (): Resource => patientBody(s.newTraits('1979-03-28'));
    const addTelecom = (value: string) =>
      patch(p.ref, [{ op: 'add', path: '/telecom', value: [{ system: 'phone', value }] }]);
    await s.table(
      [p],
      [
        ['the holder: contacts', h, changed({ telecom }), 200],
        [
          'the holder: addresses and language',
          h,
          changed({
            telecom,
            address: [{ city: 'Senlis' }],
            communication: [{ language: { coding: [{ system: 'urn:ietf:bcp:47', code: 'fr' }] } }],
          }),
          200,
        ],
        ['a legal representative: contacts', s.representative(legal.related, p), addTelecom('+33100000002'), 200],
        ['W12: a caregiver', s.representative(care.related, p), addTelecom('+33100000003'), 403, 'W12'],
        [
          'the holder: the name',
          h,
          patch(p.ref, [{ op: 'replace', path: '/name/0/family', value: 'AUTRE' }]),
          403,
          'W13',
        ],
        [
          'the holder: the birth date',
          h,
          patch(p.ref, [{ op: 'replace', path: '/birthDate', value: '1980-01-01' }]),
          403,
          'W13',
        ],
        [
          'the holder: the INS',
          h,
          patch(p.ref, [{ op: 'replace', path: '/identifier/0/value', value: '290000000000099' }]),
          403,
          'W13',
        ],
        ['the holder: the qualification', h, patch(p.ref, [{ op: 'remove', path: '/extension/0' }]), 403, 'W13'],
        [
          'the holder: a local identifier',
          h,
          patch(p.ref, [{ op: 'add', path: '/identifier/-', value: local }]),
          403,
          'W13',
        ],
        [
          'a feeder: a local identifier',
          s.feeder('s1'),
          patch(p.ref, [{ op: 'add', path: '/identifier/-', value: local }]),
          200,
        ],
        [
          'a feeder: a contact',
          s.feeder('s1'),
          patch(p.ref, [{ op: 'add', path: '/contact', value: [{ name: { family: 'PROCHE' } }] }]),
          200,
        ],
        [
          'a feeder: a trait',
          s.feeder('s1'),
          patch(p.ref, [{ op: 'replace', path: '/gender', value: 'male' }]),
          403,
          'W13',
        ],
        [
          'a feeder: the INS',
          s.feeder('s1'),
          patch(p.ref, [{ op: 'replace', path: '/identifier/0/value', value: '290000000000099' }]),
          403,
          'W13',
        ],
        [
          'a feeder: the INS taken away',
          s.feeder('s1'),
          patch(p.ref, [{ op: 'remove', path: '/identifier/0' }]),
          403,
          'W13',
        ],
        ['a professional', s.professional('dr1'), addTelecom('+33100000004'), 403, 'W13'],
        [
          'A6: in break-glass',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          addTelecom('+33100000005'),
          403,
          'A6',
        ],
        ['the operator, out of sight', s.operator('repair of a test'), addTelecom('+33100000006'), 404],
        [
          'the insurer: a trait',
          s.insurer(),
          patch(p.ref, [{ op: 'replace', path: '/name/0/given/0', value: 'NOUVELLE' }]),
          200,
        ],
        [
          'the insurer: the INS',
          s.insurer(),
          patch(p.ref, [{ op: 'replace', path: '/identifier/0/value', value: '291111111111111' }]),
          200,
        ],
        [
          'the insurer: the INS of another',
          s.insurer(),
          patch(p.ref, [{ op: 'replace', path: '/identifier/0/value', value: (await s.person()).traits.ins }]),
          409,
          'W13',
        ],
        ['the insurer: contacts are not theirs', s.insurer(), addTelecom('+33100000007'), 403, 'W13'],
        [
          'the insurer: a local identifier taken away',
          s.insurer(),
          patch(p.ref, [{ op: 'remove', path: '/identifier/1' }]),
          403,
          'W13',
        ],
        [
          'C6: the insurer limited to another',
          s.insurer(await s.person()),
          patch(p.ref, [{ op: 'replace', path: '/birthDate', value: '1980-01-01' }]),
          404,
        ],
        ['a person is not deleted', s.insurer(), del(p.ref), 405],
        ['a label on a person', s.insurer(), post({ ...register(), ...security(MASKED) }), 422, 'L0'],
        ['the insurer registers', s.insurer(), post(register()), 201],
        [
          'the same INS again',
          s.insurer(),
          post({ ...register(), identifier: [{ ...ins, value: '291111111111111' }] }),
          409,
          'W13',
        ],
        ['C6: registered with a limited token', s.insurer(p), post(register()), 403, 'C6'],
        ['the holder registers', h, post(register()), 403, 'W13'],
        ['a professional registers', s.professional('dr1'), post(register()), 403, 'W13'],
        ['a feeder registers', s.feeder('s1'), post(register()), 403, 'W13'],
        ['the operator registers', s.operator('repair of a test'), post(register()), 403, 'W13'],
      ],
    );
    for (const state of ['invited', 'suspended', 'closed', 'deceased']) {
      const refusal = state === 'suspended' ? ([403, 'S1'] as const) : ([404] as const);
      const one = await s.person(state);
      const trait = patch(one.ref, [{ op: 'replace', path: '/birthDate', value: '1980-01-01' }]);
      await s.table(
        [one],
        [
          [
            `${state}: the holder`,
            s.holder(one),
            patch(one.ref, [{ op: 'add', path: '/telecom', value: telecom }]),
            ...refusal,
          ],
          [`${state}: the insurer`, s.insurer(), trait, 200],
          [
            `${state}: a feeder`,
            s.feeder('s1'),
            patch(one.ref, [{ op: 'add', path: '/identifier/-', value: local }]),
            404,
          ],
        ],
      );
    }
    await s.done(h, post(s.consent(p, 'organization-access', 'deny', { actor: s.known('s1') })));
    await s.table(
      [p],
      [
        [
          'A2: a blocked feeder',
          s.feeder('s1'),
          patch(p.ref, [{ op: 'add', path: '/contact/-', value: { name: { family: 'X' } } }]),
          403,
          'A2',
        ],
      ],
    );
  });

  it('W13: a conditional update on the INS', async () => {
    const traits = s.newTraits('1985-05-05');
    const by = (token: string, body: Resource): Promise<{ readonly status: number; readonly headers: Headers }> =>
      s.ask(token, { method: 'PUT', path: `Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|${traits.ins}`, body });
    const made = await by(s.insurer(), patientBody(traits));
    expect(made.status).toBe(201);
    const again = await by(s.insurer(), patientBody(traits));
    expect([again.status, again.headers.get('etag')]).toEqual([200, 'W/"1"']);
    const changed = await by(s.insurer(), patientBody({ ...traits, birthDate: '1985-05-06' }));
    expect([changed.status, changed.headers.get('etag')]).toEqual([200, 'W/"2"']);
    expect((await by(s.professional('dr1'), patientBody(traits))).status).toBe(403);
  });

  it('W14: the directory', async () => {
    const p = await s.person();
    const role = s.known('role s1');
    const body = practitionerBody('899700000099', 'NEUF');
    const writers: readonly (readonly [string, string])[] = [
      ['the holder', s.holder(p)],
      ['a professional', s.professional('dr1')],
      ['a feeder', s.feeder('s1')],
      ['the insurer', s.insurer()],
    ];
    await s.table(
      [p],
      writers.flatMap(([who, token]) => [
        [`${who} adds a professional`, token, post(body), 403, 'W14'] as const,
        [
          `${who} closes a structure`,
          token,
          patch(s.known('s2'), [{ op: 'replace', path: '/active', value: false }]),
          403,
          'W14',
        ] as const,
      ]),
    );
    const o = s.operator();
    await s.table(
      [p],
      [
        ['the operator adds a professional', o, post(body), 201],
        ['the same national identifier again', o, post(body), 409],
        ['a structure with the identifier of another', o, post(organizationBody('10008000001', 'DOUBLE', false)), 409],
        ['a role', o, post(practitionerRoleBody(s.known('s2'), s.known('dr2'))), 201],
        [
          'a service',
          o,
          post({ resourceType: 'HealthcareService', active: true, providedBy: { reference: s.known('s2') } }),
          201,
        ],
        [
          'a place',
          o,
          post({ resourceType: 'Location', status: 'active', managingOrganization: { reference: s.known('s2') } }),
          201,
        ],
        [
          'C6: with a token limited to a person',
          s.operator(undefined, p),
          post(practitionerBody('899700000098', 'HUIT')),
          403,
          'C6',
        ],
        [
          'C6: a change with such a token',
          s.operator(undefined, p),
          patch(role, [{ op: 'replace', path: '/active', value: false }]),
          403,
          'C6',
        ],
        [
          'a label on the directory',
          o,
          post({ ...practitionerBody('899700000097', 'SEPT'), ...security(MASKED) }),
          422,
          'L0',
        ],
        ['a professional is not deleted', o, del(s.known('dr3')), 405],
        ['a structure is not deleted', o, del(s.known('s3')), 405],
        ['taken out of service', o, patch(s.known('dr3'), [{ op: 'replace', path: '/active', value: false }]), 200],
        ['and their token is one of nobody', s.professional('dr3'), get(s.known('dr1')), 401],
        ['put into service again', o, patch(s.known('dr3'), [{ op: 'replace', path: '/active', value: true }]), 200],
      ],
    );
  });

  it('W16: care teams', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver');
    const [d1, d2] = [s.known('dr1'), s.known('dr2')];
    const team = (organization: string, members: readonly string[] = [d1]): Resource =>
      careTeamBody({ subject: p.ref, organization, members, status: 'active' });
    const own = await s.made(s.feeder('s1'), post(team(s.known('s1'), [d1, d2])));
    const funds = await s.made(s.insurer(), post(team(s.known('s1'))));
    const ends = (ref: string): Ask => s.end(ref);
    const add = (ref: string): Ask =>
      patch(ref, [{ op: 'add', path: '/participant/-', value: { member: { reference: s.known('dr3') } } }]);
    const drop = (ref: string): Ask => patch(ref, [{ op: 'remove', path: '/participant/0' }]);
    const body = await s.body(h, own);
    await s.table(
      [p],
      [
        ['a team of another structure', s.feeder('s1'), post(team(s.known('s2'))), 403, 'W16'],
        ['no structure', s.feeder('s1'), post({ ...team(s.known('s1')), managingOrganization: undefined }), 422],
        [
          'two structures',
          s.feeder('s1'),
          post({
            ...team(s.known('s1')),
            managingOrganization: [{ reference: s.known('s1') }, { reference: s.known('s2') }],
          }),
          422,
        ],
        ['an unknown structure', s.insurer(), post(team('Organization/nobody')), 422],
        ['an unknown member', s.feeder('s1'), post(team(s.known('s1'), ['Practitioner/nobody'])), 422],
        [
          'T3: a period that ends before it starts',
          s.feeder('s1'),
          post({ ...team(s.known('s1')), period: { start: '2026-07-01', end: '2026-06-01' } }),
          422,
        ],
        ['a label', s.feeder('s1'), post({ ...team(s.known('s1')), ...security(MASKED) }), 422, 'L0'],
        [
          'about nobody',
          s.feeder('s1'),
          post({ ...team(s.known('s1')), subject: { reference: 'Patient/nobody' } }),
          422,
        ],
        ['the holder makes one', h, post(team(s.known('s1'))), 403, 'W16'],
        ['a professional makes one', s.professional('dr1'), post(team(s.known('s1'))), 403, 'W16'],
        [
          'A6: in break-glass',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          post(team(s.known('s1'))),
          403,
          'A6',
        ],
        ['the operator makes one', s.operator('repair of a test'), post(team(s.known('s1'))), 403, 'W16'],
        ['the holder adds a member', h, add(own), 403, 'W16'],
        ['the holder ends it', h, ends(own), 403, 'W16'],
        ['the holder ends it and removes a member', h, put({ ...body, status: 'inactive', participant: [] }), 422],
        [
          'the holder exchanges members',
          h,
          put({ ...body, participant: [{ member: { reference: s.known('dr3') } }] }),
          403,
          'W16',
        ],
        ['W12: a caregiver removes a member', s.representative(care.related, p), drop(own), 403, 'W16'],
        ['a member adds another', s.professional('dr1'), add(own), 403, 'W16'],
        ['the structure of the insurer’s team changes it', s.feeder('s1'), add(funds), 403, 'W16'],
        ['the insurer changes that of a feeder, out of sight', s.insurer(), add(own), 404],
        ['another structure, out of sight', s.feeder('s2'), ends(own), 404],
        [
          'W10: another person',
          s.feeder('s1'),
          patch(own, [{ op: 'replace', path: '/subject/reference', value: (await s.person()).ref }]),
          422,
          'W10',
        ],
        [
          'W10: another structure',
          s.feeder('s1'),
          patch(own, [{ op: 'replace', path: '/managingOrganization/0/reference', value: s.known('s2') }]),
          422,
          'W10',
        ],
        [
          'W10: an identifier',
          s.feeder('s1'),
          patch(own, [{ op: 'add', path: '/identifier', value: [{ value: '1' }] }]),
          422,
          'W10',
        ],
        ['the holder removes a member', h, drop(own), 200],
        [
          'a legal representative removes the last',
          s.representative(legal.related, p),
          patch(own, [{ op: 'remove', path: '/participant' }]),
          200,
        ],
        [
          'the feeder adds a member',
          s.feeder('s1'),
          patch(own, [{ op: 'add', path: '/participant', value: [{ member: { reference: d2 } }] }]),
          200,
        ],
        ['the feeder ends it', s.feeder('s1'), ends(own), 200],
        ['the insurer adds a member to its own', s.insurer(), add(funds), 200],
        ['the insurer ends its own', s.insurer(), ends(funds), 200],
        ['a team is not deleted', s.feeder('s1'), del(own), 405],
      ],
    );
    const old = await s.person('legacy-dmp');
    const inOld = careTeamBody({ subject: old.ref, organization: s.known('s1'), members: [d1], status: 'active' });
    await s.table(
      [old],
      [
        ['the insurer in an old DMP', s.insurer(), post(inOld), 403, 'S1'],
        ['a feeder in an old DMP', s.feeder('s1'), post(inOld), 201],
      ],
    );
  });

  it('A3, W16: a member consults from when the team is written until they are taken out', async () => {
    const p = await s.person();
    const { document } = await s.fed(s.professional('dr1', { structure: 's3' }), s.feed(p));
    const member = (): string => s.professional('dr3');
    const reads = async (): Promise<number> => (await s.ask(member(), get(document))).status;
    expect(await reads()).toBe(404);
    const members = [s.known('dr3')];
    const body = careTeamBody({ subject: p.ref, organization: s.known('s1'), members, status: 'active' });
    const team = await s.made(s.feeder('s1'), post(body));
    expect(await reads()).toBe(200);
    await s.done(s.holder(p), patch(team, [{ op: 'remove', path: '/participant' }]));
    expect(await reads()).toBe(404);
  });

  it('W17: appointments', async () => {
    const p = await s.person();
    const other = await s.person();
    const h = s.holder(p);
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver');
    const [d1, d2] = [s.known('dr1'), s.known('dr2')];
    const [r1, r2] = [s.known('role s1'), s.known('role s2')];
    const named = await s.made(s.operator(), post(practitionerRoleBody(s.known('s3'), d1)));
    const service = await s.made(
      s.operator(),
      post({ resourceType: 'HealthcareService', providedBy: { reference: s.known('s1') } }),
    );
    const place = await s.made(
      s.operator(),
      post({ resourceType: 'Location', managingOrganization: { reference: s.known('s1') } }),
    );
    const appointment = (participants: readonly string[], labels: readonly string[] = []): Resource =>
      appointmentBody({ patient: p.ref, participants, labels });
    const dr1 = s.professional('dr1');
    await s.table(
      [p, other],
      [
        ['the holder', h, post(appointment([d1])), 201],
        ['a caregiver', s.representative(care.related, p), post(appointment([d1])), 201],
        ['a professional in person', dr1, post(appointment([d1])), 201],
        ['a professional through a role of the structure', dr1, post(appointment([r1])), 201],
        ['through a role that names them, elsewhere', dr1, post(appointment([named])), 201],
        ['through a service of the structure', dr1, post(appointment([service])), 201],
        ['through a place of the structure', s.feeder('s1'), post(appointment([place])), 201],
        ['a professional who takes no part', dr1, post(appointment([d2, r2])), 403, 'W17'],
        ['a feeder through a role', s.feeder('s1'), post(appointment([r1])), 201],
        ['a feeder whose structure takes no part', s.feeder('s1'), post(appointment([d1, r2])), 403, 'W17'],
        ['the insurer', s.insurer(), post(appointment([d1])), 403, 'W17'],
        ['the operator', s.operator('repair of a test'), post(appointment([d1])), 422],
        [
          'A6: in break-glass',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          post(appointment([d1])),
          403,
          'A6',
        ],
        ['two persons', dr1, post(appointment([d1, other.ref])), 422, 'W17'],
        [
          'no person',
          dr1,
          post({ ...appointment([d1]), participant: [{ actor: { reference: d1 }, status: 'accepted' }] }),
          422,
          'W17',
        ],
        ['an unknown participant', dr1, post(appointment([d1, 'Practitioner/nobody'])), 422],
        [
          'a person whom the caller does not see',
          dr1,
          post(appointmentBody({ patient: 'Patient/nobody', participants: [d1], labels: [] })),
          422,
        ],
        ['masked by a professional', dr1, post(appointment([d1], [MASKED])), 201],
        ['hidden from the holder', dr1, post(appointment([d1], [HIDDEN])), 201],
        ['L1: both', dr1, post(appointment([d1], [MASKED, HIDDEN])), 422, 'L1'],
        ['an unknown label', dr1, post(appointment([d1], ['MASQUE'])), 422, 'L0'],
        ['the holder sets a label', h, post(appointment([d1], [MASKED])), 422, 'W17'],
        [
          'a representative sets a label',
          s.representative(legal.related, p),
          post(appointment([d1], [CLOSED])),
          422,
          'W17',
        ],
      ],
    );
    const mine = await s.made(h, post(appointment([d1])));
    const theirs = await s.made(dr1, post(appointment([d1, d2, r2])));
    const carers = await s.made(s.representative(care.related, p), post(appointment([d1])));
    const feeders = await s.made(s.feeder('s1'), post(appointment([r1])));
    const off = (ref: string): Ask => patch(ref, [{ op: 'replace', path: '/status', value: 'cancelled' }]);
    const without = (ref: string, index: number): Ask => patch(ref, [{ op: 'remove', path: `/participant/${index}` }]);
    const structure = s.professional('works', { structure: 's1' });
    await s.table(
      [p, other],
      [
        ['a participant who did not create it', s.professional('dr2'), off(theirs), 403, 'W17'],
        ['the structure of a participant', s.professional('dr3', { structure: 's2' }), off(theirs), 403, 'W17'],
        ['the holder, what a professional created', h, off(theirs), 403, 'W17'],
        ['a professional, what the holder created', dr1, off(mine), 403, 'W17'],
        ['a legal representative, what the holder created', s.representative(legal.related, p), off(mine), 403, 'W17'],
        ['the holder, what a caregiver created', h, off(carers), 403, 'W17'],
        ['a professional of the structure, what its feeder created', structure, off(feeders), 403, 'W17'],
        ['a feeder of another structure, out of sight', s.feeder('s2'), off(feeders), 404],
        ['one who takes no part, out of sight', s.professional('works', { structure: 's3' }), off(theirs), 404],
        ['the creator leaves it', dr1, without(theirs, 1), 403, 'W17'],
        ['the person leaves it', dr1, without(theirs, 0), 422, 'W17'],
        [
          'another person',
          dr1,
          patch(theirs, [{ op: 'replace', path: '/participant/0/actor/reference', value: other.ref }]),
          422,
          'W10',
        ],
        [
          'a label',
          dr1,
          patch(theirs, [{ op: 'add', path: '/meta/security', value: [{ system: TRE_A07, code: MASKED }] }]),
          422,
          'W10',
        ],
        [
          'an identifier',
          dr1,
          patch(theirs, [{ op: 'add', path: '/identifier', value: [{ value: '1' }] }]),
          422,
          'W10',
        ],
        [
          'A6: the creator in break-glass, out of sight',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          off(theirs),
          404,
        ],
        ['the creator takes another out', dr1, without(theirs, 3), 200],
        ['the creator calls it off', dr1, off(theirs), 200],
        ['the holder calls theirs off', h, off(mine), 200],
        ['the caregiver theirs', s.representative(care.related, p), off(carers), 200],
        ['the feeder its own', s.feeder('s1'), off(feeders), 200],
        ['an appointment is not deleted', h, del(mine), 405],
        [
          'no operation on labels',
          h,
          { method: 'POST', path: `${mine}/$mask`, body: { resourceType: 'Parameters' } },
          404,
        ],
      ],
    );
    await s.done(h, post(s.consent(p, 'professional-access', 'deny', { actor: d1 })));
    await s.table(
      [p],
      [
        ['a blocked professional', dr1, post(appointment([d1])), 403, 'A2'],
        ['a blocked creator, out of sight', dr1, off(theirs), 404],
      ],
    );
    const suspended = await s.person('suspended');
    await s.table(
      [suspended],
      [
        [
          'the holder of a suspended space',
          s.holder(suspended),
          post(appointmentBody({ patient: suspended.ref, participants: [d2], labels: [] })),
          403,
          'S1',
        ],
      ],
    );
  });

  it('W21: RelatedPerson', async () => {
    const p = await s.person();
    const child = await s.person('active', '2015-03-12');
    const h = s.holder(p);
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver');
    await s.grant(p, 'dr1');
    await s.grant(p, 'dr2', 'attending-physician');
    const related = (of: Person, labels: readonly string[] = []): Resource =>
      relatedPersonBody(of.ref, 'PROCHE', labels);
    const own = await s.made(h, post(related(p)));
    const body = await s.body(h, own);
    const guardian = s.representative(legal.related, p);
    await s.table(
      [p, child],
      [
        ['the holder', h, post(related(p)), 201],
        ['a legal representative', guardian, post(related(p)), 201],
        ['W12: a caregiver', s.representative(care.related, p), post(related(p)), 403, 'W21'],
        ['a professional', s.professional('dr1'), post(related(p)), 403, 'W21'],
        ['the attending physician', s.professional('dr2'), post(related(p)), 403, 'W21'],
        ['a feeder', s.feeder('s1'), post(related(p)), 403, 'W21'],
        ['the operator', s.operator('repair of a test'), post(related(p)), 422],
        ['the insurer, an adult', s.insurer(), post(related(p)), 403, 'W21'],
        ['the insurer, a minor', s.insurer(), post(related(child)), 201],
        ['the insurer, a minor, with a label', s.insurer(), post(related(child, [MASKED])), 422, 'W4'],
        ['masked by the holder', h, post(related(p, [MASKED])), 201],
        ['closed to representatives by the holder', h, post(related(p, [CLOSED])), 201],
        ['W6: closed to representatives by one', guardian, post(related(p, [CLOSED])), 422, 'W6'],
        ['W6: hidden from the holder', h, post(related(p, [HIDDEN])), 422, 'W6'],
        ['an unknown label', h, post(related(p, ['MASQUE'])), 422, 'L0'],
        ['somebody else’s', h, post(related(child)), 422],
        ['W10: another person', h, put({ ...body, patient: { reference: child.ref } }), 422, 'W10'],
        ['W10: a label by a PUT', h, put({ ...body, ...security(MASKED) }), 422, 'W10'],
        ['W10: an identifier', h, put({ ...body, identifier: [{ value: '1' }] }), 422, 'W10'],
        ['a professional changes it', s.professional('dr1'), put({ ...body, active: false }), 403, 'W21'],
        ['the attending physician deletes it', s.professional('dr2'), del(own), 403, 'W21'],
        ['a caregiver deletes it', s.representative(care.related, p), del(own), 403, 'W21'],
        [
          'T3: a period that ends before it starts',
          h,
          put({ ...body, period: { start: '2026-02', end: '2026-01' } }),
          422,
        ],
        ['the holder changes it', h, put({ ...body, active: false }), 200],
        ['the holder deletes it', h, del(own), 204],
        ['it is gone', h, get(own), 410],
        ['and takes no write', h, put(body), 410],
        ['nor a second deletion', h, del(own), 410],
      ],
    );
    const young = await s.person('legacy-dmp', '2015-03-12');
    await s.table([young], [['the insurer, a minor’s old DMP', s.insurer(), post(related(young)), 403, 'S1']]);
    // C7: no label, even while the RelatedPerson is out of service
    await s.done(h, patch(care.related, [{ op: 'replace', path: '/active', value: false }]));
    await s.table(
      [p],
      [['a label on one whom a delegation names', h, { method: 'POST', path: `${care.related}/$mask` }, 422, 'C7']],
    );
    expect([...labelsOf(await s.body(h, care.related))]).toEqual([]);
  });

  it('W19: AuditEvents are written by the server alone', async () => {
    const p = await s.person();
    const event = (await s.done(s.operator(), get(`AuditEvent?patient=${p.id}&_count=1`))).json as Resource & {
      readonly entry: readonly { readonly resource: Resource }[];
    };
    const body = event.entry[0]?.resource as Resource;
    for (const token of [s.holder(p), s.operator('repair of a test'), s.insurer()])
      await s.table(
        [p],
        [
          ['created', token, post({ ...body, id: undefined }), 405],
          ['replaced', token, put(body), 405],
          ['patched', token, patch(`AuditEvent/${body.id}`, [{ op: 'remove', path: '/entity' }]), 405],
          ['deleted', token, del(`AuditEvent/${body.id}`), 405],
        ],
      );
  });
});

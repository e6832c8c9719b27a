/**
 * O2 and W7: what the person is told. Access sessions, emergencies (the attending physician too), documents added, changed, removed; notices about what is
 * hidden wait; the announcement clock. `docs/notices.md`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { communicationBody, type Resource } from '../support/fhir-bodies.ts';
import {
  DAY,
  del,
  entriesOf,
  get,
  HOUR,
  hide,
  mask,
  type Person,
  POLICY,
  post,
  release,
  ruleOf,
  START,
  type Stage,
  startStage,
  unmask,
} from './stage.ts';

const NOTICE = 'https://carnet.example/fhir/CodeSystem/notice';
const MINUTE = 60_000;

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage.dispose());

type Coded = { readonly coding?: readonly { readonly system?: string; readonly code?: string }[] };
const codeOf = (notice: Resource): string =>
  (notice.category as readonly Coded[]).flatMap((c) => c.coding ?? []).find((c) => c.system === NOTICE)?.code ?? '';

const FIND = 'Communication?category=notification&_sort=sent&_count=200';
const noticesFor = async (token: string): Promise<readonly Resource[]> =>
  entriesOf(await stage.done(token, get(FIND))).flatMap(({ resource }) => (resource === undefined ? [] : [resource]));
/** The codes of the notices that somebody sees, in the order of their instants, then by code. */
const told = async (token: string): Promise<readonly string[]> =>
  (await noticesFor(token))
    .map((n) => `${String(n.sent)} ${codeOf(n)}`)
    .sort()
    .map((line) => line.split(' ')[1] ?? '');
const later = (ms: number): Promise<void> => stage.setClock(stage.now() + ms);
/** The server's clock looks every two seconds for what is due. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const until = Date.now() + 15_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function treated(): Promise<{ readonly person: Person; readonly document: string; readonly binary: string }> {
  const person = await stage.person();
  await stage.grant(person, 'dr1', 'attending-physician');
  await stage.grant(person, 'dr2');
  const { document, binary } = await stage.fed(stage.feeder('s2'), stage.feed(person));
  return { person, document, binary };
}

describe('an access session of a professional', () => {
  it('is told of once, however much is read in it', async () => {
    const { person, document, binary } = await treated();
    const dr2 = stage.professional('dr2');
    await stage.done(dr2, get(document));
    await stage.done(dr2, get(binary, { accept: 'application/fhir+json' }));
    await stage.done(stage.professional('dr2'), get(`DocumentReference?patient=${person.id}`));
    expect(await told(stage.holder(person))).toEqual(['ACCES_DMP_PS', 'AJOUT_DOCUMENT']);
    await later(61 * MINUTE);
    await stage.done(stage.professional('dr2'), get(document));
    expect(await told(stage.holder(person))).toEqual(['ACCES_DMP_PS', 'AJOUT_DOCUMENT', 'ACCES_DMP_PS']);
  });

  it('is one for each professional, each structure and each batch or page', async () => {
    const { person, document } = await treated();
    await stage.done(stage.professional('dr1'), get(document));
    await stage.done(stage.professional('dr2'), get(document));
    await stage.done(stage.professional('dr2', { structure: 's2' }), get(document));
    const batch = { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: document } }] };
    await stage.done(stage.professional('dr2', { structure: 's2' }), post(batch));
    const codes = await told(stage.holder(person));
    expect(codes.filter((code) => code === 'ACCES_DMP_PS')).toHaveLength(3);
  });

  it('is not made of an identity check, a feed, a refusal or an empty look', async () => {
    const { person, document } = await treated();
    const dr3 = stage.professional('dr3');
    expect((await stage.ask(dr3, get(document))).status).toBe(404);
    expect((await stage.ask(dr3, get(`DocumentReference?patient=${person.id}`))).json?.total).toBe(0);
    await stage.done(dr3, get(person.ref));
    await stage.done(dr3, stage.feed(person));
    expect(await told(stage.holder(person))).toEqual(['AJOUT_DOCUMENT', 'AJOUT_DOCUMENT']);
  });

  it('is told of however much was read before what the reader sees', async () => {
    const person = await stage.person();
    await stage.grant(person, 'dr2');
    for (let i = 0; i <= 100; i += 1)
      await stage.fed(stage.professional('dr1'), stage.feed(person, { labels: ['INVISIBLE_PATIENT'] }));
    await later(1000);
    await stage.fed(stage.professional('dr1'), stage.feed(person));
    const all = `DocumentReference?patient=${person.id}&_sort=_lastUpdated&_count=200`;
    expect(entriesOf(await stage.done(stage.professional('dr2'), get(all)))).toHaveLength(102);
    expect(await told(stage.holder(person))).toEqual(['ACCES_DMP_PS', 'AJOUT_DOCUMENT']);
  });

  it('says nothing of health and names nobody', async () => {
    const { person, document } = await treated();
    await stage.done(stage.professional('dr2'), get(document));
    for (const notice of await noticesFor(stage.holder(person))) {
      const text = JSON.stringify(notice);
      for (const name of ['DR2', 'TEST s', '11488-4', 'a title', 'Practitioner/', 'Organization/'])
        expect(text).not.toContain(name);
      expect(text).toContain('"lang"');
    }
  });

  it('is not told of where the reader of the notice does not see the line of the register', async () => {
    const person = await stage.person();
    await stage.grant(person, 'dr2');
    const author = stage.professional('dr2');
    const hidden = await stage.fed(author, stage.feed(person, { labels: ['INVISIBLE_PATIENT'] }));
    await stage.done(author, get(hidden.document));
    expect(await told(stage.holder(person))).toEqual([]);
    // another look, at something visible, in the same session
    const plain = await stage.fed(stage.feeder('s2'), stage.feed(person));
    await stage.done(author, get(plain.document));
    expect(await told(stage.holder(person))).toEqual(['ACCES_DMP_PS', 'AJOUT_DOCUMENT']);
    // what waited is shown when the item is
    await stage.done(author, release(hidden.document, 'patient'));
    const codes = await told(stage.holder(person));
    expect(codes.filter((c) => c === 'ACCES_DMP_PS')).toHaveLength(2);
    expect(codes.filter((c) => c === 'AJOUT_DOCUMENT')).toHaveLength(2);
  });
});

describe('representatives', () => {
  it('hear of neither secret sessions nor what is hidden from them', async () => {
    const person = await stage.person('active', '2012-01-01');
    await stage.grant(person, 'dr1');
    const { related } = await stage.delegate(person, 'legal');
    const secret = stage.professional('dr1', { secret: true });
    const { document } = await stage.fed(secret, stage.feed(person));
    await stage.done(secret, get(document));
    expect(await told(stage.representative(related, person))).toEqual([]);
    expect(await told(stage.holder(person))).toEqual(['ACCES_DMP_PS', 'AJOUT_DOCUMENT']);
    await later(MINUTE);
    await stage.done(stage.professional('dr1'), get(document));
    expect(await told(stage.representative(related, person))).toEqual([]);
    const open = await stage.fed(stage.professional('dr1'), stage.feed(person));
    await stage.done(stage.professional('dr1'), get(open.document));
    expect(await told(stage.representative(related, person))).toEqual(['ACCES_DMP_PS', 'AJOUT_DOCUMENT']);
  });

  it('hear nothing of a session that read messages of a secret connection alone', async () => {
    const person = await stage.person();
    const { related } = await stage.delegate(person, 'caregiver', ['message']);
    await stage.grant(person, 'dr2');
    const [sender, recipient] = [person.ref, stage.known('dr2')];
    const message = communicationBody({ subject: person.ref, sender, recipient, text: 'x' });
    const sent = await stage.made(stage.holder(person, { secret: true }), post(message));
    await stage.done(stage.professional('dr2'), get(sent));
    expect(await told(stage.holder(person))).toEqual(['ACCES_DMP_PS']);
    expect(await told(stage.representative(related, person))).toEqual([]);
  });

  it('hear nothing of a secret session that looked at what they see', async () => {
    const person = await stage.person('active', '2012-01-01');
    await stage.grant(person, 'dr1');
    const { related } = await stage.delegate(person, 'legal');
    const { document } = await stage.fed(stage.feeder('s2'), stage.feed(person));
    await stage.done(stage.professional('dr1', { secret: true }), get(document));
    expect(await told(stage.holder(person))).toEqual(['ACCES_DMP_PS', 'AJOUT_DOCUMENT']);
    expect(await told(stage.representative(related, person))).toEqual(['AJOUT_DOCUMENT']);
  });

  it('tell the holder of what they deposit, as the holder does not tell themselves', async () => {
    const person = await stage.person();
    const { related } = await stage.delegate(person, 'caregiver', ['message']);
    await stage.fed(stage.holder(person), stage.deposit(person));
    expect(await told(stage.holder(person))).toEqual([]);
    await stage.fed(stage.representative(related, person), stage.deposit(person));
    expect(await told(stage.holder(person))).toEqual(['AJOUT_DOCUMENT']);
  });
});

describe('an emergency access', () => {
  it('is told to the person and to the attending physician, each token of its own', async () => {
    const { person, document } = await treated();
    await stage.done(stage.professional('dr3', { purpose: 'BTG', patient: person }), get(document));
    await stage.done(stage.professional('dr3', { purpose: 'BTG', patient: person }), get(document));
    await stage.done(stage.professional('dr3', { purpose: 'ETREAT', patient: person }), get(person.ref));
    const codes = await told(stage.holder(person));
    expect(codes.filter((code) => code === 'ACCES_BRIS_GLACE')).toHaveLength(3);
    const physician = await noticesFor(stage.professional('dr1'));
    expect(physician.filter((n) => (n.subject as { reference: string }).reference === person.ref)).toHaveLength(3);
    // somebody else's notices are not there, for anybody
    expect(entriesOf(await stage.done(stage.professional('dr2'), get(`${FIND}&subject=${person.ref}`)))).toEqual([]);
  });

  it('is one as long as its token lives, however short the host made a session', async () => {
    const brief = await startStage({}, { ...POLICY, accessSessionMinutes: 1 });
    try {
      const person = await brief.person();
      const { document } = await brief.fed(brief.feeder('s2'), brief.feed(person));
      const btg = brief.professional('dr3', { purpose: 'BTG', patient: person });
      for (const minutes of [0, 5, 14]) {
        await brief.setClock(START + minutes * MINUTE);
        await brief.done(btg, get(document));
      }
      const notices = entriesOf(await brief.done(brief.holder(person), get(FIND)));
      expect(notices.map(({ resource }) => (resource === undefined ? '' : codeOf(resource))).sort()).toEqual([
        'ACCES_BRIS_GLACE',
        'AJOUT_DOCUMENT',
      ]);
    } finally {
      await brief.dispose();
    }
  });

  it('is not told of when it was opposed: nothing was shown', async () => {
    const { person, document } = await treated();
    await stage.made(stage.holder(person), post(stage.consent(person, 'emergency-btg', 'deny')));
    const btg = stage.professional('dr3', { purpose: 'BTG', patient: person });
    expect((await stage.ask(btg, get(document))).status).toBe(404);
    expect(await told(stage.holder(person))).toEqual(['AJOUT_DOCUMENT']);
  });
});

describe('a document', () => {
  it('added, changed, replaced, removed: one notice each', async () => {
    const person = await stage.person();
    await stage.grant(person, 'dr1');
    const author = stage.feeder('s1');
    const first = await stage.fed(author, stage.feed(person));
    await later(MINUTE);
    await stage.done(stage.professional('dr1'), mask(first.document, true));
    await later(MINUTE);
    await stage.done(author, unmask(first.document));
    await later(MINUTE);
    const second = await stage.fed(author, stage.feed(person, { replaces: first.document }));
    await later(MINUTE);
    await stage.done(author, del(second.document));
    const codes = await told(stage.holder(person));
    expect(codes.filter((c) => !c.startsWith('ACCES'))).toEqual([
      'AJOUT_DOCUMENT',
      'MODIF_DOCUMENT',
      'MODIF_DOCUMENT',
      'MODIF_DOCUMENT',
      'SUPP_DOC',
    ]);
    const last = (await noticesFor(stage.holder(person))).at(-1);
    expect(last?.about).toEqual([{ reference: second.document }]);
  });

  it('of a refused transaction is not told of', async () => {
    const person = await stage.person();
    const feed = stage.feed(person);
    const body = feed.body as { readonly entry: readonly object[] };
    const broken = {
      ...body,
      entry: [...body.entry, { request: { method: 'DELETE', url: 'DocumentReference/never-existed' } }],
    };
    expect((await stage.ask(stage.feeder('s1'), { ...feed, body: broken as never })).status).toBe(404);
    expect(await told(stage.holder(person))).toEqual([]);
  });
});

describe('preferences', () => {
  const preference = (code: string, notify: boolean) => ({
    method: 'POST' as const,
    path: '',
    body: {
      resourceType: 'Parameters',
      parameter: [
        {
          name: 'preference',
          part: [
            { name: 'code', valueCode: code },
            { name: 'notify', valueBoolean: notify },
          ],
        },
      ],
    },
  });
  const at = (person: Person, ask: ReturnType<typeof preference>) => ({
    ...ask,
    path: `${person.ref}/$notification-preferences`,
  });

  it('switch off document notices, and nothing that must be told', async () => {
    const { person, document } = await treated();
    const holder = stage.holder(person);
    await stage.done(holder, at(person, preference('AJOUT_DOCUMENT', false)));
    await stage.fed(stage.feeder('s1'), stage.feed(person));
    expect(await told(holder)).toEqual(['AJOUT_DOCUMENT']);
    for (const code of ['ACCES_DMP_PS', 'ACCES_BRIS_GLACE', 'INVITATION_ANNONCE', 'ANYTHING']) {
      const refused = await stage.ask(holder, at(person, preference(code, false)));
      expect([refused.status, ruleOf(refused)]).toEqual([422, 'O2']);
    }
    await stage.done(holder, at(person, preference('AJOUT_DOCUMENT', true)));
    await stage.done(stage.professional('dr2'), get(document));
    await stage.fed(stage.feeder('s1'), stage.feed(person));
    expect((await told(holder)).filter((c) => c === 'AJOUT_DOCUMENT')).toHaveLength(2);
  });

  it('are the holder’s and the legal representatives’', async () => {
    const { person } = await treated();
    const legal = await stage.delegate(await stage.person('active', '2015-01-01'), 'legal');
    const { related } = await stage.delegate(person, 'caregiver', ['message']);
    const path = `${person.ref}/$notification-preferences`;
    const statuses = await Promise.all(
      [
        stage.holder(person),
        stage.representative(related, person),
        stage.representative(legal.related, person),
        stage.professional('dr1'),
        stage.insurer(),
        stage.operator(),
        stage.holder(person, { scope: 'patient/DocumentReference.rs' }),
      ].map(async (token) => (await stage.ask(token, get(path))).status),
    );
    expect(statuses).toEqual([200, 403, 404, 403, 403, 404, 403]);
    expect((await stage.ask(stage.holder(person), get('Patient/never/$notification-preferences'))).status).toBe(404);
    await stage.toState(person, 'closed');
    const sealed = await stage.ask(stage.holder(person), get(path));
    const nothing = await stage.ask(stage.holder(person), get('Patient/never/$notification-preferences'));
    expect([sealed.status, sealed.text]).toEqual([404, nothing.text]);
  });
});

describe('the announcement clock (W7)', () => {
  it('invites after two weeks and shows after a month, once, also when the server was down in between', async () => {
    const person = await stage.person();
    await stage.grant(person, 'dr1');
    const author = stage.professional('dr1');
    const { document } = await stage.fed(author, stage.feed(person, { labels: ['INVISIBLE_PATIENT'] }));
    const filed = stage.now();
    expect(await told(stage.holder(person))).toEqual([]);
    await stage.setClock(filed + 14 * DAY - MINUTE);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(await told(stage.holder(person))).toEqual([]);
    await stage.setClock(filed + 14 * DAY);
    await eventually(async () => expect(await told(stage.holder(person))).toEqual(['INVITATION_ANNONCE']));
    const [invitation] = await noticesFor(stage.holder(person));
    expect(JSON.stringify(invitation)).not.toContain('DocumentReference');
    expect((await stage.ask(stage.holder(person), get(document))).status).toBe(404);

    await stage.server.stop();
    await stage.setClock(filed + 31 * DAY);
    await stage.server.restart();
    await eventually(async () =>
      expect(await told(stage.holder(person))).toEqual([
        'AJOUT_DOCUMENT',
        'INVITATION_ANNONCE',
        'REMISE_VISIBILITE_AUTO',
      ]),
    );
    const shown = await stage.body(stage.holder(person), document);
    expect(JSON.stringify(shown.securityLabel)).not.toContain('INVISIBLE_PATIENT');
    expect(shown.meta).toMatchObject({ versionId: '2' });
    // the act is the server's, in the register
    const events = await stage.done(stage.holder(person), get(`AuditEvent?entity=${document}&action=U`));
    expect(JSON.stringify(entriesOf(events))).toContain('"W7"');
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(await told(stage.holder(person))).toHaveLength(3);
    expect(await stage.versionsOf(stage.holder(person), document)).toBe(2);
  });

  it('invites at once for what was hidden late, and nobody for what was shown in time', async () => {
    const person = await stage.person();
    await stage.grant(person, 'dr1');
    const author = stage.professional('dr1');
    const late = await stage.fed(author, stage.feed(person));
    const released = await stage.fed(author, stage.feed(person, { labels: ['INVISIBLE_PATIENT'] }));
    await later(15 * DAY - HOUR - 14 * DAY);
    await stage.done(stage.professional('dr1'), release(released.document, 'patient'));
    await later(19 * DAY);
    await stage.done(stage.professional('dr1'), hide(late.document, 'patient'));
    // a restart looks at everything pending; a running server does so every ten minutes
    await stage.server.stop();
    await stage.server.restart();
    await eventually(async () => {
      const codes = await told(stage.holder(person));
      expect(codes.filter((c) => c === 'INVITATION_ANNONCE')).toHaveLength(1);
    });
  });

  it('leaves a sealed space alone', async () => {
    const person = await stage.person();
    await stage.grant(person, 'dr1');
    await stage.fed(stage.professional('dr1'), stage.feed(person, { labels: ['INVISIBLE_PATIENT'] }));
    await stage.toState(person, 'closed');
    await later(40 * DAY);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await stage.toState(person, 'active');
    expect(await told(stage.holder(person))).toEqual(['AJOUT_DOCUMENT']);
    expect(stage.now()).toBeGreaterThan(START);
  });
});

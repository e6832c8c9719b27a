/** An explanation tells its reader no more than they could read of themselves: neither items out of their sight (D8) nor rights (D7). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serverExists } from '../support/server.ts';
import {
  type Ask,
  DAY,
  del,
  entriesOf,
  get,
  HOUR,
  hide,
  mask,
  operation,
  type Person,
  post,
  put,
  type Stage,
  startStage,
} from './stage.ts';

describe.skipIf(!serverExists())('$explain of an access', () => {
  let s: Stage;
  let p: Person;
  beforeAll(async () => {
    s = await startStage();
    p = await s.person();
    await s.grant(p, 'dr2');
  });
  afterAll(() => s.dispose());

  /** The last event of what somebody did. */
  const lastBy = async (reader: string, who: string): Promise<string> => {
    const path = `AuditEvent?patient=${p.ref}&agent=${who}&_sort=-_lastUpdated&_count=1`;
    return String(entriesOf(await s.done(reader, get(path)))[0]?.resource?.id);
  };

  it('names to the holder none of the items that are hidden from them', async () => {
    const { document: shown } = await s.fed(s.professional('dr1'), s.feed(p));
    const { document: hidden } = await s.fed(s.professional('dr1'), s.feed(p, { labels: ['INVISIBLE_PATIENT'] }));
    const reader = () => s.professional('dr2', { structure: 's2' });
    const listed = await s.done(reader(), get(`DocumentReference?patient=${p.ref}`));
    expect(listed.text).toContain(hidden.split('/')[1]);
    const event = await lastBy(s.holder(p), s.known('dr2'));
    const { text } = await s.done(s.holder(p), get(`AuditEvent/${event}/$explain`));
    expect(text).toContain(shown);
    expect(text).not.toContain(hidden);
    // nor does the event itself, read, found, or read to the one who looked once the item is out of their sight
    const seen = async (reader: string) => [
      (await s.done(reader, get(`AuditEvent/${event}`))).text,
      (await s.done(reader, get(`AuditEvent?patient=${p.ref}&_id=${event}`))).text,
    ];
    for (const body of await seen(s.holder(p))) {
      expect(body).toContain(shown);
      expect(body).not.toContain(hidden);
    }
    for (const body of await seen(reader())) expect(body).toContain(shown);
    await s.done(s.holder(p), operation(shown, '$mask'));
    for (const body of await seen(reader())) {
      expect(body).toContain(hidden);
      expect(body).not.toContain(shown);
    }
  });

  it('names to a representative nobody who is known by what is secret alone', async () => {
    const person = await s.person();
    const { document } = await s.fed(s.professional('dr1'), s.feed(person));
    const { related } = await s.delegate(person, 'legal');
    await s.made(s.holder(person), post(s.consent(person, 'organization-access', 'permit', { actor: s.known('s2') })));
    await s.done(s.professional('dr3', { structure: 's2', secret: true }), get(document));
    const told = async (reader: string) => (await s.done(reader, get(`${document}/$who-can-see`))).text;
    expect(await told(s.holder(person))).toContain(s.known('dr3'));
    const toRepresentative = await told(s.representative(related, person));
    expect(toRepresentative).toContain(s.known('dr1'));
    expect(toRepresentative).not.toContain(s.known('dr3'));
  });

  it('names to a professional none of the rights that are not theirs to read', async () => {
    const { document } = await s.fed(s.professional('dr2'), s.feed(p, { author: s.known('dr2') }));
    await s.made(s.holder(p), post(s.consent(p, 'document-default', 'deny')));
    await s.setClock(s.now() + 1000);
    await s.done(s.professional('dr2'), get(document));
    const event = await lastBy(s.professional('dr2'), s.known('dr2'));
    const explained = `AuditEvent/${event}/$explain`;
    expect((await s.done(s.holder(p), get(explained))).text).toContain('document-default');
    const { text } = await s.done(s.professional('dr2'), get(explained));
    expect(text).toContain('professional-access');
    expect(text).not.toContain('document-default');
  });
});

type Part = {
  readonly name: string;
  readonly part?: readonly Part[];
  readonly valueCode?: string;
  readonly valueString?: string;
};
const partsOf = (answer: { readonly json: unknown }): readonly Part[] =>
  ((answer.json as { readonly parameter?: readonly Part[] } | undefined)?.parameter ?? []) as readonly Part[];
const inFrench = (parts: readonly Part[] | undefined): string | undefined =>
  parts?.find((p) => p.name === 'sentence')?.part?.find((p) => p.name === 'fr')?.valueString;
const codeIn = (parts: readonly Part[] | undefined, name: string): string | undefined =>
  parts?.find((p) => p.name === name)?.valueCode;

type Register = {
  readonly rights: readonly {
    readonly kind: string;
    readonly origin: string;
    readonly since?: string;
    readonly until?: string;
    readonly inForce: boolean;
    readonly accesses?: number;
  }[];
  readonly visits: readonly { readonly actor?: { readonly reference?: string; readonly name?: string } }[];
};

describe.skipIf(!serverExists())('what is told', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await startStage();
  });
  afterAll(() => s.dispose());

  const explained = async (reader: string, p: Person, who: string, more = ''): Promise<readonly Part[]> => {
    const path = `AuditEvent?patient=${p.ref}&agent=${who}&_sort=-_lastUpdated&_count=1${more}`;
    const id = entriesOf(await s.done(reader, get(path)))[0]?.resource?.id;
    return partsOf(await s.done(reader, get(`AuditEvent/${id}/$explain`)));
  };
  const register = async (p: Person, query = ''): Promise<Register> =>
    (await s.done(s.holder(p), get(`${p.ref}/$access-register?view=page${query}`))).json as unknown as Register;

  it('of one’s own access: that the space is one’s own, not a profession or an authorisation', async () => {
    const p = await s.person();
    await s.grant(p, 'dr2', 'attending-physician');
    const { related } = await s.delegate(p, 'caregiver');
    const { document, binary } = await s.fed(s.professional('dr1'), s.feed(p));
    await s.done(s.holder(p), get(document));
    const own = `&entity=${document}&action=R`;
    expect(inFrench(await explained(s.holder(p), p, p.ref, own))).toBe(
      'À ce moment : Il s’agit de votre propre espace.',
    );
    expect(inFrench(await explained(s.professional('dr2'), p, p.ref, own))).toBe(
      'À ce moment : La personne consulte son propre espace.',
    );
    await s.done(s.representative(related, p), get(binary));
    expect(inFrench(await explained(s.holder(p), p, related, `&entity=${binary}`))).toBe(
      'À ce moment : Cette personne vous représente.',
    );
    const seen = partsOf(await s.done(s.holder(p), get(`${binary}/$who-can-see`)));
    const told = seen.filter((one) => one.name === 'actor').map((one) => one.part?.find((a) => a.name === 'access'));
    const allowed = told.filter((access) => codeIn(access?.part, 'decision') === 'permit');
    expect(allowed.map((access) => inFrench(access?.part)).sort()).toEqual([
      'Cette personne vous représente.',
      'C’est votre médecin traitant.',
    ]);
  });

  it('of one’s own refused act: to the holder as to the holder', async () => {
    const p = await s.person();
    await s.grant(p, 'dr2', 'attending-physician');
    const refused = s.consent(p, 'attending-physician', 'permit', { actor: s.known('dr1') });
    expect((await s.ask(s.holder(p), post(refused))).status).toBe(403);
    expect(inFrench(await explained(s.holder(p), p, p.ref, '&outcome=4'))).toBe(
      'À ce moment : Vous ne pouvez pas faire cette déclaration.',
    );
    expect(inFrench(await explained(s.professional('dr2'), p, p.ref, '&outcome=4'))).toBe(
      'À ce moment : La personne ne peut pas faire cette déclaration.',
    );
  });

  it('of an item that was deleted since: that nobody reads it now', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const { document } = await s.fed(s.professional('dr1'), s.feed(p));
    await s.done(s.professional('dr1'), get(document));
    await s.done(s.professional('dr1'), del(document));
    expect((await s.ask(s.professional('dr1'), get(document))).status).toBe(410);
    const told = await explained(s.holder(p), p, s.known('dr1'), `&entity=${document}&action=R`);
    const now = told.find((one) => one.name === 'now')?.part;
    expect([codeIn(now, 'decision'), inFrench(now)]).toEqual(['deny', 'Cet élément a été supprimé depuis.']);
  });

  it('of a right whose period was changed: when it stood, and who said so', async () => {
    const p = await s.person();
    const from = s.now();
    const permit = s.consent(p, 'professional-access', 'permit', {
      actor: s.known('dr1'),
      period: { end: new Date(from + 100 * DAY).toISOString() },
    });
    const ref = await s.made(s.holder(p), post(permit));
    const { document } = await s.fed(s.professional('dr1'), s.feed(p));
    await s.setClock(from + 10 * DAY);
    await s.done(s.professional('dr1'), get(document));
    await s.setClock(from + 20 * DAY);
    const id = ref.replace('Consent/', '');
    const until = (at: number): Ask => {
      const period = { end: new Date(at).toISOString() };
      return put({ ...permit, id, provision: { ...(permit['provision'] as object), period } });
    };
    // Shortened into the past: it ends when that was written, and the access before stays one under it.
    await s.done(s.holder(p), until(from + 5 * DAY));
    const shortened = (await register(p)).rights.filter((r) => r.kind === 'professional-access');
    expect(shortened).toMatchObject([
      { inForce: false, until: new Date(from + 20 * DAY).toISOString(), accesses: 2, origin: 'given' },
    ]);
    // Opened again: the days between are not its own.
    await s.setClock(from + 30 * DAY);
    await s.done(s.holder(p), until(from + 100 * DAY));
    // A professional who writes over it has declared it.
    await s.setClock(from + 40 * DAY);
    const declared = s.consent(p, 'professional-access', 'permit', { actor: s.known('dr1'), declared: true, id });
    await s.done(s.professional('dr1'), put(declared));
    const rights = (await register(p)).rights.filter((r) => r.kind === 'professional-access');
    expect(rights.map((r) => [r.origin, r.since, r.until])).toEqual([
      ['declared', new Date(from + 40 * DAY).toISOString(), undefined],
      ['given', new Date(from + 30 * DAY).toISOString(), new Date(from + 40 * DAY).toISOString()],
      ['given', new Date(from).toISOString(), new Date(from + 20 * DAY).toISOString()],
    ]);
  });

  it('of an act of the host: by whom', async () => {
    const p = await s.person();
    await s.setClock(s.now() + HOUR);
    const repair = s.stateConsent(p.ref, 'active', { id: p.space });
    await s.done(s.operator('the state was lost'), put(repair));
    const { visits } = await register(p, `&start=${new Date(s.now()).toISOString()}`);
    expect(visits.every(({ actor }) => (actor?.reference ?? actor?.name) !== undefined)).toBe(true);
    expect(visits.filter(({ actor }) => actor?.reference === undefined)).toHaveLength(1);
  });

  it('by POST as by GET; a page for people is no entry of a Bundle', async () => {
    const p = await s.person();
    const day = new Date(s.now()).toISOString().slice(0, 10);
    const asked = (parameter: readonly object[], query = ''): Ask => ({
      method: 'POST',
      path: `${p.ref}/$access-register${query}`,
      body: { resourceType: 'Parameters', parameter },
    });
    const whole = [
      { name: 'start', valueDate: day },
      { name: 'end', valueDate: day },
      { name: 'view', valueCode: 'page' },
      { name: '_count', valueInteger: 1 },
    ];
    const posted = (await s.done(s.holder(p), asked(whole))).json as unknown as Register & { readonly next: string };
    expect(posted.visits).toHaveLength(1);
    expect(posted.next).toContain(`start=${day}&end=${day}&view=page&_count=1&_cursor=`);
    expect((await s.ask(s.holder(p), get(posted.next))).status).toBe(200);
    expect((await s.ask(s.holder(p), asked([{ name: 'start', valueString: day }]))).status).toBe(400);
    expect((await s.ask(s.holder(p), asked([{ name: 'start', valueDate: day }], `?start=${day}`))).status).toBe(400);
    const url = `${p.ref}/$access-register`;
    const entry = [
      { request: { method: 'GET', url: `${url}?view=page` } },
      { request: { method: 'POST', url }, resource: { resourceType: 'Parameters', parameter: whole } },
      { request: { method: 'GET', url } },
    ];
    const batch = await s.done(s.holder(p), post({ resourceType: 'Bundle', type: 'batch', entry }));
    expect(entriesOf(batch).map((one) => one.response?.status)).toEqual(['400', '400', '200 OK']);
  });

  it('of codes that are not among those known: a refusal', async () => {
    const p = await s.person();
    const { document } = await s.fed(s.holder(p), s.deposit(p));
    const drafted = (label: string): Ask => ({
      method: 'POST',
      path: 'Consent/$evaluate',
      body: {
        resourceType: 'Parameters',
        parameter: [
          { name: 'item', valueReference: { reference: document } },
          { name: 'label', valueCode: label },
        ],
      },
    });
    for (const code of ['constructor', 'toString', '__proto__', 'masks']) {
      expect((await s.ask(s.holder(p), drafted(code))).status).toBe(400);
      for (const name of ['from', 'to']) {
        const ask = operation(document, name === 'from' ? '$hide' : '$release', { name, valueCode: code });
        expect((await s.ask(s.holder(p), ask)).status).toBe(400);
      }
    }
    expect((await s.ask(s.holder(p), mask(document))).status).toBe(200);
    expect((await s.ask(s.holder(p), hide(document, 'representatives'))).status).toBe(200);
  });
});

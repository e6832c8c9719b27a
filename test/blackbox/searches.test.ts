/** Searches over HTTP, where a permission could be lost on the way: cursors, compartments, includes, scopes, and how a person may be looked for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serverExists } from '../support/server.ts';
import { ON_MONGODB } from '../support/store-setting.ts';
import type { Answer } from '../support/world.ts';
import { del, entriesOf, get, mask, type Person, post, put, ruleOf, type Stage, startStage } from './stage.ts';

const QUARTER = 15 * 60_000;

type Event = {
  readonly entity?: readonly { readonly what?: { readonly reference?: string } }[];
};

describe.skipIf(!serverExists())('searches', () => {
  let s: Stage;
  let ann: Person;
  let ben: Person;
  const documents = new Map<Person, string>();
  beforeAll(async () => {
    s = await startStage();
    ann = await s.person();
    ben = await s.person();
    for (const one of [ann, ben]) {
      await s.grant(one, 'dr1');
      documents.set(one, (await s.fed(s.professional('dr1'), s.feed(one))).document);
    }
  });
  afterAll(() => s.dispose());

  const found = async (token: string, path: string): Promise<readonly string[]> =>
    entriesOf(await s.done(token, get(path))).map(
      ({ resource }) => `${resource?.resourceType}/${String(resource?.id)}`,
    );
  const status = async (token: string, path: string): Promise<number> => (await s.ask(token, get(path))).status;

  describe('a cursor', () => {
    const nextOf = async (token: string, path: string): Promise<string> => {
      const { json } = await s.done(token, get(path));
      const links = (json?.link ?? []) as readonly { readonly relation: string; readonly url: string }[];
      return links.find((link) => link.relation === 'next')?.url.slice(s.base.length + 1) ?? '';
    };

    it('goes on where the page ended, for who was given it and for the same question', async () => {
      const dr1 = s.professional('dr1');
      const next = await nextOf(dr1, 'Organization?_count=2');
      const cursor = /_cursor=[^&]+/.exec(next)?.[0] ?? '';
      expect(await status(dr1, next)).toBe(200);
      const refused: readonly (readonly [token: string, path: string])[] = [
        [s.professional('dr2'), next],
        [s.professional('dr1', { structure: 's2' }), next],
        [s.professional('dr1', { patient: ann }), next],
        [s.holder(ann), next],
        [dr1, `Organization?_count=3&${cursor}`],
        [dr1, `Organization?_count=2&name=TEST&${cursor}`],
        [dr1, `Practitioner?_count=2&${cursor}`],
      ];
      for (const [token, path] of refused) expect(await status(token, path), path).toBe(400);
    });

    it('goes on by POST too, where the parameters are more than an address holds', async () => {
      const some = Array.from({ length: 300 }, (_, i) => `not-there-at-all-nor-anywhere-else-${i}`);
      const form = `_count=1&_id=${[...documents.values()].map((ref) => ref.split('/')[1]).join(',')},${some.join(',')}`;
      const page = async (body: string): Promise<Answer['json']> => {
        const headers = {
          authorization: `Bearer ${s.professional('dr1')}`,
          'content-type': 'application/x-www-form-urlencoded',
        };
        const answer = await fetch(`${s.base}/DocumentReference/_search`, { method: 'POST', headers, body });
        return (await answer.json()) as Answer['json'];
      };
      const first = await page(form);
      const cursor = /_cursor=[A-Za-z0-9_-]+/.exec(JSON.stringify(first?.link))?.[0];
      const both = [first, await page(`${form}&${cursor}`)].map(
        (json) => entriesOf({ json } as Answer)[0]?.resource?.id,
      );
      expect(both.toSorted()).toEqual([...documents.values()].map((ref) => ref.split('/')[1]).toSorted());
    });

    it('is short enough to follow, however long what the page is ordered by', async () => {
      const dora = await s.person();
      await s.grant(dora, 'dr1');
      const made: string[] = [];
      for (const letter of ['b', 'a']) {
        const description = `${letter} is long. `.repeat(500);
        made.unshift((await s.fed(s.professional('dr1'), s.feed(dora, { more: { description } }))).document);
      }
      const dr1 = s.professional('dr1');
      const path = `DocumentReference?patient=${dora.ref}&_sort=description&_count=1`;
      expect([...(await found(dr1, path)), ...(await found(dr1, await nextOf(dr1, path)))]).toEqual(made);
    });

    it('is good for a quarter of an hour', async () => {
      const next = await nextOf(s.professional('dr1'), 'Organization?_count=2');
      const made = s.now();
      await s.setClock(made + QUARTER);
      expect(await status(s.professional('dr1'), next)).toBe(200);
      await s.setClock(made + QUARTER + 1000);
      expect(await status(s.professional('dr1'), next)).toBe(400);
    });

    it('is no permission: the next page is decided anew', async () => {
      await s.fed(s.professional('dr1'), s.feed(ann));
      const permit = await s.grant(ann, 'dr3');
      // Not of the structure that filed them: an author goes on reading the descriptions (D1a).
      const reader = s.professional('dr3', { structure: 's2' });
      const next = await nextOf(reader, `DocumentReference?patient=${ann.ref}&_count=1`);
      expect(await found(reader, next)).toHaveLength(1);
      await s.done(s.holder(ann), s.end(permit));
      expect(await found(reader, next)).toEqual([]);
    });
  });

  it('in a compartment: what is that person’s, for who sees them', async () => {
    const dr1 = s.professional('dr1');
    const ofAnn = await found(dr1, `${ann.ref}/DocumentReference`);
    expect(ofAnn).toContain(documents.get(ann));
    expect(ofAnn).not.toContain(documents.get(ben));
    const everything = await found(dr1, `${ben.ref}/$everything`);
    expect(everything).toContain(documents.get(ben));
    expect(everything).not.toContain(documents.get(ann));
    expect(everything).not.toContain(ann.ref);
    const hidden = await s.person('closed');
    expect(await status(dr1, `${hidden.ref}/DocumentReference`)).toBe(404);
    expect(await status(dr1, 'Patient/never-existed/DocumentReference')).toBe(404);
  });

  it('with an include: nothing of a type that no scope covers, and what is added is recorded', async () => {
    const path = `DocumentReference?_id=${documents.get(ann)?.split('/')[1]}&_include=DocumentReference:patient`;
    expect(await found(s.professional('dr1', { scope: 'user/DocumentReference.rs' }), path)).toEqual([
      documents.get(ann),
    ]);
    const register = async (): Promise<readonly Event[]> =>
      entriesOf(await s.done(s.operator(), get('AuditEvent?_count=200'))).map((e) => e.resource as unknown as Event);
    const before = (await register()).length;
    expect(await found(s.holder(ann), `${path}&_include=DocumentReference:author`)).toContain(s.known('dr1'));
    const named = (await register())
      .flatMap((event) => event.entity ?? [])
      .filter((entity) => entity.what?.reference === s.known('dr1'));
    expect((await register()).length).toBeGreaterThan(before);
    expect(named.length).toBeGreaterThan(0);
  });

  it('with an include: nothing that the reader does not see, whichever way the reference goes', async () => {
    const dr1 = s.professional('dr1');
    const appending = async (target: string): Promise<string> =>
      (await s.fed(dr1, s.feed(ben, { more: { relatesTo: [{ code: 'appends', target: { reference: target } }] } })))
        .document;
    const [masked, plain] = [(await s.fed(dr1, s.feed(ben))).document, (await s.fed(dr1, s.feed(ben))).document];
    const [ofMasked, ofPlain] = [await appending(masked), await appending(plain)];
    for (const hidden of [masked, ofPlain]) await s.done(s.holder(ben), mask(hidden));
    await s.grant(ben, 'dr3');
    const reader = s.professional('dr3', { structure: 's2' });
    const including = `DocumentReference?_id=${ofMasked.split('/')[1]}&_include=DocumentReference:relatesto`;
    expect(await found(reader, including)).toEqual([ofMasked]);
    expect(await found(dr1, including)).toEqual([ofMasked, masked]);
    const back = `DocumentReference?_id=${plain.split('/')[1]}&_revinclude=DocumentReference:relatesto`;
    expect(await found(reader, back)).toEqual([plain]);
    expect(await found(dr1, back)).toEqual([plain, ofPlain]);
  });

  describe('of persons (D9)', () => {
    const { ins, family } = { ins: 'urn:oid:1.2.250.1.213.1.4.10', family: 'ESSAI' };

    it('by exact INS with its system, or by id', async () => {
      const dr1 = s.professional('dr1');
      for (const path of [
        'Patient',
        `Patient?identifier=${ann.traits.ins}`,
        `Patient?identifier=|${ann.traits.ins}`,
        `Patient?identifier=${ins}|`,
        `Patient?identifier=https://example.org/local|${ann.traits.ins}`,
        `Patient?family=${family}`,
        `Patient?family=${family}&birthdate=1979-03-28`,
      ])
        expect(await status(dr1, path), path).toBe(403);
      expect(await found(dr1, `Patient?_id=${ann.id}`)).toEqual([ann.ref]);
    });

    it('by traits with centre 15, each a value and not a pattern', async () => {
      const centre = s.professional('dr3', { purpose: 'ETREAT' });
      for (const path of [
        `Patient?family=${family}`,
        'Patient?birthdate=1979-03-28',
        `Patient?family=${family}&birthdate=1979`,
        `Patient?family=${family}&birthdate=1979-03`,
        `Patient?family=${family}&birthdate=ge1900-01-01`,
        `Patient?family:contains=S&birthdate=1979-03-28`,
        `Patient?family=A,E,${family}&birthdate=1979-03-28`,
        `Patient?family=${family}&birthdate=1979-03-27,1979-03-28`,
      ])
        expect(await status(centre, path), path).toBe(403);
      expect(await found(centre, `Patient?family=${family}&birthdate=1979-03-28`)).toContain(ann.ref);
      expect(await status(centre, `${ann.ref}`)).toBe(404);
      expect(await status(centre, 'DocumentReference')).toBe(403);
      const searching = s.professional('dr3', { purpose: 'ETREAT', scope: 'user/Patient.s' });
      expect(await found(searching, `Patient?family=${family}&birthdate=1979-03-28`)).toContain(ann.ref);
      expect(await status(searching, `${ann.ref}/$everything`)).toBe(404);
    });

    it('never backwards, from the professional or the structure that they name', async () => {
      const { ref } = await s.person();
      const registered = await s.body(s.insurer(), ref);
      const treated = { ...registered, generalPractitioner: [{ reference: s.known('dr2') }] };
      await s.done(s.insurer(), put(treated as typeof registered));
      const doctor = s.known('dr2').split('/')[1];
      const backwards = [
        `Practitioner?_id=${doctor}&_has:Patient:general-practitioner:family=${family}`,
        `Practitioner?_id=${doctor}&_revinclude=Patient:general-practitioner`,
        `DocumentReference?_include=DocumentReference:author&_revinclude:iterate=Patient:general-practitioner`,
        `DocumentReference?author:Practitioner._has:Patient:general-practitioner:family=${family}`,
      ];
      for (const token of [s.professional('dr1'), s.feeder('s1'), s.professional('dr3', { patient: ann })])
        for (const path of backwards) {
          const answer = await s.ask(token, get(path));
          expect([path, answer.status, ruleOf(answer)]).toEqual([path, 403, 'D9']);
        }
      const condition = post({ resourceType: 'DocumentReference' }, { 'if-none-exist': backwards[3] ?? '' });
      expect((await s.ask(s.professional('dr1'), condition)).status).toBe(403);
      // Who sees one person asks what they like: nobody else comes of it.
      const own = `Practitioner?_id=${doctor}&_revinclude=Patient:general-practitioner`;
      expect(await found(s.holder(ann), own)).toEqual([s.known('dr2')]);
    });
  });

  it('narrowed by a scope: what of its constraint cannot be read grants nothing', async () => {
    const scoped = (scope: string): string => s.professional('dr1', { scope });
    const path = `DocumentReference?patient=${ann.ref}`;
    expect(await found(scoped('user/DocumentReference.rs?type=11488-4'), path)).toContain(documents.get(ann));
    expect(await found(scoped('user/DocumentReference.rs?type=34112-3'), path)).toEqual([]);
    for (const constraint of ['nonsense=x', 'date=not-a-date', '_sort=date', 'type=11488-4&nonsense=x'])
      expect(await status(scoped(`user/DocumentReference.rs?${constraint}`), path), constraint).toBe(403);
    // Which events name an item is told to who sees the item, and a constraint looks at no other resource.
    expect(await status(scoped(`user/AuditEvent.rs?entity=${documents.get(ann)}`), 'AuditEvent')).toBe(403);
  });

  it('as a condition: only with a scope that lets the token search', async () => {
    const without = s.professional('dr1', { scope: 'user/DocumentReference.cud user/Binary.c' });
    const condition = `DocumentReference?_id=${documents.get(ann)?.split('/')[1]}`;
    const { status: deleted } = await s.ask(without, del(condition));
    expect(deleted).toBe(403);
    const create = post({ resourceType: 'DocumentReference' }, { 'if-none-exist': condition });
    expect((await s.ask(without, create)).status).toBe(403);
  });

  it('as a condition: what it steps to needs a scope too', async () => {
    const born = `_id=${documents.get(ann)?.split('/')[1]}&patient.birthdate=1979-03-28`;
    const create = post({ resourceType: 'DocumentReference' }, { 'if-none-exist': born });
    const only = 'user/DocumentReference.crus user/Binary.c';
    expect((await s.ask(s.professional('dr1', { scope: `${only} user/Patient.s` }), create)).status).toBe(200);
    expect((await s.ask(s.professional('dr1', { scope: only }), create)).status).toBe(422);
  });

  describe('leave a record with the person', () => {
    /** How many searches of the professional their register has. */
    const searchesOf = async (person: Person): Promise<number> => {
      const path = `AuditEvent?patient=${person.ref}&action=E&agent=${s.known('dr1')}&_summary=count`;
      return Number((await s.done(s.operator(), get(path))).json?.total);
    };

    it('whom they name, however they do, and whatever comes of it', async () => {
      const dr1 = s.professional('dr1');
      const carl = await s.person();
      for (const path of [
        `DocumentReference?subject=${carl.id}&_summary=count`,
        `DocumentReference?patient._id=${carl.id}&_summary=count`,
        `Patient?_id=${carl.id}&_has:Condition:patient:code=B24`,
        `Practitioner?_has:DocumentReference:author:patient=${carl.ref}`,
        `Practitioner?_has:DocumentReference:author:patient.identifier=urn:oid:1.2.250.1.213.1.4.10|${carl.traits.ins}`,
      ]) {
        const before = await searchesOf(carl);
        await s.done(dr1, get(path));
        expect([path, (await searchesOf(carl)) - before]).toEqual([path, 1]);
      }
    });

    it('whose items they count', async () => {
      const id = documents.get(ben)?.split('/')[1];
      const before = await searchesOf(ben);
      const { json } = await s.done(s.professional('dr1'), get(`DocumentReference?_id=${id}&_summary=count`));
      expect([json?.total, json?.entry, json?.link]).toMatchObject([1, undefined, [{ relation: 'self' }]]);
      expect((await searchesOf(ben)) - before).toBe(1);
    });

    it('but for the statistics of a backend: a count of more than a page is about nobody', async () => {
      const events = async (): Promise<number> =>
        Number((await s.done(s.operator(), get('AuditEvent?_summary=count'))).json?.total);
      const counting = get('Consent?_summary=count');
      const spaces = Number((await s.done(s.operator(), counting)).json?.total);
      const before = await events();
      await s.done(s.operator(), counting);
      // Beside one for the first look at the register.
      expect((await events()) - before).toBe(1 + spaces);
      for (let missing = 201 - spaces; missing > 0; missing -= 20)
        await Promise.all(Array.from({ length: Math.min(missing, 20) }, () => s.person()));
      const later = await events();
      expect((await s.done(s.operator(), counting)).json?.total).toBe(201);
      expect((await events()) - later).toBe(2);
    });

    it('so that one search names so many persons and no more', async () => {
      const many = Array.from({ length: 201 }, (_, i) => `p${i}`).join(',');
      expect(await status(s.professional('dr1'), `Patient?_id=${many}`)).toBe(400);
    });
  });

  describe('that ask for much', () => {
    const many = (length: number, of: (i: number) => string, by = '&'): string =>
      Array.from({ length }, (_, i) => of(i)).join(by);

    it('are answered as long as that can be borne', async () => {
      const path = `AuditEvent?entity=${many(300, (i) => `DocumentReference/d${i}`, ',')},${documents.get(ann)}`;
      expect((await found(s.professional('dr1'), path)).length).toBeGreaterThan(0);
    });

    it('or refused', async () => {
      const hostile = [
        `DocumentReference?${many(50, () => '_has:AuditEvent:entity:action=R')}`,
        `DocumentReference?${many(101, (i) => `_has:List:item:title=a${i}`)}`,
        `DocumentReference?${many(21, (i) => `_revinclude:iterate=${['List:item', 'List:subject'][i % 2]}:${i % 2 ? 'Patient' : 'DocumentReference'}`)}`,
        `AuditEvent?entity=${many(90, (i) => `AuditEvent/e${i}/_history/1`, ',')}`,
      ];
      const statuses = [];
      for (const path of hostile) statuses.push(await status(s.professional('dr1'), path));
      // The last is more than a statement of SQLite takes.
      expect(statuses).toEqual([400, 400, 200, ON_MONGODB ? 200 : 400]);
    });
  });

  it('show the elements that are asked for, with or without their type', async () => {
    const path = `DocumentReference?_id=${documents.get(ann)?.split('/')[1]}&_elements=DocumentReference.date,type`;
    const [entry] = entriesOf(await s.done(s.professional('dr1'), get(path)));
    expect(entry?.resource).toMatchObject({ date: expect.any(String), type: expect.anything() });
    expect(entry?.resource).not.toHaveProperty('description');
  });

  it('of everything: what a Parameters asks is as good as an address', async () => {
    const asks = (...parameter: readonly object[]) =>
      s.ask(s.holder(ann), {
        method: 'POST',
        path: `${ann.ref}/$everything`,
        body: { resourceType: 'Parameters', parameter },
      });
    const types = async (...parameter: readonly object[]) => [
      ...new Set(entriesOf(await asks(...parameter)).map(({ resource }) => resource?.resourceType)),
    ];
    expect(await types({ name: '_type', valueString: 'DocumentReference' })).toEqual(['DocumentReference']);
    const later = new Date(s.now() + QUARTER).toISOString();
    expect(await types({ name: '_since', valueInstant: later })).toEqual([]);
    expect((await asks({ name: 'until', valueInstant: later })).status).toBe(400);
  });

  it('of the register: in no order that tells of items out of sight, and not by the mark of a secret session', async () => {
    expect(await status(s.holder(ann), 'AuditEvent?_sort=entity')).toBe(400);
    await s.done(s.holder(ann, { secret: true }), get(ann.ref));
    const { related } = await s.delegate(ann, 'caregiver');
    const tag = 'https://carnet.example/fhir/CodeSystem/audit|secret';
    for (const token of [s.representative(related, ann), s.holder(ann)])
      expect(await found(token, `AuditEvent?_tag=${tag}`)).toEqual([]);
  });
});

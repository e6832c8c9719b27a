/** Searches over HTTP, where a permission could be lost on the way: cursors, compartments, includes, scopes, and how a person may be looked for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serverExists } from '../support/server.ts';
import { del, entriesOf, get, mask, type Person, post, type Stage, startStage } from './stage.ts';

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
      ])
        expect(await status(centre, path), path).toBe(403);
      expect(await found(centre, `Patient?family=${family}&birthdate=1979-03-28`)).toContain(ann.ref);
      expect(await status(centre, `${ann.ref}`)).toBe(404);
      expect(await status(centre, 'DocumentReference')).toBe(403);
    });
  });

  it('narrowed by a scope: what of its constraint cannot be read grants nothing', async () => {
    const scoped = (scope: string): string => s.professional('dr1', { scope });
    const path = `DocumentReference?patient=${ann.ref}`;
    expect(await found(scoped('user/DocumentReference.rs?type=11488-4'), path)).toContain(documents.get(ann));
    expect(await found(scoped('user/DocumentReference.rs?type=34112-3'), path)).toEqual([]);
    for (const constraint of ['nonsense=x', 'date=not-a-date', '_sort=date', 'type=11488-4&nonsense=x'])
      expect(await status(scoped(`user/DocumentReference.rs?${constraint}`), path), constraint).toBe(403);
  });

  it('as a condition: only with a scope that lets the token search', async () => {
    const without = s.professional('dr1', { scope: 'user/DocumentReference.cud user/Binary.c' });
    const condition = `DocumentReference?_id=${documents.get(ann)?.split('/')[1]}`;
    const { status: deleted } = await s.ask(without, del(condition));
    expect(deleted).toBe(403);
    const create = post({ resourceType: 'DocumentReference' }, { 'if-none-exist': condition });
    expect((await s.ask(without, create)).status).toBe(403);
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

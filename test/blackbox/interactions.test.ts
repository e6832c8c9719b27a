/** FHIR's write interactions on the wire: https://hl7.org/fhir/R4/http.html, and rules.md section 7 as far as writes could say what is hidden. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { binaryBody, documentBody, patientBody, type Resource, relatedPersonBody } from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import type { Answer } from '../support/world.ts';
import {
  type Ask,
  del,
  entriesOf,
  fhirPatch,
  get,
  HOUR,
  type Person,
  patch,
  post,
  put,
  refIn,
  type Stage,
  startStage,
} from './stage.ts';

describe.skipIf(!serverExists())('write interactions', () => {
  let s: Stage;
  let p: Person;
  let h: string;
  beforeAll(async () => {
    s = await startStage();
    p = await s.person();
    h = s.holder(p);
  });
  afterAll(async () => {
    await s.dispose();
  });

  const related = (given = 'PROCHE'): Resource => relatedPersonBody(p.ref, given, []);
  const made = async (given?: string): Promise<string> => s.made(h, post(related(given)));
  const etag = (answer: Answer): string | null => answer.headers.get('etag');
  const versionIn = (resource: Resource | undefined): unknown =>
    (resource?.meta as { readonly versionId?: string } | undefined)?.versionId;
  const idOf = (ref: string): string => ref.split('/')[1] ?? '';

  it('create: 201, Location, ETag, Last-Modified, and nothing of what the client claims', async () => {
    const answer = await s.ask(
      h,
      post({
        ...related(),
        id: 'chosen',
        meta: { versionId: '9', lastUpdated: '2001-01-01T00:00:00Z', profile: ['http://example.org/p'] },
      }),
    );
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toMatch(
      new RegExp(`^${s.base}/RelatedPerson/[A-Za-z0-9.-]{1,64}/_history/1$`),
    );
    expect(etag(answer)).toBe('W/"1"');
    expect(answer.headers.get('last-modified')).toBe(new Date(s.now()).toUTCString());
    expect(answer.json?.id).not.toBe('chosen');
    expect(answer.json?.meta).toEqual({
      versionId: '1',
      lastUpdated: new Date(s.now()).toISOString(),
      profile: ['http://example.org/p'],
    });
    expect((await s.ask(h, get('RelatedPerson/chosen'))).status).toBe(404);
  });

  it('Prefer: minimal, representation, OperationOutcome', async () => {
    const body = related();
    const minimal = await s.ask(h, post(body, { prefer: 'return=minimal' }));
    expect([minimal.status, minimal.text, refIn(minimal.headers.get('location')).split('/')[0]]).toEqual([
      201,
      '',
      'RelatedPerson',
    ]);
    const outcome = await s.ask(h, post(body, { prefer: 'return=OperationOutcome' }));
    expect([outcome.status, outcome.json?.resourceType]).toEqual([201, 'OperationOutcome']);
    const full = await s.ask(h, post(body, { prefer: 'return=representation' }));
    expect(full.json?.resourceType).toBe('RelatedPerson');
    const ref = refIn(full.headers.get('location'));
    const updated = await s.ask(h, put({ ...(await s.body(h, ref)), active: false }, { prefer: 'return=minimal' }));
    expect([updated.status, updated.text, etag(updated)]).toEqual([200, '', 'W/"2"']);
    const patched = await s.ask(
      h,
      patch(ref, [{ op: 'replace', path: '/active', value: true }], { prefer: 'handling=strict; return=minimal' }),
    );
    expect([patched.status, patched.text]).toEqual([200, '']);
  });

  it('what cannot be a resource of the address', async () => {
    const ref = await made();
    const body = await s.body(h, ref);
    const raw = (text: string, type = 'application/fhir+json'): Promise<Response> =>
      fetch(`${s.base}/RelatedPerson`, {
        method: 'POST',
        headers: { authorization: `Bearer ${h}`, 'content-type': type },
        body: text,
      });
    const { id: _id, ...withoutId } = body;
    await s.table(
      [p],
      [
        ['another type', h, { ...post(related()), path: 'Consent' }, 400],
        ['no type', h, { ...post(related()), body: { active: true } }, 400],
        ['an array', h, { ...post(related()), body: [related()] }, 400],
        ['an unknown element', h, post({ ...related(), colour: 'blue' }), 422],
        ['a missing element', h, post({ ...related(), patient: undefined }), 422],
        ['a wrong code', h, post({ ...related(), gender: 'blue' }), 422],
        ['an unknown type', h, { method: 'POST', path: 'Colour', body: { resourceType: 'Colour' } }, 404],
        ['a type that is not served', h, post({ resourceType: 'Medication' }), 404],
        ['PUT with another id', h, { ...put(body), body: { ...body, id: 'other' } }, 400],
        ['PUT without an id', h, { ...put(body), body: withoutId }, 400],
        ['PUT of an id that never existed: not created', h, put({ ...related(), id: 'never-existed' }), 404],
        [
          'PATCH of an id that never existed',
          h,
          patch('RelatedPerson/never-existed', [{ op: 'replace', path: '/active', value: true }]),
          404,
        ],
        ['DELETE of an id that never existed', h, del('RelatedPerson/never-existed'), 404],
        [
          'a summarised body',
          h,
          put({
            ...body,
            meta: { tag: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' }] },
          }),
          422,
        ],
        ['PUT at a version', h, { method: 'PUT', path: `${ref}/_history/1`, body }, 405],
        ['POST at an id', h, { method: 'POST', path: ref, body }, 405],
      ],
    );
    expect((await raw('{"resourceType":"RelatedPerson",')).status).toBe(400);
    expect((await raw('{"resourceType":"RelatedPerson","active":true,"active":false}')).status).toBe(400);
    expect((await raw(JSON.stringify(related()), 'text/csv')).status).toBe(415);
    expect((await raw(JSON.stringify(related()), 'application/fhir+xml')).status).toBe(400);
    expect((await raw(JSON.stringify(related()), 'text/turtle')).status).toBe(415);
  });

  it('405 with Allow, for each type what it offers', async () => {
    const dr1 = s.professional('dr1');
    const fed = await s.fed(dr1, s.feed(p));
    const consent = await s.grant(p, 'dr1');
    const cases: readonly (readonly [Ask, string])[] = [
      [del(p.ref), 'GET, HEAD, PUT, PATCH'],
      [del(consent), 'GET, HEAD, PUT, PATCH'],
      [del('Appointment/x'), 'GET, HEAD, PUT, PATCH'],
      [del('CareTeam/x'), 'GET, HEAD, PUT, PATCH'],
      [del(s.known('s1')), 'GET, HEAD, PUT, PATCH'],
      [del('Communication/x'), 'GET, HEAD'],
      [del('AuditEvent/x'), 'GET, HEAD'],
      [del(fed.binary), 'GET, HEAD'],
      [patch('Communication/x', [{ op: 'remove', path: '/payload' }]), 'GET, HEAD'],
      [patch('List/x', [{ op: 'remove', path: '/entry' }]), 'GET, HEAD'],
      [patch(fed.binary, [{ op: 'remove', path: '/data' }]), 'GET, HEAD'],
      [post({ resourceType: 'AuditEvent' }), 'GET, HEAD'],
      [{ method: 'PUT', path: 'Provenance/x', body: { resourceType: 'Provenance', id: 'x' } }, 'GET, HEAD'],
      [get(`${p.ref}/_search`), ''],
      [{ method: 'PUT', path: '', body: { resourceType: 'Bundle' } }, 'POST'],
    ];
    for (const [ask, allow] of cases) {
      const answer = await s.ask(h, ask);
      if (allow === '') continue;
      expect([`${ask.method} ${ask.path}`, answer.status, answer.headers.get('allow')]).toEqual([
        `${ask.method} ${ask.path}`,
        405,
        allow,
      ]);
      expect(answer.json?.resourceType).toBe('OperationOutcome');
    }
  });

  it('update: versions count up, a write without effect makes none', async () => {
    const ref = await made();
    const body = await s.body(h, ref);
    const versions = async (): Promise<number> => s.versionsOf(h, ref);
    const same = await s.ask(h, put(body));
    expect([same.status, etag(same), await versions()]).toEqual([200, 'W/"1"', 1]);
    const stripped = await s.ask(h, put({ ...related(), id: body.id }));
    expect([stripped.status, etag(stripped)]).toEqual([200, 'W/"1"']);
    const noPatch = await s.ask(h, patch(ref, [{ op: 'replace', path: '/active', value: true }]));
    expect([noPatch.status, etag(noPatch)]).toEqual([200, 'W/"1"']);
    const changed = await s.ask(h, put({ ...body, active: false }));
    expect([changed.status, etag(changed), await versions()]).toEqual([200, 'W/"2"', 2]);
    expect(versionIn(changed.json)).toBe('2');
    await s.setClock(s.now() + HOUR);
    h = s.holder(p);
    const later = await s.ask(h, put({ ...body, active: true }));
    expect(later.headers.get('last-modified')).toBe(new Date(s.now()).toUTCString());
  });

  it('If-Match: never required, stale is 412', async () => {
    const ref = await made();
    const body = await s.body(h, ref);
    const flip = (active: boolean) => [{ op: 'replace', path: '/active', value: active }];
    await s.done(h, patch(ref, flip(false)));
    await s.table(
      [p],
      [
        ['PUT, stale', h, put(body, { 'if-match': 'W/"1"' }), 412],
        ['PATCH, stale', h, patch(ref, flip(true), { 'if-match': 'W/"1"' }), 412],
        ['DELETE, stale', h, del(ref, { 'if-match': 'W/"1"' }), 412],
        ['a version that is none', h, patch(ref, flip(true), { 'if-match': 'W/"x"' }), 412],
        [
          'hidden or never existed: 404 before 412',
          h,
          patch('RelatedPerson/never-existed', flip(true), { 'if-match': 'W/"1"' }),
          404,
        ],
        ['If-None-Match, any', h, put(body, { 'if-none-match': '*' }), 412],
        ['If-None-Match, the current one', h, del(ref, { 'if-none-match': 'W/"2"' }), 412],
        ['hidden or never existed', h, del('RelatedPerson/never-existed', { 'if-none-match': '*' }), 404],
        ['PATCH, weak', h, patch(ref, flip(true), { 'if-match': 'W/"2"', 'if-none-match': 'W/"1"' }), 200],
        ['PATCH, strong form', h, patch(ref, flip(false), { 'if-match': '"3"' }), 200],
        ['PUT, current', h, put(body, { 'if-match': 'W/"4"' }), 200],
        ['any', h, patch(ref, flip(false), { 'if-match': '*' }), 200],
        ['DELETE, current', h, del(ref, { 'if-match': 'W/"6"' }), 204],
      ],
    );
  });

  it('If-None-Match: 304 of the current version only', async () => {
    const ref = await made();
    const one = await s.ask(h, get(ref, { 'if-none-match': 'W/"1"' }));
    expect([one.status, one.text, etag(one)]).toEqual([304, '', 'W/"1"']);
    await s.done(h, patch(ref, [{ op: 'replace', path: '/active', value: false }]));
    expect((await s.ask(h, get(ref, { 'if-none-match': 'W/"1"' }))).status).toBe(200);
    const hidden = await s.ask(s.holder(await s.person()), get(ref, { 'if-none-match': 'W/"2"' }));
    expect(hidden.status).toBe(404);
  });

  it('delete: 204, 410, tombstone; the versions before stay', async () => {
    const ref = await made('EFFACEE');
    await s.done(h, patch(ref, [{ op: 'replace', path: '/active', value: false }]));
    const answer = await s.ask(h, del(ref));
    expect([answer.status, answer.text, etag(answer)]).toEqual([204, '', 'W/"3"']);
    const read = await s.ask(h, get(ref));
    expect([read.status, read.json?.resourceType]).toEqual([410, 'OperationOutcome']);
    expect((await s.ask(h, get(`${ref}/_history/1`))).status).toBe(200);
    expect((await s.ask(h, get(`${ref}/_history/3`))).status).toBe(410);
    expect((await s.ask(h, get(`${ref}/_history/4`))).status).toBe(404);
    const entries = entriesOf(await s.done(h, get(`${ref}/_history`)));
    expect(
      entries.map((entry) => [
        entry.request?.method,
        entry.response?.status,
        entry.response?.etag,
        entry.resource === undefined,
      ]),
    ).toEqual([
      ['DELETE', '204', 'W/"3"', true],
      ['PUT', '200', 'W/"2"', false],
      ['POST', '201', 'W/"1"', false],
    ]);
    const found = entriesOf(await s.done(h, get('RelatedPerson?name=EFFACEE')));
    expect(found).toEqual([]);
    const stranger = s.holder(await s.person());
    for (const path of [ref, `${ref}/_history`, `${ref}/_history/1`])
      expect((await s.ask(stranger, get(path))).status).toBe(404);
  });

  it('history: newest first, _count with a next page, _since, _at', async () => {
    const ref = await made();
    const instants = [s.now()];
    for (const active of [false, true, false]) {
      await s.setClock(s.now() + HOUR);
      h = s.holder(p);
      instants.push(s.now());
      await s.done(h, patch(ref, [{ op: 'replace', path: '/active', value: active }]));
    }
    const versions = (answer: Answer): readonly unknown[] =>
      entriesOf(answer).map((entry) => versionIn(entry.resource));
    const all = await s.done(h, get(`${ref}/_history`));
    expect([all.json?.type, all.json?.total, versions(all)]).toEqual(['history', 4, ['4', '3', '2', '1']]);
    const page = await s.done(h, get(`${ref}/_history?_count=3`));
    expect(versions(page)).toEqual(['4', '3', '2']);
    const nextOf = ({ json }: Answer): string =>
      ((json?.link ?? []) as readonly { relation: string; url: string }[]).find(({ relation }) => relation === 'next')
        ?.url ?? '';
    const second = await s.done(h, get(nextOf(page)));
    expect(versions(second)).toEqual(['1']);
    expect(JSON.stringify(second.json?.link).includes('next')).toBe(false);
    const iso = (index: number): string => new Date(instants[index] ?? 0).toISOString();
    expect(versions(await s.done(h, get(`${ref}/_history?_since=${iso(2)}`)))).toEqual(['4', '3']);
    const recent = await s.done(h, get(`${ref}/_history?_since=${iso(2)}&_count=1`));
    const older = await s.done(h, get(nextOf(recent)));
    expect([versions(recent), versions(older), JSON.stringify(older.json?.link).includes('next')]).toEqual([
      ['4'],
      ['3'],
      false,
    ]);
    expect(versions(await s.done(h, get(`${ref}/_history?_at=${iso(1)}`)))).toContain('2');
    for (const [name, status] of [
      ['_since=yesterday', 400],
      ['_since=1Z', 400],
      ['_count=0', 400],
      ['_colour=blue', 400],
      ['_since=2026-06-01T00:00:00', 400],
    ] as const)
      expect([name, (await s.ask(h, get(`${ref}/_history?${name}`))).status]).toEqual([name, status]);
    expect((await s.ask(h, get('RelatedPerson/never-existed/_history'))).status).toBe(404);
  });

  it('JSON Patch', async () => {
    const ref = await made();
    const before = await s.body(h, ref);
    await s.table(
      [p],
      [
        [
          'a test that fails',
          h,
          patch(ref, [
            { op: 'test', path: '/active', value: false },
            { op: 'replace', path: '/active', value: false },
          ]),
          422,
        ],
        [
          'a test that fails after a change',
          h,
          patch(ref, [
            { op: 'replace', path: '/active', value: false },
            { op: 'test', path: '/active', value: true },
          ]),
          422,
        ],
        ['a place that is not there', h, patch(ref, [{ op: 'replace', path: '/birthDate', value: '2000-01-01' }]), 422],
        ['an unknown operation', h, patch(ref, [{ op: 'increase', path: '/active' }]), 422],
        ['no array', h, { ...patch(ref, []), body: { op: 'remove', path: '/active' } }, 400],
        ['what comes out is no RelatedPerson', h, patch(ref, [{ op: 'add', path: '/colour', value: 'blue' }]), 422],
        ['another type comes out', h, patch(ref, [{ op: 'replace', path: '/resourceType', value: 'Person' }]), 400],
        ['the id', h, patch(ref, [{ op: 'replace', path: '/id', value: 'x' }]), 422, 'W10'],
        [
          'the instant of the version',
          h,
          patch(ref, [{ op: 'replace', path: '/meta/lastUpdated', value: '2001-01-01T00:00:00Z' }]),
          422,
          'W10',
        ],
        ['a prototype', h, patch(ref, [{ op: 'add', path: '/__proto__/x', value: 1 }]), 422],
        [
          'a body of another media type',
          h,
          { ...patch(ref, []), headers: { 'content-type': 'application/merge-patch+json' } },
          415,
        ],
        [
          'test, replace, add, copy, move, remove',
          h,
          patch(ref, [
            { op: 'test', path: '/active', value: true },
            { op: 'add', path: '/name/-', value: { family: 'DEUX' } },
            { op: 'copy', from: '/name/1', path: '/name/-' },
            { op: 'move', from: '/name/2', path: '/name/0' },
            { op: 'remove', path: '/name/2' },
            { op: 'replace', path: '/active', value: false },
          ]),
          200,
        ],
      ],
    );
    const after = await s.body(h, ref);
    expect(after).toMatchObject({ active: false, name: [{ family: 'DEUX' }, (before.name as object[])[0]] });
  });

  it('FHIRPath Patch', async () => {
    const ref = await made();
    await s.table(
      [p],
      [
        ['an unknown operation', h, fhirPatch(ref, [{ type: 'increase', path: 'RelatedPerson.active' }]), 422],
        [
          'a path to nothing',
          h,
          fhirPatch(ref, [{ type: 'replace', path: 'RelatedPerson.birthDate', value: { valueDate: '2000-01-01' } }]),
          422,
        ],
        ['a path of another type', h, fhirPatch(ref, [{ type: 'delete', path: 'Patient.active' }]), 422],
        [
          'what comes out is no RelatedPerson',
          h,
          fhirPatch(ref, [{ type: 'delete', path: 'RelatedPerson.patient' }]),
          422,
        ],
        [
          'the id',
          h,
          fhirPatch(ref, [{ type: 'replace', path: 'RelatedPerson.id', value: { valueString: 'x' } }]),
          422,
          'W10',
        ],
        ['another resource than Parameters', h, { method: 'PATCH', path: ref, body: related() }, 400],
        [
          'add',
          h,
          fhirPatch(ref, [
            { type: 'add', path: 'RelatedPerson', name: 'birthDate', value: { valueDate: '1980-01-01' } },
          ]),
          200,
        ],
        [
          'replace',
          h,
          fhirPatch(ref, [
            {
              type: 'replace',
              path: "RelatedPerson.name.where(family = 'TEST').family",
              value: { valueString: 'AUTRE' },
            },
          ]),
          200,
        ],
        ['delete', h, fhirPatch(ref, [{ type: 'delete', path: 'RelatedPerson.birthDate' }]), 200],
        [
          'delete what is not there: without effect',
          h,
          fhirPatch(ref, [{ type: 'delete', path: 'RelatedPerson.birthDate' }]),
          200,
        ],
      ],
    );
    const after = await s.body(h, ref);
    expect([after.birthDate, JSON.stringify(after.name), (after.meta as { versionId: string }).versionId]).toEqual([
      undefined,
      expect.stringContaining('AUTRE'),
      '4',
    ]);
  });

  it('conditional create: 201, 200 without a write, 412; inside what the caller sees', async () => {
    const body = { ...related('SEULE'), identifier: [{ system: 'urn:test', value: 'seule' }] };
    const condition = { 'if-none-exist': 'identifier=urn:test|seule' };
    const first = await s.ask(h, post(body, condition));
    expect(first.status).toBe(201);
    const ref = refIn(first.headers.get('location'));
    const second = await s.ask(h, post({ ...body, active: false }, condition));
    expect([second.status, second.json?.id, second.json?.active]).toEqual([200, idOf(ref), true]);
    expect(await s.versionsOf(h, ref)).toBe(1);
    await s.done(h, post(body));
    await s.table(
      [p],
      [
        ['several match', h, post(body, condition), 412],
        ['no parameter', h, post(body, { 'if-none-exist': '' }), 400],
        ['an unknown parameter', h, post(body, { 'if-none-exist': 'colour=blue' }), 400],
        ['a result parameter only', h, post(body, { 'if-none-exist': '_count=1' }), 400],
      ],
    );
    // what matches in the space of another person is not there for this one
    const other = await s.person();
    const theirs = await s.ask(s.holder(other), post({ ...body, patient: { reference: other.ref } }, condition));
    expect(theirs.status).toBe(201);
    // D9: a search of Patient that is not by INS is refused, as a condition too
    const conditioned = await s.ask(
      s.insurer(),
      post(patientBody(s.newTraits('1990-01-01')), { 'if-none-exist': 'family=ESSAI' }),
    );
    expect(conditioned.status).toBe(403);
  });

  it('conditional update: create, update, 412', async () => {
    const identified = (value: string, more: object = {}): Resource => ({
      ...related(),
      identifier: [{ system: 'urn:test', value }],
      ...more,
    });
    const at = (value: string, body: Resource): Ask => ({
      method: 'PUT',
      path: `RelatedPerson?identifier=urn:test|${value}`,
      body,
    });
    const created = await s.ask(h, at('cu', identified('cu')));
    expect([created.status, etag(created)]).toEqual([201, 'W/"1"']);
    const ref = refIn(created.headers.get('location'));
    const updated = await s.ask(h, at('cu', identified('cu', { active: false })));
    expect([updated.status, etag(updated), updated.json?.id]).toEqual([200, 'W/"2"', idOf(ref)]);
    const withId = await s.ask(h, at('cu', identified('cu', { active: true, id: idOf(ref) })));
    expect([withId.status, etag(withId)]).toEqual([200, 'W/"3"']);
    await s.table(
      [p],
      [
        ['another id in the body', h, at('cu', identified('cu', { id: 'other' })), 400],
        ['nothing matches, with an id', h, at('nothing', identified('nothing', { id: 'chosen' })), 404],
        ['no condition', h, { ...at('cu', identified('cu')), path: 'RelatedPerson' }, 400],
        ['an unknown parameter', h, { ...at('cu', identified('cu')), path: 'RelatedPerson?colour=blue' }, 400],
        ['stale', h, { ...at('cu', identified('cu', { active: false })), headers: { 'if-match': 'W/"1"' } }, 412],
      ],
    );
    await s.done(h, post(identified('cu')));
    await s.table([p], [['several match', h, at('cu', identified('cu')), 412]]);
  });

  it('conditional patch and delete', async () => {
    const identified = (value: string): Resource => ({ ...related(), identifier: [{ system: 'urn:test', value }] });
    const ref = await s.made(h, post(identified('cp')));
    await s.made(h, post(identified('twice')));
    await s.made(h, post(identified('twice')));
    const path = (value: string): string => `RelatedPerson?identifier=urn:test|${value}`;
    const off = [{ op: 'replace', path: '/active', value: false }];
    const stranger = s.holder(await s.person());
    await s.table(
      [p],
      [
        ['PATCH, nothing matches', h, patch(path('nothing'), off), 404],
        ['PATCH, several match', h, patch(path('twice'), off), 412],
        ['PATCH, somebody else’s', stranger, patch(path('cp'), off), 404],
        ['DELETE, nothing matches', h, del(path('nothing')), 404],
        ['DELETE, several match', h, del(path('twice')), 412],
        ['DELETE, somebody else’s', stranger, del(path('cp')), 404],
        ['DELETE without a condition', h, del('RelatedPerson'), 400],
        ['PATCH, one matches', h, patch(path('cp'), off), 200],
        [
          'PATCH, stale',
          h,
          patch(path('cp'), [{ op: 'replace', path: '/active', value: true }], { 'if-match': 'W/"1"' }),
          412,
        ],
        ['DELETE, one matches', h, del(path('cp')), 204],
        ['it is gone', h, get(ref), 410],
        ['and matches no more', h, del(path('cp')), 404],
      ],
    );
  });

  it('section 7: a hidden target answers every write like one that never existed', async () => {
    const feeder = s.feeder('s2');
    const { document, binary } = await s.fed(feeder, s.feed(p, { typeCode: '34112-3', labels: ['INVISIBLE_PATIENT'] }));
    const stored = await s.body(feeder, document);
    const nobody = s.professional('works', { structure: 's3' });
    const writes = (ref: string): readonly Ask[] => [
      put({ ...stored, id: idOf(ref) }),
      put({ ...stored, id: idOf(ref) }, { 'if-match': 'W/"9"' }),
      patch(ref, [{ op: 'replace', path: '/status', value: 'current' }]),
      patch(ref, [{ op: 'test', path: '/status', value: 'superseded' }]),
      fhirPatch(ref, [{ type: 'delete', path: 'DocumentReference.author' }]),
      del(ref),
      del(ref, { 'if-match': 'W/"1"' }),
      ...['$mask', '$unmask'].map(
        (name): Ask => ({ method: 'POST', path: `${ref}/${name}`, body: { resourceType: 'Parameters' } }),
      ),
      patch(`DocumentReference?_id=${idOf(ref)}`, [{ op: 'replace', path: '/status', value: 'current' }]),
      del(`DocumentReference?_id=${idOf(ref)}`),
      get(`${ref}/_history`),
      get(`${ref}/_history/1`),
    ];
    const bare = (answer: Answer): readonly unknown[] => [
      answer.status,
      answer.text,
      [...answer.headers].filter(([name]) => !['x-request-id', 'date'].includes(name)),
    ];
    for (const token of [h, nobody, s.insurer(), s.operator('repair of a test')]) {
      const here = writes(document);
      const absent = writes(`DocumentReference/${'0'.repeat(8)}-0000-4000-8000-${'0'.repeat(12)}`);
      for (const [index, ask] of here.entries()) {
        const answer = await s.ask(token, ask);
        expect(bare(answer)).toEqual(bare(await s.ask(token, absent[index] as Ask)));
        expect([403, 404]).toContain(answer.status);
      }
    }
    expect((await s.ask(h, get(binary))).status).toBe(404);
    expect(await s.versionsOf(feeder, document)).toBe(1);
    // its identifier, taken by a hidden one, is free for another structure (uniqueness is of the author structure)
    const master = (stored.masterIdentifier as { value: string }).value;
    expect((await s.ask(s.feeder('s1'), s.feed(p, { uniqueId: master }))).status).toBe(200);
  });

  it('scopes: what the token does not name is refused before anything is looked at', async () => {
    const ref = await made();
    const scoped = (scope: string): string => s.holder(p, { scope });
    const body = await s.body(h, ref);
    await s.table(
      [p],
      [
        ['no c', scoped('patient/RelatedPerson.ruds'), post(related()), 403],
        [
          'no c, before the body is looked at',
          scoped('patient/RelatedPerson.ruds'),
          post({ resourceType: 'RelatedPerson' }),
          403,
        ],
        ['no u: PUT', scoped('patient/RelatedPerson.crds'), put(body), 403],
        [
          'no u: PATCH',
          scoped('patient/RelatedPerson.crds'),
          patch(ref, [{ op: 'replace', path: '/active', value: false }]),
          403,
        ],
        ['no u: an operation', scoped('patient/RelatedPerson.crds'), { method: 'POST', path: `${ref}/$mask` }, 403],
        ['no u: never existed', scoped('patient/RelatedPerson.crds'), put({ ...body, id: 'never-existed' }), 403],
        ['no d', scoped('patient/RelatedPerson.crus'), del(ref), 403],
        [
          'no s: a conditional create',
          scoped('patient/RelatedPerson.crud'),
          post(related(), { 'if-none-exist': 'name=X' }),
          403,
        ],
        ['another type', scoped('patient/Consent.cruds'), post(related()), 403],
        [
          'no r: a write does not need it',
          scoped('patient/RelatedPerson.u'),
          patch(ref, [{ op: 'replace', path: '/active', value: false }]),
          200,
        ],
        [
          'a constraint that the new one does not meet',
          scoped('patient/RelatedPerson.c?active=false'),
          post(related()),
          403,
        ],
        ['a constraint that it meets', scoped('patient/RelatedPerson.c?active=true'), post(related()), 201],
        [
          'a constraint that the change leaves',
          scoped('patient/RelatedPerson.u?active=false'),
          patch(ref, [{ op: 'replace', path: '/active', value: true }]),
          403,
        ],
      ],
    );
    // A patch without effect is accepted, and is no way to read.
    const nothing = patch(ref, [{ op: 'test', path: '/active', value: false }]);
    expect((await s.done(scoped('patient/RelatedPerson.u'), nothing)).text).toBe('');
    expect((await s.done(scoped('patient/RelatedPerson.ru'), nothing)).json?.resourceType).toBe('RelatedPerson');
  });

  it('a Binary: raw and wrapped, its security context is the server’s', async () => {
    const dr1 = s.professional('dr1');
    await s.grant(p, 'dr1');
    const raw = await fetch(`${s.base}/Binary`, {
      method: 'POST',
      headers: { authorization: `Bearer ${dr1}`, 'content-type': 'text/plain' },
      body: 'raw content',
    });
    expect(raw.status).toBe(201);
    const first = refIn(raw.headers.get('location'));
    const second = await s.made(dr1, post({ ...binaryBody('wrapped'), securityContext: { reference: p.ref } }));
    const context = async (ref: string): Promise<unknown> => (await s.body(dr1, ref)).securityContext;
    expect([await context(first), await context(second)]).toEqual([undefined, undefined]);
    const document = documentBody({
      uniqueId: s.urn(),
      typeCode: '11488-4',
      subject: p.ref,
      traits: p.traits,
      author: s.known('dr1'),
      labels: [],
      date: new Date(s.now()).toISOString(),
      binary: first,
      title: 'x',
    });
    const ref = await s.made(dr1, post(document));
    expect(await context(first)).toEqual({ reference: ref });
    const content = await fetch(`${s.base}/${first}`, { headers: { authorization: `Bearer ${dr1}`, accept: '*/*' } });
    expect([content.status, await content.text()]).toEqual([200, 'raw content']);
    expect((await s.ask(s.professional('dr2'), get(second))).status).toBe(404);
  });
});

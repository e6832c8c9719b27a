/** https://hl7.org/fhir/R4/http.html#transaction: all or nothing, whatever the order of the entries; and batches, entry by entry. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  appointmentBody,
  binaryBody,
  careTeamBody,
  communicationBody,
  EX,
  listBody,
  patientBody,
  practitionerBody,
  practitionerRoleBody,
  provenanceBody,
  type Resource,
  relatedPersonBody,
} from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import type { Answer } from '../support/world.ts';
import {
  type Ask,
  type Entry,
  entriesOf,
  fhirPatchBody,
  get,
  type Person,
  patch,
  post,
  refIn,
  ruleOf,
  type Stage,
  startStage,
} from './stage.ts';

type Sent = {
  readonly fullUrl?: string;
  readonly resource?: Resource;
  readonly request: { readonly method: string; readonly url: string; readonly [header: string]: string };
};

const creates = (resource: Resource, fullUrl?: string, more: object = {}): Sent => ({
  ...(fullUrl === undefined ? {} : { fullUrl }),
  resource,
  request: { method: 'POST', url: resource.resourceType, ...more },
});
const replaces = (resource: Resource, more: object = {}): Sent => ({
  resource,
  request: { method: 'PUT', url: `${resource.resourceType}/${String(resource.id)}`, ...more },
});
const asks = (method: string, url: string, resource?: Resource, more: object = {}): Sent => ({
  ...(resource === undefined ? {} : { resource }),
  request: { method, url, ...more },
});
const bundle = (
  type: 'transaction' | 'batch',
  entry: readonly Sent[],
  headers: Readonly<Record<string, string>> = {},
): Ask => post({ resourceType: 'Bundle', type, entry }, headers);
const transaction = (entry: readonly Sent[], headers: Readonly<Record<string, string>> = {}): Ask =>
  bundle('transaction', entry, headers);

describe.skipIf(!serverExists())('transactions and batches', () => {
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

  const related = (given: string, of: Person = p, more: object = {}): Resource => ({
    ...relatedPersonBody(of.ref, given, []),
    ...more,
  });
  const refs = (answer: Answer): readonly string[] => entriesOf(answer).map((entry) => refIn(entry.response?.location));
  const statuses = (answer: Answer): readonly (string | undefined)[] =>
    entriesOf(answer).map((entry) => entry.response?.status);
  const sentOf = (ask: Ask): readonly Sent[] => (ask.body as { readonly entry: readonly Sent[] }).entry;
  const expressionOf = (answer: Answer): string => JSON.stringify(((answer.json?.issue ?? []) as readonly object[])[0]);

  it('does everything, answers in the order asked', async () => {
    const old = await s.made(h, post(related('ANCIENNE')));
    const doomed = await s.made(h, post(related('PERDUE')));
    const oldBody = await s.body(h, old);
    const answer = await s.done(
      h,
      transaction([
        asks('GET', `RelatedPerson?name=NOUVELLE`),
        asks(
          'PATCH',
          old,
          fhirPatchBody([
            { type: 'add', path: 'RelatedPerson', name: 'birthDate', value: { valueDate: '1980-01-01' } },
          ]),
        ),
        creates(related('NOUVELLE'), s.urn()),
        asks('DELETE', doomed),
        asks('GET', p.ref),
      ]),
    );
    expect(answer.json?.type).toBe('transaction-response');
    expect(statuses(answer)).toEqual(['200 OK', '200 OK', '201 Created', '204 No Content', '200 OK']);
    const [found, , created] = entriesOf(answer);
    // a GET reads what the transaction has made
    expect(JSON.stringify(found?.resource)).toContain('NOUVELLE');
    expect(created?.resource).toBeUndefined();
    expect(created?.response?.etag).toBe('W/"1"');
    expect(await s.body(h, old)).toMatchObject({ birthDate: '1980-01-01' });
    expect((await s.ask(h, get(doomed))).status).toBe(410);
    const put = await s.done(h, transaction([replaces({ ...oldBody, active: false })]));
    expect(statuses(put)).toEqual(['200 OK']);
    const full = await s.done(h, transaction([creates(related('ENTIERE'))], { prefer: 'return=representation' }));
    expect(entriesOf(full)[0]?.resource?.resourceType).toBe('RelatedPerson');
    expect(statuses(await s.done(h, transaction([])))).toEqual([]);
  });

  it('all or nothing: one refused entry, nothing of the others', async () => {
    const kept = await s.made(h, post(related('GARDEE')));
    const other = await s.person();
    const theirs = await s.made(s.holder(other), post(related('AUTRUI', other)));
    const consent = s.consent(p, 'emergency-btg', 'deny');
    const block = s.consent(p, 'professional-access', 'deny', { actor: s.known('dr1') });
    const permit = await s.grant(p, 'dr1');
    const good = [creates(related('RIEN'), s.urn()), creates(consent), creates(block), asks('DELETE', kept)];
    const failing: readonly (readonly [string, Sent, number, string?])[] = [
      ['an invalid resource', creates({ ...related('X'), gender: 'blue' }), 422],
      ['a broken rule', creates(s.consent(p, 'attending-physician', 'permit', { actor: s.known('dr2') })), 403, 'W15'],
      ['a shape', creates(s.consent(p, 'emergency-btg', 'deny', { actor: s.known('dr2') })), 422, 'A0'],
      [
        'a block and an authorisation of the same',
        creates(s.consent(p, 'professional-access', 'permit', { actor: s.known('dr1') })),
        409,
        'A7',
      ],
      ['what never existed', asks('DELETE', 'RelatedPerson/never-existed'), 404],
      ['what is hidden', asks('DELETE', theirs), 404],
      ['a read of what is hidden', asks('GET', theirs), 404],
      [
        'a stale version',
        asks('PATCH', permit, fhirPatchBody([{ type: 'delete', path: 'Consent.dateTime' }]), { ifMatch: 'W/"9"' }),
        412,
      ],
      ['a method that the type has not', asks('DELETE', p.ref), 405],
      ['an unknown address', asks('GET', 'Colour/x'), 404],
      ['a document that is no deposit', sentOf(s.feed(p))[1] as Sent, 422, 'W23'],
    ];
    const before = await s.picture([p, other]);
    for (const [what, bad, status, rule] of failing)
      for (const entries of [
        [...good, bad],
        [bad, ...good],
      ]) {
        const answer = await s.ask(h, transaction(entries));
        expect([what, answer.status, answer.json?.resourceType, ruleOf(answer)]).toEqual([
          what,
          status,
          'OperationOutcome',
          rule,
        ]);
        expect([what, await s.picture([p, other])]).toEqual([what, before]);
      }
    // nothing in the index either
    expect(entriesOf(await s.done(h, get('RelatedPerson?name=RIEN')))).toEqual([]);
    expect(await s.versionsOf(h, permit)).toBe(1);
  });

  it('says which entry failed', async () => {
    const cases: readonly (readonly [Sent, string])[] = [
      [creates({ ...related('X'), gender: 'blue' }), 'Bundle.entry[1].resource.ofType(RelatedPerson).gender'],
      [
        creates(s.consent(p, 'emergency-btg', 'deny', { actor: s.known('dr2') })),
        'Bundle.entry[1].resource.ofType(Consent).provision.actor',
      ],
      [creates(s.consent(p, 'attending-physician', 'permit', { actor: s.known('dr2') })), 'Bundle.entry[1]'],
      [asks('DELETE', p.ref), 'Bundle.entry[1]'],
      [asks('FETCH', p.ref), 'Bundle.entry[1].request.method'],
      [{ request: { method: 'GET' } } as unknown as Sent, 'Bundle.entry[1].request.url'],
      [asks('GET', 'https://elsewhere.test.example/fhir/Patient/1'), 'Bundle.entry[1].request.url'],
      [creates({ ...binaryBody('x'), data: '*' }), 'Bundle.entry[1].resource.data'],
    ];
    for (const [bad, place] of cases) {
      const answer = await s.ask(h, transaction([creates(related('X'), s.urn()), bad]));
      expect([place, answer.status >= 400 && answer.status < 500]).toEqual([place, true]);
      expect(expressionOf(answer)).toContain(place);
    }
    const notBundles: readonly unknown[] = [
      related('X'),
      { resourceType: 'Bundle' },
      { resourceType: 'Bundle', type: 'collection' },
      [],
      { resourceType: 'Bundle', type: 'transaction', entry: ['x'] },
    ];
    for (const body of notBundles) expect((await s.ask(h, { method: 'POST', path: '', body })).status).toBe(400);
  });

  it('is refused where it says what R4 does not: nothing passes for understood', async () => {
    const one = creates(related('X'), s.urn());
    const { request, ...rest } = one as Sent & { readonly request: object };
    const cases: readonly (readonly [object, string])[] = [
      [{ entry: one }, 'Bundle.entry'],
      [{ entries: [one] }, 'Bundle.entries'],
      [
        { entry: [{ ...rest, request: { ...request, ifNoneExists: 'name=RIEN' } }] },
        'Bundle.entry[0].request.ifNoneExists',
      ],
      [{ entry: [{ ...rest, request: { ...request, ifNoneExist: 5 } }] }, 'Bundle.entry[0].request.ifNoneExist'],
    ];
    for (const type of ['transaction', 'batch'])
      for (const [more, place] of cases) {
        const body = { resourceType: 'Bundle', type, ...more };
        const answer = await s.ask(h, { method: 'POST', path: '', body });
        expect([type, answer.status]).toEqual([type, 422]);
        expect(expressionOf(answer)).toContain(place);
      }
  });

  it('references among entries: urn:uuid, full urls, attachments, extensions, narrative', async () => {
    const o = s.operator();
    const [organisation, doctor] = [s.urn(), s.urn()];
    const answer = await s.done(
      o,
      transaction([
        creates(
          {
            ...practitionerRoleBody(organisation, doctor),
            extension: [
              { url: 'http://example.org/x', valueReference: { reference: doctor } },
              { url: 'http://example.org/u', valueUri: doctor },
            ],
            text: {
              status: 'generated',
              div: `<div xmlns="http://www.w3.org/1999/xhtml"><a href="${doctor}">${doctor}</a></div>`,
            },
          },
          s.urn(),
        ),
        creates(
          { resourceType: 'Organization', name: 'TEST', identifier: [{ system: 'urn:test', value: organisation }] },
          organisation,
        ),
        creates(practitionerBody('899700000055', 'CINQ'), doctor),
      ]),
    );
    const [role = '', place = '', person = ''] = refs(answer);
    const body = await s.body(o, role);
    expect(body).toMatchObject({
      organization: { reference: place },
      practitioner: { reference: person },
      extension: [{ valueReference: { reference: person } }, { valueUri: person }],
    });
    // the link is rewritten, the text is not; nor is an identifier that has the same value
    expect((body.text as { div: string }).div).toContain(`<a href="${person}">${doctor}</a>`);
    expect((await s.body(o, place)).identifier).toEqual([{ system: 'urn:test', value: organisation }]);
    const mine = await s.fed(h, s.deposit(p));
    const document = await s.body(h, mine.document);
    expect(JSON.stringify(document.content)).toContain(`"url":"${mine.binary}"`);
    expect(document.masterIdentifier).toEqual({
      system: 'urn:ietf:rfc:3986',
      value: expect.stringMatching(/^urn:uuid:/),
    });
    const absolute = `${s.base}/RelatedPerson/anything`;
    const [first = '', second = ''] = refs(
      await s.done(
        h,
        transaction([
          creates(s.consent(p, 'delegation', 'permit', { actor: absolute, delegationKind: 'caregiver' }), s.urn()),
          creates(related('ABSOLUE'), absolute),
        ]),
      ),
    );
    expect(JSON.stringify((await s.body(h, first)).provision)).toContain(`"reference":"${second}"`);
    const own = await s.done(
      h,
      transaction([creates(s.consent(p, 'emergency-etreat', 'deny', { patient: `${s.base}/${p.ref}` }))]),
    );
    expect(await s.body(h, refs(own)[0] ?? '')).toMatchObject({ patient: { reference: p.ref } });
    await s.table(
      [p],
      [
        [
          'no entry has the full url',
          h,
          transaction([
            creates(s.consent(p, 'delegation', 'permit', { actor: s.urn(), delegationKind: 'caregiver' }), s.urn()),
          ]),
          422,
        ],
      ],
    );
  });

  it('a relative reference beside a full url of another server names what the Bundle has of that server', async () => {
    const p = await s.person();
    const theirs = 'https://his.example/fhir';
    const [binary, document] = sentOf(s.deposit(p)) as [Sent, Sent];
    const named = (url: string): string => JSON.stringify(document.resource).replaceAll(binary.fullUrl ?? '', url);
    const sent = (url: string, fullUrl: string) =>
      transaction([
        { ...binary, fullUrl: `${theirs}/Binary/b1` },
        { ...document, resource: JSON.parse(named(url)) as Resource, fullUrl },
      ]);
    const filed = await s.done(s.holder(p), sent('Binary/b1', `${theirs}/DocumentReference/d1`));
    const [bytes, described] = entriesOf(filed).map((entry) => refIn(entry.response?.location)) as [string, string];
    expect((await s.done(s.holder(p), get(described))).text).toContain(`"url":"${bytes}"`);
    // beside a full url of no server, it names a resource of this one
    const nowhere = await s.ask(s.holder(p), sent('Binary/b1', s.urn()));
    expect([nowhere.status, nowhere.text]).toEqual([422, expect.stringContaining('Binary/b1')]);
  });

  it('conditional references resolve inside what the caller sees, or fail the whole', async () => {
    const feeder = s.feeder('s1');
    const by = (value: string): string => `Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|${value}`;
    const closed = await s.person('closed');
    const [, fed = ''] = refs(await s.done(feeder, s.feed({ ...p, ref: by(p.traits.ins) })));
    expect(await s.body(feeder, fed)).toMatchObject({ subject: { reference: p.ref } });
    await s.made(h, post({ ...related('DOUBLE'), identifier: [{ system: 'urn:test', value: 'double' }] }));
    await s.made(h, post({ ...related('DOUBLE'), identifier: [{ system: 'urn:test', value: 'double' }] }));
    const delegation = (actor: string): Sent =>
      creates(s.consent(p, 'delegation', 'permit', { actor, delegationKind: 'caregiver' }));
    const hidden = await s.ask(feeder, s.feed({ ...closed, ref: by(closed.traits.ins) }));
    const absent = await s.ask(feeder, s.feed({ ...closed, ref: by('299999999999999') }));
    expect([hidden.status, hidden.text]).toEqual([422, absent.text]);
    await s.table(
      [p],
      [
        ['none', h, transaction([delegation('RelatedPerson?identifier=urn:test|nothing')]), 422],
        ['several', h, transaction([delegation('RelatedPerson?identifier=urn:test|double')]), 412],
        ['an unknown parameter', h, transaction([delegation('RelatedPerson?colour=blue')]), 400],
        ['D9: a person by name', feeder, s.feed({ ...p, ref: 'Patient?family=ESSAI' }), 403, 'D9'],
        [
          'one that another entry makes',
          h,
          transaction([
            delegation('RelatedPerson?identifier=urn:test|fresh'),
            creates({ ...related('FRAICHE'), identifier: [{ system: 'urn:test', value: 'fresh' }] }, s.urn()),
          ]),
          200,
        ],
      ],
    );
    const verification = Array.from({ length: 101 }, (_, i) => ({
      verified: true,
      verifiedWith: { reference: `Patient?_id=${p.id}&_count=${i + 1}` },
    }));
    const many = await s.ask(h, post({ ...s.consent(p, 'profile-sharing', 'permit'), verification }));
    expect([many.status, many.text]).toEqual([422, expect.stringContaining('at most 100 conditional references')]);
  });

  it('two entries never touch one resource, and have no full url in common', async () => {
    const one = await s.made(h, post({ ...related('UNE'), identifier: [{ system: 'urn:test', value: 'une' }] }));
    const body = await s.body(h, one);
    const url = s.urn();
    const off = fhirPatchBody([{ type: 'replace', path: 'RelatedPerson.active', value: { valueBoolean: false } }]);
    const conditional = 'RelatedPerson?identifier=urn:test|une';
    const seule = { ifNoneExist: 'identifier=urn:test|seule' };
    const identified = { ...related('SEULE'), identifier: [{ system: 'urn:test', value: 'seule' }] };
    await s.table(
      [p],
      [
        ['PUT and DELETE', h, transaction([replaces({ ...body, active: false }), asks('DELETE', one)]), 400],
        ['PUT and PATCH', h, transaction([asks('PATCH', one, off), replaces(body)]), 400],
        [
          'PUT and a conditional PUT',
          h,
          transaction([replaces(body), asks('PUT', conditional, { ...body, id: undefined })]),
          400,
        ],
        ['a conditional PATCH and DELETE', h, transaction([asks('PATCH', conditional, off), asks('DELETE', one)]), 400],
        [
          'a conditional create that matches, and a DELETE',
          h,
          transaction([
            creates(related('X'), s.urn(), { ifNoneExist: 'identifier=urn:test|une' }),
            asks('DELETE', one),
          ]),
          400,
        ],
        [
          'the same conditional create twice',
          h,
          transaction([creates(identified, s.urn(), seule), creates(identified, s.urn(), seule)]),
          400,
        ],
        ['two operations on one', h, transaction([asks('POST', `${one}/$mask`), asks('POST', `${one}/$unmask`)]), 400],
        ['an operation and a PUT', h, transaction([asks('POST', `${one}/$mask`), replaces(body)]), 400],
        ['one full url twice', h, transaction([creates(related('A'), url), creates(related('B'), url)]), 400],
        ['a read and a write', h, transaction([asks('GET', one), asks('PATCH', one, off)]), 200],
        [
          'two searches by POST',
          h,
          transaction([asks('POST', 'RelatedPerson/_search'), asks('POST', 'RelatedPerson/_search')]),
          200,
        ],
      ],
    );
  });

  it('conditional entries: create, update, patch, delete, and references to what they match', async () => {
    const identified = (value: string, more: object = {}): Resource => ({
      ...related('C'),
      identifier: [{ system: 'urn:test', value }],
      ...more,
    });
    const where = (value: string): string => `RelatedPerson?identifier=urn:test|${value}`;
    const there = await s.made(h, post(identified('there')));
    const gone = await s.made(h, post(identified('gone')));
    const url = s.urn();
    const fresh = s.urn();
    const answer = await s.done(
      h,
      transaction([
        creates(s.consent(p, 'delegation', 'permit', { actor: url, delegationKind: 'caregiver' }), s.urn()),
        {
          ...creates(identified('there', { active: false }), url),
          request: { method: 'POST', url: 'RelatedPerson', ifNoneExist: 'identifier=urn:test|there' },
        },
        { ...asks('PUT', where('new'), identified('new')), fullUrl: fresh },
        creates(s.consent(p, 'delegation', 'permit', { actor: fresh, delegationKind: 'caregiver' }), s.urn()),
        asks('DELETE', where('gone')),
      ]),
    );
    expect(statuses(answer)).toEqual(['201 Created', '200 OK', '201 Created', '201 Created', '204 No Content']);
    const [first = '', existing = '', created = '', second = ''] = refs(answer);
    expect(existing).toBe(there);
    expect(JSON.stringify((await s.body(h, first)).provision)).toContain(there);
    expect(JSON.stringify((await s.body(h, second)).provision)).toContain(created);
    expect((await s.body(h, there)).active).toBe(true);
    expect((await s.ask(h, get(gone))).status).toBe(410);
    await s.table(
      [p],
      [
        [
          'an update of what is there, with another id',
          h,
          transaction([asks('PUT', where('there'), identified('there', { id: 'other' }))]),
          400,
        ],
        [
          'a patch of nothing',
          h,
          transaction([
            asks('PATCH', where('nothing'), fhirPatchBody([{ type: 'delete', path: 'RelatedPerson.active' }])),
          ]),
          404,
        ],
        ['a deletion of nothing', h, transaction([asks('DELETE', where('nothing'))]), 404],
        [
          'an update of what is there',
          h,
          transaction([asks('PUT', where('there'), identified('there', { active: false }))]),
          200,
        ],
        ['a stale one', h, transaction([asks('PUT', where('there'), identified('there'), { ifMatch: 'W/"1"' })]), 412],
        [
          'the id in the body of nothing',
          h,
          transaction([asks('PUT', where('nothing'), identified('nothing', { id: 'chosen' }))]),
          404,
        ],
      ],
    );
    expect((await s.body(h, there)).active).toBe(false);
  });

  /** What a space holds, ids and instants aside. */
  const shapeOf = async (of: Person): Promise<readonly string[]> => {
    const entries = entriesOf(
      await s.done(
        s.holder(of),
        get(
          `Patient/${of.id}/$everything?_count=500&_type=Consent,CareTeam,RelatedPerson,DocumentReference,List,Provenance,Appointment,Communication`,
        ),
      ),
    );
    const names = new Map(
      entries.map(({ resource }) => [`${resource?.resourceType}/${resource?.id}`, JSON.stringify(nameOf(resource))]),
    );
    return entries
      .map(({ resource }) =>
        JSON.stringify(resource)
          .replace(/"(?:id|lastUpdated|date|start|value)":"[^"]*"/g, '')
          .replace(/[A-Z][A-Za-z]+\/[0-9a-f-]{36}/g, (ref) => names.get(ref) ?? ref.split('/')[0] ?? ''),
      )
      .sort();
  };
  const nameOf = (resource: Resource | undefined): unknown => resource?.name ?? resource?.category ?? resource?.content;

  it('the order of the entries does not matter', async () => {
    const sets: readonly (readonly [
      string,
      (of: Person) => Promise<{ readonly token: string; readonly entries: readonly Sent[] }>,
    ])[] = [
      [
        'a document, its folder, its provenance, its replacement',
        async (of) => {
          const token = s.holder(of);
          const [binary, document] = sentOf(s.deposit(of, { title: 'first' })) as [Sent, Sent];
          const [otherBinary, other] = sentOf(s.deposit(of, { title: 'second', replaces: document.fullUrl ?? '' })) as [
            Sent,
            Sent,
          ];
          const all = [binary, document, otherBinary, other];
          const when = new Date(s.now()).toISOString();
          return {
            token,
            entries: [
              ...all,
              creates(listBody(of.ref, [document.fullUrl ?? '', other.fullUrl ?? '']), s.urn()),
              creates(provenanceBody(other.fullUrl ?? '', of.ref, when), s.urn()),
            ],
          };
        },
      ],
      [
        'a RelatedPerson, delegations, a block of the one who was authorised before',
        async (of) => {
          await s.grant(of, 'dr1');
          const one = s.urn();
          return {
            token: s.holder(of),
            entries: [
              creates(related('UN', of), one),
              creates(s.consent(of, 'delegation', 'permit', { actor: one, delegationKind: 'caregiver' }), s.urn()),
              creates(s.consent(of, 'professional-access', 'deny', { actor: s.known('dr1') }), s.urn()),
              creates(s.consent(of, 'professional-access', 'permit', { actor: s.known('dr2') }), s.urn()),
              creates(appointmentBody({ patient: of.ref, participants: [s.known('dr2')], labels: [] }), s.urn()),
            ],
          };
        },
      ],
      [
        'messages that answer each other',
        async (of) => {
          const [a, b] = [s.urn(), s.urn()];
          const text = (name: string, fullUrl: string, inResponseTo?: string): Sent =>
            creates(
              {
                ...communicationBody({
                  subject: of.ref,
                  sender: s.known('dr1'),
                  recipient: of.ref,
                  text: name,
                  ...(inResponseTo === undefined ? {} : { inResponseTo }),
                }),
                category: [{ text: name }],
              },
              fullUrl,
            );
          const closing = { extension: [{ url: `${EX}/StructureDefinition/thread-closed`, valueBoolean: true }] };
          const last = text('d', s.urn(), a);
          return {
            token: s.professional('dr1'),
            entries: [
              text('a', a),
              text('b', b, a),
              text('c', s.urn(), b),
              { ...last, resource: { ...(last.resource as Resource), ...closing } },
            ],
          };
        },
      ],
    ];
    for (const [what, make] of sets) {
      let expected: readonly string[] | undefined;
      const size = (await make(await s.person())).entries.length;
      const orders = [
        [...Array(size).keys()].reverse(),
        ...fc.sample(fc.shuffledSubarray([...Array(size).keys()], { minLength: size }), { seed: 7, numRuns: 4 }),
      ];
      for (const order of [[...Array(size).keys()], ...orders]) {
        const of = await s.person();
        const { token, entries } = await make(of);
        const answer = await s.ask(token, transaction(order.map((index) => entries[index] as Sent)));
        expect([what, order, answer.status, answer.status === 200 ? '' : answer.text]).toEqual([what, order, 200, '']);
        const shape = (await shapeOf(of)).map((line) =>
          line.replaceAll(of.id, '').replaceAll(of.traits.given, '').replaceAll(of.traits.ins, ''),
        );
        expected ??= shape;
        expect([what, order, shape]).toEqual([what, order, expected]);
      }
    }
  });

  it('what would depend on the order is refused in every order', async () => {
    const of = await s.person();
    const token = s.holder(of);
    const permit = (kind = 'professional-access', actor = 'dr1'): Sent =>
      creates(s.consent(of, kind, 'permit', { actor: s.known(actor) }), s.urn());
    const deny = (kind = 'professional-access', actor = 'dr1'): Sent =>
      creates(s.consent(of, kind, 'deny', { actor: s.known(actor) }), s.urn());
    const everything = (provision: 'permit' | 'deny'): Sent =>
      creates(s.consent(of, 'document-default', provision), s.urn());
    const item = (await s.fed(s.professional('dr1'), s.feed(of))).document;
    const [firstBinary, first, secondBinary, second] = [
      ...sentOf(s.feed(of, { replaces: item })),
      ...sentOf(s.feed(of, { replaces: item })),
    ] as [Sent, Sent, Sent, Sent];
    const pairs: readonly (readonly [string, string, readonly Sent[], number])[] = [
      ['block and authorise', token, [deny(), permit()], 409],
      [
        'block and authorise a structure',
        token,
        [deny('organization-access', 's1'), permit('organization-access', 's1')],
        409,
      ],
      ['authorise twice', token, [permit(), permit()], 409],
      ['mask everything and not', token, [everything('deny'), everything('permit')], 409],
      ['replace one document twice', s.professional('dr1'), [firstBinary, first, secondBinary, second], 409],
    ];
    for (const [what, by, entries, status] of pairs)
      for (const order of [entries, [...entries].reverse()]) {
        const before = await s.picture([of]);
        const answer = await s.ask(by, transaction(order));
        expect([what, answer.status]).toEqual([what, status]);
        expect(await s.picture([of])).toBe(before);
      }
  });

  it('what an entry does to the space decides about the next', async () => {
    const of = await s.person();
    const token = s.holder(of);
    const item = await s.made(token, post(related('UNE', of)));
    const close = replaces(s.stateConsent(of.ref, 'closed', { id: of.space, performer: of.ref }));
    // S1, from the instant of the change: the read that comes last finds nothing, and the whole is refused
    for (const entries of [
      [close, asks('GET', item)],
      [asks('GET', item), close],
    ]) {
      const answer = await s.ask(token, transaction(entries));
      expect(answer.status).toBe(404);
    }
    expect((await s.ask(token, get(item))).status).toBe(200);
    const batched = await s.done(token, bundle('batch', [asks('GET', item), close, asks('GET', item)]));
    expect(statuses(batched)).toEqual(['200 OK', '200 OK', '404']);
    // a person, their space and what is in it, at once
    const traits = s.newTraits('2015-03-12');
    const [person, child] = [s.urn(), s.urn()];
    const born = refs(
      await s.done(
        s.insurer(),
        transaction([
          creates(
            s.consent({ ...of, ref: person }, 'delegation', 'permit', {
              actor: child,
              delegationKind: 'legal',
              performer: s.known('fund'),
            }),
            s.urn(),
          ),
          creates(relatedPersonBody(person, 'PARENT', []), child),
          creates(
            careTeamBody({ subject: person, organization: s.known('s1'), members: [s.known('dr1')], status: 'active' }),
            s.urn(),
          ),
          creates(s.stateConsent(person, 'active'), s.urn()),
          creates(patientBody(traits), person),
        ]),
      ),
    );
    const minor = { id: born[4]?.replace('Patient/', '') ?? '', ref: born[4] ?? '', space: '', traits };
    expect((await s.ask(s.representative(born[1] ?? '', minor), get(minor.ref))).status).toBe(200);
  });

  it('a batch: each entry for itself, errors inside, HTTP 200', async () => {
    const of = await s.person();
    const token = s.holder(of);
    const other = await s.person();
    const theirs = await s.made(s.holder(other), post(related('AUTRUI', other)));
    const one = await s.made(
      token,
      post({ ...related('UNE', of), identifier: [{ system: 'urn:test', value: 'lot' }] }),
    );
    const answer = await s.done(
      token,
      bundle('batch', [
        creates(related('DEUX', of)),
        creates({ ...related('TROIS', of), gender: 'blue' }),
        asks('DELETE', theirs),
        asks('DELETE', 'RelatedPerson/never-existed'),
        asks('GET', one),
        creates(s.consent(of, 'attending-physician', 'permit', { actor: s.known('dr1') })),
        asks(
          'PATCH',
          one,
          fhirPatchBody([{ type: 'replace', path: 'RelatedPerson.active', value: { valueBoolean: false } }]),
          { ifMatch: 'W/"9"' },
        ),
        creates(related('X', of), s.urn(), { ifNoneExist: 'identifier=urn:test|lot' }),
        asks('GET', one, undefined, { ifNoneMatch: 'W/"1"' }),
        asks('DELETE', one),
      ]),
    );
    expect(answer.json?.type).toBe('batch-response');
    expect(statuses(answer)).toEqual([
      '201 Created',
      '422',
      '404',
      '404',
      '200 OK',
      '403',
      '412',
      '200 OK',
      '304 Not Modified',
      '204 No Content',
    ]);
    const outcomes = entriesOf(answer).map((entry: Entry) => entry.response?.outcome);
    expect(JSON.stringify(outcomes[2])).toBe(JSON.stringify(outcomes[3]));
    expect(JSON.stringify(outcomes[5])).toContain('"code":"W15"');
    expect((await s.ask(token, get(one))).status).toBe(410);
    expect(entriesOf(await s.done(token, get('RelatedPerson?name=DEUX'))).length).toBe(1);
    expect(entriesOf(await s.done(token, get('RelatedPerson?name=TROIS,X'))).length).toBe(0);
  });

  it('the content of a Binary is no entry: not sent, and not recorded as read', async () => {
    const of = await s.person();
    const { binary } = await s.fed(s.holder(of), s.deposit(of));
    const entries = [asks('GET', binary), asks('GET', 'Binary/never-existed')];
    expect(statuses(await s.done(s.holder(of), bundle('batch', entries)))).toEqual(['400', '400']);
    expect((await s.ask(s.holder(of), bundle('transaction', entries.slice(0, 1)))).status).toBe(400);
    expect(entriesOf(await s.done(s.holder(of), get(`AuditEvent?patient=${of.id}&entity=${binary}&action=E`)))).toEqual(
      [],
    );
  });

  it('a batch: an entry that is refused after it has written leaves nothing, and the others stand', async () => {
    const of = await s.person();
    const token = s.holder(of, {
      scope: 'patient/RelatedPerson.cruds?active=true patient/Consent.cruds patient/Patient.rs',
    });
    const permit = await s.grant(of, 'dr1');
    const answer = await s.done(
      token,
      bundle('batch', [
        creates(related('AVANT', of)),
        creates(related('HORS', of, { active: false })),
        creates(s.consent(of, 'professional-access', 'deny', { actor: s.known('dr1') })),
        creates(related('APRES', of)),
      ]),
    );
    expect(statuses(answer)).toEqual(['201 Created', '403', '201 Created', '201 Created']);
    const names = entriesOf(await s.done(s.holder(of), get('RelatedPerson'))).map(({ resource }) =>
      JSON.stringify(resource?.name),
    );
    expect(names.sort()).toEqual([expect.stringContaining('APRES'), expect.stringContaining('AVANT')]);
    expect((await s.body(s.holder(of), permit)).status).toBe('inactive');
  });

  it('limits: too many entries of a batch that are refused after they have written, and none of it is done', async () => {
    const of = await s.person();
    const token = s.holder(of, { scope: 'patient/RelatedPerson.cruds?active=true' });
    const outside = (count: number) =>
      Array.from({ length: count }, () => creates(related('HORS', of, { active: false })));
    const most = await s.done(token, bundle('batch', [creates(related('AVANT', of)), ...outside(10)]));
    expect(statuses(most)).toEqual(['201 Created', ...Array.from({ length: 10 }, () => '403')]);
    const more = await s.ask(token, bundle('batch', [creates(related('APRES', of)), ...outside(11)]));
    expect([more.status, JSON.stringify(more.json?.issue)]).toEqual([400, expect.stringContaining('too-costly')]);
    expect(entriesOf(await s.done(s.holder(of), get('RelatedPerson')))).toHaveLength(1);
  });

  it('limits: too many entries', async () => {
    const many = Array.from({ length: 1001 }, () => asks('GET', p.ref));
    for (const type of ['transaction', 'batch'] as const) {
      const answer = await s.ask(h, bundle(type, many));
      expect([answer.status, answer.json?.resourceType]).toEqual([413, 'OperationOutcome']);
    }
  });

  it('scopes and emergency tokens hold inside a Bundle too', async () => {
    const of = await s.person();
    const scoped = s.holder(of, { scope: 'patient/Patient.rs patient/RelatedPerson.rs' });
    const centre15 = s.professional('dr1', { purpose: 'ETREAT' });
    const found = { ifNoneExist: 'name=DEJA' };
    await s.made(s.holder(of), post(related('DEJA', of)));
    await s.table(
      [of],
      [
        ['no c', scoped, transaction([creates(related('X', of))]), 403],
        ['no c, before the body is looked at', scoped, transaction([creates({ resourceType: 'RelatedPerson' })]), 403],
        ['no c, and the condition matches', scoped, transaction([creates(related('X', of), s.urn(), found)]), 403],
        [
          'C5: centre 15 without a person',
          centre15,
          transaction([creates(s.consent(of, 'emergency-btg', 'deny'))]),
          403,
          'C5',
        ],
        [
          'C5: nor a conditional create',
          centre15,
          transaction([
            creates(practitionerBody('899700000001', 'X'), s.urn(), { ifNoneExist: 'identifier=899700000001' }),
          ]),
          403,
          'C5',
        ],
        ['an unknown token', 'x.y.z', transaction([]), 401],
        ['not a method of the base', s.holder(of), patch('', []), 405],
      ],
    );
  });
});

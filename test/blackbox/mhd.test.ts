/** IHE MHD 4.2 as PDSm 3.1 profiles it, against a running server: ITI-65, ITI-105, what both refuse, and what a wrong identity leaves. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cdaText, generateBody } from '../support/cda-bodies.ts';
import { binaryBody, documentBody, labelsOf, patientBody, type Resource } from '../support/fhir-bodies.ts';
import {
  comprehensiveBody,
  folderBody,
  MHD,
  type ProvidedEntry,
  provideBody,
  submissionSetBody,
  supersedeBody,
} from '../support/mhd-bodies.ts';
import type { Answer } from '../support/world.ts';
import {
  type Ask,
  del,
  entriesOf,
  get,
  type Person,
  patch,
  post,
  put,
  refIn,
  ruleOf,
  type Stage,
  startStage,
} from './stage.ts';

const v3 = 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality';
const TRE_A03 = 'https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument';

let s: Stage;
beforeAll(async () => {
  s = await startStage();
});
afterAll(() => s.dispose());

let oids = 0;
const oid = (): string => {
  oids += 1;
  return `urn:oid:1.2.250.1.999.8.${oids}`;
};

type Parts = {
  readonly profile?: string;
  readonly document?: Readonly<Record<string, unknown>>;
  readonly list?: Readonly<Record<string, unknown>>;
  readonly replaces?: string;
  readonly family?: string;
  readonly typeCode?: string;
  readonly labels?: readonly string[];
  /** Entries after the three of the submission. */
  readonly more?: (urls: { readonly document: string; readonly list: string }) => readonly ProvidedEntry[];
};

/** SubmissionSet, DocumentReference, Binary, in this order. */
function provide(of: Person, parts: Parts = {}): Ask {
  const [list, document, binary] = [s.urn(), s.urn(), s.urn()];
  const date = new Date(s.now()).toISOString();
  const body = comprehensiveBody({
    uniqueId: s.urn(),
    typeCode: parts.typeCode ?? '11488-4',
    subject: of.ref,
    traits: of.traits,
    author: s.known('dr1'),
    custodian: s.known('s1'),
    labels: parts.labels ?? [],
    date,
    binary,
    title: 'Compte rendu',
    ...(parts.replaces === undefined ? {} : { replaces: parts.replaces }),
    ...(parts.family === undefined ? {} : { family: parts.family }),
  });
  return post(
    provideBody(parts.profile ?? MHD.pdsm, [
      {
        fullUrl: list,
        resource: submissionSetBody({
          subject: of.ref,
          date,
          entries: [document],
          oid: oid(),
          ...(parts.list === undefined ? {} : { more: parts.list }),
        }),
      },
      { fullUrl: document, resource: { ...body, ...parts.document } },
      { fullUrl: binary, resource: binaryBody('some content') },
      ...(parts.more?.({ document, list }) ?? []),
    ]),
  );
}

const refsOf = (answer: Answer): readonly string[] => entriesOf(answer).map((e) => refIn(e.response?.location));
const expressions = (answer: Answer): readonly string[] =>
  ((answer.json?.['issue'] ?? []) as readonly { readonly expression?: readonly string[] }[]).flatMap(
    (i) => i.expression ?? [],
  );
const member = (resource: Resource, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>((at, name) => (at as Readonly<Record<string, unknown>> | undefined)?.[name], resource);

describe('ITI-65 Provide Document Bundle', () => {
  it('is one act, answered entry by entry, and recorded once for the person', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const answer = await s.ask(s.feeder('s1'), provide(p));
    expect(answer.status, answer.text).toBe(200);
    const responses = entriesOf(answer).map((e) => e.response);
    expect(responses.map((r) => r?.status)).toEqual(['201 Created', '201 Created', '201 Created']);
    const [list = '', document = '', binary = ''] = refsOf(answer);
    expect([list, document, binary].map((r) => r.split('/')[0])).toEqual(['List', 'DocumentReference', 'Binary']);
    expect(responses.every((r) => /^W\/"\d+"$/.test(r?.etag ?? ''))).toBe(true);
    const stored = await s.body(s.professional('dr1'), document);
    expect(member(stored, 'content.0.attachment')).toMatchObject({
      url: binary,
      size: 12,
      hash: createHash('sha1').update('some content').digest('base64'),
    });
    // What was sent contained is given back contained.
    expect((stored['contained'] as readonly Resource[]).map((r) => r.resourceType)).toEqual([
      'Patient',
      'PractitionerRole',
      'Practitioner',
    ]);
    expect(member(stored, 'masterIdentifier.type.coding.0.code')).toBe('uniqueId');
    const events = entriesOf(await s.ask(s.holder(p), get(`AuditEvent?patient=${p.ref}&entity=${document}&_count=50`)));
    expect(events.filter((e) => JSON.stringify(e.resource).includes('"transaction"'))).toHaveLength(1);
  });

  it('answers with OperationOutcomes where they are asked for', async () => {
    const p = await s.person();
    const answer = await s.ask(s.feeder('s1'), { ...provide(p), headers: { prefer: 'return=OperationOutcome' } });
    expect(entriesOf(answer).map((e) => e.response?.outcome?.resourceType)).toEqual(Array(3).fill('OperationOutcome'));
  });

  it('takes minimal and uncontained forms; a Patient entry stands for the person and is never written', async () => {
    const p = await s.person();
    const [list, document, binary, patient] = [s.urn(), s.urn(), s.urn(), s.urn()];
    const date = new Date(s.now()).toISOString();
    const bare = {
      resourceType: 'DocumentReference',
      masterIdentifier: { system: 'urn:ietf:rfc:3986', value: s.urn() },
      status: 'current',
      type: { coding: [{ system: 'http://loinc.org', code: '11488-4' }] },
      subject: { reference: patient },
      author: [{ reference: s.known('dr1') }],
      content: [{ attachment: { contentType: 'text/plain', url: binary } }],
      context: { sourcePatientInfo: { reference: patient } },
    };
    const body = provideBody(MHD.minimal, [
      { fullUrl: list, resource: submissionSetBody({ subject: patient, date, entries: [document], oid: oid() }) },
      { fullUrl: document, resource: bare },
      { fullUrl: binary, resource: binaryBody('some content') },
      { fullUrl: patient, resource: patientBody(p.traits) },
    ]);
    const before = await s.versionsOf(s.holder(p), p.ref);
    const answer = await s.ask(s.feeder('s1'), post(body));
    expect(answer.status, answer.text).toBe(200);
    expect(entriesOf(answer)[3]?.response).toMatchObject({
      status: '200 OK',
      location: expect.stringContaining(`/${p.ref}/_history/`),
    });
    expect(await s.versionsOf(s.holder(p), p.ref)).toBe(before);
    const stored = await s.body(s.feeder('s1'), refsOf(answer)[1] ?? '');
    expect(stored['subject']).toEqual({ reference: p.ref });
    expect(member(stored, 'context.sourcePatientInfo.reference')).toBe('#source-patient');
    expect(member(stored, 'category.0.coding.0')).toEqual({ system: TRE_A03, code: '10' });
    expect(stored['date']).toBe(new Date(s.now()).toISOString());
  });

  it('replaces: the server supersedes, and the patch that MHD allows beside it is the same act', async () => {
    const p = await s.person();
    const [, first = ''] = refsOf(await s.done(s.feeder('s1'), provide(p)));
    const second = await s.done(
      s.feeder('s1'),
      provide(p, {
        replaces: first,
        more: () => [{ fullUrl: s.urn(), resource: supersedeBody(), request: { method: 'PATCH', url: first } }],
      }),
    );
    const old = await s.body(s.feeder('s1'), first);
    expect(old['status']).toBe('superseded');
    expect(await s.versionsOf(s.feeder('s1'), first)).toBe(2);
    const [, replacing = ''] = refsOf(second);
    const patched = (ref: string, body = supersedeBody()): Ask => ({ method: 'PATCH', path: ref, body });
    await s.table(
      [p],
      [
        ['the same patch again, alone', s.feeder('s1'), patched(first), 200],
        ['the patch of what nothing replaces', s.feeder('s1'), patched(replacing), 422, 'W3'],
        ['what was replaced, again', s.feeder('s1'), provide(p, { replaces: first }), 409, 'W3'],
        ['by another structure', s.feeder('s2'), provide(p, { replaces: replacing }), 404],
        [
          'a patch in the Bundle that does another thing',
          s.feeder('s1'),
          provide(p, {
            replaces: replacing,
            more: () => [{ resource: supersedeBody('current'), request: { method: 'PATCH', url: replacing } }],
          }),
          422,
        ],
        [
          'a patch in the Bundle of what it does not replace',
          s.feeder('s1'),
          provide(p, { more: () => [{ resource: supersedeBody(), request: { method: 'PATCH', url: replacing } }] }),
          422,
          'W3',
        ],
      ],
    );
    expect(await s.versionsOf(s.feeder('s1'), first)).toBe(2);
  });

  it('adds to a Folder, which nobody else and nothing else changes', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    await s.grant(p, 'dr2');
    const dr1 = s.professional('dr1');
    const date = new Date(s.now()).toISOString();
    const folder = (entries: readonly string[], more: object = {}): Resource =>
      folderBody({ subject: p.ref, date, entries, title: 'Suivi', more: { ...more } });
    const answer = await s.done(
      dr1,
      provide(p, { more: ({ document }) => [{ fullUrl: s.urn(), resource: folder([document]) }] }),
    );
    const [, first = '', , made = ''] = refsOf(answer);
    const adding = (entries: (document: string) => readonly string[], more: object = {}): Ask =>
      provide(p, {
        more: ({ document }) => [
          {
            resource: folder(entries(document), { id: made.replace('List/', ''), ...more }),
            request: { method: 'PUT', url: made },
          },
        ],
      });
    await s.table(
      [p],
      [
        ['one more document', dr1, adding((document) => [first, document]), 200],
        ['nothing is taken out', dr1, adding((document) => [document]), 422, 'W23'],
        [
          'what it is stays',
          dr1,
          adding((document) => [first, document], {
            code: { coding: [{ system: MHD.listType, code: 'folder', display: 'x' }] },
          }),
          422,
          'W10',
        ],
        [
          'by another structure',
          s.professional('dr2', { structure: 's2' }),
          adding((document) => [first, document]),
          403,
          'W3',
        ],
        ['outside of ITI-65', dr1, put(folder([first], { id: made.replace('List/', '') })), 405],
        ['by who does not see it', s.feeder('s1'), adding((document) => [first, document]), 404],
      ],
    );
    expect((await s.body(dr1, made))['entry']).toHaveLength(2);
  });

  it('is held to its closed slices and to what PDSm says in prose; every fault at once; nothing remains', async () => {
    const p = await s.person();
    const f = s.feeder('s1');
    const slices: readonly (readonly [string, Ask])[] = [
      [
        'no SubmissionSet',
        provide(p, { list: { code: { coding: [{ system: MHD.listType, code: 'folder' }] }, source: undefined } }),
      ],
      [
        'two',
        provide(p, {
          more: ({ document }) => [
            { resource: submissionSetBody({ subject: p.ref, date: '2026-01-01', entries: [document], oid: oid() }) },
          ],
        }),
      ],
      [
        'a foreign type',
        provide(p, {
          more: ({ document }) => [
            {
              resource: {
                resourceType: 'Provenance',
                target: [{ reference: document }],
                recorded: '2026-01-01T00:00:00Z',
                agent: [{ who: { reference: p.ref } }],
              },
            },
          ],
        }),
      ],
      ['a deletion', provide(p, { more: () => [{ request: { method: 'DELETE', url: 'DocumentReference/x' } }] })],
      [
        'no sourceId',
        provide(p, { list: { extension: [{ url: MHD.designationType, valueCodeableConcept: { text: 'x' } }] } }),
      ],
      [
        'a uniqueId that is no OID',
        provide(p, {
          list: {
            identifier: [
              {
                type: { coding: [{ system: MHD.identifierType, code: 'uniqueId' }] },
                system: 'urn:ietf:rfc:3986',
                value: s.urn(),
              },
            ],
          },
        }),
      ],
      ['no source', provide(p, { list: { source: undefined } })],
      ['docStatus', provide(p, { document: { docStatus: 'final' } })],
      ['no custodian', provide(p, { document: { custodian: undefined } })],
      ['an author who is a structure', provide(p, { document: { author: [{ reference: s.known('s1') }] } })],
      [
        'a type of another terminology',
        provide(p, { document: { type: { coding: [{ system: 'http://snomed.info/sct', code: '371530004' }] } } }),
      ],
      [
        'appends',
        provide(p, { document: { relatesTo: [{ code: 'appends', target: { reference: 'DocumentReference/x' } }] } }),
      ],
      [
        'a masterIdentifier of another sort',
        provide(p, { document: { masterIdentifier: { system: 'http://other.test.example', value: '1' } } }),
      ],
      [
        'two categories',
        provide(p, {
          document: {
            category: [{ coding: [{ system: TRE_A03, code: '10' }] }, { coding: [{ system: TRE_A03, code: '10' }] }],
          },
        }),
      ],
    ];
    await s.table(
      [p],
      slices.map(([what, ask]) => [what, f, ask, 422]),
    );
    const answer = await s.ask(
      f,
      provide(p, {
        document: {
          custodian: undefined,
          docStatus: 'final',
          context: { sourcePatientInfo: { reference: '#patient' } },
        },
      }),
    );
    expect(expressions(answer)).toEqual(
      ['docStatus', 'context.facilityType', 'context.practiceSetting', 'custodian', 'context.period.start'].map(
        (at) => `Bundle.entry[1].resource.ofType(DocumentReference).${at}`,
      ),
    );
    const batch = provide(p).body as Resource;
    expect((await s.ask(f, { method: 'POST', path: '', body: { ...batch, type: 'batch' } })).status).toBe(400);
  });
});

describe('what every document says of itself', () => {
  it('its class follows from its type, and is filled', async () => {
    const p = await s.person();
    const f = s.feeder('s1');
    const category = (code: string) => ({ category: [{ coding: [{ system: TRE_A03, code }] }] });
    await s.table(
      [p],
      [
        ['a contradiction', f, s.feed(p, { more: category('11') }), 422, 'W1'],
        ['the same in a transmission', f, provide(p, { document: category('42') }), 422, 'W1'],
        ['the class of the type', f, s.feed(p, { more: category('10') }), 200],
        ['a type of no known class', f, s.feed(p, { typeCode: '28617-9', more: category('11') }), 200],
      ],
    );
    const { document } = await s.fed(f, s.feed(p, { typeCode: '57833-6', more: { category: undefined } }));
    expect(member(await s.body(f, document), 'category.0.coding.0.code')).toBe('42');
    expect(
      (await s.ask(f, patch(document, [{ op: 'replace', path: '/category/0/coding/0/code', value: '10' }]))).status,
    ).toBe(422);
  });

  it('it stays what it claims to be', async () => {
    const p = await s.person();
    const f = s.feeder('s1');
    const claimed = await s.ask(
      f,
      provide(p, {
        document: {
          meta: {
            profile: [
              'https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-comprehensive-document-reference',
            ],
          },
        },
      }),
    );
    expect(claimed.status, claimed.text).toBe(200);
    const [, document = ''] = refsOf(claimed);
    const facility = { op: 'remove', path: '/context/facilityType' };
    const refused = await s.ask(f, patch(document, [facility]));
    expect([refused.status, expressions(refused)]).toEqual([422, ['DocumentReference.context.facilityType']]);
    await s.done(f, patch(document, [{ op: 'add', path: '/description', value: 'Compte rendu relu' }]));
    // without the claim, it is held to none
    await s.done(f, patch(document, [{ op: 'remove', path: '/meta/profile' }, facility]));
  });

  it('its labels have one spelling; R and V are never accepted, whatever the system (L4)', async () => {
    const p = await s.person();
    const f = s.feeder('s1');
    const label = (...codings: readonly (readonly [system: string, code: string])[]) => ({
      more: { securityLabel: codings.map(([system, code]) => ({ coding: [{ system, code }] })) },
    });
    const a07 = 'urn:oid:1.2.250.1.213.1.1.4.13';
    const a08 = 'https://mos.esante.gouv.fr/NOS/TRE_A08-HL7Confidentiality/FHIR/TRE-A08-HL7Confidentiality';
    const oidSystem = 'urn:oid:2.16.840.1.113883.5.25';
    await s.table(
      [p],
      [
        ['R by OID', f, s.feed(p, label([oidSystem, 'R'])), 422, 'L4'],
        ['V of TRE_A08', f, s.feed(p, label([a08, 'V'])), 422, 'L4'],
        ['R under the labels', f, s.feed(p, label([a07, 'R'])), 422, 'L4'],
        [
          'a misspelt system',
          f,
          s.feed(p, label(['https://mos.esante.gouv.fr/NOS/TRE_A07-StatusVisibilite', 'MASQUE_PS'])),
          422,
          'L0',
        ],
        [
          'a variant in meta.security',
          f,
          s.feed(p, { more: { meta: { security: [{ system: a07, code: 'MASQUE_PS' }] } } }),
          422,
          'L0',
        ],
      ],
    );
    const { document } = await s.fed(f, s.feed(p, label([oidSystem, 'N'], [a07, 'MASQUE_PS'])));
    const stored = await s.body(f, document);
    expect(labelsOf(stored)).toEqual(['MASQUE_PS']);
    expect(member(stored, 'securityLabel.0.coding.0')).toEqual({ system: v3, code: 'N' });
    await s.grant(p, 'dr2');
    expect((await s.ask(s.professional('dr2', { structure: 's2' }), get(document))).status).toBe(404);
  });

  it('its hash and size are those of the bytes', async () => {
    const p = await s.person();
    const sent = provide(p).body as Resource;
    const entries = sent['entry'] as readonly { readonly resource: Resource }[];
    const stating = (facts: object): Ask => {
      const document = entries[1]?.resource ?? { resourceType: '' };
      const [content] = document['content'] as readonly { readonly attachment: object }[];
      const changed = { ...document, content: [{ ...content, attachment: { ...content?.attachment, ...facts } }] };
      return post({ ...sent, entry: entries.map((e, i) => (i === 1 ? { ...e, resource: changed } : e)) });
    };
    await s.table(
      [p],
      [
        ['another size', s.feeder('s1'), stating({ size: 13 }), 422, 'W1'],
        [
          'another hash',
          s.feeder('s1'),
          stating({ hash: createHash('sha1').update('other').digest('base64') }),
          422,
          'W1',
        ],
        [
          'the hash in hexadecimal',
          s.feeder('s1'),
          stating({ hash: createHash('sha1').update('some content').digest('hex') }),
          422,
          'W1',
        ],
        [
          'both right',
          s.feeder('s1'),
          stating({ size: 12, hash: createHash('sha1').update('some content').digest('base64') }),
          200,
        ],
      ],
    );
  });

  it('archived is a flag beside the status, set by who may correct, and searched', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    await s.grant(p, 'dr2');
    const { document } = await s.fed(s.professional('dr1'), s.feed(p));
    const archive = (value: unknown): Ask =>
      patch(document, [{ op: 'add', path: '/extension', value: [{ url: MHD.isArchived, valueBoolean: value }] }]);
    await s.table(
      [p],
      [
        ['by another', s.professional('dr2', { structure: 's2' }), archive(true), 403, 'W3'],
        ['by the holder, of what a professional filed', s.holder(p), archive(true), 403, 'W3'],
        ['by the author', s.professional('dr1'), archive(true), 200],
      ],
    );
    expect((await s.body(s.professional('dr1'), document))['status']).toBe('current');
  });
});

describe('ITI-105 Simplified Publish', () => {
  const simple = (of: Person, more: Readonly<Record<string, unknown>> = {}, attachment: object = {}): Ask => {
    const body = documentBody({
      uniqueId: s.urn(),
      typeCode: '11488-4',
      subject: of.ref,
      traits: of.traits,
      author: s.known('dr1'),
      labels: [],
      date: new Date(s.now()).toISOString(),
      binary: '',
      title: 'Compte rendu',
    });
    const data = Buffer.from('published').toString('base64');
    return post({
      ...body,
      meta: { profile: [MHD.pdsmSimplified] },
      custodian: { reference: s.known('s1') },
      content: [{ attachment: { contentType: 'text/plain', title: 'Compte rendu', data, ...attachment } }],
      ...more,
    });
  };

  it('moves the bytes, counts them, assigns the entryUUID and makes the SubmissionSet, in one act', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const dr1 = s.professional('dr1');
    const answer = await s.ask(dr1, simple(p));
    expect(answer.status, answer.text).toBe(201);
    const document = answer.json ?? { resourceType: '' };
    const [content] = document['content'] as readonly [{ readonly attachment: Readonly<Record<string, unknown>> }];
    expect(content.attachment).toMatchObject({
      size: 9,
      hash: createHash('sha1').update('published').digest('base64'),
    });
    expect(content.attachment).not.toHaveProperty('data');
    const bytes = await s.ask(dr1, { path: String(content.attachment['url']), headers: { accept: 'text/plain' } });
    expect(bytes.text).toBe('published');
    expect(document['identifier']).toEqual([expect.objectContaining({ value: `urn:uuid:${String(document['id'])}` })]);
    const lists = entriesOf(await s.ask(dr1, get(`List?item=DocumentReference/${String(document['id'])}`)));
    expect(lists).toHaveLength(1);
    expect(lists[0]?.resource).toMatchObject({
      status: 'current',
      mode: 'working',
      source: { reference: s.known('dr1') },
      subject: { reference: p.ref },
    });
    const events = entriesOf(
      await s.ask(s.holder(p), get(`AuditEvent?entity=DocumentReference/${String(document['id'])}&action=C`)),
    );
    expect(events).toHaveLength(1);
  });

  it('is a deposit where the person publishes', async () => {
    const p = await s.person();
    const deposit = {
      type: {
        coding: [
          {
            system: 'https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire',
            code: 'EXPPAT_2',
          },
        ],
      },
      category: undefined,
      meta: undefined,
    };
    expect((await s.ask(s.holder(p), simple(p, deposit))).status).toBe(201);
    expect(ruleOf(await s.ask(s.holder(p), simple(p, deposit, { contentType: 'text/html' })))).toBe('W2');
  });

  it('an emergency token publishes for its one person', async () => {
    const p = await s.person();
    expect((await s.ask(s.professional('dr1', { purpose: 'BTG', patient: p }), simple(p))).status).toBe(201);
  });

  it('refuses, and nothing remains', async () => {
    const p = await s.person();
    const f = s.feeder('s1');
    const url = { url: 'Binary/x' };
    await s.table(
      [p],
      [
        ['bytes and a url', f, simple(p, {}, url), 422, 'W23'],
        ['no content type', f, simple(p, {}, { contentType: undefined }), 422, 'W23'],
        ['what is not base64', f, simple(p, {}, { data: '*' }), 422],
        [
          'an entryUUID of the sender',
          f,
          simple(p, {
            identifier: [
              {
                type: { coding: [{ system: MHD.identifierType, code: 'entryUUID' }] },
                system: 'urn:ietf:rfc:3986',
                value: s.urn(),
              },
            ],
          }),
          422,
        ],
        ['no title', f, simple(p, {}, { title: undefined }), 422],
        ['another hash', f, simple(p, {}, { hash: 'AAAA' }), 422, 'W1'],
        [
          'a class of another type',
          f,
          simple(p, { category: [{ coding: [{ system: TRE_A03, code: '42' }] }] }),
          422,
          'W1',
        ],
        ['confidentiality R', f, simple(p, { securityLabel: [{ coding: [{ system: v3, code: 'R' }] }] }), 422, 'L4'],
        ['the insurer', s.insurer(), simple(p), 403, 'W1'],
        ['a scope that does not create', s.professional('dr1', { scope: 'user/DocumentReference.rs' }), simple(p), 403],
      ],
    );
  });
});

describe('ITI-106 $generate-metadata', () => {
  const generate = (cda: string, contentType?: string): Ask => ({
    method: 'POST',
    path: 'DocumentReference/$generate-metadata',
    body: generateBody(cda, contentType),
  });
  const referenceIn = (answer: Answer): string =>
    String(member(answer.json ?? { resourceType: '' }, 'parameter.0.valueReference.reference'));

  it('files a CDA document under the rules of any feed, its metadata read out of it', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const f = s.feeder('s1');
    const [first, second] = ['1.2.250.1.999.40.1', '1.2.250.1.999.40.2'];
    const cda = cdaText({ traits: p.traits, id: first });
    const answer = await s.ask(f, generate(cda));
    expect(answer.status, answer.text).toBe(200);
    const document = await s.body(s.professional('dr1'), referenceIn(answer));
    expect(document).toMatchObject({ subject: { reference: p.ref }, description: 'Compte rendu de consultation' });
    const [content] = document['content'] as readonly [{ readonly attachment: Readonly<Record<string, unknown>> }];
    expect(content.attachment['hash']).toBe(createHash('sha1').update(cda).digest('base64'));
    const bytes = await s.ask(s.professional('dr1'), {
      path: String(content.attachment['url']),
      headers: { accept: 'text/xml' },
    });
    expect(bytes.text).toBe(cda);
    const replaced = await s.ask(f, generate(cdaText({ traits: p.traits, id: second, replaces: first })));
    expect(replaced.status, replaced.text).toBe(200);
    expect((await s.body(f, referenceIn(answer)))['status']).toBe('superseded');
    await s.table(
      [p],
      [
        ['the same again', f, generate(cda), 409],
        [
          'what was replaced, again',
          f,
          generate(cdaText({ traits: p.traits, id: '1.2.250.1.999.40.3', replaces: first })),
          409,
          'W3',
        ],
        [
          'a parent that the sender does not see',
          s.feeder('s2'),
          generate(cdaText({ traits: p.traits, id: '1.2.250.1.999.40.4', replaces: second })),
          422,
        ],
        [
          'another identity',
          f,
          generate(cdaText({ traits: { ...p.traits, family: 'AUTRE' }, id: '1.2.250.1.999.40.5' })),
          422,
          'W1',
        ],
        [
          'confidentiality R',
          f,
          generate(cdaText({ traits: p.traits, id: '1.2.250.1.999.40.6', confidentiality: 'R' })),
          422,
          'L4',
        ],
        ['what is no CDA', f, generate('<a/>'), 400],
        ['a DTD', f, generate(cdaText({ traits: p.traits, id: '1.2.3', before: '<!DOCTYPE a>' })), 400],
        ['another content type', f, generate(cda, 'text/html'), 422],
        ['the insurer', s.insurer(), generate(cdaText({ traits: p.traits, id: '1.2.250.1.999.40.7' })), 403, 'W1'],
        ['by GET', f, get('DocumentReference/$generate-metadata'), 405],
        [
          'in a Bundle',
          f,
          post({
            resourceType: 'Bundle',
            type: 'transaction',
            entry: [
              { resource: generateBody(cda), request: { method: 'POST', url: 'DocumentReference/$generate-metadata' } },
            ],
          }),
          400,
        ],
      ],
    );
  });
});

describe('ITI-66 and ITI-67: finding', () => {
  /** Everything that a search answers, by GET and by POST `_search`: the two say the same. */
  const found = async (token: string, type: string, query: string): Promise<readonly string[]> => {
    const got = await s.ask(token, get(`${type}?${query}`));
    const posted = await fetch(`${s.base}/${type}/_search`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: query,
    });
    expect(got.status, `${query}: ${got.text.slice(0, 300)}`).toBe(200);
    expect(posted.status).toBe(200);
    const refs = (answer: unknown) =>
      ((answer as { readonly entry?: readonly { readonly fullUrl: string }[] }).entry ?? []).map((e) => e.fullUrl);
    expect(refs(await posted.json())).toEqual(refs(got.json));
    return refs(got.json).map((url) => url.slice(s.base.length + 1));
  };

  it('by every parameter of MHD and PDSm; a value that differs finds nothing', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const dr1 = s.professional('dr1');
    const related = {
      identifier: {
        type: { coding: [{ system: 'urn:ietf:rfc:3986', code: 'urn:ihe:iti:xds:2013:accession' }] },
        system: 'urn:oid:1.2.250.1.999.3',
        value: 'A-17',
      },
    };
    const sent = provide(p, { family: 'DUPONT-TEST' }).body as Resource;
    const [list, document, binary] = sent['entry'] as readonly {
      readonly resource: Resource;
      readonly fullUrl: string;
      readonly request: object;
    }[];
    if (list === undefined || document === undefined || binary === undefined) throw new Error('three entries');
    const context = {
      ...(document.resource['context'] as object),
      event: [{ coding: [{ system: 'http://example.test/ccam', code: 'DEQP003' }] }],
      period: { start: '2026-05-01T08:00:00Z', end: '2026-05-02T08:00:00Z' },
      related: [related],
    };
    const identifier = [
      {
        type: { coding: [{ system: MHD.identifierType, code: 'entryUUID' }] },
        system: 'urn:ietf:rfc:3986',
        value: s.urn(),
      },
    ];
    const extension = [{ url: MHD.isArchived, valueBoolean: true }];
    const answer = await s.done(
      dr1,
      post({
        ...sent,
        entry: [list, { ...document, resource: { ...document.resource, extension, identifier, context } }, binary],
      }),
    );
    const [listRef = '', documentRef = ''] = refsOf(answer);
    await s.done(dr1, provide(p));
    const ins = `patient.identifier=${encodeURIComponent(`urn:oid:1.2.250.1.213.1.4.10|${p.traits.ins}`)}`;
    const master = (document.resource['masterIdentifier'] as { readonly value: string }).value;
    const code = (system: string, value: string) => encodeURIComponent(`${system}|${value}`);
    const tre = (name: string, id: string) => `https://mos.esante.gouv.fr/NOS/${name}/FHIR/${id}`;
    /** Found of two documents: both, the one, and neither. */
    const both = [
      'status=current',
      `category=${code(TRE_A03, '10')}`,
      `type=${code('http://loinc.org', '11488-4')}`,
      `setting=${code(tre('TRE_A01-CadreExercice', 'TRE-A01-CadreExercice'), 'ETABLISSEMENT')}`,
      `facility=${code(tre('TRE_R02-SecteurActivite', 'TRE-R02-SecteurActivite'), 'SA01')}`,
      `security-label=${code(v3, 'N')}`,
      'format=urn:ihe:iti:xds:2017:mimeTypeSufficient',
      `creation=${new Date(s.now()).toISOString().slice(0, 10)}`,
      `date=ge${new Date(s.now()).toISOString().slice(0, 10)}`,
      'author.given=lou',
    ];
    const one = [
      'author.family=dupont',
      'author.family:exact=DUPONT-TEST',
      'event=DEQP003',
      'period=2026-05',
      'period-start=2026-05-01',
      'period-end=lt2026-05-03',
      `identifier=${code('urn:ietf:rfc:3986', master)}`,
      `identifier=${code('urn:ietf:rfc:3986', identifier[0]?.value ?? '')}`,
      `related:identifier=${code('urn:oid:1.2.250.1.999.3', 'A-17')}`,
      'isArchived=true',
    ];
    const none = [
      'status=superseded',
      'category=11',
      'type=34112-3',
      'setting=SAD',
      'facility=SA07',
      'security-label=R',
      'format=x',
      'creation=2020',
      'date=lt2020',
      'author.family=martin',
      'event=x',
      'period=2027',
      'period-start=gt2027',
      'period-end=gt2027',
      'identifier=x',
      'related:identifier=x',
      'isArchived=false',
      'author:Practitioner.family=dupont-other',
    ];
    for (const query of both) expect(await found(dr1, 'DocumentReference', `${ins}&${query}`), query).toHaveLength(2);
    for (const query of one)
      expect(await found(dr1, 'DocumentReference', `patient=${p.ref}&${query}`), query).toEqual([documentRef]);
    for (const query of none) expect(await found(dr1, 'DocumentReference', `${ins}&${query}`), query).toEqual([]);
    const lists = {
      both: [
        'code=submissionset',
        'status=current',
        'designationType=SA01',
        `sourceId=${code('urn:ietf:rfc:3986', 'urn:oid:1.2.250.1.999.7')}`,
        `date=ge${new Date(s.now()).toISOString().slice(0, 10)}`,
        'source.family=source',
        'source.given=ana',
      ],
      none: [
        'code=folder',
        'designationType=SA33',
        'sourceId=x',
        'source.family=other',
        'isArchived=true',
        `authorOrg=${s.known('s1')}`,
      ],
    };
    const uniqueId = (list.resource['identifier'] as readonly { readonly value: string }[])[0]?.value ?? '';
    for (const query of lists.both) expect(await found(dr1, 'List', `${ins}&${query}`), query).toHaveLength(2);
    expect(await found(dr1, 'List', `${ins}&code=submissionset&identifier=${encodeURIComponent(uniqueId)}`)).toEqual([
      listRef,
    ]);
    for (const query of lists.none) expect(await found(dr1, 'List', `${ins}&${query}`), query).toEqual([]);

    // A submission of a structure, archived: PDSm's own parameters of ITI-66.
    const [archived = ''] = refsOf(
      await s.done(
        dr1,
        provide(p, {
          list: {
            extension: [...(list.resource['extension'] as readonly object[]), ...extension],
            source: {
              reference: '#source',
              extension: [{ url: MHD.authorOrg, valueReference: { reference: s.known('s1') } }],
            },
          },
        }),
      ),
    );
    for (const query of [`authorOrg=${s.known('s1')}`, 'isArchived=true'])
      expect(await found(dr1, 'List', `${ins}&code=submissionset&${query}`), query).toEqual([archived]);
    expect(await found(dr1, 'List', `patient=${p.ref}&code=submissionset&isArchived=false`)).toEqual([]);
  });

  it('finds nothing that is hidden: neither the names of a contained author, nor through the INS of a closed space', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    await s.done(s.feeder('s2'), provide(p, { labels: ['MASQUE_PS'], family: 'HIDDENNAME' }));
    const ins = `patient.identifier=urn:oid:1.2.250.1.213.1.4.10%7C${p.traits.ins}`;
    for (const query of [
      `${ins}&author.family=hiddenname`,
      `patient=${p.ref}&author.family=hiddenname`,
      `${ins}&status=current`,
    ]) {
      expect(await found(s.professional('dr1'), 'DocumentReference', query)).toEqual([]);
      expect(await found(s.holder(p), 'DocumentReference', query)).toHaveLength(1);
    }
    expect(await found(s.professional('dr1'), 'List', `${ins}&code=submissionset`)).toEqual([]);
    await s.toState(p, 'closed');
    expect(await found(s.feeder('s2'), 'DocumentReference', `${ins}&status=current`)).toEqual([]);
  });
});

describe('the identity gate', () => {
  const tasksOf = async (token: string, of?: Person): Promise<readonly Resource[]> =>
    entriesOf(await s.ask(token, get(`Task?_count=200${of === undefined ? '' : `&patient=${of.ref}`}`))).map(
      (e) => e.resource ?? { resourceType: '' },
    );

  it('puts a feed aside for the operator and its sender, once, without clinical content', async () => {
    const p = await s.person();
    const other = { ...p.traits, birthDate: '1980-01-01' };
    const wrong = s.feed(p, {
      identity: patientBody(other, { id: 'patient', telecom: [{ system: 'phone', value: '0199000000' }] }),
      title: 'Secret title',
    });
    for (let n = 0; n < 2; n += 1) {
      const answer = await s.ask(s.feeder('s1'), wrong);
      expect([answer.status, ruleOf(answer)]).toEqual([422, 'W1']);
    }
    const [task, ...more] = await tasksOf(s.operator(), p);
    expect(more).toEqual([]);
    expect(task).toMatchObject({
      status: 'requested',
      for: { reference: p.ref },
      requester: { reference: s.known('s1') },
      reasonCode: { coding: [{ code: 'identity-not-equal' }] },
    });
    expect(JSON.stringify(task)).toContain('1980-01-01');
    expect(JSON.stringify(task)).not.toMatch(/Secret title|11488-4|0199000000/);
    expect(await tasksOf(s.feeder('s1'), p)).toEqual([task]);
    expect(await tasksOf(s.feeder('s2'), p)).toEqual([]);
    for (const token of [s.holder(p), s.professional('dr1'), s.insurer()]) {
      expect((await s.ask(token, get(`Task?patient=${p.ref}`))).status).toBe(403);
      expect((await s.ask(token, get(`Task/${String(task?.id)}`))).status).toBe(404);
    }
    await s.toState(p, 'closed');
    expect(await tasksOf(s.feeder('s1'), p)).toEqual([]);
  });

  it('says no finer why than the sender was told', async () => {
    const p = await s.person();
    const status = (system: string, code: string): Resource => {
      const { extension, ...rest } = patientBody(p.traits, { id: 'patient' });
      const reliability = {
        url: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-identity-reliability',
        extension: [{ url: 'identityStatus', valueCoding: { system, code } }],
      };
      return { ...rest, extension: [reliability, (extension as readonly unknown[])[1]] } as unknown as Resource;
    };
    const fr = 'https://hl7.fr/ig/fhir/core/CodeSystem';
    const f = s.feeder('s1');
    await s.table(
      [p],
      [
        [
          'VALI of FR Core 2.1 allows the INS',
          f,
          s.feed(p, { identity: status(`${fr}/fr-core-cs-v2-0445`, 'VALI') }),
          200,
        ],
        [
          'QUAL of FR Core 2.2 does',
          f,
          s.feed(p, { identity: status(`${fr}/fr-core-cs-identity-status`, 'QUAL') }),
          200,
        ],
        [
          'VALI of FR Core 2.2 does not',
          f,
          s.feed(p, { identity: status(`${fr}/fr-core-cs-identity-status`, 'VALI') }),
          422,
          'W1',
        ],
        [
          'QUAL of FR Core 2.1 is no status',
          f,
          s.feed(p, { identity: status(`${fr}/fr-core-cs-v2-0445`, 'QUAL') }),
          422,
          'W1',
        ],
        ['PROV', f, s.feed(p, { identity: status(`${fr}/fr-core-cs-v2-0445`, 'PROV') }), 422, 'W1'],
        [
          'no identity',
          f,
          s.feed(p, { more: { contained: undefined, context: { period: { start: '2026-06-01' } } } }),
          422,
          'W1',
        ],
      ],
    );
    const reasons = (await tasksOf(f, p)).map((t) => member(t, 'reasonCode.coding.0.code'));
    expect(reasons.toSorted()).toEqual(['identity-missing', ...Array(3).fill('identity-not-qualified')]);
  });

  it('a person who is hidden and one who does not exist leave the same', async () => {
    const closed = await s.person('closed');
    const nobody = { ...closed, id: 'nobody', ref: 'Patient/nobody' };
    const f = s.feeder('s3');
    const shapes: string[] = [];
    for (const of of [closed, nobody]) {
      const before = new Set((await tasksOf(s.operator())).map((t) => t.id));
      const answer = await s.ask(f, s.feed(of));
      expect(answer.status).toBe(422);
      const [task] = (await tasksOf(f)).filter((t) => !before.has(t.id));
      expect(task).toBeDefined();
      const { id: _id, meta: _meta, input: _input, ...shape } = task ?? { resourceType: '' };
      shapes.push(JSON.stringify(shape));
    }
    expect(shapes[0]).toBe(shapes[1]);
    expect(shapes[0]).not.toContain('"for"');
  });

  it('tells feeds without a masterIdentifier apart by whose they are', async () => {
    const [p, q] = [await s.person(), await s.person()];
    for (const of of [p, q, p]) {
      const identity = patientBody({ ...of.traits, birthDate: '1980-01-01' }, { id: 'patient' });
      const answer = await s.ask(s.feeder('s1'), s.feed(of, { identity, more: { masterIdentifier: undefined } }));
      expect([answer.status, ruleOf(answer)]).toEqual([422, 'W1']);
    }
    for (const of of [p, q]) expect(await tasksOf(s.operator(), of)).toHaveLength(1);
  });

  it('keeps of a feed that is no valid R4 what is valid: its Task is read in XML, and closed', async () => {
    const p = await s.person();
    const identity = patientBody(p.traits, { id: 'patient', name: [{ family: { nested: 1 } }] });
    const body = {
      ...documentBody({
        uniqueId: s.urn(),
        typeCode: '11488-4',
        subject: 'Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|299999999999999',
        traits: p.traits,
        author: s.known('dr1'),
        labels: [],
        date: new Date(s.now()).toISOString(),
        binary: 'Binary/x',
        title: 'a title',
      }),
      contained: [{ ...identity, name: [{ family: { nested: 1 } }] }],
      masterIdentifier: { nonsense: 'x' },
    };
    const before = new Set((await tasksOf(s.operator())).map((t) => t.id));
    expect((await s.ask(s.feeder('s1'), post(body))).status).toBe(422);
    const [task, ...more] = (await tasksOf(s.operator())).filter((t) => !before.has(t.id));
    expect(more).toEqual([]);
    const ref = `Task/${String(task?.id)}`;
    expect((await s.ask(s.operator(), get(ref, { accept: 'application/fhir+xml' }))).status).toBe(200);
    const closed = await s.ask(s.operator(), patch(ref, [{ op: 'replace', path: '/status', value: 'completed' }]));
    expect(closed.status, closed.text).toBe(200);
  });

  it('nobody writes one', async () => {
    const p = await s.person();
    const body: Resource = { resourceType: 'Task', status: 'requested', intent: 'order' };
    for (const token of [s.operator('repair'), s.feeder('s1'), s.holder(p)])
      expect((await s.ask(token, post(body))).status).toBe(405);
    expect((await s.ask(s.operator('repair'), del('Task/x'))).status).toBe(405);
  });
});

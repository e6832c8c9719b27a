/** rules.md W1 to W8, W10, W12, W23, the labels L1 to L4, and contract.md "Documents", act by act against a running server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  binaryBody,
  labelsOf,
  listBody,
  patientBody,
  provenanceBody,
  type Resource,
  relatedPersonBody,
} from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import {
  type Ask,
  DAY,
  del,
  type Entry,
  entriesOf,
  fhirPatch,
  get,
  HOUR,
  hide,
  mask,
  operation,
  type Person,
  patch,
  post,
  put,
  refIn,
  release,
  type Stage,
  startStage,
  unmask,
} from './stage.ts';

const MASKED = 'MASQUE_PS';
const HIDDEN = 'INVISIBLE_PATIENT';
const CLOSED = 'INVISIBLE_REPRESENTANTS_LEGAUX';
const TRE_A07 = 'https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument';
const labelled = (code: string): object => ({ coding: [{ system: TRE_A07, code }] });

describe.skipIf(!serverExists())('writing documents', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await startStage();
  });
  afterAll(async () => {
    await s.dispose();
  });

  const labels = async (token: string, ref: string): Promise<readonly string[]> =>
    [...labelsOf(await s.body(token, ref))].sort();
  const status = async (token: string, ref: string): Promise<unknown> => (await s.body(token, ref)).status;
  const fedBy = async (token: string, of: Person, parts: Parameters<Stage['feed']>[1] = {}): Promise<string> =>
    (await s.fed(token, s.feed(of, parts))).document;
  const deposited = async (token: string, of: Person, parts: Parameters<Stage['feed']>[1] = {}): Promise<string> =>
    (await s.fed(token, s.deposit(of, parts))).document;

  it('W1: who feeds', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const dr1 = s.professional('dr1');
    await s.done(h, post(s.consent(p, 'professional-access', 'deny', { actor: s.known('dr2') })));
    await s.done(h, post(s.consent(p, 'organization-access', 'deny', { actor: s.known('s2') })));
    await s.done(h, post(s.consent(p, 'emergency-btg', 'deny')));
    await s.done(h, post(s.consent(p, 'emergency-etreat', 'deny')));
    await s.done(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('dr3') })));
    await s.done(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('s3') })));
    await s.done(
      h,
      post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('nurse'), period: { end: '2026-05-31' } })),
    );
    const care = await s.delegate(p, 'caregiver');
    await s.table(
      [p],
      [
        ['a professional without any authorisation', dr1, s.feed(p), 200],
        ['a profession that may not consult', s.professional('works'), s.feed(p), 200],
        ['in break-glass, opposed', s.professional('dr1', { purpose: 'BTG', patient: p }), s.feed(p), 200],
        ['centre 15, opposed', s.professional('dr1', { purpose: 'ETREAT', patient: p }), s.feed(p), 200],
        ['C5: centre 15 without a person', s.professional('dr1', { purpose: 'ETREAT' }), s.feed(p), 403, 'C5'],
        ['a blocked professional', s.professional('dr2'), s.feed(p), 200],
        ['for a blocked structure', s.professional('dr1', { structure: 's2' }), s.feed(p), 200],
        ['a feeder', s.feeder('s1'), s.feed(p), 200],
        ['a blocked feeder', s.feeder('s2'), s.feed(p), 200],
        ['a professional opposed', s.professional('dr3'), s.feed(p), 403, 'W1'],
        ['for a structure opposed', s.professional('dr1', { structure: 's3' }), s.feed(p), 403, 'W1'],
        ['a feeder opposed', s.feeder('s3'), s.feed(p), 403, 'W1'],
        ['an opposition past its period', s.professional('nurse'), s.feed(p), 200],
        ['opposed, in break-glass', s.professional('dr3', { purpose: 'BTG', patient: p }), s.feed(p), 403, 'W1'],
        ['the insurer', s.insurer(), s.feed(p), 403, 'W1'],
        ['the operator', s.operator('repair of a test'), s.feed(p), 403, 'W1'],
        ['the holder, a report', h, s.feed(p), 422, 'W2'],
        ['a caregiver, a report', s.representative(care.related, p), s.feed(p), 422, 'W2'],
        [
          'about another person than that of the token',
          s.professional('dr1', { purpose: 'BTG', patient: await s.person() }),
          s.feed(p),
          422,
        ],
        ['about nobody', dr1, s.feed({ ...p, ref: 'Patient/nobody' }), 422],
        ['about a person whose space is closed', dr1, s.feed(await s.person('closed')), 422],
        ['an advance directive', dr1, s.feed(p, { typeCode: '42348-3' }), 200],
        ['a type of no matrix', dr1, s.feed(p, { typeCode: '99999-9' }), 200],
      ],
    );
  });

  it('W1: the identity in the feed', async () => {
    const p = await s.person();
    const other = await s.person();
    const dr1 = s.professional('dr1');
    const known = patientBody(p.traits, { id: 'patient' });
    const [name] = known.name as readonly object[];
    const changed = (more: object): Ask => s.feed(p, { identity: { ...known, ...more } });
    const [identifier] = known.identifier as readonly object[];
    const [reliability, birthplace] = known.extension as readonly { readonly [element: string]: unknown }[];
    const qualified = (system: string, code: string): Ask =>
      changed({
        extension: [
          { ...reliability, extension: [{ url: 'identityStatus', valueCoding: { system, code } }] },
          birthplace,
        ],
      });
    const place = JSON.parse(JSON.stringify(birthplace).replace('60141', '75056'));
    await s.table(
      [p, other],
      [
        ['equal', dr1, changed({}), 200],
        [
          'other case and accents',
          dr1,
          changed({ name: [{ ...name, family: 'éssaî', given: [p.traits.given.toLowerCase()] }] }),
          200,
        ],
        ['the birthplace left out', dr1, changed({ extension: [reliability] }), 200],
        [
          'more given names after the first',
          dr1,
          changed({ name: [{ ...name, given: [p.traits.given, 'AUTRE'] }] }),
          200,
        ],
        [
          'FR Core 2.2: QUAL',
          dr1,
          qualified('https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-identity-status', 'QUAL'),
          200,
        ],
        [
          'FR Core 2.2: VALI is not qualified',
          dr1,
          qualified('https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-identity-status', 'VALI'),
          422,
          'W1',
        ],
        ['provisional', dr1, qualified('https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445', 'PROV'), 422, 'W1'],
        ['not qualified at all', dr1, changed({ extension: [birthplace] }), 422, 'W1'],
        ['another birth name', dr1, changed({ name: [{ ...name, family: 'AUTRE' }] }), 422, 'W1'],
        [
          'another first given name',
          dr1,
          changed({ name: [{ ...name, given: ['AUTRE', p.traits.given] }] }),
          422,
          'W1',
        ],
        ['another birth date', dr1, changed({ birthDate: '1979-03-29' }), 422, 'W1'],
        ['another gender', dr1, changed({ gender: 'male' }), 422, 'W1'],
        ['another birthplace', dr1, changed({ extension: [reliability, place] }), 422, 'W1'],
        ['another INS', dr1, changed({ identifier: [{ ...identifier, value: other.traits.ins }] }), 422, 'W1'],
        [
          'the INS under another system',
          dr1,
          changed({ identifier: [{ ...identifier, system: 'urn:oid:1.2.250.1.213.1.4.8' }] }),
          422,
          'W1',
        ],
        ['no INS', dr1, changed({ identifier: [] }), 422],
        ['the identity of another person', s.feeder('s1'), s.feed(p, { traits: other.traits }), 422, 'W1'],
        ['without a birth date', dr1, changed({ birthDate: undefined }), 422, 'W1'],
        ['without a gender', dr1, changed({ gender: undefined }), 422, 'W1'],
        ['without a name', dr1, changed({ name: undefined }), 422, 'W1'],
        [
          'no identity',
          dr1,
          s.feed(p, { more: { contained: undefined, context: { period: { start: '2026-05-01' } } } }),
          422,
          'W1',
        ],
        [
          'an identity that is not contained',
          dr1,
          s.feed(p, { more: { contained: undefined, context: { sourcePatientInfo: { reference: p.ref } } } }),
          422,
          'W1',
        ],
      ],
    );
    const unqualified = await s.newTraits('1979-03-28');
    const body = patientBody(unqualified);
    const ref = await s.made(s.insurer(), post({ ...body, extension: (body.extension as object[]).slice(1) }));
    const space = await s.made(s.insurer(), post(s.stateConsent(ref, 'active')));
    const q = { id: ref.replace('Patient/', ''), ref, space, traits: unqualified };
    await s.table([q], [['a person whose own identity is not qualified', dr1, s.feed(q), 422, 'W1']]);
  });

  it('W1, L1, L4: labels at filing', async () => {
    const p = await s.person();
    const dr1 = s.professional('dr1');
    const feed = (...codes: string[]): Ask => s.feed(p, { labels: codes });
    await s.table(
      [p],
      [
        ['masked', dr1, feed(MASKED), 200],
        ['hidden from the holder', s.feeder('s1'), feed(HIDDEN), 200],
        ['closed to representatives', dr1, feed(CLOSED), 200],
        ['masked and closed', dr1, feed(MASKED, CLOSED), 200],
        ['hidden and closed', dr1, feed(HIDDEN, CLOSED), 200],
        ['masked and hidden', dr1, feed(MASKED, HIDDEN), 422, 'L1'],
        ['all three', dr1, feed(MASKED, HIDDEN, CLOSED), 422, 'L1'],
        ['an unknown label', dr1, feed('MASQUE'), 422, 'L0'],
        ['a label twice', dr1, feed(MASKED, MASKED), 422, 'L0'],
        ['L4: restricted', dr1, s.feed(p, { confidentiality: 'R' }), 422, 'L4'],
        ['L4: very restricted', s.feeder('s1'), s.feed(p, { confidentiality: 'V' }), 422, 'L4'],
        [
          'a label in meta.security',
          dr1,
          s.feed(p, { more: { meta: { security: [{ system: TRE_A07, code: MASKED }] } } }),
          422,
          'L0',
        ],
        ['no label element at all', dr1, s.feed(p, { more: { securityLabel: undefined } }), 200],
        ['superseded from the start', dr1, s.feed(p, { more: { status: 'superseded' } }), 422, 'W1'],
        [
          'bytes inline',
          dr1,
          s.feed(p, { more: { content: [{ attachment: { contentType: 'text/plain', data: 'eA==' } }] } }),
          422,
          'W23',
        ],
      ],
    );
  });

  it('W2: deposits', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver');
    const deposit = (parts: Parameters<Stage['feed']>[1]): Ask => s.deposit(p, parts);
    const sized = (size: number): Ask => deposit({ bytes: 'x'.repeat(size) });
    await s.table(
      [p],
      [
        ['DOCPAT by prefix', h, deposit({ typeCode: 'DOCPAT42' }), 200],
        ['EXPPAT by prefix', h, deposit({ typeCode: 'EXPPAT_3' }), 200],
        ['the vaccination record', h, deposit({ typeCode: '11369-6' }), 200],
        ['advance directives', h, deposit({ typeCode: '42348-3' }), 200],
        ['a prefix in the middle', h, deposit({ typeCode: 'XDOCPAT' }), 422, 'W2'],
        ['a report', h, deposit({ typeCode: '34112-3' }), 422, 'W2'],
        [
          'two types of which one is allowed',
          h,
          deposit({ more: { type: { coding: [{ code: 'DOCPAT1' }, { code: '34112-3' }] } } }),
          422,
          'W2',
        ],
        ['image/png', h, deposit({ contentType: 'image/png' }), 200],
        ['application/pdf, other case and a parameter', h, deposit({ contentType: 'Application/PDF; name="a"' }), 200],
        ['text/html', h, deposit({ contentType: 'text/html' }), 422, 'W2'],
        ['text/plaintext', h, deposit({ contentType: 'text/plaintext' }), 422, 'W2'],
        ['a text that says it is a picture', h, deposit({ contentType: 'image/png', bytes: 'x' }), 422, 'W2'],
        ['a page that says it is a text', h, deposit({ bytes: '<html><script>x</script></html>' }), 422, 'W2'],
        [
          'the page, from a professional',
          s.professional('dr1'),
          s.feed(p, { bytes: '<html>', contentType: 'text/html' }),
          200,
        ],
        ['an executable', h, deposit({ contentType: 'application/x-msdownload' }), 422, 'W2'],
        ['one byte', h, sized(1), 200],
        ['nothing', h, sized(0), 422, 'W2'],
        ['the limit', h, sized(1000), 200],
        ['one byte more', h, sized(1001), 422, 'W2'],
        ['no attachment', h, deposit({ more: { content: [{ attachment: { title: 'nothing' } }] } }), 422, 'W2'],
        ['a legal representative', s.representative(legal.related, p), deposit({}), 200],
        ['W12: a caregiver', s.representative(care.related, p), deposit({}), 200],
        ['W6: hidden from the holder by the holder', h, deposit({ labels: [HIDDEN] }), 422, 'W6'],
        ['W6: closed to representatives by the holder', h, deposit({ labels: [CLOSED] }), 200],
        [
          'W6: closed to representatives by one',
          s.representative(legal.related, p),
          deposit({ labels: [CLOSED] }),
          422,
          'W6',
        ],
        ['masked by the holder', h, deposit({ labels: [MASKED] }), 200],
        ['L4: restricted', h, deposit({ confidentiality: 'R' }), 422, 'L4'],
        ['in the space of another', s.holder(await s.person()), deposit({}), 422],
        ['before enrolment', s.holder(await s.person('open')), s.deposit(await s.person('open')), 422],
      ],
    );
  });

  it('W3: who replaces and who deletes', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.grant(p, 'dr3', 'attending-physician');
    await s.grant(p, 'dr2');
    const dr1 = s.professional('dr1');
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver');
    const guardian = s.representative(legal.related, p);
    const caregiver = s.representative(care.related, p);
    const replace = (target: string, parts: object = {}): Ask => s.feed(p, { replaces: target, ...parts });
    const redo = (target: string): Ask => s.deposit(p, { replaces: target });
    const report = await fedBy(dr1, p);
    const ofFeeder = await fedBy(s.feeder('s1'), p);
    const elsewhere = await fedBy(s.professional('dr1', { structure: 's2' }), p);
    const mine = await deposited(h, p);
    const careDeposit = await deposited(caregiver, p);
    await s.table(
      [p],
      [
        ['another professional deletes', s.professional('dr2', { structure: 's2' }), del(report), 403, 'W3'],
        ['another professional replaces', s.professional('dr2', { structure: 's2' }), replace(report), 403, 'W3'],
        ['one who does not see it', s.professional('works', { structure: 's3' }), del(report), 404],
        ['one who does not see it replaces', s.professional('works', { structure: 's3' }), replace(report), 404],
        ['replaces what never existed', dr1, replace('DocumentReference/never-existed'), 404],
        ['replaces one of another server', dr1, replace('https://other.example/fhir/DocumentReference/1'), 422],
        [
          'the attending physician deletes a report',
          s.professional('dr3', { structure: 's3' }),
          del(report),
          403,
          'W3',
        ],
        ['the holder deletes a report', h, del(report), 403, 'W3'],
        ['the holder replaces a report', h, redo(report), 403, 'W3'],
        ['a legal representative deletes a report', guardian, del(report), 403, 'W3'],
        ['the insurer', s.insurer(), del(report), 404],
        ['the operator', s.operator('repair of a test'), del(report), 404],
        ['a feeder of another structure', s.feeder('s2'), del(report), 404],
        ['a caregiver deletes what the holder deposited', caregiver, del(mine), 403, 'W3'],
        ['a caregiver replaces what the holder deposited', caregiver, redo(mine), 403, 'W3'],
        ['a professional deletes a deposit', s.professional('dr2', { structure: 's2' }), del(mine), 403, 'W3'],
        ['the author’s structure replaces', s.professional('works'), replace(report), 200],
        ['a target superseded', dr1, replace(report), 409, 'W3'],
        ['the feeder of the structure replaces its own', s.feeder('s1'), replace(ofFeeder), 200],
        [
          'the author in person, from elsewhere, in break-glass',
          s.professional('dr1', { structure: 's3', purpose: 'BTG', patient: p }),
          replace(elsewhere),
          200,
        ],
        ['with another identity', dr1, replace(elsewhere, { traits: (await s.person()).traits }), 422, 'W1'],
        ['a document of another person', dr1, s.feed(await s.person(), { replaces: elsewhere }), 422, 'W3'],
        [
          'two at once',
          dr1,
          s.feed(p, {
            more: {
              relatesTo: [
                { code: 'replaces', target: { reference: elsewhere } },
                { code: 'replaces', target: { reference: ofFeeder } },
              ],
            },
          }),
          422,
          'W3',
        ],
        ['the caregiver replaces their own', caregiver, redo(careDeposit), 200],
        ['a legal representative replaces what the holder deposited', guardian, redo(mine), 200],
        ['the author deletes what is superseded', dr1, del(report), 204],
        ['again: gone', dr1, del(report), 410],
        ['replaces what is deleted', dr1, replace(report), 410],
        ['patches what is deleted', dr1, patch(report, [{ op: 'add', path: '/description', value: 'x' }]), 410],
        ['the deleted, to one who never saw it', s.professional('works', { structure: 's3' }), del(report), 404],
      ],
    );
    expect(await status(dr1, ofFeeder)).toBe('superseded');
    expect(await s.versionsOf(dr1, ofFeeder)).toBe(2);
    const [forCare, forHolder, forAttending] = [
      await deposited(caregiver, p),
      await deposited(h, p),
      await deposited(h, p),
    ];
    await s.done(h, s.end(care.delegation));
    await s.table(
      [p],
      [
        ['a caregiver without delegation', caregiver, del(forCare), 404],
        ['the holder deletes a caregiver’s deposit', h, del(forCare), 204],
        ['a legal representative deletes the holder’s', guardian, del(forHolder), 204],
        [
          'A6: the attending physician in break-glass',
          s.professional('dr3', { structure: 's3', purpose: 'BTG', patient: p }),
          del(forAttending),
          403,
          'W3',
        ],
        [
          'the attending physician replaces a deposit',
          s.professional('dr3', { structure: 's3' }),
          replace(forAttending, { typeCode: 'DOCPAT1' }),
          200,
        ],
        [
          'the attending physician deletes a deposit',
          s.professional('dr3', { structure: 's3' }),
          del(forAttending),
          204,
        ],
      ],
    );
    const last = await fedBy(dr1, p);
    await s.done(h, post(s.consent(p, 'feed-opposition', 'deny', { actor: s.known('dr1') })));
    await s.table(
      [p],
      [
        ['W1: an author opposed does not replace', dr1, replace(last), 403, 'W1'],
        ['but deletes', dr1, del(last), 204],
      ],
    );
    const blocked = await fedBy(s.feeder('s2'), p);
    await s.done(h, post(s.consent(p, 'organization-access', 'deny', { actor: s.known('s2') })));
    await s.table(
      [p],
      [
        ['a blocked author has no sight', s.feeder('s2'), del(blocked), 404],
        ['nor replaces', s.feeder('s2'), replace(blocked), 404],
      ],
    );
  });

  it('W3: a replacement keeps labels and supersedes in the same transaction', async () => {
    const p = await s.person();
    const dr1 = s.professional('dr1');
    const masked = await fedBy(dr1, p, { labels: [MASKED] });
    const after = await fedBy(dr1, p, { replaces: masked, labels: [CLOSED] });
    expect(await labels(dr1, after)).toEqual([CLOSED, MASKED]);
    expect(await status(dr1, masked)).toBe('superseded');
    const third = await fedBy(dr1, p, { replaces: after });
    expect(await labels(dr1, third)).toEqual([CLOSED, MASKED]);
    await s.table(
      [p],
      [
        ['L1: what is kept and what is sent', dr1, s.feed(p, { replaces: third, labels: [HIDDEN] }), 422, 'L1'],
        ['not the latest', dr1, s.feed(p, { replaces: after }), 409, 'W3'],
      ],
    );
    expect(await status(dr1, third)).toBe('current');
    const identifier = s.urn();
    await fedBy(dr1, p, { uniqueId: identifier });
    await s.table(
      [p],
      [
        ['the identifier again, by the same structure', s.feeder('s1'), s.feed(p, { uniqueId: identifier }), 409],
        ['the identifier again, about another person', dr1, s.feed(await s.person(), { uniqueId: identifier }), 409],
        ['the identifier again, by another structure', s.feeder('s2'), s.feed(p, { uniqueId: identifier }), 200],
      ],
    );
  });

  it('W3, contract: deleting takes Binary, List and Provenance along', async () => {
    const p = await s.person();
    const h = s.holder(p);
    const { method, path, body } = s.deposit(p);
    const bundle = body as { readonly entry: readonly Entry[] } & Resource;
    const kept = (await s.fed(h, s.deposit(p))).document;
    const document = bundle.entry[1]?.fullUrl ?? '';
    const entry = (resource: Resource): object => ({
      fullUrl: s.urn(),
      resource,
      request: { method: 'POST', url: resource.resourceType },
    });
    const { refs } = await s.fed(h, {
      method: method ?? 'POST',
      path,
      body: {
        ...bundle,
        entry: [
          ...bundle.entry,
          entry(provenanceBody(document, p.ref, new Date(s.now()).toISOString())),
          entry(listBody(p.ref, [document])),
          entry(listBody(p.ref, [document, kept])),
        ],
      },
    });
    const [binary = '', mine = '', provenance = '', alone = '', shared = ''] = refs;
    for (const ref of refs) expect((await s.ask(h, get(ref))).status).toBe(200);
    await s.table(
      [p],
      [
        [
          'W23: a Binary is not replaced',
          h,
          { method: 'PUT', path: binary, body: { ...binaryBody('other'), id: binary.replace('Binary/', '') } },
          405,
        ],
        ['W23: a Binary is not deleted', h, del(binary), 405],
        ['W23: a List is not replaced', h, put({ ...listBody(p.ref, [mine]), id: alone.replace('List/', '') }), 405],
        ['W23: a List is not deleted', h, del(alone), 405],
        [
          'W23: a Provenance is not replaced',
          h,
          put({ ...provenanceBody(mine, p.ref, '2026-06-01T09:00:00Z'), id: provenance.replace('Provenance/', '') }),
          405,
        ],
        ['W23: a Provenance is not deleted', h, del(provenance), 405],
        ['the document is deleted', h, del(mine), 204],
        ['its Binary is gone', h, get(binary), 410],
        ['its Provenance is gone', h, get(provenance), 410],
        ['its List is gone', h, get(alone), 410],
        ['a List with another document stays', h, get(shared), 200],
      ],
    );
  });

  it('W23: what belongs to documents is filed with them', async () => {
    const p = await s.person();
    const other = await s.person();
    const h = s.holder(p);
    const dr1 = s.professional('dr1');
    await s.grant(p, 'dr1');
    const mine = await fedBy(dr1, p);
    const theirs = await fedBy(s.feeder('s2'), p);
    const elsewhere = await fedBy(dr1, other);
    const loose = await s.made(dr1, post(binaryBody('loose')));
    const limited = s.professional('dr1', { patient: p });
    const used = (await s.fed(dr1, s.feed(p))).binary;
    const ofOther = await s.made(s.professional('dr2'), post(binaryBody('of another')));
    const document = (url: string): Resource => {
      const bundle = s.feed(p).body as { readonly entry: readonly { readonly resource: Resource }[] };
      const body = bundle.entry[1]?.resource as Resource;
      return { ...body, content: [{ attachment: { contentType: 'text/plain', url } }] };
    };
    const when = new Date(s.now()).toISOString();
    await s.table(
      [p, other],
      [
        ['a Binary by the insurer', s.insurer(), post(binaryBody('x')), 403, 'W1'],
        ['a Binary by the operator', s.operator('repair of a test'), post(binaryBody('x')), 403, 'W1'],
        [
          'C6: a Binary alone by an emergency token',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          post(binaryBody('x')),
          403,
          'C6',
        ],
        [
          'C6: a Binary alone in a transaction of one',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          post({
            resourceType: 'Bundle',
            type: 'transaction',
            entry: [{ fullUrl: s.urn(), resource: binaryBody('x'), request: { method: 'POST', url: 'Binary' } }],
          }),
          403,
          'C6',
        ],
        ['a document with the Binary of somebody else', dr1, post(document(ofOther)), 422],
        ['a document with a Binary in use', dr1, post(document(used)), 422],
        ['a document with a Binary that is none', dr1, post(document('Binary/never-existed')), 422],
        ['a document with an address elsewhere', dr1, post(document('https://elsewhere.test.example/x')), 422, 'W23'],
        ['C6: a token of one person does not see what was uploaded before', limited, post(document(loose)), 422],
        ['no more than what does not exist', limited, post(document('Binary/nowhere')), 422],
        ['a document with a Binary uploaded before', dr1, post(document(loose)), 201],
        ['and now it is in use', dr1, post(document(loose)), 422],
        ['a List of a document of another author', dr1, post(listBody(p.ref, [theirs])), 403, 'W23'],
        ['a List of one’s own', dr1, post(listBody(p.ref, [mine])), 201],
        ['a List about another person than its documents', dr1, post(listBody(other.ref, [mine])), 422],
        ['a List of what is no document', dr1, post(listBody(p.ref, [p.ref])), 422, 'W23'],
        [
          'a label on a List',
          dr1,
          post({ ...listBody(p.ref, [mine]), meta: { security: [{ system: TRE_A07, code: MASKED }] } }),
          422,
          'L0',
        ],
        ['a Provenance of one’s own', dr1, post(provenanceBody(mine, s.known('dr1'), when)), 201],
        [
          'a Provenance of nothing that exists',
          dr1,
          post(provenanceBody('DocumentReference/never-existed', s.known('dr1'), when)),
          422,
        ],
        ['a Provenance of no document', dr1, post(provenanceBody(p.ref, s.known('dr1'), when)), 422, 'W23'],
        [
          'a Provenance of two persons’ documents',
          dr1,
          post({
            ...provenanceBody(mine, s.known('dr1'), when),
            target: [{ reference: mine }, { reference: elsewhere }],
          }),
          422,
        ],
        ['a List by the insurer', s.insurer(), post({ ...listBody(p.ref, []), entry: undefined }), 403, 'W1'],
        ['the holder, a List of a report', h, post(listBody(p.ref, [mine])), 403, 'W23'],
        ['the holder, a folder of their own', h, post({ ...listBody(p.ref, []), entry: undefined }), 201],
      ],
    );
    const stale = await s.made(dr1, post(binaryBody('stale')));
    await s.setClock(s.now() + HOUR);
    await s.table([p], [['a Binary uploaded an hour ago', s.professional('dr1'), post(document(stale)), 422]]);
  });

  it('W23: a Binary that no document named within the hour is swept, once, and nothing else is', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const dr1 = (): string => s.professional('dr1');
    const { binary: attached } = await s.fed(dr1(), s.feed(p));
    const loose = await s.made(dr1(), post(binaryBody('loose')));
    await s.setClock(s.now() + HOUR - 60_000);
    const young = await s.made(dr1(), post(binaryBody('young')));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect((await s.ask(dr1(), get(loose))).status).toBe(200);
    await s.setClock(s.now() + 60_000);
    await expect.poll(async () => (await s.ask(dr1(), get(loose))).status, { timeout: 10_000 }).toBe(410);
    // To everybody else it is what it was: nothing.
    expect((await s.ask(s.professional('dr2'), get(loose))).status).toBe(404);
    expect((await s.ask(dr1(), get(attached))).status).toBe(200);
    expect((await s.ask(dr1(), get(young))).status).toBe(200);
    const told = entriesOf(await s.done(s.operator('look'), get('AuditEvent?action=D&_sort=-date&_count=50'))).filter(
      (event) => JSON.stringify(event).includes(loose),
    );
    expect(told).toHaveLength(1);
    // The act is the server's own.
    expect(told[0]).toMatchObject({
      resource: {
        outcome: '0',
        subtype: [{ code: 'delete' }],
        agent: [{ requestor: true, who: { display: 'Carnet' } }],
      },
    });
  });

  it('W4, W5: who masks and who unmasks', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.grant(p, 'dr2');
    await s.grant(p, 'dr3', 'attending-physician');
    const legal = await s.delegate(p, 'legal');
    const care = await s.delegate(p, 'caregiver');
    const guardian = s.representative(legal.related, p);
    const caregiver = s.representative(care.related, p);
    const dr2 = s.professional('dr2', { structure: 's2' });
    const attending = s.professional('dr3', { structure: 's3' });
    const author = s.professional('dr1');
    const item = await fedBy(author, p);
    const stated = (value: boolean) => ({ name: 'atHoldersRequest', valueBoolean: value });
    const asked = (parameters: object) => ({
      method: 'POST',
      path: `${item}/$mask`,
      body: { resourceType: 'Parameters', ...parameters },
    });
    await s.table(
      [p],
      [
        ['a caregiver masks', caregiver, mask(item), 403, 'W12'],
        ['a professional who does not state it', dr2, mask(item), 403, 'W4'],
        [
          'a professional who states false',
          dr2,
          operation(item, '$mask', { name: 'atHoldersRequest', valueBoolean: false }),
          403,
          'W4',
        ],
        ['the author without the gate', author, mask(item, true), 403, 'W4'],
        [
          'A6: in break-glass',
          s.professional('dr2', { structure: 's2', purpose: 'BTG', patient: p }),
          mask(item, true),
          403,
          'A6',
        ],
        [
          'A6: centre 15',
          s.professional('dr2', { structure: 's2', purpose: 'ETREAT', patient: p }),
          mask(item, true),
          403,
          'A6',
        ],
        ['the feeder who filed', s.feeder('s1'), mask(item), 403, 'W4'],
        ['the insurer', s.insurer(), mask(item), 404],
        ['the operator', s.operator('repair of a test'), mask(item), 404],
        ['one who does not see it', s.professional('works', { structure: 's3' }), mask(item, true), 404],
        ['a parameter that is none', h, operation(item, '$mask', { name: 'why', valueString: 'x' }), 400],
        ['a parameter twice', h, asked({ parameter: [stated(true), stated(false)] }), 400],
        ['parameters that are no list', h, asked({ parameter: stated(true) }), 400],
        ['an element that is none', h, asked({ parameters: [stated(true)] }), 400],
        [
          'bytes',
          h,
          { method: 'POST', path: `${item}/$mask`, form: 'x', headers: { 'content-type': 'text/plain' } },
          415,
        ],
        ['a professional who states it', dr2, mask(item, true), 200],
        ['and does not see it any more', dr2, unmask(item), 404],
        ['a caregiver unmasks', caregiver, unmask(item), 403, 'W12'],
        [
          'A6: the author unmasks in break-glass',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          unmask(item),
          403,
          'A6',
        ],
        ['the author unmasks', author, unmask(item), 200],
        ['a professional who sees it unmasks', dr2, unmask(item), 403, 'W5'],
        ['a legal representative masks', guardian, mask(item), 200],
        ['the attending physician unmasks', attending, unmask(item), 200],
        ['the holder masks', h, mask(item), 200],
        ['again: without effect', h, mask(item), 200],
        ['a legal representative unmasks', guardian, unmask(item), 200],
        ['the holder unmasks: without effect', h, unmask(item), 200],
      ],
    );
    expect(await s.versionsOf(author, item)).toBe(7);
    const hidden = await fedBy(author, p, { labels: [HIDDEN] });
    const own = await s.made(h, post(relatedPersonBody(p.ref, 'TRUSTED', [])));
    await s.table(
      [p],
      [
        ['the holder masks what is hidden from them', h, mask(hidden), 404],
        ['L1: a professional masks what is hidden', attending, mask(hidden, true), 422, 'L1'],
        ['the holder masks a RelatedPerson', h, mask(own), 200],
        ['the attending physician unmasks it', attending, unmask(own), 200],
        ['C7: a RelatedPerson whom a delegation names', h, mask(care.related), 422, 'C7'],
        ['that there is a delegation is not told to a professional', attending, mask(care.related, true), 403, 'W4'],
        ['where there is none either', attending, mask(own, true), 403, 'W4'],
        ['GET on an operation', h, get(`${item}/$mask`), 405],
      ],
    );
  });

  it('W5: the exemption from mask everything, and its end', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.grant(p, 'dr2');
    const dr2 = s.professional('dr2', { structure: 's2' });
    const item = await fedBy(s.professional('dr1'), p);
    const sees = async (): Promise<number> => (await s.ask(dr2, get(item))).status;
    expect(await sees()).toBe(200);
    const deny = await s.made(h, post(s.consent(p, 'document-default', 'deny')));
    expect(await sees()).toBe(404);
    await s.done(h, unmask(item));
    expect(await sees()).toBe(200);
    expect(await s.versionsOf(h, item)).toBe(1);
    await s.done(h, patch(deny, [{ op: 'replace', path: '/dateTime', value: '2026-06-01T08:00:00Z' }]));
    expect(await sees()).toBe(200);
    await s.done(h, mask(item));
    expect(await sees()).toBe(404);
    await s.done(h, unmask(item));
    expect(await sees()).toBe(200);
    // the exemption ends with that deny: another one masks all again
    await s.done(h, s.end(deny));
    expect(await sees()).toBe(200);
    await s.done(h, patch(deny, [{ op: 'replace', path: '/status', value: 'active' }]));
    expect(await sees()).toBe(404);
    await s.done(h, unmask(item));
    await s.done(h, post(s.consent(p, 'document-default', 'deny')));
    expect(await sees()).toBe(404);
    // unmasked while none stands: no exemption from a later one
    await s.done(h, post(s.consent(p, 'document-default', 'permit')));
    await s.done(h, unmask(item));
    expect(await sees()).toBe(200);
    await s.done(h, post(s.consent(p, 'document-default', 'deny')));
    expect(await sees()).toBe(404);
    const late = await fedBy(s.professional('dr1'), p);
    expect((await s.ask(dr2, get(late))).status).toBe(404);
  });

  it('W6: who hides and who shows', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.grant(p, 'dr2');
    await s.grant(p, 'dr3', 'attending-physician');
    const legal = await s.delegate(p, 'legal');
    const guardian = s.representative(legal.related, p);
    const author = s.professional('dr1');
    const dr2 = s.professional('dr2', { structure: 's2' });
    const attending = s.professional('dr3', { structure: 's3' });
    const item = await fedBy(author, p);
    const mine = await deposited(h, p);
    const theirs = await deposited(guardian, p);
    await s.table(
      [p],
      [
        ['the holder hides a report from themselves', h, hide(item, 'patient'), 403, 'W6'],
        ['another professional hides', dr2, hide(item, 'patient'), 403, 'W6'],
        ['the attending physician hides', attending, hide(item, 'patient'), 403, 'W6'],
        [
          'A6: the author in break-glass',
          s.professional('dr1', { purpose: 'BTG', patient: p }),
          hide(item, 'patient'),
          403,
          'A6',
        ],
        ['no side named', author, operation(item, '$hide'), 400],
        ['an unknown side', author, operation(item, '$hide', { name: 'from', valueCode: 'insurer' }), 400],
        ['the feeder of the structure hides', s.feeder('s1'), hide(item, 'patient'), 200],
        ['the holder has lost it', h, release(item, 'patient'), 404],
        ['the representative has lost it', guardian, get(item), 404],
        [
          'A6: shown in break-glass',
          s.professional('dr2', { structure: 's2', purpose: 'BTG', patient: p }),
          release(item, 'patient'),
          403,
          'A6',
        ],
        ['any professional with the gate shows', dr2, release(item, 'patient'), 200],
        ['and the author hides it again', author, hide(item, 'patient'), 200],
        ['and shows it without the gate', author, release(item, 'patient'), 200],
        ['the holder shows: not theirs', h, release(item, 'patient'), 403, 'W6'],
        ['the holder closes a report to representatives', h, hide(item, 'representatives'), 403, 'W6'],
        ['a professional who is not the author', dr2, hide(item, 'representatives'), 403, 'W6'],
        ['the attending physician', attending, hide(item, 'representatives'), 403, 'W6'],
        ['the author', author, hide(item, 'representatives'), 200],
        ['the representative has lost it', guardian, get(item), 404],
        ['a professional shows it to them', dr2, release(item, 'representatives'), 403, 'W6'],
        ['the holder shows a report', h, release(item, 'representatives'), 403, 'W6'],
        ['the attending physician shows it', attending, release(item, 'representatives'), 200],
        ['once shown, never hidden again', author, hide(item, 'representatives'), 403, 'W6'],
        ['the holder, their own deposit', h, hide(mine, 'representatives'), 200],
        ['a professional shows it', dr2, release(mine, 'representatives'), 403, 'W6'],
        ['the holder shows it', h, release(mine, 'representatives'), 200],
        ['and not again', h, hide(mine, 'representatives'), 403, 'W6'],
        ['the holder, a deposit of the representative', h, hide(theirs, 'representatives'), 403, 'W6'],
        ['a representative, their own deposit', guardian, hide(theirs, 'representatives'), 403, 'W6'],
        ['a replacement is another item', author, s.feed(p, { replaces: item, labels: [CLOSED] }), 200],
        ['L1: hide what is masked', author, mask(item, true), 403, 'W4'],
      ],
    );
    const masked = await fedBy(author, p, { labels: [MASKED] });
    await s.table([p], [['L1: hide what is masked', author, hide(masked, 'patient'), 422, 'L1']]);
  });

  it('W7, L2: one calendar month', async () => {
    await s.setClock(Date.parse('2026-08-31T10:00:00Z'));
    const p = await s.person();
    await s.grant(p, 'dr2');
    const item = await fedBy(s.professional('dr1'), p, { labels: [HIDDEN] });
    const other = await fedBy(s.professional('dr1'), p);
    const sees = async (): Promise<number> => (await s.ask(s.holder(p), get(item))).status;
    expect(await sees()).toBe(404);
    // the last day of a shorter month, the same Paris time: 12:00 in summer time on both days
    await s.setClock(Date.parse('2026-09-30T09:59:59.999Z'));
    expect(await sees()).toBe(404);
    await s.table(
      [p],
      [['the author hides another, the last millisecond', s.professional('dr1'), hide(other, 'patient'), 200]],
    );
    await s.done(s.professional('dr1'), release(other, 'patient'));
    await s.setClock(Date.parse('2026-09-30T10:00:00Z'));
    expect(await sees()).toBe(200);
    await s.table(
      [p],
      [
        ['the author hides after a month', s.professional('dr1'), hide(other, 'patient'), 403, 'W6'],
        ['the author hides what is hidden no more', s.professional('dr1'), hide(item, 'patient'), 403, 'W6'],
        ['L2 does not count any more: the holder masks', s.holder(p), mask(item), 200],
      ],
    );
    expect(await labels(s.holder(p), item)).toContain(MASKED);
    expect((await s.ask(s.professional('dr2', { structure: 's2' }), get(item))).status).toBe(404);
    expect(await sees()).toBe(200);
  });

  it('L2, W3: a replacement does not keep a label whose month is over', async () => {
    const p = await s.person();
    const document = await fedBy(s.feeder('s1'), p, { labels: [HIDDEN] });
    const filed = s.now();
    await s.setClock(filed + 40 * DAY);
    expect((await s.ask(s.holder(p), get(document))).status).toBe(200);
    const replacement = await fedBy(s.feeder('s1'), p, { replaces: document });
    expect((await s.ask(s.holder(p), get(replacement))).status).toBe(200);
  });

  it('W8: a secret session', async () => {
    const p = await s.person();
    const secret = s.professional('dr1', { secret: true });
    const item = await fedBy(secret, p);
    expect(await labels(secret, item)).toEqual([CLOSED]);
    const open = await fedBy(s.professional('dr1'), p);
    const after = await fedBy(secret, p, { replaces: open, labels: [MASKED] });
    expect(await labels(secret, after)).toEqual([CLOSED, MASKED]);
    const mine = await deposited(s.holder(p, { secret: true }), p);
    expect(await labels(s.holder(p), mine)).toEqual([CLOSED]);
    const related = await s.made(s.holder(p, { secret: true }), post(relatedPersonBody(p.ref, 'SECRET', [])));
    expect(await labels(s.holder(p), related)).toEqual([CLOSED]);
    const legal = await s.delegate(p, 'legal');
    for (const ref of [item, mine, related])
      expect((await s.ask(s.representative(legal.related, p), get(ref))).status).toBe(404);
    await s.table(
      [p],
      [
        [
          'a secret session in break-glass',
          s.professional('dr1', { secret: true, purpose: 'BTG', patient: p }),
          s.feed(p),
          401,
        ],
        [
          'a secret session of a feeder',
          s.backends.feeder({ now: s.now(), structure: '10008000001', carnet: { secret: true } }),
          s.feed(p),
          401,
        ],
      ],
    );
  });

  it('W10: what update and patch never change', async () => {
    const p = await s.person();
    const other = await s.person();
    const dr1 = s.professional('dr1');
    const h = s.holder(p);
    const item = await fedBy(dr1, p, { labels: [MASKED, CLOSED] });
    const mine = await deposited(h, p);
    const body = await s.body(dr1, item);
    const changed = (more: object): Ask => put({ ...body, ...more });
    const security = body.securityLabel as readonly object[];
    const at = (code: string): number => security.findIndex((one) => JSON.stringify(one).includes(code));
    const masked = at(MASKED);
    const [content] = body.content as readonly object[];
    await s.table(
      [p, other],
      [
        ['the subject', dr1, changed({ subject: { reference: other.ref } }), 422, 'W10'],
        ['the author', dr1, changed({ author: [{ reference: s.known('dr2') }] }), 422, 'W10'],
        ['the custodian', dr1, changed({ custodian: { reference: s.known('s2') } }), 422, 'W10'],
        ['the authenticator', dr1, changed({ authenticator: { reference: s.known('dr2') } }), 422, 'W10'],
        ['the master identifier', dr1, changed({ masterIdentifier: { value: 'urn:uuid:1' } }), 422, 'W10'],
        ['an identifier', dr1, changed({ identifier: [{ value: '1' }] }), 422, 'W10'],
        [
          'what it replaces',
          dr1,
          changed({ relatesTo: [{ code: 'replaces', target: { reference: mine } }] }),
          422,
          'W10',
        ],
        [
          'the content',
          dr1,
          changed({ content: [{ ...content, attachment: { contentType: 'text/plain', url: 'Binary/other' } }] }),
          422,
          'W10',
        ],
        [
          'the subject by a patch',
          dr1,
          patch(item, [{ op: 'replace', path: '/subject/reference', value: other.ref }]),
          422,
          'W10',
        ],
        [
          'the author by a FHIRPath Patch',
          dr1,
          fhirPatch(item, [{ type: 'delete', path: 'DocumentReference.author' }]),
          422,
          'W10',
        ],
        [
          'labels by a PUT',
          dr1,
          changed({ securityLabel: security.filter((one) => !JSON.stringify(one).includes(MASKED)) }),
          422,
          'W10',
        ],
        ['the labels left out of a PUT', dr1, changed({ securityLabel: undefined }), 422, 'W10'],
        ['a label by its position', dr1, patch(item, [{ op: 'remove', path: `/securityLabel/${masked}` }]), 422, 'W10'],
        ['all labels at once', dr1, patch(item, [{ op: 'remove', path: '/securityLabel' }]), 422, 'W10'],
        [
          'a label replaced by position',
          dr1,
          patch(item, [{ op: 'replace', path: `/securityLabel/${masked}`, value: labelled('INVISIBLE_PATIENT') }]),
          422,
          'W10',
        ],
        [
          'a label by position, by a FHIRPath Patch',
          dr1,
          fhirPatch(item, [{ type: 'delete', path: `DocumentReference.securityLabel[${masked}]` }]),
          422,
          'W10',
        ],
        [
          'the last label, by a FHIRPath Patch',
          dr1,
          fhirPatch(item, [{ type: 'delete', path: 'DocumentReference.securityLabel.last()' }]),
          422,
          'W10',
        ],
        [
          'a label moved away by its position',
          dr1,
          patch(item, [
            { op: 'move', from: `/securityLabel/${masked}/coding/0`, path: '/type/coding/-' },
            { op: 'remove', path: '/type/coding/1' },
            { op: 'test', path: `/securityLabel/${masked}`, value: {} },
          ]),
          422,
        ],
        [
          'a label moved out by its position',
          dr1,
          patch(item, [{ op: 'move', from: `/securityLabel/${masked}`, path: '/category/-' }]),
          422,
          'W10',
        ],
        [
          'the whole document replaced',
          dr1,
          patch(item, [{ op: 'replace', path: '', value: { ...body, securityLabel: [security[0]] } }]),
          422,
          'W10',
        ],
        ['the id', dr1, patch(item, [{ op: 'replace', path: '/id', value: 'other' }]), 422, 'W10'],
        ['the version', dr1, patch(item, [{ op: 'replace', path: '/meta/versionId', value: '9' }]), 422, 'W10'],
        ['entered in error', dr1, changed({ status: 'entered-in-error' }), 422, 'W3'],
        ['superseded without a replacement', dr1, changed({ status: 'superseded' }), 422, 'W3'],
        [
          'restricted',
          dr1,
          patch(item, [{ op: 'replace', path: `/securityLabel/${at('"N"')}/coding/0/code`, value: 'R' }]),
          422,
          'L4',
        ],
        ['the holder describes a report', h, patch(item, [{ op: 'add', path: '/description', value: 'x' }]), 403, 'W3'],
        [
          'W2: the holder makes a report of a deposit',
          h,
          patch(mine, [{ op: 'replace', path: '/type/coding/0/code', value: '34112-3' }]),
          422,
          'W2',
        ],
        ['a PUT of the same', dr1, changed({}), 200],
        ['the description', dr1, changed({ description: 'another' }), 200],
        [
          'a label that the patch names',
          dr1,
          patch(item, [
            { op: 'test', path: `/securityLabel/${masked}`, value: security[masked] },
            { op: 'remove', path: `/securityLabel/${masked}` },
          ]),
          200,
        ],
        [
          'a label added by a patch: the author has no gate',
          dr1,
          patch(item, [{ op: 'add', path: '/securityLabel/-', value: labelled(MASKED) }]),
          403,
          'W4',
        ],
        [
          'a label added by a patch',
          h,
          patch(item, [{ op: 'add', path: '/securityLabel/-', value: labelled(MASKED) }]),
          200,
        ],
        [
          'a label that a FHIRPath Patch names',
          h,
          fhirPatch(item, [
            { type: 'delete', path: `DocumentReference.securityLabel.where(coding.code = '${MASKED}')` },
          ]),
          200,
        ],
        [
          'a label of others that a FHIRPath Patch names',
          h,
          fhirPatch(item, [
            { type: 'delete', path: `DocumentReference.securityLabel.where(coding.code = '${CLOSED}')` },
          ]),
          403,
          'W6',
        ],
      ],
    );
    expect(await labels(dr1, item)).toEqual([CLOSED]);
    const old = await fedBy(dr1, p);
    await fedBy(dr1, p, { replaces: old });
    await s.table(
      [p],
      [
        [
          'a superseded one made current again',
          dr1,
          patch(old, [{ op: 'replace', path: '/status', value: 'current' }]),
          422,
          'W3',
        ],
        ['and replaced again', dr1, s.feed(p, { replaces: old }), 409, 'W3'],
      ],
    );
  });

  it('W3, A6: who only reads a document changes nothing of it but labels', async () => {
    const p = await s.person();
    await s.grant(p, 'dr2');
    const document = await fedBy(s.feeder('s1'), p);
    const div = '<div xmlns="http://www.w3.org/1999/xhtml">another text</div>';
    const text = { status: 'additional', div };
    const reader = s.professional('dr2', { structure: 's2' });
    const stored = await s.body(reader, document);
    await s.table(
      [p],
      [
        ['a narrative', reader, put({ ...stored, text }), 403, 'W3'],
        ['by the holder', s.holder(p), put({ ...stored, text }), 403, 'W3'],
        [
          'in an emergency',
          s.professional('dr3', { purpose: 'BTG', patient: p, structure: 's3' }),
          patch(document, [{ op: 'add', path: '/text', value: text }]),
          403,
          'W3',
        ],
        ['a tag', reader, patch(document, [{ op: 'add', path: '/meta/tag', value: [{ code: 'x' }] }]), 403, 'W3'],
        [
          'a claim',
          reader,
          patch(document, [{ op: 'add', path: '/meta/profile', value: ['http://x.test/y'] }]),
          403,
          'W3',
        ],
        [
          'words beside a label',
          reader,
          patch(document, [
            { op: 'test', path: '/securityLabel/0/coding/0/code', value: 'N' },
            { op: 'add', path: '/securityLabel/0/text', value: 'read me' },
          ]),
          403,
          'W3',
        ],
        ['nothing', reader, put(stored), 200],
        [
          'a label',
          s.holder(p),
          patch(document, [{ op: 'add', path: '/securityLabel/-', value: labelled(MASKED) }]),
          200,
        ],
        ['the author', s.feeder('s1'), patch(document, [{ op: 'add', path: '/text', value: text }]), 200],
      ],
    );
  });

  it('W10, W1: what a document contains stays, the identity that was compared and the author among it', async () => {
    const [p, q] = [await s.person(), await s.person()];
    const document = await fedBy(s.feeder('s1'), p);
    const stored = await s.body(s.feeder('s1'), document);
    const { contained: _contained, context: _context, ...bare } = stored;
    await s.table(
      [p],
      [
        [
          'the identity of another',
          s.feeder('s1'),
          put({ ...stored, contained: [patientBody(q.traits, { id: 'patient' })] }),
          422,
          'W10',
        ],
        ['no identity', s.feeder('s1'), put(bare), 422, 'W10'],
        [
          'an identity elsewhere',
          s.feeder('s1'),
          patch(document, [
            { op: 'add', path: '/context/related', value: [{ reference: '#patient' }] },
            { op: 'replace', path: '/context/sourcePatientInfo', value: { reference: q.ref } },
          ]),
          422,
          'W10',
        ],
      ],
    );
  });

  it('W1, W23: a Provenance comes with a feed whose author is blocked', async () => {
    const p = await s.person();
    await s.made(s.holder(p), post(s.consent(p, 'professional-access', 'deny', { actor: s.known('dr1') })));
    const ask = s.feed(p);
    const bundle = ask.body as Resource & { readonly entry: readonly Entry[] };
    const named = bundle.entry[1]?.fullUrl ?? '';
    const provenance = provenanceBody(named, s.known('dr1'), new Date(s.now()).toISOString());
    const entry = [...bundle.entry, { resource: provenance, request: { method: 'POST', url: 'Provenance' } }];
    const answer = await s.ask(s.professional('dr1'), { ...ask, body: { ...bundle, entry } });
    expect(answer.status, answer.text).toBe(200);
  });

  it('W23: two contents of one document may name one Binary', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const attachment = {
      contentType: 'text/plain',
      url: refIn((await s.done(s.feeder('s1'), post(binaryBody('x')))).headers.get('location')),
    };
    const ask = s.feed(p, { more: { content: [{ attachment }, { attachment }] } });
    const body = (ask.body as { readonly entry: readonly Entry[] }).entry[1]?.resource as Resource;
    const answer = await s.ask(s.feeder('s1'), post(body));
    expect(answer.status, answer.text).toBe(201);
    const document = refIn(answer.headers.get('location'));
    expect((await s.ask(s.professional('dr1'), get(attachment.url))).text).toContain('"data"');
    expect((await s.ask(s.feeder('s1'), del(document))).status).toBe(204);
  });

  it('contract: a creator gets what is stored, and the server records the author from the token', async () => {
    const p = await s.person();
    const feeder = s.feeder('s2');
    const binary = await s.made(feeder, post(binaryBody('by a feeder')));
    const bundle = s.feed(p).body as { readonly entry: readonly { readonly resource: Resource }[] };
    const body: Resource = {
      ...(bundle.entry[1]?.resource as Resource),
      content: [{ attachment: { contentType: 'text/plain', url: binary } }],
      author: [{ reference: s.known('dr3') }],
    };
    const answer = await s.done(feeder, post(body));
    expect(answer.status).toBe(201);
    expect(answer.json?.author).toEqual([{ reference: s.known('dr3') }]);
    const ref = refIn(answer.headers.get('location'));
    // declared as the author, and not: the server's own record says who filed
    await s.grant(p, 'dr3');
    await s.table(
      [p],
      [
        ['the declared author deletes', s.professional('dr3'), del(ref), 403, 'W3'],
        ['who filed has sight of the document', feeder, get(ref), 200],
        ['and none of its Binary', feeder, get(binary), 404],
        [
          'a conditional subject',
          feeder,
          post({
            ...body,
            masterIdentifier: { system: 'urn:ietf:rfc:3986', value: s.urn() },
            content: [{ attachment: { title: 'none' } }],
            subject: { reference: `Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|${p.traits.ins}` },
          }),
          201,
        ],
      ],
    );
    const found = entriesOf(await s.done(feeder, get(`DocumentReference?subject=${p.ref}`)));
    expect(found.length).toBe(2);
    expect(s.now() % DAY).toBeGreaterThan(0);
  });
});

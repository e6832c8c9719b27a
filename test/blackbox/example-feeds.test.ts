/**
 * The published examples of PDSm, of its application to the DMP and of IHE MHD, sent as feeds: each is accepted once what this server refuses in
 * it is mended, and refused, at the place that the table says, as long as one of those mends is left out. Then one feed for each invariant
 * that PDSm and MHD state without FHIRPath, which breaks that one alone.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { binaryBody, patientBody, type Resource } from '../support/fhir-bodies.ts';
import { comprehensiveBody, folderBody, MHD, provideBody, submissionSetBody } from '../support/mhd-bodies.ts';
import { missingSamples, type Sample, samplesIn } from '../support/samples.ts';
import type { Answer } from '../support/world.ts';
import { type Ask, entriesOf, type Person, post, refIn, ruleOf, type Stage, startStage } from './stage.ts';

const nos = (name: string, id: string): string => `https://mos.esante.gouv.fr/NOS/${name}/FHIR/${id}`;
const coded = (system: string, code: string) => ({ coding: [{ system, code }] });
const N = coded('http://terminology.hl7.org/CodeSystem/v3-Confidentiality', 'N');
const sector = nos('TRE_R02-SecteurActivite', 'TRE-R02-SecteurActivite');
const producer = nos('TRE_A00-ProducteurDocNonPS', 'TRE-A00-ProducteurDocNonPS');
const setting = nos('TRE_A01-CadreExercice', 'TRE-A01-CadreExercice');
const snomed = 'http://snomed.info/sct';
const insTest = 'urn:oid:1.2.250.1.213.1.4.10';

let s: Stage;
beforeAll(async () => {
  s = await startStage();
});
afterAll(() => s.dispose());

/** Where, by which rule and with which status something is refused; 422 when no other is given. */
type Fault = { readonly at: string; readonly rule?: string; readonly status?: number };
const faultsIn = (answer: Answer): readonly string[] =>
  ((answer.json?.['issue'] ?? []) as readonly { readonly expression?: readonly string[] }[]).flatMap(
    (i) => i.expression ?? [],
  );

let numbers = 0;
const number = (): number => {
  numbers += 1;
  return numbers;
};

type Member = Readonly<Record<string, unknown>>;
type Entry = {
  readonly fullUrl?: string;
  readonly resource?: Resource;
  readonly request?: { readonly method: string; readonly url: string };
};
const record = (value: unknown): Member => (value ?? {}) as Member;
const list = (value: unknown): readonly Member[] => (value ?? []) as readonly Member[];

const designation = (concept: Member) => ({ url: MHD.designationType, valueCodeableConcept: concept });
const isFolder = (resource: Resource): boolean => JSON.stringify(resource['code']).includes('folder');

// ---- what is changed of every example: whom it names ---------------------------------------------------------------

/** What stands here for what an example only names. */
type Known = { readonly person: Person; readonly document: string; readonly folder: string; readonly binary: string };

const standIn = (reference: string, { person, document, folder }: Known): string => {
  if (/(^|\/)Patient[/?]/.test(reference)) return person.ref;
  if (/^Practitioner\//.test(reference)) return s.known('dr1');
  if (/^PractitionerRole\//.test(reference)) return s.known('role s1');
  if (/^Organization\//.test(reference)) return s.known('s1');
  if (/^DocumentReference\//.test(reference)) return document;
  return /^List\//.test(reference) ? folder : reference;
};

/** An identifier of the test register for every INS, and one that is new for every document. */
function withIdentifiers(value: unknown, known: Known, suffix: number): unknown {
  if (Array.isArray(value)) return value.map((v) => withIdentifiers(v, known, suffix));
  if (value === null || typeof value !== 'object') return value;
  const of = value as Member;
  if (typeof of['value'] === 'string' && /^urn:oid:1\.2\.250\.1\.213\.1\.4\.8$/.test(String(of['system'])))
    return { ...of, system: insTest, value: known.person.traits.ins };
  if (of['system'] === 'urn:ietf:rfc:3986' && /^urn:oid:/.test(String(of['value'])))
    return { ...of, value: `${String(of['value'])}.${suffix}` };
  return Object.fromEntries(
    Object.entries(of).map(([name, v]) => [
      name,
      name === 'reference' && typeof v === 'string' ? standIn(v, known) : withIdentifiers(v, known, suffix),
    ]),
  );
}

// ---- what is mended -----------------------------------------------------------------------------------------------

/** A mend of a document, of a List or of an entry, and where an example is refused without it. */
type Mend = Fault & {
  readonly document?: (document: Resource, known: Known) => Resource;
  readonly list?: (list: Resource, known: Known) => Resource;
  readonly entry?: (entry: Entry, known: Known) => Entry;
};

const attached = (document: Resource, more: (attachment: Member) => Member): Resource => ({
  ...document,
  content: list(document['content']).map((c) => ({ ...c, attachment: more(record(c['attachment'])) })),
});
const inContext = (document: Resource, more: Member): Resource => ({
  ...document,
  context: { ...record(document['context']), ...more },
});

const withContent = (document: Resource, { binary }: Known): Resource =>
  attached(document, (a) => ({ ...a, url: binary }));

const MENDS = {
  'the identity is not the one registered': {
    at: 'DocumentReference.context.sourcePatientInfo',
    rule: 'W1',
    document: (d, { person }) => ({
      ...inContext(d, { sourcePatientInfo: { reference: '#identity' } }),
      contained: [
        ...list(d['contained']).filter((r) => r['resourceType'] !== 'Patient'),
        { ...patientBody(person.traits), id: 'identity' },
      ],
    }),
  },
  'the class contradicts the type': {
    at: 'DocumentReference.category',
    rule: 'W1',
    document: (d) => ({ ...d, category: undefined }),
  },
  'confidentiality R': {
    at: 'DocumentReference.securityLabel',
    rule: 'L4',
    document: (d) => ({ ...d, securityLabel: [N] }),
  },
  'the custodian is left out': {
    at: 'DocumentReference.custodian',
    document: (d) => ({ ...d, custodian: { reference: s.known('s1') } }),
  },
  'the sort of facility is of SNOMED CT': {
    at: 'DocumentReference.context.facilityType',
    document: (d) => inContext(d, { facilityType: coded(sector, 'SA05') }),
  },
  'the practice setting is of SNOMED CT': {
    at: 'DocumentReference.context.practiceSetting',
    document: (d) => inContext(d, { practiceSetting: coded(setting, 'AMBULATOIRE') }),
  },
  'hash or size are not those of the bytes': {
    at: 'DocumentReference.content.attachment.size',
    rule: 'W1',
    document: (d) => attached(d, ({ hash: _hash, size: _size, ...rest }) => rest),
  },
  'the content is no Binary of this server': {
    at: 'DocumentReference.content.attachment.url',
    rule: 'W23',
    document: withContent,
  },
  'the content is a Binary that is not there': {
    at: 'DocumentReference.content.attachment.url',
    document: withContent,
  },
  'the masterIdentifier is no UUID': {
    at: 'DocumentReference.masterIdentifier',
    document: (d) => ({ ...d, masterIdentifier: { ...record(d['masterIdentifier']), value: s.urn() } }),
  },
  'the person is not named': {
    at: 'DocumentReference.subject',
    document: (d, { person }) => ({ ...d, subject: { reference: person.ref } }),
  },
  'the person of the List is not named': {
    at: 'List.subject',
    list: (l, { person }) => ({ ...l, subject: { reference: person.ref } }),
  },
  'the Patient entry has no INS': {
    at: 'Patient.identifier',
    rule: 'W1',
    entry: (e, { person }) =>
      e.resource?.resourceType === 'Patient' ? { ...e, resource: patientBody(person.traits) } : e,
  },
  'the sort of submission is of TRE_A03': {
    at: "List.extension('https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType')",
    list: (l) => ({
      ...l,
      extension: list(l['extension']).map((e) =>
        e['url'] === MHD.designationType ? { ...e, valueCodeableConcept: coded(sector, 'SA05') } : e,
      ),
    }),
  },
  'the Folder is another than the one it adds to': {
    at: 'List.extension',
    rule: 'W10',
    list: (l) => (isFolder(l) ? { ...l, identifier: undefined, extension: [designation(coded(sector, 'SA01'))] } : l),
  },
  'the Folder is put at no id': {
    at: 'Bundle.entry[2]',
    status: 400,
    entry: (e, { folder }) =>
      e.request?.method === 'PUT'
        ? {
            ...e,
            request: { method: 'PUT', url: folder },
            resource: { resourceType: 'List', ...record(e.resource), id: folder.split('/')[1] ?? '' },
          }
        : e,
  },
} as const satisfies Readonly<Record<string, Mend>>;
type MendName = keyof typeof MENDS;

// ---- the table ----------------------------------------------------------------------------------------------------

/** What is refused in an example; nothing: it is accepted as it is. A text: it is refused whatever is mended, and why. */
const EXAMPLES: Readonly<Record<string, readonly MendName[] | { readonly never: string; readonly fault: Fault }>> = {
  'fr-examples/pdsm/DocumentReference-PDSmSimplifiedExample.json': [
    'the masterIdentifier is no UUID',
    'hash or size are not those of the bytes',
    'the identity is not the one registered',
  ],
  'fr-examples/pdsm/List-ExampleFolder.json': [],
  'fr-examples/pdsm4dmp/Bundle-example-td2-iti65-lot-soumission.json': [
    'the class contradicts the type',
    'the custodian is left out',
    'the sort of facility is of SNOMED CT',
    'the practice setting is of SNOMED CT',
    'the sort of submission is of TRE_A03',
    'the identity is not the one registered',
  ],
  'fr-examples/pdsm4dmp/DocumentReference-example-annexe-docref-cda.json': [
    'the class contradicts the type',
    'the custodian is left out',
    'the sort of facility is of SNOMED CT',
    'the practice setting is of SNOMED CT',
    'the content is a Binary that is not there',
    'hash or size are not those of the bytes',
    'the identity is not the one registered',
  ],
  'fr-examples/pdsm4dmp/DocumentReference-example-td2-iti105-publication-simplifiee.json': [
    'the custodian is left out',
    'the identity is not the one registered',
  ],
  'fr-examples/pdsm4dmp/DocumentReference-example-td3-1a-fhir-document.json': [
    'the custodian is left out',
    'the sort of facility is of SNOMED CT',
    'the practice setting is of SNOMED CT',
    'the content is no Binary of this server',
    'hash or size are not those of the bytes',
    'the identity is not the one registered',
  ],
  'ihe-mhd/Bundle-ex-ProvideDocumentBundle-addToFolder.json': [
    'the Folder is put at no id',
    'the Folder is another than the one it adds to',
    'confidentiality R',
    'the identity is not the one registered',
  ],
  'ihe-mhd/Bundle-ex-comprehensiveProvideDocumentBundleReplace.json': [
    'confidentiality R',
    'hash or size are not those of the bytes',
    'the identity is not the one registered',
  ],
  'ihe-mhd/Bundle-ex-dummyBundleDocAndBinary.json': [
    'the person is not named',
    'the identity is not the one registered',
  ],
  'ihe-mhd/Bundle-ex-minimalProvideDocumentBundleSimple.json': [
    'the Patient entry has no INS',
    'the identity is not the one registered',
  ],
  'ihe-mhd/Bundle-ex-unContainedComprehensiveProvideDocumentBundleComplete.json': [
    'confidentiality R',
    'the identity is not the one registered',
  ],
  'ihe-mhd/DocumentReference-ex-DocumentReferenceComprehensive.json': [
    'the content is no Binary of this server',
    'hash or size are not those of the bytes',
    'the identity is not the one registered',
  ],
  'ihe-mhd/DocumentReference-ex-DocumentReferenceComprehensiveOnDemand.json': [
    'the content is no Binary of this server',
    'the identity is not the one registered',
  ],
  'ihe-mhd/DocumentReference-ex-DocumentReferenceMinimal.json': [
    'the person is not named',
    'the content is no Binary of this server',
    'the identity is not the one registered',
  ],
  'ihe-mhd/DocumentReference-ex-DocumentReferenceSimplifiedPublish.json': ['the identity is not the one registered'],
  'ihe-mhd/DocumentReference-ex-DocumentReferenceUnContainedFully.json': [
    'the content is no Binary of this server',
    'hash or size are not those of the bytes',
    'the identity is not the one registered',
  ],
  'ihe-mhd/DocumentReference-ex-documentreference2.json': [
    'the person is not named',
    'the identity is not the one registered',
  ],
  'ihe-mhd/List-ex-compEmailPackage.json': [],
  'ihe-mhd/List-ex-compSubmissionSetFull.json': [],
  'ihe-mhd/List-ex-compSubmissionSetList.json': [],
  'ihe-mhd/List-ex-minimalFolder.json': ['the person of the List is not named'],
  'ihe-mhd/Bundle-ex-comprehensiveProvideDocumentBundleDocument.json': {
    never: 'a FHIR document is no content here: a Binary holds it',
    fault: { at: 'Bundle.entry[2]' },
  },
  'ihe-mhd/Parameters-ex-input-doc-bundle.json': {
    never: 'metadata are read out of CDA alone',
    fault: { at: "Parameters.parameter.where(name='document').resource" },
  },
};

/** Files that are no feed: content alone, entries of the directory, answers, and records. */
const NO_FEED = /\/(Binary|Organization|Patient|AuditEvent)-|Bundle-.*([rR]esponse|searchset)/;
const FOLDERS = ['fr-examples/pdsm', 'fr-examples/pdsm4dmp', 'ihe-mhd'] as const;

const mended = (names: readonly MendName[], known: Known) => {
  const mends: readonly Mend[] = names.map((name) => MENDS[name]);
  const document = (d: Resource): Resource => mends.reduce((r, m) => m.document?.(r, known) ?? r, d);
  const aList = (l: Resource): Resource => mends.reduce((r, m) => m.list?.(r, known) ?? r, l);
  return (e: Entry): Entry => {
    const entry = mends.reduce((r, m) => m.entry?.(r, known) ?? r, e);
    if (entry.resource?.resourceType === 'DocumentReference') return { ...entry, resource: document(entry.resource) };
    return entry.resource?.resourceType === 'List' ? { ...entry, resource: aList(entry.resource) } : entry;
  };
};

const bundleLevel = (resource: Resource): string =>
  /pdsm/.test(JSON.stringify(resource.meta ?? {}))
    ? MHD.pdsm
    : /Minimal/.test(JSON.stringify(resource.meta ?? {}))
      ? MHD.minimal
      : MHD.comprehensive;

/** An example as somebody would send it. */
function sent(example: Resource, names: readonly MendName[], of: Omit<Known, 'binary'>): Ask {
  const binary = s.urn();
  const known: Known = { ...of, binary };
  const adopted = withIdentifiers(example, known, number()) as Resource;
  const mend = mended(names, known);
  const own = (): readonly [Entry, Entry] => [
    { fullUrl: s.urn(), resource: ownDocument(of.person, binary) },
    { fullUrl: binary, resource: binaryBody('some content') },
  ];
  switch (example.resourceType) {
    case 'Bundle': {
      const entry = list(adopted['entry']).map((e) => {
        const request = record(e['request']);
        const patched = request['method'] === 'PATCH' ? { ...e, request: { ...request, url: of.document } } : e;
        return mend(patched as Entry);
      });
      return post({ ...adopted, entry } as Resource);
    }
    case 'DocumentReference': {
      const document = mend({ resource: adopted }).resource ?? adopted;
      if (list(document['content']).some((c) => record(c['attachment'])['data'] !== undefined)) return post(document);
      return post({
        resourceType: 'Bundle',
        type: 'transaction',
        entry: [
          { fullUrl: binary, resource: binaryBody('some content'), request: { method: 'POST', url: 'Binary' } },
          { fullUrl: s.urn(), resource: document, request: { method: 'POST', url: 'DocumentReference' } },
        ],
      });
    }
    case 'List': {
      const [document, content] = own();
      const theirs = mend({ resource: adopted }).resource ?? adopted;
      const entries = [{ item: { reference: document.fullUrl } }];
      const set = submissionSetBody({
        subject: of.person.ref,
        date: new Date(s.now()).toISOString(),
        entries: [document.fullUrl ?? ''],
        oid: `urn:oid:1.2.250.1.999.81.${number()}`,
      });
      const lists = isFolder(theirs)
        ? [
            { fullUrl: s.urn(), resource: set },
            { fullUrl: s.urn(), resource: { ...theirs, entry: entries } },
          ]
        : [{ fullUrl: s.urn(), resource: { ...theirs, entry: [...entries, ...list(theirs['entry'])] } as Resource }];
      return post(provideBody(bundleLevel(example), [...lists, document, content]));
    }
    default:
      return { method: 'POST', path: 'DocumentReference/$generate-metadata', body: adopted };
  }
}

const ownDocument = (person: Person, binary: string, more: { readonly replaces?: string } = {}): Resource =>
  comprehensiveBody({
    uniqueId: s.urn(),
    typeCode: '11488-4',
    subject: person.ref,
    traits: person.traits,
    author: s.known('dr1'),
    custodian: s.known('s1'),
    labels: [],
    date: new Date(s.now()).toISOString(),
    binary,
    title: 'Compte rendu',
    ...more,
  });

/** A person with one document and one Folder that holds it, of the professional who feeds, and may consult. */
async function known(): Promise<Omit<Known, 'binary'>> {
  const person = await s.person();
  await s.grant(person, 'dr1');
  const answer = await s.done(s.professional('dr1'), provide(person, { folder: {} }));
  const [, document = '', , folder = ''] = entriesOf(answer).map((e) => refIn(e.response?.location));
  return { person, document, folder };
}

describe.each(FOLDERS)('the examples of %s', (folder) => {
  const missing = missingSamples(folder);
  const feeds = samplesIn(folder).filter(({ name }) => !NO_FEED.test(name));

  it.skipIf(missing !== undefined)(`all have their line in the table (${missing ?? 'they are there'})`, () => {
    const listed = Object.keys(EXAMPLES).filter((name) => name.startsWith(`${folder}/`));
    expect(feeds.map(({ name }) => name).sort()).toEqual(listed.sort());
  });

  it.each(feeds.map((feed): [string, Sample] => [feed.name, feed]))('%s', async (name, { resource }) => {
    const row = EXAMPLES[name];
    if (row === undefined) return expect.fail(`${name} has no line`);
    const of = await known();
    const f = s.professional('dr1');
    const mends = 'never' in row ? [] : row;
    for (const left of mends) {
      const answer = await s.ask(
        f,
        sent(
          resource,
          mends.filter((m) => m !== left),
          of,
        ),
      );
      const fault: Fault = MENDS[left];
      expect(answer.status, `without a mend of "${left}": ${answer.text}`).toBe(fault.status ?? 422);
      expect([faultsIn(answer).map(ofResource), ruleOf(answer)], left).toEqual([[fault.at], fault.rule]);
    }
    const answer = await s.ask(f, sent(resource, mends, of));
    if ('never' in row) {
      expect(answer.status, `${row.never}: ${answer.text}`).toBe(422);
      expect(faultsIn(answer)).toEqual([row.fault.at]);
    } else expect(answer.status, answer.text).toBeLessThan(300);
  });
});

/** An expression of an entry, as one of the resource in it. */
const ofResource = (expression: string): string =>
  expression.replace(/^Bundle\.entry\[\d+\]\.resource\.ofType\((\w+)\)/, '$1');

// ---- one feed for each invariant ----------------------------------------------------------------------------------

type Parts = {
  readonly profile?: string;
  readonly document?: (document: Resource) => Resource;
  readonly set?: Member;
  readonly folder?: Member;
};

/** SubmissionSet, DocumentReference, Binary, and a Folder where it is asked for. */
function provide(person: Person, { profile = MHD.pdsm, document = (d) => d, set = {}, folder }: Parts = {}): Ask {
  const [aSet, aDocument, aBinary, aFolder] = [s.urn(), s.urn(), s.urn(), s.urn()];
  const date = new Date(s.now()).toISOString();
  const shared = { subject: person.ref, date, entries: [aDocument] };
  const oid = `urn:oid:1.2.250.1.999.82.${number()}`;
  return post(
    provideBody(profile, [
      { fullUrl: aSet, resource: submissionSetBody({ ...shared, oid, more: set }) },
      { fullUrl: aDocument, resource: document(ownDocument(person, aBinary)) },
      { fullUrl: aBinary, resource: binaryBody('some content') },
      ...(folder === undefined
        ? []
        : [{ fullUrl: aFolder, resource: folderBody({ ...shared, title: 'Suivi', more: folder }) }]),
    ]),
  );
}

/** The document with more about its one attachment, about its content, about its context. */
const withAttachment =
  (more: Member) =>
  (d: Resource): Resource =>
    attached(d, (a) => ({ ...a, ...more }));
const withContentMember =
  (more: Member) =>
  (d: Resource): Resource => ({
    ...d,
    content: list(d['content']).map((c) => ({ ...c, ...more })),
  });
const withContext =
  (more: Member) =>
  (d: Resource): Resource =>
    inContext(d, more);
/** By another author than the contained professional, who would be referred to by nothing. */
const by =
  (author: () => readonly Member[] | undefined, more: readonly Resource[] = []) =>
  (d: Resource): Resource => ({
    ...d,
    author: author(),
    contained: [...list(d['contained']).filter((r) => r['resourceType'] === 'Patient'), ...more],
  });
const withMember =
  (more: Member) =>
  (d: Resource): Resource => ({ ...d, ...more });

const mhdIdentifier = (code: string, value: string, system = 'urn:ietf:rfc:3986') => ({
  type: coded(MHD.identifierType, code),
  system,
  value,
});
const source = {
  url: MHD.sourceId,
  valueIdentifier: { system: 'urn:ietf:rfc:3986', value: 'urn:oid:1.2.250.1.999.7' },
};

/** What breaks one invariant, where, and the rule where it is one of the access rules. */
const BROKEN: readonly (readonly [what: string, parts: Parts, at: string, rule?: string | undefined])[] = [
  [
    'a masterIdentifier that is neither OID nor UUID',
    { document: withMember({ masterIdentifier: mhdIdentifier('uniqueId', 'urn:x:1') }) },
    'DocumentReference.masterIdentifier',
  ],
  [
    'a masterIdentifier of another type',
    { document: withMember({ masterIdentifier: mhdIdentifier('entryUUID', 'urn:oid:1.2.3') }) },
    'DocumentReference.masterIdentifier.type',
  ],
  [
    'an entryUUID that is an OID',
    { document: withMember({ identifier: [mhdIdentifier('entryUUID', 'urn:oid:1.2.3')] }) },
    'DocumentReference.identifier',
  ],
  ['docStatus', { document: withMember({ docStatus: 'final' }) }, 'DocumentReference.docStatus'],
  ['a type of SNOMED CT', { document: withMember({ type: coded(snomed, '371530004') }) }, 'DocumentReference.type'],
  [
    'a class of another terminology',
    { document: withMember({ category: [coded('http://loinc.org', '11369-6')] }) },
    'DocumentReference.category',
  ],
  [
    'a class that is not that of the type',
    { document: withMember({ category: [coded(nos('TRE_A03-ClasseDocument', 'TRE-A03-ClasseDocument'), '11')] }) },
    'DocumentReference.category',
    'W1',
  ],
  ['no author', { document: by(() => undefined) }, 'DocumentReference.author'],
  ['an author who is a structure', { document: by(() => [{ reference: s.known('s1') }]) }, 'DocumentReference.author'],
  ['no custodian', { document: withMember({ custodian: undefined }) }, 'DocumentReference.custodian'],
  [
    'an authenticator who is the person',
    { document: (d) => ({ ...d, authenticator: { reference: '#patient' } }) },
    'DocumentReference.authenticator',
  ],
  [
    'confidentiality R',
    { document: withMember({ securityLabel: [coded(N.coding[0]?.system ?? '', 'R')] }) },
    'DocumentReference.securityLabel',
    'L4',
  ],
  [
    'confidentiality V, by its OID',
    { document: withMember({ securityLabel: [coded('urn:oid:2.16.840.1.113883.5.25', 'V')] }) },
    'DocumentReference.securityLabel',
    'L4',
  ],
  [
    'two confidentialities',
    { document: withMember({ securityLabel: [N, N] }) },
    'DocumentReference.securityLabel',
    'L4',
  ],
  [
    'a label of another terminology',
    { document: withMember({ securityLabel: [coded('http://terminology.hl7.org/CodeSystem/v3-ActCode', 'ETH')] }) },
    'DocumentReference.securityLabel',
    'L0',
  ],
  ['no title', { document: withAttachment({ title: undefined }) }, 'DocumentReference.content.attachment.title'],
  [
    'no language',
    { document: withAttachment({ language: undefined }) },
    'DocumentReference.content.attachment.language',
  ],
  [
    'no time of creation',
    { document: withAttachment({ creation: undefined }) },
    'DocumentReference.content.attachment.creation',
  ],
  [
    'a url that is elsewhere',
    { document: withAttachment({ url: 'https://archive.test.example/1.pdf' }) },
    'DocumentReference.content.attachment.url',
    'W23',
  ],
  [
    'a size that is not that of the bytes',
    { document: withAttachment({ size: 13 }) },
    'DocumentReference.content.attachment.size',
    'W1',
  ],
  ['no format', { document: withContentMember({ format: undefined }) }, 'DocumentReference.content.format'],
  [
    'a format of another terminology',
    { document: withContentMember({ format: { system: 'http://example.test/formats', code: 'pdf' } }) },
    'DocumentReference.content.format',
  ],
  [
    'a format without its system',
    { document: withContentMember({ format: { code: 'urn:ihe:iti:xds-sd:pdf:2008' } }) },
    'DocumentReference.content.format',
  ],
  [
    'an act without a code',
    { document: withContext({ event: [{ text: 'radiographie' }] }) },
    'DocumentReference.context.event',
  ],
  [
    'an act without its nomenclature',
    { document: withContext({ event: [{ coding: [{ code: 'ZBQK002' }] }] }) },
    'DocumentReference.context.event',
  ],
  ['no start of the act', { document: withContext({ period: undefined }) }, 'DocumentReference.context.period.start'],
  [
    'a facility of SNOMED CT',
    { document: withContext({ facilityType: coded(snomed, '22232009') }) },
    'DocumentReference.context.facilityType',
  ],
  [
    'a facility of TRE_A00, where a professional is the author',
    { document: withContext({ facilityType: coded(producer, 'EXP_PATIENT') }) },
    'DocumentReference.context.facilityType',
  ],
  [
    'a facility of TRE_R02, where the person is the author',
    { document: by(() => [{ reference: '#patient' }]) },
    'DocumentReference.context.facilityType',
  ],
  [
    'a practice setting of SNOMED CT',
    { document: withContext({ practiceSetting: coded(snomed, '394802001') }) },
    'DocumentReference.context.practiceSetting',
  ],
  [
    'a reference of the list without its value',
    {
      document: withContext({
        related: [{ identifier: { type: coded('urn:ietf:rfc:3986', 'urn:ihe:iti:xds:2013:accession') } }],
      }),
    },
    'DocumentReference.context.related.identifier',
  ],
  [
    'a relation that is no replacement',
    { document: withMember({ relatesTo: [{ code: 'appends', target: { reference: 'DocumentReference/x' } }] }) },
    'DocumentReference.relatesTo',
  ],
  [
    'a submission of another sort',
    { set: { extension: [designation(coded(snomed, '225728007')), source] } },
    `List.extension('${MHD.designationType}')`,
  ],
  [
    'a submission whose sort is a text',
    { set: { extension: [designation({ text: 'dossier' }), source] } },
    `List.extension('${MHD.designationType}')`,
  ],
  [
    'a submission of an unknown source',
    { set: { extension: [designation(coded(sector, 'SA01'))] } },
    `List.extension('${MHD.sourceId}')`,
  ],
  [
    'two uniqueIds of a submission',
    { set: { identifier: [mhdIdentifier('uniqueId', 'urn:oid:1.2.3'), mhdIdentifier('uniqueId', 'urn:oid:1.2.4')] } },
    'List.identifier',
  ],
  [
    'a uniqueId of a submission that is a UUID',
    { set: { identifier: [mhdIdentifier('uniqueId', 'urn:uuid:2f0c2d5e-8a0d-4a51-9c0a-6c6a4a4b1f10')] } },
    'List.identifier',
  ],
  [
    'an entryUUID of a submission that is an OID',
    { set: { identifier: [mhdIdentifier('entryUUID', 'urn:oid:1.2.3')] } },
    'List.identifier',
  ],
  ['no source of the submission', { set: { source: undefined } }, 'List.source'],
  ['a submission that is not `working`', { set: { mode: 'snapshot' } }, 'List.mode'],
  ['two notes on a submission', { set: { note: [{ text: 'a' }, { text: 'b' }] } }, 'List.note'],
  ['a Folder without a title', { folder: { title: undefined } }, 'List.title'],
  ['a Folder without a date', { folder: { date: undefined } }, 'List.date'],
  [
    'a Folder with two purposes',
    { folder: { extension: [designation(coded(sector, 'SA01')), designation(coded(sector, 'SA05'))] } },
    `List.extension('${MHD.designationType}')`,
  ],
  ['a Folder with a source', { folder: { source: { reference: 'Practitioner/x' } } }, 'List.source'],
];

describe('a feed of PDSm that breaks one invariant', () => {
  it('is accepted when it breaks none', async () => {
    const p = await s.person();
    expect((await s.ask(s.feeder('s1'), provide(p, { folder: {} }))).status).toBe(200);
    const device = by(() => [{ reference: '#device' }], [{ resourceType: 'Device', id: 'device' }]);
    const fromADevice = provide(p, {
      document: (d) => inContext(device(d), { facilityType: coded(producer, 'DISPOSITIF') }),
    });
    const answer = await s.ask(s.feeder('s1'), fromADevice);
    expect(answer.status, answer.text).toBe(200);
  });

  it.each(BROKEN.map(([what, ...rest]) => ({ what, rest })))('$what', async ({ rest: [parts, at, rule] }) => {
    const p = await s.person();
    const answer = await s.ask(s.feeder('s1'), provide(p, parts));
    expect(answer.status, answer.text).toBe(422);
    expect([[...new Set(faultsIn(answer).map(ofResource))], ruleOf(answer)]).toEqual([[at], rule]);
    expect(entriesOf(await s.ask(s.feeder('s1'), { path: `DocumentReference?subject=${p.ref}` }))).toEqual([]);
  });
});

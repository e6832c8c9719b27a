/** What is measured: each flow is a stream of requests against a world, the same for the same seed. */
import { binaryBody, insSystem, provenanceBody, type Resource, transactionBody } from '../test/support/fhir-bodies.ts';
import { MHD, provideBody, submissionSetBody } from '../test/support/mhd-bodies.ts';
import { drive, type Wire, wire } from './load.ts';
import { documentOf, numbers, tokens, traitsOf, type World } from './world.ts';

export type Flow = {
  readonly name: string;
  /** What one request is, for the table. */
  readonly what: string;
  readonly next: (n: number) => Wire;
  readonly expect: readonly number[];
  /** Resources written by one request. */
  readonly writes: number;
  /** At most so many requests in one measurement. */
  readonly most: number;
  /** Bytes of content that one request moves, where that is what is measured. */
  readonly content?: number;
};

export type Flows = Readonly<
  Record<
    | 'metadata'
    | 'read'
    | 'identifier'
    | 'documents'
    | 'find'
    | 'history'
    | 'create'
    | 'update'
    | 'transaction'
    | 'feed'
    | 'provide'
    | 'retrieve',
    Flow
  >
>;

/** What the store holds when the flows begin: documents, those that may be updated, and Binaries of `RETRIEVED` bytes. */
export type Filled = {
  readonly ids: readonly string[];
  readonly updatable: readonly Resource[];
  readonly contents?: readonly string[];
  /** Bytes of the content of a document that is provided; `PROVIDED` when not given. */
  readonly providing?: number;
};

/** Bytes of a document that is provided, and of one that is retrieved. */
export const PROVIDED = 50_000;
export const RETRIEVED = 1_000_000;

/** The flows over a world whose documents are `ids`, in the order they were made. */
export function flowsOver(
  world: World,
  { ids, updatable, contents = [], providing = PROVIDED }: Filled,
  seed: number,
): Flows {
  const token = tokens(world);
  const random = numbers(seed ^ 0x5eed);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const get = (target: string): Wire => wire({ method: 'GET', target, token: token.professional });
  /** The content as it is. */
  const raw = (target: string): Wire =>
    wire({ method: 'GET', target, token: token.professional, headers: { accept: 'text/plain' } });
  let made = ids.length;

  const fresh = () => {
    made += 1;
    const person = Math.floor(random() * world.people.length);
    return documentOf({
      n: made,
      person,
      subject: `Patient/${world.people[person]}`,
      author: world.structure,
      random,
    });
  };
  const urn = (n: number): string => `urn:uuid:00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

  /** Number of an update, so that each one changes something. */
  let turn = 0;
  const revised = (): Wire => {
    turn += 1;
    const { id, ...rest } = pick(updatable);
    return wire({
      method: 'PUT',
      target: `/fhir/DocumentReference/${id}`,
      token: token.feeder,
      body: { ...rest, id, description: `revision ${turn}` },
    });
  };

  /** ITI-65 of one document whose content has so many bytes. */
  const provided = (bytes: number): Resource => {
    const { subject, ...document } = fresh();
    const date = new Date().toISOString();
    const attachment = { contentType: 'text/plain', url: urn(1), title: 'content' };
    return provideBody(MHD.minimal, [
      {
        fullUrl: urn(0),
        resource: submissionSetBody({
          subject: (subject as { readonly reference: string }).reference,
          date,
          entries: [urn(2)],
          oid: `urn:oid:1.2.250.1.999.9.${made}`,
        }),
      },
      { fullUrl: urn(1), resource: binaryBody('x'.repeat(bytes)) },
      {
        fullUrl: urn(2),
        resource: { ...document, resourceType: 'DocumentReference', subject, content: [{ attachment }] },
      },
    ]);
  };

  /** Before there are contents to retrieve, they are provided. */
  const fill = (): Wire => wire({ method: 'POST', target: '/fhir', token: token.feeder, body: provided(RETRIEVED) });

  return {
    metadata: {
      name: 'metadata',
      what: '`GET /metadata`',
      next: () => metadata,
      expect: [200],
      writes: 0,
      most: 60_000,
    },
    read: {
      name: 'read',
      what: '`GET /DocumentReference/[id]`, a physician with the person’s permit',
      next: () => get(`/fhir/DocumentReference/${pick(ids)}`),
      expect: [200],
      writes: 0,
      most: 60_000,
    },
    identifier: {
      name: 'identifier',
      what: '`GET /Patient?identifier=[INS]`',
      next: () =>
        get(
          `/fhir/Patient?identifier=${encodeURIComponent(`${insSystem}|${traitsOf(Math.floor(random() * world.people.length)).ins}`)}`,
        ),
      expect: [200],
      writes: 0,
      most: 60_000,
    },
    documents: {
      name: 'documents',
      what: '`GET /DocumentReference?patient=…&_sort=-date&_count=20`',
      next: () => get(`/fhir/DocumentReference?patient=Patient/${pick(world.people)}&_sort=-date&_count=20`),
      expect: [200],
      writes: 0,
      most: 30_000,
    },
    find: {
      name: 'find',
      what: 'ITI-67 `GET /DocumentReference?patient.identifier=[INS]&status=current&category=…&date=…`',
      next: () => {
        const ins = `${insSystem}|${traitsOf(Math.floor(random() * world.people.length)).ins}`;
        return get(
          `/fhir/DocumentReference?patient.identifier=${encodeURIComponent(ins)}&status=current&category=10&date=ge2018&_count=20`,
        );
      },
      expect: [200],
      writes: 0,
      most: 30_000,
    },
    history: {
      name: 'history',
      what: '`GET /DocumentReference/[id]/_history`',
      next: () => get(`/fhir/DocumentReference/${pick(ids)}/_history`),
      expect: [200],
      writes: 0,
      most: 60_000,
    },
    create: {
      name: 'create',
      what: '`POST /DocumentReference`, an establishment',
      next: () => wire({ method: 'POST', target: '/fhir/DocumentReference', token: token.feeder, body: fresh() }),
      expect: [201],
      writes: 1,
      most: 20_000,
    },
    update: {
      name: 'update',
      what: '`PUT /DocumentReference/[id]`, its author',
      next: revised,
      expect: [200],
      writes: 1,
      most: 20_000,
    },
    transaction: {
      name: 'transaction',
      what: 'transaction of 20 DocumentReferences',
      next: () =>
        wire({
          method: 'POST',
          target: '/fhir',
          token: token.feeder,
          body: transactionBody(Array.from({ length: 20 }, (_, n) => ({ fullUrl: urn(n), resource: fresh() }))),
        }),
      expect: [200],
      writes: 20,
      most: 2_000,
    },
    feed: {
      name: 'feed',
      what: 'transaction of one document: Binary, DocumentReference, Provenance',
      next: () => {
        const document = fresh();
        const attachment = { contentType: 'text/plain', url: urn(1), title: 'content' };
        return wire({
          method: 'POST',
          target: '/fhir',
          token: token.feeder,
          body: transactionBody([
            { fullUrl: urn(1), resource: binaryBody('x'.repeat(2000)) },
            { fullUrl: urn(2), resource: { ...document, content: [{ attachment }] } },
            { fullUrl: urn(3), resource: provenanceBody(urn(2), world.structure, new Date().toISOString()) },
          ]),
        });
      },
      expect: [200],
      writes: 3,
      most: 5_000,
    },
    provide: {
      name: 'provide',
      what: `ITI-65 of one document of ${providing / 1000} kB: SubmissionSet, DocumentReference, Binary`,
      next: () => wire({ method: 'POST', target: '/fhir', token: token.feeder, body: provided(providing) }),
      expect: [200],
      writes: 3,
      most: 2_000,
      content: providing,
    },
    retrieve: {
      name: 'retrieve',
      what: `ITI-68 \`GET /Binary/[id]\`, ${RETRIEVED / 1_000_000} MB, a physician with the person’s permit`,
      next: () => (contents.length === 0 ? fill() : raw(`/fhir/Binary/${pick(contents)}`)),
      expect: [200],
      writes: 0,
      most: 5_000,
      content: RETRIEVED,
    },
  };
}

/** Creates `count` documents through the API, to be updated later; answers them as the server does. */
export async function createUpdatable(port: number, flows: Flows, count: number): Promise<readonly Resource[]> {
  const made: Resource[] = [];
  const done = await drive({
    port,
    connections: 16,
    seconds: 60,
    requests: count,
    next: flows.create.next,
    expect: flows.create.expect,
    // INVARIANT: a create answers with the resource.
    answered: (_n, text) => made.push(JSON.parse(text()) as Resource),
  });
  if (made.length < count) throw new Error(`the documents to update were not made: ${done.fault ?? 'too slow'}`);
  return made;
}

/** Provides `count` documents to retrieve; answers the ids of their Binaries. */
export async function createContents(port: number, flows: Flows, count: number): Promise<readonly string[]> {
  const made: string[] = [];
  const done = await drive({
    port,
    connections: 4,
    seconds: 60,
    requests: count,
    next: flows.retrieve.next,
    expect: flows.retrieve.expect,
    answered: (_n, text) => made.push(/Binary\/([A-Za-z0-9.-]+)\/_history/.exec(text())?.[1] ?? ''),
  });
  if (made.length < count) throw new Error(`the contents to retrieve were not made: ${done.fault ?? 'too slow'}`);
  return made;
}

const metadata = wire({ method: 'GET', target: '/fhir/metadata' });

/** What is measured: each flow is a stream of requests against a world, the same for the same seed. */
import { binaryBody, insSystem, provenanceBody, type Resource, transactionBody } from '../test/support/fhir-bodies.ts';
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
};

export type Flows = Readonly<
  Record<
    'metadata' | 'read' | 'identifier' | 'documents' | 'history' | 'create' | 'update' | 'transaction' | 'feed',
    Flow
  >
>;

/** The flows over a world whose documents are `ids`, in the order they were made. */
export function flowsOver(
  world: World,
  { ids, updatable }: { readonly ids: readonly string[]; readonly updatable: readonly Resource[] },
  seed: number,
): Flows {
  const token = tokens(world);
  const random = numbers(seed ^ 0x5eed);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const get = (target: string): Wire => wire({ method: 'GET', target, token: token.professional });
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

const metadata = wire({ method: 'GET', target: '/fhir/metadata' });

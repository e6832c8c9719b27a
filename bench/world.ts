/** The people, documents and tokens that are measured with: synthetic, and the same for the same seed. */
import {
  consentBody,
  documentBody,
  organizationBody,
  patientBody,
  practitionerBody,
  practitionerRoleBody,
  type Resource,
  type Traits,
} from '../test/support/fhir-bodies.ts';
import { createIssuer, type IssuerEntry, type TestIssuer } from '../test/support/tokens.ts';
import { askOnce, drive, type Wanted, wire } from './load.ts';

/** A stream of numbers in [0, 1) (mulberry32). */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SYLLABLES = ['MAR', 'LE', 'DU', 'BER', 'VAL', 'NOR', 'SAN', 'TIL', 'ROU', 'GAL', 'PEY', 'MON'];
const day = (n: number): string => String((n % 28) + 1).padStart(2, '0');

/** The traits of person number `n`. */
export const traitsOf = (n: number): Traits => ({
  ins: `2${String(n % 100).padStart(2, '0')}0399${String(n).padStart(9, '0')}`.slice(0, 15),
  family: `${SYLLABLES[n % 12]}${SYLLABLES[Math.floor(n / 12) % 12]}${SYLLABLES[Math.floor(n / 144) % 12]}`,
  given: SYLLABLES[(n * 7) % 12] ?? 'LE',
  gender: n % 2 === 0 ? 'female' : 'male',
  birthDate: `19${String(50 + (n % 50))}-0${(n % 9) + 1}-${day(n)}`,
});

/** LOINC types that the shipped matrix lets a physician read. */
const TYPES = ['11488-4', '34112-3', '11502-2', '18748-4'];

/** Document number `n` of a person, about 1.5 kB as stored. */
export function documentOf(parts: {
  readonly n: number;
  readonly person: number;
  readonly subject: string;
  readonly author: string;
  readonly random: () => number;
}): Resource {
  const month = Math.floor(parts.random() * 12) + 1;
  const date = `20${15 + Math.floor(parts.random() * 11)}-${String(month).padStart(2, '0')}-${day(Math.floor(parts.random() * 28))}T09:${String(parts.n % 60).padStart(2, '0')}:00+01:00`;
  const hex = Array.from({ length: 4 }, () =>
    Math.floor(parts.random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  ).join('');
  const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  const made = documentBody({
    uniqueId: `urn:uuid:${uuid}`,
    typeCode: TYPES[parts.n % TYPES.length] ?? '11488-4',
    subject: parts.subject,
    traits: traitsOf(parts.person),
    author: parts.author,
    labels: [],
    date,
    binary: '',
    title: `Document ${parts.n}`,
  });
  // The bytes are not measured here: a document that is described and not attached.
  const { url: _url, ...attachment } = (
    made['content'] as readonly { readonly attachment: Record<string, unknown> }[]
  )[0]!.attachment;
  return { ...made, content: [{ attachment }] };
}

export type World = {
  readonly persons: TestIssuer;
  readonly backends: TestIssuer;
  readonly people: readonly string[];
  readonly structure: string;
  readonly practitioner: string;
};

/** The two issuers of one server. */
export function issuersFor(base: string): {
  readonly persons: TestIssuer;
  readonly backends: TestIssuer;
  readonly entries: readonly IssuerEntry[];
} {
  const persons = createIssuer('https://persons.bench.example', ['patient', 'representative', 'professional'], base);
  const backends = createIssuer('https://backends.bench.example', ['feeder', 'insurer', 'operator'], base);
  return { persons, backends, entries: [persons.entry, backends.entry] };
}

const STRUCTURE = '1000899001';
const PRACTITIONER = '899700000001';

export const tokens = (world: World) => {
  const now = Date.now();
  return {
    professional: world.persons.professional({
      now,
      practitioner: world.practitioner,
      nationalId: PRACTITIONER,
      profession: '10',
      structure: STRUCTURE,
      purpose: 'TREAT',
    }),
    feeder: world.backends.feeder({ now, structure: STRUCTURE }),
  };
};

/** Builds the directory, `count` people, their open space and a physician's permit, through the API. */
export async function buildPeople(
  port: number,
  issuers: { readonly persons: TestIssuer; readonly backends: TestIssuer },
  count: number,
): Promise<World> {
  const now = Date.now();
  const operator = issuers.backends.operator({ now, reason: 'set-up of a benchmark' });
  const insurer = issuers.backends.insurer({ now });
  const create = async (token: string, body: Resource): Promise<string> => {
    const answer = await askOnce(port, wire({ method: 'POST', target: `/fhir/${body.resourceType}`, token, body }));
    if (answer.status !== 201) throw new Error(`${body.resourceType}: ${answer.status} ${answer.text}`);
    return (JSON.parse(answer.text) as { readonly id: string }).id;
  };
  const organization = await create(operator, organizationBody(STRUCTURE, 'TEST Hôpital', false));
  const practitioner = await create(operator, practitionerBody(PRACTITIONER, 'ALIX'));
  await create(operator, practitionerRoleBody(`Organization/${organization}`));
  const createAll = async (wanted: readonly Wanted[]): Promise<readonly string[]> => {
    const ids: string[] = [];
    const done = await drive({
      port,
      connections: 32,
      seconds: 900,
      requests: wanted.length,
      next: (n) => wire(wanted[n]!),
      expect: [201],
      answered: (n, text) => {
        ids[n] = (JSON.parse(text()) as { readonly id: string }).id;
      },
    });
    if (done.failed > 0 || done.requests < wanted.length)
      throw new Error(`the world was not built: ${done.fault ?? 'too slow'}`);
    return ids;
  };
  const post = (token: string, body: Resource): Wanted => ({
    method: 'POST',
    target: `/fhir/${body.resourceType}`,
    token,
    body,
  });
  const people = await createAll(Array.from({ length: count }, (_, n) => post(insurer, patientBody(traitsOf(n)))));
  const consent = (
    kind: string,
    person: string,
    more: { readonly state?: string; readonly actor?: string },
  ): Resource =>
    consentBody({
      kind,
      patient: `Patient/${person}`,
      performer: `Patient/${person}`,
      provision: 'permit',
      dateTime: new Date(now).toISOString(),
      ...more,
    });
  await createAll(people.map((p) => post(insurer, consent('space-existence', p, { state: 'active' }))));
  await createAll(
    people.map((p) =>
      post(
        issuers.persons.holder({ now, patient: p }),
        consent('professional-access', p, { actor: `Practitioner/${practitioner}` }),
      ),
    ),
  );
  return { ...issuers, people, structure: `Organization/${organization}`, practitioner };
}

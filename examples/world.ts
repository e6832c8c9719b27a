/**
 * The world of the examples: a small directory, two persons with an open space, and a token for each of the cast.
 * Everybody is synthetic (family ESSAI or TEST, INS of the test register), and everything is written through the API.
 */
import {
  consentBody,
  EX,
  insSystem,
  organizationBody,
  patientBody,
  practitionerBody,
  type Resource,
  type Traits,
} from '../test/support/fhir-bodies.ts';
import { createIssuer, type IssuerEntry, type Overrides } from '../test/support/tokens.ts';

/** Where the server is, and which time its tokens are minted at. */
export type Site = { readonly base: string; readonly now: () => number };

/** One request. `path` is relative to the base, or absolute; `body` is JSON. */
export type Asked = {
  readonly method?: string;
  readonly path: string;
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

/** What came back; `json` is there when the body is. */
export type Answered = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Resource | undefined;
};

/** Sends one request and reads the whole answer. */
export async function ask(base: string, request: Asked): Promise<Answered> {
  const answer = await fetch(/^https?:/.test(request.path) ? request.path : `${base}/${request.path}`, {
    method: request.method ?? 'GET',
    headers: {
      accept: 'application/fhir+json',
      ...(request.token === undefined ? {} : { authorization: `Bearer ${request.token}` }),
      ...(request.body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
      ...request.headers,
    },
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
  });
  const text = await answer.text();
  const isJson = text !== '' && /json/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, headers: answer.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

const STRUCTURES = {
  hospital: { value: '1100000017', name: 'Hôpital TEST' },
  clinic: { value: '1100000025', name: 'Clinique TEST' },
  practice: { value: '1100000033', name: 'Cabinet TEST' },
  samu: { value: '1100000041', name: 'SAMU TEST' },
  caisse: { value: '1100000058', name: 'Caisse TEST' },
} as const;

/** `profession` is TRE_G15: 10 physician, 60 nurse. */
const PROFESSIONALS = {
  'dr-alice': { value: '899700000011', given: 'Alice', profession: '10', at: 'practice' },
  'dr-bruno': { value: '899700000029', given: 'Bruno', profession: '10', at: 'practice' },
  'dr-chloe': { value: '899700000037', given: 'Chloé', profession: '10', at: 'samu' },
  'nurse-denis': { value: '899700000045', given: 'Denis', profession: '60', at: 'practice' },
  'dr-emma': { value: '899700000052', given: 'Emma', profession: '10', at: 'hospital' },
  'dr-felix': { value: '899700000060', given: 'Félix', profession: '10', at: 'clinic' },
} as const;

const PERSONS = {
  camille: { ins: '299036014100113', family: 'ESSAI', given: 'CAMILLE', gender: 'female', birthDate: '1999-03-12' },
  noe: { ins: '115037511400224', family: 'ESSAI', given: 'NOE', gender: 'male', birthDate: '2015-03-28' },
} as const satisfies Record<string, Traits>;

export type Structure = keyof typeof STRUCTURES;
export type Professional = keyof typeof PROFESSIONALS;
export type Person = keyof typeof PERSONS;

/** The traits of a person of the cast. */
export const traitsOf = (person: Person): Traits => PERSONS[person];

/** The search parameter value of a person's INS. */
export const insOf = (person: Person): string => `${insSystem}|${PERSONS[person].ins}`;

/** Which resource a name stands for: `camille` → `Patient/…`. Grows while a story goes on. */
export type Names = Map<string, string>;

/** The resource of a name; throws when nothing has that name yet. */
export function refOf(names: Names, name: string): string {
  const ref = names.get(name);
  if (ref === undefined) throw new Error(`nothing is called \`${name}\` yet`);
  return ref;
}

const idOf = (names: Names, name: string): string => refOf(names, name).split('/')[1] ?? '';

/** How a token differs from the plain one of its owner. */
export type Variant = Overrides & {
  readonly purpose?: 'TREAT' | 'BTG' | 'ETREAT';
  /** The person whom the token is limited to, by name. */
  readonly patient?: string;
  readonly reason?: string;
  readonly regulation?: boolean;
  readonly secret?: boolean;
  readonly scope?: string;
  /** In seconds. */
  readonly lifetime?: number;
  /** When the token is minted, where it is not now; in milliseconds since the epoch. */
  readonly at?: number;
};

/** The two issuers of the examples, trusted for what each may mint, and the tokens of the cast. */
export type Issuers = {
  /** The content of `CARNET_ISSUERS`. */
  readonly entries: readonly IssuerEntry[];
  /** A token for one of the cast, by name; a RelatedPerson's name needs `actsFor`. */
  readonly token: (names: Names, name: string, variant: Variant & { readonly actsFor?: string }) => string;
};

const isNamed = <T extends string>(table: Readonly<Record<T, unknown>>, name: string): name is T =>
  Object.hasOwn(table, name);

/** Issuers with fresh keys for one server. */
export function createIssuers(site: Site): Issuers {
  const people = createIssuer('https://people.example', ['patient', 'representative', 'professional'], site.base);
  const backends = createIssuer('https://backends.example', ['feeder', 'insurer', 'operator'], site.base);
  const token: Issuers['token'] = (names, name, { at, patient, actsFor, purpose = 'TREAT', ...rest }) => {
    const now = at ?? site.now();
    const limited = patient === undefined ? {} : { patient: idOf(names, patient) };
    if (isNamed(PERSONS, name)) return people.holder({ ...rest, now, patient: idOf(names, name) });
    if (isNamed(PROFESSIONALS, name)) {
      const { value, given, profession, at: structure } = PROFESSIONALS[name];
      return people.professional({
        ...rest,
        ...limited,
        now,
        practitioner: idOf(names, name),
        nationalId: value,
        profession,
        structure: STRUCTURES[structure].value,
        purpose,
        name: `${given} TEST`,
      });
    }
    if (name === 'caisse') return backends.insurer({ ...rest, ...limited, now, structure: STRUCTURES.caisse.value });
    if (isNamed(STRUCTURES, name))
      return backends.feeder({
        ...rest,
        ...limited,
        now,
        structure: STRUCTURES[name].value,
        name: STRUCTURES[name].name,
      });
    if (name === 'operator')
      return backends.operator({
        ...rest,
        ...limited,
        now,
        name: 'operator TEST',
        claims: { sub: name, ...rest.claims },
      });
    return people.representative({
      ...rest,
      now,
      relatedPerson: idOf(names, name),
      actsFor: idOf(names, actsFor ?? ''),
    });
  };
  return { entries: [people.entry, backends.entry], token };
}

const practitionerOf = (name: Professional): Resource => ({
  ...practitionerBody(PROFESSIONALS[name].value, PROFESSIONALS[name].given),
  name: [{ family: 'TEST', given: [PROFESSIONALS[name].given] }],
});

/** Writes one resource for a name, or throws what the server said. */
export async function put(world: World, by: string, name: string, body: Resource): Promise<void> {
  const token = world.issuers.token(world.names, by, by === 'operator' ? { reason: 'setting up an example' } : {});
  const made = await ask(world.site.base, { method: 'POST', path: body.resourceType, token, body });
  if (made.status !== 201) throw new Error(`${by} could not create ${name}: ${made.status} ${made.text}`);
  world.names.set(name, `${body.resourceType}/${String(made.json?.['id'])}`);
}

export type World = { readonly site: Site; readonly issuers: Issuers; readonly names: Names };

/** A directory alone: the operator writes it, before anybody else exists (contract.md, order of birth). */
export async function buildDirectory(world: World): Promise<void> {
  for (const [name, { value, name: title }] of Object.entries(STRUCTURES))
    await put(world, 'operator', name, organizationBody(value, title, false));
  for (const name of Object.keys(PROFESSIONALS))
    if (isNamed(PROFESSIONALS, name)) await put(world, 'operator', name, practitionerOf(name));
}

/** The insurer registers a person and opens their space, `active`. */
export async function openSpace(world: World, person: Person): Promise<void> {
  await put(world, 'caisse', person, patientBody(PERSONS[person]));
  await put(world, 'caisse', `${person}-space`, {
    ...consentBody({ ...partsOf(world, person, 'space-existence'), provision: 'permit', state: 'active' }),
  });
}

/** The insurer declares the attending physician. */
export async function declareAttending(world: World, person: Person, physician: Professional): Promise<void> {
  const parts = partsOf(world, person, 'attending-physician');
  const actor = refOf(world.names, physician);
  await put(world, 'caisse', `${person}-attending`, consentBody({ ...parts, provision: 'permit', actor }));
}

const partsOf = (world: World, person: Person, kind: string) => ({
  kind,
  patient: refOf(world.names, person),
  performer: refOf(world.names, 'caisse'),
  dateTime: new Date(world.site.now()).toISOString(),
});

/** The whole world: the directory, Camille and Noé with a space each, and Alice as Camille's attending physician. */
export async function buildWorld(world: World): Promise<void> {
  await buildDirectory(world);
  for (const person of Object.keys(PERSONS)) if (isNamed(PERSONS, person)) await openSpace(world, person);
  await declareAttending(world, 'camille', 'dr-alice');
}

export { EX };

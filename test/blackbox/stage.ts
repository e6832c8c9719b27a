/** A server with a directory, persons on demand, a token of every kind of caller, and tables of acts with what they are answered. */
import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import {
  binaryBody,
  type ConsentParts,
  consentBody,
  type DocumentParts,
  documentBody,
  EX,
  organizationBody,
  patientBody,
  practitionerBody,
  practitionerRoleBody,
  profileTypes,
  type Resource,
  relatedPersonBody,
  type Traits,
  transactionBody,
} from '../support/fhir-bodies.ts';
import { fileOf } from '../support/sample-files.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { createIssuer, type TestIssuer } from '../support/tokens.ts';
import { type Answer, send } from '../support/world.ts';

/** A request without its token. */
export type Ask = Omit<Parameters<typeof send>[1], 'token'>;

/** What is done, by whom, what it is answered, and which rule says so in `issue.details.coding`. */
export type Row = readonly [what: string, token: string, ask: Ask, status: number, rule?: string];

export type Person = {
  readonly id: string;
  readonly ref: string;
  /** The id of the Consent that is the space. */
  readonly space: string;
  readonly traits: Traits;
};

export type ProfessionalName = keyof typeof PROFESSIONS;

/** TRE_G15 codes: physicians, a nurse, one who feeds and never consults. */
export const PROFESSIONS = { dr1: '10', dr2: '10', dr3: '10', nurse: '60', works: '32' } as const;
const STRUCTURES = { s1: false, s2: false, s3: false, pharmacy: true, fund: false } as const;
export type StructureName = keyof typeof STRUCTURES;

const nationalOf = (name: ProfessionalName): string => `89970000000${1 + Object.keys(PROFESSIONS).indexOf(name)}`;
const structureOf = (name: StructureName): string => `1000800000${1 + Object.keys(STRUCTURES).indexOf(name)}`;

/** What the tests count on: small deposits, a nurse who reads one type, a profession that consults nothing. */
export const POLICY = {
  depositMaxBytes: 1000,
  clockToleranceSeconds: 0,
  matrix: {
    '10': { consult: true, read: ['11488-4', '34112-3', 'DOCPAT1'] },
    '60': { consult: true, read: ['11488-4'] },
    '32': { consult: false, read: ['11488-4'] },
  },
};

const PICTURED = [
  'Patient,Consent,CareTeam,RelatedPerson,DocumentReference,List,Provenance,Appointment,Communication',
  'Immunization,ExplanationOfBenefit,Coverage',
  ...profileTypes,
].join(',');

export const START = Date.parse('2026-06-01T09:00:00Z');
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** Asks of FHIR's interactions. */
export const get = (path: string, headers: Readonly<Record<string, string>> = {}): Ask => ({ path, headers });
export const post = (body: Resource, headers: Readonly<Record<string, string>> = {}): Ask => ({
  method: 'POST',
  path: body.resourceType === 'Bundle' ? '' : body.resourceType,
  body,
  headers,
});
export const put = (body: Resource, headers: Readonly<Record<string, string>> = {}): Ask => ({
  method: 'PUT',
  path: `${body.resourceType}/${String(body.id)}`,
  body,
  headers,
});
export const del = (path: string, headers: Readonly<Record<string, string>> = {}): Ask => ({
  method: 'DELETE',
  path,
  headers,
});
export const patch = (
  path: string,
  operations: readonly object[],
  headers: Readonly<Record<string, string>> = {},
): Ask => ({
  method: 'PATCH',
  path,
  body: operations,
  headers: { 'content-type': 'application/json-patch+json', ...headers },
});
/** A FHIRPath Patch; parts by name, each value with its `value[x]`. */
export const fhirPatch = (path: string, operations: readonly Readonly<Record<string, object | string>>[]): Ask => ({
  method: 'PATCH',
  path,
  body: fhirPatchBody(operations),
});
export const fhirPatchBody = (operations: readonly Readonly<Record<string, object | string>>[]): Resource => ({
  resourceType: 'Parameters',
  parameter: operations.map((operation) => ({
    name: 'operation',
    part: Object.entries(operation).map(([name, value]) =>
      typeof value === 'object' ? { name, ...value } : { name, [name === 'type' ? 'valueCode' : 'valueString']: value },
    ),
  })),
});
/** An operation on labels. */
export const operation = (ref: string, name: string, parameter?: object): Ask => ({
  method: 'POST',
  path: `${ref}/${name}`,
  body: { resourceType: 'Parameters', ...(parameter === undefined ? {} : { parameter: [parameter] }) },
});
export const mask = (ref: string, stated = false): Ask =>
  operation(ref, '$mask', stated ? { name: 'atHoldersRequest', valueBoolean: true } : undefined);
export const unmask = (ref: string): Ask => operation(ref, '$unmask');
export const hide = (ref: string, from: 'patient' | 'representatives'): Ask =>
  operation(ref, '$hide', { name: 'from', valueCode: from });
export const release = (ref: string, to: 'patient' | 'representatives'): Ask =>
  operation(ref, '$release', { name: 'to', valueCode: to });

export const entriesOf = (answer: Answer): readonly Entry[] => (answer.json?.entry ?? []) as readonly Entry[];
export type Entry = {
  readonly fullUrl?: string;
  readonly resource?: Resource;
  readonly request?: { readonly method: string; readonly url: string };
  readonly response?: {
    readonly status: string;
    readonly location?: string;
    readonly etag?: string;
    readonly outcome?: Resource;
  };
};

/** `Type/id` of what a create, or an entry of a transaction, made. */
export const refIn = (location: string | null | undefined): string =>
  /([A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64})\/_history\/[^/]+$/.exec(location ?? '')?.[1] ?? `no location in ${location}`;

/** The rule that a refusal names. */
export function ruleOf(answer: Answer): string | undefined {
  const issue = (answer.json?.issue ?? []) as readonly {
    readonly details?: { readonly coding?: readonly { readonly system?: string; readonly code?: string }[] };
  }[];
  return issue[0]?.details?.coding?.find((coding) => coding.system === `${EX}/CodeSystem/rule`)?.code;
}

export type FeedParts = Partial<Omit<DocumentParts, 'binary' | 'subject'>> & {
  /** Other traits than the person's, for the identity in the feed. */
  readonly identity?: Resource;
  readonly more?: Readonly<Record<string, unknown>>;
  readonly bytes?: string;
  readonly contentType?: string;
};

export type Stage = Awaited<ReturnType<typeof startStage>>;

/** Starts one server and fills its directory. */
export async function startStage(env: Readonly<Record<string, string>> = {}, policy: object = POLICY) {
  let issuers: { readonly users: TestIssuer; readonly backends: TestIssuer } | undefined;
  const server: TestServer = await startServer({
    issuers: (base) => {
      const users = createIssuer('https://users.test.example', ['patient', 'representative', 'professional'], base);
      const backends = createIssuer('https://backends.test.example', ['feeder', 'insurer', 'operator'], base);
      issuers = { users, backends };
      return [users.entry, backends.entry];
    },
    policy,
    clock: START,
    env,
  });
  if (issuers === undefined) throw new Error('no issuers were made');
  const { users, backends } = issuers;
  let now = START;
  const directory = new Map<string, string>();
  const known = (name: string): string => directory.get(name) ?? `${name} is not in the directory`;

  const insurer = (patient?: Person): string =>
    backends.insurer({
      now,
      structure: structureOf('fund'),
      ...(patient === undefined ? {} : { patient: patient.id }),
    });
  const operator = (reason?: string, patient?: Person): string =>
    backends.operator({
      now,
      ...(reason === undefined ? {} : { reason }),
      ...(patient === undefined ? {} : { patient: patient.id }),
    });
  const feeder = (structure: StructureName, patient?: Person): string =>
    backends.feeder({
      now,
      structure: structureOf(structure),
      ...(patient === undefined ? {} : { patient: patient.id }),
    });
  const holder = (person: Person, more: { readonly secret?: boolean; readonly scope?: string } = {}): string =>
    users.holder({ now, patient: person.id, ...more });
  const representative = (related: string, person: Person): string =>
    users.representative({ now, relatedPerson: related.replace('RelatedPerson/', ''), actsFor: person.id });
  const professional = (
    name: ProfessionalName,
    more: {
      readonly structure?: StructureName;
      readonly purpose?: 'TREAT' | 'BTG' | 'ETREAT';
      readonly patient?: Person;
      readonly secret?: boolean;
      readonly scope?: string;
    } = {},
  ): string =>
    users.professional({
      now,
      practitioner: known(name).replace('Practitioner/', ''),
      nationalId: nationalOf(name),
      profession: PROFESSIONS[name],
      structure: structureOf(more.structure ?? 's1'),
      purpose: more.purpose ?? 'TREAT',
      ...(more.patient === undefined ? {} : { patient: more.patient.id }),
      ...(more.secret === undefined ? {} : { secret: more.secret }),
      ...(more.scope === undefined ? {} : { scope: more.scope }),
      ...(more.purpose === 'BTG' ? { reason: 'person found unconscious in the street' } : {}),
      ...(more.purpose === 'ETREAT' ? { regulation: true } : {}),
    });

  const ask = (token: string, request: Ask): Promise<Answer> => send(server.base, { ...request, token });
  /** An act of the set-up: one that is refused ends the test. */
  const done = async (token: string, request: Ask): Promise<Answer> => {
    const answer = await ask(token, request);
    if (answer.status >= 300)
      throw new Error(`${request.method ?? 'GET'} ${request.path}: ${answer.status} ${answer.text}`);
    return answer;
  };
  const made = async (token: string, request: Ask): Promise<string> =>
    refIn((await done(token, request)).headers.get('location'));

  for (const [name, isPharmacy] of Object.entries(STRUCTURES)) {
    const body = organizationBody(structureOf(name as StructureName), `TEST ${name}`, isPharmacy);
    directory.set(name, await made(operator(), post(body)));
  }
  for (const name of Object.keys(PROFESSIONS) as ProfessionalName[])
    directory.set(name, await made(operator(), post(practitionerBody(nationalOf(name), name.toUpperCase()))));
  for (const name of ['s1', 's2'])
    directory.set(`role ${name}`, await made(operator(), post(practitionerRoleBody(known(name)))));

  let persons = 0;
  const newTraits = (birthDate: string): Traits => {
    persons += 1;
    return {
      ins: `29${String(persons).padStart(13, '0')}`,
      family: 'ESSAI',
      given: `PERSONNE${persons}`,
      gender: 'female',
      birthDate,
    };
  };
  const stateConsent = (person: string, state: string, more: Partial<ConsentParts> = {}): Resource =>
    consentBody({
      kind: 'space-existence',
      patient: person,
      performer: known('fund'),
      provision: ['open', 'active', 'legacy-dmp', 'suspended'].includes(state) ? 'permit' : 'deny',
      state,
      dateTime: new Date(now).toISOString(),
      ...(state === 'legacy-dmp' ? { period: { end: '2027-06-01' } } : {}),
      ...more,
    });
  /** A registered person; `none`: without a space. */
  const person = async (state = 'active', birthDate = '1979-03-28'): Promise<Person> => {
    const traits = newTraits(birthDate);
    const ref = await made(insurer(), post(patientBody(traits)));
    const id = ref.replace('Patient/', '');
    const space = state === 'none' ? '' : await made(insurer(), post(stateConsent(ref, state)));
    return { id, ref, space: space.replace('Consent/', ''), traits };
  };
  const toState = async (of: Person, state: string): Promise<void> => {
    await done(insurer(), put(stateConsent(of.ref, state, { id: of.space })));
  };

  const consent = (
    of: Person,
    kind: string,
    provision: 'permit' | 'deny',
    more: Partial<ConsentParts> = {},
  ): Resource =>
    consentBody({
      kind,
      patient: of.ref,
      performer: of.ref,
      provision,
      dateTime: new Date(now).toISOString(),
      ...more,
    });
  const grant = (of: Person, name: ProfessionalName, kind = 'professional-access'): Promise<string> =>
    made(
      kind === 'attending-physician' ? insurer() : holder(of),
      post(consent(of, kind, 'permit', { actor: known(name), performer: of.ref })),
    );
  const end = (ref: string): Ask => patch(ref, [{ op: 'replace', path: '/status', value: 'inactive' }]);
  /** A RelatedPerson of the person, with a delegation to them. */
  const delegate = async (
    of: Person,
    kind: 'legal' | 'caregiver',
    rights: readonly string[] = [],
  ): Promise<{ readonly related: string; readonly delegation: string }> => {
    const body = relatedPersonBody(of.ref, kind.toUpperCase(), []);
    const guardian = {
      ...body,
      relationship: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-RoleCode', code: 'GUARD' }] }],
    };
    const related = await made(holder(of), post(kind === 'legal' ? guardian : body));
    const entry = consent(of, 'delegation', 'permit', {
      actor: related,
      delegationKind: kind,
      delegatedRights: rights,
    });
    const delegation = await made(kind === 'legal' ? insurer() : holder(of), post(entry));
    return { related, delegation };
  };

  const urn = (): string => `urn:uuid:${randomUUID()}`;
  /** A transaction of a document with its Binary. */
  const feed = (of: Person, parts: FeedParts = {}): Ask => {
    const binary = urn();
    const { identity, more, bytes, contentType, ...document } = parts;
    const body = documentBody({
      uniqueId: urn(),
      typeCode: '11488-4',
      subject: of.ref,
      traits: of.traits,
      author: known('dr1'),
      labels: [],
      date: new Date(now).toISOString(),
      title: 'a title',
      ...document,
      binary,
    });
    return post(
      transactionBody([
        {
          fullUrl: binary,
          resource: {
            ...binaryBody(bytes ?? 'some content'),
            ...(contentType === undefined ? {} : { contentType }),
            ...(contentType === undefined || bytes !== undefined
              ? {}
              : { data: fileOf(contentType).toString('base64') }),
            ...(bytes === '' ? { data: undefined } : {}),
          },
        },
        {
          fullUrl: urn(),
          resource: { ...body, ...(identity === undefined ? {} : { contained: [identity] }), ...more },
        },
      ]),
    );
  };
  /** What a feed or a deposit made. */
  const fed = async (
    token: string,
    request: Ask,
  ): Promise<{ readonly document: string; readonly binary: string; readonly refs: readonly string[] }> => {
    const refs = entriesOf(await done(token, request)).map((entry) => refIn(entry.response?.location));
    return { binary: refs[0] ?? '', document: refs[1] ?? '', refs };
  };
  const deposit = (of: Person, parts: FeedParts = {}): Ask =>
    feed(of, { typeCode: 'DOCPAT1', author: of.ref, ...parts });

  /** Everything about some persons that anybody of those who see most sees: what a refused write must leave alone. */
  const picture = async (of: readonly Person[]): Promise<string> => {
    const looks = of.flatMap((one): readonly (readonly [token: string, path: string])[] => [
      [holder(one), `Patient/${one.id}/$everything?_count=500&_type=${PICTURED}`],
      [insurer(), `Consent?patient=${one.id}&_count=200`],
      [insurer(), one.ref],
      ...(['s1', 's2'] as const).map((name) => [feeder(name), `DocumentReference?subject=${one.ref}`] as const),
    ]);
    const answers = await Promise.all(looks.map(([token, path]) => ask(token, get(path))));
    return answers
      .map(({ status, text, json }) =>
        json?.resourceType === 'Bundle' ? JSON.stringify([status, json.entry]) : `${status} ${text}`,
      )
      .join('\n');
  };

  /**
   * Does every act of a table in order and compares. Refused ones must leave no trace about `of`, looked for at the end of each
   * run of them; a 404 must be the 404 of nothing.
   */
  const table = async (of: readonly Person[], acts: readonly Row[]): Promise<void> => {
    const nothing = await ask(operator(), get('Patient/never-existed'));
    const wrong: string[] = [];
    let before: string | undefined;
    let refused: string[] = [];
    const look = async (): Promise<void> => {
      if (before !== undefined && (await picture(of)) !== before)
        wrong.push(`left a trace: one of ${refused.join(', ')}`);
      before = undefined;
      refused = [];
    };
    for (const [what, token, request, status, rule] of acts) {
      if (status >= 400) before ??= await picture(of);
      else await look();
      if (status >= 400) refused.push(what);
      const answer = await ask(token, request);
      const named = ruleOf(answer);
      // A reference outside the one person of a token is refused by C6, known from the token alone; to the rows it is a reference that does not resolve.
      const outside = rule === undefined && status === 422 && named === 'C6';
      if (answer.status !== status || (named !== rule && !outside))
        wrong.push(
          `${what}: ${answer.status} ${named ?? '-'} instead of ${status} ${rule ?? '-'}: ${answer.text.slice(0, 300)}`,
        );
      if (status === 404 && answer.text !== nothing.text) wrong.push(`${what}: another 404: ${answer.text}`);
    }
    await look();
    if (wrong.length > 0) expect.fail(`${wrong.length} of ${acts.length}\n${wrong.join('\n')}`);
  };
  /** The versions of one item as somebody sees them. */
  const versionsOf = async (token: string, ref: string): Promise<number> =>
    entriesOf(await ask(token, get(`${ref}/_history`))).length;
  const body = async (token: string, ref: string): Promise<Resource> => {
    const answer = await done(token, get(ref));
    if (answer.json === undefined) throw new Error(`${ref} has no JSON`);
    return answer.json;
  };

  return {
    base: server.base,
    server,
    known,
    insurer,
    operator,
    feeder,
    holder,
    representative,
    professional,
    users,
    backends,
    ask,
    done,
    made,
    person,
    newTraits,
    stateConsent,
    toState,
    consent,
    grant,
    end,
    delegate,
    urn,
    feed,
    fed,
    deposit,
    picture,
    table,
    body,
    versionsOf,
    now: () => now,
    setClock: async (instant: number): Promise<void> => {
      now = instant;
      await server.setClock(instant);
    },
    dispose: () => server.dispose(),
  };
}

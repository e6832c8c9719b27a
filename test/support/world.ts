/** Builds a world of `test/oracle` through the public HTTP API alone, and tells which server id each of its items got. */
import { createHash } from 'node:crypto';
import { looseAt, professionals, replacedAt } from '../oracle/arbitraries.ts';
import type { Of } from '../oracle/facts.ts';
import type {
  ActorRef,
  CareTeamItem,
  CommunicationItem,
  ConsentItem,
  DocumentItem,
  FiledBy,
  Instant,
  Item,
  World,
  WorldCaller,
} from '../oracle/world.ts';
import {
  appointmentBody,
  binaryBody,
  type CreateEntry,
  careTeamBody,
  communicationBody,
  consentBody,
  documentBody,
  immunizationBody,
  listBody,
  organizationBody,
  patientBody,
  payerBody,
  practitionerBody,
  practitionerRoleBody,
  profileBody,
  profileTypes,
  provenanceBody,
  type Resource,
  relatedPersonBody,
  type Traits,
  transactionBody,
} from './fhir-bodies.ts';
import { createIssuer, type IssuerEntry } from './tokens.ts';

/** What came back: the status, the headers, and the body as text and, when it is JSON, parsed. */
export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Resource | undefined;
};

/** Sends one request; `path` is relative to the base, or absolute. */
export async function send(
  base: string,
  request: {
    readonly method?: string;
    readonly path: string;
    readonly token?: string;
    /** JSON. */
    readonly body?: unknown;
    /** Instead of `body`: a form, url-encoded. */
    readonly form?: string;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Promise<Answer> {
  const answer = await fetch(request.path.startsWith('http') ? request.path : `${base}/${request.path}`, {
    method: request.method ?? 'GET',
    headers: {
      accept: 'application/fhir+json',
      ...(request.token === undefined ? {} : { authorization: `Bearer ${request.token}` }),
      ...(request.body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
      ...(request.form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      ...request.headers,
    },
    ...(request.form === undefined ? {} : { body: request.form }),
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
  });
  const text = await answer.text();
  const isJson = /json/.test(answer.headers.get('content-type') ?? '') && text !== '';
  return { status: answer.status, headers: answer.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

/** `Type/logical id` in the world → the server's id. */
export type Ids = ReadonlyMap<string, string>;

/** The server's id of an item that was built. */
export function idOf(ids: Ids, type: string, id: string): string {
  const found = ids.get(`${type}/${id}`);
  if (found === undefined) throw new Error(`${type}/${id} was not built`);
  return found;
}

/** Tokens for the callers of a world, at an instant. */
export type Mint = (caller: WorldCaller, ids: Ids, now: Instant) => string;

/** A stable synthetic number out of a logical id. */
const digits = (text: string, length: number): string =>
  BigInt(`0x${createHash('sha256').update(text).digest('hex').slice(0, 15)}`)
    .toString()
    .padStart(length, '0')
    .slice(-length);

/** National ids of the cast: an IDNPS starting with 8997, a structure's national id, a test INS. */
export const nationalId = (practitioner: string): string => `8997${digits(practitioner, 8)}`;
export const structureId = (structure: string): string => `10008${digits(structure, 5)}`;

/** The traits of a person of the cast; `p1` is a child. */
export const traitsOf = (person: string): Traits => ({
  ins: `29${digits(person, 13)}`,
  family: 'ESSAI',
  given: person.toUpperCase(),
  gender: 'female',
  birthDate: person === 'p1' ? '2015-03-12' : '1979-03-28',
});

/** Issuers for one server, and tokens of each kind of caller out of them. */
export function createMint(base: string): { readonly entries: readonly IssuerEntry[]; readonly mint: Mint } {
  const persons = createIssuer('https://persons.test.example', ['patient', 'representative', 'professional'], base);
  const backends = createIssuer('https://backends.test.example', ['feeder', 'insurer', 'operator'], base);
  const mint: Mint = (caller, ids, now) => {
    const limit =
      caller.kind === 'patient' || caller.patient === undefined ? undefined : idOf(ids, 'Patient', caller.patient);
    const limited = limit === undefined ? {} : { patient: limit };
    switch (caller.kind) {
      case 'patient':
        return persons.holder({
          now,
          patient: idOf(ids, 'Patient', caller.person),
          ...(caller.secret === undefined ? {} : { secret: caller.secret }),
        });
      case 'representative':
        return persons.representative({
          now,
          relatedPerson: idOf(ids, 'RelatedPerson', caller.related),
          actsFor: idOf(ids, 'Patient', caller.actsFor),
          ...(limit === undefined ? {} : { claims: { patient: limit }, carnet: { acts_for: undefined } }),
        });
      case 'professional':
        return persons.professional({
          now,
          practitioner: idOf(ids, 'Practitioner', caller.person),
          nationalId: nationalId(caller.person),
          profession: caller.profession,
          structure: structureId(caller.structure),
          purpose: caller.purpose,
          ...limited,
          ...(caller.secret === undefined ? {} : { secret: caller.secret }),
          ...(caller.purpose === 'BTG' ? { reason: 'person found unconscious in the street' } : {}),
          ...(caller.purpose === 'ETREAT' ? { regulation: true } : {}),
        });
      case 'feeder':
        return backends.feeder({ now, structure: structureId(caller.structure), ...limited });
      case 'insurer':
        return backends.insurer({ now, structure: structureId('caisse'), ...limited });
      case 'operator':
        return backends.operator({ now, reason: 'set-up of a test world', ...limited });
    }
  };
  return { entries: [persons.entry, backends.entry], mint };
}

/** Where a world is built. */
export type Site = {
  readonly base: string;
  readonly mint: Mint;
  readonly setClock: (instant: Instant) => Promise<void>;
};

/** A request of the builder was refused: a finding in itself. */
export class BuildError extends Error {
  override readonly name = 'BuildError';
}

const at = (text: string): Instant => Date.parse(text);
const born = at('2026-07-01T09:00:00Z');
const deletedAt = at('2026-10-02T10:00:00Z');
const lettersAt = at('2026-10-03T09:00:00Z');
const endedAt = at('2026-10-04T08:00:00Z');
const teamsAt = at('2026-10-04T09:00:00Z');
const consentsAt = at('2026-10-05T09:00:00Z');
const blocksAt = at('2026-10-06T09:00:00Z');
const unmaskedAt = at('2026-10-07T09:00:00Z');
const statesAt = at('2026-10-08T09:00:00Z');

/**
 * Builds a tame world (`test/oracle/arbitraries.ts`), writer by writer, in the order of its instants, and returns the ids.
 * Throws a BuildError that quotes the refused request when the server refuses one that `rules.md` allows.
 */
export async function buildWorld(world: World, site: Site): Promise<Ids> {
  const ids = new Map<string, string>();
  let now = born;
  const clock = async (instant: Instant): Promise<void> => {
    now = instant;
    await site.setClock(instant);
  };
  const ask = async (
    caller: WorldCaller,
    method: string,
    path: string,
    body: Resource | undefined,
  ): Promise<Answer> => {
    const token = site.mint(caller, ids, now);
    const answer = await send(site.base, { method, path, token, ...(body === undefined ? {} : { body }) });
    if (answer.status >= 300)
      throw new BuildError(
        `${caller.kind} ${method} ${path} at ${new Date(now).toISOString()}: ${answer.status} ${answer.text}\n${JSON.stringify(body)}`,
      );
    return answer;
  };
  const create = async (caller: WorldCaller, body: Resource, logical: string): Promise<void> => {
    const answer = await ask(caller, 'POST', body.resourceType, body);
    ids.set(`${body.resourceType}/${logical}`, createdId(answer));
  };
  const ref = (type: string, id: string): string => `${type}/${idOf(ids, type, id)}`;
  const ofType = <T extends Item['type']>(type: T): readonly Of<T>[] =>
    world.items.filter((item): item is Of<T> => item.type === type);
  const iso = (): string => new Date(now).toISOString();

  // the directory, then people, then spaces open for writing (contract.md "Order of birth")
  await clock(born);
  for (const item of world.items)
    if (item.type === 'Organization')
      await create(
        { kind: 'operator' },
        organizationBody(structureId(item.id), `TEST ${item.id}`, item.pharmacy === true),
        item.id,
      );
  for (const item of world.items) {
    if (item.type === 'Practitioner')
      await create({ kind: 'operator' }, practitionerBody(nationalId(item.id), item.id.toUpperCase()), item.id);
    if (item.type === 'PractitionerRole')
      await create(
        { kind: 'operator' },
        practitionerRoleBody(ref('Organization', item.id.replace('role-', ''))),
        item.id,
      );
  }
  for (const item of ofType('Patient')) await create({ kind: 'insurer' }, patientBody(traitsOf(item.id)), item.id);
  const consents = ofType('Consent');
  const spaces = consents.filter((one) => one.kind === 'space-existence');
  const partsOf = (one: ConsentItem): Parameters<typeof consentBody>[0] => ({
    kind: one.kind,
    patient: ref('Patient', one.person),
    performer: one.writtenBy.side === 'insurer' ? ref('Organization', 'caisse') : ref('Patient', one.person),
    provision: one.provision,
    dateTime: iso(),
    ...(one.actors[0] === undefined ? {} : { actor: ref(one.actors[0].type, one.actors[0].id) }),
    ...(one.period === undefined ? {} : { period: one.period }),
    ...(one.delegationKind === undefined ? {} : { delegationKind: one.delegationKind }),
    ...(one.delegatedRights === undefined ? {} : { delegatedRights: one.delegatedRights }),
  });
  for (const { period: _later, ...one } of spaces)
    await create(
      { kind: 'insurer' },
      consentBody({ ...partsOf({ ...one, provision: 'permit' }), state: 'active' }),
      one.id,
    );
  for (const item of ofType('RelatedPerson'))
    await create(
      { kind: 'patient', person: item.person },
      relatedPersonBody(ref('Patient', item.person), item.id, item.labels),
      item.id,
    );

  for (const item of world.items)
    if (profileTypes.includes(item.type) && 'person' in item && item.person !== undefined)
      await create(
        { kind: 'patient', person: item.person },
        profileBody(item.type, ref('Patient', item.person), item.id),
        item.id,
      );

  // documents, vaccinations, payments and appointments at their instants
  const documents = ofType('DocumentReference');
  const dated = [
    ...documents.map((item) => ({ when: at(item.filedAt ?? replacedAt), item })),
    ...ofType('Appointment').map((item) => ({ when: at(item.filedAt ?? replacedAt), item })),
    ...ofType('Immunization').map((item) => ({ when: at(item.filedAt ?? replacedAt), item })),
    ...ofType('ExplanationOfBenefit').map((item) => ({ when: at(item.filedAt ?? replacedAt), item })),
    ...ofType('Coverage').map((item) => ({ when: at(item.filedAt ?? replacedAt), item })),
  ].sort((a, b) => a.when - b.when);
  const filedIn = new Map<string, DocumentItem>();
  for (const list of ofType('List')) {
    const last = dated
      .map(({ item }) => item)
      .filter((item) => list.documents.includes(item.id))
      .at(-1);
    if (last?.type === 'DocumentReference') filedIn.set(list.id, last);
  }
  for (const { when, item } of dated) {
    await clock(when);
    if (item.type === 'Appointment') {
      const people = item.practitioners.map((id) => ref('Practitioner', id));
      const places = item.structures.map((id) => ref('PractitionerRole', `role-${id}`));
      const body = appointmentBody({
        patient: ref('Patient', item.person),
        participants: [...people, ...places],
        labels: item.labels,
      });
      await create(writer(item.filedBy, item.person), body, item.id);
      continue;
    }
    if (item.type === 'Immunization') {
      const body = immunizationBody({ patient: ref('Patient', item.person), labels: item.labels, lot: item.id });
      await create(writer(item.filedBy, item.person), body, item.id);
      continue;
    }
    if (item.type !== 'DocumentReference') {
      const insurer = ref('Organization', 'caisse');
      const parts = { patient: ref('Patient', item.person), insurer, labels: item.labels, text: item.id };
      await create({ kind: 'insurer' }, payerBody(item.type, parts), item.id);
      continue;
    }
    const { entries, names } = feedOf(world, item, { ref, filedIn, iso: iso() });
    const filer = writer(item.filedBy, item.person);
    const session = item.secretSession === true && filer.kind === 'professional' ? { ...filer, secret: true } : filer;
    const answer = await ask(session, 'POST', '', transactionBody(entries));
    const made = ((answer.json?.entry ?? []) as readonly { readonly response?: { readonly location?: string } }[]).map(
      (entry) => literal(entry.response?.location ?? ''),
    );
    names.forEach((name, index) => {
      const id = made[index];
      if (id === undefined) throw new BuildError(`a transaction answered without locations: ${answer.text}`);
      ids.set(name, id);
    });
  }
  await clock(deletedAt);
  const vaccines = ofType('Immunization');
  for (const item of [...documents, ...vaccines])
    if (item.deleted === true)
      await ask(writer(item.filedBy, item.person), 'DELETE', ref(item.type, item.id), undefined);
  for (const item of world.items)
    if (profileTypes.includes(item.type) && item.deleted === true && 'person' in item && item.person !== undefined)
      await ask({ kind: 'patient', person: item.person }, 'DELETE', ref(item.type, item.id), undefined);

  // messages
  await clock(lettersAt);
  for (const item of ofType('Communication')) await create(sender(item), messageBody(item, ref), item.id);

  // entries that are to be found ended, teams, entries in force, blocks
  const named = consents.filter((one) => one.kind !== 'space-existence');
  const isBlock = (one: ConsentItem): boolean =>
    one.provision === 'deny' && (one.kind === 'professional-access' || one.kind === 'organization-access');
  const early = (one: ConsentItem): boolean =>
    one.endedBy === 'update' || (one.endedBy === 'successor' && isBlock(one));
  const hand = (one: ConsentItem): WorldCaller =>
    one.writtenBy.side === 'insurer' ? { kind: 'insurer' } : { kind: 'patient', person: one.person };
  await clock(endedAt);
  for (const one of named.filter(early)) {
    await create(hand(one), consentBody(partsOf(one)), one.id);
    const id = idOf(ids, 'Consent', one.id);
    await ask(hand(one), 'PUT', `Consent/${id}`, consentBody({ ...partsOf(one), status: 'inactive', id }));
  }
  await clock(teamsAt);
  for (const team of ofType('CareTeam')) {
    const caller: WorldCaller =
      team.writtenBy.side === 'insurer' ? { kind: 'insurer' } : { kind: 'feeder', structure: team.structure };
    await create(caller, careTeamBody({ ...teamParts(team, ref), status: 'active' }), team.id);
    if (team.status === 'active' || team.endedByBlock === true) continue;
    const id = idOf(ids, 'CareTeam', team.id);
    await ask(caller, 'PUT', `CareTeam/${id}`, careTeamBody({ ...teamParts(team, ref), status: 'inactive', id }));
  }
  await clock(consentsAt);
  for (const one of named.filter((each) => !early(each) && !isBlock(each)))
    await create(hand(one), consentBody(partsOf(one)), one.id);
  await clock(blocksAt);
  for (const one of named.filter((each) => !early(each) && isBlock(each)))
    await create(hand(one), consentBody(partsOf(one)), one.id);

  // W5 while a `document-default` deny stands, then the states that the world is to be found in
  await clock(unmaskedAt);
  for (const item of [...documents, ...vaccines])
    if (item.unmaskedUnder !== undefined)
      await ask({ kind: 'patient', person: item.person }, 'POST', `${ref(item.type, item.id)}/$unmask`, {
        resourceType: 'Parameters',
      });
  await clock(statesAt);
  for (const one of spaces) {
    if (one.state === undefined || one.state === 'active') continue;
    const id = idOf(ids, 'Consent', one.id);
    await ask({ kind: 'insurer' }, 'PUT', `Consent/${id}`, consentBody({ ...partsOf(one), state: one.state, id }));
  }
  await clock(looseAt);
  for (const item of ofType('Binary'))
    if (item.document === undefined)
      await create(writer(item.filedBy, ''), binaryBody(`content of ${item.id}`), item.id);
  return ids;
}

/** The id that a create was answered with. */
function createdId(answer: Answer): string {
  const id = answer.json?.id;
  return typeof id === 'string' ? id : literal(answer.headers.get('location') ?? '');
}

/** The id in a location, versioned or not, relative or absolute. */
function literal(location: string): string {
  const found = /(?:^|\/)[A-Z][A-Za-z]+\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[^/]+)?$/.exec(location);
  if (found?.[1] === undefined) throw new BuildError(`no id in the location "${location}"`);
  return found[1];
}

/** The caller that files as recorded. */
function writer(filedBy: FiledBy, person: string): WorldCaller {
  if (filedBy.side === 'feeder') return { kind: 'feeder', structure: filedBy.structure ?? '' };
  if (filedBy.side !== 'professional') return { kind: 'patient', person };
  const who = filedBy.person as keyof typeof professionals;
  return {
    kind: 'professional',
    person: who,
    profession: professionals[who],
    structure: filedBy.structure ?? '',
    purpose: 'TREAT',
  };
}

function sender(item: CommunicationItem): WorldCaller {
  return item.sender.type === 'Practitioner'
    ? writer({ side: 'professional', person: item.sender.id, structure: 's1' }, item.person)
    : { kind: 'patient', person: item.person };
}

type Ref = (type: string, id: string) => string;

function messageBody(item: CommunicationItem, ref: Ref): Resource {
  const party = (one: ActorRef): string => ref(one.type, one.id);
  return communicationBody({
    subject: ref('Patient', item.person),
    sender: party(item.sender),
    recipient: party(item.recipient),
    text: `message ${item.id}`,
    ...(item.inResponseTo === undefined ? {} : { inResponseTo: ref('Communication', item.inResponseTo) }),
  });
}

function teamParts(team: CareTeamItem, ref: Ref): Omit<Parameters<typeof careTeamBody>[0], 'status' | 'id'> {
  return {
    subject: ref('Patient', team.person),
    organization: ref('Organization', team.structure),
    members: (team.formerMembers ?? team.members).map((id) => ref('Practitioner', id)),
    ...(team.period === undefined ? {} : { period: team.period }),
  };
}

/** W1 and W23: one transaction with the document, its Binary, its Provenance, and the List that it completes. */
function feedOf(
  world: World,
  item: DocumentItem,
  site: { readonly ref: Ref; readonly filedIn: ReadonlyMap<string, DocumentItem>; readonly iso: string },
): { readonly entries: readonly CreateEntry[]; readonly names: readonly string[] } {
  const { ref, filedIn, iso } = site;
  const entries: CreateEntry[] = [];
  const names: string[] = [];
  const urn = (name: string): string => {
    const hex = createHash('sha256').update(`${name} ${iso}`).digest('hex');
    return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  };
  const add = (name: string, resource: Resource): string => {
    const fullUrl = urn(name);
    names.push(name);
    entries.push({ fullUrl, resource });
    return fullUrl;
  };
  const { filedBy } = item;
  const author =
    filedBy.person === undefined ? ref('Organization', filedBy.structure ?? '') : ref('Practitioner', filedBy.person);
  const subject = ref('Patient', item.person);
  const bytes = world.items.find((one) => one.type === 'Binary' && one.document === item.id);
  const binary = add(`Binary/${bytes?.id}`, binaryBody(`content of ${item.id}`));
  const document = add(
    `DocumentReference/${item.id}`,
    documentBody({
      uniqueId: urn(`document ${item.id}`),
      typeCode: item.docType,
      subject,
      traits: traitsOf(item.person),
      author,
      labels: item.labels,
      date: iso,
      binary,
      title: `title of ${item.id}`,
      ...(item.replaces === undefined ? {} : { replaces: ref('DocumentReference', item.replaces) }),
    }),
  );
  for (const one of world.items) {
    if (one.type === 'Provenance' && one.documents.includes(item.id))
      add(`Provenance/${one.id}`, provenanceBody(document, author, iso));
    if (one.type === 'List' && filedIn.get(one.id)?.id === item.id)
      add(
        `List/${one.id}`,
        listBody(
          subject,
          one.documents.map((id) => (id === item.id ? document : ref('DocumentReference', id))),
        ),
      );
  }
  return { entries, names };
}

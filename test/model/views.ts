/** What every route of the API shows a caller, predicted from the model's world, and compared with what it answered. */
import { auditItems, foundByTraits, patientSearchAllowed, readStatus, searchAllowed } from '../oracle/decide.ts';
import { find, type Of, personOf } from '../oracle/facts.ts';
import type { AuditEventItem, Instant, Item, World, WorldCaller } from '../oracle/world.ts';
import { insSystem, type Resource } from '../support/fhir-bodies.ts';
import type { WireAnswer } from '../support/in-process.ts';
import { auditItemOf } from '../support/register.ts';
import type { choicesOf } from '../support/twin-requests.ts';
import { traitsOf } from '../support/world.ts';
import type { Sent } from './acts.ts';
import { people } from './cast.ts';

type Choices = ReturnType<typeof choicesOf>;

/** One request as a caller, at the instant of the model. */
export type Send = (sent: Sent) => Promise<WireAnswer>;

/** Who looks, when, at what. */
export type Looking = {
  readonly world: World;
  readonly now: Instant;
  readonly caller: WorldCaller;
  readonly send: Send;
  /** Everything that the register holds at this moment. */
  readonly register: () => Promise<readonly AuditEventItem[]>;
};

/** What an answer should have been and was, in words; nothing when they agree. */
export type Difference = { readonly asked: string; readonly expected: unknown; readonly answered: unknown };

/** The types that are searched; a Binary has no search of its own, and the register of accesses is a route of its own (`register`). */
const SEARCHED = [
  'Patient',
  'RelatedPerson',
  'Practitioner',
  'PractitionerRole',
  'Organization',
  'CareTeam',
  'DocumentReference',
  'Consent',
  'Communication',
  'Appointment',
  'Provenance',
  'Immunization',
  'Condition',
  'AllergyIntolerance',
  'Observation',
  'Coverage',
  'ExplanationOfBenefit',
] as const;
/** Those of them that name a person in a parameter of this name. */
const BY_PERSON = [
  'RelatedPerson',
  'CareTeam',
  'DocumentReference',
  'Consent',
  'Communication',
  'Appointment',
  'Immunization',
  'Condition',
  'AllergyIntolerance',
  'Observation',
  'Coverage',
  'ExplanationOfBenefit',
] as const;

const get = (path: string, headers: Readonly<Record<string, string>> = {}): Sent => ({ method: 'GET', path, headers });

/** C5: opens the search by traits and nothing else. */
export const traitsAlone = (caller: WorldCaller): boolean =>
  caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.patient === undefined;

/** Whether the register knows the caller: a token for a RelatedPerson who was deleted is refused (401), whatever it asks. */
export const isKnown = (world: World, caller: WorldCaller): boolean =>
  caller.kind !== 'representative' || find(world, 'RelatedPerson', caller.related)?.deleted !== true;

const statusOf = ({ world, caller, now }: Looking, item: Item): 200 | 404 | 410 => readStatus(world, caller, item, now);
const shown = <T extends Item['type']>(looking: Looking, type: T): readonly Of<T>[] =>
  looking.world.items.filter((item): item is Of<T> => item.type === type && statusOf(looking, item) === 200);
const refs = (items: readonly Item[]): readonly string[] => items.map(({ type, id }) => `${type}/${id}`).sort();

type Bundled = {
  readonly resource?: Resource;
  readonly search?: { readonly mode?: string };
  readonly response?: { readonly status: string };
};
const json = (answer: WireAnswer): Resource | undefined =>
  answer.body === '' ? undefined : (JSON.parse(answer.body) as Resource);
const entries = (bundle: Resource | undefined): readonly Bundled[] => (bundle?.entry ?? []) as readonly Bundled[];

/** The server's own messages about a space are not the model's: they say nothing of an item. */
const isNotice = (resource: Resource): boolean =>
  resource.resourceType === 'Communication' && JSON.stringify(resource.category ?? '').includes('"notification"');

/** Everything on all pages of a searchset, by reference; the status where it is not 200. */
async function found(
  send: Send,
  first: WireAnswer,
  each: (resource: Resource) => unknown = () => undefined,
): Promise<readonly string[] | number> {
  const names: string[] = [];
  for (let answer = first; ; ) {
    if (answer.status !== 200) return answer.status;
    const bundle = json(answer);
    for (const { resource, search } of entries(bundle))
      if (resource !== undefined && search?.mode !== 'outcome' && !isNotice(resource)) {
        names.push(`${resource.resourceType}/${String(resource.id)}`);
        each(resource);
      }
    const links = (bundle?.link ?? []) as readonly { readonly relation: string; readonly url: string }[];
    const next = links.find(({ relation }) => relation === 'next')?.url.split('/fhir/')[1];
    if (next === undefined) return names.sort();
    answer = await send(get(next));
  }
}

type Route = (looking: Looking, choices: Choices) => Promise<Difference | undefined>;

/** The difference, if there is one. */
const differ = (asked: string, expected: unknown, answered: unknown): Difference | undefined =>
  JSON.stringify(expected) === JSON.stringify(answered) ? undefined : { asked, expected, answered };

const someItem = ({ world }: Looking, choices: Choices): Item => choices.of(world.items);
const pathOf = ({ type, id }: Item): string => `${type}/${id}`;

const read: Route = async (looking, choices) => {
  const item = someItem(looking, choices);
  const answer = await looking.send(get(pathOf(item)));
  return differ(`read ${pathOf(item)}`, statusOf(looking, item), answer.status);
};

const head: Route = async (looking, choices) => {
  const item = someItem(looking, choices);
  const answer = await looking.send({ method: 'HEAD', path: pathOf(item) });
  return differ(`HEAD ${pathOf(item)}`, [statusOf(looking, item), ''], [answer.status, answer.body]);
};

/** A reader who has the version already learns that it still stands; everybody else learns what a read tells. */
const conditional: Route = async (looking, choices) => {
  const item = someItem(looking, choices);
  const first = await looking.send(get(pathOf(item)));
  const etag = first.headers.find(([name]) => name === 'etag')?.[1] ?? 'W/"1"';
  const answer = await looking.send(get(pathOf(item), { 'if-none-match': etag }));
  const status = statusOf(looking, item);
  return differ(`read ${pathOf(item)} unless it is ${etag}`, status === 200 ? 304 : status, answer.status);
};

const vread: Route = async (looking, choices) => {
  const item = someItem(looking, choices);
  // the first version of a Binary is about nobody, and so nobody's once it belongs to a document
  const version = item.type === 'Binary' ? 2 : 1;
  const answer = await looking.send(get(`${pathOf(item)}/_history/${version}`));
  return differ(`vread ${pathOf(item)}`, statusOf(looking, item) === 404 ? 404 : 200, answer.status);
};

const history: Route = async (looking, choices) => {
  const item = someItem(looking, choices);
  const answer = await looking.send(get(`${pathOf(item)}/_history`));
  return differ(`history of ${pathOf(item)}`, statusOf(looking, item) === 404 ? 404 : 200, answer.status);
};

const mayAsk = ({ world, caller }: Looking, type: string, by: { readonly id?: string } = {}): boolean =>
  type === 'Patient' ? patientSearchAllowed(caller, by) : searchAllowed(caller, type, world.policy);

const byId: Route = async (looking, choices) => {
  const type = choices.of(SEARCHED);
  const item = choices.of(looking.world.items.filter((one) => one.type === type).concat(someItem(looking, choices)));
  if (!(SEARCHED as readonly string[]).includes(item.type)) return undefined;
  const answer = await looking.send(get(`${item.type}?_id=${item.id}`));
  const expected = !mayAsk(looking, item.type, item) ? 403 : statusOf(looking, item) === 200 ? [pathOf(item)] : [];
  return differ(`search ${pathOf(item)} by _id`, expected, await found(looking.send, answer));
};

const ofType: Route = async (looking, choices) => {
  const type = choices.of(SEARCHED);
  const answer = await looking.send(get(`${type}?_count=${choices.of([2, 7, 100])}`));
  const expected = mayAsk(looking, type) ? refs(shown(looking, type)) : 403;
  return differ(`search ${type}`, expected, await found(looking.send, answer));
};

const counted: Route = async (looking, choices) => {
  // notices are counted with the messages, and are not the model's
  const type = choices.of(SEARCHED.filter((one) => one !== 'Communication'));
  const answer = await looking.send({
    method: 'POST',
    path: `${type}/_search`,
    body: '_summary=count',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  const expected = mayAsk(looking, type) ? [200, shown(looking, type).length] : [403, undefined];
  return differ(`count ${type} by POST`, expected, [answer.status, json(answer)?.total]);
};

const byPerson: Route = async (looking, choices) => {
  const [type, person] = [choices.of(BY_PERSON), choices.of(people)];
  const answer = await looking.send(get(`${type}?patient=Patient/${person}&_total=accurate&_count=100`));
  const expected = mayAsk(looking, type) ? refs(shown(looking, type).filter((item) => item.person === person)) : 403;
  const answered = await found(looking.send, answer);
  const difference = differ(`search ${type} of ${person}`, expected, answered);
  if (difference !== undefined || typeof expected === 'number' || type === 'Communication') return difference;
  return differ(`total of ${type} of ${person}`, expected.length, json(answer)?.total);
};

const compartment: Route = async (looking, choices) => {
  const [type, person] = [choices.of(BY_PERSON), choices.of(people)];
  const patient = find(looking.world, 'Patient', person);
  const answer = await looking.send(get(`Patient/${person}/${type}?_count=100`));
  const sees = patient !== undefined && statusOf(looking, patient) === 200;
  const expected = !mayAsk(looking, type)
    ? 403
    : sees
      ? refs(shown(looking, type).filter((item) => item.person === person))
      : 404;
  return differ(`${type} in the compartment of ${person}`, expected, await found(looking.send, answer));
};

/** A chain, a reverse chain and includes: every hop shows what this caller may see there. */
const linked: Route = async (looking, choices) => {
  const person = choices.of(people);
  const documents = shown(looking, 'DocumentReference');
  const provenances = shown(looking, 'Provenance');
  const patients = shown(looking, 'Patient').map(({ id }) => id);
  const name = choices.of([
    'chain to the person',
    'reverse chain',
    'chain to a type',
    'include',
    'reverse include',
  ] as const);
  const path = {
    'chain to the person': `DocumentReference?subject:Patient.identifier=${encodeURIComponent(`${insSystem}|${traitsOf(person).ins}`)}&_count=100`,
    'reverse chain': 'DocumentReference?_has:Provenance:target:recorded=gt2000-01-01&_count=100',
    'chain to a type': 'Provenance?target:DocumentReference.type=11488-4&_count=100',
    include: 'DocumentReference?_include=DocumentReference:subject&_count=100',
    'reverse include': 'DocumentReference?_revinclude=Provenance:target&_count=100',
  }[name];
  const answer = await looking.send(get(path));
  const answered = await found(looking.send, answer);
  const type = name === 'chain to a type' ? 'Provenance' : 'DocumentReference';
  if (!mayAsk(looking, type)) return differ(name, 403, answered);
  const crosses =
    name === 'include' || name === 'chain to the person'
      ? 'Patient'
      : name === 'chain to a type'
        ? 'DocumentReference'
        : 'Provenance';
  // a hop to a type that no row gives to this caller shows nothing, or is refused: that it shows nothing is laid down
  if (!searchAllowed(looking.caller, crosses, looking.world.policy)) {
    const leaked = typeof answered === 'number' ? [] : answered.filter((ref) => ref.startsWith(`${crosses}/`));
    return differ(`${name} shows no ${crosses}`, [], leaked);
  }
  const typed = new Set(documents.filter((one) => one.docType === '11488-4').map(({ id }) => id));
  const expected = {
    'chain to the person': documents.filter((one) => one.person === person && patients.includes(person)),
    'reverse chain': documents.filter((one) => provenances.some((each) => each.documents.includes(one.id))),
    'chain to a type': provenances.filter((one) => one.documents.some((id) => typed.has(id))),
    include: [
      ...documents,
      ...shown(looking, 'Patient').filter(({ id }) => documents.some((one) => one.person === id)),
    ],
    'reverse include': [
      ...documents,
      ...provenances.filter((one) => one.documents.some((id) => documents.some((each) => each.id === id))),
    ],
  }[name];
  return differ(name, refs(expected), answered);
};

const everything: Route = async (looking, choices) => {
  const person = choices.of(people);
  const patient = find(looking.world, 'Patient', person);
  const answer = await looking.send(get(`Patient/${person}/$everything?_count=${choices.of([3, 100])}`));
  const answered = await found(looking.send, answer);
  const sees = patient !== undefined && statusOf(looking, patient) === 200;
  const types: readonly string[] = ['Patient', ...BY_PERSON];
  const own = looking.world.items.filter(
    (item) => types.includes(item.type) && personOf(looking.world, item) === person && statusOf(looking, item) === 200,
  );
  return differ(
    `everything of ${person}`,
    sees ? refs(own) : 404,
    typeof answered === 'number' ? answered : answered.filter((ref) => types.includes(ref.split('/')[0] ?? '')),
  );
};

const content: Route = async (looking, choices) => {
  const binaries = looking.world.items.filter((item) => item.type === 'Binary');
  if (binaries.length === 0) return undefined;
  const item = choices.of(binaries);
  const accept = choices.of(['*/*', 'application/fhir+json']);
  const answer = await looking.send(get(pathOf(item), { accept }));
  return differ(`content of ${pathOf(item)} as ${accept}`, statusOf(looking, item), answer.status);
};

/** Each entry of a batch is answered as the request that it is. */
const batch: Route = async (looking, choices) => {
  const items = [someItem(looking, choices), someItem(looking, choices), someItem(looking, choices)];
  const entry = [...items.map(pathOf), 'DocumentReference?_count=100'].map((url) => ({
    request: { method: 'GET', url },
  }));
  const answer = await looking.send({
    method: 'POST',
    path: '',
    body: { resourceType: 'Bundle', type: 'batch', entry },
  });
  const answered = entries(json(answer)).map(({ response }) => Number(response?.status.slice(0, 3)));
  const search = searchAllowed(looking.caller, 'DocumentReference', looking.world.policy) ? 200 : 403;
  // Content has no place in a Bundle, there or not.
  const expected = (item: Item): number => (item.type === 'Binary' ? 400 : statusOf(looking, item));
  return differ(
    `batch of ${items.map(pathOf).join()}`,
    [200, ...items.map(expected), search],
    [answer.status, ...answered],
  );
};

/** D9: by traits, and by INS. */
const identity: Route = async (looking, choices) => {
  const { world, caller, now } = looking;
  const person = choices.of(people);
  const { ins, family, birthDate } = traitsOf(person);
  const patient = find(world, 'Patient', person);
  const sees = patient !== undefined && statusOf(looking, patient) === 200;
  if (choices.once(2)) {
    const answer = await looking.send(get(`Patient?identifier=${encodeURIComponent(`${insSystem}|${ins}`)}`));
    const allowed = patientSearchAllowed(caller, { ins: `${insSystem}|${ins}` });
    return differ(
      `search ${person} by INS`,
      !allowed ? 403 : sees ? [`Patient/${person}`] : [],
      await found(looking.send, answer),
    );
  }
  const answer = await looking.send(get(`Patient?family=${family}&birthdate=${birthDate}`));
  const allowed = patientSearchAllowed(caller, { family, birthdate: birthDate });
  const hit = caller.kind === 'professional' ? foundByTraits(world, caller, person, now) : sees;
  return differ(
    `search ${person} by traits`,
    !allowed ? 403 : hit ? [`Patient/${person}`] : [],
    await found(looking.send, answer),
  );
};

/**
 * D8: who sees which events of everything recorded so far, and which items in each. The look is recorded too, after what it shows. What names one of the
 * server's own messages, or an event that does, is left out: they are not the model's.
 */
const register: Route = async (looking) => {
  const { caller, now } = looking;
  const recorded = await looking.register();
  const before = new Set(recorded.map(({ id }) => id));
  const world = { ...looking.world, items: [...looking.world.items, ...recorded] };
  const first = await looking.send(get('AuditEvent?_count=200'));
  if (!searchAllowed(caller, 'AuditEvent', world.policy)) return differ('search AuditEvent', 403, first.status);
  const events: AuditEventItem[] = [];
  const answered = await found(looking.send, first, (resource) => events.push(auditItemOf(resource)));
  if (typeof answered === 'number') return differ('search AuditEvent', 200, answered);
  const apart = new Set<string>();
  const isApart = ({ type, id }: AuditEventItem['items'][number]): boolean =>
    type === 'AuditEvent' ? apart.has(id) : type === 'Communication' && find(world, type, id) === undefined;
  for (let size = -1; size < apart.size; ) {
    size = apart.size;
    for (const { id, items } of recorded) if (items.some(isApart)) apart.add(id);
  }
  const lines = (all: readonly (readonly [string, AuditEventItem['items'] | undefined])[]): readonly string[] =>
    all
      .filter(([id, items]) => items !== undefined && !apart.has(id))
      .map(([id, items]) => `${id}: ${items?.map((one) => `${one.type}/${one.id}`).sort()}`)
      .sort();
  return differ(
    'the register of accesses',
    lines(recorded.map((event) => [event.id, auditItems(world, caller, event, now)])),
    // a later page shows the records of the pages before it
    lines(events.filter(({ id }) => before.has(id)).map((event) => [event.id, event.items])),
  );
};

const ROUTES: readonly Route[] = [
  read,
  head,
  conditional,
  vread,
  history,
  byId,
  ofType,
  counted,
  byPerson,
  compartment,
  linked,
  everything,
  content,
  batch,
  identity,
  register,
];

/** One look through one route. */
export async function lookThrough(looking: Looking, choices: Choices): Promise<Difference | undefined> {
  const route = choices.of(ROUTES);
  if (!isKnown(looking.world, looking.caller)) return unknown(looking, choices);
  if (traitsAlone(looking.caller) && route !== identity) return nothing(looking, choices);
  return route(looking, choices);
}

/** A caller whom the register does not know. */
const unknown: Route = async (looking, choices) => {
  const item = someItem(looking, choices);
  const answer = await looking.send(get(pathOf(item)));
  return differ(`read ${pathOf(item)} with a token of nobody`, 401, answer.status);
};

/** C5: whether it is refused or empty, it shows nothing. */
const nothing: Route = async (looking, choices) => {
  const item = someItem(looking, choices);
  const one = await looking.send(get(pathOf(item)));
  const many = await looking.send(get('DocumentReference'));
  return differ(`read ${pathOf(item)} and search, with traits alone`, [404, 403], [one.status, many.status]);
};

/** The whole of what a caller finds, type by type. */
export async function lookAtAll(looking: Looking): Promise<Difference | undefined> {
  if (!isKnown(looking.world, looking.caller) || traitsAlone(looking.caller)) return undefined;
  for (const type of SEARCHED) {
    if (!mayAsk(looking, type)) continue;
    const answered = await found(looking.send, await looking.send(get(`${type}?_count=100`)));
    const difference = differ(`all of ${type}`, refs(shown(looking, type)), answered);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

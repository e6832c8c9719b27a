/** Asks a running server everything that a caller may ask about a world, and compares each answer with the oracle's. */

import { looseAt } from '../oracle/arbitraries.ts';
import {
  auditItems,
  foundByTraits,
  maySee,
  type PatientSearch,
  patientSearchAllowed,
  readStatus,
  searchAllowed,
} from '../oracle/decide.ts';
import { type Of, personOf } from '../oracle/facts.ts';
import type { AuditEventItem, Instant, Item, World, WorldCaller } from '../oracle/world.ts';
import { type Act, mayWrite } from '../oracle/write.ts';
import {
  binaryBody,
  documentBody,
  immunizationBody,
  insSystem,
  payerBody,
  profileBody,
  profileTypes,
  type Resource,
  transactionBody,
} from '../support/fhir-bodies.ts';
import { auditItemOf } from '../support/register.ts';
import { type Answer, type Ids, idOf, type Mint, nationalId, send, traitsOf } from '../support/world.ts';

/** Types whose search is worth comparing: a Binary has no search of its own. */
const searched = [
  'Patient',
  'RelatedPerson',
  'Practitioner',
  'PractitionerRole',
  'Organization',
  'CareTeam',
  'DocumentReference',
  'List',
  'Consent',
  'Communication',
  'Appointment',
  'Provenance',
  'Immunization',
  'Condition',
  'AllergyIntolerance',
  'Procedure',
  'FamilyMemberHistory',
  'MedicationStatement',
  'Observation',
  'QuestionnaireResponse',
  'ExplanationOfBenefit',
  'Coverage',
  'Task',
] as const;

/** One difference between the server and the oracle. */
export type Mismatch = {
  readonly now: string;
  readonly caller: WorldCaller;
  readonly asked: string;
  readonly item?: Item;
  readonly rules?: readonly string[];
  readonly expected: unknown;
  readonly answered: unknown;
};

/** A built world on a running server. */
export type Built = {
  readonly base: string;
  readonly mint: Mint;
  readonly world: World;
  readonly ids: Ids;
  /** How many answers were compared so far, and of the reads by id how many were to show and to hide something. */
  compared: number;
  toShow: number;
  toHide: number;
};

/** Who asks, and when. */
export type Asking = { readonly caller: WorldCaller; readonly now: Instant };

const opensNothing = (caller: WorldCaller): boolean =>
  caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.patient === undefined;

/** Notes the differences of one caller at one instant. */
type Ledger = {
  readonly found: Mismatch[];
  readonly get: (path: string) => Promise<Answer>;
  readonly post: (path: string, form: string) => Promise<Answer>;
  readonly token: string;
  readonly check: (asked: string, expected: unknown, answered: unknown, item?: Item) => void;
};

function openLedger(built: Built, { caller, now }: Asking, world: World): Ledger {
  const found: Mismatch[] = [];
  const token = built.mint(caller, built.ids, now);
  return {
    found,
    token,
    get: (path) => send(built.base, { path, token }),
    post: (path, form) => send(built.base, { method: 'POST', path, token, form }),
    check: (asked, expected, answered, item) => {
      built.compared += 1;
      if (JSON.stringify(expected) === JSON.stringify(answered)) return;
      const more = item === undefined ? {} : { item, rules: maySee(world, caller, item, now).rules };
      found.push({ now: new Date(now).toISOString(), caller, asked, expected, answered, ...more });
    },
  };
}

/** Runs over the values, sixteen at a time: the requests of one caller do not depend on each other. */
async function together<T>(values: readonly T[], run: (value: T) => Promise<void>): Promise<void> {
  const rest = [...values];
  const lane = async (): Promise<void> => {
    for (let value = rest.shift(); value !== undefined; value = rest.shift()) await run(value);
  };
  await Promise.all(Array.from({ length: 16 }, lane));
}

/** Every read by id, history, search by `_id`, search of a type, count, chain, include, `$everything`, for one caller at one instant. */
export async function compareReads(built: Built, asking: Asking): Promise<readonly Mismatch[]> {
  const ledger = openLedger(built, asking, built.world);
  if (opensNothing(asking.caller)) await traitsOnly(built, asking, ledger);
  else {
    await byId(built, asking, ledger);
    await byType(built, asking, ledger);
    await byOthers(built, asking, ledger);
    await byPerson(built, asking, ledger);
  }
  return ledger.found;
}

/** What the items are that this caller is to be shown now; deleted ones are in no search. */
const shownOf = <T extends Item['type']>(built: Built, { caller, now }: Asking, type: T): readonly Of<T>[] =>
  built.world.items.filter(
    (item): item is Of<T> => item.type === type && readStatus(built.world, caller, item, now) === 200,
  );

/** C5: an ETREAT token without `patient`. Whether the rest is refused or empty is not laid down; that it shows nothing is. */
async function traitsOnly(built: Built, asking: Asking, ledger: Ledger): Promise<void> {
  const shows = (answer: Answer): boolean => answer.status !== 200 || idsIn(answer).length > 0;
  await together(built.world.items, async (item) => {
    const answer = await ledger.get(`${item.type}/${idOf(built.ids, item.type, item.id)}`);
    ledger.check(`read ${item.type}/${item.id}`, true, [401, 403, 404].includes(answer.status), item);
  });
  await together(searched, async (type) => {
    const answer = await ledger.get(type);
    ledger.check(`search ${type}`, true, [401, 403].includes(answer.status) || !shows(answer));
  });
  await byTraits(built, asking, ledger);
}

async function byId(built: Built, asking: Asking, ledger: Ledger): Promise<void> {
  const { world, ids } = built;
  const { caller, now } = asking;
  const bodies = new Set<string>();
  await together(world.items, async (item) => {
    if (item.type === 'Binary' && item.document === undefined && now > looseAt + 3_599_000) return;
    const id = idOf(ids, item.type, item.id);
    const expected = readStatus(world, caller, item, now);
    const answer = await ledger.get(`${item.type}/${id}`);
    ledger.check(`read ${item.type}/${item.id}`, expected, answer.status, item);
    if (expected === 200) built.toShow += 1;
    else built.toHide += 1;
    if (answer.status === 404) bodies.add(withoutRequest(answer.text, id));
    const history = await ledger.get(`${item.type}/${id}/_history`);
    ledger.check(`history ${item.type}/${item.id}`, expected !== 404, history.status !== 404, item);
    if (history.status === 404) bodies.add(withoutRequest(history.text, id));
    if (!(searched as readonly string[]).includes(item.type)) return;
    const search = await ledger.get(`${item.type}?_id=${id}`);
    if (!mayAsk(world, caller, item.type, { id: item.id }))
      ledger.check(`search _id ${item.type}/${item.id}`, 403, search.status, item);
    else {
      const answered = [search.status, idsIn(search).includes(id)];
      ledger.check(`search _id ${item.type}/${item.id}`, [200, expected === 200], answered, item);
    }
  });
  // section 7: hidden, never existed, deleted and hidden: the same body
  const nobody = '00000000-0000-4000-8000-000000000000';
  const never = await ledger.get(`DocumentReference/${nobody}`);
  if (never.status === 404) bodies.add(withoutRequest(never.text, nobody));
  ledger.check('one body for every 404', true, bodies.size <= 1 ? true : [...bodies]);
}

/** What leaves out the resources that the server wrote by itself meanwhile, of which the world knows nothing: notices, and tasks of refused feeds. */
const OF_THE_WORLD: Readonly<Record<string, string>> = {
  Communication: '&category:not=notification',
  Task: '&code:not=feed-quarantine',
};

const isNotice = (resource: object): boolean => JSON.stringify(resource).includes('/CodeSystem/notice"');

async function byType(built: Built, asking: Asking, ledger: Ledger): Promise<void> {
  await together(searched, async (type) => {
    const only = OF_THE_WORLD[type] ?? '';
    const first = await ledger.get(`${type}?_count=7${only}`);
    const posted = await ledger.post(`${type}/_search`, `_summary=count${only}`);
    if (!mayAsk(built.world, asking.caller, type, {})) {
      ledger.check(`search ${type}`, 403, first.status);
      ledger.check(`count ${type}`, 403, posted.status);
      return;
    }
    const expected = shownOf(built, asking, type)
      .map((item) => item.id)
      .sort();
    const answered = first.status === 200 ? await known(built, ledger, first, type) : first.status;
    ledger.check(`search ${type}`, expected, answered);
    ledger.check(`count ${type}`, [200, expected.length], [posted.status, posted.json?.total]);
  });
}

/** Reverse chains, chains and includes between documents and their Provenance: each hop shows what the caller may see there. */
async function byOthers(built: Built, asking: Asking, ledger: Ledger): Promise<void> {
  const { world } = built;
  const { caller } = asking;
  const both = ['DocumentReference', 'Provenance'].every((type) => searchAllowed(caller, type, world.policy));
  const documents = shownOf(built, asking, 'DocumentReference');
  const provenances = shownOf(built, asking, 'Provenance');
  const reverse = await ledger.get('DocumentReference?_has:Provenance:target:recorded=gt2000-01-01&_count=100');
  const chain = await ledger.get('Provenance?target:DocumentReference.type=11488-4&_count=100');
  const included = await ledger.get('DocumentReference?_revinclude=Provenance:target&_count=100');
  if (!both) {
    const nothing = (answer: Answer): boolean => answer.status !== 200 || !/"Provenance"/.test(answer.text);
    for (const [name, answer] of Object.entries({ chain, included }))
      ledger.check(`${name} shows none`, true, nothing(answer));
    ledger.check('_has shows none', true, reverse.status !== 200 || idsIn(reverse).length === 0);
    return;
  }
  const targets = new Set(provenances.flatMap((one) => one.documents));
  const withProvenance = documents.filter((one) => targets.has(one.id)).map((one) => one.id);
  ledger.check('_has', withProvenance.sort(), await known(built, ledger, reverse, 'DocumentReference'));
  const typed = new Set(documents.filter((one) => one.docType === '11488-4').map((one) => one.id));
  const ofType = provenances.filter((one) => one.documents.some((id) => typed.has(id))).map((one) => one.id);
  ledger.check('chain', ofType.sort(), await known(built, ledger, chain, 'Provenance'));
  const reached = provenances.filter((one) => one.documents.some((id) => documents.some((d) => d.id === id)));
  const answered = matches(included).map(
    (one) => `${one.resourceType}/${logical(built.ids, one.resourceType, String(one.id))}`,
  );
  const expected = [...documents, ...reached].map((one) => `${one.type}/${one.id}`);
  ledger.check('_revinclude', expected.sort(), answered.sort());
}

async function byPerson(built: Built, asking: Asking, ledger: Ledger): Promise<void> {
  const { world, ids } = built;
  const { caller, now } = asking;
  await byTraits(built, asking, ledger);
  await together(people(world), async (person) => {
    const { ins } = traitsOf(person.id);
    const id = idOf(ids, 'Patient', person.id);
    const sees = readStatus(world, caller, person, now) === 200;
    const byIns = await ledger.get(`Patient?identifier=${encodeURIComponent(`${insSystem}|${ins}`)}`);
    if (patientSearchAllowed(caller, { ins: `${insSystem}|${ins}` }))
      ledger.check(`search INS of ${person.id}`, [200, sees], [byIns.status, idsIn(byIns).includes(id)], person);
    else ledger.check(`search INS of ${person.id}`, 403, byIns.status, person);
    const bare = await ledger.get(`Patient?identifier=${ins}`);
    if (caller.kind === 'patient' || caller.kind === 'representative')
      ledger.check(`search bare INS of ${person.id}`, [200, sees], [bare.status, idsIn(bare).includes(id)], person);
    else ledger.check(`search bare INS of ${person.id}`, 403, bare.status, person);
    const everything = await ledger.get(`Patient/${id}/$everything`);
    if (!sees) ledger.check(`everything of ${person.id}`, 404, everything.status, person);
    else {
      const answered = (await allResources(built, ledger.token, everything))
        .filter((one) => !isNotice(one))
        .map((one) => `${one.resourceType}/${logical(ids, one.resourceType, String(one.id))}`);
      const types = [
        'Patient',
        'DocumentReference',
        'Consent',
        'CareTeam',
        'Appointment',
        'Communication',
        'RelatedPerson',
        'List',
        'Immunization',
        ...profileTypes,
        'ExplanationOfBenefit',
        'Coverage',
      ];
      const expected = world.items.filter(
        (item) =>
          types.includes(item.type) &&
          personOf(world, item) === person.id &&
          readStatus(world, caller, item, now) === 200,
      );
      ledger.check(
        `everything of ${person.id}`,
        expected.map((item) => `${item.type}/${item.id}`).sort(),
        answered.filter((name) => types.includes(name.split('/')[0] ?? '')).sort(),
        person,
      );
    }
    if (!searchAllowed(caller, 'DocumentReference', world.policy)) return;
    const compartment = await ledger.get(`Patient/${id}/DocumentReference?_count=100`);
    const inside = shownOf(built, asking, 'DocumentReference')
      .filter((item) => item.person === person.id)
      .map((item) => item.id);
    if (!sees) ledger.check(`compartment of ${person.id}`, 404, compartment.status, person);
    else
      ledger.check(
        `compartment of ${person.id}`,
        inside.sort(),
        await known(built, ledger, compartment, 'DocumentReference'),
        person,
      );
  });
}

/** D9: the search by family name and birth date. */
async function byTraits(built: Built, { caller, now }: Asking, ledger: Ledger): Promise<void> {
  await together(people(built.world), async (person) => {
    const { family, birthDate } = traitsOf(person.id);
    const answer = await ledger.get(`Patient?family=${family}&birthdate=${birthDate}`);
    if (!patientSearchAllowed(caller, { family, birthdate: birthDate })) {
      ledger.check(`search traits of ${person.id}`, 403, answer.status, person);
      return;
    }
    const hit =
      caller.kind === 'professional'
        ? foundByTraits(built.world, caller, person.id, now)
        : readStatus(built.world, caller, person, now) === 200;
    const answered = [answer.status, idsIn(answer).includes(idOf(built.ids, 'Patient', person.id))];
    ledger.check(`search traits of ${person.id}`, [200, hit], answered, person);
  });
}

const people = (world: World): readonly Of<'Patient'>[] =>
  world.items.filter((item): item is Of<'Patient'> => item.type === 'Patient');

/** The world's names of everything on all pages of a search, sorted; the status when it is not 200. */
async function known(built: Built, ledger: Ledger, first: Answer, type: string): Promise<readonly string[] | number> {
  if (first.status !== 200) return first.status;
  return (await allResources(built, ledger.token, first)).map((one) => logical(built.ids, type, String(one.id))).sort();
}

/** D8: which of the given events, and which entities of them, a caller is shown. */
export async function compareAudit(
  built: Built,
  asking: Asking,
  events: readonly AuditEventItem[],
  before: string,
): Promise<readonly Mismatch[]> {
  const { ids } = built;
  const { caller, now } = asking;
  const world: World = { ...built.world, items: [...built.world.items, ...events] };
  const { check, found, get, token } = openLedger(built, asking, world);
  if (opensNothing(caller)) return found;
  const answer = await get(`AuditEvent?date=lt${encodeURIComponent(before)}&_count=200`);
  if (!searchAllowed(caller, 'AuditEvent', world.policy) || answer.status !== 200) {
    check('search AuditEvent', searchAllowed(caller, 'AuditEvent', world.policy) ? 200 : 403, answer.status);
    return found;
  }
  const shown = new Map((await allResources(built, token, answer)).map((one) => [String(one.id), one]));
  const names = (items: AuditEventItem['items']): readonly string[] =>
    items.map((one) => `${one.type}/${one.id}`).sort();
  const told = caller.kind === 'patient' || caller.kind === 'operator';
  await together(events, async (event) => {
    const items = auditItems(world, caller, event, now);
    const resource = shown.get(event.id);
    check(
      `AuditEvent/${event.id}`,
      items === undefined ? 'hidden' : names(items),
      resource === undefined ? 'hidden' : names(eventOf(ids, resource).items),
      event,
    );
    // contract.md: the mark of a secret session is for the holder and the operator
    if (items !== undefined && resource !== undefined)
      check(`secret mark of AuditEvent/${event.id}`, event.secret && told, eventOf(ids, resource).secret, event);
    const read = await get(`AuditEvent/${event.id}`);
    check(`read AuditEvent/${event.id}`, items === undefined ? 404 : 200, read.status, event);
  });
  for (const id of shown.keys())
    if (!events.some((event) => event.id === id)) check(`AuditEvent/${id}`, 'unknown', 'shown');
  return found;
}

/** What the operator's register holds about everything recorded before an instant, as oracle items with server ids. */
export async function recordedEvents(built: Built, now: Instant, before: string): Promise<readonly AuditEventItem[]> {
  const token = built.mint({ kind: 'operator' }, built.ids, now);
  const first = await send(built.base, {
    path: `AuditEvent?date=lt${encodeURIComponent(before)}&_count=200`,
    token,
  });
  if (first.status !== 200) throw new Error(`the operator's search of AuditEvent: ${first.status} ${first.text}`);
  return (await allResources(built, token, first)).map((resource) => eventOf(built.ids, resource));
}

const eventOf = (ids: Ids, resource: Resource): AuditEventItem =>
  auditItemOf(resource, ({ type, id }) => logical(ids, type, id));

/** Acts that the oracle refuses on every document and entry of the world; the server must refuse them alike, and change nothing. */
export async function compareRefusals(built: Built, asking: Asking): Promise<readonly Mismatch[]> {
  const { world, ids } = built;
  const { caller, now } = asking;
  const found: Mismatch[] = [];
  if (opensNothing(caller)) return found;
  const token = built.mint(caller, ids, now);
  const attempt = async (act: Act, item: Item, request: Parameters<typeof send>[1]): Promise<void> => {
    const expected = mayWrite(world, caller, act, now);
    if (expected === 'ok') return;
    const answer = await send(built.base, { ...request, token });
    built.compared += 1;
    // the same body is a feed (W1) from some and a deposit (W2) from others: 403 and 422 are both right there
    const deposit = act.act === 'feed' && (caller.kind === 'patient' || caller.kind === 'representative');
    if (answer.status === expected.status || (deposit && answer.status === 422)) return;
    found.push({
      now: new Date(now).toISOString(),
      caller,
      asked: JSON.stringify(act),
      item,
      rules: [expected.rule, ...maySee(world, caller, item, now).rules],
      expected: expected.status,
      answered: `${answer.status} ${answer.text.slice(0, 600)}`,
    });
  };
  await together(world.items, async (item) => {
    if (item.type === 'DocumentReference' || item.type === 'Immunization') {
      const path = `${item.type}/${idOf(ids, item.type, item.id)}`;
      const on = { type: item.type, id: item.id } as const;
      const operation = (name: string, parameters: readonly object[]): Parameters<typeof send>[1] => ({
        method: 'POST',
        path: `${path}/$${name}`,
        body: { resourceType: 'Parameters', ...(parameters.length === 0 ? {} : { parameter: parameters }) },
      });
      await attempt({ act: 'delete', ...on }, item, { method: 'DELETE', path });
      const request = [{ name: 'atHoldersRequest', valueBoolean: true }];
      await attempt({ act: 'mask', atHoldersRequest: true, ...on }, item, operation('mask', request));
      await attempt({ act: 'unmask', ...on }, item, operation('unmask', []));
      for (const side of ['patient', 'representatives'] as const) {
        const hide = [{ name: 'from', valueCode: side }];
        const release = [{ name: 'to', valueCode: side }];
        await attempt({ act: 'hide', side, ...on }, item, operation('hide', hide));
        await attempt({ act: 'release', side, ...on }, item, operation('release', release));
      }
    }
    if (item.type === 'Consent' && item.kind !== 'space-existence' && item.status === 'active')
      await attempt({ act: 'end-consent', id: item.id }, item, {
        method: 'PATCH',
        path: `Consent/${idOf(ids, 'Consent', item.id)}`,
        body: [{ op: 'replace', path: '/status', value: 'inactive' }],
        headers: { 'content-type': 'application/json-patch+json' },
      });
    if (item.type === 'Patient') {
      const act = {
        act: 'feed',
        person: item.id,
        type: 'DocumentReference',
        labels: [],
        confidentiality: 'N',
        identity: 'equal',
      } as const;
      await attempt(act, item, { method: 'POST', path: '', body: feedBody(built, caller, item.id, now) });
      const patient = `Patient/${idOf(ids, 'Patient', item.id)}`;
      const make = (body: Resource): Parameters<typeof send>[1] => ({ method: 'POST', path: body.resourceType, body });
      const vaccine = immunizationBody({ patient, labels: [], lot: 'probe' });
      await attempt({ ...act, type: 'Immunization' }, item, make(vaccine));
      await attempt({ act: 'profile', person: item.id }, item, make(profileBody('Condition', patient, 'probe')));
      const insurer = `Organization/${idOf(ids, 'Organization', 'caisse')}`;
      const paid = payerBody('Coverage', { patient, insurer, labels: [], text: 'probe' });
      await attempt({ act: 'payer', person: item.id }, item, make(paid));
    }
    if (item.type === 'ExplanationOfBenefit' || item.type === 'Coverage') {
      // nobody changes what was paid: 404 to who does not see it, W18 to the others; no act of the oracle
      const path = `${item.type}/${idOf(ids, item.type, item.id)}`;
      const expected = readStatus(world, caller, item, now) === 200 ? 403 : 404;
      const answer = await send(built.base, { method: 'DELETE', path, token });
      built.compared += 1;
      if (answer.status !== expected)
        found.push({
          now: new Date(now).toISOString(),
          caller,
          asked: `DELETE ${path}`,
          item,
          expected,
          answered: answer.text,
        });
    }
  });
  return found;
}

function feedBody(built: Built, caller: WorldCaller, person: string, now: Instant): Resource {
  const binary = 'urn:uuid:11111111-1111-4111-8111-111111111111';
  const author =
    caller.kind === 'professional'
      ? `Practitioner/${idOf(built.ids, 'Practitioner', caller.person)}`
      : `Organization/${idOf(built.ids, 'Organization', 's1')}`;
  return transactionBody([
    { fullUrl: binary, resource: binaryBody('probe') },
    {
      fullUrl: 'urn:uuid:22222222-2222-4222-8222-222222222222',
      resource: documentBody({
        uniqueId: `urn:uuid:33333333-3333-4333-8333-${nationalId(JSON.stringify([caller, person, now]))}`,
        typeCode: '11488-4',
        subject: `Patient/${idOf(built.ids, 'Patient', person)}`,
        traits: traitsOf(person),
        author,
        labels: [],
        date: new Date(now).toISOString(),
        binary,
        title: 'probe',
      }),
    },
  ]);
}

function mayAsk(world: World, caller: WorldCaller, type: string, by: PatientSearch): boolean {
  return type === 'Patient' ? patientSearchAllowed(caller, by) : searchAllowed(caller, type, world.policy);
}

/** The world's name of a server id; an unknown one stays as it is. */
function logical(ids: Ids, type: string, id: string): string {
  for (const [name, server] of ids)
    if (server === id && name.startsWith(`${type}/`)) return name.slice(type.length + 1);
  return id;
}

type Entry = { readonly resource?: Resource; readonly search?: { readonly mode?: string } };

const matches = (answer: Answer): readonly Resource[] =>
  ((answer.json?.entry ?? []) as readonly Entry[]).flatMap((entry) =>
    entry.resource === undefined || entry.search?.mode === 'outcome' ? [] : [entry.resource],
  );

const idsIn = (answer: Answer): readonly string[] =>
  answer.json?.resourceType === 'Bundle' ? matches(answer).map((resource) => String(resource.id)) : [];

async function allResources(built: Built, token: string, first: Answer): Promise<readonly Resource[]> {
  const resources = [...matches(first)];
  let page = first;
  for (;;) {
    const links = (page.json?.link ?? []) as readonly { readonly relation: string; readonly url: string }[];
    const next = links.find((link) => link.relation === 'next')?.url;
    if (next === undefined) return resources;
    page = await send(built.base, { path: next, token });
    if (page.status !== 200) throw new Error(`a next page answered ${page.status}: ${page.text}`);
    resources.push(...matches(page));
  }
}

/** A 404 body without what may differ: the id asked for, which the caller knows. */
const withoutRequest = (text: string, id: string): string => text.replaceAll(id, '');

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
import type { AuditEventItem, Instant, Item, World, WorldCaller } from '../oracle/world.ts';
import { type Act, mayWrite } from '../oracle/write.ts';
import { binaryBody, documentBody, insSystem, type Resource, transactionBody } from '../support/fhir-bodies.ts';
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
  /** How many answers were compared so far. */
  compared: number;
};

/** Who asks, and when. */
export type Asking = { readonly caller: WorldCaller; readonly now: Instant };

const opensNothing = (caller: WorldCaller): boolean =>
  caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.patient === undefined;

/** Every read by id, search by `_id`, search of a type, search of a person, for one caller at one instant. */
export async function compareReads(built: Built, asking: Asking): Promise<readonly Mismatch[]> {
  const { world, ids } = built;
  const { caller, now } = asking;
  const found: Mismatch[] = [];
  const token = built.mint(caller, ids, now);
  const get = (path: string): Promise<Answer> => send(built.base, { path, token });
  const check = (asked: string, expected: unknown, answered: unknown, item?: Item): void => {
    built.compared += 1;
    if (JSON.stringify(expected) === JSON.stringify(answered)) return;
    const rules = item === undefined ? undefined : maySee(world, caller, item, now).rules;
    found.push({
      now: new Date(now).toISOString(),
      caller,
      asked,
      expected,
      answered,
      ...(item === undefined ? {} : { item }),
      ...(rules === undefined ? {} : { rules }),
    });
  };
  const bodies = new Set<string>();
  for (const item of world.items) {
    if (item.type === 'Binary' && item.document === undefined && now > looseAt + 3_599_000) continue;
    const id = idOf(ids, item.type, item.id);
    const answer = await get(`${item.type}/${id}`);
    // C5: to a token that opens nothing, any refusal says the same
    const closed = opensNothing(caller) && [401, 403, 404].includes(answer.status);
    const expected = readStatus(world, caller, item, now);
    check(`read ${item.type}/${item.id}`, expected, closed && expected === 404 ? 404 : answer.status, item);
    if (answer.status === 404) bodies.add(withoutRequest(answer.text, id));
    if (!(searched as readonly string[]).includes(item.type)) continue;
    const search = await get(`${item.type}?_id=${id}`);
    const allowed = mayAsk(world, caller, item.type, { id: item.id });
    const holds = expected === 200 && !opensNothing(caller);
    if (opensNothing(caller) && [401, 403].includes(search.status))
      check(`search _id ${item.type}/${item.id}`, false, holds);
    else if (!allowed) check(`search _id ${item.type}/${item.id}`, 403, search.status, item);
    else check(`search _id ${item.type}/${item.id}`, [200, holds], [search.status, idsIn(search).includes(id)], item);
  }
  // section 7: hidden, never existed, deleted and hidden: the same body
  const never = await get('DocumentReference/00000000-0000-4000-8000-000000000000');
  if (never.status === 404) bodies.add(withoutRequest(never.text, '00000000-0000-4000-8000-000000000000'));
  check('one body for every 404', true, bodies.size <= 1 ? true : [...bodies]);

  for (const type of searched) {
    const known = world.items.filter((item) => item.type === type);
    const first = await get(`${type}?_count=100`);
    if (opensNothing(caller) && [401, 403].includes(first.status)) continue;
    if (!mayAsk(world, caller, type, {})) {
      check(`search ${type}`, 403, first.status);
      continue;
    }
    const expected = opensNothing(caller)
      ? []
      : known.filter((item) => readStatus(world, caller, item, now) === 200).map((item) => item.id);
    if (first.status !== 200) {
      check(`search ${type}`, 200, first.status);
      continue;
    }
    const answered = await allIds(built, token, first);
    check(`search ${type}`, expected.sort(), answered.map((id) => logical(ids, type, id)).sort());
  }
  for (const person of world.items.filter((item) => item.type === 'Patient')) {
    const traits = traitsOf(person.id);
    const id = idOf(ids, 'Patient', person.id);
    const byIns = await get(`Patient?identifier=${encodeURIComponent(`${insSystem}|${traits.ins}`)}`);
    const sees = readStatus(world, caller, person, now) === 200 && !opensNothing(caller);
    if (patientSearchAllowed(caller, { ins: `${insSystem}|${traits.ins}` }))
      check(`search INS of ${person.id}`, [200, sees], [byIns.status, idsIn(byIns).includes(id)], person);
    else check(`search INS of ${person.id}`, 403, byIns.status, person);
    const without = await get(`Patient?identifier=${traits.ins}`);
    if (caller.kind !== 'patient' && caller.kind !== 'representative')
      check(`search INS without system of ${person.id}`, 403, without.status, person);
    const byTraits = await get(`Patient?family=${traits.family}&birthdate=${traits.birthDate}`);
    const hit =
      opensNothing(caller) || caller.kind === 'professional' ? foundByTraits(world, caller, person.id, now) : sees;
    if (patientSearchAllowed(caller, { family: traits.family, birthdate: traits.birthDate }))
      check(`search traits of ${person.id}`, [200, hit], [byTraits.status, idsIn(byTraits).includes(id)], person);
    else check(`search traits of ${person.id}`, 403, byTraits.status, person);
    const compartment = await get(`Patient/${id}/DocumentReference`);
    const documents = world.items.filter((item) => item.type === 'DocumentReference' && item.person === person.id);
    const inside = documents
      .filter((item) => readStatus(world, caller, item, now) === 200)
      .map((item) => item.id)
      .sort();
    if (!opensNothing(caller) && searchAllowed(caller, 'DocumentReference', world.policy)) {
      if (!sees) check(`compartment of ${person.id}`, 404, compartment.status, person);
      else
        check(
          `compartment of ${person.id}`,
          [200, inside],
          [
            compartment.status,
            idsIn(compartment)
              .map((one) => logical(ids, 'DocumentReference', one))
              .sort(),
          ],
          person,
        );
    }
  }
  return found;
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
  const token = built.mint(caller, ids, now);
  const path = `AuditEvent?date=lt${encodeURIComponent(before)}&_count=200`;
  const answer = await send(built.base, { path, token });
  const found: Mismatch[] = [];
  const check = (asked: string, expected: unknown, answered: unknown, item?: AuditEventItem): void => {
    built.compared += 1;
    if (JSON.stringify(expected) === JSON.stringify(answered)) return;
    const rules = item === undefined ? [] : maySee(world, caller, item, now).rules;
    found.push({
      now: new Date(now).toISOString(),
      caller,
      asked,
      expected,
      answered,
      rules,
      ...(item === undefined ? {} : { item }),
    });
  };
  if (opensNothing(caller)) return found;
  if (!searchAllowed(caller, 'AuditEvent', world.policy)) {
    check('search AuditEvent', 403, answer.status);
    return found;
  }
  if (answer.status !== 200) {
    check('search AuditEvent', 200, answer.status);
    return found;
  }
  const shown = new Map((await allResources(built, token, answer)).map((one) => [String(one.id), one]));
  for (const event of events) {
    const items = auditItems(world, caller, event, now);
    const resource = shown.get(event.id);
    const expected = items?.map((one) => `${one.type}/${one.id}`).sort() ?? 'hidden';
    const answered =
      resource === undefined
        ? 'hidden'
        : eventOf(ids, resource)
            .items.map((one) => `${one.type}/${one.id}`)
            .sort();
    check(`AuditEvent/${event.id}`, expected, answered, event);
    const read = await send(built.base, { path: `AuditEvent/${event.id}`, token });
    check(`read AuditEvent/${event.id}`, items === undefined ? 404 : 200, read.status, event);
  }
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

type Agent = { readonly requestor?: boolean; readonly who?: Reference };
type Reference = { readonly reference?: string; readonly identifier?: { readonly value?: string } };

/** contract.md "AuditEvents on the wire", back to the oracle's words. */
function eventOf(ids: Ids, resource: Resource): AuditEventItem {
  const agents = (resource.agent ?? []) as readonly Agent[];
  const entities = (resource.entity ?? []) as readonly { readonly what?: Reference }[];
  const references = entities.flatMap(({ what }) => (what?.reference === undefined ? [] : [what.reference]));
  const split = (reference: string): { readonly type: string; readonly id: string } => {
    const [type = '', id = ''] = reference.split('/').slice(-2);
    return { type, id: logical(ids, type, id) };
  };
  const named = references.map(split);
  const person = named.find((one) => one.type === 'Patient')?.id;
  const tags = (resource.meta as { readonly tag?: readonly { readonly code?: string }[] } | undefined)?.tag ?? [];
  const agent = split(agents.find((one) => one.requestor === true)?.who?.reference ?? 'operator/operator');
  return {
    type: 'AuditEvent',
    id: String(resource.id),
    agent,
    items: named.filter((one) => one.type !== 'Patient'),
    secret: tags.some((tag) => tag.code === 'secret'),
    ...(person === undefined ? {} : { person }),
  };
}

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
    if (answer.status === expected.status) return;
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
  for (const item of world.items) {
    if (item.type === 'DocumentReference') {
      const path = `DocumentReference/${idOf(ids, item.type, item.id)}`;
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
    }
  }
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

async function allIds(built: Built, token: string, first: Answer): Promise<readonly string[]> {
  return (await allResources(built, token, first)).map((resource) => String(resource.id));
}

/** A 404 body without what may differ: the id asked for, which the caller knows. */
const withoutRequest = (text: string, id: string): string => text.replaceAll(id, '');

/**
 * Twin worlds: a store A that holds a random world, and a store B that holds the same world without what one caller may not see; who that is, the
 * independent oracle says. For the caller the two must be one (rules.md, "in one sentence").
 *
 * A is written with the server's own indexing and marks, and every write is recorded; B is loaded through the store's port from the same writes, with
 * the same ids, instants, filings and entries, those of hidden resources left out. What decisions are made of, the compiled entry of each
 * person's space, is the same in both: a caller may learn what the rules decide for them, and nothing of the resources that it was compiled from.
 *
 * Written exceptions, each a rule that tells more than sight does. In B these hidden resources stay:
 * - the caller's own Patient and RelatedPerson, with other content: a caller whom the register does not know is refused (contract.md);
 * - for the operator, Patients with other content: it repairs spaces of people whom it does not see (W15), and its register names everybody (D8);
 * - for the holder's side of a suspended space, and for professionals of a legacy DMP, when they read the register: what the state alone hides, which the
 *   register still names (D8);
 * - for the insurer, RelatedPersons with other names, which legal delegations name, and `care-team-default` entries, of which it writes the first (W15).
 */
import { createAccess } from '../../server/access/access.ts';
import type { Caller } from '../../server/access/caller.ts';
import { accessOptions } from '../../server/app/caller-access.ts';
import type { Deps } from '../../server/app/deps.ts';
import { erase, save, settle, type Work } from '../../server/app/work.ts';
import { auditEvent } from '../../server/audit/event.ts';
import type { IndexEntry } from '../../server/fhir/index-entry.ts';
import { indexResource } from '../../server/fhir/index-resource.ts';
import type { Ref, Resource } from '../../server/fhir/types.ts';
import type { Filing, Put, ResourceStore, StoreUnit, Version } from '../../server/ports/store.ts';
import { baseInstant, people, replacedAt } from '../oracle/arbitraries.ts';
import { foundByTraits, maySee, see } from '../oracle/decide.ts';
import { type Of, stateOf } from '../oracle/facts.ts';
import type {
  ConsentItem,
  DocumentItem,
  FiledBy,
  ImmunizationItem,
  Instant,
  Item,
  World,
  WorldCaller,
} from '../oracle/world.ts';
import {
  appointmentBody,
  type ConsentParts,
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
  relatedPersonBody,
} from './fhir-bodies.ts';
import { BASE, depsFor, registry } from './in-process.ts';
import { type Ids, nationalId, structureId, traitsOf } from './world.ts';

/** Everything that was written to A, in order. */
export type Recording = {
  readonly puts: readonly Put[];
  readonly spaces: ReadonlyMap<Ref, IndexEntry>;
  /** Content of each Binary, by id. */
  readonly bytes: ReadonlyMap<string, string>;
  /** The last version that was not a tombstone. */
  readonly latest: ReadonlyMap<string, Put>;
};

export const refOfItem = (item: Item): string => `${item.type}/${item.id}`;

/** Logical ids are the server's ids. */
export const sameIds = (world: World): Ids => new Map(world.items.map((item) => [refOfItem(item), item.id]));

const at = (text: string): Instant => Date.parse(text);
const born = at('2026-07-01T09:00:00Z');
const deletedAt = at('2026-10-02T10:00:00Z');
const lettersAt = at('2026-10-03T09:00:00Z');
const teamsAt = at('2026-10-04T09:00:00Z');
const consentsAt = at('2026-10-05T09:00:00Z');
const blocksAt = at('2026-10-06T09:00:00Z');
const unmaskedAt = at('2026-10-07T09:00:00Z');
const statesAt = at('2026-10-08T09:00:00Z');
const eventsAt = at('2026-10-09T09:00:00Z');

/** What the server would have recorded of who filed something. */
function filingOf(filedBy: FiledBy, person: string | undefined, filedAt: Instant | undefined): Filing {
  const dated = filedAt === undefined ? {} : { filedAt };
  const structure: Ref = `Organization/${filedBy.structure ?? 'caisse'}`;
  switch (filedBy.side) {
    case 'professional': {
      const authorPerson: Ref = `Practitioner/${filedBy.person}`;
      return { ...dated, by: authorPerson, side: 'professional', authorPerson, authorStructure: structure };
    }
    case 'feeder':
      return { ...dated, by: structure, side: 'feeder', authorStructure: structure };
    case 'representative':
      return { ...dated, by: `RelatedPerson/${filedBy.related}`, side: 'holder' };
    case 'holder':
      return { ...dated, by: `Patient/${person}`, side: 'holder' };
    case 'insurer':
      return { ...dated, by: 'Organization/caisse', side: 'insurer' };
    case 'operator':
      return { ...dated, by: 'operator:https://backends.test.example' as Ref, side: 'operator' };
  }
}

/** D6: the creator of an appointment; a professional in person, a feeder for its structure. */
function creatorOf(filedBy: FiledBy, person: string, filedAt: Instant): Filing {
  const { authorStructure, ...filing } = filingOf(filedBy, person, filedAt);
  return filedBy.side === 'feeder' && authorStructure !== undefined ? { ...filing, authorStructure } : filing;
}

/** Writes the world's items with the server's own `save`, which indexes and marks them, and remembers every write. */
export async function record(
  world: World,
  store: ResourceStore,
  deps: Omit<Deps, 'store'>,
  which: 'directory' | 'persons',
): Promise<Recording> {
  const puts: Put[] = [];
  const spaces = new Map<Ref, IndexEntry>();
  const bytes = new Map<string, string>();
  if (which === 'persons')
    for (const item of world.items) if (item.type === 'Binary') bytes.set(item.id, `content of ${item.id}`);
  const uploads = new Map<string, string>();
  for (const [id, content] of bytes) uploads.set(id, (await store.stage(once(content), 10_000)).id);
  await store.unit(async (unit) => {
    const recording: StoreUnit = {
      ...unit,
      put: (put) => {
        puts.push(put);
        return unit.put(put);
      },
      putSpace: (person, entry) => {
        spaces.set(person, entry);
        return unit.putSpace(person, entry);
      },
    };
    const work = workOf(recording, { ...deps, store });
    const writer = createWriter(work);
    if (which === 'directory') await writeDirectory(world, writer);
    else await writePersons(world, writer);
    for (const [id, upload] of uploads) await unit.attachBytes({ type: 'Binary', id }, upload);
    for (const item of world.items) if (item.type === 'Patient') work.stale.add(`Patient/${item.id}`);
    await settle(work);
  });
  const latest = new Map<string, Put>();
  for (const put of puts) if (!put.deleted) latest.set(`${put.key.type}/${put.key.id}`, put);
  return { puts, spaces, bytes, latest };
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

const builder: Caller = {
  kind: 'operator',
  claims: {
    kind: 'operator',
    issuer: 'https://backends.test.example',
    clientId: 'builder',
    subject: 'builder',
    tokenId: 'builder',
    issuedAt: 0,
    expiresAt: 0,
    scopes: [],
    secret: false,
  },
};

function workOf(unit: StoreUnit, deps: Deps): Work {
  return {
    deps,
    unit,
    caller: builder,
    access: createAccess(accessOptions(deps, builder, born)),
    now: born,
    newId: () => {
      throw new Error('the builder names everything itself');
    },
    traces: [],
    persons: new Set(),
    probed: [],
    written: { any: false },
    created: new Map(),
    uploads: new Map(),
    afterwards: [],
    provides: { level: undefined },
    stale: new Set(),
    asked: new Set(),
  };
}

type Writing = { readonly now: Instant; readonly owner?: string | undefined; readonly filing: Filing };
type Writer = {
  readonly work: Work;
  /** Writes the next version of a resource. */
  readonly write: (id: string, body: object, writing: Writing) => Promise<void>;
  readonly remove: (ref: string, now: Instant) => Promise<void>;
  /** The current body, to be changed. */
  readonly body: (ref: string) => Resource;
};

function createWriter(work: Work): Writer {
  const current = new Map<string, Version>();
  return {
    work,
    body: (ref) => JSON.parse(current.get(ref)?.body ?? '{}') as Resource,
    write: async (id, body, { now, owner, filing }) => {
      const resource = body as Resource;
      const ref = `${resource.resourceType}/${id}`;
      const saved = await save(
        { ...work, now },
        {
          key: { type: resource.resourceType, id },
          before: current.get(ref),
          resource,
          owner: owner === undefined ? undefined : `Patient/${owner}`,
          filing,
        },
      );
      current.set(ref, saved);
    },
    remove: async (ref, now) => {
      const before = current.get(ref);
      if (before !== undefined) current.set(ref, await erase({ ...work, now }, before, 'W3'));
    },
  };
}

async function writeDirectory(world: World, { write }: Writer): Promise<void> {
  const writing = { now: born, filing: filingOf({ side: 'operator' }, undefined, born) };
  for (const item of world.items) {
    if (item.type === 'Organization')
      await write(item.id, organizationBody(structureId(item.id), `TEST ${item.id}`, item.pharmacy === true), writing);
    if (item.type === 'Practitioner')
      await write(item.id, practitionerBody(nationalId(item.id), item.id.toUpperCase()), writing);
    if (item.type === 'PractitionerRole')
      await write(item.id, practitionerRoleBody(`Organization/${item.id.replace('role-', '')}`), writing);
    if (item.type === 'HealthcareService' || item.type === 'Location') {
      const reference = { reference: 'Organization/s1' };
      const belongs = item.type === 'Location' ? { managingOrganization: reference } : { providedBy: reference };
      await write(item.id, { resourceType: item.type, name: `TEST ${item.id}`, ...belongs }, writing);
    }
  }
}

const tagged = (id: string, body: object): object => ({
  ...body,
  meta: {
    ...(body as { readonly meta?: object }).meta,
    tag: [{ system: 'https://carnet.example/tag', code: `tag-${id}` }],
  },
});

async function writePersons(world: World, writer: Writer): Promise<void> {
  const { write, body, remove } = writer;
  const of = <T extends Item['type']>(type: T): readonly Of<T>[] =>
    world.items.filter((item): item is Of<T> => item.type === type);
  const insurer = (now: Instant): Filing => filingOf({ side: 'insurer' }, undefined, now);
  for (const item of of('Patient'))
    await write(item.id, tagged(item.id, patientBody(traitsOf(item.id))), {
      now: born,
      owner: item.id,
      filing: insurer(born),
    });
  for (const item of of('RelatedPerson')) {
    const filedAt = item.filedAt === undefined ? born : at(item.filedAt);
    await write(item.id, relatedPersonBody(`Patient/${item.person}`, item.id, item.labels), {
      now: filedAt,
      owner: item.person,
      filing: filingOf(item.filedBy, item.person, filedAt),
    });
  }
  for (const item of of('Consent')) await writeConsent(world, item, writer);
  for (const item of of('Binary')) {
    if (item.document !== undefined) continue;
    await write(
      item.id,
      { resourceType: 'Binary', contentType: 'text/plain' },
      { now: baseInstant - 1_800_000, filing: filingOf(item.filedBy, undefined, baseInstant - 1_800_000) },
    );
  }
  for (const item of of('DocumentReference')) await writeDocument(world, item, writer);
  for (const item of of('List')) {
    const filedAt = at(replacedAt) - 1;
    await write(
      item.id,
      tagged(item.id, {
        ...listBody(
          `Patient/${item.person}`,
          item.documents.map((id) => `DocumentReference/${id}`),
        ),
        title: `folder ${item.id}`,
      }),
      { now: filedAt, owner: item.person, filing: filingOf(item.filedBy, item.person, filedAt) },
    );
  }
  for (const item of of('DocumentReference')) {
    if (item.superseded === true) {
      const filing = documentFiling(item);
      const resource = { ...body(refOfItem(item)), status: 'superseded' };
      await write(item.id, resource, { now: at(replacedAt), owner: item.person, filing });
    }
    if (item.deleted !== true) continue;
    await remove(refOfItem(item), deletedAt);
    for (const one of world.items) {
      if (one.type === 'Binary' && one.document === item.id) await remove(refOfItem(one), deletedAt);
      if (one.type === 'Provenance' && one.documents.includes(item.id)) await remove(refOfItem(one), deletedAt);
    }
  }
  for (const item of of('Communication')) {
    const now = lettersAt;
    const party = (one: { readonly type: string; readonly id: string }): string => `${one.type}/${one.id}`;
    const side: FiledBy =
      item.sender.type === 'Practitioner'
        ? { side: 'professional', person: item.sender.id, structure: 's1' }
        : { side: 'holder' };
    const { filedAt, by, side: filed } = filingOf(side, item.person, now);
    await write(
      item.id,
      tagged(
        item.id,
        communicationBody({
          subject: `Patient/${item.person}`,
          sender: party(item.sender),
          recipient: party(item.recipient),
          text: `message ${item.id}`,
          ...(item.inResponseTo === undefined ? {} : { inResponseTo: `Communication/${item.inResponseTo}` }),
        }),
      ),
      {
        now,
        owner: item.person,
        filing: {
          ...(filedAt === undefined ? {} : { filedAt }),
          ...(by === undefined ? {} : { by }),
          ...(filed === undefined ? {} : { side: filed }),
        },
      },
    );
  }
  for (const item of of('Appointment')) {
    const filedAt = item.filedAt === undefined ? born : at(item.filedAt);
    const about = world.items.find((one) => one.type === 'DocumentReference' && one.person === item.person);
    await write(
      item.id,
      {
        ...appointmentBody({
          patient: `Patient/${item.person}`,
          participants: [
            ...item.practitioners.map((id) => `Practitioner/${id}`),
            ...item.structures.map((id) => `PractitionerRole/role-${id}`),
          ],
          labels: item.labels,
        }),
        description: `appointment ${item.id}`,
        ...(about === undefined ? {} : { supportingInformation: [{ reference: refOfItem(about) }] }),
      },
      { now: filedAt, owner: item.person, filing: creatorOf(item.filedBy, item.person, filedAt) },
    );
  }
  for (const item of of('Immunization')) await writeVaccine(item, writer);
  for (const item of world.items) {
    if (!profileTypes.includes(item.type) || !('person' in item) || item.person === undefined) continue;
    const filing = filingOf({ side: 'holder' }, item.person, born);
    // beside its person, it names the vaccination or the document that it was known from
    const known = world.items.find(
      (one) => (one.type === 'Immunization' || one.type === 'DocumentReference') && one.person === item.person,
    );
    const named =
      known === undefined || item.type !== 'Observation' ? {} : { derivedFrom: [{ reference: refOfItem(known) }] };
    await write(item.id, tagged(item.id, { ...profileBody(item.type, `Patient/${item.person}`, item.id), ...named }), {
      now: born,
      owner: item.person,
      filing,
    });
    if (item.deleted === true) await remove(refOfItem(item), deletedAt);
  }
  for (const item of [...of('ExplanationOfBenefit'), ...of('Coverage')]) {
    const filedAt = item.filedAt === undefined ? born : at(item.filedAt);
    const parts = {
      patient: `Patient/${item.person}`,
      insurer: 'Organization/caisse',
      labels: item.labels,
      text: `paid ${item.id}`,
    };
    await write(item.id, payerBody(item.type, parts), {
      now: filedAt,
      owner: item.person,
      filing: filingOf(item.filedBy, item.person, item.filedAt === undefined ? undefined : filedAt),
    });
  }
  for (const item of of('Task')) {
    const filing = filingOf({ side: 'feeder', structure: item.depositedBy ?? 's1' }, undefined, lettersAt);
    const about = item.person === undefined ? {} : { for: { reference: `Patient/${item.person}` } };
    const body = { resourceType: 'Task', status: 'requested', intent: 'order', description: item.id, ...about };
    await write(item.id, tagged(item.id, body), { now: lettersAt, owner: item.person, filing });
  }
  for (const item of of('CareTeam')) {
    const filing = filingOf(item.writtenBy, undefined, teamsAt);
    const parts = {
      subject: `Patient/${item.person}`,
      organization: `Organization/${item.structure}`,
      ...(item.period === undefined ? {} : { period: item.period }),
    };
    const members = (ids: readonly string[]): readonly string[] => ids.map((id) => `Practitioner/${id}`);
    const named = (status: 'active' | 'inactive', ids: readonly string[]): object => ({
      ...careTeamBody({ ...parts, status, members: members(ids) }),
      name: `team ${item.id}`,
    });
    const { authorPerson: _p, authorStructure: _s, ...by } = filing;
    await write(item.id, named('active', item.formerMembers ?? item.members), {
      now: teamsAt,
      owner: item.person,
      filing: by,
    });
    if (item.status === 'inactive' || item.members.length !== (item.formerMembers ?? item.members).length)
      await write(item.id, named(item.status, item.members), { now: blocksAt, owner: item.person, filing: by });
  }
  for (const [index, item] of of('AuditEvent').entries()) await writeEvent(item, index, writer);
}

async function writeVaccine(item: ImmunizationItem, { write, remove }: Writer): Promise<void> {
  const filedAt = item.filedAt === undefined ? born : at(item.filedAt);
  // An item without a filing instant keeps L2.
  const filing = filingOf(item.filedBy, item.person, item.filedAt === undefined ? undefined : filedAt);
  const body = (labels: readonly string[]): object =>
    immunizationBody({ patient: `Patient/${item.person}`, labels, lot: `lot of ${item.id}` });
  const masked = item.unmaskedUnder === undefined ? item.labels : [...item.labels, 'MASQUE_PS'];
  await write(item.id, body(masked), { now: filedAt, owner: item.person, filing });
  if (item.unmaskedUnder !== undefined) {
    const exempt = { ...filing, exempt: true };
    await write(item.id, body(item.labels), { now: unmaskedAt, owner: item.person, filing: exempt });
  }
  if (item.deleted === true) await remove(refOfItem(item), deletedAt);
}

async function writeConsent(world: World, item: ConsentItem, { write }: Writer): Promise<void> {
  const existence = item.kind === 'space-existence';
  const first = existence ? born : item.endedBy === 'update' ? teamsAt - 3_600_000 : consentsAt;
  const now = item.provision === 'deny' && item.endedBy === undefined && !existence ? blocksAt : first;
  const filing = filingOf(item.writtenBy, item.person, now);
  const source = world.items.find((one) => one.type === 'DocumentReference' && one.person === item.person);
  const parts = (one: ConsentItem): object => ({
    ...withActors(one, {
      kind: one.kind,
      patient: `Patient/${one.person}`,
      performer: one.writtenBy.side === 'insurer' ? 'Organization/caisse' : `Patient/${one.person}`,
      provision: one.provision,
      dateTime: new Date(now).toISOString(),
      status: one.status,
      ...(one.actors[0] === undefined ? {} : { actor: `${one.actors[0].type}/${one.actors[0].id}` }),
      ...(one.period === undefined ? {} : { period: one.period }),
      ...(one.state === undefined ? {} : { state: one.state }),
      ...(one.delegationKind === undefined ? {} : { delegationKind: one.delegationKind }),
      ...(one.delegatedRights === undefined ? {} : { delegatedRights: one.delegatedRights }),
    }),
    ...(source === undefined ? {} : { sourceReference: { reference: refOfItem(source) } }),
  });
  if (existence) {
    const { period: _later, ...rest } = item;
    await write(item.id, parts({ ...rest, provision: 'permit', state: 'active' }), { now, owner: item.person, filing });
    if (item.state !== 'active') await write(item.id, parts(item), { now: statesAt, owner: item.person, filing });
    return;
  }
  await write(item.id, parts({ ...item, status: 'active' }), { now, owner: item.person, filing });
  if (item.status === 'inactive') await write(item.id, parts(item), { now: now + 600_000, owner: item.person, filing });
}

/** The entry with every actor of a wild one, however many (A0); `malformed` adds one that no kind names. */
function withActors(item: ConsentItem, parts: ConsentParts): Resource {
  const body = consentBody(parts) as unknown as Resource;
  const actors = [...item.actors, ...(item.malformed === true ? [{ type: 'Device', id: 'unknown' }] : [])];
  if (actors.length < 2 && item.malformed !== true) return body;
  const role = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ParticipationType', code: 'IRCP' }] };
  const actor = actors.map(({ type, id }) => ({ role, reference: { reference: `${type}/${id}` } }));
  return { ...body, provision: { ...(body['provision'] as object), actor } } as unknown as Resource;
}

const documentFiling = (item: DocumentItem): Filing => ({
  ...filingOf(item.filedBy, item.person, item.filedAt === undefined ? undefined : at(item.filedAt)),
  ...(item.shownToRepresentatives === true ? { shown: true } : {}),
  ...(item.unmaskedUnder === undefined ? {} : { exempt: true }),
});

async function writeDocument(world: World, item: DocumentItem, { write, body }: Writer): Promise<void> {
  const now = item.filedAt === undefined ? at(replacedAt) : at(item.filedAt);
  const owner = item.person;
  const filing = documentFiling(item);
  const { exempt: _exempt, ...atFirst } = filing;
  const author =
    item.filedBy.person === undefined
      ? item.filedBy.structure === undefined
        ? `Patient/${item.person}`
        : `Organization/${item.filedBy.structure}`
      : `Practitioner/${item.filedBy.person}`;
  const siblings = world.items.filter((one) => one.type === 'DocumentReference' && one.person === item.person);
  const next = siblings[(siblings.indexOf(item) + 1) % siblings.length];
  const labels = item.unmaskedUnder === undefined ? item.labels : [...item.labels, 'MASQUE_PS'];
  const made = (shown: readonly string[]): object => {
    const made = documentBody({
      uniqueId: `urn:oid:1.2.3.${item.id.replace(/\D+/g, '.').replace(/^\.|\.$/g, '')}.${item.id.length}`,
      typeCode: item.docType,
      subject: `Patient/${item.person}`,
      traits: traitsOf(item.person),
      author,
      labels: shown,
      date: new Date(now).toISOString(),
      binary: `Binary/bytes-${item.id}`,
      title: `title of ${item.id}`,
      ...(item.replaces === undefined ? {} : { replaces: `DocumentReference/${item.replaces}` }),
    });
    return tagged(item.id, {
      ...made,
      description: `description of ${item.id}`,
      ...(next === undefined || next === item
        ? {}
        : { context: { ...(made.context as object), related: [{ reference: refOfItem(next) }] } }),
    });
  };
  await write(item.id, made(labels), { now, owner, filing: atFirst });
  if (item.unmaskedUnder !== undefined) await write(item.id, made(item.labels), { now: unmaskedAt, owner, filing });
  for (const one of world.items) {
    if (one.type === 'Binary' && one.document === item.id) {
      const binary = { resourceType: 'Binary', contentType: 'text/plain' };
      await write(one.id, binary, { now, filing: atFirst });
      const attached = { ...body(refOfItem(one)), securityContext: { reference: refOfItem(item) } };
      await write(one.id, attached, { now, owner, filing: atFirst });
    }
    if (one.type === 'Provenance' && one.documents.includes(item.id))
      await write(one.id, tagged(one.id, provenanceBody(refOfItem(item), author, new Date(now).toISOString())), {
        now,
        owner,
        filing: atFirst,
      });
  }
}

/** An AuditEvent as the server would have written it, of an act by whom the world says. */
async function writeEvent(
  item: Extract<Item, { type: 'AuditEvent' }>,
  index: number,
  { write, work }: Writer,
): Promise<void> {
  const now = eventsAt + index * 1000;
  const person: Ref | undefined = item.person === undefined ? undefined : `Patient/${item.person}`;
  const event = auditEvent(
    {
      person,
      items: item.items.map((one): Ref => `${one.type}/${one.id}`),
      action: 'read',
      interaction: 'read',
      rules: ['D1'],
      refused: false,
    },
    {
      caller: {
        ...builder,
        claims: { ...builder.claims, secret: item.secret },
        self: `${item.agent.type}/${item.agent.id}`,
      },
      now,
      requestId: `building-${index}`,
      clientAddress: '127.0.0.1',
      serverAddress: work.deps.serverAddress,
    },
  );
  await write(item.id, event, { now, owner: item.person, filing: { filedAt: now, side: 'server' } });
}

// ---- B ------------------------------------------------------------------------------------------------------------

/** What the oracle hides from a caller, by reference; deleted items count as if they were not. */
export function hiddenFrom(world: World, caller: WorldCaller, now: Instant): ReadonlySet<string> {
  return new Set(
    world.items
      .filter((item) => !maySee(world, caller, item, now).permit)
      .filter((item) => !(item.type === 'Patient' && foundByTraits(world, caller, item.id, now)))
      .map(refOfItem),
  );
}

/** Whether the caller reads, in the register of a space, of what the state alone hides from them: all but rights, or a professional the messages. */
export function readsRegisterAlone(world: World, caller: WorldCaller, now: Instant): boolean {
  switch (caller.kind) {
    case 'patient':
      return stateOf(world, caller.person, now) === 'suspended';
    case 'representative':
      return stateOf(world, caller.actsFor, now) === 'suspended';
    case 'professional':
      return people.some((person) => stateOf(world, person, now) === 'legacy-dmp');
    default:
      return false;
  }
}

/** What one pair is about. */
export type Subject = {
  readonly world: World;
  readonly caller: WorldCaller;
  readonly now: Instant;
  /** Of those who see more in the register than elsewhere: whether they look into it in this pair. */
  readonly readsRegister: boolean;
};

/** Hidden resources that stay in B, and how (see the head of this file). */
function exceptionOf(
  { world, caller, now, readsRegister }: Subject,
  item: Item,
): 'as it is' | 'with other content' | 'none' {
  const ref = refOfItem(item);
  const byStateAlone = (): boolean => see({ world, caller, now }, item, true).permit;
  if (readsRegister && readsRegisterAlone(world, caller, now) && byStateAlone()) return 'as it is';
  switch (caller.kind) {
    case 'patient':
      return ref === `Patient/${caller.person}` ? 'with other content' : 'none';
    case 'representative':
      return ref === `Patient/${caller.actsFor}` || ref === `RelatedPerson/${caller.related}`
        ? 'with other content'
        : 'none';
    case 'operator':
      return item.type === 'Patient' ? 'with other content' : 'none';
    case 'insurer':
      if (item.type === 'RelatedPerson') return 'with other content';
      return item.type === 'Consent' && item.kind === 'care-team-default' ? 'as it is' : 'none';
    default:
      return 'none';
  }
}

/** The same resource for every decision, and another one to read. */
function veiled(put: Put): Put {
  const before = JSON.parse(put.body) as Resource;
  const { identifier: _i, telecom: _t, address: _a, ...rest } = before;
  const after: Resource = { ...rest, name: [{ family: 'VOILE', given: ['Autre'] }] };
  const renamed: Resource = before.resourceType === 'Patient' ? { ...after, birthDate: '1901-01-01' } : after;
  const own = new Set(indexResource(registry, before, { baseUrl: BASE }).terms);
  const entry = indexResource(registry, renamed, { baseUrl: BASE });
  const marks = put.entry.terms.filter((term) => !own.has(term));
  return {
    ...put,
    body: JSON.stringify(renamed),
    entry: {
      ...entry,
      terms: [...entry.terms, ...marks],
      ranges: [...entry.ranges, ...put.entry.ranges.filter((r) => r.param.startsWith('_'))],
    },
  };
}

/** Loads B: the recorded writes without what is hidden. */
export async function loadTwin(
  recording: Recording,
  store: ResourceStore,
  subject: Subject,
  hidden: ReadonlySet<string>,
): Promise<void> {
  const { world } = subject;
  const items = new Map(world.items.map((item) => [refOfItem(item), item]));
  const kept = recording.puts.flatMap((put): readonly Put[] => {
    const ref = `${put.key.type}/${put.key.id}`;
    const item = items.get(ref);
    if (item === undefined || !hidden.has(ref)) return [put];
    const exception = exceptionOf(subject, item);
    if (exception === 'none') return [];
    return [exception === 'as it is' || put.deleted ? put : veiled(put)];
  });
  const uploads = new Map<string, string>();
  for (const put of kept) {
    const content = put.key.type === 'Binary' && put.versionId === '1' ? recording.bytes.get(put.key.id) : undefined;
    if (content !== undefined) uploads.set(put.key.id, (await store.stage(once(content), 10_000)).id);
  }
  await store.unit(async (unit) => {
    for (const put of kept) await unit.put(put);
    for (const [id, upload] of uploads) await unit.attachBytes({ type: 'Binary', id }, upload);
    for (const [person, entry] of recording.spaces) await unit.putSpace(person, entry);
  });
}

/** The ports that writing a world needs. */
export const buildingDeps = (policy: Deps['policy'], store: ResourceStore): Deps =>
  depsFor({ store, policy, now: () => born, nextId: () => 'none' });

/** O1: what a request did, recorded in the unit that did it. One AuditEvent for each person, refusals too. */
import { type RuleId, systemGuard } from '../access/decision.ts';
import { type AuditDraft, auditEvent, auditMarks, searchable } from '../audit/event.ts';
import { INS_SYSTEMS } from '../fhir/canonical.ts';
import { type IndexEntry, termText } from '../fhir/index-entry.ts';
import { indexResource } from '../fhir/index-resource.ts';
import { asArray, asObject, referenceOf } from '../fhir/json.ts';
import { readReference } from '../fhir/literal-reference.ts';
import type { Failure } from '../fhir/result.ts';
import { systemAndCode } from '../fhir/search-value.ts';
import { type Json, type JsonObject, type Ref, type Resource, refOf } from '../fhir/types.ts';
import { specialise } from '../query/matches.ts';
import { and, term } from '../query/predicate.ts';
import type { Interaction } from './answer.ts';
import { tellAccess, tellChanges } from './notices/tell.ts';
import type { FhirRequest } from './request.ts';
import { everyMatch, keyOf, type Probe, type Work, withServerMeta } from './work.ts';

/** Refusals that say something about a person's space, or about what the caller tried. A malformed request does not. */
const RECORDED: ReadonlySet<Failure['code']> = new Set([
  'forbidden',
  'not-found',
  'out-of-scope',
  'gone',
  'conflict',
  'precondition-failed',
  'unprocessable',
]);

/**
 * The rules that give a person's items of these types to the caller: each grant none of whose conditions on the space fails. Where none is left, the
 * rules that closed them.
 */
async function grounds(work: Work, person: Ref | undefined, types: Iterable<string>): Promise<readonly RuleId[]> {
  const space = person === undefined ? undefined : await work.unit.space(person);
  const open = new Set<RuleId>();
  const closing = new Set<RuleId>();
  for (const type of types) {
    for (const vote of work.access.decision(type, 'r').votes) {
      if (vote.kind !== 'grant') continue;
      const closed = vote.parts.filter((p) => specialise(p.where, space).op === 'none');
      for (const part of closed) closing.add(part.rule);
      if (closed.length === 0) for (const rule of [vote.rule, ...vote.parts.map((p) => p.rule)]) open.add(rule);
    }
  }
  // Without a person there is no space that could have closed anything.
  return [...(open.size === 0 && person !== undefined ? closing : open)];
}

/** Of the grants that the space leaves open, those that hold for the one item that was read: it is named beside them, so they tell nothing else. */
async function groundsOf(work: Work, item: Ref): Promise<readonly RuleId[]> {
  const key = keyOf(item);
  const granted = work.access.decision(key.type, 'r').votes.filter((vote) => vote.kind === 'grant');
  const held = await work.unit.testEach(
    key,
    systemGuard(key.type, 'audit'),
    granted.map((vote) => and(...vote.parts.map((p) => p.where))),
  );
  const rules = new Set<RuleId>();
  for (const [index, vote] of granted.entries()) {
    if (held[index] === true) for (const rule of [vote.rule, ...vote.parts.map((p) => p.rule)]) rules.add(rule);
  }
  return [...rules];
}

/**
 * Which conditions kept an item from the caller: the limits that it fails and, of each grant for items of its sort, the rules of the parts
 * that do not hold for it. A grant whose own part fails (D2 for what is no directive) was never about the item.
 */
async function obstacles(work: Work, item: Ref): Promise<readonly RuleId[]> {
  const key = keyOf(item);
  const { votes } = work.access.decision(key.type, 'r');
  if (votes.every((vote) => vote.kind !== 'grant')) return [work.deps.declarations.get(key.type)?.row ?? 'D1'];
  const failing: { readonly own: RuleId | undefined; readonly rules: readonly RuleId[] }[] = [];
  for (const vote of votes) {
    const conditions = vote.kind === 'grant' ? vote.parts : [vote];
    const held = await work.unit.testEach(
      key,
      systemGuard(key.type, 'audit'),
      conditions.map((c) => c.where),
    );
    const rules = conditions.filter((_, i) => held[i] !== true).map((c) => c.rule);
    if (rules.length > 0) failing.push({ own: vote.kind === 'grant' ? vote.rule : undefined, rules });
  }
  const about = failing.filter(({ own, rules }) => own === undefined || !rules.includes(own));
  return [...new Set((about.length === 0 ? failing : about).flatMap(({ rules }) => rules))];
}

/** The parameters of a search by name: values may name persons whom other readers of the register do not know of. */
function queryOf(request: FhirRequest, interaction: Interaction): string | undefined {
  if (interaction.action !== 'search') return undefined;
  const path = request.path.filter((s) => /^[A-Z_$]/.test(s)).join('/');
  const names = request.query.map(([name]) => name);
  if (path === '') return undefined;
  return names.length === 0 ? path : `${path}?${names.join('&')}`;
}

/** Records what was disclosed or written, and tells the person of it (O2). */
export async function recordDone(work: Work, request: FhirRequest, interaction: Interaction): Promise<void> {
  const items = new Map<Ref | undefined, { readonly named: Set<Ref>; readonly rules: Set<RuleId>; read: boolean }>();
  const about = (person: Ref | undefined) => {
    const known = items.get(person);
    if (known !== undefined) return known;
    const made = { named: new Set<Ref>(), rules: new Set<RuleId>(), read: false };
    items.set(person, made);
    return made;
  };
  for (const person of work.persons) about(person).read = true;
  for (const { owner, item, rule } of work.traces) {
    const of = about(owner);
    of.named.add(item);
    if (rule === undefined) of.read = true;
    else of.rules.add(rule);
  }
  const written = new Set(items.keys());
  for (const { person, item } of work.probed) {
    // Whom it wrote about is in the record anyway; whom a condition asked about besides was looked at.
    if (person === undefined || written.has(person)) continue;
    if (item === undefined && !(await isRegistered(work, person))) continue;
    const of = about(person);
    of.read = true;
    if (item !== undefined && item !== person) of.named.add(item);
  }
  if (items.size === 0) about(undefined).read = true;
  const query = queryOf(request, interaction);
  for (const [person, { named, rules, read }] of items) {
    // Of a disclosure, the rules that open what was asked for, not what was found: they say nothing about an item that a reader does not see.
    // What belongs to nobody hides nothing.
    const asked = person === undefined ? new Set([...named].map((i) => keyOf(i).type)) : work.asked;
    const [item] = named;
    const one =
      interaction.action === 'read' && named.size === 1 && item !== undefined && interaction.item !== undefined;
    const opening = !read
      ? []
      : one
        ? await groundsOf(work, item)
        : await grounds(work, person, asked.size === 0 ? [interaction.type ?? 'Patient'] : asked);
    await append(work, request, {
      person,
      items: [...named],
      action: interaction.action,
      interaction: interaction.name,
      rules: [...new Set([...opening, ...rules])],
      refused: false,
      ...(query === undefined ? {} : { query }),
    });
    if (read && person !== undefined) await tellAccess(work, { person, items: [...named], rules: opening });
  }
  await tellChanges(work);
}

/** Whether a refusal is recorded whatever the request looked at. */
export const isRecorded = (failure: Failure): boolean =>
  RECORDED.has(failure.code) && (failure.code !== 'unprocessable' || failure.rule !== undefined);

/** What was refused, and what it had looked at by then. */
export type Refusal = {
  readonly request: FhirRequest;
  readonly interaction: Interaction;
  readonly failure: Failure;
  readonly probed: readonly Probe[];
};

/**
 * Records a refusal: about the owner of the item that was asked for, who reads of it in their register, and about whomever its conditions
 * looked at; the caller learns nothing.
 */
export async function recordRefusal(work: Work, refusal: Refusal): Promise<void> {
  const { request, interaction, failure, probed } = refusal;
  if (!isRecorded(failure) && probed.length === 0) return;
  const item = interaction.item === undefined ? undefined : refOf(interaction.item);
  const known =
    interaction.item !== undefined && work.deps.declarations.has(interaction.item.type)
      ? await work.unit.read(interaction.item, systemGuard(interaction.item.type, 'audit'))
      : undefined;
  const about = new Map<Ref | undefined, Set<Ref>>();
  const note = (person: Ref | undefined, named: Ref | undefined): void => {
    const items = about.get(person) ?? new Set();
    about.set(person, named === undefined || named === person ? items : items.add(named));
  };
  for (const probe of probed) {
    if (probe.item !== undefined || (probe.person !== undefined && (await isRegistered(work, probe.person))))
      note(probe.person, probe.item);
  }
  if (known?.owner !== undefined) note(known.owner, item);
  else for (const person of await subjectsOf(work, request)) note(person, item);
  if (about.size === 0) note(undefined, item);
  const asked = known === undefined ? onlyItem(probed) : item;
  const rule = 'rule' in failure ? failure.rule : undefined;
  const rules =
    rule !== undefined
      ? [rule]
      : failure.code === 'not-found' && asked !== undefined
        ? await obstacles(work, asked)
        : [];
  const query = queryOf(request, interaction);
  for (const [person, items] of about) {
    await append(work, request, {
      person,
      items: [...items],
      action: interaction.action,
      interaction: interaction.name,
      rules,
      refused: true,
      ...(query === undefined ? {} : { query }),
    });
  }
}

const onlyItem = (probed: readonly Probe[]): Ref | undefined => {
  const [first, ...more] = probed.map(({ item }) => item).filter((item) => item !== undefined);
  return more.length === 0 ? first : undefined;
};

/** Whether this is a person of the register: an event about nobody who exists has no one to be shown to. */
async function isRegistered(work: Work, person: Ref): Promise<boolean> {
  const found = await work.unit.read(keyOf(person), systemGuard('Patient', 'audit'));
  return found !== undefined && !found.deleted;
}

/** What says of a resource whom it is about; an Appointment says it among those who take part. */
const whom = (resource: JsonObject | undefined): readonly (Json | undefined)[] => [
  resource?.['subject'],
  resource?.['patient'],
  resource?.['beneficiary'],
  ...asArray(resource?.['participant']).map((one) => asObject(one)?.['actor']),
];

/** The registered persons whom a refused creation, Bundle or search is about, as it names them. */
async function subjectsOf(work: Work, request: FhirRequest): Promise<readonly Ref[]> {
  const body = request.body.kind === 'json' ? asObject(request.body.value) : undefined;
  const resources =
    body?.['resourceType'] === 'Bundle'
      ? asArray(body['entry']).map((e) => asObject(asObject(e)?.['resource']))
      : [body];
  const named = new Set<Ref>();
  const name = (text: string): void => {
    const read = readReference(text, work.deps.baseUrl);
    if (read.kind === 'local' && read.type === 'Patient') named.add(read.ref);
  };
  for (const reference of resources.flatMap(whom).map(referenceOf)) {
    name(reference ?? '');
    for (const person of await byConditionalReference(work, reference)) named.add(person);
  }
  for (const [parameter, value] of request.query) {
    if (/^(patient|subject)(:Patient)?$/.test(parameter)) name(value.includes('/') ? value : `Patient/${value}`);
  }
  const registered: Ref[] = [];
  for (const ref of named) if (await isRegistered(work, ref)) registered.push(ref);
  return registered;
}

/** The person of `Patient?identifier=<INS>`, as a feed may name its subject. */
async function byConditionalReference(work: Work, reference: string | undefined): Promise<readonly Ref[]> {
  if (reference?.startsWith('Patient?') !== true) return [];
  const [system = '', value] = (new URLSearchParams(reference.slice('Patient?'.length)).get('identifier') ?? '').split(
    '|',
  );
  if (value === undefined || !INS_SYSTEMS.includes(system)) return [];
  const found = await everyMatch(work, 'Patient', [term('identifier', systemAndCode(system, value))]);
  return found.map((person): Ref => `Patient/${person.id}`);
}

/** Writes one AuditEvent. */
async function append(work: Work, request: FhirRequest, draft: AuditDraft): Promise<void> {
  const { deps, caller, now } = work;
  const key = { type: 'AuditEvent', id: deps.ids.next() };
  const event = auditEvent(draft, {
    caller,
    now,
    requestId: request.requestId,
    clientAddress: request.address,
    serverAddress: deps.serverAddress,
  });
  const resource = withServerMeta(event, key, '1', now);
  const indexed = entryOf(work, request, draft, resource);
  const marks = auditMarks(resource);
  await work.unit.put({
    key,
    versionId: '1',
    lastUpdated: now,
    deleted: false,
    owner: draft.person,
    body: JSON.stringify(resource),
    entry: {
      ...indexed,
      terms: [...indexed.terms, ...marks.terms.map(([param, value]) => termText(param, value))],
      ranges: [...indexed.ranges, ...marks.ranges],
    },
    filing: { filedAt: now, side: 'server' },
  });
}

/** What is the same in the events of one token and one kind of act is indexed once. */
const CONSTANT = 5000;

/**
 * The search parameters of an event. Recorded time and entities differ each time; agents, type, outcome and profile are those of the token and
 * the act, and most of the work.
 */
function entryOf(work: Work, request: FhirRequest, draft: AuditDraft, event: Resource): IndexEntry {
  const { deps, caller } = work;
  const options = { baseUrl: deps.baseUrl };
  const { recorded, entity, ...constant } = event;
  const key = [
    caller.claims.issuer,
    caller.claims.tokenId,
    caller.self ?? '',
    caller.structure ?? '',
    draft.action,
    draft.interaction,
    draft.refused,
    draft.person === undefined,
    request.address,
  ].join('\n');
  let base = deps.auditEntries.get(key);
  if (base === undefined) {
    // INVARIANT: `resourceType` is among what is constant, and what is searchable of `meta` does not depend on the entities.
    base = indexResource(deps.registry, searchable(constant as Resource), options);
    if (deps.auditEntries.size >= CONSTANT) deps.auditEntries.clear();
    deps.auditEntries.set(key, base);
  }
  const own = indexResource(
    deps.registry,
    {
      resourceType: 'AuditEvent',
      ...(recorded === undefined ? {} : { recorded }),
      ...(entity === undefined ? {} : { entity }),
    },
    options,
  );
  const sorted = new Set(own.sort.map((s) => s.param));
  return {
    terms: [...base.terms, ...own.terms],
    strings: [...base.strings, ...own.strings],
    ranges: [...base.ranges, ...own.ranges],
    sort: [...own.sort, ...base.sort.filter((s) => !sorted.has(s.param))],
  };
}

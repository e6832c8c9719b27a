/** O1: what a request did, recorded in the unit that did it. One AuditEvent for each person, refusals too. */
import { type RuleId, systemGuard } from '../access/decision.ts';
import { type AuditDraft, auditEvent, auditMarks, withoutSecretMark } from '../audit/event.ts';
import { type IndexEntry, termText } from '../fhir/index-entry.ts';
import { indexResource } from '../fhir/index-resource.ts';
import { asObject } from '../fhir/json.ts';
import type { Failure } from '../fhir/result.ts';
import type { Ref, Resource } from '../fhir/types.ts';
import { specialise } from '../query/matches.ts';
import type { Interaction } from './answer.ts';
import type { FhirRequest } from './request.ts';
import { patientRef } from './types/filing.ts';
import { keyOf, type Work, withServerMeta } from './work.ts';

/** Refusals that say something about a person's space, or about what the caller tried. A malformed request does not. */
const RECORDED: ReadonlySet<Failure['code']> = new Set([
  'forbidden',
  'not-found',
  'out-of-scope',
  'gone',
  'conflict',
  'unprocessable',
]);

/** Which row of section 5 an accepted write falls under. */
const WRITE_RULES: Readonly<Record<string, Readonly<Record<string, RuleId>>>> = {
  DocumentReference: { create: 'W1', update: 'W3', delete: 'W3' },
  Binary: { create: 'W23' },
  List: { create: 'W23' },
  Provenance: { create: 'W23' },
  Patient: { create: 'W13', update: 'W13' },
  RelatedPerson: { create: 'W21', update: 'W21', delete: 'W21' },
  CareTeam: { create: 'W16', update: 'W16' },
  Consent: { create: 'W9', update: 'W9' },
  Communication: { create: 'W11' },
  Appointment: { create: 'W17', update: 'W17' },
};

/** The rules that give a person's items of a type to the caller: each grant none of whose conditions on the space fails. */
async function grounds(work: Work, person: Ref | undefined, type: string): Promise<readonly RuleId[]> {
  const space = person === undefined ? undefined : await work.unit.space(person);
  const rules = new Set<RuleId>();
  for (const vote of work.access.decision(type, 'r').votes) {
    if (vote.kind !== 'grant') continue;
    const open = vote.parts.every((p) => specialise(p.where, space).op !== 'none');
    if (open) for (const rule of [vote.rule, ...vote.parts.map((p) => p.rule)]) rules.add(rule);
  }
  return [...rules];
}

/** Which conditions kept an item from the caller: of each grant, the rules of the parts that do not hold for it. */
async function obstacles(work: Work, item: Ref): Promise<readonly RuleId[]> {
  const key = keyOf(item);
  const rules = new Set<RuleId>();
  for (const vote of work.access.decision(key.type, 'r').votes) {
    if (vote.kind !== 'grant') continue;
    for (const part of vote.parts) {
      const holds = await work.unit.test(key, systemGuard(key.type, 'audit'), part.where);
      if (!holds) rules.add(part.rule);
    }
  }
  return [...rules];
}

/** The parameters of a search by name: values may name persons whom other readers of the register do not know of. */
function queryOf(request: FhirRequest, interaction: Interaction): string | undefined {
  if (interaction.action !== 'search') return undefined;
  const names = request.query.map(([name]) => name);
  return `${request.path.filter((s) => /^[A-Z_$]/.test(s)).join('/')}${names.length === 0 ? '' : `?${names.join('&')}`}`;
}

/** Records what was disclosed or written. */
export async function recordDone(work: Work, request: FhirRequest, interaction: Interaction): Promise<void> {
  const items = new Map<Ref | undefined, Set<Ref>>();
  for (const person of work.persons) items.set(person, new Set());
  for (const { owner, item } of work.traces) {
    const named = items.get(owner) ?? new Set();
    named.add(item);
    items.set(owner, named);
  }
  if (items.size === 0) items.set(undefined, new Set());
  const query = queryOf(request, interaction);
  for (const [person, named] of items) {
    const types = new Set([...named].map((i) => keyOf(i).type));
    const read = interaction.action === 'read' || interaction.action === 'search';
    // Of a disclosure, the rules that open what was asked for, not what was found: they say nothing about an item that a reader does not see.
    const rules = read
      ? await grounds(work, person, interaction.type ?? 'Patient')
      : [
          ...new Set(
            [...types].map((t) => WRITE_RULES[t]?.[interaction.action] ?? WRITE_RULES[t]?.['create'] ?? 'W14'),
          ),
        ];
    await append(work, request, {
      person,
      items: [...named],
      action: interaction.action,
      interaction: interaction.name,
      rules,
      refused: false,
      ...(query === undefined ? {} : { query }),
    });
  }
}

/** Records a refusal: about the owner of the item that was asked for, who reads of it in their register; the caller learns nothing. */
export async function recordRefusal(
  work: Work,
  request: FhirRequest,
  interaction: Interaction,
  failure: Failure,
): Promise<void> {
  if (!RECORDED.has(failure.code) || (failure.code === 'unprocessable' && failure.rule === undefined)) return;
  const item: Ref | undefined =
    interaction.item === undefined ? undefined : `${interaction.item.type}/${interaction.item.id}`;
  const known =
    interaction.item !== undefined && work.deps.declarations.has(interaction.item.type)
      ? await work.unit.read(interaction.item, systemGuard(interaction.item.type, 'audit'))
      : undefined;
  const person = known?.owner ?? (await subjectOf(work, request));
  const rule = 'rule' in failure ? failure.rule : undefined;
  const rules =
    rule !== undefined
      ? [rule]
      : known !== undefined && item !== undefined && failure.code === 'not-found'
        ? await obstacles(work, item)
        : [];
  const query = queryOf(request, interaction);
  await append(work, request, {
    person,
    items: item === undefined || item === person ? [] : [item],
    action: interaction.action,
    interaction: interaction.name,
    rules,
    refused: true,
    ...(query === undefined ? {} : { query }),
  });
}

/** The registered person whom a refused creation is about. */
async function subjectOf(work: Work, request: FhirRequest): Promise<Ref | undefined> {
  const body = request.body.kind === 'json' ? asObject(request.body.value) : undefined;
  const ref = patientRef(body?.['subject']) ?? patientRef(body?.['patient']);
  if (ref === undefined) return undefined;
  const found = await work.unit.read(keyOf(ref), systemGuard('Patient', 'audit'));
  return found === undefined || found.deleted ? undefined : ref;
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
    // The mark of a secret session is for the holder and the operator: it is not searchable, or `_tag` would tell the others.
    // INVARIANT: `resourceType` is among what is constant.
    base = indexResource(deps.registry, withoutSecretMark(constant as Resource), options);
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

/**
 * `Consent/$evaluate`: what a draft would change, by writing it through the ordinary rules in a unit that is then undone (docs/explanations.md).
 * The refusals are those of the rules themselves; what is counted is what the caller sees. rules.md O4, W9, W12, A7.
 */
import { MASKED } from '../../access/rules/labels.ts';
import { type Bilingual, textOf } from '../../access/sentences.ts';
import { consentKindOf, denied } from '../../access/space.ts';
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { asArray, asObject, asText, referenceOf } from '../../fhir/json.ts';
import { malformed, ok, type Result } from '../../fhir/result.ts';
import { systemAndCode } from '../../fhir/search-value.ts';
import type { JsonObject, Key, Ref } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import { guarded } from '../../query/plan.ts';
import { ALL, and, owner, type Predicate, term } from '../../query/predicate.ts';
import type { Rehearsed } from '../answer.ts';
import { conforms } from '../profiles.ts';
import type { FhirRequest } from '../request.ts';
import { forbidden, isHolderSide } from '../types/filing.ts';
import { decidesFor } from '../types/writing.ts';
import { declarationOf, keyOf, parsed, type Saving, save, settle, type Work } from '../work.ts';
import {
  type Actor,
  accessAs,
  actorParts,
  everySeen,
  type Known,
  knownActors,
  type Way,
  waysOf,
} from './known-actors.ts';
import { LABELLED_TYPES, relabel } from './label-operations.ts';
import {
  code,
  codes,
  count,
  group,
  type Parameter,
  parametersText,
  readParameters,
  readQuery,
  reference,
  sentence,
} from './parameters.ts';
import { inScope } from './read.ts';
import { itemAsked, verdictOn, voiceOf } from './who-can-see.ts';
import { prepared } from './write.ts';

/** What is asked: a Consent as it would be written, or one label of one item. */
type Draft =
  | { readonly kind: 'consent'; readonly resource: JsonObject }
  | { readonly kind: 'label'; readonly item: Key; readonly set: boolean };

/** So many items are named for each change; all are counted. */
const MOST_ITEMS = 20;
const PAGE = 500;

/** Types about a person that are no items of care: rights, messages, and what follows its documents. */
const NOT_COUNTED: readonly string[] = [
  'Patient',
  'Consent',
  'CareTeam',
  'Communication',
  'List',
  'Provenance',
  'Task',
  'AuditEvent',
  'Binary',
];

const LABEL_CODES: ReadonlyMap<string, boolean> = new Map([
  ['mask', true],
  ['unmask', false],
]);

function readDraft(request: FhirRequest): Result<Draft> {
  const query = readQuery(request, []);
  if (!query.ok) return query;
  const parameters = readParameters(request, ['consent', 'item', 'label']);
  if (!parameters.ok) return parameters;
  const consent = parameters.value.get('consent');
  const item = parameters.value.get('item');
  const label = parameters.value.get('label');
  if (consent !== undefined && item === undefined && label === undefined) {
    const resource = asObject(consent['resource']);
    return resource === undefined
      ? malformed('`consent` is a Consent resource', 'Parameters.parameter')
      : ok({ kind: 'consent', resource });
  }
  const ref = referenceOf(item?.['valueReference']);
  const set = LABEL_CODES.get(asText(label?.['valueCode']) ?? '');
  if (
    consent !== undefined ||
    ref === undefined ||
    set === undefined ||
    !/^[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(ref)
  ) {
    return malformed(
      'either `consent`, or `item` (a reference) with `label` (`mask` or `unmask`)',
      'Parameters.parameter',
    );
  }
  const key = keyOf(ref);
  if (!(LABELLED_TYPES as readonly string[]).includes(key.type)) {
    return malformed(`labels change on ${LABELLED_TYPES.join(', ')}`, 'Parameters.parameter');
  }
  return ok({ kind: 'label', item: key, set });
}

/** Whom the caller may ask for: the holder, or a legal representative (W9, W12). */
async function personOf(work: Work): Promise<Result<Ref>> {
  const scope = inScope(work, 'r', 'Consent');
  if (!scope.ok) return scope;
  const { person } = work.caller;
  if (!isHolderSide(work) || person === undefined) {
    return forbidden('W9', 'the holder or a legal representative evaluates a change of rights');
  }
  return (await decidesFor(work, person)) ? ok(person) : forbidden('W12', 'a caregiver does not manage accesses');
}

/** Writes the draft as the ordinary write would, whatever scope the token has for writing. Answers the Consent that it made or changed. */
async function write(work: Work, draft: Draft): Promise<Result<Version>> {
  if (draft.kind === 'label') {
    const item = await itemAsked(work, draft.item);
    if (!item.ok) return item;
    return relabel(work, item.value, { label: MASKED, set: draft.set, stated: undefined });
  }
  const { create, update } = declarationOf(work, 'Consent').writes;
  if (create === undefined || update === undefined) throw new Error('Consents are written');
  const resource = prepared(work, 'Consent', draft.resource);
  if (!resource.ok) return resource;
  const { id, ...withoutId } = resource.value;
  if (id === undefined) {
    const key: Key = { type: 'Consent', id: work.newId() };
    // INVARIANT: `resourceType` stays.
    const accepted = await create(work, withoutId as typeof resource.value, key.id);
    return accepted.ok ? saved(work, { key, before: undefined, ...accepted.value }) : accepted;
  }
  const before = await itemAsked(work, { type: 'Consent', id });
  if (!before.ok) return before;
  const change = { before: before.value, current: parsed(before.value), how: 'put', byPosition: false } as const;
  const accepted = await update(work, change, resource.value);
  return accepted.ok
    ? saved(work, { key: { type: 'Consent', id }, before: before.value, ...accepted.value })
    : accepted;
}

/** As an ordinary write ends: the profile of the kind, then the store. */
async function saved(work: Work, saving: Saving): Promise<Result<Version>> {
  const valid = conforms(work, saving.resource);
  return valid.ok ? ok(await save(work, saving)) : valid;
}

/** What one way of asking reaches of a person's items of a type. */
type Reach = {
  readonly type: string;
  /** The decision with the space put in: what remains depends on the item alone. */
  readonly where: Predicate;
  /** Its text: where it does not change, neither does what it reaches, unless the marks of items do. */
  readonly decision: string;
};

/** One state of the space: before the draft, or after it. */
type State = {
  readonly reach: (way: Way, type: string) => Reach;
  readonly mayFeed: (actor: Actor) => boolean;
};

async function stateOf(work: Work, person: Ref): Promise<State> {
  const space: IndexEntry | undefined = await work.unit.space(person);
  return {
    reach: (way, type) => {
      const guard = accessAs(work, way.supposed, { person, at: work.now }).visible(type);
      const where = specialise(guard.residual, space);
      return { type, where, decision: `${type} ${JSON.stringify(where)}` };
    },
    mayFeed: (actor) => {
      if (actor.kind === 'representative') return false;
      const names = [actor.kind === 'professional' ? actor.self : undefined, actor.structure];
      return specialise(owner(denied('feed-opposition', names, work.now)), space).op === 'none';
    },
  };
}

/** Reads what is reached of what the caller sees, each decision once. */
function reader(work: Work, person: Ref, only: Predicate): (reach: Reach) => Promise<ReadonlySet<string>> {
  const known = new Map<string, Promise<ReadonlySet<string>>>();
  return ({ type, where, decision }) => {
    const found = known.get(decision) ?? idsOf(work, type, and(term('_owner', person), only, where));
    known.set(decision, found);
    return found;
  };
}

/** The ids of the items that the caller sees and `where` asks for. */
async function idsOf(work: Work, type: string, where: Predicate): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  let after: readonly (string | number | null)[] | undefined;
  while (where.op !== 'none') {
    const page = await work.unit.search(
      guarded(
        { type, where, sort: [], limit: PAGE, total: false, ...(after === undefined ? {} : { after }) },
        work.access.guard(type, 'r'),
      ),
    );
    for (const { id } of page.matches) found.add(id);
    after = page.matches.at(-1)?.position;
    if (!page.more || after === undefined) break;
  }
  return found;
}

/** Kinds that change more than decisions about others: the marks of items (W5), or what the holder sees themself (S1). */
const EAGER: readonly (string | undefined)[] = ['document-default', 'space-existence'];

/** One difference between before and after: what one way of asking gains or loses of one type. */
type Change = {
  readonly mode: string;
  readonly effect: 'gains' | 'loses';
  readonly type: string;
  readonly count: number;
  readonly items: readonly Ref[];
  readonly rules: readonly string[];
  readonly text: Bilingual;
};

/** Rehearses the draft; the unit that this runs in is undone whatever it answers. */
export async function evaluate(work: Work, request: FhirRequest): Promise<Rehearsed> {
  const person = await personOf(work);
  if (!person.ok) {
    const self = work.caller.person;
    return { ...(self === undefined ? {} : { item: keyOf(self) }), conclude: async () => person };
  }
  const draft = readDraft(request);
  if (!draft.ok) return { item: keyOf(person.value), conclude: async () => draft };
  const item = draft.value.kind === 'label' ? draft.value.item : keyOf(person.value);
  const told = await rehearse(work, person.value, draft.value);
  if (!told.ok) return { item, conclude: async () => told };
  const { parameters, items } = told.value;
  return {
    item,
    // What was found is disclosed by the unit that records it, and only if the caller may still ask (O3).
    conclude: async (later) => {
      const still = await personOf(later);
      if (!still.ok) return still;
      later.persons.add(still.value);
      for (const ref of items) later.traces.push({ owner: still.value, item: ref });
      return ok({ status: 200, body: parametersText(parameters) });
    },
  };
}

type Told = { readonly parameters: readonly Parameter[]; readonly items: readonly Ref[] };

/** The types of which gains and losses are counted: items of care, as far as the token has a scope for them. */
const countedTypes = (work: Work, draft: Draft): readonly string[] =>
  [...work.deps.declarations.values()]
    .filter((declaration) => declaration.about === 'person' && !NOT_COUNTED.includes(declaration.type))
    .map((declaration) => declaration.type)
    .filter((type) => work.access.scopeLimit('r', type).op !== 'none')
    .filter((type) => draft.kind === 'consent' || type === draft.item.type);

async function rehearse(work: Work, person: Ref, draft: Draft): Promise<Result<Told>> {
  const only = draft.kind === 'label' ? term('_id', draft.item.id) : ALL;
  const types = countedTypes(work, draft);
  const { actors, leftOut } = await actorsConcerned(work, person, { draft, types, only });
  const marksChange = draft.kind === 'label' || EAGER.includes(consentKindOf(draft.resource));
  const before = await stateOf(work, person);
  const readBefore = reader(work, person, only);
  if (marksChange) {
    for (const way of actors.flatMap((actor) => waysOf(work, actor))) {
      for (const type of types) await readBefore(before.reach(way, type));
    }
  }
  const traced = work.traces.length;
  const written = await write(work, draft);
  if (!written.ok) return written;
  await settle(work);
  const after = await stateOf(work, person);
  // Where no mark of an item changed, the earlier decision is as good a question now as it was before.
  const readAfter = marksChange ? reader(work, person, only) : readBefore;
  const changesOf = async (way: Way): Promise<readonly Change[]> => {
    const found: Change[] = [];
    for (const type of types) {
      const [earlier, later] = [before.reach(way, type), after.reach(way, type)];
      if (!marksChange && earlier.decision === later.decision) continue;
      const [was, is] = [await readBefore(earlier), await readAfter(later)];
      found.push(...(await differences(work, { way, type, person, was, is })));
    }
    return found;
  };
  const parameters: Parameter[] = [];
  const disclosed = new Set<Ref>();
  let unaffected = 0;
  for (const actor of actors) {
    const feeding = after.mayFeed(actor);
    const fedBefore = before.mayFeed(actor);
    const groups = await alike(waysOf(work, actor), changesOf);
    const affected = groups.filter((one) => one.changes.length > 0);
    if (affected.length === 0 && feeding === fedBefore) unaffected += 1;
    for (const { professions, changes } of feeding === fedBefore ? affected : groups) {
      for (const change of changes) for (const item of change.items) disclosed.add(item);
      parameters.push(
        group('actor', [
          ...(await actorParts(work, actor, professions)),
          ...changes.map(changeParameter),
          ...(feeding === fedBefore ? [] : [code('feeding', feeding ? 'gains' : 'loses')]),
        ]),
      );
    }
  }
  const touched = work.traces.slice(traced).map((trace) => trace.item);
  const ended = await consequencesOf(work, written.value, touched);
  for (const item of ended) disclosed.add(item);
  parameters.push(
    count('unaffected', unaffected),
    ...ended.map((ref) => reference('changes', ref)),
    ...codes('leftOut', leftOut),
  );
  return ok({ parameters, items: [...disclosed] });
}

/** Everybody known about the space, and whom the draft names. */
async function actorsConcerned(
  work: Work,
  person: Ref,
  asked: { readonly draft: Draft; readonly types: readonly string[]; readonly only: Predicate },
): Promise<Known> {
  const items: Version[] = [];
  for (const type of asked.types) {
    items.push(...(await everySeen(work, type, { where: and(term('_owner', person), asked.only), most: PAGE })));
  }
  const drafts = asked.draft.kind === 'consent' ? [await withActor(work, asked.draft.resource)] : [];
  return knownActors(work, person, { item: undefined, items, drafts });
}

/** A draft may name its actor by identifier, as a Consent may (contract.md): here it is looked up in the directory. */
async function withActor(work: Work, draft: JsonObject): Promise<JsonObject> {
  const provision = asObject(draft['provision']);
  const named = asObject(asObject(asArray(provision?.['actor'])[0])?.['reference']);
  const identifier = asObject(named?.['identifier']);
  const system = asText(identifier?.['system']);
  const value = asText(identifier?.['value']);
  if (named?.['reference'] !== undefined || system === undefined || value === undefined) return draft;
  for (const type of ['Practitioner', 'Organization']) {
    const where = term('identifier', systemAndCode(system, value));
    const page = await work.unit.search(
      guarded({ type, where, sort: [], limit: 1, total: false }, work.access.visible(type)),
    );
    const [found] = page.matches;
    if (found === undefined) continue;
    return { ...draft, provision: { ...provision, actor: [{ reference: { reference: `${type}/${found.id}` } }] } };
  }
  return draft;
}

type Alike = { readonly professions: string[]; readonly changes: readonly Change[] };

/** The changes of an actor, together where professions of a structure have the same. */
async function alike(
  ways: readonly Way[],
  changesOf: (way: Way) => Promise<readonly Change[]>,
): Promise<readonly Alike[]> {
  const byProfession = new Map<string, Change[]>();
  for (const way of ways) {
    const changes = byProfession.get(way.profession ?? '') ?? [];
    changes.push(...(await changesOf(way)));
    byProfession.set(way.profession ?? '', changes);
  }
  const groups = new Map<string, Alike>();
  for (const [profession, changes] of byProfession) {
    const said = JSON.stringify(changes);
    const same = groups.get(said) ?? { professions: [], changes };
    if (profession !== '') same.professions.push(profession);
    groups.set(said, same);
  }
  return [...groups.values()];
}

type Difference = {
  readonly way: Way;
  readonly type: string;
  readonly person: Ref;
  readonly was: ReadonlySet<string>;
  readonly is: ReadonlySet<string>;
};

/** What is new and what is gone, with the reason that the engine gives for the first of each. */
async function differences(work: Work, { way, type, person, was, is }: Difference): Promise<readonly Change[]> {
  const changes: Change[] = [];
  for (const [effect, ids] of [
    ['gains', [...is].filter((id) => !was.has(id))],
    ['loses', [...was].filter((id) => !is.has(id))],
  ] as const) {
    const sorted = [...ids].sort();
    const [first] = sorted;
    if (first === undefined) continue;
    const asked = { key: { type, id: first }, person, documents: [] };
    const { permit, rules, told } = await verdictOn(work, asked, way.supposed);
    changes.push({
      mode: way.mode,
      effect,
      type,
      count: sorted.length,
      items: sorted.slice(0, MOST_ITEMS).map((id): Ref => `${type}/${id}`),
      rules,
      text: textOf(told, permit ? 'permit' : 'deny', voiceOf(work)),
    });
  }
  return changes;
}

const changeParameter = (change: Change): Parameter =>
  group('change', [
    code('mode', change.mode),
    code('effect', change.effect),
    code('type', change.type),
    count('count', change.count),
    ...change.items.map((item) => reference('item', item)),
    ...codes('rule', change.rules),
    sentence('sentence', change.text),
  ]);

/** Rights and teams that would change with the draft (A7, one active entry): those that the caller reads. */
async function consequencesOf(work: Work, written: Version, touched: readonly Ref[]): Promise<readonly Ref[]> {
  const found: Ref[] = [];
  for (const ref of new Set(touched)) {
    const key = keyOf(ref);
    if ((key.type !== 'Consent' && key.type !== 'CareTeam') || ref === `${written.type}/${written.id}`) continue;
    if (await work.unit.test(key, work.access.guard(key.type, 'r'), ALL)) found.push(ref);
  }
  return found.sort();
}

/**
 * One interaction at work inside one unit of the store: who asks, what they may, what was read and written so far.
 * Everything an interaction discloses or writes leaves a trace here, and the audit is made of these traces (O1).
 */
import type { Access } from '../access/access.ts';
import type { Caller } from '../access/caller.ts';
import { type RuleId, systemGuard } from '../access/decision.ts';
import { PROFILE_TYPES } from '../access/rules/profile.ts';
import { callerName } from '../access/rules/space.ts';
import type { DocumentLevel } from '../fhir/canonical.ts';
import { type IndexEntry, termText } from '../fhir/index-entry.ts';
import { indexResource } from '../fhir/index-resource.ts';
import { JSON_LIMITS, parseJson, stringify } from '../fhir/json-text.ts';
import type { Instant, JsonObject, Key, Ref, Resource } from '../fhir/types.ts';
import type { Filing, StoreUnit, Version } from '../ports/store.ts';
import { matches, NO_LINKS } from '../query/matches.ts';
import { type Predicate, term } from '../query/predicate.ts';
import type { TypeDeclaration } from './declaration.ts';
import type { Deps } from './deps.ts';
import { rebuildSpace, searchAll } from './facts.ts';

/** What happened to one item, for the audit of its owner. */
export type Trace = {
  readonly owner: Ref | undefined;
  readonly item: Ref;
  /** The row of section 5 by which it was written; absent where it was only read. */
  readonly rule?: RuleId;
  /** How it was written; absent where it was only read. */
  readonly event?: ItemEvent;
};

/** What a condition looked at: a person whom it names, or an item that it matched. Of a request that is refused, its answer may tell of it. */
export type Probe = { readonly person: Ref | undefined; readonly item?: Ref };

/** What a write did to an item. `superseded`: replaced by another, of which the same act tells. */
export type ItemEvent = 'added' | 'changed' | 'removed' | 'superseded';

/** What writing needs inside a unit, whoever writes: no caller and no decision, so the server's own clock can have one (W7). */
export type Writing = {
  readonly deps: Deps;
  readonly unit: StoreUnit;
  readonly now: Instant;
  readonly traces: Trace[];
  /** Whether anything was written: a refusal after that must undo it. */
  readonly written: { any: boolean };
  /** Persons whose space entry must be rebuilt before the unit ends. */
  readonly stale: Set<Ref>;
};

export type Work = Writing & {
  readonly caller: Caller;
  readonly access: Access;
  readonly newId: () => string;
  /** Types that the request asked to see: the rules that open them are what its record names. */
  readonly asked: Set<string>;
  /** Persons named by the request without an item to show for it (an empty search, a refused read). */
  readonly persons: Set<Ref>;
  /** What conditional interactions and references looked at, whatever became of them: a refusal is recorded about it (O1). */
  readonly probed: Probe[];
  /** Resources created by this transaction, by id: what its other entries may refer to. */
  readonly created: Map<string, string>;
  /** Bytes uploaded for a Binary that is about to be created. */
  readonly uploads: Map<string, string>;
  /** What an ITI-65 Bundle claims of the documents in it; undefined outside of one. */
  readonly provides: { level: DocumentLevel | undefined };
  /** Done once the unit is durable, and not at all when it is undone. */
  readonly afterwards: (() => void)[];
};

export const declarationOf = (work: Writing, type: string): TypeDeclaration => {
  const declaration = work.deps.declarations.get(type);
  if (declaration === undefined) throw new Error(`no declaration for ${type}`);
  return declaration;
};

export const keyOf = (ref: string): Key => {
  const [type, id] = ref.split('/');
  return { type: type ?? '', id: id ?? '' };
};

/** The resource of a stored version, numbers as they were written (`1.00` is not `1.0`). */
export function parsed(version: Version): Resource {
  const value = parseJson(version.body, JSON_LIMITS);
  if (!value.ok) throw new Error(`the stored body of a ${version.type} cannot be read`);
  // INVARIANT: what was stored was a resource.
  return value.value as Resource;
}

/** Whether conditions on the owner's space hold for `person`. The predicate speaks of the space only. */
export async function holds(work: Work, person: Ref, where: Predicate): Promise<boolean> {
  await refreshSpace(work, person);
  const space = await work.unit.space(person);
  return matches(
    where,
    { terms: [termText('_owner', person)], strings: [], ranges: [], sort: [] },
    { ...NO_LINKS, space },
  );
}

/** Whether `where` holds for a stored item, whoever may see it. */
export const itemHolds = (work: Work, key: Key, where: Predicate): Promise<boolean> =>
  work.unit.test(key, systemGuard(key.type, 'integrity'), where);

/** The item as far as the caller sees it, scopes apart; `undefined` for hidden and for absent. */
export const seen = (work: Work, key: Key): Promise<Version | undefined> =>
  work.deps.declarations.has(key.type)
    ? work.unit.read(key, work.access.visible(key.type))
    : Promise.resolve(undefined);

/** Whether the caller sees this person (D9), and they are not deleted. */
export async function seesPerson(work: Work, person: Ref): Promise<boolean> {
  const found = await seen(work, keyOf(person));
  return found !== undefined && !found.deleted;
}

const refreshSpace = async (work: Writing, person: Ref): Promise<void> => {
  if (!work.stale.delete(person)) return;
  await work.unit.putSpace(person, await rebuildSpace(work.unit, person));
};

/** Rebuilds what is stale; called before a unit's audit is written. */
export async function settle(work: Writing): Promise<void> {
  for (const person of [...work.stale]) await refreshSpace(work, person);
}

export type Saving = {
  readonly key: Key;
  readonly before: Version | undefined;
  readonly resource: Resource;
  readonly owner: Ref | undefined;
  readonly filing: Filing;
  /** The row of section 5 that allows it, where that is not the first one of the type. */
  readonly rule?: RuleId | undefined;
  /** Where it is not what the versions tell: added or changed. */
  readonly event?: ItemEvent;
};

/** What the resource looks like to queries and guards: its search parameters and the server's marks. */
async function entryOf(work: Writing, saving: Saving, resource: Resource): Promise<IndexEntry> {
  const declaration = declarationOf(work, saving.key.type);
  const searched = declaration.searchable?.(resource) ?? resource;
  const indexed = indexResource(work.deps.registry, searched, { baseUrl: work.deps.baseUrl });
  const marks = await declaration.marks(work, resource, saving.filing);
  return {
    ...indexed,
    terms: [...indexed.terms, ...marks.terms.map(([param, value]) => termText(param, value))],
    ranges: [...indexed.ranges, ...marks.ranges],
  };
}

/** The entry of a stored version: what a write of it would make now. */
export const entryOfVersion = (work: Work, version: Version): Promise<IndexEntry> => {
  const resource = parsed(version);
  const { type, id, owner, filing } = version;
  return entryOf(work, { key: { type, id }, before: undefined, resource, owner, filing }, resource);
};

/** An item as it was at an instant: its version then, and what its guard would have been told of it. */
export type PastItem = { readonly version: Version; readonly entry: IndexEntry };

/**
 * The item in the version that was current at `at`, deleted or not; for the reconstruction of an earlier decision, never for disclosure.
 * What the directory says of it is what it says now.
 */
export async function itemAt(work: Work, key: Key, at: Instant): Promise<PastItem | undefined> {
  const guard = systemGuard(key.type, 'audit');
  const current = (await work.unit.history(key, guard, { limit: 1, at }))?.versions[0];
  const found =
    current?.deleted === true
      ? (await work.unit.history(key, guard, { limit: 1, before: current.versionId }))?.versions[0]
      : current;
  if (found === undefined || found.deleted) return undefined;
  const resource = parsed(found);
  const saving = { key, before: undefined, resource, owner: found.owner, filing: found.filing };
  const entry = await entryOf(work, saving, resource);
  const about = found.owner === undefined ? [] : [termText('_owner', found.owner)];
  return { version: found, entry: { ...entry, terms: [...entry.terms, termText('_id', key.id), ...about] } };
}

/** The body as served: `resourceType`, `id` and the server's `meta` first. */
export function withServerMeta(resource: Resource, key: Key, versionId: string, now: Instant): Resource {
  const { resourceType: _type, id: _id, meta, ...rest } = resource;
  const { versionId: _v, lastUpdated: _l, ...kept } = (meta ?? {}) as JsonObject;
  return {
    resourceType: key.type,
    id: key.id,
    meta: { versionId, lastUpdated: new Date(now).toISOString(), ...kept },
    ...rest,
  };
}

/** Writes a new version of a resource that the rules have accepted. */
export async function save(work: Writing, saving: Saving): Promise<Version> {
  const { key, before, owner, filing } = saving;
  const versionId = before === undefined ? '1' : String(Number(before.versionId) + 1);
  const resource = withServerMeta(saving.resource, key, versionId, work.now);
  const entry = await entryOf(work, saving, resource);
  const version: Version = {
    ...key,
    versionId,
    lastUpdated: work.now,
    deleted: false,
    owner,
    body: stringify(resource),
    filing,
  };
  await put(work, version, {
    entry,
    rule: saving.rule,
    event: saving.event ?? (before === undefined ? 'added' : 'changed'),
  });
  return version;
}

/** Writes a tombstone. The store keeps the last entry, which goes on deciding who is told that it is gone. */
export async function erase(work: Writing, before: Version, rule: RuleId): Promise<Version> {
  const entry = await entryOf(
    work,
    { key: before, before, resource: parsed(before), owner: before.owner, filing: before.filing },
    parsed(before),
  );
  const version: Version = {
    type: before.type,
    id: before.id,
    versionId: String(Number(before.versionId) + 1),
    lastUpdated: work.now,
    deleted: true,
    owner: before.owner,
    body: '',
    filing: before.filing,
  };
  await put(work, version, { entry, rule, event: 'removed' });
  return version;
}

/** The row of section 5 that a type is ordinarily written by. */
const WRITTEN_BY: Readonly<Record<string, RuleId>> = {
  Patient: 'W13',
  RelatedPerson: 'W21',
  CareTeam: 'W16',
  DocumentReference: 'W3',
  Binary: 'W23',
  List: 'W23',
  Provenance: 'W23',
  Consent: 'W9',
  Communication: 'W11',
  Appointment: 'W17',
  Task: 'D12',
  Immunization: 'W3',
  ExplanationOfBenefit: 'W18',
  Coverage: 'W18',
  ...Object.fromEntries(PROFILE_TYPES.map((type) => [type, 'W20'])),
};

/** The row that a write of this type falls under, unless the rule that accepted it says another. */
export const rowOf = (type: string): RuleId => WRITTEN_BY[type] ?? 'W14';

type Putting = { readonly entry: IndexEntry; readonly rule: RuleId | undefined; readonly event: ItemEvent };

async function put(work: Writing, version: Version, { entry, rule, event }: Putting): Promise<void> {
  const { type, id, ...rest } = version;
  work.written.any = true;
  await work.unit.put({ key: { type, id }, ...rest, entry });
  work.traces.push({ owner: version.owner, item: `${type}/${id}`, rule: rule ?? rowOf(type), event });
  if (version.owner !== undefined && declarationOf(work, type).feedsSpace) work.stale.add(version.owner);
}

/** Changes what the server recorded about an item, without a new version. */
export async function refile(work: Writing, version: Version, filing: Filing): Promise<void> {
  const resource = parsed(version);
  const entry = await entryOf(
    work,
    { key: version, before: version, resource, owner: version.owner, filing },
    resource,
  );
  work.written.any = true;
  await work.unit.refile({ type: version.type, id: version.id }, filing, entry);
}

/** All current resources of a type about a person that satisfy `where`, for the server's own bookkeeping. */
export async function allOf(work: Writing, type: string, person: Ref, where: Predicate): Promise<readonly Version[]> {
  return everyMatch(work, type, [term('_owner', person), where]);
}

/** All current resources of a type that satisfy every predicate, unguarded: bookkeeping, never disclosure. */
export async function everyMatch(
  work: Writing,
  type: string,
  where: readonly Predicate[],
): Promise<readonly Version[]> {
  return searchAll(work.unit, type, where);
}

/** Who files, as the server records it. */
export const filedBy = (work: Work): Filing => ({
  filedAt: work.now,
  by: callerName(work.caller) as Ref,
  side: SIDE[work.caller.kind],
});

const SIDE = {
  patient: 'holder',
  representative: 'holder',
  professional: 'professional',
  feeder: 'feeder',
  insurer: 'insurer',
  operator: 'operator',
} as const;

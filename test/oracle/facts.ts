/** What stands in a world for a caller at an instant: state, consents, teams, delegations (`rules.md` sections 1 to 3). */
import { placeIn } from './time.ts';
import type {
  ActorRef,
  ConsentItem,
  ConsentKind,
  FiledBy,
  Instant,
  Item,
  SpaceState,
  World,
  WorldCaller,
} from './world.ts';

/** One question's constant part. */
export type Ask = {
  readonly world: World;
  readonly caller: WorldCaller;
  readonly now: Instant;
  /** D8: how many events lie between what is asked and this. */
  readonly deep?: number;
};

/** The caller narrowed to a professional. */
export type Professional = Extract<WorldCaller, { kind: 'professional' }>;

/** The items of one type. */
export type Of<T extends Item['type'], I = Item> = I extends Item ? (T extends I['type'] ? I : never) : never;

/** The items of a world by type: worlds never change, and are asked many times. */
const sorted = new WeakMap<World, Map<string, Item[]>>();
function itemsOf<T extends Item['type']>(world: World, type: T): readonly Of<T>[] {
  const types = sorted.get(world) ?? new Map<string, Item[]>();
  if (types.size === 0) for (const item of world.items) types.set(item.type, [...(types.get(item.type) ?? []), item]);
  sorted.set(world, types);
  return (types.get(type) ?? []) as unknown as readonly Of<T>[];
}

/** The item of that type and id, deleted or not. */
export const find = <T extends Item['type']>(world: World, type: T, id: string | undefined): Of<T> | undefined =>
  itemsOf(world, type).find((item) => item.id === id);

/** Every item of that type which is not deleted. */
export const all = <T extends Item['type']>(world: World, type: T): readonly Of<T>[] =>
  itemsOf(world, type).filter((item) => item.deleted !== true);

/** Whom an item is about; a Binary is about whom its document is; the directory, and some others, are about nobody. */
export function personOf(world: World, item: Item): string | undefined {
  switch (item.type) {
    case 'Patient':
      return item.id;
    case 'Binary':
      return find(world, 'DocumentReference', item.document)?.person;
    case 'Practitioner':
    case 'PractitionerRole':
    case 'Organization':
    case 'HealthcareService':
    case 'Location':
      return undefined;
    default:
      return item.person;
  }
}

/** The actors that a Consent could name to reach this caller. */
export function refsOf(caller: WorldCaller): readonly ActorRef[] {
  switch (caller.kind) {
    case 'professional':
      return [
        { type: 'Practitioner', id: caller.person },
        { type: 'Organization', id: caller.structure },
      ];
    case 'feeder':
      return [{ type: 'Organization', id: caller.structure }];
    case 'representative':
      return [{ type: 'RelatedPerson', id: caller.related }];
    case 'patient':
      return [{ type: 'Patient', id: caller.person }];
    default:
      return [];
  }
}

/** Whether two references are the same. */
export const sameRef = (a: ActorRef, b: ActorRef): boolean => a.type === b.type && a.id === b.id;

/** A0 and contract.md "Consents": whether an entry has the one shape of its kind. */
export function wellShaped(world: World, entry: ConsentItem): boolean {
  if (entry.malformed === true) return false;
  const actor = entry.actors.length === 1 ? entry.actors[0] : undefined;
  const unlimited = entry.period === undefined;
  switch (entry.kind) {
    case 'professional-access':
      return actor?.type === 'Practitioner' && (entry.provision === 'permit' || unlimited);
    case 'organization-access':
      return actor?.type === 'Organization' && (entry.provision === 'permit' || unlimited);
    case 'attending-physician':
      return actor?.type === 'Practitioner' && entry.provision === 'permit';
    case 'feed-opposition':
      return (actor?.type === 'Practitioner' || actor?.type === 'Organization') && entry.provision === 'deny';
    case 'delegation':
      return (
        actor?.type === 'RelatedPerson' &&
        entry.provision === 'permit' &&
        entry.delegationKind !== undefined &&
        find(world, 'RelatedPerson', actor.id)?.person === entry.person
      );
    case 'space-existence':
      return (
        entry.actors.length === 0 &&
        entry.state !== undefined &&
        (entry.provision === 'permit') === ['open', 'active', 'legacy-dmp', 'suspended'].includes(entry.state) &&
        (entry.state !== 'legacy-dmp' || entry.period?.end !== undefined)
      );
    case 'app-authorization':
      return false;
    default:
      return entry.actors.length === 0;
  }
}

/** Whether an active entry counts now for these actors; `strict`: well shaped and dated, else only as A0 lets a deny count. */
function reaches(world: World, entry: ConsentItem, now: Instant): 'strict' | 'as-deny' | 'no' {
  if (entry.status !== 'active' || entry.deleted === true) return 'no';
  const place = placeIn(entry.period, now);
  if (place === 'out' || place === 'reversed') return 'no'; // T3: never counts, denies included
  return place === 'in' && wellShaped(world, entry) ? 'strict' : 'as-deny';
}

/** Section 3: what the entries of one kind say of these actors for this person: within one kind a deny in force wins. */
export function vote(
  ask: Ask,
  person: string,
  kind: ConsentKind,
  refs: readonly ActorRef[],
): 'permit' | 'deny' | 'silent' {
  let permit = false;
  for (const entry of all(ask.world, 'Consent')) {
    if (entry.person !== person || entry.kind !== kind) continue;
    const how = reaches(ask.world, entry, ask.now);
    const named = entry.actors.length === 0 || entry.actors.some((actor) => refs.some((ref) => sameRef(ref, actor)));
    if (how === 'no' || !named) continue;
    if (entry.provision === 'deny') return 'deny'; // A0: malformed, it names all when it names none
    if (how === 'strict') permit = true;
  }
  return permit ? 'permit' : 'silent';
}

/** Whether one entry is in force: active, in period, of its kind's shape (for D7). */
export const inForce = (ask: Ask, entry: ConsentItem): boolean => reaches(ask.world, entry, ask.now) === 'strict';

/** The deny of `document-default` in force, if any: its id carries the exemptions of W5. */
export function maskEverything(ask: Ask, person: string): readonly ConsentItem[] {
  const refs = refsOf(ask.caller);
  return all(ask.world, 'Consent').filter(
    (entry) =>
      entry.person === person &&
      entry.kind === 'document-default' &&
      entry.provision === 'deny' &&
      reaches(ask.world, entry, ask.now) !== 'no' &&
      (entry.actors.length === 0 || entry.actors.some((actor) => refs.some((ref) => sameRef(ref, actor)))),
  );
}

const mostHidden: readonly SpaceState[] = [
  'deceased',
  'closed',
  'opposed',
  'invited',
  'suspended',
  'legacy-dmp',
  'open',
  'active',
];

/** Section 2: the state of a person's space. Without an entry: `invited`; a legacy DMP past its end (or without one): `closed`. */
export function stateOf(world: World, person: string, now: Instant): SpaceState {
  const states: SpaceState[] = [];
  for (const entry of all(world, 'Consent')) {
    if (entry.person !== person || entry.kind !== 'space-existence' || entry.status !== 'active') continue;
    const place = placeIn(entry.period, now);
    if (entry.state === 'legacy-dmp' && (place !== 'in' || entry.period?.end === undefined)) states.push('closed');
    else if (place === 'in' && wellShaped(world, entry)) states.push(entry.state ?? 'invited');
    else if (entry.provision === 'deny' && (place === 'in' || place === 'unreadable')) states.push('closed'); // A0
  }
  return mostHidden.find((state) => states.includes(state)) ?? 'invited';
}

/** C7: what the delegations in force give a representative for the person acted for; undefined: nothing. */
export function delegation(ask: Ask): { readonly legal: boolean; readonly messages: boolean } | undefined {
  const { caller } = ask;
  if (caller.kind !== 'representative') return undefined;
  const related = find(ask.world, 'RelatedPerson', caller.related);
  if (related === undefined || related.deleted === true || related.person !== caller.actsFor) return undefined;
  if (vote(ask, caller.actsFor, 'delegation', refsOf(caller)) !== 'permit') return undefined;
  const entries = all(ask.world, 'Consent').filter(
    (entry) =>
      entry.kind === 'delegation' &&
      entry.person === caller.actsFor &&
      entry.actors.some((actor) => actor.id === caller.related) &&
      inForce(ask, entry),
  );
  const legal = entries.some((entry) => entry.delegationKind === 'legal');
  return { legal, messages: legal || entries.some((entry) => entry.delegatedRights?.includes('message') === true) };
}

/** Whether a mode is one of the two emergencies (C2: by exact code). */
export const inEmergency = (caller: Professional): boolean => caller.purpose === 'BTG' || caller.purpose === 'ETREAT';

/** A2: whether a `professional-access` or `organization-access` deny stands against one of these actors. */
export const blockStands = (ask: Ask, person: string, refs: readonly ActorRef[]): boolean =>
  (['professional-access', 'organization-access'] as const).some((kind) => vote(ask, person, kind, refs) === 'deny');

/** A2 for the caller, with the one policy line that lifts it in emergencies. */
export function blocked(ask: Ask, person: string): boolean {
  const { caller } = ask;
  const lifted = caller.kind === 'professional' && inEmergency(caller) && ask.world.policy.emergencyOverridesBlock;
  return !lifted && blockStands(ask, person, refsOf(caller));
}

/** Section 3: the gate for a professional. `light` = A2 (the state is asked elsewhere); `attending` as defined below A7. */
export type Gate = {
  readonly light: boolean;
  readonly passed: boolean;
  readonly attending: boolean;
  readonly rules: readonly string[];
};

/** Evaluates A1, A2, then A3, A4 or A5. */
export function gate(ask: Ask, person: string, caller: Professional): Gate {
  const refs = refsOf(caller);
  const light = !blocked(ask, person);
  if (ask.world.policy.matrix[caller.profession]?.consult !== true)
    return { light, passed: false, attending: false, rules: ['A1'] };
  if (!light) return { light, passed: false, attending: false, rules: ['A2'] };
  if (caller.purpose === 'BTG')
    return { light, passed: vote(ask, person, 'emergency-btg', refs) !== 'deny', attending: false, rules: ['A4'] };
  if (caller.purpose === 'ETREAT')
    return { light, passed: vote(ask, person, 'emergency-etreat', refs) !== 'deny', attending: false, rules: ['A5'] };
  const attending = vote(ask, person, 'attending-physician', refs) === 'permit';
  const team =
    vote(ask, person, 'care-team-default', refs) !== 'deny' &&
    all(ask.world, 'CareTeam').some(
      (one) =>
        one.person === person &&
        one.structure === caller.structure &&
        one.members.includes(caller.person) &&
        one.status === 'active' &&
        placeIn(one.period, ask.now) === 'in',
    );
  const passed =
    attending ||
    vote(ask, person, 'professional-access', refs) === 'permit' ||
    vote(ask, person, 'organization-access', refs) === 'permit' ||
    team;
  return { light, passed, attending: passed && attending, rules: ['A3'] };
}

/** Section 4, "Author" for documents and the other labelled items: in person, or for the author structure; never the holder's side. */
export function isAuthor(caller: WorldCaller, filedBy: FiledBy): boolean {
  if (filedBy.side !== 'professional' && filedBy.side !== 'feeder') return false;
  if (caller.kind === 'professional' && filedBy.person === caller.person) return true;
  return (
    (caller.kind === 'professional' || caller.kind === 'feeder') &&
    filedBy.structure !== undefined &&
    filedBy.structure === caller.structure
  );
}

/** Section 4, "Author" for D6: the creator; a professional in person, a feeder for what a feeder of its structure created. */
export function isCreator(caller: WorldCaller, filedBy: FiledBy): boolean {
  if (caller.kind === 'professional') return filedBy.side === 'professional' && filedBy.person === caller.person;
  return caller.kind === 'feeder' && filedBy.side === 'feeder' && filedBy.structure === caller.structure;
}

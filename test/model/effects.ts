/** What an accepted act does to a world: `rules.md` sections 4 and 5 read as consequences, for the model to go on with. */
import { all, find, maskEverything, type Of, wellShaped } from '../oracle/facts.ts';
import type {
  CareTeamItem,
  ConsentItem,
  DocumentItem,
  FiledBy,
  ImmunizationItem,
  Instant,
  Item,
  Label,
  RelatedPersonItem,
  World,
  WorldCaller,
} from '../oracle/world.ts';
import { type Act, labelsKept } from '../oracle/write.ts';

/** Who did something, when, and under which ids the server keeps what was made. */
export type Doing = { readonly caller: WorldCaller; readonly now: Instant; readonly ids: readonly string[] };

/** More than the oracle asks of an act, because it decides nothing. */
export type Described = {
  readonly docType?: string;
  readonly withProvenance?: boolean;
  /** Of the medical profile, or of what was paid. */
  readonly type?: ProfileType | PayerType;
};
export type ProfileType = 'Condition' | 'AllergyIntolerance' | 'Observation';
export type PayerType = 'Coverage' | 'ExplanationOfBenefit';

const withItem = (world: World, item: Item): World => ({ ...world, items: [...world.items, item] });
const changed = (world: World, change: (item: Item) => Item): World => ({ ...world, items: world.items.map(change) });
const changedOne = <I extends Item>(world: World, one: I, change: Partial<I>): World =>
  changed(world, (item) => (item === one ? { ...item, ...change } : item));

/** Who files, as the server records it. */
export function filerOf(caller: WorldCaller): FiledBy {
  switch (caller.kind) {
    case 'professional':
      return { side: 'professional', person: caller.person, structure: caller.structure };
    case 'feeder':
      return { side: 'feeder', structure: caller.structure };
    case 'patient':
      return { side: 'holder' };
    case 'representative':
      return { side: 'representative', related: caller.related };
    default:
      return { side: caller.kind };
  }
}

/** The world after an act that was accepted. */
export function after(world: World, act: Act, doing: Doing, described: Described = {}): World {
  const { caller, now, ids } = doing;
  const [first = '', second = '', third = ''] = ids;
  switch (act.act) {
    case 'feed':
    case 'deposit':
      return act.act === 'feed' && act.type === 'Immunization'
        ? vaccinated(world, act, doing)
        : filed(world, act, doing, described);
    case 'profile':
    case 'payer':
      return withItem(world, ofPerson(act.person, doing, described.type ?? 'Condition'));
    case 'delete':
      return deleted(world, act.type, act.id);
    case 'mask':
    case 'unmask':
    case 'hide':
    case 'release':
      return relabelled(world, act, doing);
    case 'consent':
      return entered(world, { ...act.entry, id: first, type: 'Consent', writtenBy: filerOf(caller) }, now);
    case 'end-consent': {
      const entry = find(world, 'Consent', act.id);
      return entry === undefined ? world : changedOne(world, entry, { status: 'inactive' });
    }
    case 'message': {
      const answered = act.inResponseTo === undefined ? undefined : find(world, 'Communication', act.inResponseTo);
      return withItem(world, {
        ...(isSecret(caller) || answered?.secret === true ? { secret: true } : {}),
        type: 'Communication',
        id: first,
        person: act.person,
        sender: partyOf(caller, act.person),
        recipient: act.recipient,
        ...(act.inResponseTo === undefined ? {} : { inResponseTo: act.inResponseTo }),
      });
    }
    case 'team':
      return withItem(world, {
        type: 'CareTeam',
        id: first,
        person: act.person,
        structure: act.structure,
        members: act.members,
        status: 'active',
        writtenBy: filerOf(caller),
      });
    case 'end-team':
    case 'add-member':
    case 'remove-member': {
      const team = find(world, 'CareTeam', act.id);
      if (team === undefined) return world;
      if (act.act === 'end-team') return changedOne(world, team, { status: 'inactive' });
      const others = team.members.filter((member) => member !== act.member);
      return changedOne(world, team, { members: act.act === 'add-member' ? [...others, act.member] : others });
    }
    case 'appoint':
      return withItem(world, {
        type: 'Appointment',
        id: first,
        person: act.person,
        labels: isSecret(caller) ? ['INVISIBLE_REPRESENTANTS_LEGAUX'] : [],
        filedBy: filerOf(caller),
        filedAt: new Date(now).toISOString(),
        practitioners: act.practitioners,
        structures: act.structures,
      });
    default:
      throw new Error(`the model does not do ${act.act}: ${second}${third}`);
  }
}

/** W8: what is filed in a secret session is hidden from representatives. */
const isSecret = (caller: WorldCaller): boolean => 'secret' in caller && caller.secret === true;

/** The party of a message that a caller is. */
export const partyOf = (caller: WorldCaller, person: string): Of<'Communication'>['sender'] =>
  caller.kind === 'professional'
    ? { type: 'Practitioner', id: caller.person }
    : caller.kind === 'representative'
      ? { type: 'RelatedPerson', id: caller.related }
      : { type: 'Patient', id: person };

/** W1, W2, W3, W8: a document with its Binary (and Provenance); what it replaces is superseded, and its labels are kept as long as they count. */
function filed(
  world: World,
  act: Extract<Act, { act: 'feed' | 'deposit' }>,
  { caller, now, ids }: Doing,
  { docType = '11488-4', withProvenance = false }: Described,
): World {
  const [binary = '', document = '', provenance = ''] = ids;
  const former = act.act === 'feed' ? find(world, 'DocumentReference', act.replaces) : undefined;
  const labels: readonly Label[] = [
    ...(former === undefined ? [] : labelsKept({ world, caller, now }, former)),
    ...(act.act === 'feed' ? act.labels : []),
    ...(isSecret(caller) ? (['INVISIBLE_REPRESENTANTS_LEGAUX'] as const) : []),
  ];
  const filedBy = filerOf(caller);
  const before = former === undefined ? world : changedOne(world, former, { superseded: true });
  const made: readonly Item[] = [
    {
      type: 'DocumentReference',
      id: document,
      person: act.person,
      docType: act.act === 'deposit' ? act.docType : docType,
      labels: [...new Set(labels)],
      filedBy,
      filedAt: new Date(now).toISOString(),
      ...(former === undefined ? {} : { replaces: former.id }),
    },
    { type: 'Binary', id: binary, document, filedBy },
    ...(withProvenance
      ? [{ type: 'Provenance' as const, id: provenance, person: act.person, documents: [document], filedBy }]
      : []),
  ];
  return { ...before, items: [...before.items, ...made] };
}

/** W22, W8: what the holder's side files carries no label but that of a secret connection. */
function vaccinated(world: World, act: Extract<Act, { act: 'feed' }>, { caller, now, ids }: Doing): World {
  const labels = new Set<Label>(act.labels);
  if (isSecret(caller)) labels.add('INVISIBLE_REPRESENTANTS_LEGAUX');
  return withItem(world, {
    type: 'Immunization',
    id: ids[0] ?? '',
    person: act.person,
    labels: [...labels],
    filedBy: filerOf(caller),
    filedAt: new Date(now).toISOString(),
  });
}

const ofPerson = (person: string, { caller, now, ids }: Doing, type: ProfileType | PayerType): Item =>
  type === 'Coverage' || type === 'ExplanationOfBenefit'
    ? {
        ...{ type, id: ids[0] ?? '', person, labels: [], filedBy: filerOf(caller) },
        filedAt: new Date(now).toISOString(),
      }
    : { type, id: ids[0] ?? '', person };

/** W3, W21: what belongs to a document goes with it; the delegations to a RelatedPerson end with them. */
function deleted(world: World, type: string, id: string): World {
  return changed(world, (item): Item => {
    const belongs =
      (item.type === 'Binary' && item.document === id) ||
      ((item.type === 'Provenance' || item.type === 'List') && item.documents.every((one) => one === id));
    if (item.type === type && item.id === id) return { ...item, deleted: true };
    if (type === 'DocumentReference') return belongs ? { ...item, deleted: true } : item;
    const delegates = item.type === 'Consent' && item.kind === 'delegation' && item.actors.some((one) => one.id === id);
    return delegates ? { ...item, status: 'inactive' } : item;
  });
}

/** W4 to W6. A change leaves out an L2 whose month is over; a write without effect changes nothing but the exemption from "mask everything". */
function relabelled(
  world: World,
  act: Extract<Act, { act: 'mask' | 'unmask' | 'hide' | 'release' }>,
  { caller, now }: Doing,
): World {
  const item = find(world, act.type, act.id) as DocumentItem | ImmunizationItem | RelatedPersonItem | undefined;
  if (item === undefined) return world;
  const ask = { world, caller, now };
  const label: Label =
    act.act === 'mask' || act.act === 'unmask'
      ? 'MASQUE_PS'
      : act.side === 'patient'
        ? 'INVISIBLE_PATIENT'
        : 'INVISIBLE_REPRESENTANTS_LEGAUX';
  const sets = act.act === 'mask' || act.act === 'hide';
  const own = labelsKept(ask, item);
  const labels = sets ? [...new Set([...own, label])] : own.filter((one) => one !== label);
  const effect = own.includes(label) !== sets;
  const standing = maskEverything(ask, item.person).find((entry) => wellShaped(world, entry));
  const { unmaskedUnder: _u, ...rest } = item;
  const exemption = label !== 'MASQUE_PS' ? item.unmaskedUnder : sets ? undefined : standing?.id;
  const next: Item = {
    ...rest,
    ...(effect ? { labels } : {}),
    ...(exemption === undefined ? {} : { unmaskedUnder: exemption }),
    ...(effect && act.act === 'release' && act.side === 'representatives' ? { shownToRepresentatives: true } : {}),
  };
  return changed(world, (one) => (one === item ? next : one));
}

/** contract.md "Consents": one active entry for each person, kind and actor; A7: a block ends permits and memberships. */
function entered(world: World, entry: ConsentItem, _now: Instant): World {
  const keyOf = (one: ConsentItem): string =>
    [one.person, one.kind, one.kind === 'delegation' ? one.delegationKind : '', ...one.actors.map((a) => a.id)].join(
      ' ',
    );
  const blocks = entry.provision === 'deny' && ['professional-access', 'organization-access'].includes(entry.kind);
  const [blocked] = entry.actors;
  const next = changed(world, (item): Item => {
    if (!('person' in item) || item.person !== entry.person) return item;
    if (item.type === 'Consent' && item.status === 'active') {
      const permits = item.provision === 'permit' && item.actors.some((one) => one.id === blocked?.id);
      return keyOf(item) === keyOf(entry) || (blocks && permits) ? { ...item, status: 'inactive' } : item;
    }
    if (item.type === 'CareTeam' && blocks && item.status === 'active')
      return item.structure === blocked?.id
        ? { ...item, status: 'inactive' }
        : { ...item, members: item.members.filter((member) => member !== blocked?.id) };
    return item;
  });
  return withItem(next, entry);
}

/** Section 2: the entry of the space says another state. */
export function inState(
  world: World,
  person: string,
  change: Pick<ConsentItem, 'state' | 'provision' | 'period'>,
): World {
  return changed(world, (item) => {
    if (item.type !== 'Consent' || item.kind !== 'space-existence' || item.person !== person) return item;
    const { period: _p, ...rest } = item;
    return { ...rest, ...change };
  });
}

/** The teams of a world that are not ended. */
export const activeTeams = (world: World): readonly CareTeamItem[] =>
  all(world, 'CareTeam').filter((team) => team.status === 'active');

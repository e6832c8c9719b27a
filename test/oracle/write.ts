/** Section 5 of `rules.md`, written from its text alone: what a write is answered. Shapes other than those of rules are not looked at. */
import { DIRECTIVES, labelsNow, maySee, readStatus } from './decide.ts';
import {
  type Ask,
  blocked,
  blockStands,
  delegation,
  find,
  gate,
  inForce,
  isAuthor,
  isCreator,
  refsOf,
  sameRef,
  stateOf,
  vote,
  wellShaped,
} from './facts.ts';
import { monthAfter } from './time.ts';
import type {
  ActorRef,
  CareTeamItem,
  ConsentItem,
  DocumentItem,
  ImmunizationItem,
  Instant,
  Item,
  Label,
  RelatedPersonItem,
  World,
  WorldCaller,
} from './world.ts';

type LabelledType = 'DocumentReference' | 'Immunization' | 'RelatedPerson';

/** What a caller tries. */
export type Act =
  | {
      readonly act: 'feed';
      readonly person: string;
      readonly type: 'DocumentReference' | 'Immunization';
      readonly labels: readonly Label[];
      readonly confidentiality: 'N' | 'R' | 'V';
      readonly identity: 'equal' | 'different' | 'unqualified';
      readonly replaces?: string;
    }
  | {
      readonly act: 'deposit';
      readonly person: string;
      readonly docType: string;
      readonly contentType: string;
      readonly bytes: number;
    }
  | { readonly act: 'delete'; readonly type: LabelledType; readonly id: string }
  | { readonly act: 'unmask'; readonly type: LabelledType; readonly id: string }
  | { readonly act: 'mask'; readonly type: LabelledType; readonly id: string; readonly atHoldersRequest: boolean }
  | {
      readonly act: 'hide' | 'release';
      readonly type: LabelledType;
      readonly id: string;
      readonly side: 'patient' | 'representatives';
    }
  | {
      readonly act: 'consent';
      readonly entry: Omit<ConsentItem, 'writtenBy' | 'type'>;
      readonly declared?: boolean;
      readonly atHoldersRequest?: boolean;
      readonly reason?: boolean;
      /** The person is under 18 or under guardianship. */
      readonly ward?: boolean;
    }
  | { readonly act: 'end-consent'; readonly id: string; readonly reason?: boolean }
  | {
      readonly act: 'message';
      readonly person: string;
      readonly recipient: ActorRef;
      readonly inResponseTo?: string;
    }
  | { readonly act: 'patient'; readonly id?: string; readonly change: 'create' | 'traits' | 'contacts' | 'local' }
  | { readonly act: 'directory' }
  | {
      readonly act: 'team';
      readonly person: string;
      readonly structure: string;
      readonly members: readonly string[];
    }
  | { readonly act: 'end-team'; readonly id: string }
  | { readonly act: 'add-member' | 'remove-member'; readonly id: string; readonly member: string }
  | {
      readonly act: 'appoint';
      readonly person: string;
      readonly practitioners: readonly string[];
      readonly structures: readonly string[];
      readonly changes?: string;
    }
  | { readonly act: 'payer' | 'profile'; readonly person: string }
  | { readonly act: 'related'; readonly person: string; readonly minor: boolean };

/** A refusal: its status and the rule that made it. */
export type Refusal = { readonly status: 403 | 404 | 409 | 410 | 422; readonly rule: string };

const refuse = (status: Refusal['status'], rule: string): Refusal => ({ status, rule });
const okIf = (allowed: boolean, rule: string): 'ok' | Refusal => (allowed ? 'ok' : refuse(403, rule));

/** What `rules.md` section 5 answers to an act. */
export function mayWrite(world: World, caller: WorldCaller, act: Act, now: Instant): 'ok' | Refusal {
  const ask: Ask = { world, caller, now };
  switch (act.act) {
    case 'feed':
      return feed(ask, act);
    case 'deposit':
      return deposit(ask, act);
    case 'delete':
    case 'mask':
    case 'unmask':
    case 'hide':
    case 'release':
      return onLabelled(ask, act);
    case 'consent':
      return consent(ask, act);
    case 'end-consent':
      return endConsent(ask, act);
    case 'message':
      return message(ask, act);
    case 'patient':
      return patient(ask, act);
    case 'directory': // W14
      return okIf(caller.kind === 'operator' && caller.patient === undefined, 'W14');
    case 'team':
      return team(ask, act);
    case 'end-team':
    case 'add-member':
    case 'remove-member':
      return changeTeam(ask, act);
    case 'appoint':
      return appoint(ask, act);
    case 'payer': // W18
      if (caller.kind !== 'insurer') return refuse(403, 'W18');
      return subject(ask, act.person) ?? okIf(['open', 'active'].includes(stateOf(world, act.person, now)), 'W18');
    case 'profile': // W20: holder, representatives, both kinds
      if (!ofHolder(caller)) return refuse(403, 'W20');
      return subject(ask, act.person) ?? holderWrites(ask, act.person) ?? 'ok';
    case 'related': // W21
      if (caller.kind === 'insurer')
        return (
          subject(ask, act.person) ??
          okIf(act.minor && ['open', 'active'].includes(stateOf(world, act.person, now)), 'W21')
        );
      if (!ofHolder(caller)) return refuse(403, 'W21');
      return subject(ask, act.person) ?? holderWrites(ask, act.person) ?? okIf(holds(ask), 'W21');
  }
}

const ofHolder = (caller: WorldCaller): boolean => caller.kind === 'patient' || caller.kind === 'representative';

/** Holder, or a legal representative (W12: not a caregiver). */
const holds = (ask: Ask): boolean => ask.caller.kind === 'patient' || delegation(ask)?.legal === true;

/** contract.md "Documents": a subject that the caller does not see is 422, as a reference to nothing is. */
function subject(ask: Ask, person: string): Refusal | undefined {
  const item = find(ask.world, 'Patient', person);
  const seen = item !== undefined && maySee(ask.world, ask.caller, item, ask.now).permit;
  return seen ? undefined : refuse(422, 'S1');
}

/** Section 5: the holder's side writes in `active`. */
const holderWrites = (ask: Ask, person: string): Refusal | undefined =>
  stateOf(ask.world, person, ask.now) === 'active' ? undefined : refuse(403, 'S1');

/** Section 5: a professional writes in TREAT (A6 otherwise), and neither a professional nor a feeder when blocked (A2). */
function careWrites(ask: Ask, person: string): Refusal | undefined {
  if (ask.caller.kind === 'professional' && ask.caller.purpose !== 'TREAT') return refuse(403, 'A6');
  return blocked(ask, person) ? refuse(403, 'A2') : undefined;
}

/** "A write on an existing item needs sight of it"; a deleted one takes none. */
function target(ask: Ask, item: Item | undefined): Refusal | undefined {
  const status = item === undefined ? 404 : readStatus(ask.world, ask.caller, item, ask.now);
  return status === 200 ? undefined : refuse(status, 'section 5');
}

function feed(ask: Ask, act: Extract<Act, { act: 'feed' }>): 'ok' | Refusal {
  const { caller, world } = ask;
  const byCare = caller.kind === 'professional' || caller.kind === 'feeder';
  // W22: immunizations also by the holder's side; W1: documents never by insurers, operators, holders
  if (!byCare && !(act.type === 'Immunization' && ofHolder(caller))) return refuse(403, 'W1');
  if (caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.patient === undefined)
    return refuse(403, 'C5');
  const unseen = subject(ask, act.person);
  if (unseen !== undefined) return unseen;
  if (!byCare) return holderWrites(ask, act.person) ?? 'ok';
  const refs = refsOf(caller);
  if (vote(ask, act.person, 'feed-opposition', refs) === 'deny') return refuse(403, 'W1');
  if (act.identity !== 'equal') return refuse(422, 'W1');
  if (act.confidentiality !== 'N') return refuse(422, 'L4');
  if (act.replaces === undefined) return pair(act.labels);
  const former = find(world, 'DocumentReference', act.replaces);
  const hidden = target(ask, former);
  if (hidden !== undefined || former === undefined) return hidden ?? refuse(404, 'W3');
  if (!mayReplace(ask, former)) return refuse(403, 'W3');
  if (former.superseded === true) return refuse(409, 'W3');
  return pair([...labelsKept(ask, former), ...act.labels]);
}

/** The labels that an item carries into what follows from it: `L2` ends after a month. */
export const labelsKept = (ask: Ask, item: DocumentItem | ImmunizationItem | RelatedPersonItem): readonly Label[] =>
  item.labels.filter((one) => one !== 'INVISIBLE_PATIENT' || labelsNow(ask, item).includes(one));

/** "`L1` and `L2` are never set together on an item (422)." */
const pair = (labels: readonly Label[]): 'ok' | Refusal =>
  labels.includes('MASQUE_PS') && labels.includes('INVISIBLE_PATIENT') ? refuse(422, 'L1') : 'ok';

function deposit(ask: Ask, act: Extract<Act, { act: 'deposit' }>): 'ok' | Refusal {
  if (!ofHolder(ask.caller)) return refuse(403, 'W2');
  const unseen = subject(ask, act.person) ?? holderWrites(ask, act.person);
  if (unseen !== undefined) return unseen;
  const type = /^(DOCPAT|EXPPAT)/.test(act.docType) || ['11369-6', DIRECTIVES].includes(act.docType);
  const media = (act.contentType.split(';')[0] ?? '').trim().toLowerCase();
  const allowed = ['application/pdf', 'image/jpeg', 'image/png', 'image/tiff', 'text/plain'].includes(media);
  const size = act.bytes >= 1 && act.bytes <= ask.world.policy.depositMaxBytes;
  return type && allowed && size ? 'ok' : refuse(422, 'W2');
}

/** W3: who may replace or delete a document or immunization that they see. */
function mayReplace(ask: Ask, item: DocumentItem | ImmunizationItem): boolean {
  const { caller } = ask;
  const { filedBy } = item;
  if (isAuthor(caller, filedBy)) return true;
  if (filedBy.side !== 'holder' && filedBy.side !== 'representative') return false;
  if (caller.kind === 'representative') return delegation(ask)?.legal === true || filedBy.related === caller.related;
  if (caller.kind === 'professional') return gate(ask, item.person, caller).attending;
  return caller.kind === 'patient';
}

function onLabelled(
  ask: Ask,
  act: Extract<Act, { act: 'delete' | 'mask' | 'unmask' | 'hide' | 'release' }>,
): 'ok' | Refusal {
  const { world, caller } = ask;
  const item = find(world, act.type, act.id);
  const hidden = target(ask, item);
  if (item === undefined || hidden !== undefined) return hidden ?? refuse(404, 'section 5');
  if (ofHolder(caller)) {
    const closed = holderWrites(ask, item.person);
    if (closed !== undefined) return closed;
  }
  if (act.act === 'delete') {
    if (item.type === 'RelatedPerson') return okIf(holds(ask), 'W21');
    return okIf(mayReplace(ask, item), 'W3');
  }
  const still = ofHolder(caller) ? undefined : careWrites(ask, item.person);
  if (still !== undefined) return still;
  const passage = caller.kind === 'professional' ? gate(ask, item.person, caller) : undefined;
  const author = isAuthor(caller, item.filedBy);
  const attending = passage?.attending === true;
  const ownDeposit = caller.kind === 'patient' && item.filedBy.side === 'holder';
  const delegated =
    item.type === 'RelatedPerson' &&
    world.items.some(
      (one) =>
        one.type === 'Consent' &&
        one.kind === 'delegation' &&
        one.status === 'active' &&
        one.actors.some((a) => a.id === item.id),
    );
  const counted = labelsNow(ask, item).includes('INVISIBLE_PATIENT');
  switch (act.act) {
    case 'mask': // W4
      // open: that a delegation names a RelatedPerson (contract.md: 422) is not for a professional to learn, so they mask none
      if (!(holds(ask) || (passage?.passed === true && act.atHoldersRequest && item.type !== 'RelatedPerson')))
        return refuse(403, 'W4');
      if (delegated) return refuse(422, 'contract');
      return counted ? refuse(422, 'L1') : 'ok';
    case 'unmask': // W5
      return okIf(holds(ask) || author || attending, 'W5');
    case 'hide': {
      if (act.side === 'representatives') {
        if (!(author || ownDeposit)) return refuse(403, 'W6');
        if (delegated) return refuse(422, 'contract');
        return okIf(
          item.shownToRepresentatives !== true || item.labels.includes('INVISIBLE_REPRESENTANTS_LEGAUX'),
          'W6',
        );
      }
      const within = item.filedAt !== undefined && ask.now < monthAfter(Date.parse(item.filedAt));
      if (!author || !within) return refuse(403, 'W6');
      return item.labels.includes('MASQUE_PS') ? refuse(422, 'L1') : 'ok';
    }
    case 'release': // W6
      if (act.side === 'patient') return okIf(passage?.passed === true || author, 'W6');
      return okIf(author || attending || ownDeposit, 'W6');
  }
}

const holderKinds: readonly string[] = [
  'professional-access',
  'organization-access',
  'emergency-btg',
  'emergency-etreat',
  'emergency-masked',
  'care-team-default',
  'feed-opposition',
  'document-default',
  'profile-sharing',
];
const accessKinds: readonly string[] = ['professional-access', 'organization-access', 'attending-physician'];

/** A7: authorising an actor against whom a block stands is refused, whoever asks. */
function authorisesBlocked(ask: Ask, entry: Pick<ConsentItem, 'person' | 'kind' | 'provision' | 'actors'>): boolean {
  if (entry.provision !== 'permit' || !accessKinds.includes(entry.kind)) return false;
  return blockStands(ask, entry.person, entry.actors);
}

function consent(ask: Ask, act: Extract<Act, { act: 'consent' }>): 'ok' | Refusal {
  const { caller, world } = ask;
  const { entry } = act;
  const state = stateOf(world, entry.person, ask.now);
  const lifecycle = entry.kind === 'space-existence';
  if (caller.kind === 'feeder') return refuse(403, 'W9');
  if (caller.kind === 'operator') {
    if (!lifecycle || act.reason !== true) return refuse(403, 'W15');
  } else if (!(caller.kind === 'insurer' && lifecycle)) {
    const unseen = subject(ask, entry.person);
    if (unseen !== undefined) return unseen;
  }
  const who = mayConsent(ask, act, state);
  if (who !== 'ok') return who;
  if (!wellShaped(world, { ...entry, type: 'Consent', writtenBy: { side: 'operator' } })) return refuse(422, 'A0');
  return authorisesBlocked(ask, entry) ? refuse(409, 'A7') : 'ok';
}

/** W9 and W15: who writes an entry of which kind. */
function mayConsent(ask: Ask, act: Extract<Act, { act: 'consent' }>, state: string): 'ok' | Refusal {
  const { caller, world } = ask;
  const { entry } = act;
  switch (caller.kind) {
    case 'insurer': {
      if (entry.kind === 'space-existence') return 'ok';
      if (!['open', 'active'].includes(state)) return refuse(403, 'W15');
      if (entry.kind === 'attending-physician') return 'ok';
      if (entry.kind === 'delegation') return okIf(entry.delegationKind === 'legal' && act.ward === true, 'W15');
      const first = !world.items.some(
        (one) => one.type === 'Consent' && one.person === entry.person && one.kind === 'care-team-default',
      );
      return okIf(entry.kind === 'care-team-default' && first, 'W15');
    }
    case 'operator':
      return 'ok';
    case 'patient':
    case 'representative': {
      const closed = holderWrites(ask, entry.person);
      if (closed !== undefined) return closed;
      if (!holds(ask)) return refuse(403, 'W12');
      if (entry.kind === 'space-existence') return okIf(entry.state === 'closed', 'W15');
      if (entry.kind === 'delegation') return okIf(entry.delegationKind === 'caregiver', 'W9');
      return okIf(holderKinds.includes(entry.kind), 'W9');
    }
    case 'professional': {
      const still = careWrites(ask, entry.person);
      if (still !== undefined) return still;
      if (entry.kind !== 'professional-access' && entry.kind !== 'organization-access') return refuse(403, 'W9');
      const own = entry.actors.length === 1 && refsOf(caller).some((ref) => entry.actors.some((a) => sameRef(a, ref)));
      if (entry.provision === 'deny') {
        const another = entry.kind === 'professional-access' && !own;
        const attending = gate(ask, entry.person, caller).attending;
        return okIf(another && attending && act.atHoldersRequest === true, 'W9');
      }
      if (!own || world.policy.matrix[caller.profession]?.consult !== true) return refuse(403, 'W9');
      return act.declared === true ? 'ok' : refuse(422, 'W9');
    }
    default:
      return refuse(403, 'W9');
  }
}

function endConsent(ask: Ask, act: Extract<Act, { act: 'end-consent' }>): 'ok' | Refusal {
  const { caller } = ask;
  const entry = find(ask.world, 'Consent', act.id);
  const hidden = target(ask, entry);
  if (entry === undefined || hidden !== undefined) return hidden ?? refuse(404, 'section 5');
  switch (caller.kind) {
    case 'insurer': {
      if (entry.kind === 'space-existence') return 'ok';
      const late = !['open', 'active'].includes(stateOf(ask.world, entry.person, ask.now));
      const its =
        entry.kind === 'attending-physician' || (entry.kind === 'delegation' && entry.delegationKind === 'legal');
      return okIf(!late && its, 'W15');
    }
    case 'operator':
      return okIf(entry.kind === 'space-existence' && act.reason === true, 'W15');
    case 'patient':
    case 'representative': {
      const closed = holderWrites(ask, entry.person);
      if (closed !== undefined) return closed;
      if (!holds(ask)) return refuse(403, 'W12');
      const caregiver = entry.kind === 'delegation' && entry.delegationKind === 'caregiver';
      return okIf(holderKinds.includes(entry.kind) || caregiver || entry.kind === 'attending-physician', 'W9');
    }
    case 'professional': {
      const still = careWrites(ask, entry.person);
      if (still !== undefined) return still;
      const own = entry.actors.some((actor) => refsOf(caller).some((ref) => sameRef(ref, actor)));
      if (entry.kind === 'attending-physician') return okIf(own && gate(ask, entry.person, caller).attending, 'W15');
      const access = entry.kind === 'professional-access' || entry.kind === 'organization-access';
      const consults = ask.world.policy.matrix[caller.profession]?.consult === true;
      return okIf(access && own && entry.provision === 'permit' && inForce(ask, entry) && consults, 'W9');
    }
    default:
      return refuse(403, 'W9');
  }
}

/** W11. A thread is the chain of `inResponseTo` up to its first message. */
function message(ask: Ask, act: Extract<Act, { act: 'message' }>): 'ok' | Refusal {
  const { world, caller } = ask;
  if (caller.kind !== 'professional' && !ofHolder(caller)) return refuse(403, 'W11');
  const unseen = subject(ask, act.person);
  if (unseen !== undefined) return unseen;
  const state = stateOf(world, act.person, ask.now);
  const self: ActorRef =
    caller.kind === 'professional'
      ? { type: 'Practitioner', id: caller.person }
      : caller.kind === 'representative'
        ? { type: 'RelatedPerson', id: caller.related }
        : { type: 'Patient', id: act.person };
  const answered = act.inResponseTo === undefined ? undefined : find(world, 'Communication', act.inResponseTo);
  if (act.inResponseTo !== undefined) {
    const hidden = target(ask, answered);
    if (hidden !== undefined) return refuse(422, 'W11');
  }
  const thread = answered === undefined ? [] : threadOf(world, answered.id);
  const inThread = (ref: ActorRef): boolean =>
    thread.some((one) => sameRef(one.sender, ref) || sameRef(one.recipient, ref));
  if (thread.some((one) => one.closesThread === true)) return refuse(403, 'W11');
  if (caller.kind === 'professional') {
    const still = careWrites(ask, act.person);
    if (still !== undefined) return still;
    if (!['open', 'active'].includes(state)) return refuse(403, 'S1');
    // open: "those already in a thread" are others
    if (answered !== undefined)
      return okIf(inThread(self) && inThread(act.recipient) && !sameRef(act.recipient, self), 'W11');
    return okIf(sameRef(act.recipient, { type: 'Patient', id: act.person }), 'W11');
  }
  const closed = holderWrites(ask, act.person);
  if (closed !== undefined) return closed;
  if (caller.kind === 'representative' && delegation(ask)?.messages !== true) return refuse(403, 'W11');
  if (blockStands(ask, act.person, [act.recipient])) return refuse(403, 'W11');
  if (answered !== undefined) return okIf(act.recipient.type === 'Practitioner' && inThread(act.recipient), 'W11');
  if (act.recipient.type === 'Organization')
    return okIf(find(world, 'Organization', act.recipient.id)?.pharmacy === true, 'W11');
  const known = (['professional-access', 'attending-physician'] as const).some(
    (kind) => vote(ask, act.person, kind, [act.recipient]) === 'permit',
  );
  return okIf(act.recipient.type === 'Practitioner' && known, 'W11');
}

function threadOf(world: World, id: string): readonly Extract<Item, { type: 'Communication' }>[] {
  const messages = world.items.filter((item) => item.type === 'Communication');
  const rootOf = (one: (typeof messages)[number]): string => {
    const former = messages.find((other) => other.id === one.inResponseTo);
    return former === undefined ? one.id : rootOf(former);
  };
  const start = messages.find((one) => one.id === id);
  return start === undefined ? [] : messages.filter((one) => rootOf(one) === rootOf(start));
}

function patient(ask: Ask, act: Extract<Act, { act: 'patient' }>): 'ok' | Refusal {
  const { caller } = ask;
  if (act.change === 'create') return okIf(caller.kind === 'insurer' && caller.patient === undefined, 'W13');
  const item = find(ask.world, 'Patient', act.id);
  const hidden = target(ask, item);
  if (item === undefined || hidden !== undefined) return hidden ?? refuse(404, 'W13');
  switch (caller.kind) {
    case 'insurer':
      return okIf(act.change === 'traits', 'W13');
    case 'patient':
    case 'representative':
      return holderWrites(ask, item.id) ?? okIf(act.change === 'contacts' && holds(ask), 'W13');
    case 'feeder':
      return careWrites(ask, item.id) ?? okIf(act.change !== 'traits', 'W13');
    default:
      return refuse(403, 'W13');
  }
}

/** W16 and A7: creating a team. */
function team(ask: Ask, act: Extract<Act, { act: 'team' }>): 'ok' | Refusal {
  const { caller } = ask;
  if (caller.kind !== 'feeder' && caller.kind !== 'insurer') return refuse(403, 'W16');
  const unseen = subject(ask, act.person);
  if (unseen !== undefined) return unseen;
  if (caller.kind === 'feeder' && caller.structure !== act.structure) return refuse(403, 'W16');
  const state = stateOf(ask.world, act.person, ask.now);
  if (caller.kind === 'insurer' && !['open', 'active'].includes(state)) return refuse(403, 'W16');
  const still = caller.kind === 'feeder' ? careWrites(ask, act.person) : undefined;
  return still ?? teamBlocked(ask, act.person, act.structure, act.members) ?? 'ok';
}

function teamBlocked(ask: Ask, person: string, structure: string, members: readonly string[]): Refusal | undefined {
  const refs: readonly ActorRef[] = [
    { type: 'Organization', id: structure },
    ...members.map((id): ActorRef => ({ type: 'Practitioner', id })),
  ];
  return blockStands(ask, person, refs) ? refuse(409, 'A7') : undefined;
}

function changeTeam(ask: Ask, act: Extract<Act, { act: 'end-team' | 'add-member' | 'remove-member' }>): 'ok' | Refusal {
  const { caller, world } = ask;
  const item: CareTeamItem | undefined = find(world, 'CareTeam', act.id);
  const hidden = target(ask, item);
  if (item === undefined || hidden !== undefined) return hidden ?? refuse(404, 'W16');
  if (ofHolder(caller)) return holderWrites(ask, item.person) ?? okIf(act.act === 'remove-member' && holds(ask), 'W16');
  const its =
    caller.kind === 'feeder'
      ? item.writtenBy.side === 'feeder' && item.writtenBy.structure === caller.structure
      : caller.kind === 'insurer' && item.writtenBy.side === 'insurer';
  if (!its) return refuse(403, 'W16');
  const still = caller.kind === 'feeder' ? careWrites(ask, item.person) : undefined;
  if (still !== undefined) return still;
  return (act.act === 'add-member' ? teamBlocked(ask, item.person, item.structure, [act.member]) : undefined) ?? 'ok';
}

/** W17: creating, or changing one's own. */
function appoint(ask: Ask, act: Extract<Act, { act: 'appoint' }>): 'ok' | Refusal {
  const { caller } = ask;
  if (caller.kind === 'insurer' || caller.kind === 'operator') return refuse(403, 'W17');
  if (act.changes !== undefined) {
    const item = find(ask.world, 'Appointment', act.changes);
    const hidden = target(ask, item);
    if (item === undefined || hidden !== undefined) return hidden ?? refuse(404, 'W17');
    const { filedBy } = item;
    const its =
      isCreator(caller, filedBy) ||
      (caller.kind === 'patient' && filedBy.side === 'holder') ||
      (caller.kind === 'representative' && filedBy.side === 'representative' && filedBy.related === caller.related);
    if (!its) return refuse(403, 'W17');
  }
  const unseen = subject(ask, act.person);
  if (unseen !== undefined) return unseen;
  if (ofHolder(caller)) return holderWrites(ask, act.person) ?? 'ok';
  const part =
    (caller.kind === 'professional' && act.practitioners.includes(caller.person)) ||
    ((caller.kind === 'professional' || caller.kind === 'feeder') && act.structures.includes(caller.structure));
  return careWrites(ask, act.person) ?? okIf(part, 'W17');
}

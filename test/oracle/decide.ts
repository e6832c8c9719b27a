/**
 * A second implementation of the reading rules (`rules.md` sections 1 to 4 and 8), written from their text alone and
 * sharing no code with the server. Flat on purpose: a line a sentence. Where the text is open, the reading taken is the
 * one that discloses less, marked "open:".
 */
import {
  type Ask,
  blocked,
  delegation,
  find,
  type Gate,
  gate,
  inEmergency,
  inForce,
  isAuthor,
  isCreator,
  maskEverything,
  type Professional,
  personOf,
  refsOf,
  sameRef,
  stateOf,
  vote,
} from './facts.ts';
import { monthAfter, placeIn } from './time.ts';
import type {
  AppointmentItem,
  AuditEventItem,
  CommunicationItem,
  DocumentItem,
  ImmunizationItem,
  Instant,
  Item,
  Label,
  PayerItem,
  RelatedPersonItem,
  Verdict,
  World,
  WorldCaller,
  WorldPolicy,
} from './world.ts';

const yes = (...rules: readonly string[]): Verdict => ({ permit: true, rules });
const no = (...rules: readonly string[]): Verdict => ({ permit: false, rules });
const when = (permit: boolean, ...rules: readonly string[]): Verdict => ({ permit, rules });

const D3 = [
  'Condition',
  'AllergyIntolerance',
  'Procedure',
  'FamilyMemberHistory',
  'MedicationStatement',
  'Observation',
  'QuestionnaireResponse',
];
const D4 = ['ExplanationOfBenefit', 'Coverage'];
const D10 = ['Practitioner', 'PractitionerRole', 'Organization', 'HealthcareService', 'Location'];
/** D2: documents of this type are advance directives. */
export const DIRECTIVES = '42348-3';

/** Whether the caller may see an item (as if it were not deleted). */
export function maySee(world: World, caller: WorldCaller, item: Item, now: Instant): Verdict {
  return see({ world, caller, now }, item, false);
}

/** The status of a read by id: 200; 410 for a deleted item to whom it would be visible; else 404. */
export function readStatus(world: World, caller: WorldCaller, item: Item, now: Instant): 200 | 404 | 410 {
  if (!maySee(world, caller, item, now).permit) return 404;
  return item.deleted === true ? 410 : 200;
}

/** D8: the items of an event that this reader finds in it; undefined when the event is not shown. */
export function auditItems(
  world: World,
  caller: WorldCaller,
  event: AuditEventItem,
  now: Instant,
): AuditEventItem['items'] | undefined {
  const ask = { world, caller, now };
  if (!see(ask, event, false).permit) return undefined;
  return caller.kind === 'operator' ? event.items : event.items.filter((named) => readsItem(ask, named));
}

function readsItem(ask: Ask, named: { readonly type: string; readonly id: string }): boolean {
  // "a deleted item counts as if it were not; one that no longer exists is left out"; "the state of the space apart"
  const item = ask.world.items.find((one) => one.type === named.type && one.id === named.id);
  const deep = (ask.deep ?? 0) + 1;
  // open: of events that name events, two levels are looked at; what lies beyond counts as hidden
  if (item === undefined || (item.type === 'AuditEvent' && deep > 2)) return false;
  return see({ ...ask, deep }, item, true).permit;
}

/** Section 4 with sections 1 to 3; `stateApart` leaves S1 out, for the entities of D8. */
export function see(ask: Ask, item: Item, stateApart: boolean): Verdict {
  const { world, caller } = ask;
  // C5: an ETREAT token without `patient` opens the search by traits and nothing else (open: the directory neither)
  if (caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.patient === undefined) return no('C5');
  if (D10.includes(item.type)) return yes('D10');
  const person = personOf(world, item);
  const limit = caller.kind === 'patient' ? caller.person : caller.patient;
  // C6: a `patient` claim limits to that person; what is about no person stays closed
  if (limit !== undefined && limit !== person) return no('C6');
  if (person === undefined) return aboutNobody(caller, item);
  // C7: nothing of that person without a delegation in force
  if (caller.kind === 'representative' && (caller.actsFor !== person || delegation(ask) === undefined)) return no('C7');
  if (!stateApart && !stateAnswers(ask, person, item)) return no('S1');
  switch (caller.kind) {
    case 'patient':
    case 'representative':
      return holderSide(ask, person, item);
    case 'professional':
      return professional(ask, caller, item);
    case 'feeder':
      return feeder(ask, person, item);
    case 'insurer':
      if (item.type === 'Patient') return yes('D9');
      if (item.type === 'Consent')
        return when(
          item.kind === 'space-existence' || item.kind === 'attending-physician' || item.writtenBy.side === 'insurer',
          'D7',
        );
      if (item.type === 'CareTeam') return when(item.writtenBy.side === 'insurer', 'D11');
      return no();
    case 'operator':
      if (item.type === 'Consent') return when(item.kind === 'space-existence', 'D7');
      if (item.type === 'AuditEvent') return yes('D8');
      return when(item.type === 'Task', 'D12');
  }
}

/** What is about no person: a Binary that nothing refers to yet (its author only), an event about nobody, a Task. */
function aboutNobody(caller: WorldCaller, item: Item): Verdict {
  // open: contract.md says "only its author" of an upload; the one who sent it, not their structure
  if (item.type === 'Binary') return when(item.document === undefined && isCreator(caller, item.filedBy), 'D1');
  if (item.type === 'AuditEvent') return when(caller.kind === 'operator', 'D8');
  if (item.type !== 'Task') return no();
  if (caller.kind === 'operator') return yes('D12');
  return when(caller.kind === 'feeder' && item.depositedBy === caller.structure, 'D12');
}

/** S1 and S2: the table of section 2, for reading. */
function stateAnswers(ask: Ask, person: string, item: Item): boolean {
  const state = stateOf(ask.world, person, ask.now);
  switch (ask.caller.kind) {
    case 'patient':
    case 'representative':
      if (state === 'active') return true;
      return state === 'suspended' && ['Consent', 'AuditEvent', 'Patient'].includes(item.type);
    case 'professional':
    case 'feeder':
      if (state === 'active' || state === 'open') return true;
      return state === 'legacy-dmp' && item.type !== 'Communication';
    case 'insurer':
      if (state === 'active' || state === 'open') return true;
      return item.type === 'Patient' || (item.type === 'Consent' && item.kind === 'space-existence');
    case 'operator':
      return true;
  }
}

/** The columns Holder and Representative. */
function holderSide(ask: Ask, person: string, item: Item): Verdict {
  const column = ask.caller.kind === 'patient' ? 'holder' : 'representative';
  switch (item.type) {
    case 'DocumentReference':
      return labelGate(ask, item, [column], item.docType === DIRECTIVES ? 'D2' : 'D1');
    case 'Binary':
    case 'List':
    case 'Provenance':
      return companions(ask, item, (one) => labelGate(ask, one, [column], 'D1'));
    case 'Immunization':
    case 'RelatedPerson':
      return labelGate(ask, item, [column], 'D2');
    case 'ExplanationOfBenefit':
    case 'Coverage':
      return labelGate(ask, item, [column], 'D4');
    case 'Appointment':
      return labelGate(ask, item, [column], 'D6');
    case 'Communication':
      return message(ask, person, item);
    case 'AuditEvent':
      // W8, D8: acts done in secret connection are not for the representative
      if (ask.caller.kind === 'representative' && item.secret) return no('D8', 'W8');
      return when(item.items.length === 0 || item.items.some((named) => readsItem(ask, named)), 'D8');
    case 'Consent':
      return yes('D7');
    case 'Patient':
      return yes('D9');
    case 'CareTeam':
      return yes('D11');
    case 'Task':
      return no('D12');
    default:
      return when(D3.includes(item.type), 'D3');
  }
}

/** D5 for the holder's side: the representative sees what the holder sees, and their own, if the delegation includes messages. */
function message(ask: Ask, person: string, item: CommunicationItem): Verdict {
  const party = (type: 'Patient' | 'RelatedPerson', id: string): boolean =>
    [item.sender, item.recipient].some((one) => sameRef(one, { type, id }));
  if (ask.caller.kind === 'patient') return when(party('Patient', person), 'D5');
  if (ask.caller.kind !== 'representative' || delegation(ask)?.messages !== true) return no('D5', 'C7');
  if (item.secret === true) return no('D5', 'W8');
  return when(party('Patient', person) || party('RelatedPerson', ask.caller.related), 'D5');
}

/** The column Professional. */
function professional(ask: Ask, caller: Professional, item: Item): Verdict {
  const person = personOf(ask.world, item) ?? '';
  const passage = gate(ask, person, caller);
  const treat = caller.purpose === 'TREAT';
  switch (item.type) {
    case 'DocumentReference': {
      const full = document(ask, caller, item, passage);
      if (full.permit) return full;
      return when(passage.light && isAuthor(caller, item.filedBy), ...full.rules, 'D1a');
    }
    // D1a: "documents without their Binary" (open: without their List and Provenance too)
    case 'Binary':
    case 'List':
    case 'Provenance':
      return companions(ask, item, (one) => document(ask, caller, one, passage));
    case 'Immunization': {
      const full = gated(ask, caller, item, { passage, row: 'D2' });
      if (full.permit) return full;
      return when(passage.light && isAuthor(caller, item.filedBy), ...full.rules, 'D1a');
    }
    case 'RelatedPerson':
      return gated(ask, caller, item, { passage, row: 'D2' });
    case 'Patient':
      return yes('D9');
    default:
  }
  if (D3.includes(item.type)) {
    if (!passage.passed) return no(...passage.rules, 'D3');
    return when(vote(ask, person, 'profile-sharing', refsOf(caller)) === 'permit', ...passage.rules, 'D3');
  }
  // A6: emergency modes open D1, D1a, D2, D3, D9, D10 only
  if (!treat) return no('A6');
  switch (item.type) {
    case 'ExplanationOfBenefit':
    case 'Coverage':
      if (!ask.world.policy.payerDataToProfessionals) return no('D4');
      return gated(ask, caller, item, { passage, row: 'D4' });
    case 'Communication': {
      const self = { type: 'Practitioner', id: caller.person } as const;
      return when(passage.light && [item.sender, item.recipient].some((one) => sameRef(one, self)), 'A2', 'D5');
    }
    case 'Appointment': {
      const takesPart = item.practitioners.includes(caller.person) || item.structures.includes(caller.structure);
      if (!passage.light || !takesPart) return no('A2', 'D6');
      return labelGate(ask, item, columnsOf(caller, item, passage), 'D6');
    }
    case 'Consent': {
      const kinds = ['professional-access', 'organization-access', 'attending-physician'];
      if (!passage.light || !kinds.includes(item.kind) || !inForce(ask, item)) return no('A2', 'D7');
      const named = item.actors.some((actor) => refsOf(caller).some((ref) => sameRef(ref, actor)));
      return when(passage.passed || named, ...passage.rules, 'D7');
    }
    case 'AuditEvent': {
      const own = item.agent.type === 'Practitioner' && item.agent.id === caller.person;
      if (!passage.light || !(passage.attending || own)) return no('A2', 'D8');
      return when(item.items.length === 0 || item.items.some((named) => readsItem(ask, named)), 'D8');
    }
    case 'CareTeam': {
      if (passage.attending) return yes('A3', 'D11');
      const member =
        item.members.includes(caller.person) && item.status === 'active' && placeIn(item.period, ask.now) === 'in';
      return when(passage.light && member, 'A2', 'D11');
    }
    default:
      return no('D12');
  }
}

/** D1, or D2 for directives: gate, matrix (lifted in person), labels. */
function document(ask: Ask, caller: Professional, item: DocumentItem, passage: Gate): Verdict {
  if (item.docType === DIRECTIVES) return gated(ask, caller, item, { passage, row: 'D2' });
  const inPerson = isAuthor(caller, item.filedBy) && item.filedBy.person === caller.person;
  const read = ask.world.policy.matrix[caller.profession]?.read.includes(item.docType) === true;
  if (passage.passed && !read && !inPerson) return no(...passage.rules, 'D1');
  return gated(ask, caller, item, { passage, row: 'D1' });
}

type Labelled = DocumentItem | ImmunizationItem | RelatedPersonItem | PayerItem | AppointmentItem;

/** "gate; by label". */
function gated(
  ask: Ask,
  caller: Professional,
  item: Labelled,
  { passage, row }: { readonly passage: Gate; readonly row: string },
): Verdict {
  if (!passage.passed) return no(...passage.rules, row);
  const labels = labelGate(ask, item, columnsOf(caller, item, passage), row);
  return when(labels.permit, ...passage.rules, ...labels.rules);
}

type Column = 'author' | 'attending' | 'treat' | 'emergency' | 'holder' | 'representative';

/** The columns of the label table that apply to a professional. */
function columnsOf(caller: Professional, item: Labelled, passage: Gate): readonly Column[] {
  const author = item.type === 'Appointment' ? isCreator(caller, item.filedBy) : isAuthor(caller, item.filedBy);
  return [
    ...(author ? (['author'] as const) : []),
    ...(passage.attending ? (['attending'] as const) : []),
    inEmergency(caller) ? ('emergency' as const) : ('treat' as const),
  ];
}

/** The labels that count on an item now: its own, without an L2 past its month, and L1 while everything is masked. */
export function labelsNow(ask: Ask, item: Labelled): readonly Label[] {
  const own = item.labels.filter(
    (label) =>
      label !== 'INVISIBLE_PATIENT' || item.filedAt === undefined || ask.now < monthAfter(Date.parse(item.filedAt)),
  );
  const d1d2 = ['DocumentReference', 'Immunization', 'RelatedPerson'].includes(item.type);
  const masked = d1d2 && maskEverything(ask, item.person).some((entry) => entry.id !== item.unmaskedUnder);
  return masked && !own.includes('MASQUE_PS') ? [...own, 'MASQUE_PS'] : own;
}

/** The label table: the most favourable column, all labels together. */
function labelGate(ask: Ask, item: Labelled, columns: readonly Column[], row: string): Verdict {
  const rules = [row];
  let permit = true;
  for (const label of labelsNow(ask, item)) {
    const cell = cells[label];
    rules.push(cell.id);
    permit &&= columns.some(
      (column) => cell[column] === 'yes' || (cell[column] === 'if' && maskedInEmergency(ask, item)),
    );
  }
  if (rules.length === 1) rules.push('L0');
  return when(permit, ...rules);
}

const maskedInEmergency = (ask: Ask, item: Labelled): boolean => {
  const said = vote(ask, item.person, 'emergency-masked', refsOf(ask.caller));
  return said === 'permit' || (said !== 'deny' && ask.world.policy.emergencyMaskedUnlessDenied === true);
};

type Row = { readonly id: string } & Readonly<Record<Column, 'yes' | 'no' | 'if'>>;
const L1: Row = {
  id: 'L1',
  author: 'yes',
  attending: 'yes',
  treat: 'no',
  emergency: 'if',
  holder: 'yes',
  representative: 'yes',
};
const L2: Row = {
  id: 'L2',
  author: 'yes',
  attending: 'yes',
  treat: 'yes',
  emergency: 'yes',
  holder: 'no',
  representative: 'no',
};
const L3: Row = {
  id: 'L3',
  author: 'yes',
  attending: 'yes',
  treat: 'yes',
  emergency: 'yes',
  holder: 'yes',
  representative: 'no',
};
/** open: a label of TRE_A07 that the table does not list has no row that grants; authorship lifts labels. */
const unlisted: Row = {
  id: 'L?',
  author: 'yes',
  attending: 'no',
  treat: 'no',
  emergency: 'no',
  holder: 'no',
  representative: 'no',
};
const cells: Readonly<Record<Label, Row>> = {
  MASQUE_PS: L1,
  INVISIBLE_PATIENT: L2,
  INVISIBLE_REPRESENTANTS_LEGAUX: L3,
  MASQUE_PSOCIAL: unlisted,
  MASQUE_PT: unlisted,
};

/** "`Binary` and `Provenance` of a document follow it, a `List` the most hidden of its documents." */
function companions(
  ask: Ask,
  item: Extract<Item, { type: 'Binary' | 'List' | 'Provenance' }>,
  sight: (one: DocumentItem) => Verdict,
): Verdict {
  const ids = item.type === 'Binary' ? [item.document] : item.documents;
  const verdicts = ids.map((id) => {
    const one = find(ask.world, 'DocumentReference', id);
    return one === undefined || one.person !== personOf(ask.world, item) ? no('D1') : sight(one);
  });
  // open: of no document, it follows none
  return when(verdicts.length > 0 && verdicts.every((one) => one.permit), ...verdicts.flatMap((one) => one.rules));
}

/** The column "Others" for a feeder. */
function feeder(ask: Ask, person: string, item: Item): Verdict {
  if (ask.caller.kind !== 'feeder') return no();
  const { structure } = ask.caller;
  const light = !blocked(ask, person);
  switch (item.type) {
    case 'DocumentReference':
    case 'Immunization':
      return when(light && isAuthor(ask.caller, item.filedBy), 'D1a');
    case 'Appointment':
      return when(light && isCreator(ask.caller, item.filedBy), 'D6');
    case 'Patient':
      return yes('D9');
    case 'CareTeam':
      return when(light && item.structure === structure, 'D11');
    case 'Task':
      return when(item.depositedBy === structure, 'D12');
    default:
      return no();
  }
}

/** "A search of a type that no row gives to the caller's kind is 403, always." (For Patient, see `patientSearchAllowed`.) */
export function searchAllowed(caller: WorldCaller, type: string, policy: WorldPolicy): boolean {
  if (caller.kind === 'professional' && caller.purpose === 'ETREAT' && caller.patient === undefined)
    return type === 'Patient'; // C5
  if (D10.includes(type)) return true;
  switch (caller.kind) {
    case 'patient':
    case 'representative':
      return type !== 'Task';
    case 'professional':
      return type !== 'Task' && (!D4.includes(type) || policy.payerDataToProfessionals);
    case 'feeder':
      return ['DocumentReference', 'Immunization', 'Appointment', 'Patient', 'CareTeam', 'Task'].includes(type);
    case 'insurer':
      return ['Patient', 'Consent', 'CareTeam'].includes(type);
    case 'operator':
      return ['AuditEvent', 'Consent', 'Task'].includes(type);
  }
}

/** What a search of Patient is made by. */
export type PatientSearch = {
  readonly id?: string;
  /** `system|value`, the system given. */
  readonly ins?: string;
  readonly family?: string;
  readonly birthdate?: string;
};

/** D9: who may search Patient, and by what, known before any data. */
export function patientSearchAllowed(caller: WorldCaller, by: PatientSearch): boolean {
  const exact = by.id !== undefined || /^[^|]+\|[^|]+$/.test(by.ins ?? '');
  switch (caller.kind) {
    case 'patient':
    case 'representative':
      return true;
    case 'professional': {
      const traits = caller.purpose === 'ETREAT' && by.family !== undefined && by.birthdate !== undefined;
      return traits || (exact && !(caller.purpose === 'ETREAT' && caller.patient === undefined));
    }
    case 'feeder':
    case 'insurer':
      return exact;
    case 'operator':
      return false;
  }
}

/** D9, the one sight an ETREAT token without `patient` has: what its search by traits finds. */
export function foundByTraits(world: World, caller: WorldCaller, person: string, now: Instant): boolean {
  if (caller.kind !== 'professional' || caller.purpose !== 'ETREAT') return false;
  const state = stateOf(world, person, now);
  return (
    (caller.patient === undefined || caller.patient === person) && ['active', 'open', 'legacy-dmp'].includes(state)
  );
}

/** D6, W17: appointments. Each side changes what it created; a structure takes part through what belongs to it. */
import { systemGuard } from '../../access/decision.ts';
import { HIDDEN_FROM_REPRESENTATIVES } from '../../access/rules/labels.ts';
import { appointmentRows, callerName } from '../../access/rules/space.ts';
import { asArray, asObject, referenceOf, sameJson } from '../../fhir/json.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import { type Ref, type Resource, refOf } from '../../fhir/types.ts';
import type { Filing } from '../../ports/store.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import { filedBy, keyOf, parsed, seen, type Work, type Writing } from '../work.ts';
import { aboutPerson, filingMarks, forbidden, isHolderSide, merge, unresolved } from './filing.ts';
import { checkLabels, labelMarks, labelsOf, sameLabels, withLabels } from './labels.ts';
import { inTreat, notBlockedHere, standsFor, stateAllows } from './writing.ts';

const actorsOf = (appointment: Resource): readonly string[] =>
  asArray(appointment['participant'])
    .map((p) => referenceOf(asObject(p)?.['actor']))
    .filter((a) => a !== undefined);

/** By which element each type of actor belongs to a structure. */
const STRUCTURE_OF: Readonly<Record<string, string>> = {
  PractitionerRole: 'organization',
  HealthcareService: 'providedBy',
  Location: 'managingOrganization',
};

/** Who takes part: the persons and the structures behind the actors (contract.md "Teams, appointments, messages"). */
async function participantsOf(work: Writing, appointment: Resource): Promise<readonly string[]> {
  const found: string[] = [];
  for (const actor of actorsOf(appointment)) {
    const key = keyOf(actor);
    if (key.type === 'Practitioner') found.push(actor);
    const element = STRUCTURE_OF[key.type];
    if (element === undefined || !work.deps.declarations.has(key.type)) continue;
    const entry = await work.unit.read(key, systemGuard(key.type, 'directory'));
    if (entry === undefined || entry.deleted) continue;
    const structure = referenceOf(parsed(entry)[element]);
    const person = key.type === 'PractitionerRole' ? referenceOf(parsed(entry)['practitioner']) : undefined;
    found.push(...[structure, person].filter((r) => r !== undefined));
  }
  return found;
}

async function check(work: Work, appointment: Resource): Promise<Result<Ref>> {
  const at = 'Appointment.participant.actor';
  const actors = actorsOf(appointment);
  const persons = actors.filter((a) => a.startsWith('Patient/'));
  const [only] = persons;
  if (persons.length !== 1 || only === undefined)
    return unprocessable('one Patient takes part, and one only', at, 'W17');
  const person = await aboutPerson(work, { reference: only }, at);
  if (!person.ok) return person;
  for (const actor of actors) {
    if (actor === only) continue;
    const found = await seen(work, keyOf(actor));
    if (found === undefined || found.deleted || refOf(found) !== actor) return unresolved(actor, at);
  }
  return person;
}

/** A professional or a feeder takes part, in person or through the structure acted for. */
async function takesPart(work: Work, appointment: Resource): Promise<boolean> {
  const participants = await participantsOf(work, appointment);
  const { caller } = work;
  return participants.some(
    (p) =>
      (caller.kind === 'professional' && p === caller.self) ||
      (caller.structure !== undefined && p === caller.structure),
  );
}

async function mayWrite(work: Work, person: Ref, appointment: Resource): Promise<Result<void>> {
  if (isHolderSide(work)) {
    if (!(await standsFor(work, person, ['legal', 'caregiver']))) return forbidden('W17', 'no delegation stands');
    return stateAllows(work, person, 'holder');
  }
  const treat = inTreat(work);
  if (!treat.ok) return treat;
  if (work.caller.kind !== 'professional' && work.caller.kind !== 'feeder') {
    return forbidden('W17', 'this caller makes no appointment');
  }
  const state = await stateAllows(work, person, 'professional');
  if (!state.ok) return state;
  if (!(await notBlockedHere(work, person))) return forbidden('A2', 'blocked');
  return (await takesPart(work, appointment))
    ? ok(undefined)
    : forbidden('W17', 'a professional or a structure makes appointments in which it takes part');
}

async function create(work: Work, appointment: Resource): Promise<Result<Accepted>> {
  const person = await check(work, appointment);
  if (!person.ok) return person;
  const allowed = await mayWrite(work, person.value, appointment);
  if (!allowed.ok) return allowed;
  const labels = checkLabels(appointment);
  if (!labels.ok) return labels;
  const set = new Set(labelsOf(appointment));
  if (set.size > 0 && isHolderSide(work)) {
    return unprocessable('the holder sets no label on an appointment', 'Appointment.meta.security', 'W17');
  }
  if (work.caller.claims.secret) set.add(HIDDEN_FROM_REPRESENTATIVES);
  return ok({ resource: withLabels(appointment, set), owner: person.value, filing: creatorOf(work) });
}

/** D6: the "author" is the creator: a professional in person, a feeder for its structure. */
const creatorOf = (work: Work): Filing => ({
  ...filedBy(work),
  ...(work.caller.kind === 'professional' && work.caller.self !== undefined ? { authorPerson: work.caller.self } : {}),
  ...(work.caller.kind === 'feeder' && work.caller.structure !== undefined
    ? { authorStructure: work.caller.structure }
    : {}),
});

const createdByCaller = (work: Work, filing: Filing): boolean =>
  work.caller.kind === 'feeder'
    ? filing.side === 'feeder' && filing.authorStructure === work.caller.structure
    : filing.by === callerName(work.caller);

async function update(work: Work, change: Change, appointment: Resource): Promise<Result<Accepted>> {
  const owner = change.before.owner ?? ('Patient/' as Ref);
  if (!createdByCaller(work, change.before.filing)) {
    const treat = inTreat(work);
    return treat.ok ? forbidden('W17', 'an appointment is changed by who created it') : treat;
  }
  const person = await check(work, appointment);
  if (!person.ok) return person;
  if (person.value !== owner)
    return unprocessable('the person whom this is about cannot change', 'Appointment.participant', 'W10');
  if (!sameJson(change.current['identifier'], appointment['identifier'])) {
    return unprocessable('identifiers cannot be changed', 'Appointment.identifier', 'W10');
  }
  const allowed = await mayWrite(work, owner, appointment);
  if (!allowed.ok) return allowed;
  if (!sameLabels(labelsOf(change.current), labelsOf(appointment))) {
    return unprocessable('labels are set when an appointment is made', 'Appointment.meta.security', 'W10');
  }
  return ok({ resource: appointment, owner, filing: change.before.filing });
}

export const appointment: TypeDeclaration = {
  type: 'Appointment',
  row: 'D6',
  about: 'person',
  rows: appointmentRows,
  writes: { create, update },
  marks: async (work, resource, filing) =>
    merge(
      {
        terms: [
          ...filingMarks(filing),
          ...(await participantsOf(work, resource)).map((p) => ['_participant', p] as const),
        ],
        ranges: [],
      },
      labelMarks(resource, filing),
    ),
  feedsSpace: false,
  bySight: [],
};

/** D11, W16: care teams of a stay, of the establishment that runs it, or of the insurer. */
import { callerName, careTeamRows } from '../../access/rules/space.ts';
import { careTeamMembers, careTeamStructure, denied } from '../../access/space.ts';
import { asArray, asObject, referenceOf, sameJson } from '../../fhir/json.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import { type Ref, type Resource, refOf } from '../../fhir/types.ts';
import { NONE, or, owner } from '../../query/predicate.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import { filedBy, holds, keyOf, seen, type Work } from '../work.ts';
import { aboutPerson, conflict, filingMarks, forbidden, patientRef, unresolved } from './filing.ts';
import { refuseLabels } from './labels.ts';
import { decidesFor, inTreat, notBlockedHere, stateAllows } from './writing.ts';

const membersOf = (team: Resource): readonly string[] =>
  asArray(team['participant'])
    .map((p) => referenceOf(asObject(p)?.['member']))
    .filter((m) => m !== undefined);

/** The shape of contract.md: one structure, known; members known; no label. */
async function checkShape(work: Work, team: Resource): Promise<Result<string>> {
  const labelled = refuseLabels(team);
  if (!labelled.ok) return labelled;
  const structures = asArray(team['managingOrganization']);
  const structure = careTeamStructure(team);
  if (structures.length !== 1 || structure === undefined) {
    return unprocessable('a care team has one managingOrganization', 'CareTeam.managingOrganization');
  }
  for (const [ref, at] of [
    [structure, 'CareTeam.managingOrganization'] as const,
    ...membersOf(team).map((m) => [m, 'CareTeam.participant.member'] as const),
  ]) {
    const found = await seen(work, keyOf(ref));
    if (found === undefined || found.deleted || refOf(found) !== ref) return unresolved(ref, at);
  }
  return ok(structure);
}

/**
 * A7: no care team of, and no new member for, a structure against which a block stands, whoever asks. Membership is a ground of A3, so
 * that making a blocked professional a member would authorise them.
 */
const blockStands = (work: Work, person: Ref, structure: string, members: readonly string[]): Promise<boolean> =>
  holds(
    work,
    person,
    owner(
      or(
        denied('organization-access', [structure], work.now),
        members.length === 0 ? NONE : denied('professional-access', members, work.now),
      ),
    ),
  );

async function create(work: Work, team: Resource): Promise<Result<Accepted>> {
  const { caller } = work;
  if (caller.kind !== 'feeder' && caller.kind !== 'insurer') {
    const treat = inTreat(work);
    return treat.ok ? forbidden('W16', 'the establishment or the insurer writes care teams') : treat;
  }
  const person = await aboutPerson(work, team['subject'], 'CareTeam.subject');
  if (!person.ok) return person;
  const state = await stateAllows(work, person.value, caller.kind === 'feeder' ? 'professional' : 'insurer');
  if (!state.ok) return state;
  const structure = await checkShape(work, team);
  if (!structure.ok) return structure;
  if (caller.kind === 'feeder' && structure.value !== caller.structure) {
    return forbidden('W16', 'a feeder writes the care teams of its own structure');
  }
  if (await blockStands(work, person.value, structure.value, membersOf(team))) return conflict('a block stands', 'A7');
  return ok({ resource: team, owner: person.value, filing: filedBy(work) });
}

/** The holder's side takes members out, and does nothing else. */
function onlyRemovesMembers(before: Resource, after: Resource): boolean {
  const { participant: was, meta: _m, text: _t, ...rest } = before;
  const { participant: is, meta: _n, text: _u, ...restAfter } = after;
  const left = asArray(is);
  return sameJson(rest, restAfter) && left.every((p) => asArray(was).some((q) => sameJson(p, q)));
}

async function update(work: Work, change: Change, team: Resource): Promise<Result<Accepted>> {
  const { caller } = work;
  const person = change.before.owner ?? ('Patient/' as Ref);
  const accepted = { resource: team, owner: person, filing: change.before.filing };
  if (patientRef(team['subject']) !== person || careTeamStructure(team) !== careTeamStructure(change.current)) {
    return unprocessable('the person and the structure of a care team cannot change', 'CareTeam.subject', 'W10');
  }
  if (!sameJson(team['identifier'], change.current['identifier'])) {
    return unprocessable('identifiers cannot be changed', 'CareTeam.identifier', 'W10');
  }
  if (await decidesFor(work, person)) {
    const state = await stateAllows(work, person, 'holder');
    if (!state.ok) return state;
    return onlyRemovesMembers(change.current, team)
      ? ok(accepted)
      : forbidden('W16', 'the holder removes members, and neither adds nor ends');
  }
  const filing = change.before.filing;
  const wrote =
    caller.kind === 'insurer'
      ? filing.by === callerName(caller)
      : caller.kind === 'feeder' && filing.side === 'feeder' && careTeamStructure(change.current) === caller.structure;
  if (!wrote) {
    const treat = inTreat(work);
    return treat.ok ? forbidden('W16', 'a care team is changed by who wrote it') : treat;
  }
  const state = await stateAllows(work, person, caller.kind === 'feeder' ? 'professional' : 'insurer');
  if (!state.ok) return state;
  if (caller.kind === 'feeder' && !(await notBlockedHere(work, person)))
    return forbidden('A2', 'the structure is blocked');
  const structure = await checkShape(work, team);
  if (!structure.ok) return structure;
  const known = new Set(membersOf(change.current));
  const revived = change.current['status'] !== 'active' && team['status'] === 'active';
  const added = revived ? membersOf(team) : membersOf(team).filter((m) => !known.has(m));
  if ((revived || added.length > 0) && (await blockStands(work, person, structure.value, added))) {
    return conflict('a block stands', 'A7');
  }
  return ok(accepted);
}

export const careTeam: TypeDeclaration = {
  type: 'CareTeam',
  row: 'D11',
  about: 'person',
  rows: careTeamRows,
  writes: { create, update },
  marks: async (_work, team, filing) => {
    const structure = careTeamStructure(team);
    return {
      terms: [
        ...filingMarks(filing),
        ...(structure === undefined ? [] : [['_structure', structure] as const]),
        ...(team['status'] === 'active' ? [['_active', '1'] as const] : []),
      ],
      ranges: careTeamMembers(team).map((m) => ({ param: `_member:${m.member}`, lo: m.lo, hi: m.hi })),
    };
  },
  feedsSpace: true,
  bySight: [],
};

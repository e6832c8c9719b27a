/** D9, W13: identity. The insurer holds INS and traits; the person's side and the feeders change what is theirs, element by element. */
import { patientRows } from '../../access/rules/space.ts';
import { INS_SYSTEMS } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, sameJson } from '../../fhir/json.ts';
import { ok, type Result } from '../../fhir/result.ts';
import { systemAndCode } from '../../fhir/search-value.ts';
import type { Json, Resource } from '../../fhir/types.ts';
import { or, term } from '../../query/predicate.ts';
import { type Accepted, type Change, NO_MARKS, type TypeDeclaration } from '../declaration.ts';
import { everyMatch, filedBy, type Work } from '../work.ts';
import { conflict, forbidden } from './filing.ts';
import { refuseLabels } from './labels.ts';
import { decidesFor, inTreat, notBlockedHere, stateAllows } from './writing.ts';

/** Elements that each side may change (W13). */
const HOLDER_ELEMENTS = ['contact', 'telecom', 'address', 'communication'];
const FEEDER_ELEMENTS = ['contact', 'telecom', 'identifier'];
/** Never a person's content: narrative and metadata follow the rest. */
const ALWAYS = ['id', 'meta', 'text', 'resourceType'];

const isIns = (identifier: Json): boolean => INS_SYSTEMS.includes(asText(asObject(identifier)?.['system']) ?? '');

/** An INS names one person: two records for one identity would split their space. */
async function insFree(work: Work, resource: Resource, id: string | undefined): Promise<Result<void>> {
  const ins = asArray(resource['identifier']).filter(isIns).map(asObject);
  if (ins.length === 0) return ok(undefined);
  const found = await everyMatch(work, 'Patient', [
    or(...ins.map((i) => term('identifier', systemAndCode(asText(i?.['system']) ?? '', asText(i?.['value']) ?? '')))),
  ]);
  return found.some((p) => p.id !== id)
    ? conflict('a person with this INS is already registered', 'W13')
    : ok(undefined);
}

const changedElements = (before: Resource, after: Resource): readonly string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (name) => !ALWAYS.includes(name) && !sameJson(before[name], after[name]),
  );

async function update(work: Work, change: Change, resource: Resource): Promise<Result<Accepted>> {
  const person = `Patient/${change.before.id}` as const;
  const labelled = refuseLabels(resource);
  if (!labelled.ok) return labelled;
  const accepted = { resource, owner: person, filing: change.before.filing };
  const changed = changedElements(change.current, resource);
  const unless = (foreign: string | undefined): Result<Accepted> =>
    foreign === undefined ? ok(accepted) : forbidden('W13', `\`${foreign}\` is not this caller's to change`);
  const only = (allowed: readonly string[]): Result<Accepted> =>
    unless(changed.find((name) => !allowed.includes(name.replace(/^_/, ''))));
  const identifiers = (r: Resource, ins: boolean) => asArray(r['identifier']).filter((i) => isIns(i) === ins);
  switch (work.caller.kind) {
    case 'insurer': {
      const free = await insFree(work, resource, change.before.id);
      if (!free.ok) return free;
      if (!sameJson(identifiers(change.current, false), identifiers(resource, false))) return unless('identifier');
      return unless(changed.find((name) => HOLDER_ELEMENTS.includes(name.replace(/^_/, ''))));
    }
    case 'patient':
    case 'representative': {
      if (!(await decidesFor(work, person))) return forbidden('W12', 'a caregiver does not change the identity');
      const state = await stateAllows(work, person, 'holder');
      return state.ok ? only(HOLDER_ELEMENTS) : state;
    }
    case 'feeder': {
      const state = await stateAllows(work, person, 'professional');
      if (!state.ok) return state;
      if (!(await notBlockedHere(work, person))) return forbidden('A2', 'the structure is blocked');
      if (!sameJson(identifiers(change.current, true), identifiers(resource, true))) {
        return forbidden('W13', 'a feeder never changes the INS');
      }
      return only(FEEDER_ELEMENTS);
    }
    default: {
      const treat = inTreat(work);
      return treat.ok ? forbidden('W13', "the identity is not this caller's to change") : treat;
    }
  }
}

export const patient: TypeDeclaration = {
  type: 'Patient',
  row: 'D9',
  about: 'person',
  rows: patientRows,
  writes: {
    create: async (work, resource, id) => {
      if (work.caller.kind !== 'insurer') return forbidden('W13', 'the insurer registers persons');
      if (work.caller.person !== undefined) {
        return forbidden('C6', 'this token is limited to one person, who is registered already');
      }
      const labelled = refuseLabels(resource);
      if (!labelled.ok) return labelled;
      const free = await insFree(work, resource, undefined);
      if (!free.ok) return free;
      return ok({ resource, owner: `Patient/${id}`, filing: filedBy(work) });
    },
    update,
  },
  marks: async () => NO_MARKS,
  feedsSpace: true,
  bySight: [],
};

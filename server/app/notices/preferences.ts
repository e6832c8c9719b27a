/**
 * O2: which notices a person does not want. `Patient/[id]/$notification-preferences` reads and sets them; accesses and emergencies are not among
 * them. Kept as a resource of a type that no route, search or rule knows, with its versions: who changed what, when, stays known.
 */
import { systemGuard } from '../../access/decision.ts';
import { asArray, asObject, asText } from '../../fhir/json.ts';
import { fail, malformed, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { JsonObject, Key, Ref } from '../../fhir/types.ts';
import type { StoreUnit } from '../../ports/store.ts';
import type { Answer } from '../answer.ts';
import { code, flag, group, parametersText } from '../interactions/parameters.ts';
import { inScope } from '../interactions/read.ts';
import type { FhirRequest } from '../request.ts';
import { forbidden } from '../types/filing.ts';
import { decidesFor, stateAllows } from '../types/writing.ts';
import { filedBy, seen, type Work } from '../work.ts';
import { NOTICE_CODES, type NoticeCode, SWITCHABLE } from './notice.ts';

/** Not a resource type: nothing declares it, so nothing but this file reaches it. */
const TYPE = '$notification-preferences';

const keyFor = (person: Ref): Key => ({ type: TYPE, id: person.slice('Patient/'.length) });

const stored = (unit: StoreUnit, person: Ref) => unit.read(keyFor(person), systemGuard(TYPE, 'jobs'));

/** The codes that the person switched off. */
export async function switchedOff(unit: StoreUnit, person: Ref): Promise<ReadonlySet<string>> {
  const version = await stored(unit, person);
  const off = version === undefined ? [] : asArray((JSON.parse(version.body) as JsonObject)['off']);
  return new Set(off.map(asText).filter((c) => c !== undefined));
}

async function keep(work: Work, person: Ref, off: ReadonlySet<string>): Promise<void> {
  const before = await stored(work.unit, person);
  work.written.any = true;
  await work.unit.put({
    key: keyFor(person),
    versionId: String(Number(before?.versionId ?? '0') + 1),
    lastUpdated: work.now,
    deleted: false,
    owner: person,
    body: JSON.stringify({ off: SWITCHABLE.filter((c) => off.has(c)) }),
    entry: { terms: [], strings: [], ranges: [], sort: [] },
    filing: filedBy(work),
  });
}

/** What the body asks for: code → whether to be told; refused by name where it cannot be. */
function readChanges(request: FhirRequest): Result<ReadonlyMap<NoticeCode, boolean>> {
  const changes = new Map<NoticeCode, boolean>();
  const body = request.body.kind === 'json' ? asObject(request.body.value) : undefined;
  if (request.body.kind !== 'none' && body?.['resourceType'] !== 'Parameters')
    return malformed('the body is a Parameters resource');
  for (const parameter of asArray(body?.['parameter']).map(asObject)) {
    const parts = asArray(parameter?.['part']).map(asObject);
    const named = asText(parts.find((p) => p?.['name'] === 'code')?.['valueCode']) ?? '';
    const told = parts.find((p) => p?.['name'] === 'notify')?.['valueBoolean'];
    if (parameter?.['name'] !== 'preference' || parts.length !== 2 || typeof told !== 'boolean')
      return malformed('each parameter is a `preference` with the parts `code` (code) and `notify` (boolean)');
    if (!Object.hasOwn(NOTICE_CODES, named))
      return unprocessable(`the code \`${named}\` is not a notice`, 'Parameters.parameter.part', 'O2');
    const known = named as NoticeCode;
    if (!SWITCHABLE.includes(known))
      return unprocessable(`\`${named}\` cannot be switched off or on`, 'Parameters.parameter.part', 'O2');
    if (changes.has(known)) return malformed(`the code \`${named}\` stands once`);
    changes.set(known, told);
  }
  return ok(changes);
}

/** GET tells, POST changes and tells. For the holder and legal representatives: a caregiver manages nothing (W12). */
export async function notificationPreferences(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const sets = request.method === 'POST' && request.body.kind !== 'none';
  const scope = inScope(work, sets ? 'u' : 'r', 'Patient');
  if (!scope.ok) return scope;
  const changes = readChanges(request);
  if (!changes.ok) return changes;
  const [unknown] = request.query.filter(([name]) => name !== '_format' && name !== '_pretty');
  if (unknown !== undefined) return malformed(`the parameter \`${unknown[0]}\` cannot be read here`, unknown[0]);
  const person: Ref = `Patient/${key.id}`;
  const patient = await seen(work, key);
  if (patient === undefined) return fail({ code: 'not-found' });
  if (patient.deleted) return fail({ code: 'gone' });
  if (work.caller.kind !== 'patient' && work.caller.kind !== 'representative')
    return forbidden('O2', 'the person chooses what they are told');
  if (!(await decidesFor(work, person))) return forbidden('W12', 'a caregiver does not manage the space');
  const off = new Set(await switchedOff(work.unit, person));
  if (sets) {
    const state = await stateAllows(work, person, 'holder');
    if (!state.ok) return state;
    for (const [named, told] of changes.value) {
      if (told) off.delete(named);
      else off.add(named);
    }
    await keep(work, person, off);
  }
  work.traces.push({ owner: person, item: person, ...(sets ? { rule: 'O2' } : {}) });
  work.asked.add('Patient');
  const preferences = (Object.keys(NOTICE_CODES) as NoticeCode[]).map((c) =>
    group('preference', [code('code', c), flag('notify', !off.has(c)), flag('switchable', SWITCHABLE.includes(c))]),
  );
  return ok({ status: 200, body: parametersText(preferences) });
}

/**
 * W1: a feed whose identity is not that of the person is never attached; it leaves a Task for the operator (D12). The Task holds the
 * identity that was sent and what names the deposit, and nothing of the document itself.
 */

import { callerName } from '../../access/rules/space.ts';
import { EXTENSION, INS_SYSTEMS, SYSTEM } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, referenceOf } from '../../fhir/json.ts';
import type { Quarantine, QuarantineReason } from '../../fhir/result.ts';
import type { Json, JsonObject, Resource } from '../../fhir/types.ts';
import { term } from '../../query/predicate.ts';
import { everyMatch, parsed, save, type Work } from '../work.ts';
import { authorOf } from './filing.ts';

/** Extensions of a Patient that belong to their identity. */
const IDENTITY_EXTENSIONS: readonly string[] = [EXTENSION.identityReliability, EXTENSION.birthPlace];

/** The traits of the identity alone: what the operator compares, and no address, contact or anything else. */
function traitsOnly(patient: JsonObject): JsonObject {
  const keep = (name: string, wanted: (item: JsonObject) => boolean): JsonObject => {
    const kept = asArray(patient[name])
      .map(asObject)
      .filter((item) => item !== undefined && wanted(item));
    return kept.length === 0 ? {} : { [name]: kept as readonly Json[] };
  };
  const { gender, birthDate } = patient;
  return {
    resourceType: 'Patient',
    id: 'identity',
    ...keep('extension', (e) => IDENTITY_EXTENSIONS.includes(asText(e['url']) ?? '')),
    ...keep('identifier', (i) => INS_SYSTEMS.includes(asText(i['system']) ?? '')),
    ...keep('name', () => true),
    ...(gender === undefined ? {} : { gender }),
    ...(birthDate === undefined ? {} : { birthDate }),
  };
}

/** The contained Patient that a document names as its source. */
export function declaredIdentity(document: JsonObject): JsonObject | undefined {
  const local = referenceOf(asObject(document['context'])?.['sourcePatientInfo']);
  return asArray(document['contained'])
    .map(asObject)
    .find((r) => r?.['resourceType'] === 'Patient' && local === `#${asText(r['id'])}`);
}

/** What a refusal carries, for whoever feeds; a deposit of the holder's side is their own and is not put aside. */
export function quarantineOf(
  work: Work,
  found: { readonly reason: QuarantineReason; readonly document?: JsonObject } & Partial<Quarantine>,
): { readonly quarantine?: Quarantine } {
  if (work.caller.kind !== 'professional' && work.caller.kind !== 'feeder') return {};
  const { document } = found;
  return {
    quarantine: {
      reason: found.reason,
      identity: found.identity ?? (document === undefined ? undefined : declaredIdentity(document)),
      masterIdentifier: asObject(document?.['masterIdentifier']),
      person: found.person,
    },
  };
}

const input = (code: string, value: JsonObject): JsonObject => ({
  type: { coding: [{ system: SYSTEM.taskKind, code }] },
  ...value,
});

/** The Task, as the operator and the sender read it. */
function taskOf(work: Work, { reason, identity, masterIdentifier, person }: Quarantine): Resource {
  const by = work.caller.structure ?? work.caller.self;
  const inputs = [
    ...(identity === undefined ? [] : [input('identity', { valueReference: { reference: '#identity' } })]),
    ...(masterIdentifier === undefined ? [] : [input('document', { valueIdentifier: masterIdentifier })]),
  ];
  return {
    resourceType: 'Task',
    ...(identity === undefined ? {} : { contained: [traitsOnly(identity)] }),
    status: 'requested',
    intent: 'order',
    code: { coding: [{ system: SYSTEM.taskKind, code: 'identity-quarantine' }] },
    ...(person === undefined ? {} : { for: { reference: person } }),
    authoredOn: new Date(work.now).toISOString(),
    ...(by === undefined ? {} : { requester: { reference: by } }),
    reasonCode: { coding: [{ system: SYSTEM.quarantineReason, code: reason }] },
    ...(inputs.length === 0 ? {} : { input: inputs }),
  };
}

/** One Task for each structure, document and reason. */
const keyText = (work: Work, { reason, masterIdentifier }: Quarantine): string =>
  [
    work.caller.structure ?? callerName(work.caller),
    asText(masterIdentifier?.['system']) ?? '',
    asText(masterIdentifier?.['value']) ?? '',
    reason,
  ].join('|');

/** Marks of a quarantine Task: the key under which it stands once. */
export const quarantineMark = (task: Resource): readonly (readonly [string, string])[] => {
  const inputs = asArray(task['input']).map(asObject);
  const document = asObject(inputs.find((i) => i?.['valueIdentifier'] !== undefined)?.['valueIdentifier']);
  const reason = asText(asObject(asArray(asObject(task['reasonCode'])?.['coding'])[0])?.['code']) ?? '';
  const by = referenceOf(task['requester']) ?? '';
  const parts = [by, asText(document?.['system']) ?? '', asText(document?.['value']) ?? '', reason];
  return [['_quarantine', parts.join('|')]];
};

/** Files the Task of a refused feed, in the unit that records the refusal; an open one of the same deposit and reason stands for both. */
export async function fileQuarantine(work: Work, quarantine: Quarantine): Promise<void> {
  const same = await everyMatch(work, 'Task', [term('_quarantine', keyText(work, quarantine))]);
  if (same.some((task) => parsed(task)['status'] === 'requested')) return;
  await save(work, {
    key: { type: 'Task', id: work.newId() },
    before: undefined,
    resource: taskOf(work, quarantine),
    owner: quarantine.person,
    filing: { ...authorOf(work), side: 'server' },
  });
}

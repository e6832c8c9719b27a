/**
 * W1: a feed whose identity is not that of the person is never attached; it leaves a Task for the operator (D12). The Task holds the
 * identity that was sent and what names the deposit, and nothing of the document itself.
 */

import { EXTENSION, INS_SYSTEMS, SYSTEM } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, referenceOf } from '../../fhir/json.ts';
import type { Quarantine, QuarantineReason } from '../../fhir/result.ts';
import type { Json, JsonObject, Resource } from '../../fhir/types.ts';
import { term } from '../../query/predicate.ts';
import { everyMatch, parsed, type Work } from '../work.ts';
import { quarantine, quarantineKey } from './task.ts';

/** Extensions of a Patient that belong to their identity. */
const IDENTITY_EXTENSIONS: readonly string[] = [EXTENSION.identityReliability, EXTENSION.birthPlace];

/** The traits of the identity alone: what the operator compares, and no address, contact or anything else. */
function traitsOnly(patient: JsonObject): Resource {
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

const input = (code: string) => ({ coding: [{ system: SYSTEM.taskInput, code }] });

/** One sentence for each reason; it repeats nothing of the register. */
const SENTENCES: Readonly<Record<QuarantineReason, string>> = {
  'identity-missing': 'the feed carries no identity',
  'identity-not-qualified': 'the identity in the feed is not qualified',
  'identity-not-equal': 'the identity in the feed is not that of the person, qualified',
  'subject-unknown': 'the person whom the feed names cannot be resolved',
};

/** What is kept of a refused feed, which may have been no valid R4 at all: each part where it is. */
function soundParts(work: Work, { identity, masterIdentifier }: Quarantine) {
  const sound = (resource: Resource): boolean => work.deps.validator.validate(resource).length === 0;
  const traits = identity === undefined ? undefined : traitsOnly(identity);
  const named = { type: input('document'), valueIdentifier: masterIdentifier ?? {} };
  return {
    identity: traits !== undefined && sound(traits) ? traits : undefined,
    masterIdentifier:
      masterIdentifier !== undefined &&
      sound({ resourceType: 'Task', status: 'requested', intent: 'order', input: [named] })
        ? masterIdentifier
        : undefined,
  };
}

/** Files the Task of a refused feed, in the unit that records the refusal; an open one of the same deposit and reason stands for both. */
export async function fileQuarantine(work: Work, found: Quarantine): Promise<void> {
  const { reason, person } = found;
  const { identity, masterIdentifier } = soundParts(work, found);
  const key = quarantineKey({ by: work.caller.structure, document: masterIdentifier, reason, person, identity });
  const same = await everyMatch(work, 'Task', [term('_quarantine', key)]);
  if (same.some((task) => OPEN.includes(asText(parsed(task)['status']) ?? ''))) return;
  await quarantine(work, {
    person,
    reason: SENTENCES[reason],
    reasonCode: reason,
    ...(identity === undefined ? {} : { contained: [identity] }),
    input: [
      ...(identity === undefined
        ? []
        : [{ type: input('identity'), value: { valueReference: { reference: '#identity' } } }]),
      ...(masterIdentifier === undefined
        ? []
        : [{ type: input('document'), value: { valueIdentifier: masterIdentifier } }]),
    ],
  });
}

/** A Task in one of these waits for the operator. */
const OPEN: readonly string[] = ['requested', 'received', 'accepted', 'in-progress', 'on-hold', 'ready'];

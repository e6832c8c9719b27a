/** D12: what the host has to look into. A feed that was put in quarantine is a Task; the server writes it, the operator closes it. */
import { taskRows } from '../../access/rules/space.ts';
import { SYSTEM } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, codingsOf, referenceOf, sameJson } from '../../fhir/json.ts';
import { ok, type QuarantineReason, type Result } from '../../fhir/result.ts';
import type { Json, JsonObject, Ref, Resource } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import { save, type Work } from '../work.ts';
import { authorOf, filingMarks, forbidden, patientRef } from './filing.ts';
import { refuseLabels } from './labels.ts';

/** The one kind of Task there is: a deposit whose identity could not be taken for the person's (W1). */
export const FEED_QUARANTINE = 'feed-quarantine';

/** What a quarantined deposit leaves to the operator. */
export type Quarantined = {
  /** The person of the register whom the deposit names; `undefined` where it names none. */
  readonly person: Ref | undefined;
  /** Why, for the operator and the structure: one sentence that repeats nothing of the register. */
  readonly reason: string;
  /** The same as a code. */
  readonly reasonCode?: QuarantineReason;
  /** The identity that was sent, contained. */
  readonly contained?: readonly JsonObject[];
  readonly input: readonly { readonly type: JsonObject; readonly value: Readonly<Record<`value${string}`, Json>> }[];
};

/** Writes the Task of a deposit of this caller; their structure reads it, and the operator. */
export function quarantine(work: Work, quarantined: Quarantined): Promise<Version> {
  const { person, reason, reasonCode, contained = [], input } = quarantined;
  const { structure } = work.caller;
  const resource: Resource = {
    resourceType: 'Task',
    ...(contained.length === 0 ? {} : { contained }),
    status: 'requested',
    statusReason: { text: reason },
    intent: 'order',
    code: { coding: [{ system: SYSTEM.taskCode, code: FEED_QUARANTINE }] },
    ...(person === undefined ? {} : { for: { reference: person } }),
    authoredOn: new Date(work.now).toISOString(),
    ...(structure === undefined ? {} : { requester: { reference: structure } }),
    ...(reasonCode === undefined
      ? {}
      : { reasonCode: { coding: [{ system: SYSTEM.quarantineReason, code: reasonCode }] } }),
    ...(input.length === 0 ? {} : { input: input.map(({ type, value }) => ({ type, ...value })) }),
  };
  return save(work, {
    key: { type: 'Task', id: work.newId() },
    before: undefined,
    resource,
    owner: person,
    filing: authorOf(work),
    rule: 'W1',
  });
}

type Deposit = {
  readonly by: string | undefined;
  readonly document: JsonObject | undefined;
  readonly reason: string | undefined;
  readonly person: string | undefined;
  readonly identity: JsonObject | undefined;
};

/** What makes two quarantined deposits one: the structure, the reason, and the document's masterIdentifier; where there is none, whose it is. */
export const quarantineKey = ({ by, document, reason, person, identity }: Deposit): string => {
  const whose = asArray(identity?.['identifier']).map((i) => asText(asObject(i)?.['value']) ?? '');
  const named =
    document === undefined
      ? [person ?? '', ...whose]
      : [asText(document['system']) ?? '', asText(document['value']) ?? ''];
  return [by ?? '', ...named, reason ?? ''].join('|');
};

const keyOfTask = (task: Resource): string => {
  const inputs = asArray(task['input']).map(asObject);
  const document = asObject(inputs.find((i) => i?.['valueIdentifier'] !== undefined)?.['valueIdentifier']);
  const [reason] = codingsOf(task['reasonCode']);
  return quarantineKey({
    by: referenceOf(task['requester']),
    document,
    reason: reason?.code,
    person: referenceOf(task['for']),
    identity: asObject(asArray(task['contained'])[0]),
  });
};

/** What the operator says about a Task: how far it is, and a note. */
const OPERATOR_ELEMENTS = ['status', 'businessStatus', 'note'];

/** What a Task is about, without how far it is and without the server's own `meta`. */
function subjectMatter(task: Resource): JsonObject {
  const { versionId: _v, lastUpdated: _l, ...meta } = asObject(task['meta']) ?? {};
  const rest = Object.entries(task).filter(([name]) => !OPERATOR_ELEMENTS.includes(name.replace(/^_/, '')));
  return { ...Object.fromEntries(rest), meta };
}

async function update(work: Work, change: Change, task: Resource): Promise<Result<Accepted>> {
  if (work.caller.kind !== 'operator') return forbidden('D12', 'the operator says how far a task is');
  const labelled = refuseLabels(task);
  if (!labelled.ok) return labelled;
  if (!sameJson(subjectMatter(change.current), subjectMatter(task))) {
    return forbidden('D12', `of a task, ${OPERATOR_ELEMENTS.map((name) => `\`${name}\``).join(', ')} change`);
  }
  return ok({ resource: task, owner: change.before.owner, filing: change.before.filing });
}

export const task: TypeDeclaration = {
  type: 'Task',
  row: 'D12',
  about: 'either',
  rows: taskRows,
  writes: { update },
  marks: async (_work, resource, filing) => ({
    terms: [
      ...filingMarks(filing),
      ['_quarantine', keyOfTask(resource)],
      ...(patientRef(resource['for']) === undefined ? [['_nobody', '1'] as const] : []),
    ],
    ranges: [],
  }),
  feedsSpace: false,
  bySight: [],
};

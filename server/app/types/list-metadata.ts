/** SubmissionSet and Folder of MHD 4.2 and PDSm 3.1 (fhir.md 4.3): the invariants of the Lists that come in an ITI-65 Bundle. */
import { type DocumentLevel, EXTENSION, SYSTEM } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, codingsOf, extensionOf, referenceOf } from '../../fhir/json.ts';
import { type Fault, fail, ok, type Result } from '../../fhir/result.ts';
import type { JsonObject } from '../../fhir/types.ts';
import { codedIn, TERMINOLOGIES } from './pdsm-terminologies.ts';

export type ListKind = 'submissionset' | 'folder';

/** Which of the two a List says that it is. */
export const kindOfList = (list: JsonObject | undefined): ListKind | undefined =>
  codingsOf(list?.['code'])
    .filter((c) => c.system === SYSTEM.listType)
    .map((c) => c.code)
    .find((code) => code === 'submissionset' || code === 'folder');

type Rule = readonly [at: string, text: string, holds: (list: JsonObject) => boolean];

const NOT_USED = ['encounter', 'orderedBy', 'emptyReason', 'modifierExtension'] as const;

const COMMON: readonly Rule[] = [
  ...NOT_USED.map((name): Rule => [name, `${name} is not used here`, (list) => list[name] === undefined]),
  ['mode', 'the mode is `working`', (list) => list['mode'] === 'working'],
  ['note', 'one note at most', (list) => asArray(list['note']).length <= 1],
  [
    'entry',
    'an entry is what it names, and no more: flag, deleted and date are not used here',
    (list) =>
      asArray(list['entry'])
        .map(asObject)
        .every((e) => ['flag', 'deleted', 'date'].every((name) => e?.[name] === undefined)),
  ],
  [
    'identifier',
    'a uniqueId and an entryUUID, one of each at most, are of the system `urn:ietf:rfc:3986`',
    (list) => {
      const [unique, entry] = [identifiersOf(list, 'uniqueId'), identifiersOf(list, 'entryUUID')];
      return (
        unique.length <= 1 && entry.length <= 1 && [...unique, ...entry].every((i) => i?.['system'] === SYSTEM.uri)
      );
    },
  ],
  [
    'identifier',
    'an entryUUID is a `urn:uuid:`',
    (list) => identifiersOf(list, 'entryUUID').every((i) => asText(i?.['value'])?.startsWith('urn:uuid:') === true),
  ],
];

/** The identifiers of a List that are of one of MHD's types. */
function identifiersOf(list: JsonObject, code: 'entryUUID' | 'uniqueId'): readonly (JsonObject | undefined)[] {
  return asArray(list['identifier'])
    .map(asObject)
    .filter((i) => codingsOf(i?.['type']).some((c) => c.system === SYSTEM.mhdIdentifierType && c.code === code));
}

const count = (list: JsonObject, url: string): number =>
  asArray(list['extension'])
    .map(asObject)
    .filter((e) => e?.['url'] === url).length;

/** The type that `source` names, a contained resource included. */
function sourceType(list: JsonObject): string | undefined {
  const text = referenceOf(list['source']);
  if (text === undefined || !text.startsWith('#')) return text?.split('/').at(-2);
  const contained = asArray(list['contained']).map(asObject);
  return asText(contained.find((r) => text === `#${asText(r?.['id'])}`)?.['resourceType']);
}

const uniqueIds = (list: JsonObject): readonly string[] =>
  identifiersOf(list, 'uniqueId').map((i) => asText(i?.['value']) ?? '');

const SUBMISSION_SET: Readonly<Record<DocumentLevel, readonly Rule[]>> = {
  minimal: [
    ...COMMON,
    ['status', 'a SubmissionSet is `current`', (list) => list['status'] === 'current'],
    ['date', 'the date of the submission is stated', (list) => list['date'] !== undefined],
    [
      `extension('${EXTENSION.sourceId}')`,
      'the source is identified once (`ihe-sourceId`)',
      (list) => count(list, EXTENSION.sourceId) === 1 && identifies(list),
    ],
    [
      'identifier',
      'the uniqueId of a SubmissionSet is a `urn:oid:`',
      (list) => uniqueIds(list).every((id) => id.startsWith('urn:oid:')),
    ],
  ],
  comprehensive: [
    [
      `extension('${EXTENSION.designationType}')`,
      'the sort of submission is stated once (`ihe-designationType`)',
      (list) => count(list, EXTENSION.designationType) === 1,
    ],
    ['subject', 'the person is stated', (list) => list['subject'] !== undefined],
  ],
  pdsm: [
    [
      'source',
      'the source is a PractitionerRole, a Practitioner, a Device or the Patient',
      (list) => ['PractitionerRole', 'Practitioner', 'Device', 'Patient'].includes(sourceType(list) ?? ''),
    ],
    ['entry', 'a SubmissionSet has entries', (list) => asArray(list['entry']).length > 0],
    [
      `extension('${EXTENSION.designationType}')`,
      `the sort of submission is of ${TERMINOLOGIES.designation.named}`,
      (list) =>
        codedIn(extensionOf(list, EXTENSION.designationType)?.['valueCodeableConcept'], TERMINOLOGIES.designation),
    ],
    [
      `extension('${EXTENSION.isArchived}')`,
      '`isArchived` is stated once at most',
      (list) => count(list, EXTENSION.isArchived) <= 1,
    ],
  ],
};

const identifies = (list: JsonObject): boolean =>
  asText(asObject(extensionOf(list, EXTENSION.sourceId)?.['valueIdentifier'])?.['value']) !== undefined;

const FOLDER: Readonly<Record<DocumentLevel, readonly Rule[]>> = {
  minimal: [...COMMON, ['source', 'a Folder has no source', (list) => list['source'] === undefined]],
  comprehensive: [
    [
      `extension('${EXTENSION.designationType}')`,
      'what the Folder is for is stated (`ihe-designationType`)',
      (list) => count(list, EXTENSION.designationType) > 0,
    ],
    ['title', 'a Folder has a title', (list) => list['title'] !== undefined],
    ['subject', 'the person is stated', (list) => list['subject'] !== undefined],
  ],
  pdsm: [
    [
      `extension('${EXTENSION.designationType}')`,
      'what the Folder is for is stated once',
      (list) => count(list, EXTENSION.designationType) <= 1,
    ],
    ['date', 'a Folder has a date', (list) => list['date'] !== undefined],
    ['entry', 'a Folder has entries', (list) => asArray(list['entry']).length > 0],
  ],
};

const UP_TO: Readonly<Record<DocumentLevel, readonly DocumentLevel[]>> = {
  minimal: ['minimal'],
  comprehensive: ['minimal', 'comprehensive'],
  pdsm: ['minimal', 'comprehensive', 'pdsm'],
};

/** Every invariant that a List of an ITI-65 Bundle breaks, at once. */
export function checkList(list: JsonObject, kind: ListKind, level: DocumentLevel): Result<void> {
  const rules = kind === 'submissionset' ? SUBMISSION_SET : FOLDER;
  const faults: readonly Fault[] = UP_TO[level]
    .flatMap((l) => rules[l])
    .filter(([, , holds]) => !holds(list))
    .map(([at, text]) => ({ text, at: `List.${at}` }));
  return faults.length === 0 ? ok(undefined) : fail({ code: 'unprocessable', faults });
}

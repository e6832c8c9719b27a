/** W23: what belongs to documents. Binary, List and Provenance are filed with them and are never replaced by themselves. */
import { systemGuard } from '../../access/decision.ts';
import { binaryRows, listRows, provenanceRows } from '../../access/rules/documents.ts';
import { asArray, asObject, asText, referenceOf, sameJson } from '../../fhir/json.ts';
import { isMediaType } from '../../fhir/media-type.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Key, Ref, Resource } from '../../fhir/types.ts';
import type { Filing, Version } from '../../ports/store.ts';
import type { Accepted, Change, TypeDeclaration } from '../declaration.ts';
import { filedBy, keyOf, seen, type Work } from '../work.ts';
import { documentsNamed, mayCorrect, mayDeposit, mayFeed } from './document.ts';
import { aboutPerson, authorOf, filingMarks, forbidden, isAuthor, isHolderSide, unresolved } from './filing.ts';
import { refuseLabels } from './labels.ts';
import { kindOfList } from './list-metadata.ts';

/** A Binary is filed by who may file documents. Alone it is about nobody: a token limited to one person files it in a transaction (C6). */
async function createBinary(work: Work, resource: Resource): Promise<Result<Accepted>> {
  const { caller } = work;
  if (caller.kind === 'insurer' || caller.kind === 'operator')
    return forbidden('W1', 'this caller never feeds a space');
  if (caller.person !== undefined && work.created.size === 0) {
    return forbidden('C6', 'this token is limited to one person: file the content in a transaction with its document');
  }
  if (!isMediaType(asText(resource['contentType']) ?? '')) {
    return unprocessable('a Binary has one `contentType`, a media type', 'Binary.contentType', 'W23');
  }
  const { securityContext: _server, ...sent } = resource;
  return ok({ resource: sent as Resource, owner: undefined, filing: authorOf(work) });
}

export const binary: TypeDeclaration = {
  type: 'Binary',
  row: 'D1',
  about: 'either',
  rows: binaryRows,
  writes: { create: createBinary },
  marks: async (_work, resource, filing) => {
    const document = referenceOf(resource['securityContext']);
    return {
      terms: [...filingMarks(filing), document === undefined ? ['_unattached', '1'] : ['_document', document]],
      ranges: [],
    };
  },
  feedsSpace: false,
  bySight: [],
};

/** A document that this transaction has created. */
const fedBeside = (work: Work, key: Key): Promise<Version | undefined> =>
  work.created.get(key.id) === 'DocumentReference'
    ? work.unit.read(key, systemGuard('DocumentReference', 'integrity'))
    : Promise.resolve(undefined);

/** Every document named is one that the caller sees and filed (or deposits beside it in this transaction), and of this person. */
async function documentsAreTheirs(
  work: Work,
  resource: Resource,
  person: Ref | undefined,
  at: string,
): Promise<Result<Ref | undefined>> {
  let about = person;
  for (const ref of documentsNamed(resource)) {
    const key = keyOf(ref);
    // What was fed beside it is theirs, also where a block keeps them from seeing it (W1).
    const found = (await seen(work, key)) ?? (await fedBeside(work, key));
    if (found === undefined) return unresolved(ref, at);
    if (found.deleted || (about !== undefined && found.owner !== about)) return unresolved(ref, at);
    if (!isAuthor(work, found.filing) && found.filing.by !== filedBy(work).by) {
      return forbidden('W23', 'this belongs to documents of another author');
    }
    about = found.owner;
  }
  return ok(about);
}

const mayFile = (work: Work, person: Ref): Promise<Result<void>> =>
  isHolderSide(work) ? mayDeposit(work, person) : mayFeed(work, person);

async function createList(work: Work, list: Resource): Promise<Result<Accepted>> {
  const labelled = refuseLabels(list);
  if (!labelled.ok) return labelled;
  const person = await aboutPerson(work, list['subject'], 'List.subject');
  if (!person.ok) return person;
  const allowed = await mayFile(work, person.value);
  if (!allowed.ok) return allowed;
  const theirs = await documentsAreTheirs(work, list, person.value, 'List.entry.item');
  if (!theirs.ok) return theirs;
  for (const ref of asArray(list['entry']).map((e) => referenceOf(asObject(e)?.['item']))) {
    if (ref !== undefined && !/^(DocumentReference|List)\//.test(ref)) {
      return unprocessable('a list here holds documents and folders', 'List.entry.item', 'W23');
    }
  }
  return ok({ resource: list, owner: person.value, filing: authorOf(work) });
}

/** What may differ in a Folder to which documents were added. */
const FOLDER_MAY_CHANGE: readonly string[] = ['entry', 'date', 'title', 'note', 'text', 'meta', 'id'];

/** ITI-65, "add to Folder": entries are added to a Folder by who may correct it (W3), and nothing is taken out. */
export async function extendFolder(work: Work, change: Change, list: Resource): Promise<Result<Accepted>> {
  const { before, current } = change;
  if (kindOfList(current) !== 'folder') return unprocessable('what is added to is a Folder', 'List.code', 'W23');
  const allowed = await mayCorrect(work, before);
  if (!allowed.ok) return allowed;
  const labelled = refuseLabels(list);
  if (!labelled.ok) return labelled;
  const foreign = [...new Set([...Object.keys(current), ...Object.keys(list)])].find(
    (name) => !FOLDER_MAY_CHANGE.includes(name) && !sameJson(current[name], list[name]),
  );
  if (foreign !== undefined)
    return unprocessable(`\`${foreign}\` of a Folder does not change`, `List.${foreign}`, 'W10');
  const [was, is] = [new Set(itemsOf(current)), new Set(itemsOf(list))];
  if ([...was].some((item) => !is.has(item))) {
    return unprocessable('a document is added to a Folder; none is taken out', 'List.entry', 'W23');
  }
  const added = [...is].filter((item) => !was.has(item));
  if (added.some((item) => !item.startsWith('DocumentReference/'))) {
    return unprocessable('a Folder holds documents', 'List.entry.item', 'W23');
  }
  const entry = added.map((reference) => ({ item: { reference } }));
  const theirs = await documentsAreTheirs(work, { ...list, entry }, before.owner, 'List.entry.item');
  if (!theirs.ok) return theirs;
  return ok({ resource: list, owner: before.owner, filing: before.filing });
}

const itemsOf = (list: Resource): readonly string[] =>
  asArray(list['entry'])
    .map((e) => referenceOf(asObject(e)?.['item']))
    .filter((item) => item !== undefined);

async function createProvenance(work: Work, provenance: Resource): Promise<Result<Accepted>> {
  const labelled = refuseLabels(provenance);
  if (!labelled.ok) return labelled;
  const theirs = await documentsAreTheirs(work, provenance, undefined, 'Provenance.target');
  if (!theirs.ok) return theirs;
  const person = theirs.value;
  if (person === undefined) return unprocessable('a provenance is about documents', 'Provenance.target', 'W23');
  const allowed = await mayFile(work, person);
  if (!allowed.ok) return allowed;
  return ok({ resource: provenance, owner: person, filing: authorOf(work) });
}

const belongingMarks = (resource: Resource, filing: Filing) => ({
  terms: [...filingMarks(filing), ...documentsNamed(resource).map((d) => ['_document', d] as const)],
  ranges: [],
});

export const list: TypeDeclaration = {
  type: 'List',
  row: 'D1',
  about: 'person',
  rows: listRows,
  writes: { create: createList },
  marks: async (_work, resource, filing) => belongingMarks(resource, filing),
  feedsSpace: false,
  bySight: [],
};

export const provenance: TypeDeclaration = {
  type: 'Provenance',
  row: 'D1',
  about: 'person',
  rows: provenanceRows,
  writes: { create: createProvenance },
  marks: async (_work, resource, filing) => belongingMarks(resource, filing),
  feedsSpace: false,
  bySight: [],
};

/** D1, D1a, D2, W1 to W3: documents. Feeding, depositing, replacing, deleting; what belongs to a document goes with it. */

import { systemGuard } from '../../access/decision.ts';
import { contentRows, documentRows } from '../../access/rules/documents.ts';
import { denied } from '../../access/space.ts';
import { asArray, asObject, asText, codingsOf, referenceOf, sameJson } from '../../fhir/json.ts';
import { type Failure, fail, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Json, JsonObject, Ref, Resource } from '../../fhir/types.ts';
import { CHUNK_BYTES, type Filing, type Version } from '../../ports/store.ts';
import { or, owner, term } from '../../query/predicate.ts';
import type { Accepted, Change, Marks, TypeDeclaration } from '../declaration.ts';
import { allOf, erase, everyMatch, filedBy, holds, keyOf, parsed, save, seen, type Work } from '../work.ts';
import { DEPOSIT_CONTENT, depositFault } from './deposit-content.ts';
import { checkLevel, normalised, withUniqueIdType } from './document-metadata.ts';
import {
  aboutPerson,
  authorOf,
  conflict,
  filingMarks,
  forbidden,
  isAuthor,
  isHolderSide,
  merge,
  notFound,
  unresolved,
} from './filing.ts';
import { sameIdentity } from './identity.ts';
import { changeLabels, labelsAtFiling, rowOfLabels } from './label-rights.ts';
import {
  checkLabels,
  checkSet,
  labelMarks,
  labelsNow,
  labelsOf,
  sameLabels,
  withConfidentiality,
  withLabels,
} from './labels.ts';
import { quarantineOf } from './quarantine.ts';
import { decidesFor, isAttending, notBlockedHere, standsFor, stateAllows } from './writing.ts';

/** An unattached Binary waits this long for its document (contract.md "Documents"): one hour, in milliseconds. */
export const ATTACH_WITHIN = 3_600_000;

/** W2: what a holder or representative deposits. */
const DEPOSIT_TYPE = /^(DOCPAT|EXPPAT)|^11369-6$|^42348-3$/;

/** W1: a feed needs no gate and no absence of a block; an opposition to feeding stops it. */
export async function mayFeed(work: Work, person: Ref): Promise<Result<void>> {
  const { caller } = work;
  if (caller.kind !== 'professional' && caller.kind !== 'feeder') {
    return forbidden('W1', 'professionals and establishments feed a space');
  }
  const state = await stateAllows(work, person, 'professional');
  if (!state.ok) return state;
  const opposed = denied(
    'feed-opposition',
    [caller.kind === 'professional' ? caller.self : undefined, caller.structure],
    work.now,
  );
  return (await holds(work, person, owner(opposed)))
    ? forbidden('W1', 'the person opposes being fed by this professional or structure')
    : ok(undefined);
}

/** W2: the holder's side deposits; both kinds of representative do (W12). */
export async function mayDeposit(work: Work, person: Ref): Promise<Result<void>> {
  if (!(await standsFor(work, person, ['legal', 'caregiver']))) return forbidden('C7', 'no delegation stands');
  return stateAllows(work, person, 'holder');
}

/** The one type code of a document. Several different ones name a type that no matrix lists: nobody but the author reads it. */
const typeCode = (document: Resource): string =>
  [...new Set(codingsOf(document['type']).map((c) => c.code ?? ''))].sort().join('+');

const attachmentsOf = (document: Resource) =>
  asArray(document['content'])
    .map((c) => asObject(asObject(c)?.['attachment']))
    .filter((a) => a !== undefined);

const binariesOf = (document: Resource): readonly string[] =>
  attachmentsOf(document)
    .map((a) => asText(a['url']))
    .filter((u) => u !== undefined);

/** Each attachment is a Binary of this server that nobody else's document uses, uploaded by this caller, in this transaction or within the hour. */
async function checkContent(work: Work, document: Resource): Promise<Result<readonly Version[]>> {
  const found: Version[] = [];
  const at = 'DocumentReference.content.attachment.url';
  for (const attachment of attachmentsOf(document)) {
    if (attachment['data'] !== undefined) {
      return unprocessable(
        'in a Bundle, the bytes of a document go into a Binary of their own',
        'DocumentReference.content.attachment.data',
        'W23',
      );
    }
    const url = asText(attachment['url']);
    if (url === undefined) continue;
    const key = keyOf(url);
    if (!/^Binary\/[A-Za-z0-9.-]{1,64}$/.test(url))
      return unprocessable('an attachment is a `Binary/<id>` of this server', at, 'W23');
    const binary = await work.unit.read(key, systemGuard('Binary', 'integrity'));
    const free =
      binary !== undefined &&
      !binary.deleted &&
      // C6: what is about nobody stays closed to a token of one person, but for what comes along with the document.
      (work.caller.person === undefined || work.created.has(binary.id)) &&
      parsed(binary)['securityContext'] === undefined &&
      binary.filing.by === filedBy(work).by &&
      work.now - (binary.filing.filedAt ?? 0) < ATTACH_WITHIN;
    if (!free) return unresolved(url, at);
    // Two contents may name one Binary.
    if (found.every((one) => one.id !== binary.id)) found.push(binary);
  }
  return ok(found);
}

/**
 * The document with the size and the hash (SHA-1, base64) of each attachment as the server counted them. What the sender states must be
 * that: bytes damaged on their way are refused, not filed.
 */
async function withMeasures(work: Work, document: Resource): Promise<Result<Resource>> {
  const content: Json[] = [];
  for (const item of asArray(document['content']).map(asObject)) {
    const attachment = asObject(item?.['attachment']);
    const url = asText(attachment?.['url']);
    const bytes = url === undefined ? undefined : await work.unit.bytes(keyOf(url));
    const at = 'DocumentReference.content.attachment';
    const { size, hash } = attachment ?? {};
    if (url !== undefined && size !== undefined && Number(size) !== (bytes?.size ?? 0)) {
      return unprocessable('the size is not that of the content', `${at}.size`, 'W1');
    }
    if (url !== undefined && hash !== undefined && hash !== bytes?.sha1) {
      return unprocessable('the hash is not the SHA-1 of the content, in base64', `${at}.hash`, 'W1');
    }
    content.push(
      bytes === undefined
        ? (item ?? {})
        : { ...item, attachment: { ...attachment, size: bytes.size, hash: bytes.sha1 } },
    );
  }
  return ok(content.length === 0 ? document : { ...document, content });
}

/** A Binary belongs to the document that first refers to it; its security context says so. */
async function attach(work: Work, binaries: readonly Version[], id: string, person: Ref): Promise<void> {
  for (const binary of binaries) {
    if (binary.owner === person) continue;
    // What was filed about nobody a moment ago is recorded once, about the person (O1).
    const loose = work.traces.findIndex((t) => t.owner === undefined && t.item === `Binary/${binary.id}`);
    if (loose >= 0) work.traces.splice(loose, 1);
    await save(work, {
      key: { type: 'Binary', id: binary.id },
      before: binary,
      resource: { ...parsed(binary), securityContext: { reference: `DocumentReference/${id}` } },
      owner: person,
      filing: binary.filing,
    });
  }
}

/** A business identifier is unique within its author structure (section 5); a collision elsewhere is not even noticed. */
async function identifierFree(work: Work, document: Resource, filing: Filing, id: string): Promise<Result<void>> {
  const master = asObject(document['masterIdentifier']);
  const value = asText(master?.['value']);
  const scope = filing.authorStructure ?? filing.by;
  if (value === undefined || scope === undefined) return ok(undefined);
  const same = await everyMatch(work, 'DocumentReference', [
    term('_master', `${asText(master?.['system']) ?? ''}|${value}`),
    or(term('_author', scope), term('_by', scope)),
  ]);
  return same.some((d) => d.id !== id)
    ? conflict('a document with this masterIdentifier was filed before')
    : ok(undefined);
}

/** The document that a new one replaces (`relatesTo.code` `replaces`): seen by the caller, theirs to correct, and the latest. */
async function replacedBy(work: Work, document: Resource, person: Ref): Promise<Result<Version | undefined>> {
  const targets = asArray(document['relatesTo'])
    .map(asObject)
    .filter((r) => r?.['code'] === 'replaces')
    .map((r) => referenceOf(r?.['target']));
  if (targets.length === 0) return ok(undefined);
  const [target] = targets;
  const at = 'DocumentReference.relatesTo';
  if (targets.length > 1 || target === undefined) return unprocessable('a document replaces one document', at, 'W3');
  // One of another server is nothing that could be replaced here, nor hidden.
  if (/^(urn|https?):/.test(target)) return unresolved(target, at);
  const found = keyOf(target).type === 'DocumentReference' ? await seen(work, keyOf(target)) : undefined;
  if (found === undefined) return notFound();
  if (found.deleted) return fail({ code: 'gone' });
  if (found.owner !== person) return unprocessable('a document replaces one of the same person', at, 'W3');
  const allowed = await mayCorrect(work, found);
  if (!allowed.ok) return allowed;
  return parsed(found)['status'] === 'current' ? ok(found) : conflict('the document was replaced before', 'W3');
}

/** W3: whose item this is to replace or delete. */
export async function mayCorrect(work: Work, item: Version): Promise<Result<void>> {
  const person = item.owner ?? ('Patient/' as Ref);
  const { caller } = work;
  const refused = forbidden('W3', 'an item is replaced or deleted by its author, or by the side that filed it');
  if (isHolderSide(work)) {
    if (item.filing.side !== 'holder') return refused;
    const state = await stateAllows(work, person, 'holder');
    if (!state.ok) return state;
    if (caller.kind === 'patient' || (await decidesFor(work, person))) return ok(undefined);
    return item.filing.by === caller.self ? ok(undefined) : refused;
  }
  if (caller.kind !== 'professional' && caller.kind !== 'feeder') return refused;
  const state = await stateAllows(work, person, 'professional');
  if (!state.ok) return state;
  if (!(await notBlockedHere(work, person))) return forbidden('A2', 'blocked');
  if (isAuthor(work, item.filing)) return ok(undefined);
  return item.filing.side === 'holder' && (await isAttending(work, person)) ? ok(undefined) : refused;
}

const checkDepositType = (document: Resource): Result<void> =>
  DEPOSIT_TYPE.test(typeCode(document))
    ? ok(undefined)
    : unprocessable(
        'a holder deposits documents of the patient types, directives and vaccination records',
        'DocumentReference.type',
        'W2',
      );

async function checkDeposit(work: Work, document: Resource, binaries: readonly Version[]): Promise<Result<void>> {
  const type = checkDepositType(document);
  if (!type.ok) return type;
  if (binaries.length === 0) return unprocessable('a deposit has its content', 'DocumentReference.content', 'W2');
  for (const binary of binaries) {
    const contentType = asText(parsed(binary)['contentType'])?.split(';')[0]?.trim().toLowerCase() ?? '';
    if (!DEPOSIT_CONTENT.includes(contentType)) {
      return unprocessable(
        `a deposit is one of ${DEPOSIT_CONTENT.join(', ')}`,
        'DocumentReference.content.attachment.contentType',
        'W2',
      );
    }
    const size = (await work.unit.bytes({ type: 'Binary', id: binary.id }))?.size ?? 0;
    if (size < 1 || size > work.access.policy.depositMaxBytes) {
      return unprocessable(
        `a deposit has 1 to ${work.access.policy.depositMaxBytes} bytes`,
        'DocumentReference.content.attachment.size',
        'W2',
      );
    }
    const fault = depositFault(contentType, await contentOf(work, binary, size), work.deps.inflate);
    if (fault !== undefined) return unprocessable(fault, 'DocumentReference.content.attachment', 'W2');
  }
  return ok(undefined);
}

/** The whole of a content that is no larger than a deposit may be. */
async function contentOf(work: Work, binary: Version, size: number): Promise<Buffer> {
  const key = { type: 'Binary', id: binary.id };
  const chunks: Uint8Array[] = [];
  for (let index = 0; index * CHUNK_BYTES < size; index += 1) {
    const chunk = await work.unit.chunk(key, systemGuard('Binary', 'integrity'), index);
    if (chunk !== undefined) chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function create(work: Work, asSent: Resource, id: string): Promise<Result<Accepted>> {
  const { caller } = work;
  if (caller.kind === 'insurer' || caller.kind === 'operator')
    return forbidden('W1', 'this caller never feeds a space');
  const described = normalised(work, asSent);
  if (!described.ok) return described;
  const sent = described.value;
  const person = await aboutPerson(work, sent['subject'], 'DocumentReference.subject');
  if (!person.ok) return putAside(work, person.failure, sent);
  const byHolder = isHolderSide(work);
  const allowed = byHolder ? await mayDeposit(work, person.value) : await mayFeed(work, person.value);
  if (!allowed.ok) return allowed;
  if (sent['status'] !== 'current')
    return unprocessable('a new document is `current`', 'DocumentReference.status', 'W1');
  const labels = labelsAtFiling(work, sent);
  if (!labels.ok) return labels;
  const level = checkLevel(sent, work.provides.level);
  if (!level.ok) return level;
  if (!byHolder) {
    const identity = await sameIdentity(work, sent, person.value);
    if (!identity.ok) return identity;
  }
  const replaced = await replacedBy(work, sent, person.value);
  if (!replaced.ok) return replaced;
  const set = new Set(labels.value);
  if (replaced.value !== undefined) for (const kept of labelsKept(work, replaced.value)) set.add(kept);
  const together = checkSet(set, 'DocumentReference.securityLabel');
  if (!together.ok) return together;
  const filing = authorOf(work);
  const content = await checkContent(work, sent);
  if (!content.ok) return content;
  if (byHolder) {
    const deposit = await checkDeposit(work, sent, content.value);
    if (!deposit.ok) return deposit;
  }
  const measured = await withMeasures(work, sent);
  if (!measured.ok) return measured;
  const free = await identifierFree(work, sent, filing, id);
  if (!free.ok) return free;
  if (replaced.value !== undefined) await supersede(work, replaced.value);
  await attach(work, content.value, id, person.value);
  const rule = byHolder ? 'W2' : 'W1';
  const dated = { ...measured.value, date: sent['date'] ?? new Date(work.now).toISOString() };
  const typed = level.value === undefined ? dated : withUniqueIdType(dated);
  const resource = withLabels(withConfidentiality(typed), set);
  return ok({ resource, owner: person.value, filing, rule });
}

/** The labels that a replacement keeps: one whose time is over counts no more (L2). */
const labelsKept = (work: Work, replaced: Version) => labelsNow(parsed(replaced), replaced.filing, work.now);

/** A feed for a person who cannot be resolved: refused, and put aside for the operator (W1). */
export const putAside = (work: Work, failure: Failure, document: JsonObject) =>
  fail(
    failure.code === 'unprocessable'
      ? { ...failure, ...quarantineOf(work, { reason: 'subject-unknown', document }) }
      : failure,
  );

const supersede = (work: Work, replaced: Version): Promise<Version> =>
  save(work, {
    key: { type: 'DocumentReference', id: replaced.id },
    before: replaced,
    resource: { ...parsed(replaced), status: 'superseded' },
    owner: replaced.owner,
    filing: replaced.filing,
    event: 'superseded',
  });

/** W10: never writable through update or patch. */
const FIXED = [
  'subject',
  'author',
  'authenticator',
  'custodian',
  'masterIdentifier',
  'identifier',
  'relatesTo',
  'content',
  // The author and the identity that was compared (W1) stand in there.
  'contained',
];

const sourceOf = (document: Resource): Json => asObject(document['context'])?.['sourcePatientInfo'] ?? null;

/** A document but for its visibility labels and what the server writes itself: to change it is to correct it (W3). */
function unlabelled(document: Resource): JsonObject {
  const { versionId: _v, lastUpdated: _l, ...meta } = asObject(document.meta) ?? {};
  return { ...withLabels(withConfidentiality(document), new Set()), meta };
}

async function update(work: Work, change: Change, sent: Resource): Promise<Result<Accepted>> {
  const described = normalised(work, sent);
  if (!described.ok) return described;
  const document = described.value;
  const labels = checkLabels(document);
  if (!labels.ok) return labels;
  const fixed = FIXED.find((name) => !sameJson(change.current[name], document[name]));
  if (fixed !== undefined) {
    return unprocessable(`\`${fixed}\` cannot be changed; replace the document`, `DocumentReference.${fixed}`, 'W10');
  }
  if (!sameJson(sourceOf(change.current), sourceOf(document))) {
    return unprocessable(
      'the identity in a document cannot be changed; replace the document',
      'DocumentReference.context.sourcePatientInfo',
      'W10',
    );
  }
  // "Superseded" comes from a replacement alone, so that the latest version is known; "in error" is a deletion.
  if (document['status'] !== change.current['status']) {
    return unprocessable('a document is replaced or deleted; its status says so', 'DocumentReference.status', 'W3');
  }
  if (change.before.filing.side === 'holder') {
    const type = checkDepositType(document);
    if (!type.ok) return type;
  }
  const relabelled = !sameLabels(labelsOf(change.current), labelsOf(document));
  if (!sameJson(unlabelled(change.current), unlabelled(document))) {
    const allowed = await mayCorrect(work, change.before);
    if (!allowed.ok) return allowed;
    // What it claims to be, it stays.
    const level = checkLevel(document, undefined);
    if (!level.ok) return level;
  }
  if (!relabelled)
    return ok({ resource: withConfidentiality(document), owner: change.before.owner, filing: change.before.filing });
  if (change.how !== 'patch' || change.byPosition) {
    return unprocessable(
      'labels change by the operations, or by a patch that names the label',
      'DocumentReference.securityLabel',
      'W10',
    );
  }
  const filing = await changeLabels(work, change.before, labelsOf(change.current), labelsOf(document), undefined);
  if (!filing.ok) return filing;
  return ok({
    resource: withConfidentiality(document),
    owner: change.before.owner,
    filing: filing.value,
    rule: rowOfLabels(labelsOf(change.current), labelsOf(document)),
  });
}

/** Everything that belongs to a document and to no other that remains goes with it (contract.md "Documents"). */
async function remove(work: Work, before: Version, document: Resource): Promise<Result<void>> {
  const allowed = await mayCorrect(work, before);
  if (!allowed.ok) return allowed;
  const person = before.owner ?? ('Patient/' as Ref);
  const ref = `DocumentReference/${before.id}`;
  for (const url of binariesOf(document)) {
    const binary = await work.unit.read(keyOf(url), systemGuard('Binary', 'integrity'));
    if (binary !== undefined && !binary.deleted) await erase(work, binary, 'W3');
  }
  for (const type of ['Provenance', 'List']) {
    for (const item of await allOf(work, type, person, term('_document', ref))) {
      if (!(await namesOther(work, item, ref))) await erase(work, item, 'W3');
    }
  }
  return ok(undefined);
}

/** Whether a List or Provenance still names another document that is not deleted. */
async function namesOther(work: Work, item: Version, ref: string): Promise<boolean> {
  for (const other of documentsNamed(parsed(item))) {
    if (other === ref) continue;
    const found = await work.unit.read(keyOf(other), systemGuard('DocumentReference', 'integrity'));
    if (found !== undefined && !found.deleted) return true;
  }
  return false;
}

/** The documents that a List or a Provenance is about. */
export const documentsNamed = (resource: Resource): readonly string[] =>
  [
    ...asArray(resource['entry']).map((e) => referenceOf(asObject(e)?.['item'])),
    ...asArray(resource['target']).map(referenceOf),
  ].filter((r) => r?.startsWith('DocumentReference/') === true) as string[];

const documentMarks = (document: Resource, filing: Filing): Marks => {
  const master = asObject(document['masterIdentifier']);
  const value = asText(master?.['value']);
  return {
    terms: [
      ...filingMarks(filing),
      ['_doctype', typeCode(document)],
      ...(value === undefined ? [] : [['_master', `${asText(master?.['system']) ?? ''}|${value}`] as const]),
    ],
    ranges: [],
  };
};

export const document: TypeDeclaration = {
  type: 'DocumentReference',
  row: 'D1',
  about: 'person',
  rows: documentRows,
  contentRows,
  writes: { create, update, remove },
  marks: async (_work, resource, filing) => merge(documentMarks(resource, filing), labelMarks(resource, filing)),
  feedsSpace: false,
  bySight: [],
};

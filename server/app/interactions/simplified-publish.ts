/**
 * ITI-105 Simplified Publish (IHE MHD 4.2, PDSm 3.1): a DocumentReference with its bytes inside. The bytes become a Binary, size and hash are
 * counted, the entryUUID is assigned and the SubmissionSet is made; all of it in one unit, under the rules of any feed or deposit.
 */
import { EXTENSION, SIMPLIFIED_PROFILES, SUBMISSION_SET_PROFILE, SYSTEM } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, referenceOf } from '../../fhir/json.ts';
import { isMediaType } from '../../fhir/media-type.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Json, JsonObject, Resource } from '../../fhir/types.ts';
import type { Answer } from '../answer.ts';
import type { Deps } from '../deps.ts';
import type { FhirRequest } from '../request.ts';
import { checkSimplified, normalised, withUniqueIdType } from '../types/document-metadata.ts';
import { parsed, type Work } from '../work.ts';
import { stageBase64 } from './inline-content.ts';
import { alreadyThere, createAs, createBeside, prepared, withLiteralReferences, writeAnswer } from './write.ts';

/** One content whose bytes were stored aside. */
export type Inline = { readonly index: number; readonly contentType: string; readonly upload: string };

const contentsOf = (document: JsonObject): readonly (JsonObject | undefined)[] =>
  asArray(document['content']).map((c) => asObject(asObject(c)?.['attachment']));

const bodyOf = (request: FhirRequest): JsonObject | undefined =>
  request.body.kind === 'json' ? asObject(request.body.value) : undefined;

/** Whether a request publishes bytes inside its DocumentReference. */
export function isPublication(request: FhirRequest): boolean {
  if (request.method !== 'POST' || request.path.join('/') !== 'DocumentReference') return false;
  return contentsOf(bodyOf(request) ?? {}).some((a) => a?.['data'] !== undefined);
}

/** Stores the bytes aside; on a refusal none remains. */
export async function stageInline(deps: Deps, request: FhirRequest): Promise<Result<readonly Inline[]>> {
  const staged: Inline[] = [];
  for (const [index, attachment] of contentsOf(bodyOf(request) ?? {}).entries()) {
    const data = attachment?.['data'];
    if (data === undefined) continue;
    const at = `DocumentReference.content[${index}].attachment`;
    const contentType = asText(attachment?.['contentType']);
    const upload =
      attachment?.['url'] !== undefined
        ? unprocessable('an attachment has its bytes inside or its url, not both', `${at}.url`, 'W23')
        : contentType === undefined || !isMediaType(contentType)
          ? unprocessable('bytes have their content type, a media type', `${at}.contentType`, 'W23')
          : typeof data !== 'string'
            ? unprocessable('the data is not base64', `${at}.data`)
            : await stageBase64(deps, data, `${at}.data`);
    if (!upload.ok) {
      for (const { upload: dropped } of staged) await deps.store.discard(dropped);
      return upload;
    }
    staged.push({ index, contentType: contentType ?? '', upload: upload.value });
  }
  return ok(staged);
}

/** Files the Binaries, the document and its SubmissionSet. The scope asked for is that of the document: the rest is the server's own doing. */
export async function publish(work: Work, request: FhirRequest, staged: readonly Inline[]): Promise<Result<Answer>> {
  const existing = await alreadyThere(work, request.headers['if-none-exist'], 'DocumentReference');
  if (!existing.ok) return existing;
  if (existing.value !== undefined) return ok(writeAnswer(work, request, 200, existing.value));
  const literal = await withLiteralReferences(work, bodyOf(request));
  if (!literal.ok) return literal;
  const sent = prepared(work, 'DocumentReference', literal.value);
  if (!sent.ok) return sent;
  const described = normalised(work, sent.value);
  if (!described.ok) return described;
  const claimed = checkSimplified(described.value);
  if (!claimed.ok) return claimed;
  const id = work.newId();
  work.created.set(id, 'DocumentReference');
  const urls = new Map<number, string>();
  for (const { index, contentType, upload } of staged) {
    const binary = work.newId();
    const made = await createBeside(work, 'Binary', { resourceType: 'Binary', contentType }, binary);
    if (!made.ok) return made;
    work.created.set(binary, 'Binary');
    await work.unit.attachBytes({ type: 'Binary', id: binary }, upload);
    urls.set(index, `Binary/${binary}`);
  }
  const made = await createAs(work, 'DocumentReference', published(sent.value, id, urls), id);
  if (!made.ok) return made;
  const list = await createBeside(work, 'List', submissionSet(work, parsed(made.value)), work.newId());
  return list.ok ? ok(writeAnswer(work, request, 201, made.value)) : list;
}

const withoutMember = (object: JsonObject, name: string): JsonObject => {
  const { [name]: _left, ...rest } = object;
  return rest;
};

/** The document as a comprehensive one: its bytes named by url, its entryUUID assigned. It no longer is what the simplified profile describes. */
function published(document: Resource, id: string, urls: ReadonlyMap<number, string>): Json {
  const content = asArray(document['content']).map((item, index): Json => {
    const url = urls.get(index);
    const attachment = asObject(asObject(item)?.['attachment']) ?? {};
    return url === undefined ? item : { ...asObject(item), attachment: { ...withoutMember(attachment, 'data'), url } };
  });
  const { profile, ...meta } = asObject(document.meta) ?? {};
  const profiles = asArray(profile).filter((p) => !SIMPLIFIED_PROFILES.includes(asText(p)?.split('|')[0] ?? ''));
  const kept = profiles.length === 0 ? meta : { ...meta, profile: profiles };
  return {
    ...withUniqueIdType(withoutMember(document, 'meta') as Resource),
    ...(Object.keys(kept).length === 0 ? {} : { meta: kept }),
    identifier: [...asArray(document['identifier']), mhdIdentifier('entryUUID', `urn:uuid:${id}`)],
    content,
  };
}

const mhdIdentifier = (code: 'entryUUID' | 'uniqueId', value: string): JsonObject => ({
  type: { coding: [{ system: SYSTEM.mhdIdentifierType, code }] },
  system: SYSTEM.uri,
  value,
});

/** An OID made of a UUID (ITU-T X.667): unique without a registered root. */
const oidOf = (uuid: string): string => `urn:oid:2.25.${BigInt(`0x${uuid.replaceAll('-', '')}`)}`;

const SOURCES: readonly string[] = ['Practitioner', 'PractitionerRole', 'Patient', 'Device'];

/** The first author, where MHD lets them be the source of a submission, with what is contained of them. */
function sourceOf(document: Resource): { readonly source?: Json; readonly contained?: readonly Json[] } {
  const author = asArray(document['author'])[0];
  const text = referenceOf(author);
  if (author === undefined || text === undefined) return {};
  if (!text.startsWith('#')) return SOURCES.includes(text.split('/')[0] ?? '') ? { source: author } : {};
  const contained = asArray(document['contained']).map(asObject);
  const named = contained.find((r) => text === `#${asText(r?.['id'])}`);
  if (named === undefined || !SOURCES.includes(asText(named['resourceType']) ?? '')) return {};
  // What an author refers to comes with them: a PractitionerRole's Practitioner.
  const parts = contained.filter(
    (r) => r !== undefined && r !== named && JSON.stringify(named).includes(`"#${asText(r['id'])}"`),
  );
  return { source: author, contained: [named, ...(parts as readonly JsonObject[])] };
}

/** The SubmissionSet of one published document (MHD: what a Document Recipient makes of it). */
function submissionSet(work: Work, document: Resource): Json {
  const { claims } = work.caller;
  const structure = 'structure' in claims ? claims.structure : undefined;
  const sourceId = structure ?? { system: SYSTEM.uri, value: work.deps.baseUrl };
  const designation = asObject(document['type']);
  return {
    resourceType: 'List',
    meta: { profile: [SUBMISSION_SET_PROFILE] },
    ...sourceOf(document),
    extension: [
      ...(designation === undefined ? [] : [{ url: EXTENSION.designationType, valueCodeableConcept: designation }]),
      { url: EXTENSION.sourceId, valueIdentifier: { system: sourceId.system, value: sourceId.value } },
    ],
    identifier: [mhdIdentifier('uniqueId', oidOf(work.newId()))],
    status: 'current',
    mode: 'working',
    code: { coding: [{ system: SYSTEM.listType, code: 'submissionset' }] },
    subject: document['subject'] ?? {},
    date: new Date(work.now).toISOString(),
    entry: [{ item: { reference: `DocumentReference/${document.id ?? ''}` } }],
  };
}

/**
 * ITI-106 `DocumentReference/$generate-metadata` (IHE MHD 4.2): a structured document comes alone, its metadata is read out of it, and it is filed
 * like an ITI-105 publication, under the same rules. CDA R2 in a Binary is read; a FHIR document is not yet.
 */
import { readCdaHeader } from '../../../mappings/cda/header.ts';
import { asArray, asObject, asText } from '../../fhir/json.ts';
import { malformed, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { JsonObject } from '../../fhir/types.ts';
import type { Answer } from '../answer.ts';
import type { FhirRequest } from '../request.ts';
import { parametersText, readParameters, reference } from './parameters.ts';

export const GENERATE_METADATA = '$generate-metadata';

export const isGeneration = (request: FhirRequest): boolean =>
  request.method === 'POST' && request.path.join('/') === `DocumentReference/${GENERATE_METADATA}`;

/** What CDA is declared as; its content says what it is. */
const XML_TYPES: readonly string[] = [
  'text/xml',
  'application/xml',
  'application/hl7-cda+xml',
  'application/hl7-sda+xml',
];

/** The publication that a request for metadata comes to: the DocumentReference out of the header, the bytes as they came. */
export function publicationOf(request: FhirRequest): Result<FhirRequest> {
  const parameters = readParameters(request, ['document']);
  if (!parameters.ok) return parameters;
  const document = asObject(parameters.value.get('document')?.['resource']);
  const at = "Parameters.parameter.where(name='document').resource";
  if (document?.['resourceType'] === 'Bundle')
    return unprocessable('metadata are read out of CDA R2 in a Binary; FHIR documents are not read yet', at);
  const data = asText(document?.['data']);
  if (document?.['resourceType'] !== 'Binary' || data === undefined)
    return malformed('`document` is a Binary with its data', at);
  const contentType = asText(document['contentType']) ?? '';
  if (!XML_TYPES.includes(contentType.split(';')[0]?.trim().toLowerCase() ?? ''))
    return unprocessable(`CDA is one of ${XML_TYPES.join(', ')}`, `${at}.contentType`);
  const header = readCdaHeader(Buffer.from(data, 'base64').toString('utf8'));
  if (!header.ok) return header;
  return ok({
    ...request,
    path: ['DocumentReference'],
    body: { kind: 'json', value: withContent(header.value, { contentType, data }), mediaType: 'application/fhir+json' },
  });
}

/** The one content of the header's DocumentReference, its bytes inside. */
function withContent(document: JsonObject, bytes: JsonObject): JsonObject {
  const [content] = asArray(document['content']).map(asObject);
  return { ...document, content: [{ ...content, attachment: { ...asObject(content?.['attachment']), ...bytes } }] };
}

/** The answer of the operation: which DocumentReference was made. */
export function generated(answer: Answer): Answer {
  const made = /DocumentReference\/[A-Za-z0-9.-]+(?=\/_history\/)/.exec(answer.location ?? '')?.[0];
  const { etag: _etag, lastModified: _modified, location: _location, ...rest } = answer;
  return {
    ...rest,
    status: 200,
    body: parametersText(made === undefined ? [] : [reference('DocumentReference', made)]),
  };
}

/** From an HTTP request to a `FhirRequest`: everything that can be wrong with the form of a request is found here. */
import type { IncomingMessage } from 'node:http';
import type { FhirRequest, RequestBody } from '../app/request.ts';
import type { Definitions } from '../fhir/definitions.ts';
import { JSON_LIMITS, parseJson, stringify } from '../fhir/json-text.ts';
import { type Failure, fail, ok, type Result } from '../fhir/result.ts';
import { decodeQuery, type QueryPairs } from './address.ts';
import { type BodyLimits, BodyRefused, bodyChunks, bodyText, checkDeclaredLength, refuseBody } from './body.ts';
import { acceptedForm, type Form, formatOf, isReadable, isXml, parseMediaType } from './media-type.ts';
import { ENCODED_BODY } from './refusal.ts';
import { unwrapBinary } from './wrapped-binary.ts';
import { resourceOfXmlBody } from './xml-body.ts';

export type RequestLimits = {
  /** Bytes of a body that is parsed. */
  readonly maxBodyBytes: number;
  /** Bytes of the content of a Binary. */
  readonly maxBinaryBytes: number;
  /** Longest pause within a body, in milliseconds. */
  readonly bodyIdleMs: number;
};

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
export const ALLOW = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** The method, when FHIR has it. */
export const methodOf = (method: string | undefined): FhirRequest['method'] | undefined =>
  // INVARIANT: METHODS holds exactly the members of the union.
  method !== undefined && METHODS.has(method) ? (method as FhirRequest['method']) : undefined;

/**
 * The header fields that the application may know. `Host`, `Forwarded` and `X-Forwarded-*` are not among them: what
 * is not passed on cannot end up in a link (security.md I-18b).
 */
export const headersOf = (request: IncomingMessage): FhirRequest['headers'] => {
  const { headers } = request;
  return {
    accept: headers.accept,
    prefer: textOf(headers['prefer']),
    'if-match': headers['if-match'],
    'if-none-match': headers['if-none-match'],
    'if-modified-since': headers['if-modified-since'],
    'if-none-exist': textOf(headers['if-none-exist']),
    range: headers.range,
    'if-range': textOf(headers['if-range']),
    'x-security-context': textOf(headers['x-security-context']),
  };
};

const textOf = (value: string | readonly string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i;

/** The token of RFC 6750 section 2.1. Nothing else carries one: no form, no query parameter. */
export const bearerOf = (authorization: string | undefined): string | undefined =>
  authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];

/** `Binary/[id]` and its versions, read: the content itself may be asked for, in any type. */
export const readsContent = (method: string, path: readonly string[]): boolean =>
  path[0] === 'Binary' &&
  (method === 'GET' || method === 'HEAD') &&
  (path.length === 2 || (path.length === 4 && path[2] === '_history')) &&
  path[1]?.startsWith('_') === false &&
  !path[1].startsWith('$');

type Negotiable = {
  readonly method: string;
  readonly path: readonly string[];
  readonly query: QueryPairs;
  readonly accept: string | undefined;
};

/** The form of the answer: `_format` beats `Accept` (R4 http.html#mime-type). Fails with 406 when there is none. */
export function negotiated({ method, path, query, accept }: Negotiable): Result<Form> {
  const format = query.length === 0 ? undefined : query.find(([name]) => name === '_format')?.[1];
  const form = format === undefined ? acceptedForm(accept) : formatOf(format);
  if (form !== undefined) return ok(form);
  if (readsContent(method, path)) return ok('application/fhir+json');
  return fail({ code: 'not-acceptable', text: 'answers are `application/fhir+json` or `application/fhir+xml`' });
}

/** The query with each form of `_format` spelled in one way, so that the application need not know the others. */
export const withPlainFormat = (query: QueryPairs): QueryPairs =>
  query.length > 0 && query.some(([name]) => name === '_format')
    ? query.map((pair) => {
        const form = pair[0] === '_format' ? formatOf(pair[1]) : undefined;
        return form === undefined ? pair : ['_format', isXml(form) ? 'application/fhir+xml' : 'application/fhir+json'];
      })
    : query;

export type ReadBody = {
  readonly body: RequestBody;
  /** Parameters of a form. */
  readonly form: QueryPairs;
};

const NONE: ReadBody = { body: { kind: 'none' }, form: [] };

/** Whether a body comes with the request. */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';

const unsupported = (text: string): Failure => ({ code: 'unsupported-media-type', text });

/** Refuses what would have to be decoded first (security.md P-09). */
const checkCodings = ({ headers }: IncomingMessage): void => {
  const content = headers['content-encoding']?.trim().toLowerCase();
  const transfer = headers['transfer-encoding']?.trim().toLowerCase();
  if (content !== undefined && content !== '' && content !== 'identity') throw new BodyRefused(ENCODED_BODY);
  if (transfer !== undefined && transfer !== 'chunked') throw new BodyRefused(ENCODED_BODY);
};

const takesContent = (method: string, path: readonly string[]): boolean =>
  path[0] === 'Binary' &&
  ((method === 'POST' && path.length === 1) ||
    (method === 'PUT' && (path.length === 1 || (path.length === 2 && path[1]?.startsWith('$') === false))));

const JSON_TYPES: ReadonlySet<string> = new Set(['application/fhir+json', 'application/json']);
const JSON_PATCH = 'application/json-patch+json';
const FORM = 'application/x-www-form-urlencoded';

export type BodyAddress = { readonly method: FhirRequest['method']; readonly path: readonly string[] };

/** What a body is read by. */
export type BodyRules = { readonly limits: RequestLimits; readonly definitions: Definitions };

/** What an address takes, for a 415. */
const wantedOf = (method: string, isSearch: boolean): string => {
  if (isSearch) return FORM;
  const fhir = 'application/fhir+json` or `application/fhir+xml';
  return method === 'PATCH' ? `${JSON_PATCH}\`, or a FHIRPath Patch as \`${fhir}` : fhir;
};

/**
 * Reads the body that the address calls for: nothing, JSON or XML, a form, or content that streams. Throws `BodyRefused` or `ClientGone`; the
 * `source` of content throws them later.
 */
export async function readBody(
  request: IncomingMessage,
  { method, path }: BodyAddress,
  rules: BodyRules,
): Promise<ReadBody> {
  const { limits } = rules;
  if ((method !== 'POST' && method !== 'PUT' && method !== 'PATCH') || !hasBody(request)) return NONE;
  checkCodings(request);
  const header = request.headers['content-type'];
  const type = header === undefined ? undefined : parseMediaType(header);
  if (header === undefined || type === undefined) throw refuseBody(unsupported('the body has no media type'));
  if (takesContent(method, path)) return { body: contentOf(request, header, rules), form: [] };
  if (!isReadable(type)) throw refuseBody(unsupported('the body must be UTF-8 and FHIR 4.0'));
  const bodyLimits: BodyLimits = { maxBytes: limits.maxBodyBytes, idleMs: limits.bodyIdleMs };
  const isSearch = path.at(-1) === '_search';
  const accepted = isSearch
    ? type.essence === FORM
    : JSON_TYPES.has(type.essence) || isXml(type.essence) || (method === 'PATCH' && type.essence === JSON_PATCH);
  if (!accepted) throw refuseBody(unsupported(`the body must be \`${wantedOf(method, isSearch)}\``));
  checkDeclaredLength(request, bodyLimits);
  const text = await bodyText(request, bodyLimits);
  if (isSearch) {
    const form = decodeQuery(text, 'form');
    if (!form.ok) throw refuseBody(form.failure);
    return { body: { kind: 'none' }, form: form.value };
  }
  if (isXml(type.essence)) {
    const resource = await resourceOfXmlBody(text, rules.definitions);
    return { body: { kind: 'json', value: resource, mediaType: 'application/fhir+json' }, form: [] };
  }
  const value = parseJson(text, JSON_LIMITS);
  if (!value.ok) throw refuseBody(value.failure);
  return { body: { kind: 'json', value: value.value, mediaType: type.essence }, form: [] };
}

/** Text of a wrapped Binary beside its base64, and line breaks within it: four characters carry three bytes, 76 on a line. */
const wrappedSize = (bytes: number): number => Math.ceil(bytes * 1.4) + 65_536;

/** No body with more bytes than this is read, at whatever address. */
export const largestBody = (limits: RequestLimits): number =>
  Math.max(limits.maxBodyBytes, wrappedSize(limits.maxBinaryBytes));

/** A Binary in XML, as the JSON that it would have been: its base64 is one attribute, so it is held whole, and is no larger than any other body. */
async function* jsonOfXml(request: IncomingMessage, rules: BodyRules): AsyncGenerator<Buffer> {
  const { maxBodyBytes, bodyIdleMs } = rules.limits;
  const text = await bodyText(request, { maxBytes: maxBodyBytes, idleMs: bodyIdleMs });
  yield Buffer.from(stringify(await resourceOfXmlBody(text, rules.definitions)));
}

/** Content of a Binary: a FHIR type is a Binary resource to be unwrapped, any other type is the content itself. */
function contentOf(request: IncomingMessage, header: string, rules: BodyRules): RequestBody {
  const { limits } = rules;
  const type = parseMediaType(header);
  const essence = type?.essence ?? '';
  const inXml = essence === 'application/fhir+xml';
  const wrapped = inXml || essence === 'application/fhir+json';
  if (wrapped && type !== undefined && !isReadable(type))
    throw refuseBody(unsupported('the body must be UTF-8 and FHIR 4.0'));
  const bodyLimits: BodyLimits = {
    maxBytes: inXml ? limits.maxBodyBytes : wrapped ? wrappedSize(limits.maxBinaryBytes) : limits.maxBinaryBytes,
    idleMs: limits.bodyIdleMs,
  };
  checkDeclaredLength(request, bodyLimits);
  if (inXml) return { kind: 'bytes', ...unwrapBinary(jsonOfXml(request, rules)), wrapped };
  const pieces = bodyChunks(request, bodyLimits);
  return wrapped
    ? { kind: 'bytes', ...unwrapBinary(pieces), wrapped }
    : { kind: 'bytes', source: pieces, contentType: Promise.resolve(header.trim()), wrapped };
}

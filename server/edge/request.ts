/** HTTP → `FhirRequest`: everything that can be refused before a token is looked at. R4 http.html; security.md P-03 to P-05, P-09. */
import type { IncomingMessage } from 'node:http';
import type { FhirRequest, RequestBody } from '../app/request.ts';
import { JSON_LIMITS, parseJson } from '../fhir/json-text.ts';
import { fail, malformed, ok, type Result } from '../fhir/result.ts';
import { unwrapBinary } from './wrapped-binary.ts';

export type RequestLimits = {
  readonly maxBodyBytes: number;
  readonly maxUrlBytes: number;
};

export type ReadOptions = {
  /** Path of the base URL, without a trailing slash. */
  readonly basePath: string;
  readonly limits: RequestLimits;
  readonly requestId: string;
  readonly address: string;
};

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPES: readonly string[] = ['application/fhir+json', 'application/json', 'application/json-patch+json'];

/** The media type of a `Content-Type`, in lower case, and its charset. */
const mediaTypeOf = (header: string | undefined): { readonly type: string; readonly charset: string | undefined } => {
  const [type = '', ...parameters] = (header ?? '').split(';').map((p) => p.trim());
  const charset = parameters.map((p) => /^charset="?([^"]+)"?$/i.exec(p)?.[1]).find((c) => c !== undefined);
  return { type: type.toLowerCase(), charset: charset?.toLowerCase() };
};

const decode = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
};

/** Decoded pairs of a query or a form; `undefined` when an escape cannot be read. */
export function readPairs(text: string): readonly (readonly [string, string])[] | undefined {
  const pairs: (readonly [string, string])[] = [];
  for (const part of text.split('&')) {
    if (part === '') continue;
    const at = part.indexOf('=');
    const name = decode((at < 0 ? part : part.slice(0, at)).replaceAll('+', ' '));
    const value = decode((at < 0 ? '' : part.slice(at + 1)).replaceAll('+', ' '));
    if (name === undefined || value === undefined) return undefined;
    pairs.push([name, value]);
  }
  return pairs;
}

/** Whether an answer in FHIR JSON is acceptable. `_format` beats `Accept` (R4 http.html#general). */
function acceptsJson(format: string | undefined, accept: string | undefined): boolean {
  if (format !== undefined) return /^(json|(application|text)\/(fhir\+)?json)\b/i.test(format.replace(' ', '+'));
  if (accept === undefined || accept.trim() === '') return true;
  return accept.split(',').some((part) => {
    const [type = '', ...parameters] = part.split(';').map((p) => p.trim().toLowerCase());
    if (parameters.some((p) => /^q=0(\.0+)?$/.test(p))) return false;
    const version = parameters.find((p) => p.startsWith('fhirversion='));
    if (version !== undefined && !/^fhirversion="?4\.0(\.\d+)?"?$/.test(version)) return false;
    return ['*/*', 'application/*', 'application/fhir+json', 'application/json', 'text/json', 'json'].includes(type);
  });
}

export async function readRequest(message: IncomingMessage, options: ReadOptions): Promise<Result<FhirRequest>> {
  const url = message.url ?? '/';
  if (url.length > options.limits.maxUrlBytes) return fail({ code: 'too-large', text: 'the address is too long' });
  const [rawPath = '', ...rest] = url.split('?');
  const path = rawPath
    .slice(options.basePath.length)
    .split('/')
    .filter((s) => s !== '')
    .map(decode);
  if (path.some((s) => s === undefined || s.includes('/'))) return malformed('the address cannot be decoded');
  const query = readPairs(rest.join('?'));
  if (query === undefined) return malformed('the query cannot be decoded');
  const method = message.method ?? '';
  if (!METHODS.includes(method)) {
    return fail({ code: 'method-not-allowed', text: 'this method is not supported', allow: METHODS.join(', ') });
  }
  const segments = path.filter((s) => s !== undefined);
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(message.headers))
    headers[name] = Array.isArray(value) ? value.join(', ') : value;
  const content = segments[0] === 'Binary' && segments.length <= 2;
  if (!(content && (method === 'GET' || method === 'HEAD'))) {
    if (!acceptsJson(query.find(([n]) => n === '_format')?.[1], headers['accept'])) {
      return fail({ code: 'not-acceptable', text: 'answers are `application/fhir+json`' });
    }
  }
  const body = await readBody(message, { ...options, method, segments });
  if (!body.ok) return body;
  return ok({
    // INVARIANT: one of METHODS.
    method: method as FhirRequest['method'],
    path: segments,
    query: [...query, ...body.value.form],
    headers,
    body: body.value.body,
    requestId: options.requestId,
    bearer: bearerOf(headers['authorization']),
    address: options.address,
  });
}

/** RFC 6750: the token of an `Authorization: Bearer`; nowhere else is one looked for. */
const bearerOf = (header: string | undefined): string | undefined => /^Bearer ([^\s]+)$/i.exec(header ?? '')?.[1];

type Read = { readonly body: RequestBody; readonly form: readonly (readonly [string, string])[] };
type BodyOptions = ReadOptions & { readonly method: string; readonly segments: readonly string[] };

const NONE: Read = { body: { kind: 'none' }, form: [] };

async function readBody(message: IncomingMessage, options: BodyOptions): Promise<Result<Read>> {
  const { method, segments } = options;
  const announced = message.headers['content-length'];
  const empty = announced === undefined || announced === '0';
  if (
    method === 'GET' ||
    method === 'HEAD' ||
    method === 'DELETE' ||
    (empty && message.headers['transfer-encoding'] === undefined)
  ) {
    return ok(NONE);
  }
  const encoding = message.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return fail({ code: 'unsupported-media-type', text: 'bodies are not compressed' });
  }
  const { type, charset } = mediaTypeOf(message.headers['content-type']);
  const content = segments[0] === 'Binary' && segments.length === 1 && method === 'POST';
  if (content) return ok({ body: binaryBody(message, type), form: [] });
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') {
    return fail({ code: 'unsupported-media-type', text: 'bodies are UTF-8' });
  }
  const form = type === FORM && segments.at(-1) === '_search';
  if (!form && !JSON_TYPES.includes(type)) {
    return fail({
      code: 'unsupported-media-type',
      text: 'the body is `application/fhir+json`, or `application/json-patch+json` for a patch',
    });
  }
  const text = await readText(message, options.limits.maxBodyBytes);
  if (!text.ok) return text;
  if (form) {
    const pairs = readPairs(text.value);
    return pairs === undefined ? malformed('the form cannot be decoded') : ok({ body: { kind: 'none' }, form: pairs });
  }
  const parsed = parseJson(text.value, JSON_LIMITS);
  return parsed.ok ? ok({ body: { kind: 'json', value: parsed.value, mediaType: type }, form: [] }) : parsed;
}

function binaryBody(message: IncomingMessage, type: string): RequestBody {
  const source: AsyncIterable<Uint8Array> = message;
  if (type !== 'application/fhir+json' && type !== 'application/json') {
    return {
      kind: 'bytes',
      source,
      contentType: Promise.resolve(type === '' ? 'application/octet-stream' : type),
      wrapped: false,
    };
  }
  const { content, contentType } = unwrapBinary(source);
  return { kind: 'bytes', source: content, contentType, wrapped: true };
}

/** The body as text, at most `limit` bytes; what is longer is refused before it is read, where it says so itself. */
async function readText(message: IncomingMessage, limit: number): Promise<Result<string>> {
  const tooLarge = fail({ code: 'too-large', text: `a body has at most ${limit} bytes` });
  if (Number(message.headers['content-length'] ?? 0) > limit) return tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > limit) return tooLarge;
    chunks.push(chunk);
  }
  try {
    return ok(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks)));
  } catch {
    return malformed('the body is not UTF-8');
  }
}

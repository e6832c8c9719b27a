/** The outside of a token: RFC 7515 compact form, read strictly before any key is chosen (security.md T-01 to T-03, T-12). */
import type { JsonObject } from '../../fhir/types.ts';
import { parseStrictJson } from './strict-json.ts';

/** The signature algorithms this server knows: asymmetric ones only, so that no key can serve as a shared secret (T-01). */
export const ALGORITHMS: ReadonlyMap<string, { readonly kty: 'RSA' | 'EC'; readonly crv?: string }> = new Map([
  ['RS256', { kty: 'RSA' }],
  ['RS384', { kty: 'RSA' }],
  ['RS512', { kty: 'RSA' }],
  ['PS256', { kty: 'RSA' }],
  ['PS384', { kty: 'RSA' }],
  ['PS512', { kty: 'RSA' }],
  ['ES256', { kty: 'EC', crv: 'P-256' }],
  ['ES384', { kty: 'EC', crv: 'P-384' }],
  ['ES512', { kty: 'EC', crv: 'P-521' }],
]);

/** The largest token read, in bytes. */
export const MAX_TOKEN_BYTES = 8192;
const MAX_DEPTH = 12;

/** RFC 9068 and plain JWT. An `id_token`, a `logout+jwt`, a `dpop+jwt` is something else (T-12). */
const ACCESS_TOKEN_TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']);

/** Headers that would let a token choose its key, or change what the signature means. */
const REFUSED_HEADERS = ['crit', 'jku', 'jwk', 'x5u', 'x5c', 'x5t', 'x5t#S256', 'b64', 'zip', 'enc', 'cty'] as const;

/** A token taken apart, nothing verified yet. */
export type CompactToken = {
  readonly alg: string;
  readonly kty: 'RSA' | 'EC';
  readonly kid: string | undefined;
  readonly payload: JsonObject;
};

/** A value, or why the token is refused: one lower-case sentence for the log, which never quotes the token. */
export type Checked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string };

export const refused = (why: string): { readonly ok: false; readonly why: string } => ({ ok: false, why });

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function readSegment(name: string, segment: string): Checked<JsonObject> {
  const bytes = Buffer.from(segment, 'base64url');
  // One spelling only: padding, `+/` and stray trailing bits would let two texts be the same token.
  if (bytes.toString('base64url') !== segment) return refused(`the ${name} is not canonical base64url`);
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    return refused(`the ${name} is not utf-8`);
  }
  const json = parseStrictJson(text, MAX_DEPTH);
  if (!json.ok) return refused(`the ${name}: ${json.why}`);
  const { value } = json;
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    return refused(`the ${name} is not an object`);
  // INVARIANT: not null, not an array, an object: what is left of Json is JsonObject (Array.isArray does not narrow readonly arrays).
  return { ok: true, value: value as JsonObject };
}

/** Takes a bearer token apart and refuses every header that this server does not expect. */
export function readCompact(token: string): Checked<CompactToken> {
  if (Buffer.byteLength(token) > MAX_TOKEN_BYTES) return refused(`the token is larger than ${MAX_TOKEN_BYTES} bytes`);
  const [head, body, signature, ...rest] = token.split('.');
  if (!head || !body || !signature || rest.length > 0)
    return refused('the token is not three segments of a signed jwt');

  const header = readSegment('header', head);
  if (!header.ok) return header;
  const found = REFUSED_HEADERS.find((name) => Object.hasOwn(header.value, name));
  if (found !== undefined) return refused(`the header \`${found}\` is not accepted`);

  const { alg, typ, kid } = header.value;
  const algorithm = typeof alg === 'string' ? ALGORITHMS.get(alg) : undefined;
  if (typeof alg !== 'string' || algorithm === undefined)
    return refused('the algorithm is not one of the accepted ones');
  if (typ !== undefined && (typeof typ !== 'string' || !ACCESS_TOKEN_TYPES.has(typ.toLowerCase())))
    return refused('the header `typ` is not that of an access token');
  if (kid !== undefined && typeof kid !== 'string') return refused('the header `kid` is not a string');

  const payload = readSegment('payload', body);
  if (!payload.ok) return payload;
  return { ok: true, value: { alg, kty: algorithm.kty, kid, payload: payload.value } };
}

/** A JSON Web Key Set (RFC 7517) as a registry of public verification keys (security.md T-01, T-03). */
import { createPublicKey, type KeyObject } from 'node:crypto';
import type { Json, JsonObject } from '../../fhir/types.ts';
import { ALGORITHMS, type Checked, refused } from './jws.ts';

/** One registered key, and the only algorithms it may verify. */
export type VerificationKey = {
  readonly kid: string | undefined;
  readonly kty: 'RSA' | 'EC';
  readonly algorithms: ReadonlySet<string>;
  readonly key: KeyObject;
};

export type KeySet = {
  /** `kty kid` → key. */
  readonly named: ReadonlyMap<string, VerificationKey>;
  /** The key of a set of one, which a token may use without `kid`. */
  readonly only: VerificationKey | undefined;
};

const MAX_KEYS = 64;
const MIN_RSA_BITS = 2048;
const MIN_RSA_EXPONENT = 65537n;

/** Members that only a private or a symmetric key has (RFC 7518 section 6). */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'] as const;

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const mayVerify = (jwk: JsonObject): boolean =>
  (jwk['use'] === undefined || jwk['use'] === 'sig') &&
  (jwk['key_ops'] === undefined || (Array.isArray(jwk['key_ops']) && jwk['key_ops'].includes('verify')));

/** The algorithms that a JWK pins: its `alg`, or those its type and curve allow. */
function algorithmsOf(jwk: JsonObject): ReadonlySet<string> {
  const fits = [...ALGORITHMS].filter(
    ([, { kty, crv }]) => kty === jwk['kty'] && (crv === undefined || crv === jwk['crv']),
  );
  return new Set(fits.map(([alg]) => alg).filter((alg) => jwk['alg'] === undefined || jwk['alg'] === alg));
}

/** A usable key, `undefined` for one that this server has no use for (RFC 7517 section 5), or why the whole set is refused. */
function readKey(jwk: JsonObject): Checked<VerificationKey | undefined> {
  if (jwk['kty'] === 'oct') return refused('a key is symmetric (`oct`)');
  if (SECRET_MEMBERS.some((member) => Object.hasOwn(jwk, member))) return refused('a key has private members');
  const { kty, kid } = jwk;
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) return refused('a `kid` is not a non-empty string');
  if ((kty !== 'RSA' && kty !== 'EC') || !mayVerify(jwk)) return { ok: true, value: undefined };
  const algorithms = algorithmsOf(jwk);
  if (algorithms.size === 0) return { ok: true, value: undefined };
  let key: KeyObject;
  try {
    // INVARIANT: node checks the members of the JWK itself and throws on what is not a key.
    key = createPublicKey({ key: { ...jwk } as Record<string, string>, format: 'jwk' });
  } catch {
    return refused('a key does not parse');
  }
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {};
  if (kty === 'RSA' && (modulusLength === undefined || modulusLength < MIN_RSA_BITS))
    return refused(`an rsa key is shorter than ${MIN_RSA_BITS} bits`);
  if (kty === 'RSA' && (publicExponent === undefined || publicExponent < MIN_RSA_EXPONENT))
    return refused(`an rsa key has a public exponent below ${MIN_RSA_EXPONENT}`);
  return { ok: true, value: { kid, kty, algorithms, key } };
}

const nameOf = (kty: string, kid: string): string => `${kty} ${kid}`;

/** Reads a whole key set; one bad key refuses it all, because a set that leaks a private key is not to be trusted. */
export function readKeySet(value: Json): Checked<KeySet> {
  const list = isObject(value) ? value['keys'] : undefined;
  if (!Array.isArray(list)) return refused('it is not a key set with an array `keys`');
  if (list.length > MAX_KEYS) return refused(`it holds more than ${MAX_KEYS} keys`);
  const usable: VerificationKey[] = [];
  // INVARIANT: Array.isArray forgets the element type; the elements of a Json array are Json.
  for (const jwk of list as readonly Json[]) {
    if (!isObject(jwk)) return refused('a key is not an object');
    const key = readKey(jwk);
    if (!key.ok) return key;
    if (key.value !== undefined) usable.push(key.value);
  }
  if (usable.length === 0) return refused('it holds no usable signature key');
  const named = new Map<string, VerificationKey>();
  for (const key of usable) {
    if (key.kid === undefined) {
      if (usable.length > 1) return refused('a key of several has no `kid`');
      continue;
    }
    if (named.has(nameOf(key.kty, key.kid))) return refused('two keys share one `kid` and one `kty`');
    named.set(nameOf(key.kty, key.kid), key);
  }
  return { ok: true, value: { named, only: usable.length === 1 ? usable[0] : undefined } };
}

/** The one key that a token names, `undefined` when there is none (T-03: exactly one match on `kid` and `kty`). */
export function keyNamed(keys: KeySet, kty: string, kid: string | undefined): VerificationKey | undefined {
  if (kid !== undefined) return keys.named.get(nameOf(kty, kid));
  return keys.only?.kty === kty ? keys.only : undefined;
}

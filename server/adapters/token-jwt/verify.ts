/** The one door for bearer tokens: `jsonwebtoken` behind a strict wrapper (security.md T-01 to T-04, T-12, T-13). */
import { createHash, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { fail, ok } from '../../fhir/result.ts';
import type { Instant } from '../../fhir/types.ts';
import type { TokenVerifier } from '../../ports/token-verifier.ts';
import { type DatedClaims, readClaims } from './claims.ts';
import type { TrustedIssuer } from './issuer.ts';
import { type FetchKeySet, inlineKeys, type KeySource, publishedKeys } from './jwks-source.ts';
import { type Checked, MAX_TOKEN_BYTES, readCompact, refused } from './jws.ts';

/** How many verified tokens are remembered; at about 2 kB each. */
const MAX_REMEMBERED = 4096;

export type TokenVerifierOptions = {
  readonly issuers: readonly TrustedIssuer[];
  /** Our own base URL, under which `fhirUser` may be absolute. */
  readonly baseUrl: string;
  /** rules.md C3, in seconds. */
  readonly clockToleranceSeconds: number;
  readonly fetchKeySet: FetchKeySet;
  /** Milliseconds that never go back, for the age of key sets (T-13). */
  readonly monotonic: () => number;
};

/** What was verified once, and what it takes to trust it again: the same key still registered. */
type Verified = DatedClaims & {
  readonly key: KeyObject;
  readonly kty: string;
  readonly kid: string | undefined;
};

type Trusted = { readonly issuer: TrustedIssuer; readonly keys: KeySource };

/** Whether the signature of the whole token is that of this key, by this algorithm and no other. */
function isSigned(token: string, key: KeyObject, alg: string): boolean {
  try {
    // Time is judged by C3 at every call, with the server's one instant; here only the signature counts.
    jwt.verify(token, key, {
      // INVARIANT: the algorithm is one of ALGORITHMS, all of them known to jsonwebtoken.
      algorithms: [alg as jwt.Algorithm],
      ignoreExpiration: true,
      ignoreNotBefore: true,
    });
    return true;
  } catch {
    return false;
  }
}

/** C3: refused before `iat` (or `nbf`) and from the instant of `exp` on. */
function faultOfTime({ claims, notBefore }: DatedClaims, now: Instant, tolerance: number): string | undefined {
  if (now < notBefore - tolerance) return 'C3: the token is not valid yet';
  return now >= claims.expiresAt + tolerance ? 'C3: the token has expired' : undefined;
}

/** A bounded map that forgets what was used longest ago. */
function remember(memory: Map<string, Verified>, name: string, verified: Verified): void {
  memory.delete(name);
  memory.set(name, verified);
  const oldest = memory.size > MAX_REMEMBERED ? memory.keys().next() : undefined;
  if (oldest?.done === false) memory.delete(oldest.value);
}

/**
 * A verifier of the tokens of these issuers. A signature once verified is remembered under the SHA-256 of the token, as
 * long as its key stays registered; whatever depends on time is judged at every call.
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { baseUrl, fetchKeySet, monotonic } = options;
  const tolerance = options.clockToleranceSeconds * 1000;
  const trusted: ReadonlyMap<string, Trusted> = new Map(
    options.issuers.map((issuer) => {
      const { keys } = issuer;
      const source = keys.from === 'url' ? publishedKeys(keys.url, fetchKeySet, monotonic) : inlineKeys(keys.set);
      return [issuer.issuer, { issuer, keys: source }];
    }),
  );
  const memory = new Map<string, Verified>();

  const check = async (token: string): Promise<Checked<Verified>> => {
    const compact = readCompact(token);
    if (!compact.ok) return compact;
    const { alg, kty, kid, payload } = compact.value;
    const from = typeof payload['iss'] === 'string' ? trusted.get(payload['iss']) : undefined;
    if (from === undefined) return refused('the issuer is not trusted');
    const found = await from.keys.find(kty, kid);
    if (!found.ok) return found;
    const { key, algorithms } = found.value;
    if (!algorithms.has(alg)) return refused('the algorithm is not that of the registered key');
    if (!isSigned(token, key, alg)) return refused('the signature does not hold');
    const read = readClaims(payload, from.issuer, baseUrl);
    return read.ok ? { ok: true, value: { ...read.value, key, kty, kid } } : read;
  };

  const recall = async (name: string): Promise<Verified | undefined> => {
    const known = memory.get(name);
    if (known === undefined) return undefined;
    const found = await trusted.get(known.claims.issuer)?.keys.find(known.kty, known.kid);
    if (found?.ok === true && found.value.key === known.key) return known;
    // The key was withdrawn, or the set was read anew: the signature is verified again.
    memory.delete(name);
    return undefined;
  };

  return {
    verify: async (bearer, now) => {
      if (bearer.length > MAX_TOKEN_BYTES)
        return fail({ code: 'unauthenticated', why: `the token is larger than ${MAX_TOKEN_BYTES} bytes` });
      const name = createHash('sha256').update(bearer).digest('base64');
      const known = await recall(name);
      const checked: Checked<Verified> = known === undefined ? await check(bearer) : { ok: true, value: known };
      if (!checked.ok) return fail({ code: 'unauthenticated', why: checked.why });
      const fault = faultOfTime(checked.value, now, tolerance);
      if (fault !== undefined) return fail({ code: 'unauthenticated', why: fault });
      remember(memory, name, checked.value);
      return ok(checked.value.claims);
    },
  };
}

import type { Claims } from '../access/caller.ts';
import type { Result } from '../fhir/result.ts';
import type { Instant } from '../fhir/types.ts';

export interface TokenVerifier {
  /**
   * Checks a bearer token against rules.md section 1 at `now`. Fails with `unauthenticated` (whose `why` is for the
   * log only) and with nothing else: one identical 401 for every refused token.
   */
  verify(bearer: string, now: Instant): Promise<Result<Claims>>;
}

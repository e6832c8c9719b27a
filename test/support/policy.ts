/** The policy of a world of the oracle as the server takes it: the choices that the oracle does not know are those of the shipped file. */
import type { Policy } from '../../server/access/policy.ts';
import type { WorldPolicy } from '../oracle/world.ts';

export const policyOf = (policy: WorldPolicy): Policy => ({
  emergencyMaskedUnlessDenied: false,
  accessSessionMinutes: 60,
  ...policy,
  clockToleranceSeconds: 0,
});

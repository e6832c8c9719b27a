import type { Fault } from '../../fhir/result.ts';
import type { Resource } from '../../fhir/types.ts';
import type { ResourceValidator } from '../../ports/validator.ts';
import type { R4Definitions } from './definitions.ts';
import { schemaGate } from './schema-gate.ts';
import { shapes } from './shape.ts';
import { type Walk, walkResource } from './walk.ts';

const MOST_FAULTS = 50;
const DEPTH = 64;

/** A validator that can be made ready before the first write of a type. */
export interface WarmValidator extends ResourceValidator {
  /** Compiles the types one after the other, leaving the event loop between two; resolves when all are ready. Unknown names are passed over. */
  warm(types: readonly string[]): Promise<void>;
}

/**
 * Validation against base R4: ajv on the JSON schema decides fast whether the structure is right, the walk checks what a schema cannot say
 * and names each fault. Both must accept. A type is compiled at its first use.
 */
export const r4Validator = (definitions: R4Definitions): WarmValidator => {
  const gate = schemaGate(definitions.schema);
  const shape = shapes(definitions);

  return {
    validate: (resource: Resource): readonly Fault[] => {
      const type = resource.resourceType;
      const walk: Walk = { shape, most: MOST_FAULTS, depth: DEPTH, faults: [] };
      walkResource(walk, resource, { path: type, depth: 1, root: undefined });
      // A schema error that the walk does not see would be a difference between two readings of R4: refused, without a place.
      if (walk.faults.length === 0 && gate.accepts(type, resource) !== true)
        return [{ code: 'structure', at: type, text: `not a valid \`${type}\` by the R4 JSON schema` }];
      return walk.faults;
    },
    warm: async (types) => {
      for (const type of types) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        gate.prepare(type);
        shape(type);
      }
    },
  };
};

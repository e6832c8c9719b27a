import type { Fault } from '../fhir/result.ts';
import type { Resource } from '../fhir/types.ts';

export interface ResourceValidator {
  /**
   * Every fault of the structure of `resource` against R4 (cardinalities, types, primitive formats, required bindings,
   * invariants), each with a FHIRPath expression in `at`; empty when there is none. At most 50 faults are returned.
   */
  validate(resource: Resource): readonly Fault[];
}

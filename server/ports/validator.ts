import type { Fault } from '../fhir/result.ts';
import type { Resource } from '../fhir/types.ts';

export interface ResourceValidator {
  /**
   * Every fault of the structure of `resource` against R4 (cardinalities, types, primitive formats, required bindings,
   * invariants), each with a FHIRPath expression in `at`; empty when there is none. At most 50 faults are returned.
   */
  validate(resource: Resource): readonly Fault[];
}

/** What was found against a profile. A warning refuses nothing: a code outside an extensible binding, an invariant that cannot be evaluated. */
export type Finding = Fault & { readonly severity: 'error' | 'warning' };

export interface ProfileValidator {
  /** Whether this canonical, with or without `|version`, is one that resources can be judged by: R4's own types, ours, those of the host's packages. */
  knows(canonical: string): boolean;
  /**
   * What is wrong with `resource` by each of the profiles, those that are not known left out. The resource is valid R4 already. At most 50 findings,
   * none twice. Nothing is looked up for it: a reference is judged by what is inside the resource.
   */
  check(resource: Resource, canonicals: readonly string[]): readonly Finding[];
  /** The profiles of a type that the host's packages bring, for the CapabilityStatement; sorted. */
  ofPackages(type: string): readonly string[];
}

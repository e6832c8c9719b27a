/** What must be true before the first request is served; each fault is one sentence, and any stops the start. */
import type { SearchRegistry } from '../fhir/search-parameter.ts';

export type SelfCheck = {
  readonly registry: SearchRegistry;
  /** Declared types, and those that have an access row for at least one kind of caller. */
  readonly declared: readonly string[];
  readonly withAccess: readonly string[];
};

/** The faults that make a start unsafe; empty when there is none. The store checks its own sync mode when it is opened. */
export function unsafeSettings(check: SelfCheck): readonly string[] {
  return [
    ...check.registry.errors.map((error) => `a search parameter does not compile: ${error}`),
    ...check.declared
      .filter((type) => !check.withAccess.includes(type))
      .map((type) => `the type ${type} has no access declaration`),
    ...check.registry.types
      .filter((type) => !check.declared.includes(type))
      .map((type) => `the type ${type} can be searched and is not declared`),
  ];
}

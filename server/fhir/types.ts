/** The FHIR vocabulary every layer shares. R4 4.0.1: https://hl7.org/fhir/R4/ */
import type { Resource as FhirResource } from '@medplum/fhirtypes';

/** Milliseconds since the epoch. The only form of time inside the server; it becomes text at the edge (UTC). */
export type Instant = number;

/** A literal, unversioned reference: `Patient/p1`. */
export type Ref = `${string}/${string}`;

/** The address of a resource. */
export type Key = { readonly type: string; readonly id: string };

/** Any resource as parsed JSON. Element access goes through narrowing, never through `any`. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** A resource whose type is only known at run time. */
export type Resource = JsonObject & { readonly resourceType: string; readonly id?: string; readonly meta?: JsonObject };

/** The typed view of a resource, for code that knows which one it holds. */
export type { FhirResource };

export const refOf = (key: Key): Ref => `${key.type}/${key.id}`;

/** Exhaustiveness: a call compiles only where every case has been handled. */
export const unreachable = (value: never): never => {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
};

import type { Instant } from '../fhir/types.ts';

/** The server's clock (rules.md T4). One reading per request; every rule of that request sees the same instant. */
export interface Clock {
  now(): Instant;
}

/** Source of ids that tell nothing: random UUIDs (version 4), never counters. */
export interface IdSource {
  next(): string;
}

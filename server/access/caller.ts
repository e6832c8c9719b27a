import type { Instant, Ref } from '../fhir/types.ts';

/** `system|value` of a business identifier, as claims and searches carry it. */
export type Identifier = { readonly system: string; readonly value: string };

export type Purpose = 'TREAT' | 'BTG' | 'ETREAT';

/** One SMART scope that was understood. v1 is translated to v2 letters. */
export type Scope = {
  readonly context: 'patient' | 'user' | 'system';
  /** A resource type, or `*`. */
  readonly type: string;
  readonly c: boolean;
  readonly r: boolean;
  readonly u: boolean;
  readonly d: boolean;
  readonly s: boolean;
  /** Search parameters that narrow the scope (SMART v2), as in a URL; empty when there are none. */
  readonly constraint: readonly (readonly [param: string, value: string])[];
  /** The scope as written, for explanations. */
  readonly text: string;
};

/** What every token that passed carries. */
type TokenCommon = {
  readonly issuer: string;
  readonly clientId: string;
  readonly subject: string;
  readonly tokenId: string;
  readonly issuedAt: Instant;
  readonly expiresAt: Instant;
  readonly scopes: readonly Scope[];
  /** rules.md C6: connexion secrète. */
  readonly secret: boolean;
  /** The reason claim: of an emergency (C5), or of an operator's repair (W15). */
  readonly reason?: string;
  /** rules.md C6: the one person this token is limited to. */
  readonly patient?: Ref;
};

/**
 * The claims of a verified token (rules.md section 1): complete for its kind, nothing looked up yet.
 * Whom the identifiers name is resolved against the directory at each request, in the unit that decides.
 */
export type Claims = TokenCommon &
  (
    | { readonly kind: 'patient'; readonly fhirUser: Ref; readonly patient: Ref }
    | { readonly kind: 'representative'; readonly fhirUser: Ref; readonly actsFor: Ref }
    | {
        readonly kind: 'professional';
        readonly fhirUser: Ref;
        readonly nationalId: Identifier;
        readonly profession: string;
        readonly structure: Identifier;
        readonly purpose: Purpose;
        readonly name?: string;
      }
    | { readonly kind: 'feeder'; readonly structure: Identifier; readonly name?: string }
    | { readonly kind: 'insurer'; readonly structure?: Identifier; readonly name?: string }
    | { readonly kind: 'operator'; readonly fhirUser?: Ref; readonly name?: string }
  );

export type CallerKind = Claims['kind'];

/**
 * Who asks: verified claims, resolved to the directory and the register of persons.
 *
 * `self` is the caller's own resource (Patient, RelatedPerson, Practitioner; a backend's Organization),
 * `structure` the Organization acted for, `person` the one person the caller is limited to (holder, representative, C6).
 */
export type Caller = {
  readonly claims: Claims;
  readonly kind: CallerKind;
  readonly self?: Ref;
  readonly structure?: Ref;
  readonly person?: Ref;
  readonly purpose?: Purpose;
  readonly profession?: string;
};

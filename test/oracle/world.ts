/**
 * A flat description of one world: people, directory, items and policy, as `rules.md` speaks of them.
 * Instants are ISO 8601 strings; period bounds keep the precision they were written with. Ids are bare
 * logical ids, `type` tells them apart. Nothing here knows FHIR resources or the server.
 */

/** S: the eight states of a space (`rules.md` section 2). */
export type SpaceState = 'invited' | 'opposed' | 'open' | 'active' | 'suspended' | 'closed' | 'legacy-dmp' | 'deceased';

/** The visibility labels of TRE_A07 that `rules.md` section 4 names, and two that it does not. */
export type Label =
  | 'MASQUE_PS'
  | 'INVISIBLE_PATIENT'
  | 'INVISIBLE_REPRESENTANTS_LEGAUX'
  | 'MASQUE_PSOCIAL'
  | 'MASQUE_PT';

/** A reference to a possible actor of a Consent. */
export type ActorRef = {
  readonly type: 'Practitioner' | 'Organization' | 'RelatedPerson' | 'Patient';
  readonly id: string;
};

/** Bounds as written (`2026`, `2026-03`, `2026-03-01`, or a dateTime with its offset), inclusive at their precision (T1). */
export type Period = { readonly start?: string; readonly end?: string };

/** Who filed an item, as the server recorded it from the token; `person` is a Practitioner, `related` a RelatedPerson. */
export type FiledBy = {
  readonly side: 'professional' | 'feeder' | 'holder' | 'representative' | 'insurer' | 'operator';
  readonly person?: string;
  readonly structure?: string;
  readonly related?: string;
};

/** What every item has: an id unique within its type, and whether it was logically deleted. */
type Base = { readonly id: string; readonly deleted?: boolean };

/** An item under the label gate: its own labels, who filed it, when (absent: not known). */
type Labelled = Base & {
  readonly person: string;
  readonly labels: readonly Label[];
  readonly filedBy: FiledBy;
  readonly filedAt?: string;
  /** The `document-default` deny under which it was unmasked (W5), by Consent id. */
  readonly unmaskedUnder?: string;
  /** W6: INVISIBLE_REPRESENTANTS_LEGAUX was released once. */
  readonly shownToRepresentatives?: boolean;
};

/** D1: a document; `docType` is its type code, without system. */
export type DocumentItem = Labelled & {
  readonly type: 'DocumentReference';
  readonly docType: string;
  readonly superseded?: boolean;
  /** The document that this one replaced, by id. */
  readonly replaces?: string;
  /** For who builds the world: filed in a secret session (W8), which gave it its INVISIBLE_REPRESENTANTS_LEGAUX. */
  readonly secretSession?: boolean;
};

/** D2: what is labelled, without matrix, beside directives. */
export type ImmunizationItem = Labelled & { readonly type: 'Immunization' };

/** D2: a RelatedPerson, possibly the one of a delegation. */
export type RelatedPersonItem = Labelled & { readonly type: 'RelatedPerson' };

/** D4: payer data. */
export type PayerItem = Labelled & { readonly type: 'ExplanationOfBenefit' | 'Coverage' };

/** D6: participants are already resolved to persons and structures. */
export type AppointmentItem = Labelled & {
  readonly type: 'Appointment';
  readonly practitioners: readonly string[];
  readonly structures: readonly string[];
};

/** The bytes of a document; `document` is absent while nothing refers to it. */
export type BinaryItem = Base & { readonly type: 'Binary'; readonly document?: string; readonly filedBy: FiledBy };

/** A List or Provenance of documents. */
export type CompanionItem = Base & {
  readonly type: 'List' | 'Provenance';
  readonly person: string;
  readonly documents: readonly string[];
  readonly filedBy: FiledBy;
};

/** D3: the medical profile. */
export type ProfileItem = Base & {
  readonly type:
    | 'Condition'
    | 'AllergyIntolerance'
    | 'Procedure'
    | 'FamilyMemberHistory'
    | 'MedicationStatement'
    | 'Observation'
    | 'QuestionnaireResponse';
  readonly person: string;
};

/** D5: a message. */
export type CommunicationItem = Base & {
  readonly type: 'Communication';
  readonly person: string;
  readonly sender: ActorRef;
  readonly recipient: ActorRef;
  readonly inResponseTo?: string;
  readonly closesThread?: boolean;
  /** W8: written in a secret session, or in answer to such a message: not for representatives. */
  readonly secret?: boolean;
};

/** The kinds of Consent of `contract.md`. */
export type ConsentKind =
  | 'space-existence'
  | 'professional-access'
  | 'organization-access'
  | 'attending-physician'
  | 'care-team-default'
  | 'emergency-btg'
  | 'emergency-etreat'
  | 'emergency-masked'
  | 'feed-opposition'
  | 'document-default'
  | 'profile-sharing'
  | 'delegation'
  | 'app-authorization';

/** D7: a Consent; `malformed` stands for any other departure from the contract's shape than those visible here (A0). */
export type ConsentItem = Base & {
  readonly type: 'Consent';
  readonly person: string;
  readonly kind: ConsentKind;
  readonly provision: 'permit' | 'deny';
  readonly actors: readonly ActorRef[];
  readonly period?: Period;
  readonly status: 'active' | 'inactive';
  readonly writtenBy: FiledBy;
  readonly state?: SpaceState;
  readonly delegationKind?: 'legal' | 'caregiver';
  readonly delegatedRights?: readonly string[];
  readonly malformed?: boolean;
  /** For who builds the world, of no weight in a decision: what made it inactive. */
  readonly endedBy?: 'update' | 'successor' | 'block';
};

/** D11: a care team. */
export type CareTeamItem = Base & {
  readonly type: 'CareTeam';
  readonly person: string;
  readonly structure: string;
  readonly members: readonly string[];
  readonly status: 'active' | 'inactive';
  readonly period?: Period;
  readonly writtenBy: FiledBy;
  /** For who builds the world, of no weight in a decision: the members before the blocks of A7. */
  readonly formerMembers?: readonly string[];
  /** Likewise: ended by a block of its structure. */
  readonly endedByBlock?: boolean;
};

/** D8: an audit record; `items` excludes the Patient that it is about; `person` is absent for an event about nobody. */
export type AuditEventItem = Base & {
  readonly type: 'AuditEvent';
  readonly person?: string;
  readonly agent: { readonly type: string; readonly id: string };
  readonly items: readonly { readonly type: string; readonly id: string }[];
  readonly secret: boolean;
};

/** D9: the person; `id` is also what the other items call `person`. */
export type PatientItem = Base & { readonly type: 'Patient' };

/** D10: the directory. */
export type DirectoryItem = Base & {
  readonly type: 'Practitioner' | 'PractitionerRole' | 'Organization' | 'HealthcareService' | 'Location';
  /** Of an Organization: a pharmacy (TRE_R02 `SA33`). */
  readonly pharmacy?: boolean;
};

/** D12: a Task; `depositedBy` names the structure whose deposit it quarantines. */
export type TaskItem = Base & { readonly type: 'Task'; readonly person?: string; readonly depositedBy?: string };

/** Anything that a caller may ask for by id. */
export type Item =
  | DocumentItem
  | ImmunizationItem
  | RelatedPersonItem
  | PayerItem
  | AppointmentItem
  | BinaryItem
  | CompanionItem
  | ProfileItem
  | CommunicationItem
  | ConsentItem
  | CareTeamItem
  | AuditEventItem
  | PatientItem
  | DirectoryItem
  | TaskItem;

/** The lines of the policy that decisions read. */
export type WorldPolicy = {
  readonly emergencyOverridesBlock: boolean;
  readonly payerDataToProfessionals: boolean;
  /** L1; absent: false. */
  readonly emergencyMaskedUnlessDenied?: boolean;
  readonly depositMaxBytes: number;
  readonly matrix: Readonly<Record<string, { readonly consult: boolean; readonly read: readonly string[] }>>;
};

/** Everything that a decision may depend on, but for the caller and the instant. */
export type World = { readonly policy: WorldPolicy; readonly items: readonly Item[] };

/** A caller as proved by an accepted token. */
export type WorldCaller =
  | { readonly kind: 'patient'; readonly person: string; readonly secret?: boolean }
  | {
      readonly kind: 'representative';
      readonly related: string;
      readonly actsFor: string;
      /** The `patient` claim, when it was this that named the person acted for. */
      readonly patient?: string;
    }
  | {
      readonly kind: 'professional';
      readonly person: string;
      readonly profession: string;
      readonly structure: string;
      readonly purpose: 'TREAT' | 'BTG' | 'ETREAT';
      readonly patient?: string;
      readonly secret?: boolean;
    }
  | { readonly kind: 'feeder'; readonly structure: string; readonly patient?: string }
  | { readonly kind: 'insurer'; readonly patient?: string }
  | { readonly kind: 'operator'; readonly patient?: string };

/** An answer of the oracle, with the ids of the rules that made it. */
export type Verdict = { readonly permit: boolean; readonly rules: readonly string[] };

/** The instant of a decision, in milliseconds since the epoch. */
export type Instant = number;

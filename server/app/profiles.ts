/**
 * Which profile applies to a resource here, and what is done about those that it claims (docs/profiles.md,
 * docs/decisions/0009-claims-are-checked-or-left-alone.md).
 */
import { PROFILE_TYPES } from '../access/rules/profile.ts';
import { CONSENT_KINDS, consentKindOf } from '../access/space.ts';
import { EX, SYSTEM } from '../fhir/canonical.ts';
import { allCodings, codingsOf } from '../fhir/json.ts';
import { claimsOf } from '../fhir/profile-claims.ts';
import { fail, ok, type Result } from '../fhir/result.ts';
import type { Resource } from '../fhir/types.ts';
import type { Work } from './work.ts';

const ours = (name: string): string => `${EX}/StructureDefinition/carnet-${name}`;

const isNotice = (message: Resource): boolean =>
  allCodings(message['category']).some((c) => c.system === SYSTEM.communicationCategory && c.code === 'notification');

const LISTS: readonly (readonly [code: string, profile: string])[] = [
  ['submissionset', ours('submission-set')],
  ['folder', ours('folder')],
];

/** How the profile of a type is chosen, with everything that may be chosen. */
type Choice = { readonly all: readonly string[]; readonly of: (resource: Resource) => string | undefined };

const always = (profile: string): Choice => ({ all: [profile], of: () => profile });

/** `AllergyIntolerance` → `allergy-intolerance`: how the profile of a type is called. */
export const profileName = (type: string): string => type.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase();

const CHOICES: Readonly<Record<string, Choice>> = {
  Patient: always(ours('patient')),
  Practitioner: always(ours('practitioner')),
  PractitionerRole: always(ours('practitioner-role')),
  Organization: always(ours('organization')),
  RelatedPerson: always(ours('related-person')),
  CareTeam: always(ours('care-team')),
  DocumentReference: always(ours('document')),
  Provenance: always(ours('provenance')),
  Appointment: always(ours('appointment')),
  AuditEvent: always(ours('audit-event')),
  Immunization: always(ours('immunization')),
  ...Object.fromEntries(PROFILE_TYPES.map((type) => [type, always(ours(profileName(type)))])),
  ExplanationOfBenefit: always(ours('explanation-of-benefit')),
  Coverage: always(ours('coverage')),
  Task: always(ours('quarantine')),
  Communication: {
    all: [ours('message'), ours('notification')],
    of: (message) => ours(isNotice(message) ? 'notification' : 'message'),
  },
  List: {
    all: LISTS.map(([, profile]) => profile),
    // A list of another code is a list of R4.
    of: (list) =>
      LISTS.find(([code]) => codingsOf(list['code']).some((c) => c.system === SYSTEM.listType && c.code === code))?.[1],
  },
  Consent: {
    all: Object.keys(CONSENT_KINDS).map((kind) => ours(`consent-${kind}`)),
    // A Consent of no kind is refused by A0; the profile of all kinds says so too.
    of: (consent) => {
      const kind = consentKindOf(consent);
      return ours(kind === undefined ? 'consent' : `consent-${kind}`);
    },
  },
};

/** Every profile that may apply to a type, for the CapabilityStatement. */
export const profilesOfType = (type: string): readonly string[] => CHOICES[type]?.all ?? [];

/** The profile that applies to a resource, `undefined` where R4 is all that is asked. */
export const profileOf = (resource: Resource): string | undefined => CHOICES[resource.resourceType]?.of(resource);

/** The profiles that a resource is held to: the one that applies, and those known ones that it claims. */
export function heldTo(work: Work, resource: Resource): readonly string[] {
  const own = profileOf(resource);
  const claimed = claimsOf(resource).filter((claim) => work.deps.profiles.knows(claim));
  return [...new Set(own === undefined ? claimed : [own, ...claimed])];
}

/** 422 with every error that the profiles find. Asked of what is about to be stored, when the rules of its type have accepted it. */
export function conforms(work: Work, resource: Resource): Result<void> {
  const findings = work.deps.profiles.check(resource, heldTo(work, resource));
  const faults = findings.filter(({ severity }) => severity === 'error').map(({ severity: _, ...fault }) => fault);
  return faults.length === 0 ? ok(undefined) : fail({ code: 'unprocessable', faults });
}

/** W1, the identity gate: a feed carries the INS, qualified, with traits equal to those of the space. Never attached otherwise. */
import { systemGuard } from '../../access/decision.ts';
import { EXTENSION, INS_SYSTEMS, SYSTEM } from '../../fhir/canonical.ts';
import { asArray, asCoding, asObject, asText, extensionOf } from '../../fhir/json.ts';
import { type Failure, ok, type QuarantineReason, type Result, unprocessable } from '../../fhir/result.ts';
import { fold } from '../../fhir/text.ts';
import type { JsonObject, Ref, Resource } from '../../fhir/types.ts';
import { keyOf, parsed, type Work } from '../work.ts';
import { declaredIdentity, quarantineOf } from './quarantine.ts';

/** The status that allows the use of the INS, decided from (system, code): `VALI` means two things in two versions (fhir.md 3.2). */
const QUALIFIED: readonly (readonly [system: string, code: string])[] = [
  [SYSTEM.identityStatusV2, 'VALI'],
  [SYSTEM.identityStatusV2Short, 'VALI'],
  [SYSTEM.identityStatus, 'QUAL'],
];

const isQualified = (patient: JsonObject): boolean =>
  asArray(patient['extension'])
    .map(asObject)
    .filter((e) => e?.['url'] === EXTENSION.identityReliability)
    .map((e) => asCoding(extensionOf(e, 'identityStatus')?.['valueCoding']))
    .some((c) => QUALIFIED.some(([system, code]) => c.system === system && c.code === code));

type Ins = { readonly system: string; readonly value: string };

/** The INS of a Patient; an INS without its system is none. */
const insOf = (patient: JsonObject): readonly Ins[] =>
  asArray(patient['identifier'])
    .map(asObject)
    .filter((i) => i?.['use'] !== 'old' && INS_SYSTEMS.includes(asText(i?.['system']) ?? ''))
    .map((i) => ({ system: asText(i?.['system']) ?? '', value: (asText(i?.['value']) ?? '').replace(/\s/g, '') }));

/** Characters of an INS without its key, and with it. */
const BARE = 13;
const KEYED = 15;

/** The 13 characters without the key name the same INS as the 15 with it; two keys that differ do not. */
function sameIns(a: Ins, b: Ins): boolean {
  if (a.system !== b.system || a.value === '') return false;
  if (a.value === b.value) return true;
  const [short, long] = a.value.length < b.value.length ? [a.value, b.value] : [b.value, a.value];
  return short.length === BARE && long.length === KEYED && long.startsWith(short);
}

type Traits = {
  readonly family: string;
  readonly given: string;
  readonly birthDate: string;
  readonly gender: string;
  readonly birthplace: string | undefined;
};

const spelled = (text: string | undefined): string =>
  fold(text ?? '')
    .replace(/[-'’\s]+/g, ' ')
    .trim();

function traitsOf(patient: JsonObject): Traits {
  const names = asArray(patient['name']).map(asObject);
  const name = names.find((n) => n?.['use'] === 'official') ?? names[0];
  const place = asObject(extensionOf(patient, EXTENSION.birthPlace)?.['valueAddress']);
  return {
    family: spelled(asText(name?.['family'])),
    given: spelled(asText(asArray(name?.['given'])[0])),
    birthDate: asText(patient['birthDate']) ?? '',
    gender: asText(patient['gender']) ?? '',
    birthplace: asCoding(extensionOf(place, EXTENSION.addressInseeCode)?.['valueCoding']).code,
  };
}

/** The names of the traits that differ; the birthplace counts where both have it. */
function differing(a: Traits, b: Traits): readonly string[] {
  const differs = (['family', 'given', 'birthDate', 'gender'] as const).filter((t) => a[t] === '' || a[t] !== b[t]);
  const place = a.birthplace !== undefined && b.birthplace !== undefined && a.birthplace !== b.birthplace;
  return place ? [...differs, 'birthplace'] : differs;
}

/** The same INS and the same traits. */
const isSamePerson = (declared: JsonObject, known: JsonObject): boolean =>
  insOf(declared).some((ins) => insOf(known).some((own) => sameIns(ins, own))) &&
  differing(traitsOf(declared), traitsOf(known)).length === 0;

/**
 * Checks a feed that has no element for the identity (W22): that of the person is qualified, and whatever the resource says of a person,
 * the INS beside its reference or a contained Patient, is theirs. One sentence for everything that is wrong: a feeder probes no register of traits.
 */
export async function sameIdentityAs(work: Work, resource: Resource, person: Ref): Promise<Result<void>> {
  const stored = await work.unit.read(keyOf(person), systemGuard('Patient', 'integrity'));
  const known = stored === undefined || stored.deleted ? undefined : parsed(stored);
  const declared = asArray(resource['contained'])
    .map(asObject)
    .filter((r) => r?.['resourceType'] === 'Patient');
  const beside = insOf({ identifier: [asObject(resource['patient'])?.['identifier'] ?? null] });
  const matching =
    known !== undefined &&
    isQualified(known) &&
    insOf(known).length > 0 &&
    beside.every((ins) => insOf(known).some((own) => sameIns(ins, own))) &&
    declared.every((d) => d !== undefined && isQualified(d) && isSamePerson(d, known));
  return matching
    ? ok(undefined)
    : unprocessable(
        'the identity in the feed is not that of the person, qualified',
        `${resource.resourceType}.patient`,
        'W1',
      );
}
/** A refusal of the identity gate: told to the sender, and put aside for the operator. */
const refused = (
  work: Work,
  text: string,
  about: { readonly document: Resource; readonly person: Ref; readonly reason: QuarantineReason },
): { readonly ok: false; readonly failure: Failure } => ({
  ok: false,
  failure: {
    ...unprocessable(text, 'DocumentReference.context.sourcePatientInfo', 'W1').failure,
    ...quarantineOf(work, about),
  } as Failure,
});

/** Checks the identity that a document carries in `context.sourcePatientInfo` against the person it is filed for. */
export async function sameIdentity(work: Work, document: Resource, person: Ref): Promise<Result<void>> {
  const about = { document, person };
  const declared = declaredIdentity(document);
  if (declared === undefined) {
    return refused(work, 'a feed carries the identity of the person, contained', {
      ...about,
      reason: 'identity-missing',
    });
  }
  const stored = await work.unit.read(keyOf(person), systemGuard('Patient', 'integrity'));
  if (stored === undefined) {
    return refused(work, 'the identity in the feed is not that of the person', {
      ...about,
      reason: 'identity-not-equal',
    });
  }
  const known = parsed(stored);
  if (!isQualified(declared)) {
    return refused(work, 'the identity in the feed is not qualified', { ...about, reason: 'identity-not-qualified' });
  }
  // One sentence for everything that is wrong about the person: a feeder probes no register of traits.
  return isQualified(known) && isSamePerson(declared, known)
    ? ok(undefined)
    : refused(work, 'the identity in the feed is not that of the person, qualified', {
        ...about,
        reason: 'identity-not-equal',
      });
}

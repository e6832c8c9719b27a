/**
 * What a document says about itself, as MHD 4.2 and PDSm 3.1 want it (fhir.md 4.2, 4.5, 4.7): one spelling of labels, a class that is the one of
 * its type, and the invariants that those profiles state in prose, which no generic validator knows.
 */
import { DOCUMENT_PROFILES, type DocumentLevel, EXTENSION, SIMPLIFIED_PROFILES, SYSTEM } from '../../fhir/canonical.ts';
import { allCodings, asArray, asObject, asText, codingsOf, referenceOf } from '../../fhir/json.ts';
import { type Fault, fail, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Json, JsonObject, Resource } from '../../fhir/types.ts';
import type { Work } from '../work.ts';
import { withCanonicalLabels } from './labels.ts';
import { codedIn, TERMINOLOGIES, type Terminology } from './pdsm-terminologies.ts';

/** The systems a type comes from, one of which makes its code one of the map of classes. */
const TYPE_SYSTEMS: readonly string[] = [SYSTEM.loinc, SYSTEM.documentType];

/** The class that the map gives to the type of a document, if it lists it. */
function classOfType(document: Resource, classes: ReadonlyMap<string, string>): string | undefined {
  const found = codingsOf(document['type'])
    .filter((c) => TYPE_SYSTEMS.includes(c.system ?? ''))
    .map((c) => classes.get(c.code ?? ''));
  return found.find((c) => c !== undefined);
}

/** The class is a function of the type: derived where no category is stated, refused where it contradicts. */
function withClass(document: Resource, classes: ReadonlyMap<string, string>): Result<Resource> {
  const derived = classOfType(document, classes);
  if (derived === undefined) return ok(document);
  const stated = allCodings(document['category']).filter((c) => c.system === SYSTEM.documentClass);
  const foreign = stated.find((c) => c.code !== derived);
  if (foreign !== undefined) {
    return unprocessable(
      `a document of this type is of class ${derived}, not ${foreign.code ?? ''}`,
      'DocumentReference.category',
      'W1',
    );
  }
  if (asArray(document['category']).length > 0) return ok(document);
  return ok({ ...document, category: [{ coding: [{ system: SYSTEM.documentClass, code: derived }] }] });
}

/** Archived or not is one boolean (PDSm `isArchived`), whatever the status. */
function checkArchived(document: Resource): Result<void> {
  const flags = asArray(document['extension'])
    .map(asObject)
    .filter((e) => e?.['url'] === EXTENSION.isArchived);
  return flags.length > 1 || flags.some((e) => typeof e?.['valueBoolean'] !== 'boolean')
    ? unprocessable('`isArchived` is one boolean', `DocumentReference.extension('${EXTENSION.isArchived}')`, 'W3')
    : ok(undefined);
}

/** A document as it will be judged and stored: labels in one spelling, its class from its type. Refuses a class that contradicts the type. */
export function normalised(work: Work, document: Resource): Result<Resource> {
  const archived = checkArchived(document);
  if (!archived.ok) return archived;
  return withClass(withCanonicalLabels(document), work.deps.documentClasses);
}

// ---- invariants of MHD and PDSm -----------------------------------------------------------------------------------

const profilesOf = (resource: JsonObject): readonly string[] =>
  asArray(asObject(resource['meta'])?.['profile'])
    .map(asText)
    .filter((p) => p !== undefined)
    .map((p) => p.split('|')[0] ?? '');

/** The most demanding level that a document claims for itself. */
function levelClaimed(document: Resource): DocumentLevel | undefined {
  const levels = profilesOf(document).map((p) => DOCUMENT_PROFILES.get(p));
  return (
    levels.find((l) => l === 'pdsm') ?? levels.find((l) => l === 'comprehensive') ?? levels.find((l) => l !== undefined)
  );
}

export const claimsSimplified = (document: JsonObject): boolean =>
  profilesOf(document).some((p) => SIMPLIFIED_PROFILES.includes(p));

const ENTRY_UUID = /^urn:uuid:[0-9a-fA-F-]{36}$/;
const UNIQUE_ID = /^urn:(oid:[0-2](\.(0|[1-9]\d*))+|uuid:[0-9a-fA-F-]{36})$/;

type Rule = { readonly at: string; readonly text: string; readonly holds: (document: Resource) => boolean };

const ofMhdType = (identifier: JsonObject | undefined, code: 'entryUUID' | 'uniqueId'): boolean =>
  codingsOf(identifier?.['type']).some((c) => c.system === SYSTEM.mhdIdentifierType && c.code === code);

/** The identifiers of a resource that MHD calls its entryUUID. */
const entryUuids = (resource: JsonObject): readonly (JsonObject | undefined)[] =>
  asArray(resource['identifier'])
    .map(asObject)
    .filter((i) => ofMhdType(i, 'entryUUID'));

const content = (document: Resource): JsonObject | undefined => asObject(asArray(document['content'])[0]);
const attachment = (document: Resource): JsonObject | undefined => asObject(content(document)?.['attachment']);
const context = (document: Resource): JsonObject | undefined => asObject(document['context']);
const present = (value: Json | undefined): boolean => value !== undefined;
const oneOf = (concepts: readonly (string | undefined)[], systems: readonly string[]): boolean =>
  concepts.length > 0 && concepts.every((s) => systems.includes(s ?? ''));

/** IHE MHD 4.2, Minimal DocumentReference. */
const MINIMAL: readonly Rule[] = [
  {
    at: 'masterIdentifier',
    text: 'the masterIdentifier is a `urn:oid:` or `urn:uuid:` of the system `urn:ietf:rfc:3986`',
    holds: (d) => {
      const master = asObject(d['masterIdentifier']);
      return master?.['system'] === SYSTEM.uri && UNIQUE_ID.test(asText(master['value']) ?? '');
    },
  },
  {
    at: 'masterIdentifier.type',
    text: 'the masterIdentifier is of the type `uniqueId`',
    holds: (d) => {
      const type = asObject(d['masterIdentifier'])?.['type'];
      return type === undefined || ofMhdType({ type }, 'uniqueId');
    },
  },
  {
    at: 'identifier',
    text: 'an entryUUID is a `urn:uuid:` of the system `urn:ietf:rfc:3986`, and there is one at most',
    holds: (d) => {
      const found = entryUuids(d);
      return (
        found.length <= 1 &&
        found.every((i) => i?.['system'] === SYSTEM.uri && ENTRY_UUID.test(asText(i['value']) ?? ''))
      );
    },
  },
  { at: 'docStatus', text: 'docStatus is not used here', holds: (d) => !present(d['docStatus']) },
  {
    at: 'modifierExtension',
    text: 'modifierExtension is not used here',
    holds: (d) => !present(d['modifierExtension']),
  },
  { at: 'category', text: 'one category at most', holds: (d) => asArray(d['category']).length <= 1 },
  { at: 'content', text: 'exactly one content', holds: (d) => asArray(d['content']).length === 1 },
  {
    at: 'content.attachment.contentType',
    text: 'the content type is stated',
    holds: (d) => present(attachment(d)?.['contentType']),
  },
  {
    at: 'content.attachment.url',
    text: 'the content is named by its url',
    holds: (d) => present(attachment(d)?.['url']),
  },
];

/** IHE MHD 4.2, Comprehensive; what the server fills itself (class, hash, size, date, N) is not asked for. */
const COMPREHENSIVE: readonly Rule[] = [
  { at: 'type', text: 'the type is stated', holds: (d) => codingsOf(d['type']).length > 0 },
  { at: 'category', text: 'the class is stated', holds: (d) => allCodings(d['category']).length > 0 },
  {
    at: 'content.attachment.language',
    text: 'the language is stated',
    holds: (d) => present(attachment(d)?.['language']),
  },
  {
    at: 'content.attachment.creation',
    text: 'the time of creation is stated',
    holds: (d) => present(attachment(d)?.['creation']),
  },
  { at: 'content.format', text: 'the format is stated', holds: (d) => present(content(d)?.['format']) },
  {
    at: 'context.facilityType',
    text: 'the sort of facility is stated',
    holds: (d) => codingsOf(context(d)?.['facilityType']).length > 0,
  },
  {
    at: 'context.practiceSetting',
    text: 'the practice setting is stated',
    holds: (d) => codingsOf(context(d)?.['practiceSetting']).length > 0,
  },
  {
    at: 'context.sourcePatientInfo',
    text: 'the identity known to the source is stated',
    holds: (d) => present(context(d)?.['sourcePatientInfo']),
  },
];

/** Target types of a reference, contained resources included; a reference by identifier alone says none. */
function targetType(document: Resource, reference: Json | undefined): string | undefined {
  const text = referenceOf(reference);
  if (text === undefined) return asText(asObject(reference)?.['type']);
  if (!text.startsWith('#')) return text.split('/').at(-2);
  const found = asArray(document['contained'])
    .map(asObject)
    .find((r) => text === `#${asText(r?.['id'])}`);
  return asText(found?.['resourceType']);
}

const AUTHORS: readonly string[] = ['Practitioner', 'PractitionerRole', 'Device', 'Patient'];
/** Whose documents come from a facility of TRE_A00, and whose from one of TRE_R02. */
const PERSONS: readonly string[] = ['Patient'];
const PROFESSIONALS: readonly string[] = ['Practitioner', 'PractitionerRole'];
const AUTHENTICATORS: readonly string[] = ['Practitioner', 'PractitionerRole', 'Organization'];

const authorsAmong = (document: Resource, types: readonly string[]): boolean =>
  asArray(document['author']).every((a) => types.includes(targetType(document, a) ?? types[0] ?? ''));

/** PDSm 3.1: what its profile says in structure and, of terminologies and replacements, in prose alone. */
const PDSM_COMMON: readonly Rule[] = [
  {
    at: 'type',
    text: 'the type is of LOINC, TRE_A05 or TRE_A12',
    holds: (d) =>
      oneOf(
        codingsOf(d['type']).map((c) => c.system),
        [...TYPE_SYSTEMS, SYSTEM.astmType],
      ),
  },
  {
    at: 'category',
    text: 'the class is of TRE_A03 or TRE_A10',
    holds: (d) =>
      oneOf(
        allCodings(d['category']).map((c) => c.system),
        [SYSTEM.documentClass, SYSTEM.urnClass],
      ),
  },
  { at: 'author', text: 'an author is stated', holds: (d) => asArray(d['author']).length > 0 },
  {
    at: 'authenticator',
    text: 'the authenticator is a professional or a structure',
    holds: (d) =>
      !present(d['authenticator']) || AUTHENTICATORS.includes(targetType(d, d['authenticator']) ?? 'Practitioner'),
  },
  { at: 'custodian', text: 'the custodian is stated', holds: (d) => present(d['custodian']) },
  {
    at: 'content.attachment.title',
    text: 'the title is stated',
    holds: (d) => present(attachment(d)?.['title']),
  },
  {
    at: 'content.format',
    text: `the format is of ${TERMINOLOGIES.format.named}`,
    holds: (d) =>
      !present(content(d)?.['format']) || codedIn({ coding: [content(d)?.['format'] ?? {}] }, TERMINOLOGIES.format),
  },
  {
    at: 'context.event',
    text: 'an act or a diagnosis is a code of a nomenclature (CCAM, CIM-10, TRE_A00 or another)',
    holds: (d) =>
      asArray(context(d)?.['event']).every((e) => {
        const codings = codingsOf(e);
        return codings.length > 0 && codings.every((c) => present(c.system) && present(c.code));
      }),
  },
];

/** PDSm `constr-bind-ProducteurDoc`: where a document was made is told by who made it. A device is somebody's of either sort. */
function facilityTerminology(document: Resource): Terminology {
  const authors = asArray(document['author']).map((a) => targetType(document, a));
  const any = (types: readonly string[]): boolean => authors.some((a) => types.includes(a ?? ''));
  const [person, professional] = [any(PERSONS), any(PROFESSIONALS)];
  if (person === professional) return TERMINOLOGIES.facilityOfEither;
  return person ? TERMINOLOGIES.facilityOfPerson : TERMINOLOGIES.facilityOfProfessional;
}

const facilityRule = (named: string, applies: (terminology: Terminology) => boolean): Rule => ({
  at: 'context.facilityType',
  text: `the sort of facility is of ${named}`,
  holds: (d) => {
    const terminology = facilityTerminology(d);
    const stated = context(d)?.['facilityType'];
    return !applies(terminology) || !present(stated) || codedIn(stated, terminology);
  },
});

const PDSM: readonly Rule[] = [
  ...PDSM_COMMON,
  facilityRule('TRE_R02, where a professional is the author', (t) => t === TERMINOLOGIES.facilityOfProfessional),
  facilityRule('TRE_A00, where the person is the author', (t) => t === TERMINOLOGIES.facilityOfPerson),
  facilityRule(TERMINOLOGIES.facilityOfEither.named, (t) => t === TERMINOLOGIES.facilityOfEither),
  {
    at: 'context.practiceSetting',
    text: `the practice setting is of ${TERMINOLOGIES.practiceSetting.named}`,
    holds: (d) =>
      !present(context(d)?.['practiceSetting']) ||
      codedIn(context(d)?.['practiceSetting'], TERMINOLOGIES.practiceSetting),
  },
  {
    at: 'author',
    text: 'an author is a Practitioner, a PractitionerRole, a Device or the Patient',
    holds: (d) => authorsAmong(d, AUTHORS),
  },
  {
    at: 'relatesTo',
    text: 'a document relates to one other at most, and replaces it',
    holds: (d) => {
      const related = asArray(d['relatesTo']).map(asObject);
      return related.length <= 1 && related.every((r) => r?.['code'] === 'replaces');
    },
  },
  {
    at: 'context.period.start',
    text: 'the start of the act is stated',
    holds: (d) => present(asObject(context(d)?.['period'])?.['start']),
  },
  {
    at: 'context.related.identifier',
    text: 'a reference of the type `urn:ihe:iti:xds:…` has its value',
    holds: (d) =>
      asArray(context(d)?.['related'])
        .map((r) => asObject(asObject(r)?.['identifier']))
        .filter((i) => codingsOf(i?.['type']).some((c) => c.system === SYSTEM.uri))
        .every((i) => present(i?.['value'])),
  },
];

/** PDSm simplified, beyond what both of its profiles ask for. */
const PDSM_SIMPLIFIED: readonly Rule[] = [
  ...PDSM_COMMON,
  { at: 'context.event', text: 'one act at most', holds: (d) => asArray(context(d)?.['event']).length <= 1 },
];

/** ITI-105, before its bytes are moved. */
const SIMPLIFIED: readonly Rule[] = [
  ...MINIMAL.filter(({ at }) => at !== 'content.attachment.url'),
  {
    at: 'identifier',
    text: 'the server assigns the entryUUID',
    holds: (d) => entryUuids(d).length === 0,
  },
];

const LEVELS: Readonly<Record<DocumentLevel, readonly Rule[]>> = {
  minimal: MINIMAL,
  comprehensive: [...MINIMAL, ...COMPREHENSIVE],
  pdsm: [...MINIMAL, ...COMPREHENSIVE, ...PDSM],
};

const faultsOf = (document: Resource, rules: readonly Rule[], named: string): readonly Fault[] =>
  rules
    .filter((rule) => !rule.holds(document))
    .map(({ at, text }) => ({ text: `${text} (${named})`, at: `DocumentReference.${at}` }));

const NAMES: Readonly<Record<DocumentLevel, string>> = {
  minimal: 'MHD minimal',
  comprehensive: 'MHD comprehensive',
  pdsm: 'PDSm',
};

/** Every invariant that a document breaks of what it claims to be, itself or by the Bundle that it came in, all at once; else the level it keeps. */
export function checkLevel(document: Resource, bundle: DocumentLevel | undefined): Result<DocumentLevel | undefined> {
  const own = levelClaimed(document);
  const level =
    [own, bundle].find((l) => l === 'pdsm') ?? [own, bundle].find((l) => l === 'comprehensive') ?? own ?? bundle;
  const faults = level === undefined ? [] : faultsOf(document, LEVELS[level], NAMES[level]);
  return faults.length === 0 ? ok(level) : fail({ code: 'unprocessable', faults });
}

/** The same of an ITI-105 publication, its bytes still inside; one that claims no profile is held to none. */
export function checkSimplified(document: Resource): Result<void> {
  if (!claimsSimplified(document)) return ok(undefined);
  const pdsm = profilesOf(document).some((p) => p === SIMPLIFIED_PROFILES[1]);
  const faults = faultsOf(
    document,
    pdsm ? [...SIMPLIFIED, ...PDSM_SIMPLIFIED] : SIMPLIFIED,
    pdsm ? 'PDSm' : 'MHD simplified',
  );
  return faults.length === 0 ? ok(undefined) : fail({ code: 'unprocessable', faults });
}

/** The type of identifier that MHD wants on a masterIdentifier, written where the sender left it out. */
export function withUniqueIdType(document: Resource): Resource {
  const master = asObject(document['masterIdentifier']);
  if (master === undefined || master['type'] !== undefined || master['system'] !== SYSTEM.uri) return document;
  const type = { coding: [{ system: SYSTEM.mhdIdentifierType, code: 'uniqueId' }] };
  return { ...document, masterIdentifier: { type, ...master } };
}

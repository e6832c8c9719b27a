/** Every URL that names one of our own or a national vocabulary, written once. Our own are frozen: resources carry them. */

/** Our canonical base; never an address that anything is fetched from. */
export const EX = 'https://carnet.example/fhir';

const extension = (name: string): string => `${EX}/StructureDefinition/${name}`;
const codeSystem = (name: string): string => `${EX}/CodeSystem/${name}`;
const nos = (name: string, id: string): string => `https://mos.esante.gouv.fr/NOS/${name}/FHIR/${id}`;
const hl7 = (name: string): string => `http://terminology.hl7.org/CodeSystem/${name}`;
const balp = (name: string): string => `https://profiles.ihe.net/ITI/BALP/${name}`;
const mhd = (name: string): string => `https://profiles.ihe.net/ITI/MHD/${name}`;
const pdsm = (name: string): string => `https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/${name}`;

/** Code systems and identifier systems. */
export const SYSTEM = {
  /** Rule ids of the access rules in `issue.details.coding` and `entity.detail`. */
  rule: codeSystem('rule'),
  consentKind: codeSystem('consent-kind'),
  /** What a Task of the server is about: `feed-quarantine`. */
  taskCode: codeSystem('task-code'),
  /** Tags of AuditEvents: `secret`. */
  audit: codeSystem('audit'),
  /** What a notice is about: the event codes of the national app, and one of ours (`docs/notices.md`). */
  notice: codeSystem('notice'),

  confidentiality: hl7('v3-Confidentiality'),
  actReason: hl7('v3-ActReason'),
  roleCode: hl7('v3-RoleCode'),
  participationType: hl7('v3-ParticipationType'),
  observationValue: hl7('v3-ObservationValue'),
  consentScope: hl7('consentscope'),
  communicationCategory: hl7('communication-category'),
  provenanceRole: hl7('provenance-participant-type'),
  auditEventType: hl7('audit-event-type'),
  auditEntityType: hl7('audit-entity-type'),
  objectRole: hl7('object-role'),
  restfulInteraction: 'http://hl7.org/fhir/restful-interaction',
  resourceTypes: 'http://hl7.org/fhir/resource-types',
  dicom: 'http://dicom.nema.org/resources/ontology/DCM',
  loinc: 'http://loinc.org',
  balpEntityType: balp('CodeSystem/BasicAuditEntityType'),

  /** Kinds of the Lists of MHD: `submissionset`, `folder`. */
  listType: mhd('CodeSystem/MHDlistTypes'),
  /** Kinds of the identifiers of MHD: `uniqueId`, `entryUUID`. */
  mhdIdentifierType: mhd('CodeSystem/IHE.MHD.MHDIdentifierType'),
  /** What an identifier that is itself a URI has for its system. */
  uri: 'urn:ietf:rfc:3986',
  /** What is kept of a deposit in a Task: `identity`, `document`. */
  taskInput: codeSystem('task-input'),
  /** Why a feed was put aside: see `QUARANTINE_REASONS`. */
  quarantineReason: codeSystem('quarantine-reason'),

  /** Visibility labels: `MASQUE_PS`, `INVISIBLE_PATIENT`, `INVISIBLE_REPRESENTANTS_LEGAUX`. Other spellings are not accepted. */
  visibility: nos('TRE_A07-StatutVisibiliteDocument', 'TRE-A07-StatutVisibiliteDocument'),
  documentClass: nos('TRE_A03-ClasseDocument', 'TRE-A03-ClasseDocument'),
  /** Classes that are URNs: signatures. */
  urnClass: nos('TRE_A10-NomenclatureURN', 'TRE-A10-NomenclatureURN'),
  astmType: nos('TRE_A12-NomenclatureASTM', 'TRE-A12-NomenclatureASTM'),
  documentType: nos('TRE_A05-TypeDocComplementaire', 'TRE-A05-TypeDocComplementaire'),
  profession: nos('TRE_G15-ProfessionSante', 'TRE-G15-ProfessionSante'),
  /** Sector of a structure: `SA33` is a pharmacy. */
  sector: nos('TRE_R02-SecteurActivite', 'TRE-R02-SecteurActivite'),
  /** Who made a document that no professional wrote: `EXP_PATIENT`, `DISPOSITIF`… */
  producer: nos('TRE_A00-ProducteurDocNonPS', 'TRE-A00-ProducteurDocNonPS'),
  /** Activity in which a submission was made. */
  activity: nos('TRE_R209-TypeActivite', 'TRE-R209-TypeActivite'),
  /** Formats of documents: the national ones, IHE's in its French copy and by its own URL, and DICOM's UIDs. */
  formatCode: nos('TRE_A06-FormatCodeComplementaire', 'TRE-A06-FormatCodeComplementaire'),
  iheFormatCode: nos('TRE_A11-IheFormatCode', 'TRE-A11-IheFormatCode'),
  iheFormat: 'http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode',
  dicomUid: nos('TRE_A09-DICOMuidRegistry', 'TRE-A09-DICOMuidRegistry'),
  /** Setting of a practice. */
  practiceSetting: nos('TRE_A01-CadreExercice', 'TRE-A01-CadreExercice'),
  municipality: nos('TRE_R13-Commune', 'TRE-R13-Commune'),

  insNir: 'urn:oid:1.2.250.1.213.1.4.8',
  insNia: 'urn:oid:1.2.250.1.213.1.4.9',
  insTest: 'urn:oid:1.2.250.1.213.1.4.10',
  insDemo: 'urn:oid:1.2.250.1.213.1.4.11',
  practitionerNationalId: 'urn:oid:1.2.250.1.71.4.2.1',
  structureNationalId: 'urn:oid:1.2.250.1.71.4.2.2',
  rpps: 'https://rpps.esante.gouv.fr',
  finess: 'https://finess.esante.gouv.fr',
  identifierType: 'https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203',
  /** Identity status of FR Core up to 2.1, in its two spellings: `VALI` allows the use of the INS. */
  identityStatusV2: 'https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445',
  identityStatusV2Short: 'https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-v2-0445',
  /** Identity status of FR Core 2.2: `QUAL` allows the use of the INS, `VALI` does not. */
  identityStatus: 'https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-identity-status',
} as const;

/**
 * Systems under which confidentiality and visibility travel (fhir.md 4.5), and the canonical one of each: the OIDs of XDS and CDA, the older
 * HL7 URL, and the French copy TRE_A08.
 */
export const LABEL_SYSTEM_VARIANTS: ReadonlyMap<string, string> = new Map([
  ['urn:oid:2.16.840.1.113883.5.25', SYSTEM.confidentiality],
  ['2.16.840.1.113883.5.25', SYSTEM.confidentiality],
  ['http://hl7.org/fhir/v3/Confidentiality', SYSTEM.confidentiality],
  [nos('TRE_A08-HL7Confidentiality', 'TRE-A08-HL7Confidentiality'), SYSTEM.confidentiality],
  ['urn:oid:1.2.250.1.213.1.1.4.13', SYSTEM.visibility],
  ['1.2.250.1.213.1.1.4.13', SYSTEM.visibility],
]);

/** Identifiers that name one entry of the directory each: callers are resolved by them. */
export const NATIONAL_IDENTIFIERS: readonly string[] = [
  SYSTEM.practitionerNationalId,
  SYSTEM.structureNationalId,
  SYSTEM.rpps,
  SYSTEM.finess,
];

/** The systems an INS may carry; its value says nothing without one of them. */
export const INS_SYSTEMS: readonly string[] = [SYSTEM.insNir, SYSTEM.insNia, SYSTEM.insTest, SYSTEM.insDemo];

/** Extensions. */
export const EXTENSION = {
  spaceState: extension('space-state'),
  declared: extension('declared'),
  delegationKind: extension('delegation-kind'),
  delegatedRight: extension('delegated-right'),
  threadClosed: extension('thread-closed'),
  atHoldersRequest: extension('at-holders-request'),
  accessReason: extension('access-reason'),

  identityReliability: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-identity-reliability',
  birthListGivenName: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-patient-birth-list-given-name',
  addressInseeCode: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code',
  /** Of a mailbox in the directory; its `listeRouge` true keeps it out of searches. */
  mailboxMetadata: 'https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/as-ext-mailbox-mss-metadata',
  /** PDSm: archived, which is beside the status. */
  isArchived: pdsm('pdsm-ext-is-archived'),
  designationType: mhd('StructureDefinition/ihe-designationType'),
  sourceId: mhd('StructureDefinition/ihe-sourceId'),
  authorOrg: mhd('StructureDefinition/ihe-authorOrg'),
  birthPlace: 'http://hl7.org/fhir/StructureDefinition/patient-birthPlace',
  translation: 'http://hl7.org/fhir/StructureDefinition/translation',
} as const;

/** `Consent.policy.uri` of a consent kind. */
export const policyUri = (kind: string): string => `${EX}/Policy/${kind}`;

/** The profiles of a document that state which invariants hold for it, from the least to the most demanding. */
export const DOCUMENT_LEVELS = ['minimal', 'comprehensive', 'pdsm'] as const;
export type DocumentLevel = (typeof DOCUMENT_LEVELS)[number];

/** `Bundle.meta.profile` of ITI-65 Provide Document Bundle, and what it claims of the documents inside. */
export const PROVIDE_BUNDLE_PROFILES: ReadonlyMap<string, DocumentLevel> = new Map([
  [mhd('StructureDefinition/IHE.MHD.Minimal.ProvideBundle'), 'minimal'],
  [mhd('StructureDefinition/IHE.MHD.UnContained.Comprehensive.ProvideBundle'), 'comprehensive'],
  [mhd('StructureDefinition/IHE.MHD.Comprehensive.ProvideBundle'), 'comprehensive'],
  [pdsm('pdsm-comprehensive-provide-document-bundle'), 'pdsm'],
]);

/** `DocumentReference.meta.profile` of a document that is filed by itself. */
export const DOCUMENT_PROFILES: ReadonlyMap<string, DocumentLevel> = new Map([
  [mhd('StructureDefinition/IHE.MHD.Minimal.DocumentReference'), 'minimal'],
  [mhd('StructureDefinition/IHE.MHD.UnContained.Comprehensive.DocumentReference'), 'comprehensive'],
  [mhd('StructureDefinition/IHE.MHD.Comprehensive.DocumentReference'), 'comprehensive'],
  [pdsm('pdsm-comprehensive-document-reference'), 'pdsm'],
]);

/** `DocumentReference.meta.profile` of ITI-105 Simplified Publish. */
export const SIMPLIFIED_PROFILES: readonly string[] = [
  mhd('StructureDefinition/IHE.MHD.SimplifiedPublish.DocumentReference'),
  pdsm('pdsm-simplified-publish'),
];

/** What the server claims of a SubmissionSet that it makes itself. */
export const SUBMISSION_SET_PROFILE = mhd('StructureDefinition/IHE.MHD.Minimal.SubmissionSet');

/** `List.meta.profile` of SubmissionSets and Folders. */
export const LIST_PROFILES: readonly string[] = [
  SUBMISSION_SET_PROFILE,
  mhd('StructureDefinition/IHE.MHD.UnContained.Comprehensive.SubmissionSet'),
  mhd('StructureDefinition/IHE.MHD.Comprehensive.SubmissionSet'),
  pdsm('pdsm-submissionset-comprehensive'),
  mhd('StructureDefinition/IHE.MHD.Minimal.Folder'),
  mhd('StructureDefinition/IHE.MHD.Comprehensive.Folder'),
  pdsm('pdsm-folder-comprehensive'),
];

/** The actors of MHD and PDSm that this server is. */
export const MHD_ACTORS: readonly string[] = [
  mhd('CapabilityStatement/IHE.MHD.DocumentRecipient'),
  mhd('CapabilityStatement/IHE.MHD.DocumentRecipient.UnContained'),
  mhd('CapabilityStatement/IHE.MHD.DocumentRecipient.Comprehensive'),
  mhd('CapabilityStatement/IHE.MHD.DocumentRecipient.Simplified'),
  mhd('CapabilityStatement/IHE.MHD.DocumentRecipient.Generate'),
  mhd('CapabilityStatement/IHE.MHD.DocumentResponder'),
  'https://interop.esante.gouv.fr/ig/fhir/pdsm/CapabilityStatement/PDSm-GestionnaireDePartageDeDocuments',
];

/** A pattern of IHE BALP: its profiles for one person and for nobody, and the RESTful interactions that it is about. */
export type BalpPattern = {
  readonly ofPerson: string;
  readonly ofNobody: string;
  readonly interactions: readonly string[];
};

const basicAudit = (name: string, interactions: readonly string[]): BalpPattern => ({
  ofPerson: balp(`StructureDefinition/IHE.BasicAudit.Patient${name}`),
  ofNobody: balp(`StructureDefinition/IHE.BasicAudit.${name}`),
  interactions,
});

/** The patterns of IHE BALP, by `AuditEvent.action`. */
export const BALP_PATTERNS: Readonly<Record<string, BalpPattern>> = {
  C: basicAudit('Create', ['create']),
  R: basicAudit('Read', ['read', 'vread']),
  U: basicAudit('Update', ['update', 'patch']),
  D: basicAudit('Delete', ['delete']),
  E: basicAudit('Query', ['search', 'search-type', 'search-system']),
};

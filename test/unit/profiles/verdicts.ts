/**
 * What is said of the samples of our types, by file: why those that are refused are, and where an independent validator (the HL7 engine, offline, with
 * the same packages) says otherwise. Every other sample is accepted by both. `npm run test:validator` asks that validator again.
 */

/** Refused: part of what is said. */
export const REFUSED: Readonly<Record<string, RegExp>> = {
  'fr-examples/annuaire/Organization-158480.json': /fr-core-vs-insee-code/,
  'fr-examples/annuaire/Organization-example-organization-fictive.json': /fr-core-vs-insee-code/,
  'fr-examples/annuaire/Practitioner-334081.json': /fr-core-vs-insee-code/,
  'fr-examples/annuaire/Practitioner-3719500.json': /fr-core-vs-insee-code/,
  'fr-examples/cdl/Bundle-cdl-bundle-creation-note.json': /req-met-1/,
  'fr-examples/cds/Bundle-cds-bundle-transaction-creation-example.json': /a `string` is never empty/,
  'fr-examples/cds/Organization-cds-organization-example.json': /a `string` is never empty/,
  'fr-examples/pdsm/List-ExampleFolder.json': /at most 1 of the slice `uniqueId`/,
  'fr-examples/pdsm/Organization-org-example.json': /at least 1 of the slice `fr-canonical`/,
  'fr-examples/pdsm4dmp/Bundle-example-annexe-searchset-documentreferences.json': /custodian: at least 1/,
  'fr-examples/pdsm4dmp/Bundle-example-td2-iti65-lot-soumission.json': /custodian: at least 1/,
  'fr-examples/pdsm4dmp/DocumentReference-example-annexe-docref-cda.json': /masterIdentifier\.type: at least 1/,
  'fr-examples/pdsm4dmp/DocumentReference-example-td2-iti105-publication-simplifiee.json': /custodian: at least 1/,
  'fr-examples/pdsm4dmp/DocumentReference-example-td3-1a-fhir-document.json': /masterIdentifier\.type: at least 1/,
  'r4-examples/Observation-clinical-gender.json': /a `Encounter` cannot be referred to here/,
};

const NOT_LOADED_THERE =
  'it refuses what leads to a profile that is in none of the packages; here that profile is not asked';
const CONTENT = 'it compares size and hash with the bytes; here the document does, when its Binary is attached';
const FULL_URL = 'it holds entries to rules on fullUrl that are no invariant of Bundle';

/** Files whose verdict differs, and why. */
export const DIFFERENT: Readonly<Record<string, string>> = {
  'fr-examples/annuaire/Organization-481677.json': NOT_LOADED_THERE,
  'fr-examples/annuaire/Organization-548812.json': NOT_LOADED_THERE,
  'fr-examples/fr-core/Organization-hopitaltest-eg-4-members.json': NOT_LOADED_THERE,
  'fr-examples/fr-core/Organization-hopitaltest-pole-1150-med-spe.json': NOT_LOADED_THERE,
  'fr-examples/fr-core/Organization-hopitaltest-uac-4420-uac-02.json': NOT_LOADED_THERE,
  'fr-examples/fr-core/Organization-hopitaltest-uf-4701-endocrino-diab.json': NOT_LOADED_THERE,
  'fr-examples/pdsm/DocumentReference-PDSmSimplifiedExample.json': CONTENT,
  'fr-examples/sas/Appointment-1.json': NOT_LOADED_THERE,
  'fr-examples/sas/Appointment-2.json': NOT_LOADED_THERE,
  'fr-examples/sas/Bundle-ExampleBundleCPTS1.json': NOT_LOADED_THERE,
  'fr-examples/sas/Bundle-ExampleBundlePSIndiv.json': NOT_LOADED_THERE,
  'fr-examples/sas/Location-2222222222.json': NOT_LOADED_THERE,
  'fr-examples/sas/Organization-ExampleOrgaCPTS1.json': NOT_LOADED_THERE,
  'fr-examples/sas/Practitioner-ExamplePractitioner.json': NOT_LOADED_THERE,
  'fr-examples/sas/Practitioner-ExamplePractitioner3.json': NOT_LOADED_THERE,
  'fr-examples/sas/Practitioner-ExamplePractitionerRegul2.json': NOT_LOADED_THERE,
  'fr-examples/sas/Practitioner-ExamplePractitionerRegul4.json': NOT_LOADED_THERE,
  'fr-examples/sas/PractitionerRole-ExamplePractitionerRoleAgregateur2.json': NOT_LOADED_THERE,
  'fr-examples/sas/PractitionerRole-ExamplePractitionerRoleAgregateur4.json': NOT_LOADED_THERE,
  'r4-examples/Bundle-10bb101f-a121-4264-a920-67be9cb82c74.json': FULL_URL,
  'r4-examples/Bundle-bundle-search-warning.json': FULL_URL,
  'r4-examples/Bundle-father.json': 'it knows the units of UCUM, and resolves references by the rules on fullUrl',
  'r4-examples/Bundle-hla-1.json': 'it refuses sub-extensions that a complex extension does not list',
  'r4-examples/Bundle-lri-example.json': FULL_URL,
  'r4-examples/Bundle-ussg-fht.json':
    'it refuses a claim of a profile that it does not know; here such a claim is left alone',
  'r4-examples/Observation-clinical-gender.json': 'it lets a reference name any type; R4 lists those that may perform',
  'r4-examples/Procedure-f201.json': 'it asks canonicals to be absolute',
  'r4-examples/QuestionnaireResponse-gcs.json': 'it asks canonicals to be absolute',
  'r4-examples/MedicationStatement-example002.json': 'it knows the codes of v3-orderableDrugForm, in upper case',
};

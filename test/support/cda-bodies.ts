/** CDA R2 documents of synthetic people, small and complete in their header. */
import type { Traits } from './fhir-bodies.ts';

export type CdaParts = {
  readonly traits: Traits;
  /** OID of the document. */
  readonly id: string;
  readonly code?: string;
  readonly confidentiality?: string;
  readonly replaces?: string;
  readonly before?: string;
};

const GENDER = { male: 'M', female: 'F' } as const;

export const cdaText = ({
  traits,
  id,
  code = '11488-4',
  confidentiality = 'N',
  replaces,
  before = '',
}: CdaParts): string =>
  `<?xml version="1.0" encoding="UTF-8"?>
${before}<ClinicalDocument xmlns="urn:hl7-org:v3">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="${id}"/>
  <code code="${code}" codeSystem="2.16.840.1.113883.6.1" displayName="Consultation"/>
  <title>Compte rendu
    de consultation</title>
  <effectiveTime value="20260302091500+0100"/>
  <confidentialityCode code="${confidentiality}" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="fr-FR"/>
  <setId root="1.2.250.1.999.20" extension="set-1"/>
  <versionNumber value="1"/>
  <recordTarget><patientRole>
    <id root="1.2.250.1.213.1.4.10" extension="${traits.ins}"/>
    <patient>
      <name><family qualifier="CL">USAGE</family><family qualifier="BR">${traits.family}</family><given>${traits.given}</given><given qualifier="CL">AUTRE</given></name>
      <administrativeGenderCode code="${GENDER[traits.gender]}" codeSystem="2.16.840.1.113883.5.1"/>
      <birthTime value="${traits.birthDate.replaceAll('-', '')}"/>
      <birthplace><place><addr><county>60141</county><city>Chantilly</city></addr></place></birthplace>
    </patient>
  </patientRole></recordTarget>
  <author>
    <time value="20260302091500+0100"/>
    <assignedAuthor>
      <id root="1.2.250.1.71.4.2.1" extension="899700000001"/>
      <code code="G15_10/SM26" codeSystem="1.2.250.1.213.1.1.4.5"/>
      <assignedPerson><name><family>TEST</family><given>Lou</given></name></assignedPerson>
      <representedOrganization><id root="1.2.250.1.71.4.2.2" extension="1100000017"/><name>Hôpital TEST</name></representedOrganization>
    </assignedAuthor>
  </author>
  <custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.250.1.71.4.2.2" extension="1100000017"/><name>Hôpital TEST</name></representedCustodianOrganization></assignedCustodian></custodian>
  <legalAuthenticator><time value="20260302"/><signatureCode code="S"/><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="899700000001"/></assignedEntity></legalAuthenticator>
  <inFulfillmentOf><order><id root="1.2.250.1.999.30" extension="ORDER-1"/></order></inFulfillmentOf>
  <documentationOf><serviceEvent>
    <code code="DEQP003" codeSystem="1.2.250.1.213.2.5"/>
    <effectiveTime><low value="202603020830+0100"/><high value="202603020900+0100"/></effectiveTime>
    <performer typeCode="PRF"><assignedEntity><id root="1.2.250.1.71.4.2.1" extension="899700000001"/><representedOrganization><standardIndustryClassCode code="ETABLISSEMENT" codeSystem="1.2.250.1.213.1.1.4.9"/></representedOrganization></assignedEntity></performer>
  </serviceEvent></documentationOf>${
    replaces === undefined
      ? ''
      : `\n  <relatedDocument typeCode="RPLC"><parentDocument><id root="${replaces}"/></parentDocument></relatedDocument>`
  }
  <componentOf><encompassingEncounter><effectiveTime nullFlavor="NA"/><location><healthcareFacility><code code="SA01" codeSystem="1.2.250.1.71.4.2.4"/></healthcareFacility></location></encompassingEncounter></componentOf>
  <component><nonXMLBody><text mediaType="application/pdf" representation="B64">JVBERi0=</text></nonXMLBody></component>
</ClinicalDocument>`;

/** The input of `$generate-metadata`. */
export const generateBody = (cda: string, contentType = 'text/xml') => ({
  resourceType: 'Parameters',
  parameter: [
    {
      name: 'document',
      resource: { resourceType: 'Binary', contentType, data: Buffer.from(cda, 'utf8').toString('base64') },
    },
  ],
});

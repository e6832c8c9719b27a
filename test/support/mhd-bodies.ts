/** Bodies of IHE MHD 4.2 and PDSm 3.1: what a Document Source sends. Everything is made here, of the test register. */
import { type DocumentParts, documentBody, type Resource, type Traits } from './fhir-bodies.ts';

const mhd = 'https://profiles.ihe.net/ITI/MHD';
const pdsm = 'https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition';
const nos = (name: string, id: string): string => `https://mos.esante.gouv.fr/NOS/${name}/FHIR/${id}`;

export const MHD = {
  minimal: `${mhd}/StructureDefinition/IHE.MHD.Minimal.ProvideBundle`,
  uncontained: `${mhd}/StructureDefinition/IHE.MHD.UnContained.Comprehensive.ProvideBundle`,
  comprehensive: `${mhd}/StructureDefinition/IHE.MHD.Comprehensive.ProvideBundle`,
  pdsm: `${pdsm}/pdsm-comprehensive-provide-document-bundle`,
  simplified: `${mhd}/StructureDefinition/IHE.MHD.SimplifiedPublish.DocumentReference`,
  pdsmSimplified: `${pdsm}/pdsm-simplified-publish`,
  isArchived: `${pdsm}/pdsm-ext-is-archived`,
  designationType: `${mhd}/StructureDefinition/ihe-designationType`,
  sourceId: `${mhd}/StructureDefinition/ihe-sourceId`,
  authorOrg: `${mhd}/StructureDefinition/ihe-authorOrg`,
  listType: `${mhd}/CodeSystem/MHDlistTypes`,
  identifierType: `${mhd}/CodeSystem/IHE.MHD.MHDIdentifierType`,
} as const;

const coded = (system: string, code: string) => ({ coding: [{ system, code }] });
const sector = nos('TRE_R02-SecteurActivite', 'TRE-R02-SecteurActivite');
const setting = nos('TRE_A01-CadreExercice', 'TRE-A01-CadreExercice');

/** A comprehensive DocumentReference: everything that PDSm asks for, its author contained. */
export function comprehensiveBody(
  parts: DocumentParts & { readonly custodian: string; readonly family?: string },
): Resource {
  const plain = documentBody(parts);
  const [{ attachment }] = plain['content'] as readonly [{ readonly attachment: object }];
  const contained = plain['contained'] as readonly Resource[];
  return {
    ...plain,
    contained: [
      ...contained,
      {
        resourceType: 'PractitionerRole',
        id: 'role',
        practitioner: { reference: '#author' },
        code: [coded(nos('TRE_G15-ProfessionSante', 'TRE-G15-ProfessionSante'), '10')],
      },
      { resourceType: 'Practitioner', id: 'author', name: [{ family: parts.family ?? 'AUTEUR', given: ['Lou'] }] },
    ],
    author: [{ reference: '#role' }],
    custodian: { reference: parts.custodian },
    content: [
      {
        attachment: { ...attachment, creation: parts.date },
        format: {
          system: 'http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode',
          code: 'urn:ihe:iti:xds:2017:mimeTypeSufficient',
        },
      },
    ],
    context: {
      ...(plain['context'] as object),
      facilityType: coded(sector, 'SA01'),
      practiceSetting: coded(setting, 'ETABLISSEMENT'),
    },
  };
}

/** A SubmissionSet; what `more` states wins. */
export const submissionSetBody = (parts: {
  readonly subject: string;
  readonly date: string;
  readonly entries: readonly string[];
  readonly oid: string;
  readonly family?: string;
  readonly more?: Readonly<Record<string, unknown>>;
}): Resource => ({
  resourceType: 'List',
  contained: [
    { resourceType: 'Practitioner', id: 'source', name: [{ family: parts.family ?? 'SOURCE', given: ['Ana'] }] },
  ],
  extension: [
    { url: MHD.designationType, valueCodeableConcept: coded(sector, 'SA01') },
    { url: MHD.sourceId, valueIdentifier: { system: 'urn:ietf:rfc:3986', value: 'urn:oid:1.2.250.1.999.7' } },
  ],
  identifier: [{ type: coded(MHD.identifierType, 'uniqueId'), system: 'urn:ietf:rfc:3986', value: parts.oid }],
  status: 'current',
  mode: 'working',
  code: coded(MHD.listType, 'submissionset'),
  subject: { reference: parts.subject },
  date: parts.date,
  source: { reference: '#source' },
  entry: parts.entries.map((reference) => ({ item: { reference } })),
  ...parts.more,
});

export const folderBody = (parts: {
  readonly subject: string;
  readonly date: string;
  readonly entries: readonly string[];
  readonly title: string;
  readonly more?: Readonly<Record<string, unknown>>;
}): Resource => ({
  resourceType: 'List',
  extension: [{ url: MHD.designationType, valueCodeableConcept: coded(sector, 'SA01') }],
  status: 'current',
  mode: 'working',
  title: parts.title,
  code: coded(MHD.listType, 'folder'),
  subject: { reference: parts.subject },
  date: parts.date,
  entry: parts.entries.map((reference) => ({ item: { reference } })),
  ...parts.more,
});

/** MHD's Patch Parameters: the document that another replaces becomes `superseded`. */
export const supersedeBody = (code = 'superseded', path = 'DocumentReference.status'): Resource => ({
  resourceType: 'Parameters',
  parameter: [
    {
      name: 'operation',
      part: [
        { name: 'path', valueString: path },
        { name: 'type', valueCode: 'replace' },
        { name: 'value', valueCode: code },
      ],
    },
  ],
});

/** One entry: POST of the resource, unless `request` says another thing. */
export type ProvidedEntry = {
  readonly fullUrl?: string;
  readonly resource?: Resource;
  readonly request?: { readonly method: string; readonly url: string };
};

export const provideBody = (profile: string, entries: readonly ProvidedEntry[]): Resource => ({
  resourceType: 'Bundle',
  meta: { profile: [profile] },
  type: 'transaction',
  entry: entries.map(({ fullUrl, resource, request }) => ({
    ...(fullUrl === undefined ? {} : { fullUrl }),
    ...(resource === undefined ? {} : { resource }),
    request: request ?? { method: 'POST', url: resource?.resourceType },
  })),
});

/** The identity of a person as a Patient entry carries it. */
export type { Traits };

/**
 * CDA R2 header → DocumentReference (fhir.md 12.2). Read from the header: id, setId, code, title, effectiveTime, confidentialityCode, languageCode,
 * recordTarget, author, custodian, legalAuthenticator, inFulfillmentOf, documentationOf, componentOf, relatedDocument, and the media type of a body
 * that is not XML.
 *
 * Left in the document and out of its index: dataEnterer, informant, participant, authorization (no right follows from it), informationRecipient, and
 * templates that no format code is known for. Visibility labels come from the deposit, never from the document.
 */
import { EXTENSION, INS_SYSTEMS, SYSTEM } from '../../server/fhir/canonical.ts';
import { malformed, ok, type Result, unprocessable } from '../../server/fhir/result.ts';
import type { Json, JsonObject } from '../../server/fhir/types.ts';
import { readXml, type XmlElement } from '../../server/fhir/xml/guard.ts';
import { all, attribute, birthName, CDA_NAMESPACE, concept, dateTime, first, identifier, text } from './elements.ts';

/** Members that have a value. */
const members = (object: Readonly<Record<string, Json | undefined>>): JsonObject =>
  Object.fromEntries(Object.entries(object).filter((entry): entry is [string, Json] => entry[1] !== undefined));

const list = (items: readonly (JsonObject | undefined)[]): readonly JsonObject[] | undefined => {
  const found = items.filter((item) => item !== undefined);
  return found.length === 0 ? undefined : found;
};

/** The stylesheet that a self-presenting document names is not followed; the guard takes no processing instruction. */
const withoutStylesheet = (document: string): string =>
  document.replace(/^(\s*(?:<\?xml [^?]*\?>)?\s*)<\?xml-stylesheet\b[^?]*\?>/, '$1');

/** The DocumentReference of a CDA document, its content aside: everything that its header says of it. */
export function readCdaHeader(document: string): Result<JsonObject> {
  const read = readXml(withoutStylesheet(document.replace(/^\uFEFF/, '')));
  if (!read.ok) return read;
  const root = read.value;
  if (root.name !== 'ClinicalDocument' || root.namespace !== CDA_NAMESPACE)
    return malformed('the document is a CDA R2 ClinicalDocument');
  const ins = insOf(first(root, 'recordTarget/patientRole'));
  if (ins === undefined) {
    return unprocessable('the recordTarget carries an INS with its OID', 'DocumentReference.subject', 'W1');
  }
  const master = identifier(first(root, 'id'));
  const type = concept(first(root, 'code'));
  if (master === undefined || type === undefined) return unprocessable('a CDA document has its id and its code');
  const authors = all(root, 'author/assignedAuthor').map(authorOf);
  const title = text(first(root, 'title'));
  return ok(
    members({
      resourceType: 'DocumentReference',
      contained: [patientOf(root, ins), ...authors.flatMap((author) => author.contained)],
      masterIdentifier: master,
      identifier: list([identifier(first(root, 'setId'))]),
      status: 'current',
      type,
      subject: { reference: `Patient?identifier=${ins.system}|${ins.value}` },
      author: list(authors.map((author) => author.reference)),
      authenticator: authenticatorOf(first(root, 'legalAuthenticator/assignedEntity')),
      custodian: organizationOf(first(root, 'custodian/assignedCustodian/representedCustodianOrganization')),
      relatesTo: list(all(root, 'relatedDocument').map(relationOf)),
      description: title,
      securityLabel: list([concept(first(root, 'confidentialityCode'))]),
      content: [
        members({
          attachment: members({
            language: attribute(first(root, 'languageCode'), 'code'),
            title,
            creation: dateTime(first(root, 'effectiveTime')),
          }),
          format: formatOf(root),
        }),
      ],
      context: contextOf(root),
    }),
  );
}

type Ins = { readonly system: string; readonly value: string };

const insOf = (role: XmlElement | undefined): Ins | undefined => {
  for (const id of all(role, 'id')) {
    const system = `urn:oid:${attribute(id, 'root') ?? ''}`;
    const value = attribute(id, 'extension');
    if (INS_SYSTEMS.includes(system) && value !== undefined) return { system, value };
  }
  return undefined;
};

const GENDERS: Readonly<Record<string, string>> = { M: 'male', F: 'female', U: 'unknown', UN: 'unknown' };

/** The identity that the document carries. An INS travels with a qualified identity alone (domain.md 5.1): CDA has no other way to say it. */
function patientOf(root: XmlElement, ins: Ins): JsonObject {
  const patient = first(root, 'recordTarget/patientRole/patient');
  const name = birthName(first(patient, 'name'));
  const commune = text(first(patient, 'birthplace/place/addr/county'));
  const birthPlace = {
    url: EXTENSION.birthPlace,
    valueAddress: {
      extension: [
        { url: EXTENSION.addressInseeCode, valueCoding: { system: SYSTEM.municipality, code: commune ?? '' } },
      ],
    },
  };
  const reliability = {
    url: EXTENSION.identityReliability,
    extension: [{ url: 'identityStatus', valueCoding: { system: SYSTEM.identityStatusV2, code: 'VALI' } }],
  };
  return members({
    resourceType: 'Patient',
    id: 'source-patient',
    extension: commune === undefined ? [reliability] : [reliability, birthPlace],
    identifier: [{ use: 'official', ...ins }],
    name: name === undefined ? undefined : [{ use: 'official', ...name }],
    gender: GENDERS[attribute(first(patient, 'administrativeGenderCode'), 'code') ?? ''],
    birthDate: dateTime(first(patient, 'birthTime'))?.slice(0, 10),
  });
}

type Author = { readonly reference: JsonObject; readonly contained: readonly JsonObject[] };

/** A person in their role, or a device; what names them is contained. */
function authorOf(assigned: XmlElement, index: number): Author {
  const id = `author-${index + 1}`;
  const device = first(assigned, 'assignedAuthoringDevice');
  const ids = list(all(assigned, 'id').map(identifier));
  if (device !== undefined) {
    const name = text(first(device, 'softwareName')) ?? text(first(device, 'manufacturerModelName'));
    const deviceName = name === undefined ? undefined : [{ name, type: 'user-friendly-name' }];
    return {
      reference: { reference: `#${id}` },
      contained: [members({ resourceType: 'Device', id, identifier: ids, deviceName })],
    };
  }
  const name = birthName(first(assigned, 'assignedPerson/name'));
  const role = `${id}-role`;
  return {
    reference: { reference: `#${role}` },
    contained: [
      members({
        resourceType: 'PractitionerRole',
        id: role,
        practitioner: { reference: `#${id}` },
        organization: organizationOf(first(assigned, 'representedOrganization')),
        specialty: list([concept(first(assigned, 'code'))]),
      }),
      members({ resourceType: 'Practitioner', id, identifier: ids, name: name === undefined ? undefined : [name] }),
    ],
  };
}

/** A structure by its identifier and name: the directory is not searched for it. */
function organizationOf(element: XmlElement | undefined): JsonObject | undefined {
  const id = identifier(first(element, 'id'));
  const display = text(first(element, 'name'));
  return id === undefined && display === undefined
    ? undefined
    : members({ type: 'Organization', identifier: id, display });
}

function authenticatorOf(entity: XmlElement | undefined): JsonObject | undefined {
  const id = identifier(first(entity, 'id'));
  return id === undefined ? undefined : { type: 'Practitioner', identifier: id };
}

const RELATIONS: Readonly<Record<string, string>> = { RPLC: 'replaces', APND: 'appends', XFRM: 'transforms' };

/** The document named is looked for by its identifier, inside what the caller sees. */
function relationOf(related: XmlElement): JsonObject | undefined {
  const code = RELATIONS[attribute(related, 'typeCode') ?? ''];
  const parent = identifier(first(related, 'parentDocument/id'));
  if (code === undefined || parent === undefined) return undefined;
  return {
    code,
    target: { reference: `DocumentReference?identifier=${String(parent['system'])}|${String(parent['value'])}` },
  };
}

const FORMAT_CODES = 'http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode';
const UNSTRUCTURED: Readonly<Record<string, string>> = {
  'application/pdf': 'urn:ihe:iti:xds-sd:pdf:2008',
  'text/plain': 'urn:ihe:iti:xds-sd:text:2008',
};

/** A scanned or plain body has its format code; of a structured one, the media type says enough. */
function formatOf(root: XmlElement): JsonObject {
  const mediaType = attribute(first(root, 'component/nonXMLBody/text'), 'mediaType');
  return { system: FORMAT_CODES, code: UNSTRUCTURED[mediaType ?? ''] ?? 'urn:ihe:iti:xds:2017:mimeTypeSufficient' };
}

const ORDER = 'urn:ihe:iti:xds:2013:order';

function contextOf(root: XmlElement): JsonObject {
  const services = all(root, 'documentationOf/serviceEvent');
  const [main] = services;
  const time = first(main, 'effectiveTime');
  const [start, end] = [dateTime(first(time, 'low')) ?? dateTime(time), dateTime(first(time, 'high'))];
  const performers = first(main, 'performer/assignedEntity/representedOrganization/standardIndustryClassCode');
  return members({
    event: list(services.map((service) => concept(first(service, 'code')))),
    period: start === undefined && end === undefined ? undefined : members({ start, end }),
    facilityType: concept(first(root, 'componentOf/encompassingEncounter/location/healthcareFacility/code')),
    practiceSetting: concept(performers),
    sourcePatientInfo: { reference: '#source-patient' },
    related: list(
      all(root, 'inFulfillmentOf/order/id').map((id) => {
        const order = identifier(id);
        return order === undefined
          ? undefined
          : { identifier: { type: { coding: [{ system: SYSTEM.uri, code: ORDER }] }, ...order } };
      }),
    ),
  });
}

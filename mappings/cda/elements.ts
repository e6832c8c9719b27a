/** Reading a CDA R2 tree: elements of its one namespace by name, attributes, text, and the data types of its header. */
import { SYSTEM } from '../../server/fhir/canonical.ts';
import type { JsonObject } from '../../server/fhir/types.ts';
import type { XmlElement } from '../../server/fhir/xml/guard.ts';

export const CDA_NAMESPACE = 'urn:hl7-org:v3';

/** Every element reached by a path of names: `all(root, 'recordTarget/patientRole/id')`. */
export function all(from: XmlElement | undefined, path: string): readonly XmlElement[] {
  let found: readonly XmlElement[] = from === undefined ? [] : [from];
  for (const name of path.split('/')) {
    found = found.flatMap((element) =>
      element.children.filter(
        (child): child is XmlElement =>
          typeof child !== 'string' && child.name === name && child.namespace === CDA_NAMESPACE,
      ),
    );
  }
  return found;
}

export const first = (from: XmlElement | undefined, path: string): XmlElement | undefined => all(from, path)[0];

export const attribute = (element: XmlElement | undefined, name: string): string | undefined => {
  const value = element?.attributes.find((a) => a.name === name && a.namespace === '')?.value.trim();
  return value === '' ? undefined : value;
};

/** The text of an element, white space as one. */
export const text = (element: XmlElement | undefined): string | undefined => {
  const found = (element?.children ?? [])
    .filter((child) => typeof child === 'string')
    .join('')
    .replace(/\s+/g, ' ')
    .trim();
  return found === '' ? undefined : found;
};

/** OIDs of CDA and the systems that FHIR gives them; the others stay OIDs. */
const SYSTEMS: ReadonlyMap<string, string> = new Map([
  ['2.16.840.1.113883.6.1', SYSTEM.loinc],
  ['2.16.840.1.113883.5.25', SYSTEM.confidentiality],
  ['1.2.250.1.213.1.1.4.12', SYSTEM.documentType],
  ['1.2.250.1.71.4.2.4', SYSTEM.sector],
  ['1.2.250.1.213.1.1.4.9', SYSTEM.practiceSetting],
]);

/** A coded element as a CodeableConcept; one without a code is none. */
export function concept(element: XmlElement | undefined): JsonObject | undefined {
  const code = attribute(element, 'code');
  const oid = attribute(element, 'codeSystem');
  const display = attribute(element, 'displayName');
  if (code === undefined) return undefined;
  const system = oid === undefined ? undefined : (SYSTEMS.get(oid) ?? `urn:oid:${oid}`);
  return {
    coding: [{ ...(system === undefined ? {} : { system }), code, ...(display === undefined ? {} : { display }) }],
  };
}

const OID = /^[0-2](\.(0|[1-9]\d*))+$/;

/** An instance identifier: a root alone is the identifier, with an extension it is the system of it. */
export function identifier(element: XmlElement | undefined): JsonObject | undefined {
  const root = attribute(element, 'root');
  const extension = attribute(element, 'extension');
  if (root === undefined) return undefined;
  const urn = OID.test(root) ? `urn:oid:${root}` : `urn:uuid:${root.toLowerCase()}`;
  return extension === undefined ? { system: SYSTEM.uri, value: urn } : { system: urn, value: extension };
}

/** A point in time at the precision written; a time of day without its offset says the day alone. */
export function dateTime(element: XmlElement | undefined): string | undefined {
  const parts = /^(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(\d\d)(?:(\d\d)(\.\d{1,4})?)?)?)?)?([+-]\d\d)?(\d\d)?$/.exec(
    attribute(element, 'value') ?? '',
  );
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second = '00', fraction = '', sign, offset = '00'] = parts;
  const date = [year, month, day].filter((p) => p !== undefined).join('-');
  return hour === undefined || sign === undefined
    ? date
    : `${date}T${hour}:${minute}:${second}${fraction}${sign}:${offset}`;
}

const names = (element: XmlElement | undefined, part: string): readonly (readonly [string | undefined, string])[] =>
  all(element, part).flatMap((e) => {
    const value = text(e);
    return value === undefined ? [] : [[attribute(e, 'qualifier'), value] as const];
  });

/** A person's name: the birth name and the birth given names where they are told apart (qualifier `BR`). */
export function birthName(element: XmlElement | undefined): JsonObject | undefined {
  const [families, givens] = [names(element, 'family'), names(element, 'given')];
  const family = (families.find(([q]) => q === 'BR') ?? families.find(([q]) => q === undefined) ?? families[0])?.[1];
  const plain = givens.filter(([q]) => q === undefined);
  const given = (plain.length > 0 ? plain : givens.filter(([q]) => q === 'BR')).map(([, value]) => value);
  if (family === undefined && given.length === 0) return undefined;
  return { ...(family === undefined ? {} : { family }), ...(given.length === 0 ? {} : { given }) };
}

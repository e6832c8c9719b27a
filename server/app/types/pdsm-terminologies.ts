/**
 * The reference terminologies that PDSm 3.1 asks for in prose alone (`constr-bind-format`, `constr-bind-ProducteurDoc`,
 * `constr-bind-designationtype`; fhir.md 4.2, 4.3): which systems a code may come from, by URL or by the OID that the prose gives. What a
 * project restricts further (JDV_J60, JDV_J61…) is the project's.
 */
import { SYSTEM } from '../../fhir/canonical.ts';
import { codingsOf } from '../../fhir/json.ts';
import type { Json } from '../../fhir/types.ts';

const producer = [SYSTEM.producer, 'urn:oid:1.2.250.1.213.1.1.4.6'];
const sector = [SYSTEM.sector, 'urn:oid:1.2.250.1.71.4.2.4'];

export const TERMINOLOGIES = {
  /** `context.facilityType` where the author is the person, or a device of theirs. */
  facilityOfPerson: { systems: producer, named: 'TRE_A00' },
  /** `context.facilityType` where the author is a professional, or a device of theirs. */
  facilityOfProfessional: { systems: sector, named: 'TRE_R02' },
  facilityOfEither: { systems: [...producer, ...sector], named: 'TRE_A00 or TRE_R02' },
  /** `context.practiceSetting`: the prose repeats that of the facility; JDV_J04, which the element is bound to, is of TRE_A01. */
  practiceSetting: { systems: [SYSTEM.practiceSetting, ...producer, ...sector], named: 'TRE_A01, TRE_A00 or TRE_R02' },
  /** `content.format`. */
  format: {
    systems: [
      SYSTEM.formatCode,
      'urn:oid:1.2.250.1.213.1.1.4.2.282',
      SYSTEM.iheFormatCode,
      SYSTEM.iheFormat,
      'urn:oid:1.3.6.1.4.1.19376.1.2.3',
      SYSTEM.dicomUid,
      'urn:oid:1.2.840.10008.2.6.1',
      SYSTEM.urnClass,
    ],
    named: 'TRE_A06, TRE_A11 (IHE), TRE_A09 (DICOM) or TRE_A10 (URN)',
  },
  /** Extension `ihe-designationType` of a SubmissionSet. */
  designation: {
    systems: [...producer, ...sector, SYSTEM.activity, 'urn:oid:1.2.250.1.213.2.2'],
    named: 'TRE_A00, TRE_R209 or TRE_R02',
  },
} as const satisfies Readonly<Record<string, { readonly systems: readonly string[]; readonly named: string }>>;

export type Terminology = (typeof TERMINOLOGIES)[keyof typeof TERMINOLOGIES];

/** Whether a concept is coded, and every code of it is of the terminology. */
export function codedIn(concept: Json | undefined, { systems }: Terminology): boolean {
  const allowed: readonly string[] = systems;
  const codings = codingsOf(concept);
  return codings.length > 0 && codings.every((c) => c.code !== undefined && allowed.includes(c.system ?? ''));
}

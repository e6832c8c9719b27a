/** CDA R2 header → DocumentReference: what is read, what is refused, and the samples that are at hand. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readCdaHeader } from '../../../mappings/cda/header.ts';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { r4Validator } from '../../../server/adapters/validator/validator.ts';
import type { JsonObject, Resource } from '../../../server/fhir/types.ts';
import { cdaText } from '../../support/cda-bodies.ts';
import type { Traits } from '../../support/fhir-bodies.ts';

const traits: Traits = {
  ins: '299036014100113',
  family: 'ESSAI',
  given: 'CAMILLE',
  gender: 'female',
  birthDate: '1999-03-12',
};
const validator = r4Validator(shippedDefinitions());

const read = (text: string): JsonObject => {
  const found = readCdaHeader(text);
  if (!found.ok) throw new Error(JSON.stringify(found.failure));
  return found.value;
};

describe('the header of a CDA document', () => {
  test('is read into a DocumentReference that R4 accepts', () => {
    const document = read(cdaText({ traits, id: '1.2.250.1.999.21.1', replaces: '1.2.250.1.999.21.0' }));
    expect(document).toMatchObject({
      masterIdentifier: { system: 'urn:ietf:rfc:3986', value: 'urn:oid:1.2.250.1.999.21.1' },
      identifier: [{ system: 'urn:oid:1.2.250.1.999.20', value: 'set-1' }],
      type: { coding: [{ system: 'http://loinc.org', code: '11488-4' }] },
      description: 'Compte rendu de consultation',
      subject: { reference: 'Patient?identifier=urn:oid:1.2.250.1.213.1.4.10|299036014100113' },
      author: [{ reference: '#author-1-role' }],
      custodian: { identifier: { value: '1100000017' }, display: 'Hôpital TEST' },
      authenticator: { identifier: { value: '899700000001' } },
      relatesTo: [
        {
          code: 'replaces',
          target: { reference: 'DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.21.0' },
        },
      ],
      securityLabel: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'N' }] }],
      content: [
        {
          attachment: {
            language: 'fr-FR',
            title: 'Compte rendu de consultation',
            creation: '2026-03-02T09:15:00+01:00',
          },
          format: { code: 'urn:ihe:iti:xds-sd:pdf:2008' },
        },
      ],
      context: {
        event: [{ coding: [{ system: 'urn:oid:1.2.250.1.213.2.5', code: 'DEQP003' }] }],
        period: { start: '2026-03-02T08:30:00+01:00', end: '2026-03-02T09:00:00+01:00' },
        facilityType: { coding: [{ code: 'SA01' }] },
        practiceSetting: { coding: [{ code: 'ETABLISSEMENT' }] },
        related: [{ identifier: { system: 'urn:oid:1.2.250.1.999.30', value: 'ORDER-1' } }],
      },
    });
    const [patient, role, practitioner] = document['contained'] as readonly JsonObject[];
    expect(patient).toMatchObject({
      name: [{ family: 'ESSAI', given: ['CAMILLE'] }],
      gender: 'female',
      birthDate: '1999-03-12',
    });
    expect(role).toMatchObject({ practitioner: { reference: '#author-1' }, organization: { display: 'Hôpital TEST' } });
    expect(practitioner).toMatchObject({ name: [{ family: 'TEST', given: ['Lou'] }] });
    expect(
      validator.validate({ ...document, content: [{ attachment: { url: 'Binary/x' } }] } as unknown as Resource),
    ).toEqual([]);
  });

  test('a stylesheet is passed over, and nothing else before the document', () => {
    expect(
      readCdaHeader(cdaText({ traits, id: '1.2.3', before: '<?xml-stylesheet type="text/xsl" href="x.xsl"?>\n' })).ok,
    ).toBe(true);
    for (const before of [
      '<!DOCTYPE x [<!ENTITY a "b">]>',
      '<?other x?>',
      '<!DOCTYPE ClinicalDocument SYSTEM "file:///etc/passwd">',
    ])
      expect(readCdaHeader(cdaText({ traits, id: '1.2.3', before }))).toMatchObject({
        ok: false,
        failure: { code: 'malformed' },
      });
  });

  test.each([
    ['no CDA', '<ClinicalDocument xmlns="urn:other"/>', 'malformed'],
    ['no XML', 'not a document', 'malformed'],
    ['no INS', cdaText({ traits, id: '1.2.3' }).replace('1.2.250.1.213.1.4.10', '1.2.3.4'), 'unprocessable'],
    ['no id', cdaText({ traits, id: '1.2.3' }).replace('<id root="1.2.3"/>', ''), 'unprocessable'],
  ])('%s is refused', (_what, text, code) => {
    expect(readCdaHeader(text)).toMatchObject({ ok: false, failure: { code } });
  });
});

/** The samples that are at hand, told apart from ours by nothing but a test INS in the place of their patient's first identifier. */
const folders = ['fr', 'c-cda-examples', 'to-fhir'].map((name) =>
  fileURLToPath(new URL(`../../../../shared/data/cda/${name}/`, import.meta.url)),
);

describe.runIf(folders.every((folder) => existsSync(folder)))(
  'samples of CDA (skipped where they are not there)',
  () => {
    const files = folders.flatMap((folder) =>
      (existsSync(folder) ? readdirSync(folder) : []).filter((f) => f.endsWith('.xml')).map((f) => folder + f),
    );
    test.each(files)('%s', (file) => {
      const sent = readFileSync(file, 'utf8').replace(
        /(<patientRole[^>]*>\s*(?:<!--[\s\S]*?-->\s*)*)<id\b[^>]*?(?:\/>|>\s*<\/id>)/,
        '$1<id root="1.2.250.1.213.1.4.10" extension="299036014100113"/>',
      );
      const found = readCdaHeader(sent);
      if (!found.ok) {
        // What is refused is a document that is no CDA, or a second instruction of its stylesheet.
        expect(found.failure.code).toMatch(/malformed|unprocessable/);
        expect(
          /<ClinicalDocument[^>]*urn:hl7-org:v3/.test(sent) && !/<\?(?!xml\b|xml-stylesheet)/.test(sent),
          JSON.stringify(found.failure),
        ).toBe(false);
        return;
      }
      expect(
        validator.validate({ ...found.value, content: [{ attachment: { url: 'Binary/x' } }] } as unknown as Resource),
      ).toEqual([]);
    });
  },
);

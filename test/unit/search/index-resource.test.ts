import { describe, expect, test } from 'vitest';
import { indexResource } from '../../../server/fhir/index-resource.ts';
import { FOREVER, MAX_NUMBER, MIN_NUMBER, NEVER_BEFORE, nextUp } from '../../../server/fhir/interval.ts';
import {
  declaredParameters,
  includesOf,
  parameterOf,
  registryFor,
  revincludesOf,
} from '../../../server/fhir/search-parameter.ts';
import type { Resource } from '../../../server/fhir/types.ts';
import { definitions, samples } from './definitions.ts';
import { BASE, registry, TYPES } from './world.ts';

const index = (resource: Resource) => indexResource(registry, resource, { baseUrl: BASE });
const termsOf = (resource: Resource, ...params: readonly string[]): readonly string[] =>
  index(resource).terms.filter((t) => params.some((p) => t.startsWith(`${p}=`)));
const stringsOf = (resource: Resource, param: string): readonly string[] =>
  index(resource)
    .strings.filter((s) => s.param === param)
    .map((s) => s.text);
const rangesOf = (resource: Resource, param: string) =>
  index(resource)
    .ranges.filter((r) => r.param === param)
    .map(({ lo, hi }) => [lo, hi]);

describe('tokens', () => {
  const coded: Resource = {
    resourceType: 'DocumentReference',
    type: {
      coding: [
        { system: 'http://loinc.org', code: '42348-3', display: 'Directives Anticipées' },
        { code: 'local' },
        { system: 'urn:only' },
      ],
      text: 'Directive',
    },
  };

  test('a coding is found by system and code, code, system; one without system by that', () => {
    expect(termsOf(coded, 'type')).toEqual([
      'type=42348-3',
      'type=http://loinc.org|42348-3',
      'type=http://loinc.org|',
      'type=local',
      'type=|local',
      'type=urn:only|',
    ]);
  });

  test('the text of codings and concepts', () => {
    expect(stringsOf(coded, 'type:text')).toEqual(['directives anticipees', 'directive']);
  });

  test('an identifier, and its type', () => {
    const patient: Resource = {
      resourceType: 'Patient',
      identifier: [
        {
          system: 'urn:oid:1.2.250.1.213.1.4.8',
          value: '2840',
          type: { coding: [{ system: 'urn:types', code: 'INS-NIR' }], text: 'NIR définitif' },
        },
        { value: 'alone' },
      ],
    };
    expect(termsOf(patient, 'identifier', 'identifier:of-type')).toEqual([
      'identifier=2840',
      'identifier=urn:oid:1.2.250.1.213.1.4.8|2840',
      'identifier=urn:oid:1.2.250.1.213.1.4.8|',
      'identifier:of-type=urn:types|INS-NIR|2840',
      'identifier=alone',
      'identifier=|alone',
    ]);
    expect(stringsOf(patient, 'identifier:text')).toEqual(['nir definitif']);
  });

  test('a value with a bar in it cannot pass for a system and a value', () => {
    const terms = termsOf({ resourceType: 'Patient', identifier: [{ value: 'urn:x|1' }] }, 'identifier');
    expect(terms).toEqual(['identifier=urn:x\\|1', 'identifier=|urn:x\\|1']);
  });

  test('codes have their implicit system, and no case', () => {
    expect(termsOf({ resourceType: 'Patient', gender: 'female' }, 'gender')).toEqual([
      'gender=female',
      'gender=|female',
      'gender=http://hl7.org/fhir/administrative-gender|female',
      'gender=http://hl7.org/fhir/administrative-gender|',
    ]);
    expect(termsOf({ resourceType: 'AuditEvent', action: 'R' }, 'action')).toContain('action=r');
    expect(termsOf({ resourceType: 'Patient', active: true }, 'active')).toEqual(['active=true', 'active=|true']);
  });

  test('contacts', () => {
    const patient: Resource = {
      resourceType: 'Patient',
      telecom: [
        { system: 'email', value: 'Anne@Example.org' },
        { system: 'phone', value: '0102030405' },
      ],
    };
    expect(termsOf(patient, 'email')).toContain('email=anne@example.org');
    expect(termsOf(patient, 'email')).not.toContain('email=0102030405');
    expect(termsOf(patient, 'phone')).toContain('phone=0102030405');
    expect(termsOf(patient, 'telecom')).toContain('telecom=0102030405');
  });

  test('deceased says no of whom nothing says so', () => {
    expect(termsOf({ resourceType: 'Patient' }, 'deceased')).toContain('deceased=false');
    expect(termsOf({ resourceType: 'Patient', deceasedDateTime: '2020' }, 'deceased')).toContain('deceased=true');
    expect(termsOf({ resourceType: 'Patient', deceasedBoolean: false }, 'deceased')).toContain('deceased=false');
  });
});

describe('what every resource has', () => {
  const resource: Resource = {
    resourceType: 'Binary',
    id: 'b1',
    meta: {
      lastUpdated: '2026-01-01T00:00:00Z',
      profile: ['http://p.example/StructureDefinition/x|1.0'],
      source: 'urn:s',
      tag: [{ system: 'urn:t', code: 'x' }],
      security: [{ system: 'urn:sec', code: 'N' }],
    },
  };
  test('tags, labels, profiles, source; not the id and the time, which the store knows', () => {
    expect(index(resource).terms).toEqual([
      '_profile=http://p.example/StructureDefinition/x',
      '_profile=http://p.example/StructureDefinition/x|1.0',
      '_has=_profile',
      '_security=N',
      '_security=urn:sec|N',
      '_security=urn:sec|',
      '_has=_security',
      '_source=urn:s',
      '_has=_source',
      '_tag=x',
      '_tag=urn:t|x',
      '_tag=urn:t|',
      '_has=_tag',
    ]);
    expect(index(resource).ranges).toEqual([]);
  });

  test('a type that the server does not know gives nothing', () => {
    expect(index({ resourceType: 'Martian', meta: { source: 'x' } })).toEqual({
      terms: [],
      strings: [],
      ranges: [],
      sort: [],
    });
  });
});

describe('references', () => {
  const subject = (reference: string): readonly string[] =>
    termsOf({ resourceType: 'DocumentReference', subject: { reference } }, 'subject', 'subject:version', '_has');

  test.each([
    ['Patient/p1', ['subject=Patient/p1']],
    [`${BASE}/Patient/p1`, ['subject=Patient/p1']],
    ['Patient/p1/_history/3', ['subject=Patient/p1', 'subject:version=Patient/p1/_history/3']],
    [`${BASE}/Patient/p1/_history/3`, ['subject=Patient/p1', 'subject:version=Patient/p1/_history/3']],
    ['https://other.example/fhir/Patient/p1', ['subject=https://other.example/fhir/Patient/p1']],
    [`${BASE}x/Patient/p1`, [`subject=${BASE}x/Patient/p1`]],
    ['urn:uuid:0c287d32-01e3-4d87-9953-9fcc9404eb21', ['subject=urn:uuid:0c287d32-01e3-4d87-9953-9fcc9404eb21']],
    ['#inside', []],
  ])('%s', (reference, expected) => {
    expect(subject(reference).filter((t) => t.startsWith('subject'))).toEqual(expected);
    expect(subject(reference)).toContain('_has=subject');
  });

  test('`patient` is the subject when that is a Patient', () => {
    expect(termsOf({ resourceType: 'DocumentReference', subject: { reference: 'Patient/1' } }, 'patient')).toEqual([
      'patient=Patient/1',
    ]);
    expect(termsOf({ resourceType: 'DocumentReference', subject: { reference: 'Group/1' } }, 'patient')).toEqual([]);
  });

  test('by identifier', () => {
    const doc: Resource = {
      resourceType: 'DocumentReference',
      author: [{ identifier: { system: 'urn:rpps', value: '1' } }],
    };
    expect(termsOf(doc, 'author', 'author:identifier')).toEqual([
      'author:identifier=1',
      'author:identifier=urn:rpps|1',
      'author:identifier=urn:rpps|',
    ]);
    expect(index(doc).sort).toEqual([]);
  });

  test('canonicals, with and without their version', () => {
    expect(
      termsOf(
        { resourceType: 'Library', relatedArtifact: [{ type: 'depends-on', resource: 'http://x/Library/a|2' }] },
        'depends-on',
      ),
    ).toEqual(['depends-on=http://x/Library/a', 'depends-on=http://x/Library/a|2']);
  });
});

describe('strings and URIs', () => {
  test('the parts of a name', () => {
    const patient: Resource = {
      resourceType: 'Patient',
      name: [{ family: 'Le Goff', given: ['Zoé', 'Ève'], prefix: ['Mme'] }],
    };
    expect(stringsOf(patient, 'name')).toEqual(['le goff', 'zoe', 'eve', 'mme']);
    expect(stringsOf(patient, 'family')).toEqual(['le goff']);
    expect(termsOf(patient, 'given:exact')).toEqual(['given:exact=Zoé', 'given:exact=Ève']);
  });

  test('the parts of an address', () => {
    const patient: Resource = {
      resourceType: 'Patient',
      address: [{ line: ['1 rue de l’Église'], city: 'Nîmes', postalCode: '30000', country: 'FR', use: 'home' }],
    };
    expect(stringsOf(patient, 'address')).toEqual(['1 rue de l eglise', 'nimes', '30000', 'fr']);
    expect(stringsOf(patient, 'address-city')).toEqual(['nimes']);
  });

  test('a URI is kept as written', () => {
    const doc: Resource = {
      resourceType: 'DocumentReference',
      content: [{ attachment: { url: 'http://X.example/A' } }],
    };
    expect(termsOf(doc, 'location')).toEqual(['location=http://X.example/A']);
    expect(stringsOf(doc, 'location')).toEqual(['http://X.example/A']);
  });
});

describe('ranges', () => {
  const utc = (text: string): number => Date.parse(text);

  test('dates, periods and timings', () => {
    expect(rangesOf({ resourceType: 'Patient', birthDate: '2000-03' }, 'birthdate')).toEqual([
      [utc('2000-02-29T23:00:00Z'), utc('2000-03-31T22:00:00Z')],
    ]);
    const period = (p: Resource[string]): readonly number[][] =>
      rangesOf({ resourceType: 'DocumentReference', context: { period: p ?? null } }, 'period');
    expect(period({ start: '2026-01-01T00:00:00Z' })).toEqual([[utc('2026-01-01T00:00:00Z'), FOREVER]]);
    expect(period({ end: '2026-01-01T00:00:00Z' })).toEqual([[NEVER_BEFORE, utc('2026-01-01T00:00:01Z')]]);
    expect(period({})).toEqual([]);
    expect(
      rangesOf({ resourceType: 'Observation', effectiveTiming: { event: ['2026-01-01T00:00:00Z'] } }, 'date'),
    ).toEqual([[utc('2026-01-01T00:00:00Z'), utc('2026-01-01T00:00:01Z')]]);
  });

  test('a quantity is found by its unit, however that is written', () => {
    const weight: Resource = {
      resourceType: 'Observation',
      valueQuantity: { value: 80.5, unit: 'kilos', system: 'http://unitsofmeasure.org', code: 'kg' },
    };
    const point = [[80.5, nextUp(80.5)]];
    for (const name of ['|http://unitsofmeasure.org|kg', '||kg', '||kilos', '']) {
      expect(rangesOf(weight, `value-quantity${name}`)).toEqual(point);
    }
    expect(rangesOf(weight, 'value-quantity|http://unitsofmeasure.org|kilos')).toEqual([]);
  });

  test('a comparator opens the interval', () => {
    const with_ = (comparator: string): readonly number[][] =>
      rangesOf({ resourceType: 'Observation', valueQuantity: { value: 5, comparator } }, 'value-quantity');
    expect(with_('<')).toEqual([[MIN_NUMBER, 5]]);
    expect(with_('<=')).toEqual([[MIN_NUMBER, nextUp(5)]]);
    expect(with_('>=')).toEqual([[5, MAX_NUMBER]]);
    expect(with_('>')).toEqual([[nextUp(5), MAX_NUMBER]]);
  });

  test('a probability that is a range', () => {
    const risk: Resource = {
      resourceType: 'RiskAssessment',
      prediction: [{ probabilityRange: { low: { value: 0.1 } } }],
    };
    expect(rangesOf(risk, 'probability')).toEqual([[0.1, MAX_NUMBER]]);
  });
});

describe('composites', () => {
  test('both parts are of one repetition', () => {
    const doc: Resource = {
      resourceType: 'DocumentReference',
      relatesTo: [
        { code: 'replaces', target: { reference: 'DocumentReference/old' } },
        { code: 'appends', target: { reference: 'DocumentReference/other' } },
      ],
    };
    const terms = termsOf(doc, 'relationship');
    expect(terms).toContain('relationship=replaces$DocumentReference/old');
    expect(terms).toContain('relationship=appends$DocumentReference/other');
    expect(terms).not.toContain('relationship=replaces$DocumentReference/other');
    expect(index(doc).terms).toContain('_has=relationship');
  });

  test('a code and a quantity, of the whole or of a component', () => {
    const pressure: Resource = {
      resourceType: 'Observation',
      code: { coding: [{ system: 's', code: 'bp' }] },
      component: [
        { code: { coding: [{ system: 's', code: 'sys' }] }, valueQuantity: { value: 120, code: 'mm[Hg]' } },
        { code: { coding: [{ system: 's', code: 'dia' }] }, valueQuantity: { value: 80, code: 'mm[Hg]' } },
      ],
    };
    const of = (name: string): readonly number[][] => rangesOf(pressure, name);
    expect(of('component-code-value-quantity$s|sys')).toEqual([[120, nextUp(120)]]);
    expect(of('component-code-value-quantity$dia||mm[Hg]')).toEqual([[80, nextUp(80)]]);
    expect(of('combo-code-value-quantity$dia')).toEqual([[80, nextUp(80)]]);
    expect(of('code-value-quantity$bp')).toEqual([]);
    expect(index(pressure).terms).not.toContain('_has=code-value-quantity');
  });

  test('a code and a string', () => {
    const noted: Resource = {
      resourceType: 'Observation',
      code: { coding: [{ code: 'note' }] },
      valueString: 'Très bien',
    };
    expect(stringsOf(noted, 'code-value-string$note')).toEqual(['tres bien']);
  });
});

describe('order', () => {
  test('one key for each parameter, the smallest, and none where nothing is said', () => {
    const patient: Resource = {
      resourceType: 'Patient',
      birthDate: '2000-01-01',
      name: [{ family: 'Zola' }, { family: 'Émile' }],
      gender: 'male',
    };
    const keys = new Map(index(patient).sort.map((s) => [s.param, s.key]));
    expect(keys.get('family')).toBe('emile');
    expect(keys.get('birthdate')).toBe(Date.parse('1999-12-31T23:00:00Z'));
    expect(keys.get('gender')).toBe('male');
    expect(keys.has('given')).toBe(false);
    expect(index(patient).sort.length).toBe(keys.size);
  });
});

describe('the registry', () => {
  test('is built for the types it is asked for, and says what it leaves out', () => {
    const small = registryFor({ definitions, types: ['Patient', 'Location'], omit: ['Patient.email'] });
    expect(small.errors).toEqual([]);
    expect(parameterOf(small, 'Patient', 'family')?.url).toBe('http://hl7.org/fhir/SearchParameter/individual-family');
    expect(parameterOf(small, 'Patient', 'email')).toBeUndefined();
    expect(parameterOf(small, 'Practitioner', 'family')).toBeUndefined();
    expect(parameterOf(small, 'Patient', 'constructor')).toBeUndefined();
    expect(small.unsupported).toContainEqual({
      resourceType: 'Location',
      code: 'near',
      reason: 'special parameters are not supported',
    });
  });

  test('an expression that does not compile is an error', () => {
    const broken = {
      ...definitions,
      parameters: [
        {
          code: 'x',
          type: 'token' as const,
          base: ['Patient'],
          expression: 'Patient.nom',
          url: 'urn:x',
          documentation: '',
        },
        {
          code: 'y',
          type: 'date' as const,
          base: ['Patient'],
          expression: 'Patient.gender',
          url: 'urn:y',
          documentation: '',
        },
      ],
    };
    expect(registryFor({ definitions: broken, types: ['Patient', 'Nobody'], omit: [] }).errors).toEqual([
      '`Nobody` is not a resource type',
      'Patient.x: `Patient` has no element `nom`',
      'Patient.y: `code` cannot be searched as date',
    ]);
  });

  test('what a CapabilityStatement declares', () => {
    const declared = declaredParameters(registry, 'DocumentReference');
    expect(declared.find((d) => d.name === 'patient')).toEqual({
      name: 'patient',
      type: 'reference',
      definition: 'http://hl7.org/fhir/SearchParameter/clinical-patient',
      documentation: 'Who/what is the subject of the document',
    });
    expect(declared.map((d) => d.name)).toEqual([...declared.map((d) => d.name)].sort());
    expect(includesOf(registry, 'DocumentReference', ['Patient'])).toEqual(
      expect.arrayContaining(['DocumentReference:patient', 'DocumentReference:subject']),
    );
    expect(includesOf(registry, 'DocumentReference', ['Patient'])).not.toContain('DocumentReference:custodian');
    expect(revincludesOf(registry, 'Organization', TYPES)).toContain('DocumentReference:custodian');
    expect(revincludesOf(registry, 'DocumentReference', ['Provenance'])).toEqual(
      expect.arrayContaining(['Provenance:target', 'Provenance:entity']),
    );
  });
});

for (const folder of ['r4-examples', 'fr-examples', 'ihe-mhd', 'ihe-pcf', 'ihe-balp']) {
  const found = samples(folder);
  test.skipIf(found === undefined)(
    `every resource of ${folder} is indexed (skipped where the samples are not there)`,
    () => {
      const all = registryFor({ definitions, types: definitions.resources, omit: [] });
      for (const resource of found ?? []) {
        const entry = indexResource(all, resource, { baseUrl: BASE });
        expect(new Set(entry.terms).size).toBe(entry.terms.length);
        for (const r of entry.ranges)
          expect(r.lo, `${resource.resourceType}/${resource.id} ${r.param}`).toBeLessThan(r.hi);
        for (const term of entry.terms) expect(term).toMatch(/^[^=]+=/s);
      }
    },
  );
}

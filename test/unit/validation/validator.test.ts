import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { r4Validator } from '../../../server/adapters/validator/validator.ts';
import type { Json, Resource } from '../../../server/fhir/types.ts';
import { missingSamples, samplesIn } from '../../support/samples.ts';

const definitions = shippedDefinitions();
const validator = r4Validator(definitions);
const faults = (resource: unknown) => validator.validate(resource as Resource);
const places = (resource: unknown) => faults(resource).map((fault) => fault.at);

const DOCUMENT = {
  resourceType: 'DocumentReference',
  id: 'd1',
  meta: {
    profile: ['https://example.org/profile'],
    security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'N' }],
  },
  contained: [
    { resourceType: 'Patient', id: 'source', name: [{ family: 'ESSAI', given: ['CAMILLE'] }], birthDate: '1999-03-12' },
  ],
  masterIdentifier: { system: 'urn:ietf:rfc:3986', value: 'urn:oid:1.2.3' },
  status: 'current',
  type: { coding: [{ system: 'http://loinc.org', code: '34112-3', display: 'Compte rendu – « sortie » 10 000 €' }] },
  subject: { reference: 'Patient/p1' },
  date: '2026-03-10T10:00:00.000+01:00',
  author: [{ reference: 'Practitioner/dr' }],
  securityLabel: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code: 'N' }] }],
  content: [
    {
      attachment: {
        contentType: 'application/pdf',
        url: 'Binary/b1',
        size: 12000,
        hash: 'MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=',
        creation: '2026-03-10',
      },
      format: { system: 'urn:f', code: 'x' },
    },
  ],
  context: { period: { start: '2026-03-09', end: '2026-03-10' }, sourcePatientInfo: { reference: '#source' } },
} as const;

const CONSENT = {
  resourceType: 'Consent',
  status: 'active',
  scope: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/consentscope', code: 'patient-privacy' }] },
  category: [{ coding: [{ system: 'http://loinc.org', code: '59284-0' }] }],
  patient: { reference: 'Patient/p1' },
  dateTime: '2026-03-09T12:00:00+01:00',
  policy: [{ uri: 'https://carnet.example/fhir/Policy/professional-access' }],
  provision: {
    type: 'permit',
    period: { start: '2026-03-09', end: '2027' },
    actor: [{ role: { text: 'recipient' }, reference: { reference: 'Practitioner/dr' } }],
  },
};

/** A copy with something set at a path, or taken away when the value is `undefined`. */
const having = (resource: unknown, path: readonly (string | number)[], value: unknown): unknown => {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  const copy: any = Array.isArray(resource) ? [...resource] : { ...(resource as object) };
  const inner = having(copy[step], rest, value);
  if (inner === undefined) delete copy[step];
  else copy[step] = inner;
  return copy;
};

describe('what is accepted', () => {
  it('a whole document reference and a consent', () => {
    expect(faults(DOCUMENT)).toEqual([]);
    expect(faults(CONSENT)).toEqual([]);
  });

  it.each<[string, unknown]>([
    [
      'extensions beside a primitive',
      {
        resourceType: 'Patient',
        birthDate: '1999',
        _birthDate: { id: 'x', extension: [{ url: 'urn:x', valueDateTime: '1999-03-12T10:00:00Z' }] },
      },
    ],
    [
      'extensions instead of a primitive',
      { resourceType: 'Patient', _birthDate: { extension: [{ url: 'urn:x', valueCode: 'unknown' }] } },
    ],
    [
      'extensions instead of a mandatory primitive',
      having(having(DOCUMENT, ['status'], undefined), ['_status'], {
        extension: [{ url: 'urn:x', valueCode: 'unknown' }],
      }),
    ],
    [
      'paired arrays',
      {
        resourceType: 'Patient',
        name: [{ given: ['A', null, 'C'], _given: [null, { extension: [{ url: 'urn:x', valueString: 'b' }] }] }],
      },
    ],
    ['a leap day', { resourceType: 'Patient', birthDate: '2000-02-29' }],
    ['a leap second', { resourceType: 'Patient', deceasedDateTime: '2016-12-31T23:59:60Z' }],
    [
      'no-break spaces of French typography',
      { resourceType: 'Patient', name: [{ text: 'Hélène\u00a0« Test\u202f»' }] },
    ],
    [
      'a period within one day',
      having(CONSENT, ['provision', 'period'], { start: '2026-03-09T10:00:00+01:00', end: '2026-03-09' }),
    ],
    ['a period within one year', having(CONSENT, ['provision', 'period'], { start: '2026-12-31', end: '2026' })],
    ['base64 in lines', { resourceType: 'Binary', contentType: 'application/pdf', data: 'AAAA\r\nBBBB' }],
    ['a long code', { resourceType: 'Patient', language: `${'a '.repeat(100_000)}a` }],
    [
      'a contained resource inside a bundle entry',
      { resourceType: 'Bundle', type: 'collection', entry: [{ resource: DOCUMENT }] },
    ],
  ])('%s', (_, resource) => {
    expect(faults(resource)).toEqual([]);
  });
});

describe('what is refused, and where', () => {
  it.each<[string, readonly (string | number)[], unknown, string]>([
    ['a missing element', ['status'], undefined, 'DocumentReference.status'],
    ['a missing list', ['content'], undefined, 'DocumentReference.content'],
    ['a missing element below', ['content', 0, 'attachment'], undefined, 'DocumentReference.content[0].attachment'],
    ['a text for a number', ['content', 0, 'attachment', 'size'], '12', 'DocumentReference.content[0].attachment.size'],
    [
      'a fraction for a whole number',
      ['content', 0, 'attachment', 'size'],
      1.5,
      'DocumentReference.content[0].attachment.size',
    ],
    ['a negative size', ['content', 0, 'attachment', 'size'], -1, 'DocumentReference.content[0].attachment.size'],
    [
      'a size beyond 31 bits',
      ['content', 0, 'attachment', 'size'],
      2147483648,
      'DocumentReference.content[0].attachment.size',
    ],
    ['an unknown element', ['colour'], 'red', 'DocumentReference.colour'],
    [
      'an unknown element below',
      ['content', 0, 'attachment', 'colour'],
      'red',
      'DocumentReference.content[0].attachment.colour',
    ],
    ['a code outside a required binding', ['status'], 'final', 'DocumentReference.status'],
    [
      'a dateTime without an offset',
      ['content', 0, 'attachment', 'creation'],
      '2026-03-10T10:00:00',
      'DocumentReference.content[0].attachment.creation',
    ],
    ['an instant without a time', ['date'], '2026-03-10', 'DocumentReference.date'],
    [
      'a day that is not',
      ['content', 0, 'attachment', 'creation'],
      '2026-02-30',
      'DocumentReference.content[0].attachment.creation',
    ],
    [
      'a leap day of no leap year',
      ['content', 0, 'attachment', 'creation'],
      '2100-02-29',
      'DocumentReference.content[0].attachment.creation',
    ],
    ['a time without a day', ['date'], 'T10:00', 'DocumentReference.date'],
    [
      'a period that ends before it starts',
      ['context', 'period'],
      { start: '2026-03-11', end: '2026-03-10' },
      'DocumentReference.context.period',
    ],
    [
      'a period that ends an hour before, by offset',
      ['context', 'period'],
      { start: '2026-03-10T10:00:00+01:00', end: '2026-03-10T09:30:00+02:00' },
      'DocumentReference.context.period',
    ],
    ['an object for a list', ['author'], { reference: 'Practitioner/dr' }, 'DocumentReference.author'],
    ['a list for an object', ['subject'], [{ reference: 'Patient/p1' }], 'DocumentReference.subject'],
    ['an empty list', ['author'], [], 'DocumentReference.author'],
    ['an empty object', ['subject'], {}, 'DocumentReference.subject'],
    ['an id alone', ['subject'], { id: 'x' }, 'DocumentReference.subject'],
    ['an empty text', ['description'], '', 'DocumentReference.description'],
    ['a null', ['description'], null, 'DocumentReference.description'],
    ['a null in a list', ['author', 0], null, 'DocumentReference.author[0]'],
    ['a control character', ['description'], 'a\u0007b', 'DocumentReference.description'],
    [
      'a reference to the wrong type',
      ['subject'],
      { reference: 'Organization/o' },
      'DocumentReference.subject.reference',
    ],
    [
      'a local reference to nothing',
      ['context', 'sourcePatientInfo', 'reference'],
      '#nobody',
      'DocumentReference.context.sourcePatientInfo',
    ],
    ['bad base64', ['content', 0, 'attachment', 'hash'], 'a$b=', 'DocumentReference.content[0].attachment.hash'],
    [
      'a fault in a contained resource',
      ['contained', 0, 'birthDate'],
      '12/03/1999',
      'DocumentReference.contained[0].birthDate',
    ],
    ['an unknown contained type', ['contained', 0, 'resourceType'], 'Person2', 'DocumentReference.contained[0]'],
    [
      'a resource that nothing refers to',
      ['contained', 1],
      { resourceType: 'Patient', id: 'other' },
      'DocumentReference',
    ],
    [
      'an extension with value and extensions',
      ['extension'],
      [{ url: 'urn:x', valueString: 'a', extension: [{ url: 'urn:y', valueString: 'b' }] }],
      'DocumentReference.extension[0]',
    ],
    ['an extension without anything', ['extension'], [{ url: 'urn:x' }], 'DocumentReference.extension[0]'],
    [
      'two values of a choice',
      ['extension'],
      [{ url: 'urn:x', valueString: 'a', valueCode: 'b' }],
      'DocumentReference.extension[0].value',
    ],
    [
      'a bad value of a choice',
      ['extension'],
      [{ url: 'urn:x', valuePeriod: { start: 'x' } }],
      'DocumentReference.extension[0].value.ofType(Period).start',
    ],
    [
      'a type that no choice has',
      ['extension'],
      [{ url: 'urn:x', valuePatient: 'a' }],
      'DocumentReference.extension[0].valuePatient',
    ],
    [
      'an element of the source package that R4 has not',
      ['meta', 'project'],
      'urn:x',
      'DocumentReference.meta.project',
    ],
    [
      'a script in the narrative',
      ['text'],
      { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>' },
      'DocumentReference.text.div',
    ],
    [
      'data without a content type',
      ['content', 0, 'attachment'],
      { data: 'AAAA' },
      'DocumentReference.content[0].attachment',
    ],
    [
      'extensions of what cannot be extended',
      ['_subject'],
      { extension: [{ url: 'urn:x', valueString: 'y' }] },
      'DocumentReference._subject',
    ],
    ['an unpaired null', ['meta', 'profile'], [null], 'DocumentReference.meta.profile[0]'],
    ['an empty shadow', ['_status'], {}, 'DocumentReference.status'],
    ['a shadow that is no object', ['_status'], 'x', 'DocumentReference.status'],
  ])('%s', (_, path, value, at) => {
    const found = faults(having(DOCUMENT, path, value));
    expect(found.map((fault) => fault.at)).toContain(at);
    for (const fault of found) {
      expect(fault.text.length).toBeGreaterThan(5);
      expect(fault.code).toMatch(/^(structure|required|value|invariant|code-invalid)$/);
    }
  });

  it.each<[string, unknown, readonly string[]]>([
    ['a consent without a policy (ppc-1)', having(CONSENT, ['policy'], undefined), ['Consent']],
    ['a provision type that is none', having(CONSENT, ['provision', 'type'], 'maybe'), ['Consent.provision.type']],
    [
      'an organization without name and identifier (org-1)',
      { resourceType: 'Organization', active: true },
      ['Organization'],
    ],
    [
      'a home address of an organization (org-2)',
      { resourceType: 'Organization', name: 'x', address: [{ use: 'home', text: 'y' }] },
      ['Organization.address[0]'],
    ],
    [
      'a contact without a name (pat-1)',
      { resourceType: 'Patient', contact: [{ gender: 'male' }] },
      ['Patient.contact[0]'],
    ],
    [
      'an appointment with a start only (app-2)',
      {
        resourceType: 'Appointment',
        status: 'proposed',
        start: '2026-01-01T00:00:00Z',
        participant: [{ status: 'accepted', actor: { display: 'x' } }],
      },
      ['Appointment'],
    ],
    [
      'two deceased',
      { resourceType: 'Patient', deceasedBoolean: true, deceasedDateTime: '2026' },
      ['Patient.deceased'],
    ],
    [
      'a nested contained resource (dom-2)',
      {
        resourceType: 'List',
        status: 'current',
        mode: 'working',
        subject: { reference: '#a' },
        contained: [{ resourceType: 'Patient', id: 'a', contained: [{ resourceType: 'Patient', id: 'b' }] }],
      },
      ['List.contained[0]'],
    ],
    ['no type', { resourceType: 'Nothing' }, ['Nothing']],
    ['an abstract type', { resourceType: 'DomainResource' }, ['DomainResource']],
    ['a data type', { resourceType: 'Period' }, ['Period']],
    ['an inherited name', { resourceType: 'constructor' }, ['constructor']],
    [
      'a clinical status from nowhere',
      {
        resourceType: 'Condition',
        subject: { reference: 'Patient/p' },
        clinicalStatus: { coding: [{ system: 'urn:x', code: 'active' }] },
      },
      ['Condition.clinicalStatus'],
    ],
    [
      'a text instead of a required code',
      { resourceType: 'Condition', subject: { reference: 'Patient/p' }, clinicalStatus: { text: 'active' } },
      ['Condition.clinicalStatus'],
    ],
  ])('%s', (_, resource, at) => {
    expect(places(resource)).toEqual(expect.arrayContaining([...at]));
  });

  it('names T2 for what it is', () => {
    expect(faults(having(CONSENT, ['dateTime'], '2026-03-09T12:00:00'))).toEqual([
      { code: 'value', at: 'Consent.dateTime', text: 'a `dateTime` with a time has an offset from UTC' },
    ]);
  });

  it('gives one fault for each problem', () => {
    const broken = having(
      having(having(DOCUMENT, ['status'], 'x'), ['colour'], 1),
      ['content', 0, 'attachment', 'size'],
      'y',
    );
    expect(places(broken)).toEqual([
      'DocumentReference.status',
      'DocumentReference.content[0].attachment.size',
      'DocumentReference.colour',
    ]);
  });

  it('stops at 50', () => {
    const many = { resourceType: 'Patient', name: Array.from({ length: 5000 }, () => ({ colour: 1 })) };
    expect(faults(many).length).toBe(50);
  });

  it('never repeats a value in full', () => {
    const secret = 'Martin'.repeat(100);
    expect(JSON.stringify(faults(having(DOCUMENT, ['status'], secret)))).not.toContain(secret);
    expect(JSON.stringify(faults(having(DOCUMENT, ['date'], 'Martin')))).not.toContain('Martin');
  });

  it('refuses what is nested too deep instead of overflowing', () => {
    let extension: Json = { url: 'urn:x', valueString: 'y' };
    for (let i = 0; i < 20_000; i += 1) extension = { url: 'urn:x', extension: [extension] };
    expect(faults({ resourceType: 'Patient', extension: [extension] })[0]?.text).toBe('nested deeper than 64 levels');
  });

  it('is quick on hostile texts', () => {
    const started = performance.now();
    const long = 'a '.repeat(500_000);
    expect(places({ resourceType: 'Binary', contentType: 'text/plain', data: ` ${' '.repeat(200_000)}A` })).toEqual([
      'Binary.data',
    ]);
    expect(places({ resourceType: 'Patient', language: `${long} ` })).toEqual(['Patient.language']);
    expect(places({ resourceType: 'Patient', implicitRules: long })).toEqual(['Patient.implicitRules']);
    expect(
      places({
        resourceType: 'Patient',
        text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'<p '.repeat(200_000)}</div>` },
      }),
    ).toEqual(['Patient.text.div']);
    expect(
      places({ resourceType: 'Patient', text: { status: 'generated', div: `<div ${'a="b" '.repeat(100_000)}` } }),
    ).toEqual(['Patient.text.div']);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('real resources', () => {
  /** Samples that are not valid R4, and why. */
  const WRONG: Readonly<Record<string, string>> = {
    'ihe-pcf/Binary-B-ink.json': 'a file name stands where the data belongs',
    'r4-examples/MedicationRequest-medrx0301.json':
      'dispenseRequest.performer names a Practitioner; R4 allows an Organization',
    'r4-examples/Observation-clinical-gender.json': 'performer names an Encounter, which R4 does not allow',
    'r4-examples/Questionnaire-qs1.json': 'items without the mandatory linkId',
  };

  for (const folder of ['r4-examples', 'ihe-mhd', 'ihe-pcf', 'ihe-balp']) {
    describe.skipIf(missingSamples(folder))(folder, () => {
      it.each(samplesIn(folder).map(({ name, resource }) => [name, resource] as const))('%s', (name, resource) => {
        if (WRONG[name] === undefined) expect(faults(resource)).toEqual([]);
        else expect(faults(resource).length, WRONG[name]).toBeGreaterThan(0);
      });
    });
  }
});

describe('warm', () => {
  it('prepares types, passes over unknown names, and changes no verdict', async () => {
    const other = r4Validator(definitions);
    await other.warm(['Patient', 'Nothing', 'Consent']);
    expect(other.validate(CONSENT as unknown as Resource)).toEqual([]);
    expect(other.validate({ resourceType: 'Nothing' })).toHaveLength(1);
  });
});

import { evalFhirPathTyped, toTypedValue } from '@medplum/core';
import { describe, expect, test } from 'vitest';
import { compilePath } from '../../../server/fhir/path.ts';
import type { Json, Resource } from '../../../server/fhir/types.ts';
import { definitions, registry, samples } from './definitions.ts';

type Found = { readonly type: string; readonly value: Json };

function evaluate(expression: string, resource: Resource): readonly Found[] {
  const compiled = compilePath<Found[]>({
    expression,
    from: { name: resource.resourceType },
    elements: definitions.elements,
    leaf: (type) => (value, _resource, out) => {
      out.push({ type: type.name, value });
    },
  });
  if (!compiled.ok) throw new Error(`${expression}: ${compiled.text}`);
  const found: Found[] = [];
  compiled.value(resource, resource, found);
  return found;
}

const values = (expression: string, resource: Resource): readonly Json[] =>
  evaluate(expression, resource).map((f) => f.value);

/** As a set: a union of FHIRPath has no duplicates and no order that matters. */
const asSet = (list: readonly unknown[]): readonly string[] => [...new Set(list.map((v) => JSON.stringify(v)))].sort();

const BY_TYPE = new Map(
  definitions.resources.map((type) => [
    type,
    definitions.parameters.filter(
      (p) => p.expression !== undefined && (p.base.includes(type) || p.base.includes('Resource')),
    ),
  ]),
);

/** Where it knows less: it gives no type to what is contained or absolute, which ours reads from the resource or the URL. */
const BEYOND = /^\{.*"reference":"(#|https?:)/;
/** It takes numbers this small for equal, and leaves one of them out of a union. */
const TOO_SMALL = /"value":1e-2\d\d?\b/;

/** How many values were compared; fails on the first paths that differ. */
function agrees(resources: readonly Resource[]): number {
  let compared = 0;
  const differences: unknown[] = [];
  for (const resource of resources) {
    const type = resource.resourceType;
    for (const { code, expression } of BY_TYPE.get(type) ?? []) {
      if (expression === undefined) continue;
      // Without a schema it does not know that a Patient is a Resource.
      const theirExpression = expression.replace(/^Resource\./, `${type}.`);
      const theirs = asSet(evalFhirPathTyped(theirExpression, [toTypedValue(resource)]).map((t) => t.value as unknown));
      const ours = asSet(values(expression, resource));
      compared += ours.length;
      const more = new Set(
        ours.filter((v) => (expression.includes('resolve()') && BEYOND.test(v)) || TOO_SMALL.test(v)),
      );
      const missing = theirs.filter((v) => !ours.includes(v));
      const added = ours.filter((v) => !theirs.includes(v) && !more.has(v));
      if (missing.length + added.length > 0) {
        differences.push({ at: `${type}/${resource.id} ${code}`, expression, ours, theirs });
      }
    }
  }
  expect(differences).toEqual([]);
  return compared;
}

const WRITTEN: readonly Resource[] = [
  {
    resourceType: 'Patient',
    id: 'p1',
    active: true,
    gender: 'female',
    birthDate: '1974-12-25',
    deceasedDateTime: '2015-02-14T13:42:00+01:00',
    name: [{ family: 'Martin', given: ['Anne', 'Lise'] }, { text: 'Madame Martin' }],
    telecom: [
      { system: 'phone', value: '01 02 03 04 05' },
      { system: 'email', value: 'anne@example.org' },
      { value: 'no system' },
    ],
    link: [{ other: { reference: 'Patient/p2' }, type: 'seealso' }],
  },
  { resourceType: 'Patient', id: 'p2', deceasedBoolean: false },
  { resourceType: 'Patient', id: 'p3', deceasedBoolean: true },
  { resourceType: 'Patient', id: 'p4' },
  {
    resourceType: 'Condition',
    id: 'c1',
    onsetAge: { value: 12, unit: 'a', system: 'http://unitsofmeasure.org', code: 'a' },
    abatementString: 'soon',
    subject: { reference: 'Group/g1' },
  },
  {
    resourceType: 'DocumentReference',
    id: 'd1',
    status: 'current',
    subject: { reference: 'https://host.example/fhir/Patient/p1/_history/3' },
    contained: [{ resourceType: 'Practitioner', id: 'me' }],
    author: [{ reference: '#me' }],
    content: [{ attachment: { url: 'Binary/b1', contentType: 'application/pdf' } }],
    relatesTo: [{ code: 'replaces', target: { reference: 'DocumentReference/d0' } }],
    context: { period: { start: '2026-01-01' }, related: [{ identifier: { system: 'urn:x', value: '1' } }] },
  },
  {
    resourceType: 'AuditEvent',
    id: 'a1',
    agent: [{ who: { reference: 'Practitioner/x' } }, { who: { reference: 'Patient/p1' } }],
    entity: [{ what: { reference: 'Patient/p1' } }, { what: { reference: 'DocumentReference/d1' } }],
  },
  {
    resourceType: 'Bundle',
    id: 'b1',
    type: 'document',
    entry: [
      { resource: { resourceType: 'Composition', id: 'first' } },
      { resource: { resourceType: 'Patient', id: 'second' } },
    ],
  },
  {
    resourceType: 'Observation',
    id: 'o1',
    code: { text: 'weight' },
    valueQuantity: { value: 80, unit: 'kg' },
    component: [{ code: { text: 'c' }, valueCodeableConcept: { text: 'high' } }],
    subject: { type: 'Patient', identifier: { system: 'urn:x', value: '1' } },
  },
];

describe('paths agree with the reference evaluator', () => {
  test('on resources written for it', () => {
    expect(agrees(WRITTEN)).toBeGreaterThan(50);
  });

  for (const folder of ['r4-examples', 'fr-examples']) {
    const found = samples(folder);
    test.skipIf(found === undefined)(`on the resources of ${folder} (skipped where the samples are not there)`, () => {
      expect(agrees(found ?? [])).toBeGreaterThan(500);
    });
  }
});

describe('types of what a path yields', () => {
  const types = (expression: string, resource: Resource): readonly string[] =>
    evaluate(expression, resource).map((f) => f.type);
  const [anne, , , , condition] = WRITTEN as readonly [Resource, Resource, Resource, Resource, Resource];

  test('a choice knows which of its types stands there', () => {
    expect(types('Patient.deceased', anne)).toEqual(['dateTime']);
    expect(types('Condition.onset', condition)).toEqual(['Age']);
    expect(types('(Condition.onset as Age) | (Condition.onset as Range)', condition)).toEqual(['Age']);
    expect(types('Condition.onset.ofType(dateTime)', condition)).toEqual([]);
    expect(types('Condition.abatement.as(string)', condition)).toEqual(['string']);
  });

  test('a code with one required code system carries it', () => {
    const seen: (string | undefined)[] = [];
    compilePath({
      expression: 'Patient.gender',
      from: { name: 'Patient' },
      elements: definitions.elements,
      leaf: (type) => {
        seen.push(type.system);
        return undefined;
      },
    });
    expect(seen).toEqual(['http://hl7.org/fhir/administrative-gender']);
  });

  test('a path of another resource type yields nothing', () => {
    expect(values('Person.telecom | Patient.gender', anne)).toEqual(['female']);
  });

  test.each([
    ["Patient.telecom.where(system = 'email').value", ['anne@example.org']],
    ["Patient.telecom.where(system != 'email').value", ['01 02 03 04 05']],
    ["Patient.telecom.where(system.exists() and system = 'phone').value", ['01 02 03 04 05']],
    ["Patient.telecom.where(system = 'fax' or system = 'phone').value", ['01 02 03 04 05']],
    ['Patient.telecom.where(system.exists().not()).value', ['no system']],
    ['Patient.telecom.where(system.empty()).value', ['no system']],
    ['Patient.name[1].text', ['Madame Martin']],
    ['Patient.name.given[1]', ['Lise']],
    ['Patient.name.given.first()', ['Anne']],
    ["Patient.telecom.exists(system = 'email')", [true]],
    ['Patient.active and Patient.deceased is dateTime', [true]],
    ['Patient.name[7]', []],
  ])('%s', (expression, expected) => {
    expect(values(expression, anne)).toEqual(expected);
  });

  test('extensions by url, of any element', () => {
    const resource: Resource = {
      resourceType: 'Patient',
      extension: [
        { url: 'urn:a', valueCode: 'x' },
        { url: 'urn:b', valueCode: 'y' },
      ],
      name: [{ extension: [{ url: 'urn:a', valueString: 'z' }] }],
    };
    expect(evaluate("Patient.extension('urn:a').value", resource)).toEqual([{ type: 'code', value: 'x' }]);
    expect(evaluate("Patient.name.extension('urn:a').value", resource)).toEqual([{ type: 'string', value: 'z' }]);
    expect(values("Patient.extension.where(url = 'urn:b').value", resource)).toEqual(['y']);
  });

  test('a malformed resource is walked without harm', () => {
    const odd: Resource = { resourceType: 'Patient', name: 'Martin', telecom: [null, 3, 'x'], link: { other: 5 } };
    expect(values("Patient.name.family | Patient.telecom.where(system='x').value", odd)).toEqual([]);
    expect(values('Patient.link.other.where(resolve() is Patient)', odd)).toEqual([]);
  });
});

describe('what cannot be compiled is an error at start-up', () => {
  test.each([
    ['Patient.nom', '`Patient` has no element `nom`'],
    ['Patient.name.toLowerCase()', '`toLowerCase()` is not supported'],
    ['Patient.name.', 'expected a name'],
    ['Patient.name)', 'unexpected'],
    ['Patient.link.other.resolve().name', '`Resource` has no element `name`'],
    ['Patient.gender.text', '`code` has no element `text`'],
    ['Patient.constructor', 'has no element'],
    ['Patient.^', 'cannot read'],
    ['Martian.name', 'is not a resource type'],
    ['Patient.name[x]', 'an index must be a number'],
  ])('%s', (expression, text) => {
    const compiled = compilePath({
      expression,
      from: { name: 'Patient' },
      elements: definitions.elements,
      leaf: () => () => {},
    });
    expect(compiled).toMatchObject({ ok: false, text: expect.stringContaining(text) });
  });

  test('every search parameter of R4 compiles, or says why it is not offered', () => {
    expect(registry.errors).toEqual([]);
    expect(new Set(registry.unsupported.map((u) => u.reason))).toEqual(
      new Set(
        [
          'it has no expression',
          'its parts are not in one element',
          'nearby matching is not supported',
          'only its last part may be a range or a string',
          'phonetic matching is not supported',
          'special parameters are not supported',
        ].filter((reason) => registry.unsupported.some((u) => u.reason === reason)),
      ),
    );
    const count = [...registry.parameters.values()].reduce((sum, own) => sum + own.size, 0);
    expect(count).toBeGreaterThan(1700);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { r4Validator } from '../../../server/adapters/validator/validator.ts';
import { applyFhirPathPatch } from '../../../server/fhir/fhirpath-patch.ts';
import type { Json, Resource } from '../../../server/fhir/types.ts';

const definitions = shippedDefinitions();
const validator = r4Validator(definitions);

const freeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null) for (const item of Object.values(Object.freeze(value))) freeze(item);
  return value;
};

type Part = Record<string, unknown>;
const operation = (type: string, path: string, ...parts: Part[]): Part => ({
  name: 'operation',
  part: [{ name: 'type', valueCode: type }, { name: 'path', valueString: path }, ...parts],
});
const parameters = (...operations: Part[]): Json =>
  ({ resourceType: 'Parameters', parameter: operations }) as unknown as Json;
const name = (valueString: string): Part => ({ name: 'name', valueString });
const index = (valueInteger: number): Part => ({ name: 'index', valueInteger });
const value = (of: Part): Part => ({ name: 'value', ...of });

const PATIENT = {
  resourceType: 'Patient',
  id: 'p1',
  active: true,
  identifier: [
    { system: 'urn:a', value: '1' },
    { system: 'urn:b', value: '2' },
    { system: 'urn:a', value: '3' },
  ],
  name: [
    {
      use: 'official',
      family: 'ESSAI',
      given: ['CAMILLE', 'ANNE'],
      _given: [null, { extension: [{ url: 'urn:x', valueString: 'y' }] }],
    },
  ],
  birthDate: '1999-03-12',
  _birthDate: { extension: [{ url: 'urn:t', valueDateTime: '1999-03-12T10:00:00Z' }] },
  deceasedBoolean: false,
  contact: [{ relationship: [{ text: 'sister' }], name: { text: 'Test' } }],
};

const apply = (resource: unknown, patch: Json) =>
  applyFhirPathPatch(freeze(structuredClone(resource)) as Resource, freeze(patch) as Json, definitions);

describe('what operations do', () => {
  const without = (key: string): Record<string, unknown> => {
    const { [key]: _, ...rest } = PATIENT as Record<string, unknown>;
    return rest;
  };

  it.each<[string, Part, unknown]>([
    [
      'add a primitive',
      operation('add', 'Patient', name('gender'), value({ valueCode: 'female' })),
      { ...PATIENT, gender: 'female' },
    ],
    [
      'add to the end of a list',
      operation('add', 'Patient', name('identifier'), value({ valueIdentifier: { system: 'urn:c', value: '4' } })),
      { ...PATIENT, identifier: [...PATIENT.identifier, { system: 'urn:c', value: '4' }] },
    ],
    [
      'add the first of a list',
      operation(
        'add',
        'Patient',
        name('telecom'),
        value({ valueContactPoint: { system: 'phone', value: '0199000000' } }),
      ),
      { ...PATIENT, telecom: [{ system: 'phone', value: '0199000000' }] },
    ],
    [
      'add below a filtered element',
      operation('add', "Patient.identifier.where(system = 'urn:b')", name('use'), value({ valueCode: 'old' })),
      { ...PATIENT, identifier: PATIENT.identifier.map((i) => (i.system === 'urn:b' ? { ...i, use: 'old' } : i)) },
    ],
    [
      'add an element whose type has no name',
      operation('add', 'Patient', name('contact'), {
        name: 'value',
        part: [
          { name: 'relationship', valueCodeableConcept: { text: 'father' } },
          { name: 'relationship', valueCodeableConcept: { text: 'carer' } },
          { name: 'name', valueHumanName: { text: 'Autre' } },
        ],
      }),
      {
        ...PATIENT,
        contact: [
          ...PATIENT.contact,
          { relationship: [{ text: 'father' }, { text: 'carer' }], name: { text: 'Autre' } },
        ],
      },
    ],
    [
      'add an extension by its parts',
      operation('add', 'Patient', name('extension'), {
        name: 'value',
        part: [
          { name: 'url', valueUri: 'urn:e' },
          { name: 'value', valueCodeableConcept: { text: 'x' } },
        ],
      }),
      { ...PATIENT, extension: [{ url: 'urn:e', valueCodeableConcept: { text: 'x' } }] },
    ],
    [
      'add an extension to a primitive',
      operation('add', 'Patient.active', name('extension'), {
        name: 'value',
        part: [
          { name: 'url', valueUri: 'urn:e' },
          { name: 'value', valueString: 'x' },
        ],
      }),
      { ...PATIENT, _active: { extension: [{ url: 'urn:e', valueString: 'x' }] } },
    ],
    [
      'insert',
      operation('insert', 'Patient.identifier', index(1), value({ valueIdentifier: { value: 'n' } })),
      { ...PATIENT, identifier: [PATIENT.identifier[0], { value: 'n' }, PATIENT.identifier[1], PATIENT.identifier[2]] },
    ],
    [
      'insert into a list of primitives keeps the other half in place',
      operation('insert', 'Patient.name[0].given', index(0), value({ valueString: 'ZOE' })),
      {
        ...PATIENT,
        name: [
          { ...PATIENT.name[0], given: ['ZOE', 'CAMILLE', 'ANNE'], _given: [null, null, PATIENT.name[0]!._given[1]] },
        ],
      },
    ],
    [
      'delete a member with its other half',
      operation('delete', 'Patient.birthDate'),
      (({ birthDate: _a, _birthDate: _b, ...rest }) => rest)(PATIENT),
    ],
    ['delete the last of a list and the list', operation('delete', 'Patient.contact[0]'), without('contact')],
    [
      'delete an item',
      operation('delete', "Patient.identifier.where(value = '2')"),
      { ...PATIENT, identifier: [PATIENT.identifier[0], PATIENT.identifier[2]] },
    ],
    [
      'delete the last item',
      operation('delete', 'Patient.identifier.last()'),
      { ...PATIENT, identifier: PATIENT.identifier.slice(0, 2) },
    ],
    ['delete a choice by its name', operation('delete', 'Patient.deceased'), without('deceasedBoolean')],
    ['delete of nothing', operation('delete', 'Patient.telecom[3]'), PATIENT],
    ['delete below nothing', operation('delete', 'Patient.maritalStatus.coding.system'), PATIENT],
    [
      'replace a primitive drops what extended it',
      operation('replace', 'Patient.birthDate', value({ valueDate: '2000-01-01' })),
      (({ _birthDate: _, ...rest }) => ({ ...rest, birthDate: '2000-01-01' }))(PATIENT),
    ],
    [
      'replace a choice with another type',
      operation('replace', 'Patient.deceased', value({ valueDateTime: '2026-01-01' })),
      { ...without('deceasedBoolean'), deceasedDateTime: '2026-01-01' },
    ],
    [
      'replace an item',
      operation('replace', 'Patient.identifier.first()', value({ valueIdentifier: { value: 'n' } })),
      { ...PATIENT, identifier: [{ value: 'n' }, ...PATIENT.identifier.slice(1)] },
    ],
    [
      'replace within an item',
      operation('replace', 'Patient.identifier[2].value', value({ valueString: '9' })),
      { ...PATIENT, identifier: [...PATIENT.identifier.slice(0, 2), { system: 'urn:a', value: '9' }] },
    ],
    [
      'replace without the type in front',
      operation('replace', 'name[0].family', value({ valueString: 'TEST' })),
      { ...PATIENT, name: [{ ...PATIENT.name[0], family: 'TEST' }] },
    ],
    [
      'move',
      operation(
        'move',
        'Patient.identifier',
        { name: 'source', valueInteger: 2 },
        { name: 'destination', valueInteger: 0 },
      ),
      { ...PATIENT, identifier: [PATIENT.identifier[2], PATIENT.identifier[0], PATIENT.identifier[1]] },
    ],
    [
      'two conditions',
      operation('delete', "Patient.identifier.where(system = 'urn:a' and value != '1')"),
      { ...PATIENT, identifier: PATIENT.identifier.slice(0, 2) },
    ],
    ['a condition of existence', operation('delete', 'Patient.name.where(given.exists())'), without('name')],
  ])('%s', (_, one, expected) => {
    const result = apply(PATIENT, parameters(one));
    expect(result).toEqual({ ok: true, value: expected });
    expect(result.ok && validator.validate(result.value)).toEqual([]);
  });

  it('does them in order, all or nothing', () => {
    const first = operation('replace', 'Patient.active', value({ valueBoolean: false }));
    const second = operation('replace', 'Patient.gender', value({ valueCode: 'male' }));
    expect(apply(PATIENT, parameters(first))).toMatchObject({ ok: true, value: { active: false } });
    expect(apply(PATIENT, parameters(first, second)).ok).toBe(false);
    expect(
      apply(
        PATIENT,
        parameters(first, operation('add', 'Patient', name('gender'), value({ valueCode: 'male' })), second),
      ),
    ).toMatchObject({ ok: true, value: { active: false, gender: 'male' } });
  });
});

describe('what is refused with 422, naming the path', () => {
  it.each<[string, Part]>([
    ['replace of nothing', operation('replace', 'Patient.gender', value({ valueCode: 'male' }))],
    ['replace of several', operation('replace', 'Patient.identifier.value', value({ valueString: 'x' }))],
    ['delete of several', operation('delete', "Patient.identifier.where(system = 'urn:a')")],
    ['replace of the resource', operation('replace', 'Patient', value({ valueString: 'x' }))],
    ['delete of the resource', operation('delete', 'Patient')],
    ['add of what is there', operation('add', 'Patient', name('active'), value({ valueBoolean: false }))],
    ['add of another choice', operation('add', 'Patient', name('deceased'), value({ valueDateTime: '2026' }))],
    ['add of an unknown element', operation('add', 'Patient', name('colour'), value({ valueString: 'x' }))],
    ['add of an inherited name', operation('add', 'Patient', name('constructor'), value({ valueString: 'x' }))],
    ['add of __proto__', operation('add', 'Patient', name('__proto__'), value({ valueString: 'x' }))],
    ['a choice of a type it has not', operation('replace', 'Patient.deceased', value({ valueString: 'x' }))],
    [
      'parts of an unknown element',
      operation('add', 'Patient', name('contact'), { name: 'value', part: [{ name: 'colour', valueString: 'x' }] }),
    ],
    ['insert beyond the end', operation('insert', 'Patient.identifier', index(4), value({ valueIdentifier: {} }))],
    ['insert where nothing repeats', operation('insert', 'Patient.active', index(0), value({ valueBoolean: true }))],
    [
      'move beyond the end',
      operation(
        'move',
        'Patient.identifier',
        { name: 'source', valueInteger: 0 },
        { name: 'destination', valueInteger: 3 },
      ),
    ],
    ['an element that the type has not', operation('delete', 'Patient.colour')],
    ['another type', operation('delete', 'Practitioner.name')],
    ['a function outside the subset', operation('delete', 'Patient.descendants()')],
    ['matches()', operation('delete', "Patient.name.where(family.matches('(a+)+$'))")],
    ['a union', operation('delete', 'Patient.name | Patient.contact')],
    ['an unfinished path', operation('delete', 'Patient.name[')],
    ['nested where', operation('delete', "Patient.contact.where(name.where(text = 'a').exists())")],
    ['an empty path', operation('delete', '')],
    ['an unknown operation', operation('merge', 'Patient')],
  ])('%s', (_, one) => {
    const result = apply(PATIENT, parameters(one));
    expect(result).toMatchObject({ ok: false, failure: { code: 'unprocessable' } });
    const path = (one as any).part[1].valueString;
    expect(JSON.stringify(result)).toContain(JSON.stringify(path).slice(1, -1).slice(0, 100));
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });

  it.each<[string, unknown]>([
    ['another resource', { resourceType: 'Patient' }],
    ['an array', []],
    ['another parameter', { resourceType: 'Parameters', parameter: [{ name: 'thing' }] }],
    [
      'no path',
      { resourceType: 'Parameters', parameter: [{ name: 'operation', part: [{ name: 'type', valueCode: 'delete' }] }] },
    ],
    ['no value', parameters(operation('replace', 'Patient.active'))],
    ['a part twice', parameters(operation('delete', 'Patient.active', { name: 'path', valueString: 'Patient.name' }))],
  ])('400: %s', (_, patch) => {
    expect(apply(PATIENT, patch as Json)).toMatchObject({ ok: false, failure: { code: 'malformed' } });
  });
});

describe('laws', () => {
  const PATHS = [
    'Patient',
    'Patient.name',
    'Patient.name[0].given',
    'Patient.identifier[1]',
    'Patient.birthDate',
    'Patient.contact.name',
    'Patient.deceased',
    'Patient.name[0].given[1]',
  ];
  const one = fc
    .tuple(
      fc.constantFrom('add', 'insert', 'delete', 'replace', 'move'),
      fc.constantFrom(...PATHS),
      fc.constantFrom('name', 'extension', 'gender', 'given', 'value'),
      fc.nat({ max: 3 }),
      fc.constantFrom<Part>(
        { valueString: 'x' },
        { valueHumanName: { text: 'x' } },
        { valueIdentifier: { value: 'x' } },
        { valueBoolean: true },
      ),
    )
    .map(([type, path, element, at, of]) =>
      operation(
        type,
        path,
        name(element),
        value(of),
        index(at),
        { name: 'source', valueInteger: at },
        { name: 'destination', valueInteger: 0 },
      ),
    );

  it('never changes its arguments, is all or nothing, and leaves no empty array behind', () => {
    fc.assert(
      fc.property(fc.array(one, { maxLength: 4 }), (operations) => {
        // `apply` freezes both: a write would throw.
        const whole = apply(PATIENT, parameters(...operations));
        let current: Resource | undefined = PATIENT as unknown as Resource;
        for (const each of operations) {
          const result: ReturnType<typeof apply> | undefined =
            current === undefined ? undefined : apply(current, parameters(each));
          current = result?.ok ? result.value : undefined;
        }
        expect(whole.ok).toBe(current !== undefined);
        if (!whole.ok) return;
        expect(whole.value).toEqual(current);
        expect(JSON.stringify(whole.value)).not.toContain('[]');
      }),
      { numRuns: 1000 },
    );
  });
});

describe('names that JavaScript gives every object', () => {
  it.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf'])('%s is no element', (own) => {
    const part = (named: string): Part => ({ name: named, valueString: 'x' });
    for (const one of [
      operation('delete', own),
      operation('replace', `Patient.${own}`, value({ valueString: 'x' })),
      operation('add', own, name('x'), value({ valueString: 'x' })),
      operation('add', 'Patient', name(own), value({ valueString: 'x' })),
      operation('add', 'Patient', name('contact'), value({ part: [part(own)] })),
    ])
      expect(apply(PATIENT, parameters(one))).toMatchObject({ ok: false, failure: { code: 'unprocessable' } });
  });
});

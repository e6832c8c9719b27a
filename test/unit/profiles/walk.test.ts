/** What a profile can ask, one small profile at a time, in a package of its own. https://hl7.org/fhir/R4/profiling.html */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { profileValidator } from '../../../server/adapters/validator/profile/profiles.ts';
import type { Resource } from '../../../server/fhir/types.ts';

const definitions = shippedDefinitions();
const R4 = 'http://hl7.org/fhir/StructureDefinition';
const url = (id: string): string => `https://guide.example/StructureDefinition/${id}`;

type Element = Readonly<Record<string, unknown>> & { readonly id: string };

const profile = (id: string, type: string, element: readonly Element[], more: object = {}): any => ({
  resourceType: 'StructureDefinition',
  id,
  url: url(id),
  type,
  kind: type === 'Extension' ? 'complex-type' : 'resource',
  derivation: 'constraint',
  baseDefinition: `${R4}/${type}`,
  differential: { element },
  ...more,
});

/** `severity at: text` of each finding of a resource by the first of the definitions. */
const said = (resource: object, first: any, ...more: readonly any[]): readonly string[] =>
  profileValidator({ definitions, own: [], packages: [first, ...more] })
    .check(resource as Resource, [first.url])
    .map(({ severity, at, text }) => `${severity} ${at}: ${text}`);

const observation = (more: object = {}): object => ({
  resourceType: 'Observation',
  status: 'final',
  code: { coding: [{ system: 'urn:s', code: 'a' }] },
  ...more,
});

const slicing = (type: string, path: string, rules = 'open') => ({
  slicing: { discriminator: [{ type, path }], rules },
});

describe('elements', () => {
  it('counts what is there, an extension in the place of a value included', () => {
    const one = profile('p', 'Patient', [
      { id: 'Patient.birthDate', min: 1 },
      { id: 'Patient.name', max: '1' },
    ]);
    expect(said({ resourceType: 'Patient' }, one)).toEqual([
      'error Patient.birthDate: at least 1 by the profile, not 0',
    ]);
    const unknown = { resourceType: 'Patient', _birthDate: { extension: [{ url: 'urn:x', valueCode: 'unknown' }] } };
    expect(said(unknown, one)).toEqual([]);
    expect(said({ resourceType: 'Patient', birthDate: '2000', name: [{}, {}] }, one)).toEqual([
      'error Patient.name: at most 1 by the profile, not 2',
    ]);
  });

  it('compares what is fixed exactly, and a pattern by what it says', () => {
    const coding = { system: 'urn:s', code: 'a' };
    const fixed = profile('f', 'Observation', [{ id: 'Observation.code', fixedCodeableConcept: { coding: [coding] } }]);
    const pattern = profile('p', 'Observation', [
      { id: 'Observation.code', patternCodeableConcept: { coding: [coding] } },
    ]);
    const more = observation({
      code: {
        text: 'words',
        coding: [
          { system: 'urn:t', code: 'b' },
          { ...coding, display: 'A' },
        ],
      },
    });
    expect([said(observation(), fixed), said(observation(), pattern), said(more, pattern)]).toEqual([[], [], []]);
    expect(said(more, fixed)).toHaveLength(1);
    expect(said(observation({ code: { text: 'words' } }), pattern)).toHaveLength(1);
  });

  it('allows the types of a choice that are left', () => {
    const text = profile('p', 'Observation', [{ id: 'Observation.value[x]', min: 1, type: [{ code: 'string' }] }]);
    expect(said(observation({ valueString: 'a' }), text)).toEqual([]);
    expect(said(observation({ valueBoolean: true }), text)).toEqual([
      'error Observation.value: `boolean` is not a type that the profile has here',
    ]);
    expect(said(observation(), text)).toHaveLength(1);
  });

  it('follows a reference to what is contained, and believes the type of any other', () => {
    const named = profile('named', 'Patient', [{ id: 'Patient.name', min: 1 }]);
    const about = profile('about', 'Observation', [
      { id: 'Observation.subject', type: [{ code: 'Reference', targetProfile: [named.url] }] },
    ]);
    const inside = (patient: object) =>
      observation({ contained: [{ resourceType: 'Patient', id: 'p', ...patient }], subject: { reference: '#p' } });
    expect(said(inside({ name: [{ text: 'a' }] }), about, named)).toEqual([]);
    expect(said(inside({}), about, named)).toHaveLength(1);
    expect(said(observation({ subject: { reference: 'Patient/x' } }), about, named)).toEqual([]);
    expect(said(observation({ subject: { reference: 'Group/x' } }), about, named)).toHaveLength(1);
    expect(said(observation({ subject: { identifier: { value: '1' } } }), about, named)).toEqual([]);
  });

  it('asks invariants, and says which it cannot ask', () => {
    const rule = (expression: string) =>
      profile('p', 'Patient', [
        { id: 'Patient', constraint: [{ key: 'k-1', severity: 'error', human: 'so', expression }] },
      ]);
    const patient = { resourceType: 'Patient', active: true };
    expect(said(patient, rule('active'))).toEqual([]);
    expect(said(patient, rule('active.not()'))).toEqual(['error Patient: k-1: so']);
    expect(said(patient, rule('noSuchFunction()'))).toEqual(['warning Patient: k-1 cannot be evaluated here: so']);
    expect(said(patient, rule('((('))).toEqual(['warning Patient: k-1 cannot be evaluated here: so']);
  });

  it('holds an extension to its definition wherever it stands', () => {
    const nickname = profile('nickname', 'Extension', [
      { id: 'Extension.url', fixedUri: url('nickname') },
      { id: 'Extension.value[x]', min: 1, type: [{ code: 'string' }] },
    ]);
    const any = profile('any', 'Patient', [{ id: 'Patient' }]);
    const extended = (value: object) => ({
      resourceType: 'Patient',
      name: [{ extension: [{ url: url('nickname'), ...value }] }],
    });
    expect(said(extended({ valueString: 'a' }), any, nickname)).toEqual([]);
    expect(said(extended({ valueCode: 'a' }), any, nickname)).toEqual([
      'error Patient.name[0].extension[0].value: `code` is not a type that the profile has here',
    ]);
  });
});

describe('bindings', () => {
  const system = (concept: readonly object[], content = 'complete') => ({
    resourceType: 'CodeSystem',
    url: 'urn:s',
    content,
    concept,
  });
  const set = (include: object, exclude?: object) => ({
    resourceType: 'ValueSet',
    url: 'urn:v',
    compose: { include: [include], ...(exclude === undefined ? {} : { exclude: [exclude] }) },
  });
  const bound = (strength: string) =>
    profile('p', 'Observation', [{ id: 'Observation.code', binding: { strength, valueSet: 'urn:v|1.0' } }]);
  const tree = system([{ code: 'a', concept: [{ code: 'b' }] }, { code: 'c' }]);
  const coded = (code: string) => observation({ code: { coding: [{ system: 'urn:s', code }] } });
  const verdicts = (strength: string, valueSet: object, codeSystem: object) =>
    ['a', 'b', 'c', 'x'].map(
      (code) => said(coded(code), bound(strength), valueSet, codeSystem)[0]?.split(' ')[0] ?? 'ok',
    );

  it.each([
    ['a list', 'required', set({ system: 'urn:s', concept: [{ code: 'a' }] }), tree, ['ok', 'error', 'error', 'error']],
    ['a whole system', 'required', set({ system: 'urn:s' }), tree, ['ok', 'ok', 'ok', 'error']],
    [
      'what is below',
      'required',
      set({ system: 'urn:s', filter: [{ property: 'concept', op: 'descendent-of', value: 'a' }] }),
      tree,
      ['error', 'ok', 'error', 'error'],
    ],
    [
      'all but one',
      'required',
      set({ system: 'urn:s' }, { system: 'urn:s', concept: [{ code: 'b' }] }),
      tree,
      ['ok', 'error', 'ok', 'error'],
    ],
    [
      'a system that is not here',
      'required',
      set({ system: 'urn:s' }),
      system([], 'not-present'),
      ['ok', 'ok', 'ok', 'ok'],
    ],
    [
      'an extensible one',
      'extensible',
      set({ system: 'urn:s', concept: [{ code: 'a' }] }),
      tree,
      ['ok', 'warning', 'warning', 'warning'],
    ],
    ['an example', 'example', set({ system: 'urn:s', concept: [{ code: 'a' }] }), tree, ['ok', 'ok', 'ok', 'ok']],
  ])('%s', (_name, strength, valueSet, codeSystem, expected) => {
    expect(verdicts(strength, valueSet, codeSystem)).toEqual(expected);
  });

  it('ends where value sets include each other', () => {
    const round = { resourceType: 'ValueSet', url: 'urn:v', compose: { include: [{ valueSet: ['urn:v'] }] } };
    expect(said(coded('a'), bound('required'), round)).toEqual([]);
  });
});

describe('slices', () => {
  const identifiers = (...systems: readonly string[]) => ({
    resourceType: 'Patient',
    identifier: systems.map((system) => ({ system, value: '1' })),
  });
  const sliced = (rules: string) =>
    profile('p', 'Patient', [
      { id: 'Patient.identifier', ...slicing('value', 'system', rules) },
      { id: 'Patient.identifier:a', min: 1, max: '1' },
      { id: 'Patient.identifier:a.system', min: 1, fixedUri: 'urn:a' },
      { id: 'Patient.identifier:b', max: '1' },
      { id: 'Patient.identifier:b.system', min: 1, fixedUri: 'urn:b' },
    ]);

  it('by value: counted each, open or closed', () => {
    expect(said(identifiers('urn:a', 'urn:x'), sliced('open'))).toEqual([]);
    expect(said(identifiers('urn:b'), sliced('open'))).toEqual([
      'error Patient.identifier: at least 1 of the slice `a` by the profile, not 0',
    ]);
    expect(said(identifiers('urn:a', 'urn:b', 'urn:b'), sliced('open'))).toEqual([
      'error Patient.identifier: at most 1 of the slice `b` by the profile, not 2',
    ]);
    expect(said(identifiers('urn:a', 'urn:x'), sliced('closed'))).toEqual([
      'error Patient.identifier[1]: is in none of the slices, which are closed',
    ]);
  });

  it('by pattern, by type, by existence', () => {
    const pattern = profile('p', 'Observation', [
      { id: 'Observation.category', ...slicing('pattern', '$this') },
      {
        id: 'Observation.category:lab',
        min: 1,
        patternCodeableConcept: { coding: [{ system: 'urn:s', code: 'lab' }] },
      },
    ]);
    const category = (code: string) => observation({ category: [{ coding: [{ system: 'urn:s', code }] }] });
    expect([said(category('lab'), pattern), said(category('vital'), pattern).length]).toEqual([[], 1]);

    const type = profile('t', 'Observation', [
      { id: 'Observation.value[x]', ...slicing('type', '$this') },
      { id: 'Observation.value[x]:valueQuantity', type: [{ code: 'Quantity' }] },
      { id: 'Observation.value[x]:valueQuantity.unit', min: 1 },
    ]);
    expect(said(observation({ valueQuantity: { value: 1 } }), type)).toEqual([
      'error Observation.value.unit: at least 1 by the profile, not 0',
    ]);
    expect(said(observation({ valueString: 'a' }), type)).toEqual([]);

    const exists = profile('e', 'Patient', [
      { id: 'Patient.telecom', ...slicing('exists', 'period') },
      { id: 'Patient.telecom:old', max: '0' },
      { id: 'Patient.telecom:old.period', min: 1 },
    ]);
    expect(said({ resourceType: 'Patient', telecom: [{ value: '1' }] }, exists)).toEqual([]);
    expect(said({ resourceType: 'Patient', telecom: [{ value: '1', period: { end: '2000' } }] }, exists)).toHaveLength(
      1,
    );
  });

  it('by profile of what is inside, and by the bare type of another slice', () => {
    const named = profile('named', 'Patient', [{ id: 'Patient.name', min: 1 }]);
    const bundle = profile('b', 'Bundle', [
      { id: 'Bundle.entry', ...slicing('profile', 'resource', 'closed') },
      { id: 'Bundle.entry:person', min: 1 },
      { id: 'Bundle.entry:person.resource', type: [{ code: 'Patient', profile: [named.url] }] },
      { id: 'Bundle.entry:bytes' },
      { id: 'Bundle.entry:bytes.resource', type: [{ code: 'Binary' }] },
    ]);
    const of = (...resources: readonly object[]) => ({
      resourceType: 'Bundle',
      type: 'collection',
      entry: resources.map((resource) => ({ resource })),
    });
    const person = { resourceType: 'Patient', name: [{ text: 'a' }] };
    expect(said(of(person, { resourceType: 'Binary', contentType: 'a/b' }), bundle, named)).toEqual([]);
    expect(said(of(person, { resourceType: 'Patient' }), bundle, named)).toHaveLength(1);
  });

  it('leaves alone what nobody can tell apart', () => {
    const unknown = profile('p', 'Patient', [
      { id: 'Patient.identifier', ...slicing('value', 'type') },
      { id: 'Patient.identifier:a', min: 1 },
      { id: 'Patient.identifier:a.type', binding: { strength: 'required', valueSet: 'urn:not-loaded' } },
    ]);
    const typed = { resourceType: 'Patient', identifier: [{ type: { coding: [{ system: 'urn:t', code: 'a' }] } }] };
    expect(said(typed, unknown)).toEqual([]);
  });

  it('of a base profile are those of the profile on it', () => {
    const base = sliced('open');
    const upon = profile('upon', 'Patient', [{ id: 'Patient.identifier:a.value', fixedString: '2' }], {
      baseDefinition: base.url,
    });
    expect(said(identifiers('urn:a', 'urn:x'), upon, base)).toEqual([
      'error Patient.identifier[0].value: is `"2"` by the profile',
    ]);
  });
});

describe('whatever is sent', () => {
  it('profiles that lead to each other end', () => {
    const target = (id: string, to: string) =>
      profile(id, 'Patient', [{ id: 'Patient.link.other', type: [{ code: 'Reference', targetProfile: [url(to)] }] }]);
    const linked = (id: string, other: string) => ({
      resourceType: 'Patient',
      id,
      link: [{ other: { reference: other }, type: 'refer' }],
    });
    const round = { ...linked('r', '#a'), contained: [linked('a', '#b'), linked('b', '#a')] };
    expect(said(round, target('a', 'b'), target('b', 'a'))).toEqual([]);
  });

  it('answers, and names nothing twice', () => {
    const strict = profile('s', 'Patient', [
      { id: 'Patient.name', min: 1, ...slicing('value', 'use') },
      { id: 'Patient.name:official', max: '1' },
      { id: 'Patient.name:official.use', fixedCode: 'official' },
    ]);
    const profiles = profileValidator({ definitions, own: [], packages: [strict] });
    fc.assert(
      fc.property(fc.object({ maxDepth: 4 }), fc.array(fc.jsonValue(), { maxLength: 4 }), (more, name) => {
        const found = profiles.check({ ...(more as object), resourceType: 'Patient', name } as Resource, [strict.url]);
        expect(new Set(found.map(({ at, text }) => `${at} ${text}`)).size).toBe(found.length);
        expect(found.length).toBeLessThanOrEqual(50);
      }),
      { numRuns: 300 },
    );
  });
});

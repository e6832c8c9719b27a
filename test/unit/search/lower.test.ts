import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { dateInterval, type Interval } from '../../../server/fhir/interval.ts';
import type { Resource } from '../../../server/fhir/types.ts';
import { lower, lowerAll } from '../../../server/query/lower.ts';
import { matches, NO_LINKS } from '../../../server/query/matches.ts';
import type { Predicate } from '../../../server/query/predicate.ts';
import { print } from '../../../server/query/print.ts';
import type { Prefix } from '../../../server/query/search-query.ts';
import { entryOf, find, loweringOf, NOW, parsed, TYPES, type World } from './world.ts';

const printed = (type: string, query: string, world: World = { resources: [] }): string =>
  print(lowerAll(parsed(type, query).filters, loweringOf(world)));

const HOME = process.env['TZ'];
afterAll(() => {
  if (HOME === undefined) delete process.env['TZ'];
  else process.env['TZ'] = HOME;
});

describe('what a value lowers to', () => {
  test.each([
    ['Patient', '', 'all'],
    ['Patient', 'identifier=s|1', 'identifier="s|1"'],
    ['Patient', 'identifier=a\\|b', 'identifier="a\\\\|b"'],
    ['Patient', 'identifier=1,2', 'or(identifier="1", identifier="2")'],
    ['Patient', 'identifier=1&gender=male', 'and(identifier="1", gender="male")'],
    ['Patient', 'identifier=s|', 'identifier="s|"'],
    ['Patient', 'identifier=|1', 'identifier="|1"'],
    ['Patient', 'identifier:of-type=s|c|v', 'identifier:of-type="s|c|v"'],
    ['DocumentReference', 'type:not=a,b', 'not(or(type="a", type="b"))'],
    ['DocumentReference', 'type:text=Ordo', 'type:text^"ordo"'],
    ['DocumentReference', 'type:missing=true', 'not(_has="type")'],
    ['DocumentReference', 'type:missing=false', '_has="type"'],
    ['Patient', 'name=Éva', 'name^"eva"'],
    ['Patient', 'name:exact=Éva', 'name:exact="Éva"'],
    ['Patient', 'name:contains=Va', 'name~"va"'],
    ['DocumentReference', 'subject=Patient/1', 'subject="Patient/1"'],
    ['DocumentReference', 'subject:Patient=1', 'subject="Patient/1"'],
    ['DocumentReference', 'subject=Patient/1/_history/2', 'subject:version="Patient/1/_history/2"'],
    ['DocumentReference', 'subject=https://o.example/Patient/1', 'subject="https://o.example/Patient/1"'],
    [
      'DocumentReference',
      'subject=1',
      'or(subject="Practitioner/1", subject="Group/1", subject="Device/1", subject="Patient/1")',
    ],
    ['DocumentReference', 'author:identifier=s|1', 'author:identifier="s|1"'],
    ['DocumentReference', '_id=a,b', 'or(_id="a", _id="b")'],
    ['DocumentReference', '_id:missing=true', 'none'],
    ['DocumentReference', '_lastUpdated:missing=false', 'all'],
    ['DocumentReference', '_lastUpdated=gt2026-01-01T00:00:00Z', '_lastUpdated[hi > 1767225601000]'],
    ['ValueSet', 'url=http://x/a', 'url="http://x/a"'],
    ['ValueSet', 'url:below=http://x/a', 'or(url="http://x/a", url^"http://x/a/")'],
    ['ValueSet', 'url:below=http://x/', 'url^"http://x/"'],
    ['ValueSet', 'url:below=urn:oid:1', 'url="urn:oid:1"'],
    [
      'ValueSet',
      'url:above=http://x/a/b',
      'or(url="http://x/a/b", url="http://x", url="http://x/", url="http://x/a", url="http://x/a/")',
    ],
    ['RiskAssessment', 'probability=0.5', 'probability[lo >= 0.45, hi <= 0.55]'],
    ['RiskAssessment', 'probability=gt0.5', 'probability[hi > 0.5000000000000001]'],
    ['RiskAssessment', 'probability=lt0.5', 'probability[lo < 0.5]'],
    ['Observation', 'value-quantity=5.4|s|c', 'value-quantity|s|c[lo >= 5.35, hi <= 5.45]'],
    ['Observation', 'value-quantity=5.4||c', 'value-quantity||c[lo >= 5.35, hi <= 5.45]'],
    ['Observation', 'code-value-concept=a$s|b', 'code-value-concept="a$s|b"'],
    ['Observation', 'code-value-quantity=s|a$5||c', 'code-value-quantity$s|a||c[lo >= 4.5, hi <= 5.5]'],
    ['Observation', 'code-value-string=a$Éva', 'code-value-string$a^"eva"'],
    ['DocumentReference', 'relationship=replaces$DocumentReference/1', 'relationship="replaces$DocumentReference/1"'],
  ])('%s?%s', (type, query, text) => {
    expect(printed(type, query)).toBe(text);
  });

  test.each([
    ['eq', 'birthdate[lo >= 0, hi <= 1000]'],
    ['ne', 'or(birthdate[lo < 0], birthdate[hi > 1000])'],
    ['gt', 'birthdate[hi > 1000]'],
    ['lt', 'birthdate[lo < 0]'],
    ['ge', 'or(birthdate[hi > 1000], birthdate[lo >= 0, hi <= 1000])'],
    ['le', 'or(birthdate[lo < 0], birthdate[lo >= 0, hi <= 1000])'],
    ['sa', 'birthdate[lo >= 1000]'],
    ['eb', 'birthdate[hi <= 0]'],
    // A tenth of the way from the value to now.
    ['ap', `birthdate[lo < ${1000 + (NOW - 1000) / 10}, hi > ${0 - (NOW - 1000) / 10}]`],
  ])('prefix %s', (prefix, text) => {
    expect(printed('Patient', `birthdate=${prefix}1970-01-01T00:00:00Z`)).toBe(text);
  });
});

describe('every hop carries the guard of its type', () => {
  const world: World = { resources: [], hidden: ['Patient/x', 'Provenance/y', 'Organization/z'] };
  test.each([
    ['DocumentReference', 'subject:Patient.gender=male', 'via(subject, Patient, and(not(_id="x"), gender="male"))'],
    [
      'DocumentReference',
      'subject.family=a',
      'or(via(subject, Practitioner, family^"a"), via(subject, Patient, and(not(_id="x"), family^"a")))',
    ],
    [
      'DocumentReference',
      '_has:Provenance:target:agent:Organization.name=a',
      'from(target, Provenance, and(not(_id="y"), via(agent, Organization, and(not(_id="z"), name^"a"))))',
    ],
    [
      'Patient',
      '_has:DocumentReference:patient:_has:Provenance:target:_id=1',
      'from(patient, DocumentReference, from(target, Provenance, and(not(_id="y"), _id="1")))',
    ],
  ])('%s?%s', (type, query, text) => {
    expect(printed(type, query, world)).toBe(text);
  });

  test('a hop is made for each step of whatever chain, and none without its guard', () => {
    const hops = (p: Predicate): readonly { type: string; where: Predicate }[] => {
      switch (p.op) {
        case 'and':
        case 'or':
          return p.of.flatMap(hops);
        case 'not':
        case 'owner':
          return hops(p.of);
        case 'via':
        case 'from':
          return [p.hop, ...hops(p.hop.where)];
        default:
          return [];
      }
    };
    const closed: World = { resources: [], hidden: TYPES.map((t) => `${t}/secret`), bySight: ['AuditEvent.entity'] };
    for (const [type, query] of [
      ['DocumentReference', 'subject.identifier=1&author.name=x&_has:Provenance:target:entity._id=1'],
      ['AuditEvent', 'entity=1&entity=DocumentReference/2&entity:missing=false&entity.status=current'],
    ] as const) {
      const found = hops(lowerAll(parsed(type, query).filters, loweringOf(closed)));
      expect(found.length).toBeGreaterThan(5);
      for (const hop of found) expect(print(hop.where)).toMatch(/^(and\()?not\(_id="secret"\)/);
    }
  });
});

describe('references that count by sight', () => {
  const audit = (id: string, ...entities: readonly string[]): Resource => ({
    resourceType: 'AuditEvent',
    id,
    entity: entities.map((reference) => ({ what: { reference } })),
  });
  const world: World = {
    resources: [
      { resourceType: 'Patient', id: 'p' },
      { resourceType: 'DocumentReference', id: 'open' },
      { resourceType: 'DocumentReference', id: 'masked' },
      { resourceType: 'DocumentReference', id: 'gone' },
      audit('a', 'Patient/p', 'DocumentReference/open'),
      audit('b', 'Patient/p', 'DocumentReference/masked'),
      audit('c', 'DocumentReference/gone'),
      audit('d', 'DocumentReference/masked'),
      audit('e'),
    ],
    hidden: ['DocumentReference/masked', 'Patient/p'],
    deleted: ['DocumentReference/gone'],
    bySight: ['AuditEvent.entity'],
  };

  test.each([
    ['entity=DocumentReference/open', ['a']],
    ['entity=DocumentReference/masked', []],
    ['entity=DocumentReference/nowhere', []],
    // A deleted item counts as if it were not; the person is no item.
    ['entity=DocumentReference/gone', ['c']],
    ['entity=Patient/p', ['a', 'b']],
    ['entity=open', ['a']],
    ['entity=masked', []],
    ['entity=https://other.example/DocumentReference/open', []],
    ['entity:DocumentReference=open', ['a']],
    ['entity=DocumentReference/open/_history/1', []],
    ['entity:missing=false', ['a', 'c']],
    ['entity:missing=true', ['b', 'd', 'e']],
    ['entity:DocumentReference._id=open,masked', ['a']],
  ])('%s', (query, ids) => {
    expect(find(world, 'AuditEvent', query)).toEqual(ids);
  });
});

describe('recorded defects of other servers', () => {
  const born = (id: string, birthDate: string): Resource => ({ resourceType: 'Patient', id, birthDate });
  const seen = (id: string, element: Resource[string]): Resource => ({
    resourceType: 'Observation',
    id,
    ...(element as object),
  });
  const world: World = {
    resources: [
      born('day', '2000-03-13'),
      born('month', '2000-03'),
      born('year', '2000'),
      born('next', '2001-01-01'),
      { resourceType: 'Patient', id: 'unknown' },
      seen('minute', { effectiveDateTime: '2020-05-05T10:00:00Z' }),
      seen('second', { effectiveDateTime: '2020-05-05T10:00:30Z' }),
      seen('open', { effectivePeriod: { start: '2020-05-01' } }),
      seen('closed', { effectivePeriod: { start: '2020-05-01', end: '2020-05-31' } }),
      seen('until', { effectivePeriod: { end: '2020-04-30' } }),
      seen('timed', { effectiveTiming: { repeat: { boundsPeriod: { start: '2020-01-01', end: '2020-01-31' } } } }),
    ],
  };

  test.each([
    // eq is containment, not overlap.
    ['Patient', 'birthdate=2000-03-13', ['day']],
    ['Patient', 'birthdate=2000-03', ['day', 'month']],
    ['Patient', 'birthdate=2000', ['day', 'month', 'year']],
    // ne: some stored value is not contained; who has none is not found.
    ['Patient', 'birthdate=ne2000-03', ['year', 'next']],
    ['Patient', 'birthdate=ne2000-03-13', ['month', 'year', 'next']],
    // Prefixes are not ignored, and their bounds are right.
    ['Patient', 'birthdate=gt2000-03-13', ['month', 'year', 'next']],
    ['Patient', 'birthdate=lt2000-03-13', ['month', 'year']],
    ['Patient', 'birthdate=ge2000-03-13', ['day', 'month', 'year', 'next']],
    ['Patient', 'birthdate=le2000-03-13', ['day', 'month', 'year']],
    ['Patient', 'birthdate=sa2000-03-13', ['next']],
    ['Patient', 'birthdate=sa1999', ['day', 'month', 'year', 'next']],
    ['Patient', 'birthdate=eb2001', ['day', 'month', 'year']],
    ['Patient', 'birthdate=eb2000-03-13', []],
    ['Patient', 'birthdate=eb2000-03-14', ['day']],
    ['Patient', 'birthdate=ap2000-03-13', ['day', 'month', 'year', 'next']],
    ['Patient', 'birthdate=ap2026-06-10', []],
    // le on a date-time.
    ['Observation', 'date=le2020-05-05T10:00:00Z', ['minute', 'open', 'closed', 'until', 'timed']],
    ['Observation', 'date=le2020-05-05T09:59:59Z', ['open', 'closed', 'until', 'timed']],
    // le on the bounds of a Timing.
    ['Observation', 'date=le2020-01-31', ['until', 'timed']],
    ['Observation', 'date=lt2020-01-01', ['until']],
    // A Period without an end goes on.
    ['Observation', 'date=gt2099', ['open']],
    ['Observation', 'date=ge2020-06-01', ['open']],
    ['Observation', 'date=eb2100', ['minute', 'second', 'closed', 'until', 'timed']],
    // A value of zero seconds, searched by the minute.
    ['Observation', 'date=2020-05-05T10:00Z', ['minute', 'second']],
    ['Observation', 'date=2020-05-05T10:00:00Z', ['minute']],
    ['Observation', 'date=2020-05-05T12:00', ['minute', 'second']],
  ])('%s?%s', (type, query, ids) => {
    expect(find(world, type, query)).toEqual(ids);
  });
});

describe('searches, told by what they find', () => {
  const patient = (id: string, rest: object): Resource => ({ resourceType: 'Patient', id, ...rest });
  const world: World = {
    resources: [
      patient('anne', {
        name: [{ family: 'Le Goff', given: ['Anne-Lise'] }],
        identifier: [{ system: 'urn:ins', value: '2840' }],
        gender: 'female',
        managingOrganization: { reference: 'Organization/chu' },
      }),
      patient('bob', { name: [{ family: 'Legoff' }], identifier: [{ value: 'urn:ins|2840' }], gender: 'male' }),
      patient('nemo', {}),
      { resourceType: 'Organization', id: 'chu', name: 'CHU de Nîmes' },
      {
        resourceType: 'DocumentReference',
        id: 'd1',
        status: 'current',
        subject: { reference: 'Patient/anne' },
        type: { coding: [{ system: 'http://loinc.org', code: '11502-2', display: 'CR de biologie' }] },
        relatesTo: [{ code: 'replaces', target: { reference: 'DocumentReference/d2' } }],
      },
      { resourceType: 'DocumentReference', id: 'd2', status: 'superseded', subject: { reference: 'Patient/bob' } },
      {
        resourceType: 'DocumentReference',
        id: 'd3',
        subject: { reference: 'https://carnet.example/fhir/Patient/anne/_history/4' },
      },
      {
        resourceType: 'Provenance',
        id: 'v1',
        target: [{ reference: 'DocumentReference/d1' }],
        agent: [{ who: { reference: 'Organization/chu' } }],
      },
      {
        resourceType: 'Observation',
        id: 'bp',
        component: [
          { code: { coding: [{ code: 'sys' }] }, valueQuantity: { value: 120, unit: 'mmHg' } },
          { code: { coding: [{ code: 'dia' }] }, valueQuantity: { value: 80, unit: 'mmHg' } },
        ],
      },
      { resourceType: 'Observation', id: 'w100', valueQuantity: { value: 100, code: 'kg', system: 'u' } },
      { resourceType: 'Observation', id: 'w100.4', valueQuantity: { value: 100.4, code: 'kg', system: 'u' } },
      { resourceType: 'Observation', id: 'w101', valueQuantity: { value: 101, code: 'g', system: 'u' } },
    ],
  };

  test.each([
    ['Patient', 'name=le g', ['anne']],
    ['Patient', 'name=lise', []],
    ['Patient', 'name:contains=lise', ['anne']],
    ['Patient', 'name=anne lise', ['anne']],
    ['Patient', 'family:exact=Le Goff', ['anne']],
    ['Patient', 'family:exact=le goff', []],
    ['Patient', 'family=LEGOFF', ['bob']],
    ['Patient', 'identifier=urn:ins|2840', ['anne']],
    ['Patient', 'identifier=2840', ['anne']],
    ['Patient', 'identifier=|2840', []],
    ['Patient', 'identifier=urn:ins\\|2840', ['bob']],
    ['Patient', 'identifier=urn:ins|', ['anne']],
    ['Patient', 'gender=http://hl7.org/fhir/administrative-gender|Female', ['anne']],
    ['Patient', 'gender:not=male', ['anne', 'nemo']],
    ['Patient', 'gender:not=male,female', ['nemo']],
    ['Patient', 'gender:missing=true', ['nemo']],
    ['Patient', 'gender=male,female&name=le', ['anne', 'bob']],
    ['Patient', 'deceased=false', ['anne', 'bob', 'nemo']],
    ['DocumentReference', 'patient=anne', ['d1', 'd3']],
    ['DocumentReference', 'subject=https://carnet.example/fhir/Patient/anne', ['d1', 'd3']],
    ['DocumentReference', 'subject=Patient/anne/_history/4', ['d3']],
    ['DocumentReference', 'subject:Patient=anne', ['d1', 'd3']],
    ['DocumentReference', 'subject:Group=anne', []],
    ['DocumentReference', 'type:text=cr de', ['d1']],
    ['DocumentReference', 'relationship=replaces$DocumentReference/d2', ['d1']],
    ['DocumentReference', 'relationship=appends$DocumentReference/d2', []],
    ['DocumentReference', 'patient.name=anne', ['d1', 'd3']],
    ['DocumentReference', 'subject:Patient.organization.name=chu', ['d1', 'd3']],
    ['DocumentReference', '_has:Provenance:target:agent:Organization.name=chu', ['d1']],
    ['Patient', '_has:DocumentReference:patient:status=superseded', ['bob']],
    ['Patient', '_has:DocumentReference:patient:_has:Provenance:target:agent=Organization/chu', ['anne']],
    ['Observation', 'component-code-value-quantity=sys$gt100', ['bp']],
    ['Observation', 'component-code-value-quantity=dia$gt100', []],
    ['Observation', 'component-code-value-quantity=dia$80||mmHg', ['bp']],
    ['Observation', 'value-quantity=100', ['w100', 'w100.4']],
    ['Observation', 'value-quantity=100.0', ['w100']],
    ['Observation', 'value-quantity=100.00|u|kg', ['w100']],
    ['Observation', 'value-quantity=gt100|u|kg', ['w100.4']],
    ['Observation', 'value-quantity=ge100', ['w100', 'w100.4', 'w101']],
    ['Observation', 'value-quantity=lt100.4', ['w100']],
    ['Observation', 'value-quantity=le100.4', ['w100', 'w100.4']],
    ['Observation', 'value-quantity=ne100', ['w101']],
    ['Observation', 'value-quantity=sa100.4', ['w101']],
    ['Observation', 'value-quantity=eb100.4', ['w100']],
    ['Observation', 'value-quantity=ap92', ['w100', 'w100.4', 'w101']],
  ])('%s?%s', (type, query, ids) => {
    expect(find(world, type, query)).toEqual(ids);
  });

  test('a hidden resource on the way is as absent', () => {
    const masked: World = { ...world, hidden: ['Patient/anne', 'Provenance/v1'] };
    const without: World = { resources: world.resources.filter((r) => r.id !== 'anne' && r.id !== 'v1') };
    for (const query of [
      'patient.name=anne',
      'patient.name:missing=true',
      '_has:Provenance:target:_id=v1',
      'subject:Patient.gender:not=male',
    ]) {
      expect(find(masked, 'DocumentReference', query)).toEqual(find(without, 'DocumentReference', query));
      expect(find(masked, 'DocumentReference', query)).toEqual([]);
    }
  });

  test('a deleted one too', () => {
    const gone: World = { ...world, deleted: ['Patient/anne'] };
    expect(find(gone, 'DocumentReference', 'patient.name=anne')).toEqual([]);
    expect(find(gone, 'DocumentReference', 'patient=anne')).toEqual(['d1', 'd3']);
  });
});

describe.each(['UTC', 'Europe/Paris', 'Pacific/Noumea'])('laws, on a machine in %s', (zone) => {
  const two = (n: number): string => String(n).padStart(2, '0');
  const date = fc
    .record({
      year: fc.integer({ min: 1990, max: 2030 }),
      month: fc.integer({ min: 1, max: 12 }),
      day: fc.integer({ min: 1, max: 28 }),
      hour: fc.integer({ min: 0, max: 23 }),
      precision: fc.integer({ min: 1, max: 5 }),
      zone: fc.constantFrom('Z', '+02:00', '-11:00'),
    })
    .map((d) =>
      [
        `${d.year}`,
        `-${two(d.month)}`,
        `-${two(d.day)}`,
        `T${two(d.hour)}:00${d.precision === 4 ? d.zone : ''}`,
        `:30${d.zone}`,
      ]
        .slice(0, d.precision)
        .join(''),
    );
  const observation = fc
    .oneof(
      date.map((effectiveDateTime) => ({ effectiveDateTime })),
      fc.record({ start: date, end: date }).map((effectivePeriod) => ({ effectivePeriod })),
      date.map((start) => ({ effectivePeriod: { start } })),
      date.map((end) => ({ effectivePeriod: { end } })),
      fc.constant({}),
    )
    .map((rest): Resource => ({ resourceType: 'Observation', id: 'o', ...rest }));

  const holds = (resource: Resource, query: string): boolean => {
    process.env['TZ'] = zone;
    return matches(
      lowerAll(parsed('Observation', query).filters, loweringOf({ resources: [] })),
      entryOf(resource),
      NO_LINKS,
    );
  };
  const stored = (resource: Resource): Interval | undefined => entryOf(resource).ranges.find((r) => r.param === 'date');

  /** The meaning of the prefixes, said once more and otherwise. */
  const MEANING: Readonly<Record<Exclude<Prefix, 'ap'>, (s: Interval, v: Interval) => boolean>> = {
    eq: (s, v) => v.lo <= s.lo && s.hi <= v.hi,
    ne: (s, v) => !(v.lo <= s.lo && s.hi <= v.hi),
    gt: (s, v) => s.hi > v.hi,
    lt: (s, v) => s.lo < v.lo,
    ge: (s, v) => s.hi > v.hi || (v.lo <= s.lo && s.hi <= v.hi),
    le: (s, v) => s.lo < v.lo || (v.lo <= s.lo && s.hi <= v.hi),
    sa: (s, v) => s.lo >= v.hi,
    eb: (s, v) => s.hi <= v.lo,
  };

  test('prefixes mean what R4 says', () => {
    fc.assert(
      fc.property(observation, date, (resource, text) => {
        const s = stored(resource);
        const v = dateInterval(text);
        if (v === undefined) throw new Error(text);
        for (const [prefix, meaning] of Object.entries(MEANING)) {
          expect(holds(resource, `date=${prefix}${encodeURIComponent(text)}`), prefix).toBe(
            s !== undefined && meaning(s, v),
          );
        }
        // What covers the value, or touches what is near it, is approximately it.
        if (s !== undefined && s.lo < v.hi && s.hi > v.lo)
          expect(holds(resource, `date=ap${encodeURIComponent(text)}`)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('a value is found by its own text, and by every coarser one', () => {
    fc.assert(
      fc.property(date, (text) => {
        const resource: Resource = { resourceType: 'Observation', id: 'o', effectiveDateTime: text };
        expect(holds(resource, `date=${encodeURIComponent(text)}`)).toBe(true);
        expect(holds(resource, `date=ge${encodeURIComponent(text)}&date=le${encodeURIComponent(text)}`)).toBe(true);
        const coarser = text.slice(0, 4);
        if (!text.includes('T')) expect(holds(resource, `date=${coarser}`)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe('laws of and, or, not', () => {
  const code = fc.constantFrom('a', 'b', 'c', 's|a', '|b', 's|');
  const coding = fc.record(
    { system: fc.constantFrom('s', 't'), code: fc.constantFrom('a', 'b', 'c') },
    { requiredKeys: [] },
  );
  const document = fc.array(coding, { maxLength: 3 }).map(
    (codings): Resource => ({
      resourceType: 'DocumentReference',
      id: 'd',
      ...(codings.length === 0 ? {} : { type: { coding: codings } }),
    }),
  );
  const holds = (resource: Resource, query: string): boolean =>
    matches(
      lowerAll(parsed('DocumentReference', query).filters, loweringOf({ resources: [] })),
      entryOf(resource),
      NO_LINKS,
    );
  const q = (name: string, text: string): string => new URLSearchParams([[name, text]]).toString();

  test('a comma is or, a repetition is and', () => {
    fc.assert(
      fc.property(document, code, code, (d, a, b) => {
        const [left, right] = [holds(d, q('type', a)), holds(d, q('type', b))];
        expect(holds(d, q('type', `${a},${b}`))).toBe(left || right);
        expect(holds(d, `${q('type', a)}&${q('type', b)}`)).toBe(left && right);
      }),
    );
  });

  test(':not is the complement', () => {
    fc.assert(
      fc.property(document, fc.array(code, { minLength: 1, maxLength: 3 }), (d, codes) => {
        expect(holds(d, q('type:not', codes.join(',')))).toBe(!holds(d, q('type', codes.join(','))));
      }),
    );
  });

  test(':missing=true is the complement of :missing=false, and of any value', () => {
    fc.assert(
      fc.property(document, code, (d, c) => {
        expect(holds(d, 'type:missing=true')).toBe(!holds(d, 'type:missing=false'));
        if (holds(d, q('type', c))) expect(holds(d, 'type:missing=false')).toBe(true);
      }),
    );
  });
});

test('a filter is lowered the same each time', () => {
  const [filter] = parsed('DocumentReference', 'subject.family=a').filters;
  const lowering = loweringOf({ resources: [] });
  expect(print(lower(filter!, lowering))).toBe(print(lower(filter!, lowering)));
});

test('print shows every kind of predicate', () => {
  const owned: Predicate = { op: 'owner', of: { op: 'range', param: '_state', lo: ['<=', 5], hi: ['>', 5] } };
  expect(print({ op: 'or', of: [owned, { op: 'none' }, { op: 'contains', param: 'p', text: 'a"b' }] })).toBe(
    'or(owner(_state[lo <= 5, hi > 5]), none, p~"a\\"b")',
  );
  expect(printed('AuditEvent', 'entity=DocumentReference/1', { resources: [], bySight: ['AuditEvent.entity'] })).toBe(
    'via(entity, DocumentReference with deleted, _id="1")',
  );
});

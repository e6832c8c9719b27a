import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escapeValue, type Filter, printValue, type SearchValue } from '../../../server/query/search-query.ts';
import { faults, parse, parsed } from './world.ts';

const only = (type: string, query: string): Filter => {
  const [filter, more] = parsed(type, query).filters;
  if (filter === undefined || more !== undefined) throw new Error('not one filter');
  return filter;
};
const value = (type: string, query: string): SearchValue => {
  const filter = only(type, query);
  if (filter.kind !== 'match' || filter.values.length !== 1) throw new Error('not one value');
  return filter.values[0]!;
};

describe('values', () => {
  test.each([
    ['Patient', 'identifier=s|1', { kind: 'token', system: 's', code: '1' }],
    ['Patient', 'identifier=1', { kind: 'token', system: undefined, code: '1' }],
    ['Patient', 'identifier=|1', { kind: 'token', system: '', code: '1' }],
    ['Patient', 'identifier=s|', { kind: 'token', system: 's', code: undefined }],
    ['Patient', 'identifier=a\\|b', { kind: 'token', system: undefined, code: 'a|b' }],
    ['Patient', 'identifier=s|a\\,b\\$c\\\\d', { kind: 'token', system: 's', code: 'a,b$c\\d' }],
    ['Patient', 'identifier=a\\x', { kind: 'token', system: undefined, code: 'a\\x' }],
    ['Patient', 'identifier=ABC', { kind: 'token', system: undefined, code: 'ABC' }],
    ['Patient', 'gender=MALE', { kind: 'token', system: undefined, code: 'male' }],
    ['Patient', 'active=TRUE', { kind: 'token', system: undefined, code: 'true' }],
    ['Patient', 'email=A@B.org', { kind: 'token', system: undefined, code: 'a@b.org' }],
    ['Patient', 'identifier:of-type=s|c|v', { kind: 'of-type', system: 's', code: 'c', value: 'v' }],
    ['Patient', 'name=Le Goff', { kind: 'string', text: 'Le Goff' }],
    ['Patient', 'name:exact=-', { kind: 'string', text: '-' }],
    ['DocumentReference', 'type:text=ordonnance', { kind: 'string', text: 'ordonnance' }],
    ['DocumentReference', 'subject=Patient/1', { kind: 'local', refs: ['Patient/1'], version: undefined }],
    ['DocumentReference', 'subject=Patient/1/_history/2', { kind: 'local', refs: ['Patient/1'], version: '2' }],
    [
      'DocumentReference',
      'subject=https://carnet.example/fhir/Patient/1',
      { kind: 'local', refs: ['Patient/1'], version: undefined },
    ],
    [
      'DocumentReference',
      'subject=https://other.example/Patient/1',
      { kind: 'foreign', text: 'https://other.example/Patient/1' },
    ],
    ['DocumentReference', 'subject=urn:uuid:1', { kind: 'foreign', text: 'urn:uuid:1' }],
    ['DocumentReference', 'subject:Patient=1', { kind: 'local', refs: ['Patient/1'], version: undefined }],
    ['DocumentReference', 'patient=1', { kind: 'local', refs: ['Patient/1'], version: undefined }],
    ['DocumentReference', 'author:identifier=s|1', { kind: 'token', system: 's', code: '1' }],
    ['DocumentReference', 'author:missing=true', { kind: 'missing', missing: true }],
    ['ValueSet', 'url=http://x/a,b', undefined],
    ['ValueSet', 'url=http://x/a', { kind: 'uri', uri: 'http://x/a' }],
  ])('%s?%s', (type, query, expected) => {
    if (expected === undefined) expect(only(type, query)).toMatchObject({ values: [{}, {}] });
    else expect(value(type, query)).toEqual(expected);
  });

  test('an id alone stands for every type that the parameter may name', () => {
    const read = value('DocumentReference', 'subject=1');
    expect(read).toEqual({
      kind: 'local',
      refs: ['Practitioner/1', 'Group/1', 'Device/1', 'Patient/1'],
      version: undefined,
    });
  });

  test.each([
    ['2000-03-13', 'eq', '1999'],
    ['ge2000', 'ge', '1999'],
    ['sa2000-01-01T00:00:00Z', 'sa', '2000'],
    ['ap2000-03', 'ap', '2000'],
  ])('date %s', (text, prefix) => {
    expect(value('Patient', `birthdate=${text}`)).toMatchObject({ kind: 'date', prefix });
  });

  test('the `+` of an offset that was not encoded', () => {
    expect(value('Patient', 'birthdate=2000-01-01T00:00:00+02:00')).toEqual(
      value('Patient', 'birthdate=2000-01-01T00:00:00%2B02:00'),
    );
  });

  test('numbers, quantities, composites', () => {
    expect(value('RiskAssessment', 'probability=lt0.5')).toEqual({
      kind: 'number',
      prefix: 'lt',
      text: '0.5',
      number: { value: 0.5, lo: 0.45, hi: 0.55 },
    });
    expect(value('Observation', 'value-quantity=gt5.4|http://u|mg')).toMatchObject({ system: 'http://u', code: 'mg' });
    expect(value('Observation', 'value-quantity=5.4||mg')).toMatchObject({
      prefix: 'eq',
      system: undefined,
      code: 'mg',
    });
    expect(value('Observation', 'code-value-quantity=s|c$gt5')).toEqual({
      kind: 'composite',
      parts: [
        { kind: 'token', system: 's', code: 'c' },
        {
          kind: 'quantity',
          prefix: 'gt',
          text: '5',
          number: { value: 5, lo: 4.5, hi: 5.5 },
          system: undefined,
          code: undefined,
        },
      ],
    });
  });

  test('repetition is and, comma is or', () => {
    expect(parsed('Patient', 'given=a,b&given=c').filters).toMatchObject([
      { param: 'given', values: [{ text: 'a' }, { text: 'b' }] },
      { param: 'given', values: [{ text: 'c' }] },
    ]);
  });
});

describe('what is refused, and named', () => {
  test.each([
    ['Patient', 'foo=1', '`foo` is not a search parameter of Patient'],
    ['Patient', 'identifier[$ne]=1', '`identifier[$ne]` is not a search parameter of Patient'],
    ['Patient', '__proto__=1', '`__proto__` is not'],
    ['Patient', 'constructor=1', '`constructor` is not'],
    ['Patient', '=1', '`` is not'],
    ['Patient', '_owner=Patient/1', '`_owner` is not'],
    ['Patient', '_label=N', '`_label` is not'],
    ['Patient', '_has=x', '`_has` is not'],
    ['Patient', '_text=x', '`_text` is not supported: it has no expression'],
    ['Patient', '_content=x', '`_content` is not supported'],
    ['Patient', '_filter=x', '`_filter` is not'],
    ['Patient', 'phonetic=x', '`phonetic` is not supported: phonetic matching is not supported'],
    ['Location', 'near=1|2', '`near` is not supported'],
    ['DocumentReference', 'type:in=x', 'the modifier `:in` is not supported for `type`'],
    ['DocumentReference', 'type:not-in=x', 'the modifier `:not-in` is not supported for `type`'],
    ['DocumentReference', 'type:below=x', 'the modifier `:below` is not supported for `type`'],
    ['DocumentReference', 'type:exact=x', 'the modifier `:exact`'],
    ['DocumentReference', 'type:of-type=a|b|c', 'the modifier `:of-type`'],
    ['DocumentReference', 'status:text=x', 'the modifier `:text`'],
    ['DocumentReference', 'subject:Organization=1', 'the modifier `:Organization` is not supported for `subject`'],
    ['DocumentReference', 'subject:Patient=Group/1', 'cannot name a resource of another type'],
    ['DocumentReference', 'type:not:missing=true', '`type:not:missing` is not'],
    ['DocumentReference', 'date:not=2020', 'the modifier `:not`'],
    ['Patient', 'name:missing=yes', '`name:missing` is `true` or `false`'],
    ['Patient', 'name=', '`name` has an empty value'],
    ['Patient', 'foo=', '`foo` is not'],
    ['Patient', 'birthdate=', '`birthdate` has an empty value'],
    ['Patient', 'name=a,,b', '`name` has an empty value'],
    ['Patient', 'name=--', '`name` needs a letter or a digit'],
    ['Patient', 'birthdate=2000-13', '`2000-13` cannot be read as a date in `birthdate`'],
    ['Patient', 'birthdate=gt', 'cannot be read as a date'],
    ['Patient', 'birthdate=xx2000', 'cannot be read as a date'],
    ['Patient', 'birthdate=2000-02-30', 'cannot be read as a date'],
    ['Patient', 'identifier=|', 'cannot be read as a token'],
    ['Patient', 'identifier:of-type=a|b', 'needs `system|code|value`'],
    ['Patient', 'identifier:of-type=a|b|', 'needs a code and a value'],
    ['DocumentReference', 'subject=a b', 'cannot be read as a reference'],
    ['DocumentReference', 'subject=Patient/', 'cannot be read as a reference'],
    ['RiskAssessment', 'probability=high', 'cannot be read as a number'],
    ['Observation', 'value-quantity=5|s', 'needs `number`'],
    ['Observation', 'value-quantity=|s|c', 'cannot be read as a quantity'],
    ['Observation', 'value-quantity=5|s|c|x', 'cannot be read as a quantity'],
    ['Observation', 'code-value-quantity=a', 'needs 2 parts'],
    ['Observation', 'code-value-quantity=a$', 'has an empty part'],
    ['Observation', 'code-value-quantity=a$b', 'cannot be read as a quantity'],
    ['DocumentReference', 'type.code=x', '`type.code` is not'],
    ['DocumentReference', 'subject.foo=x', '`subject.foo` is not'],
    ['DocumentReference', 'subject:Patient.foo=x', 'is not'],
    ['DocumentReference', 'subject:Group.name=x', 'the modifier `:Group`'],
    ['DocumentReference', 'subject:Patient.birthdate=x', 'cannot be read as a date'],
    ['DocumentReference', 'author:Organization.partof.partof.partof.name=x', 'follows more than 3 references'],
    ['DocumentReference', '_has:List:item:foo=x', 'is not'],
    ['DocumentReference', '_has:List:code:status=x', 'is not'],
    ['DocumentReference', '_has:Martian:item:status=x', 'is not'],
    ['Patient', '_has:Organization:partof:name=x', 'is not'],
    ['DocumentReference', '_has:List:item=x', 'is not'],
    ['Patient', '_sort=foo', '`_sort` by `foo` is not supported for Patient'],
    ['Patient', '_sort=name,', '`_sort` has an empty key'],
    ['DocumentReference', '_sort=relationship', '`_sort` by `relationship`'],
    ['Patient', '_count=-1', '`_count` is not a whole number'],
    ['Patient', '_count=NaN', '`_count` is not a whole number'],
    ['Patient', '_count=1.5', '`_count` is not a whole number'],
    ['Patient', '_count=1&_count=2', '`_count` may be given once'],
    ['Patient', '_sort=name&_sort=family', '`_sort` may be given once'],
    ['Patient', '_count=', '`_count` has an empty value'],
    ['Patient', '_total=some', '`_total` is one of'],
    ['Patient', '_summary=yes', '`_summary` is one of'],
    ['Patient', '_elements=a;b', '`_elements` is a list of root elements'],
    ['Patient', '_elements=name.family', '`_elements` is a list of root elements'],
    ['Patient', '_cursor=', '`_cursor` has an empty value'],
    ['DocumentReference', '_include=*', '`_include` with `*` is not supported'],
    ['DocumentReference', '_include=DocumentReference:*', '`_include` with `*`'],
    ['DocumentReference', '_revinclude=*', '`_revinclude` with `*`'],
    ['DocumentReference', '_include:iterate=*', '`_include` with `*`'],
    ['DocumentReference', '_include=DocumentReference:type', '`_include=DocumentReference:type` is not supported'],
    ['DocumentReference', '_include=DocumentReference:subject:Organization', 'is not supported'],
    ['DocumentReference', '_include=Patient:organization', 'has nothing to do with DocumentReference'],
    ['DocumentReference', '_revinclude=Patient:organization', 'has nothing to do with DocumentReference'],
    ['DocumentReference', '_include:recurse=DocumentReference:subject', '`_include:recurse` is not'],
  ])('%s?%s', (type, query, text) => {
    const found = faults(type, query);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(text);
  });

  test('each with its own fault', () => {
    expect(faults('Patient', 'foo=1&birthdate=x&_count=-1')).toHaveLength(3);
  });

  test('more values than a store should be asked', () => {
    const many = Array.from({ length: 2000 }, (_, i) => `p${i}`).join(',');
    expect(faults('DocumentReference', `subject:Patient=${many}`)).toEqual([]);
    expect(faults('DocumentReference', `subject=${many}`)).toEqual(['the search has too many values']);
  });

  test('names and values that are longer than all that counts', () => {
    expect(faults('Patient', `name=${'a'.repeat(500_001)}`)).toEqual(['a parameter is too long: `name`']);
    expect(faults('Patient', `${'a'.repeat(501)}=1`, { lenient: true })).toEqual([
      `a parameter is too long: \`${'a'.repeat(50)}\``,
    ]);
  });

  test('more conditions that look at every resource than one would wait for', () => {
    const dates = (n: number) => Array.from({ length: n }, (_, i) => `ne${1900 + i}`).join(',');
    const walked = ['the search has more than 100 dates, numbers, `:contains`, `:not` or `:missing`'];
    expect(faults('Patient', `birthdate=${dates(100)}`)).toEqual([]);
    expect(faults('Patient', `birthdate=${dates(101)}`)).toEqual(walked);
    expect(faults('Patient', `birthdate=${dates(60)}&name:contains=${dates(60)}`)).toEqual(walked);
    expect(faults('Patient', `name=${dates(101)}`)).toEqual([]);
  });

  test('more steps than a store should take: one to the register, whose permission looks everywhere, counts twenty', () => {
    const repeated = (times: number, parameter: string) => Array.from({ length: times }, () => parameter).join('&');
    const steps = ['the search follows more than 100 references'];
    expect(faults('DocumentReference', repeated(100, '_has:List:item:title=a'))).toEqual([]);
    expect(faults('DocumentReference', repeated(101, '_has:List:item:title=a'))).toEqual(steps);
    const world = { resources: [], bySight: ['AuditEvent.entity'] };
    const register = '_has:AuditEvent:entity:action=R';
    expect(faults('DocumentReference', repeated(5, register), { world })).toEqual([]);
    expect(faults('DocumentReference', repeated(6, register), { world })).toEqual(steps);
  });

  test('more includes than a search should add, the same one counted once', () => {
    const added = ['_revinclude:iterate', '_include:iterate'].flatMap((name) =>
      ['agent', 'entity', 'source'].flatMap((code) =>
        ['Patient', 'RelatedPerson', 'Practitioner', 'PractitionerRole', 'Organization'].map(
          (type) => `${name}=AuditEvent:${code}:${type}`,
        ),
      ),
    );
    const twenty = added.slice(0, 20).join('&');
    expect(faults('AuditEvent', `${twenty}&${twenty}`)).toEqual([]);
    expect(faults('AuditEvent', added.join('&'))).toEqual([
      'the search has more than 20 of `_include` and `_revinclude`',
    ]);
  });

  test('an untyped chain that would spread too far', () => {
    expect(faults('Provenance', 'target.subject.organization.name=x')).toEqual([]);
    expect(faults('Provenance', 'entity.entity.entity._id=1')).toEqual([
      '`entity.entity.entity._id` may lead to too many types; name the type, as in `subject:Patient.name`',
    ]);
  });
});

describe('lenient handling', () => {
  test('what is unknown or not supported is left out and listed', () => {
    const result = parse('Patient', 'foo=1&name=a&gender:in=x&_sort=foo&_include=*&_text=b&_count=5', {
      lenient: true,
    });
    expect(result).toMatchObject({ ok: false, failure: { faults: [{ text: expect.stringContaining('`*`') }] } });
    const lenient = parse('Patient', 'foo=1&name=a&gender:in=x&_sort=foo&_text=b&_count=5', { lenient: true });
    expect(lenient).toMatchObject({
      ok: true,
      value: {
        dropped: ['foo', 'gender:in', '_sort', '_text'],
        used: [
          ['name', 'a'],
          ['_count', '5'],
        ],
        sort: [],
      },
    });
  });

  test('what is wrong stays wrong', () => {
    expect(faults('Patient', 'birthdate=x', { lenient: true })).toHaveLength(1);
    expect(faults('Patient', '_count=-1', { lenient: true })).toHaveLength(1);
    expect(faults('Patient', 'name=', { lenient: true })).toHaveLength(1);
  });
});

describe('controls', () => {
  test('count: a cap, and zero', () => {
    expect(parsed('Patient', '').count).toBe(50);
    expect(parsed('Patient', '_count=10')).toMatchObject({ count: 10, used: [['_count', '10']] });
    expect(parsed('Patient', '_count=5000')).toMatchObject({ count: 200, used: [['_count', '200']] });
    expect(parsed('Patient', '_count=0')).toMatchObject({ summary: 'count', used: [['_count', '0']] });
  });

  test('all of them', () => {
    const query = parsed(
      'DocumentReference',
      '_sort=-date,_id,_lastUpdated&_total=accurate&_summary=text&_elements=id,status&_cursor=abc&_format=json&_pretty=true' +
        '&_include=DocumentReference:subject:Patient&_include:iterate=Patient:organization&_revinclude=Provenance:target',
    );
    expect(query).toMatchObject({
      type: 'DocumentReference',
      filters: [],
      sort: [
        { param: 'date', descending: true },
        { param: '_id', descending: false },
        { param: '_lastUpdated', descending: false },
      ],
      total: 'accurate',
      summary: 'text',
      elements: ['id', 'status'],
      cursor: 'abc',
      includes: [
        { source: 'DocumentReference', param: 'subject', target: 'Patient', iterate: false },
        { source: 'Patient', param: 'organization', target: undefined, iterate: true },
      ],
      revincludes: [{ source: 'Provenance', param: 'target', target: undefined, iterate: false }],
      dropped: [],
    });
    expect(query.used.map(([name]) => name)).not.toContain('_cursor');
    expect(query.used.map(([name]) => name)).toContain('_format');
  });

  test('no order by references that count by sight', () => {
    const world = { resources: [], bySight: ['AuditEvent.entity', 'DocumentReference.relationship'] };
    expect(faults('AuditEvent', '_sort=entity', { world })).toHaveLength(1);
    expect(faults('AuditEvent', '_sort=date', { world })).toEqual([]);
    expect(faults('DocumentReference', 'relationship=replaces$DocumentReference/1', { world })).toHaveLength(1);
  });
});

describe('chains', () => {
  test('typed, untyped, nested, reverse', () => {
    expect(only('DocumentReference', 'subject:Patient.identifier=s|1')).toMatchObject({
      kind: 'chain',
      param: 'subject',
      targets: [{ type: 'Patient', filter: { kind: 'match', type: 'Patient', param: 'identifier' } }],
    });
    // Of the types that it may name, those of this server that have the parameter.
    expect(only('DocumentReference', 'subject.family=a')).toMatchObject({
      targets: [{ type: 'Practitioner' }, { type: 'Patient' }],
    });
    expect(only('DocumentReference', 'author:PractitionerRole.organization.name:exact=a')).toMatchObject({
      targets: [{ filter: { kind: 'chain', param: 'organization', targets: [{ filter: { modifier: 'exact' } }] } }],
    });
    expect(only('Patient', '_has:DocumentReference:patient:type=x')).toMatchObject({
      kind: 'has',
      type: 'Patient',
      source: 'DocumentReference',
      param: 'patient',
      filter: { kind: 'match', type: 'DocumentReference', param: 'type' },
    });
    expect(only('Patient', '_has:DocumentReference:patient:_has:Provenance:target:agent=Practitioner/1')).toMatchObject(
      {
        filter: { kind: 'has', source: 'Provenance' },
      },
    );
    expect(only('Patient', '_has:DocumentReference:patient:author:Organization.name=x')).toMatchObject({
      filter: { kind: 'chain' },
    });
  });
});

describe('what is printed is read again', () => {
  const text = fc.string({ unit: fc.constantFrom(...'abAB01,|$\\ .-/:é') });
  const filled = text.filter((t) => t !== '' && /[a-z0-9]/i.test(t));
  const number = fc.tuple(fc.integer(), fc.nat(6)).map(([n, d]) => (n / 1000).toFixed(d));
  const prefix = fc.constantFrom('eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap');
  const date = fc.constantFrom('2000', '2000-03', '2000-03-13', '2000-03-13T10:00', '2000-03-13T10:00:00.5Z');
  const token = fc.oneof(
    filled.map((c) => escapeValue(c)),
    fc.tuple(text, filled).map(([s, c]) => `${escapeValue(s)}|${escapeValue(c)}`),
    filled.map((s) => `${escapeValue(s)}|`),
  );
  const quantity = fc
    .tuple(prefix, number, fc.option(fc.tuple(text, filled)))
    .map(([p, n, unit]) => `${p}${n}${unit === null ? '' : `|${escapeValue(unit[0])}|${escapeValue(unit[1])}`}`);
  const cases = fc.oneof(
    token.map((raw) => ['Patient', 'identifier', raw] as const),
    token.map((raw) => ['Patient', 'gender', raw] as const),
    token.map((raw) => ['DocumentReference', 'author:identifier', raw] as const),
    filled.map((raw) => ['Patient', 'name', escapeValue(raw)] as const),
    filled.map((raw) => ['Patient', 'name:exact', escapeValue(raw)] as const),
    filled.map((raw) => ['ValueSet', 'url', escapeValue(raw)] as const),
    fc.tuple(prefix, date).map(([p, d]) => ['Patient', 'birthdate', p + d] as const),
    fc.tuple(prefix, number).map(([p, n]) => ['RiskAssessment', 'probability', p + n] as const),
    quantity.map((raw) => ['Observation', 'value-quantity', raw] as const),
    fc.tuple(token, quantity).map(([t, q]) => ['Observation', 'code-value-quantity', `${t}$${q}`] as const),
    fc
      .constantFrom('1', 'Patient/1', 'Patient/1/_history/2', 'urn:uuid:1', 'http://x/y,z')
      .map((raw) => ['DocumentReference', 'subject', raw.includes(',') ? escapeValue(raw) : raw] as const),
  );

  test('value by value', () => {
    fc.assert(
      fc.property(cases, ([type, name, raw]) => {
        const read = (text: string): readonly SearchValue[] => {
          const filter = only(type, new URLSearchParams([[name, text]]).toString());
          if (filter.kind !== 'match') throw new Error('not a match');
          return filter.values;
        };
        const first = read(raw);
        expect(read(first.map(printValue).join(','))).toEqual(first);
      }),
      { numRuns: 2000 },
    );
  });

  test('nothing that a client sends makes it throw', () => {
    const name = fc.oneof(
      fc.constantFrom(
        '_has:DocumentReference:patient:type',
        'subject:Patient.name',
        '_include',
        'identifier:of-type',
        'near',
        '_sort',
        'code-value-quantity',
      ),
      fc.string(),
      fc.string({ unit: fc.constantFrom(...'_has:.Patientsubject$[]') }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.string()), { maxLength: 4 }), fc.boolean(), (pairs, lenient) => {
        for (const type of ['Patient', 'Observation', 'DocumentReference']) {
          const query = new URLSearchParams(pairs).toString();
          const result = parse(type, query, { lenient });
          if (!result.ok) expect(result.failure.code).toBe('malformed');
        }
      }),
      { numRuns: 1000 },
    );
  });
});

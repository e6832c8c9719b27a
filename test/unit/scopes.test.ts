import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CallerKind, Claims } from '../../server/access/caller.ts';
import { parseScopes, type ScopeLetter, scopesFor } from '../../server/access/scopes.ts';

const LETTERS: readonly ScopeLetter[] = ['c', 'r', 'u', 'd', 's'];

const KINDS = {
  patient: { kind: 'patient', fhirUser: 'Patient/p', patient: 'Patient/p' },
  representative: { kind: 'representative', fhirUser: 'RelatedPerson/r', actsFor: 'Patient/p' },
  professional: {
    kind: 'professional',
    fhirUser: 'Practitioner/d',
    nationalId: { system: 's', value: 'v' },
    profession: '10',
    structure: { system: 's', value: 'v' },
    purpose: 'TREAT',
  },
  feeder: { kind: 'feeder', structure: { system: 's', value: 'v' } },
  insurer: { kind: 'insurer' },
  operator: { kind: 'operator' },
} as const;

const claims = (kind: CallerKind, scope: string, more: object = {}): Claims => ({
  issuer: 'https://issuer.example',
  clientId: 'c',
  subject: 's',
  tokenId: 't',
  issuedAt: 0,
  expiresAt: 1,
  scopes: parseScopes(scope),
  secret: false,
  ...KINDS[kind],
  ...more,
});

const granted = (scope: string): string =>
  LETTERS.filter((letter) => parseScopes(scope).some((one) => one[letter])).join('');

describe('SMART 2.2, the grammar of a scope', () => {
  test.each([
    ['patient/Observation.rs', 'rs'],
    ['user/*.cruds', 'cruds'],
    ['system/Patient.c', 'c'],
    ['system/Patient.u', 'u'],
    ['patient/Observation.read', 'rs'],
    ['patient/Observation.write', 'cud'],
    ['patient/Observation.*', 'cruds'],
    ['patient/*.*', 'cruds'],
  ])('%s grants %s', (scope, letters) => expect(granted(scope)).toBe(letters));

  test.each([
    ['letters out of order', 'patient/Observation.sr'],
    ['a letter twice', 'patient/Observation.rr'],
    ['no letter', 'patient/Observation.'],
    ['an unknown letter', 'patient/Observation.rx'],
    ['an upper-case letter', 'patient/Observation.RS'],
    ['v1 and v2 mixed', 'patient/Observation.readrs'],
    ['an unknown context', 'practice/Observation.rs'],
    ['an upper-case context', 'Patient/Observation.rs'],
    ['a lower-case type', 'patient/observation.rs'],
    ['a wildcard of types', 'patient/Obs*.rs'],
    ['no type', 'patient/.rs'],
    ['no context', 'Observation.rs'],
    ['a launch scope', 'launch/patient'],
    ['openid', 'openid'],
    ['something before', 'xpatient/Observation.rs'],
    ['a line break', 'patient/Observation.rs\n'],
    ['an empty constraint', 'patient/Observation.rs?'],
    ['a constraint on a v1 scope', 'patient/Observation.read?category=a'],
    ['a wildcard constraint on a v1 scope', 'patient/Observation.*?category=a'],
    ['a parameter without a value', 'patient/Observation.rs?category'],
    ['a parameter with an empty value', 'patient/Observation.rs?category='],
    ['a value without a parameter', 'patient/Observation.rs?=a'],
    ['a stray separator', 'patient/Observation.rs?category=a&'],
    ['a modifier', 'patient/Observation.rs?code:in=http://v.example/vs'],
    ['an encoded modifier', 'patient/Observation.rs?code%3Ain=a'],
    ['a chain', 'patient/Observation.rs?subject.name=a'],
    ['a reverse chain', 'patient/Observation.rs?_has:Group:member:_id=1'],
    ['_filter', 'patient/Observation.rs?_filter=code%20eq%20a'],
    ['a parameter that shapes the answer', 'patient/Observation.rs?_count=1'],
    ['an encoding that does not decode', 'patient/Observation.rs?category=%E0%A4%A'],
    ['an ambiguous plus', 'patient/Observation.rs?date=ge2020-01-01T00:00:00+01:00'],
    ['a parameter of one type on all types', 'patient/*.rs?category=a'],
    ['one bad parameter among good ones', 'patient/Observation.rs?category=a&_filter=b'],
  ])('%s is not understood and grants nothing', (_, scope) => {
    expect(parseScopes(scope)).toEqual([]);
  });

  test('constraints are kept in order, decoded, with every value', () => {
    const [scope] = parseScopes('patient/Observation.rs?category=http://s.example/c|lab,x&code=a%20b&_security=N');
    expect(scope?.constraint).toEqual([
      ['category', 'http://s.example/c|lab,x'],
      ['code', 'a b'],
      ['_security', 'N'],
    ]);
    expect(scope?.text).toBe('patient/Observation.rs?category=http://s.example/c|lab,x&code=a%20b&_security=N');
  });

  test('what is not understood does not spoil what is', () =>
    expect(parseScopes('openid patient/Observation.sr launch user/Patient.r').map(({ text }) => text)).toEqual([
      'user/Patient.r',
    ]));
});

describe('which context serves which caller', () => {
  const table: readonly (readonly [string, CallerKind, object, readonly string[]])[] = [
    ['a holder', 'patient', {}, ['patient', 'user']],
    ['a representative', 'representative', {}, ['patient', 'user']],
    ['a professional', 'professional', {}, ['user']],
    ['a professional limited to one person', 'professional', { patient: 'Patient/p' }, ['patient', 'user']],
    ['a feeder', 'feeder', {}, ['system']],
    ['a feeder limited to one person', 'feeder', { patient: 'Patient/p' }, ['system']],
    ['an insurer', 'insurer', {}, ['system']],
    ['an operator', 'operator', {}, ['system']],
    ['a person of the host', 'operator', { fhirUser: 'Person/o' }, ['user']],
  ];
  test.each(table)('%s', (_, kind, more, contexts) => {
    const all = claims(kind, 'patient/*.r user/*.r system/*.r', more);
    expect(scopesFor(all, 'r', 'Patient').map(({ context }) => context)).toEqual(contexts);
  });
});

const scopeText = fc
  .tuple(
    fc.constantFrom('patient', 'user', 'system'),
    fc.constantFrom('*', 'Patient', 'Observation', 'DocumentReference'),
    fc.subarray([...LETTERS], { minLength: 1 }),
    fc.constantFrom('', '?_id=1', '?_tag=a|b'),
  )
  .map(([context, type, letters, query]) => ({
    text: `${context}/${type}.${letters.join('')}${query}`,
    context,
    type,
    letters,
  }));

describe('properties', () => {
  test('a scope never grants more than its letters, its type and its context', () => {
    fc.assert(
      fc.property(scopeText, fc.constantFrom(...LETTERS), fc.constantFrom('Patient', 'List'), (scope, letter, type) => {
        const held = scopesFor(claims('patient', scope.text), letter, type);
        const expected =
          scope.letters.includes(letter) && ['*', type].includes(scope.type) && scope.context !== 'system' ? 1 : 0;
        expect(held).toHaveLength(expected);
      }),
    );
  });

  test('the order and the repetition of scopes change nothing', () => {
    const shuffled = fc
      .array(scopeText, { maxLength: 6 })
      .chain((scopes) =>
        fc.tuple(fc.constant(scopes), fc.shuffledSubarray([...scopes, ...scopes], { minLength: scopes.length * 2 })),
      );
    fc.assert(
      fc.property(shuffled, fc.constantFrom(...LETTERS), ([scopes, other], letter) => {
        const held = (list: typeof scopes): string[] =>
          scopesFor(claims('representative', list.map(({ text }) => text).join(' ')), letter, 'Patient')
            .map(({ text }) => text)
            .sort();
        expect(held(other)).toEqual(held(scopes));
      }),
    );
  });

  test('a text that is not a scope, letter by letter changed or random, grants no letter that it does not spell', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'patient/*.crudsRO?=&:%+ ') })),
        (text) => {
          for (const scope of parseScopes(text)) {
            expect(text.split(' ')).toContain(scope.text);
            const access = /\.(read|write|\*|[cruds]+)(\?|$)/.exec(scope.text)?.[1] ?? '';
            const spelled = { read: 'rs', write: 'cud', '*': 'cruds' }[access] ?? access;
            for (const letter of LETTERS) expect(scope[letter] && !spelled.includes(letter)).toBe(false);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

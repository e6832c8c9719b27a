import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JSON_LIMITS, keepWritten, parseJson, stringify } from '../../server/fhir/json-text.ts';
import type { Json } from '../../server/fhir/types.ts';
import { missingSamples, samplesIn } from '../support/samples.ts';

const parse = (text: string) => parseJson(text, JSON_LIMITS);
const read = (text: string): Json => {
  const parsed = parse(text);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.failure));
  return parsed.value;
};
const faultOf = (text: string): { readonly text: string; readonly at?: string } => {
  const parsed = parse(text);
  if (parsed.ok || parsed.failure.code !== 'malformed')
    throw new Error(`not refused as malformed: ${text.slice(0, 80)}`);
  return parsed.failure.faults[0]!;
};

describe('what parseJson refuses', () => {
  it.each([
    ['{"a":1,"b":2,"a":3}', 'the key `a` stands twice in one object at line 1 column 14'],
    ['{\n "b": {"c": 1,\n "c": 2}}', 'the key `c` stands twice in one object at line 3 column 2'],
    ['[{"a":1},{"a":1,"\\u0061":2}]', 'the key `a` stands twice in one object at line 1 column 17'],
    ['{"a":"x:y","a:":1,"a":2}', 'the key `a` stands twice in one object at line 1 column 19'],
    ['{"a":1e400}', 'a number is too large at line 1 column 6'],
    ['[-1e999]', 'a number is too large at line 1 column 2'],
    ['{"a":', 'the body is not valid JSON'],
    ['', 'the body is not valid JSON'],
    ['{"a":1}x', 'the body is not valid JSON at line 1 column 8'],
    ['{"a":01}', 'the body is not valid JSON at line 1 column 7'],
    ["{'a':1}", 'the body is not valid JSON at line 1 column 2'],
    ['"\ud800"', 'a text contains half of a surrogate pair'],
  ])('%j: %s', (text, message) => {
    expect(faultOf(text).text).toBe(message);
  });

  it.each([
    [
      '{"resourceType":"Patient","name":[{"__proto__":{"a":1}}]}',
      'the key `__proto__` is not accepted',
      'Patient.name[0]',
    ],
    ['{"a":{"constructor":1}}', 'the key `constructor` is not accepted', 'a'],
    ['{"\\u005f_proto__":1}', 'the key `__proto__` is not accepted', undefined],
    ['[{"prototype":[]}]', 'the key `prototype` is not accepted', '[0]'],
    ['{"a":["x","\\u0000"]}', 'a text contains the character NUL', 'a[1]'],
    ['{"a":{"b\\ud800":1}}', 'a text contains half of a surrogate pair', 'a.b\ud800'],
    ['{"a":"\\ud83d\\ude00","b":"\\ude00\\ud83d"}', 'a text contains half of a surrogate pair', 'b'],
  ])('%s at a path', (text, message, at) => {
    expect(faultOf(text)).toEqual(at === undefined ? { text: message } : { text: message, at });
  });

  it('never quotes the text itself', () => {
    expect(JSON.stringify(parse('{"name": "Martin", oops}'))).not.toContain('Martin');
    expect(JSON.stringify(parse('Martin'))).not.toContain('Martin');
  });

  it('accepts 64 levels and refuses 65', () => {
    const nested = (levels: number): string => `${'[{"a":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}`;
    expect(parse(nested(64)).ok).toBe(true);
    expect(faultOf(`[${nested(64)}]`).text).toMatch(/^the JSON is nested deeper than 64 levels at line 1 column \d+$/);
  });

  it('refuses 400 000 nested arrays at once', () => {
    expect(faultOf('['.repeat(400_000) + ']'.repeat(400_000)).text).toMatch(/nested deeper/);
    expect(faultOf('{"a":'.repeat(400_000)).text).toMatch(/nested deeper/);
  });

  it('is not confused by brackets, colons, quotes and numbers inside strings', () => {
    const text = JSON.stringify({ a: '[[[{{{:":\\', '":{': ['\\"', '1.00', '\\\\'], '\\': 1 });
    expect(read(text)).toEqual(JSON.parse(text));
    expect(parse(`"${'['.repeat(1000)}"`).ok).toBe(true);
  });

  it('leaves Object.prototype alone', () => {
    parse('{"__proto__":{"polluted":true}}');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('what parseJson gives', () => {
  it('drops a byte order mark', () => {
    expect(read('\ufeff{"a":1}')).toEqual({ a: 1 });
  });

  it('agrees with JSON.parse on valid text, however it is spaced', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(0, 1, 2, '\t'), (compact, space) => {
        const text = JSON.stringify(JSON.parse(compact), null, space);
        const hidden = /"(__proto__|constructor|prototype)":/.test(text) || /\\u(0000|d[89a-f])/.test(text);
        fc.pre(!hidden && text.isWellFormed());
        expect(read(text)).toEqual(JSON.parse(text));
        expect(stringify(read(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('accepts exactly what JSON.parse accepts, duplicates and unpaired surrogates aside', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('{', '}', '[', ']', '"a"', '"b"', ':', ',', '1', '-', '.5', 'e3', 'true', ' ', '"')),
        (parts) => {
          const text = parts.join('');
          let expected: unknown;
          let valid = true;
          try {
            expected = JSON.parse(text);
          } catch {
            valid = false;
          }
          const parsed = parse(text);
          if (parsed.ok) expect(parsed.value).toEqual(expected);
          else if (valid) expect(JSON.stringify(parsed.failure)).toMatch(/stands twice/);
          expect(parsed.ok && !valid).toBe(false);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('finds a duplicate wherever one is put', () => {
    const tree = fc.letrec<{ node: unknown }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.integer(),
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie('node'), { maxKeys: 4 }),
      ),
    })).node;
    fc.assert(
      fc.property(tree, fc.string(), fc.string(), (node, before, key) => {
        const inner = `{${JSON.stringify(key)}:1,"other ${key.length}":${JSON.stringify(node)},${JSON.stringify(key)}:2}`;
        fc.pre(!['__proto__', 'constructor', 'prototype'].some((k) => key === k || JSON.stringify(node).includes(k)));
        fc.pre(
          `other ${key.length}` !== key &&
            JSON.stringify([node, before, key]).isWellFormed() &&
            !/\\u(0000|d[89a-f])/.test(JSON.stringify([node, before, key])),
        );
        expect(faultOf(`{"x":${JSON.stringify(before)},"y":[${inner}]}`).text).toMatch(/stands twice/);
      }),
    );
  });
});

describe('numbers as they are written', () => {
  const SAME = [
    '{"value":1.00}',
    '{"a":[{"b":{"value":0.10,"c":2}},{"d":1e3}],"e":-0}',
    '[1.0,2,3.50]',
    '{"v":12345678901234567890}',
    '1.50',
  ];

  it.each(SAME.slice(0, 4))('%s comes out as it went in', (text) => {
    expect(stringify(read(text))).toBe(text);
  });

  it('reads as plain numbers and shows nothing more to a walk over keys', () => {
    const value = read('{"q":{"value":1.00}}') as { q: { value: number } };
    expect(value.q.value).toBe(1);
    expect(Object.keys(value)).toEqual(['q']);
    expect(JSON.stringify(value)).toBe('{"q":{"value":1}}');
  });

  it('survives the copies that an immutable change makes', () => {
    const value = read('{"id":"a","list":[{"value":2.0},{"value":3}],"q":{"value":1.00}}') as any;
    expect(stringify({ ...value, id: 'b', list: [...value.list, { value: 4 }] })).toBe(
      '{"id":"b","list":[{"value":2.0},{"value":3},{"value":4}],"q":{"value":1.00}}',
    );
  });

  it('is forgotten when the number changes', () => {
    const value = read('{"q":{"value":1.00,"unit":"g"}}') as any;
    expect(stringify({ ...value, q: { ...value.q, value: 2 } })).toBe('{"q":{"value":2,"unit":"g"}}');
  });

  it('is carried into an object that had none by keepWritten', () => {
    const q = read('{"value":1.00}');
    const copy = { q };
    keepWritten(copy, q);
    expect(stringify(copy)).toBe('{"q":{"value":1.00}}');
  });

  it('gives every number text back', () => {
    const number = fc
      .tuple(
        fc.constantFrom('', '-'),
        fc.nat({ max: 99999 }),
        fc.string({ unit: fc.constantFrom('0', '1', '9'), maxLength: 20 }),
        fc.constantFrom('', 'e2', 'E-3', 'e+10'),
      )
      .map(([sign, whole, fraction, exponent]) => `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}${exponent}`);
    fc.assert(
      fc.property(number, number, (a, b) => {
        const text = `{"a":${a},"b":{"c":[{"d":${b}}],"e":${b}}}`;
        expect(stringify(read(text))).toBe(text);
      }),
    );
  });

  it.skipIf(missingSamples('r4-examples'))('gives the text of the official examples back, spaces aside', () => {
    const samples = samplesIn('r4-examples');
    expect(samples.length).toBeGreaterThan(100);
    for (const { name, text } of samples) {
      // Spaces outside strings go; everything else must stay, digit by digit.
      const bare = text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1').replace(/\\\//g, '/');
      const escaped = JSON.stringify(JSON.parse(`[${bare.match(/"(?:[^"\\]|\\.)*"/g)!.join(',')}]`));
      expect(stringify(read(text)).replace(/"(?:[^"\\]|\\.)*"/g, ''), name).toBe(
        bare.replace(/"(?:[^"\\]|\\.)*"/g, ''),
      );
      expect(
        `[${stringify(read(text))
          .match(/"(?:[^"\\]|\\.)*"/g)!
          .join(',')}]`,
        name,
      ).toBe(escaped);
    }
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sameJson } from '../../../server/fhir/json.ts';
import { applyJsonPatch } from '../../../server/fhir/json-patch.ts';
import { JSON_LIMITS, parseJson, stringify } from '../../../server/fhir/json-text.ts';
import type { Json } from '../../../server/fhir/types.ts';
import { missingSamples, sampleText } from '../../support/samples.ts';

const freeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null) for (const item of Object.values(Object.freeze(value))) freeze(item);
  return value;
};
const apply = (document: unknown, patch: unknown) => applyJsonPatch(freeze(document) as Json, freeze(patch) as Json);

describe.skipIf(missingSamples('json-patch'))('the published conformance set', () => {
  const cases: readonly { comment: string; doc: Json; patch: Json; expected?: Json; error?: string }[] =
    missingSamples('json-patch') === undefined ? JSON.parse(sampleText('json-patch/json-patch-tests.json')) : [];

  it('is there', () => expect(cases.length).toBeGreaterThan(10));

  it.each(cases)('$comment', ({ doc, patch, expected, error }) => {
    const result = apply(doc, patch);
    if (error !== undefined) expect(result).toMatchObject({ ok: false, failure: { code: 'unprocessable' } });
    else expect(result).toEqual({ ok: true, value: expected });
  });
});

describe('operations', () => {
  it.each([
    ['add at a deep place', { a: [{ b: 1 }] }, [{ op: 'add', path: '/a/0/c', value: [2] }], { a: [{ b: 1, c: [2] }] }],
    ['add replaces a member', { a: 1 }, [{ op: 'add', path: '/a', value: null }], { a: null }],
    ['add at the end', { a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
    ['add at the length', { a: [1] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2] }],
    ['add of the whole', { a: 1 }, [{ op: 'add', path: '', value: { b: 2 } }], { b: 2 }],
    ['an empty key', { '': { '': 1 } }, [{ op: 'replace', path: '//', value: 2 }], { '': { '': 2 } }],
    ['replace a null', { a: null }, [{ op: 'replace', path: '/a', value: 1 }], { a: 1 }],
    ['copy', { a: { b: [1] } }, [{ op: 'copy', from: '/a/b', path: '/c' }], { a: { b: [1] }, c: [1] }],
    ['copy of the whole', { a: 1 }, [{ op: 'copy', from: '', path: '/b' }], { a: 1, b: { a: 1 } }],
    ['move onto itself', { a: 1 }, [{ op: 'move', from: '/a', path: '/a' }], { a: 1 }],
    ['move up', { a: { b: 1 } }, [{ op: 'move', from: '/a/b', path: '/a' }], { a: 1 }],
    [
      'test ignores key order',
      { a: { x: 1, y: [2] } },
      [{ op: 'test', path: '/a', value: { y: [2], x: 1.0 } }],
      { a: { x: 1, y: [2] } },
    ],
    ['no operation', { a: 1 }, [], { a: 1 }],
  ])('%s', (_, document, patch, expected) => {
    expect(apply(document, patch)).toEqual({ ok: true, value: expected });
  });

  it.each([
    ['an unknown operation', [{ op: 'merge', path: '/a', value: 1 }]],
    ['an inherited operation', [{ op: 'toString', path: '/a' }]],
    ['a pointer without a slash', [{ op: 'remove', path: 'a' }]],
    ['a bad escape', [{ op: 'remove', path: '/~2' }]],
    ['a leading zero', [{ op: 'remove', path: '/list/00' }]],
    ['a negative index', [{ op: 'remove', path: '/list/-1' }]],
    ['the end, to remove', [{ op: 'remove', path: '/list/-' }]],
    ['beyond the end', [{ op: 'add', path: '/list/4', value: 1 }]],
    ['a member of a text', [{ op: 'add', path: '/a/length', value: 1 }]],
    ['nothing to replace', [{ op: 'replace', path: '/b', value: 1 }]],
    ['an inherited member', [{ op: 'copy', from: '/toString', path: '/b' }]],
    ['an array method', [{ op: 'copy', from: '/list/length', path: '/b' }]],
    ['__proto__', [{ op: 'add', path: '/__proto__/polluted', value: true }]],
    ['constructor', [{ op: 'add', path: '/constructor/prototype/polluted', value: true }]],
    ['removal of the whole', [{ op: 'remove', path: '' }]],
    ['a move into itself', [{ op: 'move', from: '/o', path: '/o/p' }]],
    ['a failing test', [{ op: 'test', path: '/a', value: 'b' }]],
    ['a test of nothing', [{ op: 'test', path: '/nothing', value: null }]],
  ])('422: %s', (_, patch) => {
    const result = apply({ a: 'text', list: [1, 2, 3], o: { p: 1 } }, patch);
    expect(result).toMatchObject({ ok: false, failure: { code: 'unprocessable' } });
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it.each([
    ['no array', { op: 'add' }],
    ['no object', ['add']],
    ['no path', [{ op: 'remove' }]],
    ['no value', [{ op: 'add', path: '/a' }]],
    ['no from', [{ op: 'move', path: '/a' }]],
    ['too many', Array.from({ length: 1001 }, () => ({ op: 'test', path: '', value: {} }))],
  ])('400: %s', (_, patch) => {
    expect(apply({}, patch)).toMatchObject({ ok: false, failure: { code: 'malformed' } });
  });

  it('says which operation failed and why', () => {
    const result = apply({ a: 1 }, [
      { op: 'test', path: '/a', value: 1 },
      { op: 'test', path: '/a', value: 2 },
    ]);
    expect(result).toEqual({
      ok: false,
      failure: { code: 'unprocessable', faults: [{ text: 'operation 1 (`test` `/a`): the test failed' }] },
    });
  });

  it('refuses a document that copies itself into itself', () => {
    const doubling = Array.from({ length: 60 }, (_, i) => ({ op: 'copy', from: '/a', path: `/a/k${i}` }));
    expect(apply({ a: { x: 1 } }, doubling)).toMatchObject({ ok: false, failure: { code: 'unprocessable' } });
  });

  it('refuses to nest deeper than a resource may', () => {
    const deeper = Array.from({ length: 70 }, () => ({ op: 'move', from: '/a', path: '/b' }));
    const nest = Array.from({ length: 70 }, (_, i) => ({ op: 'add', path: `${'/a'.repeat(i + 1)}`, value: {} }));
    expect(apply({}, nest)).toMatchObject({ ok: false, failure: { code: 'unprocessable' } });
    expect(apply({ a: 1 }, deeper.slice(0, 1))).toEqual({ ok: true, value: { b: 1 } });
  });

  it('keeps numbers as they are written', () => {
    const read = (text: string): Json => {
      const result = parseJson(text, JSON_LIMITS);
      if (!result.ok) throw new Error('not JSON');
      return result.value;
    };
    const result = applyJsonPatch(
      read('{"a":{"value":1.00},"list":[{"value":2.0}],"plain":{"x":1}}'),
      read(
        '[{"op":"add","path":"/list/0","value":{"value":3.10}},{"op":"replace","path":"/plain/x","value":4.0},{"op":"move","from":"/a","path":"/plain/a"}]',
      ),
    );
    expect(result.ok && stringify(result.value)).toBe(
      '{"list":[{"value":3.10},{"value":2.0}],"plain":{"x":4.0,"a":{"value":1.00}}}',
    );
  });
});

describe('laws', () => {
  const key = fc.constantFrom('a', 'b', '0', '1', '', '/', '~');
  const document = fc.letrec<{ node: Json }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<Json>(null, 0, 1, 'x', true),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(key, tie('node'), { maxKeys: 3 }),
    ),
  })).node;
  const pointer = fc
    .array(fc.oneof(key, fc.constant('-')), { maxLength: 3 })
    .map((tokens) => tokens.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''));
  const operation = fc.oneof(
    fc.record({ op: fc.constantFrom('add', 'replace', 'test'), path: pointer, value: document }),
    fc.record({ op: fc.constant('remove'), path: pointer }),
    fc.record({ op: fc.constantFrom('move', 'copy'), from: pointer, path: pointer }),
  );

  it('never changes its arguments', () => {
    fc.assert(
      fc.property(document, fc.array(operation, { maxLength: 4 }), (doc, patch) => {
        const before = JSON.stringify([doc, patch]);
        apply(doc, patch);
        expect(JSON.stringify([doc, patch])).toBe(before);
      }),
      { numRuns: 2000 },
    );
  });

  it('is all or nothing: a patch is its operations one after the other, and fails when one of them does', () => {
    fc.assert(
      fc.property(document, fc.array(operation, { maxLength: 4 }), (doc, patch) => {
        const whole = apply(doc, patch);
        let current: Json | undefined = doc;
        for (const one of patch) {
          const result: ReturnType<typeof apply> | undefined =
            current === undefined ? undefined : apply(current, [one]);
          current = result?.ok ? result.value : undefined;
        }
        expect(whole.ok).toBe(current !== undefined);
        if (whole.ok) expect(whole.value).toEqual(current);
      }),
      { numRuns: 2000 },
    );
  });

  it('an addition is there to test, and its removal gives back what was', () => {
    fc.assert(
      fc.property(document, pointer, document, (doc, path, value) => {
        fc.pre(path !== '' && !path.endsWith('-'));
        const had = apply(doc, [{ op: 'test', path, value: 'no such value' }]);
        const added = apply(doc, [{ op: 'add', path, value }]);
        if (!added.ok) return;
        expect(apply(added.value, [{ op: 'test', path, value }]).ok).toBe(true);
        const wasThere =
          !had.ok && had.failure.code === 'unprocessable' && had.failure.faults[0]!.text.endsWith('the test failed');
        const isIndex = /\/\d+$/.test(path);
        const removed = apply(added.value, [{ op: 'remove', path }]);
        expect(removed.ok).toBe(true);
        if (removed.ok && (isIndex ? Array.isArray(parentOf(doc, path)) || !wasThere : !wasThere))
          expect(sameJson(removed.value, doc)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  const parentOf = (doc: Json, path: string): Json | undefined => {
    let node: any = doc;
    for (const token of path.split('/').slice(1, -1)) node = node?.[token.replaceAll('~1', '/').replaceAll('~0', '~')];
    return node;
  };
});

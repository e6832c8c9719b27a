/** The log: no line can be forged, no terminal steered, no id and no query string gets in (security.md L-02 to L-04, N-08). */
import fc from 'fast-check';
import request from 'supertest';
import { describe, expect, test } from 'vitest';
import { createJsonLog, logLine } from '../../../server/adapters/log.ts';
import { json, raw, startEdge, TOKEN } from './edge.ts';

/** An edge that writes through the real log. */
const logging = async (options: Parameters<typeof startEdge>[0] = {}) => {
  let text = '';
  const log = createJsonLog((lines) => {
    text += lines;
  });
  const edge = await startEdge({ ...options, log });
  return {
    edge,
    lines: () => {
      log.flush();
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line));
    },
    text: () => {
      log.flush();
      return text;
    },
  };
};

describe('an exchange', () => {
  test('is one line', async () => {
    const { edge, lines } = await logging({ about: { callerKind: 'professional', clientId: 'app-1' } });
    await request(edge.server).get('/fhir/Patient/p1').set({ authorization: TOKEN, 'x-request-id': 'theirs' });
    expect(lines()).toEqual([
      {
        time: '2026-03-15T12:00:00.000Z',
        event: 'exchange',
        requestId: 'exchange-1',
        clientRequestId: 'theirs',
        method: 'GET',
        route: 'Patient/[id]',
        status: 200,
        durationMs: expect.any(Number),
        callerKind: 'professional',
        clientId: 'app-1',
      },
    ]);
  });

  test('that was not authenticated says why, and its answer does not', async () => {
    const { edge, lines } = await logging({
      about: { why: 'the token has expired' },
      answer: async () => json({ resourceType: 'OperationOutcome' }, 401),
    });
    const { text } = await request(edge.server).get('/fhir/Patient/p1').buffer(true);
    expect(lines()[0]).toMatchObject({ status: 401, why: 'the token has expired' });
    expect(text ?? '').not.toContain('expired');
  });

  test.each([
    ['/fhir/Patient/1850578006084?identifier=1850578006084', 'Patient/[id]'],
    ['/fhir/Patient/1850578006084/_history/1850578006084', 'Patient/[id]/_history/[vid]'],
    ['/fhir/Patient/1850578006084/DocumentReference', 'Patient/[id]/DocumentReference'],
    ['/fhir/Patient/x/$mask', 'Patient/[id]/$mask'],
    ['/fhir/Dupont/CANARY', '[type]/[id]'],
    ['/fhir/Patient/CANARY/$Dupont', 'Patient/[id]/$[operation]'],
    ['/fhir/Patient?name=Dupont', 'Patient'],
    ['/fhir/Dupont_CANARY/x', '-'],
    ['/Dupont', '-'],
    ['/fhir/metadata?x=Dupont', 'metadata'],
  ])('%s is logged as %s', async (path, route) => {
    const { edge, lines, text } = await logging();
    await request(edge.server).get(path).set({ authorization: 'Bearer CANARY.token', 'user-agent': 'CANARY' });
    expect(lines()[0].route).toBe(route);
    expect(text()).not.toMatch(/1850578006084|Dupont|CANARY/);
  });

  test('with a forged id stays one line', async () => {
    const { edge, text } = await logging();
    for (const id of ['a","status":200,"x":"', '\u001b[31mred', `{"event":"exchange"}`, 'x'.repeat(5000), 'é\u009b2J'])
      await raw(
        edge,
        Buffer.from(
          `GET /fhir/Patient/p1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: ${id}\r\nConnection: close\r\n\r\n`,
          'latin1',
        ),
      );
    const all = text().trimEnd().split('\n');
    const ids = all.map((line) => JSON.parse(line).clientRequestId).filter((id) => id !== undefined);
    for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9._:?-]{1,64}$/);
    expect(ids.length).toBeGreaterThanOrEqual(4);
  });
});

describe('a line', () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;

  test('is JSON on one line without a control character, and gives back what was logged', () => {
    const unit = fc.oneof(
      fc.constantFrom(0x0d, 0x0a, 0x1b, 0x22, 0x5c, 0x9b, 0x2028, 0x202e, 0),
      fc.integer({ min: 0, max: 0xffff }),
    );
    const nasty = fc.array(unit, { maxLength: 300 }).map((units) => String.fromCharCode(...units));
    fc.assert(
      fc.property(nasty, nasty, (why, clientId) => {
        const line = logLine({ why, clientId });
        expect(line.endsWith('\n')).toBe(true);
        expect(line.slice(0, -1)).not.toMatch(UNSAFE);
        expect(JSON.parse(line)).toEqual({ clientId: clientId.slice(0, 128), why: why.slice(0, 256) });
      }),
    );
  });

  test('has the fields of the list and no others', () => {
    expect(logLine({ patient: 'Dupont', authorization: 'Bearer x', status: 200, time: Number.NaN, method: 5 })).toBe(
      '{"status":200}\n',
    );
    expect(logLine({ url: 'x' })).toBe('');
  });
});

describe('the log', () => {
  test('gives the lines of one turn together, a stack at once', async () => {
    const written: string[] = [];
    const log = createJsonLog((text) => void written.push(text));
    log.write({ status: 1 });
    log.write({ status: 2 });
    expect(written).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(written).toEqual(['{"status":1}\n{"status":2}\n']);
    log.write({ status: 3, stack: 'at x' });
    expect(written.length).toBe(2);
  });

  test('survives a sink that fails', () => {
    const log = createJsonLog(() => {
      throw new Error('disk full');
    });
    log.write({ status: 1, stack: 'at x' });
    expect(() => log.flush()).not.toThrow();
  });
});

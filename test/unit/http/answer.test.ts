/** What goes out: headers of every answer, forms of JSON, discovery, streams that end early, faults, load and shutdown. */
import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import request from 'supertest';
import { describe, expect, test } from 'vitest';
import type { FhirResponse } from '../../../server/app/request.ts';
import { closeGracefully } from '../../../server/http/server.ts';
import { type Edge, FHIR, json, pieces, raw, said, startEdge, TOKEN, until } from './edge.ts';

const read = (edge: Edge, path = '/fhir/Patient/p1') => request(edge.server).get(path).set('authorization', TOKEN);

describe('headers', () => {
  test('of every answer, from the application or not', async () => {
    const edge = await startEdge();
    for (const path of ['/fhir/Patient/p1', '/elsewhere', '/fhir/Patient/%zz']) {
      const { headers } = await read(edge, path);
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        vary: 'Authorization, Accept, Prefer',
        'x-content-type-options': 'nosniff',
        'access-control-allow-origin': '*',
        'access-control-expose-headers':
          'Accept-Ranges, Content-Range, ETag, Location, Content-Location, Last-Modified, X-Request-Id',
      });
      expect(headers['x-request-id']).toMatch(/^exchange-\d$/);
      expect(headers['access-control-allow-credentials']).toBeUndefined();
      expect(headers['x-powered-by']).toBeUndefined();
    }
  });

  test('the application adds its own and cannot loosen those of the edge', async () => {
    const edge = await startEdge({
      answer: async () => ({
        ...json('{}', 201),
        headers: {
          'content-type': FHIR,
          etag: 'W/"1"',
          location: 'https://carnet.test/fhir/Patient/1',
          'cache-control': 'public',
        },
      }),
    });
    const { headers } = await read(edge);
    expect(headers).toMatchObject({
      etag: 'W/"1"',
      location: 'https://carnet.test/fhir/Patient/1',
      'cache-control': 'no-store',
    });
  });

  test("the client's own X-Request-Id is not ours", async () => {
    const edge = await startEdge();
    const { headers } = await read(edge).set('x-request-id', 'theirs');
    expect(headers['x-request-id']).toBe('exchange-1');
    expect(edge.seen[0]?.requestId).toBe('exchange-1');
  });

  test('HEAD: the headers of GET, no body', async () => {
    const edge = await startEdge({ answer: async () => json('{"a":"é"}') });
    const head = await raw(
      edge,
      `HEAD /fhir/Patient/p1 HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nConnection: close\r\n\r\n`,
    );
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).toMatch(/\r\nContent-Length: 10\r\n/);
    expect(head.endsWith('\r\n\r\n')).toBe(true);
    expect(edge.seen[0]?.method).toBe('HEAD');
  });

  test.each([204, 304])('%i: no body and no length of one', async (status) => {
    const edge = await startEdge({ answer: async () => ({ status, headers: { etag: 'W/"1"' }, body: undefined }) });
    const { headers, text } = await read(edge);
    expect(headers['content-length']).toBeUndefined();
    expect(headers['transfer-encoding']).toBeUndefined();
    expect(text ?? '').toBe('');
  });

  test('OPTIONS, on any address, the same', async () => {
    const edge = await startEdge();
    for (const path of ['/fhir/Patient/p1', '/fhir', '/fhir/metadata']) {
      const { status, headers } = await request(edge.server).options(path).set('origin', 'https://app.example');
      expect(status).toBe(204);
      expect(headers['allow']).toBe('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
      expect(headers['access-control-allow-methods']).toBe(headers['allow']);
      expect(headers['access-control-allow-headers']).toContain('Authorization');
    }
    expect(edge.seen).toEqual([]);
  });
});

describe('forms of JSON and XML', () => {
  test.each([
    [undefined, FHIR],
    ['*/*', FHIR],
    [`${FHIR};fhirVersion=4.0`, FHIR],
    ['application/json', 'application/json'],
    ['text/html, application/xml;q=0.9, */*;q=0.8', 'application/xml'],
    ['application/fhir+xml;q=0.1, application/json', 'application/json'],
    ['application/fhir+json, application/fhir+xml', FHIR],
    ['application/fhir+xml, application/fhir+json;q=0.9', 'application/fhir+xml'],
    ['application/fhir+xml; fhirVersion=4.0, */*;q=0.1', 'application/fhir+xml'],
    ['text/xml', 'text/xml'],
    ['application/fhir+json;q=0, */*', 'application/json'],
    ['application/json, text/plain, */*', FHIR],
    ['text/json', 'text/json'],
  ])('Accept: %s', async (accept, form) => {
    const edge = await startEdge();
    const call = read(edge);
    const { status, headers } = await (accept === undefined ? call.unset('accept') : call.set('accept', accept));
    expect(status).toBe(200);
    expect(headers['content-type']).toBe(`${form}; charset=utf-8`);
  });

  test.each([
    ['json', FHIR],
    ['application/fhir+json', FHIR],
    ['application%2Ffhir%2Bjson', FHIR],
    ['application/json', 'application/json'],
    ['xml', 'application/fhir+xml'],
    ['application/fhir+xml', 'application/fhir+xml'],
    ['application%2Fxml', 'application/xml'],
    ['text/xml', 'text/xml'],
  ])('_format=%s beats Accept', async (format, form) => {
    const edge = await startEdge();
    const { status, headers } = await read(edge, `/fhir/Patient?_format=${format}`).set(
      'accept',
      format.includes('xml') ? 'application/json' : 'application/fhir+xml',
    );
    expect([status, headers['content-type']]).toEqual([200, `${form}; charset=utf-8`]);
    const plain = format.includes('xml') ? 'application/fhir+xml' : FHIR;
    expect(edge.seen[0]?.query).toEqual([['_format', plain]]);
  });

  test('_pretty keeps every token as it is', async () => {
    const text = '{"a":[],"b":{},"c":[1.00,"x, {y}: \\" z"],"d":{"e":null}}';
    const edge = await startEdge({ answer: async () => json(text) });
    const answer = await read(edge, '/fhir/Patient/p1?_pretty=true');
    expect(answer.text).toBe(
      '{\n  "a": [],\n  "b": {},\n  "c": [\n    1.00,\n    "x, {y}: \\" z"\n  ],\n  "d": {\n    "e": null\n  }\n}',
    );
    expect((await read(edge)).text).toBe(text);
  });

  test('content of a Binary: Accept is the application’s to judge', async () => {
    const edge = await startEdge();
    await read(edge, '/fhir/Binary/b1').set('accept', 'application/pdf').expect(200);
    expect(edge.seen[0]?.headers['accept']).toBe('application/pdf');
    await read(edge, '/fhir/Binary/b1').set('accept', 'application/fhir+xml').expect(200);
    await read(edge, '/fhir/Binary').set('accept', 'application/pdf').expect(406);
  });
});

describe('capability and discovery', () => {
  test('metadata: open, cacheable, with its entity tag', async () => {
    const edge = await startEdge();
    const { status, headers, body } = await request(edge.server).get('/fhir/metadata?mode=full');
    expect(status).toBe(200);
    expect(body.resourceType).toBe('CapabilityStatement');
    expect(headers).toMatchObject({ etag: 'W/"m1"', 'cache-control': 'public, max-age=300', vary: 'Accept' });
    await request(edge.server).get('/fhir/metadata').set('if-none-match', '"x", "m1"').expect(304);
    await request(edge.server).get('/fhir/metadata').set('accept', 'application/pdf').expect(406);
    const inXml = await request(edge.server).get('/fhir/metadata?_format=xml');
    expect(inXml.text).toBe(
      '<?xml version="1.0" encoding="UTF-8"?><CapabilityStatement xmlns="http://hl7.org/fhir"></CapabilityStatement>',
    );
    await request(edge.server).head('/fhir/metadata').expect(200);
  });

  test.each(['/fhir/.well-known/smart-configuration', '/.well-known/smart-configuration'])(
    '%s: JSON whatever Accept says',
    async (path) => {
      const edge = await startEdge({ authorizationServer: { issuer: 'https://issuer.example' } });
      const { status, headers, body } = await request(edge.server).get(path).set('accept', 'application/fhir+xml');
      expect(status).toBe(200);
      expect(headers['content-type']).toBe('application/json');
      expect(body).toMatchObject({ issuer: 'https://issuer.example', code_challenge_methods_supported: ['S256'] });
      expect(body.scopes_supported).toContain('patient/DocumentReference.cruds');
      // An endpoint that is not known is not invented.
      expect(Object.keys(body).filter((key) => key.endsWith('_endpoint'))).toEqual([]);
    },
  );

  test('the endpoints of a known authorization server', async () => {
    const edge = await startEdge({
      authorizationServer: {
        tokenEndpoint: 'https://as.example/token',
        authorizationEndpoint: 'https://as.example/auth',
      },
    });
    const { body } = await request(edge.server).get('/.well-known/smart-configuration');
    expect(body).toMatchObject({
      token_endpoint: 'https://as.example/token',
      authorization_endpoint: 'https://as.example/auth',
    });
    expect(body).not.toHaveProperty('issuer');
  });
});

const content = (body: FhirResponse['body'], more: Readonly<Record<string, string>> = {}): FhirResponse => ({
  status: 200,
  headers: { 'content-type': 'text/html', ...more },
  body,
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const open = (edge: Edge, path = '/fhir/Binary/b1'): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    httpGet({ port: edge.port, path, headers: { authorization: TOKEN } }, resolve).on('error', reject);
  });

describe('streams', () => {
  test('content goes out as it is, and no browser runs it', async () => {
    const edge = await startEdge({ answer: async () => content(pieces('<script>', 'x')) });
    const { text, headers } = await read(edge, '/fhir/Binary/b1');
    expect(text).toBe('<script>x');
    expect(headers).toMatchObject({
      'content-type': 'text/html',
      'content-security-policy': "default-src 'none'; sandbox",
      'content-disposition': 'attachment',
      'x-content-type-options': 'nosniff',
      'transfer-encoding': 'chunked',
    });
  });

  test('a failure before the first piece is an answer of its own', async () => {
    const edge = await startEdge({
      answer: async () =>
        content(
          (async function* () {
            throw Object.assign(new Error('secret text'), { code: 'unavailable' });
            // biome-ignore lint/correctness/noUnreachable: what makes it a generator
            yield new Uint8Array();
          })(),
        ),
    });
    const { status, headers } = await read(edge, '/fhir/Binary/b1');
    expect([status, headers['retry-after']]).toEqual([503, '5']);
  });

  test.each([{}, { 'content-length': '100000' }])('a failure in the middle cuts the connection (%o)', async (more) => {
    const edge = await startEdge({
      answer: async () =>
        content(
          (async function* () {
            yield new Uint8Array(50_000);
            await pause(50);
            throw new Error('revoked');
          })(),
          more,
        ),
    });
    const answer = await open(edge);
    const [error] = await Promise.all([once(answer, 'error'), answer.resume()]);
    expect(error[0].code).toBe('ECONNRESET');
    expect(answer.complete).toBe(false);
    await until(() => edge.lines.length === 2);
    expect(edge.lines).toMatchObject([{ event: 'fault' }, { event: 'exchange', status: 499 }]);
  });

  test('fewer bytes than announced are no answer', async () => {
    const edge = await startEdge({
      answer: async () =>
        content(
          (async function* () {
            yield Buffer.from('abc');
            await pause(50);
          })(),
          { 'content-length': '10' },
        ),
    });
    const answer = await open(edge);
    await Promise.all([once(answer, 'error'), answer.resume()]);
    expect(answer.complete).toBe(false);
  });

  test('a client that leaves stops the stream', async () => {
    let produced = 0;
    let stopped = false;
    const edge = await startEdge({
      answer: async () =>
        content(
          (async function* () {
            try {
              for (;;) {
                produced += 1;
                yield new Uint8Array(65_536);
              }
            } finally {
              stopped = true;
            }
          })(),
        ),
    });
    const answer = await open(edge);
    await once(answer, 'readable');
    // Nobody reads: back-pressure holds the stream after what sockets take.
    await pause(150);
    const before = produced;
    await pause(100);
    expect(produced).toBe(before);
    expect(before).toBeLessThan(500);
    answer.destroy();
    await until(() => stopped && edge.lines.length > 0);
    expect(stopped).toBe(true);
    expect(edge.lines).toMatchObject([{ event: 'exchange', status: 499 }]);
  });

  test('64 MB go out, never more under way than sockets hold', async () => {
    const piece = new Uint8Array(65_536);
    let produced = 0;
    const edge = await startEdge({
      answer: async () =>
        content(
          (async function* () {
            for (let i = 0; i < 1024; i += 1) {
              produced += piece.length;
              yield piece;
            }
          })(),
        ),
    });
    let size = 0;
    let underWay = 0;
    for await (const chunk of await open(edge)) {
      if (size % 1_048_576 < chunk.length) await pause(1);
      underWay = Math.max(underWay, produced - size);
      size += chunk.length;
    }
    expect(size).toBe(67_108_864);
    expect(underWay).toBeLessThan(16_000_000);
  });
});

describe('faults', () => {
  test('a bug: 500 with the request id, the place in the log, no message anywhere', async () => {
    const edge = await startEdge({
      answer: async () => {
        throw new Error('Dupont\n    at secret (/x:1:1)', { cause: new TypeError('CANARY') });
      },
    });
    const { status, body } = await read(edge)
      .buffer(true)
      .parse((r, done) => {
        let text = '';
        r.on('data', (c: Buffer) => {
          text += c;
        });
        r.on('end', () => done(null, JSON.parse(text)));
      });
    expect(status).toBe(500);
    expect(body.issue).toEqual([
      { severity: 'error', code: 'exception', details: { text: 'internal error' }, diagnostics: 'exchange-1' },
    ]);
    const [fault] = edge.lines;
    expect(fault).toMatchObject({ event: 'fault', requestId: 'exchange-1', error: 'Error, because of TypeError' });
    expect((fault as any).stack).toMatch(/^ {4}at .*answer\.test\.ts/);
    expect(JSON.stringify(edge.lines)).not.toMatch(/Dupont|CANARY|secret/);
  });

  test('a store that is not there: 503, and when to come back', async () => {
    const edge = await startEdge({
      answer: async () => {
        throw Object.assign(new Error('disk'), { code: 'unavailable' });
      },
    });
    const { status, headers } = await read(edge);
    expect([status, headers['retry-after']]).toEqual([503, '5']);
  });

  test('a header that cannot be sent is a 500, not a hanging connection', async () => {
    const edge = await startEdge({ answer: async () => ({ status: 200, headers: { etag: 'a\r\nb: c' }, body: 'x' }) });
    expect((await read(edge)).status).toBe(500);
  });
});

describe('load and shutdown', () => {
  /** An application that answers when told to. */
  const gate = () => {
    const waiting: (() => void)[] = [];
    return {
      waiting,
      answer: () =>
        new Promise<FhirResponse>((resolve) => waiting.push(() => resolve(json('{"resourceType":"Patient"}')))),
    };
  };

  test('more exchanges than allowed: 503 at once, and again room when one ends', async () => {
    const { waiting, answer } = gate();
    const edge = await startEdge({ limits: { maxInFlight: 2 }, answer });
    const both = [read(edge).then((a) => a.status), read(edge).then((a) => a.status)];
    await until(() => waiting.length === 2);
    const third = await read(edge);
    expect([third.status, third.headers['retry-after']]).toEqual([503, '1']);
    for (const go of waiting) go();
    expect(await Promise.all(both)).toEqual([200, 200]);
    const last = read(edge).then((a) => a.status);
    await until(() => waiting.length === 3);
    waiting[2]?.();
    expect(await last).toBe(200);
  });

  test('shutdown: what runs is finished, nothing new is taken', async () => {
    const { waiting, answer } = gate();
    const edge = await startEdge({ answer });
    const running = raw(edge, `GET /fhir/Patient/p1 HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\n\r\n`);
    await until(() => waiting.length === 1);
    const closed = closeGracefully(edge.server, 5_000);
    await expect(once(connect(edge.port, '127.0.0.1'), 'connect')).rejects.toThrow(/ECONNREFUSED/);
    waiting[0]?.();
    expect(await running).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*\r\nConnection: close\r\n/);
    await closed;
  });

  test('shutdown: what does not end is cut after the grace', async () => {
    const { waiting, answer } = gate();
    const edge = await startEdge({ answer });
    const running = raw(edge, `GET /fhir/Patient/p1 HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\n\r\n`);
    await until(() => waiting.length === 1);
    await closeGracefully(edge.server, 50);
    expect(await running).toBe('');
  });

  test('a client that leaves in the middle of its body reaches nobody', async () => {
    const edge = await startEdge();
    const socket = connect(edge.port, '127.0.0.1');
    socket.write(
      `POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nContent-Type: ${FHIR}\r\nContent-Length: 50\r\n\r\n{`,
    );
    await pause(50);
    socket.destroy();
    await until(() => edge.lines.length > 0);
    expect(edge.lines).toMatchObject([{ event: 'exchange', status: 499, route: 'Patient' }]);
    expect(edge.seen).toEqual([]);
  });

  test('the connection outlives a refusal', async () => {
    const edge = await startEdge();
    const answer = await raw(
      edge,
      `POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc` +
        `GET /fhir/Patient/p1 HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 415', 'HTTP/1.1 200']);
    expect(said(JSON.parse(/\{"resourceType":"OperationOutcome".*?\}\}\]\}/.exec(answer)?.[0] ?? '{}'))).toMatch(
      /fhir\+json/,
    );
  });
});

/** Bad input at the door: each gets a 4xx OperationOutcome that names the fault, and nothing of it reaches the application. */
import { gzipSync } from 'node:zlib';
import request from 'supertest';
import { describe, expect, test } from 'vitest';
import { FHIR, json, raw, said, startEdge, TOKEN } from './edge.ts';

type Bad = {
  readonly name: string;
  readonly method?: 'get' | 'post' | 'put' | 'patch';
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly status: number;
  readonly text: RegExp;
};

const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

const BAD: readonly Bad[] = [
  { name: 'malformed JSON', body: '{"resourceType":', status: 400, text: /not valid JSON/ },
  { name: 'an empty text', body: ' ', status: 400, text: /not valid JSON/ },
  { name: 'deep nesting', body: nested(65), status: 400, text: /deeper than 64/ },
  { name: 'very deep nesting', body: '['.repeat(400_000), status: 400, text: /deeper than 64/ },
  {
    name: 'duplicate keys',
    body: '{"resourceType":"Patient","id":"a","id":"b"}',
    status: 400,
    text: /`id` stands twice/,
  },
  {
    name: '__proto__',
    body: '{"resourceType":"Patient","__proto__":{"x":1}}',
    status: 400,
    text: /`__proto__` is not/,
  },
  { name: 'constructor', body: '{"constructor":{"prototype":{}}}', status: 400, text: /`constructor` is not/ },
  { name: 'invalid UTF-8', body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), status: 400, text: /not valid UTF-8/ },
  { name: 'NUL', body: '{"a":"\\u0000"}', status: 400, text: /NUL/ },
  { name: 'oversized', body: `{"a":"${'x'.repeat(20_000)}"}`, status: 413, text: /more than 10000 bytes/ },
  {
    name: 'a media type that is none',
    headers: { 'content-type': 'json' },
    body: '{}',
    status: 415,
    text: /no media type/,
  },
  { name: 'text/plain', headers: { 'content-type': 'text/plain' }, body: '{}', status: 415, text: /fhir\+json/ },
  {
    name: 'an XML Patch',
    method: 'patch',
    path: '/fhir/Patient/p1',
    headers: { 'content-type': 'application/xml-patch+xml' },
    body: '<diff/>',
    status: 415,
    text: /json-patch\+json.*fhir\+json.*fhir\+xml/,
  },
  {
    name: 'XML in UTF-7',
    headers: { 'content-type': 'application/fhir+xml; charset=utf-7' },
    body: '+ADw-a/+AD4-',
    status: 415,
    text: /UTF-8/,
  },
  {
    name: 'a form outside a search',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'a=b',
    status: 415,
    text: /fhir\+json/,
  },
  {
    name: 'a JSON Patch that is no patch',
    headers: { 'content-type': 'application/json-patch+json' },
    body: '[]',
    status: 415,
    text: /fhir\+json/,
  },
  { name: 'JSON for a search', path: '/fhir/Patient/_search', body: '{}', status: 415, text: /urlencoded/ },
  {
    name: 'another charset',
    headers: { 'content-type': `${FHIR}; charset=latin1` },
    body: '{}',
    status: 415,
    text: /UTF-8/,
  },
  {
    name: 'another FHIR',
    headers: { 'content-type': `${FHIR}; fhirVersion=5.0` },
    body: '{}',
    status: 415,
    text: /4\.0/,
  },
  {
    name: 'gzip',
    headers: { 'content-encoding': 'gzip' },
    body: gzipSync('{"resourceType":"Patient"}'),
    status: 415,
    text: /compressed/,
  },
  { name: 'an unknown coding', headers: { 'content-encoding': 'br' }, body: '{}', status: 415, text: /compressed/ },
  {
    name: 'a page wanted',
    headers: { accept: 'text/html' },
    body: '{}',
    status: 406,
    text: /answers are/,
  },
  { name: 'Accept that excludes', method: 'get', headers: { accept: '*/*;q=0' }, status: 406, text: /answers are/ },
  {
    name: 'FHIR 5 wanted',
    method: 'get',
    headers: { accept: `${FHIR};fhirVersion=5.0` },
    status: 406,
    text: /answers are/,
  },
  {
    name: '_format beats Accept',
    method: 'get',
    path: '/fhir/Patient?_format=ttl',
    headers: { accept: FHIR },
    status: 406,
    text: /answers/,
  },
  {
    name: 'a broken escape in the path',
    method: 'get',
    path: '/fhir/Patient/%zz',
    status: 400,
    text: /path is not valid/,
  },
  {
    name: 'an overlong escape in the path',
    method: 'get',
    path: '/fhir/Patient/%c0%af',
    status: 400,
    text: /path is not valid/,
  },
  {
    name: 'a broken escape in the query',
    method: 'get',
    path: '/fhir/Patient?name=%',
    status: 400,
    text: /query is not valid/,
  },
  { name: 'NUL in the query', method: 'get', path: '/fhir/Patient?name=%00', status: 400, text: /NUL/ },
  {
    name: 'too many parameters',
    method: 'get',
    path: `/fhir/Patient?${'a&'.repeat(1001)}`,
    status: 400,
    text: /more than 1000/,
  },
  { name: 'a long address', method: 'get', path: `/fhir/Patient?a=${'x'.repeat(8200)}`, status: 414, text: /too long/ },
  { name: 'an unknown path', method: 'get', path: '/elsewhere', status: 404, text: /not found/ },
  { name: 'a path beside the base', method: 'get', path: '/fhirPatient/1', status: 404, text: /not found/ },
  { name: 'an empty segment', method: 'get', path: '/fhir//Patient', status: 404, text: /not found/ },
  { name: 'a type that is none', method: 'get', path: '/fhir/patient/1', status: 404, text: /not found/ },
  { name: 'an id that is none', method: 'get', path: '/fhir/Patient/a_b', status: 404, text: /not found/ },
  { name: 'an id with a slash', method: 'get', path: '/fhir/Patient/a%2Fb', status: 404, text: /not found/ },
  { name: 'an escaped way up', method: 'get', path: '/fhir/Patient/%2e%2e', status: 404, text: /not found/ },
  { name: 'a long id', method: 'get', path: `/fhir/Patient/${'a'.repeat(65)}`, status: 404, text: /not found/ },
  { name: 'an unknown mode', method: 'get', path: '/fhir/metadata?mode=all', status: 400, text: /`mode`/ },
  {
    name: 'a Binary in FHIR XML of another encoding',
    path: '/fhir/Binary',
    headers: { 'content-type': 'application/fhir+xml; charset=utf-16' },
    body: '<a/>',
    status: 415,
    text: /UTF-8/,
  },
];

describe('refused with an OperationOutcome', () => {
  test.each(BAD)('$name', async (bad) => {
    const edge = await startEdge({ limits: { maxBodyBytes: bad.name === 'very deep nesting' ? 1_000_000 : 10_000 } });
    const call = request(edge.server)
      [bad.method ?? 'post'](bad.path ?? '/fhir/Patient')
      .set({ authorization: TOKEN, 'content-type': FHIR, ...bad.headers });
    // Bytes as they are: Superagent would turn a text into JSON.
    if (bad.body !== undefined) call.serialize((sent) => sent).send(bad.body as string);
    const answer = await call;
    expect(answer.status).toBe(bad.status);
    expect(answer.headers['content-type']).toBe('application/fhir+json; charset=utf-8');
    const outcome = JSON.parse(answer.text ?? answer.body.toString());
    expect(outcome.resourceType).toBe('OperationOutcome');
    expect(said(outcome)).toMatch(bad.text);
    expect(answer.headers['x-request-id']).toBe('exchange-1');
    expect(edge.seen).toEqual([]);
  });

  test('a body in chunks that grows too large', async () => {
    const edge = await startEdge({ limits: { maxBodyBytes: 1000 } });
    const chunk = `200\r\n${'x'.repeat(512)}\r\n`;
    const answer = await raw(
      edge,
      `POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nContent-Type: ${FHIR}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunk.repeat(4)}0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('a body announced too large, before any of it is sent', async () => {
    const edge = await startEdge({ limits: { lingerMs: 50 } });
    const answer = await raw(
      edge,
      `POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nContent-Type: ${FHIR}\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('too many header fields, which Node would drop silently', async () => {
    const edge = await startEdge();
    const many = Array.from({ length: 120 }, (_, i) => `X-${i}: 1\r\n`).join('');
    const answer = await raw(edge, `GET /fhir/Patient HTTP/1.1\r\nHost: a\r\n${many}Connection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  test('header fields too large, and bytes that are no HTTP', async () => {
    const edge = await startEdge();
    expect(await raw(edge, `GET /fhir/Patient HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 [\s\S]*OperationOutcome/,
    );
    const noHttp = await raw(edge, 'hello\r\n\r\n');
    expect(noHttp).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*"code":"invalid"/);
    expect(noHttp).toContain('\r\nX-Request-Id: exchange-2\r\n');
    expect(edge.lines.map((line) => 'status' in line && line.status)).toEqual([431, 400]);
  });

  test.each([
    ['no Host', '', 400],
    ['an expectation that nobody knows', 'Host: a\r\nExpect: the-best\r\n', 200],
  ])('what Node would answer by itself: %s', async (_what, fields, status) => {
    const edge = await startEdge();
    const answer = await raw(
      edge,
      `GET /fhir/Patient HTTP/1.1\r\n${fields}Authorization: ${TOKEN}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*\\r\\nX-Request-Id: exchange-1\\r\\n`));
  });

  test('a coding of the transfer that is not undone', async () => {
    const edge = await startEdge({ limits: { lingerMs: 50 } });
    const answer = await raw(
      edge,
      `POST /fhir/Binary HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nContent-Type: text/plain\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 4(15|00) /);
    expect(edge.seen).toEqual([]);
  });

  test('a body that stops arriving: 408', async () => {
    const edge = await startEdge({ limits: { bodyIdleMs: 60, lingerMs: 60 } });
    const answer = await raw(
      edge,
      `POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nContent-Type: ${FHIR}\r\nContent-Length: 50\r\n\r\n{"a":`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('header fields that stop arriving: 408', async () => {
    const edge = await startEdge({ limits: { headersMs: 100 } });
    expect(await raw(edge, 'GET /fhir/Patient HTTP/1.1\r\nHost: a\r\n')).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('a method that FHIR does not have', async () => {
    const edge = await startEdge();
    const answer = await request(edge.server).trace('/fhir/Patient/1');
    expect(answer.status).toBe(405);
    expect(answer.headers['allow']).toContain('PATCH');
    expect((await request(edge.server).post('/fhir/metadata')).status).toBe(405);
  });
});

describe('what reaches the application', () => {
  test('segments and parameters, decoded, in order, repeated names repeated', async () => {
    const edge = await startEdge();
    await request(edge.server)
      .get('/fhir/Patient?name=a+b&name=%C3%A9&identifier[$ne]=1&__proto__=x&&flag&a=b=c')
      .set('authorization', TOKEN);
    expect(edge.seen[0]).toMatchObject({ method: 'GET', path: ['Patient'], body: { kind: 'none' }, bearer: 'a.b.c' });
    expect(edge.seen[0]?.query).toEqual([
      ['name', 'a b'],
      ['name', 'é'],
      ['identifier[$ne]', '1'],
      ['__proto__', 'x'],
      ['flag', ''],
      ['a', 'b=c'],
    ]);
  });

  test.each(['', '/'])('the base itself, with `%s` behind it', async (end) => {
    const edge = await startEdge();
    await request(edge.server)
      .post(`/fhir${end}`)
      .set({ authorization: TOKEN, 'content-type': FHIR })
      .send('{"resourceType":"Bundle"}');
    expect(edge.seen[0]?.path).toEqual([]);
    expect(edge.seen[0]?.body).toEqual({ kind: 'json', value: { resourceType: 'Bundle' }, mediaType: FHIR });
  });

  test.each([
    ['/fhir/Patient/p1', ['Patient', 'p1']],
    ['/fhir/Patient/p%31/_history/v.2', ['Patient', 'p1', '_history', 'v.2']],
    ['/fhir/Patient/p1/$everything', ['Patient', 'p1', '$everything']],
    ['/fhir/Patient/p1/DocumentReference', ['Patient', 'p1', 'DocumentReference']],
    ['/fhir/_history', ['_history']],
  ])('%s', async (path, expected) => {
    const edge = await startEdge();
    await request(edge.server).get(path).set('authorization', TOKEN).expect(200);
    expect(edge.seen[0]?.path).toEqual(expected);
  });

  test('a form is appended to the query string', async () => {
    const edge = await startEdge();
    await request(edge.server)
      .post('/fhir/Patient/_search?name=a')
      .set({ authorization: TOKEN, 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' })
      .send('birthdate=2000&name=b%20c')
      .expect(200);
    expect(edge.seen[0]?.query).toEqual([
      ['name', 'a'],
      ['birthdate', '2000'],
      ['name', 'b c'],
    ]);
  });

  test('a JSON Patch', async () => {
    const edge = await startEdge();
    await request(edge.server)
      .patch('/fhir/Patient/p1')
      .set({ authorization: TOKEN, 'content-type': 'application/json-patch+json' })
      .send('[]')
      .expect(200);
    expect(edge.seen[0]?.body).toEqual({ kind: 'json', value: [], mediaType: 'application/json-patch+json' });
  });

  test('without a token nothing of a body is read, not even to refuse it', async () => {
    const edge = await startEdge({ answer: async () => json({ resourceType: 'OperationOutcome' }, 401) });
    const answer = await request(edge.server).post('/fhir/Patient').set('content-type', FHIR).send('{"broken');
    expect(answer.status).toBe(401);
    expect(edge.seen[0]).toMatchObject({ bearer: undefined, body: { kind: 'none' } });
  });

  test('nor with one that is refused', async () => {
    const refusal = { response: json({ resourceType: 'OperationOutcome' }, 401), why: 'it has expired' };
    const edge = await startEdge({ refuse: async (bearer) => (bearer === 'a.b.c' ? refusal : undefined) });
    const post = (type: string) =>
      request(edge.server).post('/fhir/Patient').set({ authorization: TOKEN, 'content-type': type }).send('{"broken');
    expect([(await post(FHIR)).status, (await post('image/png')).status]).toEqual([401, 401]);
    expect(edge.seen).toEqual([]);
    expect(edge.lines[0]).toMatchObject({ status: 401, why: 'it has expired' });
  });

  test.each([
    ['Bearer abc', 'abc'],
    ['bearer  abc==', 'abc=='],
    ['Basic abc', undefined],
    ['Bearer a b', undefined],
    ['Bearer', undefined],
    ['Bearer a, Bearer b', undefined],
  ])('Authorization: %s', async (authorization, bearer) => {
    const edge = await startEdge();
    await request(edge.server).get('/fhir/Patient/p1').set('authorization', authorization);
    expect(edge.seen[0]?.bearer).toBe(bearer);
  });

  test('two Authorization fields are none', async () => {
    const edge = await startEdge();
    await raw(
      edge,
      'GET /fhir/Patient/p1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nAuthorization: Bearer evil\r\nConnection: close\r\n\r\n',
    );
    expect(edge.seen[0]?.bearer).toBeUndefined();
  });

  test('a go-ahead for a body that is wanted', async () => {
    const edge = await startEdge();
    const answer = await raw(
      edge,
      `POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: ${TOKEN}\r\nContent-Type: ${FHIR}\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n{}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  });
});

describe('address of the client', () => {
  const forwarded = (trustProxy: readonly string[], header: string) => async () => {
    const edge = await startEdge({ trustProxy });
    await request(edge.server).get('/fhir/Patient/p1').set('x-forwarded-for', header);
    return edge.seen[0]?.address;
  };
  test('is the peer, whatever is forwarded', async () => {
    expect(await forwarded([], '9.9.9.9')()).toBe('127.0.0.1');
    expect(await forwarded(['10.0.0.0/8'], '9.9.9.9')()).toBe('127.0.0.1');
  });
  test('behind a declared proxy: the last address that is not a proxy', async () => {
    expect(await forwarded(['127.0.0.1'], '6.6.6.6, 9.9.9.9')()).toBe('9.9.9.9');
    expect(await forwarded(['127.0.0.0/8', '10.0.0.0/8'], '6.6.6.6, 9.9.9.9, 10.1.1.1')()).toBe('9.9.9.9');
    expect(await forwarded(['127.0.0.1'], 'junk\t')()).toBe('127.0.0.1');
  });
  test('a proxy that is no address stops the start', async () => {
    await expect(startEdge({ trustProxy: ['proxy.example'] })).rejects.toThrow('`proxy.example` is neither');
  });
});

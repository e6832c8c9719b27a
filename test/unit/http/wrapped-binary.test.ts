/** A Binary in JSON, streamed: the same bytes whatever the pieces, the same strictness as for any other JSON. */
import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import fc from 'fast-check';
import request from 'supertest';
import { describe, expect, test } from 'vitest';
import type { RequestBody } from '../../../server/app/request.ts';
import { BodyRefused } from '../../../server/http/body.ts';
import { unwrapBinary, wrappedBinary } from '../../../server/http/wrapped-binary.ts';
import { FHIR, json, pieces, startEdge, TOKEN } from './edge.ts';

const collect = async (source: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const all: Uint8Array[] = [];
  for await (const piece of source) all.push(piece);
  return Buffer.concat(all);
};

/** Cuts a text into pieces of `size` bytes. */
const cutInto = (text: string | Buffer, size: number): AsyncGenerator<Buffer> => {
  const bytes = Buffer.from(text as string);
  return pieces(
    ...Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size)),
  );
};

const unwrap = async (text: string | Buffer, size = 7) => {
  const { source, contentType } = unwrapBinary(cutInto(text, size));
  return { content: await collect(source), contentType: await contentType };
};

/** Status and text of a refusal. */
const refusal = async (text: string | Buffer): Promise<string> => {
  try {
    await unwrap(text);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof BodyRefused)) throw error;
    const issue = JSON.parse(String(error.reply.body)).issue[0];
    return `${error.reply.status} ${issue.details.text}`;
  }
};

describe('inbound', () => {
  test.each([
    ['data last', '{"resourceType":"Binary","contentType":"text/plain","data":"aGVsbG8="}'],
    ['data first', '{"data":"aGVsbG8=","contentType":"text/plain","resourceType":"Binary"}'],
    ['blanks', ' {\n "resourceType" : "Binary" , "data" : "aGVs\\r\\nbG8=" ,\t"contentType" : "text/plain" } \n'],
    ['escapes', '{"resourceType":"Binary","data":"aGVsbG8\\u003d","contentType":"text\\/plain"}'],
    [
      'elements of the server',
      '{"resourceType":"Binary","id":"x","meta":{"data":"no","tag":[{"code":"data"}]},"contentType":"text/plain","data":"aGVsbG8="}',
    ],
    ['a byte order mark', '\ufeff{"resourceType":"Binary","contentType":"text/plain","data":"aGVsbG8="}'],
  ])('%s', async (_name, text) => {
    for (const size of [1, 2, 3, 5, 1000]) {
      const { content, contentType } = await unwrap(text, size);
      expect([content.toString(), contentType]).toEqual(['hello', 'text/plain']);
    }
  });

  test('a slash and a plus, escaped', async () => {
    const { content } = await unwrap('{"resourceType":"Binary","data":"\\/\\/\\u002B\\u002b","contentType":"a/b"}', 1);
    expect(content).toEqual(Buffer.from('//++', 'base64'));
  });

  test('no data is no content', async () => {
    expect(await unwrap('{"resourceType":"Binary","contentType":"a/b"}')).toEqual({
      content: Buffer.alloc(0),
      contentType: 'a/b',
    });
  });

  const binary = (data: string): string => `{"resourceType":"Binary","contentType":"a/b","data":${data}}`;
  test.each([
    ['a character that is none', binary('"aGVs*G8="'), '400 the content is not valid base64'],
    ['URL-safe base64', binary('"__--"'), '400 the content is not valid base64'],
    ['a group cut short', binary('"aGVsbG8"'), '400 the content is not valid base64'],
    ['padding in the middle', binary('"aG==aGVs"'), '400 the content is not valid base64'],
    ['too much padding', binary('"a==="'), '400 the content is not valid base64'],
    ['padding alone', binary('"===="'), '400 the content is not valid base64'],
    ['a foreign escape', binary('"aGVs\\u0411G8="'), '400 the content is not valid base64'],
    ['a line break that is not escaped', binary('"aGVs\nbG8="'), '400 a text contains a control character'],
    ['an empty text', binary('""'), '400 a text must not be empty'],
    ['a number', binary('1'), '400 `data` is not a plain text'],
    ['null', binary('null'), '400 `data` is not a plain text'],
    ['an array', binary('["aGVsbG8="]'), '400 `data` is not a plain text'],
    [
      'a name in disguise',
      '{"resourceType":"Binary","contentType":"a/b","d\\u0061ta":"aGVsbG8="}',
      '400 `data` is not a plain text',
    ],
    [
      'data twice',
      '{"resourceType":"Binary","data":"aGVs","contentType":"a/b","data":"aGVs"}',
      '400 the key `data` stands twice in one object at line 1 column',
    ],
    [
      'data twice, once in disguise',
      '{"resourceType":"Binary","data":"aGVs","contentType":"a/b","d\\u0061ta":"aGVs"}',
      '400 the key `data` stands twice in one object at line 1 column',
    ],
    [
      'another key twice',
      '{"resourceType":"Binary","contentType":"a/b","contentType":"c/d"}',
      '400 the key `contentType` stands twice in one object at line 1 column 46',
    ],
    [
      '__proto__',
      '{"resourceType":"Binary","contentType":"a/b","meta":{"__proto__":{}}}',
      '400 the key `__proto__` is not accepted',
    ],
    ['text behind', `${binary('"aGVs"')}{}`, '400 the body is not valid JSON at line 1 column 56'],
    ['cut within the content', binary('"aGVs').slice(0, -1), '400 the body is not valid JSON'],
    ['cut behind the content', binary('"aGVs"').slice(0, -1), '400 the body is not valid JSON at line 1 column 55'],
    ['an array of them', `[${binary('"aGVs"')}]`, '400 the body is not a Binary'],
    ['another type', '{"resourceType":"Patient","contentType":"a/b"}', '400 the body is not a Binary'],
    ['nothing', ' ', '400 the body is not valid JSON'],
    [
      'invalid UTF-8',
      Buffer.from('{"resourceType":"Binary","contentType":"\xff"}', 'latin1'),
      '400 the body is not valid UTF-8',
    ],
    [
      'no type of the content',
      '{"resourceType":"Binary","data":"aGVs"}',
      '422 a Binary has one `contentType`, a media type',
    ],
    [
      'a type with a line break',
      '{"resourceType":"Binary","contentType":"a/b\\r\\nX: y"}',
      '422 a Binary has one `contentType`, a media type',
    ],
    [
      'an element that changes the meaning',
      '{"resourceType":"Binary","contentType":"a/b","implicitRules":"u:r"}',
      '422 the element `implicitRules` is not accepted',
    ],
    [
      'more than a Binary needs',
      `{"resourceType":"Binary","contentType":"a/b","meta":{"x":"${'y'.repeat(70_000)}"}}`,
      '413 a Binary has at most 65536 bytes beside its `data`',
    ],
  ])('refused: %s', async (_name, text, expected) => {
    const said = await refusal(text);
    expect(said.startsWith(expected) ? expected : said).toBe(expected);
  });

  test('any content, in any pieces, comes back as it was', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 50 }),
        async (bytes, out, back) => {
          const text = await collect(
            wrappedBinary({ resourceType: 'Binary', contentType: 'a/b' }, cutInto(Buffer.from(bytes), out)),
          );
          expect(JSON.parse(text.toString())).toEqual({
            resourceType: 'Binary',
            contentType: 'a/b',
            data: Buffer.from(bytes).toString('base64'),
          });
          expect((await unwrap(text, back)).content.equals(Buffer.from(bytes))).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('where the strict parser refuses or accepts a text, so does the stream', async () => {
    const mutation = fc.record({
      at: fc.nat(60),
      insert: fc.constantFrom('"', '\\', '{', '}', ',', ':', '[', 'A', '=', ' ', '\n', '\\u0041'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { maxLength: 2 }), async (mutations) => {
        let text = '{"resourceType":"Binary","contentType":"a/b","data":"aGVs"}';
        for (const { at, insert } of mutations) text = text.slice(0, at) + insert + text.slice(at);
        let expected: string | undefined;
        try {
          const parsed = JSON.parse(text);
          const known = Object.keys(parsed).every((key) => ['resourceType', 'contentType', 'data'].includes(key));
          const data = String(parsed.data ?? '').replace(/[ \t\r\n]/g, '');
          const valid = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(data);
          if (parsed.resourceType === 'Binary' && known && valid && /^[^ ]+\/[^ ]+$/.test(parsed.contentType))
            expected = Buffer.from(data, 'base64').toString('hex');
        } catch {}
        const found = await unwrap(text).then(
          ({ content }) => content.toString('hex'),
          () => undefined,
        );
        if (expected === undefined) expect(found).toBeUndefined();
        else if (found !== undefined) expect(found).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  test('a source that is left early settles the type', async () => {
    const { source, contentType } = unwrapBinary(
      cutInto('{"resourceType":"Binary","data":"aGVsbG8=","contentType":"a/b"}', 45),
    );
    for await (const _piece of source) break;
    await expect(contentType).rejects.toThrow('not read to its end');
  });
});

describe('outbound', () => {
  test('no content: no data', async () => {
    const text = await collect(wrappedBinary({ id: 'b', contentType: 'a/b' }, pieces()));
    expect(JSON.parse(text.toString())).toEqual({ resourceType: 'Binary', id: 'b', contentType: 'a/b' });
  });
});

describe('on the wire', () => {
  /** An application that keeps a digest of what it gets. */
  const digesting = async () => {
    const got: { size: number; digest: string; type: string; wrapped: boolean; largest: number }[] = [];
    const progress = { consumed: 0 };
    const edge = await startEdge({
      limits: { maxBinaryBytes: 80_000_000 },
      answer: async ({ body }) => {
        const { source, contentType, wrapped } = body as Extract<RequestBody, { kind: 'bytes' }>;
        const hash = createHash('sha1');
        let size = 0;
        let largest = 0;
        for await (const piece of source) {
          hash.update(piece);
          size += piece.length;
          largest = Math.max(largest, piece.length);
          progress.consumed = size;
          // A store is slower than a socket.
          if (size % 1_048_576 < piece.length) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        got.push({ size, digest: hash.digest('hex'), type: await contentType, wrapped, largest });
        return json('{}', 201);
      },
    });
    return { edge, got, progress };
  };

  test('raw content of any type', async () => {
    const { edge, got } = await digesting();
    const send = (type: string) =>
      request(edge.server)
        .post('/fhir/Binary')
        .set({ authorization: TOKEN, 'content-type': type })
        .serialize((sent) => sent)
        .send('hello');
    for (const type of ['text/plain; charset=latin1', 'application/json', 'application/x-www-form-urlencoded'])
      await send(type).expect(201);
    expect(got.map(({ type, wrapped, size }) => [type, wrapped, size])).toEqual([
      ['text/plain; charset=latin1', false, 5],
      ['application/json', false, 5],
      ['application/x-www-form-urlencoded', false, 5],
    ]);
  });

  test('what is wrong at the very end is still a 400', async () => {
    const { edge, got } = await digesting();
    await request(edge.server)
      .post('/fhir/Binary')
      .set({ authorization: TOKEN, 'content-type': FHIR })
      .serialize((sent) => sent)
      .send('{"resourceType":"Binary","contentType":"a/b","data":"aGVs"')
      .expect(400);
    expect(got).toEqual([]);
  });

  test('content larger than allowed: 413, announced or not', async () => {
    const edge = await startEdge({
      limits: { maxBinaryBytes: 1000 },
      answer: async ({ body }) => {
        if (body.kind === 'bytes') await collect(body.source);
        return json('{}', 201);
      },
    });
    const headers = { authorization: TOKEN, 'content-type': 'a/b' };
    await request(edge.server)
      .post('/fhir/Binary')
      .set(headers)
      .serialize((sent) => sent)
      .send('x'.repeat(1001))
      .expect(413);
    const chunked = request(edge.server)
      .post('/fhir/Binary')
      .set({ ...headers, 'transfer-encoding': 'chunked' });
    chunked.write('x'.repeat(600));
    chunked.write('x'.repeat(600));
    await chunked.expect(413);
    await request(edge.server)
      .post('/fhir/Binary')
      .set(headers)
      .serialize((sent) => sent)
      .send('x'.repeat(1000))
      .expect(201);
  });

  test('64 MB in JSON come in, never more under way than sockets hold', async () => {
    const { edge, got, progress } = await digesting();
    const piece = randomBytes(65_536);
    const expected = createHash('sha1');
    let underWay = 0;
    async function* content(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 1024; i += 1) {
        expected.update(piece);
        underWay = Math.max(underWay, i * piece.length - progress.consumed);
        yield piece;
      }
    }
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = httpRequest(
        {
          port: edge.port,
          method: 'POST',
          path: '/fhir/Binary',
          headers: { authorization: TOKEN, 'content-type': FHIR },
        },
        (answer) => resolve(answer.resume().statusCode),
      );
      sent.on('error', reject);
      void (async () => {
        for await (const text of wrappedBinary({ contentType: 'application/pdf' }, content()))
          if (!sent.write(text)) await new Promise((drained) => sent.once('drain', drained));
        sent.end();
      })();
    });
    expect(status).toBe(201);
    expect(got[0]).toMatchObject({
      size: 67_108_864,
      digest: expected.digest('hex'),
      type: 'application/pdf',
      wrapped: true,
    });
    expect(underWay).toBeLessThan(16_000_000);
    expect(got[0]?.largest).toBeLessThan(200_000);
  });
});

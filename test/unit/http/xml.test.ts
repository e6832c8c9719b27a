/** FHIR XML at the edge: hostile documents, refusals, and that it is the JSON which the application would have had. */
import request from 'supertest';
import { describe, expect, test } from 'vitest';
import { stringify } from '../../../server/fhir/json-text.ts';
import { FHIR, json, startEdge, TOKEN } from './edge.ts';

const XML = 'application/fhir+xml';
const NS = 'xmlns="http://hl7.org/fhir"';
const XHTML = 'xmlns="http://www.w3.org/1999/xhtml"';

const sent = async (body: string | Buffer, type = XML, limits = {}) => {
  const edge = await startEdge({ limits: { maxBodyBytes: 2_000_000, ...limits } });
  const began = performance.now();
  const answer = await request(edge.server)
    .post('/fhir/Patient')
    .set({ authorization: TOKEN, 'content-type': type, accept: FHIR })
    .serialize((it) => it)
    .send(body as string);
  return { edge, answer, took: performance.now() - began, issue: answer.body?.issue?.[0] };
};

const patient = (inner: string): string => `<Patient ${NS}>${inner}</Patient>`;
const narrative = (div: string): string => patient(`<text><status value="generated"/>${div}</text>`);

describe('hostile documents', () => {
  const lol = Array.from({ length: 10 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join('');
  test.each<readonly [name: string, body: string | Buffer, status: number, text: RegExp]>([
    [
      'a billion laughs',
      `<!DOCTYPE x [<!ENTITY l0 "lol">${lol}]>${patient('<id value="&l10;"/>')}`,
      400,
      /document type/,
    ],
    [
      'an external entity',
      `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>${patient('')}`,
      400,
      /document type/,
    ],
    ['an external DTD', `<!DOCTYPE x SYSTEM "http://example.org/x.dtd">${patient('')}`, 400, /document type/],
    ['a DTD in small letters', `<!doctype x>${patient('')}`, 400, /well-formed/],
    ['an entity of nobody', patient('<id value="&nbsp;"/>'), 400, /well-formed/],
    ['a stylesheet', `<?xml-stylesheet href="x.xsl"?>${patient('')}`, 400, /processing instruction/],
    ['deep nesting', '<a>'.repeat(500_000), 400, /deeper than 100/],
    ['deep nesting of FHIR', patient('<contact>'.repeat(200)), 400, /deeper than 100/],
    ['a flood of attributes', `<Patient ${NS} ${'a="1" '.repeat(250_000)}/>`, 400, /attributes/],
    [
      'a flood of different attributes',
      `<Patient ${Array.from({ length: 100_000 }, (_, i) => `a${i}="1"`).join(' ')}/>`,
      400,
      /attributes/,
    ],
    ['a flood of elements', patient('<active/>'.repeat(200_000)), 413, /elements/],
    ['a huge attribute', patient(`<active value="${'x'.repeat(1_900_000)}"/>`), 400, /`boolean`/],
    ['a huge comment', `<!--${'- '.repeat(900_000)}-->`, 400, /well-formed|element/],
    ['too many bytes', patient(' '.repeat(2_000_001)), 413, /bytes/],
    ['another namespace', '<Patient xmlns="http://hl7.org/fhir/dstu2"/>', 400, /namespace/],
    ['no namespace', '<Patient/>', 400, /namespace/],
    ['an element of another namespace', patient('<active xmlns="urn:x" value="true"/>'), 400, /namespace/],
    [
      'XInclude',
      patient('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'),
      400,
      /`include` is no element/,
    ],
    ['a script between elements', patient(`<script ${XHTML}>x</script>`), 400, /`script` is no element/],
    ['a narrative that is no XHTML', narrative('<div>x</div>'), 400, /namespace/],
    [
      'XHTML that leaves its namespace',
      narrative(`<div ${XHTML}><svg xmlns="http://www.w3.org/2000/svg"/></div>`),
      400,
      /namespace/,
    ],
    ['text between elements', patient('x<active value="true"/>'), 400, /text stands between/],
    ['an unknown element', patient('<shoeSize value="43"/>'), 400, /`shoeSize` is no element of `Patient`/],
    ['an attribute of another element', patient('<active value="true" url="x"/>'), 400, /attribute `url`/],
    [
      'elements out of order',
      patient('<gender value="male"/><active value="true"/>'),
      400,
      /`active` comes before `gender`/,
    ],
    ['an element twice', patient('<active value="true"/><active value="true"/>'), 400, /does not repeat/],
    ['a choice twice', patient('<deceasedBoolean value="true"/><deceasedDateTime value="2020"/>'), 400, /only one/],
    ['an empty element', patient('<name/>'), 400, /value or children/],
    ['a resource that is none', '<Martian xmlns="http://hl7.org/fhir"/>', 400, /no resource/],
    ['two resources in one', patient('<contained><Patient/><Patient/></contained>'), 400, /one resource/],
    ['a number that is none', patient('<multipleBirthInteger value="0x10"/>'), 400, /`integer`/],
    ['NUL', patient('<id value="a\0b"/>'), 400, /well-formed/],
    ['NUL by reference', patient('<id value="&#0;"/>'), 400, /well-formed/],
    ['half of a surrogate pair', patient('<id value="&#xD800;"/>'), 400, /well-formed/],
    ['UTF-16', Buffer.from(`\ufeff${patient('')}`, 'utf16le'), 400, /UTF-8/],
    ['UTF-16 without a mark', Buffer.from(patient(''), 'utf16le'), 400, /well-formed/],
    ['UTF-7 declared', `<?xml version="1.0" encoding="UTF-7"?>${patient('')}`, 400, /UTF-8/],
    ['Latin-1 declared', `<?xml version="1.0" encoding="ISO-8859-1"?>${patient('')}`, 400, /UTF-8/],
    ['XML 1.1', `<?xml version="1.1"?>${patient('')}`, 400, /1\.0/],
    ['two roots', `${patient('')}${patient('')}`, 400, /well-formed/],
    ['nothing', ' ', 400, /well-formed|no XML/],
    ['JSON', '{"resourceType":"Patient"}', 400, /well-formed/],
  ])('%s', async (_name, body, status, text) => {
    const { edge, answer, took, issue } = await sent(body);
    expect([answer.status, issue?.details?.text]).toEqual([status, expect.stringMatching(text)]);
    expect(edge.seen).toEqual([]);
    expect(took).toBeLessThan(10_000);
    // Nothing of what was read comes back but names of elements.
    expect(answer.text).not.toMatch(/passwd|lol/);
  });

  test('the place is named', async () => {
    const { issue } = await sent(
      patient('\n<name>\n<family value="A"/></name><name><period><start value="2020"/><stop/></period></name>'),
    );
    expect(issue).toMatchObject({ code: 'structure', expression: ['Patient.name[1].period'] });
    expect(issue.details.text).toMatch(/\(line 3\)$/);
  });

  test('others are served while a large document is read', async () => {
    const edge = await startEdge({ limits: { maxBodyBytes: 4_000_000 } });
    const body = patient(`<!--${'- '.repeat(150_000)}x-->${'<name><family value="x"/></name>'.repeat(5_000)}`);
    let served = 0;
    let done = false;
    const large = request(edge.server)
      .post('/fhir/Patient')
      .set({ authorization: TOKEN, 'content-type': XML })
      .send(body)
      .then((answer) => {
        done = true;
        return answer;
      });
    while (!done) {
      await request(edge.server).get('/fhir/metadata').expect(200);
      served += 1;
    }
    expect((await large).status).toBe(200);
    expect(served).toBeGreaterThan(5);
  });
});

describe('what the application gets', () => {
  test.each([XML, 'application/xml', 'text/xml; charset=utf-8'])('from %s, the same as from JSON', async (type) => {
    const { edge, answer } = await sent(
      `\ufeff<?xml version="1.0" encoding="utf-8" standalone="yes"?><!-- made by hand -->
       <f:Patient xmlns:f="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir x.xsd">
         <f:text><f:status value="generated"/><h:div xmlns:h="http://www.w3.org/1999/xhtml">a <h:b title="&lt;">b</h:b><![CDATA[<c>]]></h:div></f:text>
         <f:active id="a1"><f:extension url="urn:x"><f:valueDecimal value="1.00"/></f:extension></f:active>
         <!-- a comment --><f:name><f:given value="A&amp;B"/><f:given><f:extension url="urn:y"><f:valueCode value="z"/></f:extension></f:given></f:name>
       </f:Patient>`,
      type,
    );
    expect(answer.status).toBe(200);
    const body = edge.seen[0]?.body;
    expect(body).toMatchObject({ kind: 'json', mediaType: FHIR });
    const value = body?.kind === 'json' ? stringify(body.value) : '';
    expect(value).toContain('"valueDecimal":1.00');
    expect(JSON.parse(value)).toEqual({
      resourceType: 'Patient',
      text: { status: 'generated', div: `<div ${XHTML}>a <b title="&lt;">b</b>&lt;c&gt;</div>` },
      _active: { id: 'a1', extension: [{ url: 'urn:x', valueDecimal: 1 }] },
      name: [{ given: ['A&B', null], _given: [null, { extension: [{ url: 'urn:y', valueCode: 'z' }] }] }],
    });
  });

  test('a Binary, unwrapped like the JSON one', async () => {
    const edge = await startEdge({
      answer: async ({ body }) => {
        const bytes: Buffer[] = [];
        if (body.kind === 'bytes') for await (const piece of body.source) bytes.push(Buffer.from(piece));
        return json({
          type: body.kind === 'bytes' ? await body.contentType : '',
          text: Buffer.concat(bytes).toString(),
        });
      },
    });
    const post = (body: string) =>
      request(edge.server)
        .post('/fhir/Binary')
        .set({ authorization: TOKEN, 'content-type': XML, accept: FHIR })
        .send(body);
    const good = await post(`<Binary ${NS}><contentType value="text/plain"/><data value="YWJj"/></Binary>`);
    expect(good.body).toEqual({ type: 'text/plain', text: 'abc' });
    expect((await post(`<Binary ${NS}><contentType value="text/plain"/><data value="YW!j"/></Binary>`)).status).toBe(
      400,
    );
    expect((await post(patient(''))).status).toBe(400);
    expect((await post('<!DOCTYPE x><Binary/>')).status).toBe(400);
  });
});

describe('what the client gets', () => {
  test.each([
    ['a refusal of the application', '/fhir/Patient/p1', 200],
    ['no token', '/fhir/Patient/p1', 200],
    ['an unknown path', '/elsewhere', 404],
    ['an unknown address', '/fhir/a/b/c/d/e/f', 404],
    ['a broken escape', '/fhir/Patient/%zz', 400],
    ['a long address', `/fhir/Patient?a=${'x'.repeat(8200)}`, 414],
  ])('%s', async (_name, path, status) => {
    const edge = await startEdge({
      answer: async () => json({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'login' }] }),
    });
    const { headers, text, ...answer } = await request(edge.server)
      .get(path)
      .set({ accept: XML, authorization: TOKEN });
    expect([answer.status, headers['content-type']]).toEqual([status, `${XML}; charset=utf-8`]);
    expect(text).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?><OperationOutcome xmlns="http:\/\/hl7.org\/fhir"><issue><severity value="error"\/>/,
    );
    expect(Number(headers['content-length'])).toBe(Buffer.byteLength(text));
  });

  test('a refused body, a method that there is not, a server at its limit', async () => {
    const edge = await startEdge({ limits: { maxBodyBytes: 10 } });
    const post = await request(edge.server)
      .post('/fhir/Patient?_format=xml')
      .set({ authorization: TOKEN, 'content-type': FHIR })
      .send('{"resourceType":"Patient"}');
    expect([post.status, post.text]).toEqual([413, expect.stringContaining('<code value="too-long"/>')]);
    const trace = await request(edge.server).trace('/fhir/Patient').set('accept', XML);
    expect([trace.status, trace.headers['content-type']]).toEqual([405, `${XML}; charset=utf-8`]);
    const busy = await startEdge({ limits: { maxInFlight: 0 } });
    const refusal = await request(busy.server).get('/fhir/Patient').set('accept', 'text/xml');
    expect([refusal.status, refusal.headers['retry-after'], refusal.headers['content-type']]).toEqual([
      503,
      '1',
      'text/xml; charset=utf-8',
    ]);
  });

  test('a fault: the request id and nothing else', async () => {
    const edge = await startEdge({ answer: async () => json({ resourceType: 'Patient', shoeSize: 43 }) });
    const { status, text } = await request(edge.server)
      .get('/fhir/Patient/p1')
      .set({ accept: XML, authorization: TOKEN });
    expect([status, text]).toEqual([500, expect.stringContaining('<diagnostics value="exchange-1"/>')]);
    expect(edge.lines.some((line) => line.event === 'fault')).toBe(true);
  });

  test('_pretty: an element a line, the narrative as it is', async () => {
    const div = `<div ${XHTML}><p>a <b>b</b></p></div>`;
    const edge = await startEdge({
      answer: async () => json({ resourceType: 'Patient', text: { status: 'generated', div }, active: true }),
    });
    const { text } = await request(edge.server)
      .get('/fhir/Patient/p1?_format=xml&_pretty=true')
      .set({ authorization: TOKEN });
    expect(text).toBe(
      `<?xml version="1.0" encoding="UTF-8"?>\n<Patient ${NS}>\n  <text>\n    <status value="generated"/>\n    ${div}\n  </text>\n  <active value="true"/>\n</Patient>`,
    );
  });

  test('a narrative that is not well-formed is text, and breaks nothing', async () => {
    const div = `<div ${XHTML}>a &nbsp; <br></div></text><script>`;
    const edge = await startEdge({
      answer: async () => json({ resourceType: 'Patient', text: { status: 'generated', div } }),
    });
    const { text } = await request(edge.server).get('/fhir/Patient/p1').set({ accept: XML, authorization: TOKEN });
    expect(text).not.toContain('<script>');
    expect(text).toContain('&lt;script&gt;');
  });
});

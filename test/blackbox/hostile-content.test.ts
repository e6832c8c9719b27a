/**
 * Hostile content, over HTTP: security.md D-01 to D-05, one story each. What only hurts whoever opens it is refused where a person deposits it; what a
 * professional has a right to feed leaves as bytes that no browser runs; and nothing that is sent is followed, rendered, or put into a header.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cdaText, generateBody } from '../support/cda-bodies.ts';
import { communicationBody, type Resource } from '../support/fhir-bodies.ts';
import { pdf, png, zip } from '../support/sample-files.ts';
import type { Answer } from '../support/world.ts';
import { type Entry, get, type Person, post, ruleOf, type Stage, startStage } from './stage.ts';

let s: Stage;
beforeAll(async () => {
  s = await startStage();
});
afterAll(() => s.dispose());

const SVG = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>';
const PAGE = '<!doctype html><script>alert(1)</script>';

/** What keeps a browser from running or showing a content in the server's origin. */
const INERT = {
  'content-disposition': 'attachment',
  'content-security-policy': "default-src 'none'; sandbox",
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
};
const headersOf = (answer: Answer, names: readonly string[]): Readonly<Record<string, string | null>> =>
  Object.fromEntries(names.map((name) => [name, answer.headers.get(name)]));

const withScript = pdf({ more: ['5 0 obj\n<< /S /JavaScript /JS (app.alert(1)) >>\nendobj\n'] });
const withLaunch = pdf({ catalog: '/OpenAction << /S /Launch /F (cmd.exe) >>' });
const withFile = pdf({ catalog: '/Names << /EmbeddedFiles 5 0 R >>' });

/** A document fed by dr1 of whatever bytes, as a Binary that carries them. */
const fedWith = async (p: Person, bytes: Buffer | string, contentType: string) => {
  const sent = s.feed(p, { contentType, bytes: 'x' });
  const body = sent.body as { readonly entry: readonly { readonly resource: Readonly<Record<string, unknown>> }[] };
  const data = Buffer.from(bytes).toString('base64');
  const entry = body.entry.map((e, i) => (i === 0 ? { ...e, resource: { ...e.resource, data } } : e));
  return s.fed(s.professional('dr1'), { ...sent, body: { ...body, entry } });
};
const depositOf = (p: Person, bytes: Buffer | string, contentType: string) => {
  const sent = s.deposit(p, { contentType, bytes: 'x' });
  const body = sent.body as { readonly entry: readonly { readonly resource: Readonly<Record<string, unknown>> }[] };
  const data = Buffer.from(bytes).toString('base64');
  return {
    ...sent,
    body: { ...body, entry: body.entry.map((e, i) => (i === 0 ? { ...e, resource: { ...e.resource, data } } : e)) },
  };
};

describe('D-01: pages, drawings and polyglots', () => {
  it('a person deposits none, under any name', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.table(
      [p],
      [
        ['SVG', h, depositOf(p, SVG, 'image/svg+xml'), 422, 'W2'],
        ['HTML', h, depositOf(p, PAGE, 'text/html'), 422, 'W2'],
        ['SVG that says it is a PNG', h, depositOf(p, SVG, 'image/png'), 422, 'W2'],
        ['HTML that says it is a text', h, depositOf(p, PAGE, 'text/plain'), 422, 'W2'],
        ['a PNG that says it is a PDF', h, depositOf(p, png(), 'application/pdf'), 422, 'W2'],
        [
          'a page before a PDF',
          h,
          depositOf(p, Buffer.concat([Buffer.from(PAGE), pdf()]), 'application/pdf'),
          422,
          'W2',
        ],
        ['a PDF with an archive behind', h, depositOf(p, Buffer.concat([pdf(), zip()]), 'application/pdf'), 422, 'W2'],
        ['a PNG with an archive behind', h, depositOf(p, Buffer.concat([png(), zip()]), 'image/png'), 422, 'W2'],
        ['the PDF alone', h, depositOf(p, pdf(), 'application/pdf'), 200],
      ],
    );
  });

  it('what a professional feeds comes back bit for bit, and no browser runs it', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    for (const [bytes, type, served] of [
      [SVG, 'image/svg+xml', 'application/octet-stream'],
      [PAGE, 'text/html', 'application/octet-stream'],
      [PAGE, 'TEXT/HTML; charset=utf-8', 'application/octet-stream'],
      [PAGE, 'application/xhtml+xml', 'application/octet-stream'],
      [PAGE, 'text/plain', 'text/plain'],
      [SVG, 'text/xml', 'text/xml'],
    ] as const) {
      const { binary } = await fedWith(p, bytes, type);
      for (const headers of [{}, { range: 'bytes=0-1000' }] as const) {
        // A browser asks for pages first.
        const answer = await s.ask(s.holder(p), {
          path: binary,
          headers: { accept: 'text/html,*/*;q=0.8', ...headers },
        });
        expect(answer.text, type).toBe(bytes);
        expect(answer.headers.get('content-type')?.split(';')[0]).toBe(served);
        expect(headersOf(answer, Object.keys(INERT)), type).toEqual(INERT);
      }
      const wrapped = await s.ask(s.holder(p), { path: binary, headers: { accept: 'application/fhir+json' } });
      expect(wrapped.json).toMatchObject({ resourceType: 'Binary', contentType: type });
      expect(headersOf(wrapped, ['x-content-type-options'])).toEqual({ 'x-content-type-options': 'nosniff' });
    }
  });
});

describe('D-02: CDA', () => {
  it('is neither rendered nor followed: nothing is asked of the addresses in it, and none of its markup becomes metadata', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1');
    const asked: string[] = [];
    const elsewhere = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.end();
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`;
    const plain = cdaText({
      traits: p.traits,
      id: '1.2.250.1.999.60.1',
      before: `<?xml-stylesheet type="text/xsl" href="${url}/cda.xsl"?>`,
    });
    const hostile = plain
      .replace(/<title>.*?<\/title>/s, `<title>Compte &lt;img src=${url}/title onerror=alert(1)&gt;</title>`)
      .replace(
        /<nonXMLBody>.*?<\/nonXMLBody>/s,
        `<nonXMLBody><text mediaType="text/html"><reference value="${url}/body"/></text></nonXMLBody>`,
      )
      .replace(
        '</ClinicalDocument>',
        `<component><structuredBody><component><section><text><table onmouseover="alert(1)" border="url(${url}/t)"><tr><td>x</td></tr></table><renderMultiMedia referencedObject="i"/></text></section></component></structuredBody></component></ClinicalDocument>`,
      );
    const answer = await s.ask(s.feeder('s1'), {
      method: 'POST',
      path: 'DocumentReference/$generate-metadata',
      body: generateBody(hostile),
    });
    expect(answer.status, answer.text).toBe(200);
    const made = /DocumentReference\/[\w.-]+/.exec(answer.text)?.[0] ?? '';
    const document = await s.body(s.professional('dr1'), made);
    // The title is text: whoever shows it escapes it. Nothing else of the document's body came along.
    expect(document['description']).toBe(`Compte <img src=${url}/title onerror=alert(1)>`);
    expect(JSON.stringify(document)).not.toMatch(/onmouseover|cda\.xsl|renderMultiMedia|\/body/);
    const [{ attachment }] = document['content'] as readonly [{ readonly attachment: { readonly url: string } }];
    const bytes = await s.ask(s.professional('dr1'), { path: attachment.url, headers: { accept: 'text/xml' } });
    expect(bytes.text).toBe(hostile);
    expect(headersOf(bytes, Object.keys(INERT))).toEqual(INERT);
    expect(asked).toEqual([]);
    elsewhere.close();
  });
});

describe('D-03: PDF that acts', () => {
  it('a person deposits none; what a professional feeds is for their reader to judge, outside of any browser', async () => {
    const p = await s.person();
    const h = s.holder(p);
    await s.table(
      [p],
      [
        ['JavaScript', h, depositOf(p, withScript, 'application/pdf'), 422, 'W2'],
        ['a launch', h, depositOf(p, withLaunch, 'application/pdf'), 422, 'W2'],
        ['a file inside', h, depositOf(p, withFile, 'application/pdf'), 422, 'W2'],
      ],
    );
    for (const bytes of [withScript, withLaunch, withFile]) {
      const { binary } = await fedWith(p, bytes, 'application/pdf');
      const answer = await s.ask(h, { path: binary, headers: { accept: 'application/pdf' } });
      expect(answer.text).toBe(bytes.toString());
      expect(headersOf(answer, Object.keys(INERT))).toEqual(INERT);
    }
  });
});

describe('D-04: names', () => {
  it('no name that somebody sends becomes a header or a path', async () => {
    const p = await s.person();
    const title = '../../etc/passwd"\r\nSet-Cookie: session=1\r\n\r\n<script>alert(1)</script>.pdf';
    const fed = s.feed(p, { title: 'x' });
    const body = JSON.parse(
      JSON.stringify(fed.body).replace('"title":"x"', `"title":${JSON.stringify(title)}`),
    ) as object;
    const { document, binary } = await s.fed(s.professional('dr1'), { ...fed, body });
    const answer = await s.ask(s.holder(p), { path: binary, headers: { accept: 'text/plain' } });
    expect(answer.headers.get('content-disposition')).toBe('attachment');
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect([...answer.headers.values()].join('\n')).not.toMatch(/passwd|session=1/);
    expect(JSON.stringify(await s.body(s.holder(p), document))).toContain('../../etc/passwd');
    const nothing = await s.ask(s.holder(p), get('Binary/never-existed'));
    for (const path of ['Binary/..%2f..%2fetc%2fpasswd', `${binary}%00.pdf`, `${binary}%0d%0aSet-Cookie:%20a=1`]) {
      const wrong = await s.ask(s.holder(p), get(path));
      expect([400, 404], path).toContain(wrong.status);
      expect(wrong.text).not.toContain('root:');
      if (wrong.status === 404) expect(wrong.text).toBe(nothing.text);
    }
  });
});

describe('D-05: markup in text', () => {
  const div = (inner: string): object => ({
    status: 'additional',
    div: `<div xmlns="http://www.w3.org/1999/xhtml">${inner}</div>`,
  });

  it('a content type that no header can carry is refused, by every way in', async () => {
    const p = await s.person();
    for (const contentType of ['text/plain\nX-Evil: 1', 'text/plain; name="\u20ac.txt"', 'text']) {
      const ask = s.feed(p);
      const bundle = ask.body as Resource & { readonly entry: readonly Entry[] };
      const [binary, document] = bundle.entry;
      const refused = await s.ask(
        s.feeder('s1'),
        post({ ...bundle, entry: [{ ...binary, resource: { ...binary?.resource, contentType } }, document] }),
      );
      expect([refused.status, contentType]).toEqual([422, contentType]);
      const inline = { ...document?.resource, content: [{ attachment: { contentType, data: 'QUJD' } }] };
      const published = await s.ask(s.feeder('s1'), post(inline as Resource));
      expect([published.status, contentType]).toEqual([422, contentType]);
      const alone = await s.ask(s.feeder('s1'), post({ resourceType: 'Binary', contentType, data: 'QUJD' }));
      expect([alone.status, contentType]).toEqual([422, contentType]);
    }
  });

  it('a narrative holds no script, whatever it is the narrative of', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1', 'attending-physician');
    const dr1 = s.professional('dr1');
    const hostile = [
      '<script>alert(1)</script>',
      '<p onclick="alert(1)">x</p>',
      '<a href="javascript:alert(1)">x</a>',
      '<a href="&#x6a;avascript:alert(1)">x</a>',
      '<iframe src="https://example.org"></iframe>',
      '<img src="x" onerror="alert(1)"/>',
      '<style>@import "https://example.org"</style>',
    ];
    const message = communicationBody({ subject: p.ref, sender: s.known('dr1'), recipient: p.ref, text: 'Bonjour' });
    await s.table(
      [p],
      hostile.flatMap((inner) => [
        [`a document, ${inner}`, dr1, s.feed(p, { more: { text: div(inner) } }), 422] as const,
        [`a message, ${inner}`, dr1, post({ ...message, text: div(inner) }), 422] as const,
      ]),
    );
    expect((await s.ask(dr1, s.feed(p, { more: { text: div('<p class="x">bonjour</p>') } }))).status).toBe(200);
  });

  it('text elements are text: kept as sent, and sent as nothing that a browser renders', async () => {
    const p = await s.person();
    await s.grant(p, 'dr1', 'attending-physician');
    const dr1 = s.professional('dr1');
    const text = '<script>alert(1)</script>';
    const message = communicationBody({ subject: p.ref, sender: s.known('dr1'), recipient: p.ref, text });
    const ref = await s.made(dr1, post(message));
    for (const accept of ['text/html,application/fhir+json;q=0.5', 'application/fhir+xml']) {
      const answer = await s.ask(s.holder(p), { path: ref, headers: { accept } });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toMatch(/^application\/fhir\+(json|xml)/);
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
      expect(answer.text).toContain(accept.includes('xml') ? '&lt;script' : text);
    }
    // What is refused is not repeated as markup either.
    const refused = await s.ask(dr1, get(`DocumentReference?${encodeURIComponent(text)}=1`));
    expect([refused.status, refused.headers.get('content-type')?.split(';')[0], ruleOf(refused)]).toEqual([
      400,
      'application/fhir+json',
      undefined,
    ]);
  });
});

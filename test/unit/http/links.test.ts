/** No header of a request ends up in an answer: every URL that is sent out starts with the configured base (security.md I-18b). */
import { describe, expect, test } from 'vitest';
import { BASE, json, raw, startEdge } from './edge.ts';

const EVIL = 'evil.example';

const VALUES = [
  EVIL,
  `${EVIL}:443`,
  `http://${EVIL}/fhir`,
  `carnet.test.${EVIL}`,
  `carnet.test, ${EVIL}`,
  `carnet.test@${EVIL}`,
  `"${EVIL}"`,
  `for=1.2.3.4;host=${EVIL};proto=ftp`,
  `//${EVIL}`,
];

const NAMES = [
  'X-Forwarded-Host',
  'X-Forwarded-Server',
  'X-Forwarded-Proto',
  'X-Forwarded-Prefix',
  'X-Original-Host',
  'X-Original-URL',
  'X-Rewrite-URL',
  'X-Host',
  'X-HTTP-Host-Override',
  'Forwarded',
  'Referer',
  'Origin',
];

const VARIANTS: readonly (readonly [name: string, target: string, headers: string])[] = [
  ...NAMES.flatMap((name) =>
    VALUES.map((value) => [`${name}: ${value}`, '/fhir/Patient/p1', `Host: carnet.test\r\n${name}: ${value}`] as const),
  ),
  ...VALUES.map((value) => [`Host: ${value}`, '/fhir/Patient/p1', `Host: ${value}`] as const),
  ['an absolute target', `http://${EVIL}/fhir/Patient/p1`, 'Host: carnet.test'],
  ['an absolute target that agrees with Host', `https://${EVIL}:99/fhir/Patient/p1`, `Host: ${EVIL}:99`],
];

describe(`${VARIANTS.length} variants`, () => {
  test.each(VARIANTS)('%s', async (_name, target, headers) => {
    const edge = await startEdge({
      trustProxy: ['127.0.0.1'],
      // An application that puts everything it is told into its answer.
      answer: async (request) => ({
        ...json({ resourceType: 'Bundle', link: [{ url: `${BASE}/${request.path.join('/')}` }], told: request }, 201),
        headers: { 'content-type': 'application/fhir+json', location: `${BASE}/Patient/1/_history/1` },
      }),
    });
    const answer = await raw(edge, `GET ${target} HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 201 /);
    expect(answer).not.toContain(EVIL);
    const urls = answer.match(/[a-z]+:\/\/[^\s"]+/gi) ?? [];
    expect(urls.length).toBeGreaterThanOrEqual(2);
    for (const url of urls) expect(url.startsWith(`${BASE}/`)).toBe(true);
  });
});

test('there are at least a hundred', () => expect(VARIANTS.length).toBeGreaterThanOrEqual(100));

import { generateKeyPairSync } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { readIssuers } from '../../../server/adapters/token-jwt/issuer.ts';
import { keyNamed, readKeySet } from '../../../server/adapters/token-jwt/jwks.ts';
import {
  faultOfKeySetUrl,
  fetchKeySet,
  guardedLookup,
  publishedKeys,
} from '../../../server/adapters/token-jwt/jwks-source.ts';
import { createTokenVerifier } from '../../../server/adapters/token-jwt/verify.ts';
import type { Json } from '../../../server/fhir/types.ts';
import { createIssuer } from '../../support/tokens.ts';

const jwk = (bits: number, exponent = 65537): Record<string, unknown> =>
  generateKeyPairSync('rsa', { modulusLength: bits, publicExponent: exponent }).publicKey.export({ format: 'jwk' });
const ec = (namedCurve: string): Record<string, unknown> =>
  generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'jwk' });
const p256 = ec('P-256');
const set = (...keys: readonly object[]): Json => ({ keys }) as unknown as Json;

describe('readKeySet refuses', () => {
  const privateJwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  test.each([
    ['what is not a set', null, 'array `keys`'],
    ['keys that are no array', { keys: {} }, 'array `keys`'],
    ['an empty set', set(), 'no usable'],
    ['a symmetric key', set({ kty: 'oct', k: 'c2VjcmV0' }), 'symmetric'],
    [
      'a symmetric key beside a good one',
      set({ ...p256, kid: 'a' }, { kty: 'oct', kid: 'b', k: 'c2VjcmV0' }),
      'symmetric',
    ],
    ['a private key', set(privateJwk), 'private'],
    ['an rsa key of 1024 bits', set(jwk(1024)), 'shorter than 2048'],
    ['an rsa key with exponent 3', set(jwk(2048, 3)), 'exponent'],
    ['a key that does not parse', set({ ...p256, x: 'AA' }), 'does not parse'],
    ['a key of another type', set('x' as unknown as object), 'not an object'],
    ['two keys of one name', set({ ...p256, kid: 'a' }, { ...ec('P-256'), kid: 'a' }), 'share one'],
    ['a nameless key of several', set({ ...p256, kid: 'a' }, ec('P-256')), 'no `kid`'],
    ['a kid of another type', set({ ...p256, kid: 1 }), 'kid'],
    ['an encryption key alone', set({ ...p256, use: 'enc' }), 'no usable'],
    ['a key that may not verify', set({ ...p256, key_ops: ['encrypt'] }), 'no usable'],
    ['an alg that is not that of the curve', set({ ...p256, alg: 'ES384' }), 'no usable'],
    ['an HMAC alg on a public key', set({ ...p256, alg: 'HS256' }), 'no usable'],
    ['a curve without an algorithm', set(ec('secp256k1')), 'no usable'],
    ['65 keys', set(...Array.from({ length: 65 }, (_, index) => ({ ...p256, kid: `k${index}` }))), 'more than 64'],
  ])('%s', (_, value, why) => {
    const result = readKeySet(value);
    expect(result.ok ? 'accepted' : result.why).toContain(why);
  });

  test('and passes over keys for other uses', () => {
    const result = readKeySet(
      set({ ...p256, kid: 'a' }, { ...ec('P-256'), kid: 'b', use: 'enc' }, { kty: 'OKP', kid: 'c' }),
    );
    if (!result.ok) throw new Error(result.why);
    expect([...result.value.named.keys()]).toEqual(['EC a']);
    expect(keyNamed(result.value, 'EC', undefined)?.algorithms).toEqual(new Set(['ES256']));
    expect(keyNamed(result.value, 'RSA', 'a')).toBeUndefined();
  });
});

describe('T-04: where a key set may come from', () => {
  test.each([
    'https://issuer.example/jwks',
    'https://issuer.example:8443/jwks?v=1',
    'http://127.0.0.1:9000/jwks',
    'http://localhost/jwks',
    'http://[::1]/jwks',
  ])('%s', (url) => expect(faultOfKeySetUrl(url)).toBeUndefined());

  test.each([
    'http://issuer.example/jwks',
    'http://127.0.0.1.evil.tld/jwks',
    'http://localhost.evil.tld/jwks',
    'https://user@issuer.example/jwks',
    'https://issuer.example/jwks#a',
    'file:///etc/passwd',
    'data:application/json,{}',
    'issuer.example/jwks',
    'https://10.0.0.1/jwks',
    'https://192.168.1.1/jwks',
    'https://172.16.0.1/jwks',
    'https://169.254.169.254/latest',
    'https://0x0a000001/jwks',
    'https://167772161/jwks',
    'https://0.0.0.0/jwks',
    'https://[fd00::1]/jwks',
    'https://[fe80::1]/jwks',
    'https://[::ffff:10.0.0.1]/jwks',
  ])('never %s', (url) => expect(faultOfKeySetUrl(url)).toBeDefined());

  const look = (host: string, ...addresses: readonly string[]): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const lookup = guardedLookup((_, __, done) =>
      done(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      ),
    );
    lookup(host, {}, (error, address) => resolve(error === null ? String(address) : 'refused'));
    return promise;
  };
  test.each([
    ['a public name', 'issuer.example', ['93.184.216.34'], '93.184.216.34'],
    ['a name that resolves to a private address', 'issuer.example', ['10.0.0.1'], 'refused'],
    ['a name that resolves to both (rebinding)', 'issuer.example', ['93.184.216.34', '127.0.0.1'], 'refused'],
    ['a name that resolves to the metadata address', 'issuer.example', ['169.254.169.254'], 'refused'],
    ['a name that resolves to a private IPv6 address', 'issuer.example', ['fd00::1'], 'refused'],
    ['a mapped private address', 'issuer.example', ['::ffff:10.0.0.1'], 'refused'],
    ['localhost', 'localhost', ['127.0.0.1'], '127.0.0.1'],
    ['localhost that is elsewhere', 'localhost', ['93.184.216.34'], 'refused'],
    ['a name that resolves to nothing', 'issuer.example', [], 'refused'],
  ] as const)('%s', async (_, host, addresses, expected) => expect(await look(host, ...addresses)).toBe(expected));
});

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<URL> {
  const server = createServer(listener);
  servers.push(server);
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`);
}

const good = JSON.stringify(set({ ...p256, kid: 'a' }));

describe('T-04: the fetch', () => {
  test.each([
    [undefined, 3600],
    ['max-age=600', 600],
    ['public, max-age=86400', 3600],
    ['max-age=1', 60],
    ['no-store', 60],
  ])('cache-control %s keeps a set for %d s', async (cacheControl, seconds) => {
    const url = await serve((_, response) => {
      if (cacheControl !== undefined) response.setHeader('cache-control', cacheControl);
      response.end(good);
    });
    const result = await fetchKeySet(url);
    expect(result.ok && result.value.maxAgeSeconds).toBe(seconds);
  });

  const listeners: readonly (readonly [string, RequestListener, string])[] = [
    ['a redirect', (_, response) => response.writeHead(302, { location: '/elsewhere' }).end(good), 'answered 302'],
    ['an error', (_, response) => response.writeHead(500).end(good), 'answered 500'],
    ['64 KiB and a byte', (_, response) => response.end(good.padEnd(65_537)), 'larger than'],
    ['compression', (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(good), 'compressed'],
    ['what is not json', (_, response) => response.end('<html>'), 'does not parse'],
    ['a name twice', (_, response) => response.end('{"keys":[],"keys":[]}'), 'same name twice'],
    ['a private key', (_, response) => response.end(JSON.stringify(set({ ...p256, d: 'AA' }))), 'private'],
    [
      'a broken answer',
      (_, response) => response.writeHead(200, { 'content-length': 10 }).write('{', () => response.destroy()),
      'key set',
    ],
  ];
  test.each(listeners)('refuses %s', async (_, listener, why) => {
    const result = await fetchKeySet(await serve(listener));
    expect(result.ok ? 'accepted' : result.why).toContain(why);
  });

  test('gives up on a slow answer after two seconds, however it drips', async () => {
    const url = await serve((_, response) => {
      const drip = setInterval(() => response.write(' '), 100);
      response.on('close', () => clearInterval(drip));
    });
    const startedAt = performance.now();
    expect((await fetchKeySet(url)).ok).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(4_000);
  });

  test('refuses an address that is not allowed without asking it', async () => {
    const result = await fetchKeySet(new URL('https://10.0.0.1/jwks'));
    expect(result.ok ? 'accepted' : result.why).toContain('not a public address');
  });
});

describe('the keys of an issuer by URL', () => {
  const published = async (kids: () => readonly string[]) => {
    const seen = { requests: 0, now: 0, isDown: false };
    const url = await serve((_, response) => {
      seen.requests += 1;
      response.statusCode = seen.isDown ? 503 : 200;
      response.end(JSON.stringify(set(...kids().map((kid) => ({ ...p256, kid })))));
    });
    return { seen, source: publishedKeys(url, fetchKeySet, () => seen.now) };
  };

  test('are fetched once for many callers at the same time', async () => {
    const { seen, source } = await published(() => ['a']);
    const found = await Promise.all(Array.from({ length: 20 }, () => source.find('EC', 'a')));
    expect(found.every(({ ok }) => ok)).toBe(true);
    expect(seen.requests).toBe(1);
  });

  test('are fetched again for an unknown kid, once a minute at most', async () => {
    const kids = ['a'];
    const { seen, source } = await published(() => kids);
    await source.find('EC', 'a');
    kids.push('b');
    for (let attempt = 0; attempt < 5; attempt += 1) expect((await source.find('EC', 'b')).ok).toBe(false);
    expect(seen.requests).toBe(1);
    seen.now = 60_000;
    expect((await source.find('EC', 'b')).ok).toBe(true);
    for (let attempt = 0; attempt < 5; attempt += 1) expect((await source.find('EC', 'c')).ok).toBe(false);
    expect(seen.requests).toBe(2);
  });

  test('are not kept beyond an hour, and a key that was withdrawn is gone', async () => {
    let kids = ['a', 'b'];
    const { seen, source } = await published(() => kids);
    await source.find('EC', 'a');
    kids = ['b'];
    seen.now = 3_599_999;
    expect((await source.find('EC', 'a')).ok).toBe(true);
    seen.now = 3_600_000;
    expect((await source.find('EC', 'a')).ok).toBe(false);
    expect(seen.requests).toBe(2);
  });

  test('that cannot be fetched refuse every token, and are not asked for at each of them', async () => {
    const { seen, source } = await published(() => ['a']);
    seen.isDown = true;
    for (let attempt = 0; attempt < 5; attempt += 1) expect((await source.find('EC', 'a')).ok).toBe(false);
    expect(seen.requests).toBe(1);
    seen.isDown = false;
    seen.now = 5_000;
    expect((await source.find('EC', 'a')).ok).toBe(true);
  });

  test('a token accepted a moment ago is refused when its key is withdrawn', async () => {
    const issuer = createIssuer('https://issuer.example', ['patient']);
    const other = createIssuer('https://issuer.example', ['patient']);
    let keys: Json = issuer.entry.jwks as unknown as Json;
    const url = await serve((_, response) => response.end(JSON.stringify(keys)));
    const issuers = readIssuers(
      [{ issuer: issuer.entry.issuer, kinds: ['patient'], jwksUri: url.href }],
      'http://127.0.0.1:8103/fhir',
    );
    if (!issuers.ok) throw new Error(issuers.why);
    let monotonic = 0;
    const verifier = createTokenVerifier({
      issuers: issuers.value,
      baseUrl: 'http://127.0.0.1:8103/fhir',
      clockToleranceSeconds: 0,
      fetchKeySet,
      monotonic: () => monotonic,
    });
    const now = Date.parse('2026-03-02T09:00:00Z');
    const token = issuer.holder({ now, patient: 'p' });
    expect((await verifier.verify(token, now)).ok).toBe(true);
    keys = other.entry.jwks as unknown as Json;
    expect((await verifier.verify(token, now)).ok).toBe(true);
    monotonic = 3_600_000;
    expect((await verifier.verify(token, now)).ok).toBe(false);
    keys = issuer.entry.jwks as unknown as Json;
    monotonic = 7_200_000;
    expect((await verifier.verify(token, now)).ok).toBe(true);
  });
});

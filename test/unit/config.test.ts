import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { deriveKey, openMasterKey, readMasterKey } from '../../server/adapters/master-key.ts';
import { fileClock, parseInstant, randomIds } from '../../server/adapters/system.ts';
import { CHOICES, ConfigError, loadConfig, readConfig } from '../../server/config.ts';
import { createIssuer } from '../support/tokens.ts';

const folder = mkdtempSync(join(tmpdir(), 'carnet-config-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function file(content: unknown, mode = 0o600): string {
  files += 1;
  const path = join(folder, `file-${files}`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content), { mode });
  chmodSync(path, mode);
  return path;
}

/** The sentence that stops the start. */
function fault(env: Record<string, string>): string {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

const issuer = createIssuer('https://issuer.example', ['patient', 'professional']);
const key = Buffer.alloc(32, 7).toString('base64');

describe('the defaults', () => {
  const config = readConfig({ PATH: '/bin', HOME: '/root' });

  test('are those of the documentation', () =>
    expect({ ...config, policy: undefined }).toEqual({
      host: '127.0.0.1',
      port: 8103,
      baseUrl: 'http://127.0.0.1:8103/fhir',
      store: { kind: 'sqlite', path: './data/carnet.db' },
      issuers: [],
      policy: undefined,
      clock: { kind: 'system' },
      masterKeyFile: undefined,
      maxBodyBytes: 10_485_760,
      maxBinaryBytes: 268_435_456,
      trustProxy: [],
      log: 'json',
      warnings: ['CARNET_ISSUERS is not set: every token is refused'],
    }));

  test('cannot be changed', () => {
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.policy.matrix['10']?.read)).toBe(true);
  });

  test('the base url follows the port', () =>
    expect(readConfig({ CARNET_PORT: '9000' }).baseUrl).toBe('http://127.0.0.1:9000/fhir'));

  test('the process has a configuration of its own', () => expect(loadConfig().port).toBeGreaterThan(0));
});

test('a mongodb is read as its url', () => {
  const url = 'mongodb://carnet:secret@a.example,b.example/carnet?tls=true';
  const config = readConfig({ CARNET_STORE: url, CARNET_MASTER_KEY_FILE: file(key) });
  expect(config.store).toEqual({ kind: 'mongodb', url });
});

test('the keys of a mongodb may have a database elsewhere', () => {
  const url = 'mongodb://a.example/carnet';
  const keysUrl = 'mongodb://carnet:secret@keys.example/keys?tls=true';
  const env = { CARNET_STORE: url, CARNET_KEYS_STORE: keysUrl, CARNET_MASTER_KEY_FILE: file(key) };
  expect(readConfig(env).store).toEqual({ kind: 'mongodb', url, keysUrl });
  expect(() => readConfig({ CARNET_KEYS_STORE: keysUrl })).toThrow('CARNET_KEYS_STORE is for a CARNET_STORE');
});

test('a password in a url is in no message', () => {
  for (const name of ['CARNET_STORE', 'CARNET_KEYS_STORE'])
    expect(() => readConfig({ [name]: 'mongodb://carnet:secret@' })).toThrow(/^(?!.*secret)/);
});

test('every setting is read', () => {
  const clock = file('2026-03-02T09:00:00Z\n');
  const masterKey = file(key);
  const config = readConfig({
    CARNET_PORT: '9000',
    CARNET_HOST: 'localhost',
    CARNET_BASE_URL: 'https://carnet.example/fhir',
    CARNET_STORE: 'sqlite::memory:',
    CARNET_ISSUERS: file([issuer.entry]),
    CARNET_POLICY: file({ clockToleranceSeconds: 5 }),
    CARNET_CLOCK_FILE: clock,
    CARNET_TEST: '1',
    CARNET_MASTER_KEY_FILE: masterKey,
    CARNET_MAX_BODY_BYTES: '2000',
    CARNET_MAX_BINARY_BYTES: '3000',
    CARNET_TRUST_PROXY: '10.0.0.1,fd00::/8',
    CARNET_LOG: 'off',
  });
  expect(config).toMatchObject({
    port: 9000,
    host: 'localhost',
    baseUrl: 'https://carnet.example/fhir',
    store: { kind: 'sqlite', path: ':memory:' },
    clock: { kind: 'file', path: clock },
    masterKeyFile: masterKey,
    maxBodyBytes: 2000,
    maxBinaryBytes: 3000,
    trustProxy: ['10.0.0.1', 'fd00::/8'],
    log: 'off',
    warnings: ['CARNET_CLOCK_FILE is set: this server does not tell the real time'],
  });
  expect(config.issuers.map((one) => [one.issuer, one.audience])).toEqual([
    ['https://issuer.example', 'https://carnet.example/fhir'],
  ]);
  expect(config.policy.clockToleranceSeconds).toBe(5);
});

test('plain http under a public name is allowed with a warning', () =>
  expect(readConfig({ CARNET_BASE_URL: 'http://carnet.example/fhir' }).warnings.join()).toContain('in clear'));

test('a master key in the folder of the store is allowed with a warning, where others than this machine are served', () => {
  const warned = (env: Record<string, string>): boolean =>
    readConfig(env).warnings.join().includes('lies in the folder of the store');
  const served = { CARNET_BASE_URL: 'https://carnet.example/fhir', CARNET_STORE: `sqlite:${folder}/x/carnet.db` };
  expect(warned(served)).toBe(true);
  expect(warned({ ...served, CARNET_MASTER_KEY_FILE: file(key) })).toBe(false);
  expect(warned({ CARNET_STORE: served.CARNET_STORE })).toBe(false);
});

const entry = (more: object, less: readonly string[] = []): string =>
  file([Object.fromEntries(Object.entries({ ...issuer.entry, ...more }).filter(([name]) => !less.includes(name)))]);
const withPolicy = (policy: unknown): Record<string, string> => ({ CARNET_POLICY: file(policy) });
const withIssuers = (path: string): Record<string, string> => ({ CARNET_ISSUERS: path });
const clockFile = file('2026-03-02T09:00:00Z');

describe('a bad value stops the start with a sentence that names it', () => {
  test.each<readonly [string, Record<string, string>, string]>([
    [
      'an unknown setting',
      { CARNET_POLCY: 'x' },
      'CARNET_POLCY is not a setting of this server; the nearest one is CARNET_POLICY',
    ],
    ['a setting in a wrong order', { CARNET_MAX_BYTES_BODY: '1' }, 'nearest one is CARNET_MAX_BODY_BYTES'],
    ['a setting of the prototype', { CARNET_: 'x' }, 'CARNET_ is not a setting'],
    ['port, a word', { CARNET_PORT: 'http' }, 'CARNET_PORT is `http`'],
    ['port, too high', { CARNET_PORT: '65536' }, 'CARNET_PORT is `65536`'],
    ['port, zero', { CARNET_PORT: '0' }, 'CARNET_PORT'],
    ['port, empty', { CARNET_PORT: '' }, 'CARNET_PORT'],
    ['port, hexadecimal', { CARNET_PORT: '0x1F' }, 'CARNET_PORT'],
    ['host with a path', { CARNET_HOST: 'a/b' }, 'CARNET_HOST'],
    ['base url with a slash', { CARNET_BASE_URL: 'https://a.example/fhir/' }, 'CARNET_BASE_URL'],
    ['base url with a query', { CARNET_BASE_URL: 'https://a.example/fhir?a=b' }, 'CARNET_BASE_URL'],
    ['base url with a fragment', { CARNET_BASE_URL: 'https://a.example/fhir#a' }, 'CARNET_BASE_URL'],
    ['base url with a user', { CARNET_BASE_URL: 'https://u@a.example/fhir' }, 'CARNET_BASE_URL'],
    ['base url of another scheme', { CARNET_BASE_URL: 'ftp://a.example/fhir' }, 'CARNET_BASE_URL'],
    ['base url in a second spelling', { CARNET_BASE_URL: 'https://A.example/x/../fhir' }, 'CARNET_BASE_URL'],
    ['base url that is none', { CARNET_BASE_URL: 'https://[/fhir' }, 'CARNET_BASE_URL'],
    [
      'another store',
      { CARNET_STORE: 'postgres://localhost' },
      'CARNET_STORE holds a value, which is not a store that this server has',
    ],
    ['a mongodb without hosts', { CARNET_STORE: 'mongodb:///carnet' }, 'CARNET_STORE'],
    [
      'a mongodb whose key no other server has',
      { CARNET_STORE: 'mongodb://a.example/carnet' },
      'CARNET_MASTER_KEY_FILE',
    ],
    ['a store without a file', { CARNET_STORE: 'sqlite:' }, 'CARNET_STORE'],
    ['body bytes with a unit', { CARNET_MAX_BODY_BYTES: '10MB' }, 'CARNET_MAX_BODY_BYTES'],
    ['body bytes negative', { CARNET_MAX_BODY_BYTES: '-1' }, 'CARNET_MAX_BODY_BYTES'],
    ['binary bytes zero', { CARNET_MAX_BINARY_BYTES: '0' }, 'CARNET_MAX_BINARY_BYTES'],
    ['every proxy', { CARNET_TRUST_PROXY: 'true' }, 'CARNET_TRUST_PROXY holds `true`'],
    ['a number of proxies', { CARNET_TRUST_PROXY: '1' }, 'CARNET_TRUST_PROXY'],
    ['a network of everybody', { CARNET_TRUST_PROXY: '0.0.0.0/0' }, 'CARNET_TRUST_PROXY'],
    ['a network too narrow', { CARNET_TRUST_PROXY: '10.0.0.0/33' }, 'CARNET_TRUST_PROXY'],
    ['another log', { CARNET_LOG: 'verbose' }, 'CARNET_LOG is `verbose`'],
    [
      'a clock without CARNET_TEST',
      { CARNET_CLOCK_FILE: clockFile },
      'CARNET_CLOCK_FILE is accepted with CARNET_TEST=1 only',
    ],
    ['a clock with CARNET_TEST=0', { CARNET_CLOCK_FILE: clockFile, CARNET_TEST: '0' }, 'CARNET_TEST=1 only'],
    ['CARNET_TEST=true', { CARNET_TEST: 'true' }, 'CARNET_TEST is `true`'],
    [
      'a clock on every address',
      { CARNET_CLOCK_FILE: clockFile, CARNET_TEST: '1', CARNET_HOST: '0.0.0.0' },
      'loopback CARNET_HOST only',
    ],
    [
      'a clock under a public name',
      { CARNET_CLOCK_FILE: clockFile, CARNET_TEST: '1', CARNET_HOST: '127.0.0.1.evil.tld' },
      'loopback',
    ],
    [
      'a clock that is not there',
      { CARNET_CLOCK_FILE: '/nowhere/clock', CARNET_TEST: '1' },
      'CARNET_CLOCK_FILE names `/nowhere/clock`',
    ],
    [
      'a clock without an offset',
      { CARNET_CLOCK_FILE: file('2026-03-02T09:00:00'), CARNET_TEST: '1' },
      'CARNET_CLOCK_FILE',
    ],
    [
      'a key that is not there',
      { CARNET_MASTER_KEY_FILE: '/nowhere/key' },
      'CARNET_MASTER_KEY_FILE names `/nowhere/key`, which does not exist',
    ],
    [
      'a key for the group',
      { CARNET_MASTER_KEY_FILE: file(key, 0o640) },
      'which can be read by its group or by others',
    ],
    ['a key for others', { CARNET_MASTER_KEY_FILE: file(key, 0o604) }, 'which can be read by its group or by others'],
    ['a short key', { CARNET_MASTER_KEY_FILE: file(Buffer.alloc(31).toString('base64')) }, 'at least 32 bytes'],
    ['a key that is not base64', { CARNET_MASTER_KEY_FILE: file('*'.repeat(64)) }, 'at least 32 bytes'],
    ['a folder as a key', { CARNET_MASTER_KEY_FILE: folder }, 'is not a key file'],
    ['issuers that are not there', withIssuers('/nowhere/issuers'), 'CARNET_ISSUERS names `/nowhere/issuers`'],
    ['issuers that are not json', withIssuers(file('{')), 'does not parse'],
    ['issuers with a name twice', withIssuers(file('[{"issuer":"a","issuer":"b"}]')), 'same name twice'],
    ['issuers that are no array', withIssuers(file(issuer.entry)), 'CARNET_ISSUERS: `/` must be array'],
    ['an issuer without kinds', withIssuers(entry({}, ['kinds'])), "must have required property 'kinds'"],
    ['an issuer of no kind', withIssuers(entry({ kinds: [] })), '`/0/kinds`'],
    ['an issuer of an unknown kind', withIssuers(entry({ kinds: ['doctor'] })), 'allowed values: patient'],
    ['an issuer with a misspelt key', withIssuers(entry({ audiance: 'x' })), 'audiance'],
    ['an issuer without keys', withIssuers(entry({}, ['jwks'])), 'exactly one of `jwks` and `jwksUri`'],
    ['an issuer with both', withIssuers(entry({ jwksUri: 'https://a.example/jwks' })), 'exactly one of'],
    ['an issuer there twice', withIssuers(file([issuer.entry, issuer.entry])), 'is there twice'],
    [
      'an issuer with a symmetric key',
      withIssuers(entry({ jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] } })),
      'symmetric',
    ],
    ['an issuer by plain http', withIssuers(entry({ jwksUri: 'http://a.example/jwks' }, ['jwks'])), 'plain http'],
    [
      'a client of an unknown sector',
      withIssuers(entry({ clients: [{ clientId: 'a', sector: 'emploier' }] })),
      '`/0/clients/0/sector`',
    ],
    [
      'a client registered twice',
      withIssuers(entry({ clients: ['care', 'bank'].map((sector) => ({ clientId: 'a', sector })) })),
      'one client twice',
    ],
    ['a policy with an unknown key', withPolicy({ emergencyOverrideBlock: true }), 'emergencyOverrideBlock'],
    [
      'a policy with a string for a boolean',
      withPolicy({ payerDataToProfessionals: 'false' }),
      'CARNET_POLICY: `/payerDataToProfessionals` must be boolean',
    ],
    ['a policy with a null', withPolicy({ depositMaxBytes: null }), '/depositMaxBytes'],
    ['a negative deposit', withPolicy({ depositMaxBytes: -1 }), '/depositMaxBytes'],
    ['T-13 a tolerance of more than a minute', withPolicy({ clockToleranceSeconds: 61 }), '/clockToleranceSeconds'],
    ['a fractional tolerance', withPolicy({ clockToleranceSeconds: 0.5 }), '/clockToleranceSeconds'],
    ['a policy that is an array', withPolicy([]), 'CARNET_POLICY'],
    ['a row without consult', withPolicy({ matrix: { 10: { read: [] } } }), '/matrix/10'],
    ['a row with more', withPolicy({ matrix: { 10: { consult: true, read: [], write: [] } } }), 'write'],
    [
      'a row with a type that is no code',
      withPolicy({ matrix: { 10: { consult: true, read: [1] } } }),
      '/matrix/10/read/0',
    ],
    [
      'A1 occupational physicians who consult',
      withPolicy({ matrix: { '10/SM25': { consult: true, read: [] } } }),
      'never consult (A1)',
    ],
  ])('%s', (_, env, sentence) => {
    const message = fault(env);
    expect(message).toContain(sentence);
    expect(message).not.toContain('\n');
  });

  test('what another program reads is not ours to judge', () =>
    expect(fault({ CARNE: 'x', carnet_port: 'x' })).toBe('accepted'));
});

describe('the policy', () => {
  const { policy } = readConfig({});
  const row = (profession: string) => policy.matrix[profession];

  test('the shipped choices are those of the rules', () =>
    expect({ ...policy, matrix: undefined }).toEqual({
      emergencyOverridesBlock: false,
      payerDataToProfessionals: false,
      emergencyMaskedUnlessDenied: false,
      accessSessionMinutes: 60,
      depositMaxBytes: 5_000_000,
      clockToleranceSeconds: 0,
      matrix: undefined,
    }));

  test.each([
    ['10', ['ATTEST-RESID']],
    ['60', ['75496-0', '68599-0', '83901-9', '68817-6', '89601-9']],
    ['40', ['80788-3', '75496-0', '83981-1', '83901-9', '68599-0', 'EXPPAT_3']],
    ['80', ['15508-5']],
    ['21', ['ATTEST-RESID', '68599-0']],
  ])('profession %s consults, but for the published cells %s', (profession, denied) => {
    expect(row(profession)?.consult).toBe(true);
    expect(row(profession)?.read).toContain('60591-5');
    for (const type of denied) expect(row(profession)?.read).not.toContain(type);
  });

  test.each(['50', '70', '91', '92', '69'])(
    'profession %s consults and reads no more than a physician',
    (profession) => {
      expect(row(profession)?.consult).toBe(true);
      expect(row('10')?.read).toEqual(expect.arrayContaining([...(row(profession)?.read ?? [])]));
    },
  );

  test.each(['10/SM25', '26', '35', '93', '98'])('profession %s never consults', (profession) =>
    expect(row(profession)).toEqual({ consult: false, read: [] }),
  );

  test.each(['99', 'constructor', '__proto__', 'toString', ''])('profession `%s` has no row', (profession) =>
    expect(row(profession)).toBeUndefined(),
  );

  test('the shipped file says that it is a seed, denies by default, and names its sources', () => {
    const shipped = JSON.parse(
      readFileSync(new URL('../../fhir-profiles/policy/default-policy.json', import.meta.url), 'utf8'),
    );
    expect(shipped.about.status).toContain('seed');
    expect(shipped.about.default).toContain('deny');
    expect(shipped.about.sources.length).toBeGreaterThan(0);
    // every line is documented, and nothing else is
    expect(Object.keys(shipped.about.choices)).toEqual([...CHOICES]);
    expect(Object.keys(shipped).filter((key) => key !== 'about')).toEqual([...CHOICES]);
    expect(fault({ CARNET_POLICY: file(shipped) })).toBe('accepted');
  });

  test('a matrix replaces the shipped one whole; absent keys keep their default', () => {
    const stated = readConfig(
      withPolicy({ matrix: { 60: { consult: true, read: ['11502-2'] } }, payerDataToProfessionals: true }),
    ).policy;
    expect(Object.entries(stated.matrix)).toEqual([['60', { consult: true, read: ['11502-2'] }]]);
    expect(stated).toMatchObject({
      payerDataToProfessionals: true,
      emergencyOverridesBlock: false,
      depositMaxBytes: 5_000_000,
    });
  });

  test('an empty matrix denies everybody', () =>
    expect(Object.keys(readConfig(withPolicy({ matrix: {} })).policy.matrix)).toEqual([]));
});

describe('the clock file', () => {
  test('is read again at each call', () => {
    const path = file('2026-03-02T09:00:00Z');
    const clock = fileClock(path);
    expect(clock.now()).toBe(Date.parse('2026-03-02T09:00:00Z'));
    for (let hour = 10; hour < 20; hour += 1) {
      writeFileSync(path, `2026-03-02T${hour}:00:00Z`);
      expect(clock.now()).toBe(Date.parse(`2026-03-02T${hour}:00:00Z`));
    }
  });

  test('keeps its last reading while it is being rewritten, and says what is wrong otherwise', () => {
    const path = file('2026-03-02T09:00:00+01:00\n');
    const clock = fileClock(path);
    expect(clock.now()).toBe(Date.parse('2026-03-02T08:00:00Z'));
    writeFileSync(path, '');
    expect(clock.now()).toBe(Date.parse('2026-03-02T08:00:00Z'));
    writeFileSync(path, 'tomorrow');
    expect(() => clock.now()).toThrow('does not hold one iso instant');
    rmSync(path);
    expect(() => clock.now()).toThrow();
  });

  test.each([
    ['2026-03-02T09:00:00Z', Date.UTC(2026, 2, 2, 9)],
    ['2026-03-02T09:00:00.125+01:00', Date.UTC(2026, 2, 2, 8, 0, 0, 125)],
    ['2024-02-29T00:00:00-11:00', Date.UTC(2024, 1, 29, 11)],
  ])('%s is an instant', (text, instant) => expect(parseInstant(text)).toBe(instant));

  test.each([
    '',
    '2026',
    '2026-03-02',
    '2026-03-02T09:00:00',
    '2026-03-02T09:00Z',
    '2026-02-30T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-03-02T25:00:00Z',
    '2026-03-02 09:00:00Z',
    '2026-03-02T09:00:00+15:00',
    'Mon, 02 Mar 2026 09:00:00 GMT',
  ])('`%s` is none', (text) => expect(parseInstant(text)).toBeUndefined());
});

test('ids are random uuids', () => {
  const ids = new Set(Array.from({ length: 100 }, () => randomIds.next()));
  expect(ids.size).toBe(100);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

describe('the master key', () => {
  test('is made beside the store on first start, for its owner alone, and found again', () => {
    const store = join(folder, 'fresh', 'carnet.db');
    const first = openMasterKey(undefined, store);
    expect(first.length).toBeGreaterThanOrEqual(32);
    expect(statSync(`${store}.key`).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, 'fresh'))).toEqual(['carnet.db.key']);
    expect(openMasterKey(undefined, store)).toEqual(first);
    expect(openMasterKey(undefined, join(folder, 'other', 'carnet.db'))).not.toEqual(first);
  });

  test('that was opened to others is not used', () => {
    const store = join(folder, 'shared', 'carnet.db');
    openMasterKey(undefined, store);
    chmodSync(`${store}.key`, 0o644);
    expect(() => openMasterKey(undefined, store)).toThrow('can be read by its group');
  });

  test('given by file is the one used', () => {
    const path = file(`${key}\n`);
    expect(Buffer.from(openMasterKey(path, join(folder, 'unused.db'))).toString('base64')).toBe(key);
    expect(readMasterKey(path).ok).toBe(true);
    expect(() => openMasterKey(join(folder, 'missing'), join(folder, 'unused.db'))).toThrow('does not exist');
  });

  test('of a store in memory is in memory', () =>
    expect(openMasterKey(undefined, ':memory:')).not.toEqual(openMasterKey(undefined, ':memory:')));

  test('gives each purpose a key of its own, always the same', () => {
    const master = Buffer.alloc(32, 1);
    expect(deriveKey(master, 'cursor')).toEqual(deriveKey(master, 'cursor'));
    expect(deriveKey(master, 'cursor')).not.toEqual(deriveKey(master, 'audit'));
    expect(deriveKey(master, 'cursor')).toHaveLength(32);
  });
});

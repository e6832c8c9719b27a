import { constants, createHmac, sign as cryptoSign, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Claims } from '../../../server/access/caller.ts';
import { readIssuers } from '../../../server/adapters/token-jwt/issuer.ts';
import { fetchKeySet } from '../../../server/adapters/token-jwt/jwks-source.ts';
import { createTokenVerifier } from '../../../server/adapters/token-jwt/verify.ts';
import type { Json } from '../../../server/fhir/types.ts';
import type { TokenVerifier } from '../../../server/ports/token-verifier.ts';
import { createIssuer, IDNPS, IDNST, PROFESSION_SYSTEM, PURPOSE_SYSTEM, signCompact } from '../../support/tokens.ts';

const BASE = 'http://127.0.0.1:8103/fhir';
const NOW = Date.parse('2026-03-02T09:00:00Z');
const IAT = NOW / 1000;

const ALL = ['patient', 'representative', 'professional', 'feeder', 'insurer', 'operator'] as const;
const issuer = createIssuer('https://issuer.example', ALL);
const people = createIssuer('https://people.example', ['patient', 'representative']);
const hospital = createIssuer('https://hospital.example', ['professional', 'feeder']);

function verifierOf(entries: readonly unknown[], clockToleranceSeconds = 0): TokenVerifier {
  const issuers = readIssuers(entries as readonly Json[], BASE);
  if (!issuers.ok) throw new Error(issuers.why);
  return createTokenVerifier({
    issuers: issuers.value,
    baseUrl: BASE,
    clockToleranceSeconds,
    fetchKeySet,
    monotonic: () => performance.now(),
  });
}

const verifier = verifierOf([issuer.entry, people.entry, hospital.entry]);

async function accepted(token: string, by = verifier, now = NOW): Promise<Claims> {
  const result = await by.verify(token, now);
  if (!result.ok) throw new Error(JSON.stringify(result.failure));
  return result.value;
}

/** Why a token was refused; the log line never carries a piece of it. */
async function refusal(token: string, by = verifier, now = NOW): Promise<string> {
  const result = await by.verify(token, now);
  if (result.ok) throw new Error('the token was accepted');
  if (result.failure.code !== 'unauthenticated') throw new Error(result.failure.code);
  for (const segment of token.split('.').filter((one) => one.length > 8))
    expect(result.failure.why).not.toContain(segment);
  return result.failure.why;
}

const common = {
  iss: 'https://issuer.example',
  aud: BASE,
  sub: 's',
  iat: IAT,
  exp: IAT + 900,
  jti: 'j',
  client_id: 'c',
  scope: 'patient/*.cruds',
};
const holderClaims = { ...common, fhirUser: 'Patient/p', patient: 'p' };
const doctor = {
  now: NOW,
  practitioner: 'd',
  nationalId: '899900000001',
  profession: '10',
  structure: '1999999999',
  purpose: 'TREAT',
} as const;
const emergency = { ...doctor, purpose: 'BTG', patient: 'p', reason: 'unconscious patient' } as const;
const regulation = { ...doctor, purpose: 'ETREAT', regulation: true } as const;

describe('each kind of caller, complete', () => {
  test('holder', async () => {
    expect(await accepted(issuer.holder({ now: NOW, patient: 'p', secret: true }))).toMatchObject({
      kind: 'patient',
      issuer: 'https://issuer.example',
      clientId: 'test-client',
      fhirUser: 'Patient/p',
      patient: 'Patient/p',
      secret: true,
      issuedAt: NOW,
      expiresAt: NOW + 900_000,
    });
  });

  test('representative', async () => {
    const claims = await accepted(issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p' }));
    expect(claims).toMatchObject({ kind: 'representative', fhirUser: 'RelatedPerson/r', actsFor: 'Patient/p' });
    expect(claims).not.toHaveProperty('patient');
  });

  test('professional', async () => {
    const claims = await accepted(issuer.professional({ ...doctor, name: 'Dr A' }));
    expect(claims).toMatchObject({
      kind: 'professional',
      fhirUser: 'Practitioner/d',
      nationalId: { system: IDNPS, value: '899900000001' },
      profession: '10',
      structure: { system: IDNST, value: '1999999999' },
      purpose: 'TREAT',
      name: 'Dr A',
      secret: false,
    });
    expect(claims).not.toHaveProperty('patient');
  });

  test('feeder, insurer, operator: as the issuer of several says in the token', async () => {
    expect(await accepted(issuer.feeder({ now: NOW, structure: '1999999999', name: 'H' }))).toMatchObject({
      kind: 'feeder',
      structure: { system: IDNST, value: '1999999999' },
      name: 'H',
    });
    expect(await accepted(issuer.insurer({ now: NOW }))).toMatchObject({ kind: 'insurer' });
    expect(await accepted(issuer.operator({ now: NOW, reason: ' repair 12 ' }))).toMatchObject({
      kind: 'operator',
      reason: 'repair 12',
    });
  });

  test('a backend whose issuer declares one backend kind need not say which', async () => {
    expect(await accepted(hospital.feeder({ now: NOW, structure: '1' }))).toMatchObject({ kind: 'feeder' });
  });

  test('a person of the host', async () => {
    const token = issuer.operator({ now: NOW, claims: { fhirUser: 'Person/o' } });
    expect(await accepted(token)).toMatchObject({ kind: 'operator', fhirUser: 'Person/o' });
  });
});

describe('what else is accepted', () => {
  const holder = (claims: object): string => issuer.mint({ ...holderClaims, ...claims });
  const treat = (iua: object, claims: object = {}): string =>
    issuer.professional({ ...doctor, iua: { ...iua }, claims: { ...claims } });
  test.each([
    ['`aud` as an array of one', holder({ aud: [BASE] })],
    ['`fhirUser` absolute under our base', holder({ fhirUser: `${BASE}/Patient/p` })],
    ['`patient` with its type', holder({ patient: 'Patient/p' })],
    ['`nbf` at the instant', holder({ nbf: IAT })],
    ['a fractional `iat`', holder({ iat: IAT - 0.5 })],
    ['typ at+jwt', issuer.mint(holderClaims, { typ: 'at+jwt' })],
    ['typ application/AT+JWT', issuer.mint(holderClaims, { typ: 'application/AT+JWT' })],
    ['no typ', issuer.mint(holderClaims, { typ: undefined })],
    ['no kid, where the issuer has one key', issuer.mint(holderClaims, { kid: undefined })],
    [
      'C2 the purpose by its OID',
      treat({ purpose_of_use: [{ system: 'urn:oid:2.16.840.1.113883.5.8', code: 'TREAT' }] }),
    ],
    ['C4 RPPS', treat({ national_provider_identifier: 'https://rpps.esante.gouv.fr|10000000000' })],
    ['C4 FINESS', treat({ subject_organization_id: 'https://finess.esante.gouv.fr|990000000' })],
    ['C5 ETREAT with a person', issuer.professional({ ...regulation, patient: 'p' })],
    ['C5 BTG, 10 code points of two units each', issuer.professional({ ...emergency, reason: '😀'.repeat(10) })],
    ['C5 BTG, 500 code points', issuer.professional({ ...emergency, reason: `  ${'é'.repeat(500)}  ` })],
    ['C6 secret from a professional in TREAT', issuer.professional({ ...doctor, secret: true })],
    ['C6 secret false from anybody', issuer.insurer({ now: NOW, carnet: { secret: false } })],
    ['C1 an allowed sector', issuer.professional({ ...doctor, carnet: { sector: 'care' } })],
    ['a claim that this server does not read', holder({ locale: 'fr', extensions: { other: 1 } })],
    [
      'a purpose on a holder’s token, ignored (C2)',
      holder({ extensions: { ihe_iua: { purpose_of_use: [{ code: 'BTG' }] } }, exp: IAT + 3600 }),
    ],
    [
      'both claims of the person acted for, equal',
      issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p', claims: { patient: 'p' } }),
    ],
    [
      'the person acted for in `patient` alone',
      issuer.representative({
        now: NOW,
        relatedPerson: 'r',
        actsFor: 'p',
        claims: { patient: 'p' },
        carnet: { acts_for: undefined },
      }),
    ],
  ])('%s', async (_, token) => {
    expect((await verifier.verify(token, NOW)).ok).toBe(true);
  });

  test.each([
    ['urn:oid:1.2.250.1.71.1.2.7', '60'],
    ['1.2.250.1.71.1.2.7', '60'],
  ])('the profession in the spelling %s', async (system, code) => {
    expect(await accepted(treat({ subject_role: [{ system, code }] }))).toMatchObject({ profession: code });
  });

  test('specialties beside the profession are ignored', async () => {
    const roles = [
      { system: 'urn:oid:1.2.250.1.71.4.2.5', code: 'SM26' },
      { system: PROFESSION_SYSTEM, code: '10' },
    ];
    expect(await accepted(treat({ subject_role: roles }))).toMatchObject({ profession: '10' });
  });

  test('A1: an occupational physician is of a profession of their own', async () => {
    const roles = [
      { system: PROFESSION_SYSTEM, code: '10' },
      { system: 'urn:oid:1.2.250.1.71.4.2.5', code: 'SM25' },
    ];
    expect(await accepted(treat({ subject_role: roles }))).toMatchObject({ profession: '10/SM25' });
  });

  test('C5: the reason is kept without its margins', async () => {
    const claims = await accepted(issuer.professional({ ...emergency, reason: '  unconscious, no relative \n' }));
    expect(claims.reason).toBe('unconscious, no relative');
  });

  test('scopes that are not understood are left out, and the token stands', async () => {
    const claims = await accepted(holder({ scope: 'openid patient/Observation.sr patient/List.r' }));
    expect(claims.scopes.map(({ text }) => text)).toEqual(['patient/List.r']);
  });
});

const holderWith = (claims: object): string => issuer.mint({ ...holderClaims, ...claims });
const without = (name: string): string =>
  issuer.mint(Object.fromEntries(Object.entries(holderClaims).filter(([key]) => key !== name)));
const treatWith = (iua: Readonly<Record<string, unknown>>): string => issuer.professional({ ...doctor, iua });
const extended = (extensions: unknown): string => holderWith({ extensions });

describe('refused: the outside (T-01 to T-03, T-12)', () => {
  const { privateKey } = issuer;
  const spki = issuer.entry.jwks.keys[0] as object;
  const hmac = (alg: string, hash: string): string =>
    signCompact({ alg, typ: 'JWT', kid: issuer.kid }, holderClaims, (input) =>
      createHmac(hash, JSON.stringify(spki)).update(input).digest(),
    );
  const good = issuer.mint(holderClaims);
  const [head = '', body = '', signature = ''] = good.split('.');
  const flipped = `${signature.slice(0, 10)}${signature[10] === 'A' ? 'B' : 'A'}${signature.slice(11)}`;
  const derSignature = signCompact({ alg: 'ES256', kid: issuer.kid }, holderClaims, (input) =>
    cryptoSign('sha256', input, privateKey),
  );

  test.each([
    ['nothing', '', 'three segments'],
    ['two segments', `${head}.${body}`, 'three segments'],
    ['four segments', `${good}.x`, 'three segments'],
    ['no signature', `${head}.${body}.`, 'three segments'],
    ['five segments (an encrypted token)', 'a.b.c.d.e', 'three segments'],
    ['a header that is not base64url', `${head}=.${body}.${signature}`, 'canonical base64url'],
    ['a payload with a second spelling', `${head}.${body}A.${signature}`, 'payload'],
    [
      'a payload that is not utf-8',
      `${head}.${Buffer.from([0x22, 0xff, 0x22]).toString('base64url')}.${signature}`,
      'utf-8',
    ],
    ['a payload that is an array', issuer.mint('[]'), 'not an object'],
    ['a payload that is not json', issuer.mint('{'), 'does not parse'],
    ['a header that is null', issuer.mint(holderClaims, 'null'), 'not an object'],
    ['more than 8 kB', holderWith({ padding: 'x'.repeat(8192) }), 'larger than 8192'],
    ['T-01 alg none', signCompact({ alg: 'none', typ: 'JWT' }, holderClaims, () => Buffer.from('x')), 'algorithm'],
    ['T-01 alg None', signCompact({ alg: 'None' }, holderClaims, () => Buffer.from('x')), 'algorithm'],
    ['T-01 HS256 with the public key', hmac('HS256', 'sha256'), 'algorithm'],
    ['T-01 HS512 with the public key', hmac('HS512', 'sha512'), 'algorithm'],
    ['T-01 alg of another type', issuer.mint(holderClaims, { alg: ['ES256'] }), 'algorithm'],
    ['T-01 alg from the prototype', issuer.mint(holderClaims, { alg: 'constructor' }), 'algorithm'],
    ['T-01 no alg', issuer.mint(holderClaims, { alg: undefined }), 'algorithm'],
    [
      'T-01 an algorithm that is not pinned to the key',
      issuer.mint(holderClaims, { alg: 'ES384' }),
      'not that of the registered key',
    ],
    ['T-01 RS256 with the name of an ES256 key', issuer.mint(holderClaims, { alg: 'RS256' }), 'no registered key'],
    ['T-02 crit', issuer.mint(holderClaims, { crit: ['b64'] }), '`crit`'],
    ['T-02 b64', issuer.mint(holderClaims, { b64: false }), '`b64`'],
    ['T-02 typ id_token', issuer.mint(holderClaims, { typ: 'id_token' }), '`typ`'],
    ['T-02 typ of another type', issuer.mint(holderClaims, { typ: 1 }), '`typ`'],
    ['T-12 typ logout+jwt', issuer.mint(holderClaims, { typ: 'logout+jwt' }), '`typ`'],
    ['T-12 typ dpop+jwt', issuer.mint(holderClaims, { typ: 'dpop+jwt' }), '`typ`'],
    ['T-02 a header twice', issuer.mint(holderClaims, '{"alg":"ES256","alg":"ES256"}'), 'same name twice'],
    ['T-02 a claim twice', issuer.mint(`{"sub":"a",${JSON.stringify(holderClaims).slice(1)}`), 'same name twice'],
    [
      'T-02 a claim twice, once escaped',
      issuer.mint(`{"s\\u0075b":"a",${JSON.stringify(holderClaims).slice(1)}`),
      'same name twice',
    ],
    [
      'T-02 a nested claim twice',
      issuer.mint(
        `${JSON.stringify(holderClaims).slice(0, -1)},"extensions":{"carnet":{"secret":true,"secret":false}}}`,
      ),
      'same name twice',
    ],
    ['T-03 kid unknown', issuer.mint(holderClaims, { kid: 'other' }), 'no registered key'],
    ['T-03 kid a path', issuer.mint(holderClaims, { kid: '../../etc/passwd' }), 'no registered key'],
    ['T-03 kid sql', issuer.mint(holderClaims, { kid: "' or 1=1 --" }), 'no registered key'],
    ['T-03 kid __proto__', issuer.mint(holderClaims, { kid: '__proto__' }), 'no registered key'],
    ['T-03 kid constructor', issuer.mint(holderClaims, { kid: 'constructor' }), 'no registered key'],
    ['T-03 kid empty', issuer.mint(holderClaims, { kid: '' }), 'no registered key'],
    ['T-03 kid of another type', issuer.mint(holderClaims, { kid: 1 }), '`kid`'],
    ['T-03 the kid of another issuer', issuer.mint(holderClaims, { kid: people.kid }), 'no registered key'],
    ['T-03 jku', issuer.mint(holderClaims, { jku: 'https://issuer.example/jwks' }), '`jku`'],
    ['T-03 jwk', issuer.mint(holderClaims, { jwk: spki }), '`jwk`'],
    ['T-03 x5u', issuer.mint(holderClaims, { x5u: 'https://issuer.example/x' }), '`x5u`'],
    ['T-03 x5c', issuer.mint(holderClaims, { x5c: [] }), '`x5c`'],
    ['T-03 x5t#S256', issuer.mint(holderClaims, { 'x5t#S256': 'a' }), '`x5t#S256`'],
    ['a changed signature', `${head}.${body}.${flipped}`, 'signature'],
    [
      'a changed payload',
      `${head}.${Buffer.from(JSON.stringify({ ...holderClaims, sub: 'z' })).toString('base64url')}.${signature}`,
      'signature',
    ],
    ['a DER signature', derSignature, 'signature'],
    [
      'an all-zero signature',
      signCompact({ alg: 'ES256', kid: issuer.kid }, holderClaims, () => Buffer.alloc(64)),
      'signature',
    ],
    [
      'the key of another issuer under the name of this one',
      people.mint(holderClaims, { kid: issuer.kid }),
      'signature',
    ],
    ['T-12 nonce', holderWith({ nonce: 'n' }), '`nonce`'],
    ['T-12 at_hash', holderWith({ at_hash: 'n' }), '`at_hash`'],
    ['T-12 a logout token', holderWith({ events: {} }), '`events`'],
    ['T-12 a token bound to a key', holderWith({ cnf: { jkt: 'x' } }), '`cnf`'],
  ])('%s', async (_, token, why) => {
    expect(await refusal(token)).toContain(why);
  });
});

describe('refused: claims', () => {
  const rows: readonly (readonly [string, string, string])[] = [
    ...['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'client_id', 'scope'].map(
      (name) => [`no ${name}`, without(name), name === 'iss' ? 'issuer' : name] as const,
    ),
    ...['sub', 'jti', 'client_id', 'scope'].flatMap((name) => [
      [`empty ${name}`, holderWith({ [name]: '' }), name] as const,
      [`blank ${name}`, holderWith({ [name]: '  ' }), name] as const,
      [`${name} of another type`, holderWith({ [name]: ['a'] }), name] as const,
    ]),
    ['an unknown issuer', holderWith({ iss: 'https://issuer.example.evil.tld' }), 'issuer'],
    ['an issuer with a slash more', holderWith({ iss: 'https://issuer.example/' }), 'issuer'],
    ['an issuer from the prototype', holderWith({ iss: '__proto__' }), 'issuer'],
    ['an issuer of another type', holderWith({ iss: ['https://issuer.example'] }), 'issuer'],
    ['T-02 two audiences', holderWith({ aud: [BASE, 'https://other.example'] }), 'aud'],
    ['no audience', holderWith({ aud: [] }), 'aud'],
    ['T-12 the audience of another server', holderWith({ aud: 'https://other.example' }), 'another server'],
    ['an audience with a slash more', holderWith({ aud: `${BASE}/` }), 'another server'],
    ['exp as a string', holderWith({ exp: String(IAT + 60) }), 'exp'],
    ['iat as a string', holderWith({ iat: String(IAT) }), 'iat'],
    ['nbf as a string', holderWith({ nbf: String(IAT) }), 'nbf'],
    ['exp infinite', issuer.mint(JSON.stringify(holderClaims).replace(/"exp":\d+/, '"exp":1e999')), 'exp'],
    ['fhirUser empty', holderWith({ fhirUser: '' }), 'fhirUser'],
    ['fhirUser of another type', holderWith({ fhirUser: { reference: 'Patient/p' } }), 'fhirUser'],
    ['fhirUser null', holderWith({ fhirUser: null }), 'fhirUser'],
    ['fhirUser with a version', holderWith({ fhirUser: 'Patient/p/_history/1' }), 'fhirUser'],
    ['fhirUser with a query', holderWith({ fhirUser: 'Patient/p?a=b' }), 'fhirUser'],
    ['fhirUser on another server', holderWith({ fhirUser: 'https://other.example/fhir/Patient/p' }), 'fhirUser'],
    [
      'fhirUser on a server whose name begins like ours',
      holderWith({ fhirUser: `${BASE}.evil.tld/Patient/p` }),
      'fhirUser',
    ],
    ['fhirUser with a slash before', holderWith({ fhirUser: '/Patient/p' }), 'fhirUser'],
    ['fhirUser of no caller', holderWith({ fhirUser: 'PractitionerRole/p' }), 'fhirUser'],
    ['fhirUser of the prototype', holderWith({ fhirUser: 'constructor/p' }), 'fhirUser'],
    [
      'a hospital’s issuer cannot mint a patient',
      hospital.holder({ now: NOW, patient: 'p' }),
      'not trusted for a patient',
    ],
    ['an issuer of people cannot mint a professional', people.professional(doctor), 'not trusted for a professional'],
    ['an issuer of people cannot mint a backend', people.feeder({ now: NOW, structure: '1' }), 'no kind'],
    [
      'a backend that does not say which of several it is',
      issuer.feeder({ now: NOW, structure: '1', carnet: { kind: undefined } }),
      'backend kinds',
    ],
    [
      'a backend of a kind its issuer does not declare',
      hospital.feeder({ now: NOW, structure: '1', carnet: { kind: 'operator' } }),
      'no kind',
    ],
    [
      'a backend that says it is a patient',
      issuer.feeder({ now: NOW, structure: '1', carnet: { kind: 'patient' } }),
      'no kind',
    ],
    ['a kind that fhirUser contradicts', extended({ carnet: { kind: 'operator' } }), 'no kind'],
    [
      'a Practitioner who says to be an operator',
      issuer.professional({ ...doctor, carnet: { kind: 'operator' } }),
      'no kind',
    ],
    ['C1 a mutual insurer', extended({ carnet: { sector: 'mutual-insurer' } }), 'C1'],
    ['C1 an employer', issuer.professional({ ...doctor, carnet: { sector: 'employer' } }), 'C1'],
    ['C1 a bank', issuer.operator({ now: NOW, carnet: { sector: 'bank' } }), 'C1'],
    ['C1 a loan insurer as Assurance Maladie', issuer.insurer({ now: NOW, carnet: { sector: 'loan-insurer' } }), 'C1'],
    ['C1 a sector that nobody declared', extended({ carnet: { sector: 'employers' } }), 'C1'],
    ['C2 no purpose', treatWith({ purpose_of_use: undefined }), 'C2'],
    ['C2 an empty purpose', treatWith({ purpose_of_use: [] }), 'C2'],
    [
      'C2 two purposes',
      treatWith({ purpose_of_use: ['TREAT', 'BTG'].map((code) => ({ system: PURPOSE_SYSTEM, code })) }),
      'C2',
    ],
    [
      'C2 a purpose and another',
      treatWith({ purpose_of_use: ['TREAT', 'HRESCH'].map((code) => ({ system: PURPOSE_SYSTEM, code })) }),
      'C2',
    ],
    [
      'C2 a purpose twice',
      treatWith({ purpose_of_use: ['TREAT', 'TREAT'].map((code) => ({ system: PURPOSE_SYSTEM, code })) }),
      'C2',
    ],
    ['C2 another purpose', treatWith({ purpose_of_use: [{ system: PURPOSE_SYSTEM, code: 'HPAYMT' }] }), 'C2'],
    [
      'C2 a child of TREAT (no subsumption)',
      treatWith({ purpose_of_use: [{ system: PURPOSE_SYSTEM, code: 'COC' }] }),
      'C2',
    ],
    ['C2 another case', treatWith({ purpose_of_use: [{ system: PURPOSE_SYSTEM, code: 'treat' }] }), 'C2'],
    [
      'C2 a code of the prototype',
      treatWith({ purpose_of_use: [{ system: PURPOSE_SYSTEM, code: 'constructor' }] }),
      'C2',
    ],
    ['C2 another system', treatWith({ purpose_of_use: [{ system: 'https://other.example', code: 'TREAT' }] }), 'C2'],
    ['C2 no system', treatWith({ purpose_of_use: [{ code: 'TREAT' }] }), 'C2'],
    ['C2 not an array', treatWith({ purpose_of_use: { system: PURPOSE_SYSTEM, code: 'TREAT' } }), 'purpose_of_use'],
    ['C3 more than an hour', holderWith({ exp: IAT + 3601 }), 'C3'],
    ['C3 ten years', holderWith({ exp: IAT + 315_360_000 }), 'C3'],
    ['C3 no life at all', holderWith({ exp: IAT }), 'C3'],
    ['C3 more than 900 s of BTG', issuer.professional({ ...emergency, lifetime: 901 }), 'C3'],
    ['C3 more than 900 s of ETREAT', issuer.professional({ ...regulation, lifetime: 901 }), 'C3'],
    ['C4 a patient without `patient`', without('patient'), 'C4'],
    ['C4 a patient with another `patient`', holderWith({ patient: 'q' }), 'C4'],
    [
      'C4 a representative of nobody',
      issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p', carnet: { acts_for: undefined } }),
      'C4',
    ],
    [
      'C4 a representative of two',
      issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p', claims: { patient: 'q' } }),
      'C4',
    ],
    [
      'C4 a representative of a list',
      issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p', carnet: { acts_for: ['p'] } }),
      'acts_for',
    ],
    [
      'C4 a representative of a Group',
      issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p', carnet: { acts_for: 'Group/p' } }),
      'acts_for',
    ],
    ['`acts_for` on a holder’s token', extended({ carnet: { acts_for: 'Patient/p' } }), 'acts_for'],
    ['`patient` that names nobody', holderWith({ patient: 'Patient/' }), 'patient'],
    ['`patient` of another server', holderWith({ patient: 'https://other.example/Patient/p' }), 'patient'],
    ['C4 no national identifier', treatWith({ national_provider_identifier: undefined }), 'C4'],
    ['C4 a national identifier without a system', treatWith({ national_provider_identifier: '899900000001' }), 'C4'],
    ['C4 an identifier that is not national', treatWith({ national_provider_identifier: 'urn:oid:1.2.3|1' }), 'C4'],
    ['C4 an identifier with two bars', treatWith({ national_provider_identifier: `${IDNPS}|a|b` }), 'C4'],
    ['C4 no profession', treatWith({ subject_role: undefined }), 'C4'],
    [
      'C4 two professions',
      treatWith({ subject_role: ['10', '60'].map((code) => ({ system: PROFESSION_SYSTEM, code })) }),
      'C4',
    ],
    [
      'C4 a specialty alone',
      treatWith({ subject_role: [{ system: 'urn:oid:1.2.250.1.71.4.2.5', code: 'SM26' }] }),
      'C4',
    ],
    ['C4 a profession without a code', treatWith({ subject_role: [{ system: PROFESSION_SYSTEM }] }), 'C4'],
    ['C4 no structure', treatWith({ subject_organization_id: undefined }), 'C4'],
    ['C4 a structure without a value', treatWith({ subject_organization_id: `${IDNST}|` }), 'C4'],
    ['C4 a structure of a system of its own', treatWith({ subject_organization_id: 'urn:oid:1.2.3|1' }), 'C4'],
    [
      'C4 a feeder without a structure',
      issuer.feeder({ now: NOW, structure: '1', iua: { subject_organization_id: undefined } }),
      'C4',
    ],
    [
      'an insurer whose structure is no identifier',
      issuer.insurer({ now: NOW, iua: { subject_organization_id: 'x' } }),
      'system|value',
    ],
    ['C5 BTG without a reason', issuer.professional({ ...emergency, carnet: { reason: undefined } }), 'C5'],
    ['C5 BTG, 9 code points', issuer.professional({ ...emergency, reason: '😀'.repeat(9) }), 'C5'],
    ['C5 BTG, 10 with their margins', issuer.professional({ ...emergency, reason: '    urgent    ' }), 'C5'],
    ['C5 BTG, 501 code points', issuer.professional({ ...emergency, reason: 'x'.repeat(501) }), 'C5'],
    ['C5 BTG without a person', issuer.professional({ ...emergency, claims: { patient: undefined } }), 'C5'],
    ['C5 ETREAT without regulation', issuer.professional({ ...regulation, regulation: false }), 'C5'],
    [
      'C5 ETREAT with no regulation claim',
      issuer.professional({ ...regulation, carnet: { regulation: undefined } }),
      'C5',
    ],
    ['C6 secret in BTG', issuer.professional({ ...emergency, secret: true }), 'C6'],
    ['C6 secret in ETREAT', issuer.professional({ ...regulation, secret: true }), 'C6'],
    [
      'C6 secret from a representative',
      issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p', carnet: { secret: true } }),
      'C6',
    ],
    ['C6 secret from a feeder', issuer.feeder({ now: NOW, structure: '1', carnet: { secret: true } }), 'C6'],
    ['C6 secret from an insurer', issuer.insurer({ now: NOW, carnet: { secret: true } }), 'C6'],
    ['C6 secret from an operator', issuer.operator({ now: NOW, carnet: { secret: true } }), 'C6'],
    ['secret as a string', extended({ carnet: { secret: 'true' } }), 'secret'],
    ['regulation as a string', issuer.professional({ ...regulation, carnet: { regulation: 'true' } }), 'regulation'],
    [
      'regulation as a number, where it is not needed',
      issuer.professional({ ...doctor, carnet: { regulation: 1 } }),
      'regulation',
    ],
    ['reason as a list', issuer.professional({ ...emergency, carnet: { reason: ['unconscious patient'] } }), 'reason'],
    ['reason with a null character', issuer.professional({ ...emergency, reason: 'unconscious\0patient' }), 'reason'],
    [
      'a lone surrogate',
      issuer.mint(JSON.stringify({ ...holderClaims, sub: 'x' }).replace('"x"', '"\\ud800"')),
      'surrogate',
    ],
    ['extensions as a list', extended([]), 'extensions'],
    ['carnet as a string', extended({ carnet: 'x' }), 'carnet'],
    ['ihe_iua null', extended({ ihe_iua: null }), 'ihe_iua'],
    ['a role as a string', extended({ ihe_iua: { subject_role: ['10'] } }), 'subject_role'],
    [
      'a purpose as a string, even where it is ignored',
      extended({ ihe_iua: { purpose_of_use: 'TREAT' } }),
      'purpose_of_use',
    ],
    ['a name as a number', treatWith({ subject_name: 1 }), 'subject_name'],
    [
      '`__proto__` among the claims',
      issuer.mint(`{"__proto__":{"secret":true},${JSON.stringify(holderClaims).slice(1)}`),
      '__proto__',
    ],
  ];
  test.each(rows)('%s', async (_, token, why) => {
    expect(await refusal(token)).toContain(why);
  });
});

describe('C3 and T-13: time, at every call', () => {
  const token = issuer.holder({ now: NOW, patient: 'p', lifetime: 60 });
  test.each([
    ['a millisecond before iat', -1, 'not valid yet'],
    ['from the instant of exp', 60_000, 'expired'],
    ['long after', 3_600_000, 'expired'],
  ])('refused %s, even when it was accepted a moment before', async (_, offset, why) => {
    await accepted(token, verifier, NOW + 59_999);
    expect(await refusal(token, verifier, NOW + offset)).toContain(why);
    await accepted(token, verifier, NOW);
  });

  test('nbf after iat counts', async () => {
    const later = holderWith({ nbf: IAT + 30 });
    expect(await refusal(later, verifier, NOW + 29_999)).toContain('not valid yet');
    await accepted(later, verifier, NOW + 30_000);
  });

  test('the tolerance widens both ends by itself and by no more', async () => {
    const tolerant = verifierOf([issuer.entry], 5);
    await accepted(token, tolerant, NOW - 5_000);
    await accepted(token, tolerant, NOW + 64_999);
    expect(await refusal(token, tolerant, NOW - 5_001)).toContain('not valid yet');
    expect(await refusal(token, tolerant, NOW + 65_000)).toContain('expired');
  });

  test('a tolerance does not lengthen what a token may live', async () => {
    expect(await refusal(holderWith({ exp: IAT + 3601 }), verifierOf([issuer.entry], 5))).toContain('C3');
  });

  test.each([
    ['3600 s of TREAT', issuer.professional({ ...doctor, lifetime: 3600 })],
    ['3600 s of a holder', issuer.holder({ now: NOW, patient: 'p', lifetime: 3600 })],
    ['900 s of BTG', issuer.professional({ ...emergency, lifetime: 900 })],
  ])('%s is accepted', async (_, one) => {
    await accepted(one);
  });
});

describe('C6: the person of a token, of any kind', () => {
  test.each([
    ['professional', issuer.professional({ ...doctor, patient: 'p' })],
    ['feeder', issuer.feeder({ now: NOW, structure: '1', patient: 'p' })],
    ['insurer', issuer.insurer({ now: NOW, patient: 'Patient/p' })],
    ['operator', issuer.operator({ now: NOW, patient: 'p' })],
    ['representative', issuer.representative({ now: NOW, relatedPerson: 'r', actsFor: 'p', claims: { patient: 'p' } })],
  ])('%s', async (kind, token) => {
    expect(await accepted(token)).toMatchObject({ kind, patient: 'Patient/p' });
  });

  test('C5: ETREAT without a person carries none', async () => {
    const claims = await accepted(issuer.professional(regulation));
    expect(claims).toMatchObject({ kind: 'professional', purpose: 'ETREAT' });
    expect(claims).not.toHaveProperty('patient');
  });
});

describe('C1: the registry of clients', () => {
  const entry = {
    ...issuer.entry,
    clients: [
      { clientId: 'his', sector: 'care' },
      { clientId: 'amc', sector: 'mutual-insurer' },
      { clientId: 'cnam', sector: 'health-insurance' },
    ],
  };
  const registered = verifierOf([entry]);
  const token = (clientId: string, carnet = {}): string => issuer.insurer({ now: NOW, clientId, carnet });

  test('a registered client of an allowed sector is accepted', async () => {
    await accepted(token('his'), registered);
    await accepted(token('cnam', { sector: 'health-insurance' }), registered);
  });
  test.each([
    ['of a forbidden sector', token('amc'), 'C1'],
    ['that claims another sector than registered', token('amc', { sector: 'care' }), 'C1'],
    ['that is not registered', token('other'), 'not registered'],
    ['of the prototype', token('constructor'), 'not registered'],
  ])('a client %s is refused', async (_, one, why) => {
    expect(await refusal(one, registered)).toContain(why);
  });
});

describe('T-01: every algorithm, pinned to its key', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const;
  const ec = Object.fromEntries(
    Object.entries(curves).map(([alg, namedCurve]) => [alg, generateKeyPairSync('ec', { namedCurve })]),
  ) as Record<keyof typeof curves, { publicKey: KeyObject; privateKey: KeyObject }>;

  const signature =
    (alg: string) =>
    (input: Buffer): Buffer => {
      const hash = `sha${alg.slice(2)}`;
      if (alg.startsWith('ES'))
        return cryptoSign(hash, input, { key: ec[alg as keyof typeof curves].privateKey, dsaEncoding: 'ieee-p1363' });
      const padding = alg.startsWith('PS') ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
      return cryptoSign(hash, input, { key: rsa.privateKey, padding, ...(alg.startsWith('PS') ? { saltLength } : {}) });
    };
  const token = (alg: string): string => signCompact({ alg, kid: alg }, holderClaims, signature(alg));
  const entry = (jwk: object): unknown => ({ issuer: common.iss, kinds: ['patient'], jwks: { keys: [jwk] } });
  const publicJwk = (alg: string): object =>
    (alg.startsWith('ES') ? ec[alg as keyof typeof curves].publicKey : rsa.publicKey).export({ format: 'jwk' });
  const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];

  test.each(algorithms)('%s is accepted from a key that pins it', async (alg) => {
    await accepted(token(alg), verifierOf([entry({ ...publicJwk(alg), kid: alg, alg })]));
  });

  test.each(algorithms)('%s is accepted from a key of its type without alg', async (alg) => {
    await accepted(token(alg), verifierOf([entry({ ...publicJwk(alg), kid: alg })]));
  });

  test.each(['RS384', 'RS512', 'PS256'])('%s is refused from a key that pins RS256', async (alg) => {
    const pinned = verifierOf([entry({ ...publicJwk(alg), kid: alg, alg: 'RS256' })]);
    expect(await refusal(token(alg), pinned)).toContain('not that of the registered key');
  });

  test('a token without kid is refused where the issuer has several keys', async () => {
    const keys = ['ES256', 'ES384'].map((alg) => ({ ...publicJwk(alg), kid: alg }));
    const several = verifierOf([{ issuer: common.iss, kinds: ['patient'], jwks: { keys } }]);
    const anonymous = signCompact({ alg: 'ES256' }, holderClaims, signature('ES256'));
    expect(await refusal(anonymous, several)).toContain('no registered key');
    await accepted(token('ES256'), several);
  });

  test('one kid may name an RSA and an EC key: the type tells them apart', async () => {
    const keys = [
      { ...publicJwk('RS256'), kid: 'same' },
      { ...publicJwk('ES256'), kid: 'same' },
    ];
    const both = verifierOf([{ issuer: common.iss, kinds: ['patient'], jwks: { keys } }]);
    for (const alg of ['RS256', 'ES256'])
      await accepted(signCompact({ alg, kid: 'same' }, holderClaims, signature(alg)), both);
  });
});

test('a token that was forgotten because of many others is verified again', async () => {
  const first = issuer.holder({ now: NOW, patient: 'first' });
  await accepted(first);
  for (let index = 0; index < 4200; index += 1) await accepted(issuer.holder({ now: NOW, patient: `p${index}` }));
  expect(await accepted(first)).toMatchObject({ patient: 'Patient/first' });
});

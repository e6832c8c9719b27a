/** Tokens for tests, the demonstration and the examples: an issuer with a key of its own, and one function for each kind of caller. */
import { sign as cryptoSign, generateKeyPairSync, type JsonWebKey, type KeyObject, randomUUID } from 'node:crypto';
import type { CallerKind, Purpose } from '../../server/access/caller.ts';

/** Arbitrary claims, at the top level or replacing `extensions.ihe_iua` and `extensions.carnet` member by member; `undefined` removes. */
export type Overrides = {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly iua?: Readonly<Record<string, unknown>>;
  readonly carnet?: Readonly<Record<string, unknown>>;
};

type Minting = Overrides & {
  /** When the token is minted, in milliseconds since the epoch: its `iat`, and so the first second at which it is valid. */
  readonly now: number;
  /** In seconds; by default 900, which every purpose allows. */
  readonly lifetime?: number;
  readonly scope?: string;
  readonly clientId?: string;
};

/** An entry of the file that `CARNET_ISSUERS` names. */
export type IssuerEntry = {
  readonly issuer: string;
  readonly kinds: readonly CallerKind[];
  readonly jwks: { readonly keys: readonly JsonWebKey[] };
  readonly audience?: string;
};

export type ProfessionalToken = Minting & {
  /** The id of the Practitioner. */
  readonly practitioner: string;
  /** `system|value`, or the value of an IDNPS. */
  readonly nationalId: string;
  /** A TRE_G15 code. */
  readonly profession: string;
  /** `system|value`, or the value of a structure's national id. */
  readonly structure: string;
  readonly purpose: Purpose;
  /** The id of the person the token is limited to. */
  readonly patient?: string;
  readonly reason?: string;
  readonly regulation?: boolean;
  readonly secret?: boolean;
  readonly name?: string;
};

export type TestIssuer = {
  readonly entry: IssuerEntry;
  readonly privateKey: KeyObject;
  readonly kid: string;
  /** Signs any claims as they are; a text is signed letter for letter. `header` replaces members of the usual one. */
  mint(claims: object | string, header?: object | string): string;
  holder(token: Minting & { readonly patient: string; readonly secret?: boolean }): string;
  representative(token: Minting & { readonly relatedPerson: string; readonly actsFor: string }): string;
  professional(token: ProfessionalToken): string;
  feeder(token: Minting & { readonly structure: string; readonly name?: string; readonly patient?: string }): string;
  insurer(token: Minting & { readonly structure?: string; readonly patient?: string }): string;
  operator(token: Minting & { readonly reason?: string; readonly name?: string; readonly patient?: string }): string;
};

export const DEFAULT_AUDIENCE = 'http://127.0.0.1:8103/fhir';
export const PURPOSE_SYSTEM = 'http://terminology.hl7.org/CodeSystem/v3-ActReason';
export const PROFESSION_SYSTEM = 'https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante';
export const IDNPS = 'urn:oid:1.2.250.1.71.4.2.1';
export const IDNST = 'urn:oid:1.2.250.1.71.4.2.2';

const USER_SCOPE = 'patient/*.cruds user/*.cruds';
const BACKEND_SCOPE = 'system/*.cruds';

const identifier = (system: string, text: string): string => (text.includes('|') ? text : `${system}|${text}`);

/** Without the members that are `undefined`. */
const present = (object: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

const segment = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A compact JWS (RFC 7515) of a header and a payload as given, with whatever signature `sign` makes. */
export function signCompact(
  header: object | string,
  payload: object | string,
  sign: (input: Buffer) => Buffer,
): string {
  const input = `${segment(header)}.${segment(payload)}`;
  return `${input}.${sign(Buffer.from(input)).toString('base64url')}`;
}

/** An issuer of these kinds at this URL, with a fresh ES256 key pair. `audience` is the base URL of the server that is to accept it. */
export function createIssuer(url: string, kinds: readonly CallerKind[], audience = DEFAULT_AUDIENCE): TestIssuer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = randomUUID();
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' };

  const mint = (claims: object | string, header: object | string = {}): string => {
    const full = typeof header === 'string' ? header : { alg: 'ES256', typ: 'JWT', kid, ...header };
    return signCompact(full, claims, (input) =>
      cryptoSign('sha256', input, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    );
  };

  type Own = { readonly claims: object; readonly iua: object; readonly carnet: object };
  const token = (minting: Minting, scope: string, own: Own): string => {
    const iat = Math.floor(minting.now / 1000);
    const subject = randomUUID();
    const backendKind =
      kinds.filter((kind) => kind === 'feeder' || kind === 'insurer' || kind === 'operator').length > 1;
    const { kind, ...carnet } = { kind: undefined, ...own.carnet };
    return mint({
      iss: url,
      aud: audience,
      sub: subject,
      iat,
      exp: iat + (minting.lifetime ?? 900),
      jti: randomUUID(),
      client_id: minting.clientId ?? 'test-client',
      scope: minting.scope ?? scope,
      ...own.claims,
      extensions: {
        ihe_iua: present({ ...own.iua, ...minting.iua }),
        carnet: present({ ...carnet, ...(backendKind ? { kind } : {}), ...minting.carnet }),
      },
      ...minting.claims,
    });
  };

  return {
    entry: { issuer: url, kinds, jwks: { keys: [jwk] }, ...(audience === DEFAULT_AUDIENCE ? {} : { audience }) },
    privateKey,
    kid,
    mint,
    holder: (minting) =>
      token(minting, USER_SCOPE, {
        claims: { fhirUser: `Patient/${minting.patient}`, patient: minting.patient },
        iua: {},
        carnet: { secret: minting.secret },
      }),
    representative: (minting) =>
      token(minting, USER_SCOPE, {
        claims: { fhirUser: `RelatedPerson/${minting.relatedPerson}` },
        iua: {},
        carnet: { acts_for: `Patient/${minting.actsFor}` },
      }),
    professional: (minting) =>
      token(minting, USER_SCOPE, {
        claims: { fhirUser: `Practitioner/${minting.practitioner}`, patient: minting.patient },
        iua: {
          national_provider_identifier: identifier(IDNPS, minting.nationalId),
          subject_role: [{ system: PROFESSION_SYSTEM, code: minting.profession }],
          subject_organization_id: identifier(IDNST, minting.structure),
          purpose_of_use: [{ system: PURPOSE_SYSTEM, code: minting.purpose }],
          subject_name: minting.name,
        },
        carnet: { reason: minting.reason, regulation: minting.regulation, secret: minting.secret },
      }),
    feeder: (minting) =>
      token(minting, BACKEND_SCOPE, {
        claims: { patient: minting.patient },
        iua: { subject_organization_id: identifier(IDNST, minting.structure), subject_organization: minting.name },
        carnet: { kind: 'feeder' },
      }),
    insurer: (minting) =>
      token(minting, BACKEND_SCOPE, {
        claims: { patient: minting.patient },
        iua: {
          subject_organization_id: minting.structure === undefined ? undefined : identifier(IDNST, minting.structure),
        },
        carnet: { kind: 'insurer' },
      }),
    operator: (minting) =>
      token(minting, BACKEND_SCOPE, {
        claims: { patient: minting.patient },
        iua: { subject_name: minting.name },
        carnet: { kind: 'operator', reason: minting.reason },
      }),
  };
}

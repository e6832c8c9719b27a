/** The inside of a token: rules.md section 1, C1 to C6, and contract.md "Identity of callers". */
import { Ajv } from 'ajv';
import type { CallerKind, Claims, Identifier, Purpose } from '../../access/caller.ts';
import { parseScopes } from '../../access/scopes.ts';
import type { Instant, JsonObject, Ref } from '../../fhir/types.ts';
import type { TrustedIssuer } from './issuer.ts';
import { type Checked, refused } from './jws.ts';
import { isAllowedSector } from './sector.ts';

type Coding = { readonly system?: string; readonly code?: string };

type IheIua = {
  readonly subject_name?: string;
  readonly subject_organization?: string;
  readonly subject_organization_id?: string;
  readonly national_provider_identifier?: string;
  readonly subject_role?: readonly Coding[];
  readonly purpose_of_use?: readonly Coding[];
};

type Carnet = {
  readonly kind?: string;
  readonly sector?: string;
  readonly reason?: string;
  readonly regulation?: boolean;
  readonly secret?: boolean;
  readonly acts_for?: string;
};

type Payload = {
  readonly iss: string;
  readonly aud: string | readonly [string];
  readonly sub: string;
  readonly exp: number;
  readonly iat: number;
  readonly nbf?: number;
  readonly jti: string;
  readonly client_id: string;
  readonly scope: string;
  readonly fhirUser?: string;
  readonly patient?: string;
  readonly extensions?: { readonly ihe_iua?: IheIua; readonly carnet?: Carnet };
};

/** Claims, and the instant before which they are not yet valid (`iat`, or a later `nbf`). */
export type DatedClaims = { readonly claims: Claims; readonly notBefore: Instant };

const TEXT = { type: 'string', minLength: 1, maxLength: 512, pattern: '^(?=.*\\S)[^\\p{Cc}]+$' } as const;
/** NumericDate (RFC 7519 section 2), up to the year 9999. */
const NUMERIC_DATE = { type: 'number', exclusiveMinimum: 0, maximum: 253402300799 } as const;
const CODING = { type: 'object', properties: { system: TEXT, code: TEXT, display: { type: 'string' } } } as const;

/**
 * Claims that make a token something else than an access token for a bearer: an ID token, a logout token, one bound to
 * a key that a bearer does not prove (RFC 9449 section 7.2, RFC 8705 section 3).
 */
const FOREIGN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events', 'cnf'] as const;

/** The JSON types of every claim read, whatever the kind of caller: a claim of another type is a token not understood. */
const SCHEMA = {
  type: 'object',
  required: ['iss', 'aud', 'sub', 'exp', 'iat', 'jti', 'client_id', 'scope'],
  properties: {
    iss: TEXT,
    aud: { anyOf: [TEXT, { type: 'array', minItems: 1, maxItems: 1, items: TEXT }] },
    sub: TEXT,
    exp: NUMERIC_DATE,
    iat: NUMERIC_DATE,
    nbf: NUMERIC_DATE,
    jti: TEXT,
    client_id: TEXT,
    scope: { ...TEXT, maxLength: 8192 },
    fhirUser: TEXT,
    patient: TEXT,
    extensions: {
      type: 'object',
      properties: {
        ihe_iua: {
          type: 'object',
          properties: {
            subject_name: TEXT,
            subject_organization: TEXT,
            subject_organization_id: TEXT,
            national_provider_identifier: TEXT,
            subject_role: { type: 'array', items: CODING },
            purpose_of_use: { type: 'array', items: CODING },
          },
        },
        carnet: {
          type: 'object',
          properties: {
            kind: TEXT,
            sector: TEXT,
            // A sentence: lines are allowed, other controls are not. C5 judges its length.
            reason: { type: 'string', pattern: '^[^\\p{Cc}]*(?:[\\t\\r\\n][^\\p{Cc}]*)*$' },
            regulation: { type: 'boolean' },
            secret: { type: 'boolean' },
            acts_for: TEXT,
          },
        },
      },
    },
  },
};

const AJV = new Ajv({ strict: true });
const isPayload = AJV.compile<Payload>(SCHEMA);

const ID = /^[A-Za-z0-9.-]{1,64}$/;

/** The type in `fhirUser` → the kind of caller. A person of the host is a `Person`: no resource of care or of a space. */
const KIND_OF_USER: ReadonlyMap<string, CallerKind> = new Map([
  ['Patient', 'patient'],
  ['RelatedPerson', 'representative'],
  ['Practitioner', 'professional'],
  ['Person', 'operator'],
]);
const BACKEND_KINDS: readonly CallerKind[] = ['feeder', 'insurer', 'operator'];

const ACT_REASON: ReadonlySet<string> = new Set([
  'http://terminology.hl7.org/CodeSystem/v3-ActReason',
  'urn:oid:2.16.840.1.113883.5.8',
]);
const PURPOSES: ReadonlyMap<string, Purpose> = new Map([
  ['TREAT', 'TREAT'],
  ['BTG', 'BTG'],
  ['ETREAT', 'ETREAT'],
]);

/** TRE_G15-ProfessionSante, in the three spellings of its system. */
const PROFESSION_SYSTEMS: ReadonlySet<string> = new Set([
  'https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante',
  'urn:oid:1.2.250.1.71.1.2.7',
  '1.2.250.1.71.1.2.7',
]);
/**
 * Médecine du travail (TRE_R38, TRE_R01; `G15_10/SM25` as a document's author specialty). TRE_G15 knows occupational
 * physicians as physicians only, and A1 never lets them consult: their profession is `10/SM25`, a row of its own.
 */
const OCCUPATIONAL_MEDICINE: ReadonlySet<string> = new Set(['SM25', 'G15_10/SM25']);

/** IDNPS, RPPS (domain.md 5.3). */
const PROFESSIONAL_SYSTEMS: ReadonlySet<string> = new Set([
  'urn:oid:1.2.250.1.71.4.2.1',
  'https://rpps.esante.gouv.fr',
]);
/** Structure national id, FINESS (contract.md). */
const STRUCTURE_SYSTEMS: ReadonlySet<string> = new Set(['urn:oid:1.2.250.1.71.4.2.2', 'https://finess.esante.gouv.fr']);

const MAX_LIFETIME = 3_600_000;
const MAX_EMERGENCY_LIFETIME = 900_000;
const MIN_REASON = 10;
const MAX_REASON = 500;

const codePoints = (text: string): number => [...text].length;

type User = { readonly ref: Ref; readonly kind: CallerKind };

/** `Type/id`, relative or under our base URL; no version, no query, no other type. */
function readUser(text: string, baseUrl: string): Checked<User> {
  const relative = text.startsWith(`${baseUrl}/`) ? text.slice(baseUrl.length + 1) : text;
  const [type, id, ...rest] = relative.split('/');
  const kind = KIND_OF_USER.get(type ?? '');
  if (kind === undefined || id === undefined || !ID.test(id) || rest.length > 0)
    return refused('`fhirUser` is not a reference to a caller of this server');
  return { ok: true, value: { ref: `${type}/${id}`, kind } };
}

/** SMART's launch context is a bare id; `Patient/x` is accepted as well. */
function readPerson(name: string, text: string | undefined): Checked<Ref | undefined> {
  if (text === undefined) return { ok: true, value: undefined };
  const id = text.startsWith('Patient/') ? text.slice('Patient/'.length) : text;
  return ID.test(id) ? { ok: true, value: `Patient/${id}` } : refused(`\`${name}\` does not name one person`);
}

/** `system|value`, of one of the systems given (any, when `undefined`). */
function readIdentifier(text: string | undefined, systems: ReadonlySet<string> | undefined): Identifier | undefined {
  const [system, value, ...rest] = (text ?? '').split('|');
  if (!system || !value || rest.length > 0 || /\s/.test(`${system}${value}`)) return undefined;
  return systems === undefined || systems.has(system) ? { system, value } : undefined;
}

/** C2: exactly one purpose, by exact code; a second one of whatever meaning is one too many. */
function readPurpose(codings: readonly Coding[] | undefined): Purpose | undefined {
  const [coding, ...rest] = codings ?? [];
  if (coding === undefined || rest.length > 0 || !ACT_REASON.has(coding.system ?? '')) return undefined;
  return PURPOSES.get(coding.code ?? '');
}

/** The one TRE_G15 profession among the roles; specialties and other roles say nothing here, but for A1's. */
function readProfession(codings: readonly Coding[] | undefined): string | undefined {
  const roles = codings ?? [];
  const professions = roles.filter(({ system }) => PROFESSION_SYSTEMS.has(system ?? '')).map(({ code }) => code);
  const [profession, ...others] = [...new Set(professions)];
  if (profession === undefined || others.length > 0 || /\s/.test(profession)) return undefined;
  return roles.some(({ code }) => OCCUPATIONAL_MEDICINE.has(code ?? '')) ? `${profession}/SM25` : profession;
}

/** The kind of caller, by `fhirUser` or by what the issuer declares, never by scopes. */
function readKind(user: User | undefined, stated: string | undefined, issuer: TrustedIssuer): Checked<CallerKind> {
  const declared = user === undefined ? BACKEND_KINDS.filter((kind) => issuer.kinds.has(kind)) : [user.kind];
  const [kind, ...others] = stated === undefined ? declared : declared.filter((candidate) => candidate === stated);
  if (kind === undefined) return refused('the token is of no kind that its issuer and its claims agree on');
  if (others.length > 0) return refused('the token does not say which of its issuer’s backend kinds it is');
  return issuer.kinds.has(kind) ? { ok: true, value: kind } : refused(`the issuer is not trusted for a ${kind}`);
}

/** C1: the sector of the client, as registered and as claimed. */
function faultOfSector(payload: Payload, issuer: TrustedIssuer): string | undefined {
  const claimed = payload.extensions?.carnet?.sector;
  const registered = issuer.clients?.get(payload.client_id);
  if (issuer.clients !== undefined && registered === undefined) return 'the client is not registered';
  if (claimed !== undefined && registered !== undefined && claimed !== registered)
    return 'C1: the sector claimed is not the one registered';
  const sector = registered ?? claimed;
  return sector === undefined || isAllowedSector(sector) ? undefined : 'C1: the sector of the client is refused';
}

/** What the builders of the kinds have in common: claims whose types, audience, sector and kind are settled. */
type Context = {
  readonly common: Omit<Claims, 'kind' | 'patient' | 'reason'>;
  readonly user: Ref | undefined;
  readonly patient: Ref | undefined;
  readonly actsFor: Ref | undefined;
  /** Trimmed; absent when there is nothing left of it. */
  readonly reason: string | undefined;
  readonly iua: IheIua;
  readonly carnet: Carnet;
  readonly lifetime: number;
};

const limitedTo = (patient: Ref | undefined): { readonly patient?: Ref } => (patient === undefined ? {} : { patient });
const because = (reason: string | undefined): { readonly reason?: string } => (reason === undefined ? {} : { reason });
const named = (name: string | undefined): { readonly name?: string } => (name === undefined ? {} : { name });

const isTooLong = (reason: string | undefined): boolean => reason !== undefined && codePoints(reason) > MAX_REASON;

/** C5, beside the lifetime of C3. */
function faultOfEmergency(purpose: Purpose, { patient, reason, carnet, lifetime }: Context): string | undefined {
  if (purpose === 'TREAT') return undefined;
  if (lifetime > MAX_EMERGENCY_LIFETIME) return 'C3: an emergency token lives longer than 900 s';
  if (isTooLong(reason)) return `C5: the reason is longer than ${MAX_REASON} characters`;
  if (purpose === 'ETREAT') return carnet.regulation === true ? undefined : 'C5: ETREAT needs `regulation` true';
  if (patient === undefined) return 'C5: BTG needs the `patient` claim';
  if (reason === undefined || codePoints(reason) < MIN_REASON)
    return `C5: BTG needs a reason of ${MIN_REASON} characters`;
  return undefined;
}

type Build = (context: Context) => Checked<Claims>;

/** C4: what each kind needs, and nothing that it does not. */
const BUILD: Readonly<Record<CallerKind, Build>> = {
  patient: ({ common, user, patient }) => {
    if (user === undefined || patient !== user) return refused('C4: a patient needs `patient` equal to `fhirUser`');
    return { ok: true, value: { ...common, kind: 'patient', fhirUser: user, patient } };
  },
  representative: ({ common, user, patient, actsFor }) => {
    const person = patient ?? actsFor;
    if (user === undefined || person === undefined || (actsFor !== undefined && actsFor !== person))
      return refused('C4: a representative needs exactly one person acted for');
    return {
      ok: true,
      value: { ...common, kind: 'representative', fhirUser: user, actsFor: person, ...limitedTo(patient) },
    };
  },
  professional: (context) => {
    const { common, user, iua, patient, reason } = context;
    const purpose = readPurpose(iua.purpose_of_use);
    if (purpose === undefined) return refused('C2: a professional needs exactly one purpose among TREAT, BTG, ETREAT');
    const nationalId = readIdentifier(iua.national_provider_identifier, PROFESSIONAL_SYSTEMS);
    if (user === undefined || nationalId === undefined)
      return refused('C4: a professional needs one national identifier');
    const profession = readProfession(iua.subject_role);
    if (profession === undefined) return refused('C4: a professional needs exactly one profession of TRE_G15');
    const structure = readIdentifier(iua.subject_organization_id, STRUCTURE_SYSTEMS);
    if (structure === undefined) return refused('C4: a professional needs one structure acted for');
    const fault = faultOfEmergency(purpose, context);
    if (fault !== undefined) return refused(fault);
    return {
      ok: true,
      value: {
        ...common,
        kind: 'professional',
        fhirUser: user,
        nationalId,
        profession,
        structure,
        purpose,
        ...limitedTo(patient),
        ...named(iua.subject_name),
        ...(purpose === 'TREAT' ? {} : because(reason)),
      },
    };
  },
  feeder: ({ common, iua, patient }) => {
    const structure = readIdentifier(iua.subject_organization_id, STRUCTURE_SYSTEMS);
    if (structure === undefined) return refused('C4: a feeder needs a structure');
    return {
      ok: true,
      value: { ...common, kind: 'feeder', structure, ...limitedTo(patient), ...named(iua.subject_organization) },
    };
  },
  insurer: ({ common, iua, patient }) => {
    const stated = iua.subject_organization_id;
    const structure = readIdentifier(stated, undefined);
    if (stated !== undefined && structure === undefined) return refused('the structure is not `system|value`');
    return {
      ok: true,
      value: {
        ...common,
        kind: 'insurer',
        ...(structure === undefined ? {} : { structure }),
        ...limitedTo(patient),
        ...named(iua.subject_organization),
      },
    };
  },
  operator: ({ common, user, iua, patient, reason }) => {
    if (isTooLong(reason)) return refused(`W15: the reason is longer than ${MAX_REASON} characters`);
    return {
      ok: true,
      value: {
        ...common,
        kind: 'operator',
        ...(user === undefined ? {} : { fhirUser: user }),
        ...limitedTo(patient),
        ...named(iua.subject_name),
        // W15: the reason of a repair.
        ...because(reason),
      },
    };
  },
};

/** C6: who may connect in secret. */
const maySecret = (claims: Claims): boolean =>
  claims.kind === 'patient' || (claims.kind === 'professional' && claims.purpose === 'TREAT');

const milliseconds = (numericDate: number): Instant => Math.round(numericDate * 1000);

const typeFault = (): string => {
  const error = isPayload.errors?.[0];
  // Paths and messages name claims of the schema only, never a value.
  return `the claims: \`${error?.instancePath || '/'}\` ${error?.message ?? 'are not understood'}`;
};

/** Reads the claims of a payload whose signature holds, for an issuer known by its `iss`. Nothing here depends on the clock. */
export function readClaims(payload: JsonObject, issuer: TrustedIssuer, baseUrl: string): Checked<DatedClaims> {
  const foreign = FOREIGN_CLAIMS.find((name) => Object.hasOwn(payload, name));
  if (foreign !== undefined) return refused(`the claim \`${foreign}\` is not that of a bearer's access token`);
  const candidate: unknown = payload;
  if (!isPayload(candidate)) return refused(typeFault());

  const audience = typeof candidate.aud === 'string' ? candidate.aud : candidate.aud[0];
  if (candidate.iss !== issuer.issuer || audience !== issuer.audience)
    return refused('the token is for another server');
  const sectorFault = faultOfSector(candidate, issuer);
  if (sectorFault !== undefined) return refused(sectorFault);

  const iua = candidate.extensions?.ihe_iua ?? {};
  const carnet = candidate.extensions?.carnet ?? {};
  const user = candidate.fhirUser === undefined ? undefined : readUser(candidate.fhirUser, baseUrl);
  if (user?.ok === false) return user;
  const kind = readKind(user?.value, carnet.kind, issuer);
  if (!kind.ok) return kind;

  const issuedAt = milliseconds(candidate.iat);
  const expiresAt = milliseconds(candidate.exp);
  const lifetime = expiresAt - issuedAt;
  if (lifetime <= 0 || lifetime > MAX_LIFETIME) return refused('C3: the token does not live between 0 and 3600 s');

  const patient = readPerson('patient', candidate.patient);
  if (!patient.ok) return patient;
  const actsFor = readPerson('acts_for', carnet.acts_for);
  if (!actsFor.ok) return actsFor;
  if (actsFor.value !== undefined && kind.value !== 'representative')
    return refused('`acts_for` is the claim of a representative');

  const built = BUILD[kind.value]({
    common: {
      issuer: candidate.iss,
      clientId: candidate.client_id,
      subject: candidate.sub,
      tokenId: candidate.jti,
      issuedAt,
      expiresAt,
      scopes: parseScopes(candidate.scope),
      secret: carnet.secret === true,
    },
    user: user?.value.ref,
    patient: patient.value,
    actsFor: actsFor.value,
    reason: carnet.reason?.trim() || undefined,
    iua,
    carnet,
    lifetime,
  });
  if (!built.ok) return built;
  if (built.value.secret && !maySecret(built.value)) return refused('C6: `secret` is not accepted from this caller');
  const notBefore = candidate.nbf === undefined ? issuedAt : Math.max(issuedAt, milliseconds(candidate.nbf));
  return { ok: true, value: { claims: built.value, notBefore } };
}

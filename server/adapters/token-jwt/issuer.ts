/** The trusted issuers, as the file of `CARNET_ISSUERS` states them: an array of entries, each read once at start. */
import { Ajv } from 'ajv';
import type { CallerKind } from '../../access/caller.ts';
import type { Json, JsonObject } from '../../fhir/types.ts';
import { type KeySet, readKeySet } from './jwks.ts';
import { faultOfKeySetUrl } from './jwks-source.ts';
import { type Checked, refused } from './jws.ts';
import { SECTORS, type Sector } from './sector.ts';

/** One issuer: what it may mint, for which server, and whose software it registered. */
export type TrustedIssuer = {
  /** `iss`, compared byte for byte. */
  readonly issuer: string;
  readonly kinds: ReadonlySet<CallerKind>;
  readonly keys: { readonly from: 'configuration'; readonly set: KeySet } | { readonly from: 'url'; readonly url: URL };
  /** `aud`, compared byte for byte. */
  readonly audience: string;
  /** `client_id` → sector (rules.md C1). When there is a registry, a client that it does not list is refused. */
  readonly clients: ReadonlyMap<string, Sector> | undefined;
};

type Entry = {
  readonly issuer: string;
  readonly kinds: readonly CallerKind[];
  readonly jwks?: JsonObject;
  readonly jwksUri?: string;
  readonly audience?: string;
  readonly clients?: readonly { readonly clientId: string; readonly sector: Sector }[];
};

const KINDS = [
  'patient',
  'representative',
  'professional',
  'feeder',
  'insurer',
  'operator',
] as const satisfies CallerKind[];

const TEXT = { type: 'string', minLength: 1, maxLength: 512, pattern: '^[^\\p{Cc}\\s]+$' } as const;

const SCHEMA = {
  type: 'array',
  maxItems: 1000,
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['issuer', 'kinds'],
    properties: {
      issuer: TEXT,
      kinds: { type: 'array', minItems: 1, uniqueItems: true, items: { enum: KINDS } },
      jwks: { type: 'object' },
      jwksUri: TEXT,
      audience: TEXT,
      clients: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['clientId', 'sector'],
          properties: { clientId: { type: 'string', minLength: 1, maxLength: 512 }, sector: { enum: SECTORS } },
        },
      },
    },
  },
};

const isEntries = new Ajv({ strict: true, verbose: true }).compile<readonly Entry[]>(SCHEMA);

/** `/0/kinds/1 must be equal to one of the allowed values: patient, …`. */
function firstFault(): string {
  const error = isEntries.errors?.[0];
  if (error === undefined) return 'is not an array of issuers';
  const { additionalProperty, allowedValues } = error.params as Record<string, unknown>; // INVARIANT: ajv's params are an object
  const detail = additionalProperty ?? (Array.isArray(allowedValues) ? allowedValues.join(', ') : undefined);
  return `\`${error.instancePath || '/'}\` ${error.message}${detail === undefined ? '' : `: ${String(detail)}`}`;
}

function readKeys(entry: Entry): Checked<TrustedIssuer['keys']> {
  const { jwks, jwksUri } = entry;
  if (jwks !== undefined && jwksUri === undefined) {
    const set = readKeySet(jwks);
    return set.ok ? { ok: true, value: { from: 'configuration', set: set.value } } : refused(`jwks: ${set.why}`);
  }
  if (jwks === undefined && jwksUri !== undefined) {
    const fault = faultOfKeySetUrl(jwksUri);
    return fault === undefined
      ? { ok: true, value: { from: 'url', url: new URL(jwksUri) } }
      : refused(`jwksUri ${fault}`);
  }
  return refused('needs exactly one of `jwks` and `jwksUri`');
}

/** Reads the array of `CARNET_ISSUERS`; `audience` is that of an entry which names none (the base URL). */
export function readIssuers(value: Json, audience: string): Checked<readonly TrustedIssuer[]> {
  if (!isEntries(value)) return refused(firstFault());
  const issuers = new Map<string, TrustedIssuer>();
  for (const entry of value) {
    if (issuers.has(entry.issuer)) return refused(`the issuer \`${entry.issuer}\` is there twice`);
    const keys = readKeys(entry);
    if (!keys.ok) return refused(`the issuer \`${entry.issuer}\`: ${keys.why}`);
    const clients = entry.clients && new Map(entry.clients.map(({ clientId, sector }) => [clientId, sector]));
    if (clients !== undefined && clients.size !== entry.clients?.length)
      return refused(`the issuer \`${entry.issuer}\` registers one client twice`);
    issuers.set(entry.issuer, {
      issuer: entry.issuer,
      kinds: new Set(entry.kinds),
      keys: keys.value,
      audience: entry.audience ?? audience,
      clients,
    });
  }
  return { ok: true, value: [...issuers.values()] };
}

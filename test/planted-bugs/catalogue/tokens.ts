/** rules.md section 1: which tokens pass. */
import type { PlantedBug } from '../planted-bug.ts';

const CLAIMS = 'server/adapters/token-jwt/claims.ts';
const VERIFY = 'server/adapters/token-jwt/verify.ts';
const JWS = 'server/adapters/token-jwt/jws.ts';
const JWKS = 'server/adapters/token-jwt/jwks.ts';
const FACTS = 'server/app/facts.ts';

const UNIT = 'test/unit/tokens/verify.test.ts';
const KEYS = 'test/unit/tokens/jwks.test.ts';
const STORIES = 'test/golden/http.test.ts';
const CALLERS = 'test/unit/app/callers.test.ts';

export const TOKENS: readonly PlantedBug[] = [
  {
    id: 'tokens/valid-at-its-expiry',
    fault: 'C3: a token still passes at the instant of `exp`.',
    file: VERIFY,
    find: 'return now >= claims.expiresAt + tolerance',
    replace: 'return now > claims.expiresAt + tolerance',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/break-glass-for-an-hour',
    fault: 'C3: an emergency token lives as long as any other.',
    file: CLAIMS,
    find: 'if (lifetime > MAX_EMERGENCY_LIFETIME)',
    replace: 'if (lifetime > Math.max(MAX_EMERGENCY_LIFETIME, MAX_LIFETIME))',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/remembered-without-signature',
    fault: 'A verified token is remembered by its claims, so that the same claims pass with any signature.',
    file: VERIFY,
    find: "createHash('sha256').update(bearer).digest('base64')",
    replace: "createHash('sha256').update(bearer.slice(0, bearer.lastIndexOf('.'))).digest('base64')",
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/remembered-beyond-its-key',
    fault: 'A token that was verified once passes after its key was withdrawn.',
    file: VERIFY,
    find: 'if (found?.ok === true && found.value.key === known.key) return known;',
    replace: 'if (found !== undefined) return known;',
    caughtBy: [KEYS],
  },
  {
    id: 'tokens/algorithm-of-the-token',
    fault: 'The token chooses the algorithm, whatever its key was registered for.',
    file: VERIFY,
    find: "if (!algorithms.has(alg)) return refused('the algorithm is not that of the registered key');",
    replace: "if (algorithms.size === 0) return refused('the algorithm is not that of the registered key');",
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/signature-not-verified',
    fault: 'The signature is decoded and not verified.',
    file: VERIFY,
    find: "if (!isSigned(token, key, alg)) return refused('the signature does not hold');",
    replace: "if (!isSigned(token, key, alg) && token === '') return refused('the signature does not hold');",
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/unknown-kid-falls-back',
    fault: 'T-03: a `kid` that names no key falls back to the only one there is.',
    file: JWKS,
    find: 'if (kid !== undefined) return keys.named.get(nameOf(kty, kid));',
    replace: 'if (kid !== undefined) return keys.named.get(nameOf(kty, kid)) ?? keys.only;',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/key-of-any-issuer',
    fault: 'A `kid` is looked up among the keys of all issuers, so one issuer signs for another.',
    file: VERIFY,
    find: 'const found = await from.keys.find(kty, kid);\n    if (!found.ok) return found;',
    replace: `let found = await from.keys.find(kty, kid);
    for (const other of trusted.values()) if (!found.ok) found = await other.keys.find(kty, kid);
    if (!found.ok) return found;`,
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/critical-header-ignored',
    fault: 'T-02: a `crit` header that is not understood is ignored.',
    file: JWS,
    find: "const REFUSED_HEADERS = ['crit', 'jku',",
    replace: "const REFUSED_HEADERS = ['jku',",
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/audience-among-others',
    fault: 'A token for this server and another one passes.',
    file: CLAIMS,
    find: "{ type: 'array', minItems: 1, maxItems: 1, items: TEXT }",
    replace: "{ type: 'array', minItems: 1, maxItems: 8, items: TEXT }",
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/issuer-mints-any-kind',
    fault: 'A hospital’s issuer mints a patient.',
    file: CLAIMS,
    find: 'return issuer.kinds.has(kind) ? { ok: true, value: kind } : refused(`the issuer is not trusted for a ${kind}`);',
    replace: 'return { ok: true, value: kind };',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/forbidden-sector',
    fault: 'C1: the software of a mutual insurer or of an employer calls.',
    file: 'server/adapters/token-jwt/sector.ts',
    find: 'const ALLOWED_SECTORS: ReadonlySet<string> = new Set(ALLOWED);',
    replace: 'const ALLOWED_SECTORS: ReadonlySet<string> = new Set(SECTORS);',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/duplicate-claims',
    fault: 'A claim that stands twice means its last value.',
    file: 'server/adapters/token-jwt/strict-json.ts',
    find: "if (level.names.has(string)) return 'json holds the same name twice in one object';",
    replace: '',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/purpose-by-default',
    fault: 'C2: a professional who states no purpose is treating.',
    file: CLAIMS,
    find: "if (coding === undefined || rest.length > 0 || !ACT_REASON.has(coding.system ?? '')) return undefined;",
    replace: `if (coding === undefined) return 'TREAT';
  if (rest.length > 0 || !ACT_REASON.has(coding.system ?? '')) return undefined;`,
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/first-of-several-purposes',
    fault: 'C2: of two purposes the first counts.',
    file: CLAIMS,
    find: "if (coding === undefined || rest.length > 0 || !ACT_REASON.has(coding.system ?? '')) return undefined;",
    replace: "if (coding === undefined || !ACT_REASON.has(coding.system ?? '')) return undefined;",
    also: [
      { file: CLAIMS, find: 'const [coding, ...rest] = codings ?? [];', replace: 'const [coding] = codings ?? [];' },
    ],
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/centre-15-without-its-claim',
    fault: 'C5: an ETREAT token passes without the regulation claim.',
    file: CLAIMS,
    find: "return carnet.regulation === true ? undefined : 'C5: ETREAT needs `regulation` true';",
    replace: 'return undefined;',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/blank-reason',
    fault: 'C5: ten spaces are a reason to break the glass.',
    file: CLAIMS,
    find: 'reason: carnet.reason?.trim() || undefined,',
    replace: 'reason: carnet.reason || undefined,',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/break-glass-on-everybody',
    fault: 'C5: a BTG token passes without naming the one person it is for.',
    file: CLAIMS,
    find: "if (patient === undefined) return 'C5: BTG needs the `patient` claim';",
    replace: '',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/secret-for-anybody',
    fault: 'C6: representatives and emergencies connect in secret.',
    file: CLAIMS,
    find: 'if (built.value.secret && !maySecret(built.value))',
    replace: 'if (built.value.secret && !maySecret(built.value) && built.value.scopes.length === 0)',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/holder-of-another-space',
    fault: 'C4: a holder’s token opens the space of another `patient`.',
    file: CLAIMS,
    find: 'if (user === undefined || patient !== user)',
    replace: 'if (user === undefined || patient === undefined)',
    caughtBy: [UNIT],
  },
  {
    id: 'tokens/user-and-national-id-disagree',
    fault: '`fhirUser` and the national identifier of a professional may name two people.',
    file: FACTS,
    find: "if (self !== claims.fhirUser) return refused('fhirUser and the national identifier name different professionals');",
    replace: '',
    caughtBy: [CALLERS, `${STORIES}#09-`],
  },
  {
    id: 'tokens/out-of-service-remembered',
    fault: 'Somebody whom the directory took out of service goes on calling: the entry is remembered, not its version.',
    file: FACTS,
    find: 'if (known?.versionId === version.versionId) return known;',
    replace: 'if (known !== undefined) return known;',
    caughtBy: [CALLERS],
  },
  {
    id: 'tokens/occupational-physicians-consult',
    fault: 'A1: an occupational physician is a physician like any other.',
    file: CLAIMS,
    find: "return roles.some(({ code }) => OCCUPATIONAL_MEDICINE.has(code ?? '')) ? `${profession}/SM25` : profession;",
    replace: 'return profession;',
    caughtBy: [UNIT],
  },
];

/**
 * AuditEvents after IHE BALP (https://profiles.ihe.net/ITI/BALP/): one for each person and request, without clinical content.
 * rules.md O1, D8, W8; contract.md "AuditEvents on the wire".
 */
import type { Caller } from '../access/caller.ts';
import type { RuleId } from '../access/decision.ts';
import { BALP_PATTERNS, EX, EXTENSION, SYSTEM } from '../fhir/canonical.ts';
import { asArray, asCoding, asObject, asText, referenceOf } from '../fhir/json.ts';
import type { Instant, JsonObject, Ref, Resource } from '../fhir/types.ts';

/** What was done, in BALP's patterns. */
export type AuditAction = 'create' | 'read' | 'update' | 'delete' | 'search';

/** What one request did to, or learnt about, one person; `person` absent: about nobody (the directory, an unknown id). */
export type AuditDraft = {
  readonly person: Ref | undefined;
  readonly items: readonly Ref[];
  readonly action: AuditAction;
  /** The interaction's own name: a FHIR RESTful interaction (`vread`, `history-instance`, `patch`, `transaction`…) or `operation`. */
  readonly interaction: string;
  readonly rules: readonly RuleId[];
  readonly refused: boolean;
  /** For a search: the type and the names of the parameters, without their values. */
  readonly query?: string;
};

export type AuditContext = {
  readonly caller: Caller;
  readonly now: Instant;
  readonly requestId: string;
  readonly clientAddress: string;
  readonly serverAddress: string;
};

const coded = (system: string, code: string) => ({ coding: [{ system, code }] });
const SOURCE = coded(SYSTEM.dicom, '110153');
const DESTINATION = coded(SYSTEM.dicom, '110152');
const APPLICATION = coded(SYSTEM.dicom, '110150');
const CUSTODIAN = coded(SYSTEM.provenanceRole, 'custodian');

/** BALP: action code, and what each end of the wire is. */
const PATTERN: Readonly<
  Record<AuditAction, { readonly code: string; readonly client: JsonObject; readonly server: JsonObject }>
> = {
  create: { code: 'C', client: SOURCE, server: DESTINATION },
  update: { code: 'U', client: SOURCE, server: DESTINATION },
  delete: { code: 'D', client: APPLICATION, server: CUSTODIAN },
  read: { code: 'R', client: DESTINATION, server: SOURCE },
  search: { code: 'E', client: SOURCE, server: DESTINATION },
};

const PERSON = { system: SYSTEM.auditEntityType, code: '1' };
const OBJECT = { system: SYSTEM.auditEntityType, code: '2' };
/** What a search found: BALP keeps the type of an object for the search itself. One code whatever the type of the item, since it is searchable. */
const FOUND = { system: SYSTEM.auditEntityType, code: '4' };
const role = (code: string) => ({ system: SYSTEM.objectRole, code });

/** Who asked, as the register of accesses shows them. */
function who(caller: Caller): JsonObject {
  const { claims } = caller;
  if (caller.self !== undefined) return { reference: caller.self };
  if (claims.kind === 'representative') return { reference: claims.fhirUser };
  return { identifier: { system: claims.issuer, value: claims.subject } };
}

function requestor({ caller }: AuditContext): JsonObject {
  const { claims } = caller;
  const name = 'name' in claims ? claims.name : undefined;
  const reason = claims.reason;
  return {
    ...(reason === undefined ? {} : { extension: [{ url: EXTENSION.accessReason, valueString: reason }] }),
    type: coded(SYSTEM.participationType, 'IRCP'),
    ...(caller.profession === undefined ? {} : { role: [coded(SYSTEM.profession, caller.profession)] }),
    who: who(caller),
    ...(name === undefined ? {} : { name }),
    requestor: true,
    policy: [`urn:ietf:params:oauth:jti:${claims.tokenId}`],
    ...(caller.purpose === undefined ? {} : { purposeOfUse: [coded(SYSTEM.actReason, caller.purpose)] }),
  };
}

/** The structure acted for, where the requestor is a person. */
const organization = ({ caller }: AuditContext): readonly JsonObject[] =>
  caller.kind === 'professional' && caller.structure !== undefined
    ? [
        {
          type: coded(SYSTEM.participationType, 'PPRF'),
          who: { reference: caller.structure },
          requestor: false,
        },
      ]
    : [];

/** Builds the AuditEvent of one draft, without id and meta of the server. */
export function auditEvent(draft: AuditDraft, context: AuditContext): Resource {
  const { caller } = context;
  const pattern = PATTERN[draft.action];
  const agents = [
    {
      type: pattern.client,
      who: { identifier: { value: caller.claims.clientId } },
      requestor: false,
      // Of a connection that is gone nobody knows it.
      ...(context.clientAddress === '' ? {} : { network: { address: context.clientAddress, type: '2' } }),
    },
    server(pattern.server, false, context.serverAddress),
    requestor(context),
    ...organization(context),
  ];
  const request = {
    what: { identifier: { value: context.requestId } },
    type: { system: SYSTEM.balpEntityType, code: 'XrequestId' },
  };
  return assembled(draft, { now: context.now, secret: caller.claims.secret, agents, request });
}

/** The AuditEvent of an act of the server's own clock (W7): nobody asked for it, so there is neither client nor request. */
export function clockEvent(
  draft: AuditDraft,
  context: { readonly now: Instant; readonly serverAddress: string },
): Resource {
  const agents = [server(PATTERN[draft.action].server, true, context.serverAddress)];
  return assembled(draft, { now: context.now, secret: false, agents, request: undefined });
}

const server = (type: JsonObject, isRequestor: boolean, address: string): JsonObject => ({
  type,
  who: { display: 'Carnet' },
  requestor: isRequestor,
  network: { address, type: '1' },
});

type Parts = {
  readonly now: Instant;
  readonly secret: boolean;
  readonly agents: readonly JsonObject[];
  readonly request: JsonObject | undefined;
};

function assembled(draft: AuditDraft, { now, secret: isSecret, agents, request }: Parts): Resource {
  const pattern = PATTERN[draft.action];
  const secret = isSecret ? [{ system: SYSTEM.audit, code: 'secret' }] : [];
  const detail = draft.rules.map((rule) => ({ type: 'rule', valueString: rule }));
  const itemType = draft.action === 'search' ? FOUND : OBJECT;
  return claiming({
    resourceType: 'AuditEvent',
    meta: { profile: [], ...(secret.length === 0 ? {} : { tag: secret }) },
    type: { system: SYSTEM.auditEventType, code: 'rest' },
    subtype: [{ system: SYSTEM.restfulInteraction, code: draft.interaction }],
    action: pattern.code,
    recorded: new Date(now).toISOString(),
    outcome: draft.refused ? '4' : '0',
    agent: agents,
    source: {
      observer: { display: 'Carnet' },
      type: [{ system: 'http://terminology.hl7.org/CodeSystem/security-source-type', code: '4' }],
    },
    entity: [
      ...draft.items
        .filter((i) => i !== draft.person)
        .map((item) => ({ what: { reference: item }, type: itemType, role: role('4') })),
      ...(draft.person === undefined
        ? []
        : [
            {
              what: { reference: draft.person },
              type: PERSON,
              role: role('1'),
              ...(detail.length === 0 ? {} : { detail }),
            },
          ]),
      ...(draft.query === undefined ? [] : [{ type: OBJECT, role: role('24'), query: base64(draft.query) }]),
      // About nobody, the rules stand with the request: BALP has no place for an object that names nothing.
      ...(request === undefined
        ? []
        : [draft.person === undefined && detail.length > 0 ? { ...request, detail } : request]),
    ],
  });
}

/** Our own profile, which holds for every event: refusals, transactions, operations and the server's own acts too. */
const OWN_PROFILE = `${EX}/StructureDefinition/carnet-audit-event`;

/**
 * The event with the profiles that hold for what it says: ours, and BALP's of its action where it is one successful interaction that BALP knows, on
 * one object. Of what a reader sees, and of nothing else: a claim that counted an item left out for them would tell of it (D8).
 */
function claiming(event: Resource): Resource {
  const pattern = balpPattern(event);
  return {
    ...event,
    meta: { ...event.meta, profile: pattern === undefined ? [OWN_PROFILE] : [pattern, OWN_PROFILE] },
  };
}

function balpPattern(event: Resource): string | undefined {
  const pattern = BALP_PATTERNS[asText(event['action']) ?? ''];
  const entities = asArray(event['entity']).map(asObject);
  const ofType = (type: typeof OBJECT) => entities.filter((e) => asCoding(e?.['type']).code === type.code);
  const holds =
    event['outcome'] === '0' &&
    pattern?.interactions.includes(asCoding(asArray(event['subtype'])[0]).code ?? '') === true &&
    ofType(OBJECT).length === 1 &&
    // Of an act of the server's own there is but one end.
    asArray(event['agent']).length > 1;
  if (!holds) return undefined;
  return ofType(PERSON).length === 1 ? pattern.ofPerson : pattern.ofNobody;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** The items (section 4) that an AuditEvent names: every literal `entity.what` but the Patient whom it is about. */
export const itemsOf = (event: JsonObject): readonly string[] =>
  asArray(event['entity'])
    .map(asObject)
    .filter((e) => asText(asObject(e?.['type'])?.['code']) !== PERSON.code)
    .map((e) => referenceOf(e?.['what']))
    .filter((r) => r !== undefined);

/**
 * What the guard of AuditEvent asks about beside the search parameters `agent` (who acted) and `entity` (what is named): whether any item is named
 * at all, and whether the session was secret.
 */
export function auditMarks(event: JsonObject): {
  readonly terms: readonly (readonly [string, string])[];
  readonly ranges: readonly { readonly param: string; readonly lo: number; readonly hi: number }[];
} {
  const items = itemsOf(event);
  const secret = asArray(asObject(event['meta'])?.['tag'])
    .map(asObject)
    .some((t) => t?.['system'] === SYSTEM.audit && t['code'] === 'secret');
  return {
    terms: [...(items.length === 0 ? [] : [['_items', '1'] as const]), ...(secret ? [['_secret', '1'] as const] : [])],
    ranges: [],
  };
}

/** The event as one reader sees it: entities naming items out of their sight are left out, and nothing else changes (D8). */
export function redacted(event: Resource, inSight: (item: string) => boolean): Resource {
  const entity = asArray(event['entity']).filter((e) => {
    const item = referenceOf(asObject(e)?.['what']);
    return item === undefined || item.startsWith('Patient/') || inSight(item);
  });
  return claiming({ ...event, entity });
}

/**
 * What of an event can be searched for: not the mark of a secret session, which `_tag` would tell to whom it is not shown, nor the BALP pattern, which
 * depends on items that a reader may not see.
 */
export const searchable = (event: Resource): Resource =>
  withoutSecretMark({ ...event, meta: { ...event.meta, profile: [OWN_PROFILE] } });

/** The event without the mark of a secret session, which is shown to the holder and the operator only (contract.md, W8). */
export function withoutSecretMark(event: Resource): Resource {
  const tags = asArray(event.meta?.['tag']);
  const kept = tags.filter((t) => asObject(t)?.['system'] !== SYSTEM.audit);
  if (kept.length === tags.length) return event;
  const { tag: _tag, ...meta } = (event.meta ?? {}) as JsonObject;
  return { ...event, meta: { ...meta, ...(kept.length === 0 ? {} : { tag: kept }) } };
}

/** Reads an AuditEvent of ours back (contract.md "AuditEvents on the wire"): who asked, for whom, why, what, and by which rules. */
import type { Purpose } from '../access/caller.ts';
import type { RuleId } from '../access/decision.ts';
import { SYSTEM } from '../fhir/canonical.ts';
import { allCodings, asArray, asCoding, asObject, asText, referenceOf } from '../fhir/json.ts';
import type { Instant, JsonObject, Ref } from '../fhir/types.ts';
import { itemsOf } from './event.ts';

export type AuditReading = {
  readonly recorded: Instant;
  readonly refused: boolean;
  /** R4 AuditEvent.action: C, R, U, D, E. */
  readonly action: string;
  readonly interaction: string;
  /** The resource of the requestor; absent for a backend without one. */
  readonly actor: Ref | undefined;
  /** As the token or the event names them; of a requestor without a resource, what it is identified by. */
  readonly actorName: string | undefined;
  /** The structure that a professional acted for. */
  readonly structure: Ref | undefined;
  readonly profession: string | undefined;
  readonly purpose: Purpose | undefined;
  readonly items: readonly Ref[];
  readonly rules: readonly RuleId[];
  readonly secret: boolean;
  /** The type that a search was of. */
  readonly searched: string | undefined;
};

const PURPOSES: readonly string[] = ['TREAT', 'BTG', 'ETREAT'] satisfies readonly Purpose[];

export function readEvent(event: JsonObject): AuditReading {
  const agents = asArray(event['agent']).map(asObject);
  const requestor = agents.find((agent) => agent?.['requestor'] === true);
  const performing = agents.find(
    (agent) =>
      agent?.['requestor'] === false && allCodings([agent['type'] ?? null]).some((coding) => coding.code === 'PPRF'),
  );
  const purpose = allCodings(requestor?.['purposeOfUse']).find((c) => c.system === SYSTEM.actReason)?.code;
  const entities = asArray(event['entity']).map(asObject);
  const query = asText(entities.find((entity) => entity?.['query'] !== undefined)?.['query']);
  return {
    recorded: Date.parse(asText(event['recorded']) ?? ''),
    refused: event['outcome'] !== '0',
    action: asText(event['action']) ?? '',
    interaction: asCoding(asArray(event['subtype'])[0]).code ?? '',
    // INVARIANT: the server wrote a literal reference there, or none.
    actor: referenceOf(requestor?.['who']) as Ref | undefined,
    actorName: asText(requestor?.['name']) ?? designationOf(asObject(requestor?.['who'])),
    // INVARIANT: as above.
    structure: referenceOf(performing?.['who']) as Ref | undefined,
    profession: allCodings(requestor?.['role']).find((c) => c.system === SYSTEM.profession)?.code,
    // INVARIANT: one of PURPOSES.
    purpose: purpose !== undefined && PURPOSES.includes(purpose) ? (purpose as Purpose) : undefined,
    // INVARIANT: `entity.what` of an item is a literal reference.
    items: itemsOf(event) as readonly Ref[],
    rules: entities.flatMap((entity) =>
      asArray(entity?.['detail'])
        .map(asObject)
        .filter((detail) => detail?.['type'] === 'rule')
        .map((detail) => asText(detail?.['valueString']))
        .filter((rule) => rule !== undefined),
    ),
    secret: asArray(asObject(event['meta'])?.['tag'])
      .map(asCoding)
      .some((tag) => tag.system === SYSTEM.audit && tag.code === 'secret'),
    searched: query === undefined ? undefined : searchedType(query),
  };
}

/** What stands for a requestor without a resource: the name of the server itself, or the identifier of who acts for the host. */
const designationOf = (who: JsonObject | undefined): string | undefined =>
  asText(who?.['display']) ?? asText(asObject(who?.['identifier'])?.['value']);

/** `Patient/DocumentReference?_id` is a search in a compartment: the last type is what is looked for. */
function searchedType(query: string): string | undefined {
  const path = Buffer.from(query, 'base64').toString('utf8').split('?')[0] ?? '';
  return path
    .split('/')
    .filter((segment) => /^[A-Z][A-Za-z]+$/.test(segment))
    .at(-1);
}

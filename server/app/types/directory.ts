/** D10, W14: the directory. Written by the operator only; taken out of service by `active` false, never deleted. */
import { systemGuard } from '../../access/decision.ts';
import { directoryRows } from '../../access/rules/space.ts';
import { EXTENSION, NATIONAL_IDENTIFIERS } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, extensionOf } from '../../fhir/json.ts';
import { ok, type Result } from '../../fhir/result.ts';
import { systemAndCode } from '../../fhir/search-value.ts';
import type { Json, Resource } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { guarded } from '../../query/plan.ts';
import { or, term } from '../../query/predicate.ts';
import { type Accepted, NO_MARKS, type TypeDeclaration } from '../declaration.ts';
import { filedBy, type Work } from '../work.ts';
import { conflict, forbidden } from './filing.ts';
import { refuseLabels } from './labels.ts';

/** National identifiers name one entry each: callers are resolved by them. */
async function identifiersFree(work: Work, resource: Resource, id: string | undefined): Promise<Result<void>> {
  const claimed = asArray(resource['identifier'])
    .map(asObject)
    .map((i) => ({ system: asText(i?.['system']), value: asText(i?.['value']) }))
    .filter((i) => i.system !== undefined && i.value !== undefined && NATIONAL_IDENTIFIERS.includes(i.system));
  if (claimed.length === 0) return ok(undefined);
  const type = resource.resourceType;
  const page = await work.unit.search(
    guarded(
      {
        type,
        where: or(...claimed.map((i) => term('identifier', systemAndCode(i.system ?? '', i.value ?? '')))),
        sort: [],
        limit: 2,
        total: false,
      },
      systemGuard(type, 'integrity'),
    ),
  );
  return page.matches.some((m) => m.id !== id) ? conflict('another entry has this national identifier') : ok(undefined);
}

const write = async (work: Work, resource: Resource, before: Version | undefined): Promise<Result<Accepted>> => {
  if (work.caller.kind !== 'operator') return forbidden('W14', 'the directory is written by the operator');
  if (work.caller.person !== undefined) {
    return forbidden('C6', 'this token is limited to one person: the directory is read only');
  }
  const labelled = refuseLabels(resource);
  if (!labelled.ok) return labelled;
  const free = await identifiersFree(work, resource, before?.id);
  if (!free.ok) return free;
  return ok({ resource, owner: undefined, filing: before?.filing ?? filedBy(work) });
};

/** D10: a mailbox on the *liste rouge* is read with its entry and is not searched for. */
function withoutUnlisted(resource: Resource): Resource {
  const unlisted = (telecom: Json): boolean =>
    extensionOf(extensionOf(asObject(telecom), EXTENSION.mailboxMetadata), 'listeRouge')?.['valueBoolean'] === true;
  const telecom = asArray(resource['telecom']);
  return telecom.some(unlisted) ? { ...resource, telecom: telecom.filter((t) => !unlisted(t)) } : resource;
}

export const directory = (type: string): TypeDeclaration => ({
  type,
  row: 'D10',
  about: 'nobody',
  rows: directoryRows,
  writes: {
    create: (work, resource) => write(work, resource, undefined),
    update: (work, change, resource) => write(work, resource, change.before),
  },
  marks: async () => NO_MARKS,
  searchable: withoutUnlisted,
  feedsSpace: false,
  bySight: [],
});

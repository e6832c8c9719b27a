/** What the operator's commands need of the application: what a stored resource should be indexed as, and the record of a destruction. */
import { createAccess } from '../access/access.ts';
import type { Caller } from '../access/caller.ts';
import { auditEvent, auditMarks, searchable } from '../audit/event.ts';
import { EMPTY_ENTRY, type IndexEntry, termText } from '../fhir/index-entry.ts';
import { indexResource } from '../fhir/index-resource.ts';
import type { Instant, Ref } from '../fhir/types.ts';
import type { StoreUnit, Version } from '../ports/store.ts';
import { accessOptions } from './caller-access.ts';
import type { Deps } from './deps.ts';
import { entryOfVersion, type Work, withServerMeta } from './work.ts';

/** The server itself, acting for the operator who runs a command on its machine. */
const SERVER: Caller = {
  claims: {
    kind: 'operator',
    issuer: 'urn:carnet',
    clientId: 'carnet',
    subject: 'command',
    tokenId: 'none',
    issuedAt: 0,
    expiresAt: 0,
    scopes: [],
    secret: false,
  },
  kind: 'operator',
};

/** The index entry of a stored version, as a write of it would make it now; what the server keeps for itself has none. */
export const entryNow = async (deps: Deps, unit: StoreUnit, version: Version): Promise<IndexEntry> =>
  version.type.startsWith('$') ? EMPTY_ENTRY : entryOfVersion(workOf(deps, unit), version);

function workOf(deps: Deps, unit: StoreUnit): Work {
  const now = deps.clock.now();
  return {
    deps,
    unit,
    caller: SERVER,
    access: createAccess(accessOptions(deps, SERVER, now)),
    now,
    newId: () => deps.ids.next(),
    traces: [],
    asked: new Set(),
    persons: new Set(),
    probed: [],
    written: { any: false },
    created: new Map(),
    uploads: new Map(),
    stale: new Set(),
    provides: { level: undefined },
    afterwards: [],
  };
}

/**
 * Records that a person's keys were destroyed (O1). The record belongs to nobody, for whoever owned it is gone; it names the person's id, which
 * says nothing any more.
 */
export async function recordDestruction(deps: Deps, person: Ref, now: Instant): Promise<void> {
  const key = { type: 'AuditEvent', id: deps.ids.next() };
  const draft = {
    person: undefined,
    items: [person],
    action: 'delete',
    interaction: 'delete',
    rules: ['S3'],
    refused: false,
  } as const;
  const event = auditEvent(draft, {
    caller: SERVER,
    now,
    requestId: deps.ids.next(),
    clientAddress: 'localhost',
    serverAddress: deps.serverAddress,
  });
  const resource = withServerMeta(event, key, '1', now);
  const indexed = indexResource(deps.registry, searchable(resource), { baseUrl: deps.baseUrl });
  const marks = auditMarks(resource);
  await deps.store.unit((unit) =>
    unit.put({
      key,
      versionId: '1',
      lastUpdated: now,
      deleted: false,
      owner: undefined,
      body: JSON.stringify(resource),
      entry: { ...indexed, terms: [...indexed.terms, ...marks.terms.map(([param, value]) => termText(param, value))] },
      filing: { filedAt: now, side: 'server' },
    }),
  );
}

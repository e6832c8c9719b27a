/** What is written of a version and read back: the one place where bodies, filings and bytes pass between the port and the database. */
import type { Ref } from '../../fhir/types.ts';
import type { Filing, Put, Version } from '../../ports/store.ts';
import { placeOf, type VersionFields } from './schema.ts';

/** The fields of a new version. */
export function fieldsOf(put: Put, seq: number): VersionFields {
  return {
    type: put.key.type,
    id: put.key.id,
    no: put.versionId,
    seq,
    updated: put.lastUpdated,
    deleted: put.deleted,
    owner: put.owner ?? null,
    place: placeOf(put.owner),
    filing: filingText(put.filing),
    body: put.body,
  };
}

export const filingText = (filing: Filing): string => JSON.stringify(filing);

/** A version from its fields. */
export function versionOf(doc: VersionFields): Version {
  return {
    type: doc.type,
    id: doc.id,
    versionId: doc.no,
    lastUpdated: doc.updated,
    deleted: doc.deleted,
    // INVARIANT: `owner` is only ever written from a Ref, `filing` from a Filing.
    owner: (doc.owner ?? undefined) as Ref | undefined,
    body: doc.body,
    filing: doc.filing === '{}' ? {} : (JSON.parse(doc.filing) as Filing),
  };
}

/** A chunk of content as it is kept, and back. */
export const chunkStored = (bytes: Uint8Array): Uint8Array => bytes;
export const chunkRead = (stored: Uint8Array): Uint8Array => stored;

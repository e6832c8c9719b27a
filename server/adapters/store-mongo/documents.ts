/** What is written of a version: the one place where a `Put` becomes the fields of a document. */
import type { Put } from '../../ports/store.ts';
import type { DataKey } from '../vault/seal.ts';
import { versionText } from '../vault/version.ts';
import { placeOf, type VersionFields } from './schema.ts';
import { contexts, sealPiece } from './sealed.ts';

/** The fields of a new version, sealed with the key of its owner. */
export function fieldsOf(put: Put, seq: number, key: DataKey): VersionFields {
  const named = {
    type: put.key.type,
    id: put.key.id,
    no: put.versionId,
    updated: put.lastUpdated,
    deleted: put.deleted,
    owner: put.owner ?? null,
  };
  return {
    ...named,
    seq,
    place: placeOf(put.owner),
    sealed: sealPiece(key, named.owner, { context: contexts.version(named), plain: versionText(put) }),
  };
}

/** A version as it is sealed: filing and body in one piece, bound to what its row says it is. Both stores write it. */
import type { JsonObject, Key } from '../../fhir/types.ts';
import type { Filing, Version } from '../../ports/store.ts';
import { contextOf } from './seal.ts';

/** A version as its row names it: its ciphertext opens for these values and no others. */
export type SealedVersion = {
  readonly key: Key;
  readonly no: string;
  readonly updated: number;
  readonly deleted: boolean;
};

/** What a sealed version is bound to, beside its owner, whom the vault adds. */
export const versionContext = ({ key, no, updated, deleted }: SealedVersion): string =>
  contextOf('version', key.type, key.id, no, updated, deleted ? 1 : 0);

type Content = { readonly filing: Filing; readonly body: string };

/** Filing and body in one piece: a read opens both, with one pass of the cipher. */
export const versionText = ({ filing, body }: Content): string => `${JSON.stringify(filing)}\n${body}`;

/** What `versionText` made. */
export function readVersionText(text: string): Content {
  // JSON text on one line comes first: the first newline ends it.
  const end = text.indexOf('\n');
  const filing = text.slice(0, end);
  // INVARIANT: `versionText` wrote a Filing.
  return { filing: filing === '{}' ? {} : (JSON.parse(filing) as Filing), body: text.slice(end + 1) };
}

/** Whether a body is what its row says it is: a sentence when it is not. */
export function describes(version: Version): string | undefined {
  if (version.deleted) return version.body === '' ? undefined : 'a deleted version has a body';
  // What the server keeps for itself about a person is no resource.
  if (version.type.startsWith('$')) return undefined;
  const body: unknown = JSON.parse(version.body);
  if (typeof body !== 'object' || body === null) return 'its body is no resource';
  const { resourceType, id, meta } = body as JsonObject;
  const same =
    resourceType === version.type &&
    id === version.id &&
    (meta as JsonObject | undefined)?.['versionId'] === version.versionId;
  return same ? undefined : 'its body is another resource than its row says';
}

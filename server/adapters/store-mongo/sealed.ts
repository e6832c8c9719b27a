/** What of a document is sealed, and as what. Keys are fetched first, many in one question; then everything opens at once. */
import { EMPTY_ENTRY, type IndexEntry } from '../../fhir/index-entry.ts';
import type { Ref } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { own } from '../store-sqlite/facets.ts';
import { type Recent, recent } from '../store-sqlite/recent.ts';
import type { KeyOf } from '../vault/key-ring.ts';
import { contextOf, type DataKey, markOf, open, seal, Unreadable, versionOfKey, within } from '../vault/seal.ts';
import { NOBODY } from '../vault/vault.ts';
import { readVersionText, versionContext } from '../vault/version.ts';
import type { CurrentDocument, VersionFields } from './schema.ts';

/** The fields of a version that its ciphertext is bound to. */
export type Named = Pick<VersionFields, 'type' | 'id' | 'no' | 'updated' | 'deleted' | 'owner'>;

/** What is sealed of an index entry: strings, and sort keys that are text, by parameter. */
export type Texts = {
  readonly keys: Readonly<Record<string, string>>;
  readonly strings: Readonly<Record<string, readonly string[]>>;
};
export const NO_TEXTS: Texts = { keys: {}, strings: {} };

/** The associated data of each kind of piece, beside its owner. */
export const contexts = {
  version: ({ type, id, no, updated, deleted }: Named): string =>
    versionContext({ key: { type, id }, no, updated, deleted }),
  texts: ({ type, id, no }: Pick<Named, 'type' | 'id' | 'no'>): string => contextOf('entry', type, id, no),
  content: ({ type, id }: Pick<Named, 'type' | 'id'>, upload: string): string => contextOf('content', type, id, upload),
  space: (): string => 'space',
} as const;

/** Seals a piece of `owner`, whose key this is. */
export const sealPiece = (
  key: DataKey,
  owner: string | null,
  { context, plain }: { readonly context: string; readonly plain: string | Uint8Array },
): Uint8Array => seal(key, within(owner ?? NOBODY, context), plain);

/** Opens a piece. Throws an `Unreadable` when it was altered or moved, or when its key is another. */
export const openPiece = (
  keyOf: KeyOf,
  owner: string | null,
  { context, sealed }: { readonly context: string; readonly sealed: Uint8Array },
): Buffer => open(keyOf({ owner, sealed }), within(owner ?? NOBODY, context), sealed);

/** Bytes as the database gives them; anything else was put there by somebody else. */
export function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Unreadable('the database holds a document of another shape');
  return value;
}

/** A version from its fields. */
export function versionOf(doc: VersionFields, keyOf: KeyOf): Version {
  const plain = openPiece(keyOf, doc.owner, { context: contexts.version(doc), sealed: bytesOf(doc.sealed) });
  return {
    type: doc.type,
    id: doc.id,
    versionId: doc.no,
    lastUpdated: doc.updated,
    deleted: doc.deleted,
    // INVARIANT: `owner` is only ever written from a Ref.
    owner: (doc.owner ?? undefined) as Ref | undefined,
    ...readVersionText(plain.toString('utf8')),
  };
}

/** The sealed values of a document. */
export function textsOf(doc: Pick<CurrentDocument, 'type' | 'id' | 'no' | 'owner' | 'texts'>, keyOf: KeyOf): Texts {
  if (doc.texts === null) return NO_TEXTS;
  const plain = openPiece(keyOf, doc.owner, { context: contexts.texts(doc), sealed: bytesOf(doc.texts) });
  // INVARIANT: `facetsOf` wrote it.
  return JSON.parse(plain.toString('utf8')) as Texts;
}

/** One parameter's strings as an entry. */
export const stringsOf = (texts: Texts, param: string): IndexEntry => ({
  ...EMPTY_ENTRY,
  strings: (own(texts.strings, param) ?? []).map((text) => ({ param, text })),
});

/** Parsed space entries: a few kB each. */
const PARSED = 500;

export type EntryReader = (person: string, sealed: Uint8Array, keyOf: KeyOf) => IndexEntry;

/** Reads sealed space entries, most of which were read before. */
export function entryReader(): EntryReader {
  const known: Recent<string, IndexEntry> = recent(PARSED);
  return (person, sealed, keyOf) => {
    // Asked even when the entry is known: a key that is destroyed opens nothing.
    const key = keyOf({ owner: person, sealed: bytesOf(sealed) });
    // By person and by nonce: the same bytes in another place are not known, and do not open.
    const mark = `${person}:${versionOfKey(sealed)}:${markOf(sealed)}`;
    const before = known.get(mark);
    if (before !== undefined) return before;
    const plain = open(key, within(person, contexts.space()), sealed);
    // INVARIANT: only ever sealed from `entryJson` of an IndexEntry.
    const parsed = JSON.parse(plain.toString('utf8')) as IndexEntry;
    known.set(mark, parsed);
    return parsed;
  };
}

/** What of a row is sealed, and as what: a version's filing and body, and the values of a resource that its row does not keep open. */

import { EMPTY_ENTRY, type IndexEntry } from '../../fhir/index-entry.ts';
import type { Key, Ref } from '../../fhir/types.ts';
import type { Filing } from '../../ports/store.ts';
import { matches, NO_LINKS } from '../../query/matches.ts';
import type { Bound, Predicate } from '../../query/predicate.ts';
import { contextOf, markOf, Unreadable } from '../vault/seal.ts';
import type { Vault } from '../vault/vault.ts';
import { readVersionText, type SealedVersion, versionContext, versionText } from '../vault/version.ts';
import type { Database } from './database.ts';
import { type Hidden, NOTHING_HIDDEN, own, readHidden } from './facets.ts';
import { type Recent, recent } from './recent.ts';
import type { Words } from './words.ts';

type OwnedVersion = SealedVersion & { readonly owner: Ref | undefined };

export const sealVersion = (
  vault: Vault,
  at: OwnedVersion,
  content: { readonly filing: Filing; readonly body: string },
): Uint8Array => vault.seal(at.owner, versionContext(at), versionText(content));

export const openVersion = (
  vault: Vault,
  at: OwnedVersion,
  sealed: Uint8Array,
): { readonly filing: Filing; readonly body: string } =>
  readVersionText(vault.open(at.owner, versionContext(at), sealed).toString('utf8'));

/** The row of a resource, as far as its sealed values are bound to it. */
export type SealedRow = {
  readonly key: Key;
  readonly rid: number;
  readonly vid: number;
  readonly owner: Ref | undefined;
};

const rowContext = ({ key, rid, vid }: SealedRow): string => contextOf('entry', key.type, key.id, rid, vid);
const EMPTY = new Uint8Array(0);

/** Seals what `facetsOf` hid; nothing stays nothing. */
export const sealHidden = (vault: Vault, row: SealedRow, json: string): Uint8Array =>
  json === '' ? EMPTY : vault.seal(row.owner, rowContext(row), json);

/** Opened values by row: a search asks about the same row several times. */
const OPENED = 2_000;

export type HiddenValues = {
  /** The sealed values of a row. Throws an `Unreadable` when they are not those of this row. */
  of(row: SealedRow, sealed: Uint8Array): Hidden;
};

export function hiddenValues(vault: Vault): HiddenValues {
  const opened: Recent<string, Hidden> = recent(OPENED);
  return {
    of(row, sealed) {
      if (sealed.length === 0) return NOTHING_HIDDEN;
      // By row and by nonce: the same bytes on another row are not known, and do not open.
      const mark = `${row.rid}:${row.vid}:${row.owner ?? ''}:${row.key.type}:${row.key.id}:${markOf(sealed)}`;
      const known = opened.get(mark);
      if (known !== undefined) return known;
      const hidden = readHidden(vault.open(row.owner, rowContext(row), sealed).toString('utf8'));
      opened.set(mark, hidden);
      return hidden;
    },
  };
}

/** One parameter's strings as an entry. */
export const stringsOf = (hidden: Hidden, param: string): IndexEntry => ({
  ...EMPTY_ENTRY,
  strings: (own(hidden.strings, param) ?? []).map((text) => ({ param, text })),
});

/** One parameter's ranges as an entry. */
export const rangesOf = (ranges: Hidden['ranges'], name: string, param: string): IndexEntry => ({
  ...EMPTY_ENTRY,
  ranges: (own(ranges, name) ?? []).map(([lo, hi]) => ({ param, lo, hi })),
});

/** The columns of a row `r` that a function of SQL needs in order to open its sealed values; the type is known to the question. */
export const sealedColumns = (alias: string): string =>
  `${alias}.rid, ${alias}.vid, ${alias}.owner, ${alias}.id, ${alias}.sealed`;

/**
 * The functions by which SQL asks about sealed values: it hands the ciphertext over and gets a yes, a no or a sort key back. Opened values
 * never become rows.
 */
export function defineFunctions(db: Database, words: Words, values: HiddenValues): void {
  const hidden = (type: unknown, [rid, vid, owner, id, sealed]: readonly unknown[]): Hidden => {
    if (!(sealed instanceof Uint8Array)) throw new Unreadable('the store holds a row of another shape');
    if (sealed.length === 0) return NOTHING_HIDDEN;
    return values.of(
      {
        key: { type: String(type), id: String(id) },
        rid: Number(rid),
        vid: Number(vid),
        owner: typeof owner === 'number' ? words.refOfPerson(owner) : undefined,
      },
      sealed,
    );
  };
  const asked = (p: Predicate, e: IndexEntry): number => (matches(p, e, NO_LINKS) ? 1 : 0);
  const options = { varargs: true, directOnly: true } as const;

  db.raw.function('sealed_string', options, (type, op, param, text, ...row) => {
    const p = stringPredicate(op, param, text);
    return asked(p, stringsOf(hidden(type, row), p.param));
  });
  db.raw.function('sealed_range', options, (type, param, loCmp, lo, hiCmp, hi, ...row) => {
    const name = String(param);
    const p: Predicate = { op: 'range', param: name, ...bound('lo', loCmp, lo), ...bound('hi', hiCmp, hi) };
    return asked(p, rangesOf(hidden(type, row).ranges, name, name));
  });
  db.raw.function('sealed_key', options, (type, param, ...row) => own(hidden(type, row).keys, String(param)) ?? null);
  db.raw.function('space_string', options, (op, param, text, person) =>
    asked(stringPredicate(op, param, text), words.space(Number(person)) ?? EMPTY_ENTRY),
  );
}

const stringPredicate = (op: unknown, param: unknown, text: unknown) =>
  ({ op: op === 'prefix' ? 'prefix' : 'contains', param: String(param), text: String(text) }) as const;

// INVARIANT: comparisons come from `compile.ts`, which has them from a Bound.
const bound = (end: 'lo' | 'hi', cmp: unknown, at: unknown): { readonly [end in 'lo' | 'hi']?: Bound } =>
  cmp === null ? {} : { [end]: [cmp as Bound[0], Number(at)] };

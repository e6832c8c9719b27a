/**
 * The inverted index: from a term, a reference or the beginning of a string to rows. It only says where a query may start; every row
 * it yields is checked against the row's own facets, so a row too many costs time and a row too few would be a wrong answer.
 */
import { termText } from '../../fhir/index-entry.ts';
import type { Database } from './database.ts';
import type { Reference } from './facets.ts';
import { MAX_ROW, ROW_BITS } from './schema.ts';
import { headOf, unpacked } from './term-hash.ts';
import { paramName, type Words } from './words.ts';

/** So many bytes of a string are kept for starts-with; the rest is checked on the row. */
export const STRING_HEAD_BYTES = 24;

/** A term is common when one in this many rows of its type has it: then a walk over the type costs little more than the index. */
const COMMON_SHARE = 8;

export type Inverted = {
  /** Writes the rows of the first entry of row `rid` of `type`. */
  add(type: string, rid: number, now: Indexed): void;
  /** Replaces the rows of an entry; what did not change is left alone. */
  replace(type: string, rid: number, change: { readonly before: Packed; readonly now: Indexed }): void;
  /** Drops what this process remembers: an undone unit may have put it there. */
  forget(): void;
};

/** What a row itself still knows of the entry it was indexed by. */
export type Packed = { readonly marks: Uint8Array; readonly hashes: Uint8Array; readonly strings: string };
/** What is indexed of an entry. */
export type Indexed = Packed & { readonly references: readonly Reference[] };

type Link = readonly [param: number, hi: number, lo: number];
type Head = readonly [param: number, head: Uint8Array];

export function inverted(db: Database, words: Words, commonAfter: number): Inverted {
  const insertTerm = db.statement(`INSERT OR IGNORE INTO term (key) VALUES ((? << ${ROW_BITS}) | ?)`);
  const deleteTerm = db.statement(`DELETE FROM term WHERE key = ((? << ${ROW_BITS}) | ?)`);
  const insertLink = db.statement('INSERT OR IGNORE INTO link (rid, param, target) VALUES (?, ?, (? << 32) | ?)');
  const selectLinks = db.statement(
    'SELECT param, (target >> 32) & 4294967295, target & 4294967295 FROM link WHERE rid = ?',
  );
  const deleteLink = db.statement('DELETE FROM link WHERE rid = ? AND param = ? AND target = ((? << 32) | ?)');
  const insertString = db.statement('INSERT OR IGNORE INTO str (param, head, rid) VALUES (?, ?, ?)');
  const deleteString = db.statement('DELETE FROM str WHERE param = ? AND head = ? AND rid = ?');
  const insertCommon = db.statement('INSERT OR IGNORE INTO common (head) VALUES (?)');
  const selectCommon = db.statement('SELECT head FROM common');

  // How often this process wrote a term, and a type: an estimate is enough, for a term that is common and not noticed only costs space.
  const seen = new Map<number, number>();
  const rows = new Map<string, number>();
  let common: Set<number> | undefined;

  const commons = (): Set<number> => {
    common ??= new Set(selectCommon.all().map(([head]) => Number(head)));
    return common;
  };

  /** Counts one more use of a term and answers whether it has become too common to be worth a row. */
  const isCommon = (head: number, ofType: number): boolean => {
    if (commons().has(head)) return true;
    const count = (seen.get(head) ?? 0) + 1;
    seen.set(head, count);
    if (seen.size > 50_000) seen.clear();
    if (count < commonAfter || count * COMMON_SHARE < ofType) return false;
    insertCommon.run(head);
    commons().add(head);
    return true;
  };

  const heads = (of: Packed): Set<number> => new Set([...unpacked(of.marks), ...unpacked(of.hashes)].map(headOf));

  /** By their spelling, so that two entries can be compared. The strings and references of a space entry are not started from. */
  const strings = (type: string, json: string): Map<string, Head> => {
    const found = new Map<string, Head>();
    if (json === '{}' || type === '') return found;
    // INVARIANT: written by `facetsOf`.
    const lists = JSON.parse(json) as Readonly<Record<string, readonly string[]>>;
    for (const [param, texts] of Object.entries(lists)) {
      const name = words.name(paramName(type, param));
      for (const text of texts) {
        const head = stringHead(text);
        found.set(`${name}=${head.toString('latin1')}`, [name, head]);
      }
    }
    return found;
  };

  const links = (type: string, references: readonly Reference[]): Map<string, Link> => {
    const found = new Map<string, Link>();
    if (type === '') return found;
    for (const [param, target] of references) {
      const { hi, lo } = words.address(target);
      const name = words.name(paramName(type, param));
      found.set(`${name}:${hi}:${lo}`, [name, hi, lo]);
    }
    return found;
  };

  const storedLinks = (rid: number): Map<string, Link> => {
    const found = new Map<string, Link>();
    for (const [param, hi, lo] of selectLinks.all(rid)) {
      found.set(`${param}:${hi}:${lo}`, [Number(param), Number(hi), Number(lo)]);
    }
    return found;
  };

  const write = (
    type: string,
    rid: number,
    change: { readonly before: Packed | undefined; readonly now: Indexed },
  ): void => {
    const { before, now } = change;
    if (rid > MAX_ROW) throw new Error('the store file is full');
    const oldHeads = before === undefined ? new Set<number>() : heads(before);
    const newHeads = heads(now);
    if (type !== '') {
      // References of a resource are found by `link`.
      for (const [param, target] of now.references) {
        const head = headOf(words.hash(type, termText(param, target)));
        newHeads.delete(head);
        oldHeads.delete(head);
      }
    }
    const ofType = (rows.get(type) ?? 0) + 1;
    rows.set(type, ofType);
    for (const head of newHeads) if (!oldHeads.delete(head) && !isCommon(head, ofType)) insertTerm.run(head, rid);
    for (const head of oldHeads) deleteTerm.run(head, rid);

    const oldStrings: Map<string, Head> = before === undefined ? new Map() : strings(type, before.strings);
    for (const [text, [param, head]] of strings(type, now.strings)) {
      if (!oldStrings.delete(text)) insertString.run(param, head, rid);
    }
    for (const [param, head] of oldStrings.values()) deleteString.run(param, head, rid);

    const oldLinks: Map<string, Link> = before === undefined || type === '' ? new Map() : storedLinks(rid);
    for (const [text, [param, hi, lo]] of links(type, now.references)) {
      if (!oldLinks.delete(text)) insertLink.run(rid, param, hi, lo);
    }
    for (const [param, hi, lo] of oldLinks.values()) deleteLink.run(rid, param, hi, lo);
  };

  return {
    add: (type, rid, now) => write(type, rid, { before: undefined, now }),
    replace: write,
    forget() {
      seen.clear();
      rows.clear();
      common = undefined;
    },
  };
}

/** The beginning of a string as the index keeps it, in UTF-8. */
export const stringHead = (text: string): Buffer => Buffer.from(text, 'utf8').subarray(0, STRING_HEAD_BYTES);

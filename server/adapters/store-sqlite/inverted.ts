/**
 * The inverted index: from a term, a reference or the beginning of a string to rows. It only says where a query may start; every row
 * it yields is checked against the row's own facets, so a row too many costs time and a row too few would be a wrong answer.
 */
import { termText } from '../../fhir/index-entry.ts';
import { beginningFor, beginningsOf } from './beginnings.ts';
import type { Database } from './database.ts';
import type { Facets } from './facets.ts';
import { MAX_ROW, ROW_BITS } from './schema.ts';
import { HEAD, headOf, type TermHash, type TermHasher, unpacked } from './term-hash.ts';
import { paramName, type Words } from './words.ts';

/** A term is common when one in this many rows of its type has it: then a walk over the type costs little more than the index. */
const COMMON_SHARE = 8;

export type Inverted = {
  /** Writes the rows of the first entry of row `rid` of `type`. */
  add(type: string, rid: number, now: Indexed): void;
  /** Replaces the rows of an entry; what did not change is left alone. */
  replace(type: string, rid: number, change: { readonly before: Before; readonly now: Indexed }): void;
  /** What `add` and `replace` need to be told of an entry. */
  startsOf(type: string, facets: Pick<Facets, 'references' | 'strings'>): Starts;
  /** Drops what this process remembers: an undone unit may have put it there. */
  forget(): void;
};

/** What a row itself still knows of the entry it was indexed by. */
export type Packed = { readonly marks: Uint8Array; readonly hashes: Uint8Array };
/** What is indexed of an entry. */
export type Indexed = Packed & { readonly starts: Starts };
/** The entry that a row was indexed by. */
export type Before = Packed & { readonly strings: readonly Text[] };

type Text = { readonly param: string; readonly text: string };
/** A reference: its parameter, the hash of what it names, and the head of the term that says the same. */
type Link = readonly [param: number, hi: number, lo: number, term: number];
type StoredLink = readonly [param: number, hi: number, lo: number];
type Head = readonly [hi: number, lo: number];
/** What of an entry hashes of terms cannot give back, as numbers alone: it may lie in a row until it is indexed. */
export type Starts = { readonly links: readonly Link[]; readonly strings: readonly Head[] };

export function inverted(db: Database, words: Words, commonAfter: number): Inverted {
  const insertTerm = db.statement(`INSERT OR IGNORE INTO term (key) VALUES ((? << ${ROW_BITS}) | ?)`);
  const deleteTerm = db.statement(`DELETE FROM term WHERE key = ((? << ${ROW_BITS}) | ?)`);
  const insertLink = db.statement('INSERT OR IGNORE INTO link (rid, param, target) VALUES (?, ?, (? << 32) | ?)');
  const selectLinks = db.statement(
    'SELECT param, (target >> 32) & 4294967295, target & 4294967295 FROM link WHERE rid = ?',
  );
  const deleteLink = db.statement('DELETE FROM link WHERE rid = ? AND param = ? AND target = ((? << 32) | ?)');
  const insertString = db.statement('INSERT OR IGNORE INTO str (head, rid) VALUES ((? << 32) | ?, ?)');
  const deleteString = db.statement('DELETE FROM str WHERE head = ((? << 32) | ?) AND rid = ?');
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

  /** The strings and references of a space entry are not started from. */
  const headsOfStrings = (type: string, texts: readonly Text[]): Map<string, Head> => {
    const found = new Map<string, Head>();
    if (type === '') return found;
    for (const { param, text } of texts) {
      for (const beginning of beginningsOf(text)) {
        const { hi, lo } = headOfText(type, param, { text: beginning, hash: words.hash });
        found.set(`${hi}:${lo}`, [hi, lo]);
      }
    }
    return found;
  };

  const startsOf = (type: string, { references, strings }: Pick<Facets, 'references' | 'strings'>): Starts => ({
    links:
      type === ''
        ? []
        : references.map(([param, target]) => {
            const { hi, lo } = words.address(target);
            return [words.name(paramName(type, param)), hi, lo, headOf(words.hash(type, termText(param, target)))];
          }),
    strings: [...headsOfStrings(type, strings).values()],
  });

  const storedLinks = (rid: number): Map<string, StoredLink> => {
    const found = new Map<string, StoredLink>();
    for (const [param, hi, lo] of selectLinks.all(rid)) {
      found.set(`${param}:${hi}:${lo}`, [Number(param), Number(hi), Number(lo)]);
    }
    return found;
  };

  const write = (
    type: string,
    rid: number,
    change: { readonly before: Before | undefined; readonly now: Indexed },
  ): void => {
    const { before, now } = change;
    if (rid > MAX_ROW) throw new Error('the store file is full');
    const oldHeads = before === undefined ? new Set<number>() : heads(before);
    const newHeads = heads(now);
    for (const [, , , term] of now.starts.links) {
      // References of a resource are found by `link`.
      newHeads.delete(term);
      oldHeads.delete(term);
    }
    const ofType = (rows.get(type) ?? 0) + 1;
    rows.set(type, ofType);
    for (const head of newHeads) if (!oldHeads.delete(head) && !isCommon(head, ofType)) insertTerm.run(head, rid);
    for (const head of oldHeads) deleteTerm.run(head, rid);

    const oldStrings = before === undefined ? new Map<string, Head>() : headsOfStrings(type, before.strings);
    for (const [hi, lo] of now.starts.strings) {
      if (!oldStrings.delete(`${hi}:${lo}`)) insertString.run(hi, lo, rid);
    }
    for (const [hi, lo] of oldStrings.values()) deleteString.run(hi, lo, rid);

    const oldLinks = before === undefined || type === '' ? new Map<string, StoredLink>() : storedLinks(rid);
    for (const [param, hi, lo] of now.starts.links) {
      if (!oldLinks.delete(`${param}:${hi}:${lo}`)) insertLink.run(rid, param, hi, lo);
    }
    for (const [param, hi, lo] of oldLinks.values()) deleteLink.run(rid, param, hi, lo);
  };

  return {
    add: (type, rid, now) => write(type, rid, { before: undefined, now }),
    replace: write,
    startsOf,
    forget() {
      seen.clear();
      rows.clear();
      common = undefined;
    },
  };
}

type Beginning = { readonly text: string; readonly hash: TermHasher };

const headOfText = (type: string, param: string, { text, hash }: Beginning): TermHash =>
  hash(HEAD, `${paramName(type, param)}\0${text}`);

/** The hash under which strings that start with `text` are found; `undefined` when it is too short to look for. */
export function headOfPrefix(type: string, param: string, { text, hash }: Beginning): TermHash | undefined {
  const beginning = beginningFor(text);
  return beginning === undefined ? undefined : headOfText(type, param, { text: beginning, hash });
}

import type { IndexEntry } from '../../fhir/index-entry.ts';
import type { Ref } from '../../fhir/types.ts';
import { markOf } from '../vault/seal.ts';
import type { Database } from './database.ts';
import { type Recent, recent } from './recent.ts';
import { ADDRESS, type TermHash, type TermHasher, termHasher } from './term-hash.ts';

/**
 * The words of one database: hashes, small numbers for names and persons, and the space entries behind them.
 * Numbers are remembered across units; `forget` drops what a unit that was undone may have made.
 */
export type Words = {
  readonly hash: TermHasher;
  /** The hash of `Type/id`, which is `self` of that resource and `target` of a link to it. */
  address(ref: string): TermHash;
  /** The number of a name, `undefined` when nothing stored uses it. */
  findName(text: string): number | undefined;
  name(text: string): number;
  textOfName(id: number): string;
  findPerson(ref: string): number | undefined;
  person(ref: string): number;
  refOfPerson(id: number): Ref;
  /** The space entry of a person, `undefined` when there is none. */
  space(person: number): IndexEntry | undefined;
  forget(): void;
};

/** What a sealed space entry is sealed as; whose it is, the vault adds. */
export const SPACE = 'space';

/** The parameter of a type, as `name` knows it. */
export const paramName = (type: string, param: string): string => `${type}.${param}`;

const REMEMBERED = 10_000;
/** Parsed space entries, by what tells their sealed form from any other: a few kB each. */
const PARSED = 500;

export function wordsOf(db: Database): Words {
  const hash = termHasher(db.vault.indexKey);
  const names = new Map<string, number>();
  const texts = new Map<number, string>();
  const persons: Recent<string, number> = recent(REMEMBERED);
  const refs: Recent<number, Ref> = recent(REMEMBERED);
  const entries: Recent<string, IndexEntry> = recent(PARSED);

  const selectName = db.statement('SELECT id FROM name WHERE text = ?');
  const selectText = db.statement('SELECT text FROM name WHERE id = ?');
  const insertName = db.statement('INSERT INTO name (text) VALUES (?)');
  const selectPerson = db.statement('SELECT id, ref FROM person WHERE self = ((? << 32) | ?)');
  const insertPerson = db.statement('INSERT INTO person (self, ref) VALUES ((? << 32) | ?, ?)');
  const selectRef = db.statement('SELECT ref FROM person WHERE id = ?');
  const selectSpace = db.statement('SELECT entry, ref FROM person WHERE id = ?');

  const address = (ref: string): TermHash => hash(ADDRESS, ref);

  const findName = (text: string): number | undefined => {
    const known = names.get(text);
    if (known !== undefined) return known;
    const [id] = selectName.get(text) ?? [];
    if (typeof id !== 'number') return undefined;
    names.set(text, id);
    return id;
  };

  const findPerson = (ref: string): number | undefined => {
    const known = persons.get(ref);
    if (known !== undefined) return known;
    const at = address(ref);
    const [id, found] = selectPerson.get(at.hi, at.lo) ?? [];
    if (typeof id !== 'number' || found !== ref) return undefined;
    persons.set(ref, id);
    return id;
  };

  return {
    hash,
    address,
    findName,
    name(text) {
      const found = findName(text);
      if (found !== undefined) return found;
      const id = insertName.run(text);
      names.set(text, id);
      return id;
    },
    textOfName(id) {
      const known = texts.get(id);
      if (known !== undefined) return known;
      const [text] = selectText.get(id) ?? [];
      if (typeof text !== 'string') throw new Error('the store names a type that it does not know');
      texts.set(id, text);
      return text;
    },
    findPerson,
    person(ref) {
      const found = findPerson(ref);
      if (found !== undefined) return found;
      const at = address(ref);
      const id = insertPerson.run(at.hi, at.lo, ref);
      persons.set(ref, id);
      return id;
    },
    refOfPerson(id) {
      const known = refs.get(id);
      if (known !== undefined) return known;
      const [ref] = selectRef.get(id) ?? [];
      if (typeof ref !== 'string') throw new Error('the store names an owner that it does not know');
      // INVARIANT: `person.ref` is only ever written from a Ref.
      refs.set(id, ref as Ref);
      return ref as Ref;
    },
    space(person) {
      const [sealed, ref] = selectSpace.get(person) ?? [];
      if (!(sealed instanceof Uint8Array) || typeof ref !== 'string') return undefined;
      const mark = `${person}:${markOf(sealed)}`;
      const known = entries.get(mark);
      if (known !== undefined) return known;
      // INVARIANT: `person.entry` is only ever written by `entryJson` from an IndexEntry.
      const parsed = JSON.parse(db.vault.open(ref, SPACE, sealed).toString()) as IndexEntry;
      entries.set(mark, parsed);
      return parsed;
    },
    forget() {
      names.clear();
      texts.clear();
      persons.clear();
      refs.clear();
    },
  };
}

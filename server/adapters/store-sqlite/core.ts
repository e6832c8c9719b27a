import type { Uploads } from './content.ts';
import type { Database } from './database.ts';
import type { Inverted } from './inverted.ts';
import type { HiddenValues } from './sealed.ts';
import type { SqlValue } from './sql.ts';
import type { Words } from './words.ts';

/** What every part of the adapter works with: one connection, its words, its index. */
export type Core = {
  readonly db: Database;
  readonly words: Words;
  readonly index: Inverted;
  /** The values of rows that are sealed. */
  readonly hidden: HiddenValues;
  /** Complete uploads that wait for a version to take them over. */
  readonly uploads: Uploads;
  /** Types whose index rows are written later, in batches. */
  readonly deferred: ReadonlySet<string>;
  /** Told how many index entries were put off (or, negative, written after all). */
  readonly putOff: (count: number) => void;
};

/** A column that is text. */
export const textOf = (value: SqlValue | undefined): string => {
  if (typeof value !== 'string') throw new Error('the store holds a row of another shape');
  return value;
};
/** A column that is bytes. */
export const blobOf = (value: SqlValue | undefined): Uint8Array => {
  if (!(value instanceof Uint8Array)) throw new Error('the store holds a row of another shape');
  return value;
};

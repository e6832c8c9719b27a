/**
 * So many first characters of a string are hashed into the index, for starts-with: two find a short name, five a long one among not too many.
 * The rest is decided on what was sealed. Each length shows who shares a beginning, and no more.
 */
const LENGTHS = [5, 2] as const;

/** The beginnings under which a string is found. */
export const beginningsOf = (text: string): readonly string[] =>
  LENGTHS.filter((length) => text.length >= length).map((length) => text.slice(0, length));

/** The beginning under which strings that start with `text` are found; `undefined` when it is too short to look for. */
export function beginningFor(text: string): string | undefined {
  const length = LENGTHS.find((n) => n <= text.length);
  return length === undefined ? undefined : text.slice(0, length);
}

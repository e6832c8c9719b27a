/** A deliberate fault as data: what somebody tired would do to one place of the server, and which tests are there to notice. */

/** Parts of the server that faults are planted in. */
export const AREAS = [
  'rules',
  'query',
  'audit',
  'tokens',
  'time',
  'interactions',
  'writes',
  'notices',
  'store',
  'http',
  'explain',
] as const;
export type Area = (typeof AREAS)[number];

/** Areas whose faults must all be caught: there, one that passes is a leak or a missing record. */
export const MUST_ALL_BE_CAUGHT: readonly Area[] = ['rules', 'query', 'audit'];

/** One text of one file that becomes another. */
export type Edit = {
  /** Path in the repository. */
  readonly file: string;
  /** Stands in the file exactly once. Short and telling: it shall survive changes around it. */
  readonly find: string;
  readonly replace: string;
};

export type PlantedBug = Edit & {
  /** `area/what-is-wrong`. */
  readonly id: string;
  /** The fault in one sentence. */
  readonly fault: string;
  /** Further places that the same fault needs. */
  readonly also?: readonly Edit[];
  /** Test files, the fastest first; after `#` a pattern of test names where a file has many tests. */
  readonly caughtBy: readonly string[];
};

export const areaOf = ({ id }: PlantedBug): Area => {
  const area = AREAS.find((one) => id.startsWith(`${one}/`));
  if (area === undefined) throw new Error(`\`${id}\` names no area`);
  return area;
};

export const editsOf = (bug: PlantedBug): readonly Edit[] => [bug, ...(bug.also ?? [])];

/** A test file of `caughtBy`, and the pattern of test names in it. */
export function selectorOf(text: string): { readonly file: string; readonly names: string | undefined } {
  const at = text.indexOf('#');
  return at < 0 ? { file: text, names: undefined } : { file: text.slice(0, at), names: text.slice(at + 1) };
}

const occurrences = (text: string, part: string): number => text.split(part).length - 1;

/**
 * The files as they are with the fault in them. Throws when an edit does not apply: its text is not there, or stands there more than once, and
 * the catalogue has to follow the change.
 */
export function planted(bug: PlantedBug, read: (file: string) => string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const { file, find, replace } of editsOf(bug)) {
    const text = files.get(file) ?? read(file);
    const found = occurrences(text, find);
    if (found !== 1) {
      throw new Error(
        `${bug.id} does not apply: its text stands ${found} times in ${file}, and must stand once:\n${find}`,
      );
    }
    // A function, so that `$&` and its like in the replacement are read as themselves.
    files.set(
      file,
      text.replace(find, () => replace),
    );
  }
  return files;
}

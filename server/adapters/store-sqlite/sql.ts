/** SQL as text plus values. Values never enter the text, so the text depends on the shape of a question alone and can be cached. */
export type SqlValue = null | number | bigint | string | Uint8Array;
export type Sql = { readonly text: string; readonly args: readonly SqlValue[] };

const isSql = (part: Sql | SqlValue): part is Sql => typeof part === 'object' && part !== null && 'text' in part;

/** A fragment: interpolated fragments are spliced, everything else becomes a bound value. */
export function sql(strings: TemplateStringsArray, ...parts: readonly (Sql | SqlValue)[]): Sql {
  let text = strings[0] ?? '';
  const args: SqlValue[] = [];
  parts.forEach((part, i) => {
    if (isSql(part)) {
      text += part.text;
      for (const arg of part.args) args.push(arg);
    } else {
      text += '?';
      args.push(part);
    }
    text += strings[i + 1] ?? '';
  });
  return { text, args };
}

/** A fragment of our own text: aliases and keywords, never anything a caller sent. */
export const raw = (text: string): Sql => ({ text, args: [] });

/**
 * A LIMIT as text. Bound as a value it makes SQLite prepare the statement anew at every run; rounded up to a few sizes, so that the texts
 * stay few. A caller takes no more rows than it asked for.
 */
export function limitOf(rows: number): Sql {
  if (!Number.isSafeInteger(rows) || rows < 0) throw new RangeError('a limit is a whole number of rows');
  return raw(String(LIMIT_SIZES.find((size) => size >= rows) ?? rows));
}
const LIMIT_SIZES: readonly number[] = [2, 3, 21, 51, 60, 101, 201, 501, 1001, 3000];

export const TRUE = raw('1');
export const FALSE = raw('0');

/** Up to this many operands stand in one chain: SQLite refuses expressions deeper than 1000 (limits.html), and a chain is as deep as it is long. */
const CHAIN = 100;

/** `(a AND b …)` or `(a OR b …)`, as a shallow tree; the empty conjunction is true, the empty disjunction false. */
export function joined(parts: readonly Sql[], by: 'AND' | 'OR'): Sql {
  const [only] = parts;
  if (only === undefined) return by === 'AND' ? TRUE : FALSE;
  if (parts.length === 1) return only;
  if (parts.length > CHAIN) {
    const size = Math.ceil(parts.length / CHAIN);
    const groups = Array.from({ length: Math.ceil(parts.length / size) }, (_, i) =>
      joined(parts.slice(i * size, (i + 1) * size), by),
    );
    return joined(groups, by);
  }
  return { text: `(${parts.map((p) => p.text).join(` ${by} `)})`, args: parts.flatMap((p) => p.args) };
}

/** `a, b, c`. */
export const listed = (parts: readonly Sql[]): Sql => ({
  text: parts.map((p) => p.text).join(', '),
  args: parts.flatMap((p) => p.args),
});

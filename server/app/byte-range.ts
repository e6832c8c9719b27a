/** A part of a content. https://www.rfc-editor.org/rfc/rfc9110#section-14 */

/** Bytes `from` to `to`, both included, from 0. */
export type ByteRange = { readonly from: number; readonly to: number };

const ONE_RANGE = /^bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*$/i;

/**
 * The part of `size` bytes that a `Range` field asks for. `undefined`: the whole, since there is no such field, or it is one that may be ignored (another
 * unit, several ranges, nonsense).
 */
export function byteRange(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = ONE_RANGE.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const suffix = Math.min(Number(last), size);
    return suffix === 0 ? 'unsatisfiable' : { from: size - suffix, to: size - 1 };
  }
  const from = Number(first);
  if (last !== '' && Number(last) < from) return undefined;
  if (from >= size) return 'unsatisfiable';
  return { from, to: last === '' ? size - 1 : Math.min(Number(last), size - 1) };
}

/** Whether `If-Range` lets a `Range` count: it names this strong entity tag. A date never does (RFC 9110 13.1.5): the whole is sent. */
export const ifRangeHolds = (header: string | undefined, etag: string): boolean =>
  header === undefined || header.trim() === etag;

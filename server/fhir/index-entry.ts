/**
 * What a resource looks like to a query: flat, typed, store-neutral. Built once, on write.
 *
 * `terms` are exact (`param=value`), `strings` are folded text for starts-with and contains, `ranges` are half-open
 * intervals `[lo, hi)` of dates (ms since the epoch) or numbers, `sort` one key for each parameter that can be sorted by.
 * Parameters whose name starts with `_` and an upper-case-free word of ours (`_label`, `_author`, …) are guard terms:
 * written by the server from what it recorded, never from what a client declared.
 */
export type IndexEntry = {
  readonly terms: readonly string[];
  readonly strings: readonly { readonly param: string; readonly text: string }[];
  readonly ranges: readonly { readonly param: string; readonly lo: number; readonly hi: number }[];
  readonly sort: readonly { readonly param: string; readonly key: string | number }[];
};

export const EMPTY_ENTRY: IndexEntry = { terms: [], strings: [], ranges: [], sort: [] };

/** `param=value`, the one spelling of a term. */
export const termText = (param: string, value: string): string => `${param}=${value}`;

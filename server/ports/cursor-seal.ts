/** Seals page cursors: opaque to clients, bound to what they were made for, worthless anywhere else. */
export interface CursorSeal {
  /** `text` sealed for `context` (caller, query); URL-safe. */
  seal(text: string, context: string): string;
  /** What was sealed, or `undefined` when it was not sealed by this server for this context, or was altered. */
  open(sealed: string, context: string): string | undefined;
}

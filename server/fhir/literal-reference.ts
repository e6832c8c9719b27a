/** The text of a `Reference.reference`, told apart. https://hl7.org/fhir/R4/references.html#literal */
import type { Ref } from './types.ts';

export type LiteralReference =
  /** A resource of this server, or a relative reference: `Patient/p1`, with the version it names, if any. */
  | { readonly kind: 'local'; readonly ref: Ref; readonly type: string; readonly id: string; readonly version?: string }
  /** `#x`: a contained resource; `#`: the container. */
  | { readonly kind: 'contained'; readonly id: string }
  /** An absolute URL of another server, a `urn:`, or anything else: compared as written. */
  | { readonly kind: 'other'; readonly text: string };

const RELATIVE = /^([A-Z][A-Za-z]{1,63})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/([A-Za-z0-9\-.]{1,64}))?$/;

/** `https://h/fhir/` and `https://h/fhir` are the same base. */
export const withoutSlash = (url: string): string => (url.endsWith('/') ? url.slice(0, -1) : url);

/** Reads a literal reference. An absolute URL under `baseUrl` is the relative reference that follows it. */
export function readReference(text: string, baseUrl: string): LiteralReference {
  if (text.startsWith('#')) return { kind: 'contained', id: text.slice(1) };
  const base = withoutSlash(baseUrl);
  const relative = base !== '' && text.startsWith(`${base}/`) ? text.slice(base.length + 1) : text;
  const m = RELATIVE.exec(relative);
  const type = m?.[1];
  const id = m?.[2];
  if (m === null || type === undefined || id === undefined) return { kind: 'other', text };
  const version = m[3];
  return { kind: 'local', ref: `${type}/${id}`, type, id, ...(version === undefined ? {} : { version }) };
}

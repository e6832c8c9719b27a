import type { Json } from '../fhir/types.ts';

/**
 * One request as plain data: the application knows no Express. A batch or transaction entry becomes one of these too.
 */
export type FhirRequest = {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Decoded path segments below the base: `['DocumentReference', 'd1', '_history']`. */
  readonly path: readonly string[];
  /** Decoded query parameters in order; those of a form-encoded `_search` body are appended. */
  readonly query: readonly (readonly [name: string, value: string])[];
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: RequestBody;
  /** The server's own id of this exchange (never the client's). */
  readonly requestId: string;
  readonly bearer: string | undefined;
  /** Network address of the peer, for the audit. */
  readonly address: string;
};

export type RequestBody =
  | { readonly kind: 'none' }
  /** Parsed, guarded JSON (no duplicate keys, bounded depth), with its media type without parameters. */
  | { readonly kind: 'json'; readonly value: Json; readonly mediaType: string }
  /** Content of a Binary on its way in, raw or unwrapped from its JSON; consumed once. */
  | {
      readonly kind: 'bytes';
      readonly source: AsyncIterable<Uint8Array>;
      /** Known for certain only when `source` has ended: a wrapped Binary states it anywhere. */
      readonly contentType: Promise<string>;
      /** It came as JSON. */
      readonly wrapped: boolean;
    };

export type FhirResponse = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Text is sent as it is (already serialised); bytes are streamed, and stop when the iterator ends or throws. */
  readonly body: string | AsyncIterable<Uint8Array> | undefined;
};

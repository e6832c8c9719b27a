/**
 * The content of a zlib stream (RFC 1950), which may be followed by other bytes; `undefined` when it is none, is broken, or inflates to more than
 * `most` bytes. Synchronous: it is asked inside a unit of the store.
 */
export type Inflate = (bytes: Uint8Array, most: number) => Uint8Array | undefined;

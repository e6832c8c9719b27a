import { constants, inflateSync } from 'node:zlib';
import type { Inflate } from '../ports/inflate.ts';

/** Inflates with Node's own zlib; what stands after the stream is not looked at, and a stream that is cut off is broken. */
export const inflate: Inflate = (bytes, most) => {
  try {
    return inflateSync(bytes, { maxOutputLength: most, finishFlush: constants.Z_FINISH });
  } catch {
    return undefined;
  }
};

/** Bytes that come inside JSON, in base64: stored aside before the unit begins, so that it holds none of them. */
import { fail, ok, type Result } from '../../fhir/result.ts';
import { UploadTooLarge } from '../../ports/store.ts';
import type { Deps } from '../deps.ts';

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function fromBase64(text: string): Uint8Array | undefined {
  const compact = text.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact) || compact.length % 4 !== 0) return undefined;
  return Buffer.from(compact, 'base64');
}

/** Stores the bytes of one base64 text aside and answers with the upload; `at` is where it stands in the request. */
export async function stageBase64(deps: Deps, text: string, at: string): Promise<Result<string>> {
  const bytes = fromBase64(text);
  if (bytes === undefined) return fail({ code: 'unprocessable', faults: [{ text: 'the data is not base64', at }] });
  try {
    return ok((await deps.store.stage(once(bytes), deps.limits.maxBinaryBytes)).id);
  } catch (error) {
    if (!(error instanceof UploadTooLarge)) throw error;
    return fail({ code: 'too-large', text: `content has at most ${deps.limits.maxBinaryBytes} bytes` });
  }
}

/** https://hl7.org/fhir/R4/binary.html: content, raw or wrapped, in chunks both ways. A chunk is decided like a read (O3). */
import { createAccess } from '../../access/access.ts';
import { asText } from '../../fhir/json.ts';
import { fail, ok, type Result } from '../../fhir/result.ts';
import type { Key, Resource } from '../../fhir/types.ts';
import { type Answer, etagOf, noneMatchNames } from '../answer.ts';
import { accessOptions } from '../caller-access.ts';
import { resolveCaller } from '../facts.ts';
import type { FhirRequest } from '../request.ts';
import { parsed, type Work } from '../work.ts';
import { inScope } from './read.ts';
import { createAs, writeAnswer } from './write.ts';

const FHIR_JSON = /^application\/fhir\+json\b/i;

/** Raw, unless FHIR JSON is what the client accepts. */
const wantsWrapped = (request: FhirRequest): boolean =>
  FHIR_JSON.test(request.query.find(([n]) => n === '_format')?.[1] ?? request.headers['accept'] ?? '');

export async function readBinary(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const scope = inScope(work, 'r', 'Binary');
  if (!scope.ok) return scope;
  const version = await work.unit.read(key, work.access.guard('Binary', 'r'));
  if (version === undefined) return fail({ code: 'not-found' });
  work.asked.add('Binary');
  work.traces.push({ owner: version.owner, item: `Binary/${key.id}` });
  if (version.deleted) return fail({ code: 'gone' });
  const etag = etagOf(version);
  if (noneMatchNames(request.headers['if-none-match'], version)) return ok({ status: 304, etag });
  const resource = parsed(version);
  const size = (await work.unit.bytes(key))?.size ?? 0;
  // The first chunk belongs to this decision and its record: nothing comes between them.
  const first = request.method === 'HEAD' ? undefined : await work.unit.chunk(key, work.access.guard('Binary', 'r'), 0);
  const chunks = (): AsyncIterable<Uint8Array> => decidedChunks(work, key, { first, size });
  const common = { status: 200, etag, lastModified: version.lastUpdated } as const;
  if (wantsWrapped(request)) {
    return ok({
      ...common,
      contentType: 'application/fhir+json; charset=utf-8',
      stream: () => wrapped(resource, chunks()),
    });
  }
  return ok({
    ...common,
    contentType: asText(resource['contentType']) ?? 'application/octet-stream',
    headers: { 'content-length': String(size) },
    stream: chunks,
  });
}

/** Thrown in the middle of a stream when the next chunk is refused: the connection is cut, so that no part passes for the whole. */
export class StreamRevoked extends Error {}

/** The content, each chunk after the first read in a unit of its own under the rights of that moment: a revocation stops the next one. */
async function* decidedChunks(
  work: Work,
  key: Key,
  { first, size }: { readonly first: Uint8Array | undefined; readonly size: number },
): AsyncGenerator<Uint8Array> {
  const { deps, caller } = work;
  if (first === undefined) return;
  yield first;
  for (let index = 1, sent = first.length; sent < size; index += 1) {
    const chunk = await deps.store.unit(async (unit) => {
      const now = deps.clock.now();
      const resolved = await resolveCaller(unit, caller.claims, deps.directory);
      if (!resolved.ok || now >= caller.claims.expiresAt) return undefined;
      const access = createAccess(accessOptions(deps, resolved.value, now));
      return unit.chunk(key, access.guard('Binary', 'r'), index);
    });
    if (chunk === undefined) throw new StreamRevoked('no longer permitted');
    sent += chunk.length;
    yield chunk;
  }
}

/** The JSON form, base64 made on the way: three bytes are four characters, so what is left over waits for the next chunk. No content, no `data`. */
async function* wrapped(resource: Resource, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const head = JSON.stringify(resource).slice(0, -1);
  let rest: Uint8Array = new Uint8Array(0);
  let begun = false;
  for await (const chunk of chunks) {
    const joined = Buffer.concat([rest, chunk]);
    const whole = joined.length - (joined.length % 3);
    yield Buffer.from(`${begun ? '' : `${head},"data":"`}${base64(joined.subarray(0, whole))}`);
    begun = true;
    rest = joined.subarray(whole);
  }
  yield Buffer.from(begun ? `${base64(rest)}"}` : `${head}}`);
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** Creates a Binary from bytes that were staged before the unit began. */
export async function createBinary(
  work: Work,
  request: FhirRequest,
  upload: { readonly id: string; readonly contentType: string },
): Promise<Result<Answer>> {
  const id = work.newId();
  const made = await createAs(work, 'Binary', { resourceType: 'Binary', contentType: upload.contentType }, id);
  if (!made.ok) return made;
  await work.unit.attachBytes({ type: 'Binary', id }, upload.id);
  return ok(writeAnswer(work, request, 201, made.value));
}

/** https://hl7.org/fhir/R4/binary.html: content, raw or wrapped, in chunks both ways. A chunk is decided like a read (O3). */
import { createAccess } from '../../access/access.ts';
import { asText } from '../../fhir/json.ts';
import { isMediaType } from '../../fhir/media-type.ts';
import { outcomeError } from '../../fhir/outcome.ts';
import { fail, ok, type Result } from '../../fhir/result.ts';
import type { Key, Resource } from '../../fhir/types.ts';
import { xmlOf } from '../../fhir/xml/write.ts';
import { CHUNK_BYTES, type Version } from '../../ports/store.ts';
import { type Answer, etagOf, noneMatchNames } from '../answer.ts';
import { type ByteRange, byteRange, ifRangeHolds } from '../byte-range.ts';
import { accessOptions } from '../caller-access.ts';
import { resolveCaller } from '../facts.ts';
import type { FhirRequest } from '../request.ts';
import { parsed, type Work } from '../work.ts';
import { inScope } from './read.ts';
import { createAs, writeAnswer } from './write.ts';

const FHIR_TYPE = /^\s*application\/fhir\+(json|xml)\b/i;

/** Raw, unless a FHIR type is what the client accepts. */
const wrapping = (request: FhirRequest): 'json' | 'xml' | undefined => {
  const wanted = FHIR_TYPE.exec(
    request.query.find(([n]) => n === '_format')?.[1] ?? request.headers['accept'] ?? '',
  )?.[1];
  // INVARIANT: the pattern has these two alternatives.
  return wanted?.toLowerCase() as 'json' | 'xml' | undefined;
};

export async function readBinary(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const scope = inScope(work, 'r', 'Binary');
  if (!scope.ok) return scope;
  const version = await work.unit.read(key, work.access.guard('Binary', 'r'));
  if (version === undefined) return fail({ code: 'not-found' });
  work.asked.add('Binary');
  work.traces.push({ owner: version.owner, item: `Binary/${key.id}` });
  if (version.deleted) return fail({ code: 'gone' });
  const form = wrapping(request);
  const etag = form === undefined ? strongEtagOf(version) : etagOf(version);
  if (noneMatchNames(request.headers['if-none-match'], version)) return ok({ status: 304, etag });
  const resource = parsed(version);
  const size = (await work.unit.bytes(key))?.size ?? 0;
  const common = { status: 200, etag, lastModified: version.lastUpdated } as const;
  if (form !== undefined) {
    const open = await decided(work, request, key, { from: 0, to: size - 1 });
    return ok({
      ...common,
      contentType: `application/fhir+${form}; charset=utf-8`,
      stream: () => wrapped(shellOf(work, resource, form), open()),
    });
  }
  const contentType = inertType(asText(resource['contentType']));
  // Of GET alone (RFC 9110 14.2).
  const range =
    request.method === 'GET' && ifRangeHolds(request.headers['if-range'], etag)
      ? byteRange(request.headers['range'], size)
      : undefined;
  if (range === 'unsatisfiable') return ok(unsatisfiable(size));
  const part = range ?? { from: 0, to: size - 1 };
  const open = await decided(work, request, key, part);
  return ok({
    ...common,
    status: range === undefined ? 200 : 206,
    contentType,
    headers: {
      'accept-ranges': 'bytes',
      'content-length': String(part.to - part.from + 1),
      ...(range === undefined ? {} : { 'content-range': `bytes ${part.from}-${part.to}/${size}` }),
    },
    stream: open,
  });
}

/** Types that a browser runs. Professionals may have reasons to feed them; they leave as bytes without a meaning (security.md D-01). */
const RUN_BY_BROWSERS =
  /^\s*(?:text\/(?:html|javascript|ecmascript|x-component|xsl)|image\/svg|application\/(?:xhtml|javascript|x-javascript|ecmascript|xslt|x-shockwave-flash|vnd\.wap\.xhtml|java-archive)|multipart\/|message\/)/i;

/** The type that raw content is served as; its own stands in the resource. The edge adds what keeps any of it from running. */
const inertType = (declared: string | undefined): string =>
  declared === undefined || !isMediaType(declared) || RUN_BY_BROWSERS.test(declared)
    ? 'application/octet-stream'
    : declared;

/** The content of a version never changes, byte for byte: a strong validator, which `If-Range` needs (RFC 9110 8.8.3). */
const strongEtagOf = (version: Version): string => `"${version.versionId}"`;

/** 416 tells the size, so it is a disclosure, recorded as the read that it is. */
const unsatisfiable = (size: number): Answer => ({
  status: 416,
  body: JSON.stringify(outcomeError('value', 'the range is outside the content')),
  headers: { 'accept-ranges': 'bytes', 'content-range': `bytes */${size}` },
});

/** Thrown in the middle of a stream when the next chunk is refused: the connection is cut, so that no part passes for the whole. */
export class StreamRevoked extends Error {}

/** Opens the part of the content. Its first chunk is read under this decision and its record: nothing comes between them. */
async function decided(
  work: Work,
  request: FhirRequest,
  key: Key,
  part: ByteRange,
): Promise<() => AsyncIterable<Uint8Array>> {
  const index = Math.floor(part.from / CHUNK_BYTES);
  const isAsked = request.method !== 'HEAD' && part.from <= part.to;
  const first = isAsked ? await work.unit.chunk(key, work.access.guard('Binary', 'r'), index) : undefined;
  return () => decidedChunks(work, key, part, first);
}

/** The part, each chunk after the first read in a unit of its own under the rights of that moment: a revocation stops the next one. */
async function* decidedChunks(
  work: Work,
  key: Key,
  { from, to }: ByteRange,
  first: Uint8Array | undefined,
): AsyncGenerator<Uint8Array> {
  const { deps, caller } = work;
  if (first === undefined) return;
  const begins = Math.floor(from / CHUNK_BYTES);
  const within = (chunk: Uint8Array, index: number): Uint8Array =>
    chunk.subarray(Math.max(0, from - index * CHUNK_BYTES), to + 1 - index * CHUNK_BYTES);
  yield within(first, begins);
  for (let index = begins + 1; index * CHUNK_BYTES <= to; index += 1) {
    const chunk = await deps.store.unit(async (unit) => {
      const now = deps.clock.now();
      const resolved = await resolveCaller(unit, caller.claims, deps.directory);
      if (!resolved.ok || now >= caller.claims.expiresAt) return undefined;
      const access = createAccess(accessOptions(deps, resolved.value, now));
      return unit.chunk(key, access.guard('Binary', 'r'), index);
    });
    if (chunk === undefined) throw new StreamRevoked('no longer permitted');
    yield within(chunk, index);
  }
}

/** The text of a resource around its content: before it, around it where there is any, and after. */
type Shell = { readonly head: string; readonly begin: string; readonly end: string; readonly tail: string };

const shellOf = (work: Work, resource: Resource, form: 'json' | 'xml'): Shell => {
  if (form === 'json') return { head: JSON.stringify(resource).slice(0, -1), begin: ',"data":"', end: '"', tail: '}' };
  // `data` is the last element of a Binary.
  const tail = '</Binary>';
  const text = xmlOf(resource, work.deps.definitions);
  return { head: text.slice(0, -tail.length), begin: '<data value="', end: '"/>', tail };
};

/** The resource with its content, base64 made on the way: three bytes are four characters, so what is left over waits for the next chunk. No content, no `data`. */
async function* wrapped(
  { head, begin, end, tail }: Shell,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  let begun = false;
  for await (const chunk of chunks) {
    const joined = Buffer.concat([rest, chunk]);
    const whole = joined.length - (joined.length % 3);
    yield Buffer.from(`${begun ? '' : `${head}${begin}`}${base64(joined.subarray(0, whole))}`);
    begun = true;
    rest = joined.subarray(whole);
  }
  yield Buffer.from(begun ? `${base64(rest)}${end}${tail}` : `${head}${tail}`);
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

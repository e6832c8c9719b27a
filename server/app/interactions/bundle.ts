/** https://hl7.org/fhir/R4/http.html#transaction: transaction (all or nothing, order irrelevant) and batch (each entry for itself). */

import { systemGuard } from '../../access/decision.ts';
import { asArray, asObject, asText } from '../../fhir/json.ts';
import { answerOf } from '../../fhir/outcome.ts';
import { type Failure, fail, malformed, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Json, JsonObject, Resource } from '../../fhir/types.ts';
import type { Answer, Interaction } from '../answer.ts';
import { preferenceOf } from '../answer.ts';
import type { Deps } from '../deps.ts';
import type { FhirRequest } from '../request.ts';
import { route } from '../route.ts';
import { forbidden } from '../types/filing.ts';
import type { Work } from '../work.ts';
import { bundleText } from './bundle-text.ts';
import { localReferences, mapReferences } from './references.ts';
import { conditionalMatches } from './search.ts';
import { createAs, writeAnswer } from './write.ts';

type Method = FhirRequest['method'];

export type Entry = {
  readonly at: string;
  readonly method: Method;
  /** Path segments below the base, and query. */
  readonly path: readonly string[];
  readonly query: readonly (readonly [string, string])[];
  readonly fullUrl: string | undefined;
  readonly resource: JsonObject | undefined;
  readonly headers: Readonly<Record<string, string | undefined>>;
};

type Entries = {
  readonly entries: readonly Entry[];
  /** Staged bytes of the Binary of an entry, by the entry's index. */
  readonly uploads: ReadonlyMap<number, string>;
};
export type Transaction = Entries & { readonly type: 'transaction' };
export type Batch = Entries & { readonly type: 'batch' };

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Reads a Bundle that was posted to the base, and stores the bytes of its Binaries aside. */
export async function readBatch(deps: Deps, request: FhirRequest): Promise<Result<Transaction | Batch>> {
  const bundle = request.body.kind === 'json' ? asObject(request.body.value) : undefined;
  if (bundle === undefined || bundle['resourceType'] !== 'Bundle') return malformed('the base takes a Bundle');
  const type = bundle['type'];
  if (type !== 'transaction' && type !== 'batch')
    return malformed('the Bundle is a `batch` or a `transaction`', 'Bundle.type');
  const sent = asArray(bundle['entry']);
  if (sent.length > deps.limits.maxBundleEntries) {
    return fail({ code: 'too-large', text: `a Bundle has at most ${deps.limits.maxBundleEntries} entries` });
  }
  const entries: Entry[] = [];
  for (const [index, item] of sent.entries()) {
    const entry = readEntry(deps, asObject(item), `Bundle.entry[${index}]`);
    if (!entry.ok) return entry;
    entries.push(entry.value);
  }
  const uploads = new Map<number, string>();
  for (const [index, entry] of entries.entries()) {
    const data = asText(entry.resource?.['data']);
    if (entry.resource?.['resourceType'] !== 'Binary' || entry.method !== 'POST' || data === undefined) continue;
    const bytes = fromBase64(data);
    if (bytes === undefined) {
      for (const upload of uploads.values()) await deps.store.discard(upload);
      return unprocessable('the data is not base64', `${entry.at}.resource.data`);
    }
    uploads.set(index, (await deps.store.stage(once(bytes), deps.limits.maxBinaryBytes)).id);
  }
  const bare = entries.map((entry, index) =>
    uploads.has(index) ? { ...entry, resource: withoutData(entry.resource) } : entry,
  );
  return ok({ type, entries: bare, uploads });
}

const withoutData = (resource: JsonObject | undefined): JsonObject | undefined => {
  const { data: _data, ...rest } = resource ?? {};
  return rest;
};

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function fromBase64(text: string): Uint8Array | undefined {
  const compact = text.replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact) || compact.length % 4 !== 0) return undefined;
  return Buffer.from(compact, 'base64');
}

function readEntry(deps: Deps, entry: JsonObject | undefined, at: string): Result<Entry> {
  const asked = asObject(entry?.['request']);
  const method = asText(asked?.['method']) ?? '';
  const url = asText(asked?.['url']);
  if (!METHODS.includes(method)) return malformed('an entry states its method', `${at}.request.method`);
  if (url === undefined) return malformed('an entry states its url', `${at}.request.url`);
  const relative = url.startsWith(`${deps.baseUrl}/`) ? url.slice(deps.baseUrl.length + 1) : url;
  if (/^[a-z]+:/i.test(relative) || relative.startsWith('/'))
    return malformed('the url is relative to this server', `${at}.request.url`);
  const [path = '', search = ''] = splitOnce(relative, '?');
  const decoded = path
    .split('/')
    .filter((s) => s !== '')
    .map(decode);
  if (decoded.some((s) => s === undefined)) return malformed('the url cannot be decoded', `${at}.request.url`);
  const header = (name: string): string | undefined => asText(asked?.[name]);
  const resource = entry?.['resource'] === undefined ? undefined : asObject(entry['resource']);
  if (entry?.['resource'] !== undefined && resource === undefined)
    return malformed('a resource is a JSON object', `${at}.resource`);
  return ok({
    at,
    // INVARIANT: one of METHODS.
    method: method as Method,
    path: decoded.filter((s) => s !== undefined),
    query: [...new URLSearchParams(search)],
    fullUrl: asText(entry?.['fullUrl']),
    resource,
    headers: {
      'if-match': header('ifMatch'),
      'if-none-match': header('ifNoneMatch'),
      'if-none-exist': header('ifNoneExist'),
    },
  });
}

const splitOnce = (text: string, by: string): readonly [string, string] => {
  const at = text.indexOf(by);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
};

const decode = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
};

const requestOf = (outer: FhirRequest, entry: Entry): FhirRequest => ({
  ...outer,
  method: entry.method,
  path: entry.path,
  query: entry.query,
  headers: { ...entry.headers, prefer: outer.headers['prefer'], accept: 'application/fhir+json' },
  body:
    entry.resource === undefined
      ? { kind: 'none' }
      : { kind: 'json', value: entry.resource, mediaType: 'application/fhir+json' },
});

/** DELETE, POST, PUT and PATCH, GET (R4 http.html#trules); creations so that what others refer to comes first. */
const METHOD_ORDER: readonly string[] = ['DELETE', 'POST', 'PUT', 'PATCH', 'GET', 'HEAD'];
const TYPE_ORDER: readonly string[] = [
  'Organization',
  'Location',
  'HealthcareService',
  'Practitioner',
  'PractitionerRole',
  'Patient',
  'Consent',
  'RelatedPerson',
  'CareTeam',
  'Binary',
  'DocumentReference',
];

const rank = (entry: Entry): number => {
  const type = TYPE_ORDER.indexOf(entry.path[0] ?? '');
  // A space exists before what is in it, a RelatedPerson before the delegation that names it.
  const existence = JSON.stringify(entry.resource?.['category'] ?? '').includes('space-existence');
  const consent = entry.path[0] === 'Consent' && !existence ? 9.5 : type < 0 ? TYPE_ORDER.length : type;
  return METHOD_ORDER.indexOf(entry.method) * 100 + consent;
};

/** Locates a failure in the Bundle. */
const located = (failure: Failure, at: string): Failure =>
  failure.code === 'malformed' || failure.code === 'unprocessable'
    ? {
        ...failure,
        faults: failure.faults.map((f) => ({
          ...f,
          at:
            f.at === undefined
              ? at
              : `${at}.resource.ofType(${f.at.split('.')[0]})${f.at.slice(f.at.split('.')[0]?.length ?? 0)}`,
        })),
      }
    : failure;

export async function runTransaction(
  work: Work,
  request: FhirRequest,
  transaction: Transaction,
): Promise<Result<Answer>> {
  const { entries } = transaction;
  const planned = await assignIds(work, entries);
  if (!planned.ok) return planned;
  const { ids, existing } = planned.value;
  const answers = new Map<number, Answer>();
  for (const [index, entry] of existing) answers.set(index, entry);
  const order = entries
    .map((entry, index) => ({ entry, index }))
    .sort((a, b) => rank(a.entry) - rank(b.entry) || a.index - b.index);
  for (const { entry, index } of order) {
    if (answers.has(index)) continue;
    const resolved = await resolve(work, entry, ids);
    if (!resolved.ok) return fail(located(resolved.failure, entry.at));
    const answer = await runEntry(work, requestOf(request, resolved.value), {
      index,
      id: ids.byEntry.get(index),
      upload: transaction.uploads.get(index),
    });
    if (!answer.ok) return fail(located(answer.failure, entry.at));
    answers.set(index, answer.value);
  }
  const loose = await unattached(work);
  if (loose) return forbidden('C6', 'this token is limited to one person: content comes with its document');
  const texts = entries.map((_, index) => responseText(request, answers.get(index) ?? { status: 200 }));
  return ok({ status: 200, body: bundleText({ type: 'transaction-response', entries: texts }) });
}

type Ids = {
  /** `urn:uuid:…` or a full url → `Type/id`. */
  readonly byUrl: ReadonlyMap<string, string>;
  readonly byEntry: ReadonlyMap<number, string>;
};

/** Gives each creation its id, so that references among entries can be written before any is stored; two entries never touch one resource. */
async function assignIds(
  work: Work,
  entries: readonly Entry[],
): Promise<Result<{ readonly ids: Ids; readonly existing: ReadonlyMap<number, Answer> }>> {
  const byUrl = new Map<string, string>();
  const byEntry = new Map<number, string>();
  const existing = new Map<number, Answer>();
  const touched = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    const type = entry.path[0] ?? '';
    let id = entry.path.length >= 2 && entry.method !== 'GET' ? entry.path[1] : undefined;
    const creates = entry.method === 'POST' && entry.path.length === 1;
    if (creates) {
      const condition = entry.headers['if-none-exist'];
      const found =
        condition === undefined
          ? ok([])
          : await conditionalMatches(work, type, [...new URLSearchParams(condition.replace(/^.*\?/, ''))]);
      if (!found.ok) return fail(located(found.failure, entry.at));
      const [first, second] = found.value;
      if (second !== undefined)
        return fail({ code: 'precondition-failed', text: 'the condition matches more than one resource' });
      id = first?.id ?? work.newId();
      if (first === undefined) work.created.set(id, type);
      else {
        work.traces.push({ owner: first.owner, item: `${type}/${first.id}` });
        existing.set(index, {
          ...writeAnswer(work, ANY_REQUEST, 200, first),
          location: `${work.deps.baseUrl}/${type}/${first.id}/_history/${first.versionId}`,
        });
      }
    }
    if (id === undefined) continue;
    const ref = `${type}/${id}`;
    if (entry.method !== 'GET' && touched.has(ref) && !(entry.path[2]?.startsWith('$') === true)) {
      return malformed(`two entries touch \`${creates ? type : ref}\``, entry.at);
    }
    touched.add(ref);
    byEntry.set(index, id);
    if (entry.fullUrl !== undefined) {
      if (byUrl.has(entry.fullUrl) && byUrl.get(entry.fullUrl) !== ref)
        return malformed('two entries have the same fullUrl', `${entry.at}.fullUrl`);
      byUrl.set(entry.fullUrl, ref);
    }
  }
  return ok({ ids: { byUrl, byEntry }, existing });
}

const ANY_REQUEST: FhirRequest = {
  method: 'POST',
  path: [],
  query: [],
  headers: {},
  body: { kind: 'none' },
  requestId: '',
  bearer: undefined,
  address: '',
};

/** References among entries, conditional references, and our own absolute ones become literal; what does not resolve fails the whole. */
async function resolve(work: Work, entry: Entry, ids: Ids): Promise<Result<Entry>> {
  if (entry.resource === undefined) return ok(entry);
  const conditional = new Map<string, string>();
  for (const text of conditionalReferences(entry.resource)) {
    const [type, search] = splitOnce(text, '?');
    const found = work.deps.declarations.has(type)
      ? await conditionalMatches(work, type, [...new URLSearchParams(search)])
      : ok([]);
    if (!found.ok) return found;
    const [first, second] = found.value;
    if (second !== undefined)
      return fail({ code: 'precondition-failed', text: 'a conditional reference matches more than one resource' });
    if (first === undefined) return unprocessable('a conditional reference cannot be resolved');
    conditional.set(text, `${type}/${first.id}`);
  }
  const rewritten = mapReferences(entry.resource, (text) => ids.byUrl.get(text) ?? conditional.get(text) ?? text);
  // INVARIANT: references change, the shape does not; what is not a resource is refused when it is written.
  return ok({ ...entry, resource: localReferences(rewritten as Resource, work.deps.baseUrl) });
}

/** `Patient?identifier=…` in `Reference.reference`. */
function conditionalReferences(value: Json): ReadonlySet<string> {
  const found = new Set<string>();
  const walk = (item: Json): void => {
    if (Array.isArray(item)) for (const i of asArray(item)) walk(i);
    const object = asObject(item);
    for (const key of Object.keys(object ?? {})) {
      const child = (object as JsonObject)[key] as Json;
      if (key === 'reference' && typeof child === 'string' && /^[A-Z][A-Za-z]+\?/.test(child)) found.add(child);
      else walk(child);
    }
  };
  walk(value);
  return found;
}

type Running = { readonly index: number; readonly id: string | undefined; readonly upload: string | undefined };

async function runEntry(work: Work, request: FhirRequest, { id, upload }: Running): Promise<Result<Answer>> {
  const interaction = route(work.deps, request);
  if (!interaction.ok) return interaction;
  if (interaction.value.name !== 'create' || id === undefined) return interaction.value.run(work, request);
  const type = request.path[0] ?? '';
  const made = await createAs(work, type, request.body.kind === 'json' ? request.body.value : undefined, id);
  if (!made.ok) return made;
  if (upload !== undefined) await work.unit.attachBytes({ type, id }, upload);
  return ok(writeAnswer(work, request, 201, made.value));
}

/** C6: a token limited to one person leaves no Binary that is about nobody. */
async function unattached(work: Work): Promise<boolean> {
  if (work.caller.person === undefined) return false;
  for (const [id, type] of work.created) {
    if (type !== 'Binary') continue;
    const found = await work.unit.read({ type, id }, systemGuard('Binary', 'integrity'));
    if (found !== undefined && found.owner === undefined) return true;
  }
  return false;
}

const REASONS: Readonly<Record<number, string>> = {
  200: '200 OK',
  201: '201 Created',
  204: '204 No Content',
  304: '304 Not Modified',
};

/** One entry of the answer. The resource itself is sent for a GET, and where `Prefer: return=representation` asks for it. */
function responseText(request: FhirRequest, answer: Answer): string {
  const response = JSON.stringify({
    status: REASONS[answer.status] ?? String(answer.status),
    ...(answer.location === undefined ? {} : { location: answer.location }),
    ...(answer.etag === undefined ? {} : { etag: answer.etag }),
    ...(answer.lastModified === undefined ? {} : { lastModified: new Date(answer.lastModified).toISOString() }),
  });
  const written = answer.location !== undefined || answer.status === 201;
  const asked = request.headers['prefer'] !== undefined && preferenceOf(request).returns === 'representation';
  const body = answer.body === undefined || (written && !asked) ? '' : `"resource":${answer.body},`;
  return `{${body}"response":${response}}`;
}

export type BatchRun = {
  readonly answer: Answer;
  readonly uploads: readonly string[];
  /** Whether some entry succeeded, and whether one of these wrote. */
  readonly done: boolean;
  readonly wrote: boolean;
  readonly refusals: readonly {
    readonly request: FhirRequest;
    readonly interaction: Interaction;
    readonly failure: Failure;
  }[];
  /** An entry that was refused after it had written: the whole must start again without it. */
  readonly undo: { readonly entry: number; readonly failure: Failure } | undefined;
};

/** Runs each entry for itself. `settled`: refusals known from an earlier attempt. */
export async function runBatch(
  work: Work,
  request: FhirRequest,
  batch: Batch,
  settled: ReadonlyMap<number, Failure>,
): Promise<BatchRun> {
  const texts: string[] = [];
  const uploads: string[] = [];
  const refusals: { request: FhirRequest; interaction: Interaction; failure: Failure }[] = [];
  let done = false;
  let wrote = false;
  for (const [index, entry] of batch.entries.entries()) {
    const single = requestOf(request, entry);
    const interaction = route(work.deps, single);
    const upload = batch.uploads.get(index);
    const known = settled.get(index);
    const before = { traces: work.traces.length, persons: new Set(work.persons), any: work.written.any };
    work.written.any = false;
    const result =
      known !== undefined
        ? fail(known)
        : interaction.ok
          ? await runEntry(work, single, {
              index,
              id:
                interaction.value.name === 'create' && single.headers['if-none-exist'] === undefined
                  ? work.newId()
                  : undefined,
              upload,
            })
          : interaction;
    if (!result.ok && work.written.any) {
      return {
        answer: { status: 500 },
        uploads,
        done,
        wrote,
        refusals,
        undo: { entry: index, failure: result.failure },
      };
    }
    wrote ||= work.written.any;
    work.written.any ||= before.any;
    if (result.ok) {
      done = true;
      if (upload !== undefined) uploads.push(upload);
      texts.push(responseText(request, result.value));
      continue;
    }
    work.traces.length = before.traces;
    for (const person of work.persons) if (!before.persons.has(person)) work.persons.delete(person);
    if (interaction.ok) refusals.push({ request: single, interaction: interaction.value, failure: result.failure });
    const { status, outcome } = answerOf(result.failure);
    texts.push(`{"response":${JSON.stringify({ status: String(status), outcome })}}`);
  }
  return {
    answer: { status: 200, body: bundleText({ type: 'batch-response', entries: texts }) },
    uploads,
    done,
    wrote,
    refusals,
    undo: undefined,
  };
}

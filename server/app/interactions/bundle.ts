/** https://hl7.org/fhir/R4/http.html#transaction: transaction (all or nothing, order irrelevant) and batch (each entry for itself). */

import { systemGuard } from '../../access/decision.ts';
import { type DocumentLevel, EXTENSION } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, extensionOf } from '../../fhir/json.ts';
import { answerOf } from '../../fhir/outcome.ts';
import { type Failure, fail, malformed, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Json, JsonObject, Resource } from '../../fhir/types.ts';
import type { Answer } from '../answer.ts';
import { etagOf, preferenceOf, versionAnswer } from '../answer.ts';
import type { Deps } from '../deps.ts';
import { isRecorded, type Refusal } from '../record.ts';
import type { FhirRequest } from '../request.ts';
import { route } from '../route.ts';
import { extendFolder } from '../types/belongings.ts';
import { forbidden } from '../types/filing.ts';
import { quarantineOf } from '../types/quarantine.ts';
import { type Probe, settle, type Work } from '../work.ts';
import { bundleText } from './bundle-text.ts';
import { stageBase64 } from './inline-content.ts';
import { checkProvided, insOfEntry, levelOfBundle, notBatch, withContainedIdentity } from './provide-bundle.ts';
import { inScope } from './read.ts';
import { localReferences, mapReferences, referencesOf } from './references.ts';
import { conditionalMatches } from './search.ts';
import { alreadyThere, createAs, update, withLiteralReferences, writeAnswer } from './write.ts';

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
export type Transaction = Entries & {
  readonly type: 'transaction';
  /** What the Bundle claims as ITI-65; undefined for any other transaction. */
  readonly provides: DocumentLevel | undefined;
};
export type Batch = Entries & { readonly type: 'batch' };

const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** Reads a Bundle that was posted to the base, and stores the bytes of its Binaries aside. */
export async function readBatch(deps: Deps, request: FhirRequest): Promise<Result<Transaction | Batch>> {
  const bundle = request.body.kind === 'json' ? asObject(request.body.value) : undefined;
  if (bundle === undefined || bundle['resourceType'] !== 'Bundle') return malformed('the base takes a Bundle');
  const type = bundle['type'];
  if (type !== 'transaction' && type !== 'batch')
    return malformed('the Bundle is a `batch` or a `transaction`', 'Bundle.type');
  const provides = levelOfBundle(bundle);
  if (provides !== undefined && type === 'batch') return notBatch();
  const sent = asArray(bundle['entry']);
  if (sent.length > deps.limits.maxBundleEntries) {
    return fail({ code: 'too-large', text: `a Bundle has at most ${deps.limits.maxBundleEntries} entries` });
  }
  const read: Entry[] = [];
  for (const [index, item] of sent.entries()) {
    const entry = readEntry(deps, asObject(item), `Bundle.entry[${index}]`);
    if (!entry.ok) return entry;
    read.push(entry.value);
  }
  const shape = checkShape(deps, bundle);
  if (!shape.ok) return shape;
  const entries = absoluteAmong(read, deps.baseUrl);
  if (provides !== undefined) {
    const slices = checkProvided(entries, provides);
    if (!slices.ok) return slices;
  }
  const staged = await stageContent(deps, entries);
  if (!staged.ok) return staged;
  const uploads = staged.value;
  const bare = entries.map((entry, index) =>
    uploads.has(index) ? { ...entry, resource: withoutData(entry.resource) } : entry,
  );
  if (type === 'batch') return ok({ type, entries: bare, uploads });
  return ok({ type, entries: provides === undefined ? bare : withContainedIdentity(bare), uploads, provides });
}

/**
 * https://hl7.org/fhir/R4/bundle.html#references: a relative reference of an entry whose fullUrl is of another server names that server's resource, where the
 * Bundle has it; it becomes absolute.
 */
function absoluteAmong(entries: readonly Entry[], baseUrl: string): readonly Entry[] {
  const urls = new Set(entries.map((entry) => entry.fullUrl));
  return entries.map((entry) => {
    const root = /^(https?:\/\/.+)\/[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.exec(entry.fullUrl ?? '')?.[1];
    if (root === undefined || root === baseUrl || entry.resource === undefined) return entry;
    const resource = mapReferences(entry.resource, (text) => (urls.has(`${root}/${text}`) ? `${root}/${text}` : text));
    return resource === entry.resource ? entry : { ...entry, resource };
  });
}

/**
 * The structure of the Bundle without its resources, which are judged where they are written: an element that R4 does not have would otherwise pass for
 * one that was understood. Its invariants are for the plan to judge, which knows the entries.
 */
function checkShape(deps: Deps, bundle: JsonObject): Result<void> {
  const { entry: sent, ...rest } = bundle;
  const bare = ({ resource: _judgedLater, ...entry }: JsonObject): JsonObject => entry;
  const entry = Array.isArray(sent) ? asArray(sent).map((one) => bare(asObject(one) ?? {})) : sent;
  const isEmpty = Array.isArray(entry) && entry.length === 0;
  // INVARIANT: `readBatch` saw that it is a Bundle.
  const shape = { ...rest, ...(entry === undefined || isEmpty ? {} : { entry }) } as Resource;
  const faults = deps.validator.validate(shape).filter((fault) => fault.code !== 'invariant');
  return faults.length === 0 ? ok(undefined) : fail({ code: 'unprocessable', faults });
}

/** Stores the bytes of the Binaries to be created aside; on a refusal none remains. */
async function stageContent(deps: Deps, entries: readonly Entry[]): Promise<Result<ReadonlyMap<number, string>>> {
  const uploads = new Map<number, string>();
  const refuse = async (failure: Failure): Promise<Result<never>> => {
    for (const upload of uploads.values()) await deps.store.discard(upload);
    return fail(failure);
  };
  for (const [index, entry] of entries.entries()) {
    const data = asText(entry.resource?.['data']);
    if (entry.resource?.['resourceType'] !== 'Binary' || entry.method !== 'POST' || data === undefined) continue;
    const upload = await stageBase64(deps, data, `${entry.at}.resource.data`);
    if (!upload.ok) return refuse(upload.failure);
    uploads.set(index, upload.value);
  }
  return ok(uploads);
}

const withoutData = (resource: JsonObject | undefined): JsonObject | undefined => {
  const { data: _data, ...rest } = resource ?? {};
  return rest;
};

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
const METHOD_ORDER: readonly string[] = ['DELETE', 'POST', 'PUT', 'PATCH', 'GET'];
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
/** Rights come before the documents they are about, and what denies before what permits, whichever entry is first. */
const DENIES = 9.4;
const PERMITS = 9.5;
/** The message that closes a thread comes after the others. */
const LAST_WORD = TYPE_ORDER.length + 1;

const CHANGES_LABELS: readonly string[] = ['$mask', '$unmask', '$hide', '$release'];

/** A POST that reads: a search, or an operation that changes nothing. */
const readsByPost = ({ method, path }: Entry): boolean =>
  method === 'POST' && path.length > 1 && !CHANGES_LABELS.includes(path[2] ?? '');

/** The step of the transaction that an entry belongs to. */
const stepOf = (entry: Entry): string => (entry.method === 'HEAD' || readsByPost(entry) ? 'GET' : entry.method);

function placeOf({ path, resource }: Entry): number {
  const [type = ''] = path;
  const place = TYPE_ORDER.indexOf(type);
  // A space exists before what is in it, a RelatedPerson before the delegation that names it.
  if (type === 'Consent' && !JSON.stringify(resource?.['category'] ?? '').includes('space-existence')) {
    return asObject(resource?.['provision'])?.['type'] === 'deny' ? DENIES : PERMITS;
  }
  if (type === 'Communication' && extensionOf(resource, EXTENSION.threadClosed) !== undefined) return LAST_WORD;
  return place < 0 ? TYPE_ORDER.length : place;
}

/** The order of work: by rank, and within a rank what is referred to before what refers to it. It does not depend on the order sent. */
function ordered({ entries, made }: Plan): readonly number[] {
  const byUrl = new Map(entries.flatMap((e, i) => (e.fullUrl === undefined ? [] : [[e.fullUrl, i] as const])));
  const rank = (entry: Entry, index: number): number =>
    METHOD_ORDER.indexOf(made.has(index) ? 'POST' : stepOf(entry)) * 100 + placeOf(entry);
  const ranked = entries.map((entry, index) => ({ index, rank: rank(entry, index) })).sort((a, b) => a.rank - b.rank);
  const order: number[] = [];
  const visited = new Set<number>();
  const visit = (index: number): void => {
    if (visited.has(index)) return;
    visited.add(index);
    const resource = made.has(index) ? entries[index]?.resource : undefined;
    if (resource !== undefined) {
      mapReferences(resource, (text) => {
        const named = byUrl.get(text);
        if (named !== undefined && made.has(named)) visit(named);
        return text;
      });
    }
    order.push(index);
  };
  for (const { index } of ranked) visit(index);
  return order;
}

/** Locates a failure in the Bundle: by an expression where the refusal has one, else in its text. A 404 and a 410 stay what they always are. */
function located(failure: Failure, at: string): Failure {
  switch (failure.code) {
    case 'malformed':
    case 'unprocessable':
      return { ...failure, faults: failure.faults.map((f) => ({ ...f, at: within(f.at, at) })) };
    case 'forbidden':
    case 'conflict':
    case 'precondition-failed':
    case 'method-not-allowed':
      return { ...failure, text: `\`${at}\`: ${failure.text}` };
    default:
      return failure;
  }
}

const within = (path: string | undefined, at: string): string => {
  if (path === undefined) return at;
  if (path.startsWith('Bundle.')) return path;
  const [type = ''] = path.split('.');
  return `${at}.resource.ofType(${type})${path.slice(type.length)}`;
};

export async function runTransaction(
  work: Work,
  request: FhirRequest,
  transaction: Transaction,
): Promise<Result<Answer>> {
  work.provides.level = transaction.provides;
  const planned = await plan(work, request, transaction.entries);
  if (!planned.ok) return planned;
  const { entries, byUrl, made, existing } = planned.value;
  const answers = new Map<number, Answer>(existing);
  for (const index of ordered(planned.value)) {
    const entry = entries[index];
    if (entry === undefined || answers.has(index)) continue;
    // What an earlier entry did to the space decides about this one.
    await settle(work);
    const resolved = await resolve(work, entry, byUrl);
    if (!resolved.ok) return fail(located(resolved.failure, entry.at));
    const answer = await runEntry(work, requestOf(request, resolved.value), {
      id: made.get(index),
      upload: transaction.uploads.get(index),
    });
    if (!answer.ok) {
      if (isRecorded(answer.failure)) await probe(work, entry);
      return fail(located(answer.failure, entry.at));
    }
    answers.set(index, answer.value);
  }
  const contradicted = await contradiction(work, entries, answers);
  if (contradicted !== undefined) {
    return fail(located({ code: 'conflict', text: 'another entry of this transaction undoes this one' }, contradicted));
  }
  const loose = await unattached(work);
  if (loose) return forbidden('C6', 'this token is limited to one person: content comes with its document');
  await refreshCreated(work, request, answers);
  const texts = entries.map((_, index) => responseText(request, answers.get(index) ?? { status: 200 }));
  return ok({ status: 200, body: bundleText({ type: 'transaction-response', entries: texts }) });
}

/** The item on which a transaction failed is what its refusal tells of. */
async function probe(work: Work, { path: [type = '', id = ''] }: Entry): Promise<void> {
  const found = work.deps.declarations.has(type)
    ? await work.unit.read({ type, id }, systemGuard(type, 'audit'))
    : undefined;
  if (found !== undefined) work.probed.push({ person: found.owner, item: `${type}/${id}` });
}

type Plan = {
  /** As sent, but that a conditional update, patch or delete names what it matches. */
  readonly entries: readonly Entry[];
  /** `urn:uuid:…` or a full url → `Type/id`. */
  readonly byUrl: ReadonlyMap<string, string>;
  /** The ids of what is to be created, by entry. */
  readonly made: ReadonlyMap<number, string>;
  /** Answers of conditional creates that find what they ask for. */
  readonly existing: ReadonlyMap<number, Answer>;
};

/** What one entry acts on; `id` absent: nothing, or nothing of its own. */
type Target = { readonly entry: Entry; readonly id?: string; readonly creates: boolean; readonly answer?: Answer };

/** Gives each creation its id, so that references among entries can be written before any is stored; two entries never touch one resource. */
async function plan(work: Work, request: FhirRequest, sent: readonly Entry[]): Promise<Result<Plan>> {
  const entries: Entry[] = [];
  const byUrl = new Map<string, string>();
  const made = new Map<number, string>();
  const existing = new Map<number, Answer>();
  const touched = new Set<string>();
  for (const [index, one] of sent.entries()) {
    const target = await targetOf(work, request, one);
    if (!target.ok) return fail(located(target.failure, one.at));
    const { entry, id, creates, answer } = target.value;
    const type = entry.path[0] ?? '';
    entries.push(entry);
    if (entry.fullUrl !== undefined && byUrl.has(entry.fullUrl))
      return malformed('two entries have the same fullUrl', `${entry.at}.fullUrl`);
    if (id === undefined) continue;
    const condition = creates ? conditionOf(entry) : undefined;
    for (const touch of [`${type}/${id}`, ...(condition === undefined ? [] : [condition])]) {
      if (touched.has(touch)) return malformed('two entries touch one resource', entry.at);
      touched.add(touch);
    }
    if (entry.fullUrl !== undefined) byUrl.set(entry.fullUrl, `${type}/${id}`);
    if (answer !== undefined) existing.set(index, answer);
    else if (creates) {
      made.set(index, id);
      work.created.set(id, type);
    }
  }
  return ok({ entries, byUrl, made, existing });
}

/** The condition under which an entry creates, in one spelling. */
function conditionOf(entry: Entry): string | undefined {
  const condition = entry.method === 'PUT' ? entry.query : searchOf(entry.headers['if-none-exist'] ?? '');
  return condition.length === 0
    ? undefined
    : `${entry.path[0]}?${condition
        .map((pair) => pair.join('='))
        .sort()
        .join('&')}`;
}

const searchOf = (text: string): readonly (readonly [string, string])[] => [
  ...new URLSearchParams(text.replace(/^.*\?/, '')),
];

async function targetOf(work: Work, request: FhirRequest, entry: Entry): Promise<Result<Target>> {
  const { method, path, query } = entry;
  const [type = '', second] = path;
  if (stepOf(entry) === 'GET' || !work.deps.declarations.has(type)) return ok({ entry, creates: false });
  const stands = work.provides.level === undefined ? undefined : insOfEntry(entry);
  if (stands !== undefined) return standIn(work, entry, stands);
  if (second !== undefined) return ok({ entry, id: second, creates: false });
  if (method === 'POST') {
    const found = await alreadyThere(work, entry.headers['if-none-exist'], type);
    if (!found.ok) return found;
    if (found.value === undefined) return ok({ entry, id: work.newId(), creates: true });
    const { id, versionId } = found.value;
    const answer = {
      ...writeAnswer(work, request, 200, found.value),
      location: `${work.deps.baseUrl}/${type}/${id}/_history/${versionId}`,
    };
    return ok({ entry, id, creates: false, answer });
  }
  const scope = inScope(work, method === 'DELETE' ? 'd' : 'u', type);
  if (!scope.ok) return scope;
  const found = await conditionalMatches(work, type, query);
  if (!found.ok) return found;
  const [first, another] = found.value;
  if (another !== undefined)
    return fail({ code: 'precondition-failed', text: 'the condition matches more than one resource' });
  if (first === undefined) {
    const creates = method === 'PUT' && entry.resource?.['id'] === undefined;
    return creates ? ok({ entry, id: work.newId(), creates }) : fail({ code: 'not-found' });
  }
  const sentId = method === 'PUT' ? asText(entry.resource?.['id']) : undefined;
  if (sentId !== undefined && sentId !== first.id)
    return malformed('the id in the body is not that of the match', `${type}.id`);
  const resource =
    method === 'PUT' && entry.resource !== undefined ? { ...entry.resource, id: first.id } : entry.resource;
  return ok({ entry: { ...entry, path: [type, first.id], query: [], resource }, id: first.id, creates: false });
}

/** The person whom the Patient entry of an ITI-65 stands for: found by INS inside what the caller sees, read and never written. */
async function standIn(work: Work, entry: Entry, ins: readonly (readonly [string, string])[]): Promise<Result<Target>> {
  const at = 'Patient.identifier';
  if (ins.length === 0) return unprocessable('a person is named by an INS with its system', at, 'W1');
  const found = await conditionalMatches(work, 'Patient', ins);
  if (!found.ok) return found;
  const [person] = found.value;
  if (person === undefined) {
    const left = quarantineOf(work, { reason: 'subject-unknown', identity: entry.resource });
    return { ok: false, failure: { ...unprocessable('the person cannot be resolved', at, 'W1').failure, ...left } };
  }
  work.traces.push({ owner: person.owner, item: `Patient/${person.id}` });
  const location = `${work.deps.baseUrl}/Patient/${person.id}/_history/${person.versionId}`;
  return ok({ entry, id: person.id, creates: false, answer: { status: 200, etag: etagOf(person), location } });
}

/** References among entries, conditional references, and our own absolute ones become literal; what does not resolve fails the whole. */
async function resolve(work: Work, entry: Entry, byUrl: Plan['byUrl']): Promise<Result<Entry>> {
  if (entry.resource === undefined) return ok(entry);
  const literal = await withLiteralReferences(
    work,
    mapReferences(entry.resource, (text) => byUrl.get(text) ?? text),
  );
  if (!literal.ok) return literal;
  // INVARIANT: references change, the shape does not; what is not a resource is refused when it is written.
  const resource = localReferences(literal.value as Resource, work.deps.baseUrl);
  const dangling = referencesOf(resource).find((text) => /^urn:(uuid|oid):/.test(text));
  return dangling === undefined
    ? ok({ ...entry, resource })
    : unprocessable(`the reference \`${dangling}\` names no entry of the Bundle`);
}

/** What another entry changed after it was created (a Binary that its document attached) is answered in the version that the transaction leaves. */
async function refreshCreated(work: Work, request: FhirRequest, answers: Map<number, Answer>): Promise<void> {
  const { returns } = preferenceOf(request);
  for (const [index, answer] of answers) {
    const [, type, id] = /\/([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]+)\/_history\/[^/]+$/.exec(answer.location ?? '') ?? [];
    if (answer.status !== 201 || type === undefined || id === undefined) continue;
    const version = await work.unit.read({ type, id }, systemGuard(type, 'integrity'));
    if (version === undefined || version.deleted || etagOf(version) === answer.etag) continue;
    answers.set(index, {
      ...answer,
      ...versionAnswer(201, version, returns === 'representation' ? version.body : answer.body),
      location: `${work.deps.baseUrl}/${type}/${id}/_history/${version.versionId}`,
    });
  }
}

/** Rights that one entry wrote and another ended: which of them stood would depend on their order. Answers with the place of one such entry. */
async function contradiction(
  work: Work,
  entries: readonly Entry[],
  answers: ReadonlyMap<number, Answer>,
): Promise<string | undefined> {
  for (const [index, entry] of entries.entries()) {
    const [type, id] = [entry.path[0], entry.path[1] ?? idIn(answers.get(index)?.location)];
    if (type !== 'Consent' || id === undefined || stepOf(entry) === 'GET') continue;
    const now = await work.unit.read({ type, id }, systemGuard(type, 'integrity'));
    if (now !== undefined && etagOf(now) !== answers.get(index)?.etag) return entry.at;
  }
  return undefined;
}

const idIn = (location: string | undefined): string | undefined => /\/([^/]+)\/_history\//.exec(location ?? '')?.[1];

type Running = {
  /** The id of what the entry creates, where the transaction has chosen it. */
  readonly id: string | undefined;
  readonly upload: string | undefined;
};

async function runEntry(work: Work, request: FhirRequest, { id, upload }: Running): Promise<Result<Answer>> {
  const interaction = route(work.deps, request);
  if (!interaction.ok) return interaction;
  const { item } = interaction.value;
  if (work.provides.level !== undefined && request.method === 'PUT' && item?.type === 'List') {
    return update(work, request, item, extendFolder);
  }
  if (interaction.value.name !== 'create' && id === undefined) {
    const answer = await interaction.value.run(work, request);
    const page = answer.ok && request.path[2] === '$access-register' && answer.value.contentType !== undefined;
    return page ? malformed('a page of the register is asked on its own, not in a Bundle') : answer;
  }
  const type = request.path[0] ?? '';
  if (id === undefined) {
    const existing = await alreadyThere(work, request.headers['if-none-exist'], type);
    if (!existing.ok) return existing;
    if (existing.value !== undefined) return ok(writeAnswer(work, request, 200, existing.value));
  }
  const newId = id ?? work.newId();
  const made = await createAs(work, type, request.body.kind === 'json' ? request.body.value : undefined, newId);
  if (!made.ok) return made;
  if (upload !== undefined) await work.unit.attachBytes({ type, id: newId }, upload);
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
  const written = answer.location !== undefined || answer.status === 201;
  const returns = request.headers['prefer'] === undefined ? undefined : preferenceOf(request).returns;
  const outcome = written && returns === 'OperationOutcome' ? answer.body : undefined;
  const response = JSON.stringify({
    status: REASONS[answer.status] ?? String(answer.status),
    ...(answer.location === undefined ? {} : { location: answer.location }),
    ...(answer.etag === undefined ? {} : { etag: answer.etag }),
    ...(answer.lastModified === undefined ? {} : { lastModified: new Date(answer.lastModified).toISOString() }),
    // INVARIANT: `writeAnswer` made it, an OperationOutcome.
    ...(outcome === undefined ? {} : { outcome: JSON.parse(outcome) as Json }),
  });
  const sent = answer.body !== undefined && (!written || returns === 'representation');
  return `{${sent ? `"resource":${answer.body},` : ''}"response":${response}}`;
}

export type BatchRun = {
  readonly answer: Answer;
  readonly uploads: readonly string[];
  /** Whether some entry succeeded, and whether one of these wrote. */
  readonly done: boolean;
  readonly wrote: boolean;
  readonly refusals: readonly Refusal[];
  /** An entry that was refused after it had written: the whole must start again without it. */
  readonly undo: (Refused & { readonly entry: number }) | undefined;
};

/** Why an entry was refused, and what its conditions had looked at. */
export type Refused = Pick<Refusal, 'failure' | 'probed'>;

/** Runs each entry for itself. `settled`: refusals known from an earlier attempt. */
export async function runBatch(
  work: Work,
  request: FhirRequest,
  batch: Batch,
  settled: ReadonlyMap<number, Refused>,
): Promise<BatchRun> {
  const texts: string[] = [];
  const uploads: string[] = [];
  const refusals: Refusal[] = [];
  const kept: Probe[] = [];
  let done = false;
  let wrote = false;
  for (const [index, entry] of batch.entries.entries()) {
    const single = requestOf(request, entry);
    const interaction = route(work.deps, single);
    const upload = batch.uploads.get(index);
    const known = settled.get(index);
    const before = { traces: work.traces.length, persons: new Set(work.persons), any: work.written.any };
    work.written.any = false;
    await settle(work);
    const result =
      known !== undefined
        ? fail(known.failure)
        : interaction.ok
          ? await runEntry(work, single, { id: undefined, upload })
          : interaction;
    const probed = known?.probed ?? work.probed.splice(0);
    if (!result.ok && work.written.any) {
      return {
        answer: { status: 500 },
        uploads,
        done,
        wrote,
        refusals,
        undo: { entry: index, failure: result.failure, probed },
      };
    }
    wrote ||= work.written.any;
    work.written.any ||= before.any;
    if (result.ok) {
      done = true;
      kept.push(...probed);
      if (upload !== undefined) uploads.push(upload);
      texts.push(responseText(request, result.value));
      continue;
    }
    work.traces.length = before.traces;
    for (const person of work.persons) if (!before.persons.has(person)) work.persons.delete(person);
    if (interaction.ok)
      refusals.push({ request: single, interaction: interaction.value, failure: result.failure, probed });
    const { status, outcome } = answerOf(result.failure);
    texts.push(`{"response":${JSON.stringify({ status: String(status), outcome })}}`);
  }
  work.probed.push(...kept);
  return {
    answer: { status: 200, body: bundleText({ type: 'batch-response', entries: texts }) },
    uploads,
    done,
    wrote,
    refusals,
    undo: undefined,
  };
}

/**
 * The journey of a request: token, caller, interaction, audit, answer; one unit of the store holds all of it, so what was decided still
 * holds when its record is durable, and nothing leaves before that (O1).
 */
import { createAccess } from '../access/access.ts';
import type { Claims } from '../access/caller.ts';
import { scopesFor } from '../access/scopes.ts';
import { answerOf } from '../fhir/outcome.ts';
import { type Failure, fail, ok, type Result } from '../fhir/result.ts';
import type { Instant } from '../fhir/types.ts';
import type { StoreUnit } from '../ports/store.ts';
import { ResourceTooLarge, SearchTooBroad, UploadTooLarge } from '../ports/store.ts';
import type { Answer, Interaction, Rehearsed } from './answer.ts';
import { accessOptions } from './caller-access.ts';
import type { Deps } from './deps.ts';
import { resolveCaller } from './facts.ts';
import { createBinary } from './interactions/binary.ts';
import {
  type Batch,
  type Refused,
  readBatch,
  runBatch,
  runTransaction,
  type Transaction,
} from './interactions/bundle.ts';
import { generated, isGeneration, publicationOf } from './interactions/generate-metadata.ts';
import { isPublication, publish, stageInline } from './interactions/simplified-publish.ts';
import { type Refusal, recordDone, recordRefusal } from './record.ts';
import type { FhirRequest, FhirResponse } from './request.ts';
import { route } from './route.ts';
import { fileQuarantine } from './types/quarantine.ts';
import { type Probe, settle, type Work } from './work.ts';

export type Dispatched = {
  readonly response: FhirResponse;
  /** For the log only: why a token was refused, who called. */
  readonly why?: string;
  readonly callerKind?: string;
  readonly clientId?: string;
};

/** Thrown inside a unit to undo what a refused interaction had begun. */
class Undo extends Error {
  readonly failure: Failure;
  readonly probed: readonly Probe[];
  constructor(failure: Failure, probed: readonly Probe[]) {
    super('undone');
    this.failure = failure;
    this.probed = probed;
  }
}

export function createDispatch(deps: Deps): (request: FhirRequest) => Promise<Dispatched> {
  return async (request) => {
    const now = deps.clock.now();
    if (request.bearer === undefined) return refused({ code: 'unauthenticated', why: 'no bearer token' });
    const claims = await deps.verifier.verify(request.bearer, now);
    if (!claims.ok) return refused(claims.failure);
    const result = await perform(deps, request, claims.value, now).catch(tooMuch);
    const about = { callerKind: claims.value.kind, clientId: claims.value.clientId };
    return result.ok
      ? { response: responseOf(request, result.value), ...about }
      : { ...refused(result.failure), ...about };
  };
}

/** The answer to a token that is refused for every act, before anything else of its request is read; `undefined` for one that passes now. */
export function createRefusal(deps: Deps): (bearer: string) => Promise<Dispatched | undefined> {
  return async (bearer) => {
    const claims = await deps.verifier.verify(bearer, deps.clock.now());
    return claims.ok ? undefined : refused(claims.failure);
  };
}

const refused = (failure: Failure): Dispatched => {
  const { status, outcome, headers } = answerOf(failure);
  return {
    response: { status, headers: { 'content-type': FHIR_JSON, ...headers }, body: JSON.stringify(outcome) },
    ...(failure.code === 'unauthenticated' ? { why: failure.why } : {}),
  };
};

/** What the store cannot keep in one piece, or not answer at a bearable price, is refused; any other error goes on. */
const tooMuch = (error: unknown): Result<never> => {
  if (error instanceof ResourceTooLarge) return fail({ code: 'too-large', text: 'the resource is too large' });
  if (error instanceof SearchTooBroad)
    return fail({
      code: 'malformed',
      faults: [
        {
          code: 'too-costly',
          text: 'the search is too broad: name a person, ask for the beginning of a text, or for less at once',
        },
      ],
    });
  throw error;
};

const FHIR_JSON = 'application/fhir+json; charset=utf-8';

function responseOf(request: FhirRequest, answer: Answer): FhirResponse {
  const empty = answer.body === undefined && answer.stream === undefined;
  return {
    status: answer.status,
    headers: {
      ...(empty ? {} : { 'content-type': answer.contentType ?? FHIR_JSON }),
      ...(answer.etag === undefined ? {} : { etag: answer.etag }),
      ...(answer.lastModified === undefined ? {} : { 'last-modified': new Date(answer.lastModified).toUTCString() }),
      ...(answer.location === undefined ? {} : { location: answer.location }),
      ...answer.headers,
    },
    body: answer.body ?? (request.method === 'HEAD' ? undefined : answer.stream?.()),
  };
}

/** Whether the request is a batch, a transaction, bytes for a Binary, or one interaction. */
async function perform(deps: Deps, request: FhirRequest, claims: Claims, now: Instant): Promise<Result<Answer>> {
  if (request.path.length === 0) {
    if (request.method !== 'POST')
      return fail({ code: 'method-not-allowed', text: 'the base takes a Bundle', allow: 'POST' });
    const bundle = await readBatch(deps, request);
    if (!bundle.ok) return bundle;
    return bundle.value.type === 'batch'
      ? performBatch(deps, request, claims, { now, batch: bundle.value })
      : performTransaction(deps, request, claims, { now, transaction: bundle.value });
  }
  if (request.body.kind === 'bytes') return performUpload(deps, request, claims, now);
  const interaction = route(deps, request);
  if (!interaction.ok) return interaction;
  const performing = { now, interaction: interaction.value };
  if (isGeneration(request)) return performGeneration(deps, request, claims, performing);
  if (isPublication(request)) return performPublication(deps, request, claims, performing);
  const { rehearse } = interaction.value;
  return rehearse === undefined
    ? inUnit(deps, request, claims, performing)
    : performRehearsal(deps, request, claims, { ...performing, rehearse });
}

type Performing = { readonly now: Instant; readonly interaction: Interaction };

/** Runs a unit; once it is durable, and only then, does what its work left for afterwards. */
async function durably<T>(deps: Deps, run: (unit: StoreUnit, begin: (work: Work) => void) => Promise<T>): Promise<T> {
  // A store may run a unit again: what an earlier try left counts no more.
  let begun: Work | undefined;
  const value = await deps.store.unit((unit) => {
    begun = undefined;
    return run(unit, (work) => {
      begun = work;
    });
  });
  for (const then of begun?.afterwards ?? []) then();
  return value;
}

async function workFor(deps: Deps, unit: StoreUnit, claims: Claims, now: Instant): Promise<Result<Work>> {
  const caller = await resolveCaller(unit, claims, deps.directory);
  if (!caller.ok) return caller;
  return ok({
    deps,
    unit,
    caller: caller.value,
    access: createAccess(accessOptions(deps, caller.value, now)),
    now,
    newId: () => deps.ids.next(),
    traces: [],
    asked: new Set(),
    persons: new Set(),
    probed: [],
    written: { any: false },
    created: new Map(),
    uploads: new Map(),
    afterwards: [],
    stale: new Set(),
    provides: { level: undefined },
  });
}

/** Runs one interaction and records it, in one unit. A refusal undoes what was written and is recorded in a unit of its own. */
async function inUnit(
  deps: Deps,
  request: FhirRequest,
  claims: Claims,
  { now, interaction }: Performing,
): Promise<Result<Answer>> {
  try {
    return await durably(deps, async (unit, begin): Promise<Result<Answer>> => {
      const work = await workFor(deps, unit, claims, now);
      if (!work.ok) return work;
      begin(work.value);
      const result = await interaction.run(work.value, request);
      if (!result.ok) {
        const { probed } = work.value;
        if (work.value.written.any) throw new Undo(result.failure, probed);
        await refuse(work.value, { request, interaction, failure: result.failure, probed });
        return result;
      }
      await settle(work.value);
      await recordDone(work.value, request, interaction);
      return result;
    });
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
    await deps.store.unit(async (unit) => {
      const work = await workFor(deps, unit, claims, now);
      if (work.ok) await refuse(work.value, { request, interaction, failure: error.failure, probed: error.probed });
    });
    return fail(error.failure);
  }
}

/** What a refusal leaves, in one unit: its record, and the Task of a feed that failed the identity gate (W1). */
async function refuse(work: Work, refusal: Refusal): Promise<void> {
  await recordRefusal(work, refusal);
  const { failure } = refusal;
  if (failure.code === 'unprocessable' && failure.quarantine !== undefined)
    await fileQuarantine(work, failure.quarantine);
}

/** Thrown out of the unit of a rehearsal, so that nothing of it remains, with what it found. */
class Rehearsal extends Error {
  readonly found: Result<Rehearsed>;
  constructor(found: Result<Rehearsed>) {
    super('undone');
    this.found = found;
  }
}

/** Runs a rehearsal in a unit that is always undone, then answers and records in a second one. */
async function performRehearsal(
  deps: Deps,
  request: FhirRequest,
  claims: Claims,
  { now, interaction, rehearse }: Performing & { readonly rehearse: NonNullable<Interaction['rehearse']> },
): Promise<Result<Answer>> {
  let found: Result<Rehearsed>;
  try {
    found = await deps.store.unit(async (unit): Promise<never> => {
      const work = await workFor(deps, unit, claims, now);
      throw new Rehearsal(work.ok ? ok(await rehearse(work.value, request)) : work);
    });
  } catch (error) {
    if (!(error instanceof Rehearsal)) throw error;
    found = error.found;
  }
  if (!found.ok) return found;
  const { item, conclude } = found.value;
  return inUnit(deps, request, claims, {
    now,
    interaction: { ...interaction, run: conclude, ...(item === undefined ? {} : { item }) },
  });
}

/** What the holder's side uploads can only become a deposit (W2): more than one has is refused while it arrives. */
const largestContent = (deps: Deps, { kind }: Claims): number =>
  kind === 'patient' || kind === 'representative'
    ? Math.min(deps.limits.maxBinaryBytes, deps.policy.depositMaxBytes)
    : deps.limits.maxBinaryBytes;

/** Known from the token alone: who never feeds a space (W1), or holds no scope for it, uploads nothing, and none of it is kept aside meanwhile. */
const mayUpload = (claims: Claims): boolean =>
  claims.kind !== 'insurer' && claims.kind !== 'operator' && scopesFor(claims, 'c', 'Binary').length > 0;

/** Bytes are stored aside before the unit begins, and dropped unless it takes them. */
async function performUpload(deps: Deps, request: FhirRequest, claims: Claims, now: Instant): Promise<Result<Answer>> {
  if (request.body.kind !== 'bytes' || request.method !== 'POST' || request.path.join('/') !== 'Binary') {
    const known = route(deps, request);
    return known.ok
      ? fail({ code: 'method-not-allowed', text: 'content is created, never replaced', allow: 'GET, POST' })
      : known;
  }
  const common = { name: 'create', action: 'create', type: 'Binary' } as const;
  if (!mayUpload(claims)) {
    const contentType = 'application/octet-stream';
    const run: Interaction['run'] = (work, asked) => createBinary(work, asked, { id: '', contentType });
    return inUnit(deps, request, claims, { now, interaction: { ...common, run } });
  }
  const { source } = request.body;
  const most = largestContent(deps, claims);
  let upload: { readonly id: string };
  try {
    upload = await deps.store.stage(source, most);
  } catch (error) {
    if (error instanceof UploadTooLarge) return fail({ code: 'too-large', text: `content has at most ${most} bytes` });
    throw error;
  }
  const contentType = await request.body.contentType;
  const staged = { id: upload.id, contentType };
  const interaction: Interaction = { ...common, run: (work, asked) => createBinary(work, asked, staged) };
  return taking(deps, [upload.id], () => inUnit(deps, request, claims, { now, interaction }));
}

/** What the act takes of what was staged for it is part of the store; unless it succeeds, what was staged is dropped. */
async function taking(
  deps: Deps,
  uploads: Iterable<string>,
  act: () => Promise<Result<Answer>>,
  took: (answer: Answer) => boolean = () => true,
): Promise<Result<Answer>> {
  let taken = false;
  try {
    const result = await act();
    taken = result.ok && took(result.value);
    return result;
  } finally {
    if (!taken) for (const upload of uploads) await deps.store.discard(upload);
  }
}

/** ITI-105: the bytes are stored aside before the unit begins, and dropped unless it takes them. */
async function performPublication(
  deps: Deps,
  request: FhirRequest,
  claims: Claims,
  { now, interaction }: Performing,
): Promise<Result<Answer>> {
  const staged = await stageInline(deps, request);
  if (!staged.ok) return staged;
  const run: Interaction['run'] = (work, asked) => publish(work, asked, staged.value);
  const act = (): Promise<Result<Answer>> =>
    inUnit(deps, request, claims, { now, interaction: { ...interaction, run } });
  const uploads = staged.value.map(({ upload }) => upload);
  // A publication that was there before takes nothing.
  return taking(deps, uploads, act, ({ status }) => status === 201);
}

/** ITI-106: a publication whose DocumentReference is read out of the document. */
async function performGeneration(
  deps: Deps,
  request: FhirRequest,
  claims: Claims,
  performing: Performing,
): Promise<Result<Answer>> {
  const publication = publicationOf(request);
  if (!publication.ok) return publication;
  const result = await performPublication(deps, publication.value, claims, performing);
  return result.ok ? ok(generated(result.value)) : result;
}

async function performTransaction(
  deps: Deps,
  request: FhirRequest,
  claims: Claims,
  { now, transaction }: { readonly now: Instant; readonly transaction: Transaction },
): Promise<Result<Answer>> {
  const interaction: Interaction = {
    name: 'transaction',
    action: 'update',
    run: (work, asked) => runTransaction(work, asked, transaction),
  };
  return taking(deps, transaction.uploads.values(), () => inUnit(deps, request, claims, { now, interaction }));
}

/** So many entries of a batch may be refused after they have written: each makes all others run once more, while every other request waits. */
const MOST_UNDONE = 10;

/**
 * A batch runs in one unit, so that each person has one record of it. An entry that is refused after it has written makes the unit
 * start again with that refusal as its answer: the others are then as if it had never been tried.
 */
async function performBatch(
  deps: Deps,
  request: FhirRequest,
  claims: Claims,
  { now, batch }: { readonly now: Instant; readonly batch: Batch },
): Promise<Result<Answer>> {
  const settled = new Map<number, Refused>();
  const interaction: Interaction = { name: 'batch', action: 'update', run: async () => ok({ status: 200 }) };
  const taken = new Set<string>();
  try {
    for (;;) {
      try {
        return await durably(deps, async (unit, begin): Promise<Result<Answer>> => {
          const work = await workFor(deps, unit, claims, now);
          if (!work.ok) return work;
          begin(work.value);
          taken.clear();
          const ran = await runBatch(work.value, request, batch, settled);
          if (ran.undo !== undefined) {
            const { entry, ...refused } = ran.undo;
            settled.set(entry, refused);
            throw new Undo(refused.failure, refused.probed);
          }
          for (const used of ran.uploads) taken.add(used);
          await settle(work.value);
          if (ran.done)
            await recordDone(work.value, request, { ...interaction, action: ran.wrote ? 'update' : 'search' });
          for (const refusal of ran.refusals) await refuse(work.value, refusal);
          return ok(ran.answer);
        });
      } catch (error) {
        if (!(error instanceof Undo)) throw error;
        if (settled.size > MOST_UNDONE) {
          const text = `more than ${MOST_UNDONE} entries are refused at their last check: send them apart`;
          return fail({ code: 'malformed', faults: [{ code: 'too-costly', text, at: 'Bundle.entry' }] });
        }
      }
    }
  } finally {
    for (const upload of batch.uploads.values()) if (!taken.has(upload)) await deps.store.discard(upload);
  }
}

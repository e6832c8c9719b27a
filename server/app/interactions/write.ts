/** https://hl7.org/fhir/R4/http.html#create, #update, #patch, #delete, with their conditional forms. */

import { isTraitsOnly } from '../../access/access.ts';
import { applyFhirPathPatch } from '../../fhir/fhirpath-patch.ts';
import { asArray, asObject, asText, referenceOf, sameJson } from '../../fhir/json.ts';
import { applyJsonPatch } from '../../fhir/json-patch.ts';
import { outcomeOk } from '../../fhir/outcome.ts';
import { fail, malformed, ok, type Result, unprocessable } from '../../fhir/result.ts';
import { type Json, type JsonObject, type Key, type Resource, refOf } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { or } from '../../query/predicate.ts';
import { type Answer, etagOf, ifMatchHolds, noneMatchNames, preferenceOf, versionAnswer } from '../answer.ts';
import type { Accepted, WriteRules } from '../declaration.ts';
import { conforms } from '../profiles.ts';
import type { FhirRequest } from '../request.ts';
import { putAside } from '../types/document.ts';
import { forbidden } from '../types/filing.ts';
import { declarationOf, erase, itemHolds, parsed, rowOf, save, seen, type Work } from '../work.ts';
import { inScope } from './read.ts';
import { conditionalReferencesOf, localReferences, mapReferences } from './references.ts';
import { conditionalMatches } from './search.ts';

const notAllowed = (text: string, allow: string) => fail({ code: 'method-not-allowed', text, allow });

/** What may be done to an item, or at the address, of a type: the `Allow` of a 405. */
const allowOf = (work: Work, type: string, at: 'item' | 'type'): string => {
  const { create: make, update: alter, remove: drop } = declarationOf(work, type).writes;
  return [
    'GET, HEAD',
    ...(at === 'type' && make !== undefined ? ['POST'] : []),
    ...(alter === undefined ? [] : ['PUT, PATCH']),
    ...(drop === undefined ? [] : ['DELETE']),
  ].join(', ');
};

/** The body as a resource of this type, valid against R4, its references under our base made relative. */
export function prepared(work: Work, type: string, body: Json | undefined): Result<Resource> {
  const object = asObject(body);
  if (object === undefined) return malformed('a resource is a JSON object');
  if (object['resourceType'] !== type) return malformed(`the body is not of the type \`${type}\``, 'resourceType');
  // INVARIANT: an object with a resourceType; the validator says whether it is more.
  const resource = localReferences(object as Resource, work.deps.baseUrl);
  const subsetted = work.deps.summaries.refusal(resource);
  if (subsetted !== undefined) return fail({ code: 'unprocessable', faults: [subsetted] });
  const faults = work.deps.validator.validate(resource);
  return faults.length === 0 ? ok(resource) : fail({ code: 'unprocessable', faults });
}

const bodyOf = (request: FhirRequest): Json | undefined =>
  request.body.kind === 'json' ? request.body.value : undefined;

/** What is refused before any data is looked at: no scope, or a token that opens one search and nothing else (C5). */
export function mayTry(work: Work, letter: 'c' | 'u' | 'd', type: string): Result<void> {
  const scope = inScope(work, letter, type);
  if (!scope.ok) return scope;
  return isTraitsOnly(work.caller)
    ? forbidden('C5', 'this token opens the search by traits and nothing else')
    : ok(undefined);
}

/** A SMART scope with a constraint covers only what matches it, before and after the write. */
async function scopeCovers(work: Work, letter: 'c' | 'u' | 'd', key: Key): Promise<Result<void>> {
  const limit = work.access.scopeLimit(letter, key.type);
  if (limit.op === 'all' || (await itemHolds(work, key, limit))) return ok(undefined);
  return fail({ code: 'out-of-scope', needed: `${key.type}.${letter}` });
}

/** The answer to a write, as `Prefer: return=` asks. */
export function writeAnswer(work: Work, request: FhirRequest, status: 200 | 201, version: Version): Answer {
  const { returns } = preferenceOf(request);
  const body =
    returns === 'minimal'
      ? undefined
      : returns === 'OperationOutcome'
        ? JSON.stringify(outcomeOk(status === 201 ? 'created' : 'updated'))
        : version.body;
  return {
    ...versionAnswer(status, version, body),
    ...(status === 201
      ? { location: `${work.deps.baseUrl}/${version.type}/${version.id}/_history/${version.versionId}` }
      : {}),
  };
}

/** What a conditional create (`If-None-Exist`) finds there already, inside what the caller sees; it leaves a trace. */
export async function alreadyThere(
  work: Work,
  condition: string | undefined,
  type: string,
): Promise<Result<Version | undefined>> {
  const allowed = mayTry(work, 'c', type);
  if (!allowed.ok) return allowed;
  if (condition === undefined) return ok(undefined);
  const found = await conditionalMatches(work, type, [...new URLSearchParams(condition.replace(/^.*\?/, ''))]);
  if (!found.ok) return found;
  const [first, second] = found.value;
  if (second !== undefined)
    return fail({ code: 'precondition-failed', text: 'the condition matches more than one resource' });
  if (first !== undefined) work.traces.push({ owner: first.owner, item: `${type}/${first.id}` });
  return ok(first);
}

export async function create(work: Work, request: FhirRequest, type: string): Promise<Result<Answer>> {
  const existing = await alreadyThere(work, request.headers['if-none-exist'], type);
  if (!existing.ok) return existing;
  if (existing.value !== undefined) return ok(writeAnswer(work, request, 200, existing.value));
  const made = await createAs(work, type, bodyOf(request), work.newId());
  return made.ok ? ok(writeAnswer(work, request, 201, made.value)) : made;
}

/** Each conditional reference of a resource is a search. */
const MAX_CONDITIONAL = 100;

/** Conditional references (`Patient?identifier=…`) become literal, inside what the caller can see; one that names none, or several, fails. */
export async function withLiteralReferences(work: Work, body: Json | undefined): Promise<Result<Json | undefined>> {
  if (body === undefined) return ok(body);
  const literal = new Map<string, string>();
  const conditional = conditionalReferencesOf(body);
  if (conditional.size > MAX_CONDITIONAL)
    return unprocessable(`a resource has at most ${MAX_CONDITIONAL} conditional references`);
  for (const text of conditional) {
    const [type = '', search = ''] = text.split(/\?(.*)/s);
    const found = work.deps.declarations.has(type)
      ? await conditionalMatches(work, type, [...new URLSearchParams(search)])
      : ok([]);
    if (!found.ok) return found;
    const [first, second] = found.value;
    if (second !== undefined)
      return fail({ code: 'precondition-failed', text: 'a conditional reference matches more than one resource' });
    if (first === undefined) {
      const refused = unprocessable('a conditional reference cannot be resolved');
      return isSubject(body, text) ? putAside(work, refused.failure, asObject(body) ?? {}) : refused;
    }
    // What is stored names it: of an item of a person, that is a disclosure. Whom a resource is about it says anyway.
    if (first.owner !== undefined && type !== 'Patient') {
      work.asked.add(type);
      work.traces.push({ owner: first.owner, item: refOf(first) });
    }
    literal.set(text, `${type}/${first.id}`);
  }
  return ok(literal.size === 0 ? body : mapReferences(body, (text) => literal.get(text) ?? text));
}

/** Whether a document names its person so. */
const isSubject = (body: Json, text: string): boolean =>
  asObject(body)?.['resourceType'] === 'DocumentReference' && referenceOf(asObject(body)?.['subject']) === text;

/** Creates under an id chosen by the server. */
export async function createAs(work: Work, type: string, body: Json | undefined, id: string): Promise<Result<Version>> {
  const allowed = mayTry(work, 'c', type);
  if (!allowed.ok) return allowed;
  const rule = declarationOf(work, type).writes.create;
  if (rule === undefined) return notAllowed(`${type} is not created through the API`, allowOf(work, type, 'type'));
  const literal = await withLiteralReferences(work, body);
  if (!literal.ok) return literal;
  const accepted = await acceptedBy(work, rule, prepared(work, type, literal.value), id);
  return accepted.ok ? store(work, { type, id }, undefined, accepted.value, 'c') : accepted;
}

/** What the rule of the type makes of a resource that is valid. */
async function acceptedBy(
  work: Work,
  rule: NonNullable<WriteRules['create']>,
  resource: Result<Resource>,
  id: string,
): Promise<Result<Accepted>> {
  if (!resource.ok) return resource;
  const { id: _sent, ...withoutId } = resource.value;
  // INVARIANT: `resourceType` stays.
  return rule(work, withoutId as Resource, id);
}

/** Creates what the server itself makes beside a document: by the same rule of the type, under the scope that allowed the document. */
export async function createBeside(work: Work, type: string, body: Json, id: string): Promise<Result<Version>> {
  const rule = declarationOf(work, type).writes.create;
  if (rule === undefined) throw new Error(`${type} is not created`);
  const accepted = await acceptedBy(work, rule, prepared(work, type, body), id);
  return accepted.ok ? ok(await save(work, { key: { type, id }, before: undefined, ...accepted.value })) : accepted;
}

async function store(
  work: Work,
  key: Key,
  before: Version | undefined,
  accepted: Accepted,
  letter: 'c' | 'u',
): Promise<Result<Version>> {
  const valid = conforms(work, accepted.resource);
  if (!valid.ok) return valid;
  const version = await save(work, { key, before, ...accepted });
  const covered = await scopeCovers(work, letter, key);
  return covered.ok ? ok(version) : covered;
}

/** The target of a change: seen by the caller, not deleted, in the version they expect. */
export async function target(work: Work, request: FhirRequest, key: Key, letter: 'u' | 'd'): Promise<Result<Version>> {
  const found = await seen(work, key);
  if (found === undefined) return fail({ code: 'not-found' });
  const covered = await scopeCovers(work, letter, key);
  if (!covered.ok) return covered;
  if (found.deleted) return fail({ code: 'gone' });
  // RFC 9110 section 13.1.2: of what would change something, the condition forbids to change what it names.
  if (noneMatchNames(request.headers['if-none-match'], found))
    return fail({
      code: 'precondition-failed',
      text: 'the resource is there, in a version that `If-None-Match` names',
    });
  return ifMatchHolds(request.headers['if-match'], found)
    ? ok(found)
    : fail({ code: 'precondition-failed', text: 'the resource has another version' });
}

/** Replaces an item. `rule` stands for that of the type where an act of its own allows more (a Folder in ITI-65). */
export async function update(
  work: Work,
  request: FhirRequest,
  key: Key,
  rule: WriteRules['update'] = declarationOf(work, key.type).writes.update,
): Promise<Result<Answer>> {
  const allowed = mayTry(work, 'u', key.type);
  if (!allowed.ok) return allowed;
  if (rule === undefined) {
    return notAllowed(`${key.type} is not updated through the API`, allowOf(work, key.type, 'item'));
  }
  const body = asObject(bodyOf(request));
  if (body !== undefined && body['id'] !== key.id)
    return malformed('the id in the body is not that of the URL', `${key.type}.id`);
  const found = await target(work, request, key, 'u');
  if (!found.ok) return found;
  const resource = prepared(work, key.type, body);
  if (!resource.ok) return resource;
  return change(work, request, found.value, { resource: resource.value, how: 'put', byPosition: false, rule });
}

type Changed = {
  readonly resource: Resource;
  readonly how: 'put' | 'patch';
  readonly byPosition: boolean;
  readonly rule: WriteRules['update'];
};

async function change(work: Work, request: FhirRequest, before: Version, changed: Changed): Promise<Result<Answer>> {
  const { resource, how, byPosition, rule } = changed;
  if (rule === undefined) {
    return notAllowed(`${before.type} is not updated through the API`, allowOf(work, before.type, 'item'));
  }
  const current = parsed(before);
  const accepted = await rule(work, { before, current, how, byPosition }, resource);
  if (!accepted.ok) return accepted;
  const row = accepted.value.rule ?? rowOf(before.type);
  work.traces.push({ owner: before.owner, item: `${before.type}/${before.id}`, rule: row });
  // A write without effect is accepted, and makes no version (section 5).
  if (sameContent(current, accepted.value.resource) && sameJson({ ...before.filing }, { ...accepted.value.filing })) {
    return ok(await changeAnswer(work, request, before));
  }
  const saved = await store(work, before, before, accepted.value, 'u');
  return saved.ok ? ok(await changeAnswer(work, request, saved.value)) : saved;
}

/** The answer to a change: a scope that lets change is none that lets read, so that without one nothing is shown of what was there. */
async function changeAnswer(work: Work, request: FhirRequest, version: Version): Promise<Answer> {
  const limit = or(work.access.scopeLimit('r', version.type), work.access.scopeLimit('s', version.type));
  const { body, ...answer } = writeAnswer(work, request, 200, version);
  const isShown =
    limit.op === 'all' ||
    preferenceOf(request).returns === 'OperationOutcome' ||
    (await itemHolds(work, version, limit));
  return isShown && body !== undefined ? { ...answer, body } : answer;
}

/** Equal but for what the server writes itself. */
function sameContent(a: Resource, b: Resource): boolean {
  const bare = ({ meta, ...rest }: Resource): JsonObject => {
    const { versionId: _v, lastUpdated: _l, ...kept } = (meta ?? {}) as JsonObject;
    return { ...rest, meta: kept };
  };
  return sameJson(bare({ ...a, id: '' }), bare({ ...b, id: '' }));
}

export async function patch(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const allowed = mayTry(work, 'u', key.type);
  if (!allowed.ok) return allowed;
  const rule = declarationOf(work, key.type).writes.update;
  if (rule === undefined) {
    return notAllowed(`${key.type} is not patched through the API`, allowOf(work, key.type, 'item'));
  }
  if (request.body.kind !== 'json')
    return fail({ code: 'unsupported-media-type', text: 'a patch is JSON Patch or FHIRPath Patch' });
  const found = await target(work, request, key, 'u');
  if (!found.ok) return found;
  const current = parsed(found.value);
  const patched = applyPatch(work, current, request.body);
  if (!patched.ok) return patched;
  const { resource, byPosition } = patched.value;
  if (resource.id !== key.id || !sameServerMeta(current, resource)) {
    return fail({
      code: 'unprocessable',
      faults: [{ text: 'a patch changes neither id nor the meta of the server', at: `${key.type}.meta` }],
      rule: 'W10',
    });
  }
  const valid = prepared(work, key.type, resource);
  if (!valid.ok) return valid;
  return change(work, request, found.value, { resource: valid.value, how: 'patch', byPosition, rule });
}

const sameServerMeta = (a: Resource, b: Resource): boolean =>
  a.meta?.['versionId'] === b.meta?.['versionId'] && a.meta?.['lastUpdated'] === b.meta?.['lastUpdated'];

type Patched = { readonly resource: Resource; readonly byPosition: boolean };

function applyPatch(
  work: Work,
  current: Resource,
  { value: body, mediaType }: { readonly value: Json; readonly mediaType: string },
): Result<Patched> {
  if (mediaType === 'application/json-patch+json') {
    const applied = applyJsonPatch(current, body);
    if (!applied.ok) return applied;
    // INVARIANT: `prepared` refuses what is not a resource of the type.
    return ok({ resource: applied.value as Resource, byPosition: labelsByPosition(body) });
  }
  const applied = applyFhirPathPatch(current, body, work.deps.definitions);
  return applied.ok ? ok({ resource: applied.value, byPosition: pathsByPosition(body) }) : applied;
}

/** Pointers to labels, or to what holds all of them. */
const HOLDS_LABELS = /^(\/securityLabel(\/.*)?|\/meta|\/meta\/security(\/.*)?)?$/;

/** Steps of a path that name a label by its position; a FHIRPath Patch that names it says `where(…)`. */
const BY_POSITION = /(securityLabel|security)\b.*(\[|\b(first|last)\b)/;

/** W10, of a FHIRPath Patch: a path to labels by position, or to all of them at once. */
function pathsByPosition(parameters: Json): boolean {
  for (const operation of asArray(asObject(parameters)?.['parameter']).map(asObject)) {
    const parts = new Map(asArray(operation?.['part']).map((p) => [asText(asObject(p)?.['name']), asObject(p)]));
    const path = asText(parts.get('path')?.['valueString']) ?? '';
    const type = asText(parts.get('type')?.['valueCode']);
    if (type === 'add' || type === 'insert') continue;
    if (BY_POSITION.test(path) || (type === 'move' && /security/.test(path))) return true;
    if (/(^|\.)(securityLabel|security|meta)$/.test(path.trim())) return true;
  }
  return false;
}

/**
 * W10: a JSON Patch that takes a label away by its position alone, which somebody else's change may have moved. One that first
 * tests what stands there names the label; an addition at the end names it too.
 */
function labelsByPosition(body: Json): boolean {
  const tested: string[] = [];
  for (const operation of asArray(body).map(asObject)) {
    const path = asText(operation?.['path']) ?? '';
    const op = asText(operation?.['op']);
    if (op === 'test') tested.push(path);
    if (op === 'test') continue;
    if (op === 'add' && /^\/(securityLabel|meta\/security)(\/-)?$/.test(path)) continue;
    const taken = op === 'move' ? [path, asText(operation?.['from']) ?? ''] : [path];
    const known = (place: string) => tested.some((t) => place === t || t.startsWith(`${place}/`));
    if (taken.some((place) => HOLDS_LABELS.test(place) && !known(place))) return true;
  }
  return false;
}

export async function remove(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const allowed = mayTry(work, 'd', key.type);
  if (!allowed.ok) return allowed;
  const rule = declarationOf(work, key.type).writes.remove;
  if (rule === undefined) {
    return notAllowed(`${key.type} is not deleted through the API`, allowOf(work, key.type, 'item'));
  }
  const found = await target(work, request, key, 'd');
  if (!found.ok) return found;
  const accepted = await rule(work, found.value, parsed(found.value));
  if (!accepted.ok) return accepted;
  const tombstone = await erase(work, found.value, rowOf(key.type));
  return ok({ status: 204, etag: etagOf(tombstone) });
}

/** The one resource that a conditional URL names; none and several are told apart only as far as the caller sees. */
async function named(work: Work, request: FhirRequest, type: string): Promise<Result<Version | undefined>> {
  const found = await conditionalMatches(work, type, request.query);
  if (!found.ok) return found;
  const [first, second] = found.value;
  return second === undefined
    ? ok(first)
    : fail({ code: 'precondition-failed', text: 'the condition matches more than one resource' });
}

export async function conditionalUpdate(work: Work, request: FhirRequest, type: string): Promise<Result<Answer>> {
  const allowed = mayTry(work, 'u', type);
  if (!allowed.ok) return allowed;
  const found = await named(work, request, type);
  if (!found.ok) return found;
  const body = asObject(bodyOf(request));
  const id = asText(body?.['id']);
  if (found.value === undefined) {
    if (id !== undefined) return fail({ code: 'not-found' });
    const made = await createAs(work, type, body, work.newId());
    return made.ok ? ok(writeAnswer(work, request, 201, made.value)) : made;
  }
  if (id !== undefined && id !== found.value.id)
    return malformed('the id in the body is not that of the match', `${type}.id`);
  const key = { type, id: found.value.id };
  const known =
    body === undefined
      ? request
      : {
          ...request,
          body: { kind: 'json', value: { ...body, id: key.id }, mediaType: 'application/fhir+json' } as const,
        };
  return update(work, known, key);
}

export async function conditionalPatch(work: Work, request: FhirRequest, type: string): Promise<Result<Answer>> {
  const allowed = mayTry(work, 'u', type);
  if (!allowed.ok) return allowed;
  const found = await named(work, request, type);
  if (!found.ok) return found;
  return found.value === undefined ? fail({ code: 'not-found' }) : patch(work, request, { type, id: found.value.id });
}

export async function conditionalRemove(work: Work, request: FhirRequest, type: string): Promise<Result<Answer>> {
  const allowed = mayTry(work, 'd', type);
  if (!allowed.ok) return allowed;
  const found = await named(work, request, type);
  if (!found.ok) return found;
  return found.value === undefined ? fail({ code: 'not-found' }) : remove(work, request, { type, id: found.value.id });
}

/**
 * `AuditEvent/[id]/$explain`: why an access was allowed or refused then, from the rights and the items as they stood when it was recorded
 * (docs/explanations.md). What was recorded is what happened; the reconstruction says why. rules.md O4, D8.
 */

import {
  type Holds,
  judge,
  leadingReasons,
  type Reasons,
  reasonsOf,
  type Supposed,
  tellingReasons,
} from '../../access/explain.ts';
import {
  atThatTime,
  type Bilingual,
  DELETED_SINCE,
  type Effect,
  ofHolder,
  type ReasonKey,
  textOf,
} from '../../access/sentences.ts';
import { careTeamMembers, careTeamStructure, readConsent } from '../../access/space.ts';
import { type AuditReading, readEvent } from '../../audit/read-event.ts';
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { asObject } from '../../fhir/json.ts';
import { fail, ok, type Result } from '../../fhir/result.ts';
import type { Instant, Json, JsonObject, Key, Ref } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { type Linked, matches, NO_LINKS, specialise } from '../../query/matches.ts';
import type { Predicate } from '../../query/predicate.ts';
import type { Answer } from '../answer.ts';
import { spaceAt } from '../facts.ts';
import type { FhirRequest } from '../request.ts';
import { isHolderSide } from '../types/filing.ts';
import { itemAt, keyOf, parsed, type Work } from '../work.ts';
import { accessAs, nameOf } from './known-actors.ts';
import {
  code,
  codes,
  flag,
  group,
  instant,
  type Parameter,
  parametersText,
  readParameters,
  readQuery,
  reference,
  sentence,
} from './parameters.ts';
import { bodyFor, inScope } from './read.ts';
import { documentsFollowed, verdictOn, voiceOf } from './who-can-see.ts';

/** The actions by which something was looked at: R4 AuditEvent.action. */
const LOOKING: readonly string[] = ['R', 'E'];

/** So many items of one access are asked about again. */
const MOST_ITEMS = 20;

/** Who asked, as a caller that can be asked again; `undefined` for a backend, which the event does not tell apart. */
function supposedOf(reading: AuditReading, person: Ref): Supposed | undefined {
  const { actor, structure, profession, purpose } = reading;
  if (actor === undefined) return undefined;
  if (actor === person) return { kind: 'patient' };
  if (actor.startsWith('RelatedPerson/')) return { kind: 'representative', self: actor };
  if (!actor.startsWith('Practitioner/') || profession === undefined || purpose === undefined) return undefined;
  return { kind: 'professional', self: actor, structure, profession, purpose };
}

/** A person's space and one item as they stood at an instant. */
type Then = { readonly space: IndexEntry; readonly item: IndexEntry; readonly documents: readonly Linked[] };

/** What a Binary, List or Provenance follows, as far as a predicate asks: the documents it named then. */
async function documentsThen(work: Work, item: IndexEntry, space: IndexEntry, at: Instant): Promise<readonly Linked[]> {
  const found: Linked[] = [];
  for (const text of item.terms) {
    if (!text.startsWith('_document=DocumentReference/')) continue;
    const document = await itemAt(work, keyOf(text.slice('_document='.length)), at);
    if (document === undefined) continue;
    found.push({ entry: document.entry, deleted: false, links: { ...NO_LINKS, space } });
  }
  return found;
}

/** Whether a condition held then. */
const heldThen =
  ({ space, item, documents }: Then): Holds =>
  async (where: Predicate) =>
    matches(where, item, {
      ...NO_LINKS,
      space,
      via: (param, type) => (param === '_document' && type === 'DocumentReference' ? documents : []),
    });

type Reconstruction = Reasons & { readonly told: readonly ReasonKey[] };

type Scene = {
  readonly reading: AuditReading;
  readonly person: Ref;
  readonly supposed: Supposed;
  readonly space: IndexEntry;
};

/** The decision on one item, made again by the same engine from what was the case then. */
async function decidedThen(work: Work, key: Key, scene: Scene): Promise<Reconstruction | undefined> {
  const { reading, person, supposed, space } = scene;
  const at = reading.recorded;
  const item = await itemAt(work, key, at);
  if (item === undefined || key.type === 'AuditEvent') return undefined;
  const access = accessAs(work, supposed, { person, at });
  const documents = await documentsThen(work, item.entry, space, at);
  const holds = heldThen({ space, item: item.entry, documents });
  const reasons = reasonsOf(await judge(access.decision(key.type, 'r').votes, holds));
  const told = await tellingReasons(reasons, { asking: access.asking, type: key.type, holds });
  return { ...reasons, told };
}

/** Why what was recorded was possible, or not, as far as it can be found out again. */
async function reconstructed(work: Work, scene: Scene): Promise<Reconstruction | undefined> {
  const effect: Effect = scene.reading.refused ? 'deny' : 'permit';
  for (const item of scene.reading.items.slice(0, MOST_ITEMS)) {
    const key = keyOf(item);
    if (!work.deps.declarations.has(key.type)) continue;
    const decided = await decidedThen(work, key, scene);
    if (decided?.effect === effect) return decided;
  }
  return undefined;
}

/** Rights that bear on a caller: those that name them, those that are about the space as a whole. */
function bears(version: Version, supposed: Supposed): boolean {
  const resource = parsed(version);
  const names: readonly (Ref | undefined)[] =
    supposed.kind === 'professional'
      ? [supposed.self, supposed.structure]
      : supposed.kind === 'representative'
        ? [supposed.self]
        : [];
  if (version.type === 'CareTeam') {
    const own = supposed.kind === 'professional' && careTeamStructure(resource) === supposed.structure;
    return own && careTeamMembers(resource).some((m) => m.member === supposed.self);
  }
  const { kind, actors } = readConsent(resource);
  if (kind === 'space-existence' || actors.length > 0)
    return actors.length === 0 || actors.some((a) => names.includes(a as Ref));
  return supposed.kind === 'professional' && bearsOnPurpose(kind, supposed.purpose);
}

/** Which switches of the space a purpose depends on. */
function bearsOnPurpose(kind: string | undefined, purpose: 'TREAT' | 'BTG' | 'ETREAT'): boolean {
  const always = ['document-default', 'profile-sharing'];
  const own = {
    TREAT: ['care-team-default'],
    BTG: ['emergency-btg', 'emergency-masked'],
    ETREAT: ['emergency-etreat', 'emergency-masked'],
  };
  return kind !== undefined && [...always, ...own[purpose]].includes(kind);
}

/** The period in which a version of a right counted, apart from when it was written. */
function periodOf(version: Version, supposed: Supposed): { readonly lo: number; readonly hi: number } | undefined {
  const resource = parsed(version);
  if (version.type === 'CareTeam') {
    const self = supposed.kind === 'professional' ? supposed.self : undefined;
    return careTeamMembers(resource).find((member) => member.member === self);
  }
  const { active, lo, hi } = readConsent(resource);
  return active ? { lo, hi } : undefined;
}

/** The rights of that time that bore on the access, by version; those that the reader could not read now are left out. */
async function factsOf(
  work: Work,
  versions: readonly Version[],
  { supposed, at }: { readonly supposed: Supposed; readonly at: Instant },
): Promise<readonly Parameter[]> {
  const facts: { readonly order: string; readonly parameter: Parameter }[] = [];
  for (const version of versions) {
    const key: Key = { type: version.type, id: version.id };
    const period = bears(version, supposed) ? periodOf(version, supposed) : undefined;
    if (period === undefined || at < period.lo || period.hi <= at) continue;
    const current = await work.unit.read(key, work.access.guard(version.type, 'r'));
    if (current === undefined) continue;
    const now = periodOf(current, supposed);
    const resource = parsed(version);
    const right = readConsent(resource);
    work.traces.push({ owner: version.owner, item: `${key.type}/${key.id}` });
    facts.push({
      order: `${version.type} ${String(version.lastUpdated).padStart(16, '0')} ${version.id}`,
      parameter: group('fact', [
        reference('right', `${version.type}/${version.id}/_history/${version.versionId}`),
        code('kind', version.type === 'CareTeam' ? 'care-team' : (right.kind ?? 'unknown')),
        ...(right.effect === undefined || version.type === 'CareTeam' ? [] : [code('effect', right.effect)]),
        instant('written', version.lastUpdated),
        flag('stillInForce', now !== undefined && now.lo <= work.now && work.now < now.hi),
      ]),
    });
  }
  return facts.sort((a, b) => (a.order < b.order ? -1 : 1)).map((fact) => fact.parameter);
}

/**
 * Whether the same access would be possible now. Told to the holder and representatives; to a professional only of their own acts, in the
 * same place and for the same purpose, which is what they find out by asking.
 */
async function nowParameters(work: Work, scene: Scene): Promise<readonly Parameter[]> {
  const { reading, person, supposed } = scene;
  const { caller } = work;
  const own =
    caller.kind === 'professional' &&
    supposed.kind === 'professional' &&
    supposed.self === caller.self &&
    supposed.structure === caller.structure &&
    supposed.purpose === caller.purpose;
  if (!LOOKING.includes(reading.action) || !(own || isHolderSide(work))) return [];
  const voice = voiceOf(work);
  const verdicts: Parameter[] = [];
  for (const item of reading.items.slice(0, MOST_ITEMS)) {
    const key = keyOf(item);
    if (!work.deps.declarations.has(key.type) || key.type === 'AuditEvent') continue;
    const current = await work.unit.read(key, work.access.sight(key.type));
    // Whoever sees what was deleted gets nothing of it (410).
    if (current?.deleted === true) {
      verdicts.push(
        group('now', [reference('item', item), code('decision', 'deny'), sentence('sentence', DELETED_SINCE)]),
      );
      continue;
    }
    const documents = current === undefined ? [] : documentsFollowed(current);
    const { permit, rules, told } = await verdictOn(work, { key, person, documents }, supposed);
    const effect = permit ? 'permit' : 'deny';
    verdicts.push(
      group('now', [
        reference('item', item),
        code('decision', effect),
        ...codes('rule', rules),
        sentence('sentence', textOf(told, effect, voice)),
      ]),
    );
  }
  return verdicts.length > 0 ? verdicts : spaceNow(work, scene);
}

/** An access that names no item: whether anything of what was looked for could be open to this caller now. */
async function spaceNow(work: Work, { reading, person, supposed }: Scene): Promise<readonly Parameter[]> {
  const type = reading.searched ?? 'Patient';
  if (!work.deps.declarations.has(type)) return [];
  const space = await work.unit.space(person);
  const access = accessAs(work, supposed, { person, at: work.now });
  const permit = specialise(access.visible(type).residual, space).op !== 'none';
  const reasons = reasonsOf(
    await judge(access.decision(type, 'r').votes, async (where) => specialise(where, space).op !== 'none'),
  );
  const effect = permit ? 'permit' : 'deny';
  return [
    group('now', [
      code('type', type),
      code('decision', effect),
      ...codes('rule', reasons.rules),
      sentence('sentence', textOf(leadingReasons({ ...reasons, effect }, supposed.kind), effect, voiceOf(work))),
    ]),
  ];
}

async function whoParameters(work: Work, reading: AuditReading): Promise<readonly Parameter[]> {
  const { actor, actorName, structure, profession, purpose } = reading;
  return [
    ...(actor !== undefined
      ? [reference('actor', actor, (await nameOf(work, actor)) ?? actorName)]
      : actorName !== undefined
        ? [reference('actor', undefined, actorName)]
        : []),
    ...(structure === undefined ? [] : [reference('structure', structure, await nameOf(work, structure))]),
    ...(profession === undefined ? [] : [code('profession', profession)]),
    ...(purpose === undefined ? [] : [code('purpose', purpose)]),
  ];
}

export async function explainAccess(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const scope = inScope(work, 'r', 'AuditEvent');
  if (!scope.ok) return scope;
  const query = readQuery(request, []);
  if (!query.ok) return query;
  const stated = readParameters(request, []);
  if (!stated.ok) return stated;
  const version = await work.unit.read(key, work.access.guard('AuditEvent', 'r'));
  if (version === undefined) return fail({ code: 'not-found' });
  work.traces.push({ owner: version.owner, item: `AuditEvent/${key.id}` });
  // As this reader sees it: items out of their sight are not there, and are not explained (D8).
  const reading = readEvent(asObject(JSON.parse(await bodyFor(work, version)) as Json) ?? ({} as JsonObject));
  const effect: Effect = reading.refused ? 'deny' : 'permit';
  const person = version.owner;
  const supposed = person === undefined ? undefined : supposedOf(reading, person);
  const parameters: Parameter[] = [
    reference('event', `AuditEvent/${key.id}`),
    instant('recorded', reading.recorded),
    ...(await whoParameters(work, reading)),
    code('action', reading.action),
    code('interaction', reading.interaction),
    ...reading.items.map((item) => reference('item', item)),
    code('decision', effect),
    ...codes('rule', reading.rules),
  ];
  const recorded = leadingReasons({ effect, rules: reading.rules }, supposed?.kind);
  const voice = voiceOf(work);
  const told = (keys: readonly ReasonKey[]): Bilingual => {
    const text = textOf(keys, effect, voice);
    return atThatTime(supposed?.kind === 'patient' ? ofHolder(text, voice) : text);
  };
  if (person === undefined || supposed === undefined) {
    parameters.push(sentence('sentence', told(recorded)));
    return ok({ status: 200, body: parametersText(parameters) });
  }
  const past = await spaceAt(work.unit, person, reading.recorded);
  const scene: Scene = { reading, person, supposed, space: past.entry };
  // To a professional the reconstruction could tell rights that they may not read (D7): they have what the event itself says.
  const retold = isHolderSide(work) && LOOKING.includes(reading.action);
  const found = retold ? await reconstructed(work, scene) : undefined;
  parameters.push(
    ...(retold ? [flag('reconstructed', found !== undefined)] : []),
    ...(found === undefined ? [] : codes('ground', found.told)),
    sentence('sentence', told(found?.told ?? recorded)),
    ...(await factsOf(work, past.versions, { supposed, at: reading.recorded })),
    ...(await nowParameters(work, scene)),
  );
  return ok({ status: 200, body: parametersText(parameters) });
}

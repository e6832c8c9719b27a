/** `$who-can-see` (rules.md O4; docs/explanations.md): every actor known, permitted or denied this item now, with the reasons of the engine that decides. */
import type { Access } from '../../access/access.ts';
import { judge, type Reasons, reasonsOf, type Supposed, tellingReasons } from '../../access/explain.ts';
import { type ReasonKey, textOf, type Voice } from '../../access/sentences.ts';
import { asText, referenceOf } from '../../fhir/json.ts';
import { fail, ok, type Result } from '../../fhir/result.ts';
import type { Key, Ref } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { ALL, type Predicate } from '../../query/predicate.ts';
import type { Answer } from '../answer.ts';
import type { FhirRequest } from '../request.ts';
import { documentsNamed } from '../types/document.ts';
import { forbidden, isHolderSide } from '../types/filing.ts';
import { itemHolds, keyOf, parsed, type Work } from '../work.ts';
import { type Actor, accessAs, actorParts, knownActors, nameOf, type Way, waysOf } from './known-actors.ts';
import {
  code,
  codes,
  flag,
  group,
  type Parameter,
  parametersText,
  readParameters,
  readQuery,
  reference,
  sentence,
} from './parameters.ts';
import { inScope } from './read.ts';

/** The types of sections D1, D2 and D6: what may be asked about. */
export const EXPLAINED_TYPES: readonly string[] = [
  'DocumentReference',
  'Binary',
  'List',
  'Provenance',
  'Immunization',
  'RelatedPerson',
  'Appointment',
];

/** « Vous » to the holder, « la personne » to everybody else. */
export const voiceOf = (work: Work): Voice => (work.caller.kind === 'patient' ? 'holder' : 'other');

export type Verdict = {
  readonly permit: boolean;
  /** Of a document that is visible: whether its content is too (D1a shows the description alone). */
  readonly content: boolean | undefined;
  readonly rules: Reasons['rules'];
  readonly told: readonly ReasonKey[];
};

/** What is asked about: an item of a person, and the documents that it is as hidden as (of a Binary, a List, a Provenance). */
export type Asked = { readonly key: Key; readonly person: Ref; readonly documents: readonly string[] };

/** What the engine answers somebody about one item now, and why. */
export async function verdictOn(work: Work, { key, person, documents }: Asked, supposed: Supposed): Promise<Verdict> {
  const access = accessAs(work, supposed, { person, at: work.now });
  const permit = await work.unit.test(key, access.visible(key.type), ALL);
  const content =
    permit && key.type === 'DocumentReference'
      ? await work.unit.test(key, access.asking.follow('DocumentReference', 'with-content'), ALL)
      : undefined;
  const { rules, told } = await reasonsOn(work, key, access);
  const followed = await documentReasons(work, documents, { access, permit });
  // What follows a document is open for the document's reasons; its own is that it follows.
  const alone = followed.told.length === 0;
  return {
    permit,
    content,
    rules: [...new Set([...rules, ...followed.rules])],
    told: alone ? told : permit ? followed.told : [...new Set([...told, ...followed.told])],
  };
}

type Why = { readonly rules: Reasons['rules']; readonly told: readonly ReasonKey[] };

async function reasonsOn(work: Work, key: Key, access: Access): Promise<Why> {
  const holds = (where: Predicate) => itemHolds(work, key, where);
  const reasons = reasonsOf(await judge(access.decision(key.type, 'r').votes, holds));
  const told = await tellingReasons(reasons, { asking: access.asking, type: key.type, holds });
  return { rules: reasons.rules, told };
}

/** Where each type that follows documents names them. */
const FOLLOWING: Readonly<Record<string, (item: Version) => readonly string[]>> = {
  Binary: (item) => [referenceOf(parsed(item)['securityContext'])].filter((ref) => ref !== undefined),
  List: (item) => documentsNamed(parsed(item)),
  Provenance: (item) => documentsNamed(parsed(item)),
};

/** The documents that an item follows, as it names them; none for what follows no document. */
export const documentsFollowed = (item: Version): readonly string[] => FOLLOWING[item.type]?.(item) ?? [];

/** Why the documents that are open are, or why those that are not are not. */
async function documentReasons(
  work: Work,
  documents: readonly string[],
  { access, permit }: { readonly access: Access; readonly permit: boolean },
): Promise<Why> {
  const content = access.asking.follow('DocumentReference', 'with-content');
  const rules = new Set<string>();
  const told = new Set<ReasonKey>();
  for (const ref of documents) {
    const key = keyOf(ref);
    // The documents of an item that the caller sees are documents that the caller sees.
    const document = await work.unit.read(key, work.access.visible(key.type));
    if (document === undefined || (await work.unit.test(key, content, ALL)) !== permit) continue;
    const why = await reasonsOn(work, key, access);
    for (const rule of why.rules) rules.add(rule);
    for (const reason of why.told) told.add(reason);
  }
  return { rules: [...rules], told: [...told] };
}

/** A verdict as the parts of an `access` parameter. */
export function verdictParts(
  mode: string,
  { permit, content, rules, told }: Verdict,
  voice: Voice,
): readonly Parameter[] {
  const effect = permit ? 'permit' : 'deny';
  return [
    code('mode', mode),
    code('decision', effect),
    ...(content === undefined ? [] : [flag('content', content)]),
    ...codes('rule', rules),
    sentence('sentence', textOf(told, effect, voice)),
  ];
}

type Judged = { readonly way: Way; readonly verdict: Verdict };

/** The verdicts of an actor, together where professions of a structure have the same. */
async function actorParameters(work: Work, item: Asked, actor: Actor): Promise<readonly Parameter[]> {
  const voice = voiceOf(work);
  const byProfession = new Map<string, Judged[]>();
  for (const way of waysOf(work, actor)) {
    const judged = byProfession.get(way.profession ?? '') ?? [];
    judged.push({ way, verdict: await verdictOn(work, item, way.supposed) });
    byProfession.set(way.profession ?? '', judged);
  }
  const alike = new Map<string, { readonly professions: string[]; readonly judged: readonly Judged[] }>();
  for (const [profession, judged] of byProfession) {
    const said = JSON.stringify(judged.map((j) => [j.way.mode, j.verdict]));
    const same = alike.get(said) ?? { professions: [], judged };
    if (profession !== '') same.professions.push(profession);
    alike.set(said, same);
  }
  const parameters: Parameter[] = [];
  for (const { professions, judged } of alike.values()) {
    parameters.push(
      group('actor', [
        ...(await actorParts(work, actor, professions)),
        ...judged.map(({ way, verdict }) => group('access', verdictParts(way.mode, verdict, voice))),
      ]),
    );
  }
  return parameters;
}

/** The software of the structure that filed the item: it may correct what it fed, so it sees the description (D1a, D6). */
async function softwareParameters(work: Work, item: Asked, structure: Ref | undefined): Promise<readonly Parameter[]> {
  if (structure === undefined) return [];
  const verdict = await verdictOn(work, item, { kind: 'feeder', structure });
  if (!verdict.permit) return [];
  return [
    group('actor', [
      code('kind', 'software'),
      reference('structure', structure, await nameOf(work, structure)),
      ...codes('source', ['author']),
      group('access', verdictParts('feeding', verdict, voiceOf(work))),
    ]),
  ];
}

/** The item as the caller reads it, scope included; 404 for hidden and absent, 410 for deleted. */
export async function itemAsked(work: Work, key: Key): Promise<Result<Version>> {
  const scope = inScope(work, 'r', key.type);
  if (!scope.ok) return scope;
  const item = await work.unit.read(key, work.access.guard(key.type, 'r'));
  if (item === undefined) return fail({ code: 'not-found' });
  work.traces.push({ owner: item.owner, item: `${key.type}/${key.id}` });
  return item.deleted ? fail({ code: 'gone' }) : ok(item);
}

export async function whoCanSee(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const scope = inScope(work, 'r', key.type);
  if (!scope.ok) return scope;
  if (!isHolderSide(work)) {
    return forbidden('O4', 'the holder and representatives ask who can see an item');
  }
  const query = readQuery(request, []);
  if (!query.ok) return query;
  const stated = readParameters(request, []);
  if (!stated.ok) return stated;
  const item = await itemAsked(work, key);
  if (!item.ok) return item;
  const person = item.value.owner;
  if (person === undefined) return fail({ code: 'not-found' });
  const { actors, leftOut } = await knownActors(work, person, {
    item: item.value,
    items: [item.value],
    drafts: [],
  });
  const parameters: Parameter[] = [reference('item', `${key.type}/${key.id}`, titleOf(item.value))];
  const asked = { key, person, documents: documentsFollowed(item.value) };
  for (const actor of actors) parameters.push(...(await actorParameters(work, asked, actor)));
  parameters.push(
    ...(await softwareParameters(work, asked, item.value.filing.authorStructure)),
    ...codes('leftOut', leftOut),
  );
  return ok({ status: 200, body: parametersText(parameters) });
}

const titleOf = (item: Version): string | undefined => asText(parsed(item)['description']);

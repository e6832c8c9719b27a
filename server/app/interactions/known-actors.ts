/**
 * Everybody whom an explanation has to speak of: named by a right in force or past, member of a care team, author, participant, whoever
 * accessed. Each source is looked at as the one who asks sees it, so an explanation names nobody whom they could not read of themselves.
 */
import { type Access, createAccess } from '../../access/access.ts';
import { type Supposed, supposedCaller } from '../../access/explain.ts';
import { mayConsult } from '../../access/rules/gate.ts';
import { readConsent } from '../../access/space.ts';
import { readEvent } from '../../audit/read-event.ts';
import { SYSTEM } from '../../fhir/canonical.ts';
import { allCodings, asArray, asObject, asText, referenceOf } from '../../fhir/json.ts';
import { fold } from '../../fhir/text.ts';
import type { Instant, JsonObject, Ref, Resource } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { guarded } from '../../query/plan.ts';
import { ALL, and, type Predicate, term } from '../../query/predicate.ts';
import { keyOf, parsed, type Work } from '../work.ts';
import { code, codes, flag, type Parameter, reference } from './parameters.ts';

/** Where somebody is known from. */
export type Source = 'consent' | 'care-team' | 'author' | 'participant' | 'access';

export type Actor =
  | {
      readonly kind: 'professional';
      readonly self: Ref;
      readonly structure: Ref | undefined;
      /** TRE_G15. */
      readonly profession: string;
      /** Nothing tells the profession: a physician is supposed. */
      readonly assumed: boolean;
      readonly sources: readonly Source[];
    }
  | { readonly kind: 'structure'; readonly structure: Ref; readonly sources: readonly Source[] }
  | { readonly kind: 'representative'; readonly self: Ref; readonly sources: readonly Source[] };

export type Known = {
  readonly actors: readonly Actor[];
  /** Types that were not looked at, because no scope of the token covers them. */
  readonly leftOut: readonly string[];
};

/** What is supposed of a professional whose profession nothing tells: a physician (TRE_G15). */
const PHYSICIAN = '10';

/** Accesses are looked through newest first, so many at most. */
const MOST_ACCESSES = 1000;
const PAGE = 200;

/** Everything of a type about a person that the caller reads, newest first, at most `most`. */
export async function everySeen(
  work: Work,
  type: string,
  { where, most }: { readonly where: Predicate; readonly most: number },
): Promise<readonly Version[]> {
  const found: Version[] = [];
  let after: readonly (string | number | null)[] | undefined;
  while (found.length < most) {
    const page = await work.unit.search(
      guarded(
        {
          type,
          where,
          sort: [{ param: '_lastUpdated', descending: true }],
          limit: Math.min(PAGE, most - found.length),
          total: false,
          ...(after === undefined ? {} : { after }),
        },
        work.access.guard(type, 'r'),
      ),
    );
    found.push(...page.matches);
    after = page.matches.at(-1)?.position;
    if (!page.more || after === undefined) break;
  }
  return found;
}

/** One mention of somebody. */
type Mention = {
  readonly self?: Ref | undefined;
  readonly structure?: Ref | undefined;
  readonly profession?: string | undefined;
  readonly source: Source;
};

const ofType = (ref: string | undefined, type: string): ref is Ref => ref?.startsWith(`${type}/`) === true;

/** A mention of a reference, whatever it is to: of a professional or of a structure; of anybody else, none. */
function mentionOf(ref: string | undefined, source: Source): readonly Mention[] {
  if (ofType(ref, 'Practitioner')) return [{ self: ref, source }];
  return ofType(ref, 'Organization') ? [{ structure: ref, source }] : [];
}

function ofConsent(consent: JsonObject): readonly Mention[] {
  const { kind, actors } = readConsent(consent);
  if (kind === 'delegation') {
    return actors.flatMap((actor) => (ofType(actor, 'RelatedPerson') ? [{ self: actor, source: 'consent' }] : []));
  }
  return actors.flatMap((actor) => mentionOf(actor, 'consent'));
}

/** Members in force and past: whoever a version names counts, in force or not. */
function ofTeam(team: JsonObject): readonly Mention[] {
  const structure = referenceOf(asArray(team['managingOrganization'])[0]);
  return asArray(team['participant'])
    .map((participant) => referenceOf(asObject(participant)?.['member']))
    .flatMap((member): readonly Mention[] =>
      ofType(member, 'Practitioner')
        ? [{ self: member, structure: ofType(structure, 'Organization') ? structure : undefined, source: 'care-team' }]
        : [],
    );
}

function ofAccess(event: JsonObject, namesItem: boolean): readonly Mention[] {
  const { actor, structure, profession } = readEvent(event);
  if (ofType(actor, 'Practitioner')) return [{ self: actor, structure, profession, source: 'access' }];
  return namesItem ? mentionOf(actor, 'access') : [];
}

/** Whoever filed the item: the professional in person, and everybody of the structure (section 4). */
const ofFiling = ({ filing }: Version): readonly Mention[] => [
  ...(filing.authorPerson === undefined
    ? []
    : [{ self: filing.authorPerson, structure: filing.authorStructure, source: 'author' } as const]),
  ...(filing.authorStructure === undefined ? [] : [{ structure: filing.authorStructure, source: 'author' } as const]),
];

/** By which element a directory entry belongs to a structure. */
const BELONGS: Readonly<Record<string, string>> = {
  PractitionerRole: 'organization',
  HealthcareService: 'providedBy',
  Location: 'managingOrganization',
};

async function ofParticipants(work: Work, appointment: JsonObject): Promise<readonly Mention[]> {
  const found: Mention[] = [];
  for (const ref of asArray(appointment['participant']).map((p) => referenceOf(asObject(p)?.['actor']))) {
    if (ofType(ref, 'Practitioner')) found.push({ self: ref, source: 'participant' });
    const element = BELONGS[ref?.split('/')[0] ?? ''];
    const entry = ref === undefined || element === undefined ? undefined : await directoryEntry(work, ref as Ref);
    if (entry === undefined || element === undefined) continue;
    const structure = referenceOf(entry[element]);
    const self = referenceOf(entry['practitioner']);
    found.push({
      self: ofType(self, 'Practitioner') ? self : undefined,
      structure: ofType(structure, 'Organization') ? structure : undefined,
      source: 'participant',
    });
    if (ofType(structure, 'Organization')) found.push({ structure, source: 'participant' });
  }
  return found;
}

/** A directory entry: open to every caller (D10). */
async function directoryEntry(work: Work, ref: Ref): Promise<Resource | undefined> {
  const key = keyOf(ref);
  const found = await work.unit.read(key, work.access.visible(key.type));
  return found === undefined || found.deleted ? undefined : parsed(found);
}

/** The places at which the directory says that a professional practises, with the profession there. */
async function rolesOf(work: Work, self: Ref): Promise<readonly { structure: Ref; profession: string | undefined }[]> {
  const page = await work.unit.search(
    guarded(
      { type: 'PractitionerRole', where: term('practitioner', self), sort: [], limit: PAGE, total: false },
      work.access.visible('PractitionerRole'),
    ),
  );
  return page.matches.map(parsed).flatMap((role) => {
    const structure = referenceOf(role['organization']);
    if (role['active'] === false || !ofType(structure, 'Organization')) return [];
    return [{ structure, profession: professionOf([role['code'], role['specialty']]) }];
  });
}

/** Médecine du travail, as tokens state it: a physician of that specialty is `10/SM25` for the matrix (A1). */
const OCCUPATIONAL_MEDICINE: readonly string[] = ['SM25', 'G15_10/SM25'];

function professionOf(concepts: readonly (Resource[string] | undefined)[]): string | undefined {
  const codings = concepts.flatMap((concept) => allCodings(concept));
  const profession = codings.find((c) => c.system === SYSTEM.profession)?.code;
  if (profession === undefined) return undefined;
  return codings.some((c) => OCCUPATIONAL_MEDICINE.includes(c.code ?? '')) ? `${profession}/SM25` : profession;
}

/** The professions that the directory entry of a professional states (`Practitioner.qualification`). */
async function qualificationOf(work: Work, self: Ref): Promise<string | undefined> {
  const entry = await directoryEntry(work, self);
  return professionOf([asArray(entry?.['qualification']).map((q) => asObject(q)?.['code'] ?? null)]);
}

type Person = {
  readonly sources: Set<Source>;
  /** From what names them wherever they practise. */
  readonly anywhere: Set<Source>;
  /** structure (`''`: none known) → professions and sources there. */
  readonly places: Map<string, { readonly professions: Set<string>; readonly sources: Set<Source> }>;
};

/** Every professional in every place known, every structure, every representative, from what was mentioned. */
async function actorsFrom(work: Work, mentions: readonly Mention[]): Promise<readonly Actor[]> {
  const people = new Map<Ref, Person>();
  const structures = new Map<Ref, Set<Source>>();
  const representatives = new Map<Ref, Set<Source>>();
  for (const { self, structure, profession, source } of mentions) {
    if (self === undefined) {
      if (structure !== undefined) structures.set(structure, (structures.get(structure) ?? new Set()).add(source));
      continue;
    }
    if (self.startsWith('RelatedPerson/')) {
      representatives.set(self, (representatives.get(self) ?? new Set()).add(source));
      continue;
    }
    const person = people.get(self) ?? { sources: new Set<Source>(), anywhere: new Set<Source>(), places: new Map() };
    person.sources.add(source);
    people.set(self, person);
    if (structure === undefined) {
      person.anywhere.add(source);
      continue;
    }
    const place = person.places.get(structure) ?? { professions: new Set<string>(), sources: new Set<Source>() };
    place.sources.add(source);
    if (profession !== undefined) place.professions.add(profession);
    person.places.set(structure, place);
  }
  const professionals: Actor[] = [];
  for (const [self, { sources, anywhere, places }] of people) {
    for (const { structure, profession } of await rolesOf(work, self)) {
      const place = places.get(structure) ?? { professions: new Set<string>(), sources: new Set<Source>() };
      if (profession !== undefined) place.professions.add(profession);
      places.set(structure, place);
    }
    if (places.size === 0) places.set('', { professions: new Set(), sources: new Set() });
    const elsewhere = [...places.values()].flatMap((place) => [...place.professions]).sort();
    const stated = elsewhere[0] ?? (await qualificationOf(work, self));
    for (const [structure, place] of places) {
      const own = [...place.professions].sort();
      const here = new Set([...place.sources, ...anywhere]);
      for (const profession of own.length > 0 ? own : [stated ?? PHYSICIAN]) {
        professionals.push({
          kind: 'professional',
          self,
          structure: structure === '' ? undefined : (structure as Ref),
          profession,
          assumed: own.length === 0 && stated === undefined,
          sources: [...(here.size > 0 ? here : sources)].sort(),
        });
      }
    }
  }
  return [
    ...professionals,
    ...[...structures].map(
      ([structure, sources]): Actor => ({
        kind: 'structure',
        structure,
        sources: [...sources].sort(),
      }),
    ),
    ...[...representatives].map(
      ([self, sources]): Actor => ({
        kind: 'representative',
        self,
        sources: [...sources].sort(),
      }),
    ),
  ];
}

export type Concerned = {
  /** The item asked about; absent, the whole space. */
  readonly item: Version | undefined;
  /** The items whose authors count. */
  readonly items: readonly Version[];
  /** Consents that are not written yet. */
  readonly drafts: readonly JsonObject[];
};

/** The actors known to whoever asks. Deterministic: by kind, name, then reference. */
export async function knownActors(work: Work, person: Ref, { item, items, drafts }: Concerned): Promise<Known> {
  const mentions: Mention[] = [...items.flatMap(ofFiling), ...drafts.flatMap(ofConsent)];
  const about = term('_owner', person);
  const sources: readonly (readonly [
    type: string,
    read: (body: JsonObject) => readonly Mention[],
    where: Predicate,
  ])[] = [
    ['Consent', ofConsent, ALL],
    ['CareTeam', ofTeam, ALL],
    [
      'AuditEvent',
      (event) => ofAccess(event, item !== undefined),
      item === undefined ? ALL : term('entity', `${item.type}/${item.id}`),
    ],
  ];
  const leftOut: string[] = [];
  for (const [type, read, where] of sources) {
    if (work.access.scopeLimit('r', type).op === 'none') {
      leftOut.push(type);
      continue;
    }
    const found = await everySeen(work, type, { where: and(about, where), most: MOST_ACCESSES });
    for (const version of found) mentions.push(...read(parsed(version)));
    if (type === 'CareTeam') {
      for (const { id } of found) mentions.push(...(await formerMembers(work, id)));
    }
  }
  if (item?.type === 'Appointment') mentions.push(...(await ofParticipants(work, parsed(item))));
  const actors = await actorsFrom(work, mentions);
  return { actors: await inOrder(work, actors), leftOut };
}

/** Members that a team had and has no more. */
async function formerMembers(work: Work, id: string): Promise<readonly Mention[]> {
  const page = await work.unit.history({ type: 'CareTeam', id }, work.access.guard('CareTeam', 'r'), { limit: PAGE });
  return (page?.versions ?? []).filter((v) => !v.deleted).flatMap((version) => ofTeam(parsed(version)));
}

const KINDS: readonly Actor['kind'][] = ['professional', 'structure', 'representative'];

async function inOrder(work: Work, actors: readonly Actor[]): Promise<readonly Actor[]> {
  const keyed: { readonly actor: Actor; readonly key: string }[] = [];
  for (const actor of actors) {
    const self = actor.kind === 'structure' ? actor.structure : actor.self;
    const structure = actor.kind === 'representative' ? undefined : actor.structure;
    const names = [await nameOf(work, self), structure === undefined ? '' : await nameOf(work, structure)];
    const profession = actor.kind === 'professional' ? actor.profession : '';
    const key = [
      KINDS.indexOf(actor.kind),
      ...names.map((name) => fold(name ?? '')),
      self,
      structure ?? '',
      profession,
    ];
    keyed.push({ actor, key: key.join('\u0000') });
  }
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ actor }) => actor);
}

/** A HumanName or a plain name as one line: prefix, given names, family name; `text` where it is all there is. */
function spelled(name: Resource[string] | undefined): string | undefined {
  if (asText(name) !== undefined) return asText(name);
  const first = asObject(asArray(name).find((n) => asObject(n)?.['use'] !== 'old') ?? null);
  const parts = [...asArray(first?.['prefix']), ...asArray(first?.['given']), first?.['family'] ?? null]
    .map((part) => asText(part))
    .filter((part) => part !== undefined);
  return parts.length > 0 ? parts.join(' ') : asText(first?.['text']);
}

/** How the register names somebody (Practitioner.name, Organization.name), as far as the one who asks sees them; scopes apart. */
export async function nameOf(work: Work, ref: Ref): Promise<string | undefined> {
  const type = keyOf(ref).type;
  if (!work.deps.declarations.has(type)) return undefined;
  const entry = await directoryEntry(work, ref);
  return spelled(entry?.['name']);
}

/** One way of asking that an actor has. */
export type Way = { readonly mode: string; readonly profession?: string; readonly supposed: Supposed };

/** What a representative's access is called beside the purposes of a professional. */
export const REPRESENTING = 'representing';

/** Every way in which an actor may ask: a professional in each purpose, a structure for each profession that consults. */
export function waysOf(work: Work, actor: Actor): readonly Way[] {
  const modes = ['TREAT', 'BTG', 'ETREAT'] as const;
  switch (actor.kind) {
    case 'professional':
      return modes.map((purpose) => ({
        mode: purpose,
        profession: actor.profession,
        supposed: {
          kind: 'professional',
          self: actor.self,
          structure: actor.structure,
          profession: actor.profession,
          purpose,
        },
      }));
    case 'structure':
      return consulting(work).flatMap((profession) =>
        modes.map((purpose) => ({
          mode: purpose,
          profession,
          supposed: { kind: 'professional', self: undefined, structure: actor.structure, profession, purpose } as const,
        })),
      );
    default:
      return [{ mode: REPRESENTING, supposed: { kind: 'representative', self: actor.self } }];
  }
}

/** The professions that may consult (A1), in the order of their codes. */
const consulting = (work: Work): readonly string[] =>
  Object.keys(work.deps.policy.matrix)
    .filter((profession) => mayConsult(work.deps.policy, profession))
    .sort();

/** The decisions that this actor would get, scopes apart, from the engine that decides. */
export const accessAs = (
  work: Work,
  supposed: Supposed,
  { person, at }: { readonly person: Ref; readonly at: Instant },
): Access =>
  createAccess({
    caller: supposedCaller(supposed, person, at),
    now: at,
    policy: work.deps.policy,
    types: work.deps.accessTypes,
    scopeLimit: () => ALL,
  });

/** Who an actor is, as parts of a Parameters: kind, references with the register's names, professions, where they are known from. */
export async function actorParts(
  work: Work,
  actor: Actor,
  professions: readonly string[],
): Promise<readonly Parameter[]> {
  const named = async (name: string, ref: Ref | undefined): Promise<readonly Parameter[]> =>
    ref === undefined ? [] : [reference(name, ref, await nameOf(work, ref))];
  return [
    code('kind', actor.kind),
    ...(actor.kind === 'professional' ? await named('practitioner', actor.self) : []),
    ...(actor.kind === 'representative' ? await named('relatedPerson', actor.self) : []),
    ...(actor.kind === 'representative' ? [] : await named('structure', actor.structure)),
    ...codes('profession', professions),
    ...(actor.kind === 'professional' && actor.assumed ? [flag('professionAssumed', true)] : []),
    ...codes('source', actor.sources),
  ];
}

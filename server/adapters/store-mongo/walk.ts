/**
 * The same predicate over documents that have been read, steps to other documents included: the neighbours of all of them are fetched in one question,
 * and each only once in a unit, whatever many guards ask of it. Spelled out as `$lookup`s, the guard of an AuditEvent is a query for each of its items and
 * each type that they may have. `query/matches.ts` is the definition; the agreement test holds this file to it.
 */
import type { Document } from 'mongodb';
import { matches, NO_LINKS } from '../../query/matches.ts';
import { ALL, and, NONE, not, or, type Predicate, term } from '../../query/predicate.ts';
import { isLocal, localFilter, necessary, resourceScope } from './compile.ts';
import { judge } from './judge.ts';
import { type Beside, STANDING, type Standing } from './neighbours.ts';
import { asksText, widened, withoutSteps } from './resolve.ts';
import type { CurrentDocument } from './schema.ts';
import { bytesOf, NO_TEXTS, type Texts, textsOf } from './sealed.ts';
import { keysFor, type Sight } from './sight.ts';

/** Those of `docs`, all of one type, for which `p` holds, in their order. */
export async function holding<D extends Standing>(
  sight: Sight,
  docs: readonly D[],
  p: Predicate,
): Promise<readonly D[]> {
  if (docs.length === 0 || p.op === 'all') return docs;
  if (isPlain(p)) return docs.filter((doc) => judge(p, doc, { hashes: sight.hashes, texts: NO_TEXTS }));
  switch (p.op) {
    case 'and': {
      let left = docs;
      for (const q of plainFirst(p.of)) left = await holding(sight, left, q);
      return left;
    }
    case 'or': {
      const found = new Set<D>();
      for (const q of plainFirst(p.of)) {
        const rest = docs.filter((doc) => !found.has(doc));
        for (const doc of await holding(sight, rest, q)) found.add(doc);
      }
      return docs.filter((doc) => found.has(doc));
    }
    case 'not': {
      const found = new Set(await holding(sight, docs, p.of));
      return docs.filter((doc) => !found.has(doc));
    }
    case 'owner':
      return ownersHolding(sight, docs, p.of);
    case 'via':
    case 'from':
      return stepHolding(sight, docs, p);
    default: {
      const texts = await textsOfAll(sight, docs);
      return docs.filter((doc) => judge(p, doc, { hashes: sight.hashes, texts: texts.get(doc) ?? NO_TEXTS }));
    }
  }
}

/** Whether nothing but the document is needed, opened or read. */
const isPlain = (p: Predicate): boolean => isLocal(p) && !asksText(p);

/** What costs a question is asked last, of what is left then. */
const plainFirst = (of: readonly Predicate[]): readonly Predicate[] => [
  ...of.filter(isPlain),
  ...of.filter((p) => !isPlain(p)),
];

async function textsOfAll<D extends Standing>(sight: Sight, docs: readonly D[]): Promise<ReadonlyMap<D, Texts>> {
  const sealed = docs.flatMap(({ owner, texts }) => (texts === null ? [] : [{ owner, sealed: bytesOf(texts) }]));
  const keyOf = await keysFor(sight, sealed);
  return new Map(docs.map((doc) => [doc, textsOf(doc, keyOf)]));
}

async function ownersHolding<D extends Standing>(
  sight: Sight,
  docs: readonly D[],
  of: Predicate,
): Promise<readonly D[]> {
  const held = await personsHolding(sight, [...new Set(docs.flatMap(({ owner }) => owner ?? []))], of);
  return docs.filter(({ owner }) => owner !== null && held.has(owner));
}

/** The persons for whose space `of` holds. */
async function personsHolding(sight: Sight, persons: readonly string[], of: Predicate): Promise<ReadonlySet<string>> {
  const beside = await spacesOf(sight, persons);
  const keyOf = asksText(of)
    ? await keysFor(
        sight,
        persons.flatMap((owner) => {
          const entry = beside.get(owner)?.entry ?? null;
          return entry === null ? [] : [{ owner, sealed: bytesOf(entry) }];
        }),
      )
    : undefined;
  const holds = (person: string): boolean => {
    const touched = sight.spaces.get(person);
    if (touched !== undefined) return touched.entry !== undefined && matches(of, touched.entry, NO_LINKS);
    const space = beside.get(person) ?? null;
    if (space === null || space.entry === null) return false;
    if (keyOf !== undefined) return matches(of, sight.readEntry(person, bytesOf(space.entry), keyOf), NO_LINKS);
    const judged = { ...space, type: '', id: '', owner: null, updated: 0 };
    return judge(withoutSteps(of), judged, { hashes: sight.hashes, texts: NO_TEXTS });
  };
  return new Set(persons.filter(holds));
}

/** The same question about what these persons own, each condition on an owner put as the list of those for whom it holds. */
export async function ofOwners(sight: Sight, p: Predicate, persons: readonly string[]): Promise<Predicate> {
  switch (p.op) {
    case 'and':
    case 'or': {
      const of: Predicate[] = [];
      for (const q of p.of) of.push(await ofOwners(sight, q, persons));
      return p.op === 'and' ? and(...of) : or(...of);
    }
    case 'not':
      return not(await ofOwners(sight, p.of, persons));
    case 'owner': {
      const held = await personsHolding(sight, persons, p.of);
      // The search starts at them all, so that what holds for each says nothing more.
      return held.size === persons.length ? ALL : or(...[...held].map((person) => term('_owner', person)));
    }
    default:
      return p;
  }
}

/** The spaces of persons, as far as they have one and were not touched. */
async function spacesOf(sight: Sight, persons: readonly string[]): Promise<ReadonlyMap<string, Beside | null>> {
  const { spaces } = sight.neighbours;
  const missing = persons.filter((person) => !spaces.has(person) && !sight.spaces.has(person));
  if (missing.length > 0) {
    for (const person of missing) spaces.set(person, null);
    const found = sight.collections.space.find(
      { _id: { $in: missing }, entry: { $ne: null } },
      { session: sight.attempt.session, projection: { terms: 1, ranges: 1, entry: 1 } },
    );
    for (const { _id, ...space } of await found.toArray()) spaces.set(_id, space);
  }
  return spaces;
}

export type Step = Predicate & { readonly op: 'via' | 'from' };

async function stepHolding<D extends Standing>(sight: Sight, docs: readonly D[], p: Step): Promise<readonly D[]> {
  if (p.op === 'via') {
    const held = await reachedBy(
      sight,
      p,
      docs.flatMap((doc) => targetsOf(doc, p, sight)),
    );
    return docs.filter((doc) => targetsOf(doc, p, sight).some((target) => held.has(target)));
  }
  const { owned, naming } = sight.neighbours;
  const nameOf = (doc: Standing): string => (p.param === '_owner' ? doc._id : String(doc.self));
  const known = p.param === '_owner' ? owned : naming;
  const missing = docs.filter((doc) => !known.has(`${p.hop.type}:${nameOf(doc)}`));
  if (missing.length > 0) {
    const found = await sight.collections.current
      .find(
        p.param === '_owner'
          ? { owner: { $in: missing.map(({ _id }) => _id) }, type: p.hop.type }
          : { 'links.t': { $in: missing.map(({ self }) => self) }, type: p.hop.type },
        { session: sight.attempt.session, projection: STANDING },
      )
      .toArray();
    const by = new Map<string, Standing[]>(missing.map((doc) => [nameOf(doc), []]));
    for (const one of found) {
      const names = p.param === '_owner' ? [one.owner ?? ''] : one.links.map(({ t }) => String(t));
      for (const name of new Set(names)) by.get(name)?.push(one);
    }
    for (const [name, those] of by) known.set(`${p.hop.type}:${name}`, those);
  }
  const beside = docs.map((doc) => (known.get(`${p.hop.type}:${nameOf(doc)}`) ?? []).filter((o) => names(o, p, doc)));
  const counted = [...new Set(beside.flat())].filter(({ deleted }) => p.hop.deleted || !deleted);
  const held = new Set(await holding(sight, counted, p.hop.where));
  return docs.filter((_, i) => beside[i]?.some((one) => held.has(one)));
}

const names = (one: Standing, { param }: Step, doc: Standing): boolean =>
  param === '_owner' ? one.owner === doc._id : one.links.some(({ p, t }) => p === param && t === doc.self);

/** What a document names by the parameter of a step, as `self` has it. */
const targetsOf = (
  { owner, links }: Pick<Standing, 'owner' | 'links'>,
  { param }: Step,
  sight: Sight,
): readonly bigint[] =>
  param === '_owner'
    ? owner === null
      ? []
      : [sight.hashes.address(owner)]
    : links.filter(({ p }) => p === param).map(({ t }) => t);

/** Of the documents at the far end of a step, those that it reaches, by `self`. */
export async function reachedBy(
  sight: Sight,
  { hop }: Step,
  targets: readonly bigint[],
): Promise<ReadonlyMap<bigint, Standing>> {
  const { bySelf } = sight.neighbours;
  const asked = [...new Set(targets)];
  const missing = asked.filter((self) => !bySelf.has(self));
  if (missing.length > 0) {
    for (const self of missing) bySelf.set(self, undefined);
    // Of every type: the next step mostly asks the same about another one.
    const found = sight.collections.current.find(
      { self: { $in: missing } },
      { session: sight.attempt.session, projection: STANDING },
    );
    for (const doc of await found.toArray()) bySelf.set(doc.self, doc);
  }
  const there = asked.flatMap((self) => bySelf.get(self) ?? []);
  const counted = there.filter(({ type, deleted }) => type === hop.type && (hop.deleted || !deleted));
  return new Map((await holding(sight, counted, hop.where)).map((doc) => [doc.self, doc]));
}

/** A question that names more documents than this, or starts at more, leaves its steps to the database. */
const MOST_NAMED = 20_000;

/**
 * The same question about documents of `type` that meet `start`, each step put as the list of what it reaches from them: what they name is asked for once,
 * read once, and judged here. The question that is asked then is exact, and has no step in it.
 */
export async function walked(sight: Sight, where: Predicate, type: string, start: Document): Promise<Predicate> {
  const steps = stepsOf(where);
  if (steps.length === 0) return where;
  const own = localFilter(necessary(widened(where, true)), resourceScope(type), sight.hashes);
  const found: Document[] = [{ $match: { type, ...start } }, { $match: own }];
  const reached = new Map<Step, Predicate>();
  const named = steps.filter(isNamed);
  if (named.length > 0) {
    const links = await linksOf(sight, found, new Set(named.map(({ param }) => param)));
    if (links === undefined) return where;
    for (const p of named) {
      const held = await reachedBy(sight, p, links.get(p.param) ?? []);
      reached.set(p, or(...[...held.values()].map((doc) => term(p.param, doc._id))));
    }
  }
  if (named.length < steps.length) {
    const docs = await sight.collections.current
      .aggregate<Standing>([...found, { $limit: MOST_NAMED + 1 }, { $project: STANDING }], {
        session: sight.attempt.session,
      })
      .toArray();
    if (docs.length > MOST_NAMED) return where;
    for (const p of steps.filter((step) => !isNamed(step)))
      reached.set(p, or(...(await stepHolding(sight, docs, p)).map(({ id }) => term('_id', id))));
  }
  return withSteps(where, (p) => reached.get(p) ?? NONE);
}

/** Whether a step goes along a reference that the document itself has. */
const isNamed = ({ op, param }: Step): boolean => op === 'via' && param !== '_owner';

/** What the documents found name by these parameters, by parameter; undefined when it is too much. */
async function linksOf(
  sight: Sight,
  found: readonly Document[],
  params: ReadonlySet<string>,
): Promise<ReadonlyMap<string, readonly bigint[]> | undefined> {
  const links = await sight.collections.current
    .aggregate<{ readonly _id: CurrentDocument['links'][number] }>(
      [
        ...found,
        { $project: { _id: 0, links: 1 } },
        { $unwind: '$links' },
        { $match: { 'links.p': { $in: [...params] } } },
        { $group: { _id: '$links' } },
        { $limit: MOST_NAMED + 1 },
      ],
      { session: sight.attempt.session },
    )
    .toArray();
  if (links.length > MOST_NAMED) return undefined;
  const by = new Map<string, bigint[]>();
  for (const { _id: link } of links) by.get(link.p)?.push(link.t) ?? by.set(link.p, [link.t]);
  return by;
}

/** The steps that the document itself takes; those after them are theirs. */
function stepsOf(p: Predicate): readonly Step[] {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.flatMap(stepsOf);
    case 'not':
      return stepsOf(p.of);
    case 'via':
    case 'from':
      return [p];
    default:
      return [];
  }
}

/** The same predicate with something else in the place of each step. */
function withSteps(p: Predicate, by: (step: Step) => Predicate): Predicate {
  switch (p.op) {
    case 'and':
      return and(...p.of.map((q) => withSteps(q, by)));
    case 'or':
      return or(...p.of.map((q) => withSteps(q, by)));
    case 'not':
      return not(withSteps(p.of, by));
    case 'via':
    case 'from':
      return by(p);
    default:
      return p;
  }
}

/** Runs the same requests against the two twins and says where the caller could tell them apart. */
import fc from 'fast-check';
import type { Deps } from '../../server/app/deps.ts';
import {
  caller as anyCaller,
  baseInstant,
  concerned,
  instants,
  people,
  professionals,
  tameWorld,
} from '../oracle/arbitraries.ts';
import { personOf } from '../oracle/facts.ts';
import type { ActorRef, Instant, Item, World, WorldCaller } from '../oracle/world.ts';
import { depsFor, type InProcess, mintToken, type Serving, type StoreShelf, type WireAnswer } from './in-process.ts';
import { policyOf } from './policy.ts';
import { type Ask, askFor, type Terrain, terrainOf } from './twin-requests.ts';
import { hiddenFrom, loadTwin, type Recording, readsRegisterAlone, record, refOfItem, sameIds } from './twins.ts';
import { traitsOf } from './world.ts';

/** One pair: a world, who asks when, and what. */
export type Pair = {
  readonly world: World;
  readonly caller: WorldCaller;
  readonly now: Instant;
  /** Each list of numbers stands for a request (`askFor`). */
  readonly asks: readonly (readonly number[])[];
};

// ---- pairs --------------------------------------------------------------------------------------------------------

const eventSpec = fc.record({
  person: fc.constantFrom(...people, ...people, undefined),
  by: fc.nat(),
  names: fc.array(fc.nat(), { maxLength: 4 }),
  secret: fc.constantFrom(false, false, true),
});

const depositSpec = fc.record({
  person: fc.constantFrom(...people),
  docType: fc.constantFrom('DOCPAT01', '42348-3', '11369-6'),
  labels: fc.constantFrom<readonly ('MASQUE_PS' | 'INVISIBLE_REPRESENTANTS_LEGAUX')[]>(
    [],
    ['MASQUE_PS'],
    ['INVISIBLE_REPRESENTANTS_LEGAUX'],
  ),
  byRepresentative: fc.boolean(),
});

const taskSpec = fc.record({
  person: fc.constantFrom(...people, undefined),
  depositedBy: fc.constantFrom('s1', 's2', 's3'),
});

/** A world that the API can build, with deposits of the holder's side, the whole directory, and a register of earlier acts. */
export const twinWorld: fc.Arbitrary<World> = fc
  .tuple(
    tameWorld,
    fc.array(depositSpec, { maxLength: 2 }),
    fc.array(eventSpec, { maxLength: 6 }),
    fc.array(taskSpec, { maxLength: 2 }),
  )
  .map(([tame, deposits, events, tasks]) => {
    const items: Item[] = [...tame.items, { type: 'HealthcareService', id: 'ward' }, { type: 'Location', id: 'room' }];
    deposits.forEach(({ person, byRepresentative, ...one }, index) => {
      const filedBy = byRepresentative
        ? ({ side: 'representative', related: `related-${person}-0` } as const)
        : ({ side: 'holder' } as const);
      const id = `deposit-${person}-${index}`;
      items.push({ type: 'DocumentReference', id, person, ...one, filedBy, filedAt: '2026-10-01T07:00:00.000Z' });
      items.push({ type: 'Binary', id: `bytes-${id}`, document: id, filedBy });
    });
    tasks.forEach(({ person, depositedBy }, index) => {
      items.push({ type: 'Task', id: `task-${index}`, depositedBy, ...(person === undefined ? {} : { person }) });
    });
    const world = { policy: tame.policy, items };
    events.forEach(({ person, by, names, secret }, index) => {
      const about = items.filter((item) => item.type !== 'Patient' && personOf(world, item) === person);
      const agents: readonly ActorRef[] = [
        ...Object.keys(professionals).map((id): ActorRef => ({ type: 'Practitioner', id })),
        ...(person === undefined ? [] : [{ type: 'Patient', id: person } as const]),
        { type: 'Organization', id: 's1' },
      ];
      items.push({
        type: 'AuditEvent',
        id: `event-${index}`,
        agent: agents[by % agents.length] as ActorRef,
        items: names.flatMap((name) => {
          const item = about[name % (about.length + 1)];
          return item === undefined ? [{ type: 'DocumentReference', id: 'gone' }] : [{ type: item.type, id: item.id }];
        }),
        secret,
        ...(person === undefined ? {} : { person }),
      });
    });
    return world;
  });

/** A list of numbers for each request; the first of every choice is the simplest. */
const asked = fc.array(fc.nat({ max: 65_535 }), { minLength: 24, maxLength: 48 });

/** Random pairs; callers whom something in the world concerns, more often than not. */
export const twinPair = (requests: number): fc.Arbitrary<Pair> =>
  fc
    .record({
      // shrunk first: what is left of a failure is the one request that tells, then the least world
      asks: fc.noBias(fc.array(asked, { minLength: 1, maxLength: requests, size: 'max' })),
      world: twinWorld,
      now: fc.constantFrom(baseInstant, baseInstant, ...instants),
      other: anyCaller,
      concernedBy: fc.nat(),
      isConcerned: fc.constantFrom(true, true, false),
    })
    .map(({ world, other, concernedBy, isConcerned, now, asks }) => {
      const near = concerned(world);
      const drawn = isConcerned ? (near[concernedBy % near.length] ?? other) : other;
      const known = drawn.kind !== 'representative' || sameIds(world).has(`RelatedPerson/${drawn.related}`);
      return { world, caller: known ? drawn : ({ kind: 'patient', person: 'p1' } as const), now, asks };
    });

// ---- running ------------------------------------------------------------------------------------------------------

/** Where pairs are run: two servers, a shelf of stores, and on it one that holds the directory, which is everybody's. */
export type Site = {
  readonly a: InProcess;
  readonly b: InProcess;
  readonly shelf: StoreShelf;
  readonly directory: Recording;
};

const TEMPLATE = 'template';

/** Writes the template store. */
export async function prepareSite(a: InProcess, b: InProcess, shelf: StoreShelf): Promise<Site> {
  const [world] = fc.sample(twinWorld, { seed: 1, numRuns: 1 }) as [World];
  const store = await shelf.open(TEMPLATE);
  const directory = await record(world, store, building(world.policy), 'directory');
  await store.close();
  return { a, b, shelf, directory };
}

const building = (policy: World['policy']): Omit<Deps, 'store'> => {
  const { store: _none, ...deps } = depsFor({
    store: undefined as never,
    policy: policyOf(policy),
    now: () => baseInstant,
    nextId: () => 'none',
  });
  return deps;
};

/** What a run was worth: how much was hidden, and how much of it answered. */
export type Ran = {
  readonly hidden: number;
  readonly shown: number;
  readonly answers: readonly number[];
  /** Resources that were shown in answers. */
  readonly disclosed: number;
  /** How the caller could tell the two apart; absent when they could not. */
  readonly difference?: string;
};

/** Builds both twins, asks both, and compares. */
export async function runPair(site: Site, pair: Pair): Promise<Ran> {
  const { world, caller, now } = pair;
  const { shelf } = site;
  await shelf.copy(TEMPLATE, 'a');
  await shelf.copy(TEMPLATE, 'b');
  const stores = { a: await shelf.open('a'), b: await shelf.open('b') };
  try {
    const recording = await record(world, stores.a, building(world.policy), 'persons');
    const hidden = hiddenFrom(world, caller, now);
    await loadTwin(recording, stores.b, { world, caller, now, readsRegister: readsRegister(pair) }, hidden);
    const terrain = terrainOf({ world, caller, now, hidden, recording, directory: site.directory });
    return await askBoth(site, pair, terrain, stores);
  } finally {
    await stores.a.close();
    await stores.b.close();
    await shelf.remove('a');
    await shelf.remove('b');
  }
}

async function askBoth(
  site: Site,
  pair: Pair,
  terrain: Terrain,
  stores: { readonly a: Serving['store']; readonly b: Serving['store'] },
): Promise<Ran> {
  const { world, caller, now } = pair;
  const count = { exchange: 0, id: 0 };
  const serving = (store: Serving['store']): Serving => ({
    store,
    policy: policyOf(world.policy),
    now: () => now,
    nextId: () => {
      count.id += 1;
      return `made-${padded(count.exchange)}-${padded(count.id)}`;
    },
    requestId: () => `request-${padded(count.exchange)}`,
  });
  site.a.serve(serving(stores.a));
  site.b.serve(serving(stores.b));
  const token = mintToken(caller, sameIds(world), now);
  const answers: number[] = [];
  let disclosed = 0;
  const names = { a: createNames(), b: createNames() };

  /** One exchange with both; the difference, if there is one. */
  const sent: string[] = [];
  const exchange = async (ask: Ask): Promise<{ readonly a: WireAnswer; readonly difference?: string }> => {
    count.exchange += 1;
    const headers = { accept: 'application/fhir+json', authorization: `Bearer ${token}`, ...ask.headers };
    count.id = 0;
    const a = await site.a.send({ ...ask, headers });
    count.id = 0;
    const b = await site.b.send({ ...ask, headers });
    answers.push(a.status);
    disclosed += (a.body.match(/"fullUrl"|<fullUrl /g) ?? []).length;
    const [shownA, shownB] = [printed(a, names.a), printed(b, names.b)];
    const before = [...sent];
    sent.push(`${ask.method} ${decodeURIComponent(ask.path)} ${ask.body?.slice(0, 400) ?? ''} (${a.status})`);
    if (shownA === shownB && a.status < 500) return { a };
    return { a, difference: report(terrain, pair, { ...ask, before }, { a: shownA, b: shownB }) };
  };

  const steps: readonly Ask[] = [...pair.asks.map((numbers) => askFor(terrain, numbers)), ...lastLook(pair)];
  const permitted = steps.filter((ask) => isAskable(terrain, ask, pair));
  const done = (difference?: string): Ran => ({
    hidden: terrain.hiddenItems.length,
    shown: terrain.shownItems.length,
    answers,
    disclosed,
    ...(difference === undefined ? {} : { difference }),
  });
  for (const ask of permitted) {
    let current = ask;
    for (let page = 0; page <= ask.follow; page += 1) {
      const { a, difference } = await exchange(current);
      if (difference !== undefined) return done(difference);
      if (changesRights(ask, a)) return done();
      const next = nextOf(a);
      if (next === undefined) break;
      const { accept } = current.headers;
      current = { method: 'GET', headers: accept === undefined ? {} : { accept }, path: next, follow: 0 };
    }
  }
  return done();
}

const padded = (number: number): string => String(number).padStart(4, '0');

const nextOf = (answer: WireAnswer): string | undefined => {
  const url =
    /"relation":"next","url":"([^"]*)"/.exec(answer.body)?.[1] ??
    /<relation value="next"\/><url value="([^"]*)"/.exec(answer.body)?.[1]?.replaceAll('&amp;', '&');
  return url?.split('/fhir/')[1];
};

/** What was recorded of all this, as far as the caller sees it: now and then, for a professional's is slow. The operator sees all of it, by D8, and is not asked. */
const lastLook = ({ caller, asks }: Pair): readonly Ask[] =>
  caller.kind === 'operator' || (asks[0]?.at(-1) ?? 0) % (caller.kind === 'professional' ? 24 : 2) !== 0
    ? []
    : [
        {
          method: 'GET',
          headers: {},
          path: 'AuditEvent?_count=200&_total=accurate&_include=AuditEvent:entity',
          follow: 1,
        },
      ];

/** D8 shows some callers more in the register than elsewhere: they look either there, or for what they do not see elsewhere. */
const readsRegister = ({ asks }: Pair): boolean => (asks[0]?.[0] ?? 0) % 2 === 0;

function isAskable(terrain: Terrain, ask: Ask, pair: Pair): boolean {
  const { world, caller, now } = pair;
  const isOperator = caller.kind === 'operator';
  if (!isOperator && !readsRegisterAlone(world, caller, now)) return true;
  const text = decodeURIComponent(`${ask.path} ${ask.body ?? ''}`);
  if (!readsRegister(pair)) return !/AuditEvent|\$/.test(text);
  // the operator's register names whatever was refused to it
  const names = (ref: string): boolean => {
    const [type, id = ''] = ref.split('/');
    return text.includes(ref) || (type === 'Patient' && text.includes(traitsOf(id).ins));
  };
  return !isOperator || ![...terrain.hidden].some(names);
}

/** After a write that changes somebody's rights, what may be seen is another set: the pair ends there. */
function changesRights(ask: Ask, answer: WireAnswer): boolean {
  if (ask.method === 'GET' || ask.method === 'HEAD' || answer.status >= 300) return false;
  return (
    /^(Consent|CareTeam|RelatedPerson|Patient)\b(?!.*_search)/.test(ask.path) ||
    /(?:"url":"|<url value=")(Consent|CareTeam|RelatedPerson|Patient)\b/.test(ask.body ?? '')
  );
}

/** Ids made during the run, in the order in which this caller met them: the others' records take numbers too. */
function createNames(): (text: string) => string {
  const names = new Map<string, string>();
  return (text) =>
    text.replace(/made-\d{4}-\d{4}/g, (id) => {
      const name = names.get(id) ?? `MADE-${padded(names.size)}-${padded(0)}`;
      names.set(id, name);
      return name;
    });
}

/** Everything of an answer but the date. */
function printed(answer: WireAnswer, name: (text: string) => string): string {
  const headers = answer.headers
    .filter(([header]) => header !== 'date')
    .map(([header, value]) => `${header}: ${value}`);
  return name([`${answer.status}`, ...headers, '', answer.body].join('\n'));
}

/** What somebody needs who never saw this pair: the request, both answers where they part, who asks, what is hidden, and the rights of whom it is about. */
function report(
  terrain: Terrain,
  { caller, now, world }: Pair,
  ask: Ask & { readonly before: readonly string[] },
  shown: { readonly a: string; readonly b: string },
): string {
  const [a, b] = apart(shown.a, shown.b);
  const asked = decodeURIComponent(`${ask.path} ${ask.body ?? ''}`);
  const named = (id: string): boolean => new RegExp(`(?<![\\w-])${id}(?![\\w-])`).test(`${asked} ${a} ${b}`);
  const touched = world.items.filter((item) => named(item.id));
  const people = new Set(touched.map((item) => personOf(world, item)));
  const rights = world.items.filter(
    (item) => (item.type === 'Consent' || item.type === 'CareTeam') && people.has(item.person),
  );
  const line = (item: Item): string => `${terrain.hidden.has(refOfItem(item)) ? '*' : ' '} ${JSON.stringify(item)}`;
  return [
    `${JSON.stringify(caller)} at ${new Date(now).toISOString()}`,
    ...ask.before.map((line) => `asked ${line}`),
    `asks ${ask.method} ${decodeURIComponent(ask.path)} ${JSON.stringify(ask.headers)} ${ask.body ?? ''}`,
    `with everything there:    ${a}`,
    `without what is hidden: ${b}`,
    'items concerned (* hidden from the caller):',
    ...touched.map(line),
    'rights of the people concerned:',
    ...rights.filter((item) => !touched.includes(item)).map(line),
    `policy ${JSON.stringify({ ...world.policy, matrix: undefined })}`,
  ].join('\n');
}

/** Where two answers part: the statuses and bodies, or what stands around the first difference. */
function apart(a: string, b: string): readonly [string, string] {
  const parts = (text: string): readonly [string, string] => [text.slice(0, 3), text.slice(text.indexOf('\n\n') + 2)];
  const [[statusA, bodyA], [statusB, bodyB]] = [parts(a), parts(b)];
  if (statusA !== statusB) return [`${statusA} ${bodyA.slice(0, 600)}`, `${statusB} ${bodyB.slice(0, 600)}`];
  const [inA, inB] = bodyA === bodyB ? [a, b] : [bodyA, bodyB];
  let at = 0;
  while (at < inA.length && inA[at] === inB[at]) at += 1;
  const around = (text: string): string => `… ${text.slice(Math.max(0, at - 150), at + 400)} …`;
  return [`${statusA} ${around(inA)}`, `${statusB} ${around(inB)}`];
}

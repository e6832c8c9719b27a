/**
 * The life of two health spaces, as it may come: random writes by everybody, accepted or refused, time passing, and reads by every kind of caller
 * on every route in between. A model that is the oracle's world and nothing else predicts the status of each write and exactly what each read
 * shows. `MODEL_RUNS`: how many lives. `MODEL_SEED`: which (`random`: by chance, printed). A failure is made smaller for so long, then told.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ResourceStore } from '../../server/ports/store.ts';
import { guarded } from '../../server/query/plan.ts';
import { ALL } from '../../server/query/predicate.ts';
import type { AuditEventItem, World, WorldCaller } from '../oracle/world.ts';
import type { Resource } from '../support/fhir-bodies.ts';
import { systemGuard } from '../support/guards.ts';
import { depsFor, type InProcess, listen, mintToken, type StoreShelf, storeShelf } from '../support/in-process.ts';
import { policyOf } from '../support/policy.ts';
import { auditItemOf } from '../support/register.ts';
import { choicesOf } from '../support/twin-requests.ts';
import { record, sameIds } from '../support/twins.ts';
import { attemptOf, type Sent } from './acts.ts';
import { callers, startingWorld, startsAt } from './cast.ts';
import { type Difference, isKnown, lookAtAll, lookThrough, type Send, traitsAlone } from './views.ts';

const runs = Number(process.env['MODEL_RUNS'] ?? 20);
const asked = process.env['MODEL_SEED'] ?? '11111017';
const seed = asked === 'random' ? Math.floor(Math.random() * 0x7fffffff) : Number(asked);
const steps = 80;
const shrinkMs = 30_000;

/** What the model knows, and the server that it is about. */
type Model = { world: World; now: number };
type Real = {
  readonly server: InProcess;
  readonly store: ResourceStore;
  readonly model: Model;
  readonly told: string[];
  readonly count: Counts;
};
type Counts = { accepted: number; refused: number; reads: number; readonly acts: Map<string, number> };

const HOUR = 3_600_000;
const policy = policyOf(startingWorld.policy);

const START = 'start';
let shelf: StoreShelf;
let server: InProcess;
beforeAll(async () => {
  shelf = await storeShelf();
  server = await listen();
  const store = await shelf.open(START);
  const ports = depsFor({ store, policy, now: () => startsAt, nextId: () => 'none' });
  await record(startingWorld, store, ports, 'directory');
  await record(startingWorld, store, ports, 'persons');
  await store.close();
});
afterAll(async () => {
  await server.close();
  await shelf.dispose();
});

const nameOf = (caller: WorldCaller): string => JSON.stringify(caller).replace(/[{}"]/g, '').replace('kind:', '');

/** Sends as a caller, with a token of this moment. */
function sendAs({ server: to, model }: Real, caller: WorldCaller): Send {
  const token = mintToken(caller, sameIds(model.world), model.now);
  return ({ method, path, body, headers }: Sent) =>
    to.send({
      method,
      path,
      headers: {
        accept: 'application/fhir+json',
        authorization: `Bearer ${token}`,
        ...(body === undefined || headers?.['content-type'] !== undefined
          ? {}
          : { 'content-type': 'application/fhir+json' }),
        ...headers,
      },
      body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body),
    });
}

/** Whom the register names for a caller. */
function agentOf(caller: WorldCaller): string {
  switch (caller.kind) {
    case 'patient':
      return `Patient/${caller.person}`;
    case 'representative':
      return `RelatedPerson/${caller.related}`;
    case 'professional':
      return `Practitioner/${caller.person}`;
    case 'feeder':
      return `Organization/${caller.structure}`;
    case 'insurer':
      return 'Organization/caisse';
    case 'operator':
      return 'operator/operator';
  }
}

/** Everything in the register, as the store has it. */
const recordedIn = (store: ResourceStore): Promise<readonly AuditEventItem[]> =>
  store.unit(async (unit) => {
    const plan = { type: 'AuditEvent', where: ALL, sort: [], limit: 100_000, total: false };
    const { matches } = await unit.search(guarded(plan, systemGuard('AuditEvent')));
    return matches.map(({ body }) => auditItemOf(JSON.parse(body) as Resource));
  });

/** Ends the run with everything that was done until then. */
function fail(real: Real, caller: WorldCaller, difference: Difference): never {
  throw new Error(
    [
      ...real.told,
      `then ${nameOf(caller)} at ${new Date(real.model.now).toISOString()}: ${difference.asked}`,
      `  expected ${JSON.stringify(difference.expected)}`,
      `  answered ${JSON.stringify(difference.answered)}`,
    ].join('\n'),
  );
}

type Command = fc.AsyncCommand<Model, Real>;

/** A write by somebody, more often than not by somebody who may; afterwards somebody looks at everything. */
class Write implements Command {
  readonly #numbers: readonly number[];
  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }
  check = (): boolean => true;
  toString = (): string => `write ${this.#numbers.join(' ')}`;
  async run(model: Model, real: Real): Promise<void> {
    const choices = choicesOf(this.#numbers);
    const [who, isWilling, looker] = [choices.below(callers.length), choices.once(3), choices.below(callers.length)];
    const attempt = attemptOf(choices, model.world, model.now);
    const known = callers.filter((one) => isKnown(model.world, one));
    const able = isWilling ? [] : known.filter((one) => attempt.predict(one) === 'ok');
    const from = able.length > 0 ? able : known;
    const caller = from[who % from.length] as WorldCaller;
    // C5: an ETREAT token without a person writes nothing, whatever it tries
    const predicted = traitsAlone(caller) ? { status: 403, rule: 'C5' } : attempt.predict(caller);
    const before = new Set((await recordedIn(real.store)).map(({ id }) => id));
    const answer = await sendAs(real, caller)(attempt.send(caller));
    const added = (await recordedIn(real.store)).filter(({ id }) => !before.has(id));
    const done = answer.status < 300;
    const said = `${nameOf(caller)} at ${new Date(model.now).toISOString()}: ${attempt.said}`;
    const expected = predicted === 'ok' ? 'accepted' : predicted.status;
    const another = predicted !== 'ok' && attempt.others?.(caller).includes(answer.status) === true;
    if ((done ? 'accepted' : answer.status) !== expected && !another)
      fail(real, caller, {
        asked: attempt.said,
        expected: predicted,
        answered: `${answer.status} ${answer.body.slice(0, 700)}`,
      });
    // O1: accepted or refused, one record, of who tried; what is only badly formed (422 without a rule) may have none
    const agents = added.map(({ agent }) => `${agent.type}/${agent.id}`);
    const self = agentOf(caller);
    const unrecorded = answer.status === 422 && agents.length === 0;
    if (!unrecorded && (agents.length !== 1 || agents[0] !== self))
      fail(real, caller, {
        asked: `the records of: ${attempt.said} (${answer.status})`,
        expected: [self],
        answered: agents,
      });
    real.told.push(`${done ? '+' : '-'} ${said}${done ? '' : ` (${answer.status})`}`);
    real.count[done ? 'accepted' : 'refused'] += 1;
    const act = `${attempt.said.split(' ')[0]} ${answer.status}`;
    real.count.acts.set(act, (real.count.acts.get(act) ?? 0) + 1);
    if (!done) return;
    model.world = attempt.effect({ caller, now: model.now, ids: idsIn(answer.body) });
    await look(real, callers[looker] as WorldCaller, undefined);
  }
}

/** The ids that an answer gives to what was made: of a resource, or of the entries of a Bundle. */
function idsIn(body: string): readonly string[] {
  const answer = JSON.parse(body === '' ? '{}' : body) as {
    readonly id?: string;
    readonly entry?: readonly { readonly response?: { readonly location?: string } }[];
  };
  if (answer.entry === undefined) return answer.id === undefined ? [] : [answer.id];
  return answer.entry.map(({ response }) => /\/([^/]+)\/_history\//.exec(response?.location ?? '')?.[1] ?? '');
}

/** A look by somebody through one route; without numbers, at everything. */
async function look(real: Real, caller: WorldCaller, numbers: readonly number[] | undefined): Promise<void> {
  const { world, now } = real.model;
  const looking = { world, now, caller, send: sendAs(real, caller), register: () => recordedIn(real.store) };
  const difference = numbers === undefined ? await lookAtAll(looking) : await lookThrough(looking, choicesOf(numbers));
  real.count.reads += 1;
  if (difference !== undefined) fail(real, caller, difference);
}

class Look implements Command {
  readonly #numbers: readonly number[];
  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }
  check = (): boolean => true;
  toString = (): string => `look ${this.#numbers.join(' ')}`;
  run(_model: Model, real: Real): Promise<void> {
    const [who = 0, ...rest] = this.#numbers;
    return look(real, callers[who % callers.length] as WorldCaller, rest);
  }
}

/** Time passes: to the next midnight in Paris and a moment before it, hours, days, a month. */
class Pass implements Command {
  readonly #ms: number;
  constructor(ms: number) {
    this.#ms = ms;
  }
  check = (): boolean => true;
  toString = (): string => `pass ${this.#ms / HOUR} h`;
  async run(model: Model, real: Real): Promise<void> {
    model.now += this.#ms;
    real.told.push(`  ${this.#ms / HOUR} h later`);
  }
}

const numbers = (length: number): fc.Arbitrary<number[]> =>
  fc.array(fc.nat({ max: 65_535 }), { minLength: length, maxLength: length });
const writes = numbers(16).map((many): Command => new Write(many));
const looks = numbers(8).map((many): Command => new Look(many));
// from noon in Paris: one second before midnight, midnight, a day, a week, what a month is short of and more
const passes = fc
  .constantFrom(1, 12 - 1 / 3600, 12, 24, 7 * 24, 15 * 24, 31 * 24)
  .map((hours): Command => new Pass(Math.round(hours * HOUR)));

let worlds = 0;
/** A server over a store of its own, for one life. */
async function begin(count: Counts): Promise<Real & { readonly end: () => Promise<void> }> {
  worlds += 1;
  const name = `life-${worlds}`;
  await shelf.copy(START, name);
  const store = await shelf.open(name);
  const model: Model = { world: startingWorld, now: startsAt };
  let ids = 0;
  server.serve({
    store,
    policy,
    now: () => model.now,
    nextId: () => {
      ids += 1;
      return `made-${ids}`;
    },
    requestId: () => `request-${worlds}`,
  });
  return {
    server,
    store,
    model,
    told: [],
    count,
    end: async () => {
      await store.close();
      await shelf.remove(name);
    },
  };
}

describe('the life of a health space', () => {
  test(`is what the model says, over ${runs} lives (seed ${seed})`, { timeout: 0 }, async () => {
    const count: Counts = { accepted: 0, refused: 0, reads: 0, acts: new Map() };
    let failedAt = Number.POSITIVE_INFINITY;
    const began = performance.now();
    const commands = fc.commands([writes, writes, writes, looks, looks, looks, looks, passes], {
      maxCommands: steps,
      size: 'max',
    });
    await fc.assert(
      fc.asyncProperty(commands, async (sequence) => {
        if (performance.now() > failedAt + shrinkMs) return;
        const real = await begin(count);
        try {
          await fc.asyncModelRun(() => ({ model: real.model, real }), sequence);
        } catch (error) {
          failedAt = Math.min(failedAt, performance.now());
          throw error;
        } finally {
          await real.end();
        }
      }),
      {
        seed,
        numRuns: runs,
        reporter: (details) => {
          if (!details.failed) return;
          const told = details.errorInstance instanceof Error ? details.errorInstance.message : 'interrupted';
          throw new Error(
            `seed ${details.seed} path ${details.counterexamplePath ?? ''}, after ${details.numRuns} lives and ${details.numShrinks} shrinks\n${told}`,
          );
        },
      },
    );
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.info(
      `model, seed ${seed}: ${runs} lives, ${count.accepted} writes accepted and ${count.refused} refused as predicted, ${count.reads} looks, in ${seconds} s; ${[
        ...count.acts,
      ]
        .sort()
        .map(([act, many]) => `${act}: ${many}`)
        .join(', ')}`,
    );
    // lives in which little happens prove little
    expect(Math.min(count.accepted, count.refused, count.reads)).toBeGreaterThan(runs * 4);
  });
});

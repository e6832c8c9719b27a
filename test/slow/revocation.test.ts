/**
 * Several server processes on one store: a revocation that was acknowledged by one of them binds the next byte of every other (rules.md O3,
 * A2, A7). Clients write down when each grant, revocation and read began and ended; a checker looks for an order of all of them that
 * explains every answer. And what is under way, a paged search or a download, stops at its next page or chunk.
 * `REVOCATION_SECONDS`: how long the clients are at work. `REVOCATION_SEED`: what they choose.
 */
import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Ask,
  get,
  mask,
  type Person,
  POLICY,
  post,
  START,
  type Stage,
  startStage,
  unmask,
} from '../blackbox/stage.ts';
import { chance } from '../support/chance.ts';
import { documentBody, type Resource } from '../support/fhir-bodies.ts';
import { type Exchange, exchange, itemIn } from '../support/ledger.ts';
import { linearize, type Operation } from '../support/linearizable.ts';
import { type Act, NOTHING, type Outcome, type Rights, rights } from '../support/rights.ts';
import { serverExists, startServer, type TestServer } from '../support/server.ts';

const SECONDS = Number(process.env['REVOCATION_SECONDS'] ?? 10);
const SEED = Number(process.env['REVOCATION_SEED'] ?? Date.now() % 2 ** 31);
const PERSONS = 4;
/** How much longer they may go on until everything has happened that the test is about. */
const PATIENCE_MS = 20_000;
/** More than what two socket buffers and Node hold between a server and a client that does not read. */
const LARGE_BYTES = 24 * 1024 * 1024;

type Done = Operation<Act, Outcome>;

const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));

describe('the checker', () => {
  const done = (kind: 'authorise' | 'block', output: string, invoked: number, completed: number): Done => ({
    input: { kind },
    output,
    invoked,
    completed,
  });
  const read = (output: boolean, invoked: number, completed: number): Done => ({
    input: { kind: 'read', how: 'read' },
    output,
    invoked,
    completed,
  });
  const verdict = (...history: readonly Done[]): boolean => linearize(history, rights).linearizable;

  it('accepts what one server could have done, in whatever order it overlapped', () => {
    expect(verdict()).toBe(true);
    expect(verdict(read(false, 0, 1), done('authorise', 'p', 2, 3), read(true, 4, 5))).toBe(true);
    for (const seen of [true, false]) {
      expect(verdict(done('authorise', 'p', 0, 1), done('block', 'b', 2, 9), read(seen, 3, 4))).toBe(true);
      expect(verdict(done('authorise', 'p', 0, 1), read(seen, 2, 9), done('block', 'b', 3, 4))).toBe(true);
    }
    // What nobody was told of may have happened at any time since, or never.
    const unknown: Done = { input: { kind: 'block' }, output: undefined, invoked: 2, completed: Infinity };
    expect(verdict(done('authorise', 'p', 0, 1), unknown, read(true, 3, 4), read(false, 5, 6))).toBe(true);
    expect(verdict(done('authorise', 'p', 0, 1), unknown, read(true, 3, 4), read(true, 5, 6))).toBe(true);
    // Two reads at once may fall on two sides of a change; so may a grant and a block.
    expect(
      verdict(
        done('authorise', 'p', 0, 10),
        done('block', 'b', 0, 10),
        read(false, 1, 4),
        read(true, 2, 6),
        read(false, 7, 8),
      ),
    ).toBe(true);
  });

  it('refuses what it could not', () => {
    const granted = done('authorise', 'p', 0, 1);
    const blocked = done('block', 'b', 2, 3);
    expect(verdict(read(true, 0, 1))).toBe(false);
    expect(verdict(granted, read(false, 2, 3))).toBe(false);
    expect(verdict(granted, blocked, read(true, 4, 5))).toBe(false);
    expect(verdict(granted, blocked, done('authorise', 'q', 4, 5))).toBe(false);
    expect(verdict(done('authorise', 'refused', 0, 1))).toBe(false);
    // Once a read was refused, a later one is: the change between them has happened.
    expect(verdict(granted, done('block', 'b', 2, 9), read(false, 3, 4), read(true, 5, 6))).toBe(false);
    const unknown: Done = { input: { kind: 'block' }, output: undefined, invoked: 2, completed: Infinity };
    expect(verdict(granted, unknown, read(false, 3, 4), read(true, 5, 6))).toBe(false);
    expect(verdict(granted, read(false, 1.5, 1.7), unknown)).toBe(false);
    const found = linearize([granted, blocked, read(true, 4, 5)], rights);
    expect(found.linearizable ? undefined : found.stuck.input).toEqual({ kind: 'read', how: 'read' });
  });

  it('is not led astray by a long history: one wrong answer among two thousand is found', () => {
    const random = chance(7);
    const history: Done[] = [];
    let state: Rights = NOTHING;
    for (let n = 0; n < 2_000; n += 1) {
      const pick = random();
      const at = n * 10;
      const input: Act =
        pick < 0.1 ? { kind: 'authorise' } : pick < 0.2 ? { kind: 'block' } : { kind: 'read', how: 'x' };
      const output =
        input.kind === 'read'
          ? state.permit !== '' && state.block === ''
          : input.kind === 'authorise' && state.block !== ''
            ? 'refused'
            : `c${n}`;
      state = rights.step(state, input, output) ?? state;
      if (state.block !== '' && random() < 0.5) {
        const ends: Act = { kind: 'end', id: state.block };
        history.push({ input: ends, output: '', invoked: at + 5, completed: at + 6 });
        state = rights.step(state, ends, '') ?? state;
      }
      // Each operation takes effect at `at`; what the client sees begins and ends around it.
      history.push({ input, output, invoked: at - random() * 30, completed: at + random() * 4 });
    }
    expect(linearize(history, rights).linearizable).toBe(true);
    // A read that nothing overlaps, its answer turned round.
    const lone = history.findIndex(
      ({ input, invoked, completed }, index) =>
        index > 1_000 &&
        input.kind === 'read' &&
        history.every((other, at) => at === index || other.completed < invoked || other.invoked > completed),
    );
    expect(lone).toBeGreaterThan(0);
    const wrong = history.map((one, index) => (index === lone ? { ...one, output: one.output !== true } : one));
    expect(linearize(wrong, rights).linearizable).toBe(false);
  });
});

describe.skipIf(!serverExists())('revocation across processes', () => {
  let s: Stage;
  let other: TestServer;
  const random = chance(SEED);
  const among = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  /** The processes, by what a client calls to reach them; both answer to one base URL, that of the first. */
  const bases = (): readonly [first: string, second: string] => [s.base, other.base];

  beforeAll(async () => {
    s = await startStage();
    other = await startServer({
      issuers: () => [s.users.entry, s.backends.entry],
      policy: POLICY,
      clock: START,
      env: { CARNET_BASE_URL: s.base, ...s.server.store },
    });
  });
  afterAll(async () => {
    await other?.dispose();
    await s?.dispose();
  });

  /** The same request to one of the processes, whatever base a link in an answer names. */
  const at = (base: string, token: string, ask: Ask): Promise<Exchange> =>
    exchange(base, token, { ...ask, path: ask.path.replace(`${s.base}/`, '') });
  const must = async (base: string, token: string, ask: Ask): Promise<Exchange> => {
    const answer = await at(base, token, ask);
    if (answer.status < 200 || answer.status > 299)
      throw new Error(`${ask.method ?? 'GET'} ${ask.path}: ${answer.fate} ${answer.status} ${answer.body}`);
    return answer;
  };
  const entry = (person: Person, provision: 'permit' | 'deny'): Ask =>
    post(s.consent(person, 'professional-access', provision, { actor: s.known('dr1') }));
  const consentIn = (answer: Exchange): string => itemIn(answer.headers.location)?.replace('Consent/', '') ?? '';
  const authorise = async (base: string, person: Person): Promise<string> =>
    consentIn(await must(base, s.holder(person), entry(person, 'permit')));
  const block = async (base: string, person: Person): Promise<string> =>
    consentIn(await must(base, s.holder(person), entry(person, 'deny')));
  const end = (id: string): Ask => s.end(`Consent/${id}`);

  const matches = ({ json }: Exchange): number =>
    ((json?.entry ?? []) as readonly { readonly resource?: Resource }[]).filter(
      ({ resource }) => resource?.resourceType === 'DocumentReference',
    ).length;
  const nextOf = ({ json }: Exchange): string | undefined =>
    ((json?.link ?? []) as readonly { readonly relation: string; readonly url: string }[]).find(
      ({ relation }) => relation === 'next',
    )?.url;

  it('every history is linearizable', { timeout: 60_000 + SECONDS * 3_000 }, async () => {
    type Scene = {
      readonly person: Person;
      readonly history: Done[];
      readonly consents: { readonly id: string; readonly blocks: boolean }[];
      readonly reads: readonly {
        readonly how: string;
        readonly ask: Ask;
        readonly shows: (a: Exchange) => boolean | undefined;
      }[];
      readonly document: string;
    };
    const isThere = ({ status }: Exchange): boolean | undefined =>
      status === 200 ? true : status === 404 ? false : undefined;
    const finds = (answer: Exchange): boolean | undefined => (answer.status === 200 ? matches(answer) > 0 : undefined);
    const set = async (): Promise<Scene> => {
      const person = await s.person();
      const { document, binary } = await s.fed(s.feeder('s2'), s.feed(person));
      const permit = await authorise(s.base, person);
      const id = document.replace('DocumentReference/', '');
      // A page that is open while the rights change: the cursor is a bookmark, and opens nothing by itself.
      const first = await must(s.base, s.professional('dr1'), get(`Patient/${person.id}/$everything?_count=1`));
      const page = nextOf(first);
      if (page === undefined) throw new Error('there is no second page');
      await must(s.base, s.holder(person), end(permit));
      const reads = [
        { how: 'read', ask: get(document), shows: isThere },
        { how: 'content', ask: get(binary, { accept: '*/*' }), shows: isThere },
        { how: 'search', ask: get(`DocumentReference?patient=${person.ref}`), shows: finds },
        { how: 'search by id', ask: get(`DocumentReference?_id=${id}`), shows: finds },
        { how: 'next page', ask: get(page), shows: finds },
      ];
      return { person, history: [], consents: [], reads, document };
    };
    const scenes: Scene[] = [];
    for (let n = 0; n < PERSONS; n += 1) scenes.push(await set());

    const until = performance.now() + SECONDS * 1_000;
    /** What has happened at least once, so that a slow machine takes longer rather than proving less. */
    const happened = new Set<string>();
    const wanted = [
      ...['authorise', 'block', 'end', 'mask', 'unmask'],
      ...scenes[0]!.reads.flatMap(({ how }) => [`${how} true`, `${how} false`]),
    ];
    const goesOn = (): boolean =>
      performance.now() < until ||
      (performance.now() < until + PATIENCE_MS && wanted.some((one) => !happened.has(one)));
    const failed: string[] = [];
    const note = (scene: Scene, input: Act, answer: Exchange, output: Outcome | undefined): void => {
      if (answer.status >= 500 || (answer.fate === 'received' && output === undefined))
        failed.push(
          `${JSON.stringify(input)}: ${answer.fate} ${answer.status} ${answer.body.toString('utf8').slice(0, 200)}`,
        );
      const { invoked, completed } = answer;
      const known = answer.fate === 'received' && output !== undefined;
      // A read whose answer nobody has says nothing.
      if (!known && input.kind === 'read') return;
      happened.add(input.kind === 'read' ? `${input.how} ${output}` : input.kind);
      scene.history.push({
        input,
        output: known ? output : undefined,
        invoked,
        completed: known ? completed : Infinity,
      });
    };

    /** One of the holder's apps, on one of the processes; another one writes at the same time on the other. */
    const writer = async (scene: Scene, base: string): Promise<void> => {
      const { person, consents, document } = scene;
      while (goesOn()) {
        const token = s.holder(person);
        const pick = random();
        if (pick < 0.42 || consents.length === 0) {
          const answer = await at(base, token, entry(person, 'permit'));
          const id = answer.status === 201 ? consentIn(answer) : answer.status === 409 ? 'refused' : undefined;
          if (id !== undefined && id !== 'refused') consents.push({ id, blocks: false });
          note(scene, { kind: 'authorise' }, answer, id);
        } else if (pick < 0.54) {
          const answer = await at(base, token, entry(person, 'deny'));
          const id = answer.status === 201 ? consentIn(answer) : undefined;
          if (id !== undefined) consents.push({ id, blocks: true });
          note(scene, { kind: 'block' }, answer, id);
        } else if (pick < 0.86) {
          // Mostly the block that stands; sometimes the last permit, or one that has ended already.
          const which = random();
          const blocks = which < 0.6;
          const { id } =
            (which < 0.85 ? consents.findLast((one) => one.blocks === blocks) : undefined) ?? among(consents);
          const answer = await at(base, token, end(id));
          note(scene, { kind: 'end', id }, answer, answer.status === 200 ? '' : undefined);
        } else {
          const kind = pick < 0.89 ? 'mask' : 'unmask';
          const answer = await at(base, token, kind === 'mask' ? mask(document) : unmask(document));
          note(scene, { kind }, answer, answer.status === 200 ? '' : undefined);
        }
        // Rights that change at every instant are never read twice.
        await pause(random() * 120);
      }
    };
    const reader = async (scene: Scene): Promise<void> => {
      while (goesOn()) {
        const { how, ask, shows } = among(scene.reads);
        const answer = await at(among(bases()), s.professional('dr1'), ask);
        note(scene, { kind: 'read', how }, answer, shows(answer));
      }
    };
    await Promise.all(
      scenes.flatMap((scene) => [...bases().map((base) => writer(scene, base)), reader(scene), reader(scene)]),
    );

    expect(failed.slice(0, 10), `seed ${SEED}`).toEqual([]);
    const all = scenes.flatMap(({ history }) => history);
    const count = (which: (done: Done) => boolean): number => all.filter(which).length;
    const changes = count(({ input }) => input.kind !== 'read');
    const seen = count(({ input, output }) => input.kind === 'read' && output === true);
    const unseen = count(({ input, output }) => input.kind === 'read' && output === false);
    if (process.env['REVOCATION_REPORT'] !== undefined) {
      const took = all
        .filter(({ input }) => input.kind === 'block')
        .map(({ invoked, completed }) => completed - invoked);
      const slowest = took
        .toSorted((a, b) => b - a)
        .slice(0, 3)
        .map(Math.round);
      console.info(
        `seed ${SEED}: ${changes} changes, ${seen} reads permitted, ${unseen} refused; slowest blocks ${slowest} ms`,
      );
    }
    for (const scene of scenes) {
      const verdict = linearize(scene.history, rights);
      if (!verdict.linearizable) {
        const { stuck, order } = verdict;
        const near = scene.history
          .filter(({ invoked, completed }) => completed > stuck.invoked - 300 && invoked < stuck.completed + 50)
          .toSorted((a, b) => a.invoked - b.invoked)
          .map(
            (one) =>
              `${one.invoked.toFixed(1)}–${one.completed.toFixed(1)} ${JSON.stringify(one.input)} → ${one.output}`,
          );
        expect.fail(
          `seed ${SEED}: no order explains ${JSON.stringify(stuck)}, ${order.length} of ${scene.history.length} explained; near it:\n${near.join('\n')}`,
        );
      }
    }
    expect(wanted.filter((one) => !happened.has(one))).toEqual([]);
  });

  it('an open search shows nothing more from its next page on', async () => {
    const by = (): string => s.professional('dr1');
    for (const [searching, blocking, paging] of ways()) {
      const person = await s.person();
      for (let n = 0; n < 5; n += 1) await s.fed(s.feeder('s2'), s.feed(person));
      await authorise(searching, person);
      const first = await must(searching, by(), get(`DocumentReference?patient=${person.ref}&_count=2`));
      const next = nextOf(first) ?? '';
      const second = await must(paging, by(), get(next));
      expect([matches(first), matches(second)]).toEqual([2, 2]);
      const id = await block(blocking, person);
      for (const link of [next, nextOf(second) ?? '']) {
        const page = await must(paging, by(), get(link));
        expect([matches(page), nextOf(page), page.json?.total]).toEqual([0, undefined, undefined]);
      }
      // The bookmark was good all the time: with the right, it is a page again.
      await must(searching, s.holder(person), end(id));
      await authorise(blocking, person);
      expect(matches(await must(paging, by(), get(nextOf(second) ?? '')))).toBe(1);
    }
  });

  /** Which process does the first thing, the revocation, and the thing after it. */
  const ways = (): readonly (readonly [string, string, string])[] => {
    const [a, b] = bases();
    return [
      [a, a, a],
      [a, b, a],
      [b, a, a],
      [a, a, b],
    ];
  };

  describe('of a download', () => {
    type Download = {
      readonly response: IncomingMessage;
      readonly received: () => number;
      /** Resolves when the connection is done with: whether all of it came, and its digest. */
      readonly ended: Promise<{ readonly whole: boolean; readonly sha256: string; readonly atMs: number }>;
    };
    let large: { readonly person: Person; readonly document: string; readonly binary: string; readonly sha256: string };

    beforeAll(async () => {
      const person = await s.person();
      const content = Buffer.alloc(LARGE_BYTES);
      // Not all zeros, so that the digest says which bytes came.
      for (let n = 0; n < LARGE_BYTES; n += 4_096) content.writeUInt32LE(n, n);
      const sent = await fetch(`${s.base}/Binary`, {
        method: 'POST',
        headers: { authorization: `Bearer ${s.feeder('s2')}`, 'content-type': 'text/plain' },
        body: content,
      });
      const binary = itemIn(sent.headers.get('location') ?? '') ?? `${sent.status} ${await sent.text()}`;
      const body = documentBody({
        uniqueId: s.urn(),
        typeCode: '11488-4',
        subject: person.ref,
        traits: person.traits,
        author: s.known('dr1'),
        labels: [],
        date: new Date(s.now()).toISOString(),
        title: 'a large one',
        binary,
      });
      const document = await s.made(s.feeder('s2'), post(body));
      large = { person, document, binary, sha256: createHash('sha256').update(content).digest('hex') };
    });

    /** Begins to read, then holds still after the first bytes: the server waits, with buffers full. */
    const begin = (base: string, accept: string): Promise<Download> =>
      new Promise((resolve, reject) => {
        httpRequest(
          `${base}/${large.binary}`,
          { agent: false, headers: { accept, authorization: `Bearer ${s.professional('dr1')}` } },
          (response) => {
            const hash = createHash('sha256');
            let received = 0;
            response.on('error', () => undefined);
            const ended = new Promise<Awaited<Download['ended']>>((done) => {
              response.once('close', () =>
                done({ whole: response.complete, sha256: hash.digest('hex'), atMs: performance.now() }),
              );
            });
            response.on('data', (piece: Buffer) => {
              if (received === 0) {
                response.pause();
                resolve({ response, received: () => received, ended });
              }
              hash.update(piece);
              received += piece.length;
            });
            if (response.statusCode !== 200) reject(new Error(`the download was answered ${response.statusCode}`));
          },
        )
          .once('error', reject)
          .end();
      });
    /** Until a server that nobody reads from has nothing more to do than to wait. */
    const stalled = (): Promise<void> => pause(1_000);

    it('whoever reads slowly reads all of it, while they may', async () => {
      await authorise(s.base, large.person);
      const download = await begin(s.base, '*/*');
      await stalled();
      expect(download.received()).toBeLessThan(LARGE_BYTES);
      download.response.resume();
      expect(await download.ended).toMatchObject({ whole: true, sha256: large.sha256 });
      expect(download.received()).toBe(LARGE_BYTES);
    });

    it.each(['*/*', 'application/fhir+json'])('a block cuts it at the next chunk (%s)', async (accept) => {
      for (const [reading, blocking] of ways().slice(0, 3)) {
        await authorise(reading, large.person);
        const download = await begin(reading, accept);
        await stalled();
        const id = await block(blocking, large.person);
        const from = performance.now();
        download.response.resume();
        const { whole, atMs } = await download.ended;
        expect(whole).toBe(false);
        expect(download.received()).toBeGreaterThan(0);
        expect(download.received()).toBeLessThan(LARGE_BYTES);
        if (process.env['REVOCATION_REPORT'] !== undefined)
          console.info(`cut after ${download.received()} bytes, ${Math.round(atMs - from)} ms after reading went on`);
        expect(atMs - from).toBeLessThan(5_000);
        // And from the beginning there is nothing.
        expect((await at(reading, s.professional('dr1'), get(large.binary, { accept }))).status).toBe(404);
        await must(blocking, s.holder(large.person), end(id));
      }
    });

    it('so does a mask, and the deletion of the document', async () => {
      await authorise(s.base, large.person);
      const acts = [
        async (): Promise<unknown> => must(other.base, s.holder(large.person), mask(large.document)),
        async (): Promise<unknown> => {
          await must(other.base, s.holder(large.person), unmask(large.document));
          return must(other.base, s.feeder('s2'), { method: 'DELETE', path: large.document });
        },
      ];
      for (const [index, act] of acts.entries()) {
        if (index > 0) await must(s.base, s.holder(large.person), unmask(large.document));
        const download = await begin(s.base, '*/*');
        await stalled();
        await act();
        download.response.resume();
        expect((await download.ended).whole).toBe(false);
        expect(download.received()).toBeLessThan(LARGE_BYTES);
      }
    });
  });
});

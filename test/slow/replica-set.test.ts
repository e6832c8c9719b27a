/**
 * Three members of a replica set, two servers, clients with a ledger; the primary is killed, stopped, cut off from the other members, cut off from
 * everybody. What was acknowledged is there once, what was disclosed is recorded once, rights stay one register (rules.md O1, O3), an outage is a 503 that
 * came in time, and it ends by itself. Then everything stands still, with many requests at once: nothing grows beyond its bounds.
 * `REPLICA_FAULTS`: how many faults, each kind in its turn; `REPLICA_ELECTION_MS`: when members elect another primary; `REPLICA_SEED`: what clients choose;
 * `REPLICA_REPORT`: print what was measured.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ask, get, type Person, POLICY, post, put, START, type Stage, startStage } from '../blackbox/stage.ts';
import { chance } from '../support/chance.ts';
import { type Resource, relatedPersonBody } from '../support/fhir-bodies.ts';
import {
  createLedger,
  exchange,
  itemIn,
  type Ledger,
  type Line,
  reconcile,
  reconcileWrites,
  recordOf,
  type Stating,
  type Written,
} from '../support/ledger.ts';
import { linearize, type Operation } from '../support/linearizable.ts';
import { namespacesWork } from '../support/links.ts';
import { findMongod, type Member, mongodIsThere, type ReplicaSet, startReplicaSet } from '../support/mongod.ts';
import { type Act, type Outcome, rights } from '../support/rights.ts';
import { startServer, type TestServer } from '../support/server.ts';

const FAULTS = Number(process.env['REPLICA_FAULTS'] ?? 1);
const ELECTION_MS = Number(process.env['REPLICA_ELECTION_MS'] ?? 2_000);
const SEED = Number(process.env['REPLICA_SEED'] ?? Date.now() % 2 ** 31);
const REPORTS = process.env['REPLICA_REPORT'] !== undefined;
const PERSONS = 3;
/** How long clients are at work before a fault and after it. */
const CALM_MS = 1_500;
/** What no request may exceed, whatever the database does: a unit is given up after ten seconds, and may then be within one last wait of five. */
const LONGEST_MS = 17_000;
/** "Within seconds": how long all others need to elect another primary and the servers to find it, on a busy machine. */
const BACK_MS = 20_000 + ELECTION_MS;
/** Requests at once while the database stands still, and how many of them a server lets in. */
const AT_ONCE = 1_200;
const LET_IN = 512;
const MARKERS = 'urn:oid:1.2.250.1.213.99.1';

const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));
/** Asks again until it is so; says what was waited for when it does not come about. */
async function until(what: string, ms: number, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + ms;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await pause(20);
  }
}

type Bundled = { readonly resource?: Resource };
const resourcesOf = (json: Resource | undefined): readonly Resource[] =>
  ((json?.entry ?? []) as readonly Bundled[]).flatMap(({ resource }) => (resource === undefined ? [] : [resource]));
const refOf = (resource: Resource): string => `${resource.resourceType}/${String(resource.id)}`;
const versionOf = (resource: Resource): string => (resource.meta as { readonly versionId: string }).versionId;
/** The marker that a resource bears: its own identifier, or the name of a contact. */
const markerOf = (resource: Resource): string | undefined =>
  (resource.masterIdentifier as { readonly value: string } | undefined)?.value ??
  (resource.identifier as readonly { readonly value: string }[] | undefined)?.[0]?.value ??
  (resource.name as readonly { readonly given?: readonly string[] }[] | undefined)?.[0]?.given?.[0];

type Done = Operation<Act, Outcome>;
type Scene = {
  readonly person: Person;
  readonly document: string;
  readonly binary: string;
  readonly contact: string;
  readonly history: Done[];
};
/** A fault, when each server had answered again, and when the set was whole again. */
type Outage = { readonly what: string; readonly from: number; readonly back: number; readonly until: number };

const isThere = mongodIsThere() && findMongod() !== undefined;
const isCuttable = isThere && (await namespacesWork());

describe.skipIf(!isThere)('a replica set whose members die', () => {
  let set: ReplicaSet;
  let admin: MongoClient;
  let folder: string;
  let s: Stage;
  let other: TestServer;
  let ledger: Ledger;
  const outages: Outage[] = [];
  const scenes: Scene[] = [];
  /** Writes whose end nobody was told, and which were then looked for and not there. */
  const neverWritten = new Set<string>();
  const random = chance(SEED);
  const among = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const bases = (): readonly string[] => [s.base, other.base];

  beforeAll(async () => {
    set = await startReplicaSet({ members: 3, args: [], namespaces: isCuttable, electionMs: ELECTION_MS });
    if (!isCuttable)
      process.stderr.write('no network namespaces here: the primary is killed and stopped, not cut off\n');
    admin = new MongoClient(set.url('admin'), { serverSelectionTimeoutMS: 2_000, socketTimeoutMS: 2_000 });
    folder = await mkdtemp(join(tmpdir(), 'carnet-'));
    const key = join(folder, 'master.key');
    await writeFile(key, randomBytes(48).toString('base64'), { mode: 0o600 });
    const store = { CARNET_STORE: set.url('carnet'), CARNET_MASTER_KEY_FILE: key };
    s = await startStage(store);
    other = await startServer({
      issuers: () => [s.users.entry, s.backends.entry],
      policy: POLICY,
      clock: START,
      env: { CARNET_BASE_URL: s.base, ...store },
    });
    ledger = createLedger(() => undefined);
  }, 120_000);
  afterAll(async () => {
    await admin?.close();
    await other?.dispose();
    await s?.dispose();
    await set?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  /** The states of the members: one primary and two secondaries is a whole set. */
  const isWhole = async (): Promise<boolean> => {
    try {
      const status = await admin.db().command({ replSetGetStatus: 1 });
      const states = (status['members'] as readonly { readonly stateStr: string }[]).map(({ stateStr }) => stateStr);
      return states.toSorted().join() === 'PRIMARY,SECONDARY,SECONDARY';
    } catch {
      return false;
    }
  };
  const primary = async (): Promise<Member> => {
    const { me } = await admin.db().command({ hello: 1 });
    const found = set.members.find(({ port }) => String(me).endsWith(`:${port}`));
    if (found === undefined) throw new Error(`${me} is no member`);
    return found;
  };

  const auditing = (person: Person): string =>
    s.users.holder({ now: s.now(), patient: person.id, clientId: 'auditor' });
  /** Every page of a search by somebody who is not part of the ledger; tried again while there is no database. */
  const pages = async (token: () => string, path: string): Promise<readonly Resource[]> => {
    const found: Resource[] = [];
    for (let next: string | undefined = path; next !== undefined; ) {
      const { status, json } = await exchange(among(bases()), token(), get(next.replace(`${s.base}/`, '')));
      if (status === 503) continue;
      if (status !== 200) throw new Error(`${next}: ${status}`);
      found.push(...resourcesOf(json));
      const links = (json?.link ?? []) as readonly { readonly relation: string; readonly url: string }[];
      next = links.find(({ relation }) => relation === 'next')?.url;
    }
    return found;
  };

  /** The server that each line was asked of. */
  const askedOf = new Map<Line, string>();
  const send = async (client: string, token: string, ask: Ask, stating: Stating): Promise<Line> => {
    const base = among(bases());
    const line = await ledger.ask({ base, client, token, ask, stating });
    askedOf.set(line, base);
    return line;
  };
  const isKnown = ({ status }: Line): boolean => status !== 503 && status !== 0;

  /** One scene's holder: grants, blocks and ends them, one after the other, and looks what became of what nobody answered. */
  const deciding = async ({ person, history }: Scene, goesOn: () => boolean): Promise<void> => {
    let permit: string | undefined;
    let block: string | undefined;
    const write = async (act: 'authorise' | 'block' | 'end'): Promise<void> => {
      const marker = randomUUID();
      const ends = block ?? permit ?? '';
      const consent = s.consent(person, 'professional-access', act === 'block' ? 'deny' : 'permit', {
        actor: s.known('dr1'),
      });
      const line =
        act === 'end'
          ? await send(person.ref, s.holder(person), s.end(ends), { what: 'end', names: [person.ref] })
          : await send(
              person.ref,
              s.holder(person),
              post({ ...consent, identifier: [{ system: MARKERS, value: marker }] }),
              {
                what: act,
                marker,
                consequences: act === 'block' && permit !== undefined ? [permit] : [],
              },
            );
      let made = act === 'end' ? '' : itemIn(line.headers.location);
      let { completed } = line;
      if (!isKnown(line)) {
        // Whoever reads the person's consents comes after or before every unit that writes them: what is not there now will not be.
        const consents = await pages(() => auditing(person), `Consent?patient=${person.ref}&_count=200`);
        completed = performance.now();
        const of = (found: Resource): boolean => (act === 'end' ? refOf(found) === ends : markerOf(found) === marker);
        const found = consents.find(of);
        if (act === 'end' ? found?.status === 'active' : found === undefined) {
          neverWritten.add(marker);
          return;
        }
        if (act !== 'end') made = found === undefined ? undefined : refOf(found);
      } else if (line.status >= 300) throw new Error(`${act}: ${line.status} ${line.body.toString('utf8')}`);
      const input: Act = act === 'end' ? { kind: act, id: ends.replace('Consent/', '') } : { kind: act };
      const output = made?.replace('Consent/', '');
      history.push({ input, output, invoked: line.invoked, completed });
      if (act === 'authorise') permit = made;
      else if (act === 'block') [permit, block] = [undefined, made];
      else if (block !== undefined) block = undefined;
      else permit = undefined;
    };
    while (goesOn()) {
      const pick = random();
      if (block !== undefined) await write('end');
      else if (permit === undefined) await write('authorise');
      else await write(pick < 0.5 ? 'block' : 'end');
      await pause(random() * 150);
    }
  };

  /** Deposits documents, adds contacts, and changes one contact again and again. */
  const filing = async ({ person, contact }: Scene, goesOn: () => boolean): Promise<void> => {
    const by = `${person.ref} files`;
    while (goesOn()) {
      const marker = random() < 0.3 ? s.urn() : randomUUID();
      const related = relatedPersonBody(person.ref, marker, []);
      if (marker.startsWith('urn:'))
        await send(by, s.holder(person), s.deposit(person, { uniqueId: marker }), {
          what: 'deposit',
          marker,
          about: person.ref,
        });
      else if (random() < 0.5) await send(by, s.holder(person), post(related), { what: 'create', marker });
      else {
        const body = { ...related, id: contact.replace('RelatedPerson/', '') };
        await send(by, s.holder(person), put(body), { what: 'update', marker });
      }
      await pause(random() * 100);
    }
  };

  const reading = async (scene: Scene, goesOn: () => boolean): Promise<void> => {
    const { person, document, binary, history } = scene;
    const found = ({ status }: Line): boolean | undefined =>
      status === 200 ? true : status === 404 ? false : undefined;
    const finds = ({ status, json }: Line): boolean | undefined =>
      status === 200 ? resourcesOf(json).some(({ resourceType }) => resourceType === 'DocumentReference') : undefined;
    const ways: readonly (readonly [how: string, ask: Ask, shows: (line: Line) => boolean | undefined])[] = [
      ['read', get(document), found],
      ['content', get(binary, { accept: '*/*' }), found],
      ['search', get(`DocumentReference?patient=${person.ref}&_count=3`), finds],
    ];
    while (goesOn()) {
      const [how, ask, shows] = among(ways);
      const line = await send(`reader of ${person.ref}`, s.professional('dr1'), ask, {
        what: how,
        names: [person.ref],
      });
      const output = shows(line);
      const { invoked, completed } = line;
      // An answer that nobody has says nothing.
      if (output !== undefined) history.push({ input: { kind: 'read', how }, output, invoked, completed });
    }
  };

  type Fault = {
    readonly what: string;
    readonly strike: (member: Member) => Promise<void>;
    readonly mend: (member: Member) => Promise<void>;
  };
  const faults: readonly Fault[] = [
    { what: 'killed', strike: (m) => m.kill('SIGKILL'), mend: (m) => m.start() },
    { what: 'stopped', strike: (m) => m.kill('SIGSTOP'), mend: (m) => m.kill('SIGCONT') },
    ...(isCuttable
      ? [
          // The worst of them: the servers still reach one who believes itself primary.
          { what: 'cut off from members', strike: (m: Member) => m.isolate('members'), mend: () => set.heal() },
          { what: 'cut off from everybody', strike: (m: Member) => m.isolate('everybody'), mend: () => set.heal() },
        ]
      : []),
  ];

  /** When each server had answered a read and a write that were sent since; absent: not yet. */
  const answeredSince = (since: number): number | undefined => {
    const firsts = bases().flatMap((base) =>
      [true, false].map(
        (isRead) =>
          ledger.lines.find(
            (line) =>
              askedOf.get(line) === base &&
              line.invoked > since &&
              line.status < 500 &&
              (line.method === 'GET') === isRead,
          )?.completed,
      ),
    );
    return firsts.includes(undefined) ? undefined : Math.max(...firsts.map(Number));
  };

  it('is back within seconds, whatever happens to the primary', {
    timeout: 120_000 + FAULTS * (BACK_MS + 40_000),
  }, async () => {
    for (let n = 0; n < PERSONS; n += 1) {
      const person = await s.person();
      const contact = await s.made(s.holder(person), post(relatedPersonBody(person.ref, 'A', [])));
      const { document, binary } = await s.fed(s.feeder('s2'), s.feed(person));
      for (const item of [document, binary, contact]) ledger.learn(item, person.ref);
      scenes.push({ person, document, binary, contact, history: [] });
    }
    let stopped = false;
    const goesOn = (): boolean => !stopped;
    const working = Promise.all(
      scenes.flatMap((scene) => [
        deciding(scene, goesOn),
        filing(scene, goesOn),
        reading(scene, goesOn),
        reading(scene, goesOn),
      ]),
    );
    working.catch(() => undefined);
    try {
      for (let n = 0; n < FAULTS; n += 1) {
        const { what, strike, mend } = faults[n % faults.length]!;
        await pause(CALM_MS);
        await until('a whole replica set', 60_000, isWhole);
        const member = await primary();
        const from = performance.now();
        await strike(member);
        await until(`${what}: every server answers again`, BACK_MS, () => answeredSince(from) !== undefined);
        const back = answeredSince(from) ?? Number.NaN;
        await pause(CALM_MS);
        await mend(member);
        await until('a whole replica set', 60_000, isWhole);
        outages.push({ what, from, back, until: performance.now() });
      }
      await pause(CALM_MS);
    } finally {
      stopped = true;
      await working;
    }
    // The last word on each document, from both servers.
    for (const { person, document, history } of scenes)
      for (const base of bases()) {
        const ask = { base, client: 'last reader', token: s.professional('dr1'), ask: get(document) };
        const line = await ledger.ask({ ...ask, stating: { what: 'read', names: [person.ref] } });
        const { invoked, completed, status } = line;
        history.push({ input: { kind: 'read', how: 'last' }, output: status === 200, invoked, completed });
      }
    if (REPORTS) report();
  });

  const duringOutage = (line: Line): boolean =>
    outages.some(({ from, until: end }) => line.invoked <= end && line.completed >= from);
  const report = (): void => {
    const ms = (line: Line): number => Math.round(line.completed - line.invoked);
    const calm = ledger.lines.filter((line) => !duringOutage(line)).map(ms);
    console.info(
      `seed ${SEED}, election after ${ELECTION_MS} ms: ${ledger.lines.length} requests, calm ones at most ${Math.max(...calm)} ms`,
    );
    for (const { what, from, back, until: end } of outages) {
      const lines = ledger.lines.filter((line) => line.invoked <= end && line.completed >= from);
      const refused = lines.filter(({ status }) => status === 503).length;
      const first = lines.filter((line) => line.invoked > from && line.status < 500).map(({ completed }) => completed);
      console.info(
        `${what}: first answer after ${Math.round(Math.min(...first) - from)} ms, every server after ${Math.round(back - from)} ms; ` +
          `${refused} of ${lines.length} requests 503, longest ${Math.max(...lines.map(ms))} ms`,
      );
    }
  };
  const because = (found: readonly string[]): string => `seed ${SEED}\n${found.slice(0, 10).join('\n')}`;

  it('an outage is a 503 with Retry-After that came in time, and never half an answer', () => {
    const wrong = ledger.lines.flatMap((line) => {
      const { what, fate, status, headers, json, body } = line;
      const took = line.completed - line.invoked;
      const said = `${what}: ${fate} ${status} after ${Math.round(took)} ms ${body.toString('utf8').slice(0, 200)}`;
      const isOutage =
        status === 503 &&
        /^[1-9]\d*$/.test(String(headers['retry-after'])) &&
        json?.resourceType === 'OperationOutcome' &&
        duringOutage(line);
      const isFine = fate === 'received' && (isOutage || [200, 201, 404].includes(status)) && took < LONGEST_MS;
      return isFine ? [] : [said];
    });
    expect(wrong.length, because(wrong)).toBe(0);
    expect(outages).toHaveLength(FAULTS);
  });

  /** The ledger as its clients may read it: a 503 leaves open what became of the request. */
  const unsure = (): Ledger => ({
    ...ledger,
    lines: ledger.lines.map((line) => (line.status === 503 ? { ...line, fate: 'unanswered', status: 0 } : line)),
  });

  it('every disclosure is recorded once; without one, only what a 503 left open', { timeout: 120_000 }, async () => {
    records = (await pages(() => s.backends.operator({ now: s.now(), clientId: 'auditor' }), 'AuditEvent?_count=200'))
      .map(recordOf)
      .filter(({ tokenId }) => ledger.lines.some((line) => line.tokenId === tokenId));
    const { faults: found, confirmed, unconfirmed } = reconcile(unsure(), records);
    expect(found.length, because(found)).toBe(0);
    expect(confirmed).toBeGreaterThan(ledger.lines.length / 2);
    if (REPORTS) console.info(`${records.length} records: ${confirmed} confirmed, ${unconfirmed.length} of a 503`);
    expect(unconfirmed.filter(({ line }) => !duringOutage(line))).toEqual([]);
  });
  let records: ReturnType<typeof recordOf>[] = [];

  it('what was acknowledged is there once, and nothing else', { timeout: 120_000 }, async () => {
    const written = new Map<string, Written[]>();
    const sent = new Set(ledger.lines.map(({ marker }) => marker));
    const wrong: string[] = [];
    for (const { person, contact } of scenes) {
      const all = [];
      for (const type of ['DocumentReference', 'Consent', 'RelatedPerson'])
        all.push(...(await pages(() => auditing(person), `${type}?patient=${person.ref}&_count=200`)));
      const versions = await pages(() => auditing(person), `${contact}/_history?_count=200`);
      const numbers = versions.map((one) => Number(versionOf(one)));
      if (numbers.some((number, index) => number !== numbers.length - index))
        wrong.push(`${contact} has the versions ${numbers.join()}`);
      for (const resource of [...all.filter((one) => refOf(one) !== contact), ...versions]) {
        const marker = markerOf(resource) ?? '';
        if (!sent.has(marker)) continue;
        const item = refOf(resource);
        // Of what was changed since, the version in which it came.
        const versionId = item === contact ? versionOf(resource) : '1';
        written.set(marker, [...(written.get(marker) ?? []), { item, versionId }]);
      }
    }
    wrong.push(...reconcileWrites(unsure(), written, records));
    for (const marker of neverWritten) if (written.has(marker)) wrong.push(`${marker} came later`);
    expect(wrong.length, because(wrong)).toBe(0);
    for (const what of ['authorise', 'block', 'end', 'deposit', 'create', 'update'])
      expect(ledger.lines.filter((line) => line.what === what && line.status < 300).length, what).toBeGreaterThan(0);
  });

  it('rights are one register, through every election', () => {
    for (const { history } of scenes) {
      const verdict = linearize(history, rights);
      if (!verdict.linearizable)
        expect.fail(
          `seed ${SEED}: no order explains ${JSON.stringify(verdict.stuck)}, ${verdict.order.length} of ${history.length} explained`,
        );
      for (const output of [true, false])
        expect(history.filter((one) => one.input.kind === 'read' && one.output === output).length).toBeGreaterThan(5);
    }
  });

  /** Resident memory of a server, in bytes. */
  const memoryOf = async (server: TestServer): Promise<number> =>
    Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${server.pid()}/status`, 'utf8'))?.[1]) * 1_024;

  it('while the whole database stands still, what is too much is refused at once and the rest in time', {
    timeout: 120_000,
  }, async () => {
    await until('a whole replica set', 60_000, isWhole);
    const { person, document } = scenes[0]!;
    const before = await memoryOf(other);
    let most = before;
    for (const member of set.members) await member.kill('SIGSTOP');
    const asking = Array.from({ length: AT_ONCE }, (_, n) =>
      n % 3 === 0
        ? exchange(other.base, s.holder(person), post(relatedPersonBody(person.ref, `still ${n}`, [])))
        : exchange(other.base, s.professional('dr1'), get(n % 3 === 1 ? document : scenes[1]!.document)),
    );
    let over = false;
    const watching = (async () => {
      for (; !over; await pause(100)) most = Math.max(most, await memoryOf(other));
    })();
    const answers = await Promise.all(asking);
    over = true;
    await watching;
    for (const member of set.members) await member.kill('SIGCONT');
    const healed = performance.now();
    const took = answers.map(({ invoked, completed }) => completed - invoked);
    const start = Math.min(...answers.map(({ invoked }) => invoked));
    const atOnce = answers.filter(({ headers }) => headers['retry-after'] === '1');
    expect(answers.filter(({ fate, status }) => fate !== 'received' || status !== 503)).toEqual([]);
    expect(answers.filter(({ headers }) => !/^[1-9]\d*$/.test(String(headers['retry-after'])))).toEqual([]);
    expect(Math.max(...took)).toBeLessThan(LONGEST_MS);
    expect(atOnce.length).toBeGreaterThanOrEqual(AT_ONCE - LET_IN);
    const latest = Math.max(...atOnce.map(({ completed }) => completed)) - start;
    expect(latest).toBeLessThan(5_000);
    expect(most - before).toBeLessThan(256 * 1_024 * 1_024);
    await until('it serves again', 30_000, async () => {
      const { status } = await exchange(other.base, auditing(person), get(person.ref));
      return status === 200;
    });
    if (REPORTS)
      console.info(
        `standing still, ${AT_ONCE} at once: ${atOnce.length} refused within ${Math.round(latest)} ms, the others within ${Math.round(Math.max(...took))} ms, ` +
          `memory at most ${Math.round((most - before) / 1_048_576)} MiB more; served ${Math.round(performance.now() - healed)} ms after it went on`,
      );
    // Nobody was told that it is there, and it may be; but once, and with its record.
    const contacts = await pages(() => auditing(person), `RelatedPerson?patient=${person.ref}&_count=200`);
    const still = contacts.map(markerOf).filter((marker) => marker?.startsWith('still'));
    expect(new Set(still).size).toBe(still.length);
  });

  it.skipIf(FAULTS < faults.length)(
    'without any database it is 503 in time, and it serves again when there is one',
    {
      timeout: 120_000,
    },
    async () => {
      const { person } = scenes[0]!;
      for (const member of set.members) await member.kill('SIGKILL');
      const read = () => exchange(s.base, auditing(person), get(person.ref));
      const answers = await Promise.all(Array.from({ length: 40 }, read));
      const took = answers.map(({ invoked, completed }) => completed - invoked);
      expect(answers.filter(({ status, headers }) => status !== 503 || headers['retry-after'] === undefined)).toEqual(
        [],
      );
      expect(Math.max(...took)).toBeLessThan(LONGEST_MS);
      for (const member of set.members) await member.start();
      const from = performance.now();
      await until('it serves again', 60_000, async () => (await read()).status === 200);
      if (REPORTS)
        console.info(
          `no member at all: 503 within ${Math.round(Math.max(...took))} ms; served ${Math.round(performance.now() - from)} ms after the members were started`,
        );
    },
  );
});

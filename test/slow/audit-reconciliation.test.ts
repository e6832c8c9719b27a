/**
 * The server is killed with SIGKILL while many clients are at work, again and again. Afterwards their ledger, the server's log and the
 * register of accesses agree (rules.md O1): no disclosure without its record, no record twice, nothing acknowledged lost, nothing half done.
 * It is killed from without, at moments that matter and by chance, and from within, at every n-th sync of its store in turn, a moment before and
 * a moment after. `RECONCILE_KILLS` and `RECONCILE_SYNCS`: how often each. `RECONCILE_SEED`: what the clients choose; where a kill falls is chance.
 */
import { randomUUID } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { del, get, type Person, patch, post, put, type Stage, startStage } from '../blackbox/stage.ts';
import { chance } from '../support/chance.ts';
import { careTeamBody, practitionerBody, type Resource, relatedPersonBody } from '../support/fhir-bodies.ts';
import {
  type Ask,
  type AuditRecord,
  createLedger,
  exchange,
  itemIn,
  type Ledger,
  type Line,
  type Moment,
  reconcile,
  reconcileWrites,
  recordOf,
  type Stating,
  type Written,
} from '../support/ledger.ts';
import { serverExists } from '../support/server.ts';
import { ON_MONGODB } from '../support/store-setting.ts';

const KILLS = Number(process.env['RECONCILE_KILLS'] ?? 5);
/** Kills at the first, second, third … sync from a moment when the clients are at work; odd ones before it, even ones after. */
const SYNCS = Number(process.env['RECONCILE_SYNCS'] ?? 4);
const SEED = Number(process.env['RECONCILE_SEED'] ?? Date.now() % 2 ** 31);
/** How long clients are at work before a kill is aimed, in milliseconds; where it is left to chance, at most so much more. */
const LIFE = { least: 600, more: 1_500 };
/** A kill whose occasion does not come falls after so long. */
const PATIENCE_MS = 5_000;
/** How long the clients may go on at the end, until each has done what it does. */
const LAST_LIFE_MS = 20_000;
/** A start after a kill, on a machine that does other things as well. */
const QUICK_START_MS = 15_000;
const CHUNK = 262_144;
/** Every act, by the words for it: the test is about nothing that did not happen. */
const ACTS = [
  'read',
  'history',
  'search about everybody',
  'search about two persons',
  'content',
  'content in JSON',
  'batch of reads',
  'update',
  'create',
  'own contacts',
  'own register',
  'everything',
  'deposit',
  'batch of a read, a write and a refusal',
  'refused transaction',
  'feed',
  'replace',
  'delete',
  'authorise',
  'declare',
  'team',
  'block',
  'hidden',
  'never there',
  'delete of a hidden one',
  'search that finds nothing',
  'search without a row',
  'no token',
  'not theirs to change',
];
const MARKERS = 'urn:oid:1.2.250.1.213.99.1';

type Answer = { readonly json: Resource | undefined };
type Bundled = {
  readonly resource?: Resource;
  readonly response?: { readonly status: string; readonly location?: string };
};
const bundled = ({ json }: Answer): readonly Bundled[] => (json?.entry ?? []) as readonly Bundled[];
const resources = (answer: Answer): readonly Resource[] =>
  bundled(answer).flatMap(({ resource }) => (resource === undefined ? [] : [resource]));
const refOf = (resource: Resource): string => `${resource.resourceType}/${String(resource.id)}`;
const versionOf = (resource: Resource): string => (resource.meta as { readonly versionId: string }).versionId;
const isDone = ({ fate, status }: Line): boolean => fate === 'received' && status < 300;
const created = (line: Line): string | undefined => (isDone(line) ? itemIn(line.headers.location) : undefined);

const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));

/** The content that a feed gives a document: what was sent can be told from the marker alone. */
const contentOf = (marker: string, isLarge: boolean): string =>
  isLarge ? marker.repeat(Math.ceil((2.5 * CHUNK) / marker.length)) : `content of ${marker}`;

/** A block and what it ends (A7), as the one client knows it who works on that professional. */
type Blocking = {
  readonly permit: string;
  readonly attending: string;
  readonly team: string;
  readonly practitioner: string;
  readonly block: Line;
};

describe.skipIf(!serverExists())('audit reconciliation under SIGKILL', () => {
  let s: Stage;
  let ledger: Ledger;
  let records: readonly AuditRecord[];
  /** The requests that any record names, those of the set-up included. */
  let requests: ReadonlySet<string>;
  const people: Person[] = [];
  const contacts = new Map<Person, readonly string[]>();
  const documents: { readonly ref: string; readonly binary: string; readonly person: Person }[] = [];
  const blockings: Blocking[] = [];
  const large = new Set<string>();
  const startsMs: number[] = [];
  /** When the server was down, or about to be. */
  const kills: { readonly from: number; readonly until: number }[] = [];
  /** The kills at a sync that came about: all of them, where the store is the embedded one. */
  const bySync: number[] = [];
  const random = chance(SEED);
  const among = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;

  const auditor = (): string => s.backends.operator({ now: s.now(), clientId: 'auditor' });
  const ownerAuditing = (person: Person): string =>
    s.users.holder({ now: s.now(), patient: person.id, clientId: 'auditor' });
  /** Every page of a search, read by somebody who is not part of the ledger. */
  const pages = async (token: string, path: string): Promise<readonly Resource[]> => {
    const found: Resource[] = [];
    for (let next: string | undefined = path; next !== undefined; ) {
      const answer: Awaited<ReturnType<Stage['done']>> = await s.done(token, get(next));
      found.push(...resources(answer));
      const links = (answer.json?.link ?? []) as readonly { readonly relation: string; readonly url: string }[];
      next = links.find(({ relation }) => relation === 'next')?.url;
    }
    return found;
  };

  /** When a kill falls: the moment an answer begins to arrive, that of a block first of all; in the middle of a write of several parts; by chance. */
  type Occasion = (moment: Moment) => number | undefined;
  const occasions: readonly Occasion[] = [
    ({ status }) => (status !== undefined && status < 300 ? 0 : undefined),
    ({ what, status }) => (what === 'block' && status !== undefined ? 0 : undefined),
    ({ what, status }) => (what === 'block' && status === undefined ? Math.random() * lately(what) : undefined),
    ({ what, status }) =>
      ['replace', 'delete', 'feed'].includes(what) && status === undefined ? Math.random() * lately(what) : undefined,
    () => Math.random() * LIFE.more,
  ];
  /** How long an act took the last times, in milliseconds. */
  const lately = (what: string): number => {
    const last = ledger.lines.filter((line) => line.what === what && line.fate === 'received').slice(-5);
    return last.reduce((sum, { invoked, completed }) => sum + completed - invoked, 0) / Math.max(1, last.length);
  };
  let watch: (moment: Moment) => void = () => undefined;
  /** Waits for the occasion; answers how many milliseconds after it the kill is to fall. */
  const aimed = (occasion: Occasion): Promise<number> =>
    new Promise((resolve) => {
      const patience = setTimeout(() => resolve(0), PATIENCE_MS);
      watch = (moment) => {
        const after = occasion(moment);
        if (after === undefined) return;
        clearTimeout(patience);
        watch = () => undefined;
        resolve(after);
      };
    });

  /** Clients wait here while there is no server. */
  let up: Promise<void> = Promise.resolve();
  let stopped = false;

  const happened = (): ReadonlySet<string> =>
    new Set(ledger.lines.filter(({ fate }) => fate === 'received').map(({ what }) => what));

  type Client = { readonly name: string; readonly acts: readonly (() => Promise<unknown>)[] };
  const send = (client: string, token: string, ask: Ask, stating: Stating): Promise<Line> =>
    ledger.ask({ base: s.base, client, token, ask, stating });

  const work = async ({ acts }: Client): Promise<void> => {
    while (!stopped) {
      await up;
      await among(acts)();
    }
  };

  const related = (person: Person, marker: string): Resource => relatedPersonBody(person.ref, marker, []);
  const fedBy = (line: Line, marker: string, person: Person, isLarge: boolean): void => {
    if (isLarge) large.add(marker);
    const [binary, document] = bundled(line).map(({ response }) => itemIn(response?.location));
    if (isDone(line) && binary !== undefined && document !== undefined)
      documents.push({ ref: document, binary, person });
  };

  /** Reads one item, pages of a search about several persons, histories, content. */
  const reader = (name: string): Client => {
    const by = (): string => s.professional('dr1');
    const one = (): (typeof documents)[number] => among(documents);
    const [a, b] = [people[0]!, people[1]!];
    return {
      name,
      acts: [
        () => send(name, by(), get(one().ref), { what: 'read' }),
        () => send(name, by(), get(`${one().ref}/_history`), { what: 'history' }),
        () => send(name, by(), get('DocumentReference?_count=20'), { what: 'search about everybody' }),
        () =>
          send(name, by(), get(`DocumentReference?_count=10&patient=${a.ref},${b.ref}&_include=DocumentReference:*`), {
            what: 'search about two persons',
            names: [a.ref, b.ref],
          }),
        () => send(name, by(), get(one().binary, { accept: '*/*' }), { what: 'content' }),
        () => send(name, by(), get(one().binary), { what: 'content in JSON' }),
        () =>
          send(
            name,
            by(),
            post({
              resourceType: 'Bundle',
              type: 'batch',
              entry: [one().ref, `DocumentReference/${randomUUID()}`, one().ref, `DocumentReference?_count=3`].map(
                (url) => ({ request: { method: 'GET', url } }),
              ),
            }),
            { what: 'batch of reads' },
          ),
      ],
    };
  };

  /** Writes what is theirs, again and again into the same two items. */
  const holder = (name: string, person: Person): Client => {
    const by = (): string => s.holder(person);
    const about = person.ref;
    const named = { names: [about], about };
    return {
      name,
      acts: [
        ...(contacts.get(person) ?? []).map((item) => () => {
          const marker = randomUUID();
          const body = { ...related(person, marker), id: item.replace('RelatedPerson/', '') };
          return send(name, by(), put(body), { what: 'update', marker });
        }),
        () => {
          const marker = randomUUID();
          return send(name, by(), post(related(person, marker)), { what: 'create', marker });
        },
        () => send(name, by(), get(`RelatedPerson?patient=${about}&_count=5`), { what: 'own contacts', ...named }),
        () => send(name, by(), get(`AuditEvent?patient=${about}&_count=5`), { what: 'own register', ...named }),
        () => send(name, by(), get(`Patient/${person.id}/$everything?_count=10`), { what: 'everything', ...named }),
        async () => {
          const marker = s.urn();
          const ask = s.deposit(person, { uniqueId: marker, bytes: contentOf(marker, false) });
          return send(name, by(), ask, { what: 'deposit', marker, ...named });
        },
        () => {
          const marker = randomUUID();
          const entry = [
            { request: { method: 'GET', url: among(contacts.get(person) ?? []) } },
            { resource: related(person, marker), request: { method: 'POST', url: 'RelatedPerson' } },
            { request: { method: 'DELETE', url: among(documents.filter((one) => one.person === person)).ref } },
          ];
          const ask = post({ resourceType: 'Bundle', type: 'batch', entry });
          return send(name, by(), ask, { what: 'batch of a read, a write and a refusal', marker, ...named });
        },
        () => {
          const marker = randomUUID();
          const entry = [
            { resource: related(person, marker), request: { method: 'POST', url: 'RelatedPerson' } },
            { request: { method: 'DELETE', url: among(documents.filter((one) => one.person === person)).ref } },
          ];
          const ask = post({ resourceType: 'Bundle', type: 'transaction', entry });
          return send(name, by(), ask, { what: 'refused transaction', marker, ...named });
        },
      ],
    };
  };

  /** Feeds, replaces and deletes; each document of theirs is replaced or deleted once at most, so that what became of it is known. */
  const feeder = (name: string): Client => {
    const by = (): string => s.feeder('s2');
    const mine: { readonly document: string; readonly binary: string; readonly person: Person }[] = [];
    const feed = async (person: Person, replaces: string | undefined, isLarge: boolean): Promise<void> => {
      const marker = s.urn();
      const ask = s.feed(person, {
        uniqueId: marker,
        bytes: contentOf(marker, isLarge),
        ...(replaces === undefined ? {} : { replaces }),
      });
      const consequences = replaces === undefined ? [] : [replaces];
      const stating = { what: replaces === undefined ? 'feed' : 'replace', marker, consequences, about: person.ref };
      const line = await send(name, by(), ask, stating);
      fedBy(line, marker, person, isLarge);
      const [binary, document] = bundled(line).map(({ response }) => itemIn(response?.location));
      if (isDone(line) && binary !== undefined && document !== undefined) mine.push({ document, binary, person });
    };
    const taken = (): (typeof mine)[number] | undefined =>
      mine.length < 3 ? undefined : mine.splice(Math.floor(random() * mine.length), 1)[0];
    return {
      name,
      acts: [
        () => feed(among(people), undefined, random() < 0.1),
        async () => {
          const old = taken();
          if (old !== undefined) await feed(old.person, old.document, false);
        },
        async () => {
          const old = taken();
          if (old !== undefined)
            await send(name, by(), del(old.document), { what: 'delete', consequences: [old.binary] });
        },
      ],
    };
  };

  /** A7: a professional with three grounds of access is blocked; another professional each time. */
  const blocker = (name: string, person: Person): Client => {
    let numbers = 0;
    const about = person.ref;
    const cycle = async (): Promise<void> => {
      numbers += 1;
      const id = `8998${String(numbers).padStart(8, '0')}`;
      const doctor = created(
        await send(name, s.operator(), post(practitionerBody(id, 'DR')), { what: 'a practitioner' }),
      );
      if (doctor === undefined) return;
      const written = async (what: string, token: string, body: Resource): Promise<string | undefined> => {
        const marker = randomUUID();
        const marked = { ...body, identifier: [{ system: MARKERS, value: marker }] };
        return created(await send(name, token, post(marked), { what, marker }));
      };
      const rights = (kind: string, provision: 'permit' | 'deny'): Resource =>
        s.consent(person, kind, provision, { actor: doctor });
      const permit = await written('authorise', s.holder(person), rights('professional-access', 'permit'));
      const attending = await written('declare', s.insurer(), rights('attending-physician', 'permit'));
      const team = await written(
        'team',
        s.feeder('s1'),
        careTeamBody({ subject: about, organization: s.known('s1'), members: [doctor], status: 'active' }),
      );
      if (permit === undefined || attending === undefined || team === undefined) return;
      const marker = randomUUID();
      const block = await send(
        name,
        s.holder(person),
        post({ ...rights('professional-access', 'deny'), identifier: [{ system: MARKERS, value: marker }] }),
        { what: 'block', marker, consequences: [permit, attending, team] },
      );
      blockings.push({ permit, attending, team, practitioner: doctor, block });
    };
    return { name, acts: [cycle] };
  };

  /** Asks for what it may not have. */
  const refusedClient = (name: string): Client => {
    const by = (): string => s.professional('dr2', { structure: 's1' });
    const document = (): string => among(documents).ref;
    return {
      name,
      acts: [
        () => send(name, by(), get(document()), { what: 'hidden' }),
        () => send(name, by(), get(`DocumentReference/${randomUUID()}`), { what: 'never there' }),
        () => send(name, by(), del(document()), { what: 'delete of a hidden one' }),
        () => send(name, by(), get('DocumentReference?_count=20'), { what: 'search that finds nothing' }),
        () => send(name, s.insurer(), get('DocumentReference?_count=5'), { what: 'search without a row' }),
        () => send(name, 'x.eyJqdGkiOiJub25lIn0.y', get(document()), { what: 'no token' }),
        () =>
          send(name, s.holder(people[0]!), patch(people[0]!.ref, [{ op: 'replace', path: '/gender', value: 'male' }]), {
            what: 'not theirs to change',
          }),
      ],
    };
  };

  beforeAll(
    async () => {
      s = await startStage({ NODE_OPTIONS: `--import ${new URL('../support/kill-at-sync.ts', import.meta.url)}` });
      ledger = createLedger((moment) => watch(moment));
      for (let n = 0; n < 3; n += 1) {
        const person = await s.person();
        people.push(person);
        await s.grant(person, 'dr1');
        const own = [];
        for (const given of ['A', 'B']) own.push(await s.made(s.holder(person), post(related(person, given))));
        contacts.set(person, own);
        for (let d = 0; d < 4; d += 1) {
          const { document, binary } = await s.fed(s.feeder('s3'), s.feed(person));
          documents.push({ ref: document, binary, person });
          for (const item of [document, binary]) ledger.learn(item, person.ref);
        }
      }
      const blocked = await s.person();
      const setUp = new Set((await pages(auditor(), 'AuditEvent?_count=200')).map(({ id }) => String(id)));

      const clients: readonly Client[] = [
        reader('reader 1'),
        reader('reader 2'),
        ...people.map((person, n) => holder(`holder ${n}`, person)),
        feeder('feeder 1'),
        feeder('feeder 2'),
        blocker('blocker', blocked),
        refusedClient('refused'),
      ];
      const working = clients.map(work);
      /** Waits for the moment, ends the server if it has not ended by itself, and starts it again. */
      const killed = async (moment: () => Promise<number>): Promise<void> => {
        await pause(LIFE.least);
        const from = await moment();
        const gate = Promise.withResolvers<void>();
        up = gate.promise;
        await s.server.kill();
        kills.push({ from, until: performance.now() });
        const starting = performance.now();
        await s.server.restart();
        startsMs.push(performance.now() - starting);
        gate.resolve();
      };
      for (let kill = 0; kill < KILLS; kill += 1)
        await killed(async () => {
          const after = await aimed(occasions[kill % occasions.length]!);
          if (after > 0) await pause(after);
          return performance.now();
        });
      for (let sync = 1; sync <= SYNCS; sync += 1)
        await killed(async () => {
          const from = performance.now();
          const file = join(s.server.folder, 'kill-at');
          await writeFile(`${file}.new`, `${Math.ceil(sync / 2)} ${sync % 2 === 1 ? 'before' : 'after'}`);
          await rename(`${file}.new`, file);
          const bySelf = s.server.ended().then(() => true);
          if (await Promise.race([bySelf, pause(PATIENCE_MS).then(() => false)])) bySync.push(sync);
          return from;
        });
      const until = performance.now() + LAST_LIFE_MS;
      while (performance.now() < until && ACTS.some((act) => !happened().has(act))) await pause(100);
      stopped = true;
      await Promise.all(working);
      people.push(blocked);

      const events = await pages(auditor(), 'AuditEvent?_count=200');
      requests = new Set(events.map((event) => recordOf(event).requestId));
      records = events
        .filter(({ id }) => !setUp.has(String(id)))
        .map(recordOf)
        .filter(({ clientId }) => clientId !== 'auditor');
    },
    60_000 + (KILLS + SYNCS) * 15_000,
  );
  afterAll(() => s.dispose());

  const because = (faults: readonly string[]): string => `seed ${SEED}\n${faults.slice(0, 10).join('\n')}`;

  it('ran into what it is about', () => {
    const count = (which: (line: Line) => boolean): number => ledger.lines.filter(which).length;
    expect(count((line) => isDone(line))).toBeGreaterThan(KILLS * 10);
    // A kill cuts what is under way: with nine clients there is always something.
    expect(count(({ fate }) => fate === 'unanswered' || fate === 'cut')).toBeGreaterThanOrEqual(KILLS);
    expect(bySync.length).toBe(ON_MONGODB ? 0 : SYNCS);
    expect(ACTS.filter((act) => !happened().has(act))).toEqual([]);
    if (process.env['RECONCILE_REPORT'] !== undefined) {
      const fates = Object.groupBy(ledger.lines, ({ fate }) => fate);
      const { confirmed, unconfirmed } = reconcile(ledger, records);
      console.info(
        `seed ${SEED}, ${KILLS} kills, starts ${startsMs.map(Math.round).join()} ms,`,
        Object.entries(fates).map(([fate, lines]) => `${fate} ${lines?.length}`),
        `${records.length} records: ${confirmed} confirmed, ${unconfirmed.length} unconfirmed; ${blockings.length} blocks; killed at ${bySync.length} syncs`,
      );
    }
  });

  it('each answer has one record for each person in it, naming what was in it', () => {
    const { faults } = reconcile(ledger, records);
    expect(faults.length, because(faults)).toBe(0);
  });

  it('only what was under way at a kill is recorded without that anybody is known to have received it', () => {
    const { unconfirmed } = reconcile(ledger, records);
    const underWay = (line: Line): boolean =>
      kills.some(({ from, until }) => line.invoked <= until && line.completed >= from);
    // a stream that its owner stopped was begun, and its status came
    const late = unconfirmed.filter(({ line }) => line.fate === 'unanswered' && !underWay(line));
    expect(late.map(({ record, line }) => `${line.what}: ${JSON.stringify(record)}`)).toEqual([]);
    expect(unconfirmed.length).toBeLessThan(records.length / 10);
  });

  it('would notice a record that is missing, doubled, of another request, or says too little or too much', () => {
    const whole = new Set(ledger.lines.filter(isDone).map(({ tokenId }) => tokenId));
    const of = records.findIndex(
      ({ tokenId, person, items, refused }) =>
        whole.has(tokenId) && person !== '' && items.length > 1 && !refused && people.some(({ ref }) => ref === person),
    );
    const record = records[of]!;
    const other = people.find(({ ref }) => ref !== record.person)!.ref;
    const without = records.filter((_, index) => index !== of);
    const changed = (change: Partial<AuditRecord>): readonly AuditRecord[] => [...without, { ...record, ...change }];
    const wrong: Readonly<Record<string, readonly AuditRecord[]>> = {
      missing: without,
      doubled: [...records, record],
      'of another request': changed({ requestId: randomUUID() }),
      'of a request that nobody sent': [...records, { ...record, tokenId: randomUUID(), requestId: randomUUID() }],
      'about another person': changed({ person: other }),
      'an item too few': changed({ items: record.items.slice(1) }),
      'an item too many': changed({ items: [...record.items, `DocumentReference/${randomUUID()}`] }),
      'an item twice': changed({ items: [...record.items, ...record.items.slice(0, 1)] }),
      'refused, where it was done': changed({ refused: true }),
      'two requests under one id': records.map((one) =>
        one.tokenId === without[0]?.tokenId ? { ...one, requestId: record.requestId } : one,
      ),
    };
    for (const [what, these] of Object.entries(wrong))
      expect([what, reconcile(ledger, these).faults.length > 0]).toEqual([what, true]);
  });

  it('the log tells of no answer that is not recorded, and of none that failed', () => {
    const written = s.server
      .stderr()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .flatMap((line): readonly Record<string, unknown>[] => {
        try {
          return [JSON.parse(line) as Record<string, unknown>];
        } catch {
          // The last line before a kill may be half a line.
          return [];
        }
      });
    const byId = new Map(ledger.lines.map((line) => [line.headers['x-request-id'], line]));
    const ours = written.filter(({ event, clientId }) => event === 'exchange' && clientId === 'test-client');
    const faults = ours
      .filter(({ requestId, status }) => {
        const line = byId.get(String(requestId));
        if (line === undefined) return Number(status) < 300 && !requests.has(String(requestId));
        // 499: the server knows, too, that the answer was cut.
        return line.status !== status && !(status === 499 && line.fate === 'cut');
      })
      .map((line) => JSON.stringify(line));
    expect(faults.length, because(faults)).toBe(0);
    expect(ours.length).toBeGreaterThan(0);
    // A stream that its owner stops is cut on purpose, and the log says so.
    const isCut = (error: unknown): boolean => /AnswerCut.*StreamRevoked/.test(String(error));
    const failed = written.filter(
      ({ event, status, error }) => (event === 'fault' && !isCut(error)) || Number(status) >= 500,
    );
    expect(failed).toEqual([]);
  });

  it('what was acknowledged is there once, what was not is there whole or not at all', async () => {
    const written = new Map<string, Written[]>();
    const note = (marker: string, version: Written): void => {
      written.set(marker, [...(written.get(marker) ?? []), version]);
    };
    const faults: string[] = [];
    const found = new Map<string, Resource>();
    for (const person of people) {
      const token = ownerAuditing(person);
      const all = await Promise.all(
        ['RelatedPerson', 'DocumentReference', 'Consent', 'CareTeam'].map((type) =>
          pages(token, `${type}?patient=${person.ref}&_count=200`),
        ),
      );
      for (const resource of all.flat()) {
        found.set(refOf(resource), resource);
        const marker =
          (resource.masterIdentifier as { readonly value: string } | undefined)?.value ??
          (resource.identifier as readonly { readonly value: string }[] | undefined)?.[0]?.value;
        if (marker !== undefined && ledger.lines.some((line) => line.marker === marker))
          note(marker, { item: refOf(resource), versionId: '1' });
      }
      for (const contact of all[0] ?? []) {
        const versions =
          versionOf(contact) === '1' ? [contact] : await pages(token, `${refOf(contact)}/_history?_count=200`);
        const numbers = versions.map((one) => Number(versionOf(one)));
        if (numbers.some((number, index) => number !== numbers.length - index))
          faults.push(`${refOf(contact)} has the versions ${numbers.join()}`);
        for (const version of versions) {
          const given = (version.name as readonly { readonly given: readonly string[] }[])[0]?.given[0] ?? '';
          if (given.length > 1) note(given, { item: refOf(version), versionId: versionOf(version) });
        }
      }
    }
    // A document that was deleted is in no search; the ledger knows its item.
    const deleted = new Map<string, boolean>();
    for (const line of ledger.lines) {
      if (line.what !== 'delete') continue;
      const person = people.find(({ ref }) => ref === ledger.ownerOf(line.path))!;
      const [document, binary] = await Promise.all(
        [line.path, ...line.consequences].map((path) => exchange(s.base, ownerAuditing(person), get(path))),
      );
      const gone = document?.status === 410;
      deleted.set(line.path, gone);
      if (gone !== (binary?.status === 410)) faults.push(`${line.path} was deleted by half`);
      if (isDone(line) && !gone) faults.push(`${line.path} was deleted, and is there`);
      if (line.fate !== 'received' && gone !== records.some(({ tokenId }) => tokenId === line.tokenId))
        faults.push(`${line.path} is ${gone ? '' : 'not '}deleted, and the record does not say so`);
    }
    for (const line of ledger.lines) {
      if (line.marker === undefined || !['feed', 'replace', 'deposit'].includes(line.what)) continue;
      const item = isDone(line) ? itemIn(bundled(line)[1]?.response?.location) : undefined;
      if (item !== undefined && deleted.get(item) === true) note(line.marker, { item, versionId: '1' });
    }
    faults.push(...reconcileWrites(ledger, written, records));

    // A transaction of a document: its content is there and attached, and what it replaces is superseded.
    const replacing = new Map<string, number>();
    for (const document of found.values())
      for (const { target } of (document.relatesTo ?? []) as readonly {
        readonly target: { readonly reference: string };
      }[])
        replacing.set(target.reference, (replacing.get(target.reference) ?? 0) + 1);
    for (const line of ledger.lines) {
      const [replaced] = line.what === 'replace' ? line.consequences : [];
      const item = isDone(line) ? itemIn(bundled(line)[1]?.response?.location) : undefined;
      if (replaced !== undefined && item !== undefined && deleted.get(item) === true) replacing.set(replaced, 1);
    }
    for (const [ref, document] of found) {
      if (document.resourceType !== 'DocumentReference') continue;
      const times = replacing.get(ref) ?? 0;
      if (
        times > 1 ||
        (times === 1) !== (document.status === 'superseded') ||
        versionOf(document) !== String(1 + times)
      )
        faults.push(
          `${ref} is ${String(document.status)} in version ${versionOf(document)}, and replaced ${times} times`,
        );
      const marker = (document.masterIdentifier as { readonly value: string }).value;
      if (!written.has(marker)) continue;
      const [{ attachment }] = document.content as readonly [{ readonly attachment: { readonly url: string } }];
      const person = people.find((one) => one.ref === (document.subject as { readonly reference: string }).reference)!;
      const raw = await exchange(s.base, ownerAuditing(person), get(attachment.url, { accept: '*/*' }));
      const text = raw.body.toString('utf8');
      if (raw.status !== 200 || ![contentOf(marker, false), contentOf(marker, true)].includes(text))
        faults.push(`the content of ${ref} is not what was sent: ${raw.status}, ${text.length} characters`);
    }

    // A block has ended every ground of the professional, or none and is not there.
    for (const { permit, attending, team, practitioner, block } of blockings) {
      const stands = written.has(block.marker ?? '');
      const grounds = [permit, attending].map((ref) => found.get(ref)?.status === 'active');
      const member = JSON.stringify(found.get(team)?.participant ?? []).includes(practitioner);
      if ([...grounds, member].some((ground) => ground === stands))
        faults.push(
          `the block of ${practitioner} is ${stands ? '' : 'not '}there: ${grounds.join()}, member ${member}`,
        );
    }
    expect(faults.length, because(faults)).toBe(0);
    expect(blockings.some(({ block }) => isDone(block))).toBe(true);
    expect([...replacing.values()].length).toBeGreaterThan(0);
    expect([...deleted.values()].some(Boolean)).toBe(true);
  });

  it('starts after a kill at once, and stops when it is told to', async () => {
    expect(Math.max(...startsMs)).toBeLessThan(QUICK_START_MS);
    expect(await s.server.stop()).toBe(0);
  });

  it.skipIf(ON_MONGODB)('leaves a sound file', () => {
    const db = new DatabaseSync(`${s.server.folder}/carnet.db`);
    expect(db.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
    expect(db.prepare('PRAGMA foreign_key_check').all()).toEqual([]);
    db.close();
  });
});

/**
 * Two server processes on one MongoDB, as behind a proxy: what a server does by itself is done once however many there are (W7, W23), a session is told of
 * once whichever server met it (O2), a page link and an uploaded Binary are good at either. Revocations across processes: `revocation.test.ts`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Ask,
  DAY,
  entriesOf,
  get,
  HOUR,
  type Person,
  POLICY,
  post,
  refIn,
  START,
  type Stage,
  startStage,
} from '../blackbox/stage.ts';
import { binaryBody, documentBody, type Resource } from '../support/fhir-bodies.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ON_MONGODB } from '../support/store-setting.ts';
import { type Answer, send } from '../support/world.ts';

const NOTICE = 'https://carnet.example/fhir/CodeSystem/notice';
/** What the clock looks for is repeated, so that both servers meet at it often. */
const ITEMS = 45;
/** A server's clock looks every two seconds: both have looked more than once by then. */
const BOTH_LOOKED_MS = 6_000;
const SOON = { timeout: 60_000, interval: 500 };

const pause = (ms: number): Promise<void> => new Promise((next) => setTimeout(next, ms));

type Coded = { readonly coding?: readonly { readonly system?: string; readonly code?: string }[] };
const noticeCodeOf = (notice: Resource): string =>
  (notice.category as readonly Coded[]).flatMap((c) => c.coding ?? []).find((c) => c.system === NOTICE)?.code ?? '';

const name = 'two servers on one MongoDB';
if (!ON_MONGODB) {
  describe(name, () => {
    it('is about a MongoDB', (context) =>
      context.skip('the embedded store has one process; `npm run test:mongo` runs this'));
  });
} else
  describe(name, () => {
    let s: Stage;
    let other: TestServer;

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

    /** The same request to the second server, whatever base a link names. */
    const there = async (token: string, ask: Ask): Promise<Answer> =>
      send(other.base, { ...ask, path: ask.path.replace(`${s.base}/`, ''), token });
    const here = (token: string, ask: Ask): Promise<Answer> =>
      s.ask(token, { ...ask, path: ask.path.replace(`${s.base}/`, '') });
    /** Both clocks, the second server's first or last. */
    const setClocks = async (instant: number): Promise<void> => {
      await Promise.all([other.setClock(instant), s.setClock(instant)]);
    };
    const bundled = (answer: Answer): readonly Resource[] =>
      entriesOf(answer).flatMap(({ resource }) => (resource === undefined ? [] : [resource]));
    const nextOf = ({ json }: Answer): string | undefined =>
      ((json?.link ?? []) as readonly { readonly relation: string; readonly url: string }[]).find(
        ({ relation }) => relation === 'next',
      )?.url;
    /** Every page of a search, each asked of the server whose turn it is. */
    const paged = async (
      token: string,
      path: string,
      turns: readonly (typeof here)[],
    ): Promise<readonly Resource[]> => {
      const found: Resource[] = [];
      for (let [at, n]: [string | undefined, number] = [path, 0]; at !== undefined; n += 1) {
        const answer = await turns[n % turns.length]!(token, get(at));
        expect(answer.status, answer.text).toBe(200);
        found.push(...bundled(answer));
        at = nextOf(answer);
      }
      return found;
    };
    const noticesFor = async (token: string): Promise<readonly string[]> =>
      (await paged(token, 'Communication?category=notification&_count=200', [here])).map(noticeCodeOf);
    const eventsOf = (token: string, query: string): Promise<readonly Resource[]> =>
      paged(token, `AuditEvent?${query}&_count=200`, [here]);

    it('a page link that one server made is answered by the other', async () => {
      const person = await s.person();
      await s.grant(person, 'dr1');
      const documents: string[] = [];
      for (let n = 0; n < 5; n += 1) documents.push((await s.fed(s.feeder('s2'), s.feed(person))).document);
      const found = await paged(s.professional('dr1'), `DocumentReference?patient=${person.ref}&_count=1`, [
        here,
        there,
      ]);
      expect(found.map(({ id }) => `DocumentReference/${String(id)}`).toSorted()).toEqual(documents.toSorted());
      // It is still that caller's alone.
      const first = await here(s.professional('dr1'), get(`DocumentReference?patient=${person.ref}&_count=1`));
      const page = nextOf(first) ?? '';
      expect((await there(s.holder(person), get(page))).status).toBe(400);
    });

    it('a Binary that was uploaded to one is attached and read at the other', async () => {
      const person = await s.person();
      await s.grant(person, 'dr1');
      const token = s.professional('dr1');
      const bytes = `content of ${person.id}`.repeat(20_000);
      const uploaded = await here(token, {
        method: 'POST',
        path: 'Binary',
        body: binaryBody(bytes),
      });
      const binary = refIn(uploaded.headers.get('location'));
      const document = await there(
        token,
        post(
          documentBody({
            uniqueId: s.urn(),
            typeCode: '11488-4',
            subject: person.ref,
            traits: person.traits,
            author: s.known('dr1'),
            labels: [],
            date: new Date(s.now()).toISOString(),
            title: 'a title',
            binary,
          }),
        ),
      );
      expect(document.status, document.text).toBe(201);
      for (const ask of [here, there]) {
        const read = await ask(s.holder(person), get(binary, { accept: 'text/plain' }));
        expect([read.status, read.text]).toEqual([200, bytes]);
      }
    });

    it('a right that is written at one is the right at the other, for the next request', async () => {
      const person = await s.person();
      const { document } = await s.fed(s.feeder('s2'), s.feed(person));
      for (let n = 0; n < 5; n += 1) {
        const permit = refIn(
          (
            await there(
              s.holder(person),
              post(s.consent(person, 'professional-access', 'permit', { actor: s.known('dr2') })),
            )
          ).headers.get('location'),
        );
        expect((await here(s.professional('dr2'), get(document))).status).toBe(200);
        expect((await here(s.holder(person), s.end(permit))).status).toBe(200);
        expect((await there(s.professional('dr2'), get(document))).status).toBe(404);
      }
    });

    it('O2: a session is told of once, whichever servers met it and at whatever moment', async () => {
      const person = await s.person();
      await s.grant(person, 'dr3', 'attending-physician');
      await s.grant(person, 'dr1');
      await s.grant(person, 'dr2');
      const { document } = await s.fed(s.feeder('s2'), s.feed(person));
      // An emergency token is a session of its own.
      const emergency = s.professional('dr1', { purpose: 'BTG', patient: person });
      const looks = ([here, there] as const).flatMap((ask) => [
        ...Array.from({ length: 4 }, () => ask(s.professional('dr1'), get(document))),
        ...Array.from({ length: 4 }, () => ask(s.professional('dr2'), get(document))),
        ...Array.from({ length: 2 }, () => ask(emergency, get(document))),
      ]);
      expect(new Set((await Promise.all(looks)).map(({ status }) => status))).toEqual(new Set([200]));
      expect((await noticesFor(s.holder(person))).toSorted()).toEqual([
        'ACCES_BRIS_GLACE',
        'ACCES_DMP_PS',
        'ACCES_DMP_PS',
        'AJOUT_DOCUMENT',
      ]);
      // So is the attending physician of the emergency.
      expect(await noticesFor(s.professional('dr3'))).toEqual(['ACCES_BRIS_GLACE']);
      // Each look has its record, all the same.
      const events = await eventsOf(s.holder(person), `entity=${document}&action=R`);
      expect(events).toHaveLength(20);
    });

    it('W7: the announcement clocks of both take each step once', { timeout: 300_000 }, async () => {
      const persons: Person[] = [];
      const documents: string[] = [];
      for (let n = 0; n < ITEMS; n += 1) {
        const person = n % 3 === 0 ? await s.person() : persons.at(-1)!;
        if (n % 3 === 0) {
          persons.push(person);
          await s.grant(person, 'dr1');
        }
        const fed = await s.fed(s.professional('dr1'), s.feed(person, { labels: ['INVISIBLE_PATIENT'] }));
        documents.push(fed.document);
      }
      const filed = s.now();
      const codes = async (): Promise<readonly string[]> => {
        const all: string[] = [];
        for (const person of persons) all.push(...(await noticesFor(s.holder(person))));
        return all.toSorted();
      };
      const times = (code: string): readonly string[] => Array.from({ length: ITEMS }, () => code);
      expect(await codes()).toEqual([]);
      await setClocks(filed + 14 * DAY);
      await expect.poll(codes, SOON).toEqual(times('INVITATION_ANNONCE'));
      await setClocks(filed + 31 * DAY);
      const shown = [...times('AJOUT_DOCUMENT'), ...times('INVITATION_ANNONCE'), ...times('REMISE_VISIBILITE_AUTO')];
      await expect.poll(codes, SOON).toEqual(shown);
      await pause(BOTH_LOOKED_MS);
      expect(await codes()).toEqual(shown);
      for (const document of documents) {
        const person = persons[Math.floor(documents.indexOf(document) / 3)]!;
        expect(await s.versionsOf(s.holder(person), document)).toBe(2);
        const events = await eventsOf(s.holder(person), `entity=${document}&subtype=update`);
        expect(events).toHaveLength(1);
      }
      expect(failuresOf(s.server)).toEqual([]);
      expect(failuresOf(other)).toEqual([]);
    });

    it('W23: the sweeps of both take each Binary once', { timeout: 300_000 }, async () => {
      const person = await s.person();
      await s.grant(person, 'dr1');
      await setClocks(s.now() + HOUR);
      const loose: string[] = [];
      for (let n = 0; n < ITEMS; n += 1) {
        const uploaded = await (n % 2 === 0 ? here : there)(s.professional('dr1'), post(binaryBody(`loose ${n}`)));
        loose.push(refIn(uploaded.headers.get('location')));
      }
      const { binary: attached } = await s.fed(s.professional('dr1'), s.feed(person));
      await setClocks(s.now() + HOUR);
      const statuses = async (ask: typeof here): Promise<ReadonlySet<number>> => {
        const answers = await Promise.all(loose.map((binary) => ask(s.professional('dr1'), get(binary))));
        return new Set(answers.map(({ status }) => status));
      };
      for (const ask of [here, there]) await expect.poll(() => statuses(ask), SOON).toEqual(new Set([410]));
      await pause(BOTH_LOOKED_MS);
      expect((await there(s.professional('dr1'), get(attached))).status).toBe(200);
      const swept = (await eventsOf(s.operator('what was swept'), 'action=D')).map((event) => JSON.stringify(event));
      const records = loose.map((binary) => swept.filter((event) => event.includes(`${binary}"`)).length);
      expect(records).toEqual(loose.map(() => 1));
      expect(failuresOf(s.server)).toEqual([]);
      expect(failuresOf(other)).toEqual([]);
    });

    it('a server that stops leaves the other at work, and finds everything when it is back', async () => {
      const person = await s.person();
      await s.grant(person, 'dr1');
      const { document } = await s.fed(s.feeder('s2'), s.feed(person));
      await other.kill();
      await s.done(s.professional('dr1'), get(document));
      const second = await s.fed(s.feeder('s2'), s.feed(person));
      await other.restart();
      expect((await there(s.professional('dr1'), get(second.document))).status).toBe(200);
    });

    /** What a server's clock could not do; two that meet at one step are to find out without failing. */
    const failuresOf = (server: TestServer): readonly string[] =>
      server
        .stderr()
        .split('\n')
        .filter((line) => line.includes('clock-failed'));
  });

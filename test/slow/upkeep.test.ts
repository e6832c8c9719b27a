/**
 * The operator's commands, beside a server that goes on answering: copies, inspection, a new master key, the destruction of a person's keys, the
 * move to another store. rules.md S3; docs/encryption.md.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSqliteStore, SQLITE_STORE_DEFAULTS } from '../../server/adapters/store-sqlite/store.ts';
import { run } from '../../server/cli.ts';
import { readConfig } from '../../server/config.ts';
import { DAY, get, type Person, post, START, type Stage, startStage } from '../blackbox/stage.ts';
import { communicationBody, listBody } from '../support/fhir-bodies.ts';
import { systemGuard } from '../support/guards.ts';
import { serverExists } from '../support/server.ts';
import { ON_MONGODB } from '../support/store-setting.ts';

const YEAR = 365.25 * DAY;

// On a MongoDB: `upkeep-mongodb.test.ts`.
describe.runIf(serverExists() && !ON_MONGODB)('the operator', () => {
  let s: Stage;
  let folder: string;
  let kept: Person;
  let gone: Person;
  /** Whose space ended, and was written anew and closed. */
  let again: Person;
  let keptDocument: string;
  let goneDocument: string;
  let goneBinary: string;

  const at = (name: string): string => join(folder, name);
  /** A command on a store, with the clock of the server; what it printed and its exit code. */
  const carnet = async (
    line: readonly string[],
    store?: string,
  ): Promise<{ readonly code: number; readonly text: string }> => {
    const lines: string[] = [];
    const env = {
      CARNET_STORE: `sqlite:${store ?? join(s.server.folder, 'carnet.db')}`,
      CARNET_BASE_URL: s.base,
      CARNET_TEST: '1',
      CARNET_CLOCK_FILE: join(s.server.folder, 'clock'),
    };
    const io = { out: (text: string) => void lines.push(text), progress: () => undefined };
    const code = await run(line, io, () => readConfig(env));
    return { code, text: lines.join('\n') };
  };
  const filled = async (person: Person): Promise<{ readonly document: string; readonly binary: string }> => {
    await s.grant(person, 'dr1', 'attending-physician');
    await s.grant(person, 'dr2');
    const doctor = s.professional('dr1');
    const made = await s.fed(doctor, s.feed(person, { title: 'lettre de sortie', bytes: 'x'.repeat(600_000) }));
    await s.made(doctor, post(listBody(person.ref, [made.document])));
    const text = 'un message';
    await s.made(
      doctor,
      post(communicationBody({ subject: person.ref, sender: s.known('dr1'), recipient: person.ref, text })),
    );
    await s.done(s.holder(person), {
      method: 'POST',
      path: `${made.document}/$mask`,
      body: { resourceType: 'Parameters' },
    });
    await s.delegate(person, 'caregiver', ['message']);
    await s.done(s.holder(person), {
      method: 'POST',
      path: `${person.ref}/$notification-preferences`,
      body: {
        resourceType: 'Parameters',
        parameter: [
          {
            name: 'preference',
            part: [
              { name: 'code', valueCode: 'AJOUT_VACCINATION' },
              { name: 'notify', valueBoolean: false },
            ],
          },
        ],
      },
    });
    return made;
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'carnet-upkeep-'));
    s = await startStage();
    kept = await s.person();
    gone = await s.person();
    ({ document: keptDocument } = await filled(kept));
    ({ document: goneDocument, binary: goneBinary } = await filled(gone));
    again = await s.person();
    await s.done(s.insurer(), s.end(`Consent/${again.space}`));
    await s.made(s.insurer(), post(s.stateConsent(again.ref, 'closed')));
  }, 180_000);
  afterAll(async () => {
    await s?.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  it('is told what is not understood, and what is not there', async () => {
    expect(await carnet(['destroy'])).toMatchObject({ code: 2, text: expect.stringContaining('no command `destroy`') });
    expect(await carnet(['backup'])).toMatchObject({ code: 2 });
    expect(await carnet(['check', '--fast'])).toMatchObject({ code: 2 });
    expect(await carnet(['check'], at('nowhere.db'))).toMatchObject({
      code: 1,
      text: expect.stringContaining('no store at'),
    });
    expect(existsSync(at('nowhere.db'))).toBe(false);
  });

  it('checks a store in use: all of it is sound', async () => {
    expect(await carnet(['check'])).toEqual({
      code: 0,
      text: expect.stringMatching(/^sound: \d+ versions of \d+ resources$/),
    });
  });

  it('copies the data and the keys of a store in use, once', async () => {
    const line = ['backup', at('old.db'), '--keys', at('old.keys')];
    expect((await carnet(line)).code).toBe(0);
    expect(await carnet(line)).toMatchObject({ code: 1, text: expect.stringContaining('is not written over') });
    expect(await carnet(['backup', at('half.db'), '--keys', at('old.keys')])).toMatchObject({ code: 1 });
    expect(existsSync(at('half.db'))).toBe(false);
  });

  it('moves nothing to itself, and nothing to nowhere', async () => {
    const store = join(s.server.folder, 'carnet.db');
    expect(
      await carnet(['migrate', '--from', `sqlite:${store}`, '--to', `sqlite:${s.server.folder}/./carnet.db`]),
    ).toMatchObject({
      code: 2,
      text: expect.stringContaining('the same store'),
    });
    expect(await carnet(['migrate', '--from', `sqlite:${store}`, '--to', 'sqlite:'])).toMatchObject({
      code: 1,
      text: expect.stringContaining('--to names no'),
    });
  });

  it('puts a copy back, with its keys, and not over another', async () => {
    mkdirSync(at('restored'));
    const store = at('restored/carnet.db');
    copyFileSync(join(s.server.folder, 'carnet.db.key'), `${store}.key`);
    expect(await carnet(['restore', at('old.db')], store)).toMatchObject({
      code: 1,
      text: expect.stringContaining('is missing'),
    });
    const line = ['restore', at('old.db'), '--keys', at('old.keys')];
    writeFileSync(`${store}.keys-wal`, 'of keys that are gone');
    expect(await carnet(line, store)).toMatchObject({ code: 1, text: expect.stringContaining('keys-wal') });
    rmSync(`${store}.keys-wal`);
    expect(await carnet(['restore', at('old.db'), '--keys', at('never.keys')], store)).toMatchObject({
      code: 1,
      text: expect.stringContaining('is not there'),
    });
    expect(existsSync(store)).toBe(false);
    expect(await carnet(line, store)).toMatchObject({ code: 0, text: expect.stringContaining('sound') });
    expect(await carnet(line, store)).toMatchObject({ code: 1, text: expect.stringContaining('is not written over') });
  });

  it('gives the server a new master key while it answers; the old one opens nothing of it any more', async () => {
    const file = join(s.server.folder, 'carnet.db.key');
    const before = readFileSync(file, 'utf8');
    copyFileSync(file, at('old.key'));
    let asking = true;
    const statuses: number[] = [];
    const asks = (async () => {
      while (asking) statuses.push((await s.ask(s.holder(kept), get(keptDocument))).status);
    })();
    expect(await carnet(['rotate-key'])).toMatchObject({ code: 0 });
    asking = false;
    await asks;
    expect(statuses.length).toBeGreaterThan(0);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(readFileSync(file, 'utf8')).not.toBe(before);
    expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(1);
    // A person who comes later gets a key under the new one, from the server that was there before.
    const later = await s.person();
    expect((await s.ask(s.holder(later), get(later.ref))).status).toBe(200);
    expect(await carnet(['check'])).toMatchObject({ code: 0 });
    copyFileSync(join(s.server.folder, 'carnet.db.keys'), at('new.keys'));
    mkdirSync(at('stolen'));
    copyFileSync(at('old.db'), at('stolen/carnet.db'));
    copyFileSync(at('old.key'), at('stolen/carnet.db.key'));
    expect((await carnet(['backup', at('new.db'), '--keys', at('stolen/carnet.db.keys')])).code).toBe(0);
    expect(await carnet(['check'], at('stolen/carnet.db'))).toMatchObject({
      code: 1,
      text: expect.stringContaining('does not hold the key'),
    });
  });

  it('ends a rotation that was interrupted', async () => {
    const file = join(s.server.folder, 'carnet.db.key');
    const { addMasterKey } = await import('../../server/adapters/master-key.ts');
    addMasterKey(file);
    const [next] = readFileSync(file, 'utf8').split('\n');
    expect((await s.ask(s.holder(kept), get(keptDocument))).status).toBe(200);
    expect(await carnet(['rotate-key'])).toMatchObject({ code: 0 });
    expect(readFileSync(file, 'utf8').trim()).toBe(next);
    expect((await s.ask(s.holder(kept), get(keptDocument))).status).toBe(200);
  });

  it('moves everything to another store, and the rest after an interruption', async () => {
    const to = at('moved.db');
    const line = ['migrate', '--from', `sqlite:${join(s.server.folder, 'carnet.db')}`, '--to', `sqlite:${to}`];
    const first = await carnet(line);
    expect(first).toMatchObject({ code: 0, text: expect.stringMatching(/moved: [1-9]\d* versions; there already: 0/) });
    expect(await carnet(['check'], to)).toMatchObject({ code: 0, text: expect.stringContaining('sound') });
    await s.done(s.holder(kept), get(keptDocument));
    const second = await carnet(line);
    expect(second.code).toBe(0);
    expect(second.text).toMatch(/moved: [1-9] versions; there already: [1-9]\d+/);
  });

  it('destroys no key before the space has been closed for ten years', async () => {
    expect(await carnet(['shred', gone.ref])).toMatchObject({ code: 2, text: expect.stringContaining('--yes') });
    const line = ['shred', gone.ref, '--yes'];
    expect(await carnet(line)).toMatchObject({ code: 1, text: expect.stringContaining('is not closed') });
    await s.toState(gone, 'closed');
    expect(await carnet(line)).toMatchObject({ code: 1, text: expect.stringContaining('is sealed until 2036-06-03') });
    // Closed, opened again, closed: the ten years begin anew.
    await s.setClock(START + 9 * YEAR);
    await s.toState(gone, 'active');
    await s.toState(gone, 'closed');
    await s.setClock(START + 12 * YEAR);
    expect(await carnet(line)).toMatchObject({ code: 1, text: expect.stringContaining('is sealed until 2045') });
    expect(await carnet(['shred', kept.ref, '--yes'])).toMatchObject({ code: 1 });
    expect((await s.ask(s.holder(kept), get(keptDocument))).status).toBe(200);
  });

  it('then destroys it: the server knows the person no more, and leaves a record', async () => {
    await s.setClock(START + 20 * YEAR);
    expect((await carnet(['backup', at('before-shred.db'), '--keys', at('before-shred.keys')])).code).toBe(0);
    expect(await carnet(['shred', gone.ref, '--yes'])).toMatchObject({
      code: 0,
      text: expect.stringMatching(/^destroyed: 1 keys and \d{2,} resources/),
    });
    expect((await s.ask(s.holder(gone), get(goneDocument))).status).toBe(401);
    const absent = await s.ask(s.operator('a look'), get('Patient/never-existed'));
    expect((await s.ask(s.operator('a look'), get(gone.ref))).text).toBe(absent.text);
    expect((await s.ask(s.holder(kept), get(keptDocument))).status).toBe(200);
    expect(await carnet(['check'])).toMatchObject({ code: 0 });
    const records = await s.done(s.operator('a look'), get('AuditEvent?action=D&_count=50'));
    expect(records.text).toContain(gone.ref);
    expect(records.text).toContain('"S3"');
    // Doing it again finishes what might have been interrupted, and finds nothing.
    expect(await carnet(['shred', gone.ref, '--yes'])).toMatchObject({
      code: 0,
      text: expect.stringContaining('0 keys and 0 resources'),
    });
  });

  it('whatever was said of the space and ended', async () => {
    expect(await carnet(['shred', again.ref, '--yes'])).toMatchObject({ code: 0 });
  });

  it('a copy of the data from before stays unreadable, and is cleaned when it is put back', async () => {
    for (const name of ['unread', 'again']) mkdirSync(at(name));
    copyFileSync(at('before-shred.db'), at('unread/carnet.db'));
    copyFileSync(join(s.server.folder, 'carnet.db.key'), at('unread/carnet.db.key'));
    expect((await carnet(['backup', at('after.db'), '--keys', at('unread/carnet.db.keys')])).code).toBe(0);
    const old = openSqliteStore({ ...SQLITE_STORE_DEFAULTS, path: at('unread/carnet.db'), clock: { now: () => 0 } });
    try {
      for (const ref of [gone.ref, goneDocument]) {
        const [type = '', id = ''] = ref.split('/');
        const read = old.unit(async (unit) => (await unit.read({ type, id }, systemGuard(type)))?.body);
        await expect(read, ref).rejects.toThrow('does not exist any more');
      }
      const [, id = ''] = goneBinary.split('/');
      await expect(old.unit((u) => u.chunk({ type: 'Binary', id }, systemGuard('Binary'), 0))).rejects.toThrow();
      const [, keptId = ''] = keptDocument.split('/');
      const sound = await old.unit(
        async (u) => (await u.read({ type: 'DocumentReference', id: keptId }, systemGuard('DocumentReference')))?.body,
      );
      expect(sound).toContain('lettre de sortie');
    } finally {
      await old.close();
    }
    copyFileSync(join(s.server.folder, 'carnet.db.key'), at('again/carnet.db.key'));
    const restored = await carnet(
      ['restore', at('before-shred.db'), '--keys', at('unread/carnet.db.keys')],
      at('again/carnet.db'),
    );
    expect(restored.text).toMatch(/removed again: \d{2,} resources/);
    expect(restored.code).toBe(0);
    const copy = new DatabaseSync(at('again/carnet.db'));
    expect(copy.prepare('SELECT count(*) AS n FROM resource WHERE id = ?').get(gone.id)).toEqual({ n: 0 });
    copy.close();
  });

  it('is told of an index that is not that of the resources, and of a mark that was taken off', async () => {
    const store = at('again/carnet.db');
    const db = new DatabaseSync(store);
    const [, id = ''] = keptDocument.split('/');
    db.prepare("UPDATE resource SET marks = x'' WHERE id = ?").run(id);
    db.close();
    expect(await carnet(['check'], store)).toMatchObject({
      code: 1,
      text: expect.stringContaining(`${keptDocument}: the marks that guards ask about are not those of the resource`),
    });
  });
});

/**
 * The operator's commands on a MongoDB, beside a server that goes on answering: inspection, moves to and from the embedded store, copies, a new
 * master key, the destruction of a person's key. rules.md S3; docs/encryption.md, docs/mongodb.md.
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Binary, MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../server/cli.ts';
import { readConfig } from '../../server/config.ts';
import { DAY, get, type Person, post, START, type Stage, startStage } from '../blackbox/stage.ts';
import { communicationBody, listBody } from '../support/fhir-bodies.ts';
import { mongodIsThere, type ReplicaSet, testReplicaSet } from '../support/mongod.ts';

const YEAR = 365.25 * DAY;

describe.runIf(mongodIsThere())('the operator of a MongoDB', () => {
  let set: ReplicaSet;
  let client: MongoClient;
  let s: Stage;
  let folder: string;
  let keyFile: string;
  let kept: Person;
  let gone: Person;
  let keptDocument: string;
  let goneDocument: string;
  const prefix = `carnet_${randomBytes(6).toString('hex')}`;
  const made = new Set<string>();

  const at = (name: string): string => join(folder, name);
  /** The URL of a database of this test. */
  const url = (name: string): string => {
    made.add(name);
    return set.url(`${prefix}_${name}`);
  };
  const database = (name: string) => client.db(`${prefix}_${name}`);
  /** A command on a store, with the clock of the server; what it printed and its exit code. */
  const carnet = async (
    line: readonly string[],
    store = url('served'),
  ): Promise<{ readonly code: number; readonly text: string }> => {
    const lines: string[] = [];
    const env = {
      CARNET_STORE: store,
      CARNET_MASTER_KEY_FILE: keyFile,
      CARNET_BASE_URL: s.base,
      CARNET_TEST: '1',
      CARNET_CLOCK_FILE: join(s.server.folder, 'clock'),
    };
    const io = { out: (text: string) => void lines.push(text), progress: () => undefined };
    const code = await run(line, io, () => readConfig(env));
    return { code, text: lines.join('\n') };
  };
  const filled = async (person: Person): Promise<string> => {
    await s.grant(person, 'dr1', 'attending-physician');
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
    const part = [
      { name: 'code', valueCode: 'AJOUT_VACCINATION' },
      { name: 'notify', valueBoolean: false },
    ];
    await s.done(s.holder(person), {
      method: 'POST',
      path: `${person.ref}/$notification-preferences`,
      body: { resourceType: 'Parameters', parameter: [{ name: 'preference', part }] },
    });
    return made.document;
  };
  const statusOf = async (person: Person, ref: string): Promise<number> =>
    (await s.ask(s.holder(person), get(ref))).status;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'carnet-upkeep-'));
    keyFile = at('master.key');
    writeFileSync(keyFile, randomBytes(48).toString('base64'), { mode: 0o600 });
    set = await testReplicaSet();
    client = new MongoClient(set.url('admin'));
    s = await startStage({ CARNET_STORE: url('served'), CARNET_MASTER_KEY_FILE: keyFile });
    kept = await s.person();
    gone = await s.person();
    keptDocument = await filled(kept);
    goneDocument = await filled(gone);
  }, 180_000);
  afterAll(async () => {
    await s?.dispose();
    for (const name of made) for (const db of [database(name), database(`${name}_keys`)]) await db.dropDatabase();
    await client?.close();
    await set?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('checks a store in use: all of it is sound; and makes none where there is none', async () => {
    expect(await carnet(['check'])).toEqual({
      code: 0,
      text: expect.stringMatching(/^sound: \d+ versions of \d+ resources$/),
    });
    expect(await carnet(['check'], url('nowhere'))).toMatchObject({
      code: 1,
      text: expect.stringContaining('there is no store'),
    });
    expect(await database('nowhere').listCollections().toArray()).toEqual([]);
  });

  it('copies it as it stands, with keys of its own, and puts the copy into an empty database', async () => {
    expect(await carnet(['backup', at('copy.db')])).toMatchObject({ code: 2 });
    const line = ['backup', at('copy.db'), '--keys', at('copy.keys')];
    expect(await carnet(line)).toMatchObject({ code: 0, text: expect.stringContaining('sound') });
    expect(await carnet(line)).toMatchObject({ code: 1, text: expect.stringContaining('is not written over') });
    expect(existsSync(at('copy.db.keys'))).toBe(false);
    const back = ['restore', at('copy.db'), '--keys', at('copy.keys')];
    expect(await carnet(back, url('restored'))).toMatchObject({ code: 0, text: expect.stringContaining('sound') });
    expect(await carnet(back, url('restored'))).toMatchObject({
      code: 1,
      text: expect.stringContaining('is not written over'),
    });
  });

  it('moves everything to the embedded store and on to another database, and the rest after an interruption', async () => {
    const [served, file, other] = [url('served'), `sqlite:${at('moved.db')}`, url('moved')];
    const there = ['migrate', '--from', served, '--to', file];
    expect(await carnet(there)).toMatchObject({
      code: 0,
      text: expect.stringMatching(/moved: [1-9]\d* versions; there already: 0[\s\S]*the two are the same/),
    });
    expect((await carnet(['check'], file)).code).toBe(0);
    expect((await carnet(['migrate', '--from', file, '--to', other])).code).toBe(0);
    expect(await carnet(['check'], other)).toMatchObject({ code: 0, text: expect.stringContaining('sound') });
    // What was interrupted: some resources are missing, and the last versions of others.
    const current = database('moved').collection<{ _id: string }>('current');
    const some = await current.find({ type: 'AuditEvent' }, { limit: 3 }).toArray();
    await current.deleteMany({ _id: { $in: some.map(({ _id }) => _id) } });
    await s.grant(kept, 'dr2');
    expect((await carnet(there)).code).toBe(0);
    const rest = await carnet(['migrate', '--from', file, '--to', other]);
    expect(rest.code, rest.text).toBe(0);
    expect(rest.text).toMatch(/moved: [1-9]\d? versions; there already: [1-9]\d+/);
  });

  it('gives servers a new master key while they answer, prepared for all of them first', async () => {
    const before = readFileSync(keyFile, 'utf8');
    copyFileSync(keyFile, at('old.key'));
    expect(await carnet(['rotate-key', '--prepare'])).toMatchObject({ code: 0 });
    expect(readFileSync(keyFile, 'utf8').trim().split('\n')).toHaveLength(2);
    let asking = true;
    const statuses: number[] = [];
    const asks = (async () => {
      while (asking) statuses.push(await statusOf(kept, keptDocument));
    })();
    expect(await carnet(['rotate-key'])).toMatchObject({ code: 0 });
    const later = await s.person();
    asking = false;
    await asks;
    expect(statuses.length).toBeGreaterThan(0);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(readFileSync(keyFile, 'utf8').trim().split('\n')).toHaveLength(1);
    expect(readFileSync(keyFile, 'utf8')).not.toBe(before);
    expect(await statusOf(later, later.ref)).toBe(200);
    const wrappers = await database('served_keys').collection('key').distinct('by');
    expect(wrappers.filter((by) => by !== null)).toHaveLength(1);
    expect((await carnet(['check'])).code).toBe(0);
    await s.server.stop();
    await s.server.restart();
    expect(await statusOf(kept, keptDocument)).toBe(200);
    copyFileSync(keyFile, at('new.key'));
    copyFileSync(at('old.key'), keyFile);
    expect(await carnet(['check'])).toMatchObject({ code: 1, text: expect.stringContaining('does not hold the key') });
    copyFileSync(at('new.key'), keyFile);
  });

  it('destroys the key of a person ten years after the space was closed, and with it every older copy', async () => {
    const line = ['shred', gone.ref, '--yes'];
    expect(await carnet(line)).toMatchObject({ code: 1, text: expect.stringContaining('is not closed') });
    await s.toState(gone, 'closed');
    expect(await carnet(line)).toMatchObject({ code: 1, text: expect.stringContaining('is sealed until') });
    await s.setClock(START + 11 * YEAR);
    // What a tool of the database copied of the data.
    const dumped = await database('served').collection<{ _id: string }>('current').find({ owner: gone.ref }).toArray();
    const person = await database('served').collection<{ _id: string }>('space').findOne({ _id: gone.ref });
    const keys = database('served_keys').collection<{ _id: string; wrapped: unknown }>('key');
    expect((await keys.findOne({ _id: gone.ref }))?.wrapped).toBeInstanceOf(Binary);
    expect(await carnet(line)).toMatchObject({
      code: 0,
      text: expect.stringMatching(/^destroyed: 1 keys and \d{2,} resources/),
    });
    expect(await statusOf(gone, goneDocument)).toBe(401);
    expect(await statusOf(kept, keptDocument)).toBe(200);
    const absent = await s.ask(s.operator('a look'), get('Patient/never-existed'));
    expect((await s.ask(s.operator('a look'), get(gone.ref))).text).toBe(absent.text);
    expect((await carnet(['check'])).code).toBe(0);
    const records = await s.done(s.operator('a look'), get('AuditEvent?action=D&_count=50'));
    expect(records.text).toContain(gone.ref);
    expect(await carnet(line)).toMatchObject({ code: 0, text: expect.stringContaining('0 keys and 0 resources') });
    // The dump put back as it was: nobody opens it any more.
    await s.server.stop();
    await database('served').collection<{ _id: string }>('current').insertMany(dumped);
    await database('served')
      .collection<{ _id: string }>('space')
      .replaceOne({ _id: gone.ref }, person ?? {});
    await s.server.restart();
    expect(await statusOf(gone, goneDocument)).toBe(500);
    expect(await carnet(['check'])).toMatchObject({
      code: 1,
      text: expect.stringContaining('does not exist any more'),
    });
    expect(await carnet(line)).toMatchObject({ code: 0, text: expect.stringMatching(/0 keys and \d{2,} resources/) });
    expect((await carnet(['check'])).code).toBe(0);
  });

  it('a copy from before is cleaned when it is put back beside the keys of now', async () => {
    await s.server.stop();
    await database('served').dropDatabase();
    // Its own keys were wrapped by the master key of then, which is kept as long as the copy.
    writeFileSync(keyFile, `${readFileSync(at('new.key'), 'utf8').trim()}\n${readFileSync(at('old.key'), 'utf8')}`);
    const back = await carnet(['restore', at('copy.db'), '--keys', at('copy.keys')]);
    expect(back).toMatchObject({ code: 0, text: expect.stringMatching(/removed again: \d{2,} resources[\s\S]*sound/) });
    await s.server.restart();
    expect(await statusOf(kept, keptDocument)).toBe(200);
    expect(await statusOf(gone, goneDocument)).toBe(401);
  });

  it('is told of an index that is not that of the resources, of what was altered and of what is missing', async () => {
    const current = database('served').collection<{ _id: string }>('current');
    await current.updateOne({ _id: keptDocument }, { $set: { terms: [] } });
    expect(await carnet(['check'])).toMatchObject({
      code: 1,
      text: expect.stringContaining(`${keptDocument}: the terms of its index are not those of the resource`),
    });
    await current.updateOne({ _id: keptDocument }, { $set: { sealed: new Binary(randomBytes(100)) } });
    expect((await carnet(['check'])).text).toContain(`${keptDocument}/_history`);
    await current.deleteOne({ _id: keptDocument });
    await database('served').collection('chunk').deleteMany({});
    const { code, text } = await carnet(['check']);
    expect(code).toBe(1);
    expect(text).toContain('a part of the content is missing');
    expect(text).toMatch(/\d versions belong to no resource/);
  });
});

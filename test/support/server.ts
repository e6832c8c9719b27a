/** The real server as a child process on a free port, with a store, issuers, policy and clock of its own in a temp folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';
import { storeFor } from './store-setting.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Whether there is a server to start. */
export const serverExists = (): boolean => existsSync(join(root, 'server/main.ts'));

/** What a server is started with. */
export type ServerOptions = {
  /** The content of CARNET_ISSUERS, made for the base URL of this server. */
  readonly issuers: (base: string) => unknown;
  /** The content of CARNET_POLICY; absent: the shipped one. */
  readonly policy?: unknown;
  /** The first instant of the clock file, in milliseconds; absent: the machine's clock. */
  readonly clock?: number;
  /** More environment. */
  readonly env?: Readonly<Record<string, string>>;
};

/** A running server. */
export type TestServer = {
  /** The FHIR base URL, without a slash at the end. */
  readonly base: string;
  readonly folder: string;
  /** The settings by which another server shares its store. */
  readonly store: Readonly<Record<string, string>>;
  /** Everything written to stderr since the first start. */
  readonly stderr: () => string;
  readonly stdout: () => string;
  /** The process's id while it runs. */
  readonly pid: () => number | undefined;
  /** Sets the server's clock; only when started with one. */
  readonly setClock: (instant: number) => Promise<void>;
  /** SIGTERM, then the exit code (null when a signal ended it). */
  readonly stop: () => Promise<number | null>;
  /** SIGKILL. */
  readonly kill: () => Promise<void>;
  /** Resolves when the running process has ended, whoever ended it. */
  readonly ended: () => Promise<void>;
  /** Starts again on the same port and store, and waits until it answers. */
  readonly restart: () => Promise<void>;
  /** Ends it and removes the folder. */
  readonly dispose: () => Promise<void>;
};

/** Starts `server/main.ts` and waits until `/metadata` answers; fails with what it wrote when it does not. */
export async function startServer(options: ServerOptions): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), 'carnet-'));
  const port = await freePort();
  const base = `http://127.0.0.1:${port}/fhir`;
  const file = (name: string): string => join(folder, name);
  const store = await storeFor(folder);
  await writeFile(file('issuers.json'), JSON.stringify(options.issuers(base)));
  const setClock = async (instant: number): Promise<void> => {
    // renamed into place, so that no request reads half an instant
    await writeFile(file('clock.new'), new Date(instant).toISOString());
    await rename(file('clock.new'), file('clock'));
  };
  const env: Record<string, string> = {
    ...inherited(),
    CARNET_PORT: String(port),
    CARNET_HOST: '127.0.0.1',
    CARNET_BASE_URL: base,
    ...store.env,
    CARNET_ISSUERS: file('issuers.json'),
    CARNET_TEST: '1',
    ...options.env,
  };
  if (options.policy !== undefined) {
    await writeFile(file('policy.json'), JSON.stringify(options.policy));
    env.CARNET_POLICY = file('policy.json');
  }
  if (options.clock !== undefined) {
    await setClock(options.clock);
    env.CARNET_CLOCK_FILE = file('clock');
  }

  let child: ChildProcess | undefined;
  let errors = '';
  let output = '';
  const start = async (): Promise<void> => {
    const started = spawn(join(root, 'node_modules/.bin/node'), [join(root, 'server/main.ts')], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    started.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const failed = new Promise<never>((_, reject) => {
      started.once('error', reject);
      started.once('exit', (code, signal) => {
        reject(new Error(`the server ended at start (${code ?? signal}): ${errors}`));
      });
    });
    failed.catch(() => undefined);
    await Promise.race([ready(`${base}/metadata`, () => errors), failed]);
  };
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return ending?.exitCode ?? null;
    return new Promise((resolve) => {
      ending.once('exit', (code) => resolve(code));
      ending.kill(signal);
    });
  };
  const dispose = async (): Promise<void> => {
    await end('SIGKILL');
    await store.dispose();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    base,
    folder,
    store: store.env,
    stderr: () => errors,
    stdout: () => output,
    pid: () => child?.pid,
    setClock,
    stop: () => end('SIGTERM'),
    kill: async () => {
      await end('SIGKILL');
    },
    ended: async () => {
      const running = child;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      await new Promise((resolve) => running.once('exit', resolve));
    },
    restart: start,
    dispose,
  };
}

/** This process's environment without any setting of ours: the server is started with the test's own, and refuses unknown ones. */
const inherited = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('CARNET_'),
    ),
  );

async function ready(url: string, errors: () => string): Promise<void> {
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      const answer = await fetch(url);
      await answer.arrayBuffer();
      if (answer.ok) return;
    } catch {
      // not listening yet
    }
    if (Date.now() > until) throw new Error(`the server did not answer in a minute: ${errors()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

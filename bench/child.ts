/** Starts and orders measured processes. */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../test/support/free-port.ts';
import type { IssuerEntry } from '../test/support/tokens.ts';
import type { Order, Usage, Variant } from './serve.ts';

export type Child = {
  readonly port: number;
  readonly usage: () => Promise<Usage>;
  readonly order: (order: Order) => Promise<unknown>;
  readonly stop: () => Promise<void>;
};

/** Where a server of ours keeps what: the same folder, port and issuers serve every variant of one run. */
export type Site = {
  readonly folder: string;
  readonly port: number;
  readonly issuers: readonly IssuerEntry[];
  /** URL of the store; a SQLite file in the folder when it is not named. */
  readonly store?: string;
};

/** The settings of a server of ours, and nothing else of this process's own. */
export async function environment(site: Site): Promise<Readonly<Record<string, string>>> {
  const issuers = join(site.folder, 'issuers.json');
  await writeFile(issuers, JSON.stringify(site.issuers));
  return {
    PATH: process.env['PATH'] ?? '',
    CARNET_PORT: String(site.port),
    CARNET_BASE_URL: `http://127.0.0.1:${site.port}/fhir`,
    ...(site.store === undefined
      ? { CARNET_STORE: `sqlite:${join(site.folder, 'carnet.db')}` }
      : { CARNET_STORE: site.store, CARNET_MASTER_KEY_FILE: await masterKey(site.folder) }),
    CARNET_ISSUERS: issuers,
    CARNET_LOG: process.env['CARNET_LOG'] ?? 'off',
    CARNET_TEST: '1',
  };
}

/** A master key file in the folder. */
async function masterKey(folder: string): Promise<string> {
  const path = join(folder, 'master.key');
  await writeFile(path, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    },
  );
  return path;
}

/** Starts one process and waits until it listens. */
export async function startChild(variant: Variant, site: Site | undefined): Promise<Child> {
  const port = site?.port ?? (await freePort());
  const child = fork(fileURLToPath(new URL('serve.ts', import.meta.url)), [], {
    env: {
      ...(site === undefined ? { PATH: process.env['PATH'] ?? '' } : await environment(site)),
      BENCH_VARIANT: variant,
      BENCH_PORT: String(port),
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await ready(child);
  let next = 0;
  const waiting = new Map<number, { readonly resolve: (v: unknown) => void; readonly reject: (e: Error) => void }>();
  child.on('message', (message: { readonly id: number; readonly value?: unknown; readonly error?: string }) => {
    const one = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) one?.resolve(message.value);
    else one?.reject(new Error(message.error));
  });
  child.on('exit', () => {
    for (const one of waiting.values()) one.reject(new Error(`the ${variant} process ended`));
  });
  const order = (wanted: Order): Promise<unknown> =>
    new Promise((resolve, reject) => {
      next += 1;
      waiting.set(next, { resolve, reject });
      const { pid = 0 } = child;
      child.send({ id: next, order: wanted }, (error) => {
        if (error !== null) reject(new Error(`the ${variant} process ${pid} is not there: ${error.message}`));
      });
    });
  return {
    port,
    order,
    // INVARIANT: `serve.ts` answers `usage` with a Usage.
    usage: async () => (await order({ op: 'usage' })) as Usage,
    stop: async () => {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      await order({ op: 'stop' });
      const hurry = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(hurry);
    },
  };
}

const ready = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('exit', (code) => reject(new Error(`the process ended at start (${code})`)));
  });

/**
 * Network namespaces for the members of a replica set, each with nothing but a loopback of its own; what passes between them passes over links
 * that can be cut. A link listens on the loopback of one namespace and leads through a socket file to the loopback of another. Cutting is silent, as
 * a pulled cable is: nothing is closed, nothing arrives, and what was under way arrives when the link is whole again.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

/** Where a link leads: the port it stands for on this side, the socket file that leads to the other. */
export type Way = { readonly port: number; readonly path: string };

/** What a process in a namespace is told to do. */
export type Order =
  | { readonly order: 'serve'; readonly own: Way | undefined; readonly ways: readonly Way[] }
  | { readonly order: 'cut'; readonly ports: readonly number[] }
  | { readonly order: 'start'; readonly binary: string; readonly folder: string; readonly args: readonly string[] };

/** A namespace, and the process that lives in it. */
export type Namespace = {
  /** Carries out one order; answers the id of the process that it started, if it did. */
  readonly tell: (order: Order) => Promise<number | undefined>;
  readonly end: () => void;
};

const ENTRY = fileURLToPath(new URL('./namespace.ts', import.meta.url));

/** The process at the end of the links; `own`: whether in a namespace of its own. */
export function openNamespace(own: boolean): Namespace {
  const command = [process.execPath, ENTRY];
  const [file = '', ...args] = own
    ? ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', ...command]
    : command;
  const child: ChildProcess = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit').then(() => {
    throw new Error('the process of a namespace has ended');
  });
  ended.catch(() => undefined);
  return {
    tell: async (order) => {
      const answer = once(child, 'message');
      child.send(order);
      const [pid] = (await Promise.race([answer, ended])) as [number];
      return pid === 0 ? undefined : pid;
    },
    end: () => {
      child.kill('SIGKILL');
    },
  };
}

/** Whether network namespaces can be made here. */
export async function namespacesWork(): Promise<boolean> {
  const probe = spawn('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' });
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.once('exit', (code) => resolve(code === 0));
  });
}

const listening = (server: Server, at: { readonly path: string } | { readonly port: number; readonly host: string }) =>
  new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at, resolve);
  });

/** The far end of links: whoever comes by the socket file is led to the port. Nothing is cut here. */
export async function serveWay({ port, path }: Way): Promise<void> {
  await listening(
    createServer({ allowHalfOpen: true }, (near) => {
      join(near, connect({ port, host: '127.0.0.1', allowHalfOpen: true }), () => true);
    }),
    { path },
  );
}

/** The near end of a link: answers how to cut it, and how to make it whole. */
export async function openWay({ port, path }: Way): Promise<{ readonly cut: (isCut: boolean) => void }> {
  let isWhole = true;
  const joints = new Set<Joint>();
  await listening(
    createServer({ allowHalfOpen: true }, (near) => {
      const joint = join(near, connect({ path, allowHalfOpen: true }), () => isWhole);
      joints.add(joint);
      near.once('close', () => joints.delete(joint));
    }),
    { port, host: '127.0.0.1' },
  );
  return {
    cut: (isCut) => {
      isWhole = !isCut;
      for (const joint of joints) joint.changed();
    },
  };
}

type Joint = { readonly changed: () => void };

/** Two sockets as one: what one reads the other writes, as long as the link is whole. */
function join(near: Socket, far: Socket, isWhole: () => boolean): Joint {
  const gone = new Set<Socket>();
  const other = (socket: Socket): Socket => (socket === near ? far : near);
  const settle = (): void => {
    for (const socket of [near, far]) {
      if (!isWhole()) socket.pause();
      else if (gone.has(socket)) other(socket).destroy();
      else if (!other(socket).writableNeedDrain) socket.resume();
    }
  };
  for (const socket of [near, far]) {
    socket.on('data', (piece: Buffer) => {
      if (!other(socket).write(piece)) socket.pause();
    });
    socket.on('drain', settle);
    socket.on('end', () => other(socket).end());
    socket.on('error', () => undefined);
    socket.on('close', () => {
      gone.add(socket);
      settle();
    });
    socket.setNoDelay(true);
  }
  settle();
  return { changed: settle };
}

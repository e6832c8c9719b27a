/** The process that lives in a network namespace: holds its ends of the links, and starts a mongod there (`links.ts`). Ends when whoever started it does. */
import type { ChildProcess } from 'node:child_process';
import { type Order, openWay, serveWay } from './links.ts';
import { startMember } from './mongod.ts';

const links = new Map<number, { readonly cut: (isCut: boolean) => void }>();
let running: ChildProcess | undefined;

/** Carries out an order; answers the id of the process that it started, or 0. */
async function obey(order: Order): Promise<number> {
  switch (order.order) {
    case 'serve':
      if (order.own !== undefined) await serveWay(order.own);
      for (const way of order.ways) links.set(way.port, await openWay(way));
      return 0;
    case 'cut':
      for (const [port, link] of links) link.cut(order.ports.includes(port));
      return 0;
    case 'start':
      running = startMember(order.binary, order.folder, order.args).child;
      return running.pid ?? 0;
  }
}

process.on('message', (order: Order) => {
  void obey(order).then((answer) => process.send?.(answer));
});
process.on('disconnect', () => {
  running?.kill('SIGKILL');
  process.exit();
});

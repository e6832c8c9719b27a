/**
 * Loaded into a server's process before it starts (`node --import`): ends the process with SIGKILL at the n-th sync of its embedded store from
 * the moment that the file `kill-at` appears in its folder. The server itself knows nothing of it. The file says `n before`, and the n-th
 * transaction is never committed, or `n after`, and it is on disk and nobody was answered.
 */
import { readFileSync, rmSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';

const FILE = 'kill-at';
let left: number | undefined;
let side = '';

/** Whether this sync is the one; the file is read when it is first there. */
function isLast(): boolean {
  if (left === undefined) {
    try {
      const [count, when = 'before'] = readFileSync(FILE, 'utf8').split(' ');
      left = Number(count);
      side = when;
    } catch {
      return false; // there is no such file
    }
  }
  left -= 1;
  return left === 0;
}

const end = (): void => {
  rmSync(FILE, { force: true });
  process.kill(process.pid, 'SIGKILL');
};

const prepare = DatabaseSync.prototype.prepare;
DatabaseSync.prototype.prepare = function prepared(this: DatabaseSync, sql: string, ...rest): StatementSync {
  const statement = prepare.call(this, sql, ...rest);
  if (!/^\s*COMMIT\b/i.test(sql)) return statement;
  const run = statement.run.bind(statement);
  statement.run = () => {
    const last = isLast();
    if (last && side === 'before') end();
    const done = run();
    if (last) end();
    return done;
  };
  return statement;
};

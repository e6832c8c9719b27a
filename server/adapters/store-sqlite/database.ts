import { chmodSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { SearchTooBroad } from '../../ports/store.ts';
import type { Vault } from '../vault/vault.ts';
import { type Recent, recent } from './recent.ts';
import { APPLICATION_ID, SCHEMA, SCHEMA_VERSION } from './schema.ts';
import type { Sql, SqlValue } from './sql.ts';

export type Row = readonly SqlValue[];

/** One open database. Rows are arrays: they are read by position, in the order their statement names them. */
export type Database = {
  readonly raw: DatabaseSync;
  /** What seals and opens everything in it. */
  readonly vault: Vault;
  get(query: Sql): Row | undefined;
  all(query: Sql): readonly Row[];
  /** A statement of ours that is used again and again. */
  readonly statement: (text: string) => Statement;
};

export type Statement = {
  get(...args: readonly SqlValue[]): Row | undefined;
  all(...args: readonly SqlValue[]): readonly Row[];
  /** Runs it; answers the row number of an insert. */
  run(...args: readonly SqlValue[]): number;
};

/** SQLite takes no more values in one statement (limits.html#max_variable_number). */
export const MOST_VALUES = 32_766;
/** Longer statements are hardly asked twice, and would fill the memory for those that are. */
const LONGEST_KEPT = 200_000;
/** Statements by text that are kept prepared, beyond those of the adapter itself. */
const PREPARED = 300;

/** SQLite before this has a race in WAL that can lose a commit (security.md 5.4; https://www.sqlite.org/wal.html#walresetbug). */
const OLDEST_SQLITE = [3, 51, 3] as const;

/** How long SQLite itself waits for another process, blocking this one; the rest of the wait is done without blocking. */
const BLOCKING_WAIT_MS = 10;

/** Memory for pages, in KiB: what a search walks over, within the server's 250 MB. */
const PAGE_CACHE_KIB = 65_536;

/** The vault of a store, and the id of the key file behind it. */
export type OpenVault = { readonly vault: Vault; readonly keys: string };

/**
 * Opens or creates the database file at `path`. Throws one sentence when it cannot be trusted with data. `openVault` is told whether the file is
 * new: the keys of one that is not must be there already.
 */
export function openDatabase(path: string, openVault: (fresh: boolean) => OpenVault): Database {
  if (path === '' || path.startsWith(':memory:') || path.startsWith('file:')) {
    throw new Error(`the store needs a plain file path, not \`${path}\`: it must survive the process`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const raw = new DatabaseSync(path, { timeout: BLOCKING_WAIT_MS * 100, enableForeignKeyConstraints: true });
  try {
    chmodSync(path, 0o600);
    const vault = prepare(raw, openVault);
    raw.exec(`PRAGMA busy_timeout = ${BLOCKING_WAIT_MS}`);
    return access(raw, vault);
  } catch (error) {
    raw.close();
    throw error;
  }
}

function pragma(db: DatabaseSync, name: string): string {
  const [value] = Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {});
  return String(value);
}

/** Sets the file up, checks every setting by reading it back, and answers what opens its content. */
function prepare(db: DatabaseSync, openVault: (fresh: boolean) => OpenVault): Vault {
  const version = String(Object.values(db.prepare('SELECT sqlite_version()').get() ?? {})[0]);
  if (older(version))
    throw new Error(`sqlite ${version} is older than ${OLDEST_SQLITE.join('.')}, which a store needs`);
  // Looked at before anything is set: what is not ours is left as it is.
  const blank = pragma(db, 'schema_version') === '0';
  if (!blank && pragma(db, 'application_id') !== String(APPLICATION_ID)) {
    throw new Error('the store file is a database of another program');
  }
  // 8 KiB: a version row of some 1.6 kB wastes half a 4 KiB page, and larger pages make each commit write more.
  db.exec('PRAGMA page_size = 8192');
  db.exec('PRAGMA journal_mode = WAL');
  db.exec('PRAGMA synchronous = FULL');
  db.exec('PRAGMA foreign_keys = ON');
  db.exec('PRAGMA trusted_schema = OFF');
  db.exec('PRAGMA temp_store = MEMORY');
  // What is deleted is overwritten: rows of the index are not under a person's key.
  db.exec('PRAGMA secure_delete = FAST');
  db.exec(`PRAGMA cache_size = -${PAGE_CACHE_KIB}`);
  db.exec('PRAGMA wal_autocheckpoint = 2000');
  db.exec('PRAGMA journal_size_limit = 67108864');
  const wanted: Readonly<Record<string, string>> = { journal_mode: 'wal', synchronous: '2', foreign_keys: '1' };
  for (const [name, value] of Object.entries(wanted)) {
    const found = pragma(db, name);
    if (found !== value) throw new Error(`the store's setting ${name} is \`${found}\` and must be \`${value}\``);
  }
  db.exec('BEGIN IMMEDIATE');
  try {
    // Asked again under the lock: another process may have created it meanwhile.
    const fresh = pragma(db, 'schema_version') === '0';
    const found = fresh ? String(SCHEMA_VERSION) : pragma(db, 'user_version');
    if (found !== String(SCHEMA_VERSION)) {
      throw new Error(
        `the store file has schema version ${found}, this server writes version ${SCHEMA_VERSION}${found === '1' ? ': it was written before stores were encrypted, and is not read any more' : ''}`,
      );
    }
    const { vault, keys } = openVault(fresh);
    if (fresh) create(db, keys);
    const [own] = Object.values(db.prepare("SELECT value FROM meta WHERE key = 'keys'").get() ?? {});
    if (own !== keys) throw new Error('the key file beside the store belongs to another store');
    db.exec('COMMIT');
    return vault;
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
}

function older(version: string): boolean {
  const found = version.split('.').map(Number);
  for (const [i, least] of OLDEST_SQLITE.entries()) {
    const part = found[i] ?? 0;
    if (part !== least) return part < least;
  }
  return false;
}

function create(db: DatabaseSync, keys: string): void {
  db.exec(SCHEMA);
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  db.prepare("INSERT INTO meta (key, value) VALUES ('keys', ?)").run(keys);
}

function access(raw: DatabaseSync, vault: Vault): Database {
  const own = new Map<string, Statement>();
  const dynamic: Recent<string, StatementSync> = recent(PREPARED);
  const prepared = (text: string): StatementSync => {
    const known = dynamic.get(text);
    if (known !== undefined) return known;
    const made = arrays(raw.prepare(text));
    if (text.length <= LONGEST_KEPT) dynamic.set(text, made);
    return made;
  };
  const asked = (query: Sql): StatementSync => {
    if (query.args.length > MOST_VALUES) throw new SearchTooBroad('a question has more values than SQLite takes');
    return prepared(query.text);
  };
  return {
    raw,
    vault,
    get: (query) => rowOf(asked(query).get(...query.args)),
    all: (query) => rowsOf(asked(query).all(...query.args)),
    statement(text) {
      const known = own.get(text);
      if (known !== undefined) return known;
      const made = arrays(raw.prepare(text));
      const statement: Statement = {
        get: (...args) => rowOf(made.get(...args)),
        all: (...args) => rowsOf(made.all(...args)),
        run: (...args) => Number(made.run(...args).lastInsertRowid),
      };
      own.set(text, statement);
      return statement;
    },
  };
}

function arrays(statement: StatementSync): StatementSync {
  statement.setReturnArrays(true);
  return statement;
}

// INVARIANT: `setReturnArrays(true)` makes every row an array of column values; the driver's types only know objects.
const rowOf = (row: unknown): Row | undefined => row as Row | undefined;
const rowsOf = (rows: unknown): readonly Row[] => rows as readonly Row[];

/** The operator's commands: `npm run carnet -- <command>`. Exit codes: 0 done, 1 faults found or refused, 2 not understood. docs/encryption.md. */
import { chmodSync, closeSync, copyFileSync, existsSync, fsyncSync, openSync, renameSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { addMasterKey, dropOlderMasterKeys, masterKeyPath, readMasterKeys } from './adapters/master-key.ts';
import { keyFilePath } from './adapters/vault/key-file.ts';
import { closedSince, sealedUntil } from './app/closure.ts';
import type { Deps } from './app/deps.ts';
import { recordDestruction } from './app/upkeep.ts';
import { check } from './cli/check.ts';
import { differences, migrate } from './cli/migrate.ts';
import { type Config, loadConfig } from './config.ts';
import type { Ref } from './fhir/types.ts';
import { compose as composeStore } from './main.ts';
import type { ResourceStore } from './ports/store.ts';
import type { FileCopies, Upkeep } from './ports/upkeep.ts';

const USAGE = `carnet: the operator's commands on the store that CARNET_STORE names

  check                                every sealed piece opens, every index entry is that of its resource
  backup <file> [--keys <file>]        a consistent copy of the data, and one of the wrapped keys, while the server runs
  restore <file> [--keys <file>]       puts a copy in the place of a store that is not there, and checks it
  rotate-key [--prepare]               a new master key; wraps every data key anew, while the server runs. --prepare only
                                       adds it to the key file, which is then given to every server
  shred Patient/<id> --yes             destroys the keys of a person whose space has been closed for ten years
  migrate --from <store> --to <store>  moves everything to another store, verified; again after an interruption
`;

/** A command that cannot be done: one sentence, exit code 1. */
class Refusal extends Error {}
/** A command line that is not understood: exit code 2. */
class Misuse extends Error {}

export type Output = { readonly out: (line: string) => void; readonly progress: (line: string) => void };
type Command = (args: Arguments, io: Output, config: Config) => Promise<void>;
type Arguments = {
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<'keys' | 'from' | 'to', string | undefined>> &
    Readonly<Record<'yes' | 'prepare', boolean>>;
};

type Store = Config['store'];

/** The store that an option names; the keys of a MongoDB lie where the environment says. */
function storeOf(url: string | undefined, option: string, { store }: Config): Store {
  if (url === undefined) throw new Misuse(`${option} is missing`);
  const [, path] = /^sqlite:([^?\0]+)$/.exec(url) ?? [];
  if (path !== undefined) return { kind: 'sqlite', path };
  if (!/^mongodb(?:\+srv)?:/.test(url)) throw new Refusal(`${option} names no \`sqlite:<file>\` and no \`mongodb:\``);
  return { kind: 'mongodb', url, ...(store.kind === 'mongodb' ? { keysUrl: store.keysUrl } : {}) };
}
const isSame = (one: Store, other: Store): boolean =>
  one.kind === 'sqlite'
    ? other.kind === 'sqlite' && resolve(one.path) === resolve(other.path)
    : other.kind === 'mongodb' && one.url === other.url;
const one = ({ positionals }: Arguments, what: string): string => {
  const [found, ...more] = positionals;
  if (found === undefined || more.length > 0) throw new Misuse(`this command takes ${what}`);
  return found;
};

/** An application with a store that can be kept. */
type Open = { readonly deps: Deps; readonly store: ResourceStore & Upkeep; readonly copies?: FileCopies };

async function compose(config: Config, store: Store, options: { readonly create: boolean }): Promise<Open> {
  const composed = await composeStore({ ...config, store }, options);
  const { deps, upkeep, copies } = composed;
  return { deps, store: { ...composed.store, ...upkeep }, ...(copies === undefined ? {} : { copies }) };
}

/** The application on a store that must be there. */
async function opened(config: Config, store: Store = config.store): Promise<Open> {
  if (store.kind === 'sqlite' && !existsSync(store.path)) throw new Refusal(`there is no store at \`${store.path}\``);
  return compose(config, store, { create: false });
}

async function withStore<T>(config: Config, work: (open: Open) => Promise<T>, store?: Store): Promise<T> {
  const open = await opened(config, store);
  try {
    return await work(open);
  } finally {
    await open.store.close();
  }
}

async function soundness(open: Open, { out, progress }: Output): Promise<void> {
  let faults = 0;
  for await (const { at, what } of check(open, progress)) {
    out(`${at}: ${what}`);
    faults += 1;
  }
  const { versions, resources } = await open.store.counts();
  if (faults > 0) throw new Refusal(`${faults} faults`);
  out(`sound: ${versions} versions of ${resources} resources`);
}

const checked = (config: Config, io: Output): Promise<void> => withStore(config, (open) => soundness(open, io));

/** A copy under a name of its own, closed to others, then given its place in one step. */
function putBack(from: string, to: string): void {
  const draft = `${to}.partial`;
  copyFileSync(from, draft);
  chmodSync(draft, 0o600);
  const written = openSync(draft, 'r+');
  fsyncSync(written);
  closeSync(written);
  renameSync(draft, to);
}

type Files = { readonly file: string; readonly keys: string | undefined };

/** A backup of a store that is no file: everything, as it stood at one instant, in an embedded store with keys of its own. */
async function exported(open: Open, { file, keys }: Files, io: Output, config: Config): Promise<void> {
  if (keys === undefined) throw new Misuse('a copy of a MongoDB has keys of its own: --keys names a file for them');
  const draft = `${file}.partial`;
  for (const there of [file, keys, draft, keyFilePath(draft)])
    if (existsSync(there)) throw new Refusal(`\`${there}\` is there already and is not written over`);
  const copy = await compose(config, { kind: 'sqlite', path: draft }, { create: true });
  try {
    await migrate({ deps: open.deps, from: open.store, to: copy.store, asOneState: true }, io.progress);
    await soundness(copy, io);
  } finally {
    await copy.store.close();
  }
  renameSync(keyFilePath(draft), keys);
  renameSync(draft, file);
}

/** Puts such a backup into a database without a store. */
async function imported({ file, keys }: Files, io: Output, config: Config): Promise<void> {
  const from = await opened(config, { kind: 'sqlite', path: file, ...(keys === undefined ? {} : { keysPath: keys }) });
  try {
    const { store, deps } = await compose(config, config.store, { create: true });
    try {
      if ((await store.counts()).versions > 0)
        throw new Refusal(
          'the database holds a store, which is not written over; `migrate` goes on with what was interrupted',
        );
      await migrate({ deps: from.deps, from: from.store, to: store, asOneState: true }, io.progress);
      const erased = await store.eraseShredded();
      if (erased > 0) io.out(removedAgain(erased));
      await soundness({ deps, store }, io);
    } finally {
      await store.close();
    }
  } finally {
    await from.store.close();
  }
}

const removedAgain = (resources: number): string =>
  `removed again: ${resources} resources of persons whose keys were destroyed since`;

const COMMANDS: Readonly<Record<string, Command>> = {
  check: async (_args, io, config) => checked(config, io),

  backup: async (args, io, config) => {
    const { out } = io;
    const file = one(args, 'the file to write');
    const { keys } = args.values;
    await withStore(config, async (open) => {
      if (open.copies === undefined) return exported(open, { file, keys }, io, config);
      // Before anything is written: half a backup is none.
      if (keys !== undefined && existsSync(keys))
        throw new Refusal(`\`${keys}\` is there already and is not written over`);
      open.copies.copyData(file);
      // After the data: every key that they need is then among them.
      if (keys !== undefined) open.copies.copyKeys(keys);
    });
    out(`the data are in ${file}`);
    out(
      keys === undefined
        ? 'without the keys, which are kept apart and forgotten sooner, nobody reads them'
        : `the wrapped keys are in ${keys}: keep them elsewhere, and for a shorter time`,
    );
  },

  restore: async (args, io, config) => {
    const file = one(args, 'the file to put back');
    const { keys } = args.values;
    if (config.store.kind === 'mongodb') return imported({ file, keys }, io, config);
    const { path } = config.store;
    const keyFile = keyFilePath(path);
    // A journal that was left beside a file that is gone would be taken for that of the copy.
    for (const there of [path, ...(keys === undefined ? [] : [keyFile])].flatMap((name) => [name, `${name}-wal`]))
      if (existsSync(there)) throw new Refusal(`\`${there}\` is there, and is not written over`);
    for (const needed of [file, ...(keys === undefined ? [] : [keys])])
      if (!existsSync(needed)) throw new Refusal(`\`${needed}\` is not there`);
    if (keys === undefined && !existsSync(keyFile))
      throw new Refusal(`\`${keyFile}\` is missing: --keys names a copy of it`);
    if (keys !== undefined) putBack(keys, keyFile);
    putBack(file, path);
    const erased = await withStore(config, ({ store }) => store.eraseShredded());
    if (erased > 0) io.out(removedAgain(erased));
    await checked(config, io);
  },

  'rotate-key': async (args, { out, progress }, config) => {
    const path = masterKeyPath(config.masterKeyFile, config.store.kind === 'sqlite' ? config.store.path : '');
    const file = readMasterKeys(path);
    if (!file.ok) throw new Refusal(`the master key file \`${path}\` ${file.why}`);
    // More than one: a rotation was prepared, or did not end, and is ended now.
    if (file.keys.length === 1) addMasterKey(path);
    if (args.values.prepare) {
      out(`${path} holds the next master key: give it to every server, then rotate`);
      return;
    }
    await withStore(config, async ({ store }) => {
      for await (const { done, of } of store.rewrapKeys()) progress(`keys: ${done} of ${of}`);
    });
    dropOlderMasterKeys(path);
    out(
      `every data key is wrapped by the new master key in ${path}; the old one opens nothing any more but older copies of the keys`,
    );
  },

  shred: async (args, { out }, config) => {
    const person = one(args, 'one Patient/<id>');
    if (!/^Patient\/[A-Za-z0-9.-]{1,64}$/.test(person)) throw new Misuse('this command takes one Patient/<id>');
    if (!args.values.yes) throw new Misuse('what is destroyed cannot be brought back: --yes says that this is meant');
    await withStore(config, async ({ deps, store }) => {
      const now = deps.clock.now();
      const ref = person as Ref;
      // Begun and interrupted: its consents may be gone, its keys are.
      if (!(await store.isShredded(ref))) {
        const since = await store.unit((unit) => closedSince(unit, ref, now));
        if (since === undefined) throw new Refusal(`the space of ${person} is not closed, and is kept`);
        const until = sealedUntil(since);
        if (now < until)
          throw new Refusal(
            `the space of ${person} is sealed until ${new Date(until).toISOString().slice(0, 10)}, and is kept`,
          );
      }
      const { keys, resources } = await store.shred(ref, now);
      await recordDestruction(deps, ref, now);
      out(`destroyed: ${keys} keys and ${resources} resources of ${person}`);
    });
  },

  migrate: async (args, { out, progress }, config) => {
    const [source, target] = [storeOf(args.values.from, '--from', config), storeOf(args.values.to, '--to', config)];
    if (isSame(source, target)) throw new Misuse('--from and --to name the same store');
    const from = await opened(config, source);
    try {
      const to = (await compose(config, target, { create: true })).store;
      try {
        const migration = { deps: from.deps, from: from.store, to, asOneState: false };
        const { moved, there } = await migrate(migration, progress);
        out(`moved: ${moved} versions; there already: ${there}`);
        let faults = 0;
        for await (const what of differences(migration, progress)) {
          out(what);
          faults += 1;
        }
        if (faults > 0) throw new Refusal(`${faults} differences`);
        out('every version, record, byte and space was compared: the two are the same');
      } finally {
        await to.close();
      }
    } finally {
      await from.store.close();
    }
  },
};

/** Runs one command line; answers the exit code. */
export async function run(argv: readonly string[], io: Output, configure: () => Config = loadConfig): Promise<number> {
  const [name = 'help', ...rest] = argv;
  if (name === 'help' || name === '--help') {
    io.out(USAGE);
    return 0;
  }
  try {
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new Misuse(`there is no command \`${name}\``);
    await command(parsed(rest), io, configure());
    return 0;
  } catch (error) {
    io.out(`carnet: ${error instanceof Error ? error.message : 'failed'}`);
    if (error instanceof Misuse) io.out(USAGE);
    return error instanceof Misuse ? 2 : 1;
  }
}

function parsed(args: readonly string[]): Arguments {
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        keys: { type: 'string' },
        from: { type: 'string' },
        to: { type: 'string' },
        yes: { type: 'boolean' },
        prepare: { type: 'boolean' },
      },
    });
    const { keys, from, to, yes = false, prepare = false } = values;
    return { positionals, values: { keys, from, to, yes, prepare } };
  } catch (error) {
    throw new Misuse(error instanceof Error ? error.message : 'the options are not understood');
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const line = (text: string): void => void process.stdout.write(`${text}\n`);
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);
  process.exitCode = await run(process.argv.slice(2), { out: line, progress });
}

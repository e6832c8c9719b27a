/** The operator's commands: `npm run carnet -- <command>`. Exit codes: 0 done, 1 faults found or refused, 2 not understood. docs/encryption.md. */
import { copyFileSync, existsSync } from 'node:fs';
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
import type { Upkeep } from './ports/upkeep.ts';

const USAGE = `carnet: the operator's commands on the store that CARNET_STORE names

  check                                every sealed piece opens, every index entry is that of its resource
  backup <file> [--keys <file>]        a consistent copy of the data, and one of the wrapped keys, while the server runs
  restore <file> [--keys <file>]       puts a copy in the place of a store that is not there, and checks it
  rotate-key                           a new master key; wraps every data key anew, while the server runs
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
  readonly values: Readonly<Record<'keys' | 'from' | 'to', string | undefined>> & { readonly yes: boolean };
};

const storePath = (url: string | undefined, option: string): string => {
  if (url === undefined) throw new Misuse(`${option} is missing`);
  if (!url.startsWith('sqlite:')) throw new Refusal(`${option} is \`${url}\`: stores of \`sqlite:\` can be moved`);
  return url.slice('sqlite:'.length);
};
const one = ({ positionals }: Arguments, what: string): string => {
  const [found, ...more] = positionals;
  if (found === undefined || more.length > 0) throw new Misuse(`this command takes ${what}`);
  return found;
};

/** An application with a store that can be kept. */
type Open = { readonly deps: Deps; readonly store: ResourceStore & Upkeep };

/** The file of the store that these commands are about. */
function fileOf({ store }: Config): string {
  if (store.kind === 'sqlite') return store.path;
  throw new Refusal('this command is for the embedded store; a MongoDB has its own tools for it');
}

async function compose(config: Config, path: string): Promise<Open> {
  const { deps, upkeep, store } = await composeStore({ ...config, store: { kind: 'sqlite', path } });
  if (upkeep === undefined) throw new Refusal('this kind of store has no such command');
  return { deps, store: { ...store, ...upkeep } };
}

/** The application on a store that must be there. */
async function opened(config: Config, path = fileOf(config)): Promise<Open> {
  if (!existsSync(path)) throw new Refusal(`there is no store at \`${path}\``);
  return compose(config, path);
}

async function withStore<T>(config: Config, work: (open: Open) => Promise<T>): Promise<T> {
  const open = await opened(config);
  try {
    return await work(open);
  } finally {
    await open.store.close();
  }
}

const checked = (config: Config, { out, progress }: Output): Promise<void> =>
  withStore(config, async (open) => {
    let faults = 0;
    for await (const { at, what } of check(open, progress)) {
      out(`${at}: ${what}`);
      faults += 1;
    }
    const { versions, resources } = open.store.counts();
    if (faults > 0) throw new Refusal(`${faults} faults`);
    out(`sound: ${versions} versions of ${resources} resources`);
  });

const COMMANDS: Readonly<Record<string, Command>> = {
  check: async (_args, io, config) => checked(config, io),

  backup: async (args, { out }, config) => {
    const file = one(args, 'the file to write');
    await withStore(config, async ({ store }) => {
      store.copyData(file);
      out(`the data are in ${file}`);
      // After the data: every key that they need is then among them.
      if (args.values.keys !== undefined) store.copyKeys(args.values.keys);
    });
    out(
      args.values.keys === undefined
        ? 'without the keys, which are kept apart and forgotten sooner, nobody reads them'
        : `the wrapped keys are in ${args.values.keys}: keep them elsewhere, and for a shorter time`,
    );
  },

  restore: async (args, io, config) => {
    const file = one(args, 'the file to put back');
    const path = fileOf(config);
    const { keys } = args.values;
    for (const there of [path, `${path}-wal`])
      if (existsSync(there)) throw new Refusal(`\`${there}\` is there, and is not written over`);
    if (!existsSync(file)) throw new Refusal(`\`${file}\` is not there`);
    const keyFile = keyFilePath(path);
    if (keys !== undefined && existsSync(keyFile))
      throw new Refusal(`\`${keyFile}\` is there, and is not written over`);
    if (keys === undefined && !existsSync(keyFile))
      throw new Refusal(`\`${keyFile}\` is missing: --keys names a copy of it`);
    if (keys !== undefined) copyFileSync(keys, keyFile);
    copyFileSync(file, path);
    const erased = await withStore(config, ({ store }) => store.eraseShredded());
    if (erased > 0) io.out(`removed again: ${erased} resources of persons whose keys were destroyed since`);
    await checked(config, io);
  },

  'rotate-key': async (_args, { out, progress }, config) => {
    const path = masterKeyPath(config.masterKeyFile, fileOf(config));
    const file = readMasterKeys(path);
    if (!file.ok) throw new Refusal(`the master key file \`${path}\` ${file.why}`);
    // More than one: an earlier rotation did not end, and is ended now.
    if (file.keys.length === 1) addMasterKey(path);
    await withStore(config, async ({ store }) => {
      for (const { done, of } of store.rewrapKeys()) progress(`keys: ${done} of ${of}`);
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
      if (!store.isShredded(ref)) {
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
    const [source, target] = [storePath(args.values.from, '--from'), storePath(args.values.to, '--to')];
    if (source === target) throw new Misuse('--from and --to name the same store');
    const from = await opened(config, source);
    try {
      const to = (await compose(config, target)).store;
      try {
        const migration = { deps: from.deps, from: from.store, to };
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
      options: { keys: { type: 'string' }, from: { type: 'string' }, to: { type: 'string' }, yes: { type: 'boolean' } },
    });
    const { keys, from, to, yes = false } = values;
    return { positionals, values: { keys, from, to, yes } };
  } catch (error) {
    throw new Misuse(error instanceof Error ? error.message : 'the options are not understood');
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const line = (text: string): void => void process.stdout.write(`${text}\n`);
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);
  process.exitCode = await run(process.argv.slice(2), { out: line, progress });
}

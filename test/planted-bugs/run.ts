/**
 * Plants each fault of the catalogue in a throwaway copy of the working tree and runs the tests that are there to notice:
 * `npm run planted-bugs`. Ends with an error when one is missed.
 *
 * `--only id,…` and `--area name,…` choose; `--list` lists; `--workers n` copies at work at one time (2); `--all-tests` asks the whole suite before
 * a fault is called missed; `--trust` does not ask first whether the tests pass on the tree as it is; `--write` writes what
 * became of them into docs/planted-bugs.md.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CATALOGUE } from './catalogue/index.ts';
import { areaOf, editsOf, MUST_ALL_BE_CAUGHT, type PlantedBug, planted, selectorOf } from './planted-bug.ts';
import { type Outcome, page, type Result } from './report.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** One test file has so long, in milliseconds; a fault that makes the suite hang is not one that a test notices. */
const FILE_MS = 240_000;
/** The whole suite, for `--all-tests`. */
const SUITE_MS = 1_200_000;

/** The working tree as git sees it, what is not committed included, in a folder of its own. */
function copyOfTree(folder: string): void {
  const names = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const deleted = new Set(
    execFileSync('git', ['ls-files', '-z', '--deleted'], { cwd: root, encoding: 'utf8' }).split('\0'),
  );
  for (const name of names.split('\0')) {
    if (name === '' || name === 'node_modules' || deleted.has(name)) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    cpSync(join(root, name), join(folder, name));
  }
  symlinkSync(realpathSync(join(root, 'node_modules')), join(folder, 'node_modules'));
}

/** The programs at work, each the leader of a group: whatever ends this one ends them. */
const running = new Set<number>();

const endGroup = (leader: number): void => {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // The whole group has ended by itself.
  }
};

type Ended = { readonly code: number | null; readonly output: string; readonly inTime: boolean };

/** Runs a program of the copy in a process group of its own, so that the servers its tests started end with it. */
function run(folder: string, program: string, args: readonly string[], ms: number): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(join(folder, 'node_modules/.bin', program), args, {
      cwd: folder,
      detached: true,
      // The programs of the tree start the Node that they find first: it has to be the tree's own.
      env: { ...process.env, PATH: `${join(folder, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const note = (text: string): void => {
      output = (output + text).slice(-20_000);
    };
    child.stdout.setEncoding('utf8').on('data', note);
    child.stderr.setEncoding('utf8').on('data', note);
    let inTime = true;
    const leader = child.pid ?? 0;
    if (leader !== 0) running.add(leader);
    const end = (): void => {
      if (leader !== 0) endGroup(leader);
    };
    const timer = setTimeout(() => {
      inTime = false;
      end();
    }, ms);
    child.on('error', (error) => note(String(error)));
    child.on('close', (code) => {
      clearTimeout(timer);
      end();
      running.delete(leader);
      resolve({ code, output, inTime });
    });
  });
}

/** How a failure before the first test is told. */
const SETTING_UP = 'setting up: ';

/** The report of vitest, as far as it is read here. */
type Report = {
  readonly testResults?: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
};

/** What a run of tests says: the first test that failed, or that none did. */
async function tested(folder: string, selectors: readonly string[], ms: number): Promise<Outcome> {
  const file = join(folder, '.planted-report.json');
  rmSync(file, { force: true });
  const files = selectors.map((selector) => selectorOf(selector).file);
  const names = selectors.map((selector) => selectorOf(selector).names).find((one) => one !== undefined);
  const args = ['run', ...files, '--bail', '1', '--reporter', 'json', '--outputFile', file];
  const ended = await run(folder, 'vitest', names === undefined ? args : [...args, '-t', names], ms);
  if (!ended.inTime) return { kind: 'hung', by: files.join(', ') };
  let report: Report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return { kind: 'broke', why: `vitest ended without a report: ${ended.output.trim().slice(-300)}` };
  }
  for (const result of report.testResults ?? []) {
    const name = result.name.slice(result.name.indexOf('/test/') + 1);
    const failed = result.assertionResults.find((one) => one.status === 'failed');
    if (failed !== undefined) return { kind: 'caught', by: name, test: failed.fullName };
    if (result.status === 'failed') {
      return { kind: 'caught', by: name, test: `${SETTING_UP}${(result.message ?? '').split('\n')[0]?.slice(0, 160)}` };
    }
  }
  const passed = (report.testResults ?? [])
    .flatMap((one) => one.assertionResults)
    .filter((one) => one.status === 'passed');
  if (passed.length === 0) return { kind: 'broke', why: `no test ran: ${files.join(', ')} ${names ?? ''}` };
  if (ended.code === 0) return { kind: 'missed' };
  // Vitest fails a run in which something was thrown and awaited by nobody, although each test passed.
  const thrown = /(?:Unhandled|Uncaught)[^\n]*/.exec(ended.output)?.[0];
  return thrown === undefined
    ? { kind: 'broke', why: ended.output.trim().slice(-300) }
    : { kind: 'caught', by: files.join(', '), test: 'an error that nobody awaited' };
}

/** What the compiler says of a copy; `undefined`: nothing. */
async function typeFault(folder: string): Promise<string | undefined> {
  const unused = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];
  const kept = ['--incremental', '--tsBuildInfoFile', '.planted-types'];
  const ended = await run(folder, 'tsc', ['--noEmit', ...kept, ...unused], FILE_MS);
  return ended.code === 0 ? undefined : ended.output.trim().split('\n')[0];
}

/** The files that faults are planted in, as they are when the run begins: the tree may go on changing meanwhile. */
const SOUND: ReadonlyMap<string, string> = new Map(
  CATALOGUE.flatMap(editsOf).map(({ file }) => [file, readFileSync(join(root, file), 'utf8')]),
);

const sound = (file: string): string => {
  const text = SOUND.get(file);
  if (text === undefined) throw new Error(`no fault is planted in ${file}`);
  return text;
};

/** Writes files of a copy, lets something be done with them, and puts back what was there. */
async function withFiles<T>(folder: string, files: ReadonlyMap<string, string>, work: () => Promise<T>): Promise<T> {
  for (const [file, text] of files) writeFileSync(join(folder, file), text);
  try {
    return await work();
  } finally {
    for (const file of files.keys()) writeFileSync(join(folder, file), sound(file));
  }
}

/**
 * Faults that the compiler refuses, which prove nothing of the tests, by id. Faults in different places are compiled together; when some of
 * them do not compile, each is looked at alone.
 */
async function uncompilable(folder: string, bugs: readonly PlantedBug[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  let waiting: readonly PlantedBug[] = bugs;
  while (waiting.length > 0) {
    const files = new Map<string, string>();
    const together: PlantedBug[] = [];
    const later: PlantedBug[] = [];
    for (const bug of waiting) {
      try {
        for (const [file, text] of planted(bug, (one) => files.get(one) ?? sound(one))) files.set(file, text);
        together.push(bug);
      } catch {
        // Its place is taken by another fault.
        later.push(bug);
      }
    }
    if ((await withFiles(folder, files, () => typeFault(folder))) !== undefined) {
      for (const bug of together) {
        const why = await withFiles(folder, planted(bug, sound), () => typeFault(folder));
        if (why !== undefined) found.set(bug.id, why);
      }
    }
    waiting = later;
  }
  return found;
}

/** Whether the server of a copy starts and answers. */
const starts = async (folder: string): Promise<boolean> =>
  (await run(folder, 'node', ['test/planted-bugs/starts.ts'], 60_000)).code === 0;

async function tried(folder: string, bug: PlantedBug, allTests: boolean): Promise<Outcome> {
  return withFiles(folder, planted(bug, sound), async () => {
    for (const selector of [...bug.caughtBy, ...(allTests ? [undefined] : [])]) {
      const outcome = await tested(
        folder,
        selector === undefined ? [] : [selector],
        selector === undefined ? SUITE_MS : FILE_MS,
      );
      if (outcome.kind === 'missed') continue;
      // A set-up that fails may be the fault at work; a server that does not even start is no fault that a test could notice.
      const isSetUp = outcome.kind === 'caught' && outcome.test.startsWith(SETTING_UP);
      return isSetUp && !(await starts(folder)) ? { kind: 'broke', why: 'the server does not start' } : outcome;
    }
    return { kind: 'missed' };
  });
}

/** On the tree as it is, every test that is to notice a fault must pass: otherwise it would notice anything. */
async function faultOfSoundTree(folder: string, bugs: readonly PlantedBug[]): Promise<string | undefined> {
  const files = [...new Set(bugs.flatMap((bug) => bug.caughtBy.map((one) => selectorOf(one).file)))];
  const types = await typeFault(folder);
  if (types !== undefined) return types;
  const outcome = await tested(folder, files, SUITE_MS);
  switch (outcome.kind) {
    case 'missed':
      return undefined;
    case 'caught':
      return `${outcome.by} › ${outcome.test}`;
    case 'hung':
      return 'the tests do not end';
    default:
      return outcome.why;
  }
}

function chosen(only: string | undefined, area: string | undefined): readonly PlantedBug[] {
  const ids = only?.split(',');
  const areas = area?.split(',');
  const unknown = [
    ...(ids ?? []).filter((id) => !CATALOGUE.some((bug) => bug.id === id)),
    ...(areas ?? []).filter((one) => !CATALOGUE.some((bug) => areaOf(bug) === one)),
  ];
  if (unknown.length > 0) throw new Error(`the catalogue has no ${unknown.join(', ')}`);
  return CATALOGUE.filter((bug) => (ids?.includes(bug.id) ?? true) && (areas?.includes(areaOf(bug)) ?? true));
}

const line = ({ bug, outcome, seconds }: Result): string => {
  const said =
    outcome.kind === 'caught'
      ? `caught by ${outcome.by} › ${outcome.test}`
      : outcome.kind === 'broke'
        ? `BROKEN: ${outcome.why}`
        : outcome.kind === 'hung'
          ? `HUNG in ${outcome.by}`
          : 'MISSED';
  return `${bug.id.padEnd(48)} ${seconds.toFixed(0).padStart(4)} s  ${said}`;
};

/** Writes what became of some faults into the page; what it says of the others stays. */
function writePage(results: readonly Result[]): void {
  const path = join(root, 'docs/planted-bugs.md');
  writeFileSync(path, page(results, existsSync(path) ? readFileSync(path, 'utf8') : ''));
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      area: { type: 'string' },
      list: { type: 'boolean', default: false },
      workers: { type: 'string', default: '2' },
      'all-tests': { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      trust: { type: 'boolean', default: false },
    },
  });
  const bugs = chosen(values.only, values.area);
  if (values.list) {
    for (const bug of bugs) console.log(`${bug.id.padEnd(48)} ${bug.fault}`);
    return 0;
  }
  const place = mkdtempSync(join(tmpdir(), 'carnet-planted-'));
  process.once('exit', () => {
    for (const leader of running) endGroup(leader);
    rmSync(place, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  for (const bug of bugs) planted(bug, sound);
  const folders = Array.from({ length: Number(values.workers) }, (_, index) => join(place, String(index)));
  for (const folder of folders) {
    mkdirSync(folder);
    copyOfTree(folder);
  }
  const [first = place] = folders;
  const refused = await uncompilable(first, bugs);
  const unsound = values.trust ? undefined : await faultOfSoundTree(first, bugs);
  if (unsound !== undefined) throw new Error(`the tree is not sound before anything is planted: ${unsound}`);
  const results: Result[] = [];
  const waiting = [...bugs];
  const work = async (folder: string): Promise<void> => {
    for (let bug = waiting.shift(); bug !== undefined; bug = waiting.shift()) {
      const began = performance.now();
      const why = refused.get(bug.id);
      const outcome: Outcome =
        why === undefined ? await tried(folder, bug, values['all-tests']) : { kind: 'broke', why };
      const result = { bug, outcome, seconds: (performance.now() - began) / 1000 };
      results.push(result);
      if (values.write) writePage([result]);
      console.log(line(result));
    }
  };
  await Promise.all(folders.map(work));
  const order = new Map(CATALOGUE.map((bug, index) => [bug.id, index]));
  results.sort((a, b) => (order.get(a.bug.id) ?? 0) - (order.get(b.bug.id) ?? 0));
  const caught = results.filter(({ outcome }) => outcome.kind === 'caught');
  const others = results.filter(({ outcome }) => outcome.kind !== 'caught');
  console.log(`\n${caught.length} caught / ${results.length} total`);
  for (const result of others) {
    const must = MUST_ALL_BE_CAUGHT.includes(areaOf(result.bug)) ? ' (must be caught)' : '';
    console.log(`${line(result)}${must}`);
  }
  return others.length === 0 ? 0 : 1;
}

process.exitCode = await main();

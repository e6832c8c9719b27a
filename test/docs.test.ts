/** What the documents say is what is there: commands, settings, links, and the demonstration that the first screen promises. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => join('docs', path)),
];

// INVARIANT: npm reads the same file.
const scripts = (JSON.parse(textOf('package.json')) as { readonly scripts: Readonly<Record<string, string>> }).scripts;

/** Settings that the server reads, out of the one file that reads them. */
const settings = [...new Set(textOf('server/config.ts').match(/CARNET_[A-Z_]+/g))];
const demoSettings = ['CARNET_DEMO_ONCE'];
/** Settings of the tests, out of the files that read them: where a database is, how many twins. */
const testSettings = [
  ...new Set(textOf('test/support/mongod.ts').match(/CARNET_TEST_[A-Z_]+/g)),
  ...new Set(textOf('test/blackbox/twin-world.test.ts').match(/CARNET_TWIN_[A-Z_]+/g)),
];

const blocks = (markdown: string, language: string): readonly string[] =>
  [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)]
    .filter(([, tag]) => tag === language)
    .map(([, , text]) => text ?? '');

/** The anchor that a heading gets on the usual forges. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

describe.each(documents)('%s', (path) => {
  const text = textOf(path);

  test('names commands that exist', () => {
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name ?? '');
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });

  test('names settings that exist', () => {
    const named = text.match(/CARNET_[A-Z_]+/g) ?? [];
    const known = new Set<string>([...settings, ...demoSettings, ...testSettings]);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  test('links to what is there', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target]) => target ?? '')
      .filter((t) => !/^https?:/.test(t));
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : relative(root, join(root, dirname(path), file));
      if (!existsSync(join(root, target))) return true;
      if (anchor === undefined) return false;
      const headings = [...textOf(target).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading ?? ''));
      return !headings.includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test('shows json that parses', () => {
    for (const block of blocks(text, 'json')) expect(() => JSON.parse(block)).not.toThrow();
  });
});

describe('the table of the DMP’s transactions', () => {
  const rows = [
    ...textOf('docs/dmp-transactions.md').matchAll(/^\| (TD\d\.\d[a-z]?)\b.*\| (?:\[(\d\d)\]\(\S+\)|(\d\d)) +\|$/gm),
  ];
  const stories = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.http'));

  test('has the transactions of PDSM4DMP', () => {
    const listed = [...new Set(rows.map(([, transaction]) => transaction))];
    expect(listed).toEqual(
      'TD0.2 TD0.3 TD0.4 TD1.3a TD1.6 TD2.1 TD3.1a TD3.1b TD3.2 TD3.3a TD3.3b TD3.3c TD3.3d'.split(' '),
    );
  });

  test.each(rows.map(([, transaction = '', linked, named]) => [transaction, linked ?? named ?? '']))(
    '%s is played by story %s',
    (transaction, number) => {
      const story = stories.find((name) => name.startsWith(`${number}-`)) ?? '';
      const played = textOf(join('examples', story)).match(/^### TD\d\.\d[a-z]?(?=:)/gm) ?? [];
      expect(played).toContain(`### ${transaction}`);
      expect(textOf(join('examples', story.replace('.http', '.golden')))).toContain(`${transaction}: `);
    },
  );
});

describe('the README', () => {
  const readme = textOf('README.md');

  test('documents every setting', () => {
    const rows = [...readme.matchAll(/^\| `(CARNET_[A-Z_]+)` +\|/gm)].map(([, name]) => name);
    expect(rows.toSorted()).toEqual(settings.toSorted());
  });

  test('begins with the two commands that are tested', () => {
    const [first = ''] = blocks(readme, 'sh');
    const commands = first.split('\n').map((line) => line.replace(/\s*#.*$/, ''));
    expect(commands.filter((line) => line !== '')).toEqual(['npm ci && npm run demo', 'npm ci && npm test']);
    // `npm run demo` is what the test below starts, and `.ci/run` is the second line.
    expect(scripts['demo']).toBe('node examples/demo.ts');
    expect(textOf('.ci/run')).toMatch(/^npm ci\b.*\nnpm test\b/ms);
  });
});

/** Listens on a port until `release` is called. */
const occupied = (): Promise<{ readonly port: number; readonly release: () => void }> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (typeof address === 'object' && address !== null)
        resolve({ port: address.port, release: () => server.close() });
    });
  });

const run = (
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly output: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(join(root, 'node_modules/.bin/node'), [join(root, 'examples/demo.ts'), '--once'], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    child.once('error', reject);
    child.once('exit', (code) => resolve({ code, output }));
  });

describe('the demonstration', () => {
  test('plays its story to the end, on another port when its own is taken', async () => {
    const { port, release } = await occupied();
    try {
      const { code, output } = await run({ CARNET_PORT: String(port) });
      expect(output).toContain(`Port ${port} is taken by another program`);
      expect(output).toContain('8 steps, each answered as it must.');
      expect(output).not.toContain('\u001b[');
      expect(code).toBe(0);
    } finally {
      release();
    }
  });
});

/**
 * `npm run demo`: starts the real server on a fresh embedded store, builds a small world through the API alone, and plays the story of one
 * discharge letter over HTTP with signed tokens. Then the server stays, with `curl` lines to paste. `--once` ends after the story; the exit
 * code is 1 when a step did not answer as it must.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../server/config.ts';
import { start } from '../server/main.ts';
import { binaryBody, consentBody, documentBody, type Resource, transactionBody } from '../test/support/fhir-bodies.ts';
import {
  type Answered,
  type Asked,
  ask,
  buildWorld,
  createIssuers,
  insOf,
  refOf,
  traitsOf,
  type Variant,
} from './world.ts';

const DEFAULT_PORT = 8103;
const TOKEN_SECONDS = 600;
const WIDTH = 96;

const once = process.argv.includes('--once') || process.env['CARNET_DEMO_ONCE'] === '1';
const isTerminal = process.stdout.isTTY === true;

// ---- how it is shown ----------------------------------------------------------------------------------------------

const style = (code: number, text: string): string => (isTerminal ? `\u001b[${code}m${text}\u001b[0m` : text);
const bold = (text: string): string => style(1, text);
const dim = (text: string): string => style(2, text);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Breaks a sentence into lines that start with `indent`. */
function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line].map((l) => indent + l).join('\n');
}

/** A row of the table, and what is said below it. */
type Row = { readonly cells: readonly string[]; readonly note: string };

/** Rows under headings, each column as wide as its longest cell; a note stands on a line of its own. */
function table(headings: readonly string[], rows: readonly Row[]): string {
  const widths = headings.map((h, column) => Math.max(h.length, ...rows.map((row) => row.cells[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `   ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd();
  const noted = (row: Row): string =>
    row.note === '' ? '' : `\n${dim(`   ${' '.repeat(widths[0] ?? 0)}  ${row.note}`)}`;
  return [dim(line(headings)), ...rows.map((row) => line(row.cells) + noted(row))].join('\n');
}

// ---- where it runs ------------------------------------------------------------------------------------------------

/** Whether a server may listen on this port of this machine; 0 asks for any free one. Answers with the port, or nothing. */
const listenable = (port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(undefined));
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined));
    });
  });

const wanted = Number(process.env['CARNET_PORT'] ?? DEFAULT_PORT);
const port = wanted > 0 && wanted < 65_536 ? ((await listenable(wanted)) ?? (await listenable(0))) : undefined;
if (port === undefined) {
  process.stderr.write(
    `the demonstration cannot listen on \`${process.env['CARNET_PORT'] ?? DEFAULT_PORT}\` or any other port\n`,
  );
  process.exit(1);
}

const folder = await mkdtemp(join(tmpdir(), 'carnet-demo-'));
const base = `http://127.0.0.1:${port}/fhir`;
const site = { base, now: () => Date.now() };
const issuers = createIssuers(site);
await writeFile(join(folder, 'issuers.json'), JSON.stringify(issuers.entries));
const running = await start(
  readConfig({
    CARNET_PORT: String(port),
    CARNET_BASE_URL: base,
    CARNET_STORE: `sqlite:${join(folder, 'carnet.db')}`,
    CARNET_ISSUERS: join(folder, 'issuers.json'),
    CARNET_LOG: 'off',
  }),
);

async function end(code: number): Promise<never> {
  await running.stop();
  await rm(folder, { recursive: true, force: true });
  process.exit(code);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end(0));

const world = { site, issuers, names: new Map<string, string>() };
const { names } = world;
const ref = (name: string): string => refOf(names, name);
const token = (name: string, variant: Variant): string =>
  issuers.token(names, name, { lifetime: TOKEN_SECONDS, ...variant });

// ---- the story ----------------------------------------------------------------------------------------------------

const faults: string[] = [];
let stepNumber = 0;

function step(title: string): void {
  stepNumber += 1;
  print(`\n${bold(`${stepNumber}. ${title}`)}`);
}

type Expectation = {
  readonly who: string;
  readonly says: string;
  readonly expected: number;
  /** One line of why. */
  readonly why: string;
  /** What else must hold of the answer, with the sentence to print when it does not. */
  readonly holds?: readonly [check: (answer: Answered) => boolean, otherwise: string];
};

/** Sends a request, prints what was asked, the status and why, and notes a fault when the answer is not the one that must come. */
async function play(request: Asked, expectation: Expectation): Promise<Answered> {
  const { who, says, expected, why, holds } = expectation;
  const answer = await ask(base, request);
  const path = request.path === '' ? '/fhir' : `/fhir/${request.path}`;
  print(`\n   ${who}: ${says}`);
  print(dim(`   ${request.method ?? 'GET'} ${path.length > WIDTH ? `${path.slice(0, WIDTH - 1)}…` : path}`));
  const fault =
    answer.status === expected
      ? holds === undefined || holds[0](answer)
        ? undefined
        : holds[1]
      : `it must be ${expected}: ${answer.text.slice(0, 300)}`;
  print(`   ${bold(String(answer.status))}  ${wrapped(why, ' '.repeat(8)).trimStart()}`);
  if (fault !== undefined) {
    faults.push(`step ${stepNumber}, ${who}: ${answer.status}, ${fault}`);
    print(`   WRONG: ${fault}`);
  }
  return answer;
}

/** A transaction that feeds one document with its content. */
function feed(document: { readonly title: string; readonly type: string; readonly text: string }): Resource {
  const binary = `urn:uuid:${randomUUID()}`;
  return transactionBody([
    { fullUrl: binary, resource: binaryBody(document.text) },
    {
      fullUrl: `urn:uuid:${randomUUID()}`,
      resource: documentBody({
        uniqueId: `urn:uuid:${randomUUID()}`,
        typeCode: document.type,
        subject: ref('camille'),
        traits: traitsOf('camille'),
        author: ref('hospital'),
        labels: [],
        date: new Date().toISOString(),
        binary,
        title: document.title,
      }),
    },
  ]);
}

type Entry = { readonly resource?: Resource; readonly response?: { readonly location?: string } };
const entriesOf = (answer: Answered): readonly Entry[] => (answer.json?.['entry'] ?? []) as readonly Entry[];
/** `Type/id` of each location in the answer to a transaction. */
const locationsOf = (answer: Answered): readonly string[] =>
  entriesOf(answer).map(
    (e) => /[A-Z][A-Za-z]+\/[A-Za-z0-9.-]+(?=\/_history)/.exec(e.response?.location ?? '')?.[0] ?? '',
  );

async function story(): Promise<void> {
  const hospital = token('hospital', {});
  const camille = token('camille', {});
  const alice = token('dr-alice', {});
  const bruno = token('dr-bruno', {});
  const chloe = token('dr-chloe', {});
  const reason = 'found unconscious in the street, no relative to ask';
  const chloeAtNight = token('dr-chloe', { purpose: 'BTG', patient: 'camille', reason });

  step('A hospital feeds a discharge letter');
  const fed = await play(
    {
      method: 'POST',
      path: '',
      token: hospital,
      body: feed({ title: 'Lettre de sortie', type: '11490-0', text: 'Synthetic discharge letter of Camille ESSAI.' }),
    },
    {
      who: 'Hôpital TEST (its software)',
      says: 'files a DocumentReference and its Binary, in one transaction',
      expected: 200,
      why: 'W1: an establishment may always feed an open space. The identity in the letter is qualified and equal to the one registered.',
    },
  );
  const [letterContent = '', letter = ''] = locationsOf(fed);
  names.set('letter', letter);
  names.set('letterContent', letterContent);
  const fedToo = await play(
    {
      method: 'POST',
      path: '',
      token: hospital,
      body: feed({ title: 'Compte rendu d’imagerie', type: '18748-4', text: 'Synthetic imaging report.' }),
    },
    { who: 'Hôpital TEST (its software)', says: 'files an imaging report as well', expected: 200, why: 'W1 again.' },
  );
  const [reportContent = '', report = ''] = locationsOf(fedToo);
  names.set('report', report);
  names.set('reportContent', reportContent);

  step('The attending physician reads it');
  await play(
    { path: letter, token: alice },
    {
      who: 'Dr Alice TEST',
      says: 'reads the letter, to treat',
      expected: 200,
      why: 'A3: Assurance Maladie declared her as the attending physician. D1: the matrix lets physicians read discharge letters.',
    },
  );
  await play(
    { path: letterContent, token: alice, headers: { accept: '*/*' } },
    {
      who: 'Dr Alice TEST',
      says: 'downloads its content',
      expected: 200,
      why: 'A Binary follows its document. Its bytes are streamed, and each chunk is decided anew.',
      holds: [({ text }) => text.startsWith('Synthetic discharge letter'), 'the content is not what was filed'],
    },
  );

  step('Another professional is refused, as if the letter did not exist');
  const refused = await play(
    { path: letter, token: bruno },
    {
      who: 'Dr Bruno TEST, same practice',
      says: 'reads the letter, to treat',
      expected: 404,
      why: 'A3: there is no ground for him. Sharing a practice with the attending physician is none.',
    },
  );
  await play(
    { path: `DocumentReference/${randomUUID()}`, token: bruno },
    {
      who: 'Dr Bruno TEST, same practice',
      says: 'asks for an id that never existed',
      expected: 404,
      why: 'Byte for byte the same answer: what he may not see cannot be told from what is not there.',
      holds: [({ text }) => text === refused.text, 'the two answers differ'],
    },
  );

  step('The person authorises him');
  await play(
    {
      method: 'POST',
      path: 'Consent',
      token: camille,
      body: consentBody({
        kind: 'professional-access',
        patient: ref('camille'),
        performer: ref('camille'),
        provision: 'permit',
        actor: ref('dr-bruno'),
        dateTime: new Date().toISOString(),
      }),
    },
    {
      who: 'Camille ESSAI',
      says: 'writes a Consent: a permit for Dr Bruno',
      expected: 201,
      why: 'W9: the person decides who may consult. It is in force from this instant.',
    },
  );
  await play(
    { path: letter, token: bruno },
    {
      who: 'Dr Bruno TEST',
      says: 'reads the letter again',
      expected: 200,
      why: 'A3: now there is a ground. Nothing was cached, nothing has to be refreshed.',
    },
  );

  step('The person masks the letter');
  await play(
    { method: 'POST', path: `${letter}/$mask`, token: camille, body: { resourceType: 'Parameters' } },
    {
      who: 'Camille ESSAI',
      says: 'masks the letter from professionals',
      expected: 200,
      why: 'W4: the letter now carries MASQUE_PS. The label governs all its versions.',
    },
  );
  await play(
    { path: letter, token: bruno },
    {
      who: 'Dr Bruno TEST',
      says: 'reads the letter once more',
      expected: 404,
      why: 'L1: a masked document is hidden from other professionals, authorised ones included.',
    },
  );
  await play(
    { path: letter, token: alice },
    {
      who: 'Dr Alice TEST',
      says: 'reads the letter',
      expected: 200,
      why: 'L1: the attending physician and the author still see what is masked.',
    },
  );

  step('An emergency physician breaks the glass');
  const list = `DocumentReference?patient=${ref('camille')}&_sort=-date`;
  await play(
    { path: list, token: chloe },
    {
      who: 'Dr Chloé TEST, SAMU',
      says: 'looks for Camille’s documents, to treat',
      expected: 200,
      why: 'A3: there is no ground for her, so she finds nothing. A search has no other way to say no.',
      holds: [(a) => entriesOf(a).length === 0, 'she found something'],
    },
  );
  await play(
    { path: list, token: chloeAtNight },
    {
      who: 'Dr Chloé TEST, SAMU',
      says: `breaks the glass: “${reason}”`,
      expected: 200,
      why: 'A4: Camille did not oppose it. She finds the imaging report, and does not learn that there is a letter.',
      holds: [
        (a) =>
          entriesOf(a)
            .map((e) => `DocumentReference/${e.resource?.['id']}`)
            .join() === report,
        'she must find the imaging report alone',
      ],
    },
  );
  await play(
    { path: letter, token: chloeAtNight },
    {
      who: 'Dr Chloé TEST, SAMU',
      says: 'tries the id of the letter',
      expected: 404,
      why: 'L1: the glass does not open what is masked, unless the person said so beforehand.',
    },
  );

  step('The person reads who saw what, and under which rule');
  const register = await play(
    { path: `AuditEvent?patient=${ref('camille')}&_sort=date&_count=100&date=ge${startedAt}`, token: camille },
    {
      who: 'Camille ESSAI',
      says: 'searches the register of accesses',
      expected: 200,
      why: 'O1: each of these was durable before the first byte of its answer left. D8: she sees all that is about her.',
    },
  );
  showRegister(register);

  step('And what she was told without asking');
  const notices = await play(
    { path: 'Communication?category=notification&_sort=sent', token: camille },
    {
      who: 'Camille ESSAI',
      says: 'reads her notices',
      expected: 200,
      why: 'O2: written with what they tell of, without health data or names. The emergency was told to Dr Alice as well.',
    },
  );
  showNotices(notices);
}

/** The sentence of each notice, in French as the person reads it. */
function showNotices(answer: Answered): void {
  const entries = (answer.json?.['entry'] ?? []) as readonly {
    readonly resource: { readonly payload?: readonly { readonly contentString?: string }[] };
  }[];
  print('');
  for (const { resource } of entries) print(`   ${resource.payload?.[0]?.contentString ?? ''}`);
}

// ---- the register of accesses -------------------------------------------------------------------------------------

type Coded = { readonly code?: string };
type Agent = {
  readonly requestor?: boolean;
  readonly who?: { readonly reference?: string };
  readonly purposeOfUse?: readonly { readonly coding?: readonly Coded[] }[];
  readonly extension?: readonly { readonly valueString?: string }[];
};
type Entity = {
  readonly what?: { readonly reference?: string };
  readonly detail?: readonly { readonly type: string; readonly valueString?: string }[];
};
type Event = {
  readonly recorded?: string;
  readonly outcome?: string;
  readonly subtype?: readonly Coded[];
  readonly agent?: readonly Agent[];
  readonly entity?: readonly Entity[];
};

/** What the people of the story call a resource. */
const CALLED: Readonly<Record<string, string>> = {
  camille: 'Camille',
  'dr-alice': 'Dr Alice',
  'dr-bruno': 'Dr Bruno',
  'dr-chloe': 'Dr Chloé',
  hospital: 'Hôpital TEST',
  letter: 'the letter',
  letterContent: 'its content',
  report: 'the report',
  reportContent: 'its content',
};

function called(reference: string | undefined): string {
  const known = [...names].find(([, value]) => value === reference)?.[0];
  return CALLED[known ?? ''] ?? (reference === undefined ? '' : (reference.split('/')[0] ?? ''));
}

function rowOf(event: Event): Row {
  const agent = event.agent?.find((a) => a.requestor === true);
  const entities = event.entity ?? [];
  const items = [
    ...new Set(entities.map((e) => e.what?.reference).filter((r) => r !== undefined && r !== ref('camille'))),
  ];
  const rules = entities.flatMap((e) => e.detail ?? []).filter((d) => d.type === 'rule');
  const reason = agent?.extension?.find((e) => e.valueString !== undefined)?.valueString;
  const cells = [
    event.recorded?.slice(11, 19) ?? '',
    called(agent?.who?.reference),
    agent?.purposeOfUse?.[0]?.coding?.[0]?.code ?? '',
    `${event.subtype?.[0]?.code ?? ''}${event.outcome === '0' ? '' : ', refused'}`,
    items.map(called).toReversed().join(', '),
    [...new Set(rules.map((d) => d.valueString))].join(' '),
  ];
  return { cells, note: reason === undefined ? '' : `reason: ${reason}` };
}

function showRegister(answer: Answered): void {
  const events = entriesOf(answer).map((e) => e.resource as unknown as Event);
  print('');
  print(table(['UTC', 'who', 'purpose', 'action', 'item', 'rules'], events.map(rowOf)));
  const seen = events.map(rowOf).map(({ cells, note }) => [...cells, note].join(' ').replaceAll(/ +/g, ' '));
  const mustShow: readonly (readonly [pattern: RegExp, what: string])[] = [
    [/Hôpital TEST.*transaction.*W1/, 'the feed of the hospital'],
    [/Dr Alice TREAT read the letter.*A3/, 'the reading of the attending physician'],
    [/Dr Bruno TREAT read, refused the letter.*A3/, 'the refusal for want of a ground'],
    [/Dr Bruno TREAT read, refused the letter.*L1/, 'the refusal of what is masked'],
    [/Dr Chloé BTG search-type the report.*A4.*unconscious/, 'the broken glass, with its reason'],
  ];
  for (const [pattern, what] of mustShow)
    if (!seen.some((row) => pattern.test(row))) faults.push(`the register does not show ${what}`);
}

// ---- what to paste ------------------------------------------------------------------------------------------------

/** `curl` lines with tokens that live as long as any may live here: ten minutes, breaking the glass included. */
function showCurl(): void {
  const until = new Date(Date.now() + TOKEN_SECONDS * 1000).toTimeString().slice(0, 8);
  const shell = (name: string, value: string): string => `${name}='${value}'`;
  const curl = (variable: string, path: string): string =>
    `curl -s -H "Authorization: Bearer $${variable}" '${base}/${path}_pretty=true'`;
  print(`\n${bold('Now you')}`);
  print(`\n   The tokens below are valid for 10 minutes, until ${until} local time.\n`);
  print(shell('CAMILLE', token('camille', {})));
  print(shell('ALICE', token('dr-alice', {})));
  print(shell('BRUNO', token('dr-bruno', {})));
  print(
    shell(
      'CHLOE',
      token('dr-chloe', { purpose: 'BTG', patient: 'camille', reason: 'trying the demonstration by hand' }),
    ),
  );
  print(`\n# the attending physician reads the letter; Dr Bruno is told that there is none`);
  print(curl('ALICE', `${ref('letter')}?`));
  print(curl('BRUNO', `${ref('letter')}?`));
  print(`\n# Dr Chloé, with a reason, finds Camille by her INS and sees what is not masked`);
  print(curl('CHLOE', `Patient?identifier=${encodeURIComponent(insOf('camille'))}&`));
  print(curl('CHLOE', `DocumentReference?patient=${ref('camille')}&_sort=-date&`));
  print(`\n# the person unmasks the letter (and Dr Bruno reads it), then looks at the register`);
  print(
    `curl -s -X POST -H "Authorization: Bearer $CAMILLE" -H 'Content-Type: application/fhir+json' -d '{"resourceType":"Parameters"}' '${base}/${ref('letter')}/$unmask'`,
  );
  print(curl('CAMILLE', `AuditEvent?patient=${ref('camille')}&_sort=-date&_count=5&`));
  print(`\n# what the server says of itself needs no token`);
  print(`curl -s '${base}/metadata'`);
}

// ---- all of it ----------------------------------------------------------------------------------------------------

print(bold('Carnet: the story of a discharge letter'));
print('');
if (port !== wanted) print(`   Port ${wanted} is taken by another program, so this one listens on ${port}.`);
print(`   server   ${base}`);
print(`   store    ${join(folder, 'carnet.db')} (fresh, removed at the end)`);
print(`   issuers  ${join(folder, 'issuers.json')}`);

let startedAt = '';
try {
  await buildWorld(world);
  startedAt = new Date().toISOString();
  print(`\n   The world was built through the API: the operator wrote the directory (structures and professionals`);
  print('   with their national ids), the insurer registered Camille ESSAI, opened her space (`active`)');
  print('   and declared Dr Alice TEST as her attending physician. Everybody here is synthetic.');
  await story();
} catch (error) {
  faults.push(error instanceof Error ? error.message : 'the story broke off');
}

if (faults.length > 0) {
  print(`\n${bold('This did not go as it must:')}`);
  for (const fault of faults) print(`   ${fault}`);
} else {
  print(`\n   ${stepNumber} steps, each answered as it must.`);
}
if (once) await end(faults.length === 0 ? 0 : 1);
if (names.has('letter')) showCurl();
print(`\n   The server goes on at ${base}. Ctrl-C ends it.${isTerminal ? ' Enter prints fresh tokens.' : ''}`);
if (names.has('letter') && process.stdin.isTTY) process.stdin.on('data', showCurl);

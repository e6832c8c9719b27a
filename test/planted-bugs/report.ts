/** What came of the faults, and the page that says so. */
import { CATALOGUE } from './catalogue/index.ts';
import { AREAS, areaOf, MUST_ALL_BE_CAUGHT, type PlantedBug } from './planted-bug.ts';

export type Outcome =
  | { readonly kind: 'caught'; readonly by: string; readonly test: string }
  | { readonly kind: 'missed' }
  /** The tests did not end in time. */
  | { readonly kind: 'hung'; readonly by: string }
  /** The fault does not apply, does not compile, or keeps the server from starting. */
  | { readonly kind: 'broke'; readonly why: string };

export type Result = { readonly bug: PlantedBug; readonly outcome: Outcome; readonly seconds: number };

/** Text in a cell of a table. */
const cell = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('|', '\\|').replaceAll('<', '&lt;').replace(/\s+/g, ' ');

const said = ({ outcome }: Result): string => {
  switch (outcome.kind) {
    case 'caught':
      return `\`${outcome.by}\`: ${cell(outcome.test)}`;
    case 'missed':
      return '**missed**';
    case 'hung':
      return '**the tests did not end**';
    default:
      return '**not planted**';
  }
};

/** What an earlier page says of each fault, by id. */
const saidBefore = (text: string): ReadonlyMap<string, string> =>
  new Map(
    [...text.matchAll(/^\| `([^`]+)` \|.*?(?<!\\)\| (.*) \|$/gm)].map(([, id = '', became = '']) => [id, became]),
  );

const NOT_YET = '**not planted yet**';

/** docs/planted-bugs.md: what became of each fault, as seen now, or as the page said before. */
export function page(results: readonly Result[], before: string): string {
  const earlier = saidBefore(before);
  const now = new Map(results.map((result) => [result.bug.id, said(result)]));
  const rows = CATALOGUE.map((bug) => ({ bug, became: now.get(bug.id) ?? earlier.get(bug.id) ?? NOT_YET }));
  const count = (of: typeof rows): string =>
    `${of.filter(({ became }) => !became.startsWith('**')).length} / ${of.length}`;
  const sections = AREAS.map((area) => {
    const own = rows.filter(({ bug }) => areaOf(bug) === area);
    const lines = own.map(({ bug, became }) => `| \`${bug.id}\` | ${cell(bug.fault)} | ${became} |`);
    return [
      `## ${area}: ${count(own)}`,
      '',
      '| Fault | What it does | Caught by |',
      '| --- | --- | --- |',
      ...lines,
      '',
    ].join('\n');
  });
  const must = MUST_ALL_BE_CAUGHT.map((area) => `\`${area}\``).join(', ');
  return [
    '# Planted bugs',
    '',
    `A test that has never failed proves nothing. Each fault below is planted alone in a throwaway copy of the server; it compiles, the server starts, and`,
    `the tests must notice: **${count(rows)}** do. Those in ${must} must all be caught: there, one that passes is a leak or a missing record.`,
    '',
    '`npm run planted-bugs` plants them, `npm run planted-bugs -- --write` writes this page from what it saw. The catalogue is',
    '`test/planted-bugs/catalogue`: a text of the server, and what it becomes. `test/planted-bugs.test.ts` tells whoever changes such a text to keep the',
    'fault plantable. A fault that is missed is worth more than the others: the test that would have noticed it is written first.',
    '',
    ...sections,
  ].join('\n');
}

/** What came of the faults, and the page that says so. */
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

const isCaught = ({ outcome }: Result): boolean => outcome.kind === 'caught';

/** docs/planted-bugs.md. */
export function page(results: readonly Result[]): string {
  const count = (of: readonly Result[]): string => `${of.filter(isCaught).length} / ${of.length}`;
  const sections = AREAS.map((area) => {
    const own = results.filter(({ bug }) => areaOf(bug) === area);
    const rows = own.map((result) => `| \`${result.bug.id}\` | ${cell(result.bug.fault)} | ${said(result)} |`);
    return [
      `## ${area}: ${count(own)}`,
      '',
      '| Fault | What it does | Caught by |',
      '| --- | --- | --- |',
      ...rows,
      '',
    ].join('\n');
  });
  return [
    '# Planted bugs',
    '',
    `A test that has never failed proves nothing. Each fault below is planted alone in a throwaway copy of the server; it compiles, the server starts, and the`,
    `tests must notice. **${count(results)}** are caught. Those in ${MUST_ALL_BE_CAUGHT.map((area) => `\`${area}\``).join(', ')} must all be: there, one that passes is a leak or a`,
    'missing record.',
    '',
    '`npm run planted-bugs` plants them again, `npm run planted-bugs -- --write` writes this page from what it saw. The catalogue is in',
    '`test/planted-bugs/catalogue`: texts of the server and what they become. `test/planted-bugs.test.ts` tells whoever changes such a text to keep the fault',
    'plantable. A fault that is missed is worth more than the others: the test that would have noticed it is written first.',
    '',
    ...sections,
  ].join('\n');
}

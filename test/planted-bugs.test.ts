/** The catalogue of planted bugs stays plantable: whoever changes a text that a fault is made of changes the fault with it. */
import { existsSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { CATALOGUE } from './planted-bugs/catalogue/index.ts';
import { AREAS, areaOf, planted, selectorOf } from './planted-bugs/planted-bug.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

describe('the catalogue of planted bugs', () => {
  test('each fault applies, once, to a file that can still be read; tests stand ready to notice it', () => {
    const wrong: string[] = [];
    for (const bug of CATALOGUE) {
      try {
        for (const [file, text] of planted(bug, read)) {
          if (text === read(file)) wrong.push(`${bug.id} changes nothing in ${file}`);
          stripTypeScriptTypes(text);
        }
      } catch (error) {
        wrong.push(error instanceof Error && !(error instanceof SyntaxError) ? error.message : `${bug.id}: ${error}`);
      }
      for (const selector of bug.caughtBy) {
        const { file, names } = selectorOf(selector);
        if (!existsSync(join(root, file))) wrong.push(`${bug.id}: there is no ${file}`);
        else if (names !== undefined && bug.caughtBy.length === 0) wrong.push(`${bug.id}: nothing is asked of ${file}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('ids are unique, every area has its faults, and each fault is told in a sentence', () => {
    const ids = CATALOGUE.map((bug) => bug.id);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
    expect(AREAS.filter((area) => CATALOGUE.filter((bug) => areaOf(bug) === area).length < 8)).toEqual([]);
    expect(CATALOGUE.length).toBeGreaterThanOrEqual(200);
    expect(CATALOGUE.filter((bug) => !/^.{10,200}\.$/.test(bug.fault)).map((bug) => bug.id)).toEqual([]);
    expect(CATALOGUE.filter((bug) => bug.caughtBy.length === 0).map((bug) => bug.id)).toEqual([]);
  });

  test('docs/planted-bugs.md tells what became of each: `npm run planted-bugs -- --write`', () => {
    const told = [...read('docs/planted-bugs.md').matchAll(/^\| `([^`]+)` \|/gm)].map(([, id]) => id);
    expect(told).toEqual(CATALOGUE.map((bug) => bug.id));
  });
});

/** The shape of the code: who may import whom, what is pure, who may make a permission. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** layer → what it may import. Anything not listed is forbidden. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  fhir: ['@medplum/core', '@medplum/fhirtypes', 'saxes'],
  query: ['fhir'],
  access: ['fhir', 'query'],
  audit: ['fhir', 'access'],
  ports: ['fhir', 'query', 'access', 'audit'],
  app: ['fhir', 'query', 'access', 'audit', 'ports', 'mappings'],
  adapters: ['fhir', 'query', 'access', 'audit', 'ports', 'jsonwebtoken', 'ajv', 'mongodb', 'tar-stream', 'node:*'],
  http: ['fhir', 'ports', 'app', 'express', 'node:*'],
  config: ['fhir', 'access', 'adapters', 'ajv', 'node:*'],
  main: ['*'],
  cli: ['*'],
  mappings: ['fhir', '@medplum/core'],
};
const PURE = ['fhir', 'query', 'access', 'audit', 'app', 'mappings'];
const IMPURE = /\bDate\.now\(|\bnew Date\(\)|Math\.random\(|\bprocess\.|\bfetch\(|\bconsole\./;
const BANNED_NAME = /manager|helper|utils?\b|service|handler|processor|impl\b/i;

const files = ['server', 'mappings'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts'))
    .map((f) => join(folder, f)),
);
const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');
const layerOf = (path: string): string => (path.replace(/^server\//, '').split('/')[0] ?? '').replace(/\.ts$/, '');
const STATEMENT = /^(?:import|export)\s+(type\s)?[^;']*?from\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm;
const importsOf = (file: string): readonly string[] =>
  [...textOf(file).matchAll(STATEMENT)].map((m) => m[2] ?? m[3] ?? '');
const resolved = (file: string, spec: string): string =>
  relative('.', normalize(join(dirname(file), spec))).replaceAll('\\', '/');

describe.each(files)('%s', (file) => {
  test('imports only what its layer may', () => {
    const own = layerOf(file);
    const allowed = MAY_IMPORT[own] ?? [];
    const foreign = importsOf(file).filter((spec) => {
      const to = spec.startsWith('.') ? layerOf(resolved(file, spec)) : spec;
      return to !== own && !allowed.some((a) => a === '*' || a === to || (a === 'node:*' && to.startsWith('node:')));
    });
    expect(foreign).toEqual([]);
  });

  if (PURE.includes(layerOf(file))) {
    test('is pure', () => {
      expect(textOf(file)).not.toMatch(IMPURE);
    });
  }

  test('has a name of the field', () => {
    expect(file.split('/').at(-1)).not.toMatch(BANNED_NAME);
  });
});

const having = (pattern: RegExp): string[] => files.filter((f) => pattern.test(textOf(f)));

test('a Guard is made in one file, a GuardedPlan and a Hop in another', () => {
  expect(having(/\bas Guard\b/)).toEqual(['server/access/decision.ts']);
  expect(having(/\bas (GuardedPlan|Hop)\b/)).toEqual(['server/query/plan.ts']);
});

test('the server looks for itself in named files only', () => {
  expect(having(/\bsystemGuard\(/).sort()).toEqual(
    [
      'server/access/decision.ts',
      'server/app/closure.ts',
      'server/app/facts.ts',
      'server/app/interactions/bundle.ts',
      'server/app/interactions/read.ts',
      'server/app/notices/announcement.ts',
      'server/app/notices/preferences.ts',
      'server/app/notices/tell.ts',
      'server/app/record.ts',
      'server/app/types/appointment.ts',
      'server/app/types/belongings.ts',
      'server/app/types/communication.ts',
      'server/app/types/consent.ts',
      'server/app/types/directory.ts',
      'server/app/types/document.ts',
      'server/app/types/identity.ts',
      'server/app/types/related-person.ts',
      'server/app/unattached.ts',
      'server/app/work.ts',
      'server/cli/check.ts',
      'server/cli/migrate.ts',
    ].sort(),
  );
});

test('XML is parsed behind one guard', () => {
  expect(having(/from 'saxes'|xmldom|DOMParser|fast-xml/)).toEqual(['server/fhir/xml/guard.ts']);
});

test('the environment is read in one file', () => {
  expect(having(/\bprocess\.env\b/)).toEqual(['server/config.ts']);
});

test('no import goes round in a circle', () => {
  const graph = new Map(
    files.map((f) => [
      f,
      // A type imported alone is erased: it cannot make a cycle at run time.
      [...textOf(f).matchAll(STATEMENT)]
        .filter((m) => m[1] === undefined && (m[2] ?? '').startsWith('.'))
        .map((m) => resolved(f, m[2] ?? '')),
    ]),
  );
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) throw new Error(`cycle: ${[...path, file].join(' → ')}`);
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) walk(next, [...path, file]);
    done.add(file);
  };
  expect(() => {
    for (const file of files) walk(file, []);
  }).not.toThrow();
});

test('only the decision looks at the kind of a caller to give sight; no post-filter', () => {
  // A search answers what the store returned: an array of matches is never filtered on its way out.
  expect(textOf('server/app/interactions/search.ts')).not.toMatch(/matches\s*\.filter\(/);
});

/**
 * A second opinion, asked on demand (`npm run test:validator`): the HL7 engine behind a small command beside the project, offline, with Java. What it says of our
 * conformance resources, of the samples in `verdicts.ts`, and of everything that the server answered in the stories.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { profileOf } from '../../server/app/profiles.ts';
import { claimsOf } from '../../server/fhir/profile-claims.ts';
import type { Resource } from '../../server/fhir/types.ts';
import { packagesFolder, samplesOfOurTypes } from '../support/packages-samples.ts';
import { missingSamples } from '../support/samples.ts';
import { DIFFERENT, REFUSED } from '../unit/profiles/verdicts.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const command = path('../../../shared/tools/validator/validate');
const conformance = path('../../fhir-profiles/conformance');
const data = path('../../../shared/data');
/** Where `npm run test:validator` has the stories put what was answered, one resource a line. */
const answers = process.env['CARNET_GOLDEN_ANSWERS'] ?? '';

const why =
  answers === ''
    ? 'asked for by `npm run test:validator` alone'
    : existsSync(command)
      ? undefined
      : 'the validator is not beside the project';

type Verdict = { readonly accepted: boolean; readonly errors: readonly string[] };

/** Runs the command; by the name of each file, or `line 7`. Without Java the command fails, and the test with it. */
const ask = (args: readonly string[], lines = ''): Promise<ReadonlyMap<string, Verdict>> =>
  new Promise((resolve, reject) => {
    const child = execFile(command, [...args], { maxBuffer: 512 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (!/\d+ valid, \d+ with errors\s*$/.test(stdout)) {
        reject(new Error(`the validator did not finish: ${error?.message} ${stderr.slice(-2000)}`));
        return;
      }
      const found = new Map<string, { accepted: boolean; errors: string[] }>();
      let current: { accepted: boolean; errors: string[] } | undefined;
      for (const line of stdout.split('\n')) {
        const [, said, name] = /^(ok|ERROR)\s+(.*)$/.exec(line) ?? [];
        if (name !== undefined) {
          current = { accepted: said === 'ok', errors: [] };
          found.set(name, current);
        } else if (/^ {2}(error|fatal)/.test(line)) current?.errors.push(line.trim());
      }
      resolve(found);
    });
    child.stdin?.end(lines);
  });

/** What it cannot do without a package server: make the snapshot of any extension, of FR Core's too. */
const ITS_OWN = /Error generating Snapshot: Unable to resolve package id hl7\.fhir\.r4\.core#null/;

const faulty = (verdicts: ReadonlyMap<string, Verdict>, excused: RegExp): readonly string[] =>
  [...verdicts].flatMap(([name, { errors }]) => errors.filter((e) => !excused.test(e)).map((e) => `${name}: ${e}`));

describe.skipIf(why !== undefined)(`an independent validator${why === undefined ? '' : `: ${why}`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'carnet-validator-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('accepts our conformance resources', async () => {
    const verdicts = await ask(['--with', conformance, '--errors-only', conformance]);
    expect(verdicts.size).toBeGreaterThan(60);
    expect(faulty(verdicts, ITS_OWN)).toEqual([]);
  }, 900_000);

  it('accepts what the server answers in the stories, by the profiles that apply and those that it claims', async () => {
    const resources = [...new Set(readFileSync(answers, 'utf8').split('\n'))]
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Resource)
      .map((resource) => {
        const own = profileOf(resource);
        const claims = own === undefined ? claimsOf(resource) : [own, ...claimsOf(resource)];
        return claims.length === 0 ? resource : { ...resource, meta: { ...resource.meta, profile: claims } };
      });
    const sent = join(folder, 'answers.ndjson');
    const lines = resources.map((resource) => JSON.stringify(resource)).join('\n');
    writeFileSync(sent, lines);
    const claimed = ['ihe.iti.balp-profiles.tgz', 'ihe.iti.mhd-profiles.tgz'].flatMap((file) => [
      '--with',
      join(packagesFolder, file),
    ]);
    const verdicts = await ask(['--with', conformance, ...claimed, '--errors-only', '--lines'], lines);
    expect(verdicts.size).toBe(resources.length);
    const errors = [...verdicts].flatMap(([name, { errors: said }]) => {
      const type = resources[Number(name.replace('line ', '')) - 1]?.resourceType;
      return said.map((error) => `${type}: ${error}`);
    });
    expect(errors).toEqual([]);
  }, 900_000);

  it.skipIf(missingSamples('profiles') !== undefined)(
    'says of the samples what we say, but for the differences that are stated',
    async () => {
      const samples = samplesOfOurTypes();
      const files = samples.map(({ name }) => join(data, name));
      const verdicts = await ask(['--with', conformance, '--with', packagesFolder, '--errors-only', ...files]);
      const different = samples
        .filter(({ name }) => verdicts.get(join(data, name))?.accepted === (REFUSED[name] !== undefined))
        .map(({ name }) => name);
      expect(different.toSorted()).toEqual(Object.keys(DIFFERENT).toSorted());
    },
    900_000,
  );
});

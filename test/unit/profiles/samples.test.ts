/** Real documents of others, with the official packages: each is accepted, or refused for the reason that the table states. */
import { beforeAll, describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { shippedConformance } from '../../../server/adapters/validator/profile/own.ts';
import { readPackages } from '../../../server/adapters/validator/profile/packages.ts';
import { profileValidator } from '../../../server/adapters/validator/profile/profiles.ts';
import { r4Validator } from '../../../server/adapters/validator/validator.ts';
import { claimsOf } from '../../../server/fhir/profile-claims.ts';
import type { ProfileValidator } from '../../../server/ports/validator.ts';
import { packagesFolder, samplesOfOurTypes } from '../../support/packages-samples.ts';
import { missingSamples, type Sample } from '../../support/samples.ts';
import { DIFFERENT, REFUSED } from './verdicts.ts';

const missing = missingSamples('profiles') ?? missingSamples('fr-examples');

describe.skipIf(missing !== undefined)(`samples of others${missing === undefined ? '' : `: ${missing}`}`, () => {
  const definitions = shippedDefinitions();
  const r4 = r4Validator(definitions);
  const samples = samplesOfOurTypes();
  let profiles: ProfileValidator;
  beforeAll(async () => {
    const packages = await readPackages(packagesFolder);
    // INVARIANT of this test: every profile of a package has its snapshot.
    const unmade = packages
      .flatMap(({ resources }) => resources)
      .filter((r) => r['resourceType'] === 'StructureDefinition' && r['snapshot'] === undefined);
    expect(unmade).toEqual([]);
    profiles = profileValidator({
      definitions,
      own: shippedConformance(),
      packages: packages.flatMap(({ resources }) => resources),
    });
  });

  const errorsOf = ({ resource }: Sample): readonly string[] => {
    const faults = r4.validate(resource);
    if (faults.length > 0) return faults.map(({ at, text }) => `${at}: ${text}`);
    return profiles
      .check(resource, claimsOf(resource).filter(profiles.knows))
      .filter(({ severity }) => severity === 'error')
      .map(({ at, text }) => `${at}: ${text}`);
  };

  it('are accepted, or refused for the reason stated', () => {
    const surprising: string[] = [];
    for (const sample of samples) {
      const errors = errorsOf(sample);
      const reason = REFUSED[sample.name];
      const asStated = reason === undefined ? errors.length === 0 : errors.some((error) => reason.test(error));
      if (!asStated) surprising.push(`${sample.name}: ${errors.slice(0, 3).join(' | ') || 'accepted'}`);
    }
    expect(surprising).toEqual([]);
    expect(samples.length).toBeGreaterThan(150);
  }, 120_000);

  it('and the tables name samples that are there', () => {
    const names = new Set(samples.map(({ name }) => name));
    expect([...Object.keys(REFUSED), ...Object.keys(DIFFERENT)].filter((name) => !names.has(name))).toEqual([]);
  });
});

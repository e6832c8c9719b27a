/** Whom a verified token stands for is looked up in the directory at each request: contract.md "Identity of callers". */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { World, WorldCaller } from '../../oracle/world.ts';
import { type Dispatching, dispatching } from '../../support/dispatching.ts';
import { practitionerBody } from '../../support/fhir-bodies.ts';
import { mintToken } from '../../support/in-process.ts';
import { twinWorld } from '../../support/twin-run.ts';
import { sameIds } from '../../support/twins.ts';
import { nationalId } from '../../support/world.ts';

const [world] = fc.sample(twinWorld, { seed: 1, numRuns: 1 }) as [World];
const doctor: WorldCaller = {
  kind: 'professional',
  person: 'dr1',
  profession: '10',
  structure: 's1',
  purpose: 'TREAT',
};

let stage: Dispatching;
beforeAll(async () => {
  stage = await dispatching(world);
});
afterAll(() => stage.dispose());

const statusFor = async (token: string): Promise<number> =>
  (await stage.ask(token, { address: 'Organization?name=TEST' })).response.status;

/** The operator's change of the directory. */
async function register(id: string, more: object): Promise<void> {
  const json = { ...practitionerBody(nationalId(id), id.toUpperCase()), id, ...more };
  const { response } = await stage.ask(stage.token({ kind: 'operator' }), {
    method: 'PUT',
    address: `Practitioner/${id}`,
    json,
  });
  expect(response.status).toBe(200);
}

describe('a professional', () => {
  test('is whom both `fhirUser` and the national identifier name', async () => {
    expect(await statusFor(stage.token(doctor))).toBe(200);
    const another = new Map(sameIds(world)).set('Practitioner/dr1', 'dr2');
    expect(await statusFor(mintToken(doctor, another, stage.now()))).toBe(401);
  });

  test('is refused from the moment the directory takes them out of service, and let in again after', async () => {
    expect(await statusFor(stage.token(doctor))).toBe(200);
    await register('dr1', { active: false });
    expect(await statusFor(stage.token(doctor))).toBe(401);
    await register('dr1', { active: true });
    expect(await statusFor(stage.token(doctor))).toBe(200);
  });

  test('is refused when the directory gives their national identifier to somebody else', async () => {
    await register('dr1', { identifier: [{ system: 'urn:oid:1.2.250.1.71.4.2.1', value: '899700000999' }] });
    expect(await statusFor(stage.token(doctor))).toBe(401);
    await register('dr1', {});
    expect(await statusFor(stage.token(doctor))).toBe(200);
  });
});

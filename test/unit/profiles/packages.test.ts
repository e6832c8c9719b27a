/** Packages of the host: read whole, within limits, and never believed to be what they are not. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { readPackage, readPackages } from '../../../server/adapters/validator/profile/packages.ts';
import { profileValidator } from '../../../server/adapters/validator/profile/profiles.ts';
import { readConfig } from '../../../server/config.ts';
import { packageOf, smallPackage } from '../../support/packages.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'carnet-packages-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const written = (bytes: Uint8Array, name = 'a.tgz'): string => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

describe('a package', () => {
  it('brings its profiles, value sets and guide; examples and other files stay outside', async () => {
    const read = await readPackage(written(await smallPackage()));
    expect({ ...read, resources: read.resources.map((r) => r['url']) }).toEqual({
      id: 'test.example',
      version: '1.2.0',
      guide: 'https://guide.example/ImplementationGuide/test',
      resources: ['https://guide.example/StructureDefinition/named-patient'],
    });
  });

  it('is told by its claims: known in its version, unknown in another', async () => {
    const { resources } = await readPackage(written(await smallPackage()));
    const profiles = profileValidator({ definitions: shippedDefinitions(), own: [], packages: resources });
    const url = 'https://guide.example/StructureDefinition/named-patient';
    expect([url, `${url}|1.2.0`, `${url}|9.9`, `${url}x`].map(profiles.knows)).toEqual([true, true, false, false]);
    expect(profiles.ofPackages('Patient')).toEqual([url]);
    expect(profiles.ofPackages('Observation')).toEqual([]);
    expect(profiles.check({ resourceType: 'Patient' }, [url])).toEqual([
      { severity: 'error', code: 'required', at: 'Patient.name', text: 'at least 1 by the profile, not 0' },
    ]);
    expect(profiles.check({ resourceType: 'Patient', name: [{ text: 'a' }] }, [url])).toEqual([]);
  });

  it.each([
    ['is not gzip', async () => Buffer.from('not a package'), /incorrect header/],
    [
      'has no manifest',
      () => packageOf({ 'package/a.json': { resourceType: 'ValueSet' } }),
      /`package.json` is missing/,
    ],
    [
      'is for another version',
      () => packageOf({ 'package/package.json': { name: 'a', version: '1', fhirVersions: ['5.0.0'] } }),
      /not for R4/,
    ],
    ['has no name', () => packageOf({ 'package/package.json': { version: '1' } }), /no name and version/],
    ['is cut short', async () => (await smallPackage()).subarray(0, 200), /unexpected end|package.json/i],
  ])('that %s stops the start with a sentence that names it', async (_what, bytes, said) => {
    written(await bytes(), 'b.tgz');
    await expect(readPackages(folder)).rejects.toThrow(/^`b\.tgz` is not a package of R4 resources: /);
    await expect(readPackages(folder)).rejects.toThrow(said);
  });

  it('that unpacks to more than the limit is refused without being held', async () => {
    const archive = pack();
    const chunks: Buffer[] = [];
    archive.on('data', (chunk) => chunks.push(chunk as Buffer));
    archive.entry({ name: 'package/big.json', size: 33 * 1024 * 1024 }, Buffer.alloc(33 * 1024 * 1024, 32));
    archive.finalize();
    await new Promise<void>((resolve) => archive.on('end', () => resolve()));
    const path = written(gzipSync(Buffer.concat(chunks)));
    await expect(readPackage(path)).rejects.toThrow(/`package\/big\.json` is too large/);
  });

  it('is looked for in a folder that is there', () => {
    expect(readConfig({ CARNET_PACKAGES: folder }).packages).toBe(folder);
    expect(() => readConfig({ CARNET_PACKAGES: join(folder, 'none') })).toThrow(
      /CARNET_PACKAGES names `.*none`, which is not a folder/,
    );
  });
});

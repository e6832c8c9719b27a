/** FHIR packages made for tests, in memory. */
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** A gzipped tar of JSON files. */
export async function packageOf(files: Readonly<Record<string, unknown>>): Promise<Uint8Array> {
  const archive = pack();
  const chunks: Buffer[] = [];
  archive.on('data', (chunk) => chunks.push(chunk as Buffer));
  for (const [name, content] of Object.entries(files)) archive.entry({ name }, JSON.stringify(content));
  archive.finalize();
  await new Promise<void>((resolve) => archive.on('end', () => resolve()));
  return gzipSync(Buffer.concat(chunks));
}

/** One profile: a Patient with a name; with an example and a guide beside it. */
export const smallPackage = (): Promise<Uint8Array> =>
  packageOf({
    'package/package.json': { name: 'test.example', version: '1.2.0', fhirVersions: ['4.0.1'] },
    'package/StructureDefinition-named-patient.json': {
      resourceType: 'StructureDefinition',
      id: 'named-patient',
      url: 'https://guide.example/StructureDefinition/named-patient',
      version: '1.2.0',
      name: 'NamedPatient',
      status: 'active',
      fhirVersion: '4.0.1',
      kind: 'resource',
      abstract: false,
      type: 'Patient',
      baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Patient',
      derivation: 'constraint',
      snapshot: {
        element: [
          { id: 'Patient', path: 'Patient', min: 0, max: '*', base: { path: 'Patient', min: 0, max: '*' } },
          {
            id: 'Patient.name',
            path: 'Patient.name',
            min: 1,
            max: '*',
            base: { path: 'Patient.name', min: 0, max: '*' },
          },
        ],
      },
    },
    'package/ImplementationGuide-test.json': {
      resourceType: 'ImplementationGuide',
      url: 'https://guide.example/ImplementationGuide/test',
    },
    'package/.index.json': { files: [] },
    'package/example/Patient-a.json': { resourceType: 'Patient' },
  });

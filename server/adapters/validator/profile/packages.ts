/**
 * FHIR packages (https://confluence.hl7.org/display/FHIR/NPM+Package+Specification): a gzipped tar with conformance resources in `package/`.
 * The host chooses them; they are read all the same within limits, since a truncated or hostile file must stop the start and nothing else.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { extract } from 'tar-stream';
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import type { Json, JsonObject } from '../../../fhir/types.ts';
import { CONFORMANCE_TYPES } from './canonicals.ts';

/** A package, with what of it resources can be judged by. */
export type FhirPackage = {
  readonly id: string;
  readonly version: string;
  /** The canonical of its implementation guide, where it says so. */
  readonly guide: string | undefined;
  readonly resources: readonly JsonObject[];
};

const MOST_PACKAGES = 200;
const MOST_PACKED_BYTES = 64 * 1024 * 1024;
const MOST_UNPACKED_BYTES = 512 * 1024 * 1024;
const MOST_ENTRY_BYTES = 32 * 1024 * 1024;
const MOST_ENTRIES = 20_000;

/** Conformance resources lie in `package/` itself; examples, openapi and the like in folders below. */
const RESOURCE_FILE = /^package\/[^/]+\.json$/;

/** The files of an archive that are wanted, by name. */
const filesIn = (tar: Uint8Array): Promise<ReadonlyMap<string, string>> =>
  new Promise((resolve, reject) => {
    const files = new Map<string, string>();
    const archive = extract();
    let entries = 0;
    archive.on('entry', (header, stream, next) => {
      // An archive that is given up takes the entry under way with it.
      stream.on('error', reject);
      entries += 1;
      const size = header.size ?? 0;
      if (entries > MOST_ENTRIES || size > MOST_ENTRY_BYTES) {
        archive.destroy(new Error(size > MOST_ENTRY_BYTES ? `\`${header.name}\` is too large` : 'too many files'));
        return;
      }
      const wanted = header.type === 'file' && RESOURCE_FILE.test(header.name) && !header.name.includes('/.');
      const chunks: Uint8Array[] = [];
      stream.on('data', (chunk) => {
        // INVARIANT: no encoding is set on the stream, so that it gives bytes.
        if (wanted) chunks.push(chunk as Uint8Array);
      });
      stream.on('end', () => {
        if (wanted) files.set(header.name.slice('package/'.length), Buffer.concat(chunks).toString('utf8'));
        next();
      });
    });
    archive.on('error', reject);
    archive.on('finish', () => resolve(files));
    archive.end(tar);
  });

const objectIn = (name: string, text: string | undefined): JsonObject => {
  if (text === undefined) throw new Error(`\`${name}\` is missing`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`\`${name}\` is not json`);
  }
  // INVARIANT: parsed JSON.
  const object = asObject(value as Json);
  if (object === undefined) throw new Error(`\`${name}\` is not an object`);
  return object;
};

/** R4, in its technical correction too; what states no version is taken for it. */
const isR4 = (manifest: JsonObject): boolean => {
  const versions = asArray(manifest.fhirVersions ?? manifest['fhir-version-list']).map(asText);
  return versions.length === 0 || versions.some((version) => version?.startsWith('4.0') === true);
};

/** Without what is for readers: narrative, mappings, and the differential beside a snapshot are most of a package. */
const judgedBy = ({ text: _text, mapping: _mapping, differential, ...rest }: JsonObject): JsonObject =>
  differential === undefined || rest.snapshot !== undefined ? rest : { ...rest, differential };

const RESOURCE_TYPE = /"resourceType"\s*:\s*"(StructureDefinition|ValueSet|CodeSystem|ImplementationGuide)"/;

/** Reads one package. Throws one sentence on what is not one. */
export async function readPackage(path: string): Promise<FhirPackage> {
  const { size } = statSync(path);
  if (size > MOST_PACKED_BYTES) throw new Error(`it has more than ${MOST_PACKED_BYTES} bytes`);
  const files = await filesIn(gunzipSync(readFileSync(path), { maxOutputLength: MOST_UNPACKED_BYTES }));
  const manifest = objectIn('package.json', files.get('package.json'));
  const id = asText(manifest.name);
  const version = asText(manifest.version);
  if (id === undefined || version === undefined) throw new Error('`package.json` has no name and version');
  if (!isR4(manifest)) throw new Error('it is not for R4');
  const resources: JsonObject[] = [];
  let guide: string | undefined;
  for (const [name, text] of files) {
    // Most of a package is none of these: looked at before it is parsed.
    if (name === 'package.json' || !RESOURCE_TYPE.test(text)) continue;
    const resource = objectIn(name, text);
    if (resource.resourceType === 'ImplementationGuide') guide = asText(resource.url);
    if (CONFORMANCE_TYPES.includes(asText(resource.resourceType) ?? '')) resources.push(judgedBy(resource));
  }
  return { id, version, guide, resources };
}

/** Every `.tgz` of a folder, by name. Throws a sentence that names the first one that cannot be read. */
export async function readPackages(folder: string): Promise<readonly FhirPackage[]> {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.tgz'))
    .sort();
  if (names.length > MOST_PACKAGES) throw new Error(`there are more than ${MOST_PACKAGES} packages`);
  const packages: FhirPackage[] = [];
  for (const name of names) {
    try {
      packages.push(await readPackage(join(folder, name)));
    } catch (error) {
      throw new Error(`\`${name}\` is not a package of R4 resources: ${error instanceof Error ? error.message : ''}`);
    }
  }
  return packages;
}

/** XML held against an XML schema by libxml2: the `xmllint` of the machine where there is one, else the same compiled to WebAssembly. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { validateXML } from 'xmllint-wasm';

export type XmlFile = { readonly fileName: string; readonly contents: string };

const COMMAND = 'xmllint';

/** Whether the machine has an `xmllint`. */
export const hasXmllint = (): boolean => spawnSync(COMMAND, ['--version']).status === 0;

/** What the schema finds wrong with the files, a line each; `schema` is the first of `schemas`, the others are what it includes. */
export async function schemaErrors(
  files: readonly XmlFile[],
  [schema, ...included]: readonly [XmlFile, ...XmlFile[]],
): Promise<readonly string[]> {
  return hasXmllint() ? natively(files, [schema, ...included]) : compiled(files, schema, included);
}

/** Every file is asked about in one run: reading the schema takes longer than a hundred resources. */
function natively(files: readonly XmlFile[], schemas: readonly [XmlFile, ...XmlFile[]]): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'carnet-xmllint-'));
  try {
    for (const { fileName, contents } of [...files, ...schemas]) writeFileSync(join(folder, fileName), contents);
    const { status, error, stderr } = spawnSync(
      COMMAND,
      ['--noout', '--nonet', '--schema', schemas[0].fileName, ...files.map(({ fileName }) => fileName)],
      { cwd: folder, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 },
    );
    if (error !== undefined) throw error;
    const said = stderr.split('\n').filter((line) => line !== '' && !/^\S+ validates$/.test(line));
    return status === 0 ? [] : said.length > 0 ? said : [`${COMMAND} ended with ${status}`];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compiled(
  files: readonly XmlFile[],
  schema: XmlFile,
  included: readonly XmlFile[],
): Promise<readonly string[]> {
  const { valid, errors } = await validateXML({
    xml: [...files],
    schema: [schema],
    preload: [...included],
    initialMemoryPages: 1024,
    maxMemoryPages: 8192,
  });
  return valid ? [] : errors.map(({ rawMessage }) => rawMessage);
}

/** The profile validator: ours and the host's packages, compiled at first use. docs/profiles.md */
import type { Definitions } from '../../../fhir/definitions.ts';
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import { claimsOf } from '../../../fhir/profile-claims.ts';
import type { Json, JsonObject, Resource } from '../../../fhir/types.ts';
import type { Finding, ProfileValidator } from '../../../ports/validator.ts';
import { canonicalsOf } from './canonicals.ts';
import { compiler, r4TypeOf } from './compile.ts';
import { terminologyOf } from './terminology.ts';
import { judge, type Run, runFor } from './walk.ts';

const MOST_FINDINGS = 50;

export type ProfileSources = {
  readonly definitions: Definitions;
  /** Conformance resources of ours. */
  readonly own: readonly JsonObject[];
  /** Those of the host's packages. */
  readonly packages: readonly JsonObject[];
};

/** Where an extension may stand: everywhere, in every element. */
const EXTENSIONS: readonly string[] = ['extension', 'modifierExtension'];

export const profileValidator = ({ definitions, own, packages }: ProfileSources): ProfileValidator => {
  const canonicals = canonicalsOf([...packages, ...own]);
  const compiled = compiler({ canonicals, terminology: terminologyOf(canonicals, definitions), definitions });
  const isType = (type: string): boolean => {
    const structure = definitions.structure(type);
    return structure !== undefined && structure.kind !== 'backbone';
  };
  const extensions = new Map(
    canonicals
      .all('StructureDefinition')
      .filter((definition) => definition.type === 'Extension')
      .map((definition) => [asText(definition.url) ?? '', asText(definition.url) ?? '']),
  );

  const judgeExtensions = (run: Run, list: Json, path: string, found: Finding[]): void => {
    for (const [i, extension] of asArray(list).map(asObject).entries()) {
      const profile = extensions.get(asText(extension?.url) ?? '');
      if (extension !== undefined && profile !== undefined)
        found.push(...judge(run, { value: extension, profile, path: `${path}[${i}]`, resource: run.root }));
    }
  };

  const isKnown = (canonical: string): boolean =>
    r4TypeOf(canonical, definitions) !== undefined ||
    canonicals.exactly('StructureDefinition', canonical) !== undefined;

  /**
   * What a resource says of its parts: every extension whose url names a definition is held to it, and every resource inside to the
   * profiles that it claims, wherever they stand.
   */
  const checkParts = (run: Run, value: Json, path: string, found: Finding[]): void => {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i += 1) checkParts(run, value[i] ?? null, `${path}[${i}]`, found);
      return;
    }
    const node = asObject(value) ?? {};
    if (node !== run.root && typeof node.resourceType === 'string')
      for (const profile of claimsOf(node).filter(isKnown))
        found.push(...judge(run, { value: node, profile, path, resource: node }));
    for (const name in node) {
      const member = node[name];
      if (typeof member !== 'object' || member === null) continue;
      if (EXTENSIONS.includes(name)) judgeExtensions(run, member, `${path}.${name}`, found);
      checkParts(run, member, `${path}.${name}`, found);
    }
  };

  const byType = new Map<string, string[]>();
  for (const definition of packages) {
    if (definition.resourceType !== 'StructureDefinition' || definition.derivation !== 'constraint') continue;
    if (definition.kind !== 'resource') continue;
    const type = asText(definition.type) ?? '';
    byType.set(type, [...(byType.get(type) ?? []), asText(definition.url) ?? '']);
  }

  return {
    knows: isKnown,
    check: (resource: Resource, asked) => {
      const run = runFor(compiled, resource, isType, MOST_FINDINGS);
      const path = resource.resourceType;
      const found: Finding[] = [];
      checkParts(run, resource, path, found);
      for (const profile of asked) {
        const type = r4TypeOf(profile, definitions);
        if (type === undefined) found.push(...judge(run, { value: resource, profile, path, resource }));
        else if (type !== path && definitions.structure(type)?.abstract !== true)
          found.push({ severity: 'error', code: 'value', at: path, text: `the resource is not a \`${type}\`` });
      }
      const once = new Map(found.map((finding) => [`${finding.at} ${finding.text}`, finding]));
      return [...once.values()].slice(0, MOST_FINDINGS);
    },
    ofPackages: (type) => [...new Set(byType.get(type) ?? [])].sort(),
  };
};

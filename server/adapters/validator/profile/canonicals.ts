/** Conformance resources by canonical: ours, and those of the packages that the host has loaded. */
import { asText } from '../../../fhir/json.ts';
import type { JsonObject } from '../../../fhir/types.ts';

export type ConformanceType = 'StructureDefinition' | 'ValueSet' | 'CodeSystem';
export const CONFORMANCE_TYPES: readonly string[] = ['StructureDefinition', 'ValueSet', 'CodeSystem'];

/** Canonicals that a set of conformance resources answers to. */
export interface Canonicals {
  /** Exactly what is asked for: of `url|version` that version, of `url` the highest one. */
  exactly(type: ConformanceType, canonical: string): JsonObject | undefined;
  /** The same, or any version where the one named is not there: how a definition refers to another. */
  nearest(type: ConformanceType, canonical: string): JsonObject | undefined;
  all(type: ConformanceType): readonly JsonObject[];
}

/** Compares `1.2.0-snapshot-2` with `1.10.0`: numbers as numbers, a release after its previews. */
const laterVersion = (a: string, b: string): boolean => {
  const parts = (text: string): readonly string[] => text.split(/[.-]/);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const [l, r] = [left[i], right[i]];
    if (l === r) continue;
    if (l === undefined || r === undefined) {
      const longer = l ?? r ?? '';
      // What follows a release number is a preview of it: the shorter one is later, unless a number follows.
      return /^\d+$/.test(longer) === (r === undefined);
    }
    const numbers = /^\d+$/.test(l) && /^\d+$/.test(r);
    return numbers ? Number(l) > Number(r) : l > r;
  }
  return false;
};

/** `https://a|1.2` → `https://a`. */
export const withoutVersion = (canonical: string): string => canonical.split('|')[0] ?? '';

/** The resources, of which those that come later win over the same canonical and version. */
export const canonicalsOf = (resources: Iterable<JsonObject>): Canonicals => {
  const byUrl = new Map<string, Map<string, JsonObject>>();
  const latest = new Map<string, string>();
  for (const resource of resources) {
    const type = asText(resource.resourceType) ?? '';
    const url = asText(resource.url);
    if (url === undefined || !CONFORMANCE_TYPES.includes(type)) continue;
    const version = asText(resource.version) ?? '';
    const key = `${type} ${url}`;
    const versions = byUrl.get(key) ?? new Map<string, JsonObject>();
    versions.set(version, resource);
    byUrl.set(key, versions);
    const known = latest.get(key);
    if (known === undefined || !laterVersion(known, version)) latest.set(key, version);
  }
  const exactly = (type: ConformanceType, canonical: string): JsonObject | undefined => {
    const [url = '', version] = canonical.split('|');
    const key = `${type} ${url}`;
    return byUrl.get(key)?.get(version ?? latest.get(key) ?? '');
  };
  return {
    exactly,
    nearest: (type, canonical) => exactly(type, canonical) ?? exactly(type, withoutVersion(canonical)),
    all: (type) =>
      [...byUrl].filter(([key]) => key.startsWith(`${type} `)).flatMap(([, versions]) => [...versions.values()]),
  };
};

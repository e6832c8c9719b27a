/** References inside a resource: absolute ones under our own base are the relative ones; those of a transaction get their final ids. */
import { asArray, asObject } from '../../fhir/json.ts';
import type { Json, JsonObject, Resource } from '../../fhir/types.ts';

/** Rewrites every string that can refer: `Reference.reference`, `Attachment.url`, uri and url values, links in a narrative. Elements of other names are left alone. */
export function mapReferences<T extends Json>(value: T, rewrite: (text: string) => string): T {
  const walk = (item: Json, name: string): Json => {
    if (typeof item === 'string') {
      if (REFERRING.has(name)) return rewrite(item);
      return name === 'div' ? item.replace(LINK, (_, before, link) => `${before}${rewrite(link)}"`) : item;
    }
    if (Array.isArray(item)) {
      const list = asArray(item);
      const mapped = list.map((i) => walk(i, name));
      return mapped.some((m, i) => m !== list[i]) ? mapped : item;
    }
    const object = asObject(item);
    if (object === undefined) return item;
    let changed: Record<string, Json> | undefined;
    for (const key of Object.keys(object)) {
      const was = object[key] as Json;
      const is = walk(was, key);
      if (is !== was) {
        changed ??= { ...object };
        changed[key] = is;
      }
    }
    return changed ?? item;
  };
  // INVARIANT: strings become strings, everything else keeps its shape.
  return walk(value, '') as T;
}

/** Elements whose text refers to a resource (R4 http.html#trules: references, attachments, uri values of extensions). */
const REFERRING: ReadonlySet<string> = new Set(['reference', 'url', 'valueUri', 'valueUrl', 'valueCanonical', 'uri']);

/** A link in the XHTML of a narrative. */
const LINK = /(\b(?:href|src)=")([^"]*)"/g;

/** `http://base/Patient/x` under our own base becomes `Patient/x`. */
export function localReferences(resource: Resource, baseUrl: string): Resource {
  const prefix = `${baseUrl}/`;
  return mapReferences(resource, (text) =>
    text.startsWith(prefix) && /^[A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64}/.test(text.slice(prefix.length))
      ? text.slice(prefix.length)
      : text,
  );
}

/** `Patient?identifier=…` in `Reference.reference`, each once. */
export const conditionalReferencesOf = (value: Json): ReadonlySet<string> =>
  new Set(referencesOf(value).filter((text) => /^[A-Z][A-Za-z]+\?/.test(text)));

/** Every `Reference.reference` of a resource. */
export function referencesOf(value: Json): readonly string[] {
  const found: string[] = [];
  const walk = (item: Json): void => {
    if (Array.isArray(item)) for (const i of asArray(item)) walk(i);
    else {
      const object = asObject(item);
      for (const key of Object.keys(object ?? {})) {
        const child = (object as JsonObject)[key] as Json;
        if (key === 'reference' && typeof child === 'string') found.push(child);
        else walk(child);
      }
    }
  };
  walk(value);
  return found;
}

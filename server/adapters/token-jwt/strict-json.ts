/** JSON that says one thing only: security.md T-02 (a duplicate claim means one thing to one reader and another to the next). */
import type { Json } from '../../fhir/types.ts';

/** What a strict reading found: the value, or one lower-case sentence that quotes nothing of the text. */
export type StrictJson = { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly why: string };

/** A JSON string, or one of the marks that give an object or an array its shape. */
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;

type Level = { readonly names: Set<string> | undefined; expectsName: boolean };

/** The first fault of shape in a text that `JSON.parse` accepts. INVARIANT: `text` is valid JSON. */
function faultOfShape(text: string, maxDepth: number): string | undefined {
  const levels: Level[] = [];
  for (const [mark] of text.matchAll(TOKENS)) {
    const level = levels.at(-1);
    if (mark === '{' || mark === '[') {
      if (levels.length === maxDepth) return `json is nested deeper than ${maxDepth} levels`;
      levels.push({ names: mark === '{' ? new Set() : undefined, expectsName: true });
    } else if (mark === '}' || mark === ']') {
      levels.pop();
    } else if (mark === ',') {
      if (level !== undefined) level.expectsName = true;
    } else if (mark === ':') {
      if (level !== undefined) level.expectsName = false;
    } else {
      const string: unknown = JSON.parse(mark);
      if (typeof string !== 'string' || !string.isWellFormed()) return 'json holds a lone surrogate';
      if (level?.names === undefined || !level.expectsName) continue;
      if (string === '__proto__') return 'json holds the name `__proto__`';
      if (level.names.has(string)) return 'json holds the same name twice in one object';
      level.names.add(string);
    }
  }
  return undefined;
}

/**
 * Parses RFC 8259 text and refuses what readers disagree on: duplicate names (compared after unescaping), `__proto__`,
 * lone surrogates, more than `maxDepth` levels.
 */
export function parseStrictJson(text: string, maxDepth: number): StrictJson {
  try {
    // INVARIANT: JSON.parse without a reviver yields Json and nothing else.
    const value = JSON.parse(text) as Json;
    const why = faultOfShape(text, maxDepth);
    return why === undefined ? { ok: true, value } : { ok: false, why };
  } catch {
    return { ok: false, why: 'json does not parse' };
  }
}

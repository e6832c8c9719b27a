/**
 * A search as FHIR speaks of it (https://hl7.org/fhir/R4/search.html): parsed, every name resolved, every value read; plain
 * data. `parse.ts` makes it and nothing in it can fail any more; `lower.ts` turns a filter into a predicate.
 */
import type { Ref } from '../fhir/types.ts';
import type { SortKey } from './plan.ts';

export const PREFIXES = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;
export type Prefix = (typeof PREFIXES)[number];

/** The modifiers that are understood, `:[type]` apart: it is resolved into the references it stands for. */
export type Modifier = 'exact' | 'contains' | 'not' | 'text' | 'of-type' | 'identifier' | 'above' | 'below' | 'missing';

/** A number as compared: `value` where it stands for itself, `[lo, hi)` where for what its precision implies. */
export type NumberValue = { readonly value: number; readonly lo: number; readonly hi: number };

export type SearchValue =
  /** `system` undefined: any; `''`: none. `code` undefined: any code of the system. Lower case where case does not count. */
  | { readonly kind: 'token'; readonly system: string | undefined; readonly code: string | undefined }
  | { readonly kind: 'of-type'; readonly system: string; readonly code: string; readonly value: string }
  /** Of a string parameter or of `:text`, as written. */
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'uri'; readonly uri: string }
  | { readonly kind: 'date'; readonly prefix: Prefix; readonly lo: number; readonly hi: number; readonly text: string }
  | { readonly kind: 'number'; readonly prefix: Prefix; readonly number: NumberValue; readonly text: string }
  /** `code` undefined: whatever the unit; `system` undefined: the code or unit in any system. */
  | {
      readonly kind: 'quantity';
      readonly prefix: Prefix;
      readonly number: NumberValue;
      readonly text: string;
      readonly system: string | undefined;
      readonly code: string | undefined;
    }
  /** Resources that the value may stand for: one, or one for each type that the parameter may name. */
  | { readonly kind: 'local'; readonly refs: readonly Ref[]; readonly version: string | undefined }
  /** A reference that is no resource of this server: compared as written. */
  | { readonly kind: 'foreign'; readonly text: string }
  | { readonly kind: 'composite'; readonly parts: readonly SearchValue[] }
  | { readonly kind: 'missing'; readonly missing: boolean };

/** One condition. Several in a query are a conjunction; the values of one are a disjunction. */
export type Filter =
  | {
      readonly kind: 'match';
      /** The resource type that it is asked of. */
      readonly type: string;
      readonly param: string;
      readonly modifier: Modifier | undefined;
      /** Never empty. */
      readonly values: readonly SearchValue[];
    }
  /** `subject:Patient.name=`: the resource names one of a target type for which its filter holds. */
  | {
      readonly kind: 'chain';
      readonly type: string;
      readonly param: string;
      readonly targets: readonly { readonly type: string; readonly filter: Filter }[];
      /** The same of what is contained, where a parameter of the resource itself says it (`author.family`). */
      readonly contained?: Filter;
    }
  /** `_has:Provenance:target:agent=`: a resource of type `source` names it in `param`, and `filter` holds for that one. */
  | {
      readonly kind: 'has';
      readonly type: string;
      readonly source: string;
      readonly param: string;
      readonly filter: Filter;
    };

/** `_include=source:param:target`; of a `_revinclude`, `source` is the type that is added. */
export type Include = {
  readonly source: string;
  readonly param: string;
  readonly target: string | undefined;
  readonly iterate: boolean;
};

export type Summary = 'true' | 'text' | 'data' | 'count' | 'false';
export type TotalMode = 'none' | 'estimate' | 'accurate';

export type SearchQuery = {
  readonly type: string;
  readonly filters: readonly Filter[];
  readonly includes: readonly Include[];
  readonly revincludes: readonly Include[];
  readonly sort: readonly SortKey[];
  /** Matches on a page, 1 to `MAX_COUNT`; `_count=0` is `summary: 'count'`. */
  readonly count: number;
  readonly total: TotalMode | undefined;
  readonly summary: Summary | undefined;
  readonly elements: readonly string[];
  /** Where to go on, opaque here. */
  readonly cursor: string | undefined;
  /** The parameters that were used, in order, with the values that count, for the self link. Without `_cursor`. */
  readonly used: readonly (readonly [name: string, value: string])[];
  /** Names of parameters that were left out (`Prefer: handling=lenient`). */
  readonly dropped: readonly string[];
};

export const DEFAULT_COUNT = 50;
export const MAX_COUNT = 200;

/** Writes a part of a value so that `,`, `|`, `$` and `\` in it are read as themselves. */
export const escapeValue = (text: string): string => text.replace(/[\\,|$]/g, '\\$&');

/** A value as it is written in a URL (before percent-encoding): what `parse.ts` reads as the same value. */
export function printValue(value: SearchValue): string {
  switch (value.kind) {
    case 'token': {
      const code = escapeValue(value.code ?? '');
      return value.system === undefined ? code : `${escapeValue(value.system)}|${code}`;
    }
    case 'of-type':
      return [value.system, value.code, value.value].map(escapeValue).join('|');
    case 'string':
      return escapeValue(value.text);
    case 'uri':
      return escapeValue(value.uri);
    case 'date':
    case 'number':
      return `${value.prefix}${value.text}`;
    case 'quantity': {
      const number = `${value.prefix}${value.text}`;
      return value.code === undefined
        ? number
        : `${number}|${escapeValue(value.system ?? '')}|${escapeValue(value.code)}`;
    }
    case 'local': {
      const [first] = value.refs;
      const id = first?.slice(first.indexOf('/') + 1) ?? '';
      if (value.refs.length !== 1) return id;
      return value.version === undefined ? (first ?? '') : `${first}/_history/${value.version}`;
    }
    case 'foreign':
      return escapeValue(value.text);
    case 'composite':
      return value.parts.map(printValue).join('$');
    case 'missing':
      return String(value.missing);
    default: {
      const never: never = value;
      return never;
    }
  }
}

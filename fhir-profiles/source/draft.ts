/**
 * How our conformance resources are written: a few functions that fill in what every one of them repeats. What they make is plain FHIR R4 JSON,
 * in `fhir-profiles/conformance`; nothing of it is copied from another guide. https://hl7.org/fhir/R4/profiling.html
 */
import { EX } from '../../server/fhir/canonical.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Row = { readonly [key: string]: Json };
/** A conformance resource, with what every one has. */
export type Conformance = Row & { readonly resourceType: string; readonly id: string };

/** What a profile follows: a French or IHE canonical, and in which sense. Nothing is imported from it; a client of that guide recognises its shapes. */
export type Follows = { readonly uri: string; readonly name: string; readonly how: string };

const VERSION = '0.1.0';
const DATE = '2026-11-27';

const base = (resourceType: string, path: string, name: string, title: string, description: string) => ({
  resourceType,
  id: path,
  url: `${EX}/${resourceType}/${path}`,
  version: VERSION,
  name,
  title,
  status: 'active',
  date: DATE,
  publisher: 'Carnet',
  description,
});

/** `carnet-consent` → `CarnetConsent`: a name that code generators accept. */
export const nameOf = (id: string): string =>
  id
    .split(/[-.]/)
    .map((part) => `${part.charAt(0).toUpperCase()}${part.slice(1)}`)
    .join('');

export const profileUrl = (id: string): string => `${EX}/StructureDefinition/${id}`;
export const valueSetUrl = (id: string): string => `${EX}/ValueSet/${id}`;
export const codeSystemUrl = (id: string): string => `${EX}/CodeSystem/${id}`;
export const r4 = (type: string): string => `http://hl7.org/fhir/StructureDefinition/${type}`;

// ---- elements -------------------------------------------------------------------------------------------------------

/** One element of a differential. `id` carries slices (`Consent.category:kind`); the path and the name of the slice follow from it. */
export const el = (id: string, what: Row): Row => {
  const last = id.slice(id.lastIndexOf('.') + 1);
  const sliceName = last.includes(':') ? last.slice(last.indexOf(':') + 1) : undefined;
  return {
    id,
    path: id.replace(/:[^.]+/g, ''),
    ...(sliceName === undefined ? {} : { sliceName }),
    ...what,
  };
};

export const ONE = { min: 1, max: '1' } as const;
export const SOME = { min: 1 } as const;
export const NONE = { max: '0' } as const;
export const AT_MOST_ONE = { max: '1' } as const;

export const slicedBy = (type: 'value' | 'pattern' | 'exists' | 'type' | 'profile', path: string, rules = 'open') => ({
  slicing: { discriminator: [{ type, path }], rules },
});

export const required = (valueSet: string): Row => ({ binding: { strength: 'required', valueSet } });

/** A Reference to one of these types. */
export const to = (...types: readonly string[]): Row => ({
  type: [{ code: 'Reference', targetProfile: types.map((type) => (type.includes('/') ? type : r4(type))) }],
});

export const coded = (system: string, code?: string): Row => ({
  coding: [code === undefined ? { system } : { system, code }],
});

export const rule = (key: string, human: string, expression: string): Row => ({
  key,
  severity: 'error',
  human,
  expression,
});

/** One of our extensions, by the name in its canonical. */
export const extensionSlice = (on: string, id: string, how: Row): Row =>
  el(`${on}.extension:${sliceNameOf(id)}`, { ...how, type: [{ code: 'Extension', profile: [profileUrl(id)] }] });

const sliceNameOf = (id: string): string => id.replace(/-(\w)/g, (_all, letter: string) => letter.toUpperCase());

// ---- resources ------------------------------------------------------------------------------------------------------

export type ProfileDraft = {
  readonly id: string;
  readonly type: string;
  /** Of ours, by id; absent: the type of R4 itself. */
  readonly on?: string;
  readonly title: string;
  readonly description: string;
  readonly follows?: readonly Follows[];
  readonly abstract?: boolean;
  /** Invariants of the resource as a whole. */
  readonly rules?: readonly Row[];
  readonly elements: readonly Row[];
};

/** `FR Core` → `fr-core`: how a mapping is called. */
const identityOf = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]+/g, '-');

/** A profile by its differential. */
export const profile = (draft: ProfileDraft): Conformance => ({
  ...base('StructureDefinition', draft.id, nameOf(draft.id), draft.title, draft.description),
  fhirVersion: '4.0.1',
  ...((draft.follows ?? []).length === 0
    ? {}
    : {
        mapping: (draft.follows ?? []).map(({ uri, name, how }) => ({
          identity: identityOf(name),
          uri,
          name,
          comment: how,
        })),
      }),
  kind: 'resource',
  abstract: draft.abstract ?? false,
  type: draft.type,
  baseDefinition: draft.on === undefined ? r4(draft.type) : profileUrl(draft.on),
  derivation: 'constraint',
  differential: {
    element: [
      el(draft.type, { short: draft.title, ...(draft.rules === undefined ? {} : { constraint: draft.rules }) }),
      ...draft.elements,
    ],
  },
});

export type ExtensionDraft = {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  /** FHIRPath-free paths of the elements that carry it. */
  readonly context: readonly string[];
  readonly valueType: string;
  /** What is said of `value[x]` beside its type. */
  readonly value?: Row;
};

/** A simple extension. */
export const extension = (draft: ExtensionDraft): Conformance => ({
  ...base('StructureDefinition', draft.id, nameOf(draft.id), draft.title, draft.description),
  fhirVersion: '4.0.1',
  kind: 'complex-type',
  abstract: false,
  context: draft.context.map((expression) => ({ type: 'element', expression })),
  type: 'Extension',
  baseDefinition: r4('Extension'),
  derivation: 'constraint',
  differential: {
    element: [
      el('Extension', { short: draft.title, definition: draft.description }),
      el('Extension.extension', NONE),
      el('Extension.url', { fixedUri: profileUrl(draft.id) }),
      el('Extension.value[x]', { ...ONE, type: [{ code: draft.valueType }], ...draft.value }),
    ],
  },
});

export type Concept = { readonly code: string; readonly en: string; readonly fr: string };

/** A code system of ours, complete. */
export const codeSystem = (
  id: string,
  title: string,
  description: string,
  concepts: readonly Concept[],
): Conformance => ({
  ...base('CodeSystem', id, nameOf(id), title, description),
  caseSensitive: true,
  valueSet: valueSetUrl(id),
  content: 'complete',
  count: concepts.length,
  concept: concepts.map(({ code, en, fr }) => ({
    code,
    display: en,
    designation: [{ language: 'fr', value: fr }],
  })),
});

export type Included = { readonly system: string; readonly codes?: readonly string[] };

/** A value set: some codes of a system, or all of it. */
export const valueSet = (
  id: string,
  title: string,
  description: string,
  include: readonly Included[],
): Conformance => ({
  ...base('ValueSet', id, nameOf(id), title, description),
  compose: {
    include: include.map(({ system, codes }) => ({
      system,
      ...(codes === undefined ? {} : { concept: codes.map((code) => ({ code })) }),
    })),
  },
});

/** A code system and the value set of all of it. */
export const vocabulary = (
  id: string,
  title: string,
  description: string,
  concepts: readonly Concept[],
): readonly Conformance[] => [
  codeSystem(id, title, description, concepts),
  valueSet(id, title, `All codes of ${codeSystemUrl(id)}.`, [{ system: codeSystemUrl(id) }]),
];

export type OperationParameter = {
  readonly name: string;
  readonly use: 'in' | 'out';
  readonly min?: number;
  readonly max?: string;
  readonly type?: string;
  readonly about: string;
  readonly part?: readonly Omit<OperationParameter, 'use' | 'part'>[];
};

export type OperationDraft = {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  /** Of HL7's own definition, where there is one. */
  readonly of?: string;
  readonly affectsState: boolean;
  readonly on: readonly string[];
  readonly level: { readonly type: boolean; readonly instance: boolean };
  readonly parameters: readonly OperationParameter[];
};

const parameter = (use: string, { name, min, max, type, about, part }: Omit<OperationParameter, 'use'>): Row => ({
  name,
  use,
  min: min ?? 0,
  max: max ?? '1',
  documentation: about,
  ...(type === undefined ? {} : { type }),
  ...(part === undefined ? {} : { part: part.map((p) => parameter(use, p)) }),
});

export const operation = (draft: OperationDraft): Conformance => ({
  ...base('OperationDefinition', draft.id, nameOf(draft.id), draft.title, draft.description),
  kind: 'operation',
  affectsState: draft.affectsState,
  code: draft.id,
  ...(draft.of === undefined ? {} : { base: draft.of }),
  resource: draft.on,
  system: false,
  type: draft.level.type,
  instance: draft.level.instance,
  parameter: draft.parameters.map(({ use, ...rest }) => parameter(use, rest)),
});

export type NamingDraft = {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly kind: 'identifier' | 'codesystem';
  readonly responsible: string;
  readonly uniqueId: readonly { readonly type: 'oid' | 'uri'; readonly value: string }[];
};

/** NamingSystem has no canonical in R4; it is found by its unique ids. */
export const naming = (draft: NamingDraft): Conformance => ({
  resourceType: 'NamingSystem',
  id: draft.id,
  name: nameOf(draft.id),
  status: 'active',
  kind: draft.kind,
  date: DATE,
  publisher: 'Carnet',
  responsible: draft.responsible,
  description: draft.description,
  usage: draft.title,
  uniqueId: draft.uniqueId.map(({ type, value }, index) => ({ type, value, preferred: index === 0 })),
});

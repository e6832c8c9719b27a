/** Steps from an element to what tells its slices apart, and the values at their end. https://hl7.org/fhir/R4/profiling.html#discriminator */
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import type { Json, JsonObject } from '../../../fhir/types.ts';

/** The restricted FHIRPath of a discriminator. */
export type Step =
  | { readonly kind: 'child'; readonly name: string }
  | { readonly kind: 'extension'; readonly url: string }
  | { readonly kind: 'ofType'; readonly type: string }
  | { readonly kind: 'resolve' };

/** A value, with its type where the name of a choice tells it. */
export type Typed = { readonly value: Json; readonly type: string | undefined };

/** What a reference leads to inside the resource at hand; nothing is looked up elsewhere. */
export type Resolve = (reference: JsonObject) => JsonObject | undefined;

const STEP = /^(?:\$this|extension\('([^']*)'\)|ofType\((\w+)\)|resolve\(\)|(\w+))$/;

/** Splits at dots outside of brackets; `undefined` for what a discriminator cannot say. */
export const stepsIn = (path: string): readonly Step[] | undefined => {
  const steps: Step[] = [];
  for (const text of path.match(/(?:[^.(]|\([^)]*\))+/g) ?? []) {
    const found = STEP.exec(text);
    if (found === null) return undefined;
    const [, url, type, name] = found;
    if (text === '$this') continue;
    if (url !== undefined) steps.push({ kind: 'extension', url });
    else if (type !== undefined) steps.push({ kind: 'ofType', type });
    else if (name !== undefined) steps.push({ kind: 'child', name });
    else steps.push({ kind: 'resolve' });
  }
  return steps;
};

const lowered = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;

/** `valueString` is `value` of type `string`; `undefined` where a member is no choice of that name. */
export const choiceType = (member: string, name: string, isType: (type: string) => boolean): string | undefined => {
  if (!member.startsWith(name) || member.length === name.length) return undefined;
  const rest = member.slice(name.length);
  if (!/^[A-Z]/.test(rest)) return undefined;
  if (isType(rest)) return rest;
  const primitive = lowered(rest);
  return isType(primitive) ? primitive : undefined;
};

export type Reading = { readonly resolve: Resolve; readonly isType: (type: string) => boolean };

const childrenOf = (value: Json, name: string, { isType }: Reading): readonly Typed[] => {
  const node = asObject(value);
  if (node === undefined) return [];
  const plain = node[name];
  if (plain !== undefined)
    return (Array.isArray(plain) ? plain : [plain]).map((item) => ({ value: item, type: undefined }));
  for (const member in node) {
    const type = choiceType(member, name, isType);
    if (type !== undefined) return [{ value: node[member] ?? null, type }];
  }
  return [];
};

/** The values at the end of the steps. */
export const valuesAt = (from: Typed, steps: readonly Step[], reading: Reading): readonly Typed[] => {
  let found: readonly Typed[] = [from];
  for (const step of steps) {
    found = found.flatMap(({ value, type }): readonly Typed[] => {
      switch (step.kind) {
        case 'child':
          return childrenOf(value, step.name, reading);
        case 'extension':
          return asArray(asObject(value)?.extension)
            .filter((extension) => asObject(extension)?.url === step.url)
            .map((extension) => ({ value: extension, type: 'Extension' }));
        case 'ofType':
          return type === undefined || type === step.type ? [{ value, type: step.type }] : [];
        default: {
          const reference = asObject(value);
          const target = reference === undefined ? undefined : reading.resolve(reference);
          return target === undefined ? [] : [{ value: target, type: asText(target.resourceType) }];
        }
      }
    });
  }
  return found;
};

/** The type that a reference names: of what it resolves to, of its text, or as it says. */
export const referencedType = (reference: JsonObject, resolve: Resolve): string | undefined => {
  const target = resolve(reference);
  if (target !== undefined) return asText(target.resourceType);
  const text = asText(reference.reference) ?? '';
  return (
    /(?:^|\/)([A-Z][A-Za-z]+)(?:\/[A-Za-z0-9.-]{1,64}(?:\/_history\/[^/]+)?|\?.*)$/.exec(text)?.[1] ??
    asText(reference.type)
  );
};

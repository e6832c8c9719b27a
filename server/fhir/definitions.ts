/**
 * What the server knows about the shape of R4 types: elements, cardinalities, required bindings, invariants, summary flags.
 * Data cut from HL7's own definitions; https://hl7.org/fhir/R4/elementdefinition.html says what each flag means.
 */

/** One element of a structure. A choice is stored once, under its name without `[x]`. */
export type ElementDefinition = {
  /** FHIR types; a backbone element names its own structure (`Patient.contact`), a contained resource is `Resource`. */
  readonly types: readonly string[];
  readonly min?: number;
  /** Repeats (max `*`): an array in JSON. R4 has no other maximum above 1. */
  readonly list?: boolean;
  /** `value[x]`: in JSON the name carries the type, `valueString`. */
  readonly choice?: boolean;
  readonly summary?: boolean;
  /** The resource types that a Reference may name; absent: any. */
  readonly targets?: readonly string[];
  /** The value set of a required binding. */
  readonly binding?: string;
  /** Keys of invariants stated on this element and not on its type. */
  readonly rules?: readonly string[];
};

export type StructureDefinition = {
  readonly kind: 'resource' | 'complex-type' | 'primitive-type' | 'backbone';
  readonly abstract?: boolean;
  /** Keys of invariants (severity error). */
  readonly rules: readonly string[];
  readonly elements: Readonly<Record<string, ElementDefinition>>;
};

export type Invariant = { readonly expression: string; readonly human: string };

/** Codes by system. */
export type ValueSet = Readonly<Record<string, readonly string[]>>;

export interface Definitions {
  /** By type name or, for a backbone element, by path; `undefined`: no such type. */
  structure(name: string): StructureDefinition | undefined;
  /** By key; `undefined`: no such invariant. */
  invariant(key: string): Invariant | undefined;
  /** By url; `undefined` where R4 does not enumerate the codes (MIME types, currencies, UCUM). */
  valueSet(url: string): ValueSet | undefined;
}

/** The element that a structure has under a name; names that JavaScript gives every object are none. */
export const elementOf = (structure: StructureDefinition | undefined, name: string): ElementDefinition | undefined =>
  structure !== undefined && Object.hasOwn(structure.elements, name) ? structure.elements[name] : undefined;

/** `value` and `string` make `valueString`. */
export const choiceName = (name: string, type: string): string =>
  `${name}${type.charAt(0).toUpperCase()}${type.slice(1)}`;

/** What a member's name in JSON stands for. */
export type Member = {
  readonly name: string;
  readonly type: string;
  readonly element: ElementDefinition;
};

const members = new WeakMap<StructureDefinition, ReadonlyMap<string, Member>>();

/** The members that an object of this structure may have, by their name in JSON; `_name` of primitives is not listed. */
export const membersOf = (structure: StructureDefinition): ReadonlyMap<string, Member> => {
  const known = members.get(structure);
  if (known !== undefined) return known;
  const made = new Map<string, Member>();
  for (const [name, element] of Object.entries(structure.elements))
    for (const type of element.types)
      made.set(element.choice === true ? choiceName(name, type) : name, { name, type, element });
  members.set(structure, made);
  return made;
};

/** Whether an element is an attribute in XML: `id` of what is no resource, `url` of an extension. */
export const isXmlAttribute = (type: string, structure: StructureDefinition, name: string): boolean =>
  (name === 'id' && structure.kind !== 'resource') || (name === 'url' && type === 'Extension');

/** Primitive types begin with a small letter, and no other type does. */
export const isPrimitive = (type: string): boolean => /^[a-z]/.test(type);

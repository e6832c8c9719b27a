import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { PRIMITIVES } from '../../../server/adapters/validator/primitive.ts';
import { choiceName, isPrimitive, type StructureDefinition } from '../../../server/fhir/definitions.ts';
import { missingSamples, sampleText } from '../../support/samples.ts';

const FOLDER = new URL('../../../fhir-profiles/definitions/', import.meta.url);
const rows = (name: string): Record<string, any> => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'));
const structures = rows('structures.json') as Record<string, StructureDefinition>;
const definitions = shippedDefinitions();

describe('the definitions are closed', () => {
  const elements = Object.entries(structures).flatMap(([path, structure]) =>
    Object.entries(structure.elements).map(([name, element]) => ({ path: `${path}.${name}`, element })),
  );

  it('has all of R4 but the types that the source carries in another form', () => {
    const types = Object.entries(structures).filter(([, s]) => s.kind === 'resource' && s.abstract !== true);
    expect(types.length).toBe(145);
    for (const type of 'Patient RelatedPerson Practitioner PractitionerRole Organization HealthcareService Location CareTeam DocumentReference Binary List Consent AuditEvent Communication Appointment Provenance Bundle Parameters OperationOutcome CapabilityStatement'.split(
      ' ',
    ))
      expect(structures[type]?.kind, type).toBe('resource');
  });

  it('defines every type, invariant and primitive that it names', () => {
    for (const { path, element } of elements) {
      for (const type of element.types) {
        expect(definitions.structure(type), `${path}: ${type}`).toBeDefined();
        if (isPrimitive(type)) expect(PRIMITIVES.has(type), type).toBe(true);
      }
      for (const rule of element.rules ?? []) expect(definitions.invariant(rule), rule).toBeDefined();
    }
    for (const [path, structure] of Object.entries(structures))
      for (const rule of structure.rules) expect(definitions.invariant(rule), `${path}: ${rule}`).toBeDefined();
  });

  it('enumerates the required value sets, but for those that R4 does not enumerate', () => {
    const open = new Set(
      elements.flatMap(({ element }) =>
        element.binding !== undefined && definitions.valueSet(element.binding) === undefined ? [element.binding] : [],
      ),
    );
    expect([...open].sort()).toEqual([
      'http://hl7.org/fhir/ValueSet/currencies',
      'http://hl7.org/fhir/ValueSet/mimetypes',
      'http://hl7.org/fhir/ValueSet/ucum-units',
      'http://loinc.org/vs/LL379-9',
    ]);
  });

  it('has a JSON schema for every resource type and data type, and each compiles', () => {
    const ajv = new Ajv({ strict: false, validateSchema: true, validateFormats: false });
    const schema = rows('schema.json');
    for (const [name, one] of Object.entries(schema)) ajv.addSchema(one, name);
    for (const [name, structure] of Object.entries(structures))
      if ((structure.kind === 'resource' || structure.kind === 'complex-type') && structure.abstract !== true)
        expect(ajv.getSchema(name), name).toBeTypeOf('function');
  }, 120_000);

  it('has no pattern of the published schema that JavaScript reads otherwise or slowly', () => {
    const text = readFileSync(new URL('schema.json', FOLDER), 'utf8');
    expect(text).not.toContain('\\\\t\\\\S');
    expect(text).not.toContain('){4}\\\\s*');
  });

  it('stays small', () => {
    const bytes = ['schema.json', 'structures.json', 'rules.json', 'value-sets.json'].map(
      (name) => readFileSync(new URL(name, FOLDER)).length,
    );
    expect(bytes.reduce((a, b) => a + b)).toBeLessThan(2_000_000);
  });
});

describe.skipIf(missingSamples('xsd'))('the definitions agree with the XML schema of R4', () => {
  type XsdElement = { readonly min: number; readonly list: boolean; readonly type: string };
  const types = new Map<string, { readonly base: string | undefined; readonly elements: Map<string, XsdElement> }>();

  const attributesOf = (text: string): Map<string, string> =>
    new Map([...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!]));
  if (missingSamples('xsd') === undefined) {
    for (const [, name, body] of sampleText('xsd/fhir-single.xsd').matchAll(
      /<xs:complexType name="([^"]+)"[^>]*>([\s\S]*?)<\/xs:complexType>/g,
    )) {
      const elements = new Map<string, XsdElement>();
      const choice = /<xs:choice ([^>]*)>([\s\S]*?)<\/xs:choice>/g;
      for (const [, head, inner] of body!.matchAll(choice)) {
        const occurs = attributesOf(head!);
        for (const [, element] of inner!.matchAll(/<xs:element ([^>]*)>/g)) {
          const own = attributesOf(element!);
          if (own.has('name'))
            elements.set(own.get('name')!, {
              min: Number(occurs.get('minOccurs')),
              list: occurs.get('maxOccurs') === 'unbounded',
              type: own.get('type') ?? '',
            });
        }
      }
      for (const [, element] of body!.replace(choice, '').matchAll(/<xs:element ([^>]*)>/g)) {
        const own = attributesOf(element!);
        if (own.has('name'))
          elements.set(own.get('name')!, {
            min: Number(own.get('minOccurs') ?? 1),
            list: own.get('maxOccurs') === 'unbounded',
            type: own.get('type') ?? '',
          });
      }
      types.set(name!, { base: /extension base="([^"]+)"/.exec(body!)?.[1], elements });
    }
  }
  const all = (name: string): Map<string, XsdElement> => {
    const own = types.get(name);
    return own === undefined ? new Map() : new Map([...all(own.base ?? ''), ...own.elements]);
  };

  /** Where the two are known to say different things without disagreeing. */
  const said = (at: string): boolean =>
    at === 'Narrative.div' || // an element of another namespace in XML
    at === 'Extension.url' || // an attribute in XML
    at.endsWith('.modifierExtension'); // the XML schema lets inner elements of data types have it, the definitions do not

  const seen = new Set<string>();
  const differences: string[] = [];
  const compare = (xsd: string, name: string): void => {
    const structure = structures[name];
    if (seen.has(`${xsd} ${name}`)) return;
    seen.add(`${xsd} ${name}`);
    if (structure === undefined || !types.has(xsd)) {
      differences.push(`${name}: missing`);
      return;
    }
    const theirs = all(xsd);
    const ours = new Map<string, { readonly min: number; readonly list: boolean; readonly type: string }>();
    for (const [element, row] of Object.entries(structure.elements)) {
      if (element === 'id' && structure.kind !== 'resource') continue;
      for (const type of row.types)
        ours.set(row.choice === true ? choiceName(element, type) : element, {
          min: row.min ?? 0,
          list: row.list === true,
          type,
        });
    }
    for (const [element, own] of ours) {
      const other = theirs.get(element);
      if (other === undefined) differences.push(`${name}.${element}`);
      else if (other.min !== own.min || other.list !== own.list) differences.push(`${name}.${element} cardinality`);
      else if (structures[own.type]?.kind === 'backbone') compare(other.type, own.type);
    }
    for (const element of theirs.keys()) if (!ours.has(element)) differences.push(`${name}.${element}`);
  };
  for (const [name, structure] of Object.entries(structures))
    if ((structure.kind === 'resource' || structure.kind === 'complex-type') && structure.abstract !== true)
      compare(name, name);

  it('in elements and cardinalities, everywhere', () => {
    expect(seen.size).toBeGreaterThan(600);
    expect(differences.filter((at) => !said(at))).toEqual([]);
  });
});

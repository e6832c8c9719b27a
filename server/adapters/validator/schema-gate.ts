import { Ajv, type AnySchema, type ValidateFunction } from 'ajv';
import type { JsonObject } from '../../fhir/types.ts';

/** Whether a resource (or a data type) conforms to its JSON schema; `undefined` when there is no schema of that name. */
export type SchemaGate = {
  readonly accepts: (type: string, value: JsonObject) => boolean | undefined;
  /** Compiles a type now rather than at its first use. */
  readonly prepare: (type: string) => void;
};

/** Every name that a schema refers to. */
const references = (schema: unknown, found: Set<string>): Set<string> => {
  JSON.stringify(schema, (key, value) => {
    if (key === '$ref' && typeof value === 'string') found.add(value);
    return value;
  });
  return found;
};

/**
 * The R4 JSON schema behind ajv: stops at the first error, since naming the faults is the walk's work. A type is compiled at
 * its first use, with what it refers to and nothing else, and data types are shared by all; a resource inside another is judged by its own type.
 */
export const schemaGate = (schema: (name: string) => JsonObject | undefined): SchemaGate => {
  const ajv = new Ajv({
    strict: false,
    validateSchema: false,
    validateFormats: false,
    messages: false,
    addUsedSchema: false,
  });
  const known = new Set<string>();
  const compiled = new Map<string, ValidateFunction>();

  const add = (name: string): boolean => {
    if (known.has(name)) return true;
    const own = schema(name);
    if (own === undefined) return false;
    known.add(name);
    ajv.addSchema(own as AnySchema, name);
    for (const reference of references(own, new Set())) add(reference);
    return true;
  };

  const compile = (type: string): ValidateFunction | undefined => {
    const ready = compiled.get(type);
    if (ready !== undefined || !add(type)) return ready;
    const made = ajv.getSchema(type);
    if (made !== undefined) compiled.set(type, made);
    return made;
  };

  return {
    accepts: (type, value) => compile(type)?.(value) === true || (compiled.has(type) ? false : undefined),
    prepare: (type) => void compile(type),
  };
};

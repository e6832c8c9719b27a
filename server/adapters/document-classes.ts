import { readFileSync } from 'node:fs';

/** `fhir-profiles/policy/document-classes.json`. */
type ClassFile = {
  readonly classes: readonly { readonly code: string; readonly display: string; readonly types: readonly string[] }[];
};

/** The class (TRE_A03) of each type of document, as shipped: type code → class code. */
export function shippedDocumentClasses(): ReadonlyMap<string, string> {
  // INVARIANT: a file of ours.
  const { classes } = JSON.parse(
    readFileSync(new URL('../../fhir-profiles/policy/document-classes.json', import.meta.url), 'utf8'),
  ) as ClassFile;
  return new Map(classes.flatMap(({ code, types }) => types.map((type) => [type, code] as const)));
}

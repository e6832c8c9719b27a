import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { membersOf } from '../../../server/fhir/definitions.ts';
import { CLOSURES, type InvariantContext, NOT_EVALUATED, published } from '../../../server/fhir/invariants.ts';
import { asObject } from '../../../server/fhir/json.ts';
import type { Json, JsonObject } from '../../../server/fhir/types.ts';
import { missingSamples, samplesIn } from '../../support/samples.ts';

const definitions = shippedDefinitions();

/** Where a closure and `@medplum/core` may differ, and which of the two is right. */
const MAY_DIFFER: Readonly<Record<string, string>> = {
  'ref-1': '`#` alone names the container: accepted by the closure inside a contained resource',
  'dom-3':
    '@medplum/core leaves it out of its own validation; the closure reads `#…` in any element, not only in references',
  'tst-5': '@medplum/core counts `responseCode` as `response[x]` too',
  'tst-6': '@medplum/core counts `responseCode` as `response[x]` too',
};

type Found = {
  readonly type: string;
  readonly node: JsonObject;
  readonly context: InvariantContext;
  readonly keys: readonly string[];
};

/** Every node of a resource with the invariants that are stated about it. */
const nodesOf = (resource: JsonObject): readonly Found[] => {
  const found: Found[] = [];
  const visit = (at: {
    readonly node: JsonObject;
    readonly type: string;
    readonly context: InvariantContext;
    readonly own: readonly string[];
  }): void => {
    const structure = definitions.structure(at.type);
    if (structure === undefined) return;
    found.push({ type: at.type, node: at.node, context: at.context, keys: [...structure.rules, ...at.own] });
    const members = membersOf(structure);
    for (const [key, value] of Object.entries(at.node)) {
      const member = members.get(key);
      if (member === undefined) continue;
      for (const item of (Array.isArray(value) ? value : [value]) as readonly Json[]) {
        const node = asObject(item);
        if (node === undefined) continue;
        const inside = member.type === 'Resource';
        const context = inside ? { resource: node, root: key === 'contained' ? at.context.root : node } : at.context;
        visit({
          node,
          type: inside ? String(node['resourceType']) : member.type,
          context,
          own: member.element.rules ?? [],
        });
      }
    }
  };
  visit({ node: resource, type: String(resource['resourceType']), context: { resource, root: resource }, own: [] });
  return found;
};

/**
 * A node as it is, and with each of its members gone or another. Mandatory members stay: an invariant is only asked where the shape is right.
 * No extension takes the place of a value: `@medplum/core` does not see an element that has extensions only.
 */
const variants = (node: JsonObject, type: string): readonly JsonObject[] => {
  const made: JsonObject[] = [node];
  const structure = definitions.structure(type);
  for (const key of Object.keys(node)) {
    if (key === 'resourceType') continue;
    const { [key]: value, ...rest } = node;
    if (structure?.elements[key]?.min === undefined) made.push(rest);
    if (typeof value === 'string')
      made.push(...['changes', 'home', 'searchset', 'noshow', 'batch'].map((text) => ({ ...rest, [key]: text })));
    if (typeof value === 'number') made.push({ ...rest, [key]: -1 }, { ...rest, [key]: 0 });
  }
  return made;
};

/** Nodes that the samples do not have, so that every closure is asked in both of its answers. */
const MADE: readonly (readonly [type: string, node: JsonObject])[] = [
  ['Extension', { url: 'urn:x', extension: [{ url: 'urn:y', valueString: 'z' }], valueString: 'both' }],
  ['Appointment.participant', { status: 'accepted' }],
  ['Age', { value: 3, unit: 'a', system: 'http://unitsofmeasure.org', code: 'a' }],
  ['Age', { value: 3, code: 'a', system: 'urn:other' }],
  ['Distance', { value: 3, unit: 'm', system: 'http://unitsofmeasure.org', code: 'm' }],
  ['Distance', { value: 3, system: 'urn:other', code: 'm' }],
  ['Duration', { value: 3, system: 'http://unitsofmeasure.org', code: 'h' }],
  ['Duration', { system: 'http://unitsofmeasure.org', code: 'h' }],
  ['Expression', { language: 'text/fhirpath', expression: 'a', reference: 'urn:a' }],
  ['Expression', { language: 'text/fhirpath' }],
  ['Ratio', { numerator: { value: 1 }, denominator: { value: 2 }, extension: [{ url: 'urn:x', valueString: 'y' }] }],
  ['Ratio', { extension: [{ url: 'urn:x', valueString: 'y' }] }],
  [
    'Timing.repeat',
    { duration: 1, durationMax: 2, durationUnit: 'h', period: 1, periodMax: 2, periodUnit: 'd', count: 1, countMax: 2 },
  ],
  ['Timing.repeat', { timeOfDay: ['10:00:00'], when: ['MORN'] }],
  ['Attachment', { data: 'AAAA', contentType: 'text/plain' }],
  ['ContactPoint', { system: 'phone', value: '1', use: 'home' }],
  ['Quantity', { value: 1, system: 'urn:x', code: 'y' }],
  [
    'Appointment',
    {
      resourceType: 'Appointment',
      status: 'cancelled',
      cancelationReason: { text: 'x' },
      start: '2026-01-01T00:00:00Z',
      end: '2026-01-01T00:00:00Z',
    },
  ],
  ['Appointment', { resourceType: 'Appointment', status: 'booked', cancelationReason: { text: 'x' } }],
  ['Appointment.participant', { type: [{ text: 'x' }], actor: { reference: 'Patient/1' }, status: 'accepted' }],
  ['AppointmentResponse', { resourceType: 'AppointmentResponse', participantType: [{ text: 'x' }] }],
  ['AuditEvent.entity', { name: 'a', query: 'AAAA' }],
  ['CareTeam.participant', { member: { reference: 'Practitioner/1' }, onBehalfOf: { reference: 'Organization/1' } }],
  ['CareTeam.participant', { member: { reference: 'Patient/1' }, onBehalfOf: { reference: 'Organization/1' } }],
  [
    'List',
    {
      resourceType: 'List',
      status: 'current',
      mode: 'snapshot',
      emptyReason: { text: 'x' },
      entry: [{ deleted: true, date: '2026', item: { reference: 'A/1' } }],
    },
  ],
  [
    'List',
    { resourceType: 'List', status: 'current', mode: 'working', entry: [{ date: '2026', item: { reference: 'A/1' } }] },
  ],
  ['Organization', { resourceType: 'Organization', identifier: [{ value: '1' }], name: 'x' }],
  ['Organization', { resourceType: 'Organization', active: true }],
  ['Patient.contact', { gender: 'male', name: { text: 'x' } }],
  ['Consent', { resourceType: 'Consent', status: 'active', policyRule: { text: 'x' } }],
  ['Parameters.parameter', { name: 'x', valueString: 'y', part: [{ name: 'z', valueString: 'y' }] }],
  ['Parameters.parameter', { name: 'x', resource: { resourceType: 'Patient' } }],
  [
    'Bundle',
    {
      resourceType: 'Bundle',
      type: 'searchset',
      total: 1,
      entry: [{ fullUrl: 'urn:a', resource: { resourceType: 'Patient' }, search: { mode: 'match' } }],
    },
  ],
  [
    'Bundle',
    {
      resourceType: 'Bundle',
      type: 'transaction',
      total: 1,
      entry: [{ request: { method: 'GET', url: 'a' }, response: { status: '200' } }],
    },
  ],
  [
    'Bundle',
    {
      resourceType: 'Bundle',
      type: 'history',
      entry: [{ request: { method: 'GET', url: 'a' }, response: { status: '200' } }],
    },
  ],
  ['Bundle.entry', { fullUrl: 'http://a/Patient/1/_history/2', request: { method: 'GET', url: 'a' } }],
  ['Bundle.entry', { link: [{ relation: 'self', url: 'a' }] }],
  [
    'Patient',
    {
      resourceType: 'Patient',
      contained: [
        {
          resourceType: 'Patient',
          id: 'a',
          meta: { versionId: '1', security: [{ code: 'x' }] },
          contained: [{ resourceType: 'Patient', id: 'b' }],
        },
      ],
    },
  ],
  [
    'Patient',
    {
      resourceType: 'Patient',
      contained: [{ resourceType: 'Patient', id: 'a', meta: { lastUpdated: '2026-01-01T00:00:00Z' } }],
    },
  ],
];

const FOLDERS = ['r4-examples', 'ihe-mhd', 'ihe-pcf', 'ihe-balp'];
const skipped = FOLDERS.map(missingSamples).find((reason) => reason !== undefined);

const everywhere = (): ReadonlyMap<
  string,
  readonly { readonly node: JsonObject; readonly context: InvariantContext }[]
> => {
  const byKey = new Map<string, { readonly node: JsonObject; readonly context: InvariantContext }[]>();
  const add = ({ type, node, context, keys }: Found): void => {
    for (const key of keys) {
      if (CLOSURES[key] === undefined) continue;
      const list = byKey.get(key) ?? [];
      byKey.set(key, list);
      // Enough of each kind; whole resources are slow to evaluate.
      if (list.length > 400) continue;
      for (const variant of variants(node, type))
        list.push({
          node: variant,
          context:
            node === context.resource
              ? { resource: variant, root: context.root === node ? variant : context.root }
              : context,
        });
    }
  };
  for (const [type, node] of MADE)
    add({
      type,
      node,
      context: { resource: node, root: node },
      keys: [...(definitions.structure(type)?.rules ?? []), ...(type === 'ContactPoint' ? ['org-3', 'org-2'] : [])],
    });
  for (const folder of FOLDERS)
    for (const { resource, text } of samplesIn(folder))
      if (text.length < 8000) for (const found of nodesOf(resource)) add(found);
  return byKey;
};

describe('the closures of invariants', () => {
  const byKey = everywhere();

  it('are all met by a test', () => {
    const unmet = Object.keys(CLOSURES).filter((key) => !byKey.has(key) && MAY_DIFFER[key] === undefined);
    expect(unmet).toEqual([]);
  });

  it.each(Object.keys(CLOSURES).filter((key) => MAY_DIFFER[key] === undefined))(
    '%s decides as the published FHIRPath does',
    (key) => {
      const invariant = definitions.invariant(key);
      if (invariant === undefined) throw new Error(`no invariant ${key}`);
      const reference = published(invariant);
      const answers = new Set<boolean>();
      for (const { node, context } of byKey.get(key) ?? []) {
        const answer = CLOSURES[key]!(node, context);
        answers.add(answer);
        expect(answer, `${key} on ${JSON.stringify(node).slice(0, 300)}`).toBe(reference(node, context));
      }
      // Each is seen to accept and to refuse, but for those that can refuse nothing.
      expect([...answers].sort()).toEqual(/^ppc-[2-5]$/.test(key) ? [true] : [false, true]);
    },
  );

  it.skipIf(skipped)('meets real resources too', () => {
    expect(byKey.get('ext-1')?.length).toBeGreaterThan(100);
  });
});

describe('elements with extensions only', () => {
  const because = {
    extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/data-absent-reason', valueCode: 'unknown' }],
  };

  it.each<[string, JsonObject, boolean]>([
    ['att-1', { data: 'AAAA', _contentType: because }, true],
    ['att-1', { _data: because }, false],
    ['cpt-2', { _value: because }, false],
    ['cpt-2', { _value: because, system: 'phone' }, true],
    ['ext-1', { url: 'urn:x', _valueString: because }, true],
    ['ext-1', { url: 'urn:x', _valueString: because, extension: [] }, false],
    ['app-2', { _start: because, end: '2026-01-01T00:00:00Z' }, true],
    ['app-2', { _start: because }, false],
    ['org-1', { _name: because }, true],
    ['sev-1', { name: 'a', _query: because }, false],
    ['inv-1', { name: 'a', _valueString: because, part: [] }, false],
    ['qty-3', { value: 1, _code: because }, false],
  ])('%s on %j: they exist', (key, node, holds) => {
    expect(CLOSURES[key]!(node, { resource: node, root: node })).toBe(holds);
  });
});

describe('ref-1 and dom-3', () => {
  const doc = (contained: Json, more: JsonObject): JsonObject =>
    ({ resourceType: 'DocumentReference', contained, ...more }) as JsonObject;
  const at = (resource: JsonObject): InvariantContext => ({ resource, root: resource });

  it.each<[string, JsonObject, boolean]>([
    [
      'a contained resource that is referred to',
      doc([{ resourceType: 'Patient', id: 'p' }], { subject: { reference: '#p' } }),
      true,
    ],
    [
      'one that nothing refers to',
      doc([{ resourceType: 'Patient', id: 'p' }], { subject: { reference: '#q' } }),
      false,
    ],
    ['one without an id', doc([{ resourceType: 'Patient' }], {}), false],
    [
      'one that refers to its container',
      doc([{ resourceType: 'Provenance', id: 'p', target: [{ reference: '#' }] }], {}),
      true,
    ],
    [
      'one that another contained one refers to',
      doc(
        [
          { resourceType: 'Patient', id: 'p', managingOrganization: { reference: '#o' } },
          { resourceType: 'Organization', id: 'o' },
        ],
        { subject: { reference: '#p' } },
      ),
      true,
    ],
    [
      'a text that only looks like a reference',
      doc([{ resourceType: 'Patient', id: 'p' }], { subject: { display: '#p' } }),
      false,
    ],
    ['a canonical in a list', doc([{ resourceType: 'ValueSet', id: 'v' }], { instantiates: ['#v'] }), true],
    ['nothing contained', { resourceType: 'Patient' }, true],
  ])('dom-3: %s', (_, resource, holds) => {
    expect(CLOSURES['dom-3']!(resource, at(resource))).toBe(holds);
  });

  it('ref-1 looks among what the container contains', () => {
    const inner = { resourceType: 'Patient', id: 'p' };
    const resource = doc([inner], {});
    const holds = (reference: string, context: InvariantContext) => CLOSURES['ref-1']!({ reference }, context);
    expect(holds('#p', at(resource))).toBe(true);
    expect(holds('#q', at(resource))).toBe(false);
    expect(holds('#', at(resource))).toBe(false);
    expect(holds('#', { resource: inner, root: resource })).toBe(true);
    expect(holds('Patient/q', at(resource))).toBe(true);
  });
});

describe('what is not evaluated', () => {
  it('is an invariant of R4, with a reason', () => {
    for (const [key, reason] of Object.entries(NOT_EVALUATED)) {
      expect(definitions.invariant(key), key).toBeDefined();
      expect(reason.length).toBeGreaterThan(20);
    }
  });
});

/** The JSON schema and the walk are two readings of R4: whatever the schema refuses, the walk can name. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../../server/adapters/validator/definitions.ts';
import { schemaGate } from '../../../server/adapters/validator/schema-gate.ts';
import { shapes } from '../../../server/adapters/validator/shape.ts';
import { type Walk, walkResource } from '../../../server/adapters/validator/walk.ts';
import type { Resource } from '../../../server/fhir/types.ts';
import { missingSamples, samplesIn } from '../../support/samples.ts';

const definitions = shippedDefinitions();
const gate = schemaGate(definitions.schema);
const shape = shapes(definitions);

const walked = (resource: Resource): number => {
  const walk: Walk = { shape, most: 50, depth: 64, faults: [] };
  walkResource(walk, resource, { path: resource.resourceType, depth: 1, root: undefined });
  return walk.faults.length;
};

const samples = ['r4-examples', 'ihe-mhd', 'ihe-pcf', 'ihe-balp']
  .flatMap((folder) => samplesIn(folder))
  .filter(({ text }) => text.length < 12_000);

const WRONG = [
  null,
  {},
  [],
  '',
  1,
  1.5,
  -1,
  1e12,
  true,
  'x y',
  '2026-02-30',
  ' ',
  [null],
  { id: 'a' },
  '#a',
  [{}],
  ['a'],
  { extension: [{ url: 'urn:a', valueString: 'b' }] },
];
const NAMES = [
  'foo',
  'valueString',
  'valueBoolean',
  'id',
  'extension',
  'meta',
  'text',
  'period',
  'status',
  'contained',
  '_status',
  'resourceType',
];

const nodesOf = (value: unknown, found: object[]): object[] => {
  if (typeof value !== 'object' || value === null) return found;
  found.push(value);
  for (const item of Object.values(value)) nodesOf(item, found);
  return found;
};

describe.skipIf(missingSamples('r4-examples'))('schema and walk', () => {
  it('both accept or both refuse what is changed at random, but for what a schema cannot say', () => {
    let refused = 0;
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.nat(),
        fc.nat(),
        fc.oneof(
          fc.record({ how: fc.constant('delete' as const) }),
          fc.record({ how: fc.constant('set' as const), value: fc.constantFrom(...WRONG) }),
          fc.record({
            how: fc.constant('add' as const),
            name: fc.constantFrom(...NAMES),
            value: fc.constantFrom(...WRONG),
          }),
          fc.record({ how: fc.constant('graft' as const), from: fc.nat() }),
        ),
        ({ resource }, where, which, change) => {
          const copy: any = structuredClone(resource);
          const nodes = nodesOf(copy, []);
          const node: any = nodes[where % nodes.length];
          const keys = Object.keys(node);
          const key = keys[which % Math.max(1, keys.length)];
          if (change.how === 'add') node[Array.isArray(node) ? node.length : change.name] = change.value;
          else if (key === undefined) return;
          else if (change.how === 'delete') Array.isArray(node) ? node.splice(Number(key), 1) : delete node[key];
          else if (change.how === 'set') node[key] = change.value;
          else node[key] = structuredClone(nodes[change.from % nodes.length]);
          if (typeof copy.resourceType !== 'string' || JSON.stringify(copy).length > 60_000) return;
          const faults = walked(copy);
          if (faults > 0) refused += 1;
          else {
            accepted += 1;
            expect(gate.accepts(copy.resourceType, copy), JSON.stringify(node).slice(0, 300)).toBe(true);
          }
        },
      ),
      { numRuns: 4000 },
    );
    expect(refused).toBeGreaterThan(1000);
    expect(accepted).toBeGreaterThan(100);
  }, 120_000);

  it('both accept every sample that the walk accepts', () => {
    for (const { name, resource } of samples)
      if (walked(resource) === 0) expect(gate.accepts(resource.resourceType, resource), name).toBe(true);
  });

  it('knows no schema of an unknown name', () => {
    expect(gate.accepts('Nothing', {})).toBeUndefined();
    expect(gate.accepts('constructor', {})).toBeUndefined();
  });
});

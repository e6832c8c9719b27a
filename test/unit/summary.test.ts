import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../server/adapters/validator/definitions.ts';
import { readElements, readSummary, summariesOf } from '../../server/fhir/summary.ts';
import type { Json, Resource } from '../../server/fhir/types.ts';

const definitions = shippedDefinitions();
const summaries = summariesOf(definitions);

const DOCUMENT = {
  resourceType: 'DocumentReference',
  id: 'd1',
  meta: { versionId: '3', tag: [{ system: 'urn:t', code: 'kept' }] },
  text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">x</div>' },
  contained: [{ resourceType: 'Patient', id: 'p' }],
  extension: [{ url: 'urn:e', valueString: 'x' }],
  modifierExtension: [{ url: 'urn:m', valueString: 'x' }],
  status: 'current',
  _status: { extension: [{ url: 'urn:s', valueString: 'x' }] },
  type: { text: 'letter' },
  custodian: { display: 'hospital' },
  description: 'a letter',
  content: [{ attachment: { title: 'a' }, extension: [{ url: 'urn:c', valueString: 'x' }], format: { code: 'f' } }],
  context: { sourcePatientInfo: { display: 'x' }, event: [{ text: 'e' }], period: { start: '2026' } },
} as unknown as Resource;

const SUBSETTED = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };
const META = { versionId: '3', tag: [{ system: 'urn:t', code: 'kept' }, SUBSETTED] };

describe('_summary', () => {
  it('reads the five texts and no other', () => {
    for (const text of ['true', 'text', 'data', 'count', 'false']) expect(readSummary(text).ok).toBe(true);
    for (const text of ['', 'TRUE', 'toString', 'all'])
      expect(readSummary(text)).toMatchObject({ ok: false, failure: { code: 'malformed' } });
  });

  it('true: what R4 marks as summary and what is mandatory, also inside backbone elements', () => {
    expect(summaries.project(DOCUMENT, { kind: 'summary' })).toEqual({
      resourceType: 'DocumentReference',
      id: 'd1',
      meta: META,
      modifierExtension: [{ url: 'urn:m', valueString: 'x' }],
      status: 'current',
      _status: { extension: [{ url: 'urn:s', valueString: 'x' }] },
      type: { text: 'letter' },
      description: 'a letter',
      content: [{ attachment: { title: 'a' }, format: { code: 'f' } }],
      context: { period: { start: '2026' } },
    });
  });

  it('text: narrative and mandatory elements', () => {
    const part = summaries.project(DOCUMENT, { kind: 'text' });
    expect(Object.keys(part).sort()).toEqual([
      '_status',
      'content',
      'id',
      'meta',
      'modifierExtension',
      'resourceType',
      'status',
      'text',
    ]);
    expect(part.meta).toEqual(META);
  });

  it('data: everything but the narrative', () => {
    const { text: _, ...rest } = DOCUMENT;
    expect(summaries.project(DOCUMENT, { kind: 'data' })).toEqual({ ...rest, meta: META });
  });

  it('false: the resource itself, untouched', () => {
    expect(summaries.project(DOCUMENT, { kind: 'whole' })).toBe(DOCUMENT);
  });
});

describe('_elements', () => {
  const project = (text: string, resource: Resource) => {
    const read = readElements(text);
    if (!read.ok) throw new Error(text);
    return summaries.project(resource, read.value);
  };

  it('gives what is named and what is mandatory', () => {
    expect(Object.keys(project('description,DocumentReference.type,nothing', DOCUMENT))).toEqual([
      'resourceType',
      'id',
      'meta',
      'modifierExtension',
      'status',
      '_status',
      'type',
      'description',
      'content',
    ]);
  });

  it('names a choice without its type', () => {
    const patient = {
      resourceType: 'Patient',
      deceasedBoolean: true,
      birthDate: '2000',
      gender: 'male',
    } as unknown as Resource;
    expect(project('deceased', patient)).toEqual({
      resourceType: 'Patient',
      deceasedBoolean: true,
      meta: { tag: [SUBSETTED] },
    });
  });

  it.each(['', 'a,,b', 'Patient.name.family', 'a b', '__proto__', 'type,'.repeat(500).concat('id')])(
    'refuses %j',
    (text) => {
      expect(readElements(text)).toMatchObject({ ok: false, failure: { code: 'malformed' } });
    },
  );
});

describe('a part does not come back', () => {
  it('is refused when it says what it is', () => {
    expect(summaries.refusal(summaries.project(DOCUMENT, { kind: 'summary' }))).toMatchObject({
      at: 'DocumentReference.meta.tag',
    });
    expect(summaries.refusal(DOCUMENT)).toBeUndefined();
  });

  it('is tagged once', () => {
    const twice = summaries.project(summaries.project(DOCUMENT, { kind: 'data' }), { kind: 'data' });
    expect(((twice.meta as any).tag as Json[]).length).toBe(2);
  });
});

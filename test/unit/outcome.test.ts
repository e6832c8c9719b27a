import { describe, expect, it } from 'vitest';
import { shippedDefinitions } from '../../server/adapters/validator/definitions.ts';
import { r4Validator } from '../../server/adapters/validator/validator.ts';
import { answerOf, outcomeOk, outcomeWarnings, statusOf } from '../../server/fhir/outcome.ts';
import type { Failure } from '../../server/fhir/result.ts';
import type { Resource } from '../../server/fhir/types.ts';

const ALL: readonly (readonly [Failure, number])[] = [
  [{ code: 'unauthenticated', why: 'signature of Martin' }, 401],
  [{ code: 'out-of-scope', needed: 'Patient.r' }, 403],
  [{ code: 'forbidden', rule: 'W1', text: 'the person opposes feeding' }, 403],
  [{ code: 'not-found' }, 404],
  [{ code: 'gone' }, 410],
  [{ code: 'method-not-allowed', text: 'not here', allow: 'GET, HEAD' }, 405],
  [{ code: 'not-acceptable', text: 'no such format' }, 406],
  [{ code: 'conflict', text: 'a block stands', rule: 'A7' }, 409],
  [{ code: 'precondition-failed', text: 'stale' }, 412],
  [{ code: 'too-large', text: 'too large' }, 413],
  [{ code: 'unsupported-media-type', text: 'no' }, 415],
  [{ code: 'malformed', faults: [{ text: 'not JSON' }] }, 400],
  [{ code: 'unprocessable', faults: [{ text: 'required', at: 'Patient.name', code: 'required' }] }, 422],
  [{ code: 'unavailable', text: 'try again', retryAfterSeconds: 0.2 }, 503],
];

describe('answers to failures', () => {
  it.each(ALL)('%o', (failure, status) => {
    expect(answerOf(failure).status).toBe(status);
    expect(statusOf(failure)).toBe(status);
  });

  it('is always a valid OperationOutcome', () => {
    const validator = r4Validator(shippedDefinitions());
    for (const [failure] of ALL)
      expect(validator.validate(answerOf(failure).outcome as unknown as Resource)).toEqual([]);
    expect(validator.validate(outcomeOk('done') as unknown as Resource)).toEqual([]);
    expect(validator.validate(outcomeWarnings([{ text: 'dropped' }]) as unknown as Resource)).toEqual([]);
  });

  it('gives one 404, one 410 and one 401, the same bytes whatever the request', () => {
    expect(answerOf({ code: 'not-found' }).outcome).toBe(answerOf({ code: 'not-found' }).outcome);
    expect(answerOf({ code: 'gone' }).outcome).toBe(answerOf({ code: 'gone' }).outcome);
    const one = answerOf({ code: 'unauthenticated', why: 'expired' });
    const other = answerOf({ code: 'unauthenticated', why: 'unknown issuer' });
    expect(JSON.stringify(one)).toBe(JSON.stringify(other));
    expect(one.headers).toEqual({ 'www-authenticate': 'Bearer' });
  });

  it('names the rule of a refusal', () => {
    expect(answerOf({ code: 'forbidden', rule: 'W1', text: 'no' }).outcome.issue).toEqual([
      {
        severity: 'error',
        code: 'forbidden',
        details: { coding: [{ system: 'https://carnet.example/fhir/CodeSystem/rule', code: 'W1' }], text: 'no' },
      },
    ]);
    expect(JSON.stringify(answerOf({ code: 'conflict', text: 'x' }).outcome)).not.toContain('coding');
  });

  it('gives each fault an issue with its expression', () => {
    const { outcome } = answerOf({
      code: 'unprocessable',
      rule: 'L1',
      faults: [
        { text: 'one', at: 'Patient.name[0]' },
        { text: 'two', code: 'required' },
      ],
    });
    expect(outcome.issue.map((issue) => [issue.code, issue.expression])).toEqual([
      ['processing', ['Patient.name[0]']],
      ['required', undefined],
    ]);
  });

  it('sends Allow and Retry-After', () => {
    expect(answerOf({ code: 'method-not-allowed', text: 'x', allow: 'GET' }).headers).toEqual({ allow: 'GET' });
    expect(answerOf({ code: 'unavailable', text: 'x', retryAfterSeconds: 0.2 }).headers).toEqual({
      'retry-after': '1',
    });
    expect(answerOf({ code: 'unavailable', text: 'x', retryAfterSeconds: 7.5 }).headers).toEqual({
      'retry-after': '8',
    });
  });
});

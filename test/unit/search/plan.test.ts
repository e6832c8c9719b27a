/** The permission goes into the question: whatever is asked, nothing is found that the guard does not let through. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decide, grant, guardOf, part } from '../../../server/access/decision.ts';
import { matches, NO_LINKS } from '../../../server/query/matches.ts';
import { guarded, hop, type QueryPlan } from '../../../server/query/plan.ts';
import { ALL, and, NONE, not, or, type Predicate, term } from '../../../server/query/predicate.ts';

const guardFor = (type: string, where: Predicate) => guardOf(decide(type, [grant('D1', part('D1', where))]));
const planOf = (type: string, where: Predicate): QueryPlan => ({ type, where, sort: [], limit: 10, total: false });

const { question } = fc.letrec<{ question: Predicate }>((tie) => ({
  question: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Predicate>(ALL, NONE, term('a', '1'), term('b', '1'), term('shown', '1')),
    fc.tuple(tie('question'), tie('question')).map(([p, q]) => and(p, q)),
    fc.tuple(tie('question'), tie('question')).map(([p, q]) => or(p, q)),
    tie('question').map(not),
  ),
}));

describe('a guarded plan', () => {
  test('finds nothing that the guard hides, whatever is asked and however it is negated', () => {
    fc.assert(
      fc.property(question, fc.subarray(['a=1', 'b=1', 'shown=1']), (asked, terms) => {
        const entry = { terms, strings: [], ranges: [], sort: [] };
        const plan = guarded(planOf('List', asked), guardFor('List', term('shown', '1')));
        const found = matches(plan.where, entry, NO_LINKS);
        expect(found).toBe(terms.includes('shown=1') && matches(asked, entry, NO_LINKS));
      }),
    );
  });

  test('is opened by a guard of its own type only', () => {
    expect(guarded(planOf('List', ALL), guardFor('List', ALL)).where).toEqual(ALL);
    expect(guarded(planOf('List', ALL), guardFor('Binary', ALL)).where).toEqual(NONE);
  });
});

test('a hop has the guard of the type it goes to inside', () => {
  const made = hop(guardFor('List', term('shown', '1')), term('a', '1'), { deleted: false });
  expect(made).toEqual({ type: 'List', where: and(term('shown', '1'), term('a', '1')), deleted: false });
});

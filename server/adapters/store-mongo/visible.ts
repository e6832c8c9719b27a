/** Judging one document that was read. */
import type { Key } from '../../fhir/types.ts';
import { specialise } from '../../query/matches.ts';
import type { Guard } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import type { CurrentDocument } from './schema.ts';
import { currentOf, type Sight, spaceOf } from './sight.ts';
import { holding } from './walk.ts';

/** Whether `p` holds for a current document, deleted or not. */
export async function holdsFor(sight: Sight, doc: CurrentDocument, p: Predicate): Promise<boolean> {
  const asked = specialise(p, doc.owner === null ? undefined : await spaceOf(sight, doc.owner));
  return (await holding(sight, [doc], asked)).length > 0;
}

/** The current document, when the guard lets it through. */
export async function visible(sight: Sight, key: Key, guard: Guard): Promise<CurrentDocument | undefined> {
  if (guard.type !== key.type) return undefined;
  const doc = await currentOf(sight, key);
  return doc !== undefined && (await holdsFor(sight, doc, guard.residual)) ? doc : undefined;
}

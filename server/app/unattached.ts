/**
 * contract.md "Documents": a Binary waits an hour for the document that it belongs to; one that none named is swept. It belongs to nobody and nothing
 * can name it any more, so its bytes go for good: 410 to who uploaded it, and a line in the host's register.
 */
import { systemGuard } from '../access/decision.ts';
import type { Instant } from '../fhir/types.ts';
import type { StoreUnit } from '../ports/store.ts';
import { guarded } from '../query/plan.ts';
import { and, range, term } from '../query/predicate.ts';
import { recordClockAct } from './clock-act.ts';
import type { Deps } from './deps.ts';
import { ATTACH_WITHIN } from './types/document.ts';
import { erase, type Writing } from './work.ts';

/** So many in one unit: requests wait for it no longer than for a small transaction. */
const TOGETHER = 20;

/** Sweeps every Binary whose hour is over and answers how many. Two servers that meet at one take it once. */
export async function sweepUnattached(deps: Deps): Promise<number> {
  for (let swept = 0; ; ) {
    const now = deps.clock.now();
    const some = await deps.store.unit((unit) => sweepSome(deps, unit, now));
    swept += some;
    if (some < TOGETHER) return swept;
  }
}

async function sweepSome(deps: Deps, unit: StoreUnit, now: Instant): Promise<number> {
  const late = await unit.search(
    guarded(
      {
        type: 'Binary',
        where: and(term('_unattached', '1'), range('_lastUpdated', { lo: ['<=', now - ATTACH_WITHIN] })),
        sort: [],
        limit: TOGETHER,
        total: false,
      },
      systemGuard('Binary', 'jobs'),
    ),
  );
  const writing: Writing = { deps, unit, now, traces: [], written: { any: false }, stale: new Set() };
  for (const binary of late.matches) {
    await unit.detachBytes(binary);
    await erase(writing, binary, 'W23');
    await recordClockAct(writing, {
      person: undefined,
      items: [`Binary/${binary.id}`],
      action: 'delete',
      rules: ['W23'],
    });
  }
  return late.matches.length;
}

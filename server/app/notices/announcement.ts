/**
 * W7: the announcement clock. Two weeks after an item was filed out of the holder's sight (L2) they are told to see a professional; a calendar month
 * after, it is visible to them, and they are told of that. The guard ends L2 at its instant by itself; the clock tells, and gives the item a version
 * without the label, so that whoever follows changes finds it. When a step is due is a mark of the item, and taking it moves the mark in the same
 * unit: a step is taken once, whatever stops in between and however many servers have a clock.
 */
import { systemGuard } from '../../access/decision.ts';
import { HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES } from '../../access/rules/labels.ts';
import { stateIn } from '../../access/space.ts';
import type { Instant, Ref } from '../../fhir/types.ts';
import type { Filing, StoreUnit, Version } from '../../ports/store.ts';
import { guarded } from '../../query/plan.ts';
import { and, range, term } from '../../query/predicate.ts';
import { recordClockAct } from '../clock-act.ts';
import type { Deps } from '../deps.ts';
import { LABELLED_TYPES } from '../interactions/label-operations.ts';
import { clockDay, labelsOf, nextStep, withLabels } from '../types/labels.ts';
import { parsed, refile, save, type Writing } from '../work.ts';
import { type NoticeCode, writeNotice } from './notice.ts';
import { switchedOff } from './preferences.ts';

/** Steps taken in one unit: requests wait for it no longer than for a small transaction. */
const TOGETHER = 20;
const DAY_MS = 86_400_000;

/**
 * Takes every step that is due and answers how many. `since`: when all that was due had been taken, so that only the days from then on are looked at;
 * absent (a start), everything pending is.
 */
export async function announce(deps: Deps, since: Instant | undefined): Promise<number> {
  let taken = 0;
  for (const type of LABELLED_TYPES.filter((t) => deps.declarations.has(t))) {
    for (const bucket of bucketsSince(since, deps.clock.now())) {
      for (;;) {
        const now = deps.clock.now();
        const steps = await deps.store.unit((unit) => takeSteps(deps, unit, now, { type, bucket }));
        taken += steps;
        if (steps < TOGETHER) break;
      }
    }
  }
  return taken;
}

function bucketsSince(since: Instant | undefined, now: Instant): readonly string[] {
  if (since === undefined || now - since > 31 * DAY_MS || now < since) return ['pending'];
  const days = new Set<string>();
  for (let at = since; at < now; at += DAY_MS) days.add(clockDay(at));
  return [...days.add(clockDay(now))];
}

async function takeSteps(
  deps: Deps,
  unit: StoreUnit,
  now: Instant,
  { type, bucket }: { readonly type: string; readonly bucket: string },
): Promise<number> {
  const due = await unit.search(
    guarded(
      {
        type,
        where: and(term('_clock', bucket), range('_clock', { lo: ['<=', now] })),
        sort: [],
        limit: TOGETHER,
        total: false,
      },
      systemGuard(type, 'jobs'),
    ),
  );
  const writing: Writing = { deps, unit, now, traces: [], written: { any: false }, stale: new Set() };
  for (const item of due.matches) await takeStep(writing, item);
  return due.matches.length;
}

/** The states in which somebody is there to be told, now or when the space is active again. */
const LIVING = ['open', 'active', 'legacy-dmp', 'suspended'] as const;

async function takeStep(writing: Writing, item: Version): Promise<void> {
  const { unit, now } = writing;
  const resource = parsed(item);
  const labels = labelsOf(resource);
  const step = nextStep(labels, item.filing);
  const person = item.owner;
  if (step === undefined || person === undefined) return;
  const announced = item.filing.announced === 'invited' ? 'visible' : 'invited';
  const filing: Filing = { ...item.filing, announced };
  const key = { type: item.type, id: item.id };
  // A sealed space is left as it is: nobody could be told, and the label counts no more by itself.
  const isLiving = await unit.test(key, systemGuard(item.type, 'jobs'), stateIn(LIVING, now));
  if (!isLiving) return refile(writing, item, filing);
  // Of a document that was replaced, its replacement is announced.
  const isLatest = resource['status'] !== 'superseded';
  if (announced === 'invited') {
    await refile(writing, item, filing);
    const secret = labels.has(HIDDEN_FROM_REPRESENTATIVES) ? { secret: true } : {};
    if (isLatest) await tell(writing, person, 'INVITATION_ANNONCE', { filing: secret });
    return;
  }
  const shown = new Set([...labels].filter((l) => l !== HIDDEN_FROM_PATIENT));
  await save(writing, {
    key,
    before: item,
    resource: withLabels(resource, shown),
    owner: person,
    filing,
    rule: 'W7',
  });
  const ref: Ref = `${item.type}/${item.id}`;
  await recordClockAct(writing, { person, items: [ref], action: 'update', rules: ['W7'] });
  if (!isLatest || (await switchedOff(unit, person)).has('REMISE_VISIBILITE_AUTO')) return;
  await tell(writing, person, 'REMISE_VISIBILITE_AUTO', { item: ref, filing: { about: [ref] } });
}

const tell = (
  writing: Writing,
  person: Ref,
  code: NoticeCode,
  rest: { readonly item?: Ref; readonly filing: { readonly about?: readonly Ref[]; readonly secret?: boolean } },
): Promise<void> => writeNotice(writing, { code, person, recipient: person, ...rest });

/** rules.md S3: a closed space stays sealed for ten years; then, and not before, the keys of its person are destroyed. */
import { systemGuard } from '../access/decision.ts';
import { consentKindOf, readConsent } from '../access/space.ts';
import type { Instant, JsonObject, Ref } from '../fhir/types.ts';
import type { StoreUnit, Version } from '../ports/store.ts';
import { term } from '../query/predicate.ts';
import { searchAll } from './facts.ts';

const YEARS = 10;
/** Versions of one Consent that are looked at; a space changes state a few times in a life. */
const MOST = 1_000;

/**
 * Since when the person's space has been closed without a break; `undefined` when it is not closed, or when that cannot be told. An ended
 * old DMP counts as closed from its end date (rules.md section 2).
 */
export async function closedSince(unit: StoreUnit, person: Ref, now: Instant): Promise<Instant | undefined> {
  const consents = await searchAll(unit, 'Consent', [term('_owner', person)]);
  const spaces = consents.filter((v) => consentKindOf(bodyOf(v)) === 'space-existence');
  let since: Instant | undefined;
  for (const space of spaces) {
    const { type, id } = space;
    // Ended counts as no entry (contract.md); what closed the space is younger, since there is one at a time.
    if (!readConsent(bodyOf(space)).active) continue;
    const page = await unit.history({ type, id }, systemGuard(type, 'facts'), { limit: MOST });
    const closed = page === undefined || page.more ? undefined : closedRun(page.versions, now);
    // Every statement about the space must say so: one that does not keeps it.
    if (closed === undefined) return undefined;
    since = Math.max(since ?? closed, closed);
  }
  return since;
}

const bodyOf = (version: Version): JsonObject => JSON.parse(version.body) as JsonObject;

/** Versions newest first: since when all of them say closed. */
function closedRun(versions: readonly Version[], now: Instant): Instant | undefined {
  let since: Instant | undefined;
  for (const version of versions) {
    const from = version.deleted ? undefined : closedFrom(version, now);
    if (from === undefined) break;
    since = from;
    // It closed some time after it was written: what stood before is another time.
    if (from > version.lastUpdated) break;
  }
  return since;
}

/** From when this version alone says that the space is closed. */
function closedFrom(version: Version, now: Instant): Instant | undefined {
  const said = readConsent(bodyOf(version));
  if (!said.active || !said.readable) return undefined;
  if (said.state === 'closed') return version.lastUpdated;
  return said.state === 'legacy-dmp' && said.hi <= now ? Math.max(said.hi, version.lastUpdated) : undefined;
}

/** When ten calendar years after `since` are over everywhere: the day after the anniversary, so that no time zone makes it early. */
export function sealedUntil(since: Instant): Instant {
  const day = new Date(since);
  return Date.UTC(day.getUTCFullYear() + YEARS, day.getUTCMonth(), day.getUTCDate() + 2);
}

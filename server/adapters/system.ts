/** The clock and the ids of a running server (rules.md T4). */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Instant } from '../fhir/types.ts';
import type { Clock, IdSource } from '../ports/system.ts';

/** The machine's clock. */
export const systemClock: Clock = { now: () => Date.now() };

/** Random UUIDs, version 4. */
export const randomIds: IdSource = { next: () => randomUUID() };

/** A date, a time to the second at least, and an offset: without one it would name 24 instants or more. */
const ISO_INSTANT = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)$/;

/** The instant that a text names, `undefined` when it names none (30 February, 25 o'clock, no offset). */
export function parseInstant(text: string): Instant | undefined {
  const [, year, month, day] = ISO_INSTANT.exec(text) ?? [];
  if (year === undefined) return undefined;
  const instant = Date.parse(text);
  // Date.parse rolls 30 February over to March; the calendar day must survive.
  const lastDay = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return Number.isNaN(instant) || Number(day) > lastDay ? undefined : instant;
}

/**
 * A clock told by a file, for demonstrations and tests (contract.md, `CARNET_CLOCK_FILE`). The file is read at each call and parsed
 * when its text changed; modification times are too coarse to be trusted with that. An empty file is one being
 * rewritten: the last reading stands. Throws on anything else that is not one instant.
 */
export function fileClock(path: string): Clock {
  let text: string | undefined;
  let instant: Instant = 0;
  return {
    now: () => {
      const current = readFileSync(path, 'utf8').trim();
      if (current === text || (current === '' && text !== undefined)) return instant;
      const parsed = parseInstant(current);
      if (parsed === undefined)
        throw new Error(`the clock file \`${path}\` does not hold one iso instant with an offset`);
      text = current;
      instant = parsed;
      return instant;
    },
  };
}

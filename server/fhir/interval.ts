/**
 * Dates and numbers as half-open intervals `[lo, hi)`, and the civil time of Europe/Paris.
 *
 * A FHIR date says as much as it writes: `2026-03` is the whole of March. https://hl7.org/fhir/R4/search.html#date,
 * rules.md T1: civil dates are Europe/Paris days, of 23 to 25 hours. The zone of the machine plays no part.
 */
import type { Instant, Json, JsonObject } from './types.ts';

/** `[lo, hi)`: milliseconds since the epoch for dates, the value itself for numbers. */
export type Interval = { readonly lo: number; readonly hi: number };

/** The ends of time: what an open start and an open end of a Period are stored as (ECMAScript's first and last instant). */
export const NEVER_BEFORE: Instant = -8.64e15;
export const FOREVER: Instant = 8.64e15;
/** The ends of the numbers: what an open end of a Range is stored as. */
export const MIN_NUMBER = -Number.MAX_VALUE;
export const MAX_NUMBER = Number.MAX_VALUE;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// ---- the calendar -------------------------------------------------------------------------------------------------

/** Civil fields, month 1 to 12. Fields beyond their range carry over, as in `Date.UTC`. */
export type Civil = {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly millisecond: number;
};

/** Milliseconds of civil fields read as UTC. Proleptic Gregorian; years below 100 are themselves. */
function utcOf(c: Civil): Instant {
  // A month of the same place in the 400-year cycle, so that Date.UTC does not read the years 0 to 99 as 1900 to 1999.
  const cycles = Math.floor((c.year - 2000) / 400);
  const inCycle = Date.UTC(c.year - cycles * 400, c.month - 1, c.day, c.hour, c.minute, c.second, c.millisecond);
  return inCycle + cycles * 146_097 * DAY;
}

function civilOf(utc: Instant): Civil {
  const d = new Date(utc);
  return {
    year: d.getUTCFullYear(),
    month: d.getUTCMonth() + 1,
    day: d.getUTCDate(),
    hour: d.getUTCHours(),
    minute: d.getUTCMinutes(),
    second: d.getUTCSeconds(),
    millisecond: d.getUTCMilliseconds(),
  };
}

const daysInMonth = (year: number, month: number): number => {
  const table = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  return table[month - 1] ?? 0;
};
const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

// ---- Europe/Paris -------------------------------------------------------------------------------------------------

const PARIS = new Intl.DateTimeFormat('en-US', {
  timeZone: 'Europe/Paris',
  calendar: 'gregory',
  numberingSystem: 'latn',
  hourCycle: 'h23',
  era: 'short',
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
});

/** Milliseconds that Paris is ahead of UTC at an instant, asked of the time zone database. */
function askOffset(at: Instant): number {
  const fields: Record<string, number> = {};
  let era = 'AD';
  for (const part of PARIS.formatToParts(at)) {
    if (part.type === 'era') era = part.value;
    else if (part.type !== 'literal') fields[part.type] = Number(part.value);
  }
  const year = fields['year'] ?? 0;
  const local = utcOf({
    year: era === 'AD' ? year : 1 - year,
    month: fields['month'] ?? 1,
    day: fields['day'] ?? 1,
    hour: fields['hour'] ?? 0,
    minute: fields['minute'] ?? 0,
    second: fields['second'] ?? 0,
    millisecond: 0,
  });
  return local - Math.floor(at / SECOND) * SECOND;
}

/** `[from, offset]`: the offset that holds from an instant on. */
type Change = readonly [from: Instant, offset: number];
const YEARS = new Map<number, readonly Change[]>();

/** The offsets of one UTC year, found by weekly samples and bisection: never have two changes been a week apart or less. */
function changesOf(year: number): readonly Change[] {
  const known = YEARS.get(year);
  if (known !== undefined) return known;
  const start = utcOf({ year, month: 1, day: 1, hour: 0, minute: 0, second: 0, millisecond: 0 });
  const end = utcOf({ year: year + 1, month: 1, day: 1, hour: 0, minute: 0, second: 0, millisecond: 0 });
  let offset = askOffset(start);
  const found: Change[] = [[start, offset]];
  for (let from = start; from < end; from += 7 * DAY) {
    const to = Math.min(from + 7 * DAY, end);
    const after = askOffset(to);
    if (after === offset) continue;
    let low = from;
    let high = to;
    while (high - low > SECOND) {
      const middle = Math.floor((low + high) / 2 / SECOND) * SECOND;
      if (askOffset(middle) === offset) low = middle;
      else high = middle;
    }
    found.push([high, after]);
    offset = after;
  }
  YEARS.set(year, found);
  return found;
}

/** Years outside these are far from any document and keep the offset of the edge; it bounds the cache. */
const FIRST_YEAR = 1800;
const LAST_YEAR = 2200;

/** Milliseconds that Paris is ahead of UTC at an instant. */
export function parisOffset(at: Instant): number {
  const year = Math.min(Math.max(new Date(at).getUTCFullYear(), FIRST_YEAR), LAST_YEAR);
  const changes = changesOf(year);
  let offset = changes[0]?.[1] ?? 0;
  for (const [from, then] of changes) if (at >= from) offset = then;
  return offset;
}

/**
 * The instant at which a Paris clock shows these fields. Where a change of the clocks skips or doubles the hour, the later of
 * the two instants that it could mean (rules.md W7).
 */
export function parisInstant(civil: Civil): Instant {
  const local = utcOf(civil);
  const before = parisOffset(local - DAY);
  const after = parisOffset(local + DAY);
  if (before === after) return local - before;
  const early = local - before;
  const late = local - after;
  const earlyHolds = parisOffset(early) === before;
  const lateHolds = parisOffset(late) === after;
  if (earlyHolds === lateHolds) return Math.max(early, late);
  return earlyHolds ? early : late;
}

/** What a Paris clock and calendar show at an instant. */
export const parisCivil = (at: Instant): Civil => civilOf(at + parisOffset(at));

/**
 * One calendar month later at the same Paris clock time: the last day of a shorter month, the later instant of a skipped or doubled
 * hour (rules.md W7, L2).
 */
export function addCalendarMonth(at: Instant): Instant {
  const c = parisCivil(at);
  const year = c.month === 12 ? c.year + 1 : c.year;
  const month = c.month === 12 ? 1 : c.month + 1;
  return parisInstant({ ...c, year, month, day: Math.min(c.day, daysInMonth(year, month)) });
}

/**
 * Completed years at `at` of somebody born on a FHIR date, by the Paris calendar; of a date without day, the oldest that it allows.
 * NaN when the date cannot be read: no comparison with it holds.
 */
export function ageInYears(birthDate: string, at: Instant): number {
  const born = readDate(birthDate);
  if (born === undefined) return Number.NaN;
  const from = parisCivil(born.lo);
  const to = parisCivil(at);
  const hadBirthday = to.month > from.month || (to.month === from.month && to.day >= from.day);
  return to.year - from.year - (hadBirthday ? 0 : 1);
}

/** So many Paris days later at the same clock time (rules.md W7: two weeks). Negative goes back. */
export function addParisDays(at: Instant, days: number): Instant {
  const c = parisCivil(at);
  return parisInstant({ ...c, day: c.day + days });
}

// ---- FHIR date, dateTime, instant ---------------------------------------------------------------------------------

const DATE = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(Z|[+-]\d{2}:\d{2})?)?)?)?$/;

const MAX_OFFSET = 14 * 60;

/** Minutes of an offset; `undefined` when there is none in the text, NaN when it is not one. */
function zoneMinutes(zone: string | undefined): number | undefined {
  if (zone === undefined) return undefined;
  if (zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  if (Number(zone.slice(4, 6)) > 59 || minutes > MAX_OFFSET) return Number.NaN;
  return zone.startsWith('-') ? -minutes : minutes;
}

/** A date as read: what it covers, and whether it names a time of day without an offset (rules.md T2). */
export type ReadDate = Interval & { readonly floating: boolean };

/**
 * Reads a FHIR date, dateTime or instant of any precision (also the minute, which R4 allows in searches), as what it covers.
 * Without an offset it is Paris time. `undefined` when the text is no date of the calendar.
 */
export function readDate(text: string): ReadDate | undefined {
  const m = DATE.exec(text);
  if (m === null) return undefined;
  const year = Number(m[1]);
  if (year === 0) return undefined;
  const at = (fields: Partial<Civil>): Civil => ({
    year,
    month: 1,
    day: 1,
    hour: 0,
    minute: 0,
    second: 0,
    millisecond: 0,
    ...fields,
  });
  if (m[2] === undefined) {
    return { lo: parisInstant(at({})), hi: parisInstant(at({ year: year + 1 })), floating: false };
  }
  const month = Number(m[2]);
  if (month < 1 || month > 12) return undefined;
  if (m[3] === undefined) {
    return { lo: parisInstant(at({ month })), hi: parisInstant(at({ month: month + 1 })), floating: false };
  }
  const day = Number(m[3]);
  if (day < 1 || day > daysInMonth(year, month)) return undefined;
  if (m[4] === undefined) {
    return { lo: parisInstant(at({ month, day })), hi: parisInstant(at({ month, day: day + 1 })), floating: false };
  }
  const hour = Number(m[4]);
  const minute = Number(m[5]);
  const second = Number(m[6] ?? '0');
  // 60: a leap second, which FHIR's dateTime allows; it counts as the first second of the next minute.
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const fraction = m[7];
  const millisecond = fraction === undefined ? 0 : Number(fraction.slice(0, 3).padEnd(3, '0'));
  const zone = zoneMinutes(m[8]);
  if (zone !== undefined && Number.isNaN(zone)) return undefined;
  const civil = at({ month, day, hour, minute, second, millisecond });
  const lo = zone === undefined ? parisInstant(civil) : utcOf(civil) - zone * MINUTE;
  return { lo, hi: lo + width(m[6], fraction), floating: zone === undefined };
}

/** What the last digit written covers; a store knows no less than a millisecond. */
function width(second: string | undefined, fraction: string | undefined): number {
  if (second === undefined) return MINUTE;
  if (fraction === undefined) return SECOND;
  return fraction.length === 1 ? 100 : fraction.length === 2 ? 10 : 1;
}

/** What a FHIR date, dateTime or instant covers, `undefined` when it cannot be read. */
export function dateInterval(text: string): Interval | undefined {
  const read = readDate(text);
  return read === undefined ? undefined : { lo: read.lo, hi: read.hi };
}

/** A FHIR instant: a time of day with its offset; `undefined` for any other text. */
export function instantOf(text: string): Instant | undefined {
  const read = text.includes('T') ? readDate(text) : undefined;
  return read === undefined || read.floating ? undefined : read.lo;
}

/** A Period as an interval. */
export type PeriodInterval = Interval & {
  /** Whether every bound that is written could be read. */
  readonly readable: boolean;
  /**
   * Bounds that are written and cannot be read as an instant or a civil date (a time of day without offset is one: rules.md T2). Such a
   * bound is open in the interval; A0 says what it means.
   */
  readonly unread: readonly ('start' | 'end')[];
  /** rules.md T3: it ends before it starts, by what its bounds cover. */
  readonly inverted: boolean;
};

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * What a Period covers: start and end are inclusive at the precision written (rules.md T1), a missing bound is open
 * (`NEVER_BEFORE`, `FOREVER`), and so is everything when there is no Period.
 */
export function periodInterval(period: Json | undefined): PeriodInterval {
  if (period === undefined) return { lo: NEVER_BEFORE, hi: FOREVER, readable: true, unread: [], inverted: false };
  if (!isObject(period)) {
    return { lo: NEVER_BEFORE, hi: FOREVER, readable: false, unread: ['start', 'end'], inverted: false };
  }
  const unread: ('start' | 'end')[] = [];
  const bound = (name: 'start' | 'end'): ReadDate | undefined => {
    const text = period[name];
    if (text === undefined) return undefined;
    const read = typeof text === 'string' ? readDate(text) : undefined;
    if (read !== undefined && !read.floating) return read;
    unread.push(name);
    return undefined;
  };
  const lo = bound('start')?.lo ?? NEVER_BEFORE;
  const hi = bound('end')?.hi ?? FOREVER;
  return { lo, hi, readable: unread.length === 0, unread, inverted: hi <= lo };
}

/**
 * What a Timing covers: "only the outer limits matter" (https://hl7.org/fhir/R4/search.html#date), of its events and of its
 * bounding period. Without either it says nothing about dates.
 */
export function timingIntervals(timing: JsonObject): readonly Interval[] {
  const found: Interval[] = [];
  const events = timing['event'];
  if (Array.isArray(events)) {
    // INVARIANT: Array.isArray does not narrow a readonly array; every element of it is Json.
    for (const event of events as readonly Json[]) {
      const read = typeof event === 'string' ? dateInterval(event) : undefined;
      if (read !== undefined) found.push(read);
    }
  }
  const repeat = timing['repeat'];
  const bounds = isObject(repeat) ? repeat['boundsPeriod'] : undefined;
  if (isObject(bounds)) found.push(...searchedPeriod(bounds));
  if (found.length < 2) return found;
  let { lo, hi } = { lo: FOREVER, hi: NEVER_BEFORE };
  for (const one of found) {
    lo = Math.min(lo, one.lo);
    hi = Math.max(hi, one.hi);
  }
  return [{ lo, hi }];
}

/** A Period as it is indexed: none when no bound can be read, or when nothing lies inside it. */
export function searchedPeriod(period: JsonObject): readonly Interval[] {
  const start = period['start'];
  const end = period['end'];
  const from = typeof start === 'string' ? dateInterval(start) : undefined;
  const to = typeof end === 'string' ? dateInterval(end) : undefined;
  if (from === undefined && to === undefined) return [];
  const lo = from?.lo ?? NEVER_BEFORE;
  const hi = to?.hi ?? FOREVER;
  return lo < hi ? [{ lo, hi }] : [];
}

// ---- numbers ------------------------------------------------------------------------------------------------------

const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;

/** A number as it was written, so that its precision is known. */
export type ReadNumber = { readonly value: number } & Interval;

/**
 * Reads a number and the range that its precision implies: `100` is `[99.5, 100.5)`, `100.00` is `[99.995, 100.005)`.
 * https://hl7.org/fhir/R4/search.html#number. `undefined` when the text is no number, or one that a double cannot hold.
 */
export function readNumber(text: string): ReadNumber | undefined {
  const m = DECIMAL.exec(text);
  if (m === null) return undefined;
  const fraction = m[3] ?? '';
  // A long run of digits is no measurement, and BigInt would take its time over it.
  if ((m[2]?.length ?? 0) + fraction.length > 40) return undefined;
  const digits = BigInt(`${m[1] === '-' ? '-' : ''}${m[2]}${fraction}`);
  const exponent = Number(m[4] ?? '0') - fraction.length;
  // Half a unit of the last digit, in decimal, so that the only rounding is that of the result.
  const scaled = (units: bigint): number => Number(`${units}e${exponent - 1}`);
  const value = Number(text);
  const lo = scaled(digits * 10n - 5n);
  const hi = scaled(digits * 10n + 5n);
  return Number.isFinite(value) && Number.isFinite(lo) && Number.isFinite(hi) ? { value, lo, hi } : undefined;
}

const DOUBLE = new Float64Array(1);
const BITS = new BigInt64Array(DOUBLE.buffer);

/** The next double above a finite `value`: `[v, nextUp(v))` is the half-open interval that holds `v` alone. */
export function nextUp(value: number): number {
  if (value === 0) return Number.MIN_VALUE;
  if (value === Number.MAX_VALUE) return value;
  DOUBLE[0] = value;
  BITS[0] = (BITS[0] ?? 0n) + (value > 0 ? 1n : -1n);
  return DOUBLE[0] ?? value;
}

/** The interval that holds one number alone: how a stored number is indexed. */
export const pointInterval = (value: number): Interval => ({ lo: value, hi: nextUp(value) });

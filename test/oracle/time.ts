/** Civil time in Europe/Paris for the oracle (T1, T3, W7), out of Intl alone. */
import type { Instant, Period } from './world.ts';

const paris = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'Europe/Paris',
  hourCycle: 'h23',
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
});

/** What a Paris clock shows, as milliseconds of a UTC date with the same digits. */
function wallClock(at: Instant): number {
  const parts = new Map(paris.formatToParts(at).map((part) => [part.type, Number(part.value)]));
  const digit = (type: string): number => parts.get(type as Intl.DateTimeFormatPartTypes) ?? Number.NaN;
  const whole = Date.UTC(
    digit('year'),
    digit('month') - 1,
    digit('day'),
    digit('hour'),
    digit('minute'),
    digit('second'),
  );
  return whole + (((at % 1000) + 1000) % 1000);
}

/** The two instants that a Paris clock reading can mean (equal but for a skipped or doubled hour), earlier first. */
function readings(wall: number): readonly [Instant, Instant] {
  const day = 86_400_000;
  const candidates = [wall - day, wall + day].map((near) => wall - (wallClock(near) - near));
  const shown = candidates.filter((at) => wallClock(at) === wall);
  const meant = shown.length > 0 ? shown : candidates;
  return [Math.min(...meant), Math.max(...meant)];
}

/** W7: one calendar month later on the Paris clock; the last day of a shorter month; a skipped or doubled hour: the later instant. */
export function monthAfter(at: Instant): Instant {
  const wall = new Date(wallClock(at));
  const year = wall.getUTCFullYear();
  const month = wall.getUTCMonth() + 1;
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const shifted = Date.UTC(
    year,
    month,
    Math.min(wall.getUTCDate(), lastDay),
    wall.getUTCHours(),
    wall.getUTCMinutes(),
    wall.getUTCSeconds(),
    wall.getUTCMilliseconds(),
  );
  return readings(shifted)[1];
}

const civil = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$/;
const instant = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

/** What a bound covers, as a half-open interval of milliseconds; `unreadable` when it is no date, or one without an offset (T2). */
export function bound(written: string): { readonly from: number; readonly until: number } | 'unreadable' {
  const day = civil.exec(written);
  if (day !== null) {
    const [year, month, date] = [Number(day[1]), Number(day[2] ?? 1), Number(day[3] ?? 1)];
    const first = new Date(Date.UTC(year, month - 1, date));
    if (first.getUTCMonth() !== month - 1 || first.getUTCDate() !== date) return 'unreadable';
    const next =
      day[3] !== undefined
        ? Date.UTC(year, month - 1, date + 1)
        : day[2] !== undefined
          ? Date.UTC(year, month, 1)
          : Date.UTC(year + 1, 0, 1);
    return { from: readings(first.getTime())[0], until: readings(next)[0] };
  }
  const time = instant.exec(written);
  if (time === null) return 'unreadable';
  const second = Date.parse(`${time[1]}${time[3]}`);
  if (Number.isNaN(second) || bound(written.slice(0, 10)) === 'unreadable') return 'unreadable';
  const digits = time[2]?.slice(1) ?? '';
  const unit = 1000 / 10 ** digits.length;
  const count = digits === '' ? 0 : Number(digits);
  return { from: second + count * unit, until: second + (count + 1) * unit };
}

/**
 * Where an instant stands to a period. `reversed`: it ends before it starts, by what its bounds cover (T3);
 * `unreadable`: a bound is no date and the readable one does not exclude the instant (A0).
 */
export function placeIn(period: Period | undefined, now: Instant): 'in' | 'out' | 'reversed' | 'unreadable' {
  const start = period?.start === undefined ? undefined : bound(period.start);
  const end = period?.end === undefined ? undefined : bound(period.end);
  if (typeof start === 'object' && typeof end === 'object' && end.until <= start.from) return 'reversed';
  if (typeof start === 'object' && now < start.from) return 'out';
  if (typeof end === 'object' && now >= end.until) return 'out';
  return start === 'unreadable' || end === 'unreadable' ? 'unreadable' : 'in';
}

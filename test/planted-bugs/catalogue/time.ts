/** rules.md section 8 and W7: Paris days, inclusive ends, calendar months. */
import type { PlantedBug } from '../planted-bug.ts';

const INTERVAL = 'server/fhir/interval.ts';
const UNIT = 'test/unit/search/interval.test.ts';

export const TIME: readonly PlantedBug[] = [
  {
    id: 'time/period-end-exclusive',
    fault: 'T1: a right that ends on the 15th no longer counts on the 15th.',
    file: INTERVAL,
    find: "const hi = bound('end')?.hi ?? FOREVER;",
    replace: "const hi = bound('end')?.lo ?? FOREVER;",
    caughtBy: [UNIT, 'test/unit/access/space.test.ts'],
  },
  {
    id: 'time/days-in-utc',
    fault: 'T1: a civil date is a day of UTC, an hour or two beside that of Paris.',
    file: INTERVAL,
    find: 'return { lo: parisInstant(at({ month, day })), hi: parisInstant(at({ month, day: day + 1 })), floating: false };',
    replace: 'return { lo: utcOf(at({ month, day })), hi: utcOf(at({ month, day: day + 1 })), floating: false };',
    caughtBy: [UNIT],
  },
  {
    id: 'time/doubled-hour-is-the-earlier',
    fault: 'W7: an hour that the clock skips or doubles is read as the earlier instant.',
    file: INTERVAL,
    find: 'if (earlyHolds === lateHolds) return Math.max(early, late);',
    replace: 'if (earlyHolds === lateHolds) return Math.min(early, late);',
    caughtBy: [UNIT],
  },
  {
    id: 'time/month-rolls-over',
    fault: 'W7: a month after 31 January is in March.',
    file: INTERVAL,
    find: 'day: Math.min(c.day, daysInMonth(year, month)) });',
    replace: 'day: c.day });',
    caughtBy: [UNIT],
  },
  {
    id: 'time/month-of-thirty-days',
    fault: 'W7: the announcement clock counts thirty days.',
    file: INTERVAL,
    find: 'return parisInstant({ ...c, year, month, day: Math.min(c.day, daysInMonth(year, month)) });',
    replace: 'return at + 30 * DAY + 0 * (year + month + daysInMonth(year, month));',
    caughtBy: [UNIT],
  },
  {
    id: 'time/dateless-offset-accepted',
    fault: 'T2: a time of day without an offset is read as one of Paris instead of being refused.',
    file: INTERVAL,
    find: 'if (read !== undefined && !read.floating) return read;',
    replace: 'if (read !== undefined) return read;',
    caughtBy: [UNIT],
  },
  {
    id: 'time/majority-a-day-late',
    fault: 'W15: somebody is a minor until the day after their birthday.',
    file: INTERVAL,
    find: 'to.day >= from.day);',
    replace: 'to.day > from.day);',
    caughtBy: [UNIT, 'test/blackbox/writes-consents.test.ts#W15'],
  },
  {
    id: 'time/announcement-one-instant-late',
    fault: 'L2: the document appears to its holder one millisecond after the month is over.',
    file: 'server/app/types/labels.ts',
    find: 'const until = filing.filedAt === undefined ? FOREVER : addCalendarMonth(filing.filedAt);',
    replace: 'const until = filing.filedAt === undefined ? FOREVER : addCalendarMonth(filing.filedAt) + 1;',
    caughtBy: ['test/blackbox/writes-documents.test.ts#W7', 'test/oracle/differential.test.ts#decisions at least'],
  },
];

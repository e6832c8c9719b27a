import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import {
  addCalendarMonth,
  addParisDays,
  ageInYears,
  dateInterval,
  FOREVER,
  NEVER_BEFORE,
  nextUp,
  parisCivil,
  parisInstant,
  parisOffset,
  periodInterval,
  pointInterval,
  readDate,
  readNumber,
  timingIntervals,
} from '../../../server/fhir/interval.ts';

const utc = (text: string): number => Date.parse(text);
const span = (lo: string, hi: string): { lo: number; hi: number } => ({ lo: utc(lo), hi: utc(hi) });

const HOUR = 3_600_000;
const ZONES = ['UTC', 'Europe/Paris', 'Pacific/Noumea'];
const HOME = process.env['TZ'];
afterAll(() => {
  if (HOME === undefined) delete process.env['TZ'];
  else process.env['TZ'] = HOME;
});

describe.each(ZONES)('on a machine in %s', (zone) => {
  const here = <T>(work: () => T): T => {
    process.env['TZ'] = zone;
    return work();
  };

  test.each([
    ['2026', span('2025-12-31T23:00:00Z', '2026-12-31T23:00:00Z')],
    ['2026-03', span('2026-02-28T23:00:00Z', '2026-03-31T22:00:00Z')],
    ['2026-12', span('2026-11-30T23:00:00Z', '2026-12-31T23:00:00Z')],
    ['2026-01-15', span('2026-01-14T23:00:00Z', '2026-01-15T23:00:00Z')],
    ['2026-07-15', span('2026-07-14T22:00:00Z', '2026-07-15T22:00:00Z')],
    ['2026-03-29', span('2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z')],
    ['2026-10-25', span('2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z')],
    ['2024-02-29', span('2024-02-28T23:00:00Z', '2024-02-29T23:00:00Z')],
    ['2026-07-15T08:30', span('2026-07-15T06:30:00Z', '2026-07-15T06:31:00Z')],
    ['2026-07-15T08:30:00', span('2026-07-15T06:30:00Z', '2026-07-15T06:30:01Z')],
    ['2026-07-15T08:30Z', span('2026-07-15T08:30:00Z', '2026-07-15T08:31:00Z')],
    ['2026-07-15T08:30:00Z', span('2026-07-15T08:30:00Z', '2026-07-15T08:30:01Z')],
    ['2026-07-15T08:30:00.5Z', span('2026-07-15T08:30:00.500Z', '2026-07-15T08:30:00.600Z')],
    ['2026-07-15T08:30:00.05Z', span('2026-07-15T08:30:00.050Z', '2026-07-15T08:30:00.060Z')],
    ['2026-07-15T08:30:00.123Z', span('2026-07-15T08:30:00.123Z', '2026-07-15T08:30:00.124Z')],
    ['2026-07-15T08:30:00.123456Z', span('2026-07-15T08:30:00.123Z', '2026-07-15T08:30:00.124Z')],
    ['2026-07-15T08:30:00+11:00', span('2026-07-14T21:30:00Z', '2026-07-14T21:30:01Z')],
    ['2026-07-15T08:30:00-03:30', span('2026-07-15T12:00:00Z', '2026-07-15T12:00:01Z')],
    ['2016-12-31T23:59:60Z', span('2017-01-01T00:00:00Z', '2017-01-01T00:00:01Z')],
    // Paris mean time was 9 min 21 s ahead of Greenwich until 1911.
    ['1900-01-01', span('1899-12-31T23:50:39Z', '1900-01-01T23:50:39Z')],
    // A doubled and a skipped hour: the later instant.
    ['2026-10-25T02:30', span('2026-10-25T01:30:00Z', '2026-10-25T01:31:00Z')],
    ['2026-03-29T02:30', span('2026-03-29T01:30:00Z', '2026-03-29T01:31:00Z')],
  ])('%s', (text, expected) => {
    expect(here(() => dateInterval(text))).toEqual(expected);
  });

  test('days are of 23, 24 and 25 hours', () => {
    const hours = (text: string): number => {
      const day = here(() => dateInterval(text));
      return ((day?.hi ?? 0) - (day?.lo ?? 0)) / HOUR;
    };
    expect(['2026-03-28', '2026-03-29', '2026-10-25'].map(hours)).toEqual([24, 23, 25]);
  });

  test('a month is its days, a year its months, one after the other', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1901, max: 2150 }), fc.integer({ min: 1, max: 12 }), (year, month) => {
        const y = here(() => dateInterval(String(year)));
        const text = (m: number): string => `${year}-${String(m).padStart(2, '0')}`;
        const months = Array.from({ length: 12 }, (_, i) => here(() => dateInterval(text(i + 1))));
        expect(months[0]?.lo).toBe(y?.lo);
        expect(months[11]?.hi).toBe(y?.hi);
        for (let i = 1; i < 12; i += 1) expect(months[i]?.lo).toBe(months[i - 1]?.hi);
        const days = Array.from({ length: 31 }, (_, i) =>
          here(() => dateInterval(`${text(month)}-${String(i + 1).padStart(2, '0')}`)),
        ).filter((d) => d !== undefined);
        expect(days[0]?.lo).toBe(months[month - 1]?.lo);
        expect(days.at(-1)?.hi).toBe(months[month - 1]?.hi);
        for (let i = 1; i < days.length; i += 1) expect(days[i]?.lo).toBe(days[i - 1]?.hi);
      }),
      { numRuns: 60 },
    );
  });

  test('the offset is that of the time zone database, at any instant', () => {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: 'Europe/Paris', timeZoneName: 'longOffset' });
    const asked = (at: number): number => {
      const name = format.formatToParts(at).find((p) => p.type === 'timeZoneName')?.value ?? '';
      const m = /GMT([+-])(\d{2}):(\d{2})(?::(\d{2}))?/.exec(name);
      if (m === null) return 0;
      const seconds = Number(m[2]) * 3600 + Number(m[3]) * 60 + Number(m[4] ?? '0');
      return (m[1] === '-' ? -1 : 1) * seconds * 1000;
    };
    fc.assert(
      fc.property(fc.integer({ min: utc('1850-01-01'), max: utc('2199-12-31') }), (at) => {
        expect(here(() => parisOffset(at))).toBe(asked(at));
      }),
      { numRuns: 400 },
    );
    for (const change of ['2026-03-29T01:00:00Z', '2026-10-25T01:00:00Z', '1996-10-27T01:00:00Z']) {
      for (const at of [utc(change) - 1, utc(change)]) expect(here(() => parisOffset(at))).toBe(asked(at));
    }
  });

  test('an instant and its Paris clock lead to each other, or to the later of two', () => {
    fc.assert(
      fc.property(fc.integer({ min: utc('1950-01-01'), max: utc('2150-01-01') }), (at) => {
        const back = here(() => parisInstant(parisCivil(at)));
        expect(back === at || back === at + HOUR).toBe(true);
        expect(here(() => parisCivil(back))).toEqual(here(() => parisCivil(at)));
      }),
      { numRuns: 400 },
    );
  });

  test.each([
    ['2026-01-15T10:00:00Z', '2026-02-15T10:00:00Z'],
    ['2026-01-31T10:00:00Z', '2026-02-28T10:00:00Z'],
    ['2024-01-31T10:00:00Z', '2024-02-29T10:00:00Z'],
    ['2026-12-31T22:30:00Z', '2027-01-31T22:30:00Z'],
    ['2026-03-15T10:00:00Z', '2026-04-15T09:00:00Z'],
    ['2026-02-28T01:30:00Z', '2026-03-28T01:30:00Z'],
    ['2025-03-01T01:30:00.123Z', '2025-04-01T00:30:00.123Z'],
    // 02:30 does not exist on 28 March 2027, and exists twice on 25 October 2026.
    ['2027-02-28T01:30:00Z', '2027-03-28T01:30:00Z'],
    ['2026-09-25T00:30:00Z', '2026-10-25T01:30:00Z'],
    // 1 June 00:30 in Paris.
    ['2026-05-31T22:30:00Z', '2026-06-30T22:30:00Z'],
    ['2026-01-31T23:30:00Z', '2026-02-28T23:30:00Z'],
  ])('one month after %s is %s', (from, to) => {
    expect(new Date(here(() => addCalendarMonth(utc(from)))).toISOString()).toBe(new Date(utc(to)).toISOString());
  });

  test('two weeks keep the clock time', () => {
    expect(here(() => addParisDays(utc('2026-03-20T09:00:00Z'), 14))).toBe(utc('2026-04-03T08:00:00Z'));
    expect(here(() => addParisDays(utc('2026-04-03T08:00:00Z'), -14))).toBe(utc('2026-03-20T09:00:00Z'));
    expect(here(() => addParisDays(utc('2026-03-15T01:30:00Z'), 14))).toBe(utc('2026-03-29T01:30:00Z'));
  });
});

describe('what is no date', () => {
  test.each([
    '',
    '26',
    '2026-13',
    '2026-00',
    '2026-02-29',
    '2026-04-31',
    '0000',
    '2026-1-1',
    '2026-01-01T',
    '2026-01-01T08',
    '2026-01-01T24:00',
    '2026-01-01T08:60',
    '2026-01-01T08:00:61',
    '2026-01-01T08:00:00+15:00',
    '2026-01-01T08:00:00+01:60',
    '2026-01-01T08:00:00.Z',
    '2026-01-01 08:00',
    ' 2026',
    '2026\n',
    '20260101',
    'T08:00',
  ])('%j', (text) => {
    expect(dateInterval(text)).toBeUndefined();
  });

  test('what can be read covers something, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789-T:.Z+') }), (text) => {
        const read = readDate(text);
        if (read !== undefined) expect(read.lo).toBeLessThan(read.hi);
      }),
    );
  });

  test('the years of the first century are themselves', () => {
    expect(new Date(dateInterval('0099-01-01T00:00:00Z')?.lo ?? 0).toISOString()).toBe('0099-01-01T00:00:00.000Z');
  });
});

describe('periods', () => {
  test('bounds are inclusive at the precision written', () => {
    const cases = [
      [{ start: '2026', end: '2026' }, span('2025-12-31T23:00:00Z', '2026-12-31T23:00:00Z')],
      [{ start: '2026-03', end: '2026-04' }, span('2026-02-28T23:00:00Z', '2026-04-30T22:00:00Z')],
      [{ start: '2026-03-01', end: '2026-03-01' }, span('2026-02-28T23:00:00Z', '2026-03-01T23:00:00Z')],
      [
        { start: '2026-03-01T10:00:00Z', end: '2026-03-01T10:00:00Z' },
        span('2026-03-01T10:00:00Z', '2026-03-01T10:00:01Z'),
      ],
      [
        { start: '2026-03-01T10:00:00.5Z', end: '2026-03-01T10:00:00.500Z' },
        span('2026-03-01T10:00:00.500Z', '2026-03-01T10:00:00.501Z'),
      ],
      [{ start: '2026-03-01' }, { lo: utc('2026-02-28T23:00:00Z'), hi: FOREVER }],
      [{ end: '2026-03-01' }, { lo: NEVER_BEFORE, hi: utc('2026-03-01T23:00:00Z') }],
      [{}, { lo: NEVER_BEFORE, hi: FOREVER }],
      [undefined, { lo: NEVER_BEFORE, hi: FOREVER }],
    ] as const;
    for (const [period, expected] of cases) {
      expect(periodInterval(period)).toEqual({ ...expected, readable: true, unread: [], inverted: false });
    }
  });

  test('a bound that cannot be read is named, the other still limits', () => {
    const end = utc('2026-03-01T23:00:00Z');
    expect(periodInterval({ start: 'spring', end: '2026-03-01' })).toEqual({
      lo: NEVER_BEFORE,
      hi: end,
      readable: false,
      unread: ['start'],
      inverted: false,
    });
    // A time of day without an offset (T2).
    expect(periodInterval({ start: '2026-03-01T10:00:00' })).toMatchObject({ readable: false, unread: ['start'] });
    expect(periodInterval({ start: 3, end: null })).toMatchObject({ unread: ['start', 'end'] });
    expect(periodInterval('2026')).toMatchObject({ readable: false, unread: ['start', 'end'] });
  });

  test('it ends before it starts by what its bounds cover', () => {
    expect(periodInterval({ start: '2026-03-02', end: '2026-03-01' }).inverted).toBe(true);
    expect(periodInterval({ start: '2026-03-15', end: '2026-03' }).inverted).toBe(false);
    expect(periodInterval({ start: '2026-04', end: '2026-03' }).inverted).toBe(true);
  });

  test('a Timing covers from its first to its last moment', () => {
    expect(timingIntervals({ event: ['2026-01-01T10:00:00Z', '2026-01-03T10:00:00Z'] })).toEqual([
      span('2026-01-01T10:00:00Z', '2026-01-03T10:00:01Z'),
    ]);
    expect(timingIntervals({ repeat: { boundsPeriod: { start: '2026-01-01' } } })).toEqual([
      { lo: utc('2025-12-31T23:00:00Z'), hi: FOREVER },
    ]);
    expect(timingIntervals({ repeat: { frequency: 3 } })).toEqual([]);
  });
});

describe('age', () => {
  test.each([
    ['2008-06-15', '2026-06-14T10:00:00Z', 17],
    ['2008-06-15', '2026-06-14T22:00:00Z', 18],
    ['2008-06', '2026-06-01T10:00:00Z', 18],
    ['2008', '2026-01-01T10:00:00Z', 18],
    ['2008-02-29', '2026-02-28T10:00:00Z', 17],
  ])('born %s, at %s: %d', (born, at, years) => {
    expect(ageInYears(born, utc(at))).toBe(years);
  });
  test('unknown', () => {
    expect(ageInYears('unknown', 0)).toBeNaN();
  });
});

describe('numbers', () => {
  test.each([
    ['100', 100, 99.5, 100.5],
    ['100.00', 100, 99.995, 100.005],
    ['5.4', 5.4, 5.35, 5.45],
    ['-5.4', -5.4, -5.45, -5.35],
    ['0', 0, -0.5, 0.5],
    ['1e2', 100, 50, 150],
    ['1.0e2', 100, 95, 105],
    ['5.40e-3', 0.0054, 0.005395, 0.005405],
    ['+3', 3, 2.5, 3.5],
  ])('%s', (text, value, lo, hi) => {
    expect(readNumber(text)).toEqual({ value, lo, hi });
  });

  test.each(['', 'x', '1,2', '.5', '5.', '0x10', '1e', '1e400', 'NaN', 'Infinity', '1 ', '1'.repeat(41)])(
    '%j is no number',
    (text) => {
      expect(readNumber(text)).toBeUndefined();
    },
  );

  test('more digits never cover more', () => {
    fc.assert(
      fc.property(fc.integer({ min: -10_000, max: 10_000 }), fc.integer({ min: 0, max: 6 }), (n, digits) => {
        const fewer = readNumber((n / 100).toFixed(digits));
        const more = readNumber(`${(n / 100).toFixed(digits)}${digits === 0 ? '.0' : '0'}`);
        if (fewer === undefined || more === undefined) throw new Error('unread');
        expect(fewer.lo).toBeLessThan(more.lo);
        expect(more.hi).toBeLessThan(fewer.hi);
      }),
    );
  });

  test('a stored number is alone in its interval', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, max: 1e300 }), (value) => {
        const up = nextUp(value);
        expect(up).toBeGreaterThan(value);
        const middle = value + (up - value) / 2;
        expect(middle === value || middle === up).toBe(true);
        expect(pointInterval(value)).toEqual({ lo: value, hi: up });
      }),
    );
  });
});

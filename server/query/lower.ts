/**
 * One filter → one predicate. The spelling of terms and ranges is that of `fhir/search-value.ts`; the meaning of prefixes is that
 * of https://hl7.org/fhir/R4/search.html#prefix for stored ranges. A step to another resource is made with that type's guard.
 */

import { nextUp } from '../fhir/interval.ts';
import { codeAlone, compositePart, quantityParam, systemAndCode, typeAndValue } from '../fhir/search-value.ts';
import { fold } from '../fhir/text.ts';
import { type Instant, unreachable } from '../fhir/types.ts';
import { type Guard, hop } from './plan.ts';
import { ALL, and, contains, NONE, not, or, type Predicate, prefix, range, term } from './predicate.ts';
import type { Filter, Modifier, NumberValue, Prefix, SearchValue } from './search-query.ts';

export type Lowering = {
  /** The permission to look at resources of a type; total over `types`. */
  readonly guardOf: (type: string) => Guard;
  /** The server's resource types: others are never followed. */
  readonly types: readonly string[];
  /** References that count only as far as the caller sees what they name (rules.md D8). */
  readonly bySight: (type: string, param: string) => boolean;
  /** For `ap`: a tenth of the time between the value and now. */
  readonly now: Instant;
};

// ---- intervals ----------------------------------------------------------------------------------------------------

type Bounds = { readonly lo: number; readonly hi: number };

/** The prefix's condition on a stored `[lo, hi)` for a search value `[a, b)`; architecture.md 2.6. */
const COMPARE: Readonly<Record<Exclude<Prefix, 'ap'>, (param: string, value: Bounds) => Predicate>> = {
  eq: (p, v) => range(p, { lo: ['>=', v.lo], hi: ['<=', v.hi] }),
  // Some stored value is not contained; not the negation of eq, which would also find what has no value.
  ne: (p, v) => or(range(p, { lo: ['<', v.lo] }), range(p, { hi: ['>', v.hi] })),
  gt: (p, v) => range(p, { hi: ['>', v.hi] }),
  lt: (p, v) => range(p, { lo: ['<', v.lo] }),
  ge: (p, v) => or(COMPARE.gt(p, v), COMPARE.eq(p, v)),
  le: (p, v) => or(COMPARE.lt(p, v), COMPARE.eq(p, v)),
  sa: (p, v) => range(p, { lo: ['>=', v.hi] }),
  eb: (p, v) => range(p, { hi: ['<=', v.lo] }),
};

const overlaps = (param: string, value: Bounds): Predicate =>
  range(param, { lo: ['<', value.hi], hi: ['>', value.lo] });

function compareDate(param: string, value: Extract<SearchValue, { kind: 'date' }>, now: Instant): Predicate {
  if (value.prefix !== 'ap') return COMPARE[value.prefix](param, value);
  const nearest = Math.min(Math.max(now, value.lo), value.hi);
  const slack = Math.abs(now - nearest) / 10;
  return overlaps(param, { lo: value.lo - slack, hi: value.hi + slack });
}

/** "The implicit precision of the number is ignored" for all but eq and ne. R4 search.html#number */
function compareNumber(param: string, how: Prefix, number: NumberValue): Predicate {
  const { value } = number;
  if (how === 'eq' || how === 'ne') return COMPARE[how](param, number);
  if (how !== 'ap') return COMPARE[how](param, { lo: value, hi: nextUp(value) });
  const slack = Math.abs(value) / 10;
  return overlaps(param, { lo: Math.min(number.lo, value - slack), hi: Math.max(number.hi, nextUp(value + slack)) });
}

// ---- values -------------------------------------------------------------------------------------------------------

const tokenText = (value: Extract<SearchValue, { kind: 'token' }>): string =>
  value.system === undefined ? codeAlone(value.code ?? '') : systemAndCode(value.system, value.code ?? '');

type Asked = {
  readonly type: string;
  readonly param: string;
  readonly modifier: Modifier | undefined;
  readonly on: Lowering;
};

function lowerValue(value: SearchValue, asked: Asked): Predicate {
  const { param, modifier } = asked;
  switch (value.kind) {
    case 'token':
      return term(modifier === 'identifier' ? `${param}:identifier` : param, tokenText(value));
    case 'of-type':
      return term(`${param}:of-type`, typeAndValue(value.system, value.code, value.value));
    case 'string':
      if (modifier === 'exact') return term(`${param}:exact`, value.text);
      if (modifier === 'contains') return contains(param, fold(value.text));
      return prefix(modifier === 'text' ? `${param}:text` : param, fold(value.text));
    case 'uri':
      return lowerUri(value.uri, asked);
    case 'date':
      return compareDate(param, value, asked.on.now);
    case 'number':
      return compareNumber(param, value.prefix, value.number);
    case 'quantity': {
      const name = value.code === undefined ? param : quantityParam(param, value.system, value.code);
      return compareNumber(name, value.prefix, value.number);
    }
    case 'local':
      return lowerReferences([value], asked);
    case 'foreign':
      return asked.on.bySight(asked.type, param) ? NONE : term(param, value.text);
    case 'composite':
      return lowerComposite(value.parts, asked);
    case 'missing':
      return lowerMissing(value.missing, asked);
    default:
      return unreachable(value);
  }
}

/** What the store knows of every resource is never missing. */
const ALWAYS = new Set(['_id', '_lastUpdated']);

function lowerMissing(missing: boolean, { type, param, on }: Asked): Predicate {
  if (ALWAYS.has(param)) return missing ? NONE : ALL;
  const present = on.bySight(type, param)
    ? or(...on.types.map((t): Predicate => ({ op: 'via', param, hop: hop(on.guardOf(t), ALL, { deleted: true }) })))
    : term('_has', param);
  return missing ? not(present) : present;
}

/** `:below` and `:above` go by the segments of a URL path; a `urn:` has none. R4 search.html#uri */
function lowerUri(uri: string, { param, modifier }: Asked): Predicate {
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(uri);
  if (!isUrl || modifier === undefined) return term(param, uri);
  if (modifier === 'below') {
    return uri.endsWith('/') ? prefix(param, uri) : or(term(param, uri), prefix(param, `${uri}/`));
  }
  const start = uri.indexOf('://') + 3;
  const ancestors: Predicate[] = [term(param, uri)];
  for (let slash = uri.indexOf('/', start); slash !== -1; slash = uri.indexOf('/', slash + 1)) {
    ancestors.push(term(param, uri.slice(0, slash)), term(param, uri.slice(0, slash + 1)));
  }
  return or(...ancestors);
}

type Local = Extract<SearchValue, { kind: 'local' }>;

/** What a resource names, of several. By sight it is one step for each type, however many are named: a step carries the whole permission of its type. */
function lowerReferences(values: readonly Local[], { type: asker, param, on }: Asked): Predicate {
  const found: Predicate[] = [];
  const ids = new Map<string, Predicate[]>();
  // What a reader does not see is named to them by nothing; a deleted item counts as if it were not (rules.md D8).
  const seen = (type: string, which: Predicate): Predicate => ({
    op: 'via',
    param,
    hop: hop(on.guardOf(type), which, { deleted: true }),
  });
  for (const { ref, version } of values.flatMap((v) => v.refs.map((ref) => ({ ref, version: v.version })))) {
    const named = version === undefined ? term(param, ref) : term(`${param}:version`, `${ref}/_history/${version}`);
    const [type = '', id = ''] = ref.split('/');
    if (!on.bySight(asker, param) || type === 'Patient') found.push(named);
    else if (!on.types.includes(type)) continue;
    else if (version !== undefined) found.push(and(seen(type, term('_id', id)), named));
    else ids.set(type, [...(ids.get(type) ?? []), term('_id', id)]);
  }
  return or(...found, ...[...ids].map(([type, some]) => seen(type, or(...some))));
}

/** The discrete parts become the name or the value of one term or range, so both are of one repetition. */
function lowerComposite(parts: readonly SearchValue[], asked: Asked): Predicate {
  // `parse.ts` refuses it; it could not be asked one reference at a time.
  if (asked.on.bySight(asked.type, asked.param)) return NONE;
  const texts: (readonly string[])[] = [];
  for (const part of parts.slice(0, -1)) texts.push(discrete(part));
  const last = parts.at(-1);
  if (last === undefined) return NONE;
  let heads: readonly string[] = [''];
  for (const options of texts) {
    heads = heads.flatMap((head) => options.map((text) => (head === '' ? text : `${head}$${text}`)));
  }
  return or(
    ...heads.map((head) => {
      const tails = discrete(last);
      if (tails.length > 0) return or(...tails.map((tail) => term(asked.param, `${head}$${tail}`)));
      return lowerValue(last, { ...asked, param: `${asked.param}$${head}`, modifier: undefined });
    }),
  );
}

/** The spellings of a part that is compared as a whole; none for a range or a string. */
function discrete(value: SearchValue): readonly string[] {
  switch (value.kind) {
    case 'token':
      return [compositePart(tokenText(value))];
    case 'local':
      return value.refs.map(compositePart);
    case 'foreign':
      return [compositePart(value.text)];
    case 'uri':
      return [compositePart(value.uri)];
    default:
      return [];
  }
}

// ---- filters ------------------------------------------------------------------------------------------------------

/** What a filter asks, as a predicate on resources of `filter.type`. Every hop in it is guarded. */
export function lower(filter: Filter, on: Lowering): Predicate {
  switch (filter.kind) {
    case 'match': {
      const { type, param, modifier } = filter;
      const asked = { type, param, modifier, on };
      const named = on.bySight(type, param) ? filter.values.filter((value) => value.kind === 'local') : [];
      const others = filter.values.filter((value) => named.length === 0 || value.kind !== 'local');
      const any = or(...others.map((value) => lowerValue(value, asked)), lowerReferences(named, asked));
      // Also the resources that lack the element. R4 search.html#token
      return modifier === 'not' ? not(any) : any;
    }
    case 'chain':
      return or(
        ...filter.targets.map(
          (target): Predicate => ({
            op: 'via',
            param: filter.param,
            hop: hop(on.guardOf(target.type), lower(target.filter, on), { deleted: false }),
          }),
        ),
        ...(filter.contained === undefined ? [] : [lower(filter.contained, on)]),
      );
    case 'has':
      return {
        op: 'from',
        param: filter.param,
        hop: hop(on.guardOf(filter.source), lower(filter.filter, on), { deleted: false }),
      };
    default:
      return unreachable(filter);
  }
}

/** What all filters of a query ask together. */
export const lowerAll = (filters: readonly Filter[], on: Lowering): Predicate =>
  and(...filters.map((filter) => lower(filter, on)));

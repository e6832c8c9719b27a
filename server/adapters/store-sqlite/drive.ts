/**
 * Where a search starts. SQLite keeps no statistics that fit a table of hashes, so the choice is made here: every positive condition
 * that all matches must meet is a possible start, and a bounded count says which one yields few rows.
 */
import { termText } from '../../fhir/index-entry.ts';
import type { Predicate } from '../../query/predicate.ts';
import { condition, type ResourceScope, reached, resourceScope, type Scope, spaceScope, termType } from './compile.ts';
import type { Database } from './database.ts';
import { COLUMN_TERMS, isReference } from './facets.ts';
import { headOfPrefix } from './inverted.ts';
import { ROW_BITS } from './schema.ts';
import { limitOf, raw, type Sql, sql } from './sql.ts';
import { headOf } from './term-hash.ts';
import { paramName, type Words } from './words.ts';

/** A possible start: a query that yields a superset of the rows wanted, with an estimate of its worth when nothing is counted yet. */
export type Start = {
  /** `SELECT rid …`; may yield a row twice. */
  readonly rows: Sql;
  /** Kinds in order of how few rows they usually yield; the first that proves small is taken. */
  readonly rank: number;
  /** For a start on an indexed column of the row itself, the condition that says so directly. */
  readonly direct?: Sql;
};

const RANK = { id: 0, owner: 1, reference: 2, prefix: 3, term: 4, hop: 5, space: 6 } as const;

/** Counting stops here: first at a size where looking further would cost more than it saves, then once more for large starts. */
const LIMITS = [201, 3000] as const;

type At = { readonly db: Database; readonly words: Words };

/** A start at the row's own columns, as a condition on its alias: an id, or an owner of ordinary size. */
export function columnStart(where: Predicate, scope: ResourceScope, at: At): Sql | undefined {
  const starts = (where.op === 'and' ? where.of : [where]).flatMap((p) =>
    p.op === 'term' && COLUMN_TERMS.has(p.param) ? startsOf(p, scope, at) : [],
  );
  return asCondition(smallest(ranked(starts), at.db, 'small'), scope, at);
}

/** A start as a condition on the row's alias, and whether it is known to yield few rows. */
export type Chosen = { readonly rows: Sql; readonly few: boolean };

/** The best start there is; every row of the type, where the question offers none. */
export function indexStart(where: Predicate, scope: ResourceScope, at: At): Chosen {
  const starts = ranked(startsOf(where, scope, at));
  const few = asCondition(smallest(starts, at.db, 'small'), scope, at);
  if (few !== undefined) return { rows: few, few: true };
  const best = asCondition(smallest(starts, at.db, 'any'), scope, at);
  return { rows: best ?? sql`${raw(scope.alias)}.type = ${at.words.findName(scope.type) ?? null}`, few: false };
}

/** The index yields a row of another type when 35 bits of two hashes agree, so the type is asked again. */
function asCondition(start: Start | undefined, scope: ResourceScope, at: At): Sql | undefined {
  if (start === undefined) return undefined;
  const row = raw(scope.alias);
  return start.direct ?? sql`${row}.rid IN (${start.rows}) AND +${row}.type = ${at.words.findName(scope.type) ?? null}`;
}

const ranked = (starts: readonly Start[]): readonly Start[] => starts.toSorted((a, b) => a.rank - b.rank);

/** The start that yields few rows; where none is `small`, and `any` will do, the smallest that could be counted, or the first. */
function smallest(starts: readonly Start[], db: Database, want: 'small' | 'any'): Start | undefined {
  const [first] = starts;
  if (first === undefined || first.rank === RANK.id) return first;
  if (want === 'any' && starts.length === 1) return first;
  let best: { readonly start: Start; readonly count: number } | undefined;
  for (const limit of want === 'small' ? LIMITS.slice(0, 1) : LIMITS) {
    for (const start of starts) {
      const [count] = db.get(sql`SELECT count(*) FROM (SELECT 1 FROM (${start.rows}) LIMIT ${limitOf(limit)})`) ?? [];
      if (typeof count !== 'number' || count >= limit) continue;
      if (limit === LIMITS[0]) return start;
      if (best === undefined || count < best.count) best = { start, count };
    }
    if (best !== undefined) return best.start;
  }
  return want === 'any' ? first : undefined;
}

/** Every start that `p` offers: none for what is negative, open-ended or too common. */
function startsOf(p: Predicate, scope: Scope, at: At): readonly Start[] {
  switch (p.op) {
    case 'and':
      return p.of.flatMap((q) => startsOf(q, scope, at));
    case 'or':
      return union(p.of, scope, at);
    case 'term':
      return termStart(p.param, p.value, { scope, at });
    case 'prefix':
      return prefixStart(p.param, p.text, { scope, at });
    case 'owner':
      return scope.kind === 'resource' ? spaceStart(p.of, scope, at) : [];
    case 'via':
    case 'from':
      return scope.kind === 'resource' ? hopStart(p, scope, at) : [];
    default:
      return [];
  }
}

/** A disjunction offers a start when every branch does. */
function union(of: readonly Predicate[], scope: Scope, at: At): readonly Start[] {
  let rank = 0;
  const rows: Sql[] = [];
  for (const q of of) {
    const [best] = ranked(startsOf(q, scope, at));
    if (best === undefined) return [];
    rank = Math.max(rank, best.rank);
    rows.push(best.rows);
  }
  return rows.length === 0 ? [] : [{ rank, rows: unionAll(rows) }];
}

/** SQLite joins no more than 500 selects in one (limits.html#max_compound_select); more of them are unions of unions. */
const COMPOUND = 400;

function unionAll(rows: readonly Sql[]): Sql {
  if (rows.length > COMPOUND) {
    const pieces = Array.from({ length: Math.ceil(rows.length / COMPOUND) }, (_, i) =>
      unionAll(rows.slice(i * COMPOUND, (i + 1) * COMPOUND)),
    );
    return unionAll(pieces);
  }
  return {
    text: rows.map((r) => `SELECT * FROM (${r.text})`).join(' UNION ALL '),
    args: rows.flatMap((r) => r.args),
  };
}

type Where = { readonly scope: Scope; readonly at: At };

function termStart(param: string, value: string, { scope, at }: Where): readonly Start[] {
  const row = raw(scope.alias);
  if (scope.kind === 'resource') {
    if (param === '_id') {
      const { hi, lo } = at.words.address(`${scope.type}/${value}`);
      return [
        {
          rank: RANK.id,
          rows: sql`SELECT rid FROM resource WHERE self = ((${hi} << 32) | ${lo})`,
          direct: sql`${row}.self = ((${hi} << 32) | ${lo}) AND +${row}.type = ${at.words.findName(scope.type) ?? null}`,
        },
      ];
    }
    if (param === '_owner') {
      const [type, person] = [at.words.findName(scope.type), at.words.findPerson(value)];
      if (type === undefined || person === undefined) return [];
      return [
        {
          rank: RANK.owner,
          rows: sql`SELECT rid FROM resource WHERE type = ${type} AND owner = ${person}`,
          direct: sql`${row}.type = ${type} AND ${row}.owner = ${person}`,
        },
      ];
    }
    if (isReference(value)) {
      const name = at.words.findName(paramName(scope.type, param));
      if (name === undefined) return [];
      const { hi, lo } = at.words.address(value);
      return [
        {
          rank: RANK.reference,
          rows: sql`SELECT rid FROM link INDEXED BY link_target WHERE target = ((${hi} << 32) | ${lo}) AND param = ${name}`,
        },
      ];
    }
  }
  const head = headOf(at.words.hash(termType(scope), termText(param, value)));
  // Asked of the database each time: another process may have found a term to be common.
  if (at.db.statement('SELECT 1 FROM common WHERE head = ?').get(head) !== undefined) return [];
  const rank = param.endsWith('identifier') ? RANK.reference : RANK.term;
  return [
    {
      rank,
      rows: sql`SELECT key & ${raw(String(2 ** ROW_BITS - 1))} AS rid FROM term WHERE key BETWEEN (${head} << ${raw(String(ROW_BITS))}) AND ((${head} << ${raw(String(ROW_BITS))}) | ${raw(String(2 ** ROW_BITS - 1))})`,
    },
  ];
}

function prefixStart(param: string, text: string, { scope, at }: Where): readonly Start[] {
  if (scope.kind !== 'resource') return [];
  const head = headOfPrefix(scope.type, param, { text, hash: at.words.hash });
  if (head === undefined) return [];
  return [{ rank: RANK.prefix, rows: sql`SELECT rid FROM str WHERE head = ((${head.hi} << 32) | ${head.lo})` }];
}

/** Persons whose space entry meets `of`, then what they own. */
function spaceStart(of: Predicate, scope: ResourceScope, at: At): readonly Start[] {
  const person = spaceScope(scope.depth + 1);
  const type = at.words.findName(scope.type);
  const [best] = ranked(startsOf(of, person, at));
  if (best === undefined || type === undefined) return [];
  const p = raw(person.alias);
  return [
    {
      rank: RANK.space,
      rows: sql`SELECT x.rid FROM person ${p} CROSS JOIN resource x WHERE ${p}.id IN (${best.rows}) AND ${p}.entry IS NOT NULL AND ${condition(of, person, at.words)} AND x.type = ${type} AND x.owner = ${p}.id`,
    },
  ];
}

/** The resources a hop ends at, then back along the link. */
function hopStart(p: Predicate & { readonly op: 'via' | 'from' }, scope: ResourceScope, at: At): readonly Start[] {
  const end = resourceScope(p.hop.type, scope.depth + 1);
  const [best] = ranked(startsOf(p.hop.where, end, at));
  if (best === undefined || p.param === '_owner') return [];
  const name = at.words.findName(paramName(p.op === 'via' ? scope.type : p.hop.type, p.param));
  if (name === undefined) return [];
  const e = raw(end.alias);
  const there = sql`${e}.rid IN (${best.rows}) AND ${reached(p.hop, end, at.words)}`;
  return [
    {
      rank: RANK.hop,
      rows:
        p.op === 'via'
          ? sql`SELECT l.rid FROM resource ${e} CROSS JOIN link l INDEXED BY link_target WHERE ${there} AND l.target = ${e}.self AND l.param = ${name}`
          : sql`SELECT x.rid FROM resource ${e} CROSS JOIN link l CROSS JOIN resource x WHERE ${there} AND l.rid = ${e}.rid AND l.param = ${name} AND x.self = l.target`,
    },
  ];
}

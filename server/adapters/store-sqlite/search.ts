/** A guarded plan → one page. */
import { type Match, type Page, SearchTooBroad } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import type { GuardedPlan, SortKey } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { condition, type ResourceScope, resourceScope } from './compile.ts';
import { blobOf, type Core, textOf } from './core.ts';
import { MOST_VALUES } from './database.ts';
import { type Chosen, columnStart, indexStart } from './drive.ts';
import { isOpen, jsonPath } from './facets.ts';
import { isLocal, judge } from './judge.ts';
import { inOrder } from './order.ts';
import { indexPending } from './pending.ts';
import { linkedTypes, reachedTypes, restOf, VERSION_COLUMNS, VERSION_WIDTH, versionOf } from './resources.ts';
import { sealedColumns } from './sealed.ts';
import { FALSE, joined, limitOf, listed, raw, type Sql, type SqlValue, sql } from './sql.ts';
import type { Words } from './words.ts';

/** One page of the current, not deleted resources that `plan` asks for and its guard lets through. */
export function search(core: Core, plan: GuardedPlan): Page {
  const { db, words } = core;
  // Of the question as it was asked: what is left of it once a person is pinned would tell of their space.
  if (valuesIn(plan.where, plan.type) > MOST_VALUES)
    throw new SearchTooBroad('a question is more than a statement takes');
  const type = words.findName(plan.type);
  const where = pinned(core, plan.where);
  if (type === undefined || where.op === 'none')
    return { matches: [], more: false, ...(plan.total ? { total: 0 } : {}) };

  const scope = resourceScope(plan.type, 0);
  const r = raw(scope.alias);
  const start = startFor(core, where, scope);
  if (start.few && isLocal(where)) return judged(core, plan, { where, rows: start.rows, scope });
  const found = sql`${start.rows} AND ${r}.deleted = 0 AND ${condition(where, scope, words)}`;

  const keys = plan.sort.map((key) => keyOf(key, scope, words));
  const names = keys.map((_, i) => raw(`k${i}`));
  const selected = listed([
    sql`${r}.vid AS vid`,
    sql`${r}.id AS id`,
    ...keys.map((key, i) => sql`${key} AS ${names[i] ?? r}`),
  ]);
  const later =
    plan.after === undefined ? undefined : laterThan(plan.sort, keys, { after: plan.after, id: sql`${r}.id` });
  const page = sql`SELECT ${selected} FROM resource ${r} WHERE ${found}${later === undefined ? raw('') : sql` AND ${later}`} ORDER BY ${order(plan.sort, keys, sql`${r}.id`)} LIMIT ${limitOf(plan.limit + 1)}`;
  // Bodies are fetched for the page alone, so the sort never carries them.
  const rows = db.all(
    sql`SELECT ${VERSION_COLUMNS}, q.id${raw(names.map((n) => `, q.${n.text}`).join(''))} FROM (${page}) q CROSS JOIN version v ON v.vid = q.vid ORDER BY ${order(
      plan.sort,
      names.map((n) => raw(`q.${n.text}`)),
      raw('q.id'),
    )}`,
  );
  const matches = rows.slice(0, plan.limit).map((row): Match => {
    const id = String(row[VERSION_WIDTH]);
    return {
      ...versionOf(core, { type: plan.type, id }, row),
      position: [...row.slice(VERSION_WIDTH + 1).map(position), id],
    };
  });
  const more = rows.length > plan.limit;
  if (!plan.total) return { matches, more };
  if (plan.after === undefined && !more) return { matches, more, total: matches.length };
  const [total] = db.get(sql`SELECT count(*) FROM resource ${r} WHERE ${found}`) ?? [];
  return { matches, more, total: Number(total) };
}

/** How many values a predicate on rows of `type` becomes in SQL (`compile.ts`); a space entry has no type. */
function valuesIn(p: Predicate, type: string): number {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.reduce((sum, q) => sum + valuesIn(q, type), 0);
    case 'not':
      return valuesIn(p.of, type);
    case 'owner':
      return valuesIn(p.of, '');
    case 'via':
    case 'from':
      return 2 + valuesIn(p.hop.where, p.hop.type);
    case 'range':
      return isOpen(type, p.param) ? 3 : 6;
    case 'prefix':
    case 'contains':
      return 4;
    default:
      return 1;
  }
}

type Candidates = { readonly where: Predicate; readonly rows: Sql; readonly scope: ResourceScope };

/**
 * A page out of few candidates: SQLite orders them by one of few statements, and each is judged where it is, so that no question has to
 * be spelled out and prepared. The guard is asked before anything is counted or taken, as in the other way.
 */
function judged(core: Core, plan: GuardedPlan, { where, rows, scope }: Candidates): Page {
  const { db, words } = core;
  const r = raw(scope.alias);
  const keys = plan.sort.map((key) => keyOf(key, scope, words));
  const selected = listed([
    sql`${r}.vid, ${r}.id, ${r}.rid, ${r}.owner, ${r}.updated, ${r}.marks, ${r}.hashes`,
    ...keys,
  ]);
  const { after } = plan;
  const candidates = db.all(
    sql`SELECT ${selected} FROM resource ${r} WHERE ${rows} AND ${r}.deleted = 0 ORDER BY ${order(plan.sort, keys, sql`${r}.id`)}`,
  );
  const holding = candidates.filter(([, id, rid, owner, updated, marks, hashes]) => {
    const person = typeof owner === 'number' ? owner : undefined;
    return judge(
      where,
      {
        type: plan.type,
        id: textOf(id),
        owner: person === undefined ? undefined : words.refOfPerson(person),
        updated: Number(updated),
        marks: blobOf(marks),
        hashes: () => blobOf(hashes),
        rest: () => restOf(core, Number(rid)),
        space: () => (person === undefined ? undefined : words.space(person)),
      },
      words.hash,
    );
  });
  const start =
    after === undefined
      ? 0
      : holding.findIndex((row) => inOrder(plan.sort, [...row.slice(7).map(position), textOf(row[1])], after) > 0);
  const taken = start < 0 ? [] : holding.slice(start, start + plan.limit);
  const matches = taken.map((row): Match => {
    const id = textOf(row[1]);
    const version = db.statement(VERSION).get(row[0] ?? null) ?? [];
    return { ...versionOf(core, { type: plan.type, id }, version), position: [...row.slice(7).map(position), id] };
  });
  const more = start >= 0 && holding.length > start + plan.limit;
  return { matches, more, ...(plan.total ? { total: holding.length } : {}) };
}

const VERSION = `SELECT ${VERSION_COLUMNS.text} FROM version v WHERE v.vid = ?`;

/** Where the search starts. Only a start in the inverted index, and a step along a link, need the rows that were put off. */
function startFor(core: Core, where: Predicate, scope: ResourceScope): Chosen {
  const at = { db: core.db, words: core.words };
  const column = columnStart(where, scope, at);
  indexPending(core, column === undefined ? [scope.type, ...reachedTypes(where)] : linkedTypes(where, scope.type));
  return column === undefined ? indexStart(where, scope, at) : { rows: column, few: true };
}

/** With one owner pinned, conditions on the owner's space are decided now, once, and the rows are asked about the rest. */
function pinned(core: Core, where: Predicate): Predicate {
  const pin = (where.op === 'and' ? where.of : [where]).find((p) => p.op === 'term' && p.param === '_owner');
  if (pin?.op !== 'term') return where;
  const person = core.words.findPerson(pin.value);
  return person === undefined ? { op: 'none' } : specialise(where, core.words.space(person));
}

/** The value a resource is sorted by; null when it has none. */
function keyOf(key: SortKey, scope: ResourceScope, words: Words): Sql {
  const row = raw(scope.alias);
  if (key.param === '_id') return sql`${row}.id`;
  if (key.param === '_lastUpdated') return sql`${row}.updated`;
  return isOpen(scope.type, key.param)
    ? sql`json_extract(${row}.keys, ${jsonPath(key.param, words.hash)})`
    : sql`sealed_key(${scope.type}, ${key.param}, ${raw(sealedColumns(scope.alias))})`;
}

/** Resources without the key come last in both directions; the id decides ties. */
const order = (sort: readonly SortKey[], keys: readonly Sql[], id: Sql): Sql =>
  listed([...keys.map((key, i) => sql`${key} ${raw(sort[i]?.descending ? 'DESC' : 'ASC')} NULLS LAST`), id]);

/** Strictly after a position in that order: nothing is skipped or repeated, whatever was written since. */
function laterThan(
  sort: readonly SortKey[],
  keys: readonly Sql[],
  from: { readonly after: readonly (string | number | null)[]; readonly id: Sql },
): Sql {
  const { after, id } = from;
  if (after.length !== sort.length + 1) throw new RangeError('the position does not fit the order');
  const lastId = after[sort.length] ?? null;
  const ways = keys.map((key, i) => {
    const at = after[i] ?? null;
    const beyond =
      at === null
        ? FALSE
        : sort[i]?.descending
          ? sql`(${key} < ${at} OR ${key} IS NULL)`
          : sql`(${key} > ${at} OR ${key} IS NULL)`;
    return joined([...level(keys.slice(0, i), after), beyond], 'AND');
  });
  return joined([...ways, joined([...level(keys, after), sql`${id} > ${lastId}`], 'AND')], 'OR');
}

const level = (keys: readonly Sql[], after: readonly (string | number | null)[]): readonly Sql[] =>
  keys.map((key, i) => sql`${key} IS ${after[i] ?? null}`);

function position(value: SqlValue): string | number | null {
  if (value === null || typeof value === 'string' || typeof value === 'number') return value;
  throw new Error('a sort key is neither text nor number');
}

/** A guarded plan → one page. */
import type { Match, Page } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import type { GuardedPlan, SortKey } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { condition, type ResourceScope, resourceScope } from './compile.ts';
import type { Core } from './core.ts';
import { columnStart, indexStart } from './drive.ts';
import { jsonPath } from './facets.ts';
import { indexPending } from './pending.ts';
import { linkedTypes, reachedTypes, VERSION_COLUMNS, VERSION_WIDTH, versionOf } from './resources.ts';
import { FALSE, joined, listed, raw, type Sql, type SqlValue, sql } from './sql.ts';

/** One page of the current, not deleted resources that `plan` asks for and its guard lets through. */
export function search(core: Core, plan: GuardedPlan): Page {
  const { db, words } = core;
  const type = words.findName(plan.type);
  const where = pinned(core, plan.where);
  if (type === undefined || where.op === 'none')
    return { matches: [], more: false, ...(plan.total ? { total: 0 } : {}) };

  const scope = resourceScope(plan.type, 0);
  const r = raw(scope.alias);
  const found = sql`${startFor(core, where, scope)} AND ${r}.deleted = 0 AND ${condition(where, scope, words)}`;

  const keys = plan.sort.map((key) => keyOf(key, r));
  const names = keys.map((_, i) => raw(`k${i}`));
  const selected = listed([
    sql`${r}.vid AS vid`,
    sql`${r}.id AS id`,
    ...keys.map((key, i) => sql`${key} AS ${names[i] ?? r}`),
  ]);
  const later =
    plan.after === undefined ? undefined : laterThan(plan.sort, keys, { after: plan.after, id: sql`${r}.id` });
  const page = sql`SELECT ${selected} FROM resource ${r} WHERE ${found}${later === undefined ? raw('') : sql` AND ${later}`} ORDER BY ${order(plan.sort, keys, sql`${r}.id`)} LIMIT ${plan.limit + 1}`;
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

/** Where the search starts. Only a start in the inverted index, and a step along a link, need the rows that were put off. */
function startFor(core: Core, where: Predicate, scope: ResourceScope): Sql {
  const at = { db: core.db, words: core.words };
  const column = columnStart(where, scope, at);
  indexPending(core, column === undefined ? [scope.type, ...reachedTypes(where)] : linkedTypes(where, scope.type));
  return column ?? indexStart(where, scope, at);
}

/** With one owner pinned, conditions on the owner's space are decided now, once, and the rows are asked about the rest. */
function pinned(core: Core, where: Predicate): Predicate {
  const pin = (where.op === 'and' ? where.of : [where]).find((p) => p.op === 'term' && p.param === '_owner');
  if (pin?.op !== 'term') return where;
  const person = core.words.findPerson(pin.value);
  return person === undefined ? { op: 'none' } : specialise(where, core.words.space(person));
}

/** The value a resource is sorted by; null when it has none. */
function keyOf(key: SortKey, row: Sql): Sql {
  if (key.param === '_id') return sql`${row}.id`;
  if (key.param === '_lastUpdated') return sql`${row}.updated`;
  return sql`json_extract(${row}.keys, ${jsonPath(key.param)})`;
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

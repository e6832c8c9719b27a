/** The chain of versions of one resource, newest first. */
import type { Instant, Key } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import type { Guard } from '../../query/plan.ts';
import type { Core } from './core.ts';
import { type Current, VERSION_COLUMNS, VERSION_WIDTH, versionOf, visible } from './resources.ts';
import { limitOf, raw, type Sql, sql } from './sql.ts';

export type HistoryPage = {
  readonly limit: number;
  readonly before?: string;
  readonly since?: Instant;
  readonly at?: Instant;
};

/**
 * The chain with, for each version, its distance from the current one and when the next one replaced it. A version that had
 * another owner is not the current owner's to show.
 */
const chain = (current: Current): Sql =>
  sql`WITH RECURSIVE chain (vid, step, until) AS (
    SELECT ${current.vid}, 0, NULL UNION ALL
    SELECT v.prev, c.step + 1, v.updated FROM chain c CROSS JOIN version v ON v.vid = c.vid WHERE v.prev IS NOT NULL)
    SELECT ${VERSION_COLUMNS}, c.step FROM chain c CROSS JOIN version v ON v.vid = c.vid WHERE v.owner IS ${current.owner ?? null}`;

/** One version by its id, when the guard lets the current one through. */
export function versionById(
  core: Core,
  key: Key,
  asked: { readonly versionId: string; readonly guard: Guard },
): Version | undefined {
  const current = visible(core, key, asked.guard);
  if (current === undefined) return undefined;
  if (current.version[0] === asked.versionId) return versionOf(core, key, current.version);
  const row = core.db.get(sql`${chain(current)} AND v.no = ${asked.versionId} LIMIT 1`);
  return row === undefined ? undefined : versionOf(core, key, row);
}

/** One page of the versions; `total` counts all that `since` and `at` leave, wherever the page starts. */
export function versionsOf(
  core: Core,
  key: Key,
  asked: { readonly guard: Guard; readonly page: HistoryPage },
): { readonly versions: readonly Version[]; readonly more: boolean; readonly total: number } | undefined {
  const current = visible(core, key, asked.guard);
  if (current === undefined) return undefined;
  const { limit, before, since, at } = asked.page;
  const wanted = sql`${chain(current)}${since === undefined ? raw('') : sql` AND v.updated >= ${since}`}${
    at === undefined ? raw('') : sql` AND v.updated <= ${at} AND (c.until IS NULL OR c.until > ${at})`
  }`;
  const [total] = core.db.get(sql`SELECT count(*) FROM (${wanted})`) ?? [];
  const from = before === undefined ? -1 : stepOf(core, current, before);
  const rows =
    from === undefined
      ? []
      : core.db.all(sql`${wanted} AND c.step > ${from} ORDER BY c.step LIMIT ${limitOf(limit + 1)}`);
  return {
    versions: rows.slice(0, limit).map((row) => versionOf(core, key, row.slice(0, VERSION_WIDTH))),
    more: rows.length > limit,
    total: Number(total),
  };
}

/** How far back a version is; `undefined` when it is not one the page may speak about. */
function stepOf(core: Core, current: Current, versionId: string): number | undefined {
  const row = core.db.get(sql`${chain(current)} AND v.no = ${versionId} LIMIT 1`);
  return row === undefined ? undefined : Number(row[VERSION_WIDTH]);
}

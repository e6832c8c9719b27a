/** Reading the current row of a resource, and judging it. */
import type { IndexEntry } from '../../fhir/index-entry.ts';
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { specialise } from '../../query/matches.ts';
import type { Guard } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { condition, resourceScope } from './compile.ts';
import { blobOf, type Core, textOf } from './core.ts';
import type { Row } from './database.ts';
import type { Hidden } from './facets.ts';
import { isLocal, judge } from './judge.ts';
import { indexPending } from './pending.ts';
import { openVersion } from './sealed.ts';
import { raw, type Sql, type SqlValue, sql } from './sql.ts';

/** A resource as its row has it. */
export type Current = {
  readonly rid: number;
  readonly vid: number;
  readonly key: Key;
  readonly deleted: boolean;
  readonly updated: number;
  readonly owner: number | undefined;
  readonly marks: Uint8Array;
  readonly version: Row;
};

/** The columns of a version, in the order `versionOf` reads them. */
export const VERSION_COLUMNS = raw('v.no, v.updated, v.deleted, v.owner, v.sealed');
export const VERSION_WIDTH = 5;

const CURRENT = `SELECT r.rid, r.vid, r.type, r.id, r.deleted, r.updated, r.owner, r.marks,
  ${VERSION_COLUMNS.text} FROM resource r CROSS JOIN version v ON v.vid = r.vid WHERE r.self = ((? << 32) | ?)`;

/** The current row of `key`, tombstones included. */
export function currentOf(core: Core, key: Key): Current | undefined {
  const type = core.words.findName(key.type);
  if (type === undefined) return undefined;
  const { hi, lo } = core.words.address(refOf(key));
  const row = core.db.statement(CURRENT).get(hi, lo);
  // The hash leads here, the address decides.
  if (row === undefined || row[2] !== type || row[3] !== key.id) return undefined;
  return {
    rid: Number(row[0]),
    vid: Number(row[1]),
    key,
    deleted: row[4] === 1,
    updated: Number(row[5]),
    owner: typeof row[6] === 'number' ? row[6] : undefined,
    marks: blobOf(row[7]),
    version: row.slice(8),
  };
}

const REST = 'SELECT hashes, json(ranges), sealed, vid, owner, type, id FROM resource WHERE rid = ?';

/** What `judge` seldom needs of a row. */
export function restOf(
  core: Core,
  rid: number,
): { readonly hashes: Uint8Array; readonly ranges: string; readonly hidden: () => Hidden } {
  const [hashes, ranges, sealed, vid, owner, type, id] = core.db.statement(REST).get(rid) ?? [];
  return {
    hashes: blobOf(hashes),
    ranges: textOf(ranges),
    hidden: () =>
      core.hidden.of(
        {
          key: { type: core.words.textOfName(Number(type)), id: textOf(id) },
          rid,
          vid: Number(vid),
          owner: ownerOf(core, owner),
        },
        blobOf(sealed),
      ),
  };
}

const ownerOf = (core: Core, owner: SqlValue | undefined): Ref | undefined =>
  typeof owner === 'number' ? core.words.refOfPerson(owner) : undefined;

/**
 * A version from its columns (`VERSION_COLUMNS`). It is opened when its content is first asked for: who only wants to know that it is there, or
 * which version is current, pays nothing.
 */
export function versionOf(core: Core, key: Key, row: Row): Version {
  const [no, updated, deleted, , sealed] = row;
  const at = {
    key: { type: key.type, id: key.id },
    no: textOf(no),
    updated: Number(updated),
    deleted: deleted === 1,
    owner: ownerOf(core, row[3]),
  };
  let content: ReturnType<typeof openVersion> | undefined;
  const opened = (): ReturnType<typeof openVersion> => {
    content ??= openVersion(core.db.vault, at, blobOf(sealed));
    return content;
  };
  return {
    type: key.type,
    id: key.id,
    versionId: at.no,
    lastUpdated: at.updated,
    deleted: at.deleted,
    owner: at.owner,
    get body() {
      return opened().body;
    },
    get filing() {
      return opened().filing;
    },
  };
}

/** Whether `p` holds for a current row, deleted or not. */
export function holdsFor(core: Core, current: Current, p: Predicate): boolean {
  const space = (): IndexEntry | undefined =>
    current.owner === undefined ? undefined : core.words.space(current.owner);
  if (isLocal(p)) {
    const owner = current.owner === undefined ? undefined : core.words.refOfPerson(current.owner);
    const { type, id } = current.key;
    const rest = (): ReturnType<typeof restOf> => restOf(core, current.rid);
    const { updated, marks } = current;
    return judge(p, { type, id, owner, updated, marks, hashes: () => rest().hashes, rest, space }, core.words.hash);
  }
  const { text, args, types } = spelled(core, p, current.key.type, space());
  indexPending(core, types);
  return core.db.get({ text, args: [current.rid, ...args] }) !== undefined;
}

/** A predicate as the question about one row, whose number is the first value; and the types that it walks the links of. */
type Spelled = Sql & { readonly types: readonly string[] };

/**
 * A guard is asked about many rows of one person in a row (every item that a page of the register names), so what it comes to is
 * remembered with the predicate itself, as long as the space is the same and no name or person became known that it could have spoken of.
 */
function spelled(core: Core, p: Predicate, type: string, space: IndexEntry | undefined): Spelled {
  const known = questions.get(p);
  const made = core.words.made();
  if (known?.core === core && known.type === type && known.space === space && known.made === made) return known.spelled;
  const scope = resourceScope(type, 0);
  const rest = specialise(p, space);
  const row = raw(scope.alias);
  const where = sql`SELECT 1 FROM resource ${row} WHERE ${row}.rid = ? AND ${condition(rest, scope, core.words)}`;
  const answer = { ...where, types: [...new Set(linkedTypes(rest, type))] };
  questions.set(p, { core, type, space, made, spelled: answer });
  return answer;
}

const questions = new WeakMap<
  Predicate,
  {
    readonly core: Core;
    readonly type: string;
    readonly space: IndexEntry | undefined;
    readonly made: number;
    readonly spelled: Spelled;
  }
>();

/** The current row, when the guard lets it through. */
export function visible(core: Core, key: Key, guard: Guard): Current | undefined {
  if (guard.type !== key.type) return undefined;
  const current = currentOf(core, key);
  return current !== undefined && holdsFor(core, current, guard.residual) ? current : undefined;
}

/** The types whose links a condition on rows of `type` walks; everything else it asks is answered by the rows themselves. */
export function linkedTypes(p: Predicate, type: string): readonly string[] {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.flatMap((q) => linkedTypes(q, type));
    case 'not':
      return linkedTypes(p.of, type);
    case 'via':
      return [type, ...linkedTypes(p.hop.where, p.hop.type)];
    case 'from':
      return [p.hop.type, ...linkedTypes(p.hop.where, p.hop.type)];
    default:
      return [];
  }
}

/** The types a predicate steps to: a search may start at any of them. */
export function reachedTypes(p: Predicate): readonly string[] {
  switch (p.op) {
    case 'and':
    case 'or':
      return p.of.flatMap(reachedTypes);
    case 'not':
      return reachedTypes(p.of);
    case 'via':
    case 'from':
      return [p.hop.type, ...reachedTypes(p.hop.where)];
    default:
      return [];
  }
}

/** Reading the current row of a resource, and judging it. */
import { type Key, type Ref, refOf } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import type { Guard } from '../../query/plan.ts';
import type { Predicate } from '../../query/predicate.ts';
import { condition, resourceScope } from './compile.ts';
import { blobOf, type Core, textOf } from './core.ts';
import type { Row } from './database.ts';
import type { Hidden } from './facets.ts';
import { isLocal, type Judged, judge } from './judge.ts';
import { indexPending } from './pending.ts';
import { openVersion } from './sealed.ts';
import { raw, type SqlValue, sql } from './sql.ts';
import { paramName } from './words.ts';

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

/** A row as far as a predicate can ask of it. */
type Standing = Omit<Current, 'version'>;

/** Whether `p` holds for a current row, deleted or not. `query/matches.ts` is the definition; the agreement test holds this to it. */
export function holdsFor(core: Core, current: Standing, p: Predicate): boolean {
  if (!isLocal(p)) indexPending(core, linkedTypes(p, current.key.type));
  return holds(core, current, p);
}

/** The same, once what was put off has been indexed. A step is walked, row by row: one row has few neighbours, and nothing is spelled out for it. */
function holds(core: Core, current: Standing, p: Predicate): boolean {
  if (isLocal(p)) return judge(p, judgedOf(core, current), core.words.hash);
  switch (p.op) {
    case 'and':
      return p.of.every((q) => holds(core, current, q));
    case 'or':
      return p.of.some((q) => holds(core, current, q));
    case 'not':
      return !holds(core, current, p.of);
    case 'via':
    case 'from': {
      const rows = neighbours(core, current, p);
      return rows === undefined
        ? asked(core, current, p)
        : rows.some((row) => (p.hop.deleted || !row.deleted) && holds(core, row, p.hop.where));
    }
    default:
      throw new Error(`a predicate \`${p.op}\` needs no step`);
  }
}

function judgedOf(core: Core, { rid, key, owner, updated, marks }: Standing): Judged {
  const rest = (): ReturnType<typeof restOf> => restOf(core, rid);
  return {
    ...key,
    owner: owner === undefined ? undefined : core.words.refOfPerson(owner),
    updated,
    marks,
    hashes: () => rest().hashes,
    rest,
    space: () => (owner === undefined ? undefined : core.words.space(owner)),
  };
}

/** From so many neighbours on, SQL is asked instead. */
const NEIGHBOURS = 64;
const STANDING = 't.rid, t.vid, t.id, t.deleted, t.updated, t.owner, t.marks';
const VIA = `SELECT ${STANDING} FROM link l CROSS JOIN resource t WHERE l.rid = ? AND l.param = ? AND t.self = l.target AND +t.type = ? LIMIT ${NEIGHBOURS + 1}`;
const FROM = `SELECT ${STANDING} FROM link l INDEXED BY link_target CROSS JOIN resource t
  WHERE l.target = ((? << 32) | ?) AND l.param = ? AND t.rid = l.rid AND +t.type = ? LIMIT ${NEIGHBOURS + 1}`;

/** The rows one step away, `undefined` when they are many or the step is along the owner. */
function neighbours(core: Core, current: Standing, p: Step): readonly Standing[] | undefined {
  if (p.param === '_owner') return undefined;
  const { words, db } = core;
  const type = words.findName(p.hop.type);
  const param = words.findName(paramName(p.op === 'via' ? current.key.type : p.hop.type, p.param));
  if (type === undefined || param === undefined) return [];
  const { hi, lo } = words.address(refOf(current.key));
  const rows =
    p.op === 'via' ? db.statement(VIA).all(current.rid, param, type) : db.statement(FROM).all(hi, lo, param, type);
  if (rows.length > NEIGHBOURS) return undefined;
  return rows.map(([rid, vid, id, deleted, updated, owner, marks]) => ({
    rid: Number(rid),
    vid: Number(vid),
    key: { type: p.hop.type, id: textOf(id) },
    deleted: deleted === 1,
    updated: Number(updated),
    owner: typeof owner === 'number' ? owner : undefined,
    marks: blobOf(marks),
  }));
}

type Step = Predicate & { readonly op: 'via' | 'from' };

/** The step as a question to SQL. */
function asked(core: Core, { rid, key }: Standing, p: Step): boolean {
  const scope = resourceScope(key.type, 0);
  const row = raw(scope.alias);
  const where = condition(p, scope, core.words);
  return core.db.get(sql`SELECT 1 FROM resource ${row} WHERE ${row}.rid = ${rid} AND ${where}`) !== undefined;
}

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

/** Index rows that were put off when their resource was written. */
import { blobOf, type Core, textOf } from './core.ts';
import type { Starts } from './inverted.ts';

/**
 * Writes the index rows that were put off, for some types: called before anything is looked for in them, inside the same transaction,
 * so putting off is never seen.
 */
export function indexPending(core: Core, types: readonly string[]): void {
  for (const type of new Set(types)) {
    const name = core.words.findName(type);
    if (name === undefined) continue;
    while (indexBatch(core, type, name) > 0);
  }
}

/** So many resources are indexed at once: neighbours in the index then share pages, and nobody waits long for it. */
const BATCH = 128;

/** Indexes one batch of pending resources of a type; answers how many. */
export function indexBatch(core: Core, type: string, name: number): number {
  const rows = core.db
    .statement(
      // The limit stands in the text: bound, it would make SQLite prepare the statement anew each time.
      `SELECT p.rid, p.starts, r.marks, r.hashes FROM pending p CROSS JOIN resource r ON r.rid = p.rid WHERE p.type = ? ORDER BY p.rid LIMIT ${BATCH}`,
    )
    .all(name);
  for (const [rid, starts, marks, hashes] of rows) {
    core.index.add(type, Number(rid), {
      marks: blobOf(marks),
      hashes: blobOf(hashes),
      // INVARIANT: `pending.starts` is only ever written from Starts.
      starts: JSON.parse(textOf(starts)) as Starts,
    });
  }
  const last = rows.at(-1)?.[0];
  if (last !== undefined) core.db.statement('DELETE FROM pending WHERE type = ? AND rid <= ?').run(name, last);
  core.putOff(-rows.length);
  return rows.length;
}

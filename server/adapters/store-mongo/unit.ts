/** The methods of one unit over one attempt at a transaction. */
import { StoreUnavailable, type StoreUnit } from '../../ports/store.ts';
import { attach, chunkOf, contentOf, detach } from './content.ts';
import { search } from './search.ts';
import { type Core, currentOf, newSight, openedVersion, type Sight, spaceOf } from './sight.ts';
import type { Attempt } from './transaction.ts';
import { versionById, versionsOf } from './versions.ts';
import { holdsFor, visible } from './visible.ts';
import { claim, put, putSpace, refile } from './writes.ts';

/** A unit that is open until it is closed; `failure` is the first error its methods met, which undoes it whatever became of it. */
export type OpenUnit = {
  readonly unit: StoreUnit;
  /** What this attempt knows, for what an operator's command asks of it. */
  readonly sight: Sight;
  /** Waits for what was begun, then refuses more. */
  close(): Promise<void>;
  failure(): { readonly error: unknown } | undefined;
  /** Writes what makes this unit conflict with others; before the commit. */
  settle(): Promise<void>;
};

export function openUnit(core: Core, attempt: Attempt): OpenUnit {
  const sight = newSight(core, attempt);
  let open = true;
  let failed: { readonly error: unknown } | undefined;
  let last: Promise<unknown> = Promise.resolve();

  /** One operation after another: a transaction has one conversation. */
  const next = <T>(work: () => Promise<T>): Promise<T> => {
    if (!open) return Promise.reject(new Error('the unit has ended'));
    const done = last.then(() => {
      if (failed !== undefined) throw failed.error;
      if (performance.now() >= attempt.until) throw new StoreUnavailable('the database is too slow');
      return work();
    });
    last = done.catch((error: unknown) => {
      failed ??= { error };
    });
    return done;
  };

  const unit: StoreUnit = {
    read: (key, guard) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : openedVersion(sight, doc);
      }),
    vread: (key, versionId, guard) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : versionById(sight, doc, versionId);
      }),
    history: (key, guard, page) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : versionsOf(sight, doc, page);
      }),
    search: (plan) => next(() => search(sight, plan)),
    test: (key, guard, where) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc !== undefined && (await holdsFor(sight, doc, where));
      }),
    testEach: (key, guard, where) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        const held: boolean[] = [];
        for (const p of where) held.push(doc !== undefined && (await holdsFor(sight, doc, p)));
        return held;
      }),
    space: (person) => next(() => spaceOf(sight, person)),
    put: (version) => next(() => put(sight, version)),
    refile: (key, filing, entry) => next(() => refile(sight, key, { filing, entry })),
    putSpace: (person, entry) => next(() => putSpace(sight, person, entry)),
    attachBytes: (key, upload) => next(() => attach(sight, key, upload)),
    detachBytes: (key) => next(() => detach(sight, key)),
    chunk: (key, guard, index) =>
      next(async () => {
        const doc = await visible(sight, key, guard);
        return doc === undefined ? undefined : chunkOf(sight, doc, index);
      }),
    bytes: (key) =>
      next(async () => {
        const doc = await currentOf(sight, key);
        const content = doc === undefined ? undefined : await contentOf(sight, doc);
        return content === undefined ? undefined : { size: content.size, sha1: content.sha1 };
      }),
  };
  return {
    unit,
    sight,
    async close() {
      open = false;
      await last;
    },
    failure: () => failed,
    settle: () => claim(sight),
  };
}

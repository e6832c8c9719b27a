import type { Key, Ref } from '../../fhir/types.ts';
import type { StoreUnit } from '../../ports/store.ts';
import { attach, chunkOf, detach, sizeOf } from './content.ts';
import type { Core } from './core.ts';
import type { Piece } from './group-commit.ts';
import { holdsFor, versionOf, visible } from './resources.ts';
import { search } from './search.ts';
import { versionById, versionsOf } from './versions.ts';
import { put, putSpace, refile } from './writes.ts';

/** A unit that is open until it is closed; `failure` is the first error its methods met, which undoes the unit whatever became of it. */
export type OpenUnit = {
  readonly unit: StoreUnit;
  close(): void;
  failure(): { readonly error: unknown } | undefined;
};

/** The methods of one unit. Everything is answered at once: the promises are settled when they are handed out. */
export function openUnit(core: Core, piece: Piece): OpenUnit {
  let open = true;
  let failed: { readonly error: unknown } | undefined;

  const attempt = <T>(work: () => T): Promise<T> => {
    if (!open) return Promise.reject(new Error('the unit has ended'));
    try {
      return Promise.resolve(work());
    } catch (error) {
      failed ??= { error };
      return Promise.reject(error);
    }
  };
  const writing = <T>(work: () => T): Promise<T> =>
    attempt(() => {
      piece.write();
      return work();
    });

  const unit: StoreUnit = {
    read: (key, guard) =>
      attempt(() => {
        const current = visible(core, key, guard);
        return current === undefined ? undefined : versionOf(core, key, current.version);
      }),
    vread: (key, versionId, guard) => attempt(() => versionById(core, key, { versionId, guard })),
    history: (key, guard, page) => attempt(() => versionsOf(core, key, { guard, page })),
    search: (plan) => attempt(() => search(core, plan)),
    test: (key, guard, where) =>
      attempt(() => {
        const current = visible(core, key, guard);
        return current !== undefined && holdsFor(core, current, where);
      }),
    testEach: (key, guard, where) =>
      attempt(() => {
        const current = visible(core, key, guard);
        return where.map((p) => current !== undefined && holdsFor(core, current, p));
      }),
    space: (person) =>
      attempt(() => {
        const id = core.words.findPerson(person);
        return id === undefined ? undefined : core.words.space(id);
      }),
    put: (next) => writing(() => put(core, next)),
    refile: (key, filing, entry) => writing(() => refile(core, key, { filing, entry })),
    putSpace: (person: Ref, entry) => writing(() => putSpace(core, person, entry)),
    attachBytes: (key: Key, upload) => writing(() => attach(core, key, upload)),
    detachBytes: (key) => writing(() => detach(core, key)),
    chunk: (key, guard, index) => attempt(() => chunkOf(core, key, { guard, index })),
    bytes: (key) => attempt(() => sizeOf(core, key)),
  };
  return {
    unit,
    close() {
      open = false;
    },
    failure: () => failed,
  };
}

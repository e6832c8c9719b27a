/**
 * Fills a store with documents through the store's own port: `save` of the application makes the index entry and the marks and writes the
 * version, as it does for a request. What a request adds (validation, the rules of who may file, its audit record) is left out: it
 * changes nothing about what is stored of the document, and forty thousand of them would take minutes.
 */
import { createAccess } from '../server/access/access.ts';
import type { Caller } from '../server/access/caller.ts';
import { accessOptions } from '../server/app/caller-access.ts';
import type { Deps } from '../server/app/deps.ts';
import { save, type Work } from '../server/app/work.ts';
import type { Ref, Resource } from '../server/fhir/types.ts';
import { documentOf, numbers } from './world.ts';

const AT_ONCE = 250;

/** Writes `each` documents of every person; answers their ids and the bytes of one body. */
export async function seedDocuments(
  deps: Deps,
  order: {
    readonly people: readonly string[];
    readonly structure: string;
    readonly each: number;
    readonly seed: number;
    /** Number of the first person, for the traits in their documents. */
    readonly from?: number;
  },
): Promise<{ readonly ids: readonly string[]; readonly bodyBytes: number }> {
  const caller: Caller = {
    claims: {
      kind: 'feeder',
      structure: { system: '', value: '' },
      issuer: '',
      clientId: '',
      subject: '',
      tokenId: '',
      issuedAt: 0,
      expiresAt: 0,
      scopes: [],
      secret: false,
    },
    kind: 'feeder',
  };
  const random = numbers(order.seed);
  const ids: string[] = [];
  let bodyBytes = 0;
  const total = order.people.length * order.each;
  for (let from = 0; from < total; from += AT_ONCE) {
    await deps.store.unit(async (unit) => {
      const now = deps.clock.now();
      const work: Work = {
        deps,
        unit,
        caller,
        access: createAccess(accessOptions(deps, caller, now)),
        now,
        newId: () => deps.ids.next(),
        traces: [],
        asked: new Set(),
        persons: new Set(),
        probed: [],
        written: { any: false },
        created: new Map(),
        uploads: new Map(),
        afterwards: [],
        provides: { level: undefined },
        stale: new Set(),
      };
      for (let n = from; n < Math.min(total, from + AT_ONCE); n += 1) {
        // Person after person in turn, so that nobody's documents lie side by side on disk.
        const person = n % order.people.length;
        const owner = `Patient/${order.people[person]}` as Ref;
        const id = deps.ids.next();
        const resource = documentOf({
          n,
          person: (order.from ?? 0) + person,
          subject: owner,
          author: order.structure,
          random,
        });
        const filing = {
          filedAt: now,
          by: order.structure as Ref,
          side: 'feeder' as const,
          authorStructure: order.structure as Ref,
        };
        const version = await save(work, {
          key: { type: 'DocumentReference', id },
          before: undefined,
          resource: resource as Resource,
          owner,
          filing,
        });
        bodyBytes += version.body.length;
        ids.push(id);
      }
    });
  }
  return { ids, bodyBytes: bodyBytes / total };
}

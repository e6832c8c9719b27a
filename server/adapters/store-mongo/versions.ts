/** The earlier versions of one resource, newest first. */
import type { Instant } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import type { CurrentDocument, VersionFields } from './schema.ts';
import { openedVersion, openedVersions, type Sight } from './sight.ts';

export type HistoryPage = {
  readonly limit: number;
  readonly before?: string;
  readonly since?: Instant;
  readonly at?: Instant;
};

/** Earlier versions that had the owner of now: one that had another owner is not the current owner's to show. */
const earlier = (doc: CurrentDocument) => ({ key: doc._id, place: doc.place, owner: doc.owner });

/** One version by its id, of a resource that may be seen. */
export async function versionById(sight: Sight, doc: CurrentDocument, versionId: string): Promise<Version | undefined> {
  if (doc.no === versionId) return openedVersion(sight, doc);
  const found = await sight.collections.history.findOne(
    { ...earlier(doc), no: versionId },
    { session: sight.attempt.session, sort: { seq: -1 } },
  );
  return found === null ? undefined : openedVersion(sight, found);
}

/** One page of the versions; `total` counts all that `since` and `at` leave, wherever the page starts. */
export async function versionsOf(
  sight: Sight,
  doc: CurrentDocument,
  page: HistoryPage,
): Promise<{ readonly versions: readonly Version[]; readonly more: boolean; readonly total: number }> {
  const { session } = sight.attempt;
  const { history } = sight.collections;
  const { limit, before, since, at } = page;
  const wanted = {
    ...earlier(doc),
    ...(since === undefined && at === undefined
      ? {}
      : { updated: { ...(since === undefined ? {} : { $gte: since }), ...(at === undefined ? {} : { $lte: at }) } }),
    ...(at === undefined ? {} : { until: { $gt: at } }),
  };
  const now = (since === undefined || doc.updated >= since) && (at === undefined || doc.updated <= at);
  const total = (await history.countDocuments(wanted, { session })) + (now ? 1 : 0);
  const from = before === undefined ? Number.POSITIVE_INFINITY : await seqOf(sight, doc, before);
  if (from === undefined) return { versions: [], more: false, total };
  const found: VersionFields[] = now && doc.seq < from ? [doc] : [];
  if (found.length <= limit) {
    const rest = await history
      .find({ ...wanted, seq: { $lt: from } }, { session, sort: { seq: -1 }, limit: limit + 1 - found.length })
      .toArray();
    found.push(...rest);
  }
  return { versions: await openedVersions(sight, found.slice(0, limit)), more: found.length > limit, total };
}

/** How far a version is from the first; `undefined` when it is not one the page may speak about. */
async function seqOf(sight: Sight, doc: CurrentDocument, versionId: string): Promise<number | undefined> {
  if (doc.no === versionId) return doc.seq;
  const found = await sight.collections.history.findOne(
    { ...earlier(doc), no: versionId },
    { session: sight.attempt.session, sort: { seq: -1 }, projection: { seq: 1 } },
  );
  return found?.seq;
}

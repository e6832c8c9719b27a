/** https://hl7.org/fhir/R4/http.html#read, #vread, #history: one resource by its id. */
import { systemGuard } from '../../access/decision.ts';
import { itemsOf, redacted, withoutSecretMark } from '../../audit/event.ts';
import { instantOf } from '../../fhir/interval.ts';
import { fail, ok, type Result } from '../../fhir/result.ts';
import type { Key } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { ALL } from '../../query/predicate.ts';
import { type Answer, etagOf, noneMatchNames, versionAnswer } from '../answer.ts';
import type { FhirRequest } from '../request.ts';
import { keyOf, parsed, type Work } from '../work.ts';
import { bundleText } from './bundle-text.ts';
import { projection } from './projection.ts';

const NOT_FOUND = fail({ code: 'not-found' });
const GONE = fail({ code: 'gone' });

/** 403 when no scope of the token covers the type: known without looking at data. */
export function inScope(work: Work, letter: 'c' | 'r' | 'u' | 'd' | 's', type: string): Result<void> {
  return work.access.scopeLimit(letter, type).op === 'none'
    ? fail({ code: 'out-of-scope', needed: `${type}.${letter}` })
    : ok(undefined);
}

/** What was found of items in this unit, as long as it has written nothing: a page of the register names the same ones again and again. */
const looked = new WeakMap<Work, Map<string, boolean>>();

/** Whether an item that an AuditEvent names is in the caller's sight now (D8). */
async function seesItem(work: Work, item: string): Promise<boolean> {
  const key = keyOf(item);
  if (!work.deps.declarations.has(key.type)) return false;
  const look = () => work.unit.test(key, work.access.sight(key.type), ALL);
  if (work.written.any) return look();
  const known = looked.get(work) ?? new Map<string, boolean>();
  looked.set(work, known);
  const found = known.get(item) ?? (await look());
  known.set(item, found);
  return found;
}

/** The body as this caller sees it: an AuditEvent names no item that they could not read now (D8); everything else is served as stored. */
export async function bodyFor(work: Work, version: Version): Promise<string> {
  if (version.type !== 'AuditEvent' || work.caller.kind === 'operator' || version.body === '') return version.body;
  const event = parsed(version);
  const inSight = new Set<string>();
  for (const item of itemsOf(event)) if (await seesItem(work, item)) inSight.add(item);
  const shown = redacted(event, (item) => inSight.has(item));
  return JSON.stringify(work.caller.kind === 'professional' ? withoutSecretMark(shown) : shown);
}

const trace = (work: Work, version: Version): void => {
  work.asked.add(version.type);
  work.traces.push({ owner: version.owner, item: `${version.type}/${version.id}` });
};

export async function read(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const scope = inScope(work, 'r', key.type);
  if (!scope.ok) return scope;
  const version = await work.unit.read(key, work.access.guard(key.type, 'r'));
  if (version === undefined) return NOT_FOUND;
  trace(work, version);
  if (version.deleted) return GONE;
  if (noneMatchNames(request.headers['if-none-match'], version)) return ok({ status: 304, etag: etagOf(version) });
  const project = projection(work, request, key.type);
  if (!project.ok) return project;
  return ok(versionAnswer(200, version, project.value(await bodyFor(work, version))));
}

export async function vread(
  work: Work,
  request: FhirRequest,
  key: Key & { readonly versionId: string },
): Promise<Result<Answer>> {
  const scope = inScope(work, 'r', key.type);
  if (!scope.ok) return scope;
  const version = await work.unit.vread(key, key.versionId, work.access.guard(key.type, 'r'));
  if (version === undefined) return NOT_FOUND;
  trace(work, version);
  if (version.deleted) return GONE;
  const project = projection(work, request, key.type);
  if (!project.ok) return project;
  return ok(versionAnswer(200, version, project.value(await bodyFor(work, version))));
}

const PAGE = 50;
const LARGEST_PAGE = 200;

/** Instance history, newest first. A tombstone is an entry without resource. */
export async function history(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const scope = inScope(work, 'r', key.type);
  if (!scope.ok) return scope;
  const asked = historyParameters(request);
  if (!asked.ok) return asked;
  const { limit, before, since, at } = asked.value;
  const page = await work.unit.history(key, work.access.guard(key.type, 'r'), {
    limit,
    ...(before === undefined ? {} : { before }),
    ...(since === undefined ? {} : { since }),
    ...(at === undefined ? {} : { at }),
  });
  if (page === undefined) return NOT_FOUND;
  const entries: string[] = [];
  for (const version of page.versions) {
    trace(work, version);
    const url = `${work.deps.baseUrl}/${key.type}/${key.id}`;
    const method = version.deleted ? 'DELETE' : version.versionId === '1' ? 'POST' : 'PUT';
    const status = { DELETE: '204', POST: '201', PUT: '200' }[method];
    const asks = JSON.stringify({ method, url: method === 'POST' ? key.type : `${key.type}/${key.id}` });
    const answered = JSON.stringify({
      status,
      etag: etagOf(version),
      lastModified: new Date(version.lastUpdated).toISOString(),
    });
    const resource = version.deleted ? '' : `"resource":${await bodyFor(work, version)},`;
    entries.push(`{"fullUrl":${JSON.stringify(url)},${resource}"request":${asks},"response":${answered}}`);
  }
  if (page.versions.length === 0) {
    const current = await work.unit.read(key, systemGuard(key.type, 'audit'));
    if (current !== undefined) trace(work, current);
  }
  const last = page.versions.at(-1)?.versionId;
  const self = `${work.deps.baseUrl}/${key.type}/${key.id}/_history`;
  const period = request.query.flatMap(([n, v]) =>
    n === '_since' || n === '_at' ? [`${n}=${encodeURIComponent(v)}&`] : [],
  );
  const next =
    page.more && last !== undefined ? `${self}?${period.join('')}_count=${limit}&_before=${last}` : undefined;
  return ok({ status: 200, body: bundleText({ type: 'history', total: page.total, self, next, entries }) });
}

type HistoryPage = { readonly limit: number; readonly before?: string; readonly since?: number; readonly at?: number };

function historyParameters(request: FhirRequest): Result<HistoryPage> {
  let page: HistoryPage = { limit: PAGE };
  for (const [name, value] of request.query) {
    const bad = fail({
      code: 'malformed',
      faults: [{ text: `the parameter \`${name}\` cannot be read here`, at: name }],
    });
    switch (name) {
      case '_count':
        if (!/^[1-9][0-9]{0,5}$/.test(value)) return bad;
        page = { ...page, limit: Math.min(Number(value), LARGEST_PAGE) };
        break;
      case '_since':
      case '_at': {
        const at = instantOf(value);
        if (at === undefined) return bad;
        page = name === '_since' ? { ...page, since: at } : { ...page, at };
        break;
      }
      case '_before':
        if (!/^[1-9][0-9]{0,9}$/.test(value)) return bad;
        page = { ...page, before: value };
        break;
      case '_format':
      case '_pretty':
        break;
      default:
        return bad;
    }
  }
  return ok(page);
}

/** https://hl7.org/fhir/R4/patient-operation-everything.html: composed of guarded searches, one type after the other. */
import { isTraitsOnly } from '../../access/access.ts';
import { instantOf } from '../../fhir/interval.ts';
import { fail, malformed, ok, type Result } from '../../fhir/result.ts';
import type { Key } from '../../fhir/types.ts';
import { guarded } from '../../query/plan.ts';
import { ALL, and, range, term } from '../../query/predicate.ts';
import type { Answer } from '../answer.ts';
import type { FhirRequest } from '../request.ts';
import type { Work } from '../work.ts';
import { bundleText } from './bundle-text.ts';
import { readGiven } from './parameters.ts';
import { bodyFor } from './read.ts';

const PAGE = 100;
const LARGEST_PAGE = 500;

type Asked = {
  readonly count: number;
  readonly since: number | undefined;
  readonly types: readonly string[] | undefined;
  readonly cursor: string | undefined;
};

/** What a Parameters may state, with the elements that hold it; `_type` says its types in one list, as in an address. */
const STATED: Readonly<Record<string, readonly string[]>> = {
  _count: ['valueInteger', 'valuePositiveInt'],
  _since: ['valueInstant', 'valueDateTime'],
  _type: ['valueString', 'valueCode'],
};

function readAsked(given: ReadonlyMap<string, string>): Result<Asked> {
  let asked: Asked = { count: PAGE, since: undefined, types: undefined, cursor: undefined };
  for (const [name, value] of given) {
    const bad = malformed(`the parameter \`${name}\` cannot be read here`, name);
    switch (name) {
      case '_count':
        if (!/^[1-9][0-9]{0,5}$/.test(value)) return bad;
        asked = { ...asked, count: Math.min(Number(value), LARGEST_PAGE) };
        break;
      case '_since': {
        const since = instantOf(value);
        if (since === undefined) return bad;
        asked = { ...asked, since };
        break;
      }
      case '_type':
        asked = { ...asked, types: value.split(',') };
        break;
      case '_cursor':
        asked = { ...asked, cursor: value };
        break;
      default:
        return bad;
    }
  }
  return ok(asked);
}

export async function everything(work: Work, request: FhirRequest, key: Key): Promise<Result<Answer>> {
  const letters = (['r', 's'] as const).filter((l) => work.access.scopeLimit(l, 'Patient').op !== 'none');
  const [letter] = letters;
  if (letter === undefined) return fail({ code: 'out-of-scope', needed: 'Patient.r' });
  const given = readGiven(request, STATED);
  if (!given.ok) return given;
  const asked = readAsked(given.value);
  if (!asked.ok) return asked;
  const { count, since, types, cursor } = asked.value;
  const unknown = types?.find((t) => !work.deps.declarations.has(t));
  if (unknown !== undefined) return malformed(`the type \`${unknown}\` is not known here`, '_type');
  // C5: of a token that opens the search by traits, the permission to search is for that search alone.
  const person = isTraitsOnly(work.caller)
    ? undefined
    : await work.unit.read(key, work.access.guard('Patient', letter));
  if (person === undefined) return fail({ code: 'not-found' });
  if (person.deleted) return fail({ code: 'gone' });
  work.persons.add(`Patient/${key.id}`);
  const order = [...work.deps.declarations.values()]
    .filter((d) => d.about !== 'nobody' && d.type !== 'Binary' && work.access.hasRow(d.type))
    .map((d) => d.type)
    .filter((t) => types === undefined || types.includes(t));
  for (const type of order) work.asked.add(type);
  const context = JSON.stringify([
    work.caller.self ?? work.caller.kind,
    work.caller.claims.clientId,
    key.id,
    types ?? '',
    since ?? '',
  ]);
  const start = openCursor(work, cursor, context);
  if (!start.ok) return start;
  const entries: string[] = [];
  let { at, after } = start.value;
  for (; at < order.length && entries.length < count; at += 1) {
    const type = order[at] ?? '';
    const scope = (['s', 'r'] as const).find((l) => work.access.scopeLimit(l, type).op !== 'none');
    if (scope !== undefined) {
      const page = await work.unit.search(
        guarded(
          {
            type,
            where: and(
              term('_owner', `Patient/${key.id}`),
              since === undefined ? ALL : range('_lastUpdated', { lo: ['>=', since] }),
            ),
            sort: [],
            limit: count - entries.length,
            ...(after === undefined ? {} : { after }),
            total: false,
          },
          work.access.guard(type, scope),
        ),
      );
      for (const match of page.matches) {
        work.traces.push({ owner: match.owner, item: `${type}/${match.id}` });
        const url = JSON.stringify(`${work.deps.baseUrl}/${type}/${match.id}`);
        entries.push(`{"fullUrl":${url},"resource":${await bodyFor(work, match)},"search":{"mode":"match"}}`);
      }
      after = page.more ? page.matches.at(-1)?.position : undefined;
      if (page.more) break;
    }
    after = undefined;
  }
  const base = `${work.deps.baseUrl}/Patient/${key.id}/$everything`;
  const kept = [...given.value].filter(([n]) => n !== '_cursor');
  const link = (extra: readonly (readonly [string, string])[]): string => {
    const all = [...kept, ...extra].map(([n, v]) => `${n}=${encodeURIComponent(v)}`);
    return all.length === 0 ? base : `${base}?${all.join('&')}`;
  };
  const next =
    at < order.length
      ? link([['_cursor', work.deps.cursors.seal(JSON.stringify([work.now, at, after ?? null]), context)]])
      : undefined;
  return ok({ status: 200, body: bundleText({ type: 'searchset', self: link([]), next, entries }) });
}

type Start = { readonly at: number; readonly after: readonly (string | number | null)[] | undefined };

const CURSOR_LIFE = 15 * 60_000;

function openCursor(work: Work, cursor: string | undefined, context: string): Result<Start> {
  if (cursor === undefined) return ok({ at: 0, after: undefined });
  const opened = work.deps.cursors.open(cursor, context);
  const refused = malformed('the cursor is not one of this request, or is too old', '_cursor');
  if (opened === undefined) return refused;
  // INVARIANT: what the seal opens was written by `everything`.
  const [sealedAt, at, after] = JSON.parse(opened) as [number, number, (string | number | null)[] | null];
  return work.now - sealedAt <= CURSOR_LIFE ? ok({ at, after: after ?? undefined }) : refused;
}

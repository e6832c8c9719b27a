/**
 * Random requests about a world, through every channel of rules.md section 7, biased to where a leak would be: ids and values of what the caller may
 * not see, and links between what they may and may not see. A request is drawn from a list of numbers, so that it shrinks with them.
 */
import type { SearchParameter } from '../../server/fhir/search-parameter.ts';
import type { JsonObject } from '../../server/fhir/types.ts';
import { xmlOf } from '../../server/fhir/xml/write.ts';
import type { Instant, Item, World, WorldCaller } from '../oracle/world.ts';
import { binaryBody, consentBody, documentBody, insSystem, provenanceBody } from './fhir-bodies.ts';
import { definitions, registry, type WireRequest } from './in-process.ts';
import { type Recording, refOfItem } from './twins.ts';
import { traitsOf } from './world.ts';

/** What requests are about. */
export type Ground = {
  readonly world: World;
  readonly caller: WorldCaller;
  readonly now: Instant;
  readonly hidden: ReadonlySet<string>;
  readonly recording: Recording;
  readonly directory: Recording;
};

/** One request, without token. */
export type Ask = Omit<WireRequest, 'path'> & {
  readonly path: string;
  /** How many `next` links are followed. */
  readonly follow: number;
};

/** Choices out of a list of numbers; when it is used up, the first of everything. */
type Choices = {
  readonly below: (limit: number) => number;
  readonly of: <T>(values: readonly T[]) => T;
  /** True once in so many. */
  readonly once: (inSo: number) => boolean;
};

export function choicesOf(numbers: readonly number[]): Choices {
  let at = 0;
  const below = (limit: number): number => {
    const number = numbers[at] ?? 0;
    at += 1;
    return limit <= 0 ? 0 : number % limit;
  };
  return {
    below,
    of: (values) => {
      const value = values[below(values.length)];
      if (value === undefined) throw new Error('nothing to choose from');
      return value;
    },
    once: (inSo) => below(inSo) === inSo - 1,
  };
}

/** A link of the world, as the index has it: `from` names `to` in the search parameter `param`. */
type Link = { readonly from: string; readonly param: string; readonly to: string };

/** What is derived from a ground once. */
export type Terrain = Ground & {
  readonly hiddenItems: readonly Item[];
  readonly shownItems: readonly Item[];
  readonly links: readonly Link[];
  /** Links with a hidden end. */
  readonly hiddenLinks: readonly Link[];
};

const typeOf = (ref: string): string => ref.slice(0, ref.indexOf('/'));
const idIn = (ref: string): string => ref.slice(ref.indexOf('/') + 1);

export function terrainOf(ground: Ground): Terrain {
  const { world, hidden, recording, directory } = ground;
  const known = new Map([...directory.latest, ...recording.latest]);
  const links: Link[] = [];
  for (const [from, put] of recording.latest) {
    for (const term of put.entry.terms) {
      const [param = '', to = ''] = splitAt(term, '=');
      if (known.has(to) && registry.parameters.get(typeOf(from))?.get(param)?.type === 'reference')
        links.push({ from, param, to });
    }
  }
  return {
    ...ground,
    hiddenItems: world.items.filter((item) => hidden.has(refOfItem(item))),
    shownItems: world.items.filter((item) => !hidden.has(refOfItem(item))),
    links,
    hiddenLinks: links.filter((link) => hidden.has(link.from) || hidden.has(link.to)),
  };
}

const splitAt = (text: string, by: string): readonly [string, string] => {
  const at = text.indexOf(by);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + by.length)];
};

/** A business identifier that no document has: one's own are told to their author (rules.md section 5). */
const FRESH_MASTER = 'urn:oid:1.2.3.99999';
const NEVER = 'never-0000-existed';

/** An item to ask for: mostly a hidden one. */
function target(t: Terrain, c: Choices, only?: readonly string[]): string {
  const fits = (item: Item): boolean => only === undefined || only.includes(item.type);
  const pool = c.of([t.hiddenItems, t.hiddenItems, t.hiddenItems, t.shownItems, t.shownItems, []]).filter(fits);
  const fallback = only === undefined ? 'DocumentReference' : c.of(only);
  return pool.length === 0 ? `${fallback}/${NEVER}` : refOfItem(c.of(pool));
}

const bodyOf = (t: Terrain, ref: string): Record<string, unknown> => {
  const put = t.recording.latest.get(ref) ?? t.directory.latest.get(ref);
  return put === undefined ? { resourceType: typeOf(ref) } : (JSON.parse(put.body) as Record<string, unknown>);
};

// ---- searches -----------------------------------------------------------------------------------------------------

type Pair = readonly [name: string, value: string];

const escaped = (value: string): string => value.replaceAll(',', '\\,');

/** Conditions that a resource meets, read from its own index entry. */
function meets(t: Terrain, ref: string): readonly Pair[] {
  const put = t.recording.latest.get(ref) ?? t.directory.latest.get(ref);
  const parameters = registry.parameters.get(typeOf(ref));
  const found: Pair[] = [['_id', idIn(ref)]];
  if (put === undefined || parameters === undefined) return found;
  for (const term of put.entry.terms) {
    const [param, value] = splitAt(term, '=');
    if (parameters.has(param.split(':')[0] ?? '') && value !== '') found.push([param, escaped(value)]);
    // the server's own marks are no parameters: asking for them tells nothing
    else if (param.startsWith('_') && param !== '_has') found.push([param, escaped(value)]);
  }
  for (const { param, text } of put.entry.strings) if (parameters.has(param)) found.push([param, escaped(text)]);
  for (const { param, lo, hi } of put.entry.ranges) {
    if (parameters.get(param)?.type !== 'date' || Math.abs(lo) > 8e15) continue;
    found.push([param, new Date(lo).toISOString()]);
    if (Math.abs(hi) < 8e15) found.push([param, `le${new Date(hi).toISOString()}`]);
  }
  found.push(['_lastUpdated', new Date(put.lastUpdated).toISOString()]);
  return found;
}

const parametersOf = (type: string): readonly SearchParameter[] => [...(registry.parameters.get(type)?.values() ?? [])];

/** One condition on resources of a type, at most so many hops away. */
function condition(t: Terrain, c: Choices, type: string, hops: number): Pair {
  const kinds = ['own', 'own', 'chain', 'has', 'missing', 'not', 'link', 'any', 'updated'] as const;
  switch (c.of(kinds)) {
    case 'own':
      return c.of(meets(t, target(t, c, [type])));
    case 'chain': {
      const link = linkWhere(t, c, (one) => typeOf(one.from) === type);
      if (hops === 0 || link === undefined) return ['_id', idIn(target(t, c, [type]))];
      const [name, value] = c.once(4) ? condition(t, c, typeOf(link.to), hops - 1) : c.of(meets(t, link.to));
      return [c.once(5) ? `${link.param}.${name}` : `${link.param}:${typeOf(link.to)}.${name}`, value];
    }
    case 'has': {
      const link = linkWhere(t, c, (one) => typeOf(one.to) === type);
      if (hops === 0 || link === undefined) return ['_id', idIn(target(t, c, [type]))];
      const [name, value] = c.once(4) ? condition(t, c, typeOf(link.from), hops - 1) : c.of(meets(t, link.from));
      return [`_has:${typeOf(link.from)}:${link.param}:${name}`, value];
    }
    case 'missing': {
      const parameter = c.of(parametersOf(type));
      return [`${parameter.code}:missing`, c.of(['true', 'false'])];
    }
    case 'not': {
      const tokens = meets(t, target(t, c, [type])).filter(
        ([name]) => registry.parameters.get(type)?.get(name)?.type === 'token',
      );
      if (tokens.length === 0) return ['_id:not', idIn(target(t, c, [type]))];
      const [name, value] = c.of(tokens);
      return [`${name}:not`, value];
    }
    case 'link': {
      const link = linkWhere(t, c, (one) => typeOf(one.from) === type);
      return link === undefined ? ['_id', NEVER] : [link.param, c.once(4) ? idIn(link.to) : link.to];
    }
    case 'any': {
      const other = c.of(meets(t, target(t, c, [type])));
      const name = other[0];
      return [name, `${other[1]},${c.of([NEVER, 'x', '2026-10-01', idIn(target(t, c))])}`];
    }
    case 'updated':
      return [
        '_lastUpdated',
        `${c.of(['gt', 'lt', 'ge', 'le'])}${c.of(['2026-10-02', '2026-10-05', '2026-10-06T09:00:00Z', '2026-09-10'])}`,
      ];
  }
}

function linkWhere(t: Terrain, c: Choices, suits: (link: Link) => boolean): Link | undefined {
  // steps through the register are slow for professionals, so they are not taken too often
  const slow = t.caller.kind === 'professional' && !c.once(12);
  const fits = (link: Link): boolean => suits(link) && !(slow && typeOf(link.from) === 'AuditEvent');
  const near = t.hiddenLinks.filter(fits);
  const pool = near.length > 0 && !c.once(4) ? near : t.links.filter(fits);
  return pool.length === 0 ? undefined : c.of(pool);
}

/** What shapes an answer: pages, order, totals, what comes along. */
function controls(t: Terrain, c: Choices, type: string): readonly Pair[] {
  const pairs: Pair[] = [];
  if (!c.once(3)) pairs.push(['_count', String(1 + c.below(3))]);
  if (c.once(3)) pairs.push(['_total', c.of(['accurate', 'estimate', 'none'])]);
  if (c.once(4)) pairs.push(['_summary', c.of(['count', 'true', 'text', 'data', 'false'])]);
  if (c.once(6)) pairs.push(['_elements', c.of(['id', 'subject', 'status,type', 'entity', 'text'])]);
  if (c.once(3)) {
    const sortable = parametersOf(type).filter((one) => one.sortable);
    const key = sortable.length === 0 ? '_id' : c.of(sortable).code;
    pairs.push(['_sort', c.of([key, `-${key}`, `${key},-_lastUpdated`, '-_lastUpdated'])]);
  }
  if (c.once(2)) pairs.push(...includes(t, c, type));
  return pairs;
}

function includes(t: Terrain, c: Choices, type: string): readonly Pair[] {
  const pairs: Pair[] = [];
  const forward = linkWhere(t, c, (one) => typeOf(one.from) === type);
  const backward = linkWhere(t, c, (one) => typeOf(one.to) === type);
  if (forward !== undefined && !c.once(3)) {
    const at = c.once(3) ? `:${typeOf(forward.to)}` : '';
    pairs.push([c.once(4) ? '_include:iterate' : '_include', `${type}:${forward.param}${at}`]);
    const further = linkWhere(t, c, (one) => typeOf(one.from) === typeOf(forward.to));
    if (further !== undefined && c.once(2))
      pairs.push(['_include:iterate', `${typeOf(further.from)}:${further.param}`]);
  }
  if (backward !== undefined && !c.once(3)) {
    const at = c.once(3) ? `:${type}` : '';
    pairs.push([c.once(4) ? '_revinclude:iterate' : '_revinclude', `${typeOf(backward.from)}:${backward.param}${at}`]);
    const further = linkWhere(t, c, (one) => typeOf(one.to) === typeOf(backward.from));
    if (further !== undefined && c.once(2))
      pairs.push(['_revinclude:iterate', `${typeOf(further.from)}:${further.param}`]);
  }
  return pairs;
}

const query = (pairs: readonly Pair[]): string =>
  pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');

/** Types worth searching: those with something hidden, and those that lead to it. */
function searchedType(t: Terrain, c: Choices): string {
  const ends = c.once(3) ? [] : t.hiddenLinks.flatMap((link) => [typeOf(link.from), typeOf(link.to)]);
  const types = [...new Set([...t.hiddenItems.map((item) => item.type as string), ...ends])];
  const type = types.length === 0 || c.once(6) ? c.of([...registry.types]) : c.of(types);
  // the register has requests of its own
  return type === 'AuditEvent' ? c.of(['DocumentReference', 'Patient', 'Consent']) : type;
}

function searchPairs(t: Terrain, c: Choices, type: string): readonly Pair[] {
  const pairs: Pair[] = [];
  const number = c.of([1, 0, 1, 2, 0]);
  for (let one = 0; one < number; one += 1) pairs.push(condition(t, c, type, 2));
  // the ways in which everybody may search people
  if (type === 'Patient' && !c.once(3)) {
    const person = target(t, c, ['Patient']);
    const { ins, family, birthDate } = traitsOf(idIn(person));
    pairs.push(
      ...c.of<readonly Pair[]>([
        [['_id', idIn(person)]],
        [['identifier', `${insSystem}|${ins}`]],
        [
          ['family', family],
          ['birthdate', birthDate],
        ],
      ]),
    );
  }
  return [...pairs, ...controls(t, c, type)];
}

const GET = { method: 'GET', headers: {}, follow: 0 } as const;
const JSON_BODY = { 'content-type': 'application/fhir+json' };

function searching(t: Terrain, c: Choices): Ask {
  const type = searchedType(t, c);
  const pairs = searchPairs(t, c, type);
  const headers: Record<string, string> = c.once(8) ? { prefer: 'handling=lenient' } : {};
  switch (c.of(['get', 'get', 'post', 'compartment', 'compartment-post'] as const)) {
    case 'post':
      return form(`${type}/_search`, pairs, headers);
    case 'compartment':
      return { ...GET, headers, path: `${target(t, c, ['Patient'])}/${type}?${query(pairs)}`, follow: 3 };
    case 'compartment-post':
      return form(`${target(t, c, ['Patient'])}/${type}/_search`, pairs, headers);
    case 'get':
      return { ...GET, headers, path: `${type}?${query(pairs)}`, follow: 4 };
  }
}

const form = (path: string, pairs: readonly Pair[], headers: Readonly<Record<string, string>>): Ask => ({
  method: 'POST',
  path,
  headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
  body: query(pairs),
  follow: 2,
});

// ---- by id --------------------------------------------------------------------------------------------------------

const ETAGS = ['W/"1"', 'W/"2"', 'W/"3"', '"1"', '*'] as const;

function reading(t: Terrain, c: Choices): Ask {
  const ref = target(t, c);
  const headers: Record<string, string> = {};
  if (c.once(4)) headers['if-none-match'] = c.of(ETAGS);
  const projection = c.once(4) ? c.of(['?_summary=true', '?_elements=status', '?_summary=count']) : '';
  switch (c.of(['read', 'read', 'vread', 'history', 'head', 'everything', 'raw'] as const)) {
    case 'read':
      return { ...GET, headers, path: `${ref}${projection}` };
    case 'vread':
      return { ...GET, headers, path: `${ref}/_history/${c.of(['1', '2', '3', '4'])}` };
    case 'history':
      return {
        ...GET,
        path: `${ref}/_history${c.of(['', '?_count=1', '?_since=2026-10-01T00:00:00Z', '?_at=2026-10-05T12:00:00Z'])}`,
        follow: 3,
      };
    case 'head':
      return { ...GET, method: 'HEAD', headers, path: ref };
    case 'everything':
      return {
        ...GET,
        path: `${target(t, c, ['Patient'])}/$everything${c.of(['', '?_count=2', '?_type=DocumentReference,Binary', '?_since=2026-10-02T00:00:00Z&_count=3'])}`,
        follow: 4,
      };
    case 'raw':
      return {
        ...GET,
        headers: { accept: c.of(['*/*', 'application/fhir+json', 'text/plain']) },
        path: target(t, c, ['Binary']),
      };
  }
}

/** The labels' operations. */
function operating(t: Terrain, c: Choices): Ask {
  const ref = target(t, c, ['DocumentReference', 'DocumentReference', 'RelatedPerson', 'Immunization', 'Immunization']);
  const name = c.of(['mask', 'unmask', 'hide', 'release']);
  const parameter: Readonly<Record<string, object>> = {
    mask: { name: 'atHoldersRequest', valueBoolean: true },
    hide: { name: 'from', valueCode: c.of(['patient', 'representatives']) },
    release: { name: 'to', valueCode: c.of(['patient', 'representatives']) },
  };
  const given = parameter[name];
  return posting(`${ref}/$${name}`, {
    resourceType: 'Parameters',
    ...(given === undefined || c.once(5) ? {} : { parameter: [given] }),
  });
}

/**
 * The explanations (rules.md O4). They are computed from the rights as they stood, so only those are asked who see every right of their person: of
 * anybody else the answer says by the rules what the twin has not got any more.
 */
function explaining(t: Terrain, c: Choices): Ask {
  const side = t.caller.kind === 'patient' || t.caller.kind === 'representative';
  if (!side) return { ...GET, path: `${target(t, c)}/$who-can-see` };
  const ref = target(t, c);
  switch (c.of(['who', 'register', 'explain', 'consent', 'label'] as const)) {
    case 'who':
      return { ...GET, path: `${ref}/$who-can-see` };
    case 'register':
      return {
        ...GET,
        path: `${somePerson(t, c)}/$access-register${c.of(['', '?_count=2', '?start=2026-10-09'])}`,
        follow: 2,
      };
    case 'explain':
      return { ...GET, path: `${target(t, c, ['AuditEvent'])}/$explain` };
    case 'consent':
      return posting('Consent/$evaluate', {
        resourceType: 'Parameters',
        parameter: [{ name: 'consent', resource: freshConsent(t, c, somePerson(t, c)) }],
      });
    case 'label':
      return posting('Consent/$evaluate', {
        resourceType: 'Parameters',
        parameter: [
          { name: 'item', valueReference: { reference: ref } },
          { name: 'label', valueCode: c.of(['mask', 'unmask']) },
        ],
      });
  }
}

const posting = (path: string, body: object, headers: Readonly<Record<string, string>> = {}): Ask => ({
  method: 'POST',
  path,
  headers: { ...JSON_BODY, ...headers },
  body: JSON.stringify(body),
  follow: 0,
});

const patches = (type: string): readonly object[] => [
  { op: 'replace', path: '/status', value: type === 'Consent' ? 'inactive' : 'cancelled' },
  { op: 'test', path: '/status', value: 'current' },
  { op: 'remove', path: '/securityLabel/1' },
  { op: 'add', path: '/description', value: 'changed' },
];

/** Changes by id, with and without `If-Match`. */
function changing(t: Terrain, c: Choices): Ask {
  const ref = target(t, c);
  const headers: Record<string, string> = c.once(3) ? { 'if-match': c.of(ETAGS) } : {};
  switch (c.of(['put', 'patch', 'delete'] as const)) {
    case 'put': {
      const like = bodyOf(t, c.once(4) ? target(t, c, [typeOf(ref)]) : ref);
      return {
        method: 'PUT',
        path: ref,
        headers: { ...JSON_BODY, ...headers },
        body: JSON.stringify({ ...like, id: idIn(ref) }),
        follow: 0,
      };
    }
    case 'patch':
      return {
        method: 'PATCH',
        path: ref,
        headers: { 'content-type': 'application/json-patch+json', ...headers },
        body: JSON.stringify([c.of(patches(typeOf(ref)))]),
        follow: 0,
      };
    case 'delete':
      return { method: 'DELETE', path: ref, headers, follow: 0 };
  }
}

/** Conditional create, update, patch, delete: the condition is one that something hidden meets. */
function conditionally(t: Terrain, c: Choices): Ask {
  const type = searchedType(t, c);
  const pairs = [condition(t, c, type, 1), ...(c.once(4) ? [condition(t, c, type, 1)] : [])];
  const body = freshBody(t, c, type);
  switch (c.of(['create', 'update', 'patch', 'delete'] as const)) {
    case 'create':
      return posting(type, body, { 'if-none-exist': query(pairs) });
    case 'update':
      return {
        method: 'PUT',
        path: `${type}?${query(pairs)}`,
        headers: JSON_BODY,
        body: JSON.stringify(body),
        follow: 0,
      };
    case 'patch':
      return {
        method: 'PATCH',
        path: `${type}?${query(pairs)}`,
        headers: { 'content-type': 'application/json-patch+json' },
        body: JSON.stringify([c.of(patches(type))]),
        follow: 0,
      };
    case 'delete':
      return { method: 'DELETE', path: `${type}?${query(pairs)}`, headers: {}, follow: 0 };
  }
}

// ---- creations ----------------------------------------------------------------------------------------------------

const self = (t: Terrain): string => {
  const { caller } = t;
  switch (caller.kind) {
    case 'patient':
      return `Patient/${caller.person}`;
    case 'representative':
      return `RelatedPerson/${caller.related}`;
    case 'professional':
      return `Practitioner/${caller.person}`;
    case 'feeder':
      return `Organization/${caller.structure}`;
    default:
      return 'Organization/caisse';
  }
};

/** The person that the caller is most likely to be able to act for. */
function somePerson(t: Terrain, c: Choices): string {
  const { caller } = t;
  const limit =
    caller.kind === 'patient' ? caller.person : caller.kind === 'representative' ? caller.actsFor : caller.patient;
  return limit !== undefined && !c.once(4) ? `Patient/${limit}` : target(t, c, ['Patient']);
}

/** A body of a type that names things, hidden ones mostly, wherever the type can name any. */
function freshBody(t: Terrain, c: Choices, type: string): Record<string, unknown> {
  const person = somePerson(t, c);
  const reference = (only: readonly string[]): { readonly reference: string } => ({ reference: target(t, c, only) });
  switch (type) {
    case 'Communication':
      return {
        resourceType: type,
        status: 'completed',
        subject: { reference: person },
        sender: { reference: self(t) },
        recipient: [{ reference: c.of([person, person, 'Practitioner/dr1', 'Practitioner/dr2', 'Organization/s3']) }],
        payload: [{ contentString: 'probe' }],
        ...(c.once(2) ? { inResponseTo: [reference(['Communication'])] } : {}),
      };
    case 'List':
      return {
        ...bodyOf(t, target(t, c, ['List'])),
        resourceType: type,
        status: 'current',
        mode: 'working',
        subject: { reference: person },
        entry: [{ item: reference(['DocumentReference']) }],
      };
    case 'Provenance':
      return { ...provenanceBody(target(t, c, ['DocumentReference']), self(t), '2026-10-01T00:00:00Z') };
    case 'Consent':
      return freshConsent(t, c, person);
    case 'Binary':
      return binaryBody('probe');
    case 'Patient': {
      const of = target(t, c, ['Patient']);
      const { id: _id, meta: _meta, ...body } = bodyOf(t, of);
      return { ...body, resourceType: type };
    }
    default: {
      const like = target(t, c, [type]);
      const { id: _id, meta: _meta, ...body } = bodyOf(t, like);
      const fresh =
        type === 'DocumentReference' ? { masterIdentifier: { system: 'urn:ietf:rfc:3986', value: FRESH_MASTER } } : {};
      return { ...body, resourceType: type, ...fresh, ...namedPerson(type, person, c) };
    }
  }
}

const namedPerson = (type: string, person: string, c: Choices): Record<string, unknown> => {
  if (c.once(2)) return {};
  const element = ABOUT[type];
  return element === undefined ? {} : { [element]: { reference: person } };
};

/** By which element each type names its person. */
const ABOUT: Readonly<Record<string, string>> = {
  RelatedPerson: 'patient',
  DocumentReference: 'subject',
  CareTeam: 'subject',
  Immunization: 'patient',
  Condition: 'subject',
  AllergyIntolerance: 'patient',
  Observation: 'subject',
  QuestionnaireResponse: 'subject',
  ExplanationOfBenefit: 'patient',
  Coverage: 'beneficiary',
};

function freshConsent(t: Terrain, c: Choices, patient: string): Record<string, unknown> {
  const kind = c.of([
    'delegation',
    'professional-access',
    'organization-access',
    'space-existence',
    'attending-physician',
    'document-default',
    'care-team-default',
    'emergency-btg',
  ]);
  const actors: Readonly<Record<string, string>> = {
    delegation: target(t, c, ['RelatedPerson']),
    'professional-access': c.of([self(t), 'Practitioner/dr1', 'Practitioner/nurse']),
    'attending-physician': c.of(['Practitioner/dr1', 'Practitioner/dr2']),
    'organization-access': c.of(['Organization/s1', 'Organization/s2']),
  };
  const actor = actors[kind];
  return {
    ...consentBody({
      kind,
      patient,
      performer: c.of([patient, self(t)]),
      provision: kind === 'delegation' || kind === 'attending-physician' || !c.once(3) ? 'permit' : 'deny',
      dateTime: '2026-10-09T00:00:00Z',
      ...(actor === undefined ? {} : { actor }),
      ...(kind === 'delegation' ? { delegationKind: c.of(['caregiver', 'legal']) } : {}),
      ...(kind === 'space-existence' ? { state: c.of(['active', 'closed']) } : {}),
      ...(c.once(2) ? { declared: true } : {}),
      ...(c.once(3) ? { atHoldersRequest: true } : {}),
    }),
  };
}

function creating(t: Terrain, c: Choices): Ask {
  if (c.once(3)) return posting('', feed(t, c));
  const type = c.of([
    'Communication',
    'Consent',
    'List',
    'Provenance',
    'DocumentReference',
    'Appointment',
    'RelatedPerson',
    'CareTeam',
    'Patient',
    'Binary',
    'Practitioner',
    'AuditEvent',
    'Immunization',
    'Condition',
    'Observation',
    'Coverage',
    'Task',
  ]);
  return posting(type, freshBody(t, c, type));
}

const BINARY = 'urn:uuid:11111111-1111-4111-8111-111111111111';
const DOCUMENT = 'urn:uuid:22222222-2222-4222-8222-222222222222';

/** A transaction that feeds a document, with what it names chosen among what the caller may not see. */
function feed(t: Terrain, c: Choices): object {
  const person = somePerson(t, c);
  const traits = traitsOf(idIn(c.once(5) ? target(t, c, ['Patient']) : person));
  const subject = c.once(4) ? `Patient?identifier=${insSystem}|${traitsOf(idIn(person)).ins}` : person;
  const document: Record<string, unknown> = {
    ...documentBody({
      // a business identifier is unique for each author: another author's tells nothing, one's own is told (rules.md section 5)
      uniqueId: c.once(3) ? foreignMaster(t, c) : FRESH_MASTER,
      typeCode: c.of(['11488-4', 'DOCPAT99', '42348-3']),
      subject,
      traits,
      author: self(t),
      labels: c.of([[], ['MASQUE_PS'], ['INVISIBLE_PATIENT'], ['INVISIBLE_REPRESENTANTS_LEGAUX']]),
      date: '2026-10-09T00:00:00Z',
      binary: c.once(4) ? target(t, c, ['Binary']) : BINARY,
      title: 'probe',
      ...(c.once(2) ? { replaces: target(t, c, ['DocumentReference']) } : {}),
    }),
  };
  const entries: object[] = [
    created(BINARY, binaryBody('probe'), undefined),
    created(DOCUMENT, document, c.once(4) ? query([condition(t, c, 'DocumentReference', 1)]) : undefined),
  ];
  if (c.once(3))
    entries.push(
      created(
        'urn:uuid:3',
        provenanceBody(c.of([DOCUMENT, target(t, c, ['DocumentReference'])]), self(t), '2026-10-09T00:00:00Z'),
        undefined,
      ),
    );
  if (c.once(3)) entries.push(created('urn:uuid:4', { ...freshBody(t, c, 'List') }, undefined));
  return { resourceType: 'Bundle', type: 'transaction', entry: entries };
}

const created = (fullUrl: string, resource: object, ifNoneExist: string | undefined): object => ({
  fullUrl,
  resource,
  request: {
    method: 'POST',
    url: (resource as { readonly resourceType: string }).resourceType,
    ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
  },
});

/** The masterIdentifier of a document that somebody else filed. */
function foreignMaster(t: Terrain, c: Choices): string {
  const { caller } = t;
  const own = [self(t), caller.kind === 'professional' ? `Organization/${caller.structure}` : ''];
  const others = [...t.recording.latest.values()].filter(
    ({ key, filing }) =>
      key.type === 'DocumentReference' &&
      ![filing.by, filing.authorPerson, filing.authorStructure].some((one) => own.includes(one ?? '-')),
  );
  if (others.length === 0) return FRESH_MASTER;
  const { masterIdentifier } = JSON.parse(c.of(others).body) as {
    readonly masterIdentifier?: { readonly value?: string };
  };
  return masterIdentifier?.value ?? FRESH_MASTER;
}

// ---- bundles ------------------------------------------------------------------------------------------------------

/** Several of the others at once. */
function bundling(t: Terrain, c: Choices): Ask {
  const single = [reading, searching, changing, conditionally, operating, creating];
  const entries: object[] = [];
  const number = 1 + c.below(3);
  for (let one = 0; one < number; one += 1) {
    const ask = c.of(single)(t, c);
    // `_search` and bundles do not go into a bundle
    if (ask.path === '' || ask.path.includes('_search')) continue;
    const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch, 'if-none-exist': ifNoneExist } = ask.headers;
    entries.push({
      ...(ask.body === undefined ? {} : { fullUrl: `urn:uuid:${one}`, resource: resourceIn(ask) }),
      request: {
        method: ask.method,
        url: ask.path,
        ...(ifMatch === undefined ? {} : { ifMatch }),
        ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
        ...(ifNoneExist === undefined ? {} : { ifNoneExist }),
      },
    });
  }
  return posting('', { resourceType: 'Bundle', type: c.of(['batch', 'batch', 'transaction']), entry: entries });
}

/** A JSON Patch travels in a Binary (R4 http.html#patch); other bodies are resources. */
const resourceIn = (ask: Ask): unknown =>
  ask.headers['content-type'] === 'application/json-patch+json'
    ? {
        resourceType: 'Binary',
        contentType: 'application/json-patch+json',
        data: Buffer.from(ask.body ?? '').toString('base64'),
      }
    : JSON.parse(ask.body ?? '{}');

// ---- all ----------------------------------------------------------------------------------------------------------

/** The register: what it shows of hidden things, and whether they can be found by it. */
function register(t: Terrain, c: Choices): Ask {
  // a professional's guard on it asks for sight of every type, under every ground: the slowest search there is, so not too often
  if (t.caller.kind === 'professional' && !c.once(8)) return searching(t, c);
  const events = t.hiddenLinks.filter((link) => typeOf(link.from) === 'AuditEvent');
  const named = events.length === 0 || c.once(4) ? target(t, c) : c.of(events).to;
  const pair = c.of<Pair>([
    ['entity', named],
    [`entity:${typeOf(named)}`, idIn(named)],
    [`entity:${typeOf(named)}.${c.of(meets(t, named))[0]}`, c.of(meets(t, named))[1]],
    ['patient', target(t, c, ['Patient'])],
    ['entity:missing', c.of(['true', 'false'])],
    ['agent', c.of(['Practitioner/dr1', 'Practitioner/dr2', 'Patient/p1'])],
    ['_include', 'AuditEvent:entity'],
    ['_sort', '-date'],
  ]);
  return { ...GET, path: `AuditEvent?${query([pair, ...controls(t, c, 'AuditEvent')])}`, follow: 4 };
}

const KINDS = [
  reading,
  searching,
  searching,
  searching,
  reading,
  searching,
  searching,
  searching,
  conditionally,
  conditionally,
  changing,
  operating,
  creating,
  creating,
  bundling,
  bundling,
  explaining,
  reading,
  searching,
  searching,
  changing,
  creating,
  conditionally,
  register,
  register,
] as const;

const XML = 'application/fhir+xml';

/** The same request in XML, its body too where it is a resource that R4 defines; and a part of content, where content is asked for. */
function varied(c: Choices, ask: Ask): Ask {
  if (ask.path.startsWith('Binary/') && ask.method === 'GET' && c.once(3))
    return {
      ...ask,
      headers: { ...ask.headers, accept: '*/*', range: c.of(['bytes=0-3', 'bytes=-2', 'bytes=999999-']) },
    };
  if (!c.once(5)) return ask;
  const headers = { ...ask.headers, accept: XML };
  const body = ask.headers['content-type'] === 'application/fhir+json' ? inXml(ask.body) : undefined;
  return body === undefined ? { ...ask, headers } : { ...ask, headers: { ...headers, 'content-type': XML }, body };
}

/** `undefined` for what has no XML: it goes as it is. */
function inXml(body: string | undefined): string | undefined {
  try {
    return body === undefined ? undefined : xmlOf(JSON.parse(body) as JsonObject, definitions);
  } catch {
    return undefined;
  }
}

/** The request that a list of numbers stands for. */
export function askFor(t: Terrain, numbers: readonly number[]): Ask {
  const c = choicesOf(numbers);
  const ask = c.of(KINDS)(t, c);
  return varied(c, { ...ask, path: ask.path.replace(/\?$/, '') });
}

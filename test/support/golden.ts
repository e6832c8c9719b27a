/** How an exchange is written down: ids by the names of the story, one JSON layout, and a line for each AuditEvent. */
import type { Resource } from './fhir-bodies.ts';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const WIDTH = 116;

/** Headers that say something about the answer; the usual content type is left out. */
const HEADERS = [
  'content-type',
  'etag',
  'last-modified',
  'location',
  'allow',
  'www-authenticate',
  'content-disposition',
  'content-range',
  'accept-ranges',
];
const USUAL = 'application/fhir+json; charset=utf-8';

/** Replaces what differs between two runs by what does not. Numbers what has no name in the order in which it appears. */
export type Normaliser = {
  /** Gives the id in `Type/id` a name. */
  readonly name: (ref: string, name: string) => void;
  readonly text: (text: string) => string;
};

export function createNormaliser(base: string): Normaliser {
  const known = new Map<string, string>();
  const host = new URL(base).host;
  let unnamed = 0;
  return {
    name: (ref, name) => {
      const id = ref.split('/')[1] ?? '';
      if (!known.has(id)) known.set(id, name);
    },
    text: (text) =>
      text
        .replaceAll(base, '{{base}}')
        .replaceAll(host, '{{host}}')
        .replace(/_cursor=[\w%.~-]+/g, '_cursor={{cursor}}')
        .replace(/urn:oid:2\.25\.\d+/g, 'urn:oid:2.25.{{uuid}}')
        .replace(/urn:ietf:params:oauth:jti:[0-9a-f-]+/g, 'urn:ietf:params:oauth:jti:{{jti}}')
        .replace(UUID, (id) => {
          const name = known.get(id);
          if (name !== undefined) return name;
          unnamed += 1;
          known.set(id, `#${unnamed}`);
          return `#${unnamed}`;
        }),
  };
}

/** JSON with everything on one line that fits there. */
export function layout(value: unknown, indent = ''): string {
  const flat = flatten(value);
  if (typeof value !== 'object' || value === null || indent.length + flat.length <= WIDTH) return flat;
  const inner = `${indent}  `;
  const members = Array.isArray(value)
    ? value.map((item) => inner + layout(item, inner))
    : Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${layout(item, inner)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  return `${open}\n${members.join(',\n')}\n${indent}${close}`;
}

const flatten = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(flatten).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${flatten(item)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
};

type Meta = { readonly versionId?: string; readonly tag?: readonly { readonly code?: string }[] };

/** Leaves out what was written down before, word for word: `"= DocumentReference/letter version 1"`, `"= the outcome of 7"`. */
export function createMemory(): (value: unknown, step: number) => unknown {
  const seen = new Map<string, string>();
  const remembered = (value: unknown, step: number): unknown => {
    if (Array.isArray(value)) return value.map((item) => remembered(item, step));
    if (typeof value !== 'object' || value === null) return value;
    const { resourceType, id, meta } = value as Partial<Resource> & { readonly meta?: Meta };
    const text = JSON.stringify(value);
    const known = seen.get(text);
    if (known !== undefined) return `= ${known}`;
    const subset = meta?.tag?.some((tag) => tag.code === 'SUBSETTED') === true ? `, as in ${step}` : '';
    if (resourceType === 'OperationOutcome') seen.set(text, `the outcome of ${step}`);
    else if (resourceType !== undefined && meta?.versionId !== undefined)
      seen.set(text, `${resourceType}/${String(id)} version ${meta.versionId}${subset}`);
    else return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, remembered(item, step)]));
    return value;
  };
  return remembered;
}

/** The headers worth keeping, as lines. */
export const headerLines = (headers: Headers): readonly string[] =>
  HEADERS.flatMap((name) => {
    const value = headers.get(name);
    return value === null || value === USUAL ? [] : [`${name}: ${value}`];
  });

// ---- AuditEvents --------------------------------------------------------------------------------------------------

type Coded = { readonly system?: string; readonly code?: string };
type Who = {
  readonly reference?: string;
  readonly identifier?: { readonly value?: string };
  readonly display?: string;
};
type Agent = {
  readonly requestor?: boolean;
  readonly who?: Who;
  readonly role?: readonly { readonly coding?: readonly Coded[] }[];
  readonly purposeOfUse?: readonly { readonly coding?: readonly Coded[] }[];
  readonly extension?: readonly { readonly url?: string; readonly valueString?: string }[];
  readonly type?: { readonly coding?: readonly Coded[] };
};
type Entity = {
  readonly what?: Who;
  readonly type?: Coded;
  readonly query?: string;
  readonly detail?: readonly { readonly type: string; readonly valueString?: string }[];
};
export type AuditEvent = Resource & {
  readonly action?: string;
  readonly outcome?: string;
  readonly subtype?: readonly Coded[];
  readonly meta?: { readonly tag?: readonly Coded[] };
  readonly agent?: readonly Agent[];
  readonly entity?: readonly Entity[];
};

/** The X-Request-Id of the request that an AuditEvent is about. */
export const requestIdOf = (event: AuditEvent): string | undefined =>
  event.entity?.find((e) => e.type?.code === 'XrequestId')?.what?.identifier?.value;

/** An AuditEvent on one line, with everything that tells one from another; `called` names what its references name. */
export function auditLine(event: AuditEvent, called: (text: string) => string): string {
  const agent = event.agent?.find((a) => a.requestor === true);
  const structure = event.agent?.find((a) => a.type?.coding?.some((c) => c.code === 'PPRF'))?.who?.reference;
  const entities = event.entity ?? [];
  const references = entities.map((e) => e.what?.reference).filter((r) => r !== undefined);
  const rules = entities.flatMap((e) => e.detail ?? []).filter((d) => d.type === 'rule');
  const query = entities.find((e) => e.query !== undefined)?.query;
  const reason = agent?.extension?.find((e) => e.url?.endsWith('/access-reason') === true)?.valueString;
  const parts = [
    event.outcome === '0' ? '' : 'refused',
    `${event.action} ${event.subtype?.map((c) => c.code).join()}`,
    `by ${agent?.who?.reference ?? agent?.who?.identifier?.value}`,
    structure === undefined ? '' : `for ${structure}`,
    agent?.purposeOfUse
      ?.flatMap((p) => p.coding ?? [])
      .map((c) => c.code)
      .join() ?? '',
    reason === undefined ? '' : `“${reason}”`,
    event.meta?.tag?.some((t) => t.code === 'secret') === true ? 'in secret' : '',
    `| ${references.map(called).toSorted().join(' ') || 'about nobody'}`,
    query === undefined ? '' : `| ${Buffer.from(query, 'base64').toString('utf8')}`,
    `| ${rules
      .map((d) => d.valueString)
      .toSorted()
      .join(' ')}`,
  ];
  return called(`audit: ${parts.filter((part) => part !== '').join(' ')}`);
}

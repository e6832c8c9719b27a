/**
 * Plays the stories of `examples/` against the real server with a clock of its own, and compares every answer, and every AuditEvent that it
 * left, with the `.golden` file beside it. `npm run golden` writes those anew; read them before keeping them.
 */
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  ask,
  buildDirectory,
  buildWorld,
  createIssuers,
  refOf,
  type Variant,
  type World,
} from '../../examples/world.ts';
import {
  type AuditEvent,
  auditLine,
  createMemory,
  createNormaliser,
  headerLines,
  layout,
  type Normaliser,
  requestIdOf,
} from '../support/golden.ts';
import { type HttpFile, type HttpRequest, parseHttpFile, substitute } from '../support/http-file.ts';
import { startServer } from '../support/server.ts';

const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
const stories = readdirSync(folder).filter((file) => file.endsWith('.http'));

/** A Monday at nine in Paris; each request is a minute later. */
const MORNING = Date.parse('2026-03-02T08:00:00Z');
const MINUTE = 60_000;
/** The one story that begins before there are persons. */
const DIRECTORY_ONLY = /^01-/;

type Told = {
  readonly request: HttpRequest;
  readonly sent: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
};

type Json = { readonly [name: string]: unknown };

/** `entry.0.resource.id` in a body. */
const member = (body: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((value, key) => (value as Json | undefined)?.[key], body);

const locationIn = (text: string): string | undefined =>
  /[A-Z][A-Za-z]+\/[A-Za-z0-9.-]+(?=\/_history\/)/.exec(text)?.[0];

type Entries = readonly { readonly response?: { readonly location?: string } }[];

/** Gives what a named request created the name of the request. */
function nameCreated(name: string, { headers, text }: Told, names: World['names'], normaliser: Normaliser): void {
  const bundle = text.startsWith('{"resourceType":"Bundle"')
    ? (JSON.parse(text) as { readonly entry?: Entries })
    : undefined;
  const inXml = text.startsWith('<?xml')
    ? [...text.matchAll(/<location value="([^"]*)"/g)].map(([, url]) => url ?? '')
    : [];
  const inJson = (bundle?.entry ?? []).map((e) => e.response?.location ?? '');
  const locations = [headers.get('location') ?? '', ...inJson, ...inXml];
  const counts = new Map<string, number>();
  for (const ref of locations.map(locationIn)) {
    if (ref === undefined) continue;
    const type = ref.split('/')[0] ?? '';
    const count = (counts.get(type) ?? 0) + 1;
    counts.set(type, count);
    const called = count === 1 ? name : `${name}-${count}`;
    normaliser.name(ref, called);
    names.set(`${called}.${type}`, ref);
    if (!names.has(called)) names.set(called, ref);
  }
}

/** Everything that `{{…}}` may stand for. */
function valuesOf(story: HttpFile, world: World, told: ReadonlyMap<string, Told>): (name: string) => string {
  return (name) => {
    const variable = story.variables.get(name);
    if (variable !== undefined) return variable;
    if (name === 'base') return world.site.base;
    const line = story.tokens.get(name);
    if (line !== undefined) return world.issuers.token(world.names, line.caller, variantOf(line.members, world));
    const [first = '', ...path] = name.split('.');
    const answer = told.get(first);
    if (path.length === 0) return world.issuers.token(world.names, name, {});
    const [asked = ''] = path;
    if (/^[A-Z]/.test(asked)) return refOf(world.names, world.names.has(name) ? name : first);
    if (asked === 'id' && world.names.has(first)) return refOf(world.names, first).split('/')[1] ?? '';
    if (answer === undefined) throw new Error(`no request is called \`${first}\``);
    if (asked === 'etag') return answer.headers.get('etag') ?? '';
    const links = (member(JSON.parse(answer.text), 'link') ?? []) as readonly {
      readonly relation: string;
      readonly url: string;
    }[];
    const value =
      asked === 'next'
        ? links.find((l) => l.relation === 'next')?.url
        : member(JSON.parse(answer.text), path.join('.'));
    if (typeof value !== 'string') throw new Error(`the answer to \`${first}\` has no \`${path.join('.')}\``);
    return value;
  };
}

/** `ago=1200` mints a token that many seconds in the past. */
function variantOf({ ago, ...members }: Readonly<Record<string, unknown>>, world: World): Variant {
  return { ...members, ...(typeof ago === 'number' ? { at: world.site.now() - ago * 1000 } : {}) };
}

async function tell(file: string): Promise<string> {
  const story = parseHttpFile(readFileSync(`${folder}${file}`, 'utf8'));
  let now = MORNING;
  let issuers: World['issuers'] | undefined;
  const server = await startServer({
    clock: now,
    issuers: (base) => {
      issuers = createIssuers({ base, now: () => now });
      return issuers.entries;
    },
  });
  try {
    const site = { base: server.base, now: () => now };
    const world: World = { site, issuers: issuers!, names: new Map() };
    if (DIRECTORY_ONLY.test(file)) await buildDirectory(world);
    else await buildWorld(world);
    const normaliser = createNormaliser(server.base);
    for (const [name, ref] of world.names) normaliser.name(ref, name);
    const told = new Map<string, Told>();
    const all: Told[] = [];
    for (const request of story.requests) {
      now = request.at === undefined ? now + MINUTE : Date.parse(request.at);
      await server.setClock(now);
      if (request.wait > 0) await new Promise((resolve) => setTimeout(resolve, request.wait * 1000));
      const value = valuesOf(story, world, told);
      const sent = substitute(request.url, value);
      const answer = await fetch(sent, {
        method: request.method,
        headers: request.headers.map(([name, text]): [string, string] => [name, substitute(text, value)]),
        ...(request.body === undefined ? {} : { body: substitute(request.body, value) }),
      });
      const one = { request, sent, status: answer.status, headers: answer.headers, text: await answer.text() };
      all.push(one);
      if (request.name === undefined) continue;
      told.set(request.name, one);
      nameCreated(request.name, one, world.names, normaliser);
    }
    const events = await register(world);
    keep(all, events);
    return write(all, events, normaliser);
  } finally {
    await server.dispose();
  }
}

/** Where asked for, every resource that was answered, one a line: what an independent validator looks at (`npm run test:validator`). */
function keep(all: readonly Told[], events: readonly AuditEvent[]): void {
  const file = process.env['CARNET_GOLDEN_ANSWERS'];
  if (file === undefined) return;
  const bodies = all.filter(({ text }) => text.startsWith('{"resourceType"')).map(({ text }) => JSON.parse(text));
  const parts = bodies.flatMap((body) =>
    body.resourceType === 'Bundle' ? (body.entry ?? []).map((entry: Json) => entry['resource']) : [body],
  );
  // A part of a resource (`_summary`, `_elements`) says that it is one, and need not be whole.
  const whole = [...parts, ...events].filter(
    (resource) => resource !== undefined && !JSON.stringify(resource).includes('"SUBSETTED"'),
  );
  appendFileSync(file, whole.map((resource) => `${JSON.stringify(resource)}\n`).join(''));
}

/** Every AuditEvent there is, as the operator sees them. */
async function register(world: World): Promise<readonly AuditEvent[]> {
  const token = world.issuers.token(world.names, 'operator', {});
  const events: AuditEvent[] = [];
  for (let path: string | undefined = 'AuditEvent?_sort=date&_count=200'; path !== undefined; ) {
    const page = await ask(world.site.base, { path, token });
    if (page.status !== 200) throw new Error(`the operator cannot read the register: ${page.status} ${page.text}`);
    const bundle = page.json as unknown as {
      readonly entry?: readonly { readonly resource: AuditEvent }[];
      readonly link?: readonly { readonly relation: string; readonly url: string }[];
    };
    events.push(...(bundle.entry ?? []).map((e) => e.resource));
    path = bundle.link?.find((l) => l.relation === 'next')?.url;
  }
  return events;
}

function write(all: readonly Told[], events: readonly AuditEvent[], normaliser: Normaliser): string {
  const remembered = createMemory();
  const pieces = all.map(({ request, sent, status, headers, text }, index) => {
    const isJson = /json/.test(headers.get('content-type') ?? '') && text !== '';
    const body = isJson ? layout(remembered(JSON.parse(normaliser.text(text)), index + 1)) : normaliser.text(text);
    const audit = events
      .filter((event) => requestIdOf(event) === headers.get('x-request-id'))
      .map((event) => auditLine(event, normaliser.text))
      .toSorted();
    return [
      `### ${index + 1}. ${request.title}`,
      `${request.method} ${normaliser.text(sent).replace(/^\{\{base\}\}/, '') || '/'}`,
      `${status}`,
      ...headerLines(headers).map(normaliser.text),
      ...(body === '' ? [] : ['', body]),
      '',
      ...(audit.length === 0 ? ['audit: none'] : audit),
    ].join('\n');
  });
  return `${pieces.join('\n\n')}\n`;
}

describe('the stories of examples/', () => {
  test.each(stories)('%s', async (file) => {
    await expect(await tell(file)).toMatchFileSnapshot(`${folder}${basename(file, '.http')}.golden`);
  });

  test('each golden file belongs to a story', () => {
    const goldens = readdirSync(folder).filter((file) => file.endsWith('.golden'));
    expect(goldens.filter((file) => !stories.includes(file.replace('.golden', '.http')))).toEqual([]);
  });
});

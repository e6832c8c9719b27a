/**
 * The ledger of some clients: what each asked, whether it was answered, and whom the answer told about. And its reconciliation with the
 * register of accesses (rules.md O1): one record for each person disclosed, naming exactly what was disclosed.
 */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { Resource } from './fhir-bodies.ts';

/**
 * How far an exchange came. `unsent`: there was no server to connect to. `unanswered`: no status came. `cut`: a status came, and less
 * than the whole body. `received`: all of it.
 */
export type Fate = 'unsent' | 'unanswered' | 'cut' | 'received';

export type Exchange = {
  readonly fate: Fate;
  /** Of the monotonic clock, in milliseconds. */
  readonly invoked: number;
  readonly completed: number;
  /** 0 when no status came. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body, when it came whole and is JSON. */
  readonly json: Resource | undefined;
};

export type Ask = {
  readonly method?: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

// Unlike `fetch`, this client says how far an exchange came, and never sends anything twice.
const agent = new Agent({ keepAlive: true });

/** One request, sent once; `path` is relative to the base, or absolute. Never rejects. `answering` is called when the status comes. */
export function exchange(
  base: string,
  token: string,
  ask: Ask & { readonly answering?: (status: number) => void },
): Promise<Exchange> {
  const url = new URL(ask.path.startsWith('http') ? ask.path : `${base}/${ask.path}`);
  const sent = ask.body === undefined ? undefined : Buffer.from(JSON.stringify(ask.body));
  const invoked = performance.now();
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let status = 0;
    let headers: IncomingHttpHeaders = {};
    const end = (fate: Fate): void => {
      const body = Buffer.concat(pieces);
      const isJson = fate === 'received' && /json/.test(headers['content-type'] ?? '') && body.length > 0;
      const json = isJson ? (JSON.parse(body.toString('utf8')) as Resource) : undefined;
      resolve({ fate, invoked, completed: performance.now(), status, headers, body, json });
    };
    const asking = httpRequest(
      url,
      {
        method: ask.method ?? 'GET',
        agent,
        headers: {
          accept: 'application/fhir+json',
          authorization: `Bearer ${token}`,
          ...(sent === undefined
            ? {}
            : { 'content-type': 'application/fhir+json', 'content-length': String(sent.length) }),
          ...ask.headers,
        },
      },
      (response) => {
        status = response.statusCode ?? 0;
        headers = response.headers;
        ask.answering?.(status);
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.once('error', () => undefined);
        response.once('close', () => end(response.complete ? 'received' : 'cut'));
      },
    );
    asking.once('error', (error: Error & { readonly code?: string }) => {
      if (status === 0) end(error.code === 'ECONNREFUSED' ? 'unsent' : 'unanswered');
    });
    asking.end(sent);
  });
}

/** One line of the ledger. */
export type Line = Exchange & {
  readonly client: string;
  /** In words, for whoever reads of a fault. */
  readonly what: string;
  readonly method: string;
  readonly path: string;
  /** The `jti` of the token, which no other line has: by it a record is known to be of this line, whether or not an answer came. */
  readonly tokenId: string;
  /** What was changed in consequence, beside what the answer itself names. */
  readonly consequences: readonly string[];
  /** Persons whom the request or its token names: an empty answer about them is recorded as well. */
  readonly names: readonly string[];
  /** A text in what it writes, and in nothing that another line writes. */
  readonly marker: string | undefined;
};

/** What a client states about a request beside the request. */
export type Stating = {
  readonly what: string;
  readonly consequences?: readonly string[];
  readonly names?: readonly string[];
  readonly marker?: string;
  /** The person whom everything created by a transaction or batch is about. */
  readonly about?: string;
};

export type Ledger = {
  readonly lines: readonly Line[];
  /** Sends a request under a token that no other line has, and writes down what became of it. */
  readonly ask: (of: {
    readonly base: string;
    readonly client: string;
    readonly token: string;
    readonly ask: Ask;
    readonly stating: Stating;
  }) => Promise<Line>;
  /** Whom an item is about, as answers have shown it; the empty text: nobody. */
  readonly ownerOf: (item: string) => string | undefined;
  /** States whom an item is about. */
  readonly learn: (item: string, person: string) => void;
};

/** The `jti` of a token of ours. */
export const tokenIdOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as { readonly jti: string }).jti;

type Referring = { readonly reference?: string };
type Entry = {
  readonly resource?: Resource;
  readonly response?: { readonly status: string; readonly location?: string; readonly outcome?: Resource };
};

const DIRECTORY = ['Practitioner', 'PractitionerRole', 'Organization', 'HealthcareService', 'Location'];

const entriesIn = (resource: Resource): readonly Entry[] =>
  resource.resourceType === 'Bundle' ? ((resource.entry ?? []) as readonly Entry[]) : [];

/** `Type/id` of a location, versioned and absolute or not. */
export const itemIn = (location: string | undefined): string | undefined =>
  /([A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64})(?:\/_history\/[^/]+)?$/.exec(location ?? '')?.[1];

/** Whom a resource says it is about; `undefined` when it does not say. */
function subjectOf(resource: Resource): string | undefined {
  if (resource.resourceType === 'Patient') return `Patient/${String(resource.id)}`;
  if (DIRECTORY.includes(resource.resourceType)) return '';
  const said = [
    resource.subject,
    resource.patient,
    ...((resource.entity ?? []) as readonly { readonly what?: unknown }[]).map(({ what }) => what),
  ].map((one) => (one as Referring | undefined)?.reference);
  return said.find((reference) => reference?.startsWith('Patient/'));
}

/** Every resource in an answer; those of a Bundle in a Bundle too, and no Bundle itself. */
const resourcesIn = (resource: Resource): readonly Resource[] =>
  resource.resourceType === 'OperationOutcome'
    ? []
    : resource.resourceType === 'Bundle'
      ? entriesIn(resource).flatMap((entry) => (entry.resource === undefined ? [] : resourcesIn(entry.resource)))
      : [resource];

/** What is told to whoever watches: a request is about to be sent, or its status has come. */
export type Moment = { readonly what: string; readonly status: number | undefined };

/** An empty ledger. */
export function createLedger(watch: (moment: Moment) => void): Ledger {
  const lines: Line[] = [];
  const owners = new Map<string, string>();
  const ownerOf = (item: string): string | undefined =>
    item.startsWith('Patient/') ? item : DIRECTORY.includes(item.split('/')[0] ?? '') ? '' : owners.get(item);
  return {
    lines,
    ownerOf,
    learn: (item, person) => {
      owners.set(item, person);
    },
    ask: async ({ base, client, token, ask, stating }) => {
      const { what } = stating;
      watch({ what, status: undefined });
      const done = await exchange(base, token, { ...ask, answering: (status) => watch({ what, status }) });
      for (const resource of done.json === undefined ? [] : resourcesIn(done.json)) {
        const person = subjectOf(resource);
        if (person !== undefined) owners.set(`${resource.resourceType}/${String(resource.id)}`, person);
      }
      for (const { response } of done.json === undefined ? [] : entriesIn(done.json)) {
        const item = itemIn(response?.location);
        if (item !== undefined && stating.about !== undefined && !owners.has(item)) owners.set(item, stating.about);
      }
      const line: Line = {
        ...done,
        client,
        what,
        method: ask.method ?? 'GET',
        path: ask.path,
        tokenId: tokenIdOf(token),
        consequences: stating.consequences ?? [],
        names: stating.names ?? [],
        marker: stating.marker,
      };
      lines.push(line);
      return line;
    },
  };
}

/** An AuditEvent as far as it is reconciled. */
export type AuditRecord = {
  readonly id: string;
  readonly requestId: string;
  readonly tokenId: string;
  readonly clientId: string;
  /** The empty text: about nobody. */
  readonly person: string;
  readonly items: readonly string[];
  readonly refused: boolean;
};

/** Reads an AuditEvent (contract.md "AuditEvents on the wire"). */
export function recordOf(event: Resource): AuditRecord {
  const agents = event.agent as readonly {
    readonly requestor: boolean;
    readonly policy?: readonly string[];
    readonly who?: { readonly identifier?: { readonly value?: string } };
  }[];
  const entities = event.entity as readonly {
    readonly what?: { readonly reference?: string; readonly identifier?: { readonly value?: string } };
    readonly type?: { readonly code?: string };
  }[];
  const named = entities.flatMap(({ what }) => (what?.reference === undefined ? [] : [what.reference]));
  return {
    id: String(event.id),
    requestId: entities.find(({ type }) => type?.code === 'XrequestId')?.what?.identifier?.value ?? '',
    tokenId:
      agents
        .find(({ requestor }) => requestor)
        ?.policy?.[0]?.split(':')
        .at(-1) ?? '',
    clientId: agents[0]?.who?.identifier?.value ?? '',
    person: named.find((reference) => reference.startsWith('Patient/')) ?? '',
    items: named.filter((reference) => !reference.startsWith('Patient/')),
    refused: event.outcome !== '0',
  };
}

/** Person → the items of theirs that an answer carried or named, the Patient itself apart; nobody is the empty text. */
type Disclosed = ReadonlyMap<string, ReadonlySet<string>>;

function disclosedIn(line: Line, ownerOf: Ledger['ownerOf']): Disclosed {
  const items = new Set<string>(line.consequences);
  const { json } = line;
  if (json === undefined) {
    // Raw content, or an answer without a body: what the request named.
    const item = itemIn(line.path.split('?')[0]);
    if (item !== undefined) items.add(item);
  } else {
    for (const resource of resourcesIn(json)) items.add(`${resource.resourceType}/${String(resource.id)}`);
    for (const { response } of entriesIn(json)) {
      const item = itemIn(response?.location);
      if (item !== undefined) items.add(item);
    }
  }
  const byPerson = new Map<string, Set<string>>();
  for (const item of items) {
    const person = ownerOf(item) ?? '';
    const named = byPerson.get(person) ?? new Set<string>();
    if (item !== person) named.add(item);
    byPerson.set(person, named);
  }
  return byPerson;
}

/** Entries of a batch that were refused in a way that is recorded. */
const refusedEntries = ({ json }: Line): number =>
  json === undefined ? 0 : entriesIn(json).filter(({ response }) => isRecorded(Number(response?.status))).length;

const sameSet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean =>
  a.size === b.size && [...a].every((one) => b.has(one));

/** Refusals that say something about a person's space, or about what a caller tried. */
const isRecorded = (status: number): boolean => [403, 404, 409, 410, 422].includes(status);

export type Reconciliation = {
  /** In words, one for each disagreement. */
  readonly faults: readonly string[];
  /** Records of answers that a client has received whole. */
  readonly confirmed: number;
  /** Records of answers that nobody is known to have received, each with the line that it is of. */
  readonly unconfirmed: readonly { readonly record: AuditRecord; readonly line: Line }[];
};

/** Holds the ledger and the register against each other. `records`: every record there is of the clients of the ledger. */
export function reconcile(ledger: Ledger, records: readonly AuditRecord[]): Reconciliation {
  const faults: string[] = [];
  let confirmed = 0;
  const unconfirmed: { readonly record: AuditRecord; readonly line: Line }[] = [];
  const byToken = new Map<string, AuditRecord[]>();
  for (const record of records) byToken.set(record.tokenId, [...(byToken.get(record.tokenId) ?? []), record]);
  const requests = new Map<string, string>();

  for (const line of ledger.lines) {
    const of = byToken.get(line.tokenId) ?? [];
    byToken.delete(line.tokenId);
    const fault = (text: string): void => {
      faults.push(
        `${line.client}, ${line.what} (${line.method} ${line.path.slice(0, 120)}, ${line.fate} ${line.status}, ` +
          `request ${String(line.headers['x-request-id'])}): ${text}`,
      );
    };
    if (line.fate === 'received') confirmed += of.length;
    else unconfirmed.push(...of.map((record) => ({ record, line })));

    const ids = new Set(of.map(({ requestId }) => requestId));
    const stated = line.headers['x-request-id'];
    if (ids.size > 1) fault('its records name several requests');
    for (const id of ids) {
      if (stated !== undefined && id !== stated) fault(`recorded under the request ${id}`);
      if (requests.has(id)) fault(`recorded under a request of another: ${requests.get(id)}`);
      requests.set(id, line.what);
    }
    for (const text of faultsOf(line, of, ledger.ownerOf)) fault(text);
  }
  for (const left of byToken.values()) faults.push(`records of a request that nobody sent: ${JSON.stringify(left)}`);
  return { faults, confirmed, unconfirmed };
}

function faultsOf(line: Line, records: readonly AuditRecord[], ownerOf: Ledger['ownerOf']): readonly string[] {
  const { fate, status } = line;
  const done = records.filter(({ refused }) => !refused);
  const refused = records.filter((record) => record.refused);
  const faults: string[] = [];
  if (status >= 500) faults.push('the server failed');
  const twice = done.find(({ person }, index) => done.findIndex((one) => one.person === person) !== index);
  if (twice !== undefined) faults.push(`recorded twice for ${twice.person || 'nobody'}`);
  if (fate === 'unsent' && records.length > 0) faults.push('recorded, and never sent');
  // The first byte of an answer comes after its record (O1), whatever became of the rest.
  const isDone = status >= 200 && status < 300;
  if (isDone && done.length === 0) faults.push('answered, and not recorded');
  if (fate !== 'received') return faults;

  if (isDone) {
    const expected = disclosedIn(line, ownerOf);
    for (const [person, items] of expected) {
      const record = done.find((one) => one.person === person);
      const named = new Set(record?.items);
      if (record === undefined) faults.push(`${[...items].join()} of ${person || 'nobody'} not recorded`);
      else if (named.size !== record.items.length || !sameSet(named, items))
        faults.push(`of ${person || 'nobody'}: disclosed ${[...items].join()}, recorded ${record.items.join()}`);
    }
    for (const { person, items } of done) {
      if (expected.has(person) || (items.length === 0 && (person === '' || line.names.includes(person)))) continue;
      faults.push(`recorded for ${person || 'nobody'}, of whom nothing was disclosed`);
    }
  }
  // A refusal is recorded once for each person whom it was about; of a batch, each entry is a request of its own.
  const refusals = isDone ? refusedEntries(line) : isRecorded(status) ? 1 : 0;
  const persons = new Set(refused.map(({ person }) => person)).size;
  if (refused.length < refusals || refused.length > refusals * persons)
    faults.push(`${refusals} refusals, ${refused.length} recorded`);
  if (!isDone && done.length > 0) faults.push('refused, and recorded as done');
  return faults;
}

/** A version that the store holds. */
export type Written = { readonly item: string; readonly versionId: string };

/**
 * Holds the ledger against what is stored. `written`: marker → every version that first bears it. What was acknowledged is there once, in
 * the version that was acknowledged; what was refused is not there; what was not answered is there at most once, and recorded if it is.
 */
export function reconcileWrites(
  ledger: Ledger,
  written: ReadonlyMap<string, readonly Written[]>,
  records: readonly AuditRecord[],
): readonly string[] {
  const faults: string[] = [];
  const recorded = new Set(records.filter(({ refused }) => !refused).map(({ tokenId }) => tokenId));
  const sent = new Set(ledger.lines.map(({ marker }) => marker));
  for (const line of ledger.lines) {
    if (line.marker === undefined) continue;
    const versions = written.get(line.marker) ?? [];
    const fault = (text: string): void => {
      faults.push(
        `${line.client}, ${line.what} (${line.fate} ${line.status}): ${text}; stored: ${JSON.stringify(versions)}`,
      );
    };
    const isAcknowledged = line.status >= 200 && line.status < 300;
    if (versions.length > 1) fault('written more than once');
    if (isAcknowledged && versions.length === 0) fault('acknowledged, and not there');
    if (line.status >= 300 && versions.length > 0) fault('refused, and written');
    if (line.fate === 'unsent' && versions.length > 0) fault('never sent, and written');
    if (line.status === 0 && versions.length > 0 !== recorded.has(line.tokenId))
      fault(versions.length > 0 ? 'written, and not recorded' : 'recorded, and not written');
    const [version] = versions;
    if (line.fate !== 'received' || !isAcknowledged || version === undefined) continue;
    const { etag, location } = line.headers;
    const items = [
      location,
      ...entriesIn(line.json ?? { resourceType: 'none' }).map(({ response }) => response?.location),
    ];
    const own = line.json?.id === undefined ? undefined : `${line.json.resourceType}/${String(line.json.id)}`;
    if (![own, ...items.map(itemIn)].includes(version.item)) fault('acknowledged as another item');
    if (etag !== undefined && etag !== `W/"${version.versionId}"`) fault(`acknowledged as ${etag}`);
  }
  for (const [marker, versions] of written)
    if (!sent.has(marker)) faults.push(`nobody wrote ${marker}: ${JSON.stringify(versions)}`);
  return faults;
}

/** The dispatcher of a server in the test's own process, over a real store that holds a world; requests are plain data, no socket between. */
import { createDispatch, type Dispatched } from '../../server/app/dispatch.ts';
import type { FhirRequest } from '../../server/app/request.ts';
import type { Json } from '../../server/fhir/types.ts';
import type { ResourceStore } from '../../server/ports/store.ts';
import { baseInstant } from '../oracle/arbitraries.ts';
import type { Instant, World, WorldCaller } from '../oracle/world.ts';
import { depsFor, mintToken, storeShelf } from './in-process.ts';
import { policyOf } from './policy.ts';
import { record, sameIds } from './twins.ts';

/** A request before it is asked; `address` is below the base, query included. */
export type Asked = {
  readonly method?: FhirRequest['method'];
  readonly address: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: object;
  readonly bytes?: Uint8Array;
  /** The network address that it comes from. */
  readonly from?: string;
};

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function bodyOf({ json, bytes }: Asked): FhirRequest['body'] {
  if (json !== undefined) return { kind: 'json', value: json as Json, mediaType: 'application/fhir+json' };
  if (bytes === undefined) return { kind: 'none' };
  return { kind: 'bytes', source: once(bytes), contentType: Promise.resolve('text/plain'), wrapped: false };
}

export const requestOf = (bearer: string, asked: Asked): FhirRequest => {
  const [path = '', query = ''] = asked.address.split('?');
  return {
    method: asked.method ?? 'GET',
    path: path.split('/').filter((segment) => segment !== ''),
    query: [...new URLSearchParams(query)],
    headers: asked.headers ?? {},
    body: bodyOf(asked),
    requestId: 'request',
    bearer,
    address: asked.from ?? '192.0.2.1',
  };
};

export type Dispatching = {
  readonly store: ResourceStore;
  readonly ask: (bearer: string, asked: Asked) => Promise<Dispatched>;
  readonly token: (caller: WorldCaller) => string;
  /** The clock of the server and of its tokens. */
  readonly now: () => Instant;
  readonly setNow: (instant: Instant) => void;
  readonly dispose: () => Promise<void>;
};

/** Writes a world into a new store; `around` may stand between the dispatcher and the store, to watch it or to make it fail. */
export async function dispatching(
  world: World,
  around: (store: ResourceStore) => ResourceStore = (store) => store,
): Promise<Dispatching> {
  const shelf = await storeShelf();
  const store = await shelf.open('dispatching');
  let now = baseInstant;
  let made = 0;
  const nextId = (): string => {
    made += 1;
    return `made-${made}`;
  };
  const serving = { policy: policyOf(world.policy), now: () => now, nextId };
  const deps = depsFor({ store, ...serving });
  await record(world, store, deps, 'directory');
  await record(world, store, deps, 'persons');
  const dispatch = createDispatch(depsFor({ store: around(store), ...serving }));
  return {
    store,
    ask: (bearer, asked) => dispatch(requestOf(bearer, asked)),
    token: (caller) => mintToken(caller, sameIds(world), now),
    now: () => now,
    setNow: (instant) => {
      now = instant;
    },
    dispose: async () => {
      await store.close();
      await shelf.dispose();
    },
  };
}

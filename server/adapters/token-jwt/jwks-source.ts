/** Key sets by URL: one guarded fetch, and a cache that no caller can make us empty or refill (security.md T-04). */
import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { type KeySet, keyNamed, readKeySet, type VerificationKey } from './jwks.ts';
import { type Checked, refused } from './jws.ts';
import { parseStrictJson } from './strict-json.ts';

export const MAX_KEY_SET_BYTES = 65_536;
const FETCH_MILLISECONDS = 2_000;
const MAX_AGE_SECONDS = 3_600;
/** Below this age a set is never fetched again, whatever its cache-control says: callers must not drive our requests. */
const MIN_AGE_SECONDS = 60;
const RETRY_MILLISECONDS = 5_000;
const MAX_DEPTH = 8;

/** A fetched set and how long it may be kept, in seconds. */
export type FetchedKeySet = { readonly keys: KeySet; readonly maxAgeSeconds: number };
export type FetchKeySet = (url: URL) => Promise<Checked<FetchedKeySet>>;

/** Where the keys of one issuer come from. */
export interface KeySource {
  /** The key that a token names, at the moment of the call. */
  find(kty: string, kid: string | undefined): Promise<Checked<VerificationKey>>;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** IANA special-purpose registries: addresses that are not on the public internet. */
const NOT_PUBLIC = new BlockList();
for (const [net, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  NOT_PUBLIC.addSubnet(net, prefix, 'ipv4');
for (const [net, prefix] of [
  ['::', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  NOT_PUBLIC.addSubnet(net, prefix, 'ipv6');

const inList = (list: BlockList, address: string): boolean =>
  list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');

const bareHost = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, '$1');

/** Whether a host name or address is this machine and nothing else. */
export const isLoopbackHost = (host: string): boolean =>
  host === 'localhost' || (isIP(host) !== 0 && inList(LOOPBACK, host));

/** Why a key set must not be fetched from this address, or `undefined`: https, or http to this machine; no private address. */
export function faultOfKeySetUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) return 'is not an http(s) url';
  if (url.username !== '' || url.password !== '' || url.hash !== '') return 'carries a user, a password or a fragment';
  const host = bareHost(url);
  if (isLoopbackHost(host)) return undefined;
  if (url.protocol === 'http:') return 'is plain http to another machine';
  if (isIP(host) !== 0 && inList(NOT_PUBLIC, host)) return 'is not a public address';
  return undefined;
}

type Resolve = (
  host: string,
  options: { readonly all: true; readonly family?: number | 'IPv4' | 'IPv6' },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Name resolution for the fetch. The address checked is the address connected to, so a name that changes its mind
 * between check and use (DNS rebinding) gains nothing.
 */
export const guardedLookup =
  (resolve: Resolve): LookupFunction =>
  (host, options, done) => {
    resolve(
      host,
      { all: true, ...(options.family === undefined ? {} : { family: options.family }) },
      (error, found) => {
        const first = found?.[0];
        if (error !== null || first === undefined) return done(error ?? new Error('no address'), '', 0);
        const fits = isLoopbackHost(host)
          ? found.every(({ address }) => inList(LOOPBACK, address))
          : found.every(({ address }) => !inList(NOT_PUBLIC, address));
        if (!fits) return done(new Error('the name resolves to an address that is not allowed'), '', 0);
        return options.all === true ? done(null, found) : done(null, first.address, first.family);
      },
    );
  };

const LOOKUP = guardedLookup(systemLookup);

function maxAgeOf(cacheControl: string | undefined): number {
  const directives = (cacheControl ?? '').toLowerCase();
  const stated = /(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])/.exec(directives)?.[1];
  const wanted = /no-store|no-cache/.test(directives) ? 0 : stated === undefined ? MAX_AGE_SECONDS : Number(stated);
  return Math.min(MAX_AGE_SECONDS, Math.max(MIN_AGE_SECONDS, wanted));
}

type Answer = { readonly text: string; readonly cacheControl: string | undefined };

function get(url: URL): Promise<Checked<Answer>> {
  const { promise, resolve } = Promise.withResolvers<Checked<Answer>>();
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const outgoing = send(
    url,
    {
      agent: false,
      lookup: LOOKUP,
      // One deadline for name, connection, headers and body together: a slow answer is no answer.
      signal: AbortSignal.timeout(FETCH_MILLISECONDS),
      headers: { accept: 'application/jwk-set+json, application/json', 'accept-encoding': 'identity' },
    },
    (incoming) => {
      const stop = (why: string): void => {
        resolve(refused(why));
        outgoing.destroy();
      };
      if (incoming.statusCode !== 200) return stop(`the key set answered ${incoming.statusCode}`);
      const encoding = incoming.headers['content-encoding'];
      if (encoding !== undefined && encoding !== 'identity') return stop('the key set came compressed');
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_KEY_SET_BYTES) stop(`the key set is larger than ${MAX_KEY_SET_BYTES} bytes`);
        else chunks.push(chunk);
      });
      incoming.on('error', () => resolve(refused('the key set broke off')));
      incoming.on('end', () =>
        resolve({
          ok: true,
          value: { text: Buffer.concat(chunks).toString('utf8'), cacheControl: incoming.headers['cache-control'] },
        }),
      );
    },
  );
  outgoing.on('error', () => resolve(refused('the key set could not be fetched')));
  outgoing.end();
  return promise;
}

/** Fetches one key set: this exact URL, no redirect, at most 64 KiB, two seconds in all, nothing on a private network. */
export const fetchKeySet: FetchKeySet = async (url) => {
  const fault = faultOfKeySetUrl(url.href);
  if (fault !== undefined) return refused(`the key set url ${fault}`);
  const answer = await get(url);
  if (!answer.ok) return answer;
  const json = parseStrictJson(answer.value.text, MAX_DEPTH);
  if (!json.ok) return refused(`the key set: ${json.why}`);
  const keys = readKeySet(json.value);
  if (!keys.ok) return refused(`the key set: ${keys.why}`);
  return { ok: true, value: { keys: keys.value, maxAgeSeconds: maxAgeOf(answer.value.cacheControl) } };
};

/** The keys of an issuer whose set was given in the configuration. */
export const inlineKeys = (keys: KeySet): KeySource => ({
  find: async (kty, kid) => {
    const key = keyNamed(keys, kty, kid);
    return key === undefined ? refused('no registered key of the issuer matches') : { ok: true, value: key };
  },
});

/**
 * The keys of an issuer who publishes them: fetched when first needed, kept as long as the publisher allows and one hour
 * at most, fetched again for an unknown `kid` once a minute at most. `monotonic` is in milliseconds and never goes back (T-13).
 */
export function publishedKeys(url: URL, fetch: FetchKeySet, monotonic: () => number): KeySource {
  let current: { readonly keys: KeySet; readonly until: number } | undefined;
  let attemptedAt = Number.NEGATIVE_INFINITY;
  let inFlight: Promise<Checked<KeySet>> | undefined;

  const load = async (): Promise<Checked<KeySet>> => {
    const startedAt = monotonic();
    attemptedAt = startedAt;
    const fetched = await fetch(url);
    if (!fetched.ok) return fetched;
    const { keys, maxAgeSeconds } = fetched.value;
    current = { keys, until: startedAt + maxAgeSeconds * 1000 };
    return { ok: true, value: keys };
  };
  const refresh = (): Promise<Checked<KeySet>> => {
    inFlight ??= load().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  };

  return {
    find: async (kty, kid) => {
      const held = current !== undefined && monotonic() < current.until ? current.keys : undefined;
      const known = held === undefined ? undefined : keyNamed(held, kty, kid);
      if (known !== undefined) return { ok: true, value: known };
      const pause = held === undefined ? RETRY_MILLISECONDS : MIN_AGE_SECONDS * 1000;
      if (inFlight === undefined && monotonic() - attemptedAt < pause)
        return refused(
          held === undefined ? 'the key set could not be fetched' : 'no registered key of the issuer matches',
        );
      const keys = await refresh();
      if (!keys.ok) return keys;
      const key = keyNamed(keys.value, kty, kid);
      return key === undefined ? refused('no registered key of the issuer matches') : { ok: true, value: key };
    },
  };
}

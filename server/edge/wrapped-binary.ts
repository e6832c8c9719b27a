/**
 * A Binary in its JSON form on its way in: `data` is decoded while it arrives and never held whole.
 * https://hl7.org/fhir/R4/binary.html. Members may come in any order, so the media type is known for certain only at the end.
 */

/** Thrown through the stream for a body that is not a Binary; `text` is fit for the caller. */
export class WrappedBinaryFault extends Error {}

type Members = { resourceType?: string; contentType?: string; data?: true };

const LONGEST_MEMBER = 65_536;

/**
 * Splits the text of a Binary into its content (the iterable, to be consumed once and to the end) and its media type (known when the
 * content has ended). Faults reject both.
 */
export function unwrapBinary(source: AsyncIterable<Uint8Array>): {
  readonly content: AsyncIterable<Uint8Array>;
  readonly contentType: Promise<string>;
} {
  let settle: (type: string) => void = () => undefined;
  let spoil: (error: unknown) => void = () => undefined;
  const contentType = new Promise<string>((resolve, reject) => {
    settle = resolve;
    spoil = reject;
  });
  // A consumer that failed with the content does not look at the media type any more.
  contentType.catch(() => undefined);

  async function* content(): AsyncGenerator<Uint8Array> {
    try {
      const members: Members = {};
      yield* readMembers(source, members);
      if (members.resourceType !== 'Binary') throw new WrappedBinaryFault('the body is not a Binary');
      if (members.contentType === undefined) throw new WrappedBinaryFault('a Binary states its `contentType`');
      if (members.data === undefined) throw new WrappedBinaryFault('a Binary here carries `data`');
      settle(members.contentType);
    } catch (error) {
      spoil(error);
      throw error;
    }
  }
  return { content: content(), contentType };
}

type State = 'start' | 'key' | 'colon' | 'value' | 'comma' | 'data' | 'end';

/** A scanner of one flat JSON object: small members are collected, `data` is decoded as it comes. */
async function* readMembers(source: AsyncIterable<Uint8Array>, members: Members): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const seen = new Set<string>();
  let state = 'start' as State;
  let held = '';
  let key = '';
  let base64 = '';
  let padded = false;

  /** Decodes whole groups of four; what is left over waits. */
  const decode = (last: boolean): Uint8Array | undefined => {
    if (last && base64.length % 4 !== 0) throw new WrappedBinaryFault('`data` is not base64');
    const whole = base64.length - (base64.length % 4);
    if (whole === 0) return undefined;
    const ready = base64.slice(0, whole);
    base64 = base64.slice(whole);
    if (padded || !/^[A-Za-z0-9+/]*={0,2}$/.test(ready)) throw new WrappedBinaryFault('`data` is not base64');
    padded = ready.endsWith('=');
    return Buffer.from(ready, 'base64');
  };

  const step = (): boolean => {
    const text = held;
    switch (state) {
      case 'start': {
        const open = /^\s*\{/.exec(text.replace(/^\uFEFF/, ''));
        if (open === null) return wait(text.trim() === '', 'a resource is a JSON object');
        held = text.replace(/^\uFEFF/, '').slice(open[0].length);
        state = 'key';
        return true;
      }
      case 'key': {
        const name = /^\s*"((?:[^"\\]|\\.)*)"/.exec(text);
        if (name === null) return wait(/^\s*("[^"]*)?$/.test(text), 'a member name is expected');
        key = String(JSON.parse(`"${name[1]}"`));
        if (seen.has(key)) throw new WrappedBinaryFault(`\`${key}\` stands twice`);
        seen.add(key);
        held = text.slice(name[0].length);
        state = 'colon';
        return true;
      }
      case 'colon': {
        const colon = /^\s*:\s*/.exec(text);
        if (colon === null) return wait(text.trim() === '', 'a colon is expected');
        held = text.slice(colon[0].length);
        state = 'value';
        return true;
      }
      case 'value':
        return value(text);
      case 'data': {
        const end = text.indexOf('"');
        base64 += (end < 0 ? text : text.slice(0, end)).replace(/\\[nr]|\s+/g, '');
        held = end < 0 ? '' : text.slice(end + 1);
        if (end < 0) return false;
        state = 'comma';
        return true;
      }
      case 'comma': {
        const next = /^\s*([,}])/.exec(text);
        if (next === null) return wait(text.trim() === '', 'a comma or the end is expected');
        held = text.slice(next[0].length);
        state = next[1] === ',' ? 'key' : 'end';
        return true;
      }
      case 'end':
        if (text.trim() !== '') throw new WrappedBinaryFault('something follows the resource');
        held = '';
        return false;
      default: {
        const never: never = state;
        return never;
      }
    }
  };

  const wait = (may: boolean, otherwise: string): false => {
    if (!may || held.length > LONGEST_MEMBER) throw new WrappedBinaryFault(otherwise);
    return false;
  };

  const value = (text: string): boolean => {
    if (key === 'data') {
      const quote = /^\s*"/.exec(text);
      if (quote === null) return wait(text.trim() === '', '`data` is a string');
      members.data = true;
      held = text.slice(quote[0].length);
      state = 'data';
      return true;
    }
    const string = /^\s*"((?:[^"\\]|\\.)*)"/.exec(text);
    if (string !== null) {
      const read = String(JSON.parse(`"${string[1]}"`));
      if (key === 'resourceType') members.resourceType = read;
      else if (key === 'contentType') members.contentType = read;
      else if (!IGNORED.has(key)) throw new WrappedBinaryFault(`\`${key}\` has no meaning here`);
      held = text.slice(string[0].length);
      state = 'comma';
      return true;
    }
    if (!IGNORED.has(key)) return wait(/^\s*("[^]*)?$/.test(text), `\`${key}\` has no meaning here`);
    // `meta` is the server's own: its members are passed over, strings and braces counted.
    const end = endOfObject(text);
    if (end === undefined) return wait(/^\s*([{"][\s\S]*)?$/.test(text), `\`${key}\` cannot be read`);
    held = text.slice(end);
    state = 'comma';
    return true;
  };

  for await (const chunk of source) {
    try {
      held += decoder.decode(chunk, { stream: true });
    } catch {
      throw new WrappedBinaryFault('the body is not UTF-8');
    }
    while (step()) {
      // Each step consumes something, or waits for more text.
    }
    const ready = decode(state !== 'data' && seen.has('data') && base64 !== '');
    if (ready !== undefined) yield ready;
  }
  const rest = decode(true);
  if (rest !== undefined) yield rest;
  if (state !== 'end') throw new WrappedBinaryFault('the body ends early');
}

/** Members that the server writes itself. */
const IGNORED: ReadonlySet<string> = new Set(['id', 'meta', 'implicitRules', 'language', 'securityContext']);

/** Where a JSON object that starts the text ends; `undefined` while it does not. */
function endOfObject(text: string): number | undefined {
  const start = /^\s*\{/.exec(text);
  if (start === null) return undefined;
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (quoted) {
      if (c === '\\') at += 1;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '{') depth += 1;
    else if (c === '}') {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return undefined;
}

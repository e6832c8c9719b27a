/** What the edge writes to the log about an exchange: no id, no query string, no name, no message of an error (security.md L-03, N-08). */
import type { Instant } from '../fhir/types.ts';

export type ExchangeLine = {
  readonly event: 'exchange';
  readonly time: Instant;
  readonly requestId: string;
  /** What the client called this exchange; told apart because anybody can write anything there (security.md L-04). */
  readonly clientRequestId: string | undefined;
  readonly method: string;
  /** `Patient/[id]/_history`: never the path itself. */
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
  readonly callerKind: string | undefined;
  readonly clientId: string | undefined;
  /** The reason of a 401, which its body does not tell. */
  readonly why: string | undefined;
};

export type FaultLine = {
  readonly event: 'fault';
  readonly time: Instant;
  /** Also the id in the body of the 500. */
  readonly requestId: string;
  readonly error: string;
  readonly stack: string;
};

export interface ExchangeLog {
  write(line: ExchangeLine | FaultLine): void;
}

const MAX_CAUSES = 4;

const nameOf = (error: Error): string => {
  const code = 'code' in error && typeof error.code === 'string' ? ` ${error.code}` : '';
  return `${error.constructor.name}${code}`;
};

/** The code places of a stack, which begins with the message; a message may have lines that look like places. */
const framesOf = ({ stack = '', message }: Error): readonly string[] => {
  const start = message === '' ? 0 : stack.indexOf(message) + message.length;
  return stack
    .slice(start)
    .split('\n')
    .filter((line) => line.startsWith('    at '));
};

/** Names and code places of an error and its causes. Messages are left out: they may quote what a request held. */
export function faultOf(thrown: unknown): { readonly error: string; readonly stack: string } {
  const names: string[] = [];
  const frames: string[] = [];
  for (let at: unknown = thrown; names.length < MAX_CAUSES && at !== undefined; ) {
    if (!(at instanceof Error)) {
      names.push(`not an error but a ${typeof at}`);
      break;
    }
    names.push(nameOf(at));
    frames.push(...framesOf(at));
    at = at.cause;
  }
  return { error: names.join(', because of '), stack: frames.join('\n') };
}

/** The client's own request id as it may stand in a log: 64 characters at most, of a harmless set. */
export const clientRequestIdOf = (header: string | readonly string[] | undefined): string | undefined =>
  typeof header === 'string' ? header.slice(0, 64).replaceAll(/[^A-Za-z0-9._:-]/g, '?') : undefined;

/**
 * The server's log: one JSON object a line, fields from an allow-list. No id of a resource, no query string, no body, no token
 * ever gets here (security.md L-02, L-03, N-08).
 */
import type { HttpLog, HttpLogLine } from '../ports/log.ts';

const LONGEST = 2000;

/** Control characters and line separators end as `?`: no line can be forged, no terminal steered. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

const clean = (value: unknown): unknown =>
  typeof value === 'string' ? value.slice(0, LONGEST).replace(UNSAFE, '?') : value;

const FIELDS = [
  'level',
  'event',
  'requestId',
  'clientRequestId',
  'method',
  'route',
  'status',
  'duration',
  'callerKind',
  'clientId',
  'why',
  'detail',
] as const satisfies readonly (keyof HttpLogLine)[];

/** Writes lines with `write`, each stamped with `now` (ms). */
export const createLog = (write: (line: string) => void, now: () => number): HttpLog => ({
  write(line) {
    const shown: Record<string, unknown> = { time: new Date(now()).toISOString() };
    for (const field of FIELDS) if (line[field] !== undefined) shown[field] = clean(line[field]);
    write(`${JSON.stringify(shown)}\n`);
  },
});

export const silentLog: HttpLog = { write: () => undefined };

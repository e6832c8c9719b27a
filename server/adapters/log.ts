/**
 * The log: one JSON object on a line, fields through an allow-list, text made harmless (security.md L-02, L-03).
 * What is not in the table below does not reach the disk, whoever passes it.
 */
import type { Instant } from '../fhir/types.ts';

export type LogFields = Readonly<Record<string, string | number | undefined>>;

export interface JsonLog {
  /** Notes one line; it is written at the end of the turn. */
  write(fields: LogFields): void;
  /** Writes at once what is still waiting. */
  flush(): void;
}

type Field = 'instant' | 'number' | { readonly maxLength: number };

/** The fields in the order they are written. */
const FIELDS: Readonly<Record<string, Field>> = {
  time: 'instant',
  event: { maxLength: 16 },
  requestId: { maxLength: 64 },
  clientRequestId: { maxLength: 64 },
  method: { maxLength: 16 },
  route: { maxLength: 128 },
  status: 'number',
  durationMs: 'number',
  callerKind: { maxLength: 32 },
  clientId: { maxLength: 128 },
  why: { maxLength: 256 },
  error: { maxLength: 256 },
  stack: { maxLength: 8_192 },
};

const ENTRIES = Object.entries(FIELDS);

// JSON escapes what is below U+0020. DEL, the C1 controls (a terminal takes U+009B for ESC [), line and paragraph separators and marks
// that turn the direction of text are left to us.
const UNSAFE = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;

const textOf = (value: string, maxLength: number): string =>
  JSON.stringify(value.length > maxLength ? value.slice(0, maxLength) : value).replace(UNSAFE, escaped);

const written = (field: Field, value: string | number): string | undefined => {
  if (typeof field === 'object') return typeof value === 'string' ? textOf(value, field.maxLength) : undefined;
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined;
  return field === 'instant' ? `"${isoOf(value)}"` : String(value);
};

const isoOf = (instant: Instant): string => new Date(instant).toISOString();

/** One line of the log, line break included. */
export function logLine(fields: LogFields): string {
  let line = '';
  for (const [name, field] of ENTRIES) {
    const given = fields[name];
    const value = given === undefined ? undefined : written(field, given);
    if (value !== undefined) line += `${line === '' ? '{' : ','}"${name}":${value}`;
  }
  return line === '' ? '' : `${line}}\n`;
}

/**
 * A log that gives `sink` the lines of a turn together, a line with a `stack` at once. A sink that throws loses lines; it never
 * stops the server.
 */
export function createJsonLog(sink: (text: string) => void): JsonLog {
  let waiting = '';
  const flush = (): void => {
    const text = waiting;
    waiting = '';
    if (text === '') return;
    try {
      sink(text);
    } catch {
      // A full disk behind stderr is not a reason to refuse care.
    }
  };
  return {
    write: (fields) => {
      if (waiting === '') setImmediate(flush);
      waiting += logLine(fields);
      if (fields['stack'] !== undefined) flush();
    },
    flush,
  };
}

/** Where the log of a running server goes. */
export const toStderr = (text: string): void => {
  process.stderr.write(text);
};

/** A log that keeps nothing (`CARNET_LOG=off`). */
export const silentLog: JsonLog = { write: () => {}, flush: () => {} };

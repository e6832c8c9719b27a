/** What the edge tells the log: no id of a resource, no query string, no body, no token. Durations are milliseconds. */
export type HttpLogLine = {
  readonly level: 'info' | 'warn' | 'error';
  readonly event: string;
  readonly requestId: string;
  /** What the client calls its request: its own claim. */
  readonly clientRequestId?: string;
  readonly method?: string;
  readonly route?: string;
  readonly status?: number;
  readonly duration?: number;
  readonly callerKind?: string;
  readonly clientId?: string;
  /** Why a token was refused. */
  readonly why?: string;
  readonly detail?: string;
};

export interface HttpLog {
  write(line: HttpLogLine): void;
}

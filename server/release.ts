/** Which release this is. The day is that of the release, `YYYY-MM-DD`. */
export const RELEASE = { version: '0.1.0', date: '2026-11-22' } as const;

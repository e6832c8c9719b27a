/** Takes the place of `server/app/record.ts` in a measured process: nothing is recorded, so that the audit's price is the difference. */
export async function recordDone(): Promise<void> {}
export async function recordRefusal(): Promise<void> {}

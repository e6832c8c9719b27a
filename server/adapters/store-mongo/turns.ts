/**
 * Turns at a person, or at a resource that belongs to nobody: two units of this process that touch one would conflict in the database, so
 * the second waits here for the first. Nobody holds one turn while waiting for another, except in the order of names, so nobody waits in a circle.
 */
export type Turns = {
  /** Takes a turn that is free. */
  tryTake(name: string): boolean;
  /** Waits for a turn, at most `ms` milliseconds; answers whether it was had. */
  take(name: string, ms: number): Promise<boolean>;
  free(name: string): void;
};

type Waiting = (taken: boolean) => void;

export function createTurns(): Turns {
  const taken = new Map<string, Waiting[]>();
  return {
    tryTake(name) {
      if (taken.has(name)) return false;
      taken.set(name, []);
      return true;
    },
    take(name, ms) {
      const waiting = taken.get(name);
      if (waiting === undefined) {
        taken.set(name, []);
        return Promise.resolve(true);
      }
      return new Promise((resolve) => {
        const mine: Waiting = (had) => {
          clearTimeout(timer);
          resolve(had);
        };
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(mine), 1);
          resolve(false);
        }, ms);
        waiting.push(mine);
      });
    },
    free(name) {
      const next = taken.get(name)?.shift();
      // The turn passes on without being free in between.
      if (next === undefined) taken.delete(name);
      else next(true);
    },
  };
}

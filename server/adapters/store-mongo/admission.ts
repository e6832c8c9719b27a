/** How many units work at one time, and how many may wait: beyond that, refusing at once is kinder than a queue that only grows. */
export type Admission = {
  /** Waits at most `ms` milliseconds for a place; answers whether it was had. */
  enter(ms: number): Promise<boolean>;
  leave(): void;
};

export function admission(places: number, waiting: number): Admission {
  let free = places;
  const queue: ((had: boolean) => void)[] = [];
  return {
    enter(ms) {
      if (free > 0) {
        free -= 1;
        return Promise.resolve(true);
      }
      if (queue.length >= waiting) return Promise.resolve(false);
      return new Promise((resolve) => {
        const mine = (had: boolean): void => {
          clearTimeout(timer);
          resolve(had);
        };
        const timer = setTimeout(() => {
          queue.splice(queue.indexOf(mine), 1);
          resolve(false);
        }, ms);
        queue.push(mine);
      });
    },
    leave() {
      const next = queue.shift();
      if (next === undefined) free += 1;
      else next(true);
    },
  };
}

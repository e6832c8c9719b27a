/** A bounded memory of recent values: two generations, so that an entry costs one map operation and nothing is ever re-ordered. */
export type Recent<K, V> = {
  get(key: K): V | undefined;
  set(key: K, value: V): void;
  clear(): void;
};

/** Remembers at least the last `size` and at most twice as many values. */
export function recent<K, V>(size: number): Recent<K, V> {
  let young = new Map<K, V>();
  let old = new Map<K, V>();
  const set = (key: K, value: V): void => {
    if (young.size >= size) {
      old = young;
      young = new Map();
    }
    young.set(key, value);
  };
  return {
    get(key) {
      const found = young.get(key);
      if (found !== undefined) return found;
      const older = old.get(key);
      if (older !== undefined) set(key, older);
      return older;
    },
    set,
    clear() {
      young = new Map();
      old = new Map();
    },
  };
}

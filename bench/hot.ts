/** Reads a processor profile: `node bench/hot.ts file.cpuprofile` lists the functions by the time spent in themselves, then by what they cause. */
import { readFileSync } from 'node:fs';

type Node = {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
};
type Profile = {
  readonly nodes: readonly Node[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

export type Hot = { readonly where: string; readonly self: number; readonly total: number };

/** Functions with their shares (0 to 1) of the time in which the process did something. */
export function hotSpots(file: string): readonly Hot[] {
  // INVARIANT: a file that `serve.ts` wrote.
  const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile;
  const nodes = new Map(profile.nodes.map((n) => [n.id, n]));
  const parents = new Map<number, number>();
  for (const n of profile.nodes) for (const child of n.children ?? []) parents.set(child, n.id);
  const name = (id: number): string => {
    const frame = nodes.get(id)?.callFrame;
    const path = frame?.url.replace(/^.*\/(server|bench|node_modules)\//, '$1/') ?? '';
    return `${frame?.functionName || '(anonymous)'}${path === '' ? '' : ` ${path}:${(frame?.lineNumber ?? 0) + 1}`}`;
  };
  const self = new Map<string, number>();
  const total = new Map<string, number>();
  let busy = 0;
  profile.samples.forEach((id, i) => {
    const spent = profile.timeDeltas[i] ?? 0;
    const own = name(id);
    if (own === '(idle)' || own === '(program)') return;
    busy += spent;
    self.set(own, (self.get(own) ?? 0) + spent);
    const seen = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) seen.add(name(at));
    for (const one of seen) total.set(one, (total.get(one) ?? 0) + spent);
  });
  return [...total].map(([where, spent]) => ({ where, self: (self.get(where) ?? 0) / busy, total: spent / busy }));
}

const [file] = process.argv.slice(2);
if (import.meta.main && file !== undefined) {
  const spots = hotSpots(file);
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`.padStart(7);
  console.log('self');
  for (const h of [...spots].sort((a, b) => b.self - a.self).slice(0, 28))
    console.log(percent(h.self), percent(h.total), h.where);
  console.log('total');
  for (const h of [...spots].sort((a, b) => b.total - a.total).slice(0, 55))
    console.log(percent(h.self), percent(h.total), h.where);
}

/** The results of one run, as data and as a page to read. */
import type { Measured } from './load.ts';
import type { RawSqlite } from './raw-sqlite.ts';

export type Line = Measured & {
  readonly variant: string;
  readonly flow: string;
  readonly connections: number;
  /** Microseconds of the server's processor time for one request. */
  readonly cpu: number;
  /** Bytes, after the measurement. */
  readonly rss: number;
  /** Of content, a second; where content is what is measured. */
  readonly megabytes?: number;
};

export type Results = {
  readonly date: string;
  readonly seed: number;
  readonly quick: boolean;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memory: number;
    readonly node: string;
    readonly sqlite: string;
    readonly express: string;
    readonly commit: string;
    /** Load average over the last minute, before and after: what else ran. */
    readonly load: readonly [number, number];
  };
  readonly people: number;
  readonly documents: number;
  readonly bodyBytes: number;
  readonly diskPerDocument: number;
  readonly diskPerAuditedRead: number;
  readonly startMs: number;
  readonly rssAfterStart: number;
  readonly rssAfterLoad: number;
  readonly raw: RawSqlite;
  readonly lines: readonly Line[];
};

const find = (r: Results, variant: string, flow: string, connections: number): Line | undefined =>
  r.lines.find((l) => l.variant === variant && l.flow === flow && l.connections === connections);

type Aim = { readonly what: string; readonly aim: string; readonly reached: string; readonly met: boolean };

const WRITES: Readonly<Record<string, number>> = { transaction: 20, feed: 3, provide: 3 };
const whole = (n: number): string => Math.round(n).toLocaleString('en-US');
const share = (n: number): string => n.toFixed(2);
const percent = (n: number): string => `${(n * 100).toFixed(0)} %`;

/** Each aim with what this run reached, at 16 connections. */
export function aimsOf(r: Results): readonly Aim[] {
  const at = (variant: string, flow: string): Line | undefined => find(r, variant, flow, 16);
  const bare = at('express', 'read')?.perSecond ?? Number.NaN;
  const ratio = (flow: string): number => (at('carnet', flow)?.perSecond ?? 0) / bare;
  const atLeast = (what: string, aim: number, reached: number): Aim => ({
    what,
    aim: `≥ ${aim}`,
    reached: share(reached),
    met: reached >= aim,
  });
  const creates = at('carnet', 'create')?.perSecond ?? 0;
  const ofRaw = creates / r.raw.groupedInserts;
  const entries = (at('carnet', 'transaction')?.perSecond ?? 0) * 20;
  /** What a part costs: the processor time that leaving it out saves, as a share of the whole request. */
  const price = (without: string, flow: string): number => {
    const [all, less] = [at('carnet', flow)?.cpu, at(without, flow)?.cpu];
    return all === undefined || less === undefined ? Number.NaN : 1 - less / all;
  };
  const atMost = (what: string, aim: number, reached: number, shown: string, unit: string): Aim => ({
    what,
    aim: `≤ ${unit === '%' ? percent(aim) : `${whole(aim)} ${unit}`}`,
    reached: shown,
    met: reached <= aim,
  });
  const prices = (['read', 'documents', 'create'] as const).flatMap((flow): readonly Aim[] =>
    at('carnet-no-audit', flow) === undefined
      ? []
      : [
          atMost(
            `consent, of a ${flow}`,
            0.1,
            price('carnet-no-consent', flow),
            percent(price('carnet-no-consent', flow)),
            '%',
          ),
          atMost(
            `durable audit, of a ${flow}`,
            0.3,
            price('carnet-no-audit', flow),
            percent(price('carnet-no-audit', flow)),
            '%',
          ),
        ],
  );
  return [
    atLeast('read, of bare Express', 0.5, ratio('read')),
    atLeast('search by identifier, of bare Express', 0.35, ratio('identifier')),
    atLeast('search of 20 documents, of bare Express', 0.15, ratio('documents')),
    {
      what: 'creates a second',
      aim: '≥ 4,000, or 0.5 of raw grouped inserts',
      reached: `${whole(creates)} (${share(ofRaw)})`,
      met: creates >= 4000 || ofRaw >= 0.5,
    },
    { what: 'transaction entries a second', aim: '≥ 5,000', reached: whole(entries), met: entries >= 5000 },
    atLeast(
      'metadata, of bare Express with the same size',
      0.5,
      (at('carnet', 'metadata')?.perSecond ?? 0) / (at('express', 'metadata')?.perSecond ?? Number.NaN),
    ),
    ...prices,
    atMost('RSS after load', 250, r.rssAfterLoad / 1e6, `${whole(r.rssAfterLoad / 1e6)} MB`, 'MB'),
    atMost('disk for a document', 3000, r.diskPerDocument, `${whole(r.diskPerDocument)} B`, 'B'),
    atMost('start to first answer', 1000, r.startMs, `${whole(r.startMs)} ms`, 'ms'),
  ];
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

/** The page. */
export function pageOf(r: Results): string {
  const line = (l: Line): readonly string[] => [
    l.variant,
    l.flow,
    String(l.connections),
    whole(l.perSecond),
    WRITES[l.flow] === undefined ? '' : whole(l.perSecond * (WRITES[l.flow] ?? 1)),
    l.p50.toFixed(2),
    l.p95.toFixed(2),
    l.p99.toFixed(2),
    whole(l.cpu),
    whole(l.bytes),
    whole(l.rss / 1e6),
    l.megabytes === undefined ? '' : whole(l.megabytes),
    l.failed === 0 ? '' : String(l.failed),
  ];
  const { machine: m } = r;
  return `# Benchmark of ${r.date}, seed ${r.seed}${r.quick ? ', quick' : ''}

${m.cpu}, ${m.cores} cores, ${whole(m.memory / 1e9)} GB; Node ${m.node}, SQLite ${m.sqlite}, Express ${m.express}; source ${m.commit}.
Load average ${m.load[0].toFixed(2)} before and ${m.load[1].toFixed(2)} after. ${whole(r.people)} people, ${whole(r.documents)} documents of ${whole(r.bodyBytes)} B. Client and server share the machine.

## Aims (16 connections, one process)

${table(
  ['measure', 'aim', 'reached', 'met'],
  aimsOf(r).map((a) => [a.what, a.aim, a.reached, a.met ? 'yes' : 'no']),
)}

## Raw SQLite, same settings of durability, one thread

${table(
  ['operation', 'per second'],
  [
    ['point read', whole(r.raw.pointReads)],
    ['durable insert, 16 to a commit', whole(r.raw.groupedInserts)],
    ['durable insert, one by one', whole(r.raw.singleInserts)],
  ],
)}

## All measurements

Latencies in milliseconds; \`cpu\` is the server's processor time for one request in microseconds, kernel included.

${table(
  [
    'variant',
    'flow',
    'conn.',
    'req/s',
    'entries/s',
    'p50',
    'p95',
    'p99',
    'cpu µs',
    'body B',
    'RSS MB',
    'MB/s',
    'failed',
  ],
  r.lines.map(line),
)}

Disk: ${whole(r.diskPerDocument)} B for a document with its index; ${whole(r.diskPerAuditedRead)} B for the record of one read. RSS ${whole(r.rssAfterStart / 1e6)} MB after start, ${whole(r.rssAfterLoad / 1e6)} MB after load.
`;
}

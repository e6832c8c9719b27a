/** `compose.yaml` and `Dockerfile` as they will be read by Docker: what tests compare with the code, and what they carry out without Docker. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

export type Service = {
  readonly image?: string;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly secrets?: readonly string[];
  readonly network_mode?: string;
  readonly networks: Readonly<Record<string, { readonly ipv4_address?: string }>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
};

type Composition = {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};

/** compose.yaml, its anchors and merges resolved. */
export const composition = (): Composition => parse(textOf('compose.yaml'), { merge: true }) as Composition;
export const servicesOf = (): Composition['services'] => composition().services;
export const environmentOf = (service: Service): Readonly<Record<string, string>> => service.environment ?? {};

/** A command of compose.yaml as a container gets it: `$$` is one `$`. */
export const commandOf = (service: Service | undefined): readonly string[] =>
  (service?.command ?? []).map((word) => word.replaceAll('$$', '$'));

/** What a Dockerfile says, as far as this one goes. */
export type Image = {
  readonly from: string;
  /** What is copied, in order; each under the name that it has. */
  readonly copied: readonly string[];
  readonly run: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly cmd: readonly string[];
};

export function imageOf(): Image {
  const steps = textOf('Dockerfile')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)] as const);
  const of = (instruction: string): readonly string[] =>
    steps.filter(([name]) => name === instruction).map(([, rest]) => rest);
  return {
    from: of('FROM').join(' '),
    copied: of('COPY').flatMap((rest) => rest.split(' ').slice(0, -1)),
    run: of('RUN'),
    env: Object.fromEntries(
      of('ENV')
        .flatMap((rest) => rest.split(' '))
        .map((pair) => pair.split('=') as [string, string]),
    ),
    user: of('USER').join(' '),
    cmd: JSON.parse(of('CMD').at(-1) ?? '[]') as readonly string[],
  };
}

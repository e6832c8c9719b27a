/** Bundles as text: stored bodies are copied into place, never parsed and serialised again. */

export type BundleText = {
  readonly type: 'searchset' | 'history' | 'transaction-response' | 'batch-response';
  readonly total?: number | undefined;
  readonly self?: string | undefined;
  readonly next?: string | undefined;
  /** Serialised entries. */
  readonly entries: readonly string[];
};

const link = (relation: string, url: string | undefined): readonly string[] =>
  url === undefined ? [] : [`{"relation":"${relation}","url":${JSON.stringify(url)}}`];

/** FHIR JSON has no empty array: what is empty is left out. */
export function bundleText(bundle: BundleText): string {
  const links = [...link('self', bundle.self), ...link('next', bundle.next)];
  return [
    `{"resourceType":"Bundle","type":"${bundle.type}"`,
    bundle.total === undefined ? '' : `,"total":${bundle.total}`,
    links.length === 0 ? '' : `,"link":[${links.join(',')}]`,
    bundle.entries.length === 0 ? '' : `,"entry":[${bundle.entries.join(',')}]`,
    '}',
  ].join('');
}

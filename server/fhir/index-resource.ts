/** Resource → index entry: the only indexer. Both the search of clients and the predicates of consent read what it writes. */
import { type IndexEntry, termText } from './index-entry.ts';
import type { SearchRegistry } from './search-parameter.ts';
import { newSink } from './search-value.ts';
import type { Resource } from './types.ts';

export type IndexOptions = {
  /** The server's own base: an absolute reference under it is the relative one. */
  readonly baseUrl: string;
};

/**
 * What searches can ask of a resource. `_id`, `_lastUpdated` and the owner are the store's own; guard terms are added by who knows
 * them. A type without parameters gives an empty entry.
 */
export function indexResource(registry: SearchRegistry, resource: Resource, options: IndexOptions): IndexEntry {
  const sink = newSink(options.baseUrl);
  const sort: { readonly param: string; readonly key: string | number }[] = [];
  for (const parameter of registry.parameters.get(resource.resourceType)?.values() ?? []) {
    if (parameter.recorded) continue;
    sink.met = false;
    parameter.index(resource, resource, sink);
    if (!sink.met) continue;
    sink.terms.add(termText('_has', parameter.code));
    const key = parameter.sortable ? sink.sort.get(parameter.code) : undefined;
    if (key !== undefined) sort.push({ param: parameter.code, key });
  }
  return { terms: [...sink.terms], strings: sink.strings, ranges: sink.ranges, sort };
}

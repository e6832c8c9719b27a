/** `_summary` and `_elements` on what is answered. Without them the stored text is served as it is, unparsed. */

import { JSON_LIMITS, parseJson, stringify } from '../../fhir/json-text.ts';
import { malformed, ok, type Result } from '../../fhir/result.ts';
import { type Projection, readElements, readSummary, type Summaries } from '../../fhir/summary.ts';
import type { Resource } from '../../fhir/types.ts';
import type { SearchQuery } from '../../query/search-query.ts';
import type { FhirRequest } from '../request.ts';
import type { Work } from '../work.ts';

export type Project = (body: string) => string;

const same: Project = (body) => body;

const stored = (body: string): Resource => {
  const value = parseJson(body, JSON_LIMITS);
  if (!value.ok) throw new Error('a stored body cannot be read');
  // INVARIANT: what was stored was a resource.
  return value.value as Resource;
};

const projecting =
  (projection: Projection, summaries: Summaries): Project =>
  (body) =>
    body === '' ? body : stringify(summaries.project(stored(body), projection));

/** The projection that a search asks for. */
export function projectionFor(summaries: Summaries, _type: string, query: SearchQuery): Project {
  if (query.elements.length > 0) return projecting({ kind: 'elements', names: query.elements }, summaries);
  switch (query.summary) {
    case 'true':
      return projecting({ kind: 'summary' }, summaries);
    case 'text':
      return projecting({ kind: 'text' }, summaries);
    case 'data':
      return projecting({ kind: 'data' }, summaries);
    default:
      return same;
  }
}

/** The projection that a read asks for; any other parameter of a read is an error that names it. */
export function projection(work: Work, request: FhirRequest, _type: string): Result<Project> {
  let asked: Projection = { kind: 'whole' };
  for (const [name, value] of request.query) {
    switch (name) {
      case '_summary': {
        const mode = readSummary(value);
        if (!mode.ok) return mode;
        if (mode.value.kind === 'count') return malformed('`_summary=count` counts the matches of a search', name);
        asked = mode.value;
        break;
      }
      case '_elements': {
        const elements = readElements(value);
        if (!elements.ok) return elements;
        asked = elements.value;
        break;
      }
      case '_format':
      case '_pretty':
        break;
      default:
        return malformed(`the parameter \`${name}\` is not known here`, name);
    }
  }
  return ok(asked.kind === 'whole' ? same : projecting(asked, work.deps.summaries));
}

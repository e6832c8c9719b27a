/** A predicate as one line, the same for the same predicate: goldens, explanations, test messages. */
import { unreachable } from '../fhir/types.ts';
import type { Bound, Hop, Predicate } from './predicate.ts';

const quoted = (text: string): string => JSON.stringify(text);
const bound = (name: string, b: Bound | undefined): readonly string[] =>
  b === undefined ? [] : [`${name} ${b[0]} ${b[1]}`];
const hopText = (param: string, hop: Hop): string =>
  `${param}, ${hop.type}${hop.deleted ? ' with deleted' : ''}, ${print(hop.where)}`;

/**
 * `and(status="current", name^"mart", date[lo >= 0, hi <= 9], via(subject, Patient, …))`: `=` a term, `^` starts with, `~`
 * contains, `[…]` a range; `via` follows a reference of the resource, `from` one to it.
 */
export function print(p: Predicate): string {
  switch (p.op) {
    case 'all':
    case 'none':
      return p.op;
    case 'and':
    case 'or':
      return `${p.op}(${p.of.map(print).join(', ')})`;
    case 'not':
      return `not(${print(p.of)})`;
    case 'term':
      return `${p.param}=${quoted(p.value)}`;
    case 'prefix':
      return `${p.param}^${quoted(p.text)}`;
    case 'contains':
      return `${p.param}~${quoted(p.text)}`;
    case 'range':
      return `${p.param}[${[...bound('lo', p.lo), ...bound('hi', p.hi)].join(', ')}]`;
    case 'owner':
      return `owner(${print(p.of)})`;
    case 'via':
      return `via(${hopText(p.param, p.hop)})`;
    case 'from':
      return `from(${hopText(p.param, p.hop)})`;
    default:
      return unreachable(p);
  }
}

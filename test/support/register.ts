/** AuditEvents of the wire in the oracle's words (contract.md "AuditEvents on the wire"). */
import type { AuditEventItem } from '../oracle/world.ts';
import type { Resource } from './fhir-bodies.ts';

type Named = AuditEventItem['items'][number];
type Reference = { readonly reference?: string };
type Agent = { readonly requestor?: boolean; readonly who?: Reference };
type Tagged = { readonly tag?: readonly { readonly code?: string }[] };

/** `logical`: the world's id of one of the server's; by default they are the same. */
export function auditItemOf(resource: Resource, logical = ({ id }: Named): string => id): AuditEventItem {
  const split = (reference: string): Named => {
    const [type = '', id = ''] = reference.split('/').slice(-2);
    return { type, id: logical({ type, id }) };
  };
  const entities = (resource.entity ?? []) as readonly { readonly what?: Reference }[];
  const named = entities.flatMap(({ what }) => (what?.reference === undefined ? [] : [split(what.reference)]));
  const person = named.find(({ type }) => type === 'Patient')?.id;
  const requestor = ((resource.agent ?? []) as readonly Agent[]).find((one) => one.requestor === true);
  return {
    type: 'AuditEvent',
    id: String(resource.id),
    // an operator and the server's own clock are nobody of the register
    agent: split(requestor?.who?.reference ?? 'operator/operator'),
    items: named.filter(({ type }) => type !== 'Patient'),
    secret: ((resource.meta as Tagged | undefined)?.tag ?? []).some(({ code }) => code === 'secret'),
    ...(person === undefined ? {} : { person }),
  };
}

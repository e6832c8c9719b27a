/** `$mask`, `$unmask`, `$hide`, `$release` (contract.md "Documents"; rules.md W4 to W6). */
import {
  HIDDEN_FROM_PATIENT,
  HIDDEN_FROM_REPRESENTATIVES,
  MASKED,
  type VisibilityLabel,
} from '../../access/rules/labels.ts';
import { asText, sameJson } from '../../fhir/json.ts';
import { fail, malformed, ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Key } from '../../fhir/types.ts';
import type { Version } from '../../ports/store.ts';
import { type Answer, versionAnswer } from '../answer.ts';
import type { FhirRequest } from '../request.ts';
import { changeLabels, exempted, mayChange } from '../types/label-rights.ts';
import { labelsNow, withLabels } from '../types/labels.ts';
import { delegationNames } from '../types/related-person.ts';
import { itemHolds, parsed, refile, save, seen, type Work } from '../work.ts';
import { readParameters } from './parameters.ts';
import { mayTry } from './write.ts';

/** The types on which labels are changed by operations. */
export const LABELLED_TYPES = ['DocumentReference', 'Immunization', 'RelatedPerson'] as const;

const WHO: ReadonlyMap<string, VisibilityLabel> = new Map([
  ['patient', HIDDEN_FROM_PATIENT],
  ['representatives', HIDDEN_FROM_REPRESENTATIVES],
]);

type Asked = { readonly label: VisibilityLabel; readonly set: boolean; readonly stated: boolean | undefined };

/** The one parameter that each operation takes; `$unmask` takes none. */
const PARAMETER: Readonly<Record<string, string>> = { $mask: 'atHoldersRequest', $hide: 'from', $release: 'to' };

/** Reads the operation's Parameters; none at all are an empty list. */
function readAsked(operation: string, request: FhirRequest): Result<Asked> {
  const name = PARAMETER[operation];
  const parameters = readParameters(request, name === undefined ? [] : [name]);
  if (!parameters.ok) return parameters;
  const value = name === undefined ? undefined : parameters.value.get(name);
  switch (operation) {
    case '$mask': {
      const stated = value?.['valueBoolean'];
      if (value !== undefined && typeof stated !== 'boolean') return malformed('`atHoldersRequest` is a boolean');
      return ok({ label: MASKED, set: true, stated: stated === true });
    }
    case '$unmask':
      return ok({ label: MASKED, set: false, stated: undefined });
    default: {
      const label = WHO.get(asText(value?.['valueCode']) ?? '');
      if (label === undefined) return malformed(`\`${name}\` is the code \`patient\` or \`representatives\``);
      return ok({ label, set: operation === '$hide', stated: undefined });
    }
  }
}

export async function labelOperation(
  work: Work,
  request: FhirRequest,
  { key, operation }: { readonly key: Key; readonly operation: string },
): Promise<Result<Answer>> {
  const tried = mayTry(work, 'u', key.type);
  if (!tried.ok) return tried;
  const asked = readAsked(operation, request);
  if (!asked.ok) return asked;
  const item = await seen(work, key);
  if (item === undefined) return fail({ code: 'not-found' });
  const limit = work.access.scopeLimit('u', key.type);
  if (!(await itemHolds(work, key, limit))) return fail({ code: 'out-of-scope', needed: `${key.type}.u` });
  if (item.deleted) return fail({ code: 'gone' });
  const changed = await relabel(work, item, asked.value);
  return changed.ok ? ok(versionAnswer(200, changed.value, changed.value.body)) : changed;
}

/** Sets or lifts one label of an item that the caller sees, as W4 to W6 allow; what it already says makes no version. */
export async function relabel(work: Work, item: Version, { label, set, stated }: Asked): Promise<Result<Version>> {
  const key: Key = { type: item.type, id: item.id };
  const allowed = await mayChange(work, item, label, { set, stated });
  if (!allowed.ok) return allowed;
  if (key.type === 'RelatedPerson' && set && (await delegationNames(work, item.owner ?? `Patient/${key.id}`, key.id))) {
    return unprocessable(
      'a RelatedPerson whom a delegation names carries no label',
      'RelatedPerson.meta.security',
      'C7',
    );
  }
  const rule = label === MASKED ? (set ? 'W4' : 'W5') : 'W6';
  work.traces.push({ owner: item.owner, item: `${key.type}/${key.id}`, rule });
  const resource = parsed(item);
  // A label whose time is over counts no more; the version that a change makes leaves it out.
  const before = labelsNow(resource, item.filing, work.now);
  const after = new Set(before);
  if (set) after.add(label);
  else after.delete(label);
  if (before.has(label) === set) {
    // A write without effect makes no version; the exemption from "mask everything" (W5) is the server's own record.
    const filing = label === MASKED ? await exempted(work, item.owner, item.filing, !set) : item.filing;
    if (!sameJson({ ...filing }, { ...item.filing })) await refile(work, item, filing);
    return ok(item);
  }
  const filing = await changeLabels(work, item, before, after, stated);
  if (!filing.ok) return filing;
  const saved = await save(work, {
    key,
    before: item,
    resource: withLabels(resource, after),
    owner: item.owner,
    filing: filing.value,
    rule,
  });
  return ok(saved);
}

/**
 * https://hl7.org/fhir/R4/resource-operation-validate.html: what a write would say of a resource, without writing it. The answer is about what was sent;
 * of what is stored it tells only whether the item named by the address is there for the caller.
 */
import { asObject, asText } from '../../fhir/json.ts';
import { outcomeFound } from '../../fhir/outcome.ts';
import { claimsOf } from '../../fhir/profile-claims.ts';
import { malformed, ok, type Result } from '../../fhir/result.ts';
import type { Json, JsonObject, Key } from '../../fhir/types.ts';
import type { Finding } from '../../ports/validator.ts';
import type { Answer } from '../answer.ts';
import { heldTo } from '../profiles.ts';
import type { FhirRequest } from '../request.ts';
import { declarationOf, type Work } from '../work.ts';
import { readParameters, readQuery } from './parameters.ts';
import { mayTry, prepared, target } from './write.ts';

const MODES = ['create', 'update', 'delete', 'profile'] as const;
type Mode = (typeof MODES)[number];

type Asked = {
  readonly resource: Json | undefined;
  readonly mode: Mode | undefined;
  readonly profile: string | undefined;
};

const isMode = (text: string | undefined): text is Mode => (MODES as readonly string[]).includes(text ?? '');

/** `resource`, `mode` and `profile`: all in a Parameters, or the resource as the body and the others in the query. */
function readAsked(request: FhirRequest): Result<Asked> {
  const query = readQuery(request, ['mode', 'profile']);
  if (!query.ok) return query;
  const body = request.body.kind === 'json' ? asObject(request.body.value) : undefined;
  const bare = request.body.kind === 'json' && body?.['resourceType'] !== 'Parameters';
  const parameters = bare
    ? ok(new Map<string, JsonObject>())
    : readParameters(request, ['resource', 'mode', 'profile']);
  if (!parameters.ok) return parameters;
  const stated = (name: string, ...members: readonly string[]): string | undefined =>
    query.value.get(name) ?? members.map((m) => asText(parameters.value.get(name)?.[m])).find((t) => t !== undefined);
  const mode = stated('mode', 'valueCode');
  if (mode !== undefined && !isMode(mode)) return malformed(`\`mode\` is one of ${MODES.join(', ')}`, 'mode');
  const resource = bare ? request.body.value : parameters.value.get('resource')?.['resource'];
  return ok({ resource, mode, profile: stated('profile', 'valueUri', 'valueCanonical', 'valueUrl', 'valueString') });
}

const error = (code: string, text: string, at?: string): Finding => ({
  severity: 'error',
  code,
  text,
  ...(at === undefined ? {} : { at }),
});

/** What is wrong with a resource of a type: R4, the profile that applies, those that it claims, the one that is asked for. */
function findingsOn(work: Work, type: string, { resource, profile }: Asked): readonly Finding[] {
  const valid = prepared(work, type, resource);
  if (!valid.ok) {
    const { failure } = valid;
    const faults = failure.code === 'malformed' || failure.code === 'unprocessable' ? failure.faults : [];
    return faults.map((fault) => ({ code: 'invalid', ...fault, severity: 'error' }));
  }
  const { profiles } = work.deps;
  const unknown = claimsOf(valid.value).filter((claim) => !profiles.knows(claim));
  const asked = profile === undefined ? [] : [profile];
  return [
    ...asked
      .filter((canonical) => !profiles.knows(canonical))
      .map((canonical) => error('not-supported', `the profile \`${canonical.slice(0, 200)}\` is not known here`)),
    ...unknown.map(
      (claim): Finding => ({
        severity: 'warning',
        code: 'not-supported',
        at: `${type}.meta.profile`,
        text: `\`${claim.slice(0, 200)}\` is not known here: the claim was not checked`,
      }),
    ),
    ...profiles.check(valid.value, [...new Set([...heldTo(work, valid.value), ...asked])]),
  ];
}

/** Whether the mode can be meant here at all. */
function modeFindings(work: Work, type: string, mode: Mode, asked: Asked, key: Key | undefined): readonly Finding[] {
  const { create, update, remove } = declarationOf(work, type).writes;
  const offered = { create, update, delete: remove, profile: true }[mode];
  const id = asText(asObject(asked.resource)?.['id']);
  return [
    ...(offered === undefined ? [error('not-supported', `\`${type}\` has no ${mode} through the API`)] : []),
    ...(mode === 'update' && key !== undefined && id !== key.id
      ? [error('value', 'the id in the body is not that of the URL', `${type}.id`)]
      : []),
    ...(mode === 'update' && key === undefined
      ? [error('required', 'an update is validated at the address of its item')]
      : []),
    ...(mode === 'delete' && key === undefined
      ? [error('required', 'a deletion is validated at the address of its item')]
      : []),
  ];
}

/** `c` to validate what would be created, `u` and `d` for the others. */
const letterOf = (mode: Mode, key: Key | undefined): 'c' | 'u' | 'd' =>
  mode === 'delete' ? 'd' : mode === 'update' || (mode === 'profile' && key !== undefined) ? 'u' : 'c';

/** `[type]/$validate`, and `[type]/[id]/$validate` with a `key`. */
export async function validate(
  work: Work,
  request: FhirRequest,
  type: string,
  key: Key | undefined,
): Promise<Result<Answer>> {
  const asked = readAsked(request);
  if (!asked.ok) return asked;
  const mode = asked.value.mode ?? (key === undefined ? 'create' : 'update');
  const letter = letterOf(mode, key);
  const allowed = mayTry(work, letter, type);
  if (!allowed.ok) return allowed;
  if (key !== undefined) {
    // What is hidden is absent here too, before anything is said of what was sent.
    const found = await target(work, request, key, letter === 'd' ? 'd' : 'u');
    if (!found.ok) return found;
    work.traces.push({ owner: found.value.owner, item: `${type}/${key.id}` });
  }
  if (asked.value.resource === undefined && mode !== 'delete')
    return malformed('a `resource` is needed', 'Parameters.parameter');
  const findings = [
    ...modeFindings(work, type, mode, asked.value, key),
    ...(asked.value.resource === undefined ? [] : findingsOn(work, type, asked.value)),
  ];
  return ok({ status: 200, body: JSON.stringify(outcomeFound(findings)) });
}

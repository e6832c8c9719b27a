/** A resource against a compiled profile. R4 itself holds already: what is asked here is what the profile adds. */
import { asArray, asObject, asText, sameJson } from '../../../fhir/json.ts';
import type { Json, JsonObject, Resource } from '../../../fhir/types.ts';
import type { Finding } from '../../../ports/validator.ts';
import type { AllowedType, Check, CompiledProfile, SliceCheck, Target } from './compile.ts';
import { codesWithin, matchesPattern } from './match.ts';
import { choiceType, type Reading, referencedType, type Typed } from './node-path.ts';
import type { Conforms } from './slicing.ts';

export type Compiled = (canonical: string) => CompiledProfile | undefined;

/** One judgement: of one resource, by any number of profiles. */
export type Run = {
  readonly compiled: Compiled;
  readonly root: Resource;
  readonly reading: Reading & { readonly conforms: Conforms };
  /** What is known of a value by a profile already; a value that is being judged counts as conforming, which ends circles. */
  readonly known: Map<JsonObject, Map<string, readonly Finding[]>>;
  readonly most: number;
};

/** Where a walk stands, and what it has found. */
type Here = { readonly path: string; readonly resource: JsonObject; readonly found: Finding[] };

const shown = (text: string): string => `\`${text.slice(0, 120)}\``;

const report = (run: Run, here: Here, finding: Omit<Finding, 'severity'>, severity: Finding['severity'] = 'error') => {
  if (here.found.length < run.most) here.found.push({ ...finding, severity });
};

/** Begins the judgement of a resource. */
export const runFor = (compiled: Compiled, root: Resource, isType: (type: string) => boolean, most: number): Run => {
  const resolve = resolverOf(root);
  const run: Run = {
    compiled,
    root,
    reading: {
      resolve,
      isType,
      conforms: (value, profiles) => {
        const known = profiles.filter((url) => compiled(url) !== undefined);
        if (known.length === 0) return undefined;
        return known.some((url) => conforming(judge(run, { value, profile: url, path: '', resource: root })));
      },
    },
    known: new Map(),
    most,
  };
  return run;
};

const conforming = (found: readonly Finding[]): boolean => found.every(({ severity }) => severity !== 'error');

/** `#id` in what is contained, and `fullUrl` or `Type/id` among the entries of a Bundle. */
const resolverOf = (root: Resource): Reading['resolve'] => {
  let entries: Map<string, JsonObject> | undefined;
  const indexed = (): Map<string, JsonObject> => {
    const found = new Map<string, JsonObject>();
    for (const entry of asArray(root.entry).map(asObject)) {
      const resource = asObject(entry?.resource);
      if (resource === undefined) continue;
      const url = asText(entry?.fullUrl);
      if (url !== undefined) found.set(url, resource);
      found.set(`${asText(resource.resourceType)}/${asText(resource.id)}`, resource);
    }
    return found;
  };
  return (reference) => {
    const text = asText(reference.reference);
    if (text === undefined) return undefined;
    if (text.startsWith('#'))
      return asArray(root.contained)
        .map(asObject)
        .find((item) => item?.id === text.slice(1));
    entries ??= indexed();
    return entries.get(text);
  };
};

// ---- one value ------------------------------------------------------------------------------------------------------

type Judged = {
  readonly value: JsonObject;
  readonly profile: string;
  readonly path: string;
  readonly resource: JsonObject;
};

/** What is wrong with a value by a profile, each once. */
export const judge = (run: Run, { value, profile, path, resource }: Judged): readonly Finding[] => {
  const compiled = run.compiled(profile);
  if (compiled === undefined) return [];
  const of = run.known.get(value) ?? new Map<string, readonly Finding[]>();
  run.known.set(value, of);
  // What was judged without a place, to tell slices apart, is not what is reported.
  const key = `${path === '' || path.startsWith('.') ? '?' : ''}${compiled.url}`;
  const known = of.get(key);
  if (known !== undefined) return known;
  of.set(key, []);
  const found: Finding[] = [];
  const type = asText(value.resourceType);
  if (type !== undefined && type !== compiled.type)
    report(
      run,
      { path, resource, found },
      { code: 'value', at: path, text: `${shown(compiled.url)} is a profile of \`${compiled.type}\`` },
    );
  else
    checkValue(
      run,
      compiled.root,
      { value, type: compiled.type },
      {
        path,
        resource: type === undefined ? resource : value,
        found,
      },
    );
  of.set(key, found);
  return found;
};

const checkRules = (run: Run, check: Check, value: Json, here: Here): void => {
  for (const rule of check.rules) {
    let holds: boolean | undefined;
    try {
      holds = rule.holds(value, { resource: here.resource, root: run.root });
    } catch {
      holds = undefined;
    }
    const at = { code: 'invariant', at: here.path };
    if (holds === undefined)
      report(run, here, { ...at, text: `${rule.key} cannot be evaluated here: ${rule.human}` }, 'warning');
    else if (!holds) report(run, here, { ...at, text: `${rule.key}: ${rule.human}` }, rule.severity);
  }
};

const checkBinding = (run: Run, check: Check, value: Json, here: Here): void => {
  const { binding } = check;
  if (binding === undefined) return;
  const node = asObject(value);
  // An extension alone may say why there is no code; a text alone is outside of the set.
  if (node !== undefined && node.coding === undefined && node.code === undefined && node.extension !== undefined)
    return;
  if (codesWithin(value, binding.contains) !== false) return;
  report(
    run,
    here,
    { code: 'code-invalid', at: here.path, text: `no code of ${shown(binding.url)}` },
    binding.strength === 'required' ? 'error' : 'warning',
  );
};

/** Whether what a reference leads to, as far as it is at hand, is one of the targets. */
const leadsTo = (run: Run, reference: JsonObject, target: Target): boolean => {
  const type = referencedType(reference, run.reading.resolve);
  if (type !== undefined && target.type !== undefined && type !== target.type) return false;
  const resolved = run.reading.resolve(reference);
  if (resolved === undefined || target.profile === undefined) return true;
  return run.reading.conforms(resolved, [target.profile]) !== false;
};

const checkTargets = (run: Run, targets: readonly Target[], value: JsonObject, here: Here): void => {
  if (targets.length === 0 || typeof value.reference !== 'string') return;
  if (targets.some((target) => leadsTo(run, value, target))) return;
  const asked = targets.map((target) => target.profile ?? target.type ?? '').join(', ');
  report(run, here, { code: 'value', at: `${here.path}.reference`, text: `refers to none of ${shown(asked)}` });
};

/** The profiles of a value: one of them, of those that are loaded. */
const checkProfiles = (run: Run, allowed: AllowedType, value: JsonObject, here: Here): void => {
  const known = allowed.profiles.filter((url) => run.compiled(url) !== undefined);
  if (known.length === 0 || known.length < allowed.profiles.length) return;
  const judged = known.map((profile) => judge(run, { value, profile, path: here.path, resource: here.resource }));
  const [only] = judged;
  if (judged.length === 1 && only !== undefined) {
    for (const { severity, ...finding } of only) report(run, here, finding, severity);
  } else if (!judged.some(conforming)) {
    report(run, here, { code: 'value', at: here.path, text: `conforms to none of ${shown(known.join(', '))}` });
  }
};

const checkTypes = (run: Run, check: Check, { value, type }: Typed, here: Here): void => {
  const { types } = check;
  if (types === undefined) return;
  const node = asObject(value);
  const actual = asText(node?.resourceType) ?? type;
  const [first] = types.values();
  const allowed =
    actual === undefined
      ? first
      : (types.get(actual) ?? (check.choice ? undefined : (types.get('Resource') ?? types.get('DomainResource'))));
  if (actual !== undefined && allowed === undefined && (check.choice || node?.resourceType !== undefined)) {
    report(run, here, { code: 'value', at: here.path, text: `\`${actual}\` is not a type that the profile has here` });
    return;
  }
  if (allowed === undefined || node === undefined) return;
  checkProfiles(run, allowed, node, here);
  checkTargets(run, allowed.targets, node, here);
};

function checkValue(run: Run, check: Check, typed: Typed, here: Here): void {
  const { value } = typed;
  if (here.found.length >= run.most || value === null) return;
  if (check.fixed !== undefined && !sameJson(value, check.fixed))
    report(run, here, {
      code: 'value',
      at: here.path,
      text: `is ${shown(JSON.stringify(check.fixed))} by the profile`,
    });
  if (check.pattern !== undefined && !matchesPattern(value, check.pattern))
    report(run, here, {
      code: 'value',
      at: here.path,
      text: `contains ${shown(JSON.stringify(check.pattern))} by the profile`,
    });
  checkBinding(run, check, value, here);
  checkTypes(run, check, typed, here);
  checkRules(run, check, value, here);
  const node = asObject(value);
  if (node === undefined) return;
  for (const child of check.children) checkElement(run, child, node, here);
}

// ---- one element with all its values --------------------------------------------------------------------------------

type Value = Typed & { readonly path: string };

/** The values of an element; a primitive that has an extension alone counts, with `null` in its place. */
function valuesOf(run: Run, check: Check, node: JsonObject, here: Here): readonly Value[] {
  const { name } = check;
  if (!check.choice) return listed(node[name], node[`_${name}`], `${here.path}.${name}`, undefined);
  for (const member in node) {
    const plain = member.startsWith('_') ? member.slice(1) : member;
    const type = choiceType(plain, name, run.reading.isType);
    if (type !== undefined) return listed(node[plain], node[`_${plain}`], `${here.path}.${name}`, type);
  }
  return [];
}

const listed = (
  value: Json | undefined,
  beside: Json | undefined,
  path: string,
  type: string | undefined,
): readonly Value[] => {
  if (Array.isArray(value) || Array.isArray(beside)) {
    const items = asArray(value);
    const count = Math.max(items.length, asArray(beside).length);
    return Array.from({ length: count }, (_, i) => ({ value: items[i] ?? null, type, path: `${path}[${i}]` }));
  }
  if (value === undefined && beside === undefined) return [];
  return [{ value: value ?? null, type, path }];
};

const checkCount = (run: Run, check: Check, count: number, here: Here, path: string): void => {
  const called = 'sliceName' in check ? ` of the slice \`${String(check.sliceName)}\`` : '';
  if (count < check.min)
    report(run, here, {
      code: 'required',
      at: path,
      text: `at least ${check.min}${called} by the profile, not ${count}`,
    });
  if (count > check.max)
    report(run, here, {
      code: 'structure',
      at: path,
      text: `at most ${check.max}${called} by the profile, not ${count}`,
    });
};

function checkElement(run: Run, check: Check, node: JsonObject, here: Here): void {
  const values = valuesOf(run, check, node, here);
  const path = `${here.path}.${check.name}`;
  checkCount(run, check, values.length, here, path);
  for (const value of values) checkValue(run, check, value, { ...here, path: value.path });
  if (check.slices.length > 0) checkSlices(run, check, values, here, path);
}

/** In which slice a value is; `undefined`: nobody can tell. */
const sliceOf = (run: Run, check: Check, value: Value): SliceCheck | 'none' | undefined => {
  let unsure = false;
  for (const slice of check.slices) {
    const said = slice.discriminators.map((discriminator) => discriminator(value, run.reading));
    if (said.includes(false)) continue;
    if (!said.includes(undefined)) return slice;
    unsure = true;
  }
  return unsure ? undefined : 'none';
};

function checkSlices(run: Run, check: Check, values: readonly Value[], here: Here, path: string): void {
  const counts = new Map<SliceCheck, number>();
  let unsure = false;
  for (const value of values) {
    const slice = sliceOf(run, check, value);
    if (slice === undefined) unsure = true;
    else if (slice === 'none') {
      if (check.closed)
        report(run, here, { code: 'structure', at: value.path, text: 'is in none of the slices, which are closed' });
    } else {
      counts.set(slice, (counts.get(slice) ?? 0) + 1);
      checkValue(run, slice, value, { ...here, path: value.path });
    }
  }
  for (const slice of check.slices) {
    const count = counts.get(slice) ?? 0;
    if (count > slice.max || !unsure) checkCount(run, slice, count, here, path);
  }
}

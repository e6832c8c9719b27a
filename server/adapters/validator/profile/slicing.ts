/** Which values belong to a slice. https://hl7.org/fhir/R4/profiling.html#discriminator */
import { asArray, asObject, asText } from '../../../fhir/json.ts';
import type { Json, JsonObject } from '../../../fhir/types.ts';
import { withoutVersion } from './canonicals.ts';
import type { Sources } from './compile.ts';
import { type ElementTree, fixedOf, patternOf, treeOf } from './elements.ts';
import { codesWithin, matchesPattern } from './match.ts';
import { type Reading, referencedType, type Step, stepsIn, type Typed, valuesAt } from './node-path.ts';

/** Whether a value conforms to one of some profiles; `undefined` where none of them is loaded. */
export type Conforms = (value: JsonObject, profiles: readonly string[]) => boolean | undefined;

/** Whether a value is of the slice, as far as one discriminator goes; `undefined`: nobody can tell. */
export type Discriminator = (value: Typed, reading: Reading & { readonly conforms: Conforms }) => boolean | undefined;

type Slicing = { readonly slice: ElementTree; readonly sliced: ElementTree; readonly sources: Sources };

/** What an element says of its value, or what a pattern further up says of it. */
type Expected = { readonly tree: ElementTree | undefined; readonly drilled: readonly Json[] };

const profilesOf = (tree: ElementTree): readonly string[] =>
  asArray(tree.definition.type).flatMap((type) => asArray(asObject(type)?.profile).map((url) => asText(url) ?? ''));

const withSlices = (tree: ElementTree | undefined): readonly ElementTree[] =>
  tree === undefined ? [] : [tree, ...tree.slices.values()];

/** The trees one step below: the element's own, and those of the profiles of its type. */
function below(tree: ElementTree, step: Step, { canonicals }: Sources): readonly ElementTree[] {
  if (step.kind === 'resolve' || step.kind === 'ofType') return [tree];
  const name = step.kind === 'extension' ? 'extension' : step.name;
  const roots = profilesOf(tree)
    .map((url) => canonicals.nearest('StructureDefinition', url))
    .map((definition) => (definition === undefined ? undefined : treeOf(definition, canonicals)))
    .filter((root) => root !== undefined);
  const found = [tree, ...roots].flatMap((from) => withSlices(from.children.get(name)));
  return step.kind === 'extension' ? found.filter((slice) => extensionUrl(slice) === step.url) : found;
}

/** The url that an extension slice is about. */
const extensionUrl = (tree: ElementTree): string | undefined =>
  asText(fixedOf(tree.children.get('url')?.definition ?? {})) ?? profilesOf(tree).map(withoutVersion)[0];

const drill = (values: readonly Json[], step: Step): readonly Json[] =>
  step.kind === 'child'
    ? values.flatMap((value) => {
        const next = asObject(value)?.[step.name];
        return next === undefined ? [] : Array.isArray(next) ? next : [next];
      })
    : values;

const stated = (tree: ElementTree): readonly Json[] =>
  [fixedOf(tree.definition), patternOf(tree.definition)].filter((value) => value !== undefined);

/** What the definitions say at the end of the steps. */
function expectedAt(from: ElementTree, steps: readonly Step[], sources: Sources): readonly Expected[] {
  let found: readonly Expected[] = [{ tree: from, drilled: stated(from) }];
  for (const step of steps)
    found = found.flatMap(({ tree, drilled }): readonly Expected[] => {
      const deeper = drill(drilled, step);
      const trees = tree === undefined ? [] : below(tree, step, sources);
      return [
        ...(deeper.length > 0 ? [{ tree: undefined, drilled: deeper }] : []),
        ...trees.map((next) => ({ tree: next, drilled: stated(next) })),
      ];
    });
  return found;
}

type Test = (value: Json) => boolean | undefined;

/** The tests of a value or pattern discriminator: what is fixed, or else what is bound. */
function testsOf(expected: readonly Expected[], { terminology }: Sources): readonly Test[] {
  const exact = expected.flatMap(({ drilled }) => drilled);
  if (exact.length > 0) return exact.map((pattern) => (value) => matchesPattern(value, pattern));
  return expected.flatMap(({ tree }): readonly Test[] => {
    const binding = asObject(tree?.definition.binding);
    const url = asText(binding?.valueSet);
    if (binding?.strength !== 'required' || url === undefined) return [];
    const contains = terminology.valueSet(url);
    return [(value) => (contains === undefined ? undefined : codesWithin(value, contains))];
  });
}

const anyOf = (said: readonly (boolean | undefined)[]): boolean | undefined =>
  said.includes(true) ? true : said.includes(undefined) ? undefined : false;

const byValue = ({ slice, sources }: Slicing, steps: readonly Step[]): Discriminator => {
  const tests = testsOf(expectedAt(slice, steps, sources), sources);
  if (tests.length === 0) return () => undefined;
  return (value, reading) =>
    anyOf(valuesAt(value, steps, reading).flatMap((found) => tests.map((test) => test(found.value))));
};

const typeCodes = (trees: readonly Expected[]): ReadonlySet<string> =>
  new Set(
    trees.flatMap(({ tree }) =>
      asArray(tree?.definition.type).map((type) => asText(asObject(type)?.code)?.replace(/^.*\//, '') ?? ''),
    ),
  );

/** The types that the targets of a reference may have. */
const targetTypes = (trees: readonly Expected[], { canonicals }: Sources): ReadonlySet<string> =>
  new Set(
    trees
      .flatMap(({ tree }) => asArray(tree?.definition.type))
      .flatMap((type) => asArray(asObject(type)?.targetProfile))
      .map((url) => asText(url) ?? '')
      .map(
        (url) => asText(canonicals.nearest('StructureDefinition', url)?.type) ?? url.slice(url.lastIndexOf('/') + 1),
      ),
  );

const byType = ({ slice, sources }: Slicing, steps: readonly Step[]): Discriminator => {
  const expected = expectedAt(slice, steps, sources);
  const resolves = steps.at(-1)?.kind === 'resolve';
  const types = resolves ? targetTypes(expected, sources) : typeCodes(expected);
  const isOpen = types.has('Resource') || types.has('DomainResource');
  return (value, reading) => {
    const before = resolves ? valuesAt(value, steps.slice(0, -1), reading) : valuesAt(value, steps, reading);
    return anyOf(
      before.map((found) => {
        const node = asObject(found.value);
        const type = resolves
          ? node === undefined
            ? undefined
            : referencedType(node, reading.resolve)
          : (found.type ?? asText(node?.resourceType));
        return type === undefined ? undefined : isOpen || types.has(type);
      }),
    );
  };
};

const byExistence = ({ slice, sources }: Slicing, steps: readonly Step[]): Discriminator => {
  const trees = expectedAt(slice, steps, sources).flatMap(({ tree }) => (tree === undefined ? [] : [tree]));
  const absent = trees.some((tree) => tree.definition.max === '0');
  const present = trees.some((tree) => Number(tree.definition.min) > 0);
  if (absent === present) return () => undefined;
  return (value, reading) => valuesAt(value, steps, reading).length > 0 === present;
};

/** What a type of a slice asks of a value: one of its profiles, or the type alone. */
const conformsToType = (
  node: JsonObject,
  type: JsonObject | undefined,
  profiles: readonly string[],
  conforms: Conforms,
): boolean | undefined => {
  if (profiles.length > 0) return conforms(node, profiles);
  const code = asText(type?.code);
  return code === 'Resource' || node.resourceType === undefined ? undefined : node.resourceType === code;
};

const byProfile = ({ slice, sources }: Slicing, steps: readonly Step[]): Discriminator => {
  const member = steps.at(-1)?.kind === 'resolve' ? 'targetProfile' : 'profile';
  const types = expectedAt(slice, steps, sources)
    .flatMap(({ tree }) => asArray(tree?.definition.type).map(asObject))
    .map((type) => ({ type, profiles: asArray(type?.[member]).map((url) => asText(url) ?? '') }));
  return (value, reading) =>
    types.length === 0
      ? undefined
      : anyOf(
          valuesAt(value, steps, reading).flatMap(({ value: found }) => {
            const node = asObject(found);
            return node === undefined
              ? [false]
              : types.map(({ type, profiles }) => conformsToType(node, type, profiles, reading.conforms));
          }),
        );
};

/** The discriminators of a slice: a value that all of them accept is in it. */
export function discriminatorsOf(slicing: Slicing): readonly Discriminator[] {
  const { slice, sliced } = slicing;
  const stated = asArray(asObject(sliced.definition.slicing)?.discriminator).map(asObject);
  const isExtension = slice.name === 'extension' || slice.name === 'modifierExtension';
  if (isExtension) {
    const url = extensionUrl(slice);
    return [({ value }) => (url === undefined ? undefined : asObject(value)?.url === url)];
  }
  if (stated.length === 0) {
    // `value[x]` is sliced by its type without saying so.
    return [slice.choice ? byType(slicing, []) : () => undefined];
  }
  return stated.map((discriminator) => {
    const steps = stepsIn(asText(discriminator?.path) ?? '');
    if (steps === undefined) return () => undefined;
    switch (discriminator?.type) {
      case 'value':
      case 'pattern':
        return byValue(slicing, steps);
      case 'type':
        return byType(slicing, steps);
      case 'exists':
        return byExistence(slicing, steps);
      case 'profile':
        return byProfile(slicing, steps);
      default:
        return () => undefined;
    }
  });
}

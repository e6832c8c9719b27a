/** Searches: the permission goes into every question, at every node of it. */
import type { PlantedBug } from '../planted-bug.ts';

const PLAN = 'server/query/plan.ts';
const LOWER = 'server/query/lower.ts';
const PARSE = 'server/query/parse.ts';
const SEARCH = 'server/app/interactions/search.ts';
const SCOPES = 'server/access/scopes.ts';
const CALLER_ACCESS = 'server/app/caller-access.ts';

const LOWERING = 'test/unit/search/lower.test.ts';
const TWINS = 'test/blackbox/twin-world.test.ts';
const HIDDEN = 'test/blackbox/hidden-is-absent.test.ts';
const INTERACTIONS = 'test/blackbox/interactions.test.ts';
const SEARCHES = 'test/blackbox/searches.test.ts';
const STORIES = 'test/golden/http.test.ts';

export const QUERY: readonly PlantedBug[] = [
  {
    id: 'query/post-filter',
    fault: 'The search runs without the guard and what may not be seen is taken out of the page afterwards.',
    file: SEARCH,
    find: `      work.access.guard(type, 's'),
    ),
  );
  const project = projectionFor(work.deps.summaries, type, query);
  const entries: string[] = [];
  for (const match of page.matches) {`,
    replace: `      { ...work.access.guard(type, 's'), residual: ALL },
    ),
  );
  const project = projectionFor(work.deps.summaries, type, query);
  const entries: string[] = [];
  for (const match of page.matches) {
    if (!(await work.unit.test({ type, id: match.id }, work.access.guard(type, 's'), ALL))) continue;`,
    caughtBy: [TWINS],
  },
  {
    id: 'query/total-before-the-guard',
    fault: '`Bundle.total` counts what matches, not what may be seen.',
    file: SEARCH,
    find: "const total = query.total === 'none' ? undefined : (page.total ?? whole);",
    replace: `const counted = { type, where, sort: [], limit: 0, total: true };
  const all = (await work.unit.search(guarded(counted, { ...work.access.guard(type, 's'), residual: ALL }))).total;
  const total = query.total === 'none' ? undefined : page.total === undefined ? whole : all;`,
    caughtBy: [HIDDEN, TWINS],
  },
  {
    id: 'query/not-outside-the-guard',
    fault: 'A search that begins with `:not` negates the guard along with the question.',
    file: PLAN,
    find: 'where: guard.type === plan.type ? and(guard.residual, plan.where) : NONE }',
    replace:
      "where: guard.type !== plan.type ? NONE : plan.where.op === 'not' ? not(and(guard.residual, plan.where.of)) : and(guard.residual, plan.where) }",
    caughtBy: ['test/unit/search/plan.test.ts', LOWERING, TWINS],
  },
  {
    id: 'query/guard-of-another-type',
    fault: 'A plan takes any guard: that of another type opens it as far as its predicate happens to hold.',
    file: PLAN,
    find: 'where: guard.type === plan.type ? and(guard.residual, plan.where) : NONE }',
    replace: 'where: and(guard.residual, plan.where) }',
    caughtBy: ['test/unit/search/plan.test.ts'],
  },
  {
    id: 'query/chain-outside-the-guard',
    fault: 'A chain looks at resources that the caller does not see.',
    file: LOWER,
    find: 'hop: hop(on.guardOf(target.type), lower(target.filter, on), { deleted: false }),',
    replace: 'hop: hop({ ...on.guardOf(target.type), residual: ALL }, lower(target.filter, on), { deleted: false }),',
    caughtBy: [LOWERING, TWINS],
  },
  {
    id: 'query/has-outside-the-guard',
    fault: '`_has` looks at resources that the caller does not see.',
    file: LOWER,
    find: 'hop: hop(on.guardOf(filter.source), lower(filter.filter, on), { deleted: false }),',
    replace: 'hop: hop({ ...on.guardOf(filter.source), residual: ALL }, lower(filter.filter, on), { deleted: false }),',
    caughtBy: [LOWERING, TWINS],
  },
  {
    id: 'query/chain-through-the-deleted',
    fault: 'A chain goes through resources that were deleted.',
    file: LOWER,
    find: 'hop: hop(on.guardOf(target.type), lower(target.filter, on), { deleted: false }),',
    replace: 'hop: hop(on.guardOf(target.type), lower(target.filter, on), { deleted: true }),',
    caughtBy: [LOWERING],
  },
  {
    id: 'query/register-searched-by-hidden-item',
    fault: 'D8: `AuditEvent?entity=` finds events by items that the reader does not see.',
    file: LOWER,
    find: "if (!on.bySight(asker, param) || type === 'Patient') found.push(named);",
    replace: 'if (named !== NONE) found.push(named);',
    caughtBy: [LOWERING, TWINS],
  },
  {
    id: 'query/missing-outside-sight',
    fault: 'D8: `entity:missing` tells an event that names hidden items from one that names none.',
    file: LOWER,
    find: 'const present = on.bySight(type, param)\n',
    replace: "const present = on.bySight(type, '')\n",
    caughtBy: [LOWERING, TWINS],
  },
  {
    id: 'query/sort-by-what-is-hidden',
    fault: 'D8: the register is put in order by references that the reader does not see.',
    file: PARSE,
    find: '!== true || options.bySight(options.type, param)) {',
    replace: '!== true) {',
    caughtBy: ['test/unit/search/parse.test.ts', SEARCHES],
  },
  {
    id: 'query/unknown-parameter-ignored',
    fault: 'A misspelt parameter is left out, so that the answer is more than was asked for.',
    file: PARSE,
    find: "} else if (outcome.is === 'unknown' && options.lenient) dropped.push(name);",
    replace: "} else if (outcome.is === 'unknown') dropped.push(name);",
    caughtBy: ['test/unit/search/parse.test.ts', `${STORIES}#07-`],
  },
  {
    id: 'query/include-unguarded',
    fault: '`_include` adds whatever a match names.',
    file: SEARCH,
    find: "guarded(plan, work.access.guard(target, 's'))",
    replace: "guarded(plan, { ...work.access.guard(target, 's'), residual: ALL })",
    caughtBy: [SEARCHES, TWINS],
  },
  {
    id: 'query/revinclude-unguarded',
    fault: '`_revinclude` adds whatever names a match.',
    file: SEARCH,
    find: "guarded(plan, work.access.guard(include.source, 's'))",
    replace: "guarded(plan, { ...work.access.guard(include.source, 's'), residual: ALL })",
    caughtBy: [SEARCHES, TWINS],
  },
  {
    id: 'query/include-without-its-scope',
    fault: '`_include` adds resources of types that no scope of the token covers.',
    file: SEARCH,
    find: "guarded(plan, work.access.guard(target, 's'))",
    replace: 'guarded(plan, work.access.visible(target))',
    caughtBy: [SEARCHES, `${STORIES}#07-`, `${STORIES}#09-`],
  },
  {
    id: 'query/compartment-of-everybody',
    fault: 'A search in the compartment of a person is one of the whole type.',
    file: SEARCH,
    find: "within: about === undefined ? ALL : term('_owner', about)",
    replace: "within: about === undefined ? ALL : or(term('_owner', about), ALL)",
    caughtBy: [SEARCHES, `${STORIES}#07-`],
  },
  {
    id: 'query/hidden-compartment-is-empty',
    fault: 'A compartment search of a person whom the caller does not see is answered with an empty Bundle, not 404.',
    file: SEARCH,
    find: "if (found === undefined || found.deleted) return fail({ code: 'not-found' });",
    replace: "if (found?.deleted === true) return fail({ code: 'not-found' });",
    caughtBy: [SEARCHES, `${STORIES}#07-`, `${STORIES}#09-`],
  },
  {
    id: 'query/patients-by-name',
    fault: 'D9: a professional searches persons by whatever parameter.',
    file: SEARCH,
    find: 'if (exact && !isTraitsOnly(caller)) return ok(undefined);',
    replace: 'if (!isTraitsOnly(caller)) return ok(undefined);',
    caughtBy: [SEARCHES, `${STORIES}#09-`],
  },
  {
    id: 'query/ins-without-its-system',
    fault: 'D9: a person is found by the bare number, whichever register it is from.',
    file: SEARCH,
    find: 'v.system !== undefined &&\n              INS_SYSTEMS.includes(v.system) &&',
    replace: '(v.system === undefined || INS_SYSTEMS.includes(v.system)) &&',
    caughtBy: [SEARCHES, `${STORIES}#07-`, `${STORIES}#09-`],
  },
  {
    id: 'query/traits-by-pattern',
    fault: 'D9: centre 15 enumerates persons by the beginning of a birth date.',
    file: SEARCH,
    find: "v.kind !== 'date' || (v.prefix === 'eq' && v.hi - v.lo <= 25 * 3_600_000)",
    replace: "v.kind !== 'date' || v.prefix === 'eq'",
    caughtBy: [SEARCHES, `${STORIES}#07-`, `${STORIES}#09-`],
  },
  {
    id: 'query/conditions-outside-sight',
    fault: 'Conditional creates, updates, deletes and references match resources that the caller does not see.',
    file: SEARCH,
    find: '      work.access.visible(type),',
    replace: '      { ...work.access.visible(type), residual: ALL },',
    caughtBy: [`${INTERACTIONS}#conditional`, `${STORIES}#08-`, TWINS],
  },
  {
    id: 'query/cursor-of-anybody',
    fault: 'A page cursor opens for another caller than the one it was made for.',
    file: SEARCH,
    find: `    work.caller.self ?? work.caller.kind,
    work.caller.structure ?? '',
    work.caller.person ?? '',
    work.caller.claims.clientId,
    request.path`,
    replace: '    request.path',
    caughtBy: [SEARCHES, `${STORIES}#07-`, `${STORIES}#09-`],
  },
  {
    id: 'query/cursor-for-any-question',
    fault: 'A page cursor opens for another search than the one it was made for.',
    file: SEARCH,
    find: `    request.path.filter((s) => s !== '_search'),
    query.used,`,
    replace: "    request.path.filter((s) => s !== '_search'),",
    caughtBy: [SEARCHES, `${STORIES}#07-`, `${STORIES}#09-`],
  },
  {
    id: 'query/cursor-as-permission',
    fault: 'The pages after the first are not decided again: who has the cursor has the page.',
    file: SEARCH,
    find: `      work.access.guard(type, 's'),
    ),
  );
  const project`,
    replace: `      after.value === undefined
        ? work.access.guard(type, 's')
        : { ...work.access.guard(type, 's'), residual: work.access.scopeLimit('s', type) },
    ),
  );
  const project`,
    caughtBy: [TWINS],
  },
  {
    id: 'query/cursor-for-ever',
    fault: 'A page cursor never grows old.',
    file: SEARCH,
    find: 'return work.now - at <= CURSOR_LIFE ? ok(position) : refused;',
    replace: 'return at <= work.now ? ok(position) : refused;',
    caughtBy: [SEARCHES, `${STORIES}#07-`, `${STORIES}#09-`],
  },
  {
    id: 'query/empty-scope-is-everything',
    fault: 'A token without a scope for the type is not limited by scopes.',
    file: CALLER_ACCESS,
    find: 'return held.some((s) => s.constraint.length === 0) ? ALL',
    replace: 'return held.length === 0 || held.some((s) => s.constraint.length === 0) ? ALL',
    caughtBy: [`${INTERACTIONS}#scopes`, `${STORIES}#09-`],
  },
  {
    id: 'query/unreadable-scope-constraint-dropped',
    fault: 'The constraint of a scope that cannot be read is dropped, and the scope is as wide as without it.',
    file: CALLER_ACCESS,
    find: 'if (!parsed.ok || parsed.value.filters.length === 0) return NONE;',
    replace: 'if (!parsed.ok || parsed.value.filters.length === 0) return ALL;',
    caughtBy: [`${INTERACTIONS}#scopes`, SEARCHES],
  },
  {
    id: 'query/scope-of-another-context',
    fault: 'A `system/` scope in a person’s token counts.',
    file: SCOPES,
    find: ' && contexts.includes(scope.context),',
    replace: ' && (contexts.length > 0 || contexts.includes(scope.context)),',
    caughtBy: ['test/unit/scopes.test.ts'],
  },
  {
    id: 'query/unknown-scope-letters',
    fault: 'A scope with a letter that is not one grants the letters that are.',
    file: SCOPES,
    find: 'const letters = v1 ?? (LETTERS.test(access) ? access : undefined);',
    replace: 'const letters: string | undefined = v1 ?? access;',
    caughtBy: ['test/unit/scopes.test.ts'],
  },
  {
    id: 'query/summary-not-marked',
    fault: 'A part of a resource does not say that it is one (`SUBSETTED`), and is written back as the whole.',
    file: 'server/fhir/summary.ts',
    find: 'return tagged(part) as Resource;',
    replace: 'return part as Resource;',
    also: [
      {
        file: 'server/fhir/summary.ts',
        find: 'const tagged = (resource: JsonObject): JsonObject => {',
        replace: 'export const tagged = (resource: JsonObject): JsonObject => {',
      },
    ],
    caughtBy: ['test/unit/summary.test.ts'],
  },
  {
    id: 'query/elements-drop-the-labels',
    fault: '`_elements` leaves out `meta` and with it the labels that say how to treat what is left.',
    file: 'server/fhir/summary.ts',
    find: "new Set(['resourceType', 'id', 'meta', 'implicitRules', 'modifierExtension'])",
    replace: "new Set(['resourceType', 'id', 'implicitRules', 'modifierExtension'])",
    caughtBy: ['test/unit/summary.test.ts'],
  },
  {
    id: 'query/everything-of-everybody',
    fault: '`$everything` is everything that the caller sees, not that of the person.',
    file: 'server/app/interactions/everything.ts',
    find: "term('_owner', `Patient/${key.id}`),\n              since",
    replace: 'since',
    caughtBy: [SEARCHES, `${STORIES}#07-`, TWINS],
  },
  {
    id: 'query/persons-listed-backwards',
    fault: 'D9: persons are listed from the directory backwards, by the professional or the structure that they name.',
    file: SEARCH,
    find: "if (!listing || caller.kind === 'patient'",
    replace: "if (!listing || caller.kind === 'professional' || caller.kind === 'feeder' || caller.kind === 'patient'",
    caughtBy: [`${SEARCHES}#never backwards`],
  },
  {
    id: 'query/condition-beyond-the-scopes',
    fault: 'What a condition steps to is looked at whatever the scopes of the token.',
    file: SEARCH,
    find: '          lowerAll(parsed.value.filters, lowering(work, searchGuard(work.access))),',
    replace: '          lowerAll(parsed.value.filters, lowering(work, (t) => work.access.visible(t))),',
    caughtBy: [`${SEARCHES}#as a condition: what it steps to`],
  },
  {
    id: 'query/traits-as-a-list',
    fault: 'D9: the search by traits takes lists, and so enumerates persons.',
    file: SEARCH,
    find: '        f.values.length === 1 &&\n',
    replace: '',
    caughtBy: [`${SEARCHES}#by traits with centre 15`],
  },
];

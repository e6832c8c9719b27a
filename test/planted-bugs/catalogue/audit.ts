/** The register of accesses: one record for each person disclosed, before anything leaves, and no more to read than its items. */
import type { PlantedBug } from '../planted-bug.ts';

const DISPATCH = 'server/app/dispatch.ts';
const RECORD = 'server/app/record.ts';
const EVENT = 'server/audit/event.ts';
const READ = 'server/app/interactions/read.ts';
const SEARCH = 'server/app/interactions/search.ts';

const WRITTEN = 'test/blackbox/writes-audit.test.ts';
const STORIES = 'test/golden/http.test.ts';
const REGISTER = `${STORIES}#06-`;
const TWINS = 'test/blackbox/twin-world.test.ts';
const RECONCILIATION = 'test/slow/audit-reconciliation.test.ts';

export const AUDIT: readonly PlantedBug[] = [
  {
    id: 'audit/after-the-answer',
    fault: 'O1: the record is written after the answer was let go.',
    file: DISPATCH,
    find: `      await settle(work.value);
      await recordDone(work.value, request, interaction);
      return result;`,
    replace: `      await settle(work.value);
      void deps.store.unit((later) => recordDone({ ...work.value, unit: later }, request, interaction));
      return result;`,
    caughtBy: ['test/unit/app/record.test.ts', RECONCILIATION],
  },
  {
    id: 'audit/refusals-forgotten',
    fault: 'Refusals leave no record.',
    file: DISPATCH,
    find: '        await refuse(work.value, { request, interaction, failure: result.failure, probed });\n        return result;',
    replace: '        return result;',
    caughtBy: [REGISTER, WRITTEN],
  },
  {
    id: 'audit/undone-refusals-forgotten',
    fault: 'A refusal that came after something was written is undone together with its record.',
    file: DISPATCH,
    find: 'if (work.ok) await refuse(work.value, { request, interaction, failure: error.failure, probed: error.probed });',
    replace: 'if (work.ok) work.value.traces.length = 0;',
    caughtBy: ['test/unit/app/record.test.ts'],
  },
  {
    id: 'audit/refusals-of-a-batch-forgotten',
    fault: 'What is refused inside a batch leaves no record.',
    file: DISPATCH,
    find: 'for (const refusal of ran.refusals)',
    replace: 'for (const refusal of ran.done ? [] : ran.refusals)',
    caughtBy: [WRITTEN, `${STORIES}#08-`],
  },
  {
    id: 'audit/one-of-several-persons',
    fault: 'A request about several persons is recorded for the first.',
    file: RECORD,
    find: 'for (const [person, { named, rules, read }] of items) {',
    replace: 'for (const [person, { named, rules, read }] of [...items].slice(0, 1)) {',
    caughtBy: [WRITTEN, `${STORIES}#06-`],
  },
  {
    id: 'audit/empty-search-forgotten',
    fault: 'A search about a person that finds nothing leaves no record about them.',
    file: SEARCH,
    find: 'if (await itemHolds(work, keyOf(named), ALL)) work.persons.add(named);',
    replace: 'if (await itemHolds(work, keyOf(named), ALL)) work.asked.add(type);',
    caughtBy: [REGISTER, `${STORIES}#07-`],
  },
  {
    id: 'audit/included-forgotten',
    fault: 'What `_include` added is disclosed and not recorded.',
    file: SEARCH,
    find: 'work.traces.push({ owner: included.owner, item: `${included.type}/${included.id}` });',
    replace: 'work.asked.add(included.type);',
    caughtBy: [`${STORIES}#07-`],
  },
  {
    id: 'audit/not-modified-forgotten',
    fault: 'A 304 tells that the version is still the same, and leaves no record.',
    file: READ,
    find: `  trace(work, version);
  if (version.deleted) return GONE;
  if (noneMatchNames(request.headers['if-none-match'], version)) return ok({ status: 304, etag: etagOf(version) });`,
    replace: `  if (version.deleted) return GONE;
  if (noneMatchNames(request.headers['if-none-match'], version)) return ok({ status: 304, etag: etagOf(version) });
  trace(work, version);`,
    caughtBy: ['test/unit/app/record.test.ts', REGISTER],
  },
  {
    id: 'audit/refusal-about-nobody',
    fault: 'A refused read of somebody’s item is recorded about nobody, so that the person never sees the attempt.',
    file: RECORD,
    find: '  if (known?.owner !== undefined) note(known.owner, item);\n  else for',
    replace: '  for',
    caughtBy: [REGISTER, WRITTEN],
  },
  {
    id: 'audit/secret-session-not-marked',
    fault: 'W8: events of a secret session are not marked as such.',
    file: EVENT,
    find: "const secret = isSecret ? [{ system: SYSTEM.audit, code: 'secret' }] : [];",
    replace: "const secret = isSecret ? [{ system: SYSTEM.audit, code: 'secret' }].slice(1) : [];",
    caughtBy: [WRITTEN, `${STORIES}#10-`],
  },
  {
    id: 'audit/secret-session-found-by-tag',
    fault: 'W8: `_tag` finds the events of a secret session for those who are not shown the mark.',
    file: RECORD,
    find: 'indexResource(deps.registry, searchable(constant as Resource), options)',
    replace: 'indexResource(deps.registry, constant as Resource, options)',
    caughtBy: [WRITTEN],
  },
  {
    id: 'audit/secret-mark-shown-to-professionals',
    fault: 'W8: a professional reads from an event that the session was secret.',
    file: READ,
    find: "return JSON.stringify(work.caller.kind === 'professional' ? withoutSecretMark(shown) : shown);",
    replace: "return JSON.stringify(work.caller.kind === 'feeder' ? withoutSecretMark(shown) : shown);",
    caughtBy: [WRITTEN],
  },
  {
    id: 'audit/reason-forgotten',
    fault: 'C5: the reason of an emergency is checked and not written down.',
    file: EVENT,
    find: '...(reason === undefined ? {} : { extension: [{ url: EXTENSION.accessReason, valueString: reason }] }),',
    replace: '',
    caughtBy: [WRITTEN, `${STORIES}#05-`],
  },
  {
    id: 'audit/structure-forgotten',
    fault: 'The structure that a professional acted for is not written down.',
    file: EVENT,
    find: '    ...organization(context),\n',
    replace: '',
    also: [
      {
        file: EVENT,
        find: 'const organization = (',
        replace: 'export const organization = (',
      },
    ],
    caughtBy: [WRITTEN, REGISTER],
  },
  {
    id: 'audit/rules-forgotten',
    fault: 'A record does not say by which rules it was possible.',
    file: EVENT,
    find: "const detail = draft.rules.map((rule) => ({ type: 'rule', valueString: rule }));",
    replace: "const detail = draft.rules.slice(0, 0).map((rule) => ({ type: 'rule', valueString: rule }));",
    caughtBy: [WRITTEN, REGISTER],
  },
  {
    id: 'audit/search-values-recorded',
    fault: 'The record of a search holds its values, which name persons and diseases to other readers of the register.',
    file: RECORD,
    find: 'const names = request.query.map(([name]) => name);',
    replace: "const names = request.query.map((pair) => pair.join('='));",
    caughtBy: [REGISTER, TWINS],
  },
  {
    id: 'audit/entities-unfiltered',
    fault: 'D8: an event names to its reader the items that they do not see.',
    file: READ,
    find: 'const shown = redacted(event, (item) => inSight.has(item));',
    replace: 'const shown = redacted(event, (item) => inSight.has(item) || item !== undefined);',
    caughtBy: ['test/blackbox/explained-sight.test.ts'],
  },
  {
    id: 'audit/grounds-of-what-was-found',
    fault:
      'The rules of a search are those of the items found: they tell a reader of the register about items out of their sight.',
    file: RECORD,
    find: "interaction.action === 'read' && named.size === 1 && item !== undefined && interaction.item !== undefined;",
    replace: 'named.size === 1 && item !== undefined;',
    caughtBy: [REGISTER, `${STORIES}#07-`],
  },
  {
    id: 'audit/address-of-the-first-request',
    fault: 'The register is searched by the address that a token first came from, not by that of each request.',
    file: RECORD,
    find: '    draft.person === undefined,\n    request.address,\n',
    replace: '    draft.person === undefined,\n',
    caughtBy: ['test/unit/app/record.test.ts'],
  },
  {
    id: 'audit/count-unrecorded',
    fault: 'O1: a count across persons tells of their items and leaves no record with them.',
    file: SEARCH,
    find: 'const told = counting && !ofOnePerson &&',
    replace: 'const told = !counting && !ofOnePerson &&',
    caughtBy: ['test/blackbox/searches.test.ts#whose items they count'],
  },
];

/** Explanations: the engine that decides is the one that explains, and no reader learns more from it than from the items. */
import type { PlantedBug } from '../planted-bug.ts';

const WHO = 'server/app/interactions/who-can-see.ts';
const THEN = 'server/app/interactions/explain-access.ts';
const EVALUATE = 'server/app/interactions/evaluate.ts';
const REGISTER = 'server/app/interactions/access-register.ts';
const KNOWN = 'server/app/interactions/known-actors.ts';

const TOLD = 'test/blackbox/explanations.test.ts';
const REASONS = 'test/unit/access/explain.test.ts';

export const EXPLAIN: readonly PlantedBug[] = [
  {
    id: 'explain/reasons-of-whoever-asks',
    fault: 'The sentences tell the decision about the one who asks, not about the actor.',
    file: WHO,
    find: "reasonsOf(await judge(access.decision(key.type, 'r').votes, holds))",
    replace: "reasonsOf(await judge(work.access.decision(key.type, 'r').votes, holds))",
    caughtBy: [`${TOLD}#who-can-see`, TOLD],
  },
  {
    id: 'explain/verdict-of-whoever-asks',
    fault: '`$who-can-see` says yes of everybody whenever the holder may see the item.',
    file: WHO,
    find: 'const permit = await work.unit.test(key, access.visible(key.type), ALL);',
    replace: 'const permit = await work.unit.test(key, work.access.visible(key.type), ALL);',
    caughtBy: [`${TOLD}#who-can-see`, TOLD],
  },
  {
    id: 'explain/for-professionals-too',
    fault: 'A professional asks who else can see a document.',
    file: WHO,
    find: 'if (!isHolderSide(work)) {',
    replace: "if (!isHolderSide(work) && work.caller.kind !== 'professional') {",
    caughtBy: [`${TOLD}#who-can-see`],
  },
  {
    id: 'explain/team-default-not-told',
    fault: 'An access by team is told although the person refused access by team.',
    file: 'server/access/explain.ts',
    find: "where: and(member, owner(not(denied('care-team-default', namesOf(caller), now)))) },",
    replace: 'where: member },',
    caughtBy: [REASONS],
  },
  {
    id: 'explain/rights-of-today',
    fault: '`$explain` tells an access of last month from the rights of today.',
    file: THEN,
    find: 'const past = await spaceAt(work.unit, person, reading.recorded);',
    replace: 'const past = await spaceAt(work.unit, person, work.now);',
    caughtBy: [`${TOLD}#explain`],
  },
  {
    id: 'explain/event-as-stored',
    fault: '`$explain` names the items of an event that its reader does not see.',
    file: THEN,
    find: 'readEvent(asObject(JSON.parse(await bodyFor(work, version)) as Json) ??',
    replace: 'readEvent(asObject(JSON.parse(version.body || (await bodyFor(work, version))) as Json) ??',
    caughtBy: ['test/blackbox/explained-sight.test.ts'],
  },
  {
    id: 'explain/rights-nobody-showed',
    fault: '`$explain` lists rights that its reader may not read (D7).',
    file: THEN,
    find: "const current = await work.unit.read(key, work.access.guard(version.type, 'r'));",
    replace:
      "const current = await work.unit.read(key, { ...work.access.guard(version.type, 'r'), residual: { op: 'all' } });",
    caughtBy: ['test/blackbox/explained-sight.test.ts'],
  },
  {
    id: 'explain/evaluate-counts-the-hidden',
    fault: '`$evaluate` counts items that the one who asks does not see.',
    file: EVALUATE,
    find: "        work.access.guard(type, 'r'),\n      ),\n    );\n    for (const { id } of page.matches)",
    replace:
      "        { ...work.access.guard(type, 'r'), residual: ALL },\n      ),\n    );\n    for (const { id } of page.matches)",
    caughtBy: [`${TOLD}#evaluate`, TOLD],
  },
  {
    id: 'explain/register-of-everybody',
    fault: '`$access-register` shows every access, whoever reads it.',
    file: REGISTER,
    find: `      work.access.guard('AuditEvent', 'r'),
    ),
  );
  // Recorded as one act`,
    replace: `      { ...work.access.guard('AuditEvent', 'r'), residual: term('_owner', person) },
    ),
  );
  // Recorded as one act`,
    caughtBy: [`${TOLD}#access-register`],
  },
  {
    id: 'explain/actors-nobody-showed',
    fault: 'Explanations name actors from rights and events that the one who asks does not see.',
    file: KNOWN,
    find: "        work.access.guard(type, 'r'),\n      ),\n    );\n    found.push(...page.matches);",
    replace:
      "        { ...work.access.guard(type, 'r'), residual: where },\n      ),\n    );\n    found.push(...page.matches);",
    caughtBy: ['test/blackbox/explained-sight.test.ts#nobody who is known'],
  },
];

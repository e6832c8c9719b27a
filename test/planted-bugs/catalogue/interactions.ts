/** Interactions by id: hidden, absent and deleted look alike, and nothing is half done. */
import type { PlantedBug } from '../planted-bug.ts';

const READ = 'server/app/interactions/read.ts';
const WRITE = 'server/app/interactions/write.ts';
const BUNDLE = 'server/app/interactions/bundle.ts';
const BINARY = 'server/app/interactions/binary.ts';
const WORK = 'server/app/work.ts';
const DISPATCH = 'server/app/dispatch.ts';

const HIDDEN = 'test/blackbox/hidden-is-absent.test.ts';
const TWINS = 'test/blackbox/twin-world.test.ts';
const PLAIN = 'test/blackbox/interactions.test.ts';
const BUNDLES = 'test/blackbox/transactions.test.ts';
const STORIES = 'test/golden/http.test.ts';

export const INTERACTIONS: readonly PlantedBug[] = [
  {
    id: 'interactions/forbidden-instead-of-absent',
    fault: 'A read of what the caller may not see is a 403, which tells that it is there.',
    file: READ,
    find: "  const version = await work.unit.read(key, work.access.guard(key.type, 'r'));\n  if (version === undefined) return NOT_FOUND;\n",
    replace: `  const version = await work.unit.read(key, work.access.guard(key.type, 'r'));
  if (version === undefined) {
    const there = await work.unit.read(key, systemGuard(key.type, 'audit'));
    return there === undefined ? NOT_FOUND : fail({ code: 'forbidden', rule: 'A3', text: 'no authorisation stands' });
  }
`,
    caughtBy: [`${STORIES}#02-`, HIDDEN],
  },
  {
    id: 'interactions/gone-to-everybody',
    fault: 'A deleted resource is 410 also to those who could never see it.',
    file: READ,
    find: "  const version = await work.unit.read(key, work.access.guard(key.type, 'r'));\n  if (version === undefined) return NOT_FOUND;\n",
    replace: `  const version = await work.unit.read(key, work.access.guard(key.type, 'r'));
  if (version === undefined) {
    return (await work.unit.read(key, systemGuard(key.type, 'audit')))?.deleted === true ? GONE : NOT_FOUND;
  }
`,
    caughtBy: [TWINS],
  },
  {
    id: 'interactions/old-version-by-its-own-labels',
    fault: 'An old version is judged by the labels that it had: what was not masked then is still read.',
    file: READ,
    find: "const version = await work.unit.vread(key, key.versionId, work.access.guard(key.type, 'r'));",
    replace: `const old = await work.unit.vread(key, key.versionId, systemGuard(key.type, 'audit'));
  const version =
    old !== undefined && !old.body.includes('MASQUE_PS') && key.type === 'DocumentReference'
      ? old
      : await work.unit.vread(key, key.versionId, work.access.guard(key.type, 'r'));`,
    caughtBy: [`${STORIES}#04-`, HIDDEN, TWINS],
  },
  {
    id: 'interactions/history-by-who-wrote-it',
    fault: 'Whoever filed something reads its history for ever, blocked or not.',
    file: READ,
    find: "const page = await work.unit.history(key, work.access.guard(key.type, 'r'), {",
    replace: `const first = await work.unit.vread(key, '1', systemGuard(key.type, 'audit'));
  const wrote = first !== undefined && first.filing.by === work.caller.self;
  const page = await work.unit.history(key, wrote ? systemGuard(key.type, 'audit') : work.access.guard(key.type, 'r'), {`,
    caughtBy: [HIDDEN, TWINS],
  },
  {
    id: 'interactions/if-match-on-the-hidden',
    fault: 'A write with `If-Match` on what the caller does not see is 412 instead of 404.',
    file: WRITE,
    find: "  const found = await seen(work, key);\n  if (found === undefined) return fail({ code: 'not-found' });",
    replace: `  const found = await seen(work, key);
  if (request.headers['if-match'] !== undefined && found === undefined && (await itemHolds(work, key, { op: 'all' })))
    return fail({ code: 'precondition-failed', text: 'the resource has another version' });
  if (found === undefined) return fail({ code: 'not-found' });`,
    caughtBy: [`${PLAIN}#section 7`, HIDDEN],
  },
  {
    id: 'interactions/writes-outside-sight',
    fault: 'References and targets of writes resolve outside what the caller sees.',
    file: WORK,
    find: '? work.unit.read(key, work.access.visible(key.type))',
    replace: "? work.unit.read(key, systemGuard(key.type, 'integrity'))",
    caughtBy: [`${PLAIN}#section 7`, HIDDEN, TWINS],
  },
  {
    id: 'interactions/scope-constraint-ignored-by-writes',
    fault: 'A scope with a constraint writes whatever is of its type.',
    file: WRITE,
    find: "if (limit.op === 'all' || (await itemHolds(work, key, limit))) return ok(undefined);",
    replace: "if (limit.op !== 'none' || (await itemHolds(work, key, limit))) return ok(undefined);",
    caughtBy: [`${PLAIN}#scopes`, 'test/unit/app/record.test.ts'],
  },
  {
    id: 'interactions/half-written',
    fault: 'A refusal that comes after a first write leaves that write.',
    file: DISPATCH,
    find: '        if (work.value.written.any) throw new Undo(result.failure, probed);\n',
    replace: '',
    caughtBy: [`${BUNDLES}#all or nothing`],
  },
  {
    id: 'interactions/batch-half-written',
    fault: 'An entry of a batch that is refused after it has written leaves what it wrote.',
    file: BUNDLE,
    find: 'if (!result.ok && work.written.any) {',
    replace: 'if (!result.ok && work.written.any && known !== undefined) {',
    caughtBy: [`${BUNDLES}#batch`],
  },
  {
    id: 'interactions/entries-see-the-space-before',
    fault: 'An entry of a transaction is decided from the space as it was before the other entries.',
    file: BUNDLE,
    find: '    // What an earlier entry did to the space decides about this one.\n    await settle(work);\n',
    replace: '',
    caughtBy: [BUNDLES],
  },
  {
    id: 'interactions/creation-tried-before-its-scope',
    fault:
      'A creation is tried before its scope is asked for: what is wrong with it is told to a token that may not create.',
    file: WRITE,
    find: '  const scope = inScope(work, letter, type);\n  if (!scope.ok) return scope;\n  return isTraitsOnly',
    replace:
      "  const scope = letter === 'c' ? ok(undefined) : inScope(work, letter, type);\n  if (!scope.ok) return scope;\n  return isTraitsOnly",
    caughtBy: [PLAIN, BUNDLES, 'test/blackbox/searches.test.ts'],
  },
  {
    id: 'interactions/condition-without-search-scope',
    fault: 'A condition searches without a scope that lets the token search.',
    file: 'server/app/interactions/search.ts',
    find: "  const scope = inScope(work, 's', type);\n  if (!scope.ok) return scope;\n  const parsed = parseFor(work, type, parameters, false);",
    replace: '  const parsed = parseFor(work, type, parameters, false);',
    caughtBy: [`${PLAIN}#scopes`, BUNDLES, 'test/blackbox/searches.test.ts'],
  },
  {
    id: 'interactions/consent-cached',
    fault: 'A right that is written does not reach the compiled rights of the person.',
    file: WORK,
    find: 'if (version.owner !== undefined && declarationOf(work, type).feedsSpace) work.stale.add(version.owner);',
    replace: '',
    caughtBy: [`${STORIES}#01-`],
  },
  {
    id: 'interactions/team-does-not-reach-the-space',
    fault: 'A change of a care team does not reach the compiled rights of the person.',
    file: 'server/app/types/care-team.ts',
    find: 'feedsSpace: true,',
    replace: 'feedsSpace: false,',
    caughtBy: ['test/blackbox/writes-space.test.ts#A3, W16'],
  },
  {
    id: 'interactions/stream-goes-on',
    fault: 'O3: the content of a Binary that was begun is sent to its end, whatever is revoked meanwhile.',
    file: BINARY,
    find: "return unit.chunk(key, access.guard('Binary', 'r'), index);",
    replace: "return unit.chunk(key, { ...access.guard('Binary', 'r'), residual: { op: 'all' } }, index);",
    caughtBy: ['test/unit/app/stream.test.ts', 'test/slow/revocation.test.ts'],
  },
  {
    id: 'interactions/stream-outlives-its-token',
    fault: 'C3: a stream goes on after the token has expired.',
    file: BINARY,
    find: 'if (!resolved.ok || now >= caller.claims.expiresAt) return undefined;',
    replace: 'if (!resolved.ok) return undefined;',
    caughtBy: ['test/unit/app/stream.test.ts'],
  },
  {
    id: 'interactions/part-stored-as-the-whole',
    fault: 'A resource that says it is only a part (`SUBSETTED`) is stored, and the rest is lost.',
    file: WRITE,
    find: "if (subsetted !== undefined) return fail({ code: 'unprocessable', faults: [subsetted] });",
    replace: '',
    caughtBy: [`${PLAIN}#cannot be a resource`, PLAIN],
  },
  {
    id: 'interactions/evaluate-leaves-something',
    fault: 'A draft that is evaluated stays written.',
    file: DISPATCH,
    find: 'throw new Rehearsal(work.ok ? ok(await rehearse(work.value, request)) : work);',
    replace: 'return new Rehearsal(work.ok ? ok(await rehearse(work.value, request)) : work) as never;',
    also: [
      {
        file: DISPATCH,
        find: 'found = await deps.store.unit(async (unit): Promise<never> => {',
        replace: 'const kept = await deps.store.unit(async (unit): Promise<never> => {',
      },
      {
        file: DISPATCH,
        find: '  } catch (error) {\n    if (!(error instanceof Rehearsal)) throw error;',
        replace:
          '    found = (kept as Rehearsal).found;\n  } catch (error) {\n    if (!(error instanceof Rehearsal)) throw error;',
      },
    ],
    caughtBy: ['test/blackbox/explanations.test.ts#evaluate'],
  },
];

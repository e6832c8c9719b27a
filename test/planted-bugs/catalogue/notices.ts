/** rules.md O2 and W7: whom the server tells of what, once, and not before they may know. */
import type { PlantedBug } from '../planted-bug.ts';

const TELL = 'server/app/notices/tell.ts';
const NOTICE = 'server/app/notices/notice.ts';
const PREFERENCES = 'server/app/notices/preferences.ts';
const ANNOUNCEMENT = 'server/app/notices/announcement.ts';

const NOTICES = 'test/blackbox/notices.test.ts';

export const NOTICES_FAULTS: readonly PlantedBug[] = [
  {
    id: 'notices/told-of-the-hidden',
    fault: 'A notice about a document is shown while the document is still hidden from its reader.',
    file: 'server/access/rules/notices.ts',
    find: "part('O2', or(not(term('_waits', '1')), ...itemInSight(asking)))",
    replace: "part('O2', itemInSight(asking).length < 0 ? not(term('_waits', '1')) : ALL)",
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/secret-session-told-to-representatives',
    fault: 'W8: representatives are told of an access in a secret session.',
    file: 'server/app/types/communication.ts',
    find: "...(notice?.secret === true ? [['_secret', '1'] as const] : []),",
    replace: '',
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/emergency-switched-off',
    fault: 'O2: the notice of an emergency access can be switched off.',
    file: NOTICE,
    find: "['ACCES_DMP_PS', 'ACCES_BRIS_GLACE', 'INVITATION_ANNONCE']",
    replace: "['ACCES_DMP_PS', 'INVITATION_ANNONCE']",
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/attending-not-told',
    fault: 'O2: the attending physician does not hear of an emergency access.',
    file: TELL,
    find: 'if (emergency) await tellAttending(work, person, session, until);',
    replace: "if (emergency && session === '') await tellAttending(work, person, session, until);",
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/one-for-all-emergencies',
    fault: 'O2: a second emergency access of the same professional is not told of.',
    file: TELL,
    find: "const token = isEmergency(caller) ? `${caller.claims.issuer} ${caller.claims.tokenId}` : '';",
    replace: "const token = isEmergency(caller) ? caller.claims.issuer : '';",
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/told-at-every-read',
    fault: 'Each request of a session is told of, until nobody reads the notices any more.',
    file: TELL,
    find: '  if (known !== undefined) return;\n  const emergency',
    replace: '  const emergency',
    also: [
      {
        file: TELL,
        find: 'if (told !== undefined && work.now < told) return;',
        replace: 'if (told !== undefined && work.now < 0) return;',
      },
    ],
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/remembered-before-it-is-written',
    fault: 'A session counts as told of although the unit that told of it was undone.',
    file: TELL,
    find: 'if (full) work.afterwards.push(() => remember(work.deps.toldSessions, session, until));',
    replace: 'if (full) remember(work.deps.toldSessions, session, until);',
    caughtBy: ['test/unit/app/notices.test.ts'],
  },
  {
    id: 'notices/preferences-ignored',
    fault: 'The person is told of what they switched off.',
    file: TELL,
    find: '    if (unwanted.has(code)) continue;\n',
    replace: '',
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/caregiver-chooses',
    fault: 'W12: a caregiver switches the holder’s notices off.',
    file: PREFERENCES,
    find: "if (!(await decidesFor(work, person))) return forbidden('W12', 'a caregiver does not manage the space');",
    replace: '',
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/invited-again-and-again',
    fault: 'W7: the step of the announcement clock is not recorded, so that it is taken at every tick.',
    file: ANNOUNCEMENT,
    find: '    await refile(writing, item, filing);\n    const secret',
    replace: '    const secret',
    caughtBy: [NOTICES],
  },
  {
    id: 'notices/sealed-space-announced',
    fault: 'W7, S3: the clock writes into a space that was closed.',
    file: ANNOUNCEMENT,
    find: 'if (!isLiving) return refile(writing, item, filing);',
    replace: 'if (!isLiving && labels.size === 0) return refile(writing, item, filing);',
    caughtBy: [NOTICES],
  },
];

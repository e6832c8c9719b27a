/** The wire: nothing kept by caches, nothing told by errors, nothing read twice in two ways. */
import type { PlantedBug } from '../planted-bug.ts';

const ANSWERS = 'test/unit/http/answer.test.ts';
const DOOR = 'test/unit/http/door.test.ts';
const LOG = 'test/unit/http/log.test.ts';

export const HTTP: readonly PlantedBug[] = [
  {
    id: 'http/cached-answers',
    fault: 'Answers about persons may be kept by a browser’s cache.',
    file: 'server/http/respond.ts',
    find: "  'Cache-Control',\n  'no-store',",
    replace: "  'Cache-Control',\n  'private',",
    caughtBy: [ANSWERS],
  },
  {
    id: 'http/content-runs-in-the-browser',
    fault: 'The content of a Binary is shown and run in the server’s origin.',
    file: 'server/http/respond.ts',
    find: "  'Content-Disposition',\n  'attachment',",
    replace: "  'Content-Disposition',\n  'inline',",
    caughtBy: [ANSWERS],
  },
  {
    id: 'http/duplicate-keys',
    fault: 'A JSON key that stands twice means its last value.',
    file: 'server/fhir/json-text.ts',
    find: 'if (found.members !== scanned.members) {',
    replace: 'if (found.members > scanned.members) {',
    caughtBy: ['test/unit/json-text.test.ts'],
  },
  {
    id: 'http/why-a-token-is-refused',
    fault: 'A 401 tells what was wrong with the token.',
    file: 'server/fhir/outcome.ts',
    find: 'outcome: () => UNAUTHENTICATED',
    replace: "outcome: (f) => (f.why === '' ? UNAUTHENTICATED : single('login', f.why))",
    caughtBy: ['test/unit/outcome.test.ts', LOG],
  },
  {
    id: 'http/error-message-answered',
    fault: 'A 500 quotes the error, and with it what the server was working on.',
    file: 'server/http/server.ts',
    find: 'return known ?? internalError(exchange.requestId);',
    replace: 'return known ?? internalError(String(error));',
    caughtBy: [ANSWERS],
  },
  {
    id: 'http/size-as-declared',
    fault: 'A body without a declared length may be of any size.',
    file: 'server/http/body.ts',
    find: '      if (size > limits.maxBytes) throw tooLarge(limits);\n      yield chunk;',
    replace: '      yield chunk;',
    caughtBy: [DOOR],
  },
  {
    id: 'http/queries-in-the-log',
    fault: 'The log holds the address as it was sent, with ids and search values.',
    file: 'server/http/server.ts',
    find: "        method: request.method ?? '',\n        route: exchange.route,",
    replace: "        method: request.method ?? '',\n        route: request.url ?? exchange.route,",
    caughtBy: [LOG],
  },
  {
    id: 'http/part-passes-for-the-whole',
    fault: 'A stream that ends too early is closed as if it were complete.',
    file: 'server/http/respond.ts',
    find: "if (declared !== undefined && Number(declared) !== sent) cut(response, new Error('not the announced length'));",
    replace: '',
    caughtBy: [ANSWERS],
  },
  {
    id: 'http/any-proxy-is-believed',
    fault: 'The address in the register is what the client says it is.',
    file: 'server/http/client-address.ts',
    find: 'if (proxies.length === 0 || !isTrusted(peer)) return peer;',
    replace: "if (request.headers['x-forwarded-for'] === undefined) return peer;",
    caughtBy: [DOOR],
  },
  {
    id: 'http/conditional-headers-lost',
    fault: '`If-Match` does not reach the application, so that one change undoes another unseen.',
    file: 'server/http/request.ts',
    find: "    'if-match': headers['if-match'],\n",
    replace: '',
    caughtBy: ['test/blackbox/interactions.test.ts#If-Match'],
  },
  {
    id: 'http/page-served-as-a-page',
    fault: 'D-01: a page or a drawing that was fed leaves under its own type, as something that a browser runs.',
    file: 'server/app/interactions/binary.ts',
    find: '!isMediaType(declared) || RUN_BY_BROWSERS.test(declared)',
    replace: '!isMediaType(declared) || (declared === "" && RUN_BY_BROWSERS.test(declared))',
    caughtBy: ['test/blackbox/hostile-content.test.ts#what a professional feeds comes back'],
  },
];

/** Ends well when the server of this tree starts and answers: what does not even start is no fault that a test could notice. */
import { startServer } from '../support/server.ts';
import { createIssuer } from '../support/tokens.ts';

const server = await startServer({
  issuers: (base) => [createIssuer('https://people.test.example', ['patient'], base).entry],
});
await server.dispose();

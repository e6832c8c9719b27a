/** An explanation tells its reader no more than they could read of themselves: neither items out of their sight (D8) nor rights (D7). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serverExists } from '../support/server.ts';
import { entriesOf, get, type Person, post, type Stage, startStage } from './stage.ts';

describe.skipIf(!serverExists())('$explain of an access', () => {
  let s: Stage;
  let p: Person;
  beforeAll(async () => {
    s = await startStage();
    p = await s.person();
    await s.grant(p, 'dr2');
  });
  afterAll(() => s.dispose());

  /** The last event of what somebody did. */
  const lastBy = async (reader: string, who: string): Promise<string> => {
    const path = `AuditEvent?patient=${p.ref}&agent=${who}&_sort=-_lastUpdated&_count=1`;
    return String(entriesOf(await s.done(reader, get(path)))[0]?.resource?.id);
  };

  it('names to the holder none of the items that are hidden from them', async () => {
    const { document: shown } = await s.fed(s.professional('dr1'), s.feed(p));
    const { document: hidden } = await s.fed(s.professional('dr1'), s.feed(p, { labels: ['INVISIBLE_PATIENT'] }));
    const listed = await s.done(s.professional('dr2'), get(`DocumentReference?patient=${p.ref}`));
    expect(listed.text).toContain(hidden.split('/')[1]);
    const event = await lastBy(s.holder(p), s.known('dr2'));
    const { text } = await s.done(s.holder(p), get(`AuditEvent/${event}/$explain`));
    expect(text).toContain(shown);
    expect(text).not.toContain(hidden);
  });

  it('names to a professional none of the rights that are not theirs to read', async () => {
    const { document } = await s.fed(s.professional('dr2'), s.feed(p, { author: s.known('dr2') }));
    await s.made(s.holder(p), post(s.consent(p, 'document-default', 'deny')));
    await s.setClock(s.now() + 1000);
    await s.done(s.professional('dr2'), get(document));
    const event = await lastBy(s.professional('dr2'), s.known('dr2'));
    const explained = `AuditEvent/${event}/$explain`;
    expect((await s.done(s.holder(p), get(explained))).text).toContain('document-default');
    const { text } = await s.done(s.professional('dr2'), get(explained));
    expect(text).toContain('professional-access');
    expect(text).not.toContain('document-default');
  });
});

/** rules.md O1, W8 and contract.md "AuditEvents on the wire" as far as writes go: one event for each person and request, refusals too. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  appointmentBody,
  binaryBody,
  communicationBody,
  EX,
  patientBody,
  type Resource,
  relatedPersonBody,
} from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import {
  type Ask,
  del,
  entriesOf,
  get,
  mask,
  operation,
  type Person,
  patch,
  post,
  put,
  refIn,
  type Stage,
  startStage,
} from './stage.ts';

type Event = {
  readonly id?: string;
  readonly meta?: { readonly tag?: readonly { readonly system?: string; readonly code?: string }[] };
  readonly action: string;
  readonly outcome: string;
  readonly subtype?: readonly { readonly code?: string }[];
  readonly agent: readonly {
    readonly requestor: boolean;
    readonly who?: { readonly reference?: string; readonly identifier?: object };
    readonly extension?: readonly { readonly url: string; readonly valueString?: string }[];
    readonly purposeOfUse?: readonly { readonly coding: readonly { readonly code?: string }[] }[];
  }[];
  readonly entity: readonly {
    readonly what?: { readonly reference?: string; readonly identifier?: { readonly value?: string } };
    readonly type?: { readonly code?: string };
    readonly detail?: readonly { readonly type: string; readonly valueString?: string }[];
  }[];
};

describe.skipIf(!serverExists())('the register of accesses, of writes', () => {
  let s: Stage;
  beforeAll(async () => {
    s = await startStage();
  });
  afterAll(async () => {
    await s.dispose();
  });

  /** Does something a second later than anything before, and answers with the status and the events of that request. */
  const recorded = async (
    token: () => string,
    ask: Ask,
  ): Promise<{
    readonly status: number;
    readonly location: string;
    readonly refs: readonly string[];
    readonly events: readonly Event[];
  }> => {
    await s.setClock(s.now() + 1000);
    const answer = await s.ask(token(), ask);
    const id = answer.headers.get('x-request-id');
    const found = await s.done(s.operator(), get(`AuditEvent?date=${new Date(s.now()).toISOString()}&_count=200`));
    const events = entriesOf(found)
      .map((entry) => entry.resource as unknown as Event)
      .filter((event) =>
        event.entity.some((one) => one.type?.code === 'XrequestId' && one.what?.identifier?.value === id),
      );
    return {
      status: answer.status,
      location: refIn(answer.headers.get('location')),
      refs: entriesOf(answer).map((entry) => refIn(entry.response?.location)),
      events,
    };
  };
  const person = (event: Event | undefined): string | undefined =>
    event?.entity.find((one) => one.what?.reference?.startsWith('Patient/'))?.what?.reference;
  const items = (event: Event | undefined): readonly (string | undefined)[] =>
    (event?.entity ?? [])
      .map((one) => one.what?.reference)
      .filter((ref) => ref !== undefined && !ref.startsWith('Patient/'));
  const rules = (event: Event | undefined): readonly (string | undefined)[] =>
    (event?.entity.find((one) => one.what?.reference?.startsWith('Patient/'))?.detail ?? [])
      .filter((one) => one.type === 'rule')
      .map((one) => one.valueString);
  const requestor = (event: Event | undefined): Event['agent'][number] | undefined =>
    event?.agent.find((one) => one.requestor);
  const related = (of: Person): Resource => relatedPersonBody(of.ref, 'PROCHE', []);

  it('each accepted write: exactly one event about the person, with who, what and why', async () => {
    const p = await s.person();
    const h = (): string => s.holder(p);
    const dr1 = (): string => s.professional('dr1');
    const ref = await s.made(h(), post(related(p)));
    const body = await s.body(h(), ref);
    const item = (await s.fed(dr1(), s.feed(p))).document;
    const doomed = await s.made(h(), post(related(p)));
    const consent = await s.grant(p, 'dr2');
    const acts: readonly (readonly [
      what: string,
      token: () => string,
      ask: Ask,
      action: string,
      code: string,
      who: string,
      item: string | undefined,
      rule: RegExp,
    ])[] = [
      ['create', h, post(related(p)), 'C', 'create', p.ref, undefined, /^W21$/],
      [
        'create a Consent',
        h,
        post(s.consent(p, 'emergency-btg', 'deny')),
        'C',
        'create',
        p.ref,
        undefined,
        /^W(9|15)$/,
      ],
      // Nothing is written: what it found is disclosed, under the row that shows it.
      [
        'a conditional create that matches',
        h,
        post(related(p), { 'if-none-exist': `_id=${body.id}` }),
        'C',
        'create',
        p.ref,
        ref,
        /^(D2|S1|L2)$/,
      ],
      ['update', h, put({ ...body, active: false }), 'U', 'update', p.ref, ref, /^W21$/],
      ['update without effect', h, put({ ...body, active: false }), 'U', 'update', p.ref, ref, /^W21$/],
      ['patch', h, patch(ref, [{ op: 'replace', path: '/active', value: true }]), 'U', 'patch', p.ref, ref, /^W21$/],
      ['end a right', h, s.end(consent), 'U', 'patch', p.ref, consent, /^W(9|15)$/],
      ['mask', h, mask(item), 'U', 'operation', p.ref, item, /^W[3-6]$/],
      ['mask again', h, mask(item), 'U', 'operation', p.ref, item, /^W[3-6]$/],
      ['delete', h, del(doomed), 'D', 'delete', p.ref, doomed, /^W21$/],
      [
        'an appointment',
        dr1,
        post(appointmentBody({ patient: p.ref, participants: [s.known('dr1')], labels: [] })),
        'C',
        'create',
        s.known('dr1'),
        undefined,
        /^W17$/,
      ],
      [
        'identity by the insurer',
        () => s.insurer(),
        patch(p.ref, [{ op: 'replace', path: '/gender', value: 'male' }]),
        'U',
        'patch',
        s.known('fund'),
        undefined,
        /^W13$/,
      ],
    ];
    for (const [what, token, ask, action, code, who, named, rule] of acts) {
      const { status, events, location } = await recorded(token, ask);
      const [event] = events;
      const expected = named ?? (location.includes('/') && !location.startsWith('no ') ? location : undefined);
      expect([what, status < 300, events.length, event?.outcome, event?.action, event?.subtype?.[0]?.code]).toEqual([
        what,
        true,
        1,
        '0',
        action,
        code,
      ]);
      expect([what, person(event), requestor(event)?.who?.reference]).toEqual([what, p.ref, who]);
      if (expected !== undefined) expect([what, items(event)]).toEqual([what, [expected]]);
      expect(rules(event).length).toBeGreaterThan(0);
      for (const one of rules(event)) expect([what, one]).toEqual([what, expect.stringMatching(rule)]);
    }
  });

  it('one event for each person of a transaction or a batch; what happened in consequence is named', async () => {
    const [p, q] = [await s.person(), await s.person()];
    const feeder = (): string => s.feeder('s1');
    const entries = [p, q].flatMap((of) => (s.feed(of).body as { readonly entry: readonly object[] }).entry);
    for (const type of ['transaction', 'batch'] as const) {
      const alone = type === 'batch' ? entries.filter((_, index) => index % 2 === 0) : entries;
      const { status, events, refs } = await recorded(feeder, {
        method: 'POST',
        path: '',
        body: { resourceType: 'Bundle', type, entry: alone },
      });
      expect(status).toBe(200);
      if (type === 'transaction') {
        expect(events.map(person).sort()).toEqual([p.ref, q.ref].sort());
        const named = events.flatMap(items);
        expect([...named].sort()).toEqual([...refs].sort());
        for (const event of events)
          expect([event.subtype?.[0]?.code, requestor(event)?.who?.reference]).toEqual(['transaction', s.known('s1')]);
      } else expect(events.length).toBe(1);
    }
    const permit = await s.grant(p, 'dr1');
    const blocked = await recorded(
      () => s.holder(p),
      post(s.consent(p, 'professional-access', 'deny', { actor: s.known('dr1') })),
    );
    expect(blocked.events.length).toBe(1);
    expect([...items(blocked.events[0])].sort()).toEqual([permit, blocked.location].sort());
    const old = (await s.fed(s.professional('dr2'), s.feed(p))).document;
    const replaced = await recorded(() => s.professional('dr2'), s.feed(p, { replaces: old }));
    expect(replaced.events.length).toBe(1);
    expect([...items(replaced.events[0])].sort()).toEqual([old, ...replaced.refs].sort());
  });

  it('about nobody: the directory, a Binary alone', async () => {
    const binary = await recorded(() => s.professional('dr1'), post(binaryBody('x')));
    expect([binary.status, binary.events.length, person(binary.events[0]), items(binary.events[0])]).toEqual([
      201,
      1,
      undefined,
      [binary.location],
    ]);
    const structure = await recorded(
      () => s.operator(),
      patch(s.known('s3'), [{ op: 'replace', path: '/name', value: 'TEST' }]),
    );
    expect([structure.status, structure.events.length, person(structure.events[0])]).toEqual([200, 1, undefined]);
    expect(requestor(structure.events[0])?.who?.identifier).toBeDefined();
    const registered = await recorded(() => s.insurer(), post(patientBody(s.newTraits('1990-01-01'))));
    expect([registered.status, registered.events.length, person(registered.events[0])]).toEqual([
      201,
      1,
      registered.location,
    ]);
  });

  it('each refusal: one event, with the rule', async () => {
    const p = await s.person();
    const item = (await s.fed(s.professional('dr1'), s.feed(p, { labels: ['MASQUE_PS'] }))).document;
    const ref = await s.made(s.holder(p), post(related(p)));
    const acts: readonly (readonly [
      what: string,
      token: () => string,
      ask: Ask,
      status: number,
      rule: string | undefined,
    ])[] = [
      [
        'a broken rule',
        () => s.holder(p),
        post(s.consent(p, 'attending-physician', 'permit', { actor: s.known('dr1') })),
        403,
        'W15',
      ],
      ['a broken rule on an item', () => s.holder(p), del(item), 403, 'W3'],
      ['a shape', () => s.holder(p), post(s.consent(p, 'emergency-btg', 'deny', { actor: s.known('dr1') })), 422, 'A0'],
      ['a hidden item', () => s.professional('dr2', { structure: 's2' }), del(item), 404, undefined],
      [
        'a hidden item, an operation',
        () => s.professional('dr2', { structure: 's2' }),
        operation(item, '$unmask'),
        404,
        undefined,
      ],
      ['no scope', () => s.holder(p, { scope: 'patient/*.rs' }), del(ref), 403, undefined],
    ];
    for (const [what, token, ask, status, rule] of acts) {
      const answer = await recorded(token, ask);
      const [event] = answer.events;
      expect([what, answer.status, answer.events.length, event?.outcome]).toEqual([what, status, 1, '4']);
      expect([what, person(event)]).toEqual([what, p.ref]);
      if (rule !== undefined) expect([what, rules(event)]).toEqual([what, [rule]]);
      if (status === 404) expect(rules(event).length).toBeGreaterThan(0);
    }
    // the holder reads of it; the one who was refused learns nothing from their own events
    const mine = entriesOf(await s.done(s.holder(p), get(`AuditEvent?patient=${p.id}&outcome=4&_count=100`)));
    expect(mine.length).toBeGreaterThanOrEqual(acts.length - 1);
    const transaction = await recorded(() => s.holder(p), {
      method: 'POST',
      path: '',
      body: {
        resourceType: 'Bundle',
        type: 'transaction',
        entry: [
          { resource: related(p), request: { method: 'POST', url: 'RelatedPerson' } },
          { request: { method: 'DELETE', url: item } },
        ],
      },
    });
    expect([transaction.status, transaction.events.length, transaction.events[0]?.outcome]).toEqual([403, 1, '4']);
    expect([person(transaction.events[0]), items(transaction.events[0])]).toEqual([p.ref, [item]]);
    const nobody = await recorded(() => 'x.y.z', del(item));
    expect([nobody.status, nobody.events.length]).toEqual([401, 0]);
    const headers = { authorization: 'Bearer x.y.z', 'content-type': 'application/fhir+json' };
    const broken = await fetch(`${s.base}/Patient`, { method: 'POST', headers, body: '{"broken' });
    expect(broken.status).toBe(401);
  });

  it('what a refusal tells of is named in it: what a condition matched, what a transaction failed on, who was to come', async () => {
    const p = await s.person();
    await s.grant(p, 'dr2');
    const dr1 = (): string => s.professional('dr1');
    const dr2 = (): string => s.professional('dr2', { structure: 's2' });
    const first = (await s.fed(dr1(), s.feed(p))).document;
    const second = (await s.fed(dr1(), s.feed(p))).document;
    const id = first.replace('DocumentReference/', '');
    const body = await s.body(dr2(), first);
    const described = [{ op: 'add', path: '/description', value: 'x' }];
    const several = `DocumentReference?subject=${p.ref}`;
    const entry = (method: string, url: string): Resource => ({
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [{ request: { method, url } }],
    });
    const written = (about: string): Resource => ({
      ...communicationBody({ subject: p.ref, sender: s.known('dr2'), recipient: p.ref, text: 'x' }),
      about: [{ reference: about }],
      status: 'none of R4',
    });
    const acts: readonly (readonly [
      what: string,
      token: () => string,
      ask: Ask,
      status: number,
      rule: string | undefined,
      named: readonly string[],
    ])[] = [
      ['another version', dr1, patch(first, described, { 'if-match': 'W/"9"' }), 412, undefined, [first]],
      ['several matches', dr1, del(several), 412, undefined, [first, second]],
      ['one match', dr2, del(`DocumentReference?_id=${id}`), 403, 'W3', [first]],
      [
        'one match, another id',
        dr2,
        { method: 'PUT', path: `DocumentReference?_id=${id}`, body: { ...body, id: 'another' } },
        400,
        undefined,
        [first],
      ],
      ['a reference by a condition', dr2, post(written(`DocumentReference?_id=${id}`)), 422, undefined, [first]],
      ['a reference by one that nothing meets', dr2, post(written(`${several}&type=none`)), 422, undefined, []],
      ['inside a transaction', dr2, post(entry('DELETE', first)), 403, 'W3', [first]],
      [
        'hidden, inside a transaction',
        () => s.professional('nurse'),
        post(entry('GET', first)),
        404,
        undefined,
        [first],
      ],
      [
        'an appointment of others',
        dr1,
        post(appointmentBody({ patient: p.ref, participants: [s.known('dr2')], labels: [] })),
        403,
        'W17',
        [],
      ],
    ];
    await s.done(s.holder(p), post(s.consent(p, 'professional-access', 'deny', { actor: s.known('nurse') })));
    for (const [what, token, ask, status, rule, named] of acts) {
      const { events, ...answer } = await recorded(token, ask);
      const [event] = events;
      expect([what, answer.status, events.length, event?.outcome]).toEqual([what, status, 1, '4']);
      expect([what, person(event), [...items(event)].sort()]).toEqual([what, p.ref, [...named].sort()]);
      if (rule !== undefined) expect([what, rules(event)]).toEqual([what, [rule]]);
    }
    const other = await s.person();
    const about = (of: Person): Resource =>
      communicationBody({ subject: of.ref, sender: s.known('dr2'), recipient: of.ref, text: 'x' });
    const asked = { 'if-none-exist': `subject=${other.ref}` };
    const both = await recorded(dr2, post(about(p), asked));
    expect([both.status, both.events.map(person).sort()]).toEqual([201, [p.ref, other.ref].sort()]);
    const entries = [
      { resource: about(p), request: { method: 'POST', url: 'Communication', ifNoneExist: `subject=${other.ref}` } },
    ];
    const batch = await recorded(dr2, post({ resourceType: 'Bundle', type: 'batch', entry: entries }));
    expect([batch.status, batch.events.map(person).sort()]).toEqual([200, [p.ref, other.ref].sort()]);
    const shown = await recorded(dr2, post({ ...written(`DocumentReference?_id=${id}`), status: 'completed' }));
    expect([shown.status, shown.events.length, items(shown.events[0])]).toEqual([201, 1, [first, shown.location]]);
  });

  it('purpose, reason of an emergency, secret session', async () => {
    const p = await s.person();
    const btg = await recorded(() => s.professional('dr1', { purpose: 'BTG', patient: p }), s.feed(p));
    const agent = requestor(btg.events[0]);
    expect([btg.status, btg.events.length]).toEqual([200, 1]);
    expect(agent?.purposeOfUse?.[0]?.coding[0]?.code).toBe('BTG');
    expect(JSON.stringify(agent?.extension)).toContain('person found unconscious in the street');
    const repair = await recorded(
      () => s.operator('repair of a test'),
      put(s.stateConsent(p.ref, 'suspended', { id: p.space })),
    );
    expect([repair.status, JSON.stringify(requestor(repair.events[0])?.extension)]).toEqual([
      200,
      expect.stringContaining('repair of a test'),
    ]);
    await s.toState(p, 'active');
    const secret = await recorded(() => s.professional('dr1', { secret: true }), s.feed(p));
    const tag = { system: `${EX}/CodeSystem/audit`, code: 'secret' };
    expect([secret.status, secret.events[0]?.meta?.tag]).toEqual([200, [tag]]);
    const mine = await recorded(() => s.holder(p, { secret: true }), s.deposit(p));
    expect([mine.status, mine.events[0]?.meta?.tag]).toEqual([200, [tag]]);
    const open = await recorded(() => s.holder(p), s.deposit(p));
    expect([open.status, open.events[0]?.meta?.tag]).toEqual([200, undefined]);
    // shown to the holder, and not to a representative
    const { related: guardian } = await s.delegate(p, 'legal');
    const tagged = async (token: string): Promise<number> =>
      entriesOf(await s.done(token, get(`AuditEvent?patient=${p.id}&_count=200`))).filter(({ resource }) =>
        JSON.stringify(resource?.meta).includes('"secret"'),
      ).length;
    expect(await tagged(s.holder(p))).toBe(2);
    expect(await tagged(s.representative(guardian, p))).toBe(0);
    // nor to the professional whose session it was; and nobody finds by it what does not show it
    const seenBy = async (token: string, search: string): Promise<readonly string[]> =>
      entriesOf(await s.done(token, get(`AuditEvent?patient=${p.id}&_count=200&${search}`))).map(({ resource }) =>
        String(resource?.id),
      );
    expect(await seenBy(s.professional('dr1'), '')).toContain(secret.events[0]?.id);
    expect(await tagged(s.professional('dr1'))).toBe(0);
    const one = await s.done(s.professional('dr1'), get(`AuditEvent/${secret.events[0]?.id}`));
    expect([one.status, (one.json as Event | undefined)?.meta?.tag]).toEqual([200, undefined]);
    for (const token of [s.holder(p), s.representative(guardian, p), s.professional('dr1')])
      expect(await seenBy(token, `_tag=${encodeURIComponent(`${tag.system}|secret`)}`)).toEqual([]);
  });
});

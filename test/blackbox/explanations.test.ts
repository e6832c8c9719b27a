/** The operations that explain, over HTTP: what they say is what the server does, they leave nothing behind, and they show no more than their reader sees. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { baseInstant, matrix, people, professionals, tameWorld } from '../oracle/arbitraries.ts';
import type { ConsentItem, World, WorldCaller } from '../oracle/world.ts';
import {
  binaryBody,
  careTeamBody,
  consentBody,
  documentBody,
  EX,
  organizationBody,
  patientBody,
  practitionerBody,
  practitionerRoleBody,
  type Resource,
  relatedPersonBody,
  transactionBody,
} from '../support/fhir-bodies.ts';
import { serverExists, startServer, type TestServer } from '../support/server.ts';
import { createIssuer, type TestIssuer } from '../support/tokens.ts';
import {
  type Answer,
  buildWorld,
  createMint,
  type Ids,
  type Mint,
  nationalId,
  send,
  structureId,
  traitsOf,
} from '../support/world.ts';

type Part = {
  readonly name: string;
  readonly part?: readonly Part[];
  readonly valueCode?: string;
  readonly valueString?: string;
  readonly valueBoolean?: boolean;
  readonly valueInteger?: number;
  readonly valueInstant?: string;
  readonly valueUrl?: string;
  readonly valueReference?: { readonly reference: string; readonly display?: string };
};
const partsOf = (answer: Answer): readonly Part[] => (answer.json?.parameter ?? []) as readonly Part[];
const all = (parts: readonly Part[] | undefined, name: string): readonly Part[] =>
  (parts ?? []).filter((p) => p.name === name);
const one = (parts: readonly Part[] | undefined, name: string): Part | undefined => all(parts, name)[0];
const ref = (parts: readonly Part[] | undefined, name: string): string | undefined =>
  one(parts, name)?.valueReference?.reference;
const codesOf = (parts: readonly Part[] | undefined, name: string): readonly (string | undefined)[] =>
  all(parts, name).map((p) => p.valueCode);
const french = (parts: readonly Part[] | undefined): string | undefined =>
  one(one(parts, 'sentence')?.part, 'fr')?.valueString;
const english = (parts: readonly Part[] | undefined): string | undefined =>
  one(one(parts, 'sentence')?.part, 'en')?.valueString;
const ruleOf = (answer: Answer): string | undefined =>
  (answer.json as { issue?: { details?: { coding?: { code?: string }[] } }[] } | undefined)?.issue?.[0]?.details
    ?.coding?.[0]?.code;
const parameters = (...parameter: readonly object[]): Resource => ({ resourceType: 'Parameters', parameter });

const professional = (
  person: string,
  structure: string,
  profession = '10',
  purpose: 'TREAT' | 'BTG' | 'ETREAT' = 'TREAT',
): WorldCaller => ({
  kind: 'professional',
  person,
  structure,
  profession,
  purpose,
  ...(purpose === 'TREAT' ? {} : { patient: 'p2' }),
});
const holder: WorldCaller = { kind: 'patient', person: 'p2' };
const caregiver: WorldCaller = { kind: 'representative', related: 'aide', actsFor: 'p2' };

const at = (text: string): number => Date.parse(text);
const built = at('2026-10-01T08:00:00Z');
const filed = at('2026-10-02T08:00:00Z');
const visited = at('2026-10-03T08:00:00Z');
const asked = at('2026-10-05T08:00:00Z');
const minute = 60_000;

describe.skipIf(!serverExists())('a space with its people', () => {
  let server: TestServer;
  let mint: Mint;
  let narrow: TestIssuer;
  const ids = new Map<string, string>();
  let now = built;
  const idOf = (name: string): string => ids.get(name) ?? `missing ${name}`;
  const literal = (name: string): string => `${name.split('/')[0]}/${idOf(name)}`;

  const clock = async (instant: number): Promise<void> => {
    now = instant;
    await server.setClock(instant);
  };
  const ask = (caller: WorldCaller, method: string, path: string, body?: Resource): Promise<Answer> =>
    send(server.base, { method, path, token: mint(caller, ids, now), ...(body === undefined ? {} : { body }) });
  const make = async (caller: WorldCaller, body: Resource, name: string): Promise<void> => {
    const answer = await ask(caller, 'POST', body.resourceType, body);
    if (answer.status !== 201) throw new Error(`${name}: ${answer.status} ${answer.text}`);
    ids.set(`${body.resourceType}/${name}`, String(answer.json?.id));
  };
  const consent = (parts: Omit<Parameters<typeof consentBody>[0], 'patient' | 'performer' | 'dateTime'>): Resource =>
    consentBody({
      patient: literal('Patient/p2'),
      performer: literal('Patient/p2'),
      dateTime: new Date(now).toISOString(),
      ...parts,
    });
  const feed = async (caller: WorldCaller, name: string, labels: readonly string[]): Promise<void> => {
    const author =
      caller.kind === 'professional' ? literal(`Practitioner/${caller.person}`) : literal('Organization/s2');
    const urn = (tail: string): string => `urn:uuid:00000000-0000-4000-8000-0000000000${tail}`;
    const number = String(10 + ids.size);
    const answer = await ask(
      caller,
      'POST',
      '',
      transactionBody([
        { fullUrl: urn('01'), resource: binaryBody(`content of ${name}`) },
        {
          fullUrl: urn('02'),
          resource: documentBody({
            uniqueId: urn(number),
            typeCode: '11488-4',
            subject: literal('Patient/p2'),
            traits: traitsOf('p2'),
            author,
            labels,
            date: new Date(now).toISOString(),
            binary: urn('01'),
            title: name,
          }),
        },
      ]),
    );
    if (answer.status !== 200) throw new Error(`${name}: ${answer.status} ${answer.text}`);
    const made = (answer.json?.entry ?? []) as readonly { readonly response: { readonly location: string } }[];
    for (const [index, type] of ['Binary', 'DocumentReference'].entries())
      ids.set(`${type}/${name}`, made[index]?.response.location.split('/').at(-3) ?? '');
  };
  const whoCanSee = (caller: WorldCaller, name: string): Promise<Answer> =>
    ask(caller, 'GET', `${literal(name)}/$who-can-see`);
  const evaluate = (caller: WorldCaller, ...parameter: readonly object[]): Promise<Answer> =>
    ask(caller, 'POST', 'Consent/$evaluate', parameters(...parameter));
  const actorOf = (answer: Answer, name: string, structure?: string): readonly Part[] | undefined =>
    all(partsOf(answer), 'actor').find(
      (actor) =>
        [ref(actor.part, 'practitioner'), ref(actor.part, 'relatedPerson'), ref(actor.part, 'structure')].includes(
          literal(name),
        ) &&
        (structure === undefined || ref(actor.part, 'structure') === literal(structure)) &&
        name.startsWith('Organization') === (one(actor.part, 'kind')?.valueCode === 'structure'),
    )?.part;
  const accessOf = (actor: readonly Part[] | undefined, mode: string): readonly Part[] | undefined =>
    all(actor, 'access').find((access) => one(access.part, 'mode')?.valueCode === mode)?.part;
  const decisionOf = (actor: readonly Part[] | undefined, mode: string): string | undefined =>
    one(accessOf(actor, mode), 'decision')?.valueCode;
  /** Everything stored about the person but the register of accesses, as the operator of the test sees it. */
  const snapshot = async (): Promise<string> => {
    const found: string[] = [];
    for (const type of ['Consent', 'CareTeam', 'DocumentReference', 'RelatedPerson', 'Binary', 'Communication']) {
      const answer = await ask(holder, 'GET', `Patient/${idOf('Patient/p2')}/${type}?_count=200&_sort=_id`);
      const entries = (answer.json?.entry ?? []) as readonly { readonly resource: Resource }[];
      for (const { resource } of entries) {
        const history = await ask(holder, 'GET', `${type}/${resource.id}/_history`);
        found.push(JSON.stringify(resource), JSON.stringify(history.json?.entry));
      }
    }
    return found.join('\n');
  };
  const eventsOf = async (query: string): Promise<readonly Resource[]> => {
    const answer = await ask(holder, 'GET', `AuditEvent?${query}&_count=200&_sort=-_lastUpdated`);
    return ((answer.json?.entry ?? []) as readonly { readonly resource: Resource }[]).map((entry) => entry.resource);
  };

  beforeAll(async () => {
    server = await startServer({
      issuers: (base) => {
        const made = createMint(base);
        mint = made.mint;
        narrow = createIssuer('https://narrow.test.example', ['patient'], base);
        return [...made.entries, narrow.entry];
      },
      policy: { matrix },
      clock: built,
    });
    const operator: WorldCaller = { kind: 'operator' };
    const insurer: WorldCaller = { kind: 'insurer' };
    for (const id of ['s1', 's2', 's3', 'caisse'])
      await make(operator, organizationBody(structureId(id), `TEST ${id.toUpperCase()}`, false), id);
    for (const id of ['dr1', 'dr2', 'nurse', 'none', 'stranger'])
      await make(operator, practitionerBody(nationalId(id), id.toUpperCase()), id);
    await make(operator, practitionerRoleBody(literal('Organization/s1'), literal('Practitioner/dr1')), 'dr1-s1');
    await make(insurer, patientBody(traitsOf('p2')), 'p2');
    const byInsurer = { performer: literal('Organization/caisse') };
    await make(insurer, { ...consent({ kind: 'space-existence', provision: 'permit', state: 'active' }) }, 'space');
    await make(
      insurer,
      {
        ...consent({ kind: 'attending-physician', provision: 'permit', actor: literal('Practitioner/dr2') }),
        performer: [{ reference: byInsurer.performer }],
      },
      'attending',
    );
    await make(
      holder,
      consent({ kind: 'professional-access', provision: 'permit', actor: literal('Practitioner/dr1') }),
      'dr1',
    );
    await make(
      { kind: 'feeder', structure: 's2' },
      careTeamBody({
        subject: literal('Patient/p2'),
        organization: literal('Organization/s2'),
        members: [literal('Practitioner/nurse')],
        status: 'active',
      }),
      'team',
    );
    await make(holder, relatedPersonBody(literal('Patient/p2'), 'Aide', []), 'aide');
    await make(
      holder,
      consent({
        kind: 'delegation',
        provision: 'permit',
        actor: literal('RelatedPerson/aide'),
        delegationKind: 'caregiver',
      }),
      'delegation',
    );
    await clock(filed);
    await feed(professional('dr1', 's1'), 'letter', []);
    await feed({ kind: 'feeder', structure: 's2' }, 'masked', ['MASQUE_PS']);
    await feed(professional('dr1', 's1'), 'hidden', ['INVISIBLE_PATIENT']);
    await feed(professional('dr2', 's3'), 'private', ['INVISIBLE_REPRESENTANTS_LEGAUX']);
    await clock(visited);
    await ask(professional('dr1', 's1'), 'GET', literal('DocumentReference/private'));
    await clock(visited + 10 * minute);
    await ask(professional('dr1', 's1'), 'GET', literal('Binary/letter'));
    await clock(visited + 60 * minute);
    await ask(professional('dr1', 's1'), 'GET', literal('DocumentReference/letter'));
    await clock(visited + 61 * minute);
    await ask(professional('stranger', 's3'), 'GET', literal('DocumentReference/letter'));
    await ask(professional('stranger', 's3', '10', 'BTG'), 'GET', literal('DocumentReference/letter'));
    await clock(asked);
  });
  afterAll(() => server?.dispose());

  describe('$who-can-see', () => {
    test('names everybody concerned as the directory does, with the reason of each', async () => {
      const answer = await whoCanSee(holder, 'DocumentReference/letter');
      expect(answer.status).toBe(200);
      const dr1 = actorOf(answer, 'Practitioner/dr1');
      expect(one(dr1, 'practitioner')?.valueReference?.display).toBe('DR1 ESSAI');
      expect(one(dr1, 'structure')?.valueReference?.display).toBe('TEST S1');
      expect(codesOf(dr1, 'source')).toEqual(['access', 'author', 'consent']);
      expect(decisionOf(dr1, 'TREAT')).toBe('permit');
      expect(french(accessOf(dr1, 'TREAT'))).toBe('Ce professionnel est autorisé.');
      const dr2 = actorOf(answer, 'Practitioner/dr2');
      expect(english(accessOf(dr2, 'TREAT'))).toBe('This is your attending physician.');
      expect(one(dr2, 'professionAssumed')?.valueBoolean).toBe(true);
      const nurse = actorOf(answer, 'Practitioner/nurse', 'Organization/s2');
      expect(french(accessOf(nurse, 'TREAT'))).toBe('Ce professionnel fait partie de votre équipe de soins.');
      const stranger = actorOf(answer, 'Practitioner/stranger');
      expect(decisionOf(stranger, 'TREAT')).toBe('deny');
      expect(codesOf(accessOf(stranger, 'TREAT'), 'rule')).toEqual(['A3']);
      expect(french(accessOf(stranger, 'TREAT'))).toBe('Aucune autorisation n’est ouverte.');
      expect(decisionOf(stranger, 'BTG')).toBe('permit');
      expect(decisionOf(actorOf(answer, 'RelatedPerson/aide'), 'representing')).toBe('permit');
    });

    test('tells what masking does, and what it does not', async () => {
      const answer = await whoCanSee(holder, 'DocumentReference/masked');
      expect(french(accessOf(actorOf(answer, 'Practitioner/dr1'), 'TREAT'))).toBe(
        'Cet élément est masqué aux professionnels.',
      );
      expect(french(accessOf(actorOf(answer, 'Practitioner/dr2'), 'TREAT'))).toBe(
        'C’est votre médecin traitant. Il voit aussi ce qui est masqué : il est médecin traitant.',
      );
      expect(english(accessOf(actorOf(answer, 'Practitioner/nurse', 'Organization/s2'), 'TREAT'))).toContain(
        'they wrote it',
      );
      const software = all(partsOf(answer), 'actor').find((a) => one(a.part, 'kind')?.valueCode === 'software');
      expect(ref(software?.part, 'structure')).toBe(literal('Organization/s2'));
      expect(one(accessOf(software?.part, 'feeding'), 'content')?.valueBoolean).toBe(false);
    });

    test('says of each actor and purpose what they get', async () => {
      for (const name of ['letter', 'masked', 'private']) {
        const answer = await whoCanSee(holder, `DocumentReference/${name}`);
        let compared = 0;
        for (const actor of all(partsOf(answer), 'actor')) {
          const self = [...ids].find(([, id]) => `Practitioner/${id}` === ref(actor.part, 'practitioner'))?.[0];
          const place = [...ids].find(([, id]) => `Organization/${id}` === ref(actor.part, 'structure'))?.[0];
          if (self === undefined) continue;
          for (const profession of codesOf(actor.part, 'profession')) {
            for (const purpose of ['TREAT', 'BTG', 'ETREAT'] as const) {
              const told = accessOf(actor.part, purpose);
              const caller = professional(
                self.slice('Practitioner/'.length),
                place?.slice('Organization/'.length) ?? 's3',
                profession,
                purpose,
              );
              const document = await ask(caller, 'GET', literal(`DocumentReference/${name}`));
              const content = await ask(caller, 'GET', literal(`Binary/${name}`));
              expect([document.status === 200, content.status === 200]).toEqual([
                one(told, 'decision')?.valueCode === 'permit',
                one(told, 'content')?.valueBoolean ?? false,
              ]);
              compared += 1;
            }
          }
        }
        expect(compared).toBeGreaterThanOrEqual(9);
      }
    });

    test('hidden equals absent; professionals do not ask', async () => {
      const absent = await ask(holder, 'GET', 'DocumentReference/none-such/$who-can-see');
      const hidden = await whoCanSee(holder, 'DocumentReference/hidden');
      expect([hidden.status, hidden.text]).toEqual([404, absent.text]);
      expect((await whoCanSee(caregiver, 'DocumentReference/private')).text).toBe(absent.text);
      const refused = await whoCanSee(professional('dr1', 's1'), 'DocumentReference/letter');
      expect([refused.status, ruleOf(refused)]).toEqual([403, 'O4']);
      expect((await whoCanSee(professional('dr1', 's1'), 'DocumentReference/hidden')).text).toBe(refused.text);
      expect((await whoCanSee(caregiver, 'DocumentReference/letter')).status).toBe(200);
    });

    test('works on a Binary and on a RelatedPerson, by POST too', async () => {
      const binary = await whoCanSee(holder, 'Binary/masked');
      expect(codesOf(accessOf(actorOf(binary, 'Practitioner/dr1'), 'TREAT'), 'rule')).toContain('L1');
      const related = await ask(holder, 'POST', `${literal('RelatedPerson/aide')}/$who-can-see`, parameters());
      expect(decisionOf(actorOf(related, 'Practitioner/dr1'), 'TREAT')).toBe('permit');
      const bad = await ask(
        holder,
        'POST',
        `${literal('RelatedPerson/aide')}/$who-can-see`,
        parameters({ name: 'surprise', valueString: 'x' }),
      );
      expect(bad.status).toBe(400);
    });

    test('needs the scope of the type, and says which sources it was not given', async () => {
      const scoped = (scope: string) =>
        send(server.base, {
          path: `${literal('DocumentReference/letter')}/$who-can-see`,
          token: narrow.holder({ now, patient: idOf('Patient/p2'), scope }),
        });
      expect((await scoped('patient/Consent.rs')).status).toBe(403);
      const some = await scoped('patient/DocumentReference.r');
      expect(codesOf(partsOf(some), 'leftOut')).toEqual(['Consent', 'CareTeam', 'AuditEvent']);
      expect(actorOf(some, 'Practitioner/dr2')).toBeUndefined();
      expect(actorOf(some, 'Practitioner/dr1')).toBeDefined();
    });
  });

  describe('Consent/$evaluate', () => {
    const block = (name: string) => ({
      name: 'consent',
      resource: consent({ kind: 'professional-access', provision: 'deny', actor: literal(name) }),
    });
    const changesOf = (answer: Answer, name: string, structure?: string) =>
      all(actorOf(answer, name, structure), 'change').map((change) => ({
        mode: one(change.part, 'mode')?.valueCode,
        effect: one(change.part, 'effect')?.valueCode,
        type: one(change.part, 'type')?.valueCode,
        count: one(change.part, 'count')?.valueInteger,
        items: all(change.part, 'item').map((item) => item.valueReference?.reference),
        text: english(change.part),
      }));

    test('tells what a block would take away, and leaves nothing behind', async () => {
      const before = await snapshot();
      const answer = await evaluate(holder, block('Practitioner/dr1'));
      expect(answer.status).toBe(200);
      const changes = changesOf(answer, 'Practitioner/dr1', 'Organization/s1');
      const documents = changes.filter((c) => c.type === 'DocumentReference');
      expect(documents.map((c) => [c.mode, c.effect])).toEqual([
        ['TREAT', 'loses'],
        ['BTG', 'loses'],
        ['ETREAT', 'loses'],
      ]);
      // Two of the three that dr1 reads: the third is hidden from the holder, and the masked one was not theirs to lose.
      expect(documents[0]?.items).toEqual(
        [literal('DocumentReference/letter'), literal('DocumentReference/private')].sort(),
      );
      expect(documents[0]?.count).toBe(2);
      expect(documents[0]?.text).toBe('You blocked this professional.');
      expect(all(partsOf(answer), 'changes').map((p) => p.valueReference?.reference)).toEqual([literal('Consent/dr1')]);
      expect(actorOf(answer, 'Practitioner/nurse')).toBeUndefined();
      expect(one(partsOf(answer), 'unaffected')?.valueInteger).toBeGreaterThanOrEqual(3);
      expect(await snapshot()).toBe(before);
      expect((await ask(professional('dr1', 's1'), 'GET', literal('DocumentReference/letter'))).status).toBe(200);
    });

    test('tells what an authorisation would give, to somebody who was not known before', async () => {
      const before = await snapshot();
      const answer = await evaluate(holder, {
        name: 'consent',
        resource: consent({ kind: 'professional-access', provision: 'permit', actor: literal('Practitioner/none') }),
      });
      const changes = changesOf(answer, 'Practitioner/none');
      expect(changes.map((c) => [c.mode, c.effect, c.type, c.count])).toEqual([
        ['TREAT', 'gains', 'RelatedPerson', 1],
        ['TREAT', 'gains', 'DocumentReference', 2],
      ]);
      expect(await snapshot()).toBe(before);
    });

    test('of an entry that would be ended, what it gives now', async () => {
      const stored = await ask(holder, 'GET', literal('Consent/dr1'));
      const answer = await evaluate(holder, { name: 'consent', resource: { ...stored.json, status: 'inactive' } });
      expect(changesOf(answer, 'Practitioner/dr1').map((c) => [c.mode, c.effect])).toEqual([
        ['TREAT', 'loses'],
        ['TREAT', 'loses'],
      ]);
      expect((await ask(holder, 'GET', literal('Consent/dr1'))).text).toBe(stored.text);
    });

    test('of a mask and of an unmasking: the one item, for those whom it hides it from', async () => {
      const before = await snapshot();
      const label = (item: string, code: string) => [
        { name: 'item', valueReference: { reference: literal(item) } },
        { name: 'label', valueCode: code },
      ];
      const masking = await evaluate(holder, ...label('DocumentReference/private', 'mask'));
      expect(changesOf(masking, 'Practitioner/dr1')).toEqual(
        ['TREAT', 'BTG', 'ETREAT'].map((mode) => ({
          mode,
          effect: 'loses',
          type: 'DocumentReference',
          count: 1,
          items: [literal('DocumentReference/private')],
          text: expect.stringContaining('masked'),
        })),
      );
      expect(actorOf(masking, 'Practitioner/dr2')).toBeUndefined();
      const unmasking = await evaluate(holder, ...label('DocumentReference/masked', 'unmask'));
      expect(changesOf(unmasking, 'Practitioner/dr1').map((c) => c.effect)).toEqual(['gains', 'gains', 'gains']);
      const everything = await evaluate(holder, {
        name: 'consent',
        resource: consent({ kind: 'document-default', provision: 'deny' }),
      });
      expect(changesOf(everything, 'Practitioner/nurse', 'Organization/s2')).not.toEqual([]);
      expect(await snapshot()).toBe(before);
    });

    test('of an opposition to feeding', async () => {
      const answer = await evaluate(holder, {
        name: 'consent',
        resource: consent({ kind: 'feed-opposition', provision: 'deny', actor: literal('Organization/s1') }),
      });
      expect(one(actorOf(answer, 'Practitioner/dr1', 'Organization/s1'), 'feeding')?.valueCode).toBe('loses');
    });

    test('refuses as the write itself would, and asks nothing of others', async () => {
      const before = await snapshot();
      const other = await evaluate(professional('dr2', 's3'), block('Practitioner/dr1'));
      expect([other.status, ruleOf(other)]).toEqual([403, 'W9']);
      const aide = await evaluate(caregiver, block('Practitioner/dr1'));
      expect([aide.status, ruleOf(aide)]).toEqual([403, 'W12']);
      const shape = await evaluate(holder, {
        name: 'consent',
        resource: { ...block('Practitioner/dr1').resource, policy: [] },
      });
      expect(shape.status).toBe(422);
      const notTheirs = await evaluate(holder, {
        name: 'consent',
        resource: consent({ kind: 'attending-physician', provision: 'permit', actor: literal('Practitioner/dr1') }),
      });
      expect([notTheirs.status, ruleOf(notTheirs)]).toEqual([403, 'W15']);
      const hidden = await evaluate(
        holder,
        { name: 'item', valueReference: { reference: literal('DocumentReference/hidden') } },
        { name: 'label', valueCode: 'mask' },
      );
      expect(hidden.status).toBe(404);
      expect((await evaluate(holder)).status).toBe(400);
      expect((await ask(holder, 'GET', 'Consent/$evaluate')).status).toBe(405);
      const bundled = await ask(holder, 'POST', '', {
        resourceType: 'Bundle',
        type: 'transaction',
        entry: [
          { resource: parameters(block('Practitioner/dr1')), request: { method: 'POST', url: 'Consent/$evaluate' } },
        ],
      });
      expect(bundled.status).toBe(400);
      expect(await snapshot()).toBe(before);
    });

    test('is recorded like a reading, and once', async () => {
      const latest = async () => (await eventsOf('subtype=operation'))[0];
      const last = (await latest())?.id;
      const answer = await evaluate(holder, block('Practitioner/dr1'));
      const recorded = await eventsOf('subtype=operation');
      const mine = recorded.filter((event) =>
        JSON.stringify(event).includes(answer.headers.get('x-request-id') ?? '-'),
      );
      expect(mine).toHaveLength(1);
      expect(mine[0]?.id).not.toBe(last);
      expect(JSON.stringify(mine[0])).toContain(literal('DocumentReference/letter'));
      expect(mine[0]?.action).toBe('R');
    });
  });

  describe('AuditEvent/[id]/$explain', () => {
    const explain = (caller: WorldCaller, event: Resource | undefined): Promise<Answer> =>
      ask(caller, 'GET', `AuditEvent/${event?.id}/$explain`);
    const readBy = async (name: string, outcome: string, item: string): Promise<Resource | undefined> =>
      (await eventsOf(`agent=${literal(name)}&outcome=${outcome}&entity=${literal(item)}&subtype=read`)).find(
        (event) => event.recorded !== undefined && at(String(event.recorded)) < asked,
      );

    test('tells why it was allowed then, and that it would be no more', async () => {
      const event = await readBy('Practitioner/dr1', '0', 'DocumentReference/private');
      const before = await explain(holder, event);
      expect(before.status).toBe(200);
      expect(one(partsOf(before), 'decision')?.valueCode).toBe('permit');
      expect(one(partsOf(before), 'reconstructed')?.valueBoolean).toBe(true);
      expect(french(partsOf(before))).toBe('À ce moment : Ce professionnel est autorisé.');
      expect(one(one(partsOf(before), 'now')?.part, 'decision')?.valueCode).toBe('permit');
      // The right ends afterwards; the explanation of what it allowed does not.
      await clock(asked + minute);
      const stored = await ask(holder, 'GET', literal('Consent/dr1'));
      await ask(holder, 'PUT', literal('Consent/dr1'), { ...stored.json, status: 'inactive' } as unknown as Resource);
      await clock(asked + 2 * minute);
      const answer = await explain(holder, event);
      const parts = partsOf(answer);
      expect(french(parts)).toBe('À ce moment : Ce professionnel est autorisé.');
      expect(codesOf(parts, 'ground')).toEqual(['A3:professional']);
      const fact = all(parts, 'fact').find((f) => one(f.part, 'kind')?.valueCode === 'professional-access');
      expect(ref(fact?.part, 'right')).toBe(`${literal('Consent/dr1')}/_history/1`);
      expect(one(fact?.part, 'stillInForce')?.valueBoolean).toBe(false);
      const now = one(parts, 'now')?.part;
      expect([one(now, 'decision')?.valueCode, codesOf(now, 'rule'), french(now)]).toEqual([
        'deny',
        ['A3'],
        'Aucune autorisation n’est ouverte.',
      ]);
      const renewed = await ask(
        holder,
        'POST',
        'Consent',
        consent({ kind: 'professional-access', provision: 'permit', actor: literal('Practitioner/dr1') }),
      );
      expect(renewed.status).toBe(201);
    });

    test('tells why it was refused', async () => {
      const parts = partsOf(
        await explain(holder, await readBy('Practitioner/stranger', '4', 'DocumentReference/letter')),
      );
      expect(one(parts, 'decision')?.valueCode).toBe('deny');
      expect(codesOf(parts, 'rule')).toContain('A3');
      expect(english(parts)).toBe('At that time: No authorisation is open.');
    });

    test('tells an emergency as one', async () => {
      const parts = partsOf(
        await explain(holder, await readBy('Practitioner/stranger', '0', 'DocumentReference/letter')),
      );
      expect(one(parts, 'purpose')?.valueCode).toBe('BTG');
      expect(french(parts)).toBe('À ce moment : En urgence, vous permettez cet accès.');
    });

    test('shows a reader no more than the event does', async () => {
      const event = await readBy('Practitioner/stranger', '0', 'DocumentReference/letter');
      expect((await explain(professional('dr1', 's1'), event)).status).toBe(404);
      const attending = partsOf(await explain(professional('dr2', 's3'), event));
      expect(english(attending)).toBe('At that time: In an emergency, the person allows this access.');
      expect(all(attending, 'now')).toEqual([]);
      expect(one(attending, 'reconstructed')).toBeUndefined();
      // An act that names only what the caregiver may not see is no act for them.
      const privately = await readBy('Practitioner/dr1', '0', 'DocumentReference/private');
      expect((await explain(holder, privately)).status).toBe(200);
      expect((await explain(caregiver, privately)).status).toBe(404);
    });
  });

  describe('Patient/[id]/$access-register', () => {
    const register = (caller: WorldCaller, query = ''): Promise<Answer> =>
      ask(caller, 'GET', `Patient/${idOf('Patient/p2')}/$access-register${query}`);
    const rightsOf = (answer: Answer) =>
      all(partsOf(answer), 'right').map((right) => ({
        kind: one(right.part, 'kind')?.valueCode,
        actor: ref(right.part, 'actor'),
        origin: one(right.part, 'origin')?.valueCode,
        inForce: one(right.part, 'inForce')?.valueBoolean,
        accesses: one(right.part, 'accesses')?.valueInteger,
      }));
    const during = `?start=2026-10-03&end=2026-10-03`;

    test('lists rights in force and past, with their origin and use', async () => {
      const answer = await register(holder, '?end=2026-10-04');
      expect(answer.status).toBe(200);
      const rights = rightsOf(answer);
      expect(rights).toContainEqual({
        kind: 'attending-physician',
        actor: literal('Practitioner/dr2'),
        origin: 'insurer',
        inForce: true,
        accesses: expect.any(Number),
      });
      expect(rights).toContainEqual({
        kind: 'care-team',
        actor: literal('Practitioner/nurse'),
        origin: 'team',
        inForce: true,
        accesses: 0,
      });
      // dr1's first entry was ended above: a past right, with the accesses of its time.
      expect(rights).toContainEqual({
        kind: 'professional-access',
        actor: literal('Practitioner/dr1'),
        origin: 'given',
        inForce: false,
        accesses: expect.any(Number),
      });
      const past = all(partsOf(answer), 'right').find((r) => ref(r.part, 'source') === literal('Consent/dr1'));
      expect(one(past?.part, 'until')?.valueInstant).toBe(new Date(asked + minute).toISOString());
      expect(one(past?.part, 'lastAccess')?.valueInstant).toBe(new Date(visited + 60 * minute).toISOString());
    });

    test('groups accesses by visit, refused attempts included', async () => {
      const answer = await register(holder, during);
      const visits = all(partsOf(answer), 'visit').map((visit) => ({
        actor: ref(visit.part, 'actor'),
        purpose: one(visit.part, 'purpose')?.valueCode,
        accesses: one(visit.part, 'accesses')?.valueInteger,
        refused: one(visit.part, 'refused')?.valueInteger,
      }));
      const dr1 = literal('Practitioner/dr1');
      const stranger = literal('Practitioner/stranger');
      expect(visits.filter((v) => v.actor === dr1)).toEqual([
        { actor: dr1, purpose: 'TREAT', accesses: 1, refused: 0 },
        { actor: dr1, purpose: 'TREAT', accesses: 2, refused: 0 },
      ]);
      expect(visits.filter((v) => v.actor === stranger)).toEqual(
        expect.arrayContaining([
          { actor: stranger, purpose: 'BTG', accesses: 1, refused: 0 },
          { actor: stranger, purpose: 'TREAT', accesses: 0, refused: 1 },
        ]),
      );
      expect(visits).toHaveLength(4);
    });

    test('is ready for a page, page by page', async () => {
      const page = await register(holder, `${during}&view=page&_count=3`);
      expect(page.headers.get('content-type')).toContain('application/json');
      type Page = {
        readonly rights: readonly {
          readonly actor?: { readonly name?: string };
          readonly label: { readonly fr: string };
        }[];
        readonly visits: readonly { readonly actor?: { readonly name?: string }; readonly events: readonly string[] }[];
        readonly next?: string;
      };
      const first = page.json as unknown as Page;
      expect(first.visits[0]?.actor?.name).toMatch(/ESSAI$/);
      expect(first.rights.map((right) => right.label.fr)).toContain('Médecin traitant');
      expect(first.next).toBeDefined();
      const rest = (await ask(holder, 'GET', first.next ?? '')).json as unknown as Page;
      const events = [...first.visits, ...rest.visits].flatMap((visit) => visit.events);
      expect(new Set(events).size).toBe(5);
      expect(rest.rights).toEqual([]);
      expect((await ask(caregiver, 'GET', first.next ?? '')).status).toBe(400);
    });

    test('is for each reader what they may read', async () => {
      const all3 = all(partsOf(await register(holder, during)), 'visit').length;
      const aide = partsOf(await register(caregiver, during));
      const itemsOf = (parts: readonly Part[]) =>
        all(parts, 'visit').flatMap((visit) => all(visit.part, 'item').map((item) => item.valueReference?.reference));
      expect(itemsOf(aide)).not.toContain(literal('DocumentReference/private'));
      expect(itemsOf(partsOf(await register(holder, during)))).toContain(literal('DocumentReference/private'));
      const attending = partsOf(await register(professional('dr2', 's3'), during));
      expect(all(attending, 'visit')).toHaveLength(all3);
      const own = partsOf(await register(professional('nurse', 's2', '60'), during));
      expect(all(own, 'visit')).toHaveLength(0);
      expect((await register(professional('dr2', 's3', '10', 'BTG'), during)).status).toBe(200);
      expect(all(partsOf(await register(professional('dr2', 's3', '10', 'BTG'), during)), 'visit')).toEqual([]);
      expect((await register({ kind: 'feeder', structure: 's2' }, during)).status).toBe(403);
      expect((await register({ kind: 'operator' }, during)).status).toBe(404);
    });

    test('hides secret sessions from representatives', async () => {
      await clock(asked + 30 * minute);
      await ask({ ...holder, secret: true }, 'GET', literal('DocumentReference/letter'));
      await clock(asked + 31 * minute);
      const secrets = async (caller: WorldCaller) =>
        all(partsOf(await register(caller)), 'visit').filter((v) => one(v.part, 'secret')?.valueBoolean === true);
      expect(await secrets(holder)).toHaveLength(1);
      expect(await secrets(caregiver)).toHaveLength(0);
    });

    test('refuses a period that cannot be', async () => {
      expect((await register(holder, '?start=2026-10-04&end=2026-10-03')).status).toBe(400);
      expect((await register(holder, '?start=yesterday')).status).toBe(400);
      expect((await register(holder, '?view=book')).status).toBe(400);
      const other = await ask(holder, 'GET', 'Patient/someone/$access-register');
      expect(other.status).toBe(404);
    });
  });

  test('the CapabilityStatement names them', async () => {
    const statement = (await send(server.base, { path: 'metadata' })).json as
      | {
          readonly rest?: readonly {
            readonly resource: readonly {
              readonly type: string;
              readonly operation?: readonly { readonly name: string; readonly definition: string }[];
            }[];
          }[];
        }
      | undefined;
    const named = (type: string) =>
      statement?.rest?.[0]?.resource.find((resource) => resource.type === type)?.operation?.map((o) => o.name);
    expect(named('DocumentReference')).toContain('who-can-see');
    expect(named('Consent')).toEqual(['evaluate', 'validate']);
    expect(named('AuditEvent')).toEqual(['explain', 'validate']);
    expect(named('Patient')).toEqual(expect.arrayContaining(['access-register', 'everything']));
    expect(JSON.stringify(statement)).toContain(`${EX}/OperationDefinition/who-can-see`);
  });
});

/** The same entry, of a space that its holder reads. */
const open = ({ period: _without, ...item }: ConsentItem): ConsentItem => ({
  ...item,
  state: 'active',
  provision: 'permit',
});

type Drafting = { readonly kind: string; readonly provision: 'permit' | 'deny'; readonly actor?: string };
const DRAFTS: readonly Drafting[] = [
  { kind: 'professional-access', provision: 'deny', actor: 'Practitioner/dr1' },
  { kind: 'professional-access', provision: 'permit', actor: 'Practitioner/dr2' },
  { kind: 'document-default', provision: 'deny' },
  { kind: 'document-default', provision: 'permit' },
  { kind: 'emergency-btg', provision: 'deny' },
  { kind: 'organization-access', provision: 'permit', actor: 'Organization/s2' },
  { kind: 'organization-access', provision: 'deny', actor: 'Organization/s1' },
  { kind: 'care-team-default', provision: 'deny' },
  { kind: 'emergency-masked', provision: 'permit' },
];

type Site = { readonly base: string; readonly mint: Mint; readonly ids: Ids; readonly world: World };

/** Where what a draft was said to change is not what it changes once it is written; empty when it is. */
async function foretold(site: Site, person: string, draft: Drafting): Promise<readonly string[]> {
  const { base, mint, ids, world } = site;
  const id = (name: string): string => `${name.split('/')[0]}/${ids.get(name)}`;
  const token = (caller: WorldCaller): string => mint(caller, ids, baseInstant);
  const holder = token({ kind: 'patient', person });
  const places = new Map<string, WorldCaller[]>();
  const documents: string[] = [];
  const known = (who: string, structure: string): void => {
    if (!(who in professionals)) return;
    const caller = { kind: 'professional', person: who, structure, profession: professionals[who as 'dr1'] } as const;
    places.set(`${who} ${structure}`, [
      { ...caller, purpose: 'TREAT' },
      { ...caller, purpose: 'BTG', patient: person },
      { ...caller, purpose: 'ETREAT', patient: person },
    ]);
  };
  for (const item of world.items) {
    if (!('person' in item) || item.person !== person) continue;
    if (item.type === 'CareTeam') for (const who of item.formerMembers ?? item.members) known(who, item.structure);
    if (item.type !== 'DocumentReference') continue;
    if ((await send(base, { path: id(`DocumentReference/${item.id}`), token: holder })).status !== 200) continue;
    documents.push(id(`DocumentReference/${item.id}`));
    if (item.filedBy.person !== undefined) known(item.filedBy.person, item.filedBy.structure ?? '');
  }
  const callers = [...places.values()].flat();
  const sight = async (): Promise<readonly string[]> => {
    const found: string[] = [];
    for (const caller of callers) {
      const mine = token(caller);
      for (const path of documents)
        if ((await send(base, { path, token: mine })).status === 200) found.push(`${JSON.stringify(caller)} ${path}`);
    }
    return found;
  };
  const resource = consentBody({
    kind: draft.kind,
    provision: draft.provision,
    patient: id(`Patient/${person}`),
    performer: id(`Patient/${person}`),
    dateTime: new Date(baseInstant).toISOString(),
    ...(draft.actor === undefined ? {} : { actor: id(draft.actor) }),
  });
  const before = await sight();
  const told = await send(base, {
    method: 'POST',
    path: 'Consent/$evaluate',
    token: holder,
    body: parameters({ name: 'consent', resource }),
  });
  const between = await sight();
  const written = await send(base, { method: 'POST', path: 'Consent', token: holder, body: resource });
  const after = await sight();
  const wrong: string[] = [];
  if (before.join() !== between.join()) wrong.push('the evaluation changed what is seen');
  if (told.status !== 200 || written.status !== 201) {
    return told.status === written.status ? wrong : [...wrong, `told ${told.status}, written ${written.status}`];
  }
  const foretellings = new Set<string>();
  for (const actor of all(partsOf(told), 'actor')) {
    for (const change of all(actor.part, 'change')) {
      for (const item of all(change.part, 'item'))
        foretellings.add(
          [
            ref(actor.part, 'practitioner'),
            ref(actor.part, 'structure'),
            one(change.part, 'mode')?.valueCode,
            one(change.part, 'effect')?.valueCode,
            item.valueReference?.reference,
          ].join(' '),
        );
    }
  }
  for (const caller of callers) {
    if (caller.kind !== 'professional') continue;
    for (const path of documents) {
      const line = `${JSON.stringify(caller)} ${path}`;
      const name = (effect: string): string =>
        [
          id(`Practitioner/${caller.person}`),
          id(`Organization/${caller.structure}`),
          caller.purpose,
          effect,
          path,
        ].join(' ');
      for (const [effect, really] of [
        ['gains', after.includes(line) && !before.includes(line)],
        ['loses', before.includes(line) && !after.includes(line)],
      ] as const)
        if (foretellings.has(name(effect)) !== really)
          wrong.push(`${person} ${JSON.stringify(draft)}: ${line} ${effect}: ${really}`);
    }
  }
  return wrong;
}

/** What every actor gets of every item of random worlds, against what `$who-can-see` says of them. */
describe.skipIf(!serverExists())('explanations replayed as decisions', () => {
  const seed = Number(process.env.EXPLAIN_SEED ?? 20260310);
  const worlds = Number(process.env.EXPLAIN_WORLDS ?? 1);

  test.each(Array.from({ length: worlds }, (_, index) => seed + index))(
    'world %i',
    { timeout: 300_000 },
    async (each) => {
      const found = fc.sample(tameWorld, { seed: each, numRuns: 1 })[0] as World;
      const world: World = {
        ...found,
        items: found.items.map((item) =>
          item.type === 'Consent' && item.kind === 'space-existence' ? open(item) : item,
        ),
      };
      let mint: Mint | undefined;
      const server = await startServer({
        issuers: (base) => {
          const made = createMint(base);
          mint = made.mint;
          return made.entries;
        },
        policy: { ...world.policy, clockToleranceSeconds: 0 },
        clock: baseInstant,
      });
      try {
        if (mint === undefined) throw new Error('no issuers were made');
        const minted = mint;
        const ids = await buildWorld(world, { base: server.base, mint: minted, setClock: server.setClock });
        await server.setClock(baseInstant);
        const logical = new Map([...ids].map(([name, id]) => [`${name.split('/')[0]}/${id}`, name]));
        const get = (caller: WorldCaller, path: string): Promise<Answer> =>
          send(server.base, { path, token: minted(caller, ids, baseInstant) });
        const disagreements: string[] = [];
        let compared = 0;
        for (const item of world.items) {
          if (!['DocumentReference', 'RelatedPerson', 'Appointment', 'List', 'Binary'].includes(item.type)) continue;
          const id = ids.get(`${item.type}/${item.id}`);
          const person =
            'person' in item
              ? item.person
              : world.items.flatMap((d) =>
                  d.type === 'DocumentReference' && item.type === 'Binary' && d.id === item.document ? [d.person] : [],
                )[0];
          if (id === undefined || person === undefined) continue;
          const path = `${item.type}/${id}`;
          const answer = await get({ kind: 'patient', person }, `${path}/$who-can-see`);
          expect(answer.status).toBe((await get({ kind: 'patient', person }, path)).status);
          for (const actor of all(partsOf(answer), 'actor')) {
            const kind = one(actor.part, 'kind')?.valueCode;
            const self = logical.get(
              ref(actor.part, kind === 'representative' ? 'relatedPerson' : 'practitioner') ?? '',
            );
            const structure = logical.get(ref(actor.part, 'structure') ?? '')?.slice('Organization/'.length);
            for (const told of all(actor.part, 'access')) {
              const mode = one(told.part, 'mode')?.valueCode ?? '';
              const callers: readonly WorldCaller[] =
                kind === 'representative' && self !== undefined
                  ? [{ kind: 'representative', related: self.slice('RelatedPerson/'.length), actsFor: person }]
                  : kind === 'software' && structure !== undefined
                    ? [{ kind: 'feeder', structure }]
                    : self === undefined
                      ? []
                      : codesOf(actor.part, 'profession').map((profession) => ({
                          kind: 'professional',
                          person: self.slice('Practitioner/'.length),
                          profession: profession ?? '',
                          structure: structure ?? 's3',
                          purpose: mode as 'TREAT',
                          ...(mode === 'TREAT' ? {} : { patient: person }),
                        }));
              for (const caller of callers) {
                // Somebody known in no place is judged without one: asked from a place that nothing of this world is about.
                if (caller.kind === 'professional' && structure === undefined) continue;
                const status = (await get(caller, path)).status;
                compared += 1;
                if ((status === 200) !== (one(told.part, 'decision')?.valueCode === 'permit'))
                  disagreements.push(
                    `${path} (${item.id}) ${JSON.stringify(caller)}: ${status}, told ${JSON.stringify(told)}`,
                  );
                const rules = codesOf(told.part, 'rule');
                if (rules.length === 0) disagreements.push(`${path} ${JSON.stringify(caller)}: no rule`);
                if ((english(told.part) ?? '') === '') disagreements.push(`${path}: no sentence`);
              }
            }
          }
        }
        expect(disagreements, `seed ${each}`).toEqual([]);
        expect(compared, `seed ${each}`).toBeGreaterThan(50);
        for (const [index, person] of people.entries()) {
          const draft = DRAFTS[(each + index) % DRAFTS.length] as Drafting;
          expect(await foretold({ base: server.base, mint: minted, ids, world }, person, draft)).toEqual([]);
        }
      } finally {
        await server.dispose();
      }
    },
  );
});

/** The operations that explain, over HTTP: what they say is what the server does, they leave nothing behind, and they show no more than their reader sees. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { baseInstant, matrix, tameWorld } from '../oracle/arbitraries.ts';
import type { World, WorldCaller } from '../oracle/world.ts';
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
import { type Answer, buildWorld, createMint, type Mint, nationalId, send, structureId, traitsOf } from '../support/world.ts';

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
    const author = caller.kind === 'professional' ? literal(`Practitioner/${caller.person}`) : literal('Organization/s2');
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
        (name.startsWith('Organization') === (one(actor.part, 'kind')?.valueCode === 'structure')),
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
        return made.entries;
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
      { ...consent({ kind: 'attending-physician', provision: 'permit', actor: literal('Practitioner/dr2') }), performer: [{ reference: byInsurer.performer }] },
      'attending',
    );
    await make(holder, consent({ kind: 'professional-access', provision: 'permit', actor: literal('Practitioner/dr1') }), 'dr1');
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
    await make(
      professional('none', 's3', '98'),
      consent({ kind: 'professional-access', provision: 'permit', actor: literal('Practitioner/none') }),
      'refused',
    ).catch(() => undefined);
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
      expect(codesOf(dr1, 'source')).toEqual(['access', 'author']);
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
          token: remint(holder, scope),
        });
      expect((await scoped('patient/Consent.rs')).status).toBe(403);
      const narrow = await scoped('patient/DocumentReference.r');
      expect(codesOf(partsOf(narrow), 'leftOut')).toEqual(['Consent', 'CareTeam', 'AuditEvent']);
      expect(actorOf(narrow, 'Practitioner/dr2')).toBeUndefined();
      expect(actorOf(narrow, 'Practitioner/dr1')).toBeDefined();
    });
  });

  /** A token of the same caller with other scopes; the issuer signs any. */
  const remint = (caller: WorldCaller, scope: string): string =>
    mint(caller, ids, now, scope);
});

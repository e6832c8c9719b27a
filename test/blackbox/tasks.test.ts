/**
 * D12: tasks that the server writes of quarantined feeds. No client creates one, so the test writes them as the server does, and asks over
 * real HTTP who sees them and who changes what.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAccess } from '../../server/access/access.ts';
import type { Caller } from '../../server/access/caller.ts';
import { accessOptions } from '../../server/app/caller-access.ts';
import { quarantine } from '../../server/app/types/task.ts';
import type { Work } from '../../server/app/work.ts';
import type { Ref } from '../../server/fhir/types.ts';
import type { ResourceStore } from '../../server/ports/store.ts';
import { baseInstant, matrix } from '../oracle/arbitraries.ts';
import type { Item, SpaceState, World, WorldCaller } from '../oracle/world.ts';
import { depsFor, type InProcess, listen, mintToken, storeShelf } from '../support/in-process.ts';
import { record, sameIds } from '../support/twins.ts';

const policy = {
  emergencyOverridesBlock: false,
  payerDataToProfessionals: false,
  emergencyMaskedUnlessDenied: false,
  accessSessionMinutes: 60,
  depositMaxBytes: 1000,
  clockToleranceSeconds: 0,
  matrix,
};
const space = (person: string, state: SpaceState): Item => ({
  type: 'Consent',
  id: `space-${person}`,
  person,
  kind: 'space-existence',
  provision: state === 'active' ? 'permit' : 'deny',
  actors: [],
  status: 'active',
  state,
  writtenBy: { side: 'insurer' },
});
const world: World = {
  policy,
  items: [
    { type: 'Organization', id: 's1' },
    { type: 'Organization', id: 's2' },
    { type: 'Organization', id: 'caisse' },
    { type: 'Practitioner', id: 'dr1' },
    { type: 'Patient', id: 'p1' },
    space('p1', 'active'),
    { type: 'Patient', id: 'p2' },
    space('p2', 'closed'),
  ],
};

const operator: WorldCaller = { kind: 'operator' };
const s1: WorldCaller = { kind: 'feeder', structure: 's1' };
const others: readonly WorldCaller[] = [
  { kind: 'patient', person: 'p1' },
  { kind: 'professional', person: 'dr1', profession: '10', structure: 's1', purpose: 'TREAT' },
  { kind: 'insurer' },
];

let store: ResourceStore;
let server: InProcess;
let dispose: () => Promise<void>;
/** Of an active space, of a closed one, of nobody whom the register knows. */
let known = '';
let closed = '';
let unknown = '';

const send = async (
  caller: WorldCaller,
  method: string,
  path: string,
  body?: object,
  contentType = 'application/fhir+json',
) => {
  const answer = await server.send({
    method,
    path,
    headers: {
      accept: 'application/fhir+json',
      authorization: `Bearer ${mintToken(caller, sameIds(world), baseInstant)}`,
      ...(body === undefined ? {} : { 'content-type': contentType }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, text: answer.body, json: answer.body === '' ? undefined : JSON.parse(answer.body) };
};
const found = async (caller: WorldCaller, path = 'Task'): Promise<readonly string[]> =>
  ((await send(caller, 'GET', path)).json.entry ?? []).map((e: { resource: { id: string } }) => e.resource.id).sort();

beforeAll(async () => {
  const shelf = await storeShelf();
  store = await shelf.open('tasks');
  let made = 0;
  const nextId = () => `made-${String(++made)}`;
  const deps = depsFor({ store, policy, now: () => baseInstant, nextId });
  await record(world, store, deps, 'directory');
  await record(world, store, deps, 'persons');
  const depositor: Caller = {
    kind: 'feeder',
    self: 'Organization/s1',
    structure: 'Organization/s1',
    claims: {
      kind: 'feeder',
      issuer: 'https://backends.test.example',
      clientId: 'software',
      subject: 'software',
      tokenId: 't',
      issuedAt: 0,
      expiresAt: 0,
      scopes: [],
      secret: false,
      structure: { system: '', value: '' },
    },
  };
  await store.unit(async (unit) => {
    const work: Work = {
      deps,
      unit,
      caller: depositor,
      access: createAccess(accessOptions(deps, depositor, baseInstant)),
      now: baseInstant,
      newId: nextId,
      traces: [],
      asked: new Set(),
      persons: new Set(),
      probed: [],
      written: { any: false },
      created: new Map(),
      uploads: new Map(),
      afterwards: [],
      provides: { level: undefined },
      stale: new Set(),
    };
    const input = [{ type: { text: 'bundle' }, value: { valueString: 'sha1' } }];
    const of = async (person: Ref | undefined) =>
      (await quarantine(work, { person, reason: 'the identity is not that of the person, qualified', input })).id;
    known = await of('Patient/p1');
    closed = await of('Patient/p2');
    unknown = await of(undefined);
  });
  server = await listen();
  server.serve({ store, policy, now: () => baseInstant, nextId, requestId: () => 'r' });
  dispose = async () => {
    await server.close();
    await store.close();
    await shelf.dispose();
  };
});
afterAll(() => dispose());

describe('the tasks of quarantined feeds', () => {
  it('are all the operator’s; a structure sees those of its own deposits, where the space answers', async () => {
    expect(await found(operator)).toEqual([known, closed, unknown].sort());
    expect(await found(s1)).toEqual([known, unknown].sort());
    expect((await send(s1, 'GET', `Task/${unknown}`)).json.requester).toEqual({ reference: 'Organization/s1' });
    expect((await send(s1, 'GET', `Task/${closed}`)).status).toBe(404);
    expect(await found({ kind: 'feeder', structure: 's2' })).toEqual([]);
    expect((await send({ kind: 'feeder', structure: 's2' }, 'GET', `Task/${known}`)).status).toBe(404);
  });

  it('and limited to one person, only those that are about that person', async () => {
    expect(await found({ ...s1, patient: 'p1' })).toEqual([known]);
    expect(await found({ kind: 'operator', patient: 'p1' })).toEqual([known]);
    expect(await found(operator, 'Task?patient=Patient/p2&status=requested')).toEqual([closed]);
    expect(await found(operator, 'Task?patient:missing=true')).toEqual([unknown]);
  });

  it('are nobody else’s: a search is refused, a read finds nothing', async () => {
    for (const caller of others) {
      const search = await send(caller, 'GET', 'Task');
      expect([caller.kind, search.status]).toEqual([caller.kind, 403]);
      expect(search.text).toContain('"code":"D12"');
      for (const id of [known, unknown, 'never'])
        expect([caller.kind, (await send(caller, 'GET', `Task/${id}`)).status]).toEqual([caller.kind, 404]);
    }
  });

  it('are closed by the operator, who changes nothing else; nobody creates or deletes one', async () => {
    const body = (await send(operator, 'GET', `Task/${known}`)).json;
    const ask = async (caller: WorldCaller, changes: object) =>
      (await send(caller, 'PUT', `Task/${known}`, { ...body, ...changes })).status;
    expect(await ask(s1, { status: 'completed' })).toBe(403);
    expect(await ask(others[0] as WorldCaller, { status: 'completed' })).toBe(404);
    expect(await ask(operator, { for: { reference: 'Patient/p2' } })).toBe(403);
    expect(await ask(operator, { input: [{ type: { text: 'bundle' }, valueString: 'sha2' }] })).toBe(403);
    expect(await ask(operator, { meta: { tag: [{ code: 'seen' }] } })).toBe(403);
    expect(await ask(operator, { status: 'finished' })).toBe(422);
    const note = [{ text: 'The person was found under another INS.' }];
    expect(await ask(operator, { status: 'rejected', businessStatus: { text: 'looked into' }, note })).toBe(200);
    expect((await send(operator, 'GET', `Task/${known}`)).json).toMatchObject({ status: 'rejected', note });
    const patch = [{ op: 'replace', path: '/status', value: 'completed' }];
    const patched = await send(operator, 'PATCH', `Task/${known}`, patch, 'application/json-patch+json');
    expect([patched.status, patched.json.status]).toEqual([200, 'completed']);
    expect((await send(operator, 'DELETE', `Task/${known}`)).status).toBe(405);
    const { id: _id, ...fresh } = body;
    for (const caller of [operator, s1]) expect((await send(caller, 'POST', 'Task', fresh)).status).toBe(405);
  });
});

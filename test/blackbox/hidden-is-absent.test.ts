/**
 * Every declared type × every interaction × every kind of caller, generated from the declarations (rules.md section 7): a resource that the
 * caller may not see answers, byte for byte, like one that never existed. The resources are those of a space that was closed: S1 hides all of it
 * from everybody but for the rows that hold in every state.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DECLARATIONS } from '../../server/app/types/index.ts';
import {
  appointmentBody,
  careTeamBody,
  communicationBody,
  listBody,
  provenanceBody,
  relatedPersonBody,
} from '../support/fhir-bodies.ts';
import { serverExists } from '../support/server.ts';
import { type Ask, del, get, operation, type Person, patch, post, type Stage, startStage } from './stage.ts';

const CANARY = 'CANARY-7261';
const ABSENT = '00000000-0000-4000-8000-000000000000';

/** Rows of section 4 that hold in every state: not hidden, so not in the matrix. */
const EVERY_STATE: Readonly<Record<string, readonly string[]>> = { insurer: ['Patient'], operator: ['AuditEvent'] };

const form = { 'content-type': 'application/x-www-form-urlencoded' };
const bundle = (type: string, method: string, url: string): Ask => ({
  method: 'POST',
  path: '',
  body: { resourceType: 'Bundle', type, entry: [{ request: { method, url } }] },
});

/** Requests about one id of a type. */
const INTERACTIONS: Readonly<Record<string, (type: string, id: string) => Ask>> = {
  read: (type, id) => get(`${type}/${id}`),
  'read with If-None-Match': (type, id) => get(`${type}/${id}`, { 'if-none-match': 'W/"1"' }),
  'read of a part': (type, id) => get(`${type}/${id}?_summary=true`),
  'read in XML': (type, id) => get(`${type}/${id}`, { accept: 'application/fhir+xml' }),
  'read of a range': (type, id) => get(`${type}/${id}`, { accept: '*/*', range: 'bytes=0-3' }),
  vread: (type, id) => get(`${type}/${id}/_history/1`),
  history: (type, id) => get(`${type}/${id}/_history`),
  'search by id': (type, id) => get(`${type}?_id=${id}&_total=accurate`),
  'search by id, counted': (type, id) => get(`${type}?_id=${id}&_summary=count`),
  'search by POST': (type, id) => ({ method: 'POST', path: `${type}/_search?_id=${id}`, headers: form }),
  'search in XML': (type, id) => get(`${type}?_id=${id}&_total=accurate&_format=xml`),
  update: (type, id) => ({ method: 'PUT', path: `${type}/${id}`, body: { resourceType: type, id } }),
  patch: (type, id) => patch(`${type}/${id}`, [{ op: 'replace', path: '/status', value: 'inactive' }]),
  delete: (type, id) => del(`${type}/${id}`),
  'delete with If-Match': (type, id) => del(`${type}/${id}`, { 'if-match': 'W/"7"' }),
  'conditional delete': (type, id) => del(`${type}?_id=${id}`),
  $mask: (type, id) => operation(`${type}/${id}`, '$mask'),
  $unmask: (type, id) => operation(`${type}/${id}`, '$unmask'),
  '$who-can-see': (type, id) => get(`${type}/${id}/$who-can-see`),
  '$notification-preferences': (type, id) => get(`${type}/${id}/$notification-preferences`),
  $everything: (type, id) => get(`${type}/${id}/$everything`),
  $validate: (type, id) => ({ method: 'POST', path: `${type}/${id}/$validate`, body: { resourceType: type, id } }),
  '$validate of a deletion': (type, id) => ({ method: 'POST', path: `${type}/${id}/$validate?mode=delete` }),
  'in a batch': (type, id) => bundle('batch', 'GET', `${type}/${id}`),
  'in a batch, in XML': (type, id) => ({
    ...bundle('batch', 'GET', `${type}/${id}`),
    headers: { accept: 'application/fhir+xml' },
  }),
  'in a transaction': (type, id) => bundle('transaction', 'DELETE', `${type}/${id}`),
};

/** A Task is written by the server alone: `tasks.test.ts` looks at those. */
const ABOUT_PERSONS = [...DECLARATIONS.values()]
  .filter((d) => d.about !== 'nobody' && d.type !== 'Task')
  .map((d) => d.type);

describe.runIf(serverExists())('hidden is absent', () => {
  let stage: Stage;
  let person: Person;
  let callers: Readonly<Record<string, string>>;
  const items = new Map<string, string>();

  beforeAll(async () => {
    stage = await startStage();
    const s = stage;
    person = await s.person();
    await s.grant(person, 'dr1', 'attending-physician');
    const permit = await s.grant(person, 'dr2');
    const h = s.holder(person);
    const doctor = s.professional('dr1');
    const dr1 = s.known('dr1');
    const { related } = await s.delegate(person, 'caregiver', ['message']);
    const { document, binary } = await s.fed(doctor, s.feed(person, { title: CANARY }));
    const team = careTeamBody({
      subject: person.ref,
      organization: s.known('s1'),
      members: [dr1],
      status: 'active',
    });
    const message = communicationBody({ subject: person.ref, sender: dr1, recipient: person.ref, text: CANARY });
    const made: Readonly<Record<string, string>> = {
      Patient: person.ref,
      Consent: permit,
      DocumentReference: document,
      Binary: binary,
      RelatedPerson: await s.made(h, post(relatedPersonBody(person.ref, CANARY, []))),
      List: await s.made(doctor, post(listBody(person.ref, [document]))),
      Provenance: await s.made(doctor, post(provenanceBody(document, dr1, new Date(s.now()).toISOString()))),
      CareTeam: await s.made(s.feeder('s1'), post(team)),
      Communication: await s.made(doctor, post(message)),
      Appointment: await s.made(h, post(appointmentBody({ patient: person.ref, participants: [dr1], labels: [] }))),
    };
    for (const [type, ref] of Object.entries(made)) items.set(type, ref.split('/')[1] ?? '');
    const events = await s.done(h, get('AuditEvent?_count=1'));
    const [event] = (events.json?.entry ?? []) as readonly { readonly resource?: { readonly id?: string } }[];
    items.set('AuditEvent', event?.resource?.id ?? '');
    callers = {
      holder: h,
      representative: s.representative(related, person),
      'attending physician': doctor,
      'authorised professional': s.professional('dr2'),
      'professional without ground': s.professional('dr3'),
      'profession that does not consult': s.professional('works'),
      'break-glass': s.professional('dr3', { purpose: 'BTG', patient: person }),
      'centre 15': s.professional('dr3', { purpose: 'ETREAT', patient: person }),
      'centre 15 without a person': s.professional('dr3', { purpose: 'ETREAT' }),
      'feeder of the structure': s.feeder('s1'),
      'feeder of another': s.feeder('s2'),
      insurer: s.insurer(),
      operator: s.operator('a repair that is needed'),
    };
    await s.toState(person, 'closed');
  });
  afterAll(() => stage.dispose());

  it('for every declared type that is about persons', () => {
    expect([...items.keys()].sort()).toEqual([...ABOUT_PERSONS].sort());
    expect([...items.values()]).not.toContain('');
  });

  it.each(ABOUT_PERSONS)('%s', async (type) => {
    const id = items.get(type) ?? '';
    const different: string[] = [];
    for (const [who, token] of Object.entries(callers)) {
      if (EVERY_STATE[who]?.includes(type) === true) continue;
      for (const [what, ask] of Object.entries(INTERACTIONS)) {
        const [hidden, absent] = await Promise.all([
          stage.ask(token, ask(type, id)),
          stage.ask(token, ask(type, ABSENT)),
        ]);
        const said = hidden.text.replaceAll(id, ABSENT);
        if (hidden.status !== absent.status || said !== absent.text)
          different.push(`${who}, ${what}: ${hidden.status} ${said.slice(0, 200)} ≠ ${absent.status} ${absent.text}`);
        if (`${hidden.text}${JSON.stringify([...hidden.headers])}`.includes(CANARY))
          different.push(`${who}, ${what}: the canary`);
      }
    }
    expect(different).toEqual([]);
  });

  it('and the log says nothing of what is in there', () => {
    expect(stage.server.stderr()).not.toContain(CANARY);
    for (const id of items.values()) expect(stage.server.stderr()).not.toContain(id);
  });
});

/** `$validate`, claims of profiles, and the packages of the host, on the real server. docs/profiles.md */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consentBody, EX, relatedPersonBody } from '../support/fhir-bodies.ts';
import { smallPackage } from '../support/packages.ts';
import { serverExists } from '../support/server.ts';
import { type Ask, get, type Person, post, put, type Stage, startStage } from './stage.ts';

const NAMED = 'https://guide.example/StructureDefinition/named-patient';
const UNKNOWN = 'https://elsewhere.example/StructureDefinition/anything';

type Issue = {
  readonly severity: string;
  readonly code: string;
  readonly details?: { readonly text?: string };
  readonly expression?: readonly string[];
};

describe.runIf(serverExists())('validation', () => {
  let stage: Stage;
  let person: Person;
  let holder: string;
  const folder = mkdtempSync(join(tmpdir(), 'carnet-packages-'));

  beforeAll(async () => {
    writeFileSync(join(folder, 'test.example-1.2.0.tgz'), await smallPackage());
    stage = await startStage({ CARNET_PACKAGES: folder });
    person = await stage.person();
    holder = stage.holder(person);
  });
  afterAll(async () => {
    await stage.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  const said = async (token: string, ask: Ask): Promise<readonly string[]> => {
    const answer = await stage.done(token, ask);
    expect(answer.status).toBe(200);
    expect(answer.json?.resourceType).toBe('OperationOutcome');
    return ((answer.json?.issue ?? []) as readonly Issue[]).map(
      (issue) => `${issue.severity} ${(issue.expression ?? ['-']).join()}: ${issue.details?.text}`,
    );
  };
  const validate = (path: string, parameters: readonly object[]): Ask => ({
    method: 'POST',
    path: `${path}/$validate`,
    body: { resourceType: 'Parameters', parameter: parameters },
  });
  const sent = (path: string, resource: object): Ask => ({ method: 'POST', path, body: resource });
  const switchOff = () =>
    consentBody({
      kind: 'emergency-btg',
      patient: person.ref,
      performer: person.ref,
      dateTime: new Date(stage.now()).toISOString(),
      provision: 'deny',
    });

  it('says what a write would say, and writes nothing', async () => {
    expect(await said(holder, validate('Consent', [{ name: 'resource', resource: switchOff() }]))).toEqual([
      'information -: valid',
    ]);
    const wrong = { ...switchOff(), policy: [{ uri: `${EX}/Policy/delegation` }] };
    expect(await said(holder, validate('Consent', [{ name: 'resource', resource: wrong }]))).toEqual([
      `error Consent.policy[0].uri: is \`"${EX}/Policy/emergency-btg"\` by the profile`,
    ]);
    const search = await stage.done(holder, get('Consent?category=emergency-btg&_summary=count'));
    expect(search.json?.total).toBe(0);
  });

  it('takes the resource as the body, with the rest in the address', async () => {
    const body = relatedPersonBody(person.ref, 'NOE', []);
    expect(await said(holder, sent('RelatedPerson/$validate?mode=create', body))).toEqual(['information -: valid']);
    expect(await said(holder, sent('RelatedPerson/$validate', { ...body, gender: 'x' }))).toEqual([
      'error RelatedPerson.gender: `x` is not one of the codes that R4 requires here',
    ]);
    expect(
      await said(holder, sent(`RelatedPerson/$validate?profile=${EX}/StructureDefinition/carnet-patient`, body)),
    ).toEqual([`error RelatedPerson: \`${EX}/StructureDefinition/carnet-patient\` is a profile of \`Patient\``]);
    expect(await said(holder, sent(`RelatedPerson/$validate?profile=${UNKNOWN}`, body))).toEqual([
      `error -: the profile \`${UNKNOWN}\` is not known here`,
    ]);
  });

  it('asks for a scope of the letter that the mode stands for', async () => {
    const reader = stage.holder(person, { scope: 'patient/*.rs' });
    for (const mode of ['create', 'profile']) {
      const answer = await stage.ask(reader, sent(`RelatedPerson/$validate?mode=${mode}`, {}));
      expect([answer.status, answer.json?.resourceType]).toEqual([403, 'OperationOutcome']);
    }
    const mine = stage.holder(person, { scope: 'patient/*.c' });
    expect((await stage.ask(mine, sent('RelatedPerson/$validate', {}))).status).toBe(200);
  });

  it('at an item: the item is there for the caller, or it is not', async () => {
    const id = await stage.made(holder, post(relatedPersonBody(person.ref, 'NOE', [])));
    const stored = (await stage.done(holder, get(id))).json ?? {};
    expect(await said(holder, sent(`${id}/$validate`, stored))).toEqual(['information -: valid']);
    expect(await said(holder, sent(`${id}/$validate`, { ...stored, id: 'other' }))).toEqual([
      'error RelatedPerson.id: the id in the body is not that of the URL',
    ]);
    expect(await said(holder, validate(id, [{ name: 'mode', valueCode: 'delete' }]))).toEqual(['information -: valid']);
    expect(await said(holder, validate(person.ref, [{ name: 'mode', valueCode: 'delete' }]))).toEqual([
      'error -: `Patient` has no delete through the API',
    ]);
    const stranger = stage.holder(await stage.person());
    const hidden = await stage.ask(stranger, sent(`${id}/$validate`, stored));
    const absent = await stage.ask(stranger, sent('RelatedPerson/none/$validate', stored));
    expect([hidden.status, hidden.text]).toEqual([404, absent.text]);
  });

  it('is recorded about the person whose item it names, and so is a refusal', async () => {
    const id = await stage.made(holder, post(relatedPersonBody(person.ref, 'LEA', [])));
    const records = async (): Promise<number> =>
      Number((await stage.done(holder, get(`AuditEvent?entity=${id}&_summary=count`))).json?.total);
    const before = await records();
    await said(holder, validate(id, [{ name: 'mode', valueCode: 'delete' }]));
    await stage.ask(stage.professional('dr3'), validate(id, [{ name: 'mode', valueCode: 'delete' }]));
    expect(await records()).toBe(before + 2);
  });

  it('refuses what it does not know', async () => {
    expect((await stage.ask(holder, sent('Consent/$validate?mode=guess', {}))).status).toBe(400);
    expect((await stage.ask(holder, validate('Consent', []))).status).toBe(400);
    expect((await stage.ask(holder, get('Consent/$validate'))).status).toBe(405);
  });

  // ---- claims -------------------------------------------------------------------------------------------------------

  const patientOf = async (): Promise<any> => (await stage.done(stage.insurer(), get(person.ref))).json;
  const claiming = (patient: any, ...profile: readonly string[]) => ({ ...patient, meta: { profile } });

  it('a claim that is not known is kept as it was sent, and said to be unchecked', async () => {
    const patient = await patientOf();
    const stored = await stage.done(stage.insurer(), put({ ...claiming(patient, UNKNOWN), id: person.id }));
    expect(stored.json?.meta).toMatchObject({ profile: [UNKNOWN] });
    expect(await said(stage.insurer(), sent('Patient/$validate', claiming(patient, UNKNOWN)))).toContain(
      `warning Patient.meta.profile: \`${UNKNOWN}\` is not known here: the claim was not checked`,
    );
  });

  it('a known claim that does not hold is 422: one of ours, and one of a package', async () => {
    const patient = await patientOf();
    const claim = `${EX}/StructureDefinition/carnet-document`;
    for (const wrong of [claiming(patient, claim), { ...claiming(patient, NAMED), name: undefined }]) {
      const answer = await stage.ask(stage.insurer(), put({ ...wrong, id: person.id }));
      expect(answer.status).toBe(422);
    }
    const right = await stage.ask(stage.insurer(), put({ ...claiming(patient, NAMED), id: person.id }));
    expect(right.status).toBe(200);
    expect(await said(stage.insurer(), sent(`Patient/$validate?profile=${NAMED}`, claiming(patient, NAMED)))).toEqual([
      'information -: valid',
    ]);
  });

  it('the CapabilityStatement lists them', async () => {
    const statement = (await stage.done(holder, get('metadata'))).json as any;
    expect(statement.implementationGuide).toEqual(['https://guide.example/ImplementationGuide/test|1.2.0']);
    const patient = statement.rest[0].resource.find((r: any) => r.type === 'Patient');
    expect(patient.supportedProfile).toEqual([`${EX}/StructureDefinition/carnet-patient`, NAMED]);
    expect(patient.operation.map((o: any) => o.name)).toContain('validate');
  });
});

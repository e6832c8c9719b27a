import { describe, expect, it, test } from 'vitest';
import { auditItems, foundByTraits, maySee, patientSearchAllowed, readStatus, searchAllowed } from './decide.ts';
import {
  attending,
  author,
  block,
  btg,
  byFeeder,
  byHolder,
  caregiver,
  colleague,
  consent,
  doc,
  dr,
  etreat,
  event,
  feeder,
  holder,
  insurer,
  legal,
  letter,
  mother,
  noon,
  nurse,
  operator,
  organization,
  permit,
  policy,
  practitioner,
  related,
  space,
  team,
  world,
} from './samples.ts';
import { monthAfter, placeIn } from './time.ts';
import type { Item, Label, World, WorldCaller } from './world.ts';
import { type Act, mayWrite } from './write.ts';

const seen = (made: World, caller: WorldCaller, id: string, at = noon): boolean => {
  const item = made.items.find((one) => one.id === id);
  if (item === undefined) throw new Error(`no item ${id}`);
  return maySee(made, caller, item, at).permit;
};

const binary: Item = { type: 'Binary', id: 'b', document: 'd', filedBy: doc().filedBy };
const list = (...documents: readonly string[]): Item => ({
  type: 'List',
  id: 'l',
  person: 'p',
  documents,
  filedBy: doc().filedBy,
});
const condition: Item = { type: 'Condition', id: 'k', person: 'p' };
const coverage = (labels: readonly Label[] = []): Item => ({
  type: 'Coverage',
  id: 'v',
  person: 'p',
  labels,
  filedBy: { side: 'insurer' },
});
const shot = (more: Partial<Extract<Item, { type: 'Immunization' }>> = {}): Item => ({
  type: 'Immunization',
  id: 'i',
  person: 'p',
  labels: [],
  filedBy: { side: 'professional', person: 'author', structure: 's2' },
  filedAt: '2026-03-10T10:00:00Z',
  ...more,
});
const meeting = (more: Partial<Extract<Item, { type: 'Appointment' }>> = {}): Item => ({
  type: 'Appointment',
  id: 'a',
  person: 'p',
  labels: [],
  practitioners: ['dr'],
  structures: [],
  filedBy: byHolder,
  ...more,
});
const will = doc({ docType: '42348-3' });
const masked = doc({ labels: ['MASQUE_PS'] });
const secretDoc = doc({ labels: ['INVISIBLE_PATIENT'] });
const deny = (kind: Parameters<typeof consent>[0]) => consent(kind, 'deny');

describe('reading, sentence by sentence', () => {
  type Case = readonly [string, World, WorldCaller, string, boolean];
  const cases: readonly Case[] = [
    // Section 1
    [
      'C5: an ETREAT token without patient reads no document',
      world([doc(), permit()]),
      { ...dr, purpose: 'ETREAT' },
      'd',
      false,
    ],
    ['C5: nor the directory', world([]), { ...dr, purpose: 'ETREAT' }, 's1', false],
    ['C6: a patient claim limits a professional', world([doc(), permit()]), { ...dr, patient: 'q' }, 'd', false],
    ['C6: to that person, who stays visible', world([doc(), permit()]), { ...dr, patient: 'p' }, 'd', true],
    ['C6: reading D10 excepted', world([]), { ...dr, patient: 'q' }, 's1', true],
    [
      'C6: a limited operator sees no event about nobody',
      world([event({ person: undefined } as never)]),
      { kind: 'operator', patient: 'p' },
      'e',
      false,
    ],
    ['C7: a delegation opens the space', world([doc(), legal()]), mother, 'd', true],
    ['C7: none, nothing', world([doc()]), mother, 'd', false],
    ['C7: none, not even the Patient', world([]), mother, 'p', false],
    ['C7: ended, nothing', world([doc(), legal({ status: 'inactive' })]), mother, 'd', false],
    ['C7: out of period, nothing', world([doc(), legal({ period: { end: '2026-03-14' } })]), mother, 'd', false],
    ['C7: it must name both', world([doc(), legal({ actors: [related('r2')] })]), mother, 'd', false],
    ['C7: kinds add up', world([letter(), caregiver(), legal()]), mother, 'm', true],
    // Section 2
    ['S1: active answers the holder', world([doc()]), holder, 'd', true],
    ['S2: open does not answer the holder', world([doc()], { state: 'open' }), holder, 'd', false],
    ['S2: nor shows them their Patient', world([], { state: 'open' }), holder, 'p', false],
    ['S2: open answers the professional', world([doc(), permit()], { state: 'open' }), dr, 'd', true],
    ['S1: invited answers no professional', world([doc(), permit()], { state: 'invited' }), dr, 'd', false],
    ['S1: closed answers no professional', world([doc(), permit()], { state: 'closed' }), author, 'd', false],
    ['S1: suspended hides documents from the holder', world([doc()], { state: 'suspended' }), holder, 'd', false],
    ['S1: suspended shows D7 to the holder', world([], { state: 'suspended' }), holder, 'space', true],
    ['S1: suspended shows D8 to the holder', world([event()], { state: 'suspended' }), holder, 'e', true],
    ['S1: suspended shows D9 to the holder', world([], { state: 'suspended' }), holder, 'p', true],
    ['S1: suspended shows nothing to a professional', world([], { state: 'suspended' }), dr, 'p', false],
    [
      'S1: a legacy DMP answers a professional',
      world([doc(), permit(), space('legacy-dmp', { period: { end: '2026-03-15' } })]),
      dr,
      'd',
      true,
    ],
    ['S1: but for messages', world([letter(), space('legacy-dmp', { period: { end: '2026-03-15' } })]), dr, 'm', false],
    [
      'S1: after its inclusive end it is closed',
      world([doc(), permit(), space('legacy-dmp', { period: { end: '2026-03-14' } })]),
      dr,
      'd',
      false,
    ],
    ['S1: its end is mandatory', world([doc(), permit(), space('legacy-dmp')]), dr, 'd', false],
    [
      'S1: an ended entry counts as none',
      world([doc(), permit(), space('active', { status: 'inactive' })]),
      dr,
      'd',
      false,
    ],
    ['S1: the insurer sees identity in every state', world([], { state: 'deceased' }), insurer, 'p', true],
    ['S1: the insurer sees lifecycle in every state', world([], { state: 'opposed' }), insurer, 'space', true],
    [
      'S1: but nothing else of a closed space',
      world([{ ...attending('dr'), id: 'at' }, space('closed')]),
      insurer,
      'at',
      false,
    ],
    ['S1: the operator sees lifecycle in every state', world([], { state: 'closed' }), operator, 'space', true],
    ['S1: and audit', world([event()], { state: 'closed' }), operator, 'e', true],
    // Section 3
    ['A1: a profession outside the matrix', world([doc(), permit()]), { ...dr, profession: '98' }, 'd', false],
    [
      'A1: an occupational physician never consults',
      world([doc(), permit()]),
      { ...dr, profession: 'MDT' },
      'd',
      false,
    ],
    [
      'A1: as author, through D1a only',
      world([doc({ filedBy: { side: 'professional', person: 'dr' } })]),
      { ...dr, profession: 'MDT' },
      'd',
      true,
    ],
    ['A2: a block', world([doc(), attending(), block()]), dr, 'd', false],
    [
      'A2: a block of the structure',
      world([doc(), permit(), consent('organization-access', 'deny', { actor: organization('s1') })]),
      dr,
      'd',
      false,
    ],
    ['A2: a block beats authorship', world([doc(), block('author')]), author, 'd', false],
    [
      'A2: a block of the structure beats authorship',
      world([doc(), consent('organization-access', 'deny', { actor: organization('s2') })]),
      author,
      'd',
      false,
    ],
    [
      'A2: and a feeder',
      world([doc({ filedBy: byFeeder }), consent('organization-access', 'deny', { actor: organization('s2') })]),
      feeder,
      'd',
      false,
    ],
    ['A2: a block holds in emergencies', world([doc(), block()]), btg, 'd', false],
    [
      'A2: unless the policy lifts it',
      world([doc(), block()], { policy: { ...policy, emergencyOverridesBlock: true } }),
      btg,
      'd',
      true,
    ],
    [
      'A2: in TREAT it is never lifted',
      world([doc(), permit(), block()], { policy: { ...policy, emergencyOverridesBlock: true } }),
      dr,
      'd',
      false,
    ],
    ['A2: the Patient needs the state only', world([block()]), dr, 'p', true],
    ['A3: no ground', world([doc()]), dr, 'd', false],
    ['A3: professional-access', world([doc(), permit()]), dr, 'd', true],
    ['A3: of another', world([doc(), permit('nurse')]), dr, 'd', false],
    [
      'A3: organization-access for the structure acted for',
      world([doc(), consent('organization-access', 'permit', { actor: organization('s1') })]),
      dr,
      'd',
      true,
    ],
    [
      'A3: not of another structure',
      world([doc(), consent('organization-access', 'permit', { actor: organization('s2') })]),
      dr,
      'd',
      false,
    ],
    [
      'A3: attending, whatever the structure acted for',
      world([doc(), attending()]),
      { ...dr, structure: 's9' },
      'd',
      true,
    ],
    ['A3: care team', world([doc(), team()]), dr, 'd', true],
    ['A3: care team of another structure', world([doc(), team()]), { ...dr, structure: 's9' }, 'd', false],
    ['A3: care team without the caller', world([doc(), team({ members: ['nurse'] })]), dr, 'd', false],
    ['A3: ended care team', world([doc(), team({ status: 'inactive' })]), dr, 'd', false],
    ['A3: care team past its period', world([doc(), team({ period: { end: '2026-03-14' } })]), dr, 'd', false],
    ['A3: care-team-default denied', world([doc(), team(), deny('care-team-default')]), dr, 'd', false],
    [
      'A3: within one kind a deny wins',
      world([doc(), team(), deny('care-team-default'), consent('care-team-default', 'permit')]),
      dr,
      'd',
      false,
    ],
    ['A4: break-glass needs no ground', world([doc()]), btg, 'd', true],
    ['A4: unless opposed', world([doc(), deny('emergency-btg')]), btg, 'd', false],
    ['A4: grounds do not help', world([doc(), attending(), deny('emergency-btg')]), btg, 'd', false],
    ['A4: an emergency-etreat deny is another matter', world([doc(), deny('emergency-etreat')]), btg, 'd', true],
    ['A5: centre 15', world([doc()]), etreat, 'd', true],
    ['A5: unless opposed', world([doc(), deny('emergency-etreat')]), etreat, 'd', false],
    ['A6: no Communication', world([letter()]), btg, 'm', false],
    ['A6: no Appointment', world([meeting()]), etreat, 'a', false],
    ['A6: no Consent', world([permit('dr', { id: 'mine' })]), btg, 'mine', false],
    ['A6: no AuditEvent', world([event({ agent: { type: 'Practitioner', id: 'dr' } })]), btg, 'e', false],
    ['A6: no CareTeam', world([team()]), btg, 't', false],
    ['A6: D3 with profile-sharing', world([condition, consent('profile-sharing', 'permit')]), btg, 'k', true],
    ['A0: a malformed permit does not count', world([doc(), permit('dr', { malformed: true })]), dr, 'd', false],
    [
      'A0: a permit with two actors does not count',
      world([doc(), permit('dr', { actors: [practitioner('dr'), practitioner('x')] })]),
      dr,
      'd',
      false,
    ],
    [
      'A0: a deny with two actors counts for both',
      world([
        doc(),
        attending(),
        consent('professional-access', 'deny', { actors: [practitioner('x'), practitioner('dr')] }),
      ]),
      dr,
      'd',
      false,
    ],
    [
      'A0: a deny naming nobody counts for all',
      world([doc(), attending(), consent('professional-access', 'deny')]),
      dr,
      'd',
      false,
    ],
    [
      'A0: unreadable dates: a permit does not count',
      world([doc(), permit('dr', { period: { end: '2027-02-30' } })]),
      dr,
      'd',
      false,
    ],
    [
      'A0: unreadable dates: a deny counts',
      world(
        [doc(), deny('emergency-btg')].map((one) =>
          one.type === 'Consent' ? { ...one, period: { start: 'soon' } } : one,
        ),
      ),
      btg,
      'd',
      false,
    ],
    [
      'A0: a bound that can be read still limits',
      world([doc(), consent('emergency-btg', 'deny', { period: { start: 'soon', end: '2026-03-14' } })]),
      btg,
      'd',
      true,
    ],
    [
      'T3: a reversed deny never counts',
      world([doc(), consent('emergency-btg', 'deny', { period: { start: '2026-04', end: '2026-02' } })]),
      btg,
      'd',
      true,
    ],
    // Section 4, rows
    ['D1: the matrix', world([doc({ docType: '34112-3' }), permit('nurse')]), nurse, 'd', false],
    [
      'D1: authorship in person lifts the matrix',
      world([
        doc({ docType: 'X', filedBy: { side: 'professional', person: 'dr', structure: 's9' } }),
        binary,
        permit(),
      ]),
      dr,
      'b',
      true,
    ],
    [
      'D1: authorship of the structure does not lift it',
      world([doc({ docType: 'X', filedBy: { side: 'feeder', structure: 's1' } }), binary, permit()]),
      dr,
      'b',
      false,
    ],
    ['D1: the Binary follows', world([doc(), binary, permit()]), dr, 'b', true],
    ['D1: the Binary of a masked one', world([masked, binary, permit()]), dr, 'b', false],
    ['D1a: the author without the gate', world([doc()]), author, 'd', true],
    ['D1a: without its Binary', world([doc(), binary]), author, 'b', false],
    ['D1a: no label', world([doc({ labels: ['MASQUE_PS'] })]), colleague, 'd', true],
    ['D1a: directives included', world([will]), author, 'd', true],
    ['D1a: immunizations too', world([shot()]), author, 'i', true],
    [
      'D1a: in break-glass, though opposed',
      world([doc(), deny('emergency-btg')]),
      { ...author, purpose: 'BTG', patient: 'p' },
      'd',
      true,
    ],
    ['D1a: feeder of the author structure', world([doc()]), feeder, 'd', true],
    ['D1a: feeder of another', world([doc()]), { kind: 'feeder', structure: 's1' }, 'd', false],
    ['D1a: feeder without Binary', world([doc(), binary]), feeder, 'b', false],
    ['D2: directives know no matrix', world([will, permit('nurse')]), nurse, 'd', true],
    ['D2: but the gate', world([will]), nurse, 'd', false],
    ['D2: and labels', world([{ ...will, labels: ['MASQUE_PS'] }, permit('nurse')]), nurse, 'd', false],
    ['D2: their Binary too', world([will, binary, permit('nurse')]), nurse, 'b', true],
    ['D2: RelatedPerson', world([permit()]), dr, 'r', true],
    ['D2: RelatedPerson without the gate', world([]), dr, 'r', false],
    ['D2: Immunization', world([shot(), permit()]), dr, 'i', true],
    ['D3: needs profile-sharing', world([condition, permit()]), dr, 'k', false],
    ['D3: with it', world([condition, permit(), consent('profile-sharing', 'permit')]), dr, 'k', true],
    ['D3: not without the gate', world([condition, consent('profile-sharing', 'permit')]), dr, 'k', false],
    ['D3: caregivers', world([condition, caregiver()]), mother, 'k', true],
    ['D4: no professional', world([coverage(), attending()]), dr, 'v', false],
    [
      'D4: but by policy',
      world([coverage(), attending()], { policy: { ...policy, payerDataToProfessionals: true } }),
      dr,
      'v',
      true,
    ],
    [
      'D4: then by label',
      world([coverage(['MASQUE_PS']), permit()], { policy: { ...policy, payerDataToProfessionals: true } }),
      dr,
      'v',
      false,
    ],
    [
      'D4: not in emergency',
      world([coverage()], { policy: { ...policy, payerDataToProfessionals: true } }),
      btg,
      'v',
      false,
    ],
    ['D4: the insurer reads nothing back', world([coverage()]), insurer, 'v', false],
    [
      'D4: by label for representatives',
      world([coverage(['INVISIBLE_REPRESENTANTS_LEGAUX']), legal()]),
      mother,
      'v',
      false,
    ],
    ['D5: recipient in person, without the gate', world([letter()]), dr, 'm', true],
    ['D5: not when blocked', world([letter(), block()]), dr, 'm', false],
    ['D5: not others, attending or not', world([letter({ sender: practitioner('x') }), attending()]), dr, 'm', false],
    ['D5: the structure is not a person', world([letter({ sender: organization('s1') }), permit()]), dr, 'm', false],
    ['D5: the holder sees those of theirs', world([letter()]), holder, 'm', true],
    ['D5: not those of the representative', world([letter({ recipient: related('r') })]), holder, 'm', false],
    ['D5: a caregiver without messages', world([letter(), caregiver()]), mother, 'm', false],
    ['D5: a caregiver with messages', world([letter(), caregiver(['message'])]), mother, 'm', true],
    ['D5: legal includes messages', world([letter({ recipient: related('r') }), legal()]), mother, 'm', true],
    ['D6: participant in person', world([meeting()]), dr, 'a', true],
    ['D6: through the structure acted for', world([meeting({ practitioners: [], structures: ['s1'] })]), dr, 'a', true],
    ['D6: not through another', world([meeting({ practitioners: [], structures: ['s2'] })]), dr, 'a', false],
    ['D6: by label', world([meeting({ labels: ['MASQUE_PS'] })]), dr, 'a', false],
    [
      'D6: the creator in person is author',
      world([meeting({ labels: ['MASQUE_PS'], filedBy: { side: 'professional', person: 'dr', structure: 's1' } })]),
      dr,
      'a',
      true,
    ],
    [
      'D6: the colleague of the creator is not',
      world([meeting({ labels: ['MASQUE_PS'], filedBy: { side: 'professional', person: 'x', structure: 's1' } })]),
      dr,
      'a',
      false,
    ],
    ['D6: attending without part sees none', world([meeting({ practitioners: ['x'] }), attending()]), dr, 'a', false],
    ['D6: feeder of the creating structure', world([meeting({ filedBy: byFeeder })]), feeder, 'a', true],
    [
      'D6: not what a professional of it created',
      world([meeting({ filedBy: { side: 'professional', person: 'x', structure: 's2' } })]),
      feeder,
      'a',
      false,
    ],
    [
      'D7: with the gate, all three kinds',
      world([permit(), attending('x'), permit('nurse', { id: 'other' })]),
      dr,
      'other',
      true,
    ],
    ['D7: not other kinds', world([permit(), { ...deny('emergency-btg'), id: 'other' }]), dr, 'other', false],
    [
      'D7: with the light gate, those naming the caller',
      world([{ ...attending('dr'), id: 'mine' }, block('x')]),
      { ...dr, profession: 'MDT' },
      'mine',
      true,
    ],
    ['D7: and nobody else', world([permit('nurse', { id: 'other' })]), dr, 'other', false],
    ['D7: in force only', world([permit(), permit('nurse', { id: 'old', status: 'inactive' })]), dr, 'old', false],
    [
      'D7: ended ones stay with the holder',
      world([permit('nurse', { id: 'old', status: 'inactive' })]),
      holder,
      'old',
      true,
    ],
    ['D7: the insurer sees attending physicians', world([{ ...attending(), id: 'at' }]), insurer, 'at', true],
    ['D7: and what it wrote', world([{ ...legal(), id: 'dl', writtenBy: { side: 'insurer' } }]), insurer, 'dl', true],
    ['D7: not what the holder wrote', world([permit('x', { id: 'px' })]), insurer, 'px', false],
    [
      'D7: the insurer in another state: lifecycle only',
      world([{ ...attending(), id: 'at' }, space('suspended')]),
      insurer,
      'at',
      false,
    ],
    ['D7: the operator sees lifecycle only', world([{ ...attending(), id: 'at' }]), operator, 'at', false],
    ['D8: attending sees all', world([event(), attending()]), dr, 'e', true],
    ['D8: another, own acts only', world([event(), permit()]), dr, 'e', false],
    ['D8: own acts, with the light gate', world([event()]), author, 'e', true],
    ['D8: secret acts are not for the representative', world([event({ secret: true }), legal()]), mother, 'e', false],
    ['D8: but for the holder', world([event({ secret: true })]), holder, 'e', true],
    [
      'D8: an event names only hidden items',
      world([secretDoc, event({ items: [{ type: 'DocumentReference', id: 'd' }] })]),
      holder,
      'e',
      false,
    ],
    [
      'D8: one visible item is enough',
      world([
        secretDoc,
        doc({ id: 'd2' }),
        event({
          items: [
            { type: 'DocumentReference', id: 'd' },
            { type: 'DocumentReference', id: 'd2' },
          ],
        }),
      ]),
      holder,
      'e',
      true,
    ],
    [
      'D8: the state of the space apart',
      world([doc(), event({ items: [{ type: 'DocumentReference', id: 'd' }] })], { state: 'suspended' }),
      holder,
      'e',
      true,
    ],
    [
      'D8: a deleted item counts as if it were not',
      world([doc({ deleted: true }), event({ items: [{ type: 'DocumentReference', id: 'd' }] })]),
      holder,
      'e',
      true,
    ],
    [
      'D8: one that no longer exists is left out',
      world([event({ items: [{ type: 'DocumentReference', id: 'gone' }] })]),
      holder,
      'e',
      false,
    ],
    [
      'D8: the operator sees all, items or not',
      world([secretDoc, event({ items: [{ type: 'DocumentReference', id: 'd' }] })]),
      operator,
      'e',
      true,
    ],
    ['D8: no feeder', world([event({ agent: { type: 'Organization', id: 's2' } })]), feeder, 'e', false],
    ['D9: the operator reads no Patient', world([]), operator, 'p', false],
    ['D11: member of the team, whatever the structure', world([team()]), { ...dr, structure: 's9' }, 't', true],
    ['D11: not an ended one', world([team({ status: 'inactive' })]), dr, 't', false],
    ['D11: attending sees ended ones', world([team({ status: 'inactive' }), attending()]), dr, 't', true],
    ['D11: feeder of its structure', world([team({ structure: 's2' })]), feeder, 't', true],
    ['D11: the insurer, its own', world([team({ writtenBy: { side: 'insurer' } })]), insurer, 't', true],
    ['D11: the insurer, no other', world([team()]), insurer, 't', false],
    // Labels
    ['L1: another professional', world([masked, permit()]), dr, 'd', false],
    ['L1: attending', world([masked, attending()]), dr, 'd', true],
    ['L1: the author structure', world([masked, binary, permit('colleague')]), colleague, 'b', true],
    [
      'L1: author in person acting elsewhere',
      world([masked, binary, permit('author')]),
      { ...author, structure: 's9' },
      'b',
      true,
    ],
    ['L1: break-glass, absent = no', world([masked]), btg, 'd', false],
    ['L1: break-glass, permitted', world([masked, consent('emergency-masked', 'permit')]), btg, 'd', true],
    [
      'L1: break-glass, permitted and denied',
      world([masked, consent('emergency-masked', 'permit'), deny('emergency-masked')]),
      btg,
      'd',
      false,
    ],
    [
      'L1: emergency-masked says nothing in TREAT',
      world([masked, permit(), consent('emergency-masked', 'permit')]),
      dr,
      'd',
      false,
    ],
    ['L1: attending means TREAT', world([masked, attending()]), btg, 'd', false],
    ['L1: the holder', world([masked]), holder, 'd', true],
    ['L1: the representative', world([masked, legal()]), mother, 'd', true],
    ['L2: the holder', world([secretDoc]), holder, 'd', false],
    ['L2: the representative', world([secretDoc, legal()]), mother, 'd', false],
    ['L2: professionals', world([secretDoc, permit()]), dr, 'd', true],
    ['L2: gone after years', world([{ ...secretDoc, filedAt: '2020-01-01T00:00:00Z' }]), holder, 'd', true],
    ['L3: the holder', world([doc({ labels: ['INVISIBLE_REPRESENTANTS_LEGAUX'] })]), holder, 'd', true],
    [
      'L3: legal representatives',
      world([doc({ labels: ['INVISIBLE_REPRESENTANTS_LEGAUX'] }), legal()]),
      mother,
      'd',
      false,
    ],
    [
      'L3: caregivers included',
      world([doc({ labels: ['INVISIBLE_REPRESENTANTS_LEGAUX'] }), caregiver()]),
      mother,
      'd',
      false,
    ],
    [
      'L1+L3 add up',
      world([doc({ labels: ['MASQUE_PS', 'INVISIBLE_REPRESENTANTS_LEGAUX'] }), attending()]),
      dr,
      'd',
      true,
    ],
    ['document-default masks everything', world([doc(), permit(), deny('document-default')]), dr, 'd', false],
    [
      'document-default spares the attending physician',
      world([doc(), attending(), deny('document-default')]),
      dr,
      'd',
      true,
    ],
    ['document-default masks RelatedPerson', world([permit(), deny('document-default')]), dr, 'r', false],
    [
      'document-default spares what was unmasked under it',
      world([doc({ unmaskedUnder: 'dd' }), permit(), { ...deny('document-default'), id: 'dd' }]),
      dr,
      'd',
      true,
    ],
    [
      'the exemption ends with that deny',
      world([doc({ unmaskedUnder: 'old' }), permit(), { ...deny('document-default'), id: 'dd' }]),
      dr,
      'd',
      false,
    ],
    ['document-default on top of L2', world([secretDoc, permit(), deny('document-default')]), dr, 'd', false],
    ['document-default does not mask appointments', world([meeting(), deny('document-default')]), dr, 'a', true],
    [
      'a List follows the most hidden',
      world([doc(), doc({ id: 'd2', labels: ['MASQUE_PS'] }), list('d', 'd2'), permit()]),
      dr,
      'l',
      false,
    ],
    ['a List of visible documents', world([doc(), doc({ id: 'd2' }), list('d', 'd2'), permit()]), dr, 'l', true],
    [
      'a List for the holder',
      world([doc(), doc({ id: 'd2', labels: ['INVISIBLE_PATIENT'] }), list('d', 'd2')]),
      holder,
      'l',
      false,
    ],
    [
      'an unreferenced Binary: its author only',
      world([{ ...binary, document: undefined } as unknown as Item]),
      author,
      'b',
      true,
    ],
    [
      'an unreferenced Binary: not their colleague',
      world([{ ...binary, document: undefined } as unknown as Item]),
      colleague,
      'b',
      false,
    ],
    [
      'an unreferenced Binary: nobody else',
      world([{ ...binary, document: undefined } as unknown as Item]),
      dr,
      'b',
      false,
    ],
    ['D12: no holder', world([{ type: 'Task', id: 'q1', person: 'p', depositedBy: 's2' }]), holder, 'q1', false],
    ['D12: the operator', world([{ type: 'Task', id: 'q1', person: 'p', depositedBy: 's2' }]), operator, 'q1', true],
    [
      'D12: the feeder of the deposit',
      world([{ type: 'Task', id: 'q1', person: 'p', depositedBy: 's2' }]),
      feeder,
      'q1',
      true,
    ],
  ];
  test.each(cases)('%s', (_name, made, caller, id, expected) => {
    expect(seen(made, caller, id)).toBe(expected);
  });
  it('has no two cases of one name', () => {
    expect(new Set(cases.map(([name]) => name)).size).toBe(cases.length);
  });
});

describe('status of a read', () => {
  it('tells a deleted item to whom it would be visible only', () => {
    const made = world([doc({ deleted: true }), permit()]);
    const item = made.items.find((one) => one.id === 'd') as Item;
    expect(readStatus(made, dr, item, noon)).toBe(410);
    expect(readStatus(made, nurse, item, noon)).toBe(404);
    expect(readStatus(made, author, item, noon)).toBe(410);
  });
});

describe('time', () => {
  const at = (text: string): number => Date.parse(text);
  const month: readonly (readonly [string, string])[] = [
    ['2026-03-10T10:00:00.123Z', '2026-04-10T09:00:00.123Z'], // winter to summer: same Paris clock
    ['2026-01-31T09:00:00Z', '2026-02-28T09:00:00Z'],
    ['2027-12-31T23:30:00Z', '2028-02-01T00:30:00+01:00'], // 00:30 on 1 January in Paris
    ['2026-02-28T01:30:00Z', '2026-03-28T02:30:00+01:00'],
    ['2026-03-01T01:30:00Z', '2026-04-01T02:30:00+02:00'],
    ['2027-02-28T02:30:00+01:00', '2027-03-28T03:30:00+02:00'], // 02:30 does not exist: the later reading
    ['2026-09-25T02:30:00+02:00', '2026-10-25T02:30:00+01:00'], // 02:30 happens twice: the later
    ['2024-01-31T12:00:00+01:00', '2024-02-29T12:00:00+01:00'],
  ];
  test.each(month)('W7: a month after %s', (from, to) => {
    expect(new Date(monthAfter(at(from))).toISOString()).toBe(new Date(at(to)).toISOString());
  });
  it('L2 ends at that very instant', () => {
    const made = world([secretDoc]);
    const end = monthAfter(at('2026-03-10T10:00:00Z'));
    expect(seen(made, holder, 'd', end - 1)).toBe(false);
    expect(seen(made, holder, 'd', end)).toBe(true);
  });
  it('L2 without a filing instant is kept', () => {
    const { filedAt: _unknown, ...kept } = secretDoc;
    expect(seen(world([kept]), holder, 'd', at('2036-01-01T00:00:00Z'))).toBe(false);
  });
  const places: readonly (readonly [string, string | undefined, string | undefined, string, string])[] = [
    ['a day ends at Paris midnight', undefined, '2026-03-15', '2026-03-15T22:59:59.999Z', 'in'],
    ['and not after', undefined, '2026-03-15', '2026-03-15T23:00:00Z', 'out'],
    ['a day starts at Paris midnight', '2026-07-01', undefined, '2026-06-30T22:00:00Z', 'in'],
    ['and not before', '2026-07-01', undefined, '2026-06-30T21:59:59.999Z', 'out'],
    ['a day of 23 hours', '2026-03-29', '2026-03-29', '2026-03-29T22:00:00Z', 'out'],
    ['its last instant', '2026-03-29', '2026-03-29', '2026-03-29T21:59:59.999Z', 'in'],
    ['its first instant', '2026-03-29', '2026-03-29', '2026-03-28T23:00:00Z', 'in'],
    ['a day of 25 hours', '2026-10-25', '2026-10-25', '2026-10-25T22:59:59.999Z', 'in'],
    ['a month', undefined, '2026-02', '2026-02-28T22:59:59Z', 'in'],
    ['a year', undefined, '2025', '2025-12-31T23:00:00Z', 'out'],
    ['a second', undefined, '2026-03-15T12:00:00Z', '2026-03-15T12:00:00.999Z', 'in'],
    ['after the second', undefined, '2026-03-15T12:00:00Z', '2026-03-15T12:00:01Z', 'out'],
    ['a tenth', undefined, '2026-03-15T12:00:00.5Z', '2026-03-15T12:00:00.599Z', 'in'],
    ['after the tenth', undefined, '2026-03-15T12:00:00.5Z', '2026-03-15T12:00:00.600Z', 'out'],
    ['a millisecond', undefined, '2026-03-15T12:00:00.500Z', '2026-03-15T12:00:00.500Z', 'in'],
    ['finer than a millisecond, start', '2026-03-15T12:00:00.5001Z', undefined, '2026-03-15T12:00:00.500Z', 'out'],
    ['no offset', '2026-03-15T12:00:00', undefined, '2026-03-16T12:00:00Z', 'unreadable'],
    ['reversed', '2026-03-02', '2026-03-01', '2026-03-01T12:00:00Z', 'reversed'],
    ['not reversed by what it covers', '2026-03-15', '2026-03', '2026-03-20T12:00:00Z', 'in'],
    ['no period', undefined, undefined, '2026-03-20T12:00:00Z', 'in'],
  ];
  test.each(places)('T1: %s', (_name, start, end, now, expected) => {
    const period = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
    expect(placeIn(period, at(now))).toBe(expected);
  });
});

describe('searches refused before data', () => {
  const cases: readonly (readonly [string, WorldCaller, string, boolean])[] = [
    ['feeder, Consent', feeder, 'Consent', false],
    ['feeder, AuditEvent', feeder, 'AuditEvent', false],
    ['feeder, Binary', feeder, 'Binary', false],
    ['feeder, DocumentReference', feeder, 'DocumentReference', true],
    ['insurer, DocumentReference', insurer, 'DocumentReference', false],
    ['insurer, Coverage', insurer, 'Coverage', false],
    ['insurer, CareTeam', insurer, 'CareTeam', true],
    ['operator, AuditEvent', operator, 'AuditEvent', true],
    ['operator, Patient', operator, 'Patient', false],
    ['holder, Task', holder, 'Task', false],
    ['professional, Coverage', dr, 'Coverage', false],
    ['professional, Communication', dr, 'Communication', true],
    ['insurer, directory', insurer, 'Practitioner', true],
  ];
  test.each(cases)('%s', (_name, caller, type, expected) => {
    expect(searchAllowed(caller, type, policy)).toBe(expected);
  });
  it('D9: Patient by exact INS or _id, by traits in ETREAT', () => {
    expect(patientSearchAllowed(dr, { ins: 's|v' })).toBe(true);
    expect(patientSearchAllowed(dr, { ins: '|v' })).toBe(false);
    expect(patientSearchAllowed(dr, { ins: 'v' })).toBe(false);
    expect(patientSearchAllowed(dr, { id: 'p' })).toBe(true);
    expect(patientSearchAllowed(dr, { family: 'A', birthdate: '2000-01-01' })).toBe(false);
    expect(patientSearchAllowed(btg, { family: 'A', birthdate: '2000-01-01' })).toBe(false);
    expect(patientSearchAllowed(etreat, { family: 'A', birthdate: '2000-01-01' })).toBe(true);
    expect(patientSearchAllowed(etreat, { family: 'A' })).toBe(false);
    expect(patientSearchAllowed({ ...dr, purpose: 'ETREAT' }, { id: 'p' })).toBe(false);
    expect(patientSearchAllowed(holder, { family: 'A' })).toBe(true);
    expect(patientSearchAllowed(operator, { ins: 's|v' })).toBe(false);
    expect(searchAllowed({ ...dr, purpose: 'ETREAT' }, 'Practitioner', policy)).toBe(false);
    expect(foundByTraits(world([]), { ...dr, purpose: 'ETREAT' }, 'p', noon)).toBe(true);
    expect(foundByTraits(world([]), { ...dr, purpose: 'ETREAT' }, 'q', noon)).toBe(false);
    expect(foundByTraits(world([]), { ...dr, purpose: 'ETREAT', patient: 'q' }, 'p', noon)).toBe(false);
  });
  it('D8: entities by the reader’s own sight', () => {
    const both = [
      { type: 'DocumentReference', id: 'd' },
      { type: 'DocumentReference', id: 'd2' },
    ];
    const shown = event({ items: both });
    const made = world([secretDoc, doc({ id: 'd2' }), shown]);
    expect(auditItems(made, holder, shown, noon)).toEqual([both[1]]);
    expect(auditItems(made, operator, shown, noon)).toEqual(both);
    expect(auditItems(made, dr, shown, noon)).toBeUndefined();
  });
});

describe('writing, sentence by sentence', () => {
  const feed = (more: Partial<Extract<Act, { act: 'feed' }>> = {}): Act => ({
    act: 'feed',
    person: 'p',
    type: 'DocumentReference',
    labels: [],
    confidentiality: 'N',
    identity: 'equal',
    ...more,
  });
  const on = (act: 'mask' | 'unmask' | 'delete'): Act =>
    act === 'mask'
      ? { act, type: 'DocumentReference', id: 'd', atHoldersRequest: true }
      : { act, type: 'DocumentReference', id: 'd' };
  const hide = (act: 'hide' | 'release', side: 'patient' | 'representatives'): Act => ({
    act,
    type: 'DocumentReference',
    id: 'd',
    side,
  });
  const write = (entry: ReturnType<typeof consent>, more: Partial<Extract<Act, { act: 'consent' }>> = {}): Act => ({
    act: 'consent',
    entry,
    ...more,
  });
  const opposition = consent('feed-opposition', 'deny', { actor: organization('s1') });
  const fromHolder = doc({ filedBy: byHolder });
  const fromMother = doc({ filedBy: { side: 'representative', related: 'r' } });
  type Case = readonly [string, World, WorldCaller, Act, 'ok' | number];
  const cases: readonly Case[] = [
    ['W1: a professional feeds without the gate', world([]), dr, feed(), 'ok'],
    ['W1: blocked, they feed', world([block()]), dr, feed(), 'ok'],
    ['W1: in break-glass though opposed', world([deny('emergency-btg')]), btg, feed(), 'ok'],
    ['W1: feed opposition', world([opposition]), dr, feed(), 403],
    ['W1: feed opposition, feeder', world([opposition]), { kind: 'feeder', structure: 's1' }, feed(), 403],
    ['W1: traits not equal', world([]), dr, feed({ identity: 'different' }), 422],
    ['W1: not qualified', world([]), feeder, feed({ identity: 'unqualified' }), 422],
    ['L4: R and V never', world([]), dr, feed({ confidentiality: 'V' }), 422],
    ['L1 and L2 never together', world([]), dr, feed({ labels: ['MASQUE_PS', 'INVISIBLE_PATIENT'] }), 422],
    ['W1: an insurer never', world([]), insurer, feed(), 403],
    ['W1: a holder never', world([]), holder, feed(), 403],
    ['W22: a holder records an immunization', world([]), holder, feed({ type: 'Immunization' }), 'ok'],
    ['W1: a closed space is not there', world([], { state: 'closed' }), dr, feed(), 422],
    ['W1: an open space is', world([], { state: 'open' }), feeder, feed(), 'ok'],
    ['C6: another person is not there', world([]), { ...dr, patient: 'q' }, feed(), 422],
    [
      'W2: a deposit',
      world([]),
      holder,
      { act: 'deposit', person: 'p', docType: 'DOCPAT01', contentType: 'Application/PDF; q=1', bytes: 5_000_000 },
      'ok',
    ],
    [
      'W2: too large',
      world([]),
      holder,
      { act: 'deposit', person: 'p', docType: 'EXPPAT_3', contentType: 'image/png', bytes: 5_000_001 },
      422,
    ],
    [
      'W2: empty',
      world([]),
      holder,
      { act: 'deposit', person: 'p', docType: 'EXPPAT_3', contentType: 'image/png', bytes: 0 },
      422,
    ],
    [
      'W2: another type',
      world([]),
      holder,
      { act: 'deposit', person: 'p', docType: '11488-4', contentType: 'image/png', bytes: 1 },
      422,
    ],
    ['W3: the author deletes', world([doc()]), author, on('delete'), 'ok'],
    ['W3: in break-glass too', world([doc()]), { ...author, purpose: 'BTG', patient: 'p' }, on('delete'), 'ok'],
    ['W3: a blocked author sees nothing to delete', world([doc(), block('author')]), author, on('delete'), 404],
    ['W3: another professional who sees it', world([doc(), permit()]), dr, on('delete'), 403],
    ['W3: the attending physician, not that of a colleague', world([doc(), attending()]), dr, on('delete'), 403],
    ['W3: the attending physician, the holder’s', world([fromHolder, attending()]), dr, on('delete'), 'ok'],
    ['W3: the holder, theirs', world([fromHolder]), holder, on('delete'), 'ok'],
    ['W3: the holder, the hospital’s', world([doc()]), holder, on('delete'), 403],
    ['W3: the caregiver who made it', world([fromMother, caregiver()]), mother, on('delete'), 'ok'],
    ['W3: a caregiver, the holder’s', world([fromHolder, caregiver()]), mother, on('delete'), 403],
    ['W3: a legal representative, the holder’s', world([fromHolder, legal()]), mother, on('delete'), 'ok'],
    ['W3: deleted already', world([doc({ deleted: true })]), author, on('delete'), 410],
    ['W3: replacing needs the latest', world([doc({ superseded: true })]), author, feed({ replaces: 'd' }), 409],
    ['W3: replacing is a feed', world([doc()]), author, feed({ replaces: 'd' }), 'ok'],
    ['W3: by a stranger', world([doc()]), dr, feed({ replaces: 'd' }), 404],
    ['W3: labels are kept and added', world([secretDoc]), author, feed({ replaces: 'd', labels: ['MASQUE_PS'] }), 422],
    ['W4: the holder masks', world([doc()]), holder, on('mask'), 'ok'],
    ['W4: a caregiver does not', world([doc(), caregiver()]), mother, on('mask'), 403],
    ['W4: a professional at the holder’s request', world([doc(), permit()]), dr, on('mask'), 'ok'],
    [
      'W4: a professional without stating so',
      world([doc(), permit()]),
      dr,
      { act: 'mask', type: 'DocumentReference', id: 'd', atHoldersRequest: false },
      403,
    ],
    ['W4: an author without the gate', world([doc()]), author, on('mask'), 403],
    ['W4: not in emergency', world([doc()]), btg, on('mask'), 403],
    ['W4: not with L2', world([secretDoc, permit()]), dr, on('mask'), 422],
    ['W4: a hidden one is not there', world([secretDoc]), holder, on('mask'), 404],
    ['W5: the author unmasks', world([masked]), author, on('unmask'), 'ok'],
    ['W5: the attending physician', world([masked, attending()]), dr, on('unmask'), 'ok'],
    ['W5: another who sees it', world([doc(), permit()]), dr, on('unmask'), 403],
    ['W6: the author hides from the patient', world([doc()]), author, hide('hide', 'patient'), 'ok'],
    ['W6: not after a month', world([doc({ filedAt: '2026-02-01T10:00:00Z' })]), author, hide('hide', 'patient'), 403],
    ['W6: not what is masked', world([masked]), author, hide('hide', 'patient'), 422],
    ['W6: not another professional', world([doc(), attending()]), dr, hide('hide', 'patient'), 403],
    [
      'W6: any professional who passes the gate shows it',
      world([secretDoc, permit()]),
      dr,
      hide('release', 'patient'),
      'ok',
    ],
    [
      'W6: the holder hides own deposits from representatives',
      world([fromHolder]),
      holder,
      hide('hide', 'representatives'),
      'ok',
    ],
    ['W6: not the hospital’s', world([doc()]), holder, hide('hide', 'representatives'), 403],
    [
      'W6: once shown it cannot be set again',
      world([doc({ shownToRepresentatives: true })]),
      author,
      hide('hide', 'representatives'),
      403,
    ],
    [
      'W6: another professional does not show it to representatives',
      world([doc(), permit()]),
      dr,
      hide('release', 'representatives'),
      403,
    ],
    ['W9: the holder authorises', world([]), holder, write(permit()), 'ok'],
    ['A7: not one who is blocked', world([block()]), holder, write(permit()), 409],
    ['A7: not as attending physician, even the insurer', world([block()]), insurer, write(attending()), 409],
    ['W9: a professional declares', world([]), dr, write(permit(), { declared: true }), 'ok'],
    ['W9: and must say so', world([]), dr, write(permit()), 422],
    ['W9: not for another', world([]), dr, write(permit('x'), { declared: true }), 403],
    ['W9: not in emergency', world([]), btg, write(permit(), { declared: true }), 403],
    [
      'W9: not an occupational physician',
      world([]),
      { ...dr, profession: 'MDT' },
      write(permit(), { declared: true }),
      403,
    ],
    [
      'W9: the attending physician blocks another',
      world([attending()]),
      dr,
      write(block('x'), { atHoldersRequest: true }),
      'ok',
    ],
    ['W9: another professional does not', world([permit()]), dr, write(block('x'), { atHoldersRequest: true }), 403],
    ['W12: a caregiver manages no access', world([caregiver()]), mother, write(permit()), 403],
    ['W9: a legal representative does', world([legal()]), mother, write(permit()), 'ok'],
    ['W9: a holder delegates to a caregiver', world([]), holder, write(caregiver()), 'ok'],
    ['W15: not a legal delegation', world([]), holder, write(legal()), 403],
    ['A0: another shape', world([]), holder, write(permit('dr', { actors: [] })), 422],
    ['A0: a block with a period', world([]), holder, write({ ...block(), period: { end: '2027' } }), 422],
    ['W15: the insurer in open', world([], { state: 'open' }), insurer, write(attending()), 'ok'],
    ['W15: not in suspended', world([], { state: 'suspended' }), insurer, write(attending()), 403],
    ['W15: lifecycle in every state', world([], { state: 'closed' }), insurer, write(space('active')), 'ok'],
    ['W15: the operator repairs with a reason', world([]), operator, write(space('active'), { reason: true }), 'ok'],
    ['W15: not without', world([]), operator, write(space('active')), 403],
    ['W15: the holder closes', world([]), holder, write(space('closed')), 'ok'],
    ['W15: and nothing else', world([]), holder, write(space('suspended')), 403],
    [
      'W11: a professional writes to the holder',
      world([]),
      dr,
      { act: 'message', person: 'p', recipient: { type: 'Patient', id: 'p' } },
      'ok',
    ],
    [
      'W11: not a blocked one',
      world([block()]),
      dr,
      { act: 'message', person: 'p', recipient: { type: 'Patient', id: 'p' } },
      403,
    ],
    ['W11: not to another', world([]), dr, { act: 'message', person: 'p', recipient: related('r') }, 403],
    [
      'W11: the holder answers',
      world([letter()]),
      holder,
      { act: 'message', person: 'p', recipient: practitioner('dr'), inResponseTo: 'm' },
      'ok',
    ],
    [
      'W11: not in a closed thread',
      world([letter({ closesThread: true })]),
      holder,
      { act: 'message', person: 'p', recipient: practitioner('dr'), inResponseTo: 'm' },
      403,
    ],
    [
      'W11: no new addressee',
      world([letter()]),
      holder,
      { act: 'message', person: 'p', recipient: practitioner('x'), inResponseTo: 'm' },
      403,
    ],
    [
      'W11: the holder writes first to one with a permit',
      world([permit()]),
      holder,
      { act: 'message', person: 'p', recipient: practitioner('dr') },
      'ok',
    ],
    ['W11: not without', world([]), holder, { act: 'message', person: 'p', recipient: practitioner('dr') }, 403],
    ['W13: a feeder never changes traits', world([]), feeder, { act: 'patient', id: 'p', change: 'traits' }, 403],
    [
      'W13: the insurer does, in every state',
      world([], { state: 'closed' }),
      insurer,
      { act: 'patient', id: 'p', change: 'traits' },
      'ok',
    ],
    ['W14: the directory', world([]), feeder, { act: 'directory' }, 403],
    [
      'W16: a feeder, its structure',
      world([]),
      feeder,
      { act: 'team', person: 'p', structure: 's2', members: ['dr'] },
      'ok',
    ],
    ['W16: no other', world([]), feeder, { act: 'team', person: 'p', structure: 's1', members: [] }, 403],
    [
      'W16: the holder removes a member',
      world([team()]),
      holder,
      { act: 'remove-member', id: 't', member: 'dr' },
      'ok',
    ],
    ['W16: and adds none', world([team()]), holder, { act: 'add-member', id: 't', member: 'x' }, 403],
    [
      'W17: stays a participant',
      world([]),
      dr,
      { act: 'appoint', person: 'p', practitioners: ['x'], structures: [] },
      403,
    ],
    [
      'W17: a structure of theirs',
      world([]),
      dr,
      { act: 'appoint', person: 'p', practitioners: [], structures: ['s1'] },
      'ok',
    ],
    ['W18: the insurer only', world([]), dr, { act: 'payer', person: 'p' }, 403],
    ['W20: a caregiver writes the profile', world([caregiver()]), mother, { act: 'profile', person: 'p' }, 'ok'],
    ['W20: no professional', world([attending()]), dr, { act: 'profile', person: 'p' }, 403],
    ['W21: a caregiver adds nobody', world([caregiver()]), mother, { act: 'related', person: 'p', minor: false }, 403],
    [
      'section 5: a suspended holder writes nothing',
      world([permit('dr', { id: 'mine' }), space('suspended')]),
      holder,
      { act: 'end-consent', id: 'mine' },
      403,
    ],
    [
      'W9: a professional ends what names them',
      world([permit('dr', { id: 'mine' })]),
      dr,
      { act: 'end-consent', id: 'mine' },
      'ok',
    ],
    [
      'W9: not another’s',
      world([permit(), permit('x', { id: 'other' })]),
      dr,
      { act: 'end-consent', id: 'other' },
      403,
    ],
  ];
  test.each(cases)('%s', (_name, made, caller, act, expected) => {
    const answer = mayWrite(made, caller, act, noon);
    expect(answer === 'ok' ? 'ok' : answer.status).toBe(expected);
  });
});

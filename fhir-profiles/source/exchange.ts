/** Messages, notices and appointments. */
import { NOTICE_CODES } from '../../server/app/notices/notice.ts';
import { SYSTEM } from '../../server/fhir/canonical.ts';
import {
  AT_MOST_ONE,
  type Conformance,
  coded,
  el,
  extension,
  extensionSlice,
  ONE,
  profile,
  required,
  rule,
  SOME,
  slicedBy,
  to,
  valueSetUrl,
  vocabulary,
} from './draft.ts';
import { labelElements } from './identity.ts';

const NOTIFICATION = coded(SYSTEM.communicationCategory, 'notification');

const words = vocabulary(
  'notice',
  'Notices',
  'What a notice is about: the event codes of the national app, and one of ours. The text is what the notice says (docs/notices.md).',
  Object.entries(NOTICE_CODES).map(([code, { en, fr }]) => ({ code, en, fr })),
);

const threadClosed = extension({
  id: 'thread-closed',
  title: 'Closes the thread',
  description: 'True on the message by which a professional closes a thread: nobody answers in it afterwards.',
  context: ['Communication'],
  valueType: 'boolean',
});

const message = profile({
  id: 'carnet-message',
  type: 'Communication',
  title: 'Message',
  description:
    'A message between the person and a professional or a pharmacy. The sender is the caller, the recipient one; a thread is the chain of `inResponseTo` up to its first message. A message is never changed.',
  elements: [
    el('Communication.extension', slicedBy('value', 'url')),
    extensionSlice('Communication', 'thread-closed', AT_MOST_ONE),
    el('Communication.inResponseTo', { ...AT_MOST_ONE, ...to('Communication') }),
    el('Communication.subject', { ...SOME, ...to('Patient') }),
    el('Communication.recipient', {
      ...ONE,
      ...to('Patient', 'RelatedPerson', 'Practitioner', 'Organization'),
    }),
    el('Communication.sender', { ...SOME, ...to('Patient', 'RelatedPerson', 'Practitioner') }),
  ],
});

const notice = profile({
  id: 'carnet-notification',
  type: 'Communication',
  title: 'Notice to the person',
  description:
    'What the server tells the holder, or the attending physician, of an event in the space. Nobody writes one through the API.',
  follows: [
    {
      uri: 'https://interop.esante.gouv.fr/ig/fhir/nde',
      name: 'ANS Notification d’événements',
      how: 'The intent; that guide exchanges CommunicationRequests between systems, this is a notice within one.',
    },
  ],
  elements: [
    el('Communication.category', { ...slicedBy('pattern', '$this'), min: 2 }),
    el('Communication.category:notification', { ...ONE, patternCodeableConcept: NOTIFICATION }),
    el('Communication.category:event', { ...ONE, ...required(valueSetUrl('notice')) }),
    el('Communication.subject', { ...SOME, ...to('Patient') }),
    el('Communication.recipient', { ...ONE, ...to('Patient', 'Practitioner', 'RelatedPerson') }),
  ],
});

const appointment = profile({
  id: 'carnet-appointment',
  type: 'Appointment',
  title: 'Appointment',
  description:
    'An appointment of one person with a professional or a structure, which takes part through a role, a healthcare service or a location of it. Called off is `cancelled`; nothing is deleted. Visibility labels travel in `meta.security`.',
  follows: [
    {
      uri: 'https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-appointment',
      name: 'fr-core-appointment',
      how: 'Participants and times. Specialty and slots are accepted and not asked for.',
    },
  ],
  rules: [
    rule(
      'carnet-appointment-1',
      'One person takes part, whom the appointment is about.',
      "participant.actor.reference.where(startsWith('Patient/')).count() = 1",
    ),
  ],
  elements: [...labelElements('Appointment')],
});

export const exchange: readonly Conformance[] = [...words, threadClosed, message, notice, appointment];

/**
 * O2: notices. A Communication that the server writes into a space, in the transaction of what it tells of: without health data, without
 * names, in French with its English translation. `docs/notices.md`; codes: domain.md 4.1.
 */
import type { Bilingual } from '../../access/sentences.ts';
import { EXTENSION, SYSTEM } from '../../fhir/canonical.ts';
import type { JsonObject, Ref, Resource } from '../../fhir/types.ts';
import type { NoticeFiling } from '../../ports/store.ts';
import { save, type Writing } from '../work.ts';

/** What a notice is about: the event codes of the national app; `INVITATION_ANNONCE` is ours (W7, two weeks). */
export const NOTICE_CODES = {
  ACCES_DMP_PS: {
    fr: 'Un professionnel de santé a consulté votre espace. L’historique des accès dit lequel.',
    en: 'A health professional consulted your health space. The register of accesses says who.',
  },
  ACCES_BRIS_GLACE: {
    fr: 'Votre espace a été consulté en urgence. L’historique des accès dit par qui et pour quel motif.',
    en: 'Your health space was consulted in an emergency. The register of accesses says by whom and why.',
  },
  AJOUT_DOCUMENT: { fr: 'Un document a été ajouté à votre espace.', en: 'A document was added to your health space.' },
  MODIF_DOCUMENT: {
    fr: 'Un document de votre espace a été modifié ou remplacé.',
    en: 'A document of your health space was changed or replaced.',
  },
  SUPP_DOC: {
    fr: 'Un document a été supprimé de votre espace.',
    en: 'A document was removed from your health space.',
  },
  AJOUT_VACCINATION: {
    fr: 'Une vaccination a été ajoutée à votre espace.',
    en: 'A vaccination was added to your health space.',
  },
  REMISE_VISIBILITE_AUTO: {
    fr: 'Un document de votre espace vous est désormais visible.',
    en: 'A document of your health space is visible to you from now on.',
  },
  INVITATION_ANNONCE: {
    fr: 'Un professionnel de santé souhaite vous parler : prenez rendez-vous avec lui ou avec votre médecin traitant.',
    en: 'A health professional wishes to speak with you: make an appointment with them or with your attending physician.',
  },
} as const satisfies Record<string, Bilingual>;
export type NoticeCode = keyof typeof NOTICE_CODES;

/** To the attending physician, of an emergency access (O2). */
const TO_ATTENDING: Bilingual = {
  fr: 'L’espace d’un de vos patients a été consulté en urgence.',
  en: 'The health space of one of your patients was consulted in an emergency.',
};

/** What nobody can switch off: accesses, emergencies (O2) and the invitation of W7, which the law wants told by any means. */
const ALWAYS: readonly NoticeCode[] = ['ACCES_DMP_PS', 'ACCES_BRIS_GLACE', 'INVITATION_ANNONCE'];

/** The codes that a person may switch off. */
export const SWITCHABLE: readonly NoticeCode[] = (Object.keys(NOTICE_CODES) as NoticeCode[]).filter(
  (code) => !ALWAYS.includes(code),
);

/** A notice to be written: whose space, to whom, of what. */
export type Notice = {
  readonly code: NoticeCode;
  readonly person: Ref;
  /** The person, or their attending physician. */
  readonly recipient: Ref;
  /** The one item that it may name (a document event); nothing else of it is told. */
  readonly item?: Ref;
  readonly filing: NoticeFiling;
};

const concept = (system: string, code: string): JsonObject => ({ coding: [{ system, code }] });

const payload = ({ fr, en }: Bilingual): JsonObject => ({
  contentString: fr,
  _contentString: {
    extension: [
      {
        url: EXTENSION.translation,
        extension: [
          { url: 'lang', valueCode: 'en' },
          { url: 'content', valueString: en },
        ],
      },
    ],
  },
});

/** The Communication of a notice, without id and meta of the server. Two categories, so that a search finds either. */
export function noticeResource({ code, person, recipient, item }: Notice, sent: string): Resource {
  return {
    resourceType: 'Communication',
    language: 'fr',
    status: 'completed',
    category: [concept(SYSTEM.communicationCategory, 'notification'), concept(SYSTEM.notice, code)],
    ...(code === 'ACCES_BRIS_GLACE' ? { priority: 'urgent' } : {}),
    subject: { reference: person },
    ...(item === undefined ? {} : { about: [{ reference: item }] }),
    sent,
    recipient: [{ reference: recipient }],
    payload: [payload(recipient === person ? NOTICE_CODES[code] : TO_ATTENDING)],
  };
}

/** Writes one notice. It is the server's own: no record names it among what a caller wrote. */
export async function writeNotice(work: Writing, notice: Notice): Promise<void> {
  await save(
    { ...work, traces: [] },
    {
      key: { type: 'Communication', id: work.deps.ids.next() },
      before: undefined,
      resource: noticeResource(notice, new Date(work.now).toISOString()),
      owner: notice.person,
      filing: { filedAt: work.now, side: 'server', notice: notice.filing },
    },
  );
}

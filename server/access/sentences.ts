/**
 * What a rule says to a person, in French and in English, by rule id. Read by patients: one short sentence each, no rule id, no jargon.
 * `docs/explanations.md`; the ids are those of `rules.md`.
 */
import type { RuleId } from './decision.ts';

export type Bilingual = { readonly fr: string; readonly en: string };

/** Who is spoken to: the holder of the space (« vous »), or anybody else (« la personne »). */
export type Voice = 'holder' | 'other';

export type Effect = 'permit' | 'deny';

/** A rule, and where it has several grounds, which one: `A3:team`. */
export type ReasonKey = RuleId | `${RuleId}:${string}`;

type Line = Readonly<Record<Voice, Bilingual>>;

/** Says the same to everybody. */
const plain = (fr: string, en: string): Line => ({ holder: { fr, en }, other: { fr, en } });

/** Says « vous » to the holder. */
const voiced = (holder: Bilingual, other: Bilingual): Line => ({ holder, other });

/** Why something was possible. */
const PERMIT: Readonly<Record<ReasonKey, Line>> = {
  A0: plain('L’autorisation est écrite dans les formes.', 'The authorisation is properly written.'),
  A1: plain('Sa profession peut consulter.', 'This profession may consult.'),
  A2: voiced(
    { fr: 'Vous ne l’avez pas bloqué.', en: 'You did not block them.' },
    { fr: 'La personne ne l’a pas bloqué.', en: 'The person did not block them.' },
  ),
  A3: plain('Une autorisation est ouverte, à lui ou à son équipe.', 'They or their team are authorised.'),
  'A3:attending': voiced(
    { fr: 'C’est votre médecin traitant.', en: 'This is your attending physician.' },
    { fr: 'C’est le médecin traitant de la personne.', en: 'This is the person’s attending physician.' },
  ),
  'A3:professional': plain('Ce professionnel est autorisé.', 'This professional is authorised.'),
  'A3:structure': plain('Cette structure est autorisée.', 'This structure is authorised.'),
  'A3:team': voiced(
    { fr: 'Ce professionnel fait partie de votre équipe de soins.', en: 'This professional is in your care team.' },
    {
      fr: 'Ce professionnel fait partie de l’équipe de soins de la personne.',
      en: 'This professional is in the person’s care team.',
    },
  ),
  A4: voiced(
    { fr: 'En urgence, vous permettez cet accès.', en: 'In an emergency, you allow this access.' },
    { fr: 'En urgence, la personne permet cet accès.', en: 'In an emergency, the person allows this access.' },
  ),
  A5: voiced(
    { fr: 'Vous permettez l’accès du SAMU.', en: 'You allow access by the emergency call centre.' },
    { fr: 'La personne permet l’accès du SAMU.', en: 'The person allows access by the emergency call centre.' },
  ),
  A6: plain('Cela est ouvert pour des soins courants.', 'This is open in ordinary care.'),
  A7: plain('Aucun blocage ne s’y oppose.', 'No block stands against it.'),
  C2: plain('Le motif de l’accès est connu.', 'The purpose of the access is known.'),
  C5: plain('La recherche par identité du SAMU est permise.', 'The emergency call centre may search by identity.'),
  C6: voiced(
    { fr: 'Cet accès ne concerne que vous.', en: 'This access is about you only.' },
    { fr: 'Cet accès ne concerne que cette personne.', en: 'This access is about this person only.' },
  ),
  C7: voiced(
    { fr: 'Cette personne vous représente.', en: 'This person represents you.' },
    { fr: 'Cette personne représente le titulaire.', en: 'This person represents the holder.' },
  ),
  D1: plain('Sa profession lit ce type de document.', 'This profession reads this type of document.'),
  D1a: plain(
    'Il en est l’auteur : il voit la fiche du document, pas son contenu.',
    'They are its author: they see its description, not its content.',
  ),
  'D1a:item': plain('Il en est l’auteur.', 'They are its author.'),
  D2: voiced(
    {
      fr: 'Il peut voir vos volontés, vos vaccins et vos proches.',
      en: 'They may see your wishes, vaccines and contacts.',
    },
    {
      fr: 'Il peut voir les volontés, les vaccins et les proches de la personne.',
      en: 'They may see the person’s wishes, vaccines and contacts.',
    },
  ),
  D3: plain('Le profil médical est partagé.', 'The medical profile is shared.'),
  D4: plain('Les remboursements lui sont ouverts.', 'Reimbursements are open to them.'),
  D5: plain('Il participe à cet échange.', 'They take part in this exchange.'),
  D6: plain('Il participe à ce rendez-vous.', 'They take part in this appointment.'),
  D7: plain('Il peut voir ces autorisations.', 'They may see these authorisations.'),
  D8: plain('Il peut voir cet historique.', 'They may see this history.'),
  D9: voiced(
    { fr: 'Il peut vérifier votre identité.', en: 'They may check your identity.' },
    { fr: 'Il peut vérifier l’identité de la personne.', en: 'They may check the person’s identity.' },
  ),
  D10: plain('L’annuaire est ouvert à tous.', 'The directory is open to everybody.'),
  D11: plain('Il peut voir cette équipe de soins.', 'They may see this care team.'),
  D12: plain('Cette tâche lui revient.', 'This task is theirs.'),
  L0: plain('Le document n’est pas masqué.', 'The document is not hidden.'),
  L1: plain('Le document ne lui est pas masqué.', 'The document is not hidden from them.'),
  'L1:author': plain(
    'Il voit aussi ce qui est masqué : il en est l’auteur.',
    'They see it though masked: they wrote it.',
  ),
  'L1:attending': plain(
    'Il voit aussi ce qui est masqué : il est médecin traitant.',
    'They see it though masked, as attending physician.',
  ),
  'L1:emergency': voiced(
    {
      fr: 'Vous avez ouvert vos documents masqués aux urgences.',
      en: 'You opened your masked documents to emergency access.',
    },
    {
      fr: 'La personne a ouvert ses documents masqués aux urgences.',
      en: 'The person opened their masked documents to emergency access.',
    },
  ),
  'L1:host': plain(
    'En urgence, les documents masqués sont ouverts, sauf refus.',
    'In an emergency masked documents are open, unless refused.',
  ),
  L2: plain('Le document n’est plus réservé aux professionnels.', 'The document is no longer kept to professionals.'),
  L3: plain('Le document n’est pas caché aux représentants.', 'The document is not hidden from representatives.'),
  L4: plain('La confidentialité du document est normale.', 'The document has normal confidentiality.'),
  O2: voiced(
    { fr: 'Cet avis vous concerne.', en: 'This notice is for you.' },
    { fr: 'Cet avis concerne la personne.', en: 'This notice is for the person.' },
  ),
  O4: voiced(
    { fr: 'Vous avez demandé une explication.', en: 'You asked for an explanation.' },
    { fr: 'Une explication a été demandée.', en: 'An explanation was asked for.' },
  ),
  S1: voiced(
    { fr: 'Votre espace est ouvert.', en: 'Your space is open.' },
    { fr: 'L’espace de la personne est ouvert.', en: 'The person’s space is open.' },
  ),
  'S1:own': voiced(
    { fr: 'Il s’agit de votre propre espace.', en: 'This is your own space.' },
    { fr: 'La personne consulte son propre espace.', en: 'The person looks at their own space.' },
  ),
  S3: plain('Les dix ans de l’archive sont passés.', 'The ten years of the archive are over.'),
  T3: plain('La période est lisible.', 'The period can be read.'),
  W1: plain('Un document a été ajouté.', 'A document was added.'),
  W2: plain('Un document personnel a été déposé.', 'A personal document was deposited.'),
  W3: plain('Un document a été remplacé ou supprimé.', 'A document was replaced or deleted.'),
  W4: plain('Un document a été masqué.', 'A document was masked.'),
  W5: plain('Un document a été démasqué.', 'A document was unmasked.'),
  W6: plain('La visibilité d’un document a changé.', 'The visibility of a document changed.'),
  W7: plain('Le délai d’annonce est passé.', 'The announcement delay is over.'),
  W8: plain('La connexion n’est pas secrète.', 'The session is not secret.'),
  W9: plain('Une autorisation a été écrite ou modifiée.', 'An authorisation was written or changed.'),
  W10: plain('La fiche a été modifiée dans les règles.', 'The record was changed within the rules.'),
  W11: plain('Un message a été envoyé.', 'A message was sent.'),
  W12: plain('Un aidant a agi dans ses droits.', 'A caregiver acted within their rights.'),
  W13: plain('L’identité a été mise à jour.', 'The identity was updated.'),
  W14: plain('L’annuaire a été mis à jour.', 'The directory was updated.'),
  W15: plain(
    'Une déclaration ou l’état de l’espace a été enregistré.',
    'A declaration or the state of the space was recorded.',
  ),
  W16: plain('Une équipe de soins a été mise à jour.', 'A care team was updated.'),
  W17: plain('Un rendez-vous a été mis à jour.', 'An appointment was updated.'),
  W18: plain('Un remboursement a été ajouté.', 'A reimbursement was added.'),
  W19: plain('L’historique a été complété.', 'The history was extended.'),
  W20: plain('Le profil médical a été mis à jour.', 'The medical profile was updated.'),
  W21: plain('Un proche a été mis à jour.', 'A contact was updated.'),
  W22: plain('Une vaccination a été mise à jour.', 'A vaccination was updated.'),
  W23: plain('Le contenu d’un document a été ajouté.', 'The content of a document was added.'),
};

/** Why something was not possible. */
const DENY: Readonly<Record<ReasonKey, Line>> = {
  A0: plain('L’autorisation n’est pas écrite dans les formes.', 'The authorisation is not properly written.'),
  A1: plain('Sa profession ne peut pas consulter.', 'This profession may not consult.'),
  A2: voiced(
    {
      fr: 'Vous avez bloqué ce professionnel ou sa structure.',
      en: 'You blocked this professional or their structure.',
    },
    {
      fr: 'La personne a bloqué ce professionnel ou sa structure.',
      en: 'The person blocked this professional or their structure.',
    },
  ),
  'A2:professional': voiced(
    { fr: 'Vous avez bloqué ce professionnel.', en: 'You blocked this professional.' },
    { fr: 'La personne a bloqué ce professionnel.', en: 'The person blocked this professional.' },
  ),
  'A2:structure': voiced(
    { fr: 'Vous avez bloqué cette structure.', en: 'You blocked this structure.' },
    { fr: 'La personne a bloqué cette structure.', en: 'The person blocked this structure.' },
  ),
  A3: plain('Aucune autorisation n’est ouverte.', 'No authorisation is open.'),
  'A3:team': voiced(
    {
      fr: 'Vous n’ouvrez pas votre espace à vos équipes de soins.',
      en: 'You do not open your space to your care teams.',
    },
    {
      fr: 'La personne n’ouvre pas son espace à ses équipes de soins.',
      en: 'The person does not open their space to care teams.',
    },
  ),
  A4: voiced(
    { fr: 'Vous refusez l’accès en urgence.', en: 'You refuse emergency access.' },
    { fr: 'La personne refuse l’accès en urgence.', en: 'The person refuses emergency access.' },
  ),
  A5: voiced(
    { fr: 'Vous refusez l’accès du SAMU.', en: 'You refuse access by the emergency call centre.' },
    { fr: 'La personne refuse l’accès du SAMU.', en: 'The person refuses access by the emergency call centre.' },
  ),
  A6: plain('Un accès en urgence n’ouvre pas cela.', 'Emergency access does not open this.'),
  A7: plain('Un blocage s’y oppose.', 'A block stands against it.'),
  C2: plain('Le motif de l’accès n’est pas connu.', 'The purpose of the access is not known.'),
  C5: plain('Cet accès ne permet qu’une recherche par identité.', 'This access allows a search by identity only.'),
  C6: plain('Cet accès est limité à une autre personne.', 'This access is limited to another person.'),
  C7: plain('Aucune délégation n’est en cours.', 'No delegation is in force.'),
  D1: plain('Sa profession ne lit pas ce type de document.', 'This profession does not read this type of document.'),
  'D1:document': plain(
    'Cela suit un document qui ne lui est pas visible.',
    'This follows a document that they cannot see.',
  ),
  D1a: plain('Il n’est pas l’auteur du document.', 'They are not the author of the document.'),
  'D1a:item': plain('Il n’en est pas l’auteur.', 'They are not its author.'),
  D2: plain('Cela ne lui est pas ouvert.', 'This is not open to them.'),
  D3: voiced(
    { fr: 'Vous ne partagez pas votre profil médical.', en: 'You do not share your medical profile.' },
    { fr: 'La personne ne partage pas son profil médical.', en: 'The person does not share their medical profile.' },
  ),
  D4: plain('Les remboursements ne lui sont pas ouverts.', 'Reimbursements are not open to them.'),
  D5: plain('Il ne participe pas à cet échange.', 'They do not take part in this exchange.'),
  D6: plain('Il ne participe pas à ce rendez-vous.', 'They do not take part in this appointment.'),
  D7: plain('Ces autorisations ne lui sont pas ouvertes.', 'These authorisations are not open to them.'),
  D8: plain('Cet historique ne lui est pas ouvert.', 'This history is not open to them.'),
  D9: plain('Cette identité ne lui est pas ouverte.', 'This identity is not open to them.'),
  D10: plain('Cela n’est pas public dans l’annuaire.', 'This is not public in the directory.'),
  D11: plain('Il ne fait pas partie de cette équipe de soins.', 'They are not in this care team.'),
  D12: plain('Cette tâche n’est pas la sienne.', 'This task is not theirs.'),
  L0: plain('Cette visibilité n’existe pas.', 'This visibility does not exist.'),
  L1: plain('Cet élément est masqué aux professionnels.', 'This item is masked from professionals.'),
  'L1:default': voiced(
    {
      fr: 'Vous avez masqué tous vos documents aux professionnels.',
      en: 'You masked all your documents from professionals.',
    },
    {
      fr: 'La personne a masqué tous ses documents aux professionnels.',
      en: 'The person masked all their documents from professionals.',
    },
  ),
  L2: plain(
    'Un professionnel doit d’abord en parler à la personne.',
    'A professional first has to speak of it with the person.',
  ),
  L3: plain('Cet élément est caché aux représentants.', 'This item is hidden from representatives.'),
  L4: plain('Cette confidentialité n’est pas admise.', 'This confidentiality is not accepted.'),
  O2: plain('Seule la personne choisit ce dont elle est avisée.', 'Only the person chooses what they are told.'),
  O4: plain(
    'Seuls la personne et ses représentants demandent qui voit quoi.',
    'Only the person and their representatives ask who sees what.',
  ),
  S1: voiced(
    { fr: 'L’état de votre espace ne le permet pas.', en: 'The state of your space does not allow it.' },
    { fr: 'L’état de l’espace ne le permet pas.', en: 'The state of the space does not allow it.' },
  ),
  S3: plain('Les dix ans de l’archive ne sont pas passés.', 'The ten years of the archive are not over.'),
  T3: plain('La période ne peut pas être lue.', 'The period cannot be read.'),
  W1: plain('L’ajout de ce document n’était pas permis.', 'Adding this document was not allowed.'),
  W2: plain('Ce document ne peut pas être déposé.', 'This document cannot be deposited.'),
  W3: plain('Seul l’auteur remplace ou supprime ce document.', 'Only its author replaces or deletes this document.'),
  W4: plain('Il ne peut pas masquer ce document.', 'They may not mask this document.'),
  W5: plain('Il ne peut pas démasquer ce document.', 'They may not unmask this document.'),
  W6: plain('Il ne peut pas changer cette visibilité.', 'They may not change this visibility.'),
  W7: plain('Le délai d’annonce n’est pas passé.', 'The announcement delay is not over.'),
  W8: plain('Cela vient d’une connexion secrète.', 'This comes from a secret session.'),
  W9: plain('Il ne peut pas écrire cette autorisation.', 'They may not write this authorisation.'),
  W10: plain('Cela ne se modifie pas ainsi.', 'This is not changed in this way.'),
  W11: plain('Il ne peut pas envoyer ce message.', 'They may not send this message.'),
  W12: plain('Un aidant ne gère pas les accès.', 'A caregiver does not manage accesses.'),
  W13: plain('Il ne peut pas changer cette identité.', 'They may not change this identity.'),
  W14: plain('Seul l’hébergeur écrit l’annuaire.', 'Only the host writes the directory.'),
  W15: plain('Il ne peut pas faire cette déclaration.', 'They may not make this declaration.'),
  W16: plain('Il ne peut pas changer cette équipe de soins.', 'They may not change this care team.'),
  W17: plain('Il ne peut pas changer ce rendez-vous.', 'They may not change this appointment.'),
  W18: plain('Seule l’Assurance Maladie écrit les remboursements.', 'Only the health insurance writes reimbursements.'),
  W19: plain('L’historique ne se modifie pas.', 'The history is never changed.'),
  W20: plain('Il ne peut pas changer le profil médical.', 'They may not change the medical profile.'),
  W21: plain('Il ne peut pas changer ce proche.', 'They may not change this contact.'),
  W22: plain('Il ne peut pas changer cette vaccination.', 'They may not change this vaccination.'),
  W23: plain(
    'Ce contenu va avec un document qui n’est pas le sien.',
    'This content belongs to a document of another author.',
  ),
};

const TABLE: Readonly<Record<Effect, Readonly<Record<ReasonKey, Line>>>> = { permit: PERMIT, deny: DENY };

/** Where no rule was recorded: the request failed before one was asked. */
const WITHOUT_RULE: Readonly<Record<Effect, Bilingual>> = {
  permit: { fr: 'L’accès a été permis.', en: 'The access was allowed.' },
  deny: { fr: 'L’accès a été refusé.', en: 'The access was refused.' },
};

/** The sentence of one reason, `undefined` when there is none for it. A detail that has no sentence of its own has its rule's. */
export function sentenceOf(key: ReasonKey, effect: Effect, voice: Voice): Bilingual | undefined {
  const table = TABLE[effect];
  return (table[key] ?? table[key.split(':')[0] ?? ''])?.[voice];
}

/** The sentences of several reasons, as one text in each language; never empty. */
export function textOf(keys: readonly ReasonKey[], effect: Effect, voice: Voice): Bilingual {
  const lines = keys.map((key) => sentenceOf(key, effect, voice)).filter((line) => line !== undefined);
  const said = lines.length === 0 ? [WITHOUT_RULE[effect]] : lines;
  const once = (texts: readonly string[]): string => [...new Set(texts)].join(' ');
  return { fr: once(said.map((l) => l.fr)), en: once(said.map((l) => l.en)) };
}

/** The same, of an act of the holder themself: the refusals of writing speak of whoever acts. */
export function ofHolder({ fr, en }: Bilingual, voice: Voice): Bilingual {
  const holder = voice === 'holder';
  return {
    fr: fr.replaceAll('Il ne peut pas', holder ? 'Vous ne pouvez pas' : 'La personne ne peut pas'),
    en: en.replaceAll('They may not', holder ? 'You may not' : 'The person may not'),
  };
}

/** Of an item that was looked at once. */
export const DELETED_SINCE: Bilingual = {
  fr: 'Cet élément a été supprimé depuis.',
  en: 'This item was deleted since.',
};

/** The same, told of an earlier time. */
export const atThatTime = ({ fr, en }: Bilingual): Bilingual => ({
  fr: `À ce moment : ${fr}`,
  en: `At that time: ${en}`,
});

/** What each kind of right is called. */
export const RIGHT_LABELS: Readonly<Record<string, Bilingual>> = {
  'space-existence': { fr: 'État de l’espace', en: 'State of the space' },
  'professional-access': { fr: 'Accès d’un professionnel', en: 'Access of a professional' },
  'organization-access': { fr: 'Accès d’une structure', en: 'Access of a structure' },
  'attending-physician': { fr: 'Médecin traitant', en: 'Attending physician' },
  'care-team': { fr: 'Équipe de soins', en: 'Care team' },
  'care-team-default': { fr: 'Accès des équipes de soins', en: 'Access of care teams' },
  'emergency-btg': { fr: 'Accès en urgence', en: 'Emergency access' },
  'emergency-etreat': { fr: 'Accès du SAMU', en: 'Access of the emergency call centre' },
  'emergency-masked': { fr: 'Documents masqués en urgence', en: 'Masked documents in an emergency' },
  'feed-opposition': { fr: 'Opposition à l’alimentation', en: 'Opposition to feeding' },
  'document-default': { fr: 'Tout masquer aux professionnels', en: 'Mask everything from professionals' },
  'profile-sharing': { fr: 'Partage du profil médical', en: 'Sharing of the medical profile' },
  delegation: { fr: 'Délégation', en: 'Delegation' },
  'app-authorization': { fr: 'Application autorisée', en: 'Authorised application' },
};

/** Where a right comes from. */
export type Origin = 'declared' | 'given' | 'team' | 'insurer' | 'operator';

export const ORIGIN_LABELS: Readonly<Record<Origin, Bilingual>> = {
  declared: { fr: 'Déclaré par le professionnel', en: 'Declared by the professional' },
  given: { fr: 'Donné par la personne', en: 'Given by the person' },
  team: { fr: 'Hérité de l’équipe de soins', en: 'Inherited from the care team' },
  insurer: { fr: 'Déclaré par l’Assurance Maladie', en: 'Declared by the health insurance' },
  operator: { fr: 'Corrigé par l’hébergeur', en: 'Repaired by the host' },
};

/** What each purpose of use is called. */
export const PURPOSE_LABELS: Readonly<Record<string, Bilingual>> = {
  TREAT: { fr: 'Soins courants', en: 'Ordinary care' },
  BTG: { fr: 'Bris de glace', en: 'Break-glass emergency' },
  ETREAT: { fr: 'Régulation du SAMU', en: 'Emergency call centre' },
};

/** The ids that have a sentence for each effect. */
export const SPOKEN_RULES: ReadonlySet<RuleId> = new Set(
  Object.keys(PERMIT).filter((key) => !key.includes(':') && Object.hasOwn(DENY, key)),
);

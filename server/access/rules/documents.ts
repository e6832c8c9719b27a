/** rules.md section 4: D1 (documents and what belongs to them), D1a (one's own), D2 (directives, RelatedPerson, Immunization). */
import { hop, unseen } from '../../query/plan.ts';
import { ALL, and, NONE, not, or, type Predicate, term } from '../../query/predicate.ts';
import { type Asking, grant, type Part, part, type Rows, type Vote } from '../decision.ts';
import type { Policy } from '../policy.ts';
import { authored, authoredInPerson, delegated, gate, lightGate, ownSpace, s1 } from './gate.ts';
import { holderLabels, professionalLabels, representativeLabels } from './labels.ts';

/** LOINC type of advance directives: D2 instead of D1. */
export const DIRECTIVES = '42348-3';

const directives = term('_doctype', DIRECTIVES);

/** D1: the matrix says that the profession reads this type; authorship in person lifts it. */
function matrix(asking: Asking): Part {
  const { policy, caller } = asking;
  const readable = readableTypes(policy, caller.profession ?? '');
  const own = authoredInPerson(asking);
  // Not flattened: the alternatives of a profession stay one predicate, which a store may remember.
  return part('D1', own.op === 'none' ? readable : { op: 'or', of: [own, readable] });
}

const readableByPolicy = new WeakMap<Policy, Map<string, Predicate>>();

/** `or` of the types that a profession reads, made once for each policy. */
function readableTypes(policy: Policy, profession: string): Predicate {
  const known = readableByPolicy.get(policy)?.get(profession);
  if (known !== undefined) return known;
  const codes = Object.hasOwn(policy.matrix, profession) ? (policy.matrix[profession]?.read ?? []) : [];
  const made = or(...codes.map((code) => term('_doctype', code)));
  const byProfession = readableByPolicy.get(policy) ?? new Map<string, Predicate>();
  readableByPolicy.set(policy, byProfession.set(profession, made));
  return made;
}

const d1 = (asking: Asking): Vote =>
  grant('D1', part('D1', not(directives)), ...gate(asking), matrix(asking), professionalLabels(asking));

const d2Directives = (asking: Asking): Vote =>
  grant('D2', part('D2', directives), ...gate(asking), professionalLabels(asking));

/** D1a: the light gate; no matrix, no label. Without the Binary: `contentRows` leaves it out. */
const d1a = (asking: Asking): Vote => grant('D1a', part('D1a', authored(asking)), ...lightGate(asking));

/** By label, to the holder. */
export const holderItems =
  (rule: string) =>
  (asking: Asking): readonly Vote[] => [
    grant(rule, part(rule, ownSpace(asking)), s1(asking, 'holder'), holderLabels(asking)),
  ];
/** By label, to both kinds of representative. */
export const representativeItems =
  (rule: string) =>
  (asking: Asking): readonly Vote[] => [
    grant(
      rule,
      part(rule, ownSpace(asking)),
      s1(asking, 'holder'),
      delegated(asking, ['legal', 'caregiver']),
      ...representativeLabels(asking),
    ),
  ];

/** DocumentReference. */
export const documentRows: Rows = {
  patient: holderItems('D1'),
  representative: representativeItems('D1'),
  professional: (asking) => [d1(asking), d2Directives(asking), d1a(asking)],
  feeder: (asking) => [d1a(asking)],
};

/** DocumentReference as far as its Binary, List and Provenance follow it: D1 and D2 without D1a. */
export const contentRows: Rows = {
  patient: holderItems('D1'),
  representative: representativeItems('D1'),
  professional: (asking) => [d1(asking), d2Directives(asking)],
};

const followed = (asking: Asking, where: Predicate): Vote =>
  grant('D1', part('D1', where), s1(asking, asking.caller.kind === 'professional' ? 'professional' : 'holder'));

/** A Binary follows its document; one that no document refers to yet is its author's only. */
const binary = (asking: Asking): readonly Vote[] => [
  followed(asking, hasVisibleDocument(asking)),
  grant('D1', part('D1', and(term('_unattached', '1'), uploadedBy(asking)))),
];

const uploadedBy = ({ caller }: Asking): Predicate => (caller.self === undefined ? NONE : term('_by', caller.self));

const hasVisibleDocument = (asking: Asking): Predicate => ({
  op: 'via',
  param: '_document',
  hop: hop(asking.follow('DocumentReference', 'with-content'), ALL, { deleted: true }),
});

const hasHiddenDocument = (asking: Asking): Predicate => ({
  op: 'via',
  param: '_document',
  hop: unseen(asking.follow('DocumentReference', 'with-content')),
});

export const binaryRows: Rows = {
  patient: binary,
  representative: binary,
  professional: binary,
  feeder: (asking) => [grant('D1', part('D1', and(term('_unattached', '1'), uploadedBy(asking))))],
};

/** A List is as hidden as the most hidden of its documents; one without documents is shown to nobody. */
const allDocumentsVisible = (asking: Asking): Part =>
  part('D1', and(hasVisibleDocument(asking), not(hasHiddenDocument(asking))));

export const listRows: Rows = {
  patient: (asking) => [grant('D1', part('D1', ownSpace(asking)), s1(asking, 'holder'), allDocumentsVisible(asking))],
  representative: (asking) => [
    grant(
      'D1',
      part('D1', ownSpace(asking)),
      s1(asking, 'holder'),
      delegated(asking, ['legal', 'caregiver']),
      allDocumentsVisible(asking),
    ),
  ],
  professional: (asking) => [grant('D1', ...gate(asking), allDocumentsVisible(asking))],
};

/** A Provenance follows the documents it is about. */
const provenance = (asking: Asking): readonly Vote[] => [
  followed(asking, and(hasVisibleDocument(asking), not(hasHiddenDocument(asking)))),
];

export const provenanceRows: Rows = { patient: provenance, representative: provenance, professional: provenance };

const d2 = (asking: Asking): Vote => grant('D2', ...gate(asking), professionalLabels(asking));

/** Immunization (D2, D1a): gate and labels, no matrix; its author by the light gate, without labels. */
export const immunizationRows: Rows = {
  patient: holderItems('D2'),
  representative: representativeItems('D2'),
  professional: (asking) => [d2(asking), d1a(asking)],
  feeder: (asking) => [d1a(asking)],
};

/** RelatedPerson (D2): gate and labels, no matrix. */
export const relatedPersonRows: Rows = {
  patient: holderItems('D2'),
  representative: representativeItems('D2'),
  professional: (asking) => [d2(asking)],
};

/** Documents, what is filed with them, and the register of accesses. */
import { SPOKEN_RULES, sentenceOf } from '../../server/access/sentences.ts';
import { SYSTEM } from '../../server/fhir/canonical.ts';
import {
  AT_MOST_ONE,
  type Conformance,
  coded,
  el,
  extension,
  extensionSlice,
  NONE,
  ONE,
  profile,
  required,
  rule,
  SOME,
  slicedBy,
  to,
  valueSet,
  valueSetUrl,
  vocabulary,
} from './draft.ts';

const pdsm = (name: string) => `https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/${name}`;
const mhd = (name: string) => `https://profiles.ihe.net/ITI/MHD/StructureDefinition/${name}`;

const confidentiality = valueSet(
  'confidentiality',
  'Confidentiality of what is filed',
  'What a feed may say: normal. Restricted and very restricted documents are not accepted into a space.',
  [{ system: SYSTEM.confidentiality, codes: ['N'] }],
);

const document = profile({
  id: 'carnet-document',
  type: 'DocumentReference',
  title: 'Document of a space',
  description:
    'A document, fed by a professional or a structure or deposited by the person. Its bytes are a Binary of this server; its labels are a set: one confidentiality at most, and visibility labels of TRE_A07, each once. What is asked here holds for every document; a feed that claims PDSm or MHD is held to those as well, where the host has loaded them.',
  follows: [
    {
      uri: pdsm('pdsm-comprehensive-document-reference'),
      name: 'PDSm comprehensive DocumentReference',
      how: 'A document that conforms to it conforms to this profile. Here less is asked for, since the person’s own deposits have no author structure.',
    },
    {
      uri: mhd('IHE.MHD.Comprehensive.DocumentReference'),
      name: 'IHE MHD comprehensive DocumentReference',
      how: 'Same names for the same elements; `docStatus` is not used.',
    },
  ],
  elements: [
    el('DocumentReference.subject', { ...SOME, ...to('Patient') }),
    el('DocumentReference.securityLabel', {
      constraint: [
        rule(
          'carnet-label-1',
          'A label is a coding of v3-Confidentiality or of TRE_A07.',
          `coding.exists() and coding.all(system = '${SYSTEM.confidentiality}' or system = '${SYSTEM.visibility}')`,
        ),
      ],
    }),
    el('DocumentReference.securityLabel.coding', slicedBy('value', 'system')),
    el('DocumentReference.securityLabel.coding:confidentiality', required(valueSetUrl('confidentiality'))),
    el('DocumentReference.securityLabel.coding:confidentiality.system', { ...SOME, fixedUri: SYSTEM.confidentiality }),
    el('DocumentReference.securityLabel.coding:confidentiality.code', SOME),
    el('DocumentReference.securityLabel.coding:visibility', required(valueSetUrl('visibility-label'))),
    el('DocumentReference.securityLabel.coding:visibility.system', { ...SOME, fixedUri: SYSTEM.visibility }),
    el('DocumentReference.securityLabel.coding:visibility.code', SOME),
    el('DocumentReference.content.attachment.data', NONE),
    el('DocumentReference.context.sourcePatientInfo', to('Patient')),
  ],
});

const list = (id: string, code: string, title: string, description: string, follows: readonly [string, string]) =>
  profile({
    id,
    type: 'List',
    title,
    description,
    follows: [
      { uri: pdsm(follows[0]), name: follows[0], how: 'Same code and mode; what it asks for beside is accepted.' },
      { uri: mhd(follows[1]), name: follows[1], how: 'Same code and mode.' },
    ],
    elements: [
      el('List.code', { ...SOME, patternCodeableConcept: coded(SYSTEM.listType, code) }),
      el('List.subject', { ...SOME, ...to('Patient') }),
      el('List.entry.deleted', NONE),
      el('List.entry.item', to('DocumentReference', 'List')),
    ],
  });

const provenance = profile({
  id: 'carnet-provenance',
  type: 'Provenance',
  title: 'Origin of a document',
  description: 'Who had a part in a document. It is seen by whoever sees the documents that it names.',
  elements: [
    el('Provenance.target', {
      constraint: [
        rule(
          'carnet-provenance-1',
          'A provenance is about documents.',
          "reference.startsWith('DocumentReference/') or reference.startsWith('urn:uuid:')",
        ),
      ],
    }),
  ],
});

// ---- the register of accesses ---------------------------------------------------------------------------------------

const words = [
  ...vocabulary(
    'rule',
    'Access rules',
    'Ids of the access rules that decisions quote: in `issue.details` of a refusal, in `entity.detail` of an AuditEvent, and in explanations. The text is what an explanation says where the rule is met.',
    [...SPOKEN_RULES].map((code) => {
      const said = sentenceOf(code, 'permit', 'other');
      return { code, en: said?.en ?? code, fr: said?.fr ?? code };
    }),
  ),
  ...vocabulary('audit', 'Tags of audit records', 'Marks of the register of accesses.', [
    {
      code: 'secret',
      en: 'Secret session, shown to the holder and the host only',
      fr: 'Connexion secrète, montrée au titulaire et à l’hébergeur seulement',
    },
  ]),
];

const accessReason = extension({
  id: 'access-reason',
  title: 'Stated reason of an access',
  description: 'What the caller of an emergency access, or the host of a repair, gave as the reason.',
  context: ['AuditEvent.agent'],
  valueType: 'string',
});

const auditEvent = profile({
  id: 'carnet-audit-event',
  type: 'AuditEvent',
  title: 'Entry of the register of accesses',
  description:
    'One record for each person and request, durable before the first byte of the answer: who asked, for which structure, for which purpose, what was looked at or written, and which rules decided. It names items and never repeats their content. Also made for a refusal, and for what the server does by its own clock, which nobody asked for.',
  follows: [
    {
      uri: 'https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead',
      name: 'IHE BALP',
      how: 'Each record follows the BALP pattern of its action (Create, Read, Update, Delete, Query, with or without a patient), and claims it in `meta.profile` where it holds: for one successful interaction on one object. Refusals, transactions, operations and the acts of the server itself have no pattern there.',
    },
  ],
  rules: [
    rule(
      'carnet-audit-3',
      'Where somebody asked, both ends of the wire are named, and the request.',
      `agent.where(type.coding.code = 'IRCP').exists() implies (agent.count() >= 3 and entity.where(type.code = 'XrequestId').exists())`,
    ),
  ],
  elements: [
    el('AuditEvent.type', { patternCoding: { system: SYSTEM.auditEventType, code: 'rest' } }),
    el('AuditEvent.subtype', ONE),
    el('AuditEvent.action', SOME),
    el('AuditEvent.outcome', SOME),
    el('AuditEvent.agent', {
      constraint: [rule('carnet-audit-1', 'The one who asked says who they are.', 'requestor implies who.exists()')],
    }),
    el('AuditEvent.agent.extension', slicedBy('value', 'url')),
    extensionSlice('AuditEvent.agent', 'access-reason', AT_MOST_ONE),
    el('AuditEvent.entity', {
      ...slicedBy('value', 'type'),
      constraint: [
        rule(
          'carnet-audit-2',
          'An item is named without its version.',
          "what.reference.exists() implies what.reference.contains('/_history/').not()",
        ),
      ],
    }),
    el('AuditEvent.entity:request', AT_MOST_ONE),
    el('AuditEvent.entity:request.what', SOME),
    el('AuditEvent.entity:request.what.identifier', SOME),
    el('AuditEvent.entity:request.what.identifier.value', SOME),
    el('AuditEvent.entity:request.type', {
      ...SOME,
      patternCoding: { system: SYSTEM.balpEntityType, code: 'XrequestId' },
    }),
    el('AuditEvent.entity:person', AT_MOST_ONE),
    el('AuditEvent.entity:person.what', { ...SOME, ...to('Patient') }),
    el('AuditEvent.entity:person.type', {
      ...SOME,
      patternCoding: { system: SYSTEM.auditEntityType, code: '1' },
    }),
  ],
});

export const documents: readonly Conformance[] = [
  confidentiality,
  document,
  list(
    'carnet-submission-set',
    'submissionset',
    'Submission set',
    'What was filed together. It holds documents and folders of one person, all of one author.',
    ['pdsm-submissionset-comprehensive', 'IHE.MHD.Comprehensive.SubmissionSet'],
  ),
  list('carnet-folder', 'folder', 'Folder', 'Documents of one person that belong together.', [
    'pdsm-folder-comprehensive',
    'IHE.MHD.Comprehensive.Folder',
  ]),
  provenance,
  ...words,
  accessReason,
  auditEvent,
];

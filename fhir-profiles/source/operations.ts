/** The operations that the server has, each as it takes and answers it (docs/wire.md, docs/explanations.md, docs/profiles.md). */
import { LABELLED_TYPES } from '../../server/app/interactions/label-operations.ts';
import { EXPLAINED_TYPES } from '../../server/app/interactions/who-can-see.ts';
import { DECLARATIONS } from '../../server/app/types/index.ts';
import { type Conformance, codeSystemUrl, type OperationParameter, operation } from './draft.ts';

const HL7 = 'http://hl7.org/fhir/OperationDefinition';
const ON_AN_ITEM = { type: false, instance: true } as const;
const here = (types: readonly string[]) => types.filter((type) => DECLARATIONS.has(type));

const theItem: OperationParameter = {
  name: 'return',
  use: 'out',
  min: 1,
  type: 'Resource',
  about: 'The item as it now is.',
};
const answered: OperationParameter = {
  name: 'return',
  use: 'out',
  min: 1,
  type: 'Parameters',
  about: 'The explanation, part by part, as docs/explanations.md lists them.',
};

const who = (name: string, about: string): OperationParameter => ({
  name,
  use: 'in',
  min: 1,
  type: 'code',
  about: `${about} \`patient\` or \`representatives\`.`,
});

const labels = [
  operation({
    id: 'mask',
    title: 'Mask an item from professionals',
    description:
      'Adds MASQUE_PS to the labels of an item and leaves the others as they are (W4). Asked of an item that is masked already, it changes nothing.',
    affectsState: true,
    on: LABELLED_TYPES,
    level: ON_AN_ITEM,
    parameters: [
      {
        name: 'atHoldersRequest',
        use: 'in',
        type: 'boolean',
        about: 'A professional states that the holder asks for it.',
      },
      theItem,
    ],
  }),
  operation({
    id: 'unmask',
    title: 'Unmask an item',
    description: 'Takes MASQUE_PS away and leaves the other labels as they are (W5).',
    affectsState: true,
    on: LABELLED_TYPES,
    level: ON_AN_ITEM,
    parameters: [theItem],
  }),
  operation({
    id: 'hide',
    title: 'Hide an item',
    description: 'Adds INVISIBLE_PATIENT or INVISIBLE_REPRESENTANTS_LEGAUX to the labels of an item (W6).',
    affectsState: true,
    on: LABELLED_TYPES,
    level: ON_AN_ITEM,
    parameters: [who('from', 'From whom:'), theItem],
  }),
  operation({
    id: 'release',
    title: 'Show an item again',
    description: 'Takes INVISIBLE_PATIENT or INVISIBLE_REPRESENTANTS_LEGAUX away (W6).',
    affectsState: true,
    on: LABELLED_TYPES,
    level: ON_AN_ITEM,
    parameters: [who('to', 'To whom:'), theItem],
  }),
];

const explanations = [
  operation({
    id: 'who-can-see',
    title: 'Who can see this item, and why',
    description:
      'For the holder or a representative: every actor known, permitted or denied this item now, with the rules and a sentence in French and English. The engine that decides makes the answer.',
    affectsState: false,
    on: here(EXPLAINED_TYPES),
    level: ON_AN_ITEM,
    parameters: [answered],
  }),
  operation({
    id: 'evaluate',
    title: 'What a right would change',
    description:
      'For the holder or a legal representative: a draft Consent, or a label of an item, is written by the ordinary rules and undone; what each known actor would gain or lose is answered.',
    affectsState: false,
    on: ['Consent'],
    level: { type: true, instance: false },
    parameters: [
      { name: 'consent', use: 'in', type: 'Consent', about: 'The draft; with an id, a change of that entry.' },
      { name: 'item', use: 'in', type: 'Reference', about: 'The item that a label would be changed on.' },
      { name: 'label', use: 'in', type: 'code', about: '`mask` or `unmask`.' },
      answered,
    ],
  }),
  operation({
    id: 'explain',
    title: 'Why an access was allowed, or refused',
    description: 'The rules that decided an access, from the facts of that time, even where they have changed since.',
    affectsState: false,
    on: ['AuditEvent'],
    level: ON_AN_ITEM,
    parameters: [answered],
  }),
  operation({
    id: 'access-register',
    title: 'Register of rights and accesses',
    description: 'Rights in force and past with their first and last access, and the accesses grouped by visit.',
    affectsState: false,
    on: ['Patient'],
    level: ON_AN_ITEM,
    parameters: [
      { name: 'start', use: 'in', type: 'date', about: 'First day, inclusive at the precision written.' },
      { name: 'end', use: 'in', type: 'date', about: 'Last day, inclusive at the precision written.' },
      { name: 'view', use: 'in', type: 'code', about: '`fhir` (the default) or `page`.' },
      { name: '_count', use: 'in', type: 'integer', about: 'Accesses on a page.' },
      answered,
    ],
  }),
  operation({
    id: 'notification-preferences',
    title: 'Which notices a person wants',
    description:
      'Reads and sets which notices the holder receives (O2; docs/notices.md). Accesses, emergencies and the invitation of the announcement clock are always told.',
    affectsState: true,
    on: ['Patient'],
    level: ON_AN_ITEM,
    parameters: [
      {
        name: 'preference',
        use: 'in',
        max: '*',
        about: 'One notice that is wanted or not.',
        part: [
          { name: 'code', min: 1, type: 'code', about: `A code of ${codeSystemUrl('notice')}.` },
          { name: 'notify', min: 1, type: 'boolean', about: 'Whether the person wants to be told.' },
        ],
      },
      { ...answered, about: 'Every notice, with whether it is wanted and whether that can be changed.' },
    ],
  }),
  operation({
    id: 'everything',
    title: 'Everything about a person',
    description:
      'A searchset of what the caller sees of one person, in the types that the token covers. What is hidden is not counted either.',
    of: `${HL7}/Patient-everything`,
    affectsState: false,
    on: ['Patient'],
    level: ON_AN_ITEM,
    parameters: [
      { name: '_type', use: 'in', max: '*', type: 'code', about: 'Types to keep to.' },
      { name: '_since', use: 'in', type: 'instant', about: 'What changed since then.' },
      { name: '_count', use: 'in', type: 'integer', about: 'Resources on a page.' },
      { name: 'return', use: 'out', min: 1, type: 'Bundle', about: 'A page of the searchset.' },
    ],
  }),
];

const validate = operation({
  id: 'validate',
  title: 'Validate a resource',
  description:
    'Judges a resource as a write would: R4, the profile that applies here, the profiles that it claims, and the one that is asked for. Nothing is stored. The answer is 200 with an OperationOutcome, whatever it says. With an id, the item must be one that the caller sees.',
  of: `${HL7}/Resource-validate`,
  affectsState: false,
  on: [...DECLARATIONS.keys()],
  level: { type: true, instance: true },
  parameters: [
    { name: 'resource', use: 'in', type: 'Resource', about: 'What is validated; needed but for the mode `delete`.' },
    { name: 'mode', use: 'in', type: 'code', about: '`create`, `update`, `delete` or `profile`.' },
    { name: 'profile', use: 'in', type: 'uri', about: 'A canonical to validate against, with or without a version.' },
    { name: 'return', use: 'out', min: 1, type: 'OperationOutcome', about: 'What was found.' },
  ],
});

export const operations: readonly Conformance[] = [...labels, ...explanations, validate];

/**
 * The cells of the decision table: who asks (kind and mode) × what (type, and for documents what the matrix says) × interaction × label ×
 * ground (and authorship). `cellsOf` says in which a decision falls, `possibleCells` which ones `rules.md` makes possible. A decision about an
 * item with two labels falls in the cell of each.
 */
import { DIRECTIVES, labelsNow } from './decide.ts';
import { delegation, find, gate, isAuthor, isCreator, personOf, refsOf, sameRef, vote } from './facts.ts';
import { placeIn } from './time.ts';
import type { DocumentItem, Instant, Item, Verdict, World, WorldCaller } from './world.ts';

/** One cell without its interaction, as the columns of a table. */
export type Cell = { readonly who: string; readonly what: string; readonly label: string; readonly ground: string };

export const INTERACTIONS = ['read', 'vread', 'history', 'search', 'content'] as const;
export type Interaction = (typeof INTERACTIONS)[number];

export const nameOf = ({ who, what, label, ground }: Cell): string => [who, what, label, ground].join(' | ');

/** Stands where a column makes no difference: the rule that decides looks at nothing there. */
const ANY = '*';
const SHUT = ['C5', 'C6', 'C7', 'S1'];
const DOCUMENTS = ['document', 'document outside the matrix', 'directive'];
const BELONGINGS = ['Binary', 'Provenance'];
const PROFILE = [
  'Condition',
  'AllergyIntolerance',
  'Procedure',
  'FamilyMemberHistory',
  'MedicationStatement',
  'Observation',
  'QuestionnaireResponse',
];
const PAYER = ['ExplanationOfBenefit', 'Coverage'];
const DIRECTORY = ['Practitioner', 'PractitionerRole', 'Organization', 'HealthcareService', 'Location'];

// ---- where a decision falls -----------------------------------------------------------------------------------------

/** The cells of one decision; `verdict` is the oracle's. */
export function cellsOf(
  world: World,
  caller: WorldCaller,
  item: Item,
  { now, verdict }: { readonly now: Instant; readonly verdict: Verdict },
): readonly Cell[] {
  const who = whoOf(world, caller, now);
  const what = whatOf(world, caller, item);
  const [first = ''] = verdict.rules;
  if (DIRECTORY.includes(item.type) || SHUT.includes(first)) return [{ who, what, label: ANY, ground: first }];
  const ground = groundOf(world, caller, item, now);
  const labels = looksAtLabels(ground) ? labelsOf(world, caller, item, now) : [ANY];
  return labels.map((label) => ({ who, what, label, ground }));
}

function whoOf(world: World, caller: WorldCaller, now: Instant): string {
  if (caller.kind === 'professional') return caller.purpose;
  if (caller.kind !== 'representative') return caller.kind;
  const rights = delegation({ world, caller, now });
  return rights === undefined ? 'undelegated' : rights.legal ? 'legal' : rights.messages ? 'messenger' : 'caregiver';
}

function whatOf(world: World, caller: WorldCaller, item: Item): string {
  if (item.type !== 'DocumentReference') return item.type;
  if (item.docType === DIRECTIVES) return 'directive';
  const reads =
    caller.kind !== 'professional' || world.policy.matrix[caller.profession]?.read.includes(item.docType) === true;
  return reads ? 'document' : 'document outside the matrix';
}

/** The document that an item is, or follows. */
const documentOf = (world: World, item: Item): DocumentItem | undefined =>
  item.type === 'DocumentReference'
    ? item
    : item.type === 'Binary'
      ? find(world, 'DocumentReference', item.document)
      : item.type === 'Provenance'
        ? find(world, 'DocumentReference', item.documents[0])
        : undefined;

const looksAtLabels = (ground: string): boolean => !/^(A1|A2)/.test(ground);

function labelsOf(world: World, caller: WorldCaller, item: Item, now: Instant): readonly string[] {
  const carrier = documentOf(world, item) ?? item;
  if (!('labels' in carrier)) return [ANY];
  const own: readonly string[] = carrier.labels;
  const counted = labelsNow({ world, caller, now }, carrier).map((label) =>
    label === 'INVISIBLE_PATIENT' ? 'L2' : label !== 'MASQUE_PS' ? 'L3' : own.includes(label) ? 'L1' : 'L1 of all',
  );
  return counted.length === 0 ? ['L0'] : counted;
}

/** What lets the caller in, or keeps them out, and how they stand to the item. */
function groundOf(world: World, caller: WorldCaller, item: Item, now: Instant): string {
  const ask = { world, caller, now };
  const person = personOf(world, item) ?? '';
  if (caller.kind === 'insurer' || caller.kind === 'operator') return ANY;
  const relation = relationOf(world, caller, item, now);
  if (caller.kind !== 'professional') return relation;
  const passage = gate(ask, person, caller);
  const [rule = ''] = passage.rules;
  if (rule === 'A1' || rule === 'A2') return rule === 'A2' ? rule : `${rule}, ${relation}`;
  const permits = (kind: 'professional-access' | 'organization-access' | 'emergency-masked'): boolean =>
    vote(ask, person, kind, refsOf(caller)) === 'permit';
  const by = !passage.passed
    ? `${rule} not met`
    : rule !== 'A3'
      ? `${rule}${permits('emergency-masked') ? ', masked too' : ''}`
      : passage.attending
        ? 'attending'
        : permits('professional-access')
          ? 'professional'
          : permits('organization-access')
            ? 'structure'
            : 'team';
  return relation === ANY ? by : `${by}, ${relation}`;
}

/** Authorship, or what takes its place in the row of the type. */
function relationOf(world: World, caller: WorldCaller, item: Item, now: Instant): string {
  const either = (holds: boolean, word: string): string => (holds ? word : `not ${word}`);
  const document = documentOf(world, item) ?? (item.type === 'Immunization' ? item : undefined);
  if (document !== undefined) {
    if (caller.kind !== 'professional' && caller.kind !== 'feeder') return ANY;
    const inPerson = caller.kind === 'professional' && document.filedBy.person === caller.person;
    return inPerson ? 'author' : isAuthor(caller, document.filedBy) ? 'same structure' : 'not author';
  }
  const self = refsOf(caller);
  switch (item.type) {
    case 'Communication':
      return either(
        [item.sender, item.recipient].some((one) => self.some((ref) => sameRef(ref, one))),
        'party',
      );
    case 'Appointment':
      if (caller.kind === 'feeder') return either(isCreator(caller, item.filedBy), 'creator');
      if (caller.kind !== 'professional') return ANY;
      return isCreator(caller, item.filedBy)
        ? 'creator'
        : either(
            item.practitioners.includes(caller.person) || item.structures.includes(caller.structure),
            'taking part',
          );
    case 'Consent':
      return caller.kind !== 'professional'
        ? ANY
        : either(
            item.actors.some((actor) => self.some((ref) => sameRef(ref, actor))),
            'named',
          );
    case 'AuditEvent':
      return caller.kind !== 'professional'
        ? ANY
        : either(
            self.some((ref) => ref.type === item.agent.type && ref.id === item.agent.id),
            'own act',
          );
    case 'CareTeam':
      if (caller.kind === 'feeder') return either(item.structure === caller.structure, 'own');
      if (caller.kind !== 'professional') return ANY;
      return either(
        item.members.includes(caller.person) && item.status === 'active' && placeIn(item.period, now) === 'in',
        'member',
      );
    case 'Task':
      return caller.kind !== 'feeder' ? ANY : either(item.depositedBy === caller.structure, 'depositor');
    default:
      return ANY;
  }
}

// ---- which there are ------------------------------------------------------------------------------------------------

const cross = (
  whos: readonly string[],
  whats: readonly string[],
  labels: readonly string[],
  grounds: readonly string[],
): readonly Cell[] =>
  whos.flatMap((who) =>
    whats.flatMap((what) => labels.flatMap((label) => grounds.map((ground) => ({ who, what, label, ground })))),
  );

const with_ = (grounds: readonly string[], relations: readonly string[]): readonly string[] =>
  grounds.flatMap((ground) => relations.map((relation) => `${ground}, ${relation}`));

const ALL_LABELS = ['L0', 'L1', 'L2', 'L3', 'L1 of all'];
const AUTHORSHIP = ['author', 'same structure', 'not author'];
const TREAT_GROUNDS = ['attending', 'professional', 'structure', 'team', 'A3 not met'];
const EMERGENCY_GROUNDS = {
  BTG: ['A4', 'A4, masked too', 'A4 not met'],
  ETREAT: ['A5', 'A5, masked too', 'A5 not met'],
};
const HOLDERS = ['patient', 'legal', 'messenger', 'caregiver'];

/** Every cell that `rules.md` makes possible, of types that are served. */
export function possibleCells(isServed: (type: string) => boolean): readonly Cell[] {
  const labelled = [...DOCUMENTS, ...BELONGINGS, 'Immunization'];
  const professionals = (['TREAT', 'BTG', 'ETREAT'] as const).flatMap((mode) => {
    const grounds = mode === 'TREAT' ? TREAT_GROUNDS : EMERGENCY_GROUNDS[mode];
    return [
      ...cross([mode], labelled, ALL_LABELS, with_(grounds, AUTHORSHIP)),
      ...cross([mode], labelled, [ANY], with_(['A1'], AUTHORSHIP)),
      ...cross([mode], [...labelled, 'List', 'RelatedPerson', ...PROFILE], [ANY], ['A2', 'C6', 'S1']),
      ...cross([mode], ['RelatedPerson'], ['L0', 'L1', 'L3', 'L1 of all'], grounds),
      ...cross([mode], ['List', ...PROFILE], [ANY], grounds),
      ...cross([mode], ['Patient'], [ANY], ['C6', 'S1', ...grounds]),
      ...cross(
        [mode],
        ['Communication', 'Appointment', 'Consent', 'CareTeam', 'AuditEvent'],
        [ANY],
        ['C6', 'S1', 'A2'],
      ),
    ];
  });
  const treat = [
    ...cross(['TREAT'], ['Communication'], [ANY], with_(TREAT_GROUNDS, ['party', 'not party'])),
    ...cross(
      ['TREAT'],
      ['Appointment'],
      ['L0', 'L1', 'L2', 'L3'],
      with_(TREAT_GROUNDS, ['creator', 'taking part', 'not taking part']),
    ),
    ...cross(['TREAT'], ['Consent'], [ANY], with_(TREAT_GROUNDS, ['named', 'not named'])),
    ...cross(['TREAT'], ['AuditEvent'], [ANY], with_(TREAT_GROUNDS, ['own act', 'not own act'])),
    ...cross(['TREAT'], ['CareTeam'], [ANY], with_(TREAT_GROUNDS, ['member', 'not member'])),
    ...cross(['TREAT'], PAYER, ALL_LABELS.slice(0, 4), TREAT_GROUNDS),
  ];
  const holders = [
    ...cross(HOLDERS, ['document', 'directive', ...BELONGINGS, 'Immunization'], ALL_LABELS, [ANY]),
    ...cross(HOLDERS, ['Appointment', ...PAYER], ALL_LABELS.slice(0, 4), [ANY]),
    ...cross(HOLDERS, ['RelatedPerson'], ['L0', 'L1', 'L3', 'L1 of all'], [ANY]),
    ...cross(HOLDERS, ['List', 'Consent', 'CareTeam', 'AuditEvent', 'Patient', ...PROFILE], [ANY], [ANY]),
    ...cross(HOLDERS, ['Communication'], [ANY], ['not party']),
    ...cross(['patient'], ['Communication'], [ANY], ['party']),
    ...cross([...HOLDERS, 'undelegated'], ['document', 'Consent', 'Patient', 'AuditEvent'], [ANY], ['C6', 'C7', 'S1']),
  ].filter(
    ({ who, ground }) =>
      // the holder's one limit is their own claim; a representative's is the delegation
      (ground !== 'C7' || who !== 'patient') &&
      (ground !== 'C6' || who === 'patient') &&
      (who !== 'undelegated' || ground === 'C7'),
  );
  const others = [
    ...cross(['feeder'], ['document', 'directive', 'Immunization'], ALL_LABELS, ['same structure', 'not author']),
    ...cross(['feeder'], ['Appointment'], ['L0', 'L1', 'L2', 'L3'], ['creator', 'not creator']),
    ...cross(['feeder'], ['CareTeam'], [ANY], ['own', 'not own']),
    ...cross(['feeder'], ['Task'], [ANY], ['depositor', 'not depositor']),
    ...cross(['feeder'], ['document', 'Appointment', 'CareTeam', 'Patient'], [ANY], ['C6', 'S1']),
    ...cross(['insurer'], ['Patient', 'Consent', 'CareTeam', ...PROFILE], [ANY], [ANY, 'C6']),
    ...cross(['insurer'], ['Consent', 'CareTeam'], [ANY], ['S1']),
    ...cross(['insurer'], ['document', 'directive'], ['L0'], [ANY]),
    ...cross(['operator'], ['Consent', 'AuditEvent', 'Patient', 'CareTeam', ...PROFILE], [ANY], [ANY, 'C6']),
    ...cross(['operator'], ['Task'], [ANY], [ANY]),
    ...cross(['operator'], ['document', 'directive'], ['L0'], [ANY]),
  ];
  const directory = cross(
    ['TREAT', 'BTG', 'ETREAT', 'feeder', 'insurer', 'operator', ...HOLDERS, 'undelegated'],
    DIRECTORY,
    [ANY],
    ['D10'],
  );
  const traits = cross(['ETREAT'], [...labelled, 'List', 'Consent', 'Patient', ...DIRECTORY], [ANY], ['C5']);
  const type = (what: string): string => (DOCUMENTS.includes(what) ? 'DocumentReference' : what);
  return [...professionals, ...treat, ...holders, ...others, ...directory, ...traits].filter(({ what }) =>
    isServed(type(what)),
  );
}

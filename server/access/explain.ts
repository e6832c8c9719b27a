/**
 * Why a decision is what it is: the votes of the decision itself, each condition asked of the item by whoever can answer (the store, or a
 * reconstruction of an earlier state). Nothing here decides; the verdict always comes from the guard. rules.md O4; `docs/explanations.md`.
 */
import type { Instant, Ref } from '../fhir/types.ts';
import { unreachable } from '../fhir/types.ts';
import { and, not, or, owner, type Predicate, term } from '../query/predicate.ts';
import type { Caller, Claims, Purpose } from './caller.ts';
import type { Asking, RuleId, Vote } from './decision.ts';
import { attending, attendingPermit, authored, authoredInPerson, namesOf } from './rules/gate.ts';
import { MASKED, MASKED_BY_DEFAULT } from './rules/labels.ts';
import type { Effect, ReasonKey } from './sentences.ts';
import { denied, fact, permitted, standing } from './space.ts';

/** The three purposes under which a professional asks, in the order of `rules.md` C2. */
export const PURPOSES: readonly Purpose[] = ['TREAT', 'BTG', 'ETREAT'];

/** Who might ask: a professional in a structure, somebody of a structure, its software, the holder or a representative. */
export type Supposed =
  | {
      readonly kind: 'professional';
      readonly self: Ref | undefined;
      readonly structure: Ref | undefined;
      readonly profession: string;
      readonly purpose: Purpose;
    }
  | { readonly kind: 'feeder'; readonly structure: Ref }
  | { readonly kind: 'representative'; readonly self: Ref }
  | { readonly kind: 'patient' };

const NOWHERE = { system: '', value: '' } as const;

/**
 * The caller that this actor would be towards `person`. The claims name nobody and hold no scope: what is asked of this caller is asked
 * scopes apart. An emergency token is always about one person (C5).
 */
export function supposedCaller(supposed: Supposed, person: Ref, now: Instant): Caller {
  const common = {
    issuer: '',
    clientId: '',
    subject: '',
    tokenId: '',
    issuedAt: now,
    expiresAt: now,
    scopes: [],
    secret: false,
  } as const;
  switch (supposed.kind) {
    case 'professional': {
      const { self, structure, profession, purpose } = supposed;
      const claims: Claims = {
        ...common,
        kind: 'professional',
        fhirUser: self ?? 'Practitioner/',
        nationalId: NOWHERE,
        profession,
        structure: NOWHERE,
        purpose,
        ...(purpose === 'TREAT' ? {} : { patient: person }),
      };
      return {
        claims,
        kind: 'professional',
        purpose,
        profession,
        ...(self === undefined ? {} : { self }),
        ...(structure === undefined ? {} : { structure }),
        ...(purpose === 'TREAT' ? {} : { person }),
      };
    }
    case 'feeder':
      return {
        claims: { ...common, kind: 'feeder', structure: NOWHERE },
        kind: 'feeder',
        self: supposed.structure,
        structure: supposed.structure,
      };
    case 'representative':
      return {
        claims: { ...common, kind: 'representative', fhirUser: supposed.self, actsFor: person },
        kind: 'representative',
        self: supposed.self,
        person,
      };
    case 'patient':
      return {
        claims: { ...common, kind: 'patient', fhirUser: person, patient: person },
        kind: 'patient',
        self: person,
        person,
      };
    default:
      return unreachable(supposed);
  }
}

/** Answers whether a condition holds for the item in question. */
export type Holds = (where: Predicate) => Promise<boolean>;

/** A vote with the truth of each of its conditions. */
export type JudgedVote = {
  readonly kind: Vote['kind'];
  readonly rule: RuleId;
  readonly parts: readonly { readonly rule: RuleId; readonly holds: boolean }[];
};

/** Asks every condition of every vote. */
export async function judge(votes: readonly Vote[], holds: Holds): Promise<readonly JudgedVote[]> {
  const judged: JudgedVote[] = [];
  for (const vote of votes) {
    const asked = vote.kind === 'grant' ? vote.parts : [{ rule: vote.rule, where: vote.where }];
    const parts: { rule: RuleId; holds: boolean }[] = [];
    for (const { rule, where } of asked) parts.push({ rule, holds: await holds(where) });
    judged.push({ kind: vote.kind, rule: vote.rule, parts });
  }
  return judged;
}

/** Why, in rule ids: of a permit, the first grant that holds; of a denial, the conditions that fail. */
export type Reasons = { readonly effect: Effect; readonly rules: readonly RuleId[] };

/** Limits that say nothing about an actor: scopes are looked at apart from explanations. */
const SILENT: ReadonlySet<RuleId> = new Set(['scope']);

const distinct = <T>(values: readonly T[]): readonly T[] => [...new Set(values)];

const holdsWhole = (vote: JudgedVote): boolean => vote.parts.every((part) => part.holds);

/**
 * Deny-overrides over judged votes: the same combination as `decide`, told rather than compiled. A grant whose first condition says what
 * sort of item it is for (D1, D2, D1a) and does not hold is about other items: it is left out of the reasons while another one applies.
 */
export function reasonsOf(votes: readonly JudgedVote[]): Reasons {
  const grants = votes.filter((vote) => vote.kind === 'grant');
  const limits = votes.filter((vote) => vote.kind === 'limit' && !holdsWhole(vote)).map((vote) => vote.rule);
  const granted = grants.find(holdsWhole);
  if (granted !== undefined && limits.length === 0) {
    return { effect: 'permit', rules: distinct([granted.rule, ...granted.parts.map((part) => part.rule)]) };
  }
  const about = grants.filter((vote) => vote.parts[0]?.rule !== vote.rule || vote.parts[0].holds);
  const failed = (about.length === 0 ? grants : about).flatMap((vote) =>
    vote.parts.filter((part) => !part.holds).map((part) => part.rule),
  );
  return { effect: 'deny', rules: distinct([...failed, ...limits]).filter((rule) => !SILENT.has(rule)) };
}

/** One of several grounds of a rule: the same conditions that the rule is made of, one by one. */
type Ground = { readonly key: ReasonKey; readonly where: Predicate };

/** A3, ground by ground: `or` of them is the condition of A3 (held to it by a test). */
export function treatGrounds(asking: Asking): readonly Ground[] {
  const { caller, now } = asking;
  const member =
    caller.structure === undefined || caller.self === undefined
      ? or()
      : owner(standing(fact('team', caller.structure, caller.self), now));
  return [
    { key: 'A3:attending', where: attendingPermit(asking) },
    { key: 'A3:professional', where: owner(permitted('professional-access', caller.self, now)) },
    { key: 'A3:structure', where: owner(permitted('organization-access', caller.structure, now)) },
    { key: 'A3:team', where: and(member, owner(not(denied('care-team-default', namesOf(caller), now)))) },
  ];
}

/** D1a of what has no content to be kept apart from. */
const ownItem = (_asking: Asking, type: string): readonly Ground[] =>
  type === 'DocumentReference' ? [] : [{ key: 'D1a:item', where: and() }];

/** What tells one ground of a rule from another, in the order in which they are told. */
const DETAILS: Readonly<Record<Effect, Readonly<Record<RuleId, (asking: Asking, type: string) => readonly Ground[]>>>> =
  {
    permit: {
      A3: treatGrounds,
      L1: (asking, type) => {
        const masked = maskedFor(asking, type);
        const author = type === 'Appointment' ? authoredInPerson(asking) : authored(asking);
        return [
          { key: 'L1:author', where: and(masked, author) },
          { key: 'L1:attending', where: and(masked, attending(asking)) },
          { key: 'L1:emergency', where: and(masked, owner(permitted('emergency-masked', '', asking.now))) },
          // What is left is open by the host's choice (`emergencyMaskedUnlessDenied`).
          { key: 'L1:host', where: masked },
        ];
      },
      D1a: ownItem,
    },
    deny: {
      A2: ({ caller, now }) => [
        { key: 'A2:professional', where: owner(denied('professional-access', [caller.self], now)) },
        { key: 'A2:structure', where: owner(denied('organization-access', [caller.structure], now)) },
      ],
      A3: ({ caller, now }) =>
        caller.structure === undefined || caller.self === undefined
          ? []
          : [{ key: 'A3:team', where: owner(standing(fact('team', caller.structure, caller.self), now)) }],
      L1: () => [{ key: 'L1:default', where: not(term('_label', MASKED)) }],
      D1: (_asking, type) => (type === 'DocumentReference' ? [] : [{ key: 'D1:document', where: and() }]),
      D1a: ownItem,
    },
  };

/** L1 as it counts on a type: the label, or "mask everything" on D1 and D2 items. */
const maskedFor = ({ caller, now }: Asking, type: string): Predicate =>
  or(
    term('_label', MASKED),
    MASKED_BY_DEFAULT.has(type)
      ? and(owner(denied('document-default', namesOf(caller), now)), not(term('_exempt', '1')))
      : or(),
  );

/** In which order reasons are told, and which of them make the others superfluous. */
const GATE: readonly RuleId[] = ['C2', 'C5', 'C6', 'C7', 'S1', 'A1', 'A2', 'A3', 'A4', 'A5', 'A6'];
const WITHOUT_GROUND: ReadonlySet<RuleId> = new Set(['A3', 'A4', 'A5']);

/** Permits are told by their ground, the item's own row where there is none. */
const LEADS: readonly RuleId[] = ['A3', 'A4', 'A5', 'C7', 'D1a', 'D6', 'D5', 'D7', 'D8', 'D9', 'D11', 'D10', 'D12'];

/** The holder's side has one ground, whatever it looks at: the rows of section 4 speak of professionals. */
const GROUND_OF_SIDE: Readonly<Partial<Record<Caller['kind'], ReasonKey>>> = {
  patient: 'S1:own',
  representative: 'C7',
};

/**
 * The reasons worth telling, in order. Of a denial: the gate top down, then the item; a state, a profession or a block that shuts the
 * gate makes the lack of an authorisation superfluous. Of a permit: the ground; `kind` is who asked, where it is known.
 */
export function leadingReasons({ effect, rules }: Reasons, kind?: Caller['kind']): readonly ReasonKey[] {
  if (effect === 'permit') {
    const written = rules.filter((rule) => rule.startsWith('W'));
    const ground = kind === undefined ? undefined : GROUND_OF_SIDE[kind];
    if (written.length === 0 && ground !== undefined) return [ground];
    const lead = LEADS.find((rule) => rules.includes(rule)) ?? rules[0];
    return written.length > 0 ? written : lead === undefined ? [] : [lead];
  }
  if (rules.includes('S1')) return ['S1'];
  if (rules.includes('A1')) return ['A1'];
  const gate = GATE.filter((rule) => rules.includes(rule));
  const shut = gate.includes('A2') ? gate.filter((rule) => !WITHOUT_GROUND.has(rule)) : gate;
  return [...shut, ...rules.filter((rule) => !GATE.includes(rule))];
}

/** The keys of the sentences that tell `reasons`: each leading rule with the ground of it that holds for the item, then the label that was lifted. */
export async function tellingReasons(
  reasons: Reasons,
  { asking, type, holds }: { readonly asking: Asking; readonly type: string; readonly holds: Holds },
): Promise<readonly ReasonKey[]> {
  const keys: ReasonKey[] = [];
  const lifted = reasons.effect === 'permit' && reasons.rules.includes('L1') ? ['L1'] : [];
  for (const rule of [...leadingReasons(reasons, asking.caller.kind), ...lifted]) {
    let found: ReasonKey | undefined;
    for (const ground of DETAILS[reasons.effect][rule]?.(asking, type) ?? []) {
      if (await holds(ground.where)) {
        found = ground.key;
        break;
      }
    }
    // That a document was not masked needs no telling.
    if (found === undefined && reasons.effect === 'permit' && rule === 'L1') continue;
    keys.push(found ?? rule);
  }
  return keys;
}

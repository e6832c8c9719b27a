/**
 * O2: what the person is told of one request, in the unit that did it: each access session of a professional, each emergency access (the attending
 * physician too), each document added, changed or removed. A notice about an item waits, hidden by its guard, until its reader sees the item.
 */
import { createAccess } from '../../access/access.ts';
import type { Caller } from '../../access/caller.ts';
import { type RuleId, systemGuard } from '../../access/decision.ts';
import { HIDDEN_FROM_REPRESENTATIVES } from '../../access/rules/labels.ts';
import { CARE_TYPES } from '../../access/rules/notices.ts';
import { fact } from '../../access/space.ts';
import type { Instant, Ref } from '../../fhir/types.ts';
import { guarded, hop } from '../../query/plan.ts';
import { ALL, and, not, or, type Predicate, range, term } from '../../query/predicate.ts';
import { accessOptions } from '../caller-access.ts';
import { type ItemEvent, keyOf, type Work, type Writing } from '../work.ts';
import { type NoticeCode, writeNotice } from './notice.ts';
import { switchedOff } from './preferences.ts';

/** How far a notice reaches: nobody yet, the holder, representatives too. */
type Reach = 0 | 1 | 2;

/** One access of a person's space, as its record has it. */
export type Consulted = { readonly person: Ref; readonly items: readonly Ref[]; readonly rules: readonly RuleId[] };

/** Sessions that are known to be told of in full: their notice is in the store, so nothing need be asked for until they end. */
export type ToldSessions = Map<string, Instant>;

/** More sessions than this are forgotten together: the store knows them. */
const REMEMBERED = 20_000;

/** The rules by which a space is consulted: the ground of each mode (section 3). */
const GROUNDS: readonly RuleId[] = ['A3', 'A4', 'A5'];

/** The items of a notice that its visibility is judged by; more tell nothing. */
const MOST_ITEMS = 100;

const isEmergency = (caller: Caller): boolean => caller.purpose === 'BTG' || caller.purpose === 'ETREAT';

/**
 * Whether a disclosure is an access of the space: it showed something of it beside the identity, or looked where the gate was open. Under an
 * emergency token made out for the person, everything is.
 */
function isAccess({ caller }: Work, { person, items, rules }: Consulted): boolean {
  if (caller.kind !== 'professional') return false;
  if (isEmergency(caller) && caller.person === person) return true;
  return items.some((item) => item !== person) || rules.some((rule) => GROUNDS.includes(rule));
}

/**
 * A session: the accesses of one professional for one structure and purpose to one space within so many minutes (`accessSessionMinutes`) of the
 * first. Each emergency token is one of its own, and so is each secret connection.
 */
function sessionOf({ caller }: Work, person: Ref): string {
  const token = isEmergency(caller) ? `${caller.claims.issuer} ${caller.claims.tokenId}` : '';
  const secret = caller.claims.secret ? 'secret' : '';
  return [person, caller.self, caller.structure, caller.purpose, secret, token].join('|');
}

/** Tells of an access; called once its record is written. */
export async function tellAccess(work: Work, consulted: Consulted): Promise<void> {
  if (!isAccess(work, consulted)) return;
  const { person } = consulted;
  const session = sessionOf(work, person);
  const told = work.deps.toldSessions.get(session);
  if (told !== undefined && work.now < told) return;
  const of = await reachOf(work, consulted);
  if (of === undefined) return;
  const known = await noticeOf(work, session, of.reach);
  const until = known ?? endOfSession(work);
  const full = of.reach === (work.caller.claims.secret ? 1 : 2);
  if (full) work.afterwards.push(() => remember(work.deps.toldSessions, session, until));
  if (known !== undefined) return;
  const emergency = isEmergency(work.caller);
  await writeNotice(work, {
    code: emergency ? 'ACCES_BRIS_GLACE' : 'ACCES_DMP_PS',
    person,
    recipient: person,
    filing: {
      ...(of.about.length === 0 ? {} : { about: of.about }),
      // Where all that was read is kept from representatives, so is the notice.
      ...(work.caller.claims.secret || (of.reach === 1 && of.about.length === 0) ? { secret: true } : {}),
      session: { key: session, until, reach: of.reach },
    },
  });
  if (emergency) await tellAttending(work, person, session, until);
}

/** An emergency token is one session as long as it lives, however short the host made those of others. */
function endOfSession({ caller, access, now }: Work): Instant {
  const { accessSessionMinutes, clockToleranceSeconds } = access.policy;
  const until = now + accessSessionMinutes * 60_000;
  return isEmergency(caller) ? Math.max(until, caller.claims.expiresAt + clockToleranceSeconds * 1000) : until;
}

function remember(sessions: ToldSessions, session: string, until: Instant): void {
  if (sessions.size >= REMEMBERED) sessions.clear();
  sessions.set(session, until);
}

/** The attending physicians of the person hear of an emergency access, once for each session; one who acts need not be told. */
async function tellAttending(work: Work, person: Ref, key: string, until: Instant): Promise<void> {
  const permit = fact('attending-physician', 'permit', '');
  const space = await work.unit.space(person);
  const standing = (space?.ranges ?? []).filter(
    (r) => r.param.startsWith(permit) && r.lo <= work.now && r.hi > work.now,
  );
  for (const recipient of new Set(standing.map((r) => r.param.slice(permit.length) as Ref))) {
    if (recipient === work.caller.self) continue;
    const session = { key: `${key}|${recipient}`, until, reach: 2 } as const;
    if ((await noticeOf(work, session.key, 2)) !== undefined) continue;
    await writeNotice(work, { code: 'ACCES_BRIS_GLACE', person, recipient, filing: { session } });
  }
}

/** When the session of a notice ends that reached as far; `undefined` when there is none. */
async function noticeOf({ unit, now }: Writing, session: string, reach: Reach): Promise<Instant | undefined> {
  const page = await unit.search(
    guarded(
      {
        type: 'Communication',
        where: and(
          term('_session', session),
          term('_reach', String(reach)),
          range('_until', { lo: ['<=', now], hi: ['>', now] }),
        ),
        sort: [],
        limit: 1,
        total: false,
      },
      systemGuard('Communication', 'facts'),
    ),
  );
  return page.matches[0]?.filing.notice?.session?.until;
}

/**
 * Whom the notice of an access may reach now, and the items that it waits for: it must not tell of an access whose line in the register its
 * reader does not see (D8). `undefined`: all that was read is somebody else's to see, as a thread between professionals.
 */
async function reachOf(
  work: Work,
  { person, items }: Consulted,
): Promise<{ readonly reach: Reach; readonly about: readonly Ref[] } | undefined> {
  const secret = work.caller.claims.secret;
  const shown = items.filter((item) => item !== person);
  if (shown.length === 0) return { reach: secret ? 1 : 2, about: [] };
  const care = shown.filter((item) => CARE_TYPES.includes(keyOf(item).type));
  const holder = createAccess(accessOptions(work.deps, holderOf(work.caller, person), work.now));
  let reach: Reach = 0;
  // What is in sight comes first: however much was read beside it, the notice names it.
  const inSight: Ref[] = [];
  for (const item of care.length === 0 ? shown : care) {
    const key = keyOf(item);
    if (!work.deps.declarations.has(key.type)) continue;
    const guard = holder.sight(key.type);
    if (!(await work.unit.test(key, guard, ALL))) continue;
    if (reach === 0) inSight.push(item);
    reach = 1;
    if (secret || !(await work.unit.test(key, guard, notKeptFromRepresentatives))) continue;
    inSight.push(item);
    reach = 2;
    break;
  }
  if (care.length > 0) return { reach, about: [...new Set([...inSight, ...care])].slice(0, MOST_ITEMS) };
  return reach === 0 ? undefined : { reach, about: [] };
}

/** L3, on the item or on the document that it follows; W8, of a message. */
const keptFromRepresentatives: Predicate = or(term('_label', HIDDEN_FROM_REPRESENTATIVES), term('_secret', '1'), {
  op: 'via',
  param: '_document',
  hop: hop(systemGuard('DocumentReference', 'facts'), term('_label', HIDDEN_FROM_REPRESENTATIVES), { deleted: true }),
});
const notKeptFromRepresentatives = not(keptFromRepresentatives);

/** The holder as a caller, to ask what they would see; never a way to look for anybody else. */
const holderOf = ({ claims }: Caller, person: Ref): Caller => ({
  kind: 'patient',
  self: person,
  person,
  claims: {
    kind: 'patient',
    issuer: claims.issuer,
    clientId: claims.clientId,
    subject: '',
    tokenId: '',
    issuedAt: claims.issuedAt,
    expiresAt: claims.expiresAt,
    scopes: [],
    secret: false,
    fhirUser: person,
    patient: person,
  },
});

const CODES: Readonly<Record<string, Readonly<Record<Exclude<ItemEvent, 'superseded'>, NoticeCode>>>> = {
  DocumentReference: { added: 'AJOUT_DOCUMENT', changed: 'MODIF_DOCUMENT', removed: 'SUPP_DOC' },
  Immunization: { added: 'AJOUT_VACCINATION', changed: 'MODIF_DOCUMENT', removed: 'SUPP_DOC' },
};

/** Tells of the documents that the request added, changed or removed, one notice each. What the holder did themselves they know. */
export async function tellChanges(work: Work): Promise<void> {
  const superseded = work.traces.some((t) => t.event === 'superseded');
  const events = new Map<Ref, { readonly person: Ref; readonly event: Exclude<ItemEvent, 'superseded'> }>();
  for (const { owner, item, event } of work.traces) {
    if (owner === undefined || event === undefined || event === 'superseded') continue;
    if (CODES[keyOf(item).type] === undefined) continue;
    if (work.caller.kind === 'patient' && work.caller.self === owner) continue;
    const earlier = events.get(item)?.event;
    events.set(item, { person: owner, event: earlier === 'added' && event === 'changed' ? 'added' : event });
  }
  const off = new Map<Ref, ReadonlySet<string>>();
  for (const [item, { person, event }] of events) {
    const replaces = superseded && event === 'added' && (await replacesAnother(work, item));
    const code = CODES[keyOf(item).type]?.[replaces ? 'changed' : event];
    if (code === undefined) continue;
    const unwanted = off.get(person) ?? (await switchedOff(work.unit, person));
    off.set(person, unwanted);
    if (unwanted.has(code)) continue;
    await writeNotice(work, {
      code,
      person,
      recipient: person,
      item,
      filing: { about: [item], ...(work.caller.claims.secret ? { secret: true } : {}) },
    });
  }
}

/** A replacement is told of as a change: the person had the document already. */
const replacesAnother = (work: Work, item: Ref): Promise<boolean> =>
  work.unit.test(keyOf(item), systemGuard('DocumentReference', 'facts'), term('relation', 'replaces'));

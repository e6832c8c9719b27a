/** D5, W11: messages between the person and their professionals. A message is never changed; a thread is the chain of `inResponseTo`. */

import { systemGuard } from '../../access/decision.ts';
import { communicationRows } from '../../access/rules/space.ts';
import { denied, permitted } from '../../access/space.ts';
import { EXTENSION, SYSTEM } from '../../fhir/canonical.ts';
import { allCodings, asArray, type Coding, extensionOf, referenceOf } from '../../fhir/json.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import { type Ref, type Resource, refOf } from '../../fhir/types.ts';
import type { Filing, NoticeFiling } from '../../ports/store.ts';
import { not, or, owner, term } from '../../query/predicate.ts';
import type { Accepted, Marks, TypeDeclaration } from '../declaration.ts';
import { allOf, filedBy, holds, keyOf, parsed, seen, type Work, type Writing } from '../work.ts';
import { aboutPerson, forbidden, unresolved } from './filing.ts';
import { refuseLabels } from './labels.ts';
import { inTreat, notBlockedHere, standsFor, stateAllows } from './writing.ts';

const closes = (message: Resource): boolean => extensionOf(message, EXTENSION.threadClosed)?.['valueBoolean'] === true;

/** By what notices are told from messages (contract.md, notices): a message that said so would pass for one. */
const isOfNotices = ({ system, code }: Coding): boolean =>
  system === SYSTEM.notice || (system === SYSTEM.communicationCategory && code === 'notification');

type Thread = {
  readonly root: string;
  readonly parties: ReadonlySet<string>;
  readonly closed: boolean;
  /** Whether the message that is answered is kept from representatives (W8). */
  readonly secret: boolean;
};

/** The thread that a message answers, as far as the caller sees the message answered. */
async function threadOf(work: Work, message: Resource, person: Ref): Promise<Result<Thread | undefined>> {
  const answered = asArray(message['inResponseTo']).map(referenceOf);
  if (answered.length === 0) return ok(undefined);
  const [ref] = answered;
  const at = 'Communication.inResponseTo';
  if (answered.length > 1 || ref === undefined) return unprocessable('a message answers one message', at, 'W11');
  const earlier = keyOf(ref).type === 'Communication' ? await seen(work, keyOf(ref)) : undefined;
  if (earlier === undefined || earlier.deleted || earlier.owner !== person) return unresolved(ref, at);
  const root = await rootOf(work, parsed(earlier), earlier.id);
  const all = (await allOf(work, 'Communication', person, term('_thread', root))).map(parsed);
  const parties = all.flatMap((m) => [referenceOf(m['sender']), ...asArray(m['recipient']).map(referenceOf)]);
  return ok({
    root,
    parties: new Set(parties.filter((p) => p !== undefined)),
    closed: all.some(closes),
    secret: earlier.filing.secret === true,
  });
}

async function rootOf(work: Writing, message: Resource, id: string): Promise<string> {
  const ref = referenceOf(asArray(message['inResponseTo'])[0]);
  if (ref === undefined) return `Communication/${id}`;
  const earlier = await work.unit.read(keyOf(ref), systemGuard('Communication', 'facts'));
  return earlier === undefined ? ref : rootOf(work, parsed(earlier), earlier.id);
}

async function create(work: Work, message: Resource): Promise<Result<Accepted>> {
  const { caller } = work;
  const treat = inTreat(work);
  if (!treat.ok) return treat;
  if (caller.kind !== 'patient' && caller.kind !== 'representative' && caller.kind !== 'professional') {
    return forbidden('W11', 'messages are between the person and their professionals');
  }
  const person = await aboutPerson(work, message['subject'], 'Communication.subject');
  if (!person.ok) return person;
  const labelled = refuseLabels(message);
  if (!labelled.ok) return labelled;
  if (referenceOf(message['sender']) !== caller.self) {
    return unprocessable('the sender is the caller', 'Communication.sender', 'W11');
  }
  const recipients = asArray(message['recipient']).map(referenceOf);
  const [recipient] = recipients;
  if (recipients.length !== 1 || recipient === undefined) {
    return unprocessable('a message has one recipient', 'Communication.recipient', 'W11');
  }
  if (recipient !== refOf(keyOf(recipient))) return unresolved(recipient, 'Communication.recipient');
  if (allCodings(message['category']).some(isOfNotices)) {
    return unprocessable('notices are written by the server', 'Communication.category', 'O2');
  }
  const thread = await threadOf(work, message, person.value);
  if (!thread.ok) return thread;
  if (thread.value?.closed === true) return forbidden('W11', 'the thread is closed');
  if (thread.value !== undefined && !thread.value.parties.has(recipient)) {
    return forbidden('W11', 'a thread takes no new addressee');
  }
  const allowed =
    caller.kind === 'professional'
      ? await professionalWrites(work, person.value, recipient, thread.value)
      : await holderWrites(work, person.value, recipient, thread.value, closes(message));
  if (!allowed.ok) return allowed;
  const isSecret = caller.claims.secret || thread.value?.secret === true;
  const filing: Filing = { ...filedBy(work), ...(isSecret ? { secret: true } : {}) };
  return ok({ resource: message, owner: person.value, filing });
}

async function professionalWrites(
  work: Work,
  person: Ref,
  recipient: string,
  thread: Thread | undefined,
): Promise<Result<void>> {
  const state = await stateAllows(work, person, 'professionalMessages');
  if (!state.ok) return state;
  if (!(await notBlockedHere(work, person))) return forbidden('A2', 'blocked');
  if (recipient === person) return ok(undefined);
  return thread !== undefined && recipient !== work.caller.self
    ? ok(undefined)
    : forbidden('W11', 'a professional writes to the holder, or answers in a thread of theirs');
}

async function holderWrites(
  work: Work,
  person: Ref,
  recipient: string,
  thread: Thread | undefined,
  closing: boolean,
): Promise<Result<void>> {
  if (!(await standsFor(work, person, ['message'])))
    return forbidden('W12', 'the delegation does not include messages');
  const state = await stateAllows(work, person, 'holder');
  if (!state.ok) return state;
  if (closing) return forbidden('W11', 'the professional closes a thread');
  const key = keyOf(recipient);
  if (key.type !== 'Practitioner' && key.type !== 'Organization') {
    return forbidden('W11', 'the person writes to a professional or a pharmacy');
  }
  const found = await seen(work, key);
  if (found === undefined || found.deleted) return unresolved(recipient, 'Communication.recipient');
  const kind = key.type === 'Organization' ? 'organization-access' : 'professional-access';
  if (!(await holds(work, person, owner(not(denied(kind, [recipient], work.now))))))
    return forbidden('W11', 'a block stands');
  if (thread !== undefined) return ok(undefined);
  if (key.type === 'Organization') {
    const pharmacy = allCodings(parsed(found)['type']).some((c) => c.code === 'SA33' && c.system === SYSTEM.sector);
    return pharmacy
      ? ok(undefined)
      : forbidden('W11', 'a new thread goes to a pharmacy or to an authorised professional');
  }
  const authorised = or(
    permitted('professional-access', recipient, work.now),
    permitted('attending-physician', recipient, work.now),
  );
  return (await holds(work, person, owner(authorised)))
    ? ok(undefined)
    : forbidden('W11', 'a new thread goes to a pharmacy or to an authorised professional');
}

/** O2: what the guard of a notice asks about, and what tells the notices of one session. */
const noticeTerms = (notice: NoticeFiling | undefined): Marks['terms'] => [
  ...(notice?.about === undefined ? [] : [['_waits', '1'] as const]),
  ...(notice?.about ?? []).map((item) => ['_about', item] as const),
  ...(notice?.secret === true ? [['_secret', '1'] as const] : []),
  ...(notice?.session === undefined ? [] : [['_session', notice.session.key] as const]),
  ...[0, 1, 2].filter((r) => r <= (notice?.session?.reach ?? -1)).map((r) => ['_reach', String(r)] as const),
];

const noticeRanges = ({ filedAt, notice }: Filing): Marks['ranges'] =>
  notice?.session === undefined || filedAt === undefined
    ? []
    : [{ param: '_until', lo: filedAt, hi: notice.session.until }];

export const communication: TypeDeclaration = {
  type: 'Communication',
  row: 'D5',
  about: 'person',
  rows: communicationRows,
  writes: { create },
  marks: async (work, message, filing) => {
    const parties = [referenceOf(message['sender']), ...asArray(message['recipient']).map(referenceOf)];
    const id = typeof message.id === 'string' ? message.id : '';
    return {
      terms: [
        ...parties.filter((p) => p !== undefined).map((p) => ['_party', p] as const),
        ['_thread', await rootOf(work, message, id)],
        ...noticeTerms(filing.notice),
        ...(filing.secret === true ? [['_secret', '1'] as const] : []),
      ],
      ranges: noticeRanges(filing),
    };
  },
  feedsSpace: false,
  bySight: [],
};

/** W4, W5, W6, W7, W12: who sets and lifts which label. The operations and a set-wise patch come through this one door. */
import {
  HIDDEN_FROM_PATIENT,
  HIDDEN_FROM_REPRESENTATIVES,
  MASKED,
  type VisibilityLabel,
} from '../../access/rules/labels.ts';
import { denied } from '../../access/space.ts';
import { addCalendarMonth } from '../../fhir/interval.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Ref, Resource } from '../../fhir/types.ts';
import type { Filing, Version } from '../../ports/store.ts';
import { owner } from '../../query/predicate.ts';
import { holds, type Work } from '../work.ts';
import { forbidden, isAuthor, isHolderSide } from './filing.ts';
import { checkLabels, checkSet, type Labels, labelsOf, pathOf } from './labels.ts';
import { decidesFor, inTreat, isAttending, notBlockedHere, passesGateInTreat, stateAllows } from './writing.ts';

/** Section 5, first paragraph, for a label: state, mode, block. */
async function mayTouch(work: Work, person: Ref): Promise<Result<void>> {
  if (isHolderSide(work)) return stateAllows(work, person, 'holder');
  const treat = inTreat(work);
  if (!treat.ok) return treat;
  const state = await stateAllows(work, person, 'professional');
  if (!state.ok) return state;
  return (await notBlockedHere(work, person)) ? ok(undefined) : forbidden('A2', 'blocked');
}

/** The labels that a feed or a deposit is filed with: those sent, as far as its sender may set them (W1, W6), and that of a secret connection (W8). */
export function labelsAtFiling(work: Work, resource: Resource): Result<Labels> {
  const sound = checkLabels(resource);
  if (!sound.ok) return sound;
  const at = pathOf(resource.resourceType);
  const labels = new Set(labelsOf(resource));
  if (isHolderSide(work) && labels.has(HIDDEN_FROM_PATIENT)) {
    return unprocessable('a professional alone hides an item from the holder', at, 'W6');
  }
  if (work.caller.kind === 'representative' && labels.has(HIDDEN_FROM_REPRESENTATIVES)) {
    return unprocessable('a representative hides nothing from representatives', at, 'W6');
  }
  if (work.caller.claims.secret) labels.add(HIDDEN_FROM_REPRESENTATIVES);
  return ok(labels);
}

type Right = (work: Work, item: Version, stated: boolean | undefined) => Promise<Result<void>>;

const own = (work: Work, item: Version): boolean =>
  work.caller.kind === 'patient' && item.filing.side === 'holder' && item.filing.by === work.caller.self;

const RIGHTS: Readonly<Record<VisibilityLabel, { readonly set: Right; readonly lift: Right }>> = {
  [MASKED]: {
    set: async (work, item, atHoldersRequest) => {
      const person = item.owner ?? ('Patient/' as Ref);
      if (await decidesFor(work, person)) return ok(undefined);
      if (isHolderSide(work)) return forbidden('W12', 'a caregiver does not mask');
      // One whom a delegation names takes no label (contract.md): the refusal would tell of a delegation that a professional does not see (D7).
      if (item.type === 'RelatedPerson') {
        return forbidden('W4', 'the holder or a legal representative masks a RelatedPerson');
      }
      if (!(await passesGateInTreat(work, person))) return forbidden('W4', 'masking needs the gate');
      return atHoldersRequest === true
        ? ok(undefined)
        : forbidden('W4', "a professional masks at the holder's request, and says so: `atHoldersRequest`");
    },
    lift: async (work, item) => {
      const person = item.owner ?? ('Patient/' as Ref);
      if (await decidesFor(work, person)) return ok(undefined);
      if (isAuthor(work, item.filing) || (await isAttending(work, person))) return ok(undefined);
      return forbidden(isHolderSide(work) ? 'W12' : 'W5', 'the holder, the author or the attending physician unmasks');
    },
  },
  [HIDDEN_FROM_PATIENT]: {
    set: async (work, item) => {
      if (!isAuthor(work, item.filing)) return forbidden('W6', 'the author hides an item from the holder');
      const filedAt = item.filing.filedAt;
      return filedAt !== undefined && work.now < addCalendarMonth(filedAt)
        ? ok(undefined)
        : forbidden('W6', 'a month has passed since the item was filed');
    },
    lift: async (work, item) =>
      isAuthor(work, item.filing) || (await passesGateInTreat(work, item.owner ?? ('Patient/' as Ref)))
        ? ok(undefined)
        : forbidden('W6', 'a professional who may consult shows an item to the holder'),
  },
  [HIDDEN_FROM_REPRESENTATIVES]: {
    set: async (work, item) => {
      if (!isAuthor(work, item.filing) && !own(work, item)) {
        return forbidden('W6', 'the author, or the holder on their own deposits, hides an item from representatives');
      }
      return item.filing.shown === true
        ? forbidden('W6', 'once shown to representatives, an item is not hidden from them again')
        : ok(undefined);
    },
    lift: async (work, item) =>
      isAuthor(work, item.filing) || own(work, item) || (await isAttending(work, item.owner ?? ('Patient/' as Ref)))
        ? ok(undefined)
        : forbidden('W6', 'the author, the attending physician, or the holder on their own deposits shows an item'),
  },
};

/**
 * Decides a change of labels and answers with what the server must record: the exemption from "mask everything" (W5) and that
 * representatives were shown the item (W6). `stated`: `atHoldersRequest` of `$mask`.
 */
export async function changeLabels(
  work: Work,
  item: Version,
  before: Labels,
  after: Labels,
  stated: boolean | undefined,
): Promise<Result<Filing>> {
  const touch = await mayTouch(work, item.owner ?? ('Patient/' as Ref));
  if (!touch.ok) return touch;
  let filing = item.filing;
  for (const label of [MASKED, HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES] as const) {
    if (before.has(label) === after.has(label)) continue;
    const allowed = await RIGHTS[label][after.has(label) ? 'set' : 'lift'](work, item, stated);
    if (!allowed.ok) return allowed;
    if (label === MASKED) filing = await exempted(work, item.owner, filing, !after.has(label));
    if (label === HIDDEN_FROM_REPRESENTATIVES && !after.has(label)) filing = { ...filing, shown: true };
  }
  const together = checkSet(after, pathOf(item.type));
  return together.ok ? ok(filing) : together;
}

/** The row that a change of labels falls under: W4 masks, W5 unmasks, W6 hides and shows. */
export function rowOfLabels(before: Labels, after: Labels): 'W4' | 'W5' | 'W6' {
  if (before.has(MASKED) === after.has(MASKED)) return 'W6';
  return after.has(MASKED) ? 'W4' : 'W5';
}

/** Whether the caller may set or lift one label, also where that changes nothing. */
export async function mayChange(
  work: Work,
  item: Version,
  label: VisibilityLabel,
  to: { readonly set: boolean; readonly stated: boolean | undefined },
): Promise<Result<void>> {
  const touch = await mayTouch(work, item.owner ?? ('Patient/' as Ref));
  if (!touch.ok) return touch;
  return RIGHTS[label][to.set ? 'set' : 'lift'](work, item, to.stated);
}

/** W5: what is unmasked while "mask everything" stands is exempt from it; `$mask` ends the exemption. */
export async function exempted(
  work: Work,
  person: Ref | undefined,
  filing: Filing,
  unmasked: boolean,
): Promise<Filing> {
  const { exempt: _e, ...rest } = filing;
  if (!unmasked || person === undefined) return rest;
  const stands = await holds(work, person, owner(denied('document-default', [], work.now)));
  return stands ? { ...rest, exempt: true } : rest;
}

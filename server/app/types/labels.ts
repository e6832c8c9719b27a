/** Labels as they travel: reading, checking and marking them. rules.md section 4 (L0 to L4), W4 to W6, W10; contract.md "Documents". */
import { HIDDEN_FROM_PATIENT, MASKED, VISIBILITY_LABELS, type VisibilityLabel } from '../../access/rules/labels.ts';
import { LABEL_SYSTEM_VARIANTS, SYSTEM } from '../../fhir/canonical.ts';
import { addCalendarMonth, addParisDays, FOREVER, NEVER_BEFORE } from '../../fhir/interval.ts';
import { asArray, asCoding, asObject, type Coding, codingsOf } from '../../fhir/json.ts';
import { ok, type Result, unprocessable } from '../../fhir/result.ts';
import type { Instant, Json, JsonObject, Resource } from '../../fhir/types.ts';
import type { Filing } from '../../ports/store.ts';
import type { Marks } from '../declaration.ts';

export type Labels = ReadonlySet<VisibilityLabel>;

const isVisibility = (code: string | undefined): code is VisibilityLabel =>
  (VISIBILITY_LABELS as readonly string[]).includes(code ?? '');

/** Where a type carries its labels: documents in `securityLabel`, the others in `meta.security`. */
const labelCodings = (resource: JsonObject): readonly Coding[] =>
  resource['resourceType'] === 'DocumentReference'
    ? asArray(resource['securityLabel']).flatMap(codingsOf)
    : asArray(asObject(resource['meta'])?.['security']).map(asCoding);

/** The visibility labels of a resource; what is not one of them is not a label for rules.md. */
export const labelsOf = (resource: JsonObject): Labels =>
  new Set(
    labelCodings(resource)
      .filter((c) => c.system === SYSTEM.visibility)
      .map((c) => c.code)
      .filter(isVisibility),
  );

/** The labels that count now: L2 ends by itself a month after filing (L2, W7). */
export const labelsNow = (resource: JsonObject, filing: Filing, now: Instant): Labels =>
  new Set(
    [...labelsOf(resource)].filter(
      (l) => l !== HIDDEN_FROM_PATIENT || filing.filedAt === undefined || now < addCalendarMonth(filing.filedAt),
    ),
  );

/** Systems under which a label or a confidentiality could be smuggled. */
const isLabelSystem = (system: string | undefined): boolean =>
  system === SYSTEM.visibility || system === SYSTEM.confidentiality || LABEL_SYSTEM_VARIANTS.has(system ?? '');

/** N, R and V, which some senders write under the system of the visibility labels. */
const CONFIDENTIALITY_CODE = /^[NRV]$/;

/** The system that a label coding means. */
function canonicalSystem({ system, code }: Coding): string | undefined {
  const known = LABEL_SYSTEM_VARIANTS.get(system ?? '') ?? system;
  return known === SYSTEM.visibility && CONFIDENTIALITY_CODE.test(code ?? '') ? SYSTEM.confidentiality : known;
}

/**
 * The document with its labels under their canonical systems (fhir.md 4.5): what is stored, searched and decided is one spelling. Within one
 * concept, two spellings of one label become one.
 */
export function withCanonicalLabels<T extends Resource>(document: T): T {
  const concepts = asArray(document['securityLabel']);
  const known = concepts.flatMap(codingsOf).every((c) => canonicalSystem(c) === c.system);
  if (known) return document;
  const canonical = concepts.map((concept): Json => {
    const codings: JsonObject[] = [];
    for (const coding of asArray(asObject(concept)?.['coding'])) {
      const read = asCoding(coding);
      const system = canonicalSystem(read);
      const twice = codings.some((c) => c['system'] === system && c['code'] === read.code);
      if (!twice) codings.push({ ...asObject(coding), ...(system === undefined ? {} : { system }) });
    }
    return { ...asObject(concept), coding: codings };
  });
  return { ...document, securityLabel: canonical };
}

/** Labels on types that carry none (D3, D5, D7 to D11) are refused when written. */
export function refuseLabels(resource: JsonObject): Result<void> {
  const found = asArray(asObject(resource['meta'])?.['security'])
    .map(asCoding)
    .some((c) => isLabelSystem(c.system));
  return found
    ? unprocessable('this type carries no visibility label', `${String(resource['resourceType'])}.meta.security`, 'L0')
    : ok(undefined);
}

/** Where a type carries its labels, as an expression for refusals. */
export const pathOf = (type: string): string =>
  type === 'DocumentReference' ? 'DocumentReference.securityLabel' : `${type}.meta.security`;

/** Checks the labels of a resource that carries some: known, each once, L1 and L2 not together, confidentiality N only (L4). */
export function checkLabels(resource: JsonObject): Result<void> {
  const at = pathOf(String(resource['resourceType']));
  const codings = labelCodings(resource);
  if (resource['resourceType'] === 'DocumentReference') {
    const elsewhere = refuseLabels(resource);
    if (!elsewhere.ok) return elsewhere;
    if (codings.some((c) => !isLabelSystem(c.system))) {
      return unprocessable('a label is a coding of v3-Confidentiality or of TRE_A07', at, 'L0');
    }
  }
  const confidentiality = codings.filter((c) => c.system === SYSTEM.confidentiality);
  if (confidentiality.some((c) => c.code !== 'N')) return unprocessable('only confidentiality N is accepted', at, 'L4');
  if (confidentiality.length > 1) return unprocessable('one confidentiality at most', at, 'L4');
  const visibility = codings.filter((c) => c.system === SYSTEM.visibility).map((c) => c.code);
  if (!visibility.every(isVisibility)) {
    return unprocessable(`the labels known here are ${VISIBILITY_LABELS.join(', ')}`, at, 'L0');
  }
  if (new Set(visibility).size !== visibility.length) return unprocessable('a label stands once', at, 'L0');
  return checkSet(new Set(visibility), at);
}

export function checkSet(labels: Labels, at: string): Result<void> {
  return labels.has(MASKED) && labels.has(HIDDEN_FROM_PATIENT)
    ? unprocessable(`\`${MASKED}\` and \`${HIDDEN_FROM_PATIENT}\` are never set together`, at, 'L1')
    : ok(undefined);
}

const visibilityCoding = (code: string): JsonObject => ({ system: SYSTEM.visibility, code });

/** The resource with exactly these visibility labels; everything else about its labels stays. */
export function withLabels<T extends Resource>(resource: T, labels: Labels): T {
  const current = labelsOf(resource);
  const added = VISIBILITY_LABELS.filter((l) => labels.has(l) && !current.has(l));
  const keeps = (c: Coding): boolean => c.system !== SYSTEM.visibility || !isVisibility(c.code) || labels.has(c.code);
  if (resource.resourceType === 'DocumentReference') {
    const concepts: Json[] = [];
    for (const concept of asArray(resource['securityLabel'])) {
      const codings = asArray(asObject(concept)?.['coding']).filter((c) => keeps(asCoding(c)));
      if (codings.length > 0) concepts.push({ ...asObject(concept), coding: codings });
    }
    for (const label of added) concepts.push({ coding: [visibilityCoding(label)] });
    const { securityLabel: _old, ...rest } = resource;
    return { ...rest, ...(concepts.length === 0 ? {} : { securityLabel: concepts }) } as unknown as T;
  }
  const security = [
    ...asArray(resource.meta?.['security']).filter((c) => keeps(asCoding(c))),
    ...added.map(visibilityCoding),
  ];
  const { security: _old, ...meta } = (resource.meta ?? {}) as JsonObject;
  return { ...resource, meta: { ...meta, ...(security.length === 0 ? {} : { security }) } };
}

/** A document always states its confidentiality: N where the sender said nothing. */
export function withConfidentiality<T extends Resource>(resource: T): T {
  if (labelCodings(resource).some((c) => c.system === SYSTEM.confidentiality)) return resource;
  const normal = { coding: [{ system: SYSTEM.confidentiality, code: 'N' }] };
  return { ...resource, securityLabel: [normal, ...asArray(resource['securityLabel'])] };
}

/** W7: when the announcement of an item that is hidden from the holder takes its next step; `undefined` when there is none. */
export function nextStep(labels: Labels, { filedAt, announced }: Filing): Instant | undefined {
  if (!labels.has(HIDDEN_FROM_PATIENT) || filedAt === undefined || announced === 'visible') return undefined;
  return announced === 'invited' ? addCalendarMonth(filedAt) : addParisDays(filedAt, 14);
}

/** Under which term the clock finds what is due on a day. */
export const clockDay = (at: Instant): string => new Date(at).toISOString().slice(0, 10);

/**
 * The marks for labels: which stand, until when the holder is kept out (L2, W7), the exemption from "mask everything" (W5), and when the
 * server's clock has to look at the item next.
 */
export function labelMarks(resource: JsonObject, filing: Filing): Marks {
  const labels = labelsOf(resource);
  const until = filing.filedAt === undefined ? FOREVER : addCalendarMonth(filing.filedAt);
  const due = nextStep(labels, filing);
  return {
    terms: [
      ...[...labels].map((l) => ['_label', l] as const),
      ...(filing.exempt === true ? [['_exempt', '1'] as const] : []),
      ...(due === undefined ? [] : [['_clock', clockDay(due)] as const, ['_clock', 'pending'] as const]),
    ],
    ranges: [
      ...(labels.has(HIDDEN_FROM_PATIENT) ? [{ param: '_hidden', lo: NEVER_BEFORE, hi: until }] : []),
      ...(due === undefined ? [] : [{ param: '_clock', lo: due, hi: due + 1 }]),
    ],
  };
}

export const sameLabels = (a: Labels, b: Labels): boolean => a.size === b.size && [...a].every((l) => b.has(l));

/**
 * ITI-65 Provide Document Bundle (IHE MHD 4.2, PDSm 3.1): a transaction whose `meta.profile` says so. Its slices are closed, and what is
 * not one of them is refused before anything is looked at; the rest is a transaction like any other, and one act.
 */
import { type DocumentLevel, INS_SYSTEMS, PROVIDE_BUNDLE_PROFILES } from '../../fhir/canonical.ts';
import { asArray, asObject, asText, referenceOf } from '../../fhir/json.ts';
import { type Fault, fail, malformed, ok, type Result } from '../../fhir/result.ts';
import type { Json, JsonObject } from '../../fhir/types.ts';
import { checkList, kindOfList } from '../types/list-metadata.ts';
import type { Entry } from './bundle.ts';

/** What a Bundle claims to provide; undefined for a transaction that is no ITI-65. */
export function levelOfBundle(bundle: JsonObject): DocumentLevel | undefined {
  const profiles = asArray(asObject(bundle['meta'])?.['profile']).map((p) => asText(p)?.split('|')[0] ?? '');
  const levels = profiles.map((p) => PROVIDE_BUNDLE_PROFILES.get(p)).filter((l) => l !== undefined);
  return levels.find((l) => l === 'pdsm') ?? levels.find((l) => l === 'comprehensive') ?? levels[0];
}

type Slice = 'SubmissionSet' | 'DocumentRefs' | 'UpdateDocumentRefs' | 'Documents' | 'Folders' | 'Patient';

const typeOf = (entry: Entry): string => asText(entry.resource?.['resourceType']) ?? '';

/** The slice that an entry belongs to. */
function sliceOf(entry: Entry): Slice | undefined {
  const { method, path } = entry;
  const [at] = path;
  const kind = kindOfList(entry.resource);
  if (method === 'POST' && path.length === 1 && typeOf(entry) === at) {
    if (at === 'List') return kind === 'submissionset' ? 'SubmissionSet' : kind === 'folder' ? 'Folders' : undefined;
    if (at === 'DocumentReference') return 'DocumentRefs';
    if (at === 'Binary') return 'Documents';
  }
  if (method === 'PUT' && at === 'List' && kind === 'folder') return 'Folders';
  if (method === 'PATCH' && at === 'DocumentReference' && typeOf(entry) === 'Parameters') return 'UpdateDocumentRefs';
  if (at === 'Patient' && path.length <= 2 && ['GET', 'POST', 'PUT'].includes(method)) return 'Patient';
  return undefined;
}

/** MHD's Patch Parameters: the status of a document becomes `superseded`, and nothing else happens. */
function supersedes(parameters: JsonObject | undefined): boolean {
  const list = asArray(parameters?.['parameter']).map(asObject);
  const [only] = list;
  const parts = asArray(only?.['part']).map(asObject);
  const value = (name: string): Json | undefined => {
    const part = parts.find((p) => p?.['name'] === name);
    return part?.['valueCode'] ?? part?.['valueString'];
  };
  return (
    list.length === 1 &&
    only?.['name'] === 'operation' &&
    parts.length === 3 &&
    value('type') === 'replace' &&
    value('path') === 'DocumentReference.status' &&
    value('value') === 'superseded'
  );
}

/** The closed slices and the Lists; every fault at once, each with its entry. */
export function checkProvided(entries: readonly Entry[], level: DocumentLevel): Result<void> {
  const faults: Fault[] = [];
  const slices = entries.map(sliceOf);
  for (const [index, entry] of entries.entries()) {
    const slice = slices[index];
    if (slice === undefined) {
      faults.push({
        text: 'ITI-65 holds a SubmissionSet, documents with their Binaries, Folders, one Patient, and the patch of what is replaced',
        at: entry.at,
      });
    }
    if (slice === 'UpdateDocumentRefs' && !supersedes(entry.resource)) {
      faults.push({
        text: 'the patch of a replaced document makes its status `superseded`, and no more',
        at: entry.at,
      });
    }
    const kind = slice === 'SubmissionSet' ? 'submissionset' : slice === 'Folders' ? 'folder' : undefined;
    const checked = kind === undefined ? ok(undefined) : checkList(entry.resource ?? {}, kind, level);
    if (!checked.ok && checked.failure.code === 'unprocessable') {
      faults.push(
        ...checked.failure.faults.map((f) => ({ ...f, at: `${entry.at}.resource.ofType(List)${f.at?.slice(4)}` })),
      );
    }
  }
  const several = (slice: Slice): number => slices.filter((s) => s === slice).length;
  if (several('SubmissionSet') !== 1) faults.push({ text: 'ITI-65 has exactly one SubmissionSet', at: 'Bundle.entry' });
  if (several('Patient') > 1) faults.push({ text: 'ITI-65 has one Patient at most', at: 'Bundle.entry' });
  return faults.length === 0 ? ok(undefined) : fail({ code: 'unprocessable', faults });
}

/** A Patient entry stands for a person of the register, who is never written by it (W13): their INS, as a search parameter. */
export function insOfEntry(entry: Entry): readonly (readonly [string, string])[] | undefined {
  if (entry.path[0] !== 'Patient' || !['POST', 'PUT'].includes(entry.method)) return undefined;
  const found = asArray(entry.resource?.['identifier'])
    .map(asObject)
    .find((i) => i?.['use'] !== 'old' && INS_SYSTEMS.includes(asText(i?.['system']) ?? ''));
  return found === undefined ? [] : [['identifier', `${asText(found['system'])}|${asText(found['value']) ?? ''}`]];
}

/** The id of a contained copy of the Patient entry. */
const COPY = 'source-patient';

/**
 * The uncontained form made the contained one, which is how documents are kept and given back (PDSm): a document whose
 * `context.sourcePatientInfo` names the Patient entry carries that Patient inside.
 */
export function withContainedIdentity(entries: readonly Entry[]): readonly Entry[] {
  const patient = entries.find((e) => e.path[0] === 'Patient' && e.resource !== undefined && e.fullUrl !== undefined);
  if (patient?.resource === undefined) return entries;
  const { id: _id, meta: _meta, text: _text, ...identity } = patient.resource;
  return entries.map((entry) => {
    const context = asObject(entry.resource?.['context']);
    if (entry.path[0] !== 'DocumentReference' || entry.resource === undefined) return entry;
    if (referenceOf(context?.['sourcePatientInfo']) !== patient.fullUrl) return entry;
    const contained = [...asArray(entry.resource['contained']), { ...identity, id: COPY }];
    const sourcePatientInfo = { reference: `#${COPY}` };
    return { ...entry, resource: { ...entry.resource, contained, context: { ...context, sourcePatientInfo } } };
  });
}

/** A Bundle that claims to be ITI-65 is a transaction. */
export const notBatch = () => malformed('ITI-65 is a `transaction`', 'Bundle.type');

/** The policy information point: what the server looks up for itself, in the unit that decides. */
import type { Caller, Claims, Identifier } from '../access/caller.ts';
import { systemGuard } from '../access/decision.ts';
import { readConsent, type SpaceSources, spaceEntry } from '../access/space.ts';
import { NATIONAL_IDENTIFIERS } from '../fhir/canonical.ts';
import type { IndexEntry } from '../fhir/index-entry.ts';
import { asArray, asObject, asText, referenceOf } from '../fhir/json.ts';
import { fail, ok, type Result } from '../fhir/result.ts';
import { systemAndCode } from '../fhir/search-value.ts';
import type { Instant, JsonObject, Key, Ref } from '../fhir/types.ts';
import type { StoreUnit, Version } from '../ports/store.ts';
import { guarded } from '../query/plan.ts';
import { and, type Predicate, term } from '../query/predicate.ts';

/** Pages of the server's own searches; a person's rights are far fewer. */
const PAGE = 500;

/** Every current match, page by page, for the server's own use. */
export async function searchAll(
  unit: StoreUnit,
  type: string,
  where: readonly Predicate[],
): Promise<readonly Version[]> {
  const found: Version[] = [];
  let after: readonly (string | number | null)[] | undefined;
  for (;;) {
    const page = await unit.search(
      guarded(
        {
          type,
          where: and(...where),
          sort: [],
          limit: PAGE,
          total: false,
          ...(after === undefined ? {} : { after }),
        },
        systemGuard(type, 'facts'),
      ),
    );
    found.push(...page.matches);
    after = page.matches.at(-1)?.position;
    if (!page.more || after === undefined) return found;
  }
}

/** Compiles the person's consents, teams and delegations anew from what is stored now. */
export async function rebuildSpace(unit: StoreUnit, person: Ref): Promise<IndexEntry> {
  const of = async (type: string, where: readonly Predicate[]): Promise<readonly JsonObject[]> =>
    (await searchAll(unit, type, [term('_owner', person), ...where])).map((v) => JSON.parse(v.body) as JsonObject);
  const consents = await of('Consent', [term('_active', '1')]);
  // Those alone whom a right names: however many relatives a person has, a write of the space reads no more of them.
  const relatedPersons: JsonObject[] = [];
  for (const key of relatedNamed(consents)) {
    const found = await unit.read(key, systemGuard(key.type, 'facts'));
    if (found !== undefined && !found.deleted && found.owner === person)
      relatedPersons.push(JSON.parse(found.body) as JsonObject);
  }
  const sources: SpaceSources = {
    consents,
    careTeams: await of('CareTeam', [term('_active', '1')]),
    relatedPersons,
  };
  return spaceEntry(sources);
}

/** The RelatedPersons that Consents name, each once. */
const relatedNamed = (consents: readonly JsonObject[]): readonly Key[] => {
  const named = consents.flatMap((consent) => readConsent(consent).actors);
  return [...new Set(named.filter((actor) => actor.startsWith('RelatedPerson/')))].map((actor) => ({
    type: 'RelatedPerson',
    id: actor.slice('RelatedPerson/'.length),
  }));
};

/** A person's rights as they stood at an instant, and the versions of the Consents and CareTeams that they were made of. */
export type PastSpace = { readonly entry: IndexEntry; readonly versions: readonly Version[] };

/** Compiles the person's consents, teams and delegations as they stood at `at`: each resource in the version that was current then. */
export async function spaceAt(unit: StoreUnit, person: Ref, at: Instant): Promise<PastSpace> {
  const then = async (keys: readonly Key[]): Promise<readonly Version[]> => {
    const found: Version[] = [];
    for (const key of keys) {
      const page = await unit.history(key, systemGuard(key.type, 'facts'), { limit: 1, at });
      const version = page?.versions[0];
      if (version !== undefined && !version.deleted) found.push(version);
    }
    return found;
  };
  const current = async (type: string): Promise<readonly Key[]> =>
    (await searchAll(unit, type, [term('_owner', person)])).map(({ id }) => ({ type, id }));
  const bodies = (versions: readonly Version[]) => versions.map((v) => JSON.parse(v.body) as JsonObject);
  const consents = await then(await current('Consent'));
  const careTeams = await then(await current('CareTeam'));
  // Found through the delegation that names them, deleted since or not.
  const relatedPersons = await then(relatedNamed(bodies(consents)));
  return {
    entry: spaceEntry({
      consents: bodies(consents),
      careTeams: bodies(careTeams),
      relatedPersons: bodies(relatedPersons),
    }),
    versions: [...consents, ...careTeams],
  };
}

const refused = (why: string) => fail({ code: 'unauthenticated', why });

/** The one current directory entry with this business identifier. */
async function byIdentifier(unit: StoreUnit, type: string, id: Identifier): Promise<Ref | undefined> {
  const page = await unit.search(
    guarded(
      {
        type,
        where: term('identifier', systemAndCode(id.system, id.value)),
        sort: [],
        limit: 2,
        total: false,
      },
      systemGuard(type, 'directory'),
    ),
  );
  const [only] = page.matches;
  if (page.matches.length !== 1 || only === undefined) return undefined;
  // `active` false is how the directory takes an entry out of service (contract.md): it names nobody any more.
  return (JSON.parse(only.body) as JsonObject)['active'] === false ? undefined : `${type}/${only.id}`;
}

/** What the directory's entries say of themselves, by version: an entry is parsed once, and read again at every request. */
export type DirectoryMemory = {
  /** `Type system|value` → the entry that had this national identifier when last looked for; verified at each use. */
  readonly hints: Map<string, Ref>;
  readonly entries: Map<
    Ref,
    { readonly versionId: string; readonly identifiers: ReadonlySet<string>; readonly active: boolean }
  >;
};

export const directoryMemory = (): DirectoryMemory => ({ hints: new Map(), entries: new Map() });

/** More entries than this are forgotten together: the memory is a convenience, never the truth. */
const REMEMBERED = 20_000;

/** The entry as it stands in this unit, its identifiers read once for each version. */
async function entryNow(unit: StoreUnit, memory: DirectoryMemory, ref: Ref) {
  const version = await exists(unit, ref);
  if (version === undefined) return undefined;
  const known = memory.entries.get(ref);
  if (known?.versionId === version.versionId) return known;
  const body = JSON.parse(version.body) as JsonObject;
  const identifiers = asArray(body['identifier']).map(asObject);
  const entry = {
    versionId: version.versionId,
    identifiers: new Set(
      identifiers.map((i) => systemAndCode(asText(i?.['system']) ?? '', asText(i?.['value']) ?? '')),
    ),
    active: body['active'] !== false,
  };
  if (memory.entries.size >= REMEMBERED) memory.entries.clear();
  memory.entries.set(ref, entry);
  return entry;
}

/**
 * The directory entry that a national identifier names. Those are unique (the directory refuses a second), so the entry found last time is
 * right as long as it still has the identifier; otherwise the directory is searched.
 */
async function namedBy(
  unit: StoreUnit,
  memory: DirectoryMemory,
  type: string,
  id: Identifier,
): Promise<Ref | undefined> {
  if (!NATIONAL_IDENTIFIERS.includes(id.system)) return byIdentifier(unit, type, id);
  const term = systemAndCode(id.system, id.value);
  const hint = memory.hints.get(`${type} ${term}`);
  if (hint !== undefined) {
    const entry = await entryNow(unit, memory, hint);
    if (entry?.active === true && entry.identifiers.has(term)) return hint;
  }
  const found = await byIdentifier(unit, type, id);
  if (found !== undefined) {
    if (memory.hints.size >= REMEMBERED) memory.hints.clear();
    memory.hints.set(`${type} ${term}`, found);
  }
  return found;
}

async function exists(unit: StoreUnit, ref: string): Promise<Version | undefined> {
  const [type, id] = ref.split('/');
  const key: Key = { type: type ?? '', id: id ?? '' };
  const found = await unit.read(key, systemGuard(key.type, 'directory'));
  return found === undefined || found.deleted ? undefined : found;
}

/** Resolves verified claims to the directory and the register of persons; a caller whom they do not know is refused (401). */
export async function resolveCaller(unit: StoreUnit, claims: Claims, memory: DirectoryMemory): Promise<Result<Caller>> {
  const base = { claims, kind: claims.kind, ...(claims.patient === undefined ? {} : { person: claims.patient }) };
  switch (claims.kind) {
    case 'patient':
      if ((await exists(unit, claims.patient)) === undefined) return refused('the person is not in the register');
      return ok({ ...base, self: claims.fhirUser });
    case 'representative': {
      const related = await exists(unit, claims.fhirUser);
      if (related === undefined) return refused('the RelatedPerson is not known');
      if ((await exists(unit, claims.actsFor)) === undefined)
        return refused('the person acted for is not in the register');
      // A delegation must name both (C7); a RelatedPerson of somebody else is simply without one, and sees nothing.
      const own = referenceOf((JSON.parse(related.body) as JsonObject)['patient']) === claims.actsFor;
      return ok({ ...base, ...(own ? { self: claims.fhirUser } : {}), person: claims.actsFor });
    }
    case 'professional': {
      const self = await namedBy(unit, memory, 'Practitioner', claims.nationalId);
      if (self === undefined) return refused('the directory does not know the national identifier');
      if (self !== claims.fhirUser) return refused('fhirUser and the national identifier name different professionals');
      const structure = await namedBy(unit, memory, 'Organization', claims.structure);
      if (structure === undefined) return refused('the directory does not know the structure');
      return ok({ ...base, self, structure, purpose: claims.purpose, profession: claims.profession });
    }
    case 'feeder':
    case 'insurer': {
      if (claims.structure === undefined) return ok(base);
      const structure = await namedBy(unit, memory, 'Organization', claims.structure);
      if (structure === undefined) return refused('the directory does not know the structure');
      return ok({ ...base, self: structure, structure });
    }
    case 'operator':
      return ok(base);
    default:
      return refused('unknown kind of caller');
  }
}

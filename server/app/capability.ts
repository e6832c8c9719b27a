/** https://hl7.org/fhir/R4/capabilitystatement.html, made from the declarations and the search registry: what it says is what is there. */
import { DOCUMENT_PROFILES, EX, LIST_PROFILES, MHD_ACTORS, SIMPLIFIED_PROFILES } from '../fhir/canonical.ts';
import { declaredParameters, includesOf, revincludesOf, type SearchRegistry } from '../fhir/search-parameter.ts';
import type { TypeDeclaration, WriteRules } from './declaration.ts';
import { LABELLED_TYPES } from './interactions/label-operations.ts';
import { EXPLAINED_TYPES } from './interactions/who-can-see.ts';
import { profilesOfType } from './profiles.ts';

export type CapabilityOptions = {
  readonly declarations: ReadonlyMap<string, TypeDeclaration>;
  readonly registry: SearchRegistry;
  readonly baseUrl: string;
  readonly version: string;
  /** Day of the release, `YYYY-MM-DD`. */
  readonly date: string;
  /** Packages that the host has loaded. */
  readonly packages: readonly LoadedPackage[];
  /** The profiles that they bring for a type. */
  readonly packageProfiles: (type: string) => readonly string[];
};

/** A FHIR package by its id, with the canonical of its guide where it states one. */
export type LoadedPackage = { readonly id: string; readonly version: string; readonly guide: string | undefined };

const interaction = (code: string) => ({ code });

/** The writes that are granted to somebody. */
const offered = ({ writes, writtenOnce }: TypeDeclaration): WriteRules =>
  writtenOnce === true && writes.create !== undefined ? { create: writes.create } : writes;

function interactionsOf(declaration: TypeDeclaration): readonly { readonly code: string }[] {
  const { create, update, remove } = offered(declaration);
  return [
    ...['read', 'vread', 'history-instance', 'search-type'].map(interaction),
    ...(create === undefined ? [] : [interaction('create')]),
    ...(update === undefined ? [] : [interaction('update'), interaction('patch')]),
    ...(remove === undefined ? [] : [interaction('delete')]),
  ];
}

/** The operations of ours that explain or tell, by the types they are offered on. */
const EXPLANATIONS: readonly (readonly [name: string, types: readonly string[]])[] = [
  ['who-can-see', EXPLAINED_TYPES],
  ['evaluate', ['Consent']],
  ['explain', ['AuditEvent']],
  ['access-register', ['Patient']],
  ['notification-preferences', ['Patient']],
];

/** Profiles that a write may claim and is then held to. */
const SUPPORTED: Readonly<Record<string, readonly string[]>> = {
  DocumentReference: [...DOCUMENT_PROFILES.keys(), ...SIMPLIFIED_PROFILES],
  List: LIST_PROFILES,
};

function operationsOf(type: string) {
  const labels = ['mask', 'unmask', 'hide', 'release'].map((name) => ({
    name,
    definition: `${EX}/OperationDefinition/${name}`,
  }));
  const explanations = EXPLANATIONS.filter(([, types]) => types.includes(type)).map(([name]) => ({
    name,
    definition: `${EX}/OperationDefinition/${name}`,
  }));
  return [
    ...((LABELLED_TYPES as readonly string[]).includes(type) ? labels : []),
    ...(type === 'Patient' ? [{ name: 'everything', definition: `${EX}/OperationDefinition/everything` }] : []),
    ...explanations,
    ...(type === 'DocumentReference'
      ? [
          {
            name: 'generate-metadata',
            definition: 'https://profiles.ihe.net/ITI/MHD/OperationDefinition/generate-metadata',
          },
        ]
      : []),
    { name: 'validate', definition: `${EX}/OperationDefinition/validate` },
  ];
}

const nonEmpty = (name: string, list: readonly unknown[]) => (list.length === 0 ? {} : { [name]: list });

export function capabilityStatement(options: CapabilityOptions): object {
  const { declarations, registry, baseUrl } = options;
  const types = [...declarations.keys()];
  return {
    resourceType: 'CapabilityStatement',
    url: `${EX}/CapabilityStatement/carnet`,
    version: options.version,
    name: 'Carnet',
    title: 'Carnet, a FHIR server for a national health space',
    status: 'active',
    date: options.date,
    publisher: 'Carnet',
    kind: 'instance',
    instantiates: MHD_ACTORS,
    software: { name: 'Carnet', version: options.version },
    implementation: { description: 'Carnet', url: baseUrl },
    fhirVersion: '4.0.1',
    format: ['application/fhir+json', 'application/fhir+xml', 'json', 'xml'],
    ...nonEmpty(
      'implementationGuide',
      options.packages.flatMap(({ guide, version }) => (guide === undefined ? [] : [`${guide}|${version}`])),
    ),
    patchFormat: ['application/json-patch+json', 'application/fhir+json', 'application/fhir+xml'],
    rest: [
      {
        mode: 'server',
        documentation:
          'What a caller may not see is as if it did not exist. Every disclosure is recorded before it leaves. Civil dates are days of Europe/Paris. Parameters that are not understood are refused (400) unless `Prefer: handling=lenient`. An unknown id is never created by an update.',
        security: {
          cors: true,
          service: [
            {
              coding: [
                { system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' },
              ],
            },
          ],
          description: 'Bearer tokens of trusted issuers: SMART App Launch 2.2 scopes, IHE IUA claims.',
        },
        resource: types.map((type) => {
          const declaration = declarations.get(type);
          const writes = declaration === undefined ? {} : offered(declaration);
          return {
            type,
            ...nonEmpty('supportedProfile', [
              ...new Set([...profilesOfType(type), ...(SUPPORTED[type] ?? []), ...options.packageProfiles(type)]),
            ]),
            ...(declaration === undefined ? {} : { interaction: interactionsOf(declaration) }),
            versioning: 'versioned',
            readHistory: true,
            updateCreate: false,
            conditionalCreate: writes.create !== undefined,
            conditionalRead: 'not-match',
            conditionalUpdate: writes.update !== undefined,
            conditionalDelete: writes.remove === undefined ? 'not-supported' : 'single',
            referencePolicy: ['literal', 'local'],
            ...nonEmpty('searchInclude', includesOf(registry, type, types)),
            ...nonEmpty('searchRevInclude', revincludesOf(registry, type, types)),
            ...nonEmpty('searchParam', declaredParameters(registry, type)),
            ...nonEmpty('operation', operationsOf(type)),
          };
        }),
        interaction: [interaction('transaction'), interaction('batch')],
      },
    ],
  };
}

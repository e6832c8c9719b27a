/** The one bag of ports and constants handed to every interaction. */
import type { AccessTypes } from '../access/access.ts';
import type { Policy } from '../access/policy.ts';
import type { Definitions } from '../fhir/definitions.ts';
import type { IndexEntry } from '../fhir/index-entry.ts';
import type { SearchRegistry } from '../fhir/search-parameter.ts';
import type { Summaries } from '../fhir/summary.ts';
import type { CursorSeal } from '../ports/cursor-seal.ts';
import type { Inflate } from '../ports/inflate.ts';
import type { ResourceStore } from '../ports/store.ts';
import type { Clock, IdSource } from '../ports/system.ts';
import type { TokenVerifier } from '../ports/token-verifier.ts';
import type { ProfileValidator, ResourceValidator } from '../ports/validator.ts';
import type { TypeDeclaration } from './declaration.ts';
import type { DirectoryMemory } from './facts.ts';
import type { ToldSessions } from './notices/tell.ts';

export type Deps = {
  readonly store: ResourceStore;
  readonly verifier: TokenVerifier;
  readonly validator: ResourceValidator;
  readonly profiles: ProfileValidator;
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly cursors: CursorSeal;
  readonly inflate: Inflate;
  readonly registry: SearchRegistry;
  readonly declarations: ReadonlyMap<string, TypeDeclaration>;
  readonly accessTypes: AccessTypes;
  readonly policy: Policy;
  readonly directory: DirectoryMemory;
  /** Index entries of the constant part of AuditEvents, by token and act. */
  readonly auditEntries: Map<string, IndexEntry>;
  readonly toldSessions: ToldSessions;
  /** The class (TRE_A03) of each type of document, where the type says it. */
  readonly documentClasses: ReadonlyMap<string, string>;
  readonly summaries: Summaries;
  readonly definitions: Definitions;
  /** Without a trailing slash. */
  readonly baseUrl: string;
  /** Host and port, for the audit's own agent. */
  readonly serverAddress: string;
  readonly limits: {
    readonly maxBinaryBytes: number;
    readonly maxBundleEntries: number;
  };
};

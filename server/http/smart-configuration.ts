/**
 * `.well-known/smart-configuration`. https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
 *
 * This server is a resource server: tokens come from trusted issuers (`CARNET_ISSUERS`), each with endpoints of its own. What is
 * said here is therefore what the resource server keeps by itself: which scopes it understands, in which context.
 * `token_endpoint` is required by the specification; it is published when the configuration names one authorization server,
 * and left out otherwise: an invented address would send credentials to nobody knows where. The other endpoints likewise.
 */
import type { JsonObject } from '../fhir/types.ts';

/** The one authorization server that clients are sent to; every part that is not known is absent. */
export type AuthorizationServer = {
  readonly issuer?: string;
  readonly jwksUri?: string;
  readonly authorizationEndpoint?: string;
  readonly tokenEndpoint?: string;
  readonly introspectionEndpoint?: string;
  readonly managementEndpoint?: string;
};

const CONTEXTS = ['patient', 'user', 'system'] as const;

/** `permission-*`: scopes that this server understands; what concerns launching and client authentication is the issuer's to say. */
const CAPABILITIES = ['permission-v1', 'permission-v2', 'permission-patient', 'permission-user'] as const;

const known = (name: string, value: string | undefined): JsonObject => (value === undefined ? {} : { [name]: value });

/** The document, for the types that this server holds. */
export function smartConfiguration(resourceTypes: readonly string[], server: AuthorizationServer): JsonObject {
  return {
    ...known('issuer', server.issuer),
    ...known('jwks_uri', server.jwksUri),
    ...known('authorization_endpoint', server.authorizationEndpoint),
    ...known('token_endpoint', server.tokenEndpoint),
    ...known('introspection_endpoint', server.introspectionEndpoint),
    ...known('management_endpoint', server.managementEndpoint),
    // People come with a code, backends with their own credentials: tokens of both are accepted, no others.
    grant_types_supported: ['authorization_code', 'client_credentials'],
    code_challenge_methods_supported: ['S256'],
    scopes_supported: CONTEXTS.flatMap((context) => ['*', ...resourceTypes].map((type) => `${context}/${type}.cruds`)),
    capabilities: [...CAPABILITIES],
  };
}

/**
 * https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html. Tokens come from the trusted issuers, each with an authorization server
 * of its own: this document names them and claims no endpoint that this server does not have.
 */
export type SmartOptions = { readonly issuers: readonly string[] };

/** The discovery document, serialised once. */
export const smartConfiguration = ({ issuers }: SmartOptions): string =>
  JSON.stringify({
    ...(issuers.length === 1 ? { issuer: issuers[0] } : {}),
    associated_endpoints: [],
    trusted_issuers: issuers,
    grant_types_supported: ['authorization_code', 'client_credentials'],
    code_challenge_methods_supported: ['S256'],
    scopes_supported: ['patient/*.cruds', 'user/*.cruds', 'system/*.cruds'],
    capabilities: ['permission-patient', 'permission-user', 'permission-v1', 'permission-v2'],
  });

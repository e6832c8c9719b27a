/** rules.md C1: the sector of the organisation behind a client. A closed list, so that a misspelt sector is not an allowed one. */

/** Who may hold a client: care and its software, apps of holders, Assurance Maladie, the host. */
const ALLOWED = ['care', 'holder-app', 'health-insurance', 'host'] as const;

/** Whom C1 refuses whatever a patient consents to (Code de la santé publique L1111-18; domain.md 2.8). */
const FORBIDDEN = ['mutual-insurer', 'employer', 'bank', 'loan-insurer', 'life-insurer'] as const;

export type Sector = (typeof ALLOWED)[number] | (typeof FORBIDDEN)[number];

/** Every sector that a registration may state. */
export const SECTORS: readonly Sector[] = [...ALLOWED, ...FORBIDDEN];

const ALLOWED_SECTORS: ReadonlySet<string> = new Set(ALLOWED);

/** Whether a client of this sector may call at all; a sector that nobody declared may not. */
export const isAllowedSector = (sector: string): boolean => ALLOWED_SECTORS.has(sector);

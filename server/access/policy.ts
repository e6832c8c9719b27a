/**
 * The choices of `rules.md` marked *(ours)* and the habilitation matrix: data, not constants (`CARNET_POLICY`).
 * What the matrix does not list is denied.
 */
export type Policy = {
  /** A2: whether a block is lifted for BTG and ETREAT. */
  readonly emergencyOverridesBlock: boolean;
  /** D4: whether professionals who pass the gate see ExplanationOfBenefit and Coverage. */
  readonly payerDataToProfessionals: boolean;
  /** L1: whether emergency modes open masked items of somebody who wrote no `emergency-masked` entry. */
  readonly emergencyMaskedUnlessDenied: boolean;
  /** O2: for how many minutes after the first access of a professional further ones are of the same session. */
  readonly accessSessionMinutes: number;
  /** W2: the largest deposit, in bytes, limit included. */
  readonly depositMaxBytes: number;
  /** C3: tolerance of the token clock, in seconds. */
  readonly clockToleranceSeconds: number;
  /** TRE_G15 profession code → what it may do. */
  readonly matrix: Readonly<Record<string, Habilitation>>;
};

/** One profession's row: whether it may consult at all (A1), and the document type codes it may read (D1; compared without system). */
export type Habilitation = { readonly consult: boolean; readonly read: readonly string[] };

/** The rights of one professional to one document, as a register that clients write and read at the same time (rules.md O3). */
import type { Model } from './linearizable.ts';

/** What the holder can do about one professional and one document, and what that professional can learn. */
export type Act =
  | { readonly kind: 'authorise' | 'block' }
  /** Ends the Consent of that id, a permit or a block. */
  | { readonly kind: 'end'; readonly id: string }
  | { readonly kind: 'mask' | 'unmask' }
  | { readonly kind: 'read'; readonly how: string };

/** Of `authorise` and `block`: the Consent, or `refused`. Of a read: whether it showed the document. Of the others nothing is said. */
export type Outcome = string | boolean;

/** The rights as one register (A2, A3, A7, W4, W5, W9). */
export type Rights = { readonly permit: string; readonly block: string; readonly masked: boolean };
export const NOTHING: Rights = { permit: '', block: '', masked: false };

export const rights: Model<Rights, Act, Outcome> = {
  initial: NOTHING,
  step: (state, act, outcome) => {
    switch (act.kind) {
      case 'authorise':
        // A7: refused while a block stands.
        if (outcome !== undefined && (outcome === 'refused') !== (state.block !== '')) return undefined;
        return state.block === '' ? { ...state, permit: String(outcome) } : state;
      case 'block':
        return outcome === 'refused' ? undefined : { ...state, permit: '', block: String(outcome) };
      case 'end':
        return {
          ...state,
          permit: state.permit === act.id ? '' : state.permit,
          block: state.block === act.id ? '' : state.block,
        };
      case 'mask':
      case 'unmask':
        return { ...state, masked: act.kind === 'mask' };
      case 'read':
        return outcome === undefined || outcome === (state.permit !== '' && state.block === '' && !state.masked)
          ? state
          : undefined;
    }
  },
  key: ({ permit, block, masked }) => `${permit} ${block} ${masked}`,
};

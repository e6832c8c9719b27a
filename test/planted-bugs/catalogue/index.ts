/** The deliberate faults, area by area. Each is the text of one place, and what somebody in a hurry would have written there. */
import type { PlantedBug } from '../planted-bug.ts';
import { AUDIT } from './audit.ts';
import { EXPLAIN } from './explain.ts';
import { HTTP } from './http.ts';
import { INTERACTIONS } from './interactions.ts';
import { NOTICES_FAULTS } from './notices.ts';
import { QUERY } from './query.ts';
import { RULES } from './rules.ts';
import { STORE } from './store.ts';
import { TIME } from './time.ts';
import { TOKENS } from './tokens.ts';
import { WRITES } from './writes.ts';

export const CATALOGUE: readonly PlantedBug[] = [
  ...RULES,
  ...QUERY,
  ...AUDIT,
  ...TOKENS,
  ...TIME,
  ...INTERACTIONS,
  ...WRITES,
  ...NOTICES_FAULTS,
  ...STORE,
  ...HTTP,
  ...EXPLAIN,
];

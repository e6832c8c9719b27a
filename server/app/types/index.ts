/** Every type that this server knows. A type is added here and in one file of its own. */
import type { AccessTypes } from '../../access/access.ts';
import type { TypeDeclaration } from '../declaration.ts';
import { appointment } from './appointment.ts';
import { auditEvent } from './audit-event.ts';
import { binary, list, provenance } from './belongings.ts';
import { careTeam } from './care-team.ts';
import { communication } from './communication.ts';
import { consent } from './consent.ts';
import { directory } from './directory.ts';
import { document } from './document.ts';
import { immunization } from './immunization.ts';
import { patient } from './patient.ts';
import { payer } from './payer.ts';
import { profile } from './profile.ts';
import { relatedPerson } from './related-person.ts';
import { task } from './task.ts';

const ALL: readonly TypeDeclaration[] = [
  patient,
  relatedPerson,
  directory('Practitioner'),
  directory('PractitionerRole'),
  directory('Organization'),
  directory('HealthcareService'),
  directory('Location'),
  careTeam,
  document,
  binary,
  list,
  provenance,
  immunization,
  ...profile,
  ...payer,
  consent,
  communication,
  appointment,
  task,
  auditEvent,
];

export const DECLARATIONS: ReadonlyMap<string, TypeDeclaration> = new Map(ALL.map((d) => [d.type, d]));

/** The part of the declarations that decisions are made of. */
export const ACCESS_TYPES: AccessTypes = new Map(
  ALL.map((d) => [
    d.type,
    {
      type: d.type,
      rows: d.rows,
      about: d.about,
      ...(d.contentRows === undefined ? {} : { contentRows: d.contentRows }),
    },
  ]),
);

/** The route table: method and path to interaction, for the wire and for the entries of a Bundle alike. R4 http.html. */
import { fail, malformed, ok, type Result } from '../fhir/result.ts';
import type { Key } from '../fhir/types.ts';
import type { Interaction } from './answer.ts';
import type { Deps } from './deps.ts';
import { accessRegister } from './interactions/access-register.ts';
import { readBinary } from './interactions/binary.ts';
import { evaluate } from './interactions/evaluate.ts';
import { everything } from './interactions/everything.ts';
import { explainAccess } from './interactions/explain-access.ts';
import { GENERATE_METADATA } from './interactions/generate-metadata.ts';
import { LABELLED_TYPES, labelOperation } from './interactions/label-operations.ts';
import { history, read, vread } from './interactions/read.ts';
import { search } from './interactions/search.ts';
import { validate } from './interactions/validate.ts';
import { EXPLAINED_TYPES, whoCanSee } from './interactions/who-can-see.ts';
import {
  conditionalPatch,
  conditionalRemove,
  conditionalUpdate,
  create,
  patch,
  remove,
  update,
} from './interactions/write.ts';
import { notificationPreferences } from './notices/preferences.ts';
import type { FhirRequest } from './request.ts';

const ID = /^[A-Za-z0-9.-]{1,64}$/;

type Method = FhirRequest['method'];
type Named = Omit<Interaction, 'item' | 'type'>;
type Byid = (key: Key) => Named;
type ByType = (type: string) => Named;

const BY_ID: Readonly<Partial<Record<Method, Byid>>> = {
  GET: (key) => ({
    name: 'read',
    action: 'read',
    run: (work, request) => (key.type === 'Binary' ? readBinary(work, request, key) : read(work, request, key)),
  }),
  PUT: (key) => ({ name: 'update', action: 'update', run: (work, request) => update(work, request, key) }),
  PATCH: (key) => ({ name: 'patch', action: 'update', run: (work, request) => patch(work, request, key) }),
  DELETE: (key) => ({ name: 'delete', action: 'delete', run: (work, request) => remove(work, request, key) }),
};

const BY_TYPE: Readonly<Partial<Record<Method, ByType>>> = {
  GET: (type) => ({ name: 'search-type', action: 'search', run: (work, request) => search(work, request, { type }) }),
  POST: (type) => ({ name: 'create', action: 'create', run: (work, request) => create(work, request, type) }),
  PUT: (type) => ({ name: 'update', action: 'update', run: (work, request) => conditionalUpdate(work, request, type) }),
  PATCH: (type) => ({ name: 'patch', action: 'update', run: (work, request) => conditionalPatch(work, request, type) }),
  DELETE: (type) => ({
    name: 'delete',
    action: 'delete',
    run: (work, request) => conditionalRemove(work, request, type),
  }),
};

const OPERATIONS = ['$mask', '$unmask', '$hide', '$release'];

/** The operations that explain, by name: on which types, and how they are recorded. rules.md O4. */
const EXPLANATIONS: Readonly<
  Record<string, { readonly types: readonly string[]; readonly named: (key: Key) => Named }>
> = {
  '$who-can-see': {
    types: EXPLAINED_TYPES,
    named: (key) => ({ name: 'operation', action: 'read', run: (work, asked) => whoCanSee(work, asked, key) }),
  },
  $explain: {
    types: ['AuditEvent'],
    named: (key) => ({ name: 'operation', action: 'read', run: (work, asked) => explainAccess(work, asked, key) }),
  },
  '$access-register': {
    types: ['Patient'],
    named: (key) => ({ name: 'operation', action: 'search', run: (work, asked) => accessRegister(work, asked, key) }),
  },
};

/** Every operation, by name, `$` included: what a log may say of an address. */
export const OPERATION_NAMES: readonly string[] = [
  ...OPERATIONS,
  ...Object.keys(EXPLANATIONS),
  '$notification-preferences',
  '$everything',
  '$evaluate',
  GENERATE_METADATA,
  '$validate',
];

const EVALUATION: Named = {
  name: 'operation',
  action: 'read',
  rehearse: evaluate,
  run: async () => malformed('an evaluation is asked on its own, not in a Bundle'),
};

/** Its bytes are stored aside before the unit begins, which a Bundle has no place for. */
const GENERATION: Named = {
  name: 'operation',
  action: 'create',
  run: async () => malformed('metadata are generated on their own, not in a Bundle'),
};
/** `$validate`, of a type or of one item: it reads, and writes nothing. */
const validation = (type: string, key: Key | undefined): Named => ({
  name: 'operation',
  action: 'read',
  run: (work, asked) => validate(work, asked, type, key),
});

const notFound = fail({ code: 'not-found' });
const notAllowed = (allow: string) =>
  fail({ code: 'method-not-allowed', text: 'this method is not for this address', allow });

/** The interaction that a request asks for. */
export function route(deps: Deps, request: FhirRequest): Result<Interaction> {
  const method: Method = request.method === 'HEAD' ? 'GET' : request.method;
  const [type, second, third, fourth, ...more] = request.path;
  if (type === undefined || !deps.declarations.has(type) || more.length > 0) return notFound;
  if (second === undefined) {
    const make = BY_TYPE[method];
    return make === undefined ? notAllowed(Object.keys(BY_TYPE).join(', ')) : ok({ ...make(type), type });
  }
  if (second === '_search' && third === undefined) {
    if (method !== 'POST') return notAllowed('POST');
    return ok({ name: 'search-type', action: 'search', type, run: (work, asked) => search(work, asked, { type }) });
  }
  if (type === 'Consent' && second === '$evaluate' && third === undefined) {
    return method === 'POST' ? ok({ ...EVALUATION, type }) : notAllowed('POST');
  }
  if (type === 'DocumentReference' && second === GENERATE_METADATA && third === undefined) {
    return method === 'POST' ? ok({ ...GENERATION, type }) : notAllowed('POST');
  }
  if (second === '$validate' && third === undefined) {
    return method === 'POST' ? ok({ ...validation(type, undefined), type }) : notAllowed('POST');
  }
  if (!ID.test(second)) return notFound;
  const key: Key = { type, id: second };
  const item = key;
  if (third === undefined) {
    const make = BY_ID[method];
    return make === undefined ? notAllowed(Object.keys(BY_ID).join(', ')) : ok({ ...make(key), type, item });
  }
  if (third === '_history') {
    if (method !== 'GET') return notAllowed('GET');
    if (fourth === undefined) {
      return ok({
        name: 'history-instance',
        action: 'read',
        type,
        item,
        run: (work, asked) => history(work, asked, key),
      });
    }
    if (!ID.test(fourth)) return notFound;
    return ok({
      name: 'vread',
      action: 'read',
      type,
      item,
      run: (work, asked) => vread(work, asked, { ...key, versionId: fourth }),
    });
  }
  if (third.startsWith('$') && fourth === undefined) return operation(method, key, third);
  if (type === 'Patient') return compartment(deps, method, key, [third, fourth]);
  return notFound;
}

function operation(method: Method, key: Key, name: string): Result<Interaction> {
  const common = { name: 'operation', type: key.type, item: key } as const;
  if (name === '$validate') {
    return method === 'POST' ? ok({ ...common, ...validation(key.type, key) }) : notAllowed('POST');
  }
  if (name === '$everything' && key.type === 'Patient') {
    if (method !== 'GET' && method !== 'POST') return notAllowed('GET, POST');
    return ok({ ...common, action: 'search', run: (work, asked) => everything(work, asked, key) });
  }
  if (name === '$notification-preferences' && key.type === 'Patient') {
    if (method !== 'GET' && method !== 'POST') return notAllowed('GET, POST');
    return ok({
      ...common,
      action: method === 'POST' ? 'update' : 'read',
      run: (work, asked) => notificationPreferences(work, asked, key),
    });
  }
  const explanation = EXPLANATIONS[name];
  if (explanation?.types.includes(key.type) === true) {
    if (method !== 'GET' && method !== 'POST') return notAllowed('GET, POST');
    return ok({ ...common, ...explanation.named(key) });
  }
  if (OPERATIONS.includes(name) && (LABELLED_TYPES as readonly string[]).includes(key.type)) {
    if (method !== 'POST') return notAllowed('POST');
    return ok({
      ...common,
      action: 'update',
      run: (work, asked) => labelOperation(work, asked, { key, operation: name }),
    });
  }
  return notFound;
}

/** `Patient/[id]/[type]`: a search within the space of one person. */
function compartment(
  deps: Deps,
  method: Method,
  key: Key,
  [type, last]: readonly [string, string | undefined],
): Result<Interaction> {
  if (!deps.declarations.has(type) || (last !== undefined && last !== '_search')) return notFound;
  if (method !== (last === undefined ? 'GET' : 'POST')) return notAllowed(last === undefined ? 'GET' : 'POST');
  return ok({
    name: 'search-type',
    action: 'search',
    type,
    item: key,
    run: (work, asked) => search(work, asked, { type, person: `Patient/${key.id}` }),
  });
}

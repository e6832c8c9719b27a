/**
 * FHIRPath (http://hl7.org/fhirpath/N1/), the part that search parameters are written in, compiled once into closures.
 *
 * Every path is compiled against the FHIR type it starts from, so that each leaf knows its type: what is indexed
 * depends on it (`(Condition.onset as dateTime)` is a date, `Condition.onset as Age` a quantity). A step that the type does not have,
 * and a construct that is not understood, is an error at start-up and never an empty result at run time.
 */
import type { Json, JsonObject } from './types.ts';

/** The type of an element. `system` is the implicit code system of a `code` with a required binding. */
export type ElementType = { readonly name: string; readonly system?: string };

/**
 * The elements that each type adds to its parent, which is under `^`: `Patient` → `birthDate` → `date`. A list of types is
 * a choice (`value[x]`), a name with a dot a backbone element (a key of this table itself), `code http://…` a code and
 * its implicit system.
 */
export type ElementTable = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

/** Visits every value that the path yields in `value`, in document order; duplicates of a union are visited twice. */
export type Walk<Out> = (value: JsonObject, resource: JsonObject, out: Out) => void;
/** What happens to one value; called with JSON of the leaf's type. */
export type Visit<Out> = (value: Json, resource: JsonObject, out: Out) => void;

export type Compiled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly text: string };

/** What a path is compiled for: `leaf` is called once for each static type that the path may yield, `undefined` skips it. */
export type PathTarget<Out> = {
  readonly expression: string;
  /** The FHIR type that the path starts from: `Patient`, `UsageContext`, `Observation.component`. */
  readonly from: ElementType;
  readonly elements: ElementTable;
  readonly leaf: (type: ElementType) => Visit<Out> | undefined;
};

class PathError extends Error {}

// ---- syntax -------------------------------------------------------------------------------------------------------

type Literal = string | number | boolean;
type Node =
  | { readonly op: 'this' }
  | { readonly op: 'literal'; readonly value: Literal }
  | { readonly op: 'member'; readonly on: Node | undefined; readonly name: string }
  | { readonly op: 'index'; readonly on: Node; readonly at: number }
  | { readonly op: 'type'; readonly on: Node; readonly name: string }
  | { readonly op: 'is'; readonly on: Node; readonly name: string }
  | { readonly op: 'where'; readonly on: Node; readonly that: Node }
  | { readonly op: 'extension'; readonly on: Node | undefined; readonly url: string }
  | { readonly op: 'resolve'; readonly on: Node }
  | { readonly op: 'exists' | 'empty' | 'not'; readonly on: Node }
  | { readonly op: 'union'; readonly of: readonly Node[] }
  | { readonly op: 'and' | 'or'; readonly left: Node; readonly right: Node }
  | { readonly op: '=' | '!='; readonly left: Node; readonly right: Node };

const TOKEN =
  /\s*(?:([A-Za-z_][A-Za-z0-9_]*)|(\$this)|`([^`]+)`|'((?:[^'\\]|\\.)*)'|(\d+(?:\.\d+)?)|(!=|[.|()[\],=]))/y;

type Token = { readonly kind: 'name' | 'this' | 'text' | 'number' | 'sign' | 'end'; readonly text: string };
const END: Token = { kind: 'end', text: 'end of expression' };

function tokens(expression: string): readonly Token[] {
  const found: Token[] = [];
  const text = expression.trimEnd();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const start = TOKEN.lastIndex;
    const m = TOKEN.exec(text);
    if (m === null) throw new PathError(`cannot read \`${text.slice(start, start + 20)}\``);
    const name = m[1] ?? m[3];
    if (name !== undefined) found.push({ kind: 'name', text: name });
    else if (m[2] !== undefined) found.push({ kind: 'this', text: m[2] });
    else if (m[4] !== undefined) found.push({ kind: 'text', text: m[4].replace(/\\(.)/g, '$1') });
    else if (m[5] !== undefined) found.push({ kind: 'number', text: m[5] });
    else found.push({ kind: 'sign', text: m[6] ?? '' });
  }
  return found;
}

/** Recursive descent, loosest first: `or`, `and`, `=`/`!=`, `|`, `is`/`as`, steps. */
function parse(expression: string): Node {
  const all = tokens(expression);
  let at = 0;
  const peek = (): Token => all[at] ?? END;
  const next = (): Token => {
    const t = peek();
    at += 1;
    return t;
  };
  const isSign = (text: string): boolean => peek().kind === 'sign' && peek().text === text;
  const isWord = (text: string): boolean => peek().kind === 'name' && peek().text === text;
  const take = (text: string): void => {
    const t = next();
    if (t.kind !== 'sign' || t.text !== text) throw new PathError(`expected \`${text}\`, found \`${t.text}\``);
  };
  const name = (): string => {
    const t = next();
    if (t.kind !== 'name') throw new PathError(`expected a name, found \`${t.text}\``);
    return t.text;
  };
  const typeName = (): string => {
    let read = name();
    // FHIR.Patient, System.String: the namespace says nothing more here.
    if ((read === 'FHIR' || read === 'System') && isSign('.')) {
      next();
      read = name();
    }
    return read;
  };

  const logical = (): Node => {
    let left = conjunction();
    while (isWord('or')) {
      next();
      left = { op: 'or', left, right: conjunction() };
    }
    return left;
  };
  const conjunction = (): Node => {
    let left = equality();
    while (isWord('and')) {
      next();
      left = { op: 'and', left, right: equality() };
    }
    return left;
  };
  const equality = (): Node => {
    const left = union();
    if (!isSign('=') && !isSign('!=')) return left;
    const op = next().text === '=' ? '=' : '!=';
    return { op, left, right: union() };
  };
  const union = (): Node => {
    const of = [typed()];
    while (isSign('|')) {
      next();
      of.push(typed());
    }
    const [only] = of;
    return of.length === 1 && only ? only : { op: 'union', of };
  };
  const typed = (): Node => {
    let on = steps();
    while (isWord('as') || isWord('is')) {
      const op = next().text === 'as' ? 'type' : 'is';
      on = { op, on, name: typeName() };
    }
    return on;
  };
  const steps = (): Node => {
    let on = primary();
    for (;;) {
      if (isSign('.')) {
        next();
        on = step(on);
      } else if (isSign('[')) {
        next();
        const t = next();
        if (t.kind !== 'number') throw new PathError(`an index must be a number, found \`${t.text}\``);
        take(']');
        on = { op: 'index', on, at: Number(t.text) };
      } else return on;
    }
  };
  const primary = (): Node => {
    const t = peek();
    if (t.kind === 'this') {
      next();
      return { op: 'this' };
    }
    if (t.kind === 'text' || t.kind === 'number') {
      next();
      return { op: 'literal', value: t.kind === 'text' ? t.text : Number(t.text) };
    }
    if (isSign('(')) {
      next();
      const inner = logical();
      take(')');
      return inner;
    }
    return step(undefined);
  };
  const step = (on: Node | undefined): Node => {
    const word = name();
    if (!isSign('(')) {
      if (on === undefined && (word === 'true' || word === 'false')) return { op: 'literal', value: word === 'true' };
      return { op: 'member', on, name: word };
    }
    next();
    const input: Node = on ?? { op: 'this' };
    const node = call(word, input);
    take(')');
    return node;
  };
  const call = (fn: string, on: Node): Node => {
    switch (fn) {
      case 'ofType':
      case 'as':
        return { op: 'type', on, name: typeName() };
      case 'is':
        return { op: 'is', on, name: typeName() };
      case 'where':
        return { op: 'where', on, that: logical() };
      case 'extension': {
        const t = next();
        if (t.kind !== 'text') throw new PathError('extension() needs a url in quotes');
        return { op: 'extension', on, url: t.text };
      }
      case 'resolve':
        return { op: 'resolve', on };
      case 'exists':
        return isSign(')') ? { op: 'exists', on } : { op: 'exists', on: { op: 'where', on, that: logical() } };
      case 'empty':
        return { op: 'empty', on };
      case 'not':
        return { op: 'not', on };
      case 'first':
        return { op: 'index', on, at: 0 };
      default:
        throw new PathError(`\`${fn}()\` is not supported`);
    }
  };

  const tree = logical();
  if (at < all.length) throw new PathError(`unexpected \`${peek().text}\``);
  return tree;
}

// ---- types --------------------------------------------------------------------------------------------------------

const readType = (text: string): ElementType => {
  const space = text.indexOf(' ');
  return space === -1 ? { name: text } : { name: text.slice(0, space), system: text.slice(space + 1) };
};

const capital = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
/** `ofType(DateTime)` of the R4 definitions means `dateTime`, and `System.String` a string: case of the first letter aside. */
const sameType = (a: string, b: string): boolean => a === b || capital(a) === capital(b);

const OPEN_RESOURCES: readonly string[] = ['Resource', 'DomainResource'];

const parentOf = (type: string, elements: ElementTable): string | undefined => {
  const parent = Object.hasOwn(elements, type) ? elements[type]?.['^'] : undefined;
  return typeof parent === 'string' ? parent : undefined;
};

/** Whether `type` is `Resource` or comes from it. */
export function isResourceType(type: string, elements: ElementTable): boolean {
  for (let t: string | undefined = type; t !== undefined; t = parentOf(t, elements)) if (t === 'Resource') return true;
  return false;
}

/** What the table says about an element of a type or of its parents. */
function declared(type: string, name: string, elements: ElementTable): string | readonly string[] | undefined {
  for (let t: string | undefined = type; t !== undefined; t = parentOf(t, elements)) {
    const own = Object.hasOwn(elements, t) ? elements[t] : undefined;
    if (own !== undefined && name !== '^' && Object.hasOwn(own, name)) return own[name];
  }
  return undefined;
}

type Place = { readonly key: string; readonly type: ElementType };

function member(type: ElementType, name: string, elements: ElementTable): readonly Place[] {
  const found = declared(type.name, name, elements);
  if (found === undefined) throw new PathError(`\`${type.name}\` has no element \`${name}\``);
  if (typeof found === 'string') return [{ key: name, type: readType(found) }];
  return found.map((t) => {
    const of = readType(t);
    return { key: `${name}${capital(of.name)}`, type: of };
  });
}

// ---- closures -----------------------------------------------------------------------------------------------------

/** What follows a step, for a value of one static type; `undefined` when nothing can come of it. */
type Next<Out> = (type: ElementType) => Visit<Out> | undefined;

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function each<Out>(key: string, then: Visit<Out>): Visit<Out> {
  return (value, resource, out) => {
    if (!isObject(value)) return;
    const found = value[key];
    if (found === undefined || found === null) return;
    // INVARIANT: Array.isArray does not narrow a readonly array; every element of it is Json.
    if (Array.isArray(found)) for (const one of found as readonly Json[]) then(one, resource, out);
    else then(found, resource, out);
  };
}

function both<Out>(visits: readonly (Visit<Out> | undefined)[]): Visit<Out> | undefined {
  const kept = visits.filter((v) => v !== undefined);
  const [first, second] = kept;
  if (first === undefined) return undefined;
  if (second === undefined) return first;
  return (value, resource, out) => {
    for (const visit of kept) visit(value, resource, out);
  };
}

type Context = { readonly elements: ElementTable };

function build<Out>(node: Node, from: ElementType, next: Next<Out>, context: Context): Visit<Out> | undefined {
  switch (node.op) {
    case 'this':
      return next(from);
    case 'union':
      return both(node.of.map((n) => build(n, from, next, context)));
    case 'member': {
      if (node.on === undefined && /^[A-Z]/.test(node.name)) return rooted(node.name, from, next, context);
      const name = node.name;
      const onward: Next<Out> = (type) =>
        both(
          member(type, name, context.elements).map((place) => {
            const then = next(place.type);
            return then === undefined ? undefined : each(place.key, then);
          }),
        );
      return node.on === undefined ? onward(from) : build(node.on, from, onward, context);
    }
    case 'type': {
      const wanted = node.name;
      return build(node.on, from, (type) => narrowed(type, wanted, next, context), context);
    }
    case 'where': {
      const that = node.that;
      return build(
        node.on,
        from,
        (type) => {
          const then = next(type);
          if (then === undefined) return undefined;
          const holds = condition(that, type, context);
          return (value, resource, out) => {
            if (holds(value, resource) === true) then(value, resource, out);
          };
        },
        context,
      );
    }
    case 'extension': {
      const url = node.url;
      const onward: Next<Out> = () => {
        const then = next({ name: 'Extension' });
        if (then === undefined) return undefined;
        return each<Out>('extension', (value, resource, out) => {
          if (isObject(value) && value['url'] === url) then(value, resource, out);
        });
      };
      return node.on === undefined ? onward(from) : build(node.on, from, onward, context);
    }
    case 'index':
      return indexed(node, from, next, context);
    case 'literal':
    case 'is':
    case 'exists':
    case 'empty':
    case 'not':
    case 'and':
    case 'or':
    case '=':
    case '!=': {
      const then = next({ name: 'boolean' });
      if (then === undefined) return undefined;
      const holds = condition(node, from, context);
      return (value, resource, out) => {
        const truth = holds(value, resource);
        if (truth !== undefined) then(truth, resource, out);
      };
    }
    case 'resolve':
      return build(node.on, from, (type) => containedOnly(type, next), context);
    default:
      return never(node);
  }
}

/** `resolve()` looks inside the resource alone: what is contained belongs to it, anything else is another resource's to show. */
function containedOnly<Out>(type: ElementType, next: Next<Out>): Visit<Out> | undefined {
  if (type.name !== 'Reference') throw new PathError('`resolve()` is of a Reference');
  const then = next({ name: 'Resource' });
  if (then === undefined) return undefined;
  return (value, resource, out) => {
    const text = isObject(value) ? value['reference'] : undefined;
    if (typeof text !== 'string' || !text.startsWith('#')) return;
    each<Out>('contained', (one, _container, sink) => {
      if (isObject(one) && `#${String(one['id'])}` === text) then(one, resource, sink);
    })(resource, resource, out);
  };
}

/** A path that begins with a type: nothing comes of it in a resource of another type. */
function rooted<Out>(name: string, from: ElementType, next: Next<Out>, context: Context): Visit<Out> | undefined {
  if (!isResourceType(name, context.elements)) throw new PathError(`\`${name}\` is not a resource type`);
  return name === from.name || OPEN_RESOURCES.includes(name) ? next(from) : undefined;
}

function narrowed<Out>(type: ElementType, wanted: string, next: Next<Out>, context: Context): Visit<Out> | undefined {
  if (sameType(type.name, wanted)) return next(type);
  if (!OPEN_RESOURCES.includes(type.name) || !isResourceType(wanted, context.elements)) return undefined;
  const then = next({ name: wanted });
  if (then === undefined) return undefined;
  return (value, resource, out) => {
    if (isObject(value) && value['resourceType'] === wanted) then(value, resource, out);
  };
}

/** `[n]` counts over the whole collection, so what comes before is gathered first. */
function indexed<Out>(
  node: Extract<Node, { op: 'index' }>,
  from: ElementType,
  next: Next<Out>,
  context: Context,
): Visit<Out> | undefined {
  type Gathered = { readonly value: Json; readonly then: Visit<Out> | undefined };
  const gather = build<Gathered[]>(
    node.on,
    from,
    (type) => {
      const then = next(type);
      return (value, _resource, found) => {
        found.push({ value, then });
      };
    },
    context,
  );
  if (gather === undefined) return undefined;
  return (value, resource, out) => {
    const found: Gathered[] = [];
    gather(value, resource, found);
    const one = found[node.at];
    one?.then?.(one.value, resource, out);
  };
}

/** Three-valued: `undefined` is FHIRPath's empty. */
type Condition = (value: Json, resource: JsonObject) => boolean | undefined;

/** The values of `node`, gathered. */
function gatherer(node: Node, from: ElementType, context: Context): (value: Json, resource: JsonObject) => Json[] {
  if (node.op === 'literal') {
    const { value } = node;
    return () => [value];
  }
  const visit = build<Json[]>(
    node,
    from,
    () => (value, _resource, out) => {
      out.push(value);
    },
    context,
  );
  return (value, resource) => {
    const found: Json[] = [];
    visit?.(value, resource, found);
    return found;
  };
}

function condition(node: Node, from: ElementType, context: Context): Condition {
  switch (node.op) {
    case 'and':
    case 'or': {
      const left = condition(node.left, from, context);
      const right = condition(node.right, from, context);
      // The value that decides alone: false for `and`, true for `or`.
      const decisive = node.op === 'or';
      return (value, resource) => {
        const l = left(value, resource);
        if (l === decisive) return decisive;
        const r = right(value, resource);
        if (r === decisive) return decisive;
        return l === undefined || r === undefined ? undefined : !decisive;
      };
    }
    case 'not': {
      const inner = condition(node.on, from, context);
      return (value, resource) => {
        const truth = inner(value, resource);
        return truth === undefined ? undefined : !truth;
      };
    }
    case 'exists':
    case 'empty': {
      const gather = gatherer(node.on, from, context);
      const wanted = node.op === 'exists';
      return (value, resource) => gather(value, resource).length > 0 === wanted;
    }
    case '=':
    case '!=': {
      const left = gatherer(node.left, from, context);
      const right = gatherer(node.right, from, context);
      const wanted = node.op === '=';
      return (value, resource) => {
        const l = left(value, resource);
        const r = right(value, resource);
        if (l.length === 0 || r.length === 0) return undefined;
        return (l.length === r.length && l.every((one, i) => one === r[i])) === wanted;
      };
    }
    case 'is':
      return typeTest(node, from, context);
    default: {
      const gather = gatherer(node, from, context);
      return (value, resource) => {
        const found = gather(value, resource);
        const [only] = found;
        return found.length === 0 ? undefined : found.length === 1 && typeof only === 'boolean' ? only : true;
      };
    }
  }
}

function typeTest(node: Extract<Node, { op: 'is' }>, from: ElementType, context: Context): Condition {
  const wanted = node.name;
  if (node.on.op === 'resolve') {
    const gather = gatherer(node.on.on, from, context);
    return (value, resource) => {
      const found = gather(value, resource);
      const [only] = found;
      return found.length === 1 && only !== undefined ? targetType(only, resource) === wanted : undefined;
    };
  }
  const visit = build<string[]>(
    node.on,
    from,
    (type) => (value, _resource, out) => {
      const dynamic = isObject(value) && OPEN_RESOURCES.includes(type.name) ? value['resourceType'] : undefined;
      out.push(typeof dynamic === 'string' ? dynamic : type.name);
    },
    context,
  );
  return (value, resource) => {
    const found: string[] = [];
    visit?.(value, resource, found);
    const [only] = found;
    return only === undefined ? undefined : found.length === 1 && sameType(only, wanted);
  };
}

/**
 * The type of what a reference names, without looking it up: a contained resource, the type in the literal, the declared
 * `type`. https://hl7.org/fhir/R4/references.html#Reference
 */
export function targetType(reference: Json, resource: JsonObject): string | undefined {
  const literal = typeof reference === 'string' ? reference : isObject(reference) ? reference['reference'] : undefined;
  if (typeof literal === 'string') {
    if (literal.startsWith('#')) {
      const contained = resource['contained'];
      const id = literal.slice(1);
      if (id === '') return typeof resource['resourceType'] === 'string' ? resource['resourceType'] : undefined;
      if (!Array.isArray(contained)) return undefined;
      // INVARIANT: Array.isArray does not narrow a readonly array; every element of it is Json.
      const found = (contained as readonly Json[]).find((c) => isObject(c) && c['id'] === id);
      const type = isObject(found) ? found['resourceType'] : undefined;
      return typeof type === 'string' ? type : undefined;
    }
    const named = LITERAL_TYPE.exec(literal)?.[1];
    if (named !== undefined) return named;
  }
  const declared = isObject(reference) ? reference['type'] : undefined;
  return typeof declared === 'string' ? declared : undefined;
}

/** `…/Patient/1`, `…/Patient/1/_history/2`, and the conditional `Patient?identifier=…` of a transaction. */
const LITERAL_TYPE = /(?:^|\/)([A-Z][A-Za-z]+)(?:\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[A-Za-z0-9\-.]{1,64})?|\?.*)$/s;

const never = (node: never): never => {
  throw new Error(`unreachable: ${JSON.stringify(node)}`);
};

/** Compiles a path for a type. The text of a failure says which construct or element is at fault. */
export function compilePath<Out>(target: PathTarget<Out>): Compiled<Walk<Out>> {
  try {
    const visit = build(parse(target.expression), target.from, target.leaf, { elements: target.elements });
    return { ok: true, value: visit ?? (() => {}) };
  } catch (error) {
    if (error instanceof PathError) return { ok: false, text: error.message };
    throw error;
  }
}

/**
 * Whether a history of concurrent operations could have come from one thing that does them one at a time (Herlihy and Wing 1990,
 * "Linearizability"). The search is Wing and Gong's with Lowe's memory of configurations ("Testing for linearizability", 2017).
 */

/** One operation as its client saw it; instants are of one monotonic clock. */
export type Operation<I, O> = {
  readonly input: I;
  /** Absent: the client never learnt what became of it. */
  readonly output: O | undefined;
  readonly invoked: number;
  /** Infinity when the client never learnt what became of it. */
  readonly completed: number;
};

/** The thing as it would be with one client. */
export type Model<S, I, O> = {
  readonly initial: S;
  /** The state after the operation, `undefined` when it cannot have had this output in this state; without an output, what it does. */
  readonly step: (state: S, input: I, output: O | undefined) => S | undefined;
  /** Equal for equal states. */
  readonly key: (state: S) => string;
};

export type Verdict<I, O> =
  | { readonly linearizable: true; readonly order: readonly Operation<I, O>[] }
  | {
      readonly linearizable: false;
      /** The longest order that was found, and the operation that completed then and fits nowhere. */
      readonly order: readonly Operation<I, O>[];
      readonly stuck: Operation<I, O>;
    };

/** A call or a return in a list from which both of an operation are taken out while it stands in the order. */
type Event = { readonly id: number; readonly returns: boolean; previous: Event | undefined; next: Event | undefined };

/** Looks for an order of the whole history that respects real time and the model. */
export function linearize<S, I, O>(history: readonly Operation<I, O>[], model: Model<S, I, O>): Verdict<I, O> {
  const operations = history.toSorted((a, b) => a.invoked - b.invoked);
  const at = (id: number): Operation<I, O> => operations[id]!;
  const head = listOf(operations);
  const returns = new Map<number, Event>();
  for (let event = head.next; event !== undefined; event = event.next) if (event.returns) returns.set(event.id, event);

  const placed: boolean[] = operations.map(() => false);
  const tried = new Set<string>();
  const order: { readonly call: Event; readonly state: S; readonly highest: number }[] = [];
  let state = model.initial;
  let highest = -1;
  let best: { readonly order: readonly Operation<I, O>[]; readonly stuck: Operation<I, O> } | undefined;

  /** What is placed, and the state: all operations before the first in the list are placed, so that few need be named. */
  const configuration = (): string => {
    const first = head.next?.id ?? operations.length;
    let text = `${first}`;
    for (let id = first + 1; id <= highest; id += 1) if (placed[id]) text += `,${id}`;
    return `${text} ${model.key(state)}`;
  };

  let event = head.next;
  while (event !== undefined && head.next !== undefined) {
    if (!event.returns) {
      const { input, output } = at(event.id);
      const next = model.step(state, input, output);
      if (next !== undefined) {
        const before = { call: event, state, highest };
        state = next;
        highest = Math.max(highest, event.id);
        placed[event.id] = true;
        take(event);
        take(returns.get(event.id)!);
        const here = configuration();
        if (!tried.has(here)) {
          tried.add(here);
          order.push(before);
          event = head.next;
          continue;
        }
        putBack(returns.get(event.id)!);
        putBack(event);
        placed[event.id] = false;
        ({ state, highest } = before);
      }
      event = event.next;
      continue;
    }
    // An operation has returned and stands nowhere yet: the last one placed was placed wrongly.
    if (best === undefined || order.length > best.order.length)
      best = { order: order.map(({ call }) => at(call.id)), stuck: at(event.id) };
    const last = order.pop();
    if (last === undefined) return { linearizable: false, ...best };
    putBack(returns.get(last.call.id)!);
    putBack(last.call);
    placed[last.call.id] = false;
    ({ state, highest } = last);
    event = last.call.next;
  }
  return { linearizable: true, order: order.map(({ call }) => at(call.id)) };
}

/** Calls and returns in the order of time; at one instant calls come first, so that the operations overlap. */
function listOf<I, O>(operations: readonly Operation<I, O>[]): Event {
  const events = operations
    .flatMap(({ invoked, completed }, id) => [
      { time: invoked, id, returns: false },
      { time: completed, id, returns: true },
    ])
    .sort((a, b) => (a.time === b.time ? Number(a.returns) - Number(b.returns) || a.id - b.id : a.time - b.time));
  const head: Event = { id: -1, returns: false, previous: undefined, next: undefined };
  let last = head;
  for (const { id, returns } of events) {
    const event: Event = { id, returns, previous: last, next: undefined };
    last.next = event;
    last = event;
  }
  return head;
}

function take(event: Event): void {
  if (event.previous !== undefined) event.previous.next = event.next;
  if (event.next !== undefined) event.next.previous = event.previous;
}

function putBack(event: Event): void {
  if (event.previous !== undefined) event.previous.next = event;
  if (event.next !== undefined) event.next.previous = event;
}

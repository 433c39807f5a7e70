/** Visits every state that a model can reach, breadth first, so that the first violation found has the shortest way to it. */
import { hash } from 'node:crypto';

export interface Step<State> {
  /** The event, in words. */
  readonly event: string;
  readonly state: State;
}

export interface Model<State> {
  readonly initial: State;
  /** All that can happen next. */
  readonly next: (state: State) => Iterable<Step<State>>;
  /** States with the same text are one state. */
  readonly textOf: (state: State) => string;
  /** The property that the state violates, in words, or `undefined`. */
  readonly violation: (state: State) => string | undefined;
}

export interface Exploration {
  readonly states: number;
  /** Whether every reachable state was visited. */
  readonly isComplete: boolean;
  readonly violation?: string;
  /** The events from the initial state to the violation. */
  readonly trace: readonly string[];
  /** The notes that were seen in any state. */
  readonly seen: ReadonlySet<string>;
}

/** How a state was reached first. Millions are kept, so they do not hold their states. */
interface Way {
  readonly event: string;
  readonly from: Way | undefined;
}

interface Visited<State> {
  readonly state: State;
  readonly way: Way | undefined;
}

export function explore<State>(
  { initial, next, textOf, violation }: Model<State>,
  { maxStates, noteOf }: { maxStates: number; noteOf: (state: State) => readonly string[] },
): Exploration {
  // A hash of 160 bits instead of the text: no two of some million texts share one by chance, and a text takes 20 times as much.
  const nameOf = (state: State) => hash('sha1', textOf(state), 'binary');
  const known = new Set([nameOf(initial)]);
  const seen = new Set<string>();
  let frontier: Visited<State>[] = [{ state: initial, way: undefined }];
  while (frontier.length > 0) {
    const following: Visited<State>[] = [];
    for (const { state: from, way } of frontier) {
      noteOf(from).forEach((note) => seen.add(note));
      const found = violation(from);
      if (found !== undefined) {
        return { states: known.size, isComplete: false, violation: found, trace: traceOf(way), seen };
      }
      for (const { event, state } of next(from)) {
        const name = nameOf(state);
        if (!known.has(name)) {
          if (known.size >= maxStates) {
            return { states: known.size, isComplete: false, trace: [], seen };
          }
          known.add(name);
          following.push({ state, way: { event, from: way } });
        }
      }
    }
    frontier = following;
  }
  return { states: known.size, isComplete: true, trace: [], seen };
}

function traceOf(way: Way | undefined): string[] {
  const events: string[] = [];
  for (let at = way; at; at = at.from) {
    events.unshift(at.event);
  }
  return events;
}

/** Visits every state that a model can reach, breadth first, so that the first violation found has the shortest way to it. */

export interface Step<State> {
  /** The event, in words. */
  readonly event: string;
  readonly state: State;
}

export interface Model<State> {
  readonly initial: State;
  /** All that can happen next. A state that equals another has the same JSON text. */
  readonly next: (state: State) => Iterable<Step<State>>;
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

interface Visited<State> {
  readonly state: State;
  readonly event: string;
  readonly from: Visited<State> | undefined;
}

export function explore<State>(
  { initial, next, violation }: Model<State>,
  { maxStates, noteOf }: { maxStates: number; noteOf: (state: State) => readonly string[] },
): Exploration {
  const known = new Set([JSON.stringify(initial)]);
  const seen = new Set<string>();
  let frontier: Visited<State>[] = [{ state: initial, event: 'start', from: undefined }];
  while (frontier.length > 0) {
    const following: Visited<State>[] = [];
    for (const visited of frontier) {
      noteOf(visited.state).forEach((note) => seen.add(note));
      const found = violation(visited.state);
      if (found !== undefined) {
        return { states: known.size, isComplete: false, violation: found, trace: traceOf(visited), seen };
      }
      for (const { event, state } of next(visited.state)) {
        const key = JSON.stringify(state);
        if (!known.has(key)) {
          if (known.size >= maxStates) {
            return { states: known.size, isComplete: false, trace: [], seen };
          }
          known.add(key);
          following.push({ state, event, from: visited });
        }
      }
    }
    frontier = following;
  }
  return { states: known.size, isComplete: true, trace: [], seen };
}

function traceOf<State>(visited: Visited<State>): string[] {
  const events: string[] = [];
  for (let at: Visited<State> | undefined = visited; at?.from; at = at.from) {
    events.unshift(at.event);
  }
  return events;
}

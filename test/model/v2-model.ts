/**
 * The state machines of docs/protocol-v2.md, with symbols for cryptography: a datagram that verifies is known by its contents, and an
 * attacker can make none but AGAIN.
 *
 * The network is the attacker: it keeps every datagram that was ever sent, and delivers any of them at any time, any number of times,
 * or never. That covers loss, copies, another order, replay and delay. Retransmission needs no event, because a copy changes nothing.
 *
 * Time passes in ticks. A device may call, wait and give up at any moment, so the model has no timeouts.
 *
 * A state keeps nothing that can't have an effect any more (`forget`), because two states that differ in that alone are one.
 */
import type { Model, Step } from './explore.js';

/** Each is a fault if it is set. The first ones are those of the first proposal. */
export interface Faults {
  /** AGAIN in answer to REQ1 means that nothing ran. */
  readonly firstAgainIsBelieved?: boolean;
  /** AGAIN in answer to REQ means that nothing ran. */
  readonly againIsBelieved?: boolean;
  /** The device does not compare `quiet` with the age of its request. */
  readonly quietIsNotCompared?: boolean;
  /** The device repeats a REQ1 too, if `quiet` allows it. */
  readonly firstIsRepeated?: boolean;
  /** A session may be evicted at any time. */
  readonly evictsEarly?: boolean;
  /** A cookie outlives an evicted session. */
  readonly cookiesAreLong?: boolean;
  /** The secret of the cookies survives a restart. */
  readonly secretSurvives?: boolean;
  /** A refused number is not used up. */
  readonly refusalIsForgotten?: boolean;
  /** The server accepts the last number again. */
  readonly repeatsRun?: boolean;
  /** The server does not compare the tag of the last request, so it answers another one with the kept reply. */
  readonly tagsAreNotCompared?: boolean;
  /** The device saves its number after the datagram has left. */
  readonly savesLate?: boolean;
  /** The device saves a session before its first reply. */
  readonly savesEarly?: boolean;
  /** After an exception the device goes on with a session whose first request was not answered. */
  readonly keepsUnanswered?: boolean;
  /** The tag of a reply does not cover its request and not its number. */
  readonly repliesAreUnbound?: boolean;
  /** The tag of a reply covers its number, but not its request. */
  readonly repliesBindNumberAlone?: boolean;
}

export interface Bounds {
  readonly calls: number;
  readonly openings: number;
  readonly restarts: number;
  /** Crashes of the device, and exceptions that end a call. */
  readonly crashes: number;
  readonly ticks: number;
}

/** `over` is the result of an earlier call, if it does not matter any more which one it was. */
type Result = 'open' | 'ok' | 'unknown' | 'not run' | 'crashed' | 'interrupted' | 'over';

interface Session {
  /** Opening, process and tick of the GRANT: they decide its keys. */
  readonly name: string;
  readonly ctr: number;
  readonly call: number;
  readonly isRunning: boolean;
  readonly isRefused: boolean;
  readonly lastAt: number;
}

interface Request {
  readonly session: string;
  readonly ctr: number;
  readonly call: number;
}

interface Reply extends Request {
  readonly isRefusal: boolean;
}

interface Execution {
  /** `null` if the number can't run again. */
  readonly session: string | null;
  readonly ctr: number;
  readonly call: number;
}

interface Grant {
  readonly session: string;
  readonly quiet: number | 'alive';
}

interface Device {
  readonly phase: 'idle' | 'opening' | 'waiting' | 'asking';
  readonly session: string | null;
  readonly ctr: number;
  readonly sentAt: number;
  readonly hasAsked: boolean;
  readonly wasRefused: boolean;
  readonly saved: { readonly session: string; readonly ctr: number } | null;
}

export interface State {
  readonly tick: number;
  readonly process: number;
  readonly startedAt: number;
  readonly isClosing: boolean;
  readonly crashes: number;
  /** Number of the last opening. GRANTs of older ones are ignored, so they are not kept. */
  readonly opening: number;
  readonly old: string | null;
  readonly grants: readonly Grant[];
  readonly device: Device;
  readonly sessions: readonly Session[];
  readonly requests: readonly Request[];
  readonly replies: readonly Reply[];
  readonly executed: readonly Execution[];
  readonly results: readonly Result[];
  /** The call whose reply was taken for that of another one. */
  readonly mistaken: string | null;
}

const COOKIE_TICKS = 1;
const QUIET_TICKS = 2;
const LONG_COOKIE_TICKS = 4;

const NO_SESSION = { session: null, ctr: 0, sentAt: 0, hasAsked: false, wasRefused: false } as const;

const INITIAL: State = {
  tick: 0,
  process: 0,
  startedAt: 0,
  isClosing: false,
  crashes: 0,
  opening: 0,
  old: null,
  grants: [],
  device: { phase: 'idle', ...NO_SESSION, saved: null },
  sessions: [],
  requests: [],
  replies: [],
  executed: [],
  results: [],
  mistaken: null,
};

/** The texts of parts of states, which never change, and are compared often. */
const texts = new WeakMap<object, string>();

function textOf(part: object): string {
  const known = texts.get(part);
  if (known !== undefined) {
    return known;
  }
  const text = JSON.stringify(part);
  texts.set(part, text);
  return text;
}

/** A list as a set: sorted, without doubles. So states that differ by order alone are one state. */
function include<Item extends object>(items: readonly Item[], item: Item): readonly Item[] {
  const text = textOf(item);
  return items.some((each) => textOf(each) === text) ? items : sort([...items, item]);
}

function sort<Item extends object>(items: readonly Item[]): readonly Item[] {
  return items.toSorted((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
}

function isExpired(session: string, state: State, faults: Faults): boolean {
  const [, process, slot] = session.split('.').map(Number) as [number, number, number];
  const isOwn = process === state.process || faults.secretSurvives === true;
  const limit = faults.cookiesAreLong ? LONG_COOKIE_TICKS : COOKIE_TICKS;
  return !isOwn || state.tick - slot > limit;
}

/**
 * @param isForgetful whether states keep nothing without effect. Without it there are many more states, and the same ways to a violation.
 */
export function createModel(faults: Faults, bounds: Bounds, isForgetful = true): Model<State> {
  return {
    initial: INITIAL,
    *next(state) {
      for (const { event, state: following } of allSteps(state)) {
        yield { event, state: isForgetful ? forget(following, faults, bounds) : following };
      }
    },
    textOf: (state) => JSON.stringify(state),
    violation,
  };

  function* allSteps(state: State): Iterable<Step<State>> {
    yield* passTime(state);
    yield* stepServer(state);
    yield* stepDevice(state);
  }

  function* passTime(state: State): Iterable<Step<State>> {
    if (state.tick < bounds.ticks) {
      yield { event: 'a tick passes', state: { ...state, tick: state.tick + 1 } };
    }
    if (state.process < bounds.restarts) {
      const stopped = { ...state, sessions: [], isClosing: false };
      yield {
        event: 'the server restarts',
        state: { ...stopped, process: state.process + 1, startedAt: state.tick },
      };
      if (!state.isClosing) {
        yield { event: 'the server begins to close', state: { ...state, isClosing: true } };
      }
    }
    if (state.crashes < bounds.crashes) {
      yield { event: 'the device crashes', state: crash(state) };
      if (state.device.phase !== 'idle') {
        yield { event: 'an exception ends the call', state: interrupt(state) };
      }
    }
  }

  function* stepServer(state: State): Iterable<Step<State>> {
    const { phase } = state.device;
    if ((phase === 'opening' || phase === 'asking') && !state.isClosing) {
      const grant = { session: `${state.opening}.${state.process}.${state.tick}`, quiet: quietOf(state) };
      yield {
        event: `GRANT ${grant.session}, quiet ${grant.quiet}`,
        state: { ...state, grants: include(state.grants, grant) },
      };
    }
    for (const request of state.requests) {
      yield* receive(state, request);
    }
    for (const session of state.sessions) {
      const others = state.sessions.filter(({ name }) => name !== session.name);
      if (session.isRunning) {
        const { name, ctr, call } = session;
        yield {
          event: `the handler of call ${call} ends`,
          state: {
            ...state,
            sessions: sort([...others, { ...session, isRunning: false }]),
            replies: include(state.replies, { session: name, ctr, call, isRefusal: false }),
          },
        };
      } else if (faults.evictsEarly || state.tick - session.lastAt >= QUIET_TICKS) {
        yield { event: `session ${session.name} is evicted`, state: { ...state, sessions: others } };
      }
    }
  }

  function quietOf(state: State): Grant['quiet'] {
    if (state.old === null) {
      return 0;
    }
    const isAlive = state.sessions.some(({ name }) => name === state.old);
    return isAlive ? 'alive' : Math.min(QUIET_TICKS, state.tick - state.startedAt);
  }

  function* receive(state: State, request: Request): Iterable<Step<State>> {
    const { session: name, ctr, call } = request;
    const session = state.sessions.find((each) => each.name === name);
    if (ctr === 1 ? isExpired(name, state, faults) : !session) {
      return;
    }
    if (session && ctr <= session.ctr && !(ctr === session.ctr && faults.repeatsRun)) {
      // A kept reply was sent before, so sending it again changes nothing. But it would answer another request here:
      if (ctr === session.ctr && call !== session.call && faults.tagsAreNotCompared && !session.isRunning) {
        const kept = { session: name, ctr, call: session.call, isRefusal: session.isRefused };
        yield {
          event: `the reply to call ${session.call} for call ${call}`,
          state: { ...state, replies: include(state.replies, kept) },
        };
      }
      return;
    }
    const others = state.sessions.filter((each) => each.name !== name);
    const used = { name, ctr, call, lastAt: state.tick };
    // A late REQ is refused. How late it is does not matter here: any may be.
    if (state.isClosing || session) {
      const burnt =
        session && !faults.refusalIsForgotten
          ? sort([...others, { ...used, isRunning: false, isRefused: true }])
          : state.sessions;
      yield {
        event: `${name} ${ctr} of call ${call} is refused`,
        state: { ...state, sessions: burnt, replies: include(state.replies, { ...request, isRefusal: true }) },
      };
    }
    if (!state.isClosing) {
      yield {
        event: `${name} ${ctr} of call ${call} is executed`,
        state: {
          ...state,
          sessions: sort([...others, { ...used, isRunning: true, isRefused: false }]),
          executed: sort([...state.executed, request]),
        },
      };
    }
  }

  function* stepDevice(state: State): Iterable<Step<State>> {
    const { device } = state;
    const call = state.results.length;
    switch (device.phase) {
      case 'idle':
        if (call < bounds.calls) {
          yield* startCall({ ...state, results: [...state.results, 'open'] });
        }
        break;
      case 'opening':
        for (const { session } of state.grants) {
          yield { event: `the device takes ${session}, sends REQ1 of call ${call}`, state: sendFirst(state, session) };
        }
        yield { event: `call ${call}: no GRANT`, state: end(state, 'not run') };
        break;
      case 'waiting':
        for (const reply of state.replies) {
          yield* takeReply(state, reply);
        }
        yield* takeAgain(state);
        yield { event: `call ${call}: no reply`, state: end(state, 'unknown') };
        break;
      case 'asking':
        for (const reply of state.replies) {
          yield* takeReply(state, reply);
        }
        for (const grant of state.grants) {
          yield { event: `the device reads quiet ${grant.quiet}`, state: takeQuiet(state, grant) };
        }
        yield { event: `call ${call}: no answer to the question`, state: end(state, 'unknown') };
        break;
    }
  }

  function* startCall(state: State): Iterable<Step<State>> {
    const { device } = state;
    const call = state.results.length;
    if (device.session === null) {
      yield* open(state, null, `call ${call}: OPEN`);
      return;
    }
    const { session } = device;
    const ctr = device.ctr + 1;
    const sent = {
      ...state,
      device: {
        ...device,
        phase: 'waiting',
        ctr,
        sentAt: state.tick,
        hasAsked: false,
        wasRefused: false,
        saved: { session, ctr },
      },
      requests: include(state.requests, { session, ctr, call }),
    } as const;
    yield { event: `call ${call}: REQ ${session} ${ctr}`, state: sent };
    if (faults.savesLate && state.crashes < bounds.crashes) {
      const unsaved = { ...sent, device: { ...sent.device, saved: device.saved } };
      yield { event: `call ${call}: REQ ${session} ${ctr}, and a crash before it is saved`, state: crash(unsaved) };
    }
  }

  function* open(state: State, old: string | null, event: string): Iterable<Step<State>> {
    if (state.opening < bounds.openings) {
      const phase = old === null ? 'opening' : 'asking';
      const device: Device =
        old === null
          ? { ...state.device, ...NO_SESSION, wasRefused: state.device.wasRefused, saved: null, phase }
          : { ...state.device, phase };
      yield { event, state: { ...state, device, opening: state.opening + 1, old, grants: [] } };
    }
  }

  function sendFirst(state: State, session: string): State {
    const saved = faults.savesEarly ? { session, ctr: 1 } : null;
    return {
      ...state,
      device: { ...state.device, phase: 'waiting', session, ctr: 1, sentAt: state.tick, hasAsked: false, saved },
      requests: include(state.requests, { session, ctr: 1, call: state.results.length }),
      old: null,
      grants: [],
    };
  }

  function* takeReply(state: State, reply: Reply): Iterable<Step<State>> {
    const { device } = state;
    const call = state.results.length;
    const isBound = reply.ctr === device.ctr && (reply.call === call || faults.repliesBindNumberAlone);
    if (reply.session !== device.session || !(isBound || faults.repliesAreUnbound)) {
      return;
    }
    if (reply.isRefusal && !device.wasRefused) {
      yield* open({ ...state, device: { ...device, wasRefused: true } }, null, `call ${call} is refused: OPEN`);
      return;
    }
    if (reply.isRefusal) {
      yield { event: `call ${call} is refused again`, state: end(state, 'not run') };
      return;
    }
    const { session, ctr } = device;
    const isOwn = reply.call === call;
    yield {
      event: `call ${call} returns the reply to call ${reply.call}`,
      state: {
        ...state,
        device: { ...device, phase: 'idle', saved: { session, ctr }, sentAt: 0, hasAsked: false, wasRefused: false },
        results: [...state.results.slice(0, -1), 'ok'],
        old: null,
        grants: [],
        mistaken: isOwn ? state.mistaken : `call ${call} took the reply to call ${reply.call}`,
      },
    };
  }

  function* takeAgain(state: State): Iterable<Step<State>> {
    const { device } = state;
    const isFirst = device.ctr === 1;
    const call = state.results.length;
    if (isFirst ? faults.firstAgainIsBelieved : faults.againIsBelieved) {
      yield* open(state, null, `call ${call}: AGAIN is believed, OPEN`);
    } else if ((!isFirst || faults.firstIsRepeated) && !device.hasAsked) {
      yield* open(state, device.session, `call ${call}: AGAIN, OPEN asks for ${device.session}`);
    }
  }

  function takeQuiet(state: State, { session, quiet }: Grant): State {
    const { device, tick } = state;
    if (quiet === 'alive') {
      return { ...state, device: { ...device, phase: 'waiting', hasAsked: true }, old: null, grants: [] };
    }
    if (faults.quietIsNotCompared || quiet >= tick - device.sentAt + 1) {
      return sendFirst(state, session);
    }
    return end(state, 'unknown');
  }

  function end(state: State, result: Result): State {
    return {
      ...state,
      device: { phase: 'idle', ...NO_SESSION, saved: null },
      results: [...state.results.slice(0, -1), result],
      old: null,
      grants: [],
    };
  }

  /** The device has no session until its next opening. The saved state stays for a crash before that. */
  function interrupt(state: State): State {
    const { saved, session, ctr } = state.device;
    const kept = faults.keepsUnanswered ? { session, ctr } : {};
    return {
      ...state,
      crashes: state.crashes + 1,
      device: { phase: 'idle', ...NO_SESSION, ...kept, saved },
      results: [...state.results.slice(0, -1), 'interrupted'],
      old: null,
      grants: [],
    };
  }

  function crash(state: State): State {
    const { saved, phase } = state.device;
    return {
      ...state,
      crashes: state.crashes + 1,
      device: { phase: 'idle', ...NO_SESSION, session: saved?.session ?? null, ctr: saved?.ctr ?? 0, saved },
      results: phase === 'idle' ? state.results : [...state.results.slice(0, -1), 'crashed'],
      old: null,
      grants: [],
    };
  }
}

/** Leaves out state that can't have an effect any more, and makes times equal that are too long ago to differ in effect. */
function forget(state: State, faults: Faults, bounds: Bounds): State {
  const { tick, results, old } = state;
  const past = (time: number) => Math.max(time, tick - QUIET_TICKS);
  const device = forgetInDevice(state, bounds, past);
  const { saved } = device;
  // Datagrams of a session whose cookie has expired can't create it again. While it exists, it refuses the requests that it has executed.
  const isDead = ({ session: name, ctr }: Request): boolean => {
    const session = state.sessions.find((each) => each.name === name);
    return isExpired(name, state, faults) && (!session || ctr <= session.ctr);
  };
  const mayRunAgain = faults.repeatsRun || faults.tagsAreNotCompared;
  const requests = mayRunAgain ? state.requests : state.requests.filter((request) => !isDead(request));
  const isUsed = (name: string) => name === device.session || name === saved?.session || name === old;
  const sessions = state.sessions
    .filter(
      ({ name }) => isUsed(name) || !isExpired(name, state, faults) || requests.some((each) => each.session === name),
    )
    .map((session) => ({ ...session, lastAt: past(session.lastAt) }));
  // A device never returns to a session that it has left. After a crash it goes on behind the number that it has saved.
  const mayUse = ({ session, ctr }: { session: string | null; ctr: number }) =>
    session !== null &&
    ((session === device.session && ctr > device.ctr) || (session === saved?.session && ctr > saved.ctr));
  const isAwaited = (reply: Reply): boolean =>
    mayUse(reply) ||
    (device.phase !== 'idle' && reply.session === device.session && reply.ctr === device.ctr) ||
    (faults.repliesAreUnbound === true && isUsed(reply.session));
  const isLastOrSent = (call: number) => call === results.length || requests.some((each) => each.call === call);
  const keepExecution = (execution: Execution): Execution[] => {
    const { session, ctr, call } = execution;
    if (mayUse(execution) || requests.some((each) => each.session === session && each.ctr === ctr)) {
      return [execution];
    }
    return isLastOrSent(call) ? [{ session: null, ctr: 0, call }] : [];
  };
  return {
    ...state,
    startedAt: past(state.startedAt),
    device,
    sessions: sort(sessions),
    requests,
    replies: state.replies.filter(isAwaited),
    executed: sort(state.executed.flatMap(keepExecution)),
    // The result of the last call is a note, and is compared with what ran.
    results: results.map((result, index) =>
      index === results.length - 1 || (result === 'not run' && isLastOrSent(index + 1)) ? result : 'over',
    ),
  };
}

function forgetInDevice({ device, crashes }: State, bounds: Bounds, past: (time: number) => number): Device {
  const saved = crashes < bounds.crashes ? device.saved : null;
  return { ...device, saved, sentAt: device.phase === 'idle' ? 0 : past(device.sentAt) };
}

function violation({ executed, results, mistaken }: State): string | undefined {
  if (mistaken !== null) {
    return mistaken;
  }
  for (const [index, { session, ctr, call }] of executed.entries()) {
    const others = executed.slice(index + 1);
    if (session !== null && others.some((each) => each.session === session && each.ctr === ctr)) {
      return `number ${ctr} of session ${session} ran twice`;
    }
    if (others.some((each) => each.call === call)) {
      return `call ${call} ran twice`;
    }
    if (results[call - 1] === 'not run') {
      return `call ${call} ran, and the device was told that it did not`;
    }
  }
  const missing = results.findIndex(
    (result, index) => result === 'ok' && !executed.some(({ call }) => call === index + 1),
  );
  return missing < 0 ? undefined : `call ${missing + 1} returned, and did not run`;
}

/** The outcomes in a state. A model that reaches none of them would prove nothing. */
export function notesOf({ results, executed, device, opening }: State): string[] {
  const hasMoved = executed.some(
    ({ call, session, ctr }) =>
      results[call - 1] === 'ok' && ctr === 1 && Number(session?.split('.')[0]) > 1 && call > 1,
  );
  return [
    ...results.filter((result) => result !== 'over'),
    ...(device.hasAsked && device.phase === 'waiting' ? ['asked and alive'] : []),
    ...(device.wasRefused ? ['refused once'] : []),
    ...(hasMoved && opening > 1 ? ['moved to another session'] : []),
  ];
}

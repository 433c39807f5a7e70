/** Protocol v2 holds in every state that small bounds allow; and the explorer finds the faults that are planted in it. */
import { describe, expect, it } from 'vitest';
import { type Exploration, explore } from './explore.js';
import { type Bounds, type Faults, createModel, notesOf } from './v2-model.js';

const MAX_STATES = 3_000_000;

/** BEN_MODEL=large explores these too: 0.9 million states, minutes. */
const LARGE: Bounds[] = [
  { calls: 3, openings: 4, restarts: 1, crashes: 1, ticks: 3 },
  { calls: 3, openings: 3, restarts: 2, crashes: 1, ticks: 3 },
];

const BOUNDS: Bounds[] = [
  { calls: 2, openings: 3, restarts: 1, crashes: 1, ticks: 3 },
  ...(process.env['BEN_MODEL'] === 'large' ? LARGE : []),
];

const FAULT_BOUNDS: Bounds = { calls: 2, openings: 3, restarts: 1, crashes: 1, ticks: 3 };

const FAULTS: Array<[name: string, faults: Faults, violation: RegExp]> = [
  ['AGAIN for REQ1 is believed', { firstAgainIsBelieved: true }, /^call 1 ran/],
  ['AGAIN for REQ is believed', { againIsBelieved: true }, /^call 2 ran/],
  ['quiet is not compared with the age of the request', { quietIsNotCompared: true }, /^call 2 ran twice$/],
  ['REQ1 is repeated in another session', { firstIsRepeated: true }, /^call 1 ran twice$/],
  ['a session is evicted early', { evictsEarly: true }, /ran twice$/],
  ['a cookie outlives its session', { cookiesAreLong: true }, /ran twice$/],
  ['the secret survives a restart', { secretSurvives: true }, /ran twice$/],
  ['a refused number may run', { refusalIsForgotten: true }, /ran twice$|was told that it did not$/],
  ['a copy runs', { repeatsRun: true }, /ran twice$/],
  ['a session is saved before its first reply', { savesEarly: true }, /ran twice$/],
  ['a session outlives an exception before its first reply', { keepsUnanswered: true }, /ran twice$/],
  ['replies do not cover their number', { repliesAreUnbound: true }, /took the reply/],
];

const run = (faults: Faults, bounds: Bounds) =>
  explore(createModel(faults, bounds), { maxStates: MAX_STATES, noteOf: notesOf });

describe('protocol v2', { timeout: 1_800_000 }, () => {
  it.each(BOUNDS)('runs no call and no number twice, and mistakes no reply: %o', (bounds) => {
    const { states, isComplete, violation, trace } = run({}, bounds);
    expect([violation, trace]).toEqual([undefined, []]);
    expect(isComplete).toBe(true);
    console.log(`${states} states`);
    expect(states).toBeGreaterThan(30_000);
  });

  it('reaches every outcome within these bounds', () => {
    const { seen } = run({}, { calls: 2, openings: 3, restarts: 1, crashes: 1, ticks: 2 });
    expect([...seen].toSorted()).toEqual([
      'asked and alive',
      'crashed',
      'interrupted',
      'moved to another session',
      'not run',
      'ok',
      'open',
      'refused once',
      'unknown',
    ]);
  });
});

/** Without and with what states leave out. */
const bothRuns = (faults: Faults, bounds: Bounds) =>
  [false, true].map((isForgetful) =>
    explore(createModel(faults, bounds, isForgetful), { maxStates: MAX_STATES, noteOf: notesOf }),
  ) as [Exploration, Exploration];

describe('a state that leaves out what has no effect', { timeout: 600_000 }, () => {
  it('reaches the same outcomes with fewer states', () => {
    const [all, fewer] = bothRuns({}, { calls: 2, openings: 2, restarts: 1, crashes: 1, ticks: 2 });
    expect([all.isComplete, fewer.isComplete]).toEqual([true, true]);
    expect([...fewer.seen].toSorted()).toEqual([...all.seen].toSorted());
    expect(fewer.states).toBeLessThan(all.states / 2);
  });
});

describe('the explorer', { timeout: 600_000 }, () => {
  it.each(FAULTS)('finds the fault that %s, with and without what states leave out', (_name, faults, violation) => {
    const [all, fewer] = bothRuns(faults, FAULT_BOUNDS);
    expect(all.violation).toMatch(violation);
    expect(fewer.violation).toMatch(violation);
    expect(all.trace.length).toBeGreaterThan(2);
    expect(fewer.trace).toHaveLength(all.trace.length);
  });

  it('finds the fault that a number is saved late, if replies cover the number alone', () => {
    const bounds = { calls: 3, openings: 2, restarts: 0, crashes: 1, ticks: 1 };
    expect(run({ savesLate: true, repliesBindNumberAlone: true }, bounds).violation).toMatch(/took the reply/);
    const { violation, isComplete } = run({ savesLate: true, tagsAreNotCompared: true }, bounds);
    expect([violation, isComplete]).toEqual([undefined, true]);
  });

  it('does not call an exploration complete that it had to cut off', () => {
    const model = createModel({}, { calls: 1, openings: 1, restarts: 0, crashes: 0, ticks: 1 });
    expect(explore(model, { maxStates: 10, noteOf: () => [] })).toMatchObject({ states: 10, isComplete: false });
  });
});

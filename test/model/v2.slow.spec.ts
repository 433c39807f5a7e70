/** Protocol v2 holds in every state that small bounds allow; and the explorer finds the faults that are planted in it. */
import { describe, expect, it } from 'vitest';
import { explore } from './explore.js';
import { type Bounds, type Faults, createModel, notesOf } from './v2-model.js';

const MAX_STATES = 3_000_000;

/** The bounds that docs/protocol-v2.md names: 0.5 million states, half a minute. BEN_MODEL=large explores them too. */
const LARGE: Bounds[] = [
  { calls: 2, openings: 3, restarts: 1, crashes: 1, ticks: 3 },
  { calls: 3, openings: 3, restarts: 1, crashes: 0, ticks: 3 },
];

const BOUNDS: Bounds[] = [
  { calls: 2, openings: 3, restarts: 1, crashes: 0, ticks: 3 },
  { calls: 2, openings: 3, restarts: 0, crashes: 1, ticks: 3 },
  ...(process.env['BEN_MODEL'] === 'large' ? LARGE : []),
];

const run = (faults: Faults, bounds: Bounds) =>
  explore(createModel(faults, bounds), { maxStates: MAX_STATES, noteOf: notesOf });

describe('protocol v2', { timeout: 600_000 }, () => {
  it.each(BOUNDS)('runs no call and no number twice, and mistakes no reply: %o', (bounds) => {
    const { states, isComplete, violation, trace } = run({}, bounds);
    expect([violation, trace]).toEqual([undefined, []]);
    expect(isComplete).toBe(true);
    expect(states).toBeGreaterThan(5000);
  });

  it('reaches every outcome within these bounds', () => {
    const { seen } = run({}, { calls: 2, openings: 3, restarts: 1, crashes: 1, ticks: 2 });
    expect([...seen].toSorted()).toEqual([
      'asked and alive',
      'crashed',
      'moved to another session',
      'not run',
      'ok',
      'open',
      'refused once',
      'unknown',
    ]);
  });
});

describe('the explorer', { timeout: 600_000 }, () => {
  it.each<[string, Faults, RegExp]>([
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
    ['replies do not cover their number', { repliesAreUnbound: true }, /took the reply/],
  ])('finds the fault that %s', (_name, faults, violation) => {
    const { violation: found, trace } = run(faults, { calls: 2, openings: 3, restarts: 1, crashes: 1, ticks: 3 });
    expect(found).toMatch(violation);
    expect(trace.length).toBeGreaterThan(2);
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

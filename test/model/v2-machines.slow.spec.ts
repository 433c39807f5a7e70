/** The client and the server themselves, in every state that small bounds allow; and the explorer finds faults that are planted in them. */
import { describe, expect, it } from 'vitest';
import { explore } from './explore.js';
import { type MachineBounds, type MachineFaults, createMachineModel } from './v2-machines.js';

const MAX_STATES = 200_000;

/** BEN_MODEL=large explores these too: 63 671 states, minutes. */
const LARGE: MachineBounds[] = [{ calls: 3, openings: 3, restarts: 1, ticks: 2 }];

const BOUNDS: MachineBounds[] = [
  { calls: 2, openings: 2, restarts: 1, ticks: 1 },
  ...(process.env['BEN_MODEL'] === 'large' ? LARGE : []),
];

const run = (bounds: MachineBounds, faults: MachineFaults = {}) =>
  explore(createMachineModel(bounds, faults), { maxStates: MAX_STATES, noteOf: ({ outcomes }) => outcomes });

describe('the machines of protocol v2', { timeout: 1_800_000 }, () => {
  it.each(BOUNDS)('run no call twice, and tell each the truth: %o', (bounds) => {
    const { states, isComplete, violation, trace, seen } = run(bounds);
    expect([violation, trace]).toEqual([undefined, []]);
    expect(isComplete).toBe(true);
    console.log(`${states} states`);
    expect(states).toBeGreaterThan(500);
    expect([...seen].toSorted()).toEqual(expect.arrayContaining(['no-answer', 'ok', 'open', 'unknown']));
  });

  it.each<[string, MachineFaults]>([
    ['the secret survives a restart', { secretSurvives: true }],
    ['a process claims to have been there before its start', { claimsToBeOld: true }],
    ['a copy runs', { repeatsRun: true }],
    ['a session stays although its first request was not answered', { keepsUnanswered: true }],
  ])('are caught if %s', (_name, faults) => {
    const { violation, trace } = run({ calls: 2, openings: 2, restarts: 1, ticks: 0 }, faults);
    expect(violation).toMatch(/^call \d ran/);
    expect(trace.length).toBeGreaterThan(2);
  });
});

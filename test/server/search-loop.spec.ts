import { describe, expect, it } from 'vitest';
import type { LateDecision } from '../../lib/exchange/index.js';
import { SEARCH_SLICE_MS, SearchLoop } from '../../lib/server/search-loop.js';
import { FakePlatform } from '../support/fake-platform.js';
import { remoteOf } from '../support/pure-device.js';

const LATE: LateDecision = { decision: { kind: 'searching' }, remote: remoteOf('10.0.0.1'), receivedAt: 0 };

/** An exchange whose search takes `steps` steps of `stepMs` each, on a machine whose turns of the loop are counted. */
function create({ steps, stepMs }: { steps: number; stepMs: number }) {
  const turns: Array<() => void> = [];
  const platform = new (class extends FakePlatform {
    override afterTurn = (callback: () => void) => void turns.push(callback);
  })();
  const exchange = {
    left: steps,
    get isSearching() {
      return this.left > 0;
    },
    step() {
      platform.block(stepMs);
      this.left--;
      return this.left === 0 ? [LATE] : [];
    },
  };
  const decisions: Array<{ late: LateDecision; now: number }> = [];
  const loop = new SearchLoop(exchange, platform, (late, now) => decisions.push({ late, now }));
  /** The time that each turn takes. */
  const runTurns = (): number[] => {
    const times: number[] = [];
    for (let turn = turns.shift(); turn; turn = turns.shift()) {
      const before = platform.now();
      turn();
      times.push(platform.now() - before);
    }
    return times;
  };
  return { loop, exchange, decisions, turns, runTurns };
}

describe('SearchLoop', () => {
  it('ends a short search in one turn', () => {
    const { loop, decisions, runTurns } = create({ steps: 2, stepMs: 0.5 });
    loop.start();
    expect(runTurns()).toEqual([1]);
    expect(decisions).toMatchObject([{ late: LATE, now: 0.5 }]);
  });

  it('gives the loop free after each slice of 1 ms, also if a step takes long', () => {
    const { loop, decisions, runTurns } = create({ steps: 30, stepMs: 0.75 });
    loop.start();
    const times = runTurns();
    expect(times).toHaveLength(15);
    expect(Math.max(...times)).toBeLessThan(SEARCH_SLICE_MS + 0.75);
    expect(decisions).toHaveLength(1);
  });

  it('plans one slice at a time', () => {
    const { loop, turns } = create({ steps: 3, stepMs: 1 });
    loop.start();
    loop.start();
    expect(turns).toHaveLength(1);
  });

  it('does nothing after it was stopped', () => {
    const { loop, exchange, runTurns } = create({ steps: 3, stepMs: 1 });
    loop.start();
    loop.stop();
    runTurns();
    loop.start();
    expect(runTurns()).toEqual([]);
    expect(exchange.left).toBe(3);
  });
});

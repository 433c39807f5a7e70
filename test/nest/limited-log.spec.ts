import { AsyncLocalStorage } from 'node:async_hooks';
import { beforeEach, describe, expect, it } from 'vitest';
import { LOG_INTERVAL_MS, LimitedLog } from '../../lib/nest/limited-log.js';
import { nodePlatform } from '../../lib/net/index.js';
import { FakePlatform } from '../support/fake-platform.js';

describe('LimitedLog', () => {
  let platform: FakePlatform;
  let lines: string[];
  let log: LimitedLog;

  beforeEach(() => {
    platform = new FakePlatform();
    lines = [];
    log = new LimitedLog(platform, (level, line) => lines.push(`${level} ${line}`));
  });

  it('writes the first line of a kind at once', () => {
    log.record('bad-hash', 'warn', () => 'from a');
    log.record('too-large', 'debug', () => 'from b');
    expect(lines).toEqual(['warn from a', 'debug from b']);
  });

  it('holds the second back until 10 s after the first, to the millisecond', () => {
    log.record('bad-hash', 'warn', () => 'from a');
    platform.advance(LOG_INTERVAL_MS - 1);
    log.record('bad-hash', 'warn', () => 'from b');
    expect(lines).toHaveLength(1);
    platform.advance(1);
    expect(lines).toEqual(['warn from a', 'warn from b']);
  });

  it('writes a line at once again after 10 s of silence', () => {
    log.record('bad-hash', 'warn', () => 'from a');
    platform.advance(LOG_INTERVAL_MS);
    log.record('bad-hash', 'warn', () => 'from b');
    expect(lines).toEqual(['warn from a', 'warn from b']);
  });

  it('writes held lines in the scope in which it was made, not in that of a request', async () => {
    const store = new AsyncLocalStorage<string>();
    const stores: unknown[] = [];
    const schedule: typeof nodePlatform.schedule = (task) => nodePlatform.schedule(task, 1);
    const inScope = store.run(
      'app',
      () => new LimitedLog({ ...nodePlatform, schedule }, () => stores.push(store.getStore())),
    );
    store.run('request 1', () => inScope.record('bad-hash', 'warn', () => 'from a'));
    store.run('request 2', () => inScope.record('bad-hash', 'warn', () => 'from b'));
    await expect.poll(() => stores).toEqual(['request 1', 'app']);
  });

  it('makes one line every 10 s of a flood, with the number of held lines', () => {
    for (let ms = 0; ms < 30_000; ms++) {
      log.record('bad-hash', 'warn', () => `at ${ms}`);
      platform.advance(1);
    }
    expect(lines).toEqual([
      'warn at 0',
      'warn at 9999 (the last of 9999 within 10 s)',
      'warn at 19999 (the last of 10000 within 10 s)',
      'warn at 29999 (the last of 10000 within 10 s)',
    ]);
  });

  it('describes only the lines that it writes', () => {
    let described = 0;
    for (let count = 0; count < 1000; count++) {
      log.record('bad-hash', 'warn', () => `${++described}`);
    }
    platform.advance(LOG_INTERVAL_MS);
    expect(described).toBe(2);
  });

  it('keeps nothing of a kind that has fallen silent', () => {
    log.record('bad-hash', 'warn', () => 'from a');
    log.record('bad-hash', 'warn', () => 'from b');
    expect(platform.pendingTimers).toBe(1);
    platform.advance(2 * LOG_INTERVAL_MS);
    expect(platform.pendingTimers).toBe(0);
  });

  it('writes held lines when it is stopped, and leaves no timer', () => {
    log.record('bad-hash', 'warn', () => 'from a');
    log.record('bad-hash', 'warn', () => 'from b');
    log.record('bad-hash', 'warn', () => 'from c');
    log.stop();
    expect(lines).toEqual(['warn from a', 'warn from c (the last of 2 within 10 s)']);
    expect(platform.pendingTimers).toBe(0);
  });

  it('keeps no process alive', () => {
    const backgrounds: unknown[] = [];
    platform.schedule = (_callback: () => void, _ms: number, options?: { readonly isBackground: boolean }) => {
      backgrounds.push(options?.isBackground);
      return () => true;
    };
    log.record('bad-hash', 'warn', () => 'from a');
    expect(backgrounds).toEqual([true]);
  });
});

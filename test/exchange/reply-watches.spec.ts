import { describe, expect, it, vi } from 'vitest';
import { ReplyWatches } from '../../lib/exchange/reply-watches.js';

describe('ReplyWatches', () => {
  it('tells a handler once that its device no longer waits, and no other', () => {
    const watches = new ReplyWatches<string>();
    const [first, second] = [vi.fn(), vi.fn()];
    watches.begin('a', first);
    watches.begin('b', second);
    watches.supersede('a');
    watches.supersede('a');
    expect([first.mock.calls.length, second.mock.calls.length]).toEqual([1, 0]);
  });

  it('tells nothing after the end', () => {
    const watches = new ReplyWatches<string>();
    const onSuperseded = vi.fn();
    watches.begin('a', onSuperseded);
    watches.end('a');
    watches.supersede('a');
    expect(onSuperseded).not.toHaveBeenCalled();
  });

  it('lets the device be watched again by the callback', () => {
    const watches = new ReplyWatches<string>();
    const next = vi.fn();
    watches.begin('a', () => watches.begin('a', next));
    watches.supersede('a');
    expect(next).not.toHaveBeenCalled();
    watches.supersede('a');
    expect(next).toHaveBeenCalledOnce();
  });
});

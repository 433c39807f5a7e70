import { describe, expect, it, vi } from 'vitest';
import { scheduleAfterRead } from '../../lib/net/index.js';
import { FakePlatform } from '../support/fake-platform.js';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

function start() {
  const platform = new FakePlatform();
  const callback = vi.fn();
  const cancel = scheduleAfterRead(platform, callback, 100);
  return { platform, callback, cancel };
}

describe('scheduleAfterRead', () => {
  it('runs the callback once, after its time and after the sockets were read', async () => {
    const { platform, callback } = start();
    platform.advance(99);
    await nextTurn();
    expect(callback).not.toHaveBeenCalled();
    platform.advance(1);
    expect(callback).not.toHaveBeenCalled();
    await nextTurn();
    expect(callback).toHaveBeenCalledOnce();
  });

  it('does not run it if it is cancelled before its time, or by an answer that was still unread then', async () => {
    for (const elapsed of [50, 100]) {
      const { platform, callback, cancel } = start();
      platform.advance(elapsed);
      cancel();
      platform.advance(100);
      await nextTurn();
      expect(callback).not.toHaveBeenCalled();
    }
  });
});

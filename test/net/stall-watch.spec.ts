import { describe, expect, it } from 'vitest';
import { StallWatch } from '../../lib/net/index.js';
import { FakePlatform } from '../support/fake-platform.js';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

function create() {
  const platform = new FakePlatform();
  const watch = new StallWatch(platform);
  platform.advance(10_000);
  return { platform, watch };
}

describe('StallWatch', () => {
  it('returns 0 while the loop runs, even if timers are half a second late', () => {
    const { platform, watch } = create();
    expect(watch.recordDatagram(platform.now())).toBe(0);
    platform.block(699);
    expect(watch.recordDatagram(platform.now())).toBe(0);
  });

  it('returns after a stall how long a datagram may have waited, if a datagram or the timer comes first', () => {
    for (const timerFirst of [true, false]) {
      const { platform, watch } = create();
      platform.block(3000);
      if (timerFirst) {
        platform.advance(0);
      }
      expect(watch.recordDatagram(platform.now())).toBe(3000);
    }
  });

  it('returns this for all waiting datagrams, until a turn of the loop has read fewer than 32', async () => {
    const { platform, watch } = create();
    platform.block(3000);
    const read = (count: number) => Array.from({ length: count }, () => watch.recordDatagram(platform.now()));
    expect(read(32)).not.toContain(0);
    await nextTurn();
    platform.block(5);
    expect(read(32)).not.toContain(0);
    await nextTurn();
    expect(read(7)).not.toContain(0);
    await nextTurn();
    expect(read(40)).toEqual(Array(40).fill(0));
  });

  it('returns this no longer than the stall lasted, because a flood may fill every later turn', async () => {
    const { platform, watch } = create();
    platform.block(3000);
    const readTurn = async () => {
      const waited = Array.from({ length: 32 }, () => watch.recordDatagram(platform.now()));
      await nextTurn();
      return waited.every((ms) => ms > 0);
    };
    expect(await readTurn()).toBe(true);
    for (let ms = 0; ms < 3000; ms += 100) {
      platform.advance(100);
      expect(await readTurn()).toBe(true);
    }
    platform.advance(1);
    expect(await readTurn()).toBe(false);
    // The next stall is noticed again.
    platform.block(3000);
    expect(watch.recordDatagram(platform.now())).toBe(3000);
  });

  it('returns this for one more turn if a handler blocked in the middle of a turn', async () => {
    const { platform, watch } = create();
    expect(watch.recordDatagram(platform.now())).toBe(0);
    platform.block(3000);
    // The rest of the 32 datagrams of that turn, and those that still wait.
    const read = (count: number) => Array.from({ length: count }, () => watch.recordDatagram(platform.now()));
    expect(read(31)).not.toContain(0);
    await nextTurn();
    expect(read(10)).not.toContain(0);
    await nextTurn();
    expect(read(1)).toEqual([0]);
  });

  it('notices a second stall at once, in the turn that ended the first', async () => {
    const { platform, watch } = create();
    platform.block(3000);
    expect(watch.recordDatagram(platform.now())).toBe(3000);
    // The handler of that datagram.
    platform.block(4000);
    await nextTurn();
    expect(watch.recordDatagram(platform.now())).toBe(4000);
    await nextTurn();
    await nextTurn();
    expect(watch.recordDatagram(platform.now())).toBe(0);
  });

  it('notices a second stall at once, before the backlog of the first is read', async () => {
    const { platform, watch } = create();
    platform.block(3000);
    expect(watch.recordDatagram(platform.now())).toBe(3000);
    platform.block(9000);
    expect(watch.recordDatagram(platform.now())).toBe(12_000);
    await nextTurn();
    await nextTurn();
    expect(watch.recordDatagram(platform.now())).toBe(0);
  });

  it('takes a pause of half a second beyond its timer for none, and a longer one for a stall', () => {
    for (const [ms, waited] of [
      [700, 0],
      [701, 701],
    ] as const) {
      const { platform, watch } = create();
      platform.block(ms);
      expect(watch.recordDatagram(platform.now())).toBe(waited);
    }
  });

  it('ends a stall after a turn that read 31 datagrams, because 32 would fit', async () => {
    const { platform, watch } = create();
    platform.block(3000);
    const read = (count: number) => Array.from({ length: count }, () => watch.recordDatagram(platform.now()));
    read(32);
    await nextTurn();
    expect(read(31)).not.toContain(0);
    await nextTurn();
    expect(read(1)).toEqual([0]);
  });

  it('has one timer, and none after stop', () => {
    const { platform, watch } = create();
    expect(platform.pendingTimers).toBe(1);
    watch.stop();
    expect(platform.pendingTimers).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import { Agenda } from '../../lib/testing/agenda.js';
import { FakePlatform } from '../support/fake-platform.js';

function create() {
  const platform = new FakePlatform();
  const agenda = new Agenda(platform);
  const done: string[] = [];
  return { platform, agenda, done, at: (time: number, name: string) => agenda.at(time, () => void done.push(name)) };
}

describe('Agenda', () => {
  it('acts in the order of the times, and in order of arrival at the same time', () => {
    const { platform, done, at } = create();
    at(20, 'c');
    at(10, 'a');
    at(10, 'b');
    platform.advance(9);
    expect(done).toEqual([]);
    platform.advance(1);
    expect(done).toEqual(['a', 'b']);
    platform.advance(10);
    expect(done).toEqual(['a', 'b', 'c']);
  });

  it('acts at once if the time has come', () => {
    const { platform, done, at } = create();
    platform.advance(5);
    at(5, 'now');
    at(3, 'past');
    expect(done).toEqual(['now', 'past']);
    expect(platform.pendingTimers).toBe(0);
  });

  it('overtakes nothing that is due but was held up', () => {
    const { platform, done, at } = create();
    at(10, 'first');
    platform.block(20);
    at(15, 'second');
    expect(done).toEqual([]);
    platform.advance(0);
    expect(done).toEqual(['first', 'second']);
  });

  it('has one timer for all entries, and none after the last', () => {
    const { platform, at } = create();
    at(10, 'a');
    at(5, 'b');
    at(20, 'c');
    expect(platform.pendingTimers).toBe(1);
    platform.advance(20);
    expect(platform.pendingTimers).toBe(0);
  });

  it('does nothing after stop', () => {
    const { platform, agenda, done, at } = create();
    at(10, 'a');
    agenda.stop();
    platform.advance(100);
    expect([done, platform.pendingTimers]).toEqual([[], 0]);
  });
});

import { describe, expect, it } from 'vitest';
import { CallQueue } from '../../lib/client/request-queue.js';

function fill(...calls: string[]): CallQueue<string> {
  const queue = new CallQueue<string>();
  calls.forEach((call) => queue.add(call));
  return queue;
}

describe('CallQueue', () => {
  it('gives calls in order of arrival', () => {
    const queue = fill('a', 'b');
    expect([queue.take(), queue.take(), queue.take()]).toEqual(['a', 'b', undefined]);
  });

  it('gives retries first, in order of arrival', () => {
    const queue = fill('a', 'b');
    queue.addRetry('x');
    queue.addRetry('y');
    expect(queue.length).toBe(4);
    expect([...queue]).toEqual(['x', 'y', 'a', 'b']);
    expect([queue.take(), queue.take(), queue.take()]).toEqual(['x', 'y', 'a']);
  });

  it.each([
    [['a'], ['b', 'c']],
    [['b'], ['a', 'c']],
    [['c'], ['a', 'b']],
    [['a', 'b'], ['c']],
    [['c', 'b'], ['a']],
    [['b', 'a', 'c'], []],
  ])('keeps the order of the others when %j are removed', (removed, rest) => {
    const queue = fill('a', 'b', 'c');
    expect(removed.map((call) => queue.remove(call))).toEqual(removed.map(() => true));
    expect(queue.remove(removed[0]!)).toBe(false);
    queue.add('d');
    queue.addRetry('x');
    expect(queue.length).toBe(rest.length + 2);
    expect(queue.takeAll()).toEqual(['x', ...rest, 'd']);
    expect([queue.length, queue.take()]).toEqual([0, undefined]);
  });

  it('removes a retry, and takes a call that was removed again', () => {
    const queue = fill('a');
    queue.addRetry('x');
    expect(queue.remove('x')).toBe(true);
    expect(queue.take()).toBe('a');
    queue.addRetry('a');
    expect(queue.takeAll()).toEqual(['a']);
  });

  it.each<[string, (queue: CallQueue<object>, calls: object[]) => void]>([
    ['taking all calls one by one', (queue, calls) => calls.forEach(() => queue.take())],
    ['removing all calls, first come first', (queue, calls) => calls.forEach((call) => queue.remove(call))],
    ['removing all calls, last come first', (queue, calls) => calls.toReversed().forEach((call) => queue.remove(call))],
    [
      'a queue that stays full',
      (queue, calls) => calls.forEach(() => [1, 2].forEach(() => queue.add(queue.take() ?? {}))),
    ],
  ])('%s takes time in proportion to their number', (_title, work) => {
    const time = (count: number): number => {
      const queue = new CallQueue<object>();
      const calls = Array.from({ length: count }, () => ({}));
      calls.forEach((call) => queue.add(call));
      const begin = performance.now();
      work(queue, calls);
      return performance.now() - begin;
    };
    // The best of several runs: other processes and the garbage collector only add time.
    const best = (count: number) => Math.min(...Array.from({ length: 5 }, () => time(count)));
    time(2000);
    // 32 times as many calls. A square would take 1024 times as long.
    expect(best(64_000)).toBeLessThan(best(2000) * 256);
  });
});

import { describe, expect, it } from 'vitest';
import { CallQueue } from '../../lib/client/request-queue.js';

function fill(...calls: string[]): CallQueue<string> {
  const queue = new CallQueue<string>();
  calls.forEach((call) => queue.add(call));
  return queue;
}

describe('CallQueue', () => {
  it('gives calls in the order in which they came', () => {
    const queue = fill('a', 'b');
    expect([queue.take(), queue.take(), queue.take()]).toEqual(['a', 'b', undefined]);
  });

  it('gives calls that are made again first, in their order', () => {
    const queue = fill('a', 'b');
    queue.addAgain('x');
    queue.addAgain('y');
    expect(queue.length).toBe(4);
    expect([queue.take(), queue.take(), queue.take()]).toEqual(['x', 'y', 'a']);
  });

  it('lets a call leave from anywhere', () => {
    const queue = fill('a', 'b', 'c');
    queue.addAgain('x');
    expect([queue.remove('b'), queue.remove('x'), queue.remove('b')]).toEqual([true, true, false]);
    expect(queue.takeAll()).toEqual(['a', 'c']);
    expect(queue.length).toBe(0);
  });
});

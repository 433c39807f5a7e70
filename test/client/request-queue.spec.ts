import { describe, expect, it } from 'vitest';
import { RequestQueue } from '../../lib/client/request-queue.js';
import { cpuMs, measureGrowth } from '../support/growth.js';

function fill(...requests: string[]): RequestQueue<string> {
  const queue = new RequestQueue<string>();
  requests.forEach((request) => queue.add(request));
  return queue;
}

describe('RequestQueue', () => {
  it('returns requests in order of arrival', () => {
    const queue = fill('a', 'b');
    expect([queue.take(), queue.take(), queue.take()]).toEqual(['a', 'b', undefined]);
  });

  it('returns retries first, in order of arrival', () => {
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
    expect(removed.map((request) => queue.remove(request))).toEqual(removed.map(() => true));
    expect(queue.remove(removed[0]!)).toBe(false);
    queue.add('d');
    queue.addRetry('x');
    expect(queue.length).toBe(rest.length + 2);
    expect(queue.takeAll()).toEqual(['x', ...rest, 'd']);
    expect([queue.length, queue.take()]).toEqual([0, undefined]);
  });

  it('removes a retry, and accepts a removed request again', () => {
    const queue = fill('a');
    queue.addRetry('x');
    expect(queue.remove('x')).toBe(true);
    expect(queue.take()).toBe('a');
    queue.addRetry('a');
    expect(queue.takeAll()).toEqual(['a']);
  });

  it.each<[string, (queue: RequestQueue<object>, requests: object[]) => void]>([
    ['taking all requests one by one', (queue, requests) => requests.forEach(() => queue.take())],
    ['removing all requests, first to last', (queue, requests) => requests.forEach((request) => queue.remove(request))],
    [
      'removing all requests, last to first',
      (queue, requests) => requests.toReversed().forEach((request) => queue.remove(request)),
    ],
    [
      'a queue that stays full',
      (queue, requests) => requests.forEach(() => [1, 2].forEach(() => queue.add(queue.take() ?? {}))),
    ],
  ])('%s takes time in proportion to their number', async (_title, work) => {
    const time = (count: number): number => {
      const queue = new RequestQueue<object>();
      const requests = Array.from({ length: count }, () => ({}));
      requests.forEach((request) => queue.add(request));
      return cpuMs(() => work(queue, requests));
    };
    // The same number of requests in many queues and in one. With quadratic growth, one queue takes 32 times as long.
    const inMany = () => Array.from({ length: 32 }, () => time(2000)).reduce((sum, ms) => sum + ms);
    expect(await measureGrowth(inMany, () => time(64_000), 16)).toBeLessThanOrEqual(16);
  });
});

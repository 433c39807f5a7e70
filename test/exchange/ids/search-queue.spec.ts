import { describe, expect, it } from 'vitest';
import { MAX_SEARCHES, MAX_SEARCHES_OF_ADDRESS, SearchQueue } from '../../../lib/exchange/ids/search-queue.js';
import { Sender } from '../../../lib/exchange/remote.js';
import { remoteOf } from '../../support/pure-device.js';

const searchFrom = (address: string, port = 1) => ({ sender: new Sender(remoteOf(address, port)) });

describe('SearchQueue', () => {
  it('finishes one search before the next, and addresses take turns', () => {
    const queue = new SearchQueue();
    const [a1, a2, a3] = [1, 2, 3].map((port) => searchFrom('10.0.0.1', port));
    const b1 = searchFrom('10.0.0.2');
    for (const search of [a1!, a2!, a3!, b1]) {
      expect(queue.add(search)).toBe(true);
    }
    const order = [];
    for (let current = queue.current; current; current = queue.current) {
      expect(queue.current).toBe(current);
      order.push(current);
      queue.remove(current);
    }
    expect(order).toEqual([a1, b1, a2, a3]);
    expect(queue.size).toBe(0);
  });

  it('gives one address a quarter of its places, and other addresses the rest', () => {
    const queue = new SearchQueue();
    const results = Array.from({ length: MAX_SEARCHES }, (_, port) => queue.add(searchFrom('10.0.0.1', port)));
    expect(results.filter(Boolean)).toHaveLength(MAX_SEARCHES_OF_ADDRESS);
    const others = Array.from({ length: MAX_SEARCHES }, (_, host) => queue.add(searchFrom(`10.0.1.${host}`)));
    expect(others.filter(Boolean)).toHaveLength(MAX_SEARCHES - MAX_SEARCHES_OF_ADDRESS);
    expect(queue.size).toBe(MAX_SEARCHES);
    queue.remove(queue.current!);
    expect(queue.add(searchFrom('10.0.2.1'))).toBe(true);
  });

  it('finds the searches of an endpoint, and no others of its address', () => {
    const queue = new SearchQueue();
    const [first, second] = [searchFrom('10.0.0.1', 1), searchFrom('10.0.0.1', 2)];
    expect(queue.of(first.sender)).toEqual([]);
    queue.add(first);
    queue.add(second);
    expect(queue.of(new Sender(remoteOf('10.0.0.1', 2)))).toEqual([second]);
  });
});

import { describe, expect, it } from 'vitest';
import { Endpoint } from '../../lib/exchange/endpoint.js';
import { EndpointTable } from '../../lib/exchange/endpoint-table.js';
import { LIVE_SLOTS } from '../../lib/exchange/ids/id-pair.js';
import { historyOf } from '../../lib/exchange/ids/pair-history.js';
import { Holders } from '../../lib/exchange/limits/holder.js';
import { KeyRing } from '../../lib/keys/index.js';
import { KEY } from '../support/pure-device.js';

const [key] = new KeyRing([{ device: undefined, key: KEY }]).keys;

function create(capacity: number) {
  const holders = new Holders();
  const table = new EndpointTable(capacity, holders);
  /** Adds an endpoint that verifies in this slot. */
  const add = (endpointKey: number, holder: string, slot: number): boolean => {
    const endpoint = new Endpoint(key!, historyOf([slot], 0), holders.of(holder));
    const isAdded = table.add(endpointKey, endpoint, slot);
    if (isAdded && endpoint.consume({ slot, n: 0 }, slot)) {
      table.touch(endpointKey, endpoint);
    }
    return isAdded;
  };
  const known = (keys: number[]) => keys.filter((each) => table.get(each));
  return { table, holders, add, known };
}

describe('EndpointTable', () => {
  it('evicts the oldest endpoint of the largest holder, and not the oldest of all', () => {
    const { add, known } = create(8);
    [1, 2].forEach((each) => add(each, `holder ${each}`, 0));
    [3, 4, 5, 6].forEach((each) => add(each, 'crowd', 1));
    [7, 8].forEach((each) => add(each, 'pair', 1));
    const later = 1 + LIVE_SLOTS;
    expect(add(9, 'holder 9', later)).toBe(true);
    expect(known([1, 2, 3, 4, 5, 6, 7, 8, 9])).toEqual([1, 2, 4, 5, 6, 7, 8, 9]);
  });

  it('evicts no live endpoint of a large holder: the next holder loses its oldest', () => {
    const { add, known } = create(8);
    [1, 2].forEach((each) => add(each, 'pair', 0));
    [3, 4, 5, 6, 7, 8].forEach((each) => add(each, 'crowd', LIVE_SLOTS));
    expect(add(9, 'holder 9', LIVE_SLOTS)).toBe(true);
    expect(known([1, 2, 3, 9])).toEqual([2, 3, 9]);
  });

  it.each([
    { live: 31, evicts: 'the crowd' },
    { live: 32, evicts: 'the oldest of all' },
  ])(
    'examines 32 holders of one size for room: behind $live live ones, $evicts loses an endpoint',
    ({ live, evicts }) => {
      const { add, known } = create(2 * (live + 1) + 1);
      add(1, 'single', 0);
      Array.from({ length: live }, (_, index) =>
        [1000 + 2 * index, 1001 + 2 * index].map((each) => add(each, `live ${index}`, LIVE_SLOTS)),
      );
      [2, 3].forEach((each) => add(each, 'crowd', 0));
      expect(add(4, 'new', LIVE_SLOTS)).toBe(true);
      expect(known([1, 2, 3, 4])).toEqual(evicts === 'the crowd' ? [1, 3, 4] : [2, 3, 4]);
    },
  );

  it('evicts the oldest of all if no holder has several', () => {
    const { add, known } = create(3);
    [1, 2, 3].forEach((each) => add(each, `holder ${each}`, 0));
    expect(add(4, 'holder 4', LIVE_SLOTS)).toBe(true);
    expect(known([1, 2, 3, 4])).toEqual([2, 3, 4]);
  });

  it('gives one holder three quarters and not one more, and it then replaces its own expired endpoints', () => {
    const { add, known, table } = create(8);
    add(100, 'other', 0);
    expect([1, 2, 3, 4, 5, 6, 7].map((each) => add(each, 'thief', 0))).toEqual([
      ...Array<boolean>(6).fill(true),
      false,
    ]);
    expect(add(7, 'thief', LIVE_SLOTS - 1)).toBe(false);
    expect(add(7, 'thief', LIVE_SLOTS)).toBe(true);
    expect(known([100, 1, 2, 7])).toEqual([100, 2, 7]);
    expect(table.size).toBe(7);
  });

  it('remembers a holder only as long as it has an endpoint or a handler', () => {
    const { add, holders } = create(1);
    const first = holders.of('holder 1');
    add(1, 'holder 1', 0);
    expect(holders.of('holder 1')).toBe(first);
    add(2, 'holder 2', LIVE_SLOTS);
    expect(holders.of('holder 1')).not.toBe(first);
  });

  it('counts an endpoint that takes the place of the only one of its holder', () => {
    const { add, holders, known } = create(2);
    [1, 2].forEach((each) => add(each, `holder ${each}`, 0));
    add(3, 'holder 1', LIVE_SLOTS);
    expect([known([1, 2, 3]), holders.sizeOf('holder 1'), holders.sizeOf('holder 2')]).toEqual([[2, 3], 1, 1]);
  });

  it('moves an endpoint to another holder', () => {
    const { add, holders, table } = create(8);
    [1, 2, 3].forEach((each) => add(each, 'before', 0));
    table.moveTo(holders.of('after'), 2, table.get(2)!);
    expect([holders.of('before').size, holders.of('after').size]).toEqual([2, 1]);
    expect(table.get(2)!.holder.key).toBe('after');
  });
});

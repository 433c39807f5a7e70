/** Results in memory: claimed once, kept within bytes and time, forgotten oldest first. */
import { describe, expect, it } from 'vitest';
import { BenUdpMemoryResultStore, type BenUdpMemoryResultStoreOptions } from 'nestjs-ben-udp';

const RESULT = { reply: '{"data":1}', isError: false };

function create(options: BenUdpMemoryResultStoreOptions = {}) {
  const clock = { now: 1000 };
  return { clock, store: new BenUdpMemoryResultStore(options, () => clock.now) };
}

describe('BenUdpMemoryResultStore', () => {
  it('gives a key to its first caller alone, and the result to later ones', () => {
    const { store } = create();
    expect(store.begin('a', 'hash')).toBeUndefined();
    expect(store.begin('a', 'other')).toMatchObject({ request: 'hash', result: undefined });
    store.end('a', 'hash', RESULT);
    expect(store.begin('a', 'hash')).toMatchObject({ request: 'hash', result: RESULT });
    expect(store.begin('b', 'hash')).toBeUndefined();
  });

  it('keeps a result until maxAge, and not longer', () => {
    const { store, clock } = create({ maxAge: 1000 });
    store.begin('a', 'hash');
    store.end('a', 'hash', RESULT);
    clock.now += 1000;
    expect(store.begin('a', 'hash')).toMatchObject({ result: RESULT });
    clock.now += 1;
    expect(store.begin('a', 'hash')).toBeUndefined();
  });

  it('keeps results up to maxBytes, and then forgets the oldest', () => {
    const maxBytes = 65_536;
    const { store } = create({ maxBytes });
    store.begin('first', 'h');
    store.end('first', 'h', RESULT);
    const ofOne = store.bytes;
    let count = 1;
    while (store.bytes + ofOne <= maxBytes) {
      store.begin(`${count}`.padEnd(5), 'h');
      store.end(`${count}`.padEnd(5), 'h', RESULT);
      count++;
    }
    expect(store.begin('first', 'h')).toMatchObject({ result: RESULT });
    store.begin('above', 'h');
    store.end('above', 'h', RESULT);
    expect(store.bytes).toBeLessThanOrEqual(maxBytes);
    expect(store.bytes).toBeGreaterThan(maxBytes - 2 * ofOne);
    expect(store.begin('above', 'h')).toMatchObject({ result: RESULT });
    expect(store.begin('first', 'h')).toBeUndefined();
  });

  it('forgets a result that alone is beyond maxBytes, and one whose key it has forgotten', () => {
    const { store, clock } = create({ maxBytes: 65_536, maxAge: 1000 });
    store.begin('a', 'hash');
    store.end('a', 'hash', { reply: 'x'.repeat(40_000), isError: false });
    expect([store.bytes, store.begin('a', 'hash')]).toEqual([0, undefined]);
    store.end('a', 'hash', RESULT);
    clock.now += 1001;
    store.end('a', 'other', RESULT);
    expect(store.begin('a', 'other')).toBeUndefined();
    store.end('a', 'hash', RESULT);
    expect(store.begin('a', 'other')).toMatchObject({ request: 'other', result: undefined });
  });

  it('takes room from the device with the most bytes, not from others', () => {
    const { store } = create({ maxBytes: 65_536 });
    for (const device of ['kitchen', 'cellar', undefined]) {
      store.begin(`${device} 0`, 'h', device);
      store.end(`${device} 0`, 'h', RESULT);
    }
    for (let count = 0; count < 300; count++) {
      store.begin(`thief ${count}`, 'h', 'thief');
      store.end(`thief ${count}`, 'h', { reply: 'x'.repeat(500), isError: false });
    }
    for (const device of ['kitchen', 'cellar', undefined]) {
      expect(store.begin(`${device} 0`, 'h', device)).toMatchObject({ result: RESULT });
    }
    expect(store.begin('thief 0', 'h', 'thief')).toBeUndefined();
    expect(store.begin('thief 299', 'h', 'thief')).toBeDefined();
    expect(store.bytes).toBeLessThanOrEqual(65_536);
  });

  it('keeps 4 MiB for an hour if no option says more, and counts 256 bytes beside the characters, two for each', () => {
    const { store, clock } = create();
    const add = (key: string) => {
      store.begin(key, 'hash');
      store.end(key, 'hash', { reply: 'x'.repeat(1000), isError: false });
    };
    add('0000');
    const ofOne = store.bytes;
    expect(ofOne).toBe(256 + 2 * (4 + 4 + 1000));
    for (let count = 1; count < 3000; count++) {
      add(`${count}`.padStart(4, '0'));
    }
    expect(store.bytes).toBe(Math.floor(4_194_304 / ofOne) * ofOne);
    clock.now += 3_600_000;
    expect(store.begin('2999', 'hash')).toMatchObject({ request: 'hash' });
    clock.now += 1;
    expect(store.begin('2999', 'hash')).toBeUndefined();
  });

  it.each([
    { place: 32, loses: 'the largest' },
    { place: 33, loses: 'the first' },
  ])('compares 32 devices of one size: with the largest at place $place, $loses loses a result', ({ place, loses }) => {
    const { store } = create({ maxBytes: 65_536 });
    const add = (device: string, length: number) => {
      store.begin(device, 'h', device);
      store.end(device, 'h', { reply: 'x'.repeat(length), isError: false });
    };
    for (let count = 1; count <= 33; count++) {
      add(count === place ? 'the largest' : count === 1 ? 'the first' : `device ${count}`, count === place ? 830 : 780);
    }
    for (let count = 0; store.begin('the first', 'h') && store.begin('the largest', 'h'); count++) {
      add(`small ${count}`, 10);
    }
    const others = ['the first', 'the largest'].filter((device) => device !== loses);
    expect([loses, ...others].map((device) => store.begin(device, 'h')?.result !== undefined)).toEqual([false, true]);
  });

  it('takes no room for requests that run, so slow ones evict nothing', () => {
    const { store } = create({ maxBytes: 65_536 });
    store.begin('kitchen', 'h', 'kitchen');
    store.end('kitchen', 'h', RESULT);
    for (let count = 0; count < 7500; count++) {
      store.begin(`thief ${count}`.padEnd(500), 'h', 'thief');
    }
    store.begin('cellar', 'h', 'cellar');
    store.end('cellar', 'h', RESULT);
    expect(store.begin('kitchen', 'h', 'kitchen')).toMatchObject({ result: RESULT });
    expect(store.begin('cellar', 'h', 'cellar')).toMatchObject({ result: RESULT });
  });

  it('makes room for 30,000 devices as fast as for one', () => {
    /** Milliseconds for 2000 results in a full store, the best of three runs. */
    const run = (devices: number) => {
      const { store } = create({ maxBytes: 8_388_608 });
      let count = 0;
      const add = (results: number) => {
        for (const last = count + results; count < last; count++) {
          store.begin(`${count}`, 'h', `${count % devices}`);
          store.end(`${count}`, 'h', RESULT);
        }
      };
      add(35_000);
      const times = [1, 2, 3].map(() => {
        const begin = performance.now();
        add(2000);
        return performance.now() - begin;
      });
      return Math.min(...times);
    };
    expect(run(30_000)).toBeLessThan(10 * run(1));
  });

  it('takes room from the larger of two devices of one size class, wherever they are in it', () => {
    const { store } = create({ maxBytes: 65_536 });
    const add = (key: string, device: string) => {
      store.begin(key, 'h', device);
      store.end(key, 'h', { reply: 'x'.repeat(120), isError: false });
    };
    for (let count = 0; count < 42; count++) {
      add(`middle ${count}`, 'middle');
      add(`small ${count}`, count < 36 ? 'small' : 'middle');
    }
    for (let count = 0; store.bytes + 600 <= 65_536; count++) {
      add(`large ${count}`, 'large');
    }
    add('kitchen', 'kitchen');
    add('cellar', 'cellar');
    expect(store.begin('small 0', 'h', 'small')).toBeDefined();
    expect(store.begin('large 0', 'h', 'large')).toBeDefined();
    expect(store.begin('middle 0', 'h', 'middle')).toBeUndefined();
  });

  it('never forgets a request whose handler runs, neither for bytes nor by its age', () => {
    const { store, clock } = create({ maxBytes: 65_536, maxAge: 1000 });
    store.begin('slow', 'h', 'kitchen');
    for (let count = 0; count < 300; count++) {
      store.begin(`${count}`, 'h', 'kitchen');
      store.end(`${count}`, 'h', { reply: 'x'.repeat(500), isError: false });
    }
    clock.now += 5000;
    expect(store.begin('slow', 'h', 'kitchen')).toMatchObject({ request: 'h', result: undefined });
    store.end('slow', 'h', RESULT);
    clock.now += 1000;
    expect(store.begin('slow', 'h', 'kitchen')).toMatchObject({ result: RESULT });
    clock.now += 1;
    store.begin('next', 'h', 'cellar');
    store.end('next', 'h', RESULT);
    clock.now += 1001;
    expect([store.begin('slow', 'h', 'kitchen'), store.begin('next', 'h', 'cellar')]).toEqual([undefined, undefined]);
  });

  it.each([
    [{ maxBytes: 65_535 }, /option "maxBytes" must be an integer from 65536 to 1073741824/],
    [{ maxAge: 999 }, /option "maxAge" must be an integer from 1000 to 2678400000/],
    [{ maxage: 1 } as object, /maxage/],
  ])('refuses %o', (options, message) => {
    expect(() => new BenUdpMemoryResultStore(options)).toThrow(message);
    expect(() => new BenUdpMemoryResultStore({ maxBytes: 65_536, maxAge: 1000 })).not.toThrow();
  });
});

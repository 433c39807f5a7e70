import { VirtualBoard, type VirtualBoardOptions } from 'nestjs-ben-udp/testing';
import { describe, expect, it } from 'vitest';
import { resolveBoardOptions } from '../../lib/testing/virtual-board-options.js';

const needed = { key: Buffer.alloc(32), port: 8585 };

describe('VirtualBoardOptions', () => {
  it('have the defaults that are documented', () => {
    expect(resolveBoardOptions(needed)).toEqual({
      ...needed,
      protocol: 'v1',
      host: '127.0.0.1',
      timeout: 10_000,
      bufferSize: 4096,
      localAddress: '127.0.0.1',
      localPort: 0,
      keyOrder: ['hash', 'data', 'iv'],
      receiveSlots: 1024,
      readDelay: 0,
      leftovers: [],
      faults: { loss: 0, duplicate: 0, reorder: 0, wrongKey: 0, delay: 0, direction: 'both', seed: 1 },
    });
    expect(resolveBoardOptions({ ...needed, receiveSlots: 6 }).readDelay).toBe(2);
  });

  it.each<[string, Partial<VirtualBoardOptions>]>([
    ['port', { port: 1 }],
    ['port', { port: 65_535 }],
    ['receiveSlots', { receiveSlots: 1 }],
    ['receiveSlots', { receiveSlots: 1024 }],
    ['readDelay', { readDelay: 1000 }],
    ['faults', { faults: { loss: 0, duplicate: 1, reorder: 0.5, delay: 60_000, seed: 4_294_967_295 } }],
    ['keyOrder', { keyOrder: ['iv', 'hash', 'data'] }],
    ['key', { key: Buffer.alloc(0) }],
  ])('take a %s at its limits: %o', (_name, options) => {
    expect(resolveBoardOptions({ ...needed, ...options })).toMatchObject(options);
  });

  it.each<[string, object, typeof TypeError, string]>([
    [
      'no key',
      { key: undefined },
      TypeError,
      'option "key" must be bytes: the contents of the key file, got undefined',
    ],
    ['a key as text', { key: 'secret' }, TypeError, 'got a string of 6 characters'],
    ['no port', { port: undefined }, TypeError, 'option "port" must be an integer from 1 to 65535, got undefined'],
    ['port 0', { port: 0 }, RangeError, 'option "port"'],
    ['no slot', { receiveSlots: 0 }, RangeError, 'option "receiveSlots" must be an integer from 1 to 1024, got 0'],
    ['1025 slots', { receiveSlots: 1025 }, RangeError, 'option "receiveSlots"'],
    ['a long readDelay', { readDelay: 1001 }, RangeError, 'option "readDelay"'],
    [
      'half a key order',
      { keyOrder: ['iv', 'hash'] },
      TypeError,
      'option "keyOrder" must be hash, data, iv in any order',
    ],
    ['text left over', { leftovers: ['x'] }, TypeError, 'option "leftovers" must be an array of bytes'],
    ['a name as localAddress', { localAddress: 'localhost' }, TypeError, 'option "localAddress" must be an IP address'],
    ['a misspelt option', { localip: '127.0.0.1' }, TypeError, 'no option "localip", did you mean "host"?'],
    ['faults as text', { faults: 'loss' }, TypeError, 'option "faults" must be an object'],
    ['more than certain loss', { faults: { loss: 1.1 } }, RangeError, '"loss" must be a number from 0 to 1, got 1.1'],
    ['less than no loss', { faults: { loss: -0.1 } }, RangeError, 'option "loss"'],
    [
      'no number',
      { faults: { duplicate: NaN } },
      RangeError,
      'option "duplicate" must be a number from 0 to 1, got NaN',
    ],
    ['a chance as text', { faults: { reorder: '0.5' } }, TypeError, 'option "reorder"'],
    ['a delay below 0', { faults: { delay: -1 } }, RangeError, 'option "delay"'],
    ['a direction of its own', { faults: { direction: 'up' } }, TypeError, '"to-server" or "to-board" or "both"'],
    ['a fraction as seed', { faults: { seed: 0.5 } }, RangeError, 'option "seed"'],
    ['a misspelt fault', { faults: { lost: 1 } }, TypeError, 'option "faults" has no option "lost"'],
  ])('refuse %s at once', async (_what, options, kind, message) => {
    const start = VirtualBoard.start({ ...needed, ...options } as VirtualBoardOptions);
    await expect(start).rejects.toThrow(message);
    await expect(start).rejects.toBeInstanceOf(kind);
  });
});

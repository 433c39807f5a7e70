import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { BenUdpTransport, type BenUdpTransportOptions } from 'nestjs-ben-udp';
import { Sender } from '../../lib/exchange/remote.js';
import { resolveTransportOptions } from '../../lib/nest/ben-udp.transport-options.js';

const key = Buffer.alloc(32, 'k');
const create = (options: object) => new BenUdpTransport(options as BenUdpTransportOptions);

describe('BenUdpTransport options', () => {
  it.each([
    ['port', 0, 65_535],
    ['timeout', 100, 86_400_000],
    ['bufferSize', 256, 65_507],
    ['datagramGap', 0, 1000],
    ['shutdownTimeout', 0, 86_400_000],
    ['maxEndpoints', 1, 16_777_216],
    ['maxInFlight', 1, 1_048_576],
    ['maxInFlightPerDevice', 1, 65_536],
    ['maxQueuedEvents', 0, 65_536],
    ['route', 1, 65_535],
    ['receiveBufferSize', 4096, 1_073_741_824],
  ])('%s accepts %i to %i, and nothing beyond', (name, min, max) => {
    for (const value of [min, max, undefined]) {
      expect(() => create({ key, [name]: value })).not.toThrow();
    }
    for (const value of [min - 1, max + 1, min + 0.5, NaN, Infinity]) {
      expect(() => create({ key, [name]: value })).toThrow(
        new RangeError(`BenUdpTransport option "${name}" must be an integer from ${min} to ${max}, got ${value}`),
      );
    }
    for (const value of ['1', 1n, {}, true, null]) {
      expect(() => create({ key, [name]: value })).toThrow(TypeError);
    }
  });

  it.each<[string, object, ErrorConstructor | TypeErrorConstructor, RegExp]>([
    ['no object', null as never, TypeError, /expects an options object, got null/],
    ['a host that is no string', { key, host: 1 }, TypeError, /"host" must be a non-empty string, got number/],
    [
      'reservedNetworks as a text',
      { key, reservedNetworks: '10.0.0.0/8' },
      TypeError,
      /"reservedNetworks" must be a list/,
    ],
    [
      'a network that is no text',
      { key, reservedNetworks: [10] },
      TypeError,
      /"reservedNetworks" must be a list of texts/,
    ],
    [
      'knownBoardsFile as a number',
      { key, knownBoardsFile: 1 },
      TypeError,
      /"knownBoardsFile" must be the path of a file, got number/,
    ],
    [
      'a store without save',
      { key, knownBoards: { load() {} } },
      TypeError,
      /"knownBoards" must be an object with a method save/,
    ],
    [
      'two places for known boards',
      { key, knownBoardsFile: 'known', knownBoards: { load() {}, save() {} } },
      TypeError,
      /in one place, got "knownBoardsFile" and "knownBoards"/,
    ],
    ...['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '10.0.0/8', 'lan/8', '10.0.0.0/-1'].map(
      (network): [string, object, RangeErrorConstructor, RegExp] => [
        `the network ${network}`,
        { key, reservedNetworks: [network] },
        RangeError,
        /"reservedNetworks" must be networks in CIDR notation such as "10\.0\.0\.0\/8", got "/,
      ],
    ),
    ['no key among the keys', { keys: {} }, RangeError, /"keys" must be at least one key, got none/],
    ['no key in a list', { key: [] }, RangeError, /"key" must be at least one key, got none/],
    ['no path in a list', { keyFile: [] }, RangeError, /"keyFile" must be at least one key, got none/],
    ['keys in a list', { keys: [key] }, TypeError, /"keys" must be an object of device name to key, got an array of 1/],
    ['keys in a Map', { keys: new Map([['hall', key]]) }, TypeError, /"keys" must be an object of device name to key/],
    ['a host that is null', { key, host: null }, TypeError, /"host" must be a non-empty string, got null/],
    ['an empty host', { key, host: ' ' }, TypeError, /"host" must be a non-empty string/],
    [
      'an unknown errorReply',
      { key, errorReply: 'json' },
      TypeError,
      /"errorReply" must be "null" or "text" or "none"/,
    ],
    [
      'an unknown keyFileChecks',
      { key, keyFileChecks: 'lax' },
      TypeError,
      /"keyFileChecks" must be "strict" or "upstream"/,
    ],
    ['an empty keyFile', { keyFile: '' }, TypeError, /"keyFile" must be the path of a key file/],
    ['a keyFile that is no path', { keyFile: [1] }, TypeError, /"keyFile" must be the path of a key file, got number/],
    [
      'a key as text',
      { key: 'a'.repeat(32) },
      TypeError,
      /"key" must be bytes .*base64.*, got a string of 32 characters/,
    ],
    ['a short key', { key: key.subarray(1) }, RangeError, /"key" must be at least 32 bytes, got 31 bytes/],
    ['a short key among several', { key: [key, key.subarray(31)] }, RangeError, /"key" .* got 1 bytes/],
    ['keys that are no object', { keys: 'a' }, TypeError, /"keys" must be an object of device name to key/],
    ['keys of null', { keys: null }, TypeError, /"keys" must be an object/],
    ['a device without a name', { keys: { '': key } }, TypeError, /"keys"/],
    ['a device without a key', { keys: { a: [] } }, TypeError, /"keys"/],
    ['a device with a short key', { keys: { a: key.subarray(1) } }, RangeError, /"keys\.a" must be at least 32 bytes/],
    ['a device with no key at all', { keys: { a: 5 } }, TypeError, /"keys\.a" must be the path of a key file or bytes/],
    [
      'a serializer that cannot',
      { key, serializer: {} },
      TypeError,
      /"serializer" must be an object with a method serialize/,
    ],
    ['a deserializer that cannot', { key, deserializer: 1 }, TypeError, /"deserializer" must be .* deserialize/],
    ['upstream spelling', { key, keyfile: 'a' }, TypeError, /no option "keyfile", did you mean "keyFile"\?/],
    [
      'upstream spelling of another word',
      { key, localip: '0.0.0.0' },
      TypeError,
      /no option "localip", did you mean "host"\?/,
    ],
    ['an unknown option', { key, sizeOfBuffer: 1 }, TypeError, /no option "sizeOfBuffer"$/],
  ])('refuse %s', (_title, options, type, message) => {
    expect(() => create(options)).toThrow(type);
    expect(() => create(options)).toThrow(message);
  });

  it('show no key in an error', () => {
    const secret = 'correct horse battery staple';
    for (const options of [{ key: secret }, { key: Buffer.from(secret) }, { keys: { a: Buffer.from(secret) } }]) {
      expect(() => create(options)).toThrow();
      expect(() => create(options)).not.toThrow(/horse/);
      expect(() => create(options)).not.toThrow(Buffer.from(secret).toString('hex'));
    }
  });

  it('accept a short key with the checks of upstream', () => {
    expect(() => create({ key: Buffer.alloc(0), keyFileChecks: 'upstream' })).not.toThrow();
  });

  it.each([
    { key: [key] },
    { keyFile: ['a', 'b'] },
    { keys: { kitchen: 'c', cellar: [Buffer.alloc(32), 'd'] } },
    { keyDirectory: 'keys' },
    { keyProvider: () => [] },
  ])('take one key or several by one option: %o', (options) => {
    expect(() => create(options)).not.toThrow();
  });

  describe('reservedNetworks', () => {
    const isReserved = (reservedNetworks: BenUdpTransportOptions['reservedNetworks'], address: string) =>
      resolveTransportOptions({ key, ...(reservedNetworks && { reservedNetworks }) }).isReserved?.(
        new Sender({ address, port: 1, family: address.includes(':') ? 'IPv6' : 'IPv4' }),
      );

    it('are those of a list', () => {
      const list = ['10.0.0.0/8', 'fd00::/8'];
      expect(['10.0.0.7', '::ffff:10.0.0.7', 'fd00::7'].map((address) => isReserved(list, address))).toEqual([
        true,
        true,
        true,
      ]);
      expect(['11.0.0.7', 'fe80::7'].map((address) => isReserved(list, address))).toEqual([false, false]);
    });

    it('are those of a BlockList, also if they are added later', () => {
      const list = new BlockList();
      const { isReserved: isIn } = resolveTransportOptions({ key, reservedNetworks: list });
      const board = new Sender({ address: '10.0.0.7', port: 1, family: 'IPv4' });
      expect(isIn?.(board)).toBe(false);
      list.addSubnet('10.0.0.0', 8, 'ipv4');
      expect(isIn?.(board)).toBe(true);
      expect(isReserved(list, '::ffff:10.0.0.7')).toBe(true);
    });

    it('cost nothing if there are none', () => {
      expect(resolveTransportOptions({ key }).isReserved).toBeUndefined();
      expect(resolveTransportOptions({ key, reservedNetworks: [] }).isReserved).toBeUndefined();
    });
  });
});

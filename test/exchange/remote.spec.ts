import { describe, expect, it } from 'vitest';
import { Sender } from '../../lib/exchange/remote.js';

const sender = (address: string, port = 8585) =>
  new Sender({ address, port, family: address.includes(':') ? 'IPv6' : 'IPv4' });

describe('Sender', () => {
  it('has one key for each IPv4 endpoint, as a number', () => {
    expect(sender('10.0.0.7', 1).key).toBe(0x0a00_0007 * 0x1_0000 + 1);
    const keys = ['10.0.0.7', '10.0.0.8', '255.255.255.255'].flatMap((address) =>
      [0, 1, 65_535].map((port) => sender(address, port).key),
    );
    expect(new Set(keys).size).toBe(9);
    expect(keys.every(Number.isSafeInteger)).toBe(true);
  });

  it('has one key for each IPv6 endpoint', () => {
    expect(sender('::1', 1).key).not.toBe(sender('::1', 2).key);
    expect(sender('::ffff:10.0.0.7', 1).key).not.toBe(sender('10.0.0.7', 1).key);
  });

  describe('prefix', () => {
    const prefix = (address: string) => sender(address).prefix;

    it('is an IPv4 address and its /24, mapped into IPv6 or not', () => {
      expect(prefix('192.168.7.250')).toMatchObject({ low: 0xc0a8_07fa, networkLow: 0xc0a8_0700 });
      expect(prefix('::ffff:192.168.7.250')).toEqual(prefix('192.168.7.250'));
      expect(prefix('255.255.255.255').low).toBe(0xffff_ffff);
    });

    it('is an IPv6 /64 and its /48', () => {
      const parsed = prefix('2001:db8:1:2:3:4:5:6');
      expect(parsed).toEqual({
        high: 0x2001_0db8,
        low: 0x0001_0002,
        networkHigh: 0x2001_0db8,
        networkLow: 0x0001_0000,
      });
      expect(prefix('2001:db8:1:2::')).toEqual(parsed);
      expect(prefix('2001:db8:1:2::6')).toEqual(parsed);
      expect(prefix('2001:db8:1:3::6')).not.toEqual(parsed);
      expect(prefix('2001:db8:1:3::6').networkLow).toBe(parsed.networkLow);
    });

    it.each([
      ['::1', 0, 0],
      ['::', 0, 0],
      ['fe80::1%eth0', 0xfe80_0000, 0],
      ['2001::1:2:3:4:5:6', 0x2001_0000, 0x0001_0002],
      ['::1:2:3:4:5:6:7', 0x0000_0001, 0x0002_0003],
    ])('of %s', (address, high, low) => {
      expect(prefix(address)).toMatchObject({ high, low });
    });

    it('keeps IPv4 and IPv6 apart', () => {
      expect(prefix('0.0.0.0').high).not.toBe(prefix('::').high);
    });
  });

  describe('isSingleHost', () => {
    it.each(['1.0.0.0', '10.0.0.7', '127.0.0.1', '223.255.255.255', '::1', 'fe80::1%eth0', '::ffff:10.0.0.7'])(
      'is true of %s',
      (address) => {
        expect(sender(address).isSingleHost).toBe(true);
      },
    );

    it.each([
      '0.0.0.0',
      '0.255.255.255',
      '224.0.0.0',
      '239.255.255.250',
      '255.255.255.255',
      '::',
      'ff02::1',
      '::ffff:0.0.0.0',
      '::ffff:224.0.0.1',
      '::ffff:255.255.255.255',
    ])('is false of %s', (address) => {
      expect(sender(address).isSingleHost).toBe(false);
    });

    it('is false of port 0', () => {
      expect(sender('10.0.0.7', 0).isSingleHost).toBe(false);
      expect(sender('10.0.0.7', 1).isSingleHost).toBe(true);
    });
  });
});

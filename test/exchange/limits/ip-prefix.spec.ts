import { describe, expect, it } from 'vitest';
import { isSingleHost, readIpPrefix } from '../../../lib/exchange/limits/ip-prefix.js';

describe('readSource', () => {
  it('reads an IPv4 address and its /24, mapped into IPv6 or not', () => {
    const source = readIpPrefix('192.168.7.250');
    expect(source.low).toBe(0xc0a8_07fa);
    expect(source.networkLow).toBe(0xc0a8_0700);
    expect(readIpPrefix('::ffff:192.168.7.250')).toEqual(source);
    expect(readIpPrefix('255.255.255.255').low).toBe(0xffff_ffff);
  });

  it('takes an IPv6 /64 for one source and a /48 for one network', () => {
    const source = readIpPrefix('2001:db8:1:2:3:4:5:6');
    expect(source).toEqual({ high: 0x2001_0db8, low: 0x0001_0002, networkHigh: 0x2001_0db8, networkLow: 0x0001_0000 });
    expect(readIpPrefix('2001:db8:1:2::')).toEqual(source);
    expect(readIpPrefix('2001:db8:1:2::6')).toEqual(source);
    expect(readIpPrefix('2001:db8:1:3::6')).not.toEqual(source);
    expect(readIpPrefix('2001:db8:1:3::6').networkLow).toBe(source.networkLow);
  });

  it.each([
    ['::1', 0, 0],
    ['::', 0, 0],
    ['fe80::1%eth0', 0xfe80_0000, 0],
    ['2001::1:2:3:4:5:6', 0x2001_0000, 0x0001_0002],
    ['::1:2:3:4:5:6:7', 0x0000_0001, 0x0002_0003],
  ])('reads %s', (address, high, low) => {
    expect(readIpPrefix(address)).toMatchObject({ high, low });
  });

  it('keeps IPv4 and IPv6 apart', () => {
    expect(readIpPrefix('0.0.0.0').high).not.toBe(readIpPrefix('::').high);
  });
});

describe('isOneHost', () => {
  const remote = (address: string, port = 8585) =>
    ({ address, port, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as const;

  it.each(['1.0.0.0', '10.0.0.7', '127.0.0.1', '223.255.255.255', '::1', 'fe80::1%eth0', '::ffff:10.0.0.7'])(
    'is true of %s',
    (address) => {
      expect(isSingleHost(remote(address))).toBe(true);
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
    expect(isSingleHost(remote(address))).toBe(false);
  });

  it('is false of port 0', () => {
    expect(isSingleHost(remote('10.0.0.7', 0))).toBe(false);
    expect(isSingleHost(remote('10.0.0.7', 1))).toBe(true);
  });
});

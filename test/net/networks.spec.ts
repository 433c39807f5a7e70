/** `net.BlockList` is the second opinion on these networks. */
import { BlockList, isIP } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Sender } from '../../lib/exchange/remote.js';
import { Networks, readNetwork } from '../../lib/net/index.js';
import { Random } from '../../lib/testing/random.js';

const RUNS = 400;

const sender = (address: string) => new Sender({ address, port: 8585, family: isIP(address) === 4 ? 'IPv4' : 'IPv6' });
const networksOf = (...texts: string[]) => new Networks(texts.map((text) => readNetwork(text)!));

const IPV4_MAX = 2n ** 32n - 1n;
const IPV6_MAX = 2n ** 128n - 1n;

function ipv4Text(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
}

function ipv6Text(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  return groups.join(':');
}

/** The first address of a network, the last one, and their neighbours outside, if there are any. */
function borders(value: bigint, bits: number, width: number): { inside: bigint[]; outside: bigint[] } {
  const size = 1n << BigInt(width - bits);
  const first = value - (value % size);
  const last = first + size - 1n;
  const max = width === 32 ? IPV4_MAX : IPV6_MAX;
  return { inside: [first, last], outside: [first - 1n, last + 1n].filter((each) => each >= 0n && each <= max) };
}

describe('Networks', () => {
  it.each([
    ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3', '::ffff:a01:203'], ['9.255.255.255', '11.0.0.0']],
    ['10.1.2.3/8', ['10.0.0.0', '10.255.255.255'], ['9.255.255.255', '11.0.0.0']],
    ['192.168.7.7/32', ['192.168.7.7'], ['192.168.7.6', '192.168.7.8']],
    ['128.0.0.0/1', ['128.0.0.0', '255.255.255.255'], ['127.255.255.255', '0.0.0.0']],
    ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255', '::ffff:1.2.3.4'], ['::', '::fffe:1.2.3.4', '2001:db8::1']],
    ['fd00::/8', ['fd00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'], ['fcff::', 'fe00::', '253.0.0.1']],
    ['2001:db8::7/128', ['2001:db8::7'], ['2001:db8::6', '2001:db8::8']],
    ['2001:db8::/65', ['2001:db8:0:0:7fff::'], ['2001:db8:0:0:8000::', '2001:db7:ffff:ffff::']],
    ['fe80::/10', ['fe80::1%eth0', 'febf::%2'], ['fec0::1%eth0']],
    ['::/0', ['::', '2001:db8::1', '1.2.3.4', '::ffff:1.2.3.4'], []],
    ['::ffff:10.0.0.0/104', ['10.1.2.3', '::ffff:10.1.2.3'], ['11.0.0.0', '::10.1.2.3']],
  ])('%s', (network, inside, outside) => {
    const networks = networksOf(network);
    expect(inside.filter((address) => !networks.has(sender(address)))).toEqual([]);
    expect(outside.filter((address) => networks.has(sender(address)))).toEqual([]);
  });

  it('has an address of any network in the list', () => {
    const networks = networksOf('10.0.0.0/8', 'fd00::/8', '192.168.0.0/16');
    expect(['10.0.0.1', 'fd00::1', '192.168.0.1'].filter((address) => !networks.has(sender(address)))).toEqual([]);
    expect(networks.has(sender('172.16.0.1'))).toBe(false);
    expect(networksOf().has(sender('10.0.0.1'))).toBe(false);
  });

  it.each([4, 6])('agrees with net.BlockList on both sides of each border, IPv%i', (version) => {
    const random = new Random(version);
    const width = version === 4 ? 32 : 128;
    const text = version === 4 ? ipv4Text : ipv6Text;
    const family = version === 4 ? 'ipv4' : 'ipv6';
    for (let bits = 0; bits <= width; bits++) {
      const value = Array.from({ length: width / 16 }).reduce<bigint>(
        (sum) => (sum << 16n) | BigInt(random.below(0x1_0000)),
        0n,
      );
      const networks = networksOf(`${text(value)}/${bits}`);
      const list = new BlockList();
      list.addSubnet(text(value), bits, family);
      const { inside, outside } = borders(value, bits, width);
      for (const [addresses, isInside] of [
        [inside, true],
        [outside, false],
      ] as const) {
        for (const address of addresses.map(text)) {
          expect(list.check(address, family), `${text(value)}/${bits} ${address}`).toBe(isInside);
          expect(networks.has(sender(address)), `${text(value)}/${bits} ${address}`).toBe(isInside);
        }
      }
    }
  });

  it('agrees with net.BlockList on random lists and addresses of both families', () => {
    const random = new Random(3);
    // Few values for each group, so that addresses share long prefixes with networks.
    const group = () => random.pick([0, 0, 1, 0xffff, 0x8000]);
    const anyIPv4 = () => Array.from({ length: 4 }, () => random.pick([0, 10, 127, 128, 255])).join('.');
    const anyIPv6 = () =>
      random.chance(0.5) ? `::ffff:${anyIPv4()}` : Array.from({ length: 8 }, () => group().toString(16)).join(':');
    const any = () => (random.chance(0.5) ? anyIPv4() : anyIPv6());
    let found = 0;
    for (let run = 0; run < RUNS; run++) {
      const list = new BlockList();
      const texts = Array.from({ length: random.below(4) }, () => {
        const address = any();
        const isIPv4 = isIP(address) === 4;
        const bits = random.below(isIPv4 ? 33 : 129);
        list.addSubnet(address, bits, isIPv4 ? 'ipv4' : 'ipv6');
        return `${address}/${bits}`;
      });
      const networks = networksOf(...texts);
      for (let count = 0; count < 20; count++) {
        const address = any();
        const expected = list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
        found += Number(expected);
        expect(networks.has(sender(address)), `${address} in ${texts.join(' ')}`).toBe(expected);
      }
    }
    // Neither answer is rare.
    expect(found).toBeGreaterThan(RUNS);
    expect(found).toBeLessThan(19 * RUNS);
  });
});

describe('readNetwork', () => {
  it.each(['', '10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0/8', '::/129', 'lan/8', '10.0.0.0/-1', '10.0.0.0/8/8'])(
    'reads nothing in "%s"',
    (text) => {
      expect(readNetwork(text)).toBeUndefined();
    },
  );
});

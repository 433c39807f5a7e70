import { describe, expect, it } from 'vitest';
import { mapIPv4, parseIPv4, parseIPv6 } from '../lib/ip-address.js';
import { Random } from '../lib/testing/random.js';

const RUNS = 2000;

const random = new Random(7);

/** Half of the groups are zero, so that `::` stands in any place. */
const groups = () => Array.from({ length: 8 }, () => (random.chance(0.5) ? 0 : random.below(0x1_0000)));
const wordsOf = (all: number[]) => [0, 2, 4, 6].map((index) => (all[index]! << 16) | all[index + 1]!);

/** The shortest text of an address, as the system writes it. */
const shorten = (address: string) => new URL(`http://[${address}]`).hostname.slice(1, -1);

describe('parseIPv4', () => {
  it('reads each byte', () => {
    for (const bytes of [
      [0, 0, 0, 0],
      [255, 255, 255, 255],
      [1, 2, 3, 4],
      ...Array.from({ length: RUNS }, () => [1, 2, 3, 4].map(() => random.below(256))),
    ]) {
      expect(parseIPv4(bytes.join('.'))).toBe(Buffer.from(bytes).readUInt32BE());
    }
  });

  it('begins at an index', () => {
    expect(parseIPv4('::ffff:10.0.0.7', 7)).toBe(0x0a00_0007);
  });
});

describe('parseIPv6', () => {
  it('reads an address in full, in its shortest form, and in capitals', () => {
    for (let run = 0; run < RUNS; run++) {
      const all = groups();
      const full = all.map((group) => group.toString(16)).join(':');
      for (const text of [full, full.toUpperCase(), shorten(full)]) {
        expect(parseIPv6(text), text).toEqual(wordsOf(all));
      }
    }
  });

  it.each([
    ['::', [0, 0, 0, 0]],
    ['::1', [0, 0, 0, 1]],
    ['1::', [0x0001_0000, 0, 0, 0]],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', [-1, -1, -1, -1]],
    ['fe80::1%eth0', [0xfe80_0000 | 0, 0, 0, 1]],
    ['::1:2:3:4:5:6:7', [1, 0x0002_0003, 0x0004_0005, 0x0006_0007]],
    ['1:2:3:4:5:6:7::', [0x0001_0002, 0x0003_0004, 0x0005_0006, 0x0007_0000]],
    ['1:2:3:4:5:6:10.0.0.7', [0x0001_0002, 0x0003_0004, 0x0005_0006, 0x0a00_0007]],
    ['64:ff9b::192.0.2.33', [0x0064_ff9b, 0, 0, 0xc000_0221 | 0]],
  ])('reads %s', (text, words) => {
    expect(parseIPv6(text)).toEqual(words);
  });

  it('reads an IPv4-mapped address as mapIPv4 makes it', () => {
    expect(parseIPv6('::ffff:255.0.0.7')).toEqual(mapIPv4(0xff00_0007));
    expect(parseIPv6('::ffff:a00:7')).toEqual(mapIPv4(0x0a00_0007));
  });
});

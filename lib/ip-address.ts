/**
 * IP addresses as numbers, which compare in a few nanoseconds. Their texts come from the system or have passed `isIP`, so they are valid.
 */

/** An address as four 32-bit integers with a sign. An IPv4 address is IPv4-mapped: `::ffff:10.0.0.7`. */
export type IpWords = readonly [number, number, number, number];

/** The third word of an IPv4-mapped address. */
const MAPPED_WORD = 0xffff;
const GROUPS = 8;
const DOT = 0x2e;
const COLON = 0x3a;
const PERCENT = 0x25;

/** The groups of the address that is being read. */
const read = new Uint16Array(GROUPS);

/**
 * An IPv4 address as a number without a sign.
 *
 * @param from the index of the first digit.
 */
export function parseIPv4(address: string, from = 0): number {
  let value = 0;
  let byte = 0;
  for (let index = from; index < address.length; index++) {
    const unit = address.charCodeAt(index);
    if (unit === DOT) {
      value = (value << 8) | byte;
      byte = 0;
    } else {
      byte = byte * 10 + unit - 0x30;
    }
  }
  return ((value << 8) | byte) >>> 0;
}

export function mapIPv4(ipv4: number): IpWords {
  return [0, 0, MAPPED_WORD, ipv4 | 0];
}

/** Ignores a zone. A `::` stands for the groups of zeros that are missing, and the address may end in an IPv4 address. */
export function parseIPv6(address: string): IpWords {
  let count = 0;
  let gap = -1;
  let group = 0;
  let digits = 0;
  for (let index = 0; index < address.length; index++) {
    const unit = address.charCodeAt(index);
    if (unit === PERCENT) {
      break;
    }
    if (unit === DOT) {
      const ipv4 = parseIPv4(address, index - digits);
      read[count++] = ipv4 >>> 16;
      group = ipv4 & 0xffff;
      break;
    }
    if (unit !== COLON) {
      group = (group << 4) | valueOfHexDigit(unit);
      digits++;
    } else if (digits > 0) {
      read[count++] = group;
      group = 0;
      digits = 0;
    } else {
      gap = count;
    }
  }
  if (digits > 0) {
    read[count++] = group;
  }
  // Without a gap all groups come before it.
  const head = gap < 0 ? GROUPS : gap;
  const wordAt = (index: number) => (groupAt(index, head, count) << 16) | groupAt(index + 1, head, count);
  return [wordAt(0), wordAt(2), wordAt(4), wordAt(6)];
}

/**
 * @param head the groups before the gap.
 * @param count the groups that were read.
 */
function groupAt(index: number, head: number, count: number): number {
  if (index < head) {
    return read[index]!;
  }
  const inTail = index - (GROUPS - count);
  return inTail < head ? 0 : read[inTail]!;
}

function valueOfHexDigit(unit: number): number {
  return (unit & 0x0f) + (unit >> 6) * 9;
}

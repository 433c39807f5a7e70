/**
 * Addresses as numbers, for limits: whom a datagram claims to come from, and the network around it.
 */

/** Where a datagram came from, and where its answer goes. */
export interface BenUdpRemote {
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
}

/** What an endpoint's pairs are derived from. Addresses hold no `|`, so no two endpoints read alike. */
export function endpointName({ address, port }: BenUdpRemote): string {
  return `${address}|${port}`;
}

const IPV4_MAPPED = '::ffff:';

/** IPv4: `0.0.0.0/8` means no host, and from `224.0.0.0` on come multicast, reserved addresses and the broadcast. */
const FIRST_MULTICAST_OCTET = 224;

/**
 * Whether an answer to a sender can reach one host. A sender that calls itself port 0, or the unspecified, a multicast or the
 * broadcast address, is forged: an answer would fail, or reach everybody.
 */
export function isSingleHost({ address, port }: BenUdpRemote): boolean {
  if (port === 0) {
    return false;
  }
  const ipv4 = address.startsWith(IPV4_MAPPED) ? address.slice(IPV4_MAPPED.length) : address;
  const end = ipv4.indexOf('.');
  if (end < 0) {
    return address !== '::' && !address.startsWith('ff');
  }
  const octet = Number(ipv4.slice(0, end));
  return octet > 0 && octet < FIRST_MULTICAST_OCTET;
}

/** Two 32-bit numbers each: the address (IPv6: its /64, which one host has to itself) and its network (/24, IPv6: /48). */
export interface IpPrefix {
  readonly high: number;
  readonly low: number;
  readonly networkHigh: number;
  readonly networkLow: number;
}

/** What no IPv6 address in use begins with; keeps IPv4 addresses apart. */
const IPV4_HIGH = 0xffff_ffff;

/** @param address as the system prints it. */
export function readIpPrefix(address: string): IpPrefix {
  const ipv4 = address.startsWith(IPV4_MAPPED) ? address.slice(IPV4_MAPPED.length) : address;
  if (ipv4.includes('.')) {
    const low = readIPv4(ipv4);
    return { high: IPV4_HIGH, low, networkHigh: IPV4_HIGH, networkLow: (low & 0xffff_ff00) >>> 0 };
  }
  const [a = 0, b = 0, c = 0, d = 0] = readIPv6Prefix(address);
  const high = ((a << 16) | b) >>> 0;
  return { high, low: ((c << 16) | d) >>> 0, networkHigh: high, networkLow: (c << 16) >>> 0 };
}

/** @param address four numbers with points between. */
export function readIPv4(address: string): number {
  let value = 0;
  let byte = 0;
  for (let index = 0; index < address.length; index++) {
    const unit = address.charCodeAt(index);
    if (unit === 0x2e) {
      value = (value << 8) | byte;
      byte = 0;
    } else {
      byte = byte * 10 + unit - 0x30;
    }
  }
  return ((value << 8) | byte) >>> 0;
}

/** The first four groups. A `::` before them stands for groups of zeros, as many as are missing to eight. */
function readIPv6Prefix(address: string): number[] {
  const [before = '', after] = (address.split('%', 1)[0] ?? '').split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after === undefined || after === '' ? [] : after.split(':');
  const zeros = after === undefined ? 0 : 8 - head.length - tail.length;
  const groups = [...head, ...Array<string>(Math.max(0, zeros)).fill('0'), ...tail];
  return groups.slice(0, 4).map((group) => Number.parseInt(group, 16));
}

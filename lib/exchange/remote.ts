/**
 * The sender of a datagram. Its address is parsed at most once, when the first limit or table asks for a number.
 */
import { type IpWords, mapIPv4, parseIPv4, parseIPv6 } from '../ip-address.js';

/** The address and port that a datagram came from, and that its answer goes to. */
export interface BenUdpRemote {
  readonly address: string;
  readonly port: number;
  readonly family: 'IPv4' | 'IPv6';
}

/**
 * Identifies an endpoint in a table. For IPv4 it is one number: a lookup takes a quarter of the time of a string that is built for
 * each datagram.
 */
export type EndpointKey = number | string;

/** Identifies an address as limits count it: an IPv4 address, or an IPv6 /64. A small integer is a key without an allocation. */
export type AddressKey = number | string;

/** The part of an address that one host or one network owns, as two 32-bit numbers each. Limits call the first a source. */
export interface IpPrefix {
  /** The IPv4 address, or the IPv6 /64. */
  readonly high: number;
  readonly low: number;
  /** The IPv4 /24, or the IPv6 /48. */
  readonly networkHigh: number;
  readonly networkLow: number;
}

/** The address and port of an endpoint. */
export function remoteOfEndpoint(key: EndpointKey): BenUdpRemote {
  if (typeof key === 'number') {
    const ipv4 = Math.floor(key / 0x1_0000);
    const address = [24, 16, 8, 0].map((shift) => (ipv4 >>> shift) & 0xff).join('.');
    return { address, port: key % 0x1_0000, family: 'IPv4' };
  }
  const [address = '', port = ''] = key.split('|');
  return { address, port: Number(port), family: 'IPv6' };
}

const IPV4_MAPPED = '::ffff:';

/** No IPv6 address in use begins with these bits, so they keep IPv4 addresses apart. */
const IPV4_HIGH = 0xffff_ffff;

/** 0.0.0.0/8 is not a host. From 224.0.0.0 on follow multicast, reserved addresses and the broadcast address. */
const FIRST_MULTICAST_OCTET = 224;

export class Sender {
  readonly key: EndpointKey;
  /** The address as a number; `undefined` for IPv6, except for an IPv4-mapped address. */
  readonly ipv4: number | undefined;
  private parsedIPv6: IpWords | undefined = undefined;
  private parsedPrefix: IpPrefix | undefined = undefined;

  constructor(readonly remote: BenUdpRemote) {
    const { address, port, family } = remote;
    if (family === 'IPv4') {
      this.ipv4 = parseIPv4(address);
      this.key = this.ipv4 * 0x1_0000 + port;
    } else {
      this.ipv4 =
        address.startsWith(IPV4_MAPPED) && address.includes('.') ? parseIPv4(address, IPV4_MAPPED.length) : undefined;
      this.key = this.name;
    }
  }

  /** The input of the pairs of this endpoint. An address has no `|`, so two endpoints never have one name. */
  get name(): string {
    return `${this.remote.address}|${this.remote.port}`;
  }

  /**
   * Whether an answer can reach one host. A sender with port 0, or with the unspecified, a multicast or the broadcast address, is
   * forged: the answer would fail, or reach everybody.
   */
  get isSingleHost(): boolean {
    const { address, port } = this.remote;
    if (port === 0) {
      return false;
    }
    if (this.ipv4 === undefined) {
      return address !== '::' && !address.startsWith('ff');
    }
    const firstOctet = this.ipv4 >>> 24;
    return firstOctet > 0 && firstOctet < FIRST_MULTICAST_OCTET;
  }

  get addressKey(): AddressKey {
    return this.ipv4 === undefined ? `${this.prefix.high}:${this.prefix.low}` : this.ipv4 | 0;
  }

  /** The address in binary: 4 or 16 bytes. An IPv4-mapped address is IPv4. */
  get addressBytes(): Buffer {
    const bytes = Buffer.alloc(this.ipv4 === undefined ? 16 : 4);
    if (this.ipv4 === undefined) {
      this.ipv6.forEach((word, index) => bytes.writeInt32BE(word, 4 * index));
    } else {
      bytes.writeUInt32BE(this.ipv4);
    }
    return bytes;
  }

  /** The whole address. An IPv4 address is IPv4-mapped. */
  get ipv6(): IpWords {
    this.parsedIPv6 ??= this.ipv4 === undefined ? parseIPv6(this.remote.address) : mapIPv4(this.ipv4);
    return this.parsedIPv6;
  }

  get prefix(): IpPrefix {
    this.parsedPrefix ??= this.ipv4 === undefined ? prefixOfIPv6(this.ipv6) : prefixOfIPv4(this.ipv4);
    return this.parsedPrefix;
  }
}

function prefixOfIPv4(low: number): IpPrefix {
  return { high: IPV4_HIGH, low, networkHigh: IPV4_HIGH, networkLow: (low & 0xffff_ff00) >>> 0 };
}

function prefixOfIPv6([a, b]: IpWords): IpPrefix {
  const high = a >>> 0;
  return { high, low: b >>> 0, networkHigh: high, networkLow: (b & 0xffff_0000) >>> 0 };
}

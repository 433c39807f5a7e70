/**
 * Networks in CIDR notation. `net.BlockList` would read the text of each address again, which takes 2 to 7 µs for each hello of a flood.
 */
import { isIP } from 'node:net';
import { type IpWords, mapIPv4, parseIPv4, parseIPv6 } from '../ip-address.js';

const CIDR = /^([^/]+)\/(\d{1,3})$/;

const IPV4_BITS = 32;
const IPV6_BITS = 128;

/** A parsed address. */
export interface ReadAddress {
  /** `undefined` for IPv6, except for an IPv4-mapped address. */
  readonly ipv4: number | undefined;
  readonly ipv6: IpWords;
}

/** The words of a network, and of its mask. An IPv4 network is IPv4-mapped. */
export interface Network {
  readonly address: IpWords;
  readonly mask: IpWords;
}

/** `undefined` if the text is not a network. */
export function readNetwork(text: string): Network | undefined {
  const [, address = '', prefix = ''] = CIDR.exec(text) ?? [];
  const version = isIP(address);
  const bits = Number(prefix);
  if (version === 0 || bits > (version === 4 ? IPV4_BITS : IPV6_BITS)) {
    return undefined;
  }
  return version === 4
    ? networkOf(mapIPv4(parseIPv4(address)), IPV6_BITS - IPV4_BITS + bits)
    : networkOf(parseIPv6(address), bits);
}

function networkOf([a, b, c, d]: IpWords, bits: number): Network {
  const mask: IpWords = [maskOf(bits), maskOf(bits - 32), maskOf(bits - 64), maskOf(bits - 96)];
  return { address: [a & mask[0], b & mask[1], c & mask[2], d & mask[3]], mask };
}

/** A word that begins with this many ones. */
function maskOf(bits: number): number {
  // A shift by 32 would be one by 0.
  return bits <= 0 ? 0 : -1 << (32 - Math.min(bits, 32));
}

const WORDS_PER_NETWORK = 8;

export class Networks {
  /** For each network the four words of its address, then those of its mask. */
  private readonly words: Int32Array;

  constructor(networks: readonly Network[]) {
    this.words = Int32Array.from(networks.flatMap(({ address, mask }) => [...address, ...mask]));
  }

  /** Whether an address is in one of the networks. */
  has(address: ReadAddress): boolean {
    if (address.ipv4 !== undefined) {
      return this.hasWords(0, 0, 0xffff, address.ipv4);
    }
    const [a, b, c, d] = address.ipv6;
    return this.hasWords(a, b, c, d);
  }

  private hasWords(a: number, b: number, c: number, d: number): boolean {
    const { words } = this;
    for (let at = 0; at < words.length; at += WORDS_PER_NETWORK) {
      if (
        (a & words[at + 4]!) === words[at] &&
        (b & words[at + 5]!) === words[at + 1] &&
        (c & words[at + 6]!) === words[at + 2] &&
        (d & words[at + 7]!) === words[at + 3]
      ) {
        return true;
      }
    }
    return false;
  }
}

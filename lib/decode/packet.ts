/**
 * The UDP datagram in a captured packet: link layer, IPv4 or IPv6, UDP. The bytes are untrusted: a malformed packet is skipped with
 * a reason.
 */

export interface UdpPacket {
  readonly source: { readonly address: string; readonly port: number };
  readonly destination: { readonly address: string; readonly port: number };
  readonly payload: Buffer;
  /** Whether the capture holds only a part of the payload. */
  readonly isCut: boolean;
}

/** The reason to skip a packet. */
export type PacketFault =
  'unsupported link type' | 'no IP packet' | 'not UDP' | 'cut off in its headers' | 'part of a fragmented packet';

/** A fragment of an IPv4 packet. */
export interface Fragment {
  /** Same for all fragments of a packet. */
  readonly packet: string;
  /** Bytes of the payload before this fragment. */
  readonly offset: number;
  readonly isLast: boolean;
  readonly bytes: Buffer;
  readonly source: string;
  readonly destination: string;
}

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = new Set([0x8100, 0x88a8, 0x9100]);
const PROTOCOL_UDP = 17;
const UDP_HEADER_BYTES = 8;
const IPV6_HEADER_BYTES = 40;
/** Hop-by-hop, routing and destination options: the next header, then a length. */
const IPV6_OPTIONS = new Set([0, 43, 60]);
const IPV6_FRAGMENT = 44;
/** Largest number of skipped extension headers. */
const MAX_IPV6_OPTIONS = 8;

/** The offset of the IP packet by link type. */
const LINK_TYPES: ReadonlyMap<number, (packet: Buffer) => number | undefined> = new Map([
  [0, () => 4], // NULL: BSD loopback, 4 bytes of address family
  [1, skipEthernet],
  [12, () => 0], // RAW on some systems
  [14, () => 0],
  [101, () => 0], // RAW
  [108, () => 4], // LOOP
  [113, (packet) => skipCooked(packet, 14, 16)], // Linux cooked capture, tcpdump -i any
  [228, () => 0], // IPV4
  [229, () => 0], // IPV6
  [276, (packet) => skipCooked(packet, 0, 20)], // Linux cooked capture v2
]);

export function parsePacket(packet: Buffer, linkType: number): UdpPacket | Fragment | PacketFault {
  const skip = LINK_TYPES.get(linkType);
  if (!skip) {
    return 'unsupported link type';
  }
  const start = skip(packet);
  if (start === undefined || start >= packet.length) {
    return 'no IP packet';
  }
  const ip = packet.subarray(start);
  switch (ip[0]! >> 4) {
    case 4:
      return parseIPv4(ip);
    case 6:
      return parseIPv6(ip);
    default:
      return 'no IP packet';
  }
}

export function isFragment(packet: UdpPacket | Fragment): packet is Fragment {
  return 'offset' in packet;
}

/** The UDP datagram in the payload of an IP packet. */
export function parseUdp(udp: Buffer, source: string, destination: string): UdpPacket | PacketFault {
  if (udp.length < UDP_HEADER_BYTES) {
    return 'cut off in its headers';
  }
  const length = udp.readUInt16BE(4);
  const payload = udp.subarray(UDP_HEADER_BYTES, Math.max(length, UDP_HEADER_BYTES));
  return {
    source: { address: source, port: udp.readUInt16BE(0) },
    destination: { address: destination, port: udp.readUInt16BE(2) },
    payload,
    isCut: udp.length < length,
  };
}

function skipEthernet(packet: Buffer): number | undefined {
  let at = 12;
  while (at + 2 <= packet.length && ETHERTYPE_VLAN.has(packet.readUInt16BE(at))) {
    at += 4;
  }
  return at + 2 <= packet.length && isIP(packet.readUInt16BE(at)) ? at + 2 : undefined;
}

function skipCooked(packet: Buffer, protocolAt: number, headerBytes: number): number | undefined {
  return packet.length >= headerBytes && isIP(packet.readUInt16BE(protocolAt)) ? headerBytes : undefined;
}

function isIP(etherType: number): boolean {
  return etherType === ETHERTYPE_IPV4 || etherType === ETHERTYPE_IPV6;
}

function parseIPv4(ip: Buffer): UdpPacket | Fragment | PacketFault {
  const headerBytes = (ip[0]! & 0x0f) * 4;
  if (headerBytes < 20 || ip.length < headerBytes) {
    return 'cut off in its headers';
  }
  if (ip[9] !== PROTOCOL_UDP) {
    return 'not UDP';
  }
  const source = ip.subarray(12, 16).join('.');
  const destination = ip.subarray(16, 20).join('.');
  // Ethernet pads short packets, so the length of the packet itself counts. It is 0 if the network card segments large packets.
  const totalBytes = ip.readUInt16BE(2) || ip.length;
  const bytes = ip.subarray(headerBytes, Math.max(totalBytes, headerBytes));
  const flags = ip.readUInt16BE(6);
  const offset = (flags & 0x1fff) * 8;
  const hasMore = (flags & 0x2000) !== 0;
  if (offset > 0 || hasMore) {
    const packet = `${source}|${destination}|${ip.readUInt16BE(4)}`;
    return { packet, offset, isLast: !hasMore, bytes, source, destination };
  }
  return parseUdp(bytes, source, destination);
}

function parseIPv6(ip: Buffer): UdpPacket | PacketFault {
  if (ip.length < IPV6_HEADER_BYTES) {
    return 'cut off in its headers';
  }
  const end = IPV6_HEADER_BYTES + ip.readUInt16BE(4);
  let next = ip[6]!;
  let at = IPV6_HEADER_BYTES;
  for (let index = 0; index < MAX_IPV6_OPTIONS && IPV6_OPTIONS.has(next); index++) {
    if (at + 2 > ip.length) {
      return 'cut off in its headers';
    }
    next = ip[at]!;
    at += (ip[at + 1]! + 1) * 8;
  }
  if (next === IPV6_FRAGMENT) {
    return 'part of a fragmented packet';
  }
  return next === PROTOCOL_UDP
    ? parseUdp(ip.subarray(at, Math.max(end, at)), printIPv6(ip.subarray(8, 24)), printIPv6(ip.subarray(24, 40)))
    : 'not UDP';
}

/** Hex groups, the first run of zeros left out. */
function printIPv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return groups.join(':').replace(/(^|:)0(:0)+(:|$)/, '::');
}

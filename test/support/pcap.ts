/** Builds capture files, field by field, so that a test can put anything into them. */

export interface PacketOptions {
  readonly from?: readonly [address: string, port: number];
  readonly to?: readonly [address: string, port: number];
}

const DEVICE = ['10.0.0.7', 8585] as const;
const SERVER = ['10.0.0.2', 8585] as const;

/** Shorthand: `true` for datagrams of the device. */
export function direction(isDevice: boolean): Required<PacketOptions> {
  return isDevice ? { from: DEVICE, to: SERVER } : { from: SERVER, to: DEVICE };
}

export function udp(payload: Uint8Array, { from = DEVICE, to = SERVER }: PacketOptions = {}): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(from[1], 0);
  header.writeUInt16BE(to[1], 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

export interface IPv4Options extends PacketOptions {
  readonly id?: number;
  /** In bytes. */
  readonly offset?: number;
  readonly hasMore?: boolean;
  readonly protocol?: number;
  /** Bytes of options. */
  readonly optionBytes?: number;
}

export function ipv4(payload: Uint8Array, options: IPv4Options = {}): Buffer {
  const { from = DEVICE, to = SERVER, id = 1, offset = 0, hasMore = false, protocol = 17, optionBytes = 0 } = options;
  const header = Buffer.alloc(20 + optionBytes);
  header[0] = 0x40 + header.length / 4;
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(id, 4);
  header.writeUInt16BE(offset / 8 + (hasMore ? 0x2000 : 0), 6);
  header[9] = protocol;
  Buffer.from(from[0].split('.').map(Number)).copy(header, 12);
  Buffer.from(to[0].split('.').map(Number)).copy(header, 16);
  return Buffer.concat([header, payload]);
}

/** @param extension bytes of a hop-by-hop header, 0 for none. */
export function ipv6(payload: Uint8Array, source: Buffer, destination: Buffer, extension = 0): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(extension + payload.length, 4);
  header[6] = extension > 0 ? 0 : 17;
  source.copy(header, 8);
  destination.copy(header, 24);
  const options = Buffer.alloc(extension);
  if (extension > 0) {
    options[0] = 17;
    options[1] = extension / 8 - 1;
  }
  return Buffer.concat([header, options, payload]);
}

export function ethernet(ip: Buffer, vlans = 0): Buffer {
  const tags = Buffer.alloc(4 * vlans);
  for (let index = 0; index < vlans; index++) {
    tags.writeUInt16BE(0x8100, 4 * index);
  }
  const type = Buffer.from(ip[0]! >> 4 === 6 ? [0x86, 0xdd] : [0x08, 0x00]);
  // Short frames are padded to 60 bytes.
  const frame = Buffer.concat([Buffer.alloc(12, 2), tags, type, ip]);
  return Buffer.concat([frame, Buffer.alloc(Math.max(0, 60 - frame.length))]);
}

export interface PcapOptions {
  readonly linkType?: number;
  readonly isLittle?: boolean;
  readonly isNano?: boolean;
  /** Bytes of each packet that are kept. */
  readonly snaplen?: number;
  /** Milliseconds since the epoch of the first packet; each further one is 1.5 ms later. */
  readonly at?: number;
}

export function pcap(packets: readonly Buffer[], options: PcapOptions = {}): Buffer {
  const { linkType = 1, isLittle = true, isNano = false, snaplen = 65_535, at = 1_700_000_000_000 } = options;
  const word = writer(isLittle);
  const header = [word(isNano ? 0xa1b23c4d : 0xa1b2c3d4), word(0x0004_0002), word(0), word(0), word(snaplen)];
  const records = packets.flatMap((packet, index) => {
    const time = at + 1.5 * index;
    const fraction = (time % 1000) * (isNano ? 1e6 : 1e3);
    const kept = packet.subarray(0, snaplen);
    return [word(Math.floor(time / 1000)), word(Math.floor(fraction)), word(kept.length), word(packet.length), kept];
  });
  return Buffer.concat([...header, word(linkType), ...records]);
}

export interface PcapngOptions {
  readonly linkType?: number;
  readonly isLittle?: boolean;
  /** The two halves of each packet's time, not interpreted. */
  readonly time?: readonly [high: number, low: number];
  /** The value of the time resolution option; microseconds without one. */
  readonly resolution?: number;
  readonly isSimple?: boolean;
  readonly at?: number;
}

export function pcapng(packets: readonly Buffer[], options: PcapngOptions = {}): Buffer {
  const { linkType = 1, isLittle = true, resolution, isSimple = false, at = 1_700_000_000_000 } = options;
  const word = writer(isLittle);
  const half = (value: number) => word(value).subarray(...(isLittle ? [0, 2] : [2, 4]));
  const block = (type: number, ...parts: Uint8Array[]) => {
    const body = Buffer.concat(parts);
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    const length = word(12 + padded.length);
    return Buffer.concat([word(type), length, padded, length]);
  };
  const option =
    resolution === undefined ? [] : [half(9), half(1), Buffer.from([resolution, 0, 0, 0]), half(0), half(0)];
  const unitsPerMs = resolution === 9 ? 1e6 : resolution === 0x8a ? 1.024 : 1e3;
  return Buffer.concat([
    block(0x0a0d0d0a, word(0x1a2b3c4d), half(1), half(0), word(0xffff_ffff), word(0xffff_ffff)),
    block(1, half(linkType), half(0), word(65_535), ...option),
    block(4, word(0)),
    ...packets.map((packet, index) => {
      const time = Math.round((at + 1.5 * index) * unitsPerMs);
      const stamp = (options.time ?? [Math.floor(time / 2 ** 32), time % 2 ** 32]).map((part) => word(part));
      return isSimple
        ? block(3, word(packet.length), packet)
        : block(6, word(0), ...stamp, word(packet.length), word(packet.length), packet);
    }),
  ]);
}

function writer(isLittle: boolean): (value: number) => Buffer {
  return (value) => {
    const bytes = Buffer.alloc(4);
    if (isLittle) {
      bytes.writeUInt32LE(value);
    } else {
      bytes.writeUInt32BE(value);
    }
    return bytes;
  };
}

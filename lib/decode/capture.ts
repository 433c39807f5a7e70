/**
 * Capture files: pcap from `tcpdump -w`, and pcapng from Wireshark. Their contents are untrusted, so every length is checked. Only
 * views of the file are kept.
 */
import { type Fragment, type UdpPacket, isFragment, parsePacket, parseUdp } from './packet.js';
import { MAX_DATAGRAMS, refuseRecording } from './recording.js';

/** A UDP datagram of a capture. */
export interface CapturedDatagram extends UdpPacket {
  /** The number of its packet, from 1. */
  readonly number: number;
  /** Milliseconds since the epoch; `undefined` if the capture has no valid time. */
  readonly at: number | undefined;
}

export interface Capture {
  readonly kind: 'pcap' | 'pcapng';
  readonly datagrams: readonly CapturedDatagram[];
  readonly skipped: Readonly<Record<string, number>>;
}

interface Packet {
  readonly bytes: Buffer;
  readonly linkType: number;
  readonly at: number | undefined;
}

const PCAP_HEADER_BYTES = 24;
const PCAP_RECORD_BYTES = 16;
const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const MIN_BLOCK_BYTES = 12;
const OPTION_TIME_RESOLUTION = 9;

/** Incomplete fragmented packets at once. Fragments of further packets are dropped. */
const MAX_OPEN_PACKETS = 1024;
/** Fragments of one packet. With 8 bytes each, there could be 8192. */
const MAX_FRAGMENTS = 64;

/** The latest time of a `Date`. */
const LAST_TIME_MS = 8.64e15;

const CUT_SHORT = 'packet cut off by the end of the file';

export function isPcap(bytes: Buffer): boolean {
  return bytes.length >= 4 && pcapOrder(bytes) !== undefined;
}

export function isPcapng(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt32BE(0) === SECTION_HEADER;
}

/** @throws BenUdpError `BEN_BAD_RECORDING`. */
export function parseCapture(bytes: Buffer): Capture {
  const kind = isPcapng(bytes) ? 'pcapng' : 'pcap';
  const datagrams: CapturedDatagram[] = [];
  const skipped: Record<string, number> = {};
  const skip = (reason: string) => {
    skipped[reason] = (skipped[reason] ?? 0) + 1;
  };
  const assembler = new Assembler();
  let number = 0;
  for (const packet of kind === 'pcap' ? readPcap(bytes, skip) : readPcapng(bytes, skip)) {
    number++;
    const parsed = parsePacket(packet.bytes, packet.linkType);
    const whole = typeof parsed === 'string' || !isFragment(parsed) ? parsed : assembler.add(parsed);
    if (typeof whole === 'string') {
      skip(whole);
    } else if (whole) {
      if (datagrams.length >= MAX_DATAGRAMS) {
        refuseRecording(
          `the capture holds more than ${MAX_DATAGRAMS} UDP datagrams: cut it with "tcpdump -r" and a filter`,
        );
      }
      datagrams.push({ ...whole, number, at: packet.at });
    }
  }
  if (assembler.open > 0) {
    skipped['incomplete fragmented packet'] = assembler.open;
  }
  return { kind, datagrams, skipped };
}

interface PcapOrder {
  readonly isLittle: boolean;
  readonly unitsPerMs: number;
}

function pcapOrder(bytes: Buffer): PcapOrder | undefined {
  for (const isLittle of [true, false]) {
    const magic = isLittle ? bytes.readUInt32LE(0) : bytes.readUInt32BE(0);
    if (magic === MICROSECONDS || magic === NANOSECONDS) {
      return { isLittle, unitsPerMs: magic === MICROSECONDS ? 1e3 : 1e6 };
    }
  }
  return undefined;
}

function* readPcap(bytes: Buffer, skip: (reason: string) => void): Iterable<Packet> {
  const order = pcapOrder(bytes);
  if (!order || bytes.length < PCAP_HEADER_BYTES) {
    return refuseRecording('the header of the pcap file is incomplete: record it again');
  }
  const read = reader(bytes, order.isLittle);
  // The upper bits say whether frames end in a checksum.
  const linkType = read(20) & 0x0fff_ffff;
  for (let at = PCAP_HEADER_BYTES; at < bytes.length;) {
    const start = at + PCAP_RECORD_BYTES;
    const captured = start <= bytes.length ? read(at + 8) : Infinity;
    if (start + captured > bytes.length) {
      skip(CUT_SHORT);
      return;
    }
    yield {
      bytes: bytes.subarray(start, start + captured),
      linkType,
      at: toTime(read(at) * 1000 + read(at + 4) / order.unitsPerMs),
    };
    at = start + captured;
  }
}

interface PcapngInterface {
  readonly linkType: number;
  readonly unitsPerMs: number;
}

function* readPcapng(bytes: Buffer, skip: (reason: string) => void): Iterable<Packet> {
  let isLittle = true;
  let interfaces: PcapngInterface[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + MIN_BLOCK_BYTES > bytes.length) {
      skip(CUT_SHORT);
      return;
    }
    if (bytes.readUInt32BE(at) === SECTION_HEADER) {
      isLittle = bytes.readUInt32LE(at + 8) === BYTE_ORDER_MAGIC;
      interfaces = [];
    }
    const read = reader(bytes, isLittle);
    const type = read(at);
    const length = read(at + 4);
    if (length < MIN_BLOCK_BYTES || length % 4 !== 0 || at + length > bytes.length) {
      skip(CUT_SHORT);
      return;
    }
    const block = bytes.subarray(at, at + length);
    const readHere = (offset: number) => (offset + 4 <= length ? read(at + offset) : 0);
    if (type === INTERFACE_DESCRIPTION) {
      interfaces.push({
        linkType: (readHere(8) >>> (isLittle ? 0 : 16)) & 0xffff,
        unitsPerMs: timeResolution(block, isLittle),
      });
    } else if (type === ENHANCED_PACKET || type === SIMPLE_PACKET) {
      const packet = readPcapngPacket(block, type, readHere, interfaces);
      if (packet) {
        yield packet;
      } else {
        skip('malformed packet block');
      }
    }
    at += length;
  }
}

function readPcapngPacket(
  block: Buffer,
  type: number,
  read: (offset: number) => number,
  interfaces: readonly PcapngInterface[],
): Packet | undefined {
  const isEnhanced = type === ENHANCED_PACKET;
  const origin = interfaces[isEnhanced ? read(8) : 0];
  const start = isEnhanced ? 28 : 12;
  const captured = isEnhanced ? read(20) : Math.min(read(8), Math.max(0, block.length - 16));
  if (!origin || start + captured > block.length - 4) {
    return undefined;
  }
  return {
    bytes: block.subarray(start, start + captured),
    linkType: origin.linkType,
    at: isEnhanced ? toTime((read(12) * 2 ** 32 + read(16)) / origin.unitsPerMs) : undefined,
  };
}

/** A capture can hold any number, and a `Date` can't. */
function toTime(ms: number): number | undefined {
  return ms <= LAST_TIME_MS ? ms : undefined;
}

/** Units of time in a millisecond. The default unit is a microsecond. */
function timeResolution(block: Buffer, isLittle: boolean): number {
  for (let at = 16; at + 4 < block.length - 4;) {
    const code = isLittle ? block.readUInt16LE(at) : block.readUInt16BE(at);
    const length = isLittle ? block.readUInt16LE(at + 2) : block.readUInt16BE(at + 2);
    if (code === 0) {
      break;
    }
    if (code === OPTION_TIME_RESOLUTION && length >= 1) {
      const resolution = block[at + 4]!;
      const exponent = resolution & 0x7f;
      return (resolution & 0x80 ? 2 ** exponent : 10 ** exponent) / 1000;
    }
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return 1000;
}

function reader(bytes: Buffer, isLittle: boolean): (offset: number) => number {
  return isLittle ? (offset) => bytes.readUInt32LE(offset) : (offset) => bytes.readUInt32BE(offset);
}

/** Reassembles fragmented packets: Ethernet and Wi-Fi split a request of more than 1472 bytes. */
class Assembler {
  /** Bounded by `MAX_OPEN_PACKETS`. */
  private readonly packets = new Map<string, Fragment[]>();

  /** Incomplete packets. */
  get open(): number {
    return this.packets.size;
  }

  /** The datagram, if this fragment completes it. */
  add(fragment: Fragment): UdpPacket | string | undefined {
    const pieces = this.packets.get(fragment.packet) ?? [];
    pieces.push(fragment);
    const bytes = join(pieces);
    if (bytes || pieces.length >= MAX_FRAGMENTS) {
      this.packets.delete(fragment.packet);
      return bytes ? parseUdp(bytes, fragment.source, fragment.destination) : 'packet of too many fragments';
    }
    if (this.packets.size >= MAX_OPEN_PACKETS && !this.packets.has(fragment.packet)) {
      return 'fragment beyond the limit of incomplete packets';
    }
    this.packets.set(fragment.packet, pieces);
    return undefined;
  }
}

/** The bytes of a packet, if all fragments are there. */
function join(pieces: readonly Fragment[]): Buffer | undefined {
  const sorted = pieces.toSorted((one, other) => one.offset - other.offset);
  const parts: Buffer[] = [];
  let end = 0;
  for (const { offset, bytes } of sorted) {
    if (offset > end) {
      return undefined;
    }
    if (offset === end) {
      parts.push(bytes);
      end += bytes.length;
    }
  }
  return sorted.at(-1)!.isLast ? Buffer.concat(parts) : undefined;
}

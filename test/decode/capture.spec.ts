/** Capture files of every form that is read, built here, and the kept one, which the kernel's own packets are in. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { type DecodedExchange, decodeExchanges, readRecording } from '../../lib/decode/index.js';
import { describe, expect, it } from 'vitest';
import { deriveKey } from '../../lib/keys/index.js';
import { direction, ethernet, ipv4, ipv6, pcap, pcapng, udp } from '../support/pcap.js';
import { recordedExchanges, recordedKey } from '../support/vectors.js';

const [recorded] = recordedExchanges;
const { hello, pair, envelope, reply, request, response } = recorded!;

/** The datagrams of one recorded exchange, with who sends them. */
const DATAGRAMS: ReadonlyArray<readonly [isDevice: boolean, bytes: Buffer]> = [
  [true, hello],
  [false, pair.ciphertext],
  [false, pair.iv],
  [true, envelope],
  ...reply.map((bytes) => [false, bytes] as const),
];

const IP_PACKETS = DATAGRAMS.map(([isDevice, bytes]) => {
  const { from, to } = direction(isDevice);
  return ipv4(udp(bytes, { from, to }), { from, to });
});

function decode(file: Buffer, port?: number): DecodedExchange[] {
  return decodeExchanges(readRecording(file, port), [recordedKey]);
}

/** The findings without the names of the steps. */
function summaryOf(exchanges: readonly DecodedExchange[]): unknown[] {
  return exchanges.map(({ steps, conversation, ...exchange }) => ({
    conversation,
    request: exchange.request,
    reply: exchange.reply,
    faults: exchange.faults,
    places: steps.map(({ place }) => place),
  }));
}

/** The recorded exchange, and nothing else. */
function whole(conversation = '10.0.0.7:8585 > 10.0.0.2:8585'): unknown[] {
  const places = DATAGRAMS.map((_, index) => `packet ${index + 1}`);
  return [{ conversation, request, reply: response, faults: [], places }];
}

const cooked = (headerBytes: number, protocolAt: number) => (ip: Buffer) => {
  const header = Buffer.alloc(headerBytes, 1);
  header.writeUInt16BE(0x0800, protocolAt);
  return Buffer.concat([header, ip]);
};
const LINKS: ReadonlyArray<readonly [name: string, linkType: number, wrap: (ip: Buffer) => Buffer]> = [
  ['Ethernet', 1, ethernet],
  ['Ethernet with a VLAN tag', 1, (ip) => ethernet(ip, 1)],
  ['Ethernet with two', 1, (ip) => ethernet(ip, 2)],
  ['BSD loopback', 0, (ip) => Buffer.concat([Buffer.from([2, 0, 0, 0]), ip])],
  ['OpenBSD loopback', 108, (ip) => Buffer.concat([Buffer.from([0, 0, 0, 2]), ip])],
  ['raw IP', 101, (ip) => ip],
  ['raw IP, old number', 12, (ip) => ip],
  ['raw IPv4', 228, (ip) => ip],
  ['Linux cooked', 113, cooked(16, 14)],
  ['Linux cooked v2', 276, cooked(20, 0)],
];

describe('a pcap file', () => {
  it.each(LINKS)('of link type %s is read', (_name, linkType, wrap) => {
    expect(summaryOf(decode(pcap(IP_PACKETS.map(wrap), { linkType })))).toEqual(whole());
  });

  it.each([
    [true, false],
    [true, true],
    [false, false],
    [false, true],
  ])('is read with its times: little-endian %s, nanoseconds %s', (isLittle, isNano) => {
    const file = pcap(
      IP_PACKETS.map((ip) => ethernet(ip)),
      { isLittle, isNano, at: 1_700_000_000_123 },
    );
    const exchanges = decode(file);
    expect(summaryOf(exchanges)).toEqual(whole());
    expect(exchanges[0]!.at).toBe(1_700_000_000_123);
  });

  it('is read with IP options, and with IPv6 and its extension headers', () => {
    const withOptions = DATAGRAMS.map(([isDevice, bytes]) => {
      const ends = direction(isDevice);
      return ethernet(ipv4(udp(bytes, ends), { ...ends, optionBytes: 8 }));
    });
    expect(summaryOf(decode(pcap(withOptions)))).toEqual(whole());
    const one = Buffer.from('fe800000000000000000000000000007', 'hex');
    const two = Buffer.from('20010db8000000010000000000000002', 'hex');
    const six = DATAGRAMS.map(([isDevice, bytes], index) => {
      const datagram = udp(bytes, direction(isDevice));
      return ethernet(isDevice ? ipv6(datagram, one, two, 8 * (index % 3)) : ipv6(datagram, two, one));
    });
    expect(summaryOf(decode(pcap(six)))).toEqual(whole('[fe80::7]:8585 > [2001:db8:0:1::2]:8585'));
  });

  it('is reassembled from fragments in any order', () => {
    const { from, to } = direction(true);
    const datagram = udp(envelope, { from, to });
    const cut = 16 * Math.floor(datagram.length / 32);
    const pieces = [
      ipv4(datagram.subarray(cut), { from, to, id: 9, offset: cut }),
      ipv4(datagram.subarray(0, cut), { from, to, id: 9, hasMore: true }),
    ];
    for (const order of [pieces, pieces.toReversed()]) {
      const packets = [...IP_PACKETS.slice(0, 3), ...order, ...IP_PACKETS.slice(4)].map((ip) => ethernet(ip));
      expect(decode(pcap(packets))).toMatchObject([{ request, reply: response, faults: [] }]);
    }
    const lost = [...IP_PACKETS.slice(0, 3), pieces[1]!, ...IP_PACKETS.slice(4)].map((ip) => ethernet(ip));
    expect(readRecording(pcap(lost)).skipped).toEqual({ 'incomplete fragmented packet': 1 });
  });

  it('with a part of a packet reports that', () => {
    const [exchange] = decode(
      pcap(
        IP_PACKETS.map((ip) => ethernet(ip)),
        { snaplen: 96 },
      ),
    );
    expect(exchange!.faults.map(({ fault, step }) => [fault, step])).toContainEqual(['cut-off', 'request']);
  });

  it('without its end is read up to there', () => {
    const file = pcap(IP_PACKETS.map((ip) => ethernet(ip)));
    const { datagrams, skipped } = readRecording(file.subarray(0, file.length - 1));
    expect(datagrams).toHaveLength(DATAGRAMS.length - 1);
    expect(skipped).toEqual({ 'packet cut off by the end of the file': 1 });
  });

  it('with other traffic is read without it, and its packets are counted', () => {
    const noise = [
      ethernet(ipv4(udp(Buffer.from('query'), { from: ['10.0.0.7', 5353], to: ['10.0.0.9', 53] }))),
      ethernet(ipv4(Buffer.alloc(20), { protocol: 6 })),
      Buffer.alloc(60, 3),
      Buffer.alloc(5),
      ethernet(ipv4(Buffer.alloc(3))),
    ];
    const { datagrams, skipped } = readRecording(pcap([...noise, ...IP_PACKETS.map((ip) => ethernet(ip))]));
    expect(datagrams).toHaveLength(DATAGRAMS.length);
    expect(skipped).toEqual({ 'not UDP': 1, 'no IP packet': 2, 'cut off in its headers': 1 });
  });

  it('of an unsupported link type tells that', () => {
    expect(readRecording(pcap([Buffer.alloc(60)], { linkType: 105 })).skipped).toEqual({
      'unsupported link type': 1,
    });
  });

  it('is searched on --port alone if that is given', () => {
    const file = pcap(IP_PACKETS.map((ip) => ethernet(ip)));
    expect(summaryOf(decode(file, 8585))).toEqual(whole());
    expect(decode(file, 9000)).toEqual([]);
  });

  it('that begins in the middle of an exchange is read, on the usual port', () => {
    const ends = { from: ['10.0.0.2', 8585], to: ['10.0.0.7', 40_000] } as const;
    const packets = reply.map((bytes) => ethernet(ipv4(udp(bytes, ends), ends)));
    const [exchange] = decode(pcap(packets));
    expect(exchange!.conversation).toBe('10.0.0.7:40000 > 10.0.0.2:8585');
    expect(exchange!.steps.map(({ step }) => step)).toEqual(['reply-hash', 'reply-iv', 'reply-ciphertext']);
    expect(exchange!.faults).toMatchObject([{ fault: 'no-id' }]);
    expect(exchange!.reply).toBe(response);
  });

  it('keeps conversations apart that ran at the same time', () => {
    const boards = ['10.0.0.7', '10.0.0.8'].map((address) =>
      DATAGRAMS.map(([isDevice, bytes]) => {
        const [board, server] = [
          [address, 8585],
          ['10.0.0.2', 8585],
        ] as const;
        const ends = isDevice ? { from: board, to: server } : { from: server, to: board };
        return ethernet(ipv4(udp(bytes, ends), ends));
      }),
    );
    const interleaved = DATAGRAMS.flatMap((_, index) => boards.map((packets) => packets[index]!));
    const exchanges = decode(pcap(interleaved));
    expect(exchanges.map(({ conversation }) => conversation)).toEqual([
      '10.0.0.7:8585 > 10.0.0.2:8585',
      '10.0.0.8:8585 > 10.0.0.2:8585',
    ]);
    expect(exchanges.every(({ faults }) => faults.length === 0)).toBe(true);
  });
});

describe('a pcapng file', () => {
  it.each([
    [true, undefined, false],
    [false, undefined, false],
    [true, 9, false],
    [false, 9, false],
    [true, 0x8a, false],
    [true, undefined, true],
  ])('is read: little-endian %s, time resolution %s, simple packets %s', (isLittle, resolution, isSimple) => {
    const options = { isLittle, isSimple, ...(resolution !== undefined && { resolution }) };
    const exchanges = decode(
      pcapng(
        IP_PACKETS.map((ip) => ethernet(ip)),
        options,
      ),
    );
    expect(summaryOf(exchanges)).toEqual(whole());
    // A simple packet has no time.
    expect(exchanges[0]!.at ?? 'none').toEqual(isSimple ? 'none' : expect.closeTo(1_700_000_000_000, -1));
  });

  it('with a malformed block is read up to there', () => {
    const file = pcapng(IP_PACKETS.map((ip) => ethernet(ip)));
    const { datagrams, skipped } = readRecording(file.subarray(0, file.length - 4));
    expect(datagrams).toHaveLength(DATAGRAMS.length - 1);
    expect(skipped).toEqual({ 'packet cut off by the end of the file': 1 });
  });
});

describe('any bytes behind a magic number', () => {
  const files = [
    pcap(IP_PACKETS.map((ip) => ethernet(ip))),
    pcapng(IP_PACKETS.map((ip) => ethernet(ip))),
    pcap(
      IP_PACKETS.map((ip) => ethernet(ip, 2)),
      { isLittle: false, isNano: true },
    ),
  ];

  it('are read, or refused by a BenUdpError, and yield no more than they hold', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.array(fc.tuple(fc.nat(1023), fc.nat(255)), { maxLength: 12 }),
        fc.nat(1200),
        (file, changes, length) => {
          const bytes = Buffer.from(file.subarray(0, 4 + length));
          changes.forEach(([at, value]) => (bytes[4 + (at % Math.max(1, bytes.length - 4))] = value));
          const total = decodeOrRefuse(bytes).reduce((sum, { steps }) => sum + steps.length, 0);
          expect(total).toBeLessThanOrEqual(DATAGRAMS.length);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

function decodeOrRefuse(bytes: Buffer): DecodedExchange[] {
  try {
    return decode(bytes);
  } catch (error) {
    expect(error).toMatchObject({ code: 'BEN_BAD_RECORDING' });
    return [];
  }
}

describe('the kept capture', () => {
  it('opens, each exchange of it', () => {
    const file = readFileSync(new URL('../vectors/loopback.pcap', import.meta.url));
    const exchanges = decodeExchanges(readRecording(file), [deriveKey(Buffer.alloc(32, 'k'))]);
    expect(exchanges.map(({ request: text, reply: answer, faults }) => [text, answer, faults])).toEqual([
      ["{'data': 'hello from MicroPython', 'action': 'echo'}", '{"data":"hello from MicroPython"}', []],
      [expect.stringContaining("'data': 'xxx"), expect.stringContaining('{"data":"xxx'), []],
      [expect.stringContaining("'noreturn': True"), undefined, []],
    ]);
  });
});

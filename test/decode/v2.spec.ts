/** `decode` and protocol v2: names each datagram, opens sessions whose opening is recorded, and names each fault. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { type DecodedExchange, decodeExchanges, readRecording } from '../../lib/decode/index.js';
import { fingerprint } from '../../lib/keys/index.js';
import * as v2 from '../../lib/protocol/v2/index.js';
import { splitV2Exchanges } from '../../lib/decode/steps-v2.js';
import { KEY, remoteOf } from '../support/pure-device.js';
import { ECHO, PureV2Device } from '../support/v2-device.js';
import { createV2Server, datagramOf } from '../support/v2-server.js';
import { ethernet, ipv4, pcap, udp } from '../support/pcap.js';
import { recordedExchanges, recordedKey, toHexText } from '../support/vectors.js';

vi.mock('../../lib/protocol/v2/index.js', async (original) => {
  const actual = await original<typeof v2>();
  return { ...actual, deriveSessionKeys: vi.fn<typeof actual.deriveSessionKeys>(actual.deriveSessionKeys) };
});

const OTHER_KEY = Buffer.alloc(32, 'o');

const up = (bytes: Uint8Array) => `> ${Buffer.from(bytes).toString('hex')}`;
const down = (bytes: Uint8Array) => `< ${Buffer.from(bytes).toString('hex')}`;

function decodeLines(lines: readonly string[], keys: readonly Uint8Array[] = [KEY]): DecodedExchange[] {
  return decodeExchanges(readRecording(Buffer.from(lines.join('\n'))), keys);
}

const stepsOf = ({ steps }: DecodedExchange) => steps.map(({ step }) => step);
const remarksOf = ({ steps }: DecodedExchange) => steps.map(({ remark }) => remark);
const faultsOf = ({ faults }: DecodedExchange) => faults.map(({ fault, step }) => [fault, step]);

/** The lines of a first exchange, and the device that may go on. */
function firstExchange(text = ECHO, noreturn = false) {
  const server = createV2Server({ startedAt: -60_000 });
  const device = new PureV2Device(server);
  const open = device.begin(0, text, noreturn);
  const grant = datagramOf(device.deliver(0))!;
  const request = device.next(grant, 0);
  const decision = device.deliver(0);
  if (decision.kind !== 'request') {
    throw new Error('not accepted');
  }
  const reply = noreturn ? decision.datagrams![0]! : device.answer(decision, 0, '{"data":"hello"}');
  device.receive(reply, 0);
  return { server, device, open, grant, request, reply, lines: [up(open), down(grant), up(request), down(reply)] };
}

/** The lines of a further exchange. */
function furtherExchange(device: PureV2Device, now = 1000) {
  const decision = device.ask(now);
  if (decision.kind !== 'request') {
    throw new Error('not accepted');
  }
  const request = device.sent;
  const reply = device.answer(decision, now, '{"data":2}');
  device.receive(reply, now);
  return [up(request), down(reply)];
}

describe('decode of protocol v2', () => {
  it('opens the first exchange of a session and further ones', () => {
    const { device, lines } = firstExchange();
    const [first, further, ...rest] = decodeLines([...lines, ...furtherExchange(device)]);
    expect(rest).toEqual([]);
    expect(stepsOf(first!)).toEqual(['open', 'grant', 'first', 'reply']);
    expect(first).toMatchObject({
      protocol: 'v2',
      key: fingerprint(KEY),
      id: undefined,
      request: ECHO,
      noreturn: false,
      reply: '{"data":"hello"}',
      faults: [],
    });
    expect(first!.session).toMatch(/^0001[0-9a-f]{12}$/);
    expect(stepsOf(further!)).toEqual(['further', 'reply']);
    expect(further).toMatchObject({ session: first!.session, request: ECHO, reply: '{"data":2}', faults: [] });
  });

  it('opens the datagrams of the reference, which is independent of this code', () => {
    const { keys, openings, requests, replies } = JSON.parse(
      readFileSync(new URL('../vectors/v2.json', import.meta.url), 'utf8'),
    ) as Record<string, Array<Record<string, string>>>;
    const opening = openings!.find(({ name }) => name === 'first opening, IPv4')!;
    const key = Buffer.from(keys!.find(({ name }) => name === opening['key'])!['K']!, 'hex');
    const readable = requests!.filter(({ text }) => text!.startsWith('{'));
    const decoded = decodeLines(
      [`> ${opening['open']}`, `< ${opening['grant']}`, ...readable.map(({ datagram }) => `> ${datagram}`)],
      [key],
    );
    expect(decoded.map(({ request }) => request)).toEqual(readable.map(({ text }) => text));
    expect(decoded.every(({ session }) => session === opening['sid'])).toBe(true);
    for (const { request, datagram, text, flags } of replies!) {
      const [, exchange] = decodeLines(
        [`> ${opening['open']}`, `< ${opening['grant']}`, `> ${readable[0]!['datagram']}`, `> ${request}`].concat(
          request === readable[0]!['datagram'] ? [] : [`< ${datagram}`],
        ),
        [key],
      );
      expect(exchange?.reply).toBe(Number(flags) === 0 && request !== readable[0]!['datagram'] ? text : undefined);
    }
  });

  it('names the datagrams without a key, and by their type without marks', () => {
    const { device, lines } = firstExchange();
    const all = [...lines, ...furtherExchange(device)];
    const unmarked = all.map((line) => line.slice(2));
    for (const recorded of [all, unmarked]) {
      const exchanges = decodeLines(recorded, []);
      expect(exchanges.map(stepsOf)).toEqual([
        ['open', 'grant', 'first', 'reply'],
        ['further', 'reply'],
      ]);
      expect(exchanges[0]!.steps.map(({ sender }) => sender)).toEqual(['device', 'server', 'device', 'server']);
      expect(exchanges[0]).toMatchObject({ key: undefined, session: undefined, request: undefined, faults: [] });
    }
  });

  it('finds the conversations of v2 in a capture by their type', () => {
    const { lines } = firstExchange();
    const [device, server] = [
      ['10.0.0.7', 999],
      ['10.0.0.2', 9000],
    ] as const;
    const packets = lines.map((line) => {
      const ends = line.startsWith('>') ? { from: device, to: server } : { from: server, to: device };
      return ethernet(ipv4(udp(Buffer.from(line.slice(2), 'hex'), ends), ends));
    });
    const [exchange] = decodeExchanges(readRecording(pcap(packets)), [KEY]);
    expect(exchange).toMatchObject({ conversation: '10.0.0.7:999 > 10.0.0.2:9000', request: ECHO, faults: [] });
  });

  it('names copies, and takes no fault from them', () => {
    const { lines, device } = firstExchange();
    const [open, grant, request, reply] = lines as [string, string, string, string];
    const further = furtherExchange(device);
    const late = [open, open, grant, request, request, reply, ...further, reply];
    const [first, second] = decodeLines(late);
    expect(remarksOf(first!)).toEqual([undefined, 'copy of line 1', undefined, undefined, 'copy of line 4', undefined]);
    expect(remarksOf(second!).at(-1)).toBe('copy of line 6');
    expect([first!.faults, second!.faults]).toEqual([[], []]);
  });

  it('keeps an acknowledgement apart from a reply', () => {
    const [exchange] = decodeLines(firstExchange(ECHO, true).lines);
    expect(exchange).toMatchObject({ noreturn: true, reply: undefined, faults: [] });
    expect(remarksOf(exchange!).at(-1)).toBe('acknowledged');
  });

  it('shows a restart of the server as one exchange: AGAIN, the question, and the request anew', () => {
    const { device, lines } = firstExchange();
    const restarted = createV2Server({ startedAt: -60_000 });
    const asked = device.begin(1000);
    const again = datagramOf(restarted.receive(asked, remoteOf('10.0.0.1'), 1000))!;
    const question = device.next(again, 1000);
    const grant = datagramOf(restarted.receive(question, remoteOf('10.0.0.1'), 1000))!;
    const anew = device.next(grant, 1000);
    const [, exchange, ...rest] = decodeLines([...lines, up(asked), down(again), up(question), down(grant), up(anew)]);
    expect(rest).toEqual([]);
    expect(stepsOf(exchange!)).toEqual(['further', 'again', 'open', 'grant', 'first']);
    expect(remarksOf(exchange!).slice(1, 4)).toEqual([
      'the server does not know the session, or this is a forgery',
      expect.stringMatching(/^asks about session 0001/) as string,
      'that session has run nothing for 30000 ms',
    ]);
    expect(exchange!.request).toBe(ECHO);
    expect(faultsOf(exchange!)).toEqual([['no-reply', 'first']]);
  });

  it('keeps a refused request and its second attempt in one exchange', () => {
    const { server, device, lines } = firstExchange();
    const asked = device.begin(1000);
    server.stopIssuing();
    const refusal = datagramOf(device.deliver(1000))!;
    const open = device.next(refusal, 1000);
    const recorded = [...lines, up(asked), down(refusal)];
    expect(faultsOf(decodeLines(recorded)[1]!)).toEqual([['refused', 'reply']]);
    expect(remarksOf(decodeLines(recorded)[1]!).at(-1)).toBe('refused: the request did not run');
    const [, exchange] = decodeLines([...recorded, up(open)]);
    expect(stepsOf(exchange!)).toEqual(['further', 'reply', 'open']);
    expect(faultsOf(exchange!)).toEqual([['no-answer', 'open']]);
  });

  it.each([
    ['the opening alone', 1, [['no-answer', 'open']]],
    ['no request', 2, [['no-request', 'grant']]],
    ['no reply', 3, [['no-reply', 'first']]],
  ])('names what is missing: %s', (_what, kept, faults) => {
    expect(faultsOf(decodeLines(firstExchange().lines.slice(0, kept))[0]!)).toEqual(faults);
  });

  it('groups a hostile recording of one long exchange in a time that grows with its length', () => {
    const { open, reply } = firstExchange();
    const refusals = Array.from({ length: 100_000 }, (_, index) => {
      const bytes = Buffer.from(index % 2 === 0 ? open : reply);
      bytes[v2.FLAGS_AT.reply] = index % 2 === 0 ? bytes[v2.FLAGS_AT.reply]! : v2.REPLY_KIND.refusal;
      bytes.writeUInt32BE(index, bytes.length - 4);
      return { bytes, sender: undefined, conversation: '', place: '', at: undefined, isCut: false };
    });
    // 6 s if each datagram looked at all before it.
    expect(splitV2Exchanges(refusals)).toHaveLength(1);
  }, 3000);

  it('says that the key is another one', () => {
    const [exchange] = decodeLines(firstExchange().lines, [OTHER_KEY]);
    expect(faultsOf(exchange!)).toContainEqual(['other-key-id', 'open']);
    expect(exchange).toMatchObject({ key: undefined, request: undefined, reply: undefined });
    expect(decodeLines(firstExchange().lines, [OTHER_KEY, KEY])[0]!.faults).toEqual([]);
  });

  it('says that the opening of a session is not recorded', () => {
    const { device, lines } = firstExchange();
    const [exchange] = decodeLines(furtherExchange(device));
    expect(faultsOf(exchange!)).toEqual([['no-session', 'further']]);
    expect(exchange!.request).toBeUndefined();
    expect(faultsOf(decodeLines([lines[2]!, lines[3]!])[0]!)).toEqual([['no-session', 'first']]);
  });

  it.each([
    ['open', 0],
    ['grant', 1],
    ['first', 2],
    ['reply', 3],
  ])('finds a changed bit of %s', (step, index) => {
    const { lines } = firstExchange();
    const changed = Buffer.from(lines[index]!.slice(2), 'hex');
    changed[changed.length - 1]! ^= 1;
    const recorded = lines.with(index, `${lines[index]!.slice(0, 2)}${changed.toString('hex')}`);
    const faults = decodeLines(recorded).flatMap(faultsOf);
    expect(faults).toContainEqual(['bad-tag', step]);
  });

  it('names a request that opens and can not be read', () => {
    const device = new PureV2Device(createV2Server({ startedAt: -60_000 }));
    const open = device.begin(0, 'no dict');
    const grant = datagramOf(device.deliver(0))!;
    const [exchange] = decodeLines([up(open), down(grant), up(device.next(grant, 0))]);
    expect(faultsOf(exchange!)).toContainEqual(['bad-text', 'first']);
  });

  it('says that a packet was cut off', () => {
    const { lines } = firstExchange();
    const frame = ethernet(ipv4(udp(Buffer.from(lines[0]!.slice(2), 'hex'))));
    const [exchange] = decodeExchanges(readRecording(pcap([frame.subarray(0, frame.length - 20)])), [KEY]);
    expect(exchange && faultsOf(exchange)).toContainEqual(['cut-off', 'open']);
  });

  it('lists exchanges of both protocols in the order in which they begin', () => {
    const v1 = toHexText([recordedExchanges[0]!]).trim().split('\n');
    const { lines } = firstExchange();
    const decoded = decodeLines([...lines.slice(0, 2), ...v1, ...lines.slice(2)], [KEY, recordedKey]);
    expect(decoded.map(({ protocol, faults }) => [protocol, faults])).toEqual([
      ['v2', []],
      ['v1', []],
    ]);
  });

  it('takes a block of v1 that begins with the byte of v2 for a block', () => {
    const block = Buffer.alloc(16, 0xb2);
    block[1] = 2;
    const [exchange] = decodeLines(['> 2f4745544944', down(block), down(Buffer.alloc(16))], []);
    expect(exchange).toMatchObject({ protocol: 'v1' });
    expect(stepsOf(exchange!)).toEqual(['hello', 'id', 'id-iv']);
  });
});

describe('the session keys of a recording', () => {
  it('are overwritten when it is decoded', () => {
    const { lines } = firstExchange();
    const derive = vi.mocked(v2.deriveSessionKeys).mockClear();
    expect(decodeLines(lines)[0]!.reply).toBe('{"data":"hello"}');
    expect(derive.mock.calls.map(([, keys]) => keys)).toEqual([Buffer.alloc(v2.SESSION_KEY_BYTES)]);
  });
});

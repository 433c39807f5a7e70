/**
 * From the bytes of a recording to the exchanges in it: each step named, and with the key opened, or the reason why not.
 */
import { Sealer } from '../protocol/index.js';
import { fingerprint } from '../keys/index.js';
import { isPcap, isPcapng, parseCapture } from './capture.js';
import { findConversations } from './conversations.js';
import { parseHexText } from './hex-text.js';
import { type DecodeFault, MAX_READ_DATAGRAMS, type OpenedExchange, fault, openExchange, partsOf } from './opening.js';
import { MAX_CAPTURE_BYTES, MAX_TEXT_BYTES, type Recording, refuseRecording } from './recording.js';
import { type NamedDatagram, type NamedExchange, type Step, splitExchanges } from './steps.js';

/** One datagram of an exchange. */
export interface DecodedStep {
  readonly step: Step;
  readonly sender: 'device' | 'server';
  /** Its length. */
  readonly bytes: number;
  /** Where it stands in the recording. */
  readonly place: string;
}

export interface DecodedExchange {
  /** `device > server`, or the name that the recording gives. */
  readonly conversation: string;
  /** Milliseconds since the epoch, where the recording says. */
  readonly at: number | undefined;
  readonly steps: readonly DecodedStep[];
  /** The fingerprint of the key that fits; `undefined` where none was given or none does. */
  readonly key: string | undefined;
  /** Hex. */
  readonly id: string | undefined;
  /** The Python text that the device sent. */
  readonly request: string | undefined;
  /** Whether the device did not wait for a reply; `undefined` where the request is not open. */
  readonly noreturn: boolean | undefined;
  /** The JSON text that the server answered. */
  readonly reply: string | undefined;
  /** Empty for an exchange in which all is as it should be. */
  readonly faults: readonly DecodeFault[];
}

/**
 * Reads a recording: hex text, pcap or pcapng. Its first bytes tell which.
 *
 * @param port of the server, for captures; by default found by the hellos.
 * @throws BenUdpError `BEN_BAD_RECORDING`.
 */
export function readRecording(bytes: Buffer, port?: number): Recording {
  if (isPcap(bytes) || isPcapng(bytes)) {
    if (bytes.length > MAX_CAPTURE_BYTES) {
      refuseRecording(`the capture is larger than ${MAX_CAPTURE_BYTES} bytes: cut it, by "tcpdump -r" with a filter`);
    }
    const { kind, datagrams, skipped } = parseCapture(bytes);
    return { kind, datagrams: findConversations(datagrams, port), skipped };
  }
  if (bytes.length > MAX_TEXT_BYTES) {
    refuseRecording(`the recording is larger than ${MAX_TEXT_BYTES} bytes, and no pcap file`);
  }
  return parseHexText(bytes.toString('utf8'));
}

/**
 * Names the steps of each exchange and, where keys are given, opens it with the one that fits.
 *
 * @param keys AES keys of 32 bytes: what key files are hashed to.
 */
export function decodeExchanges(
  { datagrams }: Pick<Recording, 'datagrams'>,
  keys: readonly Uint8Array[] = [],
): DecodedExchange[] {
  const sealers = keys.map((key) => ({ fingerprint: fingerprint(key), sealer: new Sealer(key) }));
  const sentBefore = new Map<string, Buffer[]>();
  return splitExchanges(datagrams).map((exchange) => {
    const before = sentBefore.get(exchange.conversation) ?? [];
    sentBefore.set(exchange.conversation, lastPairs(exchange, before));
    return decodeExchange(exchange, sealers, before);
  });
}

interface NamedSealer {
  readonly fingerprint: string;
  readonly sealer: Sealer;
}

function decodeExchange(
  exchange: NamedExchange,
  sealers: readonly NamedSealer[],
  before: readonly Buffer[],
): DecodedExchange {
  const tried = sealers.map((key) => ({ key, opened: openExchange(exchange, key.sealer, before) }));
  const right = tried.find(({ opened }) => opened.isRightKey);
  const opened = right?.opened;
  return {
    conversation: exchange.conversation,
    at: exchange.datagrams[0]?.datagram.at,
    steps: exchange.datagrams.map(describeStep),
    key: right?.key.fingerprint,
    id: opened?.id?.toString('hex'),
    request: opened?.requestText,
    noreturn: opened?.request?.noreturn,
    reply: opened?.replyText,
    faults: [
      ...exchange.datagrams.filter(({ datagram }) => datagram.isCut).map(({ step }) => fault('cut-off', step)),
      // Where no key fits, each finds the same faults.
      ...((opened ?? tried[0]?.opened)?.faults ?? []),
      ...missingSteps(exchange, opened),
    ],
  };
}

function describeStep({ step, sender, datagram }: NamedDatagram): DecodedStep {
  return { step, sender, bytes: datagram.bytes.length, place: datagram.place };
}

/** What did not come. Without the key nobody knows whether a device waited for a reply. */
function missingSteps(exchange: NamedExchange, opened: OpenedExchange | undefined): DecodeFault[] {
  const { hello, 'id-iv': idIv, request, 'reply-hash': replyHash, 'reply-ciphertext': reply } = partsOf(exchange);
  if (!request) {
    return hello && !idIv ? [fault('no-answer', 'hello')] : idIv ? [fault('no-request', 'id-iv')] : [];
  }
  const isWaiting = opened?.request?.noreturn === false || replyHash !== undefined;
  return isWaiting && !reply ? [fault('no-reply', 'request')] : [];
}

/** What the server sent before an exchange and a device may still have to read. */
function lastPairs({ datagrams }: NamedExchange, before: readonly Buffer[]): Buffer[] {
  const sent = datagrams.filter(({ sender, step }) => sender === 'server' && !step.startsWith('reply'));
  return [...before, ...sent.map(({ datagram }) => datagram.bytes)].slice(-MAX_READ_DATAGRAMS);
}

/**
 * Decodes a recording: names each step of each exchange, and opens it with the key or explains why that fails.
 */
import { Sealer } from '../protocol/index.js';
import { fingerprint } from '../keys/index.js';
import { isPcap, isPcapng, parseCapture } from './capture.js';
import { findConversations } from './conversations.js';
import { parseHexText } from './hex-text.js';
import { type DecodeFault, MAX_READ_DATAGRAMS, type OpenedExchange, fault, openExchange, partsOf } from './opening.js';
import { V2Decoder } from './opening-v2.js';
import type { DecodedExchange, DecodedStep } from './decoded.js';
import {
  MAX_CAPTURE_BYTES,
  MAX_TEXT_BYTES,
  type RecordedDatagram,
  type Recording,
  refuseRecording,
} from './recording.js';
import { type NamedDatagram, type NamedExchange, splitExchanges } from './steps.js';
import { splitV2Exchanges, v2StepOf } from './steps-v2.js';

/**
 * Reads a recording: hex text, pcap or pcapng, recognised by its first bytes.
 *
 * @param port of the server, for captures. By default found by the hellos.
 * @throws BenUdpError `BEN_BAD_RECORDING`.
 */
export function readRecording(bytes: Buffer, port?: number): Recording {
  if (isPcap(bytes) || isPcapng(bytes)) {
    if (bytes.length > MAX_CAPTURE_BYTES) {
      refuseRecording(`the capture is larger than ${MAX_CAPTURE_BYTES} bytes: cut it with "tcpdump -r" and a filter`);
    }
    const { kind, datagrams, skipped } = parseCapture(bytes);
    return { kind, datagrams: findConversations(datagrams, port), skipped };
  }
  if (bytes.length > MAX_TEXT_BYTES) {
    refuseRecording(`the recording is larger than ${MAX_TEXT_BYTES} bytes and not a pcap file: cut it into parts`);
  }
  return parseHexText(bytes.toString('utf8'));
}

/**
 * Names the steps of each exchange, and opens it with the right key.
 *
 * @param keys AES keys of 32 bytes, the hashes of key files.
 * @param onProgress called now and then, because a long recording takes seconds.
 */
export function decodeExchanges(
  { datagrams }: Pick<Recording, 'datagrams'>,
  keys: readonly Uint8Array[] = [],
  onProgress?: (done: number, total: number) => void,
): DecodedExchange[] {
  const sealers = keys.map((key) => ({ fingerprint: fingerprint(key), sealer: new Sealer(key) }));
  const sentBefore = new Map<string, Buffer[]>();
  const v2 = new V2Decoder(keys);
  try {
    return splitByProtocol(datagrams).map(({ v1: exchange, v2: further }, index, { length }) => {
      if (index % PROGRESS_STEP === 0 && index > 0) {
        onProgress?.(index, length);
      }
      if (!exchange) {
        return v2.decode(further!);
      }
      const before = sentBefore.get(exchange.conversation) ?? [];
      sentBefore.set(exchange.conversation, lastPairs(exchange, before));
      return decodeExchange(exchange, sealers, before);
    });
  } finally {
    v2.dispose();
  }
}

/** The exchanges of both protocols, in the order in which they begin. */
function splitByProtocol(datagrams: readonly RecordedDatagram[]) {
  const places = new Map(datagrams.map((datagram, index) => [datagram, index]));
  const isV2 = (datagram: RecordedDatagram) => v2StepOf(datagram) !== undefined;
  const v1 = splitExchanges(datagrams.filter((datagram) => !isV2(datagram)));
  const v2 = splitV2Exchanges(datagrams.filter(isV2));
  return [
    ...v1.map((exchange) => ({ v1: exchange, v2: undefined, place: places.get(exchange.datagrams[0]!.datagram)! })),
    ...v2.map((exchange) => ({ v1: undefined, v2: exchange, place: places.get(exchange.datagrams[0]!.datagram)! })),
  ].toSorted((one, other) => one.place - other.place);
}

/** Exchanges between two calls of `onProgress`. */
const PROGRESS_STEP = 1000;

interface NamedSealer {
  readonly fingerprint: string;
  readonly sealer: Sealer;
}

function decodeExchange(
  exchange: NamedExchange,
  sealers: readonly NamedSealer[],
  before: readonly Buffer[],
): DecodedExchange {
  // At most one for each step, while a hostile recording has any number of extra datagrams.
  const originals = exchange.datagrams.filter(({ step }) => step !== 'extra');
  const tried = sealers.map((key) => ({ key, opened: openExchange(exchange, key.sealer, before) }));
  const right = tried.find(({ opened }) => opened.isRightKey);
  const opened = right?.opened;
  return {
    protocol: 'v1',
    conversation: exchange.conversation,
    at: exchange.datagrams[0]?.datagram.at,
    steps: exchange.datagrams.map((named) => describeStep(named, originals)),
    key: right?.key.fingerprint,
    id: opened?.id?.toString('hex'),
    session: undefined,
    request: opened?.requestText,
    noreturn: opened?.request?.noreturn,
    reply: opened?.replyText,
    faults: [
      ...exchange.datagrams.filter(({ datagram }) => datagram.isCut).map(({ step }) => fault('cut-off', step)),
      // If no key fits, every key reports the same faults.
      ...((opened ?? tried[0]?.opened)?.faults ?? []),
      ...missingSteps(exchange, opened),
    ],
  };
}

function describeStep(named: NamedDatagram, originals: readonly NamedDatagram[]): DecodedStep {
  const { step, sender, datagram } = named;
  const { bytes, place, at } = datagram;
  return {
    step,
    sender,
    bytes: bytes.length,
    place,
    at,
    remark: step === 'extra' ? explainExtra(named, originals) : undefined,
  };
}

/** The reason why a datagram belongs to no step. */
function explainExtra({ sender, datagram }: NamedDatagram, originals: readonly NamedDatagram[]): string {
  const original = originals.find((each) => each.sender === sender && each.datagram.bytes.equals(datagram.bytes));
  if (original) {
    return `copy of ${original.datagram.place}`;
  }
  return sender === 'server' ? 'left over: the device reads it in its next exchange' : 'neither a hello nor a request';
}

/** The missing steps. Only the key shows whether a device expects a reply. */
function missingSteps(exchange: NamedExchange, opened: OpenedExchange | undefined): DecodeFault[] {
  const { hello, 'id-iv': idIv, request, 'reply-hash': replyHash, 'reply-ciphertext': reply } = partsOf(exchange);
  if (!request) {
    return hello && !idIv ? [fault('no-answer', 'hello')] : idIv ? [fault('no-request', 'id-iv')] : [];
  }
  const isWaiting = opened?.request?.noreturn === false || replyHash !== undefined;
  return isWaiting && !reply ? [fault('no-reply', 'request')] : [];
}

/** Datagrams of the server that a device may still have to read. */
function lastPairs({ datagrams }: NamedExchange, before: readonly Buffer[]): Buffer[] {
  const sent = datagrams.filter(({ sender, step }) => sender === 'server' && !step.startsWith('reply'));
  return [...before, ...sent.map(({ datagram }) => datagram.bytes)].slice(-MAX_READ_DATAGRAMS);
}

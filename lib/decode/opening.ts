/**
 * Opens an exchange with a key, or explains why it does not open. It can tell a wrong key from a wrong hash, because the sealed texts
 * decrypt without the id. A server reports neither to the sender.
 */
import { REJECTIONS, REMEMBERED_PAIRS, type BenUdpRejection, openId } from '../exchange/index.js';
import {
  BLOCK_BYTES,
  type Envelope,
  HASH_BYTES,
  type Request,
  type Sealed,
  type Sealer,
  decodeUtf8,
  digest,
  isCiphertext,
  isReplyText,
  openRequest,
  parseEnvelope,
  stripWhiteSpace,
} from '../protocol/index.js';
import type { NamedExchange, Step } from './steps.js';
import type { V2Step } from './steps-v2.js';

/** Reasons for which a server rejects a request, by the names of its counters and events. */
type SharedFault = Extract<
  BenUdpRejection,
  'bad-envelope' | 'bad-sizes' | 'bad-padding' | 'bad-utf8' | 'bad-text' | 'bad-request'
>;

/** All faults of an exchange, in words. */
export const DECODE_FAULTS = {
  'bad-envelope': REJECTIONS['bad-envelope'],
  'bad-sizes': REJECTIONS['bad-sizes'],
  'bad-padding': REJECTIONS['bad-padding'],
  'bad-utf8': REJECTIONS['bad-utf8'],
  'bad-text': REJECTIONS['bad-text'],
  'bad-request': REJECTIONS['bad-request'],
  'wrong-key': 'sealed with another key: it does not decrypt to a text',
  'bad-hash': 'the key is right, but the hash does not match id and text: changed on the way, or for another id',
  'out-of-step': 'the device computed its id from other datagrams: it has unread ones, or lost one',
  'bad-reply-hash': 'the hash does not match id and reply: another key, changed on the way, or for another exchange',
  'no-id': "the id is not in the recording, so the hash can't be checked",
  'no-answer': 'no answer to the hello, or to OPEN',
  'no-request': 'the device received an id or a GRANT, and sent no request',
  'no-reply': 'the device waited for a reply, and at most a part of it arrived',
  'other-key-id': 'protocol v2: no given key has this key id',
  'bad-tag': 'protocol v2: the tag does not verify: changed on the way, or not for this exchange',
  'no-session': 'protocol v2: the recording has no opening of this session, so its keys are unknown',
  refused: 'protocol v2: the server refused the request, and did not run it',
  'cut-off': 'the recording holds only a part of it: record whole packets (tcpdump -s 0)',
} as const satisfies Record<SharedFault, string> & Record<string, string>;

export type DecodeFaultName = keyof typeof DECODE_FAULTS;

export interface DecodeFault {
  readonly fault: DecodeFaultName;
  /** The step with the fault. */
  readonly step: Step | V2Step;
  /** The words of `DECODE_FAULTS`, and details. */
  readonly message: string;
}

/** An exchange under one key. */
export interface OpenedExchange {
  /** Whether a hash verifies, or a text opens that could not open by chance. */
  readonly isRightKey: boolean;
  readonly id: Buffer | undefined;
  /** The Python text that the device sent. */
  readonly requestText: string | undefined;
  readonly request: Request | undefined;
  /** The JSON text of the reply. */
  readonly replyText: string | undefined;
  readonly faults: readonly DecodeFault[];
}

/** Datagrams from which a device may have computed its id: both of each pair that a server remembers. */
export const MAX_READ_DATAGRAMS = 2 * REMEMBERED_PAIRS;

type Parts = Partial<Record<Step, Buffer>>;

/** The datagrams of an exchange by step. */
export function partsOf({ datagrams }: Pick<NamedExchange, 'datagrams'>): Parts {
  return Object.fromEntries(datagrams.map(({ step, datagram }) => [step, datagram.bytes]));
}

/**
 * @param before earlier datagrams of the server in this conversation, oldest first. A device that is out of step reads them.
 */
export function openExchange(exchange: NamedExchange, sealer: Sealer, before: readonly Buffer[]): OpenedExchange {
  // A datagram that the recording cut off is reported as such, and not decoded.
  const parts = partsOf({ datagrams: exchange.datagrams.filter(({ datagram }) => !datagram.isCut) });
  const pair = readPair(parts);
  const sent = exchange.datagrams.filter(({ sender, step }) => sender === 'server' && !step.startsWith('reply'));
  const unread = [...before, ...sent.map(({ datagram }) => datagram.bytes)];
  const request = parts['request'] && openEnvelope(parts['request'], sealer, pair, unread);
  const id = request?.id ?? (pair && openId(sealer, pair));
  const reply = openReplyParts(parts, sealer, id, request?.isVerified === true || request?.request !== undefined);
  return {
    isRightKey: [request?.isVerified, request?.request, reply?.isVerified, reply?.text].some(Boolean),
    id,
    requestText: request?.text,
    request: request?.request,
    replyText: reply?.text,
    faults: [...(request?.faults ?? []), ...(reply?.faults ?? [])],
  };
}

function readPair(parts: Parts): Sealed | undefined {
  const { id: ciphertext, 'id-iv': iv } = parts;
  return ciphertext && iv && isCiphertext(ciphertext) && iv.length === BLOCK_BYTES ? { ciphertext, iv } : undefined;
}

interface OpenedEnvelope {
  readonly id: Buffer | undefined;
  readonly isVerified: boolean;
  readonly text: string | undefined;
  readonly request: Request | undefined;
  readonly faults: readonly DecodeFault[];
}

function openEnvelope(
  datagram: Buffer,
  sealer: Sealer,
  pair: Sealed | undefined,
  unread: readonly Buffer[],
): OpenedEnvelope {
  const envelope = parseEnvelope(datagram);
  if (typeof envelope === 'string') {
    return {
      id: undefined,
      isVerified: false,
      text: undefined,
      request: undefined,
      faults: [fault(envelope, 'request')],
    };
  }
  const opened = openText(envelope, sealer);
  const plainId = pair && openId(sealer, pair);
  if (plainId && fits(envelope, plainId)) {
    return { id: plainId, isVerified: true, ...opened };
  }
  const id = findOutOfStepId(envelope, sealer, unread);
  if (id) {
    return { id, isVerified: true, ...opened, faults: [...opened.faults, fault('out-of-step', 'request')] };
  }
  const name = opened.request ? (pair ? 'bad-hash' : 'no-id') : looksLikeId(plainId) ? 'bad-hash' : 'wrong-key';
  // Under another key the text is noise, and its faults mean nothing.
  const textFaults = name === 'wrong-key' ? [] : opened.faults;
  return { ...opened, id: plainId, isVerified: false, faults: [fault(name, 'request'), ...textFaults] };
}

function fits({ hash, data, iv }: Envelope, id: Buffer): boolean {
  return digest(id, data, iv).equals(hash);
}

/** The id of a device that reads other datagrams than the last two. */
function findOutOfStepId(envelope: Envelope, sealer: Sealer, unread: readonly Buffer[]): Buffer | undefined {
  const blocks = unread.slice(-MAX_READ_DATAGRAMS).filter(({ length }) => length === BLOCK_BYTES);
  for (const ciphertext of blocks) {
    for (const iv of blocks) {
      const id = openId(sealer, { ciphertext, iv });
      if (fits(envelope, id)) {
        return id;
      }
    }
  }
  return undefined;
}

/** Whether an id has upstream's form. A wrong key does not lead to one. */
function looksLikeId(id: Buffer | undefined): boolean {
  return id !== undefined && /^\d{6,11}$/.test(id.toString('latin1'));
}

/** Decrypts a request by the rules of the server. */
function openText(
  { data: ciphertext, iv }: Envelope,
  sealer: Sealer,
): Pick<OpenedEnvelope, 'text' | 'request' | 'faults'> {
  const opened = openRequest(sealer, { ciphertext, iv });
  if ('request' in opened) {
    return { ...opened, faults: [] };
  }
  const { reason, error, text } = opened;
  // Without a text, the fault already says everything that the error would.
  return {
    text,
    request: undefined,
    faults: [fault(reason, 'request', text === undefined ? undefined : error.message)],
  };
}

interface OpenedReply {
  readonly isVerified: boolean;
  readonly text: string | undefined;
  readonly faults: readonly DecodeFault[];
}

function openReplyParts(
  parts: Parts,
  sealer: Sealer,
  id: Buffer | undefined,
  isRightKey: boolean,
): OpenedReply | undefined {
  const { 'reply-hash': hash, 'reply-iv': iv, 'reply-ciphertext': ciphertext } = parts;
  if (!hash || !iv || !ciphertext) {
    return undefined;
  }
  if (hash.length !== HASH_BYTES || iv.length !== BLOCK_BYTES || !isCiphertext(ciphertext)) {
    return { isVerified: false, text: undefined, faults: [fault('bad-sizes', 'reply-hash')] };
  }
  const isVerified = id !== undefined && digest(id, ciphertext, iv).equals(hash);
  const text = decodeUtf8(stripWhiteSpace(sealer.open(ciphertext, iv)));
  if (isVerified) {
    const faults = text === undefined ? [fault('bad-utf8', 'reply-ciphertext')] : [];
    return { isVerified, text, faults };
  }
  // A wrong key does not lead to one.
  const opens = text !== undefined && isReplyText(text);
  const name = id === undefined && opens ? 'no-id' : isRightKey || opens ? 'bad-reply-hash' : 'wrong-key';
  return { isVerified, text: opens ? text : undefined, faults: [fault(name, 'reply-hash')] };
}

export function fault(name: DecodeFaultName, step: Step | V2Step, detail?: string): DecodeFault {
  const words = DECODE_FAULTS[name];
  return { fault: name, step, message: detail === undefined ? words : `${words}: ${detail}` };
}

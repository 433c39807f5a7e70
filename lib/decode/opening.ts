/**
 * Opens an exchange with a key, or says why it does not open. Other than a server, which is silent about it, this looks at everything:
 * the sealed texts can be decrypted without the id, so a wrong key and a wrong hash are told apart.
 */
import { REJECTIONS, type BenUdpRejection, openId } from '../exchange/index.js';
import {
  BLOCK_BYTES,
  type Envelope,
  HASH_BYTES,
  type Request,
  type Sealed,
  type Sealer,
  decodeUtf8,
  digest,
  openRequest,
  parseEnvelope,
  stripWhiteSpace,
} from '../protocol/index.js';
import type { NamedExchange, Step } from './steps.js';

/** Why a server rejects a request; the words are those of its counters and events. */
type SharedFault = Extract<
  BenUdpRejection,
  'bad-envelope' | 'bad-sizes' | 'bad-padding' | 'bad-utf8' | 'bad-text' | 'bad-request'
>;

/** Everything that can be wrong with an exchange, in words. */
export const DECODE_FAULTS = {
  'bad-envelope': REJECTIONS['bad-envelope'],
  'bad-sizes': REJECTIONS['bad-sizes'],
  'bad-padding': REJECTIONS['bad-padding'],
  'bad-utf8': REJECTIONS['bad-utf8'],
  'bad-text': REJECTIONS['bad-text'],
  'bad-request': REJECTIONS['bad-request'],
  'wrong-key': 'sealed with another key: nothing in it opens to a text',
  'bad-hash': 'the key is right, but the hash is not of this id and this text: changed on the way, or for another id',
  'out-of-step': 'for an id that the device put together from other datagrams: it has some left to read, or lost one',
  'bad-reply-hash':
    'the hash is not of this id and this reply: another key, changed on the way, or for another exchange',
  'no-id': 'the id is not in the recording, so that the hash can not be checked',
  'no-answer': 'no answer to the hello',
  'no-request': 'the device got an id and sent no request',
  'no-reply': 'the device waited for a reply, and none came, or not all of it',
  'cut-off': 'the recording holds less of it than was sent: record whole packets (tcpdump -s 0)',
} as const satisfies Record<SharedFault, string> & Record<string, string>;

export type DecodeFaultName = keyof typeof DECODE_FAULTS;

export interface DecodeFault {
  readonly fault: DecodeFaultName;
  /** Where it shows. */
  readonly step: Step;
  /** The words of `DECODE_FAULTS`, and what more is known. */
  readonly message: string;
}

/** What an exchange opens to under one key. */
export interface OpenedExchange {
  /** Whether a hash is right, or a text opens that can't do so by chance. */
  readonly isRightKey: boolean;
  readonly id: Buffer | undefined;
  /** The Python text that the device sent. */
  readonly requestText: string | undefined;
  readonly request: Request | undefined;
  /** The JSON text that the server answered. */
  readonly replyText: string | undefined;
  readonly faults: readonly DecodeFault[];
}

/** Datagrams of the server before a request from which its device may have put an id together: four pairs, as far as a server looks. */
export const MAX_READ_DATAGRAMS = 8;

type Parts = Partial<Record<Step, Buffer>>;

/** The datagrams of an exchange by step. */
export function partsOf({ datagrams }: Pick<NamedExchange, 'datagrams'>): Parts {
  return Object.fromEntries(datagrams.map(({ step, datagram }) => [step, datagram.bytes]));
}

/**
 * @param before what the server had sent in this conversation before, oldest first: a device that is out of step reads of it.
 */
export function openExchange(exchange: NamedExchange, sealer: Sealer, before: readonly Buffer[]): OpenedExchange {
  // What the recording cut off is told to be so, and not taken for what was sent.
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
  const oddId = findOddId(envelope, sealer, unread);
  if (oddId) {
    return { id: oddId, isVerified: true, ...opened, faults: [...opened.faults, fault('out-of-step', 'request')] };
  }
  const name = opened.request ? (pair ? 'bad-hash' : 'no-id') : looksLikeId(plainId) ? 'bad-hash' : 'wrong-key';
  // Under another key there is no text whose faults could be told.
  const textFaults = name === 'wrong-key' ? [] : opened.faults;
  return { ...opened, id: plainId, isVerified: false, faults: [fault(name, 'request'), ...textFaults] };
}

function fits({ hash, data, iv }: Envelope, id: Buffer): boolean {
  return digest(id, data, iv).equals(hash);
}

/** The id that a device computes which reads two other datagrams than the last two. */
function findOddId(envelope: Envelope, sealer: Sealer, unread: readonly Buffer[]): Buffer | undefined {
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

/** Whether an id is of upstream's form, which no wrong key yields. */
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
  // Without a text, the words of the fault say all that the error says.
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
  const opens = text !== undefined && isJson(text);
  const name = id === undefined && opens ? 'no-id' : isRightKey || opens ? 'bad-reply-hash' : 'wrong-key';
  return { isVerified, text: opens ? text : undefined, faults: [fault(name, 'reply-hash')] };
}

/** Whether a text is what servers answer, which no wrong key yields. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return text.startsWith('{');
  } catch {
    return false;
  }
}

function isCiphertext({ length }: Buffer): boolean {
  return length > 0 && length % BLOCK_BYTES === 0;
}

export function fault(name: DecodeFaultName, step: Step, detail?: string): DecodeFault {
  const words = DECODE_FAULTS[name];
  return { fault: name, step, message: detail === undefined ? words : `${words}: ${detail}` };
}

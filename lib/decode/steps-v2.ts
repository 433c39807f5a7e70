/**
 * Names the datagrams of protocol v2, and groups them into exchanges. Needs no key, because type, size and order identify them.
 */
import {
  AGAIN_BYTES,
  FLAGS_AT,
  GRANT_BYTES,
  NO_SESSION,
  REPLY_KIND,
  REPLY_OVERHEAD_BYTES,
  TAG_BYTES,
  V2_START,
  V2_TYPE,
  readOpen,
  shapeOf,
} from '../protocol/v2/index.js';
import { BLOCK_BYTES } from '../protocol/index.js';
import type { RecordedDatagram, RecordedSender } from './recording.js';

/** The datagrams of protocol v2: OPEN, GRANT, REQ1, REQ, REP and AGAIN. */
export const V2_STEPS = ['open', 'grant', 'first', 'further', 'reply', 'again'] as const;

export type V2Step = (typeof V2_STEPS)[number];

export interface V2Datagram {
  readonly step: V2Step;
  readonly sender: RecordedSender;
  readonly datagram: RecordedDatagram;
  /** The place of the same datagram earlier in the conversation. */
  readonly copyOf: string | undefined;
}

/** A request, its answer, and the opening before it if there was one. */
export interface V2Exchange {
  readonly conversation: string;
  readonly datagrams: readonly V2Datagram[];
}

/** The step of a datagram; `undefined` if it is not one of protocol v2. The blocks of v1 have other lengths. */
export function v2StepOf({ bytes, isCut }: Pick<RecordedDatagram, 'bytes' | 'isCut'>): V2Step | undefined {
  if (bytes[0] !== V2_START) {
    return undefined;
  }
  if (isCut) {
    return V2_STEPS.find((step) => V2_TYPE[step] === bytes[1]);
  }
  switch (bytes[1]) {
    case V2_TYPE.grant:
      return bytes.length === GRANT_BYTES ? 'grant' : undefined;
    case V2_TYPE.reply: {
      const length = bytes.length - REPLY_OVERHEAD_BYTES;
      return length >= 0 && length % BLOCK_BYTES === 0 ? 'reply' : undefined;
    }
    case V2_TYPE.again:
      return bytes.length === AGAIN_BYTES ? 'again' : undefined;
    default:
      return shapeOf(bytes);
  }
}

/** Whether a device sent a datagram, by its type. */
export function isV2OfDevice(bytes: Buffer): boolean {
  return senderOf(v2StepOf({ bytes, isCut: false })) === 'device';
}

function senderOf(step: V2Step | undefined): RecordedSender | undefined {
  return step && (step === 'open' || step === 'first' || step === 'further' ? 'device' : 'server');
}

/** The exchanges of each conversation, in the order in which they begin. */
export function splitV2Exchanges(datagrams: readonly RecordedDatagram[]): V2Exchange[] {
  const exchanges: OpenV2Exchange[] = [];
  const conversations = new Map<string, { current: OpenV2Exchange | undefined; places: Map<string, string> }>();
  for (const datagram of datagrams) {
    const step = v2StepOf(datagram)!;
    const conversation = conversations.get(datagram.conversation) ?? { current: undefined, places: new Map() };
    conversations.set(datagram.conversation, conversation);
    const name = nameOf(datagram.bytes);
    const copyOf = conversation.places.get(name);
    const isNext = copyOf === undefined && conversation.current?.isEndedBy(step, datagram.bytes);
    if (!conversation.current || isNext) {
      conversation.current = new OpenV2Exchange(datagram.conversation);
      exchanges.push(conversation.current);
    }
    if (copyOf === undefined) {
      conversation.places.set(name, datagram.place);
    }
    const sender = datagram.sender ?? senderOf(step)!;
    conversation.current.add({ step, sender, datagram, copyOf });
  }
  return exchanges;
}

class OpenV2Exchange implements V2Exchange {
  readonly datagrams: V2Datagram[] = [];
  /** The last one that is no copy. Kept, because a hostile recording is one exchange of any length. */
  private last: V2Datagram | undefined;
  private hasAgain = false;

  constructor(readonly conversation: string) {}

  add(datagram: V2Datagram): void {
    this.datagrams.push(datagram);
    this.last = datagram.copyOf === undefined ? datagram : this.last;
    this.hasAgain ||= datagram.step === 'again';
  }

  /** Whether a datagram that is not a copy begins the next exchange. */
  isEndedBy(step: V2Step, bytes: Buffer): boolean {
    const { last, hasAgain } = this;
    switch (step) {
      case 'open':
        // A device asks about its session, or opens another one for a request that was refused.
        return !(hasAgain && !readOpen(bytes).old.equals(NO_SESSION)) && !(last && isRefusal(last));
      case 'first':
        return last?.step !== 'grant';
      case 'further':
        return true;
      default:
        return false;
    }
  }
}

export function isRefusal({ step, datagram }: Pick<V2Datagram, 'step' | 'datagram'>): boolean {
  return step === 'reply' && datagram.bytes[FLAGS_AT.reply] === REPLY_KIND.refusal;
}

/** Equal datagrams have equal names: the tag, or all of an AGAIN. */
function nameOf(bytes: Buffer): string {
  return bytes.toString('latin1', Math.max(0, bytes.length - TAG_BYTES));
}

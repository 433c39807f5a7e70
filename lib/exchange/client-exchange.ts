/**
 * The client side of the exchange: handles the datagrams of the server, step by step. No socket, no timer.
 *
 * The functions compute as a device does, which trusts every sender. `ClientExchange` is stricter: it checks the sender and the size
 * of a datagram, accepts no datagram twice, and accepts a reply only by its hash.
 */
import { openId } from './ids/id-pair.js';
import {
  BLOCK_BYTES,
  type EnvelopeKey,
  HASH_BYTES,
  HELLO,
  REPLY_DATAGRAMS,
  type Sealed,
  type Sealer,
  decodeUtf8,
  digest,
  formatEnvelope,
  isCiphertext,
  isDigest,
  isReplyText,
  stripWhiteSpace,
} from '../protocol/index.js';

/** Datagram 4 for the text of a request. `order` as in `formatEnvelope`. */
export function sealRequest(sealer: Sealer, id: Uint8Array, text: string, order?: readonly EnvelopeKey[]): Buffer {
  return signRequest(id, sealer.seal(text), order);
}

/** Datagram 4 for a sealed request. */
export function signRequest(id: Uint8Array, { ciphertext, iv }: Sealed, order?: readonly EnvelopeKey[]): Buffer {
  return formatEnvelope({ hash: digest(id, ciphertext, iv), data: ciphertext, iv }, order);
}

/** Largest size of datagram 4. The hash needs an id, and each of its bytes takes up to four characters. */
export function maxRequestLength({ ciphertext, iv }: Sealed): number {
  return formatEnvelope({ hash: Buffer.alloc(HASH_BYTES), data: ciphertext, iv }).length;
}

/** The text in datagrams 5 to 7; `undefined` if the hash does not match or the text is not UTF-8. */
export function openReply(sealer: Sealer, id: Uint8Array, hash: Uint8Array, sealed: Sealed): string | undefined {
  if (!isDigest(hash, id, sealed.ciphertext, sealed.iv)) {
    return undefined;
  }
  return decodeUtf8(stripWhiteSpace(sealer.open(sealed.ciphertext, sealed.iv)));
}

/** Every reason for which a client ignores a datagram, in words. */
export const IGNORED_REASONS = {
  'other-sender': 'from another address or port than the server has',
  'wrong-size': 'not the size of any expected datagram',
  reflected: "the client's own request, or a part of it, sent back",
  duplicate: 'a second copy of a datagram of this exchange, or of the one before it',
  'bad-hash': 'matches no valid reply',
  unasked: 'arrived without a pending request, or for a request that was given up',
} as const;

/** Why a client ignored a datagram; `IGNORED_REASONS` has each in words. */
export type BenUdpIgnoredReason = keyof typeof IGNORED_REASONS;

/** The decision on a datagram. */
export type ClientDecision =
  /** It is ignored. */
  | { readonly kind: 'ignored'; readonly reason: BenUdpIgnoredReason }
  /** It was expected, and more follow. */
  | { readonly kind: 'taken' }
  /** Send datagram 4. For `noreturn` the exchange ends. */
  | { readonly kind: 'request'; readonly datagram: Buffer }
  /** The text of the reply. The exchange ends. */
  | { readonly kind: 'reply'; readonly text: string }
  /** Too many datagrams without a valid reply. The exchange ends. */
  | { readonly kind: 'bad-reply' };

/** The last step of an exchange, as `BenUdpRequestStep`. */
export type ClientStep = 'hello' | 'id' | 'request' | 'reply';

export interface ClientExchangeOptions {
  readonly sealer: Sealer;
  /** The server. */
  readonly peer: { readonly address: string; readonly port: number };
  /** Largest accepted datagram in bytes. */
  readonly bufferSize: number;
  /** The sealed text of the request. Sealed before the hello, so its size is known before the first datagram. */
  readonly request: Sealed;
  readonly noreturn: boolean;
  /** The `remnants` of the previous exchange on the same socket. */
  readonly remnants?: readonly Buffer[];
  /** Order of the keys in the envelope. Any order is valid. */
  readonly keyOrder?: readonly EnvelopeKey[];
}

/** Datagrams that may contain the reply. More than a reply has, because the network may add others. */
const MAX_KEPT_DATAGRAMS = 8;

export class ClientExchange {
  /** Datagram 1, which begins the exchange. */
  readonly hello = HELLO;
  private currentStep: ClientStep = 'hello';
  private id: Buffer = Buffer.alloc(0);
  /** The received datagrams of the pair. */
  private readonly pair: Buffer[] = [];
  /**
   * The request and its parts. An attacker on the path can send them back as a reply with a valid hash, without a key. All attempts of
   * a request share IV and ciphertext.
   */
  private readonly own: Buffer[];
  /** The datagrams received after the request was sent. */
  private readonly kept: Buffer[] = [];

  constructor(private readonly options: ClientExchangeOptions) {
    const { ciphertext, iv } = options.request;
    this.own = [ciphertext, iv];
  }

  get step(): ClientStep {
    return this.currentStep;
  }

  /** Whether a whole reply arrived and did not verify: a wrong or forged answer, not a silent server. */
  get isReplyBad(): boolean {
    return this.kept.length >= REPLY_DATAGRAMS;
  }

  /**
   * Datagrams whose late copies the next exchange on the socket ignores. Empty without a reply: if the server did not receive the
   * request, it may answer the next hello with the same pair.
   */
  get remnants(): readonly Buffer[] {
    return this.kept.length > 0 ? [...this.pair, ...this.kept] : [];
  }

  /** Overwrites the id. The exchange can't read a reply any more. */
  dispose(): void {
    this.id.fill(0);
  }

  receive(datagram: Buffer, remote: { readonly address: string; readonly port: number }): ClientDecision {
    const { peer, bufferSize } = this.options;
    if (remote.port !== peer.port || !isSameAddress(remote.address, peer.address)) {
      return ignore('other-sender');
    }
    if (datagram.length > bufferSize) {
      return ignore('wrong-size');
    }
    if (this.own.some((each) => each.equals(datagram))) {
      return ignore('reflected');
    }
    if (this.isCopy(datagram)) {
      return ignore('duplicate');
    }
    switch (this.currentStep) {
      case 'hello':
        return this.receiveSealedId(datagram);
      case 'id':
        return this.receiveIdIv(datagram);
      default:
        return this.receiveReplyPart(datagram);
    }
  }

  private receiveSealedId(datagram: Buffer): ClientDecision {
    if (!isCiphertext(datagram)) {
      return ignore('wrong-size');
    }
    this.pair.push(datagram);
    this.currentStep = 'id';
    return { kind: 'taken' };
  }

  private receiveIdIv(datagram: Buffer): ClientDecision {
    if (datagram.length !== BLOCK_BYTES) {
      return ignore('wrong-size');
    }
    const { sealer, request, keyOrder } = this.options;
    this.pair.push(datagram);
    this.id = openId(sealer, { ciphertext: this.pair[0]!, iv: datagram });
    this.currentStep = 'request';
    const { ciphertext: data, iv } = request;
    const hash = digest(this.id, data, iv);
    const envelope = formatEnvelope({ hash, data, iv }, keyOrder);
    this.own.push(hash, envelope);
    return { kind: 'request', datagram: envelope };
  }

  private receiveReplyPart(datagram: Buffer): ClientDecision {
    if (this.options.noreturn) {
      return ignore('unasked');
    }
    // IV and hash are one and two blocks, so all three parts have the size of a ciphertext.
    if (!isCiphertext(datagram)) {
      return ignore('wrong-size');
    }
    this.currentStep = 'reply';
    this.kept.push(datagram);
    const text = this.findReply();
    if (text !== undefined) {
      this.dispose();
      return { kind: 'reply', text };
    }
    if (this.kept.length === MAX_KEPT_DATAGRAMS) {
      return { kind: 'bad-reply' };
    }
    return this.kept.length <= REPLY_DATAGRAMS ? { kind: 'taken' } : ignore('bad-hash');
  }

  /**
   * Finds the reply among the received datagrams. Tries their order first, then any other, because the network may swap datagrams or
   * add others. Only the hash shows which belong together.
   */
  private findReply(): string | undefined {
    const { sealer } = this.options;
    for (const [hash, iv, ciphertext] of arrangements(this.kept)) {
      const text = openReply(sealer, this.id, hash, { ciphertext, iv });
      if (text !== undefined && !isRequestText(text)) {
        return text;
      }
    }
    return undefined;
  }

  private isCopy(datagram: Buffer): boolean {
    const isSame = (other: Buffer) => other.equals(datagram);
    return this.pair.some(isSame) || this.kept.some(isSame) || (this.options.remnants ?? []).some(isSame);
  }
}

/** Each way to choose hash, IV and ciphertext by size, in order of arrival first. */
function arrangements(datagrams: readonly Buffer[]): Array<[hash: Buffer, iv: Buffer, ciphertext: Buffer]> {
  const hashes = datagrams.filter(({ length }) => length === HASH_BYTES);
  const ivs = datagrams.filter(({ length }) => length === BLOCK_BYTES);
  const rest = (hash: Buffer, iv: Buffer) => datagrams.filter((each) => each !== hash && each !== iv);
  return hashes.flatMap((hash) =>
    ivs.flatMap((iv) => rest(hash, iv).map((text): [Buffer, Buffer, Buffer] => [hash, iv, text])),
  );
}

/**
 * Whether a text is a request. An attacker who sends the pair of an earlier request of any key holder can also send that request as
 * a reply. A reply is JSON, and Python's text of a request never is.
 */
function isRequestText(text: string): boolean {
  return text.startsWith('{') && text.includes("'action': ") && !isReplyText(text);
}

/** Ignores the zone of a link-local address, because it is a name in one place and a number in another. */
function isSameAddress(one: string, other: string): boolean {
  return one === other || (one.includes('%') && withoutZone(one) === withoutZone(other));
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0]!;
}

function ignore(reason: BenUdpIgnoredReason): ClientDecision {
  return { kind: 'ignored', reason };
}

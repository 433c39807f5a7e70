/**
 * The asking side of the exchange: what to do with the server's datagrams, step by step. No socket, no timer.
 *
 * The functions are what a device computes, which trusts whoever sends. `ClientExchange` is for askers with more to lose: it
 * looks at who sent a datagram and at its size, takes no datagram twice, and goes by the hash alone in what it calls a reply.
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
  isDigest,
  stripWhiteSpace,
} from '../protocol/index.js';

/** Datagram 4 for the text of a request. `order` as in `formatEnvelope`. */
export function sealRequest(sealer: Sealer, id: Uint8Array, text: string, order?: readonly EnvelopeKey[]): Buffer {
  return signRequest(id, sealer.seal(text), order);
}

/** Datagram 4 for a request that is sealed already. */
export function signRequest(id: Uint8Array, { ciphertext, iv }: Sealed, order?: readonly EnvelopeKey[]): Buffer {
  return formatEnvelope({ hash: digest(id, ciphertext, iv), data: ciphertext, iv }, order);
}

/** Bytes that datagram 4 takes at most: a byte of the hash, which is known once there is an id, takes up to four characters. */
export function maxRequestLength({ ciphertext, iv }: Sealed): number {
  return formatEnvelope({ hash: Buffer.alloc(HASH_BYTES), data: ciphertext, iv }).length;
}

/** The text in datagrams 5 to 7; `undefined` where the hash does not fit, or what it seals is not UTF-8. */
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
  unasked: 'came while nothing was asked, or for a request that was given up',
} as const;

/** Why a client ignored a datagram; `IGNORED_REASONS` has each in words. */
export type BenUdpIgnoredReason = keyof typeof IGNORED_REASONS;

/** What a datagram led to. */
export type ClientDecision =
  /** It is ignored. */
  | { readonly kind: 'ignored'; readonly reason: BenUdpIgnoredReason }
  /** It was waited for, and more are to come. */
  | { readonly kind: 'taken' }
  /** Datagram 4 is to be sent. For `noreturn` that is the end of the exchange. */
  | { readonly kind: 'request'; readonly datagram: Buffer }
  /** The text of the reply; the end of the exchange. */
  | { readonly kind: 'reply'; readonly text: string }
  /** The end of the exchange: too many datagrams came that together are no reply. */
  | { readonly kind: 'bad-reply' };

/** How far an exchange has come; as `BenUdpRequestStep`. */
export type ClientStep = 'hello' | 'id' | 'request' | 'reply';

export interface ClientExchangeOptions {
  readonly sealer: Sealer;
  /** The server. */
  readonly peer: { readonly address: string; readonly port: number };
  /** The longest datagram that is read, in bytes. */
  readonly bufferSize: number;
  /** The sealed text of the request. Sealed before there is an id, so that its size is known before anything is sent. */
  readonly request: Sealed;
  readonly noreturn: boolean;
  /** What `remnants` of the exchange before it on the same socket was. */
  readonly remnants?: readonly Buffer[];
  /** Order of the envelope's keys; any is right. */
  readonly keyOrder?: readonly EnvelopeKey[];
}

/** Datagrams that are kept while a reply is looked for among them: some more than a reply has, for the network may add its own. */
const MAX_KEPT_DATAGRAMS = 8;

export class ClientExchange {
  /** Datagram 1, which begins the exchange. */
  readonly hello = HELLO;
  private currentStep: ClientStep = 'hello';
  private id: Buffer = Buffer.alloc(0);
  /** What came of the pair. */
  private readonly pair: Buffer[] = [];
  /**
   * The request and its parts. An attacker on the path who sends them back has a reply whose hash is right, without a key. All
   * attempts of a request share IV and ciphertext, so these are known from the start.
   */
  private readonly own: Buffer[];
  /** What came since the request was sent. */
  private readonly kept: Buffer[] = [];

  constructor(private readonly options: ClientExchangeOptions) {
    const { ciphertext, iv } = options.request;
    this.own = [ciphertext, iv];
  }

  get step(): ClientStep {
    return this.currentStep;
  }

  /** Whether as much came as a reply has, and none of it verified: not a silent server, but a wrong or a forged answer. */
  get isReplyBad(): boolean {
    return this.kept.length >= REPLY_DATAGRAMS;
  }

  /**
   * Datagrams whose late copies mean nothing to the next exchange on the socket. None where no reply has proven that the server
   * took the request: it may then answer the next hello with the same pair.
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
    // Of the three sizes, that of the IV is the only one that is a block, and a hash is two.
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
   * The reply among the datagrams that came. In their order first; then in any other, for the network may have swapped them or
   * left some of its own between them, and only the hash says which belong together.
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

/** Each way to take three of the datagrams for hash, IV and ciphertext, as far as their sizes allow; in their order first. */
function arrangements(datagrams: readonly Buffer[]): Array<[hash: Buffer, iv: Buffer, ciphertext: Buffer]> {
  const hashes = datagrams.filter(({ length }) => length === HASH_BYTES);
  const ivs = datagrams.filter(({ length }) => length === BLOCK_BYTES);
  const rest = (hash: Buffer, iv: Buffer) => datagrams.filter((each) => each !== hash && each !== iv);
  return hashes.flatMap((hash) =>
    ivs.flatMap((iv) => rest(hash, iv).map((text): [Buffer, Buffer, Buffer] => [hash, iv, text])),
  );
}

/**
 * Whether a text is a request's. An attacker who also sends the pair of an earlier request, of any holder of the key, has a reply
 * of that request. A reply is JSON, which Python's text of a dict never is.
 */
function isRequestText(text: string): boolean {
  return text.startsWith('{') && text.includes("'action': ") && !isJson(text);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isCiphertext({ length }: Buffer): boolean {
  return length > 0 && length % BLOCK_BYTES === 0;
}

/** A zone of a link-local address is spelt as a name here and as a number there, so it is left out. */
function isSameAddress(one: string, other: string): boolean {
  return one === other || (one.includes('%') && withoutZone(one) === withoutZone(other));
}

function withoutZone(address: string): string {
  return address.split('%', 1)[0]!;
}

function ignore(reason: BenUdpIgnoredReason): ClientDecision {
  return { kind: 'ignored', reason };
}

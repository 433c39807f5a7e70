/**
 * One exchange of the upstream client, step by step, with its habits: it reads strictly in order, trusts every sender, and does not
 * discard left-over datagrams. It has no socket and no clock: the caller sends, reads, and passes on the datagrams. A caller that gives up
 * calls `return`, which overwrites the id.
 */
import { openId, openReply, sealRequest } from '../exchange/index.js';
import { type EnvelopeKey, HELLO, type Sealer, BLOCK_BYTES } from '../protocol/index.js';

export interface BoardExchangeRequest {
  readonly text: string;
  readonly noreturn: boolean;
  /** Order of the keys of the envelope, arbitrary on a board. */
  readonly keyOrder?: readonly EnvelopeKey[];
  /** Called with the id under which the request is sealed. It is overwritten at the end of the exchange. */
  readonly onSealed?: (id: Buffer) => void;
}

/** The next step of the board. */
export type BoardStep =
  /** Send a datagram. */
  | { readonly kind: 'send'; readonly datagram: Buffer }
  /** Read a datagram, and pass it to `next`. */
  | { readonly kind: 'read' }
  /** Seal the request. Takes time on a board. */
  | { readonly kind: 'compute' };

/** How an exchange ended. */
export type BoardEnding =
  | { readonly kind: 'noreturn' }
  /** The client returns `{}` for an empty third datagram, before it checks anything. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'reply'; readonly text: string }
  /** The client raises. */
  | { readonly kind: 'error'; readonly message: string };

export function* boardExchange(
  sealer: Sealer,
  { text, noreturn, keyOrder, onSealed }: BoardExchangeRequest,
): Generator<BoardStep, BoardEnding, Buffer> {
  yield { kind: 'send', datagram: HELLO };
  const sealedId = { ciphertext: yield* read(), iv: yield* read() };
  if (sealedId.ciphertext.length === 0 || !isDecryptable(sealedId)) {
    return { kind: 'error', message: 'the two datagrams are not a sealed id and its IV' };
  }
  const id = openId(sealer, sealedId);
  try {
    yield { kind: 'compute' };
    onSealed?.(id);
    yield { kind: 'send', datagram: sealRequest(sealer, id, text, keyOrder) };
    return noreturn ? { kind: 'noreturn' } : yield* readReply(sealer, id);
  } finally {
    id.fill(0);
  }
}

function* readReply(sealer: Sealer, id: Buffer): Generator<BoardStep, BoardEnding, Buffer> {
  const hash = yield* read();
  const iv = yield* read();
  const ciphertext = yield* read();
  if (ciphertext.length === 0) {
    return { kind: 'empty' };
  }
  const reply = isDecryptable({ ciphertext, iv }) ? openReply(sealer, id, hash, { ciphertext, iv }) : undefined;
  return reply === undefined ? { kind: 'error', message: 'the reply does not verify' } : { kind: 'reply', text: reply };
}

function* read(): Generator<BoardStep, Buffer, Buffer> {
  return yield { kind: 'read' };
}

/** The AES module of a board raises on other sizes. */
function isDecryptable({ ciphertext, iv }: { readonly ciphertext: Buffer; readonly iv: Buffer }): boolean {
  return ciphertext.length % BLOCK_BYTES === 0 && iv.length === BLOCK_BYTES;
}

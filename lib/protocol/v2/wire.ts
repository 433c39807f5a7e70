/**
 * Fixed bytes, sizes and places of protocol v2, as `docs/protocol-v2.md` lists them. `nd`, `ns`, `ck`, `sid`, `ctr` and `t` are the names
 * of fields on that page.
 */
import { MIN_V2_BUFFER_SIZE } from '../../constants.js';
import { sealedLength } from '../seal.js';
import { BLOCK_BYTES } from '../wire.js';

/** The first byte of every datagram of protocol v2. v1 begins with a text character. */
export const V2_START = 0xb2;

/** The second byte. */
export const V2_TYPE = { open: 1, grant: 2, first: 3, further: 4, reply: 5, again: 6 } as const;

export const TAG_BYTES = 16;
export const NONCE_BYTES = 16;
export const KEY_ID_BYTES = 8;
export const SESSION_ID_BYTES = 8;
/** Names a server process. A cookie and a session id begin with it. */
export const ROUTE_BYTES = 2;
/** Route and slot. */
export const COOKIE_BYTES = ROUTE_BYTES + 1;
export const OPEN_BYTES = 50;
export const GRANT_BYTES = 39;
export const AGAIN_BYTES = 10;

/** Bytes of a reply besides its text. */
export const REPLY_OVERHEAD_BYTES = 23;

/** The places of the fields of a REQ: session id, number, and session time. */
export const SESSION_ID_AT = 2;
export const CTR_AT = 10;
export const TIME_AT = 14;

/** The place of the flags. The sealed text follows, and then the tag. */
export const FLAGS_AT = { first: 29, further: 18, reply: 6 } as const;

/** Last number of a request in its session: a small integer on every board. */
export const MAX_CTR = 2 ** 30 - 1;

/** Longest life of a session by the clock of the device, and longest time without a request. */
export const SESSION_MS = 86_400_000;

/** The value of `quiet` for a session that is alive. */
export const ALIVE = 0xffff;

/** Flag of a request: the device wants an acknowledgement, not the result. */
export const NORETURN_FLAG = 1;
const RESERVED_FLAGS = 0b1110;

/** The kind of a REP. */
export const REPLY_KIND = { reply: 0, acknowledgement: 1, refusal: 2 } as const;
export type ReplyKind = (typeof REPLY_KIND)[keyof typeof REPLY_KIND];

/** `old` in an OPEN that names no session. */
export const NO_SESSION = Buffer.alloc(SESSION_ID_BYTES);

/** The datagrams that a server reads. */
export type V2Shape = 'open' | 'first' | 'further';

/** The kind of a datagram for a server, if it has the shape of one. Checks no tag. */
export function shapeOf(datagram: Buffer): V2Shape | undefined {
  if (datagram[0] !== V2_START) {
    return undefined;
  }
  switch (datagram[1]) {
    case V2_TYPE.open:
      return datagram.length === OPEN_BYTES ? 'open' : undefined;
    case V2_TYPE.first:
      return isSealed(datagram, FLAGS_AT.first) ? 'first' : undefined;
    case V2_TYPE.further:
      return isSealed(datagram, FLAGS_AT.further) && hasNumbers(datagram) ? 'further' : undefined;
    default:
      return undefined;
  }
}

/** The longest datagram that the sender of a request can receive, in bytes. */
export function receivableBytes(flags: number): number {
  return MIN_V2_BUFFER_SIZE * ((flags >> 4) + 1);
}

/** The flags of a request of a device that can receive `bytes` in one datagram, at least 512. */
export function flagsOf(bytes: number, noreturn: boolean): number {
  return (Math.min(Math.floor(bytes / MIN_V2_BUFFER_SIZE) - 1, 15) << 4) | (noreturn ? NORETURN_FLAG : 0);
}

/** Size of the first request of a session with this text. A further one is shorter. */
export function v2RequestLength(text: string): number {
  return FLAGS_AT.first + 1 + sealedLength(Buffer.byteLength(text)) + TAG_BYTES;
}

/** Whether at least one block and a tag follow the flags, and no reserved flag is set. */
function isSealed(datagram: Buffer, flagsAt: number): boolean {
  const bytes = datagram.length - flagsAt - 1 - TAG_BYTES;
  return bytes >= BLOCK_BYTES && bytes % BLOCK_BYTES === 0 && (datagram[flagsAt]! & RESERVED_FLAGS) === 0;
}

function hasNumbers(datagram: Buffer): boolean {
  const ctr = datagram.readUInt32BE(CTR_AT);
  return ctr >= 2 && ctr <= MAX_CTR && datagram.readUInt32BE(TIME_AT) <= SESSION_MS;
}

/**
 * The datagrams of protocol v2: how each side makes and checks them. Nothing is kept here.
 */
import { grantKeyOf, openKeyOf } from './keys.js';
import type { DirectionKeys } from './session-ciphers.js';
import { isTag, tagOf, writeTag } from './tag.js';
import { BLOCK_BYTES } from '../wire.js';
import {
  AGAIN_BYTES,
  COOKIE_BYTES,
  CTR_AT,
  FLAGS_AT,
  GRANT_BYTES,
  KEY_ID_BYTES,
  OPEN_BYTES,
  REPLY_KIND,
  REPLY_OVERHEAD_BYTES,
  type ReplyKind,
  SESSION_ID_AT,
  SESSION_ID_BYTES,
  TAG_BYTES,
  TIME_AT,
  V2_START,
  V2_TYPE,
} from './wire.js';

/** The parts of an OPEN: views of the datagram. */
export interface OpenFields {
  readonly nd: Buffer;
  readonly old: Buffer;
}

export interface GrantFields {
  readonly ck: Buffer;
  readonly quiet: number;
  readonly ns: Buffer;
}

const OPEN_TAG_AT = OPEN_BYTES - TAG_BYTES;
const GRANT_TAG_AT = GRANT_BYTES - TAG_BYTES;
/** The places of the fields of a REQ1: cookie, key id, and nonce of the device. */
const COOKIE_AT = 2;
const FIRST_KEY_ID_AT = COOKIE_AT + COOKIE_BYTES;
const NONCE_AT = FIRST_KEY_ID_AT + KEY_ID_BYTES;
const REPLY_HEAD_BYTES = FLAGS_AT.reply + 1;
const REPLY_TYPE = Buffer.of(V2_TYPE.reply);

/** @param key the key of the device, 32 bytes. */
export function formatOpen(key: Uint8Array, keyId: string, nd: Uint8Array, old: Uint8Array): Buffer {
  const datagram = Buffer.alloc(OPEN_BYTES);
  datagram[0] = V2_START;
  datagram[1] = V2_TYPE.open;
  datagram.write(keyId, 2, 'latin1');
  datagram.set(nd, 10);
  datagram.set(old, 26);
  const openKey = openKeyOf(key);
  writeTag(datagram, OPEN_TAG_AT, tagOf(openKey, datagram.subarray(0, OPEN_TAG_AT)));
  openKey.fill(0);
  return datagram;
}

/** The key id of an OPEN or a REQ1. */
export function readKeyId(datagram: Buffer, shape: 'open' | 'first'): string {
  return shape === 'open' ? datagram.toString('latin1', 2, 10) : datagram.toString('latin1', FIRST_KEY_ID_AT, NONCE_AT);
}

export function isOpenOf(key: Uint8Array, datagram: Buffer): boolean {
  const openKey = openKeyOf(key);
  const isRight = isTag(datagram, OPEN_TAG_AT, tagOf(openKey, datagram.subarray(0, OPEN_TAG_AT)));
  openKey.fill(0);
  return isRight;
}

export function readOpen(datagram: Buffer): OpenFields {
  return { nd: datagram.subarray(10, 26), old: datagram.subarray(26, OPEN_TAG_AT) };
}

/** @param open the parts of the OPEN that is answered. */
export function formatGrant(key: Uint8Array, { nd, old }: OpenFields, { ck, quiet, ns }: GrantFields): Buffer {
  const datagram = Buffer.alloc(GRANT_BYTES);
  datagram[0] = V2_START;
  datagram[1] = V2_TYPE.grant;
  datagram.set(ck, 2);
  datagram.writeUInt16BE(quiet, 5);
  datagram.set(ns, 7);
  writeTag(datagram, GRANT_TAG_AT, grantTagOf(key, datagram, nd, old));
  return datagram;
}

/** The fields of a GRANT; `undefined` if the datagram is not a GRANT, or does not answer this OPEN. */
export function readGrant(key: Uint8Array, datagram: Buffer, { nd, old }: OpenFields): GrantFields | undefined {
  const isGrant = datagram.length === GRANT_BYTES && datagram[0] === V2_START && datagram[1] === V2_TYPE.grant;
  if (!isGrant || !isTag(datagram, GRANT_TAG_AT, grantTagOf(key, datagram, nd, old))) {
    return undefined;
  }
  return {
    ck: Buffer.from(datagram.subarray(2, 2 + COOKIE_BYTES)),
    quiet: datagram.readUInt16BE(5),
    ns: Buffer.from(datagram.subarray(7, GRANT_TAG_AT)),
  };
}

function grantTagOf(key: Uint8Array, grant: Buffer, nd: Uint8Array, old: Uint8Array): string {
  const grantKey = grantKeyOf(key);
  const tag = tagOf(grantKey, grant.subarray(0, 7), nd, old, grant.subarray(7, GRANT_TAG_AT));
  grantKey.fill(0);
  return tag;
}

/** The first request of a session, which opens it. */
export interface FirstHead {
  readonly ck: Uint8Array;
  readonly keyId: string;
  readonly nd: Uint8Array;
}

/** A further request of a session. */
export interface FurtherHead {
  readonly sid: Uint8Array;
  readonly ctr: number;
  /** Session time in milliseconds. */
  readonly t: number;
}

/** @param keys those of requests. */
export function formatV2Request(
  head: FirstHead | FurtherHead,
  flags: number,
  text: string,
  keys: DirectionKeys,
): Buffer {
  const isFirst = 'ck' in head;
  const ctr = isFirst ? 1 : head.ctr;
  const flagsAt = isFirst ? FLAGS_AT.first : FLAGS_AT.further;
  const sealed = keys.texts.seal(ctr, text);
  const ciphertext = sealed.subarray(BLOCK_BYTES, sealed.length - BLOCK_BYTES);
  const datagram = Buffer.alloc(flagsAt + 1 + ciphertext.length + TAG_BYTES);
  datagram[0] = V2_START;
  if (isFirst) {
    datagram[1] = V2_TYPE.first;
    datagram.set(head.ck, COOKIE_AT);
    datagram.write(head.keyId, FIRST_KEY_ID_AT, 'latin1');
    datagram.set(head.nd, NONCE_AT);
  } else {
    datagram[1] = V2_TYPE.further;
    datagram.set(head.sid, SESSION_ID_AT);
    datagram.writeUInt32BE(ctr, CTR_AT);
    datagram.writeUInt32BE(head.t, TIME_AT);
  }
  datagram[flagsAt] = flags;
  datagram.set(ciphertext, flagsAt + 1);
  const tagAt = datagram.length - TAG_BYTES;
  writeTag(datagram, tagAt, tagOf(keys.tagKey(), datagram.subarray(0, tagAt)));
  return datagram;
}

/** The cookie of a REQ1: a view. */
export function readCookie(first: Buffer): Buffer {
  return first.subarray(COOKIE_AT, FIRST_KEY_ID_AT);
}

/** The nonce of the device in a REQ1: a view. */
export function readNonce(first: Buffer): Buffer {
  return first.subarray(NONCE_AT, FLAGS_AT.first);
}

/** The session id of a REQ: a view. */
export function readSessionId(further: Buffer): Buffer {
  return further.subarray(SESSION_ID_AT, SESSION_ID_AT + SESSION_ID_BYTES);
}

/** The number of a REQ in its session. */
export function readCtr(further: Buffer): number {
  return further.readUInt32BE(CTR_AT);
}

/** When a REQ was sent, by the clock of the device. */
export function readTime(further: Buffer): number {
  return further.readUInt32BE(TIME_AT);
}

/** The sealed text of a request: a view. */
export function readSealed(datagram: Buffer, flagsAt: number): Buffer {
  return datagram.subarray(flagsAt + 1, datagram.length - TAG_BYTES);
}

/** @param tagKey that of requests. */
export function isRequestOf(tagKey: Uint8Array, datagram: Buffer): boolean {
  const tagAt = datagram.length - TAG_BYTES;
  return isTag(datagram, tagAt, tagOf(tagKey, datagram.subarray(0, tagAt)));
}

/** The tag of a request, as Latin-1. */
export function readRequestTag(datagram: Buffer): string {
  return datagram.toString('latin1', datagram.length - TAG_BYTES);
}

const REQUEST_TAG = Buffer.alloc(TAG_BYTES);

/**
 * A reply, or an acknowledgement or a refusal without a text.
 *
 * @param requestTag of the request that it answers, as Latin-1.
 * @param keys those of replies.
 */
export function formatV2Reply(
  { ctr, requestTag }: { readonly ctr: number; readonly requestTag: string },
  kind: ReplyKind,
  text: string,
  keys: DirectionKeys,
): Buffer {
  // The head and the tag take the places of the blocks around the ciphertext, which saves a copy.
  const around = kind === REPLY_KIND.reply ? keys.texts.seal(ctr, text) : Buffer.alloc(2 * BLOCK_BYTES);
  const datagram = around.subarray(BLOCK_BYTES - REPLY_HEAD_BYTES);
  datagram[0] = V2_START;
  datagram[1] = V2_TYPE.reply;
  datagram.writeUInt32BE(ctr, 2);
  datagram[FLAGS_AT.reply] = kind;
  writeTag(datagram, datagram.length - TAG_BYTES, replyTagOf(keys.tagKey(), requestTag, datagram));
  return datagram;
}

/**
 * Whether a datagram is the reply to a request.
 *
 * @param keys those of replies.
 */
export function isReplyTo(
  { ctr, requestTag }: { readonly ctr: number; readonly requestTag: string },
  datagram: Buffer,
  tagKey: Uint8Array,
): boolean {
  return (
    datagram.length >= REPLY_OVERHEAD_BYTES &&
    (datagram.length - REPLY_OVERHEAD_BYTES) % BLOCK_BYTES === 0 &&
    datagram[0] === V2_START &&
    datagram[1] === V2_TYPE.reply &&
    datagram.readUInt32BE(2) === ctr &&
    isTag(datagram, datagram.length - TAG_BYTES, replyTagOf(tagKey, requestTag, datagram))
  );
}

/** The kind of a verified reply, and its ciphertext. */
export function readV2Reply(datagram: Buffer): { readonly kind: number; readonly ciphertext: Buffer } {
  return {
    kind: datagram[FLAGS_AT.reply]!,
    ciphertext: datagram.subarray(REPLY_HEAD_BYTES, datagram.length - TAG_BYTES),
  };
}

function replyTagOf(tagKey: Uint8Array, requestTag: string, datagram: Buffer): string {
  REQUEST_TAG.write(requestTag, 0, TAG_BYTES, 'latin1');
  return tagOf(tagKey, REPLY_TYPE, REQUEST_TAG, datagram.subarray(2, datagram.length - TAG_BYTES));
}

/** @param sid of the session that does not exist. */
export function formatAgain(sid: Uint8Array): Buffer {
  const datagram = Buffer.alloc(AGAIN_BYTES);
  datagram[0] = V2_START;
  datagram[1] = V2_TYPE.again;
  datagram.set(sid, 2);
  return datagram;
}

export function isAgainOf(sid: Buffer, datagram: Buffer): boolean {
  return (
    datagram.length === AGAIN_BYTES &&
    datagram[0] === V2_START &&
    datagram[1] === V2_TYPE.again &&
    sid.equals(datagram.subarray(2))
  );
}

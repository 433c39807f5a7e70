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
  NONCE_BYTES,
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

/** The place of the first field, after the start and the type. */
const FIELDS_AT = 2;
/** The places of the further fields of an OPEN: the nonce of the device, the session it asks about, and the tag. */
const OPEN_NONCE_AT = FIELDS_AT + KEY_ID_BYTES;
const OLD_AT = OPEN_NONCE_AT + NONCE_BYTES;
const OPEN_TAG_AT = OPEN_BYTES - TAG_BYTES;
/** The places of the further fields of a GRANT: the quiet time, the nonce of the server, and the tag. */
const QUIET_AT = FIELDS_AT + COOKIE_BYTES;
const GRANT_NONCE_AT = QUIET_AT + 2;
const GRANT_TAG_AT = GRANT_BYTES - TAG_BYTES;
/** The places of the further fields of a REQ1: the key id, and the nonce of the device. */
const FIRST_KEY_ID_AT = FIELDS_AT + COOKIE_BYTES;
const FIRST_NONCE_AT = FIRST_KEY_ID_AT + KEY_ID_BYTES;
const REPLY_HEAD_BYTES = FLAGS_AT.reply + 1;
const REPLY_TYPE = Buffer.of(V2_TYPE.reply);

/** @param key the key of the device, 32 bytes. */
export function formatOpen(key: Uint8Array, keyId: string, nd: Uint8Array, old: Uint8Array): Buffer {
  const datagram = Buffer.alloc(OPEN_BYTES);
  datagram[0] = V2_START;
  datagram[1] = V2_TYPE.open;
  datagram.write(keyId, FIELDS_AT, 'latin1');
  datagram.set(nd, OPEN_NONCE_AT);
  datagram.set(old, OLD_AT);
  const openKey = openKeyOf(key);
  writeTag(datagram, OPEN_TAG_AT, tagOf(openKey, datagram.subarray(0, OPEN_TAG_AT)));
  openKey.fill(0);
  return datagram;
}

/** The key id of an OPEN or a REQ1. */
export function readKeyId(datagram: Buffer, shape: 'open' | 'first'): string {
  const at = shape === 'open' ? FIELDS_AT : FIRST_KEY_ID_AT;
  return datagram.toString('latin1', at, at + KEY_ID_BYTES);
}

export function isOpenOf(key: Uint8Array, datagram: Buffer): boolean {
  const openKey = openKeyOf(key);
  const isRight = isTag(datagram, OPEN_TAG_AT, tagOf(openKey, datagram.subarray(0, OPEN_TAG_AT)));
  openKey.fill(0);
  return isRight;
}

export function readOpen(datagram: Buffer): OpenFields {
  return { nd: datagram.subarray(OPEN_NONCE_AT, OLD_AT), old: datagram.subarray(OLD_AT, OPEN_TAG_AT) };
}

/** @param open the parts of the OPEN that is answered. */
export function formatGrant(key: Uint8Array, { nd, old }: OpenFields, { ck, quiet, ns }: GrantFields): Buffer {
  const datagram = Buffer.alloc(GRANT_BYTES);
  datagram[0] = V2_START;
  datagram[1] = V2_TYPE.grant;
  datagram.set(ck, FIELDS_AT);
  datagram.writeUInt16BE(quiet, QUIET_AT);
  datagram.set(ns, GRANT_NONCE_AT);
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
    ck: Buffer.from(datagram.subarray(FIELDS_AT, QUIET_AT)),
    quiet: datagram.readUInt16BE(QUIET_AT),
    ns: Buffer.from(datagram.subarray(GRANT_NONCE_AT, GRANT_TAG_AT)),
  };
}

function grantTagOf(key: Uint8Array, grant: Buffer, nd: Uint8Array, old: Uint8Array): string {
  const grantKey = grantKeyOf(key);
  const tag = tagOf(grantKey, grant.subarray(0, GRANT_NONCE_AT), nd, old, grant.subarray(GRANT_NONCE_AT, GRANT_TAG_AT));
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
    datagram.set(head.ck, FIELDS_AT);
    datagram.write(head.keyId, FIRST_KEY_ID_AT, 'latin1');
    datagram.set(head.nd, FIRST_NONCE_AT);
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
  return first.subarray(FIELDS_AT, FIRST_KEY_ID_AT);
}

/** The nonce of the device in a REQ1: a view. */
export function readNonce(first: Buffer): Buffer {
  return first.subarray(FIRST_NONCE_AT, FLAGS_AT.first);
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
  datagram.writeUInt32BE(ctr, FIELDS_AT);
  datagram[FLAGS_AT.reply] = kind;
  writeTag(datagram, datagram.length - TAG_BYTES, replyTagOf(keys.tagKey(), requestTag, datagram));
  return datagram;
}

/**
 * Whether a datagram is the reply to a request.
 *
 * @param tagKey that of replies.
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
    datagram.readUInt32BE(FIELDS_AT) === ctr &&
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
  return tagOf(tagKey, REPLY_TYPE, REQUEST_TAG, datagram.subarray(FIELDS_AT, datagram.length - TAG_BYTES));
}

/** @param sid of the session that does not exist. */
export function formatAgain(sid: Uint8Array): Buffer {
  const datagram = Buffer.alloc(AGAIN_BYTES);
  datagram[0] = V2_START;
  datagram[1] = V2_TYPE.again;
  datagram.set(sid, FIELDS_AT);
  return datagram;
}

export function isAgainOf(sid: Buffer, datagram: Buffer): boolean {
  return (
    datagram.length === AGAIN_BYTES &&
    datagram[0] === V2_START &&
    datagram[1] === V2_TYPE.again &&
    sid.equals(datagram.subarray(FIELDS_AT))
  );
}

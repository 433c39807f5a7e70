/**
 * The key schedule of protocol v2: the values that follow from the key of a device and from the nonces of a session.
 */
import { deriveInto, tagOf } from './tag.js';
import { HASH_BYTES } from '../wire.js';
import { KEY_ID_BYTES, ROUTE_BYTES, SESSION_ID_BYTES } from './wire.js';

const ID_LABEL = Buffer.from('ben2 id');
const UP_LABEL = Buffer.from('ben2 up');
const DOWN_LABEL = Buffer.from('ben2 down');
const SESSION_LABEL = Buffer.from('ben2 session');
const [REQUEST_KEY, REQUEST_TAG, REPLY_KEY, REPLY_TAG, SESSION_ID] = [1, 2, 3, 4, 5].map((byte) => Buffer.of(byte)) as [
  Buffer,
  Buffer,
  Buffer,
  Buffer,
  Buffer,
];

/** The four keys of a session, one after the other. */
export const SESSION_KEY_BYTES = 4 * HASH_BYTES;

/** The inputs of a session secret. */
export interface Nonces {
  /** 16 bytes of the device. */
  readonly nd: Uint8Array;
  /** Route and slot. */
  readonly ck: Uint8Array;
  /** 16 bytes of the server. */
  readonly ns: Uint8Array;
}

/** The key id, as Latin-1: which key a device holds. Not secret. */
export function keyIdOf(key: Uint8Array): string {
  return tagOf(key, ID_LABEL).slice(0, KEY_ID_BYTES);
}

/** The key of the tag of OPEN. The caller overwrites it after use. */
export function openKeyOf(key: Uint8Array): Buffer {
  return derive(key, UP_LABEL);
}

/** The key of the tag of GRANT. The caller overwrites it after use. */
export function grantKeyOf(key: Uint8Array): Buffer {
  return derive(key, DOWN_LABEL);
}

/** The session secret. The caller overwrites it after use. */
export function sessionSecretOf(key: Uint8Array, { nd, ck, ns }: Nonces): Buffer {
  return derive(key, SESSION_LABEL, nd, ck, ns);
}

/** Only the key of the tag of requests, to check a tag before anything else is derived. */
export function requestTagKeyOf(secret: Uint8Array): Buffer {
  return derive(secret, REQUEST_TAG);
}

/** Writes the four keys of a session to `target`: those of requests, text and tag, then those of replies. */
export function deriveSessionKeys(secret: Uint8Array, target: Buffer, at = 0): void {
  [REQUEST_KEY, REQUEST_TAG, REPLY_KEY, REPLY_TAG].forEach((label, index) =>
    deriveInto(target, at + index * HASH_BYTES, secret, label),
  );
}

/** The session id: the route of the server process, and six bytes of the secret. Not secret. */
export function sessionIdOf(secret: Uint8Array, ck: Uint8Array): Buffer {
  const id = Buffer.alloc(SESSION_ID_BYTES);
  id.set(ck.subarray(0, ROUTE_BYTES));
  id.write(tagOf(secret, SESSION_ID), ROUTE_BYTES, SESSION_ID_BYTES - ROUTE_BYTES, 'latin1');
  return id;
}

function derive(key: Uint8Array, ...message: readonly Uint8Array[]): Buffer {
  const derived = Buffer.alloc(HASH_BYTES);
  deriveInto(derived, 0, key, ...message);
  return derived;
}

/**
 * The closed list of reasons for which a datagram gets no answer. Counters, events and log lines all use it.
 */

/** Every reason, in words. */
export const REJECTIONS = {
  // Strangers and noise.
  'unknown-datagram': 'neither a hello nor the beginning of a request',
  'no-way-back': 'its sender has port 0, or an address that is not one host: unspecified, multicast or broadcast',
  'too-large': 'longer than any request that is read',
  'bad-envelope': 'not the text of a dict of hash, data and iv',
  'bad-sizes': 'hash, data or iv is of a wrong size',
  'bad-hash': 'the hash fits no live id of this endpoint under any key: wrong key, expired id, or a forgery',
  replayed: 'a second copy of a request that was accepted',
  // Limits.
  'hello-rate': 'too many hellos of one source without a request',
  'hello-budget': 'too many hellos of endpoints that never verified',
  'request-rate': 'too many requests of one source that did not verify',
  'request-budget': 'too many requests of endpoints that never said hello',
  'key-attempt-budget': 'too many keys tried for endpoints whose key is not known',
  'table-full': 'no room for one more verified endpoint',
  busy: 'too many handlers are running',
  // Care for devices.
  'duplicate-hello': 'a second hello while the answer to the first is under way',
  'stale-hello': 'a hello that waited too long to be read: its device has given up',
  'stale-request': 'a request that waited too long to be read: its device has given up',
  withheld: 'left unanswered once, so that a device reads what it has not read yet',
  'out-of-step': 'the device has datagrams left to read, so that it could not read a reply',
  expired: 'the request belongs to an id that is used up or too old',
  closing: 'the server shuts down',
  // A key holder's mistakes.
  'bad-padding': 'verified, but not padded with 1 to 16 spaces',
  'bad-utf8': 'verified, but not UTF-8',
  'bad-text': 'verified, but no Python text that is read here',
  'bad-request': 'verified, but not a dict',
} as const;

/** Why a datagram gets no answer; `REJECTIONS` has each in words. */
export type BenUdpRejection = keyof typeof REJECTIONS;

/**
 * Every reason for which a datagram is dropped. Counters, events and log lines use these names.
 */

/** Each reason in words. */
export const REJECTIONS = {
  // Strangers and noise.
  'unknown-datagram': 'neither a hello nor the beginning of a request',
  'no-way-back': 'the sender has port 0, or an address that is not one host: unspecified, multicast or broadcast',
  'too-large': 'longer than any request that is read',
  'bad-envelope': 'not the text of a dict of hash, data and iv',
  'bad-sizes': 'hash, data or iv has a wrong size',
  'bad-hash': 'the hash matches no live id of this endpoint under any key: wrong key, expired id, or a forgery',
  replayed: 'a second copy of an accepted request',
  // Limits.
  'hello-rate': 'too many hellos from one source without a request',
  'hello-budget': 'too many hellos from endpoints that never verified',
  'request-rate': 'too many failed requests from one source',
  'request-budget': 'too many requests from endpoints that never sent a hello',
  'key-attempt-budget': 'too many keys tried for endpoints whose key is unknown',
  'search-budget': 'too many searches for the keys of unknown endpoints, or this one took too long',
  'table-full': 'no room for another verified endpoint',
  busy: 'too many handlers are running',
  // Care for devices.
  'duplicate-hello': 'a second hello while the answer to the first is on its way',
  'stale-hello': 'the hello waited too long to be read: the device has given up',
  'stale-request': 'the request waited too long to be read: the device has given up',
  withheld: 'left unanswered once, so that the device reads its unread datagrams',
  'out-of-step': 'the device is out of step: it has unread datagrams, and reads them before newer ones',
  expired: 'the id of the request is used or too old',
  closing: 'the server shuts down',
  // Protocol v2.
  'bad-shape': 'begins like protocol v2, but is not a datagram that a device sends',
  'open-rate': 'too many openings from one source',
  'unknown-key': 'no key has this key id',
  'bad-tag': 'the tag does not verify: forged, damaged, or from before a restart',
  'session-collision': 'another session has the same id',
  'session-quota': 'the key or the address has too many sessions, and all are in use',
  'unknown-session': 'no such session: the server restarted, or evicted it',
  'again-rate': 'the session is unknown, and the source has had too many answers',
  'counter-reused': 'the number of the last request with other contents: the device lost its state',
  'duplicate-request': 'a copy of a request whose handler is running',
  'reply-forgotten': 'a copy of a request whose reply is no longer kept',
  'resend-limit': 'a copy of a request whose reply was sent again too often',
  'late-request': 'the request was delayed for too long',
  'v1-refused': 'a request of protocol v1 under a key that is limited to v2',
  // Mistakes of a key holder.
  'bad-padding': 'verified, but not padded with 1 to 16 spaces',
  'bad-utf8': 'verified, but not UTF-8',
  'bad-text': 'verified, but not a supported Python text',
  'bad-request': 'verified, but not a dict',
} as const;

/** The reason for which a datagram was dropped; `REJECTIONS` has each in words. */
export type BenUdpRejection = keyof typeof REJECTIONS;

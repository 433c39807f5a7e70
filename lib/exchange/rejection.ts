/**
 * The closed list of reasons for which a datagram gets no answer. Counters, events and log lines all use it.
 */
import type { EnvelopeFault } from '../protocol/index.js';

export type Rejection =
  | EnvelopeFault
  /** Neither a hello nor the beginning of an envelope. */
  | 'unknown-datagram'
  /** Longer than any request that is read. */
  | 'too-large'
  /** The hash fits no id that is valid for this endpoint, under any key: wrong key, expired id, or a forgery. */
  | 'bad-hash'
  /** A second copy of a request that was accepted. */
  | 'replayed'
  /** As many endpoints as the table holds were verified within the life of an id. */
  | 'table-full'
  /** The request verifies, but is not padded with 1 to 16 spaces. */
  | 'bad-padding'
  /** The request verifies, but is not UTF-8. */
  | 'bad-utf8'
  /** The request verifies, but is no Python text that is read here. */
  | 'bad-text'
  /** The request verifies, but is no dict. */
  | 'bad-request'
  /** A hello that arrived while the server shuts down. */
  | 'closing';

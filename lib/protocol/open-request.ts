/**
 * Decrypts and reads a request. Server and `decode` share these rules. They are strict, because SHA-256 lets an attacker extend a
 * hash to longer data, and the extension decrypts to noise.
 */
import { BenUdpProtocolError } from '../errors.js';
import { type Request, parseRequest } from './request.js';
import { type Sealed, type Sealer, decodeUtf8, unpad } from './seal.js';

/** The rule that a request breaks. */
export type UnreadableReason = 'bad-padding' | 'bad-utf8' | 'bad-text' | 'bad-request';

export interface OpenedRequest {
  readonly request: Request;
  /** The Python text. */
  readonly text: string;
}

export interface UnreadableRequest {
  readonly reason: UnreadableReason;
  readonly error: BenUdpProtocolError;
  /** `undefined` if it is not UTF-8. */
  readonly text: string | undefined;
  /** Whether the device seems not to wait for a reply. */
  readonly isNoreturn: boolean;
}

const NORETURN = Buffer.from('noreturn', 'ascii');

/** @param sealed its hash was checked, or will be. */
export function openRequest(sealer: Sealer, sealed: Sealed): OpenedRequest | UnreadableRequest {
  return readRequest(sealer.open(sealed.ciphertext, sealed.iv));
}

/** Reads a decrypted request. */
export function readRequest(plaintext: Buffer): OpenedRequest | UnreadableRequest {
  const unreadable = (reason: UnreadableReason, error: BenUdpProtocolError, text?: string): UnreadableRequest => ({
    reason,
    error,
    text,
    isNoreturn: plaintext.includes(NORETURN),
  });
  const bytes = unpad(plaintext);
  if (!bytes) {
    return unreadable('bad-padding', new BenUdpProtocolError('BEN_BAD_REQUEST', 'not padded with 1 to 16 spaces'));
  }
  const text = decodeUtf8(bytes);
  if (text === undefined) {
    return unreadable('bad-utf8', new BenUdpProtocolError('BEN_BAD_REQUEST', 'not UTF-8'));
  }
  try {
    return { request: parseRequest(text), text };
  } catch (error) {
    if (error instanceof BenUdpProtocolError) {
      return unreadable(error.code === 'BEN_BAD_REQUEST' ? 'bad-request' : 'bad-text', error, text);
    }
    throw error;
  }
}

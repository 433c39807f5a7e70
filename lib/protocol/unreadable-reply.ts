/**
 * The reply to a request that verified and could not be read. A board whose text is wrong learns why; with a wrong key it would
 * get silence, and the two must not look alike to its owner.
 */
import type { BenUdpProtocolError } from '../errors.js';
import { formatErrorReply } from './reply.js';

/**
 * All of these replies have one length. SHA-256 lets somebody on the path extend a request, and the length of the reply would
 * tell what the extended text opens to. The spaces mean nothing in JSON.
 */
const UNREADABLE_REPLY_BYTES = 223;

/** The text of the reply: an error with the code, and the position if one is known. Fits the smallest `bufferSize`. */
export function formatUnreadableReply({ code, position }: BenUdpProtocolError, form: 'null' | 'text'): string {
  const error = { status: 'error', message: `the request can't be read: ${code}`, code, position };
  return formatErrorReply(error, form, UNREADABLE_REPLY_BYTES).padEnd(UNREADABLE_REPLY_BYTES);
}

const NORETURN = Buffer.from('noreturn', 'ascii');

/** Whether a text that can't be read looks as if its device did not wait for a reply. */
export function looksLikeNoreturn(plaintext: Buffer): boolean {
  return plaintext.includes(NORETURN);
}

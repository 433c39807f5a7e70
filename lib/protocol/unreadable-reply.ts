/**
 * The reply to a verified request that can't be read. A board that sends a wrong text gets the reason. A board with a wrong key gets no
 * reply, so its owner can tell the two cases apart.
 */
import type { BenUdpProtocolError } from '../errors.js';
import { formatErrorReply } from './reply.js';

/**
 * All of these replies have one length. An attacker on the path can extend a request. If the length depended on the error, it would
 * reveal the plaintext of the extension. JSON ignores the spaces.
 */
const UNREADABLE_REPLY_BYTES = 223;

/** The text of the reply: an error with its code, and its position if that is known. Fits the smallest `bufferSize`. */
export function formatUnreadableReply({ code, position }: BenUdpProtocolError, form: 'null' | 'text'): string {
  const error = { status: 'error', message: `the request can't be read: ${code}`, code, position };
  return formatErrorReply(error, form, UNREADABLE_REPLY_BYTES).padEnd(UNREADABLE_REPLY_BYTES);
}

/**
 * What server and load have to agree on: addresses, keys, the data that is echoed, and the sizes of datagrams.
 */
import { createHash } from 'node:crypto';

/** The server's address, and the first byte of the addresses of the peers: this machine's own, or those of a namespace. */
export const HOST = process.env.BENCH_HOST ?? '127.0.0.1';
const NETWORK = process.env.BENCH_NETWORK ?? '127';
export const HELLO = Buffer.from('/GETID');
export const ACTION = 'echo';
export const BLOCK_BYTES = 16;
export const HASH_BYTES = 32;

/**
 * An address of its own for every peer; 64 to a /24, as in a building.
 *
 * @param {number} index
 */
export function addressOf(index) {
  return `${NETWORK}.${1 + (index >> 14)}.${(index >> 6) & 255}.${1 + (index & 63)}`;
}

/**
 * The contents of a key file.
 *
 * @param {number} index
 */
export function keyFileAt(index) {
  return createHash('sha256').update(`key file ${index}`).digest();
}

/**
 * The key of that file.
 *
 * @param {number} index
 */
export function keyAt(index) {
  return createHash('sha256').update(keyFileAt(index)).digest();
}

/** @param {number} bytes */
export function dataOf(bytes) {
  return '21.5 degrees, 40 % of humidity; '.repeat(Math.ceil(bytes / 32)).slice(0, bytes);
}

/**
 * A request as a board prints it.
 *
 * @param {number} dataBytes
 * @param {boolean} noreturn
 */
export function requestText(dataBytes, noreturn) {
  return `{'action': '${ACTION}', 'data': '${dataOf(dataBytes)}'${noreturn ? ", 'noreturn': True" : ''}}`;
}

/**
 * Bytes of a sealed text: 1 to 16 spaces more.
 *
 * @param {number} byteLength
 */
export function sealedLength(byteLength) {
  return byteLength + BLOCK_BYTES - (byteLength % BLOCK_BYTES);
}

/**
 * Bytes of datagram 7 for an echo of this length.
 *
 * @param {number} dataBytes
 */
export function replyLength(dataBytes) {
  return sealedLength(`{"data":"${dataOf(dataBytes)}"}`.length);
}

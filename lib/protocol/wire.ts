/**
 * Fixed bytes and sizes of protocol v1.
 */

/** Datagram 1: requests an id. The datagram contains nothing else. */
export const HELLO = Buffer.alloc(6, '/GETID', 'ascii');

/** AES block: the size of an IV and of a sealed id, and the unit of every ciphertext. */
export const BLOCK_BYTES = 16;

/** SHA-256 digest: the hash of a request (4) and of a reply (5). */
export const HASH_BYTES = 32;

/** AES-256 key. */
export const KEY_BYTES = 32;

/** Datagrams 5 to 7: hash, IV and ciphertext of the reply. */
export const REPLY_DATAGRAMS = 3;

/** The largest payload of a UDP datagram over IPv4. */
export const MAX_DATAGRAM_BYTES = 65_507;

/** Whether bytes have the size of a ciphertext: whole blocks, at least one. */
export function isCiphertext({ length }: Uint8Array): boolean {
  return length > 0 && length % BLOCK_BYTES === 0;
}

/** Whether a datagram is exactly the hello. Upstream compares the whole datagram too. */
export function isHello(datagram: Uint8Array): boolean {
  return datagram.length === HELLO.length && HELLO.equals(datagram);
}

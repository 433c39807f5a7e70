/**
 * The device's side of the crypto, as lean as it can be while every request is really sealed and signed: a load that costs
 * more than the server would measure itself. Written apart from the library, so that neither hides a mistake of the other.
 */
import { createCipheriv, createDecipheriv, createHash, randomFillSync } from 'node:crypto';
import { BLOCK_BYTES, HASH_BYTES, sealedLength } from './wire.mjs';

const SPACE = 0x20;

/** @type {Record<string, string | undefined>} */
const LETTERS = { '\n': 'n', '\r': 'r', '\t': 't' };
const RANDOM_BYTES = 65_536;

/** Shared by all keys, so that many boards take little memory. */
const random = { bytes: Buffer.alloc(RANDOM_BYTES), used: RANDOM_BYTES };

/** What `repr` prints for each byte between single quotes, and between double quotes. */
const SINGLE_QUOTED = Array.from({ length: 256 }, (_, byte) => printByte(byte, "'"));
const DOUBLE_QUOTED = Array.from({ length: 256 }, (_, byte) => printByte(byte, '"'));

/**
 * @param {number} byte
 * @param {string} quote
 */
function printByte(byte, quote) {
  const character = String.fromCharCode(byte);
  if (character === quote || character === '\\') {
    return Buffer.from(`\\${character}`);
  }
  if (byte >= 0x20 && byte < 0x7f) {
    return Buffer.from(character);
  }
  const letter = LETTERS[character];
  return Buffer.from(letter ? `\\${letter}` : `\\x${byte.toString(16).padStart(2, '0')}`);
}

/** Everything of one key. Ciphers live on, as in the library: a random block fed to a running CBC cipher becomes the IV. */
export class BoardCrypto {
  #cipher;
  #idDecipher;
  #replyDecipher;

  /** @param {Uint8Array} key */
  constructor(key) {
    const iv = Buffer.alloc(BLOCK_BYTES);
    this.#cipher = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
    this.#idDecipher = createDecipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    this.#replyDecipher = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
  }

  /**
   * The id in datagrams 2 and 3.
   *
   * @param {Buffer} ciphertext
   * @param {Buffer} iv
   */
  openId(ciphertext, iv) {
    const id = this.#idDecipher.update(ciphertext);
    for (let index = 0; index < BLOCK_BYTES; index++) {
      id[index] ^= iv[index];
    }
    return strip(id);
  }

  /**
   * Writes datagram 4 into `target`; returns its length. `plaintext` as from `preparePlaintext`.
   *
   * @param {Buffer} id
   * @param {Buffer} plaintext
   * @param {Buffer} target
   */
  writeRequest(id, plaintext, target) {
    if (random.used === RANDOM_BYTES) {
      randomFillSync(random.bytes);
      random.used = 0;
    }
    random.bytes.copy(plaintext, 0, random.used, (random.used += BLOCK_BYTES));
    const sealed = this.#cipher.update(plaintext);
    const iv = sealed.subarray(0, BLOCK_BYTES);
    const data = sealed.subarray(BLOCK_BYTES);
    const hash = createHash('sha256').update(id).update(data).update(iv).digest();
    let at = target.write("{'hash': b", 0, 'latin1');
    at = writeBytes(hash, target, at);
    at += target.write(", 'data': b", at, 'latin1');
    at = writeBytes(data, target, at);
    at += target.write(", 'iv': b", at, 'latin1');
    at = writeBytes(iv, target, at);
    target[at] = 0x7d;
    return at + 1;
  }

  /**
   * The text in datagrams 5 to 7; `undefined` if the hash does not match.
   *
   * @param {Buffer} id
   * @param {Buffer} hash
   * @param {Buffer} iv
   * @param {Buffer} ciphertext
   */
  openReply(id, hash, iv, ciphertext) {
    if (!createHash('sha256').update(id).update(ciphertext).update(iv).digest().equals(hash)) {
      return undefined;
    }
    this.#replyDecipher.update(iv);
    return this.#replyDecipher.update(ciphertext).toString().trim();
  }
}

/**
 * A text as `writeRequest` takes it: room for the IV, the text, and the padding.
 *
 * @param {string} text
 */
export function preparePlaintext(text) {
  const plaintext = Buffer.alloc(BLOCK_BYTES + sealedLength(Buffer.byteLength(text)), SPACE);
  plaintext.write(text, BLOCK_BYTES);
  return plaintext;
}

/**
 * The longest datagram 4 of a plaintext: four characters a byte.
 *
 * @param {Buffer} plaintext
 */
export function maxRequestLength(plaintext) {
  return "{'hash': b'', 'data': b'', 'iv': b''}".length + 4 * (HASH_BYTES + plaintext.length);
}

/**
 * @param {Buffer} bytes
 * @param {Buffer} target
 * @param {number} start
 */
function writeBytes(bytes, target, start) {
  const useDouble = bytes.includes(0x27) && !bytes.includes(0x22);
  const printed = useDouble ? DOUBLE_QUOTED : SINGLE_QUOTED;
  const quote = useDouble ? 0x22 : 0x27;
  let at = start;
  target[at++] = quote;
  for (let index = 0; index < bytes.length; index++) {
    const text = printed[bytes[index]];
    for (let unit = 0; unit < text.length; unit++) {
      target[at++] = text[unit];
    }
  }
  target[at++] = quote;
  return at;
}

/** @param {Buffer} bytes */
function strip(bytes) {
  let start = 0;
  let end = bytes.length;
  while (start < end && isWhiteSpace(bytes[start])) {
    start++;
  }
  while (end > start && isWhiteSpace(bytes[end - 1])) {
    end--;
  }
  return bytes.subarray(start, end);
}

/** @param {number} byte */
function isWhiteSpace(byte) {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
}

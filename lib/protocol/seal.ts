/**
 * Seals and opens texts: UTF-8, 1 to 16 spaces of padding, AES-256-CBC under a random IV. AES and SHA-256 come from node:crypto. CBC
 * alone authenticates nothing, so a caller that opens a text must check its hash (`digest`) first.
 */
import {
  type Cipher,
  type Decipher,
  KeyObject,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hash,
  timingSafeEqual,
} from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { type RandomBlockSource, createRandomBlockSource } from './random-blocks.js';
import { BLOCK_BYTES, HASH_BYTES } from './wire.js';

const SPACE = 0x20;
const ZERO_IV = Buffer.alloc(BLOCK_BYTES);

/**
 * Parts are joined here for one call of node:crypto, because a call costs more than its bytes. A separate allocation, because ids and
 * texts must not lie in the pool that Node shares between small Buffers.
 */
const SCRATCH = Buffer.allocUnsafeSlow(4096);
const EXPECTED_DIGEST = Buffer.allocUnsafeSlow(HASH_BYTES);

/** A sealed text: two datagrams of the wire. */
export interface Sealed {
  readonly ciphertext: Buffer;
  readonly iv: Buffer;
}

/** Length of the ciphertext of a text of `byteLength` bytes; a multiple of 16 still gets 16 spaces. */
export function sealedLength(byteLength: number): number {
  return byteLength + BLOCK_BYTES - (byteLength % BLOCK_BYTES);
}

/** `SHA-256(id + ciphertext + iv)`, the only authentication the protocol has. */
export function digest(id: Uint8Array, ciphertext: Uint8Array, iv: Uint8Array): Buffer {
  return Buffer.from(digestText(id, ciphertext, iv), 'latin1');
}

/** Whether bytes are the digest, in constant time. */
export function isDigest(bytes: Uint8Array, id: Uint8Array, ciphertext: Uint8Array, iv: Uint8Array): boolean {
  EXPECTED_DIGEST.write(digestText(id, ciphertext, iv), 'latin1');
  // timingSafeEqual throws on unequal lengths.
  return bytes.length === HASH_BYTES && timingSafeEqual(EXPECTED_DIGEST, bytes);
}

/** As Latin-1, which takes half the time of a hash as a new ArrayBuffer, even including the copy into a pooled buffer. */
function digestText(id: Uint8Array, ciphertext: Uint8Array, iv: Uint8Array): string {
  const joined = scratch(id.length + ciphertext.length + iv.length);
  joined.set(id);
  joined.set(ciphertext, id.length);
  joined.set(iv, id.length + ciphertext.length);
  const text = hash('sha256', joined, 'binary');
  joined.fill(0, 0, id.length);
  return text;
}

/** Memory for one call, valid until the next one. */
function scratch(length: number): Buffer {
  return length > SCRATCH.length ? Buffer.allocUnsafeSlow(length) : SCRATCH.subarray(0, length);
}

/**
 * Seals and opens under one key.
 *
 * One cipher and one decipher live as long as the key, because a new one costs four times as much as a message. CBC makes that
 * possible. A random block that is fed to the running cipher comes out as an unpredictable block, which becomes the IV of the next
 * blocks. A running decipher XORs the last block of the previous message into the first block of the next. That block is known,
 * so it is XORed out again, and the IV in.
 */
export class Sealer {
  /** Set up by the first message: an attempt with a key only opens. */
  private cipher: Cipher | undefined;
  private decipher: Decipher | undefined;
  /** The block that the decipher will XOR into the next block: the last ciphertext block that it was fed. */
  private readonly chained = Buffer.alloc(BLOCK_BYTES);

  private readonly key: KeyObject;

  /** @param key 32 bytes; a copy is kept in Node's memory for keys. */
  constructor(
    key: Uint8Array | KeyObject,
    private readonly randomBlock: RandomBlockSource = createRandomBlockSource(),
  ) {
    this.key = key instanceof KeyObject ? key : createSecretKey(key);
  }

  seal(text: string): Sealed {
    const byteLength = Buffer.byteLength(text);
    const plaintext = scratch(BLOCK_BYTES + sealedLength(byteLength));
    this.randomBlock(plaintext, 0);
    plaintext.write(text, BLOCK_BYTES);
    plaintext.fill(SPACE, BLOCK_BYTES + byteLength);
    this.cipher ??= createCipheriv('aes-256-cbc', this.key, ZERO_IV).setAutoPadding(false);
    const sealed = this.cipher.update(plaintext);
    plaintext.fill(0);
    return { ciphertext: sealed.subarray(BLOCK_BYTES), iv: sealed.subarray(0, BLOCK_BYTES) };
  }

  /**
   * Decrypts without checking anything.
   *
   * @param ciphertext a multiple of 16 bytes: a partial block would stay behind in the decipher
   * and shift every later message.
   */
  open(ciphertext: Uint8Array, iv: Uint8Array): Buffer {
    const { length } = ciphertext;
    if (length % BLOCK_BYTES !== 0 || iv.length !== BLOCK_BYTES) {
      throw new RangeError(
        `expected whole blocks of ${BLOCK_BYTES} bytes, got ${length} bytes and an IV of ${iv.length}`,
      );
    }
    this.decipher ??= createDecipheriv('aes-256-cbc', this.key, ZERO_IV).setAutoPadding(false);
    const plaintext = this.decipher.update(ciphertext);
    if (length === 0) {
      return plaintext;
    }
    for (let index = 0; index < BLOCK_BYTES; index++) {
      plaintext[index]! ^= this.chained[index]! ^ iv[index]!;
      this.chained[index] = ciphertext[length - BLOCK_BYTES + index]!;
    }
    return plaintext;
  }
}

/**
 * Removes the padding of a plaintext: 1 to 16 spaces, as every device adds them. `undefined` for any other number of spaces, because
 * then the last block was changed.
 */
export function unpad(plaintext: Buffer): Buffer | undefined {
  let end = plaintext.length;
  while (end > 0 && plaintext[end - 1] === SPACE) {
    end--;
  }
  const padding = plaintext.length - end;
  return padding >= 1 && padding <= BLOCK_BYTES ? plaintext.subarray(0, end) : undefined;
}

/**
 * Strict UTF-8, with the byte order mark kept; `undefined` for anything else. `toString()` would turn garbage into U+FFFD, so a forged
 * request would reach the parser.
 */
export function decodeUtf8(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

/** Removes the bytes that `bytes.strip()` removes on a device: the six ASCII white space characters, at both ends. */
export function stripWhiteSpace(bytes: Buffer): Buffer {
  let start = 0;
  let end = bytes.length;
  while (start < end && isWhiteSpace(bytes[start])) {
    start++;
  }
  while (end > start && isWhiteSpace(bytes[end - 1])) {
    end--;
  }
  // Usually nothing has to be removed, and a new view costs more than this check.
  return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
}

/** Space, \t, \n, \v, \f, \r. */
function isWhiteSpace(byte: number | undefined): boolean {
  return byte !== undefined && (byte === SPACE || (byte >= 0x09 && byte <= 0x0d));
}

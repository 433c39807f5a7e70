/**
 * Seals and opens texts of one direction of a session: UTF-8, 1 to 16 spaces of padding, AES-256-CBC. The IV is the encrypted number
 * of the request, so it is not sent. CBC authenticates nothing: a caller that opens a text has checked its tag.
 *
 * Cipher and decipher live as long as the session, as those of `Sealer`. The running cipher XORs its last block into the next one. So
 * the number is XORed with that block first, and comes out as the IV. The opening side makes the IVs of several numbers in one call,
 * because a call costs more than its blocks.
 */
import { type Cipher, type Decipher, createCipheriv, createDecipheriv } from 'node:crypto';
import { sealedLength } from '../seal.js';
import { BLOCK_BYTES } from '../wire.js';

const SPACE = 0x20;
const ZERO_IV = Buffer.alloc(BLOCK_BYTES);

/** Memory for one call. A separate allocation, because texts must not lie in the pool that Node shares between small Buffers. */
const SCRATCH = Buffer.allocUnsafeSlow(4096);

/** IVs that are made at once. The numbers of a session follow each other. */
const IVS = 16;
const NUMBERS = Buffer.alloc(IVS * BLOCK_BYTES);

const NO_IVS: Buffer = Buffer.alloc(0);

export class TextCipher {
  private cipher: Cipher | undefined;
  private decipher: Decipher | undefined;
  private ivCipher: Cipher | undefined;
  /** The IVs of `IVS` numbers from `firstIv` on. */
  private ivs = NO_IVS;
  private firstIv = 0;
  private readonly sealed = Buffer.alloc(BLOCK_BYTES);
  private readonly opened = Buffer.alloc(BLOCK_BYTES);

  // A #private field: print-outs can't reach it.
  readonly #key: Uint8Array;

  /** @param key 32 bytes, which must stay until the first text of each direction. */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /**
   * Seals a text.
   *
   * @param ctr used once with this key.
   * @returns the ciphertext as a separate allocation, with one block before it and one after it, for a head and a tag.
   */
  seal(ctr: number, text: string): Buffer {
    const byteLength = Buffer.byteLength(text);
    const end = BLOCK_BYTES + sealedLength(byteLength);
    const length = end + BLOCK_BYTES;
    const plaintext = length > SCRATCH.length ? Buffer.allocUnsafeSlow(length) : SCRATCH.subarray(0, length);
    this.writeNumber(plaintext, ctr);
    plaintext.write(text, BLOCK_BYTES);
    plaintext.fill(SPACE, BLOCK_BYTES + byteLength, end);
    plaintext.fill(0, end);
    this.cipher ??= createCipheriv('aes-256-cbc', this.#key, ZERO_IV).setAutoPadding(false);
    const ciphertext = this.cipher.update(plaintext);
    const last = ciphertext.length - BLOCK_BYTES;
    for (let index = 0; index < BLOCK_BYTES; index++) {
      this.sealed[index] = ciphertext[last + index]!;
    }
    plaintext.fill(0);
    return ciphertext;
  }

  /**
   * Decrypts without checking anything.
   *
   * @param ciphertext whole blocks, at least one.
   */
  open(ctr: number, ciphertext: Uint8Array): Buffer {
    const ivAt = this.findIv(ctr);
    const { ivs, opened } = this;
    this.decipher ??= createDecipheriv('aes-256-cbc', this.#key, ZERO_IV).setAutoPadding(false);
    const plaintext = this.decipher.update(ciphertext);
    const last = ciphertext.length - BLOCK_BYTES;
    for (let index = 0; index < BLOCK_BYTES; index++) {
      plaintext[index]! ^= opened[index]! ^ ivs[ivAt + index]!;
      opened[index] = ciphertext[last + index]!;
    }
    return plaintext;
  }

  /** The place of the IV of a number. */
  private findIv(ctr: number): number {
    const place = ctr - this.firstIv;
    if (place >= 0 && place * BLOCK_BYTES < this.ivs.length) {
      return place * BLOCK_BYTES;
    }
    for (let index = 0; index < IVS; index++) {
      NUMBERS.writeUInt32BE(ctr + index, index * BLOCK_BYTES);
    }
    this.ivCipher ??= createCipheriv('aes-256-ecb', this.#key, null).setAutoPadding(false);
    this.ivs = this.ivCipher.update(NUMBERS);
    this.firstIv = ctr;
    return 0;
  }

  /** Writes the block that the cipher turns into the IV: the number, XORed with the block that the cipher will XOR out again. */
  private writeNumber(target: Buffer, ctr: number): void {
    target.set(this.sealed);
    target.writeUInt32BE((target.readUInt32BE(0) ^ ctr) >>> 0, 0);
  }
}

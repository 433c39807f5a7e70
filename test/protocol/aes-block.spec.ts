import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decryptBlock } from '../../lib/protocol/index.js';

function decrypt(key: Buffer, block: Buffer, iv: Buffer): Buffer {
  const target = Buffer.alloc(16);
  decryptBlock(key, 0, block, iv, target);
  return target;
}

describe('decryptBlock', () => {
  it.each([
    {
      title: 'FIPS 197, C.3',
      key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
      iv: '00000000000000000000000000000000',
      block: '8ea2b7ca516745bfeafc49904b496089',
      plaintext: '00112233445566778899aabbccddeeff',
    },
    {
      title: 'NIST SP 800-38A, F.2.6',
      key: '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
      iv: '000102030405060708090a0b0c0d0e0f',
      block: 'f58c4c04d6e5f1ba779eabfb5f7bfbd6',
      plaintext: '6bc1bee22e409f96e93d7e117393172a',
    },
  ])('opens the example of $title', ({ key, iv, block, plaintext }) => {
    const opened = decrypt(Buffer.from(key, 'hex'), Buffer.from(block, 'hex'), Buffer.from(iv, 'hex'));
    expect(opened.toString('hex')).toBe(plaintext);
  });

  it('opens what node:crypto has sealed, under 2000 random keys', () => {
    for (let run = 0; run < 2000; run++) {
      const [key, iv, plaintext] = [randomBytes(32), randomBytes(16), randomBytes(16)];
      const block = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false).update(plaintext);
      expect(decrypt(key, block, iv).equals(plaintext)).toBe(true);
    }
  });

  it('takes a key from the middle of a memory', () => {
    const keys = randomBytes(96);
    const [iv, plaintext] = [randomBytes(16), randomBytes(16)];
    const block = createCipheriv('aes-256-cbc', keys.subarray(32, 64), iv).setAutoPadding(false).update(plaintext);
    const target = Buffer.alloc(16);
    decryptBlock(keys, 32, block, iv, target);
    expect(target).toEqual(plaintext);
  });
});

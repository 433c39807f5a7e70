import { describe, expect, it } from 'vitest';
import { Sealer, openRequest } from '../../lib/protocol/index.js';

const sealer = new Sealer(Buffer.alloc(32, 1));
const open = (text: string) => openRequest(sealer, sealer.seal(text));

describe('openRequest', () => {
  it('opens a request, and keeps its text', () => {
    expect(open("{'action': 'echo', 'data': 1}")).toMatchObject({
      request: { action: 'echo', data: 1, noreturn: false },
      text: "{'action': 'echo', 'data': 1}",
    });
  });

  it.each([
    ['bad-text', "{'action':", "{'action':"],
    ['bad-request', '[1]', '[1]'],
  ])('refuses a text that is not a request: %s', (reason, text, kept) => {
    expect(open(text)).toMatchObject({ reason, text: kept, error: { name: 'BenUdpProtocolError' } });
  });

  it.each([
    ['bad-padding', Buffer.alloc(16, 'x')],
    ['bad-utf8', Buffer.from([0xff, ...Buffer.alloc(15, ' ')])],
  ])('refuses a plaintext with %s', (reason, plaintext) => {
    // CBC under the zero block: a plaintext of one block, sealed by decrypting nothing but the IV.
    const { ciphertext, iv } = sealer.seal('0123456789abcde');
    const opened = sealer.open(ciphertext, iv);
    const forgedIv = Buffer.from(iv.map((byte, index) => byte ^ opened[index]! ^ plaintext[index]!));
    expect(openRequest(sealer, { ciphertext, iv: forgedIv })).toMatchObject({ reason, text: undefined });
  });

  it.each([
    ["{'noreturn': True, 'action': ...}", true],
    ["{'action': ...}", false],
  ])('shows whether the device seems to wait: %s', (text, isNoreturn) => {
    expect(open(text)).toMatchObject({ reason: 'bad-text', isNoreturn });
  });
});

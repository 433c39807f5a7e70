/** A verified request that can't be read gets an error reply; a wrong key gets silence. The two used to look alike to a board. */
import { Controller } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { MovablePlatform } from '../support/movable-platform.js';
import { startApp, unanswered } from '../support/nest-app.js';

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(data: unknown) {
    return data;
  }
}

const app = (options = {}) => startApp({ controllers: [Echo] }, options);

describe('a verified request that can not be read', () => {
  it.each([
    ["{'action': true}", 'BEN_TEXT_UNEXPECTED_NAME', 11],
    ["{'action': 'echo', 'data': 0x1f}", 'BEN_TEXT_BAD_NUMBER', 27],
    ["{'action': 'echo'", 'BEN_TEXT_UNEXPECTED_END', 17],
    ["['echo']", 'BEN_BAD_REQUEST', undefined],
  ])('is answered with code and position: %s', async (text, code, position) => {
    const { board, transport } = await app();
    const device = await board();
    const reply = JSON.parse((await device.exchange(text))!) as unknown;
    const message = `the request can't be read: ${code}`;
    expect(reply).toEqual({ data: null, error: { status: 'error', message, code, ...(position && { position }) } });
    expect(transport.getStats()).toMatchObject({ requests: 0, outcomes: { 'error-reply': 0 } });
    // The next request of the board is in step.
    expect(await device.send({ action: 'echo', data: 1 })).toBe(1);
    expect(device.leftovers).toBe(0);
  });

  it('reaches an unmodified board as None, or as a text', async () => {
    expect(await (await (await app()).board()).send({ action: 'echo', data: 1 })).toBe(1);
    const text = await (await (await app({ errorReply: 'text' })).board()).exchange('[]');
    expect(text).toContain('{"error":{');
  });

  it.each([
    ['if it looks like noreturn', "{'action': true, 'noreturn': True}", {}],
    ["with errorReply: 'none'", "{'action': true}", { errorReply: 'none' }],
  ])('gets silence %s', async (_what, text, options) => {
    const { board, transport } = await app(options);
    const clock = new MovablePlatform();
    const device = await board({}, clock);
    const isRejected = () => transport.getStats().rejected['bad-text'] === 1;
    expect(await unanswered(clock, device.exchange(text), isRejected)).toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(device.getStats().received).toBe(2);
  });

  it('is nobody else: a wrong key gets silence', async () => {
    const { board, transport } = await app();
    const clock = new MovablePlatform();
    const stranger = await board({ key: Buffer.alloc(32, 'w') }, clock);
    const isRejected = () => transport.getStats().rejected['bad-hash'] === 1;
    const outcome = await unanswered(clock, stranger.exchange("{'action': true}"), isRejected);
    expect(outcome).toMatchObject({ code: 'BEN_TIMEOUT' });
  });
});

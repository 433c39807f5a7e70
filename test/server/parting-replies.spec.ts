import { describe, expect, it } from 'vitest';
import type { BenUdpRemote } from '../../lib/exchange/index.js';
import { MAX_PARTING_SOCKETS, PartingReplies } from '../../lib/server/parting-replies.js';
import { remoteOf } from '../support/pure-device.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';

const BOARD = remoteOf('10.0.0.9', 7);
const REPLY = ['hash', 'iv', 'data'].map((text) => Buffer.from(text));

function start(pause?: () => Promise<void>) {
  const platform = new ScriptedPlatform();
  const errors: unknown[] = [];
  const replies = new PartingReplies({
    bind: (peer: BenUdpRemote) =>
      platform.bindSocket(
        { host: '127.0.0.1', port: 8585, receiveBufferSize: 4096, reusePort: true, peer },
        { onDatagram: () => undefined, onError: (error) => errors.push(error) },
      ),
    pause,
    onError: (error) => errors.push(error),
  });
  return { platform, replies, errors };
}

describe('PartingReplies', () => {
  it('sends a reply through a socket that is connected to its board, and closes it', async () => {
    const { platform, replies } = start();
    expect(replies.send(REPLY, BOARD)).toBe(true);
    expect(replies.isBusy).toBe(true);
    await replies.close();
    expect(platform.bound).toMatchObject([{ port: 8585, reusePort: true, peer: { address: '10.0.0.9', port: 7 } }]);
    expect(platform.sockets[0]).toMatchObject({ sent: REPLY, isClosed: true });
    expect(replies.isBusy).toBe(false);
  });

  it('keeps the gap between datagrams', async () => {
    const waiting: Array<() => void> = [];
    const { platform, replies } = start(() => new Promise((resolve) => waiting.push(resolve)));
    replies.send(REPLY, BOARD);
    await settle();
    expect(platform.sockets[0]!.sent).toHaveLength(1);
    waiting.pop()!();
    await settle();
    expect(platform.sockets[0]!.sent).toHaveLength(2);
    waiting.pop()!();
    await replies.close();
    expect(platform.sockets[0]).toMatchObject({ sent: REPLY, isClosed: true });
  });

  it(`opens at most ${MAX_PARTING_SOCKETS} sockets at once`, async () => {
    const { platform, replies } = start();
    for (let count = 0; count < MAX_PARTING_SOCKETS; count++) {
      expect(replies.send(REPLY, BOARD)).toBe(true);
    }
    expect(replies.send(REPLY, BOARD)).toBe(false);
    await replies.close();
    expect(replies.send(REPLY, BOARD)).toBe(true);
    await replies.close();
    expect(platform.sockets).toHaveLength(MAX_PARTING_SOCKETS + 1);
    expect(platform.openSockets).toEqual([]);
  });

  it('reports a socket that can not be bound', async () => {
    const { platform, replies, errors } = start();
    platform.bindError = new Error('no more files');
    replies.send(REPLY, BOARD);
    await replies.close();
    expect(errors).toEqual([platform.bindError]);
  });
});

import { describe, expect, it, onTestFinished } from 'vitest';
import { ServerSocket } from '../../lib/server/server-socket.js';
import { remoteOf } from '../support/pure-device.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';

const BOARD = remoteOf('10.0.0.9', 7);
const ANSWER = ['hash', 'iv', 'data'].map((text) => Buffer.from(text));

async function start(datagramGap = 0) {
  const platform = new ScriptedPlatform();
  const received: string[] = [];
  const errors: unknown[] = [];
  const sendErrors: Error[] = [];
  const server = await ServerSocket.bind(
    { host: '127.0.0.1', port: 8585, receiveBufferSize: 4096, reusePort: true, datagramGap },
    {
      onDatagram: (datagram) => void received.push(datagram.toString()),
      onError: (error) => void errors.push(error),
      onSendError: (error) => void sendErrors.push(error),
    },
    platform,
  );
  onTestFinished(() => server.close());
  return { platform, server, socket: platform.sockets[0]!, received, errors, sendErrors };
}

describe('ServerSocket', () => {
  it('passes on what arrives, and what fails', async () => {
    const { socket, received, errors } = await start();
    await socket.receive([Buffer.from('hello')], BOARD);
    const failure = new Error('socket failed');
    socket.fail(failure);
    expect([received, errors]).toEqual([['hello'], [failure]]);
  });

  it('knows its address, and how many bytes the system grants it', async () => {
    const { server, socket } = await start();
    expect(server.address).toEqual({ address: '127.0.0.1', port: 8585, family: 'IPv4' });
    expect([server.receiveBufferSize, server.unwrap()]).toEqual([socket.receiveBufferSize, socket.socket]);
  });

  it('sends an answer at once', async () => {
    const { server, socket } = await start();
    expect(server.send(ANSWER, BOARD)).toBe(true);
    expect([socket.sent, server.isSending]).toEqual([ANSWER, false]);
  });

  it('reports a datagram that the system refuses to send', async () => {
    const { server, socket, errors, sendErrors } = await start();
    socket.sendError = new Error('no route');
    server.send([ANSWER[0]!], BOARD);
    await settle();
    expect([errors, sendErrors]).toEqual([[], [socket.sendError]]);
  });

  describe('with a datagramGap', () => {
    it('waits between the datagrams of an answer, and is busy until the last', async () => {
      const { server, socket, platform } = await start(5);
      expect(server.send(ANSWER, BOARD)).toBe(true);
      expect([socket.sent.length, server.isSending]).toEqual([1, true]);
      await platform.advance(4);
      expect(socket.sent).toHaveLength(1);
      await platform.advance(1);
      expect([socket.sent.length, server.isSending]).toEqual([2, true]);
      await platform.advance(5);
      expect([socket.sent, server.isSending]).toEqual([ANSWER, false]);
    });

    it('sends nothing more once it is closed', async () => {
      const { server, socket, platform, errors } = await start(5);
      server.send(ANSWER, BOARD);
      await server.close();
      await platform.advance(5);
      expect([socket.sent.length, errors]).toEqual([1, []]);
    });

    it('reports an answer whose next datagram can not be sent, and is not busy with it any more', async () => {
      const { server, socket, platform, errors } = await start(5);
      server.send(ANSWER, BOARD);
      socket.isClosed = true;
      await platform.advance(5);
      expect(errors).toMatchObject([{ message: 'Not running' }]);
      expect(server.isSending).toBe(false);
      socket.isClosed = false;
    });

    it('sends the rest of an answer through a socket of its own, if it leaves the shared port meanwhile', async () => {
      const { server, socket, platform } = await start(5);
      server.send(ANSWER, BOARD);
      await server.leave();
      await platform.advance(5);
      expect(server.isSending).toBe(true);
      await platform.advance(5);
      expect(socket.sent).toEqual(ANSWER.slice(0, 1));
      expect(platform.sockets[1]!.sent).toEqual(ANSWER.slice(1));
      expect(server.isSending).toBe(false);
    });
  });

  describe('that has left a shared port', () => {
    it('is closed, and sends an answer through a socket that is connected to its board', async () => {
      const { server, socket, platform } = await start();
      expect(server.hasLeft).toBe(false);
      await server.leave();
      expect([server.hasLeft, socket.isClosed]).toEqual([true, true]);
      expect(server.send(ANSWER, BOARD)).toBe(true);
      expect(server.isSending).toBe(true);
      await settle();
      expect(platform.bound[1]).toMatchObject({ port: 8585, receiveBufferSize: 4096, reusePort: true, peer: BOARD });
      expect(platform.sockets[1]!.sent).toEqual(ANSWER);
      expect([platform.openSockets, server.isSending]).toEqual([[], false]);
    });

    it('refuses an answer if too many such sockets are open', async () => {
      const { server } = await start();
      await server.leave();
      const sent = Array.from({ length: 257 }, () => server.send(ANSWER, BOARD));
      expect(sent.indexOf(false)).toBe(256);
    });

    it('takes a closed port of a board for a datagram that was not sent', async () => {
      const { server, platform, errors, sendErrors } = await start(5);
      await server.leave();
      server.send(ANSWER, BOARD);
      await settle();
      const refused = new Error('recvmsg ECONNREFUSED');
      platform.sockets[1]!.fail(refused);
      expect([errors, sendErrors]).toEqual([[], [refused]]);
      await platform.advance(5);
      await platform.advance(5);
    });
  });
});

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { nodePlatform } from '../../lib/net/index.js';
import { QUIET_WITHIN_MS, READ_ALL_WITHIN_MS, leaveWhenQuiet } from '../../lib/server/leave-when-quiet.js';
import { ScriptedPlatform, settle } from '../support/scripted-platform.js';

/** A server under the hands of the test. Reads a datagram each turn while `isFlooded`. */
function start() {
  const platform = new ScriptedPlatform();
  const server = { count: 0, isFlooded: false, isAwaiting: false, isIssuing: true };
  const state = { hasLeft: false };
  const afterTurn = platform.afterTurn.bind(platform);
  platform.afterTurn = (callback) => {
    server.count += server.isFlooded ? 1 : 0;
    afterTurn(callback);
  };
  const leave = async () => {
    await leaveWhenQuiet(platform, {
      received: () => server.count,
      awaitsRequests: () => server.isAwaiting,
      stopIssuing: () => void (server.isIssuing = false),
    });
    state.hasLeft = true;
  };
  const advance = async (ms: number) => {
    for (let passed = 0; passed < ms; passed++) {
      await platform.advance(1);
    }
  };
  return { server, state, leave, advance };
}

describe('leaveWhenQuiet', () => {
  it('leaves at once if nothing is unread and no request is awaited', async () => {
    const { server, state, leave } = start();
    void leave();
    await settle();
    expect(state.hasLeft).toBe(true);
    expect(server.isIssuing).toBe(false);
  });

  it('issues ids while it waits for a board between hello and request', async () => {
    const { server, state, leave, advance } = start();
    server.isAwaiting = true;
    void leave();
    await advance(QUIET_WITHIN_MS - 1);
    expect({ ...server, ...state }).toMatchObject({ isIssuing: true, hasLeft: false });
    server.isAwaiting = false;
    await advance(1);
    expect({ ...server, ...state }).toMatchObject({ isIssuing: false, hasLeft: true });
  });

  it('gives up waiting for requests after a time', async () => {
    const { server, state, leave, advance } = start();
    server.isAwaiting = true;
    void leave();
    await advance(QUIET_WITHIN_MS);
    expect({ ...server, ...state }).toMatchObject({ isIssuing: false, hasLeft: true });
  });

  it('reads what has arrived, for a time, and issues no ids then', async () => {
    const { server, state, leave, advance } = start();
    server.isFlooded = true;
    void leave();
    await advance(QUIET_WITHIN_MS + READ_ALL_WITHIN_MS - 1);
    expect({ ...server, ...state }).toMatchObject({ isIssuing: false, hasLeft: false });
    await advance(1);
    expect(state.hasLeft).toBe(true);
  });

  it('reads what arrives while a callback of another socket, or of a signal, asks it to leave', async () => {
    const sockets = [createSocket('udp4'), createSocket('udp4')] as const;
    onTestFinished(() => sockets.forEach((socket) => socket.close()));
    const [server, other] = sockets;
    await Promise.all(
      sockets.map((socket) => {
        socket.bind(0, '127.0.0.1');
        return once(socket, 'listening');
      }),
    );
    let received = 0;
    server.on('message', () => {
      received++;
    });
    other.send('leave', other.address().port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      other.once('message', () => {
        other.send('hello', server.address().port, '127.0.0.1');
        const leaving = { received: () => received, awaitsRequests: () => false, stopIssuing: () => undefined };
        leaveWhenQuiet(nodePlatform, leaving).then(resolve, reject);
      });
    });
    expect(received).toBe(1);
  });

  it('takes half a second for boards, and a quarter more for what is unread', () => {
    expect([QUIET_WITHIN_MS, READ_ALL_WITHIN_MS]).toEqual([500, 250]);
  });
});

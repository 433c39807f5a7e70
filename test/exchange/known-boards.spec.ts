/** The known boards of an exchange, before a restart and as hints after it. */
import { describe, expect, it } from 'vitest';
import type { BenUdpRemote, Decision, Exchanges, ServerExchange } from '../../lib/exchange/index.js';
import { KeyRing } from '../../lib/keys/index.js';
import { KEY, PureDevice, createServer, remoteOf } from '../support/pure-device.js';
import { PureV2Device } from '../support/v2-device.js';
import { createExchanges } from '../support/v2-server.js';

const NORETURN = "{'action': 'log', 'noreturn': True}";
const namedKeys = Array.from({ length: 1000 }, (_, index) => ({
  device: `board-${index}`,
  key: Buffer.alloc(32, `key ${index};`),
}));
const LAST = namedKeys.at(-1)!;
const ADDRESSES = ['10.0.0.1', '223.254.253.252', '2001:db8::1', '::ffff:10.0.0.9'];

const outcomeOf = (decision: Decision) => (decision.kind === 'rejected' ? decision.reason : decision.kind);

function askV1(exchanges: Exchanges, remote: BenUdpRemote): Decision {
  const device = new PureDevice(exchanges as unknown as ServerExchange, remote);
  return device.ask(0, NORETURN);
}

/** A restarted server, and the ring of its keys. */
function restart({ maxEndpoints = 100 } = {}) {
  const server = createServer({ maxEndpoints });
  const ring = new KeyRing(namedKeys);
  server.useKeys(ring);
  return { server, ring, key: ring.keys.at(-1)! };
}

describe('knownBoards', () => {
  it('lists the boards that have verified, with addresses that lead back to them', () => {
    const server = createServer();
    for (const address of ADDRESSES) {
      new PureDevice(server, remoteOf(address, 65_535)).ask(25_000, NORETURN);
    }
    new PureDevice(server, remoteOf('10.0.0.2')).hello(25_000);
    expect([...server.knownBoards()]).toMatchObject(
      ADDRESSES.map((address) => ({ remote: remoteOf(address, 65_535), heardAt: 20_000 })),
    );
  });

  it('lists the boards of protocol v2 with the address of their last request', () => {
    const { exchanges, ring } = createExchanges({ maxEndpoints: 3, keys: namedKeys });
    ring.keys.slice(0, 2).forEach((key, index) => {
      exchanges.remember({ remote: remoteOf(`10.0.1.${index}`), key, heardAt: -5000 });
    });
    const boards = ADDRESSES.slice(0, 2).map((address, index) => {
      const board = new PureV2Device(exchanges, remoteOf(address, 1000), namedKeys[index]!.key);
      board.exchange(0);
      return board;
    });
    boards[1]!.begin(7000);
    boards[1]!.deliver(7000, boards[1]!.sent, remoteOf(ADDRESSES[2]!, 2000));
    expect([...exchanges.knownBoards()]).toEqual([
      { remote: remoteOf('10.0.1.0'), key: ring.keys[0], heardAt: -5000 },
      { remote: remoteOf(ADDRESSES[0]!, 1000), key: ring.keys[0], heardAt: 0 },
      { remote: remoteOf(ADDRESSES[2]!, 2000), key: ring.keys[1], heardAt: 7000 },
    ]);
  });

  it('lists a board of protocol v2 once, if it is heard where it was before the restart', () => {
    const { exchanges, ring } = createExchanges({ maxEndpoints: 3, keys: namedKeys });
    exchanges.remember({ remote: remoteOf('10.0.0.1'), key: ring.keys[0]!, heardAt: -5000 });
    new PureV2Device(exchanges, remoteOf('10.0.0.1'), namedKeys[0]!.key).exchange(0);
    expect([...exchanges.knownBoards()]).toMatchObject([{ remote: remoteOf('10.0.0.1'), heardAt: 0 }]);
  });

  it.each([0, 30])(
    'has three quarters of the places for an address with a shared key, %i of its boards of v1',
    (v1) => {
      const { exchanges, ring } = createExchanges({ maxEndpoints: 100, keys: [{ device: undefined, key: KEY }] });
      for (let host = 0; host < 100; host++) {
        exchanges.remember({ remote: remoteOf(`10.9.0.${host}`), key: ring.keys[0]!, heardAt: -1000 });
      }
      for (let port = 1; port <= 200; port++) {
        const remote = remoteOf('203.0.113.66', port);
        const decision = port <= v1 ? askV1(exchanges, remote) : new PureV2Device(exchanges, remote).ask(port);
        expect(decision.kind).toBe('request');
      }
      const others = [...exchanges.knownBoards()].filter(({ remote }) => remote.address !== '203.0.113.66');
      expect(others).toHaveLength(25);
      expect([...exchanges.knownBoards()].at(-1)?.remote.port).toBe(200);
    },
  );

  it('lists boards from before a restart until their keys leave, never more than maxEndpoints, and each once', () => {
    const { server, ring, key } = restart({ maxEndpoints: 3 });
    for (const address of ADDRESSES) {
      server.remember({ remote: remoteOf(address), key, heardAt: -5000 });
    }
    const list = () => Array.from(server.knownBoards(), ({ remote, heardAt }) => `${remote.address} ${heardAt}`);
    expect(list()).toEqual(ADDRESSES.slice(0, 3).map((address) => `${address} -5000`));
    expect(outcomeOf(new PureDevice(server, remoteOf(ADDRESSES[0]!), LAST.key).ask(0, NORETURN))).toBe('request');
    expect(list().toSorted()).toEqual(
      [`${ADDRESSES[0]} 0`, ...ADDRESSES.slice(1, 3).map((each) => `${each} -5000`)].toSorted(),
    );
    server.useKeys(new KeyRing(namedKeys.slice(0, -1), ring));
    expect(list()).toEqual([`${ADDRESSES[0]} 0`]);
  });
});

describe('a board from before a restart', () => {
  it('needs no search, also if it has another port', () => {
    const { server, key } = restart();
    server.remember({ remote: remoteOf('10.0.0.1'), key, heardAt: -5000 });
    expect(outcomeOf(new PureDevice(server, remoteOf('10.0.0.2'), LAST.key).ask(0, NORETURN))).toBe('searching');
    expect(outcomeOf(new PureDevice(server, remoteOf('10.0.0.1'), LAST.key).ask(0, NORETURN))).toBe('request');
    expect(outcomeOf(new PureDevice(server, remoteOf('10.0.0.1', 9), LAST.key).ask(0, NORETURN))).toBe('request');
  });

  it('is recognised beside others behind one address', () => {
    const { server, ring } = restart();
    ring.keys.forEach((key, index) => server.remember({ remote: remoteOf('10.0.0.1', index + 1), key, heardAt: -1 }));
    const boards = [1, 500, 100].map(
      (port) => new PureDevice(server, remoteOf('10.0.0.1', port), namedKeys[port - 1]!.key),
    );
    expect(boards.slice(2).map((board) => outcomeOf(board.ask(0, NORETURN)))).toEqual(['request']);
  });

  it('is not accepted under another key, and its hint authenticates nothing', () => {
    const { server, ring } = restart();
    server.remember({ remote: remoteOf('10.0.0.1'), key: ring.keys[0]!, heardAt: -5000 });
    const stranger = new PureDevice(server, remoteOf('10.0.0.1'), Buffer.alloc(32, 'nobody'));
    expect(outcomeOf(stranger.ask(0, NORETURN))).toBe('searching');
    const other = new PureDevice(server, remoteOf('10.0.0.1', 2), namedKeys[1]!.key);
    const decision = other.ask(1000, NORETURN);
    expect(decision).toMatchObject({ kind: 'request', request: { device: 'board-1' } });
  });

  it('draws on the budget of verified addresses for a day', () => {
    const { server, key } = restart();
    server.remember({ remote: remoteOf('10.0.0.1'), key, heardAt: -80_000_000 });
    server.remember({ remote: remoteOf('10.0.0.2'), key, heardAt: -90_000_000 });
    const answered = (address: string) =>
      Array.from({ length: 1000 }, (_, port) => new PureDevice(server, remoteOf(address, port + 1)).hello(0)).filter(
        ({ kind }) => kind === 'pair',
      ).length;
    expect([answered('10.0.0.1'), answered('10.0.0.2')]).toEqual([600, 40]);
  });
});
